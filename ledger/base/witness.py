"""The witnesses of a batch's root as plain values: what an authority and a chain gave.

Nothing in them is believed before it was judged.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stamp:
    """A timestamp token (DER), and what was at hand about its certificates when it was made, all
    DER and all to be judged like the token itself.

    `certificates` are those that lead from its signer to a root and that the token does not carry;
    `crls` and `ocsps` say whether they were revoked (RFC 5280, 5; RFC 6960, 4.2).
    """

    token: bytes
    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsps: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class StateProof:
    """What leads from a block header (RLP) to the contract's account and on to one storage slot:
    the answer of `eth_getProof` (EIP-1186).
    """

    header: bytes
    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A root in a contract: `contract` has 20 bytes, `transaction` and `block_hash` 32.

    `block_number` and `block_hash` name the final block whose state the proof opens. `transaction`
    is None where someone else anchored the root before us; `state` is None where the node gave no
    state proof.
    """

    chain_id: int
    contract: bytes
    transaction: bytes | None
    block_number: int
    block_hash: bytes
    state: StateProof | None
