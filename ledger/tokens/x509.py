"""X.509 certificates from outside, and the chains that they form (RFC 5280).

Pure and offline; no other module reads certificates or builds chains.

Certificates come in a token, beside it, and from the verifier. All but the verifier's roots are
only candidates: they matter if signatures lead through them.
docs/decisions/0006-timestamp-tokens.md says why path validation is cryptography's.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from witnesstree.ledger.base.der import demand_der, read_extension, read_extensions, reading, shown
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import AS_TEXT, message
from witnesstree.ledger.tokens.signature import read_key

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.trust import Trust, TrustedRoot

# Certificates between the signer and the root.
MAX_INTERMEDIATES = 8
# Signatures that are checked in one search for a chain, those of certificates that do not bear the
# issuer's name left out. A chain has 10 at most, and of each certificate in it there are seldom
# more than a few of one name: renewed, or signed by several.
MAX_CHAIN_SIGNATURES = 64
# Certificates, and pairs of them, that are remembered: a record's certificates come again with each
# of its timestamps, and each record of a proof.
_KEPT = 512
_KEPT_PAIRS = 4096
# What cryptography.x509.verification accounts for by itself.
_JUDGED_EXTENSIONS = frozenset(
    {"basic_constraints", "key_usage", "extended_key_usage", "subject_alt_name"}
)
# What cryptography puts before the rule that was broken.
_PREFIXES = (
    "validation failed: ",
    "candidates exhausted: ",
    "Python extension validator failed: ",
    "ValueError: ",
)
# What our own rules say through it: codes of the catalogue.
_MAY_NOT_SIGN = "key-may-not-sign-certificates"
_OTHER_PURPOSES = "certificate-confined-to-other-purposes"
_OUR_RULES = frozenset({_MAY_NOT_SIGN, _OTHER_PURPOSES})
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class X509Certificate:
    """A certificate that could be read.

    Fields are None where their extension is absent; names and purposes are asn1crypto's or dotted.

    `subject` and `issuer` are DER: names are compared by their bytes. `key_bits` are the subject's
    public key as the certificate has it, without its algorithm. `extensions` holds the DER of every
    extension, its value unread (der.read_extension); `critical` names those that are.
    """

    der: bytes
    x509: x509.Certificate
    key: Any
    key_bits: bytes
    name: str
    subject: bytes
    issuer: bytes
    serial: int
    extensions: Mapping[str, bytes]
    critical: frozenset[str]
    purposes: tuple[str, ...] | None
    usage: frozenset[str] | None
    key_id: bytes | None

    def is_valid_at(self, time: datetime) -> bool:
        """Whether `time` is in the certificate's life; its last second counts whole (RFC 5280,
        4.1.2.5).
        """
        return (
            self.x509.not_valid_before_utc
            <= time.replace(microsecond=0)
            <= self.x509.not_valid_after_utc
        )


@dataclass(frozen=True, slots=True)
class Chain:
    """What leads from a certificate to trusted roots.

    `path` goes from the certificate to `root`, both included, and holds by all rules; it is empty,
    and `root` None, if none does. Then `reached` says whether signatures lead to a trusted root at
    all, `refusal` which rule was broken, and `is_beyond` that it may be one that cannot be judged
    here.
    """

    path: tuple[X509Certificate, ...] = ()
    root: TrustedRoot | None = None
    reached: bool = False
    refusal: Message | None = None
    is_beyond: bool = False


def spoken_name(name: Any) -> str:
    """Return what people call the bearer of asn1crypto's X.500 `name`: its common name, or else all
    of it.
    """
    return shown(str(name.native.get("common_name") or name.human_friendly))


@lru_cache(_KEPT)
def read_certificate(der: bytes) -> X509Certificate | None:
    """Return the certificate with all that is needed of it read once, so that nothing is raised
    later; None if it cannot be.

    cryptography prints warnings about odd names and serial numbers, so asn1crypto reads those: a
    certificate must not make us talk.
    """
    try:
        demand_der(der)
        with reading("Certificate (RFC 5280, 4.1)"):
            fields = asn1_x509.Certificate.load(der, strict=True)["tbs_certificate"]
            subject, serial = fields["subject"], fields["serial_number"].native
            extensions, critical = read_extensions(fields["extensions"])
            # A serial number is positive (RFC 5280, 4.1.2.2); some old roots have a 0.
            if serial < 0 or (serial == 0 and fields["issuer"].dump() != subject.dump()):
                return None
            certificate = _load(der, serial)
            return X509Certificate(
                der=der,
                x509=certificate,
                key=_key(certificate, fields["subject_public_key_info"]),
                key_bits=bytes(fields["subject_public_key_info"]["public_key"].contents[1:]),
                name=spoken_name(subject),
                subject=bytes(subject.chosen.dump()),
                issuer=bytes(fields["issuer"].chosen.dump()),
                serial=serial,
                extensions=extensions,
                critical=critical,
                purposes=_native(
                    extensions, "extended_key_usage", asn1_x509.ExtKeyUsageSyntax, tuple
                ),
                usage=_native(extensions, "key_usage", asn1_x509.KeyUsage, frozenset),
                key_id=_native(extensions, "key_identifier", core.OctetString, bytes),
            )
    except InvalidInput:
        return None


def _load(der: bytes, serial: int) -> x509.Certificate:
    if serial != 0:
        return x509.load_der_x509_certificate(der)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der)


def _key(certificate: x509.Certificate, key_info: Any) -> Any:
    """Return the subject's public key: cryptography's, or that of a provider of other algorithms.

    Raises what cryptography raises if no provider reads it.
    """
    try:
        return certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        key = read_key(bytes(key_info.dump()))
        if key is None:
            raise
        return key


def _native(
    extensions: Mapping[str, bytes], name: str, kind: Any, form: Callable[[Any], _Value]
) -> _Value | None:
    value = read_extension(extensions, name, kind)
    return None if value is None else form(value.native)


def is_issued_by(subject: X509Certificate, issuer: X509Certificate) -> bool:
    """Whether `subject` names `issuer` and its key signed it. Looks at no other rule."""
    return subject.issuer == issuer.subject and _is_signed_by(subject.der, issuer.der)


@lru_cache(_KEPT_PAIRS)
def _is_signed_by(below: bytes, above: bytes) -> bool:
    subject, issuer = read_certificate(below), read_certificate(above)
    assert subject
    assert issuer
    try:
        subject.x509.verify_directly_issued_by(issuer.x509)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def find_chain(
    certificate: X509Certificate, time: datetime, candidates: Sequence[bytes], trust: Trust
) -> Chain:
    """Build a chain from `certificate` to the best trusted root there is, by the rules of RFC 5280,
    6 at `time`.

    Only a root that did vouch for the certificate can make a fault. One that cannot be read is as
    good as absent, and so is a candidate.
    """
    # Of one certificate given twice the lower assurance counts, of two certificates the higher.
    trusted = {
        root.certificate: root for root in sorted(trust.roots, key=lambda root: -root.assurance)
    }
    # The verifier's own come first: what a stranger adds must not use the search up.
    vouching, _ = _vouching(certificate, [*trusted, *trust.certificates, *candidates])
    reached = [vouching[der] for der in trusted if der in vouching]
    between = [each for each in vouching.values() if each.der != certificate.der]
    refusal = None
    for anchor in reached:
        path, refusal = _validate(certificate, between, anchor, time)
        if path:
            return Chain(path, trusted[anchor.der], reached=True)
    return Chain(
        (), None, bool(reached), refusal, any(_is_beyond(each) for each in vouching.values())
    )


def climb(certificate: X509Certificate, candidates: Sequence[bytes]) -> tuple[X509Certificate, ...]:
    """Return a way up from `certificate` through `candidates`, as far as signatures lead and
    whatever it is worth.
    """
    found, above = _vouching(certificate, candidates)
    path = [certificate]
    while path[-1].der in above:
        path.append(found[above[path[-1].der]])
    return tuple(path)


def _vouching(
    certificate: X509Certificate, candidates: Iterable[bytes]
) -> tuple[dict[bytes, X509Certificate], dict[bytes, bytes]]:
    """Return `certificate` and all candidates from which signatures lead to it, by DER, and the
    first that signed each. Looks at no other rule.

    There may be hundreds of candidates. Only those that contain the name that a certificate gives
    its issuer are read at all, and only as many signatures are checked as MAX_CHAIN_SIGNATURES:
    what is beyond is not found.
    """
    rest = [der for der in dict.fromkeys(candidates) if der != certificate.der]
    found, above, checked = {certificate.der: certificate}, dict[bytes, bytes](), 0
    # In the order in which they are found, so that the shortest ways are searched first.
    waiting = deque([certificate])
    while waiting:
        subject = waiting.popleft()
        for der in [der for der in rest if der not in found and subject.issuer in der]:
            issuer = read_certificate(der)
            if issuer is None or issuer.subject != subject.issuer:
                continue
            if checked == MAX_CHAIN_SIGNATURES:
                return found, above
            checked += 1
            if is_issued_by(subject, issuer):
                found[der] = issuer
                above.setdefault(subject.der, der)
                waiting.append(issuer)
    return found, above


def _validate(
    certificate: X509Certificate,
    between: Sequence[X509Certificate],
    anchor: X509Certificate,
    time: datetime,
) -> tuple[tuple[X509Certificate, ...], Message | None]:
    """Return the chain that RFC 5280's rules allow from `certificate` to `anchor` at `time`, or no
    chain and the rule that forbids it.
    """
    permit_all = verification.ExtensionPolicy.permit_all()
    agnostic = verification.Criticality.AGNOSTIC
    authority = permit_all.require_present(x509.BasicConstraints, agnostic, None)
    authority = authority.may_be_present(x509.KeyUsage, agnostic, _demand_certificate_signing)
    authority = authority.may_be_present(x509.ExtendedKeyUsage, agnostic, _demand_time_stamping)
    builder = verification.PolicyBuilder().store(verification.Store([anchor.x509])).time(time)
    builder = builder.max_chain_depth(MAX_INTERMEDIATES)
    verifier = builder.extension_policies(
        ca_policy=authority, ee_policy=permit_all
    ).build_client_verifier()
    try:
        verified = verifier.verify(
            certificate.x509, [each.x509 for each in between if each.der != anchor.der]
        )
    except verification.VerificationError as error:
        return (), _refusal(error)
    known = {each.x509: each for each in (certificate, *between)}
    return tuple(known[each] for each in verified.chain), None


def _refusal(error: verification.VerificationError) -> Message:
    """Return the rule that was broken: one of ours by its code, others in cryptography's words."""
    fault = str(error)
    for prefix in _PREFIXES:
        fault = fault.removeprefix(prefix)
    return message(fault) if fault in _OUR_RULES else message(AS_TEXT, text=shown(fault))


def _demand_certificate_signing(
    _policy: verification.Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError(_MAY_NOT_SIGN)


def _demand_time_stamping(
    _policy: verification.Policy,
    _certificate: x509.Certificate,
    purposes: x509.ExtendedKeyUsage | None,
) -> None:
    """Refuse an authority that is itself confined to other purposes: a root for web servers must
    not vouch for times through it.
    """
    allowed = {ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and allowed.isdisjoint(purposes):
        raise ValueError(_OTHER_PURPOSES)


def _is_beyond(certificate: X509Certificate) -> bool:
    """Whether cryptography.x509.verification may have refused this certificate only because it does
    not know what it says.
    """
    return not certificate.critical <= _JUDGED_EXTENSIONS or not isinstance(
        certificate.key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)
    )
