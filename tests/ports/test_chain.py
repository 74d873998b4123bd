"""What every Chain promises, asked of the fake, of the embedded one, and of a real one: NodeChain
on anvil."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Clock
from fakes import CHAIN_ID, FakeChain, When, digests
from servers import anvil

from witnesstree.anchor.evm.local import LocalChain
from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.errors import Conflict, InvalidInput, Unreachable
from witnesstree.ledger.base.ports import Chain, SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    prove_slot,
)
from witnesstree.ledger.proof.proof import format_anchor, parse_anchor

ROOT, OTHER, THIRD = digests("root", 3)


@dataclass
class Subject:
    """A chain, and what makes everything final that was sent to it."""

    chain: Chain
    settle: Callable[[], None] = lambda: None

    def signed(self, *roots: bytes) -> SignedTransaction:
        transaction = self.chain.sign(roots or (ROOT,))
        assert transaction
        return transaction

    def anchored(self, *roots: bytes) -> SignedTransaction:
        transaction = self.signed(*roots)
        self.chain.send(transaction)
        self.settle()
        return transaction


REAL = pytest.param("anvil", marks=[pytest.mark.enable_socket, pytest.mark.real("anvil")])


@pytest.fixture(params=["fake", "embedded", REAL])
def subject(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        yield Subject(FakeChain("fake", clock))
    elif request.param == "embedded":
        with closing(LocalChain.create(tmp_path / "chain", clock)) as local:
            yield Subject(local)
    else:
        with anvil.anvil(tmp_path) as node:
            node.deploy()
            node.mine(65)
            settings = ChainSettings(chain_id=anvil.CHAIN_ID, urls=(node.url,))
            with closing(
                NodeChain("real", settings, anvil.KeySigner(), lambda: datetime.now(UTC))
            ) as real:
                yield Subject(real, lambda: node.mine(65))


def record(anchor: Anchor | None, root: bytes) -> tuple[int, int, bytes]:
    """Return the time, the block and the caller that the anchor's state proof shows."""
    assert anchor is not None
    assert anchor.state is not None
    slot = prove_slot(
        parse_header(anchor.state.header),
        anchor.contract,
        root,
        anchor.state.account,
        anchor.state.storage,
    )
    assert slot.code_hash == CONTRACT_CODE_HASH
    return slot.anchoring.time, slot.anchoring.block_number, slot.anchoring.submitter


def test_a_recent_block_is_named_by_its_header(subject: Subject) -> None:
    block = subject.chain.recent_block()
    assert keccak256(block.header) == block.hash
    assert parse_header(block.header).number == block.number
    assert block.chain_id in {CHAIN_ID, LOCAL_CHAIN_ID, anvil.CHAIN_ID}


def test_signing_sends_nothing(subject: Subject) -> None:
    before = subject.chain.recent_block()
    transaction = subject.signed()
    assert subject.chain.recent_block() == before
    assert subject.chain.standing(ROOT, None) is Standing.ABSENT
    assert subject.chain.standing(ROOT, transaction) is Standing.ABSENT
    assert subject.chain.collect(ROOT, [transaction]) is None


def test_a_signed_transaction_is_named_by_its_hash(subject: Subject) -> None:
    transaction = subject.signed()
    assert transaction.hash == keccak256(transaction.raw)
    assert len(transaction.sender) == 20
    assert transaction.nonce >= 0


def test_what_is_sent_becomes_final_and_is_proven(subject: Subject) -> None:
    transaction = subject.anchored()
    assert subject.chain.standing(ROOT, transaction) is Standing.FINAL
    assert subject.chain.standing(ROOT, None) is Standing.FINAL
    assert subject.chain.standing(OTHER, None) is Standing.ABSENT
    anchor = subject.chain.collect(ROOT, [transaction])
    assert anchor is not None
    assert anchor.transaction == transaction.hash
    assert anchor.contract == CONTRACT_ADDRESS
    assert anchor.state is not None
    assert keccak256(anchor.state.header) == anchor.block_hash
    assert parse_header(anchor.state.header).number == anchor.block_number
    _, number, submitter = record(anchor, ROOT)
    assert number <= anchor.block_number
    assert submitter == transaction.sender
    assert parse_anchor(format_anchor(anchor)) == anchor


def test_one_transaction_carries_many_roots(subject: Subject) -> None:
    roots = digests("many at once", 20)
    transaction = subject.anchored(*roots)
    for root in roots:
        assert subject.chain.standing(root, transaction) is Standing.FINAL
        anchor = subject.chain.collect(root, [transaction])
        assert anchor is not None
        assert anchor.transaction == transaction.hash
        record(anchor, root)


def test_sending_twice_is_sending_once(subject: Subject) -> None:
    transaction = subject.anchored()
    after = subject.chain.recent_block()
    subject.chain.send(transaction)
    assert subject.chain.recent_block() == after
    # Nor does it use up another nonce.
    assert subject.signed(OTHER).nonce == transaction.nonce + 1


def test_the_same_transaction_is_sent_again_after_others(subject: Subject) -> None:
    transaction = subject.anchored()
    subject.anchored(OTHER)
    after = subject.chain.recent_block()
    subject.chain.send(transaction)
    assert subject.chain.recent_block() == after


def test_one_that_waits_or_is_done_needs_no_replacement_where_the_market_stands_still(
    subject: Subject,
) -> None:
    transaction = subject.signed()
    subject.chain.send(transaction)
    assert subject.chain.sign([ROOT], transaction) is None
    subject.settle()
    assert subject.chain.sign([ROOT], transaction) is None


