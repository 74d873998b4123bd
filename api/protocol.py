"""The server's HTTP protocol: uvicorn's, with bounds on what a stranger may ask of it, and a short
way for the one request that comes tens of thousands of times a second.

The short way answers a `POST /v1/entries` with one digest, where all is well. Whatever is not plain
goes to the application as it came, which says what is wrong: so there is one description of the
route, and one place for each of its errors. What uvicorn does with connections, pipelined requests
and the end of the process stays its own.
"""

from __future__ import annotations

import itertools
import re
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from witnesstree.api.committer import Request
from witnesstree.api.ingest import JSON
from witnesstree.api.problems import (
    MEDIA_TYPE,
    Problem,
    content_of,
    fields_of,
    language_of,
    problem_of,
)
from witnesstree.api.store.keys import Scope
from witnesstree.ledger.base.errors import WitnesstreeError

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from witnesstree.api.service import Service

MAX_HEADERS: Final = 64 * 1024
"""Bytes of a request's address and header."""
REQUEST_TIMEOUT: Final = 20.0
"""Seconds in which the next part of a request must come."""
WHOLE_TIMEOUT: Final = 600.0
"""Seconds in which a request must be whole."""
MAX_BODY: Final = 256
"""Bytes of a body that has one digest and nothing else of note."""
_BODY: Final = re.compile(
    rb'\s*\{\s*"entries"\s*:\s*\[\s*\{\s*"digest"\s*:\s*"([0-9a-fA-F]{64})"\s*\}\s*\]\s*\}\s*'
)
_CREATED: Final = STATUS_LINE[201]
_FIELDS: Final = frozenset(
    {
        b"host",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"connection",
        b"content-length",
        b"content-type",
    }
)
"""A request with any other field goes the long way."""
_PREFIX: Final = token_hex(4)
_NUMBERS: Final = itertools.count(1)


def new_request_id() -> str:
    """Return an id that no other request of this process has, and hardly one of another."""
    return f"{_PREFIX}{next(_NUMBERS):08x}"


class Protocol(HttpToolsProtocol):
    """One connection."""

    _timer: TimerHandle | None = None
    _began = 0.0
    _is_whole = True
    _size = 0

    # Bounds

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._is_whole and not self.transport.is_closing():
            left = self._began + WHOLE_TIMEOUT - self.loop.time()
            self._timer = self.loop.call_later(max(0.0, min(REQUEST_TIMEOUT, left)), self._give_up)

    def _give_up(self) -> None:
        """Close a connection whose request does not come."""
        self.transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    @override
    def on_message_begin(self) -> None:
        self._is_whole, self._began, self._size = False, self.loop.time(), 0
        super().on_message_begin()

    @override
    def on_url(self, url: bytes) -> None:
        self._grow(len(url))
        super().on_url(url)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        self._grow(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_HEADERS and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
                b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()
            # What a parser's callback raises ends the parsing.
            raise ValueError(MAX_HEADERS)

    # The short way

    @override
    def on_headers_complete(self) -> None:
        if self._may_be_short():
            self.scope["method"] = "POST"
            self.cycle = _Short(self)
        else:
            super().on_headers_complete()

    def _may_be_short(self) -> bool:
        is_free = self.cycle is None or self.cycle.response_complete
        return (
            is_free
            and self.url == b"/v1/entries"
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and all(name in _FIELDS for name, _ in self.headers)
            and 0 < self._length() <= MAX_BODY
        )

    def _length(self) -> int:
        found = [value for name, value in self.headers if name == b"content-length"]
        return int(found[0]) if len(found) == 1 and found[0].isdigit() else 0

    @override
    def on_message_complete(self) -> None:
        self._is_whole = True
        short = self.cycle
        if not isinstance(short, _Short):
            super().on_message_complete()
        elif not short.response_complete and not short.take():
            # The application answers: as if its turn had come just now.
            self._long_way(bytes(short.body))

    def _long_way(self, body: bytes) -> None:
        self.cycle = None  # type: ignore[assignment]
        super().on_headers_complete()
        super().on_body(body)
        super().on_message_complete()


class _Short(RequestResponseCycle):
    """One request on the short way, in the place of uvicorn's own."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.body = bytearray()
        self.message_event = _Nothing()  # type: ignore[assignment]
        self.more_body = True
        self.keep_alive = True
        self.response_complete = self.disconnected = False

    def take(self) -> bool:
        """Hand the digest to the committer; False if anything is not plain."""
        service = getattr(self.protocol.config.app.state, "service", None)  # type: ignore[union-attr]
        found = _BODY.fullmatch(self.body)
        if not found or service is None:
            return False
        fields = dict(self.protocol.headers)
        self.language = language_of(fields.get(b"accept-language", b"").decode("latin-1"))
        if fields.get(b"content-type") != b"application/json" or b"text/plain" in fields.get(
            b"accept", b""
        ):
            return False
        return self._offer(service, fields, bytes.fromhex(found[1].decode()))

    def _offer(self, service: Service, fields: dict[bytes, bytes], digest: bytes) -> bool:
        try:
            service.require_room()
            caller = service.keys.known(fields.get(b"authorization", b"").decode("latin-1"))
            if caller is None or Scope.SUBMIT not in caller.scopes:
                return False
            if service.limiting.has_rate(caller.tenant):
                # The application counts it, and says what is left.
                return False
            service.limiting.admit(caller.tenant, 1)
        except (Problem, WitnesstreeError):
            return False

        def told(result: bytes | WitnesstreeError) -> None:
            self._answer(service, caller.tenant, result)

        is_taken = service.committer.offer(Request(caller.tenant, digest, told))
        if not is_taken:
            service.limiting.give_back(caller.tenant, 1)
        return is_taken

    def _answer(self, service: Service, tenant: int, result: bytes | WitnesstreeError) -> None:
        protocol = self.protocol
        if not isinstance(result, bytes):
            service.limiting.give_back(tenant, 1)
        if self.disconnected or protocol.transport.is_closing():
            return
        state, request_id = protocol.config.app.state, new_request_id()  # type: ignore[union-attr]
        if isinstance(result, bytes):
            status, kind, fields, content = _CREATED, JSON, b"", result
        else:
            problem = problem_of(result)
            status = STATUS_LINE[problem.status]
            kind, content = MEDIA_TYPE, content_of(problem, self.language, request_id)
            fields = b"".join(
                f"{name}: {value}\r\n".encode()
                for name, value in fields_of(problem, self.language).items()
            )
        protocol.transport.write(
            b"".join(
                (
                    status,
                    _default(protocol.server_state.default_headers),
                    fields,
                    b"content-length: %d\r\n" % len(content),
                    f"content-type: {kind}\r\nx-request-id: {request_id}\r\n".encode(),
                    b"x-content-type-options: nosniff\r\n",
                    b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
                    content,
                )
            )
        )
        self.response_complete = True
        state.running.metrics.short(int(status[9:12]))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class _Nothing:
    """An event for which nobody waits."""

    def set(self) -> None:
        """Do nothing."""


_known: tuple[Any, bytes] = (None, b"")


def _default(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return uvicorn's own fields, which it makes anew each second."""
    global _known  # noqa: PLW0603 - remembered for a second
    if _known[0] is not headers:
        _known = (headers, b"".join(name + b": " + value + b"\r\n" for name, value in headers))
    return _known[1]
