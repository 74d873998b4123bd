"""The metadata store on both databases: append-only for every program, one writer at a time, and
damage that is named."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import START
from fakes import digests
from servers.postgresql import PostgreSQL

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import AS_TEXT, message
from witnesstree.ledger.base.ports import SignedTransaction
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.store.database.schema import APPEND_ONLY, VERSION
from witnesstree.ledger.store.database.values import (
    UNSCHEDULED,
    Alarm,
    AlarmKind,
    BatchState,
    Job,
    JobKind,
    JobState,
    KeptRecord,
    OpenBatch,
    Renewal,
    RenewalCounts,
    SealedBatch,
    SentTransaction,
)
from witnesstree.ledger.store.metadata import Metadata

ROOT, NODE_HASH, HASH = digests("metadata", 3)
ORIGIN = "ledger.test/metadata"
OPEN = OpenBatch(1, BatchState.OPEN, START, "opening", b"header", count=4, crc32=2**32 - 1)
SEALED = SealedBatch(0, 3, ROOT, START, "opening", None, 0, "statement")
SIGNED = SignedTransaction(b"raw", HASH, bytes(20), 2**62)
SAID = message("os-enoent")
STAMP = Stamp(b"token", certificates=(b"certificate",), crls=(b"crl",))
KEPT = KeptRecord(0, 0, "tsa", 1, START, b"record")
JOBS = [(JobKind.STAMP, "tsa"), (JobKind.ANCHOR, "chain"), (JobKind.PUBLISH, "ipfs")]


@dataclass(frozen=True)
class Place:
    """An empty database, and how a foreign program comes to it."""

    name: Path | str
    connect: Callable[[], AbstractContextManager[Any]]
    shown: str
    refusal: type[Exception]

    @property
    def is_file(self) -> bool:
        return isinstance(self.name, Path)

    def run(self, *statements: str) -> None:
        with self.connect() as foreign:
            for statement in statements:
                foreign.execute(statement)

    def drop_guard(self, table: str, verb: str) -> str:
        return (
            f"DROP TRIGGER {table}_no_{verb}"
            if self.is_file
            else f"DROP TRIGGER {table}_append_only ON {table}"
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))])
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    if request.param == "sqlite":
        return Place(
            path,
            lambda: closing(sqlite3.connect(path, isolation_level=None)),
            str(path),
            sqlite3.IntegrityError,
        )
    server: PostgreSQL = request.getfixturevalue("postgres")
    schema = server.new_schema()
    shown = f"postgresql://{server.folder}:{server.port}/postgres"
    return Place(
        server.url(schema), lambda: server.connect(schema), shown, psycopg.errors.IntegrityError
    )


@contextmanager
def made(name: Path | str) -> Iterator[Metadata]:
    with closing(Metadata.create(name, ORIGIN, "checkpoint 0")) as metadata:
        yield metadata


@pytest.fixture
def metadata(place: Place) -> Iterator[Metadata]:
    with made(place.name) as metadata:
        yield metadata


def fill(metadata: Metadata) -> None:
    """Put one row at least into every table."""
    with metadata.write() as transaction:
        transaction.seal(SEALED, [(0, 0, NODE_HASH)], "checkpoint 1", JOBS)
        transaction.open_batch(OPEN)
        jobs = {job.kind: job for job in transaction.unfinished_jobs()}
        transaction.finish_stamp(jobs[JobKind.STAMP], STAMP)
        transaction.store_transaction("chain", SIGNED, START, [jobs[JobKind.ANCHOR]])
        transaction.finish_anchor(jobs[JobKind.ANCHOR], "anchor")
        transaction.finish_publish(jobs[JobKind.PUBLISH], "cid")
        transaction.raise_alarm(Alarm(AlarmKind.LOST, "chain", SAID, START))
        transaction.keep_record(KEPT)
        transaction.add_cosignature(1, "witness", b"id", "line\n")
        transaction.add_key_note(1, "note")
        assert transaction.keep_direct_token(NODE_HASH, "tsa", STAMP)


@pytest.fixture
def filled(metadata: Metadata) -> Metadata:
    fill(metadata)
    return metadata


@pytest.fixture
def file(path: Path) -> Path:
    """A database file with a row in every table."""
    with made(path) as metadata:
        fill(metadata)
    return path


def test_what_is_written_is_read_back(filled: Metadata, place: Place) -> None:
    filled.close()
    with closing(Metadata.open(place.name, patience=1, origin=ORIGIN)) as again:
        with again.read() as transaction:
            assert transaction.open_batches() == [OPEN]
            assert transaction.batch(0) == SEALED
            assert list(transaction.batches()) == [SEALED]
            assert transaction.batch(1) is None
            assert transaction.batch_sizes() == [(0, 3)]
            assert (
                transaction.batch_count(),
                transaction.entry_count(),
                transaction.next_sequence(),
            ) == (1, 2, 2)
            assert transaction.log_node(0, 0) == NODE_HASH
            assert (transaction.log_node_count(), transaction.checkpoint_count()) == (1, 2)
            assert (
                transaction.checkpoint(),
                transaction.checkpoint(0),
                transaction.checkpoint(1),
            ) == (
                "checkpoint 1",
                "checkpoint 0",
                "checkpoint 1",
            )
            assert transaction.tokens(0) == [("tsa", STAMP)]
            assert transaction.direct_tokens(NODE_HASH) == [("tsa", STAMP)]
            assert transaction.direct_tokens(bytes(32)) == []
            assert transaction.directly_stamped() == [NODE_HASH]
            assert transaction.told(0).has_direct is True
            assert transaction.anchors(0) == [("chain", "anchor")]
            assert transaction.published(0) == ["cid"]
            assert transaction.transactions("chain") == [SentTransaction(SIGNED, START)]
            assert transaction.transactions("another") == []
            assert transaction.alarms() == [Alarm(AlarmKind.LOST, "chain", SAID, START)]
            assert transaction.witnesses() == {(0, kind, target) for kind, target in JOBS}
            assert transaction.unfinished_jobs() == []
            assert {(job.kind, job.state) for job in transaction.jobs()} == {
                (kind, JobState.DONE) for kind, _ in JOBS
            }
        assert again.origin() == ORIGIN
        assert again.version() == VERSION
        assert again.problems() == []
        assert again.place == place.shown


def test_an_empty_ledger(metadata: Metadata) -> None:
    with metadata.read() as transaction:
        assert (
            transaction.batch_count(),
            transaction.entry_count(),
            transaction.next_sequence(),
        ) == (0, 0, 0)
        with pytest.raises(Damaged, match="lacks the hash at level 0, position 0"):
            transaction.log_node(0, 0)
        with pytest.raises(Damaged, match="lacks a checkpoint"):
            transaction.checkpoint(5)


def test_an_open_batch_grows_and_freezes(metadata: Metadata) -> None:
    with metadata.write() as transaction:
        transaction.open_batch(OPEN)
        transaction.set_count(1, 2**40, 7, 3)
        transaction.freeze(1)
    with metadata.read() as transaction:
        assert transaction.open_batches() == [
            OpenBatch(1, BatchState.FROZEN, START, "opening", b"header", 2**40, 7, 3)
        ]


def test_a_job_goes_through_its_states(metadata: Metadata) -> None:
    later = START + timedelta(seconds=5)
    with metadata.write() as transaction:
        transaction.add_job(0, JobKind.ANCHOR, "chain")
        (job,) = transaction.unfinished_jobs()
        assert job == Job(0, JobKind.ANCHOR, "chain", JobState.WAITING, None, 0, None, None)
        transaction.note_attempt(job, retry_at=later, error=SAID)
        (job,) = transaction.unfinished_jobs()
        sent = transaction.store_transaction("chain", SIGNED, START, [job])
        (job,) = transaction.unfinished_jobs(JobKind.ANCHOR, "chain")
        assert job == Job(0, JobKind.ANCHOR, "chain", JobState.SIGNED, HASH, 1, SAID, later)
        transaction.note_attempt(job, retry_at=later, error=None)
        (job,) = transaction.unfinished_jobs()
        assert (job.attempts, job.last_error) == (0, None)
        transaction.release_transaction(job)
        (job,) = transaction.unfinished_jobs()
        assert (job.state, job.transaction) == (JobState.WAITING, None)
        assert transaction.transactions("chain") == [sent]
        transaction.finish_anchor(job, "anchor")
        assert transaction.unfinished_jobs() == []


def test_transactions_with_one_account_and_nonce_are_alternatives(metadata: Metadata) -> None:
    def signed(name: bytes, sender: bytes, nonce: int) -> SignedTransaction:
        return SignedTransaction(name, sha256(name).digest(), sender, nonce)

    us, them = bytes(20), bytes([1]) * 20
    first, dearer, next_, theirs = (
        signed(b"first", us, 2**62),
        signed(b"dearer", us, 2**62),
        signed(b"next", us, 7),
        signed(b"theirs", them, 2**62),
    )
    with metadata.write() as transaction:
        sent = [
            transaction.store_transaction("chain", each, START, [])
            for each in (first, dearer, next_, theirs)
        ]
        transaction.store_transaction("another", first, START, [])
    with metadata.read() as transaction:
        assert {each.transaction.raw for each in transaction.alternatives("chain", sent[0])} == {
            b"first",
            b"dearer",
        }
        assert [each.transaction.raw for each in transaction.alternatives("chain", sent[2])] == [
            b"next"
        ]
        assert [
            each.transaction.raw
            for each in transaction.transactions("chain", [next_.hash, bytes(32)])
        ] == [b"next"]
        assert transaction.transactions("chain", []) == []
        assert transaction.chains() == ["another", "chain"]


def test_jobs_come_in_order(metadata: Metadata) -> None:
    """By bytes, whatever language the database sorts by."""
    with metadata.write() as transaction:
        for kind, target in (
            (JobKind.ANCHOR, "b"),
            (JobKind.STAMP, "b-a"),
            (JobKind.STAMP, "ba"),
            (JobKind.STAMP, "b"),
            (JobKind.STAMP, "a"),
        ):
            transaction.add_job(0, kind, target)
        assert [(job.kind, job.target) for job in transaction.unfinished_jobs()] == [
            *((JobKind.STAMP, target) for target in ("a", "b", "b-a", "ba")),
            (JobKind.ANCHOR, "b"),
        ]


def test_an_alarm_keeps_its_time_until_it_is_taken_back(metadata: Metadata) -> None:
    first, again = (
        Alarm(AlarmKind.CLOCK, "tsa", message(code), START + timedelta(hours=i))
        for i, code in enumerate(("slow", "slower"))
    )
    with metadata.write() as transaction:
        transaction.raise_alarm(first)
        transaction.raise_alarm(again)
        assert transaction.alarms() == [Alarm(AlarmKind.CLOCK, "tsa", message("slower"), START)]
        transaction.clear_alarm(again)
        assert transaction.alarms() == []


def test_whatever_an_outside_part_says_can_be_kept(metadata: Metadata) -> None:
    """PostgreSQL takes no NUL, and no database takes what is no text."""
    text = "证据\0 \udcff\ud800 \U0001f333 'quoted' %s :name"
    said = message("said", text=text, error=Unreachable(text), list=[text, 7, None])
    with metadata.write() as transaction:
        transaction.add_job(0, JobKind.STAMP, "tsa")
        transaction.note_attempt(transaction.unfinished_jobs()[0], retry_at=START, error=said)
        transaction.raise_alarm(Alarm(AlarmKind.BAD_ANSWER, "tsa", said, START))
    with metadata.read() as transaction:
        assert transaction.unfinished_jobs()[0].last_error == said
        assert transaction.alarms()[0].text == said


@pytest.mark.parametrize(
    "text", ["nothing answered", "7", '"quoted"', "{}", '{"code": 7}', "[" * 9999]
)
def test_what_older_versions_stored_is_shown_as_text(
    metadata: Metadata, place: Place, text: str
) -> None:
    with metadata.write() as transaction:
        transaction.add_job(0, JobKind.STAMP, "tsa")
    place.run(
        f"INSERT INTO alarms VALUES ('clock', 'tsa', '{text}', '{format_time(START)}')",
        f"UPDATE jobs SET last_error = '{text}'",
    )
    with metadata.read() as transaction:
        (alarm,), (job,) = transaction.alarms(), transaction.unfinished_jobs()
    assert alarm.text == job.last_error == message(AS_TEXT, text=text)


def test_a_block_that_fails_writes_nothing(metadata: Metadata) -> None:
    def fail() -> None:
        with metadata.write() as transaction:
            transaction.open_batch(OPEN)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with metadata.read() as transaction:
        assert transaction.open_batches() == []


def test_a_ledger_is_never_made_over_another(filled: Metadata, place: Place) -> None:
    with pytest.raises(Conflict, match="already holds a ledger"):
        Metadata.create(place.name, "ledger.test/another", "checkpoint")
    assert filled.origin() == ORIGIN
    assert filled.problems() == []


def test_another_ledgers_database_is_refused(metadata: Metadata, place: Place) -> None:
    with pytest.raises(
        InvalidInput,
        match=(
            f"holds the ledger {ORIGIN}, and this home belongs to ledger.test/another: name the"
            " database"
        ),
    ):
        Metadata.open(place.name, patience=1, origin="ledger.test/another")


# Append-only


@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize("is_recursive", [False, True])
def test_no_program_changes_what_was_stated_in_sqlite(
    file: Path, table: str, is_recursive: bool
) -> None:
    with closing(sqlite3.connect(file)) as foreign:
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
            (
                (
                    f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {columns[0]} ="
                    f" {columns[0]}"
                ),
                rows[0],
            ),
        ]
        for statement, values in statements:
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                foreign.execute(statement, values)
        foreign.rollback()
        assert foreign.execute(f"SELECT * FROM {table}").fetchall() == rows


@pytest.mark.real("postgres")
@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_no_program_changes_what_was_stated_in_postgresql(
    postgres: PostgreSQL, table: str, role: str
) -> None:
    schema = postgres.new_schema()
    with made(postgres.url(schema)) as metadata:
        fill(metadata)
    with postgres.connect(schema) as foreign:
        # A superuser turns ordinary triggers off so.
        foreign.execute(f"SET session_replication_role = {role}")
        rows = foreign.execute(f"SELECT * FROM {table}").fetchall()
        columns = [
            f'"{column.name}"'
            for column in foreign.execute(f"SELECT * FROM {table}").description or ()
        ]
        assert rows
        marks = ",".join(["%s"] * len(columns))
        keys = foreign.execute(
            "SELECT string_agg(quote_ident(attname), ',') FROM pg_index JOIN pg_attribute ON"
            " attrelid = indrelid AND attnum = ANY(indkey) WHERE indisprimary AND indrelid ="
            f" '{table}'::regclass"
        ).fetchone()
        assert keys
        statements: list[tuple[str, tuple[object, ...]]] = [
            *((f"UPDATE {table} SET {column} = {column}", ()) for column in columns),
            (f"UPDATE {table} SET {columns[0]} = {columns[0]} WHERE false", ()),
            (f"DELETE FROM {table}", ()),
            (f"TRUNCATE {table}", ()),
            (
                (
                    f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({keys[0]}) DO UPDATE SET"
                    f" {columns[0]} = EXCLUDED.{columns[0]}"
                ),
                rows[0],
            ),
        ]
        for statement, values in statements:
            with pytest.raises(psycopg.errors.IntegrityError, match="append-only"):
                foreign.execute(statement, values)
        with pytest.raises(psycopg.errors.UniqueViolation):
            foreign.execute(f"INSERT INTO {table} VALUES ({marks})", rows[0])
        assert foreign.execute(f"SELECT * FROM {table}").fetchall() == rows


def test_a_batch_of_another_number_cannot_take_a_log_entry(filled: Metadata, place: Place) -> None:
    """REPLACE deletes whatever stands in its way, also by a unique column that is no key."""
    filled.close()
    verb = "REPLACE" if place.is_file else "INSERT"
    with place.connect() as foreign:
        with pytest.raises(place.refusal):
            foreign.execute(
                f"{verb} INTO batches SELECT 77, count, root, closed, opening, header, log_index,"
                " statement, fillers FROM batches"
            )
        assert foreign.execute("SELECT sequence FROM batches").fetchall() == [(0,)]


def test_our_own_second_row_is_damage(filled: Metadata, place: Place) -> None:
    with (
        pytest.raises(
            Damaged, match=r"refused a row: .*(A rule of the table forbids it|duplicate key)"
        ) as caught,
        filled.write() as transaction,
    ):
        transaction.add_checkpoint(0, "another")
    assert place.shown in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_a_guard_that_is_gone_is_a_problem(
    metadata: Metadata, place: Place, table: str, verb: str
) -> None:
    place.run(place.drop_guard(table, verb))
    (problem,) = metadata.problems()
    trigger = f"{table}_no_{verb}" if place.is_file else f"{table}_append_only"
    assert problem == message("guard-altered", trigger=trigger, table=table)


ALTERED = {
    "off": ["ALTER TABLE tokens DISABLE TRIGGER tokens_append_only"],
    "not always": ["ALTER TABLE tokens ENABLE TRIGGER tokens_append_only"],
    "fewer verbs": [
        "DROP TRIGGER tokens_append_only ON tokens",
        (
            "CREATE TRIGGER tokens_append_only BEFORE DELETE OR UPDATE ON tokens FOR EACH STATEMENT"
            " EXECUTE FUNCTION append_only()"
        ),
        "ALTER TABLE tokens ENABLE ALWAYS TRIGGER tokens_append_only",
    ],
    "conditional": [
        "DROP TRIGGER tokens_append_only ON tokens",
        (
            "CREATE TRIGGER tokens_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON tokens WHEN"
            " (false) EXECUTE FUNCTION append_only()"
        ),
        "ALTER TABLE tokens ENABLE ALWAYS TRIGGER tokens_append_only",
    ],
}


def test_an_altered_guard_is_a_problem_in_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as foreign:
        foreign.execute("DROP TRIGGER tokens_no_update")
        foreign.execute(
            "CREATE TRIGGER tokens_no_update BEFORE UPDATE ON tokens WHEN 0 BEGIN SELECT"
            " RAISE(ABORT, 'tokens is append-only'); END"
        )
    with closing(Metadata.open(file, patience=1)) as metadata:
        assert metadata.problems() == [
            message("guard-altered", trigger="tokens_no_update", table="tokens")
        ]


@pytest.mark.real("postgres")
@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_guard_is_a_problem_in_postgresql(postgres: PostgreSQL, how: str) -> None:
    schema = postgres.new_schema()
    with made(postgres.url(schema)) as metadata, postgres.connect(schema) as foreign:
        for statement in ALTERED[how]:
            foreign.execute(statement.encode())
        assert metadata.problems() == [
            message("guard-altered", trigger="tokens_append_only", table="tokens")
        ]


@pytest.mark.real("postgres")
def test_a_function_that_lets_everything_pass_is_a_problem(postgres: PostgreSQL) -> None:
    schema = postgres.new_schema()
    with made(postgres.url(schema)) as metadata, postgres.connect(schema) as foreign:
        foreign.execute(
            "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
            " RETURN NULL; END'"
        )
        assert len(metadata.problems()) == len(APPEND_ONLY)


# Other versions, other processes


def test_a_newer_version_is_refused(metadata: Metadata, place: Place) -> None:
    metadata.close()
    place.run(f"UPDATE alembic_version SET version_num = '{VERSION + 1}'")
    with pytest.raises(
        InvalidInput,
        match=f"version {VERSION + 1}, and this witnesstree reads versions up to {VERSION}: ",
    ):
        Metadata.open(place.name, patience=1)


def test_an_older_version_has_to_be_migrated(metadata: Metadata, place: Place) -> None:
    metadata.close()
    place.run("UPDATE alembic_version SET version_num = '1'")
    with pytest.raises(
        InvalidInput,
        match=f"has version 1, and this witnesstree needs version {VERSION}: run `witnesstree mig",
    ):
        Metadata.open(place.name, patience=1)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('7')",
        "UPDATE alembic_version SET version_num = 'x'",
        "UPDATE alembic_version SET version_num = ''",
        "UPDATE alembic_version SET version_num = '99999999999999999999'",
        "DROP TABLE alembic_version",
    ],
)
def test_a_ledger_whose_version_cannot_be_told_is_refused(
    metadata: Metadata, place: Place, harm: str
) -> None:
    metadata.close()
    place.run(harm)
    with pytest.raises(Damaged, match="does not say which version"):
        Metadata.open(place.name, patience=1)


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Let another process write for a while."""
    with closing(Metadata.open(place.name, patience=1)) as other, other.write():
        yield


