"""What OpenSSL stamps, lists and answers, with every kind of key and digest, before our judge; and
our request before its responder."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from make_revocation import ANSWERS, SIGNS_ALL
from make_token import STAMPS, Issued, issue, key, trust
from real import require_real

from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.revocation import (
    check_crl,
    check_ocsp,
    format_ocsp_request,
    revocation_sources,
)
from witnesstree.ledger.tokens.token import (
    IMPRINT,
    REVOCATION,
    SIGNER,
    chain_of,
    check_response,
    format_request,
    judge_token,
    parse_token,
)
from witnesstree.ledger.trust import Trust

pytestmark = pytest.mark.real("openssl")

DOCUMENT = b"The boundary runs to the old oak."
DIGEST = hashlib.sha256(DOCUMENT).digest()
PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
TODAY = datetime.now(UTC).replace(microsecond=0)
LIFE: dict[str, Any] = {"start": TODAY - timedelta(days=1), "end": TODAY + timedelta(days=9)}
CONFIGURATION = """
[tsa]
default_tsa = stamps
[stamps]
serial = serial
signer_digest = {digest}
default_policy = 1.2.3.4.5
other_policies = 1.2.3.4.6
digests = sha256, sha384, sha512
accuracy = secs:1
tsa_name = yes
ess_cert_id_chain = {chain}
ess_cert_id_alg = {named}
[ca]
default_ca = here
[here]
database = index
crlnumber = crlnumber
default_md = sha256
default_crl_days = 2
"""


@dataclass(frozen=True)
class World:
    """A root, an authority below it and a signer below that, in a folder where `openssl` runs."""

    openssl: str
    folder: Path
    root: Issued
    middle: Issued
    signer: Issued

    def run(self, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self.openssl, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    @property
    def trust(self) -> Trust:
        return Trust(tuple(trust(self.root)))

    @property
    def chain(self) -> tuple[bytes, bytes, bytes]:
        return self.signer.der, self.middle.der, self.root.der

    def stamp(
        self,
        *,
        digest: str = "sha256",
        chain: str = "no",
        named: str = "sha256",
        query: bytes | None = None,
    ) -> bytes:
        """Return the answer of `openssl ts -reply` to `query`, by default our own request with the
        nonce 7."""
        (self.folder / "tsa.cnf").write_text(
            CONFIGURATION.format(digest=digest, chain=chain, named=named)
        )
        (self.folder / "request.tsq").write_bytes(query or format_request(DIGEST, 7))
        names = ["-signer", "signer.pem", "-inkey", "signer.key", "-chain", "chain.pem"]
        self.run(
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-queryfile",
            "request.tsq",
            *names,
            "-out",
            "answer.tsr",
        )
        return self.read("answer.tsr")


def world(folder: Path, kind: str = "rsa", above: str = "p256") -> World:
    openssl = require_real("openssl")
    root = issue("A root", None, key(above, 80), SIGNS_ALL, **LIFE)
    middle = issue("In between", root, key(above, 81), SIGNS_ALL, **LIFE)
    signer = issue("A signer", middle, key(kind, 82), STAMPS, **LIFE)
    for name, issued in (("root", root), ("middle", middle), ("signer", signer)):
        (folder / f"{name}.pem").write_bytes(issued.certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    (folder / "chain.pem").write_bytes(
        (folder / "root.pem").read_bytes() + (folder / "middle.pem").read_bytes()
    )
    (folder / "document").write_bytes(DOCUMENT)
    return World(openssl, folder, root, middle, signer)


@pytest.mark.parametrize("above", ["rsa", "p256"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521"])
def test_every_key_with_every_digest(tmp_path: Path, kind: str, digest: str, above: str) -> None:
    made = world(tmp_path, kind, above)
    token = check_response(made.stamp(digest=digest, named=digest, chain="yes"), DIGEST, 7)
    assert (token.signer.digest_algorithm, token.signer.certificate_ids[0].algorithm) == (
        digest,
        digest,
    )
    # The order in which OpenSSL puts certificates is not that of DER, and no reason to refuse them.
    assert set(token.certificates) == set(made.chain)
    judgement = judge_token(Stamp(token.der), DIGEST, made.trust)
    assert judgement.is_proven, judgement.checks
    assert chain_of(token, made.trust) == made.chain
    assert not judge_token(Stamp(token.der), DIGEST, Trust()).is_proven
    assert not judge_token(Stamp(token.der), bytes(32), made.trust).is_proven


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_signatures_with_pss(tmp_path: Path, digest: str) -> None:
    """`openssl ts` does not make them: `openssl cms` signs the content that it made.

    Ed25519 is in test_token.py, because neither makes that.
    """
    made = world(tmp_path)
    (tmp_path / "content").write_bytes(check_response(made.stamp(), DIGEST, 7).content)
    form = [
        "-sign",
        "-binary",
        "-nodetach",
        "-cades",
        "-econtent_type",
        "1.2.840.113549.1.9.16.1.4",
        "-outform",
        "DER",
        "-certfile",
        "middle.pem",
    ]
    by = [
        "-signer",
        "signer.pem",
        "-inkey",
        "signer.key",
        "-md",
        digest,
        "-keyopt",
        "rsa_padding_mode:pss",
    ]
    made.run("cms", *form, "-in", "content", *by, "-out", "signed")
    token = parse_token(made.read("signed"))
    assert token.signer.method.pss is not None
    assert token.signer.method.pss[:2] == (digest, digest)
    judgement = judge_token(Stamp(token.der), DIGEST, made.trust)
    assert judgement.is_proven, judgement.checks


@pytest.mark.parametrize("imprint", ["sha384", "sha512"])
def test_imprints_of_other_digests_are_of_other_bytes(tmp_path: Path, imprint: str) -> None:
    made = world(tmp_path)
    made.run("ts", "-query", "-data", "document", f"-{imprint}", "-cert", "-out", "other.tsq")
    answer = made.stamp(query=made.read("other.tsq"))
    outside = parse_token(answer[answer.index(bytes.fromhex("06092a864886f70d010702")) - 4 :])
    assert (outside.imprint_algorithm, outside.imprint) == (
        imprint,
        hashlib.new(imprint, DOCUMENT).digest(),
    )
    judgement = judge_token(Stamp(outside.der), DIGEST, made.trust)
    assert [check.name for check in judgement.checks if check.outcome is FAILED] == [IMPRINT]


@pytest.mark.parametrize("place", ["beside", "trusted", "both"])
def test_token_without_certificates(tmp_path: Path, place: str) -> None:
    made = world(tmp_path)
    made.run("ts", "-query", "-data", "document", "-sha256", "-no_nonce", "-out", "bare.tsq")
    answer = made.stamp(query=made.read("bare.tsq"))
    token = parse_token(answer[answer.index(bytes.fromhex("06092a864886f70d010702")) - 4 :])
    assert token.certificates == ()
    judgement = judge_token(Stamp(token.der), DIGEST, made.trust)
    assert {check.name for check in judgement.checks if check.outcome is UNKNOWN} >= {SIGNER}
    rest = made.chain[:2]
    known = {"beside": (rest, ()), "trusted": ((), rest), "both": (rest[:1], rest[1:])}[place]
    judgement = judge_token(
        Stamp(token.der, known[0]), DIGEST, Trust(made.trust.roots, certificates=known[1])
    )
    assert judgement.is_proven, judgement.checks
    assert chain_of(token, Trust(made.trust.roots, certificates=known[1]), known[0]) == made.chain
    # What stands beside a token or helps to build chains is never trusted.
    assert not judge_token(
        Stamp(token.der, made.chain), DIGEST, Trust(certificates=made.chain)
    ).is_proven


def test_the_policy_that_was_asked_for(tmp_path: Path) -> None:
    made = world(tmp_path)
    answer = made.stamp(query=format_request(DIGEST, 7, "1.2.3.4.6"))
    assert check_response(answer, DIGEST, 7, "1.2.3.4.6").policy == "1.2.3.4.6"


@pytest.mark.parametrize("reason", [None, "superseded", "keyCompromise"])
@pytest.mark.parametrize("kind", ["crl", "ocsp", "ocsp by a delegate"])
def test_its_lists_and_answers(tmp_path: Path, kind: str, reason: str | None) -> None:
    made = world(tmp_path)
    token = check_response(made.stamp(chain="yes"), DIGEST, 7)
    below, above = revocation_sources(chain_of(token, made.trust))
    revoked = f"R\t{TODAY + timedelta(days=9):%y%m%d%H%M%SZ}\t{TODAY - timedelta(hours=1):%y%m%d%H%M%SZ},{reason}"  # noqa: E501
    line = revoked if reason else f"V\t{TODAY + timedelta(days=9):%y%m%d%H%M%SZ}\t"
    (tmp_path / "index").write_text(
        f"{line}\t{made.signer.certificate.serial_number:040X}\tunknown\t/CN=A signer\n"
    )
    (tmp_path / "index.attr").write_text("unique_subject = no\n")
    (tmp_path / "crlnumber").write_text("01\n")
    made.run(
        "ca",
        "-gencrl",
        "-config",
        "tsa.cnf",
        "-cert",
        "middle.pem",
        "-keyfile",
        "middle.key",
        "-out",
        "crl.pem",
    )
    made.run("crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
    responder = (
        issue("A responder", made.middle, key("rsa", 83), (ANSWERS,), **LIFE)
        if "delegate" in kind
        else made.middle
    )
    (tmp_path / "responder.pem").write_bytes(responder.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "responder.key").write_bytes(
        responder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "request.ocsp").write_bytes(format_ocsp_request(below.certificate, below.issuer))
    by = [
        "-index",
        "index",
        "-CA",
        "middle.pem",
        "-rsigner",
        "responder.pem",
        "-rkey",
        "responder.key",
        "-rmd",
        "sha256",
    ]
    made.run("ocsp", *by, "-reqin", "request.ocsp", "-respout", "answer.ocsp", "-ndays", "1")
    crl, answer = made.read("crl.der"), made.read("answer.ocsp")
    check_crl(crl, below, token.gen_time)
    check_ocsp(answer, below, token.gen_time)
    (tmp_path / "index").write_text("")
    made.run(
        "ca",
        "-gencrl",
        "-config",
        "tsa.cnf",
        "-cert",
        "root.pem",
        "-keyfile",
        "root.key",
        "-out",
        "crl.pem",
    )
    made.run("crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
    check_crl(made.read("crl.der"), above, token.gen_time)
    crls = (made.read("crl.der"), *([crl] if kind == "crl" else []))
    judgement = judge_token(
        Stamp(token.der, (), crls, () if kind == "crl" else (answer,)), DIGEST, made.trust
    )
    assert (judgement.checks[-1].name, judgement.checks[-1].outcome) == (
        REVOCATION,
        FAILED if reason else PASSED,
    ), judgement.checks[-1].reason
