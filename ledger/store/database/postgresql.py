"""PostgreSQL as the metadata's database: how it is reached, what keeps its tables append-only, and
what its errors mean.

A ledger has a schema of its own: the first one of the search path, to which the path is then
narrowed. No text that leaves this module holds a password.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from typing_extensions import override

from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.ports import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine, Table

    from witnesstree.ledger.base.message import Message

OLDEST = 130_000
"""PostgreSQL 13, as server_version_num counts. Older ones get no more corrections."""

_UNREPLICATED = ("01000", "57P01")
"""SQLSTATEs of the warnings "canceling wait for synchronous replication due to user request" and
"canceling the wait for synchronous replication and terminating connection" (syncrep.c)."""
_WARNED = "warned"
_SECRETS = ("password", "sslpassword")
_LOCK = 0x5749544E << 32
"""Advisory locks are numbers. Ours are these four letters (WITN) and the number of the schema."""

# An answer that never comes must end, too: half a minute of silence, then five questions, one in
# ten seconds (tcp(7)).
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 5,
    "tcp_user_timeout": 60_000,
    "application_name": "witnesstree",
    "client_encoding": "utf8",
    # A migration changes tables while others are connected, and prepared statements do not survive
    # that.
    "prepare_threshold": None,
}

_FACTS = text(
    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
    " current_setting('fsync'), current_schema(), (SELECT oid::bigint FROM pg_namespace WHERE"
    " nspname = current_schema())"
)
# A commit that does not wait for the disk is no receipt; where an operator asks for more than the
# disk (a standby, too), it stays so.
_NARROW = (
    "SELECT set_config('search_path', quote_ident(current_schema()), false),"
    " set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'),"
    " false)"
)

# By the beginning of the SQLSTATE; the first that fits counts.
_MEANINGS: dict[str, tuple[type[WitnesstreeError], str]] = {
    "55P03": (Conflict, "database-locked"),
    "40": (Conflict, "database-gave-up"),
    **dict.fromkeys(("42P07", "42710", "42723"), (Conflict, "database-holds-others")),
    **dict.fromkeys(("08", "53300", "57"), (Unreachable, "database-unreachable")),
    **dict.fromkeys(("25006", "53", "58"), (StorageFailure, "database-write-failed")),
    "42501": (InvalidInput, "database-not-permitted"),
    "23": (Damaged, "database-refused-row"),
    "": (Damaged, "database-damaged"),
}
# What the driver itself says has no SQLSTATE: that a connection failed or broke, or that it does
# not understand the address.
_UNTOLD: dict[type[DBAPIError], str] = {
    OperationalError: "08",
    InterfaceError: "08",
    ProgrammingError: "42501",
}

_GUARD = (
    "\nBEGIN\n  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE ="
    " 'integrity_constraint_violation';\nEND\n"
)
_TRIGGERS = text(
    "SELECT c.relname, pg_get_triggerdef(t.oid, true), t.tgenabled::text, p.prosrc FROM pg_trigger"
    " t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN"
    " pg_proc p ON p.oid = t.tgfoid WHERE n.nspname = current_schema()"
)


class PostgreSQL(Database):
    """One schema of one PostgreSQL database, at a URL as libpq and SQLAlchemy write it:
    `postgresql://user@host:port/database?option=value`.

    What the URL leaves open, libpq takes from where it always does: PGHOST and so on, PGPASSWORD,
    PGPASSFILE and ~/.pgpass.
    """

    def __init__(self, url: str, patience: float) -> None:
        parsed = _parsed(url)
        self.place = _place(parsed)
        self.engine = _engine(parsed, self.place, patience)
        self._secrets = _secrets(parsed)
        self._patience = patience

    @override
    def require_present(self) -> None:
        """Do nothing: that a server is there shows when it is asked."""

    @override
    def guards(self, tables: Sequence[Table]) -> list[str]:
        """Return the SQL that makes tables append-only.

        An insert that would replace a row is an update, and meets the same trigger.
        """
        # ALWAYS: also for those who set session_replication_role.
        return [
            f"CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $${_GUARD}$$",
            *(
                statement
                for table in tables
                for statement in (
                    _trigger(table),
                    f"ALTER TABLE {table.name} ENABLE ALWAYS TRIGGER {table.name}_append_only",
                )
            ),
        ]

    @override
    def problems(self, connection: Connection, tables: Sequence[Table]) -> Iterator[Message]:
        """Yield each trigger that is gone, is off, or is another one.

        That the server's files are whole is the server's business.
        """
        stored = {tuple(row) for row in connection.execute(_TRIGGERS)}
        for table in tables:
            if (table.name, _trigger(table), "A", _GUARD) not in stored:
                yield message(
                    "guard-altered", trigger=f"{table.name}_append_only", table=table.name
                )

    @override
    def back_up(self, version: int) -> None:
        """Do nothing: the server's operator has the means, and keeps the copies."""

    @override
    def require_kept(self, connection: Connection) -> None:
        """Raise Unreachable if the server ended its wait for a standby, and committed all the same.

        It then answers success, and says the rest in a warning.
        """
        if connection.info.pop(_WARNED, None):
            raise Unreachable("database-commit-not-replicated", place=self.place)

    @override
    def fault(self, error: DBAPIError) -> WitnesstreeError:
        """Return what an error of the database means to the caller, by its SQLSTATE (PostgreSQL's
        documentation, appendix A).
        """
        code = getattr(error.orig, "sqlstate", None) or _UNTOLD.get(type(error), "")
        kind, meaning = next(_MEANINGS[prefix] for prefix in _MEANINGS if code.startswith(prefix))
        return kind(
            meaning,
            place=self.place,
            error=self._reason(error),
            seconds=f"{self._patience:g}",
        )

    def _reason(self, error: DBAPIError) -> str:
        """Return the first line of what server or driver said, without secrets."""
        reason = next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return reason


