"""Renewals as people meet them: `renew --due`, the worker, `status`, and later proofs, exports and
verdicts."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import new
from pathlib import Path
from shutil import rmtree

import pytest
from commandline import call, copied
from prometheus_client.parser import text_string_to_metric_families

from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.errors import Conflict
from witnesstree.ledger.proof.proof import parse_proof
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.work.renewal import Renewals, Renewed

NOW = datetime.now(UTC)
CONTENT = b"The boundary runs to the old oak."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a sealed file, whose authority has another key and certificate by now."""
    folder = tmp_path_factory.mktemp("made")
    home = folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("witnesstree.anchor.wiring.clock", lambda: NOW - timedelta(days=2))
        make_home(home, "ledger.test/renewal")
    (folder / "oak.txt").write_bytes(CONTENT)
    assert call("seal", folder / "oak.txt", "--home", home).code == 0
    authority = open_home(home).authority
    (folder / "old.pem").write_bytes((authority / "root.pem").read_bytes())
    rmtree(authority)
    LocalAuthority.create(authority, NOW - timedelta(days=1))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))
    assert call("trust", "add", made.parent / "old.pem").code == 0
    return copied(made, tmp_path / "home")


@pytest.fixture
def file(home: Path) -> Path:
    path = home.parent / "oak.txt"
    path.write_bytes(CONTENT)
    return path


def overdue(home: Path, text: str = "2026-01-01T00:00:00Z") -> None:
    with closing(sqlite3.connect(home / "ledger.db")) as database:
        database.execute("UPDATE renewals SET due = ?", (text,))
        database.commit()


def proof_of(home: Path, file: Path) -> Path:
    path = file.with_name("later.proof.json")
    path.unlink(missing_ok=True)
    assert call("proof", file, "-o", path, "--home", home).code == 0
    return path


def timestamps(home: Path, file: Path) -> list[int]:
    """How many timestamps the records of the file's proof have."""
    return [
        len(parse_record(each).timestamps)
        for each in parse_proof(proof_of(home, file).read_bytes()).records
    ]


def test_what_is_due_within_some_days(home: Path, file: Path) -> None:
    assert (
        call("renew", "--due", "--home", home).text
        == "Renewed 0 evidence records with 0 timestamps.\n"
    )
    ran = call("renew", "--due", "--within", 7300, "--home", home, "--json")
    assert (ran.code, ran.json) == (0, {"records": 1, "timestamps": 1, "problems": [], "early": []})
    assert timestamps(home, file) == [2]
    path = proof_of(home, file)
    ran = call("verify", file, "--proof", path, "--home", home, "--json")
    assert (ran.code, ran.json["verdict"]) == (0, "verified")
    assert {
        "records[0].chains[0].timestamps[0].data",
        "records[0].chains[0].timestamps[1].time",
    } <= {each["name"] for each in ran.json["checks"]}


def test_the_exported_record_is_the_renewed_one(home: Path, file: Path) -> None:
    plain = proof_of(home, file).read_bytes()
    assert call("renew", "--due", "--within", 7300, "--home", home).code == 0
    out = home.parent / "oak.ers"
    assert call("export", proof_of(home, file), "--format", "ers", "-o", out).code == 0
    assert len(parse_record(out.read_bytes()).timestamps) == 2
    assert parse_proof(plain).records == ()
    ran = call("verify", file, "--proof", out, "--home", home, "--json")
    assert (ran.code, ran.json["verdict"]) == (0, "verified")


def test_the_worker_renews_what_is_due(home: Path, file: Path) -> None:
    overdue(home)
    ran = call("worker", "--once", "--home", home)
    assert ran.code == 0
    assert "1 evidence record renewed with one timestamp by local" in ran.talk
    assert timestamps(home, file) == [2]
    assert call("fsck", "--home", home).code == 0


