"""The digest index: sorted runs beside the batches, in which a digest is found without reading what
the ledger holds. No other module reads them.

A run covers consecutive batches. It holds a record of 12 bytes an entry: the first 8 bytes of the
digest, and the entry's number, counted from the first entry of the first of these batches, as 4
bytes; both big-endian. The records are sorted by the whole digest, then by number. So a run follows
from the digests alone, however it was made, and can be made again at any time.

Sealing writes a run for each batch, `N.index`. As they grow in number they are merged into
`merged/FIRST-LAST.index`: under another name first, and the parts are removed only when the whole
is on disk. Which runs count is told by their names: of those that begin with the same batch it is
the one that reaches furthest. Whoever has opened the parts goes on reading them.
"""

from __future__ import annotations

import mmap
import os
import re
from bisect import bisect_left, bisect_right
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from witnesstree.ledger.base.errors import Conflict, Damaged
from witnesstree.ledger.store.disk import replacing, storage_errors, sync_folder, write_file
from witnesstree.ledger.tree.bulk import sort_run
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from witnesstree.ledger.store.batches import BatchFiles

    Sizes = Sequence[tuple[int, int]]
    """The sealed batches of a ledger, lowest first: sequence number and count."""
    Numbers = NDArray[np.uint64]

KEY = 8
RECORD = 12
MAX_RUN = 2**32
"""Entries in a run: they are numbered with 4 bytes."""

GROWTH = 4
"""Runs are merged, from one of them to the last, once that one is no more than a quarter of what
they hold together.

So a record is written again at most log(n) / log(4/3) times, and that bounds the number of runs,
too. With batches of one size it is once for each fourfold of the ledger, and there are at most
three runs of each size.
"""
FAN_IN = 64
"""Runs merged at a time, so that neither memory nor open files grow with their number."""
PART = 2**16
"""Records of each run that are read at a time while runs are merged or checked (768 KiB)."""
BLOCK = 4096 // RECORD
"""Records read at a time in a search: no more than lie in two pages."""
GUESSES = 4
"""Steps of a search that go by how digests are spread if nobody chose them: two are usual.

Then the range is halved, whatever was chosen.
"""

_NAME = re.compile(r"([0-9]{8,19})-([0-9]{8,19})\.index")


def build_run(digests: Path, count: int) -> bytes | bytearray:
    """Return the run over the first `count` digests of a file.

    It needs some 20 bytes of memory an entry, and maps the file.

    Raises Damaged if the file is missing or shorter.
    """
    # Where runs are made or merged only: looking digests up must not wait for the import.
    import numpy as np

    try:
        with (
            digests.open("rb") as file,
            mmap.mmap(file.fileno(), count * NODE, access=mmap.ACCESS_READ) as mapped,
        ):
            run = sort_run(mapped)
    except (OSError, ValueError) as error:
        raise Damaged(
            f"cannot read {count} digests from {digests}: {error}; run `witnesstree fsck`"
        ) from error
    keys = np.frombuffer(run, dtype=_record())["key"]
    if not (keys[1:] == keys[:-1]).any():
        return run
    # Digests that stand there twice. The run is changed in a copy, and the memory of the first is
    # given back.
    copy = bytearray(run)
    del keys, run
    records = np.frombuffer(copy, dtype=_record())
    _sort_tied(records["key"], records["number"], lambda numbers: _words(digests, count, numbers))
    return copy


def write_run(path: Path, digests: Path, count: int) -> None:
    """Write the run of a batch, durably.

    Raises StorageFailure if the disk refuses, Damaged as `build_run` does.
    """
    write_file(path, build_run(digests, count))


def _record() -> np.dtype[Any]:
    import numpy as np

    return np.dtype([("key", ">u8"), ("number", ">u4")])


def _sort_tied(
    keys: NDArray[Any], numbers: NDArray[Any], words_of: Callable[[NDArray[Any]], Numbers]
) -> None:
    """Bring the numbers of records that have a key in common, and were sorted by key, in the order
    of whole digests, then numbers.
    """
    import numpy as np

    same = keys[1:] == keys[:-1]
    if not same.any():
        return
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    chosen = numbers[tied]
    words = words_of(chosen)
    order = np.lexsort((chosen, words[:, 3], words[:, 2], words[:, 1], words[:, 0]))
    numbers[tied] = chosen[order]


