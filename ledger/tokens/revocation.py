"""Whether a certificate was revoked: judges CRLs (RFC 5280, 5) and OCSP answers (RFC 6960), and
says where to ask for them. Pure and offline.

No other module reads either. An answer counts only if the certificate's issuer signed it, with any
of its keys, or, for OCSP, someone whom that issuer has authorised. It says "not revoked" only if it
covers the certificate, and only of the time that it was made for. It says "revoked" for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from asn1crypto import core, crl, ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.der import (
    demand_der,
    encoding_of,
    read_extension,
    read_extensions,
    read_time,
    reading,
    shown,
)
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.message import Message, joined, message, message_of
from witnesstree.ledger.base.report import Assurance, Check, Outcome, unknown
from witnesstree.ledger.tokens.names import Comparable, comparable, subject_of
from witnesstree.ledger.tokens.path import methods_of
from witnesstree.ledger.tokens.signature import (
    Method,
    lacking,
    name_by_digest,
    read_hash,
    read_method,
)
from witnesstree.ledger.tokens.soundness import ended, hashes_of, methods_of_key
from witnesstree.ledger.tokens.x509 import (
    X509Certificate,
    find_chain,
    is_issued_by,
    read_certificate,
)
from witnesstree.ledger.trust import Trust, TrustedRoot

REVOCATION = "token.revocation"

# Bytes. The lists of time-stamping authorities have some KiB, those of busy issuers more than would
# be kept.
MAX_CRL = 512 * 1024
# Bytes: 2 KiB with the responder's certificate.
MAX_OCSP = 32 * 1024
# Certificates in an OCSP answer: one is enough.
MAX_RESPONDERS = 4
# Addresses of each kind that are taken from one certificate, and characters in each: one or two of
# 60 are usual.
MAX_URLS = 4
MAX_URL = 1024

# CRLReason (RFC 5280, 5.3.1).
_CRL_REASONS = {
    0: x509.ReasonFlags.unspecified,
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    8: x509.ReasonFlags.remove_from_crl,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}
# RFC 3161, 4, paragraph 1: with these, tokens from before the revocation stay valid.
_HARMLESS = frozenset({0, 3, 4, 5})
_COMPROMISED = frozenset({1, 2})
_KNOWN_CRL_EXTENSIONS = frozenset(
    {
        "authority_key_identifier",
        "crl_number",
        "delta_crl_indicator",
        "issuing_distribution_point",
    }
)
# An entry of a delta CRL that takes one of the list before back (RFC 5280, 5.3.1).
_REMOVED = 8
# Certificates of one name, beside the issuer's own, that are asked whether they signed one answer.
MAX_SIGNERS = 4


@dataclass(frozen=True, slots=True)
class RevocationSource:
    """Where one certificate of a chain says that its state can be asked for.

    `certificate` and `issuer` are DER, as is `root`, the last of the chain, and `beside`:
    certificates from anywhere, where those of the issuer's other keys may be.

    The addresses are http or https, MAX_URLS of each kind at most, and were chosen by the maker of
    the certificate: they are hostile.
    """

    certificate: bytes
    issuer: bytes
    ocsp_urls: tuple[str, ...]
    crl_urls: tuple[str, ...]
    root: bytes | None = None
    beside: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Revoked:
    """Since when a certificate is revoked or invalid, whichever is earlier, and the number of the
    CRLReason, if one is given.
    """

    since: datetime
    reason: int | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an answer that can be believed says of one certificate.

    `kind` is "crl" or "ocsp".
    """

    kind: str
    this_update: datetime
    next_update: datetime | None
    revoked: _Revoked | None


@dataclass(frozen=True, slots=True)
class _Crl:
    """A CRL as it was read.

    Its entries are left to cryptography, which finds one among thousands at once.
    """

    entries: x509.CertificateRevocationList
    issuer: bytes
    method: Method
    this_update: datetime
    next_update: datetime | None
    extensions: dict[str, bytes]
    critical: frozenset[str]


@dataclass(frozen=True, slots=True)
class _CertificateState:
    """A SingleResponse (RFC 6960, 4.2.1).

    `hash` names what `issuer_name` and `issuer_key` are hashed with.
    """

    hash: str
    issuer_name: bytes
    issuer_key: bytes
    serial: int
    is_known: bool
    has_critical: bool
    answer: _Answer


