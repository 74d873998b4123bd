"""Many files verified at once: which files, which proofs, and what they come to together.

It asks for no more than `verify` of one file does.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.language import phrase, words
from witnesstree.cli.layout import width_of
from witnesstree.cli.names import PROOF_ENDING, proof_beside, proof_name
from witnesstree.cli.options import answer, default_home, is_folder, laid_out, say, tell
from witnesstree.cli.parallel import on_all_cores
from witnesstree.cli.progress import progress
from witnesstree.cli.report import (
    check_members,
    time_members,
    verdict_styled,
    verdict_word,
    worth,
)
from witnesstree.cli.verdict import check_label, moment, print_steps
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.report import Assurance, Check, Outcome, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from threading import Event

    from witnesstree.cli.judging import Asked, Judge
    from witnesstree.ledger.proof.bundle import Bundle

OTHER_PROOFS = (".tsa", ".tsr", ".tst", ".ers")
"""What timestamps and evidence records are called that lie beside their file, contract.pdf.tsr or
contract.tsr: they are proofs in another form, and need none."""
_DIGEST = re.compile(rb'"digest":\s*"([0-9a-f]{64})"')
_ASIDE = re.compile(r"(.+)\.[0-9]+")
"""What `seal` calls an older proof or direct token that it keeps: photo.jpg.1.proof.json."""


_OWN_SOURCES = {"root-of-local-authority", "embedded-chain-says-so"}
"""How a report names what a home said."""


class Gap(Enum):
    """Why a file has no verdict, as JSON says it. It leaves the whole undecided."""

    NO_PROOF = "no proof"
    NO_FILE = "no file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Found:
    """A path that was named or found in a folder; `gap` and `reason` say why it cannot be verified,
    where that is known already. `place` is where it is below what was named.
    """

    path: Path
    place: Path = Path()
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
    by_own: bool = False
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
        any(
            isinstance(source := dict(check.message.params).get("source"), Message)
            and source.code in _OWN_SOURCES
            for check in report.checks
        ),
    )


def find(paths: Iterable[Path], home: Path | None, *, with_proofs: bool) -> Iterator[Found]:
    """Yield the files that `paths` name and those in the folders among them, in the order of their
    names.

    Proof files are passed over, and so is the ledger's own home. With `with_proofs` each file has
    its own proof beside it, and a proof whose file is gone is told. Links to folders are not
    followed.
    """
    for path in paths:
        if not is_folder(path):
            yield Found(path, Path(path.name))
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
                Found(place / name, gap=Gap.UNREADABLE, reason=message("link-to-folder"))
                for name in links
            )
            for found in _files(place, sorted(names), with_proofs=with_proofs):
                yield replace(found, place=found.path.relative_to(path))
        yield from _refusals(refused)


def _refusals(errors: list[OSError]) -> Iterator[Found]:
    while errors:
        error = errors.pop(0)
        reason = message("folder-unreadable", error=error)
        yield Found(Path(error.filename), gap=Gap.UNREADABLE, reason=reason)


def _files(folder: Path, names: list[str], *, with_proofs: bool) -> Iterator[Found]:
    # As the names of their proofs have them: a long one is shortened.
    there = {*names, *(proof_name(name).removesuffix(PROOF_ENDING) for name in names)}
    stems = {Path(name).stem for name in names if not name.endswith(OTHER_PROOFS)}
    for name in names:
        if name.endswith(OTHER_PROOFS):
            stem = Path(name).stem.removesuffix(".root")
            older = _ASIDE.fullmatch(stem)
            if stem in there | stems or (older and older[1] in there):
                continue
        if not name.endswith(PROOF_ENDING):
            yield Found(folder / name)
        elif with_proofs:
            subject = name.removesuffix(PROOF_ENDING)
            aside = _ASIDE.fullmatch(subject)
            if subject not in there and not (aside and aside[1] in there):
                reason = message("file-of-proof-missing", name=subject)
                yield Found(folder / name, gap=Gap.NO_FILE, reason=reason)


# Judging


def verify_many(
    paths: Iterable[Path], asked: Asked, bundle: Bundle | None, proofs: Path | None = None
) -> list[Row]:
    """Return what each file comes to, in the order of `find`: by `bundle`; by its proof in the
    folder `proofs`, as `seal --proofs` fills it; or by the proof beside it.
    """
    from witnesstree.cli.judging import own_home

    home = asked.home or own_home(asked)
    found = list(find(paths, home, with_proofs=not (bundle or proofs)))
    with progress("verifying", len(found)) as advance:
        rows = []
        for row in on_all_cores(
            _start_digests if bundle else _start_judging, () if bundle else (asked, proofs), found
        ):
            rows.append(row)
            advance(1)
    if bundle:
        return _in_bundle(rows, asked, bundle)
    return [*rows, *_unused(proofs, found, rows)] if proofs else rows


def proof_in(folder: Path, place: Path, digest: bytes) -> Path | None:
    """Return the proof of a file that was sealed at `place`, and has this digest, in the folder
    that `seal --proofs` filled: under the file's name, or that of its digest; None if neither is
    for it.
    """
    places = (folder / proof_beside(place), folder / f"{digest.hex()}{PROOF_ENDING}")
    return next((each for each in places if _is_for(each, digest)), None)


def proof_below(folder: Path, file: Path, digest: bytes) -> Path:
    """Return the proof of a file anywhere in such a folder; where none is for its digest, the one
    under its name.
    """
    by_name = folder / proof_beside(Path(file.name))
    below = sorted(folder.rglob(by_name.name))
    return next((each for each in below if _is_for(each, digest)), by_name)


def _is_for(proof: Path, digest: bytes) -> bool:
    """Whether a proof as we write them is for a digest; whether it holds is asked later."""
    try:
        # Reading a pipe waits for whoever writes to it.
        if not proof.is_file():
            return False
        with proof.open("rb") as file:
            found = _DIGEST.search(file.read(400))
    except OSError:
        return False
    return found is not None and found[1] == digest.hex().encode()


def _unused(proofs: Path, found: list[Found], rows: list[Row]) -> Iterator[Row]:
    """Yield the proofs in a folder whose files are not among those that were verified."""
    there = {proof_beside(each.place) for each in found}
    digests = {f"{row.digest.hex()}{PROOF_ENDING}" for row in rows if row.digest}
    for path in sorted(proofs.rglob(f"*{PROOF_ENDING}")):
        place = path.relative_to(proofs)
        subject = place.name.removesuffix(PROOF_ENDING)
        aside = _ASIDE.fullmatch(subject)
        is_aside = aside and place.with_name(aside[1] + PROOF_ENDING) in there
        if not (place in there or place.name in digests or is_aside):
            reason = message("file-of-proof-missing", name=subject)
            yield Row(path, gap=Gap.NO_FILE, reason=reason)


def _start_judging(stop: Event, asked: Asked, proofs: Path | None) -> _Files:
    from witnesstree.cli.judging import Judge

    return _Files(stop, Judge(asked, says=False), proofs)


def _start_digests(stop: Event) -> _Files:
    return _Files(stop, None)


@dataclass(frozen=True, slots=True)
class _Files:
    """Turns a file into a row: its digest alone, or with a judge its report."""

    stop: Event
    judge: Judge | None
    proofs: Path | None = None

    def __call__(self, found: Found) -> Row:
        from witnesstree.cli.judging import read_limited, require_regular
        from witnesstree.ledger.base.digest import digest_file
        from witnesstree.ledger.proof.kinds import Kind, recognise

        path = found.path
        if found.gap:
            return Row(path, gap=found.gap, reason=found.reason)
        try:
            proof = proof_beside(path) if self.proofs is None else None
            if self.judge and proof and not os.path.lexists(proof):
                return _without_proof(path, proof)
            digest = digest_file(path, stop=self.stop).digest
            if not self.judge:
                return Row(path, digest)
            if self.proofs:
                # A file that was altered has another digest than its proof.
                by_name = self.proofs / proof_beside(found.place)
                proof = proof_in(self.proofs, found.place, digest) or by_name
                if not os.path.lexists(proof):
                    return _without_proof(path, proof)
            assert proof
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
        bundle = proofs = None
        if proof_path and is_folder(proof_path):
            proofs = proof_path
        elif proof_path:
            # Asked first: where the name is misspelt, that is the reason.
            read_limited(proof_path)
            if not holds_proofs(proof_path):
                raise InvalidInput("proof-of-one-file", path=proof_path)
            bundle = opened.enter_context(opened_proofs(proof_path))
        rows = held_against_manifests(verify_many(paths, asked, bundle, proofs))
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
    if asked.home is None and any(row.by_own for row in rows):
        say("own-ledger-asked", home=asked.own or default_home())
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
    _print_dates(rows)
    # What many have in common is said once.
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in shown:
        alike.setdefault((_word(row), _reason(row)), []).append(row)
    if alike:
        click.echo()
    for (label, reason), same in alike.items():
        for row in same:
            said = str(row.path)
            if len(same) == 1:
                said = phrase("check-line", label=said, reason=reason)
            line = laid_out(label + " " * (width - width_of(label) + 2) + said, width + 2)
            click.echo(verdict_styled(row.verdict, label) + line[len(label) :])
        if len(same) > 1:
            click.echo(laid_out(" " * (width + 2) + reason, width + 2))
    print_steps(row.checks for row in shown)


def _print_dates(rows: list[Row]) -> None:
    """Print by when the verified files existed, the first and the last of them."""
    dates = sorted(row.not_after for row in rows if row.assurance and row.not_after)
    if dates:
        first, last = moment(dates[0]), moment(dates[-1])
        tell("dates-of-many", indent=4, first=first, last=None if last == first else last)


def _word(row: Row) -> str:
    return phrase("gap-word", gap=row.gap.name.lower()) if row.gap else verdict_word(row.verdict)


def _reason(row: Row) -> str:
    if row.reason:
        return words(row.reason)
    check = row.checks[0]
    return phrase("check-line", label=check_label(check.name), reason=check.message)


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
