"""What `witnesstree export` writes, before the programs that it is written for."""

from __future__ import annotations

import importlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from commandline import Sealed, call
from interop import test_evidence_records
from real import require_real, unavailable

from witnesstree.ledger.proof.proof import Proof, parse_proof

dss = test_evidence_records.dss
"""EU DSS, started and asked as there."""
CONTENT = b"The boundary runs to the old oak.\n"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A file in a batch of its own ledger: real programs judge certificates at today's time."""
    folder = tmp_path_factory.mktemp("forms")
    home, file = folder / "home", folder / "oak.txt"
    file.write_bytes(CONTENT)
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    assert call("init", "--home", home, "--origin", "ledger.example/court").code == 0
    assert (
        call("seal", "--home", home, file, *(folder / name for name in ("a", "b", "c"))).code == 0
    )
    return Sealed(home, file, folder / "oak.txt.proof.json")


@pytest.fixture
def proof(sealed: Sealed) -> Proof:
    return parse_proof(sealed.proof.read_bytes())


@pytest.mark.real("openssl")
def test_openssl_accepts_the_token(sealed: Sealed, proof: Proof, tmp_path: Path) -> None:
    openssl, token = require_real("openssl"), tmp_path / "p.tst"
    assert call("export", sealed.proof, "--format", "tst", "-o", token).code == 0
    assert proof.inclusion

    def verified(digest: bytes) -> subprocess.CompletedProcess[str]:
        trust = ["-CAfile", sealed.home / "authority/root.pem"]
        command = [
            openssl,
            "ts",
            "-verify",
            "-digest",
            digest.hex(),
            "-in",
            token,
            "-token_in",
            *trust,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    good = verified(proof.inclusion.root)
    assert (good.returncode, "Verification: OK" in good.stdout + good.stderr) == (
        0,
        True,
    ), good.stderr
    bad = verified(proof.digest)
    assert bad.returncode != 0
    assert "message imprint mismatch" in bad.stdout + bad.stderr


def test_merkletools_accepts_the_path(sealed: Sealed, proof: Proof) -> None:
    try:
        merkletools = importlib.import_module("merkletools")
    except ImportError as error:
        unavailable(
            f"merkletools cannot be imported ({error}): install it with --no-deps, and safe-pysha3"
            " beside it"
        )
    path = json.loads(call("export", sealed.proof, "--format", "merkletools").answer)
    assert proof.inclusion
    reader, leaf, root = (
        merkletools.MerkleTools(hash_type="sha256"),
        proof.digest.hex(),
        proof.inclusion.root.hex(),
    )
    assert len(path) == len(proof.inclusion.path) > 1
    assert reader.validate_proof(path, leaf, root)
    assert not reader.validate_proof(path[1:], leaf, root)
    assert not reader.validate_proof(path, root, root)


@pytest.fixture
def container(sealed: Sealed, tmp_path: Path) -> Path:
    out = tmp_path / "p.asice"
    assert (
        call("export", sealed.proof, "--format", "asice", "--file", sealed.file, "-o", out).code
        == 0
    )
    return out


@pytest.mark.real("unzip")
def test_any_unzip_takes_the_container_apart(
    sealed: Sealed, container: Path, tmp_path: Path
) -> None:
    unzip = require_real("unzip")
    subprocess.run([unzip, "-q", container, "-d", tmp_path / "out"], check=True, timeout=60)
    assert (tmp_path / "out/mimetype").read_bytes() == b"application/vnd.etsi.asic-e+zip"
    record = tmp_path / "out/META-INF/evidencerecord.ers"
    ran = call(
        "verify", tmp_path / "out/oak.txt", "--proof", record, "--home", sealed.home, "--json"
    )
    assert (ran.code, ran.json["verdict"]) == (0, "verified")
    (tmp_path / "out/oak.txt").write_bytes(CONTENT[:-1])
    assert (
        call("verify", tmp_path / "out/oak.txt", "--proof", record, "--home", sealed.home).code == 3
    )


@pytest.mark.real("mvn")
def test_eu_dss_accepts_the_record_in_the_container(
    dss: test_evidence_records.Judge, container: Path
) -> None:
    with zipfile.ZipFile(container) as archive:
        record, content = archive.read("META-INF/evidencerecord.ers"), archive.read("oak.txt")
    assert dss(record, content) == "accepted"
    assert dss(record, content + b"!").startswith("refused")
