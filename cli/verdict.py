"""A report as a person reads it: the answer in a sentence, by when, on whose word, then each check
by a plain name, and at the end what would decide it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.language import phrase, words
from witnesstree.cli.layout import width_of
from witnesstree.cli.options import laid_out, tell
from witnesstree.cli.report import (
    decisive,
    outcome_styled,
    outcome_word,
    verdict_styled,
    verdict_word,
    worth,
)
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.report import Assurance, Outcome, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.report import Check

_NUMBER = re.compile(r"\[(\d+)\]")
_IN_RECORD = re.compile(r"(.*?)chains\[(\d+)\]\.timestamps\[(\d+)\]")


def print_report(
    report: Report, subject: str, digests: int | None = None, *, is_brief: bool = False
) -> None:
    """Print what a report says of `subject`, a file or several in words, or a bulk proof of so many
    digests. If `is_brief`, of checks that passed only their number is told.
    """
    verdict = verdict_word(report.verdict)
    line = laid_out(_meaning(report, verdict, subject, digests), 2)
    click.echo(verdict_styled(report.verdict, verdict) + line[len(verdict) :])
    if report.verdict is Verdict.VERIFIED:
        _print_grounds(report)
    if report.file_not_after:
        tell("file-dated", indent=4, time=moment(report.file_not_after))
        for known in _grounds(report.checks):
            if known["part"] == "file_tokens":
                _print_ground(known)
    failed = [check for check in report.checks if check.outcome is Outcome.FAILED]
    # All else is true of the file that the proof is for.
    is_other = any(check.name == "digest" for check in failed)
    shown = failed if is_other else list(report.checks)
    if is_brief:
        shown = [check for check in shown if check.outcome is not Outcome.PASSED]
    if shown:
        click.echo()
        print_checks(shown)
    if is_brief:
        passed = sum(check.outcome is Outcome.PASSED for check in report.checks)
        tell("checks-passed", count=passed)
    if is_other:
        tell("checks-of-other-file")
    print_steps([report.checks])


def print_checks(checks: Iterable[Check]) -> None:
    """Print each check: its outcome, its name, its reason."""
    checks = list(checks)
    outcomes = [outcome_word(check.outcome) for check in checks]
    width = max(map(width_of, outcomes), default=0)
    for check, outcome in zip(checks, outcomes, strict=True):
        label = check_label(check.name)
        head = outcome + " " * (width - width_of(outcome) + 2)
        said = phrase("check-line", label=label, reason=check.message)
        line = laid_out(head + said, width + 2)
        click.echo(outcome_styled(check.outcome, outcome) + line[len(outcome) :])


def check_label(name: str) -> str:
    """Return a check's name in plain words: `tokens[0].chain` is who vouches for a timestamp."""
    first, *others = _NUMBER.sub("", name).split(".")
    numbers = [int(number) for number in _NUMBER.findall(name)]
    number = None
    if first == "batch":
        number = str(numbers[0])
    elif any(numbers):
        # One of a kind needs no number; others are counted as people count.
        number = ".".join(str(each + 1) for each in numbers)
    detail = others[-1] if others and first != "digests" else None
    return phrase("check-label", part=first, number=number, detail=detail)


def moment(time: datetime) -> str:
    """Return a time in UTC, and on the clock of whoever reads it, where that is another."""
    try:
        here = time.astimezone()
    except (OverflowError, ValueError):
        # At the ends of the calendar.
        return format_time(time)
    if not here.utcoffset():
        return format_time(time)
    offset = here.strftime("%z")
    zone = f"UTC{offset[:3]}:{offset[3:5]}"
    return phrase("moment", utc=format_time(time), here=f"{here:%Y-%m-%d %H:%M:%S} {zone}")


# The answer


def verdict_line(report: Report, subject: str = "") -> str:
    """Return the verdict and what it means on one line, behind what it is about."""
    verdict = verdict_word(report.verdict)
    if report.verdict is Verdict.VERIFIED:
        assert report.assurance
        line = phrase(
            "verified-short",
            verdict=verdict,
            worth=worth(report.assurance),
            time=report.not_after,
        )
    else:
        line = phrase("not-verified-short", verdict=verdict, reason=decisive(report).message)
    laid = laid_out(subject + line, 4)
    at = len(subject)
    return laid[:at] + verdict_styled(report.verdict, verdict) + laid[at + len(verdict) :]


