"""Settings of well-known chains, so that `chain add ethereum` needs no more than a key.

Names, explorers and what a chain is worth: ledger/chain/known.py.

Nothing here is trusted: the id is compared with what each node says, and anyone who knows better
writes other values into the settings.
"""

from __future__ import annotations

from dataclasses import dataclass

from witnesstree.ledger.base.message import Message, message

KNOWN = "2026-11-23"
"""When these facts were read. Public endpoints come and go."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One chain: public endpoints that ask for no key, the coin that fees are paid in, and by what
    `rule` its finalized tag may be relied on.

    `block_seconds` is None where it could not be learned. `fee_cap`, in gwei, replaces the
    settings' default where that would be too low. `caution` is what a person must know before
    choosing it.
    """

    name: str
    chain_id: int
    urls: tuple[str, ...]
    coin: str
    block_seconds: float | None
    rule: str
    fee_cap: float | None = None
    caution: str | None = None

    @property
    def why(self) -> Message:
        """Why a block that the tag names is final."""
        return message("finality-rule", rule=self.rule)

    @property
    def note(self) -> Message | None:
        """What a person must know before choosing it."""
        return message("chain-caution", caution=self.caution) if self.caution else None


# Endpoints, ids and block times: ethereum-lists/chains and viem 2.57.20's chain definitions.
# Finality: Polygon's PIP-11 (milestones); BNB Chain's "Bsc Api list" (BEP-126), block time in
# docs.bnbchain.org/llms.txt; Conflux's rpc-eth-types/src/block_number.rs ("finalized" is
# LatestFinalized); ethereum-optimism/docs, "Transaction finality"; docs.arbitrum.io, "Block gas
# limit, numbers and time", on block.number. All read on KNOWN.
_PRESETS = (
    Preset(
        "ethereum",
        1,
        ("https://ethereum.reth.rs/rpc", "https://ethereum.publicnode.com"),
        "ETH",
        12,
        "casper-ffg",
    ),
    Preset(
        "sepolia",
        11155111,
        ("https://ethereum-sepolia-rpc.publicnode.com", "https://sepolia.drpc.org"),
        "ETH",
        12,
        "casper-ffg",
        caution="test-network",
    ),
    Preset(
        "base",
        8453,
        ("https://mainnet.base.org", "https://base-rpc.publicnode.com"),
        "ETH",
        2,
        "rollup",
        caution="data-fee",
    ),
    Preset(
        "arbitrum",
        42161,
        ("https://arb1.arbitrum.io/rpc", "https://arbitrum-one-rpc.publicnode.com"),
        "ETH",
        0.25,
        "rollup",
        caution="number-of-ethereum",
    ),
    Preset(
        "optimism", 10, ("https://mainnet.optimism.io",), "ETH", 2, "rollup", caution="data-fee"
    ),
    Preset(
        "polygon",
        137,
        ("https://polygon.drpc.org", "https://polygon-bor-rpc.publicnode.com"),
        "POL",
        2,
        "polygon-milestone",
        fee_cap=500,
    ),
    Preset(
        "bnb",
        56,
        ("https://bsc-dataseed1.binance.org", "https://bsc-dataseed2.binance.org"),
        "BNB",
        0.45,
        "bnb-fast-finality",
    ),
    Preset(
        "gnosis",
        100,
        ("https://rpc.gnosischain.com", "https://gnosis.publicnode.com"),
        "xDAI",
        5,
        "casper-ffg",
    ),
    Preset(
        "conflux",
        1030,
        ("https://evm.confluxrpc.com",),
        "CFX",
        None,
        "conflux-pos",
        caution="no-state-proofs",
    ),
)

PRESETS = {preset.name: preset for preset in _PRESETS}


def preset_of(chain_id: int) -> Preset | None:
    """Return what is known of the chain with this id, None where nothing is."""
    return next((preset for preset in _PRESETS if preset.chain_id == chain_id), None)
