"""`witnesstree renew`: renew an evidence record before what it rests on ends (RFC 4998, 5)."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Command, Misused
from witnesstree.cli.language import words
from witnesstree.cli.options import (
    PATH,
    answer,
    home_option,
    json_option,
    require_room,
    say,
    tell,
)
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput, NotFound, WitnesstreeError
from witnesstree.ledger.base.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from witnesstree.ledger.base.message import Value
    from witnesstree.ledger.base.report import Check
    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.proof.record import EvidenceRecord
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.trust import Trust

ALGORITHMS = ("sha256", "sha384", "sha512")


@click.command("renew", cls=Command)
@click.argument("record", type=PATH, metavar="RECORD", required=False)
@click.option("--file", "files", multiple=True, type=PATH)
@click.option("--algorithm", type=click.Choice(ALGORITHMS))
@click.option("-o", "--output", type=PATH, metavar="OUT")
@click.option("--authority", "name", metavar="NAME")
@click.option("--trust", "pem", multiple=True, type=PATH)
@click.option("--check", is_flag=True)
@click.option("--due", "is_pass", is_flag=True)
@click.option("--within", type=click.IntRange(min=0, max=36_500), metavar="DAYS")
@json_option
@home_option
def renew_command(
    record: Path | None,
    *,
    files: tuple[Path, ...],
    algorithm: str | None,
    output: Path | None,
    name: str | None,
    pem: tuple[Path, ...],
    home: Path,
    check: bool,
    is_pass: bool,
    within: int | None,
    as_json: bool,
) -> None:
    """Renew RECORD, an evidence record (RFC 4998), while its newest timestamp can still be
    verified.

    Example:
        witnesstree renew photo.jpg.ers --check
        witnesstree renew photo.jpg.ers
        witnesstree renew photo.jpg.ers --algorithm sha512 --file photo.jpg
        witnesstree renew --due --within 30
    """
    if is_pass:
        if record or files or algorithm or output or name or pem or check:
            raise Misused("due-alone")
        _renew_due(home, within or 0, as_json=as_json)
        return
    if record is None or within is not None:
        raise Misused("record-missing")
    from witnesstree.cli.judging import given_trust, read_limited
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.proof.record_judge import expires

    older = parse_record(read_limited(record, "record-file-unreadable"))
    trust, ends = given_trust(pem, (), ()), _ends(home)
    if check:
        _answer_check(older, expires(older, trust, ends), as_json=as_json)
        return
    target = output or record
    require_room(target)
    newer, asked = _renew(older, trust, ends, home, files=files, algorithm=algorithm, name=name)
    _write(target, newer.der)
    is_kept, end = _keep(newer, home), expires(newer, trust, ends)
    if as_json:
        answer({"record": str(target), "authority": asked, "kept": is_kept} | _members(newer, end))
    else:
        tell("written", output=target)
        _tell_end(end)
        if is_kept:
            say("record-kept")


def _ends(home: Path) -> Mapping[str, datetime]:
    """Return when methods stop being safe, as far as it is known here or the settings of the home
    say. The home need not be there.
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.tokens.soundness import ENDS

    return {**ENDS, **{str(method): end for method, end in read_settings(home).ends.items()}}


def _renew(
    older: EvidenceRecord,
    trust: Trust,
    ends: Mapping[str, datetime],
    home: Path,
    *,
    files: tuple[Path, ...],
    algorithm: str | None,
    name: str | None,
) -> tuple[EvidenceRecord, str]:
    """Return the renewed record, verified, and the name of the authority that was asked."""
    from witnesstree.cli.homes import home_roots
    from witnesstree.cli.judging import file_digests
    from witnesstree.ledger.proof.record_make import renew_hash_tree, renew_timestamp
    from witnesstree.ledger.store.home import open_home

    present = older.chains[-1][0].algorithm
    future = algorithm or present
    if future != present and not files:
        raise InvalidInput("algorithm-needs-files", present=present, future=future)
    opened, trust = open_home(home), trust | home_roots(home)
    digests = [file_digests(file, {*older.algorithms, future}) for file in files]
    _demand_sound("record-not-renewable", older, digests, trust, ends)
    with _authority(opened, name) as (asked, token_for):
        if future == present:
            newer = renew_timestamp(older, token_for)
        else:
            newer = renew_hash_tree(older, [each[future] for each in digests], future, token_for)
    _demand_sound("renewed-record-unsound", newer, digests, trust, ends, authority=asked)
    return newer, asked


