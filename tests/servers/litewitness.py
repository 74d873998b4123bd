"""litewitness, a witness of transparency logs (C2SP tlog-witness), on a free port of 127.0.0.1; its
key is held by an ssh-agent of its own."""

import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from real import require_real
from servers.anvil import stop

from witnesstree.ledger.log.cosignature import CosignerKey
from witnesstree.ledger.log.note import VerifierKey, format_base64, format_verifier_key

NAME = "witness.test/lite"
# RFC 9162, 2.1.1: the root of no entries, which every log has before it is seen.
EMPTY_ROOT = format_base64(sha256(b"").digest())


@dataclass(frozen=True)
class Litewitness:
    """A running witness: its address, its key, and its database."""

    url: str
    key: CosignerKey
    database: Path

    def learn(self, key: VerifierKey) -> None:
        """Tell the witness of a log, as its own witnessctl does."""
        with closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.execute(
                "INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)",
                (key.name, EMPTY_ROOT),
            )
            connection.execute(
                "INSERT INTO key (origin, key) VALUES (?, ?)", (key.name, format_verifier_key(key))
            )

    def learn_another(self, key: VerifierKey) -> None:
        """Tell the witness of another key of a log that it knows."""
        with closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.execute(
                "INSERT INTO key (origin, key) VALUES (?, ?)", (key.name, format_verifier_key(key))
            )


@contextmanager
def litewitness() -> Iterator[Litewitness]:
    """Run a witness for a block. It knows no log yet."""
    program, agent, add = (require_real(name) for name in ("litewitness", "ssh-agent", "ssh-add"))
    private_key = Ed25519PrivateKey.generate()
    public_key = private_key.public_key().public_bytes_raw()
    with ExitStack() as stack:
        # Names of sockets have 107 bytes at most, and folders of tests long names.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = folder / "log"
        out = stack.enter_context(log.open("wb"))
        door = folder / "agent"
        _start(stack, [agent, "-D", "-a", str(door)], out, door.exists, log)
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        subprocess.run(
            [add, "-q", "-"],
            input=pem,
            env={"SSH_AUTH_SOCK": str(door)},
            check=True,
            timeout=20,
            capture_output=True,
        )
        address = f"127.0.0.1:{_free_port()}"
        command = [
            program,
            "-name",
            NAME,
            "-db",
            str(folder / "db"),
            "-ssh-agent",
            str(door),
            "-key",
            sha256(public_key).hexdigest(),
            "-listen",
            address,
        ]
        _start(stack, command, out, lambda: _answers(address), log)
        yield Litewitness(f"http://{address}", CosignerKey(NAME, public_key), folder / "db")


def _start(
    stack: ExitStack, command: list[str], out: object, is_ready: Callable[[], bool], log: Path
) -> None:
    process = subprocess.Popen(
        command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )  # type: ignore[call-overload]
    stack.callback(stop, process)
    end = time.monotonic() + 30
    while not is_ready():
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        assert time.monotonic() < end, (
            f"it did not start: {log.read_text(errors='replace')[-2000:]}"
        )
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
