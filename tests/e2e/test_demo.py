"""`witnesstree demo`: five VERIFIED, one FAILED, and nothing left behind."""

from pathlib import Path

from commandline import run

FILES = ("photo.jpg", "contract.pdf", "chat.json", "page.html", "recording.wav")


def test_the_demo_shows_the_whole_way(tmp_path: Path) -> None:
    ran = run("demo", env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}, cwd=tmp_path)
    assert ran.code == 0, ran.talk
    lines = ran.text.splitlines()
    verified = [
        line for line in lines if " VERIFIED (local: it proves nothing to a third party)" in line
    ]
    assert [line.split()[0] for line in verified] == list(FILES)
    assert lines[-1].startswith("contract.pdf, altered  FAILED: ")
    assert sum("FAILED" in line for line in lines) == 1
    assert "Traceback" not in ran.talk
    assert "\\n" not in ran.talk
    assert list(tmp_path.iterdir()) == []
