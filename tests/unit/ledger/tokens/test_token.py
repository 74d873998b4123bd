"""Tokens that are right, and tokens that are wrong in exactly one way, made here field by field."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from make_revocation import make_crl, middle, signer, top, wrap
from make_token import (
    CA,
    IMPRINT_BYTES,
    NOW,
    PSS,
    STAMPS,
    TIME_STAMPING,
    Forge,
    Issued,
    attribute,
    issue,
    issuer_serial,
    key,
    named_v1,
    named_v2,
    remade,
    root,
    sid,
    sign_ec,
    sign_ed25519,
    sign_pkcs1,
    sign_pss,
    stamped,
    stamper,
    trust,
    usage,
    with_pss_key,
)

from witnesstree.ledger.base.der import (
    MAX_DER_DEPTH,
    MAX_SHOWN,
    demand_der,
    encoding_of,
    read_values,
    shown,
)
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.report import Assurance, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens import builtin
from witnesstree.ledger.tokens import x509 as our_x509
from witnesstree.ledger.tokens.token import (
    CHAIN,
    FORM,
    IMPRINT,
    MAX_CERTIFICATES,
    MAX_RESPONSE,
    MAX_TOKEN,
    REVOCATION,
    SIGNATURE,
    SIGNER,
    TimeStampResp,
    TokenJudgement,
    chain_of,
    check_response,
    format_request,
    format_response,
    judge_new_token,
    judge_token,
    parse_token,
)
from witnesstree.ledger.trust import Trust, TrustedRoot

PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def outcomes(judgement: TokenJudgement) -> dict[str, Outcome]:
    """Return what became of every check but the last, which has tests of its own
    (test_revocation.py) and here never anything to go by."""
    assert (
        judgement.checks[-1].name,
        judgement.checks[-1].outcome,
        judgement.checks[-1].required,
    ) == (REVOCATION, UNKNOWN, False)
    return {check.name: check.outcome for check in judgement.checks[:-1]}


def judge_der(der: bytes, imprint: bytes, roots: list[TrustedRoot]) -> TokenJudgement:
    return judge_token(Stamp(der), imprint, Trust(tuple(roots)))


def judge(forge: Forge, roots: list[TrustedRoot] | None = None) -> TokenJudgement:
    return judge_der(forge.make(), IMPRINT_BYTES, trust(root()) if roots is None else roots)


def assert_only(judgement: TokenJudgement, name: str, outcome: Outcome, words: str) -> None:
    """Assert that everything passed but one check, and why it did not."""
    expected = dict.fromkeys((FORM, IMPRINT, SIGNER, SIGNATURE, CHAIN), PASSED) | {name: outcome}
    assert outcomes(judgement) == expected, judgement.checks
    assert words in next(check.reason for check in judgement.checks if check.name == name)
    assert not judgement.is_proven


# What is right
# --------------------------------------------------------------------------------------------------


def test_token_says_what_was_put_into_it() -> None:
    der = Forge().make()
    token = parse_token(der)
    assert (token.der, token.imprint, token.imprint_algorithm) == (der, IMPRINT_BYTES, "sha256")
    assert (token.gen_time, token.accuracy) == (NOW, timedelta(seconds=1, milliseconds=500))
    assert (token.serial, token.policy, token.nonce, token.tsa) == (7, "1.2.3", 42, None)
    assert token.certificates == (stamper().der,)
    bare = parse_token(Forge(content=tsp.TSTInfo(stamped(accuracy=None, nonce=None)).dump()).make())
    assert (bare.accuracy, bare.nonce) == (timedelta(), None)


def test_judgement_of_a_right_token() -> None:
    judgement = judge(Forge())
    assert set(outcomes(judgement).values()) == {PASSED}
    assert judgement.is_proven
    assert (judgement.gen_time, judgement.accuracy) == (NOW, timedelta(seconds=1.5))
    assert judgement.assurance is Assurance.PRIVATE
    assert all(check.reason.endswith(".") for check in judgement.checks)


ALGORITHMS = {
    "rsa, PKCS #1, hash in the digest's place": (
        "rsa",
        "sha256",
        {"algorithm": "rsassa_pkcs1v15"},
        sign_pkcs1("sha256"),
    ),
    "rsa, PKCS #1, SHA-384": ("rsa", "sha384", {"algorithm": "sha384_rsa"}, sign_pkcs1("sha384")),
    "rsa, PKCS #1, content SHA-256, signature SHA-512": (
        "rsa",
        "sha256",
        {"algorithm": "sha512_rsa"},
        sign_pkcs1("sha512"),
    ),
    "rsa, PSS": ("rsa", "sha256", PSS, sign_pss),
    "P-256": ("p256", "sha256", {"algorithm": "sha256_ecdsa"}, sign_ec("sha256")),
    "P-384": ("p384", "sha384", {"algorithm": "sha384_ecdsa"}, sign_ec("sha384")),
    "P-521": ("p521", "sha512", {"algorithm": "sha512_ecdsa"}, sign_ec("sha512")),
    "P-256, explicit NULL": (
        "p256",
        "sha256",
        {"algorithm": "sha256_ecdsa", "parameters": core.Null()},
        sign_ec("sha256"),
    ),
    "Ed25519": ("ed25519", "sha512", {"algorithm": "1.3.101.112"}, sign_ed25519),
    "Ed448, SHAKE256": ("ed448", "shake256", {"algorithm": "1.3.101.113"}, sign_ed25519),
    "Ed448, SHA-512": ("ed448", "sha512", {"algorithm": "1.3.101.113"}, sign_ed25519),
    "brainpoolP256r1": ("brainpool", "sha256", {"algorithm": "sha256_ecdsa"}, sign_ec("sha256")),
    "brainpoolP384r1": ("brainpool384", "sha384", {"algorithm": "sha384_ecdsa"}, sign_ec("sha384")),
    "brainpoolP512r1": ("brainpool512", "sha512", {"algorithm": "sha512_ecdsa"}, sign_ec("sha512")),
    "secp256k1": ("secp256k1", "sha256", {"algorithm": "sha256_ecdsa"}, sign_ec("sha256")),
    "P-224, SHA-224": ("p224", "sha224", {"algorithm": "sha224_ecdsa"}, sign_ec("sha224")),
    "rsa, SHA-224": ("rsa", "sha224", {"algorithm": "sha224_rsa"}, sign_pkcs1("sha224")),
    "rsa, SHA3-256": (
        "rsa",
        "sha3_256",
        {"algorithm": "2.16.840.1.101.3.4.3.14"},
        sign_pkcs1("sha3_256"),
    ),
    "rsa, SHA3-512 in the digest's place": (
        "rsa",
        "sha3_512",
        {"algorithm": "rsassa_pkcs1v15"},
        sign_pkcs1("sha3_512"),
    ),
    "P-384, SHA3-384": ("p384", "sha3_384", {"algorithm": "sha3_384_ecdsa"}, sign_ec("sha3_384")),
}


@pytest.mark.parametrize(
    ("kind", "digest", "algorithm", "sign"), ALGORITHMS.values(), ids=ALGORITHMS
)
def test_algorithms(
    kind: str, digest: str, algorithm: Any, sign: Callable[[Any, bytes], bytes]
) -> None:
    forge = Forge(signer=stamper(kind), digest=digest, algorithm=algorithm, sign=sign)
    assert judge(forge).is_proven, judge(forge).checks
    forge.sign = lambda private, content: sign(private, content + b"!")
    assert_only(judge(forge), SIGNATURE, FAILED, "was not made with the key")


def test_absent_and_null_parameters_are_alike() -> None:
    der = Forge().make()
    null, absent = (
        bytes.fromhex("300d06096086480165030402010500"),
        bytes.fromhex("300b0609608648016503040201"),
    )
    assert der.count(null) == 3
    signer_info = parse_token(der).signer
    assert signer_info.digest_algorithm == "sha256"
    # The imprint's own algorithm identifier, signed, with and without NULL.
    content = tsp.TSTInfo(stamped()).dump()
    start = content.index(null)
    assert content[start - 1] == 0x31
    shorter = content[: start - 1] + b"\x2f" + absent + content[start + len(null) :]
    shorter = shorter[:1] + bytes([shorter[1] - 2]) + shorter[2:]
    assert judge(Forge(content=shorter)).is_proven


def test_signer_is_found_wherever_it_stands_and_however_it_is_named() -> None:
    foreign = issue("A stranger", None, key("p256", 9), STAMPS)
    right = stamper()
    for certificates in (
        [foreign.der, right.der],
        [right.der, foreign.der],
        [foreign.der, root().der, right.der],
    ):
        assert judge(Forge(certificates=certificates)).is_proven
    for names in (
        [named_v1(right)],
        [named_v1(right), named_v2(right)],
        [named_v2(right, issuer_serial=issuer_serial(right))],
    ):
        assert judge(Forge(names=names)).is_proven
    longer = named_v2(right)
    longer["values"][0]["certs"][0] |= {
        "hash_algorithm": {"algorithm": "sha512"},
        "cert_hash": hashlib.sha512(right.der).digest(),
    }
    assert judge(Forge(names=[longer])).is_proven
    assert judge(Forge(sid=sid(right, by_key=True))).is_proven


def test_token_without_certificates_needs_the_signers_from_elsewhere() -> None:
    judgement = judge(Forge(certificates=[]))
    assert outcomes(judgement) == {
        FORM: PASSED,
        IMPRINT: PASSED,
        SIGNER: UNKNOWN,
        SIGNATURE: UNKNOWN,
        CHAIN: UNKNOWN,
    }
    assert judge(Forge(certificates=[]), trust(stamper())).is_proven


def test_certificate_that_cannot_be_read_or_would_warn_does_not_disturb() -> None:
    negative = asn1_x509.Certificate.load(root().der)
    negative["tbs_certificate"]["serial_number"] = -5
    broken = stamper().der.replace(b"An authority (rsa)", b"An authority \xff\xff\xff\xff\xff")
    for der in (negative.dump(force=True), broken):
        assert judge(Forge(certificates=[der, stamper().der])).is_proven
        assert judge(
            Forge(), [*trust(root()), TrustedRoot(der, "a file", Assurance.PUBLIC)]
        ).is_proven
    assert judge(Forge(), [TrustedRoot(b"", "a file", Assurance.PUBLIC), *trust(root())]).is_proven


def test_certificates_beside_the_token_and_those_that_only_help_to_build_chains() -> None:
    link = between()
    forge = chained(link)
    own, token = forge.signer.der, Forge(signer=forge.signer, certificates=[]).make()
    roots = tuple(trust(root()))
    for stamp, known in (
        (Stamp(token, (own, link.der)), Trust(roots)),
        (Stamp(token, (link.der, own)), Trust(roots)),
        (Stamp(token), Trust(roots, certificates=(own, link.der))),
        (Stamp(token, (own,)), Trust(roots, certificates=(link.der,))),
        (
            Stamp(token, (own, b"rubbish", stamper().der)),
            Trust(roots, certificates=(b"rubbish", link.der)),
        ),
    ):
        assert judge_token(stamp, IMPRINT_BYTES, known).is_proven
        assert chain_of(parse_token(token), known, stamp.certificates) == (
            own,
            link.der,
            root().der,
        )
    # Neither is ever trusted.
    everything = (own, link.der, root().der)
    assert_only(
        judge_token(Stamp(token, everything), IMPRINT_BYTES, Trust(certificates=everything)),
        CHAIN,
        UNKNOWN,
        "Give it with --trust",
    )
    assert_only(
        judge_token(Stamp(token, (own,)), IMPRINT_BYTES, Trust(roots)),
        CHAIN,
        UNKNOWN,
        "Give it with --trust",
    )


def test_trusts_add_up() -> None:
    both = Trust(tuple(trust(root())), certificates=(b"a",)) | Trust(certificates=(b"b",))
    assert (both.roots, both.certificates) == (tuple(trust(root())), (b"a", b"b"))


def test_chain_as_far_as_it_is_known() -> None:
    link = between()
    forge = chained(link)
    token, own = parse_token(forge.make()), forge.signer.der
    assert chain_of(token, Trust(tuple(trust(root())))) == (own, link.der, root().der)
    assert chain_of(token, Trust()) == (own, link.der)
    assert chain_of(token, Trust(), (root().der,)) == (own, link.der, root().der)
    assert chain_of(parse_token(chained(between(**PAST)).make()), Trust(tuple(trust(root()))))[
        2:
    ] == (root().der,)
    bare = parse_token(Forge(certificates=[]).make())
    assert chain_of(bare, Trust()) == ()
    assert chain_of(parse_token(Forge(names=[]).make()), Trust()) == ()


def certifis_roots() -> list[TrustedRoot]:
    armoured = re.findall(
        r"-----BEGIN CERTIFICATE-----([^-]+)", Path(certifi.where()).read_text(encoding="ascii")
    )
    assert len(armoured) > 100
    return [TrustedRoot(base64.b64decode(each), "certifi", Assurance.PUBLIC) for each in armoured]


def test_a_big_trust_store_changes_no_verdict_and_is_hardly_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    big, read = certifis_roots(), []
    reader = our_x509.read_certificate
    monkeypatch.setattr(our_x509, "read_certificate", lambda der: read.append(der) or reader(der))
    foreign = [root.certificate for root in big[:3]]
    for forge, own in (
        (Forge(), trust(root())),
        (Forge(), []),
        (Forge(certificates=[*foreign, stamper().der, root().der]), trust(root())),
        (chained(between()), trust(root(), assurance=Assurance.LOCAL)),
        (chained(between(**PAST)), trust(root())),
        (Forge(certificates=[]), trust(stamper())),
        (Forge(certificates=[]), trust(root())),
        (Forge(sign=sign_pkcs1("sha512")), trust(root())),
    ):
        found, alone = judge(forge, [*big[:60], *own, *big[60:]]), judge(forge, own)
        assert (outcomes(found), found.root) == (outcomes(alone), alone.root)
    assert read
    assert {each.certificate for each in big}.isdisjoint(read)


def test_every_root_of_a_big_store_can_be_read_and_makes_no_noise() -> None:
    """Some have the serial number 0, of which cryptography warns."""
    for each in certifis_roots():
        assert our_x509.read_certificate(each.certificate) is not None


# Tokens of public authorities
# --------------------------------------------------------------------------------------------------

VECTORS = json.loads(
    (Path(__file__).parents[3] / "vectors" / "token" / "tokens.json").read_text(encoding="utf-8")
)


def public(name: str) -> bytes:
    return base64.b64decode(VECTORS["tokens"][name]["token"])


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]])
def test_public_authorities_are_judged_rightly(case: Any) -> None:
    roots = [
        TrustedRoot(base64.b64decode(VECTORS["roots"][name]["certificate"]), name, Assurance.PUBLIC)
        for name in case["roots"]
    ]
    stamp = Stamp(
        public(case["token"]), tuple(base64.b64decode(each) for each in case["certificates"])
    )
    judgement = judge_token(stamp, bytes.fromhex(case["digest"]), Trust(tuple(roots)))
    assert {check.name: check.outcome.value for check in judgement.checks} == {
        f"token.{name}": value for name, value in case["expect"].items()
    }
    assert judgement.is_proven is (
        set(case["expect"].values()) == {"passed", "unknown"}
        and case["expect"]["chain"] == "passed"
    )
    assert judgement.gen_time is not None
    assert (
        judgement.gen_time.strftime("%Y-%m-%dT%H:%M:%SZ")
        == VECTORS["tokens"][case["token"]]["time"]
    )


@pytest.mark.parametrize("name", VECTORS["tokens"])
def test_public_tokens_are_of_what_they_say(name: str) -> None:
    token = parse_token(public(name))
    assert (
        token.imprint
        == hashlib.new(
            token.imprint_algorithm, VECTORS["tokens"][name]["stamped"].encode()
        ).digest()
    )


def test_a_public_token_is_proven_by_the_usual_roots() -> None:
    judgement = judge_der(
        public("GlobalSign, 2021"), hashlib.sha256(b"notation").digest(), certifis_roots()
    )
    assert judgement.is_proven, judgement.checks


# What is wrong
# --------------------------------------------------------------------------------------------------


def test_other_imprint() -> None:
    judgement = judge_der(Forge().make(), bytes(32), trust(root()))
    assert_only(judgement, IMPRINT, FAILED, "not for 0000")
    other = {"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": bytes(64)}
    assert_only(
        judge(Forge(content=tsp.TSTInfo(stamped(message_imprint=other)).dump())),
        IMPRINT,
        FAILED,
        "sha512",
    )


WRONG_PURPOSES = {
    "not critical": [(x509.ExtendedKeyUsage([TIME_STAMPING]), False)],
    "another purpose": [
        (x509.ExtendedKeyUsage([TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]), True)
    ],
    "any purpose": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), True)],
    "none": [],
    "no signatures": [*STAMPS, (usage(key_encipherment=True), True)],
}


@pytest.mark.parametrize("extensions", WRONG_PURPOSES.values(), ids=WRONG_PURPOSES)
def test_certificate_for_something_else(extensions: list[Any]) -> None:
    signer = issue("For something else", root(), key("rsa", 1), extensions)
    assert_only(judge(Forge(signer=signer)), SIGNER, FAILED, "“For something else” is not one for")


def test_token_that_does_not_name_its_certificate() -> None:
    judgement = judge(Forge(names=[]))
    assert outcomes(judgement) == {
        FORM: PASSED,
        IMPRINT: PASSED,
        SIGNER: FAILED,
        SIGNATURE: UNKNOWN,
        CHAIN: UNKNOWN,
    }


def test_token_that_names_another_certificate_than_it_carries() -> None:
    twin = issue("An authority (rsa)", root(), key("rsa", 1), STAMPS)
    for names in ([named_v2(twin)], [named_v1(twin), named_v2(stamper())]):
        judgement = judge(Forge(names=names))
        assert outcomes(judgement)[SIGNER] is UNKNOWN
        assert not judgement.is_proven
    unknown = named_v2(stamper())
    unknown["values"][0]["certs"][0] |= {"hash_algorithm": {"algorithm": "md5"}}
    assert outcomes(judge(Forge(names=[unknown])))[SIGNER] is UNKNOWN


def test_certificate_with_the_same_key_is_not_taken_for_the_named_one() -> None:
    """The attack that ESSCertID is for: same key, same issuer, longer life or other policy."""
    twin = issue("An authority (rsa)", root(), key("rsa", 1), STAMPS, end=NOW + timedelta(days=999))
    forge = Forge(certificates=[twin.der], sid=sid(twin))
    assert outcomes(judge(forge))[SIGNER] is UNKNOWN
    forge = Forge(certificates=[twin.der, stamper().der], sid=sid(twin))
    assert_only(judge(forge), SIGNER, FAILED, "two are different")


def test_other_ways_to_name_two_certificates() -> None:
    right = stamper()
    for names in (
        [named_v2(right, issuer_serial=issuer_serial(right, 99))],
        [named_v2(right, issuer_serial=issuer_serial(root()))],
    ):
        assert_only(judge(Forge(names=names)), SIGNER, FAILED, "two are different")
    assert_only(judge(Forge(sid=sid(root(), by_key=True))), SIGNER, FAILED, "two are different")


def test_a_damaged_certificate_in_a_token_is_as_good_as_none() -> None:
    """Nothing signs it: whoever hands the token on can damage it, and nothing is false then."""
    right = stamper().der
    for at in range(0, len(right), 7):
        damaged = right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :]
        token = Forge().make()
        assert token.count(right) == 1
        found = outcomes(judge_der(token.replace(right, damaged), IMPRINT_BYTES, trust(root())))
        if found[FORM] is PASSED:
            assert found == outcomes(judge(Forge(certificates=[])))
    # A name in it that is none.
    (at,) = (each for each in range(len(right)) if right[each:].startswith(b"\x0c\x06A root"))
    for damaged in (right[:at] + b"\x05" + right[at + 1 :], right.replace(b"A root", b"\xff root")):
        found = outcomes(
            judge_der(Forge().make().replace(right, damaged), IMPRINT_BYTES, trust(root()))
        )
        assert found == outcomes(judge(Forge(certificates=[])))


def test_an_issuer_whose_name_cannot_be_read_is_not_known() -> None:
    damaged = stamper().der.replace(b"A root", b"\xff root")
    listed = {"certs": [{"cert_hash": hashlib.sha256(damaged).digest()}]}
    forge = Forge(names=[attribute("signing_certificate_v2", listed)], certificates=[damaged])
    assert outcomes(judge(forge))[CHAIN] is UNKNOWN


def test_other_kinds_of_certificates_are_counted_and_passed_over() -> None:
    def judged(count: int) -> Outcome:
        others = b"\xa1\x02\x05\x00" * count
        certificate = stamper().der
        token = cms.ContentInfo.load(Forge().make())
        data = token["content"].contents
        carried = wrap(0xA0, certificate)
        assert data.count(carried) == 1
        changed = wrap(0x30, data.replace(carried, wrap(0xA0, certificate + others)))
        der = wrap(0x30, token["content_type"].dump() + wrap(0xA0, changed))
        return outcomes(judge_der(der, IMPRINT_BYTES, trust(root())))[FORM]

    assert [judged(count) for count in (0, 1, 15, 16)] == [PASSED, PASSED, PASSED, FAILED]


def test_signer_certificate_that_cannot_be_read() -> None:
    negative = asn1_x509.Certificate.load(stamper().der)
    negative["tbs_certificate"]["serial_number"] = -5
    der = negative.dump(force=True)
    names = [
        attribute(
            "signing_certificate_v2", {"certs": [{"cert_hash": hashlib.sha256(der).digest()}]}
        )
    ]
    assert outcomes(judge(Forge(certificates=[der], names=names)))[SIGNER] is UNKNOWN


def test_content_that_was_changed() -> None:
    later = tsp.TSTInfo(stamped(gen_time=NOW - timedelta(hours=1))).dump()
    assert_only(judge(Forge(carried=later)), SIGNATURE, FAILED, "changed after it was signed")


def test_attributes_that_do_not_cover_the_content() -> None:
    digest = attribute("message_digest", hashlib.sha256(tsp.TSTInfo(stamped()).dump()).digest())
    for attributes in (
        [attribute("content_type", "data"), digest, named_v2(stamper())],
        [digest, named_v2(stamper())],
        [attribute("content_type", "tst_info"), named_v2(stamper())],
    ):
        assert_only(judge(Forge(attributes=attributes)), SIGNATURE, FAILED, "does not cover")


UNACCEPTED = {
    "SHA-1": {"digest": "sha1"},
    "RSA with SHA-1": {"algorithm": {"algorithm": "sha1_rsa"}},
    "PSS with SHA-1 masks": {
        "algorithm": {
            "algorithm": "rsassa_pss",
            "parameters": {"hash_algorithm": {"algorithm": "sha256"}},
        }
    },
    "no known name": {"algorithm": {"algorithm": "1.2.156.10197.1.501"}},
    "ECDSA with an RSA key": {"algorithm": {"algorithm": "sha256_ecdsa"}},
    "P-192": {
        "signer": lambda: stamper("p192"),
        "algorithm": {"algorithm": "sha256_ecdsa"},
        "sign": sign_ec("sha256"),
    },
    "Ed25519 with an Ed448 key": {
        "signer": lambda: stamper("ed448"),
        "algorithm": {"algorithm": "1.3.101.112"},
        "sign": sign_ed25519,
    },
    "DSA": {
        "signer": lambda: stamper("dsa"),
        "algorithm": {"algorithm": "sha256_dsa"},
        "sign": lambda private, content: private.sign(content, hashes.SHA256()),
    },
    "PKCS #1 with a key for PSS": {
        "signer": lambda: remade(stamper(), root(), with_pss_key),
    },
    "ECDSA by its own name for a digest": {
        "signer": lambda: stamper("p256"),
        "algorithm": {"algorithm": "1.2.840.10045.4.3"},
        "sign": sign_ec("sha256"),
    },
    "PSS without parameters": {"algorithm": {"algorithm": "rsassa_pss"}},
    "PSS with another trailer": {
        "algorithm": {
            "algorithm": "rsassa_pss",
            "parameters": algos.RSASSAPSSParams({"trailer_field": 2}),
        }
    },
    "PSS with another mask": {
        "algorithm": {
            "algorithm": "rsassa_pss",
            "parameters": {
                "hash_algorithm": {"algorithm": "sha256"},
                "mask_gen_algorithm": {"algorithm": "1.2.3.4", "parameters": core.Null()},
            },
        }
    },
    "RSA with an Ed25519 key": {"signer": lambda: stamper("ed25519"), "sign": sign_ed25519},
}


@pytest.mark.parametrize("changes", UNACCEPTED.values(), ids=UNACCEPTED)
def test_method_that_is_not_accepted_is_unknown(changes: dict[str, Any]) -> None:
    changes = {name: value() if name == "signer" else value for name, value in changes.items()}
    assert_only(judge(Forge(**changes)), SIGNATURE, UNKNOWN, "accept")


def test_method_that_this_build_of_cryptography_lacks_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forge = Forge()
    der = forge.make()
    monkeypatch.setitem(builtin._HASHES, "sha256", lambda: hashes.BLAKE2s(32))
    assert_only(judge_der(der, IMPRINT_BYTES, trust(root())), SIGNATURE, UNKNOWN, "accept")


# The chain
# --------------------------------------------------------------------------------------------------


def chained(
    *links: Issued,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=1),
) -> Forge:
    """Return a token whose signer stands under the last of `links`, and which carries all of
    them."""
    signer = issue("At the end", links[-1], key("rsa", 1), STAMPS, start=start, end=end)
    return Forge(signer=signer, certificates=[signer.der, *(link.der for link in links)])


def between(*extensions: Any, above: Issued | None = None, **times: Any) -> Issued:
    return issue("In between", above or root(), key("p384", 3), extensions or CA, **times)


def test_chain_through_an_intermediate() -> None:
    assert judge(chained(between())).is_proven
    assert judge(chained(between()), trust(between())).is_proven
    forge = chained(between())
    forge.certificates = [forge.signer.der]
    assert_only(judge(forge), CHAIN, UNKNOWN, "Give it with --trust")


def test_root_above_another_trusted_certificate_counts() -> None:
    link = between()
    forge = chained(link)
    forge.certificates = [forge.signer.der]
    both = [*trust(link, assurance=Assurance.LOCAL), *trust(root(), assurance=Assurance.PUBLIC)]
    assert judge(forge, both[:1]).assurance is Assurance.LOCAL
    assert judge(forge, both).assurance is Assurance.PUBLIC


def test_maze_of_certificates_ends() -> None:
    """Many certificates with one name and one key, under a root that has expired: every way through
    them is a dead end."""
    maze = issue("Maze", None, key("p256", 50), CA, **PAST)
    links = [issue("Maze", maze, key("p256", 50), CA) for _ in range(MAX_CERTIFICATES - 1)]
    assert_only(judge(chained(*links), trust(maze)), CHAIN, FAILED, "“Maze” was not valid")


def test_odd_names_make_no_noise(recwarn: pytest.WarningsRecorder) -> None:
    """cryptography warns about a country of three letters; warnings are errors here, and nobody
    else should see them either."""
    odd = asn1_x509.Certificate.load(root().der)
    odd["tbs_certificate"]["subject"] = asn1_x509.Name.build(
        {"country_name": "XXX", "organization_name": "Odd"}
    )
    assert judge(Forge(certificates=[odd.dump(force=True), stamper().der])).is_proven
    assert not recwarn.list


def test_chain_to_no_trusted_root_is_unknown() -> None:
    assert_only(judge(Forge(), []), CHAIN, UNKNOWN, "Give it with --trust")
    # Same name, other key.
    assert_only(
        judge(Forge(), trust(issue("A root", None, key("p256", 5), CA))),
        CHAIN,
        UNKNOWN,
        "Give it with --trust",
    )
    # What a token carries is never trusted.
    assert_only(
        judge(Forge(certificates=[stamper().der, root().der]), []),
        CHAIN,
        UNKNOWN,
        "Give it with --trust",
    )


def only_for(since: timedelta | None, until: timedelta | None) -> TrustedRoot:
    """Trust the root from and until so long after the token's time."""
    return TrustedRoot(
        root().der,
        "a list",
        Assurance.PUBLIC,
        None if since is None else NOW + since,
        None if until is None else NOW + until,
    )


