"""A run of the digest index: a digest is found in it without reading what the ledger holds.

A run covers consecutive batches. It holds a row of 12 bytes for each entry: the first 8 bytes of
the digest, and the entry's number, counted from the first entry of the first of these batches, as
4 bytes; both big-endian. The rows are sorted by the whole digest, then by number. So a run follows
from the digests alone, however it was made, and can be made again at any time.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.store.index.digests import KEY, words_at
from witnesstree.ledger.tree.bulk import sort_run
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.index.digests import Numbers
    from witnesstree.ledger.store.ports import Place, Stored

ROW = 12
PART = 2**16
"""Rows of each run that are read at a time while runs are merged or checked (768 KiB)."""
BLOCK = 4096 // ROW
"""Rows read at a time in a search: no more than lie in two pages."""
GUESSES = 4
"""Steps of a search that go by how digests are spread if nobody chose them: two are usual.

Then the range is halved, whatever was chosen.
"""


def build_run(place: Place, digests: str, count: int) -> bytes | bytearray:
    """Return the run over the first `count` digests of a file.

    It needs some 20 bytes of memory an entry, and maps the file.

    Raises Damaged if the file is missing or shorter.
    """
    # Where runs are made or merged only: looking digests up must not wait for the import.
    import numpy as np

    try:
        file = place.reading(digests)
        with file.mapped(count * NODE) as mapped:
            run = sort_run(mapped)
    except (OSError, ValueError) as error:
        path = place.path(digests)
        raise Damaged("digests-unreadable", count=count, path=path, error=error) from error
    keys = np.frombuffer(run, dtype=row_type())["key"]
    if not (keys[1:] == keys[:-1]).any():
        return run
    # Digests that are there twice. The run is changed in a copy, and the memory of the first is
    # given back.
    copy = bytearray(run)
    del keys, run
    rows = np.frombuffer(copy, dtype=row_type())
    sort_tied(rows["key"], rows["number"], lambda numbers: words_at(file, count, numbers))
    return copy


def write_run(files: BatchFiles, sequence: int, count: int) -> None:
    """Write the run of a batch, durably.

    Raises StorageFailure if the disk refuses, Damaged as `build_run` does.
    """
    run = build_run(files.place, files.digests_name(sequence), count)
    with files.place.writing(files.index_name(sequence)) as file:
        file.write(run)


def row_type() -> np.dtype[Any]:
    """Return how numpy reads a row."""
    import numpy as np

    return np.dtype([("key", ">u8"), ("number", ">u4")])


def sort_tied(
    keys: NDArray[Any], numbers: NDArray[Any], words_of: Callable[[NDArray[Any]], Numbers]
) -> None:
    """Bring the numbers of rows that have a key in common, and were sorted by key, in the order
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


class Run:
    """A run that is open: it can be read even when its file is gone.

    It holds `count` entries of the ledger, from number `base` on.
    """

    __slots__ = ("_file", "base", "count", "path")

    def __init__(self, path: Path, base: int, count: int, file: Stored) -> None:
        self.path, self.base, self.count, self._file = path, base, count, file

    def is_current(self) -> bool:
        """Tell whether its file still has its name: that of a run that was merged or made again has
        none.

        Raises Damaged if it has another length.
        """
        if not self._file.is_current():
            return False
        if self._file.size() != self.count * ROW:
            raise Damaged("run-length-wrong", path=self.path)
        return True

    def size(self) -> int:
        """Return the length of its file."""
        return self._file.size()

    def read(self, first: int, count: int) -> bytes:
        """Return `count` rows. Raises Damaged if they are not there."""
        try:
            content = self._file.read(first * ROW, count * ROW)
        except OSError as error:
            raise Damaged("run-unreadable", path=self.path, error=error) from error
        if len(content) != count * ROW:
            raise Damaged("run-cut-short", path=self.path)
        return content

    def search(self, key: int) -> int:
        """Return the place of the first row whose key is `key` or greater.

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
                int.from_bytes(block[-ROW : KEY - ROW]),
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
    """A run that is not there: entries of other runs are found all the same, and a question to this
    one is answered with an error, which says `why`.
    """

    __slots__ = ("_why",)

    def __init__(self, path: Path, base: int, count: int, why: Message) -> None:
        self.path, self.base, self.count, self._why = path, base, count, why

    @override
    def is_current(self) -> bool:
        """Tell that it has to be looked for again."""
        return False

    @override
    def read(self, first: int, count: int) -> bytes:
        """Raise Damaged."""
        raise Damaged(self._why)


def _search_block(block: bytes, key: int) -> int:
    return bisect_left(
        range(len(block) // ROW),
        key.to_bytes(KEY),
        key=lambda i: block[i * ROW : i * ROW + KEY],
    )
