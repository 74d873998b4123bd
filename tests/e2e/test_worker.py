"""The worker as people run it: beside `seal`, stopped at any moment, two at once, and on a chain
whose blocks take their time to become final."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commandline import call, environment, run, start
from prometheus_client.parser import text_string_to_metric_families
from servers.anvil import CHAIN_ID, KEYS, Node, anvil

from witnesstree.anchor.evm.local import LocalChain
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.errors import Unreachable
from witnesstree.ledger.base.witness import Anchor, Stamp
from witnesstree.ledger.proof.proof import parse_proof
from witnesstree.ledger.work.outbox import Pace

PROOF = ".proof.json"
PATIENCE = 60.0
"""Seconds after which what should have happened is given up."""


def files_in(folder: Path, *names: str) -> list[Path]:
    files = [folder / name for name in names]
    for file in files:
        file.write_text(str(file))
    return files


def status(home: Path) -> Any:
    return call("status", "--home", home, "--json").json


def waits(home: Path) -> bool:
    found = status(home)
    return bool(found["waiting"] or found["unsealed"])


def until_nothing_waits(home: Path) -> None:
    end = time.monotonic() + PATIENCE
    while waits(home):
        assert time.monotonic() < end, status(home)
        time.sleep(0.1)


def prove(home: Path, files: list[Path]) -> None:
    """Require that every file has one entry, and a proof that verifies."""
    for file in files:
        assert len(call("proof", file, "--all-entries", "--home", home, "--json").json) == 1
        assert call("seal", file, "--home", home).code == 0
        assert call("verify", file, "--home", home).code == 0
    assert call("fsck", "--home", home).code == 0


def begun(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a worker works."""
    assert process.stderr
    while b"working on" not in (line := process.stderr.readline()):
        assert line


# On the embedded parts


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_beside_others_that_submit(home: Path, tmp_path: Path, sign: signal.Signals) -> None:
    (home / "settings.toml").write_text("batch_age = 0.5\n")
    metrics = tmp_path / "witnesstree.prom"
    worker = start("worker", "--interval", "0.1", "--json", "--metrics", metrics, "--home", home)
    begun(worker)
    files = files_in(tmp_path, "a", "b", "c")
    for file in files:
        assert call("seal", file, "--no-wait", "--home", home).code == 0
    # Nobody submits any more: its age alone closes the batch.
    until_nothing_waits(home)
    worker.send_signal(sign)
    answer, talk = worker.communicate(timeout=PATIENCE)
    assert (worker.returncode, answer) == (0, b"")
    messages = [json.loads(line)["message"] for line in talk.splitlines()]
    assert "batch 0 is sealed" in messages
    assert messages[-1] == "stopped"
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.read_text())
    }
    assert families["witnesstree_entries"].samples[0].value == 3
    prove(home, files)


def test_stopped_at_any_moment(home: Path, tmp_path: Path) -> None:
    (home / "settings.toml").write_text("batch_entries = 1\n")
    files = []
    for number, moment in enumerate((0.0, 0.1, 0.3)):
        files += files_in(tmp_path, *(f"{number} {letter}" for letter in "ab"))
        for file in files[-2:]:
            assert call("seal", file, "--no-wait", "--home", home).code == 0
        worker = start("worker", "--interval", "0.05", "--home", home)
        begun(worker)
        time.sleep(moment)
        worker.terminate()
        _, talk = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0, talk
        assert b"Traceback" not in talk
    assert run("worker", "--until-done", "--interval", "0.05", "--home", home).code == 0
    assert status(home)["entries"] == 6
    assert not waits(home)
    prove(home, files)


def test_two_on_one_home(home: Path, tmp_path: Path) -> None:
    (home / "settings.toml").write_text("batch_entries = 1\n")
    files = files_in(tmp_path, *"abcd")
    pair = [start("worker", "--interval", "0.05", "--home", home) for _ in range(2)]
    for worker in pair:
        begun(worker)
    for file in files:
        assert call("seal", file, "--no-wait", "--home", home).code == 0
    until_nothing_waits(home)
    for worker in pair:
        worker.terminate()
    talks = [worker.communicate(timeout=PATIENCE)[1] for worker in pair]
    assert [worker.returncode for worker in pair] == [0, 0], talks
    prove(home, files)


INTERRUPTED_ANYWHERE = """
import signal, sys
from witnesstree.cli.worker import _stopping

def at(step):
    def trace(frame, event, _argument):
        nonlocal step
        step -= 1
        if step == 0:
            signal.raise_signal(signal.SIGTERM)
        return trace
    return trace

for step in range(1, 60):
    with _stopping() as stop:
        sys.settrace(at(step))
        stop.wait(0)
        stop.is_set()
        sys.settrace(None)
        if not stop.is_set():
            break
        assert stop.wait(60)
print(step)
"""


def test_a_signal_is_heard_at_every_moment() -> None:
    # The handler runs wherever the worker just is: nothing that it needs may be held there.
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_ANYWHERE],
        capture_output=True,
        timeout=30,
        check=True,
        env=environment(measured=False),
    )
    assert 3 < int(done.stdout) < 59