@dataclass(frozen=True, slots=True)
class _Ocsp:
    """A BasicOCSPResponse as it was read.

    `content` is what the signature covers, `certificates` are unread.
    """

    content: bytes
    method: Method
    signature: bytes
    produced: datetime
    has_critical: bool
    certificates: tuple[bytes, ...]
    states: tuple[_CertificateState, ...]


class _Signers:
    """Who may sign what is said of one certificate: its issuer, and others of a given name that the
    same root vouches for, such as the issuer with another key (RFC 5280, 6.3.3, f).

    `beside` are certificates from anywhere (DER).
    """

    def __init__(
        self, issuer: X509Certificate, root: bytes | None = None, beside: Sequence[bytes] = ()
    ) -> None:
        self.issuer = issuer
        self._root = root
        self._beside = beside

    def named(self, name: Comparable, time: datetime) -> list[X509Certificate]:
        """Return those with this name for an answer of `time`, the issuer first."""
        found = [self.issuer] if self.issuer.subject_name == name else []
        if self._root is None:
            return found
        trust = Trust((TrustedRoot(self._root, "", Assurance.LOCAL),))
        others = self.others(name)
        return [
            *found,
            *(each for each in others if find_chain(each, time, self._beside, trust).path),
        ]

    def others(self, name: Comparable) -> list[X509Certificate]:
        """Return the first MAX_SIGNERS authorities of this name with other keys than the issuer's,
        each key once.
        """
        named = (read_certificate(der) for der in self._beside if subject_of(der) == name)
        keys = {each.key_info: each for each in named if each and each.is_authority}
        keys.pop(self.issuer.key_info, None)
        return list(keys.values())[:MAX_SIGNERS]


# Asking
# --------------------------------------------------------------------------------------------------


def revocation_sources(
    chain: Sequence[bytes], beside: Sequence[bytes] = ()
) -> tuple[RevocationSource, ...]:
    """Return the sources of each certificate in `chain` (token.chain_of: the signer's first, the
    root last) whose issuer comes after it. `beside` are certificates from anywhere (DER).

    The last certificate has none. One that names no address is there all the same, with empty
    tuples. Never raises.
    """
    read = [read_certificate(der) for der in chain]
    return tuple(
        RevocationSource(
            below.der,
            above.der,
            _access_urls(below, "ocsp"),
            _urls(_distribution_names(below)),
            chain[-1],
            (*chain, *beside),
        )
        for below, above in pairwise(read)
        if below and above
    )


def other_keys(source: RevocationSource) -> tuple[bytes, ...]:
    """Return the certificates (DER) beside a source that are of its issuer's name with other keys,
    MAX_SIGNERS at most: whoever judges what one of those keys signed needs its certificate.

    Raises InvalidInput if the source's own cannot be read.
    """
    _, issuer = _read_pair(source)
    return tuple(each.der for each in _signers(source, issuer).others(issuer.subject_name))


def issuer_urls(certificate: bytes) -> tuple[str, ...]:
    """Return where `certificate` (DER) says that its issuer's certificate is (RFC 5280,
    4.2.2.1), as the addresses of a source.

    Never raises.
    """
    read = read_certificate(certificate)
    return _access_urls(read, "ca_issuers") if read else ()


def format_ocsp_request(certificate: bytes, issuer: bytes) -> bytes:
    """Return the OCSPRequest (DER) that asks after `certificate`, issued by `issuer` (both DER; RFC
    6960, 4.1), without a nonce.

    Raises InvalidInput if one of the two cannot be read.
    """
    below, above = read_certificate(certificate), read_certificate(issuer)
    if below is None or above is None:
        raise InvalidInput("asked-certificate-unreadable")
    asked = {
        "hash_algorithm": {"algorithm": "sha1"},
        "issuer_name_hash": name_by_digest("sha1", below.issuer),
        "issuer_key_hash": name_by_digest("sha1", above.key_bits),
        "serial_number": below.serial,
    }
    return bytes(ocsp.OCSPRequest({"tbs_request": {"request_list": [{"req_cert": asked}]}}).dump())


