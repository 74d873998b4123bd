"""What every Place promises, asked of the fake and of a folder; and a ledger whose batches are in
the fake does all that one in a folder does."""

import errno
import os
from pathlib import Path

import pytest
from conftest import Clock
from fakes import FakeFileStore, FakeWorld, MemoryPlace, digests

from witnesstree.ledger.base.errors import StorageFailure
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.store.batches import MERGED, BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.ports import Place
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses

NAME = "00000/00000007.digests"


@pytest.fixture(params=["fake", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return MemoryPlace() if request.param == "fake" else Folder(tmp_path / "batches")


def content(place: Place, name: str = NAME) -> bytes:
    file = place.reading(name)
    return file.read(0, file.size())


def put(place: Place, name: str, what: bytes) -> None:
    with place.writing(name) as file:
        file.write(what)


def put_half(place: Place) -> None:
    with place.writing(NAME) as file:
        file.write(b"half")
        raise ZeroDivisionError


# Appending


def test_what_is_appended_stands_behind_what_counts(place: Place) -> None:
    place.append(NAME, 0, b"one", memoryview(b"two"))
    assert content(place) == b"onetwo"
    place.append(NAME, 6, b"three")
    assert content(place) == b"onetwothree"


def test_a_file_is_made_once(place: Place) -> None:
    place.create(NAME, b"one", memoryview(b"two"))
    with pytest.raises(FileExistsError):
        place.create(NAME, b"other")
    assert content(place) == b"onetwo"


def test_a_link_is_no_free_name(tmp_path: Path) -> None:
    place = Folder(tmp_path / "batches")
    place.path(NAME).parent.mkdir(parents=True)
    place.path(NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        place.create(NAME, b"one")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_could_not_be_made_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Folder(tmp_path / "batches")
    with monkeypatch.context() as patch:
        refuse(place, patch, "create")
        with pytest.raises(StorageFailure):
            place.create(NAME, b"one")
    place.create(NAME, b"two")
    assert content(place) == b"two"


def test_bytes_take_the_place_of_as_many(place: Place) -> None:
    place.create(NAME, b"onetwothree")
    place.overwrite(NAME, 3, b"TWO")
    assert content(place) == b"oneTWOthree"


def test_what_is_set_aside_is_kept_under_another_name(place: Place) -> None:
    place.set_aside(NAME)
    place.create(NAME, b"one")
    place.set_aside(NAME)
    place.create(NAME, b"two")
    (aside,) = set(place.names("00000")) - {NAME}
    assert (content(place), content(place, aside)) == (b"two", b"one")


def test_what_was_not_acknowledged_counts_for_nothing(place: Place) -> None:
    place.append(NAME, 0, b"one", b"never told")
    place.append(NAME, 3, b"two")
    assert content(place)[:6] == b"onetwo"
    place.cut(NAME, 6)
    assert content(place) == b"onetwo"


def test_what_is_not_longer_is_not_cut(place: Place) -> None:
    place.cut(NAME, 3)
    with pytest.raises(FileNotFoundError):
        place.reading(NAME)
    place.append(NAME, 0, b"one")
    place.cut(NAME, 3)
    place.cut(NAME, 7)
    assert content(place) == b"one"


def test_an_append_that_fails_leaves_what_counted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.append(NAME, 0, b"one")
    with monkeypatch.context() as patch:
        refuse(place, patch, "append")
        with pytest.raises(StorageFailure):
            place.append(NAME, 3, b"two")
    assert content(place)[:3] == b"one"
    place.append(NAME, 3, b"two")
    assert content(place) == b"onetwo"


def refuse(place: Place, patch: pytest.MonkeyPatch, call: str) -> None:
    """Let the next call fail before it took hold."""
    if isinstance(place, MemoryPlace):
        place.switches.fail(call, error=StorageFailure("refused"))
    else:

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if call == "remove":
            patch.setattr(Path, "unlink", fail)
        else:
            patch.setattr(os, "fsync", fail)


# Whole files


def test_a_file_takes_its_name_when_it_is_whole(place: Place) -> None:
    with place.writing(NAME) as file:
        file.write(b"half")
        assert NAME not in place.names("00000")
        with pytest.raises(FileNotFoundError):
            place.reading(NAME)
    assert place.names("00000") == [NAME]
    put(place, NAME, b"another")
    assert (place.names("00000"), content(place)) == ([NAME], b"another")


@pytest.mark.parametrize("how", ["the caller fails", "the place refuses"])
def test_a_file_that_is_not_finished_leaves_what_was_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    put(place, NAME, b"old")
    with monkeypatch.context() as patch:
        if how == "the place refuses":
            refuse(place, patch, "writing")
            with pytest.raises(StorageFailure):
                put(place, NAME, b"new")
        else:
            with pytest.raises(ZeroDivisionError):
                put_half(place)
    assert (place.names("00000"), content(place)) == ([NAME], b"old")


def test_a_file_that_is_open_stays_readable(place: Place) -> None:
    put(place, NAME, b"old")
    first, second = place.reading(NAME), place.reading(NAME)
    assert first.is_current()
    put(place, NAME, b"newer")
    assert (first.read(0, 9), first.size(), first.is_current()) == (b"old", 3, False)
    third = place.reading(NAME)
    place.remove(NAME)
    assert (second.read(1, 1), third.read(0, 9), third.is_current()) == (b"l", b"newer", False)
    with pytest.raises(FileNotFoundError):
        place.reading(NAME)


def test_ranges_are_read_as_far_as_there_is_something(place: Place) -> None:
    put(place, NAME, b"0123456789")
    file = place.reading(NAME)
    assert [file.read(0, 4), file.read(8, 4), file.read(10, 1), file.read(99, 1)] == [
        b"0123",
        b"89",
        b"",
        b"",
    ]
    with file.mapped(6) as whole:
        assert (bytes(whole), whole.find(b"34")) == (b"012345", 3)
    with pytest.raises(ValueError, match=r"."), file.mapped(11):
        pass


def test_what_is_removed_is_gone_and_what_is_not_there_is_no_error(place: Place) -> None:
    names = [f"{MERGED}/{i:08}-{i:08}.index" for i in range(3)]
    assert place.names(MERGED) == []
    place.remove(*names)
    for name in names:
        put(place, name, b"run")
    put(place, NAME, b"other")
    assert sorted(place.names(MERGED)) == names
    place.remove(*names[:2], f"{MERGED}/absent")
    assert place.names(MERGED) == names[2:]
    assert content(place) == b"other"


def test_a_removal_that_fails_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    put(place, NAME, b"run")
    with monkeypatch.context() as patch:
        refuse(place, patch, "remove")
        with pytest.raises(StorageFailure):
            place.remove(NAME)
    place.remove(NAME)
    assert place.names("00000") == []


def test_a_copy_of_this_machine_has_the_same_bytes(place: Place) -> None:
    put(place, NAME, b"bytes")
    with place.local(NAME) as path:
        assert path.read_bytes() == b"bytes"
    assert content(place) == b"bytes"
    assert place.path(NAME).name == "00000007.digests"


# A ledger on it


def test_a_ledger_works_whose_batches_are_elsewhere(tmp_path: Path, clock: Clock) -> None:
    """It seals, merges, finds, proves, publishes, is checked and is mended, and no file of a batch
    is in its home."""
    world = FakeWorld(tmp_path / "home", clock)
    place, store = MemoryPlace(), FakeFileStore()
    witnesses = Witnesses(
        {world.authority.name: world.authority},
        {world.chain.name: world.chain},
        {"store": store},
    )
    entries = digests("elsewhere", 40)
    with world.open(files=BatchFiles(place), witnesses=witnesses) as ledger:
        for at in range(0, 36, 4):
            ledger.submit(b"".join(entries[at : at + 4]))
            ledger.close()
        place.switches.fail("create", error=StorageFailure("refused"))
        with pytest.raises(StorageFailure):
            ledger.submit(b"".join(entries[36:]))
        ledger.submit(b"".join(entries[36:]))
        assert ledger.outbox.work() == []
    assert len(place.names(MERGED)) >= 1
    with world.open(files=BatchFiles(place), witnesses=witnesses) as ledger:
        assert set(ledger.find(entries)) == set(entries)
        assert list(check_ledger(ledger, world.trust)) == []
        for digest in entries[:36]:
            proof = format_proof(ledger.proof(digest))
            assert verify(digest, proof, world.trust, clock()).verdict is Verdict.VERIFIED
        run = place.names(MERGED)[0]
        place.files[run] = place.files[run][:-12] + bytes(12)
        assert {problem.fault.code for problem in check_ledger(ledger, world.trust)} == {
            "index-wrong"
        }
        ledger.mend_indexes()
        assert list(check_ledger(ledger, world.trust)) == []
    assert [path for path in world.home.batches.rglob("*") if path.is_file()] == []
