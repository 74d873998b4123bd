"""ledger/verify/verify.py: what makes a report VERIFIED, FAILED or UNDECIDED, besides changes of
the proof (property/test_proof_mutations.py)."""

import re
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
import rlp
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth.constants import BLANK_ROOT_HASH
from make_proof import honest, stranger
from make_revocation import make_crl, middle, signer, top
from make_token import CA, STAMPS, Forge, issue, key, root, sign_ec, stamped, trust
from trie.hexary import HexaryTrie

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.report import Assurance, Check, Outcome, Report, Verdict
from witnesstree.ledger.base.witness import Anchor, Stamp, StateProof
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    slot_of,
)
from witnesstree.ledger.log.keys import KeyChange, sign_key_change
from witnesstree.ledger.log.log import leaf_hash
from witnesstree.ledger.log.note import Checkpoint, VerifierKey, sign_checkpoint
from witnesstree.ledger.log.statement import format_statement, parse_statement
from witnesstree.ledger.proof.proof import LogProof, Proof, format_proof
from witnesstree.ledger.trust import Trust, TrustedBlock
from witnesstree.ledger.verify.verify import Require, verify
from witnesstree.ledger.verify.window import GAP, Begun, Window, judge_window
from witnesstree.ledger.verify.witness import Witness

TOKEN, ANCHOR, BOTH = Require.TOKEN, Require.ANCHOR, Require.BOTH
PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
SEALED = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)
"""When the last batch got its token and its anchor; its opening record's block stands an hour
before."""
STAMPED = SEALED + timedelta(seconds=1)
"""What the token says at the latest: its accuracy is a second."""


def judged(
    proof: Proof | None = None,
    *,
    trust: Trust | None = None,
    now: datetime | None = None,
    require: Require = Require.BOTH,
) -> Report:
    proof, known = proof or honest().proof(), honest()
    return verify(
        honest().proof().digest,
        format_proof(proof),
        known.trust if trust is None else trust,
        now or known.now,
        require,
    )


def outcomes(report: Report, outcome: Outcome) -> list[str]:
    """Return the names of the checks with `outcome`, but for what is nowhere known of these tokens:
    whether a certificate was revoked."""
    unasked = {
        check.name
        for check in report.checks
        if check.name.endswith(".revocation") and check.outcome is UNKNOWN and not check.required
    }
    return [
        check.name
        for check in report.checks
        if check.outcome is outcome and check.name not in unasked
    ]


def changed(**parts: Any) -> Proof:
    return replace(honest().proof(), **parts)


# The report


def check(outcome: Outcome, *, required: bool = True) -> Check:
    return Check("check", outcome, "Because.", required)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([], Verdict.UNDECIDED),
        ([check(PASSED)], Verdict.VERIFIED),
        ([check(PASSED), check(UNKNOWN)], Verdict.UNDECIDED),
        ([check(PASSED), check(UNKNOWN, required=False)], Verdict.VERIFIED),
        ([check(UNKNOWN, required=False)], Verdict.UNDECIDED),
        ([check(PASSED, required=False)], Verdict.UNDECIDED),
        ([check(FAILED, required=False), check(PASSED)], Verdict.FAILED),
        ([check(UNKNOWN), check(FAILED), check(PASSED)], Verdict.FAILED),
    ],
)
def test_the_worst_check_decides(checks: list[Check], verdict: Verdict) -> None:
    report = Report(tuple(checks))
    assert report.verdict is verdict
    assert report.is_verified is (verdict is Verdict.VERIFIED)


# The honest proof


def test_every_step_is_a_named_check() -> None:
    report = judged()
    assert [check.name for check in report.checks] == [
        "proof",
        "digest",
        "inclusion",
        *(
            f"tokens[0].{part}"
            for part in ("form", "imprint", "signer", "signature", "chain", "revocation")
        ),
        *(f"anchors[0].{part}" for part in ("block", "state", "contract", "canonical")),
        "opening",
        "opening.block",
        "log.statement",
        "log.path",
        "log.checkpoint",
        "window",
    ]
    assert outcomes(report, PASSED) == [
        check.name for check in report.checks if check.name != "tokens[0].revocation"
    ]


def test_it_says_what_is_proven_and_what_that_is_worth() -> None:
    report = judged()
    assert (report.verdict, report.assurance) == (Verdict.VERIFIED, Assurance.LOCAL)
    assert report.not_before == SEALED - timedelta(seconds=3660)
    # The token's accuracy is a second: with both required, the later date is what both prove.
    assert (report.not_after_token, report.not_after_anchor) == (STAMPED, SEALED)
    assert report.not_after == STAMPED


