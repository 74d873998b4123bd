"""Reports of named checks, as JSON and for people: the answer first, then the window, then why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import click

from witnesstree.cli.language import phrase, words
from witnesstree.cli.layout import width_of
from witnesstree.cli.options import laid_out, one_line
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.report import Outcome, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from witnesstree.ledger.base.message import Message
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


def print_report(report: Report, subject: str, digests: int | None = None) -> None:
    """Print what a report says of `subject`, a file, or a bulk proof of so many digests: the
    answer, the window, then each check.
    """
    verdict = verdict_word(report.verdict)
    line = laid_out(_meaning(report, verdict, subject, digests), 2)
    click.echo(verdict_styled(report.verdict, verdict) + line[len(verdict) :])
    if report.verdict is Verdict.VERIFIED:
        if report.not_after:
            click.echo(laid_out(_window(report), 2))
        # A timestamp alone has no anchor to set beside it.
        if any(check.name.startswith("anchors") for check in report.checks):
            dates = phrase(
                "dates-of-witnesses", token=report.not_after_token, anchor=report.not_after_anchor
            )
            click.echo(laid_out(dates, 2))
    if report.file_not_after:
        click.echo(laid_out(phrase("file-dated", time=report.file_not_after), 2))
    click.echo()
    print_checks(report.checks)


def print_checks(checks: Iterable[Check]) -> None:
    """Print a line for each check: its outcome, its name, its reason."""
    checks = list(checks)
    outcomes = [outcome_word(check.outcome) for check in checks]
    first = max(map(width_of, outcomes), default=0)
    second = max((width_of(check.name) for check in checks), default=0)
    for check, outcome in zip(checks, outcomes, strict=True):
        head = f"{_padded(outcome, first)}  {_padded(check.name, second)}  "
        line = laid_out(head + words(check.message), first + 2)
        click.echo(click.style(line[: len(outcome)], fg=_COLOURS[check.outcome]), nl=False)
        click.echo(line[len(outcome) :])


def verdict_line(report: Report, subject: str = "") -> str:
    """Return the verdict and what it means on one line, behind what it is about."""
    verdict = verdict_word(report.verdict)
    if report.verdict is Verdict.VERIFIED:
        assert report.assurance
        window = _window(report)
        line = phrase(
            "verified-short", verdict=verdict, worth=worth(report.assurance), window=window
        )
    else:
        line = phrase("not-verified-short", verdict=verdict, reason=decisive(report))
    return subject + verdict_styled(report.verdict, verdict) + one_line(line[len(verdict) :])


def outcome_word(outcome: Outcome) -> str:
    """Return PASSED, FAILED or UNKNOWN in the language that is spoken."""
    return phrase("outcome-word", outcome=outcome)


def verdict_word(verdict: Verdict) -> str:
    """Return VERIFIED, FAILED or UNDECIDED in the language that is spoken."""
    return phrase("verdict-word", verdict=verdict)


def verdict_styled(verdict: Verdict, text: str) -> str:
    """Return a text in the colour of a verdict."""
    return click.style(text, fg=_VERDICT_COLOURS[verdict], bold=True)


def worth(assurance: Assurance) -> str:
    """Return what a passed verification is worth to a third party."""
    return phrase("worth", assurance=assurance.name.lower())


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def decisive(report: Report) -> Message:
    """Return why a report is not VERIFIED: the reason of its first check that made it so."""
    return _decisive(report).message


def _decisive(report: Report) -> Check:
    wanted = Outcome.FAILED if report.verdict is Verdict.FAILED else Outcome.UNKNOWN
    return next(
        check
        for check in report.checks
        if check.outcome is wanted and (check.required or wanted is Outcome.FAILED)
    )


def _meaning(report: Report, verdict: str, subject: str, digests: int | None) -> str:
    if report.verdict is Verdict.VERIFIED:
        assert report.assurance
        code = "verified" if digests is None else "bulk-verified"
        if report.not_after is None:
            code = "verified-without-time"
        known = worth(report.assurance)
        return phrase(code, verdict=verdict, worth=known, subject=subject, count=digests)
    check = _decisive(report)
    if report.verdict is Verdict.UNDECIDED:
        code = "not-decided" if digests is None else "bulk-not-decided"
    else:
        # A proof that is damaged says nothing against the file.
        code = "not-verified" if check.name == "digest" else "proof-does-not-hold"
    return phrase(code, verdict=verdict, subject=subject, reason=check.message)


def _window(report: Report) -> str:
    return phrase("window-of-report", not_before=report.not_before, not_after=report.not_after)
