"""The HTTP client: the only module that opens connections.

Everything that comes back is bounded in size and time.

Built on httpcore2, the layer beneath httpx2, because the layer above follows redirects, keeps
cookies, reads proxies from the environment and unpacks what servers compressed; here none of that
happens. docs/decisions/0012-http.md says more.

    Unreachable   no address, no connection, no TLS, no answer in time, or an answer that was cut
                  off
    BadAnswer     something answered, but not HTTP, or more than was asked for, or in an encoding
                  that was not asked for
    └── Refused   a stream was asked for, and the server gave an answer with another status
    InvalidInput  the address is none, or a file for TLS cannot be used

A status other than 2xx is no error, a redirect neither: the caller judges them. Errors name a
server by `place` alone, because the rest of a URL may hold a password or an API key.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import certifi
import httpcore2
import httpx2
from typing_extensions import override

from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable, WitnesstreeError
from witnesstree.ledger.base.message import Message, message, message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    Headers = list[tuple[bytes, bytes]]
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 8 * 1024
"""Characters in a URL: what common servers take."""
MAX_REFUSAL = 16 * 1024
"""Bytes that are kept of a refusal: a sentence or two, and some servers send a page."""
MAX_ADDRESSES = 8
"""Addresses of one name that are tried. Names of large services have two to eight."""
MAX_CONTENT_TYPE = 100
"""Characters of a media type that are kept."""
KEEP_ALIVE = 5.0
"""Seconds that an unused connection stays open: most servers close theirs after 5 to 75."""

_PIECE = 64 * 1024
# The lengths of the other side's lines are bounded by httpcore2: 100 KiB for all headers together,
# and as much for the trailers.
_AGENT = b"witnesstree"
# RFC 6052, 2.1: an IPv4 address behind a translator.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 4291, 2.4: the only range of IPv6 addresses that were ever given out as global unicast.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: `content_type` in small letters and without parameters, "" where
    there is none; `body` as it came.
    """

    status: int
    content_type: str
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx (RFC 9110, 15.3)."""
        return 200 <= self.status < 300


class Refused(BadAnswer):
    """A stream was asked for, and this came instead; its body is cut at MAX_REFUSAL."""

    def __init__(self, answer: Answer, where: str) -> None:
        super().__init__("server-answers-status", place=where, status=answer.status)
        self.answer = answer


def place(url: str) -> str:
    """Return scheme://host[:port] of any text, for messages; question marks where it is no URL.

    Never user, password, path or query.
    """
    try:
        read = _read_url(url)
    except InvalidInput:
        return "?://?"
    host = f"[{read.host}]" if ":" in read.host else read.host
    return f"{read.scheme}://{host}" + ("" if read.port is None else f":{read.port}")


class Http:
    """A client with its own connections. Several threads may use one.

    `timeout` is in seconds. `auth` (user, password) goes with every request, else what the URL
    holds as user:password@ (RFC 7617), over http: readable by all between. `client_key` defaults to
    a key in `client_certificate`; `tls_ca` replaces the usual roots. With `public_only`, names that
    lead to any address that is not global are refused, and the connection goes to the very address
    that was judged.

    Raises InvalidInput if a file for TLS cannot be used.
    """

    def __init__(
        self,
        *,
        timeout: float,
        auth: tuple[str, str] | None = None,
        client_certificate: Path | None = None,
        client_key: Path | None = None,
        tls_ca: Path | None = None,
        public_only: bool = False,
    ) -> None:
        self._timeout = timeout
        self._auth = auth
        self._exchange = _Exchange()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_context(client_certificate, client_key, tls_ca),
            max_connections=None,
            max_keepalive_connections=4,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=_Network(self._exchange, public_only=public_only),
        )

    def __repr__(self) -> str:
        """Return nothing but the name: the rest may be secret."""
        return "Http(…)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def get(self, url: str, *, limit: int, accept: str = "*/*") -> Answer:
        """Return the answer to GET; its body has at most `limit` bytes, and all of it came within
        `timeout`.

        Raises Unreachable, BadAnswer, InvalidInput.
        """
        return self._whole("GET", url, [(b"Accept", accept.encode())], None, limit)

    def post(
        self, url: str, content: bytes, *, content_type: str, limit: int, accept: str = "*/*"
    ) -> Answer:
        """Return the answer to POST of `content`; its body has at most `limit` bytes, and all of it
        came within `timeout`.

        Raises Unreachable, BadAnswer, InvalidInput.
        """
        headers = [
            (b"Accept", accept.encode()),
            (b"Content-Type", content_type.encode()),
            (b"Content-Length", str(len(content)).encode()),
        ]
        return self._whole("POST", url, headers, content, limit)

    def upload(self, url: str, parts: Iterable[bytes], *, content_type: str, limit: int) -> Answer:
        """Return the answer to POST of all `parts`, sent one after the other; here `timeout` is the
        longest silence.

        Raises Unreachable, BadAnswer, InvalidInput, and whatever `parts` raises.
        """
        headers = [(b"Content-Type", content_type.encode()), (b"Transfer-Encoding", b"chunked")]
        # An empty chunk would end the body (RFC 9112, 7.1).
        with self._answered("POST", url, headers, (part for part in parts if part)) as response:
            return _read_answer(response, limit, place(url))

    @contextmanager
    def stream(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Give the body in parts as they come, with no limit of size; here `timeout` is the longest
        silence.

        Raises Refused for any status but 2xx, Unreachable, BadAnswer, InvalidInput; the iterator
        raises the same where the body is cut off.
        """
        target = str(_read_url(url).copy_merge_params(dict(params))) if params else url
        headers = [(b"Content-Length", b"0")] if method == "POST" else []
        with self._answered(method, target, headers, None) as response:
            if not 200 <= response.status < 300:
                answer = Answer(
                    response.status, _content_type(response), _read_body(response, MAX_REFUSAL)
                )
                raise Refused(answer, place(url))
            yield self._parts(response, place(url))

    def _parts(self, response: httpcore2.Response, where: str) -> Iterator[bytes]:
        with self._translated(where):
            yield from response.iter_stream()

    def _whole(
        self, method: str, url: str, headers: Headers, content: bytes | None, limit: int
    ) -> Answer:
        with (
            self._exchange.within(self._timeout),
            self._answered(method, url, headers, content) as response,
        ):
            return _read_answer(response, limit, place(url))

    @contextmanager
    def _answered(
        self, method: str, url: str, headers: Headers, content: bytes | Iterable[bytes] | None
    ) -> Iterator[httpcore2.Response]:
        read = _read_url(url)
        silence = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        target = httpcore2.URL(
            scheme=read.raw_scheme, host=read.raw_host, port=read.port, target=read.raw_path
        )
        usual = [
            (b"Host", read.netloc),
            (b"User-Agent", _AGENT),
            (b"Accept-Encoding", b"identity"),
            *self._credentials(read),
        ]
        with self._translated(place(url)):
            response = self._pool.handle_request(
                httpcore2.Request(
                    method,
                    target,
                    headers=usual + headers,
                    content=content,
                    extensions={"timeout": silence},
                )
            )
            try:
                _demand_identity(response, place(url))
                yield response
            finally:
                response.close()

    def _credentials(self, url: httpx2.URL) -> Headers:
        user, password = self._auth or (url.username, url.password)
        if not user and not password:
            return []
        return [
            (
                b"Authorization",
                b"Basic " + base64.b64encode(f"{user}:{password}".encode(errors="surrogateescape")),
            )
        ]

    @contextmanager
    def _translated(self, where: str) -> Iterator[None]:
        try:
            yield
        except tuple(ERRORS) as error:
            raise self._translate(error, where) from error

    def _translate(self, error: Exception, where: str) -> WitnesstreeError:
        kind = next(ours for theirs, ours in ERRORS.items() if isinstance(error, theirs))
        if isinstance(error, httpcore2.TimeoutException):
            return kind("server-too-slow", place=where, seconds=f"{self._timeout:g}")
        if isinstance(error, httpcore2.RemoteProtocolError):
            if self._exchange.is_cut_off:
                return Unreachable("server-closed-early", place=where)
            return kind("server-not-http", place=where)
        if kind is InvalidInput:
            return kind("request-cannot-be-sent", place=where)
        return kind("server-unreachable", place=where, reason=_shown(error))


