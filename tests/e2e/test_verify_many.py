"""Folders verified on all cores where something is in the way: what cannot begin, what will not
end, and what changes or is no file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commandline import call
from doubling import refuse

from witnesstree.cli import parallel
from witnesstree.cli.judging import Judge
from witnesstree.ledger.base.errors import InvalidInput

PROOF = ".proof.json"
SCRIPT = """
import sys
from pathlib import Path
from doubling import stall
from witnesstree.cli.parallel import on_all_cores
if __name__ == "__main__":
    try:
        list(on_all_cores(stall, (Path(sys.argv[1]),), range(100), part=1))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_ctrl_c_ends_work_that_heeds_nothing(tmp_path: Path) -> None:
    script, began = tmp_path / "stalling.py", tmp_path / "began"
    script.write_text(SCRIPT)
    began.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(began)],
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 30
    # A process that has only just been started does not heed the parent's wishes yet.
    while len(list(began.iterdir())) < (os.cpu_count() or 1) and time.monotonic() < until:
        time.sleep(0.05)
    # As a terminal does it: to all processes.
    os.killpg(process.pid, signal.SIGINT)
    _, talk = process.communicate(timeout=20)
    assert talk.decode() == ""
    assert process.returncode == 130
    until = time.monotonic() + 5
    while is_there(process.pid):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.05)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("cores", [1, 2])
def test_what_cannot_begin_says_why(
    cores: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    with pytest.raises(InvalidInput, match="nothing can be doubled here"):
        list(parallel.on_all_cores(refuse, (), range(60), part=2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--trust", "nothere.pem"), ("--checkpoint-key", "nothere"), ("--block-hash", "0x12")],
    ids=["trust", "key", "block"],
)
def test_a_wrong_option_is_told_of_a_folder_as_of_a_file(
    option: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "PART", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(9):
        (folder / f"{i}").touch()
        (folder / f"{i}{PROOF}").write_text("{}")
    one, many = (call("verify", path, option, value) for path in (folder / "0", folder))
    assert (many.code, many.error(), many.text) == (one.code, one.error(), "")
    assert one.code == 5
    assert "Traceback" not in many.talk


@pytest.mark.parametrize("kind", ["pipe", "folder", "gone"])
def test_a_proof_that_is_no_file_holds_nothing_up(kind: str, tmp_path: Path) -> None:
    proof = tmp_path / f"a.jpg{PROOF}"
    (tmp_path / "a.jpg").touch()
    {"pipe": os.mkfifo, "folder": os.mkdir, "gone": lambda path: path.symlink_to("nowhere")}[kind](
        proof
    )
    file, *_ = call("verify", tmp_path, "--json").json["files"]
    assert (file["gap"], f"a.jpg{PROOF}" in file["reason"]) == ("unreadable", True)
    assert ("is not a regular file" in file["reason"]) is (kind != "gone")
    ran = call("verify", tmp_path / "a.jpg")
    assert (ran.code, f"a.jpg{PROOF}" in ran.error()) == (5, True)


def test_a_file_that_vanishes_while_it_is_judged_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
        (tmp_path / f"{name}{PROOF}").write_text('{"format":"witnesstree-proof/1"}')
    real = Judge.read

    def vanishing(judge: Judge, content: bytes, file: Path) -> Any:
        if file.name == "a":
            raise InvalidInput(f"cannot read {file}: No such file or directory")
        return real(judge, content, file)

    monkeypatch.setattr(Judge, "read", vanishing)
    files = call("verify", tmp_path, "--json").json["files"]
    assert [file.get("gap") for file in files] == ["unreadable", None]
    assert "No such file" in files[0]["reason"]
