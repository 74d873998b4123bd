"""What every FileStore promises, asked of the fake, of the embedded one and of Kubo."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes import FakeFileStore, When
from servers.kubo import Kubo, running_kubo

from witnesstree.anchor.ipfs.kubo import KuboStore
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.stores import EvidenceStore
from witnesstree.anchor.ipfs.unixfs import CHUNK
from witnesstree.ledger.base.errors import BadAnswer, Damaged, InvalidInput, NotFound, Unreachable
from witnesstree.ledger.base.ports import FileStore

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
"""The CID of no bytes: known to everybody."""

Harm = Callable[[str], object]


pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with running_kubo(tmp_path_factory.mktemp("kubo")) as kubo:
        yield kubo


REAL = ["embedded", pytest.param("kubo", marks=pytest.mark.real("ipfs"))]


@pytest.fixture(params=["fake", *REAL])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FileStore, Harm, Harm]]:
    """Return a store, and how to alter or remove one of its blocks."""
    if request.param == "fake":
        fake = FakeFileStore()
        yield fake, lambda cid: fake.blocks.update({cid: b"altered"}), fake.blocks.pop
    elif request.param == "embedded":
        folder = tmp_path / "ipfs"

        def place(cid: str) -> Path:
            (path,) = folder.rglob(cid)
            return path

        yield (
            BlockStore(folder),
            lambda cid: place(cid).write_bytes(b"altered"),
            lambda cid: place(cid).unlink(),
        )
    else:
        node: Kubo = request.getfixturevalue("kubo")
        with closing(KuboStore(node.url, 30)) as store:
            # An empty node for each test costs half a second; the one file that several tests want
            # not to be there is taken out instead.
            node.forget(EMPTY)
            yield store, lambda cid: node.block_file(cid).write_bytes(b"altered"), node.forget


@pytest.fixture
def store(found: tuple[FileStore, Harm, Harm]) -> FileStore:
    return found[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_file_comes_back_under_its_cid(
    store: FileStore, file: Path, tmp_path: Path, size: int
) -> None:
    file.write_bytes(bytes(i % 251 for i in range(size)))
    cid = store.add(file)
    store.read(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()


def test_all_stores_give_the_same_cid(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"evidence" * 100_000)
    assert FakeFileStore().add(file) == BlockStore(tmp_path / "ipfs").add(file)


def test_the_cid_is_that_of_everybody(store: FileStore, file: Path) -> None:
    file.touch()
    assert store.add(file) == EMPTY


def test_a_file_may_be_added_again(store: FileStore, file: Path) -> None:
    file.write_bytes(b"evidence")
    assert store.add(file) == store.add(file)


def test_a_file_that_is_not_there_is_not_found(store: FileStore, file: Path) -> None:
    with pytest.raises(NotFound):
        store.add(file)


def test_a_folder_is_no_file(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        store.add(tmp_path)


def test_a_block_that_is_not_here_is_not_found(
    found: tuple[FileStore, Harm, Harm], file: Path, tmp_path: Path
) -> None:
    store, _, remove = found
    with pytest.raises(NotFound):
        store.read(EMPTY, tmp_path / "out")
    file.write_bytes(os.urandom(8))
    cid = store.add(file)
    remove(cid)
    with pytest.raises(NotFound):
        store.read(cid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_altered_block_is_not_believed(
    found: tuple[FileStore, Harm, Harm], file: Path, tmp_path: Path
) -> None:
    store, alter, _ = found
    file.write_bytes(os.urandom(8))
    cid = store.add(file)
    alter(cid)
    with pytest.raises((Damaged, BadAnswer)):
        store.read(cid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "Qm", "bafkrei", EMPTY + "a", EMPTY.upper()])
def test_what_is_no_cid_is_refused(store: FileStore, tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput):
        store.read(text, tmp_path / "out")


@pytest.mark.parametrize("found", REAL, indirect=True)
@pytest.mark.parametrize("size", [8, 3 * CHUNK])
def test_a_store_for_evidence_tells_what_it_holds(
    found: tuple[EvidenceStore, Harm, Harm], file: Path, tmp_path: Path, size: int
) -> None:
    store, _, remove = found
    file.write_bytes(os.urandom(size))
    cid = BlockStore(tmp_path / "other").add(file)
    assert not store.holds(cid)
    assert store.add(file) == cid
    assert store.holds(cid)
    with pytest.raises(InvalidInput):
        store.holds("Qm")
    remove(cid)
    assert not store.holds(cid)


def test_the_fake_fails_on_either_side_of_its_effect(file: Path) -> None:
    store = FakeFileStore()
    file.write_bytes(b"evidence")
    seen = []
    for when in When:
        store.switches.fail("add", when)
        with pytest.raises(Unreachable):
            store.add(file)
        seen.append(len(store.blocks))
    assert seen == [0, 1]
