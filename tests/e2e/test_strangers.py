"""A stranger tries the commands: what is typed wrongly, points at the wrong place, or is left
halfway gets one line that helps, and harms nothing."""

import json
import os
import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, Sealed, call, start
from servers.tsa import Issuer, der, read_request, talking

from witnesstree.cli.judging import note_strangers
from witnesstree.ledger.proof.proof import OpeningProof, Proof

KEY = "1234" * 16
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
SECRET = "not-for-your-eyes"


def refused(ran: Ran, words: str, code: int = 5) -> None:
    assert (ran.code, ran.answer) == (code, b""), ran
    assert words in ran.error()


# Where answers are written
# --------------------------------------------------------------------------------------------------


def outputs(home: Path) -> dict[str, tuple[object, ...]]:
    """Return what comes before the name of a file to write, for each command that takes one."""
    return {
        "contract source": ("contract", "source", "--home", home, "-o"),
        "ipfs get": ("ipfs", "get", CID, "--home", home, "-o"),
        "ipfs export": ("ipfs", "export", CID, "--home", home, "-o"),
        "proof": ("proof", "0" * 64, "--home", home, "-o"),
        "worker": ("worker", "--once", "--home", home, "--metrics"),
    }


@pytest.mark.parametrize("name", outputs(Path()))
@pytest.mark.parametrize("place", ["/", ".", "", "folder"])
def test_a_folder_is_not_written_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    refused(call(*outputs(home)[name], place), "is a folder: name a file in it")


@pytest.mark.parametrize("name", outputs(Path()))
def test_a_device_is_not_replaced_by_a_file(home: Path, tmp_path: Path, name: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(
        call(*outputs(home)[name], pipe),
        "is a device or a pipe, which a file would replace: name a file",
    )
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", [name for name in outputs(Path()) if name != "worker"])
def test_a_file_in_a_folder_that_is_not_there(home: Path, tmp_path: Path, name: str) -> None:
    refused(
        call(*outputs(home)[name], tmp_path / "nothing" / "file"),
        "nothing is not a folder: make it first, or name a file elsewhere",
    )


# Settings
# --------------------------------------------------------------------------------------------------


def test_a_home_of_any_name_is_said_on_one_line(tmp_path: Path) -> None:
    ran = call("init", "--home", tmp_path / "my\nhome")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.text.splitlines()] == ["Made", "Its"]
    assert "my\\nhome" in ran.text


@pytest.mark.parametrize("option", ["--client-certificate", "--client-key", "--tls-ca"])
def test_a_file_for_tls_that_is_not_there(home: Path, option: str) -> None:
    (home.parent / "there.pem").touch()
    ran = call(
        "authority", "add", "court", "https://tsa.example/", option, "nothing.pem", "--home", home
    )
    assert ran.code == 0
    assert (
        ran.talk
        == "There is no file nothing.pem yet: put it there in PEM, or correct its name in the"
        " settings.\n"
    )
    assert (
        call(
            "authority",
            "add",
            "other",
            "https://tsa.example/",
            option,
            home.parent / "there.pem",
            "--home",
            home,
        ).talk
        == ""
    )


def test_a_refused_chain_is_not_talked_about(home: Path) -> None:
    ran = call(
        "chain", "add", "house", "--chain-id", 0, "--rpc", "http://127.0.0.1:9", "--home", home
    )
    refused(ran, "setting chains.house.chain_id")
    assert len(ran.talk.splitlines()) == 1
    ran = call(
        "chain", "add", "house", "--chain-id", 5, "--rpc", "http://127.0.0.1:9", "--home", home
    )
    assert ran.code == 0
    assert (
        ran.talk
        == "It has no key to pay with yet: set `key` in the settings, or remove the chain and add"
        " it with --key.\n"
    )


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(bytes(range(256)))
    env = {"WITNESSTREE_TRUST": str(tmp_path / "trust")}
    refused(
        call("trust", "add", tmp_path / "junk", env=env),
        "junk holds no certificate that can be read: expected PEM, DER or PKCS #7",
    )
    assert not (tmp_path / "trust").exists()
    (tmp_path / "root.der").write_bytes(der(Issuer.root().certificate))
    assert call("trust", "add", tmp_path / "root.der", env=env).code == 0


# What waits
# --------------------------------------------------------------------------------------------------


