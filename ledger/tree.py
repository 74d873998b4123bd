"""Hash trees after RFC 4998, 4.2: pure functions on 32-byte SHA-256 digests. No other module hashes nodes.

A leaf is a digest itself. The parent of two nodes is SHA-256(min(a, b) || max(a, b)). Nodes are paired from left to right; an odd last
node moves up unchanged. A tree of one leaf has that leaf as its root.

Levels are packed bytes, 32 bytes a node, so that a batch never becomes a Python object per digest.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from witnesstree.ledger.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NODE = 32
"""Bytes in a node."""

MAX_SIZE = 2**48
"""Leaves in a tree, at most: more than any disk holds, and a JSON number that every reader takes exactly."""


def parent(a: bytes, b: bytes) -> bytes:
    """Return the node above `a` and `b`; their order does not matter (RFC 4998, 4.2.1, step 4)."""
    return sha256(a + b if a < b else b + a).digest()


def next_level(nodes: bytes) -> bytes:
    """Return the packed level above the packed level `nodes`, in one piece: hand in long levels part by part, cut after an even node."""
    last = len(nodes) - NODE
    parents = [parent(nodes[i : i + NODE], nodes[i + NODE : i + 2 * NODE]) for i in range(0, last, 2 * NODE)]
    if len(nodes) // NODE % 2:
        parents.append(nodes[last:])
    return b"".join(parents)


def levels_above(nodes: bytes) -> Iterator[bytes]:
    """Yield the packed levels above the packed level `nodes`, one by one, up to a single node. Above a single node there is none."""
    while len(nodes) > NODE:
        nodes = next_level(nodes)
        yield nodes


def level_sizes(size: int) -> Iterator[int]:
    """Yield the number of nodes in each level of a tree of `size` leaves, from the leaves up to the root.

    Raises InvalidInput if no tree has that many leaves.
    """
    _require_size(size)
    while size > 1:
        yield size
        size = (size + 1) // 2
    yield 1


def siblings(position: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of each node on the path from the leaf at `position`: level 0 holds the leaves.

    A level in which the node has no sibling, and so moves up unchanged, yields nothing.

    Raises InvalidInput if a tree of `size` leaves has no such position.
    """
    _require_size(size)
    if not 0 <= position < size:
        raise InvalidInput(f"a tree of {size} leaves has no position {position}")
    level = 0
    while size > 1:
        sibling = position ^ 1
        if sibling < size:
            yield level, sibling
        level, position, size = level + 1, position // 2, (size + 1) // 2


def root_of(leaves: bytes) -> bytes:
    """Return the root of the tree over packed `leaves`, all in memory. Raises InvalidInput if they are no whole digests, or none."""
    _require_packed(leaves)
    for level in levels_above(leaves):
        leaves = level
    return leaves


def prove(leaves: bytes, position: int) -> list[bytes]:
    """Return the path of the leaf at `position`, from the leaf up, all in memory. Matches `root_from_path`.

    Raises InvalidInput as `siblings` does.
    """
    _require_packed(leaves)
    levels = [leaves, *levels_above(leaves)]
    return [levels[level][index * NODE : (index + 1) * NODE] for level, index in siblings(position, len(leaves) // NODE)]


def root_from_path(digest: bytes, position: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that `path` implies for `digest` at `position` in a tree of `size` leaves.

    This proves nothing by itself: the caller compares the result with a root it already trusts. The path must be exactly as long as that
    position demands, because sorted pairs carry no mark of their level: without that rule, two sibling hashes would pass for a leaf one level
    up. In a tree with an odd level they still can, at a position whose path is shorter. The position is not proven beyond the path's length.

    Raises InvalidInput if these values cannot belong to one tree.
    """
    expected = sum(1 for _ in siblings(position, size))
    if len(path) != expected:
        raise InvalidInput(f"position {position} of {size} leaves has a path of {expected} hashes, not {len(path)}")
    for node in (digest, *path):
        if len(node) != NODE:
            raise InvalidInput(f"a node has {NODE} bytes, not {len(node)}")
    for node in path:
        digest = parent(digest, node)
    return digest


def _require_size(size: int) -> None:
    if not 1 <= size <= MAX_SIZE:
        raise InvalidInput(f"a tree has 1 to {MAX_SIZE} leaves, not {size}")


def _require_packed(leaves: bytes) -> None:
    if not leaves or len(leaves) % NODE:
        raise InvalidInput(f"packed digests are a whole number of {NODE} bytes and at least one, not {len(leaves)} bytes")
