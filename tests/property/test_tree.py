"""Trees over random digests: every path leads to the root, and nothing else does."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from cores import CORES, using
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.tree.tree import (
    MAX_SIZE,
    NODE,
    level_sizes,
    next_level,
    prove,
    root_from_path,
    root_of,
    siblings,
)

DIGEST = st.binary(min_size=NODE, max_size=NODE)
LEAVES = st.lists(DIGEST, min_size=1, max_size=200)


@pytest.fixture(params=CORES, autouse=True)
def _each_core(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(request.param):
        yield


def implied(digest: bytes, position: int, size: int, path: list[bytes]) -> bytes | None:
    try:
        return root_from_path(digest, position, size, path)
    except InvalidInput:
        return None


@given(leaves=LEAVES, data=st.data())
def test_each_path_leads_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    packed, position = b"".join(leaves), data.draw(st.integers(0, len(leaves) - 1))
    assert root_from_path(
        leaves[position], position, len(leaves), prove(packed, position)
    ) == root_of(packed)


@given(leaves=LEAVES, data=st.data())
def test_a_flipped_bit_leads_elsewhere(leaves: list[bytes], data: st.DataObject) -> None:
    packed, position = b"".join(leaves), data.draw(st.integers(0, len(leaves) - 1))
    nodes = [leaves[position], *prove(packed, position)]
    at, bit = data.draw(st.integers(0, len(nodes) - 1)), data.draw(st.integers(0, 8 * NODE - 1))
    nodes[at] = (int.from_bytes(nodes[at]) ^ 1 << bit).to_bytes(NODE)
    assert implied(nodes[0], position, len(leaves), nodes[1:]) != root_of(packed)


@given(leaves=st.lists(DIGEST, min_size=2, max_size=200, unique=True), data=st.data())
def test_a_path_taken_apart_leads_elsewhere(leaves: list[bytes], data: st.DataObject) -> None:
    packed, position = b"".join(leaves), data.draw(st.integers(0, len(leaves) - 1))
    path, root = prove(packed, position), root_of(packed)
    at = data.draw(st.integers(0, len(path) - 1))
    for other in (
        path[:at] + path[at + 1 :],
        path[: at + 1] + path[at:],
        path[at + 1 :] + path[: at + 1],
    ):
        assert other == path or implied(leaves[position], position, len(leaves), other) != root


@given(leaves=st.lists(DIGEST, min_size=1, max_size=60), more=DIGEST)
def test_another_leaf_makes_another_root(leaves: list[bytes], more: bytes) -> None:
    packed = b"".join(leaves)
    assert root_of(packed + more) != root_of(packed)


@given(size=st.integers(1, MAX_SIZE), data=st.data())
def test_a_path_is_never_longer_than_the_tree_is_high(size: int, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, size - 1))
    sizes, path = list(level_sizes(size)), list(siblings(position, size))
    assert len(path) <= len(sizes) - 1 == (size - 1).bit_length()
    for level, index in path:
        assert index == position >> level ^ 1
        assert index < sizes[level]


@given(leaves=LEAVES, data=st.data())
def test_a_level_cut_after_an_even_node_is_the_same_level(
    leaves: list[bytes], data: st.DataObject
) -> None:
    cuts = sorted(
        2 * cut for cut in data.draw(st.lists(st.integers(0, len(leaves) // 2), max_size=5))
    )
    ends = [0, *cuts, len(leaves)]
    parts = [b"".join(leaves[start:end]) for start, end in pairwise(ends)]
    assert b"".join(map(next_level, parts)) == next_level(b"".join(leaves))


@given(
    st.binary(max_size=200),
    st.integers(-(2**70), 2**70),
    st.integers(-(2**70), 2**70),
    st.lists(st.binary(max_size=40), max_size=60),
)
def test_whatever_is_asked_it_answers_or_raises_invalid_input(
    digest: bytes, position: int, size: int, path: list[bytes]
) -> None:
    root = implied(digest, position, size, path)
    assert root is None or len(root) == NODE
