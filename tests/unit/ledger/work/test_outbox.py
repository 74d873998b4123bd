"""The outbox on fakes: each effect is had once, whatever an authority or a chain does meanwhile."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import START, Clock
from fakes import FakeAuthority, FakeChain, FakeFileStore, FakeWorld, When, digests

from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    Unaffordable,
    Unreachable,
)
from witnesstree.ledger.base.message import AS_TEXT, Message, message
from witnesstree.ledger.base.ports import Standing
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.proof.proof import parse_anchor
from witnesstree.ledger.store.database.values import AlarmKind, Job, JobKind, JobState
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Outbox, Pace, Witnesses
from witnesstree.ledger.work.sealing import Ledger

A, B, C, D = digests("outbox", 4)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock)


@pytest.fixture
def ledger(world: FakeWorld) -> Iterator[Ledger]:
    with world.open() as opened:
        yield opened


def seal(ledger: Ledger, *packed: bytes) -> list[bytes]:
    """Seal each of these as a batch of its own, and return the roots."""
    roots = []
    for each in packed:
        ledger.submit(each)
        roots += [ledger.batch(sequence).root for sequence in ledger.close()]
    return roots


def jobs(ledger: Ledger, kind: JobKind = JobKind.ANCHOR) -> list[Job]:
    return [job for job in ledger.outbox.unfinished() if job.kind is kind]


def alarms(ledger: Ledger) -> dict[tuple[str, str], Message]:
    with ledger.metadata.read() as transaction:
        return {(alarm.kind.value, alarm.subject): alarm.text for alarm in transaction.alarms()}


def anchor_transaction(ledger: Ledger, sequence: int) -> bytes | None:
    with ledger.metadata.read() as transaction:
        [(_, text)] = transaction.anchors(sequence)
    return parse_anchor(text).transaction


# Retries


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("method", ["standing", "sign", "send", "collect"])
def test_a_chain_that_fails_at_any_call_is_tried_again(
    world: FakeWorld, ledger: Ledger, method: str, when: When
) -> None:
    [root] = seal(ledger, A)
    world.chain.switches.fail(method, when)
    told: list[tuple[str, Message | None]] = []
    waiting = ledger.outbox.work(lambda job, error: told.append((job.kind, error)))
    assert [job.kind for job in waiting] == [JobKind.ANCHOR]
    assert told == [("stamp", None), ("anchor", message(f"{method} got no answer"))]
    assert (waiting[0].attempts, waiting[0].last_error) == (1, message(f"{method} got no answer"))
    assert ledger.outbox.work() == []
    assert world.chain.anchored == {root: 1}


def test_a_failed_job_waits_longer_each_time_up_to_a_bound(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    seal(ledger, A)
    world.authority.switches.fail("stamp", times=12)
    waits = []
    for _ in range(12):
        ledger.outbox.work()
        [job] = jobs(ledger, JobKind.STAMP)
        assert job.retry_at
        waits.append((job.retry_at - clock()).total_seconds())
        clock.now = job.retry_at
    # Jitter takes up to half away, and times are kept in whole seconds.
    assert all(
        bound / 2 - 1 <= wait <= bound
        for wait, bound in zip(
            waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600], strict=True
        )
    )
    assert ledger.outbox.work() == []


def test_what_is_not_due_is_left_alone_until_it_is(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    [root] = seal(ledger, A)
    world.authority.switches.fail("stamp")
    ledger.outbox.work(due_only=True)
    assert ledger.outbox.work(due_only=True) != []
    assert world.authority.stamped == []
    clock.tick(6)
    assert ledger.outbox.work(due_only=True) == []
    assert world.authority.stamped == [root]


def test_an_authority_that_does_not_answer_is_asked_once_a_pass(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A, B, C)
    world.authority.switches.fail("stamp")
    ledger.outbox.work()
    assert world.authority.stamped == []
    assert [(job.attempts, job.last_error) for job in jobs(ledger, JobKind.STAMP)] == [
        (1, message("stamp got no answer"))
    ] * 3
    assert ledger.outbox.work() == []


def test_a_bad_answer_holds_up_no_other_batch_and_is_an_alarm_until_a_good_one(
    world: FakeWorld, ledger: Ledger
) -> None:
    roots = seal(ledger, A, B)
    world.authority.switches.fail("stamp", error=BadAnswer("the nonce is not ours"))
    ledger.outbox.work()
    assert world.authority.stamped == roots[1:]
    # The second answer was good: whoever gave it has mended its ways.
    assert alarms(ledger) == {}
    world.authority.switches.fail("stamp", error=BadAnswer("the nonce is not ours"))
    ledger.outbox.work()
    assert alarms(ledger) == {("bad-answer", "fake-authority"): message("the nonce is not ours")}
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {}


def test_an_authority_that_gives_no_token_is_a_bad_answer(
    world: FakeWorld, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(ledger, A)
    monkeypatch.setattr(world.authority, "stamp", lambda root: Stamp(b"no token"))
    ledger.outbox.work()
    [job] = jobs(ledger, JobKind.STAMP)
    assert job.last_error
    assert job.last_error.code == "token-of-authority-unreadable"
    assert ("bad-answer", "fake-authority") in alarms(ledger)


def test_an_authority_that_is_configured_no_more_waits_and_says_so(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A)
    with world.open(witnesses=Witnesses({}, {}, {})) as without:
        without.outbox.work()
        assert {job.last_error for job in without.outbox.unfinished()} == {
            message("target-not-configured", name=name) for name in ("fake-authority", "fake-chain")
        }
    assert ledger.outbox.work() == []


@pytest.mark.parametrize("at", range(4))
def test_it_stops_between_two_jobs(world: FakeWorld, ledger: Ledger, at: int) -> None:
    seal(ledger, A, B)
    answers = iter([False] * at + [True] * 9)
    ledger.outbox.work(stop=lambda: next(answers))
    # Asked before each target, and before each of its two stamps.
    assert len(world.authority.stamped) == max(0, at - 1)
    assert world.chain.anchored == {}
    assert ledger.outbox.work() == []


def test_a_defect_of_ours_ends_the_run(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, A)
    world.authority.switches.fail("stamp", error=Damaged("a file of ours"))
    with pytest.raises(Damaged):
        ledger.outbox.work()


def test_settings_that_cannot_work_are_an_alarm_until_they_do(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A, B)
    world.authority.switches.fail(
        "stamp", error=InvalidInput("the environment variable TSA is not set")
    )
    ledger.outbox.work()
    assert world.authority.stamped == []
    assert alarms(ledger) == {
        ("settings", "fake-authority"): message("the environment variable TSA is not set")
    }
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {}


@pytest.mark.parametrize(
    ("kind", "left"), [(JobKind.STAMP, JobKind.ANCHOR), (JobKind.ANCHOR, JobKind.STAMP)]
)
def test_what_waits_for_one_who_does_not_come_back_can_be_given_up(
    world: FakeWorld, ledger: Ledger, kind: JobKind, left: JobKind
) -> None:
    seal(ledger, A, B)
    target = {JobKind.STAMP: "fake-authority", JobKind.ANCHOR: "fake-chain"}[kind]
    with world.open(witnesses=Witnesses({}, {}, {})) as without:
        without.outbox.work()
        assert len(alarms(without)) == 2
        assert without.outbox.forget(kind, target) == 2
        assert without.outbox.forget(kind, target) == 0
        assert {job.kind for job in without.outbox.unfinished()} == {left}
        assert {subject for _, subject in alarms(without)} == {"fake-authority", "fake-chain"} - {
            target
        }
    assert ledger.outbox.work() == []
    assert list(check_ledger(ledger, world.trust)) == []


# Anchors


def test_roots_that_wait_together_go_into_one_transaction(world: FakeWorld, ledger: Ledger) -> None:
    roots = seal(ledger, A, B, C)
    assert ledger.outbox.work() == []
    assert len(world.chain.pool) == 1
    assert world.chain.anchored == dict.fromkeys(roots, 1)
    assert {anchor_transaction(ledger, sequence) for sequence in range(3)} == {
        world.chain.pool[0].hash
    }


def test_a_transaction_carries_a_bounded_number_of_roots(
    world: FakeWorld, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("witnesstree.ledger.work.anchoring.MAX_ROOTS", 2)
    roots = seal(ledger, A, B, C)
    assert [job.sequence for job in ledger.outbox.work()] == [2]
    assert ledger.outbox.work() == []
    assert world.chain.anchored == dict.fromkeys(roots, 1)
    assert len(world.chain.pool) == 2


def test_while_a_transaction_waits_for_its_block_none_other_is_signed(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A)
    world.chain.is_stuck = True
    ledger.outbox.work()
    seal(ledger, B, C)
    ledger.outbox.work()
    assert {each.hash for each in world.chain.pool} == {world.chain.pool[0].hash}
    world.chain.is_stuck = False
    world.chain.carry_out_newest()
    assert ledger.outbox.work() == []
    assert set(world.chain.anchored.values()) == {1}
    assert len(world.chain.anchored) == 3


def test_a_transaction_is_stored_before_it_is_sent(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, A)
    world.chain.switches.fail("send")
    [job] = [job for job in ledger.outbox.work() if job.kind is JobKind.ANCHOR]
    assert job.state is JobState.SIGNED
    with ledger.metadata.read() as transaction:
        [stored] = transaction.transactions("fake-chain")
    assert (stored.transaction.hash, stored.signed) == (job.transaction, START)
    assert ledger.outbox.work() == []
    assert [each.hash for each in world.chain.pool] == [stored.transaction.hash]
    assert anchor_transaction(ledger, 0) == stored.transaction.hash


def test_an_anchor_counts_once_its_block_is_final(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.confirmations = 2
    seal(ledger, A)
    [job] = ledger.outbox.work()
    assert (job.last_error, job.attempts) == (None, 0)
    assert job.retry_at
    assert job.retry_at > clock()
    for _ in range(2):
        assert ledger.proof(A).anchors == ()
        world.chain.mine()
        ledger.outbox.work()
    assert len(ledger.proof(A).anchors) == 1
    assert len(world.chain.pool) == 1


def test_a_reorganised_transaction_is_sent_again_and_anchored_once(
    world: FakeWorld, ledger: Ledger
) -> None:
    world.chain.confirmations = 5
    [root] = seal(ledger, A)
    ledger.outbox.work()
    world.chain.mine()
    world.chain.reorganise(2)
    assert world.chain.standing(root, None) is Standing.ABSENT
    ledger.outbox.work()
    assert world.chain.anchored == {root: 1}
    for _ in range(5):
        world.chain.mine()
    assert ledger.outbox.work() == []
    assert {each.nonce for each in world.chain.pool} == {0}


def test_after_a_reorganisation_transactions_are_sent_in_the_order_of_their_nonces(
    world: FakeWorld, ledger: Ledger
) -> None:
    world.chain.confirmations = 50
    for digest in (A, B, C):
        seal(ledger, digest)
        ledger.outbox.work()
    assert world.chain.nonce == 3
    world.chain.reorganise(3)
    seal(ledger, D)
    ledger.outbox.work()
    assert [each.nonce for each in world.chain.pool] == [0, 1, 2, 0, 1, 2, 3]
    assert set(world.chain.anchored.values()) == {1}


def test_a_transaction_that_waits_for_long_is_replaced_with_the_same_nonce(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = world.chain.is_dear = True
    [root] = seal(ledger, A)
    ledger.outbox.work()
    clock.tick(179)
    ledger.outbox.work()
    assert len({each.hash for each in world.chain.pool}) == 1
    clock.tick(1)
    ledger.outbox.work()
    first, *_, second = world.chain.pool
    assert first.hash != second.hash
    assert first.nonce == second.nonce
    # The one that was replaced may still be the one that comes into a block.
    world.chain._carry_out(first, [root])
    assert ledger.outbox.work() == []
    assert anchor_transaction(ledger, 0) == first.hash


def test_a_transaction_that_offers_enough_is_not_replaced(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = True
    seal(ledger, A)
    for _ in range(3):
        ledger.outbox.work()
        clock.tick(300)
    assert len({each.hash for each in world.chain.pool}) == 1


def test_at_the_cap_it_waits_with_an_alarm_and_goes_on_when_it_is_cheaper(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    [root] = seal(ledger, A)
    world.chain.switches.fail(
        "sign", error=Unaffordable("the cap is 100 gwei, the chain asks 5000"), times=2
    )
    ledger.outbox.work()
    assert alarms(ledger) == {
        ("unaffordable", "fake-chain"): message("the cap is 100 gwei, the chain asks 5000")
    }
    clock.tick(60)
    ledger.outbox.work()
    with ledger.metadata.read() as transaction:
        assert [alarm.since for alarm in transaction.alarms()] == [START]
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {}
    assert world.chain.anchored == {root: 1}


def test_a_lost_transaction_is_signed_anew_only_once_that_is_final(
    world: FakeWorld, ledger: Ledger
) -> None:
    world.chain.confirmations = 2
    [root] = seal(ledger, A)
    world.chain.switches.fail("send")
    ledger.outbox.work()
    world.chain.spend_nonce()
    for _ in range(2):
        ledger.outbox.work()
        assert world.chain.pool == []
        assert alarms(ledger) == {}
        world.chain.mine()
    ledger.outbox.work()
    [sent] = world.chain.pool
    assert sent.nonce == 1
    assert alarms(ledger)["lost", "fake-chain"] == message(
        "nonce-anchored-nothing", nonce=0, sender="00112233445566778899aabbccddeeff00112233"
    )
    for _ in range(2):
        world.chain.mine()
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {}
    assert world.chain.anchored == {root: 1}


def test_a_root_that_a_stranger_anchored_costs_nothing(world: FakeWorld, ledger: Ledger) -> None:
    world.chain.confirmations = 1
    [root] = seal(ledger, A)
    world.chain.anchor_as_stranger(root)
    [job] = ledger.outbox.work()
    assert job.state is JobState.WAITING
    world.chain.mine()
    assert ledger.outbox.work() == []
    assert world.chain.pool == []
    assert anchor_transaction(ledger, 0) is None


def test_a_node_that_lags_behind_costs_a_look_more(
    world: FakeWorld, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(ledger, A)
    with monkeypatch.context() as patch:
        patch.setattr(world.chain, "collect", lambda *_: None)
        assert [job.last_error for job in ledger.outbox.work()] == [None]
    assert ledger.outbox.work() == []


def test_a_chain_that_refuses_a_taken_nonce_is_asked_again(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A)
    world.chain.switches.fail("send", error=Conflict("another transaction has this nonce"))
    assert [job.last_error for job in ledger.outbox.work()] == [
        message("another transaction has this nonce")
    ]
    assert ledger.outbox.work() == []


def test_an_endpoint_that_another_made_up_for_is_an_alarm_while_it_fails(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A)
    one, two = (message(AS_TEXT, text=f"http://{name} gave no answer") for name in ("one", "two"))
    world.chain.noted = [one, two]
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {("endpoint", "fake-chain"): message("both", first=one, second=two)}
    world.chain.noted = []
    seal(ledger, B)
    assert ledger.outbox.work() == []
    assert alarms(ledger) == {}


# Clocks


@pytest.mark.parametrize(
    ("seconds", "is_alarm"), [(0, False), (59, False), (-61, False), (-63, True), (63, True)]
)
def test_an_authority_whose_clock_contradicts_ours_is_an_alarm(
    world: FakeWorld, clock: Clock, seconds: int, *, is_alarm: bool
) -> None:
    # Its accuracy of one second is allowed for.
    other = FakeAuthority("other", lambda: clock() + timedelta(seconds=seconds))
    with world.open(witnesses=Witnesses({"other": other}, {}, {})) as ledger:
        seal(ledger, A)
        assert ledger.outbox.work() == []
        assert (("clock", "other") in alarms(ledger)) is is_alarm
        assert len(ledger.proof(A).tokens) == 1


def test_two_authorities_that_disagree_are_an_alarm_until_they_agree(
    world: FakeWorld, clock: Clock
) -> None:
    offset = timedelta(seconds=40)
    ahead = FakeAuthority("ahead", lambda: clock() + offset)
    behind = FakeAuthority("behind", lambda: clock() - offset)
    with world.open(witnesses=Witnesses({"ahead": ahead, "behind": behind}, {}, {})) as ledger:
        seal(ledger, A)
        ledger.outbox.work()
        assert alarms(ledger) == {
            ("clock", "behind"): message(
                "authority-clocks-differ", authority="behind", other="ahead", seconds=80
            )
        }
        offset = timedelta()
        seal(ledger, B)
        ledger.outbox.work()
        assert alarms(ledger) == {}


# Lists


def test_a_batch_s_list_is_published_once(world: FakeWorld) -> None:
    store = FakeFileStore()
    with world.open(witnesses=Witnesses({}, {}, {"ipfs": store})) as ledger:
        seal(ledger, A + B)
        store.switches.fail("add")
        assert [job.kind for job in ledger.outbox.work()] == [JobKind.PUBLISH]
        assert ledger.outbox.work() == []
        with ledger.metadata.read() as transaction:
            [cid] = transaction.published(0)
        out = world.home.folder / "list"
        store.read(cid, out)
        assert out.read_bytes() == ledger.files.digests_path(0).read_bytes()
        assert out.read_bytes()[64:] == A + B


# Deadlines


def test_a_batch_past_its_deadline_is_late_until_it_is_done(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    seal(ledger, A)
    world.chain.switches.fail("send", times=2)
    ledger.outbox.work()
    clock.tick(6 * 3600 - 1)
    assert ledger.outbox.late() == []
    clock.tick()
    assert [(job.sequence, job.kind) for job in ledger.outbox.late()] == [(0, JobKind.ANCHOR)]
    ledger.outbox.work()
    assert len(ledger.outbox.late()) == 1
    ledger.outbox.work()
    assert ledger.outbox.late() == []


def test_of_several_authorities_so_many_are_required_and_the_others_may_be_late(
    world: FakeWorld, clock: Clock
) -> None:
    names = ["a", "b", "c"]
    authorities = {name: FakeAuthority(name, clock) for name in names}
    for name in names[1:]:
        authorities[name].switches.fail("stamp", times=9)
    for required, late in ((1, []), (2, ["b", "c"])):
        world.pace = Pace(required_tokens=required)
        with world.open(witnesses=Witnesses(authorities, {}, {})) as ledger:
            if required == 1:
                seal(ledger, A)
            ledger.outbox.work()
            clock.tick(7 * 3600)
            assert [job.target for job in ledger.outbox.late()] == late


# What cannot be


def test_a_transaction_or_batch_that_vanished_is_damage(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, A)
    world.chain.switches.fail("send")
    ledger.outbox.work()
    with ledger.metadata.write() as transaction:
        connection = transaction._connection
        connection.exec_driver_sql("DROP TRIGGER transactions_no_delete")
        connection.exec_driver_sql("DELETE FROM transactions")
    with pytest.raises(Damaged, match="has vanished"):
        ledger.outbox.work()
    with ledger.metadata.write() as transaction:
        transaction.release_transaction(jobs(ledger)[0])
        connection = transaction._connection
        connection.exec_driver_sql("DROP TRIGGER batches_no_delete")
        connection.exec_driver_sql("DELETE FROM batches")
    with pytest.raises(Damaged, match="batch 0 has vanished"):
        ledger.outbox.work()
    assert ledger.outbox.late() == []


def test_all_alternatives_of_one_nonce_are_known(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    world.chain.is_stuck = world.chain.is_dear = True
    seal(ledger, A)
    for _ in range(4):
        ledger.outbox.work()
        clock.tick(200)
    with ledger.metadata.read() as transaction:
        sent = transaction.transactions("fake-chain")
        assert all(transaction.alternatives("fake-chain", each) == sent for each in sent)
    assert len(sent) == 4
    assert all(keccak256(each.transaction.raw) == each.transaction.hash for each in sent)
    assert AlarmKind.LOST not in {kind for kind, _ in alarms(ledger)}


def test_an_outbox_makes_its_own_chance(world: FakeWorld, ledger: Ledger) -> None:
    outbox = Outbox(
        world.home,
        ledger.metadata,
        Witnesses({}, {}, {}),
        ledger.files.digests_path,
        clock=world.clock,
        pace=Pace(),
    )
    assert outbox.work() == []
    assert isinstance(FakeChain("x", world.clock).standing(A, None), Standing)
    with pytest.raises(Unreachable):
        raise Unaffordable("an unaffordable chain may be affordable later")
