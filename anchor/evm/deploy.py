"""Puts the contract on a chain, or finds it there.

It believes no code that is not ours, and pays for nothing twice.

The contract belongs at one address on every chain, which the usual CREATE2 deployer gives it: that
address proves what its storage began with. Where the deployer is missing, it can be made by its own
keyless transaction, on chains that take transactions without a chain id; otherwise the contract can
be created plainly, at another address that proves less (docs/contract.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import rlp

from witnesstree.anchor.evm.client import Client
from witnesstree.anchor.evm.contract import DEPLOYER_CODE, artefact, deployment_calldata
from witnesstree.anchor.evm.fees import Market, offer, wei
from witnesstree.anchor.evm.rpc import refusals
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    NotFound,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.ports import SignedTransaction
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.anchor.evm.bridge import Bridge, Call, Receipt
    from witnesstree.anchor.evm.node import NodeChain
    from witnesstree.anchor.keys import Signer
    from witnesstree.anchor.settings import ChainSettings
    from witnesstree.ledger.base.message import Message

DEPLOY_GAS: Final = 600_000
"""Gas that a deployment may take: it takes about 400,000."""
PATIENCE: Final = 600.0
"""Seconds to wait for a transaction's block. One that was sent stays sent when they are over."""
LOOK_BACK: Final = 16
"""Newest transactions of the account among which an earlier plain creation is looked for: each
takes one question."""
POLL: Final = 2.0
"""Seconds between two looks: as long as a block takes on many chains."""

# The transaction that makes the CREATE2 deployer. Its signature was chosen, so
# nobody has its payer's key and nothing else can ever be at its address. Facts from
# https://github.com/Arachnid/deterministic-deployment-proxy; a test derives the address from them.
DEPLOYER_CODE_HASH: Final = keccak256(DEPLOYER_CODE)
KEYLESS_PRICE: Final = 100 * 10**9
"""Wei for one gas that the keyless transaction offers: it is signed, so nobody can offer more."""
KEYLESS_GAS: Final = 100_000
KEYLESS_PAYER: Final = bytes.fromhex("3fab184622dc19b6109349b94811493bf2a45362")
KEYLESS_TRANSACTION: Final = rlp.encode(
    [
        0,
        KEYLESS_PRICE,
        KEYLESS_GAS,
        b"",
        0,
        bytes.fromhex("604580600e600039806000f350fe") + DEPLOYER_CODE,
        27,
        b"\x22" * 32,
        b"\x22" * 32,
    ]
)

CONTRACT, DEPLOYER = "contract", "deployer"
"""What may be at an address."""

_T = TypeVar("_T")
_NOTHING = keccak256(b"")


