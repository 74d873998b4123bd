"""Kubo for tests: the real one on an empty repository, without a network; and one in memory that
may be told to lie."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from base64 import b32encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from real import require_real

from witnesstree.anchor.ipfs.cid import RAW, cid_of, parse_cid
from witnesstree.anchor.ipfs.unixfs import CHUNK, store_chunks

# The real one
# --------------------------------------------------------------------------------------------------


class Kubo:
    """A node with its own repository in `folder`.

    It listens on a free port of 127.0.0.1, another one after each start.
    """

    def __init__(self, folder: Path) -> None:
        self.repository = folder
        self._program = require_real("ipfs")
        self._daemon: subprocess.Popen[bytes] | None = None
        self.run("init", "--profile=test")

    def run(self, *arguments: str | Path) -> bytes:
        """Run one command of the program `ipfs` on the repository, and return what it prints."""
        return subprocess.run(
            [self._program, *arguments],
            env=self._environment(),
            check=True,
            capture_output=True,
            timeout=120,
        ).stdout

    def start(self, *, is_online: bool = False) -> None:
        """Start the daemon. Also online it knows no other node: the test profile names none."""
        (self.repository / "api").unlink(missing_ok=True)
        command = [self._program, "daemon", *([] if is_online else ["--offline"])]
        self._daemon = subprocess.Popen(
            command, env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        # The file is written once the port is open.
        while not (self.repository / "api").exists() or not self.address:
            assert self._daemon.poll() is None, "Kubo ended at once"
            assert time.monotonic() < deadline, "Kubo does not start"
            time.sleep(0.02)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self._daemon:
            self._daemon.send_signal(sign)
            self._daemon.wait(30)
            self._daemon = None

    def kill(self) -> None:
        """End the node between two of its instructions."""
        self.stop(signal.SIGKILL)

    @property
    def address(self) -> str:
        """Where the RPC API is, as a multiaddr: /ip4/127.0.0.1/tcp/5001."""
        return (self.repository / "api").read_text().strip()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address.rpartition('/')[2]}"

    def block_file(self, cid: str) -> Path:
        """Return the file in which the repository keeps a block."""
        # It is named by the multihash in base32: what the CID says, without the version and the
        # codec.
        name = b32encode(b"\x12\x20" + parse_cid(cid).digest).decode().rstrip("=")
        (path,) = (self.repository / "blocks").rglob(f"{name}.data")
        return path

    def forget(self, cid: str) -> None:
        """Unpin a file, if it is pinned, and remove its topmost block, if it is there."""
        for command in (f"pin/rm?arg={cid}", f"block/rm?arg={cid}&force=true"):
            with suppress(HTTPError):
                urlopen(Request(f"{self.url}/api/v0/{command}", method="POST"), timeout=60).close()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "IPFS_PATH": str(self.repository), "IPFS_TELEMETRY": "off"}


@contextmanager
def running_kubo(folder: Path) -> Iterator[Kubo]:
    """Run a node in `folder`."""
    kubo = Kubo(folder)
    kubo.start()
    try:
        yield kubo
    finally:
        kubo.stop()


# The one in memory
# --------------------------------------------------------------------------------------------------

Reply = tuple[int, bytes]
Saying = Callable[[dict[str, str], bytes], Reply]
"""What a command answers to its parameters and to the file that came with it."""


def said(status: int, body: bytes | dict[str, Any]) -> Saying:
    """Return what always answers this."""
    return lambda _params, _file: (
        status,
        body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


def refused(message: str) -> Saying:
    """Return what answers as Kubo does where something goes wrong."""
    return said(500, {"Message": message, "Code": 0, "Type": "error"})


class FakeKubo:
    """A node in memory.

    `sayings` holds what each command answers: an honest answer until a test puts another one there.

    `seen` are the commands with their parameters, in the order in which they came.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.blocks: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.services: dict[str, dict[str, str]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.sayings: dict[str, Saying] = {
            "add": self._add,
            "pin/ls": self._list_pins,
            "block/get": self._get_block,
            "block/put": self._put_block,
            "block/rm": self._remove_block,
            "version": said(200, {"Version": "0.42.0"}),
            "id": said(200, {"Addresses": ["/ip4/127.0.0.1/tcp/4001"]}),
            "repo/stat": said(200, {"RepoSize": 1000, "StorageMax": 10**10}),
            "pin/remote/service/ls": self._list_services,
            "pin/remote/ls": self._list_remote_pins,
            "pin/remote/add": self._pin_remotely,
        }

    def _add(self, params: dict[str, str], file: bytes) -> Reply:
        assert params["cid-version"] == "1"
        assert params["chunker"] == f"size-{CHUNK}"
        chunks = (file[i : i + CHUNK] for i in range(0, len(file), CHUNK))
        cid = str(store_chunks(chunks, lambda cid, block: self.blocks.__setitem__(str(cid), block)))
        self.pins.add(cid)
        return 200, json.dumps({"Name": "file", "Hash": cid, "Size": "1"}).encode()

    def _list_pins(self, params: dict[str, str], _file: bytes) -> Reply:
        if (cid := params["arg"]) not in self.pins:
            return refused(f"path '{cid}' is not pinned")({}, b"")
        return 200, json.dumps({"Keys": {cid: {"Type": "recursive", "Name": ""}}}).encode()

    def _get_block(self, params: dict[str, str], _file: bytes) -> Reply:
        if (cid := params["arg"]) not in self.blocks:
            return refused(f"block was not found locally (offline): ipld: could not find {cid}")(
                {}, b""
            )
        return 200, self.blocks[cid]

    def _put_block(self, _params: dict[str, str], file: bytes) -> Reply:
        cid = str(cid_of(RAW, file))
        self.blocks[cid] = file
        return 200, json.dumps({"Key": cid, "Size": len(file)}).encode()

    def _remove_block(self, params: dict[str, str], _file: bytes) -> Reply:
        self.blocks.pop(params["arg"])
        return 200, json.dumps({"Hash": params["arg"]}).encode()

    def _list_services(self, _params: dict[str, str], _file: bytes) -> Reply:
        return (
            200,
            json.dumps(
                {
                    "RemoteServices": [
                        {"Service": name, "ApiEndpoint": "https://pin.example"}
                        for name in self.services
                    ]
                }
            ).encode(),
        )

    def _list_remote_pins(self, params: dict[str, str], _file: bytes) -> Reply:
        if params["service"] not in self.services:
            return refused("service not known")({}, b"")
        status = self.services[params["service"]].get(params["cid"])
        # Unlike its command line, Kubo's API takes no commas.
        is_asked_for = status in params["status"].split()
        return 200, (
            json.dumps({"Status": status, "Cid": params["cid"], "Name": ""}).encode() + b"\n"
            if is_asked_for
            else b""
        )

    def _pin_remotely(self, params: dict[str, str], _file: bytes) -> Reply:
        self.services[params["service"]][params["arg"]] = "queued"
        return 200, json.dumps({"Status": "queued", "Cid": params["arg"], "Name": ""}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else an answer whose body follows its headers in a second packet waits for the first one's
    # acknowledgement.
    disable_nagle_algorithm = True
    kubo: FakeKubo

    def handle(self) -> None:
        # Who is told too much hangs up.
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        command = parts.path.removeprefix("/api/v0/")
        params = {name: " ".join(values) for name, values in parse_qs(parts.query).items()}
        self.kubo.seen.append((command, params))
        status, answer = self.kubo.sayings[command](params, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _body(self) -> bytes | None:
        """Return the file that came, or nothing where none is needed; None where it was cut off."""
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        found = re.fullmatch(
            rb"--%b\r\n.*?\r\n\r\n(.*)\r\n--%b--\r\n" % (boundary, boundary),
            b"".join(parts),
            re.DOTALL,
        )
        return found[1] if found else None

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def fake_kubo() -> Iterator[FakeKubo]:
    """Serve a node in memory on a free port."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.kubo = FakeKubo(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Handler.kubo
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
