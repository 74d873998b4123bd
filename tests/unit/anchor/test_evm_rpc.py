"""JSON-RPC: what a node's answer means, whatever it is, and which node is asked when one fails."""

import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.stub import CHAIN_ID, Network, RpcError, StubNode, World
from web3reader import Contract

from witnesstree.anchor.evm import contract, rpc
from witnesstree.anchor.evm.contract import artefact, deployment_calldata, parse_record
from witnesstree.anchor.evm.rpc import (
    Endpoint,
    Endpoints,
    Missing,
    Refusal,
    octets,
    quantity,
    shown,
)
from witnesstree.anchor.http import Answer
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS

SECRET = "5ecre7key0f0ur5"
URL = f"https://user:{SECRET}@node.test:8545/v3/{SECRET}?token={SECRET}"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


@pytest.fixture
def node(network: Network) -> StubNode:
    node = StubNode(World())
    network.add(node, URL)
    return node


@pytest.fixture
def endpoint(node: StubNode) -> Endpoint:
    return Endpoint(URL, timeout=5)


def body(content: bytes, status: int = 200) -> Any:
    return lambda question: Answer(
        status, "application/json", content.replace(b"ID", str(question["id"]).encode())
    )


# What one node answers


def test_an_answer_is_the_result_as_it_stands(node: StubNode, endpoint: Endpoint) -> None:
    for value in [None, "0x1", [1, 2], {"a": {"b": []}}, True, 0]:
        node.answers["x"] = value
        assert endpoint.ask("x") == value


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 200, BadAnswer),
        (b"<html>", 200, BadAnswer),
        (b"[]", 200, BadAnswer),
        (b"null", 200, BadAnswer),
        (b'"0x1"', 200, BadAnswer),
        (b"\xff\xfe", 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"result":"0x1"', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"result":"0x1","id":ID}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":999999,"result":"0x1"}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":null,"result":"0x1"}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":"ID","result":"0x1"}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":true,"result":"0x1"}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"result":"0x1"}', 404, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"result":1.5}', 200, BadAnswer),
        (
            b'{"jsonrpc":"2.0","id":ID,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            200,
            BadAnswer,
        ),
        (b'{"jsonrpc":"2.0","id":ID,"error":"no"}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"error":{"code":"-1","message":"no"}}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"error":{"code":-1,"message":7}}', 200, BadAnswer),
        (b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"no"}}', 200, Refusal),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}', 400, Refusal),
        (b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"no"}}', 200, Missing),
        (
            b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32005,"message":"slow down"}}',
            200,
            Unreachable,
        ),
        (
            b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32000,"message":"Rate limit exceeded"}}',
            200,
            Unreachable,
        ),
        (
            b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"internal"}}',
            200,
            Unreachable,
        ),
        (b"too many", 429, Unreachable),
        (b"", 500, Unreachable),
        (b'{"jsonrpc":"2.0","id":ID,"result":"0x1"}', 503, Unreachable),
        (b"forbidden", 403, BadAnswer),
        (b"", 301, BadAnswer),
    ],
)
def test_what_is_no_answer_is_a_documented_error(
    node: StubNode, endpoint: Endpoint, content: bytes, status: int, kind: type[WitnesstreeError]
) -> None:
    node.body = body(content, status)
    with pytest.raises(kind) as caught:
        endpoint.ask("eth_blockNumber")
    assert type(caught.value) is kind
    assert "https://node.test:8545" in str(caught.value)


def test_json_at_the_first_bad_member_is_refused_even_where_recursion_is_unlimited(
    node: StubNode, endpoint: Endpoint
) -> None:
    import sys

    node.body = body(b'{"id":ID,"result":' + b'{"a":' * 500_000)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(BadAnswer, match="nested too deeply"):
            endpoint.ask("eth_blockNumber")
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "content",
    [
        (
            f'{{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"key {SECRET} is over its'
            f' limit at /v3/{SECRET}"}}}}'
        ),
        f'{{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"{"x" * 195}{SECRET}"}}}}',
        f'{{"jsonrpc":"2.0","id":1,"error":"{SECRET}"}}',
        f'{{"jsonrpc":"2.0","id":1,"{SECRET}":1}}',
        f'"{SECRET}"',
        f"unknown key {SECRET}",
    ],
)
def test_a_key_in_the_address_is_in_no_error(
    node: StubNode, endpoint: Endpoint, content: str
) -> None:
    for status in (200, 401, 500):
        node.body = body(content.encode(), status)
        with pytest.raises((BadAnswer, Unreachable)) as caught:
            endpoint.ask("eth_blockNumber")
        assert SECRET[:8] not in "".join(traceback.format_exception(caught.value)).replace(
            repr(content), ""
        )
    assert SECRET not in repr(endpoint)


