"""Looking digests up in the runs of a ledger."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.store.index.digests import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.index.digests import Sizes
    from witnesstree.ledger.store.index.run import Run


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
            # Others begin as this digest does, or it is in earlier batches, too: then whole digests
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
        """Return the digest that a row is of, read from its batch, and its number in the
        ledger.
        """
        row = run.read(at, 1)
        number = run.base + int.from_bytes(row[KEY:])
        digest = self._files.digest_at(*self._place(number))
        if digest[:KEY] != row[:KEY]:
            raise Damaged("run-contradicts-digests", path=run.path)
        return digest, number

    def _place(self, number: int) -> tuple[int, int]:
        at = bisect_right(self.starts, number) - 1
        if at >= len(self.sizes):
            raise Damaged("run-names-absent-entry", number=number)
        return self.sizes[at][0], number - self.starts[at]
