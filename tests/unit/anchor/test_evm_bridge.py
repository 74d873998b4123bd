"""web3 over one node: what it may ask for, what it is shown, what its exceptions become; and what
is said where it is not installed."""

import builtins
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import eth_abi.exceptions
import pytest
import web3.exceptions
from eth_utils.exceptions import ValidationError
from servers.anvil import KeySigner
from servers.stub import CHAIN_ID, PAYER, Network, RpcError, StubNode, World, hexed

from witnesstree.anchor.evm import bridge
from witnesstree.anchor.evm.bridge import ANSWERS, LATER, OURS, WRONG, Bridge, FeeHistory, Provider
from witnesstree.anchor.evm.contract import anchoring_calldata, artefact
from witnesstree.anchor.evm.fees import median_tip
from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.evm.rpc import Endpoint, Missing
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable, WitnesstreeError
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS

ROOT, OTHER = bytes([1]) * 32, bytes([2]) * 32
FEES = {
    "chainId": CHAIN_ID,
    "nonce": 3,
    "value": 0,
    "gas": 60_000,
    "type": 2,
    "maxFeePerGas": 20,
    "maxPriorityFeePerGas": 2,
}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, world: World) -> StubNode:
    stub = StubNode(world)
    Network(monkeypatch).add(stub)
    return stub


@pytest.fixture
def endpoint(stub: StubNode) -> Endpoint:
    return Endpoint("http://node0.test", timeout=5)


@pytest.fixture
def node(endpoint: Endpoint) -> Bridge:
    return Bridge(endpoint)


# What web3 asks for


def test_it_runs_no_middleware_and_follows_no_contract(node: Bridge) -> None:
    assert list(node._web3.middleware_onion) == []
    assert node._web3.provider.global_ccip_read_enabled is False


def test_what_is_not_foreseen_is_not_asked(node: Bridge, stub: StubNode) -> None:
    for ask in (
        lambda: node._web3.eth.get_block("latest"),
        lambda: node._web3.eth.chain_id,
        lambda: node._web3.eth.get_logs({}),
        lambda: node._web3.client_version,
    ):
        with pytest.raises(InvalidInput) as caught:
            ask()
        assert caught.value.message.code == "method-not-foreseen"
    assert stub.asked == []


def test_a_contract_that_sends_elsewhere_is_not_followed(node: Bridge, stub: StubNode) -> None:
    """EIP-3668: the error OffchainLookup names an address that the caller is to fetch."""

    def lookup(_params: Any) -> Any:
        raise RpcError(3, "execution reverted: OffchainLookup")

    stub.answers["eth_call"] = lookup
    with pytest.raises(BadAnswer, match="execution reverted"):
        node.record(CONTRACT_ADDRESS, ROOT, "latest")
    assert stub.asked == ["eth_call"]


def test_no_connection_is_opened_by_the_library(node: Bridge, world: World) -> None:
    """Sockets are off in these tests; requests and aiohttp come with web3 and stay unused."""
    world.mine(roots=(ROOT,))
    assert node.record(CONTRACT_ADDRESS, ROOT, "latest")


