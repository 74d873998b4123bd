"""The embedded IPFS stand-in: a folder of blocks.

No other module reads or writes these two folders in it.

    FOLDER/blocks/ku/bafkrei...vyku     one block, named by its CID; the folder is named by the last
                                        two characters but one
    FOLDER/tmp/                         blocks being written; nothing reads them, and all of it may
                                        be deleted while nothing is added

A block takes its name only once its bytes are on disk, and a node only once the names of all blocks
below it are; so a crash at any moment leaves whole files, or blocks that no file claims.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from typing_extensions import override

from witnesstree.anchor.ipfs.car import format_block, format_header
from witnesstree.anchor.ipfs.cid import DAG_PB, RAW, Cid, cid_of, parse_cid
from witnesstree.anchor.ipfs.unixfs import CHUNK, MAX_BLOCK, parse_node, store_chunks, walk
from witnesstree.ledger.base.errors import Damaged, InvalidInput, NotFound, StorageFailure
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.ports import FileStore
from witnesstree.ledger.store.disk import placing, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class DamagedBlock:
    """What `check` found: `name` is a path within the store's folder, `reason` says what is wrong
    there.
    """

    name: str
    reason: Message


class BlockStore(FileStore):
    """Files in a folder of blocks, under the CIDs that Kubo's `ipfs add --cid-version=1` gives
    them.

    Several processes may use one folder at once. It is made by the first `add`. Nothing is ever
    removed from it, and nothing in it is encrypted.
    """

    notice: ClassVar[Message] = message("ipfs-is-embedded")

    def __init__(self, folder: Path) -> None:
        """Keep blocks in `folder`."""
        self._folder = folder
        self._blocks = folder / "blocks"
        self._tmp = folder / "tmp"

    @override
    def add(self, file: Path) -> str:
        """Store the file and return its CIDv1 as text; every block is durable by then.

        Memory does not grow with the file. A file that is refused may leave blocks behind, but no
        node that makes a file of them.

        Raises NotFound if there is no such file, InvalidInput if it cannot be read, is no regular
        file or changed while it was read, StorageFailure if the disk refuses.
        """
        with _storing(self._folder), opened(file) as stream:
            self._tmp.mkdir(parents=True, exist_ok=True)
            unsettled: set[Path] = set()

            def put(cid: Cid, block: bytes) -> None:
                if cid.codec == DAG_PB:
                    self._settle(unsettled)
                unsettled.add(self._put(cid, block))

            cid = store_chunks(chunks_of(file, stream), put)
            self._settle(unsettled)
        return str(cid)

    @override
    def read(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out`, which is replaced; `out` is whole and durable, or
        as it was before.

        Raises InvalidInput if `cid` is no CID of ours or `out` is not a place to write to, NotFound
        if a block is not here, Damaged if a block is not what its name says or the blocks are no
        file, StorageFailure if the disk refuses.
        """
        root = parse_cid(cid)
        with written(out) as stream:
            for part, block in self._walk(root):
                if part.codec == RAW:
                    stream.write(block)

    def has(self, cid: str) -> bool:
        """Tell whether the block named by `cid` is here and undamaged; the blocks that it links to
        are not asked for.

        Raises InvalidInput if `cid` is no CID of ours, StorageFailure if the disk refuses.
        """
        try:
            self._block(parse_cid(cid))
        except (NotFound, Damaged):
            return False
        return True

    def holds(self, cid: str) -> bool:
        """Tell whether the whole file named by `cid` is here and undamaged: every block of it is
        read.

        Raises InvalidInput if `cid` is no CID of ours, StorageFailure if the disk refuses.
        """
        try:
            for _ in self._walk(parse_cid(cid), once=True):
                pass
        except (NotFound, Damaged):
            return False
        return True

    def export_car(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out` as a CARv1, depth first, each block once: the same
        bytes as Kubo's `ipfs dag export`.

        A few hundred bytes of memory are used for each block. Raises what `read` raises.
        """
        root = parse_cid(cid)
        with written(out) as stream:
            stream.write(format_header(root))
            for part, block in self._walk(root, once=True):
                stream.write(format_block(part, block))

    def check(self) -> Iterator[DamagedBlock]:
        """Yield whatever is wrong in the folder: damaged, misplaced and missing blocks, and what is
        no block at all.

        Every block is read, in the order of their paths; a missing one is yielded in the place of
        the node that links to it. A block that no file claims is not wrong. A file that lacks its
        topmost block cannot be noticed here: ask `has` for each CID that was promised.

        Raises StorageFailure if the disk refuses to list a folder; a block that it refuses to read
        is yielded.
        """
        with _storing(self._folder):
            for shard in _entries(self._blocks):
                if not shard.is_dir(follow_symlinks=False):
                    yield DamagedBlock(
                        self._name(Path(shard.path)), message("store-entry-no-folder")
                    )
                    continue
                for entry in _entries(Path(shard.path)):
                    yield from self._check_entry(entry)

    def close(self) -> None:
        """Do nothing: between two calls nothing is open.

        Here because a store on a network has connections to close.
        """

    def _check_entry(self, entry: os.DirEntry[str]) -> Iterator[DamagedBlock]:
        path = Path(entry.path)
        try:
            cid = parse_cid(entry.name)
        except InvalidInput:
            yield DamagedBlock(self._name(path), message("store-entry-no-block"))
            return
        if path != self._path(cid):
            yield DamagedBlock(
                self._name(path), message("block-misplaced", path=self._name(self._path(cid)))
            )
        if not entry.is_file(follow_symlinks=False):
            yield DamagedBlock(self._name(path), message("store-entry-no-file"))
            return
        try:
            block = _content(cid, path)
            links = parse_node(block) if cid.codec == DAG_PB else []
        except (InvalidInput, Damaged, NotFound, StorageFailure) as error:
            yield DamagedBlock(self._name(path), error.message)
            return
        for link in links:
            if not self._path(link.cid).is_file():
                yield DamagedBlock(
                    self._name(self._path(link.cid)), message("block-missing", cid=str(cid))
                )

    def _walk(self, root: Cid, *, once: bool = False) -> Iterator[tuple[Cid, bytes]]:
        try:
            yield from walk(root, self._block, once=once)
        except InvalidInput as error:
            # Blocks come here through `add` alone: if they have their names' digests and are no
            # file, nobody knows how they came.
            raise Damaged(
                "blocks-are-no-file", cid=str(root), folder=self._folder, error=error
            ) from error

    def _block(self, cid: Cid) -> bytes:
        with _storing(self._folder):
            return _content(cid, self._path(cid))

    def _put(self, cid: Cid, block: bytes) -> Path:
        """Make sure that the block is stored under its name; return the folder that must be settled
        before the name is durable.
        """
        path = self._path(cid)
        try:
            if _read_limited(path) == block:
                # Settled all the same: the process that wrote it may have been killed before it got
                # to that.
                return path.parent
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        with placing(path, scratch=self._tmp) as stream:
            stream.write(block)
        return path.parent

    def _settle(self, unsettled: set[Path]) -> None:
        """Make the names in these folders durable, and the folders' own names."""
        for folder in (*unsettled, self._blocks, self._folder, self._folder.parent):
            sync_folder(folder)
        unsettled.clear()

    def _path(self, cid: Cid) -> Path:
        name = str(cid)
        # The last character holds three bits only; the two before it spread blocks evenly over
        # 1,024 folders.
        return self._blocks / name[-3:-1] / name

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _content(cid: Cid, path: Path) -> bytes:
    """Return the bytes of the block at `path`, compared with its name.

    Raises NotFound, Damaged, StorageFailure.
    """
    try:
        block = _read_limited(path)
    except FileNotFoundError:
        raise NotFound("block-not-here", cid=str(cid), path=path) from None
    except OSError as error:
        raise StorageFailure("file-cannot-be-read", path=path, error=error) from error
    if len(block) > MAX_BLOCK:
        raise Damaged("block-too-large", cid=str(cid), path=path, most=MAX_BLOCK)
    if cid_of(cid.codec, block) != cid:
        raise Damaged(
            "block-digest-differs",
            cid=str(cid),
            path=path,
            digest=cid_of(cid.codec, block).digest,
        )
    return block


def _read_limited(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_BLOCK + 1)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises NotFound if there is none, InvalidInput if it cannot be read or is no regular file.
    """
    try:
        # Non-blocking, because opening a named pipe would wait for somebody to write to it.
        number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("file-missing", path=file) from None
    except (OSError, ValueError) as error:
        raise InvalidInput("file-cannot-be-read", path=file, error=error) from error
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise InvalidInput("file-not-regular", path=file)
        with os.fdopen(number, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(number)


def chunks_of(file: Path, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the chunks of the `file` that was opened as `stream`.

    Raises InvalidInput after the last chunk if it changed meanwhile, StorageFailure if the disk
    refuses.
    """
    before, read = _identity(os.fstat(stream.fileno())), 0
    size = before[0]
    while read <= size and (chunk := _next_chunk(file, stream)):
        read += len(chunk)
        yield chunk
    # By name, not by descriptor: this notices as well that another file has taken the name.
    if read != size or _identity_at(file) != before:
        raise InvalidInput("file-changed-while-read", path=file)


def _next_chunk(file: Path, stream: BinaryIO) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise StorageFailure("file-cannot-be-read", path=file, error=error) from error


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def _identity_at(file: Path) -> tuple[int, int, int, int] | None:
    try:
        return _identity(file.stat())
    except OSError:
        return None


@contextmanager
def written(out: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `out`, durable, once all went well.

    Raises InvalidInput and StorageFailure.
    """
    try:
        with placing(out) as stream:
            yield stream
        sync_folder(out.parent)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InvalidInput("file-not-writable-here", path=out, error=error) from error
    except OSError as error:
        raise StorageFailure("file-not-written", path=out, error=error) from error


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Turn what the disk says into StorageFailure."""
    try:
        yield
    except OSError as error:
        raise StorageFailure(
            "blocks-not-kept", folder=folder, path=str(error.filename or folder), error=error
        ) from error
