"""Step 5: each anchor, from a block header that is known to be canonical to the root's slot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import Assurance, Check, failed, passed, unknown
from witnesstree.ledger.chain.known import known_chain
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    prove_slot,
)
from witnesstree.ledger.verify.witness import Witness

if TYPE_CHECKING:
    from witnesstree.ledger.base.witness import Anchor
    from witnesstree.ledger.chain.stateproof import Anchoring, Header
    from witnesstree.ledger.trust import Trust, TrustedBlock


def judge_anchor(place: str, anchor: Anchor, root: bytes, trust: Trust) -> Witness:
    """Judge an anchor for the batch root `root`; its checks are named after `place`."""
    canonical = judge_canonical(
        f"{place}.canonical", anchor.chain_id, anchor.block_number, anchor.block_hash, trust
    )
    if anchor.state is None:
        return _judge_without_state(f"{place}.state", anchor, root, trust, canonical)
    header, block = judge_header(
        f"{place}.block",
        anchor.state.header,
        anchor.chain_id,
        anchor.block_number,
        anchor.block_hash,
    )
    if header is None:
        return Witness([block, canonical])
    try:
        slot = prove_slot(header, anchor.contract, root, anchor.state.account, anchor.state.storage)
    except InvalidInput as error:
        return Witness(
            [
                block,
                failed(f"{place}.state", "state-proof-wrong", number=header.number, error=error),
                canonical,
            ]
        )
    found, contract = slot.anchoring, _0x(anchor.contract)
    anchored = time_of(found.time)
    checks = [
        block,
        passed(
            f"{place}.state",
            "state-proof-right",
            number=header.number,
            contract=contract,
            anchored=found.block_number,
        ),
    ]
    if slot.code_hash != CONTRACT_CODE_HASH:
        return Witness(
            [
                *checks,
                failed(f"{place}.contract", "contract-code-unknown", contract=contract),
                canonical,
            ]
        )
    if fault := _record_fault(f"{place}.contract", anchor.chain_id, found, header):
        return Witness([*checks, fault, canonical])
    if anchor.contract == CONTRACT_ADDRESS:
        code = "contract-right"
    else:
        # Its creator could have written slots before the code was in place, so only the block
        # itself is believed, not the time in the slot.
        anchored = time_of(header.time)
        code = "contract-at-other-address"
    return Witness(
        [*checks, passed(f"{place}.contract", code, time=anchored), canonical],
        anchored,
        _assurance_of(anchor, trust),
    )


def _record_fault(name: str, chain_id: int, found: Anchoring, header: Header) -> Check | None:
    """Return what is wrong with a record that names a later time or block than the one that holds
    it; numbers are compared where both are known to be of one chain.
    """
    if found.time > header.time:
        time = time_of(found.time)
        return failed(name, "anchored-after-block", time=time, number=header.number)
    if found.block_number > header.number and known_chain(chain_id).sees_own_number:
        return failed(
            name, "anchored-in-later-block", found=found.block_number, number=header.number
        )
    return None


def _judge_without_state(
    name: str, anchor: Anchor, root: bytes, trust: Trust, canonical: Check
) -> Witness:
    """Judge an anchor without a state proof: only the verifier's own knowledge of the contract can
    replace it.
    """
    contract, chain = _0x(anchor.contract), known_chain(anchor.chain_id)
    named = (anchor.chain_id, anchor.contract, root)
    record = next(
        (
            known
            for known in trust.anchorings
            if (known.chain_id, known.contract, known.root) == named
        ),
        None,
    )
    if record is None:
        check = unknown(name, "state-proof-absent", chain=chain.title, contract=contract)
        return Witness([check, canonical])
    anchored = time_of(record.time)
    check = passed(
        name, "state-proof-replaced", contract=contract, time=anchored, source=record.source
    )
    return Witness([check, canonical], anchored, _assurance_of(anchor, trust))


def judge_header(
    name: str, rlp: bytes, chain_id: int, number: int, block_hash: bytes
) -> tuple[Header | None, Check]:
    """Judge whether a header (RLP) is that of a chain's block with this number and hash."""
    try:
        header = parse_header(rlp, known_chain(chain_id).max_header)
    except OverLimit as error:
        return None, unknown(name, "header-over-limit", error=error)
    except InvalidInput as error:
        return None, failed(name, "header-unreadable", error=error)
    if header.hash != block_hash or header.number != number:
        return None, failed(
            name,
            "header-of-other-block",
            found=header.number,
            found_hash=_0x(header.hash),
            number=number,
            hash=_0x(block_hash),
        )
    return header, passed(name, "header-right", number=number, hash=_0x(block_hash))


def judge_canonical(
    name: str, chain_id: int, number: int, block_hash: bytes, trust: Trust
) -> Check:
    """Judge whether a block is part of its chain, which no proof can say of itself."""
    chain = known_chain(chain_id)
    # First: where the verifier's own sources contradict each other, nobody may pick the one that
    # suits the proof.
    for block in trust.blocks:
        if (block.chain_id, block.number) == (chain_id, number) and block.hash != block_hash:
            return failed(
                name,
                "block-not-canonical",
                number=number,
                chain=chain.title,
                found=_0x(block.hash),
                hash=_0x(block_hash),
                source=block.source,
            )
    if known := _trusted(chain_id, number, block_hash, trust):
        return passed(
            name,
            "block-canonical",
            number=number,
            chain=chain.title,
            chain_id=chain_id,
            source=known[0].source,
            assurance=_block_assurance(chain_id, known).name.lower(),
        )
    # The proof's own hash is not offered: whoever copies it has compared nothing.
    code = "block-unknown-node"
    if chain.explorer:
        code = "block-unknown-explorer"
    elif chain.assurance is Assurance.LOCAL:
        code = "block-unknown-local"
    return unknown(
        name,
        code,
        number=number,
        chain=chain.title,
        explorer=chain.explorer,
        chain_id=chain_id,
    )


def _trusted(chain_id: int, number: int, block_hash: bytes, trust: Trust) -> list[TrustedBlock]:
    return [
        block
        for block in trust.blocks
        if block.hash == block_hash
        and block.chain_id in {None, chain_id}
        and block.number in {None, number}
    ]


def _assurance_of(anchor: Anchor, trust: Trust) -> Assurance:
    number, block_hash = anchor.block_number, anchor.block_hash
    return _block_assurance(anchor.chain_id, _trusted(anchor.chain_id, number, block_hash, trust))


def _block_assurance(chain_id: int, trusted: list[TrustedBlock]) -> Assurance:
    """Return what a trusted block is worth.

    A header names no chain: where the verifier named none either, the proof's word must not raise
    it.
    """
    assurance = known_chain(chain_id).assurance
    is_named = any(block.chain_id for block in trusted)
    return assurance if is_named else min(assurance, Assurance.PRIVATE)


def _0x(value: bytes) -> str:
    return "0x" + value.hex()


def time_of(seconds: int) -> datetime:
    """Return a time in seconds since 1970; the last that there is for any beyond."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)
