"""The digest index while its runs are merged or made anew: killed at its durable steps, on a full
disk, and asked by two processes at once."""

import errno
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from conftest import Clock
from fakes import FakeWorld, Steps, When, digests, in_child, moments, strides

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.store.index.runs import DigestIndex
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.sealing import Ledger, Limits

BATCHES = [digests(f"batch {number}", 2) for number in range(4)]
EVERYTHING = [digest for entries in BATCHES for digest in entries]
SMALL = Limits(entries=2, age=timedelta(hours=1), patience=5)


def seal(ledger: Ledger, entries: list[bytes]) -> None:
    ledger.submit(b"".join(entries))
    assert len(ledger.close()) == 1


def sealed(folder: Path, clock: Clock) -> FakeWorld:
    """Four batches; the fourth has its run, and nothing is merged yet."""
    world = FakeWorld(folder, clock, SMALL)
    with world.open() as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DigestIndex, "merge", lambda *_: None)
        for entries in BATCHES:
            seal(ledger, entries)
    return world


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def merge(world: FakeWorld, steps: Steps) -> None:
    with world.open() as ledger, steps.counted():
        ledger._merge_indexes()


def mend(world: FakeWorld, steps: Steps) -> None:
    with world.open() as ledger, steps.counted():
        assert ledger.mend_indexes() == 4


@pytest.mark.parametrize("work", [merge, mend])
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(6))
def test_a_killed_merge_leaves_every_digest_to_be_found(
    tmp_path: Path, clock: Clock, when: When, stride: int, work: Callable[[FakeWorld, Steps], None]
) -> None:
    for step in moments(stride, when):
        world = sealed(tmp_path / f"{step}", clock)
        status = in_child(partial(work, world, Steps(kill_me, step, when)))
        assert status in {0, -signal.SIGKILL}, step
        for _ in range(2):
            with world.open() as ledger:
                assert [
                    digest for digest in EVERYTHING if len(list(ledger.entries(digest))) != 1
                ] == [], step
                assert set(ledger.find(EVERYTHING)) == set(EVERYTHING)
                assert [
                    problem
                    for problem in check_ledger(ledger, Trust((world.authority.root,)))
                    if "index" in problem.fault
                ] == []
                assert ledger.mend_indexes() == 4
        assert [path.name for path in world.home.batches.rglob("*.index")] == [
            "00000000-00000003.index"
        ], step
        if status == 0:
            break
    assert step > 5


def test_a_full_disk_does_not_keep_a_batch_from_being_sealed(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = FakeWorld(tmp_path / "home", clock, SMALL)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("witnesstree.ledger.store.index.runs.merged_rows", refuse)
    with world.open() as ledger:
        for entries in BATCHES:
            seal(ledger, entries)
        assert set(ledger.find(EVERYTHING)) == set(EVERYTHING)
        with world.home.lock("index", 0):
            # Another process merges.
            seal(ledger, digests("more", 1))
        monkeypatch.undo()
        seal(ledger, digests("yet more", 1))
        assert set(ledger.find(EVERYTHING)) == set(EVERYTHING)
    assert [path.name for path in world.home.batches.rglob("*.index")] == [
        "00000000-00000005.index"
    ]


def test_what_another_process_adds_is_in_the_next_answer(tmp_path: Path, clock: Clock) -> None:
    """Batches, tokens and anchors, merged and mended indexes: nothing that is kept in memory is
    older than what was committed."""
    world = FakeWorld(tmp_path / "home", clock, SMALL)
    first, second = BATCHES[0][0], BATCHES[1][0]

    def elsewhere(work: Callable[[Ledger], object]) -> None:
        def run() -> None:
            with world.open() as other:
                work(other)

        assert in_child(run) == 0

    with world.open() as ledger:
        seal(ledger, BATCHES[0])
        assert ledger.proof(first).missing == ("token", "anchor")
        elsewhere(lambda other: other.outbox.work())
        assert ledger.proof(first).missing == ()
        elsewhere(lambda other: other.submit(b"".join(BATCHES[1])))
        assert ledger.proof(second).missing == ("inclusion", "token", "anchor")
        elsewhere(lambda other: other.close())
        assert ledger.proof(second).missing == ("token", "anchor")
        for entries in BATCHES[2:]:
            elsewhere(partial(lambda entries, other: seal(other, entries), entries))
            assert [ledger.proof(digest).inclusion is not None for digest in entries] == [
                True,
                True,
            ]
        assert set(ledger.find(EVERYTHING)) == set(EVERYTHING)
        (path,) = world.home.batches.rglob("*.index")
        assert path.name == "00000000-00000003.index"
        path.write_bytes(path.read_bytes()[:-12])
        for digest in EVERYTHING:
            with pytest.raises(Damaged, match="mend-index"):
                ledger.proof(digest)
        elsewhere(lambda other: other.mend_indexes())
        assert set(ledger.find(EVERYTHING)) == set(EVERYTHING)
        path.unlink()
        with pytest.raises(Damaged, match="missing"):
            ledger.find(EVERYTHING)


def test_what_proofs_have_in_common_is_kept_of_some_batches_only(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("witnesstree.ledger.work.lookup.MAX_COMMONS", 2)
    world = sealed(tmp_path / "home", clock)
    with world.open() as ledger:
        proofs = [ledger.proof(entries[0]) for entries in BATCHES]
        assert list(ledger._commons) == [2, 3]
        assert [ledger.proof(entries[0]) for entries in BATCHES] == proofs
    with world.open() as other:
        assert [other.proof(entries[0]) for entries in BATCHES] == proofs
        assert [
            next(other.entries(digest, 2), None) is not None
            for digest in (BATCHES[1][0], BATCHES[2][0])
        ] == [False, True]


def test_a_database_that_went_back_is_read_anew(tmp_path: Path, clock: Clock) -> None:
    """As after a backup was restored under a process that goes on."""
    world = sealed(tmp_path / "home", clock)
    with world.open() as ledger:
        assert ledger.proof(BATCHES[3][0]).inclusion is not None
        ledger._sizes = (*ledger._sizes, (4, 2))
        assert ledger.proof(BATCHES[3][0]).inclusion is not None
        assert len(ledger._sizes) == 4
