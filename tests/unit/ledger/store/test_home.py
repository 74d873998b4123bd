"""The home folder: it comes into being all at once, and whatever is wrong with it is one sorted
error."""

import errno
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    WitnesstreeError,
)
from witnesstree.ledger.store.home import FORMAT, Home, create_home, open_home
from witnesstree.ledger.store.metadata import Metadata

ORIGIN = "ledger.test/home"
FORKS = multiprocessing.get_context("fork")


def make(folder: Path) -> Home:
    return create_home(folder, ORIGIN, lambda _home: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_home_is_made_and_opened(folder: Path) -> None:
    made = make(folder)
    assert open_home(folder) == made == Home(folder, ORIGIN)
    assert made.private_key().public_key().public_bytes_raw() == made.verifier_key().public_key
    assert made.verifier_key().name == ORIGIN
    assert json.loads((folder / "home.json").read_text()) == {"format": FORMAT, "origin": ORIGIN}
    assert (folder / "keys" / "ledger.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.parent.iterdir()] == ["home"]


def test_the_folders_above_are_made_too(tmp_path: Path) -> None:
    make(tmp_path / "a" / "b" / "home")
    assert open_home(tmp_path / "a" / "b" / "home").origin == ORIGIN


def test_an_empty_folder_becomes_a_home(folder: Path) -> None:
    folder.mkdir()
    assert make(folder) == open_home(folder)


def test_a_relative_folder_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make(Path("home")).folder == tmp_path / "home"
    assert open_home(Path("home")).folder == tmp_path / "home"


def test_furnish_fills_in_the_parts(folder: Path) -> None:
    def furnish(home: Home) -> None:
        (home.chain / "part").write_bytes(b"x")

    create_home(folder, ORIGIN, furnish)
    assert (folder / "chain" / "part").read_bytes() == b"x"


@pytest.mark.parametrize("error", [Damaged("x"), StorageFailure("x"), KeyboardInterrupt()])
def test_a_home_whose_parts_fail_is_not_there(folder: Path, error: BaseException) -> None:
    def fail(_home: Home) -> None:
        raise error

    with pytest.raises(type(error)):
        create_home(folder, ORIGIN, fail)
    assert list(folder.parent.iterdir()) == []
    assert make(folder) == open_home(folder)


def test_a_disk_that_refuses_leaves_no_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageFailure, match="No space left on device"):
            make(folder)
    assert list(folder.parent.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_away(folder: Path) -> None:
    building = folder.with_name(".home.half-made")
    (building / "keys").mkdir(parents=True)
    (building / "keys" / "ledger.pem").write_bytes(b"half")
    folder.with_name(".home.lock").touch()
    make(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["home"]
    assert open_home(folder).private_key()


def test_a_home_is_not_made_twice(folder: Path) -> None:
    before = make(folder).verifier_key()
    with pytest.raises(Conflict, match="already holds a ledger"):
        make(folder)
    assert open_home(folder).verifier_key() == before


def test_a_folder_with_something_else_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(InvalidInput, match="is not empty and holds no ledger"):
        make(folder)
    assert (folder / "letter.txt").read_text() == "dear"


def test_a_file_is_no_place_for_a_home(folder: Path) -> None:
    folder.write_text("dear")
    with pytest.raises(InvalidInput):
        make(folder)
    with pytest.raises(NotFound):
        open_home(folder)
    with pytest.raises(WitnesstreeError):
        make(folder / "below")
    assert folder.read_text() == "dear"


@pytest.mark.parametrize("origin", ["", "two words", "plus+sign", "a\nb", "x" * 300])
def test_an_origin_that_no_note_can_carry_is_refused(folder: Path, origin: str) -> None:
    with pytest.raises(InvalidInput):
        create_home(folder, origin, lambda _home: None)
    assert not folder.exists()


# Opening


def test_a_home_that_is_not_there_is_not_found(folder: Path) -> None:
    with pytest.raises(NotFound, match=r"holds no ledger\. If there is one, name its folder"):
        open_home(folder)
    folder.mkdir()
    with pytest.raises(NotFound):
        open_home(folder)


@pytest.mark.parametrize("part", ["home.json", "batches", "keys"])
def test_a_home_that_lacks_a_part_is_damaged(folder: Path, part: str) -> None:
    make(folder)
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(Damaged, match=f"is an incomplete ledger without {part}"):
        open_home(folder)


@pytest.mark.parametrize("version", ["2", "10", "next"])
def test_a_home_of_a_newer_version_is_refused(folder: Path, version: str) -> None:
    make(folder)
    (folder / "home.json").write_text(
        json.dumps({"format": f"witnesstree-home/{version}", "origin": ORIGIN, "more": 1})
    )
    with pytest.raises(InvalidInput, match="a home of a newer version needs a newer witnesstree"):
        open_home(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": "something-else/1", "origin": "x"}',
        b'{"format": "witnesstree-home/1"}',
        b'{"format": "witnesstree-home/1", "origin": 7}',
        b'{"format": "witnesstree-home/1", "origin": "two words"}',
        b'{"format": "witnesstree-home/1", "origin": "x", "more": 1}',
        b'{"format": "witnesstree-home/1", "ori',
        b" " * 100_000,
    ],
)
def test_a_damaged_marker_is_damage(folder: Path, content: bytes) -> None:
    make(folder)
    (folder / "home.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"home\.json is damaged") as caught:
        open_home(folder)
    assert "\n" not in str(caught.value)


def test_a_marker_that_cannot_be_read_is_a_storage_failure(folder: Path) -> None:
    make(folder)
    (folder / "home.json").unlink()
    (folder / "home.json").mkdir()
    with pytest.raises(StorageFailure):
        open_home(folder)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
)
@pytest.mark.parametrize("name", ["ledger.pem", "ledger.vkey"])
def test_a_damaged_key_is_damage(folder: Path, name: str, content: bytes | None) -> None:
    home = make(folder)
    path = folder / "keys" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Damaged, match="restore"):
        home.private_key()


def test_the_key_of_another_home_is_damage(folder: Path, tmp_path: Path) -> None:
    home, other = make(folder), make(tmp_path / "other")
    (folder / "keys" / "ledger.pem").write_bytes(
        (other.folder / "keys" / "ledger.pem").read_bytes()
    )
    with pytest.raises(Damaged, match="is not the private key of"):
        home.private_key()


def test_the_database_of_a_new_home_is_the_ledgers(folder: Path) -> None:
    home = make(folder)
    metadata = Metadata.open(home.database, patience=1)
    assert metadata.origin() == ORIGIN
    metadata.close()


# Locks


def hold(home: Home, held: Event, enough: Event) -> None:
    with home.lock("work", 0):
        held.set()
        enough.wait(30)


def held_by_another(home: Home, then: Callable[[int, Event], None]) -> None:
    held, enough = FORKS.Event(), FORKS.Event()
    other = FORKS.Process(target=hold, args=(home, held, enough))
    other.start()
    assert held.wait(30)
    assert other.pid is not None
    try:
        then(other.pid, enough)
    finally:
        enough.set()
        other.join(30)


def test_a_lock_held_by_another_process_is_a_conflict_after_its_patience(folder: Path) -> None:
    home = make(folder)

    def then(pid: int, _enough: Event) -> None:
        begun = time.monotonic()
        with (
            pytest.raises(Conflict, match=rf"work\.lock is held by another process \(pid {pid}\)"),
            home.lock("work", 0.2),
        ):
            pytest.fail("two held one lock")
        assert 0.2 <= time.monotonic() - begun < 5
        with home.lock("seal", 0):
            pass

    held_by_another(home, then)
    with home.lock("work", 0):
        pass


def test_whoever_waits_gets_the_lock(folder: Path) -> None:
    home = make(folder)

    def then(_pid: int, enough: Event) -> None:
        enough.set()
        with home.lock("work", 20):
            assert (folder / "work.lock").read_text().strip() == str(os.getpid())

    held_by_another(home, then)


def test_a_killed_holder_lets_go(folder: Path) -> None:
    home = make(folder)
    held = FORKS.Event()
    other = FORKS.Process(target=hold, args=(home, held, FORKS.Event()))
    other.start()
    assert held.wait(30)
    other.kill()
    other.join(30)
    with home.lock("work", 0):
        pass


def test_a_lock_file_with_anything_in_it_is_taken(folder: Path) -> None:
    home = make(folder)
    (folder / "work.lock").write_bytes(b"\xff\xfe" * 100)
    with home.lock("work", 0):
        assert (folder / "work.lock").read_text().strip() == str(os.getpid())


@pytest.mark.parametrize(
    "error", [ConnectionResetError("gone"), BrokenPipeError("gone"), KeyError("x")]
)
def test_what_goes_wrong_under_a_lock_is_not_the_locks_fault(
    folder: Path, error: Exception
) -> None:
    home = make(folder)

    def fail() -> None:
        with home.lock("work", 0):
            raise error

    with pytest.raises(type(error)):
        fail()
    with home.lock("work", 0):
        pass


def test_a_lock_that_cannot_be_made_is_a_storage_failure(folder: Path) -> None:
    home = make(folder)
    (folder / "work.lock").mkdir()
    with pytest.raises(StorageFailure), home.lock("work", 0):
        pytest.fail("a folder was locked")


def test_two_processes_do_not_make_one_home(folder: Path) -> None:
    begun, enough = FORKS.Event(), FORKS.Event()

    def furnish(_home: Home) -> None:
        begun.set()
        enough.wait(30)

    other = FORKS.Process(target=create_home, args=(folder, ORIGIN, furnish))
    other.start()
    assert begun.wait(30)
    with pytest.raises(Conflict, match="another process is making"):
        make(folder)
    enough.set()
    other.join(30)
    assert other.exitcode == 0
    assert open_home(folder).private_key()