def test_the_digest_of_another_file_fails() -> None:
    report = verify(bytes(32), honest().content(), honest().trust, honest().now)
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, FAILED) == ["digest"]
    assert report.assurance is None


# Trust


def test_who_trusts_nobody_decides_nothing() -> None:
    report = judged(trust=Trust())
    assert report.verdict is Verdict.UNDECIDED
    assert outcomes(report, UNKNOWN) == [
        "tokens[0].chain",
        "anchors[0].canonical",
        "opening.block",
        "log.checkpoint",
    ]
    assert outcomes(report, FAILED) == []
    assert report.assurance is None
    assert report.not_after is None


def test_another_ledgers_trust_fails_what_contradicts_it() -> None:
    report = judged(trust=stranger().trust)
    # Its chain has blocks of these numbers too, and its key has another name.
    assert report.verdict is Verdict.FAILED
    assert "log.checkpoint" in outcomes(report, FAILED)
    assert "tokens[0].chain" in outcomes(report, UNKNOWN)


def test_a_pinned_block_hash_is_trusted_for_any_chain() -> None:
    anchor = honest().proof().anchors[0]
    pinned = Trust(honest().trust.roots, (TrustedBlock(anchor.block_hash, "it was given"),))
    report = judged(trust=pinned)
    assert report.is_verified
    assert outcomes(report, UNKNOWN) == ["opening.block", "log.checkpoint"]
    assert report.not_before is None
    # A header does not name its chain, so under a bare pin the chain's id is the proof's word, and
    # must not make the verdict worth more.
    elsewhere = judged(
        changed(anchors=(replace(anchor, chain_id=1),)), trust=pinned, require=ANCHOR
    )
    assert (elsewhere.verdict, elsewhere.assurance) == (Verdict.VERIFIED, Assurance.PRIVATE)
    other = Trust(honest().trust.roots, (TrustedBlock(bytes(32), "it was given"),))
    assert judged(trust=other).verdict is Verdict.UNDECIDED


def test_a_block_that_is_pinned_with_its_chain_is_worth_what_the_chain_is() -> None:
    anchor = honest().proof().anchors[0]
    proof = changed(anchors=(replace(anchor, chain_id=1),))
    named = Trust(honest().trust.roots, (TrustedBlock(anchor.block_hash, "it was given", 1),))
    report = judged(proof, trust=named, require=ANCHOR)
    assert (report.verdict, report.assurance) == (Verdict.VERIFIED, Assurance.PUBLIC)
    assert judged(trust=named, require=ANCHOR).verdict is Verdict.UNDECIDED


def test_a_chain_that_has_another_block_there_fails() -> None:
    anchor = honest().proof().anchors[0]
    block = TrustedBlock(bytes(32), "the node says so", anchor.chain_id, anchor.block_number)
    report = judged(trust=replace(honest().trust, blocks=(block,)))
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, FAILED) == ["anchors[0].canonical"]
    for elsewhere in (replace(block, chain_id=1), replace(block, number=anchor.block_number + 9)):
        assert (
            judged(trust=replace(honest().trust, blocks=(elsewhere,))).verdict is Verdict.UNDECIDED
        )


def test_a_chain_that_has_another_block_where_the_batch_began_fails() -> None:
    block = TrustedBlock(
        bytes(32), "the node says so", LOCAL_CHAIN_ID, honest().proof().anchors[0].block_number - 1
    )
    report = judged(trust=replace(honest().trust, blocks=(block, honest().trust.blocks[-1])))
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, FAILED) == ["opening.block"]


def test_an_expected_key_must_have_signed() -> None:
    keys = stranger().trust.checkpoint_keys
    assert outcomes(judged(trust=replace(honest().trust, checkpoint_keys=keys)), FAILED) == [
        "log.checkpoint"
    ]
    both = replace(honest().trust, checkpoint_keys=keys + honest().trust.checkpoint_keys)
    assert judged(trust=both).is_verified


def test_without_an_expected_key_anybody_can_make_the_log() -> None:
    """Then what only the log says, the batch's size among it, is not proven: documented in
    docs/proof-format.md."""
    proof = honest().proof()
    assert proof.log
    assert proof.inclusion
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    statement = format_statement(replace(parse_statement(proof.log.statement), count=8))
    checkpoint = sign_checkpoint(
        Checkpoint("ledger.example/court", 1, leaf_hash(statement.encode())), key
    )
    forged = changed(
        inclusion=replace(proof.inclusion, size=8), log=LogProof(statement, 0, (), checkpoint)
    )
    assert judged(forged, trust=replace(honest().trust, checkpoint_keys=())).is_verified
    assert outcomes(judged(forged), FAILED) == ["log.checkpoint"]


