"""`restored.json`: where a home came from that was made of a backup, and whether it may go on.

A copy of a ledger has its signing key, and the original may still be at work. Two of them that go
on sign two histories. So a restored home writes nothing until somebody has compared it with what
others have seen of the ledger, and has declared the original ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, StorageFailure
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.store.disk import write_file

if TYPE_CHECKING:
    from datetime import datetime

    from witnesstree.ledger.base.strictjson import Reader
    from witnesstree.ledger.store.home import Home

FILE = "restored.json"
FORMAT = "witnesstree-restored/1"
MAX_FILE = 2**20
"""Bytes in it."""
_MOST = 1000
"""Restorations, and what each was compared with."""


@dataclass(frozen=True, slots=True)
class Restored:
    """One restoration: the `backup` by the SHA-256 of its list (in hex), when that was `made`, and
    how many batches its log had; when it was put back, and which files with secrets were `missing`.

    `continued` is when the home was let go on, None before, and `compared` what it was compared
    with by then.
    """

    backup: str
    made: datetime
    size: int
    restored: datetime
    missing: tuple[str, ...] = ()
    continued: datetime | None = None
    compared: tuple[str, ...] = ()


def restorations(home: Home) -> tuple[Restored, ...]:
    """Return all restorations that a home has behind it, the newest last.

    Raises Damaged if what tells of them cannot be read.
    """
    path = home.folder / FILE
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageFailure("read-failed", path=path, error=error) from error
    try:
        value = load(str(path), content)
        value.members("format restored")
        value.demand_format(FORMAT)
        return value["restored"].list(_read, _MOST)
    except InvalidInput as error:
        raise Damaged("restored-file-damaged", path=path, error=error) from error


def waiting(home: Home) -> Restored | None:
    """Return the restoration that a home waits after, None where it may write.

    Raises Damaged as `restorations` does.
    """
    found = restorations(home)
    return found[-1] if found and found[-1].continued is None else None


def require_continued(home: Home) -> None:
    """Raise Conflict if the home was restored, and nobody has said that it goes on."""
    if found := waiting(home):
        raise Conflict("home-waits-after-restore", folder=home.folder, made=found.made)


def add(home: Home, restored: Restored) -> None:
    """Note a restoration, durably. Raises StorageFailure."""
    _write(home, (*restorations(home), restored))


def go_on(home: Home, now: datetime, compared: tuple[str, ...]) -> None:
    """Let a home that waits write again, durably. Raises StorageFailure."""
    *before, newest = restorations(home)
    _write(home, (*before, replace(newest, continued=now, compared=compared)))


def _write(home: Home, found: tuple[Restored, ...]) -> None:
    members = {"format": FORMAT, "restored": [_members(each) for each in found]}
    write_file(home.folder / FILE, (json.dumps(members, indent=1) + "\n").encode())


def _members(each: Restored) -> dict[str, Any]:
    members: dict[str, Any] = {
        "backup": each.backup,
        "made": format_time(each.made),
        "size": each.size,
        "restored": format_time(each.restored),
        "missing": list(each.missing),
    }
    if each.continued:
        members |= {"continued": format_time(each.continued), "compared": list(each.compared)}
    return members


def _read(value: Reader) -> Restored:
    value.members("backup made size restored missing", "continued compared")
    continued = value.optional("continued", lambda time: parse_time(time.text(20)))
    compared = value.optional("compared", lambda list_: list_.list(lambda it: it.text(4096), _MOST))
    return Restored(
        value["backup"].hex(32).hex(),
        parse_time(value["made"].text(20)),
        value["size"].integer(),
        parse_time(value["restored"].text(20)),
        value["missing"].list(lambda path: path.text(255), _MOST),
        continued,
        compared or (),
    )
