"""web3 over one node: contract calls, transactions, fees, receipts and events of real chains.

This is the only module that imports web3, and half a second of every command that does. web3
never opens a connection: it asks through `Endpoint` (rpc.py), with our limits of size and time,
without redirects, and it is shown no answer that was not read strictly before. It runs no
middleware, follows no contract to another address (CCIP-read, EIP-3668), and asks for nothing but
the methods in ANSWERS.

What web3 or eth-abi raise becomes an error of ours here. Blocks, nonces, codes and state proofs,
which decide what is final or lost, are read in client.py without it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import web3.exceptions
from eth_abi.exceptions import DecodingError, EncodingError, ParseError, PredicateMappingError
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError
from typing_extensions import override
from web3 import Web3
from web3.logs import DISCARD
from web3.providers.base import BaseProvider
from web3.utils import get_create_address

from witnesstree.anchor.evm.contract import artefact, parse_record
from witnesstree.anchor.evm.rpc import octets, quantity, shown
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable, WitnesstreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from web3.types import BlockIdentifier, RPCEndpoint, RPCResponse, TxParams

    from witnesstree.anchor.evm.rpc import Endpoint
    from witnesstree.ledger.chain.stateproof import Anchoring

MAX_NUMBER: Final = 2**48 - 1
"""The largest block number, and nonce and amount of gas: beyond it a node is mistaken.

The contract keeps block numbers in as many bits.
"""
MAX_LOGS: Final = 10_000
"""Logs of one transaction: with 30 million gas it cannot have more than 80,000, and ours has one
for each root."""
MAX_HISTORY: Final = 1024
"""Blocks in a fee history: what geth gives at most."""


@dataclass(frozen=True, slots=True)
class AnchoredEvent:
    """An event `Anchored` of a contract: which root it recorded, for whom (20 bytes each)."""

    contract: bytes
    root: bytes
    submitter: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction: its block, whether it did what it asked for, and its events."""

    block_number: int
    block_hash: bytes
    has_succeeded: bool
    events: tuple[AnchoredEvent, ...]


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """What blocks took for one gas, in wei: the next block's base fee, and for each block the tip
    at the asked percentile of its gas, 0 where it was empty.
    """

    next_base: int
    tips: tuple[int, ...]


# What web3 is shown


def _require_receipt(value: object, params: Sequence[Any], place: str) -> None:
    """Refuse anything but null and a receipt of the transaction that was asked for."""
    if value is None:
        return
    field = "eth_getTransactionReceipt"
    logs = value.get("logs") if isinstance(value, dict) else None
    if (
        not isinstance(value, dict)
        or not isinstance(logs, list)
        or len(logs) > MAX_LOGS
        or octets(value.get("transactionHash"), f"{field}.transactionHash", place, 32)
        != bytes.fromhex(params[0][2:])
    ):
        raise BadAnswer("receipt-of-another-transaction", place=place, transaction=params[0])
    quantity(value.get("blockNumber"), f"{field}.blockNumber", place, MAX_NUMBER)
    octets(value.get("blockHash"), f"{field}.blockHash", place, 32)
    quantity(value.get("status"), f"{field}.status", place)
    for log in logs:
        _require_log(log, f"{field}.logs", place)


def _require_log(value: object, field: str, place: str) -> None:
    topics = value.get("topics") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(topics, list) or len(topics) > 4:
        raise BadAnswer("log-expected", place=place, field=field, found=shown(value))
    for topic in topics:
        octets(topic, f"{field}.topics", place, 32)
    octets(value.get("address"), f"{field}.address", place, 20)
    octets(value.get("data"), f"{field}.data", place)
    for name in ("blockHash", "transactionHash"):
        octets(value.get(name), f"{field}.{name}", place, 32)
    for name in ("blockNumber", "logIndex", "transactionIndex"):
        quantity(value.get(name), f"{field}.{name}", place, MAX_NUMBER)


def _require_history(value: object, _params: Sequence[Any], place: str) -> None:
    """Refuse anything but base fees of some blocks and the next one, and a tip for each block."""
    field = "eth_feeHistory"
    fees = value.get("baseFeePerGas") if isinstance(value, dict) else None
    rewards = value.get("reward") if isinstance(value, dict) else None
    if (
        not isinstance(value, dict)
        or not isinstance(fees, list)
        or not 2 <= len(fees) <= MAX_HISTORY + 1
        or not isinstance(rewards, list)
        or len(rewards) != len(fees) - 1
        or not all(isinstance(tips, list) and len(tips) == 1 for tips in rewards)
    ):
        raise BadAnswer("fee-history-expected", place=place, found=shown(value))
    quantity(value.get("oldestBlock"), f"{field}.oldestBlock", place, MAX_NUMBER)
    for fee in (*fees, *(tips[0] for tips in rewards)):
        quantity(fee, f"{field}.baseFeePerGas, reward", place)
    # Nobody needs it, some nodes leave it out, and it would be the one fraction that is read.
    value.pop("gasUsedRatio", None)