def check_ocsp(der: bytes, source: RevocationSource, time: datetime) -> None:
    """Check that the OCSPResponse `der` says something that can be believed of `source.certificate`
    at `time`, the token's.

    What it says may be that the certificate is revoked: that is worth keeping, too. At most
    MAX_OCSP bytes are taken.

    Raises BadAnswer.
    """
    try:
        certificate, issuer = _read_pair(source)
        _demand_use(_ocsp_answers(der, certificate, _signers(source, issuer)), certificate, time)
    except InvalidInput as error:
        raise BadAnswer("ocsp-useless", error=error) from error


def check_crl(der: bytes, source: RevocationSource, time: datetime) -> None:
    """Check that the CRL `der` says something that can be believed of `source.certificate` at
    `time`, as `check_ocsp` does. At most MAX_CRL bytes.

    Raises BadAnswer.
    """
    try:
        certificate, issuer = _read_pair(source)
        _demand_use(_crl_answers(der, certificate, _signers(source, issuer)), certificate, time)
    except InvalidInput as error:
        raise BadAnswer("crl-useless", error=error) from error


def _signers(source: RevocationSource, issuer: X509Certificate) -> _Signers:
    return _Signers(issuer, source.root, source.beside)


def _read_pair(source: RevocationSource) -> tuple[X509Certificate, X509Certificate]:
    certificate, issuer = read_certificate(source.certificate), read_certificate(source.issuer)
    if certificate is None or issuer is None:
        raise InvalidInput("revocation-certificate-unreadable")
    return certificate, issuer


def _demand_use(answers: Sequence[_Answer], certificate: X509Certificate, time: datetime) -> None:
    if not answers:
        raise InvalidInput("revocation-of-others")
    faults = [fault for answer in answers if (fault := _currency_fault(answer, certificate, time))]
    if len(faults) == len(answers):
        raise InvalidInput(faults[0])


def _access_urls(certificate: X509Certificate, method: str) -> tuple[str, ...]:
    try:
        access = read_extension(
            certificate.extensions,
            "authority_information_access",
            asn1_x509.AuthorityInfoAccessSyntax,
        )
        with reading("AuthorityInfoAccess (RFC 5280, 4.2.2.1)"):
            return _urls(
                [
                    each["access_location"]
                    for each in access or ()
                    if each["access_method"].native == method
                ]
            )
    except InvalidInput:
        return ()


def _distribution_points(
    certificate: X509Certificate,
) -> list[tuple[list[Any], set[Comparable], bool]]:
    """Return the places where CRLs are that cover `certificate` (RFC 5280, 4.2.1.13), each by its
    names, by who signs there in the issuer's stead, and whether it is the issuer's own and for all
    reasons. Nothing if they cannot be read.
    """
    try:
        points = read_extension(
            certificate.extensions, "crl_distribution_points", asn1_x509.CRLDistributionPoints
        )
        with reading("CRLDistributionPoints (RFC 5280, 4.2.1.13)"):
            return [
                (
                    _full_names(each["distribution_point"]),
                    _directory_names(each["crl_issuer"]),
                    all(isinstance(each[part], core.Void) for part in ("reasons", "crl_issuer")),
                )
                for each in points or ()
            ]
    except InvalidInput:
        return []


def _distribution_names(certificate: X509Certificate) -> list[Any]:
    """Return the names of the places where the issuer puts its CRLs, whole ones and by itself."""
    return [
        name
        for names, _, is_whole in _distribution_points(certificate)
        if is_whole
        for name in names
    ]


def _directory_names(names: Any) -> set[Comparable]:
    return {
        comparable(encoding_of(name))
        for name in (() if isinstance(names, core.Void) else names)
        if name.name == "directory_name"
    }


def _full_names(name: Any) -> list[Any]:
    return list(name.chosen) if not isinstance(name, core.Void) and name.name == "full_name" else []


def _urls(names: Sequence[Any]) -> tuple[str, ...]:
    raw = [
        bytes(name.chosen.contents) for name in names if name.name == "uniform_resource_identifier"
    ]
    texts = [
        each.decode("ascii")
        for each in raw
        if len(each) <= MAX_URL and all(0x21 <= byte <= 0x7E for byte in each)
    ]
    return tuple(
        dict.fromkeys(text for text in texts if text.lower().startswith(("http://", "https://")))
    )[:MAX_URLS]


