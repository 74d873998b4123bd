"""The ledger's metadata in a database: a row a batch, and a row an entry only
where an entry has a token or a record of its own.

How it is made, opened and copied, and its transactions. The tables are in database/schema.py, the
questions to them beside it; what differs between SQLite and PostgreSQL is in database/sqlite.py and
database/postgresql.py.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput
from witnesstree.ledger.proof.proof import format_vouchers
from witnesstree.ledger.store.database import schema
from witnesstree.ledger.store.database.batches import BatchRows
from witnesstree.ledger.store.database.direct import DirectRows
from witnesstree.ledger.store.database.log import LogRows
from witnesstree.ledger.store.database.outbox import OutboxRows
from witnesstree.ledger.store.database.renewals import RenewalRows
from witnesstree.ledger.store.database.schema import APPEND_ONLY, VERSION
from witnesstree.ledger.store.database.sqlite import SQLite
from witnesstree.ledger.store.database.values import UNSCHEDULED, Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, MetaData

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.store.database.values import Job, JobKind, SealedBatch
    from witnesstree.ledger.store.ports import Database

GUESTS = ("witnesstree.api.store.schema",)
"""Modules whose `metadata` are tables beside the ledger's: all of them are there, or none."""
_ABOVE_THE_FIRST = 2
_PART = 1000
"""Rows that are copied at a time: tokens and anchors have some thousand bytes each."""
_NUMBER = re.compile("[0-9]{1,9}")


class Transaction(BatchRows, DirectRows, LogRows, OutboxRows, RenewalRows):
    """Typed reads and writes inside one database transaction.

    Here are the steps that write several kinds of rows; the others are with their tables.
    """

    @property
    def connection(self) -> Connection:
        """What the transaction is on: for stores of other rooms that keep tables of their own
        beside these.
        """
        return self._connection

    def seal(
        self,
        batch: SealedBatch,
        nodes: list[tuple[int, int, bytes]],
        checkpoint: str,
        jobs: list[tuple[JobKind, str]],
    ) -> None:
        """Record a sealed batch with its log nodes, the checkpoint that covers it, and a waiting
        job for each (kind, target); it is open no more.
        """
        row = {name: getattr(batch, name) for name in batch.__slots__}
        self._connection.execute(
            insert(schema.batches), {**row, "closed": format_time(batch.closed)}
        )
        self._connection.execute(
            insert(schema.log_nodes),
            [{"level": level, "position": at, "hash": hash_} for level, at, hash_ in nodes],
        )
        self.add_checkpoint(batch.log_index + 1, checkpoint)
        for kind, target in jobs:
            self.add_job(batch.sequence, kind, target)
        self._connection.execute(
            schema.open_batches.delete().where(schema.open_batches.c.sequence == batch.sequence)
        )

    def finish_stamp(self, job: Job, stamp: Stamp) -> None:
        """Keep the token that `job` asked for, and what vouches for it, unless one is kept already;
        when it has to be renewed is worked out later.
        """
        row = {
            "sequence": job.sequence,
            "authority": job.target,
            "token": stamp.token,
            "vouchers": format_vouchers(stamp),
        }
        if self._add_once(schema.tokens, row):
            self.schedule(Renewal(UNSCHEDULED, job.sequence, 0, job.target))
        self._finish(job)


