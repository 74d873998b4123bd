"""Reading what is submitted: JSON, packed digests, or lines, each within bounds and all or nothing.

Any body gives packed digests and their references, or a problem that names what is wrong and where.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec

from witnesstree.api.problems import Problem
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.strictjson import require_shallow
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

JSON: Final = "application/json"
PACKED: Final = "application/octet-stream"
LINES: Final = "application/x-ndjson"
DIRECT: Final = "direct"
MAX_JSON: Final = 4 * 2**20
"""Bytes of a JSON body: 10,000 entries with the longest references need half of it."""
MAX_JSON_ENTRIES: Final = 10_000
MAX_PACKED: Final = 1_000_000
MAX_LINES: Final = 2**23
"""As many as a batch holds unless it is set otherwise: 256 MiB, which wait in memory."""
MAX_LINE: Final = 1024
MAX_NAMED: Final = 100_000
"""Entries of one request with references: each is kept as text."""
MAX_REFERENCE: Final = 64
"""Bytes of a reference, in UTF-8."""
_DIGITS: Final = 2 * NODE
T = TypeVar("T")
_PART: Final = 2**20


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    digest: str
    reference: str | None = None


class _Entries(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[_Entry]
    token: str | None = None


_ENTRIES: Final = msgspec.json.Decoder(_Entries)
_LINES: Final = msgspec.json.Decoder(_Entry)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a body holds: packed digests, their references where it has some, its SHA-256, and
    whether each entry is to have a token of its own.
    """

    packed: bytes | bytearray
    names: Sequence[str | None] | None
    body: bytes
    is_direct: bool = False


async def read_submission(request: Request) -> Submitted:
    """Return what a request submits. Raises Problem if it is anything else, or too much."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        content = await read_body(request, MAX_JSON)
        packed, names, is_direct = parse_entries(content)
        return Submitted(packed, names, sha256(b"json" + content).digest(), is_direct)
    if kind == PACKED:
        content = await read_body(request, MAX_PACKED * NODE)
        if not content or len(content) % NODE:
            raise Problem(400, "submission-not-digests", size=len(content))
        return Submitted(content, None, sha256(b"packed" + content).digest())
    if kind == LINES:
        return await _read_lines(request.stream())
    raise Problem(415, "media-type-unknown", found=kind[:80], known=[JSON, PACKED, LINES])


async def read_json(request: Request, most: int, decoder: msgspec.json.Decoder[T]) -> T:
    """Return a body of so many bytes at most that a decoder takes. Raises Problem."""
    return _decoded(await read_body(request, most), decoder)


def _decoded(content: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(content, error) from error


async def read_body(request: Request, most: int) -> bytes:
    """Return a body of so many bytes at most. Raises Problem (413)."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise Problem(413, "body-too-long", most=most)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Problem(413, "body-too-long", most=most)
        parts.append(part)
    return b"".join(parts)


def parse_entries(content: bytes) -> tuple[bytes, Sequence[str | None] | None, bool]:
    """Return the packed digests in a JSON body, their references, None where it has none, and
    whether each is to have a token of its own.

    Raises Problem that names the entry which is wrong.
    """
    decoded = _decoded(content, _ENTRIES)
    entries, is_direct = decoded.entries, decoded.token == DIRECT
    if decoded.token not in {None, DIRECT}:
        raise Problem(400, "token-kind-unknown", found=str(decoded.token)[:40], known=[DIRECT])
    if not 1 <= len(entries) <= MAX_JSON_ENTRIES:
        raise Problem(400, "entries-out-of-range", most=MAX_JSON_ENTRIES, found=len(entries))
    # A member that is there twice says two things; who counts them the usual way finds as many
    # names as entries.
    if (
        content.count(b'"token"') > 1
        or content.count(b'"digest"') != len(entries)
        or content.count(b'"reference"') > len(entries)
    ):
        _require_members_once(content)
    return *_packed(entries, 0), is_direct


