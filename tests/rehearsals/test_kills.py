"""Commands are killed (SIGKILL) at any moment, on SQLite and on PostgreSQL, whose server goes on:
what was acknowledged is there, and no size of the log has two checkpoints.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from commandline import call, environment
from survival import HOME, INIT, Promised, problems

from witnesstree.anchor.wiring import open_ledger

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(900)]

ROUNDS = 40
LONGEST = 2.0
"""Seconds until a command is killed, at most: a `seal` takes half of that."""
PROGRAM = Path(sys.executable).with_name("witnesstree")


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))]
)
def test_commands_are_killed_at_any_moment(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    place: tuple[str, ...] = ()
    if database == "postgresql":
        server = request.getfixturevalue("postgres")
        place = ("--database", server.url(server.new_schema()))
    assert call(*INIT, *place).code == 0
    random, entries, seen = Random(database), set[bytes](), set[str]()
    killed = 0
    for number in range(ROUNDS):
        name = f"file{number}"
        Path(name).write_text(f"{database} {number}")
        listed = "".join(f"{sha256(b'%d %d' % (number, i)).hexdigest()}\n" for i in range(500))
        Path("digests").write_text(listed)
        command, promised = random.choice(
            [
                (("seal", name, "--json"), [sha256(Path(name).read_bytes()).digest()]),
                (("seal", "--no-wait", name, "--json"), [sha256(Path(name).read_bytes()).digest()]),
                (("seal", "--digests", "digests", "--json"), map(bytes.fromhex, listed.split())),
                (("log", "rotate", "--json"), []),
                (("log", "publish", "public", "--json"), []),
                (("worker", "--once"), []),
            ]
        )
        if is_done(command, random.uniform(0.2, LONGEST)):
            entries.update(promised)
        else:
            killed += 1
        with open_ledger(Path("home")) as ledger, ledger.metadata.read() as transaction:
            seen |= {transaction.checkpoint(size) for size in range(transaction.checkpoint_count())}
        with contextlib.suppress(OSError):
            seen.add(Path("public/checkpoint").read_text(encoding="utf-8"))
    assert min(killed, ROUNDS - killed) > ROUNDS // 10, "both are to be seen"
    promise = Promised(True, frozenset(entries), frozenset(), frozenset(seen))
    assert list(problems(tmp_path, promise, is_older=False)) == []


def is_done(command: tuple[str, ...], seconds: float) -> bool:
    """Run a command, kill it after so many seconds, and return whether it had answered by then."""
    with subprocess.Popen(
        [PROGRAM, *command, *HOME],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(measured=False),
        start_new_session=True,
    ) as process:
        try:
            answer, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            answer, _ = process.communicate()
        with contextlib.suppress(ValueError):
            return bool(json.loads(answer)) and process.returncode in {0, -signal.SIGKILL}
        return process.returncode == 0
