"""`witnesstree recover`: bring a database that is older than the batches up to date from files."""

from __future__ import annotations

from pathlib import Path

import click

from witnesstree.cli.fsck import DAMAGED, placed
from witnesstree.cli.help import Command
from witnesstree.cli.language import words
from witnesstree.cli.options import answer, home_option, json_option, say, tell
from witnesstree.ledger.base.message import to_json


@click.command("recover", cls=Command)
@click.option("--check", is_flag=True)
@json_option
@home_option
@click.pass_context
def recover_command(ctx: click.Context, home: Path, *, check: bool, as_json: bool) -> None:
    """Add to a database that is older than the ledger's files what the files still say.

    Example:
        witnesstree recover --check
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.work.recovery import recover

    with open_ledger(home) as ledger:
        done = recover(ledger, is_trial=check)
    if as_json:
        answer(
            {
                "before": done.before,
                "after": done.after,
                "sealed": done.sealed,
                "unsealed": done.unsealed,
                "keys": done.keys,
                "journals": done.journals,
                "is_kept": not check,
                "refused": [
                    {"place": str(path), "fault": words(fault), **to_json(fault)}
                    for path, fault in done.refused
                ],
            }
        )
    else:
        for batch in done.sealed:
            tell("recovered-sealed", batch=batch)
        for batch in done.unsealed:
            tell("recovered-unsealed", batch=batch)
        for number in done.keys:
            tell("recovered-key", number=number)
        if done.journals:
            tell("recovered-journals", count=len(done.journals), kept=not check)
        for path, fault in done.refused:
            tell("recover-refused", fault=placed(path, fault))
        tell("recover-entries", before=done.before, after=done.after, kept=not check)
    if done.sealed and not check:
        say("recover-jobs")
    ctx.exit(DAMAGED if done.refused else 0)
