"""How much of a digest file was submitted, kept in the home until all of it is sealed: a run that
was cut off goes on where it was.

It is written after the ledger's own receipt. A process that is killed just between the two submits
one part again; no digest is ever left out.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import rfc8785

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.digest import identity
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.store.disk import storage_errors, write_file
from witnesstree.ledger.work.sealing import Receipt, Span

if TYPE_CHECKING:
    import os

    from witnesstree.ledger.base.strictjson import Reader
    from witnesstree.ledger.work.sealing import Ledger

FORMAT = "witnesstree-submission/1"
FOLDER = "submitting"
PATIENCE = 60.0
"""Seconds to wait for another process that submits a part, and notes it."""
MAX_CONTENT = 2**20
MAX_SPANS = 10_000


class Submission:
    """What was submitted to `ledger` of the file that `status` describes: size, inode and times
    tell that it is the same file, unchanged.
    """

    def __init__(self, ledger: Ledger, status: os.stat_result) -> None:
        self._ledger = ledger
        self._path = (
            ledger.home.folder
            / FOLDER
            / f"{sha256(repr(identity(status)).encode()).hexdigest()[:32]}.json"
        )
        self._kept = b""
        self.receipt: Receipt | None = self._read()

    @property
    def count(self) -> int:
        """How many digests of the file were submitted, from its first one on."""
        return sum(span.count for span in self.receipt.spans) if self.receipt else 0

    def require_same(self, first: bytes) -> None:
        """Begin anew unless `first`, the file's first digest, is what the ledger holds there: it
        may have been put back from a backup.
        """
        if self.receipt:
            span = self.receipt.spans[0]
            try:
                is_same = self._ledger.files.digest_at(span.batch, span.first) == first
            except Damaged:
                is_same = False
            if not is_same:
                self.receipt = None

    def submit(self, part: bytes | memoryview) -> None:
        """Submit the next digests, and keep that they were.

        Raises as `Ledger.submit` does, and Conflict if another process submits the same file.
        """
        with storage_errors(self._path):
            self._path.parent.mkdir(exist_ok=True)
        with self._ledger.home.lock(FOLDER, PATIENCE):
            if self._content() != self._kept:
                raise Conflict("submitted-elsewhere", path=self._path)
            self._keep(self._ledger.submit(part))

    def _keep(self, new: Receipt) -> None:
        self.receipt = (
            replace(self.receipt, spans=_joined((*self.receipt.spans, *new.spans)))
            if self.receipt
            else new
        )
        members: dict[str, Any] = {
            "format": FORMAT,
            "received": format_time(self.receipt.received),
            "spans": [
                {"batch": span.batch, "first": span.first, "count": span.count}
                for span in self.receipt.spans
            ],
        }
        self._kept = rfc8785.dumps(members) + b"\n"
        write_file(self._path, self._kept)

    def _content(self) -> bytes:
        """Return what is kept of the file now, empty where that is nothing."""
        try:
            return self._path.read_bytes()[:MAX_CONTENT]
        except OSError:
            return b""

    def forget(self) -> None:
        """Forget it: the same file, given again, is submitted again."""
        with storage_errors(self._path):
            self._path.unlink(missing_ok=True)

    def _read(self) -> Receipt | None:
        """Return what an earlier run kept; nothing, where nothing can be read."""
        try:
            self._kept = self._content()
            value = load(str(self._path), self._kept)
            value.members("format received spans")
            if value.member("format") != FORMAT:
                return None
            spans = value["spans"].list(_span, MAX_SPANS)
            return (
                Receipt(self._ledger.home.origin, parse_time(value["received"].text(40)), spans)
                if spans
                else None
            )
        except InvalidInput:
            return None


def _span(value: Reader) -> Span:
    value.members("batch first count")
    return Span(value["batch"].integer(), value["first"].integer(), value["count"].integer())


def _joined(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return the spans, those that follow on each other made one."""
    joined: list[Span] = []
    for span in spans:
        if joined and (joined[-1].batch, joined[-1].first + joined[-1].count) == (
            span.batch,
            span.first,
        ):
            joined[-1] = replace(joined[-1], count=joined[-1].count + span.count)
        else:
            joined.append(span)
    return tuple(joined)