SECOND = timedelta(seconds=1)


def test_a_root_is_trusted_for_its_time() -> None:
    for since, until in ((None, SECOND), (timedelta(), None), (-SECOND, SECOND)):
        assert judge(Forge(), [only_for(since, until)]).is_proven
    ended, begun = only_for(-2 * SECOND, timedelta()), only_for(SECOND, None)
    words = "“A root” (a list) is not trusted for 2026-11-23T12:00:00Z: the trust in it"
    assert_only(judge(Forge(), [ended]), CHAIN, UNKNOWN, f"{words} ended on 2026-11-23T12:00:00Z.")
    assert_only(judge(Forge(), [begun]), CHAIN, UNKNOWN, f"{words} begins on 2026-11-23T12:00:01Z.")
    assert_only(judge(chained(between()), [ended]), CHAIN, UNKNOWN, f"{words} ended on")
    # Trusted twice, once for the time of the token; and by others for ever.
    assert judge(Forge(), [ended, only_for(timedelta(), None), begun]).is_proven
    assert judge(Forge(), [ended, *trust(root())]).is_proven
    other = TrustedRoot(between().der, "", Assurance.PUBLIC, NOW + SECOND)
    assert_only(judge(Forge(), [other]), CHAIN, UNKNOWN, "trusted here: “In between”.")


