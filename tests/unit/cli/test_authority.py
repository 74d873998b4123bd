"""`witnesstree authority`, as people type it."""

import json
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, call
from servers.tsa import OpenSslAuthority, der, openssl_authority, pem, replying, saying, talking

from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.tsa.presets import KNOWN, PRESETS
from witnesstree.ledger.store.home import create_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return create_home(tmp_path / "home", "ledger.example/court", lambda _: None).folder


@pytest.fixture
def authority(home: Path, tmp_path: Path) -> Callable[..., Ran]:
    return lambda *arguments: call(
        "authority", *arguments, "--home", home, env={"WITNESSTREE_TRUST": str(tmp_path / "trust")}
    )


def tables(home: Path) -> Any:
    return tomllib.loads((home / "settings.toml").read_text())["authorities"]


def test_add_list_and_remove(home: Path, authority: Callable[..., Ran]) -> None:
    added = authority("add", "digicert")
    assert added.code == 0, added.talk
    assert (
        added.text
        == "Added digicert at http://timestamp.digicert.com. `witnesstree authority check digicert`"
        " tries it.\n"
    )
    assert added.talk == (
        f"DigiCert. Root: {PRESETS['digicert'].chain}. Limits: none published.\n"
        "Its tokens count once you trust its root: `witnesstree trust add --preset digicert`.\n"
    )
    assert "`witnesstree trust add --preset freetsa FILE`" in authority("add", "freetsa").talk
    assert "trust add" not in authority("add", "apple").talk
    for name in ("freetsa", "apple"):
        authority("remove", name)
    assert authority("add", "court", "https://tsa.example:444/tsr?key=secret", "--json").json == {
        "name": "court",
        "place": "https://tsa.example:444",
    }
    assert tables(home) == {
        "digicert": {"url": "http://timestamp.digicert.com"},
        "court": {"url": "https://tsa.example:444/tsr?key=secret"},
    }
    listed = authority("list")
    assert (
        listed.text == "digicert: http://timestamp.digicert.com\ncourt: https://tsa.example:444\n"
    )
    assert [each["place"] for each in authority("list", "--json").json] == [
        "http://timestamp.digicert.com",
        "https://tsa.example:444",
    ]
    assert authority("remove", "digicert").text == "Removed digicert.\n"
    assert authority("remove", "court", "--json").json == {"removed": "court", "given_up": 0}
    assert authority("remove", "court").code == 6
    assert (
        authority("list").talk
        == "None: the embedded authority is used, which proves nothing to a third party.\n"
    )


