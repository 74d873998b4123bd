"""A ledger on PostgreSQL: its server killed at any moment, and several processes on it at once.

Nothing acknowledged is lost.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
from fakes import FakeAuthority, When, digests
from servers.postgresql import PostgreSQL, postgresql

from witnesstree.ledger.base.errors import Unreachable
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import Home, create_home
from witnesstree.ledger.store.metadata import Metadata, Transaction
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits, Span

pytestmark = pytest.mark.real("postgres")

ORIGIN = "ledger.test/postgresql"
FORKS = multiprocessing.get_context("fork")
LIMITS = Limits(entries=40, age=timedelta(hours=1), patience=60)
WRITERS, EACH, SIZE = 4, 25, 3


def clock() -> datetime:
    return datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@contextmanager
def opened(home: Home, url: str, authority: FakeAuthority | None = None) -> Iterator[Ledger]:
    with closing(Metadata.open(url, LIMITS.patience, home.origin)) as metadata:
        yield Ledger(
            home,
            key=home.private_key(),
            metadata=metadata,
            files=BatchFiles(Folder(home.batches)),
            witnesses=Witnesses({"tsa": authority} if authority else {}, {}, {}),
            clock=clock,
            limits=LIMITS,
        )


def made(folder: Path, server: PostgreSQL) -> tuple[Home, str]:
    url = server.url(server.new_schema())
    return create_home(folder, ORIGIN, lambda _home: None, url), url


Receipts = list[tuple[list[bytes], tuple[Span, ...]]]


def require_whole(ledger: Ledger, receipts: Receipts, trust: Trust) -> None:
    """Each acknowledged entry stands where its receipt says, no two in one place, and fsck finds
    nothing."""
    ledger.close()
    ledger.outbox.work()
    places: list[tuple[int, int]] = []
    for entries, spans in receipts:
        stored = [(span.batch, span.first + i) for span in spans for i in range(span.count)]
        assert [ledger.files.digest_at(*place) for place in stored] == entries
        places += stored
    assert len(set(places)) == len(places)
    with ledger.metadata.read() as transaction:
        batches = list(transaction.batches())
        assert transaction.open_batches() == []
    assert [batch.sequence for batch in batches] == list(range(len(batches)))
    assert sorted(batch.log_index for batch in batches) == list(range(len(batches)))
    assert ledger.outbox.unfinished() == []
    assert list(check_ledger(ledger, trust)) == []


# The server dies


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@contextmanager
def dying(server: PostgreSQL, owner: type, name: str, when: When) -> Iterator[None]:
    """Kill the server on one side of a method's effect."""
    whole: Callable[..., object] = getattr(owner, name)

    def killing(*args: object) -> object:
        if when is When.BEFORE:
            server.kill()
        result = whole(*args)
        if when is When.AFTER:
            server.kill()
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, killing)
        yield


EFFECTS: list[tuple[type, str]] = [
    (BatchFiles, "append"),
    (Transaction, "open_batch"),
    (Transaction, "set_count"),
    (Transaction, "seal"),
]


@pytest.mark.parametrize(("owner", "name"), EFFECTS, ids=[name for _, name in EFFECTS])
@pytest.mark.parametrize("when", When)
def test_a_server_that_is_killed_loses_nothing(
    mortal: PostgreSQL, tmp_path: Path, owner: type, name: str, when: When
) -> None:
    home, url = made(tmp_path / "home", mortal)
    first, second, third = (digests(label, 2) for label in ("first", "second", "third"))
    with opened(home, url) as ledger:
        receipts: Receipts = []
        if name != "open_batch":
            receipts.append((first, ledger.submit(b"".join(first)).spans))

        def submit_and_close() -> None:
            ledger.submit(b"".join(second))
            ledger.close()

        with (
            dying(mortal, owner, name, when),
            pytest.raises(Unreachable, match="does not answer") as caught,
        ):
            submit_and_close()
        assert "\n" not in str(caught.value)
        if name == "seal":
            # The server died after the submission.
            receipts.append((second, (Span(0, 4, 2),)))
        # As long as it is down, every answer is the same.
        with pytest.raises(Unreachable):
            ledger.submit(b"".join(second))
        mortal.start()
        receipts.append((third, ledger.submit(b"".join(third)).spans))
        require_whole(ledger, receipts, Trust())


