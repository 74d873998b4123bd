"""A backup: a folder with all of a ledger as it was at one moment, what is in it, and how the files
of batches come into it.

    backup.json     what it is of, and when it was made
    metadata.db     the metadata as a SQLite file, whatever database they are in
    batches/…       digests and journals, as far as these metadata know; trees and indexes follow
                    from the digests
    …               what else the home has, under the same names; NAME.age is encrypted with age
    SHA256SUMS      the SHA-256 of each of these files, as `sha256sum --check` reads it; backup.json
                    is the last, and has the SHA-256 of the lines before it

Nothing in a backup is believed: a list names no file outside, all files are in it, and every file
is compared with it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import Damaged, InvalidInput, NotFound
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.log.note import MAX_NOTE, require_name
from witnesstree.ledger.store.database.values import BatchState
from witnesstree.ledger.store.journal import format_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.database.values import OpenBatch

FORMAT = "witnesstree-backup/1"
ABOUT = "backup.json"
METADATA = "metadata.db"
SUMS = "SHA256SUMS"
ENCRYPTED = ".age"
"""What is added to the name of a file that is encrypted."""
MAX_ABOUT = 2**20
"""Bytes in backup.json."""
_MOST_SECRETS = 2000
_CHUNK = 2**20

_PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,150}"
NAME = re.compile(_PART)
"""The name of a file that may be in a backup."""
_PATH = re.compile(
    rf"(backup|published|restored)\.json|metadata\.db|settings\.toml(\.age)?"
    rf"|(authority|batches|chain|ipfs|keys|log)(/{_PART}){{1,3}}"
)
_LINE = re.compile(rb"([0-9a-f]{64})  ([\x21-\x7e]{1,500})\n")


class Kept(Enum):
    """How a file with secrets is kept in a backup."""

    PLAIN = "plain"
    ENCRYPTED = "encrypted"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup is of: the ledger's `origin`, when it was `made`, how many batches the log had
    (`size`) and its newest `checkpoint`, how many `entries` the ledger had acknowledged; which
    `database` the metadata are from; each file with secrets, with how it is kept; and the SHA-256
    of the lines for the files `listed` beside backup.json, in hex.
    """

    origin: str
    made: datetime
    size: int
    checkpoint: str
    entries: int
    database: str
    secrets: dict[str, Kept]
    listed: str


def format_about(backup: Backup) -> bytes:
    """Return the bytes of backup.json. Matches `read_about`."""
    members: dict[str, Any] = {
        "format": FORMAT,
        "origin": backup.origin,
        "made": format_time(backup.made),
        "size": backup.size,
        "checkpoint": backup.checkpoint,
        "entries": backup.entries,
        "database": backup.database,
        "secrets": {path: kept.value for path, kept in sorted(backup.secrets.items())},
        "listed": backup.listed,
    }
    return (json.dumps(members, indent=1) + "\n").encode()


def read_about(folder: Path) -> Backup:
    """Return what the backup in `folder` is of.

    Raises NotFound if there is none, InvalidInput if a newer version made it, Damaged if it cannot
    be read.
    """
    path = folder / ABOUT
    try:
        with _opened(path) as file:
            content = file.read(MAX_ABOUT)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("backup-missing", folder=folder) from error
    except OSError as error:
        raise Damaged("backup-file-unreadable", path=path, error=error) from error
    try:
        value = load(str(path), content)
        if value.member("format") != FORMAT:
            raise NotFound("backup-of-other-form", path=path, expected=FORMAT)
        value.members("format origin made size checkpoint entries database secrets listed")
        secrets = value["secrets"].object()
        if len(secrets) > _MOST_SECRETS or not all(_PATH.fullmatch(each) for each in secrets):
            value["secrets"].refuse("backup-secrets-wrong")
        backup = Backup(
            value["origin"].text(255),
            parse_time(value["made"].text(20)),
            value["size"].integer(),
            value["checkpoint"].text(MAX_NOTE),
            value["entries"].integer(),
            value["database"].text(20),
            {each: _kept(secrets[each]) for each in secrets},
            value["listed"].hex(32).hex(),
        )
        require_name(backup.origin)
    except InvalidInput as error:
        raise Damaged("backup-about-damaged", path=path, error=error) from error
    return backup


def is_backup(folder: Path) -> bool:
    """Whether a folder looks like a backup: it may hold a ledger's keys."""
    return all((folder / name).is_file() for name in (ABOUT, METADATA, SUMS))


def _kept(value: object) -> Kept:
    try:
        return Kept(value)
    except ValueError:
        raise InvalidInput("backup-secret-kept-how", found=repr(value)[:40]) from None


# Writing


