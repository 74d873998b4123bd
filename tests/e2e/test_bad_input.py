"""Bad input from outside: one line on standard error that says what to do, a documented exit code,
and nothing half-written."""

import fcntl
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import PROGRAM, Sealed, call, environment, run, without_privilege
from real import require_real, unavailable

PROOF = ".proof.json"
MB = 2**20
LONG = "a" * 300


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder, but for SQLite's passing files."""
    passing = ("-wal", "-shm", "-journal", ".lock")
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(passing)
    }


# Paths


def seal_of(*arguments: object) -> Callable[[Path], tuple[object, ...]]:
    """Return what makes a `seal` command line; names ending in @ stand in the test's folder."""
    return lambda folder: (
        "seal",
        *(
            folder / word[:-1] if isinstance(word, str) and word.endswith("@") else word
            for word in arguments
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nothing@"], 5, "is not there: check the name"),
        (["new\nline@"], 5, "new\\nline is not there"),
        ([LONG + "@"], 5, "File name too long"),
        (["folder@"], 5, "give -r"),
        (["-r", "empty@"], 5, "there is no file to seal"),
        (["-r", "dangling@"], 5, "No such file or directory"),
        (["-r", "pipes@"], 5, "is not a regular file"),
        (["file/x@"], 5, "cannot read"),
        (["/dev/null", "--proofs", "proofs@"], 5, "is not a regular file"),
        (["file@", "file@", "folder/file@", "--proofs", "proofs@"], 5, "would both get the proof"),
        (["file@", "--proofs", "file/x@"], 5, "no proof can be written into"),
        (["proven@"], 5, "is a folder, where the proof of"),
        (["file@", "--meta", "x", "--name", "n"], 5, "--meta takes KEY=VALUE, not 'x'"),
        (["file@", "--meta", "=x", "--name", "n"], 5, "--meta takes KEY=VALUE"),
        (["file@", "--meta", "a=x", "--meta", "a=y", "--name", "n"], 5, "given twice"),
        (["file@", "--meta", "a=x"], 5, "give it a --name"),
        (["file@", "--name", ""], 5, "--name has to give a file name"),
        (["file@", "--name", " .. "], 5, "--name has to give a file name"),
        (["file@", "--name", "n" * 201], 5, "--name has to give a file name"),
        (["file@", "--name", "n\udcff"], 5, "the manifest cannot be written as JSON"),
        (
            ["file@", "--name", "n", "--meta", "k=\udcff"],
            5,
            "the manifest cannot be written as JSON",
        ),
        (["n.manifest.json@", "--name", "n"], 5, "there is nothing but"),
        (["--digests", "folder@"], 5, "is not a regular file"),
        (["file@", "--proofs", "proven@"], 5, "no proof can be written into"),
        (["--name", "n"], 5, "need files"),
        (["--ipfs"], 5, "need files"),
        (["--no-wait"], 5, "need files"),
        (["--again"], 5, "need files"),
        (["--digests", "file@", "file@"], 5, "--digests seals digests alone"),
        (["--digests", "nothing@"], 5, "cannot read"),
        (["--digests", "empty file@"], 5, "holds no digests"),
        (["--digests", "/dev/null"], 5, "is not a regular file"),
        (["--digests", "raw 33@"], 5, "no multiple of 32"),
        (["--digests", "line 7@"], 5, "line 7: expected 64 hex digits"),
        (["--digests", "bsd@"], 5, "line 1: expected 64 hex digits"),
        (["--digests", "long line@"], 5, "line 2: expected 64 hex digits"),
    ],
)
def test_what_cannot_be_sealed_changes_nothing(
    arguments: list[str], code: int, says: str, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    for name in ("folder", "empty", "dangling", "pipes", f"proven{PROOF}"):
        (folder / name).mkdir(parents=True)
    for name in ("file", "folder/file", "proven", "b" * 250, "empty file", "n.manifest.json"):
        (folder / name).write_bytes(b"" if name == "empty file" else name.encode())
    (folder / "dangling" / "link").symlink_to("nowhere")
    os.mkfifo(folder / "pipes" / "pipe")
    digests = [sha256(bytes([i])).hexdigest().encode() for i in range(8)]
    (folder / "raw 33").write_bytes(bytes(33))
    (folder / "line 7").write_bytes(b"\n".join([*digests[:6], digests[6][:63], digests[7]]))
    # Eight lines of this form have 32 * n bytes: they must not pass for raw digests.
    (folder / "bsd").write_bytes(
        b"".join(b"SHA256 (123456789ab) = " + digest + b"\n" for digest in digests)
    )
    assert (folder / "bsd").stat().st_size % 32 == 0
    (folder / "long line").write_bytes(
        digests[0] + b"\n" + digests[1] + b"  " + b"x" * 10_000 + b"\n"
    )
    content = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    before, metadata = tree(home), call("status", "--home", home, "--json").json
    ran = call(*seal_of(*arguments)(folder), "--home", home)
    assert ran.code == code
    assert says in ran.error()
    assert ran.answer == b""
    assert {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    } == content
    assert tree(home) == before
    assert call("status", "--home", home, "--json").json == metadata


def test_an_unreadable_file_and_folder(sealed: Sealed, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").write_bytes(b"x")
    (closed / "file").chmod(0)
    before = without_privilege()
    unreadable = run("seal", closed / "file", "--home", sealed.home, before=before)
    assert unreadable.code == 5
    assert unreadable.error() == f"Error: cannot read {closed / 'file'}: Permission denied"
    assert (
        run("verify", closed / "file", "--proof", sealed.proof, before=before).error()
        == unreadable.error()
    )
    closed.chmod(0)
    for path in (closed, closed / "file"):
        refused = run("seal", "-r", path, "--home", sealed.home, before=before)
        assert refused.code == 5
        assert "Permission denied" in refused.error()
    assert run("proof", closed / "file", "--home", sealed.home, before=before).code == 5
    closed.chmod(0o700)
    assert [path.name for path in closed.iterdir()] == ["file"]


def test_a_read_only_folder_beside_the_file(sealed: Sealed, tmp_path: Path) -> None:
    folder = tmp_path / "disc"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    folder.chmod(0o500)
    before = without_privilege()
    refused = run("seal", folder / "file", "--home", sealed.home, before=before)
    assert refused.code == 5
    assert (
        refused.error()
        == f"Error: no proof can be written into {folder}: name a folder with --proofs"
    )
    # Nothing was sealed, so that the person can seal it as it should be.
    assert call("proof", folder / "file", "--all-entries", "--home", sealed.home).code == 6
    assert (
        run(
            "seal",
            folder / "file",
            "--proofs",
            tmp_path / "p",
            "--home",
            sealed.home,
            before=before,
        ).code
        == 0
    )
    folder.chmod(0o700)
    assert (
        call(
            "verify",
            folder / "file",
            "--proof",
            tmp_path / "p" / f"file{PROOF}",
            "--home",
            sealed.home,
        ).code
        == 0
    )


@pytest.mark.parametrize("command", ["seal", "verify"])
def test_a_file_that_changes_while_it_is_hashed(
    command: str, sealed: Sealed, tmp_path: Path
) -> None:
    file, finished = tmp_path / "recording", threading.Event()
    with file.open("wb") as recording:
        recording.truncate(300 * MB)

    def record() -> None:
        with file.open("ab", buffering=0) as recording:
            while not finished.wait(0.002):
                recording.write(b"x")

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        extra = ("--proof", sealed.proof) if command == "verify" else ()
        ran = run(command, file, "--home", sealed.home, *extra)
    finally:
        finished.set()
        recorder.join()
    assert ran.code == 5
    assert (
        ran.error()
        == f"Error: {file} changed while it was read: close the program that writes to it, then run"
        " the command again"
    )
    assert not Path(f"{file}{PROOF}").exists()
    assert call("status", "--home", sealed.home, "--json").json["entries"] == 1


# A process counts the memory that the one had which made it, so a small one makes it.
MEASURE = """
import os, sys
_, status, used = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""


@pytest.mark.parametrize("command", ["seal", "verify"])
@pytest.mark.parametrize("size", [384 * MB, pytest.param(1024 * MB, marks=pytest.mark.rehearsal)])
def test_a_large_file_takes_little_memory(
    command: str, size: int, sealed: Sealed, tmp_path: Path
) -> None:
    file = tmp_path / "large"
    with file.open("wb") as large:
        large.truncate(size)
    extra = ("--no-wait",) if command == "seal" else ("--proof", sealed.proof)
    arguments = [PROGRAM, command, str(file), "--home", str(sealed.home), *map(str, extra)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(measured=False),
    )
    code, used = map(int, done.stdout.splitlines()[-1].split())
    assert code == (0 if command == "seal" else 3)
    assert used < 256 * 1024, "kilobytes"


# Proofs


def edited(proof: bytes, **members: object) -> bytes:
    return json.dumps({**json.loads(proof), **members}).encode()


BAD_PROOFS: dict[str, Callable[[bytes], bytes]] = {
    "5 MB of JSON": lambda proof: proof + b" " * 5 * MB,
    "nested": lambda _: b'{"format": "witnesstree-proof/1", "digest": ' + b"[" * 100_000,
    "not UTF-8": lambda proof: proof.replace(b"contract.txt", b"\xff"),
    "another version": lambda proof: proof.replace(b"witnesstree-proof/1", b"witnesstree-proof/2"),
    "truncated": lambda proof: proof[: len(proof) // 2],
    "one changed character": lambda proof: proof.replace(b'"position": 2', b'"position": 0'),
    "a changed hint": lambda proof: proof.replace(b"contract.txt", b"contract.txd"),
    "another member": lambda proof: edited(proof, extra=1),
    "a member twice": lambda proof: proof.replace(b"{", b'{"format": "witnesstree-proof/1",', 1),
}
NO_PROOFS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "white space": lambda _: b" \n",
    "5 MB of zeros": lambda _: bytes(5 * MB),
    "nested": lambda _: b"[" * 100_000,
    "not JSON": lambda _: b"%PDF-1.7",
    "a list": lambda proof: b"[" + proof + b"]",
}


@pytest.mark.parametrize("what", NO_PROOFS)
def test_what_shows_itself_no_proof_is_not_judged(what: str, sealed: Sealed) -> None:
    sealed.proof.write_bytes(NO_PROOFS[what](sealed.proof.read_bytes()))
    for command in (("verify", sealed.file), ("show", sealed.proof)):
        ran = call(*command)
        assert (ran.code, ran.text) == (5, "")
        assert f"{sealed.proof} is not judged: " in ran.error()


@pytest.mark.parametrize("fault", BAD_PROOFS)
@pytest.mark.parametrize("with_home", [False, True])
def test_a_bad_proof_fails_and_says_why(fault: str, with_home: bool, sealed: Sealed) -> None:
    bad = BAD_PROOFS[fault](sealed.proof.read_bytes())
    assert bad != sealed.proof.read_bytes()
    sealed.proof.write_bytes(bad)
    home = ("--home", sealed.home) if with_home else ()
    ran = call("verify", sealed.file, *home)
    assert ran.code == 3
    first = ran.text.splitlines()[0]
    assert first.startswith("FAILED: ")
    assert "This is not a proof that can be read: " in first
    report = call("verify", sealed.file, *home, "--json").json
    assert (report["verdict"], report["assurance"]) == ("failed", None)
    shown = call("show", sealed.proof)
    assert shown.code == 5
    assert shown.error()


def test_a_proof_for_another_file(sealed: Sealed, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    ran = call("verify", other, "--proof", sealed.proof, "--home", sealed.home, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["assurance"]) == (3, "failed", None)
    assert [check["name"] for check in ran.json["checks"] if check["outcome"] == "failed"] == [
        "digest"
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["verify", "contract.txt", "--proof", "home"],
            "home/contract.txt.proof.json: No such file",
        ),
        (
            ["verify", "contract.txt", "--proof", "nothing"],
            "cannot read the proof nothing: No such file or directory",
        ),
        (["verify", "contract.txt", "--proof", LONG], "File name too long"),
        (
            ["verify", "misspelt.txt"],
            "cannot read misspelt.txt: No such file or directory; check the name",
        ),
        (
            ["verify", ".", "--proof", "nothing"],
            "cannot read the proof nothing: No such file or directory",
        ),
        (
            ["verify", ".", "--proof", f"contract.txt{PROOF}"],
            f"contract.txt{PROOF} is the proof of one file",
        ),
        (
            ["verify", "contract.txt", "--block-hash", "0x12"],
            "a block hash is 0x and 64 hex digits, CHAIN_ID:0x… or CHAIN_ID:NUMBER:0x…, not '0x12'",
        ),
        (
            ["verify", "contract.txt", "--block-hash", "0x" + "é" * 64],
            "a block hash is 0x and 64 hex digits",
        ),
        (
            ["verify", "contract.txt", "--checkpoint-key", "a+b"],
            "--checkpoint-key takes a ledger's key",
        ),
        (
            ["verify", "contract.txt", "--checkpoint-key", "nothing"],
            "--checkpoint-key takes a ledger's key",
        ),
        (
            ["verify", "contract.txt", "--checkpoint-key", "home"],
            "--checkpoint-key takes a ledger's key",
        ),
        (
            ["verify", "contract.txt", "--checkpoint-key", LONG],
            "--checkpoint-key takes a ledger's key",
        ),
        (
            ["verify", "contract.txt", "--trust", "contract.txt"],
            "contract.txt holds no certificate that can be read: expected PEM, DER or PKCS #7",
        ),
        (["verify", "contract.txt", "--trust", "home"], "no file in home holds a certificate"),
        (
            ["verify", "contract.txt", "--trust", "nothing"],
            "cannot read nothing: No such file or directory",
        ),
        (["show", "contract.txt"], ""),
        (["show", "nothing"], "cannot read the proof nothing: No such file or directory"),
        (["show", "home"], "Is a directory"),
        (["proof", "nothing", "--home", "home"], "is neither a file here nor a SHA-256 digest"),
        (["proof", LONG, "--home", "home"], "is neither a file here nor a SHA-256 digest"),
        (["proof", "home", "--home", "home"], "is not a regular file"),
        (
            ["proof", "contract.txt", "--home", "home", "-o", "nothing/proof"],
            "nothing is not a folder: make it first",
        ),
        (
            ["proof", "contract.txt", "--home", "home", "-o", "home"],
            "home is a folder: name a file in it",
        ),
        (["init", "--home", "new", "--origin", "a b"], ""),
        (["init", "--home", "new", "--origin", ""], ""),
        (["init", "--home", "contract.txt"], "name a new folder with --home"),
        (["init", "--home", "."], "name a new folder with --home"),
    ],
)
def test_bad_arguments(
    arguments: list[str], says: str, sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sealed.file.parent)
    before = tree(sealed.file.parent)
    ran = call(*arguments)
    assert ran.code == 5
    assert says in ran.error()
    assert ran.answer == b""
    assert tree(sealed.file.parent) == before


def test_what_is_not_in_the_ledger(sealed: Sealed) -> None:
    for arguments in (
        ["0" * 64],
        ["0" * 64, "--all-entries"],
        [sealed.file, "--batch", 7],
        [sealed.file, "--batch", 7, "--all-entries"],
    ):
        ran = call("proof", *arguments, "--home", sealed.home)
        assert ran.code == 6
        assert ("batch 7" if 7 in arguments else "this ledger") in ran.error()
    assert call("proof", sealed.file, "--batch", 2**63 - 1, "--home", sealed.home).code == 6
    assert call("proof", sealed.file, "--batch", 2**63, "--home", sealed.home).code == 2


@pytest.mark.parametrize(
    "arguments", [["bogus"], ["seal", "--bogus"], ["verify"], ["proof", "x", "--batch", "-1"], []]
)
def test_a_misspelt_command_line(arguments: list[str]) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.answer) == (2, b"")
    assert "Usage: witnesstree" in ran.talk


# Homes


def test_a_home_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for command in (
        ["status"],
        ["seal", tmp_path / "file"],
        ["seal"],
        ["proof", tmp_path / "file"],
        ["fsck"],
    ):
        for place in ("nothing", "file", "file/below"):
            ran = call(*command, "--home", tmp_path / place)
            assert ran.code == 6
            # Whoever has lost a ledger is not told to make another one.
            assert "name its folder with --home, or bring it back with" in ran.error()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_home_where_one_is(sealed: Sealed) -> None:
    before = tree(sealed.home)
    ran = call("init", "--home", sealed.home)
    assert ran.code == 7
    assert "already holds a ledger" in ran.error()
    assert tree(sealed.home) == before


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no home.json": lambda home: (home / "home.json").unlink(),
    "home.json is garbage": lambda home: (home / "home.json").write_bytes(b"\xff{"),
    "home.json is empty": lambda home: (home / "home.json").write_bytes(b""),
    "no ledger.db": lambda home: (home / "ledger.db").unlink(),
    "ledger.db is empty": lambda home: (home / "ledger.db").write_bytes(b""),
    "ledger.db is garbage": lambda home: (home / "ledger.db").write_bytes(b"garbage" * 10_000),
    "no keys": lambda home: shutil.rmtree(home / "keys"),
    "no ledger.pem": lambda home: (home / "keys/ledger.pem").unlink(),
    "ledger.pem is garbage": lambda home: (home / "keys/ledger.pem").write_bytes(b"garbage"),
    "no ledger.vkey": lambda home: (home / "keys/ledger.vkey").unlink(),
    "no batches": lambda home: shutil.rmtree(home / "batches"),
    "no chain": lambda home: shutil.rmtree(home / "chain"),
    "chain is garbage": lambda home: [
        path.write_bytes(b"garbage" * 10_000) for path in (home / "chain").iterdir()
    ],
    "no authority": lambda home: shutil.rmtree(home / "authority"),
    "authority is garbage": lambda home: [
        path.write_bytes(b"garbage") for path in (home / "authority").iterdir()
    ],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_half_made_or_damaged_home(damage: str, sealed: Sealed, tmp_path: Path) -> None:
    for passing in sealed.home.glob("ledger.db-*"):
        passing.unlink()
    DAMAGES[damage](sealed.home)
    (tmp_path / "new").write_bytes(b"new")
    ran = call("seal", tmp_path / "new", "--home", sealed.home)
    assert ran.code in (6, 10)
    assert ran.error()
    assert not (tmp_path / f"new{PROOF}").exists()


def test_a_home_of_a_newer_version(sealed: Sealed) -> None:
    marker = sealed.home / "home.json"
    older = marker.read_bytes()
    marker.write_bytes(older.replace(b"witnesstree-home/1", b"witnesstree-home/2"))
    newer = call("status", "--home", sealed.home)
    assert newer.code == 5
    assert "a home of a newer version needs a newer witnesstree" in newer.error()
    marker.write_bytes(older)
    with sqlite3.connect(sealed.home / "ledger.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '99'")
    database.close()
    newer = call("status", "--home", sealed.home)
    assert newer.code == 5
    assert "install a newer witnesstree" in newer.error()


def test_a_home_locked_by_another_process(sealed: Sealed, tmp_path: Path) -> None:
    file, env = tmp_path / "new", {"WITNESSTREE_PATIENCE": "0.1"}
    file.write_bytes(b"new")
    database = sqlite3.connect(sealed.home / "ledger.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    locked = call("seal", file, "--home", sealed.home, env=env)
    assert locked.code == 7
    assert "locked for 0.1 seconds: let it finish, then run the command again" in locked.error()
    assert call("status", "--home", sealed.home, env=env).code == 0, "reading waits for nobody"
    database.execute("ROLLBACK")
    database.close()
    with (sealed.home / "work.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        locked = call("seal", file, "--home", sealed.home, env=env)
        assert locked.code == 7
        assert "is held by another process" in locked.error()
        assert not Path(f"{file}{PROOF}").exists()
    # The entry was taken: the same command, run again, finishes the work, and takes it no second
    # time.
    assert call("seal", file, "--home", sealed.home).code == 0
    assert call("verify", file, "--home", sealed.home).code == 0
    assert len(call("proof", file, "--all-entries", "--home", sealed.home, "--json").json) == 1


@pytest.mark.parametrize("most", [0, 100, 4096, 40_000, 200_000])
def test_a_disk_that_takes_no_more(most: int, sealed: Sealed, tmp_path: Path) -> None:
    """The limit on the size of files stands in for a full disk: writing fails in the same
    places."""
    file = tmp_path / "new"
    file.write_bytes(b"new")
    full = run(
        "seal",
        file,
        "--home",
        sealed.home,
        measured=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    if full.code:
        assert full.code == 11
        assert "run the command again" in full.error()
        assert not Path(f"{file}{PROOF}").exists()
    assert most > 40_000 or full.code
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []
    assert call("seal", file, "--home", sealed.home).code == 0
    assert call("verify", file, "--home", sealed.home).code == 0
    assert call("fsck", "--home", sealed.home).code == 0


@pytest.mark.real("unshare")
def test_a_full_disk(sealed: Sealed, tmp_path: Path) -> None:
    """On a disk of its own, filled up to the last byte: nothing acknowledged before is lost, and
    with room again all goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        [require_real("unshare"), "-rm", "mount", "-t", "tmpfs", "none", disk],
        capture_output=True,
        check=False,
    ).returncode:
        unavailable("this machine lets nobody mount a tmpfs")
    script = """
        set -e
        mount -t tmpfs -o size=6m none "$2"
        cp -r "$3" "$2/home"; echo new > "$2/new"
        dd if=/dev/zero of="$2/filler" 2>/dev/null || true
        set +e
        "$1" seal --home "$2/home" "$2/new"; echo "code $?"
        "$1" init --home "$2/other"; echo "code $?"
        ls -A "$2"
        rm "$2/filler"
        set -e
        "$1" seal --home "$2/home" "$2/new"
        "$1" verify --home "$2/home" "$2/new"
        "$1" fsck --home "$2/home"
    """
    command = [
        require_real("unshare"),
        "-rm",
        "sh",
        "-c",
        script,
        "sh",
        PROGRAM,
        str(disk),
        str(sealed.home),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(measured=False)
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["code 11", "code 11"]
    assert lines[2:5] == ["filler", "home", "new"], "nothing half-written is left"
    assert lines[-1].endswith("no problems.")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error: ") == 2


# Settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (
            "WITNESSTREE_PATIENSE",
            "1",
            "WITNESSTREE_PATIENSE is no setting; did you mean WITNESSTREE_PATIENCE?",
        ),
        ("WITNESSTREE_PATIENCE", "x", "patience"),
        ("WITNESSTREE_BATCH_ENTRIES", "0", "batch_entries"),
        ("WITNESSTREE_BATCH_AGE", "x", "batch_age"),
    ],
)
def test_bad_settings(name: str, value: str, says: str, home: Path) -> None:
    ran = call("status", "--home", home, env={name: value})
    assert ran.code == 5
    assert says in ran.error()


@pytest.mark.parametrize("content", [b"x = [", b"\xff", b"patiense = 1", b"batch_entries = -1"])
def test_a_bad_settings_file(content: bytes, home: Path) -> None:
    (home / "settings.toml").write_bytes(content)
    ran = call("status", "--home", home)
    assert ran.code == 5
    assert ran.error()


# Where answers go


def test_an_answer_that_nobody_reads(sealed: Sealed) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            '{ "$1" show "$2"; echo "code $?" >&2; } | head -0',
            "sh",
            PROGRAM,
            sealed.proof,
        ],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert (done.stdout, done.stderr) == ("", "code 1\n")
    closed = subprocess.run(
        ["sh", "-c", '"$1" show "$2" >&-', "sh", PROGRAM, sealed.proof],
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_an_answer_that_fits_nowhere(sealed: Sealed) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [PROGRAM, "show", sealed.proof],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert done.returncode == 11
    assert (
        done.stderr
        == "Error: standard output: No space left on device; name another place, or make room, then"
        " run it again\n"
    )
