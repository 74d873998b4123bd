"""A ledger and its outbox against a real chain that is reorganised, forgets, grows dear, vanishes
and lies, and against others who do the same work.

Whatever happens, no batch is lost, no root is carried by a second transaction, and no proof names a
block that is not final: `problems` looks for all of it in the chain's own blocks. An alarm stands
where one is due, and is gone when it is over.
"""

import gzip
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from random import Random
from threading import Event
from time import sleep
from typing import Any

import pytest
from chainworld import (
    ChainWorld,
    alarms,
    anchor_jobs,
    calls,
    finish,
    in_child,
    now,
    roots_in,
    seal,
    wrongly_anchored,
)
from servers.anvil import Node, anvil
from typing_extensions import override

from witnesstree.anchor.evm.contract import anchoring_calldata
from witnesstree.cli.worker import _pass
from witnesstree.ledger.base.errors import BadAnswer, Unreachable
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS
from witnesstree.ledger.work.outbox import Pace
from witnesstree.ledger.work.sealing import Ledger

pytestmark = [pytest.mark.enable_socket, pytest.mark.real("anvil")]

GWEI = 10**9
CONTRACT = "0x" + CONTRACT_ADDRESS.hex()
QUICK_FINALITY = ("--slots-in-an-epoch", "1")
"""Blocks are final once two more stand on them."""


