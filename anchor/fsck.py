"""fsck of the embedded parts: the chain as far as anchors refer to it, and the block store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.anchor.evm.blocks import canonical_hash
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.ledger.base.errors import WitnesstreeError
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.proof.proof import parse_anchor
from witnesstree.ledger.work.fsck.problem import Problem, at_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.work.sealing import Ledger


def check_embedded(ledger: Ledger) -> Iterator[Problem]:
    """Yield what is wrong with the embedded chain and the embedded block store."""
    chain = ledger.home.chain
    with ledger.metadata.read() as transaction:
        found = [
            (batch.sequence, *anchor)
            for batch in transaction.batches()
            for anchor in transaction.anchors(batch.sequence)
        ]
    for sequence, name, text in found:
        try:
            anchor = parse_anchor(text)
            if name != "local":
                continue
            if (
                anchor.chain_id != LOCAL_CHAIN_ID
                or canonical_hash(chain, anchor.block_number) != anchor.block_hash
            ):
                yield Problem(
                    at_path(chain),
                    message("anchored-block-missing", number=anchor.block_number, batch=sequence),
                )
        except WitnesstreeError as error:
            yield Problem(at_path(chain), message("fault-of-batch", batch=sequence, error=error))
    for block in BlockStore(ledger.home.ipfs).check():
        yield Problem(
            message("block-in-store", folder=ledger.home.ipfs, name=block.name), block.reason
        )
