"""Publishing the log as a folder: incremental, refused where something else is, and killed at each
of its durable steps."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import START, Clock
from fakes import FakeWorld, Steps, When, digests, in_child, moments, strides
from real import unavailable

from witnesstree.anchor import publishing
from witnesstree.anchor.http import Answer, Http
from witnesstree.anchor.publishing import (
    STATE,
    Published,
    fetching_from_address,
    fetching_from_folder,
    keep_cosignatures,
    publish,
)
from witnesstree.ledger.audit import follow as audit
from witnesstree.ledger.audit.follow import follow
from witnesstree.ledger.audit.published import CHECKPOINT, FIRST_CHECKPOINT, batch_path
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
)
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.log import tiles
from witnesstree.ledger.log.log import EMPTY_ROOT
from witnesstree.ledger.log.note import (
    MAX_SIGNATURES,
    Checkpoint,
    format_base64,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from witnesstree.ledger.proof.forms import format_tlog_proof
from witnesstree.ledger.proof.proof import Proof, format_proof, parse_proof
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.rotation import rotate
from witnesstree.ledger.work.sealing import Ledger


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
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def size_of(folder: Path) -> int:
    return parse_checkpoint(parse_note((folder / CHECKPOINT).read_bytes()).text).size


def audited(world: FakeWorld, folder: Path) -> list[str]:
    """Return the checks of an audit that did not pass."""
    followed = follow(
        fetching_from_folder(folder), [world.home.verifier_key()], None, world.clock()
    )
    return [
        f"{check.name}: {check.reason}"
        for check in followed.checks
        if check.outcome is not Outcome.PASSED
    ]


def test_only_what_is_new_is_written(world: FakeWorld, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "published"
    with world.open() as ledger:
        assert publish(ledger, folder) == Published(0, 0, 0, 0)
        assert set(files_of(folder)) == {CHECKPOINT, FIRST_CHECKPOINT, STATE}
        seal(ledger, "first", "second")
        assert publish(ledger, folder) == Published(0, 2, 2, 2)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert publish(ledger, folder) == Published(2, 2, 0, 0)
        assert {
            path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
        } == before
        seal(ledger, "third")
        advanced: list[int] = []
        assert publish(ledger, folder, advanced.append) == Published(2, 3, 2, 1)
        assert sum(advanced) == 3
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == {
        folder / CHECKPOINT,
        folder / STATE,
    }
    assert set(files_of(folder)) == {
        CHECKPOINT,
        FIRST_CHECKPOINT,
        STATE,
        *(batch_path(sequence) for sequence in range(3)),
        *(f"tile/{kind}/000.p/{size}" for kind in ("entries", "0") for size in (2, 3)),
    }
    assert audited(world, folder) == []


def test_a_record_is_published_again_when_it_has_more_witnesses(
    world: FakeWorld, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        seal(ledger, "first", work=False)
        publish(ledger, folder)
        assert parse_proof((folder / batch_path(0)).read_bytes()).missing == ("token", "anchor")
        assert ledger.outbox.work() == []
        assert publish(ledger, folder) == Published(1, 1, 0, 1)
        assert parse_proof((folder / batch_path(0)).read_bytes()).missing == ()
        # What is complete is not looked at again, unless the run before told nothing; then one that
        # is damaged is written anew.
        (folder / batch_path(0)).write_bytes(b"{")
        assert publish(ledger, folder).records == 0
        (folder / STATE).unlink()
        assert publish(ledger, folder).records == 1
    assert audited(world, folder) == []


# What is refused


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(
    world: FakeWorld, tmp_path: Path
) -> None:
    other = FakeWorld(tmp_path / "other home", Clock(START))
    with world.open() as ledger, other.open() as stranger:
        seal(ledger, "first")
        contents: dict[str, tuple[dict[str, bytes], str]] = {
            "other files": ({"index.html": b"hello"}, "is not empty and holds no log"),
            "no checkpoint": ({CHECKPOINT: b"hello"}, "is no checkpoint"),
            "too large a checkpoint": ({CHECKPOINT: bytes(2**18)}, "is no checkpoint"),
            "another ledger's beginning": (
                {FIRST_CHECKPOINT: stranger_note(stranger, 0)},
                "is not empty and holds no log",
            ),
            "another ledger's log": (
                {CHECKPOINT: stranger_note(stranger, 0)},
                "holds the log of another ledger",
            ),
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


@pytest.mark.parametrize(
    ("size", "said"),
    [(1, "holds another history of this log at 1 batch:"), (9, "this ledger has 2")],
)
def test_another_or_a_longer_history_of_the_same_log_is_refused(
    world: FakeWorld, tmp_path: Path, size: int, said: str
) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        seal(ledger, "first", "second")
        publish(ledger, folder)
        forged = sign_checkpoint(
            Checkpoint(world.home.origin, size, EMPTY_ROOT), world.home.private_key()
        )
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


def test_a_place_that_cannot_be_written_is_a_storage_failure(
    world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with world.open() as ledger:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFailure, match="No space left"):
            publish(ledger, tmp_path / "published")


def test_two_publishers_take_turns(
    world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PATIENCE", 0.1)
    with world.open() as ledger, world.open() as other:
        with (
            ledger.home.lock("publish", 1),
            pytest.raises(Conflict, match="is held by another process"),
        ):
            publish(other, tmp_path / "published")
        publish(other, tmp_path / "published")


# Killed


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("already", [0, 1], ids=["the first time", "once more"])
@pytest.mark.parametrize("stride", strides(6))
def test_killed_at_any_step_it_leaves_a_folder_that_is_what_its_checkpoint_says(
    world: FakeWorld, tmp_path: Path, when: When, already: int, stride: int
) -> None:
    begun = tmp_path / "begun"
    with world.open() as ledger:
        if already:
            seal(ledger, "before")
            publish(ledger, begun)
        seal(ledger, "first", "second")
        whole = tmp_path / "whole"
        publish(ledger, whole)
    for step in moments(stride, when):
        folder = tmp_path / f"killed {step}"
        if already:
            subprocess.run(["cp", "-r", begun, folder], check=True)

        def work(folder: Path = folder, step: int = step) -> None:
            with (
                world.open() as ledger,
                Steps(lambda: os.kill(os.getpid(), signal.SIGKILL), step, when).counted(),
            ):
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
        assert {path for path in files_of(folder) if not Path(path).name.startswith(".")} >= set(
            files_of(whole)
        )
        if status == 0:
            break
        assert status == -signal.SIGKILL
    # Each new file is synced, renamed, and its folder synced; so are new folders; the lock names
    # its holder. Last, the home remembers the folder.
    steps = (7 * 3 + 7 + 2 if not already else 6 * 3 + 2) + 3
    assert step - stride < steps <= step


# Cosignatures


WITNESS = "witness.example/w1"


def cosignature(time: int, name: str = WITNESS) -> str:
    """Return a line that has the form of a cosignature.

    Who signed, whoever hands it in has seen to.
    """
    return f"— {name} {format_base64(b'1234' + time.to_bytes(8, 'big') + bytes(64))}\n"


def checkpoint_in(proof: Proof) -> str:
    assert proof.log
    return proof.log.checkpoint


def kept(ledger: Ledger, size: int) -> list[str]:
    with ledger.metadata.read() as transaction:
        return transaction.cosignatures(size)


def test_cosignatures_are_kept_and_published(world: FakeWorld, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        seal(ledger, "first")
        publish(ledger, folder)
        note = (folder / CHECKPOINT).read_text(encoding="utf-8")
        signed = note + cosignature(7)
        assert (
            keep_cosignatures(ledger, signed, folder)
            == signed
            == (folder / CHECKPOINT).read_text(encoding="utf-8")
        )
        # The first one of a witness stays; another witness's comes beside it; what has not the form
        # of one is not kept.
        more = (
            note
            + cosignature(8)
            + cosignature(9, "witness.example/w2")
            + "— x AAAAAAA=\n"
            + cosignature(2**63, "y")
        )
        assert keep_cosignatures(ledger, more, None) == signed + cosignature(
            9, "witness.example/w2"
        )
        both = signed + cosignature(9, "witness.example/w2")
        # Publishing takes them along, and does not take them away.
        again = tmp_path / "again"
        publish(ledger, again)
        publish(ledger, folder)
        assert (
            (again / CHECKPOINT).read_text(encoding="utf-8")
            == both
            == (folder / CHECKPOINT).read_text(encoding="utf-8")
        )
        seal(ledger, "second")
        publish(ledger, again)
        newer = (again / CHECKPOINT).read_text(encoding="utf-8")
        assert "witness.example" not in newer
        with pytest.raises(Conflict, match="holds another checkpoint than the newest one"):
            keep_cosignatures(ledger, newer, folder)
        forged = sign_checkpoint(
            Checkpoint(world.home.origin, 1, EMPTY_ROOT), world.home.private_key()
        )
        with pytest.raises(InvalidInput, match="another checkpoint than the ledger signed"):
            keep_cosignatures(ledger, forged + cosignature(7), None)
        assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []
        with ledger.metadata.write() as transaction:
            transaction.add_cosignature(2, "z", b"1234", "— z AAAAAAA=\n")
            transaction.add_cosignature(2, "y", b"1234", "y\n")
        assert [
            problem.fault.code for problem in check_ledger(ledger, Trust((world.authority.root,)))
        ] == ["cosignature-unreadable"] * 2


def test_proofs_carry_the_cosignatures_and_published_records_do_not(
    world: FakeWorld, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    digest = digests("first", 1)[0]
    with world.open() as ledger, world.open() as other:
        seal(ledger, "first", work=False)
        bare = checkpoint_in(ledger.proof(digest))
        assert checkpoint_in(other.proof(digest)) == bare
        # What another process kept is given out by one that has the proof's parts in memory.
        signed = keep_cosignatures(other, bare + cosignature(7), None)
        assert signed != bare
        assert checkpoint_in(ledger.proof(digest)) == checkpoint_in(other.proof(digest)) == signed
        more = keep_cosignatures(ledger, bare + cosignature(9, "witness.example/w2"), None)
        assert (
            checkpoint_in(other.proof(digest))
            == more
            == signed + cosignature(9, "witness.example/w2")
        )
        seal(ledger, "second")
        # Those of one checkpoint are in the proofs of one batch.
        assert "witness.example" not in checkpoint_in(ledger.proof(digests("second", 1)[0]))
        proof = ledger.proof(digest)
        report = verify(digest, format_proof(proof), world.trust, world.clock())
        assert [check.name for check in report.checks if check.outcome is Outcome.FAILED] == []
        assert format_tlog_proof(proof).decode().endswith(more)
        # The next opening record names the checkpoint as it was signed.
        publish(ledger, folder)
        assert checkpoint_in(parse_proof((folder / "batch" / "000.json").read_bytes())) == bare
        assert audited(world, folder) == []


def test_a_note_has_room_for_so_many_cosignatures(world: FakeWorld, tmp_path: Path) -> None:
    with world.open() as ledger:
        seal(ledger, "first")
        with ledger.metadata.write() as transaction:
            # Damage: neither is a line of a note, nor of the form of a cosignature.
            for name, damaged in (
                ("a", "y\n"),
                ("b", "— b AAAAAAA=\n"),
                ("c", "\n" + cosignature(1, "c")),
            ):
                transaction.add_cosignature(1, name, b"1234", damaged)
            for number in range(MAX_SIGNATURES):
                name = f"witness.example/{number:03}"
                transaction.add_cosignature(1, name, b"1234", cosignature(7, name))
        checkpoint = checkpoint_in(ledger.proof(digests("first", 1)[0]))
        assert len(parse_note(checkpoint).signatures) == MAX_SIGNATURES
        assert f"witness.example/{MAX_SIGNATURES - 2:03}" in checkpoint
        publish(ledger, tmp_path / "published")
        assert (tmp_path / "published" / CHECKPOINT).read_text(encoding="utf-8") == checkpoint


def test_cosignatures_of_an_older_version_are_taken_over_once(
    world: FakeWorld, tmp_path: Path
) -> None:
    log = world.home.folder / "log"
    with world.open() as ledger:
        seal(ledger, "first", "second")
        log.mkdir()
        with ledger.metadata.read() as transaction:
            notes = [transaction.checkpoint(size) for size in range(3)]
        (log / "checkpoint-1").write_text(notes[1] + cosignature(7), encoding="utf-8")
        (log / "checkpoint-2").write_text(notes[1] + cosignature(9, "misplaced"), encoding="utf-8")
        (log / "checkpoint-0").write_bytes(b"x")
        (log / "checkpoint-3").mkdir()
        beyond = sign_checkpoint(
            Checkpoint(world.home.origin, 9, EMPTY_ROOT), world.home.private_key()
        )
        (log / "checkpoint-9").write_text(beyond + cosignature(7), encoding="utf-8")
        # One that the ledger signed of a longer log: the database is older than that.
        with pytest.raises(Damaged, match="is a checkpoint of 9 entries"):
            publish(ledger, tmp_path / "published")
        (log / "checkpoint-9").write_text(cosignature(7), encoding="utf-8")
        publish(ledger, tmp_path / "published")
        # A checkpoint says itself of what size it is, whatever its file is called.
        assert [kept(ledger, size) for size in (0, 1, 2, 9)] == [
            [],
            [cosignature(9, "misplaced"), cosignature(7)],
            [],
            [],
        ]
        assert len(list(log.iterdir())) == 5
        (log / "checkpoint-2").write_text(notes[2] + cosignature(7), encoding="utf-8")
        publish(ledger, tmp_path / "published")
        assert kept(ledger, 2) == []


# What a run looks at


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.rehearsal)])
def test_a_run_reads_and_writes_what_is_new(
    world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    folder = tmp_path / "published"
    # Nobody witnesses these batches, and nothing has to survive: so many take long enough.
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    with world.open(witnesses=Witnesses({}, {}, {})) as ledger:
        seal(ledger, *map(str, range(count)), work=False)
        publish(ledger, folder)
        seal(ledger, "one more")
        opened: list[str] = []

        def audit_hook(path: Path, *arguments: object, **options: object) -> object:
            opened.append(str(path))
            return real(path, *arguments, **options)  # type: ignore[arg-type]

        real = Path.open
        monkeypatch.setattr(Path, "open", audit_hook)
        assert publish(ledger, folder) == Published(count, count + 1, 2, 1)
    below = [path for path in opened if path.startswith(str(folder))]
    assert 0 < len(below) < 20
    assert audited(world, folder) == []


def test_partial_tiles_go_when_the_last_checkpoint_has_full_ones(
    world: FakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small tiles, so that few batches fill them.
    for module in (publishing, tiles, audit):
        monkeypatch.setattr(module, "WIDTH", 2)
    for module in (tiles, audit):
        monkeypatch.setattr(module, "HEIGHT", 1)
    monkeypatch.setattr(tiles.Tile.__init__, "__defaults__", (2,))
    folder = tmp_path / "published"

    def partial() -> set[str]:
        return {path for path in files_of(folder) if ".p/" in path}

    with world.open() as ledger:
        steps = [
            ("0", "000.p/1"),
            ("1", "000.p/1"),
            ("2", "001.p/1"),
            ("3", "001.p/1"),
            ("4", "002.p/1"),
            ("5678", "002.p/1 004.p/1"),
            ("", "004.p/1"),
        ]
        for labels, names in steps:
            left = set(names.split())
            seal(ledger, *labels)
            publish(ledger, folder)
            assert {
                path.removeprefix("tile/entries/") for path in partial() if "entries" in path
            } == left
            assert audited(world, folder) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format":"other","size":1,"swept":0,"waiting":[]}',
        b'{"format":"witnesstree-published/1","size":-1,"swept":0,"waiting":[]}',
        b'{"format":"witnesstree-published/1","size":1,"swept":0,"waiting":["x"]}',
        bytes(publishing.MAX_STATE + 1),
    ],
)
def test_what_a_run_told_and_cannot_be_read_is_told_anew(
    world: FakeWorld, tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "published"
    with world.open() as ledger:
        seal(ledger, "first")
        publish(ledger, folder)
        told = (folder / STATE).read_bytes()
        (folder / STATE).write_bytes(content)
        (folder / batch_path(0)).unlink()
        assert publish(ledger, folder).records == 1
        assert (folder / STATE).read_bytes() == told
        # It is believed no further than the checkpoint: what stood beyond may have been another
        # history's.
        (folder / STATE).write_bytes(
            b'{"format":"witnesstree-published/1","size":9,"swept":512,"waiting":[0,7]}'
        )
        seal(ledger, "second")
        assert publish(ledger, folder) == Published(1, 2, 2, 1)
    assert audited(world, folder) == []


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
    with pytest.raises(BadAnswer, match="cannot be read"):
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
    yield fetching_from_address(
        Served({"https://log.example/court/tile/0/000": (status, body)}),
        "https://log.example/court/",
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFound),
        (410, NotFound),
        (500, Unreachable),
        (429, Unreachable),
        (301, BadAnswer),
        (403, BadAnswer),
    ],
)
def test_an_address_answers_with_a_file_or_an_error(status: int, error: type[Exception]) -> None:
    with served(200, b"body") as fetch:
        assert fetch("tile/0/000", 10) == b"body"
    with served(status) as fetch, pytest.raises(error, match=r"https://log\.example"):
        fetch("tile/0/000", 10)


def test_one_run_fetches_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_FETCHED", 10)
    with served(200, b"1234") as fetch:
        fetch("tile/0/000", 10)
        fetch("tile/0/000", 10)
        with pytest.raises(BadAnswer, match="more than 10 bytes"):
            fetch("tile/0/000", 10)


# A folder that others can write to, too


def test_a_link_in_place_of_partial_tiles_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "1").write_bytes(b"precious")
    link = tmp_path / "000.p"
    link.symlink_to(precious)
    publishing._remove_partial(link)
    assert (precious / "1").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["tile", "batch", "keys", "checkpoint", "published.json"])
def test_nothing_is_written_over_a_link_of_somebody_else(
    world: FakeWorld, tmp_path: Path, name: str
) -> None:
    if os.geteuid():
        unavailable("only root can make what others have made")
    folder, precious = tmp_path / "published", tmp_path / "precious"
    folder.mkdir()
    precious.mkdir()
    (precious / "file").write_bytes(b"precious")
    with world.open() as ledger:
        publish(ledger, folder)
        is_file = (folder / name).is_file()
        if is_file:
            (folder / name).unlink()
        (folder / name).symlink_to(precious / "file" if is_file else precious)
        os.lchown(folder / name, 12345, 12345)
        seal(ledger, "first")
        rotate(ledger)
        if is_file:
            with suppress(InvalidInput):
                publish(ledger, folder)
        else:
            with pytest.raises(InvalidInput, match="another user"):
                publish(ledger, folder)
    assert [(path.name, path.read_bytes()) for path in precious.iterdir()] == [
        ("file", b"precious")
    ]
