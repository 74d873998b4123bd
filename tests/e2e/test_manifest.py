"""A folder verified against the manifest in it: a file that is gone, one that is another, one that
has no proof of its own.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from commandline import call

from witnesstree.anchor.wiring import make_home
from witnesstree.ledger.proof.manifest import Manifest, ManifestFile, format_manifest

MANIFEST = "case/evi.manifest.json"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("manifest")
    home = make_home(tmp / "home", "ledger.test/manifest").folder
    for name in ("a/1.txt", "b/2.txt", "b/3.txt"):
        path = tmp / "case" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    sealed = call("seal", "-r", tmp / "case", "--name", "evi", "--home", home)
    assert sealed.code == 0, sealed.talk
    return tmp


@pytest.fixture
def case(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    for name in ("home", "case"):
        shutil.copytree(template / name, tmp_path / name)
    monkeypatch.setenv("WITNESSTREE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Path("case")


def rows(said: Any) -> dict[str, tuple[str, str]]:
    """Return verdict and reason of each path."""
    return {
        row["path"]: (
            row["verdict"],
            row["code"] if "gap" in row else " ".join(check["code"] for check in row["checks"]),
        )
        for row in said["files"]
    }


def test_a_manifest_is_where_its_names_begin(case: Path) -> None:
    """No file lies in that folder itself."""
    names = [file["name"] for file in json.loads(Path(MANIFEST).read_bytes())["files"]]
    assert names == ["a/1.txt", "b/2.txt", "b/3.txt"]
    verified = call("verify", case, "--json")
    assert verified.code == 0
    assert set(rows(verified.json)) == {f"case/{name}" for name in names} | {MANIFEST}


def test_a_listed_file_that_is_gone_is_named(case: Path) -> None:
    for ending in ("", ".proof.json"):
        Path(f"case/a/1.txt{ending}").unlink()
    verified = call("verify", case, "--json")
    assert verified.code == 4
    assert rows(verified.json)["case/a/1.txt"] == ("undecided", "manifest-file-missing")


def test_where_all_are_gone_it_is_said_once(case: Path) -> None:
    for path in case.glob("*/*"):
        path.unlink()
    verified = call("verify", case, "--json")
    assert verified.code == 4
    assert rows(verified.json) == {
        MANIFEST: ("verified", ""),
        "case": ("undecided", "manifest-files-missing"),
    }


def test_another_file_in_its_place_fails_though_it_was_sealed_itself(case: Path) -> None:
    path = case / "b" / "2.txt"
    path.write_text("other")
    assert call("seal", "--again", path).code == 0
    assert call("verify", path).code == 0
    verified = call("verify", case, "--json")
    assert verified.code == 3
    assert rows(verified.json)[str(path)] == ("failed", "manifest-lists-other")
    # One that nobody sealed, too.
    Path(f"{path}.proof.json").unlink()
    assert f"{path}: Manifest: evi.manifest.json lists" in call("verify", case).text
    assert rows(call("verify", case, "--json").json)[str(path)] == (
        "failed",
        "manifest-lists-other",
    )


def test_a_file_without_a_proof_is_worth_what_the_manifest_is(case: Path) -> None:
    (case / "b" / "3.txt.proof.json").unlink()
    unlisted = case / "b" / "4.txt"
    unlisted.write_text("4")
    found = call("verify", case, "--json").json
    (manifest, third) = (row for row in found["files"] if row["path"] in {MANIFEST, "case/b/3.txt"})
    assert third["verdict"] == "verified"
    assert third["not_after"] == manifest["not_after"]
    assert rows(found)[str(unlisted)] == ("undecided", "proof-missing-beside")


@pytest.mark.parametrize("content", [b"{}", b'{"format":"witnesstree-manifest/1"}', None])
def test_a_manifest_that_cannot_be_relied_on_says_nothing_of_the_others(
    case: Path, content: bytes | None
) -> None:
    """It does not match its proof, is no manifest, or is not there."""
    path = Path(MANIFEST)
    path.unlink() if content is None else path.write_bytes(content)
    (case / "a" / "1.txt").unlink()
    verified = call("verify", case, "--json").json
    assert not any("manifest" in code for _, code in rows(verified).values())
    if content:
        assert rows(verified)[MANIFEST][0] == "failed"
        assert call("seal", "--again", path).code == 0
        assert not any(
            "manifest" in code for _, code in rows(call("verify", case, "--json").json).values()
        )


def test_a_listed_file_that_is_named_like_a_proof_is_compared(case: Path) -> None:
    path = case / "doc.proof.json"
    path.write_text("first")
    digest = sha256(b"first").hexdigest()
    manifest = Manifest(
        "evi",
        datetime(2026, 11, 30, tzinfo=UTC),
        (ManifestFile(path.name, 5, bytes.fromhex(digest), "application/json"),),
        salt=bytes(16),
    )
    Path(MANIFEST).write_bytes(format_manifest(manifest))
    assert call("seal", "--again", MANIFEST).code == 0
    assert call("verify", MANIFEST, path).code == 0
    assert rows(call("verify", case, "--json").json)[str(path)][0] == "verified"
    path.write_text("other")
    verified = call("verify", case, "--json")
    assert (verified.code, rows(verified.json)[str(path)]) == (
        3,
        ("failed", "manifest-lists-other"),
    )
    assert "lists a file of this name" in call("verify", case).text


def test_a_manifest_of_no_files_misses_none(case: Path) -> None:
    manifest = Manifest("evi", datetime(2026, 11, 30, tzinfo=UTC), (), salt=bytes(16))
    Path(MANIFEST).write_bytes(format_manifest(manifest))
    assert call("seal", "--again", MANIFEST).code == 0
    assert call("verify", case).code == 0


def test_only_the_newest_of_several_counts(case: Path) -> None:
    (case / "a" / "1.txt").write_text("edited")
    assert call("seal", "-r", case, "--name", "evi", "--again").code == 0
    assert (case / "evi.1.manifest.json").exists()
    verified = call("verify", case, "--json")
    assert verified.code == 0, verified.text
    assert rows(verified.json)["case/a/1.txt"] == ("verified", "")


def test_a_listed_file_that_cannot_be_read_is_named(case: Path) -> None:
    path = case / "b" / "3.txt"
    Path(f"{path}.proof.json").unlink()
    path.unlink()
    path.mkdir()
    found = call("verify", case, "--json")
    assert (found.code, rows(found.json)[str(path)][1]) == (4, "file-not-regular")
    path.rmdir()
    path.symlink_to("/proc/self/mem")
    assert rows(call("verify", case, "--json").json)[str(path)][0] == "undecided"
