"""The values that the metadata keeps, a class for each kind of row: they know no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.ports import SignedTransaction


class BatchState(StrEnum):
    """An open batch takes entries; a frozen one is being sealed and takes none."""

    OPEN = "open"
    FROZEN = "frozen"


class JobKind(StrEnum):
    """What a job asks for."""

    STAMP = "stamp"
    ANCHOR = "anchor"
    PUBLISH = "publish"


class JobState(StrEnum):
    """A waiting job has done nothing yet; a signed one has stored its transaction and may have sent
    it.
    """

    WAITING = "waiting"
    SIGNED = "signed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that is not sealed yet: `count` leaves are acknowledged, with this CRC-32. One of
    them is the opening record, and `fillers` are blinding leaves (blinding.py).
    """

    sequence: int
    state: BatchState
    opened: datetime
    opening: str
    header: bytes | None
    count: int
    crc32: int
    fillers: int = 0

    @property
    def entries(self) -> int:
        """How many of its leaves are entries."""
        return max(self.count - 1 - self.fillers, 0)


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A sealed batch: `count` leaves with their 32-byte root, and its statement at `log_index` in
    the ledger log. One leaf is the opening record, and `fillers` are blinding leaves (blinding.py).
    """

    sequence: int
    count: int
    root: bytes
    closed: datetime
    opening: str
    header: bytes | None
    log_index: int
    statement: str
    fillers: int = 0

    @property
    def entries(self) -> int:
        """How many of its leaves are entries."""
        return self.count - 1 - self.fillers


@dataclass(frozen=True, slots=True)
class Told:
    """Rows that there are about a sealed batch, and `key_notes` about all: a proof made before one
    came does not have it.

    `cosignatures` are those of the checkpoint that was signed when the batch was sealed.
    `has_direct`: whether any digest of the ledger has a direct token.
    """

    tokens: int
    anchors: int
    published: int
    records: int
    key_notes: int
    cosignatures: int
    has_direct: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One effect that is to happen once: a batch's root stamped by one authority or anchored on one
    chain, or its list of digests published.

    `transaction` is the hash of the newest one that was signed for it; `attempts` are those that
    failed since one went well.
    """

    sequence: int
    kind: JobKind
    target: str
    state: JobState
    transaction: bytes | None
    attempts: int
    last_error: Message | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class SentTransaction:
    """A transaction that was signed for a chain, and when.

    It was stored before it was sent, and may never have been sent.
    """

    transaction: SignedTransaction
    signed: datetime


class AlarmKind(StrEnum):
    """What needs a person: a false answer, settings that cannot work, an endpoint that fails, a
    price above the cap, a wrong clock, lost nonces.

    And an evidence record that cannot be renewed.
    """

    BAD_ANSWER = "bad-answer"
    SETTINGS = "settings"
    ENDPOINT = "endpoint"
    UNAFFORDABLE = "unaffordable"
    CLOCK = "clock"
    LOST = "lost"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that needs a person, until what it says is no longer so.

    `subject` is the authority, chain or store that it is about.
    """

    kind: AlarmKind
    subject: str
    text: Message
    since: datetime


UNSCHEDULED = datetime(1970, 1, 1, tzinfo=UTC)
"""When a renewal is due of which nobody has worked out yet when it is."""


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """An evidence record (DER) of the entry at `position` of a batch, under the token of
    `authority`; at position 0, the batch's own.

    Records of one entry and authority are numbered from 1, and the newest one counts. It was
    renewed at `renewed`.
    """

    sequence: int
    position: int
    authority: str
    number: int
    renewed: datetime
    record: bytes


@dataclass(frozen=True, slots=True, order=True)
class Renewal:
    """When the record of an entry under one authority's token has to be renewed next; UNSCHEDULED
    where nobody has worked that out.
    """

    due: datetime
    sequence: int
    position: int
    authority: str


@dataclass(frozen=True, slots=True)
class RenewalCounts:
    """How many renewals there are, how many of them are `due` by now and `late` for long, and when
    the `next` one of the others is due.
    """

    scheduled: int
    due: int
    late: int
    next: datetime | None
