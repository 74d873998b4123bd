"""Makes EU trusted lists (ETSI TS 119 612) of states that there are not, and signs them as scheme
operators do (XAdES, enveloped)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lxml import etree
from servers.tsa import Issuer, der, pem
from signxml import CanonicalizationMethod, SignatureConstructionMethod
from signxml.xades import XAdESSigner

if TYPE_CHECKING:
    from cryptography import x509

NS = "http://uri.etsi.org/02231/v2#"
DS = "http://www.w3.org/2000/09/xmldsig#"
QTST = "http://uri.etsi.org/TrstSvc/Svctype/TSA/QTST"
TSA = "http://uri.etsi.org/TrstSvc/Svctype/TSA"
GENERIC = "http://uri.etsi.org/TrstSvc/TrustedList/TSLType/EUgeneric"
STATUS = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
ISSUED = datetime(2026, 10, 1, tzinfo=UTC)
NEXT = datetime(2027, 3, 1, tzinfo=UTC)
LONG_AGO = "2016-07-01T00:00:00Z"


@dataclass(frozen=True)
class Listed:
    """A service; `states` are its statuses with their starting times, the newest first."""

    certificates: Sequence[x509.Certificate | str]
    states: Sequence[tuple[str, str]] = (("granted", LONG_AGO),)
    kind: str = QTST
    extensions: str = ""


def _state(tag: str, service: Listed, status: str, since: str, identity: str) -> str:
    return (
        f"<{tag}><ServiceTypeIdentifier>{service.kind}</ServiceTypeIdentifier>"
        '<ServiceName><Name xml:lang="en">Timestamps</Name></ServiceName>'
        f"<ServiceDigitalIdentity>{identity}</ServiceDigitalIdentity>"
        f"<ServiceStatus>{STATUS}{status}</ServiceStatus>"
        f"<StatusStartingTime>{since}</StatusStartingTime>"
        f"{service.extensions}</{tag}>"
    )


def _service(service: Listed) -> str:
    encoded = [
        each if isinstance(each, str) else base64.b64encode(der(each)).decode()
        for each in service.certificates
    ]
    identity = "".join(
        f"<DigitalId><X509Certificate>{each}</X509Certificate></DigitalId>" for each in encoded
    )
    name = "<DigitalId><X509SubjectName>CN=Somebody</X509SubjectName></DigitalId>"
    now, *before = service.states
    history = "".join(_state("ServiceHistoryInstance", service, *each, name) for each in before)
    return (
        f"<TSPService>{_state('ServiceInformation', service, *now, identity + name)}"
        f"<ServiceHistory>{history}</ServiceHistory></TSPService>"
    )


def make_list(
    services: Sequence[Listed],
    *,
    territory: str = "AT",
    issue: object = 7,
    issued: str = "2026-10-01T00:00:00Z",
    next_update: str | None = "2027-03-01T00:00:00Z",
    version: str = "5",
    kind: str = GENERIC,
    name: str = "",
) -> bytes:
    """Return a list without a signature; `name` is the Id of its root."""
    called = f' Id="{name}"' if name else ""
    following = f"<dateTime>{next_update}</dateTime>" if next_update else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<TrustServiceStatusList xmlns="{NS}"{called}>'
        f"<SchemeInformation><TSLVersionIdentifier>{version}</TSLVersionIdentifier>"
        f"<TSLSequenceNumber>{issue}</TSLSequenceNumber><TSLType>{kind}</TSLType>"
        f"<SchemeTerritory>{territory}</SchemeTerritory>"
        f"<ListIssueDateTime>{issued}</ListIssueDateTime><NextUpdate>{following}</NextUpdate>"
        "</SchemeInformation><TrustServiceProviderList><TrustServiceProvider><TSPServices>"
        f"{''.join(_service(each) for each in services)}"
        "</TSPServices></TrustServiceProvider></TrustServiceProviderList>"
        "</TrustServiceStatusList>"
    ).encode()


def sign_list(
    content: bytes,
    signer: Issuer,
    reference: str | None = None,
    *,
    method: str = "ecdsa-sha256",
    digest: str = "sha256",
    form: CanonicalizationMethod = CanonicalizationMethod.CANONICAL_XML_1_1,
) -> bytes:
    """Return the list with its signature; `reference` is the Id of what is signed, None for all."""
    made = XAdESSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=method,
        digest_algorithm=digest,
        c14n_algorithm=form,
    ).sign(
        etree.fromstring(content),
        key=signer.key,
        cert=[pem(signer.certificate).decode()],
        reference_uri=f"#{reference}" if reference else None,
    )
    return etree.tostring(made, encoding="utf-8", xml_declaration=True)
