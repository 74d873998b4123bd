"""Sealing: entries come in durably, batches close, and each root gets its token and its anchor, once.

A batch goes through these states, and a crash between any two of them is mended by simply doing the next step:

    open       takes entries                            submit: digests on disk, then the count in the metadata store
    frozen     takes no more                            freeze: one row
    sealed     tree, index, statement, checkpoint, jobs files on disk first, then one transaction; made again, they are the same bytes
    witnessed  every job done                           outbox.py

No step is undone, and recovery has no code of its own: the next command finds what is left and does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from witnesstree.ledger.chainproof import parse_header
from witnesstree.ledger.chains import explorer_links
from witnesstree.ledger.errors import BadAnswer, Conflict, Damaged, InvalidInput, NotFound, Unreachable
from witnesstree.ledger.log import added_nodes, leaf_hash, log_root, prove_inclusion
from witnesstree.ledger.note import Checkpoint, sign_checkpoint
from witnesstree.ledger.opening import BlockName, Opening, format_opening, opening_digest, parse_opening
from witnesstree.ledger.outbox import Outbox, Pace
from witnesstree.ledger.proof import Hints, Inclusion, LogProof, OpeningProof, Proof, parse_anchor
from witnesstree.ledger.statement import Statement, format_statement
from witnesstree.ledger.store.index import find_in_run, write_run
from witnesstree.ledger.store.metadata import BatchState, OpenBatch, SealedBatch
from witnesstree.ledger.tree import NODE, root_from_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime, timedelta

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from witnesstree.ledger.outbox import Witnesses
    from witnesstree.ledger.ports import Block
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.store.metadata import Metadata, Transaction


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch closes by itself: with so many entries, or so old when the next entry comes. `patience`: seconds to wait for a lock."""

    entries: int
    age: timedelta
    patience: float = 60


@dataclass(frozen=True, slots=True)
class Span:
    """`count` entries of a batch, from position `first` on."""

    batch: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Given once the entries are on disk: which ledger took them, when, and where they stand, in the order of the submission."""

    origin: str
    received: datetime
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a digest stands: a batch and a position in it. `is_sealed` is False while the batch is not."""

    batch: int
    position: int
    is_sealed: bool