ERRORS: dict[type[Exception], type[WitnesstreeError]] = {
    httpcore2.TimeoutException: Unreachable,
    httpcore2.NetworkError: Unreachable,
    httpcore2.ProxyError: Unreachable,
    httpcore2.ConnectionNotAvailable: Unreachable,
    httpcore2.RemoteProtocolError: BadAnswer,
    httpcore2.LocalProtocolError: InvalidInput,
    httpcore2.UnsupportedProtocol: InvalidInput,
}
"""What each of httpcore2's errors means to a caller; a test compares this with all that there
are."""


class _Unusable(httpcore2.ConnectError):
    """A name that is not connected to, for a reason of ours."""

    def __init__(self, said: Message) -> None:
        super().__init__(said)
        self.message = said


def is_of_private_address(error: WitnesstreeError) -> bool:
    """Whether this is what `public_only` raises for an address that is not public."""
    reason = dict(error.message.params).get("reason")
    return isinstance(reason, Message) and reason.code == "address-not-public"


def _shown(error: Exception) -> Message:
    if isinstance(error, _Unusable):
        return error.message
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return message("tls-certificate-refused", code=cause.verify_code)
    if isinstance(cause, ssl.SSLError):
        return message("tls-failed")
    return message_of(cause) if cause else message("no-reason-given")


