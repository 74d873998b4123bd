"""The ledger's metadata in a database: a row a batch, never a row an entry. The only module that speaks SQL.

What the ledger has stated (batches, log nodes, checkpoints, tokens, anchors) is append-only, and triggers hold that for every program. What
is still moving (the open batches, the outbox of jobs) is not.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, TypeDecorator, create_engine, event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from typing_extensions import override

from witnesstree.ledger.clock import format_time, parse_time
from witnesstree.ledger.errors import Conflict, Damaged, InvalidInput, StorageFailure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection, Dialect, Engine

VERSION = 1
"""Of the schema. A home of a newer version is refused, never guessed at."""


class _Only(TypeDecorator[Any]):
    """A column that holds values of one Python type or None. SQLite itself keeps whatever it is given, or finds after damage."""

    kind: type

    @override
    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        def check(value: Any) -> Any:
            if value is not None and type(value) is not self.kind:
                raise Damaged(f"the ledger's metadata has {str(value)[:20]!r} where {self.kind.__name__} belongs; run `witnesstree fsck`")
            return value

        return check


class _Number(_Only):
    impl, kind, cache_ok = Integer, int, True


class _Text(_Only):
    impl, kind, cache_ok = String, str, True


class _Bytes(_Only):
    impl, kind, cache_ok = LargeBinary, bytes, True


_schema = MetaData()

_ledger = Table("ledger", _schema, Column("version", _Number, primary_key=True), Column("origin", _Text, nullable=False))
_open_batches = Table(
    "open_batches",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("state", _Text, nullable=False),
    Column("opened", _Text, nullable=False),
    Column("opening", _Text, nullable=False),
    Column("header", _Bytes),
    Column("count", _Number, nullable=False),
    Column("crc32", _Number, nullable=False),
)
_batches = Table(
    "batches",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("count", _Number, nullable=False),
    Column("root", _Bytes, nullable=False),
    Column("closed", _Text, nullable=False),
    Column("opening", _Text, nullable=False),
    Column("header", _Bytes),
    Column("log_index", _Number, nullable=False, unique=True),
    Column("statement", _Text, nullable=False),
)
_log_nodes = Table(
    "log_nodes",
    _schema,
    Column("level", _Number, primary_key=True, autoincrement=False),
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("hash", _Bytes, nullable=False),
)
_checkpoints = Table("checkpoints", _schema, Column("size", _Number, primary_key=True, autoincrement=False), Column("note", _Text, nullable=False))
_tokens = Table(
    "tokens",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("token", _Bytes, nullable=False),
)
_anchors = Table(
    "anchors",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("chain", _Text, primary_key=True),
    Column("anchor", _Text, nullable=False),
)
_jobs = Table(
    "jobs",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("kind", _Text, primary_key=True),
    Column("target", _Text, primary_key=True),
    Column("state", _Text, nullable=False, index=True),
    Column("transaction", _Bytes),
    Column("attempts", _Number, nullable=False),
    Column("last_error", _Text),
)

APPEND_ONLY = (_ledger, _batches, _log_nodes, _checkpoints, _tokens, _anchors)


class BatchState(StrEnum):
    """An open batch takes entries; a frozen one is being sealed and takes none."""

    OPEN = "open"
    FROZEN = "frozen"


class JobKind(StrEnum):
    """What a job asks for."""

    STAMP = "stamp"
    ANCHOR = "anchor"


class JobState(StrEnum):
    """A waiting job has done nothing yet; a signed one has stored its transaction and may have sent it."""

    WAITING = "waiting"
    SIGNED = "signed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that is not sealed yet: `count` entries are acknowledged (the opening record among them), with this CRC-32."""

    sequence: int
    state: BatchState
    opened: datetime
    opening: str
    header: bytes | None
    count: int
    crc32: int


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A sealed batch: `count` entries with their 32-byte root, and its statement at `log_index` in the ledger log."""

    sequence: int
    count: int
    root: bytes
    closed: datetime
    opening: str
    header: bytes | None
    log_index: int
    statement: str


@dataclass(frozen=True, slots=True)
class Job:
    """One effect to be had once: a batch's root stamped by one authority, or anchored on one chain."""

    sequence: int
    kind: JobKind
    target: str
    state: JobState
    transaction: bytes | None
    attempts: int
    last_error: str | None


