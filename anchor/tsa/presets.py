"""Well-known time-stamping authorities: what `witnesstree authority add NAME` fills in.

Facts from their operators' pages and from published tokens, as they were known on the day in KNOWN.
Nothing here is trusted: addresses change, services end, and whether a token counts is decided by
the trust store alone. No address was asked for this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from witnesstree.ledger.base.message import Message, message

KNOWN: Final = "2026-11-23"
"""The day on which all of this was last looked up."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One authority.

    `url` is None where a contract names it. `root` says whose programme vouches for the root of
    its tokens' certificates, and which root it is or where; `terms` what it asks of its users.
    """

    name: str
    operator: str
    url: str | None
    root: tuple[str, str]
    terms: str

    @property
    def chain(self) -> Message:
        """Where its tokens' certificates end."""
        return message("root-of-authority", programme=self.root[0], root=self.root[1])

    @property
    def limits(self) -> Message:
        """What it asks of its users."""
        return message("limits-of-authority", terms=self.terms)


_MOZILLA: Final = "mozilla"
_OWN: Final = "own"
_UNKNOWN: Final = "unknown"
"""Whose programme vouches for the root."""

_PRESETS: Final = (
    Preset(
        "digicert",
        "DigiCert",
        "http://timestamp.digicert.com",
        (_MOZILLA, "DigiCert Trusted Root G4"),
        "none-published",
    ),
    Preset(
        "sectigo",
        "Sectigo",
        "http://timestamp.sectigo.com",
        (
            _MOZILLA,
            "USERTrust RSA Certification Authority (Sectigo Public Time Stamping Root R46)",
        ),
        "pause-between-requests",
    ),
    Preset(
        "sectigo-qualified",
        "Sectigo (eIDAS)",
        "http://timestamp.sectigo.com/qualified",
        (_UNKNOWN, ""),
        "pause-between-requests",
    ),
    Preset(
        "globalsign",
        "GlobalSign",
        "http://timestamp.globalsign.com/tsa/r6advanced1",
        (_MOZILLA, "GlobalSign Root CA - R6"),
        "none-published",
    ),
    Preset("sslcom", "SSL.com", "http://ts.ssl.com", (_UNKNOWN, ""), "none-known"),
    Preset(
        "identrust",
        "IdenTrust",
        "http://timestamp.identrust.com",
        (
            _MOZILLA,
            "IdenTrust Commercial Root CA 1 (2025), IdenTrust Public Sector Root CA 1 (2026)",
        ),
        "none-known",
    ),
    Preset("certum", "Certum (Asseco)", "http://time.certum.pl", (_UNKNOWN, ""), "none-known"),
    Preset(
        "apple",
        "Apple",
        "http://timestamp.apple.com/ts01",
        (_OWN, "Apple Root CA"),
        "code-for-apple",
    ),
    Preset(
        "microsoft",
        "Microsoft (Azure Artifact Signing)",
        "http://timestamp.acs.microsoft.com",
        (_OWN, "Microsoft Identity Verification Root Certificate Authority 2020"),
        "code-for-azure",
    ),
    Preset(
        "quovadis",
        "QuoVadis (DigiCert, eIDAS)",
        "http://ts.quovadisglobal.com/eu",
        (_UNKNOWN, ""),
        "none-known",
    ),
    Preset("swisssign", "SwissSign", "http://tsa.swisssign.net", (_UNKNOWN, ""), "none-known"),
    Preset(
        "freetsa",
        "freetsa.org",
        "https://freetsa.org/tsr",
        (_OWN, "https://freetsa.org/files/cacert.pem"),
        "volunteers",
    ),
    Preset(
        "sigstore",
        "sigstore",
        "https://timestamp.sigstore.dev/api/v1/timestamp",
        (_OWN, "https://timestamp.sigstore.dev/api/v1/timestamp/certchain"),
        "signatures-of-sigstore",
    ),
    Preset(
        "dfn",
        "DFN-Verein",
        "http://zeitstempel.dfn.de",
        (_UNKNOWN, ""),
        "members-of-dfn",
    ),
    Preset(
        "tsa-cn",
        "联合信任时间戳服务中心 (UniTrust), China",
        None,
        (_UNKNOWN, ""),
        "by-contract",
    ),
)

PRESETS: Final = {preset.name: preset for preset in _PRESETS}