def test_one_module_imports_it() -> None:
    rooms = Path(bridge.__file__).parents[2]
    found = {
        path.name
        for room in ("ledger", "anchor", "api", "cli")
        for path in (rooms / room).rglob("*.py")
        if re.search(r"^\s*(from|import) web3\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found == {"bridge.py"}


# What it is shown


@pytest.mark.parametrize("method", [each for each in ANSWERS if each != "eth_feeHistory"])
@pytest.mark.parametrize(
    "answer", [7, "seven", "0xzz", [], {}, {"logs": "none"}, True, 0.5, "0x" + "00" * 5_000]
)
def test_an_odd_answer_is_a_bad_one_and_no_value(
    node: Bridge, stub: StubNode, method: str, answer: object
) -> None:
    asks = {
        "eth_call": lambda: node.record(CONTRACT_ADDRESS, ROOT, "latest"),
        "eth_estimateGas": lambda: node.call(PAYER).estimated_gas(PAYER),
        "eth_gasPrice": node.gas_price,
        "eth_getBalance": lambda: node.balance(PAYER),
        "eth_getTransactionReceipt": lambda: node.receipt(OTHER),
        "eth_sendRawTransaction": lambda: node.send(b"\x02"),
    }
    stub.answers[method] = answer
    with pytest.raises(BadAnswer):
        asks[method]()


@pytest.mark.parametrize(
    "change",
    [
        {"baseFeePerGas": None},
        {"baseFeePerGas": ["0x1"], "reward": []},
        {"baseFeePerGas": ["0x1", 2]},
        {"reward": None},
        {"reward": [["0x1"], ["0x1"], ["0x1"]]},
        {"reward": [["0x1", "0x1"]]},
        {"reward": [["-0x1"]]},
        {"oldestBlock": "latest"},
        {"baseFeePerGas": ["0x1"] * 2_000, "reward": [["0x1"]] * 1_999},
    ],
)
def test_an_odd_fee_history_is_a_bad_answer(
    node: Bridge, stub: StubNode, change: dict[str, Any]
) -> None:
    sound = {"oldestBlock": "0x1", "baseFeePerGas": ["0x1", "0x2"], "reward": [["0x1"]]}
    stub.answers["eth_feeHistory"] = sound
    assert node.fee_history(1, 50.0) == FeeHistory(2, (1,))
    stub.answers["eth_feeHistory"] = {**sound, **change}
    with pytest.raises(BadAnswer):
        node.fee_history(1, 50.0)
    stub.answers["eth_feeHistory"] = "none"
    with pytest.raises(BadAnswer):
        node.fee_history(1, 50.0)


def test_the_history_names_the_next_base_fee_and_tips(node: Bridge, world: World) -> None:
    world.mine(3)
    world.tip = 7
    assert node.fee_history(20, 50.0) == FeeHistory(10**9, (7,) * 4)


@pytest.mark.parametrize(
    ("tips", "median"), [((), None), ((0, 0), None), ((0, 5), 5), ((9, 1, 0, 5), 5), ((1, 9), 9)]
)
def test_blocks_without_transactions_say_nothing_of_tips(
    tips: tuple[int, ...], median: int | None
) -> None:
    assert median_tip(FeeHistory(1, tips)) == median


def test_a_tip_is_what_blocks_took(stub: StubNode, world: World) -> None:
    settings = ChainSettings(chain_id=CHAIN_ID, urls=("http://node0.test",))
    chain = NodeChain("test", settings, KeySigner(), lambda: None)  # type: ignore[arg-type, return-value]
    world.tip = 3 * 10**9
    assert chain.sign([ROOT])
    assert "eth_maxPriorityFeePerGas" not in stub.asked
    world.tip = 0
    assert chain.sign([ROOT])
    assert "eth_maxPriorityFeePerGas" in stub.asked


# What it makes


def test_what_it_builds_is_what_is_signed(node: Bridge, stub: StubNode) -> None:
    one, several = node.anchoring(CONTRACT_ADDRESS, [ROOT]), node.anchoring(PAYER, [ROOT, OTHER])
    assert one.built(FEES) == {
        **FEES,
        "to": CONTRACT_ADDRESS,
        "data": anchoring_calldata([ROOT]),
    }
    assert several.built(FEES) == {**FEES, "to": PAYER, "data": anchoring_calldata([ROOT, OTHER])}
    assert node.creation().built(FEES) == {**FEES, "data": artefact().init_code}
    assert node.call(PAYER, b"data").built(FEES) == {**FEES, "to": PAYER, "data": b"data"}
    assert stub.asked == []


def test_what_is_missing_is_not_filled_in(node: Bridge, stub: StubNode) -> None:
    """web3 would ask the node for what a transaction lacks."""
    for name in ("chainId", "gas"):
        with pytest.raises(InvalidInput):
            node.anchoring(CONTRACT_ADDRESS, [ROOT]).built(
                {key: value for key, value in FEES.items() if key != name}
            )


def test_a_transaction_built_otherwise_is_not_signed(
    node: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bridge._Plain, "build_transaction", lambda self, each: {**each, "nonce": 4, "to": "0x01"}
    )
    with pytest.raises(InvalidInput) as caught:
        node.call(PAYER).built(FEES)
    assert caught.value.message.code == "transaction-built-otherwise"


def test_what_has_not_the_form_is_our_mistake(node: Bridge) -> None:
    with pytest.raises(WitnesstreeError) as caught:
        node.anchoring(CONTRACT_ADDRESS, [b"short", b"also short"])
    assert caught.value.message.code == "library-refuses"


def test_events_of_other_contracts_are_told_apart(node: Bridge, world: World) -> None:
    world.mine(roots=(ROOT, OTHER), transaction=ROOT)
    receipt = world.receipts[ROOT]
    stranger = {**receipt["logs"][0], "topics": [hexed(bytes(32))]}
    receipt["logs"] = [stranger, *receipt["logs"], {**stranger, "topics": []}]
    found = node.receipt(ROOT)
    assert found
    assert [each.root for each in found.events] == [ROOT, OTHER]
    assert {(each.contract, each.submitter) for each in found.events} == {(CONTRACT_ADDRESS, PAYER)}
    assert node.receipt(OTHER) is None


# What it raises


def exceptions_of(module: Any) -> list[type[Exception]]:
    return [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Exception) and each.__module__ == module.__name__
    ]


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, eth_abi.exceptions.ParseError):
        return kind("why", 0, None)
    return kind.__new__(kind, "why")


