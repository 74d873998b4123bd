"""A ledger with a real store and a real chain; and what that chain shows of its roots, asked for
past what is tested."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from traceback import print_exc
from typing import Any

from fakes import FakeAuthority, digests
from servers.anvil import CHAIN_ID, KeySigner, Node
from servers.stub import ANCHORED

from witnesstree.anchor.evm.contract import anchoring_calldata
from witnesstree.anchor.evm.node import NodeChain
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.ports import Chain
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.database.values import Alarm, Job, JobKind
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import Home, create_home, open_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.trust import Trust, TrustedBlock
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.outbox import Pace, Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits

ANVIL = "anvil"
ROOT = 32
AT_ONCE = Pace(patience=30, first_retry=timedelta(0), poll=timedelta(0))
LIMITS = Limits(entries=1000, age=timedelta(hours=1), patience=30)


def now() -> datetime:
    return datetime.now(UTC)


def in_child(
    work: Callable[[Callable[[Any], object]], None],
) -> Callable[[], tuple[list[Any], int]]:
    """Start `work` in a child process, with a function that tells the parent something; the result
    waits for its end.

    It returns what was told, and the child's exit status: minus the signal, if one ended it. `pid`
    is on it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            # It ends without ado, so nothing of it could be measured for coverage.
            sys.settrace(None)
            work(lambda told: os.write(writing, json.dumps(told).encode() + b"\n"))
            status = 0
        except BaseException:  # noqa: BLE001 - it is told to whoever looks at the test
            print_exc()
        finally:
            os._exit(status)
    os.close(writing)

    def ended() -> tuple[list[Any], int]:
        with os.fdopen(reading, "rb") as pipe:
            told = [json.loads(line) for line in pipe]
        return told, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    ended.pid = child  # type: ignore[attr-defined]
    return ended


@dataclass(frozen=True, slots=True)
class ChainWorld:
    """A home whose chain are the nodes at `urls`.

    A failed job may be tried again at once, and a transaction is looked after at once.
    """

    home: Home
    authority: FakeAuthority
    urls: tuple[str, ...]
    clock: Callable[[], datetime] = now
    pace: Pace = AT_ONCE
    limits: Limits = LIMITS
    chain: dict[str, Any] | None = None

    @classmethod
    def create(
        cls, folder: Path, *urls: str, clock: Callable[[], datetime] = now, **others: Any
    ) -> "ChainWorld":
        home = create_home(folder, f"ledger.test/{folder.name}", lambda _home: None)
        return cls(home, FakeAuthority("fake-authority", clock), urls, clock, **others)

    def settings(self) -> ChainSettings:
        return ChainSettings(
            **{"chain_id": CHAIN_ID, "urls": self.urls, "timeout": 5, **(self.chain or {})}
        )

    @contextmanager
    def open(
        self, wrapped: Callable[[Chain], Chain] = lambda chain: chain, **others: Any
    ) -> Iterator[Ledger]:
        """Open the ledger as a new process would, with its chain `wrapped` in something."""
        home = open_home(self.home.folder)
        with ExitStack() as stack:
            metadata = stack.enter_context(
                closing(Metadata.open(home.database, self.limits.patience))
            )
            chain = stack.enter_context(
                closing(NodeChain(ANVIL, self.settings(), KeySigner(), self.clock))
            )
            yield Ledger(
                home,
                metadata=metadata,
                key=home.private_key(),
                files=BatchFiles(Folder(home.batches)),
                witnesses=Witnesses(
                    {self.authority.name: self.authority}, {ANVIL: wrapped(chain)}, {}
                ),
                clock=self.clock,
                limits=self.limits,
                pace=self.pace,
                **others,
            )

    def but(self, **others: Any) -> "ChainWorld":
        return replace(self, **others)

    # What it shows

    def problems(self, node: Node, sealed: Sequence[bytes]) -> list[str]:
        """Return all that is wrong once everything is done: an entry lost, a proof that does not
        verify, a root anchored other than once."""
        with self.open() as ledger, ledger.metadata.read() as transaction:
            batches = list(transaction.batches())
            tokens = Counter(len(transaction.tokens(batch.sequence)) for batch in batches)
            anchors = Counter(len(transaction.anchors(batch.sequence)) for batch in batches)
            waiting = transaction.unfinished_jobs()
            found = [f"waits: {job}" for job in waiting]
            found += [
                f"fsck: {problem}"
                for problem in check_ledger(ledger, Trust((self.authority.root,)))
            ]
            found += self._unproven(ledger, node, sealed)
        found += [
            f"{what} of some batch: {counts}"
            for what, counts in (("tokens", tokens), ("anchors", anchors))
            if set(counts) != {1}
        ]
        return found + wrongly_anchored(node, [batch.root for batch in batches])

    def _unproven(self, ledger: Ledger, node: Node, sealed: Sequence[bytes]) -> list[str]:
        """Check each digest with block hashes that are looked up at the node by number, as a person
        looks them up at an explorer."""
        found, blocks = [], {}
        final = int(node.ask("eth_getBlockByNumber", "finalized", False)["number"], 16)
        for digest in sealed:
            if len(list(ledger.entries(digest))) != 1:
                found.append(f"{digest.hex()} has not one entry")
                continue
            proof = ledger.proof(digest)
            for number in {anchor.block_number for anchor in proof.anchors} - set(blocks):
                blocks[number] = bytes.fromhex(
                    node.ask("eth_getBlockByNumber", hex(number), False)["hash"][2:]
                )
            found += [
                f"{digest.hex()} names block {anchor.block_number}, final is {final}"
                for anchor in proof.anchors
                if anchor.block_number > final
            ]
            pinned = tuple(
                TrustedBlock(hash_, "looked up", CHAIN_ID, number)
                for number, hash_ in blocks.items()
            )
            trust = Trust((self.authority.root,), pinned, (self.home.verifier_key(),))
            report = verify(digest, format_proof(proof), trust, now())
            found += [
                f"{digest.hex()}: {check.name} {check.outcome}: {check.reason}"
                for check in report.checks
                if not report.is_verified
            ]
        return found


