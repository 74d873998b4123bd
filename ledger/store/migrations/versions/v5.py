"""Version 5: direct tokens, over the digests of single entries.

The SQL is written out, so that what this does stays the same when the schema goes on.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from witnesstree.ledger.store.migrations.guards import postgresql_guards, sqlite_guards

revision = "5"
down_revision = "4"

_COLUMNS = (
    "digest {bytes} NOT NULL, authority {text} NOT NULL, token {bytes} NOT NULL, vouchers {text},"
    " PRIMARY KEY (digest, authority)"
)
_TYPES = {
    "sqlite": {"text": "VARCHAR", "bytes": "BLOB"},
    "postgresql": {"text": 'VARCHAR COLLATE "C"', "bytes": "BYTEA"},
}


def upgrade() -> None:
    """Bring a database of version 4 to version 5."""
    connection = op.get_bind()
    dialect = connection.dialect.name
    columns = _COLUMNS.format(**_TYPES[dialect])
    connection.execute(text(f"CREATE TABLE direct_tokens ({columns})"))
    guards = sqlite_guards if dialect == "sqlite" else postgresql_guards
    for guard in guards("direct_tokens", ("digest", "authority")):
        connection.execute(text(guard))