class Ledger:
    """One ledger in its home. Several processes may use one home at once: what must not happen twice is held by locks."""

    def __init__(
        self,
        home: Home,
        *,
        key: Ed25519PrivateKey,
        metadata: Metadata,
        files: BatchFiles,
        witnesses: Witnesses,
        clock: Callable[[], datetime],
        limits: Limits,
        pace: Pace | None = None,
    ) -> None:
        self.home = home
        self.metadata = metadata
        self.files = files
        self._key = key
        self._witnesses = witnesses
        self._clock = clock
        self._limits = limits
        self.outbox = Outbox(home, metadata, witnesses, files.digests_path, clock=clock, pace=pace or Pace(limits.patience))

    def _now(self) -> datetime:
        """Return the time in whole seconds, as records and statements write it."""
        return self._clock().replace(microsecond=0)

    # Taking entries

    def submit(self, packed: bytes) -> Receipt:
        """Take packed digests as entries of the open batch, opening one where there is none. On return they are on disk.

        However many digests are handed in, the disk is waited for once a batch: gather what comes in before calling. A submission larger
        than what a batch may hold goes on in the next one.

        Raises InvalidInput if `packed` is no whole number of digests, or none; StorageFailure if the disk refuses: then no receipt exists and
        nothing counts.
        """
        if not packed or len(packed) % NODE:
            raise InvalidInput(f"a submission is one or more digests of {NODE} bytes each, not {len(packed)} bytes")
        spans = []
        while packed:
            span = self._append(packed)
            spans.append(span)
            packed = packed[span.count * NODE :]
        return Receipt(self.home.origin, self._now(), tuple(spans))

    def _append(self, packed: bytes) -> Span:
        """Append as many digests as the open batch still takes."""
        now = self._now()
        with self.metadata.read() as transaction:
            must_open = self._taking(transaction, now) is None
        # Asked before the transaction, because a chain may be slow and other submissions wait for the lock.
        block = self._recent_block() if must_open else None
        # The file's own lock, because a server forgets the database's with the connection, and whoever held it learns that late. It is had before
        # the next question, whose answer shows that the database's lock still held then.
        with self.metadata.write() as transaction, self.home.lock("submit", self._limits.patience):
            batch = self._taking(transaction, now)
            if batch is None:
                if full := _current(transaction):
                    transaction.freeze(full.sequence)
                batch = self._open_batch(transaction, now, block if must_open else self._recent_block())
            # Leaf 0 is the opening record. It is written with the first entries, so that no batch is ever on disk without it.
            leading = b"" if batch.count else opening_digest(batch.opening)
            room = packed[: (self._limits.entries + 1 - max(batch.count, 1)) * NODE]
            # A crash before the count is raised leaves bytes that the next append overwrites: they were never acknowledged.
            self.files.append(batch.sequence, batch.count, leading + room)
            count = batch.count + len(leading + room) // NODE
            transaction.set_count(batch.sequence, count, crc32(leading + room, batch.crc32))
        return Span(batch.sequence, count - len(room) // NODE, len(room) // NODE)

    def _taking(self, transaction: Transaction, now: datetime) -> OpenBatch | None:
        """Return the batch that takes the next entry: the open one, unless it is full or due."""
        batch = _current(transaction)
        return batch if batch and batch.count <= self._limits.entries and now - batch.opened < self._limits.age else None

    def _open_batch(self, transaction: Transaction, now: datetime, block: Block | None) -> OpenBatch:
        sequence = transaction.next_sequence()
        opening = Opening(
            origin=self.home.origin,
            batch=sequence,
            checkpoint=opening_digest(transaction.checkpoint()),
            opened=now,
            block=BlockName(block.chain_id, block.number, block.hash) if block else None,
        )
        batch = OpenBatch(sequence, BatchState.OPEN, now, format_opening(opening), block.header if block else None, count=0, crc32=0)
        transaction.open_batch(batch)
        return batch

    def _recent_block(self) -> Block | None:
        """Return a recent block of the first chain that answers. A chain that is down must not stop a submission: the record then names none."""
        for chain in self._witnesses.chains.values():
            try:
                return chain.recent_block()
            except (Unreachable, BadAnswer, Conflict):
                continue
        return None

    # Closing

    def close(self, *, due_only: bool = False) -> list[int]:
        """Seal every batch that has entries, or with `due_only` those that are full or old, and return their sequence numbers.

        Where another process seals one, wait for it.
        """
        with self.metadata.read() as transaction:
            unsealed = transaction.open_batches()
            is_due = any(batch.state is BatchState.FROZEN for batch in unsealed) or (unsealed and not self._taking(transaction, self._now()))
        if due_only and not is_due:
            return []
        with self.metadata.write() as transaction:
            batch = _current(transaction)
            if batch and not (due_only and self._taking(transaction, self._now())):
                transaction.freeze(batch.sequence)
            frozen = [batch for batch in transaction.open_batches() if batch.state is BatchState.FROZEN]
        for batch in frozen:
            with self.home.lock("seal", self._limits.patience):
                self._seal(batch)
        return [batch.sequence for batch in frozen]

    def _seal(self, batch: OpenBatch) -> None:
        with self.metadata.read() as transaction:
            if transaction.batch(batch.sequence):
                return
        self._require_acknowledged(batch)
        # Tree and index are on disk before the transaction that makes them count. A crash here means that they are written again.
        root = self.files.seal(batch.sequence, batch.count)
        write_run(self.files.index_path(batch.sequence), self.files.digests_path(batch.sequence), batch.count)
        closed = self._now()
        statement = format_statement(Statement(self.home.origin, batch.sequence, batch.count, root, batch.opened, closed))
        with self.metadata.write() as transaction:
            index = transaction.batch_count()
            nodes = added_nodes(index, leaf_hash(statement.encode()), transaction.log_node)
            added = {(level, position): node for level, position, node in nodes}
            log = log_root(index + 1, lambda level, position: added.get((level, position)) or transaction.log_node(level, position))
            checkpoint = sign_checkpoint(Checkpoint(self.home.origin, index + 1, log), self._key)
            sealed = SealedBatch(batch.sequence, batch.count, root, closed, batch.opening, batch.header, index, statement)
            transaction.seal(sealed, nodes, checkpoint, self._witnesses.jobs())

    def _require_acknowledged(self, batch: OpenBatch) -> None:
        """Raise Damaged unless the file and the record of a batch are those that were acknowledged: what is sealed is stated for ever."""
        path = self.files.digests_path(batch.sequence)
        if self.files.checksum(batch.sequence, batch.count) != batch.crc32:
            raise Damaged(f"{path} does not hold the entries that were acknowledged: restore it from a backup; this batch cannot be sealed")
        if fault := opening_fault(batch.opening, batch.header, self.files.digest_at(batch.sequence, 0), batch.opened):
            raise Damaged(f"batch {batch.sequence}: {fault}; restore {self.metadata.place} from a backup; this batch cannot be sealed")

    # Asking

    def batch(self, sequence: int) -> SealedBatch:
        """Return a sealed batch. Raises NotFound if there is none of this number."""
        with self.metadata.read() as transaction:
            batch = transaction.batch(sequence)
        if batch is None:
            raise NotFound(f"batch {sequence} is not sealed: `witnesstree status` lists what is there")
        return batch

    def mend_indexes(self) -> int:
        """Write the digest index of every sealed batch anew from its digests, and return how many there are."""
        with self.metadata.read() as transaction:
            sealed = transaction.batch_sizes()
        for sequence, count in sealed:
            write_run(self.files.index_path(sequence), self.files.digests_path(sequence), count)
        return len(sealed)

    def entries(self, digest: bytes, batch: int | None = None) -> Iterator[Entry]:
        """Yield where `digest` stands, earliest first: in every batch, or in one."""
        for sequence, count, is_sealed in self._batches(batch):
            yield from self._entries_in(sequence, count, digest, is_sealed=is_sealed)

    def find(self, digests: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the earliest entry of each of these digests that has one. The list of batches is read once for all of them."""
        found: dict[bytes, Entry] = {}
        for sequence, count, is_sealed in self._batches():
            for digest in digests:
                if digest not in found and (entry := next(self._entries_in(sequence, count, digest, is_sealed=is_sealed), None)):
                    found[digest] = entry
        return found

    def _batches(self, batch: int | None = None) -> list[tuple[int, int, bool]]:
        """Return sequence, count and whether it is sealed, of every batch or of one."""
        with self.metadata.read() as transaction:
            sealed = [(sequence, count, True) for sequence, count in transaction.batch_sizes()]
            unsealed = [(waiting.sequence, waiting.count, False) for waiting in transaction.open_batches()]
        return [found for found in (*sealed, *unsealed) if batch in {None, found[0]}]

    def _entries_in(self, sequence: int, count: int, digest: bytes, *, is_sealed: bool) -> Iterator[Entry]:
        positions = find_in_run(self.files.index_path(sequence), count, digest) if is_sealed else self.files.scan(sequence, count, digest)
        for position in positions:
            # An index knows the beginnings of digests only.
            if not is_sealed or self.files.digest_at(sequence, position) == digest:
                yield Entry(sequence, position, is_sealed)

    def proof(self, digest: bytes, batch: int | None = None) -> Proof:
        """Return the proof of `digest` as it stands now: of its earliest entry, or of its first one in `batch`. What is not there yet is left out.

        Raises NotFound if the digest has no such entry.
        """
        entry = next(self.entries(digest, batch), None)
        if entry is None:
            where = "this ledger" if batch is None else f"batch {batch}"
            raise NotFound(f"{digest.hex()} is not in {where}: seal the file first, or ask another ledger")
        return self.proof_of(digest, entry)

    def proof_of(self, digest: bytes, entry: Entry) -> Proof:
        """Return the proof of one entry as it stands now; its hints say where anchors, and the published list of digests, can be looked up."""
        if not entry.is_sealed:
            return Proof(digest)
        with self.metadata.read() as transaction:
            batch = transaction.batch(entry.batch)
            if batch is None:
                raise Damaged(f"batch {entry.batch} has vanished; run `witnesstree fsck`")
            tokens = tuple(stamp for _, stamp in transaction.tokens(batch.sequence))
            lists = [f"ipfs://{cid}" for cid in transaction.published(batch.sequence)]
            anchors = tuple(parse_anchor(anchor) for _, anchor in transaction.anchors(batch.sequence))
            checkpoint = transaction.checkpoint(batch.log_index + 1)
            path = prove_inclusion(batch.log_index, batch.log_index + 1, transaction.log_node)
        return Proof(
            digest=digest,
            inclusion=Inclusion(entry.position, batch.count, batch.root, self._path(batch, entry.position, digest)),
            opening=OpeningProof(batch.opening, self._path(batch, 0, opening_digest(batch.opening)), batch.header),
            tokens=tokens,
            anchors=anchors,
            log=LogProof(batch.statement, batch.log_index, tuple(path), checkpoint),
            hints=Hints(links=(*(link for anchor in anchors for link in explorer_links(anchor)), *lists)),
        )

    def _path(self, batch: SealedBatch, position: int, digest: bytes) -> tuple[bytes, ...]:
        path = self.files.path(batch.sequence, position, batch.count)
        if root_from_path(digest, position, batch.count, path) != batch.root:
            raise Damaged(f"the files of batch {batch.sequence} do not lead to its root; run `witnesstree fsck`")
        return path


def opening_fault(text: str, header: bytes | None, leaf: bytes, opened: datetime) -> str | None:
    """Return in words what is wrong with a batch's opening record, given its leaf 0, the block header beside it and when it was opened; or None."""
    try:
        opening = parse_opening(text)
        block = parse_header(header).hash if header is not None else None
    except InvalidInput as error:
        return f"its opening record cannot be read: {error}"
    if opening_digest(text) != leaf:
        return "its opening record is not the one that leaf 0 of the batch commits to"
    if block != (opening.block.hash if opening.block else None):
        return "the block header is not that of the block which its opening record names"
    return None if opening.opened == opened else "it was not opened when its opening record says"


def _current(transaction: Transaction) -> OpenBatch | None:
    return next((batch for batch in transaction.open_batches() if batch.state is BatchState.OPEN), None)
