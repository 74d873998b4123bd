"""The ledger's metadata in a database: a row a batch, never a row an entry.

The schema and every question are here alone.

What the ledger has stated (batches, log nodes, checkpoints, tokens, anchors) is append-only, and
triggers hold that for every program. What is still moving (the open batches, the outbox of jobs) is
not. What differs between SQLite and PostgreSQL is in sqlite.py and postgresql.py.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
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
    bindparam,
    cast,
    exists,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput
from witnesstree.ledger.base.ports import SignedTransaction
from witnesstree.ledger.proof.proof import format_vouchers, parse_vouchers
from witnesstree.ledger.store.sqlite import SQLite

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection, Dialect, Select

    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.store.postgresql import PostgreSQL

VERSION = 3
"""Of the schema, as migrations/versions counts.

A newer one is refused, never guessed at; an older one has to be migrated first.
"""
_ABOVE_THE_FIRST = 2
_NUMBER = re.compile("[0-9]{1,9}")


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
                    f"the ledger's metadata has {str(value)[:20]!r} where {self.kind.__name__}"
                    " belongs; run `witnesstree fsck`"
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


_schema = MetaData()

# Alembic's own table, one row: the one place that says which version the schema has.
_alembic_version = Table(
    "alembic_version",
    _schema,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
# `version` stays as it is for ever: the first release looks there, and refuses whatever is above 1.
_ledger = Table(
    "ledger",
    _schema,
    Column("version", _Number, primary_key=True, autoincrement=False),
    Column("origin", _Text, nullable=False),
)
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
_checkpoints = Table(
    "checkpoints",
    _schema,
    Column("size", _Number, primary_key=True, autoincrement=False),
    Column("note", _Text, nullable=False),
)
_tokens = Table(
    "tokens",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("token", _Bytes, nullable=False),
    Column("vouchers", _Text),
)
_anchors = Table(
    "anchors",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("chain", _Text, primary_key=True),
    Column("anchor", _Text, nullable=False),
)
_published = Table(
    "published",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("store", _Text, primary_key=True),
    Column("cid", _Text, nullable=False),
)
# An evidence record of the entry at `position`; at position 0, that of the batch itself, from which
# the records of all its entries are made.
_records = Table(
    "records",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("renewed", _Text, nullable=False),
    Column("record", _Bytes, nullable=False),
)
_renewals = Table(
    "renewals",
    _schema,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("authority", _Text, primary_key=True),
    Column("due", _Text, nullable=False, index=True),
)
_cosignatures = Table(
    "cosignatures",
    _schema,
    Column("size", _Number, primary_key=True, autoincrement=False),
    Column("witness", _Text, primary_key=True),
    Column("key_id", _Bytes, primary_key=True),
    Column("line", _Text, nullable=False),
)
_keys = Table(
    "keys",
    _schema,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("note", _Text, nullable=False),
)
_transactions = Table(
    "transactions",
    _schema,
    Column("chain", _Text, primary_key=True),
    Column("hash", _Bytes, primary_key=True),
    Column("sender", _Bytes, nullable=False),
    Column("nonce", _Number, nullable=False),
    Column("raw", _Bytes, nullable=False),
    Column("signed", _Text, nullable=False),
)
_alarms = Table(
    "alarms",
    _schema,
    Column("kind", _Text, primary_key=True),
    Column("subject", _Text, primary_key=True),
    Column("text", _Text, nullable=False),
    Column("since", _Text, nullable=False),
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
    Column("retry_at", _Text),
)

APPEND_ONLY = (
    _ledger,
    _batches,
    _log_nodes,
    _checkpoints,
    _tokens,
    _anchors,
    _published,
    _transactions,
    _records,
    _cosignatures,
    _keys,
)


# Made once, because they are asked for every proof.
_NEWEST = select(func.coalesce(func.max(_batches.c.log_index), -1))
_TOLD = select(
    *(
        select(func.count())
        .select_from(table)
        .where(table.c.sequence == bindparam("batch"))
        .scalar_subquery()
        for table in (_tokens, _anchors, _published, _records)
    ),
    select(func.count()).select_from(_keys).scalar_subquery(),
    select(func.count())
    .select_from(_cosignatures)
    .where(
        _cosignatures.c.size
        == select(_batches.c.log_index + 1)
        .where(_batches.c.sequence == bindparam("batch"))
        .scalar_subquery()
    )
    .scalar_subquery(),
)


class BatchState(StrEnum):
    """An open batch takes entries; a frozen one is being sealed and takes none."""

    OPEN = "open"
    FROZEN = "frozen"


class JobKind(StrEnum):
    """What a job asks for."""

    STAMP = "stamp"
    ANCHOR = "anchor"
    PUBLISH = "publish"


class JobState(StrEnum):
    """A waiting job has done nothing yet; a signed one has stored its transaction and may have sent
    it.
    """

    WAITING = "waiting"
    SIGNED = "signed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that is not sealed yet: `count` entries are acknowledged (the opening record among
    them), with this CRC-32.
    """

    sequence: int
    state: BatchState
    opened: datetime
    opening: str
    header: bytes | None
    count: int
    crc32: int


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A sealed batch: `count` entries with their 32-byte root, and its statement at `log_index` in
    the ledger log.
    """

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
    """One effect to be had once: a batch's root stamped by one authority or anchored on one chain,
    or its list of digests published.

    `transaction` is the hash of the newest one that was signed for it; `attempts` are those that
    failed since one went well.
    """

    sequence: int
    kind: JobKind
    target: str
    state: JobState
    transaction: bytes | None
    attempts: int
    last_error: str | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class SentTransaction:
    """A transaction that was signed for a chain, and when.

    It was stored before it was sent, and may never have been sent.
    """

    transaction: SignedTransaction
    signed: datetime


UNSCHEDULED = datetime(1970, 1, 1, tzinfo=UTC)
"""When a renewal is due of which nobody has worked out yet when it is."""


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """An evidence record (DER) of the entry at `position` of a batch, under the token of
    `authority`; at position 0, the batch's own.

    Records of one entry and authority are numbered from 1, and the newest one counts. It was
    renewed at `renewed`.
    """

    sequence: int
    position: int
    authority: str
    number: int
    renewed: datetime
    record: bytes


@dataclass(frozen=True, slots=True, order=True)
class Renewal:
    """When the record of an entry under one authority's token has to be renewed next; UNSCHEDULED
    where nobody has worked that out.
    """

    due: datetime
    sequence: int
    position: int
    authority: str


@dataclass(frozen=True, slots=True)
class RenewalCounts:
    """How many renewals there are, how many of them are `due` by now and `late` for long, and when
    the `next` one of the others is due.
    """

    scheduled: int
    due: int
    late: int
    next: datetime | None


@dataclass(frozen=True, slots=True)
class Told:
    """Rows that there are about a sealed batch, and `key_notes` about all: a proof made before one
    came does not have it.

    `cosignatures` are those of the checkpoint that was signed when the batch was sealed.
    """

    tokens: int
    anchors: int
    published: int
    records: int
    key_notes: int
    cosignatures: int


class AlarmKind(StrEnum):
    """What needs a person: a false answer, settings that cannot work, an endpoint that fails, a
    price above the cap, a wrong clock, lost nonces.

    And an evidence record that cannot be renewed.
    """

    BAD_ANSWER = "bad-answer"
    SETTINGS = "settings"
    ENDPOINT = "endpoint"
    UNAFFORDABLE = "unaffordable"
    CLOCK = "clock"
    LOST = "lost"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that needs a person, until what it says is no longer so.

    `subject` is the authority, chain or store that it is about.
    """

    kind: AlarmKind
    subject: str
    text: str
    since: datetime


