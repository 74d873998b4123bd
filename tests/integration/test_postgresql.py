"""PostgreSQL as it is met in the field: servers that do not answer, forget, refuse or run full; and
no password in any text."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from conftest import START, Clock
from fakes import FakeWorld, digests
from servers.postgresql import PASSWORD, PostgreSQL, postgresql
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, ProgrammingError

from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.store.database import postgresql as adapter
from witnesstree.ledger.store.database.values import BatchState, OpenBatch
from witnesstree.ledger.store.home import create_home
from witnesstree.ledger.store.metadata import Metadata

# Its own server is on 127.0.0.1, and whichever test comes first looks for a free port.
pytestmark = [pytest.mark.real("postgres"), pytest.mark.enable_socket]

ORIGIN = "ledger.test/postgresql"


def batch(sequence: int) -> OpenBatch:
    return OpenBatch(sequence, BatchState.FROZEN, START, "opening", None, 1, 0)


def made(url: str) -> Metadata:
    return Metadata.create(url, ORIGIN, "checkpoint 0")


def refusal(url: str) -> WitnesstreeError:
    """Return the error of opening `url`, which is one line and tells no password."""
    with pytest.raises(WitnesstreeError) as caught:
        Metadata.open(url, patience=1)
    said = str(caught.value)
    assert "\n" not in said
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "hunter2"):
        assert secret not in said
        assert secret not in repr(caught.value)
    return caught.value


# Addresses and passwords


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql",
        "sqlite:///x",
        "mysql://user:hunter2@host/database",
        "postgresql://user:hunter2@host:port/database",
        "postgresql://user:hunter2@[::1/database",
        "://:hunter2@",
        "postgresql+nothing\n://hunter2",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    error = refusal(url)
    assert isinstance(error, InvalidInput)
    assert "expected `postgresql://user@host:port/database`" in str(error)


def test_an_option_that_nobody_knows_is_refused() -> None:
    error = refusal("postgresql://user:hunter2@127.0.0.1:1/database?no_such_option=hunter2")
    assert isinstance(error, InvalidInput)
    assert "invalid connection option" in str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://u:hunter2@db.example:5433/evidence",
            "postgresql://db.example:5433/evidence",
        ),
        (
            "postgresql+psycopg://u:hunter2@db.example/evidence?password=hunter2",
            "postgresql://db.example/evidence",
        ),
        (
            "postgresql:///evidence?host=/run/postgresql&port=5433",
            "postgresql:///run/postgresql:5433/evidence",
        ),
        ("postgresql://u@/evidence?host=a:1&host=b:2", "postgresql://a:1,b:2/evidence"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_only_host_and_database_are_shown(url: str, shown: str) -> None:
    with closing(Metadata(url, patience=1)) as metadata:
        assert metadata.place == shown


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A server on 127.0.0.1, which asks for a password.

    The module's own: it is stopped and started.
    """
    with postgresql(tcp=True) as server:
        yield server


def test_over_tcp_with_a_password(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    schema = server.new_schema()
    made(server.tcp_url(schema)).close()
    Metadata.open(server.tcp_url(schema), patience=1, origin=ORIGIN).close()
    assert isinstance(refusal(server.tcp_url(schema, password="hunter2")), Unreachable)
    assert "password authentication failed" in str(
        refusal(server.tcp_url(schema, password="hunter2"))
    )
    without = server.tcp_url(schema, password=None)
    assert "no password supplied" in str(refusal(without))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Metadata.open(without, patience=1).close()
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"127.0.0.1:{server.port}:*:*:" + PASSWORD.replace(":", "\\:"))
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    Metadata.open(without, patience=1).close()


def test_a_secret_is_cut_out_of_whatever_the_driver_says() -> None:
    database = adapter.PostgreSQL("postgresql://u:hunter2@h/d?sslpassword=hunter3", patience=1)
    error = database.fault(
        OperationalError("SELECT 1", {}, psycopg.OperationalError("no: hunter2\nand hunter3"))
    )
    assert isinstance(error, Unreachable)
    assert str(error).startswith("postgresql://h/d does not answer: no: ***; check the server")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d",
        "postgresql://u@h/d?password=hunter2",
        "postgresql://u@h/d?sslpassword=hunter2",
        "x",
    ],
)
def test_an_address_that_is_to_be_kept_holds_no_secret(url: str) -> None:
    with pytest.raises(InvalidInput, match="the database's address") as caught:
        adapter.require_no_secret(url)
    assert "hunter2" not in str(caught.value)
    adapter.require_no_secret("postgresql://u@h:5432/d?sslmode=verify-full")


# Servers that do not answer


