"""Which block of a real chain is final: the one place that says so, for anchoring, for `chain
check` and for `verify --rpc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from witnesstree.ledger.chain.stateproof import MAX_HEADER

if TYPE_CHECKING:
    from witnesstree.anchor.evm.client import Client, NodeBlock

Finality: TypeAlias = Literal["finalized"] | int
"""The node's finalized tag, or a number of blocks on top."""

TAG: Final = "finalized"
MAX_STEPS: Final = 8
"""Blocks that are gone back from a final one whose header is too long for a proof: some chains list
their validators in every 16th to 500th."""


def final_block(client: Client, finality: Finality) -> NodeBlock | None:
    """Return the newest block that this node has as final and whose header fits into a proof, None
    while there is none.

    Raises Unreachable, BadAnswer, or of that a Refusal, as rpc.py says.
    """
    if finality == TAG:
        block = client.finalized()
    else:
        assert isinstance(finality, int)
        number = client.newest().number - finality
        block = client.block(number) if number >= 0 else None
    for _ in range(MAX_STEPS):
        # The other fields of a header take some 700 bytes.
        if block is None or block.extra_size <= MAX_HEADER // 2:
            break
        block = client.block(block.parent)
    return block
