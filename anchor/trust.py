"""What a home lets its owner trust: its own authority, chain and key.

It opens files only, and neither web3 nor the metadata store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.anchor.evm.blocks import canonical_hash
from witnesstree.anchor.tsa.local import trusted_root
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.store.restored import restorations
from witnesstree.ledger.trust import Trust, TrustedBlock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from witnesstree.anchor.evm.finality import Finality
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.store.home import Home


def home_trust(home: Home, proof: Proof) -> Trust | None:
    """Return what `home` says of the authority, blocks and key that `proof` names, or None where
    the proof is another ledger's.

    Raises Damaged if the home's files contradict themselves.
    """
    try:
        opening = parse_opening(proof.opening.record) if proof.opening else None
    except InvalidInput:
        opening = None
    if opening is None or opening.origin != home.origin:
        return None
    named = {
        (anchor.block_number, anchor.block_hash)
        for anchor in proof.anchors
        if anchor.chain_id == LOCAL_CHAIN_ID
    }
    if opening.block and opening.block.chain_id == LOCAL_CHAIN_ID:
        named.add((opening.block.number, opening.block.hash))
    source = message("embedded-chain-says-so", folder=home.chain)
    # Of a home that came back from a backup, the chain has lost blocks that proofs name: another
    # one of their number is no word against them.
    is_restored = bool(restorations(home))
    blocks = [
        TrustedBlock(block_hash, source, LOCAL_CHAIN_ID, number)
        for number, hash_ in sorted(named)
        if (block_hash := canonical_hash(home.chain, number)) is not None
        and (block_hash == hash_ or not is_restored)
    ]
    return Trust(
        (trusted_root(home.authority),),
        tuple(blocks),
        (home.verifier_key(),),
        key_notes=home.key_notes(),
    )


def finality_in(home: Path) -> Mapping[int, Finality]:
    """Return when a block is final, by chain id, as the settings of a home say; of two that name
    one chain, the stricter.

    Raises as `read_settings` does.
    """
    from witnesstree.anchor.settings import read_settings

    found: dict[int, Finality] = {}
    for chain in read_settings(home).chains.values():
        former = found.get(chain.chain_id, 0)
        if former != "finalized":
            stricter = chain.finality == "finalized" or chain.finality > former
            found[chain.chain_id] = chain.finality if stricter else former
    return found