class Transaction:
    """Typed reads and writes inside one database transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # The open batches

    def open_batches(self) -> list[OpenBatch]:
        """Return the batches that are not sealed, oldest first; at most one of them is open."""
        rows = self._connection.execute(
            select(_open_batches).order_by(_open_batches.c.sequence)
        ).mappings()
        return [
            OpenBatch(**_parsed(_open_batches, row, state=BatchState, opened=parse_time))
            for row in rows
        ]

    def next_sequence(self) -> int:
        """Return the sequence number of the next batch to be opened."""
        highest = [
            self._connection.execute(select(func.max(table.c.sequence))).scalar()
            for table in (_batches, _open_batches)
        ]
        return 1 + max(-1 if value is None else value for value in highest)

    def open_batch(self, batch: OpenBatch) -> None:
        """Record a new batch."""
        row = {name: getattr(batch, name) for name in batch.__slots__}
        self._connection.execute(
            insert(_open_batches), {**row, "opened": format_time(batch.opened)}
        )

    def set_count(self, sequence: int, count: int, crc32: int) -> None:
        """Acknowledge the first `count` entries of an open batch."""
        self._connection.execute(
            update(_open_batches)
            .where(_open_batches.c.sequence == sequence)
            .values(count=count, crc32=crc32)
        )

    def freeze(self, sequence: int) -> None:
        """Let a batch take no more entries."""
        self._connection.execute(
            update(_open_batches)
            .where(_open_batches.c.sequence == sequence)
            .values(state=BatchState.FROZEN)
        )

    # The sealed batches

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
        self._connection.execute(insert(_batches), {**row, "closed": format_time(batch.closed)})
        self._connection.execute(
            insert(_log_nodes),
            [{"level": level, "position": at, "hash": hash_} for level, at, hash_ in nodes],
        )
        self.add_checkpoint(batch.log_index + 1, checkpoint)
        for kind, target in jobs:
            self.add_job(batch.sequence, kind, target)
        self._connection.execute(
            _open_batches.delete().where(_open_batches.c.sequence == batch.sequence)
        )

    def batch(self, sequence: int) -> SealedBatch | None:
        """Return a sealed batch, None where there is none of this number."""
        return next(self._batches(sequence), None)

    def batches(self) -> Iterator[SealedBatch]:
        """Yield the sealed batches, oldest first."""
        return self._batches()

    def batch_sizes(self, since: int = 0) -> list[tuple[int, int]]:
        """Return (sequence, count) of every sealed batch, oldest first, or of those only that the
        log has from entry `since` on.
        """
        query = (
            select(_batches.c.sequence, _batches.c.count)
            .where(_batches.c.log_index >= since)
            .order_by(_batches.c.sequence)
        )
        rows = self._connection.execute(query)
        return [(sequence, count) for sequence, count in rows]

    def batch_count(self) -> int:
        """Return the number of sealed batches, which is the log's size."""
        return self._connection.execute(select(func.count()).select_from(_batches)).scalar_one()

    def log_size(self) -> int:
        """Return the number of sealed batches from the highest entry of the log, without counting
        them.
        """
        newest: int = self._connection.execute(_NEWEST).scalar_one()
        return 1 + newest

    def told(self, sequence: int) -> Told:
        """Return how much was told of a sealed batch: all of it is append-only, so as many rows as
        before are the same rows.
        """
        counts: Sequence[int] = self._connection.execute(_TOLD, {"batch": sequence}).one()
        return Told(*counts)

    def entry_count(self) -> int:
        """Return the number of entries in sealed batches, opening records left out."""
        return self._connection.execute(
            select(cast(func.coalesce(func.sum(_batches.c.count - 1), 0), BigInteger))
        ).scalar_one()

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
            raise Damaged(
                f"the ledger log lacks the hash at level {level}, position {position}; run"
                " `witnesstree fsck`"
            )
        return bytes(found)

    def log_node_count(self) -> int:
        """Return the number of stored hashes."""
        return self._connection.execute(select(func.count()).select_from(_log_nodes)).scalar_one()

    def add_checkpoint(self, size: int, note: str) -> None:
        """Record the signed checkpoint of the log at `size`."""
        self._connection.execute(insert(_checkpoints), {"size": size, "note": note})

    def checkpoint(self, size: int | None = None) -> str:
        """Return the signed checkpoint of the log at `size`, by default the newest.

        Raises Damaged if it is missing.
        """
        query = select(_checkpoints.c.note).order_by(_checkpoints.c.size.desc()).limit(1)
        found = self._connection.execute(
            query if size is None else query.where(_checkpoints.c.size == size)
        ).scalar()
        if found is None:
            raise Damaged("the ledger lacks a checkpoint; run `witnesstree fsck`")
        return str(found)

    def checkpoint_count(self) -> int:
        """Return the number of checkpoints, that of the empty log among them."""
        return self._connection.execute(select(func.count()).select_from(_checkpoints)).scalar_one()

    def add_key_note(self, number: int, note: str) -> None:
        """Record that the log's key changed: from now on the new one signs."""
        self._connection.execute(insert(_keys), {"number": number, "note": note})

    def key_notes(self) -> list[str]:
        """Return the notes of all changes of the log's key, oldest first.

        Raises Damaged if one is missing.
        """
        rows = [
            (number, note)
            for number, note in self._connection.execute(
                select(_keys.c.number, _keys.c.note).order_by(_keys.c.number)
            )
        ]
        if [number for number, _ in rows] != list(range(1, len(rows) + 1)):
            raise Damaged("the history of the ledger's keys has gaps; run `witnesstree fsck`")
        return [note for _, note in rows]

    def add_cosignature(self, size: int, witness: str, key_id: bytes, line: str) -> bool:
        """Record the line in which a witness cosigned the checkpoint at `size`, and return whether
        it is new: the first one by a key stays.
        """
        where = (
            (_cosignatures.c.size == size)
            & (_cosignatures.c.witness == witness)
            & (_cosignatures.c.key_id == key_id)
        )
        if self._connection.execute(select(_cosignatures.c.size).where(where)).first():
            return False
        self._connection.execute(
            insert(_cosignatures),
            {"size": size, "witness": witness, "key_id": key_id, "line": line},
        )
        return True

    def cosignatures(self, size: int) -> list[str]:
        """Return the lines in which witnesses cosigned the checkpoint at `size`, each with its
        newline.
        """
        order = (_cosignatures.c.witness, _cosignatures.c.key_id)
        return list(
            self._connection.execute(
                select(_cosignatures.c.line).where(_cosignatures.c.size == size).order_by(*order)
            ).scalars()
        )

    def cosigned_sizes(self) -> list[int]:
        """Return the sizes of the checkpoints that are cosigned, smallest first."""
        return list(
            self._connection.execute(
                select(_cosignatures.c.size).distinct().order_by(_cosignatures.c.size)
            ).scalars()
        )

    # The outbox, and what came of it

    def add_job(self, sequence: int, kind: JobKind, target: str) -> None:
        """Put a waiting job into the outbox."""
        row = {
            "sequence": sequence,
            "kind": kind,
            "target": target,
            "state": JobState.WAITING,
            "attempts": 0,
        }
        self._connection.execute(insert(_jobs), row)

    def jobs(self) -> list[Job]:
        """Return all jobs, those that are done among them."""
        return self._jobs(select(_jobs))

    def unfinished_jobs(self, kind: JobKind | None = None, target: str | None = None) -> list[Job]:
        """Return the jobs that are not done, oldest batch first, tokens before anchors: all, or
        those of one kind and target.
        """
        query = (
            select(_jobs)
            .where(_jobs.c.state != JobState.DONE)
            .order_by(_jobs.c.sequence, _jobs.c.kind.desc(), _jobs.c.target)
        )
        if kind is not None:
            query = query.where((_jobs.c.kind == kind) & (_jobs.c.target == target))
        return self._jobs(query)

    def _jobs(self, query: Select[Any]) -> list[Job]:
        rows = self._connection.execute(query).mappings()
        return [
            Job(**_parsed(_jobs, row, kind=JobKind, state=JobState, retry_at=_optional_time))
            for row in rows
        ]

    def note_attempt(self, job: Job, *, retry_at: datetime, error: str | None) -> None:
        """Record when `job` is to be tried again, and what went wrong, if something did; it stays
        in the outbox.
        """
        said = None if error is None else _storable(error)
        self._update_job(
            job,
            attempts=job.attempts + 1 if error else 0,
            last_error=said,
            retry_at=format_time(retry_at),
        )

    def forget_job(self, job: Job) -> None:
        """Take a job out of the outbox."""
        self._connection.execute(_jobs.delete().where(_is(job)))

    def store_transaction(
        self, chain: str, transaction: SignedTransaction, signed: datetime, jobs: Sequence[Job]
    ) -> SentTransaction:
        """Keep a transaction that is about to be sent, as the newest one of `jobs`."""
        row = {name: getattr(transaction, name) for name in transaction.__slots__}
        self._connection.execute(
            insert(_transactions), {"chain": chain, "signed": format_time(signed), **row}
        )
        for job in jobs:
            self._update_job(job, state=JobState.SIGNED, transaction=transaction.hash)
        return SentTransaction(transaction, signed)

    def release_transaction(self, job: Job) -> None:
        """Let `job` wait for another transaction: the one it had can never be carried out."""
        self._update_job(job, state=JobState.WAITING, transaction=None)

    def chains(self) -> list[str]:
        """Return the names of all chains that a transaction was ever signed for."""
        query = select(_transactions.c.chain).distinct().order_by(_transactions.c.chain)
        return [str(chain) for chain in self._connection.execute(query).scalars()]

    def transactions(
        self, chain: str, hashes: Collection[bytes] | None = None
    ) -> list[SentTransaction]:
        """Return the transactions that were signed for a chain, lowest nonce first: all, or those
        with these hashes.
        """
        query = select(_transactions).where(_transactions.c.chain == chain)
        return self._transactions(
            query if hashes is None else query.where(_transactions.c.hash.in_(hashes))
        )

    def alternatives(self, chain: str, sent: SentTransaction) -> list[SentTransaction]:
        """Return all transactions with the account and the nonce of `sent`, that one among them: a
        chain carries out one of them at most.
        """
        columns = _transactions.c
        where = (
            (columns.chain == chain)
            & (columns.sender == sent.transaction.sender)
            & (columns.nonce == sent.transaction.nonce)
        )
        return self._transactions(select(_transactions).where(where))

    def _transactions(self, query: Select[Any]) -> list[SentTransaction]:
        rows = self._connection.execute(
            query.order_by(_transactions.c.nonce, _transactions.c.signed)
        ).mappings()
        parsed = [_parsed(_transactions, row, signed=parse_time) for row in rows]
        return [
            SentTransaction(
                SignedTransaction(row["raw"], row["hash"], row["sender"], row["nonce"]),
                row["signed"],
            )
            for row in parsed
        ]

    def finish_stamp(self, job: Job, stamp: Stamp) -> None:
        """Keep the token that `job` asked for, and what vouches for it; when it has to be renewed
        is worked out later.
        """
        row = {
            "sequence": job.sequence,
            "authority": job.target,
            "token": stamp.token,
            "vouchers": format_vouchers(stamp),
        }
        self._connection.execute(insert(_tokens), row)
        self.schedule(Renewal(UNSCHEDULED, job.sequence, 0, job.target))
        self._finish(job)

    def finish_anchor(self, job: Job, anchor: str) -> None:
        """Keep the anchor (JSON) that `job` asked for."""
        self._connection.execute(
            insert(_anchors), {"sequence": job.sequence, "chain": job.target, "anchor": anchor}
        )
        self._finish(job)

    def finish_publish(self, job: Job, cid: str) -> None:
        """Keep the CID of the batch's list of digests, which `job` put into a store."""
        self._connection.execute(
            insert(_published), {"sequence": job.sequence, "store": job.target, "cid": cid}
        )
        self._finish(job)

    def tokens(self, sequence: int) -> list[tuple[str, Stamp]]:
        """Return (authority, token) of a batch."""
        query = select(_tokens).where(_tokens.c.sequence == sequence).order_by(_tokens.c.authority)
        rows = [dict(row) for row in self._connection.execute(query).mappings()]
        stamps = [
            _parsed(_tokens, row, vouchers=partial(parse_vouchers, row["token"])) for row in rows
        ]
        return [(row["authority"], row["vouchers"]) for row in stamps]

    def published(self, sequence: int) -> list[str]:
        """Return the CIDs of a batch's list of digests."""
        query = (
            select(_published).where(_published.c.sequence == sequence).order_by(_published.c.store)
        )
        return [
            _parsed(_published, row)["cid"] for row in self._connection.execute(query).mappings()
        ]

    def anchors(self, sequence: int) -> list[tuple[str, str]]:
        """Return (chain, anchor as JSON) of a batch."""
        query = select(_anchors).where(_anchors.c.sequence == sequence).order_by(_anchors.c.chain)
        rows = [_parsed(_anchors, row) for row in self._connection.execute(query).mappings()]
        return [(row["chain"], row["anchor"]) for row in rows]

    def witnesses(self) -> set[tuple[int, JobKind, str]]:
        """Return batch, kind and target of all that jobs have given."""
        kept = {
            JobKind.STAMP: select(_tokens.c.sequence, _tokens.c.authority),
            JobKind.ANCHOR: select(_anchors.c.sequence, _anchors.c.chain),
            JobKind.PUBLISH: select(_published.c.sequence, _published.c.store),
        }
        return {
            (at, kind, target)
            for kind, query in kept.items()
            for at, target in self._connection.execute(query)
        }

    # Renewed records

    def keep_record(self, kept: KeptRecord) -> None:
        """Keep a renewed record beside those that were kept before."""
        row = {name: getattr(kept, name) for name in kept.__slots__} | {
            "renewed": format_time(kept.renewed)
        }
        self._connection.execute(insert(_records), row)

    def newest_records(self, sequence: int, position: int) -> list[KeptRecord]:
        """Return the newest record of an entry under each authority, in the order of their
        names.
        """
        found = self._records(
            select(_records).where(
                (_records.c.sequence == sequence) & (_records.c.position == position)
            )
        )
        return list({kept.authority: kept for kept in found}.values())

    def records(self, sequence: int) -> list[KeptRecord]:
        """Return all records that were kept of a batch's entries, by position and authority, the
        oldest first.
        """
        return self._records(select(_records).where(_records.c.sequence == sequence))

    def _records(self, query: Select[Any]) -> list[KeptRecord]:
        rows = self._connection.execute(
            query.order_by(_records.c.position, _records.c.authority, _records.c.number)
        ).mappings()
        return [KeptRecord(**_parsed(_records, row, renewed=parse_time)) for row in rows]

    def schedule(self, renewal: Renewal) -> None:
        """Record when a renewal is due, in place of what was recorded before."""
        columns = _renewals.c
        where = (
            (columns.sequence == renewal.sequence)
            & (columns.position == renewal.position)
            & (columns.authority == renewal.authority)
        )
        due = format_time(renewal.due)
        if self._connection.execute(update(_renewals).where(where).values(due=due)).rowcount == 0:
            row = {
                "sequence": renewal.sequence,
                "position": renewal.position,
                "authority": renewal.authority,
                "due": due,
            }
            self._connection.execute(insert(_renewals), row)

    def renewals(self, sequence: int) -> list[Renewal]:
        """Return the renewals of a batch's entries."""
        return self._renewals(select(_renewals).where(_renewals.c.sequence == sequence))

    def due_renewals(self, by: datetime, limit: int) -> list[Renewal]:
        """Return at most `limit` renewals that are due by a time, the most urgent first: what is
        UNSCHEDULED stands before all.
        """
        return self._renewals(
            select(_renewals).where(_renewals.c.due <= format_time(by)).limit(limit)
        )

    def schedule_missing(self) -> None:
        """Schedule the renewal of each token that has no row for it, which only an older version
        leaves out: at once, to see when it is due.
        """
        there = (
            (_renewals.c.sequence == _tokens.c.sequence)
            & (_renewals.c.position == 0)
            & (_renewals.c.authority == _tokens.c.authority)
        )
        values = (
            _tokens.c.sequence,
            literal(0),
            _tokens.c.authority,
            literal(format_time(UNSCHEDULED)),
        )
        missing = select(*values).where(~exists().where(there))
        self._connection.execute(
            insert(_renewals).from_select(["sequence", "position", "authority", "due"], missing)
        )

    def renewed_sequences(self) -> set[int]:
        """Return the batches that records were kept of, or renewals are scheduled for."""
        return {
            at
            for table in (_records, _renewals)
            for at in self._connection.execute(select(table.c.sequence).distinct()).scalars()
        }

    def renewal_counts(self, now: datetime, late: datetime) -> RenewalCounts:
        """Return how renewals stand at `now`; what was due by `late` is late.

        What is UNSCHEDULED is neither due nor late.
        """
        due, known = _renewals.c.due, _renewals.c.due > format_time(UNSCHEDULED)

        def count(*where: ColumnElement[bool]) -> int:
            return self._connection.execute(
                select(func.count()).select_from(_renewals).where(known, *where)
            ).scalar_one()

        following = self._connection.execute(
            select(func.min(due)).where(due > format_time(now))
        ).scalar()
        return RenewalCounts(
            count(),
            count(due <= format_time(now)),
            count(due <= format_time(late)),
            _optional_time(following),
        )

    def _renewals(self, query: Select[Any]) -> list[Renewal]:
        columns = _renewals.c
        rows = self._connection.execute(
            query.order_by(columns.due, columns.sequence, columns.position, columns.authority)
        ).mappings()
        return [Renewal(**_parsed(_renewals, row, due=parse_time)) for row in rows]

    # Alarms

    def alarms(self) -> list[Alarm]:
        """Return what needs a person now, longest first."""
        rows = self._connection.execute(
            select(_alarms).order_by(_alarms.c.since, _alarms.c.subject, _alarms.c.kind)
        ).mappings()
        return [Alarm(**_parsed(_alarms, row, kind=AlarmKind, since=parse_time)) for row in rows]

    def raise_alarm(self, alarm: Alarm) -> None:
        """Record an alarm. One that stands already keeps its time and gets the new text."""
        where = (_alarms.c.kind == alarm.kind) & (_alarms.c.subject == alarm.subject)
        said = _storable(alarm.text)
        if self._connection.execute(update(_alarms).where(where).values(text=said)).rowcount == 0:
            row = {
                "kind": alarm.kind,
                "subject": alarm.subject,
                "text": said,
                "since": format_time(alarm.since),
            }
            self._connection.execute(insert(_alarms), row)

    def clear_alarm(self, alarm: Alarm) -> None:
        """Take an alarm back."""
        self._connection.execute(
            _alarms.delete().where(
                (_alarms.c.kind == alarm.kind) & (_alarms.c.subject == alarm.subject)
            )
        )

    def _finish(self, job: Job) -> None:
        self._update_job(job, state=JobState.DONE, last_error=None, retry_at=None)

    def _update_job(self, job: Job, **values: object) -> None:
        self._connection.execute(update(_jobs).where(_is(job)).values(**values))


