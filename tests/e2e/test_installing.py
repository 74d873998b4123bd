"""What people install: the wheels of `make wheel`, and the folder of `make verifier-kit`, in empty
environments. `pytest -s` prints packages, sizes and times."""

import json
import os
import re
import resource
import subprocess
import sys
import time
import zipfile
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, Sealed, environment, run, without_network
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename
from real import unavailable

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
KIT = DIST / "verifier-kit"
SOURCES = ("pyproject.toml", "setup.py", "deploy", "ledger", "anchor", "api", "cli", "examples")
PLAIN = {"asn1crypto", "certifi", "click", "cryptography", "platformdirs", "rfc8785"}
PLAIN |= {"typing-extensions"}
PULLED_IN = {"cffi", "pycparser"}
MOST_DIRECT, MOST_BYTES, MOST_SECONDS = 8, 40 * 10**6, 60
READ = """
import json, re
from importlib.metadata import distributions, requires
print(json.dumps([
    sorted(re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower() for each in distributions()),
    requires("witnesstree"),
]))
"""


@pytest.fixture(scope="session")
def dist() -> Path:
    """The folder with our wheels and the kit, which are of this source."""
    made = KIT / "SHA256SUMS"
    if not made.is_file():
        unavailable("`make verifier-kit` was not run")
    newest = max(
        path.stat().st_mtime
        for name in SOURCES
        for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
        if path.is_file()
        and path.suffix in {".py", ".json", ".rs", ".toml", ".txt", ".lock"}
        and path.name != "Cargo.lock"
        and not {"target", "__pycache__"} & set(path.parts)
    )
    if newest > made.stat().st_mtime:
        unavailable("the source was changed after `make verifier-kit`")
    return DIST


def wheel(dist: Path, tag: str) -> Path:
    (found,) = dist.glob(f"witnesstree-*{tag}*.whl")
    return found


