from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput

TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))


@given(TIMES)
def test_what_is_written_is_read_as_the_same_time(time: datetime) -> None:
    text = format_time(time)
    assert len(text) == 20
    assert parse_time(text) == time
    assert parse_time(text).utcoffset() == timedelta(0)


@given(TIMES, TIMES)
def test_texts_sort_as_times_do(one: datetime, other: datetime) -> None:
    assert (one < other) == (format_time(one) < format_time(other))


def test_another_zone_becomes_utc() -> None:
    time = datetime(2026, 11, 23, 11, 48, 55, tzinfo=timezone(timedelta(hours=8)))
    assert format_time(time) == "2026-11-23T03:48:55Z"


def test_a_fraction_is_cut_off() -> None:
    assert (
        format_time(datetime(2026, 11, 23, 3, 48, 55, 999_999, tzinfo=UTC))
        == "2026-11-23T03:48:55Z"
    )


def test_the_ends_of_the_calendar() -> None:
    assert format_time(datetime.min.replace(tzinfo=UTC)) == "0001-01-01T00:00:00Z"
    assert format_time(datetime.max.replace(tzinfo=UTC)) == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T03:48:55",
        "2026-11-23T03:48:55z",
        "2026-11-23t03:48:55Z",
        "2026-11-23 03:48:55Z",
        "2026-11-23T03:48:55.0Z",
        "2026-11-23T03:48:55+00:00",
        "2026-11-23T03:48:55Z\n",
        " 2026-11-23T03:48:55Z",
        "2026-11-23T3:48:55Z",
        "2026-02-29T03:48:55Z",
        "2026-13-01T03:48:55Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T03:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-12-31T23:59:61Z",
        "0000-01-01T00:00:00Z",
        "+026-11-23T03:48:55Z",
        "２026-11-23T03:48:55Z",
        "x" * 1000,
        "\ud800",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected a time such as 2026-11-23T03:48:55Z"):
        parse_time(text)


@given(
    st.text(max_size=30)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", fullmatch=True)
)
def test_any_text_gives_a_time_or_invalid_input(text: str) -> None:
    try:
        time = parse_time(text)
    except InvalidInput:
        return
    assert format_time(time) == text