def _is(job: Job) -> ColumnElement[bool]:
    return (
        (_jobs.c.sequence == job.sequence)
        & (_jobs.c.kind == job.kind)
        & (_jobs.c.target == job.target)
    )


def _storable(said: str) -> str:
    """Return what somebody outside said so that both databases take it: PostgreSQL keeps no NUL,
    and neither keeps half a surrogate pair.
    """
    return said.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def _optional_time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _parsed(
    table: Table, row: Mapping[Any, Any], **parsers: Callable[[str], Any]
) -> dict[str, Any]:
    """Return a row's values, some of them parsed.

    Raises Damaged if one is missing, or cannot be parsed.
    """
    for column in table.columns:
        if row[column.name] is None and not column.nullable:
            raise Damaged(f"a row of {table.name} lacks its {column.name}; run `witnesstree fsck`")
    try:
        return {**row, **{name: parse(row[name]) for name, parse in parsers.items()}}
    except (ValueError, InvalidInput) as error:
        raise Damaged(
            f"a row of {table.name} cannot be read: {error}; run `witnesstree fsck`"
        ) from error


class Metadata:
    """The database of one ledger: a SQLite file, or a schema in PostgreSQL, named by its URL.

    Every transaction sees one state; one that writes excludes other writers until it ends. Any
    method may raise Unreachable where a server is asked and does not answer: then a transaction
    that was to write may have been kept or not, as after a crash.
    """

    def __init__(self, place: Path | str, patience: float) -> None:
        self._database = _database(place, patience)

    @property
    def place(self) -> str:
        """Where the database is, in words that may be shown to anyone."""
        return self._database.place

    @classmethod
    def create(cls, place: Path | str, origin: str, checkpoint: str) -> Metadata:
        """Make the schema, with the ledger's origin and the checkpoint of its empty log.

        Raises Conflict if a ledger is there already, or another program's tables.
        """
        metadata = cls(place, patience=1)
        with metadata._closing_on_error(), metadata.write() as transaction:
            connection = transaction._connection  # noqa: SLF001 - the one place that makes the schema
            if inspect(connection).has_table(_ledger.name):
                raise Conflict(
                    f"{metadata.place} holds a ledger already: name another schema, or drop that"
                    " one if an `init` was cut off there"
                )
            _schema.create_all(connection, checkfirst=False)
            for statement in metadata._database.guards(APPEND_ONLY):
                connection.execute(text(statement))
            connection.execute(insert(_alembic_version), {"version_num": str(VERSION)})
            connection.execute(insert(_ledger), {"version": _ABOVE_THE_FIRST, "origin": origin})
            transaction.add_checkpoint(0, checkpoint)
        return metadata

    @classmethod
    def open(cls, place: Path | str, patience: float, origin: str | None = None) -> Metadata:
        """Open the database of an existing ledger.

        A writer waits `patience` seconds for another one, which should take one at most.

        Raises Damaged if it is missing or no ledger's, InvalidInput if a newer version made it, an
        older one did and it has to be migrated, or if it is not the ledger named `origin`.
        """
        metadata = cls(place, patience)
        with metadata._closing_on_error():
            if (version := metadata.version()) < VERSION:
                raise InvalidInput(
                    f"{metadata.place} has version {version}, this witnesstree works on {VERSION}:"
                    " run `witnesstree migrate`"
                )
            if origin is not None and (found := metadata.origin()) != origin:
                raise InvalidInput(
                    f"{metadata.place} holds the ledger {found}, and this home is that of {origin}:"
                    " name the database of this one"
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
            raise Damaged(
                f"{self.place} holds no ledger, or does not say of what version: restore it from a"
                " backup"
            )
        if version > VERSION:
            raise InvalidInput(
                f"{self.place} has version {version}, this witnesstree reads up to {VERSION}:"
                " install a newer one"
            )
        return version

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Run a block as one transaction that excludes other writers; what it wrote is on disk when
        the block has ended, or nothing of it.

        Raises Conflict if another process keeps the ledger locked for longer than its patience,
        StorageFailure if the disk refuses.
        """
        with (
            self._translating(),
            self._database.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield Transaction(connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Run a block that only reads, on one state of the database."""
        with self._translating(), self._database.engine.connect() as connection, connection.begin():
            yield Transaction(connection)

    def origin(self) -> str:
        """Return the ledger's origin. Raises Damaged if it is not there once."""
        with self._translating(), self._database.engine.connect() as connection:
            found = connection.execute(select(_ledger.c.origin)).scalars().all()
        if len(found) != 1:
            raise Damaged(
                f"{self.place} names {len(found)} ledgers where it is that of one: restore it from"
                " a backup"
            )
        return str(found[0])

    def problems(self) -> list[str]:
        """Return what is wrong with the database itself: with its file, where it is one, and with
        what keeps its tables append-only.
        """
        with self._translating(), self._database.engine.connect() as connection:
            return list(self._database.problems(connection, APPEND_ONLY))

    def back_up(self, version: int) -> Path | None:
        """Copy a database that is a file, as it stands at `version`, and return the copy's path;
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
            raise self._database.fault(error) from error
        except UnicodeDecodeError as error:
            # SQLite quotes a damaged schema in its message, and Python fails to read that.
            raise Damaged(
                f"{self.place} is damaged: its schema cannot be read; run `witnesstree fsck`"
            ) from error


def _database(place: Path | str, patience: float) -> SQLite | PostgreSQL:
    if not isinstance(place, str):
        return SQLite(place, patience)
    # Here, because it imports the driver, which takes a while.
    from witnesstree.ledger.store.postgresql import PostgreSQL

    return PostgreSQL(place, patience)


def _version(connection: Connection) -> int | None:
    """Return the version that a database says it has, None where it says none."""
    found = inspect(connection)
    if found.has_table(_alembic_version.name):
        said = list(connection.execute(select(_alembic_version.c.version_num)).scalars())
        return int(said[0]) if len(said) == 1 and _NUMBER.fullmatch(str(said[0])) else None
    # The first release wrote it elsewhere.
    if (
        found.has_table(_ledger.name)
        and connection.execute(select(_ledger.c.version)).scalar() == 1
    ):
        return 1
    return None
