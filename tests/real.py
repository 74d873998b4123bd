"""Real programs for tests: found, or skipped with a reason, or (REQUIRE_REAL=1) a failure."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "witnesstree" / "bin"
"""Where `make servers` puts what it builds."""
BUNDLED = (
    CACHE,
    *sorted((ROOT / "hardhat-config/node_modules/@foundry-rs").glob("*/bin")),
    *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
)


def unavailable(reason: str) -> NoReturn:
    """Skip the test for `reason`; where REQUIRE_REAL=1 says that nothing may be missing, fail
    it."""
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(f"REQUIRE_REAL=1, but {reason}")
    pytest.skip(reason)


def require_real(program: str) -> str:
    """Return the path of an outside program."""
    path = shutil.which(program) or next(
        (found for folder in BUNDLED if (found := shutil.which(program, path=str(folder)))), None
    )
    if path is None:
        unavailable(f"{program} is not installed on this machine")
    return path
