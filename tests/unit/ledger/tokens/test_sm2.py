"""SM2 with SM3: published vectors, what is no signature, and tokens, chains, CRLs and OCSP answers
of an authority that uses nothing else."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import tsp
from commandline import call
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from make_sm2 import (
    KEY_INFO,
    SM3,
    G,
    N,
    P,
    Private,
    in_chinese_form,
    middle,
    private,
    responder,
    signer,
    sm2_crl,
    sm2_ocsp,
    sm2_token,
    sm3,
    top,
)
from make_token import IMPRINT_BYTES, NOW, Issued, key, sign_ec, trust

from witnesstree.ledger.base.catalogue import CHINESE, worded
from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.base.report import Outcome, Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.kinds import Kind, recognise
from witnesstree.ledger.tokens import sm2
from witnesstree.ledger.tokens.revocation import RevocationSource, check_crl
from witnesstree.ledger.tokens.signature import (
    HASHES,
    Method,
    digest_of,
    hash_id,
    is_signed,
    lacking,
    read_key,
)
from witnesstree.ledger.tokens.sm2 import EXTRA, Sm2, Sm2Key
from witnesstree.ledger.tokens.soundness import ENDS, ended, hashes_of, methods_of_key
from witnesstree.ledger.tokens.token import (
    check_response,
    format_request,
    judge_token,
    parse_token,
)
from witnesstree.ledger.tokens.x509 import _is_signed_by, read_certificate
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.bare import verify_token

METHOD = Method("sm3_sm2", "sm3", None)
PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
TRUST = Trust(tuple(trust(top())))
FILE = "边界止于老橡树。".encode()


# GB/T 32905, appendix A; GB/T 32918.5, appendix A.2.
# --------------------------------------------------------------------------------------------------

SM3_VECTORS = {
    b"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    b"abcd" * 16: "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
}
PUBLISHED = Private(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)
POINT = bytes.fromhex(
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
MESSAGE = b"message digest"
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
HASHED = 0xF0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640


@pytest.mark.parametrize("content", SM3_VECTORS)
def test_sm3_is_that_of_the_standard(content: bytes) -> None:
    assert digest_of("sm3", content).hex() == SM3_VECTORS[content]
    hashed = HASHES["sm3"]()
    hashed.update(content[:1])
    assert (len(hashed.digest()), hashed.digest_size) == (32, 32)
    hashed.update(content[1:])
    assert hashed.digest().hex() == hashed.digest().hex() == SM3_VECTORS[content]


def public(own: Private) -> Sm2Key:
    read = read_key(own.key_info)
    assert isinstance(read, Sm2Key)
    return read


def test_the_published_signature_is_right() -> None:
    assert PUBLISHED.point == POINT
    assert PUBLISHED.hashed(MESSAGE) == HASHED
    found = public(PUBLISHED)
    assert found == Sm2Key(int.from_bytes(POINT[:32]), int.from_bytes(POINT[32:]))
    assert is_signed(MESSAGE, encode_dss_signature(R, S), METHOD, found) is True
    assert is_signed(MESSAGE + b".", encode_dss_signature(R, S), METHOD, found) is False
    assert is_signed(MESSAGE, encode_dss_signature(S, R), METHOD, found) is False


def test_a_signature_is_looked_at_in_no_time() -> None:
    found, signature = public(PUBLISHED), encode_dss_signature(R, S)
    begun = time.process_time()
    for _ in range(20):
        is_signed(MESSAGE, signature, METHOD, found)
    assert (time.process_time() - begun) / 20 < 0.02


def at_infinity(own: Private) -> bytes:
    """What makes the sum of the verification no point: s·G + (r + s)·own = 0."""
    r = own.hashed(MESSAGE) % N
    return encode_dss_signature(r, -r * own.number * pow(1 + own.number, -1, N) % N)


WRONG: dict[str, bytes] = {
    "r is 0": encode_dss_signature(0, S),
    "s is 0": encode_dss_signature(R, 0),
    "r is n": encode_dss_signature(N, S),
    "s is n": encode_dss_signature(R, N),
    "r again, beyond n": encode_dss_signature(R + N, S),
    "s again, beyond n": encode_dss_signature(R, S + N),
    "r and s cancel out": encode_dss_signature(R, N - R),
    "no point": at_infinity(PUBLISHED),
    "another signer's name": PUBLISHED.sign(MESSAGE, b"ALICE123@YAHOO.COM"),
    "another key": private(7).sign(MESSAGE),
    "as 64 bytes": R.to_bytes(32) + S.to_bytes(32),
    "bytes behind": encode_dss_signature(R, S) + b"\0",
    "a number longer than it is": b"\x30\x47\x02\x22\0\0" + encode_dss_signature(R, S)[5:],
    "a number below 0": b"\x30\x45\x02\x20" + encode_dss_signature(R, S)[5:],
    "huge": encode_dss_signature(1 << 400_000, S),
    "nothing": b"",
}


@pytest.mark.parametrize("signature", WRONG.values(), ids=WRONG)
def test_what_is_no_signature(signature: bytes) -> None:
    assert is_signed(MESSAGE, signature, METHOD, public(PUBLISHED)) is False


@pytest.mark.parametrize("r", [0, N - S], ids=["r is 0", "r and s cancel out"])
def test_what_fits_and_is_none_by_the_standard(r: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody finds a message with such a hash, so the hash is given."""
    own = public(PUBLISHED)
    x = (G * (S + (r + S) * PUBLISHED.number)).x()
    monkeypatch.setattr(sm2, "_digest_for", lambda *_: (r - x) % N)
    assert is_signed(MESSAGE, encode_dss_signature(r, S), METHOD, own) is False