def garbled(note: str) -> str:
    """The note with another byte in its last signature."""
    text, line = note.rstrip("\n").rsplit(" ", 1)
    signature = bytearray(b64decode(line))
    signature[-1] ^= 1
    return f"{text} {b64encode(signature).decode()}\n"


def test_key_notes_must_hold_even_where_no_key_is_expected() -> None:
    """They mean nothing then, but what is said of them is: a proof holds nothing that is false."""
    log = honest().proof().log
    assert log
    old, new = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
    keys = [
        VerifierKey("ledger.example/court", each.public_key().public_bytes_raw())
        for each in (old, new)
    ]
    change = KeyChange(1, *keys, 0, sha256(b"").digest())
    note = sign_key_change(change, old, new)
    again = sign_key_change(replace(change, new=keys[0], old=keys[1]), new, old)
    nobody = replace(honest().trust, checkpoint_keys=())
    for known in (nobody, honest().trust):
        assert judged(changed(log=replace(log, keys=(note,))), trust=known).is_verified
        for notes in (("rubbish",), (garbled(note),), (note, note), (note, again)):
            report = judged(changed(log=replace(log, keys=notes)), trust=known)
            assert outcomes(report, FAILED) == ["log.checkpoint"]


@pytest.mark.parametrize(
    "change", [{"origin": "ledger.example/x"}, {"sequence": 4}, {"opened": SEALED}], ids=str
)
def test_the_statement_and_the_opening_record_name_the_same_batch(change: dict[str, Any]) -> None:
    proof = honest().proof()
    assert proof.log
    statement = format_statement(replace(parse_statement(proof.log.statement), **change))
    checkpoint = Checkpoint(parse_statement(statement).origin, 1, leaf_hash(statement.encode()))
    forged = LogProof(
        statement,
        0,
        (),
        sign_checkpoint(checkpoint, Ed25519PrivateKey.from_private_bytes(bytes(32))),
    )
    report = judged(changed(log=forged), trust=replace(honest().trust, checkpoint_keys=()))
    assert outcomes(report, FAILED) == ["log.statement"]


def test_a_log_of_another_name_fails() -> None:
    proof = honest().proof()
    assert proof.log
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    checkpoint = sign_checkpoint(
        Checkpoint("ledger.example/other", 1, leaf_hash(proof.log.statement.encode())), key
    )
    forged = changed(log=LogProof(proof.log.statement, 0, (), checkpoint))
    assert outcomes(judged(forged, trust=replace(honest().trust, checkpoint_keys=())), FAILED) == [
        "log.path"
    ]


# Policies


@pytest.mark.parametrize(
    ("absent", "require", "verdict"),
    [
        ("tokens", TOKEN, Verdict.UNDECIDED),
        ("tokens", ANCHOR, Verdict.VERIFIED),
        ("tokens", BOTH, Verdict.UNDECIDED),
        ("anchors", TOKEN, Verdict.VERIFIED),
        ("anchors", ANCHOR, Verdict.UNDECIDED),
        ("anchors", BOTH, Verdict.UNDECIDED),
    ],
)
def test_what_is_required_and_absent_is_unknown(
    absent: str, require: Require, verdict: Verdict
) -> None:
    report = judged(changed(**{absent: ()}), require=require)
    assert report.verdict is verdict
    assert outcomes(report, UNKNOWN) == [absent]


@pytest.mark.parametrize(
    ("untrusted", "unknown", "require", "verdict"),
    [
        ("roots", "tokens[0].chain", TOKEN, Verdict.UNDECIDED),
        ("roots", "tokens[0].chain", ANCHOR, Verdict.VERIFIED),
        ("roots", "tokens[0].chain", BOTH, Verdict.UNDECIDED),
        ("blocks", "anchors[0].canonical", TOKEN, Verdict.VERIFIED),
        ("blocks", "anchors[0].canonical", ANCHOR, Verdict.UNDECIDED),
        ("blocks", "anchors[0].canonical", BOTH, Verdict.UNDECIDED),
    ],
)
def test_what_is_required_and_unknown_is_undecided(
    untrusted: str, unknown: str, require: Require, verdict: Verdict
) -> None:
    report = judged(trust=replace(honest().trust, **{untrusted: ()}), require=require)
    assert report.verdict is verdict
    assert unknown in outcomes(report, UNKNOWN)


