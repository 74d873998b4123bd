"""Durable writes: what is on disk when a call returns, and nothing half-written under a final name. No other module of the store calls fsync."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from witnesstree.ledger.errors import StorageFailure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is written into StorageFailure."""
    try:
        yield
    except OSError as error:
        raise StorageFailure(f"cannot write {error.filename or path}: {error.strerror}; make room or mend the disk, then run it again") from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a new file beside `path` that takes its name, durably, when the block ends well; otherwise it is removed and `path` stays as it was.

    The file can be read back while it is written. A crash leaves at most a stray `.tmp`, which nothing ever reads.

    Raises StorageFailure if the disk refuses.
    """
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


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put `content` under the name `path`, durably and all at once. Raises StorageFailure if the disk refuses."""
    with replacing(path, mode) as file:
        file.write(content)
