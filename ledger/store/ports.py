"""The seams of the store: where batches' files are, and which database keeps the metadata.

What is said of a method with MUST is relied on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from mmap import mmap
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.exc import DBAPIError

    from witnesstree.ledger.base.errors import WitnesstreeError
    from witnesstree.ledger.base.message import Message


class Stored(Protocol):
    """A file of a place that is open. It MUST stay readable, with the bytes that it had, when its
    name is removed or given to another file. It lets go of what it holds when nothing refers to it.
    """

    def size(self) -> int:
        """Return its length in bytes. Raises OSError."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on, fewer only where the file ends. Raises OSError.

        It may be called by several threads at once.
        """
        ...

    def mapped(self, size: int) -> AbstractContextManager[mmap | bytes]:
        """Give its first `size` bytes to a block, which keeps nothing of them.

        Not all of them need be read at once. Raises ValueError if it has fewer, OSError.
        """
        ...

    def is_current(self) -> bool:
        """Tell whether the name that it was opened by still leads to it: no more, once that was
        removed or given to another file.
        """
        ...


class Place(Protocol):
    """A place for the files of batches: a folder of this machine, or another store of objects.

    Names are relative paths of one folder and a file. Any number of processes may read at once.
    Locks of the ledger (home.py) see to it that no two write under one name at once.

    Where a file is written, StorageFailure is raised if the place refuses. Then the name leads to
    what it led to before or to the new file, whole, and the same may be done again.
    """

    def path(self, name: str) -> Path:
        """Return what people are told of where a file is. It can be opened in a folder only."""
        ...

    def create(self, name: str, *pieces: bytes | memoryview) -> None:
        """Make a file of `pieces`, only where there is none of this name.

        On return it MUST be durable, and its name; where it fails there MUST be none. Raises
        FileExistsError if there is one: it is never opened.
        """
        ...

    def overwrite(self, name: str, offset: int, piece: bytes) -> None:
        """Put a few bytes in the place of as many from `offset` on. On return they MUST be durable;
        a crash may leave some of the old and some of the new ones, and none but these.
        """
        ...

    def set_aside(self, name: str) -> None:
        """Give a file another name that nothing reads, durably; one that is not there is no
        error.
        """
        ...

    def append(self, name: str, offset: int, *pieces: bytes | memoryview) -> None:
        """Put `pieces` behind the first `offset` bytes of a file, which is made if `offset` is 0.

        On return they MUST be durable, and with them the name. What was behind `offset` counts for
        nothing, and may be gone. Where it fails the first `offset` bytes MUST be as they were.
        """
        ...

    def cut(self, name: str, size: int) -> None:
        """Let a file that is longer end after `size` bytes, durably; another is left alone, also
        one that is not there.
        """
        ...

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Give a block a file to write, which takes the name when the block ends well: whole and
        durable. Otherwise nothing is kept of it.
        """
        ...

    def reading(self, name: str) -> Stored:
        """Open a file. Raises FileNotFoundError if there is none, another OSError if it cannot be
        opened.
        """
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder, in any order; none if there is no such folder.

        A name that `writing` gave MUST be among them once it has returned. Raises OSError.
        """
        ...

    def remove(self, *names: str) -> None:
        """Remove files, durably; those that are not there are no error. Raises StorageFailure."""
        ...

    def local(self, name: str) -> AbstractContextManager[Path]:
        """Give a block a file of this machine with the same bytes, which it only reads.

        Raises OSError.
        """
        ...


class Database(Protocol):
    """What makes a database the metadata's: SQLite and PostgreSQL do it, and the questions
    (database/) are the same to each.

    Its engine begins each transaction so that it sees one state. One that has the execution option
    `writes` MUST exclude other writers until it ends, and wait for them no longer than the patience
    that was set; when it is committed it MUST be durable.
    """

    place: str
    """Where it is, as anyone may be told: it MUST hold no secret."""
    engine: Engine
    """Its connections. None is made before one is asked for."""

    def require_present(self) -> None:
        """Raise Damaged if it is known, without asking it, that there is none."""
        ...

    def guards(self, tables: Sequence[Table]) -> list[str]:
        """Return the SQL that makes tables append-only, for every program: no row of them MUST be
        changed or removed, nor replaced by an insert.
        """
        ...

    def problems(self, connection: Connection, tables: Sequence[Table]) -> Iterator[Message]:
        """Yield what its own check finds, and each guard that is gone, is off or is another one."""
        ...

    def back_up(self, version: int) -> Path | None:
        """Copy what is committed beside it, durably, and return the copy; None where its operator
        does that. It MUST not wait for a writer. Raises StorageFailure.
        """
        ...

    def require_kept(self, connection: Connection) -> None:
        """Raise Unreachable if the transaction that was just committed may not be as durable as was
        asked for: nobody may be told that it is.
        """
        ...

    def fault(self, error: DBAPIError) -> WitnesstreeError:
        """Return what an error of its driver means to the caller, without secrets.

        Conflict where another keeps it locked or has won, Unreachable where it does not answer,
        StorageFailure where it cannot write, InvalidInput where its settings are wrong, Damaged for
        anything else.
        """
        ...
