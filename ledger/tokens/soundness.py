"""Until when methods count as sound: one table for everything that is signed or digested.

The years are those of NIST SP 800-131A Rev. 2 (2019), tables 2 and 8, for what has ended, and of
SP 800-57 Part 1 Rev. 5 (2020), table 4, for 112 bits of security. SOG-IS Agreed Cryptographic
Mechanisms 1.3 (2023) names the mechanisms beside them: brainpool curves, SHA-3. Neither gives an
end for 128 bits and more, so those methods are not here, nor are SM2 and SM3 of 128 bits (GB/T
32918, GB/T 32905; ISO/IEC 14888-3, 10118-3). docs/proof-format.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from witnesstree.ledger.tokens.sm2 import Sm2Key

if TYPE_CHECKING:
    from witnesstree.ledger.tokens.signature import Method

NEVER = datetime.min.replace(tzinfo=UTC)
"""The end of what was never sound while there were timestamp tokens."""
_SINCE_2014 = datetime(2014, 1, 1, tzinfo=UTC)
_FROM_2031 = datetime(2031, 1, 1, tzinfo=UTC)

ENDS: Mapping[str, datetime] = MappingProxyType(
    {
        "rsa below 1024 bits": NEVER,
        "rsa below 2048 bits": _SINCE_2014,
        "rsa below 3072 bits": _FROM_2031,
        "ec below 256 bits": _FROM_2031,
        "sha224": _FROM_2031,
        "sha3_224": _FROM_2031,
    }
)
"""When methods stop being sound, by name. A caller who knows better adds others, such as
"sha256", "sm3" and "sm2" (its keys)."""

_KEYS = (
    (rsa.RSAPublicKey, "rsa", (1024, 2048, 3072)),
    (ec.EllipticCurvePublicKey, "ec", (256,)),
)


def methods_of_key(key: Any) -> tuple[str, ...]:
    """Return under which names of ENDS a public key falls, the weakest first; none for a kind that
    has no end.
    """
    if isinstance(key, Sm2Key):
        return ("sm2",)
    return tuple(
        f"{name} below {bits} bits"
        for kind, name, sizes in _KEYS
        if isinstance(key, kind)
        for bits in sizes
        if key.key_size < bits
    )


def hashes_of(method: Method, digest: str | None = None) -> tuple[str, ...]:
    """Return the hashes that a signature by `method` rests on; `digest` counts where it implies
    none.
    """
    if method.pss:
        return method.pss[:2]
    named = method.hash or digest
    return (named,) if named else ()


def ended(
    methods: Iterable[str], time: datetime, ends: Mapping[str, datetime] = ENDS
) -> tuple[str, datetime] | None:
    """Return which of `methods` was no longer sound at `time` and since when, the earliest; None if
    all were.
    """
    found = [(ends[method], method) for method in methods if method in ends]
    end, method = min(found, default=(None, ""))
    return (method, end) if end is not None and end <= time else None
