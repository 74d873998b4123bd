"""Messages are values: what a parameter becomes, and the way through JSON and other processes."""

import errno
import json
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from enum import Enum
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base import errors
from witnesstree.ledger.base.catalogue import LANGUAGES, worded
from witnesstree.ledger.base.errors import InvalidInput, NotFound, WitnesstreeError
from witnesstree.ledger.base.message import (
    AS_TEXT,
    Message,
    from_json,
    joined,
    message,
    message_of,
    to_json,
)
from witnesstree.ledger.base.report import Outcome

ERRORS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, WitnesstreeError)
]
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats()
MESSAGES = st.recursive(
    st.builds(
        lambda code, params: message(code, **params),
        st.sampled_from(["digest-differs", "path-to-root", "no-such-code", "crl-reason"]),
        st.dictionaries(st.sampled_from(["found", "count", "root", "reason"]), PLAIN),
    ),
    lambda inner: st.builds(
        lambda first, rest: message("record-unreadable", error=first, others=rest),
        inner,
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("text", "text"),
        (7, 7),
        (True, True),
        (0.5, 0.5),
        (None, None),
        (b"\x00\xff", "00ff"),
        (datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC), "2026-11-23T03:48:55Z"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "red"),
        (Outcome.PASSED, "passed"),
        (["a", b"\x01", [1]], ("a", "01", (1,))),
        (InvalidInput("digest-differs"), Message("digest-differs")),
        (OSError(errno.ENOENT, "whatever the system says"), Message("os-enoent")),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), Message("os-econnrefused")),
        (ValueError("odd"), Message("value-malformed")),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), Message("text-not-utf8")),
        (KeyError("odd"), Message("error-unworded", (("kind", "KeyError"),))),
        (OSError("odd"), Message("error-unworded", (("kind", "OSError"),))),
    ],
)
def test_what_a_parameter_becomes(value: Any, plain: Any) -> None:
    said = message("x", value=value)
    assert said == Message("x", (("value", plain),))
    assert hash(said) == hash(message("x", value=value))


def test_what_the_operating_system_says_is_worded_by_its_number() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Path("/nowhere/at/all").read_bytes()
    assert message_of(caught.value).code == "os-enoent"
    strange = OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
    assert str(message_of(strange)) == os.strerror(errno.ENOTTY)


@given(MESSAGES)
def test_a_message_comes_back_from_json_and_says_the_same(said: Message) -> None:
    again = from_json(json.loads(json.dumps(to_json(said))))
    for language in LANGUAGES:
        assert worded(again, language) == worded(said, language)


@given(
    st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["code", "params", "x"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_becomes_a_message(found: Any) -> None:
    for language in LANGUAGES:
        worded(from_json(found), language)


def test_what_is_no_message_in_json_is_shown_as_text() -> None:
    assert from_json("an old reason") == Message(AS_TEXT, (("text", "an old reason"),))
    assert str(from_json({"code": 1, "params": {}})) == "{'code': 1, 'params': {}}"


def test_sentences_are_joined() -> None:
    one = message(AS_TEXT, text="One.")
    assert joined([one]) == one
    assert str(joined([one, one, one])) == "One. One. One."
    assert worded(joined([one, one]), "zh-Hans") == "One.One."


def raise_one(kind: type[WitnesstreeError]) -> None:
    raise kind("file-unreadable", path=Path("a"), error=OSError(errno.EIO, "x"))


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_cross_processes(kind: type[WitnesstreeError]) -> None:
    with pytest.raises(kind) as caught:
        raise_one(kind)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is kind
    assert again.message == caught.value.message
    assert str(again) == "cannot read a: Input/output error"


def test_an_error_that_another_process_raised() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        found = pool.submit(raise_one, NotFound)
        with pytest.raises(NotFound) as caught:
            found.result(60)
    assert caught.value.message.code == "file-unreadable"


def test_an_error_holds_another_ones_message() -> None:
    inner = InvalidInput("path-length-wrong", position=1, size=2, expected=1, found=0)
    outer = InvalidInput(inner.message)
    assert outer.message is inner.message
    nested = InvalidInput("file-unreadable", path="x", error=inner)
    assert str(nested) == f"cannot read x: {inner}"
    assert nested.message.members["error"] == to_json(inner.message)
