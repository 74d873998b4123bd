"""What is wrong with the embedded parts: the chain as far as anchors refer to it, and the block
store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.anchor.evm.blocks import canonical_hash
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.settings import EMBEDDED
from witnesstree.ledger.base.errors import WitnesstreeError
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.proof.proof import parse_anchor
from witnesstree.ledger.work.fsck.problem import Problem, at_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.metadata import Metadata
    from witnesstree.ledger.work.sealing import Ledger


def check_embedded(ledger: Ledger) -> Iterator[Problem]:
    """Yield what is wrong with the embedded chain and the embedded block store."""
    chain = ledger.home.chain
    with ledger.metadata.read() as transaction:
        found = [
            (batch.sequence, text)
            for batch in transaction.batches()
            for name, text in transaction.anchors(batch.sequence)
            if name == EMBEDDED
        ]
    for sequence, text in found:
        try:
            if fault := _block_fault(chain, sequence, text):
                yield Problem(at_path(chain), fault)
        except WitnesstreeError as error:
            yield Problem(at_path(chain), message("fault-of-batch", batch=sequence, error=error))
    for block in BlockStore(ledger.home.ipfs).check():
        yield Problem(
            message("block-in-store", folder=ledger.home.ipfs, name=block.name), block.reason
        )


def older_chain(folder: Path, metadata: Metadata) -> Message | None:
    """Return what the newest anchor shows if the embedded chain in `folder` is older than the
    ledger: another block of that number would make good proofs FAILED.

    Raises Damaged if the chain or the anchor cannot be read, Conflict, StorageFailure.
    """
    with metadata.read() as transaction:
        newest = transaction.newest_anchor(EMBEDDED)
    return _block_fault(folder, *newest) if newest else None


def _block_fault(folder: Path, sequence: int, text: str) -> Message | None:
    anchor = parse_anchor(text)
    if (
        anchor.chain_id == LOCAL_CHAIN_ID
        and canonical_hash(folder, anchor.block_number) == anchor.block_hash
    ):
        return None
    return message(
        "anchored-block-missing", folder=folder, number=anchor.block_number, batch=sequence
    )
