"""Well-known time-stamping authorities: what `witnesstree authority add NAME` fills in.

Facts from their operators' pages and from published tokens, as they were known on the day in KNOWN.
Nothing here is trusted: addresses change, services end, and whether a token counts is decided by
the trust store alone. `witnesstree trust add --preset NAME` puts a root there whose fingerprint is
named here. Fingerprints are those of certificates that were at hand: in Mozilla's programme, or in
a token of the authority. No address was asked for this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from witnesstree.ledger.base.message import Message, message

KNOWN: Final = "2026-11-23"
"""The day on which all of this was last looked up."""


@dataclass(frozen=True, slots=True)
class Root:
    """A root certificate of an authority's own: what it is called, its SHA-256 in hex, and where
    its operator publishes it.

    `fingerprint` is None where nothing at hand shows it; `published` where the root is one of
    Mozilla's programme, which certifi carries, or the place is not known.
    """

    name: str
    fingerprint: str | None = None
    published: str | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """One authority.

    `url` is None where a contract names it. `roots` are those that its tokens' certificates end in,
    none where that is not known; `terms` is what it asks of its users.
    """

    name: str
    operator: str
    url: str | None
    roots: tuple[Root, ...]
    terms: str

    @property
    def chain(self) -> Message:
        """Where its tokens' certificates end."""
        roots = [
            message(
                "root-published",
                name=root.name,
                fingerprint=root.fingerprint,
                place=root.published,
            )
            for root in self.roots
        ]
        return message("roots-of-authority", count=len(roots), roots=roots)

    @property
    def known(self) -> dict[str, Root]:
        """Its roots whose fingerprint is known, by that."""
        return {root.fingerprint: root for root in self.roots if root.fingerprint}

    @property
    def limits(self) -> Message:
        """What it asks of its users."""
        return message("limits-of-authority", terms=self.terms)


_PRESETS: Final = (
    Preset(
        "digicert",
        "DigiCert",
        "http://timestamp.digicert.com",
        (
            Root(
                "DigiCert Trusted Root G4",
                "552f7bdcf1a7af9e6ce672017f4f12abf77240c78e761ac203d1d9d20ac89988",
            ),
        ),
        "none-published",
    ),
    Preset(
        "sectigo",
        "Sectigo",
        "http://timestamp.sectigo.com",
        (
            Root(
                "USERTrust RSA Certification Authority",
                "e793c9b02fd8aa13e21c31228accb08119643b749c898964b1746d46c3d4cbd2",
            ),
            Root("Sectigo Public Time Stamping Root R46"),
        ),
        "pause-between-requests",
    ),
    Preset(
        "sectigo-qualified",
        "Sectigo (eIDAS)",
        "http://timestamp.sectigo.com/qualified",
        (),
        "pause-between-requests",
    ),
    Preset(
        "globalsign",
        "GlobalSign",
        "http://timestamp.globalsign.com/tsa/r6advanced1",
        (
            Root(
                "GlobalSign Root CA - R6",
                "2cabeafe37d06ca22aba7391c0033d25982952c453647349763a3ab5ad6ccf69",
            ),
        ),
        "none-published",
    ),
    Preset("sslcom", "SSL.com", "http://ts.ssl.com", (), "none-known"),
    Preset(
        "identrust",
        "IdenTrust",
        "http://timestamp.identrust.com",
        (
            Root(
                "IdenTrust Commercial Root CA 1",
                "5d56499be4d2e08bcfcad08a3e38723d50503bde706948e42f55603019e528ae",
            ),
            Root(
                "IdenTrust Public Sector Root CA 1",
                "30d0895a9a448a262091635522d1f52010b5867acae12c78ef958fd4f4389f2f",
            ),
        ),
        "none-known",
    ),
    Preset("certum", "Certum (Asseco)", "http://time.certum.pl", (), "none-known"),
    Preset(
        "apple",
        "Apple",
        "http://timestamp.apple.com/ts01",
        (Root("Apple Root CA"),),
        "code-for-apple",
    ),
    Preset(
        "microsoft",
        "Microsoft (Azure Artifact Signing)",
        "http://timestamp.acs.microsoft.com",
        (Root("Microsoft Identity Verification Root Certificate Authority 2020"),),
        "code-for-azure",
    ),
    Preset(
        "quovadis",
        "QuoVadis (DigiCert, eIDAS)",
        "http://ts.quovadisglobal.com/eu",
        (),
        "none-known",
    ),
    Preset("swisssign", "SwissSign", "http://tsa.swisssign.net", (), "none-known"),
    Preset(
        "freetsa",
        "freetsa.org",
        "https://freetsa.org/tsr",
        (
            Root(
                "www.freetsa.org",
                "a6379e7cecc05faa3cbf076013d745e327bbbaa38c0b9af22469d4701d18aabc",
                "https://freetsa.org/files/cacert.pem",
            ),
        ),
        "volunteers",
    ),
    Preset(
        "sigstore",
        "sigstore",
        "https://timestamp.sigstore.dev/api/v1/timestamp",
        (
            Root(
                "sigstore-tsa-selfsigned",
                published="https://timestamp.sigstore.dev/api/v1/timestamp/certchain",
            ),
        ),
        "signatures-of-sigstore",
    ),
    Preset(
        "dfn",
        "DFN-Verein",
        "http://zeitstempel.dfn.de",
        (),
        "members-of-dfn",
    ),
    Preset(
        "tsa-cn",
        "联合信任时间戳服务中心 (UniTrust), China",
        None,
        (),
        "by-contract",
    ),
)

PRESETS: Final = {preset.name: preset for preset in _PRESETS}
