"""Several files verified by one evidence record: it has to hold for each (RFC 4998, 4.3)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from witnesstree.cli.folder import find
from witnesstree.cli.judging import file_digests
from witnesstree.cli.language import phrase
from witnesstree.cli.options import answer, say
from witnesstree.cli.report import EXIT_CODES, report_members
from witnesstree.cli.verdict import print_report
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_judge import verify_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from witnesstree.cli.judging import Asked
    from witnesstree.ledger.trust import Trust


def verify_group(
    paths: Sequence[Path],
    proof: Path,
    content: bytes,
    asked: Asked,
    trust: Trust,
    *,
    is_group: bool,
    as_json: bool,
) -> int:
    """Say what the evidence record `content`, read from `proof`, proves about all files that
    `paths` name or hold, and return the exit code. If `is_group`, they have to be all that its data
    group has.

    Raises InvalidInput if one of them cannot be read.
    """
    files = list(_files(paths, proof, asked.home))
    algorithms: tuple[str, ...] = ()
    held: frozenset[bytes] | None = None
    # What cannot be read is told by the report.
    with suppress(InvalidInput):
        record = parse_record(content)
        algorithms, held = record.algorithms, record.timestamps[0].first
    digests = [file_digests(file, algorithms) for file in files]
    report = verify_record(content, digests, trust, asked.now, is_group=is_group)
    strangers = [
        file
        for file, each in zip(files, digests, strict=True)
        if held is not None and each and each.get(algorithms[0]) not in held
    ]
    if as_json:
        members = [{"path": str(file), "in_record": file not in strangers} for file in files]
        answer({**report_members(report), "files": members})
    else:
        print_report(report, phrase("files-of-record", count=len(files)))
    if strangers:
        say("files-not-in-record", count=len(strangers), names=[str(each) for each in strangers])
    return EXIT_CODES[report.verdict]


def _files(paths: Sequence[Path], proof: Path, home: Path | None) -> Iterator[Path]:
    """Yield each file once; the record may lie among them."""
    known = set()
    for found in find(paths, home, with_proofs=False):
        if found.reason:
            raise InvalidInput(found.reason)
        way = found.path.resolve()
        if way not in known and way != proof.resolve():
            known.add(way)
            yield found.path