def _meaning(report: Report, verdict: str, subject: str, digests: int | None) -> str:
    if report.verdict is Verdict.VERIFIED:
        assert report.assurance
        code = "verified" if digests is None else "bulk-verified"
        if report.not_after is None:
            code = "verified-without-time"
        elif report.checks[0].name == "container":
            code = "container-verified"
        return phrase(
            code,
            verdict=verdict,
            worth=worth(report.assurance),
            subject=subject,
            count=digests,
            time=report.not_after,
        )
    check = decisive(report)
    if report.verdict is Verdict.FAILED:
        # A proof that is damaged says nothing against the file.
        code = "proof-damaged" if check.name == "proof" else "proof-does-not-hold"
        if _is_of_file(check):
            code = "not-verified"
    elif digests is not None:
        code = "bulk-not-decided"
    else:
        compared = [each for each in report.checks if _is_of_file(each)]
        is_same = compared and all(each.outcome is Outcome.PASSED for each in compared)
        code = "unchanged-not-decided" if is_same else "not-decided"
    return phrase(code, verdict=verdict, subject=subject, reason=check.message)


def _is_of_file(check: Check) -> bool:
    """Whether a check compares the file itself with its proof, its timestamp or its record."""
    parts = _NUMBER.sub("", check.name).split(".")
    return (parts[0], parts[-1]) in {
        ("digest", "digest"),
        ("token", "imprint"),
        ("chains", "data"),
    }


def _print_grounds(report: Report) -> None:
    """Print the window, and on whose word it is."""
    if report.not_before:
        tell("not-before", indent=4, time=moment(report.not_before))
    if report.not_after:
        tell("not-after", indent=4, time=moment(report.not_after))
    grounds = [known for known in _grounds(report.checks) if known["part"] != "file_tokens"]
    if grounds and all(known["assurance"] == "local" for known in grounds):
        token, anchor = report.not_after_token, report.not_after_anchor
        tell("ground-local", indent=4, token=token, anchor=anchor)
        return
    for known in grounds:
        _print_ground(known)
    by_token = {known["assurance"] for known in grounds if known["part"] != "anchors"}
    if report.assurance is Assurance.LOCAL and by_token - {"local"}:
        better = "public" if "public" in by_token else "private"
        tell("worth-of-token-alone", indent=4, assurance=better)


def _print_ground(known: Mapping[str, Any]) -> None:
    if known["part"] == "anchors":
        tell("ground-of-anchor", indent=4, kind=_kind(known), **known)
    else:
        tell("ground-of-token", indent=4, **known)


def _grounds(checks: Sequence[Check]) -> Iterator[dict[str, Any]]:
    """Yield what is known of each witness that holds: all of its checks passed, but for its
    revocation. A renewed record is its first timestamp's word, and holds as a whole.
    """
    for check in checks:
        if check.message.code not in {"chain-right", "block-canonical"}:
            continue
        place = check.name.rpartition(".")[0]
        whole, further = f"{place}.", ""
        if found := _IN_RECORD.match(place):
            whole, further = found[1], found[2] + found[3]
        of_it = [each for each in checks if each.name.startswith(whole)]
        if further not in {"", "00"} or not all(
            each.outcome is Outcome.PASSED or each.name.endswith(".revocation") for each in of_it
        ):
            continue
        beside = {each.name.removeprefix(f"{place}."): dict(each.message.params) for each in of_it}
        part = _NUMBER.sub("", place).split(".")[0]
        if part == "opening":
            continue
        # A chain's time is its token's; a block's is what the contract kept.
        kept = beside.get("contract") or beside.get("state") or {}
        signer = beside.get("signer", {}).get("name")
        yield {
            "part": part,
            "signer": signer,
            "time": kept.get("time"),
            **dict(check.message.params),
        }


def _kind(known: Mapping[str, object]) -> str:
    """Return why a block is worth what it is."""
    from witnesstree.ledger.chain.known import KNOWN_CHAINS

    chain = KNOWN_CHAINS.get(int(str(known["chain_id"])))
    if known["assurance"] != "private":
        return str(known["assurance"])
    if chain is None:
        return "unknown"
    return "test" if chain.assurance is Assurance.PRIVATE else "unnamed"


# What would decide it


def print_steps(reports: Iterable[Iterable[Check]]) -> None:
    """Say once what is to be given or done so that what is open here can be decided."""
    said = dict.fromkeys(
        words(step)
        for checks in map(list, reports)
        for check in checks
        if check.required and check.outcome is Outcome.UNKNOWN
        for step in _steps(check.message, checks)
    )
    if said:
        click.echo()
        tell("to-decide")
        for step in said:
            click.echo(laid_out(f"  {step}", 4))


def _steps(open_: Message, checks: list[Check]) -> Iterator[Message]:
    from witnesstree.ledger.base.message import message

    known = dict(open_.params)
    if open_.code == "chain-root-unknown":
        yield message("step-root", root=known["root"])
    elif open_.code == "block-unknown-local":
        yield message("step-home")
        if any(known["part"] in {"tokens", "records"} for known in _grounds(checks)):
            yield message("step-token-alone")
    elif open_.code in {"block-unknown-explorer", "block-unknown-node"}:
        yield message("step-block", **{"explorer": None, **known})
    elif open_.code in {"witness-absent", "batch-not-sealed"}:
        yield message("step-fetch")
