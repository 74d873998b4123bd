"""`seal --direct` killed with SIGKILL at its durable steps: run again, each file has one token, in
its proof and beside it, and what was kept before is what it has."""

import os
import shutil
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from commandline import call
from fakes import Steps, When, in_child, moments, strides

from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.cli.outputs import direct_token_at
from witnesstree.ledger.proof.proof import parse_proof

NAMES = ("first", "second")
MAX_STEPS = 200


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    make_home(folder / "home", "ledger.test/killed")
    for name in NAMES:
        (folder / name).write_text(name)
    return folder


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kept(folder: Path) -> dict[str, list[bytes]]:
    """Return the tokens that are kept of each file."""
    with open_ledger(folder / "home") as ledger:
        found = {name: ledger.direct_tokens(sha256(name.encode()).digest()) for name in NAMES}
    return {name: [stamp.token for _, stamp in stamps] for name, stamps in found.items()}


def seal(folder: Path) -> int:
    files = [folder / name for name in NAMES]
    return call("seal", *files, "--direct", "--home", folder / "home").code


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("stride", strides(3))
def test_a_killed_seal_is_finished_and_asks_for_nothing_that_it_has(
    prepared: Path, tmp_path: Path, when: When, stride: int
) -> None:
    seen = set()
    for step in moments(stride, when):
        assert step < MAX_STEPS
        folder = shutil.copytree(prepared, tmp_path / f"{step}")

        def stopped(folder: Path = folder, step: int = step) -> None:
            with Steps(kill_me, step, when).counted():
                assert seal(folder) == 0

        status = in_child(stopped)
        assert status in {0, -signal.SIGKILL}, step
        before = kept(folder)
        seen.add(sum(map(len, before.values())))
        assert seal(folder) == 0, step
        after = kept(folder)
        for name in NAMES:
            (token,) = after[name]
            assert before[name] in ([], [token]), step
            assert direct_token_at(folder / f"{name}.tsa") == token, step
            proof = parse_proof((folder / f"{name}.proof.json").read_bytes())
            assert [stamp.token for stamp in proof.file_tokens] == [token], step
            assert proof.missing == (), step
        assert call("fsck", "--home", folder / "home").code == 0, step
        assert len(list(folder.glob("*.tsa"))) == len(NAMES), step
        shutil.rmtree(folder)
        if status == 0:
            break
    # It was killed before the first token, between both, and after the second.
    assert seen == {0, 1, 2}
    assert step > 30


def test_a_whole_proof_is_there_until_the_one_with_the_token_is(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "folder")
    file = folder / "first"
    assert call("seal", file, "--home", folder / "home").code == 0
    older = (folder / "first.proof.json").read_bytes()
    link = os.link

    def killing(source: Path, target: Path, **options: Any) -> None:
        if str(target).endswith("first.proof.json") and not os.path.lexists(target):
            kill_me()
        link(source, target, **options)

    def stopped() -> None:
        monkeypatch.setattr(os, "link", killing)
        call("seal", file, "--direct", "--home", folder / "home")

    assert in_child(stopped) == -signal.SIGKILL
    (aside,) = folder.glob("first*.proof.json")
    assert aside.read_bytes() == older
    assert call("seal", file, "--direct", "--home", folder / "home").code == 0
    proof = parse_proof((folder / "first.proof.json").read_bytes())
    assert len(proof.file_tokens) == 1
