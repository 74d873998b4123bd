"""One side of a figure is one process.

This module alone starts them, takes their time and their memory, and turns about between them.

Nothing is measured in this process, which stays small: Linux counts the memory of whoever starts a
program to that program, until it is larger.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[1]

LIMIT = 3600.0
"""Seconds that one process may take: ten million entries into the slowest peer take some
minutes."""

MAX_TOLD = 2**16
"""Bytes read of what a process told: its last line is what counts."""

OURS, PEER, LIMITS = "ours", "peer", "limit"


class Failed(Exception):
    """A program ended with an error; its text says which."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one process does in a round: `count` things of which one is a `unit`.

    Where it `tells`, its last line of output is a JSON object with the seconds that count, and
    perhaps more: it has prepared itself before. Where it does not, the whole process counts.
    `before` and `after` are not timed; each may raise Failed. `absent` says why this side cannot
    run here. `series` and `size` give it a place in a plot of cost against size.
    """

    name: str
    argv: Sequence[str | Path]
    count: int
    unit: str
    role: str = OURS
    note: str = ""
    tells: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    absent: str = ""
    series: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a side: a sample a round, each with seconds, count, rate, peak_mib and whatever
    the side told; or why there is none."""

    name: str
    role: str
    unit: str
    command: str
    note: str
    series: str
    size: int
    absent: str = ""
    failure: str = ""
    samples: tuple[dict[str, float], ...] = ()

    def values(self, metric: str) -> list[float]:
        """Return one metric of each round; none where the side did not tell it."""
        return [sample[metric] for sample in self.samples if metric in sample]


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended: its exit code, what it said on both outputs, and the two
    measurements."""

    code: int
    out: str
    err: str
    seconds: float
    peak: int
    """Bytes of memory of the largest process in its tree; 0 where this process is larger, and hides
    it."""


def run(
    argv: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT,
) -> Ended:
    """Run a program in `folder` to its end.

    Raises Failed if it cannot be started or takes longer than `limit` seconds.
    """
    with TemporaryFile() as out, TemporaryFile() as err:
        start = time.perf_counter()
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env={**_surroundings(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(f"{argv[0]} cannot be started: {error.strerror}") from error
        # Its own session, so that what it has started ends with it.
        timer = Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            timer.cancel()
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL and seconds >= limit:
            raise Failed(f"it did not end within {limit:.0f} s")
        hidden = usage.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return Ended(
            process.returncode,
            _tail(out),
            _tail(err),
            seconds,
            0 if hidden else usage.ru_maxrss * 1024,
        )


def _surroundings() -> dict[str, str]:
    """Return this process's environment, without what would turn the ledger's own settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("WITNESSTREE_")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _tail(file: Any) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_TOLD))
    return str(file.read().decode(errors="replace"))


def require(
    argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program and return its output. Raises Failed if it does not end with 0."""
    ended = run(argv, folder, environment)
    if ended.code:
        said = ended.err.strip().splitlines() or [""]
        raise Failed(f"{Path(argv[0]).name} ended with {ended.code}: {said[-1][:300]}")
    return ended.out


def sample(side: Side, folder: Path) -> dict[str, float]:
    """Run a side once.

    Raises Failed if its process, or what has to be done before or after it, fails.
    """
    if side.before:
        side.before()
    try:
        # What the side before has left to be written must not be this one's burden.
        os.sync()
        ended = run(side.argv, folder, side.environment)
        if ended.code:
            said = ended.err.strip().splitlines() or ["no word"]
            raise Failed(f"ended with {ended.code}: {said[-1][:300]}")
        told = _told(ended.out) if side.tells else {}
        seconds, count = told.pop("seconds", ended.seconds), told.pop("count", side.count)
        peak = {"peak_mib": ended.peak / 2**20} if ended.peak else {}
        return {"seconds": seconds, "count": count, "rate": count / seconds, **peak, **told}
    finally:
        if side.after:
            side.after()


def _told(out: str) -> dict[str, float]:
    lines = out.strip().splitlines() or [""]
    try:
        told = json.loads(lines[-1])
        return {name: float(value) for name, value in told.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Failed(
            f"expected a JSON object of numbers in its last line, not {lines[-1][:100]!r}"
        ) from error


def contest(
    sides: Sequence[Side], rounds: int, folder: Path, say: Callable[[str], None]
) -> list[Outcome]:
    """Run every side `rounds` times, one round after the other, so that what else the machine does
    hits all alike.

    A side that fails in one round is left out of the next ones, keeps no samples, and says why.
    """
    samples: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    failures: dict[str, str] = {}
    for number in range(rounds):
        for side in sides:
            if side.absent or side.name in failures:
                continue
            try:
                samples[side.name].append(sample(side, folder))
                say(
                    f"  {number + 1}/{rounds} {side.name}: {samples[side.name][-1]['rate']:,.1f}"
                    f" {side.unit}/s"
                )
            except Failed as error:
                failures[side.name] = str(error).replace(str(folder), "…")
                say(f"  {side.name} failed: {error}")
    return [
        Outcome(
            side.name,
            side.role,
            side.unit,
            shown(side, folder),
            side.note,
            side.series,
            side.size,
            side.absent,
            failures.get(side.name, ""),
            () if side.name in failures else tuple(samples[side.name]),
        )
        for side in sides
    ]


def shown(side: Side, folder: Path) -> str:
    """Return a side's command as people may read it: no path of this machine, and many files as the
    first one."""
    words = [f"{name}={value}" for name, value in side.environment.items()]
    for argument in [str(argument) for argument in side.argv]:
        word = argument.replace(str(folder) + "/", "").replace(str(ROOT) + "/", "")
        words.append(Path(word).name if word.startswith("/") else word)
    files = [word for word in words if word.startswith("many/")]
    if len(files) > 1:
        words = [word for word in words if word not in files[1:]] + ["…"]
    return " ".join(words)


def find_program(name: str) -> Path | None:
    """Return a program of the user's cache, where benchmarks/peers/*.sh put it, or of the PATH."""
    cache = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "witnesstree"
        / "bin"
        / name
    )
    if cache.is_file():
        return cache
    found = shutil.which(name)
    return Path(found) if found else None
