"""EU trusted lists (ETSI TS 119 612, versions 2.1.1 to 2.4.1): whom a member state lets stamp.

Offline, from bytes. The list's own signature (XAdES, enveloped) is checked by signxml, of the extra
`witnesstree[lists]`, and what it does not cover is never read. The list is hostile until then: it
declares no document type and no entities, and has limits.
docs/decisions/0032-trust-lists.md says what is taken from a list, and what is not.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from witnesstree.anchor.extras import LISTS, require_extra
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptography import x509

MAX_LIST: Final = 16 * 2**20
"""Bytes in a list: the largest of the member states have 1 to 3 MiB."""
MAX_SERVICES: Final = 1000
"""Times of service that are taken from one list: the longest have some 50 time-stamping
services."""
MAX_CERTIFICATE: Final = 16 * 1024
"""Bytes in one certificate of a list."""
MAX_ISSUE: Final = 10**9 - 1
"""The largest number of an issue: the lists began in 2010, and have some hundred by now."""

_TSL: Final = "{http://uri.etsi.org/02231/v2#}"
_ROOT: Final = f"{_TSL}TrustServiceStatusList"
_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
# TS 119 612, 5.3.1: 5 since version 2.1.1, 6 since 2.4.1. What is read here is the same in both.
_VERSIONS: Final = frozenset({"5", "6"})
# TS 119 612, 5.3.3 and D.2.
_KIND: Final = "http://uri.etsi.org/TrstSvc/TrustedList/TSLType/EUgeneric"
# TS 119 612, 5.5.1 and 5.5.4, D.5: what a service is, and the status in which it counts.
_STATUS: Final = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
_COUNTING: Final = {
    "http://uri.etsi.org/TrstSvc/Svctype/TSA/QTST": f"{_STATUS}granted",
    "http://uri.etsi.org/TrstSvc/Svctype/TSA": f"{_STATUS}recognisedatnationallevel",
}
# TS 119 612, 5.5.9.4 says more of what a service is for; the type has said it.
_KNOWN_EXTENSIONS: Final = frozenset({f"{_TSL}AdditionalServiceInformation"})
_METHODS: Final = (
    "RSA_SHA256",
    "RSA_SHA384",
    "RSA_SHA512",
    "ECDSA_SHA256",
    "ECDSA_SHA384",
    "ECDSA_SHA512",
    "SHA256_RSA_MGF1",
    "SHA384_RSA_MGF1",
    "SHA512_RSA_MGF1",
)
_DIGESTS: Final = frozenset({"SHA256", "SHA384", "SHA512"})
"""What may have signed and digested a list: no SHA-1, and nothing with a shared key."""
_TERRITORY: Final = re.compile("[A-Z]{2}")
_PROLOGUE: Final = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Service:
    """A time in which a certificate (DER) of a time-stamping service counts: from `since` on, and
    before `until`, None where it still does.

    The certificate is an authority's, or the one that it signs tokens with.
    """

    certificate: bytes
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class TrustedList:
    """One issue of a member state's list.

    `territory` is as the list writes it: two capital letters. `next_update` is None where the list
    is the last one (TS 119 612, 5.3.15). `signer` is the SHA-256 of the certificate whose key
    signed it, in hex. `passed_over` counts certificates of time-stamping services that were not
    taken: unreadable, or with a critical extension that is not known here.
    """

    territory: str
    issue: int
    issued: datetime
    next_update: datetime | None
    signer: str
    services: tuple[Service, ...]
    passed_over: int = 0

    def is_outdated(self, now: datetime) -> bool:
        """Whether a newer issue should be there by now, or the list has ended."""
        return self.next_update is None or self.next_update < now


def parse_list(content: bytes, signers: Sequence[x509.Certificate], now: datetime) -> TrustedList:
    """Return what a list of at most MAX_LIST bytes says of time-stamping services.

    One of `signers`, the certificates that the user has from the list of lists or the Official
    Journal, must have signed it, and must not have ended at `now`. Nothing that the list itself
    says of its signer is believed.

    Raises InvalidInput, also if signxml is not installed.
    """
    require_extra(LISTS)
    root = _read_xml(content)
    if root.tag != _ROOT:
        raise InvalidInput("list-expected", found=_shown(str(root.tag)))
    signer = _signer_of(root, signers)
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        raise InvalidInput("list-signer-out-of-life", name=_name(signer), **_life(signer, now))
    return _read_list(_signed_part(content, root, signer, now), signer)


def _life(certificate: x509.Certificate, now: datetime) -> dict[str, Any]:
    has_ended = now > certificate.not_valid_after_utc
    day = certificate.not_valid_after_utc if has_ended else certificate.not_valid_before_utc
    return {"when": "ended" if has_ended else "begins", "date": f"{day:%Y-%m-%d}"}


def _read_xml(content: bytes) -> Any:
    """Return the root element. TS 119 612, B.1 asks for UTF-8, whatever the declaration says."""
    from lxml import etree

    if len(content) > MAX_LIST:
        raise InvalidInput("list-too-large", found=len(content), most=MAX_LIST)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("list-not-xml") from error
    if _PROLOGUE.search(content):
        raise InvalidInput("list-declares-entities")
    try:
        return etree.fromstring(content, _parser(is_whole=False))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidInput("list-not-xml") from error


def _parser(*, is_whole: bool) -> Any:
    """Return a parser that fetches and replaces nothing. What is digested is the whole; where it is
    read, comments would cut texts in two.
    """
    from lxml import etree

    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=not is_whole,
        remove_pis=not is_whole,
    )


def _signer_of(root: Any, signers: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the one of `signers` that the signature names as its own: a hint, which saves trying
    each, and the words for who is missing.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    signatures = root.findall(f"./{_DS}Signature")
    if len(signatures) != 1:
        raise InvalidInput("list-signatures-not-one", count=len(signatures))
    named = signatures[0].findall(f"./{_DS}KeyInfo/{_DS}X509Data/{_DS}X509Certificate")
    ders = [_decoded(each.text) for each in named]
    for signer in signers:
        if signer.public_bytes(Encoding.DER) in ders:
            return signer
    raise InvalidInput(
        "list-signed-by-others",
        found=next((name for der in ders if (name := _name_in(der))), None),
        given=[_name(each) for each in signers],
    )


def _name(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return _name_in(certificate.public_bytes(Encoding.DER)) or "?"


def _name_in(der: bytes) -> str | None:
    from witnesstree.ledger.tokens.x509 import read_certificate

    read = read_certificate(der)
    return read.name if read else None


def _shown(text: str) -> str:
    from witnesstree.ledger.base.der import shown

    return shown(text)


def _decoded(text: str | None) -> bytes:
    with suppress(ValueError):
        return base64.b64decode("".join((text or "").split()), validate=True)
    return b""


def _signed_part(content: bytes, root: Any, signer: x509.Certificate, now: datetime) -> Any:
    """Return the list as `signer` signed it: read anew from the very bytes that were digested, so
    that nothing else can be taken for it.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from lxml import etree
    from signxml.algorithms import DigestAlgorithm, SignatureMethod
    from signxml.exceptions import InvalidDigest, SignXMLException
    from signxml.xades.xades import XAdESSignatureConfiguration, XAdESVerifier

    expected = XAdESSignatureConfiguration(
        location="./",
        expect_references=True,
        signature_methods=frozenset(
            each for each in SignatureMethod if each.name.startswith(_METHODS)
        ),
        digest_algorithms=frozenset(each for each in DigestAlgorithm if each.name in _DIGESTS),
        # What the list says of its key means nothing: the user's certificate has it.
        ignore_ambiguous_key_info=True,
        verification_time=now,
    )
    try:
        results = XAdESVerifier().verify(
            content, x509_cert=signer, expect_config=expected, parser=_parser(is_whole=True)
        )
        references = results[0].signature_xml.findall(f"./{_DS}SignedInfo/{_DS}Reference")
        name = root.get("Id")
        whole = [
            etree.fromstring(result.signed_data, _parser(is_whole=False))
            for reference, result in zip(references, results, strict=True)
            if reference.get("URI") in {"", f"#{name}" if name else ""}
        ]
    except InvalidDigest as error:
        raise InvalidInput("list-changed") from error
    except InvalidSignature as error:
        raise InvalidInput("list-signature-wrong", name=_name(signer)) from error
    except (
        SignXMLException,
        UnsupportedAlgorithm,
        etree.LxmlError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
    ) as error:
        raise InvalidInput("list-signature-unreadable") from error
    if [each.tag for each in whole] != [_ROOT]:
        raise InvalidInput("list-not-signed-whole")
    return whole[0]


