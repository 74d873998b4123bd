"""How the questions to the metadata read and write rows: what a damaged row means, and how times
and messages are kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, insert, select

from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.errors import Damaged, InvalidInput
from witnesstree.ledger.base.message import AS_TEXT, from_json, message, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from witnesstree.ledger.base.message import Message


class Rows:
    """Typed reads and writes of some tables inside one database transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _add_once(self, table: Table, row: dict[str, Any]) -> bool:
        """Add a row, unless there is one with its primary key, which stays; return whether it was
        added.

        The answer to an earlier commit may have been lost: then what it kept is met here.
        """
        where = and_(*(column == row[column.name] for column in table.primary_key))
        if self._connection.execute(select(table).where(where)).first():
            return False
        self._connection.execute(insert(table), row)
        return True


def parsed(table: Table, row: Mapping[Any, Any], **parsers: Callable[[str], Any]) -> dict[str, Any]:
    """Return a row's values, some of them parsed.

    Raises Damaged if one is missing, or cannot be parsed.
    """
    for column in table.columns:
        if row[column.name] is None and not column.nullable:
            raise Damaged("row-lacks-column", table=table.name, column=column.name)
    try:
        return {**row, **{name: parse(row[name]) for name, parse in parsers.items()}}
    except (ValueError, InvalidInput) as error:
        raise Damaged("row-unreadable", table=table.name, error=error) from error


def optional_time(text: str | None) -> datetime | None:
    """Return the time that a column has, or None."""
    return None if text is None else parse_time(text)


def format_message(said: Message) -> str:
    """Return a message as a text column keeps it: JSON in ASCII, which both databases take,
    whatever outside parts have said.
    """
    return json.dumps(to_json(said))


def parse_message(text: str) -> Message:
    """Return the message that a text column has. What older versions stored is plain text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    said = from_json(found)
    is_one = isinstance(found, dict) and found.get("code") == said.code
    return said if is_one else message(AS_TEXT, text=text)


def optional_message(text: str | None) -> Message | None:
    """Return the message that a column has, or None."""
    return None if text is None else parse_message(text)