PAST: dict[str, Any] = {"start": NOW - timedelta(days=9), "end": NOW - timedelta(days=8)}
BROKEN_CHAINS: dict[str, Callable[[], tuple[Forge, Issued, str]]] = {
    "signer expired": lambda: (
        chained(root(), **PAST),
        root(),
        "at the token's time, 2026-11-23T12:00:00Z: it ended on 2026-11-15T12:00:00Z",
    ),
    "signer not yet valid": lambda: (
        chained(root(), start=NOW + timedelta(seconds=1)),
        root(),
        "at the token's time, 2026-11-23T12:00:00Z: it begins on 2026-11-23T12:00:01Z",
    ),
    "intermediate expired": lambda: (
        chained(between(**PAST)),
        root(),
        "“In between” was not valid at 2026-11-23T12:00:00Z: it ended on 2026-11-15T12:00:00Z",
    ),
    "root expired": lambda: (
        Forge(),
        issue("A root", None, key("p256"), CA, **PAST),
        "“A root” was not valid at 2026-11-23T12:00:00Z: it ended on 2026-11-15T12:00:00Z",
    ),
    "no authority": lambda: (
        chained(between((usage(digital_signature=True), True))),
        root(),
        "not one of an authority",
    ),
    "denied to be one": lambda: (
        chained(between((x509.BasicConstraints(ca=False, path_length=None), True))),
        root(),
        "not one of an authority",
    ),
    "may not sign certificates": lambda: (
        chained(between(CA[0], (usage(digital_signature=True), True))),
        root(),
        "may not sign certificates",
    ),
    "for web servers": lambda: (
        chained(between(*CA, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))),
        root(),
        "confined to other purposes",
    ),
    "path too long": lambda: (
        chained(
            between(
                above=issue(
                    "Short",
                    None,
                    key("p256"),
                    ((x509.BasicConstraints(ca=True, path_length=0), True),),
                )
            )
        ),
        issue("Short", None, key("p256"), ((x509.BasicConstraints(ca=True, path_length=0), True),)),
        "more authorities follow each other",
    ),
}


