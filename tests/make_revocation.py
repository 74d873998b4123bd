"""CRLs and OCSP answers that are right, or wrong in exactly one way, under the certificates of
make_token.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from asn1crypto import core
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from make_token import CA, NOW, STAMPS, Issued, issue, key, usage

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OCSP_URL, CRL_URL, ISSUER_URL = (
    "http://ocsp.example/",
    "http://crl.example/a.crl",
    "http://issuer.example/ca.cer",
)
SIGNS_ALL = (
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (usage(key_cert_sign=True, crl_sign=True), True),
)
"""The extensions of an authority that may sign certificates and CRLs."""
ANSWERS = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
Change = Callable[[Any], bytes | None]


def access(method: Any, url: str) -> x509.AccessDescription:
    return x509.AccessDescription(method, x509.UniformResourceIdentifier(url))


def points(*urls: str) -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints(
        [
            x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
            for url in urls
        ]
    )


PLACES: tuple[tuple[Any, bool], ...] = (
    (
        x509.AuthorityInformationAccess(
            [
                access(AuthorityInformationAccessOID.OCSP, OCSP_URL),
                access(AuthorityInformationAccessOID.CA_ISSUERS, ISSUER_URL),
            ]
        ),
        False,
    ),
    (points(CRL_URL), False),
)
"""The extensions that say where revocation can be asked for."""


@cache
def top() -> Issued:
    return issue("The root", None, key("p256", 60), SIGNS_ALL)


@cache
def middle() -> Issued:
    return issue("In between", top(), key("p384", 61), (*SIGNS_ALL, *PLACES))


@cache
def signer() -> Issued:
    return issue("The signer", middle(), key("rsa", 62), (*STAMPS, *PLACES))


@cache
def chainless() -> Issued:
    """An authority that may not sign CRLs."""
    return issue("May not", None, key("p256", 63), CA)


def make_crl(
    issuer: Issued,
    *revoked: tuple[Issued, datetime, Sequence[tuple[Any, bool]]],
    this: datetime = NOW - HOUR,
    until: datetime = NOW + DAY,
    extensions: Sequence[tuple[Any, bool]] = (),
    signer_key: Any = None,
) -> bytes:
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, this, until)
    for issued, time, about in revoked:
        entry = x509.RevokedCertificateBuilder(issued.certificate.serial_number, time)
        for extension, is_critical in about:
            entry = entry.add_extension(extension, is_critical)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(signer_key or issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def make_ocsp(
    issued: Issued,
    issuer: Issued,
    *,
    revoked: datetime | None = None,
    reason: x509.ReasonFlags | None = None,
    status: ocsp.OCSPCertStatus | None = None,
    this: datetime = NOW,
    until: datetime | None = None,
    responder: Issued | None = None,
    certificates: Sequence[Issued] | None = None,
    hash_id: Any = None,
    hash_signature: Any = None,
) -> bytes:
    status = status or (ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD)
    by = responder or issuer
    carried = certificates if certificates is not None else ([responder] if responder else [])
    builder = ocsp.OCSPResponseBuilder().add_response(
        issued.certificate,
        issuer.certificate,
        hash_id or hashes.SHA1(),
        status,
        this,
        until,
        revoked,
        reason,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    if carried:
        builder = builder.certificates([each.certificate for each in carried])
    der = builder.sign(by.key, hash_signature or hashes.SHA256()).public_bytes(Encoding.DER)
    # The builder takes the time at which the answer was made from the clock.
    return (
        der
        if hash_signature
        else changed_ocsp(der, by.key, lambda content: content.__setitem__("produced_at", NOW))
    )


def changed_ocsp(der: bytes, signer_key: Any, change: Change) -> bytes:
    """Return the OCSP answer with `change` applied to its ResponseData, or with what that returns
    in its place, signed anew with an EC key."""
    outer = asn1_ocsp.OCSPResponse.load(der)
    basic = outer["response_bytes"]["response"].parsed
    content = basic["tbs_response_data"]
    body = change(content) or content.dump(force=True)
    made = {
        "tbs_response_data": asn1_ocsp.ResponseData.load(body),
        "signature_algorithm": {"algorithm": "sha256_ecdsa"},
        "signature": signer_key.sign(body, ec.ECDSA(hashes.SHA256())),
    }
    if len(basic["certs"]):
        made["certs"] = basic["certs"]
    return wrapped(asn1_ocsp.BasicOCSPResponse(made).dump())


def wrapped(basic: bytes, status: str = "successful") -> bytes:
    """Return the OCSPResponse that holds the BasicOCSPResponse `basic`."""
    body = {"response_type": "basic_ocsp_response", "response": core.ParsableOctetString(basic)}
    return bytes(asn1_ocsp.OCSPResponse({"response_status": status, "response_bytes": body}).dump())


def wrap(tag: int, content: bytes) -> bytes:
    """Return the DER of `content` under `tag`."""
    size = (len(content).bit_length() + 7) // 8
    length = (
        bytes([len(content)])
        if len(content) < 128
        else bytes([0x80 | size]) + len(content).to_bytes(size, "big")
    )
    return bytes([tag]) + length + content
