"""RFC 3161 messages as values: parses tokens and answers, and judges tokens. Pure and offline; no other module does it.

    TimeStampToken = ContentInfo{ SignedData{ TSTInfo, certificates, one SignerInfo{ signed attributes, signature } } }

`parse_token` says what a token claims, `judge_token` says which of the claims hold. asn1crypto reads lazily and raises what it
likes, so nothing but `reading` touches its values; cryptography checks signatures and builds chains.
docs/decisions/0006-timestamp-tokens.md says why, and what is not judged yet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from witnesstree.ledger.clock import format_time
from witnesstree.ledger.errors import BadAnswer, InvalidInput
from witnesstree.ledger.report import Check, Outcome

if TYPE_CHECKING:
    from witnesstree.ledger.trust import Assurance, TrustedRoot

# Bytes. A token with its chain takes 2 to 8 KiB; some carry revocation lists. What is larger is not a token that we could have asked for.
MAX_TOKEN = 64 * 1024
# Bytes: the token, and a status with a sentence or two.
MAX_RESPONSE = MAX_TOKEN + 4 * 1024
# A chain has two to five; the rest is there to make us work.
MAX_CERTIFICATES = 16
# Certificates between the signer and the root.
MAX_INTERMEDIATES = 8
# Values in values: a token with its certificates needs about 15.
MAX_DEPTH = 40
# Bytes. Decoding an object identifier takes time that grows with its square.
MAX_OID = 64
# An authority that does not know its time to a day says nothing that an evidence could use.
MAX_ACCURACY = timedelta(days=1)
# Characters of a name from a token or certificate that are shown to a person.
MAX_SHOWN = 120

# RFC 3161, 2.4.2: with seconds, and ends in Z. Trailing zeros, which it forbids, do no harm and occur.
_GENERALIZED_TIME = re.compile(rb"(\d{14})(?:\.(\d{1,12}))?Z")

_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
# RFC 5035, 4: the first form of the attribute knows only SHA-1. It merely picks a certificate, which then has to fit the signature and a root.
_CERTIFICATE_HASHES = frozenset({"sha1", *_HASHES})
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# Bytes; a salt is as long as the hash, and no RSA key has room for more than this.
MAX_SALT = 512
# What cryptography.x509.verification accounts for by itself.
_JUDGED_EXTENSIONS = frozenset({"basic_constraints", "key_usage", "extended_key_usage", "subject_alt_name"})
# What cryptography puts before the rule that was broken.
_PREFIXES = ("validation failed: ", "candidates exhausted: ", "Python extension validator failed: ", "ValueError: ")
_Value = TypeVar("_Value")

FORM, IMPRINT, SIGNER, SIGNATURE, CHAIN = "token.form", "token.imprint", "token.signer", "token.signature", "token.chain"


@dataclass(frozen=True, slots=True)
class CertificateId:
    """The name that a signer gives its certificate: ESSCertID or ESSCertIDv2 (RFC 5035, 3 and 4)."""

    algorithm: str
    digest: bytes
    issuer: bytes | None
    serial: int | None


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """What a token says of its signature (RFC 5652, 5.3): claims, nothing more.

    Algorithms are "sha256" where asn1crypto knows a name and a dotted OID where it does not. `pss` is (hash, mask hash, salt length in bytes).
    """

    issuer: bytes | None
    serial: int | None
    key_id: bytes | None
    digest_algorithm: str
    signature_algorithm: str
    signature_hash: str | None
    pss: tuple[str, str, int] | None
    attributes: bytes
    content_type: str | None
    message_digest: bytes | None
    certificate_ids: tuple[CertificateId, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Token:
    """A TimeStampToken (RFC 3161, 2.4.2) as it stands. That it parsed proves nothing: see `judge_token`.

    `content` is the TSTInfo's DER, `certificates` are the embedded ones, unread; `accuracy` is zero where the token gives none.
    """

    der: bytes
    imprint_algorithm: str
    imprint: bytes
    gen_time: datetime
    accuracy: timedelta
    serial: int
    policy: str
    nonce: int | None
    tsa: str | None
    content: bytes
    certificates: tuple[bytes, ...]
    signer: SignerInfo


@dataclass(frozen=True, slots=True)
class TokenJudgement:
    """The five checks of one token, in the order of their names in this module's constants.

    `token` is None if it did not parse. `root` is where the chain ended, None unless that check passed; on its own it does not say that the
    others did, so ask `is_proven` before `gen_time` or `assurance` count for anything.
    """

    checks: tuple[Check, ...]
    token: Token | None
    root: TrustedRoot | None

    @property
    def is_proven(self) -> bool:
        """Whether every check passed."""
        return bool(self.checks) and all(check.outcome is Outcome.PASSED for check in self.checks)

    @property
    def gen_time(self) -> datetime | None:
        """The time that the token claims, UTC."""
        return self.token.gen_time if self.token else None

    @property
    def accuracy(self) -> timedelta | None:
        """How far the true time may be from `gen_time`, either way."""
        return self.token.accuracy if self.token else None

    @property
    def assurance(self) -> Assurance | None:
        """What the root that was reached is worth."""
        return self.root.assurance if self.root else None


class TimeStampResp(core.Sequence):  # type: ignore[misc]
    """RFC 3161, 2.4.2. asn1crypto's own demands a token, and a refusal has none."""

    _fields = [("status", tsp.PKIStatusInfo), ("time_stamp_token", cms.ContentInfo, {"optional": True})]  # noqa: RUF012