def _quantity(method: str) -> Callable[[object, Sequence[Any], str], object]:
    return lambda value, _params, place: quantity(value, method, place)


ANSWERS: Final[Mapping[str, Callable[[object, Sequence[Any], str], object]]] = {
    "eth_call": lambda value, _params, place: octets(value, "eth_call", place, most=1024),
    "eth_estimateGas": _quantity("eth_estimateGas"),
    "eth_feeHistory": _require_history,
    "eth_gasPrice": _quantity("eth_gasPrice"),
    "eth_getBalance": _quantity("eth_getBalance"),
    "eth_getTransactionReceipt": _require_receipt,
    "eth_sendRawTransaction": lambda value, _params, place: octets(
        value, "eth_sendRawTransaction", place, 32
    ),
}
"""The methods that web3 may ask for, and what their answers must look like before web3 reads
them: each check gets the answer, the parameters and the node's place, and raises BadAnswer."""


class Provider(BaseProvider):
    """web3's way to the node behind `endpoint`. Raises what `Endpoint.ask` raises."""

    global_ccip_read_enabled = False

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(cache_allowed_requests=False)
        self._endpoint = endpoint

    @override
    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        check = ANSWERS.get(method)
        if check is None:
            raise InvalidInput("method-not-foreseen", method=method)
        result = self._endpoint.ask(method, *params)
        check(result, params, self._endpoint.place)
        return {"jsonrpc": "2.0", "id": 0, "result": result}


# What web3 raises

LATER: Final = frozenset(
    {
        "PersistentConnectionClosedOK",
        "PersistentConnectionError",
        "ProviderConnectionError",
        "ReadBufferLimitReached",
        "RequestTimedOut",
        "StaleBlockchain",
        "SubscriptionHandlerTaskException",
        "SubscriptionProcessingFinished",
        "TaskNotRunning",
        "TimeExhausted",
        "TooManyRequests",
        "TransactionIndexingInProgress",
    }
)
"""web3's exceptions that mean: no answer for now."""
WRONG: Final = frozenset(
    {
        "BadFunctionCallOutput",
        "BadResponseFormat",
        "BlockNotFound",
        "ContractCustomError",
        "ContractLogicError",
        "ContractPanicError",
        "ExtraDataLengthError",
        "InsufficientData",
        "LogTopicError",
        "MethodUnavailable",
        "MultipleFailedRequests",
        "OffchainLookup",
        "TransactionNotFound",
        "Web3RPCError",
    }
)
"""Those that mean: an answer that must not be believed, or a refusal."""
OURS: Final = frozenset(
    {
        "ABIConstructorNotFound",
        "ABIEventNotFound",
        "ABIFallbackNotFound",
        "ABIFunctionNotFound",
        "ABIReceiveNotFound",
        "BlockNumberOutOfRange",
        "CannotHandleRequest",
        "InfuraProjectIdNotFound",
        "InvalidAddress",
        "InvalidEventABI",
        "InvalidTransaction",
        "MethodNotSupported",
        "MismatchedABI",
        "NameNotFound",
        "NoABIEventsFound",
        "NoABIFound",
        "NoABIFunctionsFound",
        "TransactionTypeMismatch",
        "Web3AssertionError",
        "Web3AttributeError",
        "Web3Exception",
        "Web3TypeError",
        "Web3ValidationError",
        "Web3ValueError",
    }
)
"""Those that mean: what was asked for has not the form that web3 wants."""
_KINDS: Final = ((LATER, Unreachable), (WRONG, BadAnswer), (OURS, InvalidInput))


