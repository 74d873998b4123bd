"""A ledger is backed up at any moment while others work in it: each backup holds all that was
acknowledged before it, can be put back elsewhere, and the home that comes of it waits. Killed at
any step, neither `backup` nor `restore` leaves half of anything."""

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from random import Random

import pytest
from commandline import PROGRAM, call, environment
from conftest import Clock
from fakes import FakeWorld, Steps, When, digests, in_child, moments, strides

from witnesstree.anchor.backup import back_up, check_backup, restore
from witnesstree.anchor.continuing import compare_log, continue_home
from witnesstree.anchor.publishing import fetching_from_folder, publish
from witnesstree.ledger.audit.published import CHECKPOINT
from witnesstree.ledger.base.errors import Conflict, Damaged
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.store.restored import waiting
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.rotation import rotate
from witnesstree.ledger.work.sealing import Ledger, Limits

FORKS = multiprocessing.get_context("fork")
SMALL = Limits(entries=12, age=timedelta(hours=1), patience=20)
SEED = 20261130
MOMENTS = [12, pytest.param(100, marks=pytest.mark.rehearsal)]
SERVED = 40
"""Moments on PostgreSQL, at most: each takes longer there."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))])
def world(
    tmp_path: Path, clock: Clock, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> FakeWorld:
    """A world on each database."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.url(server.new_schema())
        monkeypatch.setattr(FakeWorld, "new_database", staticmethod(lambda: url))
    return FakeWorld(tmp_path / "home", clock, SMALL)


@contextmanager
def opened(folder: Path, world: FakeWorld, database: str | None = None) -> Iterator[Ledger]:
    """Open a restored home, with the world's authority and a chain of its own."""
    home = open_home(folder)
    with closing(Metadata.open(database or home.database, 20, home.origin)) as metadata:
        yield Ledger(
            home,
            key=None,
            metadata=metadata,
            files=BatchFiles(Folder(home.batches)),
            witnesses=Witnesses({world.authority.name: world.authority}, {}, {}),
            clock=world.clock,
            limits=SMALL,
        )


def checkpoints(ledger: Ledger) -> dict[int, str]:
    with ledger.metadata.read() as transaction:
        return {
            size: transaction.checkpoint(size) for size in range(transaction.checkpoint_count())
        }


def work(
    world: FakeWorld, public: Path, telling: Connection, permits: Semaphore, steps: list[str]
) -> None:
    """Do these steps, each when it is permitted, and tell each receipt before the next."""
    random = Random(SEED)
    for number, step in enumerate(steps):
        permits.acquire()
        time.sleep(random.uniform(0, 0.02))
        with world.open() as ledger:
            match step:
                case "submit":
                    entries = digests(f"entries {number}", random.randrange(1, 7))
                    ledger.submit(b"".join(entries))
                    telling.send_bytes(b"".join(entries))
                case "close":
                    ledger.close()
                case "work":
                    ledger.outbox.work()
                case "rotate":
                    rotate(ledger, destroys_old=random.random() < 0.5)
                case "publish":
                    publish(ledger, public)


