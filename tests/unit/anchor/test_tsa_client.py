"""The client of authorities without a network: what it is made of, and the list of well-known
ones."""

from datetime import date
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


def test_roots_that_presets_call_trusted_are_in_certifi() -> None:
    """Names are compared as text in the DER, where common names stand as they are written."""
    from witnesstree.anchor.truststore import certifi_roots

    every = b"".join(root.certificate for root in certifi_roots())
    for name in ("digicert", "sectigo", "globalsign", "identrust"):
        named = PRESETS[name].root[1].partition(" (")[0]
        common = named.removeprefix("GlobalSign Root CA - ")
        assert common.encode() in every, named
    for name in ("apple", "microsoft"):
        assert PRESETS[name].root[1].encode() not in every