# `seal` and what waits


def test_seal_waits_for_what_failed_at_first(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "witnesstree.anchor.wiring.Pace", partial(Pace, first_retry=timedelta(0), poll=timedelta(0))
    )
    monkeypatch.setattr("witnesstree.cli.seal.LOOK_SECONDS", 0.01)
    stamps, looks = iter([Unreachable("nobody answers")] * 2), iter([None] * 3)
    stamp_in_earnest, collect_in_earnest = LocalAuthority.stamp, LocalChain.collect

    def stamp(authority: LocalAuthority, root: bytes) -> Stamp:
        for failure in stamps:
            raise failure
        return stamp_in_earnest(authority, root)

    def collect(chain: LocalChain, *asked: Any) -> Anchor | None:
        for nothing in looks:
            return nothing
        return collect_in_earnest(chain, *asked)

    monkeypatch.setattr(LocalAuthority, "stamp", stamp)
    monkeypatch.setattr(LocalChain, "collect", collect)
    [file] = files_in(tmp_path, "file")
    ran = call("seal", file, "--wait", "--home", home)
    assert ran.code == 0, ran.talk
    assert "not in a final block" not in ran.talk
    assert call("verify", file, "--home", home).code == 0


def test_seal_finishes_what_is_open_and_says_nothing_of_real_witnesses(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("witnesstree.anchor.wiring.notice", lambda _settings: None)
    [file] = files_in(tmp_path, "file")
    assert call("seal", file, "--no-wait", "--home", home).code == 0
    ran = call("seal", "--wait", "--home", home)
    assert (ran.code, ran.talk) == (0, "")
    assert not waits(home)


def test_wait_and_no_wait_contradict_each_other(home: Path, tmp_path: Path) -> None:
    [file] = files_in(tmp_path, "file")
    ran = call("seal", file, "--wait", "--no-wait", "--home", home)
    assert ran.code == 5
    assert "contradict each other" in ran.error()
    assert status(home)["unsealed"] == []


# On a chain whose blocks take their time


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "anvil").mkdir()
    with anvil(tmp_path / "anvil", "--slots-in-an-epoch", "1") as running:
        running.deploy()
        running.mine(3)
        yield running


def use(home: Path, node: Node, chain_id: int = CHAIN_ID, more: str = "") -> None:
    (home / "settings.toml").write_text(
        f'{more}[chains.anvil]\nchain_id = {chain_id}\nurls = ["{node.url}"]\nkey ='
        ' "env:WITNESSTREE_TEST_KEY"\n'
    )


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITNESSTREE_TEST_KEY", KEYS[0])


@pytest.mark.enable_socket
@pytest.mark.real("anvil")
@pytest.mark.usefixtures("_key")
def test_a_proof_is_completed_once_its_block_is_final(
    home: Path, tmp_path: Path, node: Node
) -> None:
    use(home, node)
    [file] = files_in(tmp_path, "file")
    ran = call("seal", file, "--home", home)
    assert ran.code == 0
    assert (
        "Sent to anvil, and not in a final block yet: run `witnesstree worker`, then the same"
        " command again" in ran.talk
    )
    early = parse_proof(file.with_name(file.name + PROOF).read_bytes())
    assert (len(early.tokens), early.anchors) == (1, ())
    assert call("verify", file, "--home", home).code == 4
    node.mine(3)
    assert (
        run(
            "worker",
            "--until-done",
            "--interval",
            "0.2",
            "--home",
            home,
            env={"WITNESSTREE_TEST_KEY": KEYS[0]},
        ).code
        == 0
    )
    ran = call("seal", file, "--home", home)
    assert ran.code == 0
    assert ran.text.startswith("Already sealed")
    proof = parse_proof(file.with_name(file.name + PROOF).read_bytes())
    [anchor] = proof.anchors
    assert anchor.block_number <= node.newest() - 2
    pinned = node.ask("eth_getBlockByNumber", hex(anchor.block_number), False)["hash"]
    assert call("verify", file, "--home", home, "--block-hash", f"{CHAIN_ID}:{pinned}").code == 0
    assert (
        call("verify", file, "--home", home, "--block-hash", f"{CHAIN_ID}:0x{'ab' * 32}").code != 0
    )
    assert KEYS[0][2:] not in (
        ran.talk
        + "".join(path.read_text(errors="ignore") for path in home.rglob("*") if path.is_file())
    )


@pytest.mark.enable_socket
@pytest.mark.real("anvil")
@pytest.mark.usefixtures("_key")
def test_an_alarm_is_raised_and_goes(home: Path, tmp_path: Path, node: Node) -> None:
    use(home, node, chain_id=CHAIN_ID + 1)
    [file] = files_in(tmp_path, "file")
    assert call("seal", file, "--home", home).code == 8
    ran = call("status", "--check", "--home", home)
    assert ran.code == 12
    assert f"is a node of chain {CHAIN_ID}, not of chain {CHAIN_ID + 1}" in ran.text
    use(home, node)
    # With seal, it is tried at once.
    assert call("seal", file, "--home", home).code == 0
    assert call("status", "--check", "--home", home).code == 0
