"""`witnesstree fsck`: derive everything again from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.options import answer, counted, home_option, json_option, one_line, say
from witnesstree.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from witnesstree.ledger.work.fsck.problem import Problem
    from witnesstree.ledger.work.sealing import Ledger

DAMAGED = 10


@click.command("fsck", short_help="Derive everything again, and name damage.")
@click.option(
    "--mend-index",
    is_flag=True,
    help="Write indexes, and what is kept of trees, anew from the digests first.",
)
@json_option
@home_option
@click.pass_context
def fsck_command(ctx: click.Context, home: Path, *, mend_index: bool, as_json: bool) -> None:
    """Derive every root, index entry, log hash, token and anchor again from the stored bytes, and
    name what is damaged.

    Exits with 10 if anything is. Nothing is changed, unless --mend-index is given.

    \b
    Example:
        witnesstree fsck --json
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.base.errors import Damaged

    with open_ledger(home) as ledger:
        if mend_index:
            try:
                say(f"Wrote {counted(ledger.mend_indexes(), 'index', 'indexes')} anew.")
            except Damaged as error:
                # All others are mended, and the check names this one.
                say(f"Not all indexes can be made: {error}")
        with ledger.metadata.read() as transaction:
            batches, entries = transaction.batch_count(), transaction.entry_count()
        with progress("checking entries", entries + batches) as advance:
            problems = list(_problems(ledger, advance))
    if as_json:
        members = [
            {"place": str(found.place), "fault": str(found.fault), "damage": found.is_damage}
            for found in problems
        ]
        answer({"batches": batches, "entries": entries, "problems": members})
    else:
        for found in problems:
            click.echo(one_line(f"{found.place}: {found.fault}"))
        found_in = (
            f"{counted(batches, 'batch', 'batches')} with {counted(entries, 'entry', 'entries')}"
        )
        click.echo(
            f"Checked {found_in}:"
            f" {counted(len(problems), 'problem') if problems else 'no problems'}."
        )
    if any(not found.is_damage for found in problems):
        say(
            "What leads to no trusted root is not damaged: trust its root with `witnesstree trust"
            " add`, and it is judged."
        )
    ctx.exit(DAMAGED if any(found.is_damage for found in problems) else 0)


def _problems(ledger: Ledger, advance: Callable[[int], None]) -> Iterator[Problem]:
    from witnesstree.anchor.fsck import check_embedded
    from witnesstree.anchor.wiring import owner_trust
    from witnesstree.ledger.work.fsck.check import check_ledger

    yield from check_ledger(ledger, owner_trust(ledger.home), advance)
    yield from check_embedded(ledger)
