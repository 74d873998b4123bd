"""The digests of all batches, by their number in the ledger."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from witnesstree.ledger.store.batches import BatchFiles

    Sizes = Sequence[tuple[int, int]]
    """The sealed batches of a ledger, lowest first: sequence number and count."""
    Numbers = NDArray[np.uint64]

KEY = 8


def starts_of(sizes: Sizes) -> list[int]:
    """Return how many entries there are before each batch, and at the end, in all."""
    return [0, *accumulate(count for _, count in sizes)]


def words_at(digests: Path, count: int, positions: NDArray[Any]) -> Numbers:
    """Return the digests at `positions`, each as four numbers."""
    import numpy as np

    words: Numbers = np.memmap(digests, dtype=">u8", mode="r", shape=(count, NODE // KEY))[
        positions
    ].astype("u8")
    return words


class Digests:
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
                words[chosen] = words_at(
                    path, count, entries[chosen] - self._starts[batches[chosen[0]]]
                )
            except (OSError, ValueError) as error:
                raise Damaged("digests-unreadable", count=count, path=path, error=error) from error
        return words

    def digest(self, number: int) -> bytes:
        """Return one digest."""
        at = bisect_right(self._starts, number + self._base) - 1
        return self._files.digest_at(self._sizes[at][0], number + self._base - self._starts[at])
