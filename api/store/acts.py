"""Administrative acts: who did what to tenants and keys, each act with the hash of the one before.

An act is JSON (RFC 8785); its hash is SHA-256 over the hash before it and the act. So the newest
hash stands for all acts, and is sealed in the ledger itself.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import rfc8785
from sqlalchemy import insert, select

from witnesstree.api.store.schema import acts
from witnesstree.ledger.base.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

EMPTY: Final = bytes(32)


def add_act(connection: Connection, now: datetime, act: str, **about: Any) -> None:
    """Add an act. It names no secret."""
    number, before = newest_act(connection)
    text = rfc8785.dumps({"time": format_time(now), "act": act, **about}).decode()
    connection.execute(
        insert(acts),
        {"number": number + 1, "act": text, "hash": sha256(before + text.encode()).digest()},
    )


def newest_act(connection: Connection) -> tuple[int, bytes]:
    """Return the number of the newest act and its hash; 0 and 32 zero bytes where there is none."""
    row = connection.execute(
        select(acts.c.number, acts.c.hash).order_by(acts.c.number.desc()).limit(1)
    ).first()
    return (row.number, row.hash) if row else (0, EMPTY)


def list_acts(connection: Connection) -> Iterator[tuple[int, str, bytes, bool]]:
    """Yield number, text and hash of each act, oldest first, and whether the hash is right."""
    before = EMPTY
    for row in connection.execute(select(acts).order_by(acts.c.number)):
        is_right = sha256(before + row.act.encode()).digest() == row.hash
        yield row.number, row.act, row.hash, is_right
        before = row.hash
