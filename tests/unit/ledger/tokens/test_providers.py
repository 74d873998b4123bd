"""Another provider of algorithms: its tokens are judged, and no judge knows of it."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from asn1crypto import tsp
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from make_token import Forge, Issued, attribute, named_v2, root, stamped, stamper, trust

from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens import signature
from witnesstree.ledger.tokens.builtin import BuiltIn
from witnesstree.ledger.tokens.signature import HASHES, Method, digest_of, register
from witnesstree.ledger.tokens.sm2 import Sm2
from witnesstree.ledger.tokens.token import judge_token
from witnesstree.ledger.tokens.x509 import read_certificate
from witnesstree.ledger.trust import Trust

HASH, METHOD = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"
P256, UNKNOWN_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f")
"""Object identifiers in DER: a curve, and one of the same length that nobody has."""
IMPRINT = b"i" * 32


class Backwards:
    """SHA-256 with its bytes in the other order."""

    digest_size = 32

    def __init__(self) -> None:
        self._hashed = hashlib.sha256()

    def update(self, content: bytes, /) -> None:
        self._hashed.update(content)

    def digest(self) -> bytes:
        return self._hashed.digest()[::-1]


def made_up_signature(key: Any, content: bytes) -> bytes:
    """Return what anyone can make: it is a signature by its form alone."""
    hashed = Backwards()
    hashed.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) + content)
    return hashed.digest()


class MadeUp:
    hashes = {HASH: Backwards}  # noqa: RUF012

    def __init__(self, keys: dict[bytes, Any] | None = None) -> None:
        self._keys = keys or {}

    def read_key(self, key_info: bytes) -> Any | None:
        return self._keys.get(key_info)

    def is_signed(
        self, content: bytes, signature: bytes, method: Method, key: Any, digest: str | None
    ) -> bool | None:
        if method.algorithm != METHOD or digest != HASH:
            return None
        return made_up_signature(key, content) == signature

    def lacks(self, method: Method) -> None:
        return None


@pytest.fixture(autouse=True)
def providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(signature, "_providers", list(signature._providers))
    read_certificate.cache_clear()
    yield
    read_certificate.cache_clear()


def token(signer: Issued, **changes: Any) -> bytes:
    imprint = {"hash_algorithm": {"algorithm": HASH}, "hashed_message": IMPRINT}
    content = tsp.TSTInfo(stamped(message_imprint=imprint)).dump()
    hashed = Backwards()
    hashed.update(content)
    forge = Forge(
        signer=signer,
        content=content,
        digest=HASH,
        algorithm={"algorithm": METHOD},
        sign=lambda private, signed: made_up_signature(private.public_key(), signed),
        attributes=[
            attribute("content_type", "tst_info"),
            attribute("message_digest", hashed.digest()),
            named_v2(signer),
        ],
    )
    for name, value in changes.items():
        setattr(forge, name, value)
    return forge.make()


def outcomes(der: bytes) -> dict[str, str]:
    trusted = Trust(roots=tuple(trust(root())))
    judged = judge_token(Stamp(der), IMPRINT, trusted, HASH)
    return {check.name.removeprefix("token."): check.outcome.value for check in judged.checks}


def test_a_token_by_a_made_up_algorithm_is_judged_once_it_is_registered() -> None:
    der = token(stamper())
    assert outcomes(der)["signature"] == Outcome.UNKNOWN.value
    register(MadeUp())
    assert outcomes(der) == {
        "form": "passed",
        "imprint": "passed",
        "signer": "passed",
        "signature": "passed",
        "chain": "passed",
        "revocation": "unknown",
    }
    forged = token(stamper(), sign=lambda private, signed: bytes(32))
    assert outcomes(forged)["signature"] == Outcome.FAILED.value


def test_what_no_provider_knows_stays_unknown() -> None:
    register(MadeUp())
    der = token(stamper(), algorithm={"algorithm": "1.3.6.1.4.1.99999.3"})
    assert outcomes(der)["signature"] == Outcome.UNKNOWN.value


def test_a_key_that_cryptography_does_not_read_is_the_providers() -> None:
    """The chain above such a certificate is beyond this verifier, and no more than unknown."""
    signer = stamper("p256")
    der = signer.der.replace(P256, UNKNOWN_CURVE)
    assert der != signer.der
    unread = read_certificate(der)
    assert unread
    assert unread.key is None
    strange = type("Strange", (), {"der": der, "key": signer.key, "fields": signer.fields})()
    strange.certificate = signer.certificate
    made = token(strange, certificates=[der])
    info = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    register(MadeUp({info.replace(P256, UNKNOWN_CURVE): signer.key.public_key()}))
    read_certificate.cache_clear()
    found = outcomes(made)
    assert (found["signer"], found["signature"], found["chain"]) == ("passed", "passed", "unknown")


def test_the_digests_of_all_providers_are_one_table() -> None:
    register(MadeUp())
    assert list(HASHES)[-1] == HASH
    assert len(HASHES) == len(BuiltIn.hashes) + len(Sm2().hashes) + 1 == 11
    assert digest_of(HASH, b"x") == hashlib.sha256(b"x").digest()[::-1]
    with pytest.raises(KeyError):
        HASHES["md5"]
