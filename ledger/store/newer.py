"""What files show that the database does not know: it is older than they are, because it alone was
put back from a backup, or lost what it had committed.

Whoever wrote on would give a number twice: other digests under the names of a sealed batch, a
second checkpoint of a size that is signed already. So every transaction that writes asks first.
That takes a handful of look-ups, however long the ledger is: the files of the next batch and of the
open ones, and the note of the next change of the key.

Files that a crash left are no such sign: a batch counts from its journal's first count on, which is
written after the database's commit; a note of a changed key likewise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.audit.published import CHECKPOINT, key_path
from witnesstree.ledger.base.errors import Damaged, InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.log.keys import MAX_CHANGES, MAX_KEY_NOTE, check_history
from witnesstree.ledger.log.log import log_root
from witnesstree.ledger.log.note import MAX_NOTE, check_checkpoint
from witnesstree.ledger.store.batches import MERGED, PER_FOLDER
from witnesstree.ledger.store.database.values import BatchState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.log.note import Checkpoint, VerifierKey
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.store.metadata import Metadata, Transaction

_BATCH = re.compile(r"[0-9]{5,}/([0-9]{8,})\.(digests|nodes|index|journal)")
_RUN = re.compile(r".*/([0-9]{8,})-([0-9]{8,})\.index")
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the files of a batch show: how many of its entries were `taken`, and whether it
    `is_sealed`. Each is so at least: an older version kept less.

    `path` is the file that shows it.
    """

    sequence: int
    path: Path
    taken: int
    is_sealed: bool


def require_newest(transaction: Transaction, place: str, home: Home, files: BatchFiles) -> None:
    """Raise Damaged if files show what the database at `place` does not know.

    `transaction` excludes other writers.
    """
    unsealed = [batch.sequence for batch in transaction.open_batches()]
    shown = _shown(files, [transaction.next_sequence(), *unsealed])
    for _, found in contradictions(transaction, home, shown, is_thorough=False):
        raise Damaged("database-older-than-files", place=place, found=found)


def find_newer(
    metadata: Metadata, home: Home, files: BatchFiles, *, is_thorough: bool = False
) -> list[tuple[Path, Message]]:
    """Return what files show that the database does not know: each file, and what it shows.

    Others may write meanwhile. With `is_thorough` all files are looked at, by their names; else the
    ones that `require_newest` looks at.
    """
    with metadata.read() as transaction:
        unsealed = [batch.sequence for batch in transaction.open_batches()]
        following = transaction.next_sequence()
    numbers = _numbers(files, following) if is_thorough else [following]
    # Files first, then the database again: what others wrote meanwhile, it has by then.
    shown = [*_shown(files, [*numbers, *unsealed])]
    if is_thorough:
        shown += _runs(files)
    with metadata.read() as transaction:
        return list(contradictions(transaction, home, shown, is_thorough=is_thorough))