class Ahead:
    """The time, and as much more as was asked for: what waits need not be waited for."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return now() + self.by

    def tick(self, seconds: float) -> None:
        self.by += timedelta(seconds=seconds)


@contextmanager
def chain(folder: Path, *options: str) -> Iterator[Node]:
    with anvil(folder, *options) as node:
        node.deploy()
        node.mine(70)
        yield node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with chain(tmp_path, *QUICK_FINALITY) as running:
        yield running


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
def world(tmp_path: Path, node: Node, clock: Ahead) -> ChainWorld:
    return ChainWorld.create(tmp_path / "home", node.url, clock=clock)


def pool(node: Node) -> int:
    return int(node.ask("txpool_status")["pending"], 16)


def price(node: Node, base: int) -> None:
    """Let the chain ask so much for one gas from now on; a block is made."""
    node.ask("anvil_setNextBlockBaseFeePerGas", hex(base))
    node.mine()


def transactions(ledger: Ledger) -> list[bytes]:
    """Return the hashes of all that was ever signed."""
    with ledger.metadata.read() as transaction:
        return [each.transaction.hash for each in transaction.transactions("anvil")]


# Reorganisations


@pytest.mark.parametrize("confirmations", [0, 1, 2, 40, 63])
def test_reorganised_to_a_depth_of_64(tmp_path: Path, confirmations: int) -> None:
    with chain(tmp_path) as node:
        world = ChainWorld.create(tmp_path / "home", node.url)
        with world.open() as ledger:
            sealed = seal(ledger, "before", batches=2)
            ledger.outbox.work()
            for _ in range(confirmations):
                node.mine()
                ledger.outbox.work()
            assert len(calls(node)) == bool(confirmations)
            node.ask("anvil_reorg", 64, [])
            assert calls(node) == []
            assert ledger.proof(sealed[0]).anchors == ()
            ledger.outbox.work()
            sealed += seal(ledger, "after")
            ledger.outbox.work()
            node.mine()
            ledger.outbox.work()
            node.mine(64)
            ledger.outbox.work()
            node.mine(64)
            assert ledger.outbox.work() == []
            assert alarms(ledger) == {}
            assert len(transactions(ledger)) == 2
        assert world.problems(node, sealed) == []


def test_reorganised_again_and_again(tmp_path: Path) -> None:
    random = Random(64)
    with chain(tmp_path) as node:
        world = ChainWorld.create(tmp_path / "home", node.url)
        with world.open() as ledger:
            sealed = []
            for number in range(8):
                sealed += seal(ledger, f"round {number}")
                ledger.outbox.work()
                node.mine(random.randrange(3))
                ledger.outbox.work()
                node.ask("anvil_reorg", random.randrange(1, 65), [])
                ledger.outbox.work()
                assert all(ledger.proof(digest).anchors == () for digest in sealed)
            node.mine()
            ledger.outbox.work()
            node.mine(65)
            finish(ledger, node, 80)
        assert world.problems(node, sealed) == []


# Pools and fees


def test_dropped_from_the_pool(node: Node, world: ChainWorld) -> None:
    with world.open() as ledger:
        sealed = seal(ledger, "dropped", batches=3)
        ledger.outbox.work()
        [sent] = transactions(ledger)
        for _ in range(3):
            node.ask("anvil_dropTransaction", "0x" + sent.hex())
            node.mine()
            assert (pool(node), calls(node)) == (0, [])
            ledger.outbox.work()
            assert pool(node) == 1
        finish(ledger, node)
        assert transactions(ledger) == [sent]
        assert alarms(ledger) == {}
    assert world.problems(node, sealed) == []


def test_above_the_cap_nothing_is_signed_until_it_is_cheaper(node: Node, world: ChainWorld) -> None:
    world = world.but(chain={"fee_cap": 10, "tip": 1})
    price(node, 50 * GWEI)
    with world.open() as ledger:
        sealed = seal(ledger, "dear", batches=2)
        for _ in range(3):
            ledger.outbox.work()
            assert "the cap is 10 gwei" in str(alarms(ledger)["unaffordable"].text)
            assert transactions(ledger) == []
        price(node, GWEI)
        ledger.outbox.work()
        assert alarms(ledger) == {}
        finish(ledger, node)
    assert world.problems(node, sealed) == []


def test_the_fee_rises_fiftyfold_below_the_cap(node: Node, world: ChainWorld, clock: Ahead) -> None:
    world = world.but(chain={"fee_cap": 200, "tip": 1})
    price(node, GWEI)
    with world.open() as ledger:
        sealed = seal(ledger, "rising", batches=2)
        ledger.outbox.work()
        price(node, 50 * GWEI)
        # The pool has thrown it out, and takes it no more: it offers too little. That may pass.
        assert pool(node) == 0
        ledger.outbox.work()
        assert (pool(node), len(transactions(ledger)), alarms(ledger)) == (0, 1, {})
        clock.tick(180)
        ledger.outbox.work()
        assert (pool(node), len(transactions(ledger)), alarms(ledger)) == (1, 2, {})
        price(node, 50 * GWEI)
        finish(ledger, node)
    # The two have one nonce: one of them is in a block.
    assert world.problems(node, sealed) == []


def test_the_fee_rises_fiftyfold_above_the_cap_and_falls(
    node: Node, world: ChainWorld, clock: Ahead
) -> None:
    world = world.but(chain={"fee_cap": 10, "tip": 1})
    price(node, GWEI)
    with world.open() as ledger:
        sealed = seal(ledger, "too dear")
        ledger.outbox.work()
        price(node, 50 * GWEI)
        clock.tick(180)
        for _ in range(2):
            ledger.outbox.work()
            assert "the cap is 10 gwei" in str(alarms(ledger)["unaffordable"].text)
        price(node, GWEI)
        assert calls(node) == []
        ledger.outbox.work()
        assert alarms(ledger) == {}
        finish(ledger, node)
        assert len(transactions(ledger)) == 1
    assert world.problems(node, sealed) == []


# A node that goes away


@pytest.mark.parametrize("is_mined", [False, True])
def test_a_node_killed_for_a_minute(
    tmp_path: Path, node: Node, clock: Ahead, is_mined: bool
) -> None:
    pace = Pace(patience=30, deadline=timedelta(seconds=30))
    world = ChainWorld.create(tmp_path / "home", node.url, clock=clock, pace=pace)
    state = tmp_path / "state.json"
    with world.open() as ledger:
        sealed = seal(ledger, "before")
        ledger.outbox.work()
        if is_mined:
            node.mine()
        state.write_bytes(gzip.decompress(bytes.fromhex(node.ask("anvil_dumpState")[2:])))
        assert node.process
        node.process.kill()
        node.process.wait()
        sealed += seal(ledger, "while it is away")
        for _ in range(12):
            ledger.outbox.work(due_only=True)
            clock.tick(5)
        # That nobody answers is no alarm at once: it is one when a batch is late.
        assert alarms(ledger) == {}
        assert {(job.sequence, job.kind.value) for job in ledger.outbox.late()} == {
            (0, "anchor"),
            (1, "anchor"),
        }
        # Asked less and less often, not twelve times.
        assert {1 < job.attempts < 8 for job in anchor_jobs(ledger)} == {True}
        assert all("cannot be reached" in str(job.last_error) for job in anchor_jobs(ledger))
        (tmp_path / "again").mkdir()
        port = int(node.url.rpartition(":")[2])
        with anvil(
            tmp_path / "again", *QUICK_FINALITY, "--load-state", str(state), port=port
        ) as again:
            # What waited in its pool, it has forgotten.
            assert (pool(again), len(calls(again))) == (0, is_mined)
            for _ in range(20):
                clock.tick(60)
                if not ledger.outbox.work(due_only=True):
                    break
                again.mine()
            assert ledger.outbox.late() == []
            assert world.problems(again, sealed) == []


# Others who work


def worker(world: ChainWorld, seed: int, tell: Callable[[Any], object]) -> None:
    """Do what `witnesstree worker` does until nothing has waited for some time."""
    random, idle = Random(seed), 0
    with world.open() as ledger:
        while idle < 20:
            idle = 0 if _pass(ledger, Event()) else idle + 1
            sleep(random.uniform(0, 0.05))
    tell("done")


def test_two_workers_on_one_home(node: Node, world: ChainWorld) -> None:
    import_module("witnesstree.anchor.evm.bridge")  # web3, before the forks
    world = world.but(clock=now)
    sealed = []
    with world.open() as ledger:
        sealed += seal(ledger, "before")
    workers = [in_child(partial(worker, world, seed)) for seed in (1, 2)]
    for number in range(20):
        with world.open() as ledger:
            sealed += seal(ledger, f"round {number}")
        node.mine()
    waits = True
    while waits:
        node.mine()
        with world.open() as ledger:
            waits = bool(ledger.outbox.unfinished())
    assert [ended() for ended in workers] == [(["done"], 0)] * 2
    assert world.problems(node, sealed) == []


def ledger_of_its_own(world: ChainWorld, tell: Callable[[Any], object]) -> None:
    """Seal 20 batches and work them off."""
    with world.open() as ledger:
        for number in range(20):
            tell([digest.hex() for digest in seal(ledger, f"{world.home.origin}, {number}")])
            _pass(ledger, Event())
        while _pass(ledger, Event()):
            sleep(0.02)


def test_two_ledgers_on_one_key(tmp_path: Path, node: Node) -> None:
    import_module("witnesstree.anchor.evm.bridge")
    worlds = [ChainWorld.create(tmp_path / name, node.url) for name in ("one", "two")]
    children = [in_child(partial(ledger_of_its_own, world)) for world in worlds]
    is_over = Event()

    def mine() -> None:
        while not is_over.wait(0.03):
            node.mine()

    # After the forks: a child would have no such thread.
    miner = threading.Thread(target=mine)
    miner.start()
    try:
        told = [ended() for ended in children]
    finally:
        is_over.set()
        miner.join()
    for world, (parts, status) in zip(worlds, told, strict=True):
        assert status == 0
        sealed = [bytes.fromhex(digest) for part in parts for digest in part]
        assert len(sealed) == 20
        assert world.problems(node, sealed) == []
        with world.open() as ledger:
            assert alarms(ledger) == {}


def test_another_program_uses_the_key(node: Node, world: ChainWorld) -> None:
    """Its transaction takes the nonce of ours, which the pool has lost."""
    with world.open() as ledger:
        sealed = seal(ledger, "ours", batches=2)
        ledger.outbox.work()
        [sent] = transactions(ledger)
        node.ask("anvil_dropTransaction", "0x" + sent.hex())
        node.send(account=0, to="0x" + "11" * 20, value="0x1", gasPrice=hex(100 * GWEI))
        ledger.outbox.work()
        assert "another transaction has taken the nonce" in str(anchor_jobs(ledger)[0].last_error)
        node.mine()
        for _ in range(2):
            ledger.outbox.work()
            # Not final yet: a reorganisation may give the nonce back.
            assert (transactions(ledger), alarms(ledger)) == ([sent], {})
            node.mine()
        ledger.outbox.work()
        assert "nonce 0 of 0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266 anchored nothing" in str(
            alarms(ledger)["lost"].text
        )
        assert len(transactions(ledger)) == 2
        finish(ledger, node)
        assert alarms(ledger) == {}
    assert world.problems(node, sealed) == []


def test_a_transaction_that_failed_in_its_block(node: Node, world: ChainWorld) -> None:
    """It has paid and anchored nothing: its root is signed anew once that is final.

    Here the contract is broken for one block.
    """
    with world.open() as ledger:
        [digest] = seal(ledger, "reverted")
        ledger.outbox.work()
        code = node.ask("eth_getCode", CONTRACT, "latest")
        node.ask("anvil_setCode", CONTRACT, "0x60006000fd")
        node.mine()
        node.ask("anvil_setCode", CONTRACT, code)
        node.mine()
        ledger.outbox.work()
        assert (len(calls(node)), len(transactions(ledger)), alarms(ledger)) == (1, 1, {})
        node.mine()
        ledger.outbox.work()
        assert "or the transaction failed" in str(alarms(ledger)["lost"].text)
        finish(ledger, node)
        assert alarms(ledger) == {}
        [anchor] = ledger.proof(digest).anchors
        first, second = transactions(ledger)
        assert anchor.transaction == second
    # It did not succeed, so that one does not count; nothing else is wrong.
    assert [problem.partition(": ")[2] for problem in world.problems(node, [digest])] == [
        "1 events, 2 transactions"
    ]
    assert node.ask("eth_getTransactionReceipt", "0x" + first.hex())["status"] == "0x0"


# Endpoints that lie


class Liar:
    """Stands before a node and hands on what it says, changed by `lie`."""

    def __init__(self, node: Node) -> None:
        self.lie: Callable[[str, bytes], bytes | None] | None = None
        self.sent = 0
        liar = self

        class Answering(BaseHTTPRequestHandler):
            @override
            def log_message(self, *_: object) -> None: ...

            def do_POST(self) -> None:
                question = self.rfile.read(int(self.headers["Content-Length"]))
                request = urllib.request.Request(
                    node.url, question, {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=30) as heard:
                    answer: bytes | None = heard.read()
                assert answer is not None
                if liar.lie:
                    answer = liar.lie(json.loads(question)["method"], answer)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(2**30 if answer is None else len(answer)))
                self.end_headers()
                with suppress(ConnectionError):
                    for _ in range(2**10 if answer is None else 1):
                        self.wfile.write(b" " * 2**20 if answer is None else answer)
                        liar.sent += 2**20 if answer is None else len(answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def _forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distrust an endpoint no longer than it lies, where it is ten minutes longer."""
    monkeypatch.setattr("witnesstree.anchor.evm.rpc.PAUSE", {BadAnswer: 0.0, Unreachable: 0.0})


