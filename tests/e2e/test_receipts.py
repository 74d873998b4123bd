"""What a real service promised in its receipts is judged by the command line."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import call
from service import make_service_home, serving

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