def test_nobody_answers(tmp_path: Path) -> None:
    error = refusal(f"postgresql://u:hunter2@/evidence?host={tmp_path}")
    assert isinstance(error, Unreachable)
    assert f"postgresql://{tmp_path}/evidence does not answer" in str(error)


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_server_that_was_started_anew_is_noticed_by_nobody(
    server: PostgreSQL, ending: str
) -> None:
    with closing(made(server.url(server.new_schema()))) as metadata:
        with metadata.write() as transaction:
            transaction.open_batch(batch(0))
        getattr(server, ending)()
        try:
            with pytest.raises(Unreachable, match="does not answer"), metadata.read():
                pytest.fail("there is no server")
        finally:
            server.start()
        with metadata.write() as transaction:
            transaction.open_batch(batch(1))
        # The connection in the pool died, and another one has taken its place.
        server.stop()
        server.start()
        with metadata.read() as transaction:
            assert transaction.open_batches() == [batch(0), batch(1)]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_server_that_goes_in_the_middle_keeps_nothing_of_it(
    server: PostgreSQL, ending: str
) -> None:
    def cut_off() -> None:
        with metadata.write() as transaction:
            transaction.open_batch(batch(1))
            getattr(server, ending)()
            transaction.open_batch(batch(2))

    with closing(made(server.url(server.new_schema()))) as metadata:
        with metadata.write() as transaction:
            transaction.open_batch(batch(0))
        try:
            with pytest.raises(Unreachable) as caught:
                cut_off()
        finally:
            server.start()
        assert "\n" not in str(caught.value)
        with metadata.read() as transaction:
            assert transaction.open_batches() == [batch(0)]


def test_a_connection_that_an_operator_ended(postgres: PostgreSQL) -> None:
    def cut_off() -> None:
        with metadata.write() as transaction:
            own = transaction._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            with postgres.connect() as operator:
                operator.execute("SELECT pg_terminate_backend(%s, 5000)", (own,))
            transaction.open_batch(batch(0))

    with closing(made(postgres.url(postgres.new_schema()))) as metadata:
        with pytest.raises(Unreachable, match="terminating connection"):
            cut_off()
        with metadata.read() as transaction:
            assert transaction.open_batches() == []


# Servers that cannot hold a ledger


def test_a_server_that_forgets_is_refused(server: PostgreSQL) -> None:
    url = server.url(server.new_schema())
    made(url).close()
    server.stop()
    server.start("fsync=off")
    try:
        assert "forgets what it has acknowledged when the power fails (fsync=off)" in str(
            refusal(url)
        )
    finally:
        server.stop()
        server.start()
    Metadata.open(url, patience=1).close()


@pytest.mark.parametrize(
    ("configured", "used"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
)
def test_a_commit_waits_for_the_disk_at_least(
    postgres: PostgreSQL, configured: str, used: str
) -> None:
    url = postgres.url(postgres.new_schema()) + f"%20-csynchronous_commit%3D{configured}"
    with closing(made(url)) as metadata, metadata.write() as transaction:
        assert transaction._connection.exec_driver_sql("SHOW synchronous_commit").scalar() == used


def test_a_database_of_another_encoding_is_refused(postgres: PostgreSQL) -> None:
    with postgres.connect() as foreign:
        foreign.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(InvalidInput, match="has the encoding LATIN1"):
        made(postgres.url("public").replace("/postgres?", "/latin?"))


def test_an_old_server_is_refused(postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "OLDEST", 990_000)
    with pytest.raises(
        InvalidInput, match=r"is PostgreSQL \d\d, and this witnesstree needs 99 or newer"
    ):
        made(postgres.url("public"))


def test_a_schema_that_is_not_there_is_refused(postgres: PostgreSQL) -> None:
    with pytest.raises(InvalidInput, match="has no schema that its address names: make one"):
        made(postgres.url("no_such_schema"))


def test_a_user_who_may_not_is_told(postgres: PostgreSQL) -> None:
    schema = postgres.new_schema()
    with postgres.connect() as foreign:
        foreign.execute("CREATE ROLE guest LOGIN")
        foreign.execute(f"GRANT USAGE ON SCHEMA {schema} TO guest".encode())
    with pytest.raises(
        InvalidInput,
        match=(
            r"permission denied for schema .*; correct the setting `database`, or what its user"
            r" may do"
        ),
    ):
        made(postgres.url(schema).replace("witness@", "guest@"))


def test_a_server_that_takes_no_writes_is_a_storage_failure(postgres: PostgreSQL) -> None:
    schema = postgres.new_schema()
    made(postgres.url(schema)).close()
    with closing(
        Metadata.open(postgres.url(schema) + "%20-cdefault_transaction_read_only%3Don", patience=1)
    ) as metadata:
        with (
            pytest.raises(
                StorageFailure, match="read-only transaction; make room or repair the server"
            ),
            metadata.write() as transaction,
        ):
            transaction.open_batch(batch(0))
        with metadata.read() as transaction:
            assert transaction.open_batches() == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (psycopg.errors.DiskFull, StorageFailure),
        (psycopg.errors.OutOfMemory, StorageFailure),
        (psycopg.errors.IoError, StorageFailure),
        (psycopg.errors.TooManyConnections, Unreachable),
        (psycopg.errors.CannotConnectNow, Unreachable),
        (psycopg.errors.QueryCanceled, Unreachable),
        (psycopg.errors.ConnectionException, Unreachable),
        (psycopg.errors.DeadlockDetected, Conflict),
        (psycopg.errors.SerializationFailure, Conflict),
        (psycopg.errors.LockNotAvailable, Conflict),
        (psycopg.errors.DuplicateTable, Conflict),
        (psycopg.errors.InsufficientPrivilege, InvalidInput),
        (psycopg.errors.UniqueViolation, Damaged),
        (psycopg.errors.DataCorrupted, Damaged),
        (psycopg.errors.UndefinedTable, Damaged),
        (psycopg.errors.UntranslatableCharacter, Damaged),
    ],
)
def test_every_kind_of_failure_says_what_to_do(
    code: type[psycopg.Error], kind: type[WitnesstreeError]
) -> None:
    error = adapter.PostgreSQL("postgresql://h/d", patience=1).fault(
        OperationalError("SELECT 1", {}, code("as {it} says"))
    )
    assert type(error) is kind
    assert "postgresql://h/d" in str(error)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(InterfaceError, Unreachable), (ProgrammingError, InvalidInput), (DataError, Damaged)],
)
def test_what_the_driver_itself_says(
    kind: type[OperationalError], expected: type[WitnesstreeError]
) -> None:
    assert (
        type(
            adapter.PostgreSQL("postgresql://h/d", patience=1).fault(
                kind("SELECT 1", {}, psycopg.Error())
            )
        )
        is expected
    )


