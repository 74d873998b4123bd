"""`witnesstree worker` in this process: what it does in a pass, what it says, and how it ends."""

import json
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, call, copied
from prometheus_client.parser import text_string_to_metric_families

from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.wiring import make_home
from witnesstree.ledger.base.errors import Damaged, StorageFailure, Unreachable, WitnesstreeError
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.store.metadata import Metadata, Transaction
from witnesstree.ledger.work.outbox import Outbox

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO   |WARNING) \S.*")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "home"
    make_home(folder, "ledger.test/worker")
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "home")


def set_to(home: Path, **settings: object) -> None:
    (home / "settings.toml").write_text(
        "".join(f"{name} = {value}\n" for name, value in settings.items())
    )


def submit(home: Path, name: str = "file") -> Path:
    """Give a file's digest to the ledger, and leave the rest to the worker."""
    file = home.parent / name
    file.write_text(name)
    assert call("seal", file, "--no-wait", "--home", home).code == 0
    return file


def sealed(home: Path, batches: int) -> None:
    """Leave so many batches that wait for their witnesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outbox, "work", lambda outbox, *_, **__: [])
        for number in range(batches):
            file = home.parent / f"sealed {number}"
            file.write_text(file.name)
            assert call("seal", file, "--home", home).code == 0


def status(home: Path) -> Any:
    return call("status", "--home", home, "--json").json


def work(home: Path, *options: object) -> Ran:
    return call("worker", *options, "--interval", "0.05", "--home", home)


def stamping(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> None:
    """Let something happen whenever the authority is asked."""
    original = LocalAuthority.stamp

    def stamp(authority: LocalAuthority, root: bytes) -> Stamp:
        before()
        return original(authority, root)

    monkeypatch.setattr(LocalAuthority, "stamp", stamp)


# What it does


def test_once_seals_and_witnesses_what_is_due(home: Path) -> None:
    set_to(home, batch_entries=1)
    file = submit(home)
    ran = work(home, "--once")
    assert (ran.code, ran.answer) == (0, b"")
    left = status(home)
    assert (left["batches"], left["unsealed"], left["waiting"]) == (1, [], [])
    lines = ran.talk.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert "embedded authority and chain" in lines[0]
    assert lines[1].endswith(f"INFO    working on ledger.test/worker in {home}")
    assert [line.split(" ", 1)[1] for line in lines if "batch 0" in line] == [
        "INFO    batch 0 is sealed",
        "INFO    batch 0 is anchored on local, in final block 2",
    ]
    assert lines[-1].endswith("INFO    stopped")
    assert call("proof", file, "--home", home, "-o", home.parent / "proof").code == 0
    assert call("verify", file, "--proof", home.parent / "proof", "--home", home).code == 0


def test_what_is_not_due_is_left(home: Path) -> None:
    submit(home)
    assert work(home, "--once").code == 0
    assert [batch["state"] for batch in status(home)["unsealed"]] == ["open"]


def test_a_batch_closes_by_age_without_a_further_entry(home: Path) -> None:
    set_to(home, batch_age=0.4)
    submit(home)
    assert work(home, "--until-done").code == 0
    left = status(home)
    assert (left["batches"], left["entries"], left["unsealed"], left["waiting"]) == (1, 1, [], [])


def test_where_nothing_waits_it_is_done_at_once(home: Path) -> None:
    assert work(home, "--until-done").code == 0


def test_what_fails_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(home, 1)
    failures = iter([Unreachable("nobody \x1b answers")])

    def fail_once() -> None:
        if error := next(failures, None):
            raise error

    stamping(monkeypatch, fail_once)
    ran = work(home, "--once")
    assert ran.code == 0
    [said] = [line for line in ran.talk.splitlines() if "nobody" in line]
    assert said.endswith("WARNING batch 0, stamp by local: nobody \\x1b answers")
    [job] = status(home)["waiting"]
    assert (job["attempts"], job["last_error"]) == (1, "nobody \x1b answers")


# What it says


def test_log_lines_as_json(home: Path) -> None:
    set_to(home, batch_entries=1)
    submit(home)
    lines = [json.loads(line) for line in work(home, "--once", "--json").talk.splitlines()]
    assert {tuple(line) for line in lines} == {("time", "level", "message", "code", "params")}
    assert [line["level"] for line in lines][:2] == ["warning", "info"]
    assert "batch 0 is sealed" in [line["message"] for line in lines]


def test_of_real_witnesses_nothing_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("witnesstree.anchor.wiring.notice", lambda _settings: None)
    assert "embedded" not in work(home, "--once").talk


def test_metrics_are_written_after_each_pass(home: Path) -> None:
    sealed(home, 2)
    metrics = home.parent / "witnesstree.prom"
    assert work(home, "--once", "--metrics", metrics).code == 0
    assert metrics.stat().st_mode & 0o777 == 0o644
    families = {
        family.name: family for family in text_string_to_metric_families(metrics.read_text())
    }
    assert families["witnesstree_batches"].samples[0].value == 2
    assert families["witnesstree_waiting_jobs"].samples == []


@pytest.mark.parametrize("is_place_wrong", [True, False])
def test_that_metrics_cannot_be_had_or_written_stops_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, is_place_wrong: bool
) -> None:
    sealed(home, 1)

    def unreachable(*_: object) -> bytes:
        raise Unreachable("the database is away")

    if not is_place_wrong:
        monkeypatch.setattr("witnesstree.anchor.metrics.metrics_text", unreachable)
    metrics = home.parent / ("nowhere" if is_place_wrong else ".") / "witnesstree.prom"
    ran = work(home, "--until-done", "--metrics", metrics)
    assert ran.code == 0
    assert "WARNING no metrics this time: " in ran.talk
    assert status(home)["waiting"] == []
    assert not metrics.exists()


def test_the_log_is_given_back(home: Path) -> None:
    before = list(logging.getLogger("witnesstree").handlers)
    work(home, "--once")
    after = logging.getLogger("witnesstree")
    assert [each for each in after.handlers if not isinstance(each, logging.NullHandler)] == [
        each for each in before if not isinstance(each, logging.NullHandler)
    ]
    assert after.level == logging.NOTSET


# How it ends


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_step_at_hand(
    home: Path, monkeypatch: pytest.MonkeyPatch, sign: signal.Signals
) -> None:
    sealed(home, 2)
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patch:
        stamping(patch, lambda: os.kill(os.getpid(), sign))
        ran = work(home)
    assert ran.code == 0
    assert ran.talk.splitlines()[-1].endswith("INFO    stopped")
    assert [(job["batch"], job["kind"]) for job in status(home)["waiting"]] == [
        (0, "anchor"),
        (1, "stamp"),
        (1, "anchor"),
    ]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert work(home, "--until-done").code == 0
    assert status(home)["waiting"] == []
    assert call("fsck", "--home", home).code == 0


def test_a_signal_ends_it_between_two_passes(home: Path) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    ran = call("worker", "--interval", "3600", "--home", home)
    timer.join()
    assert ran.code == 0


def test_a_second_signal_interrupts_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(home, 1)

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        stamping(patch, twice)
        ran = work(home)
    assert ran.code == 130
    assert (
        ran.talk.splitlines()[-1]
        == "Interrupted. Everything acknowledged is kept; run the same command again to finish."
    )
    assert len(status(home)["waiting"]) == 2
    assert work(home, "--until-done").code == 0
    assert call("fsck", "--home", home).code == 0


def test_another_process_that_holds_the_lock_does_not_end_it(home: Path) -> None:
    sealed(home, 1)
    set_to(home, patience=0.1)
    is_over = threading.Event()

    @contextmanager
    def held() -> Iterator[None]:
        with open_home(home).lock("work", 1):
            yield

    def hold() -> None:
        with held():
            is_over.wait(0.6)

    with held():
        ran = work(home, "--once")
    assert ran.code == 0
    assert "is held by another process" in ran.talk
    assert len(status(home)["waiting"]) == 2
    holder = threading.Thread(target=hold)
    holder.start()
    assert work(home, "--until-done").code == 0
    holder.join()
    assert status(home)["waiting"] == []


@pytest.mark.parametrize(
    ("failure", "code"), [(Damaged("batch 7 has vanished"), 10), (StorageFailure("make room"), 11)]
)
def test_what_waiting_does_not_mend_ends_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, failure: WitnesstreeError, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(Outbox, "work", fail)
    ran = work(home)
    assert ran.code == code
    assert ran.talk.splitlines()[-1] == f"Error: {failure}"


def test_a_database_that_is_away_does_not_end_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(home, 1)
    failures = iter([Unreachable("the database is away")] * 3)
    original = Metadata.write

    @contextmanager
    def write(metadata: Metadata) -> Iterator[Transaction]:
        for failure in failures:
            raise failure
        with original(metadata) as transaction:
            yield transaction

    monkeypatch.setattr(Metadata, "write", write)
    ran = work(home, "--until-done")
    assert ran.code == 0
    assert "WARNING the database is away" in ran.talk
    assert next(failures, None) is None
    assert status(home)["waiting"] == []


def test_settings_that_change_hold_from_the_next_pass_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority that is added while the worker runs stamps the batches that it closes from then
    on; what cannot be read changes nothing."""
    steps = iter(["batch_entry = 1\n", "batch_entries = 3\n", None])
    seen: list[int] = []
    original = Outbox.work

    def work_and_change(outbox: Outbox, *values: Any, **options: Any) -> Any:
        seen.append(outbox._pace.required_tokens)
        text = next(steps, None)
        if text is None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            (home / "settings.toml").write_text(text)
        return original(outbox, *values, **options)

    monkeypatch.setattr(Outbox, "work", work_and_change)
    ran = work(home)
    assert ran.code == 0
    assert "batch_entry is no setting" in ran.talk
    assert "the settings from before hold until that is mended" in ran.talk
    assert ran.talk.count("INFO    working on ") == 2


def test_without_a_home_there_is_nothing_to_work_on(tmp_path: Path) -> None:
    assert work(tmp_path / "none").code == 6
