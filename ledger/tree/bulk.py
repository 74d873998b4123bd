"""Work on many digests at once that is no hashing: sorting them for the digest index, and reading
them from lines of hex.

The native core does both where it was built (core.py); the Python here gives the same, byte for
byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.tree import core

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from witnesstree.ledger.base.message import Message

DIGEST = 32
KEY = 8
"""Bytes of a digest that the index sorts by."""

MAX_RUN = 2**32
"""Digests in a run: positions have 4 bytes."""

MAX_LINE = 8192
"""Bytes in a line of a digest file, its end included: a digest and a path of at most 4,096 bytes,
escaped."""

# `sha256sum` writes the digest, a space, a space or an asterisk, and the name; a leading backslash
# says that the name is escaped.
_LINE = re.compile(rb"\\?([0-9a-fA-F]{64})(?: [ *][^\0]+)?")
_DIGITS = re.compile(rb"\\?([0-9a-fA-F]*)")


@dataclass(frozen=True, slots=True)
class HexLines:
    """What is in the first `lines` lines of a text, which are its first `used` bytes: packed
    digests. Blank lines count, and hold none.

    `fault` says what is wrong with the line after them, which begins at `used`; it is None if that
    is not whole yet, or there is none.
    """

    digests: bytes
    used: int
    lines: int
    fault: Message | None


def sort_run(digests: Buffer) -> bytes:
    """Return the sorted run over packed `digests`: 12 bytes for each, its first 8 bytes and its
    position as 4 bytes, big-endian.

    They are sorted by both. Beside the answer this needs some 16 MiB a core; in Python, 30 bytes a
    digest.

    Raises InvalidInput if they are no whole digests in contiguous memory, or more than 2**32.
    """
    view = core.plain(digests)
    if len(view) % DIGEST or len(view) // DIGEST > MAX_RUN:
        raise InvalidInput("run-malformed", most=MAX_RUN, size=DIGEST, count=len(view))
    if native := core.native():
        return native.sort_run(view)
    # Only here is it needed, and it takes long to import.
    import numpy as np

    # Every fourth number of 8 bytes is the beginning of a digest.
    keys = np.frombuffer(view, dtype=">u8")[:: DIGEST // KEY].astype("u8")
    order = np.argsort(keys, kind="stable")
    run = np.empty(len(keys), dtype=[("key", ">u8"), ("position", ">u4")])
    run["key"] = keys[order]
    run["position"] = order
    return run.tobytes()


def parse_hex(text: Buffer, *, is_last: bool) -> HexLines:
    """Return the digests in the whole lines at the beginning of `text`: 64 hex digits, alone or as
    `sha256sum` writes them before a name.

    Lines end with LF, after any number of CR; what follows the last LF is a line only if `is_last`.
    Otherwise the caller hands it in again with what comes after it, and more than MAX_LINE bytes at
    a time. Any bytes give an answer. It ends before the first line that is something else; there
    the caller says which line that is, and seals nothing.

    Raises InvalidInput if the text is not in contiguous memory.
    """
    view = core.plain(text)
    if native := core.native():
        digests, used, lines, is_wrong = native.parse_hex(view, is_last, MAX_LINE)
    else:
        digests, used, lines, is_wrong = _parse_hex(bytes(view), is_last=is_last)
    return HexLines(
        digests, used, lines, _fault(bytes(view[used : used + MAX_LINE + 1])) if is_wrong else None
    )


def _parse_hex(text: bytes, *, is_last: bool) -> tuple[bytes, int, int, bool]:
    digests, used, lines = bytearray(), 0, 0
    while used < len(text):
        end = text.find(b"\n", used, used + MAX_LINE) + 1
        if not end:
            if len(text) - used > MAX_LINE:
                return bytes(digests), used, lines, True
            if not is_last:
                break
            end = len(text)
        content = text[used:end].rstrip(b"\r\n")
        found = _LINE.fullmatch(content)
        if content and not found:
            return bytes(digests), used, lines, True
        if found:
            digests += bytes.fromhex(found[1].decode())
        used, lines = end, lines + 1
    return bytes(digests), used, lines, False


def _fault(beginning: bytes) -> Message:
    line, feed, _ = beginning.partition(b"\n")
    if len(line) + len(feed) > MAX_LINE:
        return message("hex-line-too-long", most=MAX_LINE)
    if b"\0" in line:
        return message("hex-line-zero-byte")
    if line.startswith(b"\xef\xbb\xbf"):
        return message("hex-line-byte-order-mark")
    if b"\r" in line.rstrip(b"\r"):
        return message("hex-line-end-wrong")
    digits = _DIGITS.match(line)
    count = len(digits[1]) if digits else 0
    if count != 2 * DIGEST:
        return message("hex-line-digits-wrong", count=count)
    return message("hex-line-name-malformed")
