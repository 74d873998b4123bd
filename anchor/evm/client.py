"""What one node of an EVM chain says, as values.

Nothing here signs, waits, or decides whether the node is to be believed.

Every function of `Client` raises Unreachable, BadAnswer, or of that a Refusal, as rpc.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from witnesstree.anchor.evm.contract import anchored_at_calldata, parse_record
from witnesstree.anchor.evm.header import rebuild_header
from witnesstree.anchor.evm.rpc import Missing, Refusal, octets, quantity, shown
from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.chain.stateproof import (
    MAX_HEADER,
    MAX_NODE,
    MAX_NODES,
    keccak256,
    record_slot,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from witnesstree.anchor.evm.rpc import Endpoint
    from witnesstree.ledger.chain.stateproof import AnchoredRecord

    Tag = Literal["latest", "pending"]

MAX_NUMBER: Final = 2**48 - 1
"""The largest block number, and likewise nonce and gas: beyond it a node is mistaken.

The contract keeps block numbers in as many bits.
"""
MAX_CODE: Final = 64 * 1024
"""Bytes of code at an address: the EVM takes 24,576 (EIP-170), some chains more."""
MAX_LOGS: Final = 10_000
"""Logs of one transaction: with 30 million gas it cannot have more than 80,000, and ours has one
for each root."""


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


@dataclass(frozen=True, slots=True)
class Log:
    """An event that a contract (20-byte address) emitted: its topics have 32 bytes each, the first
    names the event.
    """

    address: bytes
    topics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction: its block, and whether it did what it asked for."""

    block_number: int
    block_hash: bytes
    has_succeeded: bool
    logs: tuple[Log, ...]


