"""What a disk may hold after a power loss: a real program is recorded by strace, call by call, and
from the record the states are built that POSIX permits at any moment of it.

A write is durable once its file was synced, a name once its folder was. Of what was not, any part
may be there and any part may not: names without their bytes, bytes without their names, the later
without the earlier, single sectors. That is more than any one file system does (ext4 keeps the
order of names); a program that stands it does not rely on which one it is given.

What is kept of a killed process is one of these states: all of it.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from commandline import environment
from real import require_real

SECTOR, PAGE = 512, 4096
CALLS = (
    "openat,open,creat,close,dup,dup2,dup3,fcntl,lseek,read,write,pwrite64,writev,pwritev,pwritev2,"
    "ftruncate,truncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "mkdir,mkdirat,link,linkat,symlink,symlinkat,copy_file_range,sendfile,mmap,clone,clone3,fork,"
    "vfork"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(?:0x)?([0-9a-f]+)(?:<((?:\\x[0-9a-f]{2})*)>)?")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded: its name, its arguments as strace writes them, and what it
    returned."""

    name: str
    arguments: str
    result: str

    def texts(self) -> list[bytes]:
        return [_bytes(text) for text in _HEX.findall(self.arguments)]

    def numbers(self) -> list[int]:
        """Return the arguments that are plain numbers, in their order."""
        rest = _HEX.sub("", re.sub(r"<[^>]*>", "", self.arguments))
        return [int(part) for part in rest.split(", ") if re.fullmatch(r"-?\d+", part)]

    def descriptor(self) -> int:
        found = _DESCRIPTOR.match(self.arguments)
        assert found, self
        return int(found[1], 16 if self.arguments.startswith("0x") else 10)


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def record(folder: Path, *command: object) -> list[Call]:
    """Run a program in `folder`, and return all that it asked of the kernel that changes files. Its
    answer goes into a pipe."""
    log = folder.parent / "strace.log"
    traced = [
        *(require_real("strace"), "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "1000000000"),
        *("-e", f"trace={CALLS}", "-e", "raw=read", "-o", log, *map(str, command)),
    ]
    done = subprocess.run(
        traced,
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=False,
        env=environment(measured=False),
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    with log.open(encoding="ascii") as lines:
        calls = list(_calls(lines))
    log.unlink()
    return calls


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        thread, resumed, name, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed:
            rest = begun.pop(thread) + rest
        arguments, _, result = rest.rpartition(" = ")
        if arguments and not result.startswith(("-1", "?")):
            yield Call(resumed or name, arguments.rstrip().removesuffix(")"), result)


# The disk


@dataclass(slots=True)
class File:
    """A file: what is on disk of it for certain, what a reader sees, and the writes between."""

    durable: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Bytes and where they were written; None: the file was cut there, or made longer."""

    def write(self, offset: int, content: bytes | None) -> None:
        _put(self.seen, offset, content)
        self.pending.append((offset, content))

    def sync(self) -> None:
        self.durable[:] = self.seen
        self.pending.clear()


@dataclass(slots=True)
class Folder:
    """A folder: its names on disk, and as a reader sees them."""

    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    seen: dict[str, "File | Folder"] = field(default_factory=dict)


Change = list[tuple[Folder, str, "File | Folder | None"]]
"""Names that come to lead elsewhere, or nowhere, all at once."""


def _put(content: bytearray, offset: int, piece: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if piece is None:
        del content[offset:]
    else:
        content[offset : offset + len(piece)] = piece


def _pieces(offset: int, content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what a disk may write one without the other."""
    unit = SECTOR if len(content) <= 2 * PAGE else PAGE
    at = 0
    while at < len(content):
        size = unit - (offset + at) % unit
        yield offset + at, content[at : at + size]
        at += size


class Disk:
    """The folder `root` while recorded calls change it; what is in it now is durable."""

    def __init__(self, root: Path) -> None:
        self.root = _read(root)
        self.changes: list[Change] = []
        """Of names, not on disk for certain yet."""
        self.printed = b""
        self._path = str(root)
        self._opened: dict[int, _Open] = {}

    def begin(self) -> None:
        """Begin another process."""
        self._opened.clear()
        self.printed = b""

    def do(self, call: Call) -> bool:
        """Follow one call, and return whether it may matter to what is found later."""
        act: Callable[[Call], bool] | None = getattr(self, f"on_{call.name}", None)
        assert act, call
        return act(call)

    def _inside(self, path: bytes) -> list[str] | None:
        text = os.path.normpath(Path(self._path) / path.decode())
        if text != self._path and not text.startswith(f"{self._path}/"):
            return None
        return [part for part in text[len(self._path) :].split("/") if part]

    def _folder(self, parts: list[str]) -> Folder:
        folder = self.root
        for part in parts:
            found = folder.seen[part]
            assert isinstance(found, Folder)
            folder = found
        return folder

    def _change(self, *change: tuple[list[str], "File | Folder | None"]) -> bool:
        resolved: Change = [(self._folder(parts[:-1]), parts[-1], to) for parts, to in change]
        for folder, name, to in resolved:
            _name(folder.seen, name, to)
        self.changes.append(resolved)
        return True

    # Calls

    def on_openat(self, call: Call) -> bool:
        returned, _, path = call.result.partition("<")
        parts = self._inside(_bytes(path.removesuffix(">").removesuffix("(deleted)")))
        self._opened.pop(int(returned), None)
        if parts is None:
            return False
        folder = self._folder(parts[:-1]) if parts else self.root
        target = folder.seen.get(parts[-1]) if parts else self.root
        changed = target is None
        if target is None:
            assert "O_CREAT" in call.arguments, call
            self._change((parts, target := File()))
        opened = self._opened[int(returned)] = _Open(target, is_append="O_APPEND" in call.arguments)
        if "O_TRUNC" in call.arguments:
            assert isinstance(opened.target, File)
            opened.target.write(0, None)
            changed = True
        return changed

    def on_close(self, call: Call) -> bool:
        self._opened.pop(call.descriptor(), None)
        return False

    def on_dup(self, call: Call) -> bool:
        self._opened.pop(returned := int(call.result.partition("<")[0]), None)
        if opened := self._opened.get(call.descriptor()):
            self._opened[returned] = opened
        return False

    on_dup2 = on_dup3 = on_dup

    def on_fcntl(self, call: Call) -> bool:
        return self.on_dup(call) if "F_DUPFD" in call.arguments else False

    def on_sendfile(self, call: Call) -> bool:
        assert call.descriptor() not in self._opened, call
        return False

    on_copy_file_range = on_sendfile

    def on_clone3(self, call: Call) -> bool:
        # Another process would have descriptors of its own.
        assert "CLONE_FILES" in call.arguments, call
        return False

    def on_mmap(self, call: Call) -> bool:
        is_written = "PROT_WRITE" in call.arguments and "MAP_SHARED" in call.arguments
        # SQLite's shared memory is made anew by the first one that opens the database.
        assert not is_written or "MAP_ANONYMOUS" in call.arguments or _hex("-shm") in call.arguments
        return False

    def on_lseek(self, call: Call) -> bool:
        if opened := self._opened.get(call.descriptor()):
            opened.offset = int(call.result)
        return False

    def on_read(self, call: Call) -> bool:
        if opened := self._opened.get(call.descriptor()):
            opened.offset += int(call.result.split()[0], 0)
        return False

    def on_write(self, call: Call) -> bool:
        (content,) = call.texts()
        content = content[: int(call.result)]
        if call.descriptor() == 1:
            self.printed += content
            return True
        opened = self._opened.get(call.descriptor())
        if not opened or not isinstance(opened.target, File):
            return False
        offset = len(opened.target.seen) if opened.is_append else opened.offset
        opened.target.write(offset, content)
        opened.offset = offset + len(content)
        return True

    def on_pwrite64(self, call: Call) -> bool:
        (content,) = call.texts()
        return self._put(call, content[: int(call.result)])

    def on_ftruncate(self, call: Call) -> bool:
        return self._put(call, None)

    def _put(self, call: Call, content: bytes | None) -> bool:
        """Write at the offset that is the last number of a call, or cut there."""
        opened = self._opened.get(call.descriptor())
        if not opened or not isinstance(opened.target, File):
            return False
        opened.target.write(call.numbers()[-1], content)
        return True

    def on_fsync(self, call: Call) -> bool:
        opened = self._opened.get(call.descriptor())
        if not opened:
            return False
        if isinstance(opened.target, File):
            opened.target.sync()
        else:
            self._sync_names(opened.target)
        return True

    on_fdatasync = on_fsync

    def _sync_names(self, folder: Folder) -> None:
        """Make the names of a folder durable; with a name that moved, where it came from."""
        met: set[tuple[int, str]] = set()
        kept, rest = [], []
        for change in reversed(self.changes):
            names = {(id(each), name) for each, name, _ in change}
            if any(each is folder for each, _, _ in change) or names & met:
                met |= names
                kept.append(change)
            else:
                rest.append(change)
        for folder_, name, to in (each for change in reversed(kept) for each in change):
            _name(folder_.durable, name, to)
        self.changes = rest[::-1]

    def on_mkdir(self, call: Call) -> bool:
        parts = self._inside(call.texts()[0])
        return parts is not None and self._change((parts, Folder()))

    def on_unlink(self, call: Call) -> bool:
        parts = self._inside(self._paths(call)[0])
        return parts is not None and self._change((parts, None))

    on_unlinkat = on_rmdir = on_unlink

    def on_rename(self, call: Call) -> bool:
        old, new = (self._inside(path) for path in self._paths(call))
        if old is None and new is None:
            return False
        assert old is not None
        assert new is not None
        return self._change((new, self._folder(old[:-1]).seen[old[-1]]), (old, None))

    def on_link(self, call: Call) -> bool:
        old, new = (self._inside(path) for path in self._paths(call))
        if new is None:
            return False
        assert old is not None
        return self._change((new, self._folder(old[:-1]).seen[old[-1]]))

    on_linkat = on_link
    on_renameat = on_renameat2 = on_rename

    def _paths(self, call: Call) -> list[bytes]:
        """Return the paths that a call names, those beside a folder's descriptor joined to it."""
        folders = [_bytes(path) for path in re.findall(r"<((?:\\x[0-9a-f]{2})*)>", call.arguments)]
        texts = call.texts()
        if not folders:
            return texts
        return [os.path.join(*both) for both in zip(folders, texts, strict=True)]  # noqa: PTH118


@dataclass(slots=True)
class _Open:
    target: File | Folder
    offset: int = 0
    is_append: bool = False


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def _name(names: dict[str, "File | Folder"], name: str, to: "File | Folder | None") -> None:
    if to is None:
        names.pop(name, None)
    else:
        names[name] = to


def _read(path: Path) -> Folder:
    found: dict[str, File | Folder] = {}
    for each in path.iterdir():
        if each.is_dir():
            found[each.name] = _read(each)
        else:
            content = each.read_bytes()
            found[each.name] = File(bytearray(content), bytearray(content))
    return Folder(dict(found), dict(found))


# What may be left of it

Keeps = Callable[[], bool]
State = dict[str, bytes | None]
"""Files and what is in them, by their path; folders are None."""


def states(disk: Disk, random: Random, count: int) -> Iterator[tuple[str, State]]:
    """Yield what the disk may hold if the power fails now, and what was kept of that which was not
    synced; folders are None.

    First nothing of it, then all of it, names without bytes, bytes without names, and `count` times
    any part.
    """

    def never() -> bool:
        return False

    def always() -> bool:
        return True

    for label, names, content in (
        ("nothing", never, never),
        ("everything", always, always),
        ("names", always, never),
        ("bytes", never, always),
    ):
        yield label, _state(disk, names, content)
    for number in range(count):
        share = random.choice((0.1, 0.5, 0.9))

        def some(share: float = share) -> bool:
            return random.random() < share

        yield f"part {number}", _state(disk, some, some)


def _state(disk: Disk, keeps_name: Keeps, keeps_bytes: Keeps) -> State:
    changed = {
        id(folder): dict(folder.durable) for change in disk.changes for folder, _, _ in change
    }
    for change in disk.changes:
        if keeps_name():
            for folder, name, to in change:
                _name(changed[id(folder)], name, to)
    found: State = {}

    def walk(folder: Folder, path: str) -> None:
        for name, to in changed.get(id(folder), folder.durable).items():
            if isinstance(to, Folder):
                found[f"{path}{name}"] = None
                walk(to, f"{path}{name}/")
            else:
                found[f"{path}{name}"] = _content(to, keeps_bytes)

    walk(disk.root, "")
    return found


def _content(file: File, keeps: Keeps) -> bytes:
    content = bytearray(file.durable)
    for offset, piece in file.pending:
        if piece is None:
            if keeps():
                _put(content, offset, None)
            continue
        for at, part in _pieces(offset, piece):
            if keeps():
                _put(content, at, part)
    return bytes(content)


def fingerprint(state: State) -> bytes:
    """Return the same for states that differ in nothing but locks and SQLite's shared memory."""
    whole = sha256()
    for name, content in sorted(state.items()):
        if not name.endswith((".lock", "-shm")):
            whole.update(repr((name, content and sha256(content).digest())).encode())
    return whole.digest()


def lay_out(state: State, folder: Path) -> None:
    """Write a state into a new folder."""
    folder.mkdir()
    for name, content in sorted(state.items()):
        if content is None:
            (folder / name).mkdir(mode=0o700)
        else:
            (folder / name).write_bytes(content)
