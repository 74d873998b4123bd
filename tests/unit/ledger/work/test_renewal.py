"""Renewals on fakes: records are renewed in time, together, and once; whatever is in the way is an
alarm and holds up nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512
from pathlib import Path

import pytest
from conftest import START, Clock
from fakes import Crash, FakeAuthority, FakeWorld, Steps, When, digests
from make_record import group_record, make_proof, tokens_of

from witnesstree.ledger.base.errors import BadAnswer, Conflict, Damaged, InvalidInput
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.report import Assurance, Verdict
from witnesstree.ledger.proof.forms import format_record
from witnesstree.ledger.proof.proof import MAX_KEPT_RECORD, format_proof, parse_proof
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.proof.record_make import make_record, renew_hash_tree, renew_timestamp
from witnesstree.ledger.store.database.values import (
    UNSCHEDULED,
    Alarm,
    AlarmKind,
    KeptRecord,
    Renewal,
)
from witnesstree.ledger.tokens.soundness import ENDS
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import Require, verify
from witnesstree.ledger.work import judging, renewal
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.judging import RenewalPolicy
from witnesstree.ledger.work.lookup import _fitting
from witnesstree.ledger.work.outbox import Pace, Witnesses
from witnesstree.ledger.work.renewal import Adopted, Renewals, Renewed
from witnesstree.ledger.work.sealing import Ledger

DAY = timedelta(days=1)
LIFE = 3649 * DAY
"""From START to the end of the fake authority's certificates."""
DUE = START + LIFE - 90 * DAY
A, B, C = digests("renewal", 3)


