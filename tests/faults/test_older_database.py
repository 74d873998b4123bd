"""The database alone is put back from an older copy, of any age, or loses what it had committed:
every writer refuses, and says so; `recover` brings back what was acknowledged; and no size of the
log ever has two checkpoints.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Clock
from copies import copy, put_back
from fakes import Crash, FakeWorld, Steps, When, digests, moments, strides

from witnesstree.anchor.publishing import publish
from witnesstree.ledger.base.errors import Damaged, StorageFailure
from witnesstree.ledger.store.journal import Journal, Journals
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.store.newer import find_missing, find_newer
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.recovery import recover
from witnesstree.ledger.work.rotation import rotate
from witnesstree.ledger.work.sealing import Ledger, Limits

SMALL = Limits(entries=2, age=timedelta(hours=1), patience=5)
LARGE = Limits(entries=100, age=timedelta(hours=1), patience=5)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock, SMALL)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))])
def each(
    tmp_path: Path, clock: Clock, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> FakeWorld:
    """A world on each database."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.url(server.new_schema())
        monkeypatch.setattr(FakeWorld, "new_database", staticmethod(lambda: url))
    return FakeWorld(tmp_path / "home", clock, SMALL)


def place(world: FakeWorld) -> Path | str:
    return world.database or world.home.database


def checkpoints(ledger: Ledger) -> dict[int, str]:
    with ledger.metadata.read() as transaction:
        return {
            size: transaction.checkpoint(size) for size in range(transaction.checkpoint_count())
        }


STEPS: list[Callable[[Ledger], object]] = [
    lambda ledger: ledger.submit(b"".join(digests("a", 2))),
    lambda ledger: ledger.close(),
    lambda ledger: ledger.submit(b"".join(digests("b", 1))),
    lambda ledger: ledger.submit(b"".join(digests("c", 1))),
    rotate,
    lambda ledger: ledger.submit(b"".join(digests("d", 3))),
    lambda ledger: ledger.close(),
    lambda ledger: ledger.outbox.work(),
    lambda ledger: rotate(ledger, destroys_old=True),
    lambda ledger: ledger.submit(b"".join(digests("e", 1))),
]
ENTRIES = [
    entry
    for name, count in zip("abcde", (2, 1, 1, 3, 1), strict=True)
    for entry in digests(name, count)
]


def history(world: FakeWorld) -> Iterator[bytes]:
    """Do all steps, and yield the database before each."""
    for step in STEPS:
        yield copy(place(world))
        with world.open() as ledger:
            step(ledger)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_blinding_leaves_are_counted_again(each: FakeWorld, is_sealed: bool) -> None:
    world = each
    a, b, c, d, e = digests("run", 5)

    def row(ledger: Ledger) -> tuple[int, int, int]:
        with ledger.metadata.read() as transaction:
            rows = [*transaction.batches(), *transaction.open_batches()]
        return rows[1].count, rows[1].entries, rows[1].fillers

    with world.open(LARGE) as ledger:
        ledger.submit(a)
        ledger.close()
    older = copy(place(world))
    with world.open(LARGE) as ledger:
        ledger.submit_runs([a, b + c, d + e + a, d])
        if is_sealed:
            ledger.close()
        assert row(ledger) == (12, 7, 4)
    put_back(place(world), older)
    with world.open(LARGE) as ledger:
        found = recover(ledger)
        assert (found.before, found.after, found.refused) == (1, 8, [])
        assert row(ledger) == (12, 7, 4)
        ledger.close()
        assert ledger.outbox.work() == []
        assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("age", range(len(STEPS)))
