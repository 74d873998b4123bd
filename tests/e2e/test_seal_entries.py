"""One entry that cannot be sealed stops no other; the ledger's own home is never evidence; an
edited file is not sealed as if nothing had been; and what is beside evidence is safe where others
can write, too."""

import json
import os
import shutil
import socket
import subprocess
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import call, run
from real import require_real, unavailable

from witnesstree.cli import outputs
from witnesstree.cli.names import NAME_MOST, proof_beside, proof_name
from witnesstree.cli.outputs import put, write_proof
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof.manifest import parse_manifest
from witnesstree.ledger.proof.proof import Proof, format_proof, parse_proof

PROOF = ".proof.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one good file."""
    place = tmp_path / "evidence"
    place.mkdir()
    (place / "good").write_bytes(b"good")
    return place


def sealed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob(f"*{PROOF}")}


# The home


def homes(home: Path, tmp_path: Path) -> dict[str, list[object]]:
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "key-link").symlink_to(home / "keys/ledger.pem")
    os.link(home / "keys/ledger.pem", tmp_path / "hard")
    return {
        "the home": ["-r", home],
        "by another way": ["-r", home / "keys" / ".."],
        "by a link": ["-r", tmp_path / "link"],
        "keys": ["-r", home / "keys"],
        "keys by a link": ["-r", tmp_path / "link/keys"],
        "a file": [home / "ledger.db"],
        "a file by a link": [tmp_path / "link/ledger.db"],
        "a link to a key": [tmp_path / "key-link"],
        "a second name of a key": [tmp_path / "hard"],
    }


def test_the_home_is_no_evidence_by_any_name(home: Path, tmp_path: Path) -> None:
    for name, arguments in homes(home, tmp_path).items():
        for more in ([], ["--ipfs", "--public"]):
            ran = call("seal", *arguments, *more, "--home", home)
            assert ran.code == 5, name
            assert "ledger's own home" in ran.error()
            assert ran.answer == b""
    assert sealed(home) == sealed(tmp_path) == set()
    assert not list((home / "ipfs").rglob("*.data"))


def test_the_home_is_named_from_inside_of_it(home: Path) -> None:
    ran = run("seal", "-r", ".", "--home", ".", cwd=home)
    assert ran.code == 5
    assert sealed(home) == set()


def test_a_backup_is_left_out_of_a_folder(home: Path, folder: Path) -> None:
    assert call("backup", folder / "backup", "--plain-keys", "--home", home).code == 0
    ran = call("seal", "-r", folder, "--home", home, "--json")
    assert ran.code == 13
    assert [Path(each["path"]).name for each in ran.json["files"]] == ["good"]
    assert [(Path(each["path"]).name, each["code"]) for each in ran.json["skipped"]] == [
        ("backup", "folder-is-backup")
    ]


def test_what_leads_into_the_home_is_left_out_of_a_folder(home: Path, folder: Path) -> None:
    shutil.copytree(home, folder / "copy", symlinks=True)
    own = folder / "copy"
    (folder / "link").symlink_to(own)
    (folder / "key").symlink_to(own / "keys/ledger.pem")
    os.link(own / "keys/age.txt", folder / "age")
    half_made = folder / ".copy.half-made"
    half_made.mkdir()
    (half_made / "ledger.pem").write_bytes(b"secret")
    ran = call("seal", "-r", folder, "--home", own, "--json")
    assert ran.code == 13
    assert [Path(each["path"]).name for each in ran.json["files"]] == ["good"]
    assert {(Path(each["path"]).name, each["code"]) for each in ran.json["skipped"]} == {
        ("link", "link-not-followed"),
        ("key", "entry-of-home"),
        ("age", "entry-of-home"),
    }
    assert f"Left out {own}" in ran.talk
    assert f"Left out {half_made}" in ran.talk
    # The home alone leaves nothing undone.
    for name in ("link", "key", "age"):
        (folder / name).unlink()
    assert call("seal", "-r", folder, "--home", own).code == 0
    assert sealed(folder) == {f"good{PROOF}"}


def test_a_home_that_is_mounted_elsewhere_is_known(home: Path, tmp_path: Path) -> None:
    mount, umount = require_real("mount"), require_real("umount")
    place = tmp_path / "elsewhere"
    place.mkdir()
    if subprocess.run([mount, "--bind", home / "keys", place], check=False).returncode:
        unavailable("this machine lets nobody mount")
    try:
        ran = call("seal", "-r", place, "--home", home)
        assert ran.code == 5
        assert sealed(place) == set()
        ran = call("seal", place / "ledger.pem", "--home", home)
        assert ran.code == 5
    finally:
        subprocess.run([umount, place], check=True)


