"""What `authority` and `chain` have in common: targets of the outbox, each a table of its name in
the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import answer, home_option, json_option, say, tell
from witnesstree.ledger.base.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NONE = {"authorities": "embedded-authority-used", "chains": "embedded-chain-used"}
"""What is said where a table of the settings is empty."""
UNKNOWN = {"authorities": "no-such-authority", "chains": "no-such-chain"}
"""What is said where a name is not in it."""


def configured(home: Path, table: str) -> Mapping[str, Any]:
    """Return the targets in the home's settings, by name."""
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.store.home import open_home

    targets: Mapping[str, Any] = getattr(read_settings(open_home(home).folder), table)
    return targets


def look_at(
    home: Path,
    table: str,
    name: str | None,
    look: Callable[[str, Any], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
    *,
    as_json: bool,
) -> int:
    """Look at each target, or at the one of this name; say what was found, and return the worst
    exit code.

    Raises NotFound if there is none of this name.
    """
    targets = configured(home, table)
    if name is not None and name not in targets:
        raise NotFound(UNKNOWN[table], name=repr(name[:80]))
    if not targets:
        say(NONE[table])
    seen = [look(each, targets[each]) for each in targets if name in {None, each}]
    if as_json:
        answer(seen)
    else:
        for found in seen:
            show(found)
    return max((found["exit_code"] for found in seen), default=0)


def add_remove_command(group: click.Group, table: str, kind: str, example: str) -> None:
    """Add `remove` to the group: it takes a target out of the settings, and with --forget gives up
    what still waits for it.
    """

    @group.command("remove", help=f"Example:\n    witnesstree {group.name} remove {example}")
    @click.argument("name")
    @click.option("--forget", "is_forgotten", is_flag=True)
    @json_option
    @home_option
    def _remove(name: str, home: Path, *, is_forgotten: bool, as_json: bool) -> None:
        given_up = _remove_target(home, table, name, kind, is_forgotten=is_forgotten)
        if as_json:
            answer({"removed": name, "given_up": given_up})
        elif is_forgotten:
            tell("target-removed-forgotten", name=name, count=given_up)
        else:
            tell("target-removed", name=name)


def _remove_target(home: Path, table: str, name: str, kind: str, *, is_forgotten: bool) -> int:
    """Take `name` out of the settings, and with `is_forgotten` give up what still waits for it,
    also where it was taken out before; return how many jobs that were.

    Raises NotFound if there is none of this name, and nothing is to be given up.
    """
    from witnesstree.anchor.settings import remove_table
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.store.database.values import JobKind
    from witnesstree.ledger.store.home import open_home

    if not is_forgotten or name in configured(home, table):
        remove_table(open_home(home).folder, table, name)
    if not is_forgotten:
        return 0
    with open_ledger(home) as ledger:
        return ledger.outbox.forget(JobKind(kind), name)
