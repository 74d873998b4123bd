"""geth as a chain of its own (`--dev`), on a free port of 127.0.0.1."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from real import require_real
from servers.anvil import Node, started, stop

CHAIN_ID = 1337
# The CREATE2 deployer's own transaction, signed by no known key, and its payer:
# https://github.com/Arachnid/deterministic-deployment-proxy
DEPLOYER_PAYER = "0x3fab184622dc19b6109349b94811493bf2a45362"
DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
DEPLOYER_TRANSACTION = (
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035"
    "828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222"
    "222222222222222222222222222222"
)


class GethNode(Node):
    """geth puts each transaction into a block of its own, at once; `finalized` goes forward in
    steps of 32 blocks."""

    @contextmanager
    def awaiting_block(self) -> Iterator[None]:
        """Wait for the block that what is done here makes."""
        before = self.newest()
        yield
        _await(lambda: self.newest() > before)

    def mine(self, blocks: int = 1) -> None:
        for i in range(blocks):
            with self.awaiting_block():
                self._withdraw(i)

    def _withdraw(self, index: int) -> None:
        """Have a block made; geth puts withdrawals into blocks as it does transactions."""
        self.ask(
            "dev_addWithdrawal",
            {
                "index": hex(index),
                "validatorIndex": "0x0",
                "address": "0x" + "00" * 20,
                "amount": "0x1",
            },
        )

    def wake(self) -> None:
        """Wait until blocks are made: what comes before that, just after the door has opened, is
        overheard."""
        _await(self._has_woken, pause=0.1)

    def _has_woken(self) -> bool:
        self._withdraw(0)
        return self.newest() > 0

    def carry_out(self, method: str, *params: object) -> str:
        """Send a transaction, wait until a block has it, and return its hash."""
        hash_ = str(self.ask(method, *params))
        _await(
            lambda: (
                (self.ask("eth_getTransactionByHash", hash_) or {}).get("blockNumber") is not None
            )
        )
        return hash_

    def send(self, account: int = 0, **members: Any) -> str:
        return self.carry_out(
            "eth_sendTransaction", {"from": self.ask("eth_accounts")[account], **members}
        )

    def give(self, address: str, ether: int = 1) -> None:
        """Give an account some ether, and wait until the pool knows: it hears of a block a little
        later than others."""
        self.send(to=address, value=hex(ether * 10**18))
        _await(lambda: int(self.ask("txpool_status")["pending"], 16) == 0)

    def deploy_deployer(self) -> None:
        """Put the CREATE2 deployer where it stands on public chains."""
        self.give(DEPLOYER_PAYER)
        _await(self._takes_deployer, pause=0.05)
        _await(lambda: len(self.ask("eth_getCode", DEPLOYER, "latest")) > 2)

    def _takes_deployer(self) -> bool:
        """Whether the pool takes the deployer's transaction: a block that is there already may be
        news to it, and with it what the payer holds."""
        try:
            self.ask("eth_sendRawTransaction", DEPLOYER_TRANSACTION)
        except RuntimeError as error:
            if "insufficient funds" in str(error):
                return False
            raise
        return True


def _await(is_done: Callable[[], bool], pause: float = 0.005) -> None:
    end = time.monotonic() + 30
    while not is_done():
        assert time.monotonic() < end, "geth makes no blocks"
        time.sleep(pause)


@contextmanager
def geth(folder: Path) -> Iterator[GethNode]:
    """Run geth for a block.

    It starts with one account that has money, and without the CREATE2 deployer.
    """
    program = require_real("geth")
    log = folder / "geth.log"
    home = [
        "--dev",
        "--datadir",
        str(folder / "geth"),
        "--ipcdisable",
        "--nodiscover",
        "--port",
        "0",
        "--authrpc.port",
        "0",
    ]
    door = [
        "--http",
        "--http.addr",
        "127.0.0.1",
        "--http.port",
        "0",
        "--http.api",
        "eth,net,web3,debug,txpool,dev",
        "--rpc.allow-unprotected-txs",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, *home, *door], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            node = GethNode(f"http://{started(process, log, 'endpoint=')}", process)
            node.wake()
            yield node
        finally:
            stop(process)