class Transaction:
    """Typed reads and writes inside one database transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # The open batches

    def open_batches(self) -> list[OpenBatch]:
        """Return the batches that are not sealed, oldest first; at most one of them is open."""
        rows = self._connection.execute(select(_open_batches).order_by(_open_batches.c.sequence)).mappings()
        return [OpenBatch(**_parsed(_open_batches, row, state=BatchState, opened=parse_time)) for row in rows]

    def next_sequence(self) -> int:
        """Return the sequence number of the next batch to be opened."""
        highest = [self._connection.execute(select(func.max(table.c.sequence))).scalar() for table in (_batches, _open_batches)]
        return 1 + max(-1 if value is None else value for value in highest)

    def open_batch(self, batch: OpenBatch) -> None:
        """Record a new batch."""
        row = {name: getattr(batch, name) for name in batch.__slots__}
        self._connection.execute(insert(_open_batches), {**row, "opened": format_time(batch.opened)})

    def set_count(self, sequence: int, count: int, crc32: int) -> None:
        """Acknowledge the first `count` entries of an open batch."""
        self._connection.execute(update(_open_batches).where(_open_batches.c.sequence == sequence).values(count=count, crc32=crc32))

    def freeze(self, sequence: int) -> None:
        """Let a batch take no more entries."""
        self._connection.execute(update(_open_batches).where(_open_batches.c.sequence == sequence).values(state=BatchState.FROZEN))

    # The sealed batches

    def seal(self, batch: SealedBatch, nodes: list[tuple[int, int, bytes]], checkpoint: str, jobs: list[tuple[JobKind, str]]) -> None:
        """Record a sealed batch with its log nodes, the checkpoint that covers it, and a waiting job for each (kind, target); it is open no more."""
        row = {name: getattr(batch, name) for name in batch.__slots__}
        self._connection.execute(insert(_batches), {**row, "closed": format_time(batch.closed)})
        self._connection.execute(insert(_log_nodes), [{"level": level, "position": at, "hash": hash_} for level, at, hash_ in nodes])
        self.add_checkpoint(batch.log_index + 1, checkpoint)
        for kind, target in jobs:
            self.add_job(batch.sequence, kind, target)
        self._connection.execute(_open_batches.delete().where(_open_batches.c.sequence == batch.sequence))

    def batch(self, sequence: int) -> SealedBatch | None:
        """Return a sealed batch, None where there is none of this number."""
        return next(self._batches(sequence), None)

    def batches(self) -> Iterator[SealedBatch]:
        """Yield the sealed batches, oldest first."""
        return self._batches()

    def batch_sizes(self) -> list[tuple[int, int]]:
        """Return (sequence, count) of every sealed batch, oldest first."""
        rows = self._connection.execute(select(_batches.c.sequence, _batches.c.count).order_by(_batches.c.sequence))
        return [(sequence, count) for sequence, count in rows]

    def batch_count(self) -> int:
        """Return the number of sealed batches, which is the log's size."""
        return self._connection.execute(select(func.count()).select_from(_batches)).scalar_one()

    def entry_count(self) -> int:
        """Return the number of entries in sealed batches, opening records left out."""
        return int(self._connection.execute(select(func.coalesce(func.sum(_batches.c.count - 1), 0))).scalar_one())

    def _batches(self, sequence: int | None = None) -> Iterator[SealedBatch]:
        query = select(_batches).order_by(_batches.c.sequence)
        query = query if sequence is None else query.where(_batches.c.sequence == sequence)
        for row in self._connection.execute(query).mappings():
            yield SealedBatch(**_parsed(_batches, row, closed=parse_time))

    # The log

    def log_node(self, level: int, position: int) -> bytes:
        """Return a stored hash of the ledger log. Raises Damaged if it is missing."""
        where = (_log_nodes.c.level == level) & (_log_nodes.c.position == position)
        found = self._connection.execute(select(_log_nodes.c.hash).where(where)).scalar()
        if found is None:
            raise Damaged(f"the ledger log lacks the hash at level {level}, position {position}; run `witnesstree fsck`")
        return bytes(found)

    def log_node_count(self) -> int:
        """Return the number of stored hashes."""
        return self._connection.execute(select(func.count()).select_from(_log_nodes)).scalar_one()

    def add_checkpoint(self, size: int, note: str) -> None:
        """Record the signed checkpoint of the log at `size`."""
        self._connection.execute(insert(_checkpoints), {"size": size, "note": note})

    def checkpoint(self, size: int | None = None) -> str:
        """Return the signed checkpoint of the log at `size`, by default the newest. Raises Damaged if it is missing."""
        query = select(_checkpoints.c.note).order_by(_checkpoints.c.size.desc()).limit(1)
        found = self._connection.execute(query if size is None else query.where(_checkpoints.c.size == size)).scalar()
        if found is None:
            raise Damaged("the ledger lacks a checkpoint; run `witnesstree fsck`")
        return str(found)

    def checkpoint_count(self) -> int:
        """Return the number of checkpoints, that of the empty log among them."""
        return self._connection.execute(select(func.count()).select_from(_checkpoints)).scalar_one()

    # The outbox, and what came of it

    def add_job(self, sequence: int, kind: JobKind, target: str) -> None:
        """Put a waiting job into the outbox."""
        row = {"sequence": sequence, "kind": kind, "target": target, "state": JobState.WAITING, "attempts": 0}
        self._connection.execute(insert(_jobs), row)

    def jobs(self) -> list[Job]:
        """Return all jobs, those that are done among them."""
        return [Job(**_parsed(_jobs, row, kind=JobKind, state=JobState)) for row in self._connection.execute(select(_jobs)).mappings()]

    def unfinished_jobs(self) -> list[Job]:
        """Return the jobs that are not done, oldest batch first, tokens before anchors."""
        query = select(_jobs).where(_jobs.c.state != JobState.DONE).order_by(_jobs.c.sequence, _jobs.c.kind.desc(), _jobs.c.target)
        return [Job(**_parsed(_jobs, row, kind=JobKind, state=JobState)) for row in self._connection.execute(query).mappings()]

    def store_transaction(self, job: Job, transaction: bytes) -> None:
        """Keep what is about to be sent for `job`."""
        self._update_job(job, state=JobState.SIGNED, transaction=transaction)

    def note_failure(self, job: Job, error: str) -> None:
        """Record that an attempt at `job` failed; it stays in the outbox."""
        self._update_job(job, attempts=job.attempts + 1, last_error=error)

    def finish_stamp(self, job: Job, token: bytes) -> None:
        """Keep the token that `job` asked for."""
        self._connection.execute(insert(_tokens), {"sequence": job.sequence, "authority": job.target, "token": token})
        self._update_job(job, state=JobState.DONE)

    def finish_anchor(self, job: Job, anchor: str) -> None:
        """Keep the anchor (JSON) that `job` asked for."""
        self._connection.execute(insert(_anchors), {"sequence": job.sequence, "chain": job.target, "anchor": anchor})
        self._update_job(job, state=JobState.DONE)

    def tokens(self, sequence: int) -> list[tuple[str, bytes]]:
        """Return (authority, token) of a batch."""
        query = select(_tokens).where(_tokens.c.sequence == sequence).order_by(_tokens.c.authority)
        rows = [_parsed(_tokens, row) for row in self._connection.execute(query).mappings()]
        return [(row["authority"], row["token"]) for row in rows]

    def anchors(self, sequence: int) -> list[tuple[str, str]]:
        """Return (chain, anchor as JSON) of a batch."""
        query = select(_anchors).where(_anchors.c.sequence == sequence).order_by(_anchors.c.chain)
        rows = [_parsed(_anchors, row) for row in self._connection.execute(query).mappings()]
        return [(row["chain"], row["anchor"]) for row in rows]

    def witnesses(self) -> set[tuple[int, JobKind, str]]:
        """Return batch, kind and target of every token and every anchor."""
        stamps = self._connection.execute(select(_tokens.c.sequence, _tokens.c.authority))
        anchors = self._connection.execute(select(_anchors.c.sequence, _anchors.c.chain))
        return {(at, JobKind.STAMP, target) for at, target in stamps} | {(at, JobKind.ANCHOR, target) for at, target in anchors}

    def _update_job(self, job: Job, **values: object) -> None:
        where = (_jobs.c.sequence == job.sequence) & (_jobs.c.kind == job.kind) & (_jobs.c.target == job.target)
        self._connection.execute(update(_jobs).where(where).values(**values))


