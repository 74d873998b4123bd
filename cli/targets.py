"""What `authority` and `chain` have in common: a target of the outbox, which stands as a table of
its name in the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.cli.options import answer, tell

if TYPE_CHECKING:
    from pathlib import Path

    from witnesstree.ledger.store.database.values import JobKind


def remove_target(
    home: Path, table: str, name: str, kind: JobKind, *, is_forgotten: bool, as_json: bool
) -> None:
    """Take `name` out of the settings, and with `is_forgotten` give up what still waits for it,
    also where it was taken out before.

    Raises NotFound if there is none of this name, and nothing is to be given up.
    """
    from witnesstree.anchor.settings import read_settings, remove_table
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.store.home import open_home

    folder, given_up = open_home(home).folder, 0
    if not is_forgotten or name in getattr(read_settings(folder), table):
        remove_table(folder, table, name)
    if is_forgotten:
        with open_ledger(home) as ledger:
            given_up = ledger.outbox.forget(kind, name)
    if as_json:
        answer({"removed": name, "given_up": given_up})
    elif is_forgotten:
        tell("target-removed-forgotten", name=name, count=given_up)
    else:
        tell("target-removed", name=name)
