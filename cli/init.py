"""`witnesstree init`: make a home."""

from __future__ import annotations

from pathlib import Path

import click

from witnesstree.cli.help import Command
from witnesstree.cli.options import answer, home_option, json_option, note, tell


@click.command("init", cls=Command)
@home_option
@click.option("--origin")
@click.option("--database", metavar="URL")
@json_option
def init_command(home: Path, origin: str | None, database: str | None, *, as_json: bool) -> None:
    """Make a ledger.

    Example:
        witnesstree init --home ~/evidence
    """
    from witnesstree.anchor.wiring import LOCAL_NOTICE, make_home, new_origin
    from witnesstree.ledger.log.note import format_verifier_key

    made = make_home(home, new_origin() if origin is None else origin, database)
    note(LOCAL_NOTICE)
    key = format_verifier_key(made.verifier_key())
    if as_json:
        answer({"home": str(made.folder), "origin": made.origin, "checkpoint_key": key})
    else:
        tell("made-ledger", origin=made.origin, folder=made.folder)
        tell("made-key", key=key)
