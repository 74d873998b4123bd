"""The commands on a home whose metadata is in PostgreSQL: the same way, and no database file in the
home."""

from pathlib import Path

import pytest
from commandline import call
from servers.postgresql import PostgreSQL

pytestmark = [pytest.mark.real("postgres"), pytest.mark.enable_socket]


def test_a_home_with_its_metadata_in_postgresql(postgres: PostgreSQL, tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "file"
    file.write_bytes(b"evidence")
    url = postgres.url(postgres.new_schema())
    made = call("init", "--home", home, "--database", url)
    assert made.code == 0, made.talk
    assert not (home / "ledger.db").exists()
    assert f'database = "{url}"' in (home / "settings.toml").read_text()
    assert call("seal", file, "--home", home).code == 0
    verified = call("verify", file, "--home", home)
    assert verified.code == 0, verified.text
    assert call("status", "--home", home, "--json").json["entries"] == 1
    assert call("fsck", "--home", home).text.startswith(
        "Checked 1 batch with 1 entry: no problems."
    )
    again = call("init", "--home", tmp_path / "other", "--database", url)
    assert again.code == 7
    assert not (tmp_path / "other").exists()


def test_an_address_with_a_password_is_refused(tmp_path: Path) -> None:
    refused = call(
        "init",
        "--home",
        tmp_path / "home",
        "--database",
        "postgresql://user:hunter2@127.0.0.1/ledger",
    )
    assert refused.code == 5
    assert "hunter2" not in refused.talk + refused.text
    assert not (tmp_path / "home").exists()
