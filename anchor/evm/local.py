"""The embedded chain: a real EVM chain of one account, kept in a folder.

It shows the mechanics and proves nothing to a third party.

Reading needs the file and tries alone. What makes blocks and signs (mining.py) is imported when it
is needed, because it takes half a second.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import override

from witnesstree.anchor.evm.blocks import FILE, ChainFile
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, NotFound, StorageFailure
from witnesstree.ledger.base.ports import Block, Chain, SignedTransaction, Standing
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.base.witness import Anchor, StateProof
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    Header,
    parse_header,
    prove_slot,
    slot_of,
)
from witnesstree.ledger.store.disk import sync_folder, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from trie.hexary import HexaryTrie

    from witnesstree.anchor.evm.mining import Miner
    from witnesstree.ledger.base.message import Message

KEY_FILE = "account.key"
_MAX_KEY_FILE = 128
"""Bytes: a key has 64 digits."""
"""The secret key of the one funded account: 64 hex digits, readable by its owner alone.

It guards nothing of worth.
"""

MAX_FEE = 100 * 10**9
"""Wei for one gas, at most.

The first block asks for 10**9, and blocks that are nearly empty make it fall.
"""
ANCHOR_GAS = 100_000
"""Gas for one root, at most: it takes about 46,000."""
FURTHER_GAS = 30_000
"""Gas for each further root in the same transaction, at most: it takes about 25,000."""
DEPLOY_GAS = 1_000_000
"""Gas for the contract, at most: it takes about 400,000."""

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1 (SEC 2, 2.4.1): secret keys are smaller."""


