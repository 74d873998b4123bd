import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.opening import (
    MAX_ORIGIN,
    BlockName,
    Opening,
    format_opening,
    opening_digest,
    parse_opening,
)

OPENING = Opening(
    origin="ledger.example/court",
    batch=41,
    checkpoint=bytes(range(32)),
    opened=datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC),
    block=BlockName(1, 23_000_000, b"\xab" * 32),
)
TEXT = (
    '{"batch":41,"block":{"chain_id":1,"hash":"0x' + "ab" * 32 + '","number":23000000},'
    '"checkpoint":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",'
    '"format":"witnesstree-opening/1","opened":"2026-11-23T03:48:55Z","origin":"ledger.example/court"}'
)

HASH = st.binary(min_size=32, max_size=32)
NUMBER = st.integers(0, 2**53 - 1)
OPENINGS = st.builds(
    Opening,
    st.text(st.characters(codec="utf-8"), max_size=MAX_ORIGIN),
    NUMBER,
    HASH,
    st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)),
    st.none() | st.builds(BlockName, st.integers(1, 2**53 - 1), NUMBER, HASH),
)


def test_the_text_is_known() -> None:
    assert format_opening(OPENING) == TEXT
    assert parse_opening(TEXT) == OPENING


def test_without_a_block_there_is_no_such_member() -> None:
    text = format_opening(replace(OPENING, block=None))
    assert "block" not in json.loads(text)
    assert parse_opening(text).block is None


def test_the_leaf_is_the_digest_of_the_text() -> None:
    assert opening_digest(TEXT) == sha256(TEXT.encode()).digest()


@given(OPENINGS)
def test_what_is_written_is_read_as_the_same_record(opening: Opening) -> None:
    assert parse_opening(format_opening(opening)) == opening


def changed(**members: Any) -> str:
    document = json.loads(TEXT) | members
    return rfc8785.dumps(
        {name: value for name, value in document.items() if value is not ...}
    ).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        TEXT + "\n",
        " " + TEXT,
        TEXT.replace(",", ", "),
        TEXT.replace("origin", "\\u006frigin"),
        json.dumps(dict(reversed(json.loads(TEXT).items())), separators=(",", ":")),
        TEXT.replace('"batch":41', '"batch":41,"batch":41'),
        TEXT.replace('"batch":41', '"batch":-0'),
        TEXT.replace('"batch":41', '"batch":41.0'),
        changed(format="witnesstree-opening/2"),
        changed(format=...),
        changed(origin=None),
        changed(origin="x" * (MAX_ORIGIN + 1)),
        changed(batch=-1),
        changed(batch=True),
        changed(checkpoint="AB" * 32),
        changed(checkpoint="0x" + "ab" * 32),
        changed(opened="2026-11-23T03:48:55.0Z"),
        changed(opened="2026-02-30T03:48:55Z"),
        changed(block=None),
        changed(block={}),
        changed(block={"chain_id": 0, "number": 1, "hash": "0x" + "ab" * 32}),
        changed(block={"chain_id": 1, "number": 1, "hash": "ab" * 32}),
        changed(block={"chain_id": 1, "number": 1, "hash": "0x" + "ab" * 32, "time": 1}),
        changed(comment=""),
        "\ud800",
        '{"origin":"\\ud800"}',
        "[" * 100_000,
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_opening(text)


@given(
    st.text(max_size=200)
    | st.integers(0, len(TEXT)).flatmap(
        lambda at: st.text(max_size=3).map(lambda new: TEXT[:at] + new + TEXT[at + 1 :])
    )
)
def test_any_text_gives_a_record_or_invalid_input(text: str) -> None:
    try:
        opening = parse_opening(text)
    except InvalidInput:
        return
    assert format_opening(opening) == text
