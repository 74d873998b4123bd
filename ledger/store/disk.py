"""Durable writes: what is on disk when a call returns, and nothing half-written under a final name.
No other module of the store calls fsync.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from witnesstree.ledger.base.errors import InvalidInput, StorageFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What no room on the disk would change."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is written into StorageFailure, which names `path` where the
    disk named a temporary file for it.
    """
    try:
        yield
    except OSError as error:
        named = Path(str(error.filename or path))
        place = path if named.name.startswith(f".{path.name}.") else named
        code = "write-forbidden" if error.errno in _FORBIDDEN else "write-failed"
        raise StorageFailure(code, path=place, error=error) from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a new file beside `path` that takes its name, durably, when the block ends well;
    otherwise it is removed and `path` stays as it was.

    The file can be read back while it is written. A crash leaves at most a stray `.tmp`, which
    nothing ever reads.

    Raises InvalidInput if `path` can only be a folder, StorageFailure if the disk refuses.
    """
    if path.name in {"", ".."}:
        raise InvalidInput("path-is-folder", path=path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path):
        try:
            with open(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode), "w+b") as file:  # noqa: PTH123 - a mode from the start
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_file(path: Path, content: bytes | bytearray, mode: int = 0o644) -> None:
    """Put `content` under the name `path`, durably and all at once.

    Raises what `replacing` raises.
    """
    with replacing(path, mode) as file:
        file.write(content)
