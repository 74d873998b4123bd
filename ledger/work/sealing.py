"""Sealing: entries come in durably, batches close, and each root gets its token and its anchor,
once.

A batch goes through these states, and a crash between any two of them is repaired by simply doing
the next step:

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

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from typing_extensions import override

from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.stateproof import parse_header
from witnesstree.ledger.log.keys import check_history, newest_key
from witnesstree.ledger.log.log import added_nodes, leaf_hash, log_root
from witnesstree.ledger.log.note import Checkpoint, sign_checkpoint
from witnesstree.ledger.log.opening import (
    BlockName,
    Opening,
    format_opening,
    opening_digest,
    parse_opening,
)
from witnesstree.ledger.log.statement import Statement, format_statement, parse_statement
from witnesstree.ledger.store.blinding import Blinding
from witnesstree.ledger.store.database.values import BatchState, OpenBatch, SealedBatch
from witnesstree.ledger.store.index.run import write_run
from witnesstree.ledger.store.newer import (
    find_forks,
    find_newer,
    published_beyond,
    require_newest,
)
from witnesstree.ledger.store.restored import require_continued
from witnesstree.ledger.tree.tree import NODE
from witnesstree.ledger.work.clocks import Clocks
from witnesstree.ledger.work.lookup import Lookup
from witnesstree.ledger.work.outbox import Outbox, Pace
from witnesstree.ledger.work.recent import RecentBlocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from typing_extensions import Buffer

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.ports import Block
    from witnesstree.ledger.log.keys import KeyChange
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.database.values import JobKind
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.store.metadata import Metadata, Transaction
    from witnesstree.ledger.work.lookup import Entry
    from witnesstree.ledger.work.outbox import Witnesses


_FIRST_ENTRY = 2
"""The position of a batch's first entry: leaf 0 is the opening record, leaf 1 a blinding leaf."""


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


