"""ledger/tree/tree.py against tests/vectors/tree/, and what it refuses; all of it on both cores."""

import json
import mmap
from array import array
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cores import CORES, using
from vectors.tree.make import format_file, make

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.tree.tree import (
    MAX_HEIGHT,
    MAX_SIZE,
    NODE,
    PART,
    level_above,
    level_sizes,
    levels_above,
    next_level,
    parent,
    prove,
    root_from_path,
    root_of,
    siblings,
)

VECTORS = Path(__file__).parents[3] / "vectors" / "tree"


@pytest.fixture(params=CORES, autouse=True)
def _each_core(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(request.param):
        yield


def test_the_vectors_are_what_their_generator_makes() -> None:
    for name, content in make().items():
        assert (VECTORS / name).read_text(encoding="utf-8") == format_file(content)


def cases(name: str) -> list[Any]:
    content = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [
        pytest.param(case, id=str(case.get("name") or case["size"])) for case in content["cases"]
    ]


def leaves_of(size: int) -> bytes:
    """The vectors' leaves: leaf i is the SHA-256 of i in decimal."""
    return b"".join(sha256(str(i).encode()).digest() for i in range(size))


def outcome(digest: bytes, position: int, size: int, path: list[bytes], root: bytes) -> str:
    try:
        return "verifies" if root_from_path(digest, position, size, path) == root else "refused"
    except InvalidInput:
        return "invalid"


def plain_root(level: list[bytes]) -> bytes:
    """The rule of RFC 4998, 4.2.1, as one would write it on a blackboard."""
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [
            sha256(b"".join(sorted(pair))).digest() if len(pair) == 2 else pair[0] for pair in pairs
        ]
    return level[0]


# Vectors


@pytest.mark.parametrize("case", cases("tree.json"))
def test_tree_vector(case: dict[str, Any]) -> None:
    leaves = [bytes.fromhex(leaf) for leaf in case["leaves"]] if "leaves" in case else None
    packed = b"".join(leaves) if leaves else leaves_of(case["size"])
    assert packed == leaves_of(case["size"])
    assert root_of(packed).hex() == case["root"]
    assert len(case["paths"]) == case["size"] or case["size"] > 17
    for position, path in case["paths"].items():
        assert [node.hex() for node in prove(packed, int(position))] == path


@pytest.mark.parametrize("case", cases("path.json"))
def test_path_vector(case: dict[str, Any]) -> None:
    path = [bytes.fromhex(node) for node in case["path"]]
    found = outcome(
        bytes.fromhex(case["digest"]),
        case["position"],
        case["size"],
        path,
        bytes.fromhex(case["root"]),
    )
    assert found == case["expect"]


# The rule


def test_a_leaf_alone_is_its_root() -> None:
    leaf = sha256(b"leaf").digest()
    assert root_of(leaf) == leaf
    assert prove(leaf, 0) == []
    assert root_from_path(leaf, 0, 1, []) == leaf


def test_the_parent_does_not_depend_on_the_order() -> None:
    a, b = bytes(31) + b"\x80", b"\x7f" + bytes(31)
    assert parent(a, b) == parent(b, a) == sha256(a + b).digest()


def test_digests_are_compared_as_unsigned_bytes() -> None:
    low, high = b"\x7f" * 32, b"\x80" + bytes(31)
    assert parent(high, low) == sha256(low + high).digest()


def test_an_odd_last_node_moves_up_unchanged() -> None:
    a, b, c = (sha256(text).digest() for text in (b"a", b"b", b"c"))
    assert next_level(a + b + c) == parent(a, b) + c
    assert prove(a + b + c, 2) == [parent(a, b)]


def test_every_position_of_every_tree_to_130() -> None:
    for size in range(1, 131):
        packed = leaves_of(size)
        root = plain_root([packed[i : i + NODE] for i in range(0, len(packed), NODE)])
        assert root_of(packed) == root
        for position in range(size):
            path = prove(packed, position)
            assert root_from_path(packed[position * NODE :][:NODE], position, size, path) == root


def test_no_path_of_another_length_is_taken() -> None:
    for size in range(1, 34):
        packed = leaves_of(size)
        for position in range(size):
            digest, path = packed[position * NODE :][:NODE], prove(packed, position)
            for wrong in (path[:-1], path[1:], [*path, digest]):
                if len(wrong) != len(path):
                    with pytest.raises(
                        InvalidInput,
                        match=(
                            f"position {position} among {size} digests has a path of"
                            f" {len(path)} hash"
                        ),
                    ):
                        root_from_path(digest, position, size, wrong)


@pytest.mark.parametrize("size", [2, 4, 8, 7, 130])
def test_two_sibling_hashes_do_not_pass_for_a_leaf(size: int) -> None:
    """Without the rule of the length they would: nodes carry no mark of their level, as in
    OpenZeppelin's MerkleProof."""
    packed = leaves_of(size)
    root, path = root_of(packed), prove(packed, 0)
    file = b"".join(sorted((packed[:NODE], path[0])))
    assert len(file) == 64

    digest = sha256(file).digest()
    naive = digest
    for node in path[1:]:
        naive = parent(naive, node)
    assert naive == root

    for position in range(size):
        # Only where a node moved up unchanged is a path so short; there, another path is needed.
        assert (
            outcome(digest, position, size, path[1:], root) == "invalid"
            or length(position, size) == len(path) - 1
        )


def length(position: int, size: int) -> int:
    return sum(1 for _ in siblings(position, size))


def test_in_an_odd_tree_a_short_position_can_be_claimed_for_an_inner_node() -> None:
    """What the rule of the length does not find, and docs/proof-format.md says so: such 64 bytes
    did exist when the batch was sealed."""
    packed = leaves_of(7)
    digest = parent(packed[:NODE], packed[NODE : 2 * NODE])
    assert length(6, 7) == 2
    assert outcome(digest, 6, 7, prove(packed, 0)[1:], root_of(packed)) == "verifies"


# Levels


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 31, 64])
def test_a_level_may_be_handed_in_part_by_part(size: int) -> None:
    packed = leaves_of(size)
    whole = next_level(packed)
    for cut in range(0, size + 1, 2):
        assert next_level(packed[: cut * NODE]) + next_level(packed[cut * NODE :]) == whole


