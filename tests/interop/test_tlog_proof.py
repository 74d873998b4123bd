"""transparency-dev/formats, which logs and witnesses use, reads our tlog-proofs and judges
cosignatures; Go's sumdb/tlog checks inclusion."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commandline import call
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from real import require_real, unavailable
from vectors.cosignature.make import NOW, ORIGIN, W1, private

from witnesstree.ledger.log.cosignature import CosignerKey, cosigned_message, format_cosigner_key
from witnesstree.ledger.log.note import VerifierKey, format_base64, format_verifier_key, parse_note
from witnesstree.ledger.log.statement import parse_statement
from witnesstree.ledger.proof.proof import parse_proof

pytestmark = pytest.mark.real("go")

PROGRAM = Path(__file__).parent / "go_tlog_proof"
VECTORS = Path(__file__).parents[1] / "vectors"
BATCHES = 4
"""So that the last one's path has two hashes."""

Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    go = require_real("go")
    program = tmp_path_factory.mktemp("go") / "go_tlog_proof"
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
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )
    if download.returncode:
        unavailable(
            f"github.com/transparency-dev/formats cannot be had: {download.stderr.strip()[-200:]}"
        )
    subprocess.run(
        [go, "build", "-o", program, "."], cwd=PROGRAM, env=environment, timeout=120, check=True
    )

    def ask(*questions: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask all questions at once; bytes go as base64."""
        asked = [
            {
                name: b64encode(value).decode() if isinstance(value, bytes) else value
                for name, value in each.items()
            }
            for each in questions
        ]
        answer = subprocess.run(
            [program],
            input=json.dumps(asked),
            timeout=30,
            check=True,
            capture_output=True,
            text=True,
        )
        found: list[dict[str, Any]] = json.loads(answer.stdout)
        return found

    return ask


@dataclass(frozen=True)
class Exported:
    """The tlog-proofs of a ledger's batches, each in the log as it was when that batch was sealed;
    the statements they are about; the log's key."""

    proofs: list[bytes]
    statements: list[str]
    key: str


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("tlog-proof")
    home, proofs, statements = folder / "home", [], []
    assert call("init", "--home", home, "--origin", "ledger.example/court").code == 0
    files = [folder / f"{number}.txt" for number in range(BATCHES)]
    for file in files:
        file.write_text(file.name)
        assert call("seal", "--home", home, file).code == 0
    for file in files:
        proof, out = folder / "proof.json", folder / "batch.tlog-proof"
        assert call("proof", file, "-o", proof, "--home", home).code == 0
        assert call("export", proof, "--format", "tlog-proof", "-o", out).code == 0
        read = parse_proof(proof.read_bytes())
        assert read.log
        proofs.append(out.read_bytes())
        statements.append(read.log.statement)
    return Exported(proofs, statements, (home / "keys/ledger.vkey").read_text().strip())


def test_go_verifies_our_tlog_proofs(ask: Ask, exported: Exported) -> None:
    answers = ask(*({"proof": proof, "key": exported.key} for proof in exported.proofs))
    assert [(said["error"], said["index"], said["size"], said["origin"]) for said in answers] == [
        ("", number, number + 1, "ledger.example/court") for number in range(BATCHES)
    ]
    entries = [b64decode(said["entry"]).decode() for said in answers]
    assert entries == exported.statements
    assert [parse_statement(entry).sequence for entry in entries] == list(range(BATCHES))


def edited(proof: bytes, line: int, change: Callable[[str], str]) -> bytes:
    lines = proof.decode().split("\n")
    lines[line] = change(lines[line])
    return "\n".join(lines).encode()


def flipped(text: str) -> str:
    """A line that is base64, with one bit of its first byte flipped."""
    content = b64decode(text)
    return format_base64(bytes([content[0] ^ 1]) + content[1:])


MUTATIONS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another version": (
        lambda proof: edited(proof, 0, lambda text: text.replace("v1", "v2")),
        "form: ",
    ),
    "one bit of the entry": (
        lambda proof: edited(
            proof, 1, lambda text: "extra " + flipped(text.removeprefix("extra "))
        ),
        "inclusion: ",
    ),
    "no entry": (lambda proof: proof.replace(proof.split(b"\n")[1] + b"\n", b"", 1), "inclusion: "),
    "another index": (lambda proof: edited(proof, 2, lambda _: "index 0"), "inclusion: "),
    "an index beyond the log": (
        lambda proof: edited(proof, 2, lambda _: f"index {BATCHES}"),
        "inclusion: ",
    ),
    "no index": (lambda proof: edited(proof, 2, lambda _: ""), "form: "),
    "one bit of the path": (lambda proof: edited(proof, 3, flipped), "inclusion: "),
    "a hash of 31 bytes": (
        lambda proof: edited(proof, 3, lambda text: format_base64(b64decode(text)[1:])),
        "form: ",
    ),
    "a hash less": (
        lambda proof: proof.replace(proof.split(b"\n")[3] + b"\n", b"", 1),
        "inclusion: ",
    ),
    "a hash more": (lambda proof: edited(proof, 3, lambda text: f"{text}\n{text}"), "inclusion: "),
    "another size in the checkpoint": (
        lambda proof: proof.replace(b"court\n4\n", b"court\n5\n"),
        "checkpoint: ",
    ),
    "one bit of the root": (lambda proof: edited(proof, -4, flipped), "checkpoint: "),
    "one bit of the signature": (
        lambda proof: edited(
            proof, -2, lambda text: text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
        ),
        "checkpoint: ",
    ),
    "no signature": (lambda proof: b"\n".join(proof.split(b"\n")[:-2]) + b"\n", "checkpoint: "),
    "cut short": (lambda proof: proof[:-2], "checkpoint: "),
    "empty": (lambda _: b"", "form: "),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_go_refuses_mutated_ones(ask: Ask, exported: Exported, name: str) -> None:
    mutate, reason = MUTATIONS[name]
    mutated = mutate(exported.proofs[-1])
    assert mutated != exported.proofs[-1]
    (said,) = ask({"proof": mutated, "key": exported.key})
    assert said["error"].startswith(reason)


