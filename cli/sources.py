"""What people hand in to be sealed: paths to files and folders, and files of digests in three
forms.

The files of the ledger's own home are never evidence: its keys are among them. A home is known by
what it is, not by how it is spelt: by the device and inode of its folders, and of its files where a
file has more than one name.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from witnesstree.cli.names import PROOF_ENDING, proof_name
from witnesstree.ledger.base.digest import same_file
from witnesstree.ledger.base.errors import InvalidInput, StorageFailure
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

    from witnesstree.ledger.base.message import Message

DIGEST = 32
PART = 10**6
"""Digests handed over at a time, at most: each part is waited for until it is on disk.

Beyond 32 MiB malloc would never use the memory again.
"""

CHUNK = 2**24
"""Bytes of text read at a time (16 MiB), some 250,000 lines."""

_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""How the system answers where it is this process that may have no more."""
_LEFT_OVER = re.compile(r"\.(?:.+\.)?[0-9a-f]{14}\.tmp", re.DOTALL)
"""What a crash leaves of a file that was being written (ledger/store/disk.py)."""
_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?[\t\r\n -~]+")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be sealed, and where its proof goes.

    `top` is the folder in which it was found, or that of a file that was named itself; `inode`
    tells that it is the file that was found.
    """

    path: Path
    proof: Path
    top: Path = field(default=Path(), compare=False)
    inode: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was found or named and cannot be sealed, and why."""

    path: Path
    reason: Message


@dataclass(slots=True)
class Files:
    """What the named paths come to. Passed over are, by rule: `proofs`, which are counted,
    `left_over` ones that a crash left half-written, and `homes`, the ledger's own.
    """

    sources: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    proofs: int = 0
    left_over: list[Path] = field(default_factory=list)
    homes: list[Path] = field(default_factory=list)


def find_files(
    paths: Iterable[Path], proofs: Path | None, home: Path, *, is_recursive: bool
) -> Files:
    """Return the files that `paths` name, each once, and what among them is none that can be
    sealed.

    A folder's files come in the order of their names; links to folders are not followed.

    Raises InvalidInput if a path is a folder without `is_recursive`, or lies in the home, or two
    files would get one proof.
    """
    found, own = Files(), _Home(home)
    sources: dict[Path, Source] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            found.skipped.append(_unreadable(path, error))
            continue
        if own.holds(path, status):
            raise InvalidInput("home-no-evidence", path=path, home=home)
        is_folder = stat.S_ISDIR(status.st_mode)
        if is_folder and not is_recursive:
            raise InvalidInput("folder-without-recursive", path=path)
        for file in _walk(path, own, found) if is_folder else (path,):
            source = _source(file, path if is_folder else path.parent, proofs, own, found)
            if source is None:
                continue
            other = sources.setdefault(source.proof.absolute(), source)
            if other.path.absolute() != file.absolute():
                raise InvalidInput(
                    "proofs-collide", first=other.path, second=file, proof=source.proof
                )
    found.sources = list(sources.values())
    return found


def _source(file: Path, top: Path, proofs: Path | None, own: _Home, found: Files) -> Source | None:
    """Return the file as one to be sealed; where it is none, that is noted in `found`."""
    if file.name.endswith(PROOF_ENDING):
        found.proofs += 1
        return None
    if _LEFT_OVER.fullmatch(file.name):
        found.left_over.append(file)
        return None
    try:
        # Of a file that is no link, this one look tells all: somebody may change it meanwhile.
        status = file.lstat()
        is_link = stat.S_ISLNK(status.st_mode)
        status = file.stat() if is_link else status
        if (is_link or status.st_nlink > 1) and own.holds(file, status):
            found.skipped.append(Skipped(file, message("entry-of-home", path=file)))
            return None
    except OSError as error:
        found.skipped.append(_unreadable(file, error))
        return None
    if not stat.S_ISREG(status.st_mode):
        found.skipped.append(Skipped(file, message("file-not-regular", path=file)))
        return None
    place = file.with_name(proof_name(file.name))
    if proofs:
        place = proofs / file.relative_to(top).parent / place.name
    return Source(file, place, top, (status.st_dev, status.st_ino))


