"""A node that lies, before a sound anvil: it is not believed, another one is asked, and no lie
makes a false anchor or a false loss."""

import copy
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from fakes import digests
from servers.anvil import CHAIN_ID, KeySigner, Node, anvil
from servers.liar import Liar, Twist, liar

from witnesstree.anchor.evm.check import ask_nodes
from witnesstree.anchor.evm.fees import GWEI, read_offer
from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.errors import BadAnswer, Unaffordable, Unreachable
from witnesstree.ledger.base.ports import SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.stateproof import parse_header, prove_slot
from witnesstree.ledger.proof.proof import Inclusion, Proof

pytestmark = [pytest.mark.enable_socket, pytest.mark.real("anvil")]

FINAL, WAITING, ABSENT = digests("lied about", 3)


FEES = {"baseFeePerGas": [hex(GWEI)] * 21}
TIPS = {"reward": [["0x1"]]}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with anvil(tmp_path_factory.mktemp("anvil")) as found:
        found.deploy()
        found.mine()
        yield found


@pytest.fixture
def make() -> Iterator[Callable[..., NodeChain]]:
    with ExitStack() as stack:

        def make(*urls: str, **settings: Any) -> NodeChain:
            members = ChainSettings(chain_id=CHAIN_ID, urls=urls, timeout=5, **settings)
            return stack.enter_context(
                closing(NodeChain("real", members, KeySigner(), lambda: datetime.now(UTC)))
            )

        yield make


@pytest.fixture(scope="module")
def sent(node: Node) -> tuple[SignedTransaction, SignedTransaction]:
    """One root that is final, one that is in a block and not final."""
    settings = ChainSettings(chain_id=CHAIN_ID, urls=(node.url,))
    with closing(NodeChain("real", settings, KeySigner(), lambda: datetime.now(UTC))) as chain:
        transactions = []
        for root, blocks in ((FINAL, 70), (WAITING, 1)):
            transaction = chain.sign([root])
            assert transaction
            chain.send(transaction)
            node.mine(blocks)
            transactions.append(transaction)
    return transactions[0], transactions[1]


@pytest.fixture
def false(node: Node, sent: object) -> Iterator[Liar]:
    with liar(node.url) as found:
        yield found


@pytest.fixture
def alone(false: Liar, make: Callable[..., NodeChain]) -> NodeChain:
    return make(false.url)


@pytest.fixture
def beside(false: Liar, node: Node, make: Callable[..., NodeChain]) -> NodeChain:
    """The liar is asked first, the sound node after it."""
    return make(false.url, node.url)


def saying(
    method: str, change: Callable[[Any], Any], when: Callable[[list[Any]], bool] = lambda _: True
) -> Twist:
    return lambda asked, params, result: (
        change(copy.deepcopy(result)) if asked == method and when(params) else result
    )


def with_members(**members: Any) -> Callable[[Any], Any]:
    return lambda result: {**result, **members}


OTHER_HASH = "0x" + "ab" * 32
BLOCK = "eth_getBlockByNumber"


def is_final(params: list[Any]) -> bool:
    return params[0] == "finalized"


def garbled(result: Any) -> Any:
    nodes = result["storageProof"][0]["proof"]
    nodes[-1] = nodes[-1][:-2] + ("00" if nodes[-1][-2:] != "00" else "01")
    return result


def swapped(result: Any) -> Any:
    result["accountProof"], result["storageProof"][0]["proof"] = (
        result["storageProof"][0]["proof"],
        result["accountProof"],
    )
    return result


COLLECTING = {
    "a wrong chain id": saying("eth_chainId", lambda _: "0x1"),
    "a wrong hash": saying(BLOCK, with_members(hash=OTHER_HASH), is_final),
    "a wrong state root": saying(BLOCK, with_members(stateRoot=OTHER_HASH), is_final),
    "a wrong number": saying(BLOCK, with_members(number="0x5"), is_final),
    "a huge number": saying(BLOCK, with_members(number="0x" + "f" * 64), is_final),
    "no number": saying(BLOCK, with_members(number=None), is_final),
    "a text for a block": saying(BLOCK, lambda _: "block", is_final),
    "a proof with one byte changed": saying("eth_getProof", garbled),
    "a proof with its parts swapped": saying("eth_getProof", swapped),
    "an empty proof": saying(
        "eth_getProof", with_members(accountProof=[], storageProof=[{"proof": []}])
    ),
    "a proof of rubbish": saying(
        "eth_getProof", with_members(accountProof=["0x" + "ee" * 500] * 60)
    ),
    "a proof of endless nodes": saying(
        "eth_getProof", with_members(accountProof=["0x00"] * 100_000)
    ),
    "a record of another form": saying("eth_call", lambda _: "0x" + "11" * 95),
    "a record before there could be one": saying("eth_call", lambda _: "0x" + "ff" * 96),
}


