"""`witnesstree contract` and `chain` against anvil and geth: deployed once, at its one address,
never believed where other code stands."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rlp
from commandline import Ran, call
from real import require_real
from servers.anvil import CHAIN_ID, KEYS, KeySigner, Node, anvil
from servers.geth import CHAIN_ID as GETH_ID
from servers.geth import DEPLOYER_PAYER, DEPLOYER_TRANSACTION, geth

from witnesstree.anchor.evm import deploy as deploying
from witnesstree.anchor.evm.client import Client
from witnesstree.anchor.evm.contract import anchoring_calldata, artefact
from witnesstree.anchor.evm.deploy import (
    DEPLOYER_CODE_HASH,
    KEYLESS_PAYER,
    KEYLESS_TRANSACTION,
    Deployer,
    Deployment,
    Way,
)
from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.keys import checksummed
from witnesstree.anchor.settings import ChainSettings, read_settings
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    NotFound,
    Unaffordable,
    Unreachable,
)
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH

ADDRESS = checksummed(CONTRACT_ADDRESS)
CREATE2 = "0x" + artefact().deployer.hex()
FOREIGN = "0x6000600055"
HARDHAT = Path(__file__).parents[2] / "hardhat-config"
RICH, OTHER = (KeySigner(key) for key in KEYS)
KEYLESS, PLAIN = {"keyless": True}, {"plain": True}

socket = pytest.mark.enable_socket


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYER", KEYS[0])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    assert call("init", "--home", folder).code == 0
    return folder


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """anvil with a block for each transaction, and with the CREATE2 deployer."""
    with anvil(tmp_path) as node:
        node.ask("evm_setAutomine", True)
        yield node


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Node]:
    """anvil without the CREATE2 deployer."""
    with anvil(tmp_path, "--disable-default-create2-deployer") as node:
        node.ask("evm_setAutomine", True)
        yield node


def add(home: Path, node: Node, *options: object, chain_id: int = CHAIN_ID) -> None:
    ran = call(
        "chain",
        "add",
        "dev",
        "--chain-id",
        chain_id,
        "--rpc",
        node.url,
        "--key",
        "env:PAYER",
        *options,
        "--home",
        home,
    )
    assert ran.code == 0, ran.talk


def deploy(home: Path, *options: object) -> Ran:
    return call("contract", "deploy", "dev", *options, "--home", home, "--json")


def code_hash(node: Node, address: str) -> bytes:
    return keccak256(bytes.fromhex(node.ask("eth_getCode", address, "latest")[2:]))


# Deploying through the command line


@socket
@pytest.mark.real("anvil")
def test_it_is_deployed_once_and_found_again(node: Node, home: Path) -> None:
    add(home, node)
    first = deploy(home)
    assert first.code == 0, first.talk
    assert first.json == {
        "chain": "dev",
        "chain_id": CHAIN_ID,
        "address": ADDRESS,
        "way": "create2",
        "transaction": first.json["transaction"],
        "block": 1,
        "pages": [],
    }
    assert code_hash(node, ADDRESS) == CONTRACT_CODE_HASH
    receipt = node.ask("eth_getTransactionReceipt", first.json["transaction"])
    assert (receipt["status"], receipt["from"], int(receipt["blockNumber"], 16)) == (
        "0x1",
        "0x" + RICH.address.hex(),
        1,
    )
    again = deploy(home)
    assert (again.code, again.json["way"], again.json["transaction"]) == (0, "present", None)
    words = call("contract", "deploy", "dev", "--home", home)
    assert (words.code, words.text) == (
        0,
        f"The contract is on dev already, at {ADDRESS}. Nothing was sent.\n",
    )
    assert node.newest() == 1


@socket
@pytest.mark.real("anvil")
def test_the_words_say_where_it_stands(node: Node, home: Path) -> None:
    add(home, node)
    ran = call("contract", "deploy", "dev", "--home", home)
    assert ran.text.startswith(
        f"The contract is on dev at {ADDRESS}, since block 1 (transaction 0x"
    )
    assert "waiting for its block" in ran.talk
    assert "not final yet" in ran.talk
    assert KEYS[0][2:] not in ran.text + ran.talk


@socket
@pytest.mark.real("anvil")
@pytest.mark.parametrize("place", [ADDRESS, CREATE2])
def test_other_code_is_refused_and_nothing_is_paid(place: str, node: Node, home: Path) -> None:
    node.ask("anvil_setCode", place, FOREIGN)
    add(home, node)
    for options in ([], ["--plain"], ["--keyless"]):
        ran = deploy(home, *options)
        assert ran.code == 9
        assert "refused: the code at 0x" in ran.error()
    assert node.newest() == 0


@socket
@pytest.mark.real("anvil")
def test_without_the_deployer_a_person_chooses_the_way(bare: Node, home: Path) -> None:
    add(home, bare)
    ran = deploy(home)
    assert ran.code == 6
    assert "--keyless" in ran.error()
    assert "--plain" in ran.error()
    assert bare.newest() == 0
    assert deploy(home, "--plain", "--keyless").code == 5


@socket
@pytest.mark.real("anvil")
def test_a_plain_creation_is_written_into_the_settings(bare: Node, home: Path) -> None:
    add(home, bare)
    settings = home / "settings.toml"
    settings.write_text("# ours\n" + settings.read_text())
    ran = deploy(home, "--plain")
    assert (ran.code, ran.json["way"]) == (0, "plain")
    address = ran.json["address"]
    assert address != ADDRESS
    assert code_hash(bare, address) == CONTRACT_CODE_HASH
    assert read_settings(home).chains["dev"].contract == address.lower()
    assert settings.read_text().startswith("# ours\n")
    assert "cannot prove" in ran.talk
    for options in ([], ["--plain"]):
        again = deploy(home, *options)
        assert (again.code, again.json["way"], again.json["address"]) == (0, "present", address)
    assert bare.newest() == 1


@socket
@pytest.mark.real("anvil")
def test_a_plain_creation_that_was_cut_off_is_found_and_not_paid_for_again(
    tmp_path: Path, home: Path
) -> None:
    with anvil(tmp_path, "--disable-default-create2-deployer") as node:
        add(home, node)
        said: list[str] = []
        with pytest.raises(Unreachable, match="is in no block"):
            run(node, said=said.append, patience=0.05, how=PLAIN)
        address = "0x" + keccak256(rlp.encode([RICH.address, 0]))[12:].hex()
        assert f", which creates the contract at {address}; waiting for its block." in said[0]
        assert deploy(home, "--plain").code == 7
        node.mine()
        # Other transactions came after it, one of them another creation.
        for to in ({}, {"to": "0x" + OTHER.address.hex()}):
            node.ask("eth_sendTransaction", {"from": "0x" + RICH.address.hex(), "data": "0x", **to})
            node.mine()
        ran = deploy(home, "--plain")
        assert (
            ran.code,
            ran.json["way"],
            ran.json["transaction"],
            ran.json["address"].lower(),
        ) == (0, "plain", None, address)
        assert (
            f"An earlier plain creation of this account is at {address}: it is used, and"
            " nothing is paid." in ran.talk
        )
        assert read_settings(home).chains["dev"].contract == address
        assert (
            int(node.ask("eth_getTransactionCount", "0x" + RICH.address.hex(), "latest"), 16) == 3
        )


@socket
@pytest.mark.real("anvil")
def test_an_earlier_creation_is_looked_for_among_the_newest_transactions_only(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(bare, how=PLAIN)
    assert run(bare, how=PLAIN) == Deployment(first.address, Way.PLAIN)
    for _ in range(2):
        bare.ask(
            "eth_sendTransaction",
            {"from": "0x" + RICH.address.hex(), "to": "0x" + OTHER.address.hex()},
        )
    monkeypatch.setattr(deploying, "LOOK_BACK", 2)
    assert run(bare, how=PLAIN).address == keccak256(rlp.encode([RICH.address, 3]))[12:]


@socket
@pytest.mark.real("anvil")
def test_the_deployers_own_transaction_brings_the_usual_address(bare: Node, home: Path) -> None:
    add(home, bare)
    ran = deploy(home, "--keyless")
    assert (ran.code, ran.json["way"], ran.json["address"]) == (0, "create2", ADDRESS)
    assert code_hash(bare, CREATE2) == DEPLOYER_CODE_HASH
    assert code_hash(bare, ADDRESS) == CONTRACT_CODE_HASH
    assert bare.newest() == 3
    # The payer got what its transaction may cost, and no more.
    assert int(bare.ask("eth_getBalance", DEPLOYER_PAYER, "latest"), 16) < 10**16


@socket
@pytest.mark.real("geth")
def test_geth_gets_the_deployer_and_the_contract(tmp_path: Path, home: Path) -> None:
    with geth(tmp_path) as node:
        for account in (RICH, OTHER):
            node.give("0x" + account.address.hex())
        add(home, node, chain_id=GETH_ID)
        assert deploy(home).code == 6
        ran = deploy(home, "--keyless")
        assert (ran.code, ran.json["way"]) == (0, "create2"), ran.talk
        assert code_hash(node, ADDRESS) == CONTRACT_CODE_HASH
        assert deploy(home).json["way"] == "present"
        checked = call("chain", "check", "dev", "--home", home, "--json")
        assert checked.code == 0, checked.talk
        seen = checked.json[0]["endpoints"][0]
        assert (seen["contract"], seen["state_proofs"], seen["chain_id"]) == ("ours", True, GETH_ID)


def test_the_constants_are_the_deployers_own() -> None:
    assert "0x" + KEYLESS_TRANSACTION.hex() == DEPLOYER_TRANSACTION
    assert "0x" + KEYLESS_PAYER.hex() == DEPLOYER_PAYER
    assert keccak256(rlp.encode([KEYLESS_PAYER, 0]))[12:] == artefact().deployer


@socket
@pytest.mark.real("anvil")
def test_what_must_be_there_first(node: Node, home: Path) -> None:
    assert deploy(home).code == 6
    assert (
        call("chain", "add", "dev", "--chain-id", CHAIN_ID, "--rpc", node.url, "--home", home).code
        == 0
    )
    ran = deploy(home)
    assert ran.code == 5
    assert "no key" in ran.error()


@socket
@pytest.mark.real("anvil")
def test_a_well_known_chain_has_pages_to_look_it_up(tmp_path: Path, home: Path) -> None:
    with anvil(tmp_path, "--chain-id", "1") as node:
        node.ask("evm_setAutomine", True)
        assert (
            call(
                "chain", "add", "ethereum", "--rpc", node.url, "--key", "env:PAYER", "--home", home
            ).code
            == 0
        )
        assert read_settings(home).chains["ethereum"].urls == (node.url,)
        ran = call("contract", "deploy", "ethereum", "--home", home)
        assert ran.code == 0, ran.talk
        pages = [line.strip() for line in ran.text.splitlines()[1:]]
        assert pages == [
            f"https://etherscan.io/address/{ADDRESS.lower()}#readContract",
            f"https://eth.blockscout.com/address/{ADDRESS.lower()}?tab=read_contract",
        ]
        checked = call("chain", "check", "--home", home)
        assert checked.code == 0, checked.talk
        assert "ethereum: Ethereum (1)" in checked.text
        assert " ETH, enough for " in checked.text


# Looking


def check(home: Path) -> Ran:
    return call("chain", "check", "dev", "--home", home, "--json")


@socket
@pytest.mark.real("anvil")
def test_check_says_what_an_endpoint_can_do(node: Node, home: Path) -> None:
    add(home, node)
    absent = check(home)
    assert absent.code == 6
    [chain] = absent.json
    assert (chain["name"], chain["chain"], chain["coin"], chain["exit_code"]) == (
        "dev",
        f"chain {CHAIN_ID}",
        None,
        6,
    )
    [endpoint] = chain["endpoints"]
    assert endpoint == {
        "place": node.url,
        "exit_code": 6,
        "chain_id": CHAIN_ID,
        "newest": 0,
        "final": 0,
        "lag": 0,
        "state_proofs": True,
        "address": ADDRESS.lower(),
        "contract": "absent",
    }
    account = chain["account"]
    assert account["address"] == checksummed(RICH.address)
    assert int(account["balance"]) == int(
        node.ask("eth_getBalance", account["address"], "latest"), 16
    )
    assert (
        account["anchors"]
        == int(account["balance"]) // (46_000 * int(node.ask("eth_gasPrice"), 16))
        > 10**6
    )
    words = call("chain", "check", "--home", home)
    assert "run `witnesstree contract deploy`" in words.text
    assert "10000 coins, enough for" in words.text
    assert deploy(home).code == 0
    node.ask("anvil_mine", hex(70), hex(12))
    present = check(home)
    assert (present.code, present.json[0]["endpoints"][0]["contract"]) == (0, "ours")
    assert (
        present.json[0]["endpoints"][0]["newest"] - present.json[0]["endpoints"][0]["final"] == 64
    )
    assert present.json[0]["endpoints"][0]["lag"] == 64 * 12
    assert (
        "gives state proofs; the contract is there"
        in call("chain", "check", "dev", "--home", home).text
    )


@socket
@pytest.mark.real("anvil")
def test_check_finds_other_code_and_an_account_without_money(node: Node, home: Path) -> None:
    node.ask("anvil_setCode", ADDRESS, FOREIGN)
    node.ask("anvil_setBalance", checksummed(RICH.address), "0x1")
    add(home, node, "--finality", 5)
    ran = check(home)
    assert ran.code == 9
    [chain] = ran.json
    assert (chain["endpoints"][0]["contract"], chain["endpoints"][0]["exit_code"]) == ("other", 9)
    assert (chain["endpoints"][0]["final"], chain["endpoints"][0]["lag"]) == (None, None)
    assert (chain["account"]["anchors"], chain["account"]["exit_code"]) == (0, 8)
    text = call("chain", "check", "--home", home).text
    assert "no final block yet" in text
    assert "is other code than ours" in text
    assert "0.000000000000000001 coins, enough for 0 anchors" in text
    node.mine(7)
    assert check(home).json[0]["endpoints"][0]["final"] == 2


@socket
@pytest.mark.real("anvil")
def test_check_where_gas_costs_nothing_and_no_key_is_needed(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with anvil(tmp_path) as node:
        add(home, node)
        monkeypatch.setattr(Client, "gas_price", lambda self: 0)
        assert check(home).json[0]["account"]["anchors"] is None
        assert "gas costs nothing" in call("chain", "check", "--home", home).text
        assert call("chain", "remove", "dev", "--home", home).code == 0
        assert (
            call(
                "chain", "add", "dev", "--chain-id", CHAIN_ID, "--rpc", node.url, "--home", home
            ).code
            == 0
        )
        ran = call("chain", "check", "--home", home)
        assert (ran.code, "no key to pay with" in ran.text) == (6, True)


@socket
@pytest.mark.real("anvil")
def test_check_goes_on_where_one_endpoint_fails(
    node: Node, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(home, node, "--rpc", "http://user:hunter2@127.0.0.1:1/hunter2")
    ran = check(home)
    assert ran.code == 8
    good, bad = ran.json[0]["endpoints"]
    assert ("error" in good, "error" in bad, bad["exit_code"]) == (False, True, 8)
    assert "hunter2" not in ran.text + ran.talk + call("chain", "check", "--home", home).text
    monkeypatch.setenv("PAYER", "no key")
    assert check(home).json[0]["account"]["exit_code"] == 5
    assert (
        "account: the environment variable PAYER holds no key"
        in call("chain", "check", "--home", home).text
    )


@socket
@pytest.mark.real("anvil")
def test_check_finds_a_node_of_another_chain(node: Node, home: Path) -> None:
    add(home, node, chain_id=CHAIN_ID + 1)
    ran = check(home)
    assert (ran.code, ran.json[0]["account"]) == (9, None)
    assert (
        f"is a node of chain {CHAIN_ID}, not of chain {CHAIN_ID + 1}"
        in call("chain", "check", "--home", home).text
    )


# The deployer itself


def settings_of(node: Node, **members: Any) -> ChainSettings:
    return ChainSettings(chain_id=CHAIN_ID, urls=(node.url,), **members)


def run(
    node: Node,
    signer: KeySigner | None = RICH,
    *,
    said: Callable[[str], None] = lambda text: None,
    patience: float = 10,
    how: dict[str, bool] | None = None,
    **members: Any,
) -> Deployment:
    settings = settings_of(node, **members)
    with closing(NodeChain("dev", settings, signer, lambda: None)) as chain:
        return Deployer(
            chain, settings, signer, lambda each: said(str(each)), patience=patience, poll=0.01
        ).deploy(**how or {})


@socket
@pytest.mark.real("anvil")
def test_a_transaction_that_waits_is_waited_for_and_not_paid_for_again(tmp_path: Path) -> None:
    with anvil(tmp_path) as node:
        with pytest.raises(Unreachable, match=r"is in no block after 0\.05 seconds"):
            run(node, patience=0.05)
        with pytest.raises(Conflict, match="waits on dev already"):
            run(node)
        node.mine()
        assert run(node).way is Way.PRESENT
        assert (
            int(node.ask("eth_getTransactionCount", "0x" + RICH.address.hex(), "latest"), 16) == 1
        )


@socket
@pytest.mark.real("anvil")
def test_a_transaction_that_fails_is_said_so(tmp_path: Path) -> None:
    with anvil(tmp_path) as node:

        def overtake(text: str) -> None:
            # Somebody else's deployment comes first, so ours fails: the deployer makes one address
            # once.
            if "Sent" in text:
                node.ask(
                    "anvil_dropTransaction", "0x" + keccak256(bytes.fromhex(sent[0][2:])).hex()
                )
                node.deploy()
                node.mine()
                node.ask("eth_sendRawTransaction", sent[0])
                node.mine()

        sent: list[str] = []

        class Keeping(KeySigner):
            def sign(self, transaction: dict[str, Any]) -> bytes:
                raw = super().sign(transaction)
                sent.append("0x" + raw.hex())
                return raw

        with pytest.raises(BadAnswer, match="failed in block 2"):
            run(node, Keeping(), said=overtake)
        assert run(node).way is Way.PRESENT


@socket
@pytest.mark.real("anvil")
def test_settings_that_name_an_empty_address_are_refused(node: Node) -> None:
    with pytest.raises(InvalidInput, match="where there is nothing"):
        run(node, contract="0x" + "12" * 20)


@socket
@pytest.mark.real("anvil")
def test_nothing_there_after_its_transaction_is_an_error(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another contract than ours is deployed, so at our address stands nothing.
    monkeypatch.setattr(deploying, "deployment_calldata", lambda: bytes(32) + b"\x00")
    with pytest.raises(BadAnswer, match=f"nothing is at 0x{CONTRACT_ADDRESS.hex()}"):
        run(node)


@socket
@pytest.mark.real("anvil")
def test_the_keyless_way_waits_while_the_chain_asks_too_much(bare: Node) -> None:
    bare.ask("anvil_setNextBlockBaseFeePerGas", hex(200 * 10**9))
    bare.mine()
    with pytest.raises(Unaffordable, match="--plain"):
        run(bare, how=KEYLESS)
    assert bare.newest() == 1


@socket
@pytest.mark.real("anvil")
def test_a_payer_that_has_enough_gets_nothing(bare: Node) -> None:
    bare.ask("anvil_setBalance", DEPLOYER_PAYER, hex(10**16))
    said: list[str] = []
    assert run(bare, said=said.append, how=KEYLESS).way is Way.CREATE2
    assert not [text for text in said if "payer" in text]
    assert bare.newest() == 2


@socket
@pytest.mark.real("anvil")
def test_a_keyless_transaction_that_waits_already_is_waited_for(tmp_path: Path) -> None:
    with anvil(tmp_path, "--disable-default-create2-deployer") as node:
        node.ask("anvil_setBalance", DEPLOYER_PAYER, hex(10**16))
        node.ask("eth_sendRawTransaction", DEPLOYER_TRANSACTION)
        assert run(node, said=lambda text: node.mine(), how=KEYLESS).way is Way.CREATE2
        assert node.newest() == 2


@socket
@pytest.mark.real("anvil")
def test_several_endpoints_may_be_asked(bare: Node) -> None:
    settings = ChainSettings(chain_id=CHAIN_ID, urls=(bare.url, bare.url + "/"))
    with closing(NodeChain("dev", settings, RICH, lambda: None)) as chain:
        assert (
            Deployer(chain, settings, RICH, lambda text: None).deploy(keyless=True).address
            == CONTRACT_ADDRESS
        )


@socket
@pytest.mark.real("geth")
def test_a_chain_that_demands_chain_ids_is_no_place_for_the_keyless_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda command, **how: start(
            [each for each in command if "unprotected" not in each], **how
        ),
    )
    with geth(tmp_path) as node:
        node.give("0x" + RICH.address.hex())
        settings = ChainSettings(chain_id=GETH_ID, urls=(node.url,))
        with (
            closing(NodeChain("dev", settings, RICH, lambda: None)) as chain,
            pytest.raises(BadAnswer, match="without a chain id"),
        ):
            Deployer(chain, settings, RICH, lambda text: None).deploy(keyless=True)
        assert int(node.ask("eth_getBalance", DEPLOYER_PAYER, "latest"), 16) == 0


@socket
@pytest.mark.real("anvil")
def test_a_node_that_goes_on_refusing_is_not_paid_again(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "KEYLESS_GAS", 50_000)
    with pytest.raises(BadAnswer, match="which its payer has by now"):
        run(bare, how=KEYLESS)
    assert bare.newest() == 1


@socket
@pytest.mark.real("anvil")
def test_a_keyless_transaction_that_makes_nothing_is_an_error(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "DEPLOYER_CODE_HASH", bytes(32))

    def never(self: Deployer, address: bytes, code_hash: bytes, what: str) -> bool:
        return False

    monkeypatch.setattr(Deployer, "_is_there", never)
    with pytest.raises(BadAnswer, match="has made no deployer"):
        run(bare, how=KEYLESS)


def test_the_missing_deployer_is_not_found() -> None:
    assert "proves less" in str(NotFound("deployer-missing"))


# The source


@pytest.mark.parametrize(
    ("chain", "pages"),
    [
        (
            "ethereum",
            [
                "etherscan.io/verifyContract?a=",
                "eth.blockscout.com/contract-verification",
                "verify.sourcify.dev",
            ],
        ),
        (
            "8453",
            [
                "basescan.org/verifyContract?a=",
                "base.blockscout.com/contract-verification",
                "verify.sourcify.dev",
            ],
        ),
        ("conflux", ["evm.confluxscan.org/address/", "verify.sourcify.dev"]),
        ("31337", []),
    ],
)
def test_where_the_source_can_be_published(chain: str, pages: list[str], tmp_path: Path) -> None:
    ran = call("contract", "source", "--chain", chain, "--json", "--home", tmp_path)
    assert ran.code == 0
    assert len(ran.json["publish_at"]) == len(pages)
    assert all(part in page for part, page in zip(pages, ran.json["publish_at"], strict=True))
    assert (ran.json["address"], ran.json["compiler"]) == (
        ADDRESS.lower(),
        "v0.8.37+commit.f401782d",
    )
    assert (ran.json["optimizer_runs"], ran.json["evm_version"], ran.json["via_ir"]) == (
        1_000_000,
        "london",
        False,
    )


def test_an_unknown_chain_has_no_place(tmp_path: Path) -> None:
    assert call("contract", "source", "--chain", "nowhere", "--home", tmp_path).code == 6


def test_a_chain_of_the_settings_has_its_own_address(home: Path) -> None:
    plain = "0x" + "ab" * 20
    ran = call(
        "chain", "add", "ethereum", "--key", "env:PAYER", "--contract", plain, "--home", home
    )
    assert ran.code == 0, ran.talk
    assert (
        call("contract", "source", "--chain", "ethereum", "--json", "--home", home).json["address"]
        == plain
    )


def test_the_source_goes_to_standard_output_or_into_a_file(tmp_path: Path) -> None:
    out = tmp_path / "source.json"
    written = call("contract", "source", "--chain", "sepolia", "-o", out, "--home", tmp_path)
    assert (written.code, written.text) == (0, "")
    assert "Publish it at https://sepolia.etherscan.io/verifyContract?a=" in written.talk
    assert "compiler: v0.8.37+commit.f401782d" in written.talk
    printed = call("contract", "source", "--home", tmp_path)
    assert printed.answer == out.read_bytes()
    assert call("contract", "source", "-o", out, "--json", "--home", tmp_path).json[
        "output"
    ] == str(out)
    assert (
        call("contract", "source", "-o", tmp_path / "none" / "file", "--home", tmp_path).code == 5
    )


def test_the_sources_are_the_files_in_contracts(tmp_path: Path) -> None:
    text = call("contract", "source", "--format", "solidity", "--home", tmp_path).text
    for path in (HARDHAT.parent / "contracts").glob("*.sol"):
        assert path.read_text("utf-8") in text


@pytest.mark.real("node")
def test_the_standard_json_gives_the_code_that_is_deployed(tmp_path: Path) -> None:
    node = require_real("node")
    compiler = HARDHAT / "node_modules/solc/solc.js"
    if not compiler.exists():
        from real import unavailable

        unavailable("hardhat-config/node_modules is missing: run `npm ci` in hardhat-config")
    source = call("contract", "source", "--home", tmp_path).answer
    done = subprocess.run(
        [node, str(compiler), "--standard-json"],
        input=source,
        capture_output=True,
        check=True,
        timeout=120,
        cwd=tmp_path,
    )
    built = json.loads(done.stdout[done.stdout.index(b"{") :])["contracts"][
        "contracts/EvidenceAnchor.sol"
    ]["EvidenceAnchor"]
    assert bytes.fromhex(built["evm"]["bytecode"]["object"]) == artefact().init_code
    assert (
        keccak256(bytes.fromhex(built["evm"]["deployedBytecode"]["object"])) == CONTRACT_CODE_HASH
    )
    request = call("contract", "source", "--format", "sourcify", "--home", tmp_path).json
    assert request["stdJsonInput"] == json.loads(source)
    assert json.loads(built["metadata"])["compiler"]["version"] == request["compilerVersion"]
    assert request["contractIdentifier"] == "contracts/EvidenceAnchor.sol:EvidenceAnchor"


# A clerk with Foundry's cast, as docs/contract.md says


@socket
@pytest.mark.real("cast")
def test_a_clerk_can_ask_with_cast(node: Node) -> None:
    cast = require_real("cast")
    root = keccak256(b"root")
    node.settle(node.deploy())
    node.settle(node.send(0, to=ADDRESS, data="0x" + anchoring_calldata([root]).hex()))
    page = (HARDHAT.parent / "docs/contract.md").read_text("utf-8")
    values = {
        "CONTRACT": ADDRESS,
        "NODE": node.url,
        "cast ": f"{cast} ",
        "0xROOT": f"0x{root.hex()}",
        "0xDIGEST": f"0x{root.hex()}",
    }
    script = "\n".join(line for line in page.splitlines() if line.startswith("cast ")).replace(
        "[0xFIRST,0xSECOND]", "[]"
    )
    for name, value in values.items():
        script = script.replace(name, value)
    done = subprocess.run(
        ["bash", "-ec", script], capture_output=True, text=True, check=True, timeout=30
    )
    code_hash, time, number, submitter, included, same_time = done.stdout.split("\n")[:6]
    assert code_hash == "0x" + CONTRACT_CODE_HASH.hex()
    assert (number, submitter, included, same_time) == (
        "2",
        checksummed(RICH.address),
        "true",
        time,
    )
    # cast writes large numbers twice: 1795405735 [1.795e9]
    assert int(time.split()[0]) == int(
        node.ask("eth_getBlockByNumber", "0x2", False)["timestamp"], 16
    )
