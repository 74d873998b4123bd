"""Several authorities, of which so many are required: one that is down holds up nobody, and one
that does not come back is given up."""

from pathlib import Path

import pytest
from commandline import call
from servers.tsa import openssl_authority, pem

from witnesstree.anchor.settings import write_setting

pytestmark = [pytest.mark.enable_socket, pytest.mark.real("openssl")]

DOWN = "http://127.0.0.1:9/tsr"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert call("init", "--home", tmp_path / "home").code == 0
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))


def test_one_that_is_down_holds_up_nobody_and_can_be_given_up(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"evidence")
    (tmp_path / "tsa").mkdir()
    with openssl_authority(tmp_path / "tsa") as server:
        (tmp_path / "root.pem").write_bytes(pem(server.root.certificate))
        assert call("trust", "add", tmp_path / "root.pem").code == 0
        assert call("authority", "add", "up", server.url, "--home", home).code == 0
        assert call("authority", "add", "down", DOWN, "--home", home).code == 0
        sealed = call("seal", file, "--home", home)
        assert sealed.code == 0, sealed.talk
        assert "Done without down: " in sealed.talk
        assert call("verify", file, "--home", home).code == 0
        assert call("worker", "--until-done", "--interval", "0.05", "--home", home).code == 0
        assert [
            job["target"] for job in call("status", "--home", home, "--json").json["waiting"]
        ] == ["down"]

        write_setting(home, "required_tokens", 2)
        again = call("seal", "--home", home)
        assert again.code == 8
        assert "1 stamp or anchor job could not be done" in again.error()
        assert call("authority", "remove", "down", "--home", home).code == 5, (
            "two are required, and one would be left"
        )
        write_setting(home, "required_tokens", 1)
        assert call("authority", "remove", "down", "--home", home).code == 0
        assert "down is not configured any more" in call("seal", "--home", home).talk
        assert call("status", "--check", "--home", home).code == 12
        given_up = call("authority", "remove", "down", "--forget", "--home", home, "--json")
        assert given_up.json == {"removed": "down", "given_up": 1}
        assert call("status", "--check", "--home", home).code == 0
        assert call("fsck", "--home", home).code == 0


def test_fsck_does_not_call_an_untrusted_root_damage(home: Path, tmp_path: Path) -> None:
    (tmp_path / "tsa").mkdir()
    (tmp_path / "file").write_bytes(b"evidence")
    with openssl_authority(tmp_path / "tsa") as server:
        assert call("authority", "add", "up", server.url, "--home", home).code == 0
        assert call("seal", tmp_path / "file", "--home", home).code == 0
    checked = call("fsck", "--home", home)
    assert checked.code == 0
    assert "which is not trusted here for time-stamping" in checked.text
    assert "trust its root with `witnesstree trust add`" in checked.talk
    assert [
        found["damage"] for found in call("fsck", "--home", home, "--json").json["problems"]
    ] == [False]
