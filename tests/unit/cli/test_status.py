"""`witnesstree status`: what it says of what waits, and what it makes of alarms and deadlines."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commandline import call, copied
from prometheus_client.parser import text_string_to_metric_families

from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.errors import Unreachable
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.database.values import Alarm, AlarmKind, JobKind
from witnesstree.ledger.store.metadata import Transaction
from witnesstree.ledger.work.sealing import Ledger


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "home"
    make_home(folder, "ledger.test/status")
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "home")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_text("file")
    return file


@contextmanager
def writing(home: Path) -> Iterator[Transaction]:
    with open_ledger(home) as ledger, ledger.metadata.write() as transaction:
        yield transaction


@contextmanager
def without_authority() -> Iterator[None]:
    def stamp(authority: LocalAuthority, root: bytes) -> None:
        raise Unreachable("nobody answers")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalAuthority, "stamp", stamp)
        yield


def set_to(home: Path, **settings: object) -> None:
    (home / "settings.toml").write_text(
        "".join(f"{name} = {value}\n" for name, value in settings.items())
    )


def check(home: Path) -> int:
    return call("status", "--check", "--home", home).code


def samples(home: Path) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the metrics as Prometheus' own reader understands them."""
    ran = call("status", "--metrics", "--home", home)
    assert ran.code == 0
    families = text_string_to_metric_families(ran.text)
    return {
        family.name.removeprefix("witnesstree_"): [
            (dict(sample.labels), sample.value) for sample in family.samples
        ]
        for family in families
        if family.documentation
    }


def test_where_nothing_waits_nothing_is_wrong(home: Path, file: Path) -> None:
    assert check(home) == 0
    assert call("seal", file, "--home", home).code == 0
    ran = call("status", "--check", "--home", home)
    assert ran.code == 0
    assert ran.text.splitlines()[3:] == ["1 sealed batch with 1 entry", "Nothing waits."]


def test_an_alarm_needs_a_person(home: Path) -> None:
    since = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    said = message("as-text", text="the cap is 100 gwei, the chain asks 5000")
    alarm = Alarm(AlarmKind.UNAFFORDABLE, "sepolia", said, since)
    with writing(home) as transaction:
        transaction.raise_alarm(alarm)
    ran = call("status", "--check", "--home", home)
    assert ran.code == 12
    assert (
        "ALARM since 2026-11-23T08:00:00Z, sepolia: the cap is 100 gwei, the chain asks 5000"
        in ran.text.splitlines()
    )
    shown = call("status", "--home", home, "--json")
    assert shown.code == 0
    [found] = shown.json["alarms"]
    assert found == {
        "kind": "unaffordable",
        "subject": "sepolia",
        "text": "the cap is 100 gwei, the chain asks 5000",
        "code": "as-text",
        "params": {"text": "the cap is 100 gwei, the chain asks 5000"},
        "since": "2026-11-23T08:00:00Z",
    }
    assert samples(home)["alarm"] == [({"kind": "unaffordable", "subject": "sepolia"}, 1.0)]
    assert call("status", "--check", "--metrics", "--home", home).code == 12
    with writing(home) as transaction:
        transaction.clear_alarm(alarm)
    assert check(home) == 0
    assert samples(home)["alarm"] == []


def test_a_batch_past_its_deadline_needs_a_person_until_it_is_done(home: Path, file: Path) -> None:
    with without_authority():
        assert call("seal", file, "--home", home).code == 8
    ran = call("status", "--check", "--home", home)
    assert ran.code == 0
    [line] = [
        line
        for line in ran.text.splitlines()
        if line.startswith("Batch 0 waits for its timestamp by local since ")
    ]
    assert line.endswith("; 1 failed attempt, the last: nobody answers")
    set_to(home, deadline=0.001)
    ran = call("status", "--check", "--home", home)
    assert ran.code == 12
    assert [
        line
        for line in ran.text.splitlines()
        if line.startswith("LATE: batch 0 waits for its timestamp by local")
    ]
    [job] = call("status", "--home", home, "--json").json["waiting"]
    assert (job["late"], job["attempts"], job["transaction"]) == (True, 1, None)
    seen = samples(home)
    of = {"kind": "stamp", "target": "local"}
    assert (seen["waiting_jobs"], seen["late_jobs"]) == ([(of, 1.0)], [(of, 1.0)])
    [(labels, age)] = seen["oldest_waiting_seconds"]
    assert (labels, 0 <= age < 600) == (of, True)
    assert call("seal", file, "--home", home).code == 0
    assert check(home) == 0