def test_a_locked_database_is_a_conflict_after_its_patience(
    metadata: Metadata, place: Place
) -> None:
    metadata.close()
    with closing(Metadata.open(place.name, patience=0.1)) as patient:
        with locked(place):
            with pytest.raises(Conflict, match=r"locked for 0\.1 seconds"), patient.write():
                pytest.fail("two wrote at once")
            # Who only reads does not wait.
            with patient.read() as transaction:
                assert transaction.batch_count() == 0
        with patient.write() as transaction:
            transaction.open_batch(OPEN)


def test_no_patience_is_no_endless_wait(metadata: Metadata, place: Place) -> None:
    with (
        closing(Metadata.open(place.name, patience=0)) as hasty,
        locked(place),
        pytest.raises(Conflict),
        hasty.write(),
    ):
        pytest.fail("two wrote at once")


def test_a_reader_sees_one_state_while_another_writes(metadata: Metadata, place: Place) -> None:
    writer = Metadata.open(place.name, patience=1)
    with metadata.read() as reading:
        assert reading.open_batches() == []
        with writer.write() as transaction:
            transaction.open_batch(OPEN)
        assert reading.open_batches() == []
    with metadata.read() as reading:
        assert reading.open_batches() == [OPEN]
    writer.close()


def test_writers_wait_for_each_other(metadata: Metadata, place: Place) -> None:
    others = [Metadata.open(place.name, patience=30) for _ in range(4)]
    numbers: list[int] = []

    def open_some(other: Metadata) -> None:
        for _ in range(10):
            with other.write() as transaction:
                sequence = transaction.next_sequence()
                transaction.open_batch(
                    OpenBatch(sequence, BatchState.FROZEN, START, "", None, 0, 0)
                )
                numbers.append(sequence)

    threads = [threading.Thread(target=open_some, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(numbers) == list(range(40))


def test_a_full_database_is_a_storage_failure(path: Path) -> None:
    with made(path) as metadata:
        with metadata.read() as transaction:
            connection = transaction._connection
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with (
            pytest.raises(StorageFailure, match="No space left on device; make room") as caught,
            metadata.write() as transaction,
        ):
            transaction.add_checkpoint(1, "x" * 400_000)
        assert "\n" not in str(caught.value)
        with metadata.read() as transaction:
            assert transaction.checkpoint() == "checkpoint 0"


# Damage


def test_a_missing_database_is_damage(path: Path) -> None:
    with pytest.raises(Damaged, match="is missing: restore it"):
        Metadata.open(path, patience=1)
    assert not path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"x", b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5000, bytes(8192)]
)
def test_what_is_no_database_is_damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Damaged) as caught:
        Metadata.open(path, patience=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["tokens", "log_nodes", "jobs"])
