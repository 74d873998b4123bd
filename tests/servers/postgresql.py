"""A PostgreSQL server of our own on a Unix socket, and on 127.0.0.1 where a test asks for it.

It can be killed and started again.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
from real import require_real

OWNER = "witness"
PASSWORD = "s3cr3t:of/the@tests"
"""Asked for over TCP; whoever comes by the socket needs none.

It holds what has to be escaped in a URL.
"""
DATABASE = "postgres"
NOBODY = 65534
PATIENCE = 60
"""Seconds that a server may take to start or to stop."""

# Small, so that it starts fast. fsync stays on: the store refuses a server without it.
SETTINGS = (
    "shared_buffers=16MB",
    "max_connections=40",
    "max_wal_size=32MB",
    "autovacuum=off",
    "log_min_messages=fatal",
)


class PostgreSQL:
    """One server: its folder outlives each `start`."""

    def __init__(self, folder: Path, *, tcp: bool) -> None:
        self.folder = folder
        # By the socket the port is a part of a file's name and no more.
        self.port = _free_port() if tcp else 5432
        self._address = "127.0.0.1" if tcp else ""
        self._postgres = require_real("postgres")
        self._running: subprocess.Popen[bytes] | None = None
        self._numbers = count()

    def initialise(self) -> None:
        """Make the server's files."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        # PostgreSQL refuses to run as root.
        if os.geteuid() == 0:
            for path in (self.folder, password):
                os.chown(path, NOBODY, NOBODY)
        command = [
            Path(self._postgres).with_name("initdb"),
            *(
                "--pgdata",
                self.folder / "data",
                "--username",
                OWNER,
                "--pwfile",
                password,
                "--wal-segsize",
                "1",
            ),
            *(
                "--auth-local",
                "trust",
                "--auth-host",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--no-sync",
            ),
        ]
        subprocess.run(command, check=True, capture_output=True, **_owner())

    def start(self, *settings: str) -> None:
        """Start the server, and wait until it answers."""
        # A killed server left this behind; the new one compares it with the processes that there
        # are.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        command = [
            self._postgres,
            "-D",
            self.folder / "data",
            "-k",
            self.folder,
            "-p",
            str(self.port),
            "-h",
            self._address,
        ]
        for setting in (*SETTINGS, *settings):
            command += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen(command, stdout=log, stderr=log, **_owner())
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._running.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"PostgreSQL did not start: {(self.folder / 'log').read_text()}"
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server as an operator does; whoever is connected is told.

        SIGINT asks for the fast way.
        """
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and all that it started, at once: its memory is gone, its files stay as
        they are."""
        assert self._running
        children = (
            Path(f"/proc/{self._running.pid}/task/{self._running.pid}/children").read_text().split()
        )
        # The server first: it would otherwise see a child die, and restart the others in good
        # order.
        self._end(signal.SIGKILL)
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        _wait_for_the_end_of([int(child) for child in children])

    def _end(self, number: signal.Signals) -> None:
        if self._running is not None:
            self._running.send_signal(number)
            self._running.wait(PATIENCE)
            self._running = None

    def connect(self, schema: str = "public") -> "psycopg.Connection[tuple[object, ...]]":
        """Return a connection of a foreign program, by the socket; each statement counts at
        once."""
        options = f"-csearch_path={schema}"
        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user=OWNER,
            dbname=DATABASE,
            autocommit=True,
            options=options,
        )

    def new_schema(self) -> str:
        """Make a schema, and return its name."""
        name = f"ledger_{os.getpid()}_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return name

    def url(self, schema: str) -> str:
        """Return the address of a schema, by the socket."""
        return f"postgresql://{OWNER}@/{DATABASE}?host={quote(str(self.folder))}&port={self.port}&options=-csearch_path%3D{schema}"

    def tcp_url(self, schema: str = "public", password: str | None = PASSWORD) -> str:
        """Return the address of a schema, over TCP."""
        secret = "" if password is None else ":" + quote(password, safe="")
        return f"postgresql://{OWNER}{secret}@127.0.0.1:{self.port}/{DATABASE}?options=-csearch_path%3D{schema}"


def _owner() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_the_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextmanager
def postgresql(*, tcp: bool = False) -> Iterator[PostgreSQL]:
    """Run a new server while the block runs."""
    require_real("postgres")
    # Not below pytest's own folder, which nobody but its owner may enter. Sockets' names must be
    # short, too.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        server = PostgreSQL(folder, tcp=tcp)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
