"""stateproof.py reads any bytes to a value or InvalidInput, agrees with rlp and trie, and every
byte of a proof counts."""

import json
from pathlib import Path
from typing import Any

import pytest
import rlp
from fakes import strides
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.chain import stateproof
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import Header, parse_header, prove_slot

_CASES = json.loads((Path(__file__).parents[1] / "vectors" / "chain" / "slot.json").read_text())[
    "cases"
]
HAPPY: dict[str, Any] = {
    name: (
        [bytes.fromhex(node[2:]) for node in value]
        if isinstance(value, list)
        else bytes.fromhex(value[2:])
    )
    for name, value in _CASES[0].items()
    if name in {"header", "contract", "root", "account", "storage"}
}
HONEST = prove_slot(
    parse_header(HAPPY["header"]),
    HAPPY["contract"],
    HAPPY["root"],
    HAPPY["account"],
    HAPPY["storage"],
)

rlp_values = st.recursive(
    st.binary(max_size=70), lambda values: st.lists(values, max_size=18), max_leaves=30
)
rlp_bytes = st.one_of(st.binary(max_size=600), rlp_values.map(rlp.encode))


@given(rlp_bytes)
def test_any_bytes_are_a_header_or_refused(content: bytes) -> None:
    try:
        header = parse_header(content)
    except InvalidInput:
        return
    assert header.hash == keccak256(content)


@given(
    st.lists(rlp_bytes, max_size=4),
    st.lists(rlp_bytes, max_size=4),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
def test_any_proof_is_refused_or_read(
    account: list[bytes], storage: list[bytes], contract: bytes, root: bytes
) -> None:
    """The root of each trie is the first node's hash, so that the walk goes into the bytes."""
    header = Header(bytes(32), 0, 0, keccak256(account[0]) if account else bytes(32))
    with pytest.raises(InvalidInput):
        prove_slot(header, contract, root, account, storage)


@given(rlp_values, st.binary(min_size=1, max_size=3))
def test_a_node_of_any_shape_is_refused_or_read(node: Any, path: bytes) -> None:
    """A node that hashes right and has any form: what a walk through it gives is a link, a value,
    or InvalidInput."""
    try:
        rest, end = stateproof._descend(rlp.encode(node), path.hex(), "the node")
    except InvalidInput:
        return
    assert path.hex().endswith(rest)
    assert end.is_leaf or len(end.content) == 32


@given(rlp_values)
def test_rlp_is_read_as_the_library_reads_it(value: Any) -> None:
    encoded = rlp.encode(value)
    item = stateproof._whole(encoded, "the value")
    assert item.encoded == encoded
    assert _value_of(item) == value


@given(
    st.one_of(
        st.binary(max_size=80),
        st.tuples(rlp_values.map(rlp.encode), st.integers(0), st.integers(1, 255)).map(
            lambda case: _flipped(*case)
        ),
    )
)
def test_what_the_library_refuses_is_refused(content: bytes) -> None:
    """And what it accepts is accepted: both read the canonical spelling alone."""
    try:
        expected = rlp.decode(content, strict=True)
    except rlp.DecodingError:
        with pytest.raises(InvalidInput):
            _value_of(stateproof._whole(content, "the value"))
    else:
        assert _value_of(stateproof._whole(content, "the value")) == expected


@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=4),
        st.binary(min_size=1, max_size=40),
        min_size=1,
        max_size=60,
    ),
    st.data(),
)
def test_a_trie_is_read_as_the_library_reads_it(
    values: dict[bytes, bytes], data: st.DataObject
) -> None:
    """Presence, absence and value; small values make nodes that stand in their parents."""
    trie = HexaryTrie({})
    for key, value in values.items():
        trie[keccak256(key)] = value
    key = data.draw(st.one_of(st.sampled_from(sorted(values)), st.binary(max_size=4)))
    nodes = [rlp.encode(node) for node in trie.get_proof(keccak256(key))]  # type: ignore[no-untyped-call]
    proof = [node for depth, node in enumerate(nodes) if depth == 0 or len(node) >= 32]
    if key in values:
        assert stateproof._value(trie.root_hash, key, proof, "test") == values[key]
    else:
        with pytest.raises(InvalidInput, match="absent"):
            stateproof._value(trie.root_hash, key, proof, "test")


@given(st.integers(1, 2**256 - 1))
def test_an_anchoring_is_what_solidity_packs(word: int) -> None:
    value = rlp.encode(word.to_bytes((word.bit_length() + 7) // 8))
    if word % 2**48 == 0:
        with pytest.raises(InvalidInput, match="without a time"):
            stateproof._anchoring(value)
    else:
        found = stateproof._anchoring(value)
        assert int.from_bytes(found.submitter) << 96 | found.block_number << 48 | found.time == word


def _positions() -> list[tuple[str, int, int]]:
    nodes = [
        ("header", 0, HAPPY["header"]),
        *((name, i, node) for name in ("account", "storage") for i, node in enumerate(HAPPY[name])),
    ]
    return [(name, i, at) for name, i, node in nodes for at in range(len(node))]


@pytest.mark.parametrize("stride", strides(3))
def test_every_byte_of_a_proof_counts(stride: int) -> None:
    """One bit, at every byte: it is refused, or (in the header) it is another block's hash."""
    for name, i, at in _positions()[::stride]:
        changed = dict(HAPPY)
        if name == "header":
            changed["header"] = _flipped(HAPPY["header"], at, 1 << at % 8)
        else:
            changed[name] = [
                _flipped(node, at, 1 << at % 8) if n == i else node
                for n, node in enumerate(HAPPY[name])
            ]
        try:
            header = parse_header(changed["header"])
            slot = prove_slot(
                header, changed["contract"], changed["root"], changed["account"], changed["storage"]
            )
        except InvalidInput:
            continue
        assert name == "header", (name, i, at)
        assert header.hash != parse_header(HAPPY["header"]).hash
        assert slot == HONEST


@given(st.sampled_from(["root", "contract"]), st.integers(0), st.integers(1, 255))
def test_another_root_or_contract_is_refused(name: str, at: int, mask: int) -> None:
    changed = {**HAPPY, name: _flipped(HAPPY[name], at, mask)}
    with pytest.raises(InvalidInput):
        prove_slot(
            parse_header(changed["header"]),
            changed["contract"],
            changed["root"],
            changed["account"],
            changed["storage"],
        )


def _flipped(content: bytes, at: int, mask: int) -> bytes:
    if not content:
        return content
    at %= len(content)
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def _value_of(item: Any) -> Any:
    if not item.is_list:
        return item.content
    return [_value_of(member) for member in stateproof._items(item.encoded, "a list")]
