"""`witnesstree export`: each form, and what it refuses."""

import base64
import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from asn1crypto import tsp
from commandline import Ran, call
from make_proof import honest
from make_token import Forge, stamped

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.log.log import check_inclusion, leaf_hash
from witnesstree.ledger.log.note import parse_checkpoint, parse_note
from witnesstree.ledger.proof.forms import Content, write_container
from witnesstree.ledger.proof.proof import LogProof, Proof, format_proof
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.proof.record_make import make_record
from witnesstree.ledger.tokens.token import format_response
from witnesstree.ledger.tree.tree import parent

CONTENT = b"batch 3, position 4"
"""What the honest proof is for."""
NAMES = {"asic": "http://uri.etsi.org/02918/v1.2.1#", "ds": "http://www.w3.org/2000/09/xmldsig#"}


@pytest.fixture
def proof() -> Proof:
    return honest().proof()


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., Ran]:
    """Export a proof, as people type it."""

    def run(proof: Proof, form: str, *arguments: object) -> Ran:
        (tmp_path / "p.proof.json").write_bytes(format_proof(proof))
        return call("export", tmp_path / "p.proof.json", "--format", form, *arguments)

    return run


def root_of(proof: Proof) -> bytes:
    assert proof.inclusion
    return proof.inclusion.root


def test_an_evidence_record(proof: Proof, export: Callable[..., Ran], tmp_path: Path) -> None:
    ran = export(proof, "ers", "-o", tmp_path / "p.ers", "--json")
    assert (ran.code, ran.talk) == (0, f"Wrote {tmp_path / 'p.ers'}.\n")
    assert ran.json == {
        "output": str(tmp_path / "p.ers"),
        "format": "ers",
        "digest": proof.digest.hex(),
        "root": root_of(proof).hex(),
    }
    content = (tmp_path / "p.ers").read_bytes()
    assert content == make_record(proof)
    assert (
        verify_record(content, [{"sha256": proof.digest}], honest().trust, honest().now).verdict
        is Verdict.VERIFIED
    )


def test_a_token_to_standard_output(proof: Proof, export: Callable[..., Ran]) -> None:
    ran = export(proof, "tst")
    assert (ran.code, ran.answer, ran.talk) == (0, proof.tokens[0].token, "")


def direct(digest: bytes, algorithm: str = "sha256") -> Stamp:
    imprint = {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest}
    return Stamp(Forge(content=tsp.TSTInfo(stamped(message_imprint=imprint)).dump()).make())


def test_a_direct_token_as_the_answer_of_its_authority(
    proof: Proof, export: Callable[..., Ran], tmp_path: Path
) -> None:
    first, second = direct(proof.digest), direct(bytes(64), "sha512")
    both = replace(proof, file_tokens=(first, second))
    assert export(both, "tsa").answer == format_response(first.token)
    # Of that digest the proof says nothing.
    assert export(both, "tsa", "--token", 1).answer == format_response(second.token)
    known = replace(both, digests=(("sha512", bytes(64)),))
    assert export(known, "tsa", "--token", 1).code == 0
    ran = export(both, "tsa", "-o", tmp_path / "file.tsa", "--json")
    assert (ran.code, ran.json["digest"]) == (0, proof.digest.hex())
    assert (tmp_path / "file.tsa").read_bytes() == format_response(first.token)


def test_a_direct_token_that_is_not_there_or_of_another_file(
    proof: Proof, export: Callable[..., Ran]
) -> None:
    assert "no direct token" in export(proof, "tsa").error()
    one = replace(proof, file_tokens=(direct(proof.digest),))
    missing = export(one, "tsa", "--token", 1)
    assert (missing.code, "1" in missing.error()) == (5, True)
    other = replace(proof, file_tokens=(direct(bytes(32)),))
    assert "is not for its digest" in export(other, "tsa").error()
    digests = (("sha512", b"\x01" * 64),)
    wrong = replace(proof, file_tokens=(direct(bytes(64), "sha512"),), digests=digests)
    assert "is not for its digest" in export(wrong, "tsa").error()