# What is signed
# --------------------------------------------------------------------------------------------------


def _read_list(root: Any, signer: x509.Certificate) -> TrustedList:
    from cryptography.hazmat.primitives import hashes

    scheme = _child(root, "SchemeInformation")
    version, kind = _text(scheme, "TSLVersionIdentifier"), _text(scheme, "TSLType")
    if version not in _VERSIONS:
        raise InvalidInput("list-version-unknown", found=_shown(version))
    if kind != _KIND:
        raise InvalidInput("list-of-another-kind", found=_shown(kind))
    territory = _text(scheme, "SchemeTerritory")
    if not _TERRITORY.fullmatch(territory):
        raise InvalidInput("list-member-unreadable", name="SchemeTerritory")
    next_update = _child(scheme, "NextUpdate")
    services, passed_over = _services(root)
    return TrustedList(
        territory=territory,
        issue=_number(scheme, "TSLSequenceNumber"),
        issued=_time(scheme, "ListIssueDateTime"),
        next_update=_time(next_update, "dateTime") if len(next_update) else None,
        signer=signer.fingerprint(hashes.SHA256()).hex(),
        services=services,
        passed_over=passed_over,
    )


def _services(root: Any) -> tuple[tuple[Service, ...], int]:
    found: list[Service] = []
    passed_over = 0
    for service in root.iterfind(
        f"./{_TSL}TrustServiceProviderList/{_TSL}TrustServiceProvider/{_TSL}TSPServices/{_TSL}TSPService"
    ):
        information = _child(service, "ServiceInformation")
        history = service.iterfind(f"./{_TSL}ServiceHistory/{_TSL}ServiceHistoryInstance")
        times = list(_times([information, *history]))
        if not times:
            continue
        path = f"./{_TSL}ServiceDigitalIdentity/{_TSL}DigitalId/{_TSL}X509Certificate"
        ders = [_decoded(each.text) for each in information.iterfind(path)]
        read = [der for der in dict.fromkeys(ders) if _is_usable(der)]
        passed_over += len(ders) - len(read)
        if _has_unknown_rule(information):
            passed_over += len(read)
            continue
        found += [Service(der, since, until) for der in read for since, until in times]
    if len(found) > MAX_SERVICES:
        raise InvalidInput("list-services-too-many", most=MAX_SERVICES)
    return tuple(dict.fromkeys(found)), passed_over


