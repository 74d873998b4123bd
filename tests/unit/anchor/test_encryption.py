"""age encryption: what is encrypted comes back, to its recipients alone; damage is told from the
wrong key; nothing is left half-written."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrage import x25519
from real import require_real

from witnesstree.anchor.ipfs import encryption, local
from witnesstree.anchor.ipfs.encryption import (
    MAX_HEADER,
    MAX_IDENTITIES,
    MAX_RECIPIENT,
    MAX_RECIPIENTS,
    Content,
    decrypt,
    encrypt,
    make_identity,
    own_recipient,
    read_identities,
    require_recipients,
)
from witnesstree.ledger.base.errors import Damaged, InvalidInput, NotFound, StorageFailure
from witnesstree.ledger.store import disk

IDENTITY = x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(os.urandom(200_000))
    return path


@pytest.fixture
def ciphertext(file: Path, tmp_path: Path) -> Path:
    encrypt(file, tmp_path / "photo.age", [RECIPIENT])
    return tmp_path / "photo.age"


def content_of(path: Path) -> Content:
    return Content(sha256(path.read_bytes()).digest(), path.stat().st_size)


# There and back
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 1_000_000])
def test_what_is_encrypted_comes_back(tmp_path: Path, size: int) -> None:
    file, ciphertext, out = (tmp_path / name for name in ("file", "ciphertext", "out"))
    file.write_bytes(os.urandom(size))
    made = encrypt(file, ciphertext, [RECIPIENT])
    assert made.plaintext == content_of(file)
    assert made.ciphertext == content_of(ciphertext)
    assert decrypt(ciphertext, out, [IDENTITY]) == made.plaintext
    assert out.read_bytes() == file.read_bytes()


def test_the_plaintext_is_not_in_the_ciphertext(ciphertext: Path, file: Path) -> None:
    assert file.read_bytes()[:32] not in ciphertext.read_bytes()


def test_two_encryptions_differ(file: Path, ciphertext: Path, tmp_path: Path) -> None:
    encrypt(file, tmp_path / "other", [RECIPIENT])
    assert (tmp_path / "other").read_bytes() != ciphertext.read_bytes()


def test_each_recipient_can_decrypt_and_nobody_else(file: Path, tmp_path: Path) -> None:
    identities = [x25519.Identity.generate() for _ in range(MAX_RECIPIENTS)]
    encrypt(file, tmp_path / "ciphertext", [str(identity.to_public()) for identity in identities])
    for identity in (identities[0], identities[-1]):
        decrypt(tmp_path / "ciphertext", tmp_path / "out", [IDENTITY, identity])
        assert (tmp_path / "out").read_bytes() == file.read_bytes()
        (tmp_path / "out").unlink()
    with pytest.raises(InvalidInput, match="other keys"):
        decrypt(tmp_path / "ciphertext", tmp_path / "out", [IDENTITY])
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """In a process of its own, which tells by how many KiB its largest size grew, pyrage's own
    memory included."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(192 * 2**20)
    program = f"""
import resource, sys
from pathlib import Path
from pyrage import x25519
from witnesstree.anchor.ipfs.encryption import decrypt, encrypt

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

large, ciphertext, out = (Path({str(tmp_path)!r}, name) for name in ("large", "ciphertext", "out"))
identity = x25519.Identity.generate()
before = most()
encrypt(large, ciphertext, [str(identity.to_public())])
large.unlink()
decrypt(ciphertext, out, [identity])
print(most() - before)
"""
    grown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, timeout=100
    ).stdout
    assert int(grown) < 24 * 1024


# Recipients and identities
# --------------------------------------------------------------------------------------------------


NO_RECIPIENTS = [
    "",
    "age1",
    "rubbish",
    RECIPIENT[:-1],
    RECIPIENT + "q",
    "ssh-ed25519 AAAA",
    "ssh-",
    "age1yubikey1qqqq",
    RECIPIENT + " " * MAX_RECIPIENT,
    "\ud800",
]