class World(FakeWorld):
    """A ledger without a chain, whose authority gets a new root and certificate now and then."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, clock)
        self.ticking = clock
        self.authorities = {"tsa": FakeAuthority("tsa", clock)}
        self.all = list(self.authorities.values())

    def goes_to(self, time: datetime) -> None:
        self.ticking.now = time

    def gets(self, name: str = "tsa") -> FakeAuthority:
        """Give the ledger an authority of this name with a new certificate."""
        made = FakeAuthority(name, self.clock)
        self.authorities[name] = made
        self.all.append(made)
        return made

    @property
    def everybody(self) -> Trust:
        return Trust(tuple(authority.root for authority in self.all))

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        with self.open(witnesses=Witnesses(self.authorities, {}, {})) as ledger:
            yield ledger

    def renewals(
        self,
        ledger: Ledger,
        trust: Trust | None = None,
        ends: Mapping[str, datetime] = ENDS,
        before: timedelta = 90 * DAY,
    ) -> Renewals:
        policy = RenewalPolicy(before, ends)
        return Renewals(
            ledger,
            lambda: trust or self.everybody,
            clock=self.clock,
            pace=Pace(patience=0),
            policy=policy,
        )


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> World:
    return World(tmp_path / "home", clock)


@pytest.fixture
def ledger(world: World) -> Iterator[Ledger]:
    """With two batches, stamped: of A and B, and of C; each has its own leaf 0."""
    with world.opened() as ledger:
        seal(ledger, A + B)
        seal(ledger, C)
        yield ledger


def seal(ledger: Ledger, packed: bytes) -> None:
    ledger.submit(packed)
    ledger.close()
    assert ledger.outbox.work() == []


def kept(ledger: Ledger, sequence: int = 0) -> list[tuple[int, str, int, int]]:
    """Position, authority, number, and the number of timestamps of each record of a batch."""
    with ledger.metadata.read() as transaction:
        found = transaction.records(sequence)
    return [
        (each.position, each.authority, each.number, len(parse_record(each.record).timestamps))
        for each in found
    ]


def dues(ledger: Ledger) -> dict[tuple[int, int, str], datetime]:
    with ledger.metadata.read() as transaction:
        found = transaction.due_renewals(datetime.max.replace(tzinfo=UTC), 1_000)
    return {(each.sequence, each.position, each.authority): each.due for each in found}


def alarms(ledger: Ledger) -> dict[str, Message]:
    with ledger.metadata.read() as transaction:
        return {
            alarm.subject: alarm.text
            for alarm in transaction.alarms()
            if alarm.kind is AlarmKind.RENEWAL
        }


def require_carried(world: World, ledger: Ledger, *entries: bytes, timestamps: int = 2) -> None:
    """Each entry's proof carries a record of so many timestamps that passes whole, and fsck finds
    nothing."""
    assert [
        problem for problem in check_ledger(ledger, world.everybody) if "token" not in problem.place
    ] == []
    for digest in entries:
        content = format_proof(ledger.proof(digest))
        (record,) = parse_proof(content).records
        assert len(parse_record(record).timestamps) == timestamps
        assert (
            verify_record(record, [{"sha256": digest}], world.everybody, world.clock()).verdict
            is Verdict.VERIFIED
        )
        names = {
            check.name: check.outcome.value
            for check in verify(digest, content, world.everybody, world.clock()).checks
        }
        assert names[f"records[0].chains[0].timestamps[{timestamps - 1}].time"] == "passed"


# When


def test_a_new_token_is_scheduled_by_the_next_pass(world: World, ledger: Ledger) -> None:
    assert dues(ledger) == {(0, 0, "tsa"): UNSCHEDULED, (1, 0, "tsa"): UNSCHEDULED}
    assert world.renewals(ledger).work() == Renewed(0, 0, ())
    assert dues(ledger) == {(0, 0, "tsa"): DUE, (1, 0, "tsa"): DUE}
    assert ledger.proof(A).records == ()
    with ledger.metadata.read() as transaction:
        assert transaction.renewal_counts(START, START).next == DUE


def test_a_short_lived_certificate_is_renewed_after_two_thirds_of_its_life(
    world: World, ledger: Ledger
) -> None:
    world.renewals(ledger, before=20 * LIFE).work()
    assert set(dues(ledger).values()) == {START + LIFE * 2 / 3}


def test_a_token_whose_signer_is_not_known_is_looked_at_after_a_year(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "expires", lambda *_: None)
    world.renewals(ledger).work()
    assert set(dues(ledger).values()) == {START + 365 * DAY}


def test_where_no_end_is_known_each_answer_is_kept(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "expires", lambda *_: None)
    world.renewals(ledger).work()
    assert world.renewals(ledger).work(366 * DAY) == Renewed(2, 1, ())


def test_a_certificate_that_had_ended_before_is_due_at_its_end(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "expires", lambda *_: START - DAY)
    world.renewals(ledger).work()
    assert set(dues(ledger).values()) == {START - DAY}


# Renewing


def test_what_is_due_is_renewed_with_one_token_and_later_proofs_carry_it(
    world: World, ledger: Ledger
) -> None:
    renewals = world.renewals(ledger)
    renewals.work()
    world.goes_to(DUE - timedelta(seconds=1))
    newer = world.gets()
    assert renewals.work() == Renewed(0, 0, ())
    world.goes_to(DUE)
    steps: list[int] = []
    assert renewals.work(advance=steps.append) == Renewed(2, 1, ())
    assert (len(newer.stamped), steps) == (1, [2])
    assert kept(ledger, 0) == kept(ledger, 1) == [(0, "tsa", 1, 2)]
    assert set(dues(ledger).values()) == {DUE - timedelta(seconds=1) + LIFE - 90 * DAY}
    require_carried(world, ledger, A, B, C)
    assert alarms(ledger) == {}
    # Nothing is due any more.
    assert renewals.work() == Renewed(0, 0, ())


def test_years_later_the_first_certificates_have_ended_and_the_records_carry_on(
    world: World, ledger: Ledger
) -> None:
    renewals = world.renewals(ledger)
    renewals.work()
    for number in (1, 2, 3):
        world.goes_to(min(dues(ledger).values()))
        world.gets()
        assert renewals.work() == Renewed(2, 1, ())
        assert kept(ledger)[-1] == (0, "tsa", number, number + 1)
    assert world.clock() > START + 2.9 * LIFE
    require_carried(world, ledger, A, B, C, timestamps=4)
    initial = make_record(ledger.proof(A))
    report = verify_record(initial, [{"sha256": A}], world.everybody, world.clock())
    assert report.verdict is Verdict.UNDECIDED, "as it was sealed, it is not provable any more"


def test_what_will_be_due_can_be_renewed_before(world: World, ledger: Ledger) -> None:
    world.goes_to(DUE - 30 * DAY)
    world.gets()
    assert world.renewals(ledger).work(29 * DAY).records == 0
    assert world.renewals(ledger).work(30 * DAY) == Renewed(2, 1, ())


def test_two_authorities_are_renewed_apart(world: World, ledger: Ledger) -> None:
    world.gets("second")
    seal(ledger, digests("both", 1)[0])
    world.renewals(ledger).work()
    world.goes_to(DUE)
    both = [world.gets(), world.gets("second")]
    assert world.renewals(ledger).work() == Renewed(4, 2, ())
    assert [len(each.stamped) for each in both] == [1, 1]
    assert [name for _, name, _, _ in kept(ledger, 2)] == ["second", "tsa"]
    assert len(ledger.proof(digests("both", 1)[0]).records) == 2


def test_a_batch_that_is_sealed_between_is_renewed_later(world: World, ledger: Ledger) -> None:
    world.renewals(ledger).work()
    world.goes_to(START + 1000 * DAY)
    world.gets()
    seal(ledger, digests("later", 1)[0])
    world.renewals(ledger).work()
    world.goes_to(DUE)
    assert world.renewals(ledger).work() == Renewed(2, 1, ())
    assert kept(ledger, 2) == []


@pytest.mark.parametrize("stopped", [True, False])
def test_it_stops_between_two_groups(world: World, ledger: Ledger, stopped: bool) -> None:
    world.renewals(ledger).work()
    world.goes_to(DUE)
    world.gets()
    assert world.renewals(ledger).work(stop=lambda: stopped).records == (0 if stopped else 2)


def test_a_group_is_bounded(world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "MAX_GROUP", 1)
    renewals = world.renewals(ledger)
    assert [renewals.work().records, renewals.work().records] == [0, 0]
    world.goes_to(DUE)
    world.gets()
    assert [renewals.work(), renewals.work(), renewals.work()] == [
        Renewed(1, 1, ()),
        Renewed(1, 1, ()),
        Renewed(0, 0, ()),
    ]


@pytest.mark.parametrize("count", [30, pytest.param(150, marks=pytest.mark.rehearsal)])
def test_many_batches_are_renewed_with_one_token(world: World, count: int) -> None:
    entries = digests("many", count)
    with world.opened() as ledger:
        for digest in entries:
            ledger.submit(digest)
            ledger.close()
        assert ledger.outbox.work() == []
        renewals = world.renewals(ledger)
        renewals.work()
        world.goes_to(DUE)
        newer = world.gets()
        assert renewals.work() == Renewed(count, 1, ())
        assert len(newer.stamped) == 1
        for digest in (entries[0], entries[count // 2], entries[-1]):
            (record,) = ledger.proof(digest).records
            assert (
                verify_record(record, [{"sha256": digest}], world.everybody, world.clock()).verdict
                is Verdict.VERIFIED
            )


# What is in the way


SILENT = message("authority-failed", authority="tsa", error=message("stamp got no answer"))
AS_LONG = message("record-holds-no-longer-than-kept")
NO_LONGER = message(
    "answer-defective", authority="tsa", defect=message("renewed-record-holds-no-longer")
)


def reason(ledger: Ledger, authority: str = "tsa") -> Message:
    """Return why the alarm about an authority says that records cannot be renewed."""
    said = alarms(ledger)[authority]
    assert said.code == "batch-record-not-renewable"
    found = dict(said.params)["reason"]
    assert isinstance(found, Message)
    return found


def defect(said: Message) -> Message:
    """Return what is wrong with an authority's answer."""
    assert said.code == "answer-defective"
    found = dict(said.params)["defect"]
    assert isinstance(found, Message)
    return found


