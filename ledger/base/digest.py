"""SHA-256 digests of files: streamed in constant memory, many files side by side, and refused where
a file changes meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from threading import Event, local
from typing import TYPE_CHECKING, TypeAlias

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.system import WITHOUT_WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from io import FileIO
    from pathlib import Path

CHUNK = 2**17
"""Bytes read at a time: so many that hashing, not reading, takes the time, and so few that a core's
own cache holds them until they are hashed."""

PART = 32
"""Files handed to a thread at a time, as long as they are small: to hand one over takes a fifth of
the time in which 256 KiB are hashed."""
PART_BYTES = 2**22
"""Bytes in the files of a part, unless it is one alone: no small one waits for a large one then,
and no thread for another one's last part."""
QUEUED = 4
"""Parts handed to each thread in advance, so that a list of a million files does not become a
million tasks at once."""


_Part: TypeAlias = "list[FileDigest | InvalidInput]"

_own = local()
identity = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
"""Of a file's status: what tells that it is the same file, unchanged."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file's SHA-256 (32 bytes) and size in bytes, as they were when it was read; `status` tells
    whether it has changed since.
    """

    path: Path
    size: int
    digest: bytes
    status: os.stat_result

    def require_unchanged(self) -> None:
        """Raise InvalidInput if the file is not what it was when it was read."""
        try:
            is_same = same_file(self.status, self.path.stat())
        except OSError:
            is_same = False
        if not is_same:
            raise _changed(self.path)


def digest_file(
    path: Path, advance: Callable[[int], None] | None = None, stop: Event | None = None
) -> FileDigest:
    """Return the digest of the file's bytes.

    `advance` is told how many bytes each step has read; setting `stop` ends the work early.

    It does not lock the file: a change that leaves size, times and inode as they were goes unseen.

    Raises InvalidInput if it is no regular file, cannot be read, changes meanwhile, or the work was
    stopped.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidInput("file-not-regular", path=path)
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise InvalidInput("file-not-regular", path=path)
            hashed, read, buffer = sha256(), 0, _buffer()
            while count := _filled(file, buffer, path):
                if stop and stop.is_set():
                    raise InvalidInput("hashing-stopped", path=path)
                hashed.update(buffer[:count])
                read += count
                if advance:
                    advance(count)
            if not (same_file(before, os.fstat(file.fileno())) and same_file(before, path.stat())):
                raise _changed(path)
            if read != before.st_size:
                raise InvalidInput(
                    "file-of-another-size", path=path, told=before.st_size, read=read
                )
    except OSError as error:
        raise InvalidInput("file-unreadable", path=path, error=error) from error
    return FileDigest(path, read, hashed.digest(), before)


def _without_waiting(name: str, flags: int) -> int:
    # Nothing waits for the other end of a pipe that took the file's place.
    return os.open(name, flags | WITHOUT_WAITING)


def _filled(file: FileIO, buffer: memoryview, path: Path) -> int:
    """Return how many bytes were read; some files of the kernel have none yet, and would be waited
    for.
    """
    count: int | None = file.readinto(buffer)
    if count is None:
        raise InvalidInput("file-not-regular", path=path)
    return count


def _changed(path: Path) -> InvalidInput:
    return InvalidInput("file-changed", path=path)


def same_file(before: os.stat_result, after: os.stat_result) -> bool:
    """Tell whether two looks at a file saw the same inode with the same size and times."""
    return bool(identity(before) == identity(after))


def _buffer() -> memoryview:
    """Return this thread's own room to read into: to get new memory for each file takes half as
    long as to hash a small one.
    """
    if not hasattr(_own, "buffer"):
        _own.buffer = memoryview(bytearray(CHUNK))
    buffer: memoryview = _own.buffer
    return buffer


def digest_files(
    paths: Iterable[Path], advance: Callable[[int], None] | None = None, threads: int | None = None
) -> Iterator[FileDigest]:
    """Yield the digest of each file, as `digest_each` does.

    Raises InvalidInput for the first file, in order, that has no digest.
    """
    for found in digest_each(paths, advance, threads):
        if isinstance(found, InvalidInput):
            raise found
        yield found


def digest_each(
    paths: Iterable[Path], advance: Callable[[int], None] | None = None, threads: int | None = None
) -> Iterator[FileDigest | InvalidInput]:
    """Yield the digest of each file, or why it has none, in the order given, hashing several side
    by side (hashlib lets go of the interpreter's lock).

    `advance` is called from several threads.
    """
    # Most commands read one file, and loading this takes longer.
    from concurrent.futures import ThreadPoolExecutor

    threads = threads or os.cpu_count() or 1
    stop = Event()
    pending: deque[Future[_Part]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="digest") as pool:
        try:
            for part in _parts(paths):
                pending.append(pool.submit(_digest_part, part, advance, stop))
                if len(pending) >= threads * QUEUED:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _parts(paths: Iterable[Path]) -> Iterator[list[Path]]:
    part: list[Path] = []
    size = 0
    for path in paths:
        try:
            length = path.stat().st_size
        except OSError:
            # It is told of when its turn comes.
            length = 0
        if part and (len(part) == PART or size + length > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(path)
        size += length
    if part:
        yield part


def _digest_part(part: list[Path], advance: Callable[[int], None] | None, stop: Event) -> _Part:
    """Return the digests of these files, or why one has none."""
    digests: _Part = []
    for path in part:
        try:
            digests.append(digest_file(path, advance, stop))
        except InvalidInput as fault:
            digests.append(fault)
    return digests
