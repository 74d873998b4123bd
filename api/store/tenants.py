"""Tenants: whose entries are whose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select

from witnesstree.api.store.schema import tenants
from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: `rate` is how many entries it may submit a second and `quota` how many a month;
    None where nothing limits it.
    """

    id: int
    name: str
    created: datetime
    rate: int | None = None
    quota: int | None = None


def add_tenant(
    connection: Connection, name: str, now: datetime, rate: int | None, quota: int | None
) -> Tenant:
    """Add a tenant. Raises Conflict if the name is taken, InvalidInput if it is none."""
    if not (1 <= len(name) <= MAX_NAME and name.isprintable() and name == name.strip()):
        raise InvalidInput("tenant-name-malformed", most=MAX_NAME, found=name[: 2 * MAX_NAME])
    if connection.execute(select(tenants.c.id).where(tenants.c.name == name)).first():
        raise Conflict("tenant-name-taken", name=name)
    newest = connection.execute(select(func.max(tenants.c.id))).scalar_one()
    tenant = Tenant(newest + 1, name, now, rate, quota)
    connection.execute(
        insert(tenants),
        {
            "id": tenant.id,
            "name": name,
            "created": format_time(now),
            "rate": rate,
            "quota": quota,
        },
    )
    return tenant


def list_tenants(connection: Connection) -> list[Tenant]:
    """Return all tenants, in the order in which they came."""
    rows = connection.execute(select(tenants).order_by(tenants.c.id)).mappings()
    return [Tenant(**{**row, "created": parse_time(row["created"])}) for row in rows]


def tenant_named(connection: Connection, name: str) -> Tenant:
    """Return the tenant of a name. Raises NotFound."""
    for tenant in list_tenants(connection):
        if tenant.name == name:
            return tenant
    raise NotFound("tenant-unknown", name=name)