def steps_of(random: Random, moments: int) -> list[str]:
    """Return two steps for each moment, the most frequent things most often; of the others, some
    in any case."""
    steps = random.choices(("submit", "close"), (3, 1), k=2 * moments)
    for rare, share in (("work", 15), ("rotate", 15), ("publish", 8)):
        for at in random.sample(range(len(steps)), len(steps) // share):
            steps[at] = rare
    return steps


def told(listening: Connection) -> list[bytes]:
    entries: list[bytes] = []
    while listening.poll():
        packed = listening.recv_bytes()
        entries += [packed[at : at + 32] for at in range(0, len(packed), 32)]
    return entries


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", MOMENTS)
def test_a_backup_at_random_moments_holds_what_was_acknowledged(
    world: FakeWorld, tmp_path: Path, request: pytest.FixtureRequest, count: int
) -> None:
    random, public = Random(SEED), tmp_path / "public"
    if world.database:
        count = min(count, SERVED)
    listening, telling = FORKS.Pipe(duplex=False)
    permits = FORKS.Semaphore(0)
    worker = FORKS.Process(
        target=work,
        args=(world, public, telling, permits, steps_of(random, count)),
        daemon=True,
    )
    worker.start()
    acknowledged: list[bytes] = []
    seen: dict[int, str] = {}
    outcomes: list[str] = []
    sizes: set[int] = set()
    try:
        for moment in range(count):
            for _ in range(2):
                permits.release()
            time.sleep(random.uniform(0, 0.04))
            acknowledged += told(listening)
            backup, home = tmp_path / f"backup-{moment}", tmp_path / f"restored-{moment}"
            with world.open(key=None) as ledger:
                made = back_up(ledger, backup, now=world.clock(), keeps_plain=True)
            sizes.add(made.size)
            # Onto the other database, too.
            url = None
            if world.database and moment % 10 == 0:
                server = request.getfixturevalue("postgres")
                url = server.url(server.new_schema())
            restore(backup, home, now=world.clock(), database=url)
            with opened(home, world, url) as ledger:
                assert set(ledger.find(acknowledged)) == set(acknowledged)
                with pytest.raises(Conflict, match="was restored from the backup"):
                    ledger.submit(b"".join(digests("too early", 1)))
                for size, note in checkpoints(ledger).items():
                    assert seen.setdefault(size, note) == note
                outcomes.append(compared(ledger, public, made.size))
                (home / "published.json").unlink(missing_ok=True)
                assert list(check_ledger(ledger, world.trust)) == []
                go_on(ledger, world, acknowledged, random)
        worker.join(60)
        assert worker.exitcode == 0
    finally:
        worker.kill()
    # Both happen: the original has gone on and published, and it has not.
    with world.open() as ledger:
        ledger.submit(b"".join(digests("the last", 1)))
        ledger.close()
        publish(ledger, public)
        back_up(ledger, tmp_path / "backup-last", now=world.clock(), keeps_plain=True)
    for name, outcome in (("0", "refused"), ("last", "goes on")):
        made = restore(tmp_path / f"backup-{name}", tmp_path / name, now=world.clock())
        with opened(tmp_path / name, world) as ledger:
            assert compared(ledger, public, made.size) == outcome
    assert set(outcomes) <= {"goes on", "refused", "nothing is published"}
    assert len(sizes) > min(10, count // 3)
    with world.open() as ledger:
        original = checkpoints(ledger)
    assert {size: original.get(size) for size in seen} == seen


def compared(ledger: Ledger, public: Path, size: int) -> str:
    """Compare with what the original has published by now, and return what came of it."""
    if not (public / CHECKPOINT).exists():
        return "nothing is published"
    try:
        compare_log(ledger, "public", fetching_from_folder(public))
    except Damaged as error:
        said = dict(error.message.params)
        return f"refused: {said}" if said["published"] == size and not said["keys"] else "refused"
    return "goes on"


def go_on(ledger: Ledger, world: FakeWorld, acknowledged: list[bytes], random: Random) -> None:
    """Let a restored home go on as if there were nothing else: its own log has no two checkpoints
    of one size, and every entry that was acknowledged can be proven."""
    before = checkpoints(ledger)
    continue_home(ledger, world.clock(), [])
    ledger.submit(b"".join(digests("afterwards", 2)))
    ledger.close()
    after = checkpoints(ledger)
    assert len(after) > len(before)
    assert {size: after[size] for size in before} == before
    for digest in random.sample(acknowledged, min(3, len(acknowledged))):
        proof = ledger.proof(digest)
        assert proof.inclusion


def test_a_ledger_that_ended_goes_on_elsewhere_and_publishes_there(
    world: FakeWorld, tmp_path: Path
) -> None:
    public = tmp_path / "public"
    with world.open() as ledger:
        for name in "abc":
            ledger.submit(b"".join(digests(name, 2)))
            ledger.close()
            rotate(ledger)
        publish(ledger, public)
        ledger.submit(b"".join(digests("open", 1)))
        back_up(ledger, tmp_path / "backup", now=world.clock(), keeps_plain=True)
    restore(tmp_path / "backup", tmp_path / "restored", now=world.clock())
    with opened(tmp_path / "restored", world) as ledger:
        with pytest.raises(Conflict, match="was restored"):
            publish(ledger, public)
        found = compare_log(ledger, "public", fetching_from_folder(public))
        assert found.size == 3
        continue_home(ledger, world.clock(), [found])
        ledger.close()
        assert publish(ledger, public).new == 4
    # The original goes on all the same, and is told where it would contradict.
    with world.open() as ledger:
        with pytest.raises(Damaged, match="is a checkpoint of 4 entries"):
            ledger.close()
        assert max(checkpoints(ledger)) == 3


def test_a_statement_that_was_made_before_the_copy_is_made_again_elsewhere(
    world: FakeWorld, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original was about to commit a sealed batch: the restored one seals it the same way."""

    class Stopped(BaseException):
        pass

    def stop(*_args: object) -> None:
        raise Stopped

    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 2)))
        with monkeypatch.context() as patch:
            patch.setattr("witnesstree.ledger.store.metadata.Transaction.seal", stop)
            with pytest.raises(Stopped):
                ledger.close()
        back_up(ledger, tmp_path / "backup", now=clock(), keeps_plain=True)
        clock.tick(3600)
        ledger.close()
        original = checkpoints(ledger)
    restore(tmp_path / "backup", tmp_path / "restored", now=clock())
    with opened(tmp_path / "restored", world) as ledger:
        continue_home(ledger, clock(), [])
        clock.tick(3600)
        ledger.close()
        assert checkpoints(ledger) == original


# Killed


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def small(tmp_path: Path, clock: Clock) -> FakeWorld:
    world = FakeWorld(tmp_path / "home", clock, SMALL)
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 3)))
        ledger.close()
        rotate(ledger)
        ledger.submit(b"".join(digests("b", 1)))
    return world


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(6))
def test_a_killed_backup_is_none(small: FakeWorld, tmp_path: Path, when: When, stride: int) -> None:
    found = set()
    target = tmp_path / "backups" / "one"
    for at in moments(stride, when):
        steps = Steps(kill_me, at, when)

        def run(steps: Steps = steps) -> None:
            with steps.counted(), small.open() as ledger:
                back_up(ledger, target, now=small.clock(), keeps_plain=True)

        status = in_child(run)
        assert status in {0, -signal.SIGKILL}
        found.add(target.exists())
        if target.exists():
            assert list(check_backup(target)) == []
        else:
            # The next one clears away what is left, and is whole.
            with small.open() as ledger:
                back_up(ledger, target, now=small.clock())
            assert [path.name for path in target.parent.iterdir()] == ["one"]
        for path in sorted(target.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        target.rmdir()
        if status == 0:
            break
    assert found == {False, True}
    assert at > 20


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(6))
def test_a_killed_restore_is_no_home_or_one_that_waits(
    small: FakeWorld, tmp_path: Path, when: When, stride: int
) -> None:
    backup = tmp_path / "backup"
    with small.open() as ledger:
        back_up(ledger, backup, now=small.clock(), keeps_plain=True)
    found = set()
    for at in moments(stride, when):
        home = tmp_path / f"restored-{at}"
        steps = Steps(kill_me, at, when)

        def run(steps: Steps = steps, home: Path = home) -> None:
            with steps.counted():
                restore(backup, home, now=small.clock())

        status = in_child(run)
        assert status in {0, -signal.SIGKILL}
        found.add(home.exists())
        if not home.exists():
            restore(backup, home, now=small.clock())
            assert not home.with_name(f".{home.name}.half-made").exists()
        with opened(home, small) as ledger:
            assert waiting(ledger.home)
            assert list(check_ledger(ledger, small.trust)) == []
        if status == 0:
            break
    assert found == {False, True}
    assert at > 20


# The program


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", [2, pytest.param(6, marks=pytest.mark.rehearsal)])
def test_a_worker_and_a_person_go_on_while_the_program_backs_up(
    tmp_path: Path, rounds: int
) -> None:
    home, settings = tmp_path / "home", {"env": {"WITNESSTREE_HOME": str(tmp_path / "home")}}
    assert call("init", **settings).code == 0
    (home / "settings.toml").write_text('batch_age = "PT1S"\n')
    worker = subprocess.Popen(
        [PROGRAM, "worker", "--interval", "0.05"],
        env=environment(WITNESSTREE_HOME=str(home)),
        stderr=subprocess.DEVNULL,
    )
    files: list[Path] = []
    try:
        for number in range(rounds):
            for part in range(4):
                files.append(tmp_path / f"{number}-{part}.txt")
                files[-1].write_text(files[-1].name)
                assert call("seal", "--no-wait", files[-1], **settings).code == 0
            time.sleep(0.7)
            backup = tmp_path / f"backup-{number}"
            assert call("backup", backup, "--plain-keys", **settings).code == 0
            restored = tmp_path / f"restored-{number}"
            assert call("restore", backup, "--home", restored).code == 0
            assert call("backup", "--check", backup).code == 0
            assert call("fsck", "--home", restored).code == 0
            known = {sha256(path.read_bytes()).hexdigest() for path in files}
            with suppress(FileNotFoundError):
                (restored / "published.json").unlink()
            refused = call("seal", files[0], "--again", "--home", restored)
            assert refused.code == 7
            goes_on = ("restore", "--continue", "--original-ended", "--uncompared")
            assert call(*goes_on, "--home", restored).code == 0
            assert call("seal", "--home", restored).code == 0
            for digest in known:
                proof = tmp_path / "proof.json"
                ran = call("proof", digest, "-o", proof, "--home", restored)
                assert ran.code == 0, ran.talk
                proof.unlink()
            assert call("fsck", "--home", restored).code == 0
    finally:
        worker.terminate()
        worker.wait(60)
    assert worker.returncode == 0
