"""Durable writes: what is on disk when a call returns, and nothing half-written under a final name.
No other module of the store calls fsync.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from witnesstree.ledger.base.errors import Conflict, InvalidInput, StorageFailure
from witnesstree.ledger.base.system import has_locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


_HOLDER = 20
"""Characters for the process that holds a lock."""


@contextmanager
def locked(path: Path, patience: float = 60.0) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made where there is none, while the block runs; it
    is let go even by a killed process.

    What is read, changed and written again is held so from the reading on. Raises Conflict if
    another process holds it for `patience` seconds, StorageFailure, InvalidInput where the system
    has no such locks.
    """
    require_locks()
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with storage_errors(path):
            deadline = time.monotonic() + patience
            while not try_lock(descriptor):
                if time.monotonic() > deadline:
                    holder = os.pread(descriptor, _HOLDER, 0).decode("ascii", "replace").strip()
                    raise Conflict("lock-held", path=path, pid=holder or None)
                time.sleep(0.05)
            # Over what the one before wrote: to cut a file is a change that every sync waits for.
            if os.fstat(descriptor).st_size > _HOLDER:
                os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid():<{_HOLDER}}".encode(), 0)
        # What goes wrong in the block is not this file's fault.
        yield
    finally:
        os.close(descriptor)


def require_locks() -> None:
    """Raise InvalidInput unless the system has the locks that a ledger needs: Windows does not, and
    only verifies.
    """
    if not has_locks():
        raise InvalidInput("system-without-locks")


def try_lock(descriptor: int) -> bool:
    """Lock an open file, unless another process holds its lock; return whether it is ours."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the system has a call for that: Windows opens no
    folder.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make `folder` durable with all that is in it, contents and names.

    Raises StorageFailure.
    """
    with storage_errors(folder):
        for parent, _, names in os.walk(folder):
            for name in names:
                sync_folder(Path(parent, name))
            sync_folder(Path(parent))


def is_taken(folder: Path) -> bool:
    """Whether no folder can be put at `folder`: there is anything but an empty one. A link is
    something, wherever it leads.
    """
    return folder.is_symlink() or (
        folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    )


@contextmanager
def making_folder(folder: Path, require_free: Callable[[], None]) -> Iterator[Path]:
    """Give a block a new folder to fill, `.NAME.half-made`, which takes the name `folder` when the
    block ends well; otherwise it is removed. So a half-made one never has the name.

    `folder` is absolute, and absent or empty: `require_free` raises where it is not. What the block
    writes is made durable by the block.

    Raises Conflict if another process makes the same one, InvalidInput if a folder above is none or
    the name is too long, StorageFailure if the disk refuses.
    """
    building = folder.with_name(f".{folder.name}.half-made")
    with storage_errors(folder):
        try:
            building.is_symlink()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise InvalidInput("folder-name-too-long", path=folder) from error
            raise
    require_free()
    with storage_errors(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InvalidInput("parent-not-folder", path=str(error.filename)) from error
        with (folder.parent / f".{folder.name}.lock").open("w") as lock:
            if not try_lock(lock.fileno()):
                raise Conflict("folder-being-made", folder=folder)
            try:
                # Asked again: the process that held the lock before may have made it.
                require_free()
                if building.exists():
                    shutil.rmtree(building)
                building.mkdir(mode=0o700)
                yield building
                building.replace(folder)
                sync_folder(folder.parent)
            finally:
                shutil.rmtree(building, ignore_errors=True)
                Path(lock.name).unlink(missing_ok=True)


@contextmanager
def placing(
    path: Path, mode: int = 0o644, scratch: Path | None = None, *, is_durable: bool = True
) -> Iterator[BinaryIO]:
    """Open a new file that takes the name `path` when the block ends well; otherwise it is removed
    and `path` stays as it was. This is the only place where files are written so.

    It is made in `scratch`, or beside `path`, under a name that nobody can guess (`.NAME.….tmp`, 20
    bytes longer than its own), and follows no link: it is opened only where nothing is. It can be
    read back while it is written; its own name is `file.name`. A crash leaves at most a stray
    `.tmp`, which nothing ever reads. On return its bytes are on disk, unless that is left to the
    caller (`is_durable`); its name is once `sync_folder` was called.

    Raises OSError.
    """
    temporary = (scratch or path.parent) / f".{path.name}.{secrets.token_hex(7)}.tmp"
    is_ours = True

    def opened(name: str, flags: int) -> int:
        nonlocal is_ours
        try:
            return os.open(name, flags, mode)
        except OSError:
            is_ours = False
            raise

    try:
        # A mode from the start. Inside the block: Ctrl-C may come once the file is there.
        with open(temporary, "x+b", opener=opened) as file:
            yield file
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        if is_ours:
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a new file that takes the name `path` as `placing` says; on return it has it durably.

    Raises InvalidInput if `path` can only be a folder, StorageFailure if the disk refuses.
    """
    if path.name in {"", ".."}:
        raise InvalidInput("path-is-folder", path=path)
    with storage_errors(path):
        with placing(path, mode) as file:
            yield file
        sync_folder(path.parent)


def write_file(path: Path, content: bytes | bytearray, mode: int = 0o644) -> None:
    """Put `content` under the name `path`, durably and all at once.

    Raises what `replacing` raises.
    """
    with replacing(path, mode) as file:
        file.write(content)