@pytest.fixture
def liar(node: Node) -> Iterator[Liar]:
    with closing(Liar(node)) as standing_before:
        yield standing_before


def changed(method: str, answer: bytes, of: str, change: Callable[[Any], Any]) -> bytes:
    """Return the answer with its result changed, if it is one to `of`."""
    members = json.loads(answer)
    if method == of and members.get("result") is not None:
        members["result"] = change(members["result"])
    return json.dumps(members).encode()


def wrong_hash(method: str, answer: bytes) -> bytes:
    return changed(
        method, answer, "eth_getBlockByNumber", lambda block: {**block, "hash": "0x" + "ab" * 32}
    )


def wrong_chain(method: str, answer: bytes) -> bytes:
    return changed(method, answer, "eth_chainId", lambda _: "0x1")


def wrong_record(method: str, answer: bytes) -> bytes:
    """Say that the contract has every root, since its first block."""
    return changed(method, answer, "eth_call", lambda _: "0x" + f"{1:064x}{1:064x}{1:064x}")


def wrong_nonce(method: str, answer: bytes) -> bytes:
    """Say that the account has used a hundred numbers: what was sent would be lost."""
    return changed(method, answer, "eth_getTransactionCount", lambda _: hex(100))


def truncated(method: str, answer: bytes) -> bytes:
    return answer[: len(answer) // 2]


def endless(method: str, answer: bytes) -> None:
    return None


LIES = [wrong_hash, wrong_chain, wrong_record, truncated, endless]


def mended(ledger: Ledger, node: Node, liar: Liar) -> None:
    """Require an alarm that names the liar; let it tell the truth again, finish, and require that
    the alarm is gone."""
    assert list(alarms(ledger)) == ["bad-answer"]
    assert liar.url.removeprefix("http://") in str(alarms(ledger)["bad-answer"].text)
    liar.lie = None
    finish(ledger, node)
    assert alarms(ledger) == {}


@pytest.mark.usefixtures("_forgiving")
@pytest.mark.parametrize("lie", LIES)
def test_the_only_endpoint_lies_before_anything_is_sent(
    node: Node, world: ChainWorld, liar: Liar, lie: Callable[[str, bytes], bytes | None]
) -> None:
    world = world.but(urls=(liar.url,))
    liar.lie = lie
    with world.open() as ledger:
        # Entries are taken all the same.
        sealed = seal(ledger, "while it lies", batches=2)
        for _ in range(4):
            ledger.outbox.work()
            assert all(ledger.proof(digest).anchors == () for digest in sealed)
            node.mine()
        mended(ledger, node, liar)
    assert liar.sent < 2**28
    assert world.problems(node, sealed) == []


@pytest.mark.usefixtures("_forgiving")
@pytest.mark.parametrize("lie", [lie for lie in LIES if lie is not wrong_record])
def test_the_only_endpoint_lies_of_what_is_final(
    node: Node, world: ChainWorld, liar: Liar, lie: Callable[[str, bytes], bytes | None]
) -> None:
    world = world.but(urls=(liar.url,))
    with world.open() as ledger:
        sealed = seal(ledger, "before it lies")
        ledger.outbox.work()
        node.mine(3)
    liar.lie = lie
    with world.open() as ledger:
        ledger.outbox.work()
        assert ledger.proof(sealed[0]).anchors == ()
        mended(ledger, node, liar)
    assert world.problems(node, sealed) == []


@pytest.mark.usefixtures("_forgiving")
def test_an_endpoint_says_that_a_transaction_is_lost(
    node: Node, world: ChainWorld, liar: Liar
) -> None:
    """Signed anew, its root would be paid for twice."""
    world = world.but(urls=(liar.url, node.url))
    with world.open() as ledger:
        sealed = seal(ledger, "ours")
        ledger.outbox.work()
        liar.lie = wrong_nonce
        for _ in range(3):
            ledger.outbox.work()
            assert len(transactions(ledger)) == 1
            assert list(alarms(ledger)) == ["bad-answer"]
        liar.lie = None
        finish(ledger, node)
        assert alarms(ledger) == {}
    assert world.problems(node, sealed) == []


@pytest.mark.parametrize("lie", LIES)
def test_one_of_two_endpoints_lies(
    node: Node, world: ChainWorld, liar: Liar, lie: Callable[[str, bytes], bytes | None]
) -> None:
    world = world.but(urls=(liar.url, node.url))
    liar.lie = lie
    with world.open() as ledger:
        sealed = seal(ledger, "beside a liar", batches=2)
        finish(ledger, node)
        # The other one answered in its place, but a person should know.
        assert list(alarms(ledger)) == ["endpoint"]
        assert liar.url in str(alarms(ledger)["endpoint"].text)
    liar.lie = None
    with world.open() as ledger:
        sealed += seal(ledger, "beside one that was a liar")
        finish(ledger, node)
        assert alarms(ledger) == {}
    assert liar.sent < 2**28
    assert world.problems(node, sealed) == []


def test_one_of_two_endpoints_is_down(tmp_path: Path, node: Node, world: ChainWorld) -> None:
    (tmp_path / "other").mkdir()
    with anvil(tmp_path / "other") as other:
        world = world.but(urls=(other.url, node.url))
    with world.open() as ledger:
        sealed = seal(ledger, "beside one that is down", batches=2)
        finish(ledger, node)
        assert list(alarms(ledger)) == ["endpoint"]
        assert f"{other.url} cannot be reached" in str(alarms(ledger)["endpoint"].text)
    assert world.problems(node, sealed) == []


# What tells that all of this is found


def test_a_root_that_two_transactions_carry_is_found(node: Node) -> None:
    call, root = anchoring_calldata([bytes(range(32))]), bytes(range(32))
    assert roots_in(call) == [root]
    for _ in range(2):
        node.send(to=CONTRACT, data="0x" + call.hex())
        node.mine()
    assert wrongly_anchored(node, [root]) == [f"0x{root.hex()}: 1 events, 2 transactions"]
    assert wrongly_anchored(node, [bytes(32)]) == [f"0x{bytes(32).hex()}: 0 events, 0 transactions"]
