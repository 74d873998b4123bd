"""Recovery: a database that is older than the batches gets back what their files still say.

Only rows are added. No file is removed or written over, but for indexes and kept levels, which
follow from the digests; no number is given twice; and nothing is signed: checkpoints are those that
were signed before, from the batches' journals. What cannot be found in files is asked for again by
new jobs (tokens, anchors), or is lost (renewed records, cosignatures).

The other way round, sealed batches that have no journal, because an older version sealed them or a
file was lost, get one from the database; one that cannot be read is kept under another name.

What is not certain is refused and named, and what comes after it with it: then the ledger stays
closed to writers.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import Damaged, InvalidInput
from witnesstree.ledger.log.keys import check_history
from witnesstree.ledger.log.note import Checkpoint, check_checkpoint
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.store.blinding import Blinding
from witnesstree.ledger.store.database.values import BatchState, OpenBatch, SealedBatch
from witnesstree.ledger.store.newer import find_missing, find_newer, show
from witnesstree.ledger.work.sealing import next_log, opening_fault, stated_before

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.journal import Journal
    from witnesstree.ledger.store.metadata import Transaction
    from witnesstree.ledger.work.sealing import Ledger

PATIENCE = 60.0
"""Seconds to wait for other processes that use the ledger."""


@dataclass(slots=True)
class Recovered:
    """What a recovery found and did: entries before and after, sealed and open batches that the
    database has again, changes of the key, batches that have a journal again, and what could not be
    mended.
    """

    before: int = 0
    after: int = 0
    sealed: list[int] = field(default_factory=list)
    unsealed: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    journals: list[int] = field(default_factory=list)
    refused: list[tuple[Path, Message]] = field(default_factory=list)


class _Undone(Exception):
    """Raised to take back what was tried."""


def recover(ledger: Ledger, *, is_trial: bool = False) -> Recovered:
    """Add to the database what files show that it does not know, in one transaction, write journals
    that are missing, and return what came of it. With `is_trial` nothing is kept.

    Raises Conflict if another process uses the ledger for longer than PATIENCE.
    """
    found = Recovered()
    shown = find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=True)
    with ExitStack() as stack:
        for name in ("work", "seal", "index", "rotate"):
            stack.enter_context(ledger.home.lock(name, PATIENCE))
        with suppress(_Undone), ledger.metadata.write(is_guarded=False) as transaction:
            found.before = _entries(transaction)
            if shown:
                _Recovery(ledger, transaction, found).run()
            found.after = _entries(transaction)
            if is_trial:
                raise _Undone
        if not is_trial:
            # A merged index may reach beyond the batches that the database has again, and of these
            # the kept levels may be missing.
            for sequence in found.sealed:
                with ledger.metadata.read() as transaction:
                    batch = transaction.batch(sequence)
                assert batch
                ledger.files.write_nodes(sequence, batch.count, batch.root)
            with ledger.metadata.read() as transaction:
                sizes = transaction.batch_sizes()
            if found.sealed:
                ledger.rebuild_index(sizes)
        found.journals = _mend_journals(ledger, is_trial=is_trial)
    if not is_trial:
        found.refused += [
            each
            for each in find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=True)
            if each[0] not in {path for path, _ in found.refused}
        ]
    else:
        # What no file of the home can mend.
        found.refused += [each for each in shown if each[1].code == "checkpoint-of-longer-log"]
    found.refused += find_missing(ledger.metadata, ledger.files)
    return found


def _mend_journals(ledger: Ledger, *, is_trial: bool) -> list[int]:
    """Write the journals of sealed batches that have digests and no journal that can be read, and
    return which.
    """
    journals, mended = ledger.files.journals, []
    lost = {path for path, _ in find_missing(ledger.metadata, ledger.files)}
    with ledger.metadata.read() as transaction:
        for batch in transaction.batches():
            if ledger.files.digests_path(batch.sequence) in lost:
                continue
            with suppress(Damaged):
                if journals.read(batch.sequence):
                    continue
            mended.append(batch.sequence)
            if not is_trial:
                ledger.files.place.set_aside(ledger.files.journal_name(batch.sequence))
                journals.create(batch.sequence, batch.opening, batch.header, batch.count)
                checkpoint = transaction.checkpoint(batch.log_index + 1)
                journals.add_statement(batch.sequence, batch.statement, checkpoint)
    return mended


def _entries(transaction: Transaction) -> int:
    """Return how many entries the database has, in sealed and in other batches."""
    return transaction.entry_count() + sum(batch.entries for batch in transaction.open_batches())


class _Recovery:
    """One recovery, in one transaction."""

    def __init__(self, ledger: Ledger, transaction: Transaction, found: Recovered) -> None:
        self._ledger, self._transaction, self._found = ledger, transaction, found
        self._blinding = Blinding(ledger.home)
        self._notes = ledger.home.key_notes()
        self._changes = check_history(self._notes, ledger.home.verifier_key())

    def run(self) -> None:
        known = self._transaction.key_notes()
        if list(self._notes[: len(known)]) != known:
            path = self._ledger.home.key_note_path(len(self._notes) or 1)
            self._refuse(path, Damaged("key-note-differs", path=path, number=len(known)))
            return
        sequence = self._transaction.log_size()
        while self._is_sealed(sequence):
            if not self._step(sequence, self._seal):
                return
            sequence += 1
        self._change_keys(sequence)
        while show(self._ledger.files, sequence):
            if not self._step(sequence, self._open):
                return
            sequence += 1

    def _is_sealed(self, sequence: int) -> bool:
        """Whether the files of a batch show that it was sealed, and the database has it not.

        A frozen one may only be about to be: then the next pass seals it, with the same statement.
        """
        batch = self._row(sequence)
        shown = show(self._ledger.files, sequence)
        is_about_to_be = batch is not None and batch.state is BatchState.FROZEN
        following = show(self._ledger.files, sequence + 1)
        return bool(
            shown
            and shown.is_sealed
            and (not is_about_to_be or (following and following.is_sealed))
        )

    def _step(self, sequence: int, step: Callable[[int, Journal], object]) -> bool:
        path = self._ledger.files.journals.path(sequence)
        try:
            journal = self._ledger.files.journals.read(sequence)
            if journal is None:
                raise Damaged("journal-missing", path=path)
            step(sequence, journal)
        except Damaged as error:
            self._refuse(path, error)
            return False
        return True

    def _refuse(self, path: Path, error: Damaged) -> None:
        self._found.refused.append((path, error.message))

    def _row(self, sequence: int) -> OpenBatch | None:
        return next(
            (each for each in self._transaction.open_batches() if each.sequence == sequence), None
        )

    def _change_keys(self, size: int) -> None:
        """Add the changes of the key that came before the log had more than `size` entries."""
        known = len(self._transaction.key_notes())
        for change, note in list(zip(self._changes, self._notes, strict=True))[known:]:
            if change.size > size:
                return
            self._transaction.add_key_note(change.number, note)
            self._found.keys.append(change.number)

    def _seal(self, sequence: int, journal: Journal) -> None:
        """Add a sealed batch. Raises Damaged if its files do not agree with each other."""
        files, path = self._ledger.files, self._ledger.files.journals.path(sequence)
        if journal.statement is None or journal.checkpoint is None:
            raise Damaged("journal-without-statement", path=path, batch=sequence)
        stated = stated_before(journal.statement, path)
        self._require_opening(sequence, journal)
        if (stated.origin, stated.sequence) != (self._ledger.home.origin, sequence):
            raise Damaged("journal-of-other-batch", path=path, batch=sequence)
        if files.root(sequence, stated.count) != stated.root:
            raise Damaged("digests-lead-elsewhere", path=files.digests_path(sequence))
        nodes, root = next_log(self._transaction, journal.statement)
        # A key signs up to the size at which it hands over, and the next one beyond.
        self._change_keys(sequence)
        key = self._ledger.home.verifier_key()
        for change in self._changes:
            key = change.new if change.size <= sequence else key
        try:
            signed = check_checkpoint(journal.checkpoint, key)
        except InvalidInput as error:
            raise Damaged("journal-unreadable", path=path, error=error) from error
        if signed != Checkpoint(self._ledger.home.origin, sequence + 1, root):
            raise Damaged("journal-checkpoint-differs", path=path, batch=sequence)
        self._transaction.seal(
            SealedBatch(
                sequence,
                stated.count,
                stated.root,
                stated.closed,
                journal.opening,
                journal.header,
                sequence,
                journal.statement,
                self._blinding.count(files, sequence, stated.count),
            ),
            nodes,
            journal.checkpoint,
            self._ledger.new_jobs(),
        )
        self._found.sealed.append(sequence)

    def _open(self, sequence: int, journal: Journal) -> None:
        """Acknowledge again what was acknowledged of a batch that is not sealed.

        A batch that the database did not know takes no more entries: the next pass seals it.
        """
        row = self._row(sequence)
        if row and journal.taken <= row.count:
            return
        opened = self._require_opening(sequence, journal)
        crc32 = self._ledger.files.checksum(sequence, journal.taken)
        if row is None:
            row = OpenBatch(
                sequence, BatchState.FROZEN, opened, journal.opening, journal.header, 0, 0
            )
            self._transaction.open_batch(row)
        elif row.state is BatchState.OPEN:
            self._transaction.freeze(sequence)
        fillers = self._blinding.count(self._ledger.files, sequence, journal.taken)
        self._transaction.set_count(sequence, journal.taken, crc32, fillers)
        self._found.unsealed.append(sequence)

    def _require_opening(self, sequence: int, journal: Journal) -> datetime:
        path = self._ledger.files.journals.path(sequence)
        try:
            opening = parse_opening(journal.opening)
        except InvalidInput as error:
            raise Damaged("journal-unreadable", path=path, error=error) from error
        if opening.origin != self._ledger.home.origin or opening.batch != sequence:
            raise Damaged("journal-of-other-batch", path=path, batch=sequence)
        leaf = self._ledger.files.digest_at(sequence, 0)
        if fault := opening_fault(journal.opening, journal.header, leaf, opening.opened):
            raise Damaged("journal-opening-differs", path=path, batch=sequence, fault=fault)
        return opening.opened
