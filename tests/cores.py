"""The two cores, for tests that must pass on both."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from real import unavailable

from witnesstree.ledger.tree import core

CORES = [pytest.param("native", marks=pytest.mark.real("cargo")), "python"]


def require_native() -> core.Native:
    """Return the native core."""
    native = core.load()
    if native is None:
        unavailable(
            "the native core was not built: it needs cargo and a C linker when witnesstree is"
            " installed"
        )
    return native


@contextmanager
def using(name: str) -> Iterator[None]:
    """Have one of the cores do the work, and the one that did it before afterwards."""
    if name == "native":
        require_native()
    before = "native" if core.native() else "python"
    core.choose(name)
    try:
        yield
    finally:
        core.choose(before)
