"""A home that the first release made is brought up to date: nothing is lost, nothing is half done,
and the schema is that of a new one."""

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
import rlp
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from fakes import Steps, When, digests, in_child, moments, strides
from servers.postgresql import PostgreSQL
from sqlalchemy import Engine, event

from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.tsa.local import trusted_root
from witnesstree.anchor.wiring import make_home, open_ledger, open_renewals
from witnesstree.cli.migrate import migrate_command
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, StorageFailure
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.proof.proof import format_proof, parse_anchor
from witnesstree.ledger.store.database.schema import VERSION
from witnesstree.ledger.store.database.schema import metadata as written_down
from witnesstree.ledger.store.database.values import UNSCHEDULED, JobKind, JobState, Renewal
from witnesstree.ledger.store.home import Home, create_home, open_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.store.migrations.upgrade import MIGRATIONS, Upgrade, upgrade
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.direct import stamp_directly
from witnesstree.ledger.work.fsck.check import check_ledger

OLD = Path(__file__).parents[3] / "vectors" / "home-v1" / "home.tar.gz"
SEALED = [f"batch {batch}, entry {i}" for batch in range(2) for i in range(3)]
WAITING = ["sent", "signed", "sealed"]
OPEN = "open"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return folder / "home"


@pytest.fixture
def home(unpacked: Path, tmp_path: Path) -> Home:
    shutil.copytree(unpacked, tmp_path / "home")
    return open_home(tmp_path / "home")


def digest(name: str) -> bytes:
    return sha256(f"version 1, {name}".encode()).digest()


