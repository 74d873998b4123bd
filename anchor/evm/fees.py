"""What a transaction offers for its gas: computed from what a node says, never more than the cap.
Pure functions on wei for one gas.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import rlp

from witnesstree.ledger.base.errors import InvalidInput, Unaffordable

if TYPE_CHECKING:
    from witnesstree.anchor.evm.bridge import FeeHistory

GWEI: Final = 10**9

MAX_TIP: Final = 50 * GWEI
"""A tip that no chain asks for: Polygon, the dearest of those known here, asks for 25 to 30 gwei.
What a node suggests beyond it is cut."""
LEAST_TIP: Final = 10**6
"""What geth's miners ask for unless they are told otherwise (0.001 gwei).

A smaller tip would wait for ever.
"""

LEGACY: Final = 0
EIP1559: Final = 2
"""Types of transactions (EIP-2718)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a transaction pays for one gas: at most `most`, of which `tip` goes to the maker of the
    block. A legacy one pays all of its price.
    """

    most: int
    tip: int
    is_legacy: bool = False

    def members(self) -> dict[str, int]:
        """Return the fee members of a transaction.

        A legacy transaction has no `type`: libraries know it by that.
        """
        if self.is_legacy:
            return {"gasPrice": self.most}
        return {"type": EIP1559, "maxFeePerGas": self.most, "maxPriorityFeePerGas": self.tip}


@dataclass(frozen=True, slots=True)
class Market:
    """What the chain asks now for one gas: `base` is burnt, `tip` is for the block's maker.

    A legacy chain's price is all `base`.
    """

    base: int
    tip: int
    is_legacy: bool = False


HISTORY: Final = 20
"""Blocks whose fees are looked at: five minutes of Ethereum."""
PERCENTILE: Final = 50.0
"""Of a block's gas, half paid less."""


def median_tip(history: FeeHistory) -> int | None:
    """Return what the blocks with transactions in `history` took as a tip, None where none had any:
    on a quiet chain the history says nothing.
    """
    paid = sorted(tip for tip in history.tips if tip)
    return paid[len(paid) // 2] if paid else None


def wei(gwei: float) -> int:
    """Return gwei in wei, as they are written in decimal."""
    return int(Decimal(str(gwei)) * GWEI)


def offer(market: Market, cap: int) -> Offer:
    """Return an offer that stays good while the base fee doubles, as far as `cap` allows.

    Raises Unaffordable if the chain asks for more.
    """
    least = market.base + min(market.tip, LEAST_TIP)
    if least > cap:
        raise Unaffordable("market-above-cap", asked=_gwei(least), cap=_gwei(cap))
    if market.is_legacy:
        return Offer(market.base, market.base, is_legacy=True)
    return Offer(min(2 * market.base + market.tip, cap), min(market.tip, cap - market.base))


def replacement(replaced: Offer, market: Market, cap: int) -> Offer | None:
    """Return an offer that nodes accept in place of `replaced`, or None where that one pays what
    the chain asks now.

    Raises Unaffordable if the chain, or the least that counts as a replacement, asks for more than
    `cap`.
    """
    wanted = offer(market, cap)
    asked = wanted.most if market.is_legacy else market.base + wanted.tip
    if replaced.most >= asked and replaced.tip >= wanted.tip:
        return None
    most, tip = max(wanted.most, bumped(replaced.most)), max(wanted.tip, bumped(replaced.tip))
    if (least := max(bumped(replaced.most), bumped(replaced.tip))) > cap:
        raise Unaffordable("replacement-above-cap", asked=_gwei(least), cap=_gwei(cap))
    return Offer(max(most, tip), tip, market.is_legacy)


def bumped(fee: int) -> int:
    """Return the least fee that replaces `fee`: an eighth more, rounded up. geth asks for a tenth
    more, some chains' nodes for an eighth.
    """
    return max(fee + 1, fee + -(-fee // 8))


def read_offer(raw: bytes) -> Offer:
    """Return what a signed transaction offers.

    Raises InvalidInput if it is neither a legacy one nor one of EIP-1559.
    """
    try:
        fields: Any = rlp.decode(raw[1:] if raw[:1] == bytes([EIP1559]) else raw)
        if raw[:1] == bytes([EIP1559]) and len(fields) == 12:
            return Offer(_number(fields[3]), _number(fields[2]))
        if raw[:1] >= b"\xc0" and len(fields) == 9:
            return Offer(_number(fields[1]), _number(fields[1]), is_legacy=True)
    except rlp.exceptions.RLPException as error:
        raise InvalidInput("transaction-not-rlp") from error
    raise InvalidInput("transaction-of-no-known-type")


def _number(field: Any) -> int:
    if not isinstance(field, bytes) or len(field) > 32 or field[:1] == b"\0":
        raise InvalidInput("transaction-fee-not-a-number")
    return int.from_bytes(field)


def _gwei(fee: int) -> str:
    return f"{Decimal(fee) / GWEI:f}"
