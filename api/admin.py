"""What the command line does with tenants and keys."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from witnesstree.anchor.wiring import open_ledger
from witnesstree.api.store.acts import add_act, list_acts
from witnesstree.api.store.keys import (
    Key,
    Scope,
    add_key,
    end_key,
    key_of,
    list_keys,
    parse_scopes,
)
from witnesstree.api.store.schema import OPERATOR, require_tables
from witnesstree.api.store.tenants import Tenant, add_tenant, list_tenants, tenant_named
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextmanager
def _writing(home: Path) -> Iterator[tuple[Any, datetime]]:
    with open_ledger(home, serves=True) as ledger, ledger.metadata.write() as transaction:
        require_tables(transaction.connection, format_time(ledger.now()))
        yield transaction.connection, ledger.now()


def new_tenant(home: Path, name: str, rate: int | None, quota: int | None) -> Tenant:
    """Add a tenant. Raises Conflict, InvalidInput."""
    with _writing(home) as (connection, now):
        tenant = add_tenant(connection, name, now, rate, quota)
        add_act(connection, now, "tenant-added", tenant=tenant.id, name=name)
        return tenant


def all_tenants(home: Path) -> list[Tenant]:
    """Return all tenants."""
    with _writing(home) as (connection, _):
        return list_tenants(connection)


def new_key(
    home: Path, tenant: str, scopes: Sequence[str], until: datetime | None
) -> tuple[Key, str]:
    """Make a key for the tenant of a name, and return it with its secret.

    Raises NotFound, and InvalidInput if the scopes are none, or not for this tenant.
    """
    with _writing(home) as (connection, now):
        owner = tenant_named(connection, tenant)
        wanted = parse_scopes(list(scopes))
        if Scope.OPERATOR in wanted and owner.id != OPERATOR:
            raise InvalidInput("scope-for-operator-only", tenant=tenant)
        if until is not None and until <= now:
            raise InvalidInput("key-would-have-ended", time=until)
        key, secret = add_key(connection, owner.id, wanted, now, until=until)
        add_act(connection, now, "key-added", tenant=owner.id, key=key.id, scopes=sorted(wanted))
        return key, secret


def all_keys(home: Path) -> list[tuple[Key, str]]:
    """Return all keys, each with its tenant's name."""
    with _writing(home) as (connection, _):
        names = {tenant.id: tenant.name for tenant in list_tenants(connection)}
        return [(key, names.get(key.tenant, "?")) for key in list_keys(connection)]


def rotate(home: Path, id_: str, overlap: timedelta) -> tuple[Key, str]:
    """Make a key that takes over from another, which ends after the overlap.

    Raises NotFound, Conflict if the other has ended.
    """
    with _writing(home) as (connection, now):
        old = end_key(connection, id_, now + overlap)
        if not replace(old, revoked=None).is_valid(now):
            raise InvalidInput("key-would-have-ended", time=old.until)
        key, secret = add_key(
            connection, old.tenant, old.scopes, now, until=old.until, replaces=old.id
        )
        add_act(connection, now, "key-rotated", tenant=old.tenant, key=old.id, new=key.id)
        return key, secret


def revoke(home: Path, id_: str) -> Key:
    """Let a key end now. Raises NotFound, Conflict if it has ended already."""
    with _writing(home) as (connection, now):
        key = end_key(connection, id_, now)
        add_act(connection, now, "key-revoked", tenant=key.tenant, key=id_)
        return key_of(connection, id_)


def acts(home: Path) -> list[tuple[int, str, bytes, bool]]:
    """Return the administrative acts: number, text, hash, and whether the hash is right."""
    with _writing(home) as (connection, _):
        return list(list_acts(connection))
