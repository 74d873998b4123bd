"""Direct tokens: each is asked for once, kept as it comes, and in every proof from then on."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes import FakeAuthority, FakeWorld, When, digests

from witnesstree.ledger.base.errors import BadAnswer, Damaged, InvalidInput, Unreachable
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.proof.proof import MAX_WITNESSES, format_proof, parse_proof
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work import direct
from witnesstree.ledger.work.direct import Unstamped, stamp_directly
from witnesstree.ledger.work.outbox import Witnesses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Clock

    from witnesstree.ledger.work.sealing import Ledger

THREE = digests("three", 3)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    world = FakeWorld(tmp_path / "home", clock)
    with world.open() as ledger:
        ledger.submit(b"".join(THREE))
    return world


@contextmanager
def opened(world: FakeWorld, *others: FakeAuthority) -> Iterator[Ledger]:
    authorities = {each.name: each for each in (world.authority, *others)}
    witnesses = Witnesses(authorities, {world.chain.name: world.chain}, {})
    with world.open(witnesses=witnesses) as ledger:
        yield ledger


def test_each_digest_is_stamped_once_and_its_token_is_in_its_proofs(world: FakeWorld) -> None:
    counted: list[int] = []
    with world.open() as ledger:
        assert stamp_directly(ledger, [*THREE, THREE[0]], advance=counted.append) == []
        assert world.authority.stamped == THREE
        assert counted == [1, 1, 1]
        ((name, stamp),) = ledger.direct_tokens(THREE[0])
        assert name == world.authority.name
        # Before its batch is sealed.
        assert ledger.proof(THREE[0]).file_tokens == (stamp,)
        assert stamp_directly(ledger, THREE) == []
    with world.open() as ledger:
        assert stamp_directly(ledger, THREE) == []
        assert world.authority.stamped == THREE
        ledger.close()
        assert ledger.outbox.work() == []
        proof = ledger.proof(THREE[0])
        assert (proof.file_tokens, ledger.proof(THREE[1]).file_tokens == (stamp,)) == (
            (stamp,),
            False,
        )
    report = verify(THREE[0], format_proof(proof), world.trust, world.clock())
    assert (report.verdict, report.file_not_after) == (Verdict.VERIFIED, report.not_after_token)


def test_a_ledger_that_has_none_has_none_in_its_proofs(world: FakeWorld) -> None:
    with world.open() as ledger:
        ledger.close()
        assert ledger.proof(THREE[0]).file_tokens == ()
        assert stamp_directly(ledger, THREE[1:2]) == []
        # What the batch has in common was read before.
        assert len(ledger.proof(THREE[1]).file_tokens) == 1
        assert ledger.proof(THREE[0]).file_tokens == ()


def test_each_authority_is_asked_and_one_that_is_down_only_once(
    world: FakeWorld, clock: Clock
) -> None:
    second = FakeAuthority("second", clock)
    with opened(world, second) as ledger:
        world.authority.switches.fail("stamp", times=9)
        missing = stamp_directly(ledger, THREE)
        assert [(each.digest, each.authority) for each in missing] == [
            (digest, world.authority.name) for digest in THREE
        ]
        assert {type(each.error) for each in missing} == {Unreachable}
        assert second.stamped == THREE
        world.authority.switches = FakeAuthority("switches", clock).switches
        assert stamp_directly(ledger, THREE) == []
        assert (world.authority.stamped, second.stamped) == (THREE, THREE)
        names = [name for name, _ in ledger.direct_tokens(THREE[0])]
    assert names == sorted([world.authority.name, "second"])


def test_wrong_settings_stop_and_a_bad_answer_does_not(world: FakeWorld) -> None:
    with world.open() as ledger:
        world.authority.switches.fail("stamp", error=BadAnswer("a lie"))
        (only,) = stamp_directly(ledger, THREE)
        assert only == Unstamped(THREE[0], world.authority.name, only.error)
        assert world.authority.stamped == THREE[1:]
        world.authority.switches.fail("stamp", error=InvalidInput("no password"))
        other = digests("other", 2)
        ledger.submit(b"".join(other))
        assert [each.digest for each in stamp_directly(ledger, other)] == other
        assert world.authority.stamped == THREE[1:]


def test_nobody_is_asked_once_the_time_is_over(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.open() as ledger:
        missing = stamp_directly(ledger, THREE, deadline=0)
        assert [each.digest for each in missing] == THREE
        assert "was not asked in the time that was left" in str(missing[0].error)
        assert world.authority.stamped == []
        # Begin, then a look before each of the three.
        moments = iter([0.0, 0.5, 0.9, 1.0])
        monkeypatch.setattr(direct.time, "monotonic", lambda: next(moments))
        assert [each.digest for each in stamp_directly(ledger, THREE, deadline=1)] == THREE[2:]
        # What is there needs no time.
        moments = iter([0.0, 9.0])
        assert [each.digest for each in stamp_directly(ledger, THREE, deadline=1)] == THREE[2:]


def test_what_was_asked_for_and_not_kept_is_asked_for_again(world: FakeWorld) -> None:
    world.authority.switches.fail("stamp", When.AFTER)
    with world.open() as ledger:
        assert len(stamp_directly(ledger, THREE[:1])) == 1
        assert stamp_directly(ledger, THREE[:1]) == []
        assert world.authority.stamped == THREE[:1] * 2
        assert len(ledger.direct_tokens(THREE[0])) == 1


def test_nobody_is_asked_for_a_ledger_whose_database_is_older(
    world: FakeWorld, tmp_path: Path
) -> None:
    older = tmp_path / "older.db"
    with world.open() as ledger:
        older.write_bytes(world.home.database.read_bytes())
        ledger.close()
    for each in world.home.folder.glob("ledger.db*"):
        each.unlink()
    older.rename(world.home.database)
    with world.open() as ledger, pytest.raises(Damaged, match="older"):
        stamp_directly(ledger, THREE)
    assert world.authority.stamped == []


def test_a_proof_has_no_more_than_it_may(world: FakeWorld, clock: Clock) -> None:
    authority = FakeAuthority("many", clock)
    with world.open() as ledger:
        with ledger.metadata.write() as transaction:
            for i in range(MAX_WITNESSES + 1):
                transaction.keep_direct_token(THREE[0], f"{i:02}", authority.stamp(THREE[0]))
        proof = ledger.proof(THREE[0])
    assert len(proof.file_tokens) == MAX_WITNESSES
    assert parse_proof(format_proof(proof)) == proof
    dated = verify(THREE[0], format_proof(proof), Trust((authority.root,)), clock())
    assert dated.file_not_after is not None
