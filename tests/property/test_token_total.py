"""Any bytes are a token, a CRL, an OCSP answer, or one documented error, and no change of what was
signed goes unseen."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from asn1crypto import cms
from asn1crypto import crl as asn1_crl
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from make_revocation import ANSWERS, make_crl, make_ocsp, middle, signer, top, wrap, wrapped
from make_sm2 import in_chinese_form, sm2_token
from make_sm2 import top as sm2_top
from make_token import IMPRINT_BYTES, Forge, Issued, issue, key, trust
from mutations import changed_der, rehearsed

from witnesstree.anchor.tsa.local import LocalAuthority, trusted_root
from witnesstree.ledger.base.der import demand_der
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.report import Assurance, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.revocation import (
    RevocationSource,
    check_crl,
    check_ocsp,
    judge_revocation,
    revocation_sources,
)
from witnesstree.ledger.tokens.token import (
    TimeStampResp,
    Token,
    chain_of,
    check_response,
    judge_token,
    parse_token,
)
from witnesstree.ledger.tokens.x509 import read_certificate
from witnesstree.ledger.trust import Trust, TrustedRoot

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ROOT = hashlib.sha256(b"a root").digest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, TrustedRoot]:
    folder = tmp_path_factory.mktemp("home") / "authority"
    LocalAuthority.create(folder, NOW)
    return LocalAuthority.open(folder, lambda: NOW).stamp(ROOT).token, trusted_root(folder)


@cache
def parsed_once(der: bytes) -> Token:
    return parse_token(der)


def assert_total(der: bytes, made: tuple[bytes, TrustedRoot]) -> bool:
    """Assert that `der` gives a token or InvalidInput, and that what is proven is what the
    authority signed. Return whether it is proven."""
    original = parsed_once(made[0])
    judgement = judge_token(Stamp(der), ROOT, Trust((made[1],)))
    assert len(judgement.checks) == 6
    try:
        parsed = parse_token(der)
    except InvalidInput:
        assert judgement.checks[0].outcome is Outcome.FAILED
        assert not judgement.is_proven
        return False
    assert judgement.token == parsed
    if judgement.is_proven:
        assert parsed.content == original.content
        assert parsed.signer.attributes == original.signer.attributes
        assert (parsed.gen_time, parsed.imprint, parsed.serial) == (
            original.gen_time,
            original.imprint,
            original.serial,
        )
    return judgement.is_proven


def test_unchanged_token_is_proven(made: tuple[bytes, TrustedRoot]) -> None:
    assert judge_token(Stamp(made[0]), ROOT, Trust((made[1],))).is_proven


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_one_changed_byte_anywhere(made: tuple[bytes, TrustedRoot], flip: int) -> None:
    token = made[0]
    signed = parse_token(token)
    ranges = [
        (token.index(part), token.index(part) + len(part))
        for part in (signed.content, signed.signer.attributes[1:], signed.signer.signature)
    ]
    for at in range(len(token)):
        changed = token[:at] + bytes([token[at] ^ flip]) + token[at + 1 :]
        is_proven = assert_total(changed, made)
        assert not (is_proven and any(start <= at < end for start, end in ranges)), at


def test_every_truncation(made: tuple[bytes, TrustedRoot]) -> None:
    for size in range(len(made[0])):
        with pytest.raises(InvalidInput):
            parse_token(made[0][:size])


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6
    )
)
def test_several_changed_bytes(
    made: tuple[bytes, TrustedRoot], changes: list[tuple[int, int]]
) -> None:
    der = bytearray(made[0])
    for at, value in changes:
        der[at % len(der)] = value
    assert_total(bytes(der), made)


@given(
    start=st.integers(0, 1 << 16),
    length=st.integers(0, 300),
    target=st.integers(0, 1 << 16),
    cut=st.integers(0, 300),
)
def test_splices(
    made: tuple[bytes, TrustedRoot], start: int, length: int, target: int, cut: int
) -> None:
    token = made[0]
    start, target = start % len(token), target % len(token)
    assert_total(token[:target] + token[start : start + length] + token[target + cut :], made)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Well-formed DER of any kind: what gets past the skeleton and into the fields."""
    if draw(st.integers(0, 3)) == 0:
        tag, content = (
            draw(st.sampled_from([0x30, 0x31, 0xA0, 0xA1])),
            b"".join(draw(st.lists(values(), max_size=4))),
        )
    else:
        tag, content = (
            draw(
                st.sampled_from(
                    [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x17, 0x18, 0x80, 0x82]
                )
            ),
            draw(st.binary(max_size=20)),
        )
    length = (
        bytes([len(content)])
        if len(content) < 128
        else bytes([0x82]) + len(content).to_bytes(2, "big")
    )
    if 128 <= len(content) < 256:
        length = bytes([0x81, len(content)])
    return bytes([tag]) + length + content


