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
from witnesstree.anchor.evm.contract import artefact, deployment_calldata
from witnesstree.anchor.evm.fees import Market, offer, wei
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    NotFound,
    Unaffordable,
    Unreachable,
)
from witnesstree.ledger.base.ports import SignedTransaction
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH, keccak256

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.anchor.evm.client import Receipt
    from witnesstree.anchor.evm.node import NodeChain
    from witnesstree.anchor.keys import Signer
    from witnesstree.anchor.settings import ChainSettings

DEPLOY_GAS: Final = 600_000
"""Gas that a deployment may take: it takes about 400,000."""
PATIENCE: Final = 600.0
"""Seconds to wait for a transaction's block. One that was sent stays sent when they are over."""
LOOK_BACK: Final = 16
"""Newest transactions of the account among which an earlier plain creation is looked for: each
takes one question."""
POLL: Final = 2.0
"""Seconds between two looks: as long as a block takes on many chains."""

# The CREATE2 deployer: its code, and the transaction that makes it. Its signature was chosen, so
# nobody has its payer's key and nothing else can ever stand at its address. Facts from
# https://github.com/Arachnid/deterministic-deployment-proxy; a test derives the address from them.
_DEPLOYER_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
DEPLOYER_CODE_HASH: Final = keccak256(_DEPLOYER_CODE)
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
        bytes.fromhex("604580600e600039806000f350fe") + _DEPLOYER_CODE,
        27,
        b"\x22" * 32,
        b"\x22" * 32,
    ]
)

_T = TypeVar("_T")
_NOTHING = keccak256(b"")


