"""RFC 3161 messages as values: parses tokens and answers, and judges tokens.

Pure and offline; no other module does it.

    TimeStampToken = ContentInfo{ SignedData{ TSTInfo, certificates, one SignerInfo{
        signed attributes, signature } } }

`parse_token` says what a token claims, `judge_token` says which of the claims hold. Certificates
and their chains are x509.py's, CRLs and OCSP answers revocation.py's.
docs/decisions/0006-timestamp-tokens.md says why, and what is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asn1crypto import cms, core, tsp

from witnesstree.ledger.base.clock import rounded_up
from witnesstree.ledger.base.der import (
    demand_der,
    encoding_of,
    read_encodings,
    read_time,
    read_values,
    reading,
    shown,
)
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.report import (
    Assurance,
    Check,
    Outcome,
    failed,
    have_passed,
    passed,
    unknown,
)
from witnesstree.ledger.tokens.names import comparable
from witnesstree.ledger.tokens.path import methods_of
from witnesstree.ledger.tokens.revocation import REVOCATION, judge_revocation
from witnesstree.ledger.tokens.signature import (
    HASHES,
    Method,
    digest_of,
    hash_id,
    lacking,
    name_by_digest,
    read_hash,
    read_method,
)
from witnesstree.ledger.tokens.soundness import ended, hashes_of, methods_of_key
from witnesstree.ledger.tokens.x509 import (
    Chain,
    X509Certificate,
    climb,
    find_chain,
    issuer_of,
    read_certificate,
    spoken_name,
)
from witnesstree.ledger.trust import TrustedRoot

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.trust import Trust

# Bytes. A token with its chain takes 2 to 8 KiB; some carry revocation lists. What is larger is not
# a token that we could have asked for.
MAX_TOKEN = 64 * 1024
# Bytes: the token, and a status with a sentence or two.
MAX_RESPONSE = MAX_TOKEN + 4 * 1024
# A chain has two to five; the rest is there to make us work.
MAX_CERTIFICATES = 16
# Trusted roots that are named where none of them is reached.
MAX_NAMED = 4
# An authority that does not know its time to a day says nothing that an evidence could use.
MAX_ACCURACY = timedelta(days=1)
_SEQUENCE = 0x30
# GeneralName (RFC 5280, 4.2.1.6), without the bit "constructed".
_DIRECTORY_NAME = 0x84
_ATTRIBUTES = frozenset(
    {"content_type", "message_digest", "signing_certificate", "signing_certificate_v2"}
)
# id-signedData of PKCS #7 (RFC 5652, 5.1) and of GM/T 0010.
_SIGNED_DATA, _CHINESE_SIGNED_DATA = "1.2.840.113549.1.7.2", "1.2.156.10197.6.1.4.2.2"

FORM, IMPRINT, SIGNER, SIGNATURE, CHAIN = (
    "token.form",
    "token.imprint",
    "token.signer",
    "token.signature",
    "token.chain",
)


@dataclass(frozen=True, slots=True)
class CertificateId:
    """The name that a signer gives its certificate: ESSCertID or ESSCertIDv2 (RFC 5035, 3 and
    4).
    """

    algorithm: str
    digest: bytes
    issuer: bytes | None
    serial: int | None


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """What a token says of its signature (RFC 5652, 5.3): claims, nothing more.

    `digest_algorithm` is as signature.read_hash returns it; `issuer`, as that of a CertificateId,
    is the DER of a SEQUENCE, unread.
    """

    issuer: bytes | None
    serial: int | None
    key_id: bytes | None
    digest_algorithm: str
    method: Method
    attributes: bytes
    content_type: str | None
    message_digest: bytes | None
    certificate_ids: tuple[CertificateId, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Token:
    """A TimeStampToken (RFC 3161, 2.4.2) as it was read.

    That it parsed proves nothing: see `judge_token`.

    `critical` names the critical extensions of the TSTInfo, `content` is its DER, `certificates`
    are the embedded ones, unread; `accuracy` is zero where the token gives none.
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
    critical: tuple[str, ...]
    content: bytes
    certificates: tuple[bytes, ...]
    signer: SignerInfo

    @property
    def latest(self) -> datetime:
        """The time that the token is from at the latest, in whole seconds."""
        try:
            return rounded_up(self.gen_time + self.accuracy)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TokenJudgement:
    """The six checks of one token, in the order of `judge_token`.

    `token` is None if it did not parse. `root` is where the chain ended, None unless that check
    passed; on its own it does not say that the others did, so ask `is_proven` before `gen_time` or
    `assurance` count for anything.
    """

    checks: tuple[Check, ...]
    token: Token | None
    root: TrustedRoot | None

    @property
    def is_proven(self) -> bool:
        """Whether every required check passed and none failed."""
        return have_passed(self.checks)

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

    _fields = [  # noqa: RUF012
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", cms.ContentInfo, {"optional": True}),
    ]


