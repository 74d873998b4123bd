"""`witnesstree trust`, as people type it."""

import base64
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, call
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from make_list import Listed, make_list, sign_list
from servers.tsa import Issuer, der, pem

from witnesstree.anchor.truststore import Kind, read_stored, read_trust, trusts_certifi
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.tsa.presets import PRESETS
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
    assert "chosen for web servers, are not trusted for time-stamping" in listed.talk
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
    assert listed["certifi"] == 0
    assert listed["lists"] == []
    assert trust(store, "remove", stored.fingerprint, "--json").json == {
        "changed": stored.fingerprint
    }


def test_certifi_on_and_off(store: Path) -> None:
    assert trust(store, "list", "--all").text == ""
    on = trust(store, "add", "certifi")
    assert "which were chosen for web servers, are trusted for time-stamping" in on.text
    assert trusts_certifi(store)
    everything = trust(store, "list", "--all")
    assert everything.text.count("from Mozilla's root programme, certifi 20") > 100
    assert "roots of Mozilla's programme are trusted, too" in everything.talk
    assert len(trust(store, "list", "--all", "--json").json["certificates"]) > 100
    assert trust(store, "list", "--json").json["certifi"] > 100
    assert trust(store, "remove", "certifi", "--json").json == {"changed": "certifi"}
    assert not trusts_certifi(store)
    assert "are not trusted" in trust(store, "remove", "certifi").text
    assert trust(store, "add", "certifi", "--public").code == 2
    assert trust(store, "add").code == 2


# Presets
# --------------------------------------------------------------------------------------------------

FREETSA = json.loads(
    (Path(__file__).parents[2] / "vectors" / "token" / "tokens.json").read_text(encoding="utf-8")
)["roots"]["Free TSA Root CA"]["certificate"]


def test_a_preset_of_mozillas_programme_needs_no_file(store: Path) -> None:
    added = trust(store, "add", "--preset", "globalsign")
    assert added.code == 0, added.talk
    (stored,) = read_stored(store)
    assert (stored.kind, stored.assurance, stored.source) == (
        Kind.ROOT,
        Assurance.PUBLIC,
        "GlobalSign, by the fingerprint of its root",
    )
    assert [stored.fingerprint] == [*PRESETS["globalsign"].known]
    assert stored.fingerprint in added.text
    assert trust(store, "add", "--preset", "globalsign").code == 7
    both = trust(store, "add", "--preset", "identrust", "--json").json
    assert {each["fingerprint"] for each in both} == set(PRESETS["identrust"].known)
    assert trust(store, "remove", both[0]["fingerprint"]).code == 0
    (again,) = trust(store, "add", "--preset", "identrust", "--json").json
    assert again["fingerprint"] == both[0]["fingerprint"]


def test_a_preset_takes_the_one_file_that_has_its_fingerprint(
    store: Path, file: Path, tmp_path: Path
) -> None:
    without = trust(store, "add", "--preset", "freetsa")
    assert without.code == 5
    assert "published at https://freetsa.org/files/cacert.pem" in without.error()
    other = trust(store, "add", "--preset", "freetsa", file)
    assert other.code == 5
    assert f"expected {next(iter(PRESETS['freetsa'].known))}" in other.error()
    assert not store.exists()
    own = tmp_path / "cacert.pem"
    # With another one in the same file, which is left alone.
    own.write_bytes(
        file.read_bytes() + ssl.DER_cert_to_PEM_cert(base64.b64decode(FREETSA)).encode()
    )
    added = trust(store, "add", "--preset", "freetsa", own)
    assert added.code == 0, added.talk
    assert [each.assurance for each in read_stored(store)] == [Assurance.PUBLIC]


def test_presets_that_cannot_be_added(store: Path) -> None:
    assert "no fingerprint of Apple's root" in trust(store, "add", "--preset", "apple").error()
    assert "no known authority is called 'x'" in trust(store, "add", "--preset", "x").error()
    assert trust(store, "add", "--preset", "freetsa", "--public").code == 2