# Parsing ------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Translate whatever asn1crypto raises while its lazy values are read.

    Raises InvalidInput.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise InvalidInput(f"this is not {what}") from error


def demand_der(der: bytes) -> None:
    """Check the skeleton of `der`: definite and shortest lengths, each value inside its parent, at most MAX_DEPTH deep (X.690, 10).

    asn1crypto reads BER too, and recurses; RFC 3161, 3 promises DER. This does not look into OCTET STRINGs and says nothing about types.

    Raises InvalidInput.
    """
    at, ends = 0, [len(der)]
    while ends:
        if at == ends[-1]:
            ends.pop()
            continue
        tag = der[at]
        at, length = _read_length(der, at + 1)
        is_constructed = bool(tag & 0x20)
        # SEQUENCE and SET are always constructed, every other universal type never (X.690, 8 and 10.2).
        is_odd = tag & 0x1F == 0x1F or (tag < 0x40 and is_constructed != (tag & 0x1F in {16, 17}))
        is_too_long = at + length > ends[-1] or (tag == 0x06 and length > MAX_OID)
        if is_odd or is_too_long or len(ends) > MAX_DEPTH:
            raise InvalidInput(f"byte {at} is not DER (X.690, 10)")
        if is_constructed:
            ends.append(at + length)
        else:
            at += length


def _read_length(der: bytes, at: int) -> tuple[int, int]:
    """Return where the value starts whose length octets stand at `at`, and how many bytes it has."""
    first = der[at] if at < len(der) else 0x80
    if first < 0x80:
        return at + 1, first
    size = first & 0x7F
    octets = der[at + 1 : at + 1 + size]
    length = int.from_bytes(octets, "big")
    if not 1 <= size <= 4 or len(octets) < size or octets[0] == 0 or length < 0x80:
        raise InvalidInput(f"byte {at} is not DER (X.690, 10)")
    return at + 1 + size, length


def parse_token(der: bytes) -> Token:
    """Return what a TimeStampToken of at most MAX_TOKEN bytes claims.

    Demands the form of RFC 3161, 2.4.2: one signer, signed attributes, TSTInfo version 1, no critical extension. Certificates stay unread.

    Raises InvalidInput.
    """
    if len(der) > MAX_TOKEN:
        raise InvalidInput(f"a timestamp token of {len(der)} bytes is too large, the limit is {MAX_TOKEN}")
    demand_der(der)
    with reading("a timestamp token (RFC 3161, 2.4.2)"):
        return _read_token(der)


