"""Real external signers: clef with a person at it, and geth and anvil for eth_signTransaction
(web3signer's method)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from real import require_real
from servers.anvil import CHAIN_ID as ANVIL_ID
from servers.anvil import KEYS, anvil
from servers.clef import Person, clef
from servers.geth import CHAIN_ID as GETH_ID
from servers.geth import geth

from witnesstree.anchor.evm.contract import anchoring_calldata, deployment_calldata
from witnesstree.anchor.keys import checksummed, open_signer
from witnesstree.ledger.base.errors import BadAnswer, Unreachable
from witnesstree.ledger.chain.keccak import keccak256

pytestmark = pytest.mark.enable_socket

PASSWORD = "a password"
OURS = Account.from_key(KEYS[0])
ONE = anchoring_calldata([b"\x11" * 32])
SEVERAL = anchoring_calldata([b"\x11" * 32, b"\x22" * 32])
METHODS = {ONE: ["anchor(bytes32"], SEVERAL: ["anchorAll(bytes32[]"], b"": []}


def transaction(chain_id: int, *, is_legacy: bool = False, **members: Any) -> dict[str, Any]:
    fees = (
        {"gasPrice": 10**10}
        if is_legacy
        else {"type": 2, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    )
    return {
        "chainId": chain_id,
        "nonce": 0,
        "value": 0,
        "gas": 200_000,
        "data": ONE,
        "to": b"\x5a" * 20,
        **fees,
        **members,
    }


def own(members: dict[str, Any]) -> bytes:
    return bytes(Account.sign_transaction(members, KEYS[0]).raw_transaction)


@pytest.fixture(scope="module")
def keystores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keystores")
    (folder / "payer.json").write_text(
        json.dumps(Account.encrypt(KEYS[0], PASSWORD, "scrypt", 4096))
    )
    return folder


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, keystores: Path) -> Iterator[Person]:
    with clef(tmp_path_factory.mktemp("clef"), keystores, ANVIL_ID, PASSWORD) as person:
        yield person


@pytest.mark.real("clef")
@pytest.mark.parametrize("data", METHODS, ids=["one", "several", "none"])
@pytest.mark.parametrize("is_legacy", [False, True])
def test_clef_signs_what_a_person_agrees_to(
    data: bytes, *, is_legacy: bool, person: Person
) -> None:
    asked = transaction(ANVIL_ID, is_legacy=is_legacy, data=data)
    signer = open_signer(f"clef+{person.url}#{OURS.address}")
    assert signer.sign(asked) == own(asked)
    notes = person.asked[-1]["call_info"] or []
    assert [note["message"].partition(': "')[2].partition(":")[0] for note in notes] == METHODS[
        data
    ]


@pytest.mark.real("clef")
@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "0x7"},
        {"maxFeePerGas": hex(10**13)},
        {"to": "0x" + "66" * 20},
        {"data": "0x"},
        {"value": "0x1"},
    ],
)
def test_what_a_person_at_clef_has_changed_is_not_taken(
    change: dict[str, str], person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person, "changes", change)
    with pytest.raises(BadAnswer, match=f"signed another {next(iter(change))} than was asked for"):
        open_signer(f"clef+{person.url}#{OURS.address}").sign(transaction(ANVIL_ID))


@pytest.mark.real("clef")
def test_what_clef_refuses_is_an_error(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_signer(f"clef+{person.url}#{OURS.address}")
    with pytest.raises(BadAnswer, match="does not match the configuration of the signer"):
        signer.sign(transaction(ANVIL_ID + 1))
    # The CREATE2 deployer's input has no method's name: clef warns, and signs only with --advanced.
    with pytest.raises(BadAnswer, match="validation failed"):
        signer.sign(transaction(ANVIL_ID, data=deployment_calldata()))
    with pytest.raises(BadAnswer, match="unknown account"):
        open_signer(f"clef+{person.url}#0x{'12' * 20}").sign(transaction(ANVIL_ID))
    monkeypatch.setattr(person, "password", "another")
    with pytest.raises(BadAnswer, match="could not decrypt key"):
        signer.sign(transaction(ANVIL_ID))
    monkeypatch.setattr(person, "agrees", False)
    with pytest.raises(BadAnswer, match=r"[Dd]enied"):
        signer.sign(transaction(ANVIL_ID))


@pytest.mark.real("clef")
def test_clef_signs_a_deployment_with_its_warnings_allowed(tmp_path: Path, keystores: Path) -> None:
    asked = transaction(ANVIL_ID, data=deployment_calldata())
    with clef(tmp_path, keystores, ANVIL_ID, PASSWORD, "--advanced") as person:
        assert open_signer(f"clef+{person.url}#{OURS.address}").sign(asked) == own(asked)
        assert any("ABI" in note["message"] for note in person.asked[0]["call_info"])


@pytest.mark.real("anvil")
@pytest.mark.parametrize("is_legacy", [False, True])
def test_anvil_signs_and_takes_what_it_signed(*, is_legacy: bool, tmp_path: Path) -> None:
    require_real("anvil")
    with anvil(tmp_path) as node:
        signer = open_signer(f"web3signer+{node.url}#{OURS.address}")
        for asked in (
            transaction(ANVIL_ID, is_legacy=is_legacy),
            creation(ANVIL_ID, is_legacy=is_legacy),
        ):
            raw = signer.sign(asked)
            assert raw == own(asked)
            assert (
                node.ask("eth_sendRawTransaction", "0x" + raw.hex()) == "0x" + keccak256(raw).hex()
            )
            node.mine()
        with pytest.raises(BadAnswer):
            open_signer(f"web3signer+{node.url}#0x{'12' * 20}").sign(transaction(ANVIL_ID))
    with pytest.raises(Unreachable):
        signer.sign(transaction(ANVIL_ID))


def creation(chain_id: int, *, is_legacy: bool) -> dict[str, Any]:
    members = transaction(
        chain_id, is_legacy=is_legacy, nonce=1, data=bytes.fromhex("6001600c60003960016000f300")
    )
    del members["to"]
    return members


@pytest.mark.real("geth")
@pytest.mark.parametrize("is_legacy", [False, True])
def test_geth_signs_and_takes_what_it_signed(*, is_legacy: bool, tmp_path: Path) -> None:
    with geth(tmp_path) as node:
        account = bytes.fromhex(node.ask("eth_accounts")[0][2:])
        signer = open_signer(f"web3signer+{node.url}#{checksummed(account)}")
        for asked in (
            transaction(GETH_ID, is_legacy=is_legacy),
            creation(GETH_ID, is_legacy=is_legacy),
        ):
            raw = signer.sign(asked)
            with node.awaiting_block():
                assert (
                    node.ask("eth_sendRawTransaction", "0x" + raw.hex())
                    == "0x" + keccak256(raw).hex()
                )
            assert (
                node.ask("eth_getTransactionReceipt", "0x" + keccak256(raw).hex())["from"]
                == "0x" + account.hex()
            )
        with pytest.raises(BadAnswer):
            signer.sign(transaction(GETH_ID + 1, is_legacy=is_legacy))
