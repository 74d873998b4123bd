"""Batches as files: `N.digests` holds 32-byte digests, `N.nodes` every sixth level of the tree
above them, `N.journal` what the digests alone do not say (journal.py).

What lies between two kept levels is derived when it is asked for: from 64 neighbours, which are
read at once. So a tree costs half a byte an entry instead of 32, and a path takes one read for
every six hashes. Kept are levels 6, 12, … as far as they have more than one node, the lowest first;
the root is in the metadata.

While a batch is open its file may be longer than what was acknowledged: the metadata store says how
many entries count, and the next write starts there. So a crash in the middle of a write needs no
repair.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from zlib import crc32

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.store.journal import Journals
from witnesstree.ledger.tree import levels
from witnesstree.ledger.tree.levels import kept_above, kept_sizes
from witnesstree.ledger.tree.tree import NODE, levels_above, siblings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from witnesstree.ledger.store.ports import Place

PER_FOLDER = 1000
"""Batches in a folder, so that no folder grows without bound."""
MERGED = "merged"
"""The folder of the merged digest indexes."""


class BatchFiles:
    """The digests and trees of all batches, in one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.journals = Journals(self)

    def digests_name(self, sequence: int) -> str:
        """Return the name of the digests of batch `sequence`."""
        return _name(sequence, "digests")

    def nodes_name(self, sequence: int) -> str:
        """Return the name of the levels of its tree that are kept."""
        return _name(sequence, "nodes")

    def journal_name(self, sequence: int) -> str:
        """Return the name of its journal (journal.py)."""
        return _name(sequence, "journal")

    def index_name(self, sequence: int) -> str:
        """Return the name of its digest index, until that is merged with others."""
        return _name(sequence, "index")

    def merged_name(self, first: int, last: int) -> str:
        """Return the name of the digest index of batches `first` to `last`."""
        return f"{MERGED}/{first:08}-{last:08}.index"

    def digests_path(self, sequence: int) -> Path:
        """Return what people are told of where the digests of batch `sequence` are."""
        return self.place.path(self.digests_name(sequence))

    def nodes_path(self, sequence: int) -> Path:
        """Return the same of the levels of its tree that are kept."""
        return self.place.path(self.nodes_name(sequence))

    def index_path(self, sequence: int) -> Path:
        """Return the same of its digest index."""
        return self.place.path(self.index_name(sequence))

    def merged_path(self, first: int, last: int) -> Path:
        """Return the same of the digest index of batches `first` to `last`."""
        return self.place.path(self.merged_name(first, last))

    def open(self, sequence: int, opening: str, header: bytes | None) -> None:
        """Begin the files of a batch that the database is about to have.

        What a crash left of a batch of this number, of which nobody was told, is set aside.
        Whether it is that, the caller has found out (newer.py).

        Raises StorageFailure if the disk refuses.
        """
        for name in (self.digests_name(sequence), self.journal_name(sequence)):
            self.place.set_aside(name)
        self.journals.create(sequence, opening, header)

    def append(self, sequence: int, count: int, *packed: bytes | memoryview) -> None:
        """Write packed digests behind the first `count` entries, over anything unacknowledged.

        On return they are on disk. The file is made with its first entries, and only where there is
        none; nothing is written behind entries that are gone, because their batch cannot be sealed.

        The caller makes them count by raising the count in the metadata store, and lets no two
        appends to one batch run at once.

        Raises StorageFailure if the disk refuses; what was written then counts for nothing. Raises
        Damaged if the first entries meet a file, or later ones would not follow on those before.
        """
        name = self.digests_name(sequence)
        if count:
            self._require_size(name, count)
            self.place.append(name, count * NODE, *packed)
            return
        try:
            self.place.create(name, *packed)
        except FileExistsError as error:
            raise Damaged("batch-file-taken", path=self.place.path(name)) from error

    def _require_size(self, name: str, count: int) -> None:
        path = self.place.path(name)
        try:
            size = self.place.reading(name).size()
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise Damaged("stored-file-unreadable", path=path, error=error) from error
        if size < count * NODE:
            raise Damaged(
                "acknowledged-entries-missing", path=path, known=count, found=size // NODE
            )

    def parts(self, sequence: int, count: int) -> Iterator[bytes]:
        """Yield the first `count` digests, packed, at most levels.PART at a time.

        Raises Damaged if the file is missing or shorter.
        """
        path = self.digests_path(sequence)
        try:
            file = self.place.reading(self.digests_name(sequence))
            for first in range(0, count, levels.PART):
                size = min(levels.PART, count - first) * NODE
                yield _exactly(file.read(first * NODE, size), size, path)
        except OSError as error:
            raise self._unreadable(sequence, error) from error

    def checksum(self, sequence: int, count: int) -> int:
        """Return the CRC-32 of the first `count` digests, as `submit` kept it while it wrote
        them.
        """
        value = 0
        for part in self.parts(sequence, count):
            value = crc32(part, value)
        return value

    def seal(self, sequence: int, count: int) -> bytes:
        """Cut the digests file to `count` entries, write the kept levels of the tree beside it, and
        return the root. On return both are on disk.

        It reads each digest once, and needs half a byte of memory an entry. Doing it again gives
        the same bytes.

        Raises StorageFailure if the disk refuses, Damaged if digests are missing.
        """
        self.place.cut(self.digests_name(sequence), count * NODE)
        return self.write_nodes(sequence, count)

    def write_nodes(self, sequence: int, count: int, root: bytes | None = None) -> bytes:
        """Write the kept levels of the tree over the first `count` digests, and return its root.

        On return they are on disk.

        Raises StorageFailure if the disk refuses, Damaged if digests are missing or lead to another
        root than `root`: then nothing is written.
        """
        built = self._levels(sequence, count)
        if root not in {None, built[-1]}:
            raise Damaged("digests-lead-elsewhere", path=self.digests_path(sequence))
        with self.place.writing(self.nodes_name(sequence)) as file:
            for level in built[:: levels.STEP]:
                if len(level) > NODE:
                    file.write(level)
        return built[-1]

    def root(self, sequence: int, count: int) -> bytes:
        """Return the root over the first `count` digests. Raises Damaged if some are missing."""
        return self._levels(sequence, count)[-1]

    def _levels(self, sequence: int, count: int) -> list[bytes]:
        lowest = b"".join(kept_above(part) for part in self.parts(sequence, count))
        return [lowest, *levels_above(lowest)]

    def path(self, sequence: int, position: int, count: int) -> tuple[bytes, ...]:
        """Return the path of the entry at `position` in a sealed batch of `count`; it reads O(log
        count) bytes.

        Raises Damaged if bytes are missing. What it reads is not checked here: the caller compares
        the root it leads to.
        """
        sizes = kept_sizes(count)
        path: list[bytes] = []
        try:
            names = self.digests_name(sequence), self.nodes_name(sequence)
            digests, nodes = (self.place.reading(name) for name in names)
            for kept, steps in groupby(
                siblings(position, count), key=lambda step: step[0] // levels.STEP
            ):
                # The nodes of a kept level among which the path begins: all hashes up
                # to the next kept level follow from them.
                first = position >> (kept + 1) * levels.STEP << levels.STEP
                size = min(2**levels.STEP, sizes[kept] - first) * NODE
                file, offset = (nodes, sum(sizes[1:kept]) * NODE) if kept else (digests, 0)
                block = _exactly(
                    file.read(offset + first * NODE, size),
                    size,
                    self.place.path(names[1 if kept else 0]),
                )
                between = [block, *levels_above(block)]
                for level, index in steps:
                    height = level - kept * levels.STEP
                    at = (index - (first >> height)) * NODE
                    path.append(between[height][at : at + NODE])
        except OSError as error:
            raise Damaged("batch-files-unreadable", batch=sequence, error=error) from error
        return tuple(path)

    def digest_at(self, sequence: int, position: int) -> bytes:
        """Return the digest at `position`. Raises Damaged if it is missing."""
        path = self.digests_path(sequence)
        try:
            file = self.place.reading(self.digests_name(sequence))
            return _exactly(file.read(position * NODE, NODE), NODE, path)
        except OSError as error:
            raise self._unreadable(sequence, error) from error

    def _unreadable(self, sequence: int, error: OSError) -> Damaged:
        path = self.digests_path(sequence)
        if isinstance(error, FileNotFoundError):
            return Damaged("digests-of-batch-missing", path=path, batch=sequence)
        return Damaged("stored-file-unreadable", path=path, error=error)

    def scan(self, sequence: int, count: int, digest: bytes) -> Iterator[int]:
        """Yield each position of `digest` among the first `count` entries, by reading them all: for
        batches that have no index yet.

        Raises Damaged if the file is missing or shorter.
        """
        try:
            stored = self.place.reading(self.digests_name(sequence))
            with stored.mapped(count * NODE) as entries:
                found = entries.find(digest)
                while found >= 0:
                    if found % NODE == 0:
                        yield found // NODE
                    found = entries.find(digest, found + 1)
        except (OSError, ValueError, OverflowError) as error:
            raise Damaged("entries-missing", batch=sequence) from error


def _name(sequence: int, ending: str) -> str:
    return f"{sequence // PER_FOLDER:05}/{sequence:08}.{ending}"


def _exactly(content: bytes, size: int, path: Path) -> bytes:
    if len(content) != size:
        raise Damaged("file-too-short", path=path)
    return content
