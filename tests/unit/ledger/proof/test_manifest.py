import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof import manifest as module
from witnesstree.ledger.proof.manifest import (
    FIRST_FORMAT,
    MAX_FILES,
    MAX_MANIFEST,
    MAX_MANIFEST_TEXT,
    Manifest,
    ManifestFile,
    bytes_of_name,
    escaped_name,
    format_manifest,
    parse_manifest,
)

MANIFEST = Manifest(
    name="张三_合同_20261123",
    created=datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC),
    files=(
        ManifestFile("photo.jpg", 12, bytes(range(32)), "image/jpeg", cid="bafkreiabc"),
        ManifestFile(
            "chat.json",
            0,
            b"\xff" * 32,
            "application/json",
            cid="bafkreidef",
            ciphertext_digest=b"\x01" * 32,
        ),
    ),
    kind="contract",
    applicant="张三",
    meta={"place": "上海", "tags": ["a", {"b": None, "c": True}], "count": -1},
    format=FIRST_FORMAT,
)
SECOND = Manifest(
    name="张三_合同_20261123",
    created=datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC),
    files=(
        ManifestFile("front/照片.jpg", 12, bytes(range(32)), "image/jpeg", role="original"),
        ManifestFile("k\\xdf\\\\.txt", 0, b"\xff" * 32, "text/plain"),
    ),
    follows=b"\x02" * 32,
    salt=bytes(range(16)),
)
SECOND_CONTENT = (
    '{"created":"2026-11-23T03:48:55Z","files":['
    '{"digest":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","media_type":"image/jpeg","name":"front/照片.jpg","role":"original","size":12},'
    '{"digest":"'
    + "ff"
    * 32
    + '","media_type":"text/plain","name":"k\\\\xdf\\\\\\\\.txt","size":0}],'
    '"follows":"'
    + "02"
    * 32
    + '","format":"witnesstree-manifest/2","meta":{},"name":"张三_合同_20261123",'
    '"salt":"000102030405060708090a0b0c0d0e0f"}'
).encode()
CONTENT = (
    '{"applicant":"张三","created":"2026-11-23T03:48:55Z","files":['
    '{"cid":"bafkreiabc","digest":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","media_type":"image/jpeg","name":"photo.jpg","size":12},'
    '{"cid":"bafkreidef","ciphertext_digest":"'
    + "01" * 32
    + '","digest":"'
    + "ff" * 32
    + '","media_type":"application/json","name":"chat.json","size":0}],'
    '"format":"witnesstree-manifest/1","kind":"contract","meta":{"count":-1,"place":"上海","tags":["a",{"b":null,"c":true}]},"name":"张三_合同_20261123"}'
).encode()

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
META = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | SAFE | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    ),
    max_size=3,
)
HASH = st.binary(min_size=32, max_size=32)
PART = st.binary(min_size=1, max_size=12).filter(
    lambda part: part not in {b".", b".."} and not {0, ord("/")} & set(part)
)
PATHS = st.lists(PART, min_size=1, max_size=3).map(b"/".join)
REST = (st.integers(0, 2**53 - 1), HASH, TEXT, st.none() | TEXT, st.none() | HASH)
FIRST_FILES = st.lists(st.builds(ManifestFile, TEXT, *REST), max_size=3).map(tuple)
FILES = st.lists(
    st.builds(ManifestFile, PATHS.map(escaped_name), *REST, st.none() | TEXT),
    max_size=3,
    unique_by=lambda file: file.name,
).map(tuple)
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))


def test_the_bytes_are_known() -> None:
    assert format_manifest(MANIFEST) == CONTENT
    assert parse_manifest(CONTENT) == MANIFEST
    assert format_manifest(SECOND) == SECOND_CONTENT
    assert parse_manifest(SECOND_CONTENT) == SECOND


SIDES = (st.none() | TEXT, st.none() | TEXT, META)


@given(
    st.builds(
        Manifest,
        TEXT,
        TIMES,
        FILES,
        *SIDES,
        st.none() | HASH,
        st.none() | st.binary(min_size=16, max_size=16),
    )
    | st.builds(
        Manifest, TEXT, TIMES, FIRST_FILES, *SIDES, st.none(), st.none(), st.just(FIRST_FORMAT)
    )
)
def test_what_is_written_is_read_as_the_same_manifest(manifest: Manifest) -> None:
    content = format_manifest(manifest)
    assert parse_manifest(content) == manifest
    assert rfc8785.dumps(json.loads(content)) == content


@given(PATHS, PATHS)
def test_each_path_has_a_name_of_its_own(path: bytes, other: bytes) -> None:
    assert bytes_of_name(escaped_name(path)) == path
    assert (escaped_name(path) == escaped_name(other)) is (path == other)


@given(st.text(max_size=12) | st.text("\\\\xdf0./a", max_size=12))
def test_any_text_is_a_name_in_its_one_spelling_or_refused(text: str) -> None:
    try:
        path = bytes_of_name(text)
    except InvalidInput:
        return
    assert escaped_name(path) == text


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "manifest-name-no-path"),
        ("/a", "manifest-name-no-path"),
        ("a/", "manifest-name-no-path"),
        ("a//b", "manifest-name-no-path"),
        ("a/../b", "manifest-name-no-path"),
        (".", "manifest-name-no-path"),
        ("a\0", "manifest-name-no-path"),
        ("a\\x2fb", "manifest-name-escaped"),
        ("a\\xDF", "manifest-name-escaped"),
        ("\\x61", "manifest-name-escaped"),
        ("\\xe7\\x85\\xa7", "manifest-name-escaped"),
        ("\\n", "manifest-name-escaped"),
        ("a\\", "manifest-name-escaped"),
    ],
)
def test_other_spellings_of_a_name_are_refused(name: str, code: str) -> None:
    with pytest.raises(InvalidInput) as error:
        format_manifest(replace(SECOND, files=(replace(SECOND.files[0], name=name),)))
    assert error.value.message.code == code


