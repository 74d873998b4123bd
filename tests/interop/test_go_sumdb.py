"""Go's golang.org/x/mod/sumdb, which guards every Go build, against our log, notes and checkpoints:
in both directions."""

import json
import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from real import require_real, unavailable

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log import log, note

pytestmark = pytest.mark.real("go")

PROGRAM = Path(__file__).parent / "go_sumdb"
VECTORS = Path(__file__).parents[1] / "vectors"
SIZE = 40
ENTRIES = [b"entry %d\n" % number for number in range(SIZE)]
ORIGIN = "ledger.example/court"
SEED = sha256(b"a key of this test").digest()
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(SEED)
KEY = note.VerifierKey(ORIGIN, PRIVATE_KEY.public_key().public_bytes_raw())

GO_TAKES_TOO = {
    # Go takes several spellings of one signature, and names of any length. We take one spelling,
    # and at most 255 characters.
    "bits left over in the base64 of the signature",
    "name of 256 characters",
    # Go looks at the first signature of a key only.
    "our signature twice, the second one wrong",
}

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    go = require_real("go")
    program = tmp_path_factory.mktemp("go") / "go_sumdb"
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly",
        "CGO_ENABLED": "0",
    }
    fetch = [go, "mod", "download"]
    download = subprocess.run(
        fetch, cwd=PROGRAM, env=environment, timeout=60, check=False, capture_output=True, text=True
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


def vectors(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / name).read_text(encoding="utf-8"))["cases"]
    return found


def text_of(content: bytes) -> str:
    return b64encode(content).decode()


def test_go_finds_the_same_roots_and_paths(ask: Ask) -> None:
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        return kept[level, index]

    for number, entry in enumerate(ENTRIES):
        kept.update(
            {
                (level, index): node
                for level, index, node in log.added_nodes(number, log.leaf_hash(entry), read)
            }
        )

    answer = ask(entries=[text_of(entry) for entry in ENTRIES])

    assert answer["roots"] == [text_of(log.log_root(size, read)) for size in range(SIZE + 1)]
    assert answer["inclusion_paths"] == [
        [
            [text_of(node) for node in log.prove_inclusion(index, size, read)]
            for index in range(size)
        ]
        for size in range(1, SIZE + 1)
    ]
    assert answer["consistency_paths"] == [
        [
            [text_of(node) for node in log.prove_consistency(old, new, read)]
            for old in range(1, new + 1)
        ]
        for new in range(1, SIZE + 1)
    ]


@pytest.mark.parametrize(
    ("file", "kind"),
    [("log/inclusion.json", "inclusions"), ("log/consistency.json", "consistencies")],
)
def test_go_judges_every_vector_as_we_do(ask: Ask, file: str, kind: str) -> None:
    cases = vectors(file)
    questions = [
        {name: value for name, value in case.items() if name not in ("name", "expect")}
        for case in cases
    ]
    expected = {case["name"]: case["expect"] == "verifies" for case in cases}

    answer = ask(**{kind: questions})

    assert dict(zip(expected, answer[kind], strict=True)) == expected


def test_go_signs_the_same_notes(ask: Ask) -> None:
    texts = [
        note.format_checkpoint(note.Checkpoint(ORIGIN, SIZE, bytes(32))),
        note.format_checkpoint(note.Checkpoint(ORIGIN, 0, log.EMPTY_ROOT, ("extension", "存证"))),
        "one paragraph\n\nand another\n",
    ]
    signer_key = f"PRIVATE+KEY+{ORIGIN}+{KEY.key_id.hex()}+{text_of(note.ED25519 + SEED)}"

    answer = ask(signings=[{"text": text, "signer_key": signer_key} for text in texts])

    assert answer["signed"] == [note.sign_note(text, ORIGIN, PRIVATE_KEY) for text in texts]
    assert [note.open_note(signed, [KEY]) for signed in answer["signed"]] == texts


def test_go_opens_the_notes_that_we_open(ask: Ask) -> None:
    ours: dict[str, str | None] = {}
    questions = []
    cases = vectors("checkpoint/checkpoint.json") + vectors("checkpoint/note.json")
    for case in cases:
        signed = case["note"].encode() if "note" in case else b64decode(case["bytes"])
        keys = case["keys"] if "keys" in case else [case["key"]]
        questions.append({"note": text_of(signed), "keys": keys})
        try:
            ours[case["name"]] = note.open_note(
                signed, [note.parse_verifier_key(key) for key in keys]
            )
        except InvalidInput:
            ours[case["name"]] = None

    answer = ask(notes=questions)

    theirs = dict(zip(ours, answer["texts"], strict=True))
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == GO_TAKES_TOO
    assert all(ours[name] is None for name in differing)
    assert sum(text is not None for text in ours.values()) > 20