def _parsed(table: Table, row: Mapping[Any, Any], **parsers: Callable[[str], Any]) -> dict[str, Any]:
    """Return a row's values, some of them parsed. Raises Damaged if one is missing, or cannot be parsed."""
    for column in table.columns:
        if row[column.name] is None and not column.nullable:
            raise Damaged(f"a row of {table.name} lacks its {column.name}; run `witnesstree fsck`")
    try:
        return {**row, **{name: parse(row[name]) for name, parse in parsers.items()}}
    except (ValueError, InvalidInput) as error:
        raise Damaged(f"a row of {table.name} cannot be read: {error}; run `witnesstree fsck`") from error


class Metadata:
    """The database of one ledger. Every transaction sees one state; one that writes excludes other writers until it ends."""

    def __init__(self, path: Path, patience: float) -> None:
        self._engine = _sqlite(path, patience)
        self._place = str(path)
        self._patience = patience

    @classmethod
    def create(cls, path: Path, origin: str, checkpoint: str) -> Metadata:
        """Make a SQLite database with the schema, the ledger's origin and the checkpoint of its empty log."""
        metadata = cls(path, patience=1)
        with metadata.write() as transaction:
            connection = transaction._connection  # noqa: SLF001 - the one place that makes the schema
            _schema.create_all(connection)
            for table in APPEND_ONLY:
                for statement in _append_only_triggers(table):
                    connection.execute(text(statement))
            connection.execute(insert(_ledger), {"version": VERSION, "origin": origin})
            transaction.add_checkpoint(0, checkpoint)
        return metadata

    @classmethod
    def open(cls, path: Path, patience: float) -> Metadata:
        """Open the database of an existing ledger. A writer waits `patience` seconds for another one, which should take one at most.

        Raises Damaged if it is missing or no ledger's, InvalidInput if a newer version made it.
        """
        if not path.is_file():
            raise Damaged(f"{path} is missing: restore it from a backup")
        metadata = cls(path, patience)
        with metadata._translating(), metadata._engine.connect() as connection:
            version = connection.execute(select(_ledger.c.version)).scalar()
        if version is None:
            raise Damaged(f"{path} does not say what version it has: restore it from a backup")
        if version > VERSION:
            raise InvalidInput(f"{path} has version {version}, this witnesstree reads up to {VERSION}: install a newer one")
        return metadata

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Run a block as one transaction that excludes other writers; what it wrote is on disk when the block has ended, or nothing of it.

        Raises Conflict if another process keeps the ledger locked for longer than its patience, StorageFailure if the disk refuses.
        """
        with self._translating(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield Transaction(connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Run a block that only reads, on one state of the database."""
        with self._translating(), self._engine.connect() as connection, connection.begin():
            yield Transaction(connection)

    def origin(self) -> str:
        """Return the ledger's origin."""
        with self._translating(), self._engine.connect() as connection:
            return str(connection.execute(select(_ledger.c.origin)).scalar_one())

    def problems(self) -> list[str]:
        """Return what SQLite's own check finds wrong with the database file."""
        with self._translating(), self._engine.connect() as connection:
            found = connection.execute(text("PRAGMA integrity_check(20)")).scalars().all()
        return [line for line in found if line != "ok"]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise Damaged(f"{self._place} refused a row: {error.orig}; run `witnesstree fsck`") from error
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorname", "")
            if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                message = f"another process has kept {self._place} locked for {self._patience:g} seconds: let it finish, then run the command again"
                raise Conflict(message) from error
            if code.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
                raise StorageFailure(f"cannot write {self._place}: {error.orig}; make room or mend the disk, then run it again") from error
            raise Damaged(f"{self._place} is damaged: {error.orig}; run `witnesstree fsck`") from error
        except UnicodeDecodeError as error:
            # SQLite quotes a damaged schema in its message, and Python fails to read that.
            raise Damaged(f"{self._place} is damaged: its schema cannot be read; run `witnesstree fsck`") from error


def _sqlite(path: Path, patience: float) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": patience, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # synchronous=FULL: a commit is on disk when it returns. recursive_triggers: REPLACE, too, meets the triggers.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine


def _append_only_triggers(table: Table) -> Iterator[str]:
    """Yield the SQL that makes a table append-only: no update, no delete, and no insert that would replace a row."""
    message = f"{table.name} is append-only"
    for verb in ("UPDATE", "DELETE"):
        yield f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    keys = [list(table.primary_key), *([column] for column in table.columns if column.unique)]
    same_key = " OR ".join("(" + " AND ".join(f"{column.name} = NEW.{column.name}" for column in key) + ")" for key in keys)
    yield (
        f"CREATE TRIGGER {table.name}_no_replace BEFORE INSERT ON {table.name} WHEN EXISTS (SELECT 1 FROM {table.name} WHERE {same_key}) "  # noqa: S608
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )
