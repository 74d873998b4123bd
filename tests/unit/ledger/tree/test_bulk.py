"""ledger/tree/bulk.py on both cores: lines of hex digits as the rule says, whatever the bytes, and
runs."""

import re
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from cores import CORES, using
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.tree import bulk
from witnesstree.ledger.tree.bulk import MAX_LINE, HexLines, parse_hex, sort_run

DIGEST = bytes(range(0xE0, 0x100))
HEX = DIGEST.hex().encode()
LONGEST = HEX + b"  " + b"n" * (MAX_LINE - 67) + b"\n"


@pytest.fixture(params=CORES, autouse=True)
def _each_core(request: pytest.FixtureRequest) -> Iterator[None]:
    with using(request.param):
        yield


def lines_of(text: bytes) -> tuple[bytes, int, int, bool]:
    """The rule as one would write it on a blackboard: for texts that end with a line feed."""
    digests, used, lines = b"", 0, 0
    for line in text.split(b"\n")[:-1]:
        content = line.rstrip(b"\r")
        found = re.fullmatch(rb"\\?([0-9a-fA-F]{64})( [ *][^\n\0]+)?", content)
        if len(line) >= MAX_LINE or (content and not found):
            return digests, used, lines, True
        digests += bytes.fromhex(found[1].decode()) if found else b""
        used, lines = used + len(line) + 1, lines + 1
    return digests, used, lines, False


@pytest.mark.parametrize(
    "line",
    [
        HEX,
        HEX.upper(),
        HEX + b"\r",
        HEX + b"\r\r",
        HEX + b"  name",
        HEX + b" *name",
        HEX + b"  name with  spaces \r",
        HEX + b"  \xff\x01\r.",
        b"\\" + HEX + b"  two\\nlines",
        b"\\" + HEX,
        LONGEST[:-1],
    ],
)
def test_a_digest_in_its_line(line: bytes) -> None:
    assert parse_hex(line + b"\n", is_last=False) == HexLines(DIGEST, len(line) + 1, 1, None)
    assert parse_hex(line, is_last=True) == HexLines(DIGEST, len(line), 1, None)
    assert parse_hex(line, is_last=False) == HexLines(b"", 0, 0, None)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (HEX[:-1], message("hex-line-digits-wrong", count=63)),
        (HEX + b"0", message("hex-line-digits-wrong", count=65)),
        (HEX[:63] + b"g", message("hex-line-digits-wrong", count=63)),
        (b"g" + HEX[1:], message("hex-line-digits-wrong", count=0)),
        (b"\\", message("hex-line-digits-wrong", count=0)),
        (b"\\\\" + HEX, message("hex-line-digits-wrong", count=0)),
        (b" " + HEX, message("hex-line-digits-wrong", count=0)),
        (b"\xef\xbb\xbf" + HEX, message("hex-line-byte-order-mark")),
        (b"\r" + HEX, message("hex-line-end-wrong")),
        (b"SHA256 (name) = " + HEX, message("hex-line-digits-wrong", count=0)),
        (HEX[:30] + b"\x01" + HEX[31:], message("hex-line-digits-wrong", count=30)),
        (
            HEX + b"  a\0" + HEX + b"  b\0",
            message("hex-line-zero-byte"),
        ),
        (HEX + b" ", message("hex-line-name-malformed")),
        (HEX + b"  ", message("hex-line-name-malformed")),
        (HEX + b"  \r", message("hex-line-name-malformed")),
        (HEX + b" name", message("hex-line-name-malformed")),
        (HEX + b"\tname", message("hex-line-name-malformed")),
        (HEX + b"\r name", message("hex-line-end-wrong")),
        (LONGEST, message("hex-line-too-long", most=8192)),
        (b"\r" * (MAX_LINE + 1), message("hex-line-too-long", most=8192)),
    ],
)
def test_a_line_that_holds_something_else(line: bytes, fault: Message) -> None:
    line = LONGEST.replace(b"\n", b"n") if line == LONGEST else line
    before = HEX + b"\n\r\n" + HEX + b"  name\n"
    for rest in (b"\n", b"\n" + HEX + b"\n", b"\nrubbish"):
        assert parse_hex(before + line + rest, is_last=False) == HexLines(
            2 * DIGEST, len(before), 3, fault
        )


