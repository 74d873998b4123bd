"""A disk that is really full: a small file system in memory where this machine lets us mount one, a
limit on the size of files elsewhere."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Clock
from fakes import FakeWorld, digests
from real import unavailable

from witnesstree.ledger.base.errors import NotFound, StorageFailure
from witnesstree.ledger.store.home import create_home
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.sealing import Ledger, Limits

LARGE = Limits(entries=10**6, age=timedelta(hours=1), patience=5)
KEPT, MORE = digests("kept", 3), digests("more", 40_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        unavailable("only root can mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        unavailable(f"this machine mounts no small disk: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@contextmanager
def filled_up(disk: Path, room: int) -> Iterator[None]:
    """Leave `room` bytes free while the block runs."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free - room
    ballast.write_bytes(bytes(max(0, free)))
    yield
    ballast.unlink()


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(StorageFailure) as caught:
        act()
    text = str(caught.value)
    assert "\n" not in text
    assert "make room" in text
    return text


def require_kept(world: FakeWorld, ledger: Ledger) -> None:
    ledger.close()
    assert ledger.outbox.work() == []
    for digest in KEPT:
        assert ledger.proof(digest).missing == ()
    assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []


def test_entries_that_have_no_room_are_refused(small_disk: Path, clock: Clock) -> None:
    world = FakeWorld(small_disk / "home", clock, LARGE)
    with world.open() as ledger:
        ledger.submit(b"".join(KEPT))
        assert "No space left on device" in refused(lambda: ledger.submit(b"".join(MORE)))
        with pytest.raises(NotFound):
            ledger.proof(MORE[0])
        require_kept(world, ledger)


@pytest.mark.parametrize("room", [0, 4096, 8192, 16384, 32768])
def test_whatever_has_no_room_is_done_later(small_disk: Path, clock: Clock, room: int) -> None:
    """The less room, the earlier it stops: metadata, digests, tree or index."""
    world = FakeWorld(small_disk / "home", clock, LARGE)
    with world.open() as ledger:
        ledger.submit(b"".join(KEPT))
        with filled_up(small_disk, room):
            said = ""
            try:
                ledger.submit(digests("late", 1)[0])
                ledger.close()
                ledger.outbox.work()
            except StorageFailure as error:
                said = str(error)
        if said or room == 0:
            assert "make room" in said
            assert "\n" not in said
        require_kept(world, ledger)


def test_no_home_is_made_where_there_is_no_room(small_disk: Path) -> None:
    with filled_up(small_disk, 8192):
        refused(lambda: create_home(small_disk / "home", "ledger.test/full", lambda _home: None))
        assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    assert create_home(small_disk / "home", "ledger.test/full", lambda _home: None).private_key()


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as a quota does."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_file_that_may_not_grow_refuses_entries(tmp_path: Path, clock: Clock) -> None:
    world = FakeWorld(tmp_path / "home", clock, LARGE)
    with world.open() as ledger:
        ledger.submit(b"".join(KEPT))
        with files_limited_to(300_000):
            assert "File too large" in refused(lambda: ledger.submit(b"".join(MORE)))
        with pytest.raises(NotFound):
            ledger.proof(MORE[0])
        require_kept(world, ledger)
