"""Questions about the outbox: jobs, the transactions that were signed for them, what came of them,
and alarms.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    insert,
    select,
    update,
)

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.ports import SignedTransaction
from witnesstree.ledger.proof.proof import parse_vouchers
from witnesstree.ledger.store.database import schema
from witnesstree.ledger.store.database.rows import (
    Rows,
    format_message,
    optional_message,
    optional_time,
    parse_message,
    parsed,
)
from witnesstree.ledger.store.database.values import (
    Alarm,
    AlarmKind,
    Job,
    JobKind,
    JobState,
    SentTransaction,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.witness import Stamp


class OutboxRows(Rows):
    """The outbox of jobs, and what came of them."""

    def add_job(self, sequence: int, kind: JobKind, target: str) -> None:
        """Put a waiting job into the outbox, unless there is one."""
        row = {
            "sequence": sequence,
            "kind": kind,
            "target": target,
            "state": JobState.WAITING,
            "attempts": 0,
        }
        self._add_once(schema.jobs, row)

    def jobs(self) -> list[Job]:
        """Return all jobs, those that are done among them."""
        return self._jobs(select(schema.jobs))

    def unfinished_jobs(self, kind: JobKind | None = None, target: str | None = None) -> list[Job]:
        """Return the jobs that are not done, oldest batch first, tokens before anchors: all, or
        those of one kind and target.
        """
        query = (
            select(schema.jobs)
            .where(schema.jobs.c.state != JobState.DONE)
            .order_by(schema.jobs.c.sequence, schema.jobs.c.kind.desc(), schema.jobs.c.target)
        )
        if kind is not None:
            query = query.where((schema.jobs.c.kind == kind) & (schema.jobs.c.target == target))
        return self._jobs(query)

    def _jobs(self, query: Select[Any]) -> list[Job]:
        rows = self._connection.execute(query).mappings()
        return [
            Job(
                **parsed(
                    schema.jobs,
                    row,
                    kind=JobKind,
                    state=JobState,
                    last_error=optional_message,
                    retry_at=optional_time,
                )
            )
            for row in rows
        ]

    def note_attempt(self, job: Job, *, retry_at: datetime, error: Message | None) -> None:
        """Record when `job` is to be tried again, and what went wrong, if something did; it stays
        in the outbox.
        """
        self._update_job(
            job,
            attempts=job.attempts + 1 if error else 0,
            last_error=format_message(error) if error else None,
            retry_at=format_time(retry_at),
        )

    def forget_job(self, job: Job) -> None:
        """Take a job out of the outbox."""
        self._connection.execute(schema.jobs.delete().where(_is(job)))

    def store_transaction(
        self, chain: str, transaction: SignedTransaction, signed: datetime, jobs: Sequence[Job]
    ) -> SentTransaction:
        """Keep a transaction that is about to be sent, as the newest one of `jobs`."""
        row = {name: getattr(transaction, name) for name in transaction.__slots__}
        # Signed again after a commit whose answer was lost, it may be the same bytes.
        self._add_once(schema.transactions, {"chain": chain, "signed": format_time(signed), **row})
        for job in jobs:
            self._update_job(job, state=JobState.SIGNED, transaction=transaction.hash)
        return SentTransaction(transaction, signed)

    def release_transaction(self, job: Job) -> None:
        """Let `job` wait for another transaction: the one it had can never be carried out."""
        self._update_job(job, state=JobState.WAITING, transaction=None)

    def chains(self) -> list[str]:
        """Return the names of all chains that a transaction was ever signed for."""
        query = select(schema.transactions.c.chain).distinct().order_by(schema.transactions.c.chain)
        return [str(chain) for chain in self._connection.execute(query).scalars()]

    def transactions(
        self, chain: str, hashes: Collection[bytes] | None = None
    ) -> list[SentTransaction]:
        """Return the transactions that were signed for a chain, lowest nonce first: all, or those
        with these hashes.
        """
        query = select(schema.transactions).where(schema.transactions.c.chain == chain)
        return self._transactions(
            query if hashes is None else query.where(schema.transactions.c.hash.in_(hashes))
        )

    def alternatives(self, chain: str, sent: SentTransaction) -> list[SentTransaction]:
        """Return all transactions with the account and the nonce of `sent`, that one among them: a
        chain carries out one of them at most.
        """
        columns = schema.transactions.c
        where = (
            (columns.chain == chain)
            & (columns.sender == sent.transaction.sender)
            & (columns.nonce == sent.transaction.nonce)
        )
        return self._transactions(select(schema.transactions).where(where))

    def _transactions(self, query: Select[Any]) -> list[SentTransaction]:
        rows = self._connection.execute(
            query.order_by(schema.transactions.c.nonce, schema.transactions.c.signed)
        ).mappings()
        found = [parsed(schema.transactions, row, signed=parse_time) for row in rows]
        return [
            SentTransaction(
                SignedTransaction(row["raw"], row["hash"], row["sender"], row["nonce"]),
                row["signed"],
            )
            for row in found
        ]

    def finish_anchor(self, job: Job, anchor: str) -> None:
        """Keep the anchor (JSON) that `job` asked for, unless one is kept already."""
        self._add_once(
            schema.anchors, {"sequence": job.sequence, "chain": job.target, "anchor": anchor}
        )
        self._finish(job)

    def finish_publish(self, job: Job, cid: str) -> None:
        """Keep the CID of the batch's list of digests, which `job` put into a store, unless it is
        kept already.
        """
        self._add_once(
            schema.published, {"sequence": job.sequence, "store": job.target, "cid": cid}
        )
        self._finish(job)

    def tokens(self, sequence: int) -> list[tuple[str, Stamp]]:
        """Return (authority, token) of a batch."""
        query = (
            select(schema.tokens)
            .where(schema.tokens.c.sequence == sequence)
            .order_by(schema.tokens.c.authority)
        )
        rows = [dict(row) for row in self._connection.execute(query).mappings()]
        stamps = [
            parsed(schema.tokens, row, vouchers=partial(parse_vouchers, row["token"]))
            for row in rows
        ]
        return [(row["authority"], row["vouchers"]) for row in stamps]

    def published(self, sequence: int) -> list[str]:
        """Return the CIDs of a batch's list of digests."""
        query = (
            select(schema.published)
            .where(schema.published.c.sequence == sequence)
            .order_by(schema.published.c.store)
        )
        return [
            parsed(schema.published, row)["cid"]
            for row in self._connection.execute(query).mappings()
        ]

    def anchors(self, sequence: int) -> list[tuple[str, str]]:
        """Return (chain, anchor as JSON) of a batch."""
        query = (
            select(schema.anchors)
            .where(schema.anchors.c.sequence == sequence)
            .order_by(schema.anchors.c.chain)
        )
        rows = [parsed(schema.anchors, row) for row in self._connection.execute(query).mappings()]
        return [(row["chain"], row["anchor"]) for row in rows]

    def newest_anchor(self, chain: str) -> tuple[int, str] | None:
        """Return the newest batch that is anchored to a chain, and its anchor as JSON."""
        query = (
            select(schema.anchors)
            .where(schema.anchors.c.chain == chain)
            .order_by(schema.anchors.c.sequence.desc())
            .limit(1)
        )
        row = self._connection.execute(query).mappings().first()
        if row is None:
            return None
        anchor = parsed(schema.anchors, row)
        return anchor["sequence"], anchor["anchor"]

    def witnesses(self) -> set[tuple[int, JobKind, str]]:
        """Return batch, kind and target of all that jobs have given."""
        kept = {
            JobKind.STAMP: select(schema.tokens.c.sequence, schema.tokens.c.authority),
            JobKind.ANCHOR: select(schema.anchors.c.sequence, schema.anchors.c.chain),
            JobKind.PUBLISH: select(schema.published.c.sequence, schema.published.c.store),
        }
        return {
            (at, kind, target)
            for kind, query in kept.items()
            for at, target in self._connection.execute(query)
        }

    def alarms(self) -> list[Alarm]:
        """Return what needs a person now, longest first."""
        rows = self._connection.execute(
            select(schema.alarms).order_by(
                schema.alarms.c.since, schema.alarms.c.subject, schema.alarms.c.kind
            )
        ).mappings()
        return [
            Alarm(
                **parsed(schema.alarms, row, kind=AlarmKind, text=parse_message, since=parse_time)
            )
            for row in rows
        ]

    def raise_alarm(self, alarm: Alarm) -> None:
        """Record an alarm. One that is raised already keeps its time and gets the new text."""
        where = (schema.alarms.c.kind == alarm.kind) & (schema.alarms.c.subject == alarm.subject)
        said = format_message(alarm.text)
        if (
            self._connection.execute(update(schema.alarms).where(where).values(text=said)).rowcount
            == 0
        ):
            row = {
                "kind": alarm.kind,
                "subject": alarm.subject,
                "text": said,
                "since": format_time(alarm.since),
            }
            self._connection.execute(insert(schema.alarms), row)

    def clear_alarm(self, alarm: Alarm) -> None:
        """Take an alarm back."""
        self._connection.execute(
            schema.alarms.delete().where(
                (schema.alarms.c.kind == alarm.kind) & (schema.alarms.c.subject == alarm.subject)
            )
        )

    def _finish(self, job: Job) -> None:
        self._update_job(job, state=JobState.DONE, last_error=None, retry_at=None)

    def _update_job(self, job: Job, **values: object) -> None:
        self._connection.execute(update(schema.jobs).where(_is(job)).values(**values))


def _is(job: Job) -> ColumnElement[bool]:
    return (
        (schema.jobs.c.sequence == job.sequence)
        & (schema.jobs.c.kind == job.kind)
        & (schema.jobs.c.target == job.target)
    )