def _cause(error: Exception) -> OSError | None:
    """Return what the operating system or TLS said, which httpcore2 keeps in its own error."""
    found: BaseException | None = error
    while found:
        if said := next((each for each in (found, *found.args) if isinstance(each, OSError)), None):
            return said
        found = found.__cause__
    return None


# Requests
# --------------------------------------------------------------------------------------------------


def _read_url(text: str) -> httpx2.URL:
    """Return a http or https URL with a host.

    Raises InvalidInput, whose text repeats nothing of it.
    """
    try:
        url = httpx2.URL(text[: MAX_URL + 1])
        # RFC 1035, 2.3.4. Python's own functions trip over other names.
        is_named = len(url.raw_host) <= 253 and all(
            0 < len(label) <= 63 for label in url.raw_host.removesuffix(b".").split(b".")
        )
        is_usable = (
            len(text) <= MAX_URL
            and url.scheme in {"http", "https"}
            and is_named
            and (url.port or 1) < 2**16
        )
    except (httpx2.InvalidURL, UnicodeError):
        # The cause would repeat parts of the URL, which may be secret.
        raise InvalidInput("url-expected", most=MAX_URL) from None
    if not is_usable:
        raise InvalidInput("url-expected", most=MAX_URL)
    return url


def _context(
    client_certificate: Path | None, client_key: Path | None, tls_ca: Path | None
) -> ssl.SSLContext:
    if client_certificate is None and tls_ca is None:
        return _usual_context()
    try:
        context = ssl.create_default_context(
            cafile=str(tls_ca.expanduser() if tls_ca else certifi.where())
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput("tls-ca-unusable", path=tls_ca) from error
    if client_certificate:
        try:
            # Without a password, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(
                client_certificate.expanduser(),
                client_key.expanduser() if client_key else None,
                password=b"",
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InvalidInput("tls-pair-unusable", path=client_certificate) from error
    return context


@cache
def _usual_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


# Answers
# --------------------------------------------------------------------------------------------------


def _headers(response: httpcore2.Response, name: bytes) -> list[str]:
    return [
        value.decode("latin-1").strip().lower()
        for key, value in response.headers
        if key.lower() == name
    ]


def _demand_identity(response: httpcore2.Response, where: str) -> None:
    if encodings := [
        value for value in _headers(response, b"content-encoding") if value not in {"", "identity"}
    ]:
        raise BadAnswer("answer-encoded", place=where, encoding=ascii(encodings[0][:20]))


def _content_type(response: httpcore2.Response) -> str:
    return (
        (_headers(response, b"content-type") or [""])[0]
        .partition(";")[0]
        .strip()[:MAX_CONTENT_TYPE]
    )


def _read_answer(response: httpcore2.Response, limit: int, where: str) -> Answer:
    # Some servers say beforehand that it will be too much.
    announced = (_headers(response, b"content-length") or ["0"])[0]
    body = b"" if int(announced) > limit else _read_body(response, limit + 1)
    if max(int(announced), len(body)) > limit:
        raise BadAnswer("answer-too-long", place=where, most=limit)
    return Answer(response.status, _content_type(response), body)


def _read_body(response: httpcore2.Response, limit: int) -> bytes:
    """Return the body's first `limit` bytes, and read no further."""
    # One buffer, because a list of parts of one byte each would take forty times as much.
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) >= limit:
            break
    return bytes(body[:limit])


