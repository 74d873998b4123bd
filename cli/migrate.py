"""`witnesstree migrate`: bring a ledger that an older witnesstree made to the form of this one."""

from __future__ import annotations

from pathlib import Path

import click

from witnesstree.cli.help import Command
from witnesstree.cli.options import answer, home_option, json_option, tell


@click.command("migrate", cls=Command)
@json_option
@home_option
def migrate_command(home: Path, *, as_json: bool) -> None:
    """Bring the database of a ledger that an older version made to this version's form.

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
        tell("migrated-already", version=done.after)
    elif done.backup:
        tell("migrated-kept", before=done.before, after=done.after, backup=done.backup)
    else:
        tell("migrated", before=done.before, after=done.after)