@pytest.mark.parametrize(
    "kind", exceptions_of(web3.exceptions), ids=lambda kind: str(kind.__name__)
)
def test_every_exception_of_web3_is_sorted(kind: type[Exception]) -> None:
    assert sum(kind.__name__ in names for names in (LATER, WRONG, OURS)) == 1
    error = bridge.translate(made(kind), "here")
    wanted = {True: Unreachable} if kind.__name__ in LATER else {}
    assert type(error) is wanted.get(True, BadAnswer if kind.__name__ in WRONG else InvalidInput)
    with pytest.raises(type(error)), bridge._translated("here"):
        raise made(kind)


def test_no_sorted_exception_is_gone_from_web3() -> None:
    names = {each.__name__ for each in exceptions_of(web3.exceptions)}
    assert (LATER | WRONG | OURS) - names == set()


@pytest.mark.parametrize(
    "kind",
    [
        *exceptions_of(eth_abi.exceptions),
        ValidationError,
        *(getattr(builtins, name) for name in ("KeyError", "OverflowError", "TypeError")),
        *(getattr(builtins, name) for name in ("AttributeError", "IndexError", "ValueError")),
    ],
    ids=lambda kind: str(kind.__name__),
)
def test_what_lies_beneath_web3_is_translated_too(kind: type[Exception]) -> None:
    with pytest.raises((BadAnswer, InvalidInput)), bridge._translated("here"):
        raise made(kind)


def test_our_own_errors_pass_unchanged(endpoint: Endpoint, stub: StubNode) -> None:
    stub.fails = Unreachable("gone")
    with pytest.raises(Unreachable, match="gone"):
        Bridge(endpoint).gas_price()
    stub.fails = None

    def missing(_params: Any) -> Any:
        raise RpcError(-32601, "no such method")

    stub.answers["eth_gasPrice"] = missing
    with pytest.raises(Missing):
        Provider(endpoint).make_request("eth_gasPrice", ())  # type: ignore[arg-type]
    with pytest.raises(Missing):
        Bridge(endpoint).gas_price()


# Without it

HIDDEN = """
import sys
from importlib.abc import MetaPathFinder

class Hider(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"web3", "eth_account", "requests", "aiohttp", "websockets"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hider())
from witnesstree.cli.main import main
sys.argv = ["witnesstree", *sys.argv[1:]]
main()
"""


def run_without_web3(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDDEN, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_without_web3_a_home_with_embedded_parts_seals_and_verifies(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "file"
    file.write_bytes(b"content")
    for arguments in (
        ("--help",),
        ("init", "--home", home),
        ("seal", file, "--home", home),
        ("verify", file, "--home", home),
    ):
        done = run_without_web3(*arguments)
        assert done.returncode == 0, done.stderr


def test_without_web3_a_home_on_a_real_chain_says_the_line_to_type(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "file"
    file.write_bytes(b"content")
    assert run_without_web3("init", "--home", home).returncode == 0
    settings = home / "settings.toml"
    settings.write_text('\n[chains.real]\nchain_id = 1\nurls = ["http://127.0.0.1:1"]\n')
    done = run_without_web3("seal", file, "--home", home)
    assert done.returncode == 5
    assert 'pip install "witnesstree[chains]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_it_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", "import witnesstree.anchor.evm.bridge"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stderr == ""
