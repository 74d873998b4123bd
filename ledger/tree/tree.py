"""Hash trees after RFC 4998, 4.2: pure functions on 32-byte SHA-256 digests.

No other module hashes nodes.

A leaf is a digest itself. The parent of two nodes is SHA-256(min(a, b) || max(a, b)). Nodes are
paired from left to right; an odd last node moves up unchanged. A tree of one leaf has that leaf as
its root.

Levels are packed bytes, 32 bytes a node, so that a batch never becomes a Python object per digest.
They may be in anything that gives access to its memory: bytes, a memoryview, a mapped file.
Where the native core was built (core.py), it hashes them on all of the machine's cores.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.tree import core

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer

NODE = 32
"""Bytes in a node."""

MAX_SIZE = 2**48
"""Leaves in a tree, at most: more than any disk holds, and a JSON number that every reader takes
exactly."""

MAX_HEIGHT = 48
"""Levels above the leaves of the largest tree."""

PART = 2**16 * NODE
"""Bytes that are hashed at a time in Python (2 MiB); a multiple of two nodes."""


def parent(a: bytes, b: bytes) -> bytes:
    """Return the node above `a` and `b`; their order does not matter (RFC 4998, 4.2.1, step 4)."""
    return sha256(a + b if a < b else b + a).digest()


def next_level(nodes: Buffer) -> bytes:
    """Return the packed level above the packed level `nodes`, in one piece: pass long levels
    part by part, cut after an even node.

    Raises InvalidInput as `level_above` does.
    """
    return level_above(nodes, 1)


def level_above(nodes: Buffer, height: int) -> bytes:
    """Return the packed level `height` levels above the packed level `nodes`; above a
    single node, and above nothing, it is that again.

    A long level may be passed part by part, cut after a multiple of 2**height nodes. `nodes` is
    not copied, and nothing may write to it meanwhile. Beside the answer this needs less than 1 MiB
    a core, and a node for each 2**13.

    Raises InvalidInput if they are no whole nodes in contiguous memory, or no tree is so high.
    """
    view = _packed(nodes)
    if not 0 <= height <= MAX_HEIGHT:
        raise InvalidInput("height-out-of-range", most=MAX_HEIGHT, found=height)
    if native := core.native():
        return native.above(view, height)
    level = _above(view) if height and len(view) > NODE else bytes(view)
    for _ in range(1, height):
        if len(level) <= NODE:
            break
        level = _above(memoryview(level))
    return level


def levels_above(nodes: Buffer) -> list[bytes]:
    """Return the packed levels above the packed level `nodes`, the lowest first, up to a single
    node. Above a single node there is none.

    They take as many bytes together as `nodes`, which is read once, not copied, and must not be
    written to meanwhile.

    Raises InvalidInput as `level_above` does.
    """
    view = _packed(nodes)
    if native := core.native():
        return native.levels(view)
    levels: list[bytes] = []
    while len(view) > NODE:
        levels.append(_above(view))
        view = memoryview(levels[-1])
    return levels


def level_sizes(size: int) -> Iterator[int]:
    """Yield the number of nodes in each level of a tree of `size` leaves, from the leaves up to the
    root.

    Raises InvalidInput if no tree has that many leaves.
    """
    _require_size(size)
    while size > 1:
        yield size
        size = (size + 1) // 2
    yield 1


def siblings(position: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of each node on the path from the leaf at `position`: level 0 holds the
    leaves.

    A level in which the node has no sibling, and so moves up unchanged, yields nothing.

    Raises InvalidInput if a tree of `size` leaves has no such position.
    """
    _require_size(size)
    if not 0 <= position < size:
        raise InvalidInput("position-not-in-tree", size=size, position=position)
    level = 0
    while size > 1:
        sibling = position ^ 1
        if sibling < size:
            yield level, sibling
        level, position, size = level + 1, position // 2, (size + 1) // 2


def root_of(leaves: Buffer) -> bytes:
    """Return the root of the tree over packed `leaves`, all in memory.

    Raises InvalidInput if they are no whole digests, or none.
    """
    view = _packed(leaves)
    if not view:
        raise InvalidInput("no-leaves-for-root")
    return level_above(view, MAX_HEIGHT)


def prove(leaves: Buffer, position: int) -> list[bytes]:
    """Return the path of the leaf at `position`, from the leaf up, all in memory.

    Matches `root_from_path`.

    Raises InvalidInput as `siblings` does, or if `leaves` are no whole digests.
    """
    view = _packed(leaves)
    if not view:
        raise InvalidInput("no-leaves-for-path")
    path = list(siblings(position, len(view) // NODE))
    levels = [view, *levels_above(view)]
    return [bytes(levels[level][index * NODE : (index + 1) * NODE]) for level, index in path]


def root_from_path(digest: bytes, position: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that `path` implies for `digest` at `position` in a tree of `size` leaves.

    This proves nothing by itself: the caller compares the result with a root it already trusts. The
    path must be exactly as long as that position demands, because sorted pairs carry no mark of
    their level: without that rule, two sibling hashes would pass for a leaf one level up. In a tree
    with an odd level they still can, at a position whose path is shorter. The position is not
    proven beyond the path's length.

    Raises InvalidInput if these values cannot belong to one tree.
    """
    expected = sum(1 for _ in siblings(position, size))
    if len(path) != expected:
        raise InvalidInput(
            "path-length-wrong", position=position, size=size, expected=expected, found=len(path)
        )
    for node in (digest, *path):
        if len(node) != NODE:
            raise InvalidInput("node-size-wrong", expected=NODE, found=len(node))
    for node in path:
        digest = parent(digest, node)
    return digest


def _require_size(size: int) -> None:
    if not 1 <= size <= MAX_SIZE:
        raise InvalidInput("tree-size-out-of-range", most=MAX_SIZE, found=size)


def _packed(nodes: Buffer) -> memoryview:
    view = memoryview(nodes)
    if view.nbytes % NODE:
        raise InvalidInput("packed-size-wrong", size=NODE, found=view.nbytes)
    return core.plain(view)


def _above(nodes: memoryview) -> bytes:
    """Return the level above, made in Python."""
    parents: list[bytes] = []
    for start in range(0, len(nodes), PART):
        part = bytes(nodes[start : start + PART])
        last = len(part) - NODE
        parents += [
            parent(part[i : i + NODE], part[i + NODE : i + 2 * NODE])
            for i in range(0, last, 2 * NODE)
        ]
        if len(part) // NODE % 2:
            parents.append(part[last:])
    return b"".join(parents)
