"""The way of files and digests through the commands: seal, proof, verify, show, status, fsck."""

import os
import re
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, Sealed, call, run

from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.errors import Unreachable
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.manifest import parse_manifest
from witnesstree.ledger.proof.proof import Hints, format_proof, parse_proof

PROOF = ".proof.json"


def proof_of(file: Path) -> Path:
    return Path(f"{file}{PROOF}")


def verdict(file: Path, home: Path, *more: object) -> str:
    ran = call("verify", file, "--home", home, "--json", *more)
    assert ran.talk == ""
    return str(ran.json["verdict"])


def test_a_file_is_sealed_and_verified_by_the_installed_program(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"a photo")
    sealed = run("seal", "photo.jpg", cwd=tmp_path, env={"WITNESSTREE_HOME": str(home)})
    assert (sealed.code, sealed.text) == (
        0,
        "Sealed photo.jpg (batch 0, position 2) → photo.jpg.proof.json\n",
    )
    verified = run("verify", "photo.jpg", cwd=tmp_path, env={"WITNESSTREE_HOME": str(home)})
    assert verified.code == 0
    answer, *window = verified.text.splitlines()
    local = "local: it proves nothing to a third party"
    when = re.fullmatch(
        rf"VERIFIED \({local}\): “photo.jpg” existed by (\S+), byte for byte as it is now.", answer
    )
    assert when
    assert window[0].startswith("  Not before ")
    assert window[1].startswith(f"  Not after {when[1]}")
    assert window[2].startswith("  On nobody's word but the ledger's own")
    file.write_bytes(b"A photo")
    altered = run("verify", "photo.jpg", cwd=tmp_path, env={"WITNESSTREE_HOME": str(home)})
    assert altered.code == 3
    assert altered.text.splitlines()[0].startswith(
        "FAILED: “photo.jpg” is not what its proof says: The file's SHA-256 is "
    )


NAMES = [
    "借款 合同.pdf",
    "new\nline",
    os.fsdecode(b"bad\xff\xe9 bytes"),
    "0" * 64,
    "-dash",
    "\x1b[31mred",
    "\u202egpj.exe",
    "sub/照片.jpg",
    "sub/deep/empty",
]


def test_a_folder_of_odd_names(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"" if name.endswith("empty") else os.fsencode(name))
    (folder / "link").symlink_to("new\nline")
    (folder / "not really.proof.json").write_text('{"a": 1}')
    sealed = call("seal", "-r", folder, "--home", home)
    assert sealed.code == 0
    assert "Passed over 1 proof file." in sealed.talk
    lines = sealed.text.splitlines()
    assert lines.pop() == f"Sealed {len(NAMES) + 1} files."
    assert len(lines) == len(NAMES) + 1
    assert all(line.startswith(f"Sealed {folder}/") for line in lines)
    assert "\x1b" not in sealed.text
    assert not (folder / f"not really{PROOF}{PROOF}").exists()
    for name in [*NAMES, "link"]:
        assert verdict(folder / name, home) == "verified"
        proof = parse_proof(proof_of(folder / name).read_bytes())
        assert proof.digest == sha256((folder / name).read_bytes()).digest()
        assert proof.hints.name == os.fsencode(Path(name).name).decode(errors="replace")
    for name in NAMES:
        shown = call("show", proof_of(folder / name))
        assert shown.code == 0
        assert all(line.isprintable() for line in shown.text.splitlines())


