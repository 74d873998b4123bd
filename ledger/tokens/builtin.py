"""The provider of algorithms that is always there, by hashlib and cryptography: RSA (PKCS #1 v1.5,
PSS) and ECDSA on the curves of NIST, brainpool and secp256k1, with SHA-2 or SHA-3; Ed25519, Ed448.

Until when each counts is soundness.py's.
"""

from __future__ import annotations

import hashlib
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from witnesstree.ledger.tokens.signature import Hash, Method

# Bytes; a salt is as long as the hash, and no RSA key has room for more than this.
MAX_SALT = 512
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "sha3_224": hashes.SHA3_224,
    "sha3_256": hashes.SHA3_256,
    "sha3_384": hashes.SHA3_384,
    "sha3_512": hashes.SHA3_512,
}
_CURVES = (
    ec.SECP224R1,
    ec.SECP256R1,
    ec.SECP384R1,
    ec.SECP521R1,
    ec.SECP256K1,
    ec.BrainpoolP256R1,
    ec.BrainpoolP384R1,
    ec.BrainpoolP512R1,
)
_EDWARDS = {"ed25519": ed25519.Ed25519PublicKey, "ed448": ed448.Ed448PublicKey}


class _Shake256:
    """SHAKE256 with the 64 bytes of output that CMS demands (RFC 8702, 3.1), which Ed448 goes with
    (RFC 8419, 3.1).
    """

    digest_size = 64

    def __init__(self) -> None:
        self._hashed = hashlib.shake_256()

    def update(self, content: bytes, /) -> None:
        self._hashed.update(content)

    def digest(self) -> bytes:
        return self._hashed.digest(self.digest_size)


class BuiltIn:
    """A Provider (signature.py) of what hashlib and cryptography have."""

    hashes: Mapping[str, Callable[[], Hash]] = MappingProxyType(
        {name: partial(hashlib.new, name) for name in _HASHES} | {"shake256": _Shake256}
    )

    def read_key(self, key_info: bytes) -> None:
        """Return None: x509.py has asked cryptography already."""

    def is_signed(
        self, content: bytes, signature: bytes, method: Method, key: Any, digest: str | None
    ) -> bool | None:
        """Tell whether `key` made `signature`, as a Provider does."""
        scheme = _scheme(method, key, digest)
        if scheme is None:
            return None
        try:
            key.verify(signature, content, *scheme)
        except UnsupportedAlgorithm:
            return None
        except (InvalidSignature, ValueError):
            return False
        return True

    def lacks(self, method: Method) -> None:
        """Return None: what it needs is always installed."""


def _scheme(method: Method, key: Any, digest: str | None) -> tuple[Any, ...] | None:
    """Return what `key.verify` takes after signature and content."""
    if isinstance(key, tuple(_EDWARDS.values())):
        return () if isinstance(key, _EDWARDS.get(method.algorithm, ())) else None
    name = method.hash or digest
    if isinstance(key, rsa.RSAPublicKey) and method.pss:
        return _pss_scheme(*method.pss)
    if name not in _HASHES:
        return None
    if isinstance(key, rsa.RSAPublicKey) and method.algorithm in {"rsassa_pkcs1v15", f"{name}_rsa"}:
        return padding.PKCS1v15(), _HASHES[name]()
    if (
        isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, _CURVES)
        and method.algorithm == f"{name}_ecdsa"
    ):
        return (ec.ECDSA(_HASHES[name]()),)
    return None


def _pss_scheme(hash_name: str, mask_name: str, salt_length: int) -> tuple[Any, ...] | None:
    if hash_name not in _HASHES or mask_name not in _HASHES or not 0 <= salt_length <= MAX_SALT:
        return None
    return (
        padding.PSS(mgf=padding.MGF1(_HASHES[mask_name]()), salt_length=salt_length),
        _HASHES[hash_name](),
    )
