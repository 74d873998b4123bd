"""A restored home is compared with what a real litewitness has seen, and with what a server
publishes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import call
from servers.litewitness import Litewitness, litewitness

from witnesstree.anchor.wiring import make_home
from witnesstree.ledger.log.cosignature import format_cosigner_key

pytestmark = [pytest.mark.real("litewitness"), pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def server() -> Iterator[Litewitness]:
    with litewitness() as server:
        yield server


def test_a_cosigner_that_has_seen_more_stops_a_restored_home(
    server: Litewitness, tmp_path: Path
) -> None:
    made = make_home(tmp_path / "home", "ledger.test/restored")
    server.learn(made.verifier_key())
    home = ("--home", made.folder)
    witness = ("--witness", server.url, "--witness-key", format_cosigner_key(server.key))

    def seal(name: str, folder: Path = made.folder) -> None:
        (tmp_path / name).write_text(name)
        assert call("seal", tmp_path / name, "--home", folder).code == 0

    def going_on(folder: Path, *options: object) -> tuple[int, str]:
        ran = call("restore", "--continue", "--original-ended", "--home", folder, *options)
        return ran.code, ran.talk + ran.text

    seal("a")
    assert call("log", "cosign", *witness, *home).code == 0
    assert call("backup", tmp_path / "older", "--plain-keys", *home).code == 0
    seal("b")
    assert call("backup", tmp_path / "newer", "--plain-keys", *home).code == 0
    for name in ("older", "newer"):
        assert call("restore", tmp_path / name, "--home", tmp_path / f"of-{name}").code == 0
    code, said = going_on(tmp_path / "of-newer")
    assert (code, f"were not asked: {server.key.name}" in said) == (5, True)
    code, said = going_on(tmp_path / "of-newer", *witness)
    assert (code, "it has seen 2 batches, and all of it is here" in said) == (0, True)
    # It has seen two batches by now, and says so.
    code, said = going_on(tmp_path / "of-older", *witness)
    assert (code, "the original may have gone on after this backup" in said) == (10, True)
    seal("c", tmp_path / "of-newer")
    assert call("log", "cosign", *witness, "--home", tmp_path / "of-newer").code == 0
