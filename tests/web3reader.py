"""web3, for tests alone: an independent reader of the embedded chain (by way of eth-tester) and of
the contract."""

from collections.abc import Sequence
from typing import Any

from eth_tester import EthereumTester
from eth_tester.backends.pyevm.main import PyEVMBackend
from eth_utils.address import to_checksum_address
from web3 import EthereumTesterProvider, Web3
from web3.providers.base import BaseProvider

from witnesstree.anchor.evm import local
from witnesstree.anchor.evm.contract import artefact
from witnesstree.anchor.evm.local import LocalChain
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, Anchoring


class _Backend(PyEVMBackend):  # type: ignore[misc]  # eth-tester has no types
    """eth-tester's backend on a chain that is there: its own __init__ would make a new one in
    memory."""

    def __init__(self, chain: Any, account: bytes) -> None:
        self.chain = chain
        self._account = account
        chain.get_transaction_builder = lambda: chain.get_vm().get_transaction_builder()

    def get_accounts(self) -> tuple[bytes, ...]:
        """Return the one account: eth-tester lets nobody ask who could not pay."""
        return (self._account,)


def web3_on(chain: LocalChain) -> Web3:
    """Return a web3 that reads this chain at its newest block."""
    blocks = chain._miner()._chain
    blocks.start_block(chain._clock())
    account = local._address(local._read_key(chain._folder))
    return Web3(EthereumTesterProvider(EthereumTester(_Backend(blocks, account))))


class Contract:
    """The contract as web3 reads it by its ABI; without a chain, only its calldata."""

    def __init__(self, web3: Web3 | None = None) -> None:
        self._contract = (web3 or Web3(BaseProvider())).eth.contract(
            address=to_checksum_address(CONTRACT_ADDRESS), abi=artefact().abi
        )

    def calldata(self, function: str, *values: object) -> bytes:
        return bytes.fromhex(self._contract.encode_abi(function, list(values))[2:])

    def anchored_at(self, root: bytes, block: Any = "latest") -> Anchoring | None:
        time, number, submitter = self._contract.functions.anchoredAt(root).call(
            block_identifier=block
        )
        return Anchoring(time, number, bytes.fromhex(submitter[2:])) if time else None

    def verify(
        self, root: bytes, digest: bytes, path: Sequence[bytes], block: Any = "latest"
    ) -> tuple[bool, int]:
        included, time = self._contract.functions.verify(root, digest, list(path)).call(
            block_identifier=block
        )
        return included, time
