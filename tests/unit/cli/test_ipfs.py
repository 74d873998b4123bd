"""`witnesstree ipfs`: on the block store in the home, and on a node in memory."""

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyrage import x25519
from servers.kubo import FakeKubo, fake_kubo, said

from witnesstree.anchor.ipfs.encryption import encrypt
from witnesstree.anchor.ipfs.evidence import StoredFile, store_evidence
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.stores import evidence_folder, recipients_of
from witnesstree.anchor.settings import IpfsSettings
from witnesstree.cli.ipfs import ipfs_command
from witnesstree.ledger.base.errors import BadAnswer, Damaged, InvalidInput, NotFound
from witnesstree.ledger.store.home import Home, open_home

CONTENT = b"evidence" * 100_000
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """As much of a home as these commands need."""
    folder = tmp_path / "home"
    for part in ("batches", "keys"):
        (folder / part).mkdir(parents=True)
    (folder / "ledger.db").touch()
    (folder / "home.json").write_text(
        '{"format": "witnesstree-home/1", "origin": "ledger.test/ipfs"}'
    )
    return open_home(folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def kubo(home: Home) -> Iterator[FakeKubo]:
    with fake_kubo() as kubo:
        (home.folder / "settings.toml").write_text(
            f'[ipfs]\nurl = "{kubo.url}"\npin_services = ["archive"]\n'
        )
        yield kubo


@pytest.fixture
def stored(home: Home, file: Path) -> StoredFile:
    recipients = recipients_of(home, IpfsSettings())
    content = (sha256(CONTENT).digest(), len(CONTENT))
    return store_evidence(
        BlockStore(home.ipfs), file, *content, recipients=recipients, folder=evidence_folder(home)
    )


def ipfs(home: Home, *arguments: object) -> Result:
    command, *others = map(str, arguments)
    return CliRunner().invoke(
        ipfs_command, [command, "--home", str(home.folder), *others], catch_exceptions=False
    )


def answered(home: Home, *arguments: object) -> Any:
    result = ipfs(home, *arguments, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


# get
# --------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_and_decrypted_with_the_homes_key(
    home: Home, stored: StoredFile, tmp_path: Path
) -> None:
    out = tmp_path / "out.jpg"
    result = ipfs(home, "get", stored.cid, "-o", out, "--decrypt")
    assert result.exit_code == 0
    assert out.read_bytes() == CONTENT
    assert result.stdout == f"Wrote {out}: 800,000 bytes, SHA-256 {DIGEST}.\n"
    assert list((evidence_folder(home) / "tmp").iterdir()) == []


def test_without_decrypt_the_ciphertext_is_fetched(
    home: Home, stored: StoredFile, tmp_path: Path
) -> None:
    out = tmp_path / "photo.age"
    assert stored.ciphertext_digest
    expected = {
        "cid": stored.cid,
        "path": str(out),
        "size": stored.ciphertext_size,
        "digest": stored.ciphertext_digest.hex(),
        "decrypted": False,
    }
    assert answered(home, "get", stored.cid, "-o", out) == expected
    assert sha256(out.read_bytes()).digest() == stored.ciphertext_digest


def test_another_identity(home: Home, file: Path, tmp_path: Path) -> None:
    identity, key, ciphertext, out = (
        x25519.Identity.generate(),
        tmp_path / "key.txt",
        tmp_path / "photo.age",
        tmp_path / "out.jpg",
    )
    key.write_text(str(identity))
    encrypt(file, ciphertext, [str(identity.to_public())])
    cid = BlockStore(home.ipfs).add(ciphertext)
    with pytest.raises(NotFound, match=r"age\.txt"):
        ipfs(home, "get", cid, "-o", out, "--decrypt")
    recipients_of(home, IpfsSettings())
    with pytest.raises(InvalidInput, match="--identity"):
        ipfs(home, "get", cid, "-o", out, "--decrypt")
    assert not out.exists()
    found = answered(home, "get", cid, "-o", out, "--decrypt", "--identity", key)
    assert (found["digest"], found["decrypted"]) == (DIGEST, True)
    assert out.read_bytes() == CONTENT


def test_what_cannot_be_decrypted_is_named_by_its_cid(
    home: Home, file: Path, stored: StoredFile, tmp_path: Path
) -> None:
    store, cut = BlockStore(home.ipfs), tmp_path / "cut.age"
    store.read(stored.cid, cut)
    cut.write_bytes(cut.read_bytes()[:-1])
    headless = tmp_path / "headless.age"
    headless.write_bytes(b"age-encryption.org/v1\n")
    stranger = tmp_path / "key.txt"
    stranger.write_text(str(x25519.Identity.generate()))
    plain, cut_off, no_header = (store.add(each) for each in (file, cut, headless))
    for cid, more, kind, words in (
        (plain, (), InvalidInput, "is not encrypted with age"),
        (cut_off, (), Damaged, "was altered or cut off"),
        (no_header, (), Damaged, "has an age header that does not end"),
        (stored.cid, ("--identity", stranger), InvalidInput, "is encrypted to other keys"),
    ):
        with pytest.raises(kind, match=f"^{cid} {words}"):
            ipfs(home, "get", cid, "-o", tmp_path / "out", "--decrypt", *more)


def test_an_identity_without_decrypt_is_a_mistake(
    home: Home, stored: StoredFile, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="add --decrypt"):
        ipfs(home, "get", stored.cid, "-o", tmp_path / "out", "--identity", tmp_path / "key.txt")


def test_what_is_not_there_leaves_no_file(home: Home, tmp_path: Path) -> None:
    cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    with pytest.raises(NotFound):
        ipfs(home, "get", cid, "-o", tmp_path / "out")
    with pytest.raises(InvalidInput, match="expected a CIDv1"):
        ipfs(home, "get", "Qm", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.enable_socket
def test_a_file_is_fetched_from_kubo(
    home: Home, kubo: FakeKubo, file: Path, tmp_path: Path
) -> None:
    cid = BlockStore(tmp_path / "other").add(file)
    for path in (tmp_path / "other" / "blocks").glob("*/*"):
        kubo.blocks[path.name] = path.read_bytes()
    assert answered(home, "get", cid, "-o", tmp_path / "out")["digest"] == DIGEST
    kubo.blocks[cid] = os.urandom(100)
    with pytest.raises(BadAnswer):
        ipfs(home, "get", cid, "-o", tmp_path / "lie")
    assert not (tmp_path / "lie").exists()


# export
# --------------------------------------------------------------------------------------------------


def test_export(home: Home, stored: StoredFile, tmp_path: Path) -> None:
    out, expected = tmp_path / "out.car", tmp_path / "expected.car"
    BlockStore(home.ipfs).export_car(stored.cid, expected)
    assert answered(home, "export", stored.cid, "-o", out) == {
        "cid": stored.cid,
        "path": str(out),
        "size": expected.stat().st_size,
    }
    assert out.read_bytes() == expected.read_bytes()
    assert ipfs(home, "export", stored.cid, "-o", out).stdout == f"Wrote {out}.\n"


# pin
# --------------------------------------------------------------------------------------------------


@pytest.mark.enable_socket
def test_pin(home: Home, kubo: FakeKubo, stored: StoredFile) -> None:
    kubo.services.update(archive={}, museum={stored.cid: "pinned"})
    assert answered(home, "pin", stored.cid) == [{"service": "archive", "status": "queued"}]
    assert (
        ipfs(home, "pin", stored.cid, "--service", "museum", "--service", "archive").stdout
        == "museum: pinned\narchive: queued\n"
    )


@pytest.mark.enable_socket
def test_pin_without_a_service(home: Home, kubo: FakeKubo, stored: StoredFile) -> None:
    (home.folder / "settings.toml").write_text(f'[ipfs]\nurl = "{kubo.url}"\n')
    with pytest.raises(InvalidInput, match="give --service"):
        ipfs(home, "pin", stored.cid)


def test_pin_without_kubo(home: Home, stored: StoredFile) -> None:
    with pytest.raises(InvalidInput, match=r"as `url` in the settings' \[ipfs\]"):
        ipfs(home, "pin", stored.cid, "--service", "archive")


# check
# --------------------------------------------------------------------------------------------------


def test_check_of_blocks(home: Home, stored: StoredFile) -> None:
    assert answered(home, "check") == {"store": "embedded", "problems": []}
    assert ipfs(home, "check").stdout == "Checked the blocks in the home: no problems.\n"


def test_check_of_damaged_blocks(
    home: Home, stored: StoredFile, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = home.ipfs.rglob(stored.cid)
    path.write_bytes(b"altered")
    name = path.relative_to(home.ipfs).as_posix()
    for more in ((), ("--json",)):
        result = CliRunner().invoke(ipfs_command, ["check", "--home", str(home.folder), *more])
        assert isinstance(result.exception, Damaged)
        assert name in str(result.exception)
        assert name in result.stdout
    assert json.loads(result.stdout)["problems"][0]["place"] == name


@pytest.mark.enable_socket
def test_check_of_kubo(home: Home, kubo: FakeKubo) -> None:
    kubo.services["archive"] = {}
    expected = {
        "store": "kubo",
        "version": "0.42.0",
        "online": True,
        "stored": 1000,
        "capacity": 10**10,
        "services": ["archive"],
    }
    assert answered(home, "check") == expected
    kubo.sayings["id"] = said(200, {"Addresses": None})
    result = ipfs(home, "check")
    assert (
        result.stdout
        == "Kubo 0.42.0 answers, takes blocks and gives them back; it holds 1,000 bytes.\n"
    )
    assert result.stderr == "The node is offline: nobody else can fetch from it.\n"


@pytest.mark.enable_socket
def test_check_of_a_pinning_service_that_kubo_does_not_know(home: Home, kubo: FakeKubo) -> None:
    with pytest.raises(InvalidInput, match=r"'archive'.*ipfs pin remote service add"):
        ipfs(home, "check")


@pytest.mark.parametrize("command", ["get", "export", "pin", "check"])
def test_each_has_an_example(command: str) -> None:
    result = CliRunner().invoke(ipfs_command, [command, "--help"])
    assert f"Example:\n      witnesstree ipfs {command}" in result.output
