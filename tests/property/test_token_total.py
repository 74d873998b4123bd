"""Any bytes are a token or one documented error, and no change of what was signed goes unseen."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.anchor.tsa.local import LocalAuthority, trusted_root
from witnesstree.ledger.errors import BadAnswer, InvalidInput
from witnesstree.ledger.report import Outcome
from witnesstree.ledger.token import TimeStampResp, Token, check_response, demand_der, judge_token, parse_token

if TYPE_CHECKING:
    from witnesstree.ledger.trust import TrustedRoot

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ROOT = hashlib.sha256(b"a root").digest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, TrustedRoot]:
    folder = tmp_path_factory.mktemp("home") / "authority"
    LocalAuthority.create(folder, NOW)
    return LocalAuthority.open(folder, lambda: NOW).stamp(ROOT), trusted_root(folder)


@cache
def parsed_once(der: bytes) -> Token:
    return parse_token(der)


def assert_total(der: bytes, made: tuple[bytes, TrustedRoot]) -> bool:
    """Assert that `der` gives a token or InvalidInput, and that what is proven is what the authority signed. Return whether it is proven."""
    original = parsed_once(made[0])
    judgement = judge_token(der, ROOT, [made[1]])
    assert len(judgement.checks) == 5
    try:
        parsed = parse_token(der)
    except InvalidInput:
        assert judgement.checks[0].outcome is Outcome.FAILED
        assert not judgement.is_proven
        return False
    assert judgement.token == parsed
    if judgement.is_proven:
        assert parsed.content == original.content
        assert parsed.signer.attributes == original.signer.attributes
        assert (parsed.gen_time, parsed.imprint, parsed.serial) == (original.gen_time, original.imprint, original.serial)
    return judgement.is_proven


def test_unchanged_token_is_proven(made: tuple[bytes, TrustedRoot]) -> None:
    assert judge_token(made[0], ROOT, [made[1]]).is_proven


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_one_changed_byte_anywhere(made: tuple[bytes, TrustedRoot], flip: int) -> None:
    token = made[0]
    signed = parse_token(token)
    ranges = [(token.index(part), token.index(part) + len(part)) for part in (signed.content, signed.signer.attributes[1:], signed.signer.signature)]
    for at in range(len(token)):
        changed = token[:at] + bytes([token[at] ^ flip]) + token[at + 1 :]
        is_proven = assert_total(changed, made)
        assert not (is_proven and any(start <= at < end for start, end in ranges)), at


def test_every_truncation(made: tuple[bytes, TrustedRoot]) -> None:
    for size in range(len(made[0])):
        with pytest.raises(InvalidInput):
            parse_token(made[0][:size])


@given(changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6))
def test_several_changed_bytes(made: tuple[bytes, TrustedRoot], changes: list[tuple[int, int]]) -> None:
    der = bytearray(made[0])
    for at, value in changes:
        der[at % len(der)] = value
    assert_total(bytes(der), made)


@given(start=st.integers(0, 1 << 16), length=st.integers(0, 300), target=st.integers(0, 1 << 16), cut=st.integers(0, 300))
def test_splices(made: tuple[bytes, TrustedRoot], start: int, length: int, target: int, cut: int) -> None:
    token = made[0]
    start, target = start % len(token), target % len(token)
    assert_total(token[:target] + token[start : start + length] + token[target + cut :], made)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Well-formed DER of any kind: what gets past the skeleton and into the fields."""
    if draw(st.integers(0, 3)) == 0:
        tag, content = draw(st.sampled_from([0x30, 0x31, 0xA0, 0xA1])), b"".join(draw(st.lists(values(), max_size=4)))
    else:
        tag, content = draw(st.sampled_from([0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x17, 0x18, 0x80, 0x82])), draw(st.binary(max_size=20))
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x82]) + len(content).to_bytes(2, "big")
    if 128 <= len(content) < 256:
        length = bytes([0x81, len(content)])
    return bytes([tag]) + length + content


def replaced(der: bytes, at: int, value: bytes) -> bytes:
    """Return `der` with the value whose tag is the `at`-th one replaced, and every length above it mended."""

    def walk(start: int, end: int) -> bytes:
        nonlocal at
        found = b""
        while start < end:
            tag, first = der[start], der[start + 1]
            size = first & 0x7F if first >= 0x80 else 0
            length = int.from_bytes(der[start + 2 : start + 2 + size], "big") if size else first
            inner = start + 2 + size
            at -= 1
            if at == -1:
                found += value
            elif tag & 0x20:
                found += wrap(tag, walk(inner, inner + length))
            else:
                found += der[start : inner + length]
            start = inner + length
        return found

    return walk(0, len(der))


def wrap(tag: int, content: bytes) -> bytes:
    size = (len(content).bit_length() + 7) // 8
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x80 | size]) + len(content).to_bytes(size, "big")
    return bytes([tag]) + length + content


@given(at=st.integers(0, 122), value=st.one_of(values(), st.just(b"")))
def test_another_value_in_any_field(made: tuple[bytes, TrustedRoot], at: int, value: bytes) -> None:
    demand_der(made[0])
    assert_total(replaced(made[0], at, value), made)


@given(der=st.one_of(st.binary(max_size=400), values()))
def test_any_bytes(made: tuple[bytes, TrustedRoot], der: bytes) -> None:
    assert_total(der, made)
    with pytest.raises(BadAnswer):
        check_response(der, ROOT, 1)


@given(changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=3), cut=st.integers(0, 40))
def test_answers_with_changed_bytes(made: tuple[bytes, TrustedRoot], changes: list[tuple[int, int]], cut: int) -> None:
    refusal = TimeStampResp({"status": {"status": "rejection", "status_string": ["no"], "fail_info": {"bad_alg"}}}).dump()
    der = bytearray(refusal)
    for at, value in changes:
        der[at % len(der)] = value
    with pytest.raises(BadAnswer):
        check_response(bytes(der[: len(der) - cut]), ROOT, 1)
