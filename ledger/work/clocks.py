"""Clocks: what a batch's opening record says of the time, compared with what witnesses and the
ledger itself say, before anything is stated that they would contradict for good.

The root commits to the opening record, so a token or an anchor from before its times makes each
proof of the batch FAILED. A batch that was begun while the clock here was ahead is therefore kept
back until the witnesses' time has come, and a block from ahead of the clock is not named.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.errors import Conflict, InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.stateproof import parse_header
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.store.database.values import AlarmKind, JobKind
from witnesstree.ledger.tokens.token import parse_token
from witnesstree.ledger.verify.anchors import time_of
from witnesstree.ledger.work.alarms import Alarms

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.ports import Block
    from witnesstree.ledger.store.database.values import Job, SealedBatch
    from witnesstree.ledger.store.metadata import Metadata
    from witnesstree.ledger.tokens.token import Token

LONGEST_HOLD: Final = timedelta(hours=24)
"""After this an anchor is asked for although an authority still says that the batch is not begun
yet: its clock may be the wrong one, and stay so."""
OPENING: Final = "opening"
"""Whom alarms are about that are raised when a batch is opened."""


class Clocks:
    """The clock here beside those that one ledger has heard of."""

    def __init__(self, metadata: Metadata, clock: Callable[[], datetime]) -> None:
        self._metadata = metadata
        self._clock = clock
        self._alarms = Alarms(metadata, clock)

    def admits(self, chain: str, block: Block, *, may_alarm: bool = True) -> bool:
        """Whether a batch that is opened now may name `block` of `chain`: not if its time is ahead
        of the clock here, because a token from now would contradict it.

        With `may_alarm`, an alarm says so, and also if what this ledger has closed or kept is ahead
        of the clock; or it is taken back. Within a transaction that writes, none can be raised.
        """
        now, time = self._clock(), _time_of_block(block.header)
        is_ahead = time is not None and time - now > SKEW
        if may_alarm:
            fault = (
                message("chain-ahead-of-clock", chain=chain, time=time, now=now)
                if is_ahead
                else self._fault_of_log(now)
            )
            if fault:
                self._alarms.raise_(AlarmKind.CLOCK, OPENING, fault)
            else:
                self._alarms.clear(OPENING, AlarmKind.CLOCK)
        return not is_ahead

    def _fault_of_log(self, now: datetime) -> Message | None:
        with self._metadata.read() as transaction:
            last = transaction.batch(transaction.batch_count() - 1)
            stamps = transaction.tokens(last.sequence) if last else []
        if last is None:
            return None
        times = [last.closed]
        for _, stamp in stamps:
            try:
                times.append(parse_token(stamp.token).gen_time)
            except InvalidInput:  # fsck names it
                continue
        if max(times) - now <= SKEW:
            return None
        return message("ledger-ahead-of-clock", batch=last.sequence, time=max(times), now=now)

    def require_begun(self, batch: SealedBatch) -> None:
        """Raise Conflict if a batch was begun later than the clock here says: what a witness said
        now would contradict its opening record.
        """
        if is_early(batch, self._clock()):
            raise Conflict("batch-begun-later", batch=batch.sequence, begun=begun_at(batch))

    def require_later(self, batch: SealedBatch, authority: str, token: Token) -> None:
        """Raise Conflict, and an alarm, if a token is from before its batch was begun."""
        if is_early(batch, token.latest):
            said = message(
                "token-before-opening",
                authority=authority,
                batch=batch.sequence,
                begun=begun_at(batch),
            )
            self._alarms.raise_(AlarmKind.CLOCK, authority, said)
            raise Conflict(said)

    def kept_back(self, chain: str, jobs: list[Job]) -> dict[Job, Message]:
        """Return those of `chain`'s jobs for which nothing may be sent yet, and why; and raise an
        alarm, or take it back. What was sent already is looked after all the same.
        """
        found: dict[Job, Message] = {}
        now = self._clock()
        with self._metadata.read() as transaction:
            refused = {
                job.sequence: job.last_error
                for job in transaction.unfinished_jobs()
                if job.kind is JobKind.STAMP
                and job.last_error
                and job.last_error.code == "token-before-opening"
            }
            for job in jobs:
                batch = transaction.batch(job.sequence)
                if batch is None or job.transaction is not None:
                    continue
                said = refused.get(job.sequence)
                if is_early(batch, now):
                    found[job] = message(
                        "batch-begun-later", batch=batch.sequence, begun=begun_at(batch)
                    )
                elif said and now - batch.closed < LONGEST_HOLD:
                    found[job] = said
        if found:
            self._alarms.raise_(AlarmKind.CLOCK, chain, next(iter(found.values())))
        else:
            self._alarms.clear(chain, AlarmKind.CLOCK)
        return found


def begun_at(batch: SealedBatch) -> datetime | None:
    """Return the latest time that a batch's opening record commits to: its own, or its block's.
    None if it cannot be read, which is for others to say.
    """
    try:
        opened = parse_opening(batch.opening).opened
    except InvalidInput:
        return None
    block = _time_of_block(batch.header) if batch.header else None
    return max(opened, block) if block else opened


def is_early(batch: SealedBatch, time: datetime) -> bool:
    """Whether a witness of `time` contradicts the opening record of a batch."""
    begun = begun_at(batch)
    return begun is not None and begun - time > SKEW


def _time_of_block(header: bytes) -> datetime | None:
    try:
        return time_of(parse_header(header).time)
    except InvalidInput:
        return None
