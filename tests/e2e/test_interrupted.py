"""Several processes on one home, and processes that are stopped: nothing acknowledged is lost, and
the next command finishes the work."""

import json
import signal
import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import Ran, Sealed, call, start
from fakes import strides

PROOF = ".proof.json"
MOMENTS = (0.0, 0.02, 0.1, 0.2, 0.4, 0.7, 1.0, 1.4)
"""Seconds after `seal` has opened the ledger; it takes one to three in all."""
NOTICE = b"This ledger uses the embedded authority and chain"
INTERRUPTED = "Interrupted. Everything acknowledged is kept; run the same command again to finish."


def files_in(folder: Path, count: int = 20) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{i}" for i in range(count)]
    for file in files:
        file.write_text(str(file))
    return files


def stopped(process: subprocess.Popen[bytes], moment: float, sign: signal.Signals) -> Ran:
    """Wait until a command has opened its ledger and a moment more, stop it, and return what it
    left.

    A signal that comes when all is done and the interpreter is ending takes the process away by
    itself: that counts as done.
    """
    assert process.stderr
    line = b""
    while not line.startswith(NOTICE):
        line = process.stderr.readline()
        assert line
    time.sleep(moment)
    process.send_signal(sign)
    answer, talk = process.communicate(timeout=60)
    assert b"Traceback" not in talk
    assert b"Exception" not in talk
    code = process.returncode
    if code == -signal.SIGINT:
        assert answer.startswith(b"Sealed "), "nothing but the end is left"
        code = 0
    return Ran(code, answer, talk.decode())


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.rehearsal)])
def test_two_at_once_on_one_home(sealed: Sealed, tmp_path: Path, rounds: int) -> None:
    files = []
    for number in range(rounds):
        folders = [tmp_path / f"{number}-{name}" for name in "ab"]
        files += [file for folder in folders for file in files_in(folder, 5)]
        pair = [start("seal", "-r", folder, "--home", sealed.home) for folder in folders]
        talks = [process.communicate(timeout=120) for process in pair]
        assert [process.returncode for process in pair] == [0, 0], talks
        assert [answer.count(b" (batch ") for answer, _ in talks] == [5, 5]
    assert {call("verify", file, "--home", sealed.home).code for file in files} == {0}
    status = call("status", "--home", sealed.home, "--json").json
    assert (status["entries"], status["unsealed"], status["waiting"]) == (1 + 10 * rounds, [], [])
    assert call("fsck", "--home", sealed.home).code == 0


def test_two_at_once_on_one_file(sealed: Sealed) -> None:
    sealed.file.write_bytes(b"new")
    # It was edited, which is said unless it is wanted.
    pair = [start("seal", sealed.file, "--again", "--home", sealed.home) for _ in range(2)]
    talks = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], talks
    assert call("verify", sealed.file, "--home", sealed.home).code == 0
    assert call("fsck", "--home", sealed.home).code == 0


def test_two_make_one_home(tmp_path: Path) -> None:
    pair = [start("init", "--home", tmp_path / "home", "--json") for _ in range(2)]
    answers = [process.communicate(timeout=120)[0] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 7]
    made = json.loads(next(answer for answer in answers if answer))
    assert (
        call("status", "--home", tmp_path / "home", "--json").json["checkpoint_key"]
        == made["checkpoint_key"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stride", strides(5))
def test_stopped_while_files_are_sealed(
    sign: signal.Signals, sealed: Sealed, tmp_path: Path, stride: int
) -> None:
    moments = MOMENTS[::stride]
    taken = tmp_path / "taken"
    taken.write_bytes(b"taken")
    receipt = call("seal", taken, "--no-wait", "--home", sealed.home, "--json").json["receipt"]
    codes = []
    for i, moment in enumerate(moments):
        files_in(tmp_path / f"{i}")
        ran = stopped(start("seal", "-r", tmp_path / f"{i}", "--home", sealed.home), moment, sign)
        if ran.code == 130:
            assert ran.talk.splitlines()[-1] == INTERRUPTED
        if ran.code == 0:
            assert ran.answer.count(b" (batch ") == 20
        codes.append(ran.code)
    assert set(codes) <= {0, 130 if sign is signal.SIGINT else -signal.SIGTERM}
    assert codes[0], "the first moment is before anything can be finished"
    # Every proof that is there is whole, and the next command makes all others.
    for proof in tmp_path.glob(f"[0-9]/*{PROOF}"):
        assert call("show", proof).code == 0
    folders = [tmp_path / f"{i}" for i in range(len(moments))]
    assert call("seal", "-r", *folders, "--home", sealed.home).code == 0
    assert call("seal", taken, "--home", sealed.home).code == 0
    files = [folder / f"{i}" for folder in folders for i in range(20)]
    assert {call("verify", file, "--home", sealed.home).code for file in [*files, taken]} == {0}
    span = receipt["spans"][0]
    listed = call("proof", taken, "--all-entries", "--home", sealed.home, "--json").json
    assert {"batch": span["batch"], "position": span["first"], "sealed": True} in listed
    assert call("fsck", "--home", sealed.home).code == 0
    assert list(tmp_path.rglob("*.tmp")) == [] or sign is signal.SIGTERM


@pytest.mark.parametrize("stride", strides(3))
def test_stopped_while_digests_are_sealed(sealed: Sealed, tmp_path: Path, stride: int) -> None:
    digests = tmp_path / "digests"
    digests.write_bytes(b"".join(sha256(i.to_bytes(4)).digest() for i in range(200_000)))
    before = call("status", "--home", sealed.home, "--json").json["entries"]
    for moment in MOMENTS[:5:stride]:
        assert stopped(
            start("seal", "--digests", digests, "--home", sealed.home), moment, signal.SIGINT
        ).code in (0, 130)
    assert (
        call("seal", "--digests", digests, "--home", sealed.home, "--json").json["count"] == 200_000
    )
    status = call("status", "--home", sealed.home, "--json").json
    assert status["entries"] - before >= 200_000
    assert (status["unsealed"], status["waiting"]) == ([], [])
    assert call("fsck", "--home", sealed.home).code == 0


def test_stopped_while_a_home_is_made(tmp_path: Path) -> None:
    for moment in (0.3, 0.6, 1.0):
        process = start("init", "--home", tmp_path / "home")
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        left = [path.name for path in tmp_path.iterdir()]
        # A signal may also come between the home's last step, which names it, and the exit.
        if process.returncode == 0 or left == ["home"]:
            break
        assert left == []
    else:
        assert call("init", "--home", tmp_path / "home").code == 0
    assert call("status", "--home", tmp_path / "home").code == 0