def test_the_token_that_is_named(proof: Proof, export: Callable[..., Ran], tmp_path: Path) -> None:
    strange = Stamp(honest().proof(2, 1).tokens[0].token)
    both = replace(proof, tokens=(strange, *proof.tokens))
    assert export(both, "tst", "--token", 1).answer == proof.tokens[0].token
    assert (
        parse_record(export(both, "ers", "--token", 1).answer).timestamps[0].token.der
        == proof.tokens[0].token
    )
    for form in ("tst", "ers"):
        ran = export(both, form)
        assert (ran.code, ran.answer) == (5, b"")
        assert "is not for its root" in ran.error()
    ran = export(both, "tst", "--token", 2)
    assert (ran.code, ran.error()) == (
        5,
        "Error: the proof has no token 2: its last one, counted from 0, is 1",
    )


def test_a_path_with_sides(proof: Proof, export: Callable[..., Ran]) -> None:
    node = proof.digest
    steps = json.loads(export(proof, "merkletools").answer)
    assert len(steps) == 3
    for step in steps:
        ((side, value),) = step.items()
        sibling = bytes.fromhex(value)
        joined = sibling + node if side == "left" else node + sibling
        assert sha256(joined).digest() == parent(node, sibling)
        node = sha256(joined).digest()
    assert node == root_of(proof)


def test_a_proof_in_the_log(proof: Proof, export: Callable[..., Ran]) -> None:
    """Read again by the letter of C2SP tlog-proof, and by our own check of the log."""
    head, _, checkpoint = export(proof, "tlog-proof").text.partition("\n\n")
    name, extra, index, *hashes = head.split("\n")
    assert proof.log
    assert (name, index, checkpoint) == (
        "c2sp.org/tlog-proof@v1",
        f"index {proof.log.index}",
        proof.log.checkpoint,
    )
    entry = base64.b64decode(extra.removeprefix("extra "), validate=True)
    assert entry == proof.log.statement.encode()
    signed = parse_checkpoint(parse_note(checkpoint).text)
    path = [base64.b64decode(each, validate=True) for each in hashes]
    assert check_inclusion(proof.log.index, signed.size, leaf_hash(entry), path, signed.root)
    assert len(path) == 2, "the log of four batches"


def test_arguments_for_the_contract(
    proof: Proof, export: Callable[..., Ran], tmp_path: Path
) -> None:
    assert proof.inclusion
    shown, digest = f"0x{root_of(proof).hex()}", f"0x{proof.digest.hex()}"
    hashes = [f"0x{node.hex()}" for node in proof.inclusion.path]
    anchor = proof.anchors[0]
    ran = export(proof, "sol", "--json")
    assert ran.json == {
        "contracts": [{"chain_id": anchor.chain_id, "address": f"0x{anchor.contract.hex()}"}],
        "anchoredAt": {"root": shown},
        "verify": {"root": shown, "digest": digest, "path": hashes},
    }
    assert (
        export(proof, "sol").text
        == f"contract 0x{anchor.contract.hex()} on chain {anchor.chain_id}\nanchoredAt\n  root:"
        f" {shown}\nverify\n  root: {shown}\n  digest: {digest}\n  path: [{','.join(hashes)}]\n"
    )
    chinese = export(proof, "sol", "--lang", "zh").text
    assert chinese.startswith(f"链 {anchor.chain_id} 上的合约 0x{anchor.contract.hex()}\n")
    written = export(proof, "sol", "--json", "-o", tmp_path / "arguments.json")
    assert json.loads((tmp_path / "arguments.json").read_bytes()) == ran.json
    assert written.json["format"] == "sol"


# Containers
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "证据 & more.txt"
    path.write_bytes(CONTENT)
    return path