def test_two_files_never_have_one_name() -> None:
    with pytest.raises(InvalidInput) as error:
        format_manifest(replace(SECOND, files=(SECOND.files[0], SECOND.files[0])))
    assert error.value.message.code == "manifest-name-twice"


@given(
    st.binary(max_size=200)
    | st.integers(0, len(SECOND_CONTENT) - 1).flatmap(
        lambda at: st.binary(min_size=1, max_size=2).map(
            lambda new: SECOND_CONTENT[:at] + new + SECOND_CONTENT[at + 1 :]
        )
    )
)
def test_any_bytes_are_a_manifest_or_refused(content: bytes) -> None:
    try:
        manifest = parse_manifest(content)
    except InvalidInput:
        return
    assert format_manifest(manifest) == content


@pytest.mark.parametrize(
    "change", [{"follows": bytes(32)}, {"salt": bytes(16)}, {"files": SECOND.files[:1]}], ids=str
)
def test_the_first_format_has_no_room_for_what_is_new(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        format_manifest(replace(MANIFEST, **change))


def test_an_unknown_kind_is_legal() -> None:
    assert parse_manifest(format_manifest(replace(MANIFEST, kind="hologram"))).kind == "hologram"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "meta",
    [
        {"a": 1.5},
        {"a": float("nan")},
        {"a": 2**53},
        {"a": -(2**60)},
        {"a": 10**5000},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": datetime(2026, 1, 1, tzinfo=UTC)},
        {1: "a"},
        {"a": nested(40)},
        {"a": nested(5_000)},
    ],
    ids=[
        "float",
        "nan",
        "2**53",
        "-2**60",
        "10**5000",
        "surrogate",
        "surrogate name",
        "bytes",
        "set",
        "time",
        "number as name",
        "deep",
        "deeper",
    ],
)
def test_what_is_no_json_is_not_written(meta: Any) -> None:
    with pytest.raises(InvalidInput):
        format_manifest(replace(MANIFEST, meta=meta))


def test_depth_is_refused_under_pythons_own_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        with pytest.raises(InvalidInput):
            format_manifest(replace(MANIFEST, meta={"a": nested(5_000)}))
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * (MAX_MANIFEST_TEXT + 1)},
        {"name": "\ud800"},
        {"kind": "x" * (MAX_MANIFEST_TEXT + 1)},
        {"files": (replace(MANIFEST.files[0], size=-1),)},
        {"files": (replace(MANIFEST.files[0], size=2**53),)},
        {"files": (replace(MANIFEST.files[0], digest=bytes(31)),)},
        {"files": (replace(MANIFEST.files[0], ciphertext_digest=b""),)},
        {"format": "witnesstree-manifest/3"},
    ],
    ids=str,
)
def test_what_could_not_be_read_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        format_manifest(replace(MANIFEST, **change))


def changed(**members: Any) -> bytes:
    document = json.loads(CONTENT) | members
    return rfc8785.dumps({name: value for name, value in document.items() if value is not ...})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        CONTENT + b"\n",
        CONTENT.replace(b",", b", "),
        CONTENT.replace("上海".encode(), b"\\u4e0a\\u6d77"),
        CONTENT.replace("上海".encode(), "上海".encode("gb18030")),
        CONTENT.replace(b'"count":-1', b'"count":-1.0'),
        CONTENT.replace(b'"count":-1', b'"count":-0'),
        CONTENT.replace(b'"count":-1', b'"count":9007199254740992'),
        CONTENT.replace(b'"count":-1', b'"count":-' + b"9" * 4000),
        CONTENT.replace(b'"count":-1', b'"count":' + b"[" * 400 + b"]" * 400),
        CONTENT.replace(b'"count":-1', b'"count":' + b"[" * 100_000 + b"]" * 100_000),
        CONTENT.replace(b'"count":-1', b'"count":-1,"count":-1'),
        json.dumps(json.loads(CONTENT), ensure_ascii=False).encode(),
        changed(format="witnesstree-manifest/3"),
        changed(format=...),
        changed(extra=1),
        changed(kind=None),
        changed(meta=None),
        changed(meta=[]),
        changed(files={}),
        changed(files=[{}]),
        changed(files=[{**json.loads(CONTENT)["files"][0], "extra": 1}]),
        changed(created="2026-11-23"),
        changed(created=...),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_manifest(content)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=f"at most {MAX_MANIFEST} bytes"):
        parse_manifest(b" " * (MAX_MANIFEST + 1))
    monkeypatch.setattr(module, "MAX_FILES", 1)
    with pytest.raises(InvalidInput, match="a list of at most 1"):
        parse_manifest(CONTENT)
    assert MAX_FILES == 100_000


@given(
    st.binary(max_size=200)
    | st.integers(0, len(CONTENT)).flatmap(
        lambda at: st.binary(max_size=3).map(lambda new: CONTENT[:at] + new + CONTENT[at + 1 :])
    )
)
def test_any_bytes_give_a_manifest_or_invalid_input(content: bytes) -> None:
    try:
        manifest = parse_manifest(content)
    except InvalidInput:
        return
    assert format_manifest(manifest) == content


def test_a_name_that_no_bytes_stand_for_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        bytes_of_name("a\ud800")
    assert refused.value.message.code == "manifest-name-escaped"
