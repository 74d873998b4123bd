"""SQLite as the metadata's database: how it is opened and copied, what keeps its tables
append-only, and what its errors mean.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy import URL, create_engine, event, text
from typing_extensions import override

from witnesstree.ledger.base.errors import Conflict, Damaged, StorageFailure, WitnesstreeError
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.disk import replacing
from witnesstree.ledger.store.ports import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.exc import DBAPIError

    from witnesstree.ledger.base.message import Message


_THREADS = 48
"""Connections that are kept; none is made before it is asked for."""


class SQLite(Database):
    """One database file. One that `is_fixed` is only read, and may lie where nothing can be
    written: no process may change it meanwhile.
    """

    def __init__(self, path: Path, patience: float, *, is_fixed: bool = False) -> None:
        self.place = str(path)
        self.engine = _engine(path, patience, is_fixed=is_fixed)
        self._path = path
        self._patience = patience

    @override
    def require_present(self) -> None:
        """Raise Damaged if there is no file: SQLite itself would make one."""
        if not self._path.is_file():
            raise Damaged("database-file-missing", path=self._path)

    @override
    def guards(self, tables: Sequence[Table]) -> list[str]:
        """Return the SQL that makes tables append-only."""
        return [statement for table in tables for statement in _triggers(table).values()]

    @override
    def problems(self, connection: Connection, tables: Sequence[Table]) -> Iterator[Message]:
        """Yield what SQLite's own check finds, and each trigger that is gone or is another one."""
        found = connection.execute(text("PRAGMA integrity_check(20)")).scalars()
        yield from (message("sqlite-check-failed", text=line) for line in found if line != "ok")
        triggers = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        )
        stored = {trigger.name: trigger.sql for trigger in triggers}
        for table in tables:
            yield from (
                message("guard-altered", trigger=name, table=table.name)
                for name, sql in _triggers(table).items()
                if stored.get(name) != sql
            )

    @override
    def back_up(self, version: int) -> Path:
        """Copy what is committed into a file beside the database, durably, and return its path.

        A copy of the same version is replaced.

        The copy is whole even while others write, and holds all that was committed when it began.
        """
        target = self._path.with_name(f"{self._path.name}.v{version}")
        with (
            replacing(target) as file,
            self.engine.connect().execution_options(is_single=True) as connection,
        ):
            # SQLite writes into an empty file, too.
            connection.execute(text("VACUUM INTO :path"), {"path": file.name})
        return target

    @override
    def require_kept(self, connection: Connection) -> None:
        """Do nothing: a commit that returns is on disk (synchronous=FULL)."""

    @override
    def fault(self, error: DBAPIError) -> WitnesstreeError:
        """Return what an error of the database means to the caller."""
        code = getattr(error.orig, "sqlite_errorname", "")
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Conflict("database-locked", place=self.place, seconds=f"{self._patience:g}")
        if code.startswith(
            ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
        ):
            return StorageFailure("write-failed", path=self.place, error=error.orig)
        if code.startswith("SQLITE_CONSTRAINT"):
            return Damaged("database-refused-row", place=self.place, error=error.orig)
        return Damaged("database-damaged", place=self.place, error=error.orig)


def _engine(path: Path, patience: float, *, is_fixed: bool) -> Engine:
    if is_fixed:
        # `immutable`: neither locks nor a write-ahead log, which a medium that is only read has no
        # room for.
        place = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        engine = create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(place, uri=True, isolation_level=None)
        )
    else:
        # Of its parts: in a URL as text, `?` and `%` of the path would mean something else.
        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": patience, "isolation_level": None},
            # As many as a service has threads: one beyond them would be opened and closed for each
            # question.
            pool_size=_THREADS,
        )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # synchronous=FULL: a commit is on disk when it returns. recursive_triggers: REPLACE, too,
        # meets the triggers.
        for pragma in (
            *([] if is_fixed else ["journal_mode=WAL"]),
            "synchronous=FULL",
            "foreign_keys=ON",
            "recursive_triggers=ON",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("is_single"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _triggers(table: Table) -> dict[str, str]:
    """Return the triggers of an append-only table by name: no update, no delete, and no insert that
    would replace a row.
    """
    message = f"{table.name} is append-only"
    triggers = {
        f"{table.name}_no_{verb.lower()}": (
            f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} BEGIN"
            f" SELECT RAISE(ABORT, '{message}'); END"
        )
        for verb in ("UPDATE", "DELETE")
    }
    keys = [list(table.primary_key), *([column] for column in table.columns if column.unique)]
    same_key = " OR ".join(
        "(" + " AND ".join(f"{column.name} = NEW.{column.name}" for column in key) + ")"
        for key in keys
    )
    triggers[f"{table.name}_no_replace"] = (
        f"CREATE TRIGGER {table.name}_no_replace BEFORE INSERT ON {table.name} WHEN EXISTS (SELECT 1 FROM {table.name} WHERE {same_key}) "  # noqa: E501, S608
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )
    return triggers
