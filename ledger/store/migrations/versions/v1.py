"""Version 1: the schema of the first release, which made it without us. Only SQLite has it."""

from __future__ import annotations

revision = "1"
down_revision = None


def upgrade() -> None:
    """Do nothing: a database without a version of Alembic's is of this one."""
