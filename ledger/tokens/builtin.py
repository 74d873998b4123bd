"""The provider of algorithms that is always there: RSA (PKCS #1 v1.5, PSS), ECDSA on P-256, P-384
and P-521, and Ed25519, with SHA-256, SHA-384 or SHA-512, by hashlib and cryptography.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.ledger.tokens.signature import Method

# Bytes; a salt is as long as the hash, and no RSA key has room for more than this.
MAX_SALT = 512
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class BuiltIn:
    """A Provider (signature.py) of what hashlib and cryptography have."""

    hashes = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}  # noqa: RUF012

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


def _scheme(method: Method, key: Any, digest: str | None) -> tuple[Any, ...] | None:
    """Return what `key.verify` takes after signature and content."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return () if method.algorithm == "ed25519" else None
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
