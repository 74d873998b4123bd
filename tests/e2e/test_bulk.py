"""All proofs of a batch at once, and many files verified at once: `proof --all`, `--split`,
`--from`, and `verify` of folders and batches."""

import errno
import json
import os
import signal
import subprocess
import threading
from hashlib import sha256
from multiprocessing import Pipe
from pathlib import Path

import pytest
from commandline import PROGRAM, Ran, Sealed, call, environment, start, without_privilege
from doubling import work

from witnesstree.anchor.wiring import open_ledger
from witnesstree.cli import bulk, parallel
from witnesstree.cli.folder import Found, Gap, _refusals
from witnesstree.cli.judging import holds_proofs, opened_proofs
from witnesstree.ledger.base.errors import InvalidInput, Unreachable
from witnesstree.ledger.base.message import message

PROOF = ".proof.json"
COUNT = 30
LEAVES = COUNT + 1
"""What a file with the proofs has proofs of: all but the opening record."""
ORDER = [f"{i:02}.txt" for rest in ((0,), (1, 2)) for i in range(COUNT) if i % 3 in rest]
"""Those of the folder, then those of its subfolder."""


@pytest.fixture(scope="module")
def _batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bulk")
    assert call("init", "--home", folder / "home", "--origin", "ledger.test/bulk").code == 0
    (folder / "files" / "sub").mkdir(parents=True)
    for i in range(COUNT):
        (folder / "files" / ("sub" if i % 3 else ".") / f"{i:02}.txt").write_text(f"file {i}")
    assert call("seal", "-r", folder / "files", "--home", folder / "home").code == 0
    assert (
        call(
            "proof", "--all", "--batch", 0, "-o", folder / "batch.proofs", "--home", folder / "home"
        ).code
        == 0
    )
    return folder


