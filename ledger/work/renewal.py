"""Renewal: each batch's evidence record gets a new timestamp before the newest one cannot be
verified any more (RFC 4998, 5.2).

The record of a batch is that of its opening record, leaf 0; the records of all its entries are
derived from it (`derive_record`). All records of one authority that are due together are renewed
with one token. What a crash means, step by step:

    scheduled      not stored                worked out again
    stamped        not stored                asked again: a second token, and the first is forgotten
    kept, and scheduled again                one transaction: both or neither

A record that cannot be renewed waits, and its authority is the subject of an alarm, until it can.
Nothing here holds up sealing. No other module decides when a record is renewed.
docs/decisions/0019-renewal.md says what was decided.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from witnesstree.ledger.base.errors import BadAnswer, Conflict, Damaged, InvalidInput, Unreachable
from witnesstree.ledger.base.message import message
from witnesstree.ledger.proof.proof import Inclusion, Proof
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_judge import expires
from witnesstree.ledger.proof.record_make import make_record, renew_timestamps
from witnesstree.ledger.store.database.values import UNSCHEDULED, KeptRecord, Renewal
from witnesstree.ledger.store.restored import require_continued
from witnesstree.ledger.work.judging import Due, Judge, RenewalPolicy
from witnesstree.ledger.work.outbox import Pace
from witnesstree.ledger.work.waiting import MAX_DUE, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.lookup import Entry
    from witnesstree.ledger.work.sealing import Ledger

_log = logging.getLogger(__name__)

MAX_GROUP = 1_000
"""Records that are renewed with one token.

