"""docs/real-networks.md, run from its first command to its last: an authority and a chain on this
machine stand under the names that it uses."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commandline import PROGRAM, environment
from make_list import Listed, make_list, sign_list
from servers.anvil import PASSWORD, anvil, make_payer
from servers.tsa import Issuer, openssl_authority, pem

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/real-networks.md"
SEPOLIA = 11_155_111

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# .*?\bexit (\d+).*$")

pytestmark = [pytest.mark.enable_socket, pytest.mark.real("anvil"), pytest.mark.real("openssl")]


def commands() -> list[tuple[str, int]]:
    """Return each command of the page with the exit code that it claims, but those of other
    programs."""
    lines = "\n".join(_BLOCK.findall(PAGE.read_text(encoding="utf-8"))).splitlines()
    found = []
    for line in lines:
        code = _EXIT.search(line)
        if line.startswith(("witnesstree ", "export ")):
            found.append((_EXIT.sub("", line), int(code[1]) if code else 0))
    return found


def block_hash(folder: Path) -> str:
    anchor = json.loads((folder / "contract.pdf.proof.json").read_bytes())["anchors"][0]
    return f"{anchor['chain_id']}:{anchor['block']['number']}:{anchor['block']['hash']}"


def test_the_way_that_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "servers").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    for name in ("contract.pdf", "photo.jpg"):
        (work / name).write_bytes((ROOT / "examples" / name).read_bytes())
    chain = anvil(tmp_path / "servers", "--chain-id", str(SEPOLIA), "--slots-in-an-epoch", "1")
    with chain as node, openssl_authority(tmp_path / "servers") as authority:
        make_payer(work, node)
        node.ask("evm_setIntervalMining", 1)
        (work / "cacert.pem").write_bytes(pem(authority.root.certificate))
        operator = Issuer.root("Scheme operator")
        listed = make_list([Listed([authority.intermediate.certificate])])
        (work / "AT.xml").write_bytes(sign_list(listed, operator))
        (work / "at-scheme-operator.pem").write_bytes(pem(operator.certificate))
        local = {
            "https://rpc.example.org/sepolia": node.url,
            "witnesstree authority add freetsa": (
                f"witnesstree authority add freetsa {authority.url}/tsr"
            ),
            # Its fingerprint is not that of FreeTSA's root, which test_trust.py adds.
            "trust add --preset freetsa cacert.pem": "trust add --public cacert.pem",
        }
        used: set[str] = set()
        path = os.pathsep.join([str(Path(PROGRAM).parent), os.environ["PATH"]])
        env = environment(
            PATH=path, HOME=str(work), XDG_CONFIG_HOME=str(work / "config"), PAYER_PASSWORD=PASSWORD
        )
        env["WITNESSTREE_HOME"] = str(work / "ledger")
        ran: dict[str, Any] = {}
        for line, code in commands():
            command = line
            for public, here in local.items():
                if public in command:
                    used.add(public)
                    command = command.replace(public, here)
            if "0x…" in command:
                command = command.replace(f"{SEPOLIA}:NUMBER:0x…", block_hash(work))
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=work,
                capture_output=True,
                text=True,
                check=False,
                env=env,
                timeout=120,
            )
            assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
            ran[line] = done
        assert used == set(local)
        first = [done.stdout for line, done in ran.items() if line.startswith("witnesstree verify")]
        assert [text.splitlines()[0].split()[0].rstrip(":") for text in first] == [
            "UNDECIDED",
            "VERIFIED",
            "VERIFIED",
        ]
        assert "embedded" not in ran["witnesstree seal contract.pdf photo.jpg"].stderr
        # Whose root was added, and whose list was imported: either is enough.
        checked = ran["witnesstree authority check freetsa"].stdout
        assert "(public)" in checked
        trusted = ran["witnesstree trust list"].stdout
        assert "root, public" in trusted
        assert "EU trusted list of AT, issue 7 of 2026-10-01" in trusted
        # Sepolia is a test network: what it says is private at most.
        assert "(private)" in first[-1]
        # The same question, asked by a program that is not ours.
        root = json.loads((work / "contract.pdf.proof.json").read_bytes())["inclusion"]["root"]
        assert (
            "https://sepolia.etherscan.io/tx/0x"
            in ran["witnesstree show contract.pdf.proof.json"].stdout
        )
        assert len(root) == 64