def find_missing(metadata: Metadata, files: BatchFiles) -> Iterator[tuple[Path, Message]]:
    """Yield the files of batches that the database has and the place has not: the files are older
    than it.
    """
    with metadata.read() as transaction:
        sizes = [*transaction.batch_sizes()]
        sizes += [(batch.sequence, batch.count) for batch in transaction.open_batches()]
    names: set[str] = set()
    for folder in sorted({sequence // PER_FOLDER for sequence, _ in sizes}):
        names.update(files.place.names(f"{folder:05}"))
    for sequence, count in sizes:
        if count and files.digests_name(sequence) not in names:
            path = files.digests_path(sequence)
            yield path, message("digests-of-batch-missing", path=path, batch=sequence)


def contradictions(
    transaction: Transaction, home: Home, shown: Iterable[Shown], *, is_thorough: bool
) -> Iterator[tuple[Path, Message]]:
    """Yield what of `shown`, and of the home's keys and checkpoints, the database does not know."""
    unsealed = {batch.sequence: batch for batch in transaction.open_batches()}
    size = transaction.log_size()
    following = transaction.next_sequence()
    for each in sorted(shown, key=lambda each: each.sequence):
        batch = unsealed.get(each.sequence)
        if batch and each.taken > batch.count:
            yield (
                each.path,
                message(
                    "journal-counts-more",
                    path=each.path,
                    batch=each.sequence,
                    taken=each.taken,
                    known=batch.count,
                ),
            )
        elif batch and each.is_sealed and batch.state is BatchState.OPEN:
            yield each.path, message("open-batch-sealed", path=each.path, batch=each.sequence)
        elif each.sequence >= following and (each.taken or each.is_sealed):
            yield each.path, message("file-of-unknown-batch", path=each.path, batch=each.sequence)
    notes = transaction.key_notes()
    if (note := home.key_note_path(len(notes) + 1)).exists():
        yield note, message("key-change-unknown", path=note, number=len(notes) + 1)
    elif is_thorough:
        for number, text in enumerate(notes, 1):
            path = home.key_note_path(number)
            if path.exists() and path.read_bytes() != text.encode():
                yield path, message("key-note-differs", path=path, number=number)
    yield from _longer(_kept(home, size), size)
    if is_thorough:
        yield from published_beyond(home, size)


def published_beyond(home: Home, size: int) -> Iterator[tuple[Path, Message]]:
    """Yield the checkpoints of more than `size` entries that this ledger signed, and published in
    folders of this machine: another one of such a size must never be signed.

    A folder that is away, or holds what nobody of ours signed, says nothing. Keys that the home
    does not know count if the notes that are published lead to them from its first one: it may be
    older than they are. Raises Damaged if the home's list of these folders cannot be read.
    """
    yield from _longer(_published(home), size)


def find_forks(transaction: Transaction, home: Home) -> Iterator[tuple[Path, Message]]:
    """Yield the checkpoints that this ledger signed, and has in folders of this machine as
    `published_beyond` says, or kept in its home, for a log that is not the beginning of this one:
    two copies of the ledger have signed, and this one must sign nothing more.
    """
    size = transaction.log_size()
    for path, found in (*_published(home), *_kept(home)):
        if found.size <= size and found.root != log_root(found.size, transaction.log_node):
            yield path, message("checkpoint-of-other-history", path=path, size=found.size)


def _longer(
    checkpoints: Iterable[tuple[Path, Checkpoint]], size: int
) -> Iterator[tuple[Path, Message]]:
    for path, found in checkpoints:
        if found.size > size:
            yield path, message("checkpoint-of-longer-log", path=path, size=found.size)


def _published(home: Home) -> Iterator[tuple[Path, Checkpoint]]:
    """Yield the checkpoint of this ledger in each folder that it was published in from here."""
    for folder in home.published_folders():
        path = folder / CHECKPOINT
        if found := _signed(home, path, _published_keys(home, folder)):
            yield path, found


def _published_keys(home: Home, folder: Path) -> list[VerifierKey]:
    """Return the keys to which the notes in a published folder lead."""
    notes: list[str] = []
    try:
        while len(notes) < MAX_CHANGES and (path := folder / key_path(len(notes) + 1)).exists():
            with open_regular(path) as file:
                notes.append(file.read(MAX_KEY_NOTE + 1).decode())
        return [change.new for change in check_history(notes, home.verifier_key())]
    except (OSError, UnicodeDecodeError, InvalidInput):
        return []


def _signed(home: Home, path: Path, others: Iterable[VerifierKey] = ()) -> Checkpoint | None:
    """Return the checkpoint in a file, None if none of the ledger's keys, nor of `others`, signed
    it.
    """
    keys = [home.verifier_key(number) for number in range(len(home.key_notes()) + 1)]
    try:
        with open_regular(path) as file:
            note = file.read(MAX_NOTE + 1).decode()
        signed = [found for key in [*keys, *others] if (found := check_checkpoint(note, key))]
    except (OSError, UnicodeDecodeError, InvalidInput):
        return None
    return signed[0] if signed else None


def _kept(home: Home, above: int = -1) -> Iterator[tuple[Path, Checkpoint]]:
    """Yield the checkpoints of more than `above` entries that the home has: older versions kept
    cosigned ones there.
    """
    folder = home.folder / "log"
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            name = _CHECKPOINT.fullmatch(path.name)
            if name and int(name[1]) > above and (found := _signed(home, path)):
                yield path, found


def _shown(files: BatchFiles, numbers: Iterable[int]) -> list[Shown]:
    return [shown for number in sorted(set(numbers)) if (shown := show(files, number))]


def show(files: BatchFiles, sequence: int) -> Shown | None:
    """Return what the files of a batch show, None where there are none that count.

    Raises Damaged if a journal cannot be read that has digests beside it.
    """
    place, digests = files.place, files.digests_name(sequence)
    # Asked first: others may be at work, and the digests come after the journal. Where there were
    # none, it need not be whole yet.
    has_digests = _is_there(files, digests)
    try:
        journal = files.journals.read(sequence)
    except Damaged:
        if not has_digests:
            return None
        raise
    taken = journal.taken if journal else 0
    if journal and journal.statement:
        return Shown(sequence, files.journals.path(sequence), taken, is_sealed=True)
    for name in (files.nodes_name(sequence), files.index_name(sequence)):
        if _is_there(files, name):
            return Shown(sequence, place.path(name), taken, is_sealed=True)
    if taken:
        return Shown(sequence, files.journals.path(sequence), taken, is_sealed=False)
    # An older version's, which kept no journal: nobody can tell whether it was acknowledged.
    if journal is None and has_digests:
        return Shown(sequence, place.path(digests), 1, is_sealed=False)
    return None


def _is_there(files: BatchFiles, name: str) -> bool:
    try:
        return files.place.reading(name).size() >= 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Damaged("stored-file-unreadable", path=files.place.path(name), error=error) from error


def _numbers(files: BatchFiles, first: int) -> list[int]:
    """Return the numbers of all batches from `first` on that have a file."""
    found: set[int] = {first}
    folder = first // PER_FOLDER
    while names := files.place.names(f"{folder:05}"):
        found.update(int(match[1]) for name in names if (match := _BATCH.fullmatch(name)))
        folder += 1
    return [number for number in sorted(found) if number >= first]


def _runs(files: BatchFiles) -> list[Shown]:
    """Return the batches that merged indexes reach to."""
    return [
        Shown(int(match[2]), files.place.path(name), 0, is_sealed=True)
        for name in files.place.names(MERGED)
        if (match := _RUN.fullmatch(name))
    ]
