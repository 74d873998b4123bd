"""`seal --ipfs` on a real Kubo node: encrypted by default, readable for everybody with --public,
and every file comes back as it was."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import call
from servers.kubo import Kubo, running_kubo

pytestmark = [pytest.mark.enable_socket, pytest.mark.real("ipfs")]


def test_files_go_to_kubo_and_come_back(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "evidence.txt"
    content = b"evidence " * 50_000
    file.write_bytes(content)
    assert call("init", "--home", home).code == 0
    with running_kubo(tmp_path / "repository") as node:
        node_address(home, node)
        assert call("ipfs", "check", "--home", home).code == 0
        sealed = call(
            "seal", file, "--ipfs", "--name", "case", "--publish-batches", "--home", home, "--json"
        )
        assert sealed.code == 0, sealed.talk
        [stored] = [item for item in sealed.json["files"] if item["path"] == str(file)]
        manifest = json.loads((tmp_path / "case.manifest.json").read_bytes())["files"][0]
        assert manifest["digest"] == sha256(content).hexdigest()
        assert (manifest["cid"], manifest["ciphertext_digest"]) == (
            stored["cid"],
            stored["ciphertext_digest"],
        )

        assert (
            call("ipfs", "get", stored["cid"], "-o", tmp_path / "cipher", "--home", home).code == 0
        )
        assert sha256((tmp_path / "cipher").read_bytes()).hexdigest() == stored["ciphertext_digest"]
        assert content not in (tmp_path / "cipher").read_bytes()
        assert (
            call(
                "ipfs", "get", stored["cid"], "--decrypt", "-o", tmp_path / "plain", "--home", home
            ).code
            == 0
        )
        assert (tmp_path / "plain").read_bytes() == content
        again = call("seal", file, "--ipfs", "--again", "--home", home, "--json").json["files"][0]
        assert again["cid"] == stored["cid"], "what is stored already is not encrypted anew"

        public = call("seal", file, "--ipfs", "--public", "--again", "--home", home, "--json").json[
            "files"
        ][0]
        assert "ciphertext_digest" not in public
        assert (
            call("ipfs", "get", public["cid"], "-o", tmp_path / "public", "--home", home).code == 0
        )
        assert (tmp_path / "public").read_bytes() == content

        proof = json.loads((tmp_path / "case.manifest.json.proof.json").read_bytes())
        [listed] = [link.removeprefix("ipfs://") for link in proof["hints"]["links"]]
        assert call("ipfs", "get", listed, "-o", tmp_path / "list", "--home", home).code == 0
        assert sha256(content).digest() in (tmp_path / "list").read_bytes()
    down = call("seal", file, "--ipfs", "--again", "--home", home)
    assert down.code == 8
    assert "ipfs daemon" in down.error()


def node_address(home: Path, node: Kubo) -> None:
    (home / "settings.toml").write_text(f'[ipfs]\nurl = "{node.url}"\n')


def test_public_says_how_ipfs_stores(tmp_path: Path) -> None:
    refused = call("seal", tmp_path, "--public", "--home", tmp_path)
    assert refused.code == 5
    assert "--public says how --ipfs stores files" in refused.error()