class Metadata:
    """The database of one ledger: a SQLite file, or a schema in PostgreSQL, named by its URL.

    Every transaction sees one state; one that writes excludes other writers until it ends. Any
    method may raise Unreachable where a server is asked and does not answer: then a transaction
    that was to write may have been kept or not, as after a crash.
    """

    def __init__(self, place: Path | str, patience: float, *, is_fixed: bool = False) -> None:
        self._database = _database(place, patience, is_fixed=is_fixed)
        self.guard: Callable[[Transaction], None] | None = None

    @property
    def place(self) -> str:
        """Where the database is, in words that may be shown to anyone."""
        return self._database.place

    @classmethod
    def create(cls, place: Path | str, origin: str, checkpoint: str) -> Metadata:
        """Make the schema, with the ledger's origin and the checkpoint of its empty log.

        Raises Conflict if a ledger is there already, or another program's tables.
        """
        with cls._creating(place) as (metadata, connection):
            connection.execute(insert(schema.alembic_version), {"version_num": str(VERSION)})
            connection.execute(
                insert(schema.ledger), {"version": _ABOVE_THE_FIRST, "origin": origin}
            )
            Transaction(connection).add_checkpoint(0, checkpoint)
        return metadata

    @classmethod
    def copy(cls, source: Transaction, place: Path | str) -> Metadata:
        """Make the schema with every row that `source` sees: from any database to any other.

        Rows are read in parts, and each value is of its column's type. Tables that other rooms keep
        beside the ledger's come along; nothing else that a database may hold does. Raises Conflict
        as `create` does, Damaged if a value has another type.
        """
        rows = source._connection.execution_options(yield_per=_PART)  # noqa: SLF001 - a database as a whole
        with cls._creating(place) as (metadata, connection):
            guests = list(_guests(rows))
            for guest in guests:
                guest.create_all(connection, checkfirst=False)
            for table in (
                table for each in (schema.metadata, *guests) for table in each.sorted_tables
            ):
                order = list(table.primary_key)
                for part in rows.execute(select(table).order_by(*order)).mappings().partitions():
                    connection.execute(insert(table), [dict(row) for row in part])
        return metadata

    @classmethod
    @contextmanager
    def _creating(cls, place: Path | str) -> Iterator[tuple[Metadata, Connection]]:
        """Make the schema, and let a block fill its tables, in one transaction."""
        metadata = cls(place, patience=1)
        with metadata._closing_on_error(), metadata.write() as transaction:
            connection = transaction._connection  # noqa: SLF001 - the one place that makes the schema
            if inspect(connection).has_table(schema.ledger.name):
                raise Conflict("database-taken", place=metadata.place)
            schema.metadata.create_all(connection, checkfirst=False)
            yield metadata, connection
            for statement in metadata._database.guards(APPEND_ONLY):
                connection.execute(text(statement))

    @classmethod
    def open(
        cls,
        place: Path | str,
        patience: float,
        origin: str | None = None,
        *,
        is_fixed: bool = False,
    ) -> Metadata:
        """Open the database of an existing ledger.

        A writer waits `patience` seconds for another one, which should take one at most. A file
        that `is_fixed` is only read, and nothing is made beside it: no process may write to it.

        Raises Damaged if it is missing or no ledger's, InvalidInput if a newer version made it, an
        older one did and it has to be migrated, or if it is not the ledger named `origin`.
        """
        metadata = cls(place, patience, is_fixed=is_fixed)
        with metadata._closing_on_error():
            if (version := metadata.version()) < VERSION:
                raise InvalidInput(
                    "database-older", place=metadata.place, version=version, needed=VERSION
                )
            if origin is not None and (found := metadata.origin()) != origin:
                raise InvalidInput(
                    "database-of-other-ledger", place=metadata.place, found=found, origin=origin
                )
        return metadata

    def version(self) -> int:
        """Return the version of the schema.

        Raises Damaged if it cannot be told, InvalidInput if a newer witnesstree made it.
        """
        self._database.require_present()
        with self._translating(), self._database.engine.connect() as connection:
            version = _version(connection)
        if version is None:
            raise Damaged("database-version-unknown", place=self.place)
        if version > VERSION:
            raise InvalidInput("database-newer", place=self.place, version=version, newest=VERSION)
        return version

    @contextmanager
    def write(self, *, is_guarded: bool = True) -> Iterator[Transaction]:
        """Run a block as one transaction that excludes other writers; what it wrote is on disk when
        the block has ended, or nothing of it.

        The `guard`, where there is one, is asked first, and may refuse: only what mends what it
        guards against does without (`is_guarded`).

        Raises Conflict if another process keeps the ledger locked for longer than its patience,
        StorageFailure if the disk refuses.
        """
        with (
            self._translating(),
            self._database.engine.connect().execution_options(writes=True) as connection,
        ):
            with connection.begin():
                transaction = Transaction(connection)
                if self.guard and is_guarded:
                    self.guard(transaction)
                yield transaction
            self._database.require_kept(connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Run a block that only reads, on one state of the database."""
        with self._translating(), self._database.engine.connect() as connection, connection.begin():
            yield Transaction(connection)

    def origin(self) -> str:
        """Return the ledger's origin. Raises Damaged if it is not there once."""
        with self._translating(), self._database.engine.connect() as connection:
            found = connection.execute(select(schema.ledger.c.origin)).scalars().all()
        if len(found) != 1:
            raise Damaged("database-names-ledgers", place=self.place, count=len(found))
        return str(found[0])

    def problems(self) -> list[Message]:
        """Return what is wrong with the database itself: with its file, where it is one, and with
        what keeps its tables append-only.
        """
        with self._translating(), self._database.engine.connect() as connection:
            return list(self._database.problems(connection, APPEND_ONLY))

    def back_up(self, version: int) -> Path | None:
        """Copy a database that is a file, as it is at `version`, and return the copy's path;
        None where a server keeps it.
        """
        with self._translating():
            return self._database.back_up(version)

    def close(self) -> None:
        """Let go of the database."""
        self._database.engine.dispose()

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            fault = self._database.fault(error)
            fault.is_ours = True
            raise fault from error
        except UnicodeDecodeError as error:
            # SQLite quotes a damaged schema in its message, and Python fails to read that.
            raise Damaged("database-schema-unreadable", place=self.place) from error


def _database(place: Path | str, patience: float, *, is_fixed: bool) -> Database:
    """Return the database at a place: a file is SQLite's, a URL PostgreSQL's."""
    if not isinstance(place, str):
        return SQLite(place, patience, is_fixed=is_fixed)
    # Here, because it imports the driver, which takes a while.
    from witnesstree.ledger.store.database.postgresql import PostgreSQL

    return PostgreSQL(place, patience)


def _guests(connection: Connection) -> Iterator[MetaData]:
    """Yield the tables that other rooms keep in this database. They are known by name alone: those
    rooms are above the ledger.
    """
    for name in GUESTS:
        tables: MetaData = import_module(name).metadata
        if inspect(connection).has_table(tables.sorted_tables[0].name):
            yield tables


def _version(connection: Connection) -> int | None:
    """Return the version that a database says it has, None where it says none."""
    found = inspect(connection)
    if found.has_table(schema.alembic_version.name):
        said = list(connection.execute(select(schema.alembic_version.c.version_num)).scalars())
        return int(said[0]) if len(said) == 1 and _NUMBER.fullmatch(str(said[0])) else None
    # The first release wrote it elsewhere.
    if (
        found.has_table(schema.ledger.name)
        and connection.execute(select(schema.ledger.c.version)).scalar() == 1
    ):
        return 1
    return None
