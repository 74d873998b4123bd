"""Batch statements, `witnesstree-batch/1`: what the ledger log says of each batch.

An entry of the log is the UTF-8 of one statement.

    witnesstree-batch/1                              format
    ledger.example/court                             origin: the ledger's name
    41                                               sequence: the batch's number in this ledger
    1003                                             count: leaves in its tree, the opening record
                                                     among them
    PuOfTaOUBuNMweELw/gM0F4BV+o0kQWMJ8O3a8XCyZM=     root of that tree: 32 bytes, base64
    2026-11-23T03:48:55Z                             opened
    2026-11-23T03:49:55Z                             closed

Seven lines, each ended by a newline. There is one spelling of each statement, so two are equal if
and only if their bytes are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.log import HASH, MAX_SIZE
from witnesstree.ledger.log.note import (
    format_base64,
    parse_base64,
    parse_decimal,
    parse_text,
    require_name,
)

FORMAT = "witnesstree-batch/1"

MAX_STATEMENT = 2048
"""Bytes in a statement: an origin of 255 four-byte characters and six short lines have fewer than
1,200."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One closed batch: `count` leaves, at least the opening record, under the 32-byte `root`.

    Times are UTC, whole seconds.

    The times are the ledger's own clock: they prove nothing, and a clock that was set back can make
    `closed` the earlier one.

    Raises InvalidInput for values that no statement can hold.
    """

    origin: str
    sequence: int
    count: int
    root: bytes
    opened: datetime
    closed: datetime

    def __post_init__(self) -> None:
        require_name(self.origin)
        if not 0 <= self.sequence <= MAX_SIZE:
            raise InvalidInput("batch-number-out-of-range", most=MAX_SIZE, found=self.sequence)
        if not 1 <= self.count <= MAX_SIZE:
            raise InvalidInput("batch-size-out-of-range", most=MAX_SIZE, found=self.count)
        if len(self.root) != HASH:
            raise InvalidInput("batch-root-size-wrong", expected=HASH, found=len(self.root))
        for time in (self.opened, self.closed):
            if time.utcoffset() != timedelta(0) or time.microsecond:
                raise InvalidInput("batch-time-not-whole", found=time.isoformat())


def format_statement(statement: Statement) -> str:
    """Return the statement's seven lines; their UTF-8 is the entry of the log.

    Matches `parse_statement`.
    """
    lines = (
        FORMAT,
        statement.origin,
        str(statement.sequence),
        str(statement.count),
        format_base64(statement.root),
        format_time(statement.opened),
        format_time(statement.closed),
    )
    return "".join(line + "\n" for line in lines)


def parse_statement(text: str | bytes) -> Statement:
    """Return the statement that `text` is. It says nothing about whether the log holds it.

    Raises InvalidInput for any text that `format_statement` would not write, whatever it is.
    """
    lines = parse_text(text, MAX_STATEMENT).split("\n")
    if len(lines) != 8 or lines[7]:
        raise InvalidInput("statement-expected")
    if lines[0] != FORMAT:
        raise InvalidInput(
            "statement-format-unknown", expected=repr(FORMAT), found=repr(lines[0][:40])
        )
    _, origin, sequence, count, root, opened, closed, _ = lines
    return Statement(
        origin,
        parse_decimal(sequence),
        parse_decimal(count),
        parse_base64(root),
        parse_time(opened),
        parse_time(closed),
    )
