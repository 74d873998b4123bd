"""Homes and backups whose paths hold what means something in a URL: each is its own ledger."""

from pathlib import Path

import pytest
from commandline import call


@pytest.mark.parametrize(
    "name", ["a?b", "a#b", "a%41", "a%", "a b&c=d", "a'b\"c", "证据", "file:x?mode=ro"]
)
def test_a_home_keeps_everything_under_its_own_name(tmp_path: Path, name: str) -> None:
    for part in ("homes", "backups", "restored"):
        (tmp_path / part).mkdir()
    home = tmp_path / "homes" / name
    at = ("--home", home)
    letter = tmp_path / "letter"
    letter.write_text("dear")
    assert call("init", *at).code == 0
    assert call("seal", letter, *at).code == 0
    assert call("status", "--json", *at).json["entries"] == 1
    assert call("backup", tmp_path / "backups" / name, "--plain-keys", *at).code == 0
    assert call("backup", tmp_path / "backups" / name, "--check").code == 0
    again = tmp_path / "restored" / name
    assert call("restore", tmp_path / "backups" / name, "--home", again).code == 0
    assert call("status", "--json", "--home", again).json["entries"] == 1
    assert call("fsck", "--home", again).code == 0
    for part in ("homes", "backups", "restored"):
        assert [path.name for path in (tmp_path / part).iterdir()] == [name]
    assert (home / "ledger.db").is_file()
    assert (home / "chain" / "chain.db").is_file()
    assert (tmp_path / "backups" / name / "metadata.db").is_file()


def test_names_that_are_one_another_in_a_url_are_two_ledgers(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    for name in ("a%31", "a1"):
        assert call("init", "--home", tmp_path / name).code == 0
    assert call("seal", tmp_path / "letter", "--home", tmp_path / "a%31").code == 0
    entries = [
        call("status", "--json", "--home", tmp_path / name).json["entries"]
        for name in ("a%31", "a1")
    ]
    assert entries == [1, 0]
