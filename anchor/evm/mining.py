"""Makes the embedded chain's blocks, and the transactions for them: py-evm's virtual machine, on
the pairs of `chain.db`.

Importing this module takes a quarter of a second; local.py does so only when there is a block to
make. No other module imports py-evm.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import witnesstree.anchor.evm.deferred  # noqa: F401, before py-evm

# isort: split
from eth.chains.base import MiningChain
from eth.constants import (
    BLANK_ROOT_HASH,
    POST_MERGE_DIFFICULTY,
    POST_MERGE_MIX_HASH,
    POST_MERGE_NONCE,
)
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.exceptions import PyEVMError
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_keys.datatypes import PrivateKey
from eth_keys.exceptions import BadSignature
from eth_typing import Address, BlockNumber
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

from witnesstree.anchor.evm.blocks import FILE
from witnesstree.anchor.evm.contract import DEPLOYER_CODE, artefact
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from eth.abc import BlockHeaderAPI, SignedTransactionAPI
    from eth.typing import AccountState, HeaderParams

    from witnesstree.anchor.evm.blocks import ChainFile

GENESIS = BlockNumber(0)
GAS_LIMIT = 30_000_000
"""Gas in a block: as on Ethereum in 2024, and about 600 times what one root takes."""


BALANCE = 10**27
"""Wei on the one account: a thousand million ether, and a root takes less than a hundredth of
one."""


def make_genesis(file: ChainFile, account: bytes, time: int) -> None:
    """Write block 0: the funded account (20-byte address) and the CREATE2 deployer as it is on
    public chains. On return it is durable.
    """
    state: AccountState = {
        Address(account): {"balance": BALANCE, "nonce": 0, "code": b"", "storage": {}},
        # A contract's account starts at nonce 1 (EIP-161).
        Address(artefact().deployer): {
            "balance": 0,
            "nonce": 1,
            "code": DEPLOYER_CODE,
            "storage": {},
        },
    }
    pairs = _Pairs(file)
    parameters: dict[str, HeaderParams] = {
        "coinbase": bytes(20),
        "difficulty": POST_MERGE_DIFFICULTY,
        "extra_data": b"",
        "gas_limit": GAS_LIMIT,
        "mix_hash": POST_MERGE_MIX_HASH,
        "nonce": POST_MERGE_NONCE,
        "receipt_root": BLANK_ROOT_HASH,
        "timestamp": time,
        "transaction_root": BLANK_ROOT_HASH,
    }
    _Chain.from_genesis(AtomicDB(pairs), parameters, state)
    pairs.commit(after=None)


def sign(key: bytes, *, nonce: int, to: bytes, calldata: bytes, gas: int, max_fee: int) -> bytes:
    """Return a signed EIP-1559 transaction of the account with this secret key; it offers `max_fee`
    wei for one gas at most, and no tip.
    """
    unsigned = PragueTransactionBuilder.new_unsigned_dynamic_fee_transaction(
        chain_id=LOCAL_CHAIN_ID,
        nonce=nonce,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=max_fee,
        gas=gas,
        to=Address(to),
        value=0,
        data=calldata,
        access_list=[],
    )
    return unsigned.as_signed_transaction(PrivateKey(key)).encode()


class Miner:
    """Puts transactions into blocks, one each."""

    def __init__(self, file: ChainFile, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._pairs = _Pairs(file)
        with _translated_errors():
            self._chain = _Chain(AtomicDB(self._pairs))

    def mine(self, transaction: bytes) -> None:
        """Make a block of this one signed transaction.

        On return it is durable; otherwise the chain is what it was before.

        The block's time is the clock's, or one second after its parent's where the clock has not
        come that far: block times must rise.

        Raises InvalidInput if this is no EIP-1559 transaction that the chain takes, Conflict if it
        was signed for another state of its sender or another process added a block meanwhile,
        Damaged if the chain cannot be read.
        """
        after = self._file.head()
        try:
            with _translated_errors():
                signed = self._legal(transaction)
                self._chain.start_block(self._clock())
                self._chain.apply_transaction(signed)
                # Nothing in a block is left to chance: the same transactions at the same times give
                # the same blocks.
                self._chain.mine_block(coinbase=Address(bytes(20)))
            self._pairs.commit(after)
        finally:
            # What is not in the file by now was never mined: the next block must not build on it.
            self._pairs.forget()

    def _legal(self, transaction: bytes) -> SignedTransactionAPI:
        signed = _decode(transaction)
        if signed.chain_id != LOCAL_CHAIN_ID:
            raise InvalidInput(
                "transaction-of-another-chain", found=signed.chain_id, expected=LOCAL_CHAIN_ID
            )
        state = self._chain.get_vm(self._chain.get_canonical_head()).state
        if signed.nonce != (expected := state.get_nonce(signed.sender)):
            raise Conflict("nonce-not-next", found=signed.nonce, expected=expected)
        return signed


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise InvalidInput("transaction-not-taken") from error
    except (PyEVMError, RLPException, KeyError) as error:
        raise Damaged("chain-state-missing", file=FILE) from error


def _decode(transaction: bytes) -> SignedTransactionAPI:
    if transaction[:1] != b"\x02":
        raise InvalidInput("transaction-not-eip1559")
    try:
        signed = PragueTransactionBuilder.decode(transaction)
        signed.validate()
        signed.check_signature_validity()
    except (
        ValidationError,
        RLPException,
        BadSignature,
        PyEVMError,
        IndexError,
        ValueError,
        TypeError,
    ) as error:
        raise InvalidInput("transaction-not-rlp") from error
    return signed


class _Chain(MiningChain):
    """A chain without proof of work or stake: who holds the file makes the blocks."""

    chain_id = LOCAL_CHAIN_ID
    vm_configuration = ((GENESIS, PragueVM),)

    def create_header_from_parent(
        self, parent_header: BlockHeaderAPI, **fields: Any
    ) -> BlockHeaderAPI:
        return super().create_header_from_parent(
            parent_header, **{"gas_limit": parent_header.gas_limit, **fields}
        )

    def start_block(self, time: datetime) -> None:
        """Begin an empty block on the newest one."""
        parent = self.get_canonical_head()
        seconds = max(int(time.timestamp()), parent.timestamp + 1)
        self.header = self.create_header_from_parent(parent, timestamp=seconds)


class _Pairs(BaseDB):
    """The file's pairs, and over them what the block in the making has added."""

    def __init__(self, file: ChainFile) -> None:
        self._file = file
        self._added: dict[bytes, bytes] = {}

    def commit(self, after: bytes | None) -> None:
        """Write what was added as one block: see ChainFile.put."""
        self._file.put(self._added, after)
        self._added = {}

    def forget(self) -> None:
        """Drop what was added since `commit`."""
        self._added = {}

    def __getitem__(self, key: bytes) -> bytes:
        value = self._find(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._added[key] = value

    def __delitem__(self, key: bytes) -> None:
        # py-evm deletes only when blocks are reorganised away, and here none ever are.
        raise NotImplementedError

    def _exists(self, key: bytes) -> bool:
        return self._find(key) is not None

    def _find(self, key: bytes) -> bytes | None:
        return self._added[key] if key in self._added else self._file.get(key)
