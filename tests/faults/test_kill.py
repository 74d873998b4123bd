"""`seal` and `init` killed with SIGKILL at their durable steps, before and after it took hold, on
the real embedded parts: at some steps in every run, at each in the rehearsals."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import Steps, When, digests, moments, strides

from witnesstree.anchor.evm import local as evm_local
from witnesstree.anchor.evm.blocks import ChainFile
from witnesstree.anchor.evm.local import LocalChain
from witnesstree.anchor.fsck import check_embedded
from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.tsa import local as tsa_local
from witnesstree.anchor.tsa.local import LocalAuthority, trusted_root
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.errors import NotFound
from witnesstree.ledger.base.ports import Standing
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.store.disk import write_file
from witnesstree.ledger.store.home import create_home, open_home
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger

ORIGIN = "ledger.test/killed"
SUBMISSIONS = [digests("first", 2), digests("second", 1)]
EVERYTHING_PACKED = b"".join(digest for submission in SUBMISSIONS for digest in submission)
EVERYTHING = [digest.hex() for submission in SUBMISSIONS for digest in submission]
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
MAX_STEPS = 200


def clock() -> datetime:
    return NOW


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[Callable[[Any], object]], None]) -> tuple[list[Any], int]:
    """Run `work` in a child process; return what it told, and its exit status: minus the signal, if
    one ended it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(lambda told: os.write(writing, json.dumps(told).encode() + b"\n"))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = [json.loads(line) for line in pipe]
    return told, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("prepared") / "home"

    def furnish(made: Any) -> None:
        LocalAuthority.create(made.authority, clock())
        LocalChain.create(made.chain, clock).close()

    create_home(home, ORIGIN, furnish)
    return home


# seal


def seal(home: Path, proofs: Path, tell: Callable[[Any], object]) -> None:
    """Do what `witnesstree seal` does: submit what is not here yet, close, work, write the proofs.

    Tells each digest once it has its receipt.
    """
    with open_ledger(home, clock) as ledger:
        for submission in SUBMISSIONS:
            if new := [
                digest for digest in submission if next(ledger.entries(digest), None) is None
            ]:
                receipt = ledger.submit(b"".join(new))
                assert [span.count for span in receipt.spans] == [len(new)]
                tell([digest.hex() for digest in new])
        ledger.close()
        assert ledger.outbox.work() == []
        for digest in (digest for submission in SUBMISSIONS for digest in submission):
            write_file(proofs / f"{digest.hex()}.json", format_proof(ledger.proof(digest)))


