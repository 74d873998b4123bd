"""`witnesstree renew`, as people type it: with the embedded authority, and with others over
HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import new, sha256
from pathlib import Path

import pytest
from asn1crypto import tsp
from commandline import Ran, call
from make_record import authority as made_authority
from make_record import make_proof, top, way
from make_token import Forge
from make_token import stamped as token_content
from servers.tsa import replying, talking

from witnesstree.anchor.tsa.local import LocalAuthority, trusted_root
from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.proof import Inclusion, Proof
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.proof.record_make import make_record
from witnesstree.ledger.store.home import Home, create_home
from witnesstree.ledger.tree.tree import parent
from witnesstree.ledger.trust import Trust

CONTENT = b"The boundary runs to the old oak."
NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("renew") / "home"
    return create_home(
        folder,
        "ledger.example/court",
        lambda home: LocalAuthority.create(home.authority, YESTERDAY),
    )


@pytest.fixture(scope="module")
def first(home: Home) -> bytes:
    """A record of yesterday."""
    leaf, other = sha256(CONTENT).digest(), sha256(b"opening").digest()
    root = parent(leaf, other)
    stamp = LocalAuthority.open(home.authority, lambda: YESTERDAY).stamp(root)
    return make_record(Proof(leaf, Inclusion(1, 2, root, (other,)), tokens=(stamp,)))


@pytest.fixture
def record(first: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "oak.txt.ers"
    path.write_bytes(first)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "oak.txt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def renew(home: Home) -> Callable[..., Ran]:
    return lambda *arguments: call("renew", *arguments, "--home", home.folder)


def verdict(content: bytes, home: Home) -> Verdict:
    digests = {name: new(name, CONTENT).digest() for name in ("sha256", "sha384", "sha512")}
    return verify_record(
        content, [digests], Trust((trusted_root(home.authority),)), datetime.now(UTC)
    ).verdict


def shape(record: EvidenceRecord) -> list[tuple[str, int]]:
    return [(chain[0].algorithm, len(chain)) for chain in record.chains]


def test_the_timestamp_is_renewed(
    record: Path, first: bytes, home: Home, renew: Callable[..., Ran]
) -> None:
    ran = renew(record)
    assert ran.code == 0, ran.talk
    renewed = parse_record(record.read_bytes())
    assert shape(renewed) == [("sha256", 2)]
    assert renewed.chains[0][0].der == parse_record(first).chains[0][0].der
    assert verdict(renewed.der, home) is Verdict.VERIFIED
    assert (record.parent / "oak.txt.1.ers").read_bytes() == first
    year = NOW.year + 20
    assert (
        f"Wrote {record}.\nIt can be verified until {year}-" in ran.text
        or f"until {year - 1}-" in ran.text
    )
    assert (
        ran.talk
        == "The embedded authority is asked: its timestamp proves nothing to a third party.\nKept"
        " the older oak.txt.ers as oak.txt.1.ers.\n"
    )


def test_the_ends_in_the_home_hold(record: Path, home: Home, renew: Callable[..., Ran]) -> None:
    settings = home.folder / "settings.toml"
    sooner = (NOW + timedelta(days=1)).replace(microsecond=0)
    try:
        settings.write_text(f"[ends]\nsha256 = {sooner.isoformat()}\n")
        assert parse_time(renew(record, "--check", "--json").json["expires"]) == sooner
        assert parse_time(renew(record, "--json").json["expires"]) == sooner
        settings.write_text(f"[ends]\nsha256 = {YESTERDAY.isoformat()}\n")
        ran = renew(record)
        assert ran.code == 5
        assert "this record cannot be renewed: chains[0].timestamps[0].time" in ran.error()
    finally:
        settings.unlink()


def test_to_check_no_home_is_needed(record: Path, tmp_path: Path) -> None:
    ran = call("renew", record, "--check", "--home", tmp_path / "nowhere", "--json")
    assert (ran.code, ran.json["timestamps"]) == (0, 1)


def test_the_hash_tree_is_renewed(
    record: Path, first: bytes, file: Path, home: Home, renew: Callable[..., Ran]
) -> None:
    out = record.parent / "renewed"
    ran = renew(record, "--algorithm", "sha512", "--file", file, "-o", out, "--json")
    assert ran.code == 0, ran.talk
    renewed = parse_record(out.read_bytes())
    assert shape(renewed) == [("sha256", 1), ("sha512", 1)]
    assert renewed.timestamps[1].token.imprint_algorithm == "sha512"
    assert verdict(renewed.der, home) is Verdict.VERIFIED
    newest = renewed.timestamps[1].token.gen_time
    assert parse_time(ran.json["expires"]) > NOW
    assert ran.json == {
        "record": str(out),
        "authority": "local",
        "kept": False,
        "timestamps": 2,
        "algorithm": "sha512",
        "newest": newest.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expires": ran.json["expires"],
    }
    assert record.read_bytes() == first
    # The next one stays with SHA-512, whether the algorithm is named or not, and keeps what stands
    # at its place.
    assert renew(out, "--algorithm", "sha512", "--file", file).code == 0
    assert shape(parse_record(out.read_bytes())) == [("sha256", 1), ("sha512", 2)]
    assert parse_record((record.parent / "renewed.1").read_bytes()) == renewed
    assert verdict(out.read_bytes(), home) is Verdict.VERIFIED


def test_the_files_are_needed_for_another_algorithm(
    record: Path, first: bytes, renew: Callable[..., Ran]
) -> None:
    ran = renew(record, "--algorithm", "sha384")
    assert (ran.code, record.read_bytes()) == (5, first)
    assert "changes to sha384 only with its files: name them with --file" in ran.error()


@pytest.mark.parametrize("more", [(), ("--algorithm", "sha384")])
def test_another_file_is_refused(
    record: Path, file: Path, home: Home, renew: Callable[..., Ran], more: tuple[str, ...]
) -> None:
    first = record.read_bytes()
    file.write_bytes(b"The boundary runs to the young oak.")
    serial = (home.authority / "serial").read_bytes()
    ran = renew(record, "--file", file, *more)
    assert (ran.code, record.read_bytes()) == (5, first)
    assert (
        "this record cannot be renewed: chains[0].timestamps[0].data failed: This timestamp is not"
        " for the file" in ran.error()
    )
    assert (home.authority / "serial").read_bytes() == serial, "the authority was not asked"


def test_until_when(
    record: Path, first: bytes, home: Home, renew: Callable[..., Ran], tmp_path: Path
) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes((home.authority / "root.pem").read_bytes())
    ran = renew(record, "--check", "--trust", root)
    assert ran.code == 0
    assert ran.text.startswith("It can be verified until 20")
    found = renew(record, "--check", "--json", "--trust", root).json
    assert parse_time(found["expires"]) > NOW + 19 * timedelta(days=365)
    assert (found["timestamps"], found["algorithm"], parse_time(found["newest"])) == (
        1,
        "sha256",
        YESTERDAY.replace(microsecond=0),
    )
    assert renew(record, "--check", "--json").json == found, "without trust in anybody, too"
    assert record.read_bytes() == first


def test_until_when_is_not_known(renew: Callable[..., Ran], tmp_path: Path) -> None:
    """The token carries no certificate, and nobody brings one."""
    proof = make_proof(2, 1)
    assert proof.inclusion
    content = token_content(
        message_imprint={
            "hash_algorithm": {"algorithm": "sha256"},
            "hashed_message": proof.inclusion.root,
        }
    )
    bare = Forge(
        signer=made_authority(0), content=tsp.TSTInfo(content).dump(), certificates=[]
    ).make()
    (tmp_path / "bare.ers").write_bytes(
        make_record(Proof(proof.digest, proof.inclusion, tokens=(Stamp(bare),)))
    )
    ran = renew(tmp_path / "bare.ers", "--check")
    assert (ran.code, ran.text.split(":")[0]) == (0, "Until when it can be verified is not known")
    assert renew(tmp_path / "bare.ers", "--check", "--json").json["expires"] is None


def test_too_late(renew: Callable[..., Ran], tmp_path: Path) -> None:
    """A record of 2020 whose authority's certificate has ended since."""
    made = way()
    (tmp_path / "late.ers").write_bytes(made.initial.der)
    (tmp_path / "root.pem").write_bytes(pem_of_top())
    ran = renew(tmp_path / "late.ers", "--trust", tmp_path / "root.pem")
    assert (ran.code, (tmp_path / "late.ers").read_bytes()) == (5, made.initial.der)
    assert (
        "chains[0].timestamps[0].time unknown: This timestamp could be verified until"
        in ran.error()
    )
    assert "it was not renewed in time" in ran.error()