@pytest.mark.parametrize("require", list(Require))
@pytest.mark.parametrize("name", ["tokens", "anchors"])
def test_what_fails_counts_under_every_policy(name: str, require: Require) -> None:
    other = honest().proof(2, 1)
    broken = changed(**{name: getattr(other, name)})
    assert judged(broken, require=require).verdict is Verdict.FAILED


@pytest.mark.parametrize("part", ["opening", "log"])
def test_no_policy_does_without_the_record_and_the_statement(part: str) -> None:
    for require in Require:
        report = judged(changed(**{part: None}), require=require)
        assert report.verdict is Verdict.UNDECIDED
        assert outcomes(report, UNKNOWN) == [part]


def test_a_proof_that_was_fetched_early_is_undecided() -> None:
    report = judged(Proof(honest().proof().digest))
    assert report.verdict is Verdict.UNDECIDED
    assert [(check.name, check.outcome) for check in report.checks] == [
        ("proof", PASSED),
        ("digest", PASSED),
        ("inclusion", UNKNOWN),
    ]


def a_token_of_an_unknown_authority() -> Stamp:
    """A token for the right root by an authority that nobody trusts."""
    import tempfile
    from pathlib import Path

    from witnesstree.anchor.tsa.local import LocalAuthority

    inclusion = honest().proof().inclusion
    assert inclusion
    with tempfile.TemporaryDirectory() as folder:
        LocalAuthority.create(Path(folder) / "authority", SEALED - timedelta(days=1))
        return LocalAuthority.open(Path(folder) / "authority", lambda: SEALED).stamp(inclusion.root)


def test_beside_a_passed_witness_an_unknown_one_does_not_count() -> None:
    unknown, passed = a_token_of_an_unknown_authority(), honest().proof().tokens[0]
    for tokens in ((unknown, passed), (passed, unknown)):
        report = judged(changed(tokens=tokens))
        assert report.is_verified
        assert outcomes(report, UNKNOWN) == [f"tokens[{tokens.index(unknown)}].chain"]
    assert judged(changed(tokens=(unknown,))).verdict is Verdict.UNDECIDED


def test_beside_a_passed_witness_a_failed_one_counts() -> None:
    passed, of_another_root = honest().proof().tokens[0], honest().proof(2, 1).tokens[0]
    report = judged(changed(tokens=(passed, of_another_root)))
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, FAILED) == ["tokens[1].imprint"]


def test_passed_checks_of_two_witnesses_do_not_add_up_to_one() -> None:
    """One token with an unknown chain, one that cannot be read at all: no witness has passed
    whole."""
    report = judged(changed(tokens=(a_token_of_an_unknown_authority(), Stamp(b"\x30\x00"))))
    assert report.verdict is Verdict.FAILED
    assert [check.required for check in report.checks if check.name.startswith("tokens")] == [
        True,
        True,
        True,
        True,
        True,
        False,
    ] * 2


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (x509.ReasonFlags.superseded, PASSED),
        (x509.ReasonFlags.key_compromise, FAILED),
        (None, UNKNOWN),
    ],
    ids=str,
)
def test_a_revoked_authority_fails_and_one_that_nobody_answers_for_does_not(
    reason: x509.ReasonFlags | None, outcome: Outcome
) -> None:
    """The revocation is of after the token."""
    inclusion = honest().proof().inclusion
    assert inclusion
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": inclusion.root}
    content = tsp.TSTInfo(stamped(message_imprint=imprint, gen_time=SEALED)).dump()
    token = Forge(signer=signer(), certificates=[signer().der], content=content).make()
    late = SEALED + timedelta(hours=1)
    crls = (
        (
            make_crl(top()),
            make_crl(middle(), (signer(), late, [(x509.CRLReason(reason), False)]), this=late),
        )
        if reason
        else ()
    )
    trusted = replace(honest().trust, roots=tuple(trust(top())), certificates=(middle().der,))
    report = judged(changed(tokens=(Stamp(token, (), crls),)), trust=trusted)
    assert [check.outcome for check in report.checks if check.name == "tokens[0].revocation"] == [
        outcome
    ]
    assert report.verdict is (Verdict.FAILED if outcome is FAILED else Verdict.VERIFIED)


def test_the_weakest_kind_of_witness_that_counts_decides_the_assurance() -> None:
    public = replace(
        honest().trust,
        roots=tuple(replace(root, assurance=Assurance.PUBLIC) for root in honest().trust.roots),
    )
    assert judged(trust=public).assurance is Assurance.LOCAL
    assert judged(trust=public, require=TOKEN).assurance is Assurance.PUBLIC
    assert judged(trust=public, require=ANCHOR).assurance is Assurance.LOCAL


# The window


