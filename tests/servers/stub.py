"""An EVM chain in memory, and nodes of it that answer JSON-RPC without a socket: late, wrongly, or
not at all, as a test asks for."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import rlp
from eth_account import Account
from trie.hexary import HexaryTrie

from witnesstree.anchor.evm import rpc
from witnesstree.anchor.evm.header import rebuild_header
from witnesstree.anchor.http import Answer
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, slot_of

CHAIN_ID = 31_337
PAYER = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
STRANGER = bytes(range(20))
START = 1_795_420_000


def contract_code() -> bytes:
    from importlib.resources import files

    artefact = json.loads(
        files("witnesstree.anchor.evm").joinpath("EvidenceAnchor.json").read_text("utf-8")
    )
    return bytes.fromhex(artefact["deployedBytecode"][2:])


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


class RpcError(Exception):
    """Makes a node answer with this error."""

    def __init__(self, code: object, message: object) -> None:
        self.code, self.message = code, message


ANCHORED = keccak256(b"Anchored(bytes32,address)")
"""The first topic of the contract's event; the second is the root, the third the caller."""


@dataclass
class State:
    """What the chain knows after a block."""

    records: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    nonce: int = 0


class World:
    """One chain: its blocks, the state after each, and the receipts of what was carried out."""

    def __init__(self, base_fee: int | None = 10**9) -> None:
        self.base_fee = base_fee
        self.blocks: list[dict[str, Any]] = []
        self.states: list[State] = []
        self.receipts: dict[bytes, dict[str, Any]] = {}
        self.extra = b""
        self.salt = 0
        self.tip = 0
        self.mine()

    def mine(
        self,
        count: int = 1,
        roots: tuple[bytes, ...] = (),
        sender: bytes = PAYER,
        spent: int = 0,
        transaction: bytes | None = None,
    ) -> None:
        """Make `count` blocks; the first one records `roots`, uses up `spent` nonces, and holds
        `transaction` (a hash)."""
        for _ in range(count):
            number, before = len(self.blocks), self.states[-1] if self.states else State()
            records = dict(before.records)
            for root in roots:
                records.setdefault(root, (START + 12 * number, number, sender))
            self.states.append(State(records, before.nonce + spent))
            members = {
                "number": hex(number),
                "parentHash": self.blocks[-1]["hash"] if self.blocks else hexed(bytes(32)),
                "sha3Uncles": hexed(bytes(32)),
                "miner": hexed(bytes(20)),
                "stateRoot": hexed(self.tries(number)[0]),
                "transactionsRoot": hexed(bytes(32)),
                "receiptsRoot": hexed(bytes(32)),
                "logsBloom": hexed(bytes(256)),
                "difficulty": "0x0",
                "gasLimit": "0x1c9c380",
                "gasUsed": hex(self.salt),
                "timestamp": hex(START + 12 * number),
                "extraData": hexed(self.extra),
                "mixHash": hexed(bytes(32)),
                "nonce": hexed(bytes(8)),
                **({"baseFeePerGas": hex(self.base_fee)} if self.base_fee is not None else {}),
            }
            members["hash"] = hexed(keccak256(rebuild_header(members, "stub")))
            self.blocks.append(members)
            if transaction:
                self.receipts[transaction] = self._receipt(transaction, members, roots, sender)
            roots, spent, transaction = (), 0, None

    def _receipt(
        self, transaction: bytes, block: dict[str, Any], roots: tuple[bytes, ...], sender: bytes
    ) -> dict[str, Any]:
        logs = [
            {
                "address": hexed(CONTRACT_ADDRESS),
                "topics": [hexed(ANCHORED), hexed(root), hexed(bytes(12) + sender)],
                "data": "0x",
                "blockNumber": block["number"],
                "blockHash": block["hash"],
                "transactionHash": hexed(transaction),
                "transactionIndex": "0x0",
                "logIndex": hex(index),
            }
            for index, root in enumerate(roots)
        ]
        return {
            "transactionHash": hexed(transaction),
            "blockNumber": block["number"],
            "blockHash": block["hash"],
            "status": "0x1",
            "logs": logs,
        }

    def carry_out(self, raw: bytes) -> None:
        """Put a signed transaction that anchors roots into a block."""
        fields = rlp.decode(raw[1:] if raw[0] == 2 else raw)
        calldata = fields[7] if raw[0] == 2 else fields[5]
        words = [calldata[i : i + 32] for i in range(4, len(calldata), 32)]
        roots = tuple(words[2:]) if len(words) > 1 else tuple(words)
        self.mine(roots=roots, spent=1, transaction=keccak256(raw))

    def reorganise(self, depth: int) -> None:
        """Take the newest blocks back, and make as many empty ones in their place."""
        length = len(self.blocks) - depth
        gone = {block["hash"] for block in self.blocks[length:]}
        self.receipts = {
            hash_: receipt
            for hash_, receipt in self.receipts.items()
            if receipt["blockHash"] not in gone
        }
        del self.blocks[length:], self.states[length:]
        self.salt += 1
        self.mine(depth)

    def tries(self, number: int) -> tuple[bytes, Any, Any]:
        storage, accounts = HexaryTrie({}), HexaryTrie({})
        for root, (time, block, sender) in self.states[number].records.items():
            storage[keccak256(slot_of(root))] = rlp.encode(
                int.from_bytes(sender) << 96 | block << 48 | time
            )
        accounts[keccak256(CONTRACT_ADDRESS)] = rlp.encode(
            [1, 0, storage.root_hash, keccak256(contract_code())]
        )
        return accounts.root_hash, accounts, storage


