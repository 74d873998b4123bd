"""Real chains on anvil and geth: from a signed transaction to a proof that stands alone, and the
same answers from Foundry's cast."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeWorld, digests
from real import require_real
from servers import anvil, geth
from servers.anvil import CHAIN_ID, KEYS, KeySigner, Node

from witnesstree.anchor.evm.check import ask_nodes
from witnesstree.anchor.evm.client import Client
from witnesstree.anchor.evm.fees import GWEI, Market, Offer, read_offer, replacement
from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.evm.rpc import Endpoint
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.errors import BadAnswer, Conflict, Unaffordable, Unreachable
from witnesstree.ledger.base.ports import SignedTransaction, Standing
from witnesstree.ledger.base.report import Outcome, Verdict
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    prove_slot,
    slot_of,
)
from witnesstree.ledger.proof.proof import Proof, format_proof
from witnesstree.ledger.trust import Trust, TrustedBlock
from witnesstree.ledger.verify.verify import verify

pytestmark = pytest.mark.enable_socket

CONTRACT = "0x" + CONTRACT_ADDRESS.hex()
REAL = [
    pytest.param("anvil", marks=pytest.mark.real("anvil")),
    pytest.param("geth", marks=pytest.mark.real("geth")),
]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module", params=REAL)
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A node with the contract at its one address, and our account with money."""
    if request.param == "anvil":
        with anvil.anvil(tmp_path_factory.mktemp("anvil")) as found:
            found.deploy()
            found.mine()
            yield found
    else:
        with geth.geth(tmp_path_factory.mktemp("geth")) as found:
            found.give("0x" + KeySigner().address.hex(), 100)
            found.deploy_deployer()
            found.deploy(0)
            yield found


@pytest.fixture
def make() -> Iterator[Callable[..., NodeChain]]:
    """Make chains whose connections are closed when the test ends."""
    with ExitStack() as stack:

        def make(
            *urls: str, key: str = KEYS[0], chain_id: int = CHAIN_ID, **settings: Any
        ) -> NodeChain:
            members = ChainSettings(chain_id=chain_id, urls=urls, **settings)
            return stack.enter_context(closing(NodeChain("real", members, KeySigner(key), now)))

        yield make


@pytest.fixture
def chain_id(node: Node) -> int:
    return int(node.ask("eth_chainId"), 16)


@pytest.fixture
def chain(make: Callable[..., NodeChain], node: Node, chain_id: int) -> NodeChain:
    return make(node.url, chain_id=chain_id)


def finalize(node: Node) -> None:
    """Make as many blocks as it takes for the newest one to be final."""
    wanted = node.newest()
    while int(node.ask("eth_getBlockByNumber", "finalized", False)["number"], 16) < wanted:
        node.mine(8)


def anchored(chain: NodeChain, node: Node, *roots: bytes) -> SignedTransaction:
    transaction = chain.sign(roots)
    assert transaction
    chain.send(transaction)
    node.mine()
    return transaction


