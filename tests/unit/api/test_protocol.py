"""The HTTP protocol before strangers: what is too slow, too long or ambiguous."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from witnesstree.api import protocol
from witnesstree.api.protocol import Protocol, new_request_id

pytestmark = pytest.mark.enable_socket

CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the size of the body."""
    if scope["type"] != "http":
        await receive()
        await send({"type": f"{scope['type']}.startup.complete"})
        await receive()
        await send({"type": f"{scope['type']}.shutdown.complete"})
        return
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


@contextmanager
def listening() -> Iterator[int]:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, http=Protocol, loop="asyncio", log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[taken])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield taken.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        taken.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with listening() as port:
        yield port


def exchange(port: int, *parts: bytes, pause: float = 0) -> bytes:
    """Send parts, and return all that comes until the connection is closed or rests."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while part := connection.recv(65_536):
                received += part
        except OSError:
            pass
        return received


def test_a_request_that_does_not_go_on_is_given_up(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT", 0.2)
    for beginning in (
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(beginning)
            began = time.monotonic()
            # Closed, or told that it was too slow: in any case it is over.
            while connection.recv(1000):
                pass
            assert time.monotonic() - began < 3, beginning


def test_a_request_that_drips_is_given_up_all_the_same(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WHOLE_TIMEOUT", 0.5)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        sent = 0
        # Reset or broken pipe, as it happens.
        with suppress(OSError):
            for sent in range(100):  # noqa: B007 - how far it came
                connection.sendall(b"a")
                time.sleep(0.05)
        assert sent < 50


def test_a_request_that_comes_in_pieces_is_taken(port: int) -> None:
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde"
    pieces = [request[at : at + 7] for at in range(0, len(request), 7)]
    assert exchange(port, *pieces, pause=0.005).endswith(b"5\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\n" + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost : h\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"\x16\x03\x01\x00\xa5\x01\x00",
    ],
)
def test_what_two_servers_might_read_differently_is_refused(port: int, request_: bytes) -> None:
    """Between a proxy and us, nobody may slip a second request in."""
    answer = exchange(port, request_ + b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 0
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_long_headers_and_addresses_are_refused(port: int) -> None:
    for request in (
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X-Y: z\r\n" * 10_000 + b"\r\n",
    ):
        answer = exchange(port, request)
        assert b"HTTP/1.1 200" not in answer
        assert answer == b"" or b" 431 " in answer


def test_ids_are_all_different() -> None:
    found = [new_request_id() for _ in range(1000)]
    assert len(set(found)) == 1000
    assert {len(each) for each in found} == {16}