def _read_token(der: bytes) -> Token:
    info = cms.ContentInfo.load(der, strict=True)
    if info["content_type"].native != "signed_data":
        raise InvalidInput("a timestamp token is CMS signed data, and this is not (RFC 3161, 2.4.2)")
    signed = info["content"]
    # Read anew, because asn1crypto takes another type for it where the version is 1.
    encapsulated = cms.EncapsulatedContentInfo.load(signed["encap_content_info"].dump(), strict=True)
    if encapsulated["content_type"].native != "tst_info":
        raise InvalidInput("the signed content is not a TSTInfo (RFC 3161, 2.4.2)")
    if len(signed["signer_infos"]) != 1:
        raise InvalidInput("a timestamp token has exactly one signer (RFC 3161, 2.4.2)")
    content = bytes(encapsulated["content"])
    demand_der(content)
    stamped = tsp.TSTInfo.load(content, strict=True)
    if stamped["version"].native != "v1":
        raise InvalidInput("the TSTInfo is not of version 1 (RFC 3161, 2.4.2)")
    if any(extension["critical"].native for extension in stamped["extensions"]):
        raise InvalidInput("the TSTInfo has a critical extension, and no such extension is known here")
    algorithm, imprint = _read_imprint(stamped["message_imprint"])
    return Token(
        der=der,
        imprint_algorithm=algorithm,
        imprint=imprint,
        gen_time=_read_time(stamped["gen_time"].contents),
        accuracy=_read_accuracy(stamped["accuracy"]),
        serial=stamped["serial_number"].native,
        policy=stamped["policy"].dotted,
        nonce=stamped["nonce"].native,
        tsa=_read_name(stamped["tsa"]),
        content=content,
        certificates=_read_certificates(signed["certificates"]),
        signer=_read_signer(signed["signer_infos"][0]),
    )


def _read_imprint(imprint: Any) -> tuple[str, bytes]:
    algorithm = imprint["hash_algorithm"]["algorithm"].native
    digest = bytes(imprint["hashed_message"])
    if algorithm in _HASHES and len(digest) != _HASHES[algorithm]().digest_size:
        raise InvalidInput("the imprint is not as long as its algorithm makes it (RFC 3161, 2.4.1)")
    return algorithm, digest


def _read_time(text: bytes) -> datetime:
    match = _GENERALIZED_TIME.fullmatch(text)
    if not match:
        raise InvalidInput("the time is not of the form that RFC 3161, 2.4.2 demands")
    seconds = datetime.strptime(match[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    # What is finer than a microsecond is cut off.
    return seconds.replace(microsecond=int((match[2] or b"0").ljust(6, b"0")[:6]))


def _read_accuracy(accuracy: Any) -> timedelta:
    if isinstance(accuracy, core.Void):
        return timedelta()
    seconds, millis, micros = (accuracy[part].native for part in ("seconds", "millis", "micros"))
    found = timedelta(seconds=seconds or 0, milliseconds=millis or 0, microseconds=micros or 0)
    is_odd = any(part is not None and not 0 <= part <= 999 for part in (millis, micros))
    if is_odd or (seconds is not None and seconds < 0) or found > MAX_ACCURACY:
        raise InvalidInput("the accuracy is not one that RFC 3161, 2.4.2 allows, or worse than a day")
    return found


def _read_name(name: Any) -> str | None:
    if isinstance(name, core.Void):
        return None
    if name.name != "directory_name":
        return shown(str(name.chosen.native))
    return _spoken(name.chosen)


def _spoken(name: Any) -> str:
    """Return what people call the bearer of an X.500 name: its common name, or else all of it."""
    return shown(str(name.native.get("common_name") or name.human_friendly))


def shown(text: str) -> str:
    """Return a name from outside so that it can stand in one line: no control characters, at most MAX_SHOWN characters."""
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_SHOWN])


def _read_certificates(certificates: Any) -> tuple[bytes, ...]:
    if len(certificates) > MAX_CERTIFICATES:
        raise InvalidInput(f"the token carries more than {MAX_CERTIFICATES} certificates")
    return tuple(choice.chosen.dump() for choice in certificates if choice.name == "certificate")


