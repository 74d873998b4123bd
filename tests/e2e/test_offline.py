"""Verifying needs a file, its proof and what the verifier trusts: no network, and nothing of what
sealing needs."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from commandline import PROGRAM, Sealed, environment, run, without_network

HEAVY = (
    "web3",
    "eth_tester",
    "eth",
    "eth_account",
    "sqlalchemy",
    "pydantic",
    "pydantic_settings",
    "numpy",
    "rich",
    "fastapi",
    "requests",
    "aiohttp",
)
"""What is slow to import, talks to a network, or need not be installed where proofs are only
verified."""

BLOCKED = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"{{name}} is not installed here", name=name)
sys.meta_path.insert(0, Blocker())
from witnesstree.cli.main import main
main()
"""

WINDOWS = """
import os, signal, sys
lacks = "O_NOFOLLOW O_CLOEXEC O_DIRECTORY O_NONBLOCK O_SYNC chown fchown fdatasync fork geteuid"
for name in [*lacks.split(), *"mkfifo pathconf pread pwrite statvfs sync".split()]:
    delattr(os, name)
del signal.pthread_sigmask
for name in "fcntl grp pty pwd resource syslog termios tty".split():
    sys.modules[name] = None
from witnesstree.cli.main import main
main()
"""
"""Windows as far as it lacks what POSIX has: the system that this runs on stays what it is."""

LOADED = """
import json, sys
from witnesstree.cli.main import main
try:
    main()
finally:
    sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def script(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(measured=False)
    )


@pytest.mark.real("unshare")
def test_verified_without_any_network(sealed: Sealed) -> None:
    before = without_network()
    interfaces = subprocess.run(
        [*before, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    ran = run("verify", sealed.file, "--home", sealed.home, "--json", before=before)
    assert (ran.code, ran.json["verdict"], ran.talk) == (0, "verified", "")
    sealed.file.write_bytes(b"other")
    assert run("verify", sealed.file, "--home", sealed.home, before=before).code == 3


@pytest.mark.real("unshare")
def test_sealed_on_embedded_defaults_without_any_network(sealed: Sealed) -> None:
    sealed.file.write_bytes(b"other")
    arguments = ("seal", "--again", sealed.file, "--home", sealed.home)
    assert run(*arguments, before=without_network()).code == 0


def test_verified_where_what_sealing_needs_is_not_installed(sealed: Sealed) -> None:
    ran = script(BLOCKED, "verify", sealed.file, "--home", sealed.home, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["verdict"] == "verified"
    assert script(BLOCKED, "verify", sealed.file).returncode == 4
    assert script(BLOCKED, "show", sealed.proof).returncode == 0
    assert script(BLOCKED, "--help").returncode == 0
    assert script(BLOCKED, "--version").returncode == 0
    # The blocker blocks: what needs those packages does not run.
    assert "plain install leaves out" in script(BLOCKED, "status", "--home", sealed.home).stderr


@pytest.mark.parametrize(
    "arguments",
    ["verify", "verify --home", "show", "--help", "verify --help", "seal --help", "--version"],
)
def test_what_must_start_fast_imports_nothing_heavy(arguments: str, sealed: Sealed) -> None:
    known: dict[str, list[object]] = {
        "verify": ["verify", sealed.file],
        "verify --home": ["verify", sealed.file, "--home", sealed.home],
        "show": ["show", sealed.proof],
    }
    ran = script(LOADED, *known.get(arguments, arguments.split()))
    assert ran.returncode == (4 if arguments == "verify" else 0)
    loaded = set(json.loads(ran.stderr.splitlines()[-1]))
    assert loaded & {"witnesstree", "click"} == {"witnesstree", "click"}
    assert loaded.isdisjoint(HEAVY)


def test_what_ends_is_not_looked_through_once_more() -> None:
    """It takes a fifth of the time of `verify`, and more of `seal`."""
    # What is registered first runs last.
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "sys.argv = ['witnesstree', '--version']\n"
        "from witnesstree.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.splitlines()[-1] == "True"


def test_what_posix_alone_has_is_not_needed(sealed: Sealed, tmp_path: Path) -> None:
    root, proof = sealed.home / "authority/root.pem", tmp_path / "again.proof.json"
    batch, folder = tmp_path / "batch.proofs", tmp_path / "proofs"
    arguments = ("proof", "--all", "--batch", "0", "-o", batch, "--home", sealed.home)
    assert run(*arguments).code == 0
    for code, command in (
        (4, ("verify", sealed.file, "--trust", root)),
        (4, ("verify", sealed.file, "--proof", batch, "--trust", root)),
        (4, ("verify", sealed.file.parent, "--trust", root)),
        (0, ("show", sealed.proof)),
        (0, ("export", sealed.proof, "--format", "ers", "-o", tmp_path / "contract.ers")),
        (0, ("proof", sealed.file, "--from", batch, "-o", proof)),
        (0, ("proof", "--all", "--from", batch, "--split", folder)),
        (0, ("trust", "list")),
        (0, ("--help",)),
    ):
        ran = script(WINDOWS, *command)
        assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), ran.stderr
    assert proof.read_bytes() == sealed.proof.read_bytes()
    assert (tmp_path / "contract.ers").stat().st_size > 1_000
    # The file cannot tell the batch's two blinding leaves from its one entry.
    written = [path.name for path in folder.iterdir()]
    assert (len(written), f"{digest_of(sealed.file)}.proof.json" in written) == (3, True)
    # What is changed by several processes is locked, and no ledger can be kept.
    for command in (("trust", "add", root), ("verify", sealed.file, "--home", sealed.home)):
        ran = script(WINDOWS, *command)
        assert ran.returncode == 5, ran.stderr
        assert "this system has no locks of the kind that a ledger needs" in ran.stderr


def digest_of(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def test_the_program_is_installed() -> None:
    ran = run("--version")
    assert (ran.code, ran.talk) == (0, "")
    assert ran.text.startswith("witnesstree 0.")
    assert PROGRAM.endswith("witnesstree")
