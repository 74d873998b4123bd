"""Publishing the log as a folder: incremental, refused where something else is, and killed at each of its durable steps."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import START, Clock
from fakes import FakeWorld, Steps, When, digests

from witnesstree.anchor import publishing
from witnesstree.anchor.http import Answer, Http
from witnesstree.anchor.publishing import (
    Published,
    cosigned,
    fetching_from_address,
    fetching_from_folder,
    keep_cosignatures,
    publish,
    with_cosignatures,
)
from witnesstree.ledger.audit import CHECKPOINT, FIRST_CHECKPOINT, follow, record_path
from witnesstree.ledger.cosignature import WitnessKey
from witnesstree.ledger.errors import BadAnswer, Conflict, InvalidInput, NotFound, StorageFailure, Unreachable
from witnesstree.ledger.log import EMPTY_ROOT
from witnesstree.ledger.note import Checkpoint, parse_checkpoint, parse_note, sign_checkpoint
from witnesstree.ledger.proof import parse_proof
from witnesstree.ledger.report import Outcome
from witnesstree.ledger.sealing import Ledger


@pytest.fixture
def world(tmp_path: Path) -> FakeWorld:
    return FakeWorld(tmp_path / "home", Clock(START))


def seal(ledger: Ledger, *labels: str, work: bool = True) -> None:
    for label in labels:
        ledger.submit(b"".join(digests(label, 2)))
        ledger.close()
    if work:
        assert ledger.outbox.work() == []


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def size_of(folder: Path) -> int:
    return parse_checkpoint(parse_note((folder / CHECKPOINT).read_bytes()).text).size


def audited(world: FakeWorld, folder: Path) -> list[str]:
    """Return the checks of an audit that did not pass."""
    followed = follow(fetching_from_folder(folder), [world.home.verifier_key()], None, world.clock())
    return [f"{check.name}: {check.reason}" for check in followed.checks if check.outcome is not Outcome.PASSED]


def test_only_what_is_new_is_written(world: FakeWorld, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "published"
    with world.open() as ledger:
        assert publish(ledger, folder) == Published(0, 0, 0, 0)
        assert set(files_of(folder)) == {CHECKPOINT, FIRST_CHECKPOINT}
        seal(ledger, "first", "second")
        assert publish(ledger, folder) == Published(0, 2, 2, 2)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert publish(ledger, folder) == Published(2, 2, 0, 0)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
        seal(ledger, "third")
        advanced: list[int] = []
        assert publish(ledger, folder, advanced.append) == Published(2, 3, 2, 1)
        assert sum(advanced) == 3
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == {folder / CHECKPOINT}
    assert set(files_of(folder)) == {
        CHECKPOINT,
        FIRST_CHECKPOINT,
        *(record_path(sequence) for sequence in range(3)),
        *(f"tile/{kind}/000.p/{size}" for kind in ("entries", "0") for size in (2, 3)),
    }
    assert audited(world, folder) == []


def test_a_record_is_published_again_when_it_has_more_witnesses(world: FakeWorld, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        seal(ledger, "first", work=False)
        publish(ledger, folder)
        assert parse_proof((folder / record_path(0)).read_bytes()).missing == ("token", "anchor")
        assert ledger.outbox.work() == []
        assert publish(ledger, folder) == Published(1, 1, 0, 1)
        assert parse_proof((folder / record_path(0)).read_bytes()).missing == ()
        # One that is damaged is written anew, too.
        (folder / record_path(0)).write_bytes(b"{")
        assert publish(ledger, folder).records == 1
    assert audited(world, folder) == []


# What is refused


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(world: FakeWorld, tmp_path: Path) -> None:
    other = FakeWorld(tmp_path / "other home", Clock(START))
    with world.open() as ledger, other.open() as stranger:
        seal(ledger, "first")
        contents: dict[str, tuple[dict[str, bytes], str]] = {
            "other files": ({"index.html": b"hello"}, "is not empty and holds no log"),
            "no checkpoint": ({CHECKPOINT: b"hello"}, "is no checkpoint"),
            "too large a checkpoint": ({CHECKPOINT: bytes(2**18)}, "is no checkpoint"),
            "another ledger's beginning": ({FIRST_CHECKPOINT: stranger_note(stranger, 0)}, "is not empty and holds no log"),
            "another ledger's log": ({CHECKPOINT: stranger_note(stranger, 0)}, "holds the log of another ledger"),
        }
        for name, (files, said) in contents.items():
            folder = tmp_path / name
            folder.mkdir()
            for path, content in files.items():
                (folder / path).write_bytes(content)
            with pytest.raises(InvalidInput, match=said):
                publish(ledger, folder)
            assert files_of(folder) == files
        file = tmp_path / "file"
        file.write_bytes(b"")
        for place in (file, file / "below"):
            with pytest.raises(InvalidInput, match="is no folder"):
                publish(ledger, place)


def stranger_note(ledger: Ledger, size: int) -> bytes:
    with ledger.metadata.read() as transaction:
        return transaction.checkpoint(size).encode()


@pytest.mark.parametrize(("size", "said"), [(1, "holds another history of this log at 1 batches"), (9, "this ledger has 2")])
def test_another_or_a_longer_history_of_the_same_log_is_refused(world: FakeWorld, tmp_path: Path, size: int, said: str) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        seal(ledger, "first", "second")
        publish(ledger, folder)
        forged = sign_checkpoint(Checkpoint(world.home.origin, size, EMPTY_ROOT), world.home.private_key())
        (folder / CHECKPOINT).write_text(forged, encoding="utf-8")
        before = files_of(folder)
        with pytest.raises(Conflict, match=said):
            publish(ledger, folder)
    assert files_of(folder) == before


def test_a_tile_that_was_altered_is_not_written_over(world: FakeWorld, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        publish(ledger, folder)
        seal(ledger, "first")
        tile = folder / "tile/0/000.p/1"
        tile.parent.mkdir(parents=True)
        tile.write_bytes(b"other")
        with pytest.raises(Conflict, match="was published with other bytes"):
            publish(ledger, folder)
    assert tile.read_bytes() == b"other"
    assert size_of(folder) == 0


def test_a_place_that_cannot_be_written_is_a_storage_failure(world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with world.open() as ledger:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFailure, match="No space left"):
            publish(ledger, tmp_path / "published")


def test_two_publishers_take_turns(world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "PATIENCE", 0.1)
    with world.open() as ledger, world.open() as other:
        with ledger.home.lock("publish", 1), pytest.raises(Conflict, match="is held by another process"):
            publish(other, tmp_path / "published")
        publish(other, tmp_path / "published")


# Killed


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a child process, and return its exit status: minus the signal, if one ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("already", [0, 1], ids=["the first time", "once more"])
def test_killed_at_each_step_it_leaves_a_folder_that_is_what_its_checkpoint_says(world: FakeWorld, tmp_path: Path, when: When, already: int) -> None:
    begun = tmp_path / "begun"
    with world.open() as ledger:
        if already:
            seal(ledger, "before")
            publish(ledger, begun)
        seal(ledger, "first", "second")
        whole = tmp_path / "whole"
        publish(ledger, whole)
    for step in range(200):
        folder = tmp_path / f"killed {step}"
        if already:
            subprocess.run(["cp", "-r", begun, folder], check=True)

        def work(folder: Path = folder, step: int = step) -> None:
            with world.open() as ledger, Steps(lambda: os.kill(os.getpid(), signal.SIGKILL), step, when).counted():
                publish(ledger, folder)

        status = in_child(work)
        if (folder / CHECKPOINT).exists():
            assert audited(world, folder) == []
            assert size_of(folder) in {already, already + 2}
        else:
            assert not already
        # The same command again finishes it.
        with world.open() as ledger:
            publish(ledger, folder)
        assert size_of(folder) == already + 2
        assert audited(world, folder) == []
        assert {path for path in files_of(folder) if not Path(path).name.startswith(".")} >= set(files_of(whole))
        if status == 0:
            break
        assert status == -signal.SIGKILL
    # Each new file is synced, renamed, and its folder synced; so are new folders; the lock names its holder.
    assert step == (6 * 3 + 7 + 2 if not already else 5 * 3 + 2)


# Cosignatures


def test_cosignatures_are_kept_and_published(world: FakeWorld, tmp_path: Path) -> None:
    folder, key = tmp_path / "published", WitnessKey("witness.example/w1", bytes(32))
    with world.open() as ledger:
        seal(ledger, "first")
        publish(ledger, folder)
        note = (folder / CHECKPOINT).read_text(encoding="utf-8")
        assert cosigned(world.home.folder, note, "", [key]) == note
        # Who signed has been seen to by whoever hands it in.
        signed = note + "— witness.example/w1 AAAAAAA=\n"
        keep_cosignatures(world.home.folder, signed, folder)
        assert (folder / CHECKPOINT).read_text(encoding="utf-8") == signed == with_cosignatures(world.home.folder, note)
        # Publishing takes them along, and does not take them away.
        again = tmp_path / "again"
        publish(ledger, again)
        publish(ledger, folder)
        assert (again / CHECKPOINT).read_text(encoding="utf-8") == signed == (folder / CHECKPOINT).read_text(encoding="utf-8")
        seal(ledger, "second")
        publish(ledger, again)
        assert "witness.example" not in (again / CHECKPOINT).read_text(encoding="utf-8")
        newer = (again / CHECKPOINT).read_text(encoding="utf-8")
        with pytest.raises(Conflict, match="holds another checkpoint than the newest one"):
            keep_cosignatures(world.home.folder, newer, folder)
        keep_cosignatures(world.home.folder, newer, None)
        # What is damaged counts for nothing.
        (world.home.folder / "log" / "checkpoint-1").write_bytes(b"x")
        assert with_cosignatures(world.home.folder, note) == note
        (world.home.folder / "log" / "checkpoint-1").write_text(newer, encoding="utf-8")
        assert with_cosignatures(world.home.folder, note) == note


# Reading


def test_a_folder_is_read_within_limits(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    fetch = fetching_from_folder(tmp_path)
    assert fetch("file", 10) == bytes(10)
    with pytest.raises(BadAnswer, match="more than 9 bytes"):
        fetch("file", 9)
    for path in ("none", "file/below"):
        with pytest.raises(NotFound, match="is not there"):
            fetch(path, 9)
    with pytest.raises(BadAnswer, match="cannot read"):
        fetch(".", 9)


class Served(Http):
    """A server in memory: a status and a body for each address."""

    def __init__(self, answers: dict[str, tuple[int, bytes]]) -> None:
        self.answers = answers

    def get(self, url: str, *, limit: int, accept: str = "*/*") -> Answer:
        status, body = self.answers[url]
        assert len(body) <= limit
        return Answer(status, "", body)


@contextmanager
def served(status: int, body: bytes = b"") -> Iterator[Callable[[str, int], bytes]]:
    yield fetching_from_address(Served({"https://log.example/court/checkpoint": (status, body)}), "https://log.example/court/")


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (410, NotFound), (500, Unreachable), (429, Unreachable), (301, BadAnswer), (403, BadAnswer)]
)
def test_an_address_answers_with_a_file_or_an_error(status: int, error: type[Exception]) -> None:
    with served(200, b"body") as fetch:
        assert fetch("checkpoint", 10) == b"body"
    with served(status) as fetch, pytest.raises(error, match=r"https://log\.example"):
        fetch("checkpoint", 10)


def test_one_run_fetches_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_FETCHED", 10)
    with served(200, b"1234") as fetch:
        fetch("checkpoint", 10)
        fetch("checkpoint", 10)
        with pytest.raises(BadAnswer, match="more than 10 bytes"):
            fetch("checkpoint", 10)