def _read_signer(signer: Any) -> SignerInfo:
    attributes = _read_attributes(signer["signed_attrs"])
    sid, algorithm = signer["sid"], signer["signature_algorithm"]
    by_issuer = sid.chosen if sid.name == "issuer_and_serial_number" else None
    content_type, digest = attributes.get("content_type"), attributes.get("message_digest")
    ids = [attributes[name]["certs"][0] for name in ("signing_certificate", "signing_certificate_v2") if name in attributes]
    return SignerInfo(
        issuer=by_issuer["issuer"].chosen.dump() if by_issuer else None,
        serial=by_issuer["serial_number"].native if by_issuer else None,
        key_id=None if by_issuer else bytes(sid.chosen),
        digest_algorithm=signer["digest_algorithm"]["algorithm"].native,
        signature_algorithm=algorithm["algorithm"].native,
        signature_hash=_implied_hash(algorithm["algorithm"].native),
        pss=_read_pss(algorithm["parameters"]) if algorithm["algorithm"].native == "rsassa_pss" else None,
        # RFC 5652, 5.4: signed as a SET OF, although carried under the tag [0].
        attributes=b"\x31" + signer["signed_attrs"].dump()[1:],
        content_type=content_type.native if content_type is not None else None,
        message_digest=bytes(digest) if digest is not None else None,
        certificate_ids=tuple(_read_certificate_id(each) for each in ids),
        signature=bytes(signer["signature"]),
    )


def _read_attributes(attributes: Any) -> dict[str, Any]:
    """Return the attributes by name. None may come twice, or with several values (RFC 5652, 11; RFC 5035, 5.4)."""
    found = {attribute["type"].native: attribute["values"] for attribute in attributes}
    if len(found) < len(attributes) or any(len(values) != 1 for values in found.values()):
        raise InvalidInput("a signed attribute has not exactly one value (RFC 5652, 11)")
    return {name: values[0] for name, values in found.items()}


def _implied_hash(algorithm: str) -> str | None:
    """Return the hash that is part of a signature algorithm's name, such as sha256_rsa or sha384_ecdsa."""
    prefix, _, rest = algorithm.partition("_")
    return prefix if rest in {"rsa", "ecdsa"} and prefix.startswith("sha") else None


def _read_pss(parameters: Any) -> tuple[str, str, int]:
    if not isinstance(parameters, algos.RSASSAPSSParams):
        raise InvalidInput("the RSASSA-PSS signature has no parameters (RFC 4056, 3)")
    mask = parameters["mask_gen_algorithm"]
    if mask["algorithm"].native != "mgf1" or parameters["trailer_field"].native != "trailer_field_bc":
        raise InvalidInput("the RSASSA-PSS parameters are not those of RFC 4055, 3.1")
    hash_algorithm, mask_hash = parameters["hash_algorithm"]["algorithm"].native, mask["parameters"]["algorithm"].native
    return hash_algorithm, mask_hash, parameters["salt_length"].native


def _read_certificate_id(identifier: Any) -> CertificateId:
    issuer_serial = identifier["issuer_serial"]
    has_issuer = not isinstance(issuer_serial, core.Void)
    names = [name for name in issuer_serial["issuer"] if name.name == "directory_name"] if has_issuer else []
    if has_issuer and len(names) != 1:
        raise InvalidInput("the signer's certificate is not named by one issuer (RFC 5035, 5.4.1)")
    is_second = isinstance(identifier, tsp.ESSCertIDv2)
    return CertificateId(
        algorithm=identifier["hash_algorithm"]["algorithm"].native if is_second else "sha1",
        digest=bytes(identifier["cert_hash"]),
        issuer=names[0].chosen.chosen.dump() if names else None,
        serial=issuer_serial["serial_number"].native if has_issuer else None,
    )


# Asking -------------------------------------------------------------------------------------------------------------------------------


def format_request(imprint: bytes, nonce: int) -> bytes:
    """Return the TimeStampReq (DER) that asks for a token with certificates on a SHA-256 `imprint` of 32 bytes (RFC 3161, 2.4.1)."""
    request = tsp.TimeStampReq(
        {
            "version": "v1",
            "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": imprint},
            "nonce": nonce,
            "cert_req": True,
        }
    )
    return bytes(request.dump())