def test_json_answers_of_odd_names_give_the_very_paths(home: Path, tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    odd = tmp_path / "evidence" / os.fsdecode(b"\xff\n\xe9")
    odd.write_bytes(b"odd")
    files = run("seal", "-r", tmp_path / "evidence", "--home", home, "--json").json["files"]
    assert [os.fsencode(item["path"]) for item in files] == [os.fsencode(odd)]
    assert [os.fsencode(item["proof"]) for item in files] == [os.fsencode(proof_of(odd))]


def test_sealed_again_only_on_demand(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (folder / "b").write_bytes(b"b")
    first = call("seal", "-r", folder, "--home", home, "--json").json
    assert [(item["batch"], item["position"], item["new"]) for item in first["files"]] == [
        (0, 2, True),
        (0, 3, True),
    ]
    assert (first["receipt"]["origin"], first["receipt"]["spans"]) == (
        "ledger.test/court",
        [{"batch": 0, "first": 2, "count": 2}],
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = call("seal", "-r", folder, "--home", home)
    assert again.code == 0
    assert "Passed over 2 proof files." in again.talk
    assert again.text.count("Already sealed ") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # A lost proof is written again, from the entry that is there.
    proof_of(folder / "a").unlink()
    assert call("seal", "-r", folder, "--home", home, "--json").json["receipt"] is None
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # A changed file is sealed on demand, and the proof of what it was is kept.
    (folder / "b").write_bytes(b"b2")
    changed = call("seal", folder / "b", "--again", "--home", home)
    assert f"Kept the older b{PROOF} as b.1{PROOF}." in changed.talk
    assert (folder / f"b.1{PROOF}").read_bytes() == before[f"b{PROOF}"]
    anew = call("seal", folder / "a", "--again", "--home", home, "--json").json
    assert [(item["batch"], item["new"]) for item in anew["files"]] == [(2, True)]
    assert (folder / f"a.1{PROOF}").read_bytes() == before[f"a{PROOF}"]
    assert verdict(folder / "a", home) == verdict(folder / "b", home) == "verified"
    listed = call("proof", folder / "a", "--all-entries", "--home", home, "--json").json
    assert listed == [
        {"batch": 0, "position": 2, "sealed": True},
        {"batch": 2, "position": 2, "sealed": True},
    ]
    assert (
        call("proof", folder / "a", "--all-entries", "--home", home).text
        == "batch 0, position 2\nbatch 2, position 2\n"
    )
    assert parse_proof(call("proof", folder / "a", "--home", home).answer) == parse_proof(
        before[f"a{PROOF}"]
    )
    assert (
        call("proof", folder / "a", "--batch", 2, "--home", home).answer
        == proof_of(folder / "a").read_bytes()
    )


def test_receipts_now_seals_later(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "a b"
    file.write_bytes(b"x")
    taken = call("seal", file, "--no-wait", "--home", home)
    assert taken.text == f"Took {file} (batch 0, position 2)\n"
    assert not proof_of(file).exists()
    assert (
        call("seal", file, "--no-wait", "--home", home).text
        == f"Already taken {file} (batch 0, position 2)\n"
    )
    status = call("status", "--home", home, "--json").json
    assert [(batch["batch"], batch["state"], batch["entries"]) for batch in status["unsealed"]] == [
        (0, "open", 1)
    ]
    assert "Batch 0 is open with 1 entry, since " in call("status", "--home", home).text
    assert (
        call("proof", file, "--all-entries", "--home", home).text
        == "batch 0, position 2, not sealed yet\n"
    )
    early = call("proof", file, "--home", home, "-o", proof_of(file), "--json")
    assert early.json == {"proof": str(proof_of(file)), "complete": False}
    assert "still lacks: path to the root, token, anchor" in early.talk
    undecided = call("verify", file, "--home", home)
    assert undecided.code == 4
    assert "not sealed yet" in undecided.text.splitlines()[0]
    assert "witnesstree proof" in undecided.text.splitlines()[-1]
    assert "not sealed yet" in call("show", proof_of(file)).text
    finished = call("seal", "--home", home)
    assert (finished.code, finished.answer) == (0, b"")
    # The early proof lacks everything, so it is replaced and nothing is kept of it.
    assert call("seal", file, "--home", home).code == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path != home) == [
        "a b",
        f"a b{PROOF}",
    ]
    assert verdict(file, home) == "verified"
    assert call("status", "--home", home).text.splitlines()[-2:] == [
        "1 sealed batch with 1 entry",
        "Nothing waits.",
    ]
    assert call("fsck", "--home", home).text == "Checked 1 batch with 1 entry: no problems.\n"


def test_a_manifest_names_the_files_and_never_itself(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "chat.json").write_bytes(b"{}")
    name, arguments = (
        "张三_借款合同_20261123",
        (
            "seal",
            "-r",
            folder,
            "--home",
            home,
            "--name",
            "张三_借款合同_20261123",
            "--meta",
            "place=上海",
        ),
    )
    assert call(*arguments, "--ipfs", "--meta", "a=b=c").code == 0
    path = folder / f"{name}.manifest.json"
    manifest = parse_manifest(path.read_bytes())
    assert (manifest.name, manifest.meta) == (name, {"place": "上海", "a": "b=c"})
    assert [(file.name, file.size, file.digest, file.media_type) for file in manifest.files] == [
        ("chat.json", 2, sha256(b"{}").digest(), "application/json")
    ]
    assert manifest.files[0].cid
    assert (
        parse_proof(proof_of(folder / "chat.json").read_bytes()).hints.cid == manifest.files[0].cid
    )
    assert verdict(path, home) == "verified"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = call(*arguments, "--ipfs", "--meta", "a=b=c")
    assert again.text.count("Already sealed") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # Another file makes another manifest; the older one is kept, and neither ever becomes a file of
    # the next.
    (folder / "page.html").write_bytes(b"<p>")
    for _ in range(2):
        assert call(*arguments).code == 0
    assert sorted(path.name for path in folder.glob("*.manifest.json")) == [
        f"{name}.1.manifest.json",
        f"{name}.manifest.json",
    ]
    assert (folder / f"{name}.1.manifest.json").read_bytes() == before[path.name]
    assert [file.name for file in parse_manifest(path.read_bytes()).files] == [
        "chat.json",
        "page.html",
    ]


def test_proofs_in_a_folder_of_their_own(home: Path, tmp_path: Path) -> None:
    for name in ("d/one", "d/sub/one"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    assert (
        call(
            "seal",
            "-r",
            tmp_path / "d",
            "--proofs",
            tmp_path / "p/q",
            "--name",
            "n",
            "--home",
            home,
        ).code
        == 0
    )
    assert sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.glob("p/**/*") if path.is_file()
    ) == [
        "p/q/n.manifest.json",
        "p/q/n.manifest.json.proof.json",
        "p/q/one.proof.json",
        "p/q/sub/one.proof.json",
    ]
    assert sorted(path.name for path in tmp_path.glob("d/**/*")) == ["one", "one", "sub"]
    assert (
        verdict(tmp_path / "d/sub/one", home, "--proof", tmp_path / "p/q/sub/one.proof.json")
        == "verified"
    )


DIGESTS = [sha256(bytes([i])).digest() for i in range(3)]
FORMS = {
    "raw": b"".join(DIGESTS),
    "hex": b"\n".join(digest.hex().encode() for digest in DIGESTS),
    "hex, upper case, CRLF, empty lines": (
        b"\r\n\r\n".join(digest.hex().upper().encode() for digest in DIGESTS) + b"\r\n"
    ),
    "sha256sum": b"".join(digest.hex().encode() + b"  a name\n" for digest in DIGESTS),
    "sha256sum -b, odd names": b"".join(
        digest.hex().encode() + b" *\xff  " + digest.hex().encode() + b"\n" for digest in DIGESTS
    ),
    "sha256sum, escaped name": b"".join(
        b"\\" + digest.hex().encode() + b"  new\\nline\n" for digest in DIGESTS
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_digests_in_every_form(form: str, home: Path, tmp_path: Path) -> None:
    (tmp_path / "digests").write_bytes(FORMS[form])
    taken = call(
        "seal", "--digests", tmp_path / "digests", "--no-wait", "--home", home, "--json"
    ).json
    assert (taken["count"], taken["sealed"], taken["receipt"]["spans"]) == (
        3,
        False,
        [{"batch": 0, "first": 2, "count": 3}],
    )
    assert [
        call("proof", digest.hex(), "--all-entries", "--home", home, "--json").json[0]["position"]
        for digest in DIGESTS
    ] == [2, 3, 4]


def test_what_sha256sum_wrote_is_sealed_and_proven(home: Path, tmp_path: Path) -> None:
    (tmp_path / "new\nline").write_bytes(bytes([0]))
    (tmp_path / "\\back").write_bytes(bytes([1]))
    lines = [
        b"\\" + DIGESTS[0].hex().encode() + b"  new\\nline\n",
        b"\\" + DIGESTS[1].hex().encode() + b" *\\\\back\n",
    ]
    (tmp_path / "sums").write_bytes(b"".join(lines))
    sealed = call(
        "seal", "--digests", tmp_path / "sums", "--proofs", tmp_path / "p", "--home", home
    )
    assert sealed.text == "Sealed 2 digests: batch 0, positions 2 to 3.\n"
    for name, digest in zip(("new\nline", "\\back"), DIGESTS, strict=False):
        assert (
            verdict(tmp_path / name, home, "--proof", tmp_path / "p" / (digest.hex() + PROOF))
            == "verified"
        )


def test_more_digests_than_a_batch_holds(home: Path, tmp_path: Path) -> None:
    digests = [sha256(i.to_bytes(4)).digest() for i in range(25)]
    (tmp_path / "digests").write_bytes(b"".join(digests))
    env = {"WITNESSTREE_BATCH_ENTRIES": "10"}
    spans = call("seal", "--digests", tmp_path / "digests", "--home", home, "--json", env=env).json[
        "receipt"
    ]["spans"]
    assert spans == [
        {"batch": 0, "first": 2, "count": 10},
        {"batch": 1, "first": 2, "count": 10},
        {"batch": 2, "first": 2, "count": 5},
    ]
    status = call("status", "--home", home, "--json").json
    assert (status["batches"], status["entries"], status["unsealed"], status["waiting"]) == (
        3,
        25,
        [],
        [],
    )
    assert call("fsck", "--home", home, "--json").json == {
        "batches": 3,
        "entries": 25,
        "problems": [],
    }
    sizes = [
        parse_proof(call("proof", digests[i].hex(), "--home", home).answer).inclusion
        for i in (0, 9, 10, 24)
    ]
    assert [(at.position, at.size) for at in sizes if at] == [(2, 12), (11, 12), (2, 12), (6, 8)]


def test_fsck_names_a_flipped_bit(home: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"f")
    assert call("seal", tmp_path / "f", "--home", home).code == 0
    assert call("fsck", "--home", home).code == 0
    digests = next((home / "batches").rglob("*.digests"))
    content = bytearray(digests.read_bytes())
    content[40] ^= 1
    digests.write_bytes(content)
    found = call("fsck", "--home", home, "--json")
    assert found.code == 10
    assert any(digests.name in problem["place"] for problem in found.json["problems"])
    assert call("fsck", "--home", home).code == 10


def test_fsck_mends_an_index(home: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"f")
    assert call("seal", tmp_path / "f", "--home", home).code == 0
    index = next((home / "batches").rglob("*.index"))
    whole = index.read_bytes()
    index.write_bytes(bytes(len(whole)))
    assert call("fsck", "--home", home).code == 10
    mended = call("fsck", "--mend-index", "--home", home)
    assert (mended.code, mended.talk) == (0, "Wrote 1 index again.\n")
    assert index.read_bytes() == whole


def test_show_gives_what_an_explorer_asks_for(home: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"f")
    call("seal", tmp_path / "f", "--home", home)
    shown = call("show", proof_of(tmp_path / "f"), "--json").json
    proof = parse_proof(proof_of(tmp_path / "f").read_bytes())
    assert proof.inclusion
    assert shown["digest"] == sha256(b"f").hexdigest()
    assert shown["missing"] == []
    assert shown["anchors"][0]["block_hash"] == "0x" + proof.anchors[0].block_hash.hex()
    assert shown["anchors"][0]["read"]["verify"] == {
        "root": "0x" + proof.inclusion.root.hex(),
        "digest": "0x" + sha256(b"f").hexdigest(),
        "path": ["0x" + node.hex() for node in proof.inclusion.path],
    }
    text = call("show", proof_of(tmp_path / "f")).text
    assert shown["anchors"][0]["contract"] in text
    assert "`witnesstree verify`" in text


def test_a_home_is_where_the_user_keeps_data(tmp_path: Path) -> None:
    made = run(
        "init", "--json", env={"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}
    )
    assert made.json["home"] == str(tmp_path / "data/witnesstree")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["witnesstree"]
    assert (tmp_path / "data/witnesstree").stat().st_mode & 0o777 == 0o700
    status = run("status", "--json", env={"XDG_DATA_HOME": str(tmp_path / "data")}).json
    assert [status[name] for name in ("origin", "checkpoint_key")] == [
        made.json[name] for name in ("origin", "checkpoint_key")
    ]


def test_the_log_grows_with_every_batch(home: Path, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}").write_text(f"{i}")
        assert call("seal", tmp_path / f"{i}", "--home", home).code == 0
    proofs = [parse_proof(proof_of(tmp_path / f"{i}").read_bytes()) for i in range(3)]
    assert [proof.log.index for proof in proofs if proof.log] == [0, 1, 2]
    assert all(
        earlier.anchors[0].block_number < later.anchors[0].block_number
        for earlier, later in pairwise(proofs)
    )
    assert {verdict(tmp_path / f"{i}", home) for i in range(3)} == {"verified"}


def refuse(_authority: LocalAuthority, _root: bytes) -> bytes:
    raise Unreachable("the authority does not answer")


def test_digests_that_cannot_be_stamped_have_their_receipt(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No proof stands beside them, so the receipt is all that tells where they are."""
    (tmp_path / "digests").write_text(f"{'ab' * 32}\n")
    monkeypatch.setattr(LocalAuthority, "stamp", refuse)
    taken = call(
        "seal",
        "--digests",
        tmp_path / "digests",
        "--proofs",
        tmp_path / "proofs",
        "--home",
        home,
        "--json",
    )
    assert (taken.code, taken.json["receipt"]["spans"]) == (
        8,
        [{"batch": 0, "first": 2, "count": 1}],
    )
    assert "the authority does not answer" in taken.error()
    assert parse_proof((tmp_path / "proofs" / f"{'ab' * 32}{PROOF}").read_bytes()).missing == (
        "token",
    )


def test_what_cannot_be_stamped_waits_and_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"f")
    with monkeypatch.context() as patch:
        patch.setattr(LocalAuthority, "stamp", refuse)
        waiting = call("seal", file, "--home", home)
        assert waiting.code == 8
        assert (
            waiting.error()
            == "Error: 1 stamp or anchor job could not be done (the authority does not answer):"
            " nothing is lost; run `witnesstree worker`, or `witnesstree seal` later, to finish,"
            " then `witnesstree proof`"
        )
        assert call("seal", "--home", home).code == 8
        assert parse_proof(proof_of(file).read_bytes()).missing == ("token",)
        assert "Not there yet: token." in call("show", proof_of(file)).text
        assert call("verify", file, "--home", home).code == 4
        assert call("verify", file, "--home", home, "--require", "anchor").code == 0
        lines = call("status", "--home", home).text.splitlines()
        assert lines[-2].startswith("Batch 0 waits for its timestamp by local since ")
        assert lines[-2].endswith("; 2 failed attempts, the last: the authority does not answer")
        assert (
            lines[-1]
            == "Run `witnesstree worker`, or `witnesstree seal`, to go on with what waits."
        )
        assert [
            job["kind"] for job in call("status", "--home", home, "--json").json["waiting"]
        ] == ["stamp"]
    assert call("seal", "--home", home, "--json").json == []
    assert call("seal", file, "--home", home).code == 0
    assert verdict(file, home) == "verified"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "f",
        f"f{PROOF}",
        "home",
    ], "the proof that lacked a token was replaced"


def test_show_says_what_is_there_and_what_is_not(sealed: Sealed) -> None:
    proof = parse_proof(sealed.proof.read_bytes())
    token, anchor = proof.tokens[0], proof.anchors[0]

    def shown(**changes: Any) -> Ran:
        sealed.proof.write_bytes(format_proof(replace(proof, **changes)))
        return call("show", sealed.proof)

    assert (
        f"contract.txt', {sealed.file.stat().st_size} bytes (this is not proven)." in shown().text
    )
    assert "named" not in shown(hints=Hints()).text
    held = shown(hints=Hints("照片.jpg", None, "bafkrei")).text
    assert "It says the file was named '照片.jpg' (this is not proven)." in held
    assert "It says IPFS holds it as bafkrei (this is not proven)." in held
    assert "A timestamp token that cannot be read: " in shown(tokens=(Stamp(b"junk"),)).text
    assert "error" in call("show", sealed.proof, "--json").json["tokens"][0]
    assert shown(tokens=(token, token)).text.count("Timestamp: ") == 2
    public = shown(anchors=(replace(anchor, chain_id=1), replace(anchor, transaction=None)))
    assert "Look it up: https://" in public.text
    assert public.text.count("  Transaction (not proven)") == 1
    assert call("show", sealed.proof, "--json").json["anchors"][1]["transaction"] is None
