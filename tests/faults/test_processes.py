"""Several processes on one home at once: each receipt is right, each entry is there, and a reader
sees nothing half-made."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from fakes import FakeAuthority, FakeChain, digests

from witnesstree.ledger.base.errors import NotFound
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import Home, create_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.tree.tree import root_from_path
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits

FORKS = multiprocessing.get_context("fork")
WRITERS, EACH, SIZE = 4, 50, 3
LIMITS = Limits(entries=40, age=timedelta(hours=1), patience=60)


def clock() -> datetime:
    return datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@contextmanager
def opened(home: Home, *, with_witnesses: bool = False) -> Iterator[Ledger]:
    with closing(Metadata.open(home.database, LIMITS.patience)) as metadata:
        yield Ledger(
            home,
            key=home.private_key(),
            metadata=metadata,
            files=BatchFiles(Folder(home.batches)),
            witnesses=Witnesses(
                {"tsa": FakeAuthority("tsa", clock)} if with_witnesses else {},
                {"chain": FakeChain("chain", clock)} if with_witnesses else {},
                {},
            ),
            clock=clock,
            limits=LIMITS,
        )


def submission(writer: int, number: int) -> list[bytes]:
    return digests(f"writer {writer}, submission {number}", SIZE)


def write(
    home: Home, writer: int, told: "Queue[tuple[int, int, list[tuple[int, int, int]]]]"
) -> None:
    with opened(home) as ledger:
        for number in range(EACH):
            receipt = ledger.submit(b"".join(submission(writer, number)))
            told.put(
                (writer, number, [(span.batch, span.first, span.count) for span in receipt.spans])
            )
            if number % 10 == writer:
                ledger.close()


def read(home: Home, enough: Event, told: "Queue[int]") -> None:
    seen = 0
    with opened(home) as ledger:
        while not enough.is_set():
            for number in range(0, EACH, 7):
                digest = submission(0, number)[0]
                try:
                    proof = ledger.proof(digest)
                except NotFound:
                    continue
                if found := proof.inclusion:
                    assert (
                        root_from_path(digest, found.position, found.size, found.path) == found.root
                    )
                    seen += 1
            assert [str(problem) for problem in check_ledger(ledger, Trust())] == []
    told.put(seen)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return create_home(tmp_path / "home", "ledger.test/processes", lambda _home: None)


def test_several_submit_and_close_while_one_reads(home: Home) -> None:
    told: Queue[tuple[int, int, list[tuple[int, int, int]]]] = FORKS.Queue()
    seen: Queue[int] = FORKS.Queue()
    enough = FORKS.Event()
    writers = [FORKS.Process(target=write, args=(home, writer, told)) for writer in range(WRITERS)]
    reader = FORKS.Process(target=read, args=(home, enough, seen))
    for process in (*writers, reader):
        process.start()
    receipts = [told.get(timeout=120) for _ in range(WRITERS * EACH)]
    for process in writers:
        process.join(60)
    enough.set()
    assert seen.get(timeout=60) > 0
    reader.join(60)
    assert {process.exitcode for process in (*writers, reader)} == {0}

    with opened(home) as ledger:
        ledger.close()
        places: Counter[tuple[int, int]] = Counter()
        for writer, number, spans in receipts:
            stored = b"".join(
                ledger.files.digest_at(batch, first + i)
                for batch, first, count in spans
                for i in range(count)
            )
            assert stored == b"".join(submission(writer, number))
            places.update((batch, first + i) for batch, first, count in spans for i in range(count))
        assert len(places) == WRITERS * EACH * SIZE
        assert set(places.values()) == {1}
        with ledger.metadata.read() as transaction:
            batches = list(transaction.batches())
            assert transaction.entry_count() == WRITERS * EACH * SIZE
            assert transaction.open_batches() == []
        assert [batch.sequence for batch in batches] == list(range(len(batches)))
        assert max(batch.entries for batch in batches) <= LIMITS.entries
        assert list(check_ledger(ledger, Trust())) == []


def work(home: Home, told: "Queue[int]") -> None:
    with opened(home, with_witnesses=True) as ledger:
        done = 0

        def count(_job: object, error: str | None) -> None:
            nonlocal done
            done += error is None

        assert ledger.outbox.work(count) == []
        told.put(done)


def test_several_work_and_each_job_is_done_once(home: Home) -> None:
    with opened(home, with_witnesses=True) as ledger:
        ledger.submit(b"".join(digests("work", 200)))
        ledger.close()
        jobs = len(ledger.outbox.unfinished())
    told: Queue[int] = FORKS.Queue()
    workers = [FORKS.Process(target=work, args=(home, told)) for _ in range(3)]
    for worker in workers:
        worker.start()
    done = [told.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert {worker.exitcode for worker in workers} == {0}
    assert sum(done) == jobs == 10
