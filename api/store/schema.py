"""The service's tables, beside the ledger's in the same database.

They are made when the service, or a command about tenants and keys, first needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
)

from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION: Final = 1

_Number = BigInteger().with_variant(Integer, "sqlite")
# Both databases compare and sort by bytes.
_Text = String().with_variant(String(collation="C"), "postgresql")

metadata = MetaData()

service = Table("service", metadata, Column("version", _Number, primary_key=True))

tenants = Table(
    "tenants",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("name", _Text, nullable=False, unique=True),
    Column("created", _Text, nullable=False),
    Column("rate", _Number),
    Column("quota", _Number),
)
# Of a key only its hash is kept. `replaces` is the key that one took over from.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _Text, primary_key=True),
    Column("tenant", _Number, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", _Text, nullable=False),
    Column("created", _Text, nullable=False),
    Column("until", _Text),
    Column("revoked", _Text),
    Column("replaces", _Text),
    Column("used", _Text),
)
# A range of entries that follow on each other: `count` from position `first` of a batch on, of
# `requests` requests, whose submissions are numbered from `number` on. What of the ledger is in no
# range is the operator's.
submissions = Table(
    "submissions",
    metadata,
    Column("batch", _Number, primary_key=True, autoincrement=False),
    Column("first", _Number, primary_key=True, autoincrement=False),
    Column("count", _Number, nullable=False),
    Column("tenant", _Number, nullable=False),
    Column("number", _Number, nullable=False),
    Column("requests", _Number, nullable=False),
    Column("received", _Text, nullable=False),
    Index("submissions_by_tenant", "tenant", "received"),
    Index("submissions_by_number", "number"),
)
# The references that one request gave its entries, as a list in JSON, and where the entries are.
named = Table(
    "named_entries",
    metadata,
    Column("batch", _Number, primary_key=True, autoincrement=False),
    Column("first", _Number, primary_key=True, autoincrement=False),
    Column("tenant", _Number, nullable=False),
    Column("number", _Number, nullable=False),
    Column("names", _Text, nullable=False),
)
# What was answered to a request with this Idempotency-Key, until it ends.
answers = Table(
    "answers",
    metadata,
    Column("tenant", _Number, primary_key=True, autoincrement=False),
    Column("key", _Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("ends", _Text, nullable=False),
    Index("answers_by_end", "ends"),
)
# Administrative acts, each with the hash of the one before: the newest hash is sealed each day.
acts = Table(
    "acts",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("act", _Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
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
