"""A home and a sealed file, made once; each test gets its own copy."""

from pathlib import Path

import pytest
from commandline import Sealed, call, copied


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert call("init", "--home", folder / "home", "--origin", "ledger.test/court").code == 0
    return folder


@pytest.fixture(scope="session")
def _sealed_once(_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    home = copied(_made_once / "home", folder / "home")
    (folder / "contract.txt").write_text("甲方 and 乙方 agree.\n")
    assert call("seal", "--home", home, folder / "contract.txt").code == 0
    return folder


@pytest.fixture
def home(_made_once: Path, tmp_path: Path) -> Path:
    """An empty ledger's home."""
    return copied(_made_once / "home", tmp_path / "home")


@pytest.fixture
def sealed(_sealed_once: Path, tmp_path: Path) -> Sealed:
    """A ledger with one sealed file, contract.txt."""
    folder = copied(_sealed_once, tmp_path / "sealed")
    return Sealed(folder / "home", folder / "contract.txt", folder / "contract.txt.proof.json")
