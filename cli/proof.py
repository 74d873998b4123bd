"""`witnesstree proof`: fetch a proof as it stands now, or all proofs of a batch."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.options import (
    PATH,
    answer,
    counted,
    home_option,
    json_option,
    require_room,
    say,
)
from witnesstree.cli.sources import readable_name
from witnesstree.ledger.base.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from witnesstree.ledger.proof.proof import Hints, Proof

MAX_BATCH = 2**63 - 1
"""The metadata store counts in 64 bits."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@click.command("proof", short_help="Fetch proofs of files, digests or batches.")
@click.argument("subjects", metavar="[FILE|DIGEST]...", nargs=-1)
@click.option(
    "--batch",
    type=click.IntRange(min=0, max=MAX_BATCH),
    help="The entry in this batch.  [default: the earliest entry]",
)
@click.option("--all-entries", is_flag=True, help="List every entry of the digest instead.")
@click.option(
    "--all",
    "wants_all",
    is_flag=True,
    help="Fetch the proofs of a whole batch: with -o in one compact file, with --split one by one.",
)
@click.option(
    "--from",
    "source",
    type=PATH,
    metavar="PROOFS",
    help="Take them out of this compact file, without a ledger.",
)
@click.option(
    "--split",
    "folder",
    type=PATH,
    metavar="FOLDER",
    help="Write each proof into this folder, as DIGEST.proof.json.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="Write the proof here.  [default: standard output]",
)
@json_option
@home_option
def proof_command(
    subjects: tuple[str, ...],
    batch: int | None,
    source: Path | None,
    folder: Path | None,
    output: Path | None,
    *,
    home: Path,
    all_entries: bool,
    wants_all: bool,
    as_json: bool,
) -> None:
    """Fetch the proof of FILE, or of a SHA-256 DIGEST in hex, as it stands now.

    What is not there yet (a token, an anchor) is left out; fetch the proof again later. Proofs that
    --split finds in its folder are left; in a batch of more than 10,000 it makes subfolders named
    after the first digits.

    \b
    Example:
        witnesstree proof photo.jpg -o photo.jpg.proof.json
        witnesstree proof --all --batch 7 -o batch.proofs
        witnesstree proof --from batch.proofs photo.jpg -o photo.jpg.proof.json
    """
    _require_sense(
        subjects, batch, source, folder, output, all_entries=all_entries, wants_all=wants_all
    )
    if output:
        require_room(output)
    if wants_all:
        _fetch_all(batch, source, folder, output, home, as_json=as_json)
    elif all_entries:
        _list_entries(subjects[0], batch, home, as_json=as_json)
    elif folder:
        _fetch_each(subjects, batch, source, folder, home, as_json=as_json)
    else:
        _fetch_one(subjects[0], batch, source, output, home, as_json=as_json)


def _require_sense(
    subjects: tuple[str, ...],
    batch: int | None,
    source: Path | None,
    folder: Path | None,
    output: Path | None,
    *,
    all_entries: bool,
    wants_all: bool,
) -> None:
    """Refuse what contradicts itself. Raises InvalidInput."""
    if source and (batch is not None or all_entries):
        raise InvalidInput(
            "--from names the proofs of one batch: leave --batch and --all-entries out"
        )
    if output and folder:
        raise InvalidInput("-o writes one file and --split many: give one of them")
    if wants_all:
        if subjects or all_entries:
            raise InvalidInput(
                "--all is about a whole batch: name neither files nor digests, and leave"
                " --all-entries out"
            )
        if batch is None and source is None:
            raise InvalidInput(
                "--all needs the number of a batch: give --batch (`witnesstree status` counts them)"
            )
        if not folder and (source or not output):
            raise InvalidInput(
                "--all writes many proofs: give --split and a folder"
                + ("" if source else ", or -o and a file")
            )
        return
    if not subjects:
        raise InvalidInput("name a file or a digest, or give --all and --batch")
    if len(subjects) > 1 and (all_entries or not folder):
        raise InvalidInput("several proofs go into a folder: give --split")
    if folder and all_entries:
        raise InvalidInput("--all-entries writes no proofs: leave --split out")