def test_a_database_of_any_age_is_known_for_one_and_mended(each: FakeWorld, age: int) -> None:
    world = each
    copies = list(history(world))
    with world.open() as ledger:
        signed = checkpoints(ledger)
        with ledger.metadata.read() as transaction:
            notes = transaction.key_notes()
    files = {path: path.read_bytes() for path in world.home.batches.rglob("*.digests")}
    put_back(place(world), copies[age])
    with world.open() as ledger:
        assert any(
            found.fault.code == "database-to-be-recovered"
            for found in check_ledger(ledger, world.trust)
        )
        assert find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=True)
        for write in (
            lambda: ledger.submit(b"".join(digests("new", 1))),
            lambda: rotate(ledger),
            ledger.mend_indexes,
        ):
            with pytest.raises(Damaged, match="is older than the ledger's files") as error:
                write()
            assert "witnesstree recover" in str(error.value)
        assert {path: path.read_bytes() for path in files} == files
        told = recover(ledger, is_trial=True)
        before = told.before
        done = recover(ledger)
        assert (told.sealed, told.after) == (done.sealed, done.after)
        assert (done.before, done.after, done.refused) == (before, len(ENTRIES), [])
        assert find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=True) == []
        assert set(ledger.find(ENTRIES)) == set(ENTRIES)
        with ledger.metadata.read() as transaction:
            assert transaction.key_notes() == notes
    with world.open() as ledger:
        # Whatever was signed before is what is signed now.
        again = checkpoints(ledger)
        assert {size: again.get(size) for size in signed} == signed
        ledger.submit(b"".join(digests("new", 1)))
        ledger.close()
        ledger.outbox.work()
        assert list(check_ledger(ledger, world.trust)) == []
        assert recover(ledger).before == len(ENTRIES) + 1
    for path, content in files.items():
        assert path.read_bytes()[: len(content)] == content or path.stat().st_size < len(content)


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(13))
def test_a_crash_at_any_step_is_no_older_database(
    tmp_path: Path, clock: Clock, when: When, stride: int
) -> None:
    """What a crash leaves is told from what a copy lacks: nobody has to recover anything."""

    def crash() -> None:
        raise Crash

    for at in moments(stride, when):
        world = FakeWorld(tmp_path / f"{at}", clock, SMALL)
        steps = Steps(crash, at, when)
        try:
            with steps.counted(), world.open() as ledger:
                ledger.submit(b"".join(digests("a", 3)))
                ledger.close()
                rotate(ledger)
                ledger.submit(b"".join(digests("b", 1)))
        except Crash:
            with world.open() as ledger:
                assert (
                    find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=True) == []
                )
                ledger.submit(b"".join(digests("c", 3)))
                ledger.close()
                rotate(ledger)
                ledger.outbox.work()
                assert list(check_ledger(ledger, world.trust)) == []
        else:
            break
    assert at > 40


def test_a_batch_sealed_again_after_a_crash_has_the_same_checkpoint(
    world: FakeWorld, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_args: object) -> None:
        raise Crash

    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 2)))
        with monkeypatch.context() as patch:
            patch.setattr("witnesstree.ledger.store.metadata.Transaction.seal", crash)
            with pytest.raises(Crash):
                ledger.close()
        journal = ledger.files.journals.read(0)
        clock.now += timedelta(hours=1)
        ledger.close()
        assert journal
        assert checkpoints(ledger)[1] == journal.checkpoint
        with ledger.metadata.read() as transaction:
            batch = transaction.batch(0)
        assert batch
        assert batch.statement == journal.statement


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_batch_that_others_open_meanwhile_is_no_sign(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch, is_torn: bool
) -> None:
    """Its files are there before the database has it: whoever looks just then must not take them
    for what a lost database knew.
    """
    with world.open() as ledger:
        read = Journals.read

        def opening(journals: Journals, sequence: int) -> Journal | None:
            """Read what is there, while another process writes journal and digests."""
            try:
                if is_torn:
                    journals.path(sequence).parent.mkdir(parents=True, exist_ok=True)
                    journals.path(sequence).write_bytes(b"half a")
                return read(journals, sequence)
            finally:
                ledger.files.place.append(ledger.files.digests_name(sequence), 0, bytes(32))

        with monkeypatch.context() as patch:
            patch.setattr(Journals, "read", opening)
            assert find_newer(ledger.metadata, ledger.home, ledger.files) == []