def replaced(der: bytes, at: int, value: bytes) -> bytes:
    """Return `der` with the value whose tag is the `at`-th one replaced, and every length above it
    mended."""

    def walk(start: int, end: int) -> bytes:
        nonlocal at
        found = b""
        while start < end:
            tag, first = der[start], der[start + 1]
            size = first & 0x7F if first >= 0x80 else 0
            length = int.from_bytes(der[start + 2 : start + 2 + size], "big") if size else first
            inner = start + 2 + size
            at -= 1
            if at == -1:
                found += value
            elif tag & 0x20:
                found += wrap(tag, walk(inner, inner + length))
            else:
                found += der[start : inner + length]
            start = inner + length
        return found

    return walk(0, len(der))


@given(at=st.integers(0, 122), value=st.one_of(values(), st.just(b"")))
def test_another_value_in_any_field(made: tuple[bytes, TrustedRoot], at: int, value: bytes) -> None:
    demand_der(made[0])
    assert_total(replaced(made[0], at, value), made)


@given(der=st.one_of(st.binary(max_size=400), values()))
def test_any_bytes(made: tuple[bytes, TrustedRoot], der: bytes) -> None:
    assert_total(der, made)
    with pytest.raises(BadAnswer):
        check_response(der, ROOT, 1)


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=3
    ),
    cut=st.integers(0, 40),
)
def test_answers_with_changed_bytes(
    made: tuple[bytes, TrustedRoot], changes: list[tuple[int, int]], cut: int
) -> None:
    refusal = TimeStampResp(
        {"status": {"status": "rejection", "status_string": ["no"], "fail_info": {"bad_alg"}}}
    ).dump()
    der = bytearray(refusal)
    for at, value in changes:
        der[at % len(der)] = value
    with pytest.raises(BadAnswer):
        check_response(bytes(der[: len(der) - cut]), ROOT, 1)


# 20,000 changed answers of several kinds
# --------------------------------------------------------------------------------------------------

CHUNK = 500
# Seconds of this process's own time. The dearest are those whose signatures have to be looked at.
LIMIT = 1.0
VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "token" / "tokens.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Subject:
    """Something valid that is changed, and what has to hold whatever becomes of it."""

    valid: bytes
    assert_holds: Callable[[bytes], None]
    says: Outcome | None = None
    """What an answer about revocation comes to."""


def of_token(token: bytes, imprint: bytes, trust: Trust) -> Subject:
    """A token: what is proven is exactly what was signed."""
    original = parse_token(token)
    assert judge_token(Stamp(token), imprint, trust).is_proven

    def assert_holds(der: bytes) -> None:
        judgement = judge_token(Stamp(der), imprint, trust)
        assert judgement.token or {check.outcome for check in judgement.checks} == {
            Outcome.FAILED,
            Outcome.UNKNOWN,
        }
        if judgement.is_proven:
            assert judgement.token
            assert (judgement.token.content, judgement.token.signer.attributes) == (
                original.content,
                original.signer.attributes,
            )

    return Subject(token, assert_holds)


