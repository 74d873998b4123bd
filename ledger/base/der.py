"""DER as it comes from outside: its skeleton is checked before asn1crypto sees it, and whatever
that raises becomes one error. Pure and offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from asn1crypto import core
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

from witnesstree.ledger.base.errors import InvalidInput

# Values in values: a token with its certificates needs about 15.
MAX_DER_DEPTH = 40
# Bytes. Decoding an object identifier takes time that grows with its square.
MAX_OID = 64
# Characters of a name from a token or certificate that are shown to a person.
MAX_SHOWN = 120

# RFC 3161, 2.4.2: with seconds, and ends in Z. Trailing zeros, which it forbids, do no harm and
# occur.
_GENERALIZED_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,12}))?Z")
# RFC 5280, 4.1.2.5.2: no fraction.
_X509_TIME = re.compile(rb"\d{14}Z")
# Bytes that end an arc are below 0x80, and none begins with 0x80 (X.690, 8.19.2).
_ARCS = re.compile(rb"(?:(?:[\x81-\xff][\x80-\xff]*)?[\x00-\x7f])+", re.DOTALL)
_FOREIGN = (UnsupportedAlgorithm, DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType)
_RAISED = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, *_FOREIGN)


class _Extension(core.Sequence):  # type: ignore[misc]
    """RFC 5280, 4.1. asn1crypto's own reads the value with it, and one that no one asks for may be
    odd.
    """

    _fields = [  # noqa: RUF012
        ("extn_id", core.ObjectIdentifier),
        ("critical", core.Boolean, {"default": False}),
        ("extn_value", core.OctetString),
    ]


@contextmanager
def reading(form: str) -> Iterator[None]:
    """Translate whatever asn1crypto and cryptography raise while their lazy values are read.

    `form` names what is read, such as "TimeStampResp (RFC 3161, 2.4.2)".

    Raises InvalidInput.
    """
    try:
        yield
    except _RAISED as error:
        raise InvalidInput("der-unreadable", form=form) from error


def demand_der(der: bytes) -> None:
    """Check the skeleton of `der`: definite and shortest lengths, each value inside its parent, a
    BOOLEAN of one byte, no empty number, identifiers with whole arcs in their shortest form, at
    most MAX_DER_DEPTH deep (X.690, 10).

    asn1crypto reads BER too, and recurses; RFC 3161, 3 promises DER. This does not look into OCTET
    STRINGs and says nothing about types.

    Raises InvalidInput.
    """
    at, ends = 0, [len(der)]
    while ends:
        if at == ends[-1]:
            ends.pop()
            continue
        tag = der[at]
        at, length = _read_length(der, at + 1)
        is_constructed = bool(tag & 0x20)
        # SEQUENCE and SET are always constructed, every other universal type never (X.690, 8 and
        # 10.2).
        is_odd = tag & 0x1F == 0x1F or (tag < 0x40 and is_constructed != (tag & 0x1F in {16, 17}))
        is_too_long = at + length > ends[-1] or (tag == 0x06 and length > MAX_OID)
        # BOOLEAN, INTEGER and OBJECT IDENTIFIER (X.690, 8.2.1, 8.3.1 and 8.19.2).
        is_torn = (
            (tag == 0x01 and length != 1)
            or (tag == 0x02 and not length)
            or (tag == 0x06 and not _ARCS.fullmatch(der, at, at + length))
        )
        if is_odd or is_too_long or is_torn or len(ends) > MAX_DER_DEPTH:
            raise InvalidInput("der-malformed", at=at)
        if is_constructed:
            ends.append(at + length)
        else:
            at += length


def _read_length(der: bytes, at: int) -> tuple[int, int]:
    """Return where the value starts whose length octets are at `at`, and how many bytes it
    has.
    """
    first = der[at] if at < len(der) else 0x80
    if first < 0x80:
        return at + 1, first
    size = first & 0x7F
    octets = der[at + 1 : at + 1 + size]
    length = int.from_bytes(octets, "big")
    if not 1 <= size <= 4 or len(octets) < size or octets[0] == 0 or length < 0x80:
        raise InvalidInput("der-malformed", at=at)
    return at + 1 + size, length


def read_values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Return tag and content of each value in `der`, one after another.

    Raises InvalidInput if their lengths do not fit.
    """
    for start, content, end in _places(der):
        yield der[start], der[content:end]


