"""What became of a receipt: whether it is the ledger's, and whether its promise was kept.

The steps, in their order:

1. `receipt.signature`: a receipt key signed it for which the log's key vouches, one that is
   expected or that the log's key notes lead to from there. UNKNOWN where no key of this log is
   expected.
2. `receipt.digests`: it is for these digests, in this order.
3. `receipt.promise`: what a proof says of each entry. A proof counts only if its statement is in
   the log of the receipt's ledger, under a checkpoint that an expected key signed, and its path
   leads to the root that is stated.

   - kept (PASSED): the proof is of the entry, at the place that the receipt names, and the batch
     was closed by `due`. Where the receipt names no place, the batch was closed between `taken` and
     `due`.
   - broken (FAILED), only where the receipt names the place: the statement of that batch says that
     it was closed later than `due`, or that it has no such position; or, after `due`, a proof of
     another digest stands at that place. A place in a tree holds one leaf, so that proof is the
     evidence: anyone can judge it again, with the receipt.
   - UNKNOWN: it is not due yet, or no proof that counts says anything of it.

A digest can be sealed again later, so a proof at another place says nothing of this promise.

Pure: files, keys and the time come in as arguments.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Assurance, Outcome, Report, failed, passed, unknown
from witnesstree.ledger.log.keys import check_history, join_histories, keys_of, parse_key_change
from witnesstree.ledger.log.note import parse_note
from witnesstree.ledger.log.receipt import check_receipt, is_for
from witnesstree.ledger.log.statement import parse_statement
from witnesstree.ledger.tree.tree import NODE
from witnesstree.ledger.verify.history import judge_log_alone
from witnesstree.ledger.verify.inclusion import judge_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from witnesstree.ledger.base.report import Check
    from witnesstree.ledger.log.keys import KeyChange
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.log.receipt import Promise, Receipt
    from witnesstree.ledger.log.statement import Statement
    from witnesstree.ledger.proof.proof import Inclusion, Proof
    from witnesstree.ledger.trust import Trust


def judge_receipt(
    receipt: Receipt, digests: bytes, trust: Trust, now: datetime, proofs: Sequence[Proof] = ()
) -> Report:
    """Return whether a receipt is signed, for these packed 32-byte digests, and kept, as far as
    `proofs` say it at the time `now`.

    VERIFIED: kept. FAILED: broken, or it is no receipt of this ledger for these digests.
    UNDECIDED: not due yet, or not known. Any proof may be given; what does not count is passed
    over, because nobody but the ledger can convict it.
    """
    sound = [(proof, stated) for proof in proofs if (stated := _stated(receipt, proof, trust))]
    checks = [
        _judge_signature(receipt, trust, [proof for proof, _ in sound]),
        _judge_digests(receipt, digests),
    ]
    if all(check.outcome is not Outcome.FAILED for check in checks):
        checks.append(_judge_promise(receipt, digests, now, sound))
    report = Report(tuple(checks), Assurance.PRIVATE)
    return report if report.is_verified else Report(tuple(checks))


# Steps


def _judge_signature(receipt: Receipt, trust: Trust, sound: Sequence[Proof]) -> Check:
    name, origin = "receipt.signature", receipt.promise.origin
    keys = _log_keys(origin, trust, sound)
    if not keys:
        return unknown(name, "receipt-log-key-absent", origin=origin)
    try:
        is_signed = check_receipt(receipt, keys) is not None
    except InvalidInput as error:
        return failed(name, "receipt-note-unreadable", error=error)
    if not is_signed:
        return failed(name, "receipt-not-signed", origin=origin)
    return passed(name, "receipt-signed", origin=origin, taken=receipt.promise.taken)


def _judge_digests(receipt: Receipt, digests: bytes) -> Check:
    name, count = "receipt.digests", len(digests) // NODE
    with suppress(InvalidInput):
        if is_for(receipt, digests):
            return passed(name, "receipt-for-digests", count=count)
    return failed(name, "receipt-for-other-digests", count=count)


def _judge_promise(
    receipt: Receipt, digests: bytes, now: datetime, sound: Sequence[tuple[Proof, Statement]]
) -> Check:
    name, promise = "receipt.promise", receipt.promise
    batches = {stated.sequence: stated for _, stated in sound}
    at_place = {(stated.sequence, _at(proof).position): proof.digest for proof, stated in sound}
    in_time = {
        proof.digest for proof, stated in sound if promise.taken <= stated.closed <= promise.due
    }
    kept = 0
    for digest, place in zip(_each(digests), _places(receipt), strict=True):
        if place is None:
            kept += digest in in_time
            continue
        batch, position = place
        stated, found = batches.get(batch), at_place.get(place)
        if stated and stated.closed > promise.due:
            code = "promise-broken-late"
            return failed(name, code, batch=batch, closed=stated.closed, due=promise.due)
        is_short = stated is not None and position >= stated.count
        if now > promise.due and (is_short or found not in {None, digest}):
            code = "promise-broken-missing"
            return failed(name, code, batch=batch, position=position, digest=digest)
        kept += found == digest
    count = len(digests) // NODE
    if kept == count:
        return passed(name, "promise-kept", due=promise.due, count=count)
    if now <= promise.due:
        return unknown(name, "promise-not-due", due=promise.due)
    return unknown(name, "promise-not-known", due=promise.due, count=count - kept)


# Parts


def _stated(receipt: Receipt, proof: Proof, trust: Trust) -> Statement | None:
    """Return the statement that a proof rests on, None if it does not count."""
    if proof.inclusion is None or proof.log is None:
        return None
    if not judge_log_alone(proof.log, trust).is_verified:
        return None
    stated = parse_statement(proof.log.statement)
    if (stated.origin, stated.count, stated.root) != (
        receipt.promise.origin,
        proof.inclusion.size,
        proof.inclusion.root,
    ):
        return None
    at = proof.inclusion
    path = judge_path("receipt.promise", proof.digest, proof, at.position, at.path)
    return stated if path.outcome is Outcome.PASSED else None


def _at(proof: Proof) -> Inclusion:
    assert proof.inclusion
    return proof.inclusion


def _log_keys(origin: str, trust: Trust, sound: Sequence[Proof]) -> list[VerifierKey]:
    """Return the keys of the log that are expected, and all that its key notes join to them."""
    expected = [key for key in trust.checkpoint_keys if key.name == origin]
    changes: tuple[KeyChange, ...] = ()
    own = [note for note in trust.key_notes if _origin(note) == origin]
    for notes in (own, *(proof.log.keys for proof in sound if proof.log)):
        # A history that contradicts another adds no key.
        with suppress(InvalidInput):
            changes = join_histories(changes, check_history(notes))
    known = keys_of(changes)
    if any(key in known for key in expected):
        expected += [key for key in known if key not in expected]
    return expected


def _origin(note: str) -> str | None:
    with suppress(InvalidInput):
        return parse_key_change(parse_note(note).text).origin
    return None


def _each(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + NODE] for at in range(0, len(digests), NODE))


def _places(receipt: Receipt) -> Iterator[tuple[int, int] | None]:
    """Return batch and position of each entry that a receipt is for, None where it names none."""
    promise, entry = receipt.promise, receipt.entry
    if entry:
        yield _place(promise, entry.position)
    elif promise.places:
        for place in promise.places:
            for number in range(place.count):
                yield place.batch, place.first + number
    else:
        for _ in range(promise.count):
            yield None


def place_of(receipt: Receipt) -> tuple[int, int] | None:
    """Return batch and position of the one entry of a receipt, or of its first; None where it names
    none.
    """
    return next(_places(receipt))


def _place(promise: Promise, position: int) -> tuple[int, int] | None:
    for place in promise.places:
        if position < place.count:
            return place.batch, place.first + position
        position -= place.count
    return None
