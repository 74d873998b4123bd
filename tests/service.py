"""The service as it runs: `witnesstree serve`, and a client that asks it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from commandline import PROGRAM, call, environment

PATIENCE = 60.0
JSON = "application/json"
PACKED = "application/octet-stream"
LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        code = self.json["code"]
        assert isinstance(code, str)
        return code


@dataclass(slots=True)
class Served:
    """A service that runs on a home, and keys that were given for it."""

    home: Path
    process: "subprocess.Popen[bytes]"
    address: str
    keys: dict[str, str] = field(default_factory=dict)

    def connect(self) -> HTTPConnection:
        parts = urlsplit(self.address)
        assert parts.hostname
        return HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        key: str | None = None,
        **fields: str,
    ) -> Answer:
        """Ask as whoever has a `key`; fields of the header are written with underscores."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if key is not None:
            headers["Authorization"] = f"Bearer {self.keys.get(key, key)}"
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, *, key: str | None = None, **fields: str) -> Answer:
        return self.ask("GET", path, key=key, **fields)

    def submit(self, *digests: bytes, key: str = "acme", **fields: str) -> Answer:
        """Submit as JSON, as most will."""
        entries = [{"digest": digest.hex()} for digest in digests]
        return self.ask(
            "POST",
            "/v1/entries",
            json.dumps({"entries": entries}),
            key=key,
            **{"Content_Type": JSON, **fields},
        )

    def submit_packed(self, digests: bytes, *, key: str = "acme", **fields: str) -> Answer:
        return self.ask(
            "POST", "/v1/entries", digests, key=key, **{"Content_Type": PACKED, **fields}
        )

    def give_key(self, tenant: str, name: str, *scopes: str) -> str:
        wanted = [part for scope in scopes for part in ("--scope", scope)]
        made = call("key", "add", tenant, *wanted, "--home", self.home)
        assert made.code == 0, made.talk
        self.keys[name] = made.text.strip()
        return self.keys[name]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def make_service_home(home: Path, *settings: str) -> None:
    """Make a home with two tenants."""
    assert call("init", "--home", home).code == 0
    with (home / "settings.toml").open("a") as file:
        file.writelines(f"{line}\n" for line in settings)
    for name in ("acme", "other"):
        assert call("tenant", "add", name, "--home", home).code == 0


@contextmanager
def serving(home: Path, *options: str) -> Iterator[Served]:
    """Serve a home while a block runs."""
    # Not by `start`, which ends with each test what it started.
    with (home.parent / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", "--port", "0", "--json", *options, "--home", str(home)],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(),
        )
    assert process.stdout
    lines = b""
    while b"}" not in lines:
        line = process.stdout.readline()
        assert line, (home.parent / "service.log").read_text()[-3000:]
        lines += line
    served = Served(home, process, json.loads(lines)["address"])
    try:
        yield served
    finally:
        if process.poll() is None:
            served.stop()
        process.stdout.close()


def until(ask: Any, patience: float = PATIENCE) -> Any:
    """Return what `ask` returns, once it is true."""
    end = time.monotonic() + patience
    while not (found := ask()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found
