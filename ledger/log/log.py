"""The ledger log: hash trees after RFC 9162, 2.1, as pure functions.

No other module hashes log entries.

    leaf = SHA-256(0x00 || entry)
    node = SHA-256(0x01 || left || right)
    root of no entries = SHA-256("")

Kept are the hashes of complete subtrees only. (level, index) names the subtree over entries index *
2**level up to, not including, (index + 1) * 2**level. Such a hash never changes once it is there,
so a log only ever grows. Five entries keep these eight:

    level 2   (2,0)
    level 1   (1,0)       (1,1)
    level 0   (0,0) (0,1) (0,2) (0,3) (0,4)

Functions that need kept hashes take `read`, which returns the 32 bytes at (level, index). They ask
for at most 2 * log2(size) of them, and only for subtrees that are complete in a log of the size
they were given. Whatever `read` raises passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from witnesstree.ledger.base.errors import Damaged, InvalidInput

HASH = 32
"""Bytes in a hash."""

MAX_SIZE = 2**53 - 1
"""Entries in a log, at most: the largest number that every JSON reader takes exactly."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of a log without entries (RFC 9162, 2.1.1)."""

Read = Callable[[int, int], bytes]
"""Returns the kept hash at (level, index)."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of the leaf that holds `entry` (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash above two 32-byte hashes (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def added_nodes(index: int, leaf: bytes, read: Read) -> list[tuple[int, int, bytes]]:
    """Return (level, index, hash) of all that must be kept when an entry with the hash `leaf`
    becomes entry `index`.

    That is the leaf, then each subtree it completes, from the leaves up: at most 54, two on
    average. Nothing is kept by this function; the caller makes all of them durable before it signs
    a checkpoint of the larger log.

    Raises InvalidInput if no log has such an entry, or `leaf` is no hash.
    """
    if not 0 <= index < MAX_SIZE:
        raise InvalidInput("entry-index-out-of-range", most=MAX_SIZE - 1, found=index)
    _require_hashes(leaf)
    added = [(0, index, leaf)]
    level, node = 0, leaf
    while index % 2:
        node = node_hash(_kept(level, index - 1, read), node)
        level, index = level + 1, index // 2
        added.append((level, index, node))
    return added


def log_root(size: int, read: Read) -> bytes:
    """Return the root of the log's first `size` entries (RFC 9162, 2.1.1).

    Raises InvalidInput if no log has that size.
    """
    if not 0 <= size <= MAX_SIZE:
        raise InvalidInput("log-size-out-of-range", most=MAX_SIZE, found=size)
    return _subtree(0, size, read) if size else EMPTY_ROOT


def prove_inclusion(index: int, size: int, read: Read) -> list[bytes]:
    """Return the path of entry `index` in the log's first `size` entries, from the leaf up (RFC
    9162, 2.1.3.1).

    It is empty in a log of one entry. Matches `check_inclusion`.

    Raises InvalidInput if a log of `size` entries has no such entry.
    """
    _require_entry(index, size)
    return _path(index, 0, size, read)


def check_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `path` leads from `leaf`, as entry `index`, to the `root` of a log of `size`
    entries (RFC 9162, 2.1.3.2).

    This says nothing about the root, and some paths serve two sizes: the caller takes root and size
    from a checkpoint that it has checked.

    Raises InvalidInput if a log of `size` entries has no such entry, or `leaf` or `path` are no
    hashes.
    """
    _require_entry(index, size)
    _require_hashes(leaf, *path)
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            r = node_hash(p, r)
            fn, sn = _climb_to_right_child(fn, sn)
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def prove_consistency(old: int, new: int, read: Read) -> list[bytes]:
    """Return the hashes which show that the first `old` entries of a log of `new` entries are its
    beginning (RFC 9162, 2.1.4.1).

    There are none if both sizes are equal. Matches `check_consistency`.

    Raises InvalidInput unless 1 <= old <= new: every log begins with an empty one, so there is
    nothing to prove.
    """
    _require_sizes(old, new)
    return _subproof(old, 0, new, read)


def check_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Tell whether `path` shows that a log of `new` entries and `new_root` begins with the one of
    `old` entries and `old_root`.

    RFC 9162, 2.1.4.2. This says nothing about roots and sizes themselves: the caller takes them
    from checkpoints that it has checked. Two logs of equal size are consistent if their roots are
    equal and the path is empty; then the roots' length is not looked at.

    Raises InvalidInput unless 1 <= old <= new, or if the values are no hashes.
    """
    _require_sizes(old, new)
    if old == new:
        return not path and old_root == new_root
    _require_hashes(old_root, new_root, *path)
    if not path:
        return False
    # A complete old log is a subtree of the new one. The prover leaves its hash out, because the
    # verifier has it.
    first, *rest = (old_root, *path) if old & (old - 1) == 0 else path
    fn, sn = old - 1, new - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = first
    for c in rest:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            fn, sn = _climb_to_right_child(fn, sn)
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def _climb_to_right_child(fn: int, sn: int) -> tuple[int, int]:
    """Skip the levels in which the node is alone at the right edge and so has no sibling (RFC
    9162, 2.1.3.2, step 4b).
    """
    while not fn % 2 and fn:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _path(index: int, start: int, end: int, read: Read) -> list[bytes]:
    """PATH(m, D_n) of RFC 9162, 2.1.3.1, where D_n are the entries from `start` to before `end`."""
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, read), _subtree(middle, end, read)]
    return [*_path(index, middle, end, read), _subtree(start, middle, read)]


def _subproof(old: int, start: int, end: int, read: Read) -> list[bytes]:
    """SUBPROOF(m, D_n, b) of RFC 9162, 2.1.4.1, where D_n are the entries from `start` to before
    `end`; b is true where `start` is 0.
    """
    if old == end:
        return [_subtree(start, end, read)] if start else []
    middle = start + _split(end - start)
    if old <= middle:
        return [*_subproof(old, start, middle, read), _subtree(middle, end, read)]
    return [*_subproof(old, middle, end, read), _subtree(start, middle, read)]


def _subtree(start: int, end: int, read: Read) -> bytes:
    """MTH(D_n) of RFC 9162, 2.1.1, where D_n are the entries from `start` to before `end`; a
    complete one is kept and only read.
    """
    size = end - start
    if size & (size - 1) == 0:
        return _kept(size.bit_length() - 1, start // size, read)
    middle = start + _split(size)
    return node_hash(_subtree(start, middle, read), _subtree(middle, end, read))


def _split(size: int) -> int:
    """Return k of RFC 9162, 2.1.1: the largest power of two smaller than `size`, which is at least
    2.
    """
    return 1 << ((size - 1).bit_length() - 1)


def _kept(level: int, index: int, read: Read) -> bytes:
    node = read(level, index)
    if len(node) != HASH:
        raise Damaged("log-hash-damaged", level=level, index=index, found=len(node), expected=HASH)
    return node


def _require_entry(index: int, size: int) -> None:
    if not 0 <= index < size <= MAX_SIZE:
        raise InvalidInput("entry-not-in-log", size=size, index=index, most=MAX_SIZE)


def _require_sizes(old: int, new: int) -> None:
    if not 1 <= old <= new <= MAX_SIZE:
        raise InvalidInput("consistency-sizes-wrong", most=MAX_SIZE, old=old, new=new)


def _require_hashes(*hashes: bytes) -> None:
    for node in hashes:
        if len(node) != HASH:
            raise InvalidInput("log-hash-size-wrong", expected=HASH, found=len(node))
