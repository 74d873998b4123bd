"""Wiring: a home is made with its embedded parts, opened with its settings, and let go of."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes import digests

from witnesstree.anchor.fsck import check_embedded
from witnesstree.anchor.settings import read_settings
from witnesstree.anchor.tsa.local import trusted_root
from witnesstree.anchor.wiring import (
    LOCAL_NOTICE,
    clock,
    make_home,
    new_origin,
    notice,
    open_ledger,
)
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, NotFound
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.log.note import require_name
from witnesstree.ledger.store.database.values import JobKind
from witnesstree.ledger.store.home import Home
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.sealing import Span

A, B, C = digests("wiring", 3)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home", "ledger.test/wiring")


def open_files(folder: Path) -> list[str]:
    """Return the files below `folder` that this process holds open."""
    links = [
        descriptor for descriptor in Path("/proc/self/fd").iterdir() if descriptor.is_symlink()
    ]
    found = []
    for link in links:
        try:
            target = link.readlink()
        except FileNotFoundError:
            continue
        if target.is_relative_to(folder):
            found.append(target.name)
    return found


def test_the_clock_is_in_utc() -> None:
    assert clock().tzinfo is UTC
    assert abs(clock() - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_ledger_that_nobody_named_has_a_name_of_its_own() -> None:
    names = {new_origin() for _ in range(20)}
    assert len(names) == 20
    for name in names:
        require_name(name)


def test_a_home_seals_with_its_embedded_parts(home: Home) -> None:
    with open_ledger(home.folder) as ledger:
        assert ledger.submit(A + B).spans == (Span(0, 2, 2),)
        assert ledger.close() == [0]
        assert ledger.outbox.work() == []
        assert ledger.proof(A).missing == ()
    with open_ledger(home.folder) as ledger:
        assert ledger.proof(B).missing == ()
        assert list(check_ledger(ledger, Trust((trusted_root(home.authority),)))) == []
        assert list(check_embedded(ledger)) == []


def test_its_files_are_let_go_of(home: Home) -> None:
    with open_ledger(home.folder) as ledger:
        ledger.submit(A)
        assert open_files(home.folder)
    assert open_files(home.folder) == []


@pytest.mark.parametrize("part", ["chain", "authority"])
def test_a_home_without_an_embedded_part_is_refused_where_it_is_needed(
    home: Home, part: str
) -> None:
    (home.folder / part).rename(home.folder / "elsewhere")

    def seal() -> None:
        with open_ledger(home.folder) as ledger:
            ledger.submit(A)
            ledger.close()
            ledger.outbox.work()

    with pytest.raises(NotFound, match="witnesstree init"):
        seal()
    assert open_files(home.folder) == []


def test_what_nobody_asks_for_is_not_opened(home: Home) -> None:
    """A command that only looks needs no secret, and a chain's key is opened when something is
    signed."""
    (home.folder / "settings.toml").write_text("""
        [authorities.far]
        url = "https://tsa.example/tsr"
        user = "us"
        password = "env:NOT_SET"
        [chains.far]
        chain_id = 7
        urls = ["https://rpc.example"]
        key = "keystore:/nowhere.json"
        """)
    with open_ledger(home.folder) as ledger:
        assert [job.target for job in ledger.outbox.unfinished()] == []
        witnesses = ledger.outbox.witnesses
        assert witnesses.jobs() == [(JobKind.STAMP, "far"), (JobKind.ANCHOR, "far")]
        assert len(witnesses.chains) == 1
        with pytest.raises(KeyError):
            witnesses.chains["near"]
        with pytest.raises(InvalidInput, match="NOT_SET is not set"):
            witnesses.authorities["far"]
        assert witnesses.chains["far"] is witnesses.chains["far"]


@pytest.mark.parametrize("asked", [True, False])
def test_lists_are_published_where_the_settings_or_the_caller_say_so(
    home: Home, *, asked: bool
) -> None:
    if not asked:
        (home.folder / "settings.toml").write_text("publish_batches = true\n")
    with open_ledger(home.folder, publishes=asked) as ledger:
        ledger.submit(A)
        ledger.close()
        assert ledger.outbox.work() == []
        [link] = ledger.proof(A).hints.links
        ledger.outbox.witnesses.stores["ipfs"].read(
            link.removeprefix("ipfs://"), home.folder / "list"
        )
    assert (home.folder / "list").read_bytes()[64:96] == A


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", LOCAL_NOTICE),
        ('[authorities.a]\nurl = "http://a"', message("ledger-is-partly-local", part="chain")),
        (
            '[chains.a]\nchain_id = 7\nurls = ["http://a"]',
            message("ledger-is-partly-local", part="authority"),
        ),
        ('[chains.a]\nchain_id = 7\nurls = ["http://a"]\n[authorities.a]\nurl = "http://a"', None),
    ],
)
def test_what_is_embedded_is_said(home: Home, text: str, said: Message | None) -> None:
    (home.folder / "settings.toml").write_text(text)
    assert notice(read_settings(home.folder)) == said


def test_a_home_without_its_key_is_refused_and_let_go_of(home: Home) -> None:
    (home.folder / "keys" / "ledger.pem").unlink()
    with pytest.raises(Damaged), open_ledger(home.folder):
        pytest.fail("it was opened")
    assert open_files(home.folder) == []


def test_settings_hold_for_the_ledger(home: Home) -> None:
    (home.folder / "settings.toml").write_text("batch_entries = 2\n")
    with open_ledger(home.folder) as ledger:
        assert ledger.submit(A + B + C).spans == (Span(0, 2, 2), Span(1, 2, 1))


def test_settings_that_are_wrong_are_refused(home: Home) -> None:
    (home.folder / "settings.toml").write_text("batch_entry = 2\n")
    with pytest.raises(InvalidInput, match="batch_entry"), open_ledger(home.folder):
        pytest.fail("it was opened")


def test_a_home_is_not_made_over_another(home: Home) -> None:
    with pytest.raises(Conflict):
        make_home(home.folder, "ledger.test/other")
