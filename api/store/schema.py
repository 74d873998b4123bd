"""The service's tables, beside the ledger's in the same database.

They are made when the service, or a command about tenants and keys, first needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Index, MetaData, Table, insert, inspect, select

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.store.database.schema import Bytes, Number, Text

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION: Final = 1

metadata = MetaData()

service = Table("service", metadata, Column("version", Number, primary_key=True))

tenants = Table(
    "tenants",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("created", Text, nullable=False),
    Column("rate", Number),
    Column("quota", Number),
)
# Of a key only its hash is kept. `replaces` is the key that one took over from.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Number, nullable=False),
    Column("hash", Bytes, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("until", Text),
    Column("revoked", Text),
    Column("replaces", Text),
    Column("used", Text),
)
# A range of entries that follow on each other: `count` from position `first` of a batch on, of
# `requests` requests, whose submissions are numbered from `number` on. What of the ledger is in no
# range is the operator's.
submissions = Table(
    "submissions",
    metadata,
    Column("batch", Number, primary_key=True, autoincrement=False),
    Column("first", Number, primary_key=True, autoincrement=False),
    Column("count", Number, nullable=False),
    Column("tenant", Number, nullable=False),
    Column("number", Number, nullable=False),
    Column("requests", Number, nullable=False),
    Column("received", Text, nullable=False),
    Index("submissions_by_tenant", "tenant", "received"),
    Index("submissions_by_number", "number"),
)
# The references that one request gave its entries, as a list in JSON, and where the entries are.
named = Table(
    "named_entries",
    metadata,
    Column("batch", Number, primary_key=True, autoincrement=False),
    Column("first", Number, primary_key=True, autoincrement=False),
    Column("tenant", Number, nullable=False),
    Column("number", Number, nullable=False),
    Column("names", Text, nullable=False),
)
# What was answered to a request with this Idempotency-Key, until it ends.
answers = Table(
    "answers",
    metadata,
    Column("tenant", Number, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("body", Bytes, nullable=False),
    Column("answer", Bytes, nullable=False),
    Column("ends", Text, nullable=False),
    Index("answers_by_end", "ends"),
)
# Digests for which a tenant asked for a token over the digest itself: few, and limited.
direct = Table(
    "direct_requests",
    metadata,
    Column("tenant", Number, primary_key=True, autoincrement=False),
    Column("digest", Bytes, primary_key=True),
)
# Administrative acts, each with the hash of the one before: the newest hash is sealed each day.
acts = Table(
    "acts",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("act", Text, nullable=False),
    Column("hash", Bytes, nullable=False),
)


def require_tables(connection: Connection, now: str) -> None:
    """Make the service's tables, with the operator's tenant, unless they are there.

    Raises InvalidInput if a newer version made them.
    """
    if not inspect(connection).has_table(service.name):
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(service), {"version": VERSION})
        connection.execute(insert(tenants), {"id": OPERATOR, "name": OPERATOR_NAME, "created": now})
    found = connection.execute(select(service.c.version)).scalar_one()
    if found > VERSION:
        raise InvalidInput("service-tables-newer", version=found, newest=VERSION)


OPERATOR: Final = 0
"""The tenant of whoever keeps the ledger: what comes by the command line is this one's."""
OPERATOR_NAME: Final = "operator"
