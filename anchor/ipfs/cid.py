"""Content identifiers: the name of a block is its SHA-256 and how to read it.

No other module forms or parses a CID.

Only one form is known here: CIDv1 (https://github.com/multiformats/cid), codec raw or dag-pb,
sha2-256, as text in lower-case base32 without padding. It is 36 bytes in binary and 59 characters
as text, for example the empty file:

    bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256

from witnesstree.ledger.base.errors import InvalidInput

RAW = 0x55
"""Codec of a block that is nothing but bytes of a file."""

DAG_PB = 0x70
"""Codec of a block that links to other blocks."""

_HEADS = {codec: bytes([1, codec, 0x12, 32]) for codec in (RAW, DAG_PB)}
_FORM = re.compile(r"b[a-z2-7]{58}", re.ASCII)

MAX_VARINT = 9
"""Bytes in an unsigned varint, at most (multiformats/unsigned-varint): so every number is below
2^63."""


@dataclass(frozen=True, slots=True)
class Cid:
    """The name of one block: `codec` is RAW or DAG_PB, `digest` the 32-byte SHA-256 of its
    bytes.
    """

    codec: int
    digest: bytes

    def __bytes__(self) -> bytes:
        return _HEADS[self.codec] + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode().rstrip("=").lower()


def cid_of(codec: int, block: bytes) -> Cid:
    """Return the name of `block`, read as `codec`; whether it is well-formed under that codec is
    not asked.
    """
    return Cid(codec, sha256(block).digest())


def parse_cid(text: str) -> Cid:
    """Return the CID that `str` wrote.

    Raises InvalidInput for any other text: CIDv0 ("Qm..."), other bases, codecs and hashes, and a
    last character with bits that belong to no byte.
    """
    if _FORM.fullmatch(text):
        content = base64.b32decode(text[1:].upper() + "======")
        for codec, head in _HEADS.items():
            cid = Cid(codec, content[len(head) :])
            if content.startswith(head) and str(cid) == text:
                return cid
    raise InvalidInput("cid-expected", found=ascii(text[:70]))


def cid_from_bytes(content: bytes) -> Cid:
    """Return the CID that `bytes` wrote. Raises InvalidInput for any other bytes."""
    for codec, head in _HEADS.items():
        if len(content) == len(head) + 32 and content.startswith(head):
            return Cid(codec, content[len(head) :])
    raise InvalidInput("cid-bytes-expected", found=content[:40])


def format_varint(value: int) -> bytes:
    """Return `value` (0 to 2^63 - 1) in 7-bit groups, lowest first, each but the last with its high
    bit set.
    """
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def parse_varint(content: bytes, start: int) -> tuple[int, int]:
    """Return the number that `format_varint` wrote at `start`, and where it ends.

    Raises InvalidInput if it is cut off, longer than MAX_VARINT, or longer than it need be.
    """
    value = 0
    for index, group in enumerate(content[start : start + MAX_VARINT]):
        value |= (group & 0x7F) << 7 * index
        if group < 0x80:
            if group == 0 and index > 0:
                raise InvalidInput("varint-too-long", at=start)
            return value, start + index + 1
    raise InvalidInput("varint-cut-off", at=start)
