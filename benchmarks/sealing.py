"""Sealing in bulk: from a file of digests to root, token, anchor and proofs that can be fetched,
everything on disk, as one whole process."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.ground import NODE, WITNESSTREE, discard, missing
from benchmarks.measure import PEER, Failed, Side, find_program, require

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.ground import Ground

RAW = "witnesstree seal --digests, raw"
IMMUDB = "immudb's embedded store, sync"
IMMUDB_SAME = "immudb's embedded store, sync, its own keys"

IMMUDB_PROGRAM, TESSERA_PROGRAM = "immudb-stress-1.10.0", "tessera-fill-1.0.4"
COMMITTERS = 10
"""Goroutines that commit to immudb side by side: the tool's own default, and on two processors
about as fast as 4 or 50."""
TRANSACTION = 1000
"""Entries in a transaction: the tool's own default, and nearly the most that immudb takes."""


def seal(ground: Ground) -> list[Side]:
    """Return the sides of the figure at its full size, in each form that a digest file may have,
    and the peers."""
    size = ground.sizes.seal
    return [
        sealing(ground, RAW, size, "raw"),
        sealing(ground, "witnesstree seal --digests, hex", size, "hex"),
        sealing(ground, "witnesstree seal --digests, as sha256sum writes", size, "sha256sum"),
        _immudb(ground, IMMUDB, "-synced=true", "-rndKeys=true"),
        _immudb(
            ground,
            IMMUDB_SAME,
            "-synced=true",
            "-rndKeys=false",
            note="the same 1,000 keys again and again, so its index hardly grows",
        ),
        _immudb(
            ground,
            "immudb's embedded store, no sync",
            "-synced=false",
            "-rndKeys=true",
            note="after a power cut, what it acknowledged may be gone",
        ),
        _tessera(ground),
    ]


def cost_by_size(ground: Ground) -> list[Side]:
    """Return the same command at every size: the smaller the file, the more of the time goes to
    start, token and anchor."""
    return [
        sealing(
            ground,
            f"seal {size:,}",
            size,
            "raw",
            series="witnesstree seal --digests, whole process",
        )
        for size in ground.sizes.steps
    ]


def sealing(ground: Ground, name: str, size: int, form: str, series: str = "") -> Side:
    """Return a side that seals one digest file in a new home, and fetches a proof from it before
    the home is deleted."""
    home, digests = ground.folder / "home", ground.digests_path(size, form)
    return Side(
        name,
        [WITNESSTREE, "seal", "--digests", digests, "--home", home, "--json"],
        size,
        "digests",
        tells=False,
        before=partial(_prepare, ground, home, size, form),
        after=partial(_fetch_and_discard, ground, home, digests, size, form),
        absent=ground.no_room(size),
        series=series,
        size=size,
    )


def _prepare(ground: Ground, home: Path, size: int, form: str) -> None:
    ground.digests(size, form)
    ground.new_home(home.name)


def _fetch_and_discard(ground: Ground, home: Path, digests: Path, size: int, form: str) -> None:
    """Raise Failed unless the last digest of the file has a whole proof now."""
    try:
        with digests.open("rb") as file:
            line = file.seek(0, 2) // size
            file.seek((size - 1) * line)
            digest = file.read(NODE).hex() if form == "raw" else file.read(NODE * 2).decode()
        proof = json.loads(require([WITNESSTREE, "proof", digest, "--home", home], ground.folder))
        if not (proof.get("tokens") and proof.get("anchors") and proof.get("log")):
            raise Failed(
                "what was sealed has no whole proof: a token, an anchor or the log is missing"
            )
    finally:
        discard(home)


def _immudb(ground: Ground, name: str, *flags: str, note: str = "") -> Side:
    transactions = max(1, ground.sizes.immudb // COMMITTERS // TRANSACTION)
    folder = ground.folder / "immudb"

    def clear() -> None:
        discard(folder)
        folder.mkdir()

    differs = (
        "random digests as values, which it reads from memory, looked up by key; it signs, stamps"
        " and anchors nothing"
    )
    return Side(
        name,
        ground.timed(
            "immudb",
            find_program(IMMUDB_PROGRAM) or IMMUDB_PROGRAM,
            folder,
            transactions,
            COMMITTERS,
            *flags,
        ),
        transactions * COMMITTERS * TRANSACTION,
        "digests",
        PEER,
        f"{differs}; {note}" if note else differs,
        before=clear,
        after=partial(discard, folder),
        absent=missing(IMMUDB_PROGRAM, "benchmarks/peers/immudb.sh"),
    )


def _tessera(ground: Ground) -> Side:
    folder, size = ground.folder / "tessera", ground.sizes.tessera
    return Side(
        "Tessera's POSIX log",
        [
            find_program(TESSERA_PROGRAM) or TESSERA_PROGRAM,
            "-folder",
            folder,
            "-digests",
            ground.digests(size),
        ],
        size,
        "digests",
        PEER,
        "C2SP tiles and a signed checkpoint over the last entry; no look-up by digest, nothing"
        " stamped or anchored",
        before=partial(discard, folder),
        after=partial(discard, folder),
        absent=missing(TESSERA_PROGRAM, "benchmarks/peers/tessera.sh"),
    )
