"""Which block of a real chain is final: the one place that says so, for anchoring, for `chain
check` and for `verify --rpc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from witnesstree.anchor.evm.client import Client, NodeBlock

Finality: TypeAlias = Literal["finalized"] | int
"""The node's finalized tag, or a number of blocks on top."""

TAG: Final = "finalized"
OTHER_FIELDS: Final = 1024
"""Bytes that are enough for all of a header but its extraData: they take some 700."""
MAX_STEPS: Final = 8
"""Blocks that are gone back from a final one whose header is too long for a proof: some chains list
their validators in every 16th to 500th."""


def final_block(client: Client, finality: Finality, most: int) -> NodeBlock | None:
    """Return the newest block that this node has as final and whose header has at most so many
    bytes, None while there is none.

    Raises Unreachable, BadAnswer, or of that a Refusal, as rpc.py says.
    """
    if finality == TAG:
        block = client.finalized()
    else:
        assert isinstance(finality, int)
        number = client.newest().number - finality
        block = client.block(number) if number >= 0 else None
    for _ in range(MAX_STEPS):
        if block is None or block.extra_size <= most - OTHER_FIELDS:
            break
        block = client.block(block.parent)
    return block
