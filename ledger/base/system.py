"""Calls that POSIX has and Windows lacks, as far as verifying needs them, and files opened without
waiting: proofs are verified on Windows, too. A ledger is not kept there.
"""

from __future__ import annotations

import errno
import os
import stat
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

WITHOUT_WAITING: Final[int] = getattr(os, "O_NONBLOCK", 0)
"""The flag to open a file with that may have become a pipe. Windows has none among its files."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file to be read where nothing else belongs: whoever opens a pipe waits for whoever
    writes to it.

    Raises OSError, with ESPIPE where it is a pipe or a device.
    """
    file = open(  # noqa: SIM115 - the caller closes it
        path, "rb", opener=lambda name, flags: os.open(name, flags | WITHOUT_WAITING)
    )
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE), str(path))
    return file


def read_at(file: BinaryIO, size: int, offset: int) -> bytes:
    """Return at most `size` bytes from `offset` on of a file that was opened without a buffer.
    Where it stands afterwards is not said.

    Raises OSError.
    """
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    file.seek(offset)
    return file.read(size)


def own_user() -> int:
    """Return the user that this process runs as, as files name their owners: on Windows, they all
    name 0.
    """
    return os.geteuid() if hasattr(os, "geteuid") else 0


def sync_all() -> None:
    """Make everything durable that was written, where the system has a call for it."""
    if hasattr(os, "sync"):
        os.sync()


def has_locks() -> bool:
    """Whether the system has the locks that a ledger needs."""
    return find_spec("fcntl") is not None
