"""README's commands run: every `witnesstree …` line of its console and sh blocks, in order, in a
folder with the files that they name.

A command exits with 0 unless its line ends in a comment that names another code, such as `# exit
3`. Where a line says `1:NUMBER:0x…` it gets chain, number and hash of the block that photo.jpg is
anchored in, and authority.pem is the root of the ledger's own authority.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from commandline import PROGRAM, environment

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh.md")
EXAMPLES = ("photo.jpg", "contract.pdf", "chat.json", "page.html")

_BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:\$ )?(witnesstree .*?)(?:\s+# .*?\bexit (\d+).*|\s+#.*)?$")


@dataclass(frozen=True, slots=True)
class Command:
    """A line of a README, and the exit code that it claims."""

    line: str
    code: int


def commands(text: str) -> list[Command]:
    lines = "\n".join(_BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [
        Command(found[1], int(found[2] or 0)) for line in lines if (found := _COMMAND.match(line))
    ]


def furnish(folder: Path) -> None:
    """Put files of every kind that a README names into `folder`."""
    for name in EXAMPLES:
        shutil.copyfile(ROOT / "examples" / name, folder / name)
    shutil.copytree(
        ROOT / "examples", folder / "case-17", ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    (folder / "SHA256SUMS").write_text(
        sha256((folder / "photo.jpg").read_bytes()).hexdigest() + "  photo.jpg\n"
    )


def filled(line: str, folder: Path) -> str:
    """Return a command line with what its reader would have looked up."""
    if "authority.pem" in line:
        shutil.copyfile(
            folder / ".local/share/witnesstree/authority/root.pem", folder / "authority.pem"
        )
    if "0x…" in line:
        anchor = json.loads((folder / "photo.jpg.proof.json").read_bytes())["anchors"][0]
        block = anchor["block"]
        typed = f"{anchor['chain_id']}:{block['number']}:{block['hash']}"
        line = line.replace("1:NUMBER:0x…", typed)
    return line


def test_the_commands_run_as_the_text_claims(tmp_path: Path) -> None:
    found = commands((ROOT / READMES[0]).read_text(encoding="utf-8"))
    assert len(found) >= 2, "the README shows how to seal and how to verify"
    furnish(tmp_path)
    path = os.pathsep.join([str(Path(PROGRAM).parent), os.environ["PATH"]])
    env = environment(PATH=path, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path / ".local/share"))
    for command in found:
        # Whoever gives a root certificate has no ledger.
        is_stranger = "--trust" in command.line
        env["XDG_DATA_HOME"] = str(tmp_path / ("none" if is_stranger else ".local/share"))
        done = subprocess.run(
            ["sh", "-c", filled(command.line, tmp_path)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )
        assert done.returncode == command.code, f"{command.line}\n{done.stdout}\n{done.stderr}"
        if " verify photo.jpg" in command.line:
            assert done.stdout.startswith("VERIFIED (local")


def test_both_readmes_show_the_same_commands() -> None:
    first, second = (commands((ROOT / name).read_text(encoding="utf-8")) for name in READMES)
    assert first == second


def test_commands_are_found_as_they_are_written() -> None:
    text = (
        "```console\n$ witnesstree seal a  # a word\nSealed a\n$ make demo\n$ witnesstree verify b"
        " \\\n  --json  # exit 3: altered\n```\n"
    )
    assert commands(text) == [
        Command("witnesstree seal a", 0),
        Command("witnesstree verify b    --json", 3),
    ]
    assert commands(
        "```sh\nwitnesstree status\n```\n```python\nwitnesstree x\n```\nwitnesstree y\n"
    ) == [Command("witnesstree status", 0)]
