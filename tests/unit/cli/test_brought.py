"""What people bring to `verify` and `show`: tokens of anybody, containers, places in a log, roots
in every form, and what other programs read.
"""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from asn1crypto import tsp
from commandline import call
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from make_proof import honest
from make_record import GROUP, group_record, long_chain, top, way
from make_token import CA, Forge, issue, key, root, stamped

from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.log.note import format_verifier_key
from witnesstree.ledger.proof.forms import format_tlog_proof
from witnesstree.ledger.proof.proof import Proof, format_proof

CONTENT = b"The boundary runs to the old oak."
ALONE = ("--require", "token")


def token_for(algorithm: str) -> bytes:
    digest = hashlib.new(algorithm, CONTENT).digest()
    imprint = {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest}
    return Forge(content=tsp.TSTInfo(stamped(message_imprint=imprint)).dump()).make()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    Path("root.pem").write_bytes(root().certificate.public_bytes(Encoding.PEM))
    file = Path("contract.pdf")
    file.write_bytes(CONTENT)
    return file


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_token_dates_the_file_that_it_is_for(file: Path, algorithm: str) -> None:
    Path("x.tsa").write_bytes(token_for(algorithm))
    ran = call("verify", file, "--proof", "x.tsa", "--trust", "root.pem", *ALONE, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["assurance"]) == (0, "verified", "private")
    plain = call("verify", file, "--proof", "x.tsa", "--trust", "root.pem")
    assert plain.code == 0
    assert "Timestamps alone hold no anchor" in plain.talk
    assert "By the anchors" not in plain.text
    file.write_bytes(b"another")
    assert call("verify", file, "--proof", "x.tsa", "--trust", "root.pem", *ALONE).code == 3


def test_a_token_over_a_weak_digest_decides_nothing(file: Path) -> None:
    Path("x.tsr").write_bytes(token_for("sha1"))
    ran = call("verify", file, "--proof", "x.tsr", "--trust", "root.pem", *ALONE)
    assert ran.code == 4
    assert "under sha1, which is weak" in ran.text


def test_a_damaged_token_is_not_judged(file: Path) -> None:
    # Two signers: it begins like a token, and is none.
    Path("x.tst").write_bytes(Forge(signers=2).make())
    ran = call("verify", file, "--proof", "x.tst", *ALONE)
    assert (ran.code, ran.text) == (5, "")
    assert "x.tst is not judged" in ran.error()


def test_roots_are_taken_in_every_form(file: Path) -> None:
    Path("x.tst").write_bytes(token_for("sha256"))
    certificate = root().certificate
    der = certificate.public_bytes(Encoding.DER)
    Path("roots").mkdir()
    Path("roots/readme").write_text("not a certificate")
    Path("roots/folder").mkdir()
    os.mkfifo("roots/pipe")
    Path("roots/root.cer").write_bytes(der)
    Path("root.der").write_bytes(der)
    for name, encoding in (("DER", Encoding.DER), ("PEM", Encoding.PEM)):
        content = pkcs7.serialize_certificates([certificate], encoding)
        Path(f"{name}.p7b").write_bytes(content)
    for given in ("root.pem", "root.der", "DER.p7b", "PEM.p7b", "roots"):
        ran = call("verify", file, "--proof", "x.tst", "--trust", given, *ALONE)
        assert ran.code == 0, given
    Path("large").write_bytes(bytes(2**20 + 1))
    Path("none").mkdir()
    for given, said in (
        ("roots/readme", "no certificate that can be read"),
        ("large", "larger than 1,048,576 bytes"),
        ("none", "no file in none holds a certificate"),
        ("absent", "cannot read absent"),
    ):
        ran = call("verify", file, "--proof", "x.tst", "--trust", given, *ALONE)
        assert (ran.code, said in ran.error()) == (5, True), given


def test_a_root_that_is_not_the_one_is_named_beside_it(file: Path) -> None:
    Path("x.tst").write_bytes(token_for("sha256"))
    other = issue("Some other root", None, key("p256"), CA)
    Path("other.pem").write_bytes(other.certificate.public_bytes(Encoding.PEM))
    ran = call("verify", file, "--proof", "x.tst", "--trust", "other.pem", *ALONE)
    assert ran.code == 4
    assert "is not trusted here for time-stamping; trusted here: “Some other root”." in ran.text
    assert "leads to “" in ran.text
    others = [issue(f"Root {n}", None, key("p256", n), CA) for n in range(5)]
    Path("other.pem").write_bytes(
        b"".join(each.certificate.public_bytes(Encoding.PEM) for each in others)
    )
    ran = call("verify", file, "--proof", "x.tst", "--trust", "other.pem", *ALONE)
    assert "none of the 5 roots that are leads there." in ran.text
    ran = call("verify", file, "--proof", "x.tst", *ALONE)
    assert "is not trusted here for time-stamping, and no other root is." in ran.text


@pytest.mark.timeout(30)
def test_a_pipe_without_a_proof_holds_nothing_up(file: Path) -> None:
    os.mkfifo("pipe")
    assert "pipe.proof.json" in call("verify", "pipe").error()


