"""The digests of all batches, by their number in the ledger."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.ports import Stored

    Sizes = Sequence[tuple[int, int]]
    """The sealed batches of a ledger, lowest first: sequence number and count."""
    Numbers = NDArray[np.uint64]

KEY = 8


def starts_of(sizes: Sizes) -> list[int]:
    """Return how many entries there are before each batch, and at the end, in all."""
    return [0, *accumulate(count for _, count in sizes)]


def words_at(digests: Stored, count: int, positions: NDArray[Any]) -> Numbers:
    """Return the digests at `positions`, each as four numbers."""
    import numpy as np

    with digests.mapped(count * NODE) as content:
        whole = np.frombuffer(content, dtype=">u8").reshape(count, NODE // KEY)
        words: Numbers = whole[positions].astype("u8")
        # The bytes must not be referred to when they are given back.
        del whole
    return words


class Digests:
    """The digests of all batches by their number, counted from `base`."""

    def __init__(self, files: BatchFiles, sizes: Sizes, starts: Sequence[int], base: int) -> None:
        self._files, self._sizes, self._starts, self._base = files, sizes, starts, base

    def are_there(self, first: int, end: int) -> bool:
        """Tell whether the files of these batches have all of their digests."""
        try:
            return all(
                self._files.place.reading(self._files.digests_name(sequence)).size() >= count * NODE
                for sequence, count in self._sizes[first:end]
            )
        except OSError:
            return False

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
            try:
                words[chosen] = words_at(
                    self._files.place.reading(self._files.digests_name(sequence)),
                    count,
                    entries[chosen] - self._starts[batches[chosen[0]]],
                )
            except (OSError, ValueError) as error:
                path = self._files.digests_path(sequence)
                raise Damaged("digests-unreadable", count=count, path=path, error=error) from error
        return words

    def digest(self, number: int) -> bytes:
        """Return one digest."""
        at = bisect_right(self._starts, number + self._base) - 1
        return self._files.digest_at(self._sizes[at][0], number + self._base - self._starts[at])
