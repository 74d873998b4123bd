"""`witnesstree restore`: make a home of a backup, and let it go on once it was compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.backup import sha256_option
from witnesstree.cli.help import Command, Misused
from witnesstree.cli.options import PATH, answer, home_option, json_option, say, tell
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import BadAnswer, Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from witnesstree.anchor.continuing import Compared
    from witnesstree.anchor.cosigners import Cosigner
    from witnesstree.ledger.work.sealing import Ledger


@click.command("restore", cls=Command)
@click.argument("source", metavar="DIR", type=PATH, required=False)
@click.option("--database", metavar="URL")
@click.option("--identity", type=PATH, metavar="FILE")
@click.option("--sha256", "expected", metavar="HEX", callback=sha256_option)
@click.option("--continue", "goes_on", is_flag=True)
@click.option("--original-ended", is_flag=True)
@click.option("--log", "logs", multiple=True, metavar="LOG")
@click.option("--witness", "urls", multiple=True, metavar="URL")
@click.option("--witness-key", "keys", multiple=True)
@click.option("--pass-over", "passed_over", multiple=True, type=PATH, metavar="DIR")
@click.option("--uncompared", is_flag=True)
@json_option
@home_option
def restore_command(
    *,
    source: Path | None,
    database: str | None,
    identity: Path | None,
    expected: str | None,
    logs: tuple[str, ...],
    urls: tuple[str, ...],
    keys: tuple[str, ...],
    passed_over: tuple[Path, ...],
    home: Path,
    goes_on: bool,
    original_ended: bool,
    uncompared: bool,
    as_json: bool,
) -> None:
    """Make a home of the backup DIR; with --continue, let a restored home write again.

    Example:
        witnesstree restore /mnt/backup/2026-11-30 --home ~/evidence --identity key.txt
        witnesstree restore --continue --original-ended --home ~/evidence --log https://e.example/log
    """
    if goes_on:
        if source or database is not None or identity or expected:
            raise Misused("restore-or-continue")
        if not original_ended:
            raise Misused("original-not-ended")
        from witnesstree.cli.log import cosigners_at

        asked = _Asked(logs, cosigners_at(urls, keys), passed_over, is_uncompared=uncompared)
        _continue(home, asked, as_json=as_json)
        return
    if source is None:
        raise Misused("argument-missing", name="DIR")
    if original_ended or uncompared or logs or urls or keys or passed_over:
        raise Misused("only-with-continue")
    _restore(source, home, database, identity, expected, as_json=as_json)


def _restore(
    source: Path,
    home: Path,
    database: str | None,
    identity: Path | None,
    expected: str | None,
    *,
    as_json: bool,
) -> None:
    from witnesstree.anchor.backup import restore
    from witnesstree.ledger.store.backup import read_about

    made = read_about(source)
    from witnesstree.anchor.ipfs.encryption import read_identities

    identities = read_identities(identity) if identity else []
    with progress("restoring", made.entries + made.size) as advance:
        done = restore(
            source,
            home,
            now=datetime.now(UTC),
            database=database,
            identities=identities,
            advance=advance,
            expected=expected,
        )
    if as_json:
        answer(
            {
                "home": str(home),
                "origin": made.origin,
                "made": format_time(made.made),
                "batches": made.size,
                "entries": made.entries,
                "missing": list(done.missing),
            }
        )
    else:
        tell(
            "restored",
            origin=made.origin,
            made=made.made,
            batches=made.size,
            entries=made.entries,
            folder=home,
        )
    if done.missing:
        say("restored-without", files=done.missing)
    say("restored-waits")


@dataclass(frozen=True, slots=True)
class _Asked:
    """With what a home is to be compared beside the folders that it was published in, and which of
    these are to be passed over.
    """

    logs: tuple[str, ...]
    witnesses: list[Cosigner]
    passed_over: tuple[Path, ...]
    is_uncompared: bool


def _continue(home: Path, asked: _Asked, *, as_json: bool) -> None:
    from witnesstree.anchor.continuing import (
        compare_cosigner,
        continue_home,
        cosigners_of,
        require_waiting,
    )
    from witnesstree.anchor.cosigners import TIMEOUT
    from witnesstree.anchor.http import Http
    from witnesstree.anchor.wiring import open_ledger

    with open_ledger(home) as ledger:
        waits = require_waiting(ledger)
        compared = [*_published(ledger, asked.passed_over), *_given(ledger, asked.logs)]
        with Http(timeout=TIMEOUT) as http:
            compared += [compare_cosigner(ledger, http, each) for each in asked.witnesses]
        names = {each.key.name for each in asked.witnesses}
        if others := [name for name in cosigners_of(ledger) if name not in names]:
            say("cosigners-not-asked", names=others)
        if not compared and not asked.is_uncompared:
            raise InvalidInput("nothing-to-compare", folder=ledger.home.folder)
        continue_home(ledger, datetime.now(UTC), compared)
        with ledger.metadata.read() as transaction:
            size = transaction.log_size()
        still_missing = [path for path in waits.missing if not (ledger.home.folder / path).exists()]
    if as_json:
        answer(
            {
                "home": str(home),
                "batches": size,
                "compared": [{"subject": each.subject, "size": each.size} for each in compared],
                "missing": still_missing,
            }
        )
    else:
        for each in compared:
            tell("compared-with", subject=each.subject, size=each.size)
        tell("continued", folder=home, batches=size)
    if not compared:
        say("continued-uncompared")
    if still_missing:
        say("restored-without", files=still_missing)


def _published(ledger: Ledger, passed_over: tuple[Path, ...]) -> Iterable[Compared]:
    """Compare with the folders that the log was published in, but for those that are to be passed
    over: each may be the one that shows how far the ledger had come.
    """
    from witnesstree.anchor.continuing import compare_log
    from witnesstree.anchor.publishing import fetching_from_folder

    folders = ledger.home.published_folders()
    passed = {each.absolute() for each in passed_over}
    if strangers := sorted(passed.difference(folders)):
        raise InvalidInput("not-published-there", folder=strangers[0], folders=folders)
    for folder in folders:
        if folder in passed:
            say("folder-passed-over", folder=folder)
            continue
        try:
            yield compare_log(ledger, str(folder), fetching_from_folder(folder))
        except (BadAnswer, InvalidInput, NotFound) as error:
            raise Conflict("folder-not-compared", folder=folder, error=error) from error


def _given(ledger: Ledger, logs: tuple[str, ...]) -> Iterable[Compared]:
    from witnesstree.anchor.continuing import compare_log
    from witnesstree.cli.log import fetching

    for subject in logs:
        with fetching(subject) as fetch:
            yield compare_log(ledger, subject, fetch)