# Reading
# --------------------------------------------------------------------------------------------------


def _read_crl(der: bytes) -> _Crl:
    """Return the CRL. Raises InvalidInput."""
    if len(der) > MAX_CRL:
        raise InvalidInput("crl-too-large", found=len(der), most=MAX_CRL)
    with reading("CertificateList (RFC 5280, 5.1)"):
        # It reads the whole as strict DER; asn1crypto then takes from it only what cryptography
        # might print warnings about.
        entries = x509.load_der_x509_crl(der)
        parts = crl.CertificateList.load(der, strict=True)
        listed = parts["tbs_cert_list"]
        values, critical = read_extensions(listed["crl_extensions"])
        return _Crl(
            entries,
            encoding_of(listed["issuer"]),
            read_method(parts["signature_algorithm"]),
            # Read here, where it is translated that there is no such time.
            entries.last_update_utc,
            entries.next_update_utc,
            values,
            critical,
        )


def _read_ocsp(der: bytes) -> _Ocsp:
    """Return what a successful OCSPResponse holds. Raises InvalidInput."""
    if len(der) > MAX_OCSP:
        raise InvalidInput("ocsp-too-large", found=len(der), most=MAX_OCSP)
    demand_der(der)
    with reading("OCSPResponse (RFC 6960, 4.2.1)"):
        outer = ocsp.OCSPResponse.load(der, strict=True)
        status = outer["response_status"].native
        if status != "successful":
            raise InvalidInput("ocsp-refused", status=status)
        if outer["response_bytes"]["response_type"].native != "basic_ocsp_response":
            raise InvalidInput("der-unreadable", form="BasicOCSPResponse (RFC 6960, 4.2.1)")
        content = bytes(outer["response_bytes"]["response"])
        demand_der(content)
        basic = ocsp.BasicOCSPResponse.load(content, strict=True)
        if len(basic["certs"]) > MAX_RESPONDERS:
            raise InvalidInput("ocsp-certificates-too-many", most=MAX_RESPONDERS)
        answered = basic["tbs_response_data"]
        _, critical = read_extensions(answered["response_extensions"])
        return _Ocsp(
            content=encoding_of(answered),
            method=read_method(basic["signature_algorithm"]),
            signature=bytes(basic["signature"]),
            produced=read_time(answered["produced_at"].contents),
            has_critical=bool(critical),
            certificates=tuple(map(encoding_of, basic["certs"])),
            states=tuple(map(_read_state, answered["responses"])),
        )


def _read_state(single: Any) -> _CertificateState:
    named, status, until = single["cert_id"], single["cert_status"], single["next_update"]
    values, critical = read_extensions(single["single_extensions"])
    revoked = _read_revocation(status.chosen, values) if status.name == "revoked" else None
    next_update = None if isinstance(until, core.Void) else read_time(until.contents)
    return _CertificateState(
        hash=read_hash(named["hash_algorithm"]),
        issuer_name=bytes(named["issuer_name_hash"]),
        issuer_key=bytes(named["issuer_key_hash"]),
        serial=named["serial_number"].native,
        is_known=status.name != "unknown",
        has_critical=bool(critical),
        answer=_Answer("ocsp", read_time(single["this_update"].contents), next_update, revoked),
    )


def _read_revocation(info: Any, extensions: dict[str, bytes]) -> _Revoked:
    invalid = read_extension(extensions, "invalidity_date", core.GeneralizedTime)
    times = [
        read_time(time.contents) for time in (info["revocation_time"], invalid) if time is not None
    ]
    return _Revoked(min(times), _read_reason(info["revocation_reason"]))


def _read_reason(reason: Any) -> int | None:
    """Return the number: asn1crypto knows no name for those that no standard gave a meaning.

    All beyond a byte are alike.
    """
    if isinstance(reason, core.Void):
        return None
    return int(reason.contents[0]) if len(reason.contents) == 1 else 255


# Believing
# --------------------------------------------------------------------------------------------------


