"""X.509 certificates from outside, and the chains that they form (RFC 5280).

Pure and offline; no other module reads certificates or builds chains. Whether a chain keeps the
rules is path.py's.

Certificates come in a token, beside it, and from the verifier. All but the verifier's roots are
only candidates: they matter if signatures lead through them.
docs/decisions/0006-timestamp-tokens.md says why path validation is our own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.der import (
    demand_der,
    encoding_of,
    read_bits,
    read_extension,
    read_extensions,
    read_x509_time,
    reading,
    shown,
)
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.tokens.names import Comparable, comparable, subject_of
from witnesstree.ledger.tokens.path import MAX_INTERMEDIATES, Refusal, refusal
from witnesstree.ledger.tokens.signature import (
    Method,
    is_signed,
    lacking,
    read_key,
    read_method,
    read_pss,
)

if TYPE_CHECKING:
    from witnesstree.ledger.trust import Trust, TrustedRoot

# Signatures that are checked in one search for a chain, those of certificates that do not bear the
# issuer's name left out. A chain has 10 at most, and of each certificate in it there are seldom
# more than a few of one name: renewed, or signed by several.
MAX_CHAIN_SIGNATURES = 64
# Paths that are begun in one search for a chain, the shortest first. Where authorities certify each
# other, there are some dozens.
MAX_PATHS = 256
# Certificates, and pairs of them, that are remembered: a record's certificates come again with each
# of its timestamps, and each record of a proof.
_KEPT = 512
_KEPT_PAIRS = 4096
# Values in a Certificate and a TBSCertificate (RFC 5280, 4.1), if all of them are there. What came
# after them might change what they mean.
_PARTS, _FIELDS = 3, 10
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class X509Certificate:
    """A certificate that could be read.

    Fields are None where their extension is absent; names and purposes are asn1crypto's or dotted.

    `subject` and `issuer` are DER, and the same as names.py compares them. `key` is None if no
    provider reads it, `key_method` its algorithm; `key_info` is the SubjectPublicKeyInfo (DER), and
    `key_bits` are the key in it, without its algorithm. `method` is how the certificate was signed,
    and `is_consistent` whether it says so in both places (RFC 5280, 4.1.1.2).
    `extensions` holds the DER of every extension, its value unread (der.read_extension); `critical`
    names those that are. `content` is what `signature` covers.
    """

    der: bytes
    content: bytes
    signature: bytes
    not_before: datetime
    not_after: datetime
    key: Any
    key_method: Method
    key_info: bytes
    key_bits: bytes
    method: Method
    is_consistent: bool
    name: str
    subject: bytes
    issuer: bytes
    subject_name: Comparable
    issuer_name: Comparable
    serial: int
    extensions: Mapping[str, bytes]
    critical: frozenset[str]
    is_authority: bool
    path_length: int | None
    purposes: tuple[str, ...] | None
    usage: frozenset[str] | None
    key_id: bytes | None

    def is_valid_at(self, time: datetime) -> bool:
        """Whether `time` is in the certificate's life; its last second counts whole (RFC 5280,
        4.1.2.5).
        """
        return self.not_before <= time.replace(microsecond=0) <= self.not_after

    def bound(self, time: datetime) -> dict[str, str]:
        """Return in which way `time` is out of the certificate's life, as parameters of a
        message.
        """
        if time > self.not_after:
            return {"when": "ended", "bound": format_time(self.not_after)}
        return {"when": "begins", "bound": format_time(self.not_before)}

    def has_signed(
        self, content: bytes, signature: bytes, method: Method, digest: str | None = None
    ) -> bool | None:
        """Tell whether this certificate's key made `signature`, as signature.is_signed does.

        A key for RSASSA-PSS signs in no other way, and with the parameters that the certificate
        gives it, if any (RFC 4055, 1.2 and 3.3).
        """
        own = self.key_method
        if own.algorithm == "rsassa_pss" and (
            method.pss is None
            or (own.pss and (own.pss[:2] != method.pss[:2] or own.pss[2] > method.pss[2]))
        ):
            return None
        return is_signed(content, signature, method, self.key, digest)


@dataclass(frozen=True, slots=True)
class Chain:
    """What leads from a certificate to trusted roots.

    `path` goes from the certificate to `root`, both included, and holds by all rules; it is empty,
    and `root` None, if none does. Then `refusal` says why, or is None if no signature leads to a
    trusted root.
    """

    path: tuple[X509Certificate, ...] = ()
    root: TrustedRoot | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found from a certificate up: all certificates from which signatures lead to it, by
    DER, and the issuers of each, as they were found. `unjudged` is a signature that no provider
    knows how to check, if there is one, or that it was one too many.
    """

    certificates: dict[bytes, X509Certificate]
    issuers: dict[bytes, list[bytes]]
    unjudged: Refusal | None