def wrongly_anchored(node: Node, roots: Sequence[bytes]) -> list[str]:
    """Return each of `roots` that not exactly one event and one transaction of the whole chain is
    about."""
    logs = node.ask(
        "eth_getLogs",
        {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "address": "0x" + CONTRACT_ADDRESS.hex(),
            "topics": [_hex(ANCHORED)],
        },
    )
    events = Counter(log["topics"][1] for log in logs)
    carried: Counter[str] = Counter()
    for call in calls(node):
        carried.update(_hex(root) for root in roots_in(call))
    return [
        f"{_hex(root)}: {events[_hex(root)]} events, {carried[_hex(root)]} transactions"
        for root in roots
        if (events[_hex(root)], carried[_hex(root)]) != (1, 1)
    ]


def calls(node: Node) -> list[bytes]:
    """Return the calldata of every transaction to the contract, in all blocks."""
    found = []
    for number in range(node.newest() + 1):
        block = node.ask("eth_getBlockByNumber", hex(number), True)
        found += [
            bytes.fromhex(each["input"][2:])
            for each in block["transactions"]
            if each["to"] == "0x" + CONTRACT_ADDRESS.hex()
        ]
    return found


def roots_in(call: bytes) -> list[bytes]:
    """Return the roots that a call of `anchor` or `anchorAll` names; of the second the list begins
    after its offset and its length."""
    words = [call[i : i + ROOT] for i in range(4, len(call), ROOT)]
    roots = words if len(words) == 1 else words[2:]
    assert call == anchoring_calldata(roots)
    return roots


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


# What tests do with a ledger


def seal(ledger: Ledger, label: str, batches: int = 1, entries: int = 1) -> list[bytes]:
    """Submit and close so many batches, and return their digests: acknowledged ones."""
    sealed = []
    for number in range(batches):
        taken = digests(f"{label}, batch {number}", entries)
        ledger.submit(b"".join(taken))
        ledger.close()
        sealed += taken
    return sealed


def anchor_jobs(ledger: Ledger) -> list[Job]:
    return [job for job in ledger.outbox.unfinished() if job.kind is JobKind.ANCHOR]


def alarms(ledger: Ledger) -> dict[str, Alarm]:
    """Return the alarms that stand, by their kind."""
    with ledger.metadata.read() as transaction:
        return {alarm.kind.value: alarm for alarm in transaction.alarms()}


def finish(ledger: Ledger, node: Node, rounds: int = 40) -> None:
    """Work and make blocks until nothing waits."""
    for _ in range(rounds):
        if not ledger.outbox.work():
            return
        node.mine()
    raise AssertionError(f"still waiting: {ledger.outbox.unfinished()}")
