"""Recent blocks that are kept: what a batch's opening record names where no chain is asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from fakes import CHAIN_ID, FakeWorld, digests

from witnesstree.ledger.base.errors import BadAnswer, StorageFailure, Unreachable
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.log.opening import BlockName, parse_opening
from witnesstree.ledger.work.recent import KEPT_FOR
from witnesstree.ledger.work.sealing import Ledger

MINUTES = 60
(A,) = digests("entry", 1)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock)


@pytest.fixture
def kept(world: FakeWorld) -> Path:
    """What a worker kept just now."""
    with world.open() as worker:
        worker.keep_recent_block()
    return world.home.folder / "recent-block.json"


def named(ledger: Ledger) -> tuple[BlockName | None, bytes | None]:
    """Return the block that the batch names that is opened now, and its header."""
    (span,) = ledger.submit(A).spans
    with ledger.metadata.read() as transaction:
        (batch,) = transaction.open_batches()
    assert batch.sequence == span.batch
    ledger.close()
    return parse_opening(batch.opening).block, batch.header


def no_chain_is_asked(world: FakeWorld) -> None:
    world.chain.switches.fail("recent_block", error=AssertionError("a chain was asked"), times=99)


def test_what_one_process_keeps_another_names_without_asking(world: FakeWorld, kept: Path) -> None:
    block = world.chain.recent_block()
    no_chain_is_asked(world)
    with world.open(asks_chains=False) as service:
        found, header = named(service)
    assert found == BlockName(CHAIN_ID, block.number, block.hash)
    assert header == block.header
    assert keccak256(block.header) == block.hash


@pytest.mark.parametrize(
    ("seconds", "is_named"),
    [
        (0, True),
        (1, True),
        (15 * MINUTES, True),
        (15 * MINUTES + 1, False),
        (24 * 60 * MINUTES, False),
        (-1, False),
    ],
)
def test_it_is_named_for_a_quarter_of_an_hour(
    world: FakeWorld, kept: Path, clock: Clock, seconds: int, is_named: bool
) -> None:
    """And not before it was kept: a clock was set back then."""
    assert KEPT_FOR.total_seconds() == 15 * MINUTES
    clock.tick(seconds)
    no_chain_is_asked(world)
    with world.open(asks_chains=False) as service:
        found, header = named(service)
    assert (found is not None, header is not None) == (is_named, is_named)


def test_without_one_none_is_named(world: FakeWorld) -> None:
    no_chain_is_asked(world)
    with world.open(asks_chains=False) as service:
        assert named(service) == (None, None)


def test_who_asks_chains_uses_no_kept_block(world: FakeWorld, kept: Path) -> None:
    world.chain.switches.fail("recent_block")
    with world.open() as ledger:
        assert named(ledger) == (None, None)


def test_a_batch_that_is_opened_in_the_middle_of_a_submission_names_it_too(
    world: FakeWorld, kept: Path
) -> None:
    block = world.chain.recent_block()
    no_chain_is_asked(world)
    world.limits = world.limits.__class__(entries=2, age=world.limits.age, patience=5)
    with world.open(asks_chains=False) as service:
        service.submit(b"".join(digests("many", 5)))
        with service.metadata.read() as transaction:
            openings = [parse_opening(batch.opening) for batch in transaction.open_batches()]
    assert [opening.block for opening in openings] == [
        BlockName(CHAIN_ID, block.number, block.hash)
    ] * 3


def edited(**members: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), **members}).encode()


@pytest.mark.parametrize(
    "harm",
    [
        lambda _content: b"",
        lambda _content: b"nonsense",
        lambda _content: b"[]",
        lambda _content: b"\xff\xfe",
        lambda _content: b"[" * 100_000,
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"asked", b"asket"),
        edited(more=1),
        edited(asked="yesterday"),
        edited(asked=7),
        edited(number="7"),
        edited(chain_id=None),
        edited(header="not base64!"),
        edited(header=""),
        edited(header="AAAA"),
        edited(header="wA=="),
        edited(header="A" * 100_000),
    ],
)
def test_a_damaged_file_names_none_and_is_written_anew(
    world: FakeWorld, kept: Path, harm: Callable[[bytes], bytes]
) -> None:
    whole = kept.read_bytes()
    kept.write_bytes(harm(whole))
    assert kept.read_bytes() != whole
    with world.open(asks_chains=False) as service:
        assert named(service) == (None, None)
    with world.open() as worker:
        worker.keep_recent_block()
    assert kept.read_bytes() == whole


@pytest.mark.parametrize(("seconds", "is_new"), [(0, False), (60, False), (61, True), (-1, True)])
def test_chains_are_asked_again_after_a_minute(
    world: FakeWorld, kept: Path, clock: Clock, seconds: int, is_new: bool
) -> None:
    before = kept.read_bytes()
    clock.tick(seconds)
    with world.open() as worker:
        worker.keep_recent_block()
    assert (kept.read_bytes() != before) is is_new


@pytest.mark.parametrize("error", [Unreachable("down"), BadAnswer("nonsense")])
def test_where_no_chain_answers_what_is_kept_stays(
    world: FakeWorld, kept: Path, clock: Clock, error: Exception
) -> None:
    before = kept.read_bytes()
    clock.tick(10 * MINUTES)
    world.chain.switches.fail("recent_block", error=error)
    with world.open() as worker:
        worker.keep_recent_block()
    assert kept.read_bytes() == before
    with world.open(asks_chains=False) as service:
        assert named(service)[0] is not None


def test_a_disk_that_refuses_is_said(world: FakeWorld) -> None:
    (world.home.folder / "recent-block.json").mkdir()
    with world.open() as worker, pytest.raises(StorageFailure):
        worker.keep_recent_block()
    with world.open(asks_chains=False) as service:
        assert named(service) == (None, None)
