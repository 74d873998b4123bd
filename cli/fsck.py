"""`witnesstree fsck`: derive everything again from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Command
from witnesstree.cli.language import words
from witnesstree.cli.options import answer, home_option, json_option, say, tell
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.message import AS_TEXT, message, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.work.fsck.problem import Problem
    from witnesstree.ledger.work.sealing import Ledger

DAMAGED = 10


@click.command("fsck", cls=Command)
@click.option("--mend-index", is_flag=True)
@json_option
@home_option
@click.pass_context
def fsck_command(ctx: click.Context, home: Path, *, mend_index: bool, as_json: bool) -> None:
    """Derive everything again from the stored bytes, and name what is damaged.

    Example:
        witnesstree fsck --json
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.base.errors import Damaged

    with open_ledger(home) as ledger:
        if mend_index:
            try:
                say("indexes-written", count=ledger.mend_indexes())
            except Damaged as error:
                # All others are mended, and the check names this one.
                say("indexes-not-all", error=error)
        with ledger.metadata.read() as transaction:
            batches, entries = transaction.batch_count(), transaction.entry_count()
            leaves = sum(count for _, count in transaction.batch_sizes())
        with progress("checking-leaves", leaves) as advance:
            problems = list(_problems(ledger, advance))
    if as_json:
        members = [
            {
                "place": str(found.place),
                "fault": words(found.fault),
                **to_json(found.fault),
                "damage": found.is_damage,
            }
            for found in problems
        ]
        answer({"batches": batches, "entries": entries, "problems": members})
    else:
        for found in problems:
            tell(AS_TEXT, text=words(placed(found.place, found.fault)))
        tell("fsck-summary", batches=batches, entries=entries, problems=len(problems))
    if any(not found.is_damage for found in problems):
        say("fsck-untrusted")
    ctx.exit(DAMAGED if any(found.is_damage for found in problems) else 0)


def placed(place: Path | Message, fault: Message) -> Message:
    """Return a fault with its place before it, unless it names that itself."""
    if str(place) in [str(value) for _, value in fault.params]:
        return fault
    return message("fsck-problem", place=place, fault=fault)


def _problems(ledger: Ledger, advance: Callable[[int], None]) -> Iterator[Problem]:
    from witnesstree.anchor.fsck import check_embedded
    from witnesstree.anchor.wiring import owner_trust
    from witnesstree.ledger.work.fsck.check import check_ledger

    yield from check_ledger(ledger, owner_trust(ledger.home), advance)
    yield from check_embedded(ledger)
