"""docs/proof-format.md says what the code does: limits, names, addresses, and both examples."""

import importlib
import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from make_proof import honest

from witnesstree.anchor.evm.contract import artefact
from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.report import Assurance, Outcome, Verdict
from witnesstree.ledger.chain.known import KNOWN_CHAINS, LOCAL_CHAIN_ID
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH
from witnesstree.ledger.log.note import parse_verifier_key
from witnesstree.ledger.proof import proof as proof_module
from witnesstree.ledger.proof.proof import Hints, format_proof, parse_proof
from witnesstree.ledger.tree.tree import parent, prove, root_of
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "proof-format.md").read_text(encoding="utf-8")
CHINESE = (DOCS / "proof-format.zh.md").read_text(encoding="utf-8")
LIMIT = re.compile(r"^\| [^|]+ \| (\d+) \| `(\w+)\.(\w+)` \|$", re.MULTILINE)
LIMITS = LIMIT.findall(TEXT)


def test_the_limits_are_the_constants() -> None:
    for limit, module, name in LIMITS:
        (path,) = (Path(__file__).parents[2] / "ledger").glob(f"*/{module}.py")
        found = importlib.import_module(f"witnesstree.ledger.{path.parent.name}.{module}")
        assert getattr(found, name) == int(limit), name


def test_no_limit_of_a_proof_is_left_out() -> None:
    limits = {name for name in vars(proof_module) if name.startswith("MAX_")}
    assert limits - {name for _, _, name in LIMITS} == set()
    assert len(LIMITS) >= 19


def test_both_languages_have_the_same_limits() -> None:
    assert LIMIT.findall(CHINESE) == LIMITS


def test_white_space_is_what_python_has() -> None:
    for text, start, end in (
        (TEXT, "*White space* is ", ", and nothing else"),
        (CHINESE, "*空白*是 ", "，别无其他"),
    ):
        listed = text[text.index(start) :].partition(end)[0]
        ranges = re.findall(r"U\+([0-9A-F]{4})(?: (?:to|到) U\+([0-9A-F]{4}))?", listed)
        found = {
            code
            for first, last in ranges
            for code in range(int(first, 16), int(last or first, 16) + 1)
        }
        assert found == {code for code in range(0x110000) if chr(code).isspace()}


def test_what_a_chain_is_worth_is_what_the_code_says() -> None:
    for text, start, end in ((TEXT, "*public* for ", ";"), (CHINESE, "*public*：", "；")):
        listed = text[text.index(start) :].partition(end)[0]
        public = {
            number for number, chain in KNOWN_CHAINS.items() if chain.assurance is Assurance.PUBLIC
        }
        assert {int(number) for number in re.findall(r"\d+", listed)} == public
        seeing = re.search(r"(?:those are|这类链是) ([\d, 、and和]+)", text)
        assert seeing
        own = {number for number, chain in KNOWN_CHAINS.items() if chain.sees_own_number}
        assert {int(number) for number in re.findall(r"\d+", seeing[1])} == own


def test_every_member_is_in_a_table() -> None:
    document = json.loads(honest().content())
    hints = json.loads(
        format_proof(proof_module.Proof(bytes(32), hints=Hints("a", 1, "b", ("c",))))
    )["hints"]
    places = [
        document,
        document["inclusion"],
        document["opening"],
        document["log"],
        document["anchors"][0],
        json.loads(document["opening"]["record"]),
    ]
    for name in {name for place in places for name in place}:
        assert f"| `{name}` |" in TEXT, name
    for name in [
        *document["anchors"][0]["state"],
        *document["anchors"][0]["block"],
        *document["tokens"][0],
        *hints,
    ]:
        assert f"`{name}`" in TEXT, name


def test_every_check_is_named() -> None:
    report = verify(honest().proof().digest, honest().content(), honest().trust, honest().now)
    for check in report.checks:
        name = re.sub(r"^(tokens|anchors)\[0\]", "", check.name)
        assert f"`{name}`" in TEXT or f"`{check.name.replace('[0]', '[i]')}`" in TEXT, name


def test_addresses_and_numbers_are_right() -> None:
    contract = artefact()
    for value in (CONTRACT_ADDRESS, CONTRACT_CODE_HASH, contract.deployer):
        assert f"`0x{value.hex()}`" in TEXT
    assert contract.salt == bytes(32)
    assert f"chain id {LOCAL_CHAIN_ID})" in TEXT
    assert TEXT.count(f"more than {SKEW.seconds // 60} minutes") == 4


def test_the_worked_example_of_the_tree() -> None:
    leaves = [sha256(str(i).encode()).digest() for i in range(7)]
    path = prove(b"".join(leaves), 4)
    above = parent(leaves[4], path[0])
    shown = [
        leaves[4],
        path[0],
        above,
        path[1],
        parent(above, path[1]),
        path[2],
        root_of(b"".join(leaves)),
    ]
    example = TEXT[TEXT.index("**Example.**") : TEXT.index("## 4.")]
    assert [bytes.fromhex(node) for node in re.findall(r"[0-9a-f]{64}", example)] == shown


def test_the_example_verifies_as_far_as_it_says() -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert format_proof(parse_proof(example.encode())) == example.encode()
    (key,) = re.findall(r"^`(ledger\.example/court\+[^`]+)`", TEXT, re.MULTILINE)
    trust = Trust(checkpoint_keys=(parse_verifier_key(key),))
    report = verify(
        sha256(b"hello\n").digest(), example.encode(), trust, datetime(2026, 11, 24, tzinfo=UTC)
    )
    assert report.verdict is Verdict.UNDECIDED
    assert [
        check.name
        for check in report.checks
        if check.required and check.outcome is not Outcome.PASSED
    ] == ["tokens", "anchors"]
