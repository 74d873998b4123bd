"""Reorganisations on anvil: what they take back is noticed, sent again and never paid for twice; no
proof refers to a block that is not final."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeWorld, digests
from servers.anvil import CHAIN_ID, KeySigner, Node, anvil

from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.ports import SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.stateproof import parse_header, prove_slot

pytestmark = [pytest.mark.enable_socket, pytest.mark.real("anvil")]

DEPTH = 64
"""Blocks that `finalized` is behind the newest one on anvil, as on Ethereum: a reorganisation never
goes deeper."""
ROOT, OTHER = digests("reorganised", 2)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with anvil(tmp_path) as found:
        found.deploy()
        found.mine(DEPTH + 6)
        yield found


@pytest.fixture
def make(node: Node) -> Iterator[Callable[..., NodeChain]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> NodeChain:
            members = ChainSettings(chain_id=CHAIN_ID, urls=(node.url,), **settings)
            return stack.enter_context(
                closing(NodeChain("real", members, KeySigner(), lambda: datetime.now(UTC)))
            )

        yield make


@pytest.fixture
def chain(make: Callable[..., NodeChain]) -> NodeChain:
    return make()


def anchored(chain: NodeChain, node: Node, root: bytes = ROOT) -> SignedTransaction:
    transaction = chain.sign([root])
    assert transaction
    chain.send(transaction)
    node.mine()
    assert chain.standing(root, transaction) is Standing.UNSETTLED
    return transaction


def reorganise(node: Node, depth: int) -> None:
    before = node.newest()
    node.ask("anvil_reorg", depth, [])
    assert node.newest() == before


def require_final(anchor: Anchor | None, node: Node, root: bytes = ROOT) -> None:
    """Demand a proof at a block that is final and canonical now."""
    assert anchor
    assert anchor.state
    final = int(node.ask("eth_getBlockByNumber", "finalized", False)["number"], 16)
    assert anchor.block_number <= final
    assert (
        node.ask("eth_getBlockByNumber", hex(anchor.block_number), False)["hash"]
        == "0x" + anchor.block_hash.hex()
    )
    prove_slot(
        parse_header(anchor.state.header),
        anchor.contract,
        root,
        anchor.state.account,
        anchor.state.storage,
    )


@pytest.mark.parametrize("depth", [1, 2, 8, DEPTH])
@pytest.mark.parametrize("confirmed", [0, 1, DEPTH - 1])
def test_a_transaction_that_a_reorganisation_takes_back_is_sent_again(
    chain: NodeChain, node: Node, depth: int, confirmed: int
) -> None:
    transaction = anchored(chain, node)
    node.mine(confirmed)
    reorganise(node, depth)
    is_gone = depth > confirmed
    assert chain.standing(ROOT, transaction) is (Standing.ABSENT if is_gone else Standing.UNSETTLED)
    assert chain.collect(ROOT, [transaction]) is None
    if is_gone:
        # The same transaction, so that no other one can ever be paid for beside it.
        chain.send(transaction)
        node.mine()
    node.mine(DEPTH)
    assert chain.standing(ROOT, transaction) is Standing.FINAL
    anchor = chain.collect(ROOT, [transaction])
    require_final(anchor, node)
    assert anchor
    assert anchor.transaction == transaction.hash
    assert node.ask("eth_getTransactionCount", "0x" + transaction.sender.hex(), "latest") == "0x1"


def test_a_final_anchor_survives_the_deepest_reorganisation(chain: NodeChain, node: Node) -> None:
    transaction = anchored(chain, node)
    node.mine(DEPTH)
    anchor = chain.collect(ROOT, [transaction])
    require_final(anchor, node)
    reorganise(node, DEPTH - 1)
    assert chain.standing(ROOT, transaction) is Standing.FINAL
    require_final(anchor, node)


def test_one_that_was_taken_back_is_replaced_for_a_better_fee_with_the_same_nonce(
    make: Callable[..., NodeChain], node: Node
) -> None:
    first = anchored(make(tip=1.0), node)
    reorganise(node, 1)
    dearer = make(tip=3.0)
    second = dearer.sign([ROOT], first)
    assert second
    assert second.nonce == first.nonce
    dearer.send(second)
    node.mine(DEPTH + 1)
    for transaction in (first, second):
        assert dearer.standing(ROOT, transaction) is Standing.FINAL
    anchor = dearer.collect(ROOT, [first, second])
    require_final(anchor, node)
    assert anchor
    assert anchor.transaction == second.hash


def test_a_nonce_that_another_transaction_took_in_the_new_blocks_is_lost_only_once_that_is_final(
    chain: NodeChain, node: Node
) -> None:
    transaction = anchored(chain, node)
    reorganise(node, 1)
    other = anchored(chain, node, OTHER)
    assert other.nonce == transaction.nonce
    assert chain.standing(ROOT, transaction) is Standing.UNSETTLED
    # Before it is final, a further reorganisation may bring the first one back.
    reorganise(node, 1)
    assert chain.standing(ROOT, transaction) is Standing.ABSENT
    chain.send(other)
    node.mine(DEPTH)
    assert chain.standing(ROOT, transaction) is Standing.UNSETTLED
    node.mine()
    assert chain.standing(ROOT, transaction) is Standing.LOST
    assert chain.standing(OTHER, other) is Standing.FINAL


def test_a_ledger_loses_no_batch_and_anchors_no_root_twice(
    chain: NodeChain, node: Node, tmp_path: Path
) -> None:
    world = FakeWorld(tmp_path / "home", lambda: datetime.now(UTC))
    world.chain = chain  # type: ignore[assignment]
    files = digests("files", 3)
    with world.open() as ledger:
        for digest in files:
            ledger.submit(digest)
            ledger.close()
            ledger.outbox.work()
            node.mine()
            ledger.outbox.work()
            reorganise(node, 1)
            ledger.outbox.work()
            node.mine()
        reorganise(node, 8)
        for _ in range(3):
            assert len(ledger.outbox.work()) == len(files)
            node.mine()
        node.mine(DEPTH)
        assert ledger.outbox.work() == []
        anchors = [ledger.proof(digest).anchors[0] for digest in files]
        roots = [ledger.batch(number).root for number in range(len(files))]
    assert all(anchor.transaction for anchor in anchors)
    for root, anchor in zip(roots, anchors, strict=True):
        require_final(anchor, node, root)
    logs = node.ask(
        "eth_getLogs",
        {"fromBlock": "0x0", "toBlock": "latest", "address": "0x" + anchors[0].contract.hex()},
    )
    assert sorted(log["topics"][1] for log in logs) == sorted("0x" + root.hex() for root in roots)