def _fetch_all(
    batch: int | None,
    source: Path | None,
    folder: Path | None,
    output: Path | None,
    home: Path,
    *,
    as_json: bool,
) -> None:
    from witnesstree.cli.bulk import batch_of, own_proofs, split, write_all
    from witnesstree.cli.verify import opened_proofs

    if source:
        assert folder
        with opened_proofs(source) as bundle:
            split(folder, bundle, {}, as_json=as_json)
        return
    from witnesstree.anchor.wiring import open_ledger

    assert batch is not None
    with open_ledger(home) as ledger, batch_of(ledger, batch) as bundle:
        if bundle.shared.missing:
            _say_missing(bundle.shared)
        if folder:
            split(folder, bundle, own_proofs(ledger, batch), as_json=as_json)
        else:
            assert output
            write_all(output, bundle, batch, as_json=as_json)


def _fetch_each(
    subjects: tuple[str, ...],
    batch: int | None,
    source: Path | None,
    folder: Path,
    home: Path,
    *,
    as_json: bool,
) -> None:
    from witnesstree.cli.bulk import make_folder, place_of
    from witnesstree.cli.outputs import write_proof

    with _finding(batch, source, home) as find:
        proofs = [_told(find, subject) for subject in subjects]
    make_folder(folder)
    for proof in proofs:
        write_proof(place_of(folder, proof.digest), proof)
    say(f"Wrote {counted(len(proofs), 'proof')} into {folder}.")
    if as_json:
        answer(
            {
                "folder": str(folder),
                "written": len(proofs),
                "complete": not any(proof.missing for proof in proofs),
            }
        )


def _fetch_one(
    subject: str,
    batch: int | None,
    source: Path | None,
    output: Path | None,
    home: Path,
    *,
    as_json: bool,
) -> None:
    from witnesstree.ledger.proof.proof import format_proof
    from witnesstree.ledger.store.disk import write_file

    with _finding(batch, source, home) as find:
        proof = _told(find, subject)
    if output:
        write_file(output, format_proof(proof))
        say(f"Wrote {output}.")
        if as_json:
            answer({"proof": str(output), "complete": not proof.missing})
    else:
        click.echo(format_proof(proof), nl=False)


@contextmanager
def _finding(
    batch: int | None, source: Path | None, home: Path
) -> Iterator[Callable[[bytes], Proof]]:
    """Open the ledger, or the proofs of a batch, and give what finds a digest's proof there."""
    if source:
        from witnesstree.cli.bulk import proof_from
        from witnesstree.cli.verify import opened_proofs

        with opened_proofs(source) as bundle:
            yield lambda digest: proof_from(bundle, digest)
    else:
        from witnesstree.anchor.wiring import open_ledger

        with open_ledger(home) as ledger:
            yield lambda digest: ledger.proof(digest, batch)


def _told(find: Callable[[bytes], Proof], subject: str) -> Proof:
    """Return the proof of a file or a digest, with what is known of the file; what it lacks is
    said.
    """
    digest, hints = _digest_of(subject)
    proof = find(digest)
    if proof.missing:
        _say_missing(proof)
    return replace(proof, hints=replace(hints, links=proof.hints.links))


def _say_missing(proof: Proof) -> None:
    finish = (
        "`witnesstree worker`, or `witnesstree seal` without a path, finishes what waits; then"
        " fetch it again."
    )
    say(f"The proof still lacks: {', '.join(proof.missing)}. {finish}")


def _list_entries(subject: str, batch: int | None, home: Path, *, as_json: bool) -> None:
    from witnesstree.anchor.wiring import open_ledger

    digest, _ = _digest_of(subject)
    with open_ledger(home) as ledger:
        entries = list(ledger.entries(digest, batch))
    if not entries:
        where = "this ledger" if batch is None else f"batch {batch}"
        raise NotFound(
            f"{digest.hex()} is not in {where}: seal the file first, or ask another ledger"
        )
    if as_json:
        answer(
            [
                {"batch": entry.batch, "position": entry.position, "sealed": entry.is_sealed}
                for entry in entries
            ]
        )
    else:
        click.echo(
            "\n".join(
                f"batch {entry.batch}, position"
                f" {entry.position}{'' if entry.is_sealed else ', not sealed yet'}"
                for entry in entries
            )
        )


def _digest_of(subject: str) -> tuple[bytes, Hints]:
    from witnesstree.ledger.base.digest import digest_file
    from witnesstree.ledger.proof.proof import Hints

    path = Path(subject)
    if os.path.lexists(path):
        found = digest_file(path)
        return found.digest, Hints(name=readable_name(path), size=found.size)
    if not _DIGEST.fullmatch(subject):
        raise InvalidInput(
            f"{subject[:200]} is neither a file here nor a SHA-256 digest of 64 hex digits"
        )
    return bytes.fromhex(subject), Hints()
