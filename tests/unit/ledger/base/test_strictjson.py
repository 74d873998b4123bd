"""ledger/base/strictjson.py: any bytes give a Reader or InvalidInput, and so does every
question."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.strictjson import MAX_DEPTH, MAX_INTEGER, Reader, load

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=20,
)


def loaded(text: str) -> Any:
    return load("it", text.encode(errors="surrogatepass")).value


def refusal(ask: Callable[[], object]) -> str | None:
    """The reason for which InvalidInput is raised, None where it is not."""
    try:
        ask()
    except InvalidInput as error:
        return str(error)
    return None


# load


@given(JSON)
def test_an_object_is_read_as_json_reads_it(value: Any) -> None:
    text = json.dumps({"value": value})
    assert loaded(text) == json.loads(text)


@given(
    st.binary(max_size=300)
    | st.text(st.sampled_from('{}[]",:\\ 0-1e.ntu\ud800'), max_size=40).map(
        lambda text: text.encode(errors="surrogatepass")
    )
)
def test_any_bytes_give_an_object_or_invalid_input(content: bytes) -> None:
    refused = refusal(lambda: load("it", content).object())
    assert refused is None or refused.isprintable()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (" \n\t", "it is empty"),
        ("x", "it is not JSON in UTF-8"),
        ("{}{}", "it is not JSON in UTF-8"),
        ("{} x", "it is not JSON in UTF-8"),
        ('{"a":1,}', "it is not JSON in UTF-8"),
        ("{'a':1}", "it is not JSON in UTF-8"),
        ('{"a":01}', "it is not JSON in UTF-8"),
        ("\ufeff{}", "it is not JSON in UTF-8"),
        ('{"a":"\ud800"}', "it is not JSON in UTF-8"),
        ('{"a":"\\ud800"}', "it is not JSON in UTF-8"),
        ('{"\\udfff":1}', "it is not JSON in UTF-8"),
        ('{"a":"\n"}', "it is not JSON in UTF-8"),
        ('{"a":' + "1" * 5000 + "}", "it holds 11111111111111111111: expected whole numbers from"),
        ('{"a":9007199254740992}', "it holds 9007199254740992: expected whole numbers from"),
        ('{"a":[-9007199254740992]}', "it holds -9007199254740992: expected whole numbers from"),
        ('{"a":-0}', "it holds -0: expected whole numbers from"),
        ("[]", "it: expected a JSON object, not"),
        ("null", "it: expected a JSON object, not"),
        ('"{}"', "it: expected a JSON object, not"),
        ('{"a":1.0}', "it holds 1.0: expected whole numbers only"),
        ('{"a":1e3}', "it holds 1e3: expected whole numbers only"),
        ('{"a":-0.0}', "it holds -0.0: expected whole numbers only"),
        ('{"a":NaN}', "it holds NaN: expected whole numbers only"),
        ('{"a":-Infinity}', "it holds -Infinity: expected whole numbers only"),
        ('{"a":1,"a":1}', "a member occurs twice"),
        ('{"b":{"a":1,"\\u0061":2}}', "a member occurs twice"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        loaded(text)


def test_text_in_utf8_and_escapes_are_read() -> None:
    assert loaded('{"证据":"\\u8bc1\\u636e \\ud83d\\ude00"}') == {"证据": "证据 😀"}


# Depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_has_a_limit(opening: str, closing: str) -> None:
    levels = MAX_DEPTH - 1 if len(closing) == 1 else (MAX_DEPTH - 1) // 2
    deep = '{"a":' + opening * levels + "1" + closing * levels + "}"
    assert loaded(deep)
    with pytest.raises(InvalidInput, match="it is nested too deeply"):
        loaded('{"a":' + opening * (levels + 1) + "1" + closing * (levels + 1) + "}")
    with pytest.raises(InvalidInput, match="it is nested too deeply"):
        loaded(opening * 1_000_000)


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0" + b"[{" * 100, b"%PDF-1.7 " + b"[{" * 100, b"\x00" + b"[" * 100]
)
def test_what_is_no_json_is_not_called_nested(content: bytes) -> None:
    assert (refusal(lambda: load("it", content)) or "").startswith("it is not JSON in UTF-8: ")


def test_brackets_in_texts_do_not_nest() -> None:
    brackets = "[{" * 1000
    for text in (
        brackets,
        '"' + brackets,
        "\\" + brackets,
        "\\\\" + brackets + '\\"',
        brackets + '"',
    ):
        assert loaded(json.dumps({text: [text]})) == {text: [text]}
    with pytest.raises(InvalidInput, match="not JSON"):
        loaded('{"a":"' + brackets)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        loaded('{"a\\\\":' + "[" * 100)


def test_depth_never_ends_the_process_however_high_the_recursion_limit_is() -> None:
    """py-evm raises it to 100,000: there, Python's own reader overflows the C stack before it
    raises RecursionError."""
    program = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "from witnesstree.ledger.base.errors import InvalidInput\n"
        "from witnesstree.ledger.base.strictjson import load\n"
        "try: load('it', b'{\"a\":' + b'[' * 1_000_000)\n"
        "except InvalidInput as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout[:25]) == (0, "it is nested too deeply: ")


@pytest.mark.parametrize(
    "content",
    [
        b'"' + b"\\a" * 2**20,
        b'""' * 2**20,
        b'"\\"' * 2**20,
        b"[]" * 2**20,
        b"\\" * 2**21,
        b'"' * 2**21 + b"\\",
    ],
)
@pytest.mark.timeout(20)
def test_two_megabytes_of_anything_are_refused_soon(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        load("it", content)


# Reader


def reader(value: Any) -> Reader:
    return Reader("it", value)


@pytest.mark.parametrize(
    "read",
    [
        lambda value: value.integer(),
        lambda value: value.text(10),
        lambda value: value.hex(2),
        lambda value: value.hex(most=2, prefix="0x"),
        lambda value: value.base64(10),
        lambda value: value.list(lambda item: item, 3),
        lambda value: value.object(),
        lambda value: value.members("a", "b"),
        lambda value: value.member("a"),
        lambda value: value["a"].integer(),
    ],
)
@given(value=JSON)
def test_any_question_about_any_value_gives_an_answer_or_invalid_input(
    read: Callable[[Reader], object], value: Any
) -> None:
    refused = refusal(lambda: read(reader(value)))
    assert refused is None or (refused.isprintable() and len(refused) < 300)


@pytest.mark.parametrize("value", [0, 1, MAX_INTEGER])
def test_whole_numbers(value: int) -> None:
    assert reader(value).integer() == value


@pytest.mark.parametrize("value", [-1, MAX_INTEGER + 1, True, False, 1.0, "1", None, [1]])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(InvalidInput, match="it: expected a whole number from 0 to"):
        reader(value).integer()


def test_whole_numbers_between_limits() -> None:
    assert reader(3).integer(least=3, most=3) == 3
    for other in (2, 4):
        with pytest.raises(InvalidInput, match="from 3 to 3"):
            reader(other).integer(least=3, most=3)


def test_texts_have_a_limit_in_characters() -> None:
    assert reader("证据").text(2) == "证据"
    with pytest.raises(InvalidInput, match="a text of at most 1 characters"):
        reader("证据").text(1)


@pytest.mark.parametrize(("value", "read"), [("00ff", b"\0\xff"), ("0a", b"\n")])
def test_hex(value: str, read: bytes) -> None:
    assert reader(value).hex(len(read)) == read
    assert reader("0x" + value).hex(len(read), prefix="0x") == read
    assert reader(value).hex(most=2) == read


@pytest.mark.parametrize(
    "value",
    ["", "0", "0A", "0x", "0x0a", " 0a", "0a\n", "0a ", "٠a", "g0", "000000", "０a", None, b"0a"],
)
def test_what_is_no_hex(value: Any) -> None:
    with pytest.raises(InvalidInput, match="it: expected 2 to 4 lower-case hex digits"):
        reader(value).hex(most=2)
    with pytest.raises(InvalidInput, match="it: expected 2 lower-case hex digits"):
        reader(value if value != "0a" else "").hex(1)


@pytest.mark.parametrize("value", ["0a", "0X0a", "x0a", "00x0a", "0x", "0x0", "0x0x0a"])
def test_what_lacks_its_prefix(value: str) -> None:
    with pytest.raises(InvalidInput, match="it: expected 0x and 2 lower-case hex digits"):
        reader(value).hex(1, prefix="0x")


@given(st.binary(min_size=1, max_size=40))
def test_base64(content: bytes) -> None:
    import base64

    text = base64.b64encode(content).decode()
    assert reader(text).base64(40) == content
    if len(content) > 1:
        with pytest.raises(InvalidInput):
            reader(text).base64(len(content) - 1)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "A",
        "AA",
        "AA=",
        "AB==",
        "AA==\n",
        " AA==",
        "AA==AA==",
        "-_==",
        "AA=A",
        "é===",
        "AAAA=",
        "A" * 60,
        1,
        None,
    ],
)
def test_what_is_no_canonical_base64(value: Any) -> None:
    with pytest.raises(InvalidInput, match="it: expected"):
        reader(value).base64(10)


def test_a_list_is_read_item_by_item() -> None:
    assert reader([1, 2]).list(lambda item: item.integer(), 2) == (1, 2)
    with pytest.raises(InvalidInput, match=r"it, \[1\]: expected a whole number"):
        reader([1, "x"]).list(lambda item: item.integer(), 2)
    with pytest.raises(InvalidInput, match="it: expected a list of at most 2"):
        reader([1, 2, 3]).list(lambda item: item.integer(), 2)


def test_members_are_all_there_and_no_others() -> None:
    reader({"a": 1}).members("a", "b")
    reader({"a": 1, "b": None}).members("a", "b")
    with pytest.raises(InvalidInput, match="missing: a"):
        reader({"b": 1}).members("a", "b")
    with pytest.raises(InvalidInput, match="expected no members but a b, not 'c'"):
        reader({"a": 1, "c": 1}).members("a", "b")
    with pytest.raises(InvalidInput, match="it: expected an object"):
        reader([]).members("a")


def test_null_is_not_absent() -> None:
    assert reader({}).optional("a", lambda value: value.integer()) is None
    with pytest.raises(InvalidInput, match="expected a whole number"):
        reader({"a": None}).optional("a", lambda value: value.integer())


def test_places_are_named() -> None:
    assert reader({"a": {"b": 1}})["a"]["b"].path == "a.b"
    assert str(Reader("the proof", {"a": [1]})["a"].place) == "the proof, a"
    assert Reader("the proof", {}).place == "the proof"


def test_what_is_shown_is_short_and_ascii() -> None:
    with pytest.raises(InvalidInput) as caught:
        reader("\x1b[31m\u202e" + "证" * 1000).integer()
    assert len(str(caught.value)) < 150
    assert str(caught.value).rstrip("…").isascii()
    with pytest.raises(InvalidInput) as caught:
        reader({"\x1b" * 1000: 1}).members("")
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 150
