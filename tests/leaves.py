"""The leaves of a batch, and those that are entries: without opening record and blinding leaves."""

from zlib import crc32

from witnesstree.ledger.log.opening import opening_digest
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


def begin_as_before(ledger: Ledger, digests: list[bytes]) -> None:
    """Begin a batch as versions before blinding leaves did: its entries follow on its opening
    record, so their number may be odd.
    """
    ledger.submit(b"".join(digests))
    files = ledger.files
    with ledger.metadata.write() as transaction:
        (batch,) = transaction.open_batches()
        packed = [opening_digest(batch.opening), *digests]
        for name in (files.digests_name(batch.sequence), files.journal_name(batch.sequence)):
            files.place.set_aside(name)
        files.append(batch.sequence, 0, *packed)
        files.journals.create(batch.sequence, batch.opening, batch.header, len(packed))
        transaction.set_count(batch.sequence, len(packed), crc32(b"".join(packed)), 0)
