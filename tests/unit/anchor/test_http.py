"""The HTTP client without a network: addresses, errors, files."""

import ipaddress
from pathlib import Path

import httpcore2
import pytest

from witnesstree.anchor.http import (
    ERRORS,
    MAX_URL,
    Answer,
    Http,
    _Exchange,
    _is_public,
    _Stream,
    place,
)
from witnesstree.ledger.base.errors import InvalidInput, Unreachable, WitnesstreeError


def every_error() -> list[type[Exception]]:
    return [
        each
        for each in vars(httpcore2).values()
        if isinstance(each, type) and issubclass(each, Exception)
    ]


def test_there_are_errors_to_map() -> None:
    assert httpcore2.ConnectError in every_error()
    assert len(every_error()) >= 15


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_every_error_of_httpcore2_has_a_meaning(error: type[Exception]) -> None:
    """ProtocolError is only the base of two others, and both are here."""
    meant = [ours for theirs, ours in ERRORS.items() if issubclass(error, theirs)]
    assert meant or error is httpcore2.ProtocolError
    assert all(issubclass(each, WitnesstreeError) for each in meant)


@pytest.mark.parametrize("error", list(ERRORS), ids=lambda error: error.__name__)
def test_an_error_is_translated_from_its_cause_and_names_the_place_alone(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error("a reason\n")

    monkeypatch.setattr(httpcore2.ConnectionPool, "handle_request", fail)
    with Http(timeout=1) as http, pytest.raises(ERRORS[error]) as raised:
        http.get("http://user:secret@example.org:81/secret?key=secret", limit=1)
    assert type(raised.value) is ERRORS[error]
    assert type(raised.value.__cause__) is error
    assert "http://example.org:81" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


PLACES = {
    "http://example.org": "http://example.org",
    "https://example.org/v3/0123456789abcdef": "https://example.org",
    "https://example.org:8545/?key=secret": "https://example.org:8545",
    "http://user:secret@example.org/": "http://example.org",
    "http://secret@example.org/#secret": "http://example.org",
    "HTTP://Example.ORG:80/": "http://example.org:80",
    "http://[::1]:5001/api": "http://[::1]:5001",
    "http://bücher.example/": "http://bücher.example",
}


@pytest.mark.parametrize(("url", "expected"), PLACES.items())
def test_place_shows_nothing_secret(url: str, expected: str) -> None:
    assert place(url) == expected


NO_URLS = [
    "",
    "secret",
    "//secret",
    "http://",
    "http:///secret",
    "ftp://secret/",
    "file:///etc/secret",
    "http://user:secret",
    "http://secret:secret/",
    "http://host:65536/secret",
    "http://[::1/secret",
    "http://host/\nsecret",
    "http://host\x00/secret",
    "http://ho\udc80st/secret",
    "http://host/\udc80secret",
    "http://" + "a" * 64 + "/secret",
    "http://" + "a." * 127 + "/secret",
    "http://.secret/",
    "http://se..cret/",
    "http://host/" + "a" * MAX_URL + "secret",
]


@pytest.mark.parametrize("url", NO_URLS, ids=range(len(NO_URLS)))
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    assert place(url) == "?://?"
    with (
        Http(timeout=1) as http,
        pytest.raises(InvalidInput, match="this is no address: expected http://") as raised,
    ):
        http.get(url, limit=1)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_client_shows_no_secret() -> None:
    assert "secret" not in repr(Http(timeout=1, auth=("user", "secret")))


class Deaf(httpcore2.NetworkStream):
    """A connection that takes two bytes, and then fails."""

    def __init__(self, error: OSError) -> None:
        self.error = error
        self.taken = b""

    def get_extra_info(self, info: str) -> "Deaf":
        assert info == "socket"
        return self

    def settimeout(self, seconds: float) -> None:
        assert 0 < seconds <= 5

    def send(self, part: memoryview) -> int:
        if self.taken:
            raise self.error
        self.taken = bytes(part[:2])
        return 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [(TimeoutError(), httpcore2.WriteTimeout), (OSError("reset"), httpcore2.WriteError)],
)
def test_writing_fails_as_httpcore2_expects_it(error: OSError, expected: type[Exception]) -> None:
    deaf = Deaf(error)
    with pytest.raises(expected) as raised:
        _Stream(deaf, _Exchange()).write(b"hello", 5)
    assert deaf.taken == b"he"
    assert raised.value.__cause__ is error


PUBLIC = [
    "1.1.1.1",
    "193.99.144.80",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]
PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::101:101",
    "100::1",
    "2001:db8::1",
    "2001::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert _is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not _is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("status", [199, 200, 299, 300])
def test_success(status: int) -> None:
    assert Answer(status, "", b"").is_success is (status in {200, 299})


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_files_for_tls_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match="holds no certificates in PEM"):
        Http(timeout=1, tls_ca=file)
    with pytest.raises(InvalidInput, match="and its key are no pair"):
        Http(timeout=1, client_certificate=file)
    with pytest.raises(InvalidInput, match="and its key are no pair"):
        Http(timeout=1, client_certificate=file, client_key=file)


@pytest.mark.enable_socket
def test_a_name_that_does_not_exist() -> None:
    with (
        Http(timeout=5) as http,
        pytest.raises(
            Unreachable, match=r"http://nowhere.invalid cannot be reached: its name has no address"
        ),
    ):
        http.get("http://nowhere.invalid/", limit=1)
