"""Step 4: each timestamp token, and each evidence record, which is a token's witness like the token
itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.der import shown
from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import Check, Outcome, failed, passed, unknown
from witnesstree.ledger.tokens.token import judge_token, parse_token
from witnesstree.ledger.verify.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.trust import Trust

MAX_JUDGED_TIMESTAMPS = 64
"""Archive timestamps that are judged in all records of a proof: each may cost dozens of signatures.
Three authorities renewed every three years need as many in sixty years."""


def judge_stamp(
    place: str,
    stamp: Stamp,
    digest: bytes,
    trust: Trust,
    now: datetime,
    *,
    algorithm: str = "sha256",
) -> Witness:
    """Judge a token for a digest, such as a batch's root; its checks are named after `place`."""
    judgement = judge_token(stamp, digest, trust, algorithm, now)
    checks = [
        replace(check, name=f"{place}.{check.name.removeprefix('token.')}")
        for check in judgement.checks
    ]
    if judgement.token is None:
        return Witness(checks)
    return Witness(checks, judgement.token.latest, judgement.assurance)


def judge_file(
    proof: Proof, digests: Mapping[str, bytes], trust: Trust, now: datetime
) -> list[Witness]:
    """Judge each timestamp over the file itself, by those of its digests that are known.

    They date the file and are no witnesses of its batch: nothing waits for them.
    """
    return [
        _judge_over_file(f"file_tokens[{i}]", stamp, digests, trust, now)
        for i, stamp in enumerate(proof.file_tokens)
    ]


def _judge_over_file(
    place: str, stamp: Stamp, digests: Mapping[str, bytes], trust: Trust, now: datetime
) -> Witness:
    algorithm, time = "sha256", now
    with suppress(InvalidInput):
        token = parse_token(stamp.token)
        algorithm, time = token.imprint_algorithm, token.gen_time
    if algorithm not in digests:
        doubt = unknown(f"{place}.imprint", "digest-of-file-unknown", algorithm=shown(algorithm))
        return Witness([replace(doubt, required=False)])
    witness = judge_stamp(place, stamp, digests[algorithm], trust, now, algorithm=algorithm)
    if time - now > SKEW:
        behind = unknown(f"{place}.time", "record-clock-behind", time=time, now=now)
        witness = replace(witness, checks=[*witness.checks, behind], not_after=None)
    # Whether it counts is decided before that.
    dated = witness.not_after if witness.has_passed else None
    return Witness([_optional(each) for each in witness.checks], dated, witness.assurance)


def judge_digests(proof: Proof, digests: Mapping[str, bytes]) -> list[Check]:
    """Compare the file's digests under other algorithms, as far as they are known."""
    checks = []
    for algorithm, stated in proof.digests:
        name, found = f"digests.{algorithm}", digests.get(algorithm)
        if found is None:
            checks.append(
                unknown(name, "digest-of-file-unknown", algorithm=algorithm, required=False)
            )
        elif found != stated:
            checks.append(
                failed(
                    name, "other-digest-differs", algorithm=algorithm, found=found, expected=stated
                )
            )
        else:
            checks.append(passed(name, "other-digest-matches", algorithm=algorithm, digest=found))
    return checks


def _optional(check: Check) -> Check:
    """Return a check whose UNKNOWN leaves nothing open."""
    return replace(check, required=False) if check.outcome is Outcome.UNKNOWN else check


def judge_records(
    proof: Proof, digests: Mapping[str, bytes], trust: Trust, now: datetime
) -> list[Witness]:
    """Judge each evidence record, one that occurs again only once, and not more timestamps in
    all than MAX_JUDGED_TIMESTAMPS.
    """
    assert proof.inclusion
    known: dict[bytes, Witness] = {}
    left = MAX_JUDGED_TIMESTAMPS
    for record in proof.records:
        if record not in known:
            count, check = _judge_place(record, proof.inclusion.root, left)
            known[record] = (
                Witness([check])
                if check.outcome is not Outcome.PASSED
                else _judge_kept(record, check, digests, trust, now)
            )
            left -= count
    witnesses = ((f"records[{i}]", known[record]) for i, record in enumerate(proof.records))
    return [
        replace(
            witness,
            checks=[replace(check, name=f"{place}.{check.name}") for check in witness.checks],
        )
        for place, witness in witnesses
    ]


def _judge_place(record: bytes, root: bytes, left: int) -> tuple[int, Check]:
    """Judge whether a record may be in a proof for `root` that has `left` timestamps left, and
    return how many of them it takes.
    """
    # Here, because most proofs hold no record.
    from witnesstree.ledger.proof.record import parse_record

    try:
        timestamps = parse_record(record).timestamps
    except OverLimit as error:
        return 0, unknown("record", "record-over-limit", error=error)
    except InvalidInput as error:
        return 0, failed("record", "record-unreadable", error=error)
    token = timestamps[0].token
    if (token.imprint_algorithm, token.imprint) != ("sha256", root):
        # It may be true of this digest, but is no witness of the batch.
        return 0, failed("root", "record-for-other-root", found=token.imprint, root=root)
    if len(timestamps) > left:
        return 0, unknown(
            "root", "records-too-many", left=left, most=MAX_JUDGED_TIMESTAMPS, found=len(timestamps)
        )
    return len(timestamps), passed("root", "record-for-root")


def _judge_kept(
    record: bytes, check: Check, digests: Mapping[str, bytes], trust: Trust, now: datetime
) -> Witness:
    from witnesstree.ledger.proof.record_judge import verify_record

    report = verify_record(record, [digests], trust, now)
    return Witness([check, *report.checks], report.not_after, report.assurance)
