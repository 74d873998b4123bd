"""A run of `seal --digests` that was cut off is gone on with: nothing is sealed twice, nothing is
left out."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import leaves
import pytest
from commandline import call
from fakes import When

from witnesstree.anchor.wiring import open_ledger
from witnesstree.cli import sources
from witnesstree.cli.submission import FOLDER
from witnesstree.ledger.base.errors import StorageFailure
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.work.sealing import Ledger, Receipt

COUNT = 25
ALL = [sha256(b"%d" % i).digest() for i in range(COUNT)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert call("init", "--home", tmp_path / "home").code == 0
    return tmp_path / "home"


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sources, "PART", 4)
    (tmp_path / "digests").write_bytes(b"".join(ALL))
    return tmp_path / "digests"


def failing(monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> pytest.MonkeyPatch:
    """Have submission number `at` fail before it took hold."""
    real, asked = Ledger.submit, []

    def submit(self: Ledger, packed: Any) -> Receipt:
        asked.append(1)
        if len(asked) > at:
            raise error
        return real(self, packed)

    monkeypatch.setattr(Ledger, "submit", submit)
    return monkeypatch


def entries(home: Path) -> list[bytes]:
    """Return all entries that the ledger has taken, in their order."""
    with open_ledger(home) as ledger:
        with ledger.metadata.read() as transaction:
            rows = [*transaction.batches(), *transaction.open_batches()]
        found = [leaf for row in rows for leaf in leaves.entries(ledger, row.sequence)]
        assert len(found) == sum(row.entries for row in rows)
        return found


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageFailure("no room")])
@pytest.mark.parametrize("at", [0, 1, 3, 6])
def test_what_was_cut_off_is_gone_on_with(
    home: Path, digests: Path, error: BaseException, at: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, at, error)
        assert call("seal", "--digests", digests, "--home", home).code in {11, 130}
    assert entries(home) == ALL[: 4 * at]
    ran = call("seal", "--digests", digests, "--home", home, "--json")
    assert (ran.code, ran.json["count"]) == (0, COUNT)
    assert sum(span["count"] for span in ran.json["receipt"]["spans"]) == COUNT
    assert ("Going on after the first" in ran.talk) is (at > 0)
    assert entries(home) == ALL
    # The receipt was given: the same file again is another submission.
    assert list((home / FOLDER).iterdir()) == []
    assert call("seal", "--digests", digests, "--home", home).code == 0
    assert entries(home) == ALL * 2


def test_a_file_that_was_changed_is_another_one(home: Path, digests: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, 2, KeyboardInterrupt())
        assert call("seal", "--digests", digests, "--home", home).code == 130
    digests.write_bytes(b"".join(reversed(ALL)))
    assert call("seal", "--digests", digests, "--home", home).code == 0
    assert entries(home) == ALL[:8] + ALL[::-1]


@pytest.mark.parametrize(
    "harm", ["no JSON", "another format", "no spans", "other entries", "no entries"]
)
def test_what_is_kept_is_not_believed(home: Path, digests: Path, harm: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, 2, KeyboardInterrupt())
        assert call("seal", "--digests", digests, "--home", home).code == 130
    (kept,) = (home / FOLDER).iterdir()
    content = kept.read_text()
    change = {
        "no JSON": content[:-5],
        "another format": content.replace("submission/1", "submission/2"),
        "no spans": content.replace(content[content.index("[") : content.index("]") + 1], "[]"),
        "other entries": content.replace('"first":2', '"first":3'),
        "no entries": content.replace('"batch":0', '"batch":9'),
    }
    assert change[harm] != content
    kept.write_text(change[harm])
    assert call("seal", "--digests", digests, "--home", home).code == 0
    assert entries(home) == ALL[:8] + ALL


def test_batches_that_were_closed_meanwhile_are_all_in_the_receipt(
    home: Path, digests: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, 2, KeyboardInterrupt())
        assert call("seal", "--digests", digests, "--home", home).code == 130
    assert call("seal", "--home", home).code == 0
    spans = call("seal", "--digests", digests, "--home", home, "--json").json["receipt"]["spans"]
    assert spans == [
        {"batch": 0, "first": 2, "count": 8},
        {"batch": 1, "first": 2, "count": COUNT - 8},
    ]


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("at", [2, 4])
def test_a_part_over_two_batches_of_which_one_fails_counts_whole_or_not_at_all(
    home: Path, digests: Path, monkeypatch: pytest.MonkeyPatch, when: When, at: int
) -> None:
    """The parts before it count, and are not submitted again: each goes over two batches."""
    taken = 4 * (at // 2 - 1)
    monkeypatch.setenv("WITNESSTREE_BATCH_ENTRIES", "3")
    append, calls = BatchFiles.append, []

    def refusing(files: BatchFiles, *args: Any) -> None:
        calls.append(1)
        if len(calls) == at and when is When.BEFORE:
            raise StorageFailure("write-failed", path="batches", error="no room")
        append(files, *args)
        if len(calls) == at:
            raise StorageFailure("write-failed", path="batches", error="no room")

    with monkeypatch.context() as patch:
        patch.setattr(BatchFiles, "append", refusing)
        failed = call("seal", "--no-wait", "--digests", digests, "--home", home)
    assert failed.code == 11
    assert "no room" in failed.error()
    assert entries(home) == ALL[:taken]
    ran = call("seal", "--digests", digests, "--home", home)
    assert ran.code == 0
    assert ("Going on after the first 4" in ran.talk) is (taken == 4)
    assert entries(home) == ALL


def test_whoever_sealed_digests_is_told_how_to_get_their_proofs(
    home: Path, digests: Path, tmp_path: Path
) -> None:
    ran = call("seal", "--digests", digests, "--home", home)
    said = "of all in a batch, `witnesstree proof --all --batch 0 -o FILE`"
    assert said in ran.talk
    fetched = call("proof", "--all", "--batch", 0, "-o", tmp_path / "all", "--home", home)
    assert fetched.code == 0
    for other in (("--no-wait",), ("--json",), ("--proofs", tmp_path / "proofs")):
        assert said not in call("seal", "--digests", digests, "--home", home, *other).talk