@pytest.mark.parametrize("case", BROKEN_CHAINS.values(), ids=BROKEN_CHAINS)
def test_chain_that_breaks_a_rule(case: Callable[[], tuple[Forge, Issued, str]]) -> None:
    forge, anchor, words = case()
    assert_only(judge(forge, trust(anchor)), CHAIN, FAILED, words)


@pytest.mark.parametrize("name", ["signer expired", "signer not yet valid"])
def test_a_signer_out_of_its_life_fails_without_any_root(name: str) -> None:
    forge, _, words = BROKEN_CHAINS[name]()
    assert_only(judge(forge, []), CHAIN, FAILED, words)


def test_a_key_that_is_too_weak_fails_with_and_without_a_root() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    signer = issue("Weak", root(), weak, STAMPS)
    for roots in ([], trust(root())):
        assert_only(judge(Forge(signer=signer), roots), CHAIN, FAILED, "“Weak” was not sound")
    above = issue("Weak", root(), weak, CA)
    assert_only(judge(chained(above)), CHAIN, FAILED, "“Weak” rests on a method")
    assert judge(Forge(signer=stamper())).is_proven, "2048 bits are enough"


def test_a_short_key_was_good_enough_once() -> None:
    then = datetime(2013, 6, 1, tzinfo=UTC)
    life = {"start": then - timedelta(days=1), "end": then + timedelta(days=1)}
    above = issue("A root", None, key("p256"), CA, **life)
    weak = rsa.generate_private_key(65537, 1024)
    signer = issue("Weak", above, weak, STAMPS, **life)
    content = tsp.TSTInfo(stamped(gen_time=then)).dump()
    made = Forge(signer=signer, content=content)
    assert judge(made, trust(above)).is_proven
    # But whoever breaks it now can still say that it was then.
    arguments = (Stamp(made.make()), IMPRINT_BYTES, Trust(tuple(trust(above))))
    assert judge_token(*arguments, now=then + timedelta(days=200)).is_proven
    (chain,) = (check for check in judge_token(*arguments, now=NOW).checks if check.name == CHAIN)
    assert (chain.outcome, chain.message.code) == (UNKNOWN, "method-ended-since")


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_a_token_is_open_once_its_key_has_ended(kind: str) -> None:
    """2048 bits of RSA hold to the end of 2030; P-256 has no end."""
    signer = stamper(kind)
    forge = (
        Forge(signer=signer)
        if kind == "rsa"
        else Forge(signer=signer, algorithm={"algorithm": "sha256_ecdsa"}, sign=sign_ec("sha256"))
    )
    stamp, trusted = Stamp(forge.make()), Trust(tuple(trust(root())))
    for year, is_proven in ((2030, True), (2031, kind == "p256")):
        now = datetime(year, 12, 31, 23, tzinfo=UTC)
        assert judge_token(stamp, IMPRINT_BYTES, trusted, now=now).is_proven is is_proven


