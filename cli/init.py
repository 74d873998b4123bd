"""`witnesstree init`: make a home."""

from __future__ import annotations

from pathlib import Path

import click

from witnesstree.cli.options import answer, home_option, json_option, one_line, say


@click.command("init", short_help="Make a ledger in a folder of its own.")
@home_option
@click.option(
    "--origin",
    help=(
        "The ledger's public name, such as ledger.example/court; it cannot be changed later. "
        " [default: a random one]"
    ),
)
@click.option(
    "--database",
    metavar="URL",
    help=(
        "Keep the metadata in PostgreSQL; the URL holds no password.  [default: SQLite in the home]"
    ),
)
@json_option
def init_command(home: Path, origin: str | None, database: str | None, *, as_json: bool) -> None:
    """Make a ledger: its key, an embedded authority, and an embedded chain with the contract.

    The embedded parts show how sealing works. They prove nothing to a third party.

    \b
    Example:
        witnesstree init --home ~/evidence
    """
    from witnesstree.anchor.wiring import LOCAL_NOTICE, make_home, new_origin
    from witnesstree.ledger.log.note import format_verifier_key

    made = make_home(home, new_origin() if origin is None else origin, database)
    say(LOCAL_NOTICE)
    key = format_verifier_key(made.verifier_key())
    if as_json:
        answer({"home": str(made.folder), "origin": made.origin, "checkpoint_key": key})
    else:
        click.echo(one_line(f"Made the ledger {made.origin} in {made.folder}."))
        click.echo(one_line(f"Its checkpoint key, for those who verify: {key}"))
