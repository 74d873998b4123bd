"""`witnesstree backup` and `restore`, as people type them: what is in a backup, what is refused,
and what a restored home waits for."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import Ran, call, copied
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyrage import x25519

from witnesstree.anchor import backup as anchor_backup
from witnesstree.anchor.backup import back_up, restore
from witnesstree.anchor.wiring import clock, make_home, open_ledger
from witnesstree.ledger.base.errors import Conflict
from witnesstree.ledger.log.cosignature import CosignerKey, format_cosigner_key
from witnesstree.ledger.log.note import format_base64
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.store.restored import restorations
from witnesstree.ledger.work.receipts import require_receipt_key

COSIGNER = format_cosigner_key(CosignerKey("witness.test/one", bytes(32)))
IDENTITY = x25519.Identity.generate()
SECRETS = [
    "authority/tsa.key",
    "chain/account.key",
    "keys/age.txt",
    "keys/blinding.key",
    "keys/ledger.pem",
    "keys/receipts.pem",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a sealed batch, another one that is open, and a published log; a backup of it
    with its keys as they are, and one whose keys are encrypted."""
    place = tmp_path_factory.mktemp("made")
    make_home(place / "home", "ledger.test/backup")
    for name in "ab":
        (place / name).write_text(name)
    home = ("--home", place / "home")
    assert call("seal", "--ipfs", place / "a", *home).code == 0
    assert call("log", "publish", place / "public", *home).code == 0
    assert call("log", "rotate", *home).code == 0
    assert call("seal", "--no-wait", place / "b", *home).code == 0
    (place / "home" / "log").mkdir()
    (place / "home" / "log" / "checkpoint-1").write_bytes(
        (place / "public" / "checkpoint").read_bytes()
    )
    (place / "home" / "settings.toml").write_text('batch_age = "PT1H"\n')
    # What the service and its worker leave in a home.
    with open_ledger(place / "home") as ledger:
        require_receipt_key(ledger, datetime.now(UTC))
        ledger.keep_recent_block()
    (place / "home" / "worker.alive").touch()
    assert (place / "home" / "recent-block.json").exists()
    shutil.copytree(place / "public", place / "home" / "published")
    assert call("backup", place / "plain", "--plain-keys", *home).code == 0
    to = str(IDENTITY.to_public())
    assert call("backup", place / "encrypted", "--encrypt-to", to, *home).code == 0
    (place / "identity").write_text(f"{IDENTITY}\n")
    return place


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return copied(made / "home", tmp_path / "home")


@pytest.fixture
def plain(made: Path, tmp_path: Path) -> Path:
    return copied(made / "plain", tmp_path / "plain")


def restored(backup: Path, home: Path, *options: object) -> Path:
    ran = call("restore", backup, "--home", home, *options)
    assert ran.code == 0, ran.talk
    return home


def going_on(home: Path, *options: object) -> Ran:
    return call("restore", "--continue", "--original-ended", "--home", home, *options)


def relisted(backup: Path, path: str) -> None:
    """Put a file's present SHA-256 into the list, and that of the list into what the backup says of
    itself, as somebody does who knows the form."""
    sums = backup / "SHA256SUMS"
    lines = [
        line for line in sums.read_text().splitlines() if not line.endswith((path, "backup.json"))
    ]
    if (backup / path).exists() and path != "backup.json":
        lines.append(f"{sha256((backup / path).read_bytes()).hexdigest()}  {path}")
    listed_as(backup, lines)


def listed_as(backup: Path, lines: list[str]) -> None:
    """Write these lines as the list, and that of backup.json, which agrees with them."""
    text = "".join(f"{line}\n" for line in lines)
    about = json.loads((backup / "backup.json").read_text())
    about["listed"] = sha256(text.encode()).hexdigest()
    (backup / "backup.json").write_text(json.dumps(about))
    digest = sha256((backup / "backup.json").read_bytes()).hexdigest()
    (backup / "SHA256SUMS").write_text(f"{text}{digest}  backup.json\n")


# What is in a backup