class Client:
    """The node behind `endpoint`.

    A state is that after one block, which is named by its hash, or that of a tag.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.place = endpoint.place

    # Blocks

    def chain_id(self) -> int:
        """Return the chain's id (EIP-155)."""
        return quantity(
            self.endpoint.ask("eth_chainId"), f"the chain id of {self.place}", MAX_NUMBER
        )

    def newest(self) -> NodeBlock:
        """Return the newest block."""
        block = self._block("eth_getBlockByNumber", "latest")
        if block is None:
            raise BadAnswer(f"{self.place} has no newest block")
        return block

    def finalized(self) -> NodeBlock | None:
        """Return the newest block that the node calls finalized, None while it has none."""
        try:
            return self._block("eth_getBlockByNumber", "finalized")
        except Refusal as error:
            # geth's "finalized block not found", in the words of several releases.
            if "not found" in error.message.lower() or error.code == -39001:
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
            raise BadAnswer(f"{self.place} answers with another block than was asked for")
        return block

    def header(self, block: NodeBlock) -> bytes | None:
        """Return the RLP of the block's header, whose keccak-256 is its hash; None where this
        chain's blocks have none, or one too long for a proof.

        Raises BadAnswer where the block before has one: then the hash is wrong.
        """
        header = rebuild_header(block.members)
        if keccak256(header) == block.hash:
            return header if len(header) <= MAX_HEADER else None
        raw = self._raw_header(block)
        if raw is not None and keccak256(raw) == block.hash:
            return raw
        before = self.block(block.parent)
        if before is not None and keccak256(rebuild_header(before.members)) == before.hash:
            raise BadAnswer(
                f"{self.place} says that block {block.number} has the hash {_hex(block.hash)},"
                " which is not that of its header"
            )
        return None

    def _raw_header(self, block: NodeBlock) -> bytes | None:
        """Return what debug_getRawHeader says: a fork that header.py does not know is no hindrance
        there. Few nodes give it.
        """
        try:
            return octets(
                self.endpoint.ask("debug_getRawHeader", hex(block.number)),
                "a header",
                most=MAX_HEADER,
            )
        except BadAnswer:
            return None

    def _block(self, method: str, at: str) -> NodeBlock | None:
        members = self.endpoint.ask(method, at, False)  # noqa: FBT003 - its place in JSON-RPC; True would ask for whole transactions
        if members is None:
            return None
        what = f"the answer of {self.place} to {method}"
        if not isinstance(members, dict):
            raise BadAnswer(f"{what}: expected a block, not {shown(members)}")
        base_fee = members.get("baseFeePerGas")
        return NodeBlock(
            number=quantity(members.get("number"), f"{what}, number", MAX_NUMBER),
            hash=octets(members.get("hash"), f"{what}, hash", 32),
            parent=octets(members.get("parentHash"), f"{what}, parentHash", 32),
            time=quantity(members.get("timestamp"), f"{what}, timestamp", MAX_NUMBER),
            base_fee=None if base_fee is None else quantity(base_fee, f"{what}, baseFeePerGas"),
            extra_size=len(octets(members.get("extraData", "0x"), f"{what}, extraData")),
            members=members,
        )

    # State

    def nonce(self, account: bytes, at: NodeBlock | Tag) -> int:
        """Return how many transactions of `account` (20 bytes) were carried out; with "pending",
        those that wait are counted in.
        """
        return quantity(
            self._at(at, "eth_getTransactionCount", _hex(account)),
            f"the nonce that {self.place} names",
            MAX_NUMBER,
        )

    def balance(self, account: bytes) -> int:
        """Return what `account` holds, in wei."""
        return quantity(
            self._at("latest", "eth_getBalance", _hex(account)),
            f"the balance that {self.place} names",
        )

    def code_hash(self, address: bytes, at: NodeBlock | Tag) -> bytes:
        """Return keccak-256 of the code at `address`; where there is none, that of no bytes."""
        return keccak256(
            octets(
                self._at(at, "eth_getCode", _hex(address)),
                f"the code that {self.place} names",
                most=MAX_CODE,
            )
        )

    def record(self, contract: bytes, root: bytes, at: NodeBlock | Tag) -> AnchoredRecord | None:
        """Return what EvidenceAnchor at `contract` says of `root`, None while it has no record of
        it, and before there was code there.
        """
        call = {"to": _hex(contract), "data": _hex(anchored_at_calldata(root))}
        answer = octets(
            self._at(at, "eth_call", call), f"the record that {self.place} names", most=1024
        )
        return parse_record(answer) if answer else None

    def final_record(self, contract: bytes, root: bytes, final: NodeBlock) -> AnchoredRecord | None:
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
            members = self._at(at, "eth_getProof", _hex(contract), [_hex(record_slot(root))])
        except Refusal:
            return None
        if not isinstance(members, dict):
            raise BadAnswer(
                f"the state proof of {self.place}: expected an object, not {shown(members)}"
            )
        slots = members.get("storageProof")
        slot = slots[0] if isinstance(slots, list) and len(slots) == 1 else None
        return self._nodes(members.get("accountProof")), self._nodes(
            slot.get("proof") if isinstance(slot, dict) else None
        )

    def _nodes(self, value: object) -> tuple[bytes, ...]:
        if not isinstance(value, list) or len(value) > MAX_NODES:
            raise BadAnswer(
                f"the state proof of {self.place}: expected a list of at most {MAX_NODES} nodes,"
                f" not {shown(value)}"
            )
        return tuple(
            octets(node, f"a node in the state proof of {self.place}", most=MAX_NODE)
            for node in value
        )

    def _at(self, at: NodeBlock | Tag, method: str, *params: object) -> Any:
        """Ask about one state.

        EIP-1898 names a block by its hash; a node that refuses that is asked by number, with the
        hash compared around it.
        """
        if isinstance(at, str):
            return self.endpoint.ask(method, *params, at)
        try:
            return self.endpoint.ask(method, *params, {"blockHash": _hex(at.hash)})
        except Missing:
            raise
        except Refusal:
            self._require_canonical(at)
            answer = self.endpoint.ask(method, *params, hex(at.number))
            self._require_canonical(at)
            return answer

    def _require_canonical(self, block: NodeBlock) -> None:
        found = self.block(block.number)
        if found is None or found.hash != block.hash:
            raise BadAnswer(
                f"{self.place} does not have block {block.number} with the hash {_hex(block.hash)}"
            )

    # Transactions

    def gas_price(self) -> int:
        """Return what the node would offer for one gas, in wei."""
        return quantity(self.endpoint.ask("eth_gasPrice"), f"the gas price that {self.place} names")

    def tip(self) -> int | None:
        """Return what the node would offer to whoever makes the block, in wei; None where it does
        not say.
        """
        try:
            return quantity(
                self.endpoint.ask("eth_maxPriorityFeePerGas"), f"the tip that {self.place} names"
            )
        except Missing:
            return None

    def estimated_gas(self, sender: bytes, to: bytes | None, calldata: bytes) -> int:
        """Return what the node thinks a transaction takes."""
        call = {
            "from": _hex(sender),
            "data": _hex(calldata),
            **({"to": _hex(to)} if to is not None else {}),
        }
        return quantity(
            self.endpoint.ask("eth_estimateGas", call), f"the gas that {self.place} names"
        )

    def knows(self, transaction: bytes) -> bool:
        """Return whether the node says that it has the transaction with this hash, in a block or
        waiting for one.
        """
        try:
            members = self.endpoint.ask("eth_getTransactionByHash", _hex(transaction))
        except Refusal:
            return False
        return (
            isinstance(members, dict)
            and octets(members.get("hash"), f"the transaction that {self.place} names", 32)
            == transaction
        )

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Return what became of the transaction with this hash, None while no block has it, or the
        node has forgotten.
        """
        try:
            members = self.endpoint.ask("eth_getTransactionReceipt", _hex(transaction))
        except Refusal:
            # A node that keeps no index of transactions.
            return None
        if members is None:
            return None
        what = f"the receipt that {self.place} gives"
        logs = members.get("logs") if isinstance(members, dict) else None
        if (
            not isinstance(logs, list)
            or len(logs) > MAX_LOGS
            or octets(members.get("transactionHash"), what, 32) != transaction
        ):
            raise BadAnswer(f"{what} is not that of the transaction {_hex(transaction)}")
        return Receipt(
            block_number=quantity(members.get("blockNumber"), f"{what}, blockNumber", MAX_NUMBER),
            block_hash=octets(members.get("blockHash"), f"{what}, blockHash", 32),
            has_succeeded=quantity(members.get("status"), f"{what}, status") == 1,
            logs=tuple(_log(log, what) for log in logs),
        )

    def send(self, raw: bytes) -> bytes:
        """Hand over a signed transaction, and return the hash under which the node took it."""
        return octets(
            self.endpoint.ask("eth_sendRawTransaction", _hex(raw)),
            f"the hash that {self.place} answers",
            32,
        )


def _log(value: object, what: str) -> Log:
    topics = value.get("topics") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(topics, list) or len(topics) > 4:
        raise BadAnswer(f"{what}: expected a log, not {shown(value)}")
    return Log(
        octets(value.get("address"), f"{what}, address", 20),
        tuple(octets(topic, f"{what}, topics", 32) for topic in topics),
    )


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
