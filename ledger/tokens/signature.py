"""Which digests and signatures count, asked of providers: cryptography's own, and what is added.

To accept another algorithm (GOST, say) is to register a provider that knows it. No judge
changes: tokens, certificates, CRLs, OCSP answers and evidence records ask here and nowhere else.
What no provider knows is UNKNOWN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asn1crypto import algos

from witnesstree.ledger.tokens.builtin import BuiltIn
from witnesstree.ledger.tokens.sm2 import Sm2


class Hash(Protocol):
    """A digest on its way, as hashlib has it."""

    @property
    def digest_size(self) -> int:
        """Bytes in the digest."""
        ...

    def update(self, content: bytes, /) -> None:
        """Go on with `content`."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all that was given so far."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """How something says that it was signed.

    `algorithm` is a name such as "sha256_rsa" where one is known, else a dotted OID; `hash` is the
    hash that this name implies. `pss` is (hash, mask hash, salt length in bytes), None where
    its parameters are absent or of no form that RFC 4055 knows: then no provider accepts it.
    """

    algorithm: str
    hash: str | None
    pss: tuple[str, str, int] | None


# What asn1crypto knows no names for: in NIST's registry of algorithms, and in GM/T 0006. Of the
# latter, the identifier of the curve is written for the method, too.
_NAMES = {
    f"2.16.840.1.101.3.4.3.{number}": f"sha3_{bits}_rsa"
    for number, bits in ((13, 224), (14, 256), (15, 384), (16, 512))
} | {
    "1.2.156.10197.1.301": "sm2",
    "1.2.156.10197.1.301.1": "sm2",
    "1.2.156.10197.1.401": "sm3",
    "1.2.156.10197.1.501": "sm3_sm2",
}
_IDS = {name: identifier for identifier, name in _NAMES.items()}


def read_hash(identifier: Any) -> str:
    """Return the hash that asn1crypto's DigestAlgorithm names: a name such as "sha256" where one is
    known, else a dotted OID.

    Only to be used inside `der.reading`.
    """
    algorithm: str = identifier["algorithm"].native
    return _NAMES.get(algorithm, algorithm)


def hash_id(name: str) -> str:
    """Return how asn1crypto's DigestAlgorithmId takes the hash `name`. Matches `read_hash`."""
    return _IDS.get(name, name)


def read_method(identifier: Any) -> Method:
    """Return the method that asn1crypto's SignedDigestAlgorithm names.

    Absent and NULL parameters are alike (RFC 5754, 2; RFC 4055, 5).

    Only to be used inside `der.reading`.
    """
    algorithm = identifier["algorithm"].native
    algorithm = _NAMES.get(algorithm, algorithm)
    return Method(
        algorithm,
        _implied_hash(algorithm),
        read_pss(identifier["parameters"]) if algorithm == "rsassa_pss" else None,
    )


def _implied_hash(algorithm: str) -> str | None:
    prefix, _, rest = algorithm.rpartition("_")
    is_named = rest in {"rsa", "ecdsa", "sm2"} and prefix.startswith(("sha", "sm3"))
    return prefix if is_named else None


def read_pss(parameters: Any) -> tuple[str, str, int] | None:
    """Return hash, mask hash and salt length of RSASSA-PSS-params (RFC 4055, 3.1), None if these
    are none, or have another mask or trailer than MGF1 and 1.

    Only to be used inside `der.reading`.
    """
    if not isinstance(parameters, algos.RSASSAPSSParams):
        return None
    mask = parameters["mask_gen_algorithm"]
    if (
        mask["algorithm"].native != "mgf1"
        or parameters["trailer_field"].native != "trailer_field_bc"
    ):
        return None
    hash_algorithm, mask_hash = (
        parameters["hash_algorithm"]["algorithm"].native,
        mask["parameters"]["algorithm"].native,
    )
    return hash_algorithm, mask_hash, parameters["salt_length"].native


class Provider(Protocol):
    """Some digests, keys and signatures. Algorithms are named as asn1crypto does ("sha256"), or by
    their dotted OID where it knows no name.

    A provider MUST answer None for whatever it does not know or accept: another one is asked then,
    and UNKNOWN comes of it if none knows. It MUST NOT raise for any bytes, keeps nothing, and may
    be asked by several threads at once.
    """

    @property
    def hashes(self) -> Mapping[str, Callable[[], Hash]]:
        """The digests that it computes and that are safe: what is digested with another one is
        never accepted.
        """
        ...

    def read_key(self, key_info: bytes) -> Any | None:
        """Return the public key in a SubjectPublicKeyInfo (DER; RFC 5280, 4.1) that cryptography
        does not read.
        """
        ...

    def is_signed(
        self, content: bytes, signature: bytes, method: Method, key: Any, digest: str | None
    ) -> bool | None:
        """Tell whether `key` made `signature` over `content` by `method`.

        `digest` is the hash that counts where the method implies none. `key` may be one that
        another provider has read.
        """
        ...

    def lacks(self, method: Method) -> str | None:
        """Return what is to be installed, such as "witnesstree[sm2]", before this provider knows
        `method`; None where nothing is missing.
        """
        ...


class _Hashes(Mapping[str, Callable[[], Hash]]):
    """The digests of all providers."""

    def __getitem__(self, name: str) -> Callable[[], Hash]:
        for provider in _providers:
            if name in provider.hashes:
                return provider.hashes[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for each in _providers for name in each.hashes))

    def __len__(self) -> int:
        return sum(1 for _ in self)


_providers: list[Provider] = [BuiltIn(), Sm2()]
HASHES: Mapping[str, Callable[[], Hash]] = _Hashes()
"""The digests that are accepted, by name."""


def register(provider: Provider) -> None:
    """Ask `provider`, too, after those before it. Only before anything was read: certificates are
    remembered (x509.py).
    """
    _providers.append(provider)


def digest_of(algorithm: str, content: bytes) -> bytes:
    """Return the digest of `content` under one of HASHES."""
    hashed = HASHES[algorithm]()
    hashed.update(content)
    return hashed.digest()


def name_by_digest(algorithm: str, content: bytes) -> bytes | None:
    """Return the digest that merely names `content`, which something else has to confirm; None for
    an unknown algorithm.

    So SHA-1 is known here, too: RFC 5035, 4 names a signer's certificate by it, and RFC 5019, 2.1.1
    demands it of those who ask about one.
    """
    if algorithm == "sha1":
        return hashlib.sha1(content, usedforsecurity=False).digest()
    return digest_of(algorithm, content) if algorithm in HASHES else None


def read_key(key_info: bytes) -> Any | None:
    """Return the public key in a SubjectPublicKeyInfo (DER), None if no provider reads it."""
    keys = (provider.read_key(key_info) for provider in _providers)
    return next((key for key in keys if key is not None), None)


def is_signed(
    content: bytes, signature: bytes, method: Method, key: Any, digest: str | None = None
) -> bool | None:
    """Tell whether `key` made `signature` over `content` by `method`; None if key and method do not
    belong together or are not accepted.

    `digest` is the hash that counts where the method implies none: in CMS it may be beside the
    method (RFC 5652, 5.3).
    """
    for provider in _providers:
        answer = provider.is_signed(content, signature, method, key, digest)
        if answer is not None:
            return answer
    return None


def lacking(method: Method) -> str | None:
    """Return what is to be installed before signatures by `method` can be judged; None where that
    would not help.
    """
    lacks = (provider.lacks(method) for provider in _providers)
    return next((package for package in lacks if package), None)
