"""The contract's source as explorers want it for publishing, from the artefact that this package
was shipped with.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

CONTRACT = "contracts/EvidenceAnchor.sol:EvidenceAnchor"
"""The contract's name among the sources, as compilers and explorers write it."""


@cache
def _artefact() -> dict[str, Any]:
    members: dict[str, Any] = json.loads(
        files("witnesstree.anchor.evm").joinpath("EvidenceAnchor.json").read_text("utf-8")
    )
    return members


def compiler() -> str:
    """Return the compiler's version as explorers list it: v, the release and its commit."""
    return f"v{_artefact()['compiler']}"


def standard_json() -> dict[str, Any]:
    """Return the compiler's whole input, which Etherscan, Blockscout and the compiler itself take:
    it gives the deployed code, byte for byte.
    """
    source: dict[str, Any] = _artefact()["standardJsonInput"]
    return source


def sourcify() -> dict[str, Any]:
    """Return the body of Sourcify's POST /v2/verify/{chain id}/{address}."""
    return {
        "stdJsonInput": standard_json(),
        "compilerVersion": _artefact()["compiler"],
        "contractIdentifier": CONTRACT,
    }


def source_files() -> dict[str, str]:
    """Return the sources by their names, for reading."""
    return {name: source["content"] for name, source in standard_json()["sources"].items()}


def settings() -> dict[str, Any]:
    """Return what an explorer's form asks for besides: the optimiser's runs, and the version of the
    EVM.
    """
    read = standard_json()["settings"]
    return {
        "optimizer_runs": read["optimizer"]["runs"],
        "evm_version": read["evmVersion"],
        "via_ir": read["viaIR"],
    }