Each is verified before and after, which takes some twenty seconds for so many.
"""


@runtime_checkable
class Bounded(Protocol):
    """An authority that knows without being asked until when its tokens can be verified at most.

    It may be read at any time, and raises nothing.
    """

    @property
    def holds_until(self) -> datetime:
        """The end of its certificates."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a pass did: so many records were renewed, with so many tokens.

    `problems` says what is due and could not be renewed, and why.

    `early` says it of what is not due yet: nothing has to be done about that.
    """

    records: int
    tokens: int
    problems: tuple[Message, ...]
    early: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopted:
    """Whether a record was kept, and if not why; None where it is not of this ledger."""

    is_kept: bool
    reason: Message | None = None


class Renewals:
    """The renewals of one ledger.

    `trust` is asked once a pass: whom the ledger's owner trusts by then.
    """

    def __init__(
        self,
        ledger: Ledger,
        trust: Callable[[], Trust],
        *,
        clock: Callable[[], datetime],
        pace: Pace | None = None,
        policy: RenewalPolicy | None = None,
    ) -> None:
        self._ledger = ledger
        self._metadata = ledger.metadata
        self._trust_now = trust
        self._clock = clock
        self._pace = pace or Pace()
        self._policy = policy or RenewalPolicy()
        self._waiting = Waiting(self._metadata, clock, self._pace)
        # Until when the certificates of an authority hold that has answered in this pass: it is not
        # asked again for what holds as long.
        self._reach: dict[str, datetime] = {}

    def work(
        self,
        within: timedelta = timedelta(0),
        advance: Callable[[int], None] = lambda _count: None,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> Renewed:
        """Renew what is due now, or `within` a time, and return what became of it.

        `advance` counts records; `stop` is asked between groups.

        What is not due yet and cannot be renewed is no alarm.

        One process at a time does this: the others wait, then find nothing due. Raises Conflict if
        another one works for longer than the patience that was set, or the home was restored and
        must not go on yet: nobody is asked then.
        """
        require_continued(self._ledger.home)
        with self._ledger.home.lock("renew", self._pace.patience):
            self._reach.clear()
            # What another process has renewed is no problem of this pass.
            self._waiting.forget()
            with self._metadata.read() as transaction:
                due = transaction.due_renewals(self._clock() + within, MAX_DUE)
            if not due:
                self._waiting.settle_alarms()
                return Renewed(0, 0, ())
            judge = self._judge()
            self._schedule(
                [renewal for renewal in due if renewal.due <= UNSCHEDULED][:MAX_GROUP], judge
            )
            with self._metadata.read() as transaction:
                due = [
                    renewal
                    for renewal in transaction.due_renewals(self._clock() + within, MAX_DUE)
                    if renewal.due > UNSCHEDULED
                ]
            records = tokens = 0
            for authority, group in groupby(
                sorted(due, key=lambda renewal: renewal.authority),
                lambda renewal: renewal.authority,
            ):
                ready = [renewal for renewal in group if self._waiting.is_over(renewal)][:MAX_GROUP]
                if stop():
                    break
                for made in self._serve(authority, ready, judge):
                    records, tokens = records + made, tokens + 1
                    advance(made)
            early, problems = self._waiting.settle_alarms(), self._waiting.problems()
            return Renewed(
                records,
                tokens,
                tuple(sorted(problems, key=str)),
                tuple(sorted(early - problems, key=str)),
            )

    def find(self, record: EvidenceRecord) -> tuple[Entry, str] | None:
        """Return the entry that `record` is for, and the authority that gave its first token; None
        if it is not of this ledger.
        """
        first = record.timestamps[0]
        digests = first.lists[0] if first.lists else (first.token.imprint,)
        if len(digests) != 1 or record.is_encrypted:
            return None
        for entry in self._ledger.entries(digests[0]):
            with self._metadata.read() as transaction:
                for authority, stamp in transaction.tokens(entry.batch):
                    if stamp.token == first.token.der:
                        return entry, authority
        return None

    def adopt(self, record: EvidenceRecord) -> Adopted:
        """Keep a record that was renewed by hand if it is of one of the ledger's entries, and say
        whether it was kept.

        It is not if it cannot be verified by whom the ledger's owner trusts, if the ledger has one
        that holds as long, or if proofs have no room for it. From then on it is renewed like all
        others.

        Raises Conflict as `work` does, Damaged.
        """
        with self._ledger.home.lock("renew", self._pace.patience):
            found = self.find(record)
            if found is None:
                return Adopted(is_kept=False)
            entry, authority = found
            judge = self._judge()
            with self._metadata.read() as transaction:
                # The batch's own record counts for the entry too, and one of the entry would stand
                # in its place.
                kept = {
                    position: each
                    for position in (0, entry.position)
                    for each in transaction.newest_records(entry.batch, position)
                    if each.authority == authority
                }
            digest = self._ledger.files.digest_at(entry.batch, entry.position)
            if reason := judge.refusal(record, entry.position, digest, kept.values()):
                return Adopted(is_kept=False, reason=reason)
            number = kept[entry.position].number if entry.position in kept else 0
            renewal = Renewal(judge.due_at(record), entry.batch, entry.position, authority)
            self._keep([(Due(renewal, record, number, digest), record)], judge)
            return Adopted(is_kept=True)

    def _judge(self) -> Judge:
        """Return who judges in this pass: by what the ledger's owner trusts by now."""
        return Judge(self._policy, self._trust_now(), self._clock)

    def _schedule(self, renewals: Sequence[Renewal], judge: Judge) -> None:
        """Work out when renewals are due of which nobody knows it yet."""
        scheduled = []
        for renewal in renewals:
            try:
                due = judge.due_at(self._load(renewal).record)
            except (Damaged, InvalidInput):
                # Looked at at once, and then what is wrong is said.
                due = self._clock()
            scheduled.append(replace(renewal, due=due))
        if scheduled:
            with self._metadata.write() as transaction:
                for renewal in scheduled:
                    transaction.schedule(renewal)

    def _load(self, renewal: Renewal) -> Due:
        """Return the newest record of an entry under one authority, made from its token where none
        was kept. Raises Damaged, InvalidInput.
        """
        sequence, position, authority = renewal.sequence, renewal.position, renewal.authority
        with self._metadata.read() as transaction:
            batch, tokens = transaction.batch(sequence), dict(transaction.tokens(sequence))
            newest = {
                kept.authority: kept for kept in transaction.newest_records(sequence, position)
            }.get(authority)
        if batch is None or authority not in tokens:
            raise Damaged("token-vanished", batch=sequence, authority=authority)
        digest = self._ledger.files.digest_at(sequence, position)
        if newest:
            return Due(renewal, parse_record(newest.record), newest.number, digest)
        path = self._ledger.files.path(sequence, position, batch.count)
        proof = Proof(
            digest, Inclusion(position, batch.count, batch.root, path), tokens=(tokens[authority],)
        )
        return Due(renewal, parse_record(make_record(proof)), 0, digest)

    def _serve(self, authority: str, renewals: Sequence[Renewal], judge: Judge) -> Iterable[int]:
        """Renew what can be of one authority's records, and yield for each token how many were
        renewed with it.
        """
        able: list[Due] = []
        for renewal in renewals:
            try:
                due = self._load(renewal)
            except (Damaged, InvalidInput) as error:
                self._waiting.note(renewal, error.message, None)
                continue
            report = judge.judge(due.record, due.digest)
            due = replace(due, end=judge.end(due.record), assurance=report.assurance)
            if obstacle := judge.obstacle(due, report):
                self._waiting.note(renewal, obstacle, due.end)
            else:
                able.append(due)
        for _, group in groupby(
            sorted(able, key=lambda due: due.algorithm), lambda due: due.algorithm
        ):
            yield from self._renew(authority, list(group), judge)

    def _renew(self, authority: str, group: list[Due], judge: Judge) -> Iterable[int]:
        """Ask one authority after the other for a token on all records of a group, until each is
        renewed; keep those that are.
        """
        for name in self._candidates(authority):
            try:
                asked, left = self._parted(name, group)
                renewed = (
                    renew_timestamps(
                        [due.record for due in asked],
                        self._ledger.outbox.witnesses.authorities[name].stamp,
                    )
                    if asked
                    else []
                )
            except (Unreachable, Conflict) as error:
                said = message("authority-failed", authority=name, error=error)
                self._waiting.note_silence(authority, said)
                return
            except (BadAnswer, InvalidInput) as error:
                said = message("authority-failed", authority=name, error=error)
                self._waiting.note_all(group, said)
                continue
            self._waiting.note_all(left, message("authority-ends-too-early", authority=name))
            if not asked:
                continue
            self._waiting.note_answer(authority)
            defective = self._keep_sound(name, asked, renewed, judge)
            yield len(asked) - len(defective)
            group = left + defective
            if not group:
                return

    def _keep_sound(
        self, name: str, asked: list[Due], renewed: list[EvidenceRecord], judge: Judge
    ) -> list[Due]:
        """Keep what one answer has renewed, and return those that it has not."""
        # Of the certificates alone: methods differ from record to record.
        if reach := expires(renewed[0], judge.trust, {}):
            self._reach[name] = reach
        kept: list[tuple[Due, EvidenceRecord]] = []
        defective: list[Due] = []
        for due, record in zip(asked, renewed, strict=True):
            if defect := judge.defect(due, record):
                defective.append(due)
                said = message("answer-defective", authority=name, defect=defect)
                self._waiting.note(due.renewal, said, due.end)
            else:
                kept.append((due, record))
        self._keep(kept, judge)
        if kept:
            _log.info(message("records-renewed", count=len(kept), authority=name))
        return defective

    def _parted(self, name: str, group: list[Due]) -> tuple[list[Due], list[Due]]:
        """Return those that an authority may carry on, and those of which it is known before that
        it cannot.
        """
        authority = self._ledger.outbox.witnesses.authorities[name]
        reach = self._reach.get(name) or (
            authority.holds_until
            if isinstance(authority, Bounded)
            else datetime.max.replace(tzinfo=UTC)
        )
        able = [due for due in group if due.end is None or due.end < reach]
        return able, [due for due in group if due.end is not None and due.end >= reach]

    def _candidates(self, authority: str) -> list[str]:
        """Return whom to ask: the authority that stamped, if it is configured still, then the
        others.
        """
        names = list(self._ledger.outbox.witnesses.authorities)
        return sorted(names, key=lambda name: (name != authority, names.index(name)))

    def _keep(self, records: Sequence[tuple[Due, EvidenceRecord]], judge: Judge) -> None:
        now = self._clock()
        with self._metadata.write() as transaction:
            for due, record in records:
                at = due.renewal
                if transaction.keep_record(
                    KeptRecord(
                        at.sequence, at.position, at.authority, due.number + 1, now, record.der
                    )
                ):
                    transaction.schedule(replace(at, due=judge.due_at(record)))
        for due, _ in records:
            self._waiting.note_renewed(due.renewal)
