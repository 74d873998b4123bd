"""What every Chain promises, asked of the fake and of the embedded one."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from fakes import CHAIN_ID, FakeChain, When, digests

from witnesstree.anchor.evm.local import LocalChain
from witnesstree.ledger.chainproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH, keccak256, parse_header, prove_slot
from witnesstree.ledger.chains import LOCAL_CHAIN_ID
from witnesstree.ledger.errors import Conflict, InvalidInput, Unreachable
from witnesstree.ledger.ports import Chain
from witnesstree.ledger.proof import Anchor, format_anchor, parse_anchor

ROOT, OTHER, THIRD = digests("root", 3)


@pytest.fixture(params=["fake", "embedded"])
def chain(request: pytest.FixtureRequest, clock: Callable[[], datetime], tmp_path: Path) -> Iterator[Chain]:
    if request.param == "fake":
        yield FakeChain("fake", clock)
        return
    local = LocalChain.create(tmp_path / "chain", clock)
    yield local
    local.close()


def record(anchor: Anchor | None, root: bytes) -> tuple[int, int, bytes]:
    """Return the time, the block and the caller that the anchor's state proof shows."""
    assert anchor is not None
    assert anchor.state is not None
    slot = prove_slot(parse_header(anchor.state.header), anchor.contract, root, anchor.state.account, anchor.state.storage)
    assert slot.code_hash == CONTRACT_CODE_HASH
    return slot.record.time, slot.record.block_number, slot.record.submitter


def test_a_recent_block_is_named_by_its_header(chain: Chain) -> None:
    block = chain.recent_block()
    assert keccak256(block.header) == block.hash
    assert parse_header(block.header).number == block.number
    assert block.chain_id in {CHAIN_ID, LOCAL_CHAIN_ID}


def test_signing_sends_nothing(chain: Chain) -> None:
    before = chain.recent_block()
    chain.sign(ROOT)
    assert chain.recent_block() == before
    assert not chain.is_anchored(ROOT)
    assert chain.collect(ROOT, None) is None


def test_what_is_sent_is_anchored_and_proven(chain: Chain) -> None:
    transaction = chain.sign(ROOT)
    chain.send(transaction)
    assert chain.is_anchored(ROOT)
    assert not chain.is_anchored(OTHER)
    anchor = chain.collect(ROOT, transaction)
    assert anchor is not None
    assert anchor.transaction == keccak256(transaction)
    assert anchor.contract == CONTRACT_ADDRESS
    assert anchor.state is not None
    assert keccak256(anchor.state.header) == anchor.block_hash
    assert parse_header(anchor.state.header).number == anchor.block_number
    assert record(anchor, ROOT)[1] <= anchor.block_number
    assert parse_anchor(format_anchor(anchor)) == anchor


def test_sending_twice_is_sending_once(chain: Chain) -> None:
    transaction = chain.sign(ROOT)
    chain.send(transaction)
    after = chain.recent_block()
    chain.send(transaction)
    assert chain.recent_block() == after


def test_the_same_transaction_is_sent_again_after_others(chain: Chain) -> None:
    transaction = chain.sign(ROOT)
    chain.send(transaction)
    chain.send(chain.sign(OTHER))
    after = chain.recent_block()
    chain.send(transaction)
    assert chain.recent_block() == after


def test_a_transaction_whose_nonce_is_gone_is_a_conflict_and_may_be_signed_anew(chain: Chain) -> None:
    stale = chain.sign(ROOT)
    chain.send(chain.sign(OTHER))
    with pytest.raises(Conflict):
        chain.send(stale)
    assert not chain.is_anchored(ROOT)
    fresh = chain.sign(ROOT)
    chain.send(fresh)
    anchor = chain.collect(ROOT, fresh)
    assert anchor is not None
    assert anchor.transaction == keccak256(fresh)


def test_a_root_that_is_anchored_already_keeps_its_first_record(chain: Chain, clock: object) -> None:
    chain.send(chain.sign(ROOT))
    first = record(chain.collect(ROOT, None), ROOT)
    clock.tick(60)  # type: ignore[attr-defined]
    again = chain.sign(ROOT)
    chain.send(again)
    anchor = chain.collect(ROOT, again)
    assert record(anchor, ROOT) == first
    # The second transaction changed nothing: it is not what anchored the root.
    assert anchor is not None
    assert anchor.transaction is None


def test_a_root_that_we_did_not_send_has_no_transaction(chain: Chain) -> None:
    chain.send(chain.sign(ROOT))
    anchor = chain.collect(ROOT, None)
    assert anchor is not None
    assert anchor.transaction is None


def test_an_anchor_stays_true_while_the_chain_goes_on(chain: Chain) -> None:
    roots = digests("many", 12)
    transactions = []
    for root in roots:
        transactions.append(chain.sign(root))
        chain.send(transactions[-1])
    for root, transaction in zip(roots, transactions, strict=True):
        anchor = chain.collect(root, transaction)
        assert anchor is not None
        assert anchor.transaction == keccak256(transaction)
        record(anchor, root)
    assert chain.collect(THIRD, None) is None


@pytest.mark.parametrize("content", [b"", b"\x02", bytes(100), b"\xff" * 40])
def test_what_is_no_transaction_is_refused(chain: Chain, content: bytes) -> None:
    before = chain.recent_block()
    with pytest.raises(InvalidInput):
        chain.send(content)
    assert chain.recent_block() == before


def test_the_fake_fails_on_either_side_of_its_effect(clock: Callable[[], datetime]) -> None:
    chain = FakeChain("fake", clock)
    transaction = chain.sign(ROOT)
    seen = []
    for when in When:
        chain.switches.fail("send", when)
        with pytest.raises(Unreachable):
            chain.send(transaction)
        seen.append(chain.is_anchored(ROOT))
    assert seen == [False, True]
    chain.send(transaction)
    assert chain.anchored == {ROOT: 1}


def test_the_fake_gives_no_anchor_before_the_block_is_final(clock: Callable[[], datetime]) -> None:
    chain = FakeChain("fake", clock, confirmations=2)
    transaction = chain.sign(ROOT)
    chain.send(transaction)
    assert chain.is_anchored(ROOT)
    chain.mine()
    assert chain.collect(ROOT, transaction) is None
    chain.mine()
    assert chain.collect(ROOT, transaction) is not None


def test_the_fake_knows_strangers(clock: Callable[[], datetime]) -> None:
    chain = FakeChain("fake", clock)
    chain.anchor_as_stranger(ROOT)
    assert chain.is_anchored(ROOT)
    assert chain.anchored == {}
    assert record(chain.collect(ROOT, None), ROOT)[2] == bytes(range(20))