def cast(node: Node, *arguments: str) -> str:
    program = require_real("cast")
    return subprocess.run(
        [program, *arguments, "--rpc-url", node.url],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout


def test_from_a_signature_to_a_proof_that_stands_alone(chain: NodeChain, node: Node) -> None:
    root, other = digests(f"way {node.url}", 2)
    assert chain.standing(root, None) is Standing.ABSENT
    transaction = chain.sign([root])
    assert transaction
    assert chain.standing(root, transaction) is Standing.ABSENT
    for _ in range(2):
        chain.send(transaction)
    node.mine()
    assert chain.standing(root, transaction) is Standing.UNSETTLED
    chain.send(transaction)
    assert chain.collect(root, [transaction]) is None
    finalize(node)
    assert chain.standing(root, transaction) is Standing.FINAL
    anchor = chain.collect(root, [transaction])
    assert anchor
    require_proven(anchor, root, KeySigner().address)
    assert anchor.transaction == transaction.hash
    assert anchor.block_number <= int(
        node.ask("eth_getBlockByNumber", "finalized", False)["number"], 16
    )
    assert (
        node.ask("eth_getBlockByNumber", hex(anchor.block_number), False)["hash"]
        == "0x" + anchor.block_hash.hex()
    )
    assert chain.standing(other, None) is Standing.ABSENT
    assert chain.collect(other, []) is None
    assert chain.troubles() == []


def require_proven(anchor: Anchor | None, root: bytes, submitter: bytes) -> None:
    assert anchor
    assert anchor.state
    header = parse_header(anchor.state.header)
    assert (header.hash, header.number) == (anchor.block_hash, anchor.block_number)
    slot = prove_slot(header, CONTRACT_ADDRESS, root, anchor.state.account, anchor.state.storage)
    assert slot.code_hash == CONTRACT_CODE_HASH
    assert slot.anchoring.submitter == submitter
    assert slot.anchoring.block_number <= header.number


def test_one_transaction_carries_many_roots(chain: NodeChain, node: Node) -> None:
    roots = digests(f"many {node.url}", 200)
    transaction = anchored(chain, node, *roots)
    finalize(node)
    assert {chain.standing(root, transaction) for root in roots[:3] + roots[-1:]} == {
        Standing.FINAL
    }
    for root in (roots[0], roots[-1]):
        anchor = chain.collect(root, [transaction])
        require_proven(anchor, root, transaction.sender)
        assert anchor
        assert anchor.transaction == transaction.hash


def test_a_recent_block_is_final_and_named_by_its_header(chain: NodeChain, node: Node) -> None:
    block = chain.recent_block()
    assert keccak256(block.header) == block.hash
    assert parse_header(block.header).number == block.number
    assert node.ask("eth_getBlockByNumber", "finalized", False)["hash"] == "0x" + block.hash.hex()


def test_every_header_of_the_chain_can_be_rebuilt(node: Node) -> None:
    newest = node.newest()
    with closing(Endpoint(node.url, timeout=10)) as endpoint:
        client = Client(endpoint)
        # Other tests on this node may have made many blocks before, or none.
        for number in {0, 1, 2, newest // 2, newest - 1, newest} & {*range(newest + 1)}:
            block = client.block(number)
            assert block
            header = client.header(block, 2048)
            assert header
            assert keccak256(header) == block.hash
            assert client.block(block.hash) == block


def test_what_a_clerk_reads_with_cast_is_what_we_read(chain: NodeChain, node: Node) -> None:
    leaves = digests(f"clerk {node.url}", 2)
    root = sha256(min(leaves) + max(leaves)).digest()
    transaction = anchored(chain, node, root)
    finalize(node)
    anchor = chain.collect(root, [transaction])
    assert anchor
    assert anchor.state
    header = parse_header(anchor.state.header)
    record = prove_slot(
        header, CONTRACT_ADDRESS, root, anchor.state.account, anchor.state.storage
    ).anchoring
    said = cast(
        node,
        "call",
        CONTRACT,
        "anchoredAt(bytes32)(uint64,uint64,address)",
        "0x" + root.hex(),
        "--json",
    )
    time_, number, submitter = json.loads(said)
    assert [int(str(time_)), int(str(number)), bytes.fromhex(submitter[2:])] == [
        record.time,
        record.block_number,
        record.submitter,
    ]
    said = cast(
        node,
        "call",
        CONTRACT,
        "verify(bytes32,bytes32,bytes32[])(bool,uint64)",
        f"0x{root.hex()}",
        f"0x{leaves[0].hex()}",
        f"[0x{leaves[1].hex()}]",
    )
    assert said.split()[:2] == ["true", str(record.time)]
    wrong = ("0x" + root.hex(), "0x" + leaves[0].hex(), f"[0x{leaves[0].hex()}]")
    assert (
        cast(
            node, "call", CONTRACT, "verify(bytes32,bytes32,bytes32[])(bool,uint64)", *wrong
        ).split()[0]
        == "false"
    )


def test_cast_proof_gives_the_same_account_and_storage_proof(chain: NodeChain, node: Node) -> None:
    root = digests(f"proof {node.url}", 1)[0]
    transaction = anchored(chain, node, root)
    finalize(node)
    anchor = chain.collect(root, [transaction])
    assert anchor
    assert anchor.state
    said = json.loads(
        cast(
            node,
            "proof",
            CONTRACT,
            "0x" + slot_of(root).hex(),
            "--block",
            str(anchor.block_number),
        )
    )
    assert [bytes.fromhex(each[2:]) for each in said["accountProof"]] == list(anchor.state.account)
    assert [bytes.fromhex(each[2:]) for each in said["storageProof"][0]["proof"]] == list(
        anchor.state.storage
    )


def test_a_stranger_s_root_is_anchored_too_and_names_no_transaction(
    chain: NodeChain, node: Node
) -> None:
    root = digests(f"stranger {node.url}", 1)[0]
    calldata = "0x" + (keccak256(b"anchor(bytes32)")[:4] + root).hex()
    node.send(0 if isinstance(node, geth.GethNode) else 2, to=CONTRACT, data=calldata)
    node.mine()
    ours = anchored(chain, node, root)
    finalize(node)
    anchor = chain.collect(root, [ours])
    assert anchor
    assert anchor.transaction is None
    assert anchor.state


def test_sealed_anchored_and_verified_offline_with_a_pinned_block(
    chain: NodeChain, node: Node, chain_id: int, tmp_path: Path
) -> None:
    world = FakeWorld(tmp_path / "home", now)
    world.chain = chain  # type: ignore[assignment]
    digest = sha256(f"a file {node.url}".encode()).digest()
    with world.open() as ledger:
        ledger.submit(digest)
        ledger.close()
        ledger.outbox.work()
        node.mine()
        ledger.outbox.work()
        finalize(node)
        assert ledger.outbox.work() == []
        proof = ledger.proof(digest)
    anchor = proof.anchors[0]
    assert anchor.transaction
    pinned = trusting(world, TrustedBlock(anchor.block_hash, "pinned", chain_id))
    report = verify(digest, format_proof(proof), pinned, now())
    assert report.verdict is Verdict.VERIFIED
    unpinned = verify(digest, format_proof(proof), trusting(world), now())
    assert unpinned.verdict is Verdict.UNDECIDED
    # The same through a node: the block, and the one that the opening record names.
    said = ask_nodes([node.url], proof)
    report = verify(digest, format_proof(proof), trusting(world) | said.trust, now())
    assert report.verdict is Verdict.VERIFIED
    assert report.not_before
    assert said.notes == ()
    # Without a state proof it is the node's word about the record, too.
    bare = replace(proof, anchors=(replace(anchor, state=None),))
    assert outcome(digest, bare, trusting(world)) == {
        "anchors[0].state": Outcome.UNKNOWN,
        "anchors[0].canonical": Outcome.UNKNOWN,
    }
    said = ask_nodes([node.url], bare)
    assert outcome(digest, bare, trusting(world) | said.trust) == {
        "anchors[0].state": Outcome.PASSED,
        "anchors[0].canonical": Outcome.PASSED,
    }
    assert (
        verify(digest, format_proof(bare), trusting(world) | said.trust, now()).verdict
        is Verdict.VERIFIED
    )
    wrong = trusting(world, TrustedBlock(bytes(32), "another", chain_id, anchor.block_number))
    assert verify(digest, format_proof(proof), wrong, now()).verdict is Verdict.FAILED


def trusting(world: FakeWorld, *blocks: TrustedBlock) -> Trust:
    return Trust((world.authority.root,), blocks, (world.home.verifier_key(),))


def outcome(digest: bytes, proof: Proof, trust: Trust) -> dict[str, Outcome]:
    report = verify(digest, format_proof(proof), trust, now())
    return {
        check.name: check.outcome for check in report.checks if check.name.startswith("anchors")
    }


def test_a_taken_nonce_is_a_conflict_and_then_the_transaction_is_lost(
    chain: NodeChain, node: Node
) -> None:
    root, other = digests(f"conflict {node.url}", 2)
    stale = chain.sign([root])
    assert stale
    anchored(chain, node, other)
    with pytest.raises(Conflict):
        chain.send(stale)
    assert chain.standing(root, stale) is Standing.UNSETTLED
    finalize(node)
    assert chain.standing(root, stale) is Standing.LOST
    fresh = anchored(chain, node, root)
    assert fresh.nonce == stale.nonce + 1
    assert chain.standing(root, fresh) is Standing.UNSETTLED


def test_an_account_without_money_cannot_pay(
    make: Callable[..., NodeChain], node: Node, chain_id: int
) -> None:
    poor = make(node.url, chain_id=chain_id, key="0x" + "77" * 32)
    with pytest.raises((Unaffordable, BadAnswer)):
        poor.sign([bytes(32)])


def test_a_transaction_that_the_account_cannot_pay_is_refused_by_the_node_as_we_expect(
    chain: NodeChain, chain_id: int
) -> None:
    signed = KeySigner().sign(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": 10_000,
            "to": bytes(20),
            "value": 10**24,
            "data": b"",
            "gas": 21_000,
            "maxFeePerGas": GWEI,
            "maxPriorityFeePerGas": 1,
        }
    )
    with pytest.raises((Unaffordable, Unreachable)):
        chain.send(SignedTransaction(signed, keccak256(signed), KeySigner().address, 10_000))


@pytest.mark.parametrize("node", REAL[1:], indirect=True)
def test_geth_takes_what_we_call_a_replacement_and_nothing_less(
    node: Node, chain: NodeChain, chain_id: int
) -> None:
    # anvil takes any higher fee. Behind a gap in the nonces, so that it waits.
    sender = KeySigner().address
    nonce = int(node.ask("eth_getTransactionCount", "0x" + sender.hex(), "latest"), 16) + 5

    def offering(most: int, tip: int) -> SignedTransaction:
        members = {
            "chainId": chain_id,
            "nonce": nonce,
            "to": CONTRACT_ADDRESS,
            "value": 0,
            "data": b"",
            "gas": 60_000,
        }
        raw = KeySigner().sign({**members, **Offer(most, tip).members()})
        return SignedTransaction(raw, keccak256(raw), sender, nonce)

    first = offering(3 * GWEI + 1, GWEI + 1)
    chain.send(first)
    with pytest.raises(Conflict, match="replacement transaction underpriced"):
        chain.send(offering(3 * GWEI + 2, GWEI + 2))
    better = replacement(read_offer(first.raw), Market(2 * GWEI, GWEI + 2), 100 * GWEI)
    assert better
    chain.send(offering(better.most, better.tip))


# anvil alone: it keeps transactions waiting until it is told to make a block


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Node]:
    with anvil.anvil(tmp_path) as found:
        found.deploy()
        found.mine(70)
        yield found