def test_another_process_that_renews_does_not_end_the_worker(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> Renewed:
        raise Conflict("renew.lock is held")

    monkeypatch.setattr(Renewals, "work", work)
    ran = call("worker", "--once", "--home", home)
    assert ran.code == 0
    assert "renew.lock is held" in ran.talk


def test_an_end_in_the_settings_is_an_alarm(home: Path) -> None:
    (home / "settings.toml").write_text('[ends]\nsha256 = "2026-12-24T00:00:00Z"\n')
    overdue(home)
    ran = call("renew", "--due", "--home", home)
    assert ran.code == 12
    assert (
        "Renewed 0 evidence records with 0 timestamps.\nNot renewed: its hash algorithm sha256 is"
        " safe until 2026-12-24T00:00:00Z" in ran.text
    )
    assert call("status", "--check", "--home", home).code == 12
    (alarm,) = call("status", "--home", home, "--json").json["alarms"]
    assert (alarm["kind"], alarm["subject"]) == ("renewal", "local")


def test_looking_ahead_is_no_alarm(home: Path, file: Path) -> None:
    assert call("renew", "--due", "--within", 7300, "--home", home).code == 0
    ran = call("renew", "--due", "--within", 36_500, "--home", home)
    assert ran.code == 0
    assert (
        "Renewed 0 evidence records with 0 timestamps.\nNot renewed before it is due: with a token"
        " by local it would hold no longer than before" in ran.text
    )
    ran = call("renew", "--due", "--within", 36_500, "--home", home, "--json")
    assert (ran.code, ran.json["timestamps"], ran.json["problems"], len(ran.json["early"])) == (
        0,
        0,
        [],
        1,
    )
    assert call("status", "--check", "--home", home).code == 0


def test_a_record_that_only_the_command_trusts_is_not_kept(
    made: Path, home: Path, file: Path
) -> None:
    record = home.parent / "oak.ers"
    assert call("export", proof_of(home, file), "--format", "ers", "-o", record).code == 0
    rmtree(home.parent / "trust")
    ran = call("renew", record, "--trust", made.parent / "old.pem", "--home", home, "--json")
    assert (ran.code, ran.json["kept"]) == (0, False)
    assert (
        "The ledger does not keep it: judged by what the ledger's owner trusts (see"
        " `witnesstree trust --help`), it cannot be verified:"
        " chains[0].timestamps[0].chain" in ran.talk
    )
    assert timestamps(home, file) == []


def test_status_says_what_is_due_and_late(home: Path) -> None:
    assert call("status", "--home", home, "--json").json["renewals"] == {
        "scheduled": 0,
        "due": 0,
        "late": 0,
        "next": None,
    }
    call("renew", "--due", "--home", home)
    first = call("status", "--home", home, "--json").json["renewals"]
    assert (first["scheduled"], first["due"], first["late"]) == (1, 0, 0)
    assert timedelta(days=7200) < parse_time(first["next"]) - NOW < timedelta(days=7300)
    assert (
        f"Evidence records of 1 token will be renewed from {first['next']} on"
        in call("status", "--home", home).text
    )
    assert samples(home)["next_renewal_timestamp_seconds"] > NOW.timestamp()
    overdue(home, (NOW - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert (
        "1 evidence record is to be renewed now: run `witnesstree worker`"
        in call("status", "--home", home).text
    )
    assert call("status", "--check", "--home", home).code == 0
    overdue(home)
    assert (
        "1 evidence record is to be renewed now, 1 of them LATE"
        in call("status", "--home", home).text
    )
    assert call("status", "--check", "--home", home).code == 12
    assert (samples(home)["due_renewals"], samples(home)["late_renewals"]) == (1, 1)


def samples(home: Path) -> dict[str, float]:
    families = text_string_to_metric_families(call("status", "--metrics", "--home", home).text)
    return {
        family.name.removeprefix("witnesstree_"): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_record_of_this_ledger_that_is_renewed_by_hand_is_kept(home: Path, file: Path) -> None:
    record, root = home.parent / "oak.ers", home.parent / "old.pem"
    root.write_bytes((home / "authority" / "root.pem").read_bytes())
    assert call("export", proof_of(home, file), "--format", "ers", "-o", record).code == 0
    ran = call("renew", record, "--algorithm", "sha512", "--file", file, "--home", home, "--json")
    assert (ran.code, ran.json["kept"]) == (0, True)
    (kept,) = parse_proof(proof_of(home, file).read_bytes()).records
    assert kept == record.read_bytes()
    ran = call("verify", file, "--proof", proof_of(home, file), "--home", home, "--json")
    assert (ran.code, ran.json["verdict"]) == (0, "verified")
    outcomes = {each["name"]: each["outcome"] for each in ran.json["checks"]}
    assert outcomes["records[0].chains[1].timestamps[0].data"] == "passed", (
        "the file's SHA-512 was taken, too"
    )
    again = call("renew", record, "--home", home)
    assert (again.code, "The ledger keeps it" in again.talk) == (
        0,
        False,
    ), "it holds no longer than before"
    file.write_bytes(CONTENT + b" ")
    assert (
        call("verify", file, "--proof", home.parent / "later.proof.json", "--home", home).code == 3
    )
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        (row,) = [each for each in transaction.renewals(0) if each.position == 2]
    assert row.due > NOW
    assert new("sha512", CONTENT).digest() not in kept, "only with the older chains"


def test_that_is_said_and_what_hinders_it_too(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = home.parent / "oak.ers"
    assert call("export", proof_of(home, file), "--format", "ers", "-o", record).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(
            Renewals, "adopt", lambda *_: (_ for _ in ()).throw(Conflict("renew.lock is held"))
        )
        ran = call("renew", record, "--home", home)
    assert ran.code == 0
    assert "The ledger does not keep it: renew.lock is held" in ran.talk
    assert (
        "The ledger keeps it, too: proofs that are fetched from now on carry it."
        in call("renew", record, "--home", home).talk
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--within", "3"),
        ("oak.ers", "--due"),
        ("--due", "--check"),
        ("--due", "--authority", "x"),
        ("x", "--within", "1"),
    ],
)
def test_what_does_not_go_together_is_refused(home: Path, arguments: tuple[str, ...]) -> None:
    assert call("renew", *arguments, "--home", home).code == 2
