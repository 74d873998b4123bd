"""ledger/tokens/soundness.py, and what it makes of tokens, chains and CRLs: until when a method
counts, by a date in one table."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import keys, tsp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from make_revocation import SIGNS_ALL, make_crl
from make_token import (
    IMPRINT_BYTES,
    PSS,
    STAMPS,
    Forge,
    Issued,
    issue,
    key,
    remade,
    sign_ec,
    sign_pkcs1,
    sign_pss,
    stamped,
    trust,
    with_pss_key,
)

from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.base.report import Check, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.revocation import RevocationSource, check_crl
from witnesstree.ledger.tokens.soundness import ENDS, NEVER, ended
from witnesstree.ledger.tokens.token import judge_token
from witnesstree.ledger.trust import Trust

PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
YEAR = timedelta(days=365)
ECDSA = {"algorithm": "sha256_ecdsa"}
DOCUMENT = Path(__file__).parents[4] / "docs"


def at(year: int, **shift: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC) + timedelta(**shift)


def life(time: datetime) -> dict[str, Any]:
    return {"start": time - YEAR, "end": time + YEAR}


def made_with(kind: str) -> dict[str, Any]:
    return {} if kind.startswith("rsa") else {"algorithm": ECDSA, "sign": sign_ec("sha256")}


def judged(
    signer: Issued, root: Issued, time: datetime, *above: Issued, **made: Any
) -> list[Check]:
    content = tsp.TSTInfo(stamped(gen_time=time)).dump()
    certificates = [each.der for each in (signer, *above)]
    token = Forge(signer=signer, content=content, certificates=certificates, **made).make()
    judgement = judge_token(Stamp(token), IMPRINT_BYTES, Trust(tuple(trust(root))))
    return [check for check in judgement.checks if check.name != "token.revocation"]


def assert_all_but(
    checks: list[Check], name: str | None, outcome: Outcome, words: str = ""
) -> None:
    found = {check.name.removeprefix("token."): check for check in checks}
    assert {each for each in found if found[each].outcome is not PASSED} == (
        {name} if name else set()
    )
    if name:
        assert found[name].outcome is outcome
        assert words in found[name].reason


KEYS = [
    # What was never sound, whenever the token says that it was made.
    ("rsa512", at(2001), "rsa below 1024 bits"),
    ("rsa768", at(2005), "rsa below 1024 bits"),
    ("rsa1008", at(2009), "rsa below 1024 bits"),
    ("rsa512", at(2026), "rsa below 1024 bits"),
    ("rsa1024", at(2014, seconds=-1), None),
    ("rsa1024", at(2014), "rsa below 2048 bits"),
    ("rsa1024", at(2026), "rsa below 2048 bits"),
    ("rsa", at(2031, seconds=-1), None),
    ("rsa", at(2031), "rsa below 3072 bits"),
    ("rsa3072", at(2040), None),
    ("p224", at(2031, seconds=-1), None),
    ("p224", at(2031), "ec below 256 bits"),
    ("p256", at(2040), None),
]


@pytest.mark.parametrize(("kind", "time", "method"), KEYS, ids=str)
def test_keys_of_signers_and_of_authorities(kind: str, time: datetime, method: str | None) -> None:
    """Signer, authority in between, and root: all three sign, and one table holds for them."""
    weak, strong = key(kind, 300), key("p256", 301)
    root = issue("The root", None, strong, SIGNS_ALL, **life(time))
    signer = issue("The signer", root, weak, STAMPS, **life(time))
    assert_all_but(
        judged(signer, root, time, **made_with(kind)), method and "chain", FAILED, method or ""
    )
    # No root mends it, so none is waited for.
    stranger = issue("Nobody", None, key("p256", 302), SIGNS_ALL, **life(time))
    found = judged(signer, stranger, time, **made_with(kind))
    assert found[-1].outcome is (FAILED if method else UNKNOWN)

    between = issue("In between", root, weak, SIGNS_ALL, **life(time))
    signer = issue("The signer", between, key("p384", 303), STAMPS, **life(time))
    method_of_signer: dict[str, Any] = made_with("p384")
    found = judged(signer, root, time, between, **method_of_signer)
    assert_all_but(found, method and "chain", FAILED, method or "")
    assert_all_but(judged(signer, between, time, **method_of_signer), method and "chain", FAILED)


@pytest.mark.parametrize("time", [at(2031, seconds=-1), at(2031)], ids=str)
def test_digests_of_tokens_and_of_certificates(time: datetime) -> None:
    end = None if time < ENDS["sha224"] else "sha224"
    root = issue("The root", None, key("p256", 301), SIGNS_ALL, **life(time))
    signer = issue("The signer", root, key("p256", 304), STAMPS, **life(time))
    weak: dict[str, Any] = {
        "digest": "sha224",
        "algorithm": {"algorithm": "sha224_ecdsa"},
        "sign": sign_ec("sha224"),
    }
    assert_all_but(judged(signer, root, time, **weak), end and "signature", FAILED, end or "")
    half = {**weak, "digest": "sha256"}
    assert_all_but(judged(signer, root, time, **half), end and "signature", FAILED, end or "")
    half = {**made_with("p256"), "digest": "sha224"}
    assert_all_but(judged(signer, root, time, **half), end and "signature", FAILED, end or "")
    digested = issue(
        "The signer", root, key("p256", 304), STAMPS, digest=hashes.SHA224(), **life(time)
    )
    found = judged(digested, root, time, **made_with("p256"))
    assert_all_but(found, end and "chain", FAILED, end or "")
    # Nobody relies on how a root signs itself.
    signs_itself = issue(
        "The root", None, key("p256", 301), SIGNS_ALL, digest=hashes.SHA224(), **life(time)
    )
    assert_all_but(judged(signer, signs_itself, time, **made_with("p256")), None, PASSED)


@pytest.mark.parametrize("time", [at(2031, seconds=-1), at(2031)], ids=str)
def test_the_digest_that_a_token_is_for(time: datetime) -> None:
    end = None if time < ENDS["sha224"] else "sha224"
    root = issue("The root", None, key("p256", 301), SIGNS_ALL, **life(time))
    signer = issue("The signer", root, key("p256", 304), STAMPS, **life(time))
    imprint = {"hash_algorithm": {"algorithm": "sha224"}, "hashed_message": bytes(28)}
    content = tsp.TSTInfo(stamped(gen_time=time, message_imprint=imprint)).dump()
    token = Forge(signer=signer, content=content, **made_with("p256")).make()
    trusted = Trust(tuple(trust(root)))
    checks = judge_token(Stamp(token), bytes(28), trusted, "sha224").checks
    assert_all_but([*checks[:-1]], end and "imprint", FAILED, end or "")


@pytest.mark.parametrize("time", [at(2031, seconds=-1), at(2031)], ids=str)
def test_what_signs_crls(time: datetime) -> None:
    root = issue("The root", None, key("rsa", 305), SIGNS_ALL, **life(time))
    signer = issue("The signer", root, key("p256", 304), STAMPS, **life(time))
    crl = make_crl(root, this=time, until=time + YEAR)
    source = RevocationSource(signer.der, root.der, (), ())
    if time < ENDS["rsa below 3072 bits"]:
        check_crl(crl, source, time)
    else:
        with pytest.raises(BadAnswer, match="rsa below 3072 bits"):
            check_crl(crl, source, time)


CHAINS: dict[str, tuple[str, dict[str, Any]]] = {
    "Ed25519": ("ed25519", {}),
    "Ed448": ("ed448", {}),
    "brainpoolP256r1": ("brainpool", {}),
    "brainpoolP512r1, SHA-512": ("brainpool512", {"digest": hashes.SHA512()}),
    "secp256k1": ("secp256k1", {}),
    "P-224, SHA-224": ("p224", {"digest": hashes.SHA224()}),
    "P-256, SHA3-256": ("p256", {"digest": hashes.SHA3_256()}),
    "RSA, SHA-224": ("rsa", {"digest": hashes.SHA224()}),
    "RSA, SHA3-384": ("rsa", {"digest": hashes.SHA3_384()}),
    "RSA, PSS": ("rsa", {"pss": padding.PSS(padding.MGF1(hashes.SHA256()), 32)}),
}


@pytest.mark.parametrize(("kind", "how"), CHAINS.values(), ids=CHAINS)
def test_methods_that_authorities_may_sign_with(kind: str, how: dict[str, Any]) -> None:
    time = at(2026)
    root = issue("The root", None, key(kind, 306), SIGNS_ALL, **life(time))
    between = issue("In between", root, key(kind, 307), SIGNS_ALL, **life(time), **how)
    signer = issue("The signer", between, key("p256", 304), STAMPS, **life(time), **how)
    assert_all_but(judged(signer, root, time, between, **made_with("p256")), None, PASSED)
    twin = issue("In between", root, key(kind, 308), SIGNS_ALL, **life(time))
    forged = issue("The signer", twin, key("p256", 304), STAMPS, **life(time), **how)
    found = judged(forged, root, time, between, **made_with("p256"))
    assert_all_but(
        found, "chain", UNKNOWN, "is not trusted here for time-stamping; trusted here: “The root”."
    )


PARAMETERS = {
    "none": (None, PASSED),
    "those of its signatures": (PSS["parameters"], PASSED),
    "a shorter salt": ({**PSS["parameters"], "salt_length": 20}, PASSED),
    "a longer salt": ({**PSS["parameters"], "salt_length": 33}, UNKNOWN),
    "another hash": (
        {**PSS["parameters"], "hash_algorithm": {"algorithm": "sha512"}},
        UNKNOWN,
    ),
}


@pytest.mark.parametrize(("parameters", "outcome"), PARAMETERS.values(), ids=PARAMETERS)
def test_keys_for_pss_alone(parameters: Any, outcome: Outcome) -> None:
    """As D-TRUST's authorities have them (RFC 4055, 1.2)."""
    time = at(2026)
    own = key("rsa", 309)
    plain = issue("The root", None, own, SIGNS_ALL, **life(time))
    top = Issued(plain.certificate, key("p256", 310))
    root = remade(plain, top, lambda fields: with_pss_key(fields, parameters))
    signer = issue("The signer", plain, key("p256", 304), STAMPS, **life(time))
    by_pss = remade(signer, plain, algorithm=PSS, sign=sign_pss)
    found = judged(by_pss, root, time, **made_with("p256"))
    assert_all_but(found, None if outcome is PASSED else "chain", outcome, "rsassa_pss")
    by_pkcs1 = remade(
        signer, plain, algorithm={"algorithm": "sha256_rsa"}, sign=sign_pkcs1("sha256")
    )
    found = judged(by_pkcs1, root, time, **made_with("p256"))
    assert_all_but(found, "chain", UNKNOWN, "sha256_rsa")