def _crl_answers(der: bytes, certificate: X509Certificate, signers: _Signers) -> list[_Answer]:
    """Return what the CRL says of `certificate`; nothing if it is by others than its issuer, or
    whom the certificate names in its stead.

    Raises InvalidInput if it must not be believed, or does not cover the certificate and does not
    say that it is revoked.
    """
    listed = _read_crl(der)
    name, at = comparable(listed.issuer), listed.this_update
    is_issuers = name == certificate.issuer_name
    if not is_issuers and name not in _crl_issuers(certificate):
        return []
    _demand_crl_signature(listed, signers.named(name, at), signers.issuer.name)
    if not listed.critical <= _KNOWN_CRL_EXTENSIONS:
        raise InvalidInput("crl-critical")
    with reading("CertificateList entry (RFC 5280, 5.3)"):
        revoked = _revocation_in(listed, certificate)
    if revoked is None:
        if not is_issuers:
            raise InvalidInput("crl-of-other-certificates")
        _demand_whole(listed, certificate)
    return [_Answer("crl", at, listed.next_update, revoked)]


def _demand_crl_signature(listed: _Crl, signers: Sequence[X509Certificate], name: str) -> None:
    allowed = [each for each in signers if each.usage is None or "crl_sign" in each.usage]
    if signers and not allowed:
        raise InvalidInput("crl-signer-not-allowed", name=signers[0].name)
    entries = listed.entries
    content, at = entries.tbs_certlist_bytes, listed.this_update
    _demand_signature(content, entries.signature, listed.method, allowed, name=name, time=at)


def _crl_issuers(certificate: X509Certificate) -> set[Comparable]:
    """Return who else may list `certificate` (RFC 5280, 4.2.1.13, cRLIssuer)."""
    return {name for _, others, _ in _distribution_points(certificate) for name in others}


def _revocation_in(listed: _Crl, certificate: X509Certificate) -> _Revoked | None:
    """Return what the CRL has of `certificate`, None if it has nothing, or takes it back."""
    is_indirect = bool(_scope(listed, "indirect_crl"))
    entry = _entry_in(listed, certificate, is_indirect=is_indirect)
    found = None if entry is None else _read_entry(entry, is_indirect=is_indirect)
    return None if found and found.reason == _REMOVED else found


def _entry_in(
    listed: _Crl, certificate: X509Certificate, *, is_indirect: bool
) -> x509.RevokedCertificate | None:
    """Return the first entry that the CRL has of `certificate`.

    In an indirect CRL each entry has the issuer of the one before it, unless it names its own (RFC
    5280, 5.3.3); any other has its own issuer's certificates alone, by their serial numbers.
    """
    if not is_indirect:
        if comparable(listed.issuer) != certificate.issuer_name:
            return None
        return listed.entries.get_revoked_certificate_by_serial_number(certificate.serial)
    issuers = {comparable(listed.issuer)}
    for entry in listed.entries:
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CertificateIssuer):
                names = extension.value.get_values_for_type(x509.DirectoryName)
                issuers = {comparable(name.public_bytes()) for name in names}
        if entry.serial_number == certificate.serial and certificate.issuer_name in issuers:
            return entry
    return None


def _scope(listed: _Crl, part: str) -> Any:
    """Return a part of the issuingDistributionPoint, None if there is none (RFC 5280, 5.2.5)."""
    scope = read_extension(
        listed.extensions, "issuing_distribution_point", crl.IssuingDistributionPoint
    )
    with reading("IssuingDistributionPoint (RFC 5280, 5.2.5)"):
        return None if scope is None else scope[part].native


def _demand_whole(listed: _Crl, certificate: X509Certificate) -> None:
    """Check that the CRL covers `certificate`, and whole, where it covers only a part of what its
    issuer issued (RFC 5280, 5.2.4, 5.2.5 and 6.3.3, b): else what is not in it says nothing.

    Raises InvalidInput.
    """
    if "delta_crl_indicator" in listed.extensions:
        raise InvalidInput("crl-not-whole")
    scope = read_extension(
        listed.extensions, "issuing_distribution_point", crl.IssuingDistributionPoint
    )
    if scope is None:
        return
    with reading("IssuingDistributionPoint (RFC 5280, 5.2.5)"):
        others = (
            "only_contains_user_certs" if certificate.is_authority else "only_contains_ca_certs"
        )
        if any(
            scope[name].native for name in ("indirect_crl", "only_contains_attribute_certs", others)
        ):
            raise InvalidInput("crl-of-other-certificates")
        if not isinstance(scope["only_some_reasons"], core.Void):
            raise InvalidInput("crl-of-some-reasons")
        if isinstance(scope["distribution_point"], core.Void):
            return
        places = {encoding_of(name) for name in _full_names(scope["distribution_point"])}
        if places.isdisjoint(encoding_of(name) for name in _distribution_names(certificate)):
            raise InvalidInput("crl-of-other-place")


