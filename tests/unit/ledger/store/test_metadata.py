"""The metadata store: append-only for every program, one writer at a time, and damage that is named."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import START
from fakes import digests

from witnesstree.ledger.errors import Conflict, Damaged, InvalidInput, StorageFailure, WitnesstreeError
from witnesstree.ledger.store.metadata import (
    APPEND_ONLY,
    BatchState,
    Job,
    JobKind,
    JobState,
    Metadata,
    OpenBatch,
    SealedBatch,
)

ROOT, NODE_HASH = digests("metadata", 2)
OPEN = OpenBatch(1, BatchState.OPEN, START, "opening", b"header", count=4, crc32=2**32 - 1)
SEALED = SealedBatch(0, 3, ROOT, START, "opening", None, 0, "statement")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def metadata(path: Path) -> Iterator[Metadata]:
    metadata = Metadata.create(path, "ledger.test/metadata", "checkpoint 0")
    yield metadata
    metadata.close()


@pytest.fixture
def filled(metadata: Metadata) -> Metadata:
    """One row at least in every table."""
    with metadata.write() as transaction:
        transaction.seal(SEALED, [(0, 0, NODE_HASH)], "checkpoint 1", [(JobKind.STAMP, "tsa"), (JobKind.ANCHOR, "chain")])
        transaction.open_batch(OPEN)
        stamp, anchor = transaction.unfinished_jobs()
        transaction.finish_stamp(stamp, b"token")
        transaction.finish_anchor(anchor, "anchor")
    return metadata


def test_what_is_written_is_read_back(filled: Metadata, path: Path) -> None:
    filled.close()
    again = Metadata.open(path, patience=1)
    with again.read() as transaction:
        assert transaction.open_batches() == [OPEN]
        assert transaction.batch(0) == SEALED
        assert list(transaction.batches()) == [SEALED]
        assert transaction.batch(1) is None
        assert (transaction.batch_count(), transaction.entry_count(), transaction.next_sequence()) == (1, 2, 2)
        assert transaction.log_node(0, 0) == NODE_HASH
        assert (transaction.checkpoint(), transaction.checkpoint(0), transaction.checkpoint(1)) == ("checkpoint 1", "checkpoint 0", "checkpoint 1")
        assert transaction.tokens(0) == [("tsa", b"token")]
        assert transaction.anchors(0) == [("chain", "anchor")]
        assert transaction.unfinished_jobs() == []
    assert again.origin() == "ledger.test/metadata"
    assert again.problems() == []
    again.close()


def test_a_job_goes_through_its_states(metadata: Metadata) -> None:
    with metadata.write() as transaction:
        transaction.add_job(0, JobKind.ANCHOR, "chain")
        (job,) = transaction.unfinished_jobs()
        assert job == Job(0, JobKind.ANCHOR, "chain", JobState.WAITING, None, 0, None)
        transaction.note_failure(job, "nothing answered")
        transaction.store_transaction(job, b"signed")
        (job,) = transaction.unfinished_jobs()
        assert job == Job(0, JobKind.ANCHOR, "chain", JobState.SIGNED, b"signed", 1, "nothing answered")
        transaction.finish_anchor(job, "anchor")
        assert transaction.unfinished_jobs() == []


def test_a_block_that_fails_writes_nothing(metadata: Metadata) -> None:
    def fail() -> None:
        with metadata.write() as transaction:
            transaction.open_batch(OPEN)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with metadata.read() as transaction:
        assert transaction.open_batches() == []


# Append-only


@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize("is_recursive", [False, True])
def test_no_program_changes_what_was_stated(filled: Metadata, path: Path, table: str, is_recursive: bool) -> None:
    filled.close()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute(f"PRAGMA recursive_triggers = {is_recursive}")
        columns = [row[1] for row in foreign.execute(f"PRAGMA table_info({table})")]
        rows = foreign.execute(f"SELECT * FROM {table}").fetchall()
        assert rows
        marks = ",".join("?" * len(columns))
        statements = [
            *((f"UPDATE {table} SET {column} = {column}", ()) for column in columns),
            (f"DELETE FROM {table}", ()),
            (f"REPLACE INTO {table} VALUES ({marks})", rows[0]),
            (f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows[0]),
            (f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {columns[0]} = {columns[0]}", rows[0]),
        ]
        for statement, values in statements:
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                foreign.execute(statement, values)
        foreign.rollback()
        assert foreign.execute(f"SELECT * FROM {table}").fetchall() == rows


def test_a_batch_of_another_number_cannot_take_a_log_entry(filled: Metadata, path: Path) -> None:
    """REPLACE deletes whatever stands in its way, also by a unique column that is no key."""
    filled.close()
    with closing(sqlite3.connect(path)) as foreign:
        row = list(foreign.execute("SELECT * FROM batches").fetchone())
        row[0] = 77
        with pytest.raises(sqlite3.IntegrityError):
            foreign.execute(f"REPLACE INTO batches VALUES ({','.join('?' * len(row))})", row)
        foreign.rollback()
        assert foreign.execute("SELECT sequence FROM batches").fetchall() == [(0,)]


def test_our_own_second_row_is_damage(filled: Metadata) -> None:
    with pytest.raises(Damaged, match="append-only"), filled.write() as transaction:
        transaction.add_checkpoint(0, "another")


# Other versions, other processes


def test_a_newer_version_is_refused(metadata: Metadata, path: Path) -> None:
    metadata.close()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("INSERT INTO ledger VALUES (2, 'x')")
        foreign.execute("DROP TRIGGER ledger_no_delete")
        foreign.execute("DELETE FROM ledger WHERE version = 1")
        foreign.commit()
    with pytest.raises(InvalidInput, match="version 2, this witnesstree reads up to 1: install a newer one"):
        Metadata.open(path, patience=1)


def test_a_ledger_without_a_version_is_refused(metadata: Metadata, path: Path) -> None:
    metadata.close()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("DROP TRIGGER ledger_no_delete")
        foreign.execute("DELETE FROM ledger")
        foreign.commit()
    with pytest.raises(Damaged):
        Metadata.open(path, patience=1)


def test_a_locked_database_is_a_conflict_after_its_patience(metadata: Metadata, path: Path) -> None:
    metadata.close()
    patient = Metadata.open(path, patience=0.1)
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(Conflict, match=r"locked for 0\.1 seconds"), patient.write():
            pytest.fail("two wrote at once")
        # Who only reads does not wait.
        with patient.read() as transaction:
            assert transaction.batch_count() == 0
        foreign.rollback()
    with patient.write() as transaction:
        transaction.open_batch(OPEN)
    patient.close()


def test_a_reader_sees_one_state_while_another_writes(metadata: Metadata, path: Path) -> None:
    writer = Metadata.open(path, patience=1)
    with metadata.read() as reading:
        assert reading.open_batches() == []
        with writer.write() as transaction:
            transaction.open_batch(OPEN)
        assert reading.open_batches() == []
    with metadata.read() as reading:
        assert reading.open_batches() == [OPEN]
    writer.close()


def test_writers_wait_for_each_other(metadata: Metadata, path: Path) -> None:
    others = [Metadata.open(path, patience=30) for _ in range(4)]
    numbers: list[int] = []

    def open_some(other: Metadata) -> None:
        for _ in range(10):
            with other.write() as transaction:
                sequence = transaction.next_sequence()
                transaction.open_batch(OpenBatch(sequence, BatchState.FROZEN, START, "", None, 0, 0))
                numbers.append(sequence)

    threads = [threading.Thread(target=open_some, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(numbers) == list(range(40))


def test_a_full_database_is_a_storage_failure(metadata: Metadata) -> None:
    with metadata.read() as transaction:
        connection = transaction._connection
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFailure, match="database or disk is full; make room") as caught, metadata.write() as transaction:
        transaction.add_checkpoint(1, "x" * 400_000)
    assert "\n" not in str(caught.value)
    with metadata.read() as transaction:
        assert transaction.checkpoint() == "checkpoint 0"


# Damage


def test_a_missing_database_is_damage(path: Path) -> None:
    with pytest.raises(Damaged, match="is missing: restore it"):
        Metadata.open(path, patience=1)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5000, bytes(8192)])
def test_what_is_no_database_is_damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Damaged) as caught:
        Metadata.open(path, patience=1)
    assert "\n" not in str(caught.value)


def test_any_overwritten_page_gives_values_or_damage(filled: Metadata, path: Path) -> None:
    """Pages are overwritten one by one; whatever comes of it, it is one documented error, or a database that still answers."""
    filled.close()
    whole = path.read_bytes()
    outcomes = set()
    for page in range(len(whole) // 4096):
        for filling in (b"\x00", b"\xff", b"\x0d"):
            for offset, size in ((0, 4096), (0, 100), (2048, 2048), (4000, 96)):
                start = page * 4096 + offset
                path.write_bytes(whole[:start] + filling * size + whole[start + size :])
                outcomes.add(read_all(path))
    assert Damaged in outcomes
    assert outcomes <= {None, Damaged, InvalidInput, StorageFailure}


def test_any_flipped_byte_gives_values_or_damage(filled: Metadata, path: Path) -> None:
    filled.close()
    whole = path.read_bytes()
    outcomes = set()
    for at in [i for i in range(len(whole)) if whole[i]][::7]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        outcomes.add(read_all(path))
    assert outcomes <= {None, Damaged, InvalidInput, StorageFailure}


def read_all(path: Path) -> type[WitnesstreeError] | None:
    """Read everything there is; return the documented error that came of it."""
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    try:
        metadata = Metadata.open(path, patience=0.1)
    except WitnesstreeError as error:
        return type(error)
    try:
        metadata.problems()
        metadata.origin()
        with metadata.read() as transaction:
            transaction.open_batches()
            list(transaction.batches())
            transaction.unfinished_jobs()
            transaction.tokens(0)
            transaction.anchors(0)
            transaction.log_node(0, 0)
            transaction.checkpoint()
            transaction.entry_count()
            transaction.next_sequence()
    except WitnesstreeError as error:
        return type(error)
    finally:
        metadata.close()
    return None


WRONG: dict[str, dict[str, object]] = {
    "open_batches": {"state": "ajar", "opened": "yesterday", "opening": b"\x00", "header": "text", "count": "many", "crc32": b"\x00"},
    "batches": {"count": "many", "root": "text", "closed": "today", "opening": b"\x00", "header": "text", "statement": b"\x00"},
    "jobs": {"state": 7, "transaction": "text", "attempts": "some", "last_error": b"\x00"},
    "log_nodes": {"hash": "text"},
    "checkpoints": {"note": b"\x00"},
    "tokens": {"token": "text"},
    "anchors": {"anchor": b"\x00"},
    "ledger": {"origin": b"\x00"},
}


@pytest.mark.parametrize(("table", "column", "value"), [(table, *pair) for table, columns in WRONG.items() for pair in columns.items()])
def test_a_value_of_another_kind_is_damage(filled: Metadata, path: Path, table: str, column: str, value: object) -> None:
    with filled.write() as transaction:
        transaction.add_job(0, JobKind.ANCHOR, "later")
    filled.close()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute(f"DROP TRIGGER IF EXISTS {table}_no_update")
        foreign.execute(f'UPDATE {table} SET "{column}" = ?', (value,))
        foreign.commit()
    assert read_all(path) is Damaged