def test_a_table_that_is_gone_is_damage(filled: Metadata, place: Place, table: str) -> None:
    place.run(f"DROP TABLE {table}")
    with pytest.raises(
        Damaged, match=f"is damaged: .*({table}|Its tables are not those).*; run `witnesstree fsck`"
    ):
        read_everything(filled)


def test_any_overwritten_page_gives_values_or_damage(file: Path) -> None:
    """Pages are overwritten one by one; whatever comes of it, it is one documented error, or a
    database that still answers."""
    whole = file.read_bytes()
    outcomes = set()
    for page in range(len(whole) // 4096):
        for filling in (b"\x00", b"\xff", b"\x0d"):
            for offset, size in ((0, 4096), (0, 100), (2048, 2048), (4000, 96)):
                start = page * 4096 + offset
                file.write_bytes(whole[:start] + filling * size + whole[start + size :])
                outcomes.add(read_all(file))
    assert Damaged in outcomes
    assert outcomes <= {None, Damaged, InvalidInput, StorageFailure}


@pytest.mark.parametrize("stride", [33, pytest.param(11, marks=pytest.mark.rehearsal)])
def test_any_flipped_byte_gives_values_or_damage(file: Path, stride: int) -> None:
    whole = file.read_bytes()
    outcomes = set()
    for at in [i for i in range(len(whole)) if whole[i]][::stride]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        outcomes.add(read_all(file))
    assert outcomes <= {None, Damaged, InvalidInput, StorageFailure}


def read_all(path: Path) -> type[WitnesstreeError] | None:
    """Read everything there is in a file; return the documented error that came of it."""
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    return outcome(path)


def outcome(name: Path | str) -> type[WitnesstreeError] | None:
    try:
        with closing(Metadata.open(name, patience=0.1)) as metadata:
            read_everything(metadata)
    except WitnesstreeError as error:
        return type(error)
    return None


def read_everything(metadata: Metadata) -> None:
    metadata.problems()
    metadata.origin()
    with metadata.read() as transaction:
        transaction.open_batches()
        list(transaction.batches())
        transaction.unfinished_jobs()
        transaction.jobs()
        transaction.tokens(0)
        transaction.anchors(0)
        transaction.published(0)
        transaction.transactions("chain")
        transaction.alarms()
        transaction.records(0)
        transaction.renewals(0)
        transaction.cosignatures(1)
        transaction.key_notes()
        transaction.direct_tokens(NODE_HASH)
        transaction.log_node(0, 0)
        transaction.checkpoint()
        transaction.entry_count()
        transaction.next_sequence()


WRONG: dict[str, dict[str, object]] = {
    "open_batches": {
        "state": "ajar",
        "opened": "yesterday",
        "opening": b"\x00",
        "header": "text",
        "count": "many",
        "crc32": b"\x00",
    },
    "batches": {
        "count": "many",
        "root": "text",
        "closed": "today",
        "opening": b"\x00",
        "header": "text",
        "statement": b"\x00",
    },
    "jobs": {
        "state": 7,
        "transaction": "text",
        "attempts": "some",
        "last_error": b"\x00",
        "retry_at": "soon",
    },
    "log_nodes": {"hash": "text"},
    "checkpoints": {"note": b"\x00"},
    "tokens": {"token": "text", "vouchers": "no JSON"},
    "direct_tokens": {"token": "text", "vouchers": "no JSON"},
    "anchors": {"anchor": b"\x00"},
    "published": {"cid": b"\x00"},
    "transactions": {
        "raw": "text",
        "hash": "text",
        "sender": "text",
        "nonce": "many",
        "signed": "today",
    },
    "alarms": {"kind": "fire", "since": "today", "text": b"\x00"},
    "ledger": {"origin": b"\x00"},
    "records": {"number": "one", "renewed": "today", "record": "text"},
    "renewals": {"due": "soon"},
    "cosignatures": {"line": b"\x00"},
    "keys": {"note": b"\x00"},
}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [(table, *pair) for table, columns in WRONG.items() for pair in columns.items()],
)
def test_a_value_of_another_kind_is_damage(
    file: Path, table: str, column: str, value: object
) -> None:
    with closing(Metadata.open(file, patience=1)) as metadata, metadata.write() as transaction:
        transaction.add_job(0, JobKind.ANCHOR, "later")
    with closing(sqlite3.connect(file)) as foreign:
        foreign.execute(f"DROP TRIGGER IF EXISTS {table}_no_update")
        foreign.execute(f'UPDATE {table} SET "{column}" = ?', (value,))
        foreign.commit()
    assert read_all(file) is Damaged


