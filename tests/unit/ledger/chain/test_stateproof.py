"""ledger/chain/stateproof.py against tests/vectors/chain/ and against the artefact."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vectors.chain.make import format_file, make

from witnesstree.anchor.evm.contract import artefact
from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.known import known_chain
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    Anchoring,
    SlotProof,
    parse_header,
    prove_slot,
    slot_of,
)

VECTORS = Path(__file__).parents[3] / "vectors" / "chain"


def cases(name: str) -> list[Any]:
    content = json.loads((VECTORS / name).read_text())
    return [pytest.param(case, id=case["name"]) for case in content["cases"]]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("case", cases("header.json"))
def test_a_header_is_read_or_refused(case: dict[str, Any]) -> None:
    rlp, most = _bytes(case["header"]), known_chain(case.get("chain_id", 1)).max_header
    if case["expect"] == "refused":
        with pytest.raises(InvalidInput, match="block") as refusal:
            parse_header(rlp, most)
        is_beyond = len(rlp) > most
        assert isinstance(refusal.value, OverLimit) is is_beyond
    else:
        header = parse_header(rlp, most)
        assert header.hash == _bytes(case["hash"])
        assert header.state_root == _bytes(case["state_root"])
        assert (header.number, header.time) == (case["number"], case["time"])


@pytest.mark.parametrize("case", cases("slot.json"))
def test_a_slot_is_proven_or_refused(case: dict[str, Any]) -> None:
    header = parse_header(_bytes(case["header"]))
    account, storage = ([_bytes(node) for node in case[name]] for name in ("account", "storage"))
    if case["expect"] == "refused":
        with pytest.raises(InvalidInput, match=r"account|slot|storage|node"):
            prove_slot(header, _bytes(case["contract"]), _bytes(case["root"]), account, storage)
    else:
        record = Anchoring(case["time"], case["block_number"], _bytes(case["submitter"]))
        expected = SlotProof(_bytes(case["code_hash"]), record)
        assert (
            prove_slot(header, _bytes(case["contract"]), _bytes(case["root"]), account, storage)
            == expected
        )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("another root, never anchored", "leaf of another key: the value is absent"),
        ("another contract", "leads nowhere: the value is absent"),
        (
            "one bit in the account's leaf",
            "node 1 of the account proof does not have the hash that its parent names",
        ),
        (
            "storage proof with a node too many",
            "goes on after node 1 of the storage proof has given the value",
        ),
        ("account proof without its last node", "the account proof ends before it reaches a value"),
    ],
)
def test_the_reason_is_plain(name: str, reason: str) -> None:
    (case,) = [param.values[0] for param in cases("slot.json") if param.id == name]
    with pytest.raises(InvalidInput, match=reason):
        prove_slot(
            parse_header(_bytes(case["header"])),
            _bytes(case["contract"]),
            _bytes(case["root"]),
            [_bytes(node) for node in case["account"]],
            [_bytes(node) for node in case["storage"]],
        )


def test_the_vectors_are_what_the_embedded_chain_makes() -> None:
    for name, content in make().items():
        assert (VECTORS / name).read_text() == format_file(content)


def test_public_blocks_stand_as_their_chains_have_them() -> None:
    public = [param.values[0] for param in cases("header.json") if "source" in param.values[0]]
    assert {case["chain_id"] for case in public} == {10, 56, 100, 42161}


def test_the_constants_are_the_artefacts() -> None:
    contract = artefact()
    assert contract.address == CONTRACT_ADDRESS
    assert contract.code_hash == CONTRACT_CODE_HASH
    # EIP-1014: so the address is not only claimed by the artefact, it follows from the code.
    assert (
        keccak256(b"\xff" + contract.deployer + contract.salt + keccak256(contract.init_code))[12:]
        == CONTRACT_ADDRESS
    )


def test_the_slot_is_that_of_the_mapping_at_slot_0() -> None:
    root = bytes(range(32))
    assert slot_of(root) == keccak256(root + (0).to_bytes(32))


def test_importing_it_loads_no_ethereum_library() -> None:
    program = "import sys, witnesstree.ledger.chain.stateproof; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"web3", "eth", "eth_utils", "rlp", "trie"} & set(modules)
