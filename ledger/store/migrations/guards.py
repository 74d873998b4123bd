"""The SQL that makes a table append-only, as the migrations since version 2 write it.

What was migrated stays as it is: a change here is another function, for the versions to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def sqlite_guards(table: str, keys: tuple[str, ...]) -> Iterator[str]:
    """Yield the SQL that makes a table append-only: no update, no delete, and no insert that would
    replace a row.
    """
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    same_key = " AND ".join(f"{key} = NEW.{key}" for key in keys)
    for verb in ("UPDATE", "DELETE"):
        yield f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {refuse}"
    is_known = f"EXISTS (SELECT 1 FROM {table} WHERE ({same_key}))"  # noqa: S608
    yield f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {is_known} {refuse}"


def postgresql_guards(table: str, _keys: tuple[str, ...]) -> Iterator[str]:
    """Yield the same for PostgreSQL, which refuses a second row with one key by itself; its
    function is there since version 2.
    """
    name = f"{table}_append_only"
    yield (
        f"CREATE TRIGGER {name} BEFORE DELETE OR UPDATE OR TRUNCATE ON {table} FOR EACH STATEMENT"
        " EXECUTE FUNCTION append_only()"
    )
    yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"
