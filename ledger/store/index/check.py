"""Checking a run against the digests that it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.index.run import PART, ROW, row_type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.index.digests import Digests, Numbers
    from witnesstree.ledger.store.index.merge import Span
    from witnesstree.ledger.store.index.run import Run


def fault_of(run: Run, span: Span, whole: Digests) -> tuple[Message, Message] | None:
    """Return place and fault of the first row that is wrong, if one is.

    Sorted rows that have each number once, and the key of the digest with that number, can
    only be the right ones.
    """
    import numpy as np

    size = run.size()
    if size == span.count * ROW and _agrees(run, span, whole):
        return None
    seen = np.zeros(span.count, dtype=bool)
    before: tuple[bytes, int] = (b"", -1)
    for first in range(0, min(span.count, size // ROW), PART):
        part = np.frombuffer(
            run.read(first, min(PART, min(span.count, size // ROW) - first)), dtype=row_type()
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
            return message("at-byte", path=run.path, byte=at * ROW), message("index-wrong")
        seen[inside] = True
        before = (words[-1].astype(">u8").tobytes(), int(numbers[-1]))
    if size != span.count * ROW:
        place = message("at-byte", path=run.path, byte=min(size // ROW, span.count) * ROW)
        return place, message("index-length-wrong")
    return None


def _agrees(run: Run, span: Span, whole: Digests) -> bool:
    """Tell whether a run is sorted and holds what the digests hold, both read once, from
    beginning to end.

    What each holds is compared as sums that do not depend on order: that damage leaves them
    alike is one chance in 2**64.
    """
    import numpy as np

    sums = np.zeros(2, dtype="u8")
    before = np.uint64(0)
    for first in range(0, span.count, PART):
        part = np.frombuffer(run.read(first, min(PART, span.count - first)), dtype=row_type())
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


def _sum(keys: Numbers, numbers: Numbers) -> np.uint64:
    import numpy as np

    mixed = (keys ^ (numbers * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    total: np.uint64 = (mixed * np.uint64(0xD6E8FEB86659FD93)).sum(dtype="u8")
    return total


def _falls(words: Numbers, numbers: NDArray[Any]) -> NDArray[Any]:
    """Tell of each row but the first whether it should stand before the one before it."""
    import numpy as np

    falls = numbers[1:] < numbers[:-1]
    for column in (3, 2, 1, 0):
        falls = np.where(
            words[1:, column] == words[:-1, column], falls, words[1:, column] < words[:-1, column]
        )
    return falls
