"""All proofs of a batch, killed with SIGKILL while they are written: what stands there under its name is whole, and the same command finishes."""

import contextlib
import os
import signal
import time
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import call, start

from witnesstree.ledger.proof import parse_proof

COUNT = 200_000
SPLIT = 3_000
DELAYS = [0, 0.002, 0.005, 0.01, 0.02, 0.04]
"""Seconds after the first byte or file is seen."""


def sealed(folder: Path, count: int) -> Path:
    home = folder / "home"
    (folder / "digests").write_bytes(b"".join(sha256(b"%d" % i).digest() for i in range(count)))
    assert call("init", "--home", home, "--origin", "ledger.test/killed-export").code == 0
    assert call("seal", "--digests", folder / "digests", "--home", home).code == 0
    return home


def kill_when(folder: Path, pattern: str, delay: float, *arguments: object) -> int:
    """Run a command, kill it and all that it started some time after such a file is in `folder`, and return its exit code."""
    process = start(*arguments, start_new_session=True)
    while process.poll() is None and not any(folder.rglob(pattern)):
        time.sleep(0.001)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("is_older", [False, True], ids=["anew", "over an older one"])
def test_one_file_is_whole_or_not_there(tmp_path: Path, *, is_older: bool) -> None:
    home, out = sealed(tmp_path, COUNT), tmp_path / "out"
    out.mkdir()
    wanted = out / "batch.proofs"
    command = ("proof", "--all", "--batch", 0, "-o", wanted, "--home", home)
    if is_older:
        assert call(*command).code == 0
    before = wanted.read_bytes() if is_older else None
    killed = 0
    for delay in DELAYS:
        for left in out.glob(".*"):
            left.unlink()
        killed += kill_when(out, ".batch.proofs.*", delay, *command) == -signal.SIGKILL
        if wanted.exists():
            assert call("verify", wanted, "--home", home).code == 0
            if not is_older:
                wanted.unlink()
        else:
            assert before is None
    assert killed
    assert call(*command).code == 0
    assert before in {None, wanted.read_bytes()}
    assert call("verify", wanted, "--home", home).code == 0


def test_single_proofs_are_whole_and_the_rest_follows(tmp_path: Path) -> None:
    home, out = sealed(tmp_path, SPLIT), tmp_path / "out"
    command = ("proof", "--all", "--batch", 0, "--split", out, "--home", home)
    seen = []
    for delay in DELAYS:
        code = kill_when(out, "*.proof.json", delay, *command)
        proofs = list(out.rglob("[0-9a-f]*.proof.json"))
        seen.append(len(proofs))
        for proof in proofs:
            assert parse_proof(proof.read_bytes()).digest.hex() == proof.name.removesuffix(".proof.json")
        assert code in {0, -signal.SIGKILL}
    assert seen == sorted(seen)
    assert 0 < seen[0] < SPLIT
    done = call(*command, "--json").json
    assert (done["written"] + done["left"], done["complete"]) == (SPLIT, True)
    assert done["left"] >= seen[-1]
    assert len(list(out.rglob("[0-9a-f]*.proof.json"))) == SPLIT
