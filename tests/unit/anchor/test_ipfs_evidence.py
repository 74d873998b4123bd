"""Evidence in a store: encrypted unless it is to be public, once for each file and its readers,
with nothing left in between."""

import fcntl
import os
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from pyrage import x25519

from witnesstree.anchor.ipfs.encryption import Content, decrypt, read_identities
from witnesstree.anchor.ipfs.evidence import StoredFile, publish_batch, scratch, store_evidence
from witnesstree.anchor.ipfs.kubo import KuboStore
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.stores import (
    evidence_folder,
    identity_path,
    open_file_store,
    recipients_of,
)
from witnesstree.anchor.ipfs.unixfs import CHUNK
from witnesstree.anchor.settings import IpfsSettings
from witnesstree.ledger.base.errors import (
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
)
from witnesstree.ledger.store.home import Home

IDENTITY = x25519.Identity.generate()
OTHER = x25519.Identity.generate()
RECIPIENTS = [str(IDENTITY.to_public())]


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    return BlockStore(tmp_path / "ipfs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ipfs" / "evidence"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"evidence" * 100)
    return path


def stored(
    store: BlockStore,
    file: Path,
    folder: Path,
    recipients: list[str] | None = None,
    *,
    public: bool = False,
) -> StoredFile:
    """Store the file as `seal` does."""
    content = file.read_bytes()
    return store_evidence(
        store,
        file,
        sha256(content).digest(),
        len(content),
        recipients=recipients or RECIPIENTS,
        folder=folder,
        public=public,
    )


def left_in(folder: Path) -> list[Path]:
    return list((folder / "tmp").iterdir())


def memory_in(folder: Path) -> Path:
    (path,) = (folder / "known").rglob("*.json")
    return path


def test_a_file_is_stored_encrypted(
    store: BlockStore, file: Path, folder: Path, tmp_path: Path
) -> None:
    found = stored(store, file, folder)
    ciphertext, out = tmp_path / "ciphertext", tmp_path / "out"
    store.read(found.cid, ciphertext)
    assert found == StoredFile(
        found.cid, sha256(ciphertext.read_bytes()).digest(), ciphertext.stat().st_size
    )
    assert decrypt(ciphertext, out, [IDENTITY]) == Content(sha256(file.read_bytes()).digest(), 800)
    assert not any(
        b"evidence" in path.read_bytes()
        for path in (tmp_path / "ipfs").rglob("*")
        if path.is_file()
    )
    assert left_in(folder) == []


def test_a_public_file_is_stored_as_it_is(
    store: BlockStore, file: Path, folder: Path, tmp_path: Path
) -> None:
    found = stored(store, file, folder, public=True)
    assert found == StoredFile(BlockStore(tmp_path / "other").add(file))
    store.read(found.cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert not folder.exists()


def blocks_of(store: BlockStore) -> int:
    return len(list((store._folder / "blocks").glob("*/*")))


def test_the_same_file_is_kept_once(
    store: BlockStore, file: Path, folder: Path, tmp_path: Path
) -> None:
    found = stored(store, file, folder)
    twin = tmp_path / "twin.jpg"
    twin.write_bytes(file.read_bytes())
    assert stored(store, twin, folder) == found
    assert stored(store, file, folder, RECIPIENTS * 2) == found
    assert blocks_of(store) == 1


def test_another_reader_means_another_ciphertext(
    store: BlockStore, file: Path, folder: Path, tmp_path: Path
) -> None:
    found = stored(store, file, folder)
    both = [str(OTHER.to_public()), *RECIPIENTS]
    again = stored(store, file, folder, both)
    assert again != found
    store.read(again.cid, tmp_path / "ciphertext")
    decrypt(tmp_path / "ciphertext", tmp_path / "out", [OTHER])
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert stored(store, file, folder, both[::-1]) == again


def test_a_ciphertext_that_the_store_lost_is_made_anew(
    store: BlockStore, file: Path, folder: Path
) -> None:
    found = stored(store, file, folder)
    (block,) = (store._folder / "blocks").glob("*/*")
    block.write_bytes(b"altered")
    again = stored(store, file, folder)
    assert again.cid != found.cid
    assert store.holds(again.cid)
    assert stored(store, file, folder) == again


def test_a_file_is_held_only_if_all_its_blocks_are_whole(store: BlockStore, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(2 * CHUNK + 1))
    cid = store.add(file)
    assert store.holds(cid)
    for path in list((store._folder / "blocks").glob("*/*")):
        block = path.read_bytes()
        for harm in (lambda path=path: path.write_bytes(b"altered"), path.unlink):
            harm()
            assert not store.holds(cid)
        path.write_bytes(block)
    assert store.holds(cid)


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"{}", b'{"format":"witnesstree-ciphertext/2"}', b"x" * 5000]
)
def test_a_damaged_memory_is_forgotten(
    store: BlockStore, file: Path, folder: Path, content: bytes
) -> None:
    found = stored(store, file, folder)
    memory_in(folder).write_bytes(content)
    again = stored(store, file, folder)
    assert again.cid != found.cid
    assert stored(store, file, folder) == again


def test_a_memory_of_a_newer_version_is_not_believed(
    store: BlockStore, file: Path, folder: Path
) -> None:
    found = stored(store, file, folder)
    memory = memory_in(folder)
    memory.write_bytes(memory.read_bytes().replace(b"ciphertext/1", b"ciphertext/2"))
    assert stored(store, file, folder).cid != found.cid


