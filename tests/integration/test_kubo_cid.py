"""The embedded block store against Kubo itself: the same CIDs, and Kubo reads our CAR files.

Kubo runs without a daemon and without a network.
"""

import os
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from real import require_real

from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.unixfs import CHUNK

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10_000_000, 174 * CHUNK, 174 * CHUNK + 1]

pytestmark = pytest.mark.real("ipfs")

Kubo = Callable[..., bytes]


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Kubo:
    """Run the `ipfs` of PATH, or the one that tests/servers/kubo.sh built, on an empty repository
    of its own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "witnesstree", "bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(cache), prepend=os.pathsep)
        program = require_real("ipfs")
    repository = tmp_path_factory.mktemp("kubo")
    environment = {**os.environ, "IPFS_PATH": str(repository)}

    def run(*arguments: str | Path) -> bytes:
        return subprocess.run(
            [program, *arguments], env=environment, check=True, capture_output=True, timeout=120
        ).stdout

    run("init", "--profile=test")
    return run


@pytest.fixture(params=SIZES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(request.param))
    return path


def test_kubo_gives_the_same_cid_and_reads_our_car(kubo: Kubo, file: Path, tmp_path: Path) -> None:
    store = BlockStore(tmp_path / "ipfs")
    cid = store.add(file)
    assert (
        cid
        == kubo("add", "--offline", "--cid-version=1", "-Q", "--only-hash", file).decode().strip()
    )
    car = tmp_path / "file.car"
    store.export_car(cid, car)
    # --only-hash has stored nothing, so what `cat` gives can only come from the CAR.
    kubo("dag", "import", "--offline", "--pin-roots=false", car)
    assert (
        sha256(kubo("cat", "--offline", f"/ipfs/{cid}")).digest()
        == sha256(file.read_bytes()).digest()
    )
    assert kubo("dag", "export", "--offline", "--progress=false", cid) == car.read_bytes()


def test_kubo_gives_the_same_cid_to_equal_chunks(kubo: Kubo, tmp_path: Path) -> None:
    file, car = tmp_path / "zero", tmp_path / "zero.car"
    file.write_bytes(bytes(200 * CHUNK))
    store = BlockStore(tmp_path / "ipfs")
    cid = store.add(file)
    store.export_car(cid, car)
    assert kubo("add", "--offline", "--cid-version=1", "-Q", file).decode().strip() == cid
    assert kubo("dag", "export", "--offline", "--progress=false", cid) == car.read_bytes()
