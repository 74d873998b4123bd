"""The HTTP client against servers on this machine that lie, dawdle and break off."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.tsa import Script, make_tls, read_request, saying, talking

from witnesstree.anchor.http import MAX_ADDRESSES, MAX_REFUSAL, Answer, Http, Refused
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable

pytestmark = pytest.mark.enable_socket

HELLO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
)


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=5) as http:
        yield http


def echo(connection: socket.socket) -> None:
    """Answer with the request itself, for as long as there are requests."""
    while request := read_request(connection):
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request), request)
        )


# What is sent and what comes back
# --------------------------------------------------------------------------------------------------


def test_get(http: Http) -> None:
    with talking(saying(HELLO)) as url:
        assert http.get(url, limit=5) == Answer(200, "text/plain", b"hello")


def test_an_answer_without_type_and_body(http: Http) -> None:
    with talking(saying(b"HTTP/1.1 204 No Content\r\n\r\n")) as url:
        assert http.get(url, limit=0) == Answer(204, "", b"")


def test_request_as_it_is_sent(http: Http) -> None:
    with talking(echo) as url:
        request = http.post(
            f"{url}/a b?c=ü",
            b"body\x00",
            content_type="application/x",
            limit=1000,
            accept="application/y",
        ).body
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a%20b?c=%C3%BC HTTP/1.1"
    assert sorted(lines[1:]) == [
        b"Accept-Encoding: identity",
        b"Accept: application/y",
        b"Content-Length: 5",
        b"Content-Type: application/x",
        b"Host: " + url.removeprefix("http://").encode(),
        b"User-Agent: witnesstree",
    ]
    assert body == b"body\x00"


def test_one_connection_serves_several_requests_and_keeps_no_cookies(http: Http) -> None:
    seen: list[bytes] = []

    def script(connection: socket.socket) -> None:
        while request := read_request(connection):
            seen.append(request)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\n%d" % len(seen)
            )
        seen.append(b"closed")

    with talking(script) as url:
        assert [http.get(url, limit=1).body for _ in range(3)] == [b"1", b"2", b"3"]
        http.close()
    assert len(seen) == 4
    assert b"ookie" not in b"".join(seen)


@pytest.mark.parametrize(
    ("auth", "user"), [(("us", "p:w"), ""), (None, "us:p%3Aw@"), (("us", "p:w"), "other:secret@")]
)
def test_user_and_password(auth: tuple[str, str] | None, user: str) -> None:
    with talking(echo) as url, Http(timeout=5, auth=auth) as http:
        request = http.get(url.replace("//", f"//{user}"), limit=1000).body
    assert b"Authorization: Basic dXM6cDp3\r\n" in request
    assert b"@" not in request


def test_no_proxy_of_the_environment(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with talking(saying(HELLO)) as url:
        assert http.get(url, limit=5).body == b"hello"


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
def test_redirects_are_not_followed_and_refusals_are_answers(http: Http, status: int) -> None:
    seen = []

    def script(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(
            b"HTTP/1.1 %d Reason\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nno" % status
        )

    with talking(script) as url:
        assert http.get(url, limit=5) == Answer(status, "", b"no")
    assert len(seen) == 1


# Lies
# --------------------------------------------------------------------------------------------------


def endless(head: bytes, piece: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return script


MEGABYTE = bytes(2**20)
BOMB = gzip.compress(bytes(10**6))

WRONG = {
    "too long, and says so": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"),
        "more than 100 bytes",
    ),
    "too long, in chunks": (
        endless(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"100000\r\n" + MEGABYTE + b"\r\n",
        ),
        "more than 100",
    ),
    "too long, without end": (endless(b"HTTP/1.1 200 OK\r\n\r\n", MEGABYTE), "more than 100 bytes"),
    "a byte too long": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + bytes(101)),
        "more than 100 bytes",
    ),
    "gzip": (
        saying(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: GZip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(BOMB), BOMB)
        ),
        "the encoding 'gzip'",
    ),
    "gzip on the way": (
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        "does not speak HTTP",
    ),
    "headers without end": (
        endless(b"HTTP/1.1 200 OK\r\n", b"X: " + bytes(b"a" * 1000) + b"\r\n"),
        "does not speak HTTP",
    ),
    "a header without end": (
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000),
        "does not speak HTTP",
    ),
    "no HTTP": (saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "does not speak HTTP"),
    "two lengths": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        "does not speak HTTP",
    ),
    "a length of many digits": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"),
        "does not speak HTTP",
    ),
    "a negative length": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        "does not speak HTTP",
    ),
    "a chunk without length": (
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + bytes(10)),
        "does not speak HTTP",
    ),
    "another protocol": (
        saying(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        "does not speak HTTP",
    ),
}


@pytest.mark.parametrize(("script", "words"), WRONG.values(), ids=WRONG)
def test_what_must_not_be_believed(http: Http, script: Script, words: str) -> None:
    with talking(script) as url, pytest.raises(BadAnswer, match=words) as raised:
        http.post(f"{url}/?key=secret", b"", content_type="x/y", limit=100)
    assert url in str(raised.value)
    assert "secret" not in str(raised.value)


def test_limit_is_met_exactly(http: Http) -> None:
    with talking(saying(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100))) as url:
        assert http.get(url, limit=100).body == bytes(100)


CUT_OFF = {
    "at once": b"",
    "in the status": b"HTTP/1.1 20",
    "in the headers": b"HTTP/1.1 200 OK\r\nContent-",
    "in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.parametrize("said", CUT_OFF.values(), ids=CUT_OFF)
def test_an_answer_that_is_cut_off(http: Http, said: bytes) -> None:
    with (
        talking(saying(said)) as url,
        pytest.raises(Unreachable, match=r"closed the connection before its answer was complete"),
    ):
        http.get(url, limit=100)


def test_a_connection_that_is_reset(http: Http) -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with talking(script) as url, pytest.raises(Unreachable, match=r"cannot be reached: .*reset"):
        http.get(url, limit=100)


def test_nobody_there(http: Http) -> None:
    with talking(saying(b"")) as url:
        pass
    with pytest.raises(Unreachable, match=rf"{url} cannot be reached: .*refused"):
        http.get(url, limit=100)


# Time
# --------------------------------------------------------------------------------------------------


def trickling(head: bytes, piece: bytes, seconds: float = 0.02) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(seconds)

    return script


SLOW = {
    "silent": lambda connection: (read_request(connection), connection.recv(1)),
    "slow status": trickling(b"", b"H"),
    "slow headers": trickling(b"HTTP/1.1 200 OK\r\n", b"a"),
    "slow body": trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"a"),
    "slow chunks": trickling(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"
    ),
    "promises": trickling(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_the_whole_exchange_is_bounded_in_time(script: Script) -> None:
    begun = time.monotonic()
    with (
        talking(script) as url,
        Http(timeout=0.3) as http,
        pytest.raises(Unreachable, match=r"did not answer within 0.3 seconds"),
    ):
        http.get(url, limit=1000)
    assert 0.25 < time.monotonic() - begun < 5


def test_a_server_that_does_not_read() -> None:
    stop = threading.Event()

    def script(connection: socket.socket) -> None:
        while not stop.is_set():
            connection.recv(1000)
            time.sleep(0.02)

    begun = time.monotonic()
    with talking(script) as url, Http(timeout=0.3) as http:
        # httpcore2 reads the answer even where the request could not be sent, in case it says why.
        with pytest.raises(Unreachable):
            http.post(url, bytes(30_000_000), content_type="x/y", limit=10)
        stop.set()
    assert time.monotonic() - begun < 5


def test_a_server_that_does_not_shake_hands() -> None:
    begun = time.monotonic()
    with (
        talking(trickling(b"", b"\x16")) as url,
        Http(timeout=0.3) as http,
        pytest.raises(Unreachable, match=r"did not answer within 0.3 seconds"),
    ):
        http.get(url.replace("http", "https"), limit=1)
    assert time.monotonic() - begun < 5


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(5) and [])
    begun = time.monotonic()
    with (
        Http(timeout=0.2) as http,
        pytest.raises(Unreachable, match=r"did not answer within 0.2 seconds"),
    ):
        http.get("http://example.org/", limit=1)
    answered.set()
    assert time.monotonic() - begun < 5


def test_time_that_is_up_before_a_step() -> None:
    with (
        talking(saying(HELLO)) as url,
        Http(timeout=1e-9) as http,
        pytest.raises(Unreachable, match=r"did not answer within"),
    ):
        http.get(url, limit=5)


# Names
# --------------------------------------------------------------------------------------------------


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""
    real = socket.getaddrinfo
    found = [
        (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0))
        for each in addresses
    ]

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        return found if "example" in host else real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_the_next_address_is_tried(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(saying(HELLO)) as url:
        resolving(monkeypatch, "127.0.0.2", "::1", "127.0.0.1")
        assert http.get(f"http://example.org:{url.rpartition(':')[2]}", limit=5).body == b"hello"


def test_a_name_with_too_many_addresses_or_none(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    with talking(saying(HELLO)) as url:
        port = url.rpartition(":")[2]
        resolving(monkeypatch, *(f"127.0.0.{i}" for i in range(2, 2 + MAX_ADDRESSES)), "127.0.0.1")
        with pytest.raises(Unreachable, match=r"refused"):
            http.get(f"http://example.org:{port}", limit=5)
        resolving(monkeypatch)
        with pytest.raises(Unreachable, match=r"its name has no address$"):
            http.get(f"http://example.org:{port}", limit=5)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"]
)
def test_public_only_refuses_this_machine_by_any_name(host: str) -> None:
    asked = []
    refused = pytest.raises(Unreachable, match=r"is not a public one|its name has no address")
    with talking(asked.append) as url, Http(timeout=5, public_only=True) as http, refused:
        http.get(url.replace("127.0.0.1", host), limit=5)
    assert not asked


def test_public_only_refuses_a_name_with_one_private_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, "1.1.1.1", "10.0.0.1")
    with (
        Http(timeout=5, public_only=True) as http,
        pytest.raises(Unreachable, match=r"its address 10.0.0.1 is not a public one"),
    ):
        http.get("http://example.org/", limit=5)


def test_public_only_connects_to_the_address_that_was_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is asked for once: a second answer could be another one."""
    asked, connected = [], []

    def resolve(*arguments: object, **_: object) -> list[tuple[object, ...]]:
        asked.append(arguments[0])
        return [
            (
                socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                ("1.1.1.1" if len(asked) == 1 else "127.0.0.1", 80),
            )
        ]

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with Http(timeout=5, public_only=True) as http, pytest.raises(Unreachable):
        http.get("http://example.org:81/", limit=5)
    assert asked == ["example.org"]
    assert connected == [("1.1.1.1", 81)]