class Way(Enum):
    """How the contract came to its address."""

    PRESENT = "present"
    CREATE2 = "create2"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contract stands (20 bytes), and the transaction that put it there now, if one did.

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
        said: Callable[[str], None],
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
        """Return where the contract stands, after deploying it if it stands nowhere yet.

        `plain` allows a plain creation, and `keyless` the deployer's own transaction, each where
        the deployer is missing. A contract that the account created plainly, within its newest
        LOOK_BACK transactions, is taken instead of a second one: whoever was interrupted has lost
        its address.

        Raises BadAnswer if other code stands where ours or the deployer's should, NotFound if the
        deployer is missing and neither way is allowed, Conflict if a transaction of the account
        waits already, Unreachable if it is still in no block when patience ends, and as `sign_call`
        does.
        """
        address = (
            bytes.fromhex(self._settings.contract[2:])
            if self._settings.contract
            else CONTRACT_ADDRESS
        )
        if self._is_there(address, CONTRACT_CODE_HASH, "EvidenceAnchor"):
            return Deployment(address, Way.PRESENT)
        if address != CONTRACT_ADDRESS:
            text = (
                f"the settings say that the contract stands at 0x{address.hex()}, where nothing"
                " stands: correct them, or remove `contract` from them"
            )
            raise InvalidInput(text)
        if not self._is_there(artefact().deployer, DEPLOYER_CODE_HASH, "the CREATE2 deployer"):
            if plain:
                return self._create()
            if not keyless:
                raise NotFound(_MISSING)
            self._make_deployer()
        receipt, transaction = self._carry_out(
            self._signed(artefact().deployer, deployment_calldata())
        )
        return self._found(
            Deployment(CONTRACT_ADDRESS, Way.CREATE2, transaction.hash, receipt.block_number)
        )

    def _create(self) -> Deployment:
        if earlier := self._created_before(self._payer().address):
            self._said(
                f"An earlier plain creation of this account stands at 0x{earlier.hex()}: it is"
                " taken, and nothing is paid."
            )
            return Deployment(earlier, Way.PLAIN)
        transaction = self._signed(None, artefact().init_code)
        address = _created(transaction.sender, transaction.nonce)
        receipt, _ = self._carry_out(
            transaction, f", which creates the contract at 0x{address.hex()}"
        )
        return self._found(Deployment(address, Way.PLAIN, transaction.hash, receipt.block_number))

    def _created_before(self, account: bytes) -> bytes | None:
        """Return where a contract with our code stands that `account` created plainly, the newest
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
        if not self._is_there(deployment.address, CONTRACT_CODE_HASH, "EvidenceAnchor"):
            raise BadAnswer(
                f"nothing stands at 0x{deployment.address.hex()} after its transaction: run"
                " `witnesstree chain check`, then try again"
            )
        return deployment

    def _is_there(self, address: bytes, code_hash: bytes, what: str) -> bool:
        found = self._code_hash(address)
        if found in {code_hash, _NOTHING}:
            return found == code_hash
        raise BadAnswer(
            f"refused: the code at 0x{address.hex()} is not {what} (keccak-256 0x{found.hex()}); on"
            " this chain something else stands there"
        )

    def _code_hash(self, address: bytes) -> bytes:
        return self._asked(lambda client: client.code_hash(address, "latest"))

    # The deployer, where it is missing

    def _make_deployer(self) -> None:
        """Send the keyless transaction.

        Its payer gets what it needs only once the node has taken or refused it for the lack of that
        alone.
        """
        if (price := self._asked(Client.gas_price)) > KEYLESS_PRICE:
            raise Unaffordable(
                f"the deployer's own transaction offers {KEYLESS_PRICE} wei for one gas, and the"
                f" chain asks {price}: wait, or use --plain"
            )
        if not self._send_keyless():
            self._said(
                f"Giving the deployer's payer 0x{KEYLESS_PAYER.hex()} what its transaction costs."
            )
            self._carry_out(self._gift())
            if not self._send_keyless():
                raise BadAnswer(
                    "the node refuses the deployer's transaction for want of money, which its payer"
                    " has by now: ask another node"
                )
        self._said("Sent the deployer's own transaction; waiting for its block.")
        self._await(keccak256(KEYLESS_TRANSACTION))
        if not self._is_there(artefact().deployer, DEPLOYER_CODE_HASH, "the CREATE2 deployer"):
            raise BadAnswer(
                "the deployer's own transaction has made no deployer on this chain: use --plain"
            )

    def _send_keyless(self) -> bool:
        """Return whether a node took the keyless transaction; False if its payer is too poor."""
        try:
            self._asked(lambda client: client.send(KEYLESS_TRANSACTION))
        except BadAnswer as error:
            if self._asked(lambda client: client.knows(keccak256(KEYLESS_TRANSACTION))):
                return True
            # Of several endpoints' refusals only the words are left.
            if "insufficient" in str(error).lower():
                return False
            raise BadAnswer(
                "this chain or node does not take transactions without a chain id, so --keyless is"
                f" no way here: {error}"
            ) from error
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
        gas = (
            self._asked(lambda client: client.estimated_gas(signer.address, KEYLESS_PAYER, b""))
            * 6
            // 5
        )
        nonce = self._asked(lambda client: client.nonce(signer.address, "pending"))
        members: dict[str, Any] = {
            "chainId": self._settings.chain_id,
            "nonce": nonce,
            "to": KEYLESS_PAYER,
            "value": missing,
            "data": b"",
            "gas": gas,
        }
        raw = signer.sign({**members, **fees.members()})
        return SignedTransaction(raw, keccak256(raw), signer.address, nonce)

    # Transactions

    def _payer(self) -> Signer:
        """Return who pays, unless a transaction of theirs waits: it may be an earlier deployment,
        which would be paid for again.
        """
        if self._signer is None:
            raise InvalidInput(
                f"chain {self._chain.name} has no key to pay with: set key in its settings"
            )
        account = self._signer.address
        waiting = self._asked(
            lambda client: client.nonce(account, "pending") - client.nonce(account, "latest")
        )
        if waiting > 0:
            raise Conflict(
                f"a transaction of 0x{account.hex()} waits on {self._chain.name} already: try again"
                " when it is in a block"
            )
        return self._signer

    def _signed(self, to: bytes | None, calldata: bytes) -> SignedTransaction:
        self._payer()
        return self._chain.sign_call(to, calldata, DEPLOY_GAS)

    def _carry_out(
        self, transaction: SignedTransaction, purpose: str = ""
    ) -> tuple[Receipt, SignedTransaction]:
        self._chain.send(transaction)
        self._said(f"Sent 0x{transaction.hash.hex()}{purpose}; waiting for its block.")
        receipt = self._await(transaction.hash)
        if not receipt.has_succeeded:
            raise BadAnswer(
                f"the transaction 0x{transaction.hash.hex()} failed in block"
                f" {receipt.block_number}: run `witnesstree chain check`"
            )
        return receipt, transaction

    def _await(self, transaction: bytes) -> Receipt:
        end = time.monotonic() + self._patience
        while (receipt := self._asked(lambda client: client.receipt(transaction))) is None:
            if time.monotonic() >= end:
                text = (
                    f"the transaction 0x{transaction.hex()} is in no block after {self._patience:g}"
                    " seconds: it may still come; look again later"
                )
                raise Unreachable(text)
            time.sleep(self._poll)
        return receipt

    def _asked(self, question: Callable[[Client], _T]) -> _T:
        return self._chain.endpoints.first(lambda endpoint: question(Client(endpoint)))


def _created(account: bytes, nonce: int) -> bytes:
    """Return the address of what `account` creates with its transaction `nonce` (Yellow Paper,
    7).
    """
    return keccak256(rlp.encode([account, nonce]))[12:]


_MISSING = (
    "this chain has no CREATE2 deployer, so the contract cannot have its usual address: bring the"
    " deployer with --keyless, where transactions without a chain id are taken, or create the"
    " contract at another address with --plain, which proves less (docs/contract.md)"
)
