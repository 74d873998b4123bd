"""A commit took hold, and its answer was lost: whoever asks again meets what is kept already, and
that is no damage. On both databases.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Clock
from fakes import FakeFileStore, FakeWorld, digests
from servers.postgresql import postgresql

from witnesstree.ledger.base.errors import Unreachable
from witnesstree.ledger.base.ports import SignedTransaction
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.store.database.values import JobKind, KeptRecord
from witnesstree.ledger.store.metadata import Metadata, Transaction
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.rotation import rotate
from witnesstree.ledger.work.sealing import Ledger, Limits

SMALL = Limits(entries=2, age=timedelta(hours=1), patience=5)


class Lost:
    """Lets the answer to the commit numbered `at` (from 0) be lost."""

    def __init__(self, at: int) -> None:
        self.seen, self._at = 0, at

    @contextmanager
    def losing(self) -> Iterator[None]:
        real = Metadata.write

        @contextmanager
        def write(metadata: Metadata, *, is_guarded: bool = True) -> Iterator[Transaction]:
            with real(metadata, is_guarded=is_guarded) as transaction:
                yield transaction
            self.seen += 1
            if self.seen == self._at + 1:
                raise Unreachable("database-unreachable", place="here", error="gone")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Metadata, "write", write)
            yield


def run(ledger: Ledger) -> None:
    for submission in (digests("a", 3), digests("b", 1)):
        known = ledger.find(submission)
        if new := [digest for digest in submission if digest not in known]:
            ledger.submit(b"".join(new))
    ledger.close()
    if not ledger.home.key_notes():
        rotate(ledger)
    for _ in range(3):
        ledger.outbox.work()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))])
def is_server(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "postgresql")


def test_any_answer_may_be_lost(
    is_server: bool,
    tmp_path: Path,
    clock: Clock,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = request.getfixturevalue("postgres") if is_server else None
    at = 0
    while True:
        url = server.url(server.new_schema()) if server else None
        monkeypatch.setattr(FakeWorld, "new_database", staticmethod(lambda url=url: url))
        world = FakeWorld(tmp_path / f"{at}", clock, SMALL)
        witnesses = Witnesses(
            {world.authority.name: world.authority},
            {world.chain.name: world.chain},
            {"store": FakeFileStore()},
            publishes=True,
        )
        lost = Lost(at)
        with world.open(witnesses=witnesses) as ledger:
            with lost.losing():
                try:
                    run(ledger)
                except Unreachable:
                    # The same process goes on, as a worker does.
                    run(ledger)
            run(ledger)
            assert ledger.outbox.unfinished() == []
            assert set(ledger.find(digests("a", 3) + digests("b", 1))) == set(
                digests("a", 3) + digests("b", 1)
            )
            assert list(check_ledger(ledger, world.trust)) == []
        if lost.seen <= at:
            break
        at += 1
    assert at > 10


def test_what_is_kept_already_stays_and_is_no_damage(tmp_path: Path, clock: Clock) -> None:
    """The commit was still under way when somebody looked, and did the same again."""
    world = FakeWorld(tmp_path / "home", clock)
    with world.open() as ledger:
        ledger.submit(b"".join(digests("a", 1)))
        ledger.close()
        jobs = {job.kind: job for job in ledger.outbox.unfinished()}
        signed = SignedTransaction(b"raw", bytes(32), bytes(20), 0)
        kept = KeptRecord(0, 0, "tsa", 1, clock(), b"first")
        for turn, name in enumerate((b"first", b"second")):
            with ledger.metadata.write() as transaction:
                transaction.finish_stamp(jobs[JobKind.STAMP], Stamp(name))
                transaction.store_transaction("chain", signed, clock(), [jobs[JobKind.ANCHOR]])
                transaction.finish_anchor(jobs[JobKind.ANCHOR], name.decode())
                transaction.finish_publish(jobs[JobKind.STAMP], name.decode())
                assert transaction.keep_record(kept) is not bool(turn)
                transaction.add_job(0, JobKind.STAMP, jobs[JobKind.STAMP].target)
        with ledger.metadata.read() as transaction:
            assert [stamp.token for _, stamp in transaction.tokens(0)] == [b"first"]
            assert [anchor for _, anchor in transaction.anchors(0)] == ["first"]
            assert transaction.published(0) == ["first"]
            assert [each.record for each in transaction.records(0)] == [b"first"]
            assert transaction.unfinished_jobs() == []


@pytest.mark.real("postgres")
def test_a_commit_that_did_not_wait_for_its_standby_is_not_acknowledged(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL answers success when the wait is cancelled, and a warning beside it."""
    with postgresql() as server:
        url = server.url(server.new_schema())
        monkeypatch.setattr(FakeWorld, "new_database", staticmethod(lambda: url))
        world = FakeWorld(tmp_path / "home", clock)
        with world.open() as ledger:
            ledger.submit(b"".join(digests("a", 1)))
        server.stop()
        server.start("synchronous_standby_names=nobody")
        with world.open() as ledger:

            def cancel() -> None:
                with server.connect() as other:
                    other.autocommit = True
                    for _ in range(200):
                        if other.execute(
                            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                            " WHERE wait_event = 'SyncRep'"
                        ).fetchall():
                            return
                        time.sleep(0.05)

            canceller = threading.Thread(target=cancel)
            canceller.start()
            with pytest.raises(Unreachable, match="committed without its standby"):
                ledger.submit(b"".join(digests("b", 1)))
            canceller.join()
            journal = ledger.files.journals.read(0)
            assert journal
            assert journal.taken == 4