def test_a_token_from_the_future_is_unknown() -> None:
    assert judged(now=STAMPED - SKEW).is_verified
    report = judged(now=STAMPED - SKEW - timedelta(seconds=1))
    assert report.verdict is Verdict.UNDECIDED
    assert outcomes(report, UNKNOWN) == ["window"]


def test_a_token_at_the_end_of_the_calendar_does_not_raise() -> None:
    token = honest().proof().tokens[0].token
    assert token.count(b"20261123120400Z") == 1
    report = judged(changed(tokens=(Stamp(token.replace(b"20261123120400Z", b"99991231235959Z")),)))
    assert outcomes(report, FAILED) == ["tokens[0].signature", "tokens[0].chain"]


# Anchors: states that no chain ever had, in which every hash fits


def state_of(
    address: bytes,
    code_hash: bytes,
    word: bytes,
    block_number: bytes | None = None,
    block_time: bytes | None = None,
    *,
    extra: bytes = b"",
) -> tuple[bytes, StateProof]:
    """A block that somebody made up, and the proof of the root's slot in a contract in it."""
    proof = honest().proof()
    assert proof.inclusion
    state = proof.anchors[0].state
    assert state
    storage, accounts = HexaryTrie({}), HexaryTrie({})
    storage[keccak256(slot_of(proof.inclusion.root))] = rlp.encode(word)
    accounts[keccak256(address)] = rlp.encode([b"\1", b"", storage.root_hash, code_hash])
    accounts[keccak256(bytes(20))] = rlp.encode([b"\1", b"", BLANK_ROOT_HASH, keccak256(b"")])
    fields: list[Any] = rlp.decode(state.header)
    fields[3] = accounts.root_hash
    fields[8], fields[11] = block_number or fields[8], block_time or fields[11]
    fields[12] = extra or fields[12]
    made_up = rlp.encode(fields)
    nodes = [
        [rlp.encode(node) for node in trie.get_proof(keccak256(key))]  # type: ignore[no-untyped-call]
        for trie, key in ((accounts, address), (storage, slot_of(proof.inclusion.root)))
    ]
    return keccak256(made_up), StateProof(made_up, tuple(nodes[0]), tuple(nodes[1]))


def judged_state(
    address: bytes = CONTRACT_ADDRESS,
    code_hash: bytes = CONTRACT_CODE_HASH,
    *,
    time: int = 1,
    number: int = 1,
    chain: int = 1,
    block_number: bytes | None = None,
    block_time: bytes | None = None,
    extra: bytes = b"",
) -> Report:
    """What is said of a made-up state whose block the verifier trusts nevertheless: `time` and
    `number` stand in the slot."""
    word = bytes(20) + number.to_bytes(6) + time.to_bytes(6)
    block_hash, state = state_of(
        address, code_hash, word.lstrip(b"\0"), block_number, block_time, extra=extra
    )
    anchor = Anchor(chain, address, None, parse_header(state.header).number, block_hash, state)
    trust = replace(
        honest().trust,
        blocks=(*honest().trust.blocks, TrustedBlock(block_hash, "it was given", chain)),
    )
    return judged(changed(anchors=(anchor,), tokens=()), trust=trust, require=ANCHOR)


def reason_of(report: Report, name: str) -> str:
    return next(check.reason for check in report.checks if check.name == name)


def test_at_its_one_address_the_contracts_own_time_counts() -> None:
    time = int(SEALED.timestamp()) - 60
    report = judged_state(time=time)
    assert report.is_verified
    assert report.assurance is Assurance.PUBLIC
    assert report.not_after == SEALED - timedelta(seconds=60)


def test_at_another_address_only_the_blocks_time_counts() -> None:
    """Whoever made that contract can have written the slot before our code was put there."""
    report = judged_state(b"\x11" * 20, time=1)
    assert report.is_verified
    assert report.not_after == SEALED
    assert "another address" in reason_of(report, "anchors[0].contract")


def test_other_code_fails() -> None:
    for address in (CONTRACT_ADDRESS, b"\x11" * 20):
        report = judged_state(address, keccak256(b"other code"))
        assert report.verdict is Verdict.FAILED
        assert outcomes(report, FAILED) == ["anchors[0].contract"]


