"""Time-stamping authorities over HTTP: real ones, and servers that lie."""

from __future__ import annotations

import gzip
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, tsp
from cryptography import x509
from fakes import digests
from make_token import NOW as MADE
from make_token import Forge, stamped
from servers.tsa import (
    OpenSslAuthority,
    Script,
    der,
    make_tls,
    openssl_authority,
    read_request,
    replying,
    saying,
    sigstore_authority,
    talking,
)

from witnesstree.anchor.settings import AuthoritySettings
from witnesstree.anchor.tsa import client
from witnesstree.anchor.tsa.client import MAX_FETCHES, HttpAuthority
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.errors import BadAnswer, Unreachable
from witnesstree.ledger.base.report import Assurance, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.token import TimeStampResp, judge_token, parse_token
from witnesstree.ledger.trust import Trust, TrustedRoot

pytestmark = pytest.mark.enable_socket

ROOT, OTHER = digests("root", 2)
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@contextmanager
def asking(url: str, trust: Trust | None = None, **settings: Any) -> Iterator[HttpAuthority]:
    authority = HttpAuthority("court", AuthoritySettings(url=url, **settings), trust or Trust())
    try:
        yield authority
    finally:
        authority.close()


def trusting(certificate: bytes, *between: bytes) -> Trust:
    return Trust(
        roots=(TrustedRoot(certificate, "the test", Assurance.PRIVATE),), certificates=between
    )


def outcomes(stamp: Stamp, trust: Trust, root: bytes = ROOT) -> dict[str, Outcome]:
    return {
        check.name.removeprefix("token."): check.outcome
        for check in judge_token(stamp, root, trust).checks
    }


ALL_PASSED = dict.fromkeys(
    ("form", "imprint", "signer", "signature", "chain", "revocation"), Outcome.PASSED
)
NOT_ASKED = ALL_PASSED | {"revocation": Outcome.UNKNOWN}


# Real authorities
# --------------------------------------------------------------------------------------------------


@pytest.mark.real("openssl")
@pytest.mark.parametrize(
    ("key", "digest"),
    [("rsa", "sha256"), ("p256", "sha256"), ("p384", "sha384"), ("p521", "sha512")],
)
def test_openssl(tmp_path: Path, key: str, digest: str) -> None:
    with (
        openssl_authority(tmp_path, key=key, digest=digest) as server,
        asking(server.url) as authority,
    ):
        stamp = authority.stamp(ROOT)
    assert stamp == Stamp(stamp.token)
    trust = trusting(der(server.root.certificate))
    assert outcomes(stamp, trust) == NOT_ASKED
    assert outcomes(stamp, trust, OTHER)["imprint"] is Outcome.FAILED
    assert outcomes(stamp, Trust())["chain"] is Outcome.UNKNOWN
    assert parse_token(stamp.token).policy == "1.2.3.4.5"
    assert abs(parse_token(stamp.token).gen_time - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.real("openssl")
def test_the_token_is_kept_as_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bytes] = []
    with openssl_authority(tmp_path) as server, asking(server.url) as authority:
        real = server.answer
        monkeypatch.setattr(
            server, "answer", lambda request: answers.append(real(request)) or answers[-1]
        )
        stamp = authority.stamp(ROOT)
    assert answers[0].endswith(stamp.token)


@pytest.mark.real("openssl")
def test_policy(tmp_path: Path) -> None:
    with openssl_authority(tmp_path) as server:
        with asking(server.url, policy="1.2.3.4.6") as authority:
            assert parse_token(authority.stamp(ROOT).token).policy == "1.2.3.4.6"
        with (
            asking(server.url, policy="1.2.3.4.7") as authority,
            pytest.raises(BadAnswer, match="the authority refused: rejection, unaccepted_policy"),
        ):
            authority.stamp(ROOT)


@pytest.mark.real("openssl")
def test_user_and_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSA_PASSWORD", "pass:wörd")
    with openssl_authority(tmp_path, auth=("us", "pass:wörd")) as server:
        with asking(server.url, user="us", password="env:TSA_PASSWORD") as authority:
            assert (
                outcomes(authority.stamp(ROOT), trusting(der(server.root.certificate))) == NOT_ASKED
            )
        with (
            asking(server.url, user="us") as authority,
            pytest.raises(BadAnswer, match="status 401: check user, password") as raised,
        ):
            authority.stamp(ROOT)
    assert "wörd" not in str(raised.value)


