"""What a real service promised in its receipts is judged by the command line."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest
from commandline import call
from service import make_service_home, serving, until

from witnesstree.ledger.base.clock import parse_time

pytestmark = pytest.mark.enable_socket

CONTENTS = [f"evidence {number}\n".encode() for number in range(4)]


def acknowledged(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Return a home whose service took four files one by one; their receipts lie beside them."""
    home = tmp_path / "home"
    make_service_home(home)
    files = []
    with serving(home) as served:
        served.give_key("acme", "acme")
        for number, content in enumerate(CONTENTS):
            file = tmp_path / f"file-{number}"
            file.write_bytes(content)
            taken = served.submit(sha256(content).digest())
            assert taken.status == 201, taken.content
            receipt_of(file).write_bytes(taken.content)
            files.append(file)
    return home, files


def receipt_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.receipt.json")


def judged(file: Path, *options: object) -> tuple[int, str]:
    found = call("verify", file, "--receipt", receipt_of(file), "--json", *options)
    assert found.text, found.talk
    return found.code, json.loads(found.text)["promise"]


def test_a_promise_is_kept_once_its_batch_is_sealed(tmp_path: Path) -> None:
    home, files = acknowledged(tmp_path)
    for file in files:
        assert judged(file) == (4, "not-due")
        assert judged(file, "--home", home) in {(4, "not-due"), (0, "kept")}
    sealed = call("seal", "--home", home, files[0])
    assert sealed.code == 0, sealed.talk
    for file in files:
        assert judged(file, "--home", home) == (0, "kept")
    moved = files[0].with_name("other")
    moved.write_bytes(b"other")
    receipt_of(moved).write_bytes(receipt_of(files[0]).read_bytes())
    assert judged(moved, "--home", home) == (3, "none")


def test_an_acknowledged_entry_that_is_lost_convicts_the_ledger(tmp_path: Path) -> None:
    """Somebody with the home puts another digest in the place of one that was acknowledged, and
    makes all else fit: files, sums, tree, statement and checkpoint. The receipt does not."""
    home, file, receipt = tmp_path / "home", tmp_path / "lost.txt", tmp_path / "lost.receipt"
    make_service_home(home, "batch_age = 3600", "[service]", "promise = 1")
    file.write_bytes(b"lost")
    with serving(home) as served:
        served.give_key("acme", "acme")
        answer = served.submit(sha256(b"lost").digest())
        receipt.write_bytes(answer.content)
        keys = served.get("/.well-known/witnesstree").json["log"]["keys"]
    (place,) = answer.json["places"]
    path = home / "batches" / "00000" / "00000000.digests"
    content = bytearray(path.read_bytes())
    content[place["first"] * 32 : place["first"] * 32 + 32] = sha256(b"another").digest()
    path.write_bytes(content)
    with closing(sqlite3.connect(home / "ledger.db")) as database:
        database.execute("UPDATE open_batches SET crc32 = ?", (crc32(content),))
        database.commit()
    (tmp_path / "honest").write_text("honest")
    assert call("seal", tmp_path / "honest", "--home", home).code == 0
    assert call("fsck", "--home", home).code == 0, "nothing of the home shows it"
    due = parse_time(answer.json["due"])
    until(lambda: datetime.now(UTC) > due)
    evidence = tmp_path / "evidence.json"
    found = call("verify", file, "--receipt", receipt, "--home", home, "--evidence", evidence)
    assert found.code == 3, found.text + found.talk
    # Anybody can judge the evidence, with the receipt and the ledger's public key.
    given = ("--receipt", receipt, "--proof", evidence, "--checkpoint-key", keys[0])
    again = call("verify", file, *given, "--json")
    assert (again.code, again.json["promise"]) == (3, "broken")
    # Without the ledger's data it is not known.
    alone = call("verify", file, "--receipt", receipt, "--checkpoint-key", keys[0], "--json")
    assert (alone.code, alone.json["promise"]) == (4, "not-known")