def test_a_transaction_whose_nonce_is_gone_is_a_conflict_lost_and_may_be_signed_anew(
    subject: Subject,
) -> None:
    stale = subject.signed()
    subject.anchored(OTHER)
    with pytest.raises(Conflict):
        subject.chain.send(stale)
    assert subject.chain.standing(ROOT, stale) is Standing.LOST
    fresh = subject.anchored()
    assert fresh.nonce > stale.nonce
    assert subject.chain.standing(ROOT, fresh) is Standing.FINAL
    # Whatever was signed for it: a root that is there is not lost.
    assert subject.chain.standing(ROOT, stale) is Standing.FINAL
    anchor = subject.chain.collect(ROOT, [stale, fresh])
    assert anchor is not None
    assert anchor.transaction == fresh.hash


def test_a_root_that_is_anchored_already_keeps_its_first_record(
    subject: Subject, clock: Clock
) -> None:
    subject.anchored()
    first = record(subject.chain.collect(ROOT, []), ROOT)
    clock.tick(60)
    again = subject.anchored()
    anchor = subject.chain.collect(ROOT, [again])
    assert record(anchor, ROOT) == first
    # The second transaction changed nothing: it is not what anchored the root.
    assert anchor is not None
    assert anchor.transaction is None


def test_a_root_that_we_did_not_send_has_no_transaction(subject: Subject) -> None:
    subject.anchored()
    anchor = subject.chain.collect(ROOT, [])
    assert anchor is not None
    assert anchor.transaction is None


def test_an_anchor_stays_true_while_the_chain_goes_on(subject: Subject) -> None:
    roots = digests("many", 12)
    transactions = [subject.anchored(root) for root in roots]
    for root, transaction in zip(roots, transactions, strict=True):
        anchor = subject.chain.collect(root, [transaction])
        assert anchor is not None
        assert anchor.transaction == transaction.hash
        record(anchor, root)
    assert subject.chain.collect(THIRD, []) is None


@pytest.mark.parametrize("content", [b"", b"\x02", bytes(100), b"\xff" * 40])
def test_what_is_no_transaction_is_refused(subject: Subject, content: bytes) -> None:
    before = subject.chain.recent_block()
    with pytest.raises(InvalidInput):
        subject.chain.send(SignedTransaction(content, keccak256(content), bytes(20), 0))
    assert subject.chain.recent_block() == before


# The fake's own switches


def signed(chain: FakeChain) -> SignedTransaction:
    transaction = chain.sign([ROOT])
    assert transaction
    return transaction


def test_the_fake_fails_on_either_side_of_its_effect(clock: Clock) -> None:
    chain = FakeChain("fake", clock)
    transaction = signed(chain)
    seen = []
    for when in When:
        chain.switches.fail("send", when)
        with pytest.raises(Unreachable):
            chain.send(transaction)
        seen.append(chain.standing(ROOT, transaction))
    assert seen == [Standing.ABSENT, Standing.FINAL]
    chain.send(transaction)
    assert chain.anchored == {ROOT: 1}


def test_the_fake_gives_no_anchor_before_the_block_is_final(clock: Clock) -> None:
    chain = FakeChain("fake", clock, confirmations=2)
    transaction = signed(chain)
    chain.send(transaction)
    for _ in range(2):
        assert chain.standing(ROOT, transaction) is Standing.UNSETTLED
        assert chain.collect(ROOT, [transaction]) is None
        chain.mine()
    assert chain.standing(ROOT, transaction) is Standing.FINAL
    assert chain.collect(ROOT, [transaction]) is not None


def test_the_fake_knows_strangers(clock: Clock) -> None:
    chain = FakeChain("fake", clock)
    chain.anchor_as_stranger(ROOT)
    assert chain.standing(ROOT, None) is Standing.FINAL
    assert chain.anchored == {}
    assert record(chain.collect(ROOT, []), ROOT)[2] == bytes(range(20))


def test_the_fake_takes_back_what_is_reorganised_away(clock: Clock) -> None:
    chain = FakeChain("fake", clock, confirmations=2)
    transaction = signed(chain)
    chain.send(transaction)
    chain.reorganise(1)
    assert chain.standing(ROOT, transaction) is Standing.ABSENT
    chain.send(transaction)
    assert chain.anchored == {ROOT: 1}


def test_the_fake_replaces_what_waits_where_the_market_is_dear(clock: Clock) -> None:
    chain = FakeChain("fake", clock)
    chain.is_stuck = chain.is_dear = True
    first = signed(chain)
    chain.send(first)
    assert chain.standing(ROOT, first) is Standing.ABSENT
    second = chain.sign([ROOT], first)
    assert second
    assert second.nonce == first.nonce
    assert second.hash != first.hash
    chain.send(second)
    chain.carry_out_newest()
    anchor = chain.collect(ROOT, [first, second])
    assert anchor is not None
    assert anchor.transaction == second.hash


def test_the_fake_loses_a_transaction_whose_nonce_is_spent(clock: Clock) -> None:
    chain = FakeChain("fake", clock, confirmations=1)
    transaction = signed(chain)
    chain.spend_nonce()
    assert chain.standing(ROOT, transaction) is Standing.UNSETTLED
    chain.mine()
    assert chain.standing(ROOT, transaction) is Standing.LOST