def test_what_is_in_it(made: Path) -> None:
    names = {
        str(path.relative_to(made / "plain"))
        for path in (made / "plain").rglob("*")
        if path.is_file()
    }
    blocks = {name for name in names if name.startswith("ipfs/blocks/")}
    keys = {name for name in names if name.startswith("keys/ledger-001")}
    assert blocks
    assert {Path(name).suffix for name in keys} == {".note", ".pem", ".vkey"}
    assert names - blocks - keys == {
        "SHA256SUMS",
        "authority/root.pem",
        "authority/serial",
        "authority/tsa.pem",
        "backup.json",
        "batches/00000/00000000.digests",
        "batches/00000/00000000.journal",
        "batches/00000/00000001.digests",
        "batches/00000/00000001.journal",
        "chain/chain.db",
        "keys/ledger.vkey",
        "keys/receipts.note",
        "log/checkpoint-1",
        "metadata.db",
        "published.json",
        "settings.toml",
        *SECRETS,
    }
    for backup in ("plain", "encrypted"):
        for path in [made / backup, *(made / backup).rglob("*")]:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=made / "plain", check=False
    )
    assert done.returncode == 0


def test_keys_are_left_out_unless_somebody_says_otherwise(home: Path, tmp_path: Path) -> None:
    ran = call("backup", tmp_path / "bare", "--home", home)
    assert ran.code == 0
    assert "Without these files, which hold keys" in ran.talk
    assert ran.text.splitlines()[0].endswith("1 sealed batch, 2 entries.")
    told = call("backup", tmp_path / "bare", "--check", "--json").json
    assert (told["problems"], told["entries"], told["database"]) == ([], 2, "sqlite")
    assert set(told["secrets"].values()) == {"left-out"}
    assert set(SECRETS) < set(told["secrets"])
    assert "keys/receipts.note" not in told["secrets"]
    assert [path for path in (tmp_path / "bare").rglob("*") if path.suffix in {".pem", ".key"}] == [
        path for path in (tmp_path / "bare" / "authority").iterdir() if path.suffix == ".pem"
    ]
    secret = (home / "keys" / "ledger.pem").read_bytes().splitlines()[1]
    assert not [
        path
        for path in (tmp_path / "bare").rglob("*")
        if path.is_file() and secret in path.read_bytes()
    ]


def test_encrypted_keys_are_in_no_file_as_they_are(made: Path) -> None:
    for name in SECRETS:
        content = (made / "home" / name).read_bytes()
        assert (made / "encrypted" / f"{name}.age").exists()
        for path in (made / "encrypted").rglob("*"):
            assert not (path.is_file() and content[40:80] in path.read_bytes()), path


@pytest.mark.parametrize(
    ("settings", "is_secret"),
    [
        ('[authorities.a]\nurl = "https://freetsa.org/tsr"\n', False),
        ('[chains.c]\nchain_id = 1\nurls = ["https://ethereum.reth.rs/rpc"]\n', False),
        ('[ipfs]\nurl = "http://127.0.0.1:5001"\n', False),
        ('[ipfs]\nurl = "http://[::1]:5001/"\n', False),
        ('[chains.c]\nchain_id = 1\nurls = ["file:/run/rpc"]\nkey = "env:KEY"\n', False),
        ('[authorities.a]\nurl = "https://user:pw@tsa.example"\n', True),
        ('[authorities.a]\nurl = "https://us%65r@tsa.example"\n', True),
        ('[authorities.a]\nurl = "https://tsa.example/short"\n', True),
        ('[authorities.a]\nurl = "https://tsa.example/#token"\n', True),
        ('[authorities.a]\nurl = "https:\\u002f/tsa.example/token"\n', True),
        ('# url = "https://tsa.example/token"\n', True),
        ('[ipfs]\nurl = "http://127.0.0.1:5001/?token=x"\n', True),
        ('[chains.c]\nchain_id = 5\nurls = ["https://n.example/v3/0123456789abcdef"]\n', True),
        (
            f"chains.c = {{chain_id = 5, urls = ['env:X'], key = 'clef+http://n#0x{0:040}'}}\n",
            True,
        ),
        ("", False),
    ],
)
def test_settings_with_a_key_in_an_address_are_a_secret(
    home: Path, tmp_path: Path, settings: str, is_secret: bool
) -> None:
    (home / "settings.toml").write_text(settings)
    assert call("backup", tmp_path / "backup", "--home", home).code == 0
    assert (tmp_path / "backup" / "settings.toml").exists() is not is_secret


@pytest.mark.parametrize(
    ("address", "is_secret"),
    [
        ("postgresql://me@db.example/ledger?options=-csearch_path%3Dx", False),
        ("postgresql+psycopg://db.example:5432/ledger", False),
        ("postgresql://me:pw@db.example/ledger", True),
        ("postgresql://db.example/ledger?pass%77ord=pw", True),
        ("postgresql://db.example/ledger?password=pw", True),
        ("https://[::1", True),
    ],
)
def test_which_addresses_may_hold_a_secret(tmp_path: Path, address: str, is_secret: bool) -> None:
    from witnesstree.anchor.settings import may_hold_secret

    (tmp_path / "settings.toml").write_text(f'database = "{address}"\n')
    assert may_hold_secret(tmp_path) is is_secret


