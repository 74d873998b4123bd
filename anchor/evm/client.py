"""What one node of an EVM chain says, as values.

Nothing here signs, waits, or decides whether the node is to be believed. What decides is read
strictly here: blocks, headers, nonces, codes, state proofs. Contract calls, fees, receipts and
sending go through web3 (`bridge`), which is imported when the first of them is asked for.

Every function of `Client` raises Unreachable, BadAnswer, or of that a Refusal, as rpc.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from witnesstree.anchor.evm.header import rebuild_header
from witnesstree.anchor.evm.rpc import MAX_QUANTITY, Missing, Refusal, octets, quantity, shown
from witnesstree.anchor.extras import CHAINS, require_extra
from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import (
    MAX_HEADER,
    MAX_NODE,
    MAX_NODES,
    slot_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from witnesstree.anchor.evm.bridge import Bridge, Receipt
    from witnesstree.anchor.evm.rpc import Endpoint
    from witnesstree.ledger.chain.stateproof import Anchoring

    Tag = Literal["latest", "pending"]

MAX_NUMBER: Final = 2**48 - 1
"""The largest block number, and nonce: beyond it a node is mistaken.

The contract keeps block numbers in as many bits.
"""
MAX_CODE: Final = 64 * 1024
"""Bytes of code at an address: the EVM takes 24,576 (EIP-170), some chains more."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NodeBlock:
    """A block as a node describes it: `time` in seconds since 1970, `base_fee` in wei (None before
    London), and all that was said of it.
    """

    number: int
    hash: bytes
    parent: bytes
    time: int
    base_fee: int | None
    extra_size: int
    members: Mapping[str, Any] = field(repr=False, compare=False)