def pem_of_top() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return top().certificate.public_bytes(Encoding.PEM)


def test_what_is_no_record(renew: Callable[..., Ran], tmp_path: Path) -> None:
    ran = renew(tmp_path / "none.ers")
    assert (ran.code, ran.error()) == (
        5,
        (
            f"Error: cannot read the evidence record {tmp_path / 'none.ers'}: No such file or"
            " directory; check the name"
        ),
    )
    (tmp_path / "bad.ers").write_bytes(b"{}")
    assert renew(tmp_path / "bad.ers").code == 5


def test_a_folder_is_not_written_over(
    record: Path, renew: Callable[..., Ran], tmp_path: Path
) -> None:
    assert "is a folder" in renew(record, "-o", tmp_path).error()


def test_an_authority_that_the_home_does_not_have(
    record: Path, first: bytes, renew: Callable[..., Ran]
) -> None:
    ran = renew(record, "--authority", "court")
    assert (ran.code, record.read_bytes()) == (6, first)
    assert "there is no authority 'court'" in ran.error()


# Authorities over HTTP
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    """Another authority, which nobody trusts yet; its root stands in root.pem."""
    folder = tmp_path_factory.mktemp("outside") / "authority"
    LocalAuthority.create(folder, YESTERDAY)
    return LocalAuthority.open(folder, lambda: datetime.now(UTC))


