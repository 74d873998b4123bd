"""The client of authorities without a network: what it is made of, and the list of well-known
ones."""

import base64
import json
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from witnesstree.anchor.http import place
from witnesstree.anchor.settings import AuthoritySettings, add_table, read_settings
from witnesstree.anchor.tsa.client import FETCH_TIMEOUT, MAX_BESIDE, MAX_FETCHES, HttpAuthority
from witnesstree.anchor.tsa.presets import KNOWN, PRESETS
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof.proof import MAX_PROOF, MAX_WITNESSES
from witnesstree.ledger.tokens.token import MAX_TOKEN
from witnesstree.ledger.trust import Trust

VECTORS = Path(__file__).parents[2] / "vectors"


def test_a_password_that_is_nowhere() -> None:
    settings = AuthoritySettings(
        url="http://example.org", user="us", password="env:NO_SUCH_VARIABLE"
    )
    with pytest.raises(InvalidInput, match="NO_SUCH_VARIABLE is not set"):
        HttpAuthority("court", settings, Trust())


def test_a_client_certificate_that_is_none(tmp_path: Path) -> None:
    settings = AuthoritySettings(
        url="https://example.org", client_certificate=tmp_path / "none.pem"
    )
    with pytest.raises(InvalidInput, match="and its key are no pair"):
        HttpAuthority("court", settings, Trust())


def test_what_is_kept_beside_tokens_fits_into_a_proof() -> None:
    """Base64 makes 4 bytes of 3; a fourth of the proof is left for all else."""
    assert MAX_WITNESSES * (MAX_BESIDE + MAX_TOKEN) * 4 // 3 <= MAX_PROOF
    assert MAX_FETCHES * FETCH_TIMEOUT <= 60


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_settings(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    assert preset.name == name
    assert preset.operator
    assert preset.chain
    assert preset.limits
    if preset.url is None:
        return
    assert place(preset.url) in preset.url
    add_table(tmp_path, "authorities", name, {"url": preset.url})
    assert read_settings(tmp_path).authorities[name] == AuthoritySettings(url=preset.url)


def test_presets_name_each_address_once_and_say_when_they_were_known() -> None:
    addresses = [preset.url for preset in PRESETS.values() if preset.url]
    assert len(addresses) == len(set(addresses)) >= 12
    assert date.fromisoformat(KNOWN)


def test_fingerprints_of_presets_are_those_of_certificates_at_hand() -> None:
    """A root that is published nowhere else is in Mozilla's programme; others came with a token of
    the authority. Names are compared as text in the DER, where they stand as they are written."""
    from witnesstree.anchor.truststore import certifi_roots

    vectors = json.loads((VECTORS / "token" / "tokens.json").read_text(encoding="utf-8"))
    tokens = [base64.b64decode(each["certificate"]) for each in vectors["roots"].values()]
    mozilla = [root.certificate for root in certifi_roots()]
    found = 0
    for preset in PRESETS.values():
        for fingerprint, root in preset.known.items():
            ders = tokens if root.published else mozilla
            (der,) = (each for each in ders if sha256(each).hexdigest() == fingerprint)
            assert root.name.encode() in der, root.name
            found += 1
    assert found == 6


def test_presets_say_what_is_known_of_their_roots() -> None:
    assert str(PRESETS["certum"].chain).startswith("not known here")
    assert str(PRESETS["apple"].chain) == "“Apple Root CA”, whose fingerprint is not known here"
    assert str(PRESETS["freetsa"].chain) == (
        "“www.freetsa.org” (SHA-256"
        " a6379e7cecc05faa3cbf076013d745e327bbbaa38c0b9af22469d4701d18aabc), published at"
        " https://freetsa.org/files/cacert.pem"
    )
    assert PRESETS["sectigo"].chain.params[0] == ("count", 2)
