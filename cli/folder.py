"""Many files verified at once: which files, which proofs, and what they come to together.

It asks for no more than `verify` of one file does.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.language import phrase, words
from witnesstree.cli.layout import width_of
from witnesstree.cli.names import PROOF_ENDING, proof_beside, proof_name
from witnesstree.cli.options import answer, laid_out
from witnesstree.cli.parallel import on_all_cores
from witnesstree.cli.progress import progress
from witnesstree.cli.report import (
    check_members,
    time_members,
    verdict_styled,
    verdict_word,
    worth,
)
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.report import Check, Outcome, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from threading import Event

    from witnesstree.cli.judging import Asked, Judge
    from witnesstree.ledger.base.report import Assurance
    from witnesstree.ledger.proof.bundle import Bundle

_ASIDE = re.compile(r"(.+)\.[0-9]+")
"""What `seal` calls an older proof that it keeps: photo.jpg.1.proof.json."""


class Gap(Enum):
    """Why a file has no verdict, as JSON says it. It leaves the whole undecided."""

    NO_PROOF = "no proof"
    NO_FILE = "no file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Found:
    """A path that was named or found in a folder; `gap` and `reason` say why it cannot be verified,
    where that is known already.
    """

    path: Path
    gap: Gap | None = None
    reason: Message | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What a file came to: the verdict and the checks that made it so, where it is not VERIFIED; or
    a gap and its reason, which decides nothing.
    """

    path: Path
    digest: bytes | None = None
    verdict: Verdict = Verdict.UNDECIDED
    assurance: Assurance | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    not_after_token: datetime | None = None
    not_after_anchor: datetime | None = None
    file_not_after: datetime | None = None
    checks: tuple[Check, ...] = ()
    gap: Gap | None = None
    reason: Message | None = None


def _row(path: Path, digest: bytes, report: Report) -> Row:
    decisive = {
        Verdict.VERIFIED: None,
        Verdict.FAILED: Outcome.FAILED,
        Verdict.UNDECIDED: Outcome.UNKNOWN,
    }[report.verdict]
    checks = tuple(check for check in report.checks if check.outcome is decisive and check.required)
    return Row(
        path,
        digest,
        report.verdict,
        report.assurance,
        report.not_before,
        report.not_after,
        report.not_after_token,
        report.not_after_anchor,
        report.file_not_after,
        checks,
    )


def find(paths: Iterable[Path], home: Path | None, *, with_proofs: bool) -> Iterator[Found]:
    """Yield the files that `paths` name and those in the folders among them, in the order of their
    names.

    Proof files are passed over, and so is the ledger's own home. With `with_proofs` each file has
    its own proof beside it, and a proof whose file is gone is told. Links to folders are not
    followed.
    """
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
            yield Found(path)
            continue
        refused: list[OSError] = []
        for parent, folders, names in os.walk(path, onerror=refused.append):
            yield from _refusals(refused)
            place = Path(parent)
            folders.sort()
            links = [name for name in folders if (place / name).is_symlink()]
            folders[:] = [
                name
                for name in folders
                if home is None or name in links or (place / name).resolve() != home.resolve()
            ]
            yield from (
                Found(
                    place / name,
                    Gap.UNREADABLE,
                    message("link-to-folder"),
                )
                for name in links
            )
            yield from _files(place, sorted(names), with_proofs=with_proofs)
        yield from _refusals(refused)


def _refusals(errors: list[OSError]) -> Iterator[Found]:
    while errors:
        error = errors.pop(0)
        yield Found(Path(error.filename), Gap.UNREADABLE, message("folder-unreadable", error=error))


def _files(folder: Path, names: list[str], *, with_proofs: bool) -> Iterator[Found]:
    # As the names of their proofs have them: a long one is shortened.
    there = {*names, *(proof_name(name).removesuffix(PROOF_ENDING) for name in names)}
    for name in names:
        if not name.endswith(PROOF_ENDING):
            yield Found(folder / name)
        elif with_proofs:
            subject = name.removesuffix(PROOF_ENDING)
            aside = _ASIDE.fullmatch(subject)
            if subject not in there and not (aside and aside[1] in there):
                yield Found(
                    folder / name,
                    Gap.NO_FILE,
                    message("file-of-proof-missing", name=subject),
                )


# Judging


def verify_many(paths: Iterable[Path], asked: Asked, bundle: Bundle | None) -> list[Row]:
    """Return what each file comes to, in the order of `find`: by the proof beside it, or by
    `bundle`.
    """
    found = list(find(paths, asked.home, with_proofs=bundle is None))
    with progress("verifying", len(found)) as advance:
        rows = []
        for row in on_all_cores(
            _start_digests if bundle else _start_judging, () if bundle else (asked,), found
        ):
            rows.append(row)
            advance(1)
    return rows if bundle is None else _in_bundle(rows, asked, bundle)


def _start_judging(stop: Event, asked: Asked) -> _Files:
    from witnesstree.cli.judging import Judge

    return _Files(stop, Judge(asked))


def _start_digests(stop: Event) -> _Files:
    return _Files(stop, None)


