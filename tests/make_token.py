"""Tokens that are right, or wrong in exactly one way, made field by field, under certificates made
to measure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from asn1crypto import cms, keys, tsp
from asn1crypto import x509 as asn1_x509
from Crypto.Util import number
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.trust import TrustedRoot

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
IMPRINT_BYTES = hashlib.sha256(b"a root").digest()
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING


CURVES: dict[str, type[Any]] = {
    "p192": ec.SECP192R1,
    "p224": ec.SECP224R1,
    "p256": ec.SECP256R1,
    "p384": ec.SECP384R1,
    "p521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
    "brainpool": ec.BrainpoolP256R1,
    "brainpool384": ec.BrainpoolP384R1,
    "brainpool512": ec.BrainpoolP512R1,
}


@cache
def key(kind: str, which: int = 0) -> Any:
    """A key of this kind, another for each number: "rsa" has 2048 bits, "rsa512" has 512."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind.startswith("rsa"):
        return _rsa_of(int(kind.removeprefix("rsa")))
    if kind == "dsa":
        return dsa.generate_private_key(2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(CURVES[kind]())


def _rsa_of(bits: int) -> rsa.RSAPrivateKey:
    """A key of any length: cryptography makes none that are short, and long ones far faster."""
    if bits >= 1024:
        return rsa.generate_private_key(65537, bits)
    while True:
        p, q = number.getPrime(bits // 2), number.getPrime(bits // 2)
        n, order = p * q, (p - 1) * (q - 1)
        if n.bit_length() == bits and order % 65537:
            break
    d = pow(65537, -1, order)
    public = rsa.RSAPublicNumbers(65537, n)
    parts = p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p)
    return rsa.RSAPrivateNumbers(*parts, public).private_key()


def usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
        " key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names.split()})


CA = ((x509.BasicConstraints(ca=True, path_length=None), True), (usage(key_cert_sign=True), True))
STAMPS = ((x509.ExtendedKeyUsage([TIME_STAMPING]), True),)


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def fields(self) -> Any:
        return asn1_x509.Certificate.load(self.der)["tbs_certificate"]


def issue(
    name: str | x509.Name,
    issuer: Issued | None,
    own_key: Any,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    *,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=1),
    digest: hashes.HashAlgorithm | None = None,
    pss: padding.PSS | None = None,
    issuer_name: x509.Name | None = None,
) -> Issued:
    subject = name if isinstance(name, x509.Name) else named(name)
    above = issuer_name or (issuer.certificate.subject if issuer else subject)
    signing = issuer.key if issuer else own_key
    builder = x509.CertificateBuilder(
        above, subject, own_key.public_key(), x509.random_serial_number(), start, end
    )
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), critical=False
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    is_edwards = isinstance(signing, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    algorithm = None if is_edwards else digest or hashes.SHA256()
    return Issued(builder.sign(signing, algorithm, rsa_padding=pss), own_key)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def remade(
    issued: Issued,
    issuer: Issued,
    change: Callable[[Any], None] = lambda fields: None,
    algorithm: Any = None,
    sign: Callable[[Any, bytes], bytes] | None = None,
) -> Issued:
    """The certificate with `change` applied to its TBSCertificate, signed anew: by default with an
    EC key and SHA-256."""
    whole = asn1_x509.Certificate.load(issued.der)
    fields = whole["tbs_certificate"]
    algorithm = algorithm or {"algorithm": "sha256_ecdsa"}
    fields["signature"] = algorithm
    change(fields)
    body = fields.dump(force=True)
    made = {
        "tbs_certificate": asn1_x509.TbsCertificate.load(body),
        "signature_algorithm": algorithm,
        "signature_value": (sign or sign_ec("sha256"))(issuer.key, body),
    }
    der = asn1_x509.Certificate(made).dump()
    return Issued(x509.load_der_x509_certificate(der), issued.key)


def with_pss_key(fields: Any, parameters: Any = None) -> None:
    """Make the subject's key one for RSASSA-PSS alone (RFC 4055, 1.2)."""
    info = fields["subject_public_key_info"]
    value = {"algorithm": "rsassa_pss"}
    if parameters is not None:
        value["parameters"] = parameters
    info["algorithm"] = keys.PublicKeyAlgorithm(value)


@cache
def root() -> Issued:
    return issue("A root", None, key("p256"), CA)


@cache
def stamper(kind: str = "rsa") -> Issued:
    return issue(f"An authority ({kind})", root(), key(kind, 1), STAMPS)


def trust(*issued: Issued, assurance: Assurance = Assurance.PRIVATE) -> list[TrustedRoot]:
    return [TrustedRoot(each.der, "a file", assurance) for each in issued]


def attribute(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "values": [value]}


def named_v2(issued: Issued, **more: Any) -> dict[str, Any]:
    return attribute(
        "signing_certificate_v2",
        {"certs": [{"cert_hash": hashlib.sha256(issued.der).digest(), **more}]},
    )


def named_v1(issued: Issued) -> dict[str, Any]:
    return attribute(
        "signing_certificate", {"certs": [{"cert_hash": hashlib.sha1(issued.der).digest()}]}
    )


def issuer_serial(issued: Issued, serial: int | None = None) -> dict[str, Any]:
    name = asn1_x509.GeneralName(name="directory_name", value=issued.fields["issuer"])
    return {
        "issuer": [name],
        "serial_number": serial if serial is not None else issued.certificate.serial_number,
    }


def sid(issued: Issued, *, by_key: bool = False) -> cms.SignerIdentifier:
    if by_key:
        identifier = x509.SubjectKeyIdentifier.from_public_key(
            issued.certificate.public_key()
        ).digest
        return cms.SignerIdentifier(name="subject_key_identifier", value=identifier)
    value = {"issuer": issued.fields["issuer"], "serial_number": issued.certificate.serial_number}
    return cms.SignerIdentifier(name="issuer_and_serial_number", value=value)


def stamped(**changes: Any) -> dict[str, Any]:
    fields = {
        "version": "v1",
        "policy": "1.2.3",
        "message_imprint": {
            "hash_algorithm": {"algorithm": "sha256"},
            "hashed_message": IMPRINT_BYTES,
        },
        "serial_number": 7,
        "gen_time": NOW,
        "accuracy": {"seconds": 1, "millis": 500},
        "nonce": 42,
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def sign_pkcs1(name: str = "sha256") -> Callable[[Any, bytes], bytes]:
    return lambda private, content: private.sign(
        content, padding.PKCS1v15(), getattr(hashes, name.upper())()
    )


def sign_ec(name: str) -> Callable[[Any, bytes], bytes]:
    return lambda private, content: private.sign(content, ec.ECDSA(getattr(hashes, name.upper())()))


def sign_pss(private: Any, content: bytes) -> bytes:
    return bytes(
        private.sign(content, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    )


def sign_ed25519(private: Any, content: bytes) -> bytes:
    return bytes(private.sign(content))


PSS = {
    "algorithm": "rsassa_pss",
    "parameters": {
        "hash_algorithm": {"algorithm": "sha256"},
        "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha256"}},
        "salt_length": 32,
    },
}


def digest_of(name: str, content: bytes) -> bytes:
    if name == "shake256":
        return hashlib.shake_256(content).digest(64)
    return hashlib.new(name, content).digest()


@dataclass
class Forge:
    """Makes a token; what is not set is right."""

    signer: Issued = field(default_factory=stamper)
    content: bytes = field(default_factory=lambda: tsp.TSTInfo(stamped()).dump())
    carried: bytes | None = None
    certificates: list[bytes] | None = None
    digest: Any = "sha256"
    algorithm: Any = field(default_factory=lambda: {"algorithm": "rsassa_pkcs1v15"})
    sign: Callable[[Any, bytes], bytes] = field(default_factory=sign_pkcs1)
    attributes: list[dict[str, Any]] | None = None
    names: list[dict[str, Any]] | None = None
    sid: cms.SignerIdentifier | None = None
    signers: int = 1
    content_type: str = "tst_info"

    def make(self) -> bytes:
        names = self.names if self.names is not None else [named_v2(self.signer)]
        attributes = self.attributes
        if attributes is None:
            digest = digest_of(self.digest, self.content)
            attributes = [
                attribute("content_type", "tst_info"),
                attribute("message_digest", digest),
                *names,
            ]
        signed_attributes = cms.CMSAttributes(attributes)
        info = {
            "version": "v1",
            "sid": self.sid or sid(self.signer),
            "digest_algorithm": {"algorithm": self.digest},
            "signed_attrs": signed_attributes,
            "signature_algorithm": self.algorithm,
            "signature": self.sign(self.signer.key, signed_attributes.dump()),
        }
        carried = self.carried if self.carried is not None else self.content
        certificates = [self.signer.der] if self.certificates is None else self.certificates
        data = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": self.digest}],
            "encap_content_info": {
                "content_type": self.content_type,
                "content": cms.ParsableOctetString(carried),
            },
            "signer_infos": [cms.SignerInfo(info) for _ in range(self.signers)],
        }
        if certificates:
            data["certificates"] = [asn1_x509.Certificate.load(der) for der in certificates]
        return bytes(
            cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(data)}).dump()
        )
