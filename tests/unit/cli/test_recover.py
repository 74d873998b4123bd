"""`witnesstree recover`, and what other commands say of a database that is older than the files."""

import shutil
from pathlib import Path

import pytest
from commandline import call

from witnesstree.anchor.wiring import make_home


@pytest.fixture
def stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose database knows one batch of two."""
    home = make_home(tmp_path / "home", "ledger.test/recover").folder
    monkeypatch.setenv("WITNESSTREE_HOME", str(home))
    for name in "abc":
        (tmp_path / name).write_text(name)
    assert call("seal", tmp_path / "a").code == 0
    kept = (home / "ledger.db").read_bytes()
    assert call("seal", tmp_path / "b").code == 0
    for path in home.glob("ledger.db*"):
        path.unlink()
    (home / "ledger.db").write_bytes(kept)
    return home


@pytest.mark.parametrize(
    "command",
    [
        ("seal", "c"),
        ("seal",),
        ("seal", "--no-wait", "c"),
        ("log", "rotate"),
        ("log", "publish", "public"),
        ("fsck", "--mend-index"),
        ("worker", "--once"),
    ],
    ids=" ".join,
)
def test_every_writer_stops(
    stale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in stale.rglob("*") if is_kept(path)}
    ran = call(*command)
    assert ran.code == 10
    assert "witnesstree recover" in ran.talk + ran.text
    assert {path: path.read_bytes() for path in stale.rglob("*") if is_kept(path)} == before
    assert not (tmp_path / "public").exists()


def test_nothing_is_said_not_to_be_here(stale: Path, tmp_path: Path) -> None:
    """It may be among what the database has lost."""
    ran = call("proof", tmp_path / "b")
    assert (ran.code, "witnesstree recover" in ran.error()) == (10, True)
    assert call("proof", tmp_path / "a").code == 0
    assert call("recover").code == 0
    assert call("proof", tmp_path / "b").code == 0
    assert call("proof", tmp_path / "c").code == 6


def is_kept(path: Path) -> bool:
    return path.is_file() and path.parts[-2] in {"00000", "keys"}


def test_status_and_fsck_name_it(stale: Path) -> None:
    journal = stale / "batches" / "00000" / "00000001.journal"
    status = call("status", "--check")
    assert status.code == 12
    assert f"PROBLEM  {journal} belongs to batch 1" in status.text
    assert "Nothing waits" not in status.text
    # No command goes on with anything before that is mended.
    assert "to go on with what waits" not in status.text
    (problem,) = call("status", "--json").json["problems"]
    assert problem["code"] == "file-of-unknown-batch"
    assert problem["place"] == str(journal)
    fsck = call("fsck", "--json")
    assert fsck.code == 10
    assert "file-of-unknown-batch" in {each["code"] for each in fsck.json["problems"]}


def test_what_the_command_says(stale: Path, tmp_path: Path) -> None:
    told = call("recover", "--check")
    assert (told.code, told.text.splitlines()) == (
        0,
        [
            "Batch 1 is in the database again, sealed.",
            "Entries in the database: 1 before, 2 if it is done; nothing was changed.",
        ],
    )
    assert call("seal", tmp_path / "c").code == 10
    done = call("recover", "--json")
    assert (done.code, done.json) == (
        0,
        {
            "before": 1,
            "after": 2,
            "sealed": [1],
            "unsealed": [],
            "keys": [],
            "journals": [],
            "is_kept": True,
            "refused": [],
        },
    )
    assert call("seal", tmp_path / "c").code == 0
    assert call("proof", tmp_path / "b", "-o", tmp_path / "again").code == 0
    assert call("status", "--check").code == 0
    assert call("fsck").code == 0


def test_what_cannot_be_recovered_is_named(stale: Path) -> None:
    (stale / "batches" / "00000" / "00000001.journal").unlink()
    ran = call("recover")
    assert ran.code == 10
    assert "Not recovered" in ran.text
    assert "Entries in the database: 1 before, 1 now." in ran.text
    assert call("recover", "--json").json["refused"][0]["code"] == "journal-missing"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one sealed file, and others beside it that are not."""
    home = make_home(tmp_path / "home", "ledger.test/older-files").folder
    monkeypatch.setenv("WITNESSTREE_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        Path(name).write_text(name)
    assert call("seal", "a").code == 0
    return home


def test_an_embedded_chain_that_is_older_makes_no_block(home: Path) -> None:
    """Another block of a number that a proof names would make that proof FAILED."""
    shutil.copytree(home / "chain", "older")
    assert call("seal", "b").code == 0
    assert call("status", "--check").code == 0
    shutil.move(home / "chain", "newer")
    shutil.copytree("older", home / "chain")
    status = call("status", "--json", "--check")
    assert status.code == 12
    assert [each["code"] for each in status.json["problems"]] == ["anchored-block-missing"]
    ran = call("seal", "c")
    assert (ran.code, f"the embedded chain in {home / 'chain'} does not" in ran.talk) == (10, True)
    assert (home / "chain" / "chain.db").read_bytes() == Path("older/chain.db").read_bytes()
    assert call("verify", "b", "--home", home).code == 4
    assert call("seal").code == 10
    shutil.rmtree(home / "chain")
    shutil.move("newer", home / "chain")
    assert call("seal").code == 0
    assert call("status", "--check").code == 0
    for name in "ab":
        assert call("verify", name, "--home", home).code == 0


def test_a_chain_that_is_no_longer_used_is_not_asked_for(home: Path) -> None:
    shutil.rmtree(home / "chain")
    assert call("status", "--check").code == 12
    url = "http://127.0.0.1:1"
    assert call("chain", "add", "house", "--chain-id", 20261, "--rpc", url).code == 0
    assert call("status", "--check").code == 0


def test_older_batch_files_are_named_by_what_meets_them(home: Path) -> None:
    shutil.copytree(home / "batches", "older")
    assert call("seal", "b").code == 0
    shutil.rmtree(home / "batches")
    shutil.copytree("older", home / "batches")
    lost = home / "batches" / "00000" / "00000001.digests"
    for command in (("seal", "c"), ("recover", "--check"), ("recover",)):
        ran = call(*command)
        assert (ran.code, f"{lost} is missing" in ran.text + ran.talk) == (10, True)
        assert "mend-index" not in ran.text + ran.talk
    assert not lost.with_suffix(".journal").exists()


def test_journals_are_written_again_from_the_database(home: Path) -> None:
    assert call("seal", "b").code == 0
    folder = home / "batches" / "00000"
    journals = [folder / f"0000000{number}.journal" for number in (0, 1)]
    before = [journal.read_bytes() for journal in journals]
    journals[0].write_bytes(b"")
    journals[1].unlink()
    fsck = call("fsck", "--json")
    assert fsck.code == 10
    assert [each["code"] for each in fsck.json["problems"]] == ["journal-to-be-mended"]
    told = call("recover", "--check")
    assert told.code == 0
    assert told.text.startswith(
        "To be written again from the database: the journals of 2 sealed batches that had none"
    )
    assert not journals[1].exists()
    assert call("recover", "--json").json["journals"] == [0, 1]
    assert [journal.read_bytes()[84:] for journal in journals] == [each[84:] for each in before]
    (aside,) = folder.glob("*.aside-*")
    assert aside.read_bytes() == b""
    assert call("fsck").code == 0
    assert call("recover", "--json").json["journals"] == []
    # They are worth as much as the ones that are lost.
    kept = (home / "ledger.db").read_bytes()
    assert call("seal", "c").code == 0
    (home / "ledger.db").write_bytes(kept)
    assert call("recover", "--json").json["sealed"] == [2]


def test_a_home_behind_what_it_published_is_not_sent_to_recover(home: Path) -> None:
    shutil.copytree(home, "older")
    assert call("seal", "b").code == 0
    assert call("log", "publish", "public").code == 0
    told = (home / "published.json").read_bytes()
    shutil.rmtree(home)
    shutil.move("older", home)
    (home / "published.json").write_bytes(told)
    fsck = call("fsck", "--json")
    assert (fsck.code, [each["code"] for each in fsck.json["problems"]]) == (
        10,
        ["checkpoint-of-longer-log", "home-behind-published"],
    )
    for command in (("recover", "--check"), ("recover",)):
        ran = call(*command)
        assert (ran.code, "is a checkpoint of 2 entries" in ran.text) == (10, True)


def test_an_embedded_key_that_is_missing_is_named_and_nothing_is_lost(home: Path) -> None:
    for path in (home / "authority" / "tsa.key", home / "chain" / "account.key"):
        key = path.read_bytes()
        path.unlink()
        Path("c").write_text(path.name)
        ran = call("seal", "--again", "c")
        assert (ran.code, f"{path} is missing: put it back" in ran.talk) == (8, True)
        assert "Sealed c" in ran.text
        assert f"{path} is missing" in call("status").text
        path.write_bytes(key)
        path.chmod(0o600)
        assert call("seal").code == 0
        assert call("status", "--check").code == 0


def test_a_place_is_named_once(stale: Path) -> None:
    for line in call("fsck").text.splitlines() + call("recover", "--check").text.splitlines():
        assert line.count(str(stale)) < 2, line


def test_batch_files_that_are_older_than_the_database_are_to_be_put_back(
    stale: Path, tmp_path: Path
) -> None:
    assert call("recover").code == 0
    kept = stale / "batches" / "00000"
    for path in kept.glob("00000001.*"):
        path.unlink()
    for command in (("seal", tmp_path / "c"), ("proof", tmp_path / "b")):
        ran = call(*command)
        assert (ran.code, f"{kept / '00000001.digests'} is missing" in ran.error()) == (10, True)
        assert "restore the ledger from a backup" in ran.error()
