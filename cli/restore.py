"""`witnesstree restore`: make a home of a backup, and let it go on once it was compared."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Command, Misused
from witnesstree.cli.options import PATH, answer, home_option, json_option, say, tell
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from witnesstree.anchor.continuing import Compared
    from witnesstree.ledger.work.sealing import Ledger


@click.command("restore", cls=Command)
@click.argument("source", metavar="DIR", type=PATH, required=False)
@click.option("--database", metavar="URL")
@click.option("--identity", type=PATH, metavar="FILE")
@click.option("--continue", "goes_on", is_flag=True)
@click.option("--original-ended", is_flag=True)
@click.option("--log", "logs", multiple=True, metavar="LOG")
@click.option("--witness", "urls", multiple=True, metavar="URL")
@click.option("--witness-key", "keys", multiple=True)
@click.option("--uncompared", is_flag=True)
@json_option
@home_option
def restore_command(
    *,
    source: Path | None,
    database: str | None,
    identity: Path | None,
    logs: tuple[str, ...],
    urls: tuple[str, ...],
    keys: tuple[str, ...],
    home: Path,
    goes_on: bool,
    original_ended: bool,
    uncompared: bool,
    as_json: bool,
) -> None:
    """Make a home of the backup DIR; with --continue, let a restored home write again.

    Example:
        witnesstree restore /mnt/backup/2026-11-30 --home ~/evidence --identity key.txt
        witnesstree restore --continue --home ~/evidence --log https://ledger.example/log
    """
    if goes_on:
        if source or database is not None or identity:
            raise Misused("restore-or-continue")
        if not original_ended:
            raise Misused("original-not-ended")
        _continue(home, logs, urls, keys, uncompared=uncompared, as_json=as_json)
        return
    if source is None:
        raise Misused("argument-missing", name="DIR")
    if original_ended or uncompared or logs or urls or keys:
        raise Misused("only-with-continue")
    _restore(source, home, database, identity, as_json=as_json)


def _restore(
    source: Path, home: Path, database: str | None, identity: Path | None, *, as_json: bool
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


def _continue(
    home: Path,
    logs: tuple[str, ...],
    urls: tuple[str, ...],
    keys: tuple[str, ...],
    *,
    uncompared: bool,
    as_json: bool,
) -> None:
    from witnesstree.anchor.continuing import (
        compare_cosigner,
        continue_home,
        cosigners_of,
        require_waiting,
    )
    from witnesstree.anchor.cosigners import TIMEOUT
    from witnesstree.anchor.http import Http
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.cli.log import cosigners_at

    witnesses = cosigners_at(urls, keys)
    with open_ledger(home) as ledger:
        waits = require_waiting(ledger)
        compared = [*_published(ledger), *_given(ledger, logs)]
        with Http(timeout=TIMEOUT) as http:
            compared += [compare_cosigner(ledger, http, each) for each in witnesses]
        asked = {each.key.name for each in witnesses}
        if others := [name for name in cosigners_of(ledger) if name not in asked]:
            say("cosigners-not-asked", names=others)
        if not compared and not uncompared:
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


def _published(ledger: Ledger) -> Iterable[Compared]:
    """Compare with the folders that the log was published in, as far as they are here."""
    from witnesstree.anchor.continuing import compare_log
    from witnesstree.anchor.publishing import fetching_from_folder

    for folder in ledger.home.published_folders():
        try:
            yield compare_log(ledger, str(folder), fetching_from_folder(folder))
        except (InvalidInput, NotFound) as error:
            say("folder-not-compared", folder=folder, error=error)


def _given(ledger: Ledger, logs: tuple[str, ...]) -> Iterable[Compared]:
    from witnesstree.anchor.continuing import compare_log
    from witnesstree.cli.log import fetching

    for subject in logs:
        with fetching(subject) as fetch:
            yield compare_log(ledger, subject, fetch)