class Way(Enum):
    """How the contract came to its address."""

    PRESENT = "present"
    CREATE2 = "create2"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contract is (20 bytes), and the transaction that put it there now, if one did.

    Its block need not be final.
    """

    address: bytes
    way: Way
    transaction: bytes | None = None
    block_number: int | None = None


class Deployer:
    """Deploys to one chain, for one account. `said` is told each step."""

    def __init__(
        self,
        chain: NodeChain,
        settings: ChainSettings,
        signer: Signer | None,
        said: Callable[[Message], None],
        *,
        patience: float = PATIENCE,
        poll: float = POLL,
    ) -> None:
        self._chain = chain
        self._settings = settings
        self._signer = signer
        self._said = said
        self._patience = patience
        self._poll = poll

    def deploy(self, *, plain: bool = False, keyless: bool = False) -> Deployment:
        """Return where the contract is, after deploying it if it is nowhere yet.

        `plain` allows a plain creation, and `keyless` the deployer's own transaction, each where
        the deployer is missing. A contract that the account created plainly, within its newest
        LOOK_BACK transactions, is taken instead of a second one: someone who was interrupted has
        lost its address.

        Raises BadAnswer if other code is where ours or the deployer's should, NotFound if the
        deployer is missing and neither way is allowed, Conflict if a transaction of the account
        waits already, Unreachable if it is still in no block when patience ends, and as `sign_call`
        does.
        """
        address = (
            bytes.fromhex(self._settings.contract[2:])
            if self._settings.contract
            else CONTRACT_ADDRESS
        )
        if self._is_there(address, CONTRACT_CODE_HASH, CONTRACT):
            return Deployment(address, Way.PRESENT)
        if address != CONTRACT_ADDRESS:
            raise InvalidInput("contract-of-settings-absent", address=address)
        if not self._is_there(artefact().deployer, DEPLOYER_CODE_HASH, DEPLOYER):
            if plain:
                return self._create()
            if not keyless:
                raise NotFound("deployer-missing")
            self._make_deployer()
        receipt, transaction = self._carry_out(
            self._signed(lambda bridge: bridge.call(artefact().deployer, deployment_calldata()))
        )
        return self._found(
            Deployment(CONTRACT_ADDRESS, Way.CREATE2, transaction.hash, receipt.block_number)
        )

    def _create(self) -> Deployment:
        if earlier := self._created_before(self._payer().address):
            self._said(message("earlier-creation-taken", address=earlier))
            return Deployment(earlier, Way.PLAIN)
        transaction = self._signed(lambda bridge: bridge.creation())
        address = _created(transaction.sender, transaction.nonce)
        said = message("sent-creation", transaction=transaction.hash, address=address)
        receipt, _ = self._carry_out(transaction, said)
        return self._found(Deployment(address, Way.PLAIN, transaction.hash, receipt.block_number))

    def _created_before(self, account: bytes) -> bytes | None:
        """Return where a contract with our code is that `account` created plainly, the newest
        one; None if there is none.
        """
        newest = self._asked(lambda client: client.nonce(account, "latest"))
        places = (
            _created(account, nonce)
            for nonce in reversed(range(max(newest - LOOK_BACK, 0), newest))
        )
        return next(
            (place for place in places if self._code_hash(place) == CONTRACT_CODE_HASH), None
        )

    def _found(self, deployment: Deployment) -> Deployment:
        if not self._is_there(deployment.address, CONTRACT_CODE_HASH, CONTRACT):
            raise BadAnswer("contract-absent-after-transaction", address=deployment.address)
        return deployment

    def _is_there(self, address: bytes, code_hash: bytes, what: str) -> bool:
        found = self._code_hash(address)
        if found in {code_hash, _NOTHING}:
            return found == code_hash
        raise BadAnswer("other-code-there", address=address, expected=what, found=found)

    def _code_hash(self, address: bytes) -> bytes:
        return self._asked(lambda client: client.code_hash(address, "latest"))

    # The deployer, where it is missing

    def _make_deployer(self) -> None:
        """Send the keyless transaction.

        Its payer gets what it needs only once the node has taken or refused it for the lack of that
        alone.
        """
        if (price := self._asked(Client.gas_price)) > KEYLESS_PRICE:
            raise Unaffordable("keyless-price-too-low", offered=KEYLESS_PRICE, asked=price)
        if not self._send_keyless():
            self._said(message("paying-keyless-payer", account=KEYLESS_PAYER))
            self._carry_out(self._gift())
            if not self._send_keyless():
                raise BadAnswer("keyless-refused-though-paid")
        self._said(message("sent-keyless"))
        self._await(keccak256(KEYLESS_TRANSACTION))
        if not self._is_there(artefact().deployer, DEPLOYER_CODE_HASH, DEPLOYER):
            raise BadAnswer("keyless-made-no-deployer")

    def _send_keyless(self) -> bool:
        """Return whether a node took the keyless transaction; False if its payer is too poor."""
        try:
            self._asked(lambda client: client.send(KEYLESS_TRANSACTION))
        except BadAnswer as error:
            if self._asked(lambda client: client.knows(keccak256(KEYLESS_TRANSACTION))):
                return True
            if is_for_want_of_money(error):
                return False
            raise BadAnswer("keyless-not-taken", error=error) from error
        return True

    def _gift(self) -> SignedTransaction:
        signer = self._payer()
        missing = max(
            KEYLESS_PRICE * KEYLESS_GAS - self._asked(lambda client: client.balance(KEYLESS_PAYER)),
            0,
        )
        # A quarter more than now, because the price may rise until the next block.
        price = self._asked(Client.gas_price) * 5 // 4
        fees = offer(Market(price, 0, is_legacy=True), wei(self._settings.fee_cap))

        def members(client: Client) -> dict[str, Any]:
            gift = client.bridge.call(KEYLESS_PAYER)
            return gift.built(
                {
                    "chainId": self._settings.chain_id,
                    "nonce": client.nonce(signer.address, "pending"),
                    "value": missing,
                    "gas": gift.estimated_gas(signer.address) * 6 // 5,
                    **fees.members(),
                }
            )

        built = self._asked(members)
        raw = signer.sign(built)
        return SignedTransaction(raw, keccak256(raw), signer.address, built["nonce"])

    # Transactions

    def _payer(self) -> Signer:
        """Return who pays, unless a transaction of theirs waits: it may be an earlier deployment,
        which would be paid for again.
        """
        if self._signer is None:
            raise InvalidInput("chain-has-no-key", chain=self._chain.name)
        account = self._signer.address
        waiting = self._asked(
            lambda client: client.nonce(account, "pending") - client.nonce(account, "latest")
        )
        if waiting > 0:
            raise Conflict("transaction-waits-already", account=account, chain=self._chain.name)
        return self._signer

    def _signed(self, prepare: Callable[[Bridge], Call]) -> SignedTransaction:
        self._payer()
        return self._chain.sign_call(prepare, DEPLOY_GAS)

    def _carry_out(
        self, transaction: SignedTransaction, said: Message | None = None
    ) -> tuple[Receipt, SignedTransaction]:
        self._chain.send(transaction)
        self._said(said or message("sent-transaction", transaction=transaction.hash))
        receipt = self._await(transaction.hash)
        if not receipt.has_succeeded:
            raise BadAnswer(
                "transaction-failed", transaction=transaction.hash, number=receipt.block_number
            )
        return receipt, transaction

    def _await(self, transaction: bytes) -> Receipt:
        end = time.monotonic() + self._patience
        while (receipt := self._asked(lambda client: client.receipt(transaction))) is None:
            if time.monotonic() >= end:
                raise Unreachable(
                    "transaction-in-no-block",
                    transaction=transaction,
                    seconds=f"{self._patience:g}",
                )
            time.sleep(self._poll)
        return receipt

    def _asked(self, question: Callable[[Client], _T]) -> _T:
        return self._chain.endpoints.first(lambda endpoint: question(Client(endpoint)))


def _created(account: bytes, nonce: int) -> bytes:
    """Return the address of what `account` creates with its transaction `nonce`."""
    from witnesstree.anchor.evm.bridge import created_address

    return created_address(account, nonce)


def is_for_want_of_money(error: WitnesstreeError) -> bool:
    """Return whether a node refuses a transaction because its payer is too poor: all nodes say
    "insufficient", and not all of them a code of its own.
    """
    return any("insufficient" in each.text.lower() for each in refusals(error))
