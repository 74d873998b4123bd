"""Bulk work killed with SIGKILL: what was acknowledged is there, what stands under its name is
whole, and the same command finishes."""

import contextlib
import os
import signal
import time
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import call, start
from fakes import strides

from witnesstree.cli.sources import PART
from witnesstree.ledger.proof.proof import parse_proof

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


@pytest.mark.parametrize("stride", strides(4))
def test_digests_that_were_taken_are_sealed_by_the_next_run(tmp_path: Path, stride: int) -> None:
    home, digests = tmp_path / "home", tmp_path / "digests"
    count = 3 * PART + 5
    content = b"".join(sha256(b"%d" % i).digest() for i in range(1000)) + os.urandom(
        (count - 1000) * 32
    )
    digests.write_bytes(content)
    assert call("init", "--home", home, "--origin", "ledger.test/killed-bulk").code == 0
    command = ("seal", "--digests", digests, "--home", home)
    taken = []
    moments = {
        "submitting/*.json": 0.0,
        "submitting/*": 0.01,
        "*.nodes*": 0.02,
        ".*.index.*": 0.03,
        "*.index": 0.04,
        "chain.db*": 0.0,
    }
    for pattern, delay in list(moments.items())[::stride]:
        assert kill_when(home, pattern, delay, *command) == -signal.SIGKILL
        taken.append(entries_of(home))
        assert call("fsck", "--home", home).code == 0
    assert taken == sorted(taken)
    assert PART <= taken[0] < count
    done = call(*command, "--json").json
    assert (done["count"], done["sealed"]) == (count, True)
    # A part whose note was lost is submitted again, and nothing else is.
    assert (entries_of(home) - count) % PART in {0, 5}
    assert entries_of(home) - count <= PART * len(taken)
    for place in (0, 1, PART, 2 * PART + 7, count - 1):
        found = call(
            "proof",
            content[32 * place :][:32].hex(),
            "-o",
            tmp_path / "proof",
            "--home",
            home,
            "--json",
        )
        assert found.json["complete"]
    assert call("fsck", "--home", home).code == 0


def entries_of(home: Path) -> int:
    status = call("status", "--home", home, "--json").json
    return int(status["entries"] + sum(batch["entries"] for batch in status["unsealed"]))


def files(folder: Path, pattern: str) -> dict[Path, int]:
    """Return when each file of this name was changed."""
    found = {}
    for path in folder.rglob(pattern):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def kill_when(folder: Path, pattern: str, delay: float, *arguments: object) -> int:
    """Run a command, kill it and all that it started some time after it made or changed such a file
    in `folder`, and return its exit code."""
    before = files(folder, pattern)
    process = start(*arguments, start_new_session=True)
    while process.poll() is None and files(folder, pattern) == before:
        time.sleep(0.001)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("is_older", [False, True], ids=["anew", "over an older one"])
@pytest.mark.parametrize("stride", strides(4))
def test_one_file_is_whole_or_not_there(tmp_path: Path, *, is_older: bool, stride: int) -> None:
    home, out = sealed(tmp_path, COUNT), tmp_path / "out"
    out.mkdir()
    wanted = out / "batch.proofs"
    command = ("proof", "--all", "--batch", 0, "-o", wanted, "--home", home)
    if is_older:
        assert call(*command).code == 0
    before = wanted.read_bytes() if is_older else None
    killed = 0
    for delay in DELAYS[::stride]:
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


@pytest.mark.parametrize("stride", strides(4))
def test_single_proofs_are_whole_and_the_rest_follows(tmp_path: Path, stride: int) -> None:
    home, out = sealed(tmp_path, SPLIT), tmp_path / "out"
    command = ("proof", "--all", "--batch", 0, "--split", out, "--home", home)
    seen = []
    for delay in DELAYS[::stride]:
        code = kill_when(out, "*.proof.json", delay, *command)
        proofs = list(out.rglob("[0-9a-f]*.proof.json"))
        seen.append(len(proofs))
        for proof in proofs:
            assert parse_proof(proof.read_bytes()).digest.hex() == proof.name.removesuffix(
                ".proof.json"
            )
        assert code in {0, -signal.SIGKILL}
    assert seen == sorted(seen)
    assert 0 < seen[0] < SPLIT
    done = call(*command, "--json").json
    assert (done["written"] + done["left"], done["complete"]) == (SPLIT, True)
    assert done["left"] >= seen[-1]
    assert len(list(out.rglob("[0-9a-f]*.proof.json"))) == SPLIT