MISREAD = [
    ("open_batches", "state", "ajar"),
    ("open_batches", "opened", "yesterday"),
    ("batches", "closed", "today"),
    ("jobs", "state", "7"),
    ("jobs", "retry_at", "soon"),
    ("tokens", "vouchers", "no JSON"),
    ("direct_tokens", "vouchers", "no JSON"),
    ("transactions", "signed", "today"),
    ("alarms", "kind", "fire"),
    ("records", "renewed", "today"),
    ("renewals", "due", "soon"),
]


@pytest.mark.real("postgres")
@pytest.mark.parametrize(("table", "column", "value"), MISREAD)
def test_a_text_that_says_nothing_is_damage(
    postgres: PostgreSQL, table: str, column: str, value: str
) -> None:
    """PostgreSQL itself keeps a column's type, so only texts can be wrong."""
    schema = postgres.new_schema()
    with made(postgres.url(schema)) as metadata:
        fill(metadata)
        with metadata.write() as transaction:
            transaction.add_job(0, JobKind.ANCHOR, "later")
        with postgres.connect(schema) as foreign:
            foreign.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
            foreign.execute(f"UPDATE {table} SET {column} = '{value}'".encode())
        with pytest.raises(Damaged, match=f"a row of the table {table} cannot be read"):
            read_everything(metadata)


