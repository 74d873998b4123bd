"""The EvidenceAnchor contract as a caller sees it: its calls and its event as bytes, its answers as values. Nothing here signs or sends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address
from web3.exceptions import Web3Exception

from witnesstree.ledger.chainproof import CONTRACT_ADDRESS, AnchoredRecord, keccak256
from witnesstree.ledger.errors import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from web3 import Web3
    from web3.types import BlockIdentifier


@dataclass(frozen=True, slots=True)
class Artefact:
    """What the compiler made of the contract, and how the CREATE2 deployer (20 bytes) brings it to its address with a 32-byte salt."""

    abi: list[dict[str, Any]]
    init_code: bytes
    code_hash: bytes
    deployer: bytes
    salt: bytes
    address: bytes


@cache
def artefact() -> Artefact:
    """Return the artefact that this package was shipped with."""
    members = json.loads(files("witnesstree.anchor.evm").joinpath("EvidenceAnchor.json").read_text("utf-8"))
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
    """Return what is sent to the CREATE2 deployer (`artefact().deployer`) to bring the contract to its one address, on any chain.

    It takes some 500,000 gas. Sent where there is no deployer it does nothing and looks as if it had; sent a second time, it fails.
    """
    contract = artefact()
    return contract.salt + contract.init_code


ANCHORED = keccak256(b"Anchored(bytes32,address)")
"""The first topic of the event that says a root was recorded now; the second is the root, the third the caller."""


@cache
def _codec() -> EvidenceAnchor:
    from web3 import Web3
    from web3.providers.base import BaseProvider

    return EvidenceAnchor(Web3(BaseProvider()))


def anchoring_calldata(roots: Sequence[bytes]) -> bytes:
    """Return the calldata that anchors `roots` (32 bytes each), one or several."""
    return _codec().anchor_calldata(roots[0]) if len(roots) == 1 else _codec().anchor_all_calldata(roots)


def anchored_at_calldata(root: bytes) -> bytes:
    """Return the calldata that asks for the record of `root`; `parse_record` reads the answer."""
    return _codec().anchored_at_calldata(root)


def parse_record(answer: bytes) -> AnchoredRecord | None:
    """Return the record in the contract's answer to `anchoredAt`, or None if it has none. Raises BadAnswer if this is no such answer."""
    words = [answer[i : i + 32] for i in range(0, len(answer), 32)]
    if len(answer) != 96 or any(words[0][:24]) or any(words[1][:24]) or any(words[2][:12]):
        raise BadAnswer("this is no answer of EvidenceAnchor's to anchoredAt")
    time, number = int.from_bytes(words[0]), int.from_bytes(words[1])
    return AnchoredRecord(time, number, words[2][12:]) if time else None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


class EvidenceAnchor:
    """The contract at `address` on the chain that `web3` talks to.

    Answers are the node's word alone. Reading raises BadAnswer if the contract is not there or answers in another form; what the
    connection itself raises is left to the caller, who knows what kind of connection it is.
    """

    def __init__(self, web3: Web3, address: bytes = CONTRACT_ADDRESS) -> None:
        self._address = to_checksum_address(address)
        self._contract = web3.eth.contract(address=self._address, abi=artefact().abi)

    def anchor_calldata(self, root: bytes) -> bytes:
        """Return the calldata that anchors `root` (32 bytes)."""
        return _bytes(self._contract.encode_abi("anchor", [root]))

    def anchor_all_calldata(self, roots: Sequence[bytes]) -> bytes:
        """Return the calldata that anchors all `roots`; the block's gas limits how many."""
        return _bytes(self._contract.encode_abi("anchorAll", [list(roots)]))

    def anchored_at_calldata(self, root: bytes) -> bytes:
        """Return the calldata that asks for the record of `root`."""
        return _bytes(self._contract.encode_abi("anchoredAt", [root]))

    def anchored_at(self, root: bytes, block: BlockIdentifier = "latest") -> AnchoredRecord | None:
        """Return the contract's record of `root` as of `block`, or None while it has none."""
        time, number, submitter = self._read("anchoredAt", root, block=block)
        return AnchoredRecord(time, number, _bytes(submitter)) if time else None

    def verify(self, root: bytes, digest: bytes, path: Sequence[bytes], block: BlockIdentifier = "latest") -> tuple[bool, int]:
        """Return whether `path` leads from `digest` to `root` and `root` is anchored, and since when (0 if it never was).

        The contract cannot know how long the path should be: see its source.
        """
        included, time = self._read("verify", root, digest, list(path), block=block)
        return included, time

    def _read(self, function: str, *values: object, block: BlockIdentifier) -> Any:
        try:
            return self._contract.functions[function](*values).call(block_identifier=block)
        except Web3Exception as error:
            raise BadAnswer(f"at {self._address} stands no EvidenceAnchor that answers {function}: {error}") from error
