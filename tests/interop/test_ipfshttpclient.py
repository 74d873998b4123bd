"""ipfshttpclient as an independent client of the node: it fetches what we stored, and we fetch what
it stored.

Its `connect()` refuses every Kubo since 0.8, so `Client(addr)` is used. It adds with other defaults
than `ipfs add --cid-version=1`: `raw_leaves=True` must be said, and makes the same CIDs.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from real import unavailable
from servers.kubo import Kubo, running_kubo

from witnesstree.anchor.ipfs.kubo import KuboStore
from witnesstree.anchor.ipfs.unixfs import CHUNK

pytestmark = [
    pytest.mark.real("ipfs"),
    pytest.mark.enable_socket,
    # Of urllib3, about what ipfshttpclient hands to it.
    pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning"),
]


@pytest.fixture(scope="module")
def ipfshttpclient() -> ModuleType:
    try:
        return importlib.import_module("ipfshttpclient")
    except ImportError as error:
        unavailable(
            f"ipfshttpclient cannot be imported ({error}): install tests/interop/requirements.txt"
            " with --no-deps"
        )


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with running_kubo(tmp_path_factory.mktemp("kubo")) as kubo:
        yield kubo


@pytest.fixture
def client(ipfshttpclient: ModuleType, kubo: Kubo) -> Iterator[Any]:
    with ipfshttpclient.Client(kubo.address) as client:
        yield client


@pytest.fixture
def store(kubo: Kubo) -> Iterator[KuboStore]:
    with closing(KuboStore(kubo.url, 60)) as store:
        yield store


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 5_000_000])
def test_it_fetches_what_we_stored_and_gives_the_same_cid(
    client: Any, store: KuboStore, tmp_path: Path, size: int
) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(size))
    cid = store.add(file)
    assert client.cat(cid) == file.read_bytes()
    assert client.pin.ls(cid)["Keys"][cid]["Type"] == "recursive"
    assert client.add(file, raw_leaves=True, cid_version=1)["Hash"] == cid


def test_we_fetch_what_it_stored(client: Any, store: KuboStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 * CHUNK))
    cid = client.add(file, raw_leaves=True, cid_version=1)["Hash"]
    store.read(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()


def test_connect_refuses_this_kubo(ipfshttpclient: ModuleType, kubo: Kubo) -> None:
    with pytest.raises(ipfshttpclient.exceptions.VersionMismatch):
        ipfshttpclient.connect(kubo.address)