@pytest.mark.parametrize(
    ("chain", "size", "is_read"),
    [
        (1, 1_000, True),
        (1, 1_729, False),
        (10, 1_729, False),
        (56, 1_729, True),
        (56, 7_000, True),
        (56, 8_000, False),
        (137, 8_000, True),
        (31337, 8_000, True),
    ],
)
def test_how_long_a_header_may_be_depends_on_its_chain(
    chain: int, size: int, is_read: bool
) -> None:
    """BNB Smart Chain's epoch blocks have had 2,338 bytes. Nothing is false in one that is longer
    than what is read."""
    report = judged_state(time=int(SEALED.timestamp()), chain=chain, extra=bytes(size))
    if is_read:
        assert report.is_verified
    else:
        assert report.verdict is Verdict.UNDECIDED
        assert "anchors[0].block" in outcomes(report, UNKNOWN)
        assert outcomes(report, FAILED) == []


def test_what_is_no_header_fails() -> None:
    anchor = honest().proof().anchors[0]
    assert anchor.state
    state = replace(anchor.state, header=anchor.state.header[:-1])
    report = judged(changed(anchors=(replace(anchor, state=state),)))
    assert report.verdict is Verdict.FAILED
    assert "cannot be read" in reason_of(report, "anchors[0].block")


def test_an_opening_block_whose_header_is_longer_than_what_is_read_is_left_open() -> None:
    opening = honest().proof().opening
    assert opening
    report = judged(changed(opening=replace(opening, header=bytes(2_049))))
    assert report.verdict is Verdict.UNDECIDED
    assert outcomes(report, UNKNOWN) == ["opening.block"]


def test_a_slot_from_after_its_block_fails() -> None:
    assert outcomes(judged_state(time=int(SEALED.timestamp()) + 1), FAILED) == [
        "anchors[0].contract"
    ]


@pytest.mark.parametrize(
    ("chain", "outcome"), [(1, FAILED), (8453, FAILED), (42161, PASSED), (31337, PASSED)]
)
def test_a_slot_of_a_later_block_fails_where_contracts_see_their_own_number(
    chain: int, outcome: Outcome
) -> None:
    own = parse_header(state_of(CONTRACT_ADDRESS, CONTRACT_CODE_HASH, b"\1")[1].header).number
    for number in (own, own + 1):
        report = judged_state(time=int(SEALED.timestamp()), number=number, chain=chain)
        found = next(check for check in report.checks if check.name == "anchors[0].contract")
        assert found.outcome is (outcome if number > own else PASSED)
        assert report.is_verified is (found.outcome is PASSED)


def test_an_anchor_from_before_the_batch_was_begun_contradicts_it() -> None:
    """The opening record says itself when that was, an hour after the block that it names."""
    begun = SEALED - timedelta(seconds=60)
    assert judged_state(time=int((begun - SKEW).timestamp())).is_verified
    report = judged_state(time=int((begun - SKEW).timestamp()) - 1)
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, FAILED) == ["window"]


@pytest.mark.parametrize("require", [TOKEN, BOTH, ANCHOR], ids=str)
def test_a_backdated_token_contradicts_the_record_although_nobody_knows_its_block(
    require: Require,
) -> None:
    proof = changed(tokens=(a_token(SEALED - timedelta(days=2000)), *honest().proof().tokens))
    for blocks in (honest().trust.blocks, ()):
        report = judged(proof, trust=trusting_stamper(blocks=blocks), require=require)
        assert report.verdict is Verdict.FAILED
        assert outcomes(report, FAILED) == ["window"]


def a_token(time: datetime, **changes: Any) -> Stamp:
    """A token of another authority for the right root, with this time."""
    inclusion = honest().proof().inclusion
    assert inclusion
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": inclusion.root}
    content = tsp.TSTInfo(stamped(message_imprint=imprint, gen_time=time, **changes)).dump()
    signer = issue(
        "An authority that backdates",
        root(),
        key("p256"),
        STAMPS,
        start=datetime(2020, 1, 1, tzinfo=UTC),
        end=datetime(2030, 1, 1, tzinfo=UTC),
    )
    forge = Forge(signer=signer, content=content, certificates=[signer.der])
    forge.algorithm, forge.sign = {"algorithm": "sha256_ecdsa"}, sign_ec("sha256")
    return Stamp(forge.make())


def trusting_stamper(assurance: Assurance = Assurance.LOCAL, **changes: Any) -> Trust:
    above = issue(
        "A root",
        None,
        root().key,
        CA,
        start=datetime(2020, 1, 1, tzinfo=UTC),
        end=datetime(2035, 1, 1, tzinfo=UTC),
    )
    known = replace(honest().trust, **changes)
    return replace(known, roots=(*known.roots, *trust(above, assurance=assurance)))


def undated(proof: Proof) -> Proof:
    """The proof without its opening record: nothing says when the batch was begun."""
    return replace(proof, opening=None)


