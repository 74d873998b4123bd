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

VERSION = 4
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


class _Number(_Only):
    # On SQLite every integer has 64 bits.
    impl, kind, cache_ok = BigInteger().with_variant(Integer, "sqlite"), int, True


class _Text(_Only):
    # Both databases compare and sort by bytes.
    impl, kind, cache_ok = String().with_variant(String(collation="C"), "postgresql"), str, True


class _Bytes(_Only):
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
    Column("version", _Number, primary_key=True, autoincrement=False),
    Column("origin", _Text, nullable=False),
)
open_batches = Table(
    "open_batches",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("state", _Text, nullable=False),
    Column("opened", _Text, nullable=False),
    Column("opening", _Text, nullable=False),
    Column("header", _Bytes),
    Column("count", _Number, nullable=False),
    Column("crc32", _Number, nullable=False),
)
batches = Table(
    "batches",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("count", _Number, nullable=False),
    Column("root", _Bytes, nullable=False),
    Column("closed", _Text, nullable=False),
    Column("opening", _Text, nullable=False),
    Column("header", _Bytes),
    Column("log_index", _Number, nullable=False, unique=True),
    Column("statement", _Text, nullable=False),
)
log_nodes = Table(
    "log_nodes",
    metadata,
    Column("level", _Number, primary_key=True, autoincrement=False),
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("hash", _Bytes, nullable=False),
)
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", _Number, primary_key=True, autoincrement=False),
    Column("note", _Text, nullable=False),
)
tokens = Table(
    "tokens",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("token", _Bytes, nullable=False),
    Column("vouchers", _Text),
)
# A token over an entry's own digest, not over its batch's root: a row for each that was asked for.
direct_tokens = Table(
    "direct_tokens",
    metadata,
    Column("digest", _Bytes, primary_key=True),
    Column("authority", _Text, primary_key=True),
    Column("token", _Bytes, nullable=False),
    Column("vouchers", _Text),
)
anchors = Table(
    "anchors",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("chain", _Text, primary_key=True),
    Column("anchor", _Text, nullable=False),
)
published = Table(
    "published",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("store", _Text, primary_key=True),
    Column("cid", _Text, nullable=False),
)
# An evidence record of the entry at `position`; at position 0, that of the batch itself, from which
# the records of all its entries are made.
records = Table(
    "records",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("renewed", _Text, nullable=False),
    Column("record", _Bytes, nullable=False),
)
renewals = Table(
    "renewals",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("due", _Text, nullable=False, index=True),
)
cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", _Number, primary_key=True, autoincrement=False),
    Column("witness", _Text, primary_key=True),
    Column("key_id", _Bytes, primary_key=True),
    Column("line", _Text, nullable=False),
)
keys = Table(
    "keys",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("note", _Text, nullable=False),
)
transactions = Table(
    "transactions",
    metadata,
    Column("chain", _Text, primary_key=True),
    Column("hash", _Bytes, primary_key=True),
    Column("sender", _Bytes, nullable=False),
    Column("nonce", _Number, nullable=False),
    Column("raw", _Bytes, nullable=False),
    Column("signed", _Text, nullable=False),
)
alarms = Table(
    "alarms",
    metadata,
    Column("kind", _Text, primary_key=True),
    Column("subject", _Text, primary_key=True),
    Column("text", _Text, nullable=False),
    Column("since", _Text, nullable=False),
)
jobs = Table(
    "jobs",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("kind", _Text, primary_key=True),
    Column("target", _Text, primary_key=True),
    Column("state", _Text, nullable=False, index=True),
    Column("transaction", _Bytes),
    Column("attempts", _Number, nullable=False),
    Column("last_error", _Text),
    Column("retry_at", _Text),
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
