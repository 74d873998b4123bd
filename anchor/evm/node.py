"""A real EVM chain, reached through the JSON-RPC nodes that the settings name: signs, sends, and
says only of final blocks what cannot change.

Each question is put to one node as a whole, at one block that is named by its hash: nodes of one
chain run ahead of each other, and behind one address there may be several.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from typing_extensions import override

from witnesstree.anchor.evm.client import Client
from witnesstree.anchor.evm.fees import (
    HISTORY,
    MAX_TIP,
    PERCENTILE,
    Market,
    median_tip,
    offer,
    read_offer,
    replacement,
    wei,
)
from witnesstree.anchor.evm.finality import final_block
from witnesstree.anchor.evm.rpc import Endpoint, Endpoints, Refusal, joined
from witnesstree.anchor.extras import CHAINS, require_extra
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.ports import Block, Chain, SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor, StateProof
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.known import known_chain
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    prove_slot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from witnesstree.anchor.evm.bridge import Bridge, Call, Receipt
    from witnesstree.anchor.evm.client import NodeBlock
    from witnesstree.anchor.keys import Signer
    from witnesstree.anchor.settings import ChainSettings
    from witnesstree.ledger.base.message import Message, Value

MAX_WAITING: Final = 64
"""Transactions of one account that may wait for a block: nodes keep some 64 (geth's accountqueue).
A node that names more is mistaken."""
GAS_FOR_ONE: Final = 60_000
GAS_FOR_EACH: Final = 30_000
"""Gas that anchoring may take: GAS_FOR_ONE, and GAS_FOR_EACH root.

Measured: 46,000 for one, 25,000 for each of many.
"""
GAS_AT_LEAST: Final = 30_000
GAS_AT_LEAST_FOR_EACH: Final = 27_000
"""Gas that is always offered, whatever a node estimates: a transaction that runs out of it has paid
for nothing."""
MAX_GAS: Final = 2**24
"""Gas in one transaction, at most (EIP-7825)."""
QUICK: Final = 6.0
"""Seconds that asking for a recent block should take at most: a batch is opened without one sooner
than it waits."""
PROOF_PATIENCE: Final = timedelta(hours=1)
"""How long a root waits for a state proof, where one may still come, before its anchor is kept
without."""
MAX_KEPT: Final = 1_000
"""State proofs of blocks that are not final yet, at 10 KB each."""

_T = TypeVar("_T")


class NodeChain(Chain):
    """The chain `name`, with `settings` as in anchor/settings.py.

    Without a `signer` it can be asked, but not signed for.

    Several endpoints are asked in order: where one does not answer or answers badly, the next one
    is. With `agree`, so many must name the same final block before it is believed, and so many must
    say that a transaction is lost.
    """

    def __init__(
        self,
        name: str,
        settings: ChainSettings,
        signer: Signer | None,
        clock: Callable[[], datetime],
    ) -> None:
        require_extra(CHAINS)
        if settings.agree > len(settings.urls):
            raise InvalidInput(
                "too-few-endpoints-to-agree",
                chain=name,
                agree=settings.agree,
                count=len(settings.urls),
            )
        self._name = name
        self._settings = settings
        self._max_header = known_chain(settings.chain_id).max_header
        self._signer = signer
        self._clock = clock
        self._contract = (
            bytes.fromhex(settings.contract[2:]) if settings.contract else CONTRACT_ADDRESS
        )
        self._endpoints = _endpoints(settings, settings.timeout)
        self._quick = _endpoints(settings, min(settings.timeout, QUICK / 2))
        self._kept: dict[bytes, _Proven] = {}

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    def endpoints(self) -> Endpoints:
        """The chain's nodes."""
        return self._endpoints

    @override
    def troubles(self) -> list[Message]:
        return self._endpoints.troubles()

    def close(self) -> None:
        """Close all connections."""
        self._endpoints.close()
        self._quick.close()

    # Asking

    @override
    def recent_block(self) -> Block:
        """Return the newest final block: a proof that names a block which is reorganised away would
        be taken for a forgery.

        On Ethereum that one is a quarter of an hour old, so a batch counts as begun so much
        earlier. No answer is waited for longer than half of QUICK, and no endpoint is begun with
        after QUICK.
        """
        block, header = self._at_final(self._recent, self._quick, QUICK)
        if block is None:
            raise Unreachable("no-final-block-yet", chain=self._name)
        if header is None:
            raise BadAnswer("blocks-without-header", chain=self._name)
        return Block(self._settings.chain_id, block.number, block.hash, header)

    def _recent(
        self, client: Client, final: NodeBlock | None
    ) -> tuple[NodeBlock | None, bytes | None]:
        return final, client.header(final, self._max_header) if final else None

    @override
    def standing(self, root: bytes, transaction: SignedTransaction | None) -> Standing:
        standing, final = self._at_final(
            lambda client, final: (self._standing(client, final, root, transaction), final),
            self._endpoints,
        )
        if standing is Standing.LOST and final and transaction:
            self._confirm_lost(final, root, transaction)
        return standing

    def _standing(
        self,
        client: Client,
        final: NodeBlock | None,
        root: bytes,
        transaction: SignedTransaction | None,
    ) -> Standing:
        if final and client.final_record(self._contract, root, final):
            return Standing.FINAL
        if client.record(self._contract, root, "latest"):
            return Standing.UNSETTLED
        if transaction is None or client.nonce(transaction.sender, "latest") <= transaction.nonce:
            return Standing.ABSENT
        is_spent = final is not None and client.nonce(transaction.sender, final) > transaction.nonce
        return Standing.LOST if is_spent else Standing.UNSETTLED

    def _confirm_lost(self, final: NodeBlock, root: bytes, transaction: SignedTransaction) -> None:
        """Ask every endpoint whether at this block the transaction is lost: one that is wrongly
        given up would be paid for again.

        Raises BadAnswer if one contradicts, Unreachable if fewer than `agree` say so.
        """
        about: dict[str, Value] = {"chain": self._name, "transaction": transaction.hash}

        def contradiction(endpoint: Endpoint) -> BadAnswer | None:
            client = Client(endpoint)
            receipt = client.receipt(transaction.hash)
            if receipt and self._has_anchored(receipt, root, transaction):
                number = receipt.block_number
                return BadAnswer(
                    "loss-denied-by-receipt", place=client.place, number=number, **about
                )
            if client.record(self._contract, root, final):
                number = final.number
                return BadAnswer("loss-denied-by-root", place=client.place, number=number, **about)
            if client.nonce(transaction.sender, final) > transaction.nonce:
                return None
            return BadAnswer("loss-denied-by-nonce", place=client.place, **about)

        # What an endpoint returns is its word; what it raises is in the same list.
        contradictions: list[BadAnswer | None] = []
        answers = list(
            self._endpoints.attempts(lambda each: contradictions.append(contradiction(each)))
        )
        if denied := next(filter(None, contradictions), None):
            raise denied
        if len(contradictions) < self._settings.agree:
            raise joined([answer for answer in answers if isinstance(answer, WitnesstreeError)])

    # Final blocks

    def _at_final(
        self,
        operation: Callable[[Client, NodeBlock | None], _T],
        endpoints: Endpoints,
        within: float | None = None,
    ) -> _T:
        """Return what `operation` says of one node and a final block, None while there is none."""
        if self._settings.agree == 1:
            return endpoints.first(
                lambda endpoint: operation(Client(endpoint), self._final(Client(endpoint))),
                within,
            )
        final = self._agreed(endpoints, within)
        return endpoints.first(lambda endpoint: operation(Client(endpoint), final), within)

    def _final(self, client: Client) -> NodeBlock | None:
        return final_block(client, self._settings.finality, self._max_header)

    def _agreed(self, endpoints: Endpoints, within: float | None) -> NodeBlock | None:
        """Return the newest block that `agree` endpoints have as final, None while there is none.

        Raises as `_elected` does.
        """
        agree = self._settings.agree
        answers = list(
            endpoints.attempts(lambda endpoint: (endpoint, self._final(Client(endpoint))), within)
        )
        finals = [answer for answer in answers if not isinstance(answer, WitnesstreeError)]
        if len(finals) < agree:
            failed = joined([answer for answer in answers if isinstance(answer, WitnesstreeError)])
            raise Unreachable(
                "too-few-endpoints-answer",
                chain=self._name,
                agree=agree,
                count=len(finals),
                error=failed,
            )
        known = sorted(
            ((block.number, endpoint) for endpoint, block in finals if block),
            key=lambda each: -each[0],
        )
        if len(known) < agree:
            return None
        # A node that lags holds back as little as it may: so many are at this block, or beyond it.
        number = known[agree - 1][0]
        return self._elected(
            endpoints,
            number,
            {endpoint for reached, endpoint in known if reached >= number},
            within,
        )

    def _elected(
        self, endpoints: Endpoints, number: int, voters: set[Endpoint], within: float | None
    ) -> NodeBlock:
        """Return the one block `number` that so many of the `voters` name as must agree; those that
        name another are noted for an alarm.

        Raises BadAnswer if they name different ones and none has the votes, or more than one,
        Unreachable if too few vote.
        """
        agree = self._settings.agree
        votes: dict[bytes, list[Endpoint]] = {}
        blocks: dict[bytes, NodeBlock] = {}
        for answer in endpoints.attempts(
            lambda endpoint: (
                endpoint,
                Client(endpoint).block(number) if endpoint in voters else None,
            ),
            within,
        ):
            if not isinstance(answer, WitnesstreeError) and answer[1]:
                votes.setdefault(answer[1].hash, []).append(answer[0])
                blocks[answer[1].hash] = answer[1]
        named = [
            message("block-named-by", hash=hash_, places=[each.place for each in group])
            for hash_, group in votes.items()
        ]
        difference = BadAnswer("final-blocks-differ", chain=self._name, number=number, blocks=named)
        elected = [hash_ for hash_, group in votes.items() if len(group) >= agree]
        if len(votes) > 1:
            if len(elected) != 1:
                raise difference
            for endpoint in (
                each for hash_, group in votes.items() if hash_ != elected[0] for each in group
            ):
                endpoints.note(endpoint, difference)
        if not elected:
            raise Unreachable(
                "too-few-endpoints-name-block", chain=self._name, agree=agree, number=number
            )
        return blocks[elected[0]]

    # Signing

    @override
    def sign(
        self, roots: Sequence[bytes], replaced: SignedTransaction | None = None
    ) -> SignedTransaction | None:
        """Return a transaction that calls `anchor`, or for several roots `anchorAll`.

        None also where the replaced one's nonce is used already.

        Raises BadAnswer if other code is at the contract's address, InvalidInput if there is no
        key, or another than the replaced one's.
        """
        signer = self._signer_of(replaced)
        call = _Call(
            prepare=lambda bridge: bridge.anchoring(self._contract, roots),
            least_gas=GAS_AT_LEAST + GAS_AT_LEAST_FOR_EACH * len(roots),
            usual_gas=GAS_FOR_ONE + GAS_FOR_EACH * len(roots),
        )

        def terms(endpoint: Endpoint) -> dict[str, Any] | None:
            client = Client(endpoint)
            if client.code_hash(self._contract, "latest") != CONTRACT_CODE_HASH:
                raise BadAnswer(
                    "contract-absent-not-signed", place=client.place, address=self._contract
                )
            return self._terms(client, signer.address, call, replaced)

        members = self._endpoints.first(terms)
        return _signed(signer, members) if members else None

    def sign_call(self, prepare: Callable[[Bridge], Call], usual_gas: int) -> SignedTransaction:
        """Return a signed transaction that does what `prepare` makes for a node. Fees and bounds
        are as for roots.

        Raises as `sign` does.
        """
        signer = self._signer_of(None)
        call = _Call(prepare, 0, usual_gas)
        members = self._endpoints.first(
            lambda endpoint: self._terms(Client(endpoint), signer.address, call, None)
        )
        assert members
        return _signed(signer, members)

    def _signer_of(self, replaced: SignedTransaction | None) -> Signer:
        if self._signer is None:
            raise InvalidInput("chain-has-no-key", chain=self._name)
        if replaced and replaced.sender != self._signer.address:
            raise InvalidInput(
                "key-changed-while-waiting",
                chain=self._name,
                former=replaced.sender,
                now=self._signer.address,
            )
        return self._signer

    def _terms(
        self, client: Client, payer: bytes, call: _Call, replaced: SignedTransaction | None
    ) -> dict[str, Any] | None:
        """Return the transaction that is to be signed, None where the replaced one may wait."""
        nonce, next_nonce = client.nonce(payer, "latest"), client.nonce(payer, "pending")
        if not nonce <= next_nonce <= nonce + MAX_WAITING:
            raise BadAnswer(
                "too-many-waiting", place=client.place, count=next_nonce - nonce, account=payer
            )
        self._require_plausible(client, payer, nonce)
        market, cap = self._market(client), wei(self._settings.fee_cap)
        if replaced is None:
            fees = offer(market, cap)
        elif (
            replaced.nonce < nonce
            or (better := replacement(read_offer(replaced.raw), market, cap)) is None
        ):
            return None
        else:
            next_nonce, fees = replaced.nonce, better
        prepared = call.prepare(client.bridge)
        gas = self._gas(prepared.estimated_gas(payer), fees.most, call, client.place)
        if (balance := client.balance(payer)) < gas * fees.most:
            raise Unaffordable(
                "account-too-poor",
                account=payer,
                chain=self._name,
                need=str(gas * fees.most),
                gas=gas,
                balance=str(balance),
            )
        members = {
            "chainId": self._settings.chain_id,
            "nonce": next_nonce,
            "value": 0,
            "gas": gas,
        }
        return prepared.built({**members, **fees.members()})

    def _require_plausible(self, client: Client, payer: bytes, nonce: int) -> None:
        """Raise BadAnswer if this node's nonce is far above another one's: a transaction with it
        would wait for ever. One too low is only refused.
        """
        others = self._endpoints.attempts(
            lambda other: None if other is client.endpoint else Client(other).nonce(payer, "latest")
        )
        for other in others:
            if isinstance(other, int) and nonce > other + MAX_WAITING:
                raise BadAnswer(
                    "nonce-far-above-others",
                    place=client.place,
                    account=payer,
                    nonce=nonce,
                    other=other,
                )

    def _market(self, client: Client) -> Market:
        if self._settings.fees == "legacy":
            return Market(client.gas_price(), 0, is_legacy=True)
        history = client.bridge.fee_history(HISTORY, PERCENTILE)
        base = history.next_base
        # Zero is what nodes say of blocks before London, and of chains that ask for nothing.
        if base == 0 and client.newest().base_fee is None:
            raise BadAnswer("no-base-fee", place=client.place, chain=self._name)
        if self._settings.tip is not None:
            return Market(base, wei(self._settings.tip))
        tip = median_tip(history)
        if tip is None and (tip := client.tip()) is None:
            tip = max(0, client.gas_price() - base)
        return Market(base, min(tip, MAX_TIP))

    def _gas(self, estimate: int, fee: int, call: _Call, place: str) -> int:
        """Return how much gas to offer: a fifth more than the node thinks, within our own bounds.

        Chains on top of another one count its fees in gas as well, so more than usual is allowed as
        long as the whole costs no more than the usual gas may cost at the cap.
        """
        gas = max(estimate + -(-estimate // 5), call.least_gas)
        if gas > MAX_GAS or (
            gas > call.usual_gas and gas * fee > call.usual_gas * wei(self._settings.fee_cap)
        ):
            raise BadAnswer(
                "gas-unusual", place=place, estimate=str(estimate), usual=call.usual_gas
            )
        return gas

    # Sending

    @override
    def send(self, transaction: SignedTransaction) -> None:
        """Hand the transaction to every endpoint, so that it is not in one node's pool alone.

        One that takes it is enough.

        Raises InvalidInput if this is no signed transaction, Conflict if its nonce is taken,
        Unaffordable if it offers too little.
        """
        read_offer(transaction.raw)
        if keccak256(transaction.raw) != transaction.hash:
            raise InvalidInput("transaction-hash-differs")
        answers = list(
            self._endpoints.attempts(lambda endpoint: _hand_over(Client(endpoint), transaction))
        )
        refusals = [answer for answer in answers if isinstance(answer, Conflict | Unaffordable)]
        failures = [answer for answer in answers if answer is not None and answer not in refusals]
        if len(refusals) + len(failures) == len(answers):
            raise next(
                (each for each in refusals if isinstance(each, Conflict)),
                refusals[0] if refusals else joined(failures),
            )

    # Collecting

    @override
    def collect(self, root: bytes, transactions: Sequence[SignedTransaction]) -> Anchor | None:
        """Return the anchor with its state proof, checked as a verifier checks it; without one
        where no endpoint has any to give.

        A node that keeps only newer states than the final one is asked for a proof at its newest
        block, which is given out once that is final.
        """
        agreed = self._agreed(self._endpoints, None) if self._settings.agree > 1 else None

        def collected(endpoint: Endpoint) -> _Collected:
            client = Client(endpoint)
            final = agreed if self._settings.agree > 1 else self._final(client)
            return self._collected(client, final, root, transactions)

        failures: list[WitnesstreeError] = []
        bare: _Collected | None = None
        for answer in self._endpoints.attempts(collected):
            if isinstance(answer, WitnesstreeError):
                failures.append(answer)
            elif answer.anchor is None or answer.anchor.state:
                return answer.anchor
            else:
                bare = answer
        if bare is None:
            raise joined(failures)
        # An endpoint that did not answer now, or a block that is not final yet, may still give a
        # proof.
        is_young = self._clock().timestamp() - bare.time < PROOF_PATIENCE.total_seconds()
        return None if is_young and (failures or bare.may_be_proven) else bare.anchor

    def _collected(
        self,
        client: Client,
        final: NodeBlock | None,
        root: bytes,
        transactions: Sequence[SignedTransaction],
    ) -> _Collected:
        record = client.final_record(self._contract, root, final) if final else None
        if final is None or record is None:
            return _Collected(None)
        header = client.header(final, self._max_header)
        proven = self._proven(client, final, header, root) if header else None
        if proven is None and client.code_hash(self._contract, "latest") != CONTRACT_CODE_HASH:
            raise BadAnswer("contract-absent", place=client.place, address=self._contract)
        block = proven.block if proven else final
        ours = (each.hash for each in transactions if self._is_bearer(client, final, root, each))
        anchor = Anchor(
            chain_id=self._settings.chain_id,
            contract=self._contract,
            transaction=next(ours, None),
            block_number=block.number,
            block_hash=block.hash,
            state=proven.state if proven else None,
        )
        return _Collected(anchor, record.time, may_be_proven=proven is None and root in self._kept)

    def _proven(
        self, client: Client, final: NodeBlock, header: bytes, root: bytes
    ) -> _Proven | None:
        """Return a checked state proof at a final block, None where there is none, or none yet."""
        if nodes := client.proof(self._contract, root, final):
            return _Proven(final, self._checked(client, header, root, nodes))
        kept = self._kept.get(root)
        if kept and kept.block.number <= final.number:
            if self._is_canonical(client, kept.block):
                return kept
            del self._kept[root]
        if root not in self._kept:
            self._keep(client, root)
        return None

    def _keep(self, client: Client, root: bytes) -> None:
        """Keep a proof at the newest block, where the node gives one, until that block is
        final.
        """
        newest = client.newest()
        header = client.header(newest, self._max_header)
        nodes = client.proof(self._contract, root, newest)
        if header and nodes:
            self._kept[root] = _Proven(newest, self._checked(client, header, root, nodes))
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]

    def _checked(
        self,
        client: Client,
        header: bytes,
        root: bytes,
        nodes: tuple[tuple[bytes, ...], tuple[bytes, ...]],
    ) -> StateProof:
        state = StateProof(header, *nodes)
        try:
            slot = prove_slot(
                parse_header(header), self._contract, root, state.account, state.storage
            )
        except InvalidInput as error:
            raise BadAnswer("node-state-proof-wrong", place=client.place, error=error) from error
        if slot.code_hash != CONTRACT_CODE_HASH:
            raise BadAnswer("contract-disproven", place=client.place, address=self._contract)
        return state

    def _is_canonical(self, client: Client, block: NodeBlock) -> bool:
        agreed = self._settings.agree > 1
        found = (
            self._elected(self._endpoints, block.number, set(self._endpoints), None)
            if agreed
            else client.block(block.number)
        )
        return found is not None and found.hash == block.hash

    def _is_bearer(
        self, client: Client, final: NodeBlock, root: bytes, transaction: SignedTransaction
    ) -> bool:
        """Return whether this transaction brought the root into a final block."""
        receipt = client.receipt(transaction.hash)
        if (
            receipt is None
            or receipt.block_number > final.number
            or not self._has_anchored(receipt, root, transaction)
        ):
            return False
        block = client.block(receipt.block_number)
        return block is not None and block.hash == receipt.block_hash

    def _has_anchored(self, receipt: Receipt, root: bytes, transaction: SignedTransaction) -> bool:
        wanted = (self._contract, root, transaction.sender)
        return receipt.has_succeeded and any(
            (each.contract, each.root, each.submitter) == wanted for each in receipt.events
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """What a transaction is to do, made for each node that is asked about it; the gas that it is
    given at least, and that it usually takes.
    """

    prepare: Callable[[Bridge], Call]
    least_gas: int
    usual_gas: int


@dataclass(frozen=True, slots=True)
class _Proven:
    """A checked state proof, and the block whose state it opens."""

    block: NodeBlock
    state: StateProof


@dataclass(frozen=True, slots=True)
class _Collected:
    """What one node has of a root: `time` is that of its record, in seconds since 1970."""

    anchor: Anchor | None
    time: int = 0
    may_be_proven: bool = False


def _endpoints(settings: ChainSettings, timeout: float) -> Endpoints:
    return Endpoints(
        [Endpoint(url, timeout=timeout, chain_id=settings.chain_id) for url in settings.urls]
    )


def _signed(signer: Signer, members: dict[str, Any]) -> SignedTransaction:
    raw = signer.sign(members)
    return SignedTransaction(raw, keccak256(raw), signer.address, members["nonce"])


# Nodes' own words, in small letters and without anything between the letters: geth, anvil, reth,
# Erigon, Nethermind, Besu differ in them.
_TAKEN: Final = ("alreadyknown", "knowntransaction", "alreadyimported", "alreadyexist")
_CONFLICTING: Final = ("noncetoolow", "oldnonce", "replacement", "nonceistoolow")
_TOO_LITTLE: Final = (
    "insufficientfunds",
    "underpriced",
    "feetoolow",
    "blockbasefee",
    "gaspricetoolow",
    "exceedstheconfiguredcap",
)
_LATER: Final = ("full", "noncetoohigh", "noncegap", "futuretransaction", "limit")


def _hand_over(client: Client, transaction: SignedTransaction) -> WitnesstreeError | None:
    """Send to one node; return Conflict or Unaffordable where it refuses for that, None where it
    has the transaction.
    """
    try:
        hash_ = client.send(transaction.raw)
    except Refusal as error:
        if client.knows(transaction.hash):
            return None
        return _meaning(error, transaction)
    if hash_ != transaction.hash:
        raise BadAnswer(
            "transaction-taken-as-another",
            place=client.place,
            transaction=transaction.hash,
            found=hash_,
        )
    return None


def _meaning(refusal: Refusal, transaction: SignedTransaction) -> WitnesstreeError | None:
    words = "".join(each for each in refusal.text.lower() if each.isalpha())
    about: dict[str, Value] = {
        "transaction": transaction.hash,
        "nonce": transaction.nonce,
        "error": refusal,
    }
    if any(each in words for each in _TAKEN):
        return None
    if any(each in words for each in _CONFLICTING):
        return Conflict("nonce-taken", **about)
    if any(each in words for each in _TOO_LITTLE):
        return Unaffordable("offers-too-little", **about)
    if any(each in words for each in _LATER):
        raise Unreachable("transaction-must-wait", **about) from refusal
    raise refusal