# What is refused


def test_a_backup_goes_into_a_new_folder_outside_the_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter").write_text("dear")
    refused = call("backup", tmp_path / "taken", "--home", home)
    assert (refused.code, "is there already" in refused.error()) == (5, True)
    refused = call("backup", home / "batches" / "backup", "--home", home)
    assert (refused.code, "inside the other" in refused.error()) == (5, True)
    assert not (home / "batches" / "backup").exists()
    (tmp_path / "empty").mkdir()
    assert call("backup", tmp_path / "empty", "--home", home).code == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--encrypt-to", "age1x", "--plain-keys"), 2),
        (("--check", "--plain-keys"), 2),
        (("--encrypt-to", "age1nobody"), 5),
    ],
)
def test_options_that_do_not_go_together(
    home: Path, tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    assert call("backup", tmp_path / "backup", *options, "--home", home).code == code
    assert not (tmp_path / "backup").exists()


def test_no_backup_is_made_of_a_database_that_is_older_than_its_files(
    home: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    with closing(sqlite3.connect(home / "ledger.db")) as database:
        database.execute("VACUUM INTO ?", (str(kept),))
    (tmp_path / "c").write_text("c")
    assert call("seal", tmp_path / "c", "--home", home).code == 0
    for path in home.glob("ledger.db*"):
        path.unlink()
    kept.rename(home / "ledger.db")
    ran = call("backup", tmp_path / "backup", "--home", home)
    assert (ran.code, "is older than the ledger's files" in ran.error()) == (10, True)


def test_a_backup_that_does_not_hold_is_not_kept(home: Path, tmp_path: Path) -> None:
    path = home / "batches" / "00000" / "00000000.digests"
    path.write_bytes(bytes(len(path.read_bytes())))
    ran = call("backup", tmp_path / "backup", "--home", home)
    assert (ran.code, "the backup does not hold" in ran.error()) == (10, True)
    assert not (tmp_path / "backup").exists()
    assert not list(tmp_path.glob(".backup*"))


def test_a_full_disk_leaves_no_backup(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(anchor_backup, "copy_batches", refuse)
        ran = call("backup", tmp_path / "backup", "--home", home)
    assert (ran.code, "No space left" in ran.error()) == (11, True)
    assert not list(tmp_path.glob("*backup*"))


def test_what_cannot_be_read_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "authority" / "serial").unlink()
    (home / "authority" / "serial").symlink_to("/proc/self/mem")
    ran = call("backup", tmp_path / "backup", "--home", home)
    assert (ran.code, "authority/serial" in ran.error()) == (11, True)
    shutil.rmtree(home / "authority")
    (home / "authority").write_text("")
    ran = call("backup", tmp_path / "backup", "--home", home)
    assert (ran.code, "authority" in ran.error()) == (11, True)


def test_who_cosigned_and_was_not_asked_is_named(home: Path, tmp_path: Path) -> None:
    with open_ledger(home) as ledger, ledger.metadata.write() as transaction:
        key = Ed25519PrivateKey.generate()
        public = CosignerKey("witness.test/one", key.public_key().public_bytes_raw())
        line = f"\u2014 {public.name} {format_base64(public.key_id + bytes(72))}\n"
        transaction.add_cosignature(1, public.name, public.key_id, line)
        transaction.add_cosignature(1, "witness.test/two", b"keys", "nothing of the kind\n")
    assert call("backup", tmp_path / "backup", "--plain-keys", "--home", home).code == 10
    with closing(sqlite3.connect(home / "ledger.db")) as database:
        database.execute("DROP TRIGGER cosignatures_no_delete")
        database.execute("DELETE FROM cosignatures WHERE witness = 'witness.test/two'")
        database.commit()
    assert call("backup", tmp_path / "backup", "--plain-keys", "--home", home).code == 0
    ran = going_on(restored(tmp_path / "backup", tmp_path / "restored"))
    assert "were not asked: witness.test/one" in ran.talk


# A backup that was altered, or is from somebody else


def altered(backup: Path) -> None:
    path = backup / "batches" / "00000" / "00000000.digests"
    content = path.read_bytes()
    # The last entry: the first one is compared with the opening record, too.
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def altered_where_nothing_else_tells(backup: Path) -> None:
    (backup / "authority" / "serial").write_text("0\n")


def gone(backup: Path) -> None:
    (backup / "keys" / "ledger.vkey").unlink()


def a_pipe(backup: Path) -> None:
    (backup / "keys" / "ledger.vkey").unlink()
    os.mkfifo(backup / "keys" / "ledger.vkey")


def outside(backup: Path) -> None:
    with (backup / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  keys/../../outside\n")


def not_a_list(backup: Path) -> None:
    (backup / "SHA256SUMS").write_bytes(b"\xff" * 1000)


def no_list(backup: Path) -> None:
    (backup / "SHA256SUMS").unlink()


def about_another_size(backup: Path) -> None:
    about = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps(about | {"size": 7}))
    relisted(backup, "backup.json")


def about_nothing(backup: Path) -> None:
    about = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps(about | {"secrets": {"../x": "plain"}}))


def kept_in_no_way(backup: Path) -> None:
    about = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps(about | {"secrets": {"keys/x": "lost"}}))