def require_unknown(said: object, check: str) -> None:
    assert isinstance(said, Message)
    members = dict(said.params)
    assert (said.code, members["check"], members["outcome"]) == (
        "record-not-verified",
        check,
        "unknown",
    )


def due_now(world: World, ledger: Ledger) -> FakeAuthority:
    """Go to where both batches are due, with an authority that can renew them."""
    world.renewals(ledger).work()
    world.goes_to(DUE)
    return world.gets()


def test_an_authority_that_does_not_answer_is_asked_again_later_each_time(
    world: World, ledger: Ledger
) -> None:
    newer = due_now(world, ledger)
    renewals = world.renewals(ledger)
    newer.switches.fail("stamp", times=2)
    waiting = Renewed(0, 0, (SILENT,))
    assert [renewals.work(), renewals.work()] == [waiting, waiting]
    for seconds in (5, 9):
        world.ticking.tick(seconds)
        assert renewals.work() == waiting
    assert newer.stamped == []
    world.ticking.tick(1)
    assert renewals.work() == Renewed(2, 1, ())
    assert alarms(ledger) == {}


def test_a_ledger_seals_while_a_renewal_waits(world: World, ledger: Ledger) -> None:
    due_now(world, ledger).switches.fail("stamp")
    world.renewals(ledger).work()
    seal(ledger, digests("meanwhile", 1)[0])