def carrying(forge: Forge, *more: Issued) -> Forge:
    """The token with further certificates in it."""
    inside = [forge.signer.der] if forge.certificates is None else forge.certificates
    return replace(forge, certificates=[*inside, *(each.der for each in more)])


@pytest.mark.parametrize("name", [name for name in BROKEN_CHAINS if name != "path too long"])
def test_a_new_token_whose_own_chain_is_wrong_fails_without_any_root(name: str) -> None:
    """But for the length of a path, which a shorter one to another root may mend."""
    forge, anchor, _ = BROKEN_CHAINS[name]()
    stamp = Stamp(carrying(forge, anchor).make())
    found = judge_new_token(stamp, IMPRINT_BYTES, Trust())
    assert outcomes(found)[CHAIN] is FAILED
    assert found.root is None


def test_a_new_token_of_a_good_chain_is_as_unknown_as_any() -> None:
    for forge in (Forge(), carrying(Forge(), root()), carrying(chained(between()), root())):
        stamp = Stamp(forge.make())
        found = judge_new_token(stamp, IMPRINT_BYTES, Trust())
        assert found == judge_token(stamp, IMPRINT_BYTES, Trust())
        assert outcomes(found)[CHAIN] is UNKNOWN
        trusted = Trust(tuple(trust(root())))
        assert judge_new_token(stamp, IMPRINT_BYTES, trusted).is_proven


