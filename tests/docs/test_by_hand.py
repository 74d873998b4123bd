"""docs/by-hand.md in both languages, typed as it is printed: openssl and a shell come to what our
verifier comes to, with nothing of ours in reach.
"""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commandline import run
from real import require_real
from servers.anvil import PASSWORD, anvil, make_payer
from servers.tsa import openssl_authority, pem

ROOT = Path(__file__).parents[2]
PAGES = {"en": ROOT / "docs/by-hand.md", "zh": ROOT / "docs/by-hand.zh.md"}
PAID = "--key keystore:payer --key-password env:PAYER_PASSWORD"
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

pytestmark = [
    pytest.mark.enable_socket,
    *(pytest.mark.real(name) for name in ("anvil", "openssl", "bash", "curl")),
]


def commands(language: str) -> list[str]:
    return _BLOCK.findall(PAGES[language].read_text(encoding="utf-8"))


def test_both_pages_have_the_same_commands() -> None:
    assert commands("en") == commands("zh")
    assert len(commands("en")) == 6


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a file, its proof and the authority's root; and the address of a node."""
    folder = tmp_path_factory.mktemp("by-hand")
    servers = tmp_path_factory.mktemp("servers")
    chain = anvil(servers, "--chain-id", "11155111", "--slots-in-an-epoch", "1")
    with chain as node, openssl_authority(servers) as authority:
        make_payer(folder, node)
        node.ask("evm_setIntervalMining", 1)
        (folder / "root.pem").write_bytes(pem(authority.root.certificate))
        for name in ("photo.jpg", "contract.pdf", "page.html"):
            (folder / name).write_bytes((ROOT / "examples" / name).read_bytes())
        env = {
            "WITNESSTREE_HOME": str(servers / "home"),
            "XDG_CONFIG_HOME": str(servers / "none"),
            "PAYER_PASSWORD": PASSWORD,
        }
        for line in (
            "init",
            "trust add root.pem",
            f"authority add by-hand {authority.url}/tsr",
            f"chain add sepolia --rpc {node.url} {PAID}",
            "contract deploy sepolia",
            "seal --wait photo.jpg contract.pdf page.html",
        ):
            ran = run(*line.split(), env=env, cwd=folder)
            assert ran.code == 0, f"{line}: {ran.talk}"
        yield folder, node.url


def typed(blocks: list[str], folder: Path, node: str) -> list[list[str]]:
    """What each block of commands says, all typed into one shell."""
    done = subprocess.run(
        [require_real("bash"), "-c", "\necho ---\n".join(blocks)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NODE": node},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return [answer.splitlines() for answer in done.stdout.split("---\n")]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_the_page_shows(sealed: tuple[Path, str], language: str) -> None:
    folder, node = sealed
    proof = json.loads((folder / "photo.jpg.proof.json").read_bytes())
    root = proof["inclusion"]["root"]
    _, file, path, token, contract, opening = typed(commands(language), folder, node)
    assert file == [proof["digest"]] * 2
    assert path == [root, root]
    assert any(line.startswith("Time stamp: ") for line in token)
    assert "Verification: OK" in token
    shown = run("show", folder / "photo.jpg.proof.json", "--json").json["anchors"][0]
    kept = shown["answers"]["anchoredAt"]
    time = datetime.fromtimestamp(kept["time"], UTC)
    assert contract == [
        f"{time:%Y-%m-%dT%H:%M:%SZ}",
        f"block {kept['blockNumber']}, by {kept['submitter'].lower()}",
    ]
    assert opening == [root, proof["opening"]["record"]]


def test_a_changed_file_a_changed_path_and_a_stranger_s_root_are_seen(
    sealed: tuple[Path, str], tmp_path: Path
) -> None:
    folder, node = sealed
    for name in ("photo.jpg", "photo.jpg.proof.json", "root.pem"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = bytearray((tmp_path / "photo.jpg").read_bytes())
    content[100] ^= 1
    (tmp_path / "photo.jpg").write_bytes(content)
    document = json.loads((tmp_path / "photo.jpg.proof.json").read_bytes())
    sibling = document["inclusion"]["path"][0]
    text = (tmp_path / "photo.jpg.proof.json").read_text()
    at = text.index(sibling)
    changed = ("0" if sibling[0] != "0" else "1") + sibling[1:]
    (tmp_path / "photo.jpg.proof.json").write_text(text[:at] + changed + text[at + 64 :])

    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {tmp_path}/k -out root.pem"
        " -subj /CN=another -days 9".split(),
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=60,
    )
    _, file, path, token, *_ = typed(commands("en"), tmp_path, node)
    assert len(set(file)) == 2
    assert len(set(path)) == 2
    der = base64.b64decode(document["tokens"][0]["token"])
    assert (tmp_path / "root.tst").read_bytes() == der
    assert "Verification: OK" not in token