def unreadable_about(backup: Path) -> None:
    (backup / "backup.json").unlink()
    (backup / "backup.json").symlink_to("SHA256SUMS")


def other_digests(backup: Path) -> None:
    altered(backup)
    relisted(backup, "batches/00000/00000000.digests")


def missing_digests(backup: Path) -> None:
    path = "batches/00000/00000001.digests"
    (backup / path).unlink()
    relisted(backup, path)


def other_rows(backup: Path) -> None:
    with closing(sqlite3.connect(backup / "metadata.db")) as database:
        database.execute("DROP TRIGGER batches_no_update")
        database.commit()
    relisted(backup, "metadata.db")


def no_metadata(backup: Path) -> None:
    with closing(sqlite3.connect(backup / "metadata.db")) as database:
        database.execute("UPDATE open_batches SET opened = 'x'")
        database.commit()
    relisted(backup, "metadata.db")


@pytest.mark.parametrize(
    "damage",
    [
        altered,
        altered_where_nothing_else_tells,
        gone,
        a_pipe,
        outside,
        not_a_list,
        no_list,
        about_another_size,
        about_nothing,
        kept_in_no_way,
        unreadable_about,
        other_digests,
        missing_digests,
        other_rows,
        no_metadata,
    ],
)
def test_what_is_wrong_with_a_backup_is_named_and_none_of_it_becomes_a_home(
    plain: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(plain)
    checked = call("backup", "--check", plain)
    assert (checked.code, "Traceback" in checked.talk) == (10, False)
    ran = call("restore", plain, "--home", tmp_path / "restored")
    assert (ran.code, bool(ran.error())) == (10, True)
    assert {path.name for path in tmp_path.iterdir()} == {"plain"}


def unlisted(backup: Path, path: str) -> None:
    sums = backup / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if not line.endswith(f"  {path}\n")))


@pytest.mark.parametrize("path", ["keys/ledger.pem", "keys/ledger.vkey", "authority/serial"])
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_shortened_list_is_none(plain: Path, tmp_path: Path, path: str, is_gone: bool) -> None:
    unlisted(plain, path)
    if is_gone:
        (plain / path).unlink()
    checked = call("backup", "--check", plain)
    assert (checked.code, "was shortened or written anew" in checked.text) == (10, True)
    assert (path in checked.text) is (not is_gone or path.startswith("keys"))
    ran = call("restore", plain, "--home", tmp_path / "restored")
    assert (ran.code, "the backup does not hold" in ran.error()) == (10, True)
    assert {path.name for path in tmp_path.iterdir()} == {"plain"}


@pytest.mark.parametrize("path", ["keys/ledger.pem", "keys/ledger.vkey", "metadata.db"])
def test_what_a_backup_says_it_has_is_in_its_list(plain: Path, tmp_path: Path, path: str) -> None:
    (plain / path).unlink()
    relisted(plain, path)
    checked = call("backup", "--check", plain)
    assert (checked.code, f"{path} is not in SHA256SUMS" in checked.text) == (10, True)
    assert call("restore", plain, "--home", tmp_path / "restored").code == 10


def test_nothing_is_in_a_backup_beside_its_list(plain: Path, tmp_path: Path) -> None:
    (plain / "batches" / "00000" / "00000007.digests").write_bytes(bytes(32))
    (plain / "more").symlink_to(tmp_path)
    checked = call("backup", "--check", plain)
    assert checked.code == 10
    for name in ("00000007.digests", "more"):
        assert f"{name} is not in SHA256SUMS" in checked.text
    assert call("restore", plain, "--home", tmp_path / "restored").code == 10