def migrated(home: Home, patience: float = 1) -> Upgrade:
    return upgrade(home, home.database, patience)


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def run(*arguments: str) -> str:
    done = CliRunner().invoke(migrate_command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


# What is said


def test_an_old_home_is_refused_until_it_is_migrated(home: Home) -> None:
    with (
        pytest.raises(
            InvalidInput, match=rf"{home.database} has version 1, .*: run `witnesstree migrate`"
        ),
        open_ledger(home.folder),
    ):
        pytest.fail("it was opened")
    copy = f"{home.database}.v1"
    assert (
        run("--home", str(home.folder))
        == f"Brought the ledger from version 1 to {VERSION}. The old database is kept as {copy}.\n"
    )
    assert run("--home", str(home.folder)) == f"The ledger has version {VERSION} already.\n"
    with open_ledger(home.folder) as ledger:
        assert ledger.metadata.version() == VERSION


def test_the_answer_for_programs(home: Home) -> None:
    backup = f"{home.database}.v1"
    assert json.loads(run("--home", str(home.folder), "--json")) == {
        "from": 1,
        "to": VERSION,
        "backup": backup,
    }
    assert json.loads(run("--home", str(home.folder), "--json")) == {
        "from": VERSION,
        "to": VERSION,
        "backup": None,
    }


def test_the_newest_migration_is_the_version_of_the_schema() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_current_head() == str(VERSION)
    assert [each.revision for each in scripts.walk_revisions()] == [
        str(number) for number in range(VERSION, 0, -1)
    ]


def test_the_first_release_refuses_a_newer_database(home: Home, tmp_path: Path) -> None:
    """It asks for this number, and reads up to 1."""
    migrated(home)
    new = create_home(tmp_path / "new", "ledger.test/new", lambda _home: None)
    for path in (home.database, new.database):
        assert [version > 1 for (version,) in rows(path, "SELECT version FROM ledger")] == [True]


# The schema


def schema_of(path: Path) -> dict[str, object]:
    tables = [
        name
        for (name,) in rows(
            path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        )
    ]
    return {
        # Position, name, type, NOT NULL, default, place in the primary key.
        **{table: rows(path, f"PRAGMA table_info({table})") for table in tables},
        "indexes": {
            table: [index[2:] for index in rows(path, f"PRAGMA index_list({table})")]
            for table in tables
        },
        "triggers": rows(
            path,
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
        ),
    }


def test_a_migrated_home_has_the_schema_of_a_new_one(home: Home, tmp_path: Path) -> None:
    migrated(home)
    new = create_home(tmp_path / "new", "ledger.test/new", lambda _home: None)
    assert schema_of(home.database) == schema_of(new.database)
    with closing(Metadata.open(home.database, patience=1)) as metadata:
        assert metadata.problems() == []
        with metadata.read() as transaction:
            context = MigrationContext.configure(
                transaction._connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, written_down) == []


@pytest.mark.real("postgres")
def test_postgresql_has_the_schema_that_is_written_down(postgres: PostgreSQL) -> None:
    url = postgres.url(postgres.new_schema())
    with (
        closing(Metadata.create(url, "ledger.test/new", "checkpoint")) as metadata,
        metadata.read() as transaction,
    ):
        context = MigrationContext.configure(
            transaction._connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, written_down) == []


# What it holds


def test_what_was_stated_is_the_same_row_for_row(home: Home, unpacked: Path) -> None:
    old = shutil.copytree(unpacked, home.folder.with_name("untouched")) / "ledger.db"
    migrated(home)
    for table in ("log_nodes", "checkpoints", "anchors"):
        assert (
            rows(home.database, f"SELECT * FROM {table}")
            == rows(old, f"SELECT * FROM {table}")
            != []
        )
    # No leaf of theirs is a blinding leaf.
    for table in ("open_batches", "batches"):
        assert (
            rows(home.database, f"SELECT * FROM {table}")
            == rows(old, f"SELECT *, 0 FROM {table}")
            != []
        )
    tokens = "SELECT sequence, authority, token FROM tokens"
    assert rows(home.database, tokens) == rows(old, tokens) != []
    jobs = "SELECT sequence, kind, target, state, attempts, last_error FROM jobs"
    assert rows(home.database, jobs) == rows(old, jobs) != []
    sent = [
        raw
        for (raw,) in rows(
            old, 'SELECT "transaction" FROM jobs WHERE "transaction" IS NOT NULL ORDER BY sequence'
        )
    ]
    assert rows(home.database, "SELECT raw FROM transactions ORDER BY nonce") == [
        (raw,) for raw in sent
    ]
    kept = rows(
        home.database,
        'SELECT j."transaction" FROM jobs j JOIN transactions t ON t.hash = j."transaction" ORDER'
        " BY j.sequence",
    )
    assert kept == [(keccak256(raw),) for raw in sent]
    assert len(sent) == 4


def test_transactions_are_read(home: Home) -> None:
    migrated(home)
    with open_ledger(home.folder) as ledger, ledger.metadata.read() as transaction:
        sent = transaction.transactions("local")
        closed = [batch.closed for batch in transaction.batches()]
    assert [each.transaction.nonce for each in sent] == [1, 2, 3, 4]
    (sender,) = {each.transaction.sender for each in sent}
    assert len(sender) == 20
    assert [each.signed for each in sent] == closed[:4]


def test_proofs_verify_and_what_waited_is_finished_once(home: Home) -> None:
    migrated(home)
    with open_ledger(home.folder) as ledger:
        trust = Trust((trusted_root(home.authority),))
        assert list(check_ledger(ledger, trust)) == []
        for name in SEALED:
            require_verified(home, digest(name), format_proof(ledger.proof(digest(name))))
        with ledger.metadata.read() as transaction:
            stored = {
                job.sequence: job.transaction
                for job in transaction.unfinished_jobs()
                if job.kind is JobKind.ANCHOR
            }
        assert ledger.close() == [5]
        assert ledger.outbox.work() == []
        assert list(check_ledger(ledger, trust)) == []
        for name in (*SEALED, *WAITING, OPEN):
            require_verified(home, digest(name), format_proof(ledger.proof(digest(name))))
        with ledger.metadata.read() as transaction:
            for sequence in (2, 3):
                ((_, anchor),) = transaction.anchors(sequence)
                # What was signed before is what was sent.
                assert parse_anchor(anchor).transaction == stored[sequence]
            # Four from before, and one for the two batches that had none.
            assert [each.transaction.nonce for each in transaction.transactions("local")] == [
                1,
                2,
                3,
                4,
                5,
            ]


def require_verified(home: Home, wanted: bytes, proof: bytes) -> None:
    with open_ledger(home.folder) as ledger:
        trust = home_trust(home, ledger.proof(wanted)) or Trust()
    assert verify(wanted, proof, trust, datetime.now(UTC)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x02junk",
        b"\x02\xc0",
        b"\x02" + rlp.encode([b""] * 12),
        b"\x02" + rlp.encode([[b""]] * 12),
    ],
)
def test_a_transaction_that_cannot_be_read_is_kept_and_not_sent(home: Home, raw: bytes) -> None:
    with closing(sqlite3.connect(home.database)) as database:
        database.execute(
            'UPDATE jobs SET "transaction" = ? WHERE kind = ? AND sequence IN (0, 3)',
            (raw, "anchor"),
        )
        database.commit()
    migrated(home)
    with (
        closing(Metadata.open(home.database, patience=1)) as metadata,
        metadata.read() as transaction,
    ):
        jobs = {
            job.sequence: (job.state, job.transaction)
            for job in transaction.jobs()
            if job.kind is JobKind.ANCHOR
        }
        (unread,) = [
            each.transaction
            for each in transaction.transactions("local")
            if each.transaction.hash == keccak256(raw)
        ]
    assert jobs[0] == (JobState.DONE, keccak256(raw))
    assert jobs[3] == (JobState.WAITING, None)
    assert (unread.raw, unread.sender, unread.nonce) == (raw, b"", 0)