def test_the_same_sum_of_both_points() -> None:
    """The library adds a point to itself and to its opposite by other formulas."""
    for number in (1, 2, N - 2):
        own = Private(number)
        assert is_signed(MESSAGE, own.sign(MESSAGE), METHOD, public(own)) is True
        assert is_signed(MESSAGE, private(7).sign(MESSAGE), METHOD, public(own)) is False


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        (METHOD, None),
        (METHOD, "sha256"),
        (Method("sm2", None, None), "sm3"),
        (Method("sm2", None, None), "sha256"),
        (Method("sm2", None, None), None),
        (Method("sha256_ecdsa", "sha256", None), None),
    ],
    ids=str,
)
def test_methods_that_are_known(method: Method, digest: str | None) -> None:
    found = is_signed(MESSAGE, encode_dss_signature(R, S), method, public(PUBLISHED), digest)
    is_sm3 = (method.hash or digest) == "sm3"
    assert found is (True if is_sm3 else None)
    other = key("p256", 7).public_key()
    assert is_signed(MESSAGE, encode_dss_signature(R, S), method, other, digest) is not True
    assert Sm2().is_signed(MESSAGE, encode_dss_signature(R, S), METHOD, other, None) is None


def solved(x: int) -> int | None:
    """The y above x, if there is one: p is 3 modulo 4."""
    square = (x * x * x - 3 * x + G.curve().b()) % P
    y = pow(square, (P + 1) // 4, P)
    return y if y * y % P == square else None


SMALL, HEIGHT = next((x, y) for x in range(100) if (y := solved(x)))
"""A point whose x has a second form in 32 bytes, x + p."""
NO_KEYS: dict[str, bytes] = {
    "off the curve": KEY_INFO + POINT[:-1] + bytes([POINT[-1] ^ 1]),
    "of zeros": KEY_INFO + bytes(64),
    "x beyond p": KEY_INFO + (SMALL + P).to_bytes(32) + HEIGHT.to_bytes(32),
    "too short": KEY_INFO + POINT[:-1],
    "too long": KEY_INFO + POINT[:32] + b"\0" + POINT[32:],
    "a point alone": POINT,
    "compressed": bytes.fromhex("3039301306072a8648ce3d020106082a811ccf5501822d032200")
    + bytes([2 + POINT[-1] % 2])
    + POINT[:32],
    "infinity": bytes.fromhex("3019301306072a8648ce3d020106082a811ccf5501822d03020000"),
    "of P-256": key("p256", 7)
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "nothing": b"",
}


@pytest.mark.parametrize("key_info", NO_KEYS.values(), ids=NO_KEYS)
def test_what_is_no_key(key_info: bytes) -> None:
    assert read_key(key_info) is None


def test_the_point_with_two_forms_is_a_key_in_the_shorter_one() -> None:
    assert read_key(KEY_INFO + SMALL.to_bytes(32) + HEIGHT.to_bytes(32)) == Sm2Key(SMALL, HEIGHT)


# An authority
# --------------------------------------------------------------------------------------------------


def outcomes(token: bytes, trusted: Trust = TRUST, **beside: Any) -> dict[str, Outcome]:
    judged = judge_token(Stamp(token, **beside), IMPRINT_BYTES, trusted)
    return {check.name.removeprefix("token."): check.outcome for check in judged.checks}


ALL_RIGHT = dict.fromkeys(("form", "imprint", "signer", "signature", "chain"), PASSED)
FORMS: dict[str, Callable[[], bytes]] = {
    "SM2 with SM3": sm2_token,
    "SM2, the hash beside it": lambda: sm2_token(algorithm={"algorithm": "1.2.156.10197.1.301.1"}),
    "SM2, by its curve": lambda: sm2_token(algorithm={"algorithm": "1.2.156.10197.1.301"}),
    "in the form of GM/T 0010": lambda: in_chinese_form(sm2_token()),
}


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
def test_a_token_and_its_chain_are_judged(make: Callable[[], bytes]) -> None:
    token = make()
    parsed = parse_token(token)
    assert (parsed.signer.digest_algorithm, parsed.signer.certificate_ids[0].algorithm) == (
        "sm3",
        "sm3",
    )
    assert outcomes(token) == ALL_RIGHT | {"revocation": UNKNOWN}
    assert judge_token(Stamp(token), IMPRINT_BYTES, TRUST).is_proven
    assert outcomes(token, Trust())["chain"] is UNKNOWN
    found = recognise(token)
    assert (found.kind, found.content) == (Kind.TOKEN, token)


def test_a_token_in_the_form_of_gmt_0010_is_found_in_its_answer() -> None:
    token = in_chinese_form(sm2_token())
    answer = b"\x30\x82" + (len(token) + 5).to_bytes(2) + b"\x30\x03\x02\x01\x00" + token
    assert recognise(answer).content == token


BROKEN: dict[str, tuple[dict[str, Any], str, Outcome]] = {
    "by another key": ({"sign": lambda _, body: private(9).sign(body)}, "signature", FAILED),
    "under another name": (
        {"sign": lambda own, body: own.sign(body, b"TLSv1.3+GM+Cipher+Suite")},
        "signature",
        FAILED,
    ),
    "of other bytes": ({"sign": lambda own, body: own.sign(body + b".")}, "signature", FAILED),
    "by a key of P-256": (
        {"sign": lambda _, body: sign_ec("sha256")(key("p256", 7), body)},
        "signature",
        FAILED,
    ),
    "another content": ({"content_digest": lambda _: bytes(32)}, "signature", FAILED),
    "an encryption": ({"algorithm": {"algorithm": "1.2.156.10197.1.301.3"}}, "signature", UNKNOWN),
}


@pytest.mark.parametrize(("changes", "check", "outcome"), BROKEN.values(), ids=BROKEN)
def test_a_token_with_one_thing_wrong(
    changes: dict[str, Any], check: str, outcome: Outcome
) -> None:
    assert outcomes(sm2_token(**changes)) == ALL_RIGHT | {check: outcome, "revocation": UNKNOWN}


def test_a_chain_that_another_key_signed_leads_nowhere() -> None:
    impostor = Trust(tuple(trust(top(11))))
    assert outcomes(sm2_token(), impostor)["chain"] is UNKNOWN
    der = middle().der
    changed = der[:-1] + bytes([der[-1] ^ 1])
    assert outcomes(sm2_token(certificates=[signer().der, changed]))["chain"] is UNKNOWN


def test_a_certificate_with_no_point_for_a_key_vouches_for_nothing() -> None:
    der, point = middle().der, middle().key.point
    pointless = der.replace(point, bytes(64))
    read = read_certificate(pointless)
    assert read
    assert read.key is None
    assert outcomes(sm2_token(certificates=[signer().der, pointless]))["chain"] is UNKNOWN


@pytest.mark.parametrize("by", [None, responder], ids=["issuer", "delegate"])
@pytest.mark.parametrize("algorithm", [SM3, "sha1", "sha256"])
def test_ocsp_answers(algorithm: str, by: Callable[[], Issued] | None) -> None:
    charged = by and by()
    crls = (sm2_crl(top()),)
    answer = sm2_ocsp(signer(), middle(), charged, algorithm)
    assert outcomes(sm2_token(), crls=crls, ocsps=(answer,))["revocation"] is PASSED
    answer = sm2_ocsp(signer(), middle(), charged, algorithm, revoked=NOW)
    assert outcomes(sm2_token(), crls=crls, ocsps=(answer,))["revocation"] is FAILED
    forged = sm2_ocsp(signer(), middle(), signer(), algorithm)
    assert outcomes(sm2_token(), crls=crls, ocsps=(forged,))["revocation"] is UNKNOWN


def test_crls() -> None:
    crls = (sm2_crl(top()), sm2_crl(middle()))
    assert outcomes(sm2_token(), crls=crls)["revocation"] is PASSED
    crls = (sm2_crl(top()), sm2_crl(middle(), (signer(), NOW, ())))
    assert outcomes(sm2_token(), crls=crls)["revocation"] is FAILED
    crls = (sm2_crl(top()), sm2_crl(middle(), by=private(9)))
    assert outcomes(sm2_token(), crls=crls)["revocation"] is UNKNOWN


def test_a_file_by_its_sm3() -> None:
    token = parse_token(sm2_token(imprint=sm3(FILE), imprint_algorithm=SM3))
    assert token.imprint_algorithm == "sm3"
    report = verify_token(token, {"sm3": sm3(FILE)}, TRUST, NOW)
    assert (report.verdict, report.not_after) == (
        Verdict.VERIFIED,
        NOW + timedelta(seconds=2),
    )
    assert verify_token(token, {"sm3": sm3(b"")}, TRUST, NOW).verdict is Verdict.FAILED
    # In a proof the imprint is the root's own 32 bytes, under SHA-256.
    judged = judge_token(Stamp(token.der), sm3(FILE), TRUST)
    assert judged.checks[1].outcome is FAILED


def test_an_imprint_of_another_length_is_none() -> None:
    judged = judge_token(
        Stamp(sm2_token(imprint=bytes(48), imprint_algorithm=SM3)), bytes(48), TRUST, "sm3"
    )
    assert judged.checks[0].outcome is FAILED


def test_a_token_over_sm3_is_asked_for() -> None:
    request = tsp.TimeStampReq.load(format_request(sm3(FILE), 42, algorithm="sm3"), strict=True)
    named = request["message_imprint"]["hash_algorithm"]["algorithm"]
    assert (named.dotted, hash_id("sm3"), hash_id("sha256")) == (SM3, SM3, "sha256")
    token = sm2_token(imprint=sm3(FILE), imprint_algorithm=SM3)
    answer = b"\x30\x82" + (len(token) + 5).to_bytes(2) + b"\x30\x03\x02\x01\x00" + token
    assert check_response(answer, sm3(FILE), 42, algorithm="sm3").der == token


def test_sm2_and_sm3_have_no_end_but_may_be_given_one() -> None:
    methods = (*methods_of_key(public(PUBLISHED)), *hashes_of(METHOD))
    assert methods == ("sm2", "sm3")
    assert ended(methods, NOW.replace(year=2099)) is None
    assert ended(methods, NOW, {**ENDS, "sm3": NOW}) == ("sm3", NOW)
    assert ended(methods, NOW, {**ENDS, "sm2": NOW}) == ("sm2", NOW)


# What is missing
# --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """What is remembered of certificates and of what is installed would outlive a test."""
    yield
    for each in (sm2._generator, sm2._hashes, _is_signed_by):
        each.cache_clear()


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "ecdsa"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ecdsa", None)
    sm2._generator.cache_clear()
    _is_signed_by.cache_clear()


LINE = 'pip install "witnesstree[sm2]"'


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_the_line_to_type_is_said() -> None:
    assert lacking(METHOD) == lacking(Method("sm2", None, None)) == EXTRA
    assert lacking(Method("sha256_ecdsa", "sha256", None)) is None
    token, beside = sm2_token(), {"crls": (sm2_crl(middle()),)}
    assert outcomes(token, **beside) == ALL_RIGHT | {
        "signature": UNKNOWN,
        "chain": UNKNOWN,
        "revocation": UNKNOWN,
    }
    judged = judge_token(Stamp(token), IMPRINT_BYTES, TRUST)
    for check in judged.checks[3:5]:
        assert LINE in check.reason
        assert LINE in worded(check.message, CHINESE)
    report = verify_token(parse_token(token), {"sha256": IMPRINT_BYTES}, TRUST, NOW)
    assert report.verdict is Verdict.UNDECIDED


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_a_list_counts_for_nothing() -> None:
    source = RevocationSource(signer().der, middle().der, (), ())
    with pytest.raises(BadAnswer) as raised:
        check_crl(sm2_crl(middle()), source, NOW)
    assert LINE in str(raised.value)


def test_with_the_extra_nothing_is_missing() -> None:
    assert lacking(METHOD) is None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_command_line_says_the_line_to_type(
    language: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    file, token, root = tmp_path / "file", tmp_path / "token", tmp_path / "root"
    file.write_bytes(FILE)
    token.write_bytes(sm2_token(imprint=sm3(FILE), imprint_algorithm=SM3))
    root.write_bytes(top().der)
    asked = ("--lang", language, "verify", file, "--proof", token, "--trust", root)
    ran = call(*asked)
    assert (ran.code, LINE in ran.text) == (0, False)
    request.getfixturevalue("without_extra")
    ran = call(*asked)
    assert (ran.code, LINE in ran.text) == (4, True)
    assert lacking(METHOD) == EXTRA


def test_a_cryptography_without_sm3_leaves_all_of_it_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: Any) -> Any:
        raise UnsupportedAlgorithm("not in this build")

    monkeypatch.setattr(hashes, "Hash", refused)
    sm2._hashes.cache_clear()
    assert "sm3" not in HASHES
    assert is_signed(MESSAGE, encode_dss_signature(R, S), METHOD, public(PUBLISHED)) is None
