"""Which signatures count: RSA (PKCS #1 v1.5, PSS), ECDSA on P-256, P-384 and P-521, and Ed25519,
with SHA-256, SHA-384 or SHA-512.

No other module checks signatures of tokens, CRLs and OCSP answers. Those between certificates are
cryptography's (certificate.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asn1crypto import algos
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from witnesstree.ledger.base.errors import InvalidInput

HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
# Bytes; a salt is as long as the hash, and no RSA key has room for more than this.
MAX_SALT = 512
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True, slots=True)
class Method:
    """How something says that it was signed.

    `algorithm` is a name such as "sha256_rsa" where asn1crypto knows one, and a dotted OID where it
    does not; `hash` is the hash that this name implies. `pss` is (hash, mask hash, salt length in
    bytes).
    """

    algorithm: str
    hash: str | None
    pss: tuple[str, str, int] | None


def read_method(identifier: Any) -> Method:
    """Return the method that asn1crypto's SignedDigestAlgorithm names.

    Absent and NULL parameters are alike (RFC 5754, 2; RFC 4055, 5).

    Only to be used inside `der.reading`. Raises InvalidInput.
    """
    algorithm = identifier["algorithm"].native
    return Method(
        algorithm,
        _implied_hash(algorithm),
        _read_pss(identifier["parameters"]) if algorithm == "rsassa_pss" else None,
    )


def _implied_hash(algorithm: str) -> str | None:
    prefix, _, rest = algorithm.partition("_")
    return prefix if rest in {"rsa", "ecdsa"} and prefix.startswith("sha") else None


def _read_pss(parameters: Any) -> tuple[str, str, int]:
    if not isinstance(parameters, algos.RSASSAPSSParams):
        raise InvalidInput("pss-parameters-missing")
    mask = parameters["mask_gen_algorithm"]
    if (
        mask["algorithm"].native != "mgf1"
        or parameters["trailer_field"].native != "trailer_field_bc"
    ):
        raise InvalidInput("pss-parameters-wrong")
    hash_algorithm, mask_hash = (
        parameters["hash_algorithm"]["algorithm"].native,
        mask["parameters"]["algorithm"].native,
    )
    return hash_algorithm, mask_hash, parameters["salt_length"].native


def is_signed(
    content: bytes, signature: bytes, method: Method, key: Any, digest: str | None = None
) -> bool | None:
    """Tell whether `key` made `signature` over `content` by `method`; None if key and method do not
    belong together or are not accepted.

    `digest` is the hash that counts where the method implies none: in CMS it may stand beside the
    method (RFC 5652, 5.3).
    """
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
    if name not in HASHES:
        return None
    if isinstance(key, rsa.RSAPublicKey) and method.algorithm in {"rsassa_pkcs1v15", f"{name}_rsa"}:
        return padding.PKCS1v15(), HASHES[name]()
    if (
        isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, _CURVES)
        and method.algorithm == f"{name}_ecdsa"
    ):
        return (ec.ECDSA(HASHES[name]()),)
    return None


def _pss_scheme(hash_name: str, mask_name: str, salt_length: int) -> tuple[Any, ...] | None:
    if hash_name not in HASHES or mask_name not in HASHES or not 0 <= salt_length <= MAX_SALT:
        return None
    return (
        padding.PSS(mgf=padding.MGF1(HASHES[mask_name]()), salt_length=salt_length),
        HASHES[hash_name](),
    )
