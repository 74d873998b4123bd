"""What every Authority promises, asked of the fake and of the embedded one."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from fakes import FakeAuthority, When, digests

from witnesstree.anchor.tsa.local import LocalAuthority, trusted_root
from witnesstree.ledger.errors import InvalidInput, Unreachable
from witnesstree.ledger.ports import Authority
from witnesstree.ledger.report import Outcome
from witnesstree.ledger.token import judge_token, parse_token
from witnesstree.ledger.trust import TrustedRoot

ROOT, OTHER = digests("root", 2)


@pytest.fixture(params=["fake", "embedded"])
def found(request: pytest.FixtureRequest, clock: Callable[[], datetime], tmp_path: Path) -> tuple[Authority, TrustedRoot]:
    if request.param == "fake":
        fake = FakeAuthority("fake", clock)
        return fake, fake.root
    LocalAuthority.create(tmp_path / "authority", clock())
    return LocalAuthority.open(tmp_path / "authority", clock), trusted_root(tmp_path / "authority")


def test_a_token_is_for_this_root_and_passes_every_check(found: tuple[Authority, TrustedRoot], clock: Callable[[], datetime]) -> None:
    authority, root = found
    judgement = judge_token(authority.stamp(ROOT), ROOT, [root])
    assert {check.outcome for check in judgement.checks} == {Outcome.PASSED}
    assert judgement.token is not None
    assert judgement.token.gen_time == clock()
    assert judgement.assurance == root.assurance


def test_a_token_is_for_no_other_root(found: tuple[Authority, TrustedRoot]) -> None:
    authority, root = found
    judgement = judge_token(authority.stamp(ROOT), OTHER, [root])
    assert [check.name for check in judgement.checks if check.outcome is Outcome.FAILED] == ["token.imprint"]


def test_a_token_proves_nothing_without_the_root(found: tuple[Authority, TrustedRoot]) -> None:
    authority, _ = found
    outcomes = {check.name: check.outcome for check in judge_token(authority.stamp(ROOT), ROOT, []).checks}
    assert outcomes["token.chain"] is Outcome.UNKNOWN


def test_no_serial_number_comes_twice(found: tuple[Authority, TrustedRoot]) -> None:
    authority, _ = found
    assert len({parse_token(authority.stamp(ROOT)).serial for _ in range(5)}) == 5


def test_its_name_is_one_short_word(found: tuple[Authority, TrustedRoot]) -> None:
    authority, _ = found
    assert authority.name == authority.name != ""


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_is_no_root_is_refused(found: tuple[Authority, TrustedRoot], size: int) -> None:
    with pytest.raises(InvalidInput):
        found[0].stamp(bytes(size))


def test_the_fake_fails_on_either_side_of_its_effect(clock: Callable[[], datetime]) -> None:
    authority = FakeAuthority("fake", clock)
    authority.switches.fail("stamp", When.BEFORE)
    authority.switches.fail("stamp", When.AFTER)
    seen = []
    for _ in range(2):
        with pytest.raises(Unreachable):
            authority.stamp(ROOT)
        seen.append(len(authority.stamped))
    assert seen == [0, 1]
    assert parse_token(authority.stamp(ROOT)).serial == 2
