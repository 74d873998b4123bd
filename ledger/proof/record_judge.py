"""Judges evidence records (RFC 4998, 4.3 and 5.3): whether one proves when a file existed, and
until when it can be verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.der import shown
from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import (
    Check,
    Outcome,
    Report,
    failed,
    have_passed,
    passed,
    unknown,
)
from witnesstree.ledger.proof.record import (
    ArchiveTimestamp,
    EvidenceRecord,
    parse_record,
    roots_of_lists,
    sequence_hash,
)
from witnesstree.ledger.tokens.path import methods_of
from witnesstree.ledger.tokens.signature import HASHES, digest_of
from witnesstree.ledger.tokens.soundness import ENDS, hashes_of
from witnesstree.ledger.tokens.token import chain_of, judge_token
from witnesstree.ledger.tokens.x509 import read_certificate

if TYPE_CHECKING:
    from witnesstree.ledger.base.report import Assurance
    from witnesstree.ledger.trust import Trust


@dataclass(frozen=True, slots=True)
class _Place:
    """One archive timestamp, what its first list has to hold, and the time at which it has to be
    valid still. `expected` has one entry for each reading of RFC 4998, ours first; it is None where
    that is not known.
    """

    name: str
    timestamp: ArchiveTimestamp
    expected: tuple[tuple[bytes, ...], ...] | None
    is_first: bool
    until: datetime
    is_last: bool


def verify_record(
    content: bytes,
    files: Sequence[Mapping[str, bytes]],
    trust: Trust,
    now: datetime,
    *,
    is_group: bool = False,
    ends: Mapping[str, datetime] = ENDS,
) -> Report:
    """Return what `content`, the bytes of a record, proves about `files`.

    Never raises, whatever `content` is.

    Each file is given by its digests, by hash algorithm; `EvidenceRecord.algorithms` says which are
    needed. If `is_group`, the files have to be all that the record's data group has (RFC 4998,
    4.3), else there may be others beside them. `ends` says when methods stop being sound
    (soundness.py).

    1. record                              it is an evidence record; UNKNOWN where it is larger than
                                           what is read (OverLimit)
    2. chains[i].timestamps[j].algorithm   it is hashed with the algorithm of its chain (RFC 4998,
                                           5.3, step 2)
    3. ….data, for j = 0                   the first list holds the files; with the older chains,
                                           for i > 0 (5.3, steps 1 and 3)
       ….group                             and nothing else, if is_group (5.3, last paragraph)
       ….previous, for j > 0               the first list holds the token before (5.3, step 2)
    4. ….form to ….revocation              the token is for the hash that the lists lead to, and can
                                           be believed (4.3; token.py)
    5. ….time                              it was made after the one before; it was valid when the
                                           next one was made, the newest is at `now` (5.3)
    6. window                              the newest token's time is not later than `now`, give or
                                           take SKEW

    What the newest token cannot be verified for any more is UNKNOWN, not FAILED: nothing is wrong
    in it, it was renewed too late or not at all.
    """
    try:
        record = parse_record(content)
    except OverLimit as error:
        return Report((unknown("record", "record-over-limit", error=error),))
    except InvalidInput as error:
        return Report((failed("record", "record-unreadable", error=error),))
    count = len(record.timestamps)
    checks = [passed("record", "record-readable", count=count)]
    worth: list[Assurance] = []
    oldest_passed = False
    previous: datetime | None = None
    for place in _places(record, files, now):
        found, assurance = _judge_place(place, record, trust, previous, ends, is_group=is_group)
        oldest_passed = oldest_passed or (previous is None and have_passed(found))
        previous = place.timestamp.token.gen_time
        checks += found
        worth += [assurance] if assurance is not None else []
    not_after = record.timestamps[0].token.latest if oldest_passed else None
    checks += _judge_window(not_after, record.timestamps[-1].token.gen_time, now)
    report = Report(
        tuple(checks), min(worth, default=None), None, not_after, not_after_token=not_after
    )
    return report if report.is_verified else replace(report, assurance=None)


def _places(
    record: EvidenceRecord, files: Sequence[Mapping[str, bytes]], now: datetime
) -> list[_Place]:
    times = [*(timestamp.token.gen_time for timestamp in record.timestamps[1:]), now]
    places: list[_Place] = []
    for i, chain in enumerate(record.chains):
        for j, timestamp in enumerate(chain):
            known = timestamp.algorithm in HASHES
            expected = (
                _previous(chain, j)
                if known and j
                else _expected(record, i, files)
                if known
                else None
            )
            last = len(places) == len(times) - 1
            places.append(
                _Place(
                    f"chains[{i}].timestamps[{j}]",
                    timestamp,
                    expected,
                    j == 0,
                    times[len(places)],
                    last,
                )
            )
    return places


def _previous(chain: Sequence[ArchiveTimestamp], j: int) -> tuple[tuple[bytes, ...], ...]:
    return ((digest_of(chain[j].algorithm, chain[j - 1].token.der),),)


def _expected(
    record: EvidenceRecord, i: int, files: Sequence[Mapping[str, bytes]]
) -> tuple[tuple[bytes, ...], ...] | None:
    """Return what the first list has for the files of chain `i`, in each reading, or None if a
    digest is missing for that.

    RFC 4998, 5.2 has two: its text joins the file's digest and the hash of the older chains in this
    order, its figure 4 sorts them.
    """
    algorithm = record.chains[i][0].algorithm
    digests = [file[algorithm] for file in files if algorithm in file]
    if not digests or len(digests) < len(files):
        return None
    if not i:
        return (tuple(digests),)
    before = sequence_hash(record, i, algorithm)
    return (
        tuple(digest_of(algorithm, digest + before) for digest in digests),
        tuple(digest_of(algorithm, min(digest + before, before + digest)) for digest in digests),
    )


def _judge_place(
    place: _Place,
    record: EvidenceRecord,
    trust: Trust,
    previous: datetime | None,
    ends: Mapping[str, datetime],
    *,
    is_group: bool,
) -> tuple[list[Check], Assurance | None]:
    """Return the checks of one archive timestamp, and what its token is worth, None unless all of
    them passed that are required.
    """
    timestamp, name = place.timestamp, place.name
    checks = [_judge_algorithm(place, record)]
    if checks[0].outcome is not Outcome.PASSED:
        return checks, None
    checks += _judge_first_list(place, is_group=is_group)
    judgement = judge_token(record.stamp(timestamp), _imprint_of(place), trust, timestamp.algorithm)
    checks += [
        replace(check, name=f"{name}.{check.name.removeprefix('token.')}")
        for check in judgement.checks
    ]
    checks.append(_judge_time(place, record, trust, previous, ends))
    return checks, judgement.assurance if have_passed(checks) else None


def _imprint_of(place: _Place) -> bytes:
    """Return what the token has to be for: where the lists lead; without a tree what it is for,
    because `first` is that, and compared.
    """
    imprint, lists = place.timestamp.token.imprint, place.timestamp.lists
    ways = roots_of_lists(lists, place.timestamp.algorithm) if lists else (imprint,)
    return imprint if imprint in ways else ways[0]


def _judge_algorithm(place: _Place, record: EvidenceRecord) -> Check:
    name, algorithm = f"{place.name}.algorithm", place.timestamp.algorithm
    chain = next(chain for chain in record.chains if any(each is place.timestamp for each in chain))
    if algorithm != chain[0].algorithm:
        return failed(
            name,
            "record-algorithm-differs",
            found=shown(algorithm),
            expected=shown(chain[0].algorithm),
        )
    if algorithm not in HASHES:
        return unknown(name, "record-algorithm-not-accepted", algorithm=shown(algorithm))
    return passed(name, "record-algorithm-accepted", algorithm=algorithm)


def _judge_first_list(place: _Place, *, is_group: bool) -> list[Check]:
    kind = "data" if place.is_first else "previous"
    name = f"{place.name}.{kind}"
    if place.expected is None:
        return [unknown(name, "record-digest-not-given", algorithm=place.timestamp.algorithm)]
    first = place.timestamp.first
    expected = next((each for each in place.expected if first.issuperset(each)), place.expected[0])
    missing = [value for value in expected if value not in first]
    if missing:
        checks = [
            failed(name, "record-first-list-differs", is_file=place.is_first, missing=missing[0])
        ]
    else:
        checks = [
            passed(name, "record-first-list-matches", is_file=place.is_first, found=expected[0])
        ]
    if is_group and place.is_first:
        checks.append(_judge_group(f"{place.name}.group", first, expected))
    return checks


def _judge_group(name: str, first: frozenset[bytes], expected: Sequence[bytes]) -> Check:
    others = first.difference(expected)
    if others:
        return failed(name, "record-group-larger", count=len(others))
    return passed(name, "record-group-matches")


def _judge_time(
    place: _Place,
    record: EvidenceRecord,
    trust: Trust,
    previous: datetime | None,
    ends: Mapping[str, datetime],
) -> Check:
    name, token = f"{place.name}.time", place.timestamp.token
    if previous is not None and token.gen_time < previous:
        return failed(name, "record-order-wrong", time=token.gen_time, before=previous)
    end = _end_of(place.timestamp, record, trust, ends)
    if end is None:
        return unknown(name, "record-validity-unknown", is_newest=place.is_last)
    if end <= place.until:
        return unknown(
            name, "record-renewed-too-late", end=end, is_newest=place.is_last, time=place.until
        )
    return passed(name, "record-valid", is_newest=place.is_last, time=place.until, end=end)


def _judge_window(not_after: datetime | None, newest: datetime, now: datetime) -> list[Check]:
    if newest - now > SKEW:
        return [unknown("window", "record-clock-behind", time=newest, now=now)]
    return [] if not_after is None else [passed("window", "file-existed", time=not_after)]


def expires(
    record: EvidenceRecord, trust: Trust, ends: Mapping[str, datetime] = ENDS
) -> datetime | None:
    """Return when the newest archive timestamp stops being verifiable: until then the record has to
    be renewed. None if its signer is not known.

    It is the earliest end of a certificate from its signer up, or of a method that token or
    certificates rest on (`ends`). Whether a
    certificate will be revoked before is not known.
    """
    return _end_of(record.timestamps[-1], record, trust, ends)


def _end_of(
    timestamp: ArchiveTimestamp, record: EvidenceRecord, trust: Trust, ends: Mapping[str, datetime]
) -> datetime | None:
    token = timestamp.token
    chain = [
        read
        for der in chain_of(token, trust, record.certificates)
        if (read := read_certificate(der))
    ]
    if not chain:
        return None
    # What is highest is a trusted root, or what is above it is not known.
    methods = {
        timestamp.algorithm,
        token.signer.digest_algorithm,
        *hashes_of(token.signer.method),
        *(method for each in chain for method in methods_of(each, is_root=each is chain[-1])),
    }
    return min(
        (
            *(each.not_after for each in chain),
            *(ends[method] for method in methods if method in ends),
        )
    )
