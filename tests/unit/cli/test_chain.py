"""`witnesstree chain`: what is written into the settings, and what is refused before anything is
written."""

import json
from pathlib import Path

import pytest
from commandline import Ran, call

from witnesstree.anchor.evm.presets import PRESETS, preset_of
from witnesstree.anchor.settings import FILE, ChainSettings, read_settings
from witnesstree.ledger.chain.known import KNOWN_CHAINS, LOCAL_CHAIN_ID

ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
RPC = "http://127.0.0.1:8545"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    assert call("init", "--home", folder).code == 0
    return folder


def add(home: Path, *arguments: object) -> Ran:
    return call("chain", "add", *arguments, "--home", home)


def chain(home: Path, name: str) -> ChainSettings:
    return read_settings(home).chains[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_well_known_chain_needs_its_name_alone(name: str, home: Path) -> None:
    ran = add(home, name, "--json")
    assert ran.code == 0, ran.talk
    preset, added = PRESETS[name], chain(home, name)
    assert ran.json == {
        "name": name,
        "chain_id": preset.chain_id,
        "chain": KNOWN_CHAINS[preset.chain_id].name,
        "endpoints": len(preset.urls),
    }
    assert (added.chain_id, added.urls, added.finality, added.fees) == (
        preset.chain_id,
        preset.urls,
        "finalized",
        "eip1559",
    )
    assert added.fee_cap == (preset.fee_cap or 100)
    assert str(preset.note or "key to pay") in ran.talk
    assert "no key to pay with yet" in ran.talk


def test_presets_are_the_public_chains_that_are_known() -> None:
    assert {preset.chain_id for preset in PRESETS.values()} == set(KNOWN_CHAINS) - {LOCAL_CHAIN_ID}
    for name, preset in PRESETS.items():
        assert preset_of(preset.chain_id) is preset
        assert preset.name == name
        assert all(
            url.startswith("https://") and "@" not in url and "$" not in url for url in preset.urls
        )
    assert preset_of(31337) is None


def test_everything_can_be_given(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("payer.json").write_text("{}")
    Path("payer.json").chmod(0o644)
    key = ["--key", "keystore:payer.json", "--key-password", "env:PAYER_PASSWORD"]
    rules = [
        "--finality",
        12,
        "--fees",
        "legacy",
        "--fee-cap",
        3.5,
        "--tip",
        0,
        "--timeout",
        4,
        "--agree",
        2,
    ]
    ran = add(
        home,
        "house",
        "--chain-id",
        20261,
        "--rpc",
        RPC,
        "--rpc",
        RPC + "/2",
        *key,
        *rules,
        "--contract",
        ADDRESS,
    )
    assert ran.code == 0, ran.talk
    assert (
        ran.text
        == "Added house: chain 20261, 2 endpoints. `witnesstree chain check house` tries them.\n"
    )
    assert "payer.json can be read by others" in ran.talk
    assert chain(home, "house") == ChainSettings(
        chain_id=20261,
        urls=(RPC, RPC + "/2"),
        agree=2,
        key=f"keystore:{tmp_path / 'payer.json'}",
        key_password="env:PAYER_PASSWORD",
        finality=12,
        fees="legacy",
        fee_cap=3.5,
        tip=0,
        timeout=4,
        contract=ADDRESS,
    )


def test_a_preset_under_another_name_and_with_other_endpoints(home: Path) -> None:
    key = f"web3signer+http://user:hunter2@127.0.0.1:9000/hunter2#{ADDRESS}"
    assert (
        add(home, "court", "--preset", "polygon", "--rpc", RPC, "--fee-cap", 900, "--key", key).code
        == 0
    )
    assert chain(home, "court") == ChainSettings(chain_id=137, urls=(RPC,), fee_cap=900, key=key)
    listed = call("chain", "list", "--home", home)
    assert listed.text.splitlines() == [
        "court: Polygon (137)",
        f"  endpoints: {RPC}",
        (
            f"  key: web3signer at http://127.0.0.1:9000, account {ADDRESS}; at most 900 gwei for"
            " one gas"
        ),
        "  final: what the node calls finalized",
    ]
    assert "hunter2" not in listed.text + call("chain", "list", "--home", home, "--json").text


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["house"], 5, "no well-known chain"),
        (["house", "--chain-id", 7], 5, "no well-known chain"),
        (["house", "--rpc", RPC], 5, "no well-known chain"),
        (["ethereum", "--chain-id", 5], 5, "ethereum has the chain id 1, not 5"),
        (["house", "--preset", "nowhere"], 6, "expected one of ethereum, sepolia"),
        (["sepolia", "--agree", 3], 5, "3 endpoints are to agree, but there are 2"),
        (["sepolia", "--key", "hunter2"], 5, "no reference to a key"),
        (["sepolia", "--key", "env:"], 5, "no reference to a key"),
        (["sepolia", "--key", "keystore:hunter2"], 5, "there is no keystore"),
        (["sepolia", "--finality", "soon"], 5, "finality"),
        (["sepolia", "--fee-cap", -1], 5, "fee_cap"),
        (["sepolia", "--contract", "0x12"], 5, "contract"),
        (["sepolia", "--key-password", "hunter2"], 5, "key_password"),
        (["sepolia", "--rpc", "ftp://user:hunter2@host"], 5, "urls"),
        (["Sepolia", "--preset", "sepolia"], 5, "small letters"),
        (["local", "--preset", "sepolia"], 5, "small letters"),
    ],
)
def test_what_is_refused_is_not_written(
    arguments: list[object], code: int, says: str, home: Path
) -> None:
    ran = add(home, *arguments)
    assert ran.code == code, ran.talk
    assert says in ran.error()
    assert "hunter2" not in ran.talk.replace("keystore:hunter2", "").replace("/hunter2", "")
    assert not (home / FILE).exists()