def require_means(error: BaseException | None) -> None:
    """Raise StorageFailure if `error`, or what it came from, is about this process and not about a
    file: all others would be refused as well.
    """
    cause = error if isinstance(error, OSError) else error and error.__cause__
    if isinstance(cause, OSError) and cause.errno in _OWN_LIMITS:
        raise StorageFailure("open-files-exhausted", error=cause) from error


def _unreadable(path: Path, error: OSError) -> Skipped:
    require_means(error)
    if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
        return Skipped(path, message("not-there", path=path))
    return Skipped(path, message("file-unreadable", path=path, error=error))


class _Home:
    """The ledger's own home, as files and folders are compared with it; what an interrupted `init`
    left of one belongs to it.
    """

    def __init__(self, folder: Path) -> None:
        path = os.path.realpath(folder)
        parent, name = os.path.split(path)
        # A folder that is no home, nobody can seal with: that is said later.
        self._roots = [path] if (folder / "home.json").exists() else []
        self._roots.append(os.path.join(parent, f".{name}.half-made"))  # noqa: PTH118 - texts

    def holds(self, path: Path, status: os.stat_result) -> bool:
        """Whether `path`, whose `status` is that of what it leads to, is the home or in it."""
        real, inode = os.path.realpath(path), (status.st_dev, status.st_ino)
        if any(real == root or real.startswith(f"{root.rstrip('/')}/") for root in self._roots):
            return True
        # By another name: another spelling of the case, a mount, a hard link.
        return inode in (self._folders if stat.S_ISDIR(status.st_mode) else self._files)

    def holds_folder(self, path: Path) -> bool:
        """Whether the folder at `path` is the home or in it; a link is not followed."""
        status = path.lstat()
        return (status.st_dev, status.st_ino) in self._folders

    @cached_property
    def _folders(self) -> frozenset[tuple[int, int]]:
        return frozenset(_inodes([*self._roots, *self._below(are_folders=True)]))

    @cached_property
    def _files(self) -> frozenset[tuple[int, int]]:
        return frozenset(_inodes(self._below(are_folders=False)))

    def _below(self, *, are_folders: bool) -> Iterator[str]:
        for root in self._roots:
            for parent, folders, files in os.walk(root):
                for name in folders if are_folders else files:
                    yield os.path.join(parent, name)  # noqa: PTH118 - as os.walk gives it


def _inodes(paths: Iterable[str]) -> Iterator[tuple[int, int]]:
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - as os.walk gives it
        except OSError:
            continue
        yield status.st_dev, status.st_ino


def _walk(folder: Path, own: _Home, found: Files) -> Iterator[Path]:
    refused: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=refused.append):
        found.skipped += map(_refused, refused)
        refused.clear()
        place = Path(parent)
        folders[:] = [name for name in sorted(folders) if _is_entered(place / name, own, found)]
        yield from (place / name for name in sorted(files))
    found.skipped += map(_refused, refused)


def _refused(error: OSError) -> Skipped:
    require_means(error)
    path = Path(error.filename)
    return Skipped(path, message("named-folder-unreadable", path=path, error=error))


def _is_entered(folder: Path, own: _Home, found: Files) -> bool:
    """Whether a folder that was found is walked; where it is not, that is noted in `found`."""
    from witnesstree.ledger.store.backup import is_backup

    try:
        if own.holds_folder(folder):
            found.homes.append(folder)
            return False
        if folder.is_symlink():
            found.skipped.append(Skipped(folder, message("link-not-followed", path=folder)))
            return False
        if is_backup(folder):
            found.skipped.append(Skipped(folder, message("folder-is-backup", path=folder)))
            return False
    except OSError as error:
        found.skipped.append(_unreadable(folder, error))
        return False
    return True