# TLS
# --------------------------------------------------------------------------------------------------


def test_tls(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    with talking(saying(HELLO), tls.server()) as url:
        assert url.startswith("https://")
        with Http(timeout=5, tls_ca=tls.ca) as http:
            assert http.get(url, limit=5).body == b"hello"
            with pytest.raises(
                Unreachable, match=r"cannot be reached: .*its certificate is for another name"
            ):
                http.get(url.replace("127.0.0.1", "localhost"), limit=5)
        with (
            Http(timeout=5) as http,
            pytest.raises(Unreachable, match=r"cannot be reached: the issuer of its certificate"),
        ):
            http.get(url, limit=5)


@pytest.mark.parametrize("in_one_file", [True, False])
def test_tls_with_a_client_certificate(tmp_path: Path, *, in_one_file: bool) -> None:
    tls = make_tls(tmp_path)
    certificate, key = tls.client(in_one_file=in_one_file)
    with talking(saying(HELLO), tls.server(asks=True)) as url:
        with Http(timeout=5, tls_ca=tls.ca, client_certificate=certificate, client_key=key) as http:
            assert http.get(url, limit=5).body == b"hello"
        with (
            Http(timeout=5, tls_ca=tls.ca) as http,
            pytest.raises(Unreachable, match=r"cannot be reached"),
        ):
            http.get(url, limit=5)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    certificate, key = tls.client(in_one_file=False, password=b"secret")
    with pytest.raises(InvalidInput, match=r"the key without a password"):
        Http(timeout=5, client_certificate=certificate, client_key=key)


# Large bodies
# --------------------------------------------------------------------------------------------------


def read_chunks(connection: socket.socket) -> bytes:
    """Return the body of a request in chunks (RFC 9112, 7.1)."""
    with connection.makefile("rb") as file:
        while file.readline().strip():
            pass
        body = b""
        while length := int(file.readline(), 16):
            body += file.read(length)
            file.readline()
        file.readline()
    return body


def test_upload_sends_all_parts(http: Http) -> None:
    seen = []

    def script(connection: socket.socket) -> None:
        seen.append(read_chunks(connection))
        connection.sendall(HELLO)

    parts = (bytes([i]) * i * 100_000 for i in range(5))
    with talking(script) as url:
        assert http.upload(url, parts, content_type="x/y", limit=5).body == b"hello"
    assert seen == [b"".join(bytes([i]) * i * 100_000 for i in range(5))]


def test_upload_reports_what_the_parts_raise(http: Http) -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise OSError("the disk")

    with talking(read_request) as url, pytest.raises(OSError, match=r"the disk"):
        http.upload(url, parts(), content_type="x/y", limit=5)


def test_upload_that_is_refused_before_its_end(http: Http) -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    with talking(script) as url:
        assert http.upload(
            url, (bytes(65536) for _ in range(20)), content_type="x/y", limit=5
        ) == Answer(413, "", b"no")


def test_upload_may_last_longer_than_its_timeout_while_it_goes_on() -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(6):
            time.sleep(0.1)
            yield b"part"

    def script(connection: socket.socket) -> None:
        read_chunks(connection)
        connection.sendall(HELLO)

    with talking(script) as url, Http(timeout=0.4) as http:
        assert http.upload(url, parts(), content_type="x/y", limit=5).body == b"hello"


def test_upload_ends_when_the_server_is_silent() -> None:
    def script(connection: socket.socket) -> None:
        read_chunks(connection)
        connection.recv(1)

    with (
        talking(script) as url,
        Http(timeout=0.2) as http,
        pytest.raises(Unreachable, match=r"did not answer within 0.2 seconds"),
    ):
        http.upload(url, [b"part"], content_type="x/y", limit=5)


def test_stream_gives_parts_as_they_come() -> None:
    """Longer in all than the timeout, which is for the silence between two parts."""

    def script(connection: socket.socket) -> None:
        assert read_request(connection).startswith(b"POST /api/get?old=1&arg=a+b HTTP/1.1\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(8):
            time.sleep(0.15)
            connection.sendall(b"1\r\n%d\r\n" % i)
        connection.sendall(b"0\r\n\r\n")

    with (
        talking(script) as url,
        Http(timeout=1) as http,
        http.stream("POST", f"{url}/api/get?old=1", params={"arg": "a b"}) as parts,
    ):
        assert b"".join(parts) == b"01234567"


def test_stream_without_parameters(http: Http) -> None:
    with talking(echo) as url, http.stream("GET", f"{url}/x?y=z") as parts:
        assert b"".join(parts).startswith(b"GET /x?y=z HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("stays", "words"),
    [(False, r"before its answer was complete"), (True, r"did not answer within 0.2 seconds")],
)
def test_stream_is_cut_off_or_silent(*, stays: bool, words: str) -> None:
    def script(connection: socket.socket) -> None:
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")(connection)
        if stays:
            connection.recv(1)

    with talking(script) as url, Http(timeout=0.2) as http, http.stream("POST", url) as parts:
        assert next(parts) == b"hello"
        with pytest.raises(Unreachable, match=words):
            next(parts)


def test_stream_is_refused(http: Http) -> None:
    page = b"HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\n\r\n" + bytes(MAX_REFUSAL + 1)
    with (
        talking(saying(page)) as url,
        pytest.raises(Refused, match=rf"{url} answered with status 500") as raised,
        http.stream("POST", url),
    ):
        pass
    assert isinstance(raised.value, BadAnswer)
    assert raised.value.answer == Answer(500, "application/json", bytes(MAX_REFUSAL))


def test_what_the_reader_of_a_stream_raises_goes_through(http: Http) -> None:
    with talking(echo) as url, pytest.raises(ZeroDivisionError), http.stream("GET", url):
        _ = 1 / 0


def test_a_stream_in_a_stream(http: Http) -> None:
    with talking(echo) as url, http.stream("GET", f"{url}/outer") as outer:
        assert http.get(f"{url}/inner", limit=1000).body.startswith(b"GET /inner")
        assert b"".join(outer).startswith(b"GET /outer")


# Threads
# --------------------------------------------------------------------------------------------------


def test_threads_share_a_client_and_not_their_deadlines(http: Http) -> None:
    bodies: list[bytes] = []

    def ask(url: str) -> None:
        bodies.extend(http.get(f"{url}/{i}", limit=1000).body for i in range(20))

    with talking(echo) as url:
        threads = [threading.Thread(target=ask, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        http.close()
    assert sorted(body.split()[1] for body in bodies) == sorted(
        b"/%d" % i for i in range(20) for _ in range(4)
    )
