"""A real ext4 file system is shut down under a ledger at work, again and again, and mounted again:
what the kernel had not written is gone, as after a power loss.

This shows the same as test_power_loss.py, at far fewer moments, and with nothing between: the
kernel, SQLite's and PostgreSQL's own files are what they are in use. Only root may do it.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from struct import pack
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from chainworld import in_child
from fakes import digests
from servers.postgresql import PostgreSQL

from witnesstree.anchor.fsck import check_embedded
from witnesstree.anchor.publishing import publish
from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.tsa.local import trusted_root
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.log.note import parse_checkpoint, parse_note
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.rotation import rotate

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(1200)]

SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN, and EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal is written."""
ROUNDS = 30
LONGEST = 1.5
"""Seconds of work before the power fails, at most."""
ORIGIN = "ledger.test/shut-down"


class Power:
    """An ext4 file system in a file, which can lose its power."""

    def __init__(self, folder: Path) -> None:
        self._image, self.folder = folder / "image", folder / "disk"
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(512 * 2**20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))

    def on(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))
        # Nothing else may ever be shut down.
        assert self.folder.stat().st_dev != self.folder.parent.stat().st_dev

    def fail(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            assert os.fstat(descriptor).st_dev != self.folder.parent.stat().st_dev
            fcntl.ioctl(descriptor, SHUTDOWN, pack("I", WITHOUT_LOG))
        finally:
            os.close(descriptor)

    def off(self) -> None:
        if self.folder.is_mount():
            _run("umount", str(self.folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture
def power() -> Iterator[Power]:
    if os.geteuid() or not Path("/dev/loop-control").exists():
        # No package gives that, so it is no failure where nothing may be missing.
        pytest.skip("only root may mount a file system and shut it down")
    with TemporaryDirectory(dir="/tmp") as folder:
        power = Power(Path(folder))
        power.on()
        try:
            yield power
        finally:
            power.off()


@contextmanager
def served(power: Power, kind: str) -> Iterator[tuple[PostgreSQL | None, str | None]]:
    """Yield a PostgreSQL server whose files lose the power, too, and the address of its schema;
    nothing where SQLite is wanted."""
    if kind == "sqlite":
        yield None, None
        return
    (folder := power.folder / "pg").mkdir()
    # Whoever PostgreSQL runs as has to come by.
    power.folder.parent.chmod(0o755)
    server = PostgreSQL(folder, tcp=False)
    server.initialise()
    os.sync()
    server.start()
    try:
        yield server, server.url(server.new_schema())
    finally:
        server.stop()


def work(home: Path, public: Path, number: int, tell: Callable[[Any], object]) -> None:
    """Submit, seal, rotate and publish until the power fails; tell what has its receipt, and what
    was published."""
    random = Random(number)
    with open_ledger(home) as ledger:
        while True:
            entries = digests(f"{number} {random.random()}", random.randint(1, 40))
            ledger.submit(b"".join(entries))
            tell({"entries": [entry.hex() for entry in entries]})
            act = random.choice(("close", "work", "rotate", "publish", "nothing", "nothing"))
            if act == "close":
                ledger.close()
            elif act == "work":
                ledger.close()
                ledger.outbox.work()
            elif act == "rotate":
                rotate(ledger)
            elif act == "publish":
                publish(ledger, public)
                tell({"checkpoint": (public / "checkpoint").read_text()})


def look(
    home: Path,
    entries: Sequence[bytes],
    checkpoints: Sequence[str],
    tell: Callable[[Any], object],
) -> None:
    """Tell what is wrong when the power is back, and finish what was begun."""
    with open_ledger(home) as ledger:
        trust = Trust((trusted_root(ledger.home.authority),))
        found = [str(each) for each in (*check_ledger(ledger, trust), *check_embedded(ledger))]
        there = ledger.find(entries)
        found += [f"{entry.hex()} is lost" for entry in entries if entry not in there]
        ledger.close()
        ledger.outbox.work()
        with ledger.metadata.read() as transaction:
            known = [
                parse_note(transaction.checkpoint(size)).text
                for size in range(transaction.checkpoint_count())
            ]
        found += [
            f"another checkpoint was seen: {seen}"
            for seen in checkpoints
            if parse_note(seen).text not in known
        ]
        for entry in entries[-5:]:
            proof = ledger.proof(entry)
            trusted = home_trust(ledger.home, proof) or Trust()
            verdict = verify(entry, format_proof(proof), trusted, datetime.now(UTC)).verdict
            if verdict is not Verdict.VERIFIED:
                found.append(f"the proof of {entry.hex()} is {verdict.value}")
        found += [str(each) for each in (*check_ledger(ledger, trust), *check_embedded(ledger))]
    tell(found)


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))]
)
def test_a_file_system_is_shut_down_again_and_again(power: Power, kind: str) -> None:
    import_module("witnesstree.anchor.evm.local")  # the chain's machine, before the forks
    random = Random(20261130)
    home, public = power.folder / "home", power.folder / "public"
    entries: list[bytes] = []
    checkpoints: list[str] = []
    with served(power, kind) as (server, url):
        make_home(home, ORIGIN, url)
        for number in range(ROUNDS):
            working = in_child(partial(work, home, public, number))
            time.sleep(random.uniform(0.05, LONGEST))
            power.fail()
            if server:
                server.kill()
            told, status = working()
            assert status == 1, told
            entries += [bytes.fromhex(entry) for each in told for entry in each.get("entries", ())]
            checkpoints += [each["checkpoint"] for each in told if "checkpoint" in each]
            power.off()
            power.on()
            if server:
                server.start()
            said, status = in_child(partial(look, home, entries, checkpoints))()
            assert (said, status) == ([[]], 0), number
    assert len(entries) > ROUNDS
    assert checkpoints
    assert {parse_checkpoint(parse_note(each).text).origin for each in checkpoints} == {ORIGIN}