@pytest.mark.real("openssl")
def test_client_certificate(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    certificate, key = tls.client(in_one_file=False)
    with openssl_authority(tmp_path, tls=tls.server(asks=True)) as server:
        with asking(
            server.url, tls_ca=tls.ca, client_certificate=certificate, client_key=key
        ) as authority:
            assert (
                outcomes(authority.stamp(ROOT), trusting(der(server.root.certificate))) == NOT_ASKED
            )
        with (
            asking(server.url, tls_ca=tls.ca) as authority,
            pytest.raises(Unreachable, match="cannot be reached"),
        ):
            authority.stamp(ROOT)


@pytest.mark.real("timestamp-server")
def test_sigstore() -> None:
    with sigstore_authority() as server:
        signer, between, root = server.chain
        trust = trusting(root, between)
        with asking(server.url, trust, private_addresses=True) as authority:
            stamp = authority.stamp(ROOT)
        with asking(server.url, policy="1.2.3.4") as authority, pytest.raises(BadAnswer):
            authority.stamp(ROOT)
    # It sends its own certificate alone, so that the other one has to stand beside the token.
    assert parse_token(stamp.token).certificates == (signer,)
    assert stamp.certificates == (between,)
    assert outcomes(stamp, trusting(root)) == NOT_ASKED
    assert outcomes(Stamp(stamp.token), trusting(root))["chain"] is Outcome.UNKNOWN
    assert outcomes(stamp, Trust())["chain"] is Outcome.UNKNOWN
    assert outcomes(stamp, trusting(root), OTHER)["imprint"] is Outcome.FAILED


@pytest.mark.real("timestamp-server")
def test_sigstore_with_its_chain_and_status_201() -> None:
    with (
        sigstore_authority("--include-chain-in-response", "--use-http-201") as server,
        asking(server.url) as authority,
    ):
        stamp = authority.stamp(ROOT)
    assert stamp == Stamp(stamp.token)
    assert outcomes(stamp, trusting(server.chain[-1])) == NOT_ASKED


# What is kept beside a token
# --------------------------------------------------------------------------------------------------


BOTH = frozenset({"crl", "ocsp"})


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenSslAuthority]:
    with openssl_authority(tmp_path, **getattr(request, "param", {"revocation": BOTH})) as server:
        yield server


@pytest.mark.real("openssl")
def test_ocsp_answers_are_kept(server: OpenSslAuthority) -> None:
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/", "/ocsp", "/ocsp"]
    assert (len(stamp.certificates), len(stamp.ocsps), len(stamp.crls)) == (0, 2, 0)
    assert outcomes(stamp, trusting(der(server.root.certificate))) == ALL_PASSED


@pytest.mark.real("openssl")
@pytest.mark.parametrize("server", [{"revocation": frozenset({"crl"})}], indirect=True)
def test_lists_are_kept_where_there_is_no_ocsp(server: OpenSslAuthority) -> None:
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/", "/crl/intermediate", "/crl/root"]
    assert (len(stamp.certificates), len(stamp.ocsps), len(stamp.crls)) == (0, 0, 2)
    assert outcomes(stamp, trusting(der(server.root.certificate))) == ALL_PASSED


@pytest.mark.real("openssl")
def test_lists_are_kept_where_ocsp_fails(
    server: OpenSslAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    server.broken.add("/ocsp")
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert (len(stamp.ocsps), len(stamp.crls)) == (0, 2)
    assert outcomes(stamp, trusting(der(server.root.certificate))) == ALL_PASSED
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ] == [
        (
            f"court: an OCSP answer was not available for its token: {server.url} answered with"
            " status 500"
        )
    ] * 2


def answering(forge: Forge, time: datetime) -> Callable[[bytes], bytes]:
    """Answers with tokens of a made-up authority at `time`."""

    def answer(request: bytes) -> bytes:
        asked = tsp.TimeStampReq.load(request)
        content = stamped(
            message_imprint=asked["message_imprint"], nonce=asked["nonce"].native, gen_time=time
        )
        token = replace(forge, content=tsp.TSTInfo(content).dump()).make()
        return bytes(
            TimeStampResp(
                {"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)}
            ).dump()
        )

    return answer


@pytest.mark.parametrize("days", [-30, 30], ids=["not yet valid", "expired"])
def test_a_token_of_a_signer_out_of_its_life_is_refused_before_its_root_is_trusted(
    days: int,
) -> None:
    """Kept, it would be FAILED for good once the root is trusted, and no other one asked for."""
    answer = answering(Forge(), MADE + timedelta(days=days))
    with talking(replying(answer)) as url, asking(url) as authority:
        with pytest.raises(BadAnswer, match=r"would not verify: .* was not valid at") as raised:
            authority.stamp(ROOT)
        assert raised.value.message.code == "token-would-not-verify"
        found = {check.name: check.outcome for check in authority.check().judgement.checks}
        assert found["token.chain"] is Outcome.FAILED


def test_a_token_of_a_good_signer_is_kept_although_nobody_trusts_its_root() -> None:
    with talking(replying(answering(Forge(), MADE))) as url, asking(url) as authority:
        assert outcomes(authority.stamp(ROOT), Trust())["chain"] is Outcome.UNKNOWN


@pytest.mark.real("openssl")
@pytest.mark.parametrize("revocation", ["crl", "ocsp"])
def test_a_token_of_a_revoked_authority_is_refused_and_said(
    tmp_path: Path, revocation: str
) -> None:
    """Kept, it would make every proof FAILED, whatever good tokens stand beside it."""
    with openssl_authority(tmp_path, revocation=frozenset({revocation})) as server:
        server.revoked[server.signer.certificate.serial_number] = x509.ReasonFlags.key_compromise
        trust = trusting(der(server.root.certificate))
        with asking(server.url, trust, private_addresses=True) as authority:
            with pytest.raises(
                BadAnswer,
                match=r"would not verify: The certificate of “Test authority” was revoked",
            ):
                authority.stamp(ROOT)
            assert {
                check.name.removeprefix("token."): check.outcome
                for check in authority.check().judgement.checks
            } == ALL_PASSED | {"revocation": Outcome.FAILED}


@pytest.mark.real("openssl")
def test_private_addresses_are_not_asked(
    server: OpenSslAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    """Certificates come from outside: they must not send us into our own network."""
    with asking(server.url, trusting(der(server.root.certificate))) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/"]
    assert stamp == Stamp(stamp.token)
    # Two certificates name two places each: all four are of one server, which is told once, with
    # the setting that allows it.
    (warning,) = (
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    )
    assert warning.startswith(
        f"court: nothing about its token's certificates is fetched from there: {server.url} cannot"
        " be reached: its address 127."
    )
    assert warning.endswith(
        "is not a public one; if that network is yours, set private_addresses = true in"
        " [authorities.court] of the settings"
    )


@pytest.mark.real("openssl")
def test_nothing_is_asked_where_the_settings_say_so(server: OpenSslAuthority) -> None:
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True, revocation=False
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/"]
    assert stamp == Stamp(stamp.token)


@pytest.mark.real("openssl")
@pytest.mark.parametrize(
    "server", [{"revocation": frozenset({"issuer"}), "carries_chain": False}], indirect=True
)
def test_an_issuers_certificate_is_fetched(server: OpenSslAuthority) -> None:
    with asking(server.url, private_addresses=True) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/", "/issuer"]
    assert stamp.certificates == (der(server.intermediate.certificate),)
    assert outcomes(stamp, trusting(der(server.root.certificate))) == NOT_ASKED


@pytest.mark.real("openssl")
@pytest.mark.parametrize(
    "server", [{"revocation": frozenset({"issuer"}), "carries_chain": False}], indirect=True
)
@pytest.mark.parametrize("said", [b"", b"no certificate", "root", "broken"])
def test_an_issuers_certificate_that_is_none(
    server: OpenSslAuthority, said: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another certificate than the issuer's leads nowhere."""
    if said == "broken":
        server.broken.add("/issuer")
    body = der(server.root.certificate) if said == "root" else said
    real = server.respond
    monkeypatch.setattr(
        server,
        "respond",
        lambda path, asked: ("x/y", body) if path == "/issuer" else real(path, asked),
    )
    with asking(server.url, private_addresses=True) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/", "/issuer"]
    assert stamp == Stamp(stamp.token)


@pytest.mark.real("openssl")
@pytest.mark.parametrize("server", [{"carries_chain": False}], indirect=True)
@pytest.mark.parametrize("revocation", [True, False])
def test_certificates_of_the_trust_store_are_kept_beside(
    server: OpenSslAuthority, *, revocation: bool
) -> None:
    between, root = der(server.intermediate.certificate), der(server.root.certificate)
    with asking(server.url, trusting(root, between), revocation=revocation) as authority:
        stamp = authority.stamp(ROOT)
    assert stamp.certificates == (between,)
    assert outcomes(stamp, trusting(root)) == NOT_ASKED


@pytest.mark.real("openssl")
def test_a_pinned_signer_is_its_own_root(server: OpenSslAuthority) -> None:
    with asking(
        server.url, trusting(der(server.signer.certificate)), private_addresses=True
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/"]
    assert stamp == Stamp(stamp.token)
    assert outcomes(stamp, trusting(der(server.signer.certificate)))["chain"] is Outcome.PASSED


@pytest.mark.real("openssl")
@pytest.mark.parametrize("server", [{"revocation": frozenset({"crl"})}], indirect=True)
def test_a_list_by_another_key_of_the_issuer_is_kept_with_its_certificate(
    server: OpenSslAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of its key, an issuer signs its lists with the new one alone (RFC 5280,
    6.3.3, f)."""
    newer = server.root.issue("Test intermediate", "p256", ca=True)
    real, lists = server.respond, server.crl(newer)

    def respond(path: str, asked: bytes) -> tuple[str, bytes]:
        return ("x/y", lists) if path == "/crl/intermediate" else real(path, asked)

    monkeypatch.setattr(server, "respond", respond)
    root, certificate = der(server.root.certificate), der(newer.certificate)
    with asking(server.url, trusting(root, certificate), private_addresses=True) as authority:
        stamp = authority.stamp(ROOT)
    assert (stamp.certificates, len(stamp.crls)) == ((certificate,), 2)
    assert outcomes(stamp, trusting(root)) == ALL_PASSED
    with asking(server.url, trusting(root), private_addresses=True) as authority:
        stamp = authority.stamp(ROOT)
    assert (stamp.certificates, len(stamp.crls)) == ((), 1)
    assert outcomes(stamp, trusting(root)) == NOT_ASKED


@pytest.mark.real("openssl")
@pytest.mark.parametrize("lie", ["rubbish", "of another certificate", "huge", "cut off"])
def test_revocation_data_that_must_not_be_believed_is_left_out(
    server: OpenSslAuthority, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server.respond
    other = server.crl(server.root)
    bodies = {
        "rubbish": b"<html>",
        "of another certificate": other,
        "huge": bytes(2**20),
        "cut off": server.crl(server.intermediate)[:-1],
    }

    def respond(path: str, asked: bytes) -> tuple[str, bytes]:
        return ("x/y", bodies[lie]) if path in {"/ocsp", "/crl/intermediate"} else real(path, asked)

    monkeypatch.setattr(server, "respond", respond)
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True
    ) as authority:
        stamp = authority.stamp(ROOT)
    # The root's list, about the intermediate certificate, is the only one that holds.
    assert (stamp.ocsps, len(stamp.crls)) == ((), 1)
    assert outcomes(stamp, trusting(der(server.root.certificate))) == NOT_ASKED


@pytest.mark.real("openssl")
def test_requests_about_one_token_are_bounded_in_number(
    server: OpenSslAuthority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "MAX_FETCHES", 1)
    assert MAX_FETCHES > 1
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert server.asked == ["/", "/ocsp"]
    assert len(stamp.ocsps) == 1
    assert "was not asked for: enough time and requests were spent on its token" in caplog.text


@pytest.mark.real("openssl")
def test_requests_about_one_token_are_bounded_in_time(
    server: OpenSslAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server.respond

    def respond(path: str, asked: bytes) -> tuple[str, bytes]:
        if path != "/":
            time.sleep(2.5)
        return real(path, asked)

    monkeypatch.setattr(server, "respond", respond)
    begun = time.monotonic()
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True, timeout=2
    ) as authority:
        stamp = authority.stamp(ROOT)
    assert stamp == Stamp(stamp.token)
    assert time.monotonic() - begun < 8


@pytest.mark.real("openssl")
@pytest.mark.parametrize(
    "server", [{"revocation": frozenset({"crl"}), "carries_chain": False}], indirect=True
)
def test_no_more_is_kept_beside_a_token_than_fits(
    server: OpenSslAuthority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    between, root = der(server.intermediate.certificate), der(server.root.certificate)
    monkeypatch.setattr(client, "MAX_BESIDE", len(between) + 10)
    with asking(server.url, trusting(root, between), private_addresses=True) as authority:
        stamp = authority.stamp(ROOT)
    assert (stamp.certificates, stamp.crls) == ((between,), ())
    assert caplog.text.count("about its token's certificates are too many, and were left out") == 2


# Lies
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    folder = tmp_path_factory.mktemp("home") / "authority"
    LocalAuthority.create(folder, NOW)
    return LocalAuthority.open(folder, lambda: NOW)


def changed(request: bytes, **fields: Any) -> bytes:
    asked = tsp.TimeStampReq.load(request)
    for name, value in fields.items():
        asked[name] = value
    return bytes(asked.dump(force=True))


def of_another_nonce(request: bytes) -> bytes:
    return changed(request, nonce=tsp.TimeStampReq.load(request)["nonce"].native + 1)


def of_no_nonce(request: bytes) -> bytes:
    asked = tsp.TimeStampReq.load(request).native
    return bytes(
        tsp.TimeStampReq(
            {"version": "v1", "message_imprint": asked["message_imprint"], "cert_req": True}
        ).dump()
    )


def of_another_imprint(request: bytes) -> bytes:
    return changed(
        request,
        message_imprint={"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": OTHER},
    )


def of_another_algorithm(request: bytes) -> bytes:
    return changed(
        request,
        message_imprint={"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": ROOT * 2},
    )


REQUESTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another nonce": (of_another_nonce, "a token for another request: the nonce is not ours"),
    "no nonce": (of_no_nonce, "a token for another request: the nonce is not ours"),
    "another imprint": (of_another_imprint, "a token for other bytes"),
    "another algorithm": (of_another_algorithm, "a token for other bytes"),
    "a refusal": (lambda _: b"rubbish", "the authority refused: rejection, bad_data_format, .*"),
}


@pytest.mark.parametrize(("change", "words"), REQUESTS.values(), ids=REQUESTS)
def test_an_answer_to_another_request_is_refused(
    local: LocalAuthority, change: Callable[[bytes], bytes], words: str
) -> None:
    with (
        talking(replying(lambda request: local.answer(change(request), NOW))) as url,
        asking(url) as authority,
        pytest.raises(BadAnswer, match=f"court at {url}: .*{words}$"),
    ):
        authority.stamp(ROOT)


def test_an_answer_under_another_policy_is_refused(local: LocalAuthority) -> None:
    def answer(request: bytes) -> bytes:
        asked = tsp.TimeStampReq.load(request).native
        kept = {name: asked[name] for name in ("version", "message_imprint", "nonce", "cert_req")}
        return local.answer(tsp.TimeStampReq(kept).dump(), NOW)

    with (
        talking(replying(answer)) as url,
        asking(url, policy="1.2.3") as authority,
        pytest.raises(BadAnswer, match=r"and 1\.2\.3 was asked for$"),
    ):
        authority.stamp(ROOT)


BODIES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda answer: answer[:-1],
    "longer": lambda answer: answer + b"\0",
    "empty": lambda _: b"",
    "HTML": lambda _: b"<!DOCTYPE html><title>Sign in</title>",
    "the token alone": lambda answer: TimeStampResp.load(answer)["time_stamp_token"].dump(),
    "no token": lambda _: b"\x30\x05\x30\x03\x02\x01\x00",
}


@pytest.mark.parametrize("change", BODIES.values(), ids=BODIES)
def test_an_answer_that_is_none_is_refused(
    local: LocalAuthority, change: Callable[[bytes], bytes]
) -> None:
    with (
        talking(replying(lambda request: change(local.answer(request, NOW)))) as url,
        asking(url) as authority,
        pytest.raises(BadAnswer, match=f"court at {url}: the authority's answer cannot be read"),
    ):
        authority.stamp(ROOT)


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", ""])
def test_the_type_of_an_answer_only_explains(local: LocalAuthority, kind: str) -> None:
    """Some authorities call a good answer something else.

    A bad one is explained by what it calls itself.
    """
    with (
        talking(replying(lambda request: local.answer(request, NOW), kind)) as url,
        asking(url) as authority,
    ):
        assert parse_token(authority.stamp(ROOT).token).imprint == ROOT
    shown = kind or '""'
    with (
        talking(replying(lambda _: b"<html>", kind)) as url,
        asking(url) as authority,
        pytest.raises(
            BadAnswer,
            match=f"it calls its answer {shown}, not application/timestamp-reply",
        ),
    ):
        authority.stamp(ROOT)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_success_by_any_status(local: LocalAuthority, status: int) -> None:
    with (
        talking(replying(lambda request: local.answer(request, NOW), status=status)) as url,
        asking(url) as authority,
    ):
        assert parse_token(authority.stamp(ROOT).token).imprint == ROOT


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (301, BadAnswer, "check its address"),
        (302, BadAnswer, "check its address"),
        (307, BadAnswer, "check its address"),
        (400, BadAnswer, "check its address"),
        (401, BadAnswer, "check user, password"),
        (403, BadAnswer, "check user, password"),
        (404, BadAnswer, "check its address"),
        (408, Unreachable, "try again later"),
        (429, Unreachable, "try again later"),
        (500, Unreachable, "try again later"),
        (503, Unreachable, "try again later"),
        (599, Unreachable, "try again later"),
    ],
)
def test_other_statuses(
    local: LocalAuthority, status: int, error: type[Exception], words: str
) -> None:
    """A body that would be right changes nothing."""
    with (
        talking(replying(lambda request: local.answer(request, NOW), status=status)) as url,
        asking(url) as authority,
        pytest.raises(error, match=f"court at {url} answered with status {status}.*{words}"),
    ):
        authority.stamp(ROOT)


def gigabyte(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\n\r\n")
    for _ in range(1000):
        connection.sendall(bytes(10**6))


def trickle(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"0")
        time.sleep(0.02)


WRONG: dict[str, tuple[Script, type[Exception]]] = {
    "a gigabyte": (gigabyte, BadAnswer),
    "a trickle": (trickle, Unreachable),
    "gzip": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"")),
        BadAnswer,
    ),
    "cut off": (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n0"), Unreachable),
    "nothing": (saying(b""), Unreachable),
    "no HTTP": (saying(b"220 mail.example ESMTP\r\n\r\n"), BadAnswer),
}


@pytest.mark.parametrize(("script", "error"), WRONG.values(), ids=WRONG)
def test_servers_that_do_harm(script: Script, error: type[Exception]) -> None:
    begun = time.monotonic()
    with (
        talking(script) as url,
        asking(f"{url}/?key=secret", timeout=1) as authority,
        pytest.raises(error) as raised,
    ):
        authority.stamp(ROOT)
    assert time.monotonic() - begun < 8
    assert "secret" not in str(raised.value)


def test_nonces_are_random_and_have_64_bits(local: LocalAuthority) -> None:
    nonces = []

    def answer(request: bytes) -> bytes:
        nonces.append(tsp.TimeStampReq.load(request)["nonce"].native)
        return local.answer(request, NOW)

    with talking(replying(answer)) as url, asking(url) as authority:
        for _ in range(8):
            authority.stamp(ROOT)
    assert len(set(nonces)) == 8
    assert all(0 <= nonce < 2**64 for nonce in nonces)
    # Eight numbers below this come once in four milliards of runs.
    assert max(nonces) > 2**60


# Checks
# --------------------------------------------------------------------------------------------------


@pytest.mark.real("openssl")
def test_check(server: OpenSslAuthority) -> None:
    with asking(
        server.url, trusting(der(server.root.certificate)), private_addresses=True
    ) as authority:
        found = authority.check()
        again = authority.check()
    assert {
        check.name.removeprefix("token."): check.outcome for check in found.judgement.checks
    } == ALL_PASSED
    assert found.judgement.root is not None
    assert found.judgement.root.source == "the test"
    assert (found.signer, found.policy) == ("Test authority", "1.2.3.4.5")
    assert found.expires == server.signer.certificate.not_valid_after_utc
    # OpenSSL cuts its time to the second.
    assert timedelta(seconds=-6) < found.offset < timedelta(seconds=5)
    assert timedelta() < found.round_trip < timedelta(seconds=5)
    assert found.judgement.token is not None
    assert again.judgement.token is not None
    assert found.judgement.token.imprint != again.judgement.token.imprint


def test_check_of_a_clock_that_is_wrong_and_a_signer_that_is_not_named(
    local: LocalAuthority,
) -> None:
    """Without certificates, all that is known of the signer is what the token says."""

    def answer(request: bytes) -> bytes:
        return local.answer(changed(request, cert_req=False), NOW)

    with talking(replying(answer)) as url:
        authority = HttpAuthority(
            "court", AuthoritySettings(url=url), Trust(), lambda: NOW - timedelta(hours=1)
        )
        found = authority.check()
        authority.close()
    assert found.offset == timedelta(hours=1)
    assert found.expires is None
    assert found.signer is not None
    assert found.signer.startswith("LOCAL test authority")
