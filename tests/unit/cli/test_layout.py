"""Lines on a terminal: as wide as it is, in Latin and in Han characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.cli.layout import columns, width_of, wrapped

TEXTS = st.text(st.sampled_from("ab 汉字，。（）《》“”！1-"), max_size=120)


def test_widths() -> None:
    assert [width_of(text) for text in ("", "abc", "汉字", "a汉", "é", "ＡＢ")] == [
        0,
        3,
        4,
        3,
        1,
        4,
    ]


def test_words_stay_whole_and_han_characters_are_parted() -> None:
    assert wrapped("one two three", 7) == ["one two", "three"]
    assert wrapped("固化文件和证据", 6) == ["固化文", "件和证", "据"]
    assert wrapped("验证 photo.jpg 的结果", 10) == ["验证", "photo.jpg", "的结果"]


def test_closing_signs_never_begin_a_line_nor_opening_ones_end_it() -> None:
    assert wrapped("固化文件，验证", 8) == ["固化文", "件，验证"]
    assert wrapped("固化（文件）", 6) == ["固化", "（文", "件）"]


def test_first_and_further_lines_have_their_own_beginnings() -> None:
    assert wrapped("one two three", 10, "- ", "    ") == ["- one two", "    three"]


def test_a_word_wider_than_the_line_has_it_to_itself() -> None:
    assert wrapped("a " + "x" * 20 + " b", 10) == ["a", "x" * 20, "b"]


@given(TEXTS, st.integers(8, 40))
def test_nothing_is_lost_and_no_line_is_too_wide(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert width_of(line) <= width or " " not in line.strip()
        assert line == line.rstrip()


@pytest.mark.parametrize("width", [40, 80])
def test_columns(width: int) -> None:
    rows = [
        ("--proof PATH", "证明文件的位置，或者一个批次的批量证明"),
        ("x" * 40, "text"),
        ("-q", ""),
    ]
    lines = columns(rows, width)
    assert lines[0].startswith("  --proof PATH  ")
    assert "  " + "x" * 40 in lines
    assert lines[-1] == "  -q"
    assert all(width_of(line) <= max(width, 42) for line in lines)
