"""Strict JSON from outside: known members only, whole numbers only, one spelling of every byte
string.

Any bytes give a Reader or InvalidInput, and so does every question put to a Reader; the error names
the place, what was expected, and what came.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader takes exactly (RFC 8259, 6)."""

MAX_DEPTH = 32
"""Lists and objects in one another: our own formats need 6, the rest is room for a manifest's free
members."""

_SHOWN = 60
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
# Strings are matched only to be passed over; the possessive '*+' and the optional end keep that
# linear, whatever comes.
_BRACKETS = re.compile(rb'"(?:[^"\\]+|\\[\s\S])*+"?|[\[\]{}]')

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """A JSON value and the name of its place."""

    place: str
    value: Any

    def wrong(self, expected: str) -> NoReturn:
        """Raise InvalidInput: `expected` is not what stands here."""
        shown = ascii(self.value)
        raise InvalidInput(
            f"{self.place}: expected {expected}, not"
            f" {shown[:_SHOWN] + '…' if len(shown) > _SHOWN else shown}"
        )

    def member(self, name: str) -> object:
        """Return the raw member `name` of an object, None where there is none."""
        return self.object().get(name)

    def __getitem__(self, name: str) -> Reader:
        return Reader(
            f"{self.place}, {name}" if " " in self.place else f"{self.place}.{name}",
            self.member(name),
        )

    def optional(self, name: str, read: Callable[[Reader], T]) -> T | None:
        """Read the member `name` where it is present; null is not absent."""
        return read(self[name]) if name in self.value else None

    def object(self) -> dict[str, Any]:
        """Read an object whose members nobody names beforehand."""
        if not isinstance(self.value, dict):
            self.wrong("an object")
        return self.value

    def members(self, required: str, optional: str = "") -> None:
        """Refuse anything but an object with all the `required` names (separated by spaces) and
        none beyond the `optional` ones.
        """
        names, needed = set(self.object()), set(required.split())
        if missing := needed - names:
            raise InvalidInput(
                f"{self.place}: expected the members {required}, but {', '.join(sorted(missing))}"
                " is missing"
            )
        if strangers := names - needed - set(optional.split()):
            shown = ascii(", ".join(sorted(strangers)))[:_SHOWN]
            raise InvalidInput(
                f"{self.place}: expected no members but"
                f" {' '.join(sorted(needed | set(optional.split())))}, not {shown}"
            )

    def integer(self, least: int = 0, most: int = MAX_INTEGER) -> int:
        """Read a whole number."""
        if type(self.value) is not int or not least <= self.value <= most:
            self.wrong(f"a whole number from {least} to {most}")
        return self.value

    def text(self, most: int) -> str:
        """Read a text of at most `most` characters."""
        if not isinstance(self.value, str) or len(self.value) > most:
            self.wrong(f"a text of at most {most} characters")
        return self.value

    def hex(self, size: int | None = None, *, most: int = 0, prefix: str = "") -> bytes:
        """Read lower-case hex digits behind `prefix`: of exactly `size` bytes, or of 1 to
        `most`.
        """
        value = self.value
        legal = (
            isinstance(value, str)
            and value.startswith(prefix)
            and _HEX.fullmatch(value, len(prefix)) is not None
        )
        length = (len(value) - len(prefix)) // 2 if legal else 0
        if not legal or (length != size if size is not None else not 1 <= length <= most):
            count = f"{2 * size}" if size is not None else f"2 to {2 * most}"
            self.wrong(f"{prefix}{' and ' if prefix else ''}{count} lower-case hex digits")
        return bytes.fromhex(value[len(prefix) :])

    def base64(self, most: int) -> bytes:
        """Read 1 to `most` bytes in base64, in its one canonical spelling (RFC 4648, 3.5)."""
        try:
            content = (
                base64.b64decode(self.value, validate=True)
                if len(self.text(most * 4 // 3 + 4))
                else b""
            )
        except ValueError:
            content = b""
        if not 1 <= len(content) <= most or base64.b64encode(content).decode() != self.value:
            self.wrong(f"canonical base64 of 1 to {most} bytes")
        return content

    def list(self, read: Callable[[Reader], T], most: int) -> tuple[T, ...]:
        """Read a list of at most `most` items."""
        if not isinstance(self.value, list) or len(self.value) > most:
            self.wrong(f"a list of at most {most}")
        return tuple(read(Reader(f"{self.place}[{i}]", item)) for i, item in enumerate(self.value))


def load(place: str, content: bytes, *, fractions: bool = False) -> Reader:
    """Return the JSON object in `content` (UTF-8, RFC 8259). The caller has limited its length."""
    if not content.strip():
        raise InvalidInput(f"{place} is empty")
    try:
        # Before the depth: in a picture, brackets mean nothing.
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place} is not JSON in UTF-8: {error}") from None
    _require_shallow(place, content)

    def whole_numbers_only(text: str) -> NoReturn:
        raise InvalidInput(f"{place} holds {text[:20]}: expected whole numbers only")

    try:
        document = json.loads(
            text,
            object_pairs_hook=_members_once,
            parse_float=float if fractions else whole_numbers_only,
            parse_constant=whole_numbers_only,
        )
        json.dumps(document, ensure_ascii=False).encode()
    except ValueError as error:
        raise InvalidInput(f"{place} is not JSON in UTF-8: {error}") from None
    reader = Reader(place, document)
    if not isinstance(document, dict):
        reader.wrong("a JSON object")
    return reader


def _require_shallow(place: str, content: bytes) -> None:
    """Refuse what is nested too deeply, before anything recursive sees it: where libraries raise
    the recursion limit, json overflows the stack.
    """
    depth = 0
    for bracket in _BRACKETS.finditer(content):
        depth += {91: 1, 123: 1, 93: -1, 125: -1}.get(content[bracket.start()], 0)
        if depth > MAX_DEPTH:
            if content.lstrip()[:1] not in {b"{", b"["}:
                raise InvalidInput(
                    f"{place} is not JSON in UTF-8: expected it to begin with a brace"
                )
            raise InvalidInput(
                f"{place} is nested too deeply: expected at most {MAX_DEPTH} lists and objects in"
                " one another"
            )


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidInput("a member stands twice in one JSON object")
    return members