class LocalChain(Chain):
    """The chain in `folder`.

    Only one may be open for writing at a time: the ledger's lock sees to that. Many may read beside
    it.

    Every method raises Damaged if the file contradicts itself, Conflict if another process holds it
    for long, StorageFailure if the disk refuses. Blocks are final as soon as they are made.
    """

    def __init__(
        self,
        folder: Path,
        file: ChainFile,
        clock: Callable[[], datetime],
        older: Callable[[], Message | None],
    ) -> None:
        self._folder = folder
        self._file = file
        self._clock = clock
        self._older = older
        self._lazy_miner: Miner | None = None

    @classmethod
    def create(cls, folder: Path, clock: Callable[[], datetime]) -> LocalChain:
        """Return a new chain in `folder`, with the contract deployed.

        `clock` gives the time of each block.

        The chain is there as a whole or not at all; called again after a crash, this makes it
        again.

        Raises Conflict if there is one already.
        """
        if (folder / FILE).exists():
            raise Conflict("chain-there-already", folder=folder)
        draft = folder / f"{FILE}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_key(folder)
            for leftover in (draft, draft.with_name(draft.name + "-journal")):
                leftover.unlink(missing_ok=True)
            with ChainFile.create(draft) as file:
                _found(file, _read_key(folder), clock())
            draft.rename(folder / FILE)
            sync_folder(folder)
        except OSError as error:
            raise StorageFailure("chain-not-made", folder=folder, error=error) from error
        return cls.open(folder, clock)

    @classmethod
    def open(
        cls,
        folder: Path,
        clock: Callable[[], datetime],
        older: Callable[[], Message | None] = lambda: None,
    ) -> LocalChain:
        """Return the chain in `folder`. No block is made while `older` says that there were newer
        ones: it would have the number of one that was relied on.

        Raises NotFound if there is none.
        """
        if not (folder / FILE).exists():
            raise NotFound("chain-missing", folder=folder)
        return cls(folder, ChainFile.open(folder), clock, older)

    def close(self) -> None:
        """Close the file. Nothing is lost: each block was durable when `send` returned."""
        self._file.close()

    @property
    @override
    def name(self) -> str:
        return "local"

    @override
    def troubles(self) -> list[Message]:
        """Return none: it has no parts."""
        return []

    @override
    def recent_block(self) -> Block:
        """Return the newest block."""
        block_hash = self._file.head()
        header = self._file.header(block_hash)
        return Block(LOCAL_CHAIN_ID, _parsed(header).number, block_hash, header)

    @override
    def standing(self, root: bytes, transaction: SignedTransaction | None) -> Standing:
        """Return FINAL as soon as a block has the root, for no block of this chain is ever taken
        back.
        """
        header = _newest_header(self._file)
        if _storage(self._file, header).get(keccak256(slot_of(root))):
            return Standing.FINAL
        is_spent = (
            transaction is not None
            and _nonce(self._file, header, transaction.sender) > transaction.nonce
        )
        return Standing.LOST if is_spent else Standing.ABSENT

    @override
    def sign(
        self, roots: Sequence[bytes], replaced: SignedTransaction | None = None
    ) -> SignedTransaction | None:
        """Return a signed EIP-1559 transaction that anchors `roots`.

        None in place of another: sending makes a block, so none ever waits. Raises Damaged if the
        chain is older than the ledger.
        """
        if replaced:
            return None
        self._require_newest()
        from witnesstree.anchor.evm.contract import anchoring_calldata

        gas = ANCHOR_GAS + FURTHER_GAS * (len(roots) - 1)
        return _signed(
            self._file, _read_key(self._folder), CONTRACT_ADDRESS, anchoring_calldata(roots), gas
        )

    @override
    def send(self, transaction: SignedTransaction) -> None:
        """Make a block with this transaction, unless one has it already.

        On return the block is durable.

        Raises InvalidInput if this is no transaction that the chain takes, Conflict if another one
        has taken its nonce, Damaged if the chain is older than the ledger.
        """
        if _block_of(self._file, transaction) is None:
            self._require_newest()
            self._miner().mine(transaction.raw)

    @override
    def collect(self, root: bytes, transactions: Sequence[SignedTransaction]) -> Anchor | None:
        """Return the anchor with its proof at the newest block, which has been checked as a
        verifier checks it.
        """
        block = self.recent_block()
        header = _parsed(block.header)
        storage = _storage(self._file, header)
        slot_key = keccak256(slot_of(root))
        if not storage.get(slot_key):
            return None
        state = StateProof(
            header=block.header,
            account=_nodes(_trie(self._file, header.state_root), keccak256(CONTRACT_ADDRESS)),
            storage=_nodes(storage, slot_key),
        )
        try:
            slot = prove_slot(header, CONTRACT_ADDRESS, root, state.account, state.storage)
        except InvalidInput as error:
            raise Damaged("chain-proves-nothing", file=FILE, error=error) from error
        if slot.code_hash != CONTRACT_CODE_HASH:
            raise Damaged("chain-with-another-contract", file=FILE)
        ours = [
            each.hash
            for each in transactions
            if _block_of(self._file, each) == slot.anchoring.block_number
        ]
        return Anchor(
            chain_id=LOCAL_CHAIN_ID,
            contract=CONTRACT_ADDRESS,
            transaction=ours[0] if ours else None,
            block_number=block.number,
            block_hash=block.hash,
            state=state,
        )

    def _require_newest(self) -> None:
        if fault := self._older():
            raise Damaged("chain-older", fault=fault)

    def _miner(self) -> Miner:
        if self._lazy_miner is None:
            from witnesstree.anchor.evm.mining import Miner

            self._lazy_miner = Miner(self._file, self._clock)
        return self._lazy_miner


# Making the chain


def _found(file: ChainFile, key: bytes, now: datetime) -> None:
    """Make the first two blocks: the account and the deployer, and the contract by way of the
    deployer.

    Their times are before the clock's, so that the first root's block need not be after it.
    """
    import rlp

    from witnesstree.anchor.evm.contract import artefact
    from witnesstree.anchor.evm.mining import Miner, make_genesis

    make_genesis(file, _address(key), int(now.timestamp()) - 2)
    contract = artefact()
    deployment = _signed(
        file, key, contract.deployer, contract.salt + contract.init_code, DEPLOY_GAS
    )
    Miner(file, lambda: now - timedelta(seconds=1)).mine(deployment.raw)
    state = _trie(file, _newest_header(file).state_root)
    account = state.get(keccak256(CONTRACT_ADDRESS))
    if not account or rlp.decode(account)[3] != CONTRACT_CODE_HASH:
        raise Damaged("package-contract-differs")