# Parsing
# --------------------------------------------------------------------------------------------------


def parse_token(der: bytes) -> Token:
    """Return what a TimeStampToken of at most MAX_TOKEN bytes claims.

    Demands the form of RFC 3161, 2.4.2: one signer, TSTInfo version 1. Certificates stay unread,
    and signed attributes are `judge_token`'s question.

    Raises InvalidInput.
    """
    if len(der) > MAX_TOKEN:
        raise InvalidInput("token-too-large", found=len(der), most=MAX_TOKEN)
    demand_der(der)
    with reading("TimeStampToken (RFC 3161, 2.4.2)"):
        return _read_token(der)


def _read_token(der: bytes) -> Token:
    info = cms.ContentInfo.load(der, strict=True)
    kind, signed = info["content_type"].dotted, info["content"]
    if kind not in {_SIGNED_DATA, _CHINESE_SIGNED_DATA}:
        raise InvalidInput("token-not-signed-data")
    if kind == _CHINESE_SIGNED_DATA:
        signed = signed.parse(cms.SignedData)
    # Read again, because asn1crypto takes another type for it where the version is 1.
    encapsulated = cms.EncapsulatedContentInfo.load(
        encoding_of(signed["encap_content_info"]), strict=True
    )
    if encapsulated["content_type"].native != "tst_info":
        raise InvalidInput("token-content-wrong")
    if len(signed["signer_infos"]) != 1:
        raise InvalidInput("token-signers-not-one")
    content = bytes(encapsulated["content"])
    demand_der(content)
    stamped = tsp.TSTInfo.load(content, strict=True)
    if stamped["version"].native != "v1":
        raise InvalidInput("token-version-wrong")
    algorithm, imprint = _read_imprint(stamped["message_imprint"])
    return Token(
        der=der,
        imprint_algorithm=algorithm,
        imprint=imprint,
        gen_time=read_time(stamped["gen_time"].contents),
        accuracy=_read_accuracy(stamped["accuracy"]),
        serial=stamped["serial_number"].native,
        policy=stamped["policy"].dotted,
        nonce=stamped["nonce"].native,
        tsa=_read_name(stamped),
        critical=tuple(
            extension["extn_id"].native
            for extension in stamped["extensions"]
            if extension["critical"].native
        ),
        content=content,
        certificates=_read_certificates(signed["certificates"]),
        signer=_read_signer(signed["signer_infos"][0]),
    )


def _read_imprint(imprint: Any) -> tuple[str, bytes]:
    algorithm = read_hash(imprint["hash_algorithm"])
    digest = bytes(imprint["hashed_message"])
    if algorithm in HASHES and len(digest) != HASHES[algorithm]().digest_size:
        raise InvalidInput("imprint-length-wrong")
    return algorithm, digest


def _read_accuracy(accuracy: Any) -> timedelta:
    if isinstance(accuracy, core.Void):
        return timedelta()
    seconds, millis, micros = (accuracy[part].native for part in ("seconds", "millis", "micros"))
    found = timedelta(seconds=seconds or 0, milliseconds=millis or 0, microseconds=micros or 0)
    is_odd = any(part is not None and not 0 <= part <= 999 for part in (millis, micros))
    # Two of them have tags of their own, so that nobody has looked whether a number is in them.
    parts = [accuracy[part] for part in ("millis", "micros")]
    is_odd = is_odd or any(not isinstance(each, core.Void) and not each.contents for each in parts)
    if is_odd or (seconds is not None and seconds < 0) or found > MAX_ACCURACY:
        raise InvalidInput("accuracy-wrong")
    return found