# Trusted lists
# --------------------------------------------------------------------------------------------------

OPERATOR = Issuer.root("Scheme operator").issue("AT scheme operator")


def write_list(folder: Path, *listed: Listed, **members: Any) -> tuple[Path, Path]:
    """Write a list and its signer's certificate."""
    file, signer = folder / "AT.xml", folder / "operator.pem"
    file.write_bytes(sign_list(make_list(listed, **members), OPERATOR))
    signer.write_bytes(pem(OPERATOR.certificate))
    return file, signer


def test_a_list_is_imported_listed_and_removed(store: Path, tmp_path: Path) -> None:
    file, signer = write_list(tmp_path, Listed([ROOT.certificate]), Listed([SIGNER.certificate]))
    ran = trust(store, "import-list", file, "--signer", signer)
    assert (ran.code, ran.talk) == (0, "")
    operator = OPERATOR.certificate.fingerprint(hashes.SHA256()).hex()
    assert ran.text.splitlines() == [
        "EU trusted list of AT, issue 7 of 2026-10-01",
        f"  {operator}",
        "  2 certificates of time-stamping services, public, next issue by 2027-03-01",
    ]
    listed = trust(store, "list")
    assert listed.text == ran.text
    everything = trust(store, "list", "--all")
    assert everything.text.count("from EU trusted list of AT, issue 7 of 2026-10-01\n") == 2
    assert "CN=Court authority" in everything.text
    members = {
        "territory": "AT",
        "issue": 7,
        "issued": "2026-10-01T00:00:00Z",
        "next_update": "2027-03-01T00:00:00Z",
        "signer": operator,
        "certificates": 2,
        "passed_over": 0,
    }
    assert trust(store, "list", "--json").json["lists"] == [members]
    newer, signer = write_list(tmp_path, Listed([ROOT.certificate]), issue=8)
    again = trust(store, "import-list", newer, "--signer", signer, "--json").json
    assert again == members | {"issue": 8, "certificates": 1}
    assert len(read_trust(store).roots) == 1
    older, signer = write_list(tmp_path, Listed([ROOT.certificate]))
    assert trust(store, "import-list", older, "--signer", signer).code == 7
    assert trust(store, "remove", "AT").text == (
        "No longer trusted: EU trusted list of AT, issue 8 of 2026-10-01\n"
    )
    assert trust(store, "remove", "AT").code == 6
    assert read_trust(store).roots == ()


def test_a_list_that_should_have_been_replaced_is_named(store: Path, tmp_path: Path) -> None:
    file, signer = write_list(
        tmp_path, Listed([ROOT.certificate, "AAAA"]), next_update="2026-10-02T00:00:00Z"
    )
    ran = trust(store, "import-list", file, "--signer", signer)
    assert "was to be replaced by 2026-10-02" in ran.talk
    assert "1 certificate of a time-stamping service was passed over" in ran.talk
    assert "was to be replaced by 2026-10-02" in trust(store, "list").talk
    file, signer = write_list(tmp_path, Listed([ROOT.certificate]), next_update=None, issue=8)
    ran = trust(store, "import-list", file, "--signer", signer, "--json")
    assert "is the last one of its kind" in ran.talk
    assert ran.json["next_update"] is None


def test_lists_that_are_not_imported(store: Path, file: Path, tmp_path: Path) -> None:
    listed, _ = write_list(tmp_path, Listed([ROOT.certificate]))
    assert trust(store, "import-list", listed).code == 2
    other = trust(store, "import-list", listed, "--signer", file)
    assert other.code == 5
    assert "in the name of “AT scheme operator”, and --signer gave Court root" in other.error()
    assert trust(store, "import-list", tmp_path / "none", "--signer", file).code == 5
    assert not store.exists()


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
