"""Make the verifier kit: one folder from which the verifier is installed without a network.

    python deploy/kit/make.py WHEELS FOLDER

WHEELS is a folder with our own wheels, as `make wheel` makes them. FOLDER gets them, and beside
them the wheels of all that a plain install pulls in, by the versions and digests of
requirements.txt, for each system and Python below; README.txt; and SHA256SUMS, which names every
other file.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(frozen=True, slots=True)
class System:
    """What wheels and markers (PEP 508) call a system, and the versions that it gets."""

    tag: str
    sys_platform: str
    machine: str
    requirements: str = "requirements.txt"


SYSTEMS = (
    System("manylinux2014_x86_64", "linux", "x86_64"),
    System("manylinux2014_aarch64", "linux", "aarch64"),
    System("win_amd64", "win32", "AMD64"),
    System("macosx_11_0_arm64", "darwin", "arm64"),
    # Newer versions of cryptography have no wheels for it any more.
    System("macosx_11_0_x86_64", "darwin", "x86_64", "requirements-macos-x86_64.txt"),
)
"""The oldest that has wheels of everything; newer ones take them, too."""


def needed(system: System, python: str) -> Iterator[str]:
    """Yield what is asked for on a system with a Python: versions and digests.

    Markers are judged here, because pip judges them for the machine that it runs on.
    """
    environment = {
        "sys_platform": system.sys_platform,
        "os_name": "nt" if system.sys_platform == "win32" else "posix",
        "platform_machine": system.machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    text = (HERE / system.requirements).read_text(encoding="utf-8").replace("\\\n", "")
    for line in text.splitlines():
        named, *digests = line.split(" --hash=")
        requirement = Requirement(named)
        if not requirement.marker or requirement.marker.evaluate(environment):
            hashes = "".join(f" --hash={digest.strip()}" for digest in digests)
            yield f"{requirement.name}{requirement.specifier}{hashes}"


def download(wheels: Path, system: System, python: str, scratch: Path) -> None:
    """Put the wheels for a system and a Python into `wheels`. Raises CalledProcessError if one
    cannot be had, or has another digest.
    """
    listed = scratch / "requirements.txt"
    listed.write_text("\n".join(needed(system, python)), encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement", listed),
            *("--implementation", "cp", "--python-version", python, "--dest", wheels),
            *("--platform", system.tag),
        ],
        check=True,
    )


def make(ours: Path, folder: Path) -> None:
    """Make the kit anew in `folder`."""
    own = sorted(ours.glob("witnesstree-*.whl"))
    if not any(wheel.name.endswith("-none-any.whl") for wheel in own):
        sys.exit(f"{ours}: the wheel without the native core is missing: run `make wheel`")
    if folder.exists() and any(folder.iterdir()) and not (folder / "SHA256SUMS").exists():
        sys.exit(f"{folder} holds something else than a kit: name a folder that is new or a kit")
    shutil.rmtree(folder, ignore_errors=True)
    wheels, scratch = folder / "wheels", folder / "scratch"
    for each in (wheels, scratch):
        each.mkdir(parents=True)
    for system in SYSTEMS:
        for python in PYTHONS:
            download(wheels, system, python, scratch)
    shutil.rmtree(scratch)
    for wheel in own:
        shutil.copy(wheel, wheels)
    shutil.copy(HERE / "README.txt", folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = "".join(
        f"{sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n"
        for file in files
    )
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
