"""merkletools as an independent reader of our paths, and as an independent builder of the same
trees.

It needs to be told on which side each sibling stands. With sorted pairs the values themselves say
so.
"""

import importlib
from hashlib import sha256
from types import ModuleType
from typing import Any

import pytest
from real import unavailable

from witnesstree.ledger.tree.tree import NODE, parent, prove, root_of


@pytest.fixture(scope="module")
def merkletools() -> ModuleType:
    try:
        return importlib.import_module("merkletools")
    except ImportError as error:
        unavailable(
            f"merkletools cannot be imported ({error}): install it with --no-deps, and safe-pysha3"
            " beside it"
        )


def sided(digest: bytes, path: list[bytes]) -> list[dict[str, str]]:
    """Our path as merkletools reads it."""
    proof = []
    for node in path:
        proof.append({"left" if node < digest else "right": node.hex()})
        digest = parent(digest, node)
    return proof


def leaves_of(size: int) -> list[bytes]:
    return [sha256(b"leaf %d" % i).digest() for i in range(size)]


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33, 100])
def test_it_accepts_every_path_of_ours(merkletools: ModuleType, size: int) -> None:
    reader, leaves = merkletools.MerkleTools(hash_type="sha256"), leaves_of(size)
    packed = b"".join(leaves)
    for position, leaf in enumerate(leaves):
        proof = sided(leaf, prove(packed, position))
        assert reader.validate_proof(proof, leaf.hex(), root_of(packed).hex())
        assert not reader.validate_proof(proof, sha256(leaf).hexdigest(), root_of(packed).hex())
        if proof:
            assert not reader.validate_proof(proof[1:], leaf.hex(), root_of(packed).hex())


class _Ordered(bytearray):
    """A node that puts itself before or after another by value, as RFC 4998 has it, where
    merkletools puts left before right."""

    def __add__(self, other: Any) -> "_Ordered":
        return _Ordered(bytes(min(self, other)) + bytes(max(self, other)))


@pytest.mark.parametrize("size", range(1, 34))
def test_it_builds_the_same_root_where_the_pairs_are_sorted(
    merkletools: ModuleType, size: int
) -> None:
    builder = merkletools.MerkleTools(hash_type="sha256")
    leaves = leaves_of(size)

    class Node:
        """What merkletools takes for a hash function."""

        def __init__(self, content: bytes) -> None:
            self._digest = sha256(content).digest()

        def digest(self) -> _Ordered:
            return _Ordered(self._digest)

    builder.hash_function = Node
    builder.add_leaf([leaf.hex() for leaf in leaves])
    builder.leaves = [_Ordered(leaf) for leaf in builder.leaves]
    builder.make_tree()
    assert builder.get_merkle_root() == root_of(b"".join(leaves)).hex()
    for position in range(size):
        proof = [bytes.fromhex(next(iter(step.values()))) for step in builder.get_proof(position)]
        assert proof == prove(b"".join(leaves), position)
        assert all(len(node) == NODE for node in proof)
