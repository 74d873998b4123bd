"""Merging runs: which are due, and the rows of the whole, in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from witnesstree.ledger.store.index.digests import KEY, Digests, starts_of
from witnesstree.ledger.store.index.run import PART, Run, row_type, sort_tied

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.index.digests import Numbers, Sizes

MAX_RUN = 2**32
"""Entries in a run: they are numbered with 4 bytes."""
GROWTH = 4
"""Runs are merged, from one of them to the last, once that one is no more than a quarter of what
they hold together.

So a row is written again at most log(n) / log(4/3) times, and that bounds the number of runs,
too. With batches of one size it is once for each fourfold of the ledger, and there are at most
three runs of each size.
"""
FAN_IN = 64
"""Runs merged at a time, so that neither memory nor open files grow with their number."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run by its name: the ledger's batches from place `first` to before `end`, and how many
    entries they have.
    """

    name: str
    first: int
    end: int
    count: int


def due_for_merge(spans: Sequence[Span], sizes: Sizes) -> Sequence[Span]:
    """Return the runs that are to be merged: from the earliest that is small beside it and what
    follows to the last; none, if there is none such.
    """
    held = [0, *accumulate(span.count for span in spans)]
    # Runs cover consecutive numbers: what comes before a number that is not sealed is left alone.
    gaps = [
        at
        for at, (one, other) in enumerate(pairwise(spans), 1)
        if sizes[one.end - 1][0] + 1 != sizes[other.first][0]
    ]
    for at in range(gaps[-1] if gaps else 0, len(spans) - 1):
        if GROWTH * spans[at].count <= held[-1] - held[at] <= MAX_RUN:
            return spans[at:]
    return ()


def open_run(files: BatchFiles, span: Span, starts: Sequence[int]) -> Run:
    """Open a run. Raises OSError."""
    file = files.place.reading(span.name)
    return Run(files.place.path(span.name), starts[span.first], span.count, file)


def merged_rows(files: BatchFiles, parts: Sequence[Span], sizes: Sizes) -> Iterator[bytes]:
    """Yield the rows of the merged run, in order.

    Each round takes from every part what is not behind the first of all the parts' newest
    rows, so that the rest can only come later.
    """
    import numpy as np

    starts = starts_of(sizes)
    base = starts[parts[0].first]
    whole = Digests(files, sizes, starts, base)
    readers = [
        _Reader(open_run(files, part, starts), starts[part.first] - base, whole) for part in parts
    ]
    while waiting := [reader for reader in readers if reader.fill()]:
        newest = min(reader.newest for reader in waiting)
        taken = [reader.take(newest) for reader in waiting]
        keys, numbers = (np.concatenate(found) for found in zip(*taken, strict=True))
        order = np.argsort(keys, kind="stable")
        keys, numbers = keys[order], numbers[order]
        sort_tied(keys, numbers, whole.words)
        rows = np.empty(len(keys), dtype=row_type())
        rows["key"], rows["number"] = keys, numbers
        yield rows.tobytes()


class _Reader:
    """One part of a merge, read from its beginning to its end.

    `shift` is added to its numbers to make them those of the whole.
    """

    def __init__(self, run: Run, shift: int, whole: Digests) -> None:
        import numpy as np

        run.is_current()
        self._run, self._shift, self._whole = run, shift, whole
        self._keys: Numbers = np.empty(0, dtype="u8")
        self._numbers: Numbers = np.empty(0, dtype="u8")
        self._next = 0
        self.newest = (b"", 0)
        """Digest and number of the last row that was read and not taken yet."""

    def fill(self) -> bool:
        """Read on if all was taken. Tell whether there is anything left."""
        import numpy as np

        if not len(self._keys) and self._next < self._run.count:
            count = min(PART, self._run.count - self._next)
            part = np.frombuffer(self._run.read(self._next, count), dtype=row_type())
            self._next += count
            self._keys, self._numbers = (
                part["key"].astype("u8"),
                part["number"].astype("u8") + np.uint64(self._shift),
            )
            self.newest = self._entry(-1)
        return bool(len(self._keys))

    def take(self, newest: tuple[bytes, int]) -> tuple[Numbers, Numbers]:
        """Take the rows up to `newest`, that one included."""
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