def _words(digests: Path, count: int, positions: NDArray[Any]) -> Numbers:
    """Return the digests at `positions`, each as four numbers."""
    import numpy as np

    words: Numbers = np.memmap(digests, dtype=">u8", mode="r", shape=(count, NODE // KEY))[
        positions
    ].astype("u8")
    return words


# Searching


class Run:
    """A run that is open: it can be read even when its file is gone.

    It holds `count` entries of the ledger, from number `base` on.
    """

    __slots__ = ("_descriptor", "base", "count", "path")

    def __init__(self, path: Path, base: int, count: int) -> None:
        self.path, self.base, self.count = path, base, count
        self._descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        with suppress(AttributeError):
            os.close(self._descriptor)

    def is_current(self) -> bool:
        """Tell whether its file still has a name: a run that was merged or made anew has none.

        Raises Damaged if it has another length.
        """
        told = os.fstat(self._descriptor)
        if told.st_nlink and told.st_size != self.count * RECORD:
            raise Damaged(
                f"{self.path} does not have the length of its batches; run `witnesstree fsck"
                " --mend-index`"
            )
        return told.st_nlink > 0

    def size(self) -> int:
        """Return the length of its file."""
        return os.fstat(self._descriptor).st_size

    def read(self, first: int, count: int) -> bytes:
        """Return `count` records. Raises Damaged if they are not there."""
        try:
            content = os.pread(self._descriptor, count * RECORD, first * RECORD)
        except OSError as error:
            raise Damaged(
                f"cannot read {self.path}: {error.strerror}; run `witnesstree fsck --mend-index`"
            ) from error
        if len(content) != count * RECORD:
            raise Damaged(f"{self.path} was cut short; run `witnesstree fsck --mend-index`")
        return content

    def search(self, key: int) -> int:
        """Return the place of the first record whose key is `key` or greater.

        It reads O(log count) blocks, whatever the keys are.
        """
        low, high, below, above = 0, self.count, 0, 2 ** (8 * KEY)
        steps = 0
        while high - low > BLOCK:
            guess = (
                low + (key - below) * (high - low) // (above - below)
                if steps < GUESSES
                else (low + high) // 2
            )
            first = min(max(guess - BLOCK // 2, low), high - BLOCK)
            block = self.read(first, BLOCK)
            smallest, greatest = (
                int.from_bytes(block[:KEY]),
                int.from_bytes(block[-RECORD : KEY - RECORD]),
            )
            if key <= smallest:
                high, above = first, smallest
            elif key > greatest:
                low, below = first + BLOCK, greatest
            else:
                return first + _search_block(block, key)
            steps += 1
        return low + _search_block(self.read(low, high - low), key)


class LostRun(Run):
    """A run that is not there: entries of other runs are found all the same, and whoever asks this
    one is told.
    """

    __slots__ = ()

    def __init__(self, path: Path, base: int, count: int) -> None:
        self.path, self.base, self.count = path, base, count

    @override
    def is_current(self) -> bool:
        """Tell that it has to be looked for again."""
        return False

    @override
    def read(self, first: int, count: int) -> bytes:
        """Raise Damaged."""
        raise Damaged(f"{self.path} is missing; run `witnesstree fsck --mend-index`")


def _search_block(block: bytes, key: int) -> int:
    return bisect_left(
        range(len(block) // RECORD),
        key.to_bytes(KEY),
        key=lambda i: block[i * RECORD : i * RECORD + KEY],
    )


class View:
    """The runs of some sealed batches, open.

    `sizes` are the batches with their counts, `starts` the entries before each and, at its end,
    all.
    """

    __slots__ = ("_files", "runs", "sizes", "starts")

    def __init__(
        self, files: BatchFiles, sizes: Sizes, starts: Sequence[int], runs: tuple[Run, ...]
    ) -> None:
        self._files, self.sizes, self.starts, self.runs = files, sizes, starts, runs

    def find(self, digest: bytes, batch: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield batch and position of each entry with this digest, earliest first: in all batches,
        or in one. Raises Damaged if a run is.
        """
        first, end = 0, self.starts[-1]
        if batch is not None:
            first, end = (
                self.starts[bisect_left(self.sizes, (at, 0))] for at in (batch, batch + 1)
            )
        for run in self.runs:
            if run.base < end and first < run.base + run.count:
                yield from self._find_in(run, digest, first, end)

    def _find_in(self, run: Run, digest: bytes, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the entries of a run that have this digest and a number from `first` to before
        `end`.
        """
        key = int.from_bytes(digest[:KEY])
        at = run.search(key)
        if (
            at < run.count
            and run.read(at, 1)[:KEY] == digest[:KEY]
            and self._entry(run, at) < (digest, first)
        ):
            # Others begin as this digest does, or it stands in earlier batches: then whole digests
            # are read, by which the run is sorted.
            last = run.count if key + 1 == 2 ** (8 * KEY) else run.search(key + 1)
            at = bisect_left(range(last), (digest, first), lo=at, key=lambda i: self._entry(run, i))
        while at < run.count and run.read(at, 1)[:KEY] == digest[:KEY]:
            found, number = self._entry(run, at)
            if found != digest or number >= end:
                return
            yield self._place(number)
            at += 1

    def _entry(self, run: Run, at: int) -> tuple[bytes, int]:
        """Return the digest that a record stands for, read from its batch, and its number in the
        ledger.
        """
        record = run.read(at, 1)
        number = run.base + int.from_bytes(record[KEY:])
        digest = self._files.digest_at(*self._place(number))
        if digest[:KEY] != record[:KEY]:
            raise Damaged(
                f"{run.path} and the digests do not agree; run `witnesstree fsck --mend-index`"
            )
        return digest, number

    def _place(self, number: int) -> tuple[int, int]:
        at = bisect_right(self.starts, number) - 1
        if at >= len(self.sizes):
            raise Damaged(
                f"a digest index names entry {number}, which is not there; run `witnesstree fsck"
                " --mend-index`"
            )
        return self.sizes[at][0], number - self.starts[at]


# All runs of a ledger


@dataclass(frozen=True, slots=True)
class Span:
    """A run by its name: the ledger's batches from place `first` to before `end`, and how many
    entries they have.
    """

    path: Path
    first: int
    end: int
    count: int


class DigestIndex:
    """The runs of one ledger.

    `sizes` are always its sealed batches with their counts, lowest first; a view of them stays open
    until they change.
    """

    def __init__(self, files: BatchFiles) -> None:
        self._files = files
        self._view: View | None = None

    def view(self, sizes: Sizes, *, with_gaps: bool = False) -> View:
        """Return the runs of `sizes`, open.

        What was merged or made anew since, by whatever process, is opened anew.

        Raises Conflict if the runs are not those of `sizes`: either more was sealed and merged
        meanwhile, and newer sizes find them, or a run is missing; `with_gaps` leaves it out. Raises
        Damaged if one has another length.
        """
        view = self._view
        # The same object, usually: then nothing is compared.
        if (
            view is None
            or (view.sizes is not sizes and view.sizes != sizes)
            or not all(run.is_current() for run in view.runs)
        ):
            self._view = None
            view = self._open(sizes, with_gaps=with_gaps)
            self._view = view
        return view

    def _open(self, sizes: Sizes, *, with_gaps: bool) -> View:
        starts = _starts(sizes)
        runs = []
        for span in self._spans(sizes):
            try:
                runs.append(Run(span.path, starts[span.first], span.count))
            except FileNotFoundError as error:
                if with_gaps:
                    runs.append(LostRun(span.path, starts[span.first], span.count))
                    continue
                raise Conflict(
                    f"{span.path} is missing; run `witnesstree fsck --mend-index`"
                ) from error
            except OSError as error:
                raise Damaged(
                    f"cannot read {span.path}: {error.strerror}; run `witnesstree fsck"
                    " --mend-index`"
                ) from error
        for run in runs:
            run.is_current()
        return View(self._files, sizes, starts, tuple(runs))

    def _spans(self, sizes: Sizes) -> list[Span]:
        """Return the runs that count, in the order of their batches.

        Raises Conflict if one reaches beyond `sizes`.
        """
        furthest = self._merged()
        starts = _starts(sizes)
        spans = []
        first = 0
        while first < len(sizes):
            sequence = sizes[first][0]
            last = furthest.get(sequence, sequence)
            path = (
                self._files.index_path(sequence)
                if last == sequence
                else self._files.merged_path(sequence, last)
            )
            end = bisect_left(sizes, (last + 1, 0))
            if sizes[end - 1][0] != last:
                raise Conflict(
                    f"{path} reaches beyond what is sealed; run `witnesstree fsck --mend-index`"
                )
            spans.append(Span(path, first, end, starts[end] - starts[first]))
            first = end
        return spans

    def _merged(self) -> dict[int, int]:
        """Return, for each batch that merged runs begin with, the last batch of the one that
        reaches furthest.
        """
        furthest: dict[int, int] = {}
        for name in _names(self._files.merged_folder):
            if found := _NAME.fullmatch(name):
                first, last = int(found[1]), int(found[2])
                furthest[first] = max(last, furthest.get(first, first))
        return furthest

    # Merging

    def merge(self, sizes: Sizes) -> None:
        """Merge what is due, in bounded memory, each result durable before its parts are removed.

        One process may do this at a time.

        Look-ups go on meanwhile, in this process and in others. Raises StorageFailure if the disk
        refuses, Conflict and Damaged as `view` does.
        """
        spans = self._spans(sizes)
        while due := _due(spans, sizes):
            for part in (due[at : at + FAN_IN] for at in range(0, len(due), FAN_IN)):
                if len(part) > 1:
                    self._merge(part, sizes)
            spans = self._spans(sizes)

    def _merge(self, parts: Sequence[Span], sizes: Sizes) -> None:
        path = self._files.merged_path(sizes[parts[0].first][0], sizes[parts[-1].end - 1][0])
        with storage_errors(path):
            path.parent.mkdir(exist_ok=True)
            sync_folder(path.parent.parent)
        with replacing(path) as file:
            for content in self._merged_records(parts, sizes):
                file.write(content)
        # Whoever lists the runs from here on finds the whole. A crash here leaves parts that no
        # look-up reads, and `fsck --mend-index` removes.
        with storage_errors(path):
            for part in parts:
                part.path.unlink(missing_ok=True)
            for folder in {part.path.parent for part in parts}:
                sync_folder(folder)

    def _merged_records(self, parts: Sequence[Span], sizes: Sizes) -> Iterator[bytes]:
        """Yield the records of the merged run, in order.

        Each round takes from every part what is not behind the first of all the parts' newest
        records, so that the rest can only come later.
        """
        import numpy as np

        starts = _starts(sizes)
        base = starts[parts[0].first]
        whole = _Digests(self._files, sizes, starts, base)
        readers = [
            _Reader(
                Run(part.path, starts[part.first], part.count), starts[part.first] - base, whole
            )
            for part in parts
        ]
        while waiting := [reader for reader in readers if reader.fill()]:
            newest = min(reader.newest for reader in waiting)
            taken = [reader.take(newest) for reader in waiting]
            keys, numbers = (np.concatenate(found) for found in zip(*taken, strict=True))
            order = np.argsort(keys, kind="stable")
            keys, numbers = keys[order], numbers[order]
            _sort_tied(keys, numbers, whole.words)
            records = np.empty(len(keys), dtype=_record())
            records["key"], records["number"] = keys, numbers
            yield records.tobytes()

    # Making anew, and checking

    def discard(self, sequence: int) -> None:
        """Remove merged runs that cover batch `sequence`, which is about to be sealed.

        There are some only where the metadata was put back from a backup, and these batches are
        other ones than those that were merged.
        """
        folder = self._files.merged_folder
        with storage_errors(folder):
            for name in _names(folder):
                found = _NAME.fullmatch(name)
                if found and int(found[1]) <= sequence <= int(found[2]):
                    (folder / name).unlink(missing_ok=True)

    def rebuild(self, sizes: Sizes) -> None:
        """Write all runs anew from the digests alone, and remove what else is there.

        Raises StorageFailure, or Damaged if digests of a batch are missing: when all others are
        done.
        """
        faults = []
        for sequence, count in sizes:
            try:
                write_run(
                    self._files.index_path(sequence), self._files.digests_path(sequence), count
                )
            except Damaged as error:
                faults.append(error)
        folder = self._files.merged_folder
        with storage_errors(folder):
            for name in _names(folder):
                (folder / name).unlink()
        if faults:
            raise faults[0]
        self.merge(sizes)

    def check(self, sizes: Sizes) -> Iterator[tuple[str, str]]:
        """Yield place and fault of each run that is not what follows from the digests.

        Runs of batches whose digests are missing are left out.
        """
        starts = _starts(sizes)
        for span in self._spans(sizes):
            whole = _Digests(self._files, sizes, starts, starts[span.first])
            if not whole.are_there(span.first, span.end):
                continue
            try:
                fault = self._fault(Run(span.path, starts[span.first], span.count), span, whole)
            except OSError as error:
                fault = (str(span.path), f"cannot be read ({error.strerror})")
            except Damaged as error:
                fault = (str(span.path), str(error))
            if fault:
                yield fault[0], f"{fault[1]}; --mend-index makes it anew from the digests"

    def _agrees(self, run: Run, span: Span, whole: _Digests) -> bool:
        """Tell whether a run is sorted and holds what the digests hold, both read once, from
        beginning to end.

        What each holds is compared as sums that do not depend on order: that damage leaves them
        alike is one chance in 2**64.
        """
        import numpy as np

        sums = np.zeros(2, dtype="u8")
        before = np.uint64(0)
        for first in range(0, span.count, PART):
            part = np.frombuffer(run.read(first, min(PART, span.count - first)), dtype=_record())
            keys, numbers = part["key"].astype("u8"), part["number"].astype("u8")
            ends = np.concatenate((np.array([before]), keys))
            # Keys that are alike are for the slow way, which reads whole digests.
            if (
                (numbers >= span.count).any()
                or (ends[1:] < ends[:-1]).any()
                or (ends[1:] == ends[:-1])[1 if first == 0 else 0 :].any()
            ):
                return False
            before = keys[-1]
            sums[:1] += _sum(keys, numbers)
            for_digests = np.arange(first, first + len(part), dtype="u8")
            sums[1:] += _sum(whole.words(for_digests)[:, 0], for_digests)
        return bool(sums[0] == sums[1])

    def _fault(self, run: Run, span: Span, whole: _Digests) -> tuple[str, str] | None:
        """Return place and fault of the first record that is wrong, if one is.

        Sorted records that have each number once, and the key of the digest with that number, can
        only be the right ones.
        """
        import numpy as np

        size = run.size()
        if size == span.count * RECORD and self._agrees(run, span, whole):
            return None
        seen = np.zeros(span.count, dtype=bool)
        before: tuple[bytes, int] = (b"", -1)
        for first in range(0, min(span.count, size // RECORD), PART):
            part = np.frombuffer(
                run.read(first, min(PART, min(span.count, size // RECORD) - first)), dtype=_record()
            )
            keys, numbers = part["key"].astype("u8"), part["number"].astype("i8")
            wrong = numbers >= span.count
            inside = np.where(wrong, 0, numbers)
            words = whole.words(inside)
            wrong |= words[:, 0] != keys
            wrong |= seen[inside]
            _, once = np.unique(inside, return_index=True)
            repeated = np.ones(len(part), dtype=bool)
            repeated[once] = False
            wrong |= repeated
            wrong[1:] |= _falls(words, numbers)
            first_entry = (words[0].astype(">u8").tobytes(), int(numbers[0]))
            wrong[0] |= first_entry < before
            if wrong.any():
                at = first + int(np.argmax(wrong))
                return f"{run.path}, from byte {at * RECORD}", "is not the index of these digests"
            seen[inside] = True
            before = (words[-1].astype(">u8").tobytes(), int(numbers[-1]))
        if size != span.count * RECORD:
            return (
                f"{run.path}, from byte {min(size // RECORD, span.count) * RECORD}",
                "does not have the length of its batches",
            )
        return None


def _sum(keys: Numbers, numbers: Numbers) -> np.uint64:
    import numpy as np

    mixed = (keys ^ (numbers * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    total: np.uint64 = (mixed * np.uint64(0xD6E8FEB86659FD93)).sum(dtype="u8")
    return total


def _falls(words: Numbers, numbers: NDArray[Any]) -> NDArray[Any]:
    """Tell of each record but the first whether it should stand before the one before it."""
    import numpy as np

    falls = numbers[1:] < numbers[:-1]
    for column in (3, 2, 1, 0):
        falls = np.where(
            words[1:, column] == words[:-1, column], falls, words[1:, column] < words[:-1, column]
        )
    return falls


def _starts(sizes: Sizes) -> list[int]:
    return [0, *accumulate(count for _, count in sizes)]


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _due(spans: Sequence[Span], sizes: Sizes) -> Sequence[Span]:
    """Return the runs that are to be merged: from the earliest that is small beside it and what
    follows to the last; none, if there is none such.
    """
    held = [0, *accumulate(span.count for span in spans)]
    # Runs cover consecutive numbers: what stands before a number that is not sealed is left alone.
    gaps = [
        at
        for at, (one, other) in enumerate(pairwise(spans), 1)
        if sizes[one.end - 1][0] + 1 != sizes[other.first][0]
    ]
    for at in range(gaps[-1] if gaps else 0, len(spans) - 1):
        if GROWTH * spans[at].count <= held[-1] - held[at] <= MAX_RUN:
            return spans[at:]
    return ()


class _Digests:
    """The digests of all batches by their number, counted from `base`."""

    def __init__(self, files: BatchFiles, sizes: Sizes, starts: Sequence[int], base: int) -> None:
        self._files, self._sizes, self._starts, self._base = files, sizes, starts, base

    def are_there(self, first: int, end: int) -> bool:
        """Tell whether the files of these batches have all of their digests."""
        paths = (
            (self._files.digests_path(sequence), count)
            for sequence, count in self._sizes[first:end]
        )
        return all(path.is_file() and path.stat().st_size >= count * NODE for path, count in paths)

    def words(self, numbers: NDArray[Any]) -> Numbers:
        """Return the digests with these numbers, each as four numbers.

        Raises Damaged if one is missing.
        """
        import numpy as np

        words = np.empty((len(numbers), NODE // KEY), dtype="u8")
        entries = numbers.astype("i8") + self._base
        batches = np.searchsorted(self._starts, entries, side="right") - 1
        order = np.argsort(batches, kind="stable")
        for chosen in np.split(order, np.flatnonzero(np.diff(batches[order])) + 1):
            sequence, count = self._sizes[batches[chosen[0]]]
            path = self._files.digests_path(sequence)
            try:
                words[chosen] = _words(
                    path, count, entries[chosen] - self._starts[batches[chosen[0]]]
                )
            except (OSError, ValueError) as error:
                raise Damaged(
                    f"cannot read {count} digests from {path}: {error}; run `witnesstree fsck`"
                ) from error
        return words

    def digest(self, number: int) -> bytes:
        """Return one digest."""
        at = bisect_right(self._starts, number + self._base) - 1
        return self._files.digest_at(self._sizes[at][0], number + self._base - self._starts[at])


class _Reader:
    """One part of a merge, read from its beginning to its end.

    `shift` is added to its numbers to make them those of the whole.
    """

    def __init__(self, run: Run, shift: int, whole: _Digests) -> None:
        import numpy as np

        run.is_current()
        self._run, self._shift, self._whole = run, shift, whole
        self._keys: Numbers = np.empty(0, dtype="u8")
        self._numbers: Numbers = np.empty(0, dtype="u8")
        self._next = 0
        self.newest = (b"", 0)
        """Digest and number of the last record that was read and not taken yet."""

    def fill(self) -> bool:
        """Read on if all was taken. Tell whether there is anything left."""
        import numpy as np

        if not len(self._keys) and self._next < self._run.count:
            count = min(PART, self._run.count - self._next)
            part = np.frombuffer(self._run.read(self._next, count), dtype=_record())
            self._next += count
            self._keys, self._numbers = (
                part["key"].astype("u8"),
                part["number"].astype("u8") + np.uint64(self._shift),
            )
            self.newest = self._entry(-1)
        return bool(len(self._keys))

    def take(self, newest: tuple[bytes, int]) -> tuple[Numbers, Numbers]:
        """Take the records up to `newest`, that one included."""
        first, last = self._run_of(newest[0])
        taken = bisect_right(range(last), newest, lo=first, key=self._entry)
        keys, numbers = self._keys[:taken], self._numbers[:taken]
        self._keys, self._numbers = self._keys[taken:], self._numbers[taken:]
        return keys, numbers

    def _run_of(self, digest: bytes) -> tuple[int, int]:
        import numpy as np

        key = np.uint64(int.from_bytes(digest[:KEY]))
        return int(np.searchsorted(self._keys, key, side="left")), int(
            np.searchsorted(self._keys, key, side="right")
        )

    def _entry(self, at: int) -> tuple[bytes, int]:
        number = int(self._numbers[at])
        return self._whole.digest(number), number
