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
from witnesstree.ledger.base.message import Message, message

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.ledger.base.message import Value

MAX_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader takes exactly (RFC 8259, 6), and, negative, the
least."""

MAX_DEPTH = 32
"""Lists and objects in one another: our own formats need 6, the rest is room for a manifest's free
members."""

_SHOWN = 60
_DIGITS = len(f"-{MAX_INTEGER}")
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
# Strings are matched only to be passed over; the possessive '*+' and the optional end keep that
# linear, whatever comes.
_BRACKETS = re.compile(rb'"(?:[^"\\]+|\\[\s\S])*+"?|[\[\]{}]')

T = TypeVar("T")


def _shortened(value: Any) -> str:
    shown = ascii(value)
    return shown[:_SHOWN] + "…" if len(shown) > _SHOWN else shown


@dataclass(frozen=True, slots=True)
class Reader:
    """A JSON value, the document that it is in, and where it is there, such as `log.path[2]`."""

    document: str | Message
    value: Any
    path: str = ""

    @property
    def place(self) -> str | Message:
        """The document and the path in it, for people."""
        if not self.path:
            return self.document
        return message("json-place", document=self.document, path=self.path)

    def wrong(self, expected: str) -> NoReturn:
        """Raise InvalidInput: the value here has to be `expected`, which only programs read."""
        self.refuse("json-expected", expected=expected)

    def refuse(self, code: str, **params: Value) -> NoReturn:
        """Raise InvalidInput with this code, which takes the `place` and what was `found`, too."""
        raise InvalidInput(code, place=self.place, found=_shortened(self.value), **params)

    def demand_format(self, expected: str) -> None:
        """Refuse an object whose member `format` is another one than `expected`."""
        if self.member("format") != expected:
            self["format"].refuse("json-expected-format", expected=repr(expected))

    def member(self, name: str) -> object:
        """Return the raw member `name` of an object, None where there is none."""
        return self.object().get(name)

    def __getitem__(self, name: str) -> Reader:
        return Reader(
            self.document, self.member(name), f"{self.path}.{name}" if self.path else name
        )

    def optional(self, name: str, read: Callable[[Reader], T]) -> T | None:
        """Read the member `name` where it is present; null is not absent."""
        return read(self[name]) if name in self.value else None

    def object(self) -> dict[str, Any]:
        """Read an object whose members are not known beforehand."""
        if not isinstance(self.value, dict):
            self.refuse("json-expected-object")
        return self.value

    def members(self, required: str, optional: str = "") -> None:
        """Refuse anything but an object with all the `required` names (separated by spaces) and
        none beyond the `optional` ones.
        """
        names, needed = set(self.object()), set(required.split())
        if missing := needed - names:
            raise InvalidInput(
                "json-members-missing",
                place=self.place,
                known=required,
                missing=sorted(missing),
            )
        if strangers := names - needed - set(optional.split()):
            shown = ascii(", ".join(sorted(strangers)))[:_SHOWN]
            raise InvalidInput(
                "json-members-unknown",
                place=self.place,
                known=" ".join(sorted(needed | set(optional.split()))),
                found=shown,
            )

    def integer(self, least: int = 0, most: int = MAX_INTEGER) -> int:
        """Read a whole number."""
        if type(self.value) is not int or not least <= self.value <= most:
            self.refuse("json-expected-integer", least=least, most=most)
        return self.value

    def boolean(self) -> bool:
        """Read true or false."""
        if not isinstance(self.value, bool):
            self.refuse("json-expected-boolean")
        return self.value

    def text(self, most: int) -> str:
        """Read a text of at most `most` characters."""
        if not isinstance(self.value, str) or len(self.value) > most:
            self.refuse("json-expected-text", most=most)
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
            self.refuse(
                "json-expected-hex",
                prefix=prefix or None,
                least=2 if size is None else None,
                most=2 * (most if size is None else size),
            )
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
            self.refuse("json-expected-base64", most=most)
        return content

    def list(self, read: Callable[[Reader], T], most: int) -> tuple[T, ...]:
        """Read a list of at most `most` items."""
        if not isinstance(self.value, list) or len(self.value) > most:
            self.refuse("json-expected-list", most=most)
        return tuple(
            read(Reader(self.document, item, f"{self.path}[{i}]"))
            for i, item in enumerate(self.value)
        )


def load(document: str | Message, content: bytes, *, fractions: bool = False) -> Reader:
    """Return the JSON object in `content` (UTF-8, RFC 8259). The caller has limited its length.

    `document` is what people call it: the name of a file, or a message. Numbers with a fraction
    are refused unless `fractions` allows them, and so are whole ones that not every reader takes
    alike: those beyond MAX_INTEGER, and -0.
    """
    if not content.strip():
        raise InvalidInput("json-empty", place=document)
    try:
        # Before the depth: in a picture, brackets mean nothing.
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("json-not-utf8", place=document, at=error.start + 1) from None
    require_shallow(document, content)

    def whole_numbers_only(text: str) -> NoReturn:
        raise InvalidInput("json-number-not-whole", place=document, found=text[:20])

    def whole(text: str) -> int:
        number = int(text) if len(text) <= _DIGITS else None
        if number is None or abs(number) > MAX_INTEGER or text == "-0":
            raise InvalidInput(
                "json-number-not-exact", place=document, most=MAX_INTEGER, found=text[:20]
            )
        return number

    try:
        found = json.loads(
            text,
            object_pairs_hook=_members_once,
            parse_float=float if fractions else whole_numbers_only,
            parse_int=whole,
            parse_constant=whole_numbers_only,
        )
        json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidInput(
            "json-unreadable", place=document, line=error.lineno, column=error.colno
        ) from None
    except ValueError:
        raise InvalidInput("json-unreadable", place=document, line=None, column=None) from None
    reader = Reader(document, found)
    if not isinstance(found, dict):
        reader.refuse("json-expected-document")
    return reader


def require_shallow(document: str | Message, content: bytes) -> None:
    """Refuse what is nested too deeply, before anything recursive sees it: where libraries raise
    the recursion limit, json overflows the stack.
    """
    depth = 0
    for bracket in _BRACKETS.finditer(content):
        depth += {91: 1, 123: 1, 93: -1, 125: -1}.get(content[bracket.start()], 0)
        if depth > MAX_DEPTH:
            if content.lstrip()[:1] not in {b"{", b"["}:
                raise InvalidInput("json-no-brace", place=document)
            raise InvalidInput("json-too-deep", place=document, most=MAX_DEPTH)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidInput("json-member-twice")
    return members
