"""What a figure has to say of the machine that it was measured on.

No name and no path of the machine is told.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FLAGS = ("sha_ni", "sha2", "avx2", "avx512f")
"""Of a processor's flags, those that decide how fast it hashes."""

PACKAGES = ("witnesstree", "pymerkle", "opentimestamps", "numpy", "sqlalchemy")


def describe(folder: Path) -> dict[str, str]:
    """Return the machine in a few words each: its processor, memory, the disk under `folder`, and
    the versions of what is measured."""
    cpu = _read(Path("/proc/cpuinfo"))
    flags = set((_field(cpu, r"flags|Features") or "").split())
    return {
        "processor": _field(cpu, "model name") or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "flags": " ".join(flag for flag in FLAGS if flag in flags) or "none of " + " ".join(FLAGS),
        "memory": (
            f"{int(_field(_read(Path('/proc/meminfo')), 'MemTotal').split()[0]) / 2**20:.1f} GiB"
        ),
        "disk": _disk(folder),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": _said(["openssl", "version"]),
        "node": _said(["node", "--version"]),
        "core": _said(
            [sys.executable, "-c", "from witnesstree.ledger.tree import core; print(core.name())"],
            " \n",
        ),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    found = re.search(rf"^(?:{name})\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _disk(folder: Path) -> str:
    """Return the file system that holds `folder` and the kind of its device, as far as the kernel
    tells."""
    place, best = folder.resolve(), ("", "", "")
    for line in _read(Path("/proc/mounts")).splitlines():
        device, mount, kind = line.split(" ")[:3]
        if place.is_relative_to(mount) and len(mount) >= len(best[1]):
            best = (device, mount, kind)
    name = re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", Path(best[0]).name)
    rotates = _read(Path("/sys/block") / name / "queue/rotational").strip()
    # A virtual disk says that it rotates, whatever stands behind it.
    kind = (
        "virtual disk"
        if name.startswith("vd")
        else {"0": "solid state", "1": "rotating"}.get(rotates, "unknown kind")
    )
    return f"{best[2] or 'unknown file system'} on {name or 'an unknown device'} ({kind})"


def _said(argv: list[str], end: str = " (") -> str:
    try:
        return (
            subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
            .stdout.strip()
            .partition(end)[0]
        )
    except (OSError, subprocess.SubprocessError):
        return "not there"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not there"
