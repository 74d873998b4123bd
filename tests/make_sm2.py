"""An authority that signs with SM2: its certificates, and what they sign, right or wrong in one
way. Test data only: its numbers are no secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import new
from random import Random
from typing import Any

from asn1crypto import algos, core, crl, keys, ocsp, tsp
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from ecdsa.ellipticcurve import CurveFp, PointJacobi
from make_revocation import ANSWERS, SIGNS_ALL, make_crl, wrap, wrapped
from make_token import (
    IMPRINT_BYTES,
    NOW,
    STAMPS,
    Forge,
    Issued,
    attribute,
    issue,
    key,
    remade,
    stamped,
)

from witnesstree.ledger.tokens.sm2 import Sm3

SM3, SIGNS = "1.2.156.10197.1.401", "1.2.156.10197.1.501"
"""Object identifiers of GM/T 0006: SM3, and SM2 with it."""
SIGNER = b"1234567812345678"
P = int("fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff", 16)
A = P - 3
B = int("28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93", 16)
N = int("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123", 16)
X = int("32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7", 16)
Y = int("bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0", 16)
G = PointJacobi(CurveFp(P, A, B, 1), X, Y, 1, N)
KEY_INFO = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


def sm3(content: bytes) -> bytes:
    hashed = Sm3()
    hashed.update(content)
    return hashed.digest()


@dataclass(frozen=True)
class Private:
    """A private key (GB/T 32918.2, 6)."""

    number: int

    @property
    def point(self) -> bytes:
        at = (G * self.number).to_affine()
        return bytes(at.x().to_bytes(32) + at.y().to_bytes(32))

    @property
    def key_info(self) -> bytes:
        return KEY_INFO + self.point

    def hashed(self, content: bytes, signer: bytes = SIGNER) -> int:
        curve = b"".join(each.to_bytes(32) for each in (A, B, X, Y))
        named = sm3((8 * len(signer)).to_bytes(2) + signer + curve + self.point)
        return int.from_bytes(sm3(named + content))

    def pair(self, content: bytes, signer: bytes = SIGNER) -> tuple[int, int]:
        k = Random(content).randrange(1, N)
        r = (self.hashed(content, signer) + (G * k).x()) % N
        return r, pow(1 + self.number, -1, N) * (k - r * self.number) % N

    def sign(self, content: bytes, signer: bytes = SIGNER) -> bytes:
        return encode_dss_signature(*self.pair(content, signer))


@cache
def private(which: int) -> Private:
    return Private(Random(which).randrange(1, N - 1))


def with_sm2(issued: Issued, issuer: Issued | None, own: Private) -> Issued:
    """The certificate with an SM2 key, signed by its issuer or by itself."""

    def change(fields: Any) -> None:
        fields["subject_public_key_info"] = keys.PublicKeyInfo.load(own.key_info)

    by = issuer.key if issuer else own
    made = remade(issued, issued, change, {"algorithm": SIGNS}, lambda _, body: by.sign(body))
    return Issued(made.certificate, own)


@cache
def top(which: int = 1) -> Issued:
    return with_sm2(issue("SM2 root", None, key("p256", 900), SIGNS_ALL), None, private(which))


@cache
def middle() -> Issued:
    plain = issue("SM2 between", _plain("SM2 root"), key("p256", 902), SIGNS_ALL)
    return with_sm2(plain, top(), private(2))


@cache
def signer() -> Issued:
    plain = issue("SM2 signer", _plain("SM2 between"), key("p256", 903), STAMPS)
    return with_sm2(plain, middle(), private(3))


@cache
def responder() -> Issued:
    plain = issue("SM2 responder", _plain("SM2 between"), key("p256", 904), (ANSWERS,))
    return with_sm2(plain, middle(), private(4))


@cache
def _plain(name: str) -> Issued:
    """An issuer of this name, whose signatures are replaced."""
    return issue(name, None, key("p256", 901), SIGNS_ALL)


def sm2_token(
    by: Issued | None = None,
    *,
    imprint: bytes = IMPRINT_BYTES,
    imprint_algorithm: str = "sha256",
    content_digest: Callable[[bytes], bytes] = sm3,
    sign: Callable[[Any, bytes], bytes] | None = None,
    **changes: Any,
) -> bytes:
    """A token whose digests are all SM3 but for its imprint."""
    by = by or signer()
    hashed = {"hash_algorithm": {"algorithm": imprint_algorithm}, "hashed_message": imprint}
    content = tsp.TSTInfo(stamped(message_imprint=hashed)).dump()
    named = {"hash_algorithm": {"algorithm": SM3}, "cert_hash": sm3(by.der)}
    forge = Forge(
        signer=by,
        content=content,
        certificates=[by.der, middle().der],
        digest=SM3,
        algorithm={"algorithm": SIGNS},
        sign=sign or (lambda own, signed: own.sign(signed)),
        attributes=[
            attribute("content_type", "tst_info"),
            attribute("message_digest", content_digest(content)),
            attribute("signing_certificate_v2", {"certs": [named]}),
        ],
    )
    for name, value in changes.items():
        setattr(forge, name, value)
    return forge.make()


def in_chinese_form(token: bytes) -> bytes:
    """The token as signedData of GM/T 0010 in place of PKCS #7's."""
    usual, theirs = bytes.fromhex("06092a864886f70d010702"), "060a2a811ccf550601040202"
    start = token.index(usual)
    return wrap(0x30, bytes.fromhex(theirs) + token[start + len(usual) :])


def sm2_crl(issuer: Issued, *revoked: Any, by: Private | None = None) -> bytes:
    made = crl.CertificateList.load(make_crl(issuer, *revoked, signer_key=key("p256", 901)))
    listed = made["tbs_cert_list"]
    listed["signature"] = {"algorithm": SIGNS}
    return _signed(listed.dump(force=True), by or issuer.key)


def sm2_ocsp(
    issued: Issued,
    issuer: Issued,
    by: Issued | None = None,
    algorithm: str = SM3,
    revoked: datetime | None = None,
) -> bytes:
    """An answer by `by`, or the issuer; the certificate in it is named by `algorithm`."""
    take = sm3 if algorithm == SM3 else lambda content: new(algorithm, content).digest()
    state = {"name": "good", "value": ocsp.StatusGood()}
    if revoked:
        state = {"name": "revoked", "value": ocsp.RevokedInfo({"revocation_time": revoked})}
    named = {
        "hash_algorithm": {"algorithm": algorithm},
        "issuer_name_hash": take(issued.fields["issuer"].dump()),
        "issuer_key_hash": take(b"\x04" + issuer.key.point),
        "serial_number": issued.certificate.serial_number,
    }
    answers = [{"cert_id": named, "cert_status": ocsp.CertStatus(**state), "this_update": NOW}]
    told = ocsp.ResponderId("by_key", core.OctetString(bytes(20)))
    body = ocsp.ResponseData({"responder_id": told, "produced_at": NOW, "responses": answers})
    carried = wrap(0xA0, wrap(0x30, by.der)) if by else b""
    return wrapped(_signed(body.dump(), (by or issuer).key, carried))


def _signed(body: bytes, by: Private, beside: bytes = b"") -> bytes:
    method = algos.SignedDigestAlgorithm({"algorithm": SIGNS}).dump()
    return wrap(0x30, body + method + wrap(0x03, b"\0" + by.sign(body)) + beside)
