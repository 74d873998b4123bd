"""What a verification says: named checks, each with an outcome and a reason that a lawyer can
read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Outcome(Enum):
    """What became of a check. UNKNOWN never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One named check.

    `required` says whether its UNKNOWN leaves the whole verdict undecided; a FAILED check always
    counts.
    """

    name: str
    outcome: Outcome
    reason: str
    required: bool = True


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
    so far as each is known; the file itself may be older. `assurance` is None unless VERIFIED.
    """

    checks: tuple[Check, ...]
    assurance: Assurance | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None

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
