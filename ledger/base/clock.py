"""Times as this project writes them: UTC, whole seconds, RFC 3339 with a 'Z'."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from witnesstree.ledger.base.errors import InvalidInput

SKEW = timedelta(minutes=10)
"""How far two clocks may differ before their times contradict each other: those of authorities,
chains, cosigners, and the verifier's own."""

_FORM = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})Z", re.ASCII)


def format_time(time: datetime) -> str:
    """Return `time` as "2026-11-23T03:48:55Z"; a fraction of a second is cut off."""
    return time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def rounded_up(time: datetime) -> datetime:
    """Return the next whole second, unless `time` is one: a date by which something existed must
    not become earlier when it is written. Raises OverflowError at the end of all times.
    """
    return time.replace(microsecond=0) + timedelta(seconds=1) if time.microsecond else time


def parse_time(text: str) -> datetime:
    """Return the time that `format_time` wrote.

    Raises InvalidInput for any other text, other spellings of RFC 3339 among them.
    """
    try:
        found = _FORM.fullmatch(text)
        if not found:
            raise ValueError(text)
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise InvalidInput("time-malformed", found=repr(text[:40])) from None