# Entries


def test_one_entry_stops_no_other(home: Path, folder: Path) -> None:
    (folder / "dangling").symlink_to("127.0.0.1:+4242")
    (folder / "self").symlink_to("self")
    os.mkfifo(folder / "pipe")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(os.path.relpath(folder / "sock"))
    (folder / "null").symlink_to("/dev/null")
    (folder / "proc").symlink_to("/proc/self/status")
    (folder / "elsewhere").symlink_to("/usr/lib")
    ran = call("seal", "-r", folder, "--home", home, "--json")
    bound.close()
    assert ran.code == 13
    assert [Path(each["path"]).name for each in ran.json["files"]] == ["good"]
    reasons = {Path(each["path"]).name: each["code"] for each in ran.json["skipped"]}
    assert reasons == {
        "dangling": "file-unreadable",
        "self": "file-unreadable",
        "pipe": "file-not-regular",
        "sock": "file-not-regular",
        "null": "file-not-regular",
        "proc": "file-of-another-size",
        "elsewhere": "link-not-followed",
    }
    for each in ran.json["skipped"]:
        assert f"Not sealed: {each['reason']}" in ran.talk
        assert each["params"]["path"] == each["path"]
    assert sealed(folder) == {f"good{PROOF}"}


def test_a_name_that_is_misspelt_stops_no_other(home: Path, folder: Path) -> None:
    ran = call("seal", folder / "good", folder / "misspelt", "--home", home)
    assert ran.code == 13
    assert "misspelt is not there" in ran.talk
    assert sealed(folder) == {f"good{PROOF}"}
    # Nothing at all is no success.
    ran = call("seal", folder / "a", folder / "b", "--home", home)
    assert ran.code == 5
    assert "there is no file to seal" in ran.error()
    assert "a is not there" in ran.talk


def test_a_path_that_is_too_long_stops_no_other(home: Path, folder: Path) -> None:
    here = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(24):
            Path("z" * 200).mkdir()
            os.chdir("z" * 200)
        Path("f").write_bytes(b"deep")
    finally:
        os.chdir(here)
    try:
        ran = call("seal", "-r", folder, "--home", home, "--json")
        assert ran.code == 13
        assert [each["code"] for each in ran.json["skipped"]] == ["file-unreadable"]
        assert len(ran.json["files"]) == 1
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_file_that_changes_stops_no_other(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "busy").write_bytes(b"before")
    (folder / "swapped").write_bytes(b"before")
    from witnesstree.cli import seal
    from witnesstree.ledger.base import digest

    found, hashed = seal.find_files, digest.digest_file

    def find(*arguments: object, **how: object) -> object:
        result = found(*arguments, **how)  # type: ignore[arg-type]
        (folder / "swapped").unlink()
        (folder / "swapped").symlink_to(home / "keys/ledger.pem")
        return result

    def hash_file(path: Path, *arguments: object) -> object:
        if path.name == "busy":
            raise InvalidInput("file-changed", path=path)
        return hashed(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(seal, "find_files", find)
    monkeypatch.setattr(digest, "digest_file", hash_file)
    ran = call("seal", "-r", folder, "--ipfs", "--public", "--home", home, "--json")
    assert ran.code == 13
    assert {(Path(each["path"]).name, each["code"]) for each in ran.json["skipped"]} == {
        ("busy", "file-changed"),
        ("swapped", "file-changed"),
    }
    assert sealed(folder) == {f"good{PROOF}"}


@pytest.mark.parametrize("name", ["y" * 225, "y" * 255, "照" * 85, "y" + "照" * 84])
def test_a_long_name_has_a_proof_under_a_shorter_one(home: Path, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"long")
    (folder / ("y" * NAME_MOST)).write_bytes(b"just")
    for more in ([], ["--proofs", folder.parent / "proofs"]):
        assert call("seal", "-r", folder, *more, "--home", home).code == 0
    assert sealed(folder) == sealed(folder.parent / "proofs")
    assert sealed(folder) == {
        f"good{PROOF}",
        "y" * NAME_MOST + PROOF,
        proof_name(name),
    }
    assert proof_name(name).startswith(name[:60])
    assert sha256(name.encode()).hexdigest()[:16] in proof_name(name)
    assert call("verify", folder / name, "--home", home).code == 0
    assert call("verify", folder, "--home", home).code == 0
    # A proof whose file is gone is told.
    (folder / name).unlink()
    ran = call("verify", folder, "--home", home, "--json")
    assert ran.code == 4
    assert [each["gap"] for each in ran.json["files"] if "gap" in each] == ["no file"]


def test_a_proof_that_somebody_put_under_the_whole_name_is_found(folder: Path) -> None:
    file = folder / ("y" * 240)
    assert proof_beside(file).name == proof_name(file.name) != file.name + PROOF
    (folder / (file.name + PROOF)).touch()
    assert proof_beside(file).name == file.name + PROOF


# Manifests


def test_a_manifest_tells_files_apart(home: Path, folder: Path) -> None:
    for name in (b"front/IMG_0001.jpg", b"back/IMG_0001.jpg", b"k\xdf.txt", b"k\xf6.txt", b"a\\b"):
        path = folder / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name)
    ran = call("seal", "-r", folder, "--name", "case", "--home", home)
    assert ran.code == 0
    content = (folder / "case.manifest.json").read_bytes()
    found = parse_manifest(content)
    assert {file.name: file.digest for file in found.files} == {
        name: sha256(raw).digest()
        for name, raw in {
            "good": b"good",
            "front/IMG_0001.jpg": b"front/IMG_0001.jpg",
            "back/IMG_0001.jpg": b"back/IMG_0001.jpg",
            "k\\xdf.txt": b"k\xdf.txt",
            "k\\xf6.txt": b"k\xf6.txt",
            "a\\\\b": b"a\\b",
        }.items()
    }
    assert found.salt
    assert found.follows is None
    # Another one names it; the same again is left as it is.
    (folder / "more").write_bytes(b"more")
    for _ in range(2):
        assert call("seal", "-r", folder, "--name", "case", "--home", home).code == 0
    later = parse_manifest((folder / "case.manifest.json").read_bytes())
    assert later.follows == sha256(content).digest()
    assert later.salt != found.salt
    assert (folder / "case.1.manifest.json").read_bytes() == content
    assert not (folder / "case.2.manifest.json").exists()


