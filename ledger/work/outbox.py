"""The outbox: each sealed batch's root gets its tokens and its anchors, and each of these effects
happens once, whatever fails meanwhile.

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

from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING, TypeVar

from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.database.values import AlarmKind, JobKind
from witnesstree.ledger.store.restored import require_continued
from witnesstree.ledger.tokens.token import parse_token
from witnesstree.ledger.work.alarms import Alarms
from witnesstree.ledger.work.anchoring import Anchorer, root_of_batch
from witnesstree.ledger.work.clocks import Clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.ports import Authority, Chain, FileStore
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.database.values import Job
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.store.metadata import Metadata

    _Advance = Callable[[Job, Message | None], None]

_Part = TypeVar("_Part")

_OUTSIDE = (Unreachable, BadAnswer, Conflict, InvalidInput)
"""What an outside part may raise. Anything else is ours, and ends the run."""
_ALARMS: dict[type[WitnesstreeError], AlarmKind] = {
    Unaffordable: AlarmKind.UNAFFORDABLE,
    BadAnswer: AlarmKind.BAD_ANSWER,
    InvalidInput: AlarmKind.SETTINGS,
}
"""What needs a person. The rest may pass by itself."""


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
    """The jobs of one ledger. A batch's list of digests is published from `files`."""

    def __init__(
        self,
        home: Home,
        metadata: Metadata,
        witnesses: Witnesses,
        files: BatchFiles,
        *,
        clock: Callable[[], datetime],
        pace: Pace,
        random: Random | None = None,
    ) -> None:
        self.witnesses = witnesses
        self._home = home
        self._metadata = metadata
        self._files = files
        self._clock = clock
        self._pace = pace
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._alarms = Alarms(metadata, clock)
        self._anchoring = Anchorer(metadata, self._alarms, clock, pace.replace_after)
        self._clocks = Clocks(metadata, clock)
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

        Raises Conflict if another process works for longer than the patience that was set, or the
        home was restored and must not go on yet: nobody is asked then.
        """
        require_continued(self._home)
        with self._home.lock("work", self._pace.patience):
            jobs = self._due() if due_only else self.unfinished()
            # Tokens first: they come at once.
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
            early = self._clocks.kept_back(target, jobs)
            for job, why in early.items():
                self._note([job], Conflict(why), advance)
            jobs = [job for job in jobs if job not in early]
            if not jobs:
                return
            if (
                self._attempt(
                    jobs,
                    lambda: self._anchoring.tend(_named(self.witnesses.chains, target), jobs),
                    advance,
                )
                is None
            ):
                self._anchoring.note_troubles(self.witnesses.chains[target])
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
            if error.is_ours:
                raise
            failure = error
        if failure is None:
            self._alarms.clear(target, *_ALARMS.values())
        for kind, alarm in _ALARMS.items():
            if isinstance(failure, kind):
                self._alarms.raise_(alarm, target, failure.message)
        self._note(jobs, failure, advance)
        return failure

    def _note(self, jobs: list[Job], failure: WitnesstreeError | None, advance: _Advance) -> None:
        """Record when those of `jobs` that are still unfinished are tried again, and why."""
        error = failure.message if failure else None
        sequences = {job.sequence for job in jobs}
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
        with self._metadata.read() as transaction:
            batch = transaction.batch(job.sequence)
        if batch:
            self._clocks.require_begun(batch)
        before = self._clock()
        stamp = authority.stamp(root_of_batch(self._metadata, job))
        try:
            token = parse_token(stamp.token)
        except InvalidInput as error:
            raise BadAnswer(
                "token-of-authority-unreadable", authority=job.target, error=error
            ) from error
        if batch:
            self._clocks.require_later(batch, job.target, token)
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
            self._alarms.raise_(
                AlarmKind.CLOCK,
                authority,
                message(
                    "authority-clock-differs",
                    authority=authority,
                    seconds=abs(round(drift.total_seconds())),
                    is_ahead=drift > timedelta(0),
                ),
            )
        elif abs(self._drifts[other] - drift) > bound:
            apart = round(abs(self._drifts[other] - drift).total_seconds())
            self._alarms.raise_(
                AlarmKind.CLOCK,
                authority,
                message("authority-clocks-differ", authority=authority, other=other, seconds=apart),
            )
        else:
            self._alarms.clear(authority, AlarmKind.CLOCK)

    def _publish(self, job: Job) -> None:
        store = _named(self.witnesses.stores, job.target)
        with self._files.place.local(self._files.digests_name(job.sequence)) as path:
            cid = store.add(path)
        with self._metadata.write() as transaction:
            transaction.finish_publish(job, cid)


def _named(parts: Mapping[str, _Part], name: str) -> _Part:
    if name not in parts:
        raise InvalidInput("target-not-configured", name=name)
    return parts[name]
