"""The worker killed with SIGKILL again and again against a real chain: at each step of its life,
before and after it took hold, and at any moment.

No acknowledged entry is lost, and no root is anchored twice: that is counted in the blocks of the
chain, past everything that is tested.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest
from chainworld import ChainWorld, calls, in_child, roots_in, seal
from fakes import When
from real import require_real
from servers.anvil import Node, anvil
from typing_extensions import override

from witnesstree.cli.worker import _pass
from witnesstree.ledger.base.ports import Block, Chain, SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.store.metadata import Metadata, Transaction

STEPS = ("sign", "store", "send", "see mined", "see final", "collect", "keep")
TIMES_EACH = [1, pytest.param(10, marks=pytest.mark.rehearsal)]
"""How often at each step, on either side; three tenths of all kills are at any moment."""


class Death:
    """Kills this process before or after the step that was chosen."""

    def __init__(self, step: str, when: When) -> None:
        self._chosen = (step, when)
        self.noted: list[str] = []

    def come(self, step: str, when: When) -> None:
        if (step, when) == self._chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def around(self, step: str) -> Iterator[None]:
        self.come(step, When.BEFORE)
        yield
        self.come(step, When.AFTER)

    def watch(self, chain: Chain) -> Chain:
        """Return the chain with its steps watched, and watch what is stored from now on.

        Nothing of it is taken back: the process ends with it.
        """
        self._watch_store()
        return _Watched(chain, self)

    def _watch_store(self) -> None:
        original = Metadata.write

        @contextmanager
        def write(metadata: Metadata) -> Iterator[Transaction]:
            with original(metadata) as transaction:
                self.noted.clear()
                yield transaction
                noted = list(self.noted)
                for step in noted:
                    self.come(step, When.BEFORE)
            # Committed, and on disk.
            for step in noted:
                self.come(step, When.AFTER)

        def noting(step: str, call: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **named: (self.noted.append(step), call(*args, **named))[1]

        Metadata.write = write  # type: ignore[method-assign]
        for step, name in (
            ("store", "store_transaction"),
            ("keep", "finish_anchor"),
            ("see mined", "note_attempt"),
        ):
            setattr(Transaction, name, noting(step, getattr(Transaction, name)))


class _Watched(Chain):
    def __init__(self, chain: Chain, death: Death) -> None:
        self._chain, self._death = chain, death

    @property
    @override
    def name(self) -> str:
        return self._chain.name

    @override
    def recent_block(self) -> Block:
        return self._chain.recent_block()

    @override
    def standing(self, root: bytes, transaction: SignedTransaction | None) -> Standing:
        standing = self._chain.standing(root, transaction)
        step = {Standing.UNSETTLED: "see mined", Standing.FINAL: "see final"}.get(standing)
        if step:
            self._death.come(step, When.BEFORE)
        return standing

    @override
    def sign(
        self, roots: Sequence[bytes], replaced: SignedTransaction | None = None
    ) -> SignedTransaction | None:
        with self._death.around("sign"):
            return self._chain.sign(roots, replaced)

    @override
    def send(self, transaction: SignedTransaction) -> None:
        with self._death.around("send"):
            self._chain.send(transaction)

    @override
    def collect(self, root: bytes, transactions: Sequence[SignedTransaction]) -> Anchor | None:
        self._death.come("see final", When.AFTER)
        with self._death.around("collect"):
            return self._chain.collect(root, transactions)


def work(world: ChainWorld, node: Node, death: Death | None, tell: Callable[[Any], object]) -> None:
    """Do what `witnesstree worker` does, a block after each pass, until nothing waits."""
    tell("begun")
    with world.open(death.watch if death else lambda chain: chain) as ledger:
        while _pass(ledger, Event()):
            # With the first two it is in a block, with the next two in a final one.
            node.mine(2)


def killed(world: ChainWorld, node: Node, death: Death | None, moment: float) -> bool:
    """Start a worker, and return whether it was killed: by `death`, or without one after so many
    seconds."""
    child = in_child(partial(work, world, node, death))
    if death is None:
        time.sleep(moment)
        os.kill(child.pid, signal.SIGKILL)
    told, status = child()
    assert status in {0, -signal.SIGKILL}, told
    return status != 0


@pytest.mark.enable_socket
@pytest.mark.real("anvil")
@pytest.mark.parametrize("times", TIMES_EACH)
def test_a_worker_killed_again_and_again_loses_nothing_and_anchors_nothing_twice(
    tmp_path: Path, times: int
) -> None:
    require_real("anvil")
    random = Random(20261123)
    import_module("witnesstree.anchor.evm.bridge")  # web3, before the forks
    deaths = [(step, when) for step, when in product(STEPS, When) for _ in range(times)]
    deaths += [None] * (6 * times)
    random.shuffle(deaths)
    with anvil(tmp_path, "--slots-in-an-epoch", "1") as node:
        node.deploy()
        node.mine(3)
        world = ChainWorld.create(tmp_path / "home", node.url)
        sealed: list[bytes] = []
        longest = 0.5
        while deaths:
            death = deaths[-1]
            with world.open() as ledger:
                sealed += seal(
                    ledger,
                    f"{len(sealed)} before it",
                    batches=random.choice((1, 1, 1, 3)),
                    entries=2,
                )
            if killed(world, node, Death(*death) if death else None, random.uniform(0, longest)):
                deaths.pop()
            else:
                # It was done sooner: the next one has less time.
                assert death is None, death
                longest *= 0.8
            # In half of the rounds, what one killed worker left is what the next one finds.
            if random.random() < 1 / 2:
                assert in_child(partial(work, world, node, None))() == (["begun"], 0)
        assert in_child(partial(work, world, node, None))() == (["begun"], 0)
        assert world.problems(node, sealed) == []
        # Both calls of the contract were met.
        assert {len(roots_in(call)) for call in calls(node)} >= {1, 3}