def _read_entry(entry: x509.RevokedCertificate, *, is_indirect: bool) -> _Revoked:
    since, reason = entry.revocation_date_utc, None
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = next(
                number for number, name in _CRL_REASONS.items() if name is extension.value.reason
            )
        elif isinstance(extension.value, x509.InvalidityDate):
            since = min(since, extension.value.invalidity_date_utc)
        elif extension.critical and not (
            is_indirect and isinstance(extension.value, x509.CertificateIssuer)
        ):
            raise InvalidInput("crl-entry-critical")
    return _Revoked(since, reason)


def _ocsp_answers(der: bytes, certificate: X509Certificate, signers: _Signers) -> list[_Answer]:
    """Return what the OCSP answer says of `certificate`; nothing if it is about others.

    Raises InvalidInput if it must not be believed.
    """
    answered = _read_ocsp(der)
    states = [state for state in answered.states if _is_about(state, certificate, signers.issuer)]
    if not states:
        return []
    at, name = answered.produced, signers.issuer.name
    issuers = signers.named(signers.issuer.subject_name, at)
    delegates = [
        read
        for read in map(read_certificate, answered.certificates)
        if read and any(_is_delegate(read, issuer, at) for issuer in issuers)
    ]
    allowed = [*issuers, *delegates]
    _demand_signature(
        answered.content, answered.signature, answered.method, allowed, name=name, time=at
    )
    if answered.has_critical or any(state.has_critical for state in states):
        raise InvalidInput("ocsp-critical")
    if not all(state.is_known for state in states):
        raise InvalidInput("ocsp-certificate-unknown")
    return [state.answer for state in states]


def _is_about(
    state: _CertificateState, certificate: X509Certificate, issuer: X509Certificate
) -> bool:
    if state.serial != certificate.serial:
        return False
    return (state.issuer_name, state.issuer_key) == (
        name_by_digest(state.hash, certificate.issuer),
        name_by_digest(state.hash, issuer.key_bits),
    )


def _is_delegate(responder: X509Certificate, issuer: X509Certificate, produced: datetime) -> bool:
    """Whether `issuer` has charged `responder` with answering for it (RFC 6960, 4.2.2.2).

    Whether it was itself revoked is not asked.
    """
    if "ocsp_signing" not in (responder.purposes or ()) or not responder.is_valid_at(produced):
        return False
    if responder.usage is not None and responder.usage.isdisjoint(
        {"digital_signature", "non_repudiation"}
    ):
        return False
    if ended(methods_of(responder, is_root=False), produced):
        return False
    return bool(is_issued_by(responder, issuer))


def _demand_signature(
    content: bytes,
    signature: bytes,
    method: Method,
    signers: Sequence[X509Certificate],
    *,
    name: str,
    time: datetime,
) -> None:
    """Check that one of `signers` signed, by what was sound at `time`; `name` is the issuer's.

    Raises InvalidInput.
    """
    found = {each.has_signed(content, signature, method): each for each in signers}
    if signer := found.get(True):
        if fault := ended((*methods_of_key(signer.key), *hashes_of(method)), time):
            raise InvalidInput("revocation-method-unsound", method=fault[0], time=time)
        return
    if set(found) == {None}:
        said = shown(method.algorithm)
        if package := lacking(method):
            raise InvalidInput("revocation-method-needs-package", method=said, package=package)
        raise InvalidInput("revocation-method-not-accepted", method=said)
    raise InvalidInput("revocation-signer-wrong", name=name)


# Judging
# --------------------------------------------------------------------------------------------------