class Writer:
    """Writes the files of a new backup in `folder`, and lists each. None is durable by itself."""

    def __init__(self, folder: Path, sums: BinaryIO) -> None:
        self._folder, self._sums = folder, sums
        self._lines = sha256()

    @property
    def listed(self) -> str:
        """The SHA-256 of all lines of the list so far, in hex."""
        return self._lines.hexdigest()

    def put(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a new file. Raises OSError."""
        place, digest = self.place(path), sha256()
        with open(place, "xb", opener=_private) as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
        self._list(path, digest.digest())

    def place(self, path: str) -> Path:
        """Return where a file goes that somebody else writes; its folder is there, and for its
        owner alone.
        """
        place = self._folder / path
        # Those above one folder would not get its mode.
        for folder in reversed(place.relative_to(self._folder).parents[:-1]):
            (self._folder / folder).mkdir(mode=0o700, exist_ok=True)
        return place

    def add(self, path: str) -> None:
        """List a file that somebody else has written, and let its owner alone read it. Raises
        OSError.
        """
        digest = sha256()
        (self._folder / path).chmod(0o600)
        with (self._folder / path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        self._list(path, digest.digest())

    def _list(self, path: str, digest: bytes) -> None:
        assert _PATH.fullmatch(path), path
        line = _line(path, digest)
        self._sums.write(line)
        self._lines.update(line)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Give a block what writes a new backup into an empty folder. Raises OSError."""
    with open(folder / SUMS, "xb", opener=_private) as sums:
        yield Writer(folder, sums)


def copy_batches(
    files: BatchFiles,
    sealed: Sequence[tuple[int, int]],
    unsealed: Sequence[OpenBatch],
    writer: Writer,
    advance: Callable[[int], None],
) -> None:
    """Copy the digests and journals of batches, as far as one state of the database knows them,
    while others write: what came later is left out. `advance` counts leaves.

    Raises Damaged if something that the database knows is missing.
    """
    for sequence, count in sealed:
        _copy(files, sequence, count, writer, has_statement=True)
        advance(count)
    for batch in unsealed:
        # A frozen batch keeps its entries, so a statement about it is the one that it will have
        # here, too. One about a batch that was open is about entries that are not here.
        is_frozen = batch.state is BatchState.FROZEN
        _copy(files, batch.sequence, batch.count, writer, has_statement=is_frozen)


def _copy(
    files: BatchFiles, sequence: int, count: int, writer: Writer, *, has_statement: bool
) -> None:
    writer.put(f"batches/{files.digests_name(sequence)}", files.parts(sequence, count))
    journal = files.journals.read(sequence)
    # An older version kept none.
    if journal:
        journal = replace(journal, taken=min(journal.taken, count))
        if not has_statement:
            journal = replace(journal, statement=None, checkpoint=None)
        writer.put(f"batches/{files.journal_name(sequence)}", format_journal(journal))


# Reading


def listed(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path of each file of a backup, and the SHA-256 that it should have.

    Raises Damaged if the list cannot be read, or names what can be in no backup.
    """
    path = folder / SUMS
    try:
        with _opened(path) as file:
            number = 0
            while line := file.readline(600):
                number += 1
                found = _LINE.fullmatch(line)
                if not found or not _PATH.fullmatch(found[2].decode()):
                    raise Damaged("backup-list-damaged", path=path, line=number)
                yield found[2].decode(), bytes.fromhex(found[1].decode())
    except OSError as error:
        raise Damaged("backup-file-unreadable", path=path, error=error) from error


def check_list(folder: Path, backup: Backup) -> Iterator[tuple[Path, Message]]:
    """Yield what the list of a backup lacks, or has beyond it: all that is in the folder and all
    that the backup says it has is in it, once, and nothing else. What the files hold is not looked
    at.

    Raises Damaged as `listed` does.
    """
    sums, lines, names = folder / SUMS, sha256(), set[str]()
    for path, digest in listed(folder):
        if path in names:
            yield folder / path, message("backup-file-twice", path=folder / path, list=SUMS)
        names.add(path)
        if path != ABOUT:
            lines.update(_line(path, digest))
    if lines.hexdigest() != backup.listed:
        yield sums, message("backup-list-other", path=sums)
    found = set(_found(folder)) - {SUMS}
    for path in sorted((found | _named(backup)) - names):
        yield folder / path, message("backup-file-unlisted", path=folder / path, list=SUMS)
    for path in sorted(names - found):
        yield folder / path, message("backup-file-missing", path=folder / path)


def _named(backup: Backup) -> set[str]:
    """Return the files that a backup has by what it says of itself."""
    kept = {
        path + (ENCRYPTED if kept is Kept.ENCRYPTED else "")
        for path, kept in backup.secrets.items()
        if kept is not Kept.LEFT_OUT
    }
    return kept | {ABOUT, METADATA, "keys/ledger.vkey"}


def _found(folder: Path) -> Iterator[str]:
    """Yield the path of everything in a folder that is none itself; no link is followed."""

    def refuse(error: OSError) -> None:
        raise Damaged("backup-file-unreadable", path=error.filename, error=error) from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            yield Path(parent, name).relative_to(folder).as_posix()


def _line(path: str, digest: bytes) -> bytes:
    return f"{digest.hex()}  {path}\n".encode()


def digest_of_list(folder: Path) -> str:
    """Return the SHA-256 of the list, in hex: it stands for the whole backup.

    Raises Damaged if it cannot be read.
    """
    digest = sha256()
    for chunk in _chunks(folder / SUMS):
        digest.update(chunk)
    return digest.hexdigest()


def checked(folder: Path, path: str, expected: bytes) -> Iterator[bytes]:
    """Yield what a file of a backup holds, in pieces.

    Raises Damaged, once all of it is read, if that is not what was listed.
    """
    digest = sha256()
    for chunk in _chunks(folder / path):
        digest.update(chunk)
        yield chunk
    if digest.digest() != expected:
        raise Damaged("backup-file-altered", path=folder / path)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with _opened(path) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise Damaged("backup-file-unreadable", path=path, error=error) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file: no link is followed, no pipe waited for. Raises OSError, Damaged."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Damaged("backup-file-not-regular", path=path)
        yield file
