"""KuboStore against Kubo itself: the same CIDs, nothing claimed that is not there, and no answer
believed unseen. The node has no network."""

import json
import os
import shutil
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
from real import unavailable
from servers.kubo import Kubo, running_kubo
from servers.tsa import talking

from witnesstree.anchor.ipfs import kubo as kubo_module
from witnesstree.anchor.ipfs.cid import RAW, cid_of, parse_cid
from witnesstree.anchor.ipfs.kubo import KuboStore, RemotePin
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.unixfs import CHUNK, store_chunks
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, NotFound, Unreachable

pytestmark = [pytest.mark.real("ipfs"), pytest.mark.enable_socket]

GIBIBYTE = 2**30
EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with running_kubo(tmp_path_factory.mktemp("kubo")) as kubo:
        yield kubo


@pytest.fixture
def store(kubo: Kubo) -> Iterator[KuboStore]:
    with closing(KuboStore(kubo.url, 60)) as store:
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3 * CHUNK + 7))
    return path


def pinned(kubo: Kubo) -> set[str]:
    return set(kubo.run("pin", "ls", "--type=recursive", "--quiet").decode().split())


# The same CIDs
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10_000_000])
def test_the_same_cid_as_the_embedded_store_gives(
    kubo: Kubo, store: KuboStore, tmp_path: Path, size: int
) -> None:
    file, out = tmp_path / "file", tmp_path / "out"
    file.write_bytes(os.urandom(size))
    cid = store.add(file)
    assert cid == BlockStore(tmp_path / "ipfs").add(file)
    assert cid == kubo.run("add", "--cid-version=1", "-Q", "--only-hash", file).decode().strip()
    assert cid in pinned(kubo)
    store.read(cid, out)
    assert out.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "size", [GIBIBYTE // 4, pytest.param(GIBIBYTE, marks=pytest.mark.rehearsal)]
)
def test_a_large_file_has_the_same_cid(store: KuboStore, tmp_path: Path, size: int) -> None:
    """Against what the embedded store computes; it is not kept there as well, which would take as
    long again and another GiB."""
    if shutil.disk_usage(tmp_path).free < 4 * size:
        unavailable(
            f"a file of {size} bytes and Kubo's copy of it need four times that of free disk, with"
            " what else is under way"
        )
    file, random = tmp_path / "file", Random(0)
    with file.open("wb") as stream:
        for _ in range(size // 2**20):
            stream.write(random.randbytes(2**20))
    with file.open("rb") as stream:
        expected = store_chunks(iter(lambda: stream.read(CHUNK), b""), lambda _cid, _block: None)
    assert store.add(file) == str(expected)


def test_memory_does_not_grow_with_the_file(store: KuboStore, tmp_path: Path) -> None:
    file, out = tmp_path / "file", tmp_path / "out"
    file.write_bytes(os.urandom(64 * 2**20))
    tracemalloc.start()
    try:
        store.read(store.add(file), out)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What is queued for hashing, and a block or two in the connection.
    assert most < 8 * 2**20
    assert out.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_the_nodes_own_settings_do_not_change_the_cid(tmp_path: Path, profile: str) -> None:
    """The newer profile cuts chunks of 1 MiB and links 1,024 of them, the older one writes
    CIDv0."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(200 * CHUNK))
    kubo = Kubo(tmp_path / "kubo")
    kubo.run("config", "profile", "apply", profile)
    kubo.start()
    try:
        with closing(KuboStore(kubo.url, 60)) as store:
            assert store.add(file) == BlockStore(tmp_path / "ipfs").add(file)
            store.read(store.add(file), tmp_path / "out")
    finally:
        kubo.stop()
    assert (tmp_path / "out").read_bytes() == file.read_bytes()


def test_the_car_is_that_of_kubo(kubo: Kubo, store: KuboStore, file: Path, tmp_path: Path) -> None:
    cid = store.add(file)
    store.export_car(cid, tmp_path / "file.car")
    assert (tmp_path / "file.car").read_bytes() == kubo.run(
        "dag", "export", "--progress=false", cid
    )


def test_a_health_check_leaves_nothing(kubo: Kubo, store: KuboStore) -> None:
    before = kubo.run("refs", "local")
    health = store.check()
    assert health.version == kubo.run("version", "--number").decode().strip()
    assert not health.is_online
    assert health.capacity == 10**10
    assert kubo.run("refs", "local") == before


# What is not there
# --------------------------------------------------------------------------------------------------


def test_a_file_whose_middle_is_missing(
    kubo: Kubo, store: KuboStore, file: Path, tmp_path: Path
) -> None:
    cid = store.add(file)
    leaf, *_ = kubo.run("refs", cid).decode().split()
    kubo.forget(cid)
    kubo.forget(leaf)
    BlockStore(tmp_path / "ipfs").add(file)
    BlockStore(tmp_path / "ipfs").export_car(cid, tmp_path / "file.car")
    with pytest.raises(NotFound):
        store.read(cid, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not store.holds(cid)
    kubo.run("dag", "import", tmp_path / "file.car")
    store.read(cid, tmp_path / "out")


def test_an_online_node_does_not_look_for_a_block_without_end(tmp_path: Path) -> None:
    kubo = Kubo(tmp_path / "kubo")
    kubo.start(is_online=True)
    try:
        with closing(KuboStore(kubo.url, 2)) as store:
            assert store.check().is_online
            started = time.monotonic()
            with pytest.raises(Unreachable, match="deadline exceeded"):
                store.read(str(cid_of(RAW, os.urandom(32))), tmp_path / "out")
            assert time.monotonic() - started < 2
    finally:
        kubo.stop()
    assert not (tmp_path / "out").exists()


def test_an_altered_block_in_the_middle(
    kubo: Kubo, store: KuboStore, file: Path, tmp_path: Path
) -> None:
    cid = store.add(file)
    _, leaf, *_ = kubo.run("refs", cid).decode().split()
    block = kubo.block_file(leaf)
    block.write_bytes(b"x" + block.read_bytes()[1:])
    with pytest.raises(BadAnswer, match=leaf):
        store.read(cid, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [file]


def test_killed_in_the_middle_of_an_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(100 * CHUNK))
    expected = BlockStore(tmp_path / "ipfs").add(file)
    with running_kubo(tmp_path / "kubo") as kubo:
        real = kubo_module.chunks_of

        def killing(path: Path, stream: Any) -> Iterator[bytes]:
            for number, chunk in enumerate(real(path, stream)):
                if number == 50:
                    kubo.kill()
                yield chunk

        with closing(KuboStore(kubo.url, 30)) as store, monkeypatch.context() as patch:
            patch.setattr(kubo_module, "chunks_of", killing)
            with pytest.raises(Unreachable, match="ipfs daemon"):
                store.add(file)
        kubo.start()
        with closing(KuboStore(kubo.url, 30)) as store:
            assert not store.holds(expected)
            with pytest.raises(NotFound):
                store.read(expected, tmp_path / "out")
            assert store.add(file) == expected
            store.read(expected, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()


def test_killed_before_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last byte is sent, and the answer never comes: the file may be there, and nobody says
    so."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(20 * CHUNK))
    with running_kubo(tmp_path / "kubo") as kubo:
        real = kubo_module._multipart

        def killing(*given: Any) -> Iterator[bytes]:
            *parts, end = real(*given)
            yield from parts
            kubo.kill()
            yield end

        with closing(KuboStore(kubo.url, 30)) as store, monkeypatch.context() as patch:
            patch.setattr(kubo_module, "_multipart", killing)
            with pytest.raises(Unreachable):
                store.add(file)
        kubo.start()
        with closing(KuboStore(kubo.url, 30)) as store:
            assert store.holds(store.add(file))


def test_a_file_that_changes_while_it_is_sent(
    kubo: Kubo, store: KuboStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = pinned(kubo), kubo_module._noting

    def changing(chunks: Iterator[bytes], note: Callable[[bytes], None]) -> Iterator[bytes]:
        for chunk in real(chunks, note):
            os.truncate(file, 3 * CHUNK + 8)
            yield chunk

    monkeypatch.setattr(kubo_module, "_noting", changing)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        store.add(file)
    assert pinned(kubo) == before


# Nodes that lie below HTTP
# --------------------------------------------------------------------------------------------------


def cut_off(connection: socket.socket) -> None:
    connection.recv(2**16)
    connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"Hash"')


def endless(connection: socket.socket) -> None:
    """A gibibyte, if anybody takes it."""
    connection.recv(2**16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIBIBYTE)
    for _ in range(GIBIBYTE // 2**16):
        connection.sendall(bytes(2**16))


def endless_chunks(connection: socket.socket) -> None:
    connection.recv(2**16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(GIBIBYTE // 2**16):
        connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")


def silent(connection: socket.socket) -> None:
    while connection.recv(2**16):
        pass


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (cut_off, Unreachable),
        (endless, BadAnswer),
        (endless_chunks, BadAnswer),
        (silent, Unreachable),
    ],
)
def test_a_node_that_breaks_off_or_never_ends(
    script: Callable[[socket.socket], None], error: type[Exception], tmp_path: Path
) -> None:
    file, out = tmp_path / "file", tmp_path / "out"
    file.write_bytes(b"evidence")
    with talking(script) as url, closing(KuboStore(url, 0.5)) as store:
        for call in (
            lambda: store.add(file),
            lambda: store.read(EMPTY, out),
            lambda: store.holds(EMPTY),
            store.check,
        ):
            with pytest.raises(error):
                call()
    assert list(tmp_path.iterdir()) == [file]


# Remote pinning
# --------------------------------------------------------------------------------------------------


class PinningService:
    """As much of the IPFS Pinning Service API 1.0 as Kubo asks for: `pins` holds a status for each
    CID, `asked` what came in."""

    def __init__(self) -> None:
        self.pins: dict[str, str] = {}
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def pinning_service() -> Iterator[PinningService]:
    service = PinningService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            results = [
                self._status_of(cid)
                for cid, status in service.pins.items()
                if cid in self.path and status in self.path
            ]
            self._answer(200, {"count": len(results), "results": results})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["Authorization"] == "Bearer secret"
            service.asked.append(asked["cid"])
            service.pins[asked["cid"]] = "queued"
            self._answer(202, self._status_of(asked["cid"]))

        def _status_of(self, cid: str) -> dict[str, Any]:
            return {
                "requestid": "1",
                "status": service.pins[cid],
                "created": "2026-11-23T08:00:00Z",
                "pin": {"cid": cid},
                "delegates": [],
            }

        def _answer(self, status: int, members: dict[str, Any]) -> None:
            body = json.dumps(members).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_pinning_services(kubo: Kubo, store: KuboStore, file: Path) -> None:
    cid = store.add(file)
    with pytest.raises(InvalidInput, match="service not known"):
        store.pin_remotely(cid, ["archive"])
    with pinning_service() as service:
        kubo.run("pin", "remote", "service", "add", "archive", service.url, "secret")
        assert store.check().services == ("archive",)
        assert store.pin_remotely(cid, ["archive"]) == (RemotePin("archive", "queued"),)
        service.pins[cid] = "pinned"
        assert store.pin_remotely(cid, ["archive"]) == (RemotePin("archive", "pinned"),)
        assert service.asked == [cid]
        service.pins[cid] = "failed"
        assert store.pin_remotely(cid, ["archive"]) == (RemotePin("archive", "queued"),)
        assert service.asked == [cid, cid]
    assert parse_cid(service.asked[0])
    with pytest.raises(Unreachable) as raised:
        store.pin_remotely(cid, ["archive"])
    assert "secret" not in str(raised.value)