UNJUDGED: dict[str, tuple[str, Any, Any, str]] = {
    "SHA-1": ("p256", {"algorithm": "sha1_ecdsa"}, None, "sha1_ecdsa"),
    "MD5": ("rsa", {"algorithm": "md5_rsa"}, sign_pkcs1("sha256"), "md5_rsa"),
    "GOST": ("p256", {"algorithm": "1.2.643.7.1.1.3.2"}, None, "1.2.643.7.1.1.3.2"),
    "SM2 with a key of P-256": ("p256", {"algorithm": "1.2.156.10197.1.501"}, None, "sm3_sm2"),
    "P-192": ("p192", ECDSA, None, "sha256_ecdsa"),
    "DSA": (
        "dsa",
        {"algorithm": "sha256_dsa"},
        lambda private, content: private.sign(content, hashes.SHA256()),
        "sha256_dsa",
    ),
}


@pytest.mark.parametrize(("kind", "algorithm", "sign", "words"), UNJUDGED.values(), ids=UNJUDGED)
def test_a_method_that_nobody_here_knows_is_unknown_by_its_name(
    kind: str, algorithm: Any, sign: Any, words: str
) -> None:
    """Nothing is false then: another verifier may know it."""
    time = at(2010)
    root = issue("The root", None, key("p256", 301), SIGNS_ALL, **life(time))
    between = issue("In between", root, key(kind, 311), SIGNS_ALL, **life(time))
    renamed = issue(
        "The signer",
        root,
        key("p256", 304),
        STAMPS,
        issuer_name=between.certificate.subject,
        **life(time),
    )
    made = remade(
        renamed, Issued(between.certificate, key(kind, 311)), algorithm=algorithm, sign=sign
    )
    found = judged(made, root, time, between, **made_with("p256"))
    assert_all_but(found, "chain", UNKNOWN, words)


