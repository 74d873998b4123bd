"""Step 8: the times that the witnesses and the opening record come to, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.report import Check, failed, passed, unknown
from witnesstree.ledger.verify.witness import date_of, earliest

if TYPE_CHECKING:
    from witnesstree.ledger.verify.witness import Witness

GAP: Final = timedelta(hours=24)
"""How far apart tokens and anchors may be before the difference is named. A ledger asks for both
when a batch closes, and is late after 6 hours by default; blocks are final within an hour or so."""


@dataclass(frozen=True, slots=True)
class Begun:
    """When a batch was begun: at `proven` or later, if the block that the opening record names is
    known to be part of its chain; `stated` is the latest time that the root commits to, the
    ledger's own or that block's, whether or not it is known.
    """

    proven: datetime | None = None
    stated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What is said of a batch's time, and the checks of it. `not_before` is never later than
    `not_after`.
    """

    checks: list[Check]
    not_before: datetime | None
    not_after: datetime | None
    not_after_token: datetime | None
    not_after_anchor: datetime | None


def judge_window(
    begun: Begun,
    tokens: list[Witness],
    anchors: list[Witness],
    now: datetime,
    *,
    needs_token: bool,
    needs_anchor: bool,
) -> Window:
    """Return what the witnesses of both kinds say together. A date counts only if its kind is
    required, and with both required, what both prove is the later one.
    """
    token, anchor = date_of(tokens), date_of(anchors)
    counting = [
        date for date, is_needed in ((token, needs_token), (anchor, needs_anchor)) if is_needed
    ]
    known = [date for date in counting if date]
    not_after = max(known) if len(known) == len(counting) else None
    not_before = begun.proven
    if not_before and not_after:
        # Two clocks differ a little: what is said then is less, and still true.
        not_before = min(not_before, not_after)
    first, last = earliest([*tokens, *anchors]), max(known, default=None)
    # The root commits to both times of the opening record: a witness of this root from before them
    # is false, or they are, whoever vouches for the block.
    if begun.stated and first and begun.stated - first > SKEW:
        checks = [failed("window", "window-contradicts", not_before=begun.stated, not_after=first)]
    elif last and last - now > SKEW:
        checks = [unknown("window", "window-ahead-of-clock", not_after=last, now=now)]
    elif not_after is None:
        checks = []
    else:
        code = "window-both" if not_before else "window-not-after"
        checks = [passed("window", code, not_before=not_before, not_after=not_after)]
    return Window([*checks, *_judge_gap(token, anchor)], not_before, not_after, token, anchor)


def _judge_gap(token: datetime | None, anchor: datetime | None) -> list[Check]:
    """Name a gap that lateness hardly explains. Nothing is false then: the later date counts, or
    the one that is required.
    """
    if token is None or anchor is None or abs(token - anchor) <= GAP:
        return []
    return [
        unknown(
            "window.gap",
            "window-gap",
            required=False,
            token=token,
            anchor=anchor,
            hours=round(abs(token - anchor) / timedelta(hours=1)),
            most=round(GAP / timedelta(hours=1)),
        )
    ]
