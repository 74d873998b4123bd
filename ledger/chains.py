"""Facts about EVM chains that people know by name: what a passed anchor there is worth, and where to look it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.trust import Assurance

if TYPE_CHECKING:
    from witnesstree.ledger.proof import Anchor

LOCAL_CHAIN_ID = 0x5749544E
"""The embedded chain's id, "WITN" in ASCII: no public chain uses it, and it is the same in every home."""


@dataclass(frozen=True, slots=True)
class KnownChain:
    """A chain's name, its explorer (None where there is none), and its assurance: a test network proves little for long."""

    name: str
    explorer: str | None
    assurance: Assurance


KNOWN_CHAINS = {
    1: KnownChain("Ethereum", "https://etherscan.io", Assurance.PUBLIC),
    10: KnownChain("Optimism", "https://optimistic.etherscan.io", Assurance.PUBLIC),
    56: KnownChain("BNB Smart Chain", "https://bscscan.com", Assurance.PUBLIC),
    100: KnownChain("Gnosis", "https://gnosisscan.io", Assurance.PUBLIC),
    137: KnownChain("Polygon", "https://polygonscan.com", Assurance.PUBLIC),
    1030: KnownChain("Conflux eSpace", "https://evm.confluxscan.org", Assurance.PUBLIC),
    8453: KnownChain("Base", "https://basescan.org", Assurance.PUBLIC),
    42161: KnownChain("Arbitrum One", "https://arbiscan.io", Assurance.PUBLIC),
    11155111: KnownChain("Sepolia (a test network)", "https://sepolia.etherscan.io", Assurance.PRIVATE),
    LOCAL_CHAIN_ID: KnownChain("the embedded local chain", None, Assurance.LOCAL),
}


def known_chain(chain_id: int) -> KnownChain:
    """Return what is known of a chain; a stranger is private and has no explorer."""
    return KNOWN_CHAINS.get(chain_id) or KnownChain(f"chain {chain_id}", None, Assurance.PRIVATE)


def explorer_links(anchor: Anchor) -> list[str]:
    """Return where an anchor's transaction, block and contract can be looked up by hand; none where the chain has no explorer."""
    explorer = known_chain(anchor.chain_id).explorer
    if explorer is None:
        return []
    transaction = [f"{explorer}/tx/0x{anchor.transaction.hex()}"] if anchor.transaction else []
    return [*transaction, f"{explorer}/block/{anchor.block_number}", f"{explorer}/address/0x{anchor.contract.hex()}#readContract"]
