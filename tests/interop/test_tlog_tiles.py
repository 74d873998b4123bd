"""Go's golang.org/x/mod/sumdb/tlog, which guards every Go build, reads the log that we publish, and
proves from its tiles."""

import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import START, Clock
from fakes import FakeWorld, digests
from real import require_real, unavailable

from witnesstree.anchor.publishing import publish
from witnesstree.ledger.log.note import format_verifier_key, parse_checkpoint, parse_note

pytestmark = pytest.mark.real("go")

PROGRAM = Path(__file__).parent / "go_tlog_tiles"
SIZES = (1, 7, 255, 256, 259)
"""Published one after the other: a full tile and a second level come last."""

Ask = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Published:
    folder: Path
    key: str
    roots: dict[int, bytes]
    statements: list[str]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    go = require_real("go")
    program = tmp_path_factory.mktemp("go") / "go_tlog_tiles"
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "CGO_ENABLED": "0",
    }
    download = subprocess.run(
        [go, "mod", "download"],
        cwd=PROGRAM,
        env=environment,
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    if download.returncode:
        unavailable(f"golang.org/x/mod cannot be had: {download.stderr.strip()[-200:]}")
    subprocess.run(
        [go, "build", "-o", program, "."], cwd=PROGRAM, env=environment, timeout=60, check=True
    )

    def ask(**question: Any) -> dict[str, Any]:
        answer = subprocess.run(
            [program],
            input=json.dumps(question),
            timeout=30,
            check=True,
            capture_output=True,
            text=True,
        )
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    return ask


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    tmp = tmp_path_factory.mktemp("published")
    world = FakeWorld(tmp / "home", Clock(START))
    folder, roots = tmp / "log", {}
    with world.open() as ledger:
        for number in range(1, SIZES[-1] + 1):
            ledger.submit(digests("batch", number)[-1])
            ledger.close()
            if number in SIZES:
                publish(ledger, folder)
                roots[number] = parse_checkpoint(
                    parse_note((folder / "checkpoint").read_bytes()).text
                ).root
        with ledger.metadata.read() as transaction:
            statements = [batch.statement for batch in transaction.batches()]
    return Published(folder, format_verifier_key(world.home.verifier_key()), roots, statements)


def text_of(content: bytes) -> str:
    return b64encode(content).decode()


def test_go_reads_our_tiles(ask: Ask, published: Published) -> None:
    olds = [{"size": size, "root": text_of(root)} for size, root in published.roots.items()]

    answer = ask(folder=str(published.folder), key=published.key, olds=olds)

    assert answer["error"] == ""
    assert answer["size"] == SIZES[-1] == answer["included"]
    assert answer["consistent"] == [True] * len(SIZES)
    assert answer["entries"] == [text_of(statement.encode()) for statement in published.statements]
    assert {"0/000", "0/001.p/3", "1/000.p/1", "entries/000", "entries/001.p/3"} == set(
        answer["tiles"]
    )


def test_go_finds_that_another_root_is_no_beginning(ask: Ask, published: Published) -> None:
    answer = ask(
        folder=str(published.folder),
        key=published.key,
        olds=[{"size": 7, "root": text_of(published.roots[255])}],
    )
    assert (answer["error"], answer["consistent"]) == ("", [False])


@pytest.mark.parametrize("tile", ["0/000", "0/001.p/3", "1/000.p/1"])
def test_go_finds_a_flipped_bit_in_a_tile(
    ask: Ask, published: Published, tmp_path: Path, tile: str
) -> None:
    folder = tmp_path / "log"
    shutil.copytree(published.folder, folder)
    content = bytearray((folder / "tile" / tile).read_bytes())
    content[-1] ^= 1
    (folder / "tile" / tile).write_bytes(content)
    answer = ask(folder=str(folder), key=published.key, olds=[])
    # Go's reader does not compare every tile before it uses it; then the path of an entry fails.
    assert "inconsistent tile" in answer["error"] or answer["included"] < SIZES[-1]