def test_a_container(proof: Proof, export: Callable[..., Ran], file: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.asice"
    assert export(proof, "asice", "--file", file, "-o", out, "--json").json["format"] == "asice"
    content = out.read_bytes()
    assert content[30:].startswith(b"mimetypeapplication/vnd.etsi.asic-e+zip"), (
        "by the letter of ETSI EN 319 162-1, A.1"
    )
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "mimetype",
            file.name,
            "META-INF/evidencerecord.ers",
            "META-INF/ASiCEvidenceRecordManifest.xml",
        ]
        assert archive.read(file.name) == CONTENT
        assert archive.read("META-INF/evidencerecord.ers") == make_record(proof)
        manifest = ET.fromstring(archive.read("META-INF/ASiCEvidenceRecordManifest.xml"))
    assert manifest.tag == f"{{{NAMES['asic']}}}ASiCManifest"
    assert manifest.find("asic:SigReference", NAMES).attrib == {
        "URI": "META-INF/evidencerecord.ers"
    }  # type: ignore[union-attr]
    (named,) = manifest.findall("asic:DataObjectReference", NAMES)
    assert named.attrib == {"URI": "%E8%AF%81%E6%8D%AE%20%26%20more.txt", "MimeType": "text/plain"}
    assert named.find("ds:DigestMethod", NAMES).attrib == {
        "Algorithm": "http://www.w3.org/2001/04/xmlenc#sha256"
    }  # type: ignore[union-attr]
    assert named.findtext("ds:DigestValue", None, NAMES) == base64.b64encode(proof.digest).decode()
    os.utime(file, (1, 1))
    assert export(proof, "asice", "--file", file, "-o", tmp_path / "again.asice").code == 0
    assert (tmp_path / "again.asice").read_bytes() == content, (
        "neither clock nor file times leave a mark"
    )


def test_a_container_of_a_file_of_no_known_type(
    proof: Proof, export: Callable[..., Ran], file: Path, tmp_path: Path
) -> None:
    plain = file.rename(tmp_path / "evidence")
    assert export(proof, "asice", "--file", plain, "-o", tmp_path / "p.asice").code == 0
    with zipfile.ZipFile(tmp_path / "p.asice") as archive:
        assert b'URI="evidence" MimeType="application/octet-stream"' in archive.read(
            "META-INF/ASiCEvidenceRecordManifest.xml"
        )


@pytest.mark.parametrize("content", [CONTENT + b"!", CONTENT[:-1], b""])
def test_another_file_makes_no_container(
    proof: Proof, export: Callable[..., Ran], file: Path, tmp_path: Path, content: bytes
) -> None:
    file.write_bytes(content)
    (tmp_path / "p.asice").write_bytes(b"older")
    ran = export(proof, "asice", "--file", file, "-o", tmp_path / "p.asice")
    assert ran.code == 5
    assert (
        f"the proof is for a file with the SHA-256 {proof.digest.hex()}, and this one has"
        f" {sha256(content).hexdigest()}" in ran.error()
    )
    assert (tmp_path / "p.asice").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["p.asice", "p.proof.json", file.name]
    )


@pytest.mark.parametrize("source", [CONTENT[:-1], CONTENT + b"!"], ids=["shrinks", "grows"])
def test_a_file_that_changes_while_it_is_copied(proof: Proof, source: bytes) -> None:
    with pytest.raises(InvalidInput, match="as it was when it was sealed"):
        write_container(
            io.BytesIO(),
            Content("a", len(CONTENT), "text/plain"),
            io.BytesIO(source),
            proof,
            0,
            advance=lambda _: None,
        )


def test_a_file_that_needs_zip64(proof: Proof) -> None:
    """What is declared decides: with four bytes for the size, 3 GiB would fail only after they were
    copied."""
    out = io.BytesIO()
    with pytest.raises(InvalidInput, match="as it was when it was sealed"):
        write_container(
            out,
            Content("a", 3 * 2**30, "video/mp4"),
            io.BytesIO(CONTENT),
            proof,
            0,
            advance=lambda _: None,
        )
    assert b"PK\x03\x04\x2d\x00" in out.getvalue(), "version 4.5, which is ZIP64"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "Mimetype", "meta-inf", "a/b", "a\\b", "a\nb", "x" * 256, "\udcff"]
)
def test_names_that_no_container_can_hold(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot hold a file of this name"):
        Content(name, 0, "text/plain")


def test_files_that_are_none(proof: Proof, export: Callable[..., Ran], tmp_path: Path) -> None:
    out = tmp_path / "p.asice"
    assert "is not a regular file" in export(proof, "asice", "--file", tmp_path, "-o", out).error()
    ran = export(proof, "asice", "--file", tmp_path / "none", "-o", out)
    assert (ran.code, ran.error()) == (
        5,
        f"Error: cannot read {tmp_path / 'none'}: No such file or directory; check the name",
    )
    assert not out.exists()


# What is missing
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["ers", "tst", "merkletools", "tlog-proof", "sol"])
def test_a_proof_without_a_path(proof: Proof, export: Callable[..., Ran], form: str) -> None:
    ran = export(Proof(proof.digest), form)
    assert (ran.code, ran.answer) == (5, b"")
    assert (
        "has no path yet, because the digest's batch was not sealed: fetch it again" in ran.error()
    )


