"""The EvidenceAnchor contract as a caller sees it: its calls as bytes, its answers as values, by
eth-abi. Nothing here signs or sends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import Anchoring

if TYPE_CHECKING:
    from collections.abc import Sequence


# The deployer that everybody uses for CREATE2:
# https://github.com/Arachnid/deterministic-deployment-proxy
DEPLOYER_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
RECORD = 96
"""Bytes in a record: a time, a block's number and an address, one word each."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """What the compiler made of the contract, and how the CREATE2 deployer (20 bytes) brings it to
    its address with a 32-byte salt.
    """

    abi: list[dict[str, Any]]
    init_code: bytes
    code_hash: bytes
    deployer: bytes
    salt: bytes
    address: bytes


@cache
def artefact() -> Artefact:
    """Return the artefact that this package was shipped with."""
    members = json.loads(
        files("witnesstree.anchor.evm").joinpath("EvidenceAnchor.json").read_text("utf-8")
    )
    create2 = members["create2"]
    return Artefact(
        abi=members["abi"],
        init_code=_bytes(members["bytecode"]),
        code_hash=_bytes(members["codeHash"]),
        deployer=_bytes(create2["deployer"]),
        salt=_bytes(create2["salt"]),
        address=_bytes(create2["address"]),
    )


def deployment_calldata() -> bytes:
    """Return what is sent to the CREATE2 deployer (`artefact().deployer`) to bring the contract to
    its one address, on any chain.

    It takes some 500,000 gas. Sent where there is no deployer it does nothing and looks as if it
    had; sent a second time, it fails.
    """
    contract = artefact()
    return contract.salt + contract.init_code


def anchoring_calldata(roots: Sequence[bytes]) -> bytes:
    """Return the calldata that anchors `roots` (32 bytes each), one or several: the block's gas
    limits how many. Real chains have web3 make the same (bridge.py).
    """
    if len(roots) == 1:
        # One word of 32 bytes is encoded as it is, and eth-abi takes long to import.
        return _selector("anchor(bytes32)") + roots[0]

    from eth_abi.abi import encode

    return _selector("anchorAll(bytes32[])") + encode(["bytes32[]"], [roots])


def parse_record(answer: bytes, place: str) -> Anchoring | None:
    """Return the record in the contract's answer to `anchoredAt`, as the node at `place` gives it,
    or None if it has none.

    Raises BadAnswer if this is no such answer.
    """
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        if len(answer) != RECORD:
            raise BadAnswer("record-expected", place=place)
        time, number, submitter = decode(["uint64", "uint64", "address"], answer)
    except DecodingError as error:
        raise BadAnswer("record-expected", place=place) from error
    return Anchoring(time, number, bytes.fromhex(submitter[2:])) if time else None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]
