"""BER as other programs write it, brought into the form that is judged. Pure and offline.

RFC 3161, 3 promises DER, and RFC 5652 takes BER for all of a CMS message that is not signed. What
arrives in files has both: lengths that are left open, strings in pieces.
"""

from __future__ import annotations

from witnesstree.ledger.base.der import MAX_DER_DEPTH
from witnesstree.ledger.base.errors import InvalidInput

_CONSTRUCTED = 0x20
_STRINGS = frozenset({3, 4, 12, *range(18, 31)})
"""The universal types that may come in pieces (X.690, 8.6, 8.7, 8.23): BIT STRING, OCTET STRING and
those of characters and times."""
_BIT_STRING = 3


def der_of(ber: bytes) -> bytes:
    """Return a BER value with definite, shortest lengths and each string in one piece (X.690, 10.1
    and 10.2); DER comes back as it is.

    Nothing else is changed: what is signed has to be DER already, down to the order of a SET OF. A
    string under a tag of a context is left as it came, because nothing tells that it is one.

    Raises InvalidInput if it is no single value, or is more than MAX_DER_DEPTH deep.
    """
    value, end = _read(ber, 0, len(ber), 1)
    if end != len(ber):
        raise InvalidInput("der-malformed", at=end)
    return value


def _read(ber: bytes, at: int, limit: int, depth: int) -> tuple[bytes, int]:
    """Return the value at `at` in DER, and where it ends; `limit` is where its parent does."""
    if at + 2 > limit or ber[at] & 0x1F == 0x1F or depth > MAX_DER_DEPTH:
        raise InvalidInput("der-malformed", at=at)
    tag, begin = ber[at], at
    at, size = _length(ber, at + 1, limit)
    end = limit if size is None else at + size
    if end > limit or (size is None and not tag & _CONSTRUCTED):
        raise InvalidInput("der-malformed", at=begin)
    if not tag & _CONSTRUCTED:
        return _value(tag, ber[at:end]), end
    pieces: list[bytes] = []
    while at < end:
        if size is None and ber[at : at + 2] == b"\0\0":
            break
        piece, at = _read(ber, at, end, depth + 1)
        pieces.append(piece)
    if size is None:
        if at >= end:
            raise InvalidInput("der-malformed", at=begin)
        at += 2
    if tag < 0x40 and tag & 0x1F in _STRINGS:
        return _joined(tag & 0x1F, pieces, begin), at
    return _value(tag, b"".join(pieces)), at


def _length(ber: bytes, at: int, limit: int) -> tuple[int, int | None]:
    """Return where the content begins whose length is at `at`, and its length in bytes; None where
    that is left open.
    """
    first = ber[at]
    if first == 0x80:
        return at + 1, None
    if first < 0x80:
        return at + 1, first
    count = first & 0x7F
    if at + 1 + count > limit or count > 8:
        raise InvalidInput("der-malformed", at=at)
    return at + 1 + count, int.from_bytes(ber[at + 1 : at + 1 + count])


def _joined(kind: int, pieces: list[bytes], at: int) -> bytes:
    """Return a string from its pieces, each of the same type."""
    contents: list[bytes] = []
    for piece in pieces:
        if piece[0] != kind:
            raise InvalidInput("der-malformed", at=at)
        contents.append(piece[_length(piece, 1, len(piece))[0] :])
    if kind != _BIT_STRING:
        return _value(kind, b"".join(contents))
    # Each begins with how many bits of its last byte are unused; only the last may have some.
    if not contents or any(each[:1] != b"\0" for each in contents[:-1]):
        raise InvalidInput("der-malformed", at=at)
    return _value(kind, contents[-1][:1] + b"".join(each[1:] for each in contents))


def _value(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content