async def _read_lines(stream: AsyncIterator[bytes]) -> Submitted:
    packed, names, body = bytearray(), _Names(), sha256(b"lines")
    rest, is_over = b"", False
    while not is_over:
        part, is_over = await _next_part(stream, rest)
        lines, _, rest = part.rpartition(b"\n") if not is_over else (part, b"", b"")
        if len(rest) > MAX_LINE:
            raise Problem(400, "line-too-long", line=len(packed) // NODE + 1, most=MAX_LINE)
        body.update(lines + b"\n")
        count = len(packed) // NODE
        try:
            entries = _LINES.decode_lines(lines)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            entries = _lines_before_fault(lines, count)
        if count + len(entries) > MAX_LINES:
            raise Problem(413, "lines-too-many", most=MAX_LINES)
        some, references = _packed(entries, count)
        packed += some
        names.add(count, len(entries), references)
    if not packed:
        raise Problem(400, "submission-not-digests", size=0)
    return Submitted(packed, names.all(len(packed) // NODE), body.digest())


async def _next_part(stream: AsyncIterator[bytes], rest: bytes) -> tuple[bytes, bool]:
    """Return the next MiB or so, behind what is left of the one before, and whether it is the
    last.
    """
    parts, size = [rest], len(rest)
    async for part in stream:
        parts.append(part)
        size += len(part)
        if size >= _PART:
            return b"".join(parts), False
    return b"".join(parts), True


class _Names:
    """The references of a long request."""

    def __init__(self) -> None:
        self._found: list[str | None] = []

    def add(self, before: int, count: int, references: Sequence[str | None] | None) -> None:
        if references is None and not self._found:
            return
        if before + count > MAX_NAMED:
            raise Problem(400, "references-too-many", most=MAX_NAMED)
        self._found += [None] * (before - len(self._found))
        self._found += references or [None] * count

    def all(self, count: int) -> Sequence[str | None] | None:
        return [*self._found, *[None] * (count - len(self._found))] if self._found else None


def _packed(entries: list[_Entry], before: int) -> tuple[bytes, Sequence[str | None] | None]:
    digits = [entry.digest for entry in entries]
    joined = "".join(digits)
    packed = b""
    with suppress(ValueError):
        packed = bytes.fromhex(joined)
    is_whole = len(packed) == NODE * len(entries) and len(joined) == _DIGITS * len(entries)
    if not is_whole or any(len(each) != _DIGITS for each in digits):
        for number, each in enumerate(digits, before):
            if not _is_digest(each):
                raise Problem(400, "entry-digest-malformed", entry=number, found=each[:80])
    names = [entry.reference for entry in entries]
    if not any(name is not None for name in names):
        return packed, None
    for number, name in enumerate(names, before):
        if name is not None and not _is_reference(name):
            raise Problem(400, "entry-reference-malformed", entry=number, most=MAX_REFERENCE)
    return packed, names


def _is_digest(text: str) -> bool:
    try:
        return len(text) == _DIGITS and len(bytes.fromhex(text)) == NODE
    except ValueError:
        return False


def _is_reference(text: str) -> bool:
    try:
        return 1 <= len(text.encode()) <= MAX_REFERENCE and text.isprintable()
    except UnicodeEncodeError:
        return False


def _lines_before_fault(lines: bytes, before: int) -> NoReturn:
    """Raise Problem that names the line which is wrong."""
    for number, line in enumerate(lines.split(b"\n"), before + 1):
        if line.strip():
            try:
                _LINES.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise Problem(400, "line-malformed", line=number, found=_shown(error)) from error
    raise Problem(400, "line-malformed", line=before + 1, found="")


def _malformed(content: bytes, error: Exception) -> Problem:
    try:
        require_shallow("body", content)
    except InvalidInput as deep:
        return Problem(400, deep.message)
    return Problem(400, "body-malformed", found=_shown(error))


def _shown(error: Exception) -> str:
    # msgspec names place and kind, in ASCII, and nothing of the content but its type.
    return str(error)[:200] if isinstance(error, msgspec.MsgspecError) else "UTF-8"


def _require_members_once(content: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(compress(names, [names.count(name) > 1 for name in names]))
            raise Problem(400, "member-twice", name=twice[:80])
        return dict(pairs)

    json.loads(content, object_pairs_hook=once)