def _read_name(stamped: Any) -> str | None:
    """Return the name that the TSTInfo gives its maker, None where there is none that can be read:
    no check rests on it.
    """
    with suppress(InvalidInput), reading("GeneralName (RFC 5280, 4.2.1.6)"):
        name = stamped["tsa"]
        if isinstance(name, core.Void):
            return None
        if name.name != "directory_name":
            return shown(str(name.chosen.native))
        return spoken_name(encoding_of(name))
    return None


def _read_certificates(certificates: Any) -> tuple[bytes, ...]:
    """Return what may be certificates, as it stands there: nothing signs them, so one that cannot
    be read must not spoil the token.
    """
    found = [] if isinstance(certificates, core.Void) else [*read_encodings(certificates.contents)]
    if len(found) > MAX_CERTIFICATES:
        raise InvalidInput("token-certificates-too-many", most=MAX_CERTIFICATES)
    return tuple(each for each in found if each[0] == _SEQUENCE)


def _read_signer(signer: Any) -> SignerInfo:
    attributes = _read_attributes(signer["signed_attrs"])
    sid = signer["sid"]
    by_issuer = sid.chosen if sid.name == "issuer_and_serial_number" else None
    content_type, digest = attributes.get("content_type"), attributes.get("message_digest")
    ids = [
        attributes[name]["certs"][0]
        for name in ("signing_certificate", "signing_certificate_v2")
        if name in attributes
    ]
    return SignerInfo(
        issuer=encoding_of(by_issuer["issuer"]) if by_issuer else None,
        serial=by_issuer["serial_number"].native if by_issuer else None,
        key_id=None if by_issuer else bytes(sid.chosen),
        digest_algorithm=read_hash(signer["digest_algorithm"]),
        method=read_method(signer["signature_algorithm"]),
        # RFC 5652, 5.4: signed as a SET OF, although carried under the tag [0].
        attributes=b"\x31" + encoding_of(signer["signed_attrs"])[1:],
        content_type=content_type.native if content_type is not None else None,
        message_digest=bytes(digest) if digest is not None else None,
        certificate_ids=tuple(_read_certificate_id(each) for each in ids),
        signature=bytes(signer["signature"]),
    )


def _read_attributes(attributes: Any) -> dict[str, Any]:
    """Return the value of each attribute that counts, by name.

    None of them may come twice, or with several values (RFC 5652, 11; RFC 5035, 5.4).
    """
    known = [attribute for attribute in attributes if attribute["type"].native in _ATTRIBUTES]
    found = {attribute["type"].native: attribute["values"] for attribute in known}
    if len(found) < len(known) or any(len(values) != 1 for values in found.values()):
        raise InvalidInput("attribute-values-not-one")
    return {name: values[0] for name, values in found.items()}


def _read_certificate_id(identifier: Any) -> CertificateId:
    issuer_serial = identifier["issuer_serial"]
    has_issuer = not isinstance(issuer_serial, core.Void)
    issuer = _read_issuer(issuer_serial["issuer"].contents) if has_issuer else None
    is_second = isinstance(identifier, tsp.ESSCertIDv2)
    return CertificateId(
        algorithm=read_hash(identifier["hash_algorithm"]) if is_second else "sha1",
        digest=bytes(identifier["cert_hash"]),
        issuer=issuer,
        serial=issuer_serial["serial_number"].native if has_issuer else None,
    )


def _read_issuer(names: bytes) -> bytes:
    """Return the one directoryName of GeneralNames, unread; other names are passed over."""
    found = [value for value in read_values(names) if value[0] & 0xDF == _DIRECTORY_NAME]
    tag, content = found[0] if len(found) == 1 else (0, b"")
    name = next(read_encodings(content), b"")
    if tag != _DIRECTORY_NAME | 0x20 or name[:1] != bytes([_SEQUENCE]):
        raise InvalidInput("signer-issuer-not-one")
    return name


# Asking
# --------------------------------------------------------------------------------------------------


