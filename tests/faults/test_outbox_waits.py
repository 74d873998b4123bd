"""The outbox while things wait: for a block, for a lower fee, for their time to be tried again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import rlp
from conftest import Clock
from fakes import FakeWorld, digests

from witnesstree.ledger.base.errors import Unaffordable, Unreachable
from witnesstree.ledger.store.database.values import JobKind
from witnesstree.ledger.work.sealing import Ledger

A, B, C = digests("outbox", 3)
TOO_LITTLE = Unaffordable("the pool takes nothing so cheap")


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock)


@pytest.fixture
def ledger(world: FakeWorld) -> Iterator[Ledger]:
    with world.open() as opened:
        yield opened


def seal(ledger: Ledger, *submissions: bytes) -> None:
    for each in submissions:
        ledger.submit(each)
        ledger.close()


def alarms(ledger: Ledger) -> set[str]:
    with ledger.metadata.read() as transaction:
        return {alarm.kind.value for alarm in transaction.alarms()}


def roots_of(raw: bytes) -> int:
    return len(rlp.decode(raw)[2])


def test_one_that_the_pool_refuses_as_too_cheap_is_replaced_once_it_has_waited(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = world.chain.is_dear = True
    seal(ledger, A)
    ledger.outbox.work()
    clock.tick(179)
    world.chain.switches.fail("send", error=TOO_LITTLE, times=2)
    ledger.outbox.work()
    # It may pass by itself.
    assert alarms(ledger) == set()
    assert len(world.chain.pool) == 1
    clock.tick(1)
    ledger.outbox.work()
    assert alarms(ledger) == set()
    first, second = world.chain.pool
    assert (first.nonce, first.hash == second.hash) == (second.nonce, False)


def test_one_that_the_pool_refuses_and_that_pays_what_is_asked_stays_an_alarm(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = True
    seal(ledger, A)
    ledger.outbox.work()
    clock.tick(200)
    world.chain.switches.fail("send", error=TOO_LITTLE)
    ledger.outbox.work()
    assert alarms(ledger) == {"unaffordable"}
    ledger.outbox.work()
    assert alarms(ledger) == set()


def test_one_that_waits_and_is_not_due_still_holds_up_the_next(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = True
    seal(ledger, A)
    ledger.outbox.work(due_only=True)
    clock.tick(2)
    seal(ledger, B)
    ledger.outbox.work(due_only=True)
    assert len({each.hash for each in world.chain.pool}) == 1
    world.chain.is_stuck = False
    world.chain.carry_out_newest()
    clock.tick(20)
    ledger.outbox.work(due_only=True)
    assert set(world.chain.anchored.values()) == {1}
    assert len(world.chain.anchored) == 2


def test_a_replacement_carries_all_roots_of_what_it_replaces(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = world.chain.is_dear = True
    seal(ledger, A, B, C)
    ledger.outbox.work()
    clock.tick(200)
    # Each is to be tried again at a time of its own.
    world.chain.switches.fail("standing", error=Unreachable("down"), times=4)
    for _ in range(4):
        ledger.outbox.work()
    first = min(
        job.retry_at
        for job in ledger.outbox.unfinished()
        if job.kind is JobKind.ANCHOR and job.retry_at
    )
    clock.now = first
    ledger.outbox.work(due_only=True)
    assert {roots_of(each.raw) for each in world.chain.pool} == {3}
    assert len({each.hash for each in world.chain.pool}) == 2


def test_a_loss_is_an_alarm_until_what_was_signed_anew_is_anchored(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.confirmations = 2
    seal(ledger, A)
    world.chain.switches.fail("send")
    ledger.outbox.work()
    world.chain.spend_nonce()
    clock.tick()
    seal(ledger, B)
    ledger.outbox.work()
    for _ in range(2):
        world.chain.mine()
    clock.tick()
    # In one and the same pass one is found to be lost, and another one anchored.
    waiting = ledger.outbox.work()
    assert [job.sequence for job in waiting] == [0]
    assert alarms(ledger) == {"lost"}
    for _ in range(2):
        world.chain.mine()
    assert ledger.outbox.work() == []
    assert alarms(ledger) == set()
    assert set(world.chain.anchored.values()) == {1}
