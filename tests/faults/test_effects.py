"""The effects of sealing fail before or after it took hold, then the ledger is opened anew:
nothing acknowledged is lost. Some steps in every run, each in the rehearsals.

The authority and the chain are fakes, the store is real. test_kill.py does the same with a real
SIGKILL on the embedded parts.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from fakes import Crash, FakeWorld, Steps, When, digests, moments, strides
from leaves import entries

from witnesstree.ledger.base.errors import (
    BadAnswer,
    Damaged,
    NotFound,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.metadata import Metadata, Transaction
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work import sealing
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.sealing import Ledger, Limits

SMALL = Limits(entries=2, age=timedelta(hours=1), patience=5)
SUBMISSIONS = [digests("first", 2), digests("second", 1)]
"""Three entries, so two batches with SMALL."""


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock, SMALL)


def run(world: FakeWorld, acknowledged: list[bytes]) -> None:
    """Submit what is not here yet, close and work; note each digest once its receipt is there."""
    with world.open() as ledger:
        for submission in SUBMISSIONS:
            known = ledger.find(submission)
            if new := [digest for digest in submission if digest not in known]:
                receipt = ledger.submit(b"".join(new))
                assert sum(span.count for span in receipt.spans) == len(new)
                acknowledged.extend(new)
        ledger.close()
        ledger.outbox.work()


def require_whole(world: FakeWorld, acknowledged: list[bytes]) -> None:
    """Everything acknowledged is here once and VERIFIED, each root anchored once, and fsck finds
    nothing."""
    with world.open() as ledger:
        assert ledger.outbox.unfinished() == []
        assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []
        for digest in acknowledged:
            assert len(list(ledger.entries(digest))) >= 1
            content = format_proof(ledger.proof(digest))
            assert verify(digest, content, world.trust, world.clock()).verdict is Verdict.VERIFIED
        with ledger.metadata.read() as transaction:
            roots = [batch.root for batch in transaction.batches()]
            assert transaction.open_batches() == []
            for batch in transaction.batches():
                assert (
                    len(transaction.tokens(batch.sequence)),
                    len(transaction.anchors(batch.sequence)),
                ) == (1, 1)
    assert world.chain.anchored == dict.fromkeys(roots, 1)


def require_nothing_false(world: FakeWorld, acknowledged: list[bytes]) -> None:
    """Right after a fault, before anything is mended: what is acknowledged is here, and no proof
    says more than it can."""
    with world.open() as ledger:
        assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []
        for digest in acknowledged:
            assert next(ledger.entries(digest), None) is not None
        for digest in (digest for submission in SUBMISSIONS for digest in submission):
            try:
                proof = ledger.proof(digest)
            except NotFound:
                assert digest not in acknowledged
                continue
            found = verify(digest, format_proof(proof), world.trust, world.clock()).verdict
            assert found is (Verdict.UNDECIDED if proof.missing else Verdict.VERIFIED)


def crash() -> None:
    raise Crash


# Every durable step


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(11))
def test_a_crash_at_any_durable_step(tmp_path: Path, clock: Clock, when: When, stride: int) -> None:
    for step in moments(stride, when):
        world = FakeWorld(tmp_path / f"{step}", clock, SMALL)
        acknowledged: list[bytes] = []
        steps = Steps(crash, step, when)
        try:
            with steps.counted():
                run(world, acknowledged)
        except Crash:
            require_nothing_false(world, acknowledged)
            run(world, acknowledged)
            require_whole(world, acknowledged)
        else:
            break
    require_whole(world, acknowledged)
    assert step - stride < len(steps.names) <= step
    assert len(steps.names) > 25


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(11))
def test_a_disk_that_refuses_any_durable_step(
    tmp_path: Path, clock: Clock, when: When, stride: int
) -> None:
    """The process goes on: one error that says so, no receipt, and the same command again does the
    rest."""

    def refuse() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for step in moments(stride, when):
        world = FakeWorld(tmp_path / f"{step}", clock, SMALL)
        acknowledged: list[bytes] = []
        steps = Steps(refuse, step, when)
        try:
            with steps.counted():
                run(world, acknowledged)
        except StorageFailure as error:
            said = str(error)
        except OSError:
            # SQLite itself never raises this: here the step is a commit.
            said = steps.names[-1]
        else:
            break
        assert said == "commit" or (os.strerror(errno.EIO) in said and "\n" not in said)
        require_nothing_false(world, acknowledged)
        run(world, acknowledged)
        require_whole(world, acknowledged)
    assert step > 25


# Every effect by its name


@contextmanager
def failing(owner: object, name: str, when: When, error: BaseException, at: int) -> Iterator[None]:
    """Let call number `at` (from 0) of a method fail on one side of its effect."""
    whole: Callable[..., object] = getattr(owner, name)
    calls = 0

    def failed(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == at + 1 and when is When.BEFORE:
            raise error
        result = whole(*args, **options)
        if calls == at + 1 and when is When.AFTER:
            raise error
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, failed)
        yield
    assert calls > at


EFFECTS: list[tuple[Any, str]] = [
    (BatchFiles, "append"),
    (BatchFiles, "seal"),
    (sealing, "write_run"),
    (Transaction, "open_batch"),
    (Transaction, "set_count"),
    (Transaction, "freeze"),
    (Transaction, "seal"),
    (Transaction, "finish_stamp"),
    (Transaction, "store_transaction"),
    (Transaction, "finish_anchor"),
]


@pytest.mark.sampled(7)
@pytest.mark.parametrize(
    "effect", EFFECTS, ids=[f"{owner.__name__}.{name}" for owner, name in EFFECTS]
)
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("kind", [Crash, StorageFailure])
def test_an_effect_of_the_store_fails(
    world: FakeWorld, effect: tuple[object, str], when: When, at: int, kind: type[BaseException]
) -> None:
    acknowledged: list[bytes] = []
    if at and effect[1] == "store_transaction":
        # Both roots go into one transaction: the second is stored where the first was replaced.
        world.chain.is_stuck = world.chain.is_dear = True
        run(world, acknowledged)
        world.clock.tick(200)
        at = 0
    with failing(*effect, when, kind("refused"), at), pytest.raises(kind):
        run(world, acknowledged)
    if world.chain.is_stuck:
        world.chain.is_stuck = False
        world.chain.carry_out_newest()
    require_nothing_false(world, acknowledged)
    run(world, acknowledged)
    require_whole(world, acknowledged)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("method", ["recent_block", "stamp", "standing", "sign", "send", "collect"])
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("kind", [Crash, Unreachable, BadAnswer])
def test_an_effect_outside_fails(
    world: FakeWorld, method: str, when: When, kind: type[BaseException]
) -> None:
    acknowledged: list[bytes] = []
    switches = world.authority.switches if method == "stamp" else world.chain.switches
    switches.fail(method, when, kind("failed"))
    with suppress(Crash):
        run(world, acknowledged)
    require_nothing_false(world, acknowledged)
    run(world, acknowledged)
    require_whole(world, acknowledged)


def test_many_faults_one_after_another(world: FakeWorld) -> None:
    acknowledged: list[bytes] = []
    for method in ("standing", "sign", "send", "collect"):
        for when in When:
            world.chain.switches.fail(method, when, Crash())
            with pytest.raises(Crash):
                run(world, acknowledged)
            require_nothing_false(world, acknowledged)
    run(world, acknowledged)
    require_whole(world, acknowledged)


# What the disk says while entries come in


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with FakeWorld(tmp_path / "large", clock).open() as ledger:
        yield ledger


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", ["fsync", "pwrite"])
@pytest.mark.parametrize("is_first", [True, False])
def test_entries_that_the_disk_refuses_are_not_there(
    ledger: Ledger, name: str, code: int, is_first: bool
) -> None:
    before, refused, after = digests("before", 2), digests("refused", 3), digests("after", 2)
    if not is_first:
        ledger.submit(b"".join(before))

    def refuse(*_args: object) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, refuse)
        with pytest.raises(StorageFailure, match=os.strerror(code)):
            ledger.submit(b"".join(refused))
    for digest in refused:
        with pytest.raises(NotFound):
            ledger.proof(digest)
    expected = [] if is_first else before
    receipt = ledger.submit(b"".join(after))
    assert [(span.batch, span.first, span.count) for span in receipt.spans] == [
        (0, 2 + len(expected), 2)
    ]
    assert ledger.close() == [0]
    assert ledger.outbox.work() == []
    assert entries(ledger, 0) == expected + after
    assert ledger.files.digests_path(0).stat().st_size == (2 + len(expected + after)) * 32
    for digest in refused:
        with pytest.raises(NotFound):
            ledger.proof(digest)


def test_a_torn_write_that_nobody_acknowledged_is_never_read(world: FakeWorld) -> None:
    """Half of the bytes reached the file, and the process ended."""
    first, torn = digests("first", 2), digests("torn", 2)
    pwrite = os.pwrite

    def half(descriptor: int, content: bytes, offset: int) -> int:
        if len(content) < 32:
            # Who holds a lock, not entries.
            return pwrite(descriptor, content, offset)
        pwrite(descriptor, bytes(content[: len(content) // 2]), offset)
        raise Crash

    large = Limits(entries=100, age=timedelta(hours=1), patience=5)
    with world.open(large) as ledger:
        ledger.submit(b"".join(first))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwrite", half)
            with pytest.raises(Crash):
                ledger.submit(b"".join(torn))
    with world.open(large) as ledger:
        assert ledger.files.digests_path(0).stat().st_size == 5 * 32
        assert list(ledger.entries(torn[0])) == []
        assert ledger.close() == [0]
        assert (ledger.batch(0).count, ledger.batch(0).entries) == (4, 2)
        assert ledger.files.digests_path(0).stat().st_size == 4 * 32
        assert ledger.outbox.work() == []
        assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []


def test_bytes_that_were_lost_after_their_receipt_stop_the_batch(world: FakeWorld) -> None:
    """As a disk does that lies about fsync: the entries cannot be brought back, and nothing is made
    up in their place."""
    with world.open() as ledger:
        ledger.submit(b"".join(digests("lost", 2)))
    path = world.home.batches / "00000" / "00000000.digests"
    path.write_bytes(path.read_bytes()[:96] + bytes(32))
    with world.open() as ledger:
        with pytest.raises(Damaged):
            ledger.close()
        assert ledger.outbox.unfinished() == []
        assert len(list(check_ledger(ledger, Trust((world.authority.root,))))) == 1


def test_a_database_that_is_locked_gives_no_receipt(world: FakeWorld) -> None:
    impatient = Limits(entries=2, age=timedelta(hours=1), patience=0.1)
    other = Metadata.open(world.home.database, patience=5)
    (digest,) = digests("locked", 1)
    with world.open(impatient) as ledger:
        with other.write(), pytest.raises(WitnesstreeError, match="another process has kept"):
            ledger.submit(digest)
        with pytest.raises(NotFound):
            ledger.proof(digest)
        assert ledger.submit(digest).spans[0].first == 2
    other.close()
