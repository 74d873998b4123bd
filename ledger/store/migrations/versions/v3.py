"""Version 3: renewed evidence records and when they are due, cosignatures, the history of keys.

The SQL is written out, so that what this does stays the same when the schema goes on.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from witnesstree.ledger.store.migrations.guards import postgresql_guards, sqlite_guards

revision = "3"
down_revision = "2"

_TABLES = {
    "records": (
        "sequence {number} NOT NULL, position {number} NOT NULL, authority {text} NOT NULL, number"
        " {number} NOT NULL, renewed {text} NOT NULL, record {bytes} NOT NULL, PRIMARY KEY"
        " (sequence, position, authority, number)"
    ),
    "renewals": (
        "sequence {number} NOT NULL, position {number} NOT NULL, authority {text} NOT NULL, due"
        " {text} NOT NULL, PRIMARY KEY (sequence, position, authority)"
    ),
    "cosignatures": (
        "size {number} NOT NULL, witness {text} NOT NULL, key_id {bytes} NOT NULL, line {text} NOT"
        " NULL, PRIMARY KEY (size, witness, key_id)"
    ),
    "keys": "number {number} NOT NULL, note {text} NOT NULL, PRIMARY KEY (number)",
}
_TYPES = {
    "sqlite": {"number": "INTEGER", "text": "VARCHAR", "bytes": "BLOB"},
    "postgresql": {"number": "BIGINT", "text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}
_KEYS = {
    "records": ("sequence", "position", "authority", "number"),
    "cosignatures": ("size", "witness", "key_id"),
    "keys": ("number",),
}
# A token that is there already is looked at when the worker next runs: that tells when it has to be
# renewed.
_DUE = (
    "INSERT INTO renewals (sequence, position, authority, due) SELECT sequence, 0, authority,"
    " '1970-01-01T00:00:00Z' FROM tokens"
)


def upgrade() -> None:
    """Bring a database of version 2 to version 3."""
    connection = op.get_bind()
    dialect = connection.dialect.name
    for table, columns in _TABLES.items():
        connection.execute(text(f"CREATE TABLE {table} ({columns.format(**_TYPES[dialect])})"))
    connection.execute(text("CREATE INDEX ix_renewals_due ON renewals (due)"))
    connection.execute(text(_DUE))
    guards = sqlite_guards if dialect == "sqlite" else postgresql_guards
    for table, keys in _KEYS.items():
        for guard in guards(table, keys):
            connection.execute(text(guard))