def _is_usable(der: bytes) -> bool:
    from cryptography.x509 import load_der_x509_certificate

    from witnesstree.anchor.tsa.standin import is_stand_in
    from witnesstree.ledger.tokens.x509 import read_certificate

    if len(der) > MAX_CERTIFICATE or read_certificate(der) is None:
        return False
    with suppress(ValueError):
        return not is_stand_in(load_der_x509_certificate(der))
    return False


def _times(states: Iterable[Any]) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield the times in which a service counts. Its `states` are the present one and those before,
    the newest first, each from its own time to that of the next (TS 119 612, 5.5.10).
    """
    ordered = sorted(
        ((_time(state, "StatusStartingTime"), state) for state in [*states][::-1]),
        key=lambda each: each[0],
    )
    ends: list[datetime | None] = [since for since, _ in ordered[1:]]
    for (since, state), until in zip(ordered, [*ends, None], strict=True):
        counting = _COUNTING.get(_text(state, "ServiceTypeIdentifier"))
        if counting == _text(state, "ServiceStatus") and since != until:
            yield since, until


def _has_unknown_rule(information: Any) -> bool:
    """Whether an extension limits the service in a way that is not known here, and says that it
    must not be passed over (TS 119 612, 5.5.9).
    """
    return any(
        extension.get("Critical") in {"true", "1"}
        and not {child.tag for child in extension} <= _KNOWN_EXTENSIONS
        for extension in information.iterfind(
            f"./{_TSL}ServiceInformationExtensions/{_TSL}Extension"
        )
    )


def _child(element: Any, name: str) -> Any:
    found = element.findall(f"./{_TSL}{name}")
    if len(found) != 1:
        raise InvalidInput("list-member-unreadable", name=name)
    return found[0]


def _text(element: Any, name: str) -> str:
    return (_child(element, name).text or "").strip()


def _number(element: Any, name: str) -> int:
    text = _text(element, name)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ISSUE))):
        raise InvalidInput("list-member-unreadable", name=name)
    return int(text)


def _time(element: Any, name: str) -> datetime:
    """Return an xs:dateTime with its zone, in whole seconds."""
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(_text(element, name))
        if found.tzinfo is not None:
            return found.astimezone(UTC).replace(microsecond=0)
    raise InvalidInput("list-member-unreadable", name=name)