def check_response(der: bytes, imprint: bytes, nonce: int) -> Token:
    """Return the token of a TimeStampResp that answers `format_request(imprint, nonce)` (RFC 3161, 2.4.2).

    Compares status, imprint and nonce, and nothing else: whether the token is worth anything is for `judge_token`.

    Raises BadAnswer.
    """
    try:
        token = parse_token(_read_response(der))
    except InvalidInput as error:
        raise BadAnswer(f"the authority's answer cannot be read: {error}") from error
    if (token.imprint_algorithm, token.imprint) != ("sha256", imprint):
        raise BadAnswer("the authority answered with a token for other bytes")
    if token.nonce != nonce:
        raise BadAnswer("the authority answered with a token for another request: the nonce is not ours")
    return token


def _read_response(der: bytes) -> bytes:
    if len(der) > MAX_RESPONSE:
        raise InvalidInput(f"{len(der)} bytes are too many, the limit is {MAX_RESPONSE}")
    demand_der(der)
    with reading("a TimeStampResp (RFC 3161, 2.4.2)"):
        response = TimeStampResp.load(der, strict=True)
        status, token = response["status"], response["time_stamp_token"]
        if status["status"].native in {"granted", "granted_with_mods"}:
            return bytes(token.dump())
        failures, texts = status["fail_info"].native, status["status_string"].native
        reason = ", ".join([str(status["status"].native), *sorted(failures or ()), *(texts or ())])
    raise BadAnswer(f"the authority refused: {shown(reason)}")


# Judging ------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Certificate:
    """A certificate that could be read. Fields are None where their extension is absent; names and purposes are asn1crypto's or dotted.

    `issuer` is DER: names are compared by their bytes.
    """

    der: bytes
    x509: x509.Certificate
    key: Any
    name: str
    issuer: bytes
    serial: int
    critical: frozenset[str]
    purposes: tuple[str, ...] | None
    usage: frozenset[str] | None
    key_id: bytes | None


def judge_token(der: bytes, imprint: bytes, roots: Sequence[TrustedRoot]) -> TokenJudgement:
    """Judge the token `der` for the SHA-256 digest `imprint` against `roots`, at the token's own time.

    1. token.form       it is a TimeStampToken
    2. token.imprint    it is for `imprint`
    3. token.signer     its signer's certificate is the one it names, and is for time-stamping only (RFC 3161, 2.3; RFC 5035; RFC 5816)
    4. token.signature  that certificate's key signed this very content (RFC 5652, 5.4)
    5. token.chain      a trusted root vouches for that certificate at `gen_time` (RFC 5280, 6)

    Never raises for any bytes. It does not ask whether a certificate was revoked. UNKNOWN means that something is missing or beyond
    this verifier, FAILED that something is wrong. A root that cannot be read is as good as absent.
    """
    try:
        token = parse_token(der)
    except InvalidInput as error:
        rest = tuple(_unknown(name, "There is no token to look at.") for name in (IMPRINT, SIGNER, SIGNATURE, CHAIN))
        return TokenJudgement((_failed(FORM, f"It is not a timestamp token: {error}."), *rest), None, None)
    form = _passed(FORM, f"It is a timestamp token of {format_time(token.gen_time)}, serial number {shown(format(token.serial, 'x'))} (hexadecimal).")
    certificate, signer = _judge_signer(token, roots)
    chain, root = _judge_chain(token, certificate, roots)
    signature = _judge_signature(token, certificate)
    return TokenJudgement((form, _judge_imprint(token, imprint), signer, signature, chain), token, root)


def _passed(name: str, reason: str) -> Check:
    return Check(name, Outcome.PASSED, reason)


def _failed(name: str, reason: str) -> Check:
    return Check(name, Outcome.FAILED, reason)


def _unknown(name: str, reason: str) -> Check:
    return Check(name, Outcome.UNKNOWN, reason)