def judge_revocation(
    path: Sequence[X509Certificate],
    crls: Sequence[bytes],
    ocsps: Sequence[bytes],
    time: datetime,
    beside: Sequence[bytes] = (),
) -> Check:
    """Judge whether a certificate of `path` (the signer's first, the trusted root last) was
    revoked, for a token of `time`. `beside` are certificates (DER) of others who may have signed an
    answer, if the same root vouches for them.

    FAILED if the signer's was before `time`, or ever, but for a reason of RFC 3161, 4, paragraph 1;
    or if one above it was before `time`, or ever, because its key was compromised. PASSED if for
    each but the root an answer that is current at `time` says otherwise. UNKNOWN, and not required,
    if not: not every authority's issuer answers, and what was not collected in time is not
    available later. Never raises for any bytes.
    """
    if len(path) < 2:
        return unknown(REVOCATION, "revocation-of-root", required=False)
    known, gaps = [], []
    for certificate, issuer in pairwise(path):
        signers = _Signers(issuer, path[-1].der, beside)
        answers, faults = _gather(crls, ocsps, certificate, signers)
        for answer in answers:
            if fault := _fault(answer, certificate, time, is_signer=certificate is path[0]):
                return Check(REVOCATION, Outcome.FAILED, fault)
        current = [answer for answer in answers if not _currency_fault(answer, certificate, time)]
        stale = [
            fault for answer in answers if (fault := _currency_fault(answer, certificate, time))
        ]
        if current:
            known.append(_state(certificate, current[0]))
        else:
            gaps.append(_gap(certificate, [*stale, *faults]))
    if gaps:
        return Check(REVOCATION, Outcome.UNKNOWN, joined(gaps), required=False)
    return Check(REVOCATION, Outcome.PASSED, joined(known))


def _gather(
    crls: Sequence[bytes],
    ocsps: Sequence[bytes],
    certificate: X509Certificate,
    signers: _Signers,
) -> tuple[list[_Answer], list[Message]]:
    """Return the answers about `certificate` that can be believed, and why others cannot.

    Those about other certificates are left out.
    """
    answers: list[_Answer] = []
    faults: list[Message] = []
    for read, der in (
        *((_ocsp_answers, der) for der in ocsps),
        *((_crl_answers, der) for der in crls),
    ):
        try:
            answers += read(der, certificate, signers)
        except InvalidInput as error:
            faults.append(message_of(error))
    return answers, faults


def _fault(
    answer: _Answer, certificate: X509Certificate, time: datetime, *, is_signer: bool
) -> Message | None:
    """Return why a token of `time` does not count because of `answer`, or None."""
    revoked = answer.revoked
    if revoked is None:
        return None
    if is_signer and revoked.reason not in _HARMLESS:
        return _revoked("signer-revoked", certificate, revoked)
    if revoked.reason in _COMPROMISED:
        return _revoked("issuer-compromised", certificate, revoked)
    if revoked.since <= time:
        return _revoked("revoked-before-token", certificate, revoked)
    return None


def _revoked(code: str, certificate: X509Certificate, revoked: _Revoked) -> Message:
    reason = message("crl-reason", reason=revoked.reason)
    return message(code, name=certificate.name, time=revoked.since, reason=reason)


def _currency_fault(
    answer: _Answer, certificate: X509Certificate, time: datetime
) -> Message | None:
    """Return why `answer` says nothing of `time`, or None."""
    if answer.revoked:
        return None
    if answer.this_update > certificate.not_after:
        return message("revocation-answer-after-expiry", kind=answer.kind, time=answer.this_update)
    if time - answer.this_update <= SKEW or (
        answer.next_update is not None and answer.next_update >= time
    ):
        return None
    return message("revocation-answer-too-old", kind=answer.kind, time=answer.this_update)


def _state(certificate: X509Certificate, answer: _Answer) -> Message:
    if answer.revoked:
        return _revoked("revoked-after-token", certificate, answer.revoked)
    return message("not-revoked", name=certificate.name, kind=answer.kind, time=answer.this_update)


def _gap(certificate: X509Certificate, faults: Sequence[Message]) -> Message:
    if faults:
        return message("revocation-answers-useless", name=certificate.name, error=faults[0])
    if _access_urls(certificate, "ocsp") or _distribution_names(certificate):
        return message("revocation-answers-absent", name=certificate.name)
    return message("revocation-place-absent", name=certificate.name)