def _keep(record: EvidenceRecord, home: Path) -> bool:
    """Let the home's ledger keep the record, if it is of one of its entries.

    It is written by now, so what is in the way is only said.
    """
    from witnesstree.anchor.wiring import open_ledger, open_renewals

    try:
        with open_ledger(home) as ledger:
            adopted = open_renewals(ledger).adopt(record)
    except WitnesstreeError as error:
        say("record-not-kept", reason=error)
        return False
    if adopted.reason:
        say("record-not-kept", reason=adopted.reason)
    return adopted.is_kept


def _renew_due(home: Path, within: int, *, as_json: bool) -> None:
    from witnesstree.anchor.wiring import open_ledger, open_renewals
    from witnesstree.cli.status import ALARM
    from witnesstree.ledger.work.waiting import MAX_DUE

    with open_ledger(home) as ledger:
        now, days = datetime.now(UTC), timedelta(days=within)
        with ledger.metadata.read() as transaction:
            due = len(transaction.due_renewals(now + days, MAX_DUE))
        with progress("renewing", due) as advance:
            done = open_renewals(ledger).work(days, advance)
    if as_json:
        answer(
            {
                "records": done.records,
                "timestamps": done.tokens,
                "problems": [words(each) for each in done.problems],
                "early": [words(each) for each in done.early],
            }
        )
    else:
        tell("renewed", records=done.records, timestamps=done.tokens)
        for problem in done.problems:
            tell("not-renewed", reason=problem)
        for reason in done.early:
            tell("not-renewed-early", reason=reason)
    if done.problems:
        click.get_current_context().exit(ALARM)


def _demand_sound(
    code: str,
    record: EvidenceRecord,
    digests: Sequence[Mapping[str, bytes]],
    trust: Trust,
    ends: Mapping[str, datetime],
    **about: Value,
) -> None:
    """Raise InvalidInput unless the record can be verified now, as far as that can be told of the
    files that were given.
    """
    from witnesstree.ledger.proof.record_judge import verify_record

    for each in verify_record(record.der, digests, trust, datetime.now(UTC), ends=ends).checks:
        if not _is_sound(each, has_files=bool(digests)):
            raise InvalidInput(
                code,
                **about,
                check=each.name,
                outcome=each.outcome,
                reason=each.message,
            )


def _is_sound(check: Check, *, has_files: bool) -> bool:
    if check.outcome is Outcome.UNKNOWN:
        return not check.required or (check.name.endswith(".data") and not has_files)
    return check.outcome is Outcome.PASSED


@contextmanager
def _authority(home: Home, name: str | None) -> Iterator[tuple[str, Callable[[bytes, str], Stamp]]]:
    """Yield the name of one of the home's authorities, and what asks it for a token.

    Raises NotFound if the home has none of that name, Conflict if that is the embedded one of a
    home that was restored and must not go on yet.
    """
    from witnesstree.anchor.settings import EMBEDDED, read_settings
    from witnesstree.anchor.truststore import read_trust, trust_folder
    from witnesstree.anchor.tsa.client import HttpAuthority
    from witnesstree.anchor.tsa.local import LocalAuthority
    from witnesstree.ledger.store.restored import require_continued

    configured = read_settings(home.folder).authorities
    names = list(configured) or [EMBEDDED]
    asked = name or names[0]
    if asked not in names:
        raise NotFound("no-such-authority", name=repr(asked[:80]))
    if not configured:
        # It counts what it signs, and the original's counts on.
        require_continued(home)
        say("embedded-authority-asked")
        yield asked, LocalAuthority.open(home.authority, lambda: datetime.now(UTC)).stamp
        return
    authority = HttpAuthority(asked, configured[asked], read_trust(trust_folder()))
    try:
        yield asked, authority.stamp
    finally:
        authority.close()


def _write(target: Path, der: bytes) -> None:
    from witnesstree.cli.outputs import put

    put(target, der, target.suffix)


def _answer_check(record: EvidenceRecord, end: datetime | None, *, as_json: bool) -> None:
    if as_json:
        answer(_members(record, end))
    else:
        _tell_end(end)


def _members(record: EvidenceRecord, end: datetime | None) -> dict[str, Any]:
    return {
        "timestamps": len(record.timestamps),
        "algorithm": record.chains[-1][0].algorithm,
        "newest": format_time(record.timestamps[-1].token.gen_time),
        "expires": format_time(end) if end else None,
    }


def _tell_end(end: datetime | None) -> None:
    if end is None:
        tell("record-end-unknown")
    else:
        tell("record-end", end=end)
