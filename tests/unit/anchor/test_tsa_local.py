"""The embedded authority: what it grants, what it refuses, and what survives of it."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core, tsp
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from witnesstree.anchor.tsa import local
from witnesstree.anchor.tsa.local import LIFETIME, MAX_REQUEST, POLICY, LocalAuthority, trusted_root
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
)
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.tokens.token import TimeStampResp, Token, judge_token, parse_token
from witnesstree.ledger.trust import Trust

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ROOT = hashlib.sha256(b"a root").digest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "authority"
    LocalAuthority.create(folder, NOW)
    return folder


@pytest.fixture
def authority(folder: Path) -> LocalAuthority:
    return LocalAuthority.open(folder, lambda: NOW)


def request(algorithm: str = "sha256", imprint: bytes = ROOT, **more: Any) -> bytes:
    fields = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": imprint},
    }
    return bytes(tsp.TimeStampReq(fields | more).dump())


def status(answer: bytes) -> tuple[str, set[str] | None]:
    """Return status and failure of an answer, and assert that it has a token if and only if it was
    granted."""
    response = TimeStampResp.load(answer, strict=True)
    found: str = response["status"]["status"].native
    assert isinstance(response["time_stamp_token"], core.Void) is (found != "granted")
    return found, response["status"]["fail_info"].native


def granted(answer: bytes) -> Token:
    assert status(answer) == ("granted", None)
    return parse_token(TimeStampResp.load(answer)["time_stamp_token"].dump())


# Granted
# --------------------------------------------------------------------------------------------------


def test_stamp_gives_a_token_that_the_homes_trust_proves(
    authority: LocalAuthority, folder: Path
) -> None:
    judgement = judge_token(authority.stamp(ROOT), ROOT, Trust((trusted_root(folder),)))
    assert judgement.is_proven, judgement.checks
    assert judgement.assurance is Assurance.LOCAL
    assert (judgement.gen_time, judgement.accuracy) == (NOW, timedelta(seconds=1))
    assert authority.name == "local"
    assert str(folder) in str(trusted_root(folder).source)


def test_another_home_does_not_vouch_for_it(authority: LocalAuthority, tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path, NOW)
    judgement = judge_token(authority.stamp(ROOT), ROOT, Trust((trusted_root(tmp_path),)))
    assert not judgement.is_proven
    assert judgement.assurance is None


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_imprints(authority: LocalAuthority, name: str) -> None:
    imprint = hashlib.new(name, b"something").digest()
    token = granted(authority.answer(request(name, imprint), NOW))
    assert (token.imprint_algorithm, token.imprint) == (name, imprint)
    assert token.policy == POLICY


def test_nonce_and_certificates_are_as_asked(authority: LocalAuthority, folder: Path) -> None:
    plain = granted(authority.answer(request(), NOW))
    assert (plain.nonce, plain.certificates) == (None, ())
    for nonce in (0, 1, 2**64, -5):
        assert granted(authority.answer(request(nonce=nonce), NOW)).nonce == nonce
    certificate = x509.load_pem_x509_certificate((folder / "tsa.pem").read_bytes())
    asked = granted(authority.answer(request(cert_req=True, req_policy=POLICY), NOW))
    assert asked.certificates == (certificate.public_bytes(serialization.Encoding.DER),)


def test_null_parameters_and_none_are_both_fine(authority: LocalAuthority) -> None:
    null, absent = (
        bytes.fromhex("300d06096086480165030402010500"),
        bytes.fromhex("300b0609608648016503040201"),
    )
    der = request()
    assert null in der
    assert granted(authority.answer(der, NOW)).imprint == ROOT
    shorter = bytearray(der.replace(null, absent))
    shorter[1] -= 2
    shorter[6] -= 2
    assert granted(authority.answer(bytes(shorter), NOW)).imprint == ROOT


def test_time_is_cut_to_the_second_and_in_utc(authority: LocalAuthority) -> None:
    later = NOW + timedelta(days=1, milliseconds=999)
    elsewhere = later.astimezone(timezone(timedelta(hours=8)))
    assert granted(authority.answer(request(), elsewhere)).gen_time == NOW + timedelta(days=1)


def test_signing_time_after_2049_is_a_generalized_time(tmp_path: Path) -> None:
    late = datetime(2055, 1, 1, tzinfo=UTC)
    LocalAuthority.create(tmp_path, late)
    assert judge_token(
        LocalAuthority.open(tmp_path, lambda: late).stamp(ROOT),
        ROOT,
        Trust((trusted_root(tmp_path),)),
    ).is_proven


# Refused
# --------------------------------------------------------------------------------------------------


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "bad_data_format"),
    "text": (b"GET / HTTP/1.1", "bad_data_format"),
    "truncated": (request()[:-1], "bad_data_format"),
    "more behind it": (request() + b"\x05\x00", "bad_data_format"),
    "BER": (b"\x30\x80" + request()[2:] + b"\x00\x00", "bad_data_format"),
    "too large": (request(nonce=1 << 8 * MAX_REQUEST), "bad_data_format"),
    "version 2": (request(version="v2"), "bad_request"),
    "SHA-1": (request("sha1", bytes(20)), "bad_alg"),
    "MD5": (request("md5", bytes(16)), "bad_alg"),
    "unknown algorithm": (request("1.2.3.4", bytes(32)), "bad_alg"),
    "algorithm with parameters": (
        bytes.fromhex("303a0201013035301106096086480165030402010404")
        + b"1234"
        + b"\x04\x20"
        + ROOT,
        "bad_data_format",
    ),
    "short imprint": (request(imprint=bytes(31)), "bad_data_format"),
    "imprint of another algorithm": (request("sha512", bytes(32)), "bad_data_format"),
    "another policy": (request(req_policy="1.2.3.4"), "unaccepted_policy"),
    "an extension": (
        request(extensions=[{"extn_id": "1.2.3.4", "extn_value": b""}]),
        "unaccepted_extensions",
    ),
}


@pytest.mark.parametrize(("der", "failure"), REFUSED.values(), ids=REFUSED)
def test_refusals(authority: LocalAuthority, folder: Path, der: bytes, failure: str) -> None:
    before = (folder / "serial").read_bytes()
    assert status(authority.answer(der, NOW)) == ("rejection", {failure})
    assert (folder / "serial").read_bytes() == before


def test_clock_outside_the_certificates_life(authority: LocalAuthority, folder: Path) -> None:
    for time in (NOW - timedelta(seconds=1), NOW + LIFETIME + timedelta(seconds=1)):
        assert status(authority.answer(request(), time)) == ("rejection", {"time_not_available"})
    assert status(authority.answer(request(), NOW + LIFETIME))[0] == "granted"
    early = LocalAuthority.open(folder, lambda: NOW - timedelta(days=1))
    with pytest.raises(BadAnswer, match="time_not_available"):
        early.stamp(ROOT)


@pytest.mark.parametrize("root", [b"", bytes(31), bytes(64)])
def test_root_of_another_size(authority: LocalAuthority, root: bytes) -> None:
    with pytest.raises(InvalidInput):
        authority.stamp(root)


# The folder
# --------------------------------------------------------------------------------------------------


def test_what_create_leaves(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "root.pem",
        "serial",
        "tsa.key",
        "tsa.pem",
    ]
    assert stat.S_IMODE((folder / "tsa.key").stat().st_mode) == 0o600
    assert (folder / "tsa.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    root, certificate = (
        x509.load_pem_x509_certificate((folder / name).read_bytes())
        for name in ("root.pem", "tsa.pem")
    )
    for each in (root, certificate):
        assert "proves nothing to third parties" in each.subject.rfc4514_string()
        assert (each.not_valid_before_utc, each.not_valid_after_utc) == (NOW, NOW + LIFETIME)
    assert timedelta(days=20 * 365) <= LIFETIME
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert purposes.critical
    assert list(purposes.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
    # The root's key is nowhere: the only key in the folder is the authority's.
    key = serialization.load_pem_private_key((folder / "tsa.key").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)


def test_key_is_never_readable_by_others(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        LocalAuthority.create(tmp_path / "a" / "b", NOW)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a" / "b" / "tsa.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_create_does_not_replace_an_authority(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Conflict):
        LocalAuthority.create(folder, NOW)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("step", range(8))
def test_create_begins_again_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Fail before and after each file took hold; the next `create` succeeds, or there is a whole
    authority already."""
    real, count = Path.replace, 0

    def failing(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == step // 2 + 1:
            if step % 2:
                real(self, target)
            raise OSError(28, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(StorageFailure, match="No space left"):
            LocalAuthority.create(tmp_path, NOW)
    if step < 7:
        with pytest.raises(NotFound):
            LocalAuthority.open(tmp_path, lambda: NOW)
        LocalAuthority.create(tmp_path, NOW)
    authority = LocalAuthority.open(tmp_path, lambda: NOW)
    assert judge_token(authority.stamp(ROOT), ROOT, Trust((trusted_root(tmp_path),))).is_proven


def test_missing_folder(tmp_path: Path) -> None:
    for call in (
        lambda: LocalAuthority.open(tmp_path / "no", lambda: NOW),
        lambda: trusted_root(tmp_path / "no"),
    ):
        with pytest.raises(NotFound, match="witnesstree init"):
            call()


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for call in (
        lambda: LocalAuthority.create(tmp_path / "file", NOW),
        lambda: trusted_root(tmp_path / "file"),
    ):
        with pytest.raises(StorageFailure):
            call()


@pytest.mark.parametrize("name", ["root.pem", "tsa.pem", "tsa.key"])
@pytest.mark.parametrize("content", ["", "garbage", "other"])
def test_damaged_files(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    swapped = {
        "root.pem": (folder / "tsa.pem").read_bytes(),
        "tsa.pem": (folder / "root.pem").read_bytes(),
        "tsa.key": pem,
    }
    (tmp_path / name).write_bytes(
        {"": b"", "garbage": b"\xff" * 99, "other": swapped[name]}[content]
    )
    with pytest.raises(Damaged):
        LocalAuthority.open(tmp_path, lambda: NOW)


@pytest.mark.parametrize("members", [("p", "d"), ("q", "d"), ("dmp1", "d")])
def test_a_key_whose_secret_half_is_damaged_signs_nothing(
    folder: Path, tmp_path: Path, members: tuple[str, ...]
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    key = serialization.load_pem_private_key((tmp_path / "tsa.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    der = key.private_bytes(serialization.Encoding.DER, *form)
    for member in members:
        number = getattr(key.private_numbers(), member)
        octets = number.to_bytes((number.bit_length() + 7) // 8)
        assert octets in der
        der = der.replace(octets, octets[:50] + bytes([octets[50] ^ 1]) + octets[51:])
    (tmp_path / "tsa.key").write_text(pem_armor("PRIVATE KEY", der))
    with pytest.raises(Damaged, match="does not sign"):
        LocalAuthority.open(tmp_path, lambda: NOW).stamp(ROOT)


def pem_armor(name: str, der: bytes) -> str:
    return f"-----BEGIN {name}-----\n{b64encode(der).decode()}\n-----END {name}-----\n"


# Serial numbers
# --------------------------------------------------------------------------------------------------


def test_serial_numbers_count_and_fit(authority: LocalAuthority) -> None:
    serials = [parse_token(authority.stamp(ROOT).token).serial for _ in range(5)]
    assert [serial >> 64 for serial in serials] == list(
        range(serials[0] >> 64, (serials[0] >> 64) + 5)
    )
    assert all(0 < serial < 1 << 159 for serial in serials)


def test_number_is_on_disk_before_the_token_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalAuthority.create(tmp_path, NOW)
    authority = LocalAuthority.open(tmp_path, lambda: NOW)

    def failing(*_: Any, **__: Any) -> None:
        assert (tmp_path / "serial").read_bytes() == b"1\n"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalAuthority, "_sign", failing)
        with pytest.raises(KeyboardInterrupt):
            authority.stamp(ROOT)
    assert parse_token(authority.stamp(ROOT).token).serial >> 64 == 2


def test_no_number_without_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalAuthority.create(tmp_path, NOW)
    authority = LocalAuthority.open(tmp_path, lambda: NOW)

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(StorageFailure, match="Input/output error"):
            authority.stamp(ROOT)
    assert parse_token(authority.stamp(ROOT).token).serial >> 64 >= 1


@pytest.mark.parametrize("content", [b"", b"12", b"-1\n", b"x\n", b"1" * 40 + b"\n", b"\xc2\xb2\n"])
def test_damaged_counter(tmp_path: Path, content: bytes) -> None:
    LocalAuthority.create(tmp_path, NOW)
    (tmp_path / "serial").write_bytes(content)
    with pytest.raises(Damaged):
        LocalAuthority.open(tmp_path, lambda: NOW).stamp(ROOT)
    assert (tmp_path / "serial").read_bytes() == content


def test_restored_copy_does_not_repeat_a_number(tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path, NOW)
    authority = LocalAuthority.open(tmp_path, lambda: NOW)
    first = parse_token(authority.stamp(ROOT).token).serial
    (tmp_path / "serial").write_bytes(b"0\n")
    second = parse_token(authority.stamp(ROOT).token).serial
    assert first >> 64 == second >> 64
    assert first != second


def _reserve_many(folder: str, count: int) -> list[int]:
    return [local._reserve(Path(folder)) >> 64 for _ in range(count)]


def test_threads_and_processes_at_once(tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path, NOW)
    program = (
        "import sys; from pathlib import Path; from witnesstree.anchor.tsa import local\n"
        "for _ in range(25): print(local._reserve(Path(sys.argv[1])) >> 64)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        numbers = [
            number
            for part in pool.map(_reserve_many, [str(tmp_path)] * 2, [25] * 2)
            for number in part
        ]
    for process in processes:
        numbers += [int(line) for line in process.communicate(timeout=60)[0].split()]
    assert sorted(numbers) == list(range(1, 101))


def test_killed_processes_never_hand_out_a_number_twice(tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path, NOW)
    program = (
        "import sys; from pathlib import Path; from witnesstree.anchor.tsa import local\n"
        "while True: print(local._reserve(Path(sys.argv[1])) >> 64, flush=True)"
    )
    numbers: list[int] = []
    for lines in (1, 4, 9):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            numbers += [int(process.stdout.readline()) for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
            numbers += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    assert len(set(numbers)) == len(numbers)
    assert parse_token(
        LocalAuthority.open(tmp_path, lambda: NOW).stamp(ROOT).token
    ).serial >> 64 > max(numbers)
