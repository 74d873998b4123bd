"""What pyproject.toml cannot say of the native core: whether it is built, and of which crates.

Where it cannot be built, the same is done in Python: docs/decisions/0021-native-core.md. A wheel
without it is made with WITHOUT_NATIVE_CORE=1.
"""

import json
import os
import re
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools_rust import RustExtension

NATIVE = Path(__file__).parent / "ledger" / "tree" / "native"


def lock_crates() -> None:
    """Write Cargo.lock: crates.lock, with the address of the registry, which cargo knows."""
    command = ["cargo", "metadata", "--no-deps", "--format-version=1"]
    try:
        done = subprocess.run(command, cwd=NATIVE, stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError):
        # Without a cargo that works, nothing is built, and setuptools-rust says so.
        return
    (package,) = json.loads(done.stdout)["packages"]
    (source,) = {each["source"] for each in package["dependencies"]}
    crates = (NATIVE / "crates.lock").read_text(encoding="utf-8")
    locked = re.sub(r"^checksum", f'source = "{source}"\nchecksum', crates, flags=re.MULTILINE)
    (NATIVE / "Cargo.lock").write_text(locked, encoding="utf-8")


if os.environ.get("WITHOUT_NATIVE_CORE") == "1":
    setup()
else:
    lock_crates()
    setup(
        rust_extensions=[
            RustExtension(
                "witnesstree.ledger.tree._native",
                "ledger/tree/native/Cargo.toml",
                args=["--locked"],
                optional=True,
                debug=False,
                py_limited_api=True,
            )
        ]
    )