@pytest.mark.parametrize("text", NO_RECIPIENTS, ids=range(len(NO_RECIPIENTS)))
def test_what_is_no_recipient_is_refused(file: Path, tmp_path: Path, text: str) -> None:
    for call in (
        lambda: encrypt(file, tmp_path / "out", [RECIPIENT, text]),
        lambda: require_recipients([text]),
    ):
        with pytest.raises(InvalidInput, match="is no age recipient"):
            call()
    assert not (tmp_path / "out").exists()


def test_a_private_key_in_place_of_a_recipient_is_not_shown() -> None:
    with pytest.raises(InvalidInput) as raised:
        require_recipients([str(IDENTITY)])
    assert str(IDENTITY)[16:24] not in str(raised.value)


@pytest.mark.parametrize("count", [0, MAX_RECIPIENTS + 1])
def test_the_number_of_recipients_is_limited(count: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 33"):
        require_recipients([RECIPIENT] * count)


def test_a_new_identity_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "age.txt"
    make_identity(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    (identity,) = read_identities(path)
    assert own_recipient(path) == str(identity.to_public())  # type: ignore[union-attr]


def test_an_identity_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "age.txt"
    recipient = own_recipient(path)
    content = path.read_bytes()
    make_identity(path)
    assert path.read_bytes() == content
    assert own_recipient(path) == recipient
    assert list(tmp_path.iterdir()) == [path]


def test_processes_that_make_one_at_once_find_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(own_recipient(tmp_path / "age.txt")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_disk_that_refuses_leaves_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageFailure, match="No space left"):
        make_identity(tmp_path / "age.txt")
    assert list(tmp_path.iterdir()) == []


def test_identities_as_age_writes_them(tmp_path: Path) -> None:
    path, other = tmp_path / "keys.txt", x25519.Identity.generate()
    path.write_text(
        f"# created: 2026-11-23\n# public key: {RECIPIENT}\n{IDENTITY}\n\n  {other}  \n"
    )
    assert [str(identity) for identity in read_identities(path)] == [str(IDENTITY), str(other)]


FAULTS: dict[str, bytes] = {
    "nothing": b"",
    "comments alone": b"# public key: age1\n",
    "a recipient": RECIPIENT.encode(),
    "half a key": str(IDENTITY)[:-3].encode(),
    "a key and rubbish": f"{IDENTITY}\nrubbish\n".encode(),
    "no text": b"\xff\xfe",
    "too much": b"#" * (MAX_IDENTITIES + 1),
    "half an SSH key": b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
    "a certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_identity_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "age.txt"
    path.write_bytes(FAULTS[fault])
    with pytest.raises(InvalidInput) as raised:
        read_identities(path)
    assert str(IDENTITY)[16:24] not in str(raised.value)
    assert raised.value.__cause__ is None
    with pytest.raises(Damaged, match="restore it from a backup"):
        own_recipient(path)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_identities_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any identities"
    path.write_bytes(content)
    with pytest.raises(InvalidInput):
        read_identities(path)


def test_two_identities_are_not_the_one_of_a_home(tmp_path: Path) -> None:
    (tmp_path / "age.txt").write_text(f"{IDENTITY}\n{IDENTITY}\n")
    with pytest.raises(Damaged, match="restore it from a backup"):
        own_recipient(tmp_path / "age.txt")


def test_identities_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_identities(tmp_path / "age.txt")


# Damage
# --------------------------------------------------------------------------------------------------


def test_no_cut_leaves_a_file(ciphertext: Path, tmp_path: Path) -> None:
    content, out = ciphertext.read_bytes(), tmp_path / "out"
    out.write_bytes(b"older")
    header = content.index(b"\n--- ") + 50
    payload_ends = [header + 16, header + 16 + 65_552, header + 16 + 2 * 65_552, len(content) - 1]
    for length in (len(content) - 16, 100, header - 1, *payload_ends):
        ciphertext.write_bytes(content[:length])
        with pytest.raises(Damaged, match=r"photo\.age"):
            decrypt(ciphertext, out, [IDENTITY])
    ciphertext.write_bytes(content + b"x")
    with pytest.raises(Damaged):
        decrypt(ciphertext, out, [IDENTITY])
    assert out.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photo.age", "photo.jpg"]


def small_ciphertext() -> bytes:
    out = BytesIO()
    pyrage.encrypt_io(BytesIO(b"evidence"), out, [IDENTITY.to_public()])
    return out.getvalue()


@given(place=st.integers(0, len(SMALL := small_ciphertext()) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_is_damage_or_another_key(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    altered = bytearray(SMALL)
    altered[place] ^= flip
    (folder / "altered").write_bytes(altered)
    with pytest.raises((Damaged, InvalidInput)) as raised:
        decrypt(folder / "altered", folder / "never", [IDENTITY])
    assert "\n" not in str(raised.value)
    assert not (folder / "never").exists()


@given(
    st.binary(max_size=300).map(lambda rest: b"age-encryption.org/v1\n" + rest)
    | st.binary(max_size=100)
)
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "any").write_bytes(content)
    with pytest.raises((Damaged, InvalidInput)):
        decrypt(folder / "any", folder / "never", [IDENTITY])


def test_what_is_not_encrypted_is_told_from_damage(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="without --decrypt"):
        decrypt(file, tmp_path / "out", [IDENTITY])


def test_a_header_without_end_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryption.pyrage, "decrypt_io", lambda *_: pytest.fail("parsed"))
    (tmp_path / "endless").write_bytes(
        b"age-encryption.org/v1\n" + b"-> X25519 AAAA\nAAAA\n" * (MAX_HEADER // 10)
    )
    with pytest.raises(Damaged, match="an age header that does not end"):
        decrypt(tmp_path / "endless", tmp_path / "out", [IDENTITY])


# Disks and people
# --------------------------------------------------------------------------------------------------


class _Refusing:
    """A file whose `name` method fails with `error`."""

    def __init__(self, file: Any, name: str, error: BaseException) -> None:
        self._file, self._name, self._error = file, name, error

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise self._error
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def refusing(monkeypatch: pytest.MonkeyPatch, mode: str, name: str, error: BaseException) -> None:
    """Let what is opened for writing, or reading, fail when its method `name` is used."""
    if mode == "r":
        real_fdopen: Callable[..., Any] = os.fdopen
        monkeypatch.setattr(
            local.os,
            "fdopen",
            lambda *given, **how: _Refusing(real_fdopen(*given, **how), name, error),
        )
    else:
        monkeypatch.setattr(
            disk,
            "open",
            lambda *given, **how: _Refusing(open(*given, **how), name, error),  # noqa: PTH123, SIM115 - handed on
            raising=False,
        )


FULL, BROKEN = (
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
)


@pytest.mark.parametrize("work", [encrypt, decrypt])
@pytest.mark.parametrize(
    "error", [BROKEN, FULL, KeyboardInterrupt()], ids=["broken", "full", "interrupted"]
)
def test_what_goes_wrong_on_this_side_is_said_as_it_is(
    work: Any, error: BaseException, file: Path, ciphertext: Path, tmp_path: Path
) -> None:
    source, keys = (file, [RECIPIENT]) if work is encrypt else (ciphertext, [IDENTITY])
    for mode, name in (("r", "read"), ("x", "write")):
        with pytest.MonkeyPatch.context() as patch:
            refusing(patch, mode, name, error)
            with pytest.raises(StorageFailure if isinstance(error, OSError) else KeyboardInterrupt):
                work(source, tmp_path / "out", keys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.age", "photo.jpg"]


def test_identities_that_the_disk_refuses_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_identity(tmp_path / "age.txt")
    refusing(monkeypatch, "r", "read", OSError(errno.EIO, "Input/output error"))
    with pytest.raises(StorageFailure, match="Input/output error"):
        read_identities(tmp_path / "age.txt")


def test_a_disk_that_fails_after_the_header(
    ciphertext: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise StorageFailure("cannot read")

    monkeypatch.setattr(local, "_next_chunk", refuse)
    with pytest.raises(StorageFailure):
        decrypt(ciphertext, tmp_path / "out", [IDENTITY])


def test_a_file_that_changes_while_it_is_encrypted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local._next_chunk

    def changing(path: Path, stream: Any) -> bytes:
        with path.open("ab") as other:
            other.write(b"more")
        return real(path, stream)

    monkeypatch.setattr(local, "_next_chunk", changing)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        encrypt(file, tmp_path / "out", [RECIPIENT])
    assert list(tmp_path.iterdir()) == [file]


def test_places_that_are_not_there(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        encrypt(tmp_path / "nothing", tmp_path / "out", [RECIPIENT])
    with pytest.raises(InvalidInput, match="name another file"):
        encrypt(file, tmp_path / "no folder" / "out", [RECIPIENT])
    with pytest.raises(NotFound):
        decrypt(tmp_path / "nothing", tmp_path / "out", [IDENTITY])


# age itself
# --------------------------------------------------------------------------------------------------


@pytest.mark.real("age")
def test_age_decrypts_what_we_encrypt_with_a_key_that_we_made(file: Path, tmp_path: Path) -> None:
    age = require_real("age")
    key, ciphertext = tmp_path / "age.txt", tmp_path / "photo.age"
    encrypt(file, ciphertext, [own_recipient(key)])
    assert (
        subprocess.run(
            [age, "--decrypt", "-i", key, ciphertext], check=True, capture_output=True, timeout=60
        ).stdout
        == file.read_bytes()
    )


@pytest.mark.real("age")
def test_we_decrypt_what_age_encrypts_with_a_key_that_it_made(file: Path, tmp_path: Path) -> None:
    age, keygen = require_real("age"), require_real("age-keygen")
    key, ciphertext = tmp_path / "key.txt", tmp_path / "photo.age"
    subprocess.run([keygen, "-o", key], check=True, capture_output=True, timeout=60)
    subprocess.run([age, "-r", own_recipient(key), "-o", ciphertext, file], check=True, timeout=60)
    assert decrypt(ciphertext, tmp_path / "out", read_identities(key)) == content_of(file)


@pytest.mark.real("age")
def test_a_passphrase_or_armour_is_not_what_we_write(file: Path, tmp_path: Path) -> None:
    age, armoured = require_real("age"), tmp_path / "armoured"
    subprocess.run([age, "-a", "-r", RECIPIENT, "-o", armoured, file], check=True, timeout=60)
    with pytest.raises(InvalidInput, match="not encrypted with age"):
        decrypt(armoured, tmp_path / "out", [IDENTITY])
    (tmp_path / "passphrase").write_bytes(pyrage.passphrase.encrypt(b"evidence", "passphrase"))
    with pytest.raises(InvalidInput, match="other keys"):
        decrypt(tmp_path / "passphrase", tmp_path / "out", [IDENTITY])


@pytest.mark.real("ssh-keygen")
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_keys_of_ssh(file: Path, tmp_path: Path, kind: str) -> None:
    key, ciphertext = tmp_path / "key", tmp_path / "photo.age"
    subprocess.run(
        [require_real("ssh-keygen"), "-q", "-t", kind, "-N", "", "-f", key], check=True, timeout=60
    )
    encrypt(file, ciphertext, [RECIPIENT, (tmp_path / "key.pub").read_text().strip()])
    assert decrypt(ciphertext, tmp_path / "out", read_identities(key)) == content_of(file)
    with pytest.raises(Damaged, match="another key"):
        own_recipient(key)


@pytest.mark.real("ssh-keygen")
def test_a_key_of_ssh_with_a_passphrase_is_refused(file: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(
        [require_real("ssh-keygen"), "-q", "-t", "ed25519", "-N", "secret", "-f", key],
        check=True,
        timeout=60,
    )
    with pytest.raises(InvalidInput, match="without a passphrase"):
        read_identities(key)
