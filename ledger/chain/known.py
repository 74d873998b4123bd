"""Facts about EVM chains that people know by name: what a passed anchor there is worth, and where
to look it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.chain.stateproof import MAX_HEADER

if TYPE_CHECKING:
    from witnesstree.ledger.base.witness import Anchor

LOCAL_CHAIN_ID = 0x5749544E
"""The embedded chain's id, "WITN" in ASCII: no public chain uses it, and it is the same in every
home."""


CONFLUX = 1030


@dataclass(frozen=True, slots=True)
class KnownChain:
    """A chain's title, its explorer (None where there is none), and its assurance: a test network
    proves little for long.

    `blockscout` is a second explorer, of that kind. `has_state_proofs` says whether a state proof
    can lead from its blocks to the contract, as far as its nodes' software goes; anyone who runs a
    node may have switched it off.

    `max_header` is how many bytes its block headers may have.

    `sees_own_number` says whether a contract sees the number of the block that it runs in; on some
    chains above others it sees about that of the chain below.
    """

    title: str | Message
    explorer: str | None
    assurance: Assurance
    blockscout: str | None = None
    has_state_proofs: bool = True
    sees_own_number: bool = True
    max_header: int = 2048

    @property
    def name(self) -> str:
        """The title in English, as machine-readable output has it."""
        return str(self.title)


# Ids and explorers as in ethereum-lists/chains and in viem 2.57.20, read on 2026-11-23. Conflux
# eSpace: doc.confluxnetwork.org, "JSON-RPC Compatibility", says that there is no eth_getProof.
KNOWN_CHAINS = {
    1: KnownChain(
        "Ethereum",
        "https://etherscan.io",
        Assurance.PUBLIC,
        blockscout="https://eth.blockscout.com",
    ),
    10: KnownChain("Optimism", "https://optimistic.etherscan.io", Assurance.PUBLIC),
    # Its epoch blocks list 68 bytes for each validator, 21 of them and more.
    56: KnownChain("BNB Smart Chain", "https://bscscan.com", Assurance.PUBLIC, max_header=8 * 1024),
    100: KnownChain(
        "Gnosis",
        "https://gnosisscan.io",
        Assurance.PUBLIC,
        blockscout="https://gnosis.blockscout.com",
    ),
    # Its sprints' blocks list 40 bytes for each of about a hundred validators; some blocks list
    # which transactions depend on each other.
    137: KnownChain("Polygon", "https://polygonscan.com", Assurance.PUBLIC, max_header=MAX_HEADER),
    CONFLUX: KnownChain(
        "Conflux eSpace", "https://evm.confluxscan.org", Assurance.PUBLIC, has_state_proofs=False
    ),
    8453: KnownChain(
        "Base", "https://basescan.org", Assurance.PUBLIC, blockscout="https://base.blockscout.com"
    ),
    # docs.arbitrum.io, "Block numbers and time": block.number is about that of Ethereum's block.
    42161: KnownChain(
        "Arbitrum One", "https://arbiscan.io", Assurance.PUBLIC, sees_own_number=False
    ),
    11155111: KnownChain(
        message("chain-sepolia"), "https://sepolia.etherscan.io", Assurance.PRIVATE
    ),
    LOCAL_CHAIN_ID: KnownChain(message("chain-local"), None, Assurance.LOCAL),
}


def known_chain(chain_id: int) -> KnownChain:
    """Return what is known of a chain; a stranger is private, has no explorer, and may have headers
    as long as any.
    """
    return KNOWN_CHAINS.get(chain_id) or KnownChain(
        message("chain-of-id", id=chain_id),
        None,
        Assurance.PRIVATE,
        sees_own_number=False,
        max_header=MAX_HEADER,
    )


def explorer_links(anchor: Anchor) -> list[str]:
    """Return where an anchor's transaction, block and contract can be looked up by hand; none where
    the chain has no explorer.
    """
    explorer = known_chain(anchor.chain_id).explorer
    if explorer is None:
        return []
    transaction = [f"{explorer}/tx/0x{anchor.transaction.hex()}"] if anchor.transaction else []
    return [
        *transaction,
        f"{explorer}/block/{anchor.block_number}",
        f"{explorer}/address/0x{anchor.contract.hex()}#readContract",
    ]


def contract_pages(chain_id: int, contract: bytes) -> list[str]:
    """Return where a contract (20 bytes) can be asked by hand: each explorer's page with its
    functions.
    """
    chain, address = known_chain(chain_id), f"0x{contract.hex()}"
    pages = [f"{chain.explorer}/address/{address}#readContract"] if chain.explorer else []
    return (
        [*pages, f"{chain.blockscout}/address/{address}?tab=read_contract"]
        if chain.blockscout
        else pages
    )


def publishing_pages(chain_id: int, contract: bytes) -> list[str]:
    """Return where a contract's source can be published, so that explorers show its functions.

    Sourcify, the last, is read by most of them.

    Where a chain has no explorer that we know, there is none.
    """
    chain, address = known_chain(chain_id), f"0x{contract.hex()}"
    if chain.explorer is None:
        return []
    second = [f"{chain.blockscout}/contract-verification"] if chain.blockscout else []
    # The form's address is Etherscan's, and its sister explorers'. ConfluxScan is none of them: its
    # pages lead there from the contract's address.
    first = (
        f"{chain.explorer}/address/{address}"
        if chain_id == CONFLUX
        else f"{chain.explorer}/verifyContract?a={address}"
    )
    return [first, *second, "https://verify.sourcify.dev/"]
