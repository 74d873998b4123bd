"""Witnesstree is installed where there is no Rust compiler, and then does the same in Python."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from witnesstree.ledger.tree.tree import root_of

ROOT = Path(__file__).parents[2]
NEEDED = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "ledger",
    "anchor",
    "api",
    "cli",
    "examples",
)
ROOT_IN_PYTHON = (
    "import witnesstree.ledger.tree.core as core, witnesstree.ledger.tree.tree as tree;"
    " print(core.__file__, core.name(), tree.root_of(bytes(range(96))).hex())"
)
BROKEN_CARGO = "#!/bin/sh\necho 'error: this cargo builds nothing' >&2\nexit 101\n"


@pytest.mark.parametrize(
    "cargo", [None, BROKEN_CARGO], ids=["no cargo", "a cargo that builds nothing"]
)
def test_a_wheel_is_made_without_the_native_core(tmp_path: Path, cargo: str | None) -> None:
    source, programs, wheels, installed = (
        tmp_path / name for name in ("source", "programs", "wheels", "installed")
    )
    for folder in (source, programs):
        folder.mkdir()
    for name in NEEDED:
        leave_out = shutil.ignore_patterns("*.so", "target", "Cargo.lock", "__pycache__")
        (
            shutil.copytree(ROOT / name, source / name, ignore=leave_out)
            if (ROOT / name).is_dir()
            else shutil.copy(ROOT / name, source)
        )
    if cargo:
        for program in ("cargo", "rustc"):
            (programs / program).write_text(cargo)
            (programs / program).chmod(0o755)
        (programs / "sh").symlink_to("/bin/sh")

    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE", "CARGO", "RUST"))
    } | {"PATH": str(programs)}
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--no-index",
    ]
    made = subprocess.run(
        [*pip, "--wheel-dir", wheels, source],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr

    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        content.extractall(installed)
    assert "witnesstree/ledger/tree/core.py" in names
    assert "witnesstree/anchor/evm/EvidenceAnchor.json" in names
    assert [name for name in names if "native" in name] == []

    # Without the site's packages, among which this checkout stands.
    command = [sys.executable, "-S", "-c", ROOT_IN_PYTHON]
    environment["PYTHONPATH"] = str(installed)
    ran = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    assert ran.stdout.split() == [
        str(installed / "witnesstree/ledger/tree/core.py"),
        "python",
        root_of(bytes(range(96))).hex(),
    ]
