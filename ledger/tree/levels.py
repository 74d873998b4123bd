"""Which levels of a batch's tree are kept: every sixth, because what lies between is derived from
64 neighbours that are read at once.

So a tree costs half a byte an entry instead of 32, and a path takes one read for every six hashes.
"""

from __future__ import annotations

from witnesstree.ledger.tree.tree import level_above, level_sizes

STEP = 6
"""Levels from one that is kept to the next."""

PART = 2**18
"""Nodes hashed or copied at a time (8 MiB); a multiple of 2**STEP, so that a level may be cut
there."""


def kept_sizes(count: int) -> list[int]:
    """Return the number of digests, and of nodes in each level of the tree above them that is kept,
    the lowest first.
    """
    digests, *kept = list(level_sizes(count))[::STEP]
    return [digests, *(size for size in kept if size > 1)]


def kept_above(nodes: bytes) -> bytes:
    """Return what the next kept level has above an aligned part of the digests, or of a kept
    level.
    """
    return level_above(nodes, STEP)
