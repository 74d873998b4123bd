"""`witnesstree backup`: a copy of a ledger while it works, and a check of one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.fsck import DAMAGED
from witnesstree.cli.help import Command, Misused
from witnesstree.cli.language import words
from witnesstree.cli.options import PATH, answer, home_option, json_option, say, tell
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import to_json

if TYPE_CHECKING:
    from witnesstree.ledger.store.backup import Backup


def sha256_option(_ctx: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """Return the SHA-256 that an option gives, in lower case. Raises InvalidInput if it is none."""
    if text is not None and not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise InvalidInput("backup-digest-expected", found=ascii(text[:80]))
    return text and text.lower()


@click.command("backup", cls=Command)
@click.argument("target", metavar="DIR", type=PATH)
@click.option("--check", is_flag=True)
@click.option("--sha256", "expected", metavar="HEX", callback=sha256_option)
@click.option("--encrypt-to", "recipients", multiple=True, metavar="RECIPIENT")
@click.option("--plain-keys", is_flag=True)
@json_option
@home_option
@click.pass_context
def backup_command(
    ctx: click.Context,
    target: Path,
    recipients: tuple[str, ...],
    home: Path,
    expected: str | None,
    *,
    check: bool,
    plain_keys: bool,
    as_json: bool,
) -> None:
    """Copy the ledger into the new folder DIR while it works, and check the copy.

    Example:
        witnesstree backup /mnt/backup/2026-11-30 --encrypt-to age1...
    """
    if recipients and plain_keys:
        raise Misused("backup-secrets-two-ways")
    if check:
        if recipients or plain_keys:
            raise Misused("backup-check-writes-nothing")
        ctx.exit(_check(target, expected, as_json=as_json))
    if expected:
        raise Misused("backup-digest-without-check")
    from witnesstree.anchor.backup import back_up
    from witnesstree.anchor.wiring import open_ledger

    with open_ledger(home) as ledger:
        with ledger.metadata.read() as transaction:
            copied = sum(count for _, count in transaction.batch_sizes())
            checked = transaction.entry_count() + transaction.batch_count()
        with progress("backing-up", copied + checked) as advance:
            made = back_up(
                ledger,
                target,
                now=datetime.now(UTC),
                recipients=recipients,
                keeps_plain=plain_keys,
                advance=advance,
            )
    _answer(target, made, as_json=as_json)
    if left_out := [path for path, kept in made.secrets.items() if kept.value == "left-out"]:
        say("backup-without-secrets", files=left_out)
    if plain_keys:
        say("backup-with-plain-secrets", folder=target)


def _check(target: Path, expected: str | None, *, as_json: bool) -> int:
    """Check a backup, and return the exit code."""
    from witnesstree.anchor.backup import check_backup
    from witnesstree.ledger.store.backup import read_about

    made = read_about(target)
    with progress("checking-backup", made.entries + made.size) as advance:
        problems = list(check_backup(target, advance, expected=expected))
    faults = [
        {"place": str(each.place), "fault": words(each.fault), **to_json(each.fault)}
        for each in problems
    ]
    _answer(target, made, faults, as_json=as_json)
    return DAMAGED if problems else 0


def _answer(
    target: Path, made: Backup, faults: list[dict[str, Any]] | None = None, *, as_json: bool
) -> None:
    from witnesstree.ledger.store.backup import digest_of_list

    digest = digest_of_list(target)
    if as_json:
        members: dict[str, Any] = {
            "backup": str(target),
            "sha256": digest,
            "origin": made.origin,
            "made": format_time(made.made),
            "database": made.database,
            "batches": made.size,
            "entries": made.entries,
            "secrets": {path: kept.value for path, kept in made.secrets.items()},
        }
        answer(members | ({} if faults is None else {"problems": faults}))
        return
    for fault in faults or ():
        tell("fsck-problem", place=fault["place"], fault=fault["fault"])
    tell(
        "backup-is-of",
        origin=made.origin,
        made=made.made,
        batches=made.size,
        entries=made.entries,
        folder=target,
    )
    tell("backup-digest", digest=digest)
    if faults is not None:
        tell("backup-checked", problems=len(faults))
