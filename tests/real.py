"""Real programs for tests: found, or skipped with a reason, or (REQUIRE_REAL=1) a failure."""

import os
import shutil
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skip the test for `reason`; where REQUIRE_REAL=1 says that nothing may be missing, fail it."""
    if os.environ.get("REQUIRE_REAL") == "1":
        pytest.fail(f"REQUIRE_REAL=1, but {reason}")
    pytest.skip(reason)


def require_real(program: str) -> str:
    """Return the path of an outside program."""
    path = shutil.which(program)
    if path is None:
        unavailable(f"{program} is not installed on this machine")
    return path