def format_request(
    imprint: bytes, nonce: int, policy: str | None = None, algorithm: str = "sha256"
) -> bytes:
    """Return the TimeStampReq (DER) that asks for a token with certificates on `imprint` (RFC 3161,
    2.4.1), a digest under `algorithm`.

    `policy` is the dotted OID of the one to be stamped under; None leaves the choice to the
    authority.

    Raises InvalidInput if `policy` is no OID.
    """
    fields: dict[str, Any] = {
        "version": "v1",
        "message_imprint": {
            "hash_algorithm": {"algorithm": hash_id(algorithm)},
            "hashed_message": imprint,
        },
        "nonce": nonce,
        "cert_req": True,
    }
    if policy is not None:
        with reading(f"OBJECT IDENTIFIER: {shown(policy)!r}"):
            fields["req_policy"] = policy
            return bytes(tsp.TimeStampReq(fields).dump())
    return bytes(tsp.TimeStampReq(fields).dump())


def check_response(
    der: bytes, imprint: bytes, nonce: int, policy: str | None = None, algorithm: str = "sha256"
) -> Token:
    """Return the token of a TimeStampResp that answers `format_request(imprint, nonce, policy,
    algorithm)` (RFC 3161, 2.4.2).

    Compares status, imprint, nonce and, where one was asked for, policy, and nothing else: whether
    the token is worth anything is for `judge_token`.

    Raises BadAnswer.
    """
    try:
        token = parse_token(_read_response(der))
    except InvalidInput as error:
        raise BadAnswer("authority-answer-unreadable", error=error) from error
    if (token.imprint_algorithm, token.imprint) != (algorithm, imprint):
        raise BadAnswer("authority-answer-for-other-bytes")
    if token.nonce != nonce:
        raise BadAnswer("authority-answer-nonce-differs")
    if policy is not None and token.policy != policy:
        raise BadAnswer(
            "authority-answer-policy-differs", found=shown(token.policy), expected=policy
        )
    return token


def _read_response(der: bytes) -> bytes:
    if len(der) > MAX_RESPONSE:
        raise InvalidInput("authority-answer-too-large", found=len(der), most=MAX_RESPONSE)
    demand_der(der)
    with reading("TimeStampResp (RFC 3161, 2.4.2)"):
        response = TimeStampResp.load(der, strict=True)
        status, token = response["status"], response["time_stamp_token"]
        if status["status"].native in {"granted", "granted_with_mods"}:
            return encoding_of(token)
        failures, texts = status["fail_info"].native, status["status_string"].native
        reason = ", ".join([str(status["status"].native), *sorted(failures or ()), *(texts or ())])
    raise BadAnswer("authority-refused", reason=shown(reason))


