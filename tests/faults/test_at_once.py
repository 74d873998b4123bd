"""What is read, changed and written again in a home loses nothing where several processes do it at
once.
"""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from fakes import in_child

from witnesstree.anchor import settings, truststore
from witnesstree.anchor.settings import add_table, read_settings, remove_table, write_setting
from witnesstree.anchor.truststore import read_stored
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.wiring import clock, make_home, open_ledger
from witnesstree.cli.submission import Submission
from witnesstree.ledger.base.errors import Conflict
from witnesstree.ledger.base.report import Assurance

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
