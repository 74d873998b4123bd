"""The provider of China's algorithms: SM2 signatures with SM3 (GB/T 32918, GB/T 32905), in the
forms of GM/T 0009 and RFC 8998.

The arithmetic on the curve is python-ecdsa's, the extra `witnesstree[sm2]`; SM3 is cryptography's.
Only signatures are verified, so nothing here is secret. docs/decisions/0031-sm2.md says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from witnesstree.ledger.tokens.signature import Hash, Method

EXTRA = "witnesstree[sm2]"
"""What is to be installed where signatures are to be judged."""
METHODS = frozenset({"sm2", "sm3_sm2"})
"""How a signature may say that it is one: "sm2" names no hash."""

# The curve of GB/T 32918.5: a field of `_P`, points of order `_N`, cofactor 1.
_P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
_A = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFC
_B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
_N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
_X = 0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7
_Y = 0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0
# Whom a signature is by, where nothing else is agreed (GM/T 0009, 10): certificates, CRLs, OCSP
# answers and CMS have no place for it.
_SIGNER = b"1234567812345678"
# A SubjectPublicKeyInfo (RFC 5480, 2) up to the point: id-ecPublicKey on the curve
# 1.2.156.10197.1.301, and a point that is not compressed.
_KEY_INFO = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


class Sm3:
    """SM3, 32 bytes (GB/T 32905), as hashlib would have it if every build of it did."""

    digest_size = 32

    def __init__(self) -> None:
        self._hashed = hashes.Hash(hashes.SM3())

    def update(self, content: bytes, /) -> None:
        """Go on with `content`."""
        self._hashed.update(content)

    def digest(self) -> bytes:
        """Return the digest of all that was given so far."""
        return self._hashed.copy().finalize()


@dataclass(frozen=True, slots=True)
class Sm2Key:
    """A public key: a point on the curve."""

    x: int
    y: int


class Sm2:
    """A Provider (signature.py) of SM2 and SM3. Without the extra it judges no signature."""

    @property
    def hashes(self) -> Mapping[str, Callable[[], Hash]]:
        """SM3, unless cryptography was built without it."""
        return _hashes()

    def read_key(self, key_info: bytes) -> Sm2Key | None:
        """Return the key in a SubjectPublicKeyInfo, None if it is no point of the curve."""
        point = key_info.removeprefix(_KEY_INFO)
        if len(point) != 64 or len(point) == len(key_info):
            return None
        x, y = int.from_bytes(point[:32]), int.from_bytes(point[32:])
        is_on_curve = max(x, y) < _P and (y * y - x * x * x - _A * x - _B) % _P == 0
        return Sm2Key(x, y) if is_on_curve else None

    def is_signed(
        self, content: bytes, signature: bytes, method: Method, key: Any, digest: str | None
    ) -> bool | None:
        """Tell whether `key` made `signature`, as a Provider does (GB/T 32918.2, 7.1)."""
        is_known = method.algorithm in METHODS and (method.hash or digest) == "sm3"
        generator = _generator() if is_known and "sm3" in self.hashes else None
        if generator is None or not isinstance(key, Sm2Key):
            return None
        try:
            r, s = decode_dss_signature(signature)
        except ValueError:
            return False
        t = (r + s) % _N
        if not (0 < r < _N and 0 < s < _N and t):
            return False
        of_key = type(generator)(generator.curve(), key.x, key.y, 1, _N)
        x = generator.mul_add(s, of_key, t).x()
        # None is the point at infinity.
        return x is not None and (_digest_for(key, content) + x) % _N == r

    def lacks(self, method: Method) -> str | None:
        """Return the extra if it is missing, and `method` needs it."""
        is_missing = method.algorithm in METHODS and find_spec("ecdsa") is None
        return EXTRA if is_missing else None


@lru_cache(1)
def _hashes() -> Mapping[str, Callable[[], Hash]]:
    try:
        Sm3()
    except UnsupportedAlgorithm:
        return MappingProxyType({})
    return MappingProxyType({"sm3": Sm3})


@lru_cache(1)
def _generator() -> Any | None:
    """Return the base point, None without the extra."""
    try:
        from ecdsa.ellipticcurve import CurveFp, PointJacobi
    except ImportError:
        return None
    return PointJacobi(CurveFp(_P, _A, _B, 1), _X, _Y, 1, _N)


def _digest_for(key: Sm2Key, content: bytes) -> int:
    """Return the number that is signed: SM3 of the signer, by name and key, and `content` (GB/T
    32918.2, 5.5 and 6.1).
    """
    signer = Sm3()
    signer.update((8 * len(_SIGNER)).to_bytes(2) + _SIGNER)
    for number in (_A, _B, _X, _Y, key.x, key.y):
        signer.update(number.to_bytes(32))
    signed = Sm3()
    signed.update(signer.digest() + content)
    return int.from_bytes(signed.digest())
