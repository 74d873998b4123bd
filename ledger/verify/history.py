"""Steps 6 and 7: the opening record, the batch statement, and the checkpoint of the ledger log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import (
    Assurance,
    Check,
    Outcome,
    Report,
    failed,
    passed,
    unknown,
)
from witnesstree.ledger.log.keys import (
    check_history,
    join_histories,
    judge_signer,
    parse_key_change,
)
from witnesstree.ledger.log.log import check_inclusion, leaf_hash
from witnesstree.ledger.log.note import parse_checkpoint, parse_note
from witnesstree.ledger.log.opening import Opening, opening_digest, parse_opening
from witnesstree.ledger.log.statement import parse_statement
from witnesstree.ledger.verify.anchors import judge_canonical, judge_header, time_of
from witnesstree.ledger.verify.inclusion import judge_path
from witnesstree.ledger.verify.window import Begun

if TYPE_CHECKING:
    from datetime import datetime

    from witnesstree.ledger.proof.proof import LogProof, OpeningProof, Proof
    from witnesstree.ledger.trust import Trust


def judge_opening(proof: Proof, trust: Trust) -> tuple[Opening | None, Begun, list[Check]]:
    """Return the record if it leads to the root, when the batch was begun as far as that is known,
    and the checks.
    """
    if proof.opening is None:
        return None, Begun(), [unknown("opening", "opening-absent")]
    try:
        opening = parse_opening(proof.opening.record)
    except InvalidInput as error:
        return None, Begun(), [failed("opening", "opening-unreadable", error=error)]
    check = judge_path(
        "opening", opening_digest(proof.opening.record), proof, 0, proof.opening.path
    )
    if check.outcome is Outcome.FAILED:
        return None, Begun(), [check]
    time, block = _judge_opening_block(proof.opening, opening, trust)
    stated = max(opening.opened, time) if time else opening.opened
    return opening, Begun(time if block.outcome is Outcome.PASSED else None, stated), [check, block]


def _judge_opening_block(
    proof: OpeningProof, opening: Opening, trust: Trust
) -> tuple[datetime | None, Check]:
    """Return the time of the block that the record names by its hash, and the check of it."""
    name, block = "opening.block", opening.block
    if block is None:
        check = unknown(name, "opening-without-block", required=False)
        return None, (
            check if proof.header is None else failed(name, "opening-header-without-block")
        )
    canonical = judge_canonical(name, block.chain_id, block.number, block.hash, trust)
    if proof.header is None:
        absent = unknown(name, "opening-header-absent", number=block.number)
        return None, canonical if canonical.outcome is Outcome.FAILED else absent
    header, check = judge_header(name, proof.header, block.chain_id, block.number, block.hash)
    if header is None:
        return None, check
    return time_of(header.time), replace(canonical, required=False)


def judge_log(proof: Proof, opening: Opening | None, trust: Trust) -> list[Check]:
    """Judge the batch statement, its path in the log, and who signed the checkpoint."""
    if proof.log is None:
        return [unknown("log", "log-absent")]
    return [
        _judge_statement(proof, proof.log, opening),
        _judge_log_path(proof.log),
        _judge_checkpoint(proof.log, trust),
    ]


def judge_log_alone(log: LogProof, trust: Trust) -> Report:
    """Return what a place in the log proves by itself: that whoever's key is trusted has put the
    statement of a batch there. It says nothing of a time, or of any digest.
    """
    try:
        statement = parse_statement(log.statement)
    except InvalidInput as error:
        return Report((failed("log.statement", "statement-unreadable", error=error),))
    stated = passed(
        "log.statement",
        "statement-right",
        origin=statement.origin,
        sequence=statement.sequence,
        count=statement.count,
        closed=statement.closed,
    )
    checkpoint = replace(_judge_checkpoint(log, trust), required=True)
    report = Report((stated, _judge_log_path(log), checkpoint), Assurance.PRIVATE)
    return report if report.is_verified else replace(report, assurance=None)


def _judge_statement(proof: Proof, log: LogProof, opening: Opening | None) -> Check:
    assert proof.inclusion
    try:
        statement = parse_statement(log.statement)
    except InvalidInput as error:
        return failed("log.statement", "statement-unreadable", error=error)
    stated = (statement.root, statement.count)
    if stated != (proof.inclusion.root, proof.inclusion.size):
        return failed(
            "log.statement", "statement-of-other-batch", count=statement.count, root=statement.root
        )
    if opening and (statement.origin, statement.sequence, statement.opened) != (
        opening.origin,
        opening.batch,
        opening.opened,
    ):
        return failed("log.statement", "statement-contradicts-opening")
    return passed(
        "log.statement",
        "statement-right",
        origin=statement.origin,
        sequence=statement.sequence,
        count=statement.count,
        closed=statement.closed,
    )


def _judge_log_path(log: LogProof) -> Check:
    try:
        statement = parse_statement(log.statement)
        checkpoint = parse_checkpoint(parse_note(log.checkpoint).text)
        is_included = check_inclusion(
            log.index, checkpoint.size, leaf_hash(log.statement.encode()), log.path, checkpoint.root
        )
    except InvalidInput as error:
        return failed("log.path", "log-path-unreadable", error=error)
    if not is_included or checkpoint.origin != statement.origin:
        return failed("log.path", "log-path-wrong", index=log.index, origin=checkpoint.origin)
    return passed(
        "log.path",
        "log-path-right",
        index=log.index,
        size=checkpoint.size,
        origin=checkpoint.origin,
    )


def _judge_checkpoint(log: LogProof, trust: Trust) -> Check:
    try:
        changes = join_histories(
            check_history(log.keys),
            check_history([note for note in trust.key_notes if _is_of(note, log)]),
        )
        if not trust.checkpoint_keys:
            return unknown("log.checkpoint", "checkpoint-key-absent", required=False)
        signer = judge_signer(log.checkpoint, trust.checkpoint_keys, changes)
    except InvalidInput as error:
        return failed("log.checkpoint", "checkpoint-unreadable", error=error)
    outcome = Outcome.PASSED if signer.is_expected else Outcome.FAILED
    return Check("log.checkpoint", outcome, signer.message)


def _is_of(note: str, log: LogProof) -> bool:
    """Whether a key note is of the log that the proof's checkpoint is of."""
    return (
        parse_key_change(parse_note(note).text).origin
        == parse_checkpoint(parse_note(log.checkpoint).text).origin
    )