def test_a_new_token_of_a_revoked_signer_fails_without_any_root() -> None:
    signed = Forge(signer=signer(), certificates=[signer().der, middle().der, top().der])
    crl = make_crl(
        middle(), (signer(), NOW, [(x509.CRLReason(x509.ReasonFlags.key_compromise), False)])
    )
    found = judge_new_token(Stamp(signed.make(), (), (crl,)), IMPRINT_BYTES, Trust())
    revocation = found.checks[-1]
    assert (revocation.name, revocation.outcome) == ("token.revocation", FAILED)


def test_chain_that_is_too_long() -> None:
    links = [root()]
    for number in range(10):
        links.append(issue(f"Link {number}", links[-1], key("p256", 20 + number), CA))
    assert_only(judge(chained(*links)), CHAIN, UNKNOWN, "given up")


def test_chain_with_what_this_verifier_cannot_judge_is_unknown() -> None:
    assert_only(judge(chained(between(*CA, (STRANGE, True)))), CHAIN, UNKNOWN, "1.2.3.4")
    assert judge(chained(between(*CA, (STRANGE, False)))).is_proven


def test_last_second_of_a_certificate_counts() -> None:
    content = tsp.TSTInfo(stamped(gen_time=NOW + timedelta(milliseconds=900))).dump()
    for end, expected in ((NOW, PASSED), (NOW - timedelta(seconds=1), FAILED)):
        signer = issue("Short-lived", root(), key("rsa", 1), STAMPS, end=end)
        assert outcomes(judge(Forge(signer=signer, content=content)))[CHAIN] is expected


def test_assurance_is_that_of_the_best_root_and_the_least_of_one_root() -> None:
    second = issue("A root", None, key("p256"), CA)
    assert second.der != root().der
    roots = [*trust(root(), assurance=Assurance.LOCAL), *trust(second, assurance=Assurance.PUBLIC)]
    assert judge(Forge(), roots).assurance is Assurance.PUBLIC
    expired = issue("A root", None, key("p256"), CA, **PAST)
    roots = [*trust(root(), assurance=Assurance.LOCAL), *trust(expired, assurance=Assurance.PUBLIC)]
    assert judge(Forge(), roots).assurance is Assurance.LOCAL
    roots = [*trust(root(), assurance=Assurance.LOCAL), *trust(root(), assurance=Assurance.PUBLIC)]
    assert judge(Forge(), roots).assurance is Assurance.LOCAL
    assert judge(Forge(), roots[::-1]).assurance is Assurance.LOCAL
    assert judge(Forge(), []).assurance is None