def _judge_imprint(token: Token, imprint: bytes) -> Check:
    if token.imprint_algorithm != "sha256":
        return _failed(IMPRINT, f"The token is for a {shown(token.imprint_algorithm)} digest, not for a SHA-256 digest.")
    if token.imprint != imprint:
        return _failed(IMPRINT, f"The token is for {token.imprint.hex()}, not for {imprint.hex()}.")
    return _passed(IMPRINT, f"The token is for {imprint.hex()}.")


def _judge_signer(token: Token, roots: Sequence[TrustedRoot]) -> tuple[_Certificate | None, Check]:
    ids = token.signer.certificate_ids
    if not ids:
        return None, _failed(SIGNER, "The token does not say which certificate signed it (RFC 3161, 2.4.2).")
    if unknown := [each.algorithm for each in ids if each.algorithm not in _CERTIFICATE_HASHES]:
        return None, _unknown(SIGNER, f"The certificate is named by a method that this verifier does not know: {shown(unknown[0])}.")
    # Found by its digest, never by its place in the token. A root may itself be the signer's certificate.
    candidates = (*token.certificates, *(root.certificate for root in roots))
    der = next((der for der in candidates if all(_is_digest_of(each, der) for each in ids)), None)
    if der is None:
        return None, _absent_signer(token)
    certificate = _read_certificate(der)
    if certificate is None:
        return None, _failed(SIGNER, "The certificate that signed the token cannot be read.")
    if fault := _signer_fault(token.signer, certificate):
        return certificate, _failed(SIGNER, fault)
    return certificate, _passed(SIGNER, f"It was signed in the name of “{certificate.name}”, whose certificate is for time-stamping only.")


def _absent_signer(token: Token) -> Check:
    if token.certificates:
        return _failed(SIGNER, "The token carries certificates, but not the one that it says signed it.")
    return _unknown(SIGNER, "The token does not carry its signer's certificate; give it with --trust.")


def _is_digest_of(identifier: CertificateId, der: bytes) -> bool:
    return hashlib.new(identifier.algorithm, der, usedforsecurity=False).digest() == identifier.digest


def _read_certificate(der: bytes) -> _Certificate | None:
    """Return the certificate with all that is needed of it read once, so that nothing is raised later; None if it cannot be.

    cryptography prints warnings about odd names and serial numbers, so asn1crypto reads those: a token must not make us talk.
    """
    try:
        with reading("a certificate"):
            fields = asn1_x509.Certificate.load(der, strict=True)["tbs_certificate"]
            subject, serial = fields["subject"], fields["serial_number"].native
            extensions = {each["extn_id"].native: each for each in fields["extensions"]}
            # A serial number is positive (RFC 5280, 4.1.2.2); some old roots have a 0.
            is_odd = serial < 0 or (serial == 0 and fields["issuer"].dump() != subject.dump())
            if is_odd or len(extensions) < len(fields["extensions"]):
                return None
            certificate = x509.load_der_x509_certificate(der)
            return _Certificate(
                der=der,
                x509=certificate,
                key=certificate.public_key(),
                name=_spoken(subject),
                issuer=bytes(fields["issuer"].chosen.dump()),
                serial=serial,
                critical=frozenset(name for name, each in extensions.items() if each["critical"].native),
                purposes=_value(extensions, "extended_key_usage", tuple),
                usage=_value(extensions, "key_usage", frozenset),
                key_id=_value(extensions, "key_identifier", bytes),
            )
    except (InvalidInput, UnsupportedAlgorithm, x509.InvalidVersion):
        return None


def _value(extensions: dict[str, Any], name: str, kind: Callable[[Any], _Value]) -> _Value | None:
    return kind(extensions[name]["extn_value"].parsed.native) if name in extensions else None


