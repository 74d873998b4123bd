"""The seams: what the ledger asks of the outside, and what each answer must guarantee.

Adapters live in anchor/ and subclass these. Every method may raise Unreachable (nothing answered; the same call may work later) and
BadAnswer (something answered that must not be believed). No method is called by two threads at once unless it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from witnesstree.ledger.proof import Anchor


@dataclass(frozen=True, slots=True)
class Block:
    """A block of an EVM chain: its 32-byte hash is keccak-256 of `header`, the RLP of its header."""

    chain_id: int
    number: int
    hash: bytes
    header: bytes


class Authority(Protocol):
    """An RFC 3161 time-stamping authority."""

    @property
    def name(self) -> str:
        """A short name, unique among the authorities of one ledger; it keys the ledger's records."""
        ...

    def stamp(self, root: bytes) -> bytes:
        """Return a TimeStampToken (DER, RFC 3161, 2.4.2) whose SHA-256 imprint is the 32-byte `root`.

        The token answers this very request: imprint and nonce MUST have been compared before it is returned.
        """
        ...


class Chain(Protocol):
    """An EVM chain that carries the EvidenceAnchor contract."""

    @property
    def name(self) -> str:
        """A short name, unique among the chains of one ledger; it keys the ledger's records."""
        ...

    def recent_block(self) -> Block:
        """Return a recent block that is not expected to be reorganised away."""
        ...

    def sign(self, root: bytes) -> bytes:
        """Return a signed transaction that anchors `root`, ready to be sent, and send nothing.

        The caller stores it before it sends it, so that after a crash the same transaction is sent again.
        """
        ...

    def send(self, transaction: bytes) -> None:
        """Hand a signed transaction to the chain. Sending the same one twice MUST have the effect of sending it once.

        Raises Conflict if it can never be carried out any more, because another transaction has taken its nonce: it is safe to sign anew.
        """
        ...

    def is_anchored(self, root: bytes) -> bool:
        """Tell whether the newest state holds `root`; it need not be final. Asked before anything is spent."""
        ...

    def collect(self, root: bytes, transaction: bytes | None) -> Anchor | None:
        """Return the evidence that `root` stands in a final block, or None while it does not.

        `transaction` is the signed transaction that was sent for it, if we sent one.
        """
        ...


class FileStore(Protocol):
    """A content-addressed store of files."""

    def add(self, file: Path) -> str:
        """Store the file and return its CIDv1 as text. On return every block MUST be durable.

        The CID is that of Kubo's `ipfs add --cid-version=1`: UnixFS, 256 KiB chunks, raw leaves. Raises InvalidInput if the file changes meanwhile.
        """
        ...

    def read(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out`; every block's bytes MUST have been compared with its CID.

        Raises NotFound if a block is not here, BadAnswer or Damaged if its bytes are not those of its CID.
        """
        ...