def _make_key(folder: Path) -> None:
    """Write a new secret key, unless a creation that was cut off has left one."""
    if not (folder / KEY_FILE).exists():
        key = (1 + secrets.randbelow(_ORDER - 1)).to_bytes(32)
        write_file(folder / KEY_FILE, key.hex().encode(), mode=0o600)


# Signing


def _signed(file: ChainFile, key: bytes, to: bytes, calldata: bytes, gas: int) -> SignedTransaction:
    from witnesstree.anchor.evm.mining import sign

    sender = _address(key)
    nonce = _nonce(file, _newest_header(file), sender)
    raw = sign(key, nonce=nonce, to=to, calldata=calldata, gas=gas, max_fee=MAX_FEE)
    return SignedTransaction(raw, keccak256(raw), sender, nonce)


def _read_key(folder: Path) -> bytes:
    try:
        with open_regular(folder / KEY_FILE) as file:
            key = bytes.fromhex(file.read(_MAX_KEY_FILE).decode("ascii"))
    except FileNotFoundError as error:
        raise InvalidInput("chain-key-missing", path=folder / KEY_FILE) from error
    except OSError as error:
        raise StorageFailure("chain-key-unreadable", file=KEY_FILE, error=error) from error
    except ValueError:
        key = b""
    if len(key) != 32 or not 0 < int.from_bytes(key) < _ORDER:
        raise Damaged("chain-key-damaged", file=KEY_FILE)
    return key


def _address(key: bytes) -> bytes:
    from eth_keys.datatypes import PrivateKey

    return PrivateKey(key).public_key.to_canonical_address()


# Reading


def _newest_header(file: ChainFile) -> Header:
    return _parsed(file.header(file.head()))


def _account(file: ChainFile, header: Header, address: bytes) -> list[bytes]:
    """Return the account's nonce, balance, storage root and code hash, in RLP."""
    import rlp

    account = _trie(file, header.state_root).get(keccak256(address))
    if not account:
        raise Damaged("chain-account-missing", file=FILE, account=address)
    fields: list[bytes] = rlp.decode(account)
    return fields


def _nonce(file: ChainFile, header: Header, address: bytes) -> int:
    return int.from_bytes(_account(file, header, address)[0])


def _storage(file: ChainFile, header: Header) -> HexaryTrie:
    return _trie(file, _account(file, header, CONTRACT_ADDRESS)[2])


def _block_of(file: ChainFile, transaction: SignedTransaction) -> int | None:
    """Return the number of the block that has this transaction, or None."""
    import rlp

    place = file.get(f"transaction-hash-to-block:{transaction.hash!r}".encode())
    if place is None:
        return None
    try:
        number, _index = rlp.decode(place, rlp.sedes.List([rlp.sedes.big_endian_int] * 2))
    except rlp.exceptions.RLPException as error:
        raise Damaged("chain-place-missing", file=FILE) from error
    return int(number)


def _parsed(header: bytes) -> Header:
    try:
        return parse_header(header)
    except InvalidInput as error:
        raise Damaged("chain-header-unreadable", file=FILE, error=error) from error


class _NodeSource:
    """The file as trie.HexaryTrie reads it."""

    def __init__(self, file: ChainFile) -> None:
        self._file = file

    def __getitem__(self, node_hash: bytes) -> bytes:
        node = self._file.get(node_hash)
        if node is None:
            raise Damaged("chain-node-missing", file=FILE, hash=node_hash)
        return node


def _trie(file: ChainFile, root: bytes) -> HexaryTrie:
    from trie.hexary import HexaryTrie

    return HexaryTrie(_NodeSource(file), root)


def _nodes(trie: HexaryTrie, key: bytes) -> tuple[bytes, ...]:
    """Return the nodes on the way to `key` as `eth_getProof` gives them: without those that are
    in their parents.
    """
    import rlp

    nodes = [rlp.encode(node) for node in trie.get_proof(key)]  # type: ignore[no-untyped-call]
    return tuple(node for depth, node in enumerate(nodes) if depth == 0 or len(node) >= 32)