def spoken_name(name: bytes) -> str:
    """Return what people call the bearer of the X.500 `name` (DER): its common name, or else all of
    it; "?" if it cannot be read, which is no fault where nobody compares it.
    """
    with suppress(InvalidInput), reading("Name (RFC 5280, 4.1.2.4)"):
        read = asn1_x509.Name.load(name)
        return shown(str(read.native.get("common_name") or read.human_friendly))
    return "?"


def issuer_of(certificate: X509Certificate) -> str:
    """Return what people call the issuer of a certificate: its root, where nothing leads on."""
    return spoken_name(certificate.issuer)


@lru_cache(_KEPT)
def read_certificate(der: bytes) -> X509Certificate | None:
    """Return the certificate with all that is needed of it read once, so that nothing is raised
    later; None if it cannot be.

    What nothing depends on is not looked at: the version, for one, or the text of a name.
    """
    try:
        demand_der(der)
        with reading("Certificate (RFC 5280, 4.1)"):
            return _read_outer(der, asn1_x509.Certificate.load(der, strict=True))
    except InvalidInput:
        return None


def _read_outer(der: bytes, outer: Any) -> X509Certificate | None:
    fields, method = outer["tbs_certificate"], outer["signature_algorithm"]
    if len(outer) > _PARTS or len(fields) > _FIELDS:
        return None
    subject, issuer = (encoding_of(fields[name]) for name in ("subject", "issuer"))
    extensions, critical = read_extensions(fields["extensions"])
    serial, key_info = fields["serial_number"].native, fields["subject_public_key_info"]
    # A serial number is positive (RFC 5280, 4.1.2.2); some old roots have a 0.
    if serial < 0 or (serial == 0 and issuer != subject):
        return None
    constraints = _native(extensions, "basic_constraints", asn1_x509.BasicConstraints, dict)
    path_length = constraints["path_len_constraint"] if constraints else None
    if path_length is not None and path_length < 0:
        return None
    return X509Certificate(
        der=der,
        content=encoding_of(fields),
        signature=read_bits(outer["signature_value"]),
        not_before=read_x509_time(fields["validity"]["not_before"]),
        not_after=read_x509_time(fields["validity"]["not_after"]),
        key=_key(encoding_of(key_info)),
        key_method=_key_method(key_info["algorithm"]),
        key_info=encoding_of(key_info),
        key_bits=read_bits(key_info["public_key"]),
        method=read_method(method),
        is_consistent=encoding_of(fields["signature"]) == encoding_of(method),
        name=spoken_name(subject),
        subject=subject,
        issuer=issuer,
        subject_name=comparable(subject),
        issuer_name=comparable(issuer),
        serial=serial,
        extensions=extensions,
        critical=critical,
        is_authority=bool(constraints and constraints["ca"]),
        path_length=path_length,
        purposes=_native(extensions, "extended_key_usage", asn1_x509.ExtKeyUsageSyntax, tuple),
        usage=_native(extensions, "key_usage", asn1_x509.KeyUsage, frozenset),
        key_id=_native(extensions, "key_identifier", core.OctetString, bytes),
    )


def _key(key_info: bytes) -> Any:
    """Return the public key in a SubjectPublicKeyInfo: cryptography's, or that of a provider of
    other algorithms; None if no one reads it.
    """
    try:
        return load_der_public_key(key_info)
    except (UnsupportedAlgorithm, ValueError):
        return read_key(key_info)


def _key_method(algorithm: Any) -> Method:
    name = algorithm["algorithm"].native
    return Method(name, None, read_pss(algorithm["parameters"]) if name == "rsassa_pss" else None)


def _native(
    extensions: Mapping[str, bytes], name: str, kind: Any, form: Callable[[Any], _Value]
) -> _Value | None:
    value = read_extension(extensions, name, kind)
    return None if value is None else form(value.native)


def is_issued_by(subject: X509Certificate, issuer: X509Certificate) -> bool | None:
    """Tell whether `subject` names `issuer` and its key signed it, None if no provider knows how to
    check that signature. Looks at no other rule.
    """
    if subject.issuer_name != issuer.subject_name:
        return False
    return _is_signed_by(subject.der, issuer.der)


