"""Loads what of py-evm is slow and rarely asked for at its first use: the seven precompiles of
EIP-2537.

py-evm imports them with every fork, and their tables of the curve BLS12-381 take a fifth of the
time in which a file is sealed. The contract calls none of them; who does finds them as they are.
mining.py imports this module before py-evm.
"""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth.abc import ComputationAPI

PRECOMPILES = "eth.precompiles.bls12_381"
FUNCTIONS = (
    "bls12_g1_add",
    "bls12_g1_msm",
    "bls12_map_fp_to_g1",
    "bls12_g2_add",
    "bls12_g2_msm",
    "bls12_map_fp2_to_g2",
    "bls12_pairing_check",
)


def _deferred(name: str) -> Callable[[ComputationAPI], ComputationAPI]:
    def precompile(computation: ComputationAPI) -> ComputationAPI:
        found: ComputationAPI = getattr(_loaded(), name)(computation)
        return found

    return precompile


def _loaded() -> ModuleType:
    # One thread loads, and no other takes away what it is loading.
    with _LOADING:
        if sys.modules.get(PRECOMPILES) is _stand_in:
            del sys.modules[PRECOMPILES]
        return import_module(PRECOMPILES)


_LOADING = Lock()
_stand_in = ModuleType(PRECOMPILES)
if PRECOMPILES not in sys.modules:
    for _name in FUNCTIONS:
        setattr(_stand_in, _name, _deferred(_name))
    sys.modules[PRECOMPILES] = _stand_in