# The network
# --------------------------------------------------------------------------------------------------


class _Exchange(threading.local):
    """What this thread's exchange knows of the clock and of the connection: httpcore2 hands on
    neither.
    """

    deadline: float | None = None
    is_cut_off = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let everything in the block end `seconds` from now. Blocks may lie in each other."""
        outer, self.deadline = self.deadline, time.monotonic() + seconds
        try:
            yield
        finally:
            self.deadline = outer

    def left(self, silence: float | None, error: type[httpcore2.TimeoutException]) -> float:
        """Return how many seconds the next step may take. Raises `error` if none are left."""
        assert silence is not None
        left = silence if self.deadline is None else self.deadline - time.monotonic()
        if left <= 0:
            raise error
        return left


class _Network(httpcore2.NetworkBackend):
    """Opens connections: each to an address that was judged before, all within the exchange's
    time.
    """

    def __init__(self, exchange: _Exchange, *, public_only: bool) -> None:
        self._exchange = exchange
        self._public_only = public_only

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        self._exchange.is_cut_off = False
        addresses = _addresses(host, port, self._exchange.left(timeout, httpcore2.ConnectTimeout))
        if self._public_only and (
            private := next((each for each in addresses if not _is_public(each)), None)
        ):
            raise _Unusable(message("address-not-public", address=str(private)))
        error: Exception = _Unusable(message("name-without-address"))
        for tried, address in enumerate(addresses):
            left = self._exchange.left(timeout, httpcore2.ConnectTimeout)
            try:
                # One address that swallows everything must not take the time of the others.
                stream = httpcore2.SyncBackend().connect_tcp(
                    str(address), port, left / (len(addresses) - tried)
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
            else:
                return _Stream(stream, self._exchange)
        raise error


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step ends within the exchange's time."""

    def __init__(self, stream: httpcore2.NetworkStream, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange
        exchange.is_cut_off = False

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received = self._stream.read(max_bytes, self._exchange.left(timeout, httpcore2.ReadTimeout))
        self._exchange.is_cut_off = not received
        return received

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Not through the stream's own `write`: it would start the clock again for each part that
        # goes out.
        connection, rest = self._stream.get_extra_info("socket"), memoryview(buffer)
        while rest:
            connection.settimeout(self._exchange.left(timeout, httpcore2.WriteTimeout))
            try:
                rest = rest[connection.send(rest[:_PIECE]) :]
            except TimeoutError as error:
                raise httpcore2.WriteTimeout from error
            except OSError as error:
                raise httpcore2.WriteError from error

    @override
    def close(self) -> None:
        self._stream.close()

    @override
    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._exchange.left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._exchange)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int, timeout: float) -> list[Address]:
    """Return the addresses of a name, MAX_ADDRESSES at most."""
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    # In a thread of its own, because the system's resolver knows no timeout.
    answer: list[list[Address] | Exception] = []
    asking = threading.Thread(target=lambda: answer.append(_ask_resolver(host, port)), daemon=True)
    asking.start()
    asking.join(timeout)
    if not answer:
        raise httpcore2.ConnectTimeout
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def _ask_resolver(host: str, port: int) -> list[Address] | Exception:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(ipaddress.ip_address(each[4][0]) for each in found))[
            :MAX_ADDRESSES
        ]
    except (OSError, ValueError):
        return _Unusable(message("name-not-resolved"))


def _is_public(address: Address) -> bool:
    """Whether an address, and what is wrapped in it, belongs to the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    wrapped = (
        address.ipv4_mapped
        or address.sixtofour
        or (ipaddress.IPv4Address(int(address) % 2**32) if address in _NAT64 else None)
    )
    if wrapped is not None:
        return _is_public(wrapped)
    return address in _GLOBAL_UNICAST and address.is_global
