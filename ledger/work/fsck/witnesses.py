"""What fsck looks for in the outbox, and in the tokens and anchors that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    parse_header,
    prove_slot,
)
from witnesstree.ledger.proof.proof import parse_anchor
from witnesstree.ledger.store.database.values import JobKind, JobState
from witnesstree.ledger.tokens.token import CHAIN, judge_token, parse_token
from witnesstree.ledger.verify.anchors import time_of
from witnesstree.ledger.work.clocks import begun_at, is_early
from witnesstree.ledger.work.fsck.problem import Problem, at_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.store.database.values import Job, SealedBatch
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.sealing import Ledger


def check_jobs(
    place: str, batches: set[int], jobs: list[Job], witnesses: set[tuple[int, JobKind, str]]
) -> Iterator[Problem]:
    """Compare what was done with what came of it: a job that is done and left nothing is lost work,
    any other that left something runs twice.
    """
    done = {(job.sequence, job.kind, job.target) for job in jobs if job.state is JobState.DONE}
    for sequence, kind, target in sorted(done - witnesses):
        yield Problem(
            at_batch(place, sequence), message("job-result-missing", kind=kind, target=target)
        )
    for sequence, kind, target in sorted(witnesses - done):
        yield Problem(at_batch(place, sequence), message("job-not-done", kind=kind, target=target))
    for sequence in sorted({job.sequence for job in jobs} - batches):
        yield Problem(at_batch(place, sequence), message("job-of-unsealed-batch"))


def check_transactions(ledger: Ledger, place: str, jobs: list[Job]) -> Iterator[Problem]:
    """Compare the transactions that were sent with the jobs that sent them."""
    signed = {(job.target, job.transaction) for job in jobs if job.transaction is not None}
    with ledger.metadata.read() as transaction:
        sent = [
            (chain, each.transaction)
            for chain in transaction.chains()
            for each in transaction.transactions(chain)
        ]
    for chain, each in sent:
        if keccak256(each.raw) != each.hash:
            yield Problem(
                message("at-transaction", place=place, hash=each.hash, chain=chain),
                message("transaction-altered"),
            )
    for chain, hash_ in sorted(signed - {(chain, each.hash) for chain, each in sent}):
        yield Problem(
            message("at-transaction", place=place, hash=hash_, chain=chain),
            message("transaction-missing"),
        )


def check_witnesses(ledger: Ledger, batch: SealedBatch, trust: Trust) -> Iterator[Problem]:
    """Judge the tokens and anchors of a batch."""
    with ledger.metadata.read() as transaction:
        tokens, anchors = transaction.tokens(batch.sequence), transaction.anchors(batch.sequence)
    for authority, stamp in tokens:
        yield from _check_time(ledger, batch, authority, stamp)
        place = message(
            "at-token", place=ledger.metadata.place, batch=batch.sequence, authority=authority
        )
        yield from _judge(place, stamp, batch.root, trust)
    for chain, text in anchors:
        place = message("at-anchor", place=ledger.metadata.place, batch=batch.sequence, chain=chain)
        try:
            anchor = parse_anchor(text)
            if anchor.transaction is not None and not _was_sent(ledger, chain, anchor.transaction):
                yield Problem(place, message("anchor-names-unsent-transaction"))
            if anchor.state:
                header = parse_header(anchor.state.header)
                slot = prove_slot(
                    header, anchor.contract, batch.root, anchor.state.account, anchor.state.storage
                )
                if (header.hash, header.number) != (anchor.block_hash, anchor.block_number):
                    yield Problem(place, message("anchor-header-of-other-block"))
                # Elsewhere only the block's own time counts (verify/anchors.py).
                is_ours = anchor.contract == CONTRACT_ADDRESS
                time = time_of(slot.anchoring.time if is_ours else header.time)
                if is_early(batch, time):
                    yield Problem(place, _contradiction(batch, time))
        except InvalidInput as error:
            yield Problem(place, error.message)


def check_direct_tokens(ledger: Ledger, trust: Trust) -> Iterator[Problem]:
    """Judge the direct tokens, and look whether the digests that they are over are entries."""
    with ledger.metadata.read() as transaction:
        stamped = transaction.directly_stamped()
    entries = ledger.find(stamped)
    for digest in stamped:
        for authority, stamp in ledger.direct_tokens(digest):
            place = message(
                "at-direct-token", place=ledger.metadata.place, digest=digest, authority=authority
            )
            if digest not in entries:
                yield Problem(place, message("direct-token-of-no-entry"))
            yield from _judge(place, stamp, digest, trust)


def _judge(place: Message, stamp: Stamp, digest: bytes, trust: Trust) -> Iterator[Problem]:
    for check in judge_token(stamp, digest, trust).checks:
        if check.required and check.outcome is not Outcome.PASSED:
            is_damage = (check.name, check.outcome) != (CHAIN, Outcome.UNKNOWN)
            fault = message("check-not-passed", check=check.name, reason=check.message)
            yield Problem(place, fault, is_damage)


def _check_time(
    ledger: Ledger, batch: SealedBatch, authority: str, stamp: Stamp
) -> Iterator[Problem]:
    try:
        time = parse_token(stamp.token).latest
    except InvalidInput:
        # Judging it says so.
        return
    if is_early(batch, time):
        place = message(
            "at-token", place=ledger.metadata.place, batch=batch.sequence, authority=authority
        )
        yield Problem(place, _contradiction(batch, time))


def _contradiction(batch: SealedBatch, time: datetime) -> Message:
    return message("witness-before-opening", time=time, begun=begun_at(batch))


def _was_sent(ledger: Ledger, chain: str, hash_: bytes) -> bool:
    with ledger.metadata.read() as transaction:
        return bool(transaction.transactions(chain, [hash_]))
