"""Direct tokens over HTTP: timestamps over an entry's own digest, at once, beside its batch's.

Authorities take their time, so several are asked at once, each thread with a ledger of its own: a
way to an authority is not made for two of them. Whose token it is, is kept: another tenant with the
same digest does not learn of it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from witnesstree.anchor.wiring import open_ledger
from witnesstree.ledger.work.direct import stamp_directly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from witnesstree.ledger.work.direct import Unstamped
    from witnesstree.ledger.work.sealing import Ledger

THREADS: Final = 12
"""Authorities that are waited for at once: with one that takes 0.2 s, 60 tokens a second."""
DEADLINE: Final = 10.0
"""Seconds after which none is asked for any more; the exchange at hand ends by its own timeout."""
MAX_ENTRIES: Final = 100
"""Entries of one request that may have one."""


class DirectTokens:
    """Asks authorities for tokens, in threads of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stack, self._lock = ExitStack(), threading.Lock()
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(THREADS, "direct")

    def stamp(self, digests: Sequence[bytes]) -> list[Unstamped]:
        """Have digests stamped that are entries, and return what there is no token for."""
        return stamp_directly(self._ledger(), digests, deadline=DEADLINE)

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Where `stamp` is run."""
        return self._threads

    def close(self) -> None:
        """Wait for what is under way, and let go of the ledgers."""
        self._threads.shutdown()
        self._stack.close()

    def _ledger(self) -> Ledger:
        ledger: Ledger | None = getattr(self._own, "ledger", None)
        if ledger is None:
            with self._lock:
                ledger = self._stack.enter_context(open_ledger(self._home, serves=True))
            self._own.ledger = ledger
        return ledger