LACKING = {
    "ers": ("tokens", "timestamp token"),
    "tst": ("tokens", "timestamp token"),
    "sol": ("anchors", "anchor"),
    "tlog-proof": ("log", "place in the"),
}


@pytest.mark.parametrize("form", LACKING)
def test_a_proof_that_lacks_what_the_form_needs(
    proof: Proof, export: Callable[..., Ran], form: str
) -> None:
    part, words = LACKING[form]
    ran = export(replace(proof, **{part: None if part == "log" else ()}), form)
    assert (ran.code, ran.answer) == (5, b"")
    assert f"the proof has no {words}" in ran.error()


@pytest.mark.parametrize("form", ["ers", "tst", "merkletools", "tlog-proof", "sol"])
def test_a_path_that_leads_elsewhere(proof: Proof, export: Callable[..., Ran], form: str) -> None:
    assert proof.inclusion
    wrong = replace(proof, inclusion=replace(proof.inclusion, root=bytes(32)))
    assert "the path of this proof does not lead to its root" in export(wrong, form).error()


def test_a_log_that_does_not_belong_to_it(proof: Proof, export: Callable[..., Ran]) -> None:
    other = honest().proof(2, 1).log
    assert proof.log
    assert other
    for wrong in (other, replace(proof.log, path=proof.log.path[:-1]), replace(proof.log, index=0)):
        assert isinstance(wrong, LogProof)
        assert (
            "is not for its root, or not in the log of its checkpoint"
            in export(replace(proof, log=wrong), "tlog-proof").error()
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("asice", "-o", "out"), "name both, with --file and -o"),
        (("asice", "--file", "f"), "name both, with --file and -o"),
        (("ers", "--file", "f"), "--file goes with asice: ers holds no file"),
        (("sol", "--token", 0), "--token goes with ers, tst, tsa, asice: sol holds no token"),
        (("ers", "--json"), "name a file with -o"),
    ],
)
def test_options_that_do_not_fit(
    proof: Proof, export: Callable[..., Ran], arguments: tuple[object, ...], words: str
) -> None:
    ran = export(proof, str(arguments[0]), *arguments[1:])
    assert ran.code == 5
    assert words in ran.error()


def test_places_that_are_not_written_to(
    proof: Proof, export: Callable[..., Ran], file: Path, tmp_path: Path
) -> None:
    assert "is a folder" in export(proof, "ers", "-o", tmp_path).error()
    assert "is a device" in export(proof, "ers", "-o", "/dev/null").error()
    before = format_proof(proof)
    assert "would be written over" in export(proof, "ers", "-o", tmp_path / "p.proof.json").error()
    assert (tmp_path / "p.proof.json").read_bytes() == before
    assert "would be written over" in export(proof, "asice", "--file", file, "-o", file).error()
    assert file.read_bytes() == CONTENT


def test_a_proof_that_is_none(tmp_path: Path) -> None:
    ran = call("export", tmp_path / "none", "--format", "ers")
    assert (ran.code, ran.error()) == (
        5,
        (
            f"Error: cannot read the proof {tmp_path / 'none'}: No such file or directory; check"
            " the name"
        ),
    )
    (tmp_path / "bad").write_bytes(b"{}")
    assert call("export", tmp_path / "bad", "--format", "ers").code == 5


