"""Which core does the bulk work: the native one where it was built, or Python.

No other module imports `_native`.

Both give the same bytes. The native one (ledger/tree/native/) uses all of the machine's cores, and
its AVX-512 or SHA instructions where it has them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Native(Protocol):
    """What ledger/tree/native/src/lib.rs offers.

    `threads` of 0 are as many as the machine has cores; a `kernel` is one of `kernels`.

    Raises ValueError or BufferError where a buffer is not contiguous, or no whole number of nodes.
    """

    def kernels(self) -> list[str]:
        """Return the names of the ways to hash that this machine can run, the fastest first."""
        ...

    def above(
        self, nodes: Buffer, height: int, threads: int = 0, kernel: str | None = None
    ) -> bytes:
        """Return what tree.level_above does."""
        ...

    def levels(self, nodes: Buffer, threads: int = 0, kernel: str | None = None) -> list[bytes]:
        """Return what tree.levels_above does."""
        ...

    def sort_run(self, digests: Buffer, threads: int = 0) -> bytes:
        """Return what bulk.sort_run does."""
        ...

    def parse_hex(
        self,
        text: Buffer,
        is_last: bool,  # noqa: FBT001 - Rust's own signature
        longest: int,
        threads: int = 0,
    ) -> tuple[bytes, int, int, bool]:
        """Return the packed digests of whole lines, the bytes and lines they took, and whether the
        line after them is wrong.
        """
        ...


def load(module: str = "witnesstree.ledger.tree._native") -> Native | None:
    """Return the native core, or None if it was not built here."""
    try:
        native: Native = import_module(module)
    except ImportError:
        return None
    return native


_built = load()
_used = _built


def native() -> Native | None:
    """Return the native core, or None where Python does the work."""
    return _used


def choose(core: str) -> None:
    """Use the core `native` or `python` from now on, in this whole process: to measure, and to have
    one checked by the other.

    Raises InvalidInput if there is no such core here.
    """
    global _used  # noqa: PLW0603 - one choice for the whole process
    if core not in {"native", "python"}:
        raise InvalidInput("core-unknown", found=repr(core[:60]))
    if core == "native" and _built is None:
        raise InvalidInput("core-not-built")
    _used = _built if core == "native" else None


def name() -> str:
    """Return which core is in use, for people: `native (sha-ni)`, or `python`."""
    return f"native ({_used.kernels()[0]})" if _used else "python"


def plain(buffer: Buffer) -> memoryview:
    """Return the bytes of any buffer, as both cores read them.

    Raises InvalidInput if they are not in contiguous memory.
    """
    view = memoryview(buffer)
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    except TypeError as error:
        raise InvalidInput("memory-not-contiguous") from error
