"""A real litewitness cosigns our checkpoints, and refuses those that fork.
https://c2sp.org/tlog-witness"""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import START, Clock
from fakes import FakeWorld, digests
from servers.litewitness import Litewitness, litewitness

from witnesstree.anchor.cosigners import Cosigner, ask_cosigner
from witnesstree.anchor.http import Http
from witnesstree.anchor.publishing import publish, with_cosignatures
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.cli.log import log_command
from witnesstree.ledger.base.errors import BadAnswer, Conflict, NotFound
from witnesstree.ledger.log.cosignature import (
    add_cosignatures,
    check_cosignatures,
    format_cosigner_key,
)
from witnesstree.ledger.log.note import check_checkpoint
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.work.rotation import rotate
from witnesstree.ledger.work.sealing import Ledger

pytestmark = [pytest.mark.real("litewitness"), pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def server() -> Iterator[Litewitness]:
    with litewitness() as server:
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=20) as http:
        yield http


def seal(ledger: Ledger, label: str) -> None:
    ledger.submit(b"".join(digests(label, 2)))
    ledger.close()


def kept(home: Path) -> str:
    """Return the newest checkpoint with the cosignatures that the home keeps."""
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        return with_cosignatures(transaction, transaction.checkpoint())


def ask(http: Http, server: Litewitness, ledger: Ledger, size: int | None = None) -> str:
    """Return the checkpoint with what the witness answers."""
    witness = Cosigner(server.url, server.key)
    with ledger.metadata.read() as transaction:
        note = transaction.checkpoint(size)
        return add_cosignatures(
            note, ask_cosigner(http, witness, note, transaction.log_node), [server.key]
        )


def test_it_cosigns_what_continues_and_refuses_what_forks(
    server: Litewitness, http: Http, tmp_path: Path
) -> None:
    clock = Clock(START)
    world = FakeWorld(tmp_path / "home", clock)
    key = world.home.verifier_key()
    with world.open() as ledger:
        seal(ledger, "first")
        with pytest.raises(NotFound, match="does not know this log"):
            ask(http, server, ledger)
    # A copy of the home, which goes on as if it were the ledger.
    copied = tmp_path / "copied"
    shutil.copytree(world.home.folder, copied)
    server.learn(key)
    with world.open() as ledger:
        for label in ("second", "third", "fourth"):
            before = int(datetime.now(UTC).timestamp())
            note = ask(http, server, ledger)
            (cosignature,) = check_cosignatures(note, [server.key])
            assert 0 <= cosignature.time - before <= 30
            # Both stand under one note: the log's signature still verifies.
            assert check_checkpoint(note, key)
            # The same one again is cosigned again.
            assert check_cosignatures(ask(http, server, ledger), [server.key])
            seal(ledger, label)
        with pytest.raises(
            Conflict, match="has seen this log with 3 entries, and this checkpoint has 2"
        ):
            ask(http, server, ledger, size=2)
    with open_copy(world, copied) as forked:
        for label in ("another second", "another third", "another fourth"):
            seal(forked, label)
        for size, says in ((3, "as many as this checkpoint has"), (4, "does not accept the proof")):
            with pytest.raises(BadAnswer, match=says):
                ask(http, server, forked, size=size)
    # The true one is still cosigned.
    with world.open() as ledger:
        assert check_cosignatures(ask(http, server, ledger), [server.key])


def test_it_has_to_be_told_of_a_new_key(server: Litewitness, http: Http, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "ledger.test/rotated")
    server.learn(home.verifier_key())
    with open_ledger(home.folder) as ledger:
        seal(ledger, "first")
        assert check_cosignatures(ask(http, server, ledger), [server.key])
        rotate(ledger)
        # The newest checkpoint is still under the old key.
        assert check_cosignatures(ask(http, server, ledger), [server.key])
        seal(ledger, "second")
        with pytest.raises(BadAnswer, match="under another key"):
            ask(http, server, ledger)
        server.learn_another(home.verifier_key(1))
        assert check_cosignatures(ask(http, server, ledger), [server.key])


def test_the_command_keeps_cosignatures_and_publishes_them(
    server: Litewitness, tmp_path: Path
) -> None:
    home, folder = tmp_path / "home", tmp_path / "published"
    server.learn(make_home(home, "ledger.test/command").verifier_key())
    with open_ledger(home) as ledger:
        seal(ledger, "first")
        publish(ledger, folder)

    done = cosign(
        "--witness",
        server.url,
        "--witness-key",
        format_cosigner_key(server.key),
        "--home",
        home,
        "--into",
        folder,
        "--json",
    )

    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert list(said["cosignatures"]) == [server.key.name]
    published = (folder / "checkpoint").read_text(encoding="utf-8")
    assert published == said["checkpoint"] == kept(home)
    assert check_cosignatures(published, [server.key])


def test_a_forked_log_is_not_cosigned_by_the_command_either(
    server: Litewitness, tmp_path: Path
) -> None:
    home, copied = tmp_path / "home", tmp_path / "copied"
    server.learn(make_home(home, "ledger.test/forked").verifier_key())
    shutil.copytree(home, copied)
    options = ("--witness", server.url, "--witness-key", format_cosigner_key(server.key))
    codes = []
    for folder in (home, copied):
        with open_ledger(folder) as ledger:
            seal(ledger, str(folder))
        done = cosign(*options, "--home", folder)
        codes.append(done.exit_code)
    assert codes == [0, 4]
    # It shows no checkpoint, so nobody is accused; what to compare is said.
    assert "has seen 1 entry of this log, as many as this checkpoint has" in done.stderr
    assert "`witnesstree log check`, which tells whether two histories were signed" in done.stderr
    assert "0 of 1 cosigner cosigned; 1 had to." in done.stderr


def cosign(*arguments: object) -> Result:
    return CliRunner().invoke(log_command, ["cosign", *map(str, arguments)], catch_exceptions=False)


def open_copy(world: FakeWorld, folder: Path) -> AbstractContextManager[Ledger]:
    """Open another home as `world` opens its own."""
    other = copy(world)
    other.home = open_home(folder)
    return other.open()