def _signer_fault(signer: SignerInfo, certificate: _Certificate) -> str | None:
    """Return what is wrong with `certificate` as this token's signer, or None."""
    claims = [(each.issuer, each.serial) for each in signer.certificate_ids if each.issuer is not None]
    if signer.issuer is not None:
        claims.append((signer.issuer, signer.serial))
    if any(claim != (certificate.issuer, certificate.serial) for claim in claims):
        return "The token names its signer twice, and the two are different certificates."
    if signer.key_id not in {None, certificate.key_id}:
        return "The token names its signer twice, and the two are different certificates."
    if certificate.purposes != ("time_stamping",) or "extended_key_usage" not in certificate.critical:
        return f"The certificate of “{certificate.name}” is not one for time-stamping only, marked critical (RFC 3161, 2.3)."
    if certificate.usage is not None and certificate.usage.isdisjoint({"digital_signature", "non_repudiation"}):
        return f"The certificate of “{certificate.name}” is not one for signatures (RFC 5280, 4.2.1.3)."
    return None


def _judge_signature(token: Token, certificate: _Certificate | None) -> Check:
    if check := _judge_content(token):
        return check
    if certificate is None:
        return _unknown(SIGNATURE, "The signature cannot be checked without the signer's certificate.")
    signer = token.signer
    scheme = _scheme(signer, certificate.key)
    method = _unknown(SIGNATURE, f"The signature's method, {shown(signer.signature_algorithm)}, is not one that this verifier accepts with this key.")
    if scheme is None:
        return method
    try:
        certificate.key.verify(signer.signature, signer.attributes, *scheme)
    except UnsupportedAlgorithm:
        return method
    except (InvalidSignature, ValueError):
        return _failed(SIGNATURE, f"The signature was not made with the key of “{certificate.name}”, or what it covers was changed.")
    return _passed(SIGNATURE, f"The key of “{certificate.name}” signed this token.")


def _judge_content(token: Token) -> Check | None:
    """Return what is amiss between the content and the attributes that the signature covers, or None."""
    signer = token.signer
    if signer.content_type != "tst_info" or signer.message_digest is None:
        return _failed(SIGNATURE, "The signature does not cover the kind and the digest of the content (RFC 5652, 5.3).")
    if signer.digest_algorithm not in _HASHES:
        return _unknown(SIGNATURE, f"The content is digested with {shown(signer.digest_algorithm)}, which this verifier does not accept.")
    if hashlib.new(signer.digest_algorithm, token.content).digest() != signer.message_digest:
        return _failed(SIGNATURE, "The token's content was changed after it was signed: its digest is not the signed one.")
    return None


def _scheme(signer: SignerInfo, key: Any) -> tuple[Any, ...] | None:
    """Return what `key.verify` takes after signature and content; None if key and method do not belong together or are not accepted."""
    name = signer.signature_hash or signer.digest_algorithm
    if name not in _HASHES:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        is_plain = signer.signature_algorithm in {"rsassa_pkcs1v15", f"{name}_rsa"}
        return (padding.PKCS1v15(), _HASHES[name]()) if is_plain else _pss_scheme(signer)
    if isinstance(key, ec.EllipticCurvePublicKey) and signer.signature_algorithm == f"{name}_ecdsa":
        return (ec.ECDSA(_HASHES[name]()),) if isinstance(key.curve, _CURVES) else None
    if isinstance(key, ed25519.Ed25519PublicKey) and signer.signature_algorithm == "ed25519":
        return ()
    return None


def _pss_scheme(signer: SignerInfo) -> tuple[Any, ...] | None:
    if signer.pss is None:
        return None
    hash_name, mask_name, salt_length = signer.pss
    if hash_name not in _HASHES or mask_name not in _HASHES or not 0 <= salt_length <= MAX_SALT:
        return None
    return padding.PSS(mgf=padding.MGF1(_HASHES[mask_name]()), salt_length=salt_length), _HASHES[hash_name]()


