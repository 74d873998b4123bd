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
from witnesstree.anchor.evm.finality import TAG, final_block
from witnesstree.anchor.evm.rpc import Endpoint, joined
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable, WitnesstreeError
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.known import known_chain
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.trust import Trust, TrustedAnchoring, TrustedBlock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from witnesstree.anchor.evm.client import NodeBlock
    from witnesstree.anchor.evm.finality import Finality
    from witnesstree.ledger.base.message import Message
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
    notes: tuple[Message, ...] = ()


def ask_nodes(
    urls: Sequence[str],
    proof: Proof,
    finality: Mapping[int, Finality] | None = None,
    timeout: float = TIMEOUT,
) -> Testimony:
    """Return what the nodes at `urls` say of the blocks and contracts that `proof` names; each is
    asked about its own chain. An address that holds a key may be given as env:NAME or file:PATH,
    because other users of the machine see the command line. `finality` says of chains by their id
    when a block is final: by the finalized tag unless it is said.

    Where several are given, one that fails counts for nothing, whatever it said before, and a note
    says so.

    Raises Unreachable or BadAnswer if all fail: do not answer, answer badly, or are of a chain that
    the proof does not name; BadAnswer if two of one chain contradict each other; InvalidInput if a
    URL is none, or is not where it is said to be.
    """
    said: list[Testimony] = []
    notes: list[Message] = []
    failures: list[WitnesstreeError] = []
    for url in urls:
        with closing(Endpoint(url, timeout=timeout)) as endpoint:
            try:
                said.append(_ask_node(Client(endpoint), proof, finality or {}))
            except (Unreachable, BadAnswer) as error:
                failures.append(error)
                notes.append(message("node-left-out", error=error))
            except InvalidInput as error:
                raise InvalidInput("rpc-option-wrong", error=error) from None
    if failures and not said:
        raise joined(failures)
    blocks = tuple(block for each in said for block in each.trust.blocks)
    _require_agreement(blocks)
    records = tuple(record for each in said for record in each.trust.anchorings)
    return Testimony(
        Trust(blocks=blocks, anchorings=records),
        (*notes, *(note for each in said for note in each.notes)),
    )


def _ask_node(client: Client, proof: Proof, finality: Mapping[int, Finality]) -> Testimony:
    blocks: list[TrustedBlock] = []
    records: list[TrustedAnchoring] = []
    notes: list[Message] = []
    chain_id = client.chain_id()
    named = _named_blocks(proof)
    if not (numbers := {number for chain, number in named if chain == chain_id}):
        raise BadAnswer(
            "node-of-chain-not-named",
            place=client.place,
            chain=known_chain(chain_id).name,
            named=tuple(known_chain(chain).name for chain in sorted({chain for chain, _ in named})),
            count=len(named),
        )
    source = message("node-says-so", place=client.place)
    final = final_block(client, finality.get(chain_id, TAG), known_chain(chain_id).max_header)
    if final is None:
        return Testimony(Trust(), (message("node-without-final-block", place=client.place),))
    for number in sorted(numbers):
        block = client.block(number) if number <= final.number else None
        if block is None:
            notes.append(
                message(
                    "block-not-final-yet", place=client.place, number=number, final=final.number
                )
            )
        else:
            blocks.append(TrustedBlock(block.hash, source, chain_id, number))
    root = proof.inclusion.root if proof.inclusion else None
    for anchor in proof.anchors:
        if root and anchor.chain_id == chain_id and anchor.state is None:
            time = _recorded(client, anchor, root, final)
            if time is None:
                notes.append(
                    message(
                        "node-without-record",
                        place=client.place,
                        address=anchor.contract,
                        number=final.number,
                    )
                )
            else:
                records.append(TrustedAnchoring(chain_id, anchor.contract, root, time, source))
    return Testimony(Trust(blocks=tuple(blocks), anchorings=tuple(records)), tuple(notes))


def _recorded(client: Client, anchor: Anchor, root: bytes, final: NodeBlock) -> int | None:
    """Return since when, in seconds, EvidenceAnchor holds the root, None if it does not, or is
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
            raise BadAnswer(
                "nodes-name-different-blocks",
                number=block.number,
                first=other.hash,
                first_source=other.source,
                second=block.hash,
                second_source=block.source,
            )