def test_the_levels_are_as_large_as_said() -> None:
    for size in range(1, 131):
        packed, sizes = leaves_of(size), []
        while True:
            sizes.append(len(packed) // NODE)
            if len(packed) == NODE:
                break
            packed = next_level(packed)
        assert list(level_sizes(size)) == sizes


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 33, 64, 130, PART // NODE + 3])
def test_levels_may_be_skipped(size: int) -> None:
    packed = leaves_of(min(size, 130)) if size <= 130 else bytes(range(NODE)) * size
    levels = [packed, *levels_above(packed)]
    for height in (*range(len(levels) + 1), MAX_HEIGHT):
        assert level_above(packed, height) == levels[min(height, len(levels) - 1)]
    for below, above in pairwise(levels):
        assert next_level(below) == above
    assert len(levels[-1]) == min(size, 1) * NODE


def test_a_level_may_stand_in_anything_that_gives_out_its_memory(tmp_path: Path) -> None:
    packed = leaves_of(9)
    file = tmp_path / "digests"
    file.write_bytes(packed)
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        matrix = np.frombuffer(packed, dtype="u1").reshape(9, NODE)
        unaligned = memoryview(b"x" + packed)[1:]
        for buffer in (
            packed,
            bytearray(packed),
            memoryview(packed),
            unaligned,
            mapped,
            array("Q", packed),
            matrix,
            matrix.view(">u8"),
        ):
            assert next_level(buffer) == next_level(packed)
            assert levels_above(buffer) == levels_above(packed)
            assert root_of(buffer) == root_of(packed)
            assert prove(buffer, 8) == prove(packed, 8)
    nothing = np.empty((0, NODE), dtype="u1")
    assert next_level(nothing) == b""
    assert levels_above(nothing) == []


def test_siblings_of_the_largest_tree() -> None:
    assert [level for level, _ in siblings(0, MAX_SIZE)] == list(range(48))
    assert [index for _, index in siblings(MAX_SIZE - 1, MAX_SIZE)] == [
        2 ** (48 - level) - 2 for level in range(48)
    ]
    assert next(siblings(MAX_SIZE - 2, MAX_SIZE - 1)) == (1, 2**47 - 2)
    assert length(2**47, 2**47 + 1) == 1


# What is refused


@pytest.mark.parametrize(
    ("position", "size"),
    [(-1, 1), (1, 1), (7, 7), (0, 0), (0, -1), (0, MAX_SIZE + 1), (2**64, MAX_SIZE)],
)
def test_no_such_position(position: int, size: int) -> None:
    with pytest.raises(InvalidInput):
        list(siblings(position, size))
    with pytest.raises(InvalidInput):
        root_from_path(bytes(NODE), position, size, [])


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1])
def test_no_such_size(size: int) -> None:
    with pytest.raises(InvalidInput, match="a tree has 1 to"):
        list(level_sizes(size))


@pytest.mark.parametrize("leaves", [b"", bytes(1), bytes(31), bytes(33), bytes(65)])
def test_leaves_that_are_no_whole_digests(leaves: bytes) -> None:
    with pytest.raises(InvalidInput, match="packed digest"):
        root_of(leaves)
    with pytest.raises(InvalidInput, match="packed digest"):
        prove(leaves, 0)


@pytest.mark.parametrize("nodes", [bytes(1), bytes(31), bytes(33), bytes(65)])
def test_levels_of_no_whole_nodes(nodes: bytes) -> None:
    for function in (next_level, levels_above):
        with pytest.raises(
            InvalidInput, match=f"whole number of 32 bytes each, not {len(nodes)} bytes"
        ):
            function(nodes)


def test_nodes_that_do_not_stand_one_after_the_other() -> None:
    packed = leaves_of(8)
    for apart in (memoryview(packed)[::2], np.frombuffer(packed, dtype="u1").reshape(8, NODE).T):
        for function in (next_level, levels_above, root_of):
            with pytest.raises(InvalidInput, match="contiguous memory"):
                function(apart)


@pytest.mark.parametrize("height", [-1, MAX_HEIGHT + 1, 2**70])
def test_no_tree_is_so_high(height: int) -> None:
    with pytest.raises(InvalidInput, match="0 to 48 levels"):
        level_above(bytes(64), height)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytes(64)])
def test_nodes_of_another_length(digest: bytes) -> None:
    with pytest.raises(InvalidInput, match="a node has 32 bytes"):
        root_from_path(digest, 0, 2, [bytes(32)])
    with pytest.raises(InvalidInput, match="a node has 32 bytes"):
        root_from_path(bytes(32), 0, 2, [digest])


def test_no_path_for_a_position_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="no position 3"):
        prove(leaves_of(3), 3)
