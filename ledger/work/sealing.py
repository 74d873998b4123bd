"""Sealing: entries come in durably, batches close, and each root gets its token and its anchor,
once.

A batch goes through these states, and a crash between any two of them is mended by simply doing the
next step:

    open       takes entries                            submit: digests on disk, then the count in
                                                        the metadata store
    frozen     takes no more                            freeze: one row
    sealed     tree, index, statement, checkpoint, jobs files on disk first, then one transaction;
               made again, they are the same bytes
    witnessed  every job done                           outbox.py

No step is undone, and recovery has no code of its own: the next command finds what is left and does
it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
)
from witnesstree.ledger.chain.known import explorer_links
from witnesstree.ledger.chain.stateproof import parse_header
from witnesstree.ledger.log.cosignature import append_cosignatures
from witnesstree.ledger.log.keys import check_history, newest_key
from witnesstree.ledger.log.log import added_nodes, leaf_hash, log_root, prove_inclusion
from witnesstree.ledger.log.note import Checkpoint, sign_checkpoint
from witnesstree.ledger.log.opening import (
    BlockName,
    Opening,
    format_opening,
    opening_digest,
    parse_opening,
)
from witnesstree.ledger.log.statement import Statement, format_statement
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
from witnesstree.ledger.store.index import DigestIndex, write_run
from witnesstree.ledger.store.metadata import BatchState, OpenBatch, SealedBatch, Told
from witnesstree.ledger.tree.tree import NODE, root_from_path
from witnesstree.ledger.work.outbox import Outbox, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import datetime, timedelta

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from typing_extensions import Buffer

    from witnesstree.ledger.base.ports import Block
    from witnesstree.ledger.base.witness import Anchor, Stamp
    from witnesstree.ledger.log.keys import KeyChange
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.store.index import Sizes, View
    from witnesstree.ledger.store.metadata import KeptRecord, Metadata, Transaction
    from witnesstree.ledger.work.outbox import Witnesses


ROOM_FOR_RECORDS = 2 * MAX_KEPT_RECORD
"""Bytes of evidence records in one proof: in base64 two thirds of what a proof may have."""

MAX_COMMONS = 256
"""Batches of which it is kept in memory what their proofs have in common, some 20 to 50 KiB
each."""

ATTEMPTS = 10
"""How often the state of the ledger is read anew for a look-up, where others merged its digest
indexes in between."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch closes by itself: with so many entries, or so old when the next entry comes.

    `patience`: seconds to wait for a lock.
    """

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
    """Given once the entries are on disk: which ledger took them, when, and where they stand, in
    the order of the submission.
    """

    origin: str
    received: datetime
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a digest stands: a batch and a position in it.

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


class Ledger:
    """One ledger in its home.

    Several processes may use one home at once: what must not happen twice is held by locks.
    """

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
        self._index = DigestIndex(files)
        self._sizes: Sizes = ()
        self._commons: dict[int, Common] = {}
        self.outbox = Outbox(
            home,
            metadata,
            witnesses,
            files.digests_path,
            clock=clock,
            pace=pace or Pace(limits.patience),
        )

    def _now(self) -> datetime:
        """Return the time in whole seconds, as records and statements write it."""
        return self._clock().replace(microsecond=0)

    # Taking entries

    def submit(self, packed: Buffer) -> Receipt:
        """Take packed digests as entries of the open batch, opening one where there is none.

        On return they are on disk.

        However many digests are handed in, the disk is waited for once a batch: gather what comes
        in before calling. None of them becomes an object of its own, and they are not copied. A
        submission larger than what a batch may hold goes on in the next one.

        Raises InvalidInput if `packed` is no whole number of digests, or none; StorageFailure if
        the disk refuses: then no receipt exists and nothing counts.
        """
        rest = memoryview(packed).cast("B")
        if not rest or len(rest) % NODE:
            raise InvalidInput(
                f"a submission is one or more digests of {NODE} bytes each, not {len(rest)} bytes"
            )
        spans = []
        while rest:
            span = self._append(rest)
            spans.append(span)
            rest = rest[span.count * NODE :]
        return Receipt(self.home.origin, self._now(), tuple(spans))

    def _append(self, packed: memoryview) -> Span:
        """Append as many digests as the open batch still takes."""
        now = self._now()
        with self.metadata.read() as transaction:
            must_open = self._taking(transaction, now) is None
        # Asked before the transaction, because a chain may be slow and other submissions wait for
        # the lock.
        block = self._recent_block() if must_open else None
        # The file's own lock, because a server forgets the database's with the connection, and
        # whoever held it learns that late. It is had before the next question, whose answer shows
        # that the database's lock still held then.
        with self.metadata.write() as transaction, self.home.lock("submit", self._limits.patience):
            batch = self._taking(transaction, now)
            if batch is None:
                if full := _current(transaction):
                    transaction.freeze(full.sequence)
                batch = self._open_batch(
                    transaction, now, block if must_open else self._recent_block()
                )
            # Leaf 0 is the opening record. It is written with the first entries, so that no batch
            # is ever on disk without it.
            leading = b"" if batch.count else opening_digest(batch.opening)
            room = packed[: (self._limits.entries + 1 - max(batch.count, 1)) * NODE]
            # A crash before the count is raised leaves bytes that the next append overwrites: they
            # were never acknowledged.
            self.files.append(batch.sequence, batch.count, leading, room)
            first = batch.count + len(leading) // NODE
            added = len(room) // NODE
            transaction.set_count(
                batch.sequence, first + added, crc32(room, crc32(leading, batch.crc32))
            )
        return Span(batch.sequence, first, added)

    def _taking(self, transaction: Transaction, now: datetime) -> OpenBatch | None:
        """Return the batch that takes the next entry: the open one, unless it is full or due."""
        batch = _current(transaction)
        return (
            batch
            if batch
            and batch.count <= self._limits.entries
            and now - batch.opened < self._limits.age
            else None
        )

    def _open_batch(
        self, transaction: Transaction, now: datetime, block: Block | None
    ) -> OpenBatch:
        sequence = transaction.next_sequence()
        opening = Opening(
            origin=self.home.origin,
            batch=sequence,
            checkpoint=opening_digest(transaction.checkpoint()),
            opened=now,
            block=BlockName(block.chain_id, block.number, block.hash) if block else None,
        )
        batch = OpenBatch(
            sequence,
            BatchState.OPEN,
            now,
            format_opening(opening),
            block.header if block else None,
            count=0,
            crc32=0,
        )
        transaction.open_batch(batch)
        return batch

    def _recent_block(self) -> Block | None:
        """Return a recent block of the first chain that answers.

        A chain that is down must not stop a submission: the record then names none.
        """
        for chain in self._witnesses.chains.values():
            try:
                return chain.recent_block()
            except (Unreachable, BadAnswer, Conflict):
                continue
        return None

    # Closing

    def close(self, *, due_only: bool = False) -> list[int]:
        """Seal every batch that has entries, or with `due_only` those that are full or old, and
        return their sequence numbers.

        Where another process seals one, wait for it.
        """
        with self.metadata.read() as transaction:
            unsealed = transaction.open_batches()
            is_due = any(batch.state is BatchState.FROZEN for batch in unsealed) or (
                unsealed and not self._taking(transaction, self._now())
            )
        if due_only and not is_due:
            return []
        with self.metadata.write() as transaction:
            batch = _current(transaction)
            if batch and not (due_only and self._taking(transaction, self._now())):
                transaction.freeze(batch.sequence)
            frozen = [
                batch for batch in transaction.open_batches() if batch.state is BatchState.FROZEN
            ]
        for batch in frozen:
            with self.home.lock("seal", self._limits.patience):
                self._seal(batch)
        if frozen:
            self._merge_indexes()
        return [batch.sequence for batch in frozen]

    def _merge_indexes(self) -> None:
        """Merge digest indexes as far as that is due, unless another process does; submissions and
        look-ups go on meanwhile.
        """
        with self.metadata.read() as transaction:
            sizes = transaction.batch_sizes()
        # What is sealed is found without that, too. A full disk is told by the next write that
        # cannot be done without.
        with suppress(Conflict, StorageFailure), self.home.lock("index", 0):
            self._index.merge(sizes)

    def _seal(self, batch: OpenBatch) -> None:
        with self.metadata.read() as transaction:
            if transaction.batch(batch.sequence):
                return
        self._require_acknowledged(batch)
        # Tree and index are on disk before the transaction that makes them count. A crash here
        # means that they are written again.
        root = self.files.seal(batch.sequence, batch.count)
        self._index.discard(batch.sequence)
        write_run(
            self.files.index_path(batch.sequence),
            self.files.digests_path(batch.sequence),
            batch.count,
        )
        closed = self._now()
        statement = format_statement(
            Statement(self.home.origin, batch.sequence, batch.count, root, batch.opened, closed)
        )
        with self.metadata.write() as transaction:
            index = transaction.batch_count()
            nodes = added_nodes(index, leaf_hash(statement.encode()), transaction.log_node)
            added = {(level, position): node for level, position, node in nodes}
            log = log_root(
                index + 1,
                lambda level, position: (
                    added.get((level, position)) or transaction.log_node(level, position)
                ),
            )
            checkpoint = sign_checkpoint(
                Checkpoint(self.home.origin, index + 1, log), self.signing_key(transaction)
            )
            sealed = SealedBatch(
                batch.sequence,
                batch.count,
                root,
                closed,
                batch.opening,
                batch.header,
                index,
                statement,
            )
            transaction.seal(sealed, nodes, checkpoint, self._witnesses.jobs())

    def signing_key(self, transaction: Transaction) -> Ed25519PrivateKey:
        """Return the key in force.

        `transaction` excludes other writers, so that no other process changes the key until what it
        signs is kept.

        Raises Damaged if the history of keys is, or the key is not in this home.
        """
        notes = transaction.key_notes()
        public_key = newest_key(self.home.verifier_key(), self.key_changes(transaction)).public_key
        if self._key.public_key().public_bytes_raw() != public_key:
            # Another process has changed it since this one began, or this one was handed an older
            # one.
            self._key = self.home.private_key(len(notes))
            if self._key.public_key().public_bytes_raw() != public_key:
                raise Damaged(
                    f"the key {len(notes)} of {self.home.folder} is not the one that was handed"
                    " over to: copy it from where it was made"
                )
        # A crash right after the change left the last one out.
        self.home.keep_key_notes(notes)
        return self._key

    def key_changes(self, transaction: Transaction) -> tuple[KeyChange, ...]:
        """Return the history of the log's keys after the first one.

        Raises Damaged if it contradicts itself.
        """
        try:
            return check_history(transaction.key_notes(), self.home.verifier_key())
        except InvalidInput as error:
            raise Damaged(
                f"the history of the ledger's keys cannot be read: {error}; run `witnesstree fsck`"
            ) from error

    def _require_acknowledged(self, batch: OpenBatch) -> None:
        """Raise Damaged unless the file and the record of a batch are those that were acknowledged:
        what is sealed is stated for ever.
        """
        path = self.files.digests_path(batch.sequence)
        if self.files.checksum(batch.sequence, batch.count) != batch.crc32:
            raise Damaged(
                f"{path} does not hold the entries that were acknowledged: restore it from a"
                " backup; this batch cannot be sealed"
            )
        if fault := opening_fault(
            batch.opening, batch.header, self.files.digest_at(batch.sequence, 0), batch.opened
        ):
            raise Damaged(
                f"batch {batch.sequence}: {fault}; restore {self.metadata.place} from a backup;"
                " this batch cannot be sealed"
            )

    # Asking

    def batch(self, sequence: int) -> SealedBatch:
        """Return a sealed batch. Raises NotFound if there is none of this number."""
        with self.metadata.read() as transaction:
            batch = transaction.batch(sequence)
        if batch is None:
            raise NotFound(
                f"batch {sequence} is not sealed: `witnesstree status` lists what is there"
            )
        return batch

    def mend_indexes(self) -> int:
        """Write indexes, and what is kept of trees, of all sealed batches anew from their digests,
        and return how many batches there are.

        Raises Conflict if another process merges indexes for longer than the patience.
        """
        with self.home.lock("index", self._limits.patience), self.metadata.read() as transaction:
            for batch in transaction.batches():
                # What digests that are not those that were sealed lead to is not written; a check
                # names them.
                with suppress(Damaged):
                    self.files.write_nodes(batch.sequence, batch.count, batch.root)
            sealed = transaction.batch_sizes()
            self._index.rebuild(sealed)
        return len(sealed)

    def index_faults(self) -> Iterator[tuple[str, str]]:
        """Yield place and fault of each digest index that does not follow from the digests.

        Raises Damaged if one is missing.

        No index is merged meanwhile. Raises Conflict if another process merges for longer than the
        patience.
        """
        with self.home.lock("index", self._limits.patience), self.metadata.read() as transaction:
            yield from self._index.check(transaction.batch_sizes())

    def entries(self, digest: bytes, batch: int | None = None) -> Iterator[Entry]:
        """Yield where `digest` stands, earliest first: in every batch, or in one."""
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
                        raise Damaged(str(error)) from error
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

    def proof(self, digest: bytes, batch: int | None = None) -> Proof:
        """Return the proof of `digest` as it stands now: of its earliest entry, or of its first one
        in `batch`. What is not there yet is left out.

        Raises NotFound if the digest has no such entry.
        """

        def first(transaction: Transaction, view: View) -> Proof | None:
            # What waits is asked for only where nothing sealed has it: of the same state of the
            # ledger.
            sealed = next(self._sealed_entries(view, digest, batch), None)
            entry = sealed or next(
                self._unsealed_entries(transaction.open_batches(), digest, batch), None
            )
            return self._proof_of(transaction, digest, entry) if entry else None

        proof = self._asked(first)
        if proof is None:
            where = "this ledger" if batch is None else f"batch {batch}"
            raise NotFound(
                f"{digest.hex()} is not in {where}: seal the file first, or ask another ledger"
            )
        return proof

    def proof_of(self, digest: bytes, entry: Entry) -> Proof:
        """Return the proof of one entry as it stands now; its hints say where anchors, and the
        published list of digests, can be looked up.
        """
        with self.metadata.read() as transaction:
            return self._proof_of(transaction, digest, entry)

    def _proof_of(self, transaction: Transaction, digest: bytes, entry: Entry) -> Proof:
        if not entry.is_sealed:
            return Proof(digest)
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
            raise Damaged(f"batch {sequence} has vanished; run `witnesstree fsck`")
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
            raise Damaged(
                f"the files of batch {batch.sequence} do not lead to its root; run `witnesstree"
                " fsck`"
            )
        return path


def _records_of(
    digest: bytes, path: tuple[bytes, ...], own: list[KeptRecord], of_batch: list[KeptRecord]
) -> tuple[bytes, ...]:
    """Return an entry's evidence records, one an authority: its own where it has one, else that of
    its batch made into its own.
    """
    # Here, because few ledgers have renewed anything.
    from witnesstree.ledger.proof.record import derive_record, parse_record

    found = {kept.authority: kept.record for kept in own}
    for kept in of_batch:
        if kept.authority not in found:
            try:
                found[kept.authority] = derive_record(parse_record(kept.record), digest, path).der
            except InvalidInput as error:
                raise Damaged(
                    f"record {kept.number} of batch {kept.sequence} by {kept.authority}: {error};"
                    " run `witnesstree fsck`"
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


def opening_fault(text: str, header: bytes | None, leaf: bytes, opened: datetime) -> str | None:
    """Return in words what is wrong with a batch's opening record, given its leaf 0, the block
    header beside it and when it was opened; or None.
    """
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
    return next(
        (batch for batch in transaction.open_batches() if batch.state is BatchState.OPEN), None
    )
