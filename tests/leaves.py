"""The leaves of a batch, and those that are entries: without opening record and blinding leaves."""

from witnesstree.ledger.store.blinding import Blinding
from witnesstree.ledger.tree.tree import NODE
from witnesstree.ledger.work.sealing import Ledger


def leaves(ledger: Ledger, batch: int) -> list[bytes]:
    """Return the leaves of a batch that count, in their order."""
    with ledger.metadata.read() as transaction:
        rows = [*transaction.batches(), *transaction.open_batches()]
    (count,) = (row.count for row in rows if row.sequence == batch)
    packed = b"".join(ledger.files.parts(batch, count))
    return [packed[at : at + NODE] for at in range(0, len(packed), NODE)]


def entries(ledger: Ledger, batch: int) -> list[bytes]:
    """Return the entries of a batch that count, in their order."""
    blinding = Blinding(ledger.home)
    return [
        leaf
        for position, leaf in enumerate(leaves(ledger, batch))
        if position and leaf != blinding.leaf(batch, position)
    ]
