"""`witnesstree trust`, as people type it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from commandline import Ran, call
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from servers.tsa import Issuer, der, pem

from witnesstree.anchor.truststore import Kind, read_stored, trusts_certifi
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.report import Assurance

ROOT = Issuer.root("Court root")
BETWEEN = ROOT.issue("Court intermediate", ca=True)
SIGNER = BETWEEN.issue(
    "Court authority", "p256", (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
)
SERVER = ROOT.issue(
    "A web server", "p256", (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True)
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "root.pem"
    file.write_bytes(pem(ROOT.certificate))
    return file


def trust(store: Path, *arguments: object) -> Ran:
    return call("trust", *arguments, env={"WITNESSTREE_TRUST": str(store)})


def test_add_list_and_remove(store: Path, file: Path) -> None:
    added = trust(store, "add", file)
    assert added.code == 0, added.talk
    (stored,) = read_stored(store)
    assert (stored.certificate, stored.kind, stored.assurance, stored.source) == (
        der(ROOT.certificate),
        Kind.ROOT,
        Assurance.PRIVATE,
        "root.pem",
    )
    today = datetime.now(UTC).date().isoformat()
    assert added.text.splitlines() == [
        "CN=Court root",
        f"  {stored.fingerprint}",
        (
            f"  root, private, valid {stored.x509.not_valid_before_utc:%Y-%m-%d} to"
            f" {stored.x509.not_valid_after_utc:%Y-%m-%d}"
        ),
        f"  from root.pem, added {today}",
    ]
    listed = trust(store, "list")
    assert listed.text == added.text
    assert "1 certificate in" in listed.talk
    assert "roots of Mozilla's programme are trusted, too" in listed.talk
    removed = trust(store, "remove", stored.fingerprint[:10])
    assert removed.text == f"No longer trusted: CN=Court root, {stored.fingerprint}\n"
    assert read_stored(store) == ()


def test_options_and_json(store: Path, file: Path) -> None:
    added = trust(
        store,
        "add",
        file,
        "--public",
        "--intermediate",
        "--source",
        "https://court.example/\n\x1b[1m",
        "--json",
    ).json
    (stored,) = read_stored(store)
    assert (stored.kind, stored.assurance) == (Kind.INTERMEDIATE, Assurance.PUBLIC)
    assert added["source"] == stored.source == "https://court.example/\\n\\x1b[1m"
    assert (added["fingerprint"], added["kind"], added["assurance"], added["subject"]) == (
        stored.fingerprint,
        "intermediate",
        "public",
        "CN=Court root",
    )
    listed = trust(store, "list", "--json").json
    assert listed["certificates"] == [added]
    assert listed["folder"] == str(store)
    assert listed["certifi"] > 100
    assert trust(store, "remove", stored.fingerprint, "--json").json == {
        "changed": stored.fingerprint
    }


def test_certifi_off_and_on(store: Path) -> None:
    everything = trust(store, "list", "--all").text
    assert everything.count("from Mozilla's root programme, certifi 20") > 100
    off = trust(store, "remove", "certifi")
    assert "no longer trusted" in off.text
    assert not trusts_certifi(store)
    listed = trust(store, "list", "--all")
    assert listed.text == ""
    assert "Mozilla's programme is not trusted" in listed.talk
    assert trust(store, "list", "--all", "--json").json["certifi"] == 0
    assert trust(store, "add", "certifi", "--json").json == {"changed": "certifi"}
    assert trusts_certifi(store)
    assert len(trust(store, "list", "--all", "--json").json["certificates"]) > 100
    assert trust(store, "add", "certifi", "--public").code == 2


def test_der_is_taken_too(store: Path, tmp_path: Path) -> None:
    (tmp_path / "root.cer").write_bytes(der(ROOT.certificate))
    assert trust(store, "add", tmp_path / "root.cer").code == 0
    assert read_stored(store)[0].certificate == der(ROOT.certificate)


NOTICES = {
    "a root": (ROOT, [], ""),
    "an intermediate certificate as a root": (
        BETWEEN,
        [],
        "This is not a root but an intermediate certificate",
    ),
    "an intermediate certificate": (BETWEEN, ["--intermediate"], ""),
    "an authority": (SIGNER, [], "trusted for its own tokens, and for no others"),
    "an authority to build chains": (SIGNER, ["--intermediate"], ""),
    "one that has expired": (Issuer.root(), [], ""),
}


@pytest.mark.parametrize(("issuer", "options", "words"), NOTICES.values(), ids=NOTICES)
def test_notices(
    store: Path, tmp_path: Path, issuer: Issuer, options: list[str], words: str
) -> None:
    (tmp_path / "file.pem").write_bytes(pem(issuer.certificate))
    ran = trust(store, "add", tmp_path / "file.pem", *options)
    assert ran.code == 0
    assert words in ran.talk
    assert bool(ran.talk) is bool(words)
    assert len(read_stored(store)) == 1


def test_a_certificate_whose_life_has_ended(store: Path, tmp_path: Path) -> None:
    old = ROOT.issue("Old root", ca=True, days=-1)
    (tmp_path / "file.pem").write_bytes(pem(old.certificate))
    assert (
        "it vouches for older tokens only"
        in trust(store, "add", tmp_path / "file.pem", "--intermediate").talk
    )


def test_an_embedded_authority_stays_local(store: Path, tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path / "authority", datetime.now(UTC))
    ran = trust(store, "add", tmp_path / "authority" / "root.pem", "--public", "--json")
    assert "its assurance stays local" in ran.talk
    assert ran.json["assurance"] == "local"


TWO = pem(ROOT.certificate) + pem(BETWEEN.certificate)
BAD = {
    "nothing": (b"", "holds no certificate that can be read"),
    "text": (b"hello", "holds no certificate that can be read"),
    "a broken PEM": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "holds no certificate that can be read",
    ),
    "half a PEM": (pem(ROOT.certificate)[:100], "holds no certificate that can be read"),
    "two": (TWO, "holds 2 certificates"),
    "large": (bytes(2**20 + 1), "is larger than 1,048,576 bytes"),
    "a web server's": (pem(SERVER.certificate), "cannot vouch for an authority"),
    "a plain one": (pem(ROOT.issue("Somebody").certificate), "cannot vouch for an authority"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_files_that_are_refused(store: Path, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file.pem").write_bytes(content)
    ran = trust(store, "add", tmp_path / "file.pem")
    assert ran.code == 5
    assert words in ran.error()
    assert not store.exists()


def bare(*extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
    """A certificate with no other extensions than these."""
    now = datetime.now(UTC)
    name = x509.Name([])
    builder = x509.CertificateBuilder(
        name, name, ROOT.key.public_key(), 1, now, now.replace(year=now.year + 1)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    from cryptography.hazmat.primitives import hashes

    return builder.sign(ROOT.key, hashes.SHA256())


def test_certificates_without_a_name_or_extensions(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file.pem").write_bytes(pem(bare()))
    assert "cannot vouch for an authority" in trust(store, "add", tmp_path / "file.pem").error()
    (tmp_path / "file.pem").write_bytes(
        pem(bare((x509.BasicConstraints(ca=True, path_length=None), True)))
    )
    assert "a certificate without a name" in trust(store, "add", tmp_path / "file.pem").text


def test_extensions_that_cannot_be_read(store: Path, tmp_path: Path) -> None:
    broken = bare(
        (x509.UnrecognizedExtension(x509.oid.ExtensionOID.BASIC_CONSTRAINTS, b"rubbish"), True)
    )
    (tmp_path / "file.pem").write_bytes(pem(broken))
    assert "cannot vouch for an authority" in trust(store, "add", tmp_path / "file.pem").error()


def test_errors(store: Path, file: Path, tmp_path: Path) -> None:
    assert trust(store, "add", tmp_path / "none.pem").code == 5
    assert "cannot read" in trust(store, "add", tmp_path).error()
    assert trust(store, "add", file).code == 0
    assert trust(store, "add", file).code == 7
    assert trust(store, "remove", "00000000").code == 6
    assert trust(store, "remove", "no").code == 5
    next(store.glob("*.pem")).write_bytes(b"")
    assert trust(store, "list").code == 10
