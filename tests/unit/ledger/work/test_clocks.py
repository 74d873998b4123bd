"""ledger/work/clocks.py: what would contradict an opening record is not asked for, not named, or
named at once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Clock
from fakes import FakeAuthority, FakeWorld, digests

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.message import Message
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.log.opening import Opening, parse_opening
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.store.database.values import JobKind
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.clocks import LONGEST_HOLD, Clocks
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.sealing import Ledger

A, B, C, D = digests("clocks", 4)
AHEAD = 8 * 3600


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock)


@pytest.fixture
def ledger(world: FakeWorld) -> Iterator[Ledger]:
    with world.open() as ledger:
        yield ledger


def alarms(ledger: Ledger) -> dict[tuple[str, str], Message]:
    with ledger.metadata.read() as transaction:
        return {(alarm.kind.value, alarm.subject): alarm.text for alarm in transaction.alarms()}


def seal(ledger: Ledger, digest: bytes) -> None:
    ledger.submit(digest)
    ledger.close()
    ledger.outbox.work()


def opening(ledger: Ledger, digest: bytes) -> Opening:
    found = ledger.proof(digest).opening
    assert found
    return parse_opening(found.record)


def verdict(world: FakeWorld, ledger: Ledger, digest: bytes) -> Verdict:
    content = format_proof(ledger.proof(digest))
    return verify(digest, content, world.trust, world.clock()).verdict


def faults(world: FakeWorld, ledger: Ledger) -> list[str]:
    found = check_ledger(ledger, Trust((world.authority.root,)))
    return [problem.fault.code for problem in found]


@pytest.mark.parametrize("ahead", [AHEAD, 660])
def test_a_block_from_ahead_of_the_clock_is_not_named_and_is_an_alarm(
    world: FakeWorld, ledger: Ledger, clock: Clock, ahead: int
) -> None:
    """The clock was ahead while one batch was sealed; a token from now would contradict its
    block."""
    clock.tick(ahead)
    seal(ledger, A)
    world.chain.mine()
    clock.tick(-ahead)
    seal(ledger, B)
    assert opening(ledger, A).block
    assert opening(ledger, B).block is None
    assert alarms(ledger)["clock", "opening"].code == "chain-ahead-of-clock"
    assert verdict(world, ledger, B) is Verdict.VERIFIED
    assert faults(world, ledger) == []
    clock.tick(ahead)
    seal(ledger, C)
    assert opening(ledger, C).block
    assert alarms(ledger) == {}
    assert verdict(world, ledger, A) is verdict(world, ledger, C) is Verdict.VERIFIED


def test_clocks_may_differ_a_little(world: FakeWorld, ledger: Ledger, clock: Clock) -> None:
    clock.tick(SKEW.total_seconds())
    seal(ledger, A)
    world.chain.mine()
    clock.tick(-SKEW.total_seconds())
    seal(ledger, B)
    assert opening(ledger, B).block
    assert alarms(ledger) == {}
    assert verdict(world, ledger, B) is Verdict.VERIFIED


def test_a_log_from_ahead_of_the_clock_is_an_alarm(world: FakeWorld, clock: Clock) -> None:
    """The chain's newest block is older: only the ledger's own statement shows it."""
    with world.open(witnesses=Witnesses({}, {"fake-chain": world.chain}, {})) as ledger:
        clock.tick(AHEAD)
        ledger.submit(A)
        ledger.close()
        clock.tick(-AHEAD)
        ledger.submit(B)
        assert alarms(ledger)["clock", "opening"].code == "ledger-ahead-of-clock"


def test_of_a_batch_that_was_opened_ahead_nobody_is_asked_before_its_time(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    clock.tick(AHEAD)
    ledger.submit(A)
    clock.tick(-AHEAD)
    ledger.close()
    for _ in range(2):
        left = ledger.outbox.work()
        assert {job.kind for job in left} == {JobKind.STAMP, JobKind.ANCHOR}
        assert {job.last_error.code for job in left if job.last_error} == {"batch-begun-later"}
    assert (world.authority.stamped, world.chain.anchored) == ([], {})
    assert alarms(ledger)["clock", "fake-chain"].code == "batch-begun-later"
    clock.tick(AHEAD)
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {}
    assert verdict(world, ledger, A) is Verdict.VERIFIED


def test_a_token_from_before_its_batch_was_begun_is_not_kept_and_holds_the_anchor(
    world: FakeWorld, clock: Clock
) -> None:
    """Our clock is ahead, and nobody but the authority knows."""
    other = FakeAuthority("other", lambda: clock() - timedelta(hours=8))
    witnesses = Witnesses({"other": other}, {"fake-chain": world.chain}, {})
    with world.open(witnesses=witnesses) as ledger:
        seal(ledger, A)
        assert ledger.proof(A).tokens == ()
        assert world.chain.anchored == {}
        assert alarms(ledger)["clock", "other"].code == "token-before-opening"
        assert alarms(ledger)["clock", "fake-chain"].code == "token-before-opening"
        clock.tick(AHEAD)
        assert ledger.outbox.work() == []
        assert len(ledger.proof(A).tokens) == len(ledger.proof(A).anchors) == 1
        assert ("clock", "fake-chain") not in alarms(ledger)


def test_an_authority_whose_clock_stays_behind_does_not_hold_an_anchor_for_ever(
    world: FakeWorld, clock: Clock
) -> None:
    other = FakeAuthority("other", lambda: clock() - timedelta(days=2000))
    witnesses = Witnesses({"other": other}, {"fake-chain": world.chain}, {})
    with world.open(witnesses=witnesses) as ledger:
        seal(ledger, A)
        clock.tick(LONGEST_HOLD.total_seconds() - 1)
        ledger.outbox.work()
        assert ledger.proof(A).anchors == ()
        clock.tick(1)
        ledger.outbox.work()
        assert len(ledger.proof(A).anchors) == 1


def test_fsck_names_a_batch_that_its_token_contradicts(
    world: FakeWorld, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older versions made them."""
    monkeypatch.setattr(Clocks, "require_later", lambda *_: None)
    other = FakeAuthority("other", lambda: clock() - SKEW - timedelta(seconds=2))
    with world.open(witnesses=Witnesses({"other": other}, {}, {})) as ledger:
        seal(ledger, A)
        assert "witness-before-opening" in faults(world, ledger)
        assert verdict(world, ledger, A) is not Verdict.VERIFIED


def test_fsck_names_a_batch_that_its_anchor_contradicts(
    world: FakeWorld, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clocks, "kept_back", lambda *_: {})
    with world.open(witnesses=Witnesses({}, {"fake-chain": world.chain}, {})) as ledger:
        clock.tick(AHEAD)
        ledger.submit(A)
        clock.tick(-AHEAD)
        ledger.close()
        ledger.outbox.work()
        assert faults(world, ledger) == ["witness-before-opening"]
