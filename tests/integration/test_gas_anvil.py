"""What anchoring costs, measured on anvil (prague) with the calldata that is really sent, and
compared with the snapshot.

Run with UPDATE_GAS_SNAPSHOT=1 to write the snapshot anew.
"""

import json
import os
from itertools import count
from pathlib import Path

import pytest
from servers.anvil import Node, anvil

from witnesstree.anchor.evm.contract import anchoring_calldata, deployment_calldata
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS

SNAPSHOT = Path(__file__).parents[2] / "hardhat-config/gas-snapshot-anvil.json"
BOUNDS = {1: 46_000, 10: 10 * 27_000, 100: 100 * 25_000, 200: 200 * 25_000}
"""Gas that so many roots may take in one transaction."""


def dear_roots(many: int, seed: str) -> list[bytes]:
    """Return roots without zero bytes, which are cheaper to send: the dearest case, and the same
    each time."""
    found = (keccak256(f"{seed} {i}".encode()) for i in count())
    return [
        root
        for _, root in zip(range(many), (root for root in found if 0 not in root), strict=False)
    ]


def gas_of(node: Node, to: bytes, calldata: bytes) -> int:
    transaction = node.send(0, to="0x" + to.hex(), data="0x" + calldata.hex(), gas=hex(16_000_000))
    node.mine()
    receipt = node.ask("eth_getTransactionReceipt", transaction)
    assert receipt["status"] == "0x1"
    return int(receipt["gasUsed"], 16)


@pytest.mark.enable_socket
@pytest.mark.real("anvil")
def test_gas_is_within_its_bounds_and_as_the_snapshot_says(tmp_path: Path) -> None:
    with anvil(tmp_path) as node:
        deployer = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
        measured = {
            "deployment through the CREATE2 deployer": gas_of(node, deployer, deployment_calldata())
        }
        for many, bound in BOUNDS.items():
            roots = dear_roots(many, f"{many} roots")
            gas = gas_of(node, CONTRACT_ADDRESS, anchoring_calldata(roots))
            assert gas <= bound
            measured[f"{many} new root{'s' * (many > 1)}"] = gas
            if many == 1:
                measured["1 known root"] = gas_of(node, CONTRACT_ADDRESS, anchoring_calldata(roots))
    if os.environ.get("UPDATE_GAS_SNAPSHOT") == "1":
        SNAPSHOT.write_text(json.dumps(measured, indent=2) + "\n")
    assert measured == json.loads(SNAPSHOT.read_text()), (
        "if it was meant to change, run this test with UPDATE_GAS_SNAPSHOT=1"
    )
