"""Keys, certificates, CRLs, OCSP answers and signatures that OpenSSL made with SM2 and SM3, before
our judge; and SM3 in the timestamps that it makes itself.

`openssl ts` and `openssl cms` sign with no SM2 key: the fields of those tokens are put together
here, and `openssl pkeyutl` signs them.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import tsp
from commandline import call
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from make_sm2 import SIGNER, SM3, private, sm2_token, sm3
from make_token import STAMPS, Issued, attribute, issue, key, stamped, trust
from real import require_real

from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.revocation import (
    check_crl,
    check_ocsp,
    format_ocsp_request,
    revocation_sources,
)
from witnesstree.ledger.tokens.signature import Method, is_signed, read_key
from witnesstree.ledger.tokens.token import (
    chain_of,
    check_response,
    format_request,
    judge_token,
    parse_token,
)
from witnesstree.ledger.trust import Trust

pytestmark = pytest.mark.real("openssl")

DOCUMENT = "边界止于老橡树。".encode()
DIGEST = sm3(DOCUMENT)
PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
NAMED = f"distid:{SIGNER.decode()}"
EXTENSIONS = {
    "middle": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n",
    "signer": "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n",
}
CONFIGURATION = """
[req]
distinguished_name = name
x509_extensions = root
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[tsa]
default_tsa = stamps
[stamps]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.5
digests = sm3
ess_cert_id_alg = sm3
[ca]
default_ca = here
[here]
database = index
crlnumber = crlnumber
default_md = sm3
default_crl_days = 2
"""


@dataclass(frozen=True)
class World:
    """A folder where `openssl` runs, with a root, an authority below it and a signer below that."""

    openssl: str
    folder: Path

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

    def issued(self, name: str) -> Issued:
        return Issued(x509.load_pem_x509_certificate(self.read(f"{name}.pem")), name)

    @property
    def trust(self) -> Trust:
        return Trust(tuple(trust(self.issued("root"))))

    def sign(self, name: str, content: bytes, signer: str = NAMED) -> bytes:
        (self.folder / "signed").write_bytes(content)
        by = ("-inkey", f"{name}.key", "-rawin", "-digest", "sm3", "-pkeyopt", signer)
        self.run("pkeyutl", "-sign", *by, "-in", "signed", "-out", "signature")
        return self.read("signature")

    def token(self, signer: str = NAMED, **changes: Any) -> bytes:
        made = self.issued("signer")
        imprint = {"hash_algorithm": {"algorithm": SM3}, "hashed_message": DIGEST}
        now = datetime.now(UTC).replace(microsecond=0)
        content = tsp.TSTInfo(stamped(message_imprint=imprint, gen_time=now)).dump()
        named = {"hash_algorithm": {"algorithm": SM3}, "cert_hash": sm3(made.der)}
        return sm2_token(
            made,
            content=content,
            certificates=[made.der, self.issued("middle").der],
            attributes=[
                attribute("content_type", "tst_info"),
                attribute("message_digest", sm3(content)),
                attribute("signing_certificate_v2", {"certs": [named]}),
            ],
            sign=lambda name, body: self.sign(name, body, signer),
            **changes,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(require_real("openssl"), tmp_path_factory.mktemp("sm2"))
    (world.folder / "openssl.cnf").write_text(CONFIGURATION)
    by, form = ("-sm3", "-sigopt", NAMED), ("-config", "openssl.cnf")
    for name in ("root", "middle", "signer"):
        world.run("genpkey", "-algorithm", "SM2", "-out", f"{name}.key")
    alone = ("-key", "root.key", "-subj", "/CN=SM2 root", "-out", "root.pem")
    world.run("req", "-x509", "-new", *form, *by, *alone, "-days", "9")
    for name, above in (("middle", "root"), ("signer", "middle")):
        (world.folder / f"{name}.ext").write_text(EXTENSIONS[name])
        asked = ("-key", f"{name}.key", "-subj", f"/CN=SM2 {name}", "-out", f"{name}.csr")
        world.run("req", "-new", *form, *by, *asked)
        given = ("-in", f"{name}.csr", "-vfyopt", NAMED, "-extfile", f"{name}.ext")
        issuer = ("-CA", f"{above}.pem", "-CAkey", f"{above}.key", "-CAcreateserial")
        world.run("x509", "-req", *by, *given, *issuer, "-days", "9", "-out", f"{name}.pem")
    (world.folder / "crlnumber").write_text("01\n")
    (world.folder / "index").write_text("")
    (world.folder / "index.attr").write_text("unique_subject = no\n")
    (world.folder / "document").write_bytes(DOCUMENT)
    return world


@pytest.mark.parametrize("method", ["1.2.156.10197.1.501", "1.2.156.10197.1.301.1"])
def test_a_token_by_its_keys(made: World, method: str) -> None:
    token = parse_token(made.token(algorithm={"algorithm": method}))
    judgement = judge_token(Stamp(token.der), DIGEST, made.trust, "sm3")
    assert judgement.is_proven, judgement.checks
    names = ("signer", "middle", "root")
    assert chain_of(token, made.trust) == tuple(made.issued(name).der for name in names)
    assert not judge_token(Stamp(token.der), bytes(32), made.trust, "sm3").is_proven
    assert not judge_token(Stamp(token.der), DIGEST, Trust(), "sm3").is_proven


def test_a_signature_under_another_name(made: World) -> None:
    token = made.token("distid:ALICE123@YAHOO.COM")
    checks = judge_token(Stamp(token), DIGEST, made.trust, "sm3").checks
    assert [check.name for check in checks if check.outcome is FAILED] == ["token.signature"]


def test_it_takes_the_signatures_that_tests_make(made: World) -> None:
    """Else the tests without it would show nothing but that we agree with ourselves."""
    own = private(5)
    (made.folder / "own.der").write_bytes(own.key_info)
    (made.folder / "signature").write_bytes(own.sign(DOCUMENT))
    by = ("-pubin", "-inkey", "own.der", "-keyform", "DER", "-rawin", "-digest", "sm3")
    over = ("-pkeyopt", NAMED, "-in", "document", "-sigfile", "signature")
    made.run("pkeyutl", "-verify", *by, *over)
    assert sm3(DOCUMENT) == DIGEST
    made.run("dgst", "-sm3", "-binary", "-out", "digest", "document")
    assert made.read("digest") == DIGEST


def test_a_hundred_of_its_signatures(made: World) -> None:
    made.run("pkey", "-in", "signer.key", "-pubout", "-outform", "DER", "-out", "public.der")
    public, method = read_key(made.read("public.der")), Method("sm3_sm2", "sm3", None)
    for number in range(100):
        content = DOCUMENT * number
        signature = made.sign("signer", content)
        assert is_signed(content, signature, method, public) is True
        assert is_signed(content + b".", signature, method, public) is False


@pytest.mark.parametrize("reason", [None, "superseded", "keyCompromise"])
def test_its_lists_and_answers(made: World, reason: str | None) -> None:
    token = parse_token(made.token())
    below, above = revocation_sources(chain_of(token, made.trust))
    end, since = datetime.now(UTC) + timedelta(days=9), datetime.now(UTC) - timedelta(hours=1)
    state = f"R\t{end:%y%m%d%H%M%SZ}\t{since:%y%m%d%H%M%SZ},{reason}"
    line = state if reason else f"V\t{end:%y%m%d%H%M%SZ}\t"
    serial = made.issued("signer").certificate.serial_number
    (made.folder / "index").write_text(f"{line}\t{serial:040X}\tunknown\t/CN=SM2 signer\n")
    crl = _list_of(made, "middle")
    (made.folder / "request").write_bytes(format_ocsp_request(below.certificate, below.issuer))
    by = ("-rsigner", "middle.pem", "-rkey", "middle.key", "-rmd", "sm3", "-rsigopt", NAMED)
    about = ("-index", "index", "-CA", "middle.pem", "-reqin", "request", "-ndays", "1")
    made.run("ocsp", *about, *by, "-respout", "answer")
    (made.folder / "index").write_text("")
    rest, answer = _list_of(made, "root"), made.read("answer")
    check_crl(crl, below, token.gen_time)
    check_crl(rest, above, token.gen_time)
    check_ocsp(answer, below, token.gen_time)
    for stamp in (
        Stamp(token.der, (), (crl, rest)),
        Stamp(token.der, (), (rest,), (answer,)),
    ):
        found = judge_token(stamp, DIGEST, made.trust, "sm3").checks[-1]
        assert found.outcome is (FAILED if reason else PASSED), found.reason


def _list_of(made: World, name: str) -> bytes:
    by = ("-cert", f"{name}.pem", "-keyfile", f"{name}.key", "-sigopt", NAMED)
    made.run("ca", "-gencrl", "-config", "openssl.cnf", *by, "-out", "crl.pem")
    made.run("crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
    return made.read("crl.der")


@pytest.mark.parametrize("asked", ["by us", "by it"])
def test_its_own_timestamps_over_sm3(made: World, asked: str) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    life: dict[str, Any] = {"start": now - timedelta(days=1), "end": now + timedelta(days=1)}
    signer = issue("A signer", None, key("rsa", 920), STAMPS, **life)
    (made.folder / "rsa.pem").write_bytes(signer.certificate.public_bytes(Encoding.PEM))
    (made.folder / "rsa.key").write_bytes(
        signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (made.folder / "query").write_bytes(format_request(DIGEST, 7, algorithm="sm3"))
    if asked == "by it":
        made.run("ts", "-query", "-data", "document", "-sm3", "-cert", "-out", "query")
    nonce = tsp.TimeStampReq.load(made.read("query"))["nonce"].native
    by = ("-signer", "rsa.pem", "-inkey", "rsa.key", "-config", "openssl.cnf")
    made.run("ts", "-reply", "-queryfile", "query", *by, "-out", "reply")
    token = check_response(made.read("reply"), DIGEST, nonce, algorithm="sm3")
    assert token.signer.certificate_ids[0].algorithm == "sm3"
    judgement = judge_token(Stamp(token.der), DIGEST, Trust(tuple(trust(signer))), "sm3")
    assert judgement.is_proven, judgement.checks


def test_the_command_line(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    file, token, root = tmp_path / "合同.pdf", tmp_path / "合同.tsr", made.folder / "root.pem"
    file.write_bytes(DOCUMENT)
    token.write_bytes(made.token())
    ran = call("verify", file, "--proof", token, "--trust", root, "--json")
    assert (ran.code, ran.json["verdict"]) == (0, "verified")
    assert call("trust", "add", root).code == 0
    assert call("verify", file, "--proof", token).code == 0
    shown = call("show", token, "--json")
    assert (shown.code, shown.json["algorithm"]) == (0, "sm3")
    file.write_bytes(DOCUMENT + b".")
    assert call("verify", file, "--proof", token).code == 3
