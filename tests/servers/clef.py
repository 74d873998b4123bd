"""clef, go-ethereum's external signer, on a free port of 127.0.0.1, with a person who answers its
questions played here."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from real import require_real
from servers.anvil import stop


@dataclass
class Person:
    """Who sits at clef: agrees or not, perhaps to other values than were asked for, and types the
    password."""

    password: str
    agrees: bool = True
    changes: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    is_ready: threading.Event = field(default_factory=threading.Event)

    def answer(self, out: IO[bytes], into: IO[bytes]) -> None:
        """Speak clef's user interface protocol (JSON-RPC, one message a line) until it ends."""
        for line in out:
            message = json.loads(line)
            result = self._result(message["method"], message["params"][0])
            if "id" in message:
                into.write(
                    json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
                    + b"\n"
                )
                into.flush()

    def _result(self, method: str, question: dict[str, Any]) -> dict[str, Any]:
        if method == "ui_onSignerStartup":
            self.url = question["info"]["extapi_http"]
            self.is_ready.set()
        if method == "ui_approveTx":
            self.asked.append(question)
            return {
                "approved": self.agrees,
                "transaction": {**question["transaction"], **self.changes},
            }
        return {"text": self.password}


@contextmanager
def clef(
    folder: Path, keystores: Path, chain_id: int, password: str, *options: str
) -> Iterator[Person]:
    """Run clef for a block, with the keystores in a folder."""
    program = require_real("clef")
    places = [
        "--keystore",
        str(keystores),
        "--configdir",
        str(folder),
        "--auditlog",
        "",
        "--4bytedb-custom",
        str(folder / "4byte.json"),
    ]
    door = [
        "--http",
        "--http.addr",
        "127.0.0.1",
        "--http.port",
        "0",
        "--ipcdisable",
        "--stdio-ui",
        "--nousb",
        "--suppress-bootwarn",
    ]
    command = [program, *places, *door, "--chainid", str(chain_id), *options]
    person = Person(password)
    with (folder / "clef.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        assert process.stdin
        assert process.stdout
        thread = threading.Thread(target=person.answer, args=(process.stdout, process.stdin))
        thread.start()
        try:
            assert person.is_ready.wait(30), (folder / "clef.log").read_text()
            yield person
        finally:
            stop(process)
            thread.join()
            process.stdin.close()
            process.stdout.close()
