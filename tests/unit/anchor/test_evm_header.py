"""Headers rebuilt from a node's JSON, of every fork, compared with hashes that real chains have."""

import json
from pathlib import Path
from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.anchor.evm import header
from witnesstree.anchor.evm.header import FIELDS, LATER
from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import parse_header

EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
ZEROS = "0x" + "00" * 32

# Ethereum's block 0, and with it a header as Frontier had it. Public facts, as any node or explorer
# gives them.
FRONTIER = {
    "number": "0x0",
    "hash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "parentHash": ZEROS,
    "sha3Uncles": NO_UNCLES,
    "miner": "0x" + "00" * 20,
    "stateRoot": "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
    "transactionsRoot": EMPTY_ROOT,
    "receiptsRoot": EMPTY_ROOT,
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x400000000",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x0",
    "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
    "mixHash": ZEROS,
    "nonce": "0x0000000000000042",
}
# Block 0 of `geth --dev` 1.16.9, a header as Prague has it.
PRAGUE = {
    **FRONTIER,
    "hash": "0xfa742c20043b1d8a13ea6421d85e9678429f9f50c2e25b2814c61f7444504fec",
    "stateRoot": "0x3e4d95c86fdd592dde02f484e79a30d0c38ea8fb344ad01f91eec66787f04409",
    "difficulty": "0x0",
    "gasLimit": "0xaf79e0",
    "extraData": "0x",
    "nonce": "0x0000000000000000",
    "baseFeePerGas": "0x3b9aca00",
    "withdrawalsRoot": EMPTY_ROOT,
    "blobGasUsed": "0x0",
    "excessBlobGas": "0x0",
    "parentBeaconBlockRoot": ZEROS,
    "requestsHash": "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def rebuilt(members: dict[str, Any]) -> bytes:
    return header.rebuild_header(members, "here")


@pytest.mark.parametrize("block", [FRONTIER, PRAGUE], ids=["Frontier", "Prague"])
def test_the_header_has_the_block_s_hash(block: dict[str, Any]) -> None:
    found = rebuilt(block)
    assert keccak256(found) == bytes.fromhex(block["hash"][2:])
    assert parse_header(found).number == int(block["number"], 16)
    assert parse_header(found).state_root.hex() == block["stateRoot"][2:]


HEADERS = Path(__file__).parents[2] / "vectors/chain/header.json"
PUBLIC = [
    case
    for case in json.loads(HEADERS.read_text(encoding="utf-8"))["cases"]
    # Nodes of Gnosis say of AuRa's blocks what no other node says; none has been made since 2022.
    if "source" in case and "AuRa" not in case["name"]
]


@pytest.mark.parametrize("case", PUBLIC, ids=lambda case: case["name"])
def test_the_headers_of_other_chains_are_rebuilt(case: dict[str, Any]) -> None:
    fields: list[bytes] = rlp.decode(bytes.fromhex(case["header"][2:]))
    kinds = FIELDS | LATER
    members = {
        name: hex(int.from_bytes(value)) if kinds[name] == header.NUMBER else "0x" + value.hex()
        for name, value in zip(kinds, fields, strict=False)
    }
    assert keccak256(rebuilt(members)).hex() == case["hash"][2:]


@pytest.mark.parametrize("name", [name for name in [*FIELDS, *LATER] if PRAGUE[name] != "0x"])
def test_every_field_is_part_of_the_hash(name: str) -> None:
    last = PRAGUE[name][-1]
    changed = {**PRAGUE, name: PRAGUE[name][:-1] + ("1" if last == "0" else "0")}
    assert rebuilt(changed) != rebuilt(PRAGUE)


@pytest.mark.parametrize("count", range(len(LATER)))
def test_an_older_fork_has_fewer_fields(count: int) -> None:
    names = [*FIELDS, *list(LATER)[:count]]
    older = {name: value for name, value in PRAGUE.items() if name in names}
    assert len(rebuilt(older)) < len(rebuilt(PRAGUE))
    assert rebuilt({**older, **dict.fromkeys(list(LATER)[count:])}) == rebuilt(older)


def test_a_field_that_is_missing_before_another_one_keeps_its_place() -> None:
    # So does geth's RLP with its optional fields; a list of validators' chain once had a base fee
    # and blobs without withdrawals.
    gap = {**PRAGUE, "withdrawalsRoot": None}
    assert len(rebuilt(gap)) == len(rebuilt(PRAGUE)) - 32


@pytest.mark.parametrize("name", list(FIELDS))
@pytest.mark.parametrize("value", [None, 7, "", "0x", "0xg0", "7", ["0x"], "0x" + "1" * 65])
def test_a_field_of_another_form_is_refused(name: str, value: object) -> None:
    if name == "extraData" and value == "0x":
        return
    with pytest.raises(BadAnswer):
        rebuilt({**PRAGUE, name: value})


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, *LATER]),
        st.one_of(st.none(), st.integers(), st.text(max_size=80), st.from_regex(r"0x[0-9a-f]*")),
    )
)
def test_any_members_give_a_header_or_bad_answer(members: dict[str, Any]) -> None:
    try:
        rebuilt({**PRAGUE, **members})
    except BadAnswer:
        return