def _judge_chain(token: Token, certificate: _Certificate | None, roots: Sequence[TrustedRoot]) -> tuple[Check, TrustedRoot | None]:
    """Build a chain to the best root there is. Only a root that did vouch for the signer can turn UNKNOWN into something else."""
    if certificate is None:
        return _unknown(CHAIN, "Without the signer's certificate nothing can be said about who vouches for it."), None
    # Of one certificate given twice the lower assurance counts, of two certificates the higher.
    trusted = {root.certificate: root for root in sorted(roots, key=lambda root: -root.assurance)}
    anchors = [read for read in map(_read_certificate, trusted) if read]
    embedded = [read for read in map(_read_certificate, token.certificates) if read]
    vouching = _vouching(certificate, [*embedded, *anchors])
    reached = [anchor for anchor in anchors if anchor.der in vouching]
    if not reached:
        return _unknown(CHAIN, f"No trusted root issued the certificate of “{certificate.name}”; give it with --trust."), None
    if not certificate.x509.not_valid_before_utc <= token.gen_time.replace(microsecond=0) <= certificate.x509.not_valid_after_utc:
        return _failed(CHAIN, f"The certificate of “{certificate.name}” was not valid at the token's time, {format_time(token.gen_time)}."), None
    between = [each for each in vouching.values() if each.der != certificate.der]
    refusal = ""
    for anchor in reached:
        refusal = _chain_fault(token, certificate, between, anchor)
        if not refusal:
            root = trusted[anchor.der]
            when = format_time(token.gen_time)
            return _passed(CHAIN, f"The trusted root “{anchor.name}” ({root.source}) vouches for the signer at {when}."), root
    if any(_is_beyond(each) for each in vouching.values()):
        return _unknown(CHAIN, f"A certificate in the chain has a key or a condition that this verifier cannot judge ({refusal})."), None
    return _failed(CHAIN, f"The chain from the signer to the trusted root breaks a rule of certificates ({refusal})."), None


def _vouching(certificate: _Certificate, pool: Sequence[_Certificate]) -> dict[bytes, _Certificate]:
    """Return `certificate` and all of `pool` from which signatures lead to it, by DER. Looks at signatures only, at no other rule."""
    found, waiting = {certificate.der: certificate}, [certificate]
    while waiting:
        subject = waiting.pop()
        for issuer in pool:
            if issuer.der not in found and _is_issued_by(subject, issuer):
                found[issuer.der] = issuer
                waiting.append(issuer)
    return found


def _is_issued_by(subject: _Certificate, issuer: _Certificate) -> bool:
    try:
        subject.x509.verify_directly_issued_by(issuer.x509)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _chain_fault(token: Token, certificate: _Certificate, between: Sequence[_Certificate], anchor: _Certificate) -> str:
    """Return "" if RFC 5280's rules allow a chain from `certificate` to `anchor` at the token's time, else the rule that forbids it."""
    permit_all = verification.ExtensionPolicy.permit_all()
    agnostic = verification.Criticality.AGNOSTIC
    authority = permit_all.require_present(x509.BasicConstraints, agnostic, None)
    authority = authority.may_be_present(x509.KeyUsage, agnostic, _demand_certificate_signing)
    authority = authority.may_be_present(x509.ExtendedKeyUsage, agnostic, _demand_time_stamping)
    builder = verification.PolicyBuilder().store(verification.Store([anchor.x509])).time(token.gen_time)
    builder = builder.max_chain_depth(MAX_INTERMEDIATES)
    verifier = builder.extension_policies(ca_policy=authority, ee_policy=permit_all).build_client_verifier()
    try:
        verifier.verify(certificate.x509, [each.x509 for each in between if each.der != anchor.der])
    except verification.VerificationError as error:
        fault = str(error)
        for prefix in _PREFIXES:
            fault = fault.removeprefix(prefix)
        return shown(fault)
    return ""


def _demand_certificate_signing(_policy: verification.Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key may not sign certificates")


def _demand_time_stamping(_policy: verification.Policy, _certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
    """Refuse an authority that is itself confined to other purposes: a root for web servers must not vouch for times through it."""
    allowed = {ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and allowed.isdisjoint(purposes):
        raise ValueError("the certificate is confined to other purposes")


def _is_beyond(certificate: _Certificate) -> bool:
    """Whether cryptography.x509.verification may have refused this certificate only because it does not know what it says."""
    return not certificate.critical <= _JUDGED_EXTENSIONS or not isinstance(certificate.key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey))