def test_a_backdated_witness_does_not_set_the_date_where_both_kinds_are_required() -> None:
    backdated = SEALED - timedelta(days=2000)
    proof = undated(changed(tokens=(a_token(backdated, accuracy=None),)))
    trusted = trusting_stamper()
    report = judged(proof, trust=trusted)
    assert (report.not_after, report.not_after_token) == (SEALED, backdated)
    assert report.not_after_anchor == SEALED
    assert judged(proof, trust=trusted, require=TOKEN).not_after == backdated
    only = judged(proof, trust=trusted, require=ANCHOR)
    assert (only.not_after, only.not_after_token) == (SEALED, backdated)
    assert outcomes(report, UNKNOWN) == ["opening", "window.gap"]
    gap = report.checks[-1]
    assert (gap.message.code, gap.required) == ("window-gap", False)
    assert dict(gap.message.params)["hours"] == 48000


def test_a_date_is_not_lent_the_worth_of_another_witness() -> None:
    """Beside an authority that many know, one that only this ledger knows says an earlier time."""
    public = tuple(replace(root, assurance=Assurance.PUBLIC) for root in honest().trust.roots)
    proof = undated(changed(tokens=(a_token(SEALED - timedelta(days=9)), *honest().proof().tokens)))
    report = judged(proof, trust=trusting_stamper(roots=public), require=TOKEN)
    assert (report.not_after_token, report.not_after) == (STAMPED, STAMPED)


def test_with_one_kind_missing_no_date_is_what_both_prove() -> None:
    for lacking in (changed(tokens=()), changed(anchors=())):
        report = judged(lacking)
        assert (report.verdict, report.not_after) == (Verdict.UNDECIDED, None)
        dates = {report.not_after_token, report.not_after_anchor}
        assert dates in ({None, SEALED}, {None, STAMPED})


def of(time: datetime | None) -> list[Witness]:
    return [Witness([check(PASSED)], time, Assurance.PRIVATE)] if time else []


def window(
    begun: Begun, token: datetime | None, anchor: datetime | None, require: Require = BOTH
) -> Window:
    return judge_window(
        begun,
        of(token),
        of(anchor),
        SEALED + timedelta(days=400),
        needs_token=require is not ANCHOR,
        needs_anchor=require is not TOKEN,
    )


@pytest.mark.parametrize(
    ("token", "anchor", "require", "date"),
    [
        (0, 5, BOTH, 5),
        (5, 0, BOTH, 5),
        (0, 5, TOKEN, 0),
        (5, 0, TOKEN, 5),
        (0, 5, ANCHOR, 5),
        (5, 0, ANCHOR, 0),
        (None, 0, BOTH, None),
        (None, 0, TOKEN, None),
        (None, 0, ANCHOR, 0),
    ],
)
def test_the_date_is_what_every_required_kind_proves(
    token: int | None, anchor: int | None, require: Require, date: int | None
) -> None:
    def at(hours: int | None) -> datetime | None:
        return None if hours is None else SEALED + timedelta(hours=hours)

    assert window(Begun(), at(token), at(anchor), require).not_after == at(date)


def test_not_before_is_never_later_than_not_after() -> None:
    for ahead in (SKEW, -SKEW, SKEW + timedelta(seconds=1)):
        begun = Begun(SEALED + ahead, SEALED + ahead)
        found = window(begun, SEALED, SEALED)
        assert found.not_before
        assert found.not_after
        assert found.not_before == min(SEALED, SEALED + ahead)
        assert (found.checks[0].outcome is FAILED) is (ahead > SKEW)


def test_a_gap_is_named_that_the_deadlines_do_not_explain() -> None:
    assert len(window(Begun(), SEALED, SEALED + GAP).checks) == 1
    for token, anchor in ((SEALED, SEALED + GAP + SKEW), (SEALED + GAP + SKEW, SEALED)):
        found = window(Begun(), token, anchor)
        assert [each.name for each in found.checks] == ["window", "window.gap"]


def test_times_that_no_calendar_has_do_not_raise() -> None:
    for address in (CONTRACT_ADDRESS, b"\x11" * 20):
        report = judged_state(address, time=2**48 - 1, block_time=b"\xff" * 8)
        assert report.verdict is Verdict.UNDECIDED
        assert outcomes(report, UNKNOWN) == ["tokens", "window"]


def test_a_header_of_another_block_fails() -> None:
    anchor, other = honest().proof().anchors[0], honest().proof(2, 1).anchors[0]
    assert anchor.state
    assert other.state
    for state in (replace(anchor.state, header=other.state.header), other.state):
        report = judged(changed(anchors=(replace(anchor, state=state),)))
        assert report.verdict is Verdict.FAILED
        assert outcomes(report, FAILED) == ["anchors[0].block"]