@pytest.fixture
def batch(_batch: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", f"{_batch}/.", str(tmp_path)], check=True)
    return tmp_path


def digest_of(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def stand_in(folder: Path, *arguments: object) -> Ran:
    """Verify by what the home says."""
    return call("verify", *arguments, "--home", folder / "home")


# Processes


@pytest.mark.parametrize("cores", [1, 2])
def test_work_on_all_cores_comes_back_in_order(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert list(parallel.on_all_cores(work, (1,), range(3), part=2)) == [1, 3, 5]
    assert list(parallel.on_all_cores(work, (1,), range(60), part=2)) == [
        2 * i + 1 for i in range(60)
    ]
    with pytest.raises(InvalidInput, match="99 is no number"):
        list(parallel.on_all_cores(work, (1,), [*range(60), 99], part=2))


def test_a_process_that_is_ended_from_outside_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(Unreachable, match="run it again"):
        list(parallel.on_all_cores(work, (1,), [*range(60), 77], part=2))


def test_a_system_that_holds_no_interrupt_back_works_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(signal, "pthread_sigmask")
    assert list(parallel.on_all_cores(work, (1,), range(60), part=2)) == [
        2 * each + 1 for each in range(60)
    ]


def test_a_process_ends_with_the_one_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    alive, theirs = Pipe(duplex=False)
    theirs.close()
    parallel._end_with(alive)
    alive.close()
    assert codes == [1]


# proof --all, --split, --from


def test_one_file_holds_every_proof(batch: Path) -> None:
    for file in sorted((batch / "files").rglob("*.txt")):
        assert stand_in(batch, file, "--proof", batch / "batch.proofs").code == 0
        assert (
            call("proof", "--from", batch / "batch.proofs", file).answer
            == Path(f"{file}{PROOF}").read_bytes()
        )
    ran = stand_in(batch, batch / "batch.proofs", "--json")
    assert (ran.code, ran.json["verdict"], ran.json["digests"]) == (0, "verified", COUNT + 2)
    assert f"all its {COUNT + 2} leaves" in stand_in(batch, batch / "batch.proofs").text
    assert stand_in(
        batch, batch / "batch.proofs", "--block-hash", "1:0x" + "11" * 32
    ).talk.startswith("The proof names no block")


def test_single_proofs_are_those_of_the_ledger(
    batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, home = batch / "one", batch / "two", ("--home", batch / "home")
    monkeypatch.setattr(bulk, "RUN", 4)
    ran = call("proof", "--all", "--batch", 0, "--split", one, "--json", *home)
    assert (ran.code, ran.json) == (
        0,
        {"folder": str(one), "written": COUNT, "left": 0, "complete": True},
    )
    monkeypatch.setattr(bulk, "PER_FOLDER", 10)
    assert call("proof", "--all", "--from", batch / "batch.proofs", "--split", two).code == 0
    # Only the ledger can tell that leaf 1 is a blinding leaf, which nobody asks a proof of.
    assert len(list(two.rglob(f"*{PROOF}"))) == len(list(one.iterdir())) + 1 == COUNT + 1
    for path in one.iterdir():
        digest = path.name.removesuffix(PROOF)
        assert (
            call("proof", digest, *home).answer
            == path.read_bytes()
            == (two / digest[:2] / path.name).read_bytes()
        )
    assert not list(batch.rglob("*.tmp"))


def test_an_interrupted_split_goes_on(batch: Path) -> None:
    folder, arguments = (
        batch / "split",
        (
            "proof",
            "--all",
            "--from",
            batch / "batch.proofs",
            "--split",
            batch / "split",
            "--json",
        ),
    )
    assert call(*arguments).json["written"] == LEAVES
    first, second, third = sorted(folder.iterdir())[:3]
    whole = second.read_bytes()
    first.unlink()
    second.write_bytes(whole[:100])
    inode, content = third.stat().st_ino, third.read_bytes()
    ran = call(*arguments)
    assert (ran.json["written"], ran.json["left"]) == (2, LEAVES - 2)
    assert (second.read_bytes(), third.stat().st_ino, third.read_bytes()) == (whole, inode, content)


def test_a_digest_twice_in_a_batch_gets_its_first_proof(sealed: Sealed, tmp_path: Path) -> None:
    digests = [sha256(b"%d" % i).digest() for i in range(9)]
    (tmp_path / "digests").write_bytes(b"".join([*digests, digests[2], digests[7], digests[2]]))
    home = ("--home", sealed.home)
    assert call("seal", "--digests", tmp_path / "digests", *home).code == 0
    assert (
        call("proof", "--all", "--batch", 1, "--split", tmp_path / "split", "--json", *home).json[
            "written"
        ]
        == 9
    )
    name = digests[2].hex()
    assert (tmp_path / "split" / f"{name}{PROOF}").read_bytes() == call("proof", name, *home).answer


def test_several_are_fetched_into_a_folder(batch: Path) -> None:
    files = sorted((batch / "files").glob("*.txt"))[:2]
    for source in (("--from", batch / "batch.proofs"), ("--home", batch / "home")):
        folder = batch / source[0].strip("-")
        ran = call("proof", *files, "--split", folder, "--json", *source)
        assert (ran.code, ran.json["written"]) == (0, 2)
        assert [(folder / f"{digest_of(file)}{PROOF}").read_bytes() for file in files] == [
            Path(f"{file}{PROOF}").read_bytes() for file in files
        ]
    assert call(
        "proof", files[0], "--from", batch / "batch.proofs", "-o", batch / "a.json", "--json"
    ).json["complete"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--all"], "--all needs the number of a batch"),
        (["--all", "--batch", "0"], "give --split and a folder, or -o"),
        (["--all", "--from", "b", "-o", "x"], "give --split and a folder"),
        (["--all", "--batch", "0", "a"], "name neither files nor digests"),
        (["--batch", "0", "--from", "b", "a"], "leave --batch"),
        (["-o", "x", "--split", "y", "a"], "give one of them"),
        ([], "name a file or a digest"),
        (["a", "b"], "several proofs go into a folder"),
        (["a", "--all-entries", "--split", "x"], "leave --split out"),
        (["a" * 64, "--from", "nothing"], "cannot read the proofs nothing"),
    ],
)
def test_what_contradicts_itself_is_refused(
    arguments: list[str], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = call("proof", *arguments, "--home", tmp_path / "home")
    assert ran.code == 5
    assert error in ran.error()
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_not_sealed_and_a_digest_that_is_not_there(batch: Path) -> None:
    ran = call("proof", "--all", "--batch", 7, "-o", batch / "x", "--home", batch / "home")
    assert (ran.code, "batch 7 is not sealed" in ran.error(), (batch / "x").exists()) == (
        6,
        True,
        False,
    )
    assert call("proof", "ab" * 32, "--from", batch / "batch.proofs").code == 6


def test_damage_in_the_ledger_is_not_handed_out(batch: Path) -> None:
    path = next((batch / "home").rglob("*.digests"))
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    for out in (("-o", batch / "x"), ("--split", batch / "y")):
        assert call("proof", "--all", "--batch", 0, *out, "--home", batch / "home").code in {5, 10}
    path.write_bytes(sound[:-32])
    assert (
        call("proof", "--all", "--batch", 0, "-o", batch / "x", "--home", batch / "home").code == 10
    )
    assert not (batch / "x").exists()
    path.write_bytes(sound)
    next((batch / "home").rglob("*.nodes")).unlink()
    assert (
        call("proof", "--all", "--batch", 0, "-o", batch / "x", "--home", batch / "home").code == 10
    )
    content = (batch / "batch.proofs").read_bytes()
    (batch / "bad").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = call("proof", digest_of(batch / "files/00.txt"), "--from", batch / "bad")
    assert (ran.code, "does not lead to its root" in ran.error()) == (5, True)
    assert stand_in(batch, batch / "bad").code == 3


def test_damage_far_from_the_first_leaf_is_not_handed_out(sealed: Sealed, tmp_path: Path) -> None:
    home = ("--home", sealed.home)
    (tmp_path / "digests").write_bytes(b"".join(sha256(b"%d" % i).digest() for i in range(200)))
    assert call("seal", "--digests", tmp_path / "digests", *home).code == 0
    path = max(sealed.home.rglob("*.digests"))
    sound = path.read_bytes()
    for bad, said in (
        (sound[:-1] + bytes([sound[-1] ^ 1]), "level 6 is not what"),
        (sound[:-32], "shorter than its batch"),
    ):
        path.write_bytes(bad)
        ran = call("proof", "--all", "--batch", 1, "-o", tmp_path / "x", *home)
        assert (
            ran.code,
            said in ran.error(),
            "batch 1 do not lead to its root" in ran.error(),
        ) == (10, True, True)
    path.write_bytes(sound)
    assert (
        call("proof", "--all", "--batch", 1, "-o", tmp_path / "x", "--json", *home).json["digests"]
        == 200
    )
    assert sorted(found.name for found in tmp_path.iterdir() if found.is_file()) == ["digests", "x"]


def test_proofs_with_records_of_their_own_are_written_too(
    batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PER_FOLDER", 10)
    with opened_proofs(batch / "batch.proofs") as bundle:
        for left in (0, LEAVES):
            bulk.split(batch / "split", bundle, bulk.Own((4,), bundle.proof), as_json=False)
            assert len(list((batch / "split").rglob(f"*{PROOF}"))) == LEAVES, left


# Many files verified at once


def test_a_folder_verifies_with_the_proofs_beside_its_files(
    batch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "PART", 2)
    for more in ((), ("--proof", batch / "batch.proofs")):
        ran = stand_in(batch, batch / "files", *more, "--json")
        assert (ran.code, ran.json["verdict"], ran.json["counts"]) == (
            0,
            "verified",
            {"verified": COUNT},
        )
        assert [Path(file["path"]).name for file in ran.json["files"]] == ORDER
        assert {file["assurance"] for file in ran.json["files"]} == {"local"}
        text = stand_in(batch, batch / "files", *more).text
        assert (
            text
            == f"VERIFIED: {COUNT} VERIFIED (local: it proves nothing to a third party). {COUNT}"
            " files in all.\n"
            f"  All of the verified files existed by {ran.json['files'][0]['not_after']}.\n"
        )


def test_what_is_not_verified_is_named_and_the_run_goes_on(batch: Path) -> None:
    files = batch / "files"
    (files / "00.txt").write_text("altered")
    (files / f"03.txt{PROOF}").unlink()
    (files / "06.txt").unlink()
    (files / f"09.txt{PROOF}").write_text('{"format":"witnesstree-proof/1"}')
    (files / f"12.1.txt.1{PROOF}").write_text('{"format":"witnesstree-proof/1"}')
    (files / f"12.txt.1{PROOF}").write_text('{"format":"witnesstree-proof/1"}')
    os.mkfifo(files / "pipe")
    (files / "gone").symlink_to("nowhere")
    (files / "link").symlink_to("sub")
    home = batch / "home"
    ran = stand_in(batch, files, home, files / ("a" * 300), "--json")
    found = {
        Path(file["path"]).name: file for file in ran.json["files"] if file["verdict"] != "verified"
    }
    assert (ran.code, ran.json["verdict"]) == (3, "failed")
    assert {
        name: file.get("gap") or file["checks"][0]["name"]
        for name, file in found.items()
        if "files" in file["path"]
    } == {
        "00.txt": "digest",
        "03.txt": "no proof",
        f"06.txt{PROOF}": "no file",
        "09.txt": "proof",
        f"12.1.txt.1{PROOF}": "no file",
        "pipe": "unreadable",
        "gone": "unreadable",
        "link": "unreadable",
        "a" * 300: "unreadable",
    }
    text = stand_in(batch, files).text
    assert "FAILED      " in text
    assert "NO PROOF    " in text
    bundled = stand_in(batch, files, "--proof", batch / "batch.proofs", "--json").json["counts"]
    assert bundled == {"failed": 1, "unreadable": 3, "verified": COUNT - 2}


def test_nothing_and_what_cannot_be_asked(batch: Path) -> None:
    (batch / "empty").mkdir()
    ran = stand_in(batch, batch / "empty")
    assert (ran.code, ran.text) == (4, "UNDECIDED: nothing here to verify. 0 files in all.\n")
    assert stand_in(batch, batch / "empty", "--proof", batch / "batch.proofs").code == 4
    ran = stand_in(batch, batch / "files", "--proof", batch / "files" / f"00.txt{PROOF}")
    assert (ran.code, "is the proof of one file" in ran.error()) == (5, True)
    assert "UNDECIDED" in call("verify", batch / "files").text
    assert stand_in(batch, batch / "files", "--rpc", "ftp://x").code == 5


def test_the_ledgers_own_home_and_folders_that_cannot_be_read(batch: Path) -> None:
    (batch / "files" / "closed").mkdir(mode=0)
    (batch / "home").rename(batch / "files" / "home")
    program = [
        *without_privilege(),
        PROGRAM,
        "verify",
        str(batch / "files"),
        "--home",
        str(batch / "files" / "home"),
        "--json",
    ]
    done = subprocess.run(
        program, capture_output=True, check=False, env=environment(measured=False)
    )
    document = json.loads(done.stdout)
    (batch / "files" / "closed").chmod(0o755)
    assert (done.returncode, document["counts"]) == (4, {"unreadable": 1, "verified": COUNT})


def test_a_folder_that_cannot_be_read_is_named() -> None:
    refused = [PermissionError(errno.EACCES, "Permission denied", "/evidence/closed")]
    assert list(_refusals([*refused])) == [
        Found(
            Path("/evidence/closed"),
            gap=Gap.UNREADABLE,
            reason=message("folder-unreadable", error=refused[0]),
        )
    ]


def test_a_proof_that_cannot_be_put_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "proof").mkdir()
    with pytest.raises(IsADirectoryError):
        bulk._put(tmp_path / "proof", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["proof"]


def test_a_path_that_does_not_lead_to_the_root_is_not_split(batch: Path) -> None:
    with opened_proofs(batch / "batch.proofs") as proofs:
        place = bulk._Place(batch / "other", 0)
        place.path.write_bytes(bytes(32 * proofs.size))
        splitter = bulk._Splitter(threading.Event(), proofs.shared, [place, place], None, batch, 0)
        with pytest.raises(
            InvalidInput, match="the path of position 1 does not lead to the batch's root"
        ):
            splitter(bulk._Run(1, 3, ()))
        splitter.stop.set()
        assert splitter(bulk._Run(1, 3, ())) == (0, 2, 0)


def test_proofs_of_a_batch_without_witnesses_say_what_is_missing(batch: Path) -> None:
    with open_ledger(batch / "home") as ledger:
        ledger.submit(sha256(b"later").digest())
        assert ledger.close() == [1]
    ran = call(
        "proof",
        "--all",
        "--batch",
        1,
        "-o",
        batch / "later.proofs",
        "--home",
        batch / "home",
        "--json",
    )
    assert (ran.code, ran.json["complete"]) == (0, False)
    assert ran.talk.startswith("The proof still lacks: token, anchor.")


def test_a_file_is_no_folder_for_proofs(batch: Path) -> None:
    for arguments in (
        ["--all", "--from", batch / "batch.proofs"],
        [digest_of(batch / "files" / "00.txt"), "--from", batch / "batch.proofs"],
    ):
        ran = call("proof", *arguments, "--split", batch / "batch.proofs")
        assert ran.code == 5
        assert "batch.proofs is not a folder: name one for the proofs" in ran.error()


def test_a_batch_that_lost_its_digests_does_not_keep_the_others_from_being_mended(
    batch: Path,
) -> None:
    with open_ledger(batch / "home") as ledger:
        ledger.submit(sha256(b"later").digest())
        assert ledger.close() == [1]
        ledger.files.digests_path(1).unlink()
        ledger.files.index_path(0).unlink(missing_ok=True)
    ran = call("fsck", "--mend-index", "--home", batch / "home")
    assert ran.code == 10
    assert ran.talk.startswith("Not all indexes can be made: cannot read 4 digests from")
    assert "00000001.digests: the file is missing" in ran.text
    assert call("proof", digest_of(batch / "files" / "00.txt"), "--home", batch / "home").code == 0


def test_several_proofs_go_into_a_folder(batch: Path) -> None:
    digests = [digest_of(batch / "files" / name) for name in ("00.txt", "03.txt")]
    for number, as_json in enumerate(([], ["--json"])):
        ran = call(
            "proof",
            *digests,
            "--from",
            batch / "batch.proofs",
            "--split",
            batch / f"few {number}",
            *as_json,
        )
        assert (ran.code, ran.talk) == (0, f"Wrote 2 proofs into {batch / f'few {number}'}.\n")
        assert bool(ran.text) is bool(as_json)
        assert sorted(path.name for path in (batch / f"few {number}").iterdir()) == sorted(
            digest + PROOF for digest in digests
        )


def test_what_cannot_be_opened_holds_no_proofs(batch: Path) -> None:
    assert holds_proofs(batch / "batch.proofs")
    assert not holds_proofs(batch / "nothing")
    os.mkfifo(batch / "pipe")
    assert not holds_proofs(batch / "pipe")
    assert not holds_proofs(batch / ("n" * 300))


def test_a_proof_file_that_is_not_there_is_named(batch: Path) -> None:
    ran = call("verify", batch / "files", "--proof", batch / "nothing.proofs")
    assert ran.code != 0
    assert "nothing.proofs" in ran.talk


def test_ctrl_c_ends_all_processes(batch: Path) -> None:
    big = batch / "big"
    big.mkdir()
    for i in range(400):
        with (big / f"{i}").open("wb") as file:
            file.truncate(20_000_000)
        (big / f"{i}{PROOF}").write_bytes((batch / "files" / f"00.txt{PROOF}").read_bytes())
    process = start("verify", big, "--home", batch / "home", start_new_session=True)
    threading.Event().wait(2.5)
    process.send_signal(signal.SIGINT)
    answer, talk = process.communicate(timeout=30)
    assert (process.returncode, answer) == (130, b"")
    assert b"Traceback" not in talk
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        threading.Event().wait(0.1)
    pytest.fail("a process was left behind")
