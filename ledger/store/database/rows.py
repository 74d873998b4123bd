"""How the questions to the metadata read and write rows: what a damaged row means, and what text
both databases take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.errors import Damaged, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Table


class Rows:
    """Typed reads and writes of some tables inside one database transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


def parsed(table: Table, row: Mapping[Any, Any], **parsers: Callable[[str], Any]) -> dict[str, Any]:
    """Return a row's values, some of them parsed.

    Raises Damaged if one is missing, or cannot be parsed.
    """
    for column in table.columns:
        if row[column.name] is None and not column.nullable:
            raise Damaged(f"a row of {table.name} lacks its {column.name}; run `witnesstree fsck`")
    try:
        return {**row, **{name: parse(row[name]) for name, parse in parsers.items()}}
    except (ValueError, InvalidInput) as error:
        raise Damaged(
            f"a row of {table.name} cannot be read: {error}; run `witnesstree fsck`"
        ) from error


def optional_time(text: str | None) -> datetime | None:
    """Return the time that a column has, or None."""
    return None if text is None else parse_time(text)


def storable(said: str) -> str:
    """Return what somebody outside said so that both databases take it: PostgreSQL keeps no NUL,
    and neither keeps half a surrogate pair.
    """
    return said.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
