"""What is said to people, as a code with parameters: no sentence for people is in the code.

A code keeps its meaning for ever; its words are in the catalogue (catalogue.py), one for each
language. A message is a value: it can be compared, stored, sent to another process, and worded
later, in any language.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeAlias

Value: TypeAlias = (
    "str | int | float | bytes | datetime | PurePath | Enum | Exception | Message"
    " | Sequence[Value] | None"
)
"""What a parameter may be.

Bytes are shown in hex, times as RFC 3339, an error by its message; a sequence becomes a list.
"""

AS_TEXT = "as-text"
"""The code of what is in words already: an outside program's, or stored before there were codes."""

_OS_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EEXIST,
        errno.EFBIG,
        errno.EHOSTUNREACH,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENAMETOOLONG,
        errno.ENETUNREACH,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EPIPE,
        errno.EROFS,
        errno.ESPIPE,
        errno.ETIMEDOUT,
    }
)
"""Refusals of the operating system that the catalogue words; others are shown as it says them."""


@dataclass(frozen=True, slots=True)
class Message:
    """A code of the catalogue, and what its words are about by name. `str()` is in English."""

    code: str
    params: tuple[tuple[str, Plain], ...] = ()

    def __str__(self) -> str:
        """Return the English words."""
        # The catalogue is loaded when something is said for the first time.
        from witnesstree.ledger.base.catalogue import worded

        return worded(self)

    @property
    def members(self) -> dict[str, Any]:
        """The parameters as JSON has them: a message among them is an object of code and params."""
        return {name: _as_json(value) for name, value in self.params}


Plain: TypeAlias = "str | int | float | bool | Message | tuple[Plain, ...] | None"
"""What a parameter is once it is in a message: immutable, and the same after a way through JSON."""


def message(code: str, /, **params: Value) -> Message:
    """Return the message with this code. The catalogue's words name the same parameters."""
    return Message(code, tuple((name, _plain(value)) for name, value in params.items()))


def message_of(error: Exception) -> Message:
    """Return what an error says: ours its own message, the operating system's and SQLite's by
    their numbers. What other libraries say is for who mends them: it is in the traceback alone.
    """
    own = getattr(error, "message", None)
    if isinstance(own, Message):
        return own
    if isinstance(error, OSError) and error.errno in _OS_ERRORS:
        return Message(f"os-{errno.errorcode[error.errno].lower()}")
    if isinstance(error, OSError) and error.strerror:
        return Message(AS_TEXT, (("text", error.strerror),))
    if name := getattr(error, "sqlite_errorname", None):
        # Of an extended code, such as SQLITE_IOERR_WRITE, the first part.
        return Message("sqlite", (("kind", name.split("_")[1].lower()),))
    if isinstance(error, ValueError):
        is_text = isinstance(error, UnicodeError)
        return Message("text-not-utf8" if is_text else "value-malformed")
    return Message("error-unworded", (("kind", type(error).__name__),))


def joined(sentences: Sequence[Message]) -> Message:
    """Return whole sentences, one at least, after each other as one message."""
    first, *rest = sentences
    return message("joined-sentences", first=first, next=joined(rest)) if rest else first


def to_json(said: Message) -> dict[str, Any]:
    """Return a message as a JSON object; `from_json` reads it back."""
    return {"code": said.code, "params": said.members}


def from_json(found: Any) -> Message:
    """Return the message that `to_json` wrote; whatever else it may be is shown as text."""
    if (
        isinstance(found, Mapping)
        and set(found) == {"code", "params"}
        and isinstance(found["code"], str)
        and isinstance(found["params"], Mapping)
    ):
        return Message(
            found["code"], tuple((str(name), _from_json(v)) for name, v in found["params"].items())
        )
    return Message(AS_TEXT, (("text", str(found)),))


def _plain(value: Value) -> Plain:
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, Message | str | int | float):
        return value
    if isinstance(value, Exception):
        return message_of(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return tuple(_plain(each) for each in value)
    return _as_text(value)


def _as_text(value: bytes | datetime | PurePath) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        # Here, because times raise errors, and those are messages.
        from witnesstree.ledger.base.clock import format_time

        return format_time(value)
    return str(value)


def _as_json(value: Plain) -> Any:
    if isinstance(value, Message):
        return to_json(value)
    return [_as_json(each) for each in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Plain:
    if isinstance(value, Mapping):
        return from_json(value)
    if isinstance(value, list):
        return tuple(_from_json(each) for each in value)
    return value if isinstance(value, str | int | float) or value is None else str(value)