def test_go_refuses_the_proof_under_another_logs_key(ask: Ask, exported: Exported) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    name = exported.key.split("+")[0]
    (said,) = ask(
        {"proof": exported.proofs[-1], "key": format_verifier_key(VerifierKey(name, other))}
    )
    assert said["error"].startswith("checkpoint: ")


def test_go_finds_the_cosignature_in_the_proof(ask: Ask, exported: Exported) -> None:
    witness = CosignerKey(W1, private(W1).public_key().public_bytes_raw())
    text = parse_note(exported.proofs[-1].split(b"\n\n", 1)[1]).text
    signature = (
        witness.key_id + NOW.to_bytes(8, "big") + private(W1).sign(cosigned_message(text, NOW))
    )
    cosigned = exported.proofs[-1] + f"— {witness.name} {format_base64(signature)}\n".encode()
    other = (
        exported.proofs[-1]
        + f"— {witness.name} {format_base64(signature[:-1] + bytes([signature[-1] ^ 1]))}\n".encode()  # noqa: E501
    )
    keys = [format_cosigner_key(witness)]
    answers = ask(
        *(
            {"proof": proof, "key": exported.key, "witnesses": keys}
            for proof in (cosigned, other, exported.proofs[-1])
        )
    )
    assert [(said["error"], said["cosigned"]) for said in answers] == [
        ("", keys),
        ("", []),
        ("", []),
    ]


DIFFERENT = {"a wrong line of the same witness before the right one", "time beyond 2^63 - 1"}
"""Go opens a note for a key at once, and refuses it for one wrong line of that key; we count the
right one. And it takes any time of 64 bits."""


def test_go_finds_the_cosignatures_of_the_vectors(ask: Ask) -> None:
    cases = [
        case
        for case in json.loads((VECTORS / "cosignature/cosignature.json").read_text("utf-8"))[
            "cases"
        ]
        if case["expect"] != "invalid"
    ]
    key = VerifierKey(ORIGIN, private(ORIGIN).public_key().public_bytes_raw())
    questions = (
        {
            "checkpoint": case["note"].encode(),
            "key": format_verifier_key(key),
            "witnesses": case["witnesses"],
        }
        for case in cases
    )
    different = set()
    for case, said in zip(cases, ask(*questions), strict=True):
        if said["error"]:
            assert case["name"] == "the log's own key does not count, nor matters"
            continue
        found = list(dict.fromkeys(text.split("+")[0] for text in said["cosigned"]))
        if found != [each["name"] for each in case["cosigned"]]:
            different.add(case["name"])
    assert different == DIFFERENT


def test_go_reads_no_checkpoint_from_the_vectors_that_are_none(ask: Ask) -> None:
    cases = [
        case
        for case in json.loads((VECTORS / "cosignature/cosignature.json").read_text("utf-8"))[
            "cases"
        ]
        if case["expect"] == "invalid"
    ]
    key = VerifierKey(ORIGIN, private(ORIGIN).public_key().public_bytes_raw())
    answers = ask(
        *(
            {"checkpoint": case["note"].encode(), "key": format_verifier_key(key), "witnesses": []}
            for case in cases
        )
    )
    assert len(answers) > 2
    assert all(said["error"].startswith("checkpoint: ") for said in answers)
