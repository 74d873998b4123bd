"""A receipt's promise: kept by a proof at its place, broken only by what the ledger signed, and
otherwise not known."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Outcome, Report
from witnesstree.ledger.log.keys import KeyChange, sign_key_change
from witnesstree.ledger.log.log import leaf_hash
from witnesstree.ledger.log.note import Checkpoint, VerifierKey, sign_checkpoint, sign_note
from witnesstree.ledger.log.receipt import (
    Place,
    Promise,
    Receipt,
    format_promise,
    format_receipt,
    format_text,
    give_receipt,
    parse_receipt,
    tree_of,
    vouch_for_key,
)
from witnesstree.ledger.log.statement import Statement, format_statement
from witnesstree.ledger.proof.proof import Inclusion, LogProof, Proof
from witnesstree.ledger.tree.tree import root_of
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.receipt import judge_receipt, place_of

NAME = "ledger.example/receipts"
LOG, RECEIPT, NEXT, OTHER = (
    Ed25519PrivateKey.from_private_bytes(sha256(f"receipts {i}".encode()).digest())
    for i in range(4)
)
TAKEN = datetime(2026, 12, 1, 3, tzinfo=UTC)
DUE = TAKEN + timedelta(hours=1)
BEFORE, AFTER = DUE - timedelta(seconds=1), DUE + timedelta(seconds=1)
BATCH, FIRST = 7, 2
LEAVES = [sha256(f"leaf {i}".encode()).digest() for i in range(6)]
OURS = LEAVES[2:5]
KEPT, FAILED = "promise-kept", Outcome.FAILED


def public(key: Ed25519PrivateKey, name: str = NAME) -> VerifierKey:
    return VerifierKey(name, key.public_key().public_bytes_raw())


TRUST = Trust(checkpoint_keys=(public(LOG),))


def promised(places: Sequence[Place] = (Place(BATCH, FIRST, 3),), *, by: int = 0) -> Receipt:
    promise = Promise(NAME, 1, TAKEN, DUE, 3, root_of(b"".join(OURS)), tuple(places))
    vouched = vouch_for_key(public(RECEIPT), TAKEN, OTHER if by else LOG)
    return give_receipt(promise, RECEIPT, vouched)


def proof(
    position: int,
    leaves: Sequence[bytes] = LEAVES,
    *,
    closed: datetime = DUE,
    batch: int = BATCH,
    key: Ed25519PrivateKey = LOG,
    origin: str = NAME,
    notes: tuple[str, ...] = (),
) -> Proof:
    root, entries = tree_of(b"".join(leaves))
    path = list(entries)[position].path
    stated = format_statement(Statement(origin, batch, len(leaves), root, TAKEN, closed))
    checkpoint = sign_checkpoint(Checkpoint(origin, 1, leaf_hash(stated.encode())), key)
    return Proof(
        leaves[position],
        Inclusion(position, len(leaves), root, path),
        log=LogProof(stated, 0, (), checkpoint, notes),
    )


PROOFS = [proof(position) for position in (2, 3, 4)]


def judged(
    proofs: Sequence[Proof] = (),
    *,
    receipt: Receipt | None = None,
    digests: Sequence[bytes] = OURS,
    trust: Trust = TRUST,
    now: datetime = AFTER,
) -> Report:
    return judge_receipt(receipt or promised(), b"".join(digests), trust, now, proofs)


def codes(report: Report) -> list[str]:
    return [check.message.code for check in report.checks]


def one(position: int) -> Receipt:
    _, entries = tree_of(b"".join(OURS))
    return replace(promised(), entry=list(entries)[position])


# Whose it is, and for what


def test_who_signed_is_not_known_without_a_key_of_this_log() -> None:
    elsewhere = Trust(checkpoint_keys=(public(LOG, "other.example/log"),))
    for trust in (Trust(), elsewhere):
        report = judged(PROOFS, trust=trust)
        assert codes(report)[0] == "receipt-log-key-absent"
        assert report.verdict.value == "undecided"


@pytest.mark.parametrize(
    "receipt",
    [
        promised(by=1),
        replace(promised(), promise=replace(promised().promise, origin="other.example/log")),
        replace(promised(), note=sign_note(format_promise(promised().promise), NAME, OTHER)),
    ],
)
def test_a_receipt_that_another_signed_is_none(receipt: Receipt) -> None:
    both = Trust(checkpoint_keys=(public(LOG), public(LOG, "other.example/log")))
    report = judged(PROOFS, receipt=receipt, trust=both)
    assert codes(report)[0] == "receipt-not-signed"
    assert report.checks[0].outcome is FAILED
    assert len(report.checks) == 2


@pytest.mark.parametrize("part", ["key", "note"])
def test_a_note_that_is_none_is_told(part: str) -> None:
    report = judged(PROOFS, receipt=replace(promised(), **{part: "no note"}))
    assert codes(report)[0] == "receipt-note-unreadable"
    assert report.checks[0].outcome is FAILED


@pytest.mark.parametrize("digests", [OURS[:2], OURS[::-1], [*OURS, OURS[0]], [], [b"short"]])
def test_a_receipt_for_other_digests_promises_nothing(digests: list[bytes]) -> None:
    report = judged(PROOFS, digests=digests)
    assert codes(report)[1:] == ["receipt-for-other-digests"]


# The promise


@pytest.mark.parametrize("now", [BEFORE, AFTER])
def test_it_is_kept_by_proofs_at_its_place(now: datetime) -> None:
    report = judged(PROOFS, now=now)
    assert report.is_verified
    assert codes(report) == ["receipt-signed", "receipt-for-digests", KEPT]


@pytest.mark.parametrize("position", range(3))
def test_a_single_entry_has_its_own_place(position: int) -> None:
    receipt, digest = one(position), OURS[position]
    assert judged([PROOFS[position]], receipt=receipt, digests=[digest]).is_verified
    other = judged([PROOFS[position - 1]], receipt=receipt, digests=[digest])
    assert codes(other)[-1] == "promise-not-known"


def test_where_its_first_entry_stands() -> None:
    assert place_of(promised()) == (BATCH, FIRST)
    assert place_of(one(2)) == (BATCH, FIRST + 2)
    assert place_of(promised(())) is None


def test_a_submission_over_two_batches_is_kept_in_both() -> None:
    receipt = promised([Place(BATCH, 5, 1), Place(BATCH + 1, 2, 2)])
    first = proof(5, [*LEAVES[:2], *LEAVES[:3], OURS[0]])
    rest = [*LEAVES[:2], *OURS[1:]]
    proofs = [first, *(proof(position, rest, batch=BATCH + 1) for position in (2, 3))]
    assert judged(proofs, receipt=receipt).is_verified
    _, entries = tree_of(b"".join(OURS))
    last = replace(receipt, entry=list(entries)[2])
    assert judged([proofs[2]], receipt=last, digests=[OURS[2]]).is_verified


def test_it_is_due_at_its_time_and_not_before() -> None:
    assert codes(judged(now=DUE))[-1] == "promise-not-due"
    report = judged(PROOFS[:1])
    assert codes(report)[-1] == "promise-not-known"
    assert report.verdict.value == "undecided"


@pytest.mark.parametrize("now", [BEFORE, AFTER])
def test_a_batch_that_was_closed_late_breaks_it_by_the_ledgers_own_word(now: datetime) -> None:
    # A proof of any leaf of that batch shows it.
    for position in (0, 2):
        report = judged([proof(position, closed=AFTER)], now=now)
        assert codes(report)[-1] == "promise-broken-late"
        assert report.checks[-1].outcome is FAILED


def test_another_digest_at_its_place_breaks_it_once_it_is_due() -> None:
    leaves = [*LEAVES[:3], sha256(b"another").digest(), *LEAVES[4:]]
    lost = [proof(position, leaves) for position in (2, 3, 4)]
    assert codes(judged(lost))[-1] == "promise-broken-missing"
    assert codes(judged(lost, now=DUE))[-1] == "promise-not-due"
    # Of the others nothing is wrong.
    assert judged([lost[0]], receipt=one(0), digests=[OURS[0]]).is_verified


def test_a_batch_that_has_no_such_position_breaks_it() -> None:
    report = judged([proof(0, LEAVES[:4])])
    assert codes(report)[-1] == "promise-broken-missing"
    assert codes(judged([proof(0, LEAVES[:4])], now=DUE))[-1] == "promise-not-due"


@pytest.mark.parametrize(
    "unsound",
    [
        proof(3, [*LEAVES[:3], LEAVES[0]], key=OTHER),
        proof(3, [*LEAVES[:3], LEAVES[0]], batch=BATCH + 1),
        proof(3, [*LEAVES[:3], LEAVES[0]], origin="other.example/log"),
        replace(PROOFS[1], digest=LEAVES[0]),
        replace(PROOFS[1], inclusion=None),
        replace(PROOFS[1], log=None),
        replace(PROOFS[1], inclusion=replace(PROOFS[1].inclusion, size=7)),  # type: ignore[type-var]
        replace(PROOFS[1], inclusion=replace(PROOFS[1].inclusion, position=2**50)),  # type: ignore[type-var]
        proof(3, closed=AFTER, key=OTHER),
    ],
)
def test_what_the_ledger_did_not_sign_convicts_nobody(unsound: Proof) -> None:
    both = Trust(checkpoint_keys=(public(LOG), public(LOG, "other.example/log")))
    assert codes(judged([unsound], trust=both))[-1] == "promise-not-known"
    assert judged([unsound, *PROOFS], trust=both).is_verified


def test_without_a_place_it_is_kept_by_any_batch_of_its_time_and_never_broken() -> None:
    receipt = promised([])
    assert judged(PROOFS, receipt=receipt).is_verified
    for closed in (TAKEN - timedelta(seconds=1), AFTER):
        some = [proof(position, closed=closed) for position in (2, 3, 4)]
        assert codes(judged(some, receipt=receipt))[-1] == "promise-not-known"
    single = replace(one(1), promise=receipt.promise, note=receipt.note)
    assert judged([PROOFS[1]], receipt=single, digests=[OURS[1]]).is_verified


# Keys that changed


def handed_over() -> str:
    checkpoint = Checkpoint(NAME, 1, sha256(b"older").digest())
    change = KeyChange(1, public(LOG), public(NEXT), 0, sha256(b"").digest())
    assert checkpoint.size > change.size
    return sign_key_change(change, LOG, NEXT)


def test_old_receipts_stay_good_when_the_logs_key_changes() -> None:
    note, newest = handed_over(), Trust(checkpoint_keys=(public(NEXT),))
    plain = [proof(position, key=NEXT) for position in (2, 3, 4)]
    carrying = [proof(position, key=NEXT, notes=(note,)) for position in (2, 3, 4)]
    assert codes(judged(plain, trust=newest))[0] == "receipt-not-signed"
    assert judged(carrying, trust=newest).is_verified
    assert judged(plain, trust=replace(newest, key_notes=(note,))).is_verified
    # And whoever knows the first key alone follows to the next.
    assert judged(carrying).is_verified


def test_key_notes_that_lead_nowhere_add_no_key() -> None:
    stranger = replace(TRUST, key_notes=("no note",))
    assert codes(judged(trust=stranger))[0] == "receipt-signed"
    apart = sign_key_change(
        KeyChange(1, public(OTHER), public(NEXT), 0, sha256(b"").digest()), OTHER, NEXT
    )
    report = judged(receipt=promised(by=1), trust=replace(TRUST, key_notes=(apart,)))
    assert codes(report)[0] == "receipt-not-signed"


# Forms


@given(st.integers(0, 2**53 - 1), st.integers(0, 3), st.booleans())
def test_both_forms_say_the_same(submission: int, position: int, has_place: bool) -> None:
    places = (Place(BATCH, FIRST, 3),) if has_place else ()
    promise = replace(promised().promise, submission=submission, places=places)
    receipt = give_receipt(promise, RECEIPT, promised().key)
    if position < 3:
        receipt = replace(receipt, entry=one(position).entry)
    assert parse_receipt(format_receipt(receipt)) == receipt
    assert parse_receipt(format_text(receipt)) == receipt


@given(
    st.binary(max_size=200), st.integers(0, 2000), st.sampled_from([format_receipt, format_text])
)
def test_any_bytes_are_a_receipt_or_refused(noise: bytes, at: int, form: object) -> None:
    assert callable(form)
    content = form(one(1))
    changed = content[:at] + noise + content[at + len(noise) :]
    for each in (noise, changed):
        try:
            receipt = parse_receipt(each)
        except InvalidInput:
            continue
        judge_receipt(receipt, OURS[1], TRUST, AFTER, PROOFS)