def test_a_refusal_carries_the_node_s_own_words_cleaned(node: StubNode, endpoint: Endpoint) -> None:
    node.answers["x"] = lambda _: (_ for _ in ()).throw(
        RpcError(-32000, "line\nbreak\x1b[31m" + "long" * 1000)
    )
    with pytest.raises(Refusal) as caught:
        endpoint.ask("x")
    assert caught.value.code == -32000
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.text) == rpc.MAX_TEXT


@given(st.binary(max_size=200))
def test_any_bytes_give_a_result_or_a_documented_error(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        network, node = Network(patch), StubNode(World())
        network.add(node, URL)
        node.body = body(content)
        try:
            Endpoint(URL, timeout=5).ask("x")
        except (Unreachable, BadAnswer):
            return


# The chain's id


def test_the_chain_id_is_asked_once_and_again_after_a_failure(
    network: Network, node: StubNode
) -> None:
    endpoint = Endpoint(URL, timeout=5, chain_id=CHAIN_ID)
    endpoint.ask("eth_gasPrice")
    endpoint.ask("eth_gasPrice")
    assert node.asked == ["eth_chainId", "eth_gasPrice", "eth_gasPrice"]
    node.fails = Unreachable("gone")
    with pytest.raises(Unreachable):
        endpoint.ask("eth_gasPrice")
    node.fails = None
    node.answers["eth_chainId"] = "0x1"
    with pytest.raises(BadAnswer, match="is a node of chain 1, not of chain 31337"):
        endpoint.ask("eth_gasPrice")
    assert node.asked[-1] == "eth_chainId"


@pytest.mark.parametrize("value", [None, 31337, "31337", "0x", "0x" + "f" * 65])
def test_a_chain_id_of_another_form_is_refused(node: StubNode, value: object) -> None:
    node.answers["eth_chainId"] = value
    with pytest.raises(BadAnswer):
        Endpoint(URL, timeout=5, chain_id=CHAIN_ID).ask("eth_gasPrice")


# Values


@pytest.mark.parametrize(
    ("text", "number"),
    [("0x0", 0), ("0xFf", 255), ("0x00ff", 255), ("0x" + "f" * 64, rpc.MAX_QUANTITY)],
)
def test_quantities(text: str, number: int) -> None:
    assert quantity(text, "it", "here") == number


@pytest.mark.parametrize(
    "value", [None, 1, "1", "0x", "0x-1", "0x1_0", " 0x1", "0x1\n", "0x" + "1" * 65, b"0x1", "0x٣"]
)
def test_what_is_no_quantity(value: object) -> None:
    with pytest.raises(BadAnswer, match="it: expected a number"):
        quantity(value, "it", "here")


def test_a_quantity_has_a_bound() -> None:
    assert quantity("0xa", "it", "here", 10) == 10
    with pytest.raises(BadAnswer):
        quantity("0xb", "it", "here", 10)


@pytest.mark.parametrize("value", [None, 1, "", "0x1", "00", "0xzz", "0x00\n", "0x" + "00" * 33])
def test_what_are_no_octets(value: object) -> None:
    with pytest.raises(BadAnswer, match="it: expected 32 bytes"):
        octets(value, "it", "here", 32)
    with pytest.raises(BadAnswer):
        octets("0x" + "00" * 5, "it", "here", most=4)


def test_octets() -> None:
    assert octets("0x", "it", "here") == b""
    assert octets("0xaB", "it", "here", 1) == b"\xab"


def test_what_is_shown_is_short_and_on_one_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == 80


# Several nodes


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def nodes(network: Network) -> list[StubNode]:
    nodes = [StubNode(World()) for _ in range(3)]
    for i, node in enumerate(nodes):
        network.add(node, f"http://node{i}.test")
        node.answers["who"] = i
    return nodes


@pytest.fixture
def endpoints(nodes: list[StubNode], ticks: Ticks) -> Endpoints:
    return Endpoints(
        [Endpoint(f"http://node{i}.test", timeout=5, chain_id=CHAIN_ID) for i in range(3)], ticks
    )


def who(endpoints: Endpoints) -> Any:
    return endpoints.first(lambda endpoint: endpoint.ask("who"))


def test_the_first_one_is_asked_while_it_answers(
    nodes: list[StubNode], endpoints: Endpoints
) -> None:
    assert who(endpoints) == 0
    assert nodes[1].asked == []
    assert endpoints.troubles() == []


@pytest.mark.parametrize(
    ("error", "pause"),
    [(Unreachable("gone"), 30), (Refusal("no", -1, "no"), 30), (BadAnswer("nonsense"), 600)],
)
def test_the_next_one_is_asked_and_the_failed_one_last_for_a_while(
    nodes: list[StubNode], endpoints: Endpoints, ticks: Ticks, error: Exception, pause: int
) -> None:
    nodes[0].fails = error
    assert who(endpoints) == 1
    assert endpoints.troubles() == [error.message]
    nodes[0].fails = None
    ticks.now = pause - 1
    assert who(endpoints) == 1
    ticks.now = pause
    assert who(endpoints) == 0
    assert endpoints.troubles() == []


def test_a_node_of_another_chain_is_passed_over_and_named(
    nodes: list[StubNode], endpoints: Endpoints
) -> None:
    nodes[0].answers["eth_chainId"] = "0x1"
    assert who(endpoints) == 1
    assert endpoints.troubles() == [
        message("node-of-another-chain", place="http://node0.test", found=1, expected=CHAIN_ID)
    ]
    assert "who" not in nodes[0].asked


def test_one_that_lied_stays_named_for_its_pause_though_it_answers_again(
    nodes: list[StubNode], endpoints: Endpoints, ticks: Ticks
) -> None:
    for error, stays in (
        (Unreachable("gone"), False),
        (Refusal("unknown block", -32000, "unknown block"), False),
        (BadAnswer("nonsense"), True),
    ):
        nodes[0].fails = error
        who(endpoints)
        nodes[0].fails = None
        assert [
            result
            for result in endpoints.attempts(lambda endpoint: endpoint.ask("who"))
            if result == 0
        ]
        assert (endpoints.troubles() == [message("nonsense")]) is stays
    ticks.now += 600
    assert who(endpoints) == 0
    assert endpoints.troubles() == []


def test_the_failed_ones_are_still_asked_when_all_others_fail(
    nodes: list[StubNode], endpoints: Endpoints
) -> None:
    nodes[0].fails = BadAnswer("nonsense")
    assert who(endpoints) == 1
    nodes[0].fails, nodes[1].fails, nodes[2].fails = None, Unreachable("gone"), Unreachable("gone")
    assert who(endpoints) == 0


def test_when_all_fail_the_error_says_what_to_do_next(
    nodes: list[StubNode], endpoints: Endpoints
) -> None:
    for node in nodes:
        node.fails = BadAnswer("nonsense")
    with pytest.raises(
        BadAnswer,
        match=r"no endpoint gave an answer that can be used: nonsense, nonsense, nonsense",
    ):
        who(endpoints)
    nodes[1].fails = Unreachable("gone")
    with pytest.raises(Unreachable, match="gone"):
        who(endpoints)


@pytest.mark.parametrize("error", [Unaffordable("dear"), Conflict("taken")])
def test_an_answer_that_nobody_likes_is_no_failure(
    nodes: list[StubNode], endpoints: Endpoints, error: WitnesstreeError
) -> None:
    def refuse(_endpoint: Endpoint) -> None:
        raise error

    with pytest.raises(type(error)):
        endpoints.first(refuse)
    assert endpoints.troubles() == []


def test_no_further_one_is_asked_after_the_time_that_was_given(
    nodes: list[StubNode], endpoints: Endpoints, ticks: Ticks
) -> None:
    def slow(endpoint: Endpoint) -> None:
        ticks.now += 4
        raise Unreachable(endpoint.place)

    with pytest.raises(Unreachable, match=r"node0\.test, http://node1\.test$"):
        endpoints.first(slow, within=6)


# The contract's bytes


def test_the_deployment_goes_to_the_address_that_the_ledger_knows() -> None:
    salt, code = deployment_calldata()[:32], deployment_calldata()[32:]
    assert (
        keccak256(b"\xff" + artefact().deployer + salt + keccak256(code))[12:] == CONTRACT_ADDRESS
    )


def test_calldata_is_what_web3_makes_of_the_abi() -> None:
    roots = [bytes([i]) * 32 for i in range(3)]
    assert contract.anchoring_calldata(roots[:1]) == keccak256(b"anchor(bytes32)")[:4] + roots[0]
    assert contract.anchoring_calldata(roots[:1]) == Contract().calldata("anchor", roots[0])
    several = contract.anchoring_calldata(roots)
    assert several == Contract().calldata("anchorAll", roots)
    assert several == keccak256(b"anchorAll(bytes32[])")[:4] + (32).to_bytes(32) + (3).to_bytes(
        32
    ) + b"".join(roots)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        bytes(95),
        bytes(97),
        b"\1" + bytes(95),
        bytes(32) + b"\1" + bytes(63),
        bytes(64) + b"\1" + bytes(31),
    ],
)
def test_what_is_no_record_is_refused(answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_record(answer, "here")


def test_a_record() -> None:
    found = parse_record((7).to_bytes(32) + (8).to_bytes(32) + bytes(12) + b"\x09" * 20, "here")
    assert found is not None
    assert (found.time, found.block_number, found.submitter) == (7, 8, b"\x09" * 20)
    assert parse_record(bytes(96), "here") is None
    assert json.dumps(artefact().abi)


def test_a_nested_message_is_cleaned_too() -> None:
    endpoint = Endpoint("http://node.test/5ecre7key", timeout=5)
    inner = message("inner", found="not 5ecre7key", number=7)
    assert endpoint._clean(message("outer", error=inner, text="5ecre7key")) == message(
        "outer", error=message("inner", found="not …", number=7), text="…"
    )
