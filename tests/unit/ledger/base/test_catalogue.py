"""The catalogue's form: ICU MessageFormat as far as it is used, and what is shown without words."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from witnesstree.ledger.base import catalogue
from witnesstree.ledger.base.catalogue import (
    CHINESE,
    ENGLISH,
    LANGUAGES,
    choose_language,
    names_in,
    parse_words,
    worded,
)
from witnesstree.ledger.base.message import Value, message

ODD = st.text(st.sampled_from("{}'#,= \naxn") | st.characters(codec="utf-8"), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "'",
            "'{'",
            "#",
            "{x}",
            "{x, number}",
            "{x, plural, one {# a} other {#}}",
            "{x, select, a {b} other {}}",
            ", plural,",
            "other {",
            "=0 {",
            "text ",
            "的",
        ]
    ),
    max_size=12,
).map("".join)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """A catalogue of one's own: entries by language."""
    own: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    monkeypatch.setattr(catalogue, "_all_words", own.__getitem__)
    monkeypatch.setattr(catalogue, "_template", catalogue._template.__wrapped__)
    return own


def said(
    words: dict[str, dict[str, str]], entry: str, language: str = ENGLISH, /, **params: Value
) -> str:
    words[language]["x"] = entry
    return worded(message("x", **params), language)


@given(ODD | PIECES)
@example("{" * 5000)
@example("{a,select,other{" * 5000)
@example("{a,plural,other{#")
def test_any_text_is_parsed_or_refused_with_one_error(entry: str) -> None:
    try:
        parts = parse_words(entry)
        names = names_in(entry)
    except ValueError:
        return
    # What was parsed can be shown, whatever the parameters are.
    for value in (None, 1, "a", True, message("y"), (1, "b")):
        params = dict.fromkeys(names, value)
        for part in parts:
            if not isinstance(part, str):
                assert isinstance(part(params, ENGLISH), str)
                assert isinstance(part({}, CHINESE), str)


@pytest.mark.parametrize(
    "entry",
    [
        "{",
        "}",
        "{}",
        "{a",
        "a}",
        "{a b}",
        "{a,}",
        "{a, date}",
        "{a, number, x}",
        "{a, select}",
        "{a, select, b {c}}",
        "{a, plural, one {b}}",
        "{a, plural, other {b}",
    ],
)
def test_what_is_not_in_the_form(entry: str) -> None:
    with pytest.raises(ValueError, match=r"brace|name|other"):
        parse_words(entry)


def test_parameters_are_put_in(words: dict[str, dict[str, str]]) -> None:
    assert said(words, "a {x} b { y }", x=1, y="z") == "a 1 b z"
    assert said(words, "{x}", x=[1, "b"]) == "1, b"
    assert said(words, "{x}", CHINESE, x=[1, "b"]) == "1、b"
    assert said(words, "{x}") == "x"
    assert said(words, "it's '{'x'}' '{{' #", x=1) == "it's {x} {{ #"


def test_numbers_are_parted(words: dict[str, dict[str, str]]) -> None:
    assert said(words, "{x, number} {x}", x=1234567) == "1,234,567 1234567"
    assert said(words, "{x, number}", x="many") == "many"
    assert said(words, "{x, number}") == "None"


@pytest.mark.parametrize(
    ("count", "english", "chinese"),
    [
        (0, "none", "没有"),
        (1, "1 entry", "1 条"),
        (2, "2 entries", "2 条"),
        (1200, "1,200 entries", "1,200 条"),
    ],
)
def test_plurals(words: dict[str, dict[str, str]], count: int, english: str, chinese: str) -> None:
    entry = "{n, plural, =0 {none} one {# entry} other {# entries}}"
    assert said(words, entry, n=count) == english
    assert (
        said(words, "{n, plural, =0 {没有} one {一条} other {# 条}}", CHINESE, n=count) == chinese
    )


def test_a_number_sign_is_that_of_the_plural_around_it(words: dict[str, dict[str, str]]) -> None:
    entry = "{n, plural, other {# of {m, plural, other {#}} {k, select, a {#} other {?}}}} #"
    assert said(words, entry, n=1, m=2, k="a") == "1 of 2 # #"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a", "A"), ("b", "other b"), (True, "yes"), (False, "no"), (None, "nothing"), (7, "seven")],
)
def test_select(words: dict[str, dict[str, str]], value: Value, shown: str) -> None:
    entry = "{x, select, a {A} true {yes} false {no} none {nothing} 7 {seven} other {other {x}}}"
    assert said(words, entry, x=value) == shown


def test_messages_in_messages_are_worded_in_the_same_language(
    words: dict[str, dict[str, str]],
) -> None:
    words[ENGLISH]["inner"], words[CHINESE]["inner"] = "{n, plural, other {# in}}", "内 {n}"
    inner = message("inner", n=3)
    assert said(words, "out: {e}; {l}", e=inner, l=[inner, inner]) == "out: 3 in; 3 in, 3 in"
    assert said(words, "外：{e}；{l}", CHINESE, e=inner, l=[inner, inner]) == "外：内 3；内 3、内 3"


def test_the_names_are_those_of_all_branches_and_not_their_words() -> None:
    entry = "{a} {b, number} {c, select, one {word} other {{d}}} {e, plural, one {#} other {{f}}}"
    assert names_in(entry) == {"a", "b", "c", "d", "e", "f"}
    assert names_in("'{'a'}' {c, select, one {word} other {word}}") == {"c"}


def test_where_words_are_missing_english_has_them(words: dict[str, dict[str, str]]) -> None:
    words[ENGLISH]["x"] = "in English"
    assert worded(message("x"), CHINESE) == "in English"
    assert worded(message("x"), "fr") == "in English"
    assert worded(message("y", a=1, b="c"), CHINESE) == "y(a=1, b=c)"
    assert worded(message("y"), "fr") == "y"


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("en", ENGLISH),
        ("en_GB.UTF-8", ENGLISH),
        ("C", ENGLISH),
        ("C.UTF-8", ENGLISH),
        ("POSIX", ENGLISH),
        ("zh", CHINESE),
        ("zh_CN.UTF-8", CHINESE),
        ("zh-Hans-CN", CHINESE),
        ("zh_TW", CHINESE),
        ("fr_FR", None),
        ("", None),
        ("zhx", None),
        ("enx", None),
    ],
)
def test_languages_are_chosen_by_tag_or_locale(asked: str, language: str | None) -> None:
    assert choose_language(asked) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_entry_can_be_shown_with_any_parameters(language: str) -> None:
    for code, entry in catalogue._all_words(language).items():
        for value in (None, 0, 1, 12345, "x", True, (1, 2)):
            said = message(code, **dict.fromkeys(names_in(entry), value))  # type: ignore[arg-type]
            assert worded(said, language), code
