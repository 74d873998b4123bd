"""Well-known time-stamping authorities: what `witnesstree authority add NAME` fills in.

Facts from their operators' pages and from published tokens, as they were known on the day in KNOWN.
Nothing here is trusted: addresses change, services end, and whether a token counts is decided by
the trust store alone. No address was asked for this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KNOWN: Final = "2026-11-23"
"""The day on which all of this was last looked up."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One authority.

    `url` is None where a contract names it. `chain` says where its tokens' certificates end,
    `limits` what it asks of its users.
    """

    name: str
    operator: str
    url: str | None
    chain: str
    limits: str


_MOZILLA: Final = "in Mozilla's programme, so trusted by default: "
_OWN: Final = "not in Mozilla's programme, needs `witnesstree trust add`: "
_UNKNOWN: Final = "not known here: `witnesstree authority check` tells"

_PRESETS: Final = (
    Preset(
        "digicert",
        "DigiCert",
        "http://timestamp.digicert.com",
        f"{_MOZILLA}DigiCert Trusted Root G4",
        "none published",
    ),
    Preset(
        "sectigo",
        "Sectigo",
        "http://timestamp.sectigo.com",
        f"{_MOZILLA}USERTrust RSA Certification Authority, by a cross-certificate of Sectigo Public"
        " Time Stamping Root R46",
        "scripts are asked to wait 15 seconds or more between requests",
    ),
    Preset(
        "sectigo-qualified",
        "Sectigo, its eIDAS service",
        "http://timestamp.sectigo.com/qualified",
        _UNKNOWN,
        "scripts are asked to wait 15 seconds or more between requests",
    ),
    Preset(
        "globalsign",
        "GlobalSign",
        "http://timestamp.globalsign.com/tsa/r6advanced1",
        f"{_MOZILLA}GlobalSign Root CA - R6",
        "none published",
    ),
    Preset("sslcom", "SSL.com", "http://ts.ssl.com", _UNKNOWN, "none known here"),
    Preset(
        "identrust",
        "IdenTrust",
        "http://timestamp.identrust.com",
        f"{_MOZILLA}IdenTrust Commercial Root CA 1 in tokens of 2025, IdenTrust Public Sector Root"
        " CA 1 in newer ones",
        "none known here",
    ),
    Preset("certum", "Certum (Asseco)", "http://time.certum.pl", _UNKNOWN, "none known here"),
    Preset(
        "apple",
        "Apple",
        "http://timestamp.apple.com/ts01",
        f"{_OWN}Apple Root CA",
        "meant for signing code for Apple's systems",
    ),
    Preset(
        "microsoft",
        "Microsoft, for Azure Artifact Signing",
        "http://timestamp.acs.microsoft.com",
        f"{_OWN}Microsoft Identity Verification Root Certificate Authority 2020",
        "meant for signing code with Azure",
    ),
    Preset(
        "quovadis",
        "QuoVadis (DigiCert), its eIDAS service",
        "http://ts.quovadisglobal.com/eu",
        _UNKNOWN,
        "none known here",
    ),
    Preset("swisssign", "SwissSign", "http://tsa.swisssign.net", _UNKNOWN, "none known here"),
    Preset(
        "freetsa",
        "freetsa.org, run by volunteers",
        "https://freetsa.org/tsr",
        f"{_OWN}its own, at https://freetsa.org/files/cacert.pem",
        "none known here; no contract, and nobody who answers for it",
    ),
    Preset(
        "sigstore",
        "sigstore, its public service",
        "https://timestamp.sigstore.dev/api/v1/timestamp",
        f"{_OWN}sigstore's own, at https://timestamp.sigstore.dev/api/v1/timestamp/certchain",
        "meant for signatures made with sigstore; tokens carry the signer's certificate alone, so"
        " add the intermediate one, too",
    ),
    Preset(
        "dfn",
        "DFN-Verein, for German universities",
        "http://zeitstempel.dfn.de",
        _UNKNOWN,
        "members of DFN only, for non-commercial purposes; whether it is still offered was not"
        " known",
    ),
    Preset(
        "tsa-cn",
        "联合信任时间戳服务中心 (UniTrust), China",
        None,
        _UNKNOWN,
        "by contract, which names the address, the user and the password",
    ),
)

PRESETS: Final = {preset.name: preset for preset in _PRESETS}