@dataclass(frozen=True, slots=True)
class _Files:
    """Turns a file into a row: its digest alone, or with a judge its report."""

    stop: Event
    judge: Judge | None

    def __call__(self, found: Found) -> Row:
        from witnesstree.cli.judging import read_limited, require_regular
        from witnesstree.ledger.base.digest import digest_file
        from witnesstree.ledger.proof.kinds import Kind, recognise

        path, proof = found.path, proof_beside(found.path)
        if found.gap:
            return Row(path, gap=found.gap, reason=found.reason)
        try:
            if self.judge and not os.path.lexists(proof):
                return _without_proof(path, proof)
            digest = digest_file(path, stop=self.stop).digest
            if not self.judge:
                return Row(path, digest)
            require_regular(proof)
            content = read_limited(proof, "proof-file-unreadable-there")
            if recognise(content).kind is not Kind.PROOF:
                raise InvalidInput("proof-of-other-kind")
            read = self.judge.read(content, path)
        except InvalidInput as error:
            return Row(path, gap=Gap.UNREADABLE, reason=error.message)
        return _row(path, digest, self.judge.judge(digest, content, read))


def _without_proof(path: Path, proof: Path) -> Row:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return Row(
            path, gap=Gap.UNREADABLE, reason=message("file-unreadable", path=path, error=error)
        )
    if not is_file:
        return Row(path, gap=Gap.UNREADABLE, reason=message("no-regular-file"))
    return Row(path, gap=Gap.NO_PROOF, reason=message("proof-missing-beside", name=proof.name))


def _in_bundle(rows: list[Row], asked: Asked, bundle: Bundle) -> list[Row]:
    """Look all digests up in one reading, then judge each one's proof."""
    from witnesstree.cli.judging import Judge

    judge = Judge(asked)
    wanted = {row.digest for row in rows if row.digest}
    with progress("looking-up", bundle.size) as advance:
        positions = bundle.find(wanted, advance) if wanted else {}
    return [
        (
            _row(
                row.path, row.digest, judge.judge_in(bundle, row.digest, positions.get(row.digest))
            )
            if row.digest
            else row
        )
        for row in rows
    ]


# Saying


def verify_folder(
    paths: tuple[Path, ...], proof_path: Path | None, asked: Asked, *, as_json: bool
) -> Verdict:
    """Verify all files that `paths` name or hold, say what they came to, and return the worst
    verdict; no file at all decides nothing.
    """
    from witnesstree.cli.judging import holds_proofs, opened_proofs, read_limited
    from witnesstree.cli.manifests import held_against_manifests

    with ExitStack() as opened:
        bundle = None
        if proof_path:
            # Asked first: where the name is misspelt, that is the reason.
            read_limited(proof_path)
            if not holds_proofs(proof_path):
                raise InvalidInput("proof-of-one-file", path=proof_path)
            bundle = opened.enter_context(opened_proofs(proof_path))
        rows = held_against_manifests(verify_many(paths, asked, bundle))
    worst = next(
        (
            verdict
            for verdict in (Verdict.FAILED, Verdict.UNDECIDED)
            if any(row.verdict is verdict for row in rows)
        ),
        Verdict.VERIFIED,
    )
    worst = worst if rows else Verdict.UNDECIDED
    if as_json:
        answer(_members(rows, worst))
    else:
        _print(rows, worst)
    return worst


def _label(row: Row) -> str:
    return row.gap.value if row.gap else row.verdict.value


def _members(rows: list[Row], worst: Verdict) -> dict[str, Any]:
    counts = Counter(_label(row) for row in rows)
    return {
        "verdict": worst.value,
        "counts": dict(sorted(counts.items())),
        "files": [_members_of_row(row) for row in rows],
    }


def _members_of_row(row: Row) -> dict[str, Any]:
    if row.gap:
        assert row.reason
        return {
            "path": str(row.path),
            "verdict": row.verdict.value,
            "gap": row.gap.value,
            "reason": words(row.reason),
            "code": row.reason.code,
            "params": row.reason.members,
        }
    return {
        "path": str(row.path),
        "verdict": row.verdict.value,
        "digest": row.digest.hex() if row.digest else None,
        "assurance": row.assurance.name.lower() if row.assurance else None,
        **time_members(row),
        "checks": [check_members(check) for check in row.checks],
    }


def _print(rows: list[Row], worst: Verdict) -> None:
    shown = [row for row in rows if row.verdict is not Verdict.VERIFIED]
    width = max((width_of(_word(row)) for row in shown), default=0)
    verdict = verdict_word(worst)
    line = laid_out(
        phrase("verified-many", verdict=verdict, counts=_counts(rows), total=len(rows)), 2
    )
    click.echo(verdict_styled(worst, verdict) + line[len(verdict) :])
    if shown:
        click.echo()
    for row in shown:
        label = _word(row)
        line = laid_out(
            label + " " * (width - width_of(label)) + f"  {row.path}: {_reason(row)}", width + 2
        )
        click.echo(verdict_styled(row.verdict, label) + line[len(label) :])


def _word(row: Row) -> str:
    return phrase("gap-word", gap=row.gap.name.lower()) if row.gap else verdict_word(row.verdict)


def _reason(row: Row) -> str:
    if row.reason:
        return words(row.reason)
    return f"{row.checks[0].name}: {words(row.checks[0].message)}"


def _counts(rows: list[Row]) -> list[Message]:
    """Return how many files came to what, the VERIFIED ones by what that is worth."""
    worths = Counter(row.assurance for row in rows if row.assurance is not None)
    labels = Counter(_word(row) for row in rows if row.assurance is None)
    return [
        *(
            message("count-verified", count=number, worth=worth(assurance))
            for assurance, number in sorted(worths.items())
        ),
        *(message("count-of", count=labels[label], label=label) for label in sorted(labels)),
    ]
