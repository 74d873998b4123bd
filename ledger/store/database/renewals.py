"""Questions about renewed evidence records, and when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.store.database import schema
from witnesstree.ledger.store.database.rows import Rows, optional_time, parsed
from witnesstree.ledger.store.database.values import (
    UNSCHEDULED,
    KeptRecord,
    Renewal,
    RenewalCounts,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select


class RenewalRows(Rows):
    """Renewed evidence records, and when each is due again."""

    def keep_record(self, kept: KeptRecord) -> bool:
        """Keep a renewed record beside those that were kept before, and return whether it was
        kept: where there is one of its number already, that one stays.
        """
        row = {name: getattr(kept, name) for name in kept.__slots__} | {
            "renewed": format_time(kept.renewed)
        }
        return self._add_once(schema.records, row)

    def newest_records(self, sequence: int, position: int) -> list[KeptRecord]:
        """Return the newest record of an entry under each authority, in the order of their
        names.
        """
        found = self._records(
            select(schema.records).where(
                (schema.records.c.sequence == sequence) & (schema.records.c.position == position)
            )
        )
        return list({kept.authority: kept for kept in found}.values())

    def records(self, sequence: int) -> list[KeptRecord]:
        """Return all records that were kept of a batch's entries, by position and authority, the
        oldest first.
        """
        return self._records(select(schema.records).where(schema.records.c.sequence == sequence))

    def _records(self, query: Select[Any]) -> list[KeptRecord]:
        rows = self._connection.execute(
            query.order_by(
                schema.records.c.position, schema.records.c.authority, schema.records.c.number
            )
        ).mappings()
        return [KeptRecord(**parsed(schema.records, row, renewed=parse_time)) for row in rows]

    def schedule(self, renewal: Renewal) -> None:
        """Record when a renewal is due, in place of what was recorded before."""
        columns = schema.renewals.c
        where = (
            (columns.sequence == renewal.sequence)
            & (columns.position == renewal.position)
            & (columns.authority == renewal.authority)
        )
        due = format_time(renewal.due)
        if (
            self._connection.execute(update(schema.renewals).where(where).values(due=due)).rowcount
            == 0
        ):
            row = {
                "sequence": renewal.sequence,
                "position": renewal.position,
                "authority": renewal.authority,
                "due": due,
            }
            self._connection.execute(insert(schema.renewals), row)

    def renewals(self, sequence: int) -> list[Renewal]:
        """Return the renewals of a batch's entries."""
        return self._renewals(select(schema.renewals).where(schema.renewals.c.sequence == sequence))

    def due_renewals(self, by: datetime, limit: int) -> list[Renewal]:
        """Return at most `limit` renewals that are due by a time, the most urgent first: what is
        UNSCHEDULED comes first.
        """
        return self._renewals(
            select(schema.renewals).where(schema.renewals.c.due <= format_time(by)).limit(limit)
        )

    def schedule_missing(self) -> None:
        """Schedule the renewal of each token that has no row for it, which only an older version
        leaves out: at once, to see when it is due.
        """
        there = (
            (schema.renewals.c.sequence == schema.tokens.c.sequence)
            & (schema.renewals.c.position == 0)
            & (schema.renewals.c.authority == schema.tokens.c.authority)
        )
        values = (
            schema.tokens.c.sequence,
            literal(0),
            schema.tokens.c.authority,
            literal(format_time(UNSCHEDULED)),
        )
        missing = select(*values).where(~exists().where(there))
        self._connection.execute(
            insert(schema.renewals).from_select(
                ["sequence", "position", "authority", "due"], missing
            )
        )

    def renewed_sequences(self) -> set[int]:
        """Return the batches that records were kept of, or renewals are scheduled for."""
        return {
            at
            for table in (schema.records, schema.renewals)
            for at in self._connection.execute(select(table.c.sequence).distinct()).scalars()
        }

    def renewal_counts(self, now: datetime, late: datetime) -> RenewalCounts:
        """Return how renewals stand at `now`; what was due by `late` is late.

        What is UNSCHEDULED is neither due nor late.
        """
        due, known = schema.renewals.c.due, schema.renewals.c.due > format_time(UNSCHEDULED)

        def count(*where: ColumnElement[bool]) -> int:
            return self._connection.execute(
                select(func.count()).select_from(schema.renewals).where(known, *where)
            ).scalar_one()

        following = self._connection.execute(
            select(func.min(due)).where(due > format_time(now))
        ).scalar()
        return RenewalCounts(
            count(),
            count(due <= format_time(now)),
            count(due <= format_time(late)),
            optional_time(following),
        )

    def _renewals(self, query: Select[Any]) -> list[Renewal]:
        columns = schema.renewals.c
        rows = self._connection.execute(
            query.order_by(columns.due, columns.sequence, columns.position, columns.authority)
        ).mappings()
        return [Renewal(**parsed(schema.renewals, row, due=parse_time)) for row in rows]
