"""The schema of the metadata: its tables and columns, and which of them are append-only.

What the ledger has stated (batches, log nodes, checkpoints, tokens, anchors) is append-only, and
triggers hold that for every program. What is still moving (the open batches, the outbox of jobs) is
not. A change of the schema is a new version of it, with a migration (migrations/versions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    TypeDecorator,
)
from typing_extensions import override

from witnesstree.ledger.base.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect

VERSION = 5
"""Of the schema, as migrations/versions counts.

A newer one is refused, never guessed at; an older one has to be migrated first.
"""


class _Only(TypeDecorator[Any]):
    """A column that holds values of one Python type or None.

    SQLite itself keeps whatever it is given, or finds after damage.
    """

    kind: type

    @override
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        def check(value: Any) -> Any:
            if value is not None and type(value) is not self.kind:
                raise Damaged(
                    "metadata-value-wrong", value=str(value)[:20], kind=self.kind.__name__
                )
            return value

        return check


class Number(_Only):
    """A whole number of 64 bits."""

    # On SQLite every integer has 64 bits.
    impl, kind, cache_ok = BigInteger().with_variant(Integer, "sqlite"), int, True


class Text(_Only):
    """Text."""

    # Both databases compare and sort by bytes.
    impl, kind, cache_ok = String().with_variant(String(collation="C"), "postgresql"), str, True


class Bytes(_Only):
    """Bytes."""

    impl, kind, cache_ok = LargeBinary, bytes, True


metadata = MetaData()

# Alembic's own table, one row: the one place that says which version the schema has.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
# `version` stays as it is for ever: the first release looks there, and refuses whatever is above 1.
ledger = Table(
    "ledger",
    metadata,
    Column("version", Number, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
)
open_batches = Table(
    "open_batches",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("opened", Text, nullable=False),
    Column("opening", Text, nullable=False),
    Column("header", Bytes),
    Column("count", Number, nullable=False),
    Column("crc32", Number, nullable=False),
    Column("fillers", Number, nullable=False, server_default="0"),
)
batches = Table(
    "batches",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("count", Number, nullable=False),
    Column("root", Bytes, nullable=False),
    Column("closed", Text, nullable=False),
    Column("opening", Text, nullable=False),
    Column("header", Bytes),
    Column("log_index", Number, nullable=False, unique=True),
    Column("statement", Text, nullable=False),
    Column("fillers", Number, nullable=False, server_default="0"),
)
log_nodes = Table(
    "log_nodes",
    metadata,
    Column("level", Number, primary_key=True, autoincrement=False),
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("hash", Bytes, nullable=False),
)
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", Number, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
tokens = Table(
    "tokens",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("authority", Text, primary_key=True),
    Column("token", Bytes, nullable=False),
    Column("vouchers", Text),
)
# A token over an entry's own digest, not over its batch's root: a row for each that was asked for.
direct_tokens = Table(
    "direct_tokens",
    metadata,
    Column("digest", Bytes, primary_key=True),
    Column("authority", Text, primary_key=True),
    Column("token", Bytes, nullable=False),
    Column("vouchers", Text),
)
anchors = Table(
    "anchors",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("chain", Text, primary_key=True),
    Column("anchor", Text, nullable=False),
)
published = Table(
    "published",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("store", Text, primary_key=True),
    Column("cid", Text, nullable=False),
)
# An evidence record of the entry at `position`; at position 0, that of the batch itself, from which
# the records of all its entries are made.
records = Table(
    "records",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("authority", Text, primary_key=True),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("renewed", Text, nullable=False),
    Column("record", Bytes, nullable=False),
)
renewals = Table(
    "renewals",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("authority", Text, primary_key=True),
    Column("due", Text, nullable=False, index=True),
)
cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", Number, primary_key=True, autoincrement=False),
    Column("witness", Text, primary_key=True),
    Column("key_id", Bytes, primary_key=True),
    Column("line", Text, nullable=False),
)
keys = Table(
    "keys",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
transactions = Table(
    "transactions",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("hash", Bytes, primary_key=True),
    Column("sender", Bytes, nullable=False),
    Column("nonce", Number, nullable=False),
    Column("raw", Bytes, nullable=False),
    Column("signed", Text, nullable=False),
)
alarms = Table(
    "alarms",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("since", Text, nullable=False),
)
jobs = Table(
    "jobs",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("state", Text, nullable=False, index=True),
    Column("transaction", Bytes),
    Column("attempts", Number, nullable=False),
    Column("last_error", Text),
    Column("retry_at", Text),
)

APPEND_ONLY = (
    ledger,
    batches,
    log_nodes,
    checkpoints,
    tokens,
    anchors,
    published,
    transactions,
    records,
    cosignatures,
    keys,
    direct_tokens,
)
