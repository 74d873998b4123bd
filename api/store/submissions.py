"""Submissions: which entries are whose, what was answered, and how much each tenant submitted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select

from witnesstree.api.store.schema import OPERATOR, answers, direct, named, submissions
from witnesstree.ledger.base.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from witnesstree.ledger.work.sealing import Span

ANSWERS_KEPT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a request, and the SHA-256 of its body."""

    body: bytes
    answer: bytes


def next_number(connection: Connection) -> int:
    """Return the number of the next submission."""
    row = connection.execute(
        select(submissions.c.number, submissions.c.requests)
        .order_by(submissions.c.number.desc())
        .limit(1)
    ).first()
    return row.number + row.requests if row else 1


def add_range(
    connection: Connection,
    spans: Sequence[Span],
    now: datetime,
    *,
    tenant: int,
    number: int,
    requests: int,
) -> None:
    """Record that these entries are a tenant's, and came in so many requests.

    A range that goes on in another batch has its requests counted with its first row.
    """
    connection.execute(
        insert(submissions),
        [
            {
                "batch": span.batch,
                "first": span.first,
                "count": span.count,
                "tenant": tenant,
                "number": number,
                "requests": 0 if index else requests,
                "received": format_time(now),
            }
            for index, span in enumerate(spans)
        ],
    )


def owner(connection: Connection, batch: int, position: int) -> int:
    """Return whose an entry is: the operator's, where no range has it."""
    row = connection.execute(
        select(submissions.c.tenant, submissions.c.first, submissions.c.count)
        .where(submissions.c.batch == batch, submissions.c.first <= position)
        .order_by(submissions.c.first.desc())
        .limit(1)
    ).first()
    if row is None:
        return OPERATOR
    tenant, first, count = row
    return int(tenant) if position < first + count else OPERATOR


def ranges(
    connection: Connection, batch: int, tenant: int | None = None
) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of the ranges of a batch, in order; those of one tenant, or all."""
    query = select(submissions.c.first, submissions.c.count).where(submissions.c.batch == batch)
    if tenant is not None:
        query = query.where(submissions.c.tenant == tenant)
    for row in connection.execute(query.order_by(submissions.c.first)):
        yield row[0], row[1]


def usage(connection: Connection, tenant: int, since: datetime, until: datetime) -> dict[str, int]:
    """Return how many entries a tenant submitted each day (UTC), from what was accepted."""
    day = func.substr(submissions.c.received, 1, 10)
    rows = connection.execute(
        select(day.label("day"), func.sum(submissions.c.count).label("entries"))
        .where(
            submissions.c.tenant == tenant,
            submissions.c.received >= format_time(since),
            submissions.c.received < format_time(until),
        )
        .group_by(day)
        .order_by(day)
    )
    return {row.day: int(row.entries) for row in rows}


def keep_names(
    connection: Connection, number: int, tenant: int, span: Span, names: Sequence[str | None]
) -> None:
    """Keep the references of a request's entries, where it gave some."""
    connection.execute(
        insert(named),
        {
            "number": number,
            "tenant": tenant,
            "batch": span.batch,
            "first": span.first,
            "names": json.dumps(list(names), ensure_ascii=False),
        },
    )


def names_in(
    connection: Connection, batch: int, tenant: int
) -> Iterator[tuple[int, list[str | None]]]:
    """Yield, for each request of a tenant that named entries of a batch, the position of its first
    entry, and the names.
    """
    query = (
        select(named.c.first, named.c.names)
        .where(named.c.batch == batch, named.c.tenant == tenant)
        .order_by(named.c.first)
    )
    for row in connection.execute(query):
        yield row.first, json.loads(row.names)


def answer_to(connection: Connection, tenant: int, key: str, now: datetime) -> Answer | None:
    """Return what was answered to the request of this key, None if none of the last day has it."""
    row = connection.execute(
        select(answers.c.body, answers.c.answer).where(
            answers.c.tenant == tenant, answers.c.key == key, answers.c.ends > format_time(now)
        )
    ).first()
    return Answer(row.body, row.answer) if row else None


def keep_answer(connection: Connection, tenant: int, key: str, kept: Answer, now: datetime) -> None:
    """Keep what a request is answered, for a day."""
    connection.execute(delete(answers).where(answers.c.tenant == tenant, answers.c.key == key))
    connection.execute(
        insert(answers),
        {
            "tenant": tenant,
            "key": key,
            "body": kept.body,
            "answer": kept.answer,
            "ends": format_time(now + ANSWERS_KEPT),
        },
    )


def forget_answers(connection: Connection, now: datetime) -> None:
    """Forget the answers whose day is over."""
    connection.execute(delete(answers).where(answers.c.ends <= format_time(now)))


def ask_directly(connection: Connection, tenant: int, digests: Sequence[bytes]) -> None:
    """Keep that a tenant asked for tokens over these digests themselves."""
    for digest in dict.fromkeys(digests):
        if not asked_directly(connection, tenant, digest):
            connection.execute(insert(direct), {"tenant": tenant, "digest": digest})


def asked_directly(connection: Connection, tenant: int, digest: bytes) -> bool:
    """Whether a tenant asked for one."""
    where = select(direct.c.tenant).where(direct.c.tenant == tenant, direct.c.digest == digest)
    return connection.execute(where).first() is not None
