"""What a file is that somebody brings as a proof: told by its bytes, never by its name.

What is ours or of a standard that we judge is taken out of its armour; what other programs read is
named, with the program. Nothing is judged here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof.bundle import MAGIC

if TYPE_CHECKING:
    from collections.abc import Sequence


TLOG_PROOF = "c2sp.org/tlog-proof@v1"
"""The first line of a tlog-proof."""


class Kind(Enum):
    """A form of proof that `verify` reads."""

    PROOF = auto()
    BULK = auto()
    RECORD = auto()
    TOKEN = auto()
    CONTAINER = auto()
    TLOG_PROOF = auto()


@dataclass(frozen=True, slots=True)
class Brought:
    """A file that was recognised: its `kind`, and its `content`, which for records and tokens is
    DER, and the token alone where it came in an answer (`is_answer`).
    """

    kind: Kind
    content: bytes
    is_answer: bool = False


GRANTED_WITH_MODS = 1
"""The last status of an answer that has a token (RFC 3161, 2.4.2)."""
MAX_ARMOUR = 8
"""PEM blocks that are looked at in a file."""

_PEM = re.compile(
    rb"-----BEGIN ([A-Z0-9 #]{1,40})-----\r?\n([A-Za-z0-9+/=\s]+)-----END \1-----", re.ASCII
)
_BASE64 = re.compile(rb"M[A-Za-z0-9+/]+={0,2}", re.ASCII)
"""A SEQUENCE in base64 begins with M."""
_SIGNED_DATA = (
    bytes.fromhex("06092a864886f70d010702"),
    bytes.fromhex("060a2a811ccf550601040202"),
)
"""The type of what is signed: of PKCS #7 (RFC 5652, 5.1), and of GM/T 0010."""
_OTS = b"\x00OpenTimestamps\x00\x00Proof\x00"
_SPACE = b" \t\r\n"
_STARTS: Sequence[tuple[bytes, Kind]] = (
    (MAGIC, Kind.BULK),
    (b"PK\x03\x04", Kind.CONTAINER),
    (TLOG_PROOF.encode(), Kind.TLOG_PROOF),
)
_FOREIGN: Sequence[tuple[bytes, str]] = (
    (_OTS, "proof-of-opentimestamps"),
    (b"%PDF-", "proof-is-pdf"),
)

_MARKS: Sequence[tuple[bytes, str]] = (
    (b'"application/vnd.dev.sigstore.bundle', "proof-of-sigstore"),
    (b"EAS Attestation", "proof-of-eas"),
    (b"chainpoint", "proof-of-chainpoint"),
    (b"CHAINPOINT", "proof-of-chainpoint"),
    (b"Chainpoint", "proof-of-chainpoint"),
    (b"urn:ietf:params:xml:ns:ers", "proof-is-xml-record"),
    (b"http://uri.etsi.org/01903", "proof-is-xades"),
    (b'"witnesstree-manifest/', "proof-is-manifest"),
)
"""What a text holds that other programs read."""


def recognise(content: bytes) -> Brought:
    """Return what `content` is: the first bytes of a file, or all of it.

    A file shows itself one of ours by what stands in it (docs/proof-format.md, section 1); whether
    it is undamaged is for its reader to say. Raises InvalidInput for anything that `verify` does
    not read, and names the program that does where it knows one.
    """
    for start, kind in _STARTS:
        if content.startswith(start):
            return Brought(kind, content)
    text = content.lstrip(_SPACE)
    if text.startswith(b"{") and b'"witnesstree-proof/' in text:
        return Brought(Kind.PROOF, content)
    if content.startswith(b"\x30"):
        return _recognise_ber(content)
    _require_unknown(content, text)
    return _recognise_armour(content)


def _require_unknown(content: bytes, text: bytes) -> None:
    """Raise InvalidInput if another program reads it."""
    if content[4:8] == b"jumb":
        raise InvalidInput("proof-of-c2pa")
    for start, code in _FOREIGN:
        if content.startswith(start):
            raise InvalidInput(code)
    if text[:1] in {b"{", b"[", b"<", b"\xef"}:
        for mark, code in _MARKS:
            if mark in text:
                raise InvalidInput(code)


def _recognise_armour(content: bytes) -> Brought:
    for found in list(_PEM.finditer(content))[:MAX_ARMOUR]:
        if found[1] in {b"CERTIFICATE", b"X509 CRL"}:
            continue
        return _recognise_ber(_decoded(found[2]))
    if _BASE64.fullmatch(text := b"".join(content.split())):
        return _recognise_ber(_decoded(text))
    raise InvalidInput("proof-of-no-known-kind")


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise InvalidInput("proof-of-no-known-kind") from error


def _recognise_ber(content: bytes) -> Brought:
    """Tell by the first values in a SEQUENCE what it is: a ContentInfo begins with its type, a
    TimeStampResp with its status, an EvidenceRecord with its version.
    """
    # Here, because a proof needs none of it.
    from witnesstree.ledger.base.ber import der_of

    try:
        der = der_of(content)
    except InvalidInput as error:
        raise InvalidInput("proof-der-unreadable", error=error) from error
    inside = _content(der)
    if inside.startswith(_SIGNED_DATA):
        return Brought(Kind.TOKEN, der)
    if inside.startswith(b"\x02\x01\x01\x30"):
        return Brought(Kind.RECORD, der)
    if inside.startswith(b"\x30") and _content(inside).startswith(b"\x02\x01"):
        answer, token = _split(inside)
        status = _content(answer)[2]
        if status > GRANTED_WITH_MODS:
            raise InvalidInput("proof-is-refusal", status=status)
        if token.startswith(b"\x30") and _content(token).startswith(_SIGNED_DATA):
            return Brought(Kind.TOKEN, token, is_answer=True)
    raise InvalidInput("proof-of-no-known-kind")


def _content(der: bytes) -> bytes:
    """Return what the value has inside that `der` begins with."""
    value, _ = _split(der)
    return value[2 if value[1] < 0x80 else 2 + (value[1] & 0x7F) :]


def _split(der: bytes) -> tuple[bytes, bytes]:
    """Return the value that `der` begins with, and what comes after it."""
    size = der[1]
    start = 2
    if size >= 0x80:
        start = 2 + (size & 0x7F)
        size = int.from_bytes(der[2:start])
    return der[: start + size], der[start + size :]
