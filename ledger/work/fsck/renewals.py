"""What fsck looks for in renewed evidence records, and in when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.work.fsck.problem import Problem, guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.database.values import KeptRecord, SealedBatch
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.sealing import Ledger


def check_renewals(ledger: Ledger, batch: SealedBatch, trust: Trust) -> Iterator[Problem]:
    """Judge the evidence records of a batch, and compare them with when they are due."""
    place = ledger.metadata.place
    with ledger.metadata.read() as transaction:
        tokens = {authority: stamp.token for authority, stamp in transaction.tokens(batch.sequence)}
        kept, renewals = transaction.records(batch.sequence), transaction.renewals(batch.sequence)
    scheduled = {(each.position, each.authority) for each in renewals}
    expected = {(0, authority) for authority in tokens} | {
        (each.position, each.authority) for each in kept
    }
    for position, authority in sorted(expected - scheduled):
        yield Problem(
            message("at-entry", place=place, batch=batch.sequence, position=position),
            message("renewal-missing", authority=authority),
        )
    for position, authority in sorted(scheduled - expected):
        yield Problem(
            message("at-entry", place=place, batch=batch.sequence, position=position),
            message("renewal-without-token", authority=authority),
        )
    newest: dict[tuple[int, str], int] = {}
    for each in kept:
        name, number = (each.position, each.authority), each.number
        where = message(
            "at-record",
            place=place,
            batch=batch.sequence,
            position=each.position,
            number=number,
            authority=each.authority,
        )
        if number != newest.get(name, 0) + 1:
            yield Problem(
                where,
                message("record-number-wrong", number=number, expected=newest.get(name, 0) + 1),
            )
        newest[name] = number
        yield from guarded(
            where, _check_kept(ledger, where, each, tokens.get(each.authority), trust)
        )


def _check_kept(
    ledger: Ledger, where: Message, kept: KeptRecord, token: bytes | None, trust: Trust
) -> Iterator[Problem]:
    """Judge a record as of its newest timestamp: that it was renewed too late, or is to be renewed,
    is no damage.
    """
    # Here, because few ledgers have renewed anything.
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.proof.record_judge import verify_record

    record = parse_record(kept.record)
    if record.timestamps[0].token.der != token:
        yield Problem(where, message("record-of-other-token"))
    digest = ledger.files.digest_at(kept.sequence, kept.position)
    now = record.timestamps[-1].token.gen_time
    for check in verify_record(kept.record, [{"sha256": digest}], trust, now).checks:
        is_unknown_chain = check.outcome is Outcome.UNKNOWN and check.name.endswith(".chain")
        if check.outcome is Outcome.FAILED or is_unknown_chain:
            fault = message("check-not-passed", check=check.name, reason=check.message)
            yield Problem(where, fault, is_damage=not is_unknown_chain)
