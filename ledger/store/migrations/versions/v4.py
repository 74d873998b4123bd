"""Version 4: how many leaves of a batch are blinding leaves; none of those that are there.

The SQL is written out, so that what this does stays the same when the schema goes on.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "4"
down_revision = "3"

_NUMBER = {"sqlite": "INTEGER", "postgresql": "BIGINT"}


def upgrade() -> None:
    """Bring a database of version 3 to version 4."""
    connection = op.get_bind()
    number = _NUMBER[connection.dialect.name]
    for table in ("open_batches", "batches"):
        connection.execute(
            text(f"ALTER TABLE {table} ADD COLUMN fillers {number} DEFAULT '0' NOT NULL")
        )