def test_a_new_folder_takes_no_links_place_and_has_a_name_that_can_be(
    home: Path, plain: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling", "x" * 250, "x" * 300):
        for command in (
            ("restore", plain, "--home", tmp_path / name),
            ("backup", tmp_path / name, "--home", home),
            ("init", "--home", tmp_path / name),
        ):
            ran = call(*command)
            assert (ran.code, name in ran.error()) == (5, True), command
    assert {path.name for path in tmp_path.iterdir()} == {
        "dangling",
        "empty",
        "home",
        "link",
        "plain",
    }


def test_what_is_said_to_be_encrypted_and_is_not_is_named(made: Path, tmp_path: Path) -> None:
    backup = copied(made / "encrypted", tmp_path / "encrypted")
    (backup / "keys" / "age.txt.age").write_text("nothing of the kind")
    relisted(backup, "keys/age.txt.age")
    home = ("--home", tmp_path / "r")
    ran = call("restore", backup, *home, "--identity", made / "identity")
    assert (ran.code, "keys/age.txt.age is not encrypted" in ran.error()) == (10, True)
    assert "--decrypt" not in ran.error()


def test_a_list_names_each_file_once_and_none_in_another(plain: Path, tmp_path: Path) -> None:
    *lines, _ = (plain / "SHA256SUMS").read_text().splitlines()
    for more, said in (
        (lines[0], "is twice in"),
        (f"{'0' * 64}  log/checkpoint-1/b", "is not there"),
        (f"{'0' * 64}  log/{'x' * 300}", "names no file of a backup"),
    ):
        listed_as(plain, [*lines, more])
        checked = call("backup", "--check", plain)
        assert (checked.code, said in checked.talk + checked.text) == (10, True)
        ran = call("restore", plain, "--home", tmp_path / "restored")
        assert (ran.code, said in ran.error()) == (10, True)


@pytest.mark.parametrize("name", ["settings.toml", "restored.json", "published.json"])
def test_what_a_home_reads_at_once_is_read_by_a_check(plain: Path, name: str) -> None:
    (plain / name).write_text("[")
    relisted(plain, name)
    checked = call("backup", "--check", plain)
    assert (checked.code, name in checked.text) == (10, True)


def test_a_backup_is_compared_with_the_digest_that_was_written_down(
    plain: Path, tmp_path: Path
) -> None:
    digest = call("backup", "--check", plain, "--json").json["sha256"]
    assert call("backup", "--check", plain, "--sha256", digest.upper()).code == 0
    (plain / "authority" / "serial").write_text("0\n")
    relisted(plain, "authority/serial")
    assert call("backup", "--check", plain).code == 0
    checked = call("backup", "--check", plain, "--sha256", digest)
    assert (checked.code, digest in checked.text) == (10, True)
    home = ("--home", tmp_path / "restored")
    ran = call("restore", plain, "--sha256", digest, *home)
    assert (ran.code, digest in ran.error()) == (10, True)
    assert call("restore", plain, "--sha256", "12", *home).code == 5
    assert call("backup", plain, "--sha256", digest).code == 2
    digest = call("backup", "--check", plain, "--json").json["sha256"]
    assert call("restore", plain, "--sha256", digest, *home).code == 0


def test_what_is_no_backup_is_not_taken_for_one(home: Path, plain: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", home, home / "ledger.db"):
        assert call("backup", "--check", folder).code == 6
        assert call("restore", folder, "--home", tmp_path / "restored").code == 6
    about = json.loads((plain / "backup.json").read_text())
    (plain / "backup.json").write_text(json.dumps(about | {"format": "witnesstree-backup/9"}))
    ran = call("restore", plain, "--home", tmp_path / "restored")
    assert (ran.code, "needs a newer witnesstree" in ran.error()) == (6, True)


def test_a_backup_where_nothing_can_be_written_is_read(plain: Path) -> None:
    before = {path: path.read_bytes() for path in plain.rglob("*") if path.is_file()}
    assert call("backup", "--check", plain).code == 0
    assert {path: path.read_bytes() for path in plain.rglob("*") if path.is_file()} == before


# A restored home


def test_a_restored_home_is_read_and_not_written(made: Path, tmp_path: Path) -> None:
    home = restored(made / "plain", tmp_path / "restored")
    at = ("--home", home)
    (tmp_path / "letter").write_text("dear")
    proof = tmp_path / "proof"
    assert call("proof", made / "a", "-o", proof, *at).code == 0
    record = ("--format", "ers", "-o", tmp_path / "letter.ers")
    assert call("export", proof, *record).code == 0
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for command in (
        ("seal", made / "a", "--again"),
        ("seal",),
        ("log", "rotate"),
        ("log", "keys", "--destroy-old"),
        ("log", "publish", tmp_path / "public"),
        ("log", "cosign", "--witness", "http://127.0.0.1:9", "--witness-key", COSIGNER),
        ("fsck", "--mend-index"),
        ("seal", "--ipfs", tmp_path / "letter"),
        ("renew", tmp_path / "letter.ers", "-o", tmp_path / "renewed.ers"),
        ("renew", "--due", "--within", "36500"),
        ("worker", "--once"),
        ("worker", "--until-done"),
    ):
        ran = call(*command, *at)
        assert (ran.code, "was restored from the backup" in ran.talk) == (7, True), command
    after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert {path.name for path in set(after) - set(before)} <= {"work.lock", "publish.lock"} | {
        path.name for path in after if path.suffix == ".lock"
    }
    assert not (tmp_path / "public").exists()
    assert call("verify", made / "a", "--proof", proof, *at).code == 0
    assert call("show", proof).code == 0
    assert call("fsck", *at).code == 0
    status = call("status", "--check", *at)
    assert (status.code, "was restored from the backup" in status.text) == (12, True)
    assert "run `witnesstree restore --continue`" in status.text
    assert "recover" not in status.text


def test_it_goes_on_once_it_was_compared(made: Path, tmp_path: Path) -> None:
    home = restored(made / "plain", tmp_path / "restored")
    assert call("restore", "--continue", "--home", home).code == 2
    ran = going_on(home, "--json")
    assert ran.code == 0, ran.talk
    assert ran.json["compared"] == [{"subject": str(made / "public"), "size": 1}]
    assert restorations(open_home(home))[0].compared == (f"{made / 'public'}: 1",)
    assert call("status", "--check", "--home", home).code == 0
    assert call("seal", "--home", home).code == 0
    assert call("fsck", "--home", home).code == 0
    again = going_on(home)
    assert (again.code, "does not wait" in again.error()) == (5, True)
    # A backup of it knows what it has behind it.
    assert call("backup", tmp_path / "next", "--plain-keys", "--home", home).code == 0
    restored(tmp_path / "next", tmp_path / "later")
    assert [bool(each.continued) for each in restorations(open_home(tmp_path / "later"))] == [
        True,
        False,
    ]
    assert call("seal", "--home", tmp_path / "later").code == 7


def test_encrypted_keys_come_back_with_the_identity(made: Path, tmp_path: Path) -> None:
    home = restored(made / "encrypted", tmp_path / "r", "--identity", made / "identity")
    for name in SECRETS:
        assert (home / name).read_bytes() == (made / "home" / name).read_bytes()
        assert (home / name).stat().st_mode & 0o777 == 0o600
    assert going_on(home).code == 0
    other = tmp_path / "other"
    other.write_text(f"{x25519.Identity.generate()}\n")
    ran = call("restore", made / "encrypted", "--home", tmp_path / "x", "--identity", other)
    assert ran.code == 5
    assert not (tmp_path / "x").exists()


def test_without_its_keys_a_home_is_read_and_goes_on_when_they_are_back(
    made: Path, tmp_path: Path
) -> None:
    ran = call("restore", made / "encrypted", "--home", tmp_path / "r", "--json")
    home = tmp_path / "r"
    assert set(SECRETS) < set(ran.json["missing"])
    assert call("proof", made / "a", "-o", tmp_path / "proof", "--home", home).code == 0
    assert "PROBLEM" in call("status", "--home", home).text
    assert going_on(home).code == 10
    for path in (made / "home" / "keys").glob("ledger*.pem"):
        shutil.copy(path, home / "keys" / path.name)
    ran = going_on(home)
    assert ran.code == 0
    assert "Not here, and needed to go on as before: authority/tsa.key" in ran.talk
    assert call("log", "keys", "--home", home).code == 0


def test_where_the_original_went_on_nothing_is_let_go_on(made: Path, tmp_path: Path) -> None:
    """It published a change of its key, or a longer log."""
    original = copied(made / "home", tmp_path / "original")
    public = copied(made / "public", tmp_path / "public")
    home = restored(made / "plain", tmp_path / "restored")
    (home / "published.json").unlink()
    for step in (("log", "rotate"), ("seal",)):
        assert call(*step, "--home", original).code == 0
        assert call("log", "publish", public, "--home", original).code == 0
        ran = going_on(home, "--log", public)
        assert (ran.code, "the original went on after this backup" in ran.error()) == (10, True)
        assert call("seal", "--home", home).code == 7
    (public / "checkpoint").write_text("nothing of the kind")
    assert going_on(home, "--log", public).code == 5


def test_later_batches_are_added_from_their_files_while_it_waits(
    made: Path, tmp_path: Path
) -> None:
    original = copied(made / "home", tmp_path / "original")
    (tmp_path / "c").write_text("c")
    assert call("seal", tmp_path / "c", "--home", original).code == 0
    assert call("log", "publish", tmp_path / "public", "--home", original).code == 0
    home = restored(made / "plain", tmp_path / "restored")
    assert going_on(home, "--log", tmp_path / "public").code == 10
    for name in ("00000001.digests", "00000001.journal"):
        shutil.copy(original / "batches" / "00000" / name, home / "batches" / "00000" / name)
    assert call("recover", "--home", home).code == 0
    ran = going_on(home, "--log", tmp_path / "public")
    assert (ran.code, "goes on from 2 sealed batches" in ran.text) == (0, True)
    assert call("seal", "--home", home).code == 0
    assert call("fsck", "--home", home).code == 0
    assert call("proof", tmp_path / "c", "-o", tmp_path / "proof", "--home", home).code == 0


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (("log", "rotate"), "publishes another change of the ledger's key"),
        (("seal",), "publishes another log of 2 batches"),
    ],
)
def test_a_log_of_another_history_is_no_reason_to_go_on(
    made: Path, tmp_path: Path, step: tuple[str, ...], said: str
) -> None:
    """Two homes have gone on from one backup, and one of them is put back once more."""
    for name in ("one", "two"):
        home = restored(made / "plain", tmp_path / name)
        (home / "published.json").unlink()
        assert going_on(home, "--uncompared").code == 0
        (tmp_path / f"{name}.txt").write_text(name)
        assert call("seal", "--no-wait", tmp_path / f"{name}.txt", "--home", home).code == 0
        assert call(*step, "--home", home).code == 0
    assert call("log", "publish", tmp_path / "public", "--home", tmp_path / "two").code == 0
    (tmp_path / "one" / "published.json").unlink(missing_ok=True)
    assert call("backup", tmp_path / "b", "--plain-keys", "--home", tmp_path / "one").code == 0
    ran = going_on(restored(tmp_path / "b", tmp_path / "again"), "--log", tmp_path / "public")
    assert (ran.code, said in ran.error()) == (10, True)