def test_names_are_below_the_folder_that_holds_all(home: Path, tmp_path: Path) -> None:
    for name in ("a/x/1", "b/x/1", "b/2"):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).write_text(name)
    place = tmp_path / "t"
    proofs = ["--proofs", tmp_path / "p", "--home", home]
    assert (
        call(
            "seal", "-r", place / "a/x", place / "b/x", place / "b/2", "--name", "n", "--home", home
        ).code
        == 0
    )
    found = parse_manifest((place / "n.manifest.json").read_bytes())
    assert [file.name for file in found.files] == ["a/x/1", "b/x/1", "b/2"]
    assert call("seal", place / "b/2", "--name", "one", *proofs).code == 0
    found = parse_manifest((tmp_path / "p/one.manifest.json").read_bytes())
    assert [file.name for file in found.files] == ["2"]


# Edited files


def test_an_edited_file_is_not_sealed_as_if_nothing_had_been(home: Path, folder: Path) -> None:
    assert call("seal", "-r", folder, "--home", home).code == 0
    proof = folder / f"good{PROOF}"
    before = proof.read_bytes()
    (folder / "good").write_bytes(b"edited")
    (folder / "other").write_bytes(b"other")
    ran = call("seal", "-r", folder, "--home", home, "--json")
    assert ran.code == 13
    assert [Path(each["path"]).name for each in ran.json["files"]] == ["other"]
    [skipped] = ran.json["skipped"]
    assert skipped["code"] == "file-edited"
    assert skipped["params"]["time"].startswith("20")
    assert "is not the file that was sealed on 20" in ran.talk
    assert proof.read_bytes() == before
    # Alone, too; nothing is submitted.
    count = call("status", "--home", home, "--json").json
    for more in ([], ["--no-wait"], ["--name", "n"], ["--ipfs"]):
        ran = call("seal", folder / "good", *more, "--home", home, "--json")
        assert ran.code == 13
        assert ran.json["files"] == []
    assert call("status", "--home", home, "--json").json == count
    ran = call("seal", folder / "good", "--again", "--home", home)
    assert ran.code == 0
    assert (folder / f"good.1{PROOF}").read_bytes() == before
    assert parse_proof(proof.read_bytes()).digest == sha256(b"edited").digest()


# What is beside evidence


@pytest.fixture
def made(home: Path, tmp_path: Path) -> Proof:
    (tmp_path / "file").write_bytes(b"file")
    assert call("seal", tmp_path / "file", "--home", home).code == 0
    return parse_proof((tmp_path / f"file{PROOF}").read_bytes())