def format_response(token: bytes) -> bytes:
    """Return the TimeStampResp (DER, RFC 3161, 2.4.2) that grants `token`, a TimeStampToken (DER):
    the answer that programs read where nothing tells them that the token stands alone.

    What an authority says around a token is not signed.
    """
    response = TimeStampResp(
        {"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)}
    )
    return bytes(response.dump())


def chain_of(token: Token, trust: Trust, certificates: Sequence[bytes] = ()) -> tuple[bytes, ...]:
    """Return the certificates (DER) from `token`'s signer up, the signer's first and the root last,
    as far as they are known.

    It is the chain that `judge_token` would take, if one holds, else any that signatures form.
    `certificates` are further candidates, as are those in the token and in `trust`. Empty if the
    signer's own is nowhere. Nothing is judged.
    """
    certificate = read_certificate(_find_signer(token, certificates, trust) or b"")
    if certificate is None:
        return ()
    candidates = (*token.certificates, *certificates)
    chain = find_chain(certificate, token.gen_time, candidates, trust)
    anchors = (root.certificate for root in trust.roots)
    return tuple(
        each.der
        for each in chain.path or climb(certificate, (*anchors, *trust.certificates, *candidates))
    )


# Judging
# --------------------------------------------------------------------------------------------------


def judge_token(
    stamp: Stamp,
    imprint: bytes,
    trust: Trust,
    algorithm: str = "sha256",
    now: datetime | None = None,
) -> TokenJudgement:
    """Judge the token of `stamp` for the digest `imprint` against `trust`, at the token's own time.

    `algorithm` is the digest's (signature.HASHES). Where nothing shows that the token was there
    before `now`, its methods have to be sound still: with a key that has become weak, a token of
    any time can be made. None leaves that to the caller.

    1. token.form        it is a TimeStampToken
    2. token.imprint     it is for `imprint`
    3. token.signer      its signer's certificate is the one it names, and is for time-stamping only
                         (RFC 3161, 2.3; RFC 5035; RFC 5816)
    4. token.signature   that certificate's key signed this very content (RFC 5652, 5.4)
    5. token.chain       a trusted root vouches for that certificate at `gen_time` (RFC 5280, 6)
    6. token.revocation  no certificate in that chain was revoked (RFC 3161, 4; revocation.py)

    Never raises for any bytes. UNKNOWN means that something is missing or beyond this verifier,
    FAILED that something is wrong; an UNKNOWN of the last check is not required. What is beside
    the token in `stamp` is as hostile as what is in it. A root that cannot be read is as good
    as absent.
    """
    try:
        token = parse_token(stamp.token)
    except InvalidInput as error:
        rest = tuple(unknown(name, "token-absent") for name in (IMPRINT, SIGNER, SIGNATURE, CHAIN))
        revocation = unknown(REVOCATION, "token-absent", required=False)
        return TokenJudgement(
            (failed(FORM, "token-unreadable", error=error), *rest, revocation), None, None
        )
    certificate, signer = _judge_signer(token, stamp.certificates, trust)
    found = (
        Chain()
        if certificate is None
        else find_chain(
            certificate, token.gen_time, (*token.certificates, *stamp.certificates), trust
        )
    )
    checks = (
        _judge_form(token),
        _judge_imprint(token, imprint, algorithm),
        signer,
        _judge_signature(token, certificate),
        _still_sound(_judge_chain(token, certificate, stamp, found, trust), token, found, now),
        _judge_revocation(token, stamp, found, trust),
    )
    return TokenJudgement(checks, token, found.root)


def judge_new_token(
    stamp: Stamp, imprint: bytes, trust: Trust, algorithm: str = "sha256"
) -> TokenJudgement:
    """Judge a token that has just come, as `judge_token` does, and where no trusted root is reached
    also by its own chain, as if that could be trusted.

    Whom a verifier will trust is not known yet. A chain that would fail even then, because a
    certificate is out of its life, revoked, too weak or for other purposes, never becomes right.
    """
    judgement = judge_token(stamp, imprint, trust, algorithm)
    if judgement.token is None or judgement.root:
        return judgement
    above = chain_of(judgement.token, trust, stamp.certificates)[1:]
    # The root first: the more of the chain holds, the more of it is judged.
    own = tuple(TrustedRoot(der, "", Assurance.LOCAL) for der in reversed(above))
    supposed = judge_token(stamp, imprint, replace(trust, roots=own), algorithm)
    checks = tuple(
        other if other.outcome is Outcome.FAILED else check
        for check, other in zip(judgement.checks, supposed.checks, strict=True)
    )
    return replace(judgement, checks=checks)


def _judge_form(token: Token) -> Check:
    if token.critical:
        return unknown(FORM, "token-extension-critical", extension=shown(token.critical[0]))
    serial = shown(format(token.serial, "x"))
    return passed(FORM, "token-readable", time=token.gen_time, serial=serial)


def _judge_imprint(token: Token, imprint: bytes, algorithm: str) -> Check:
    if token.imprint_algorithm != algorithm:
        asked = algorithm.upper().replace("SHA", "SHA-")
        return failed(
            IMPRINT,
            "imprint-algorithm-differs",
            found=shown(token.imprint_algorithm),
            expected=asked,
        )
    if token.imprint != imprint:
        return failed(IMPRINT, "imprint-differs", found=token.imprint, expected=imprint)
    if found := ended((algorithm,), token.gen_time):
        return failed(IMPRINT, "imprint-unsound", method=found[0], time=token.gen_time)
    return passed(IMPRINT, "imprint-matches", imprint=imprint)


def _judge_signer(
    token: Token, beside: Sequence[bytes], trust: Trust
) -> tuple[X509Certificate | None, Check]:
    ids = token.signer.certificate_ids
    if not ids:
        return None, failed(SIGNER, "signer-not-named")
    if unknown_methods := [
        each.algorithm for each in ids if name_by_digest(each.algorithm, b"") is None
    ]:
        return None, unknown(
            SIGNER, "signer-named-by-unknown-method", method=shown(unknown_methods[0])
        )
    der = _find_signer(token, beside, trust)
    if der is None:
        # Nothing signs the certificates that a token carries: a wrong one is as good as none.
        return None, unknown(
            SIGNER, "signer-not-carried" if token.certificates else "signer-absent"
        )
    certificate = read_certificate(der)
    if certificate is None:
        return None, unknown(SIGNER, "signer-unreadable")
    if fault := _signer_fault(token.signer, certificate):
        return certificate, Check(SIGNER, Outcome.FAILED, fault)
    return certificate, passed(SIGNER, "signer-fit", name=certificate.name)


def _find_signer(token: Token, beside: Sequence[bytes], trust: Trust) -> bytes | None:
    """Return the certificate that the token names by its digest, wherever it is.

    A trusted one may itself be the signer's.
    """
    ids = token.signer.certificate_ids
    candidates = (
        *token.certificates,
        *beside,
        *trust.certificates,
        *(root.certificate for root in trust.roots),
    )
    return next(
        (der for der in candidates if ids and all(_is_digest_of(each, der) for each in ids)), None
    )


def _is_digest_of(identifier: CertificateId, der: bytes) -> bool:
    return name_by_digest(identifier.algorithm, der) == identifier.digest


def _signer_fault(signer: SignerInfo, certificate: X509Certificate) -> Message | None:
    """Return what is wrong with `certificate` as this token's signer, or None."""
    claims = [
        (each.issuer, each.serial) for each in signer.certificate_ids if each.issuer is not None
    ]
    if signer.issuer is not None:
        claims.append((signer.issuer, signer.serial))
    if not all(_is_name_of(issuer, serial, certificate) for issuer, serial in claims):
        return message("signer-named-twice")
    if signer.key_id not in {None, certificate.key_id}:
        return message("signer-named-twice")
    if (
        certificate.purposes != ("time_stamping",)
        or "extended_key_usage" not in certificate.critical
    ):
        return message("signer-not-for-time-stamping", name=certificate.name)
    if certificate.usage is not None and certificate.usage.isdisjoint(
        {"digital_signature", "non_repudiation"}
    ):
        return message("signer-not-for-signatures", name=certificate.name)
    return None


def _is_name_of(issuer: bytes, serial: int | None, certificate: X509Certificate) -> bool:
    """Whether `certificate` has this issuer and serial number; a name that cannot be read is that
    of none.
    """
    with suppress(InvalidInput):
        return (comparable(issuer), serial) == (certificate.issuer_name, certificate.serial)
    return False


def _judge_signature(token: Token, certificate: X509Certificate | None) -> Check:
    if check := _judge_content(token):
        return check
    if certificate is None:
        return unknown(SIGNATURE, "signature-without-signer")
    signer = token.signer
    has_signed = certificate.has_signed(
        signer.attributes, signer.signature, signer.method, signer.digest_algorithm
    )
    if has_signed is None:
        return _unjudged_signature(signer.method, certificate)
    if not has_signed:
        return failed(SIGNATURE, "signature-wrong", name=certificate.name)
    hashes = (signer.digest_algorithm, *hashes_of(signer.method))
    if found := ended(hashes, token.gen_time):
        return failed(SIGNATURE, "signature-unsound", method=found[0], time=token.gen_time)
    return passed(SIGNATURE, "signature-right", name=certificate.name)


def _unjudged_signature(method: Method, certificate: X509Certificate) -> Check:
    name = shown(method.algorithm)
    if package := lacking(method):
        return unknown(SIGNATURE, "signature-method-needs-package", method=name, package=package)
    key = shown(certificate.key_method.algorithm)
    return unknown(SIGNATURE, "signature-method-not-accepted", method=name, key=key)


def _judge_content(token: Token) -> Check | None:
    """Return what is amiss between the content and the attributes that the signature covers, or
    None.
    """
    signer = token.signer
    if signer.content_type != "tst_info" or signer.message_digest is None:
        return failed(SIGNATURE, "signature-scope-wrong")
    if signer.digest_algorithm not in HASHES:
        return unknown(
            SIGNATURE, "content-digest-not-accepted", algorithm=shown(signer.digest_algorithm)
        )
    if digest_of(signer.digest_algorithm, token.content) != signer.message_digest:
        return failed(SIGNATURE, "content-changed")
    return None


def _judge_chain(
    token: Token, certificate: X509Certificate | None, stamp: Stamp, chain: Chain, trust: Trust
) -> Check:
    if certificate is None:
        return unknown(CHAIN, "chain-without-signer")
    if fault := _lasting_fault(token, certificate):
        return Check(CHAIN, Outcome.FAILED, fault)
    if chain.root:
        return passed(
            CHAIN,
            "chain-right",
            root=chain.path[-1].name,
            source=chain.root.source,
            assurance=chain.root.assurance.name.lower(),
            time=token.gen_time,
        )
    if chain.refusal is None:
        return _rootless(token, certificate, stamp, trust)
    if chain.refusal.is_beyond:
        return unknown(CHAIN, "chain-beyond-verifier", rule=chain.refusal.message)
    return failed(CHAIN, "chain-breaks-rule", rule=chain.refusal.message)


def _rootless(token: Token, signer: X509Certificate, stamp: Stamp, trust: Trust) -> Check:
    """Return the check of a chain that leads to no root which is trusted at the token's time: it
    says which root is missing, and which there are.
    """
    time = token.gen_time
    outside = [root for root in trust.roots if not root.is_trusted_at(time)]
    known = (*token.certificates, *stamp.certificates, *trust.certificates)
    path = climb(signer, (*known, *(root.certificate for root in outside)))
    for root in outside:
        if at := next((each for each in path if each.der == root.certificate), None):
            has_ended = root.until is not None and root.until <= time
            return unknown(
                CHAIN,
                "chain-root-not-trusted-then",
                root=at.name,
                source=root.source,
                time=time,
                when="ended" if has_ended else "begins",
                bound=root.until if has_ended else root.since,
            )
    given = list(dict.fromkeys(root.certificate for root in trust.roots))
    few = given if len(given) <= MAX_NAMED else ()
    return unknown(
        CHAIN,
        "chain-root-unknown",
        name=signer.name,
        root=issuer_of(path[-1]),
        count=len(given),
        given=[
            message("quoted-name", name=read.name) for der in few if (read := read_certificate(der))
        ]
        or None,
    )


def _still_sound(check: Check, token: Token, chain: Chain, now: datetime | None) -> Check:
    """Return the check of the chain, UNKNOWN in place of PASSED if a method that the token rests on
    is no longer sound at `now`.
    """
    if check.outcome is not Outcome.PASSED or now is None:
        return check
    signer, root = token.signer, chain.path[-1]
    found = ended(
        (
            token.imprint_algorithm,
            signer.digest_algorithm,
            *hashes_of(signer.method),
            *(method for each in chain.path for method in methods_of(each, is_root=each is root)),
        ),
        now,
    )
    return unknown(CHAIN, "method-ended-since", method=found[0], end=found[1]) if found else check


def _lasting_fault(token: Token, signer: X509Certificate) -> Message | None:
    """Return what is wrong with the signer's own certificate whatever leads to it, or None: no root
    mends that, so none is waited for.
    """
    time = token.gen_time
    if not signer.is_valid_at(time):
        return message("signer-not-valid-then", name=signer.name, time=time, **signer.bound(time))
    if found := ended(methods_of_key(signer.key), time):
        return message("key-too-weak", name=signer.name, method=found[0], time=time)
    return None


def _judge_revocation(token: Token, stamp: Stamp, chain: Chain, trust: Trust) -> Check:
    if not chain.path:
        return unknown(REVOCATION, "revocation-without-chain", required=False)
    roots = (root.certificate for root in trust.roots)
    beside = (*roots, *trust.certificates, *token.certificates, *stamp.certificates)
    return judge_revocation(chain.path, stamp.crls, stamp.ocsps, token.gen_time, beside)
