"""Copies of a ledger's database, and what comes of it when one is put back: in SQLite its file, in
PostgreSQL a schema with the same rows."""

from contextlib import closing
from pathlib import Path
from secrets import token_hex

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from witnesstree.ledger.store.database import schema


def _connected(address: str) -> Connection:
    url = make_url(address).set(drivername="postgresql+psycopg")
    return create_engine(url, poolclass=NullPool).connect()


def copy(database: Path | str) -> bytes:
    """Return the database in a file or at a URL as it is: no process has it open, so SQLite's log
    is in it. On PostgreSQL, the name of a schema that has the same rows."""
    if isinstance(database, Path):
        return database.read_bytes()
    name = f"copy_{token_hex(6)}"
    with closing(_connected(database)) as connection, connection.begin():
        connection.execute(text(f"CREATE SCHEMA {name}"))
        for table in schema.metadata.tables:
            connection.execute(text(f"CREATE TABLE {name}.{table} AS TABLE {table}"))
    return name.encode()


def put_back(database: Path | str, content: bytes) -> None:
    """Put a copy in the database's place."""
    if isinstance(database, Path):
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()
        database.write_bytes(content)
        return
    with closing(_connected(database)) as connection, connection.begin():
        for table in schema.metadata.tables:
            guard = f"{table}_append_only"
            is_guarded = table in {guarded.name for guarded in schema.APPEND_ONLY}
            if is_guarded:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {guard}"))
            connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(
                text(f"INSERT INTO {table} SELECT * FROM {content.decode()}.{table}")
            )
            if is_guarded:
                connection.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {guard}"))