def of_answer(token: bytes, imprint: bytes, nonce: int) -> Subject:
    """A TimeStampResp: what is taken answers the request."""
    whole = TimeStampResp(
        {"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)}
    ).dump()
    check_response(whole, imprint, nonce, "1.2.3")

    def assert_holds(der: bytes) -> None:
        try:
            found = check_response(der, imprint, nonce, "1.2.3")
        except BadAnswer:
            pass
        else:
            assert (found.imprint, found.nonce, found.policy) == (imprint, nonce, "1.2.3")

    return Subject(whole, assert_holds)


@cache
def chain_token() -> tuple[bytes, Trust]:
    """A token under two certificates below the root."""
    return Forge(signer=signer(), certificates=[signer().der, middle().der]).make(), Trust(
        tuple(trust(top()))
    )


def of_revocation(kind: str, valid: bytes, expected: Outcome) -> Subject:
    """A CRL or OCSP answer about the signer: it says what it said, or nothing.

    What it says is never turned round.
    """
    path = [read for read in map(read_certificate, (signer().der, middle().der, top().der)) if read]
    source = RevocationSource(signer().der, middle().der, (), ())
    check = {"crls": check_crl, "ocsps": check_ocsp}[kind]

    def revocation(der: bytes) -> Outcome:
        answers = {"crls": (make_crl_of_top(),), "ocsps": ()}
        answers[kind] += (der,)
        return judge_revocation(path, answers["crls"], answers["ocsps"], NOW).outcome

    def assert_holds(der: bytes) -> None:
        found = revocation(der)
        assert found in {expected, Outcome.UNKNOWN}
        try:
            check(der, source, NOW)
        except BadAnswer:
            assert found is Outcome.UNKNOWN
        else:
            assert found is expected

    assert revocation(valid) is expected
    return Subject(valid, assert_holds, expected)


@cache
def make_crl_of_top() -> bytes:
    return make_crl(top())


def of_certificate() -> Subject:
    """A certificate beside a token that needs it: changed, it leads nowhere; and what leads
    somewhere is what it was."""
    token = Forge(signer=signer(), certificates=[signer().der]).make()
    trusted = Trust(tuple(trust(top())))
    assert judge_token(Stamp(token, (middle().der,)), IMPRINT_BYTES, trusted).is_proven

    def assert_holds(der: bytes) -> None:
        judgement = judge_token(Stamp(token, (der,)), IMPRINT_BYTES, trusted)
        assert judgement.is_proven is (der == middle().der)
        chain = chain_of(parse_token(token), trusted, (der,))
        assert chain[0] == signer().der
        revocation_sources((signer().der, der, top().der))

    return Subject(middle().der, assert_holds)


@cache
def subjects() -> tuple[Subject, ...]:
    token, trusted = chain_token()
    public = []
    for name, root_name in (
        ("GlobalSign, 2021", "GlobalSign Root CA - R6"),
        ("Sigstore staging, 2025", "sigstore-tsa-selfsigned (staging)"),
    ):
        entry, root = VECTORS["tokens"][name], VECTORS["roots"][root_name]
        known = Trust(
            (TrustedRoot(base64.b64decode(root["certificate"]), root_name, Assurance.PUBLIC),)
        )
        public.append(
            of_token(
                base64.b64decode(entry["token"]),
                hashlib.sha256(entry["stamped"].encode()).digest(),
                known,
            )
        )
    superseded = [(x509.CRLReason(x509.ReasonFlags.superseded), False)]
    revoked = make_crl(
        middle(),
        *((each, NOW, superseded) for each in (signer(), top())),
        extensions=[(x509.CRLNumber(7), False)],
    )
    return (
        *public,
        of_token(token, IMPRINT_BYTES, trusted),
        of_answer(Forge().make(), IMPRINT_BYTES, 42),
        of_revocation("crls", make_crl(middle(), (top(), NOW, superseded)), Outcome.PASSED),
        of_revocation("crls", revoked, Outcome.FAILED),
        of_revocation("ocsps", make_ocsp(signer(), middle()), Outcome.PASSED),
        of_revocation("ocsps", make_ocsp(signer(), middle(), responder=delegate()), Outcome.PASSED),
        of_revocation(
            "ocsps",
            make_ocsp(signer(), middle(), revoked=NOW, reason=x509.ReasonFlags.superseded),
            Outcome.FAILED,
        ),
        of_certificate(),
    )


@cache
def delegate() -> Issued:
    return issue("A responder", middle(), key("p256", 70), (ANSWERS,))


@pytest.mark.parametrize("chunk", rehearsed(2, 600))
def test_changed_answers(chunk: int) -> None:
    random = Random(chunk)
    for number in range(CHUNK):
        subject = subjects()[number % len(subjects())]
        # A piece of an answer that says the opposite may be all of it.
        others = [
            other.valid
            for other in subjects()
            if None in {subject.says, other.says} or subject.says is other.says
        ]
        der = changed_der(subject.valid, random.choice(others), random)
        begun = time.process_time()
        subject.assert_holds(der)
        assert time.process_time() - begun < LIMIT, (chunk, number)


def test_changed_tokens_by_sm2() -> None:
    random, trusted = Random("sm2"), Trust(tuple(trust(sm2_top())))
    token = sm2_token()
    for number, valid in enumerate([token, in_chinese_form(token)]):
        subject = of_token(valid, IMPRINT_BYTES, trusted)
        for _ in range(CHUNK):
            der = changed_der(valid, valid, random)
            begun = time.process_time()
            subject.assert_holds(der)
            assert time.process_time() - begun < LIMIT, number


@pytest.mark.parametrize("kind", ["crl", "ocsp"])
def test_changed_and_signed_anew(kind: str) -> None:
    """An issuer that writes nonsense, and signs it: behind the signature stand as many fields as
    before it."""
    random, source = Random(kind), RevocationSource(signer().der, middle().der, (), ())
    superseded = [
        (x509.CRLReason(x509.ReasonFlags.superseded), False),
        (x509.InvalidityDate(NOW), False),
    ]
    valid = (
        make_crl(middle(), (signer(), NOW, superseded))
        if kind == "crl"
        else make_ocsp(signer(), middle(), revoked=NOW)
    )
    resign, check = (resigned_crl, check_crl) if kind == "crl" else (resigned_ocsp, check_ocsp)
    taken = 0
    for _ in range(CHUNK):
        der = resign(valid, middle().key, lambda body: changed_der(body, valid, random))
        begun = time.process_time()
        try:
            check(der, source, NOW)
            taken += 1
        except BadAnswer:
            pass
        assert time.process_time() - begun < LIMIT
    assert 0 < taken < CHUNK


def resigned_crl(valid: bytes, private: Any, change: Callable[[bytes], bytes]) -> bytes:
    listed = asn1_crl.CertificateList.load(valid)
    body = change(listed["tbs_cert_list"].dump())
    signature = private.sign(body, ec.ECDSA(hashes.SHA256()))
    return wrap(0x30, body + listed["signature_algorithm"].dump() + wrap(0x03, b"\0" + signature))


def resigned_ocsp(valid: bytes, private: Any, change: Callable[[bytes], bytes]) -> bytes:
    basic = asn1_ocsp.OCSPResponse.load(valid)["response_bytes"]["response"].parsed
    body = change(basic["tbs_response_data"].dump())
    signature = private.sign(body, ec.ECDSA(hashes.SHA256()))
    return wrapped(
        wrap(0x30, body + basic["signature_algorithm"].dump() + wrap(0x03, b"\0" + signature))
    )