@pytest.mark.parametrize("lie", COLLECTING.values(), ids=list(COLLECTING))
def test_a_lie_about_a_final_root_makes_no_anchor_and_the_next_node_s_is_sound(
    false: Liar,
    alone: NodeChain,
    beside: NodeChain,
    sent: tuple[SignedTransaction, ...],
    lie: Twist,
) -> None:
    false.twist = lie
    with pytest.raises(BadAnswer):
        alone.collect(FINAL, sent)
    anchor = beside.collect(FINAL, sent)
    require_sound(anchor, false)
    assert anchor
    assert anchor.transaction == sent[0].hash
    assert len(beside.troubles()) == 1


def require_sound(anchor: Anchor | None, false: Liar) -> None:
    """Demand that an anchor stands in a block that the sound node calls final."""
    assert anchor
    assert anchor.state
    node = Node(false.target)
    assert (
        node.ask(BLOCK, hex(anchor.block_number), False)["hash"] == "0x" + anchor.block_hash.hex()
    )
    assert anchor.block_number <= int(node.ask(BLOCK, "finalized", False)["number"], 16)
    prove_slot(
        parse_header(anchor.state.header),
        anchor.contract,
        FINAL,
        anchor.state.account,
        anchor.state.storage,
    )


def endless(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(2**30))
    handler.end_headers()
    for _ in range(2**10):
        handler.wfile.write(b"[" * 2**20)


