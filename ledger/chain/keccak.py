"""Keccak-256, as Ethereum uses it: the sponge of FIPS 202 with the padding of its authors' own
submission, 0x01 where SHA3-256 has 0x06.

In Python, because a verifier hashes some kilobytes: the libraries that have it take longer to load
(0.02 s) than that takes, and as much room on the disk as all else beside cryptography. The tests
compare it with one of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

RATE: Final = 136
"""Bytes of a block: 200 of the state, less twice the 32 of the digest (FIPS 202, 4 and 6.1)."""

_LANES: Final = 25
_LANE: Final = 8
_MASK: Final = 2**64 - 1


def _round_constants() -> tuple[int, ...]:
    """Return iota's constants, from the register of FIPS 202, algorithm 5."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << (1 << j) - 1
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _moves() -> tuple[tuple[int, int, int], ...]:
    """Return for each lane, after rho and pi: which one it was, its column, by how many bits it
    turns (FIPS 202, algorithms 2 and 3). Lane (x, y) is at x + 5y.
    """
    moves = [(0, 0, 0)] * _LANES
    x, y = 1, 0
    for t in range(24):
        moves[y + 5 * ((2 * x + 3 * y) % 5)] = (x + 5 * y, x, (t + 1) * (t + 2) // 2 % 64)
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(moves)


_CONSTANTS: Final = _round_constants()
_MOVES: Final = _moves()
_CHI: Final = tuple(
    (at, at - at % 5 + (at + 1) % 5, at - at % 5 + (at + 2) % 5) for at in range(_LANES)
)


# A ledger asks for the same few headers, and what leads from them, with every submission.
@lru_cache(maxsize=256)
def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of `data`: not the SHA3-256 of FIPS 202."""
    padded = bytearray(data) + b"\x01"
    padded += bytes(-len(padded) % RATE)
    padded[-1] |= 0x80
    state = [0] * _LANES
    for start in range(0, len(padded), RATE):
        for lane in range(RATE // _LANE):
            at = start + lane * _LANE
            state[lane] ^= int.from_bytes(padded[at : at + _LANE], "little")
        state = _permuted(state)
    return b"".join(lane.to_bytes(_LANE, "little") for lane in state[:4])


def _permuted(a: list[int]) -> list[int]:
    """Return Keccak-f[1600] of 25 lanes (FIPS 202, 3.2 and 3.3): a fifth of a millisecond."""
    for constant in _CONSTANTS:
        # Theta.
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ ((c[x - 4] << 1 | c[x - 4] >> 63) & _MASK) for x in range(5)]
        # Rho and pi.
        b = []
        for source, column, turn in _MOVES:
            lane = a[source] ^ d[column]
            b.append((lane << turn | lane >> 64 - turn) & _MASK)
        # Chi, and iota.
        a = [b[i] ^ (~b[j] & b[k]) for i, j, k in _CHI]
        a[0] ^= constant
    return a
