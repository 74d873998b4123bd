"""Questions about batches: the open ones, which change, and the sealed ones, which never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    bindparam,
    cast,
    exists,
    func,
    insert,
    select,
    update,
)

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.store.database import schema
from witnesstree.ledger.store.database.rows import Rows, parsed
from witnesstree.ledger.store.database.values import (
    BatchState,
    OpenBatch,
    SealedBatch,
    Told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# Made once, because they are asked for every proof.
_NEWEST = select(func.coalesce(func.max(schema.batches.c.log_index), -1))
_TOLD = select(
    *(
        select(func.count())
        .select_from(table)
        .where(table.c.sequence == bindparam("batch"))
        .scalar_subquery()
        for table in (schema.tokens, schema.anchors, schema.published, schema.records)
    ),
    select(func.count()).select_from(schema.keys).scalar_subquery(),
    select(func.count())
    .select_from(schema.cosignatures)
    .where(
        schema.cosignatures.c.size
        == select(schema.batches.c.log_index + 1)
        .where(schema.batches.c.sequence == bindparam("batch"))
        .scalar_subquery()
    )
    .scalar_subquery(),
    exists(select(schema.direct_tokens.c.digest)),
)


class BatchRows(Rows):
    """The open and the sealed batches."""

    def open_batches(self) -> list[OpenBatch]:
        """Return the batches that are not sealed, oldest first; at most one of them is open."""
        rows = self._connection.execute(
            select(schema.open_batches).order_by(schema.open_batches.c.sequence)
        ).mappings()
        return [
            OpenBatch(**parsed(schema.open_batches, row, state=BatchState, opened=parse_time))
            for row in rows
        ]

    def next_sequence(self) -> int:
        """Return the sequence number of the next batch to be opened."""
        highest = [
            self._connection.execute(select(func.max(table.c.sequence))).scalar()
            for table in (schema.batches, schema.open_batches)
        ]
        return 1 + max(-1 if value is None else value for value in highest)

    def open_batch(self, batch: OpenBatch) -> None:
        """Record a new batch."""
        row = {name: getattr(batch, name) for name in batch.__slots__}
        self._connection.execute(
            insert(schema.open_batches), {**row, "opened": format_time(batch.opened)}
        )

    def set_count(self, sequence: int, count: int, crc32: int, fillers: int) -> None:
        """Acknowledge the first `count` leaves of an open batch."""
        self._connection.execute(
            update(schema.open_batches)
            .where(schema.open_batches.c.sequence == sequence)
            .values(count=count, crc32=crc32, fillers=fillers)
        )

    def freeze(self, sequence: int) -> None:
        """Let a batch take no more entries."""
        self._connection.execute(
            update(schema.open_batches)
            .where(schema.open_batches.c.sequence == sequence)
            .values(state=BatchState.FROZEN)
        )

    def batch(self, sequence: int) -> SealedBatch | None:
        """Return a sealed batch, None where there is none of this number."""
        return next(self._batches(sequence), None)

    def batches(self) -> Iterator[SealedBatch]:
        """Yield the sealed batches, oldest first."""
        return self._batches()

    def roots(self) -> list[tuple[int, int, bytes]]:
        """Return (sequence, count, root) of every sealed batch, as a database of any version has
        them.
        """
        query = select(*(schema.batches.c[name] for name in ("sequence", "count", "root")))
        return [tuple(row) for row in self._connection.execute(query.order_by("sequence"))]

    def batch_sizes(self, since: int = 0) -> list[tuple[int, int]]:
        """Return (sequence, count) of every sealed batch, oldest first, or of those only that the
        log has from entry `since` on.
        """
        query = (
            select(schema.batches.c.sequence, schema.batches.c.count)
            .where(schema.batches.c.log_index >= since)
            .order_by(schema.batches.c.sequence)
        )
        rows = self._connection.execute(query)
        return [(sequence, count) for sequence, count in rows]

    def batch_count(self) -> int:
        """Return the number of sealed batches, which is the log's size."""
        return self._connection.execute(
            select(func.count()).select_from(schema.batches)
        ).scalar_one()

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
        found: Sequence[Any] = self._connection.execute(_TOLD, {"batch": sequence}).one()
        return Told(*found)

    def entry_count(self) -> int:
        """Return the number of entries in sealed batches, opening records and blinding leaves left
        out.
        """
        entries = schema.batches.c.count - 1 - schema.batches.c.fillers
        return self._connection.execute(
            select(cast(func.coalesce(func.sum(entries), 0), BigInteger))
        ).scalar_one()

    def _batches(self, sequence: int | None = None) -> Iterator[SealedBatch]:
        query = select(schema.batches).order_by(schema.batches.c.sequence)
        query = query if sequence is None else query.where(schema.batches.c.sequence == sequence)
        for row in self._connection.execute(query).mappings():
            yield SealedBatch(**parsed(schema.batches, row, closed=parse_time))
