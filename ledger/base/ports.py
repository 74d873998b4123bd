"""The seams: what the ledger asks of the outside, and what each answer must guarantee.

Adapters live in anchor/ and subclass these. Every method may raise Unreachable (nothing answered;
the same call may work later) and BadAnswer (something answered that must not be believed). No
method is called by two threads at once unless it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.witness import Anchor, Stamp


@dataclass(frozen=True, slots=True)
class Block:
    """A block of an EVM chain: its 32-byte hash is keccak-256 of `header`, the RLP of its
    header.
    """

    chain_id: int
    number: int
    hash: bytes
    header: bytes


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A signed transaction that anchors roots: its bytes as they are sent, its 32-byte hash, the
    20-byte account that pays, and its nonce.

    Of all transactions with one account and nonce a chain carries out one at most.
    """

    raw: bytes
    hash: bytes
    sender: bytes
    nonce: int


class Standing(Enum):
    """Where a root is on a chain, and what may still become of the transaction that was signed
    for it.
    """

    ABSENT = "absent"
    """Not in the newest state. The transaction, if there is one, may still be carried out."""
    UNSETTLED = "unsettled"
    """In the newest state, or its nonce is used there, and neither is final: a reorganisation may
    take it back."""
    FINAL = "final"
    """In a final block."""
    LOST = "lost"
    """Not in the final state, where another transaction has used the nonce: this one can never be
    carried out any more."""


class Authority(Protocol):
    """An RFC 3161 time-stamping authority."""

    @property
    def name(self) -> str:
        """A short name, unique among the authorities of one ledger; it keys the ledger's
        records.
        """
        ...

    def stamp(self, root: bytes, algorithm: str = "sha256") -> Stamp:
        """Return a TimeStampToken (DER, RFC 3161, 2.4.2) whose imprint under `algorithm` is `root`,
        with what vouches for it now.

        A batch's root has 32 bytes and goes with "sha256"; what renews a record may need "sha384"
        or "sha512". Raises InvalidInput if `root` has not as many bytes as `algorithm` gives, or
        that is none of the three.

        The token answers this very request: imprint, nonce and policy MUST have been compared
        before it is returned. Certificates, CRLs and OCSP answers are there as far as they could be
        had; that they are missing is no error.
        """
        ...


class Chain(Protocol):
    """An EVM chain that carries the EvidenceAnchor contract.

    Any method may raise Unaffordable where money is what is missing.
    """

    @property
    def name(self) -> str:
        """A short name, unique among the chains of one ledger; it keys the ledger's records."""
        ...

    def troubles(self) -> list[Message]:
        """Return what was wrong with parts of it that others made up for, such as one of several
        endpoints: a person should know.
        """
        ...

    def recent_block(self) -> Block:
        """Return a recent block that is not expected to be reorganised away."""
        ...

    def standing(self, root: bytes, transaction: SignedTransaction | None) -> Standing:
        """Return where `root` is; `transaction` is the newest one that was signed for it.

        Asked before anything is spent.

        FINAL and LOST MUST each be judged at one final block. LOST MUST never be said of a root
        that this transaction may yet anchor.
        """
        ...

    def sign(
        self, roots: Sequence[bytes], replaced: SignedTransaction | None = None
    ) -> SignedTransaction | None:
        """Return a signed transaction that anchors all `roots`, ready to be sent, and send nothing.

        The caller stores it before it sends it.

        Where it is to replace another one for the same roots, it MUST have the same account and
        nonce, and fees that nodes accept as a replacement; None says that the one that was sent
        pays what the chain asks, so it may wait. Raises Unaffordable where the fees would be above
        the cap.
        """
        ...

    def send(self, transaction: SignedTransaction) -> None:
        """Hand a signed transaction to the chain.

        Sending the same one twice MUST have the effect of sending it once.

        That it returns says only that a node took it. Raises Conflict if another transaction has
        taken its nonce: `standing` will tell.
        """
        ...

    def collect(self, root: bytes, transactions: Sequence[SignedTransaction]) -> Anchor | None:
        """Return the evidence that `root` is in a final block, or None while it does not.

        A state proof MUST have been checked.

        `transactions` are all that were signed for it; the anchor names the one that brought it
        there, if one of them did.
        """
        ...


class FileStore(Protocol):
    """A content-addressed store of files."""

    def add(self, file: Path) -> str:
        """Store the file and return its CIDv1 as text. On return every block MUST be durable.

        The CID is that of Kubo's `ipfs add --cid-version=1`: UnixFS, 256 KiB chunks, raw leaves.
        Raises InvalidInput if the file changes meanwhile.
        """
        ...

    def read(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out`; every block's bytes MUST have been compared with
        its CID.

        Raises NotFound if a block is not here, BadAnswer or Damaged if its bytes are not those of
        its CID.
        """
        ...