# Verifying what was exported
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command trusts what the honest verifier trusts."""
    monkeypatch.setattr("witnesstree.cli.judging.given_trust", lambda *_: honest().trust)
    monkeypatch.setattr(
        "witnesstree.cli.verify.datetime",
        type("Later", (), {"now": staticmethod(lambda _: honest().now)}),
    )


@pytest.fixture
def record(proof: Proof, tmp_path: Path) -> Path:
    path = tmp_path / "p.ers"
    path.write_bytes(make_record(proof))
    return path


@pytest.mark.usefixtures("trusting")
def test_a_record_verifies(file: Path, record: Path) -> None:
    ran = call("verify", file, "--proof", record, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["assurance"]) == (0, "verified", "local")
    assert ran.json["checks"][0] == {
        "name": "record",
        "outcome": "passed",
        "reason": ran.json["checks"][0]["reason"],
        "code": "record-readable",
        "params": {"count": 1},
        "required": True,
    }
    assert ran.talk == "Timestamps alone hold no anchor: only they are judged.\n"
    plain = call("verify", file, "--proof", record, "--require", "token")
    assert (plain.code, plain.talk) == (0, "")
    assert "byte for byte as it is now.\n  Not after " in plain.text


@pytest.mark.usefixtures("trusting")
def test_a_record_of_another_file(file: Path, record: Path) -> None:
    file.write_bytes(b"another")
    ran = call("verify", file, "--proof", record, "--json")
    assert (ran.code, ran.json["verdict"]) == (3, "failed")
    assert [check["name"] for check in ran.json["checks"] if check["outcome"] == "failed"] == [
        "chains[0].timestamps[0].data"
    ]


@pytest.mark.parametrize(
    "content",
    [b"0", b"0" * 5_000_000, b"\x30\x80", b"{}", b""],
    ids=["short", "long", "cut short", "no proof", "empty"],
)
def test_what_is_no_proof_is_not_judged(file: Path, record: Path, content: bytes) -> None:
    record.write_bytes(content)
    ran = call("verify", file, "--proof", record, "--json")
    assert (ran.code, ran.answer) == (5, b"")
    assert f"{record} is not judged" in ran.error()


def test_a_damaged_record_is_not_judged(file: Path, record: Path) -> None:
    content = record.read_bytes()
    record.write_bytes(content[:-1] + bytes((content[-1] ^ 1,)))
    changed = call("verify", file, "--proof", record, "--json")
    assert changed.code in {3, 4}
    record.write_bytes(content[:-2])
    assert call("verify", file, "--proof", record, "--json").code == 5


@pytest.mark.parametrize("policy", ["anchor", "both"])
def test_a_record_has_no_anchor_to_require(file: Path, record: Path, policy: str) -> None:
    ran = call("verify", file, "--proof", record, "--require", policy)
    assert (ran.code, ran.answer) == (5, b"")
    assert "a timestamp alone has no anchor" in ran.error()


def test_a_record_whose_authority_nobody_trusts(file: Path, record: Path) -> None:
    ran = call("verify", file, "--proof", record, "--json")
    assert (ran.code, ran.json["verdict"]) == (4, "undecided")
    assert "chains[0].timestamps[0].chain" in [
        check["name"] for check in ran.json["checks"] if check["outcome"] == "unknown"
    ]


def test_files_that_cannot_be_hashed(
    file: Path, record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from witnesstree.cli.judging import file_digests

    assert "is not a regular file" in call("verify", "/dev/null", "--proof", record).error()
    with pytest.raises(InvalidInput, match=r"cannot read .*none: No such file"):
        file_digests(tmp_path / "none" / "none", ["sha256"])
    found = file_digests(file, ["sha256", "md5", "sha512"])
    assert set(found) == {"sha256", "sha512"}
    assert found["sha256"] == sha256(CONTENT).digest()
    monkeypatch.setattr(
        "witnesstree.cli.judging.progress",
        lambda *_, **__: contextlib.nullcontext(lambda _: os.utime(file, (5, 5))),
    )
    with pytest.raises(InvalidInput, match="changed while it was read"):
        file_digests(file, ["sha256"])
