"""What a home lets its owner trust: itself, and only for its own proofs."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes import digests

from witnesstree.anchor.evm.blocks import FILE, canonical_hash
from witnesstree.anchor.trust import finality_in, home_trust
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.errors import Damaged, NotFound
from witnesstree.ledger.base.report import Assurance, Verdict
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.log.opening import format_opening, parse_opening
from witnesstree.ledger.proof.proof import Proof, format_proof
from witnesstree.ledger.store.home import Home
from witnesstree.ledger.store.restored import Restored, add
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify

(A,) = digests("trust", 1)
ORIGIN = "ledger.test/trust"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Proof]:
    home = make_home(tmp_path_factory.mktemp("trust") / "home", ORIGIN)
    with open_ledger(home.folder) as ledger:
        ledger.submit(A)
        ledger.close()
        assert ledger.outbox.work() == []
        return home, ledger.proof(A)


def judge(proof: Proof, trust: Trust | None) -> Verdict:
    return verify(A, format_proof(proof), trust or Trust(), datetime.now(UTC)).verdict


def test_a_home_verifies_its_own_proof(sealed: tuple[Home, Proof]) -> None:
    home, proof = sealed
    trust = home_trust(home, proof)
    assert trust is not None
    assert [root.assurance for root in trust.roots] == [Assurance.LOCAL]
    assert trust.checkpoint_keys == (home.verifier_key(),)
    assert {block.number for block in trust.blocks} == {1, 2}
    for block in trust.blocks:
        assert block.chain_id == LOCAL_CHAIN_ID
        assert block.number is not None
        assert block.hash == canonical_hash(home.chain, block.number)
    report = verify(A, format_proof(proof), trust, datetime.now(UTC))
    assert (report.verdict, report.assurance) == (Verdict.VERIFIED, Assurance.LOCAL)
    assert report.not_before is not None
    assert report.not_after is not None
    assert report.not_before <= report.not_after


def test_a_restored_home_says_nothing_of_blocks_that_its_chain_has_lost(
    sealed: tuple[Home, Proof], tmp_path: Path
) -> None:
    """Another block has taken the number, and the proof is as good as before."""
    import shutil

    home = Home(Path(shutil.copytree(sealed[0].folder, tmp_path / "home")), ORIGIN)
    proof = sealed[1]
    other = replace(
        proof, anchors=tuple(replace(each, block_hash=bytes(32)) for each in proof.anchors)
    )
    number = proof.anchors[0].block_number
    for is_restored in (False, True):
        if is_restored:
            now = datetime.now(UTC)
            add(home, Restored("00" * 32, now, 1, now))
        trust = home_trust(home, other)
        assert trust
        assert (number in {block.number for block in trust.blocks}) is not is_restored
        good = home_trust(home, proof)
        assert good
        assert number in {block.number for block in good.blocks}


def test_without_the_home_the_same_proof_is_undecided(sealed: tuple[Home, Proof]) -> None:
    assert judge(sealed[1], None) is Verdict.UNDECIDED


def test_another_home_says_nothing(sealed: tuple[Home, Proof], tmp_path: Path) -> None:
    other = make_home(tmp_path / "other", "ledger.test/other")
    assert home_trust(other, sealed[1]) is None


def test_a_home_of_the_same_name_does_not_verify_it(
    sealed: tuple[Home, Proof], tmp_path: Path
) -> None:
    namesake = make_home(tmp_path / "namesake", ORIGIN)
    trust = home_trust(namesake, sealed[1])
    assert trust is not None
    assert judge(sealed[1], trust) is Verdict.FAILED


def test_a_proof_that_names_no_ledger_has_no_home(sealed: tuple[Home, Proof]) -> None:
    home, proof = sealed
    assert proof.opening
    assert home_trust(home, Proof(A)) is None
    assert (
        home_trust(home, replace(proof, opening=replace(proof.opening, record="nonsense"))) is None
    )


def test_a_block_that_the_chain_does_not_have_is_not_trusted(sealed: tuple[Home, Proof]) -> None:
    home, proof = sealed
    (anchor,) = proof.anchors
    trust = home_trust(home, replace(proof, anchors=(replace(anchor, block_number=99),)))
    assert trust is not None
    assert {block.number for block in trust.blocks} == {1}


def test_a_block_of_another_chain_is_not_asked_for(sealed: tuple[Home, Proof]) -> None:
    home, proof = sealed
    (anchor,) = proof.anchors
    trust = home_trust(home, replace(proof, anchors=(replace(anchor, chain_id=1),)))
    assert trust is not None
    assert {block.number for block in trust.blocks} == {1}


def test_a_home_without_its_authority_says_so(tmp_path: Path, sealed: tuple[Home, Proof]) -> None:
    home = make_home(tmp_path / "home", ORIGIN)
    (home.authority / "root.pem").unlink()
    with pytest.raises(NotFound):
        home_trust(home, sealed[1])


def test_a_damaged_chain_says_so(tmp_path: Path, sealed: tuple[Home, Proof]) -> None:
    home = make_home(tmp_path / "home", ORIGIN)
    (home.chain / FILE).write_bytes(b"not a chain at all" * 500)
    with pytest.raises(Damaged):
        home_trust(home, sealed[1])


def test_a_batch_that_was_opened_without_a_block_needs_none(sealed: tuple[Home, Proof]) -> None:
    home, proof = sealed
    assert proof.opening
    record = format_opening(replace(parse_opening(proof.opening.record), block=None))
    trust = home_trust(
        home, replace(proof, opening=replace(proof.opening, record=record), anchors=())
    )
    assert trust is not None
    assert trust.blocks == ()


@pytest.mark.parametrize(
    ("finalities", "found"),
    [
        ((), {}),
        (("3",), {7: 3}),
        (("3", "12"), {7: 12}),
        (("12", "3"), {7: 12}),
        (("12", '"finalized"'), {7: "finalized"}),
        (('"finalized"', "12"), {7: "finalized"}),
    ],
)
def test_of_two_finalities_the_stricter_counts(
    tmp_path: Path, finalities: tuple[str, ...], found: dict[int, object]
) -> None:
    (tmp_path / "settings.toml").write_text(
        "".join(
            f'[chains.c{number}]\nchain_id = 7\nurls = ["http://a"]\nfinality = {each}\n'
            for number, each in enumerate(finalities)
        )
    )
    assert finality_in(tmp_path) == found