@pytest.mark.parametrize("has_keys", [False, True])
def test_a_log_of_another_ledger_says_nothing(made: Path, tmp_path: Path, has_keys: bool) -> None:
    home = restored(made / "plain", tmp_path / "restored")
    stranger = make_home(tmp_path / "stranger", "ledger.test/backup").folder
    for _ in range(2 * has_keys):
        assert call("log", "rotate", "--home", stranger).code == 0
    assert call("log", "publish", tmp_path / "public", "--home", stranger).code == 0
    ran = going_on(home, "--log", tmp_path / "public")
    assert (ran.code, "is no log of this ledger" in ran.error()) == (5, True)


def test_what_was_compared_with_nothing_goes_on_only_if_somebody_says_so(
    made: Path, tmp_path: Path
) -> None:
    home = restored(made / "plain", tmp_path / "restored")
    (home / "published.json").unlink()
    ran = going_on(home)
    assert (ran.code, "was compared with nothing" in ran.error()) == (5, True)
    ran = going_on(home, "--uncompared")
    assert (ran.code, "It was compared with nothing" in ran.talk) == (0, True)


def test_a_folder_that_the_log_was_published_in_is_compared_or_passed_over_by_name(
    made: Path, tmp_path: Path
) -> None:
    """The one that is away may be the one that shows how far the ledger had come."""
    original = copied(made / "home", tmp_path / "original")
    (tmp_path / "d").write_text("d")
    newer, away = tmp_path / "newer", tmp_path / "away"
    assert call("log", "publish", newer, "--home", original).code == 0
    assert call("backup", tmp_path / "b", "--plain-keys", "--home", original).code == 0
    assert call("seal", tmp_path / "d", "--home", original).code == 0
    assert call("log", "publish", newer, "--home", original).code == 0
    home = restored(tmp_path / "b", tmp_path / "restored")
    assert going_on(home).code == 10
    newer.rename(away)
    newer.mkdir()
    for options in ((), ("--uncompared",), ("--log", made / "public")):
        ran = going_on(home, *options)
        assert (ran.code, f"published in {newer}" in ran.error()) == (7, True)
        newer.exists() and newer.rmdir()
        assert call("seal", "--home", home).code == 7
    newer.mkdir()
    (newer / "checkpoint").mkdir()
    assert going_on(home).code == 7
    ran = going_on(home, "--pass-over", tmp_path / "elsewhere")
    assert (ran.code, "is none of the folders" in ran.error()) == (5, True)
    ran = going_on(home, "--pass-over", newer, "--log", away)
    assert (ran.code, "the original went on after this backup" in ran.error()) == (10, True)
    ran = going_on(home, "--pass-over", newer)
    assert (ran.code, f"Not compared, as was said: {newer}" in ran.talk) == (0, True)


