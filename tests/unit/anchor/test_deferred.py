"""What the embedded chain needs is imported without the tables of curves that it does not need,
and a contract that asks for them gets what py-evm computes.
"""

import json
import subprocess
import sys

import pytest

# In a process of its own: here others have imported py-evm before.
ASKED = """
import json, sys
import witnesstree.anchor.evm.mining
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES

class Asked:
    def __init__(self, given):
        self.msg, self.output = self, b""
        self.data_as_bytes = self.data = given
    def consume_gas(self, amount, reason):
        pass

spared = "py_ecc.optimized_bls12_381" not in sys.modules
answers = {}
for address, given in json.loads(sys.argv[1]).items():
    asked = Asked(bytes.fromhex(given))
    PRAGUE_PRECOMPILES[bytes.fromhex(address)](asked)
    answers[address] = asked.output.hex()
print(json.dumps([spared, answers]))
"""
ONE_POINT, TWO_POINTS = bytes(128), bytes(256)


def address(number: int) -> str:
    return number.to_bytes(20, "big").hex()


@pytest.mark.parametrize("is_first", [True, False])
def test_the_curve_is_loaded_when_a_contract_asks_and_not_before(is_first: bool) -> None:
    """EIP-2537: the point at infinity is all zeros, adds to itself, and pairs to one."""
    given = {
        address(0x0B): bytes(256),
        address(0x0C): bytes(160),
        address(0x0D): bytes(512),
        address(0x0E): bytes(288),
        address(0x0F): bytes(384),
    }
    before = "" if is_first else "import eth.precompiles\n"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            before + ASKED,
            json.dumps({where: what.hex() for where, what in given.items()}),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    spared, answers = json.loads(done.stdout)
    assert spared is is_first
    assert answers == {
        address(0x0B): ONE_POINT.hex(),
        address(0x0C): ONE_POINT.hex(),
        address(0x0D): TWO_POINTS.hex(),
        address(0x0E): TWO_POINTS.hex(),
        address(0x0F): (1).to_bytes(32, "big").hex(),
    }