def endless_and_unannounced(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for _ in range(2**10):
        handler.wfile.write(b"100000\r\n" + b" " * 2**20 + b"\r\n")


def truncated(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def cut_json(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    half = body[: len(body) // 2]
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(half)))
    handler.end_headers()
    handler.wfile.write(half)


def page(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", "13")
    handler.end_headers()
    handler.wfile.write(b"<html></html>")


def busy(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    handler.send_response(429)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize(
    "said",
    [
        (endless, BadAnswer),
        (endless_and_unannounced, BadAnswer),
        (truncated, Unreachable),
        (cut_json, BadAnswer),
        (page, BadAnswer),
        (busy, Unreachable),
    ],
    ids=lambda said: said[0].__name__,
)
def test_an_answer_that_is_none_is_refused_in_little_memory_and_time(
    false: Liar,
    alone: NodeChain,
    beside: NodeChain,
    sent: tuple[SignedTransaction, ...],
    said: tuple[Callable[[BaseHTTPRequestHandler, bytes], None], type[Exception]],
) -> None:
    false.speak, kind = said
    began = time.monotonic()
    tracemalloc.start()
    try:
        for ask in (
            lambda: alone.collect(FINAL, sent),
            lambda: alone.standing(FINAL, sent[0]),
            alone.recent_block,
        ):
            with pytest.raises(kind):
                ask()
        # Client and liar run in one process, so this bounds both.
        assert tracemalloc.get_traced_memory()[1] < 60 * 2**20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 15
    require_sound(beside.collect(FINAL, sent), false)
    assert beside.standing(FINAL, sent[0]) is Standing.FINAL


def test_a_root_that_is_not_final_gets_no_anchor_whatever_the_node_says_of_the_record(
    false: Liar, alone: NodeChain, sent: tuple[SignedTransaction, ...]
) -> None:
    node = Node(false.target)
    real: dict[str, Any] = {}

    def early(method: str, params: list[Any], result: Any) -> Any:
        # It says of the final block what holds of the newest one.
        if method == "eth_call":
            real["record"] = node.ask(method, params[0], "latest")
            return real["record"]
        return result

    false.twist = early
    with pytest.raises(BadAnswer, match="proves nothing"):
        alone.collect(WAITING, sent)
    assert int(real["record"][2:66], 16) > 0


def test_a_node_that_calls_its_newest_block_final_is_found_out_by_another(
    false: Liar, node: Node, make: Callable[..., NodeChain]
) -> None:
    """One node's word for what is final can only be compared with another's."""
    false.twist = lambda method, params, result: (
        node.ask(BLOCK, "latest", False) if method == BLOCK and is_final(params) else result
    )
    assert make(false.url, node.url, agree=2).standing(WAITING, None) is Standing.UNSETTLED
    assert make(false.url, node.url, agree=2).collect(WAITING, []) is None


def test_endpoints_that_must_agree_do_not_settle_on_a_lie(
    false: Liar, node: Node, make: Callable[..., NodeChain]
) -> None:
    false.twist = saying(BLOCK, with_members(hash=OTHER_HASH))
    chain = make(false.url, node.url, agree=2)
    for ask in (
        lambda: chain.collect(FINAL, []),
        lambda: chain.standing(FINAL, None),
        chain.recent_block,
    ):
        with pytest.raises(BadAnswer, match="name different blocks"):
            ask()
    with liar(node.url) as third:
        outvoted = make(false.url, node.url, third.url, agree=2)
        require_sound(outvoted.collect(FINAL, []), false)
        assert outvoted.standing(FINAL, None) is Standing.FINAL


@pytest.mark.parametrize("agree", [1, 2])
def test_no_lie_about_the_nonce_makes_a_transaction_lost_that_may_yet_be_carried_out(
    false: Liar, node: Node, make: Callable[..., NodeChain], agree: int
) -> None:
    chain = make(false.url, node.url, agree=agree)
    transaction = chain.sign([ABSENT])
    assert transaction
    false.twist = saying("eth_getTransactionCount", lambda _: "0x30")
    with pytest.raises(BadAnswer, match="says that its nonce is not used"):
        chain.standing(ABSENT, transaction)


def test_no_lie_about_the_record_makes_a_transaction_lost_that_anchored_its_root(
    false: Liar, alone: NodeChain, beside: NodeChain, sent: tuple[SignedTransaction, ...]
) -> None:
    false.twist = saying("eth_call", lambda _: "0x" + "00" * 96)
    for chain in (alone, beside):
        with pytest.raises(BadAnswer, match=r"differ on whether the transaction 0x\w{64} is lost"):
            chain.standing(FINAL, sent[0])


SIGNING = {
    "a huge pending nonce": saying(
        "eth_getTransactionCount", lambda _: "0x4000", lambda params: params[1] == "pending"
    ),
    "a nonce beyond all numbers": saying(
        "eth_getTransactionCount", lambda _: "0x" + "f" * 64, lambda params: params[1] == "pending"
    ),
    "a huge gas estimate": saying("eth_estimateGas", lambda _: "0xffffffffffff"),
    "no gas estimate": saying("eth_estimateGas", lambda _: None),
    "other code": saying("eth_getCode", lambda _: "0x6000"),
    "no code": saying("eth_getCode", lambda _: "0x"),
    "a negative balance": saying("eth_getBalance", lambda _: "-0x1"),
}


@pytest.mark.parametrize("lie", SIGNING.values(), ids=list(SIGNING))
def test_a_lie_is_never_signed(
    false: Liar, alone: NodeChain, beside: NodeChain, node: Node, lie: Twist
) -> None:
    false.twist = lie
    with pytest.raises(BadAnswer):
        alone.sign([ABSENT])
    transaction = beside.sign([ABSENT])
    assert transaction
    assert transaction.nonce == int(
        node.ask("eth_getTransactionCount", "0x" + transaction.sender.hex(), "pending"), 16
    )


def test_a_nonce_far_beyond_another_endpoint_s_is_not_signed(
    false: Liar, beside: NodeChain, node: Node
) -> None:
    false.twist = saying("eth_getTransactionCount", lambda _: "0xffffffffff")
    transaction = beside.sign([ABSENT])
    assert transaction
    assert transaction.nonce == int(
        node.ask("eth_getTransactionCount", "0x" + transaction.sender.hex(), "pending"), 16
    )
    assert "has made 1099511627775 transactions" in str(beside.troubles()[0])


def test_lies_about_fees_stay_below_the_cap(false: Liar, make: Callable[..., NodeChain]) -> None:
    chain = make(false.url, fee_cap=30)
    false.twist = saying("eth_feeHistory", with_members(reward=[[hex(10**30)]] * 20, **FEES))
    transaction = chain.sign([ABSENT])
    assert transaction
    assert read_offer(transaction.raw).most == 30 * GWEI
    false.twist = saying("eth_feeHistory", with_members(baseFeePerGas=[hex(10**30)] * 2, **TIPS))
    with pytest.raises(Unaffordable):
        chain.sign([ABSENT])


def test_a_transaction_that_the_liar_swallows_still_gets_to_the_other(
    false: Liar, alone: NodeChain, beside: NodeChain, node: Node
) -> None:
    root = digests("swallowed", 1)[0]
    transaction = beside.sign([root])
    assert transaction
    false.twist = saying("eth_sendRawTransaction", lambda _: OTHER_HASH)
    with pytest.raises(BadAnswer, match="took the transaction"):
        alone.send(transaction)
    beside.send(transaction)
    assert node.ask("eth_getTransactionByHash", "0x" + transaction.hash.hex())
    node.mine()
    assert beside.standing(root, transaction) is Standing.UNSETTLED


def test_a_verifier_s_nodes_that_differ_are_both_not_believed(
    false: Liar, node: Node, alone: NodeChain, sent: tuple[SignedTransaction, ...]
) -> None:
    anchor = alone.collect(FINAL, sent)
    assert anchor
    proof = Proof(bytes(32), Inclusion(1, 2, FINAL, (bytes(32),)), anchors=(anchor,))
    assert ask_nodes([false.url, node.url], proof).trust.blocks[0].hash == anchor.block_hash
    false.twist = saying(BLOCK, with_members(hash=OTHER_HASH), lambda params: not is_final(params))
    with pytest.raises(BadAnswer, match="two nodes of one chain name different blocks"):
        ask_nodes([false.url, node.url], proof)
    false.twist = saying("eth_chainId", lambda _: "0x1")
    with pytest.raises(BadAnswer, match="is a node of Ethereum"):
        ask_nodes([false.url], proof)
    for bad in (false.url, "http://127.0.0.1:1"):
        said = ask_nodes([node.url, bad], proof)
        assert said.trust.blocks[0].hash == anchor.block_hash
        assert str(said.notes[0]).startswith(f"One node was left out: {bad} ")