def test_no_older_proof_is_lost_in_a_race(tmp_path: Path) -> None:
    path = tmp_path / f"file{PROOF}"
    contents = [f"proof {number}".encode() for number in range(40)]
    threads = [threading.Thread(target=put, args=(path, content, PROOF)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = sorted(each.read_bytes() for each in tmp_path.iterdir())
    assert kept == sorted(contents)
    assert path.exists()


def test_an_older_proof_is_kept_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(outputs.errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / f"file{PROOF}"
    for content in (b"1", b"2", b"3"):
        put(path, content, PROOF)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        f"file{PROOF}": b"3",
        f"file.1{PROOF}": b"1",
        f"file.2{PROOF}": b"2",
    }


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "hard"])
def test_what_is_planted_under_a_proofs_name_is_moved_aside(
    made: Proof, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    precious, path = tmp_path / "precious", place / f"x{PROOF}"
    precious.write_bytes(b"precious")
    {
        "link": lambda: path.symlink_to(precious),
        "dangling": lambda: path.symlink_to(tmp_path / "new"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "hard": lambda: os.link(precious, path),
    }[kind]()
    write_proof(path, made)
    assert path.read_bytes() == format_proof(made)
    assert not path.is_symlink()
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "new").exists()
    assert {each.name for each in place.iterdir()} == {f"x{PROOF}", f"x.1{PROOF}"}


def test_a_link_that_others_made_is_not_followed(home: Path, folder: Path) -> None:
    if os.geteuid():
        unavailable("only root can make what others have made")
    precious = folder.parent / "precious"
    precious.mkdir()
    link = folder.parent / "proofs"
    link.symlink_to(precious)
    os.lchown(link, 12345, 12345)
    ran = call("seal", "-r", folder, "--proofs", link, "--home", home)
    assert ran.code == 5
    assert "another user (number 12345)" in ran.error()
    assert not list(precious.iterdir())
    # One's own is.
    os.lchown(link, 0, 0)
    assert call("seal", "-r", folder, "--proofs", link, "--home", home).code == 0
    assert sealed(precious) == {f"good{PROOF}"}


def test_what_an_interrupted_write_left_is_not_sealed(home: Path, folder: Path) -> None:
    for name in (f".good{PROOF}.0123456789abcd.tmp", ".0123456789abcd.tmp"):
        (folder / name).write_bytes(b"half")
    (folder / ".mine.tmp").write_bytes(b"mine")
    ran = call("seal", "-r", folder, "--home", home)
    assert ran.code == 0
    assert ran.talk.count("it is what an interrupted write left") == 2
    assert sealed(folder) == {f"good{PROOF}", f".mine.tmp{PROOF}"}


def test_json_names_what_was_skipped_in_a_form_that_programs_read(home: Path, folder: Path) -> None:
    (folder / os.fsdecode(b"\xff")).symlink_to("nowhere")
    ran = run("seal", "-r", folder, "--home", home, "--json")
    assert ran.code == 13
    [skipped] = json.loads(ran.answer)["skipped"]
    assert os.fsencode(skipped["path"]).endswith(b"/\xff")


# Odd places


def test_a_working_folder_that_is_gone_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'cd gone && rmdir ../gone && exec "$@"'
    before = ("sh", "-c", script, "sh")
    for command in (["seal", "-r", "."], ["log", "publish", "pub"], ["proof", "x", "-o", "y"]):
        (tmp_path / "gone").mkdir(exist_ok=True)
        ran = run(*command, "--home", home, before=before, cwd=tmp_path)
        assert ran.code == 11
        assert "the working folder was removed" in ran.error()


def test_too_few_open_files_are_no_fault_of_the_files(home: Path, folder: Path) -> None:
    for number in range(20):
        (folder / f"{number}").write_bytes(b"x")
    before = ("sh", "-c", 'ulimit -n "$0" && exec "$@"')
    for limit in (5, 6, 8, 10, 12):
        ran = run("seal", "-r", folder, "--home", home, before=(*before, str(limit)))
        assert "Not sealed" not in ran.talk
        assert ran.code in {0, 1, 5, 10, 11}, ran.talk


def test_a_dash_is_no_file(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    sealed_file = call("seal", "good", "--ipfs", "--public", "--home", home, "--json").json
    cid = sealed_file["files"][0]["cid"]
    for command in (
        ["ipfs", "get", cid],
        ["ipfs", "export", cid],
        ["proof", "good"],
        ["export", f"good{PROOF}", "--format", "ers"],
    ):
        ran = call(*command, "-o", "-", *([] if command[0] == "export" else ["--home", home]))
        assert ran.code == 5
        assert "not standard output" in ran.error()
    assert not Path("-").exists()


@pytest.mark.parametrize("size", ["0", "4096"])
def test_a_file_that_the_kernel_makes_is_told(home: Path, folder: Path, size: str) -> None:
    place = {"0": "/proc/version", "4096": "/sys/kernel/mm/transparent_hugepage/enabled"}[size]
    if not Path(place).exists():
        unavailable(f"there is no {place}")
    ran = call("seal", folder / "good", place, "--proofs", folder / "p", "--home", home)
    assert ran.code == 13
    assert f"{place} is said to have" in ran.talk
    assert "copy it" in ran.talk


def test_a_byte_order_mark_is_passed_over_or_told(home: Path, folder: Path) -> None:
    assert call("seal", folder / "good", "--home", home).code == 0
    assert call("log", "publish", folder / "pub", "--home", home).code == 0
    mark = b"\xef\xbb\xbf"
    key = folder / "key"
    key.write_bytes(mark + (home / "keys/ledger.vkey").read_bytes())
    for command in (
        ["log", "check", folder / "pub", folder / "pub"],
        ["verify", folder / "good", "--home", home],
    ):
        assert call(*command, "--checkpoint-key", key).code == 0
    checkpoint = folder / "checkpoint"
    checkpoint.write_bytes(mark + (folder / "pub/checkpoint").read_bytes())
    ran = call("log", "check", checkpoint, folder / "pub")
    assert ran.code == 5
    assert "byte order mark" in ran.error()
    digests = folder / "digests"
    digests.write_bytes(mark + sha256(b"x").hexdigest().encode() + b"\n")
    ran = call("seal", "--digests", digests, "--home", home)
    assert ran.code == 5
    assert "byte order mark" in ran.error()


def test_a_number_of_5000_digits_is_refused_where_numbers_are(home: Path, folder: Path) -> None:
    number = "9" * 5000
    assert call("seal", folder / "good", "--home", home).code == 0
    assert call("log", "publish", folder / "pub", "--home", home).code == 0
    lines = (folder / "pub/checkpoint").read_bytes().split(b"\n")
    lines[1] = number.encode()
    (folder / "large").write_bytes(b"\n".join(lines))
    for command, code in (
        (["proof", "--all", "--batch", number, "-o", folder / "x", "--home", home], 2),
        (["log", "check", folder / "large", folder / "pub"], 5),
        (["verify", folder / "good", "--block-hash", f"{number}:0x{'00' * 32}"], 5),
        (["audit", folder / "pub", "--quorum", number], 2),
    ):
        assert call(*command).code == code, command
    proof = folder / f"good{PROOF}"
    proof.write_bytes(proof.read_bytes().replace(b'"size": 4', b'"size": ' + number.encode()))
    ran = call("verify", folder / "good", "--home", home)
    assert ran.code == 3
    assert "Traceback" not in ran.talk


@pytest.mark.parametrize("kind", ["output", "split", "metrics", "ipfs", "car"])
def test_no_command_writes_over_a_link_of_somebody_else(
    home: Path, folder: Path, kind: str
) -> None:
    if os.geteuid():
        unavailable("only root can make what others have made")
    ran = call("seal", folder / "good", "--ipfs", "--public", "--home", home, "--json").json
    cid, batch = ran["files"][0]["cid"], ran["files"][0]["batch"]
    precious = folder.parent / "precious"
    precious.mkdir()
    (precious / "x").write_bytes(b"precious")
    link, name = folder / "link", folder / "x"
    link.symlink_to(precious)
    name.symlink_to(precious / "x")
    for each in (link, name):
        os.lchown(each, 12345, 12345)

    def command(place: Path) -> list[object]:
        return {
            "output": ["proof", folder / "good", "-o", place],
            "split": ["proof", "--all", "--batch", batch, "--split", place.parent],
            "metrics": ["worker", "--once", "--metrics", place],
            "ipfs": ["ipfs", "get", cid, "-o", place],
            "car": ["ipfs", "export", cid, "-o", place],
        }[kind]

    ran = call(*command(link / "new"), "--home", home)
    assert ran.code == 5
    assert "another user (number 12345)" in ran.error()
    # What has the name itself is replaced, and nothing behind it.
    if kind != "split":
        call(*command(name), "--home", home)
        assert not name.is_symlink()
    assert {path.name: path.read_bytes() for path in precious.iterdir()} == {"x": b"precious"}
