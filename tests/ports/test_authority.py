"""What every Authority promises, asked of the fake, of the embedded one, and of the embedded one
over HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
from fakes import FakeAuthority, When, digests
from servers.tsa import replying, talking

from witnesstree.anchor.settings import AuthoritySettings
from witnesstree.anchor.tsa.client import HttpAuthority
from witnesstree.anchor.tsa.local import LocalAuthority, trusted_root
from witnesstree.ledger.base.errors import InvalidInput, Unreachable
from witnesstree.ledger.base.ports import Authority
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.tokens.token import judge_token, parse_token
from witnesstree.ledger.trust import Trust, TrustedRoot

ROOT, OTHER = digests("root", 2)
OVER_HTTP = pytest.param("over HTTP", marks=pytest.mark.enable_socket)


@pytest.fixture(params=["fake", "embedded", OVER_HTTP])
def found(
    request: pytest.FixtureRequest, clock: Callable[[], datetime], tmp_path: Path
) -> Iterator[tuple[Authority, TrustedRoot]]:
    if request.param == "fake":
        fake = FakeAuthority("fake", clock)
        yield fake, fake.root
        return
    LocalAuthority.create(tmp_path / "authority", clock())
    local, root = (
        LocalAuthority.open(tmp_path / "authority", clock),
        trusted_root(tmp_path / "authority"),
    )
    if request.param == "embedded":
        yield local, root
        return
    with ExitStack() as stack:
        url = stack.enter_context(talking(replying(lambda asked: local.answer(asked, clock()))))
        authority = HttpAuthority("over-http", AuthoritySettings(url=url), Trust(), clock)
        stack.callback(authority.close)
        yield authority, root


def outcomes(authority: Authority, root: bytes, trust: Trust) -> dict[str, Outcome]:
    """Judge a new token for ROOT.

    Whether it was revoked is not asked: none of these authorities says where to ask.
    """
    judgement = judge_token(authority.stamp(ROOT), root, trust)
    return {check.name: check.outcome for check in judgement.checks if check.required}


def test_a_token_is_for_this_root_and_passes_every_check(
    found: tuple[Authority, TrustedRoot], clock: Callable[[], datetime]
) -> None:
    authority, root = found
    assert set(outcomes(authority, ROOT, Trust((root,))).values()) == {Outcome.PASSED}
    judgement = judge_token(authority.stamp(ROOT), ROOT, Trust((root,)))
    assert judgement.token is not None
    assert judgement.token.gen_time == clock()
    assert judgement.assurance == root.assurance


def test_a_token_is_for_no_other_root(found: tuple[Authority, TrustedRoot]) -> None:
    authority, root = found
    assert [
        name
        for name, outcome in outcomes(authority, OTHER, Trust((root,))).items()
        if outcome is Outcome.FAILED
    ] == ["token.imprint"]


def test_a_token_proves_nothing_without_the_root(found: tuple[Authority, TrustedRoot]) -> None:
    authority, _ = found
    assert outcomes(authority, ROOT, Trust())["token.chain"] is Outcome.UNKNOWN


def test_no_serial_number_comes_twice(found: tuple[Authority, TrustedRoot]) -> None:
    authority, _ = found
    assert len({parse_token(authority.stamp(ROOT).token).serial for _ in range(5)}) == 5


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
    assert parse_token(authority.stamp(ROOT).token).serial == 2
