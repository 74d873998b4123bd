"""A long load with crashes: `python -m benchmarks.soak SECONDS` (`make soak` takes ten minutes).

Several tenants submit in bulk and one by one, each request with an Idempotency-Key that is asked
again until it is answered. The server and its worker are killed in turn. At the end every
acknowledged entry must be in the ledger at the place that its receipt names, once, and fsck must
find nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.ground import NODE, WITNESSTREE

TENANTS = 3
BULK = 2000
KILL_EVERY = 30.0


class Soak:
    """One home, its service, and those who submit to it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.environment = {
            **os.environ,
            "WITNESSTREE_HOME": str(self.home),
            "WITNESSTREE_BATCH_AGE": "5",
        }
        self.over = threading.Event()
        self.address = ("", 0)
        self.server: subprocess.Popen[bytes] | None = None
        self.taken: list[tuple[str, int, int, dict[str, Any]]] = []
        self.refused: dict[int, int] = {}
        self.peak = 0

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [WITNESSTREE, *arguments],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def start(self) -> None:
        self.server = subprocess.Popen(
            [WITNESSTREE, "serve", "--port", str(self.address[1]), "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.server.stdout
        said = b"".join(iter(self.server.stdout.readline, b"}\n")) + b"}"
        parts = urlsplit(json.loads(said)["address"])
        assert parts.hostname
        assert parts.port
        self.address = (parts.hostname, parts.port)

    def submit(self, name: str, key: str, count: int) -> None:
        """Submit until it is over, so many digests a request."""
        number, connection = 0, None
        while not self.over.is_set():
            body = digests(name, number, count)
            fields = {
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/octet-stream",
                "Idempotency-Key": f"{name}-{number}",
            }
            try:
                connection = connection or HTTPConnection(*self.address, timeout=60)
                connection.request("POST", "/v1/entries", body, fields)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, HTTPException):
                connection = None
                time.sleep(0.2)
                continue
            if answer.status == 201:
                self.taken.append((name, number, count, json.loads(content)))
                number += 1
            else:
                self.refused[answer.status] = self.refused.get(answer.status, 0) + 1
                time.sleep(0.5)

    def kill(self) -> str:
        """Kill the server or its worker, and see to it that both run."""
        assert self.server
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text()
        if random.random() < 0.5 and children.split():
            os.kill(int(children.split()[0]), signal.SIGKILL)
            return "worker"
        self.server.kill()
        self.server.wait()
        self.start()
        return "server"

    def look(self) -> None:
        """Note how much memory the server takes."""
        assert self.server
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        self.peak = max(self.peak, int(found[0]) if found else 0)

    def check(self) -> int:
        """Return how many acknowledged entries are not where their receipts say."""
        missing = 0
        for name, number, count, receipt in self.taken:
            stored = b""
            for place in receipt["places"]:
                batch, first = place["batch"], place["first"]
                path = self.home / "batches" / f"{batch // 1000:05}" / f"{batch:08}.digests"
                with path.open("rb") as file:
                    file.seek(first * NODE)
                    stored += file.read(place["count"] * NODE)
            if "entry" in receipt:
                at = receipt["entry"]["position"] * NODE
                stored = stored[at : at + NODE]
            missing += stored != digests(name, number, count)
        return missing


def digests(name: str, number: int, count: int) -> bytes:
    """Return the packed digests of a request, which no other one has."""
    return b"".join(sha256(f"{name} {number} {at}".encode()).digest() for at in range(count))


def main(seconds: str) -> int:
    """Load, kill, check; return 1 if anything acknowledged was lost."""
    with tempfile.TemporaryDirectory(prefix="witnesstree-soak-") as folder:
        soak = Soak(Path(folder))
        soak.command("init")
        threads = []
        for tenant in range(TENANTS):
            soak.command("tenant", "add", f"t{tenant}")
            key = soak.command("key", "add", f"t{tenant}")
            threads += [
                threading.Thread(target=soak.submit, args=(f"t{tenant}-{kind}", key, count))
                for kind, count in (("bulk", BULK), ("one", 1), ("two", 1))
            ]
        soak.start()
        end, kills = time.monotonic() + float(seconds), {"server": 0, "worker": 0}
        for each in threads:
            each.start()
        following = time.monotonic() + KILL_EVERY
        while time.monotonic() < end:
            time.sleep(1)
            soak.look()
            if time.monotonic() > following:
                kills[soak.kill()] += 1
                following = time.monotonic() + KILL_EVERY
        soak.over.set()
        for each in threads:
            each.join()
        assert soak.server
        soak.server.terminate()
        soak.server.wait()
        missing = soak.check()
        fsck = subprocess.run(
            [WITNESSTREE, "fsck"], env=soak.environment, capture_output=True, check=False
        ).returncode
        state = json.loads(soak.command("status", "--json"))
        held = state["entries"] + sum(batch["entries"] for batch in state["unsealed"])
        acknowledged = sum(count for _, _, count, _ in soak.taken)
        told = {
            "seconds": float(seconds),
            "requests": len(soak.taken),
            "acknowledged": acknowledged,
            "held": held,
            "missing": missing,
            "refused": soak.refused,
            "kills": kills,
            "peak_mib": round(soak.peak / 1024),
            "fsck": fsck,
        }
        print(json.dumps(told))
        # What was taken and never answered is at most one request of each thread and kill.
        return int(missing > 0 or fsck != 0 or held < acknowledged)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