class Client:
    """The node behind `endpoint`.

    A state is that after one block, which is named by its hash, or that of a tag.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.place = endpoint.place

    @cached_property
    def bridge(self) -> Bridge:
        """The same node, as web3 asks it. Raises InvalidInput where web3 is not installed."""
        require_extra(CHAINS)
        from witnesstree.anchor.evm.bridge import Bridge

        return Bridge(self.endpoint)

    # Blocks

    def chain_id(self) -> int:
        """Return the chain's id (EIP-155)."""
        return quantity(self.endpoint.ask("eth_chainId"), "eth_chainId", self.place, MAX_NUMBER)

    def newest(self) -> NodeBlock:
        """Return the newest block."""
        block = self._block("eth_getBlockByNumber", "latest")
        if block is None:
            raise BadAnswer("newest-block-missing", place=self.place)
        return block

    def finalized(self) -> NodeBlock | None:
        """Return the newest block that the node calls finalized, None while it has none."""
        try:
            return self._block("eth_getBlockByNumber", "finalized")
        except Refusal as error:
            # geth's "finalized block not found", in the words of several releases.
            if "not found" in error.text.lower() or error.code == -39001:
                return None
            raise

    def block(self, at: int | bytes) -> NodeBlock | None:
        """Return the block with this number or hash, None where the node knows none.

        Of a number: the one that is canonical there now.
        """
        if isinstance(at, int):
            block = self._block("eth_getBlockByNumber", hex(at))
            is_asked = block is None or block.number == at
        else:
            block = self._block("eth_getBlockByHash", _hex(at))
            is_asked = block is None or block.hash == at
        if not is_asked:
            raise BadAnswer("block-other-than-asked", place=self.place)
        return block

    def header(self, block: NodeBlock, most: int) -> bytes | None:
        """Return the RLP of the block's header, whose keccak-256 is its hash; None where this
        chain's blocks have none, or one of more than so many bytes.

        Raises BadAnswer where the block before has one: then the hash is wrong.
        """
        header = rebuild_header(block.members, self.place)
        if keccak256(header) == block.hash:
            return header if len(header) <= most else None
        raw = self._raw_header(block)
        if raw is not None and keccak256(raw) == block.hash:
            return raw if len(raw) <= most else None
        before = self.block(block.parent)
        if (
            before is not None
            and keccak256(rebuild_header(before.members, self.place)) == before.hash
        ):
            raise BadAnswer(
                "block-hash-not-of-header", place=self.place, number=block.number, hash=block.hash
            )
        return None

    def _raw_header(self, block: NodeBlock) -> bytes | None:
        """Return what debug_getRawHeader says: a fork that header.py does not know is no hindrance
        there. Few nodes give it.
        """
        try:
            return octets(
                self.endpoint.ask("debug_getRawHeader", hex(block.number)),
                "debug_getRawHeader",
                self.place,
                most=MAX_HEADER,
            )
        except BadAnswer:
            return None

    def _block(self, method: str, at: str) -> NodeBlock | None:
        members = self.endpoint.ask(method, at, False)  # noqa: FBT003 - its place in JSON-RPC; True would ask for whole transactions
        if members is None:
            return None
        if not isinstance(members, dict):
            raise BadAnswer("block-expected", place=self.place, method=method, found=shown(members))

        def number(name: str, most: int = MAX_QUANTITY) -> int:
            return quantity(members.get(name), f"{method}.{name}", self.place, most)

        def hash_(name: str) -> bytes:
            return octets(members.get(name), f"{method}.{name}", self.place, 32)

        extra = octets(members.get("extraData", "0x"), f"{method}.extraData", self.place)
        has_base_fee = members.get("baseFeePerGas") is not None
        return NodeBlock(
            number=number("number", MAX_NUMBER),
            hash=hash_("hash"),
            parent=hash_("parentHash"),
            time=number("timestamp", MAX_NUMBER),
            base_fee=number("baseFeePerGas") if has_base_fee else None,
            extra_size=len(extra),
            members=members,
        )

    # State

    def nonce(self, account: bytes, at: NodeBlock | Tag) -> int:
        """Return how many transactions of `account` (20 bytes) were carried out; with "pending",
        those that wait are counted in.
        """
        count = self._at(
            at, lambda block: self.endpoint.ask("eth_getTransactionCount", _hex(account), block)
        )
        return quantity(count, "eth_getTransactionCount", self.place, MAX_NUMBER)

    def balance(self, account: bytes) -> int:
        """Return what `account` holds, in wei."""
        return self.bridge.balance(account)

    def code_hash(self, address: bytes, at: NodeBlock | Tag) -> bytes:
        """Return keccak-256 of the code at `address`; where there is none, that of no bytes."""
        code = self._at(at, lambda block: self.endpoint.ask("eth_getCode", _hex(address), block))
        return keccak256(octets(code, "eth_getCode", self.place, most=MAX_CODE))

    def record(self, contract: bytes, root: bytes, at: NodeBlock | Tag) -> Anchoring | None:
        """Return what EvidenceAnchor at `contract` says of `root`, None while it has no record of
        it, and before there was code there.
        """
        return self._at(at, lambda block: self.bridge.record(contract, root, block))

    def final_record(self, contract: bytes, root: bytes, final: NodeBlock) -> Anchoring | None:
        """Return the record of `root` as of the block `final`, which can no longer be reorganised
        away.

        Many nodes have forgotten that state: then the newest one tells as much. A record that is
        older than the final block was made in it or before it, because times never fall along a
        chain.
        """
        try:
            return self.record(contract, root, final)
        except Refusal:
            record = self.record(contract, root, "latest")
            return record if record and record.time < final.time else None

    def proof(
        self, contract: bytes, root: bytes, at: NodeBlock
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
        """Return the trie nodes to the contract's account, and on to the slot of `root` (EIP-1186),
        None where the node gives none. Not checked.
        """
        try:
            members = self._at(
                at,
                lambda block: self.endpoint.ask(
                    "eth_getProof", _hex(contract), [_hex(slot_of(root))], block
                ),
            )
        except Refusal:
            return None
        if not isinstance(members, dict):
            raise BadAnswer("state-proof-expected", place=self.place, found=shown(members))
        slots = members.get("storageProof")
        slot = slots[0] if isinstance(slots, list) and len(slots) == 1 else None
        return self._nodes(members.get("accountProof")), self._nodes(
            slot.get("proof") if isinstance(slot, dict) else None
        )

    def _nodes(self, value: object) -> tuple[bytes, ...]:
        if not isinstance(value, list) or len(value) > MAX_NODES:
            raise BadAnswer(
                "state-proof-nodes-expected", place=self.place, most=MAX_NODES, found=shown(value)
            )
        return tuple(octets(node, "eth_getProof", self.place, most=MAX_NODE) for node in value)

    def _at(self, at: NodeBlock | Tag, ask: Callable[[object], _T]) -> _T:
        """Ask about one state, which `ask` gets in JSON-RPC's form.

        EIP-1898 names a block by its hash; a node that refuses that is asked by number, with the
        hash compared around it.
        """
        if isinstance(at, str):
            return ask(at)
        try:
            return ask({"blockHash": _hex(at.hash)})
        except Missing:
            raise
        except Refusal:
            self._require_canonical(at)
            answer = ask(hex(at.number))
            self._require_canonical(at)
            return answer

    def _require_canonical(self, block: NodeBlock) -> None:
        found = self.block(block.number)
        if found is None or found.hash != block.hash:
            raise BadAnswer(
                "block-not-canonical-at-node",
                place=self.place,
                number=block.number,
                hash=block.hash,
            )

    # Transactions

    def gas_price(self) -> int:
        """Return what the node would offer for one gas, in wei."""
        return self.bridge.gas_price()

    def tip(self) -> int | None:
        """Return what the node would offer to anyone who makes the block, in wei; None where it
        does not say.
        """
        try:
            tip = self.endpoint.ask("eth_maxPriorityFeePerGas")
        except Missing:
            return None
        return quantity(tip, "eth_maxPriorityFeePerGas", self.place)

    def knows(self, transaction: bytes) -> bool:
        """Return whether the node says that it has the transaction with this hash, in a block or
        waiting for one.
        """
        field = "eth_getTransactionByHash"
        try:
            members = self.endpoint.ask(field, _hex(transaction))
        except Refusal:
            return False
        return (
            isinstance(members, dict)
            and octets(members.get("hash"), f"{field}.hash", self.place, 32) == transaction
        )

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Return what became of the transaction with this hash, None while no block has it, or the
        node has forgotten it, or keeps no index of transactions.
        """
        try:
            return self.bridge.receipt(transaction)
        except Refusal:
            return None

    def send(self, raw: bytes) -> bytes:
        """Hand over a signed transaction, and return the hash under which the node took it."""
        return self.bridge.send(raw)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
