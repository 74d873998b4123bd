"""Alarms: what needs a person, raised once and taken back when it is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import AS_TEXT, Message, message
from witnesstree.ledger.store.database.values import Alarm, AlarmKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from witnesstree.ledger.store.database.values import Job
    from witnesstree.ledger.store.metadata import Metadata

    _Advance = Callable[[Job, str | None], None]

_log = logging.getLogger(__name__)


class Alarms:
    """The alarms of one ledger. An alarm that is raised already keeps its time."""

    def __init__(self, metadata: Metadata, clock: Callable[[], datetime]) -> None:
        self._metadata = metadata
        self._clock = clock

    def raise_(self, kind: AlarmKind, subject: str, text: Message) -> None:
        """Raise an alarm about `subject`, and log it, unless it says so already."""
        with self._metadata.read() as transaction:
            is_known = any(
                (alarm.kind, alarm.subject, alarm.text) == (kind, subject, text)
                for alarm in transaction.alarms()
            )
        if not is_known:
            _log.warning(message("alarm-raised", subject=subject, alarm=text))
            with self._metadata.write() as transaction:
                transaction.raise_alarm(Alarm(kind, subject, text, self._clock()))

    def clear(self, subject: str, *kinds: AlarmKind, before: datetime | None = None) -> None:
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


def joined(said: Iterable[Message]) -> Message:
    """Return one message that says several after each other."""
    first, *rest = said
    return message("both", first=first, second=joined(rest)) if rest else first


def as_message(said: str | Message) -> Message:
    """Return what a part says as a message; where it has only words, they are shown as they are."""
    return said if isinstance(said, Message) else message(AS_TEXT, text=said)