@pytest.mark.enable_socket
def test_authorities_of_the_settings(
    record: Path, file: Path, home: Home, outside: LocalAuthority, tmp_path: Path
) -> None:
    first = record.read_bytes()
    own = create_home(tmp_path / "home", "ledger.example/other", lambda made: None)
    for name in ("root.pem", "tsa.pem", "tsa.key", "serial"):
        own.authority.mkdir(exist_ok=True)
        (own.authority / name).write_bytes((home.authority / name).read_bytes())
    root = tmp_path / "outside.pem"
    root.write_bytes((outside._folder / "root.pem").read_bytes())
    with talking(replying(lambda request: outside.answer(request, datetime.now(UTC)))) as url:
        (own.folder / "settings.toml").write_text(
            '[authorities.nobody]\nurl = "http://127.0.0.1:1/"\n[authorities.court]\nurl ='
            f' "{url}"\nrevocation = false\n'
        )
        asked = (
            record,
            "--authority",
            "court",
            "--file",
            file,
            "--algorithm",
            "sha384",
            "--home",
            own.folder,
        )
        untrusted = call("renew", *asked)
        assert (untrusted.code, record.read_bytes()) == (5, first)
        assert (
            "the record with the answer of court cannot be verified, and was not written:"
            " chains[1].timestamps[0].chain unknown" in untrusted.error()
        )
        ran = call("renew", *asked, "--trust", root, "--json")
    assert ran.code == 0, ran.talk
    assert (ran.json["authority"], ran.json["algorithm"]) == ("court", "sha384")
    renewed = parse_record(record.read_bytes())
    assert renewed.timestamps[1].token.imprint_algorithm == "sha384"
    first_of_settings = call("renew", record, "--trust", root, "--home", own.folder)
    assert first_of_settings.code == 8, "the first in the settings is asked where none is named"
    assert parse_record(record.read_bytes()) == renewed


def test_a_group_keeps_all_files_that_are_named(
    home: Home, renew: Callable[..., Ran], tmp_path: Path
) -> None:
    """Both files stand in the first list; both are named, so both go over to the new algorithm."""
    from make_record import archive, compose, joined

    contents = [b"a contract", b"its annex"]
    hashes = [sha256(content).digest() for content in contents]
    stamp = LocalAuthority.open(home.authority, lambda: YESTERDAY).stamp(joined("sha256", hashes))
    path = tmp_path / "group.ers"
    path.write_bytes(compose([archive([hashes], stamp.token)]))
    files: list[Path] = []
    for number, content in enumerate(contents):
        files.append(tmp_path / str(number))
        files[-1].write_bytes(content)
    assert renew(path, "--algorithm", "sha512", "--file", files[0], "--file", files[1]).code == 0
    digests = [
        {name: new(name, content).digest() for name in ("sha256", "sha512")} for content in contents
    ]
    trust = Trust((trusted_root(home.authority),))
    assert (
        verify_record(path.read_bytes(), digests, trust, datetime.now(UTC), is_group=True).verdict
        is Verdict.VERIFIED
    )


def test_three_timestamps_in_one_chain(record: Path, home: Home, renew: Callable[..., Ran]) -> None:
    assert renew(record).code == renew(record).code == 0
    assert shape(parse_record(record.read_bytes())) == [("sha256", 3)]
    assert verdict(record.read_bytes(), home) is Verdict.VERIFIED
    assert sorted(path.name for path in record.parent.glob("*.ers")) == [
        "oak.txt.1.ers",
        "oak.txt.2.ers",
        "oak.txt.ers",
    ]


def test_verify_trusts_the_home(record: Path, file: Path, home: Home) -> None:
    ran = call("verify", file, "--proof", record, "--home", home.folder, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["assurance"]) == (0, "verified", "local")


def test_what_is_stamped_must_be_a_digest(home: Home) -> None:
    from witnesstree.anchor.settings import AuthoritySettings
    from witnesstree.anchor.tsa.client import HttpAuthority
    from witnesstree.ledger.base.errors import InvalidInput

    http = HttpAuthority("court", AuthoritySettings(url="http://127.0.0.1:1/"), Trust())
    for authority in (LocalAuthority.open(home.authority, lambda: NOW), http):
        for imprint, algorithm in (
            (bytes(32), "sha512"),
            (bytes(64), "sha256"),
            (bytes(20), "sha1"),
        ):
            with pytest.raises(InvalidInput, match=f"not {len(imprint)} bytes under {algorithm}"):
                authority.stamp(imprint, algorithm)
    http.close()