def test_a_trusted_hash_does_not_vouch_for_a_header_that_somebody_made_up() -> None:
    """The made-up block has the right number, and in its state the contract holds the root."""
    honest_anchor = honest().proof().anchors[0]
    _, state = state_of(
        CONTRACT_ADDRESS, CONTRACT_CODE_HASH, b"\1" + bytes(5) + b"\1" + bytes(5) + b"\1"
    )
    assert parse_header(state.header).number == honest_anchor.block_number
    report = judged(changed(anchors=(replace(honest_anchor, state=state),)))
    assert report.verdict is Verdict.FAILED
    assert outcomes(report, FAILED) == ["anchors[0].block"]


def test_a_number_that_is_not_the_headers_fails() -> None:
    anchor = honest().proof().anchors[0]
    pinned = Trust(honest().trust.roots, (TrustedBlock(anchor.block_hash, "it was given"),))
    report = judged(
        changed(anchors=(replace(anchor, block_number=anchor.block_number + 1),)), trust=pinned
    )
    assert outcomes(report, FAILED) == ["anchors[0].block"]


def test_a_hash_is_known_only_at_its_number() -> None:
    """Also where no header contradicts the number."""
    anchor = replace(honest().proof().anchors[0], state=None)
    assert outcomes(judged(changed(anchors=(anchor,))), UNKNOWN) == ["anchors[0].state"]
    moved = replace(anchor, block_number=anchor.block_number + 9)
    assert outcomes(judged(changed(anchors=(moved,))), UNKNOWN) == [
        "anchors[0].state",
        "anchors[0].canonical",
    ]


def test_an_older_block_of_the_same_chain_does_not_hold_the_root() -> None:
    report = judged(changed(anchors=honest().proof(2, 1).anchors))
    assert outcomes(report, FAILED) == ["anchors[0].state"]


def test_a_block_that_nobody_vouches_for_is_unknown_and_its_own_hash_is_not_offered() -> None:
    """Who copies the proof's hash has compared nothing."""
    for chain_id in (LOCAL_CHAIN_ID, 1, 31337):
        anchor = replace(honest().proof().anchors[0], chain_id=chain_id)
        report = judged(changed(anchors=(anchor,)), trust=replace(honest().trust, blocks=()))
        assert report.verdict is Verdict.UNDECIDED
        for name in ("anchors[0].canonical", "opening.block"):
            found = next(check for check in report.checks if check.name == name)
            assert len(re.findall("[0-9a-f]{64}", str(found.message.members))) == 0
            assert not re.search("[0-9a-f]{64}", found.reason)
        assert f"{chain_id}:{anchor.block_number}:HASH" in reason_of(report, "anchors[0].canonical")


def test_a_source_that_contradicts_the_block_is_not_outvoted_by_one_that_suits_the_proof() -> None:
    anchor = honest().proof().anchors[0]
    other = TrustedBlock(bytes(32), "the page says so", anchor.chain_id, anchor.block_number)
    for blocks in ((*honest().trust.blocks, other), (other, *honest().trust.blocks)):
        report = judged(trust=replace(honest().trust, blocks=blocks))
        assert outcomes(report, FAILED) == ["anchors[0].canonical"]


def test_an_anchor_on_a_public_chain_is_unknown_with_the_place_to_look() -> None:
    anchor = replace(honest().proof().anchors[0], chain_id=1)
    report = judged(changed(anchors=(anchor,)))
    assert report.verdict is Verdict.UNDECIDED
    assert f"https://etherscan.io/block/{anchor.block_number}" in reason_of(
        report, "anchors[0].canonical"
    )


def test_an_anchor_without_a_state_proof_is_unknown() -> None:
    anchor = replace(honest().proof().anchors[0], state=None)
    report = judged(changed(anchors=(anchor,)))
    assert report.verdict is Verdict.UNDECIDED
    assert outcomes(report, UNKNOWN) == ["anchors[0].state"]


# The opening record


def test_a_header_that_the_record_does_not_name_fails() -> None:
    opening, other = honest().proof().opening, honest().proof(2, 1).opening
    assert opening
    assert other
    report = judged(changed(opening=replace(opening, header=other.header)))
    assert outcomes(report, FAILED) == ["opening.block"]


def test_a_record_without_its_blocks_header_is_undecided() -> None:
    opening = honest().proof().opening
    assert opening
    report = judged(changed(opening=replace(opening, header=None)))
    assert report.verdict is Verdict.UNDECIDED
    assert outcomes(report, UNKNOWN) == ["opening.block"]
    assert report.not_before is None
