"""`witnesstree proof`: fetch a proof as it stands now, or all proofs of a batch."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.anchor.extras import LEDGER, require_extra
from witnesstree.cli.help import Command
from witnesstree.cli.names import readable_name
from witnesstree.cli.options import (
    PATH,
    answer,
    home_option,
    json_option,
    require_room,
    say,
    tell,
)
from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from witnesstree.ledger.proof.proof import Hints, Proof

MAX_BATCH = 2**63 - 1
"""The metadata store counts in 64 bits."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@click.command("proof", cls=Command)
@click.argument("subjects", metavar="[FILE|DIGEST]...", nargs=-1)
@click.option("--batch", type=click.IntRange(min=0, max=MAX_BATCH))
@click.option("--all-entries", is_flag=True)
@click.option("--all", "wants_all", is_flag=True)
@click.option("--from", "source", type=PATH, metavar="PROOFS")
@click.option("--split", "folder", type=PATH, metavar="FOLDER")
@click.option("-o", "--output", type=PATH, metavar="FILE")
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
    if not source:
        require_extra(LEDGER)
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
        raise InvalidInput("from-with-batch")
    if output and folder:
        raise InvalidInput("output-and-split")
    if wants_all:
        if subjects or all_entries:
            raise InvalidInput("all-with-subjects")
        if batch is None and source is None:
            raise InvalidInput("all-without-batch")
        if not folder and (source or not output):
            raise InvalidInput("all-from-without-split" if source else "all-without-output")
        return
    if not subjects:
        raise InvalidInput("no-subject")
    if len(subjects) > 1 and (all_entries or not folder):
        raise InvalidInput("several-without-split")
    if folder and all_entries:
        raise InvalidInput("split-with-all-entries")


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
    from witnesstree.cli.judging import opened_proofs

    if source:
        assert folder
        with opened_proofs(source) as bundle:
            split(folder, bundle, None, as_json=as_json)
        return
    from witnesstree.anchor.wiring import open_ledger

    assert batch is not None
    with open_ledger(home) as ledger, batch_of(ledger, batch) as bundle:
        if bundle.shared.missing:
            _say_missing(bundle.shared)
        if folder:
            own, blinding = own_proofs(ledger, bundle, batch), ledger.blinding_leaves(batch)
            split(folder, bundle, own, blinding, as_json=as_json)
        else:
            assert output
            write_all(output, bundle, ledger.batch(batch), as_json=as_json)


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
    say("proofs-written", count=len(proofs), folder=folder)
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
        say("written", output=output)
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
        from witnesstree.cli.judging import opened_proofs

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
    say("proof-lacks", parts=[message("part-lacking", part=part) for part in proof.missing])


def _list_entries(subject: str, batch: int | None, home: Path, *, as_json: bool) -> None:
    from witnesstree.anchor.wiring import open_ledger

    digest, _ = _digest_of(subject)
    with open_ledger(home) as ledger:
        entries = list(ledger.entries(digest, batch))
    if not entries:
        if batch is None:
            ledger.require_known()
            raise NotFound("digest-not-in-ledger", digest=digest)
        raise NotFound("digest-not-in-that-batch", digest=digest, batch=batch)
    if as_json:
        answer(
            [
                {"batch": entry.batch, "position": entry.position, "sealed": entry.is_sealed}
                for entry in entries
            ]
        )
    else:
        for entry in entries:
            tell(
                "entry-at",
                batch=entry.batch,
                position=entry.position,
                is_sealed=entry.is_sealed,
            )


def _digest_of(subject: str) -> tuple[bytes, Hints]:
    from witnesstree.ledger.base.digest import digest_file
    from witnesstree.ledger.proof.proof import Hints

    path = Path(subject)
    if os.path.lexists(path):
        found = digest_file(path)
        return found.digest, Hints(name=readable_name(path), size=found.size)
    if not _DIGEST.fullmatch(subject):
        raise InvalidInput("neither-file-nor-digest", text=subject[:200])
    return bytes.fromhex(subject), Hints()
