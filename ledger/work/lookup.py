"""Looking up: where a digest is, and its proof as far as there is one. It writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
)
from witnesstree.ledger.chain.known import explorer_links
from witnesstree.ledger.log.cosignature import append_cosignatures
from witnesstree.ledger.log.log import prove_inclusion
from witnesstree.ledger.log.opening import (
    opening_digest,
)
from witnesstree.ledger.proof.proof import (
    MAX_KEPT_RECORD,
    MAX_WITNESSES,
    Hints,
    Inclusion,
    LogProof,
    OpeningProof,
    Proof,
    parse_anchor,
)
from witnesstree.ledger.store.index.runs import DigestIndex
from witnesstree.ledger.tree.tree import root_from_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from witnesstree.ledger.base.witness import Anchor, Stamp
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.database.values import KeptRecord, OpenBatch, SealedBatch, Told
    from witnesstree.ledger.store.index.digests import Sizes
    from witnesstree.ledger.store.index.view import View
    from witnesstree.ledger.store.metadata import Metadata, Transaction

ROOM_FOR_RECORDS = 2 * MAX_KEPT_RECORD
"""Bytes of evidence records in one proof: in base64 two thirds of what a proof may have."""

MAX_COMMONS = 256
"""Batches of which it is kept in memory what their proofs have in common, some 20 to 50 KiB
each."""

MAX_COPIES = 10_000
"""Entries of one digest that are looked through for one that is admitted."""

ATTEMPTS = 10
"""How often the state of the ledger is read again for a look-up, where others merged its digest
indexes in between."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a digest is: a batch and a position in it.

    `is_sealed` is False while the batch is not.
    """

    batch: int
    position: int
    is_sealed: bool


@dataclass(frozen=True, slots=True)
class Common:
    """What the proofs of all entries of a batch have in common, once it was told so much of it.

    All but what is told never changes.
    """

    told: Told
    batch: SealedBatch
    opening: OpeningProof
    tokens: tuple[Stamp, ...]
    anchors: tuple[Anchor, ...]
    log: LogProof
    hints: Hints


class Lookup:
    """What a ledger is asked. It reads one state of the ledger for each answer."""

    def __init__(self, metadata: Metadata, files: BatchFiles) -> None:
        self.metadata = metadata
        self.files = files
        self._index = DigestIndex(files)
        self._sizes: Sizes = ()
        self._commons: dict[int, Common] = {}

    def batch(self, sequence: int) -> SealedBatch:
        """Return a sealed batch. Raises NotFound if there is none of this number."""
        with self.metadata.read() as transaction:
            batch = transaction.batch(sequence)
        if batch is None:
            raise NotFound("batch-unsealed", batch=sequence)
        return batch

    def entries(self, digest: bytes, batch: int | None = None) -> Iterator[Entry]:
        """Yield where `digest` is, earliest first: in every batch, or in one."""
        view, unsealed = self._asked(lambda transaction, view: (view, transaction.open_batches()))
        yield from self._sealed_entries(view, digest, batch)
        yield from self._unsealed_entries(unsealed, digest, batch)

    def find(self, digests: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the earliest entry of each of these digests that has one.

        The list of batches is read once for all of them.
        """
        view, unsealed = self._asked(lambda transaction, view: (view, transaction.open_batches()))
        found = (
            (digest, next(self._all_entries(view, unsealed, digest), None)) for digest in digests
        )
        return {digest: entry for digest, entry in found if entry}

    def _asked(self, ask: Callable[[Transaction, View], _T]) -> _T:
        """Return what `ask` says of one state of the ledger, with the digest indexes of its sealed
        batches.
        """
        attempts = 0
        while True:
            with self.metadata.read() as transaction:
                try:
                    view = self._index.view(self._sealed_sizes(transaction))
                except Conflict as error:
                    # Another process merged them after this state was read: the next state has what
                    # it sealed before.
                    attempts += 1
                    if attempts < ATTEMPTS:
                        continue
                    try:
                        view = self._index.view(self._sealed_sizes(transaction), with_gaps=True)
                    except Conflict:
                        raise Damaged(error.message) from error
                return ask(transaction, view)

    def _sealed_sizes(self, transaction: Transaction) -> Sizes:
        """Return the sealed batches with their counts.

        They never change, so only those that were sealed since are read.
        """
        known, size = self._sizes, transaction.log_size()
        if len(known) != size:
            kept = known if len(known) < size else ()
            known = tuple(sorted((*kept, *transaction.batch_sizes(len(kept)))))
            self._sizes = known
        return known

    def _sealed_entries(
        self, view: View, digest: bytes, batch: int | None = None
    ) -> Iterator[Entry]:
        return (
            Entry(sequence, position, is_sealed=True)
            for sequence, position in view.find(digest, batch)
        )

    def _unsealed_entries(
        self, unsealed: Iterable[OpenBatch], digest: bytes, batch: int | None = None
    ) -> Iterator[Entry]:
        for waiting in unsealed:
            if batch in {None, waiting.sequence}:
                for position in self.files.scan(waiting.sequence, waiting.count, digest):
                    yield Entry(waiting.sequence, position, is_sealed=False)

    def _all_entries(
        self, view: View, unsealed: Iterable[OpenBatch], digest: bytes
    ) -> Iterator[Entry]:
        yield from self._sealed_entries(view, digest)
        yield from self._unsealed_entries(unsealed, digest)

    def proof(
        self,
        digest: bytes,
        batch: int | None = None,
        admits: Callable[[Transaction, Entry], bool] = lambda _transaction, _entry: True,
    ) -> Proof:
        """Return the proof of `digest` as it is now: of its earliest entry, or of its first one
        in `batch`; of those that `admits` admits, among the first MAX_COPIES. What is not there yet
        is left out.

        Raises NotFound if the digest has no such entry.
        """

        def first(transaction: Transaction, view: View) -> Proof | None:
            found = islice(self._entries_in(transaction, view, digest, batch), MAX_COPIES)
            entry = next((entry for entry in found if admits(transaction, entry)), None)
            return self._proof_of(transaction, digest, entry) if entry else None

        proof = self._asked(first)
        if proof is None:
            raise NotFound("digest-not-found", digest=digest, batch=batch)
        return proof

    def _entries_in(
        self, transaction: Transaction, view: View, digest: bytes, batch: int | None
    ) -> Iterator[Entry]:
        """Yield the entries of a digest. What waits is asked for only where no sealed one was
        enough: of the same state of the ledger.
        """
        yield from self._sealed_entries(view, digest, batch)
        yield from self._unsealed_entries(transaction.open_batches(), digest, batch)

    def direct_tokens(self, digest: bytes) -> list[tuple[str, Stamp]]:
        """Return (authority, token) of the tokens that are kept over `digest` itself, in the order
        of the authorities' names.
        """
        with self.metadata.read() as transaction:
            return transaction.direct_tokens(digest)

    def proof_of(self, digest: bytes, entry: Entry) -> Proof:
        """Return the proof of one entry as it is now; its hints say where anchors, and the
        published list of digests, can be looked up.
        """
        with self.metadata.read() as transaction:
            return self._proof_of(transaction, digest, entry)

    def _proof_of(self, transaction: Transaction, digest: bytes, entry: Entry) -> Proof:
        if not entry.is_sealed:
            return Proof(digest, file_tokens=_direct_tokens(transaction, digest))
        common = self._common(transaction, entry.batch)
        # Few ledgers have renewed anything.
        has_records = common.told.records > 0
        kept = (
            [transaction.newest_records(entry.batch, position) for position in (entry.position, 0)]
            if has_records
            else []
        )
        batch = common.batch
        own_path = self._path(batch, entry.position, digest)
        return Proof(
            digest=digest,
            inclusion=Inclusion(entry.position, batch.count, batch.root, own_path),
            opening=common.opening,
            tokens=common.tokens,
            anchors=common.anchors,
            log=common.log,
            hints=common.hints,
            records=_records_of(digest, own_path, *kept) if any(kept) else (),
            file_tokens=_direct_tokens(transaction, digest) if common.told.has_direct else (),
        )

    def _common(self, transaction: Transaction, sequence: int) -> Common:
        """Return what the proofs of a batch have in common: as it was read before, unless the
        ledger has been told more of the batch since.
        """
        told = transaction.told(sequence)
        common = self._commons.pop(sequence, None)
        if common is None or common.told != told:
            common = self._read_common(transaction, sequence, told)
        # The batch that was asked for last is at the end, and the first one gives way.
        self._commons[sequence] = common
        for oldest in list(self._commons)[:-MAX_COMMONS]:
            self._commons.pop(oldest, None)
        return common

    def _read_common(self, transaction: Transaction, sequence: int, told: Told) -> Common:
        batch = transaction.batch(sequence)
        if batch is None:
            raise Damaged("batch-vanished", batch=sequence)
        lists = [f"ipfs://{cid}" for cid in transaction.published(sequence)]
        anchors = tuple(parse_anchor(anchor) for _, anchor in transaction.anchors(sequence))
        path = prove_inclusion(batch.log_index, batch.log_index + 1, transaction.log_node)
        keys = tuple(transaction.key_notes())
        size = batch.log_index + 1
        checkpoint = append_cosignatures(
            transaction.checkpoint(size), transaction.cosignatures(size)
        )
        return Common(
            told=told,
            batch=batch,
            opening=OpeningProof(
                batch.opening, self._path(batch, 0, opening_digest(batch.opening)), batch.header
            ),
            tokens=tuple(stamp for _, stamp in transaction.tokens(sequence)),
            anchors=anchors,
            log=LogProof(batch.statement, batch.log_index, tuple(path), checkpoint, keys),
            hints=Hints(
                links=(*(link for anchor in anchors for link in explorer_links(anchor)), *lists)
            ),
        )

    def _path(self, batch: SealedBatch, position: int, digest: bytes) -> tuple[bytes, ...]:
        path = self.files.path(batch.sequence, position, batch.count)
        if root_from_path(digest, position, batch.count, path) != batch.root:
            raise Damaged("files-lead-elsewhere", batch=batch.sequence)
        return path