# Form
# --------------------------------------------------------------------------------------------------


def content_with(time: bytes) -> bytes:
    """Return a TSTInfo with these bytes as its time."""
    content = tsp.TSTInfo(stamped())
    content["gen_time"] = core.GeneralizedTime.load(b"\x18" + bytes([len(time)]) + time)
    return bytes(content.dump(force=False))


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (b"20261123120000Z", NOW),
        (b"20261123120000.25Z", NOW + timedelta(milliseconds=250)),
        (b"20261123120000.1234567Z", NOW + timedelta(microseconds=123456)),
        (b"20261123120000.500Z", NOW + timedelta(milliseconds=500)),
    ],
)
def test_times(time: bytes, expected: datetime) -> None:
    assert parse_token(Forge(content=content_with(time)).make()).gen_time == expected


@pytest.mark.parametrize(
    "time",
    [
        b"202611231200Z",
        b"20261123120000",
        b"20261123120000+0800",
        b"20261323120000Z",
        b"20261123120060Z",
        b"",
        b"2026112312000\xb9Z",
    ],
)
def test_times_that_rfc_3161_forbids(time: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_token(Forge(content=content_with(time)).make())


def extension(*, critical: bool) -> dict[str, Any]:
    return {"extn_id": "1.2.3.4", "critical": critical, "extn_value": b""}


NOT_TOKENS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "NULL": lambda: b"\x05\x00",
    "text": lambda: b"-----BEGIN PKCS7-----",
    "too large": lambda: Forge().make() + bytes(MAX_TOKEN),
    "more behind it": lambda: Forge().make() + b"\x05\x00",
    "truncated": lambda: Forge().make()[:-1],
    "not signed data": lambda: cms.ContentInfo({"content_type": "data", "content": b""}).dump(),
    "signed data of another kind": lambda: Forge(content_type="data").make(),
    "no signer": lambda: Forge(signers=0).make(),
    "two signers": lambda: Forge(signers=2).make(),
    "too many certificates": (
        lambda: Forge(certificates=[stamper("p256").der] * (MAX_CERTIFICATES + 1)).make()
    ),
    "no TSTInfo inside": lambda: Forge(content=b"\x30\x00").make(),
    "BER inside": lambda: Forge(content=b"\x30\x80\x00\x00").make(),
    "version 2": lambda: Forge(content=tsp.TSTInfo(stamped(version="v2")).dump()).make(),
    "short imprint": (
        lambda: Forge(
            content=tsp.TSTInfo(
                stamped(
                    message_imprint={
                        "hash_algorithm": {"algorithm": "sha256"},
                        "hashed_message": b"x",
                    }
                )
            ).dump()
        ).make()
    ),
    "accuracy of days": (
        lambda: Forge(content=tsp.TSTInfo(stamped(accuracy={"seconds": 86401})).dump()).make()
    ),
    "accuracy of aeons": (
        lambda: Forge(content=tsp.TSTInfo(stamped(accuracy={"seconds": 2**80})).dump()).make()
    ),
    "accuracy below zero": (
        lambda: Forge(content=tsp.TSTInfo(stamped(accuracy={"seconds": -1})).dump()).make()
    ),
    "accuracy of 1000 ms": (
        lambda: Forge(content=tsp.TSTInfo(stamped(accuracy={"millis": 1000})).dump()).make()
    ),
    "one attribute twice": (
        lambda: Forge(names=[named_v2(stamper()), named_v2(stamper("p256"))]).make()
    ),
    "attribute without value": (
        lambda: Forge(names=[{"type": "signing_certificate_v2", "values": []}]).make()
    ),
    "no certificate identifier": (
        lambda: Forge(names=[attribute("signing_certificate_v2", {"certs": []})]).make()
    ),
    "issuer of no kind": (
        lambda: Forge(
            names=[named_v2(stamper(), issuer_serial={"issuer": [], "serial_number": 1})]
        ).make()
    ),
}


@pytest.mark.parametrize("make", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_what_is_not_a_token(make: Callable[[], bytes]) -> None:
    der = make()
    with pytest.raises(InvalidInput) as caught:
        parse_token(der)
    assert "\n" not in str(caught.value)
    judgement = judge_der(der, IMPRINT_BYTES, trust(root()))
    assert outcomes(judgement) == {
        FORM: FAILED,
        IMPRINT: UNKNOWN,
        SIGNER: UNKNOWN,
        SIGNATURE: UNKNOWN,
        CHAIN: UNKNOWN,
    }
    assert (judgement.token, judgement.gen_time, judgement.accuracy, judgement.assurance) == (
        None,
        None,
        None,
        None,
    )
    assert not judgement.is_proven


def test_extension_that_is_critical_and_unknown_is_unknown() -> None:
    content = tsp.TSTInfo(stamped(extensions=[extension(critical=True)])).dump()
    assert_only(judge(Forge(content=content)), FORM, UNKNOWN, "1.2.3.4")


def test_extension_that_is_not_critical_is_ignored() -> None:
    assert judge(
        Forge(content=tsp.TSTInfo(stamped(extensions=[extension(critical=False)])).dump())
    ).is_proven


def test_token_whose_signed_data_is_of_version_1() -> None:
    der = bytearray(Forge().make())
    at = der.index(bytes.fromhex("020103310f"))
    der[at + 2] = 1
    assert judge_der(bytes(der), IMPRINT_BYTES, trust(root())).is_proven


def test_token_without_signed_attributes_is_not_proven() -> None:
    info = cms.ContentInfo.load(Forge().make())
    signer = info["content"]["signer_infos"][0]
    fields = {
        name: signer[name]
        for name in ("version", "sid", "digest_algorithm", "signature_algorithm", "signature")
    }
    content = info["content"]["encap_content_info"]["content"]
    signature = key("rsa", 1).sign(bytes(content), padding.PKCS1v15(), hashes.SHA256())
    data = {
        name: info["content"][name]
        for name in ("version", "digest_algorithms", "encap_content_info", "certificates")
    }
    data["signer_infos"] = [cms.SignerInfo(fields | {"signature": signature})]
    der = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(data)}).dump()
    judgement = judge_der(der, IMPRINT_BYTES, trust(root()))
    assert outcomes(judgement) == {
        FORM: PASSED,
        IMPRINT: PASSED,
        SIGNER: FAILED,
        SIGNATURE: FAILED,
        CHAIN: UNKNOWN,
    }


