"""`log rotate` killed with SIGKILL at its durable steps: the ledger goes on under the one
key that counts, and never under two."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from conftest import START, Clock
from fakes import FakeWorld, Steps, When, digests, in_child

from witnesstree.ledger.log.keys import key_in_force
from witnesstree.ledger.log.note import check_checkpoint
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.rotation import destroy_old_keys, rotate


def rotate_in_child(world: FakeWorld, step: int, when: When, *, destroys_old: bool) -> int:
    """Rotate in a child process that is killed at a step; return its exit status: minus the signal,
    if one ended it."""

    def work() -> None:
        with (
            Steps(lambda: os.kill(os.getpid(), signal.SIGKILL), step, when).counted(),
            world.open() as ledger,
        ):
            rotate(ledger, destroys_old=destroys_old)

    return in_child(work)


@pytest.mark.parametrize("when", When)
def test_a_killed_rotation_has_happened_or_not(tmp_path: Path, when: When) -> None:
    world, prepared = FakeWorld(tmp_path / "home", Clock(START)), tmp_path / "prepared"
    with world.open() as ledger:
        ledger.submit(digests("before", 1)[0])
        ledger.close()
    shutil.copytree(world.home.folder, prepared)
    seen = []
    for step in range(60):
        shutil.rmtree(world.home.folder)
        shutil.copytree(prepared, world.home.folder)
        status = rotate_in_child(world, step, when, destroys_old=False)
        with world.open() as ledger:
            with ledger.metadata.read() as transaction:
                seen.append(len(transaction.key_notes()))
            # What is left is sound, and the next checkpoint, and the next rotation, go on from
            # there.
            assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []
            ledger.submit(digests("after", 1)[0])
            ledger.close()
            assert rotate(ledger).number == seen[-1] + 1
            with ledger.metadata.read() as transaction:
                changes = ledger.key_changes(transaction)
                assert [change.size for change in changes] == [1, 2][-len(changes) :]
                for size in range(3):
                    assert check_checkpoint(
                        transaction.checkpoint(size),
                        key_in_force(world.home.verifier_key(), changes, size),
                    )
                assert transaction.key_notes() == list(world.home.key_notes())
            assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []
        if status == 0:
            break
        assert status == -signal.SIGKILL
    # It did not count, then it did, and nothing between.
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}
    assert step > 10


@pytest.mark.parametrize("when", When)
def test_the_old_key_is_destroyed_only_when_the_new_one_counts(tmp_path: Path, when: When) -> None:
    world, prepared = FakeWorld(tmp_path / "home", Clock(START)), tmp_path / "prepared"
    shutil.copytree(world.home.folder, prepared)
    finished = 0
    for step in range(60):
        shutil.rmtree(world.home.folder)
        shutil.copytree(prepared, world.home.folder)
        status = rotate_in_child(world, step, when, destroys_old=True)
        old = world.home.folder / "keys" / "ledger.pem"
        if not old.exists():
            assert len(world.home.key_notes()) == 1
            assert world.home.private_key(1)
        else:
            # What it left is finished without another change.
            with world.open() as ledger:
                with ledger.metadata.read() as transaction:
                    newest = len(transaction.key_notes())
                assert destroy_old_keys(ledger) == [0][:newest]
            assert old.exists() == (newest == 0)
            finished += newest
            assert world.home.private_key(newest)
        if status == 0:
            assert not old.exists()
            assert finished
            return
    pytest.fail("it never ended")
