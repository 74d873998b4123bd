"""What a verifier trusts, as plain values: nothing here is ever taken from a proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.report import Assurance
    from witnesstree.ledger.log.note import VerifierKey


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A certificate (DER) that a chain of time-stamping certificates may end in, and where the
    trust in it comes from.

    It is trusted for tokens of a time from `since` on and before `until`; None sets no bound. One
    that is trusted for several times is there several times.
    """

    certificate: bytes
    source: str | Message
    assurance: Assurance
    since: datetime | None = None
    until: datetime | None = None

    def is_trusted_at(self, time: datetime) -> bool:
        """Whether it may vouch for a token of this time."""
        return (self.since is None or self.since <= time) and (
            self.until is None or time < self.until
        )


@dataclass(frozen=True, slots=True)
class TrustedBlock:
    """The 32-byte hash of a block that is known to be part of its chain, and how it is known.

    A pinned block is only a hash. Where the chain itself was asked, or a person typed in what a
    page shows, `chain_id` and `number` say for what: another hash there is then wrong.
    """

    hash: bytes
    source: str | Message
    chain_id: int | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class TrustedAnchoring:
    """A contract (20 bytes) on a chain is known to hold `root`, and since when (`time`, seconds
    since 1970), without a proof; and how it is known.
    """

    chain_id: int
    contract: bytes
    root: bytes
    time: int
    source: str | Message


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that a verifier brings along.

    Empty, it trusts no one, and most checks stay unknown.

    `checkpoint_keys` are those that the verifier expects: where there are any, one of them must
    have signed, or one that key notes lead to from there (keys.py). `key_notes` are such notes that
    the verifier knows itself. `certificates` (DER) only help to build chains to `roots`, where a
    token does not carry them; none of them is trusted.
    """

    roots: tuple[TrustedRoot, ...] = ()
    blocks: tuple[TrustedBlock, ...] = ()
    checkpoint_keys: tuple[VerifierKey, ...] = ()
    certificates: tuple[bytes, ...] = ()
    anchorings: tuple[TrustedAnchoring, ...] = ()
    key_notes: tuple[str, ...] = ()

    def __or__(self, other: Trust) -> Trust:
        """Return the trust of both."""
        return Trust(
            self.roots + other.roots,
            self.blocks + other.blocks,
            self.checkpoint_keys + other.checkpoint_keys,
            self.certificates + other.certificates,
            self.anchorings + other.anchorings,
            # Each once: the same home may be asked twice, and a history that has a note twice leads
            # nowhere.
            tuple(dict.fromkeys(self.key_notes + other.key_notes)),
        )
