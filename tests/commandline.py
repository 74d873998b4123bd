"""The command line for tests: in this process, where speed matters, or as the installed program, as
people run it."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from real import require_real, unavailable

from witnesstree.cli.main import main

PROGRAM = str(Path(sys.executable).with_name("witnesstree"))


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left: its exit code, its answer (standard output) and its talk (standard
    error)."""

    code: int
    answer: bytes
    talk: str

    @property
    def text(self) -> str:
        return self.answer.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.answer)

    def error(self) -> str:
        """Return the one-line error: the last line of the talk, with no traceback and no second
        error before it."""
        return self.error_in("Error: ")

    def error_in(self, beginning: str) -> str:
        """Return the one-line error, which begins so in the language that was asked for."""
        lines = self.talk.splitlines()
        assert "Traceback" not in self.talk, self.talk
        assert [line for line in lines if line.startswith(beginning)] == lines[-1:], self.talk
        return lines[-1]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A home, a file sealed in it, and the file's proof."""

    home: Path
    file: Path
    proof: Path


def call(*arguments: object, env: dict[str, str] | None = None) -> Ran:
    """Run a command in this process."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
        for _ in range(2)
    )
    with (
        mock.patch.object(sys, "argv", ["witnesstree", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"LC_ALL": "C.UTF-8", **(env or {})}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int)
    assert isinstance(out.buffer, io.BytesIO)
    assert isinstance(err.buffer, io.BytesIO)
    return Ran(code, out.buffer.getvalue(), err.buffer.getvalue().decode())


def environment(*, measured: bool = True, **names: str) -> dict[str, str]:
    """Return this process's environment without settings, with `names` added.

    What is stopped or starved cannot be measured for coverage.
    """
    unwanted = ("WITNESSTREE_",) if measured else ("WITNESSTREE_", "COVERAGE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    # People who run the tests may live in another language.
    return {
        **clean,
        "LC_ALL": "C.UTF-8",
        "PYTHONIOENCODING": "utf-8:strict",
        "PYTHONWARNINGS": "default",
        **names,
    }


def run(
    *arguments: object,
    before: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    measured: bool = True,
    **how: Any,
) -> Ran:
    """Run the installed program; `before` is what starts it, such as `unshare -rn`."""
    command = [*before, PROGRAM, *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=120,
        check=False,
        env=environment(measured=measured, **(env or {})),
        **how,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


STARTED: list[subprocess.Popen[bytes]] = []
"""What `start` started in this test."""


def start(*arguments: object, **how: Any) -> subprocess.Popen[bytes]:
    """Start the installed program, and do not wait for it; it ends with the test."""
    STARTED.append(
        subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(measured=False),
            **how,
        )
    )
    return STARTED[-1]


def end_what_was_started() -> None:
    """End what `start` started, so that no other test is blamed for what one left running."""
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def without_privilege() -> tuple[str, ...]:
    """Return what to put before a program so that file modes hold for it even where root runs the
    tests."""
    if os.geteuid():
        return ()
    rights = "-dac_override,-dac_read_search"
    return require_real("setpriv"), f"--bounding-set={rights}", f"--inh-caps={rights}"


def without_network() -> tuple[str, ...]:
    """Return what to put before a program so that it runs in an empty network namespace."""
    command = (require_real("unshare"), "-rn")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        unavailable("this machine lets nobody make a network namespace")
    return command


def copied(folder: Path, place: Path) -> Path:
    """Return a copy of `folder` at `place`."""
    shutil.copytree(folder, place, symlinks=True)
    return place