@pytest.mark.parametrize(
    "error", [BadAnswer("for other bytes"), InvalidInput("a secret is missing")]
)
def test_what_a_person_has_to_mend_is_an_alarm_until_it_is_done(
    world: World, ledger: Ledger, error: Exception
) -> None:
    due_now(world, ledger).switches.fail("stamp", error=error)
    renewals = world.renewals(ledger)
    why = message("authority-failed", authority="tsa", error=error)
    assert renewals.work().problems == (why,)
    text = message("batch-record-not-renewable", batch=0, others=1, reason=why)
    assert alarms(ledger) == {"tsa": text}
    # It is asked once a day, while there is time.
    assert renewals.work() == Renewed(0, 0, (why,))
    assert alarms(ledger) == {"tsa": text}
    world.ticking.tick(86_400)
    assert renewals.work() == Renewed(2, 1, ())
    assert alarms(ledger) == {}


def test_an_alarm_of_another_process_stands_while_something_is_due(
    world: World, ledger: Ledger
) -> None:
    newer = due_now(world, ledger)
    newer.switches.fail("stamp", error=BadAnswer("for other bytes"))
    world.renewals(ledger).work()
    newer.switches.fail("stamp")
    other = world.renewals(ledger)
    other.work()
    assert list(alarms(ledger)) == ["tsa"]
    world.ticking.tick(5)
    assert other.work().records == 2
    assert alarms(ledger) == {}
    # And one goes even if nothing is due at all.
    with ledger.metadata.write() as transaction:
        transaction.raise_alarm(Alarm(AlarmKind.RENEWAL, "tsa", message("of-old"), START))
    other.work()
    assert alarms(ledger) == {}


def test_another_authority_is_asked_where_the_first_is_not_configured_any_more(
    world: World, ledger: Ledger
) -> None:
    due_now(world, ledger)
    del world.authorities["tsa"]
    other = world.gets("other")
    assert world.renewals(ledger).work() == Renewed(2, 1, ())
    assert (len(other.stamped), kept(ledger)) == (1, [(0, "tsa", 1, 2)])
    require_carried(world, ledger, A, B, C)


def test_a_token_that_holds_no_longer_is_not_kept_and_another_authority_is_asked(
    world: World, ledger: Ledger
) -> None:
    world.renewals(ledger).work()
    world.goes_to(DUE)
    renewals = world.renewals(ledger)
    assert renewals.work().records == 0
    assert defect(reason(ledger)) == message("renewed-record-holds-no-longer")
    assert (len(world.all[0].stamped), kept(ledger)) == (3, [])
    world.gets("other")
    world.ticking.tick(86_400)
    assert renewals.work().records == 2
    assert alarms(ledger) == {}


def test_a_record_that_ran_out_is_an_alarm_that_says_so_and_nobody_is_asked(
    world: World, ledger: Ledger
) -> None:
    world.renewals(ledger).work()
    world.goes_to(START + LIFE + DAY)
    newer = world.gets()
    assert world.renewals(ledger).work().records == 0
    assert reason(ledger) == message("renewal-too-late", end="2036-11-19T08:00:00Z")
    assert newer.stamped == []
    with ledger.metadata.read() as transaction:
        counts = transaction.renewal_counts(world.clock(), world.clock() - DAY)
    assert (counts.scheduled, counts.due, counts.late, counts.next) == (2, 2, 2, None)


def test_what_cannot_be_verified_is_not_renewed(world: World, ledger: Ledger) -> None:
    newer = due_now(world, ledger)
    assert world.renewals(ledger, Trust((newer.root,))).work().records == 0
    require_unknown(reason(ledger), "chains[0].timestamps[0].chain")
    assert newer.stamped == []


def test_an_answer_that_cannot_be_verified_is_not_kept(world: World, ledger: Ledger) -> None:
    due_now(world, ledger)
    assert world.renewals(ledger, Trust((world.all[0].root,))).work().records == 0
    require_unknown(defect(reason(ledger)), "chains[0].timestamps[1].chain")
    assert kept(ledger) == []


def test_an_answer_that_is_worth_less_is_not_kept(world: World, ledger: Ledger) -> None:
    newer = due_now(world, ledger)
    trust = Trust((world.all[0].root, replace(newer.root, assurance=Assurance.LOCAL)))
    assert world.renewals(ledger, trust).work().records == 0
    assert defect(reason(ledger)) == message(
        "renewed-record-worth-less", worth="local", before="private"
    )


