"""What waits for its renewal, and why: kept by one process alone, a new one looks at all that is
due. Where a person is needed, an alarm says so.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.database.values import Alarm, AlarmKind
from witnesstree.ledger.work.alarms import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.database.values import Renewal
    from witnesstree.ledger.store.metadata import Metadata
    from witnesstree.ledger.work.judging import Due
    from witnesstree.ledger.work.outbox import Pace

    _Key = tuple[int, int, str]

_log = logging.getLogger(__name__)

MAX_DUE = 10_000
"""Renewals that one pass looks at: the others are due a few seconds later."""
RECHECK = timedelta(days=1)
"""How long a record waits at most that cannot be renewed: what is in the way takes a person."""
SHARE = 4
"""It never waits longer than one of so many parts of the time that is left: what is repaired late
must not be seen too late."""


class Waiting:
    """The records that cannot be renewed now, and the authorities that do not answer."""

    def __init__(self, metadata: Metadata, clock: Callable[[], datetime], pace: Pace) -> None:
        self._metadata = metadata
        self._clock = clock
        self._pace = pace
        self._stuck: dict[_Key, tuple[Message, datetime]] = {}
        self._waits: dict[str, tuple[int, datetime, Message]] = {}

    def is_over(self, renewal: Renewal) -> bool:
        """Tell whether a record may be tried now, and its authority asked."""
        now = self._clock()
        again = self._stuck[_key(renewal)][1] if _key(renewal) in self._stuck else now
        retry = self._waits[renewal.authority][1] if renewal.authority in self._waits else now
        return max(again, retry) <= now

    def problems(self) -> set[Message]:
        """Return why anything waits."""
        return {said for said, _ in self._stuck.values()} | {
            said for _, _, said in self._waits.values()
        }

    def note_silence(self, authority: str, error: Message) -> None:
        """Let an authority wait that did not answer: longer each time, up to a bound."""
        attempts = self._waits[authority][0] if authority in self._waits else 0
        wait: timedelta = min(
            self._pace.first_retry * 2 ** min(attempts, 30), self._pace.longest_retry
        )
        self._waits[authority] = (attempts + 1, self._clock() + wait, error)
        _log.warning(message("renewal-waits", error=error))

    def note_answer(self, authority: str) -> None:
        """Let an authority wait no more."""
        self._waits.pop(authority, None)

    def note_all(self, dues: Iterable[Due], why: Message) -> None:
        """Let several records wait."""
        for due in dues:
            self.note(due.renewal, why, due.end)

    def note(self, renewal: Renewal, why: Message, end: datetime | None) -> None:
        """Let a record wait that can be verified until `end`.

        Once that is over, nothing is urgent any more.
        """
        now, wait = self._clock(), RECHECK
        if end is not None and end > now:
            wait = min(RECHECK, max(self._pace.first_retry, (end - now) / SHARE))
        self._stuck[_key(renewal)] = (why, now + wait)

    def note_renewed(self, renewal: Renewal) -> None:
        """Let a record wait no more."""
        self._stuck.pop(_key(renewal), None)

    def forget(self) -> tuple[set[Message], set[str]]:
        """Forget what is in the way of records that are not due, or not any more; return what that
        was, and the authorities of what is due.
        """
        with self._metadata.read() as transaction:
            due = transaction.due_renewals(self._clock(), MAX_DUE)
        keys, authorities = (
            {_key(renewal) for renewal in due},
            {renewal.authority for renewal in due},
        )
        said = {self._stuck.pop(key)[0] for key in self._stuck.keys() - keys}
        return (
            said | {self._waits.pop(name)[2] for name in self._waits.keys() - authorities},
            authorities,
        )

    def settle_alarms(self) -> set[Message]:
        """Raise an alarm for each authority some of whose records cannot be renewed, and take back
        that of one of which nothing is due any more.

        Returns what is in the way of that which is not due yet.
        """
        early, due = self.forget()
        with self._metadata.read() as transaction:
            raised = {
                alarm.subject: alarm
                for alarm in transaction.alarms()
                if alarm.kind is AlarmKind.RENEWAL
            }
        stuck = {
            authority: self._alarm(authority)
            for authority in {authority for _, _, authority in self._stuck}
        }
        over = [
            alarm
            for subject, alarm in raised.items()
            if subject not in stuck and subject not in due
        ]
        new = [
            Alarm(AlarmKind.RENEWAL, subject, said, self._clock())
            for subject, said in sorted(stuck.items())
            if subject not in raised or raised[subject].text != said
        ]
        if over or new:
            with self._metadata.write() as transaction:
                for alarm in over:
                    transaction.clear_alarm(alarm)
                for alarm in new:
                    _log.warning(message("alarm-raised", subject=alarm.subject, alarm=alarm.text))
                    transaction.raise_alarm(alarm)
        return early

    def _alarm(self, authority: str) -> Message:
        """Say once what is in the way of several."""
        batches: dict[Message, list[int]] = {}
        for key in sorted(key for key in self._stuck if key[2] == authority):
            batches.setdefault(self._stuck[key][0], []).append(key[0])
        return joined(
            message(
                "batch-record-not-renewable", batch=min(found), others=len(found) - 1, reason=why
            )
            for why, found in batches.items()
        )


def _key(renewal: Renewal) -> _Key:
    return renewal.sequence, renewal.position, renewal.authority