class _Appending:
    """Runs of packed digests on their way into batches: what is left of them, and where the others
    went.
    """

    def __init__(self, runs: list[memoryview]) -> None:
        self.rest = deque(enumerate(runs))
        self.counts: dict[int, int] = {}
        self._spans: list[list[Span]] = [[] for _ in runs]

    @property
    def spans(self) -> list[tuple[Span, ...]]:
        """The places of each run."""
        return [tuple(spans) for spans in self._spans]

    def take(
        self, batch: int, first: int, room: int, blind: Callable[[int], bytes]
    ) -> tuple[list[bytes | memoryview], int, int]:
        """Return what goes into `batch` from position `first` on, which is even, where there is
        `room` for so many; the position behind it, which is even, too; and how many blinding leaves
        are among it.
        """
        pieces: list[bytes | memoryview] = []
        at, end, fillers = first, first + room, 0
        while self.rest and at < end:
            number, run = self.rest.popleft()
            count = min(len(run) // NODE, end - at)
            pieces.append(run[: count * NODE])
            self._spans[number].append(Span(batch, at, count))
            at += count
            if at % 2:
                pieces.append(blind(at))
                at, fillers = at + 1, fillers + 1
            if count * NODE < len(run):
                self.rest.appendleft((number, run[count * NODE :]))
        self.counts[batch] = at
        return pieces, at, fillers


class Ledger(Lookup):
    """One ledger in its home: it takes entries, seals, and is asked (lookup.py).

    Its `key` may be left out, and is then read when something is signed. Several processes may use
    one home at once: what must not happen twice is held by locks. Without `asks_chains`, a batch
    that is opened names the block that the worker keeps (recent.py).
    """

    def __init__(
        self,
        home: Home,
        *,
        key: Ed25519PrivateKey | None,
        metadata: Metadata,
        files: BatchFiles,
        witnesses: Witnesses,
        clock: Callable[[], datetime],
        limits: Limits,
        pace: Pace | None = None,
        asks_chains: bool = True,
    ) -> None:
        super().__init__(metadata, files)
        self.home = home

        def guard(transaction: Transaction) -> None:
            require_continued(home)
            require_newest(transaction, metadata.place, home, files)

        # Before anything is written, by whatever part.
        metadata.guard = guard
        self._key = key
        self._witnesses = witnesses
        self._clock = clock
        self._limits = limits
        self._blocks = RecentBlocks(
            home, witnesses, Clocks(metadata, clock), clock, asks=asks_chains
        )
        self._blinding = Blinding(home)
        self.outbox = Outbox(
            home,
            metadata,
            witnesses,
            files,
            clock=clock,
            pace=pace or Pace(limits.patience),
        )

    def require_newest(self) -> None:
        """Raise Damaged if files show what the database does not know, and Conflict if the home was
        restored and must not go on yet: for those who write without a transaction of their own.
        """
        require_continued(self.home)
        self.require_known()

    def require_known(self) -> None:
        """Raise Damaged if files show what the database does not know: for those who would say that
        something is not here.
        """
        for _, found in find_newer(self.metadata, self.home, self.files):
            raise Damaged("database-older-than-files", place=self.metadata.place, found=found)

    @override
    def proof(
        self,
        digest: bytes,
        batch: int | None = None,
        admits: Callable[[Transaction, Entry], bool] = lambda _transaction, _entry: True,
    ) -> Proof:
        """Return the proof of an entry, as Lookup does, and raise Damaged where it may be among
        what the database does not know.
        """
        try:
            return super().proof(digest, batch, admits)
        except NotFound:
            self.require_known()
            raise

    def now(self) -> datetime:
        """Return the time in whole seconds, as records and statements write it."""
        return self._clock().replace(microsecond=0)

    # Taking entries

    def submit(self, packed: Buffer) -> Receipt:
        """Take packed digests as entries of the open batch, opening one where there is none.

        All of them count when this returns, and are on disk; or none does. None of them becomes an
        object of its own, and they are not copied. A submission larger than what a batch may hold
        goes on in the next one.

        Raises InvalidInput if `packed` is no whole number of digests, or none; StorageFailure if
        the disk refuses.
        """
        received, (spans,) = self.submit_runs([packed])
        return Receipt(self.home.origin, received, spans)

    def submit_runs(
        self,
        runs: Sequence[Buffer],
        keep: Callable[[Transaction, datetime, list[tuple[Span, ...]]], None] | None = None,
    ) -> tuple[datetime, list[tuple[Span, ...]]]:
        """Take several runs of packed digests at once, as `submit` takes one, and return when they
        were taken and the places of each run.

        However many they are, the disk is waited for once a batch: gather what comes in before
        calling. No two runs have leaves of one pair, so that none sees the digests of another in
        its paths (blinding.py). `keep` may write more in the same transaction.
        """
        views = [memoryview(run).cast("B") for run in runs]
        for view in views:
            if not view or len(view) % NODE:
                raise InvalidInput("submission-not-digests", size=len(view))
        now = self.now()
        # Asked before the transaction, because a chain may be slow and other submissions wait for
        # the lock.
        must_open = self._blocks.asks and self._must_open(now)
        block = self._blocks.newest() if must_open else None
        appending = _Appending(views)
        # The file's own lock, because a server forgets the database's with the connection, and the
        # process that held it learns that late. It is taken before the next question, whose answer
        # shows that the database's lock still held then.
        with self.metadata.write() as transaction, self.home.lock("submit", self._limits.patience):
            while appending.rest:
                batch = self._taking(transaction, now)
                if batch is None:
                    if full := _current(transaction):
                        transaction.freeze(full.sequence)
                    batch = self._open_batch(
                        transaction,
                        now,
                        block if must_open else self._blocks.newest(may_alarm=False),
                    )
                elif self.files.journals.read(batch.sequence) is None:
                    # An older version opened it.
                    self.files.journals.create(batch.sequence, batch.opening, batch.header)
                self._append(transaction, batch, appending)
            if keep:
                keep(transaction, now, appending.spans)
        # After the commit, so that the journal never says more than the database has; and before
        # the receipt, so that a database without these entries is known for an older one.
        with self.home.lock("journal", self._limits.patience):
            for sequence, count in appending.counts.items():
                self.files.journals.raise_count(sequence, count)
        return now, appending.spans

    def _must_open(self, now: datetime) -> bool:
        with self.metadata.read() as transaction:
            return self._taking(transaction, now) is None

    def _append(self, transaction: Transaction, batch: OpenBatch, appending: _Appending) -> None:
        """Append as many digests as a batch still takes.

        A crash before the count is raised leaves bytes that the next append overwrites: they were
        never acknowledged.
        """

        def blind(position: int) -> bytes:
            return self._blinding.leaf(batch.sequence, position)

        pieces: list[bytes | memoryview] = []
        if not batch.count:
            # Leaf 0 is the opening record. It is written with the first entries, so that no batch
            # is ever on disk without it.
            pieces = [opening_digest(batch.opening), blind(1)]
        elif batch.count % 2:
            # An older version left it so.
            pieces = [blind(batch.count)]
        fillers = 1 if pieces else 0
        first = batch.count + len(pieces)
        room = _FIRST_ENTRY + self._limits.entries - first
        taken, end, filled = appending.take(batch.sequence, first, room, blind)
        pieces += taken
        self.files.append(batch.sequence, batch.count, *pieces)
        checksum = batch.crc32
        for piece in pieces:
            checksum = crc32(piece, checksum)
        transaction.set_count(batch.sequence, end, checksum, batch.fillers + fillers + filled)

    def _taking(self, transaction: Transaction, now: datetime) -> OpenBatch | None:
        """Return the batch that takes the next entry: the open one, unless it is full or due."""
        batch = _current(transaction)
        return (
            batch
            if batch
            and batch.count < _FIRST_ENTRY + self._limits.entries
            and now - batch.opened < self._limits.age
            else None
        )

    def _open_batch(
        self, transaction: Transaction, now: datetime, block: Block | None
    ) -> OpenBatch:
        self.require_unpublished(transaction)
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
            fillers=0,
        )
        self.files.open(sequence, batch.opening, batch.header)
        transaction.open_batch(batch)
        return batch

    def keep_recent_block(self) -> None:
        """Keep a recent block for those who ask no chain. Raises StorageFailure."""
        self._blocks.keep()

    # Closing

    def close(self, *, due_only: bool = False) -> list[int]:
        """Seal every batch that has entries, or with `due_only` those that are full or old, and
        return their sequence numbers.

        Where another process seals one, wait for it.
        """
        with self.metadata.read() as transaction:
            unsealed = transaction.open_batches()
            is_due = any(batch.state is BatchState.FROZEN for batch in unsealed) or (
                unsealed and not self._taking(transaction, self.now())
            )
        if due_only and not is_due:
            return []
        with self.metadata.write() as transaction:
            batch = _current(transaction)
            if batch and not (due_only and self._taking(transaction, self.now())):
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
        write_run(self.files, batch.sequence, batch.count)
        closed, statement = self._statement(batch, root)
        with self.metadata.write() as transaction:
            if transaction.batch(batch.sequence):
                # A commit whose answer was lost, and which took hold only now.
                return
            index = transaction.batch_count()
            self.require_unpublished(transaction)
            nodes, log = next_log(transaction, statement)
            checkpoint = sign_checkpoint(
                Checkpoint(self.home.origin, index + 1, log), self.signing_key(transaction)
            )
            # What is signed is kept in the batch's journal before it counts: it can be found again
            # without the database.
            self.files.journals.add_statement(batch.sequence, statement, checkpoint)
            sealed = SealedBatch(
                batch.sequence,
                batch.count,
                root,
                closed,
                batch.opening,
                batch.header,
                index,
                statement,
                batch.fillers,
            )
            transaction.seal(sealed, nodes, checkpoint, self.new_jobs())

    def require_unpublished(self, transaction: Transaction) -> None:
        """Raise Damaged if a longer log than this one was published, or another one: no entry is
        taken that could not be sealed, and no size is signed again.
        """
        for _, found in published_beyond(self.home, transaction.log_size()):
            raise Damaged("home-older-than-published", place=self.home.folder, found=found)
        for _, found in find_forks(transaction, self.home):
            raise Damaged("home-forks-from-published", place=self.home.folder, found=found)

    def new_jobs(self) -> list[tuple[JobKind, str]]:
        """Return the jobs that a sealed batch gives."""
        return self._witnesses.jobs()

    def _statement(self, batch: OpenBatch, root: bytes) -> tuple[datetime, str]:
        """Return when a batch was closed, and its statement: the same as before, where a crash came
        between that and the database's commit. No size of the log ever has two checkpoints.

        Raises Damaged if the one before is about other entries.
        """
        journals = self.files.journals
        journal = journals.read(batch.sequence)
        if journal is None:
            # An older version opened it.
            journals.create(batch.sequence, batch.opening, batch.header, batch.count)
        elif journal.statement is not None:
            stated = stated_before(journal.statement, journals.path(batch.sequence))
            new = Statement(
                self.home.origin, batch.sequence, batch.count, root, batch.opened, stated.closed
            )
            if stated != new:
                raise Damaged(
                    "statement-of-other-entries",
                    path=journals.path(batch.sequence),
                    batch=batch.sequence,
                )
            return stated.closed, journal.statement
        closed = self.now()
        return closed, format_statement(
            Statement(self.home.origin, batch.sequence, batch.count, root, batch.opened, closed)
        )

    def signing_key(self, transaction: Transaction) -> Ed25519PrivateKey:
        """Return the key in force.

        `transaction` excludes other writers, so that no other process changes the key until what it
        signs is kept.

        Raises Damaged if the history of keys is, or the key is not in this home.
        """
        notes = transaction.key_notes()
        newest = newest_key(self.home.verifier_key(), self.key_changes(transaction))
        if self._key is None or self._key.public_key().public_bytes_raw() != newest.public_key:
            # Another process has changed it since this one began, or this one was handed an older
            # one.
            try:
                self._key = self.home.private_key(len(notes), newest)
            except Damaged as error:
                if error.message.code != "keys-do-not-match":
                    raise
                raise Damaged("key-not-here", number=len(notes), folder=self.home.folder) from error
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
            raise Damaged("key-history-unreadable", error=error) from error

    def _require_acknowledged(self, batch: OpenBatch) -> None:
        """Raise Damaged unless the file and the record of a batch are those that were acknowledged:
        what is sealed is stated for ever.
        """
        path = self.files.digests_path(batch.sequence)
        if self.files.checksum(batch.sequence, batch.count) != batch.crc32:
            raise Damaged("acknowledged-entries-altered", path=path)
        if fault := opening_fault(
            batch.opening, batch.header, self.files.digest_at(batch.sequence, 0), batch.opened
        ):
            raise Damaged(
                "opening-record-altered",
                batch=batch.sequence,
                fault=fault,
                place=self.metadata.place,
            )

    def blinding_leaves(self, sequence: int) -> Iterator[int]:
        """Yield the positions of a sealed batch that hold nobody's digest, as far as the home has
        the secret that tells them.

        Raises NotFound if there is no such batch, Damaged if its digests or the secret cannot be
        read.
        """
        return self._blinding.positions(self.files, sequence, self.batch(sequence).count)

    # Checking and repairing what is derived

    def mend_indexes(self) -> int:
        """Write indexes, and what is kept of trees, of all sealed batches again from their digests,
        and return how many batches there are.

        Raises Damaged, and writes nothing, if the database is older than the files: it would take
        away what shows that. Raises Conflict if another process merges indexes for longer than the
        patience.
        """
        self.require_newest()
        with self.home.lock("index", self._limits.patience), self.metadata.read() as transaction:
            for batch in transaction.batches():
                # What digests that are not those that were sealed lead to is not written; a check
                # names them.
                with suppress(Damaged):
                    self.files.write_nodes(batch.sequence, batch.count, batch.root)
            sealed = transaction.batch_sizes()
            self._index.rebuild(sealed)
        return len(sealed)

    def rebuild_index(self, sizes: list[tuple[int, int]]) -> None:
        """Write the digest index of these sealed batches again. The caller holds its lock."""
        self._index.rebuild(sizes)

    def index_faults(self) -> Iterator[tuple[Message, Message]]:
        """Yield place and fault of each digest index that does not follow from the digests.

        Raises Damaged if one is missing.

        No index is merged meanwhile. Raises Conflict if another process merges for longer than the
        patience.
        """
        with self.home.lock("index", self._limits.patience), self.metadata.read() as transaction:
            yield from self._index.check(transaction.batch_sizes())