def test_a_proof_in_place_of_its_file_is_told(file: Path) -> None:
    Path("x.tst").write_bytes(token_for("sha256"))
    ran = call("verify", "x.tst")
    assert ran.code == 5
    assert "x.tst is a proof itself" in ran.error()
    # Of any other file it is told what is missing.
    assert "contract.pdf.proof.json" in call("verify", file).error()


def test_what_other_programs_read_is_named(file: Path) -> None:
    Path("x.ots").write_bytes(b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89")
    for command in (("verify", file, "--proof"), ("show",)):
        ran = call(*command, "x.ots")
        assert (ran.code, ran.text) == (5, "")
        assert "OpenTimestamps" in ran.error()
    chinese = call("--lang", "zh", "show", "x.ots")
    assert "请用 OpenTimestamps 客户端读取" in chinese.talk


def test_a_container_has_its_file_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    assert call("init", "--home", "home").code == 0
    Path("a.txt").write_bytes(CONTENT)
    assert call("seal", "a.txt", "--home", "home").code == 0
    export = ("export", "a.txt.proof.json", "--format", "asice", "--file", "a.txt")
    assert call(*export, "-o", "a.asice").code == 0
    ran = call("verify", "a.asice", "--home", "home", *ALONE)
    assert (ran.code, "byte for byte" in ran.text) == (0, True)
    assert call("verify", "a.asice", *ALONE).code == 4
    beside = call("verify", "a.txt", "--proof", "a.asice")
    assert (beside.code, "witnesstree verify a.asice" in beside.error()) == (5, True)
    content = Path("a.asice").read_bytes()
    Path("a.asice").write_bytes(content.replace(CONTENT, CONTENT[::-1]))
    assert call("verify", "a.asice", "--home", "home", *ALONE).code == 3
    Path("a.asice").write_bytes(content[:200])
    cut = call("verify", "a.asice")
    assert (cut.code, "a.asice is not judged" in cut.error()) == (5, True)
    assert "witnesstree verify a.asice" in call("show", "a.asice").error()


def test_a_document_that_is_a_zip_file_misses_its_proof_like_any_other(file: Path) -> None:
    with zipfile.ZipFile("report.docx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    for require in ((), ("--require", "both")):
        ran = call("verify", "report.docx", *require)
        assert (ran.code, "report.docx.proof.json" in ran.error()) == (5, True)
        assert len(ran.talk.splitlines()) == 1


def test_a_place_in_a_log_needs_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = honest()
    Path("x.tlog-proof").write_bytes(format_tlog_proof(made.proof()))
    (key,) = made.trust.checkpoint_keys
    ran = call("verify", "x.tlog-proof", "--checkpoint-key", format_verifier_key(key), "--json")
    assert (ran.code, ran.json["verdict"], ran.json["not_after"]) == (0, "verified", None)
    assert [check["name"] for check in ran.json["checks"]] == [
        "log.statement",
        "log.path",
        "log.checkpoint",
    ]
    plain = call("verify", "x.tlog-proof", "--checkpoint-key", format_verifier_key(key))
    assert "That proves no time." in plain.text
    assert call("verify", "x.tlog-proof").code == 4
    Path("x.tlog-proof").write_bytes(b"c2sp.org/tlog-proof@v1\nnonsense")
    assert call("verify", "x.tlog-proof").code == 5


def test_show_reads_tokens_and_records(file: Path) -> None:
    Path("x.tst").write_bytes(token_for("sha256"))
    ran = call("show", "x.tst")
    assert ran.code == 0
    assert hashlib.sha256(CONTENT).hexdigest() in ran.text
    assert "openssl ts -verify -data FILE -in x.tst -token_in -CAfile ROOT.pem" in ran.text
    # In the answer that it came in, it is told to OpenSSL in another way.
    token = Path("x.tst").read_bytes()
    status = bytes.fromhex("3003020100")
    Path("x.tsr").write_bytes(b"\x30\x82" + (len(token) + len(status)).to_bytes(2) + status + token)
    assert "-in x.tsr -CAfile ROOT.pem" in call("show", "x.tsr").text
    members = call("show", "x.tst", "--json").json
    assert (members["algorithm"], members["accuracy"]) == ("sha256", 1.5)
    Path("x.tst").write_bytes(Forge(signers=2).make())
    assert "x.tst is not judged" in call("show", "x.tst").error()
    Path("x.ers").write_bytes(way().initial.der)
    shown = call("show", "x.ers")
    assert (shown.code, "An evidence record (RFC 4998)" in shown.text) == (0, True)
    assert call("show", "x.ers", "--json").json["timestamps"] == 1


def test_a_proof_with_parts_of_its_file_alone(file: Path) -> None:
    """The digests that they ask for are computed from the file."""
    proof = Proof(
        hashlib.sha256(CONTENT).digest(),
        digests=(("sha512", hashlib.sha512(CONTENT).digest()), ("unheard_of", b"1")),
        file_tokens=(Stamp(token_for("sha384")), Stamp(b"\x30\x00")),
        records=(),
    )
    good = replace(proof, file_tokens=proof.file_tokens[:1])
    Path("contract.pdf.proof.json").write_bytes(format_proof(good))
    ran = call("verify", file, "--trust", "root.pem", "--json")
    assert (ran.code, ran.json["verdict"]) == (4, "undecided")
    assert ran.json["file_not_after"] == "2026-11-23T12:00:02Z"
    outcomes = {check["name"]: check["outcome"] for check in ran.json["checks"]}
    assert outcomes["digests.sha512"] == outcomes["file_tokens[0].imprint"] == "passed"
    assert outcomes["digests.unheard_of"] == "unknown"
    plain = call("verify", file, "--trust", "root.pem")
    assert "A timestamp over the file itself: it existed by 2026-11-23T12:00:02" in plain.text
    folder = call("verify", ".", "--trust", "root.pem", "--json").json["files"]
    (row,) = (row for row in folder if row["path"] == "contract.pdf")
    assert row["file_not_after"] == ran.json["file_not_after"]
    Path("contract.pdf.proof.json").write_bytes(format_proof(proof))
    assert call("verify", file, "--trust", "root.pem").code == 3


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three files of a data group, and their record."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    Path("root.pem").write_bytes(top().certificate.public_bytes(Encoding.PEM))
    folder = Path("case")
    folder.mkdir()
    for number, content in enumerate(GROUP):
        (folder / f"{number}.txt").write_bytes(content)
    (folder / "group.ers").write_bytes(group_record().der)
    return folder


def by_record(*what: object) -> tuple[object, ...]:
    return ("verify", *what, "--proof", "case/group.ers", "--trust", "root.pem", *ALONE)


def test_one_record_holds_for_several_files(group: Path) -> None:
    names = [str(group / f"{number}.txt") for number in range(3)]
    ran = call(*by_record(*names, "--group", "--json"))
    assert (ran.code, ran.json["verdict"]) == (0, "verified")
    assert ran.json["files"] == [{"path": name, "in_record": True} for name in names]
    plain = call(*by_record(*names, "--group"))
    assert "): this group of 3 files existed by " in plain.text
    # The record itself lies in the folder, and each file counts once.
    again = call(*by_record(group, names[0], "--group", "--json"))
    assert [each["path"] for each in again.json["files"]] == names
    chinese = call("--lang", "zh", *by_record(*names))
    assert "：这组文件（3 个）在" in chinese.text


def test_a_group_has_no_others(group: Path) -> None:
    two = [group / "0.txt", group / "2.txt"]
    assert call(*by_record(*two)).code == 0
    less = call(*by_record(*two, "--group"))
    assert (less.code, "1 more than the files" in less.text) == (3, True)
    assert call(*by_record(two[0], "--group")).code == 3
    assert call(*by_record(two[0])).code == 0


def test_the_file_that_a_record_is_not_for_is_named(group: Path) -> None:
    (group / "1.txt").write_bytes(b"altered")
    ran = call(*by_record(group, "--json"))
    assert ran.code == 3
    assert [each["in_record"] for each in ran.json["files"]] == [True, False, True]
    assert "not for this file: case/1.txt" in ran.talk


def test_a_group_needs_a_record_and_files_that_can_be_read(group: Path) -> None:
    for what in (("verify", group), ("verify", "case/0.txt")):
        ran = call(*what, "--group")
        assert (ran.code, "name the record with --proof" in ran.error()) == (5, True)
    Path("x.proof.json").write_text('{"format": "witnesstree-proof/1"}')
    ran = call("verify", group, "--group", "--proof", "x.proof.json")
    assert (ran.code, "name the record with --proof" in ran.error()) == (5, True)
    assert call("verify", group, "--proof", "x.proof.json").code == 5
    (group / "elsewhere").symlink_to(group.parent, target_is_directory=True)
    linked = call(*by_record(group))
    assert (linked.code, linked.text) == (5, "")
    absent = call(*by_record("case/0.txt", "case/absent"))
    assert (absent.code, absent.text) == (5, "")
    Path("empty").mkdir()
    assert call(*by_record("empty")).code == 4


def test_the_embedded_authority_s_group_needs_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    assert call("init", "--home", "home").code == 0
    Path("a.txt").write_bytes(CONTENT)
    assert call("seal", "a.txt", "--home", "home").code == 0
    assert call("export", "a.txt.proof.json", "--format", "ers", "-o", "a.ers").code == 0
    asked = ("verify", "a.txt", "--proof", "a.ers", "--group")
    assert call(*asked, "--home", "home").code == 0
    assert call(*asked, "--require", "anchor").code == 5


def test_a_record_with_more_than_we_judge_is_left_open(group: Path) -> None:
    Path("long.ers").write_bytes(long_chain(65))
    Path("file").write_bytes(b"file 4")
    asked = ("--proof", "long.ers", "--trust", "root.pem", *ALONE)
    for files in (["file"], ["file", "case/0.txt"]):
        ran = call("verify", *files, *asked)
        assert ran.code == 4
        assert "has 1 to 64 archive timestamps, this has 65" in " ".join(ran.text.split())
