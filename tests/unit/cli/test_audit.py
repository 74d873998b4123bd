"""`witnesstree audit`, as people type it; what it finds is tested in
tests/unit/ledger/test_audit.py."""

import json
import shutil
from datetime import timedelta
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from witnesstree.anchor.evm import check
from witnesstree.anchor.publishing import publish
from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.wiring import clock, make_home, open_ledger
from witnesstree.cli.audit import audit_command
from witnesstree.ledger.audit import seen as ledger_audit
from witnesstree.ledger.audit.equivocation import check_equivocation, parse_equivocation
from witnesstree.ledger.audit.seen import parse_seen
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.cosignature import CosignerKey, format_cosigner_key
from witnesstree.ledger.log.note import format_verifier_key
from witnesstree.ledger.proof.proof import Proof
from witnesstree.ledger.store.disk import locked
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.work.rotation import rotate

WITNESS = format_cosigner_key(CosignerKey("witness.example/w1", bytes(32)))


def audit(*arguments: object) -> Result:
    return CliRunner().invoke(audit_command, list(map(str, arguments)))


def seal(
    home: Path, folder: Path, label: str, late: timedelta = timedelta(0), *, work: bool = True
) -> None:
    """Seal one batch `late` ago, fetch its witnesses now, and publish."""
    with open_ledger(home, lambda: clock() - late) as ledger:
        ledger.submit(sha256(label.encode()).digest())
        ledger.close()
    with open_ledger(home) as ledger:
        if work:
            assert ledger.outbox.work() == []
        publish(ledger, folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("audited")
    make_home(tmp / "home", "ledger.test/audited")
    for label in ("first", "second"):
        seal(tmp / "home", tmp / "published", label)
    return tmp


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    for name in ("home", "published"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def test_a_state_is_used_by_one_audit_at_a_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that comes second goes on from what the first one saw."""
    home, folder, state = place / "home", place / "published", place / "state.json"
    options = (folder, "--home", home, "--state", state)
    assert audit(*options).exit_code == 0
    older = state.read_bytes()
    with locked(place / ".state.json.lock"):
        second = Thread(target=audit, args=options)
        second.start()
        seal(home, folder, "third")
        state.write_bytes(b"not read yet")
        second.join(0.5)
        assert second.is_alive()
        state.write_bytes(older)
    second.join(60)
    assert parse_seen(state.read_bytes()).checkpoint == (folder / "checkpoint").read_text()


@pytest.mark.parametrize("name", ["", "-", "missing/state.json"])
def test_a_state_that_cannot_be_written_is_refused_before_anything_is_read(
    place: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    ran = audit(place / "nowhere", "--state", name or place)
    assert isinstance(ran.exception, InvalidInput)
    assert ran.exception.message.code.startswith("output-")


def test_an_honest_log_is_followed_with_a_state(place: Path) -> None:
    home, folder, state = place / "home", place / "published", place / "state.json"
    options = (folder, "--home", home, "--state", state)

    first = audit(*options)

    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[0] == "VERIFIED"
    assert "is not there yet: this audit reads the whole log" in first.stderr
    seen = parse_seen(state.read_bytes())
    assert seen.checkpoint == (folder / "checkpoint").read_text(encoding="utf-8")
    assert seen.waiting == ()

    seal(home, folder, "third")
    second = audit(*options, "--json")

    said = json.loads(second.stdout)
    assert (second.exit_code, said["verdict"]) == (0, "verified")
    assert [check["name"] for check in said["checks"]] == [
        *("checkpoint", "consistency", "entries", "tiles", "statements", "opening"),
        *("stamped", "anchored"),
    ]
    assert "1 entry leads from 2 to 3" in said["checks"][2]["reason"]
    # Nothing new.
    assert audit(*options).exit_code == 0


def test_a_stranger_decides_what_the_key_allows(place: Path) -> None:
    key = place / "home" / "keys" / "ledger.vkey"
    state = place / "state.json"
    stranger = audit(place / "published", "--checkpoint-key", key, "--state", state)
    assert stranger.exit_code == 4
    assert "UNKNOWN  Batch 0, stamped: " in stranger.stdout
    assert [statement.sequence for statement in parse_seen(state.read_bytes()).waiting] == [0, 1]
    # Whoever trusts more can decide later.
    assert audit(place / "published", "--home", place / "home", "--state", state).exit_code == 0
    assert parse_seen(state.read_bytes()).waiting == ()
    other = make_home(place / "other", "ledger.test/audited")
    wrong = audit(
        place / "published", "--checkpoint-key", format_verifier_key(other.verifier_key())
    )
    assert wrong.exit_code == 3
    assert "is not signed by the expected key" in wrong.stdout


def test_a_log_whose_key_changed_is_sound_for_every_key_and_for_its_home(place: Path) -> None:
    home, folder = place / "home", place / "published"
    with open_ledger(home) as ledger:
        rotate(ledger)
    seal(home, folder, "third")
    owner = audit(folder, "--home", home)
    assert owner.exit_code == 0, owner.stdout
    for number in (0, 1):
        key = format_verifier_key(open_home(home).verifier_key(number))
        stranger = audit(
            folder,
            "--checkpoint-key",
            key,
            "--trust",
            place / "home" / "authority" / "root.pem",
            "--require",
            "token",
        )
        assert "FAILED" not in stranger.stdout
        assert stranger.exit_code == 0, stranger.stdout


def test_what_is_not_due_yet_is_looked_at_again(place: Path) -> None:
    home, folder, state = place / "home", place / "published", place / "state.json"
    seal(home, folder, "third", work=False)
    waiting = audit(folder, "--home", home, "--state", state)
    assert waiting.exit_code == 0
    assert "Batch 2 is not stamped yet" in waiting.stdout
    assert [statement.sequence for statement in parse_seen(state.read_bytes()).waiting] == [2]
    with open_ledger(home) as ledger:
        assert ledger.outbox.work() == []
        publish(ledger, folder)
    assert audit(folder, "--home", home, "--state", state).exit_code == 0
    assert parse_seen(state.read_bytes()).waiting == ()


def test_late_is_late_until_the_deadline_is_another(place: Path) -> None:
    home, folder, state = place / "home", place / "published", place / "state.json"
    seal(home, folder, "third", late=timedelta(hours=5))
    for _ in range(2):
        late = audit(folder, "--home", home, "--state", state, "--deadline", 2)
        assert late.exit_code == 3
        assert "Batch 2 is late" in late.stdout
    assert audit(folder, "--home", home, "--state", state, "--deadline", 6).exit_code == 0
    assert audit(folder, "--home", home, "--deadline", 6, "--require", "token").exit_code == 0


def test_a_fork_leaves_evidence_and_the_state_as_it_was(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, folder, state = place / "home", place / "published", place / "state.json"
    shutil.copytree(home, place / "copied")
    seal(home, folder, "third")
    assert audit(folder, "--home", home, "--state", state).exit_code == 0
    before = state.read_bytes()
    seal(place / "copied", place / "forked", "another third")
    evidence = place / "evidence.json"

    fork = audit(
        place / "forked", "--home", home, "--state", state, "--evidence", evidence, "--json"
    )

    said = json.loads(fork.stdout)
    assert (fork.exit_code, said["verdict"], said["evidence"]) == (3, "failed", str(evidence))
    assert check_equivocation(
        parse_equivocation(evidence.read_bytes()), open_home(home).verifier_key()
    )
    assert state.read_bytes() == before
    assert "stays as it was" in fork.stderr
    # So does a log that goes back.
    monkeypatch.chdir(place)
    shutil.rmtree(folder)
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        older = transaction.checkpoint(1)
    folder.mkdir()
    (folder / "checkpoint").write_text(older, encoding="utf-8")
    rewound = audit(folder, "--home", home, "--state", state)
    assert rewound.exit_code == 3
    assert "The log rewinds" in rewound.stdout
    assert state.read_bytes() == before


def test_cosignatures_are_asked_for(place: Path) -> None:
    options = (place / "published", "--home", place / "home", "--witness-key", WITNESS)
    missing = audit(*options)
    assert missing.exit_code == 4
    assert "None of 1 cosigners signed the checkpoint; 1 is needed." in missing.stdout
    error = audit(*options, "--quorum", 2).exception
    assert isinstance(error, InvalidInput)
    assert "--quorum 2 of 1 is not possible" in str(error)


def test_nodes_are_asked_about_all_blocks_at_once(place: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def ask(nodes: tuple[str, ...], proof: Proof, finality: object) -> check.Testimony:
        asked.append((*nodes, *(str(len(proof.anchors)))))
        trust = home_trust(open_home(place / "home"), proof)
        assert trust
        return check.Testimony(trust, ("a note",))

    key = place / "home" / "keys" / "ledger.vkey"
    with mock.patch("witnesstree.anchor.evm.check.ask_nodes", ask):
        done = audit(place / "published", "--checkpoint-key", key, "--rpc", "http://node")
    assert (asked, done.exit_code) == ([("http://node", "2")], 0)
    assert "a note" in done.stderr


def test_a_home_of_another_ledger_is_not_trusted_for_this_one(place: Path) -> None:
    make_home(place / "other", "ledger.test/other")
    assert audit(place / "published", "--home", place / "other").exit_code == 3


def test_states_that_cannot_be_used(place: Path) -> None:
    state = place / "state.json"
    state.write_bytes(b"{")
    for path, said in ((state, "cannot be used"), (place, "is a folder")):
        error = audit(place / "published", "--state", path).exception
        assert isinstance(error, InvalidInput)
        assert said in str(error)


def test_more_waits_than_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_audit, "MAX_WAITING", 1)
    state = place / "state.json"
    done = audit(
        place / "published",
        "--checkpoint-key",
        place / "home" / "keys" / "ledger.vkey",
        "--state",
        state,
    )
    assert done.exit_code == 4
    assert not state.exists()
    assert "stays as it was" in done.stderr


def test_no_state_is_needed_and_no_log_is_no_verdict(place: Path) -> None:
    assert audit(place / "published", "--home", place / "home").exit_code == 0
    (place / "published" / "checkpoint").write_bytes(b"x")
    broken = audit(place / "published", "--witness-key", WITNESS)
    assert broken.exit_code == 3
    assert "cannot be read" in broken.stdout


@pytest.mark.enable_socket
def test_a_log_is_followed_over_http(place: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, directory=str(place / "published"), **options)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            done = audit(f"http://127.0.0.1:{server.server_port}/", "--home", place / "home")
        finally:
            server.shutdown()
            thread.join()
    assert done.exit_code == 0, done.output