@pytest.mark.enable_socket
def test_status_says_when_a_server_that_is_down_is_asked_again(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    assert (
        call("authority", "add", "down", f"http://127.0.0.1:9/{SECRET}", "--home", home).code == 0
    )
    sealed = call("seal", tmp_path / "file", "--home", home)
    assert sealed.code == 8
    status = call("status", "--home", home)
    job = call("status", "--json", "--home", home).json["waiting"][0]
    assert (
        f"; next try at {job['retry_at']}; 1 failed attempt, the last: http://127.0.0.1:9 cannot be"
        " reached" in status.text
    )
    assert SECRET not in sealed.talk + status.text


# Verifying
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", ["", "1:"])
def test_a_block_that_the_proof_does_not_name_is_said(sealed: Sealed, chain: str) -> None:
    ran = call("verify", sealed.file, "--block-hash", f"{chain}0x{KEY}")
    assert ran.code == 4
    assert (
        ran.talk
        == f"The proof names no block {chain}0x{KEY}: if you typed it correctly, that is another"
        " block than the proof's.\n"
    )


def test_the_blocks_of_anchor_and_opening_are_known(sealed: Sealed) -> None:
    proof: dict[str, Any] = json.loads(sealed.proof.read_bytes())
    anchor = proof["anchors"][0]
    opening = json.loads(proof["opening"]["record"])["block"]
    for block in (
        f"{anchor['chain_id']}:{anchor['block']['hash']}",
        anchor["block"]["hash"],
        f"{opening['chain_id']}:{opening['hash']}",
    ):
        assert call("verify", sealed.file, "--block-hash", block).talk == ""
    for block in (f"1:{anchor['block']['hash']}", f"1:{opening['hash']}"):
        assert (
            "The proof names no block 1:0x"
            in call("verify", sealed.file, "--block-hash", block).talk
        )


def test_a_proof_that_names_no_block_yet(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    assert call("seal", "--no-wait", tmp_path / "file", "--home", home).code == 0
    assert (
        call("proof", tmp_path / "file", "-o", tmp_path / "file.proof.json", "--home", home).code
        == 0
    )
    ran = call("verify", tmp_path / "file", "--block-hash", f"0x{KEY}")
    assert (ran.code, ran.talk.startswith("The proof names no block 0x1234")) == (4, True)


def test_a_block_is_no_news_where_the_proof_cannot_be_read(sealed: Sealed) -> None:
    sealed.proof.write_text('{"format":"witnesstree-proof/1"}')
    ran = call("verify", sealed.file, "--block-hash", f"0x{KEY}")
    assert (ran.code, ran.talk) == (3, "")


# A server that says nothing
# --------------------------------------------------------------------------------------------------


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    "command",
    [
        ("authority", "check"),
        ("chain", "check"),
        ("contract", "deploy", "house"),
        ("seal",),
        ("seal", "--wait"),
    ],
)
def test_an_interrupt_ends_what_waits_for_a_silent_server(
    home: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    asked, over = threading.Event(), threading.Event()

    def silence(connection: socket.socket) -> None:
        read_request(connection)
        asked.set()
        over.wait(60)

    (tmp_path / "file").write_text("hello")
    with talking(silence) as url:
        kind = "authority" if command[0] in {"authority", "seal"} else "chain"
        chosen = (
            ["add", "house", f"{url}/{SECRET}"]
            if kind == "authority"
            else ["add", "house", "--chain-id", "7", "--rpc", f"{url}/{SECRET}"]
        )
        assert call(kind, *chosen, "--home", home).code == 0
        with start(
            *command, *([tmp_path / "file"] if command[0] == "seal" else []), "--home", home
        ) as waiting:
            assert asked.wait(30)
            waiting.send_signal(signal.SIGINT)
            answer, talk = waiting.communicate(timeout=30)
        over.set()
    assert waiting.returncode == 130, talk
    assert (
        talk.decode().splitlines()[-1]
        == "Interrupted. Everything acknowledged is kept; run the same command again to finish."
    )
    assert b"Traceback" not in talk
    assert SECRET.encode() not in answer + talk
    assert call("status", "--home", home).code == 0


def test_an_opening_record_that_cannot_be_read_is_left_to_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    note_strangers((f"0x{KEY}",), Proof(bytes(32), opening=OpeningProof("no record", ())))
    assert capsys.readouterr() == ("", "")


@pytest.mark.timeout(60)
def test_a_pipe_in_place_of_any_file_of_a_home_is_not_waited_for(
    sealed: Sealed, tmp_path: Path
) -> None:
    for path in sorted(path for path in sealed.home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        ran = call("verify", sealed.file, "--home", sealed.home)
        assert ran.code in {0, 4, 5, 10, 11}, path
        if ran.code > 4:
            assert path.name in ran.error() or str(sealed.home) in ran.error(), path
        path.unlink()
        path.write_bytes(content)
    assert call("verify", sealed.file, "--home", sealed.home).code == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [f"{'0' * 64}.pem", "list-AT.json"])
def test_a_pipe_in_the_trust_store_is_not_waited_for(
    sealed: Sealed, tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / name)
    ran = call("verify", sealed.file, env={"WITNESSTREE_TRUST": str(tmp_path)})
    assert ran.code == 5
    assert f"{name} cannot be read: It is a pipe or a device, and no regular file" in ran.error()