def examine(home: Path, proofs: Path, tell: Callable[[Any], object]) -> None:
    """Tell all that a home and its proofs show."""
    opened = open_home(home)
    with open_ledger(home, clock) as ledger:
        with ledger.metadata.read() as transaction:
            batches = list(transaction.batches())
            effects = [
                (len(transaction.tokens(batch.sequence)), len(transaction.anchors(batch.sequence)))
                for batch in batches
            ]
            waiting = len(transaction.open_batches()) + len(transaction.unfinished_jobs())
        verdicts = {}
        for path in sorted(proofs.glob("*.json")):
            digest = bytes.fromhex(path.stem)
            verdicts[path.stem] = verify(
                digest, path.read_bytes(), home_trust(opened, ledger.proof(digest)) or Trust(), NOW
            ).verdict.value
        problems = [
            *check_ledger(ledger, Trust((trusted_root(opened.authority),))),
            *check_embedded(ledger),
        ]
        entries = {
            digest.hex(): len(list(ledger.entries(digest)))
            for submission in SUBMISSIONS
            for digest in submission
        }
    chain = LocalChain.open(opened.chain, clock)
    with ChainFile.open(opened.chain) as file:
        nonce, *_ = evm_local._account(
            file,
            evm_local._newest_header(file),
            evm_local._address(evm_local._read_key(opened.chain)),
        )
    tell(
        {
            "batches": len({batch.root for batch in batches}),
            "entries": entries,
            "effects": effects,
            "waiting": waiting,
            "verdicts": verdicts,
            "problems": [str(problem) for problem in problems],
            "blocks": chain.recent_block().number + 1,
            "nonce": int.from_bytes(nonce),
            "are_anchored": all(
                chain.standing(batch.root, None) is Standing.FINAL for batch in batches
            ),
        }
    )
    chain.close()


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(7))
def test_a_killed_seal_loses_nothing_and_anchors_nothing_twice(
    prepared: Path, tmp_path: Path, when: When, stride: int
) -> None:
    seen = set()
    for step in moments(stride, when):
        assert step < MAX_STEPS
        home, proofs = tmp_path / f"home-{step}", tmp_path / f"proofs-{step}"
        shutil.copytree(prepared, home)
        proofs.mkdir()
        told, status = in_child(partial(_seal_stopped, home, proofs, Steps(kill_me, step, when)))
        assert status in {0, -signal.SIGKILL}, step
        acknowledged = {digest for part in told for digest in part}
        seen.add(len(acknowledged))
        (shown,), recovered = in_child(partial(_seal_and_examine, home, proofs))
        assert recovered == 0, step
        assert acknowledged <= set(shown["entries"]), step
        # What was acknowledged was found, not taken again; here neither is what was taken and not
        # acknowledged.
        assert shown == {
            "entries": dict.fromkeys(EVERYTHING, 1),
            "verdicts": dict.fromkeys(EVERYTHING, "verified"),
            "problems": [],
            "effects": [[1, 1]] * shown["batches"],
            "batches": shown["batches"],
            # One transaction a block; blocks 0 and 1 made the account and the contract.
            "blocks": 2 + shown["batches"],
            "nonce": 1 + shown["batches"],
            "are_anchored": True,
            "waiting": 0,
        }, step
        shutil.rmtree(home)
        if status == 0:
            break
    # It was killed before the first receipt, between both, and after the last.
    assert seen == {0, 2, 3}
    assert step > 25


def _seal_stopped(home: Path, proofs: Path, steps: Steps, tell: Callable[[Any], object]) -> None:
    with steps.counted():
        seal(home, proofs, tell)


def _seal_and_examine(home: Path, proofs: Path, tell: Callable[[Any], object]) -> None:
    seal(home, proofs, lambda _digests: None)
    examine(home, proofs, tell)


# init


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(11))
def test_a_killed_init_leaves_no_home_or_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: When, stride: int
) -> None:
    # A key of the usual size takes up to a second to find, which is much for so many homes.
    monkeypatch.setattr(tsa_local, "_KEY_BITS", 2048)
    seen = set()
    for step in moments(stride, when):
        assert step < MAX_STEPS
        home = tmp_path / f"{step}" / "home"
        _, status = in_child(partial(_init_stopped, home, Steps(kill_me, step, when)))
        assert status in {0, -signal.SIGKILL}, step
        ((was_there, left_over),), recovered = in_child(partial(_init_again, home))
        assert recovered == 0, step
        # A home that is whole may have its building site's lock beside it.
        assert left_over == [], step
        seen.add(was_there)
        shutil.rmtree(home)
        if status == 0:
            break
    assert seen == {False, True}
    assert step > 25


def _init_stopped(home: Path, steps: Steps, _tell: Callable[[Any], object]) -> None:
    with steps.counted():
        make_home(home, ORIGIN)


def _init_again(home: Path, tell: Callable[[Any], object]) -> None:
    try:
        open_home(home)
        was_there = True
    except NotFound:
        was_there = False
        make_home(home, ORIGIN)
    with open_ledger(home) as ledger:
        ledger.submit(EVERYTHING_PACKED)
        ledger.close()
        assert ledger.outbox.work() == []
        assert list(check_ledger(ledger, Trust((trusted_root(ledger.home.authority),)))) == []
    tell(
        [
            was_there,
            sorted(path.name for path in home.parent.iterdir() if path.name.endswith(".half-made")),
        ]
    )
