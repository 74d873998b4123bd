"""Settings: from the environment before settings.toml; what is misspelt or out of bounds is one line that says so."""

from datetime import timedelta
from pathlib import Path

import pytest

from witnesstree.anchor.settings import Settings, read_settings
from witnesstree.ledger.errors import InvalidInput


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def refused(home: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_settings(home)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_any_the_defaults_hold(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings()
    assert (Settings().batch_entries, Settings().batch_age, Settings().patience) == (2**23, timedelta(minutes=10), 60)


def test_they_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITNESSTREE_BATCH_ENTRIES", "7")
    monkeypatch.setenv("WITNESSTREE_BATCH_AGE", "PT1H")
    monkeypatch.setenv("WITNESSTREE_PATIENCE", "0.5")
    found = read_settings(tmp_path)
    assert (found.batch_entries, found.batch_age, found.patience) == (7, timedelta(hours=1), 0.5)


def test_they_come_from_the_file(tmp_path: Path, toml: Path) -> None:
    toml.write_text("batch_entries = 7\nbatch_age = 90\n")
    found = read_settings(tmp_path)
    assert (found.batch_entries, found.batch_age, found.patience) == (7, timedelta(seconds=90), 60)


def test_the_environment_goes_before_the_file(tmp_path: Path, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text("batch_entries = 7\npatience = 3\n")
    monkeypatch.setenv("WITNESSTREE_BATCH_ENTRIES", "8")
    found = read_settings(tmp_path)
    assert (found.batch_entries, found.patience) == (8, 3)


def test_the_home_is_no_stranger_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITNESSTREE_HOME", str(tmp_path))
    assert read_settings(tmp_path) == Settings()


@pytest.mark.parametrize("name", ["WITNESSTREE_BATCH_ENTRY", "WITNESSTREE_", "WITNESSTREE_batch_age", "WITNESSTREE_HOMES"])
def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    assert refused(tmp_path).startswith(f"{name} is no setting: expected one of WITNESSTREE_BATCH_AGE, ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_entries", "0"),
        ("batch_entries", "-1"),
        ("batch_entries", str(2**31 + 1)),
        ("batch_entries", "many"),
        ("batch_entries", ""),
        ("batch_age", "0"),
        ("batch_age", "-5"),
        ("batch_age", "soon"),
        ("batch_age", "inf"),
        ("patience", "-1"),
        ("patience", "nan"),
        # SQLite counts milliseconds in 32 bits: more than that would be no patience at all.
        ("patience", "inf"),
        ("patience", "1e300"),
        ("patience", "86401"),
    ],
)
def test_a_value_out_of_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"WITNESSTREE_{name.upper()}", value)
    assert refused(tmp_path).startswith(f"setting {name}: ")


@pytest.mark.parametrize("text", ["batch_entries = 0", "patience = -1", 'batch_age = "soon"', "batch_entries = [1]"])
def test_a_value_of_the_file_out_of_bounds_is_refused(tmp_path: Path, toml: Path, text: str) -> None:
    toml.write_text(text)
    assert refused(tmp_path).startswith(f"setting {text.split(maxsplit=1)[0]}: ")


@pytest.mark.parametrize("text", ["batch_entry = 7", "home = '/elsewhere'", "[batch]\nentries = 7"])
def test_an_unknown_key_is_refused(tmp_path: Path, toml: Path, text: str) -> None:
    toml.write_text(text)
    assert refused(tmp_path).endswith("is no setting: expected batch_age, batch_entries, patience")


def test_a_folder_in_its_place_is_refused(tmp_path: Path, toml: Path) -> None:
    toml.mkdir()
    assert "is not a file" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"batch_entries", b"= 7", b"batch_entries = 7\nbatch_entries = 8", b"\xff\xfe", b'a = "'])
def test_what_is_no_toml_is_refused(tmp_path: Path, toml: Path, content: bytes) -> None:
    toml.write_bytes(content)
    assert refused(tmp_path).startswith(f"{toml} cannot be read: ")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().patience = 1