def _parsed(url: str) -> URL:
    """Return the parts of a URL. The error never holds it, because it may hold a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput("database-url-unreadable") from None
    if parsed.get_backend_name() != "postgresql":
        raise InvalidInput("database-url-not-postgresql")
    return parsed.set(drivername="postgresql+psycopg")


def require_no_secret(url: str) -> None:
    """Raise InvalidInput if a URL that is to be kept in a file is none, or holds a password."""
    if _secrets(_parsed(url)):
        raise InvalidInput("database-url-has-password")


def _secrets(url: URL) -> list[str]:
    return [
        str(secret)
        for secret in (url.password, *(url.query.get(name) for name in _SECRETS))
        if secret
    ]


def _place(url: URL) -> str:
    """Return what may be shown of a URL: where the server is, and the database's name."""
    host, port = (
        part or url.query.get(name) or ""
        for name, part in (("host", url.host), ("port", str(url.port or "")))
    )
    hosts = host if isinstance(host, str) else ",".join(host)
    return f"postgresql://{hosts}{f':{port}' if port else ''}/{url.database or ''}"


def _engine(url: URL, place: str, patience: float) -> Engine:
    settings: dict[str, Any] = {
        name: value for name, value in _CONNECTION.items() if name not in url.query
    }
    # Before a connection is used again it is asked whether it lives: the server may have been
    # started again since.
    engine = create_engine(url, connect_args=settings, pool_pre_ping=True)
    lock_timeout = max(1, ceil(patience * 1000))

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        try:
            with connection.cursor() as cursor:
                facts = cursor.execute(_FACTS.text).fetchone()
                _require_fit(place, *facts[:4])
                cursor.execute(_NARROW)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        record.info["lock"] = _LOCK | facts[4]
        connection.add_notice_handler(lambda said: _note_warning(record.info, said))

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("writes"):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        connection.info.pop(_WARNED, None)
        # One writer at a time. READ COMMITTED and no more: each statement behind the lock sees all
        # that was committed before it was taken, where a snapshot would be from before the wait.
        connection.exec_driver_sql(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout ="
            f" {lock_timeout}; SELECT pg_advisory_xact_lock({connection.info['lock']})"
        )

    return engine


def _note_warning(info: dict[Any, Any], said: Any) -> None:
    """Note a warning that a wait for a standby was ended: by its SQLSTATE, because its words are in
    the server's language. Nothing else warns during a transaction of ours.
    """
    if said.sqlstate in _UNREPLICATED:
        info[_WARNED] = True


def _require_fit(place: str, version: int, encoding: str, fsync: str, schema: str | None) -> None:
    """Raise InvalidInput if a server cannot hold a ledger."""
    if version < OLDEST:
        raise InvalidInput(
            "postgresql-too-old", place=place, version=version // 10_000, oldest=OLDEST // 10_000
        )
    if encoding != "UTF8":
        raise InvalidInput("postgresql-encoding-wrong", place=place, encoding=encoding)
    if fsync != "on":
        raise InvalidInput("postgresql-not-durable", place=place, fsync=fsync)
    if schema is None:
        raise InvalidInput("postgresql-schema-missing", place=place)


def _trigger(table: Table) -> str:
    """Return the SQL of the trigger that keeps a table append-only, as PostgreSQL itself writes
    it.
    """
    return (
        f"CREATE TRIGGER {table.name}_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON"
        f" {table.name} FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )
