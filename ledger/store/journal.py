"""The journal of a batch, `N.journal`: what its digests alone do not say, so that a database that
is older than the batches can be brought up to date from the files.

    witnesstree-journal/1 0000000000 00000000        how many entries were acknowledged, with a
    witnesstree-journal/1 0000001003 3f1c09aa        CRC-32, twice: the larger one counts
    {"header":"…","opening":"…"}                     the opening record, and the header (base64) of
                                                     the block that it names, if it names one
    {"checkpoint":"…","statement":"…"}               once it is sealed; the last such line counts

A batch's journal is made exclusively, before its first digest is written. Its count is raised only
after the database has committed it and before a receipt is given. So a journal may say less than
the database, after a crash; where it says more, the database has lost what was acknowledged. The
two counts are written in turn, so that a torn write leaves the other. The statement is durable
before the database has it: the same batch, sealed again after a crash, gets the same one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import rfc8785

from witnesstree.ledger.base.errors import Damaged, InvalidInput
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.log.note import format_base64

if TYPE_CHECKING:
    from pathlib import Path

    from witnesstree.ledger.base.strictjson import Reader
    from witnesstree.ledger.store.batches import BatchFiles

FORMAT = "witnesstree-journal/1"
SLOT = 42
"""Bytes in one count."""
MAX_JOURNAL = 2**20
"""Bytes in a journal: the counts, an opening record, and a line for each time that a crash came
between the statement and the database's commit."""

_SLOT = re.compile(rb"witnesstree-journal/1 ([0-9]{10}) ([0-9a-f]{8})\n")


@dataclass(frozen=True, slots=True)
class Journal:
    """What the journal of a batch says: `taken` entries are acknowledged, the opening record among
    them; 0 while none was.

    `statement` and `checkpoint` are those of the sealed batch, None before. `slot` is the count to
    be written next, `end` where the next line belongs.
    """

    taken: int
    opening: str
    header: bytes | None
    statement: str | None = None
    checkpoint: str | None = None
    slot: int = 0
    end: int = 0


class Journals:
    """The journals of all batches."""

    def __init__(self, files: BatchFiles) -> None:
        self._files = files

    def path(self, sequence: int) -> Path:
        """Return what people are told of where the journal of batch `sequence` is."""
        return self._files.place.path(self._files.journal_name(sequence))

    def create(self, sequence: int, opening: str, header: bytes | None, taken: int = 0) -> None:
        """Begin the journal of a batch, durably.

        Raises Damaged if there is one, StorageFailure if the disk refuses.
        """
        pieces = format_journal(Journal(taken, opening, header))
        try:
            self._files.place.create(self._files.journal_name(sequence), *pieces)
        except FileExistsError as error:
            raise Damaged("batch-file-taken", path=self.path(sequence)) from error

    def read(self, sequence: int) -> Journal | None:
        """Return what the journal says, None where there is none: an older version had none.

        Raises Damaged if it cannot be read.
        """
        try:
            file = self._files.place.reading(self._files.journal_name(sequence))
            return _parsed(file.read(0, MAX_JOURNAL))
        except FileNotFoundError:
            return None
        except (OSError, InvalidInput) as error:
            raise Damaged("journal-unreadable", path=self.path(sequence), error=error) from error

    def raise_count(self, sequence: int, taken: int) -> None:
        """Say that the database has `taken` entries, unless more are said already. On return it is
        on disk.

        No two may do it at once. Raises StorageFailure if the disk refuses, Damaged if there is no
        journal.
        """
        journal = self.read(sequence)
        if journal is None:
            raise Damaged("journal-missing", path=self.path(sequence))
        if journal.taken < taken:
            self._files.place.overwrite(
                self._files.journal_name(sequence), journal.slot * SLOT, _slot(taken)
            )

    def add_statement(self, sequence: int, statement: str, checkpoint: str) -> None:
        """Say how the batch is sealed. On return it is on disk.

        Raises StorageFailure if the disk refuses, Damaged if there is no journal.
        """
        journal = self.read(sequence)
        if journal is None:
            raise Damaged("journal-missing", path=self.path(sequence))
        if (journal.statement, journal.checkpoint) != (statement, checkpoint):
            self._files.place.append(
                self._files.journal_name(sequence),
                journal.end,
                _line({"checkpoint": checkpoint, "statement": statement}),
            )


def format_journal(journal: Journal) -> list[bytes]:
    """Return what is written of a new journal that says the same."""
    members = {"opening": journal.opening}
    if journal.header is not None:
        members["header"] = format_base64(journal.header)
    pieces = [_slot(journal.taken), _slot(0), _line(members)]
    if journal.statement is not None:
        pieces.append(_line({"checkpoint": journal.checkpoint, "statement": journal.statement}))
    return pieces


def _slot(taken: int) -> bytes:
    number = f"{taken:010}".encode()
    return f"{FORMAT} {number.decode()} {crc32(number):08x}\n".encode()


def _line(members: dict[str, Any]) -> bytes:
    return rfc8785.dumps(members) + b"\n"


def _parsed(content: bytes) -> Journal:
    taken = [_count(content[at : at + SLOT]) for at in (0, SLOT)]
    first, newline, rest = content[2 * SLOT :].partition(b"\n")
    opening = load("journal", first)
    opening.members("opening", "header")
    header = opening.optional("header", lambda value: value.base64(16_384))
    journal = Journal(
        max(taken),
        opening["opening"].text(16_384),
        header,
        slot=taken.index(min(taken)),
        end=2 * SLOT + len(first) + len(newline),
    )
    while newline:
        line, newline, rest = rest.partition(b"\n")
        if newline:
            # A line that a crash cut short counts for nothing, and the next one is written over it.
            journal = _sealed(journal, line) or journal
    return journal


def _sealed(journal: Journal, line: bytes) -> Journal | None:
    try:
        value = load("journal", line)
        value.members("checkpoint statement")
        return Journal(
            journal.taken,
            journal.opening,
            journal.header,
            _text(value, "statement"),
            _text(value, "checkpoint"),
            journal.slot,
            journal.end + len(line) + 1,
        )
    except InvalidInput:
        return None


def _text(value: Reader, name: str) -> str:
    return value[name].text(65_536)


def _count(slot: bytes) -> int:
    """Return a count, 0 where a torn write left none."""
    found = _SLOT.fullmatch(slot)
    return int(found[1]) if found and int(found[2], 16) == crc32(found[1]) else 0
