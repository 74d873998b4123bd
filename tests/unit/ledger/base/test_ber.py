"""BER into DER: every spelling of a value leads to the same bytes, and what is none is refused."""

import pytest
from asn1crypto import cms
from hypothesis import given
from hypothesis import strategies as st
from make_token import Forge

from witnesstree.ledger.base.ber import der_of
from witnesstree.ledger.base.der import demand_der
from witnesstree.ledger.base.errors import InvalidInput


def respelt(der: bytes, choose: st.DataObject | None = None) -> bytes:
    """Return a DER value in another spelling: lengths left open or too long, octet strings in
    pieces.
    """
    draw = choose.draw if choose else None
    tag, start, size = der[0], 2, der[1]
    if size >= 0x80:
        start, size = 2 + (size & 0x7F), int.from_bytes(der[2 : 2 + (size & 0x7F)])
    content = der[start : start + size]
    if tag & 0x20:
        inner, rest = [], content
        while rest:
            end = whole(rest)
            inner.append(respelt(rest[:end], choose))
            rest = rest[end:]
        return bytes((tag, 0x80)) + b"".join(inner) + b"\0\0"
    if tag == 4:
        at = draw(st.integers(0, len(content))) if draw else len(content) // 2
        pieces = (content[:at], content[at:])
        return b"\x24\x80" + b"".join(long(4, piece) for piece in pieces) + b"\0\0"
    return long(tag, content)


def long(tag: int, content: bytes) -> bytes:
    return bytes((tag, 0x84)) + len(content).to_bytes(4) + content


def whole(der: bytes) -> int:
    size = der[1]
    if size < 0x80:
        return 2 + size
    return 2 + (size & 0x7F) + int.from_bytes(der[2 : 2 + (size & 0x7F)])


def test_der_comes_back_as_it_is() -> None:
    token = Forge().make()
    assert der_of(token) == token


def test_a_token_in_ber_is_the_same_token() -> None:
    token = Forge().make()
    ber = respelt(token)
    assert len(ber) > len(token)
    with pytest.raises(InvalidInput):
        demand_der(ber)
    assert der_of(ber) == token
    assert cms.ContentInfo.load(der_of(ber), strict=True)["content_type"].native == "signed_data"


VALUES = st.recursive(
    st.tuples(st.sampled_from([2, 4, 6, 12, 0x80]), st.binary(max_size=200)),
    lambda inner: st.tuples(st.sampled_from([0x30, 0x31, 0xA0]), st.lists(inner, max_size=4)),
    max_leaves=12,
)


def encoded(value: tuple[int, bytes | list[tuple[int, bytes]]]) -> bytes:
    tag, inside = value
    content = inside if isinstance(inside, bytes) else b"".join(map(encoded, inside))
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return (
        bytes((tag,))
        + (bytes((size,)) if size < 128 else bytes((0x80 | len(octets),)) + octets)
        + content
    )


@given(VALUES, st.data())
def test_any_spelling_of_a_value_leads_to_the_same_bytes(
    value: tuple[int, bytes], data: st.DataObject
) -> None:
    der = encoded(value)
    assert der_of(der) == der
    assert der_of(respelt(der, data)) == der


def test_bits_in_pieces() -> None:
    assert der_of(bytes.fromhex("2380 0302 00aa 0302 04b0 0000")) == bytes.fromhex("0303 04aab0")
    assert der_of(bytes.fromhex("2304 0302 04b0")) == bytes.fromhex("0302 04b0")


@pytest.mark.parametrize(
    ("ber", "why"),
    [
        ("", "empty"),
        ("30", "no length"),
        ("3001", "too short"),
        ("3003020105ff", "something follows"),
        ("3080020105", "no end"),
        ("0480", "a value without parts that is left open"),
        ("0480aa0000", "the same"),
        ("1f810100", "a long tag"),
        ("3089010000000000000000", "a length of nine bytes"),
        ("3084000000", "a length that is cut short"),
        ("2480020105 0000", "a piece of another type"),
        ("2480 2404 0402 aabb 0402cc 0000", "a piece that ends beyond"),
        ("2380 030204b0 030200aa 0000", "unused bits in the middle"),
        ("2380 0000", "bits without a piece"),
        ("30 05 30 04 02 01 05 00", "a value that is half there"),
        ("30" * 2, "a value that is none"),
        ("3080" * 41 + "0000" * 41, "too deep"),
    ],
)
def test_what_is_no_value_is_refused(ber: str, why: str) -> None:
    with pytest.raises(InvalidInput, match="DER"):
        der_of(bytes.fromhex(ber))


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(content: bytes) -> None:
    try:
        der = der_of(content)
    except InvalidInput:
        return
    assert der_of(der) == der
