"""Names, nodes and trees of blocks: what is written can be read, and any bytes give a value or
InvalidInput."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from witnesstree.anchor.ipfs import local
from witnesstree.anchor.ipfs.cid import (
    DAG_PB,
    RAW,
    Cid,
    cid_from_bytes,
    cid_of,
    format_varint,
    parse_cid,
    parse_varint,
)
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.unixfs import Link, format_node, parse_node, store_chunks, walk
from witnesstree.ledger.base.errors import InvalidInput

cids = st.builds(Cid, st.sampled_from([RAW, DAG_PB]), st.binary(min_size=32, max_size=32))
sizes = st.integers(1, 2**40)


@st.composite
def links(draw: st.DrawFn) -> Link:
    cid, size = draw(cids), draw(sizes)
    return Link(cid, size, size if cid.codec == RAW else size + draw(sizes))


@given(cids)
def test_a_cid_survives_both_spellings(cid: Cid) -> None:
    assert parse_cid(str(cid)) == cid
    assert cid_from_bytes(bytes(cid)) == cid


@given(
    st.text(max_size=80)
    | st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=58, max_size=58).map(
        "b".__add__
    )
)
def test_any_text_is_a_cid_in_its_one_spelling_or_refused(text: str) -> None:
    try:
        cid = parse_cid(text)
    except InvalidInput:
        return
    assert str(cid) == text


@given(st.integers(0, 2**63 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_a_varint_survives(value: int, before: bytes, after: bytes) -> None:
    content = before + format_varint(value)
    assert parse_varint(content + after, len(before)) == (value, len(content))


@given(st.binary(max_size=12))
def test_any_bytes_are_the_one_spelling_of_a_varint_or_refused(content: bytes) -> None:
    try:
        value, end = parse_varint(content, 0)
    except InvalidInput:
        return
    assert format_varint(value) == content[:end]


@given(st.lists(links(), min_size=1, max_size=20))
def test_a_node_survives(below: list[Link]) -> None:
    assert parse_node(format_node(below)) == below


@given(st.binary(max_size=200))
def test_any_bytes_are_the_one_spelling_of_a_node_or_refused(block: bytes) -> None:
    try:
        below = parse_node(block)
    except InvalidInput:
        return
    assert format_node(below) == block


@given(st.lists(links(), min_size=1, max_size=4).map(format_node), st.data())
def test_a_changed_node_is_still_the_one_spelling_of_a_node_or_refused(
    block: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(block) - 1))
    changed = (
        block[:at] + data.draw(st.binary(max_size=3)) + block[at + data.draw(st.integers(0, 3)) :]
    )
    try:
        below = parse_node(changed)
    except InvalidInput:
        return
    assert format_node(below) == changed


def plainly(chunks: Sequence[bytes], node_links: int) -> Cid:
    """The balanced tree as one would draw it: level by level, all in memory."""
    level = [Link(cid_of(RAW, chunk), len(chunk), len(chunk)) for chunk in chunks or [b""]]
    while len(level) > 1:
        groups = [level[at : at + node_links] for at in range(0, len(level), node_links)]
        nodes = [format_node(group) for group in groups]
        level = [
            Link(
                cid_of(DAG_PB, node),
                sum(link.size for link in group),
                len(node) + sum(link.total for link in group),
            )
            for node, group in zip(nodes, groups, strict=True)
        ]
    return level[0].cid


@pytest.mark.parametrize("node_links", [2, 3, 5])
def test_the_tree_of_every_size_is_balanced_and_gives_back_its_chunks(node_links: int) -> None:
    for count in range(70):
        chunks = [number.to_bytes(2, "big") for number in range(count)]
        blocks: dict[Cid, bytes] = {}

        def put(cid: Cid, block: bytes, blocks: dict[Cid, bytes] = blocks) -> None:
            assert cid.codec == RAW or all(link.cid in blocks for link in parse_node(block))
            blocks[cid] = block

        root = store_chunks(chunks, put, node_links)
        assert root == plainly(chunks, node_links)
        seen = list(walk(root, blocks.__getitem__))
        assert [block for cid, block in seen if cid.codec == RAW] == (chunks or [b""])
        assert {cid for cid, _ in seen} == set(blocks)
        assert list(walk(root, blocks.__getitem__, once=True)) == seen


def read_car(content: bytes) -> tuple[bytes, list[tuple[Cid, bytes]]]:
    """A CAR as its specification reads, for one root: header and blocks."""
    sections, at = [], 0
    while at < len(content):
        size, at = parse_varint(content, at)
        assert at + size <= len(content)
        sections.append(content[at : at + size])
        at += size
    return sections[0], [(cid_from_bytes(section[:36]), section[36:]) for section in sections[1:]]


@settings(max_examples=50, deadline=None)
@given(
    content=st.binary(max_size=64)
    | st.sampled_from([b"ab", b"abc", b"a"]).flatmap(
        lambda part: st.integers(0, 40).map(part.__mul__)
    )
)
def test_a_stored_file_comes_back_and_its_car_holds_it_once(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(local, "CHUNK", 2)
        file, back, car, store = (
            Path(folder, "in"),
            Path(folder, "out"),
            Path(folder, "out.car"),
            BlockStore(Path(folder, "ipfs")),
        )
        file.write_bytes(content)
        cid = store.add(file)
        store.read(cid, back)
        assert back.read_bytes() == content
        assert list(store.check()) == []
        store.export_car(cid, car)
        header, blocks = read_car(car.read_bytes())
        assert (
            header
            == bytes.fromhex("a265726f6f747381d82a582500") + bytes(parse_cid(cid)) + b"gversion\x01"
        )
        assert blocks[0][0] == parse_cid(cid)
        assert len({name for name, _ in blocks}) == len(blocks)
        assert all(cid_of(name.codec, block) == name for name, block in blocks)
        leaves = [
            block
            for name, block in walk(parse_cid(cid), dict(blocks).__getitem__)
            if name.codec == RAW
        ]
        assert b"".join(leaves) == content
