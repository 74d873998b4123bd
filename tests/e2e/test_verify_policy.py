"""What a verifier without a home can bring along: trusted roots, block hashes, the ledger's key,
and which witnesses must be there."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from commandline import Sealed, call
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from witnesstree.anchor.evm import check
from witnesstree.ledger.log.note import parse_verifier_key
from witnesstree.ledger.trust import Trust


@dataclass(frozen=True, slots=True)
class Brought:
    """What the owner of a ledger can hand to a verifier."""

    file: Path
    root: Path
    block: str
    opening_block: str
    key: str

    @property
    def everything(self) -> tuple[object, ...]:
        return (*self.roots, *self.blocks, "--checkpoint-key", self.key)

    @property
    def roots(self) -> tuple[object, ...]:
        return "--trust", self.root

    @property
    def blocks(self) -> tuple[object, ...]:
        return "--block-hash", self.block


@pytest.fixture
def brought(sealed: Sealed, tmp_path: Path) -> Brought:
    """The home itself is not there when the verifier verifies."""
    root = tmp_path / "root.pem"
    root.write_bytes((sealed.home / "authority/root.pem").read_bytes())
    key = call("status", "--home", sealed.home, "--json").json["checkpoint_key"]
    block = call("show", sealed.proof, "--json").json["anchors"][0]["block_hash"]
    opening = json.loads(json.loads(sealed.proof.read_bytes())["opening"]["record"])["block"][
        "hash"
    ]
    sealed.home.rename(tmp_path / "elsewhere")
    return Brought(
        sealed.file, root, block, opening if opening.startswith("0x") else f"0x{opening}", key
    )


def outcomes(report: dict[str, object], outcome: str) -> list[str]:
    checks = report["checks"]
    assert isinstance(checks, list)
    return [check["name"] for check in checks if check["outcome"] == outcome]


def test_verified_with_what_was_brought(brought: Brought) -> None:
    ran = call("verify", brought.file, *brought.everything, "--json")
    assert (ran.code, ran.talk, ran.json["verdict"]) == (0, "", "verified")
    assert ran.json["assurance"] == "local", "the embedded chain is local, whoever trusts it"
    assert outcomes(ran.json, "unknown") == ["tokens[0].revocation", "opening.block"]
    assert ran.json["not_before"] is None
    assert ran.json["not_after"]
    both = call(
        "verify", brought.file, *brought.everything, "--block-hash", brought.opening_block, "--json"
    )
    assert outcomes(both.json, "unknown") == ["tokens[0].revocation"]
    assert both.json["not_before"] < both.json["not_after"]
    assert (
        "local: it proves nothing to a third party"
        in call("verify", brought.file, *brought.everything).text.splitlines()[0]
    )


def test_a_root_that_a_person_trusts_is_never_public(brought: Brought) -> None:
    token = call("verify", brought.file, *brought.roots, "--require", "token", "--json")
    assert (token.code, token.json["verdict"]) == (0, "verified")
    assert token.json["assurance"] == "local", (
        "an authority that calls itself a stand-in stays one, whoever trusts it"
    )


def test_one_witness_where_one_is_asked_for(brought: Brought) -> None:
    anchor = call("verify", brought.file, *brought.blocks, "--require", "anchor", "--json")
    assert (anchor.code, anchor.json["verdict"], anchor.json["assurance"]) == (
        0,
        "verified",
        "local",
    )
    assert "tokens[0].chain" in outcomes(anchor.json, "unknown")
    assert call("verify", brought.file, *brought.roots, "--require", "anchor").code == 4
    assert call("verify", brought.file, *brought.blocks, "--require", "token").code == 4
    assert (
        call("verify", brought.file, *brought.roots, *brought.blocks, "--require", "both").code == 0
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda _: (), "Give it with --trust"),
        (lambda brought: brought.roots, "--block-hash"),
        (lambda brought: brought.blocks, "Give it with --trust"),
        (lambda brought: ("--checkpoint-key", brought.key), "Give it with --trust"),
    ],
)
def test_undecided_says_what_to_give(given: object, says: str, brought: Brought) -> None:
    assert callable(given)
    ran = call("verify", brought.file, *given(brought))
    assert ran.code == 4
    first = ran.text.splitlines()[0]
    assert first.startswith("UNDECIDED: ")
    assert says in first
    if given(brought) == brought.roots:
        assert brought.block not in first, "it would be pasted unread"
        assert ":HASH" in first
        assert "--home" in first, "no explorer knows the embedded chain"


def test_a_block_may_name_its_chain(brought: Brought) -> None:
    chain = json.loads(Path(f"{brought.file}.proof.json").read_bytes())["anchors"][0]["chain_id"]
    named = call(
        "verify", brought.file, *brought.roots, "--block-hash", f"{chain}:{brought.block}", "--json"
    )
    assert (named.code, named.json["assurance"]) == (0, "local")
    number = call("show", f"{brought.file}.proof.json", "--json").json["anchors"][0]["block"]
    for block, code in (
        (f"{chain}:{number}:{brought.block}", 0),
        (f"{chain}:{number}:{brought.block[2:].upper()}", 0),
        (f"{chain}:{number}:0x{'ab' * 32}", 3),
        (f"{chain}:{number + 9}:{brought.block}", 4),
        (f"1:{number}:{brought.block}", 4),
    ):
        assert call("verify", brought.file, *brought.roots, "--block-hash", block).code == code
    # The same hash on another chain is another block.
    assert (
        call("verify", brought.file, *brought.roots, "--block-hash", f"1:{brought.block}").code == 4
    )


def test_the_key_may_be_in_a_file(brought: Brought, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(brought.key + "\n")
    ran = call(
        "verify",
        brought.file,
        *brought.roots,
        *brought.blocks,
        "--checkpoint-key",
        tmp_path / "key",
        "--json",
    )
    assert "log.checkpoint" in outcomes(ran.json, "passed")


def test_another_key_fails(brought: Brought) -> None:
    other = "ledger.test/court+" + brought.key.split("+", 1)[1]
    assert parse_verifier_key(other).name == "ledger.test/court"
    ran = call(
        "init", "--home", brought.root.parent / "other", "--origin", "ledger.test/court", "--json"
    )
    failed = call(
        "verify",
        brought.file,
        *brought.roots,
        *brought.blocks,
        "--checkpoint-key",
        ran.json["checkpoint_key"],
        "--json",
    )
    assert (failed.code, failed.json["verdict"], failed.json["assurance"]) == (3, "failed", None)
    assert outcomes(failed.json, "failed") == ["log.checkpoint"]


def test_another_block_or_root_decides_nothing(brought: Brought) -> None:
    assert call("verify", brought.file, *brought.roots, "--block-hash", "0x" + "ab" * 32).code == 4
    assert call("init", "--home", brought.root.parent / "other").code == 0
    other = brought.root.parent / "other/authority/root.pem"
    ran = call("verify", brought.file, "--trust", other, *brought.blocks, "--json")
    assert ran.code in (3, 4)
    assert "tokens[0].chain" in outcomes(ran.json, "unknown") + outcomes(ran.json, "failed")
    # The right root among others is found.
    assert call("verify", brought.file, "--trust", other, *brought.everything).code == 0
    joined = brought.root.parent / "joined.pem"
    joined.write_bytes(other.read_bytes() + brought.root.read_bytes())
    assert call("verify", brought.file, "--trust", joined, *brought.blocks).code == 0
    der = brought.root.parent / "root.der"
    der.write_bytes(
        x509.load_pem_x509_certificate(brought.root.read_bytes()).public_bytes(Encoding.DER)
    )
    assert call("verify", brought.file, "--trust", der, *brought.blocks).code == 0


def test_another_ledgers_home_is_not_believed(brought: Brought) -> None:
    other = brought.root.parent / "other"
    assert call("init", "--home", other).code == 0
    ran = call("verify", brought.file, "--home", other)
    assert ran.code == 4
    assert (
        ran.talk
        == f"The proof is not of the ledger in {other}, so nothing there is trusted for it.\n"
    )


def test_a_home_does_not_lower_what_was_brought(brought: Brought) -> None:
    home = brought.root.parent / "elsewhere"
    ran = call("verify", brought.file, "--home", home, "--json")
    assert (ran.code, ran.json["assurance"], outcomes(ran.json, "unknown")) == (
        0,
        "local",
        ["tokens[0].revocation"],
    )
    kinds = {"not_after_token", "not_after_anchor", "file_not_after"}
    dates = {"not_before", "not_after", *kinds}
    assert set(ran.json) == {"verdict", "assurance", *dates, "checks"}
    assert ran.json["not_after"] == max(ran.json["not_after_token"], ran.json["not_after_anchor"])
    assert all({"name", "outcome", "reason"} <= set(check) for check in ran.json["checks"])
    by_environment = call("verify", brought.file, "--json", env={"WITNESSTREE_HOME": str(home)})
    assert by_environment.json == ran.json


def test_a_node_is_not_asked_about_a_proof_that_cannot_be_read(
    brought: Brought, tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text('{"format":"witnesstree-proof/1"}')
    ran = call(
        "verify", brought.file, "--proof", tmp_path / "bad.json", "--rpc", "http://127.0.0.1:9"
    )
    assert ran.code == 3
    assert "FAILED  Proof file: " in ran.text


@pytest.mark.enable_socket
def test_what_nodes_could_not_say_is_said(
    brought: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    testimony = check.Testimony(
        Trust(), ("127.0.0.1:9 names no final block, so it can confirm nothing yet.",)
    )
    monkeypatch.setattr(
        "witnesstree.anchor.evm.check.ask_nodes", lambda urls, proof, finality: testimony
    )
    ran = call("verify", brought.file, "--rpc", "http://127.0.0.1:9")
    assert ran.code == 4
    assert ran.talk == "127.0.0.1:9 names no final block, so it can confirm nothing yet.\n"