def test_a_file_that_is_not_the_one_that_was_hashed(
    store: BlockStore, file: Path, folder: Path
) -> None:
    digest = sha256(file.read_bytes()).digest()
    for content in (b"evidence" * 99 + b"evidencx", b"evidence"):
        file.write_bytes(content)
        with pytest.raises(InvalidInput, match="has changed since it was hashed"):
            store_evidence(store, file, digest, 800, recipients=RECIPIENTS, folder=folder)
    assert left_in(folder) == []
    assert not (folder / "known").exists()
    assert not (store._folder / "blocks").exists()


def test_nothing_is_left_or_remembered_where_the_store_fails(
    store: BlockStore, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> str:
        assert path.read_bytes().startswith(b"age-encryption.org/v1\n")
        raise Unreachable("gone")

    monkeypatch.setattr(store, "add", fail)
    with pytest.raises(Unreachable):
        stored(store, file, folder)
    assert left_in(folder) == []
    assert not (folder / "known").exists()


def test_a_disk_without_room_for_the_memory(store: BlockStore, file: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "known").write_bytes(b"in the way")
    with pytest.raises(StorageFailure):
        stored(store, file, folder)


# Temporary files
# --------------------------------------------------------------------------------------------------


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from witnesstree.anchor.ipfs.evidence import scratch

with scratch(Path({str(folder)!r})) as path:
    path.write_bytes(b"ciphertext")
    path.with_name(".half.part").write_bytes(b"cipher")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert len(left_in(folder)) == 2
    with scratch(folder) as path:
        assert left_in(folder) == []
        path.write_bytes(b"ciphertext")
    assert left_in(folder) == []


def test_what_another_process_is_at_is_left_alone(folder: Path) -> None:
    with scratch(folder) as first:
        first.write_bytes(b"ciphertext")
        with scratch(folder) as second:
            assert second != first
            second.write_bytes(b"other")
        assert left_in(folder) == [first]


def test_the_lock_is_let_go(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch(folder):
        raise KeyboardInterrupt
    descriptor = os.open(folder / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailure), scratch(tmp_path / "file"):
        pass


# Batches, settings
# --------------------------------------------------------------------------------------------------


def test_a_batch_is_published_as_it_is(store: BlockStore, tmp_path: Path) -> None:
    digests = tmp_path / "0.digests"
    digests.write_bytes(os.urandom(32 * 10_000))
    cid = publish_batch(store, digests)
    store.read(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == digests.read_bytes()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_what_is_no_list_of_digests_is_not_published(
    store: BlockStore, tmp_path: Path, size: int
) -> None:
    (tmp_path / "0.digests").write_bytes(bytes(size))
    with pytest.raises(InvalidInput, match="no list of digests"):
        publish_batch(store, tmp_path / "0.digests")


def test_a_batch_that_is_not_there(store: BlockStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        publish_batch(store, tmp_path / "0.digests")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home" / "keys").mkdir(parents=True)
    return Home(tmp_path / "home", "ledger.test/ipfs")


def test_the_settings_say_where_files_go(home: Home) -> None:
    with closing(open_file_store(home, IpfsSettings())) as store:
        assert isinstance(store, BlockStore)
        assert "home only" in str(store.notice)
    assert not home.ipfs.exists()
    with closing(open_file_store(home, IpfsSettings(url="http://127.0.0.1:5001"))) as kubo:
        assert isinstance(kubo, KuboStore)
        assert "http://127.0.0.1:5001" in str(kubo.notice)


def test_files_are_for_the_home_and_for_whom_the_settings_name(home: Home) -> None:
    recipients = recipients_of(home, IpfsSettings(recipients=(str(OTHER.to_public()),)))
    assert recipients[1] == str(OTHER.to_public())
    (identity,) = read_identities(identity_path(home))
    assert recipients[0] == str(identity.to_public())  # type: ignore[union-attr]
    assert recipients_of(home, IpfsSettings()) == recipients[:1]


def test_wrong_recipients_in_the_settings(home: Home) -> None:
    with pytest.raises(InvalidInput, match="no age recipient"):
        recipients_of(home, IpfsSettings(recipients=("age1",)))


def test_a_home_whose_identity_was_altered(home: Home) -> None:
    identity_path(home).write_text("rubbish")
    with pytest.raises(Damaged):
        recipients_of(home, IpfsSettings())


def test_a_ciphertext_is_found_with_the_homes_own_key(
    home: Home, file: Path, tmp_path: Path
) -> None:
    recipients = recipients_of(home, IpfsSettings())
    content = file.read_bytes()
    with closing(open_file_store(home, IpfsSettings())) as store:
        found = store_evidence(
            store,
            file,
            sha256(content).digest(),
            len(content),
            recipients=recipients,
            folder=evidence_folder(home),
        )
        store.read(found.cid, tmp_path / "ciphertext")
    decrypt(tmp_path / "ciphertext", tmp_path / "out", read_identities(identity_path(home)))
    assert (tmp_path / "out").read_bytes() == content


def test_a_file_that_is_not_there(store: BlockStore, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store_evidence(
            store, tmp_path / "nothing", bytes(32), 0, recipients=RECIPIENTS, folder=folder
        )