def test_a_published_log_of_another_history_is_named_and_nothing_is_signed(
    made: Path, tmp_path: Path
) -> None:
    """Two raw copies of one home went on: nothing in them says so."""
    public = copied(made / "public", tmp_path / "public")
    for name in ("one", "two"):
        home = copied(made / "home", tmp_path / name)
        (home / "published.json").write_text(json.dumps([str(tmp_path / name / "none")]))
        (tmp_path / f"{name}.txt").write_text(name)
        assert call("seal", tmp_path / f"{name}.txt", "--home", home).code == 0
    assert call("log", "publish", public, "--home", tmp_path / "two").code == 0
    at = ("--home", tmp_path / "one")
    assert call("status", "--check", *at).code == 0
    assert call("fsck", *at).code == 0
    (tmp_path / "one" / "published.json").write_text(json.dumps([str(public)]))
    status = call("status", "--check", *at)
    assert (status.code, "two copies of the ledger have signed" in status.text) == (12, True)
    assert "Keep both histories" in status.text
    checked = call("fsck", *at)
    assert (checked.code, "two copies of the ledger have signed" in checked.text) == (10, True)
    for step in (("seal", made / "b", "--again"), ("log", "rotate")):
        ran = call(*step, *at)
        assert (ran.code, "Nothing more is signed here" in ran.error()) == (10, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--continue", "--original-ended", "--database", "postgresql://x/y"),
        ("--original-ended",),
        (),
        ("somewhere", "--log", "x"),
    ],
)
def test_a_misspelt_restore(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert call("restore", *options, "--home", tmp_path / "home").code == 2


def test_a_home_is_made_in_a_new_folder_outside_the_backup(made: Path, plain: Path) -> None:
    assert call("restore", plain, "--home", made / "home").code == 7
    assert call("restore", plain, "--home", made).code == 5
    assert call("restore", plain, "--home", plain / "home").code == 5


def test_the_settings_name_no_other_database(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain / "settings.toml").write_text('database = "postgresql://old.example/x"\n')
    relisted(plain, "settings.toml")
    home = restored(plain, tmp_path / "restored")
    assert "database" not in (home / "settings.toml").read_text()
    ran = call("restore", plain, "--home", tmp_path / "x", "--database", "postgresql://a:b@c/d")
    assert (ran.code, "holds a password" in ran.error()) == (5, True)
    monkeypatch.setenv("WITNESSTREE_DATABASE", "postgresql://other.example/x")
    ran = call("restore", plain, "--home", tmp_path / "y")
    assert (ran.code, "name another database" in ran.error()) == (5, True)


@pytest.mark.parametrize("content", [b"{", b'{"format": "x", "restored": []}', b"[]"])
def test_what_cannot_be_read_of_a_restoration_stops_writers(
    made: Path, tmp_path: Path, content: bytes
) -> None:
    home = restored(made / "plain", tmp_path / "restored")
    (home / "restored.json").write_bytes(content)
    assert call("seal", "--home", home).code == 10
    (home / "restored.json").unlink()
    (home / "restored.json").mkdir()
    assert call("seal", "--home", home).code == 11


def test_a_file_of_a_key_that_came_later_is_not_in_it(home: Path, tmp_path: Path) -> None:
    (home / "keys" / "ledger-002-0123456789abcdef.pem").write_text("left by a crash")
    (home / "keys" / ".ledger.pem.0.tmp").write_text("being written")
    with open_ledger(home) as ledger:
        back_up(ledger, tmp_path / "backup", now=clock(), keeps_plain=True)
    assert not list((tmp_path / "backup" / "keys").glob("*002*"))
    assert not list((tmp_path / "backup" / "keys").glob(".*"))
    restore(tmp_path / "backup", tmp_path / "restored", now=clock())
    with open_ledger(tmp_path / "restored") as ledger, pytest.raises(Conflict):
        ledger.submit(bytes(32))