def test_names_of_the_authority_are_shown_safely() -> None:
    def named(general: asn1_x509.GeneralName) -> str | None:
        return parse_token(Forge(content=tsp.TSTInfo(stamped(tsa=general)).dump()).make()).tsa

    name = asn1_x509.Name.build({"common_name": "evil\x1b[2J\n" + "x" * 500})
    found = named(asn1_x509.GeneralName(name="directory_name", value=name))
    assert found is not None
    assert found.isprintable()
    assert len(found) == MAX_SHOWN
    assert named(asn1_x509.GeneralName(name="dns_name", value="tsa.example")) == "tsa.example"
    # One that cannot be read is as good as none: nothing rests on it.
    odd = tsp.TSTInfo(stamped(nonce=None, tsa=None)).dump()
    (_, inner), *_ = read_values(odd)
    token = parse_token(Forge(content=wrap(0x30, inner + b"\xa0\x02\x05\x00")).make())
    assert token.tsa is None
    assert shown("a\u202eb") == "a?b"


def test_der_is_demanded() -> None:
    for good in (
        "0500",
        "3000",
        "010101",
        "06052a8680800d",
        "30030101ff",
        "308180047e" + "00" * 126,
        "a003020101",
    ):
        demand_der(bytes.fromhex(good))
    bad = [
        "05",
        "0501",
        "3080",
        "30800000",
        "308102",
        "30810205 00",
        "3082000205 00",
        "30020501",
        "1f0100",
        "2403040100",
        "1000",
        "3003 0402 00",
        "ff",
        "0200",
        "0600",
        "30020200",
        # A BOOLEAN has one byte; an arc is whole, and begins with no needless one.
        "0100",
        "01020001",
        "060181",
        "06022a80",
        "0603802a03",
        "06042a860080",
        "06042a80860d",
    ]
    for text in bad:
        with pytest.raises(InvalidInput):
            demand_der(bytes.fromhex(text))


def test_what_was_read_is_taken_as_it_stands() -> None:
    """asn1crypto takes a length that ends in 0x80 for an indefinite one, and would sort this."""

    class Texts(core.SetOf):  # type: ignore[misc]
        _child_spec = core.OctetString

    der = wrap(0x31, wrap(0x04, b"\2" * 63) + wrap(0x04, b"\1" * 61))
    assert der[:3] == b"\x31\x81\x80"
    assert encoding_of(Texts.load(der)) == der != Texts.load(der).dump()


def test_nesting_and_object_identifiers_are_limited() -> None:
    def nested(depth: int) -> bytes:
        der = b""
        for _ in range(depth):
            length = bytes([len(der)]) if len(der) < 128 else bytes([0x81, len(der)])
            der = b"\x30" + length + der
        return der

    demand_der(nested(MAX_DER_DEPTH - 1))
    with pytest.raises(InvalidInput):
        demand_der(nested(MAX_DER_DEPTH + 1))
    with pytest.raises(InvalidInput):
        demand_der(b"\x06\x41" + b"\x81" * 64 + b"\x01")


# Answers
# --------------------------------------------------------------------------------------------------


def respond(token: bytes | None, **status: Any) -> bytes:
    fields: dict[str, Any] = {"status": status or {"status": "granted"}}
    if token is not None:
        fields["time_stamp_token"] = cms.ContentInfo.load(token)
    return bytes(TimeStampResp(fields).dump())


def test_answer_gives_the_token() -> None:
    token = Forge().make()
    assert check_response(respond(token), IMPRINT_BYTES, 42).der == token
    assert (
        check_response(respond(token, status="granted_with_mods"), IMPRINT_BYTES, 42).der == token
    )


def test_a_token_is_put_into_an_answer_byte_for_byte() -> None:
    token = Forge().make()
    assert format_response(token) == respond(token)
    assert format_response(token).endswith(token)
    assert check_response(format_response(token), IMPRINT_BYTES, 42).der == token


def test_request_says_what_is_asked() -> None:
    request = tsp.TimeStampReq.load(format_request(IMPRINT_BYTES, 42), strict=True).native
    assert request["message_imprint"] == {
        "hash_algorithm": {"algorithm": "sha256", "parameters": None},
        "hashed_message": IMPRINT_BYTES,
    }
    assert (request["version"], request["nonce"], request["cert_req"], request["req_policy"]) == (
        "v1",
        42,
        True,
        None,
    )
    under = tsp.TimeStampReq.load(format_request(IMPRINT_BYTES, 42, "2.25.7"), strict=True).native
    assert under == request | {"req_policy": "2.25.7"}
    for policy in ("", "policy", "1.2.x", "\n"):
        with pytest.raises(InvalidInput, match="OBJECT IDENTIFIER"):
            format_request(IMPRINT_BYTES, 42, policy)


def test_answers_that_must_not_be_believed() -> None:
    token = Forge().make()
    sha512 = tsp.TSTInfo(
        stamped(
            message_imprint={"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": bytes(64)}
        )
    ).dump()
    assert check_response(respond(token), IMPRINT_BYTES, 42, "1.2.3").policy == "1.2.3"
    with pytest.raises(BadAnswer, match=r"under policy 1\.2\.3, and 1\.2\.4 was asked for"):
        check_response(respond(token), IMPRINT_BYTES, 42, "1.2.4")
    for answer, imprint, nonce, words in (
        (respond(token), bytes(32), 42, "other bytes"),
        (respond(Forge(content=sha512).make()), IMPRINT_BYTES, 42, "other bytes"),
        (respond(token), IMPRINT_BYTES, 43, "nonce"),
        (
            respond(Forge(content=tsp.TSTInfo(stamped(nonce=None)).dump()).make()),
            IMPRINT_BYTES,
            42,
            "nonce",
        ),
        (respond(None), IMPRINT_BYTES, 42, "cannot be read"),
        (b"<html>busy</html>", IMPRINT_BYTES, 42, "cannot be read"),
        (bytes(MAX_RESPONSE + 1), IMPRINT_BYTES, 42, "cannot be read"),
        (
            respond(None, status="rejection", status_string=["no\x1b way"], fail_info={"bad_alg"}),
            IMPRINT_BYTES,
            42,
            "rejection, bad_alg, no? way",
        ),
        (respond(token, status="rejection"), IMPRINT_BYTES, 42, "refused: rejection"),
        (respond(None, status="waiting"), IMPRINT_BYTES, 42, "refused: waiting"),
    ):
        with pytest.raises(BadAnswer, match=words.replace("?", r"\?")):
            check_response(answer, imprint, nonce)