# One ledger in each schema


def test_two_ledgers_in_two_schemas_know_nothing_of_each_other(postgres: PostgreSQL) -> None:
    first, second = (postgres.url(postgres.new_schema()) for _ in range(2))
    with (
        closing(made(first)) as one,
        closing(Metadata.create(second, "ledger.test/second", "checkpoint")) as other,
    ):
        # Nor do they wait for each other.
        with one.write() as transaction, other.write() as another:
            transaction.open_batch(batch(0))
            assert another.open_batches() == []
        assert (one.origin(), other.origin()) == (ORIGIN, "ledger.test/second")


def test_only_the_first_schema_of_a_search_path_counts(postgres: PostgreSQL) -> None:
    first, second = postgres.new_schema(), postgres.new_schema()
    made(postgres.url(second)).close()
    assert isinstance(refusal(postgres.url(f"{first},{second}")), Damaged)
    with closing(made(postgres.url(f"{first},{second}"))) as metadata:
        assert metadata.problems() == []


@pytest.mark.parametrize("name", ["jobs", "alembic_version", "transactions"])
def test_a_schema_of_another_program_is_left_alone(postgres: PostgreSQL, name: str) -> None:
    schema = postgres.new_schema()
    with postgres.connect(schema) as foreign:
        foreign.execute(f"CREATE TABLE {name} (x int)".encode())
        with pytest.raises(
            Conflict,
            match=r"holds something of another program: .*; give the ledger a schema of its own",
        ):
            made(postgres.url(schema))
        assert foreign.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::text::regnamespace"
        ).fetchall() == [(name,)]


def test_of_two_who_make_a_ledger_at_once_one_does(postgres: PostgreSQL) -> None:
    url, outcomes = postgres.url(postgres.new_schema()), list[str]()

    def make() -> None:
        try:
            made(url).close()
            outcomes.append("made")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 3 + ["made"]
    with closing(Metadata.open(url, patience=1, origin=ORIGIN)) as metadata:
        assert metadata.problems() == []


# A home with it


def test_a_home_keeps_no_metadata_beside(
    postgres: PostgreSQL, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        FakeWorld, "new_database", staticmethod(lambda: postgres.url(postgres.new_schema()))
    )
    world = FakeWorld(tmp_path / "home", clock)
    with world.open() as ledger:
        ledger.submit(digests("entry", 1)[0])
        ledger.close()
        assert ledger.outbox.work() == []
    assert not world.home.database.exists()
    with pytest.raises(
        Damaged,
        match=r"or name the PostgreSQL database that holds the ledger \(setting `database`\)",
    ):
        Metadata.open(world.home.database, patience=1)


def test_no_home_is_made_where_its_database_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        create_home(
            tmp_path / "home", ORIGIN, lambda _home: None, f"postgresql:///evidence?host={tmp_path}"
        )
    assert list(tmp_path.iterdir()) == []


def test_no_home_is_made_over_another_ledgers_database(
    postgres: PostgreSQL, tmp_path: Path
) -> None:
    url = postgres.url(postgres.new_schema())
    create_home(tmp_path / "first", ORIGIN, lambda _home: None, url)
    with pytest.raises(Conflict, match="already holds a ledger"):
        create_home(tmp_path / "second", "ledger.test/second", lambda _home: None, url)
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    Metadata.open(url, patience=1, origin=ORIGIN).close()
