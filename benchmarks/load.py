"""Load on a service: `python -m benchmarks.load WHAT FOLDER SECONDS CONNECTIONS` starts one
service, has wrk ask it, and prints one JSON object.

What is counted is what was acknowledged with 2xx; of our own ledger it is compared with what the
ledger holds afterwards.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.ground import WITNESSTREE
from benchmarks.measure import find_program

SCRIPTS = Path(__file__).parent / "peers" / "wrk"
TESSERA = "tessera-fill-1.0.4"
TUNED = ("256", "100ms")
"""Tessera's batching, entries and age: of 256 to 16,384 entries and 10 ms to 1 s, what answered
most requests here."""
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def main(what: str, folder: str, seconds: str, connections: str) -> dict[str, float]:
    """Start a service, load it and end it."""
    place = Path(folder)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if what == "tessera":
        return _tessera(place, seconds, connections)
    return _ours(what, place, seconds, connections)


def _tessera(folder: Path, seconds: str, connections: str) -> dict[str, float]:
    program = find_program(TESSERA) or TESSERA
    argv = [program, "-listen", "127.0.0.1:0", "-folder", folder / "log"]
    argv += ["-batch", TUNED[0], "-age", TUNED[1]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            return _wrk(f"http://127.0.0.1:{port}", "single.lua", seconds, connections, PATH="/add")
        finally:
            server.send_signal(signal.SIGTERM)


def _ours(what: str, folder: Path, seconds: str, connections: str) -> dict[str, float]:
    home = folder / "home"
    # A batch that does not close while it is measured, or one that closes all the time.
    age = "3600" if what != "sealing" else "1"
    environment = {**os.environ, "WITNESSTREE_HOME": str(home), "WITNESSTREE_BATCH_AGE": age}
    environment["WITNESSTREE_BATCH_ENTRIES"] = str(2**21 if what == "sealing" else 2**30)

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [WITNESSTREE, *arguments], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    command("init")
    command("tenant", "add", "load")
    key = command("key", "add", "load")
    with subprocess.Popen(
        [WITNESSTREE, "serve", "--port", "0", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            assert server.stdout
            address = json.loads(b"".join(iter(server.stdout.readline, b"}\n")) + b"}")["address"]
            script = "single.lua" if what == "single" else "bulk.lua"
            told = _wrk(
                address,
                script,
                seconds,
                connections,
                KEY=key,
                PATH="/v1/entries",
                KIND="json" if what == "json" else "packed",
            )
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    state = json.loads(command("status", "--json"))
    held = state["entries"] + sum(batch["entries"] for batch in state["unsealed"])
    told["count"] *= 1 if what == "single" else 1000
    # Requests that wrk no longer waited for were taken, too.
    if held < told["count"]:
        raise SystemExit(f"acknowledged {told['count']}, and the ledger holds {held}")
    told["unsealed"] = sum(batch["entries"] for batch in state["unsealed"])
    return told


def _wrk(
    address: str, script: str, seconds: str, connections: str, **names: str
) -> dict[str, float]:
    time.sleep(0.5)
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", SCRIPTS / script]
    done = subprocess.run(
        [*argv, address],
        env={**os.environ, **names, "WHERE": names["PATH"], "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    said = done.stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert found, said
    told = {
        "seconds": float(found[2]) * _UNITS[found[3]],
        "count": float(found[1]) - float(refused[1] if refused else 0),
        "refused": float(refused[1]) if refused else 0.0,
    }
    for percent in ("50", "99"):
        part = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", said)
        assert part, said
        told[f"p{percent}_ms"] = float(part[1]) * _UNITS[part[2]] * 1000
    return told


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
