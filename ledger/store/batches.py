"""Batches as files: `N.digests` holds 32-byte digests, `N.tree` the levels above them, from the parents of the leaves up to the root.

While a batch is open its file may be longer than what was acknowledged: the metadata store says how many entries count, and the next write
starts there. So a crash in the middle of a write needs no repair.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

from witnesstree.ledger.errors import Damaged
from witnesstree.ledger.store.disk import replacing, storage_errors, sync_folder
from witnesstree.ledger.tree import NODE, level_sizes, next_level, siblings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART = 2**16
"""Nodes hashed or copied at a time (2 MiB); even, so that a level may be cut there."""

PER_FOLDER = 1000
"""Batches in a folder, so that no folder grows without bound."""


class BatchFiles:
    """The digests and trees of all batches, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def digests_path(self, sequence: int) -> Path:
        """Return where the digests of batch `sequence` stand."""
        return self._path(sequence, "digests")

    def tree_path(self, sequence: int) -> Path:
        """Return where its tree stands."""
        return self._path(sequence, "tree")

    def index_path(self, sequence: int) -> Path:
        """Return where its digest index stands."""
        return self._path(sequence, "index")

    def append(self, sequence: int, count: int, packed: bytes) -> None:
        """Write packed digests behind the first `count` entries, over anything unacknowledged. On return they are on disk.

        The caller makes them count by raising the count in the metadata store, and lets no two appends to one batch run at once.

        Raises StorageFailure if the disk refuses; what was written then counts for nothing.
        """
        path = self.digests_path(sequence)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                view, offset = memoryview(packed), count * NODE
                while view:
                    written = os.pwrite(descriptor, view, offset)
                    view, offset = view[written:], offset + written
                os.fsync(descriptor)
            except OSError:
                # On a full disk, what nobody will read would take the room that is needed to go on.
                with suppress(OSError):
                    os.ftruncate(descriptor, count * NODE)
                raise
            finally:
                os.close(descriptor)
            if count == 0:
                # Nothing of this batch counts yet. The file may be there all the same, made by a run that ended before its name was on disk.
                sync_folder(path.parent)
                sync_folder(path.parent.parent)

    def parts(self, sequence: int, count: int) -> Iterator[bytes]:
        """Yield the first `count` digests, packed, at most PART at a time.

        Raises Damaged if the file is missing or shorter.
        """
        path = self.digests_path(sequence)
        try:
            with path.open("rb") as file:
                yield from _read_parts(file, 0, count, path)
        except OSError as error:
            raise Damaged(f"cannot read {path}: {error.strerror}; run `witnesstree fsck`") from error

    def checksum(self, sequence: int, count: int) -> int:
        """Return the CRC-32 of the first `count` digests, as `submit` kept it while it wrote them."""
        value = 0
        for part in self.parts(sequence, count):
            value = crc32(part, value)
        return value

    def seal(self, sequence: int, count: int) -> bytes:
        """Cut the digests file to `count` entries, write the tree beside it, and return the root. On return both are on disk.

        Doing it again gives the same bytes. Raises StorageFailure if the disk refuses, Damaged if digests are missing.
        """
        digests = self.digests_path(sequence)
        with storage_errors(digests):
            if digests.is_file() and digests.stat().st_size > count * NODE:
                with digests.open("r+b") as file:
                    file.truncate(count * NODE)
                    os.fsync(file.fileno())
        with replacing(self.tree_path(sequence)) as tree:
            root = b"".join(self.parts(sequence, count)) if count == 1 else b""
            sizes = list(level_sizes(count))
            for level, size in enumerate(sizes[:-1]):
                parts = self.parts(sequence, count) if level == 0 else _read_parts(tree, _offset(sizes, level), size, self.tree_path(sequence))
                position = _offset(sizes, level + 1)
                for part in parts:
                    root = next_level(part)
                    tree.seek(position)
                    position += tree.write(root)
            return root

    def path(self, sequence: int, position: int, count: int) -> tuple[bytes, ...]:
        """Return the path of the entry at `position` in a sealed batch of `count`; it reads O(log count) bytes.

        Raises Damaged if bytes are missing. What it reads is not checked here: the caller compares the root it leads to.
        """
        sizes = list(level_sizes(count))
        nodes = []
        try:
            with self.digests_path(sequence).open("rb", buffering=0) as digests, self.tree_path(sequence).open("rb", buffering=0) as tree:
                for level, index in siblings(position, count):
                    file, offset = (digests, 0) if level == 0 else (tree, _offset(sizes, level))
                    nodes.append(_exactly(os.pread(file.fileno(), NODE, offset + index * NODE), NODE, self.tree_path(sequence)))
        except OSError as error:
            raise Damaged(f"cannot read batch {sequence}: {error.strerror}; run `witnesstree fsck`") from error
        return tuple(nodes)

    def digest_at(self, sequence: int, position: int) -> bytes:
        """Return the digest at `position`. Raises Damaged if it is missing."""
        path = self.digests_path(sequence)
        try:
            with path.open("rb", buffering=0) as file:
                return _exactly(os.pread(file.fileno(), NODE, position * NODE), NODE, path)
        except OSError as error:
            raise Damaged(f"cannot read {path}: {error.strerror}; run `witnesstree fsck`") from error

    def scan(self, sequence: int, count: int, digest: bytes) -> Iterator[int]:
        """Yield each position of `digest` among the first `count` entries, by reading them all: for batches that have no index yet.

        Raises Damaged if the file is missing or shorter.
        """
        try:
            with self.digests_path(sequence).open("rb") as file, mmap.mmap(file.fileno(), count * NODE, access=mmap.ACCESS_READ) as entries:
                found = entries.find(digest)
                while found >= 0:
                    if found % NODE == 0:
                        yield found // NODE
                    found = entries.find(digest, found + 1)
        except (OSError, ValueError, OverflowError) as error:
            raise Damaged(f"batch {sequence} has fewer entries on disk than were acknowledged; run `witnesstree fsck`") from error

    def _path(self, sequence: int, ending: str) -> Path:
        return self._folder / f"{sequence // PER_FOLDER:05}" / f"{sequence:08}.{ending}"


def _offset(sizes: list[int], level: int) -> int:
    """Return where `level` starts in a tree file, which leaves out level 0."""
    return sum(sizes[1:level]) * NODE


def _read_parts(file: BinaryIO, offset: int, count: int, path: Path) -> Iterator[bytes]:
    # Another position may be sought between two parts: the tree is read and written through one file.
    for first in range(0, count, PART):
        size = min(PART, count - first) * NODE
        file.seek(offset + first * NODE)
        yield _exactly(file.read(size), size, path)


def _exactly(content: bytes, size: int, path: Path) -> bytes:
    if len(content) != size:
        raise Damaged(f"{path} is shorter than its batch; run `witnesstree fsck`")
    return content