@dataclass(frozen=True, slots=True)
class DigestFile:
    """A file of digests that is open: raw records of 32 bytes, or lines of 64 hex digits, alone or
    as `sha256sum` writes them.

    `status` is what it was when it was opened. It is read twice, and must not change meanwhile.
    """

    path: Path
    file: BufferedReader
    status: os.stat_result
    is_text: bool

    def count(self) -> int:
        """Return how many digests it holds.

        A text is read whole, so that nothing is sealed of one with a fault; of raw digests the
        length tells.

        Raises InvalidInput and names the first fault.
        """
        count = (
            sum(map(len, self._pieces())) // DIGEST
            if self.is_text
            else self.status.st_size // DIGEST
        )
        if not count:
            raise InvalidInput("no-digests", path=self.path)
        return count

    def parts(self) -> Iterator[bytes]:
        """Yield its digests, packed, at most PART at a time, in constant memory.

        Raises InvalidInput if it changes meanwhile, or holds anything else; the error names the
        line.
        """
        return _joined(self._pieces()) if self.is_text else self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        """Yield its digests as they come, none after the file was seen to change."""
        self.file.seek(0)
        for piece in self._texts() if self.is_text else self._records():
            self._require_unchanged()
            yield piece
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        if not same_file(self.status, os.fstat(self.file.fileno())):
            raise InvalidInput("file-changed", path=self.path)

    def _records(self) -> Iterator[bytes]:
        while True:
            with _reading(self.path):
                part = self.file.read(PART * DIGEST)
            if not part:
                return
            yield part

    def _texts(self) -> Iterator[bytes]:
        from witnesstree.ledger.tree.bulk import MAX_LINE, parse_hex

        # At its beginning stands the line that the last piece of text broke off in.
        room = memoryview(bytearray(MAX_LINE + CHUNK))
        kept, lines, is_last = 0, 0, False
        while not is_last:
            with _reading(self.path):
                count = self.file.readinto(room[kept : kept + CHUNK])
            text, is_last = room[: kept + count], not count
            found = parse_hex(text, is_last=is_last)
            lines += found.lines
            if found.fault:
                shown = ascii(
                    bytes(text[found.used :][:80]).splitlines()[0].decode(errors="replace")
                )
                raise InvalidInput(
                    "bad-digest-line",
                    path=self.path,
                    line=lines + 1,
                    text=shown,
                    fault=found.fault,
                )
            if found.digests:
                yield found.digests
            kept = len(text) - found.used
            room[:kept] = text[found.used :]


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces, as many at a time as make no more than PART digests."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > PART * DIGEST:
            yield b"".join(part)
            part, size = [], 0
        part.append(piece)
        size += len(piece)
    if part:
        yield b"".join(part)


@contextmanager
def opened_digests(path: Path) -> Iterator[DigestFile]:
    """Open a file of digests; its content tells its form.

    Raises InvalidInput if it cannot be read, is no regular file, or is neither text nor a whole
    number of raw digests.
    """
    try:
        # A pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput("file-unreadable", path=path, error=error) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InvalidInput("digests-not-regular", path=path)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open already
        # No 32 bytes of a digest are all printable: what starts so is text, and its first fault is
        # named.
        with _reading(path):
            head = file.read(DIGEST * 2)
        is_text = _TEXT.fullmatch(head) is not None
        if _is_utf16(head):
            raise InvalidInput("digests-utf16", path=path)
        if not is_text and status.st_size % DIGEST:
            raise InvalidInput("digests-neither", path=path, size=status.st_size)
        yield DigestFile(path, file, status, is_text)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput("file-unreadable", path=path, error=error) from error


def _is_utf16(head: bytes) -> bool:
    """Tell whether every other byte is zero, as in ASCII text that Windows writes: in 64 bytes of
    digests that does not happen.
    """
    body = head.removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    return len(head) == DIGEST * 2 and any(body[::2]) is not any(body[1::2])
