"""API keys: what a program shows to speak for a tenant.

A key is "wt_", eight characters that name it, "_", and 256 random bits. Of those only a hash is
kept: 256 bits need no slow one.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from witnesstree.api.store.schema import api_keys
from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

FORM: Final = re.compile(r"wt_([0-9a-z]{8})_[0-9A-Za-z_-]{43}", re.ASCII)


class Scope(StrEnum):
    """What a key may be used for."""

    SUBMIT = "submit"
    READ = "read"
    WEBHOOKS = "webhooks"
    OPERATOR = "operator"
    """Whole batches, metrics, details of readiness: of the operator's tenant only."""


DEFAULT: Final = frozenset({Scope.SUBMIT, Scope.READ})


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. It ends at `until`, or when it was `revoked`."""

    id: str
    tenant: int
    hash: bytes
    scopes: frozenset[Scope]
    created: datetime
    until: datetime | None
    revoked: datetime | None
    replaces: str | None
    used: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether it may be used now."""
        return all(end is None or now < end for end in (self.until, self.revoked))

    def fits(self, secret: str) -> bool:
        """Whether `secret` is this key."""
        return hmac.compare_digest(self.hash, sha256(secret.encode()).digest())


def add_key(
    connection: Connection,
    tenant: int,
    scopes: frozenset[Scope],
    now: datetime,
    *,
    until: datetime | None = None,
    replaces: str | None = None,
) -> tuple[Key, str]:
    """Make a key for a tenant, and return it with its secret, which nobody can read again."""
    id_ = "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(8))
    secret = f"wt_{id_}_{secrets.token_urlsafe(32)}"
    key = Key(
        id_, tenant, sha256(secret.encode()).digest(), scopes, now, until, None, replaces, None
    )
    connection.execute(
        insert(api_keys),
        {
            "id": key.id,
            "tenant": tenant,
            "hash": key.hash,
            "scopes": " ".join(sorted(scopes)),
            "created": format_time(now),
            "until": format_time(until) if until else None,
            "replaces": replaces,
        },
    )
    return key, secret


def list_keys(connection: Connection) -> list[Key]:
    """Return all keys, revoked and ended ones too, oldest first."""
    query = select(api_keys).order_by(api_keys.c.created, api_keys.c.id)
    return [_key(row) for row in connection.execute(query).mappings()]


def key_of(connection: Connection, id_: str) -> Key:
    """Return the key of this name. Raises NotFound."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == id_)).mappings().first()
    if row is None:
        raise NotFound("key-unknown", key=id_[:20])
    return _key(row)


def end_key(connection: Connection, id_: str, at: datetime) -> Key:
    """Let a key end at a time. Raises NotFound, Conflict if it has ended already."""
    key = key_of(connection, id_)
    if key.revoked and key.revoked <= at:
        raise Conflict("key-ended", key=id_, time=key.revoked)
    connection.execute(update(api_keys).where(api_keys.c.id == id_).values(revoked=format_time(at)))
    return key


def note_use(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Keep when keys were last used."""
    for id_, time in used.items():
        connection.execute(
            update(api_keys).where(api_keys.c.id == id_).values(used=format_time(time))
        )


def parse_scopes(names: list[str]) -> frozenset[Scope]:
    """Return the scopes of these names. Raises InvalidInput if there is no such scope."""
    for name in names:
        if name not in {each.value for each in Scope}:
            raise InvalidInput(
                "scope-unknown", found=name[:40], known=[each.value for each in Scope]
            )
    return frozenset(map(Scope, names)) or DEFAULT


def _key(row: Mapping[Any, Any]) -> Key:
    times = {
        name: parse_time(row[name]) if row[name] else None for name in ("until", "revoked", "used")
    }
    scopes = frozenset(map(Scope, row["scopes"].split()))
    return Key(**{**row, **times, "scopes": scopes, "created": parse_time(row["created"])})