def translate(error: Exception, place: str) -> WitnesstreeError:
    """Return the error of ours for one that web3, eth-abi or eth-utils raised about a node."""
    kind: type[WitnesstreeError] = BadAnswer
    for each in type(error).__mro__:
        found = next((ours for names, ours in _KINDS if each.__name__ in names), None)
        if found and issubclass(each, web3.exceptions.Web3Exception):
            kind = found
            break
    else:
        kind = InvalidInput if isinstance(error, EncodingError | ValidationError) else BadAnswer
    return kind("library-refuses", place=place, exception=type(error).__name__)


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except (
        web3.exceptions.Web3Exception,
        DecodingError,
        EncodingError,
        ParseError,
        PredicateMappingError,
        ValidationError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise translate(error, place) from error


# Asking


class _Prepared(Protocol):
    """What web3 makes of a contract's function or creation."""

    def estimate_gas(self, transaction: TxParams) -> int: ...

    def build_transaction(self, transaction: TxParams) -> TxParams: ...


@dataclass(frozen=True, slots=True)
class _Plain:
    """A transaction that no ABI describes."""

    web3: Web3
    members: TxParams

    def estimate_gas(self, transaction: TxParams) -> int:
        return self.web3.eth.estimate_gas({**transaction, **self.members})

    def build_transaction(self, transaction: TxParams) -> TxParams:
        return {**transaction, **self.members}


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction that is to be made: not signed, and without nonce, gas and fees yet."""

    _prepared: _Prepared
    _place: str

    def estimated_gas(self, sender: bytes) -> int:
        """Return what the node thinks that it takes.

        Raises Unreachable, BadAnswer, or of that a Refusal, as rpc.py says.
        """
        with _translated(self._place):
            return self._prepared.estimate_gas({"from": to_checksum_address(sender)})

    def built(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return the transaction with `members` (chainId, nonce, gas, value and the fees), in the
        form that a `Signer` takes. Nothing is asked for it.
        """
        with _translated(self._place):
            built: dict[str, Any] = dict(self._prepared.build_transaction({**members}))  # type: ignore[typeddict-item]
            for name in ("to", "data"):
                if isinstance(built.get(name), str):
                    built[name] = bytes.fromhex(built[name][2:])
        if not built["to"]:
            del built["to"]
        if {name: built[name] for name in built if name not in {"to", "data"}} != members:
            raise InvalidInput("transaction-built-otherwise")
        return built


class Bridge:
    """The node behind `endpoint`, as web3 asks it.

    Every function raises Unreachable, BadAnswer, or of that a Refusal, as rpc.py says.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._place = endpoint.place
        self._web3 = Web3(Provider(endpoint), middleware=[])
        self._contracts = self._web3.eth.contract(abi=artefact().abi, bytecode=artefact().init_code)

    def record(self, contract: bytes, root: bytes, block: object) -> Anchoring | None:
        """Return what EvidenceAnchor at `contract` says of `root` at a block in JSON-RPC's form,
        None while it has no record of it, and before there was code there.
        """
        with _translated(self._place):
            address = to_checksum_address(contract)
            call: TxParams = {
                "to": address,
                "data": self._contracts(address).encode_abi("anchoredAt", [root]),
            }
            answer = self._web3.eth.call(call, _block(block), ccip_read_enabled=False)
        return parse_record(answer, self._place) if answer else None

    def balance(self, account: bytes) -> int:
        """Return what `account` holds, in wei."""
        with _translated(self._place):
            return self._web3.eth.get_balance(to_checksum_address(account), "latest")

    def gas_price(self) -> int:
        """Return what the node would offer for one gas, in wei."""
        with _translated(self._place):
            return self._web3.eth.gas_price

    def fee_history(self, blocks: int, percentile: float) -> FeeHistory:
        """Return what the newest `blocks` took for one gas."""
        with _translated(self._place):
            found = self._web3.eth.fee_history(blocks, "latest", [percentile])
            return FeeHistory(
                found["baseFeePerGas"][-1], tuple(tips[0] for tips in found["reward"])
            )

    def receipt(self, transaction: bytes) -> Receipt | None:
        """Return what became of the transaction with this hash, None while no block has it, or the
        node has forgotten it.
        """
        try:
            with _translated(self._place):
                found = self._web3.eth.get_transaction_receipt(transaction)  # type: ignore[arg-type]
                events = self._contracts.events.Anchored().process_receipt(found, errors=DISCARD)
                return Receipt(
                    block_number=found["blockNumber"],
                    block_hash=bytes(found["blockHash"]),
                    has_succeeded=found["status"] == 1,
                    events=tuple(
                        AnchoredEvent(
                            _octets(event["address"]),
                            bytes(event["args"]["root"]),
                            _octets(event["args"]["submitter"]),
                        )
                        for event in events
                    ),
                )
        except BadAnswer as error:
            if isinstance(error.__cause__, web3.exceptions.TransactionNotFound):
                return None
            raise

    def send(self, raw: bytes) -> bytes:
        """Hand over a signed transaction, and return the hash under which the node took it."""
        with _translated(self._place):
            return bytes(self._web3.eth.send_raw_transaction(raw))

    # Transactions

    def anchoring(self, contract: bytes, roots: Sequence[bytes]) -> Call:
        """Return a call of `anchor`, or for several roots of `anchorAll`."""
        with _translated(self._place):
            functions = self._contracts(to_checksum_address(contract)).functions
            prepared = functions.anchor(roots[0]) if len(roots) == 1 else functions.anchorAll(roots)
        return Call(prepared, self._place)

    def creation(self) -> Call:
        """Return the transaction that creates the contract plainly."""
        with _translated(self._place):
            return Call(self._contracts.constructor(), self._place)

    def call(self, to: bytes, data: bytes = b"") -> Call:
        """Return a transaction that sends `data` to an address."""
        members: TxParams = {"to": to_checksum_address(to), "data": data}
        return Call(_Plain(self._web3, members), self._place)


def created_address(account: bytes, nonce: int) -> bytes:
    """Return the address of what `account` creates with its transaction `nonce`."""
    return _octets(get_create_address(to_checksum_address(account), nonce))  # type: ignore[arg-type]


def _block(block: object) -> BlockIdentifier:
    # web3's types do not know EIP-1898's object; its `eth.call` hands it on as it is.
    return block  # type: ignore[return-value]


def _octets(address: str) -> bytes:
    return bytes.fromhex(address[2:])
