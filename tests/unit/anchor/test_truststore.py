"""The user's trust store: what is written is what is read, and anything else is an error that names
its file."""

import ssl
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from servers.tsa import Issuer, der, pem

from witnesstree.anchor import truststore
from witnesstree.anchor.trustedlist import Service, TrustedList
from witnesstree.anchor.truststore import (
    MAX_FILE,
    MAX_SOURCE,
    Kind,
    Stored,
    add_certificate,
    certifi_roots,
    keep_list,
    read_lists,
    read_stored,
    read_trust,
    remove_certificate,
    remove_list,
    source_of,
    trust_certifi,
    trust_folder,
    trusts_certifi,
)
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.errors import (
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    WitnesstreeError,
)
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.trust import Trust, TrustedRoot

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ROOT = Issuer.root("A root, “quoted”\n")
OTHER = Issuer.root("Another root")


def stored(
    issuer: Issuer = ROOT,
    kind: Kind = Kind.ROOT,
    assurance: Assurance = Assurance.PRIVATE,
    source: str = "given by hand, 见证",
) -> Stored:
    return Stored(der(issuer.certificate), kind, assurance, source, NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not yet" / "trust"


def file_of(folder: Path, each: Stored) -> Path:
    return folder / f"{each.fingerprint}.pem"


def test_what_is_added_is_read(folder: Path) -> None:
    root, between = stored(), stored(OTHER, Kind.INTERMEDIATE, Assurance.PUBLIC, "")
    add_certificate(folder, root)
    add_certificate(folder, between)
    assert sorted(read_stored(folder), key=lambda each: each.kind.value) == [between, root]
    trust = read_trust(folder)
    assert trust.roots[0] == TrustedRoot(root.certificate, root.source, Assurance.PRIVATE)
    assert trust.roots[1:] == ()
    assert trust.certificates == (between.certificate,)


def test_a_file_says_what_it_is_and_openssl_and_others_can_read_it(folder: Path) -> None:
    add_certificate(folder, stored())
    content = file_of(folder, stored()).read_text()
    assert content.startswith(
        "Kind: root\nAssurance: private\nAdded: 2026-11-23T08:00:00Z\nSource: given by hand,"
        " 见证\n-----BEGIN CERTIFICATE-----\n"
    )
    assert x509.load_pem_x509_certificates(content.encode()) == [ROOT.certificate]


def test_no_folder_is_an_empty_store(folder: Path) -> None:
    assert read_stored(folder) == ()
    assert read_trust(folder) == Trust()
    assert read_lists(folder) == ()
    assert not folder.exists()


def test_certifi_is_switched_on_and_off(folder: Path) -> None:
    """They were chosen for web servers, so the user has to say it."""
    add_certificate(folder, stored())
    own = TrustedRoot(stored().certificate, stored().source, Assurance.PRIVATE)
    assert not trusts_certifi(folder)
    assert read_trust(folder).roots == (own,)
    trust_certifi(folder, trusted=True)
    trust_certifi(folder, trusted=True)
    assert trusts_certifi(folder)
    assert read_trust(folder).roots == (own, *certifi_roots())
    trust_certifi(folder, trusted=False)
    trust_certifi(folder, trusted=False)
    assert read_trust(folder).roots == (own,)


def test_certifi_roots_are_those_of_its_file() -> None:
    roots = certifi_roots()
    blocks = [
        "-----BEGIN" + block for block in Path(certifi.where()).read_text().split("-----BEGIN")[1:]
    ]
    ends = [block.partition("\n#")[0].strip() for block in blocks]
    assert [root.certificate for root in roots] == [ssl.PEM_cert_to_DER_cert(end) for end in ends]
    assert {(str(root.source), root.assurance) for root in roots} == {
        (f"Mozilla's root programme, certifi {certifi.__version__}", Assurance.PUBLIC)
    }


def test_an_embedded_authority_stays_local_whatever_is_said(folder: Path, tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path / "authority", NOW)
    root = x509.load_pem_x509_certificate(
        (tmp_path / "authority" / "root.pem").read_bytes()
    ).public_bytes(Encoding.DER)
    added = Stored(root, Kind.ROOT, Assurance.PUBLIC, "somebody", NOW)
    add_certificate(folder, added)
    assert b"Assurance: public" in file_of(folder, added).read_bytes()
    assert read_trust(folder).roots[0].assurance is Assurance.LOCAL


def test_an_old_root_with_the_serial_number_zero_is_read_in_silence(folder: Path) -> None:
    """Warnings are errors here, so that one would show."""
    odd = [
        root for root in certifi_roots() if b"\xa0\x03\x02\x01\x02\x02\x01\x00" in root.certificate
    ]
    assert odd, "none has it any more: find another one"
    add_certificate(folder, Stored(odd[0].certificate, Kind.ROOT, Assurance.PUBLIC, "certifi", NOW))
    assert len(read_stored(folder)) == 1


def test_adding_twice_changes_nothing(folder: Path) -> None:
    add_certificate(folder, stored())
    before = file_of(folder, stored()).read_bytes()
    with pytest.raises(Conflict, match="is in the trust store already"):
        add_certificate(folder, stored(assurance=Assurance.PUBLIC))
    assert file_of(folder, stored()).read_bytes() == before


REFUSED = {
    "no certificate": replace(stored(), certificate=b"nothing"),
    "an empty one": replace(stored(), certificate=b""),
    "a line end in its source": stored(source="one\nAssurance: public"),
    "a long source": stored(source="a" * (MAX_SOURCE + 1)),
    "much behind it": replace(stored(), certificate=der(ROOT.certificate) + bytes(10)),
    "large": replace(
        stored(),
        certificate=der(
            Issuer.root()
            .issue(
                "x", "p256", (x509.SubjectAlternativeName([x509.DNSName("a" * MAX_FILE)]), False)
            )
            .certificate
        ),
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_not_written(folder: Path, refused: Stored) -> None:
    with pytest.raises(InvalidInput):
        add_certificate(folder, refused)
    assert not folder.exists()


def test_a_store_holds_so_many_and_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truststore, "MAX_CERTIFICATES", 1)
    add_certificate(folder, stored())
    with pytest.raises(InvalidInput, match="which is the limit"):
        add_certificate(folder, stored(OTHER))
    file_of(folder, stored()).with_name("0" * 64 + ".pem").write_bytes(b"")
    with pytest.raises(InvalidInput, match="holds 2 certificates, and the limit is 1"):
        read_trust(folder)


def test_remove(folder: Path) -> None:
    add_certificate(folder, stored())
    add_certificate(folder, stored(OTHER))
    assert remove_certificate(folder, stored().fingerprint[:8]) == stored()
    assert read_stored(folder) == (stored(OTHER),)
    spelt = ":".join(stored(OTHER).fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
    assert remove_certificate(folder, spelt) == stored(OTHER)
    with pytest.raises(NotFound, match="see `witnesstree trust list`"):
        remove_certificate(folder, stored().fingerprint)


@pytest.mark.parametrize(
    "prefix", ["", "abcdef0", "0" * 65, "ghijklmn", "../../etc", "*", "abcdef01\n"]
)
def test_remove_refuses_what_is_no_fingerprint(folder: Path, prefix: str) -> None:
    with pytest.raises(InvalidInput, match="expected certifi, or 8 to 64 hex digits"):
        remove_certificate(folder, prefix)


def test_remove_does_not_guess(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_certificate(folder, stored())
    twins = (stored(), stored())
    monkeypatch.setattr(truststore, "read_stored", lambda _: twins)
    with pytest.raises(Conflict, match="2 certificates have a fingerprint"):
        remove_certificate(folder, stored().fingerprint[:8])
    assert file_of(folder, stored()).exists()


WHOLE = (
    "Kind: root\nAssurance: private\nAdded: 2026-11-23T08:00:00Z\nSource: x\n"
    + pem(ROOT.certificate).decode()
)
DAMAGED = {
    "empty": "",
    "cut": WHOLE[:-40],
    "a certificate alone": pem(ROOT.certificate).decode(),
    "another kind": WHOLE.replace("root\n", "stem\n"),
    "another assurance": WHOLE.replace("private", "total"),
    "no time": WHOLE.replace("2026", "year"),
    "a month too many": WHOLE.replace("-11-", "-13-"),
    "another header": WHOLE.replace("Source", "Sauce"),
    "one header more": WHOLE.replace("Source", "Source: a\nSource"),
    "broken base64": WHOLE.replace(
        "-----BEGIN CERTIFICATE-----\nM", "-----BEGIN CERTIFICATE-----\n"
    ),
    "no certificate": (
        WHOLE.partition("-----BEGIN")[0]
        + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    ),
    "another certificate": WHOLE.partition("-----BEGIN")[0] + pem(OTHER.certificate).decode(),
    "two certificates": WHOLE + pem(OTHER.certificate).decode(),
    "large": WHOLE.replace("Source: x", "Source: " + "x" * MAX_FILE),
    "no text": "\udcff" + WHOLE,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named(folder: Path, content: str) -> None:
    add_certificate(folder, stored())
    file = file_of(folder, stored())
    assert content != WHOLE
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(Damaged, match=f"{file} in the trust store"):
        read_trust(folder)


def test_every_flipped_bit_is_found_or_harmless(folder: Path) -> None:
    """A certificate is known by its name.

    What is said of it has no checksum: a bit that turns one word into another is not found.
    """
    add_certificate(folder, stored())
    file = file_of(folder, stored())
    whole = file.read_bytes()
    begin = whole.index(b"-----BEGIN")
    for at in range(begin, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            assert read_trust(folder).roots[0].certificate == stored().certificate
        except WitnesstreeError as error:
            assert isinstance(error, Damaged)  # noqa: PT017 - either is right


def test_strange_names_are_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("README", "a.pem", ".0.tmp", "A" * 64 + ".pem"):
        (folder / name).write_bytes(b"rubbish")
    assert read_stored(folder) == ()


# Lists
# --------------------------------------------------------------------------------------------------

LIST = TrustedList(
    territory="AT",
    issue=7,
    issued=NOW,
    next_update=NOW.replace(year=2027),
    signer="5e" * 32,
    services=(
        Service(der(ROOT.certificate), NOW.replace(year=2016), None),
        Service(der(OTHER.certificate), NOW.replace(year=2016), NOW.replace(year=2020)),
    ),
    passed_over=3,
)


def test_a_list_that_is_kept_is_read(folder: Path) -> None:
    assert keep_list(folder, LIST) is None
    last = replace(LIST, territory="DE", next_update=None, services=())
    keep_list(folder, last)
    assert read_lists(folder) == (LIST, last)
    source = source_of(LIST)
    assert str(source) == "EU trusted list of AT, issue 7 of 2026-11-23"
    assert read_trust(folder).roots == (
        TrustedRoot(der(ROOT.certificate), source, Assurance.PUBLIC, NOW.replace(year=2016), None),
        TrustedRoot(
            der(OTHER.certificate),
            source,
            Assurance.PUBLIC,
            NOW.replace(year=2016),
            NOW.replace(year=2020),
        ),
    )


def test_an_issue_takes_the_place_of_an_older_one_and_of_no_newer_one(folder: Path) -> None:
    keep_list(folder, LIST)
    newer = replace(LIST, issue=8, services=LIST.services[1:])
    assert keep_list(folder, newer) == LIST
    assert read_lists(folder) == (newer,)
    with pytest.raises(Conflict, match="issue 7 of the trusted list of AT is older than issue 8"):
        keep_list(folder, LIST)
    assert read_lists(folder) == (newer,)
    assert keep_list(folder, newer) == newer
    with pytest.raises(Conflict):
        keep_list(folder, replace(newer, issued=NOW.replace(year=2025)))


def test_a_list_is_removed(folder: Path) -> None:
    keep_list(folder, LIST)
    assert remove_list(folder, "AT") == LIST
    assert read_lists(folder) == ()
    with pytest.raises(NotFound, match="no trusted list of AT"):
        remove_list(folder, "AT")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"format": "witnesstree-trusted-list/2"}',
        b'{"format": "witnesstree-trusted-list/1"}',
    ],
)
def test_a_damaged_list_is_named(folder: Path, content: bytes) -> None:
    keep_list(folder, LIST)
    (folder / "list-AT.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"list-AT\.json"):
        read_trust(folder)


def test_a_list_of_another_territory_and_one_that_cannot_be_read(folder: Path) -> None:
    keep_list(folder, LIST)
    (folder / "list-AT.json").rename(folder / "list-DE.json")
    with pytest.raises(Damaged, match=r"list-DE\.json"):
        read_lists(folder)
    (folder / "list-DE.json").unlink()
    (folder / "list-DE.json").mkdir()
    with pytest.raises(InvalidInput, match=r"list-DE\.json cannot be read"):
        read_lists(folder)


def test_a_store_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for read in (read_stored, read_lists):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read(file)
    for change in (
        lambda: trust_certifi(file, trusted=False),
        lambda: add_certificate(file / "x", stored()),
    ):
        with pytest.raises((StorageFailure, InvalidInput)):
            change()
    (tmp_path / ("0" * 64 + ".pem")).mkdir()
    with pytest.raises(InvalidInput, match=r"0\.pem cannot be read"):
        read_stored(tmp_path)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert trust_folder() == tmp_path / "witnesstree-trust"
    monkeypatch.setenv("WITNESSTREE_TRUST", "")
    assert trust_folder() == tmp_path / "witnesstree-trust"
    monkeypatch.setenv("WITNESSTREE_TRUST", "here")
    assert trust_folder() == Path("here")


def test_loading_is_fast(folder: Path) -> None:
    """`verify` starts with it.

    Measured: 8 ms with 20 certificates beside certifi's and 250 of lists, as 20 states have in
    theirs; without lists 1.5 ms. The bound leaves room for a busy machine.
    """
    for root in certifi_roots()[:20]:
        add_certificate(
            folder, Stored(root.certificate, Kind.ROOT, Assurance.PUBLIC, "certifi", NOW)
        )
    trust_certifi(folder, trusted=True)
    keep_list(folder, replace(LIST, services=LIST.services * 125))
    read_trust(folder)

    def took() -> float:
        begun = time.process_time()
        read_trust(folder)
        return time.process_time() - begun

    assert min(took() for _ in range(10)) < 0.03


def test_loading_needs_nothing_heavy() -> None:
    heavy = ("httpx2", "httpcore2", "web3", "sqlalchemy", "click")
    code = (
        "import sys; from witnesstree.anchor.truststore import *; read_trust(trust_folder());"
        f" assert not set({heavy}) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
