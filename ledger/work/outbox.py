"""The outbox: each sealed batch's root gets its tokens and its anchors, and each of these effects
is had once, whatever fails meanwhile.

A job waits until its effect is stored. What a crash means, step by step:

    stamp     asked, not stored             asked again: a second token, and the first is forgotten
    anchor    signed, not stored            signed again: nothing was sent
              stored, not sent              the same transaction is sent
              sent, not in a block          the same is sent again; after a while one that pays
                                            more, with the same nonce, stored before it is sent
              in a block that is not final  nothing is done; if a reorganisation takes it back, it
                                            is sent again
              final, not collected          collected: at any final block, since the contract never
                                            forgets a root

A root is never paid for twice: all transactions for it have one nonce, of which a chain carries out
one at most, and a new nonce is taken only once a final block shows that another transaction has
used the old one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING, TypeVar

from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.ports import Standing
from witnesstree.ledger.proof.proof import format_anchor
from witnesstree.ledger.store.metadata import Alarm, AlarmKind, JobKind
from witnesstree.ledger.tokens.token import parse_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from witnesstree.ledger.base.ports import Authority, Chain, FileStore
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.store.metadata import Job, Metadata, SentTransaction

    _Advance = Callable[[Job, str | None], None]

_Part = TypeVar("_Part")
_log = logging.getLogger(__name__)

MAX_ROOTS = 200
"""Roots in one transaction: some 5 million gas, which every chain's blocks have room for."""