def test_a_line_is_too_long_before_its_end_is_seen() -> None:
    endless = HEX + b"  " + b"n" * (MAX_LINE - 65)
    assert len(endless) == MAX_LINE + 1
    assert parse_hex(endless, is_last=False).fault == message("hex-line-too-long", most=8192)
    assert parse_hex(endless[:-1], is_last=False) == HexLines(b"", 0, 0, None)


def test_blank_lines_count_and_hold_nothing() -> None:
    assert parse_hex(b"", is_last=True) == HexLines(b"", 0, 0, None)
    assert parse_hex(b"\n\r\n\r\r\n", is_last=False) == HexLines(b"", 6, 3, None)
    assert parse_hex(b"\n\r", is_last=True) == HexLines(b"", 2, 2, None)


def test_a_text_may_come_in_pieces() -> None:
    digests = Random(5).randbytes(32 * 1000)
    names = ("", "  a name", " *b", "\r")
    text = b"".join(
        digests[i : i + 32].hex().encode() + names[i // 32 % 4].encode() + b"\n"
        for i in range(0, len(digests), 32)
    )
    for size in (MAX_LINE + 1, 9999, len(text)):
        found, lines, left = b"", 0, b""
        for start in range(0, len(text), size):
            left += text[start : start + size]
            part = parse_hex(left, is_last=False)
            assert part.fault is None
            found, lines, left = found + part.digests, lines + part.lines, left[part.used :]
        assert (found, lines, left) == (digests, 1000, b"")


PIECE = st.sampled_from(
    [
        HEX,
        HEX.upper(),
        HEX[:1],
        HEX[:63],
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"  ",
        b" *",
        b" ",
        b"\\",
        b"name",
        b"\xff",
        b"\0",
        b"g",
        b"n" * 8000,
    ]
)


@given(text=st.lists(st.one_of(PIECE, PIECE, st.binary(max_size=3)), max_size=40).map(b"".join))
def test_any_bytes_are_read_as_the_rule_says(text: bytes) -> None:
    found = parse_hex(text + b"\n", is_last=False)
    assert (found.digests, found.used, found.lines, found.fault is not None) == lines_of(
        text + b"\n"
    )
    # A last line without a line feed is read as if it had one, as long as it would not be too long
    # with it.
    last = parse_hex(text, is_last=True)
    if not last.fault and not found.fault:
        assert last.digests == found.digests
    waiting = parse_hex(text, is_last=False)
    assert found.digests.startswith(waiting.digests)


@given(
    text=st.lists(st.one_of(PIECE, st.binary(max_size=3)), max_size=40).map(b"".join),
    is_last=st.booleans(),
)
def test_both_cores_give_one_answer(text: bytes, is_last: bool) -> None:
    with using("native"):
        found = parse_hex(text, is_last=is_last)
    with using("python"):
        assert parse_hex(text, is_last=is_last) == found


def test_text_in_any_memory() -> None:
    text = HEX + b"\n"
    for buffer in (bytearray(text), memoryview(b"x" + text)[1:], np.frombuffer(text, dtype="u1")):
        assert parse_hex(buffer, is_last=False) == parse_hex(text, is_last=False)
    for function in (sort_run, lambda buffer: parse_hex(buffer, is_last=True)):
        with pytest.raises(InvalidInput, match="contiguous memory"):
            function(memoryview(bytes(64))[::2])


def test_a_run_is_sorted_by_beginning_and_position() -> None:
    digests = [
        b"\x02" + bytes(31),
        b"\x01" + bytes(31),
        b"\xff" * 32,
        b"\x01" + bytes(30) + b"\x09",
        b"\x01" + bytes(31),
    ]
    assert sort_run(b"".join(digests)) == b"".join(
        digests[i][:8] + i.to_bytes(4) for i in (1, 3, 4, 0, 2)
    )
    assert sort_run(b"") == b""


def test_no_run_of_parts_of_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="of 32 bytes, not of 33 bytes"):
        sort_run(bytes(33))
    monkeypatch.setattr(bulk, "MAX_RUN", 2)
    with pytest.raises(InvalidInput, match="at most 2 digests"):
        sort_run(bytes(96))