def test_a_hash_algorithm_that_ends_is_an_alarm_that_says_what_to_do(
    world: World, ledger: Ledger
) -> None:
    end = START + 400 * DAY
    world.renewals(ledger, ends={"sha256": end}).work()
    assert set(dues(ledger).values()) == {end - 90 * DAY}
    world.goes_to(end - 90 * DAY)
    assert world.renewals(ledger, ends={"sha256": end}).work().records == 0
    text = str(alarms(ledger)["tsa"])
    assert "batch 0 and 1 more" in text
    assert "its hash algorithm sha256 is safe until 2027-12-28T08:00:00Z" in text
    assert "`witnesstree renew FILE.ers --algorithm sha512 --file FILE`" in text
    assert len(world.all[0].stamped) == 2


@pytest.mark.parametrize("limit", ["MAX_TIMESTAMPS", "MAX_VOUCHERS"])
def test_a_record_without_room_is_an_alarm(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    due_now(world, ledger)
    monkeypatch.setattr(judging, limit, 1)
    assert world.renewals(ledger).work().problems == (message("record-full"),)


def test_a_record_that_outgrows_a_proof_is_not_kept(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_now(world, ledger)
    monkeypatch.setattr(judging, "MAX_KEPT_RECORD", 100)
    problems = world.renewals(ledger).work().problems
    assert problems
    assert {(defect(each).code, dict(defect(each).params)["most"]) for each in problems} == {
        ("kept-record-too-large", 100)
    }
    assert kept(ledger) == []


def test_damage_is_an_alarm_and_holds_up_no_other_batch(world: World, ledger: Ledger) -> None:
    path = ledger.files.digests_path(1)
    path.unlink()
    renewals = world.renewals(ledger)
    renewals.work()
    assert dues(ledger)[1, 0, "tsa"] == START, "looked at at once"
    assert str(alarms(ledger)["tsa"]).startswith(
        f"the evidence record of batch 1 cannot be renewed: {path} is missing"
    )
    world.goes_to(DUE)
    world.gets()
    assert renewals.work().records == 1
    assert list(alarms(ledger)) == ["tsa"]


def test_a_row_without_a_token_is_damage(world: World, ledger: Ledger) -> None:
    with ledger.metadata.write() as transaction:
        transaction.schedule(Renewal(UNSCHEDULED, 0, 0, "nobody"))
    world.renewals(ledger).work()
    assert reason(ledger, "nobody") == message("token-vanished", batch=0, authority="nobody")


def test_while_another_process_renews_nothing_is_done(world: World, ledger: Ledger) -> None:
    with ledger.home.lock("renew", 0), pytest.raises(Conflict, match="held by another process"):
        world.renewals(ledger).work()


def test_what_is_mended_late_is_seen_in_time(world: World, ledger: Ledger) -> None:
    world.renewals(ledger).work()
    end = START + LIFE
    world.goes_to(end - timedelta(minutes=4))
    renewals = world.renewals(ledger)
    assert renewals.work().records == 0, "with the same certificate as before"
    asked = len(world.all[0].stamped)
    world.gets()
    world.ticking.tick(59)
    assert renewals.work().records == 0
    assert (len(world.all[0].stamped), world.all[1].stamped) == (asked, [])
    world.ticking.tick(1)
    assert renewals.work() == Renewed(2, 1, ())
    assert alarms(ledger) == {}


def test_short_of_the_end_it_waits_the_first_retry_and_afterwards_a_day(
    world: World, ledger: Ledger
) -> None:
    world.renewals(ledger).work()
    world.goes_to(START + LIFE - timedelta(seconds=12))
    renewals = world.renewals(ledger)
    count = []
    for seconds in (0, 4, 1, 4, 1, 2, 5, 3600):
        world.ticking.tick(seconds)
        renewals.work()
        count.append(len(world.all[0].stamped) - 2)
    assert count == [1, 1, 2, 2, 3, 3, 3, 3]
    assert reason(ledger).code == "renewal-too-late"


def test_what_another_process_renewed_is_no_alarm_any_more(world: World, ledger: Ledger) -> None:
    world.renewals(ledger).work()
    world.goes_to(DUE)
    stuck = world.renewals(ledger)
    assert stuck.work().records == 0
    assert list(alarms(ledger)) == ["tsa"]
    world.gets()
    assert world.renewals(ledger).work().records == 2
    assert alarms(ledger) == {}
    assert stuck.work() == Renewed(0, 0, ())
    assert alarms(ledger) == {}
    # Not even where another batch of that authority is due by then.
    world.goes_to(min(dues(ledger).values()))
    world.gets()
    assert stuck.work() == Renewed(2, 1, ())


def test_a_wait_is_forgotten_when_another_process_has_renewed(world: World, ledger: Ledger) -> None:
    newer = due_now(world, ledger)
    newer.switches.fail("stamp")
    waiting = world.renewals(ledger)
    assert waiting.work().problems == (SILENT,)
    assert world.renewals(ledger).work().records == 2
    assert waiting.work() == Renewed(0, 0, ())


# Looking ahead


def test_what_cannot_be_renewed_before_it_is_due_is_no_alarm(world: World, ledger: Ledger) -> None:
    renewals = world.renewals(ledger)
    renewals.work()
    done = renewals.work(LIFE)
    assert (done.records, done.tokens, done.problems) == (0, 1, ())
    assert done.early == (NO_LONGER,)
    assert alarms(ledger) == {}
    world.all[0].switches.fail("stamp")
    assert renewals.work(LIFE) == Renewed(0, 0, (), (SILENT,))


def test_looking_ahead_what_is_due_is_an_alarm_still(world: World, ledger: Ledger) -> None:
    world.goes_to(START + 10 * DAY)
    world.gets("later")
    seal(ledger, digests("later", 1)[0])
    del world.authorities["later"]
    renewals = world.renewals(ledger)
    renewals.work()
    world.goes_to(DUE)
    done = renewals.work(30 * DAY)
    assert done.problems == (message("authority-ends-too-early", authority="tsa"),)
    assert done.early == (NO_LONGER,)
    assert list(alarms(ledger)) == ["tsa"]
    assert "batch 0 and 2 more" in str(alarms(ledger)["tsa"])


def test_one_answer_tells_for_all_that_hold_as_long(world: World, ledger: Ledger) -> None:
    first = world.gets("first")
    seal(ledger, digests("both", 1)[0])
    del world.authorities["tsa"]
    renewals = world.renewals(ledger)
    renewals.work()
    stamped_before = len(first.stamped)
    done = renewals.work(LIFE)
    # The rows of "tsa" were to be carried on by the other one too, which had been asked by then.
    assert (done.records, done.tokens, len(first.stamped) - stamped_before) == (0, 1, 1)
    assert message("authority-ends-too-early", authority="first") in done.early
    assert renewals.work(LIFE).tokens == 1, (
        "the next pass asks again: there may be a newer certificate by then"
    )


class Embedded(FakeAuthority):
    """It says itself until when its certificate lasts."""

    holds_until = START + LIFE


def test_an_authority_that_knows_its_end_is_not_asked_in_vain(world: World, ledger: Ledger) -> None:
    embedded = Embedded("tsa", world.clock)
    world.authorities["tsa"] = embedded
    world.all.append(embedded)
    world.renewals(ledger).work()
    done = world.renewals(ledger).work(LIFE)
    assert done == Renewed(0, 0, (), (message("authority-ends-too-early", authority="tsa"),))
    assert embedded.stamped == []
    # The next one is asked, and with a newer certificate it is asked itself.
    world.ticking.tick(86_400)
    other = world.gets("other")
    assert world.renewals(ledger).work(LIFE) == Renewed(2, 1, ())
    assert (len(other.stamped), embedded.stamped) == (1, [])
    world.goes_to(START + 2 * DAY)
    embedded = Embedded("tsa", world.clock)
    embedded.holds_until = START + LIFE + 2 * DAY
    world.authorities["tsa"] = embedded
    world.all.append(embedded)
    assert world.renewals(ledger).work(LIFE).records == 2
    assert len(embedded.stamped) == 1


# Crashes


@pytest.mark.parametrize("when", When)
def test_a_crash_at_any_durable_step_costs_a_token_at_most(
    world: World, ledger: Ledger, when: When
) -> None:
    newer = due_now(world, ledger)
    at, crashed = 0, True
    while crashed:
        crashed = False
        with Steps(stop, at, when).counted(), world.opened() as other:
            try:
                world.renewals(other).work()
            except Crash:
                crashed = True
        number = len(kept(ledger))
        assert number == len(kept(ledger, 1)), "both or neither"
        assert (set(dues(ledger).values()) == {DUE}) == (number == 0)
        assert [
            problem for problem in check_ledger(ledger, world.everybody) if problem.is_damage
        ] == []
        at += 1
    assert at > 1
    assert 1 <= len(newer.stamped) <= at
    require_carried(world, ledger, A, B, C)


def stop() -> None:
    raise Crash


@pytest.mark.parametrize("when", When)
def test_an_answer_that_is_lost_is_asked_for_again(
    world: World, ledger: Ledger, when: When
) -> None:
    newer = due_now(world, ledger)
    newer.switches.fail("stamp", when, Crash())
    with pytest.raises(Crash):
        world.renewals(ledger).work()
    assert kept(ledger) == []
    assert world.renewals(ledger).work() == Renewed(2, 1, ())
    assert len(newer.stamped) == (1 if when is When.BEFORE else 2)


# By hand

FILE = b"The boundary runs to the old oak."


def stamped(world: World, record: EvidenceRecord) -> EvidenceRecord:
    return renew_timestamp(record, world.authorities["tsa"].stamp)


def of(ledger: Ledger, digest: bytes) -> EvidenceRecord:
    return parse_record(make_record(ledger.proof(digest)))


def test_a_record_that_was_renewed_by_hand_is_kept_and_the_worker_goes_on(
    world: World, ledger: Ledger
) -> None:
    due_now(world, ledger)
    renewals = world.renewals(ledger)
    record = stamped(world, of(ledger, A))
    assert renewals.adopt(record).is_kept
    assert kept(ledger) == [(2, "tsa", 1, 2)]
    assert ledger.proof(A).records == (record.der,)
    assert ledger.proof(B).records == ()
    assert renewals.adopt(record) == Adopted(is_kept=False, reason=AS_LONG)
    assert renewals.work().records == 2, "the batches' own"
    assert ledger.proof(A).records == (record.der,), "an entry's own comes before that of its batch"
    world.goes_to(min(dues(ledger).values()))
    world.gets()
    assert renewals.work().records == 3
    assert kept(ledger) == [(0, "tsa", 1, 2), (0, "tsa", 2, 3), (2, "tsa", 1, 2), (2, "tsa", 2, 3)]
    require_carried(world, ledger, A, B, C, timestamps=3)


def test_a_hash_tree_that_was_renewed_by_hand_is_renewed_by_the_worker_without_the_file(
    world: World, ledger: Ledger
) -> None:
    digest = sha256(FILE).digest()
    seal(ledger, digest)
    newer = due_now(world, ledger)
    renewals = world.renewals(ledger)
    hashed = renew_hash_tree(
        stamped(world, of(ledger, digest)), [sha512(FILE).digest()], "sha512", newer.stamp
    )
    assert renewals.adopt(hashed).is_kept
    renewals.work()
    world.goes_to(dues(ledger)[2, 2, "tsa"])
    world.gets()
    # Under SHA-256 and under SHA-512: two tokens.
    done = renewals.work()
    assert (done.records, done.tokens) == (4, 2)
    content = format_proof(ledger.proof(digest))
    (record,) = parse_proof(content).records
    assert [len(chain) for chain in parse_record(record).chains] == [2, 2]
    without = verify(digest, content, world.everybody, world.clock(), Require.TOKEN)
    assert {check.name: check.outcome.value for check in without.checks}[
        "records[0].chains[1].timestamps[0].data"
    ] == "unknown"
    assert without.verdict is Verdict.VERIFIED, "the token itself is a witness beside it"
    whole = verify(
        digest,
        content,
        world.everybody,
        world.clock(),
        Require.TOKEN,
        digests={"sha512": sha512(FILE).digest()},
    )
    assert {
        check.outcome.value
        for check in whole.checks
        if check.name.startswith("records[0]") and check.required
    } == {"passed"}
    false = verify(
        digest,
        content,
        world.everybody,
        world.clock(),
        Require.TOKEN,
        digests={"sha512": bytes(64)},
    )
    assert false.verdict is Verdict.FAILED
    assert [problem for problem in check_ledger(ledger, world.everybody) if problem.is_damage] == []


def test_the_record_of_a_whole_batch_keeps_one_chain(world: World, ledger: Ledger) -> None:
    newer = due_now(world, ledger)
    leaf = ledger.files.digest_at(0, 0)
    record = stamped(world, of(ledger, leaf))
    hashed = renew_hash_tree(record, [bytes(64)], "sha512", newer.stamp)
    assert world.renewals(ledger).adopt(hashed).reason == message("record-keeps-hash-tree")
    assert world.renewals(ledger).adopt(record).is_kept
    require_carried(world, ledger, A, B)


def test_what_is_not_of_this_ledger_is_not_kept(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals = world.renewals(ledger)
    foreign = parse_record(make_record(make_proof(3, 1)))
    alone = parse_record(make_record(make_proof(1, 0)))
    assert [
        renewals.adopt(each)
        for each in (foreign, alone, renew_timestamp(foreign, tokens_of(3)), group_record())
    ] == [Adopted(is_kept=False)] * 4
    # The same file in another ledger.
    at = ledger.proof(A).inclusion
    assert at
    elsewhere = FakeAuthority("tsa", world.clock).stamp(at.root)
    assert renewals.adopt(
        parse_record(make_record(replace(ledger.proof(A), tokens=(elsewhere,))))
    ) == Adopted(is_kept=False)
    monkeypatch.setattr(judging, "MAX_KEPT_RECORD", 10)
    too_large = stamped(world, of(ledger, A))
    assert renewals.adopt(too_large).reason == message(
        "kept-record-too-large", size=len(too_large.der), most=10
    )
    assert kept(ledger) == []


def test_a_record_is_not_kept_where_that_of_its_batch_holds_as_long(
    world: World, ledger: Ledger
) -> None:
    due_now(world, ledger)
    renewals = world.renewals(ledger)
    digest = sha256(FILE).digest()
    seal(ledger, digest)
    records = [stamped(world, of(ledger, each)) for each in (A, digest)]
    world.ticking.tick(60)
    newer = world.gets()
    renewals.work(LIFE)
    better = ledger.proof(A).records
    assert renewals.adopt(records[0]) == Adopted(is_kept=False, reason=AS_LONG)
    assert ledger.proof(A).records == better
    # With a chain of its own it has more than that of its batch.
    assert renewals.adopt(
        renew_hash_tree(records[1], [sha512(FILE).digest()], "sha512", newer.stamp)
    ).is_kept
    # And one that holds for longer than both is kept.
    world.ticking.tick(60)
    world.gets()
    later = stamped(world, of(ledger, A))
    assert renewals.adopt(later).is_kept
    assert ledger.proof(A).records == (later.der,)


def test_a_record_that_the_owner_cannot_verify_is_not_kept(world: World, ledger: Ledger) -> None:
    due_now(world, ledger)
    renewals = world.renewals(ledger, Trust((world.all[0].root,)))
    adopted = renewals.adopt(stamped(world, of(ledger, A)))
    assert not adopted.is_kept
    assert adopted.reason
    assert adopted.reason.code == "record-not-trusted"
    require_unknown(dict(adopted.reason.params)["fault"], "chains[0].timestamps[1].chain")
    assert kept(ledger) == []


# In proofs


def test_a_proof_holds_no_more_records_than_it_has_room_for() -> None:
    half, small = bytes(MAX_KEPT_RECORD), b"small"
    assert _fitting([half, half, small]) == (half, half)
    assert _fitting([half + b"1", small]) == (small,)
    assert _fitting([small] * 17) == (small,) * 16


def test_a_kept_record_that_does_not_fit_its_batch_is_damage(world: World, ledger: Ledger) -> None:
    other = make_record(ledger.proof(C))
    with ledger.metadata.write() as transaction:
        transaction.keep_record(KeptRecord(0, 0, "tsa", 1, START, other))
    with pytest.raises(Damaged, match="record 1 of batch 0 by tsa cannot be used: "):
        ledger.proof(A)


def test_the_record_that_is_exported_is_the_renewed_one_of_that_token(
    world: World, ledger: Ledger
) -> None:
    due_now(world, ledger)
    foreign = make_record(make_proof(3, 1))
    plain = ledger.proof(A)
    world.renewals(ledger).work()
    proof = ledger.proof(A)
    (kept_record,) = proof.records
    of_another_file = ledger.proof(B).records[0]
    assert (
        format_record(replace(proof, records=(b"no record", foreign, of_another_file, kept_record)))
        == kept_record
    )
    assert (
        format_record(replace(proof, records=(b"no record", foreign, of_another_file)))
        == format_record(plain)
        == make_record(plain)
    )
    # One leaf alone: there is no tree.
    alone = make_proof(1, 0)
    assert format_record(replace(alone, records=(make_record(alone),))) == make_record(alone)