# From versions 2 and 3


def brought_to_3(path: Path) -> None:
    """Take away what versions 4 and 5 added to a database of our own."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE direct_tokens")
        for table in ("open_batches", "batches"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN fillers")
        database.execute("UPDATE alembic_version SET version_num = '3'")
        database.commit()


def test_version_3_gets_the_schema_of_a_new_home_and_its_open_batch_goes_on(
    home: Home, tmp_path: Path
) -> None:
    new = create_home(tmp_path / "new", "ledger.test/new", lambda _home: None)
    migrated(home)
    with open_ledger(home.folder) as ledger, ledger.metadata.read() as transaction:
        sealed = list(transaction.batches())
        (waiting,) = transaction.open_batches()
        entries = transaction.entry_count()
    brought_to_3(home.database)
    with pytest.raises(InvalidInput, match="has version 3"), open_ledger(home.folder):
        pytest.fail("it was opened")
    assert migrated(home).before == 3
    assert schema_of(home.database) == schema_of(new.database)
    with open_ledger(home.folder) as ledger:
        with ledger.metadata.read() as transaction:
            assert list(transaction.batches()) == sealed
            assert transaction.open_batches() == [waiting]
            assert transaction.entry_count() == entries
        (span,) = ledger.submit(bytes(32)).spans
        ledger.close()
        assert ledger.batch(span.batch).fillers > 0
        assert ledger.batch(span.batch).count % 2 == 0
        assert list(check_ledger(ledger, Trust((trusted_root(home.authority),)))) == []


def brought_to_2(path: Path) -> None:
    """Take away what all versions since added to a database of our own."""
    brought_to_3(path)
    with closing(sqlite3.connect(path)) as database:
        for table in ("records", "renewals", "cosignatures", "keys"):
            database.execute(f"DROP TABLE {table}")
        database.execute("UPDATE alembic_version SET version_num = '2'")
        database.commit()


def test_version_2_gets_the_schema_of_a_new_home_and_each_token_a_renewal(
    home: Home, tmp_path: Path
) -> None:
    migrated(home)
    new = create_home(tmp_path / "new", "ledger.test/new", lambda _home: None)
    before = rows(
        home.database,
        "SELECT sequence, 0, authority, '1970-01-01T00:00:00Z' FROM tokens ORDER BY sequence",
    )
    brought_to_2(home.database)
    with pytest.raises(InvalidInput, match="has version 2"), open_ledger(home.folder):
        pytest.fail("it was opened")
    assert migrated(home).before == 2
    assert schema_of(home.database) == schema_of(new.database)
    assert (
        rows(
            home.database,
            "SELECT sequence, position, authority, due FROM renewals ORDER BY sequence",
        )
        == before
        != []
    )
    with open_ledger(home.folder) as ledger:
        assert list(check_ledger(ledger, Trust((trusted_root(home.authority),)))) == []
        # The first pass works out when they are due: that is twenty years from then.
        open_renewals(ledger).work()
        with ledger.metadata.read() as transaction:
            counts = transaction.renewal_counts(datetime.now(UTC), datetime.now(UTC))
    assert (counts.scheduled, counts.due) == (len(before), 0)


@pytest.mark.real("postgres")
def test_version_2_on_postgresql_gets_the_schema_that_is_written_down(
    postgres: PostgreSQL, tmp_path: Path
) -> None:
    schema = postgres.new_schema()
    url = postgres.url(schema)
    home = create_home(tmp_path / "home", "ledger.test/new", lambda _home: None, url)
    with postgres.connect(schema) as database:
        for table in ("open_batches", "batches"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN fillers")
        for table in ("records", "renewals", "cosignatures", "keys", "direct_tokens"):
            database.execute(f"DROP TABLE {table}")
        database.execute("INSERT INTO tokens VALUES (0, 'tsa', 'token', NULL)")
        database.execute("UPDATE alembic_version SET version_num = '2'")
    assert upgrade(home, url, patience=1) == Upgrade(2, VERSION, None)
    with closing(Metadata.open(url, patience=1)) as metadata:
        assert metadata.problems() == []
        with metadata.read() as transaction:
            assert transaction.renewals(0) == [Renewal(UNSCHEDULED, 0, 0, "tsa")]
            context = MigrationContext.configure(
                transaction._connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, written_down) == []
    with postgres.connect(schema) as database:
        for table in ("records", "cosignatures", "keys", "direct_tokens"):
            with pytest.raises(psycopg.errors.IntegrityError, match="append-only"):
                database.execute(f"TRUNCATE {table}")


# From version 3


def test_version_3_gets_the_schema_of_a_new_home_and_keeps_its_merged_runs(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "ledger.test/three")
    new = create_home(tmp_path / "new", "ledger.test/new", lambda _home: None)
    names = digests("three", 9)
    with open_ledger(home.folder) as ledger:
        for each in names:
            ledger.submit(each)
            ledger.close()
    runs = sorted(home.batches.rglob("*.index"))
    assert any(run.parent.name == "merged" for run in runs)
    brought_to_3(home.database)
    with pytest.raises(InvalidInput, match="has version 3"), open_ledger(home.folder):
        pytest.fail("it was opened")
    assert migrated(home).before == 3
    assert schema_of(home.database) == schema_of(new.database)
    assert sorted(home.batches.rglob("*.index")) == runs
    with open_ledger(home.folder) as ledger:
        assert list(ledger.index_faults()) == []
        assert stamp_directly(ledger, names) == []
        assert len(ledger.proof(names[0]).file_tokens) == 1
        assert ledger.outbox.work() == []
        # A home of version 3 had no blinding leaves; this one, made now, has some that are not
        # counted any more.
        found = list(check_ledger(ledger, Trust((trusted_root(home.authority),))))
        assert {each.fault.code for each in found} == {"blinding-leaves-differ"}


# The copy


def test_the_copy_is_the_database_as_it_was(home: Home, unpacked: Path) -> None:
    old = shutil.copytree(unpacked, home.folder.with_name("untouched")) / "ledger.db"
    done = migrated(home)
    assert done.backup
    assert rows(done.backup, "PRAGMA integrity_check") == [("ok",)]
    with closing(sqlite3.connect(old)) as before, closing(sqlite3.connect(done.backup)) as copy:
        assert list(copy.iterdump()) == list(before.iterdump())
    # Put back, it can be migrated again.
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (home.folder / name).unlink(missing_ok=True)
    shutil.copy(done.backup, home.database)
    assert migrated(home) == done


def test_trees_are_kept_in_the_new_form(home: Home) -> None:
    trees = sorted(home.batches.glob("*/*.tree"))
    assert len(trees) == 5
    before = {path.name: path.read_bytes() for path in trees}
    migrated(home)
    assert list(home.batches.glob("*/*.tree")) == []
    assert sorted(path.stem for path in home.batches.glob("*/*.nodes")) == sorted(
        Path(name).stem for name in before
    )
    # A run that was killed before it removed them leaves them to the next one.
    trees[0].write_bytes(before[trees[0].name])
    migrated(home)
    assert not trees[0].exists()


def test_runs_are_written_anew_in_the_order_of_whole_digests(home: Home) -> None:
    """The first versions sorted equal beginnings by position; digests that begin alike can be
    chosen."""
    index = home.batches / "00000" / "00000001.index"
    index.write_bytes(
        b"".join(
            sorted(index.read_bytes()[i : i + 12] for i in range(0, index.stat().st_size, 12))
        )[::-1]
    )
    migrated(home)
    with open_ledger(home.folder) as ledger:
        assert list(check_ledger(ledger, Trust((trusted_root(home.authority),)))) == []


def test_what_an_older_worker_sealed_after_the_migration_is_mended_by_the_next_one(
    home: Home,
) -> None:
    migrated(home)
    (home.batches / "00000" / "00000001.nodes").unlink()
    with closing(sqlite3.connect(home.database)) as database:
        database.execute("DELETE FROM renewals WHERE sequence = 1")
        database.commit()
    with open_ledger(home.folder) as ledger:
        trust = Trust((trusted_root(home.authority),))
        assert len(list(check_ledger(ledger, trust))) == 2
    migrated(home)
    with open_ledger(home.folder) as ledger:
        assert list(check_ledger(ledger, trust)) == []


def test_a_batch_that_does_not_lead_to_its_root_is_not_migrated(home: Home) -> None:
    path = home.batches / "00000" / "00000001.digests"
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    with pytest.raises(Damaged, match=rf"{path} does not lead to the root on record"):
        migrated(home)
    with closing(Metadata(home.database, 1)) as metadata:
        assert metadata.version() == 1


def test_a_copy_that_has_no_room_leaves_all_as_it_was(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFailure, match="No space left on device; make room"):
        migrated(home)
    monkeypatch.undo()
    assert not home.database.with_name("ledger.db.v1").exists()
    assert (migrated(home).before, migrated(home).before) == (1, VERSION)


@pytest.mark.real("postgres")
def test_a_servers_operator_keeps_the_copies(postgres: PostgreSQL, tmp_path: Path) -> None:
    url = postgres.url(postgres.new_schema())
    home = create_home(tmp_path / "home", "ledger.test/new", lambda _home: None, url)
    assert upgrade(home, url, patience=1) == Upgrade(VERSION, VERSION, None)
    with closing(Metadata.open(url, patience=1)) as metadata:
        assert metadata.back_up(VERSION) is None


# Others at work, and damage


@pytest.mark.parametrize("lock", ["seal", "work"])
def test_nothing_is_migrated_while_another_process_works(home: Home, lock: str) -> None:
    with (
        home.lock(lock, 1),
        pytest.raises(Conflict, match=rf"{lock}\.lock is held by another process"),
    ):
        migrated(home, patience=0)
    assert migrated(home).before == 1


def test_nothing_is_migrated_while_another_program_writes(home: Home) -> None:
    with closing(sqlite3.connect(home.database, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(Conflict, match="has kept"):
            migrated(home, patience=0)
        foreign.rollback()
    assert migrated(home).before == 1


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        ("UPDATE alembic_version SET version_num = '99'", InvalidInput),
        ("DELETE FROM alembic_version", Damaged),
    ],
)
def test_what_cannot_be_migrated_is_refused(home: Home, harm: str, kind: type[Exception]) -> None:
    migrated(home)
    with closing(sqlite3.connect(home.database)) as database:
        database.execute(harm)
        database.commit()
    with pytest.raises(kind):
        migrated(home)


@pytest.mark.parametrize("version", [0, 2, 99, None])
def test_a_version_that_no_release_wrote_is_refused(home: Home, version: int | None) -> None:
    with closing(sqlite3.connect(home.database)) as database:
        database.execute("DROP TRIGGER ledger_no_update")
        database.execute("DROP TRIGGER ledger_no_delete")
        database.execute(
            "DELETE FROM ledger" if version is None else f"UPDATE ledger SET version = {version}"
        )
        database.commit()
    with pytest.raises(Damaged, match="does not say which version"):
        migrated(home)


def test_a_missing_database_is_not_made(home: Home) -> None:
    home.database.unlink()
    with pytest.raises(Damaged, match="is missing"):
        migrated(home)
    assert not home.database.exists()


# SIGKILL


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stopped_at_statement(home: Home, at: int) -> None:
    """Migrate, and be killed before SQL statement number `at`."""
    left = at

    def count(*_args: object) -> None:
        nonlocal left
        if left == 0:
            kill_me()
        left -= 1

    event.listen(Engine, "before_cursor_execute", count)
    migrated(home)


def stopped_at_step(home: Home, at: int, when: When) -> None:
    """Migrate, and be killed at durable step number `at`."""
    with Steps(kill_me, at, when).counted():
        migrated(home)


STOPS: dict[str, Callable[[Home, int], None]] = {
    "statement": stopped_at_statement,
    "before a durable step": lambda home, at: stopped_at_step(home, at, When.BEFORE),
    "after a durable step": lambda home, at: stopped_at_step(home, at, When.AFTER),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("stride", strides(5))
def test_a_killed_migration_is_finished_by_running_it_again(
    unpacked: Path, tmp_path: Path, stop: str, stride: int
) -> None:
    seen = set()
    for at in moments(stride, When.BEFORE):
        home = open_home(shutil.copytree(unpacked, tmp_path / f"{at}"))
        status = in_child(lambda home=home, at=at: STOPS[stop](home, at))  # type: ignore[misc]
        assert status in {0, -signal.SIGKILL}, at
        with closing(Metadata(home.database, 1)) as metadata:
            version = metadata.version()
        if version == 1:
            # It still is what the first release knows.
            assert rows(home.database, "SELECT version FROM ledger") == [(1,)]
            assert rows(
                home.database, 'SELECT count(*) FROM jobs WHERE length("transaction") > 32'
            ) == [(4,)]
        assert migrated(home).before == version
        if version not in seen or version != 1:
            with open_ledger(home.folder) as ledger:
                assert list(check_ledger(ledger, Trust((trusted_root(home.authority),)))) == []
        seen.add(version)
        assert home.database.with_name("ledger.db.v1").exists()
        shutil.rmtree(home.folder)
        if status == 0:
            break
    assert seen == {1, VERSION}
    assert at > (30 if stop == "statement" else 3)


# What it costs those who do not need it


def test_neither_alembic_nor_the_driver_is_loaded_to_open_a_ledger(tmp_path: Path) -> None:
    home = create_home(tmp_path / "home", "ledger.test/new", lambda _home: None)
    program = (
        "import sys; from pathlib import Path; from witnesstree.ledger.store.metadata import"
        f" Metadata; Metadata.open(Path({str(home.database)!r}), 1).close(); print({{'alembic',"
        " 'psycopg', 'eth_keys'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout
        == "set()\n"
    )
