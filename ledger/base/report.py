"""What a verification says: named checks, each with an outcome and a reason, as a code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from witnesstree.ledger.base.message import Message, Value


class Outcome(Enum):
    """What became of a check. UNKNOWN never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One named check, and why it came out so.

    `required` says whether its UNKNOWN leaves the whole verdict undecided; a FAILED check always
    counts.
    """

    name: str
    outcome: Outcome
    message: Message
    required: bool = True

    @property
    def reason(self) -> str:
        """Why it came out so, in English."""
        return str(self.message)


def passed(name: str, code: str, /, **params: Value) -> Check:
    """Return a check that passed, for the reason with this code."""
    return Check(name, Outcome.PASSED, message(code, **params))


def failed(name: str, code: str, /, **params: Value) -> Check:
    """Return a check that failed: what it asks is false."""
    return Check(name, Outcome.FAILED, message(code, **params))


def unknown(name: str, code: str, /, *, required: bool = True, **params: Value) -> Check:
    """Return a check that could not be decided: something is missing, or no one trusted says it."""
    return Check(name, Outcome.UNKNOWN, message(code, **params), required)


def have_passed(checks: Sequence[Check]) -> bool:
    """Whether every check passed that is required, and none failed."""
    return all(
        check.outcome is Outcome.PASSED or (check.outcome is Outcome.UNKNOWN and not check.required)
        for check in checks
    )


class Assurance(IntEnum):
    """What a passed verification is worth to a third party; the weakest witness that counted
    decides.
    """

    LOCAL = 1
    PRIVATE = 2
    PUBLIC = 3


class Verdict(Enum):
    """What the checks come to together."""

    VERIFIED = "verified"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Report:
    """The checks in the order of their steps, and what they prove.

    If VERIFIED, the digest existed at `not_after`, and its batch was not begun before `not_before`,
    as far as each is known; the file itself may be older. `assurance` is None unless VERIFIED.

    `not_after_token` and `not_after_anchor` are what the tokens and the anchors say of it, each
    kind by itself, required or not; `not_after` is what all required kinds say. `file_not_after`
    is what timestamps over the file itself say, whatever the verdict.
    """

    checks: tuple[Check, ...]
    assurance: Assurance | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    not_after_token: datetime | None = None
    not_after_anchor: datetime | None = None
    file_not_after: datetime | None = None

    @property
    def is_verified(self) -> bool:
        """Whether the verdict is VERIFIED."""
        return self.verdict is Verdict.VERIFIED

    @property
    def verdict(self) -> Verdict:
        """The worst check decides; no checks decide nothing."""
        if any(check.outcome is Outcome.FAILED for check in self.checks):
            return Verdict.FAILED
        required = [check for check in self.checks if check.required]
        passed = required and all(check.outcome is Outcome.PASSED for check in required)
        return Verdict.VERIFIED if passed else Verdict.UNDECIDED
