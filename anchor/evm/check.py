"""What a verifier's own nodes say of the blocks and records that a proof names (`witnesstree verify
--rpc`). What it says is trusted like a node is.

A node says that a block is canonical, and for an anchor without a state proof, that the contract
holds the root. It is only asked about final blocks, so that its answer stays true.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from witnesstree.anchor.evm.client import Client
from witnesstree.anchor.evm.rpc import Endpoint, joined
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable, WitnesstreeError
from witnesstree.ledger.chain.known import known_chain
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.trust import Trust, TrustedBlock, TrustedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from witnesstree.anchor.evm.client import NodeBlock
    from witnesstree.ledger.base.witness import Anchor
    from witnesstree.ledger.proof.proof import Proof

TIMEOUT: Final = 15.0
"""Seconds for one exchange with a node. A proof with one anchor takes four or five."""


@dataclass(frozen=True, slots=True)
class Testimony:
    """What nodes said: what is trusted for it, and notes for a person about what they could not
    say.
    """

    trust: Trust
    notes: tuple[str, ...] = ()


def ask_nodes(urls: Sequence[str], proof: Proof, timeout: float = TIMEOUT) -> Testimony:
    """Return what the nodes at `urls` say of the blocks and contracts that `proof` names; each is
    asked about its own chain.

    Where several are given, one that fails counts for nothing, whatever it said before, and a note
    says so.

    Raises Unreachable or BadAnswer if all fail: do not answer, answer badly, or are of a chain that
    the proof does not name; BadAnswer if two of one chain contradict each other; InvalidInput if a
    URL is none.
    """
    said: list[Testimony] = []
    notes: list[str] = []
    failures: list[WitnesstreeError] = []
    for url in urls:
        with closing(_endpoint(url, timeout)) as endpoint:
            try:
                said.append(_ask_node(Client(endpoint), proof))
            except (Unreachable, BadAnswer) as error:
                failures.append(error)
                notes.append(f"One node was left out: {error}.")
            except InvalidInput as error:
                raise InvalidInput(f"--rpc takes the address of a node: {error}") from None
    if failures and not said:
        raise joined(failures)
    blocks = tuple(block for each in said for block in each.trust.blocks)
    _require_agreement(blocks)
    records = tuple(record for each in said for record in each.trust.records)
    return Testimony(
        Trust(blocks=blocks, records=records),
        (*notes, *(note for each in said for note in each.notes)),
    )


def _endpoint(url: str, timeout: float) -> Endpoint:
    try:
        return Endpoint(url, timeout=timeout)
    except ValueError:
        # Without the cause, and without the address, which may hold a key.
        raise InvalidInput(
            "--rpc takes the address of a node: expected http://… or https://… with a host"
        ) from None


def _ask_node(client: Client, proof: Proof) -> Testimony:
    blocks: list[TrustedBlock] = []
    records: list[TrustedRecord] = []
    notes: list[str] = []
    chain_id = client.chain_id()
    named = _named_blocks(proof)
    if not (numbers := {number for chain, number in named if chain == chain_id}):
        chains = (
            " and ".join(known_chain(chain).name for chain in sorted({chain for chain, _ in named}))
            or "none"
        )
        raise BadAnswer(
            f"{client.place} is a node of {known_chain(chain_id).name}, and the proof names"
            f" {chains}: ask a node of that chain"
        )
    source, final = f"the node at {client.place} says so", client.finalized()
    if final is None:
        return Testimony(
            Trust(), (f"{client.place} names no final block, so it can confirm nothing yet.",)
        )
    for number in sorted(numbers):
        block = client.block(number) if number <= final.number else None
        if block is None:
            notes.append(
                f"{client.place} does not have block {number} as final: its newest final one is"
                f" {final.number}."
            )
        else:
            blocks.append(TrustedBlock(block.hash, source, chain_id, number))
    root = proof.inclusion.root if proof.inclusion else None
    for anchor in proof.anchors:
        if root and anchor.chain_id == chain_id and anchor.state is None:
            time = _recorded(client, anchor, root, final)
            if time is None:
                notes.append(
                    f"{client.place} has no record of the root in the contract"
                    f" 0x{anchor.contract.hex()} at block {final.number}."
                )
            else:
                records.append(TrustedRecord(chain_id, anchor.contract, root, time, source))
    return Testimony(Trust(blocks=tuple(blocks), records=tuple(records)), tuple(notes))


def _recorded(client: Client, anchor: Anchor, root: bytes, final: NodeBlock) -> int | None:
    """Return since when, in seconds, EvidenceAnchor holds the root, None if it does not, or stands
    not there.
    """
    if client.code_hash(anchor.contract, "latest") != CONTRACT_CODE_HASH:
        return None
    record = client.final_record(anchor.contract, root, final)
    if record is None:
        return None
    # At another address its creator could have written the slot before the code was there, so only
    # the block's time counts.
    return record.time if anchor.contract == CONTRACT_ADDRESS else final.time


def _named_blocks(proof: Proof) -> set[tuple[int, int]]:
    named = {(anchor.chain_id, anchor.block_number) for anchor in proof.anchors}
    try:
        opening = parse_opening(proof.opening.record) if proof.opening else None
    except InvalidInput:
        opening = None
    return named | (
        {(opening.block.chain_id, opening.block.number)} if opening and opening.block else set()
    )


def _require_agreement(blocks: Sequence[TrustedBlock]) -> None:
    known: dict[tuple[int | None, int | None], TrustedBlock] = {}
    for block in blocks:
        other = known.setdefault((block.chain_id, block.number), block)
        if other.hash != block.hash:
            names = f"0x{other.hash.hex()} ({other.source}), 0x{block.hash.hex()} ({block.source})"
            raise BadAnswer(
                f"two nodes of one chain name different blocks {block.number}: {names}; one of them"
                " is wrong, so neither is believed"
            )