def read_encodings(der: bytes) -> Iterator[bytes]:
    """Return each value in `der` whole, with its tag and length, one after another.

    Raises InvalidInput if their lengths do not fit.
    """
    for start, _, end in _places(der):
        yield der[start:end]


def _places(der: bytes) -> Iterator[tuple[int, int, int]]:
    """Return where each value in `der` starts, where its content starts, and where both end."""
    at = 0
    while at < len(der):
        start = at
        at, length = _read_length(der, at + 1)
        if at + length > len(der):
            raise InvalidInput("der-malformed", at=at)
        yield start, at, at + length
        at += length


def encoding_of(value: Any) -> bytes:
    """Return the bytes that asn1crypto read `value` from, none where it is absent.

    Its own dump() may write other ones: it takes a length that ends in the byte 0x80 for an
    indefinite one and encodes such a value anew, and it leaves defaults out.
    """
    while isinstance(value, core.Choice):
        value = value.chosen
    if isinstance(value, core.Void):
        return b""
    return bytes(value._header + value.contents + value._trailer)  # noqa: SLF001


def read_extensions(extensions: Any) -> tuple[dict[str, bytes], frozenset[str]]:
    """Return asn1crypto's `extensions` by name (RFC 5280, 4.1), each whole and as DER, and the
    names of those that are critical.

    Only to be used inside `reading`. Raises InvalidInput if one occurs twice.
    """
    found = {each["extn_id"].native: encoding_of(each) for each in extensions}
    if len(found) < len(extensions):
        raise InvalidInput("extension-twice")
    return found, frozenset(
        each["extn_id"].native for each in extensions if each["critical"].native
    )


def read_extension(extensions: Mapping[str, bytes], name: str, kind: Any) -> Any:
    """Return the value of the extension `name` as asn1crypto's `kind`, or None where there is none.

    Raises InvalidInput.
    """
    if name not in extensions:
        return None
    with reading(f"{name} (RFC 5280, 4.2)"):
        value = bytes(_Extension.load(extensions[name], strict=True)["extn_value"])
        demand_der(value)
        return kind.load(value, strict=True)


def read_time(text: bytes) -> datetime:
    """Return the UTC time that a GeneralizedTime of the form of RFC 3161, 2.4.2 gives; what is
    finer than a microsecond is cut off.

    Raises InvalidInput, or ValueError for a date that no calendar has.
    """
    match = _GENERALIZED_TIME.fullmatch(text)
    if not match:
        raise InvalidInput("der-time-malformed")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    micro = int((match[7] or b"0").ljust(6, b"0")[:6])
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


def read_x509_time(time: Any) -> datetime:
    """Return the time that asn1crypto's Time gives, as RFC 5280, 4.1.2.5 has it: with seconds, in
    Z. A GeneralizedTime counts before 2050, too.

    Only to be used inside `reading`. Raises InvalidInput.
    """
    text = bytes(time.chosen.contents)
    if time.name == "utc_time":
        text = (b"20" if text < b"50" else b"19") + text
    if not _X509_TIME.fullmatch(text):
        raise InvalidInput("der-time-malformed")
    return read_time(text)


def read_integer(number: Any) -> int | None:
    """Return what asn1crypto's INTEGER or ENUMERATED holds, None where it is absent. One under a
    tag of its own has to have a byte, too, which `demand_der` cannot see.

    Only to be used inside `reading`. Raises InvalidInput.
    """
    if isinstance(number, core.Void):
        return None
    content = bytes(number.contents)
    if not content:
        raise InvalidInput("der-unreadable", form="INTEGER (X.690, 8.3.1)")
    return int.from_bytes(content, "big", signed=True)


def read_bits(bits: Any) -> bytes:
    """Return what asn1crypto's BIT STRING holds, if those are whole bytes.

    Only to be used inside `reading`.
    """
    unused, *_ = content = bytes(bits.contents)
    if unused:
        raise ValueError(unused)
    return content[1:]


def shown(text: str) -> str:
    """Return a name from outside so that it fits into one line: no control characters, at most
    MAX_SHOWN characters.
    """
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_SHOWN])