def test_options_become_settings(
    home: Path, authority: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {
        "--policy": "1.2.3",
        "--user": "us",
        "--password": "env:TSA_PASSWORD",
        "--client-certificate": "client.pem",
        "--client-key": "client.key",
        "--tls-ca": "/etc/ca.pem",
        "--timeout": "7.5",
    }
    assert (
        authority(
            "add",
            "court",
            "https://tsa.example",
            *(word for pair in options.items() for word in pair),
        ).code
        == 0
    )
    assert tables(home)["court"] == {
        "url": "https://tsa.example",
        "policy": "1.2.3",
        "user": "us",
        "password": "env:TSA_PASSWORD",
        "client_certificate": str(tmp_path / "client.pem"),
        "client_key": str(tmp_path / "client.key"),
        "tls_ca": "/etc/ca.pem",
        "timeout": 7.5,
    }
    assert authority("list").text == "court: https://tsa.example, policy 1.2.3, user us\n"


def test_private_addresses_are_allowed_by_an_option(
    home: Path, authority: Callable[..., Ran]
) -> None:
    assert authority("add", "court", "https://tsa.example", "--private-addresses").code == 0
    assert tables(home)["court"] == {"url": "https://tsa.example", "private_addresses": True}


def test_a_preset_at_another_address_is_none(authority: Callable[..., Ran]) -> None:
    assert authority("add", "digicert", "http://tsa.example").talk == ""


REFUSED = {
    "no address": (["court"], 5, "'court' is no well-known authority: give its address, too"),
    "an address by contract": (["tsa-cn"], 5, "has no public address (by contract"),
    "no web address": (["court", "tsa.example/secret"], 5, "authorities.court.url"),
    "a password in the address": (
        ["court", "https://us:secret@tsa.example"],
        5,
        "give them with --user and --password",
    ),
    "a user in the address": (
        ["court", "https://secret@tsa.example"],
        5,
        "give them with --user and --password",
    ),
    "a password as it is": (
        ["court", "https://tsa.example", "--user", "us", "--password", "secret"],
        5,
        "authorities.court.password",
    ),
    "a password without a user": (
        ["court", "https://tsa.example", "--password", "env:X"],
        5,
        "give --user, too",
    ),
    "no policy": (
        ["court", "https://tsa.example", "--policy", "best"],
        5,
        "authorities.court.policy",
    ),
    "no time": (["court", "https://tsa.example", "--timeout", "0"], 5, "authorities.court.timeout"),
    "a strange name": (["../court", "https://tsa.example"], 5, "a name has 1 to 32 small letters"),
    "the embedded one's name": (["local", "https://tsa.example"], 5, "is not local"),
}


@pytest.mark.parametrize(("words", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_not_written(
    home: Path, authority: Callable[..., Ran], words: list[str], code: int, said: str
) -> None:
    ran = authority("add", *words)
    assert ran.code == code
    assert said in ran.error()
    assert "secret" not in ran.talk
    assert not (home / "settings.toml").exists()


def test_twice(home: Path, authority: Callable[..., Ran]) -> None:
    authority("add", "court", "http://tsa.example")
    before = (home / "settings.toml").read_bytes()
    assert authority("add", "court", "http://other.example").code == 7
    assert (home / "settings.toml").read_bytes() == before


def test_presets(authority: Callable[..., Ran]) -> None:
    listed = authority("list", "--presets")
    for preset in PRESETS.values():
        assert f"{preset.name}: {preset.operator}, {preset.url or 'by contract'}" in listed.text
    assert listed.talk == f"As known on {KNOWN}. None of them is trusted for being listed.\n"
    shown = authority("list", "--presets", "--json").json
    assert [each["name"] for each in shown] == list(PRESETS)
    assert shown[0] == {
        "name": "digicert",
        "operator": "DigiCert",
        "url": "http://timestamp.digicert.com",
        "root": str(PRESETS["digicert"].chain),
        "fingerprints": [*PRESETS["digicert"].known],
        "limits": "none published",
    }


def test_no_home(tmp_path: Path) -> None:
    for words in (["add", "digicert"], ["list"], ["check"], ["remove", "digicert"]):
        assert call("authority", *words, "--home", tmp_path / "none").code == 6


# Checks
# --------------------------------------------------------------------------------------------------


def test_check_without_any(authority: Callable[..., Ran]) -> None:
    ran = authority("check")
    assert (ran.code, ran.text) == (0, "")
    assert "None: the embedded authority is used" in ran.talk
    assert authority("check", "court").code == 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSslAuthority]:
    (tmp_path / "server").mkdir()
    with openssl_authority(tmp_path / "server", revocation=frozenset({"crl", "ocsp"})) as server:
        (tmp_path / "root.pem").write_bytes(pem(server.root.certificate))
        yield server


@pytest.mark.enable_socket
@pytest.mark.real("openssl")
def test_check(server: OpenSslAuthority, authority: Callable[..., Ran], tmp_path: Path) -> None:
    authority("add", "court", server.url)
    undecided = authority("check")
    assert undecided.code == 0
    assert undecided.text.startswith(f"court at {server.url}: undecided\n")
    assert "no root in your trust store: see `witnesstree trust add`" in undecided.text
    assert (
        "UNKNOWN token.chain: The certificate of “Test authority” leads to “Test root”, which is"
        " not trusted here for time-stamping, and no other root is. Add it with `witnesstree trust"
        " add`." in undecided.text
    )
    assert "--trust" not in undecided.text + authority("check", "--json").text
    call("trust", "add", tmp_path / "root.pem", env={"WITNESSTREE_TRUST": str(tmp_path / "trust")})
    found = authority("check", "court")
    assert found.code == 0
    lines = found.text.splitlines()
    assert lines[0] == f"court at {server.url}: ok"
    assert (
        lines[1] == "  signer: Test authority, whose certificate ends on"
        f" {server.signer.certificate.not_valid_after_utc:%Y-%m-%d}"
    )
    assert lines[2] == "  policy: 1.2.3.4.5"
    assert "the clock here" in lines[3]
    assert lines[4] == "  root: trusted by root.pem (private)"
    assert [line.split()[0] for line in lines[5:]] == ["PASSED"] * 5 + ["UNKNOWN"]
    # The server's certificates name places on this machine, which nobody allowed.
    assert lines[-1].endswith(
        "was revoked is not known: there is no CRL and no OCSP answer about it."
    )
    (members,) = authority("check", "--json").json
    assert (members["state"], members["exit_code"], members["policy"], members["assurance"]) == (
        "ok",
        0,
        "1.2.3.4.5",
        "private",
    )
    assert abs(members["ahead"]) < 10


@pytest.mark.enable_socket
def test_check_counts_the_worst(authority: Callable[..., Ran], tmp_path: Path) -> None:
    now = datetime.now(UTC)
    LocalAuthority.create(tmp_path / "authority", now - timedelta(days=1))
    local = LocalAuthority.open(tmp_path / "authority", lambda: now)
    with (
        talking(replying(lambda request: local.answer(request, datetime.now(UTC)))) as good,
        talking(saying(b"")) as silent,
        talking(saying(b"HTTP/1.1 200 OK\r\n\r\n<html>")) as lying,
        talking(replying(lambda request: local.answer(request, now + timedelta(hours=1)))) as fast,
    ):
        for name, url in {"good": good, "silent": silent, "lying": lying, "fast": fast}.items():
            authority("add", name, f"{url}/?key=secret")
        everything = authority("check", "--json")
        codes = {
            name: authority("check", name).code for name in ("good", "silent", "lying", "fast")
        }
        said = authority("check", "silent").text
        late = authority("check", "fast").text
    assert codes == {"good": 0, "silent": 8, "lying": 9, "fast": 9}
    assert everything.code == 9
    assert {each["name"]: each["state"] for each in everything.json} == {
        "good": "undecided",
        "silent": "no token",
        "lying": "no token",
        "fast": "wrong",
    }
    assert "secret" not in json.dumps(everything.json)
    assert said.splitlines()[0] == f"silent at {silent}: no token"
    assert "closed the connection before its answer was complete" in said
    assert "s ahead of the clock here" in late


@pytest.mark.enable_socket
def test_check_of_an_authority_whose_signer_is_not_known(
    authority: Callable[..., Ran], tmp_path: Path
) -> None:
    """A slow clock, and a token without certificates."""
    from asn1crypto import tsp

    now = datetime.now(UTC)
    LocalAuthority.create(tmp_path / "authority", now - timedelta(days=1))
    local = LocalAuthority.open(tmp_path / "authority", lambda: now)

    def answer(request: bytes) -> bytes:
        asked = tsp.TimeStampReq.load(request)
        asked["cert_req"] = False
        return local.answer(asked.dump(force=True), now - timedelta(seconds=30))

    with talking(replying(answer)) as url:
        authority("add", "court", url)
        found = authority("check").text.splitlines()
    assert found[0].endswith(": undecided")
    assert found[1].startswith("  signer: LOCAL test authority")
    assert "ends on" not in found[1]
    assert "s behind the clock here" in found[3]


@pytest.mark.enable_socket
@pytest.mark.real("openssl")
def test_check_where_the_settings_are_wrong(
    server: OpenSslAuthority, authority: Callable[..., Ran]
) -> None:
    authority("add", "court", server.url, "--user", "us", "--password", "env:NO_SUCH_VARIABLE")
    ran = authority("check")
    assert ran.code == 5
    assert "NO_SUCH_VARIABLE is not set" in ran.text
    assert server.asked == []
    assert der(server.root.certificate)
