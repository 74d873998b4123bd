"""The EvidenceAnchor contract as a caller sees it: its calls and its event as bytes, its answers as
values. Nothing here signs or sends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base.errors import BadAnswer
from witnesstree.ledger.chain.stateproof import AnchoredRecord, keccak256

if TYPE_CHECKING:
    from collections.abc import Sequence


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


ANCHORED = keccak256(b"Anchored(bytes32,address)")
"""The first topic of the event that says a root was recorded now; the second is the root, the third
the caller."""


def anchoring_calldata(roots: Sequence[bytes]) -> bytes:
    """Return the calldata that anchors `roots` (32 bytes each), one or several: the block's gas
    limits how many.

    It is encoded as Solidity's Contract ABI Specification says: of an array, where it begins, how
    long it is, and its words.
    """
    if len(roots) == 1:
        return _selector("anchor(bytes32)") + roots[0]
    return (
        _selector("anchorAll(bytes32[])")
        + (32).to_bytes(32)
        + len(roots).to_bytes(32)
        + b"".join(roots)
    )


def anchored_at_calldata(root: bytes) -> bytes:
    """Return the calldata that asks for the record of `root` (32 bytes); `parse_record` reads the
    answer.
    """
    return _selector("anchoredAt(bytes32)") + root


def parse_record(answer: bytes) -> AnchoredRecord | None:
    """Return the record in the contract's answer to `anchoredAt`, or None if it has none.

    Raises BadAnswer if this is no such answer.
    """
    words = [answer[i : i + 32] for i in range(0, len(answer), 32)]
    if len(answer) != 96 or any(words[0][:24]) or any(words[1][:24]) or any(words[2][:12]):
        raise BadAnswer("this is no answer of EvidenceAnchor's to anchoredAt")
    time, number = int.from_bytes(words[0]), int.from_bytes(words[1])
    return AnchoredRecord(time, number, words[2][12:]) if time else None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]
