"""A token, evidence record or anchor of a proof, once judged; and what several come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from witnesstree.ledger.base.report import Assurance, Check, Outcome, have_passed, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Witness:
    """The checks of one token or anchor, and what it proves if all of them passed that are
    required.
    """

    checks: list[Check]
    not_after: datetime | None = None
    assurance: Assurance | None = None

    @property
    def has_passed(self) -> bool:
        """Whether every check passed that is required, and none failed."""
        return have_passed(self.checks)


def weigh(name: str, kind: str, witnesses: list[Witness], *, is_required: bool) -> list[Check]:
    """Return the checks of all witnesses of one kind: one that passes whole is enough, and beside
    it no UNKNOWN of another one counts.
    """
    if not witnesses:
        return [unknown(name, "witness-absent", kind=kind, required=is_required)]
    is_required = is_required and not any(witness.has_passed for witness in witnesses)
    checks = [check for witness in witnesses for check in witness.checks]
    return [
        replace(
            check, required=(is_required and check.required) or check.outcome is not Outcome.UNKNOWN
        )
        for check in checks
    ]


def best_assurance(witnesses: list[Witness]) -> Assurance | None:
    """Return the highest assurance of those that passed, None if there is none."""
    return max(
        (
            witness.assurance
            for witness in witnesses
            if witness.has_passed and witness.assurance is not None
        ),
        default=None,
    )


def earliest(witnesses: Iterable[Witness]) -> datetime | None:
    """Return the earliest time of those that passed, None if there is none."""
    return min(
        (witness.not_after for witness in witnesses if witness.has_passed and witness.not_after),
        default=None,
    )


def date_of(witnesses: list[Witness]) -> datetime | None:
    """Return the time that one kind of witness proves, None if none passed: the earliest of those
    with the highest assurance, for a date must not be lent the worth of another witness.
    """
    best = best_assurance(witnesses)
    return earliest(witness for witness in witnesses if witness.assurance == best)