def test_a_name_is_given_once_and_can_be_given_back(home: Path) -> None:
    assert add(home, "sepolia").code == 0
    assert add(home, "sepolia").code == 7
    removed = call("chain", "remove", "sepolia", "--home", home, "--json")
    assert (removed.code, removed.json) == (0, {"removed": "sepolia", "given_up": 0})
    assert read_settings(home).chains == {}
    assert call("chain", "remove", "sepolia", "--home", home).code == 6
    assert add(home, "sepolia").code == 0
    assert call("chain", "remove", "sepolia", "--home", home).text == "Removed sepolia.\n"


def test_the_list_says_what_each_chain_is(home: Path) -> None:
    assert "embedded chain" in call("chain", "list", "--home", home).talk
    assert "embedded chain" in call("chain", "check", "--home", home).talk
    assert add(home, "sepolia", "--agree", 2, "--finality", 30, "--key", "env:PAYER").code == 0
    listed = call("chain", "list", "--home", home)
    assert "2 must agree" in listed.text
    assert "final: with 30 blocks on top" in listed.text
    assert "key: environment variable PAYER" in listed.text
    members = call("chain", "list", "--home", home, "--json").json
    assert members == [
        {
            "name": "sepolia",
            "chain_id": 11155111,
            "chain": "Sepolia (a test network)",
            "endpoints": [
                "https://ethereum-sepolia-rpc.publicnode.com",
                "https://sepolia.drpc.org",
            ],
            "agree": 2,
            "key": "environment variable PAYER",
            "finality": 30,
            "fee_cap": 100.0,
        }
    ]


@pytest.mark.enable_socket
def test_an_address_that_holds_a_key_is_in_no_command_and_no_setting(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:1/hunter2\n")
    monkeypatch.setenv("NODE", "http://127.0.0.1:2/hunter2")
    references = ["env:NODE", f"file:{tmp_path / 'address'}"]
    rpc = [each for reference in references for each in ("--rpc", reference)]
    assert add(home, "house", "--chain-id", 20261, *rpc).code == 0
    assert "hunter2" not in (home / FILE).read_text()
    listed = call("chain", "list", "--home", home)
    assert all(reference in listed.text for reference in references)
    checked = call("chain", "check", "--home", home)
    assert checked.code == 8
    assert "http://127.0.0.1:1" in checked.text
    assert "http://127.0.0.1:2" in checked.text
    assert "hunter2" not in checked.text + checked.talk
    monkeypatch.delenv("NODE")
    assert "NODE" in call("chain", "check", "--home", home).error()
    assert add(home, "other", "--chain-id", 20261, "--rpc", "env:http://host/hunter2").code == 5


def test_a_key_that_cannot_be_read_is_not_repeated(home: Path) -> None:
    (home / FILE).write_text(f'[chains.dev]\nchain_id = 7\nurls = ["{RPC}"]\nkey = "hunter2"\n')
    listed = call("chain", "list", "--home", home)
    assert (
        listed.error()
        == "Error: setting chains.dev.key: expected keystore:FILE, env:NAME, web3signer+URL#ADDRESS"
        " or clef+URL#ADDRESS"
    )
    assert "hunter2" not in listed.text + listed.talk


def test_presets_can_be_seen_without_a_home(tmp_path: Path) -> None:
    words = call("chain", "list", "--presets", "--home", tmp_path / "none")
    assert words.code == 0
    listed = call("chain", "list", "--presets", "--json", "--home", tmp_path / "none").json
    assert [each["name"] for each in listed] == list(PRESETS)
    for each in listed:
        assert f"{each['name']}: {each['chain']} ({each['chain_id']})" in words.text
        assert each["explorer"] in words.text
    assert [each["name"] for each in listed if not each["state_proofs"]] == ["conflux"]
    assert json.dumps(listed)


def test_an_unknown_chain_is_not_checked(home: Path) -> None:
    ran = call("chain", "check", "nowhere", "--home", home)
    assert (ran.code, "there is no chain 'nowhere'" in ran.error()) == (6, True)


def test_a_home_must_be_there(tmp_path: Path) -> None:
    for arguments in (["add", "sepolia"], ["list"], ["check"], ["remove", "sepolia"]):
        assert call("chain", *arguments, "--home", tmp_path / "none").code == 6


@pytest.mark.enable_socket
def test_what_waits_for_a_chain_that_is_gone_can_be_given_up(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"evidence")
    assert (
        call(
            "chain",
            "add",
            "dev",
            "--chain-id",
            "7",
            "--rpc",
            "http://127.0.0.1:9",
            "--key",
            "env:PAYER",
            "--home",
            home,
        ).code
        == 0
    )
    assert call("seal", tmp_path / "file", "--home", home).code == 8
    removed = call("chain", "remove", "dev", "--forget", "--home", home)
    assert removed.text == "Removed dev; gave up 1 job that waited for it.\n"
    assert call("status", "--home", home, "--json").json["waiting"] == []
    assert call("chain", "remove", "dev", "--forget", "--home", home, "--json").json == {
        "removed": "dev",
        "given_up": 0,
    }
