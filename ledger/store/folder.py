"""A folder of this machine as the place of batches' files."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from witnesstree.ledger.base.errors import StorageFailure
from witnesstree.ledger.store.disk import replacing, storage_errors, sync_folder
from witnesstree.ledger.store.ports import Place, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class FolderFile(Stored):
    """A file that is open: it can be read even when its name is gone."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        if stat.S_ISDIR(os.fstat(self._descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))

    def __del__(self) -> None:
        with suppress(AttributeError):
            os.close(self._descriptor)

    @override
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    @override
    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    @override
    @contextmanager
    def mapped(self, size: int) -> Iterator[mmap.mmap]:
        with mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ) as content:
            yield content

    @override
    def is_current(self) -> bool:
        return os.fstat(self._descriptor).st_nlink > 0


class Folder(Place):
    """A folder, whose files are the place's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def path(self, name: str) -> Path:
        return self._folder / name

    @override
    def create(self, name: str, *pieces: bytes | memoryview) -> None:
        path = self._folder / name
        try:
            with storage_errors(path):
                self._create(path, pieces)
        except StorageFailure as error:
            if isinstance(error.__cause__, FileExistsError):
                raise error.__cause__ from None
            raise

    def _create(self, path: Path, pieces: tuple[bytes | memoryview, ...]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        try:
            _write(descriptor, 0, pieces)
            os.fsync(descriptor)
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)

    @override
    def overwrite(self, name: str, offset: int, piece: bytes) -> None:
        path = self._folder / name
        with storage_errors(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                _write(descriptor, offset, (piece,))
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    @override
    def set_aside(self, name: str) -> None:
        path = self._folder / name
        with storage_errors(path):
            if os.path.lexists(path):
                path.rename(path.with_name(f"{path.name}.aside-{secrets.token_hex(7)}"))
                sync_folder(path.parent)

    @override
    def append(self, name: str, offset: int, *pieces: bytes | memoryview) -> None:
        path = self._folder / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                _write(descriptor, offset, pieces)
                os.fsync(descriptor)
            except OSError:
                # On a full disk, what nobody will read would take the room that is needed to go on.
                with suppress(OSError):
                    os.ftruncate(descriptor, offset)
                raise
            finally:
                os.close(descriptor)
            if offset == 0:
                # Nothing of this file counts yet. It may be there all the same, made by a run that
                # ended before its name was on disk.
                sync_folder(path.parent)
                sync_folder(path.parent.parent)

    @override
    def cut(self, name: str, size: int) -> None:
        path = self._folder / name
        with storage_errors(path):
            if path.is_file() and path.stat().st_size > size:
                with path.open("r+b") as file:
                    file.truncate(size)
                    os.fsync(file.fileno())

    @override
    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        path = self._folder / name
        with storage_errors(path):
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(path.parent.parent)
        with replacing(path) as file:
            yield file

    @override
    def reading(self, name: str) -> FolderFile:
        return FolderFile(self._folder / name)

    @override
    def names(self, folder: str) -> list[str]:
        try:
            return [f"{folder}/{path.name}" for path in (self._folder / folder).iterdir()]
        except FileNotFoundError:
            return []

    @override
    def remove(self, *names: str) -> None:
        paths = [self._folder / name for name in names]
        for path in paths:
            with storage_errors(path):
                path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            with storage_errors(folder), suppress(FileNotFoundError):
                sync_folder(folder)

    @override
    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        yield self._folder / name


def _write(descriptor: int, offset: int, pieces: Iterable[bytes | memoryview]) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written
