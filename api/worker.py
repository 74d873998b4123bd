"""The worker that runs beside the service: `witnesstree worker`, and its end when the service's
process has ended, also where nobody could tell it.
"""

from __future__ import annotations

import signal
import sys
from ctypes import CDLL
from importlib import import_module

_PR_SET_PDEATHSIG = 1
"""prctl(2): have the kernel send a signal when the parent has ended."""

if __name__ == "__main__":
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    import_module("witnesstree.cli.main").main()
