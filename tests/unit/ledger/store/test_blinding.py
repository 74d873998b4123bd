"""Blinding leaves: which they are, their secret, and how they are told from entries."""

import hmac
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from fakes import digests

from witnesstree.ledger.base.errors import Damaged, StorageFailure
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.blinding import Blinding
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import Home
from witnesstree.ledger.tree import levels

SECRET = bytes(range(32))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "keys").mkdir()
    return Home(tmp_path, "ledger.test/blinding")


@pytest.fixture
def secret(home: Home) -> Path:
    path = home.folder / "keys" / "blinding.key"
    path.write_text(f"{SECRET.hex()}\n")
    return path


@pytest.fixture
def files(home: Home) -> BatchFiles:
    return BatchFiles(Folder(home.batches))


@pytest.fixture
def blinding(home: Home, secret: Path) -> Blinding:
    assert secret.exists()
    return Blinding(home)


@pytest.mark.parametrize(("batch", "position"), [(0, 1), (0, 3), (1, 1), (2**40, 2**47 + 1)])
def test_a_leaf_follows_from_secret_batch_and_position(
    blinding: Blinding, batch: int, position: int
) -> None:
    place = b"witnesstree-blinding/1" + batch.to_bytes(8, "big")
    key = hmac.new(SECRET, place, "sha256").digest()
    # Counter mode, block by block.
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    expected = b"".join(
        block.update((2 * position + half).to_bytes(16, "big")) for half in range(2)
    )
    assert blinding.leaf(batch, position) == expected


def test_no_two_leaves_are_the_same_and_other_secrets_give_others(home: Home, secret: Path) -> None:
    places = [(batch, position) for batch in range(20) for position in range(20)]
    ours = [Blinding(home).leaf(*place) for place in places]
    assert len(set(ours)) == len(places)
    secret.write_text(f"{bytes(32).hex()}\n")
    assert set(ours).isdisjoint(Blinding(home).leaf(*place) for place in places)


def test_the_secret_is_made_once_and_is_nobody_else_s(home: Home) -> None:
    path = home.folder / "keys" / "blinding.key"
    one = Blinding(home)
    assert not one.is_here()
    leaf = one.leaf(0, 1)
    content = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(content.decode())) == 32
    assert one.is_here()
    other = Blinding(home)
    assert (other.is_here(), other.leaf(0, 1)) == (True, leaf)
    assert path.read_bytes() == content
    path.unlink()
    assert Blinding(home).leaf(0, 1) != leaf
    assert path.read_bytes() != content


def test_who_only_counts_makes_no_secret(home: Home, files: BatchFiles) -> None:
    files.append(0, 0, *digests("entry", 4))
    assert Blinding(home).count(files, 0, 4) == 0
    assert list((home.folder / "keys").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"ab" * 31,
        b"ab" * 33,
        b"xy" * 32,
        b"\xff" * 64,
        bytes(32),
        b"ab" * 32 + b"cd" * 1000,
    ],
)
def test_a_damaged_secret_is_refused_and_stays(
    home: Home, secret: Path, files: BatchFiles, content: bytes
) -> None:
    secret.write_bytes(content)
    files.append(0, 0, *digests("entry", 2))
    for ask in (
        lambda: Blinding(home).leaf(0, 1),
        lambda: Blinding(home).is_here(),
        lambda: Blinding(home).count(files, 0, 2),
    ):
        with pytest.raises(Damaged, match="must hold 64 hexadecimal digits"):
            ask()
    assert secret.read_bytes() == content


def test_a_secret_that_cannot_be_read_or_made_is_said(home: Home) -> None:
    path = home.folder / "keys" / "blinding.key"
    path.mkdir()
    with pytest.raises(StorageFailure):
        Blinding(home).leaf(0, 1)
    path.rmdir()
    (home.folder / "keys").rmdir()
    with pytest.raises(StorageFailure):
        Blinding(home).leaf(0, 1)


@pytest.mark.parametrize("part", [2, 4, 8, levels.PART])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17])
def test_blinding_leaves_are_found_and_counted_in_batches_of_every_length(
    blinding: Blinding, files: BatchFiles, monkeypatch: pytest.MonkeyPatch, size: int, part: int
) -> None:
    """Also at the first and the last place of a part that is read."""
    monkeypatch.setattr(levels, "PART", part)
    for batch, wanted in enumerate(
        ([], [1], [1, 3], [3, 7], [5], [1, 3, 5, 7, 9, 11, 13, 15], [7, 9, 15])
    ):
        expected = [position for position in wanted if position < size]
        content = [
            blinding.leaf(batch, position) if position in wanted else entry
            for position, entry in enumerate(digests("entry", 17))
        ]
        files.append(batch, 0, *content)
        assert list(blinding.positions(files, batch, size)) == expected
        assert blinding.count(files, batch, size) == len(expected)


def test_a_blinding_leaf_of_another_place_is_none(blinding: Blinding, files: BatchFiles) -> None:
    elsewhere = [blinding.leaf(1, 1), blinding.leaf(0, 3), blinding.leaf(0, 2), bytes(32)]
    files.append(0, 0, *elsewhere)
    assert blinding.count(files, 0, 4) == 0
    # The first leaf of a pair is an entry whatever it is.
    files.append(2, 0, blinding.leaf(2, 0), bytes(32), blinding.leaf(2, 2), blinding.leaf(2, 3))
    assert list(blinding.positions(files, 2, 4)) == [3]


def test_a_batch_that_is_too_short_is_damaged(blinding: Blinding, files: BatchFiles) -> None:
    files.append(0, 0, *digests("entry", 3))
    with pytest.raises(Damaged):
        blinding.count(files, 0, 4)