# Direct tokens


def test_of_two_direct_tokens_of_one_authority_the_first_stays(metadata: Metadata) -> None:
    other = replace(STAMP, token=b"another")
    with metadata.write() as transaction:
        assert transaction.keep_direct_token(NODE_HASH, "tsa", STAMP)
        assert not transaction.keep_direct_token(NODE_HASH, "tsa", other)
        assert transaction.keep_direct_token(NODE_HASH, "another", other)
        assert transaction.keep_direct_token(bytes(32), "tsa", other)
    with metadata.read() as transaction:
        assert transaction.direct_tokens(NODE_HASH) == [("another", other), ("tsa", STAMP)]
        assert transaction.directly_stamped() == sorted([bytes(32), NODE_HASH])


# Renewals


def test_records_are_numbered_and_the_newest_counts(filled: Metadata) -> None:
    others = [
        replace(KEPT, number=2, record=b"second"),
        replace(KEPT, position=5),
        replace(KEPT, authority="other"),
        replace(KEPT, sequence=1),
    ]
    with filled.write() as transaction:
        for each in reversed(others):
            transaction.keep_record(each)
    with filled.read() as transaction:
        assert transaction.newest_records(0, 0) == [others[2], others[0]]
        assert transaction.newest_records(0, 5) == [others[1]]
        assert transaction.newest_records(0, 4) == []
        assert transaction.records(0) == [others[2], KEPT, others[0], others[1]]
        assert transaction.renewed_sequences() == {0, 1}


def test_a_token_is_scheduled_with_it_and_a_schedule_is_one_row(filled: Metadata) -> None:
    first, other = Renewal(UNSCHEDULED, 0, 0, "tsa"), Renewal(START, 0, 3, "tsa")
    with filled.read() as transaction:
        assert transaction.renewals(0) == transaction.due_renewals(UNSCHEDULED, 9) == [first]
        assert transaction.renewal_counts(START, START) == RenewalCounts(0, 0, 0, None)
    moved = replace(first, due=START + timedelta(days=1))
    with filled.write() as transaction:
        transaction.schedule(moved)
        transaction.schedule(other)
    with filled.read() as transaction:
        assert transaction.renewals(0) == [other, moved]
        assert transaction.renewals(1) == []
        assert (
            transaction.due_renewals(START, 9) == transaction.due_renewals(moved.due, 1) == [other]
        )
        assert transaction.renewal_counts(START, START - timedelta(seconds=1)) == RenewalCounts(
            2, 1, 0, moved.due
        )
        assert transaction.renewal_counts(moved.due, START) == RenewalCounts(2, 2, 1, None)