def _direct_tokens(transaction: Transaction, digest: bytes) -> tuple[Stamp, ...]:
    """Return as many direct tokens of a digest as its proof may have."""
    return tuple(stamp for _, stamp in transaction.direct_tokens(digest))[:MAX_WITNESSES]


def _records_of(
    digest: bytes, path: tuple[bytes, ...], own: list[KeptRecord], of_batch: list[KeptRecord]
) -> tuple[bytes, ...]:
    """Return an entry's evidence records, one an authority: its own where it has one, else that of
    its batch made into its own.
    """
    # Here, because few ledgers have renewed anything.
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.proof.record_make import derive_record

    found = {kept.authority: kept.record for kept in own}
    for kept in of_batch:
        if kept.authority not in found:
            try:
                found[kept.authority] = derive_record(parse_record(kept.record), digest, path).der
            except InvalidInput as error:
                raise Damaged(
                    "kept-record-unreadable",
                    number=kept.number,
                    batch=kept.sequence,
                    authority=kept.authority,
                    error=error,
                ) from error
    return _fitting(found[authority] for authority in sorted(found))


def _fitting(records: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return those records that a proof has room for: it must not outgrow what verifiers take, and
    its tokens prove the same without them.
    """
    fitting: list[bytes] = []
    for record in records:
        is_full = (
            len(fitting) == MAX_WITNESSES or sum(map(len, fitting)) + len(record) > ROOM_FOR_RECORDS
        )
        if len(record) <= MAX_KEPT_RECORD and not is_full:
            fitting.append(record)
    return tuple(fitting)