def next_log(
    transaction: Transaction, statement: str
) -> tuple[list[tuple[int, int, bytes]], bytes]:
    """Return the hashes that a statement adds to the log, and the root that the log then has."""
    index = transaction.batch_count()
    nodes = added_nodes(index, leaf_hash(statement.encode()), transaction.log_node)
    added = {(level, position): node for level, position, node in nodes}
    root = log_root(
        index + 1,
        lambda level, position: (
            added.get((level, position)) or transaction.log_node(level, position)
        ),
    )
    return nodes, root


def stated_before(text: str, path: Path) -> Statement:
    """Return the statement in a journal. Raises Damaged if it is none."""
    try:
        return parse_statement(text)
    except InvalidInput as error:
        raise Damaged("journal-unreadable", path=path, error=error) from error


def opening_fault(text: str, header: bytes | None, leaf: bytes, opened: datetime) -> Message | None:
    """Return what is wrong with a batch's opening record, given its leaf 0, the block
    header beside it and when it was opened; or None.
    """
    try:
        opening = parse_opening(text)
        block = parse_header(header).hash if header is not None else None
    except InvalidInput as error:
        return message("stored-opening-unreadable", error=error)
    if opening_digest(text) != leaf:
        return message("opening-not-in-leaf")
    if block != (opening.block.hash if opening.block else None):
        return message("opening-names-other-block")
    return None if opening.opened == opened else message("opening-names-other-time")


def _current(transaction: Transaction) -> OpenBatch | None:
    return next(
        (batch for batch in transaction.open_batches() if batch.state is BatchState.OPEN), None
    )
