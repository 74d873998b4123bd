"""Changes of what is to be verified, of every kind that a forger, a bad disk or a careless program
makes: bytes, DER values with the lengths around them mended, members of documents with a checksum
that fits, nodes of tries, lines of notes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from copy import deepcopy
from hashlib import sha256
from random import Random
from typing import Any

import pytest
import rfc8785
import rlp
from make_revocation import wrap

Path = tuple[str | int, ...]


def rehearsed(few: int, many: int) -> list[Any]:
    """The chunks of a large set: `few` of `many` in every run, all in the rehearsals."""
    return [*range(few), *(pytest.param(n, marks=pytest.mark.rehearsal) for n in range(few, many))]


# Bytes and DER


def places_of_values(der: bytes) -> list[tuple[int, int, int, int]]:
    """Return where each value of `der` starts, where its content does, where it ends, and how many
    values are around it."""
    found, waiting = [], [(0, len(der), 0)]
    while waiting:
        at, end, depth = waiting.pop()
        while at < end:
            first = der[at + 1]
            size = first & 0x7F if first >= 0x80 else 0
            start = at + 2 + size
            after = start + (int.from_bytes(der[at + 2 : start], "big") if size else first)
            found.append((at, start, after, depth))
            if der[at] & 0x20:
                waiting.append((start, after, depth + 1))
            at = after
    return found


def spliced(der: bytes, start: int, end: int, value: bytes) -> bytes:
    """Return `der` with the value from `start` to `end` replaced, and the lengths of all values
    around it mended."""
    if start == 0:
        return value
    at, content, after, _ = max(
        place for place in places_of_values(der) if place[0] < start and place[2] >= end
    )
    return spliced(der, at, after, wrap(der[at], der[content:start] + value + der[end:after]))


def changed_der(valid: bytes, other: bytes, random: Random) -> bytes:
    """Return `valid` with one change of a random kind; those near the top, where a record has its
    own fields, as often as all below."""
    places = places_of_values(valid)
    if random.random() < 0.5:
        places = [place for place in places if place[-1] <= 6]
    at, start, after, _ = random.choice(places)
    begin, _, end, _ = random.choice(places_of_values(other))
    place = random.randrange(at, after) if random.random() < 0.5 else random.randrange(len(valid))
    content = random.randbytes(random.randrange(1, 20))
    return random.choice(
        [
            lambda: (
                valid[:place]
                + bytes([valid[place] ^ 1 << random.randrange(8)])
                + valid[place + 1 :]
            ),
            lambda: valid[:place],
            # Another tag, another length, the rest as it was.
            lambda: valid[:at] + random.randbytes(1) + valid[at + 1 :],
            lambda: valid[: at + 1] + random.randbytes(1) + valid[at + 2 :],
            # Another value, none, one that occurs twice, or a piece of something else; every length
            # around it mended.
            lambda: spliced(valid, at, after, valid[at : at + 1] + bytes([len(content)]) + content),
            lambda: spliced(valid, at, after, b""),
            lambda: spliced(valid, at, after, valid[at:after] * 2),
            lambda: spliced(valid, at, after, other[begin:end]),
            lambda: spliced(valid, at, after, valid[at:start] + valid[start:after][::-1]),
        ]
    )()


# Members of documents


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the place of every value in a document, containers too, but for the document itself."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def value_at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def put(document: Any, path: Path, value: Any) -> Any:
    """A copy of the document with another value there."""
    changed = deepcopy(document)
    value_at(changed, path[:-1])[path[-1]] = value
    return changed


def without(document: Any, path: Path) -> Any:
    changed = deepcopy(document)
    del value_at(changed, path[:-1])[path[-1]]
    return changed


def other_numbers(value: int) -> list[Any]:
    return [
        *(
            number
            for number in (value + 1, value - 1, 0, 1, 2, 2**31, 2**53 - 1, 2**53, 2**64, -1)
            if number != value
        ),
        *([float(value)] if abs(value) < 2**60 else []),
        str(value),
    ]


def other_texts(value: str) -> Iterator[Any]:
    """Each kind of change at some places of a text, the first and last character among them; and
    other texts as a whole."""
    yield from (
        "",
        " ",
        value + " ",
        " " + value,
        value + "\n",
        value + "\0",
        value.swapcase(),
        value[1:],
        value[:-1],
        value * 2,
        value[::-1],
    )
    yield from (
        value.removeprefix("0x"),
        "0x" + value,
        value + "00",
        value + "é",
        value + "\ud800",
        value.replace("\n", "\r\n"),
    )
    for i in sorted(
        {
            0,
            1,
            2,
            len(value) // 3,
            len(value) // 2,
            2 * len(value) // 3,
            len(value) - 2,
            len(value) - 1,
        }
    ):
        if 0 <= i < len(value):
            for other in sorted({*"01aF+\n", chr(ord(value[i]) ^ 1)} - {value[i]}):
                yield value[:i] + other + value[i + 1 :]
            yield value[:i] + value[i + 1 :]
            yield value[:i] + value[i : i + 1] * 2 + value[i + 1 :]
            if i:
                yield value[: i - 1] + value[i] + value[i - 1] + value[i + 1 :]


def other_lists(value: list[Any]) -> Iterator[Any]:
    yield from (
        [],
        value * 2,
        [value],
        value[::-1],
        value[1:],
        value[:-1],
        value[1:] + value[:1],
        dict(enumerate(map(str, value))),
    )
    for i, item in enumerate(value):
        yield value[:i] + value[i + 1 :]
        yield value[: i + 1] + value[i:]
        yield [*value, item]
        yield [*value[:i], None, *value[i:]]
    yield value + value[-1:] * 64


def other_objects(value: dict[str, Any]) -> Iterator[Any]:
    yield from (
        {},
        [value],
        {**value, "": 0},
        {**value, "extra": None},
        list(value.values()),
        {"value": value},
    )
    for name in value:
        yield {key: inner for key, inner in value.items() if key != name}
        yield {key.upper() if key == name else key: inner for key, inner in value.items()}
        yield {**value, name: value}


def others(value: Any) -> Iterator[Any]:
    """Other values for one place: of the same type, then of every other."""
    if isinstance(value, dict):
        yield from other_objects(value)
    elif isinstance(value, list):
        yield from other_lists(value)
    elif isinstance(value, str):
        yield from other_texts(value)
    elif isinstance(value, int):
        yield from other_numbers(value)
    of_all_types: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        -1,
        1.5,
        10**400,
        "",
        "x",
        [],
        {},
        [[]],
        [{}],
        {"": {}},
    ]
    for other in of_all_types:
        if type(other) is not type(value) or other != value:
            yield other


# Proofs


def sealed_again(document: Any) -> bytes:
    """The document as a forger writes it, with a checksum that fits."""
    members = {name: value for name, value in document.items() if name != "checksum"}
    return json.dumps({**members, "checksum": sha256(rfc8785.dumps(members)).hexdigest()}).encode()


def written(document: Any) -> bytes:
    """The bytes of a changed document."""
    try:
        return sealed_again(document)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        # No checksum fits, so the old one must do: the parser has to refuse the value itself.
        return json.dumps(document).encode()


def changed_bytes(valid: bytes, other: bytes, random: Random) -> bytes:
    """Return `valid` with one change of a random kind, not empty where it was not."""
    place, end = sorted(random.randrange(len(valid) + 1) for _ in range(2))
    if random.random() < 0.5:
        end = min(place + 1, len(valid))
    start = random.randrange(len(other)) if other else 0
    flipped = bytes(byte ^ 1 << random.randrange(8) for byte in valid[place:end])
    return random.choice(
        [
            valid[:place] + flipped + valid[end:],
            valid[:place] + valid[end:],
            valid[:end] + valid[place:end] + valid[end:],
            valid[:place] + random.randbytes(random.randrange(1, 34)) + valid[end:],
            valid[:place] + other[start : start + end - place] + valid[end:],
            valid[:place],
        ]
    )


def changed_rlp(valid: bytes, other: bytes, random: Random) -> bytes:
    """Return `valid` with one of its items another, in canonical RLP; or with other bytes."""
    try:
        items = rlp.decode(valid)
    except rlp.exceptions.DecodingError:
        return changed_bytes(valid, other, random)
    if not isinstance(items, list) or not items or random.random() < 0.3:
        return changed_bytes(valid, other, random)
    at = random.randrange(len(items))
    item = items[at]
    text = item if isinstance(item, bytes) else rlp.encode(item)
    changed = random.choice(
        [
            [*items[:at], changed_bytes(text, other, random), *items[at + 1 :]],
            [*items[:at], *items[at + 1 :]],
            [*items[:at], item, *items[at:]],
            [*items[:at], b"", *items[at + 1 :]],
            [*items[:at], [text], *items[at + 1 :]],
            [*items[1:], items[0]],
        ]
    )
    return bytes(rlp.encode(changed))


def changed_text(valid: str, other: str, random: Random) -> str:
    """Return `valid` with a line, a number or a character changed."""
    lines, others_ = valid.split("\n"), other.split("\n")
    at = random.randrange(len(lines))
    line = lines[at]
    place = random.randrange(len(line) + 1)
    number = (
        str(int(line) + random.choice([-1, 1, 2**31, 2**53]))
        if line.isascii() and line.isdigit()
        else "0"
    )
    lines[at : at + 1] = random.choice(
        [
            [number],
            [],
            [line, line],
            [random.choice(others_)],
            [line, random.choice(others_)],
            [line[:place] + random.choice("0Aa=+/ \t\r\x7f\u2014\ufeff") + line[place:]],
            [line[:place] + line[place + 1 :]],
            [line[:place] + random.choice("0Aa=+/ ") + line[place + 1 :]],
            [line[::-1]],
            [""],
        ]
    )
    return "\n".join(lines)


def _changed_value(value: str, other: str, random: Random) -> str:
    """Return another text for one that holds DER in base64, bytes in hex, or lines."""
    if value.startswith("0x") or (len(value) == 64 and "\n" not in value):
        start = "0x" if value.startswith("0x") else ""
        try:
            inner, beside = (bytes.fromhex(text.removeprefix("0x")) for text in (value, other))
        except ValueError:
            return changed_text(value, other, random)
        return start + changed_rlp(inner, beside, random).hex()
    try:
        inner, beside = (base64.b64decode(text, validate=True) for text in (value, other))
        return base64.b64encode(changed_der(inner, beside, random)).decode()
    except (binascii.Error, ValueError, IndexError):
        return changed_text(value, other, random)


def changed_proof(document: Any, other: Any, random: Random) -> Any:
    """Return a proof's document with one to three of its members another: deep in a token, a list,
    a header, a node, a note; or of another type; or taken from the `other` document.
    """
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        texts = [path for path in places(document) if isinstance(value_at(document, path), str)]
        if texts and random.random() < 0.6:
            # Members as often as lists of many: one place a kind, then one of its kind.
            kinds: dict[Path, list[Path]] = {}
            for path in texts:
                kinds.setdefault(tuple(key for key in path if isinstance(key, str)), []).append(
                    path
                )
            path = random.choice(random.choice(list(kinds.values())))
            value = value_at(document, path)
            alike = random.choice(texts)
            beside = value_at(document, alike) if random.random() < 0.5 else value
            if path[-1] == "record" and random.random() < 0.7:
                document = put(document, path, _changed_record(value, random))
            else:
                document = put(document, path, _changed_value(value, beside, random))
            continue
        path = random.choice([path for path in places(document) if path != ("checksum",)])
        if random.random() < 0.3:
            there = set(places(other))
            if path in there:
                document = put(document, path, deepcopy(value_at(other, path)))
                continue
        if random.random() < 0.2:
            document = without(document, path)
            continue
        document = put(document, path, random.choice(list(others(value_at(document, path)))))
        if not isinstance(document, dict):
            break
    return document


def _changed_record(text: str, random: Random) -> str:
    """Return an opening record with one member another, in canonical form."""
    try:
        members = json.loads(text)
        path = random.choice(list(places(members)))
        return rfc8785.dumps(
            put(members, path, random.choice(list(others(value_at(members, path)))))
        ).decode()
    except (ValueError, IndexError, AttributeError, rfc8785.CanonicalizationError):
        return text[1:]