@pytest.mark.real("anvil")
def test_a_base_fee_fifty_times_as_high_waits_at_the_cap_and_goes_on_once_it_falls(
    own: Node, make: Callable[..., NodeChain]
) -> None:
    chain = make(own.url, fee_cap=20, tip=1.0)
    root = digests("dear", 1)[0]
    own.ask("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    own.mine()
    first = chain.sign([root])
    assert first
    chain.send(first)
    own.ask("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    own.mine()
    assert chain.standing(root, first) is Standing.ABSENT
    with pytest.raises(Unaffordable, match="and the cap is 20 gwei"):
        chain.sign([root], first)
    # The market falls below the cap, and what was offered at first is still too little.
    # The next base fee will be an eighth lower.
    own.ask("anvil_setNextBlockBaseFeePerGas", hex(12 * GWEI))
    own.mine()
    second = chain.sign([root], first)
    assert second
    assert second.nonce == first.nonce
    assert read_offer(second.raw).most == 20 * GWEI
    chain.send(second)
    assert chain.sign([root], second) is None
    own.ask("anvil_setNextBlockBaseFeePerGas", hex(10 * GWEI))
    own.mine()
    assert chain.standing(root, second) is Standing.UNSETTLED
    finalize(own)
    anchor = chain.collect(root, [first, second])
    assert anchor
    assert anchor.transaction == second.hash
    assert own.ask("eth_getTransactionCount", "0x" + first.sender.hex(), "latest") == "0x1"


@pytest.mark.real("anvil")
def test_a_dropped_transaction_is_sent_again(own: Node, make: Callable[..., NodeChain]) -> None:
    chain = make(own.url)
    root = digests("dropped", 1)[0]
    transaction = chain.sign([root])
    assert transaction
    chain.send(transaction)
    own.ask("anvil_dropTransaction", "0x" + transaction.hash.hex())
    own.mine()
    assert chain.standing(root, transaction) is Standing.ABSENT
    chain.send(transaction)
    own.mine()
    assert chain.standing(root, transaction) is Standing.UNSETTLED


@pytest.mark.real("anvil")
def test_legacy_fees(own: Node, make: Callable[..., NodeChain]) -> None:
    chain = make(own.url, fees="legacy")
    root = digests("legacy", 1)[0]
    transaction = chain.sign([root])
    assert transaction
    assert read_offer(transaction.raw).is_legacy
    chain.send(transaction)
    own.mine()
    assert chain.standing(root, transaction) is Standing.UNSETTLED


@pytest.mark.real("anvil")
def test_finality_by_confirmations(own: Node, make: Callable[..., NodeChain]) -> None:
    chain = make(own.url, finality=3)
    root = digests("confirmed", 1)[0]
    transaction = anchored(chain, own, root)
    seen = []
    for _ in range(4):
        seen.append(chain.standing(root, transaction))
        own.mine()
    assert seen == [Standing.UNSETTLED] * 3 + [Standing.FINAL]


@pytest.mark.real("anvil")
def test_a_node_that_is_killed_and_comes_back_goes_on_where_it_was(
    tmp_path: Path, make: Callable[..., NodeChain]
) -> None:
    state = ("--state", str(tmp_path / "state.json"), "--preserve-historical-states")
    root, other = digests("killed", 2)
    with anvil.anvil(tmp_path, *state) as first:
        first.deploy()
        first.mine(70)
        chain = make(first.url)
        port = int(first.url.rpartition(":")[2])
        transaction = anchored(chain, first, root)
        waiting = chain.sign([other])
        assert waiting
        chain.send(waiting)
    for ask in (
        lambda: chain.standing(root, transaction),
        lambda: chain.send(waiting),
        lambda: chain.collect(root, []),
        chain.recent_block,
    ):
        with pytest.raises(Unreachable):
            ask()
    assert "cannot be reached" in str(chain.troubles()[0])
    with anvil.anvil(tmp_path, *state, port=port) as again:
        assert chain.standing(root, transaction) is Standing.UNSETTLED
        # What waited has gone with the node, and is sent again.
        assert chain.standing(other, waiting) is Standing.ABSENT
        chain.send(waiting)
        again.mine(70)
        assert chain.standing(other, waiting) is Standing.FINAL
        require_proven(chain.collect(other, [waiting]), other, waiting.sender)
        assert again.ask("eth_getTransactionCount", "0x" + waiting.sender.hex(), "latest") == "0x2"
    assert chain.troubles() == []


@pytest.mark.real("anvil")
def test_another_chain_that_comes_back_behind_the_same_address_is_noticed(
    tmp_path: Path, make: Callable[..., NodeChain]
) -> None:
    with anvil.anvil(tmp_path) as first:
        chain = make(first.url)
        chain.recent_block()
        port = int(first.url.rpartition(":")[2])
    with pytest.raises(Unreachable):
        chain.recent_block()
    with (
        anvil.anvil(tmp_path, "--chain-id", "4242", port=port),
        pytest.raises(BadAnswer, match="is a node of chain 4242"),
    ):
        chain.recent_block()


@pytest.mark.real("anvil")
def test_a_recent_block_takes_no_longer_than_a_few_seconds(
    own: Node, make: Callable[..., NodeChain]
) -> None:
    assert own.process
    chain = make(own.url, timeout=60)
    import signal

    own.process.send_signal(signal.SIGSTOP)
    # All of its threads have to stand still first: one of them may answer until then.
    os.waitid(os.P_PID, own.process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            chain.recent_block()
        assert time.monotonic() - began < 8
    finally:
        own.process.send_signal(signal.SIGCONT)