def test_missing_batch_files_are_named(world: FakeWorld) -> None:
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 2)))
        ledger.close()
        assert list(find_missing(ledger.metadata, ledger.files)) == []
        path = ledger.files.digests_path(0)
        path.unlink()
        ((place, said),) = find_missing(ledger.metadata, ledger.files)
        assert (place, said.code) == (path, "digests-of-batch-missing")


def test_what_is_not_certain_is_refused_and_nothing_is_removed(world: FakeWorld) -> None:
    """A batch without a journal, as an older version left it: its opening record is nowhere."""
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 2)))
        ledger.close()
    kept = copy(place(world))
    with world.open() as ledger:
        ledger.submit(b"".join(digests("b", 2)))
        ledger.close()
        ledger.files.journals.path(1).unlink()
    put_back(place(world), kept)
    with world.open() as ledger:
        done = recover(ledger)
        assert [said.code for _, said in done.refused][:1] == ["journal-missing"]
        assert done.before == done.after == 2
        with pytest.raises(Damaged, match="older than"):
            ledger.submit(b"".join(digests("c", 1)))
        assert ledger.files.digests_path(1).exists()


def test_a_journal_that_was_altered_is_refused(world: FakeWorld) -> None:
    kept = copy(place(world))
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 2)))
        ledger.close()
        path = ledger.files.journals.path(0)
    content = path.read_bytes()
    put_back(place(world), kept)
    for old, new in (
        (b"\\n4\\n", b"\\n3\\n"),
        (b"Z\\n", b"9\\n"),
        (b'"opening":"', b'"opening":"x'),
    ):
        path.write_bytes(content.replace(old, new))
        assert path.read_bytes() != content
        with world.open() as ledger:
            assert recover(ledger).refused
            with ledger.metadata.read() as transaction:
                assert transaction.log_size() == 0
    path.write_bytes(content)
    with world.open() as ledger:
        assert recover(ledger).sealed == [0]


def test_a_torn_count_leaves_the_one_before(world: FakeWorld) -> None:
    with world.open() as ledger:
        journals = ledger.files.journals
        journals.create(7, "x", None)
        for count in (3, 5, 9):
            journals.raise_count(7, count)
        path = journals.path(7)
        content = path.read_bytes()
        for at in (0, 42):
            path.write_bytes(content[: at + 30] + b"0" * 12 + content[at + 42 :])
            journal = journals.read(7)
            assert journal
            assert journal.taken in {5, 9}
        path.write_bytes(content)
        journals.raise_count(7, 4)
        assert path.read_bytes() == content


def test_a_database_that_another_process_puts_back_stops_one_that_runs(world: FakeWorld) -> None:
    with world.open(LARGE) as ledger:
        ledger.submit(b"".join(digests("a", 1)))
    kept = copy(place(world))
    with world.open(LARGE) as ledger:
        ledger.submit(b"".join(digests("b", 1)))
    put_back(place(world), kept)
    with world.open() as ledger, pytest.raises(Damaged) as error:
        ledger.close()
    assert dict(error.value.message.params)["found"].code == "journal-counts-more"  # type: ignore[union-attr]
    assert Metadata.open(world.home.database, 1)


def test_a_home_that_is_older_than_what_it_published_seals_nothing(
    world: FakeWorld, tmp_path: Path
) -> None:
    """The whole home was put back, so its own files say nothing."""
    public, home = tmp_path / "public", world.home.folder
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 1)))
        ledger.close()
        publish(ledger, public)
    kept = shutil.copytree(home, tmp_path / "kept")
    with world.open() as ledger:
        ledger.submit(b"".join(digests("b", 1)))
        ledger.close()
        publish(ledger, public)
    shutil.rmtree(home)
    shutil.copytree(kept, home)
    with world.open() as ledger:
        with pytest.raises(Damaged, match="is a checkpoint of 2 entries"):
            ledger.submit(b"".join(digests("c", 1)))
        ((path, _),) = find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=True)
        assert path == public / "checkpoint"
        # What others wrote there is no word of ours.
        (public / "checkpoint").write_text("ledger.test/fake\n9\nAAAA\n\n— x y\n")
        ledger.submit(b"".join(digests("c", 1)))
        ledger.close()
        assert max(checkpoints(ledger)) == 2


