"""fsck of the embedded parts: a chain that lost or changed a block, and a block store that lost or
changed one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fakes import digests

from witnesstree.anchor.evm.blocks import FILE
from witnesstree.anchor.fsck import check_embedded
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.home import Home, open_home
from witnesstree.ledger.work.fsck.problem import Problem

DIGESTS = digests("embedded", 2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded") / "home"
    home = make_home(folder, "ledger.test/embedded")
    with open_ledger(folder) as ledger:
        for digest in DIGESTS:
            ledger.submit(digest)
            ledger.close()
            assert ledger.outbox.work() == []
    (folder.parent / "file").write_bytes(b"evidence" * 50_000)
    BlockStore(home.ipfs).add(folder.parent / "file")
    return folder


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Home:
    shutil.copytree(prepared, tmp_path / "home")
    return open_home(tmp_path / "home")


def problems(home: Home) -> list[Problem]:
    with open_ledger(home.folder) as ledger:
        return list(check_embedded(ledger))


def execute(home: Home, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(home.chain / FILE)) as database:
        assert database.execute(statement, values).rowcount == 1
        database.commit()


def test_sound_parts_have_no_problem(home: Home) -> None:
    assert problems(home) == []


def test_a_block_that_is_gone_is_named(home: Home) -> None:
    execute(home, "DELETE FROM pair WHERE key = ?", b"block-number-to-hash:2")
    assert problems(home) == [
        Problem(
            message("as-text", text=str(home.chain)),
            message("anchored-block-missing", folder=home.chain, number=2, batch=0),
        )
    ]


def test_another_block_in_its_place_is_named(home: Home) -> None:
    """The block of batch 1 under the number of batch 0: the chain contradicts itself."""
    with closing(sqlite3.connect(home.chain / FILE)) as database:
        (other,) = database.execute(
            "SELECT value FROM pair WHERE key = ?", (b"block-number-to-hash:3",)
        ).fetchone()
    execute(home, "UPDATE pair SET value = ? WHERE key = ?", other, b"block-number-to-hash:2")
    (problem,) = problems(home)
    assert str(problem.fault).startswith("batch 0: ")


def test_an_altered_header_is_named(home: Home) -> None:
    with closing(sqlite3.connect(home.chain / FILE)) as database:
        (value,) = database.execute(
            "SELECT value FROM pair WHERE key = ?", (b"block-number-to-hash:2",)
        ).fetchone()
    execute(home, "UPDATE pair SET value = zeroblob(600) WHERE key = ?", value[1:])
    (problem,) = problems(home)
    assert str(problem.place) == str(home.chain)
    assert str(problem.fault).startswith("batch 0: ")


def test_an_anchor_that_cannot_be_read_is_named(home: Home) -> None:
    with closing(sqlite3.connect(home.database)) as database:
        database.execute("DROP TRIGGER anchors_no_update")
        database.execute("UPDATE anchors SET anchor = '{' WHERE sequence = 1")
        database.commit()
    (problem,) = problems(home)
    assert str(problem.fault).startswith("batch 1: ")


def test_damaged_and_missing_blocks_of_files_are_named(home: Home) -> None:
    leaves = sorted(path for path in home.ipfs.rglob("bafkrei*") if path.is_file())
    leaves[0].write_bytes(b"altered")
    leaves[1].unlink()
    found = problems(home)
    assert {str(problem.place) for problem in found} == {
        f"{home.ipfs}, {path.relative_to(home.ipfs).as_posix()}" for path in leaves[:2]
    }


def test_an_anchor_on_another_chain_is_not_asked_of_the_embedded_one(home: Home) -> None:
    with closing(sqlite3.connect(home.database)) as database:
        elsewhere = """INSERT INTO anchors SELECT sequence, 'elsewhere', replace(anchor, '"number":2', '"number":99') FROM anchors WHERE sequence = 0"""  # noqa: E501
        assert database.execute(elsewhere).rowcount == 1
        database.commit()
    assert problems(home) == []