def test_a_server_that_is_killed_again_and_again(mortal: PostgreSQL, tmp_path: Path) -> None:
    """At whatever moment; the submitter asks again until it has its receipt."""
    home, url = made(tmp_path / "home", mortal)
    stopped = threading.Event()
    deaths: list[int] = []

    def harass() -> None:
        while not stopped.wait(0.15):
            mortal.kill()
            deaths.append(1)
            mortal.start()

    receipts: Receipts = []
    failures = 0
    harasser = threading.Thread(target=harass)
    with opened(home, url) as ledger:
        harasser.start()
        try:
            deadline = time.monotonic() + 60
            while len(deaths) < 4 or len(receipts) < 20:
                assert time.monotonic() < deadline
                entries = digests(f"submission {len(receipts)}", SIZE)
                try:
                    receipts.append((entries, ledger.submit(b"".join(entries)).spans))
                    if len(receipts) % 10 == 0:
                        ledger.close()
                except Unreachable:
                    failures += 1
        finally:
            stopped.set()
            harasser.join()
        assert failures > 0
        require_whole(ledger, receipts, Trust())


def test_who_lost_its_lock_writes_over_nobody(postgres: PostgreSQL, tmp_path: Path) -> None:
    """The server forgets the lock of a process whose connection ended; the process learns it late,
    and is about to write entries."""
    home, url = made(tmp_path / "home", postgres)
    late, other = digests("late", 3), digests("other", 3)
    receipts: Receipts = []
    append = BatchFiles.append

    def submit_other() -> None:
        with opened(home, url) as ledger:
            receipts.append((other, ledger.submit(b"".join(other)).spans))

    rival = threading.Thread(target=submit_other)

    def delayed(files: BatchFiles, sequence: int, count: int, *packed: bytes | memoryview) -> None:
        if late[0] in b"".join(packed):
            with postgres.connect() as operator:
                operator.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype ="
                    " 'advisory'"
                )
            rival.start()
            rival.join(0.5)
        append(files, sequence, count, *packed)

    with opened(home, url) as ledger:
        receipts.append((digests("first", 1), ledger.submit(digests("first", 1)[0]).spans))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BatchFiles, "append", delayed)
            with pytest.raises(Unreachable):
                ledger.submit(b"".join(late))
            rival.join()
        assert len(receipts) == 2
        require_whole(ledger, receipts, Trust())


# Several processes


def submission(writer: int, number: int) -> list[bytes]:
    return digests(f"writer {writer}, submission {number}", SIZE)


def write(
    home: Home,
    url: str,
    authority: FakeAuthority,
    writer: int,
    told: "Queue[tuple[int, int, tuple[Span, ...]]]",
) -> None:
    with opened(home, url, authority) as ledger:
        for number in range(EACH):
            told.put((writer, number, ledger.submit(b"".join(submission(writer, number))).spans))
            if number % 8 == writer:
                ledger.close()
            if number % 8 == writer + 4:
                ledger.outbox.work()


def test_several_submit_close_and_work_at_once(postgres: PostgreSQL, tmp_path: Path) -> None:
    home, url = made(tmp_path / "home", postgres)
    authority = FakeAuthority("tsa", clock)
    told: Queue[tuple[int, int, tuple[Span, ...]]] = FORKS.Queue()
    writers = [
        FORKS.Process(target=write, args=(home, url, authority, writer, told))
        for writer in range(WRITERS)
    ]
    for process in writers:
        process.start()
    receipts = [told.get(timeout=120) for _ in range(WRITERS * EACH)]
    for process in writers:
        process.join(60)
    assert {process.exitcode for process in writers} == {0}
    with opened(home, url, authority) as ledger:
        require_whole(
            ledger,
            [(submission(writer, number), spans) for writer, number, spans in receipts],
            Trust((authority.root,)),
        )
        with ledger.metadata.read() as transaction:
            assert transaction.entry_count() == WRITERS * EACH * SIZE
            batches = list(transaction.batches())
            assert {len(transaction.tokens(batch.sequence)) for batch in batches} == {1}
        assert max(batch.entries for batch in batches) <= LIMITS.entries
