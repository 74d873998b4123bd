"""What is read, changed and written again in a home loses nothing where several processes do it at
once.
"""

import multiprocessing
import os
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import Clock
from fakes import FakeWorld, digests, in_child

from witnesstree.anchor import settings, truststore
from witnesstree.anchor.settings import add_table, read_settings, remove_table, write_setting
from witnesstree.anchor.truststore import read_stored
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.wiring import clock, make_home, open_ledger
from witnesstree.cli.submission import Submission
from witnesstree.ledger.base.errors import Conflict
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.store.database.values import JobKind
from witnesstree.ledger.store.metadata import Metadata, Transaction
from witnesstree.ledger.work.sealing import Limits

SEVERAL = 8


def at_once(work: Callable[[int], object]) -> list[int]:
    """Run `work` in several processes that begin together, and return their exit statuses."""
    barrier = multiprocessing.get_context("fork").Barrier(SEVERAL)

    children = []
    for number in range(SEVERAL):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                barrier.wait(20)
                work(number)
                status = 0
            finally:
                traceback.print_exc()
                os._exit(status)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_settings_that_several_processes_change_are_all_kept(tmp_path: Path) -> None:
    for turn in range(2):

        def add(number: int, turn: int = turn) -> None:
            add_table(tmp_path, "authorities", f"a{turn}x{number}", {"url": "https://a.example"})

        assert at_once(add) == [0] * SEVERAL
    names = read_settings(tmp_path).authorities
    assert len(names) == 2 * SEVERAL
    assert (
        at_once(lambda number: remove_table(tmp_path, "authorities", f"a0x{number}"))
        == [0] * SEVERAL
    )
    assert len(read_settings(tmp_path).authorities) == SEVERAL


def test_settings_are_locked_from_reading_to_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a lock, what another process writes between the two is lost."""
    real = settings._document

    def read(home: Path) -> object:
        document = real(home)
        monkeypatch.setattr(settings, "_document", real)
        status = in_child(lambda: write_at_once(home))
        assert status != 0
        return document

    monkeypatch.setattr(settings, "_document", read)
    write_setting(tmp_path, "batch_entries", 7)
    assert read_settings(tmp_path).batch_entries == 7


def write_at_once(home: Path) -> None:
    from witnesstree.ledger.store.disk import locked

    with locked(home / settings.LOCK, 0.1):
        write_setting(home, "patience", 9)


def test_a_trust_store_has_no_more_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truststore, "MAX_CERTIFICATES", 3)
    certificates = []
    for number in range(SEVERAL):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        LocalAuthority.create(folder, clock())
        certificates.append(truststore_entry(folder))
    store = tmp_path / "trust"
    statuses = at_once(lambda number: truststore.add_certificate(store, certificates[number]))
    assert statuses.count(0) == 3
    assert len(read_stored(store)) == 3


def truststore_entry(folder: Path) -> truststore.Stored:
    from witnesstree.anchor.tsa.local import trusted_root

    root = trusted_root(folder)
    return truststore.Stored(
        root.certificate,
        truststore.Kind.ROOT,
        Assurance.PRIVATE,
        "test",
        clock().replace(microsecond=0),
    )


def test_a_file_that_two_processes_submit_is_submitted_once(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "ledger.test/once")
    file = tmp_path / "digests"
    file.write_bytes(b"x")
    part = sha256(b"1").digest()
    with open_ledger(home.folder) as ledger:
        ours, theirs = (Submission(ledger, file.stat()) for _ in range(2))
        ours.submit(part)
        with pytest.raises(Conflict, match="another process submits the same file"):
            theirs.submit(part)
        ours.submit(sha256(b"2").digest())
        assert ours.count == 2
        again = Submission(ledger, file.stat())
        assert again.count == 2
        ours.forget()


def test_a_database_that_fails_is_not_booked_as_the_authority_s_fault(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds it locked for longer than our patience, just when the answer is to be
    kept.
    """
    world = FakeWorld(tmp_path / "home", clock, Limits(10, timedelta(hours=1), patience=0.2))
    with world.open() as ledger, closing(sqlite3.connect(world.home.database)) as other:
        ledger.submit(b"".join(digests("booked", 1)))
        ledger.close()
        stamp = world.authority.stamp

        def locking(root: bytes) -> Stamp:
            other.execute("BEGIN IMMEDIATE")
            return stamp(root)

        @contextmanager
        def write(metadata: Metadata) -> Iterator[Transaction]:
            try:
                with original(metadata) as transaction:
                    yield transaction
            except Conflict:
                other.rollback()
                raise

        with monkeypatch.context() as patch:
            original = Metadata.write
            patch.setattr(Metadata, "write", write)
            patch.setattr(world.authority, "stamp", locking)
            with pytest.raises(Conflict):
                ledger.outbox.work()
        (job,) = (job for job in ledger.outbox.unfinished() if job.kind is JobKind.STAMP)
        assert (job.attempts, job.last_error) == (0, None)
        assert ledger.outbox.work() == []
