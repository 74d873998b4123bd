"""anvil, Foundry's Ethereum node for development, on a free port of 127.0.0.1."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eth_account import Account
from real import require_real

from witnesstree.anchor.evm.contract import artefact, deployment_calldata

# The accounts of the mnemonic "test test … junk", which every anvil gives 10,000 ether.
KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
)
CHAIN_ID = 31_337
START_SECONDS = 30.0


class KeySigner:
    """Signs with a key that everybody knows: for development chains only."""

    def __init__(self, key: str = KEYS[0]) -> None:
        self._account = Account.from_key(key)
        self.address = bytes.fromhex(self._account.address[2:])

    def sign(self, transaction: dict[str, Any]) -> bytes:
        return bytes(self._account.sign_transaction(transaction).raw_transaction)


class Node:
    """A running node.

    `ask` is a JSON-RPC client of its own, so that tests do not ask through what they test.
    """

    def __init__(self, url: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.url = url
        self.process = process

    def ask(self, method: str, *params: object) -> Any:
        content = json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        ).encode()
        request = urllib.request.Request(self.url, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            members = json.loads(answer.read())
        if "error" in members:
            raise RuntimeError(f"{method}: {members['error']}")
        return members["result"]

    def mine(self, blocks: int = 1) -> None:
        self.ask("anvil_mine", hex(blocks))

    def newest(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def send(self, account: int = 1, **members: Any) -> str:
        """Send a transaction from an unlocked account, and return its hash."""
        sender = self.ask("eth_accounts")[account]
        return str(self.ask("eth_sendTransaction", {"from": sender, **members}))

    def settle(self, hash_: str) -> None:
        """Wait until a block has the transaction: also a node that makes a block for each says its
        hash before that."""
        end = time.monotonic() + START_SECONDS
        while self.ask("eth_getTransactionReceipt", hash_) is None:
            assert time.monotonic() < end, "no block has the transaction"
            time.sleep(0.01)

    def deploy(self, account: int = 1) -> str:
        """Put the contract at its one address, and return the transaction's hash."""
        return self.send(
            account,
            to="0x" + artefact().deployer.hex(),
            data="0x" + deployment_calldata().hex(),
            gas=hex(2_000_000),
        )


def started(process: "subprocess.Popen[bytes]", log: Path, mark: str) -> str:
    """Return what stands in `log` behind `mark` up to the next white space, once it is there."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        text = log.read_text(errors="replace")
        if mark in text and text[text.rindex(mark) :].split()[0] != text[text.rindex(mark) :]:
            return text[text.rindex(mark) + len(mark) :].split()[0]
        time.sleep(0.02)
    raise RuntimeError(f"it did not start: {log.read_text(errors='replace')[-2000:]}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def anvil(folder: Path, *options: str, port: int = 0) -> Iterator[Node]:
    """Run anvil for a block.

    Transactions wait until `mine`; `finalized` is 64 blocks behind the newest one, as on Ethereum.
    """
    program = require_real("anvil")
    log = folder / "anvil.log"
    command = [
        program,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-mining",
        "--hardfork",
        "prague",
        *options,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            yield Node(f"http://{started(process, log, 'Listening on ')}", process)
        finally:
            stop(process)


PASSWORD = "a password for tests"


def make_payer(folder: Path, node: Node) -> None:
    """Write a keystore as `cast wallet import` does, and give its account some ether as a faucet
    does."""
    account = Account.create()
    (folder / "payer").write_text(
        json.dumps(Account.encrypt(account.key, PASSWORD, kdf="pbkdf2", iterations=1000))
    )
    (folder / "payer").chmod(0o600)
    node.ask("anvil_setBalance", account.address, hex(10**18))