def shell(line: str, folder: Path, before: tuple[str, ...] = (), **names: str) -> Ran:
    done = subprocess.run(
        [*before, "/bin/sh", "-c", line],
        cwd=folder,
        env=environment(measured=False, HOME=str(folder), **names),
        capture_output=True,
        timeout=280,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


# The wheels


@pytest.mark.real("make verifier-kit")
def test_one_wheel_has_the_native_core_and_one_fits_every_system(dist: Path) -> None:
    native, python = wheel(dist, "manylinux"), wheel(dist, "none-any")
    tags = {str(tag) for tag in parse_wheel_filename(native.name)[3]}
    assert all(re.fullmatch(r"cp311-abi3-manylinux_2_\d+_\w+", tag) for tag in tags), tags
    assert {str(tag) for tag in parse_wheel_filename(python.name)[3]} == {"py3-none-any"}
    names = [
        {name for name in zipfile.ZipFile(each).namelist() if not name.endswith("/")}
        for each in (native, python)
    ]
    core = "witnesstree/ledger/tree/_native.abi3.so"
    assert names[0] >= {core, "witnesstree/ledger/tree/core.py"}
    assert {name for name in names[0] - names[1] if ".dist-info/" not in name} == {core}
    assert {name for name in names[1] - names[0] if ".dist-info/" not in name} == set()


@pytest.mark.real("make verifier-kit")
def test_a_ledger_from_the_wheel_alone_without_a_compiler(dist: Path, tmp_path: Path) -> None:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    pins = tmp_path / "pins.txt"
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins.write_text("".join(f"{line[:-2]}\n" for line in locked if not line.startswith(" ")))
    bare = {"PATH": str(programs)}
    install = (
        "pip install --quiet --disable-pip-version-check --only-binary=:all: --constraint pins.txt"
        f' --find-links {dist} "witnesstree[ledger]"'
    )
    installed = shell(install, tmp_path, **bare)
    if installed.code and re.search("connection|resolve host|No matching", installed.talk):
        unavailable("pip can download nothing here")
    assert installed.code == 0, installed.talk
    demo = shell("witnesstree demo", tmp_path, **bare)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (demo.code, "FAILED" in demo.text) == (0, True), demo.talk
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\ninstalled, and shown by `demo`: {took:.0f} s, {used:.0f} s of them on a processor")
    # Of the processor's time: others may be using the machine.
    assert used < MOST_SECONDS

    shell("witnesstree init --home home", tmp_path, **bare)
    status = "witnesstree status --home home"
    assert "Trees are hashed by the native (" in shell(status, tmp_path, **bare).text
    again = "pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall"
    assert shell(f"{again} {wheel(dist, 'none-any')}", tmp_path, **bare).code == 0
    assert "Trees are hashed in Python, without the native core" in (
        shell(status, tmp_path, **bare).text
    )


# The kit


def kit_program() -> Any:
    spec = spec_from_file_location("kit_make", ROOT / "deploy" / "kit" / "make.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules["kit_make"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.real("make verifier-kit")
def test_the_digests_name_every_file(dist: Path) -> None:
    lines = (KIT / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    named = dict(reversed(line.split("  ")) for line in lines)
    there = {path.relative_to(KIT).as_posix() for path in KIT.rglob("*") if path.is_file()}
    assert set(named) == there - {"SHA256SUMS"}
    for name, digest in named.items():
        assert sha256((KIT / name).read_bytes()).hexdigest() == digest, name
    size = sum(path.stat().st_size for path in KIT.rglob("*") if path.is_file())
    print(f"\nthe kit: {len(named)} files, {size / 1e6:.0f} MB")


def tags_of(system: Any, python: tuple[int, int]) -> set[Tag]:
    platforms = [system.tag]
    if system.sys_platform == "darwin":
        platforms = list(mac_platforms((11, 0), system.machine))
    elif system.sys_platform == "linux":
        platforms = [f"manylinux2014_{system.machine}", f"manylinux_2_17_{system.machine}"]
    interpreter = f"cp{python[0]}{python[1]}"
    return {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, interpreter, platforms),
    }


@pytest.mark.real("make verifier-kit")
def test_the_wheels_are_complete_for_each_system_by_their_tags(dist: Path) -> None:
    made = kit_program()
    wheels = [parse_wheel_filename(path.name) for path in (KIT / "wheels").iterdir()]
    assert len(made.SYSTEMS) == 5
    for system in made.SYSTEMS:
        for version in made.PYTHONS:
            fitting = tags_of(system, tuple(map(int, version.split("."))))
            asked = {Requirement(line.partition(" ")[0]) for line in made.needed(system, version)}
            assert {each.name for each in asked} == PLAIN | PULLED_IN
            for requirement in {*asked, Requirement("witnesstree")}:
                found = [
                    name
                    for name, number, _, tags in wheels
                    if name == requirement.name
                    and requirement.specifier.contains(number)
                    and tags & fitting
                ]
                assert found, (system.tag, version, str(requirement))


@pytest.fixture(scope="session")
def verifier(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the kit, installed as its page says, in an empty network namespace."""
    folder = tmp_path_factory.mktemp("kit")
    page = (KIT / "README.txt").read_text(encoding="utf-8")
    check, (make, install) = (
        re.findall(r"^ +Linux +(sha256sum .*)$", page, re.MULTILINE),
        re.findall(r"^ +(python3 -m venv verifier|verifier/bin/pip .*)$", page, re.MULTILINE)[:2],
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line in (f"cp -R {KIT}/. .", check[0], make, install):
        done = shell(line, folder, without_network(), PATH=path)
        assert done.code == 0, (line, done.talk)
    return folder


@pytest.mark.real("unshare")
def test_it_is_small(verifier: Path) -> None:
    (packages,) = (verifier / "verifier").glob("lib/python*/site-packages")
    done = shell(f"verifier/bin/python -c '{READ}'", verifier)
    found, required = json.loads(done.answer)
    direct = [each for each in required if "extra ==" not in each]
    brought = {"pip", "setuptools"}
    assert set(found) - brought == {"witnesstree"} | PLAIN | PULLED_IN
    assert {Requirement(each).name for each in direct} == PLAIN
    assert len(direct) <= MOST_DIRECT
    size = sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file()
        and not path.relative_to(packages)
        .parts[0]
        .startswith(
            ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
        )
    )
    print(
        f"\nthe plain install: {len(direct)} direct, {len(found) - 2} packages, {size / 1e6:.1f} MB"
    )
    assert size <= MOST_BYTES


@pytest.mark.real("unshare")
def test_its_page_is_typed_and_verifies(verifier: Path, sealed: Sealed, tmp_path: Path) -> None:
    before = without_network()

    def typed(line: str) -> Ran:
        program = f"{verifier}/verifier/bin/witnesstree"
        return shell(line.replace("verifier/bin/witnesstree", program), tmp_path, before)

    page = (KIT / "README.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^ +(verifier/bin/witnesstree .*verify .*)$", page, re.MULTILINE)
    assert len(lines) == 2
    (tmp_path / "photo.jpg").write_bytes(sealed.file.read_bytes())
    (tmp_path / "photo.jpg.proof.json").write_bytes(sealed.proof.read_bytes())
    (tmp_path / "authority.pem").write_bytes((sealed.home / "authority/root.pem").read_bytes())
    anchor = json.loads(sealed.proof.read_bytes())["anchors"][0]
    block = f"{anchor['chain_id']}:{anchor['block']['number']}:{anchor['block']['hash']}"
    for line in lines:
        ran = typed(line.replace("1:NUMBER:0x...", block) + " --require token")
        assert ran.code == 0, ran.talk
        (tmp_path / "photo.jpg").write_bytes(b"other")
        assert typed(line.replace("1:NUMBER:0x...", block)).code == 3
        (tmp_path / "photo.jpg").write_bytes(sealed.file.read_bytes())
    for system in ("Windows", "macOS"):
        assert re.search(rf"^ +{system} .*NOT TRIED THERE", page, re.MULTILINE)
        assert re.search(rf"^ +{system} .*未在该系统上试用", page, re.MULTILINE)


@pytest.mark.real("unshare")
def test_it_shows_exports_and_takes_proofs_apart(verifier: Path, sealed: Sealed) -> None:
    folder, before = sealed.file.parent, without_network()
    program = verifier / "verifier/bin/witnesstree"
    batch = ("proof", "--all", "--batch", "0", "-o", folder / "batch.proofs", "--home", sealed.home)
    assert run(*batch).code == 0
    for line, code in (
        (f"show {sealed.proof}", 0),
        (f"export {sealed.proof} --format ers -o contract.ers", 0),
        (f"proof {sealed.file} --from batch.proofs -o again.json", 0),
        (f"verify {sealed.file} --home {sealed.home}", 0),
        (f"verify {sealed.file} --proof batch.proofs --home {sealed.home}", 0),
        ("trust list", 0),
        ("--help", 0),
        ("seal --help", 0),
    ):
        ran = shell(f"{program} {line}", folder, before)
        assert (ran.code, "Traceback" in ran.talk) == (code, False), (line, ran.talk)
    assert (folder / "again.json").read_bytes() == sealed.proof.read_bytes()
    for line in ("init", "seal contract.txt", "status", f"proof {sealed.file}", "worker"):
        ran = shell(f"{program} {line} --home elsewhere", folder, before)
        assert ran.code == 5, line
        assert ran.error().endswith('run `pip install "witnesstree[ledger]"`')
    rpc = shell(f"{program} verify contract.txt --rpc http://127.0.0.1:1", folder, before)
    assert (rpc.code, rpc.error().rpartition(": ")[2]) == (
        5,
        'run `pip install "witnesstree[chains]"`',
    )