_OUTSIDE = (Unreachable, BadAnswer, Conflict, InvalidInput)
"""What an outside part may raise. Anything else is ours, and ends the run."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the outbox waits: `patience` is in seconds, for a lock; a failed job is tried again after
    `first_retry`, then twice that and so on.

    `poll` is how often a transaction is looked after. A batch is late if `required_tokens` tokens
    and all its anchors are not there `deadline` after it closed. Clocks that differ more than
    `clock_bound` raise an alarm.
    """

    patience: float = 60
    first_retry: timedelta = timedelta(seconds=5)
    longest_retry: timedelta = timedelta(minutes=10)
    poll: timedelta = timedelta(seconds=10)
    replace_after: timedelta = timedelta(minutes=3)
    deadline: timedelta = timedelta(hours=6)
    required_tokens: int = 1
    clock_bound: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Whom the outbox asks, by name: jobs name them.

    `publishes` says whether each batch's list of digests goes into the stores.
    """

    authorities: Mapping[str, Authority]
    chains: Mapping[str, Chain]
    stores: Mapping[str, FileStore]
    publishes: bool = True

    def jobs(self) -> list[tuple[JobKind, str]]:
        """Return the jobs that each sealed batch gives."""
        named = {
            JobKind.STAMP: self.authorities,
            JobKind.ANCHOR: self.chains,
            JobKind.PUBLISH: self.stores if self.publishes else (),
        }
        return [(kind, name) for kind, parts in named.items() for name in parts]


class Outbox:
    """The jobs of one ledger. `digests_path` says where a batch's list of digests is."""

    def __init__(
        self,
        home: Home,
        metadata: Metadata,
        witnesses: Witnesses,
        digests_path: Callable[[int], Path],
        *,
        clock: Callable[[], datetime],
        pace: Pace,
        random: Random | None = None,
    ) -> None:
        self.witnesses = witnesses
        self._home = home
        self._metadata = metadata
        self._digests_path = digests_path
        self._clock = clock
        self._pace = pace
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._drifts: dict[str, timedelta] = {}

    def unfinished(self) -> list[Job]:
        """Return what waits, oldest batch first, tokens before anchors."""
        with self._metadata.read() as transaction:
            return transaction.unfinished_jobs()

    def required(self, jobs: Iterable[Job]) -> list[Job]:
        """Return those of `jobs` that their batches cannot do without.

        A token beyond the required ones may come late, or never.
        """
        with self._metadata.read() as transaction:
            return [
                job
                for job in jobs
                if job.kind is not JobKind.STAMP
                or len(transaction.tokens(job.sequence)) < self._pace.required_tokens
            ]

    def late(self) -> list[Job]:
        """Return the unfinished jobs of batches that are past their deadline and cannot do without
        them.
        """
        closed_before = self._clock() - self._pace.deadline
        with self._metadata.read() as transaction:
            batches = {
                job: transaction.batch(job.sequence) for job in transaction.unfinished_jobs()
            }
        return self.required(
            job for job, batch in batches.items() if batch and batch.closed <= closed_before
        )

    def forget(self, kind: JobKind, target: str) -> int:
        """Give up what still waits for `target`, and return how many jobs that were.

        What was sent may still be carried out.
        """
        with self._home.lock("work", self._pace.patience), self._metadata.write() as transaction:
            jobs = transaction.unfinished_jobs(kind, target)
            for job in jobs:
                transaction.forget_job(job)
            for alarm in transaction.alarms():
                if alarm.subject == target:
                    transaction.clear_alarm(alarm)
        return len(jobs)

    def late_batches(self, age: timedelta) -> list[int]:
        """Return the batches that took entries and are not sealed one deadline after they should
        have closed, which is at the age of `age`.
        """
        opened_before = self._clock() - self._pace.deadline - age
        with self._metadata.read() as transaction:
            return [
                batch.sequence
                for batch in transaction.open_batches()
                if batch.opened <= opened_before
            ]

    def work(
        self,
        advance: _Advance | None = None,
        *,
        due_only: bool = False,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Job]:
        """Take every unfinished job one step further, and return those still unfinished.

        `advance` is told each job and its error, if it had one.

        With `due_only`, jobs whose time to be tried again has not come are left. One process at a
        time does this: the others wait, then find the jobs done. `stop` is asked between jobs.

        Raises Conflict if another process works for longer than the patience that was set.
        """
        with self._home.lock("work", self._pace.patience):
            jobs = self._due() if due_only else self.unfinished()
            # Tokens first: they are had at once.
            jobs.sort(
                key=lambda job: (job.kind is JobKind.ANCHOR, job.kind, job.target, job.sequence)
            )
            for (kind, target), group in groupby(jobs, lambda job: (job.kind, job.target)):
                if stop():
                    break
                self._serve(kind, target, list(group), stop, advance or (lambda _job, _error: None))
            return self.unfinished()

    def _due(self) -> list[Job]:
        """Return the unfinished jobs whose time has come; with one of a chain's all of it, for they
        share transactions, and one holds up the next.
        """
        now, jobs = self._clock(), self.unfinished()
        due = {job for job in jobs if job.retry_at is None or job.retry_at <= now}
        chains = {job.target for job in due if job.kind is JobKind.ANCHOR}
        return [
            job
            for job in jobs
            if job in due or (job.kind is JobKind.ANCHOR and job.target in chains)
        ]

    def _serve(
        self,
        kind: JobKind,
        target: str,
        jobs: list[Job],
        stop: Callable[[], bool],
        advance: _Advance,
    ) -> None:
        """Do the jobs of one target.

        Where it does not answer one, or its settings are wrong, the others are not tried: it would
        be for nothing.
        """
        if kind is JobKind.ANCHOR:
            if (
                self._attempt(
                    jobs, lambda: self._tend(_named(self.witnesses.chains, target), jobs), advance
                )
                is None
            ):
                self._note_troubles(self.witnesses.chains[target])
            return
        effect = self._stamp if kind is JobKind.STAMP else self._publish
        for at, job in enumerate(jobs):
            if stop():
                return
            failure = self._attempt([job], lambda job=job: effect(job), advance)  # type: ignore[misc]
            if isinstance(failure, Unreachable | InvalidInput):
                self._note(jobs[at + 1 :], failure, advance)
                return

    def _attempt(
        self, jobs: list[Job], effect: Callable[[], None], advance: _Advance
    ) -> WitnesstreeError | None:
        """Run `effect` for `jobs` of one target, keep what became of it, and return what went
        wrong.
        """
        target, failure = jobs[0].target, None
        try:
            effect()
        except _OUTSIDE as error:
            failure = error
        if isinstance(failure, Unaffordable):
            self._raise_alarm(AlarmKind.UNAFFORDABLE, target, str(failure))
        elif isinstance(failure, BadAnswer):
            self._raise_alarm(AlarmKind.BAD_ANSWER, target, str(failure))
        elif isinstance(failure, InvalidInput):
            self._raise_alarm(AlarmKind.SETTINGS, target, str(failure))
        elif failure is None:
            self._clear_alarms(
                target, AlarmKind.UNAFFORDABLE, AlarmKind.BAD_ANSWER, AlarmKind.SETTINGS
            )
        self._note(jobs, failure, advance)
        return failure

    def _note(self, jobs: list[Job], failure: WitnesstreeError | None, advance: _Advance) -> None:
        """Record when those of `jobs` that are still unfinished are tried again, and why."""
        error, sequences = str(failure) if failure else None, {job.sequence for job in jobs}
        if jobs:
            with self._metadata.write() as transaction:
                for job in transaction.unfinished_jobs(jobs[0].kind, jobs[0].target):
                    if job.sequence in sequences:
                        retry_at = self._retry_at(job) if error else self._clock() + self._pace.poll
                        transaction.note_attempt(job, retry_at=retry_at, error=error)
        for job in jobs:
            advance(job, error)

    def _retry_at(self, job: Job) -> datetime:
        """Return when a job that failed is tried again: later each time up to a bound, and never
        all at once.
        """
        wait: timedelta = min(
            self._pace.first_retry * 2 ** min(job.attempts, 30), self._pace.longest_retry
        )
        return self._clock() + wait * self._random.uniform(0.5, 1)

    # Tokens, and published lists

    def _stamp(self, job: Job) -> None:
        authority = _named(self.witnesses.authorities, job.target)
        before = self._clock()
        stamp = authority.stamp(self._root(job))
        try:
            token = parse_token(stamp.token)
        except InvalidInput as error:
            raise BadAnswer(f"{job.target} gave a token that cannot be read: {error}") from error
        self._compare_clocks(
            job.target, token.gen_time - (before + (self._clock() - before) / 2), token.accuracy
        )
        with self._metadata.write() as transaction:
            transaction.finish_stamp(job, stamp)

    def _compare_clocks(self, authority: str, drift: timedelta, accuracy: timedelta) -> None:
        """Raise an alarm where an authority's clock contradicts ours, or another authority's.

        The token counts all the same: it says what it says.
        """
        bound = self._pace.clock_bound + accuracy
        self._drifts[authority] = drift
        other = max(self._drifts, key=lambda name: abs(self._drifts[name] - drift))
        if abs(drift) > bound:
            self._raise_alarm(
                AlarmKind.CLOCK,
                authority,
                f"{authority} says {drift.total_seconds():+.0f} s against the clock here: set the"
                f" clock, or ask {authority}",
            )
        elif abs(self._drifts[other] - drift) > bound:
            apart = abs(self._drifts[other] - drift).total_seconds()
            self._raise_alarm(
                AlarmKind.CLOCK,
                authority,
                f"{authority} and {other} differ by {apart:.0f} s: one of their clocks is wrong",
            )
        else:
            self._clear_alarms(authority, AlarmKind.CLOCK)

    def _publish(self, job: Job) -> None:
        cid = _named(self.witnesses.stores, job.target).add(self._digests_path(job.sequence))
        with self._metadata.write() as transaction:
            transaction.finish_publish(job, cid)

    # Anchors

    def _tend(self, chain: Chain, jobs: list[Job]) -> None:
        """Take all that one chain owes us one step further.

        Roots that have no transaction yet go together into one, and only once each earlier
        transaction is in a block: so at most one waits for its block at any time, unless a
        reorganisation takes some back.
        """
        waiting = [job for job in jobs if job.transaction is None]
        bundles: dict[bytes, list[Job]] = {}
        for job in jobs:
            if job.transaction is not None:
                bundles.setdefault(job.transaction, []).append(job)
        with self._metadata.read() as transaction:
            sent = {
                each.transaction.hash: each
                for each in transaction.transactions(chain.name, bundles)
            }
        is_held_up = False
        for stored in sorted(
            (_known(sent, hash_) for hash_ in bundles), key=lambda each: each.transaction.nonce
        ):
            newest, carried = stored, bundles[stored.transaction.hash]
            # What one of them says holds for all: a chain carries out a transaction whole, or not
            # at all. Where a stranger has anchored that one, the others wait for the next look.
            standing = self._standing(chain, carried[0], newest)
            if standing is Standing.ABSENT:
                newest = self._push(chain, newest, carried)
                standing = self._standing(chain, carried[0], newest)
            if standing is Standing.FINAL:
                self._collect(chain, carried, newest)
            elif standing is Standing.LOST:
                self._release(chain, carried, newest)
                waiting += carried
            is_held_up = is_held_up or standing is Standing.ABSENT
        if not is_held_up:
            self._start(chain, waiting)

    def _start(self, chain: Chain, waiting: list[Job]) -> None:
        """Sign and send one transaction for roots that have none.

        A root that a stranger has anchored costs nothing, and only has to become final.
        """
        absent: list[Job] = []
        for job in waiting:
            standing = self._standing(chain, job, None)
            if standing is Standing.FINAL:
                self._collect(chain, [job], None)
            elif standing is Standing.ABSENT:
                absent.append(job)
            if len(absent) == MAX_ROOTS:
                break
        sent = self._send(chain, absent, None) if absent else None
        # Some chains are quick.
        if sent and self._standing(chain, absent[0], sent) is Standing.FINAL:
            self._collect(chain, absent, sent)

    def _note_troubles(self, chain: Chain) -> None:
        if troubles := chain.troubles():
            self._raise_alarm(AlarmKind.ENDPOINT, chain.name, "; ".join(map(str, troubles)))
        else:
            self._clear_alarms(chain.name, AlarmKind.ENDPOINT)

    def _standing(self, chain: Chain, job: Job, sent: SentTransaction | None) -> Standing:
        return chain.standing(self._root(job), sent.transaction if sent else None)

    def _release(self, chain: Chain, jobs: list[Job], sent: SentTransaction) -> None:
        """Let jobs have another transaction: a final block shows that theirs can never anchor
        anything.
        """
        nonce, sender = sent.transaction.nonce, sent.transaction.sender.hex()
        text = (
            f"nonce {nonce} of 0x{sender} anchored nothing: another program uses this key, or the"
            " transaction failed; the roots are signed anew"
        )
        self._raise_alarm(AlarmKind.LOST, chain.name, text)
        with self._metadata.write() as transaction:
            for job in jobs:
                transaction.release_transaction(job)

    def _collect(self, chain: Chain, jobs: list[Job], sent: SentTransaction | None) -> None:
        with self._metadata.read() as transaction:
            ours = (
                [each.transaction for each in transaction.alternatives(chain.name, sent)]
                if sent
                else []
            )
        for job in jobs:
            anchor = chain.collect(self._root(job), ours)
            # None where an endpoint that lags behind answers: the next look will find it.
            if anchor is not None:
                with self._metadata.write() as transaction:
                    transaction.finish_anchor(job, format_anchor(anchor))
                _log.info(
                    "batch %d is anchored on %s, in final block %d",
                    job.sequence,
                    chain.name,
                    anchor.block_number,
                )
                if sent:
                    # What was lost is among the roots that were signed for since.
                    self._clear_alarms(chain.name, AlarmKind.LOST, before=sent.signed)

    def _push(self, chain: Chain, sent: SentTransaction, jobs: list[Job]) -> SentTransaction:
        """Send a transaction again that is in no block, or if it has waited for long one that pays
        more; return the newest.
        """
        has_waited, refusal = self._clock() - sent.signed >= self._pace.replace_after, None
        try:
            chain.send(sent.transaction)
        except Unaffordable as error:
            # A pool that has grown dearer takes it no more. That may pass; and what pays more, it
            # may well take.
            refusal = error
        better = self._send(chain, jobs, sent) if has_waited else None
        if has_waited and refusal and better is None:
            raise refusal
        return better or sent

    def _send(
        self, chain: Chain, jobs: list[Job], replaced: SentTransaction | None
    ) -> SentTransaction | None:
        """Sign a transaction for these jobs, store it, then send it.

        None where the replaced one is good enough.
        """
        signed = chain.sign(
            [self._root(job) for job in jobs], replaced.transaction if replaced else None
        )
        if signed is None:
            return None
        # Stored before it is sent: after a crash the same transaction is sent again, so no root is
        # ever paid for twice.
        with self._metadata.write() as transaction:
            sent = transaction.store_transaction(chain.name, signed, self._clock(), jobs)
        _log.info(
            "%s carries %d root(s) to %s%s",
            f"0x{signed.hash.hex()}",
            len(jobs),
            chain.name,
            " in place of one that paid less" if replaced else "",
        )
        chain.send(signed)
        return sent

    def _root(self, job: Job) -> bytes:
        with self._metadata.read() as transaction:
            batch = transaction.batch(job.sequence)
        if batch is None:
            raise Damaged(f"batch {job.sequence} has vanished; run `witnesstree fsck`")
        return batch.root

    # Alarms

    def _raise_alarm(self, kind: AlarmKind, subject: str, text: str) -> None:
        with self._metadata.read() as transaction:
            is_known = any(
                (alarm.kind, alarm.subject, alarm.text) == (kind, subject, text)
                for alarm in transaction.alarms()
            )
        if not is_known:
            _log.warning("%s: %s", subject, text)
            with self._metadata.write() as transaction:
                transaction.raise_alarm(Alarm(kind, subject, text, self._clock()))

    def _clear_alarms(
        self, subject: str, *kinds: AlarmKind, before: datetime | None = None
    ) -> None:
        """Take back the alarms of these kinds about `subject`; with `before`, those that were
        raised by then.
        """
        with self._metadata.read() as transaction:
            raised = [
                alarm
                for alarm in transaction.alarms()
                if alarm.subject == subject and alarm.kind in kinds
            ]
        raised = [alarm for alarm in raised if before is None or alarm.since <= before]
        if raised:
            with self._metadata.write() as transaction:
                for alarm in raised:
                    transaction.clear_alarm(alarm)


def _named(parts: Mapping[str, _Part], name: str) -> _Part:
    if name not in parts:
        raise InvalidInput(
            f"no {name} is configured any more, and a batch waits for it: add it again, or give it"
            f" up with `remove {name} --forget`"
        )
    return parts[name]


def _known(sent: Mapping[bytes, SentTransaction], hash_: bytes) -> SentTransaction:
    if hash_ not in sent:
        raise Damaged(f"the transaction 0x{hash_.hex()} has vanished; run `witnesstree fsck`")
    return sent[hash_]
