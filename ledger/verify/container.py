"""What a container proves about the files in it: by tokens over manifests or files, and by evidence
records.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import Check, Outcome, Report, failed, passed, unknown
from witnesstree.ledger.proof.asic import ASIC_S
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.tokens.signature import HASHES
from witnesstree.ledger.tokens.token import parse_token
from witnesstree.ledger.verify.bare import verify_token
from witnesstree.ledger.verify.tokens import MAX_JUDGED_TIMESTAMPS
from witnesstree.ledger.verify.witness import Witness, best_assurance, date_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from witnesstree.ledger.proof.asic import Container, Listed, Timestamp
    from witnesstree.ledger.trust import Trust

MAX_NAMES = 20
"""Files that are named where all is well."""


def verify_container(container: Container, trust: Trust, now: datetime) -> Report:
    """Return what a container proves about all files in it. Never raises.

    1. container          it is one, and no name in it occurs twice
    2. timestamps[i].…    each token and record, as where it stands alone; `.files`: each file that
                          its manifest lists is there, and is the one that is listed
    3. files              a timestamp that passes whole is over each file

    The date is the one by which all files existed: of each file, that of the best timestamp over
    it.
    """
    checks = [_judge_names(container)]
    over: dict[str, list[Witness]] = {name: [] for name in container.files}
    found: list[tuple[Timestamp, Witness]] = []
    left = MAX_JUDGED_TIMESTAMPS
    for i, timestamp in enumerate(container.timestamps):
        place, count = f"timestamps[{i}]", _count(timestamp)
        if count > left:
            most = MAX_JUDGED_TIMESTAMPS
            beyond = unknown(place, "records-too-many", left=left, most=most, found=count)
            witness = Witness([beyond])
        else:
            witness = _judge(place, container, timestamp, trust, now)
            left -= count
        found.append((timestamp, witness))
        for name in _subjects(container, timestamp):
            if name in over:
                over[name].append(witness)
    lacking = [name for name, all_of in over.items() if not any(each.has_passed for each in all_of)]
    for _, witness in found:
        # Beside one that passes whole, no UNKNOWN of another one counts.
        checks += [
            replace(check, required=check.required and bool(lacking))
            if check.outcome is Outcome.UNKNOWN
            else check
            for check in witness.checks
        ]
    if lacking or not over:
        checks.append(
            unknown("files", "container-file-not-covered", names=lacking, count=len(lacking))
        )
        return Report(tuple(checks))
    not_after = max(date for each in over.values() if (date := date_of(each)))
    checks.append(
        passed(
            "files",
            "container-files-covered",
            count=len(over),
            names=[*over][:MAX_NAMES] + ["…"] * (len(over) > MAX_NAMES),
            time=not_after,
        )
    )
    worth = min(best for each in over.values() if (best := best_assurance(each)))
    report = Report(tuple(checks), worth, None, not_after, not_after_token=not_after)
    return report if report.is_verified else replace(report, assurance=None)


def _subjects(container: Container, timestamp: Timestamp) -> Sequence[str]:
    """Return the files that a timestamp is over: those that its manifest lists, be it none, and
    without a manifest all.
    """
    listed = [each.name for each in timestamp.listed]
    return container.files if timestamp.manifest is None else listed


def _count(timestamp: Timestamp) -> int:
    """Return how many timestamps have to be judged: those of a record, each of which may cost
    dozens of signatures.
    """
    if timestamp.is_record:
        # One that cannot be read costs nothing, and is told.
        with suppress(InvalidInput):
            return len(parse_record(timestamp.content).timestamps)
    return 1


def _judge_names(container: Container) -> Check:
    if container.doubled:
        return failed("container", "container-names-doubled", names=container.doubled)
    if container.form == ASIC_S and len(container.files) != 1:
        count = len(container.files)
        return failed("container", "container-files-not-one", names=container.files, count=count)
    return passed("container", "container-readable", count=len(container.files))


def _judge(
    place: str, container: Container, timestamp: Timestamp, trust: Trust, now: datetime
) -> Witness:
    checks = list(_judge_files(f"{place}.files", container, timestamp))
    try:
        report = _judge_alone(container, timestamp, trust, now)
    except OverLimit as error:
        return Witness([*checks, unknown(place, "record-over-limit", error=error)])
    except InvalidInput as error:
        unreadable = failed(place, "container-timestamp-unreadable", error=error)
        return Witness([*checks, unreadable])
    # What a timestamp over a manifest says of a time is no word of the files yet.
    checks += [
        replace(each, name=f"{place}.{each.name.removeprefix('token.')}")
        for each in report.checks
        if each.name != "window" or each.outcome is not Outcome.PASSED
    ]
    return Witness(checks, report.not_after, report.assurance)


def _judge_alone(container: Container, timestamp: Timestamp, trust: Trust, now: datetime) -> Report:
    if timestamp.is_record:
        algorithms = parse_record(timestamp.content).algorithms
        names = _subjects(container, timestamp)
        files = [container.digests(name, algorithms) for name in names]
        return verify_record(timestamp.content, files, trust, now)
    token = parse_token(timestamp.content)
    subject = timestamp.manifest or (container.files or ("mimetype",))[0]
    digests = container.digests(subject, [token.imprint_algorithm])
    return verify_token(token, digests, trust, now)


def _judge_files(name: str, container: Container, timestamp: Timestamp) -> Iterator[Check]:
    """Yield whether the files that a manifest lists are those that are there; one at a time, only
    what is amiss is told.
    """
    amiss = [check for each in timestamp.listed if (check := _judge_file(name, container, each))]
    yield from amiss
    if timestamp.manifest and not amiss:
        yield passed(name, "container-files-listed", name=timestamp.manifest)


def _judge_file(name: str, container: Container, listed: Listed) -> Check | None:
    if listed.algorithm not in HASHES:
        return unknown(
            name, "container-digest-not-accepted", name=listed.name, algorithm=listed.algorithm[:80]
        )
    try:
        digest = container.digests(listed.name, [listed.algorithm])[listed.algorithm]
    except InvalidInput as error:
        return failed(name, "container-file-unreadable", name=listed.name, error=error)
    if digest != listed.digest:
        return failed(
            name,
            "container-file-changed",
            name=listed.name,
            found=digest,
            expected=listed.digest,
        )
    return None