def test_entries_that_nobody_seals_are_late_too(home: Path, file: Path) -> None:
    assert call("seal", file, "--no-wait", "--home", home).code == 0
    ran = call("status", "--check", "--home", home)
    assert ran.code == 0
    assert [
        line
        for line in ran.text.splitlines()
        if line.startswith("Batch 0 is open with 1 entry, since ")
    ]
    assert samples(home)["late_batches"] == [({}, 0.0)]
    # Not yet: before its age nobody has to close it.
    set_to(home, deadline=0.001)
    assert check(home) == 0
    set_to(home, deadline=0.001, batch_age=0.001)
    ran = call("status", "--check", "--home", home)
    assert ran.code == 12
    assert [
        line
        for line in ran.text.splitlines()
        if line.startswith("LATE: batch 0 is open with 1 entry")
    ]
    assert [
        batch["late"] for batch in call("status", "--home", home, "--json").json["unsealed"]
    ] == [True]
    seen = samples(home)
    assert (seen["late_batches"], seen["unsealed_entries"]) == ([({}, 1.0)], [({}, 1.0)])
    assert call("worker", "--until-done", "--home", home).code == 0
    assert check(home) == 0


def test_what_was_sent_is_named(home: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("witnesstree.anchor.evm.local.LocalChain.collect", lambda *_: None)
        ran = call("seal", file, "--home", home)
    assert ran.code == 0
    assert "Sent to local, and not in a final block yet" in ran.talk
    text = call("status", "--home", home).text
    [job] = call("status", "--home", home, "--json").json["waiting"]
    assert len(job["transaction"]) == 66
    assert f"; sent as {job['transaction']}" in text
    assert job["retry_at"]


def test_metrics_count_what_there_is(home: Path, file: Path) -> None:
    assert call("seal", file, "--home", home).code == 0
    before = datetime.now(UTC) - timedelta(minutes=1)
    seen = samples(home)
    assert (seen["batches"], seen["entries"], seen["unsealed_entries"]) == (
        [({}, 1.0)],
        [({}, 1.0)],
        [({}, 0.0)],
    )
    assert (
        seen["waiting_jobs"],
        seen["late_jobs"],
        seen["oldest_waiting_seconds"],
        seen["alarm"],
    ) == ([], [], [], [])
    [(_, time)] = seen["last_pass_timestamp_seconds"]
    assert time > before.timestamp()


def test_metrics_and_json_are_two_forms(home: Path) -> None:
    ran = call("status", "--metrics", "--json", "--home", home)
    assert (ran.code, ran.answer) == (2, b"")


def test_a_job_without_its_batch_is_shown_all_the_same(home: Path) -> None:
    with writing(home) as transaction:
        transaction.add_job(7, JobKind.STAMP, "local")
    ran = call("status", "--home", home)
    assert ran.code == 0
    assert "Batch 7 waits for its timestamp by local since a time that is lost" in ran.text
    seen = samples(home)
    assert (seen["waiting_jobs"], seen["oldest_waiting_seconds"]) == (
        [({"kind": "stamp", "target": "local"}, 1.0)],
        [],
    )


def test_stand_ins_are_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "embedded authority and chain" in call("status", "--home", home).talk
    monkeypatch.setattr("witnesstree.anchor.wiring.notice", lambda _settings: None)
    assert call("status", "--home", home).talk == ""


def test_it_reads_only(home: Path) -> None:
    def state(ledger: Ledger) -> Any:
        with ledger.metadata.read() as transaction:
            return transaction.jobs(), transaction.alarms(), transaction.batch_count()

    with open_ledger(home) as ledger:
        before = state(ledger)
        assert check(home) == 0
        assert state(ledger) == before
