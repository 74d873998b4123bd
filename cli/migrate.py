"""`witnesstree migrate`: bring a ledger that an older witnesstree made to the form of this one."""

from __future__ import annotations

from pathlib import Path

import click

from witnesstree.cli.options import answer, home_option, json_option, one_line


@click.command("migrate", short_help="Bring an older ledger up to date.")
@json_option
@home_option
def migrate_command(home: Path, *, as_json: bool) -> None:
    """Bring the database of a ledger that an older version made to the form that this version works
    on.

    A SQLite database is first copied to ledger.db.v1, or whatever version it has, beside it. All
    changes are made at once or not at all; nothing that the ledger has stated is altered. Stop the
    worker first. On PostgreSQL, make a backup yourself.

    \b
    Example:
        witnesstree migrate --home ~/evidence
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.store.migrations.upgrade import upgrade

    found = open_home(home)
    settings = read_settings(found.folder)
    done = upgrade(found, settings.database or found.database, settings.patience)
    if as_json:
        answer(
            {
                "from": done.before,
                "to": done.after,
                "backup": str(done.backup) if done.backup else None,
            }
        )
    elif done.before == done.after:
        click.echo(f"The ledger has version {done.after} already.")
    else:
        kept = f" The old database is kept as {done.backup}." if done.backup else ""
        click.echo(
            one_line(f"Brought the ledger from version {done.before} to {done.after}.{kept}")
        )