def test_a_home_that_is_older_than_a_key_knows_what_it_published_under_it(
    world: FakeWorld, tmp_path: Path
) -> None:
    """The newest published checkpoint is by a key that the copy has never seen."""
    public, home = tmp_path / "public", world.home.folder
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 1)))
        ledger.close()
        publish(ledger, public)
    kept = shutil.copytree(home, tmp_path / "kept")
    with world.open() as ledger:
        rotate(ledger)
        ledger.submit(b"".join(digests("b", 1)))
        ledger.close()
        publish(ledger, public)
    shutil.rmtree(home)
    shutil.copytree(kept, home)
    with world.open() as ledger, pytest.raises(Damaged, match="is a checkpoint of 2 entries"):
        ledger.submit(b"".join(digests("c", 1)))
    # Another ledger's notes lead to no key of ours.
    (public / "keys" / "001").write_text("nothing")
    with world.open() as ledger:
        ledger.submit(b"".join(digests("c", 1)))


def test_a_log_that_was_published_meanwhile_is_not_signed_again(
    world: FakeWorld, tmp_path: Path
) -> None:
    """A batch was open when the home was copied."""
    public, home = tmp_path / "public", world.home.folder
    with world.open(LARGE) as ledger:
        ledger.submit(b"".join(digests("a", 1)))
    kept = shutil.copytree(home, tmp_path / "kept")
    with world.open(LARGE) as ledger:
        ledger.submit(b"".join(digests("b", 1)))
        ledger.close()
        publish(ledger, public)
        told = ledger.home.folder / "published.json"
        (kept / told.name).write_bytes(told.read_bytes())
    shutil.rmtree(home)
    shutil.copytree(kept, home)
    with world.open() as ledger:
        with pytest.raises(Damaged, match="is a checkpoint of 1 entry"):
            ledger.close()
        assert max(checkpoints(ledger)) == 0


def test_a_published_log_of_another_history_is_noticed(world: FakeWorld, tmp_path: Path) -> None:
    """Two copies of the ledger went on: this one published in a folder that holds the other's."""
    public, home = tmp_path / "public", world.home.folder
    with world.open() as ledger:
        publish(ledger, public)
    kept = shutil.copytree(home, tmp_path / "kept")
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 1)))
        ledger.close()
        publish(ledger, public)
    shutil.rmtree(home)
    shutil.copytree(kept, home)
    moved = public.rename(tmp_path / "away")
    with world.open() as ledger:
        for name in "bc":
            ledger.submit(b"".join(digests(name, 1)))
            ledger.close()
        assert list(check_ledger(ledger, world.trust)) == []
    moved.rename(public)
    with world.open() as ledger:
        before = checkpoints(ledger)
        for step in (lambda: ledger.submit(bytes(32)), lambda: rotate(ledger)):
            with pytest.raises(Damaged) as error:
                step()
            assert error.value.message.code == "home-forks-from-published"
        (problem,) = check_ledger(ledger, world.trust)
        assert problem.fault.code == "checkpoint-of-other-history"
        assert dict(problem.fault.params)["size"] == 1
        # One that an older version kept in the home says the same.
        (home / "log").mkdir()
        (public / "checkpoint").rename(home / "log" / "checkpoint-1")
        (problem,) = check_ledger(ledger, world.trust)
        assert problem.fault.code == "checkpoint-of-other-history"
        assert checkpoints(ledger) == before


@pytest.mark.parametrize("content", ["", "{", '"/a"', "[1]", "[" * 100_000])
def test_a_list_of_published_folders_that_cannot_be_read_stops_what_signs(
    world: FakeWorld, content: str
) -> None:
    told = world.home.folder / "published.json"
    told.write_text(content)
    with world.open() as ledger:
        with pytest.raises(Damaged, match="names the folders"):
            ledger.submit(bytes(32))
        told.unlink()
        told.mkdir()
        with pytest.raises(StorageFailure, match="cannot read"):
            ledger.submit(bytes(32))
