"""What people hand in to be sealed: paths to files and folders, and files of digests in three
forms.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from witnesstree.ledger.base.digest import same_file
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

PROOF_ENDING = ".proof.json"

DIGEST = 32
PART = 10**6
"""Digests handed over at a time, at most: each part is waited for until it is on disk.

Beyond 32 MiB malloc would never use the memory again.
"""

CHUNK = 2**24
"""Bytes of text read at a time (16 MiB), some 250,000 lines."""

_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?[\t\r\n -~]+")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be sealed, and where its proof goes."""

    path: Path
    proof: Path


def find_files(
    paths: Iterable[Path], proofs: Path | None, home: Path, *, is_recursive: bool
) -> tuple[list[Source], int]:
    """Return the files that `paths` name, each once, and how many proof files among them were
    passed over.

    A folder's files come in the order of their names; links to folders are not followed, and the
    ledger's own home is left out.

    Raises InvalidInput if a path is not there, is a folder without `is_recursive`, or two files
    would get one proof.
    """
    sources: dict[Path, Source] = {}
    skipped = 0
    for path in paths:
        is_folder = _is_folder(path)
        if is_folder and not is_recursive:
            raise InvalidInput("folder-without-recursive", path=path)
        for file in _walk(path, home) if is_folder else (path,):
            if file.name.endswith(PROOF_ENDING):
                skipped += 1
                continue
            place = file.with_name(file.name + PROOF_ENDING)
            if proofs:
                place = (
                    proofs / (file.relative_to(path).parent if is_folder else Path()) / place.name
                )
            other = sources.setdefault(place.absolute(), Source(file, place))
            if other.path.absolute() != file.absolute():
                raise InvalidInput("proofs-collide", first=other.path, second=file, proof=place)
    return list(sources.values()), skipped


def readable_name(path: Path) -> str:
    """Return a file's name as text, for hints and manifests: bytes that are no UTF-8 become
    U+FFFD.
    """
    return os.fsencode(path.name).decode(errors="replace")


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError as error:
        raise InvalidInput("not-there", path=path) from error
    except OSError as error:
        raise InvalidInput("file-unreadable", path=path, error=error) from error


def _walk(folder: Path, home: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InvalidInput(
            "named-folder-unreadable", path=str(error.filename), error=error
        ) from error

    home = home.resolve()
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if (Path(parent) / name).resolve() != home)
        yield from (Path(parent) / name for name in sorted(files))


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
