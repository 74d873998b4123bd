"""Reports of named checks as JSON, and the words and colours of their outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import click

from witnesstree.cli.language import phrase, words
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.report import Outcome, Report, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from witnesstree.ledger.base.report import Assurance, Check

# 1 and 2 are taken: Python and click exit with them when the question was never put.
EXIT_CODES = {Verdict.VERIFIED: 0, Verdict.FAILED: 3, Verdict.UNDECIDED: 4}

_COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.UNKNOWN: "yellow"}
_VERDICT_COLOURS = {
    Verdict.VERIFIED: "green",
    Verdict.FAILED: "red",
    Verdict.UNDECIDED: "yellow",
}


# For programs


def check_members(check: Check) -> dict[str, Any]:
    """Return a check as it is written in JSON: the reason in words, and as a code."""
    return {
        "name": check.name,
        "outcome": check.outcome.value,
        "reason": words(check.message),
        "code": check.message.code,
        "params": check.message.members,
    }


def report_members(report: Report) -> dict[str, Any]:
    """Return a report as it is written in JSON."""
    return {
        "verdict": report.verdict.value,
        "assurance": report.assurance.name.lower() if report.assurance else None,
        **time_members(report),
        "checks": [{**check_members(check), "required": check.required} for check in report.checks],
    }


class _Dated(Protocol):
    """A report, or what is kept of one."""

    @property
    def not_before(self) -> datetime | None: ...
    @property
    def not_after(self) -> datetime | None: ...
    @property
    def not_after_token(self) -> datetime | None: ...
    @property
    def not_after_anchor(self) -> datetime | None: ...
    @property
    def file_not_after(self) -> datetime | None: ...


def time_members(dated: _Dated) -> dict[str, str | None]:
    """Return the window, and what tokens and anchors say by themselves, as written in JSON."""
    times = {
        "not_before": dated.not_before,
        "not_after": dated.not_after,
        "not_after_token": dated.not_after_token,
        "not_after_anchor": dated.not_after_anchor,
        "file_not_after": dated.file_not_after,
    }
    return {name: format_time(time) if time else None for name, time in times.items()}


# For people


def outcome_word(outcome: Outcome) -> str:
    """Return PASSED, FAILED or UNKNOWN in the language that is spoken."""
    return phrase("outcome-word", outcome=outcome)


def outcome_styled(outcome: Outcome, text: str) -> str:
    """Return a text in the colour of an outcome."""
    return click.style(text, fg=_COLOURS[outcome])


def verdict_word(verdict: Verdict) -> str:
    """Return VERIFIED, FAILED or UNDECIDED in the language that is spoken."""
    return phrase("verdict-word", verdict=verdict)


def verdict_styled(verdict: Verdict, text: str) -> str:
    """Return a text in the colour of a verdict."""
    return click.style(text, fg=_VERDICT_COLOURS[verdict], bold=True)


def worth(assurance: Assurance) -> str:
    """Return what a passed verification is worth to a third party."""
    return phrase("worth", assurance=assurance.name.lower())


def decisive(report: Report) -> Check:
    """Return why a report is not VERIFIED: its first check that made it so."""
    wanted = Outcome.FAILED if report.verdict is Verdict.FAILED else Outcome.UNKNOWN
    return next(
        check
        for check in report.checks
        if check.outcome is wanted and (check.required or wanted is Outcome.FAILED)
    )