class StubNode:
    """A node of `world` that lags `lag` blocks behind.

    `answers` replaces what it says of a method: a value, or a function of the parameters.

    `keeps` so many states before its newest block; `finalizes` so many blocks behind it. `asked`
    holds the methods that it was asked for.
    """

    def __init__(
        self, world: World, *, lag: int = 0, finalizes: int = 4, keeps: int = 10_000
    ) -> None:
        self.world, self.lag, self.finalizes, self.keeps = world, lag, finalizes, keeps
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.pool: dict[bytes, bytes] = {}
        self.fails: Exception | None = None
        self.body: Callable[[dict[str, Any]], Answer] | None = None

    def post(self, content: bytes) -> Answer:
        question = json.loads(content)
        self.asked.append(question["method"])
        if self.fails:
            raise self.fails
        if self.body:
            return self.body(question)
        try:
            members: dict[str, Any] = {"result": self.say(question["method"], question["params"])}
        except RpcError as error:
            members = {"error": {"code": error.code, "message": error.message}}
        return Answer(
            200,
            "application/json",
            json.dumps({"jsonrpc": "2.0", "id": question["id"], **members}).encode(),
        )

    def say(self, method: str, params: list[Any]) -> Any:
        if method in self.answers:
            answer = self.answers[method]
            return answer(params) if callable(answer) else answer
        return self.honest(method, params)

    def honest(self, method: str, params: list[Any]) -> Any:
        """Return what a sound node says."""
        say = getattr(
            self, "_" + re.sub("[A-Z]", lambda found: "_" + found[0].lower(), method), None
        )
        if say is None:
            raise RpcError(-32601, f"the method {method} does not exist/is not available")
        return say(*params)

    @property
    def newest(self) -> int:
        return max(0, len(self.world.blocks) - 1 - self.lag)

    def _number(self, at: Any) -> int | None:
        if isinstance(at, dict):
            number = next(
                (
                    i
                    for i, block in enumerate(self.world.blocks)
                    if block["hash"] == at["blockHash"]
                ),
                None,
            )
        elif at in {"latest", "pending"}:
            number = self.newest
        elif at == "finalized":
            number = self.newest - self.finalizes
        else:
            number = int(at, 16)
        return number if number is not None and 0 <= number <= self.newest else None

    def _state(self, at: Any) -> tuple[int, State]:
        number = self._number(at)
        if number is None:
            raise RpcError(-32000, "header for hash not found")
        if number < self.newest - self.keeps:
            raise RpcError(-32000, "missing trie node")
        return number, self.world.states[number]

    def _eth_chain_id(self) -> str:
        return hex(CHAIN_ID)

    def _eth_get_block_by_number(self, at: str, _whole: bool) -> Any:
        number = self._number(at)
        return None if number is None else self.world.blocks[number]

    def _eth_get_block_by_hash(self, at: str, _whole: bool) -> Any:
        number = self._number({"blockHash": at})
        return None if number is None else self.world.blocks[number]

    def _eth_get_transaction_count(self, account: str, at: Any) -> str:
        waiting = len(self.pool) if at == "pending" else 0
        return hex(self._state(at)[1].nonce + waiting if account == hexed(PAYER) else 0)

    def _eth_get_balance(self, _account: str, _at: Any) -> str:
        return hex(10**18)

    def _eth_get_code(self, address: str, at: Any) -> str:
        self._state(at)
        return hexed(contract_code()) if address == hexed(CONTRACT_ADDRESS) else "0x"

    def _eth_call(self, call: dict[str, str], at: Any) -> str:
        records = self._state(at)[1].records
        time, number, sender = records.get(bytes.fromhex(call["data"][10:]), (0, 0, bytes(20)))
        return hexed(time.to_bytes(32) + number.to_bytes(32) + bytes(12) + sender)

    def _eth_get_proof(self, address: str, slots: list[str], at: Any) -> dict[str, Any]:
        _, accounts, storage = self.world.tries(self._state(at)[0])
        return {
            "accountProof": _nodes(accounts, keccak256(bytes.fromhex(address[2:]))),
            "storageProof": [
                {"proof": _nodes(storage, keccak256(bytes.fromhex(slot[2:])))} for slot in slots
            ],
        }

    def _eth_max_priority_fee_per_gas(self) -> str:
        return hex(10**9)

    def _eth_gas_price(self) -> str:
        return hex(2 * 10**9)

    def _eth_fee_history(self, count: str, _newest: str, _percentiles: list[float]) -> Any:
        blocks = self.world.blocks[: self.newest + 1][-int(count, 16) :]
        fees = [block.get("baseFeePerGas", "0x0") for block in blocks]
        return {
            "oldestBlock": blocks[0]["number"],
            "baseFeePerGas": [*fees, fees[-1]],
            "gasUsedRatio": [0.5] * len(fees),
            "reward": [[hex(self.world.tip)]] * len(fees),
        }

    def _eth_estimate_gas(self, _call: Any, _at: str = "latest") -> str:
        return hex(46_000)

    def _eth_get_transaction_receipt(self, hash_: str) -> Any:
        return self.world.receipts.get(bytes.fromhex(hash_[2:]))

    def _eth_get_transaction_by_hash(self, hash_: str) -> Any:
        key = bytes.fromhex(hash_[2:])
        return {"hash": hash_} if key in self.pool or key in self.world.receipts else None

    def _eth_send_raw_transaction(self, raw: str) -> str:
        content = bytes.fromhex(raw[2:])
        nonce = int.from_bytes(rlp.decode(content[1:])[1])
        if keccak256(content) in self.pool:
            raise RpcError(-32000, "already known")
        if nonce < self.world.states[-1].nonce:
            raise RpcError(
                -32000, f"nonce too low: next nonce {self.world.states[-1].nonce}, tx nonce {nonce}"
            )
        assert Account.recover_transaction(content)
        self.pool[keccak256(content)] = content
        return hexed(keccak256(content))

    def mine_pool(self) -> None:
        """Put what waits into blocks."""
        for raw in self.pool.values():
            self.world.carry_out(raw)
        self.pool = {}


def _nodes(trie: Any, key: bytes) -> list[str]:
    nodes = [rlp.encode(node) for node in trie.get_proof(key)]
    return [hexed(node) for depth, node in enumerate(nodes) if depth == 0 or len(node) >= 32]


class Network:
    """Addresses and the nodes behind them, in place of anchor/http.py."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: dict[str, StubNode] = {}
        monkeypatch.setattr(rpc, "Http", lambda timeout: self)

    def add(self, node: StubNode, url: str | None = None) -> str:
        url = url or f"http://node{len(self.nodes)}.test"
        self.nodes[url] = node
        return url

    def post(self, url: str, content: bytes, **options: Any) -> Answer:
        return self.nodes[url].post(content)

    def close(self) -> None:
        pass
