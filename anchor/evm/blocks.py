"""The embedded chain's file, `chain.db`: keys and values in SQLite, and what can be read from it
without an EVM.

The keys are py-evm's own: a node, a header or a code under its keccak-256, the newest block's hash
under HEAD, a block's hash under its number. Only this module opens the file. It imports neither
py-evm nor web3, so that `witnesstree verify --home` starts fast.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Self

from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    StorageFailure,
    WitnesstreeError,
)
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import parse_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HEAD = b"v1:canonical_head_hash"

FILE = "chain.db"
VERSION = 1
"""It is in SQLite's user_version.

It goes up when an older witnesstree could no longer read the file.
"""
BUSY_SECONDS = 10
"""How long a read or a commit waits for another process's commit, which takes milliseconds."""

_HASH_PREFIX = b"\xa0"
"""RLP's head of a string of 32 bytes."""


def canonical_hash(folder: Path, number: int) -> bytes | None:
    """Return the hash of block `number` of the chain kept in `folder`, or None where there is no
    such chain or block.

    The file is not changed, except that SQLite takes back a commit that a crash has cut off.

    Raises Damaged if the file is no chain of ours or contradicts itself, Conflict if another
    process holds it, StorageFailure if it cannot be read.
    """
    if not (folder / FILE).exists():
        return None
    with ChainFile.open(folder, query_only=True) as file:
        return file.canonical_hash(number)


class ChainFile:
    """`chain.db`, open.

    Several processes may hold it open; the one that writes has the ledger's lock.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def create(cls, path: Path) -> Self:
        """Return a new, empty file at `path`, which must not exist.

        Raises StorageFailure if it cannot be written.
        """
        connection = _connect(path, "rwc")
        with _closing_on_error(connection):
            _run(
                connection,
                "CREATE TABLE pair (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            )
            _run(connection, f"PRAGMA user_version = {VERSION}")
        return cls(connection)

    @classmethod
    def open(cls, folder: Path, *, query_only: bool = False) -> Self:
        """Return the file in `folder`.

        Raises Damaged, Conflict or StorageFailure as `canonical_hash` does.
        """
        # mode=rw, also for reading: a journal that a crash left behind can only be taken back by
        # who may write.
        connection = _connect(folder / FILE, "rw")
        with _closing_on_error(connection):
            if query_only:
                _run(connection, "PRAGMA query_only = ON")
            version = _run(connection, "PRAGMA user_version")[0][0]
            if version > VERSION:
                raise Conflict("chain-file-newer", file=FILE)
            if version != VERSION:
                raise Damaged("chain-file-foreign", file=FILE)
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not `put` is not there."""
        self._connection.close()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None. What is stored under a hash was compared with it.

        Raises Damaged, Conflict or StorageFailure as `canonical_hash` does.
        """
        rows = _run(self._connection, "SELECT value FROM pair WHERE key = ?", key)
        if not rows:
            return None
        value = rows[0][0]
        # Only hashes have 32 bytes among py-evm's keys, but for one: its list of checkpoints, which
        # we never write.
        if not isinstance(value, bytes) or (len(key) == 32 and keccak256(value) != key):
            raise Damaged("chain-value-wrong", file=FILE, key=key)
        return value

    def put(self, pairs: Mapping[bytes, bytes], after: bytes | None) -> None:
        """Write a block: all `pairs` or, whatever happens, none. On return they are durable.

        Raises Conflict if HEAD is no longer `after`: somebody else has added a block meanwhile.
        Raises Damaged or StorageFailure as `canonical_hash` does.
        """
        _run(self._connection, "BEGIN IMMEDIATE")
        try:
            if self.get(HEAD) != after:
                raise Conflict("chain-has-grown", file=FILE)
            for pair in pairs.items():
                _run(self._connection, "REPLACE INTO pair VALUES (?, ?)", *pair)
            _run(self._connection, "COMMIT")
        finally:
            # After a full disk SQLite may have rolled back already; after COMMIT there is nothing
            # left to roll back.
            if self._connection.in_transaction:
                self._connection.rollback()

    def copy(self, target: Path) -> None:
        """Write all of it, as it is at one moment, into the new file `target`.

        Blocks that others make meanwhile wait. Raises Damaged, Conflict or StorageFailure as
        `canonical_hash` does.
        """
        try:
            with closing(sqlite3.connect(target)) as copy:
                self._connection.backup(copy)
        except sqlite3.Error as error:
            raise _translated(error) from error

    def head(self) -> bytes:
        """Return the newest block's hash. Raises Damaged if there is none."""
        head = self.get(HEAD)
        if head is None or len(head) != 32:
            raise Damaged("chain-without-newest-block", file=FILE)
        return head

    def header(self, block_hash: bytes) -> bytes:
        """Return the RLP of the header whose keccak-256 is `block_hash`.

        Raises Damaged if it is missing.
        """
        header = self.get(block_hash)
        if header is None:
            raise Damaged("chain-header-missing", file=FILE, hash=block_hash)
        return header

    def canonical_hash(self, number: int) -> bytes | None:
        """Return the hash of block `number`, or None if the chain has not come that far."""
        value = self.get(b"block-number-to-hash:%d" % number)
        if value is None:
            return None
        if len(value) != 33 or value[:1] != _HASH_PREFIX:
            raise Damaged("chain-hash-wrong", file=FILE, number=number)
        try:
            header = parse_header(self.header(value[1:]))
        except InvalidInput as error:
            raise Damaged("chain-header-wrong", file=FILE, number=number, error=error) from error
        if header.number != number:
            raise Damaged("chain-hash-of-another", file=FILE, found=header.number, number=number)
        return header.hash


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _translated(error) from error
    connection.text_factory = bytes
    with _closing_on_error(connection):
        # A block that was given out must survive a power cut. In this journal mode FULL leaves the
        # folder unsynced after the journal is unlinked, so the journal could come back and undo the
        # block; EXTRA syncs it.
        _run(connection, "PRAGMA synchronous = EXTRA")
    return connection


@contextmanager
def _closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except WitnesstreeError:
        connection.close()
        raise


def _run(connection: sqlite3.Connection, statement: str, *values: bytes) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(statement, values).fetchall()
    except sqlite3.Error as error:
        raise _translated(error) from error


_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_SCHEMA,
}
"""SQLITE_ERROR is what a missing table gives."""


def _translated(error: sqlite3.Error) -> WitnesstreeError:
    # The low byte is the primary code: https://sqlite.org/rescode.html
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Conflict("chain-file-held", file=FILE)
    if code in _DAMAGED:
        return Damaged("chain-file-damaged", file=FILE, error=error)
    return StorageFailure("chain-file-unusable", file=FILE, error=error)
