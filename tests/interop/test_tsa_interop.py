"""Our tokens before other people's programs, and other people's tokens before us."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc3161_client
import rfc3161ng
from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from real import require_real
from servers.tsa import (
    OpenSslAuthority,
    SigstoreAuthority,
    openssl_authority,
    replying,
    sigstore_authority,
    talking,
)

from witnesstree.anchor.settings import AuthoritySettings
from witnesstree.anchor.tsa.client import HttpAuthority
from witnesstree.anchor.tsa.local import POLICY, LocalAuthority, trusted_root
from witnesstree.ledger.base.report import Assurance, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.revocation import REVOCATION
from witnesstree.ledger.tokens.token import (
    CHAIN,
    FORM,
    IMPRINT,
    SIGNATURE,
    SIGNER,
    TimeStampResp,
    TokenJudgement,
    judge_token,
    parse_token,
)
from witnesstree.ledger.trust import Trust, TrustedRoot

DOCUMENT = b"The boundary runs to the old oak."
DIGEST = hashlib.sha256(DOCUMENT).digest()
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "authority"
    # `openssl ts -verify` asks whether the certificates are valid today.
    LocalAuthority.create(folder, datetime.now(UTC) - timedelta(days=1))
    return folder


@pytest.fixture
def authority(folder: Path) -> LocalAuthority:
    return LocalAuthority.open(folder, lambda: datetime.now(UTC))


@dataclass(frozen=True)
class OpenSSL:
    """The `openssl` program, run in one folder."""

    path: str
    folder: Path

    def run(self, *arguments: str | Path, fails: bool = False) -> str:
        """Run `openssl`; assert that it succeeds, or that it fails. Return what it said."""
        done = subprocess.run(
            [self.path, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stderr + done.stdout
        return done.stdout + done.stderr


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    (tmp_path / "document").write_bytes(DOCUMENT)
    return OpenSSL(require_real("openssl"), tmp_path)


def judge(token: bytes, digest: bytes, roots: list[TrustedRoot]) -> TokenJudgement:
    """Judge a token with nothing beside it."""
    return judge_token(Stamp(token), digest, Trust(tuple(roots)))


# Our tokens
# --------------------------------------------------------------------------------------------------


QUERIES = {
    "plain": ["-sha256"],
    "with certificate": ["-sha256", "-cert"],
    "without nonce": ["-sha256", "-cert", "-no_nonce"],
    "SHA-384": ["-sha384", "-cert"],
    "SHA-512": ["-sha512", "-cert"],
    "with policy": ["-sha256", "-cert", "-tspolicy", POLICY],
}


@pytest.mark.real("openssl")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_openssl_accepts_answers_to_its_queries(
    openssl: OpenSSL, authority: LocalAuthority, folder: Path, query: list[str]
) -> None:
    openssl.run("ts", "-query", "-data", "document", *query, "-out", "request.tsq")
    (openssl.folder / "answer.tsr").write_bytes(
        authority.answer((openssl.folder / "request.tsq").read_bytes(), datetime.now(UTC))
    )
    text = openssl.run("ts", "-reply", "-in", "answer.tsr", "-text")
    assert "Status: Granted." in text
    assert f"Policy OID: {POLICY}" in text
    assert "Accuracy: 0x01 seconds" in text
    assert ("Nonce: unspecified" in text) is ("-no_nonce" in query)
    assert "proves nothing to third parties" in text
    trust: list[str | Path] = ["-CAfile", folder / "root.pem", "-untrusted", folder / "tsa.pem"]
    for asked in (["-queryfile", "request.tsq"], ["-data", "document"]):
        assert "Verification: OK" in openssl.run(
            "ts", "-verify", "-in", "answer.tsr", *asked, *trust
        )
    (openssl.folder / "other").write_bytes(b"The boundary runs to the young oak.")
    assert "message imprint mismatch" in openssl.run(
        "ts", "-verify", "-in", "answer.tsr", "-data", "other", *trust, fails=True
    )
    # An answer to one query is none to the next.
    openssl.run("ts", "-query", "-data", "other", *query, "-out", "next.tsq")
    openssl.run("ts", "-verify", "-in", "answer.tsr", "-queryfile", "next.tsq", *trust, fails=True)


@pytest.mark.real("openssl")
def test_openssl_accepts_a_token_for_its_digest_only(
    openssl: OpenSSL, authority: LocalAuthority, folder: Path, tmp_path: Path
) -> None:
    (openssl.folder / "token").write_bytes(authority.stamp(DIGEST).token)
    arguments = ["ts", "-verify", "-in", "token", "-token_in"]
    assert "Verification: OK" in openssl.run(
        *arguments, "-digest", DIGEST.hex(), "-CAfile", folder / "root.pem"
    )
    openssl.run(*arguments, "-digest", bytes(32).hex(), "-CAfile", folder / "root.pem", fails=True)
    LocalAuthority.create(tmp_path / "another", datetime.now(UTC))
    openssl.run(
        *arguments,
        "-digest",
        DIGEST.hex(),
        "-CAfile",
        tmp_path / "another" / "root.pem",
        fails=True,
    )


REFUSALS = {
    "SHA-1": (["-sha1"], "unrecognized or unsupported algorithm identifier"),
    "policy": (["-sha256", "-tspolicy", "1.2.3.4"], "policy is not supported by the TSA"),
}


@pytest.mark.real("openssl")
@pytest.mark.parametrize(("query", "words"), REFUSALS.values(), ids=REFUSALS)
def test_openssl_reads_our_refusals(
    openssl: OpenSSL, authority: LocalAuthority, query: list[str], words: str
) -> None:
    openssl.run("ts", "-query", "-data", "document", *query, "-out", "request.tsq")
    (openssl.folder / "answer.tsr").write_bytes(
        authority.answer((openssl.folder / "request.tsq").read_bytes(), datetime.now(UTC))
    )
    text = openssl.run("ts", "-reply", "-in", "answer.tsr", "-text")
    assert "Status: Rejected." in text
    assert words in text


@pytest.mark.real("openssl")
def test_openssl_reads_every_failure(openssl: OpenSSL, authority: LocalAuthority) -> None:
    (openssl.folder / "answer.tsr").write_bytes(authority.answer(b"", datetime.now(UTC)))
    assert "Failure info: the data submitted has the wrong format" in openssl.run(
        "ts", "-reply", "-in", "answer.tsr", "-text"
    )
    (openssl.folder / "answer.tsr").write_bytes(
        authority.answer(rfc3161_request(), datetime(1999, 1, 1, tzinfo=UTC))
    )
    assert "time source is not available" in openssl.run(
        "ts", "-reply", "-in", "answer.tsr", "-text"
    )


@pytest.fixture
def served(authority: LocalAuthority) -> Iterator[str]:
    """The authority behind HTTP (RFC 3161, 3.4) on this machine; its address."""
    with talking(replying(lambda request: authority.answer(request, datetime.now(UTC)))) as url:
        yield url


@pytest.mark.enable_socket
@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("asks_for_certificate", [True, False])
def test_rfc3161ng_accepts_our_tokens(
    served: str, folder: Path, hash_name: str, *, asks_for_certificate: bool
) -> None:
    stamper = rfc3161ng.RemoteTimestamper(
        served,
        certificate=(folder / "tsa.pem").read_bytes(),
        hashname=hash_name,
        include_tsa_certificate=asks_for_certificate,
    )
    digest = hashlib.new(hash_name, DOCUMENT).digest()
    token = stamper(digest=digest, nonce=2**63 + 1)
    assert stamper.check(token, digest=digest, nonce=2**63 + 1) is True
    assert abs(rfc3161ng.get_timestamp(token, naive=False) - datetime.now(UTC)) < timedelta(
        minutes=1
    )
    with pytest.raises(ValueError, match="imprint"):
        stamper.check(token, digest=bytes(len(digest)))
    if hash_name == "sha256":
        judgement = judge(token, digest, [trusted_root(folder), *signer_of(folder)])
        assert judgement.is_proven, judgement.checks


def signer_of(folder: Path) -> list[TrustedRoot]:
    certificate = x509.load_pem_x509_certificate((folder / "tsa.pem").read_bytes())
    return [TrustedRoot(certificate.public_bytes(Encoding.DER), "tsa.pem", Assurance.LOCAL)]


def rfc3161_request() -> bytes:
    return (
        rfc3161_client.TimestampRequestBuilder()
        .data(DOCUMENT)
        .hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
        .build()
        .as_bytes()
    )


def test_rfc3161_client_accepts_our_answers(
    authority: LocalAuthority, folder: Path, tmp_path: Path
) -> None:
    request = (
        rfc3161_client.TimestampRequestBuilder()
        .data(DOCUMENT)
        .hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
        .build()
    )
    response = rfc3161_client.decode_timestamp_response(
        authority.answer(request.as_bytes(), datetime.now(UTC))
    )
    root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
    verifier = (
        rfc3161_client.VerifierBuilder.from_request(request).add_root_certificate(root).build()
    )
    assert verifier.verify_message(response, DOCUMENT) is True
    with pytest.raises(rfc3161_client.VerificationError):
        verifier.verify_message(response, DOCUMENT + b"!")
    LocalAuthority.create(tmp_path, datetime.now(UTC))
    other = x509.load_pem_x509_certificate((tmp_path / "root.pem").read_bytes())
    with pytest.raises(rfc3161_client.VerificationError):
        rfc3161_client.VerifierBuilder(roots=[other]).build().verify_message(response, DOCUMENT)


# Their tokens
# --------------------------------------------------------------------------------------------------


CONFIGURATION = """
[req]
distinguished_name = name
prompt = no
[name]
CN = An OpenSSL {role}
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = {purpose}
subjectKeyIdentifier = hash
[tsa]
default_tsa = stamps
[stamps]
serial = serial
signer_digest = {digest}
default_policy = 1.2.3.4.5
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
ordering = no
tsa_name = yes
ess_cert_id_chain = {chain}
ess_cert_id_alg = {named}
"""

KEYS = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
}


def configure(openssl: OpenSSL, name: str, **values: str) -> str:
    values = {
        "role": name,
        "purpose": "critical, timeStamping",
        "digest": "sha256",
        "chain": "no",
        "named": "sha256",
    } | values
    (openssl.folder / f"{name}.cnf").write_text(CONFIGURATION.format(**values))
    return f"{name}.cnf"


def make_root(openssl: OpenSSL, name: str = "root", kind: str = "rsa") -> TrustedRoot:
    configuration = configure(openssl, name)
    openssl.run("genpkey", *KEYS[kind], "-out", f"{name}.key")
    openssl.run(
        "req",
        "-x509",
        "-new",
        "-key",
        f"{name}.key",
        "-config",
        configuration,
        "-extensions",
        "root",
        "-days",
        "30",
        "-out",
        f"{name}.pem",
    )
    return TrustedRoot(
        x509.load_pem_x509_certificate((openssl.folder / f"{name}.pem").read_bytes()).public_bytes(
            Encoding.DER
        ),
        name,
        Assurance.PRIVATE,
    )


def make_token(
    openssl: OpenSSL, kind: str = "rsa", *, carries_certificates: bool = True, **values: str
) -> bytes:
    """Return a token for DOCUMENT by `openssl ts -reply`, under root.pem."""
    configuration = configure(openssl, "signer", **values)
    openssl.run("genpkey", *KEYS[kind], "-out", "signer.key")
    openssl.run("req", "-new", "-key", "signer.key", "-config", configuration, "-out", "signer.csr")
    issuing = [
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
        "-CAcreateserial",
        "-days",
        "20",
        "-extfile",
        configuration,
        "-extensions",
        "signer",
    ]
    openssl.run("x509", "-req", "-in", "signer.csr", *issuing, "-out", "signer.pem")
    chain = ["-chain", "root.pem"] if "chain" in values else []
    return stamp(openssl, configuration, *chain, carries_certificates=carries_certificates)


def stamp(
    openssl: OpenSSL, configuration: str, *chain: str, carries_certificates: bool = True
) -> bytes:
    openssl.run(
        "ts",
        "-query",
        "-data",
        "document",
        "-sha256",
        *(["-cert"] if carries_certificates else []),
        "-out",
        "request.tsq",
    )
    reply = [
        "ts",
        "-reply",
        "-config",
        configuration,
        "-queryfile",
        "request.tsq",
        "-signer",
        "signer.pem",
        "-inkey",
        "signer.key",
    ]
    openssl.run(*reply, *chain, "-out", "answer.tsr")
    return bytes(
        TimeStampResp.load((openssl.folder / "answer.tsr").read_bytes())["time_stamp_token"].dump()
    )


def outcomes(judgement: TokenJudgement) -> dict[str, Outcome]:
    """Return what became of the checks, but for the revocation of these certificates, which nobody
    can be asked about."""
    return {check.name: check.outcome for check in judgement.checks if check.name != REVOCATION}


def all_but(name: str, outcome: Outcome) -> dict[str, Outcome]:
    return dict.fromkeys((FORM, IMPRINT, SIGNER, SIGNATURE, CHAIN), PASSED) | {name: outcome}


TOKENS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "RSA under RSA": ("rsa", "rsa", {}),
    "EC under EC": ("p256", "p256", {}),
    "P-384 under RSA, SHA-384": ("rsa", "p384", {"digest": "sha384"}),
    "RSA under EC, SHA-512": ("p384", "rsa", {"digest": "sha512"}),
    "named by SHA-1": ("rsa", "rsa", {"named": "sha1"}),
    "named by SHA-512, with its chain": ("rsa", "rsa", {"named": "sha512", "chain": "yes"}),
}


@pytest.mark.real("openssl")
@pytest.mark.parametrize(("above", "below", "values"), TOKENS.values(), ids=TOKENS)
def test_tokens_of_openssl_are_proven(
    openssl: OpenSSL, above: str, below: str, values: dict[str, Any]
) -> None:
    root = make_root(openssl, kind=above)
    der = make_token(openssl, below, **values)
    judgement = judge(der, DIGEST, [root])
    assert judgement.is_proven, judgement.checks
    assert judgement.assurance is Assurance.PRIVATE
    token = parse_token(der)
    assert (token.policy, token.accuracy) == (
        "1.2.3.4.5",
        timedelta(seconds=1, milliseconds=500, microseconds=100),
    )
    assert abs(token.gen_time - datetime.now(UTC)) < timedelta(minutes=1)
    assert token.tsa == "An OpenSSL signer"
    # A second opinion on the same bytes, except that rfc3161-client wants the certificates sorted,
    # and OpenSSL 3.0 does not sort them.
    if "chain" in values:
        return
    response = rfc3161_client.decode_timestamp_response(
        (openssl.folder / "answer.tsr").read_bytes()
    )
    verifier = rfc3161_client.VerifierBuilder(
        roots=[x509.load_der_x509_certificate(root.certificate)]
    ).build()
    assert verifier.verify_message(response, DOCUMENT) is True


@pytest.mark.real("openssl")
def test_token_of_openssl_for_other_bytes_or_under_another_root(openssl: OpenSSL) -> None:
    root = make_root(openssl)
    der = make_token(openssl)
    assert outcomes(judge(der, bytes(32), [root])) == all_but(IMPRINT, FAILED)
    assert outcomes(judge(der, DIGEST, [make_root(openssl, "other")])) == all_but(CHAIN, UNKNOWN)
    assert judge(der, DIGEST, [make_root(openssl, "another", "p256"), root]).is_proven


@pytest.mark.real("openssl")
@pytest.mark.parametrize("purpose", ["critical, timeStamping, codeSigning", "timeStamping"])
def test_token_of_openssl_by_a_certificate_for_something_else(
    openssl: OpenSSL, purpose: str
) -> None:
    """`openssl ts -reply` itself refuses to sign with such a certificate, so its certificate is
    changed after the fact, and stamped with anyway."""
    root = make_root(openssl)
    make_token(openssl)
    configuration = configure(openssl, "wrong", purpose=purpose)
    issuing = [
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
        "-days",
        "20",
        "-extfile",
        configuration,
        "-extensions",
        "signer",
    ]
    openssl.run("x509", "-req", "-in", "signer.csr", *issuing, "-out", "wrong.pem")
    # Stamped again, so that the token is not older than the certificate.
    stamp(openssl, configure(openssl, "signer"))
    der = sign_with_cms(openssl, "wrong.pem")
    assert outcomes(judge(der, DIGEST, [root])) == all_but(SIGNER, FAILED)


def sign_with_cms(openssl: OpenSSL, certificate: str, *more: str) -> bytes:
    """Return the newest token's content signed anew by `openssl cms`, which does not ask what a
    certificate is for."""
    content = parse_token(
        TimeStampResp.load((openssl.folder / "answer.tsr").read_bytes())["time_stamp_token"].dump()
    ).content
    (openssl.folder / "content").write_bytes(content)
    arguments = [
        "-sign",
        "-binary",
        "-nodetach",
        "-cades",
        "-md",
        "sha256",
        "-econtent_type",
        "1.2.840.113549.1.9.16.1.4",
        "-outform",
        "DER",
    ]
    openssl.run(
        "cms",
        *arguments,
        "-in",
        "content",
        "-signer",
        certificate,
        "-inkey",
        "signer.key",
        *more,
        "-out",
        "signed.der",
    )
    return (openssl.folder / "signed.der").read_bytes()


@pytest.mark.real("openssl")
def test_token_of_openssl_signed_with_pss(openssl: OpenSSL) -> None:
    root = make_root(openssl)
    make_token(openssl)
    der = sign_with_cms(openssl, "signer.pem", "-keyopt", "rsa_padding_mode:pss")
    assert parse_token(der).signer.method.algorithm == "rsassa_pss"
    assert judge(der, DIGEST, [root]).is_proven


@pytest.mark.real("openssl")
def test_token_of_openssl_by_an_expired_certificate(openssl: OpenSSL) -> None:
    root = make_root(openssl)
    make_token(openssl)
    (openssl.folder / "index").write_text("")
    here = (
        "database = index\nrand_serial = yes\nnew_certs_dir = .\npolicy = any\ndefault_md ="
        " sha256\n"
    )
    section = f"[ca]\ndefault_ca = here\n[here]\n{here}[any]\ncommonName = supplied\n"
    configuration = configure(openssl, "signer")
    (openssl.folder / configuration).write_text(
        section + (openssl.folder / configuration).read_text()
    )
    dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
    names = [
        "-cert",
        "root.pem",
        "-keyfile",
        "root.key",
        "-config",
        configuration,
        "-extensions",
        "signer",
    ]
    openssl.run(
        "ca", "-batch", "-notext", *names, *dates, "-in", "signer.csr", "-out", "signer.pem"
    )
    judgement = judge(stamp(openssl, configuration), DIGEST, [root])
    assert outcomes(judgement) == all_but(CHAIN, FAILED)
    assert "was not valid at the token's time" in next(
        check.reason for check in judgement.checks if check.name == CHAIN
    )


@pytest.mark.real("openssl")
def test_token_of_openssl_without_certificates(openssl: OpenSSL) -> None:
    root = make_root(openssl)
    der = make_token(openssl, carries_certificates=False)
    judgement = judge(der, DIGEST, [root])
    assert outcomes(judgement) == {
        FORM: PASSED,
        IMPRINT: PASSED,
        SIGNER: UNKNOWN,
        SIGNATURE: UNKNOWN,
        CHAIN: UNKNOWN,
    }
    signer = x509.load_pem_x509_certificate(
        (openssl.folder / "signer.pem").read_bytes()
    ).public_bytes(Encoding.DER)
    assert judge(der, DIGEST, [TrustedRoot(signer, "signer.pem", Assurance.PRIVATE)]).is_proven


@pytest.mark.real("openssl")
def test_foreign_certificates_in_a_token_of_openssl_change_nothing(
    openssl: OpenSSL, folder: Path
) -> None:
    root = make_root(openssl)
    der = make_token(openssl)
    foreign = signer_of(folder)[0].certificate
    info = cms.ContentInfo.load(der)
    kept = [choice.chosen for choice in info["content"]["certificates"]]
    info["content"]["certificates"] = [asn1_x509.Certificate.load(foreign), *kept]
    injected = info.dump()
    assert foreign in parse_token(injected).certificates
    assert judge(injected, DIGEST, [root]).is_proven
    assert outcomes(judge(injected, DIGEST, [trusted_root(folder)])) == all_but(CHAIN, UNKNOWN)
    info["content"]["certificates"] = [asn1_x509.Certificate.load(foreign)]
    assert outcomes(judge(info.dump(force=True), DIGEST, [root]))[SIGNER] is UNKNOWN


# Kept stamps
# --------------------------------------------------------------------------------------------------


def keep(openssl: OpenSSL, url: str, root: bytes, *between: bytes) -> list[str]:
    """Let our client fetch a token from `url`; return the arguments with which `openssl ts -verify`
    reads what was kept of it, and nothing else."""
    trust = Trust((TrustedRoot(root, "the test", Assurance.PRIVATE),), certificates=between)
    authority = HttpAuthority("court", AuthoritySettings(url=url, private_addresses=True), trust)
    stamp = authority.stamp(DIGEST)
    authority.close()
    (openssl.folder / "token").write_bytes(stamp.token)
    (openssl.folder / "kept-root.pem").write_bytes(
        x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM)
    )
    beside = [
        x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM)
        for each in stamp.certificates
    ]
    (openssl.folder / "beside.pem").write_bytes(b"".join(beside))
    return [
        "ts",
        "-verify",
        "-in",
        "token",
        "-token_in",
        "-CAfile",
        "kept-root.pem",
        *(["-untrusted", "beside.pem"] if beside else []),
    ]


@pytest.mark.enable_socket
@pytest.mark.real("openssl")
@pytest.mark.parametrize("carries_chain", [True, False])
def test_openssl_accepts_what_we_keep_of_its_own_answers(
    openssl: OpenSSL, tmp_path_factory: pytest.TempPathFactory, *, carries_chain: bool
) -> None:
    server: OpenSslAuthority
    with openssl_authority(
        tmp_path_factory.mktemp("server"),
        carries_chain=carries_chain,
        revocation=frozenset({"issuer"}),
    ) as server:
        arguments = keep(openssl, server.url, server.root.certificate.public_bytes(Encoding.DER))
    assert ("-untrusted" in arguments) is not carries_chain
    assert "Verification: OK" in openssl.run(*arguments, "-digest", DIGEST.hex())
    openssl.run(*arguments, "-digest", bytes(32).hex(), fails=True)


@pytest.mark.enable_socket
@pytest.mark.real("openssl", "timestamp-server")
def test_openssl_accepts_what_we_keep_of_sigstores_answers(openssl: OpenSSL) -> None:
    server: SigstoreAuthority
    with sigstore_authority() as server:
        _, between, root = server.chain
        arguments = keep(openssl, server.url, root, between)
    assert "Verification: OK" in openssl.run(*arguments, "-digest", DIGEST.hex())
    openssl.run(*arguments, "-digest", bytes(32).hex(), fails=True)