@lru_cache(_KEPT_PAIRS)
def _is_signed_by(below: bytes, above: bytes) -> bool | None:
    subject, issuer = read_certificate(below), read_certificate(above)
    assert subject
    assert issuer
    if not subject.is_consistent:
        return False
    return issuer.has_signed(subject.content, subject.signature, subject.method)


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
        root.certificate: root
        for root in sorted(trust.roots, key=lambda root: -root.assurance)
        if root.is_trusted_at(time)
    }
    # The verifier's own come first: what a stranger adds must not use the search up.
    found = _search(certificate, [*trusted, *trust.certificates, *candidates])
    refused: list[Refusal] = []
    for root in trusted.values():
        for path in _paths(certificate, root.certificate, found):
            fault = refusal(path, time) if path else _given_up()
            if fault is None:
                return Chain(path, root)
            refused.append(fault)
    if found.unjudged:
        refused.insert(0, found.unjudged)
    beyond = next((each for each in refused if each.is_beyond), None)
    return Chain(refusal=beyond or next(iter(refused), None))


def _given_up() -> Refusal:
    said = message("chain-search-ended", most=MAX_INTERMEDIATES, paths=MAX_PATHS)
    return Refusal(said, is_beyond=True)


def climb(certificate: X509Certificate, candidates: Sequence[bytes]) -> tuple[X509Certificate, ...]:
    """Return a way up from `certificate` through `candidates`, as far as signatures lead and
    whatever it is worth.
    """
    found = _search(certificate, candidates)
    path = [certificate]
    while above := [
        der for der in found.issuers.get(path[-1].der, ()) if all(der != each.der for each in path)
    ]:
        path.append(found.certificates[above[0]])
    return tuple(path)


def _search(certificate: X509Certificate, candidates: Iterable[bytes]) -> _Found:
    """Return what leads up from `certificate`. Looks at no other rule than names and signatures.

    There may be hundreds of candidates. Only those that bear the name that a certificate gives its
    issuer are read at all, and only as many signatures are checked as MAX_CHAIN_SIGNATURES.
    """
    named: dict[Comparable | None, list[bytes]] = {}
    for der in dict.fromkeys(candidates):
        named.setdefault(subject_of(der), []).append(der)
    certificates = {certificate.der: certificate}
    issuers: dict[bytes, list[bytes]] = {}
    checked: dict[tuple[bytes, bytes], bool | None] = {}
    unjudged: Refusal | None = None
    # In the order in which they are found, so that the shortest ways are searched first.
    waiting = deque([certificate])
    while waiting:
        subject = waiting.popleft()
        for issuer in _read(named.get(subject.issuer_name, ())):
            if issuer.der == subject.der:
                continue
            # Several certificates of one key cost one signature.
            pair = subject.der, issuer.key_info
            if pair not in checked:
                if len(checked) == MAX_CHAIN_SIGNATURES:
                    return _Found(certificates, issuers, _given_up())
                checked[pair] = is_issued_by(subject, issuer)
            if checked[pair] is None:
                unjudged = unjudged or _unknown_method(subject, issuer)
            if not checked[pair]:
                continue
            issuers.setdefault(subject.der, []).append(issuer.der)
            if issuer.der not in certificates:
                certificates[issuer.der] = issuer
                waiting.append(issuer)
    return _Found(certificates, issuers, unjudged)


def _read(ders: Sequence[bytes]) -> list[X509Certificate]:
    return [read for der in ders if (read := read_certificate(der))]


def _unknown_method(subject: X509Certificate, issuer: X509Certificate) -> Refusal:
    name, method = subject.name, shown(subject.method.algorithm)
    if package := lacking(subject.method):
        said = message(
            "certificate-method-needs-package", name=name, method=method, package=package
        )
    else:
        key = shown(issuer.key_method.algorithm)
        said = message("certificate-method-not-accepted", name=name, method=method, key=key)
    return Refusal(said, is_beyond=True)


def _paths(
    certificate: X509Certificate, root: bytes, found: _Found
) -> Iterator[tuple[X509Certificate, ...]]:
    """Give the paths from `certificate` to `root`, the shortest first, and an empty one where the
    search was given up: after MAX_PATHS, or at one that is too long. No key comes twice below the
    root (RFC 4158, 2.4.2): a loop adds nothing.
    """
    waiting = deque[tuple[X509Certificate, ...]]()
    if root in found.certificates:
        waiting.append((certificate,))
    begun = 0
    while waiting:
        path = waiting.popleft()
        if path[-1].der == root:
            yield path
            continue
        begun += 1
        if begun > MAX_PATHS or len(path) > MAX_INTERMEDIATES + 1:
            yield ()
            return
        keys = {(each.subject_name, each.key_info) for each in path}
        for der in found.issuers.get(path[-1].der, ()):
            above = found.certificates[der]
            if der == root or (above.subject_name, above.key_info) not in keys:
                waiting.append((*path, above))