def test_a_key_that_nobody_here_reads_is_unknown_by_its_name() -> None:
    """It was not read at all before, and with it the certificate."""

    def strange(fields: Any) -> None:
        curve = keys.ECDomainParameters(name="named", value="1.2.156.10197.1.301")
        fields["subject_public_key_info"]["algorithm"]["parameters"] = curve

    time = at(2026)
    root = issue("The root", None, key("p256", 301), SIGNS_ALL, **life(time))
    signer = remade(
        issue("The signer", root, key("p256", 304), STAMPS, **life(time)), root, strange
    )
    found = judged(signer, root, time, **made_with("p256"))
    assert_all_but(found, "signature", UNKNOWN, "sha256_ecdsa, with this key, one for ec")
    between = issue("In between", root, key("p256", 307), SIGNS_ALL, **life(time))
    signer = issue("The signer", between, key("p256", 304), STAMPS, **life(time))
    found = judged(signer, root, time, remade(between, root, strange), **made_with("p256"))
    assert_all_but(found, "chain", UNKNOWN, "“The signer” is signed by a method")


def test_the_earliest_end_counts() -> None:
    assert ended(("rsa below 3072 bits", "rsa below 2048 bits", "sha256"), at(2032)) == (
        "rsa below 2048 bits",
        at(2014),
    )
    assert ended(("sha256",), at(9999)) is None
    assert ended((), at(2032)) is None
    assert ended(("sha256",), at(2040), {"sha256": at(2040)}) == ("sha256", at(2040))


@pytest.mark.parametrize("name", ["proof-format.md", "proof-format.zh.md"])
def test_the_document_has_the_table(name: str) -> None:
    text = (DOCUMENT / name).read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| `([a-z0-9_ ]+)` \| (\S+) \|$", text, re.MULTILINE)
    assert {
        method: NEVER if end in {"never", "从不"} else datetime.fromisoformat(end)
        for method, end in rows
    } == ENDS
