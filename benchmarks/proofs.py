"""Proofs in bulk, and verifying: one file, one proof in a running process, a folder at once."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.ground import NODE, PYTHON, WITNESSTREE, takes
from benchmarks.measure import LIMITS, Failed, Side, require

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.ground import Ground

BULK = "witnesstree proof --all, one compact file"
ONE, IN_PROCESS, FOLDER = (
    "witnesstree verify, one file",
    "verify in process",
    "witnesstree verify, a folder",
)

BULK_WORDS = r"--all\b(?!-)"
"""What its help says where `proof --all` is there."""
SEVERAL_WORDS = r"Usage: .*(?:\.\.\.|DIR|FOLDER)"
"""What its help says where `verify` takes more than one file."""


def export(ground: Ground) -> list[Side]:
    """Return the export of every proof of a batch: into one compact file, which is then verified
    whole, and into single files."""
    large = max(size for size in ground.sizes.steps if size <= ground.sizes.seal)
    single, absent = ground.folder / "single", takes("proof", BULK_WORDS)
    compact = ground.folder / "batch.proofs"
    return [
        _exporting(ground, BULK, large, ["-o", compact], compact, absent),
        _verifying(ground, large, compact, absent or takes("verify", SEVERAL_WORDS)),
        _exporting(
            ground,
            "witnesstree proof --all --split",
            ground.sizes.steps[0],
            ["--split", single],
            single,
            absent,
        ),
    ]


def _exporting(  # noqa: PLR0917 - one for each place
    ground: Ground, name: str, ledger: int, words: list[str | Path], out: Path, absent: str
) -> Side:
    home = ground.folder / f"ledger-{ledger}" if absent else ground.ledger(ledger)

    def clear() -> None:
        shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)

    def look() -> None:
        if not out.is_file() and not (out.is_dir() and any(out.iterdir())):
            raise Failed(f"nothing was written to {out.name}")

    argv: list[str | Path] = [WITNESSTREE, "proof", "--all", "--batch", "0", *words, "--home", home]
    return Side(
        name,
        argv,
        0 if absent else first_batch(home),
        "proofs",
        tells=False,
        before=clear,
        after=look,
        absent=absent,
    )


def _verifying(ground: Ground, ledger: int, compact: Path, absent: str) -> Side:
    # The side before has just written the file.
    home = ground.folder / f"ledger-{ledger}"
    argv: list[str | Path] = [WITNESSTREE, "verify", compact, "--home", home]
    return Side(
        "witnesstree verify, the compact file",
        argv,
        0 if absent else first_batch(home),
        "proofs",
        tells=False,
        absent=absent,
    )


def first_batch(home: Path) -> int:
    """Return how many leaves the first batch of a ledger has, the opening record among them.

    Raises Failed if there is none.
    """
    files = sorted((home / "batches").rglob("00000000.digests"))
    if not files:
        raise Failed(f"{home.name} has no batch 0")
    return files[0].stat().st_size // NODE


def verify(ground: Ground) -> list[Side]:
    """Return a file verified from start to end, a proof judged in a running process, and a folder
    at once."""
    folder, home = ground.sealed_files
    file = folder / "00000.txt"
    proof = file.with_name(file.name + ".proof.json")
    return [
        Side(
            "python -c pass",
            [PYTHON, "-c", "pass"],
            1,
            "starts",
            LIMITS,
            "what starting Python costs",
            tells=False,
        ),
        Side(
            ONE,
            [WITNESSTREE, "verify", file, "--home", home],
            1,
            "files",
            tells=False,
            before=partial(_require_verified, ground, file, home),
        ),
        Side(
            IN_PROCESS,
            ground.timed("verify", home, file, proof, ground.sizes.verified),
            ground.sizes.verified,
            "proofs",
        ),
        _folder(ground, folder, home),
    ]


def _folder(ground: Ground, folder: Path, home: Path) -> Side:
    absent = takes("verify", SEVERAL_WORDS)
    return Side(
        FOLDER,
        [WITNESSTREE, "verify", folder, "--home", home],
        ground.sizes.folder,
        "files",
        note="each with its own proof",
        tells=False,
        absent=absent,
    )


def _require_verified(ground: Ground, file: Path, home: Path) -> None:
    report = json.loads(
        require([WITNESSTREE, "verify", file, "--home", home, "--json"], ground.folder)
    )
    if report.get("verdict") != "verified":
        raise Failed(f"{file.name} is not verified: {report.get('verdict')}")
