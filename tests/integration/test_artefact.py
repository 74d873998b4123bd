"""The committed artefact is what the compiler makes of the sources; its hashes and address follow
from its bytes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import keccak
from real import require_real, unavailable

from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH

REPOSITORY = Path(__file__).parents[2]
HARDHAT = REPOSITORY / "hardhat-config"
ARTEFACT = REPOSITORY / "anchor/evm/EvidenceAnchor.json"
OLDEST_NODE = (22, 18)
"""The first Node that runs TypeScript as it stands; package.json asks for the same."""

MEMBERS = [
    "contractName",
    "compiler",
    "evmVersion",
    "optimizer",
    "abi",
    "bytecode",
    "deployedBytecode",
    "codeHash",
    "initCodeHash",
    "create2",
    "standardJsonInput",
]


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def unhex(text: str) -> bytes:
    assert re.fullmatch("0x([0-9a-f]{2})+", text)
    return bytes.fromhex(text[2:])


def checksummed(address: bytes) -> str:
    """Return the address with the capitals of ERC-55: where the hash of the lower-case text has 8
    or more."""
    lower = address.hex()
    marks = keccak256(lower.encode()).hex()
    return "0x" + "".join(
        c.upper() if int(mark, 16) >= 8 else c for c, mark in zip(lower, marks, strict=False)
    )


@pytest.fixture
def artefact() -> Any:
    return json.loads(ARTEFACT.read_text("utf-8"))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> str:
    """Node's path, this environment's own before the machine's; it and npm are first on PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    path = require_real("node")
    version = subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")[:2]) < OLDEST_NODE:
        unavailable(f"node {version} is older than 22.18")
    if not (HARDHAT / "node_modules/.bin/hardhat").exists():
        unavailable("hardhat-config/node_modules is missing: run `npm ci` in hardhat-config")
    return path


def run(*command: str, cwd: Path = HARDHAT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_hashes_and_the_address_follow_from_the_bytes(artefact: Any) -> None:
    init_code, runtime = unhex(artefact["bytecode"]), unhex(artefact["deployedBytecode"])
    create2 = artefact["create2"]
    deployer, salt = bytes.fromhex(create2["deployer"][2:]), unhex(create2["salt"])
    assert init_code.endswith(runtime)
    assert unhex(artefact["codeHash"]) == keccak256(runtime)
    assert unhex(artefact["initCodeHash"]) == keccak256(init_code)
    assert (len(deployer), salt) == (20, bytes(32))
    assert (
        create2["deployer"] == checksummed(deployer) == "0x4e59b44847b379578588920cA78FbF26c0B4956C"
    )
    # EIP-1014
    assert create2["address"] == checksummed(
        keccak256(b"\xff" + deployer + salt + keccak256(init_code))[12:]
    )


def test_the_ledger_trusts_this_address_and_this_code(artefact: Any) -> None:
    assert bytes.fromhex(artefact["create2"]["address"][2:]) == CONTRACT_ADDRESS
    assert unhex(artefact["codeHash"]) == CONTRACT_CODE_HASH


def test_its_sources_are_the_files_in_contracts(artefact: Any) -> None:
    sources = artefact["standardJsonInput"]["sources"]
    on_disk = {
        f"contracts/{path.name}": path.read_text("utf-8")
        for path in (REPOSITORY / "contracts").glob("*.sol")
    }
    assert {name: source["content"] for name, source in sources.items()} == on_disk


def test_it_has_its_members_in_order_and_ends_with_a_newline(artefact: Any) -> None:
    assert list(artefact) == MEMBERS
    assert ARTEFACT.read_text("utf-8") == json.dumps(artefact, indent=2, ensure_ascii=False) + "\n"
    settings = artefact["standardJsonInput"]["settings"]
    assert (settings["evmVersion"], settings["optimizer"]) == (
        artefact["evmVersion"],
        artefact["optimizer"],
    )


def test_the_lock_file_holds_hashes_and_no_download_address() -> None:
    packages = json.loads((HARDHAT / "package-lock.json").read_text("utf-8"))["packages"]
    del packages[""]
    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [
        name for name, package in packages.items() if not package["integrity"].startswith("sha512-")
    ]


@pytest.mark.real("node")
def test_a_fresh_compilation_gives_the_same_artefact(node: str) -> None:
    done = run("npm", "run", "--silent", "artefact:check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(node: str, tmp_path: Path) -> Path:
    """What `artefact:check` reads, copied to where it can be spoilt."""
    shutil.copytree(REPOSITORY / "contracts", tmp_path / "contracts")
    shutil.copytree(HARDHAT / "scripts", tmp_path / "hardhat-config/scripts")
    for name in ("compiler.ts", "package.json"):
        shutil.copy(HARDHAT / name, tmp_path / "hardhat-config")
    (tmp_path / "hardhat-config/node_modules").symlink_to(HARDHAT / "node_modules")
    (tmp_path / "anchor/evm").mkdir(parents=True)
    shutil.copy(ARTEFACT, tmp_path / "anchor/evm")
    return tmp_path


@pytest.mark.real("node")
@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        (
            "anchor/evm/EvidenceAnchor.json",
            '"codeHash": "0x',
            '"codeHash": "0xff',
            "  codeHash: committed",
        ),
        (
            "anchor/evm/EvidenceAnchor.json",
            '"contractName"',
            '"name"',
            "  contractName: committed absent, compiled",
        ),
        (
            "anchor/evm/EvidenceAnchor.json",
            '\n  "abi"',
            '\n "abi"',
            "only in spaces or the order of members",
        ),
        ("anchor/evm/EvidenceAnchor.json", "{", "", "is not JSON"),
        ("contracts/EvidenceAnchor.sol", "time != 0 &&", "", "  bytecode: committed"),
        ("contracts/IEvidenceAnchor.sol", "for ever", "for years", "  bytecode: committed"),
        ("contracts/EvidenceAnchor.sol", "time != 0 &&", "tyme != 0 &&", "DeclarationError"),
    ],
)
def test_what_differs_is_named(copy: Path, file: str, old: str, new: str, complaint: str) -> None:
    text = (copy / file).read_text("utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new), "utf-8")
    done = run("node", "scripts/artefact.ts", "--check", cwd=copy / "hardhat-config")
    assert done.returncode == 1, done.stdout
    assert complaint in done.stderr


@pytest.mark.real("node")
def test_a_missing_artefact_is_named(copy: Path) -> None:
    (copy / "anchor/evm/EvidenceAnchor.json").unlink()
    done = run("node", "scripts/artefact.ts", "--check", cwd=copy / "hardhat-config")
    assert done.returncode == 1
    assert "is missing" in done.stderr


@pytest.mark.real("node")
def test_the_contract_passes_its_own_tests(node: str) -> None:
    done = run("npm", "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passing", done.stdout)


def test_the_page_about_the_contract_says_what_is_true(artefact: Any) -> None:
    page = (REPOSITORY / "docs/contract.md").read_text("utf-8")
    for value in (artefact["create2"]["address"], artefact["codeHash"], artefact["initCodeHash"]):
        assert value in page
    gas = json.loads((HARDHAT / "gas-snapshot.json").read_text("utf-8"))
    for transaction, cost in gas.items():
        assert f"| {cost:,} |" in page, transaction
    for roots in (10, 100):
        assert f"| {gas[f'anchorAll, {roots} roots'] // roots:,} |" in page
    commands = json.loads((HARDHAT / "package.json").read_text("utf-8"))["scripts"]
    for command in commands:
        assert f"npm {command}`" in page or f"npm run {command}`" in page
