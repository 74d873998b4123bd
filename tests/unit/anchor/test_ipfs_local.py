"""The embedded block store: Kubo's CIDs, whole files or none, and every damage found by name."""

import errno
import json
import os
import shutil
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from witnesstree.anchor.ipfs import local
from witnesstree.anchor.ipfs.car import format_block, format_header
from witnesstree.anchor.ipfs.cid import (
    DAG_PB,
    RAW,
    Cid,
    cid_from_bytes,
    cid_of,
    parse_cid,
    parse_varint,
)
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.unixfs import (
    CHUNK,
    MAX_BLOCK,
    MAX_DEPTH,
    MAX_LINKS,
    Link,
    format_node,
    parse_node,
    store_chunks,
    walk,
)
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
)
from witnesstree.ledger.base.ports import FileStore

VECTORS = Path(__file__).parents[2] / "vectors" / "ipfs"
FILES = json.loads((VECTORS / "cids.json").read_text())["files"]
NODE = json.loads((VECTORS / "node.json").read_text())
STORED = [file for file in FILES if file["chunk"] == CHUNK and file["size"] <= 10_000_000]


def named(vector: dict[str, str]) -> str:
    return vector["name"]


@pytest.fixture(scope="session")
def counter() -> bytes:
    size = max(file["size"] for file in FILES)
    return b"".join(sha256(number.to_bytes(8, "big")).digest() for number in range(size // 32 + 1))


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    return BlockStore(tmp_path / "home" / "ipfs")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of three chunks and a node, because chunks have four bytes here."""
    monkeypatch.setattr(local, "CHUNK", 4)
    file = tmp_path / "small.txt"
    file.write_bytes(b"aaaabbbbcc")
    return file


def content_of(vector: dict[str, object], counter: bytes) -> memoryview:
    size = vector["size"]
    assert isinstance(size, int)
    return memoryview(bytes(size) if vector["content"] == "zero" else counter)[:size]


def blocks_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "blocks").glob("*/*")}


def path_of(folder: Path, cid: str) -> Path:
    (path,) = (folder / "blocks").glob(f"*/{cid}")
    return path


def nodes_in(folder: Path) -> list[str]:
    return [name for name in blocks_in(folder) if parse_cid(name).codec == DAG_PB]


def plant(folder: Path, block: bytes, codec: int = DAG_PB) -> str:
    """Put `block` under its right name, past the store."""
    cid = str(cid_of(codec, block))
    path = folder / "blocks" / cid[-3:-1] / cid
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(block)
    return cid


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.tmp"))


# Trees and names


@pytest.mark.parametrize("vector", FILES, ids=named)
def test_store_chunks_names_a_file_as_kubo_does(vector: dict[str, object], counter: bytes) -> None:
    content = content_of(vector, counter)
    assert sha256(content).hexdigest() == vector["sha256"]
    chunk = vector["chunk"]
    assert isinstance(chunk, int)
    names: list[Cid] = []
    cid = store_chunks(
        (bytes(content[at : at + chunk]) for at in range(0, len(content), chunk)),
        lambda cid, _: names.append(cid),
    )
    assert str(cid) == vector["cid"]
    assert names[-1] == cid


def test_deep_trees_are_exported_as_kubo_does(counter: bytes) -> None:
    (vector,) = (file for file in FILES if file["size"] == 174**2 + 1)
    blocks: dict[Cid, bytes] = {}
    root = store_chunks((bytes([byte]) for byte in counter[: vector["size"]]), blocks.__setitem__)
    car = format_header(root) + b"".join(
        format_block(cid, block) for cid, block in walk(root, blocks.__getitem__, once=True)
    )
    assert (len(car), sha256(car).hexdigest()) == (vector["car_size"], vector["car_sha256"])


def test_the_node_of_the_vectors_is_read_and_written() -> None:
    node = bytes.fromhex(NODE["node"])
    links = parse_node(node)
    assert [
        {"cid": str(link.cid), "size": link.size, "total": link.total} for link in links
    ] == NODE["links"]
    assert format_node(links) == node
    assert str(cid_of(DAG_PB, node)) == NODE["cid"]


@pytest.mark.parametrize("vector", NODE["refused"], ids=named)
def test_a_changed_node_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        parse_node(bytes.fromhex(vector["node"]))


def test_a_node_may_have_so_many_links_and_no_more() -> None:
    link = Link(cid_of(RAW, b"a"), 1, 1)
    assert len(parse_node(format_node([link] * MAX_LINKS))) == MAX_LINKS
    with pytest.raises(InvalidInput, match="more than 1,024 links"):
        parse_node(format_node([link] * (MAX_LINKS + 1)))


def test_a_block_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(InvalidInput, match="larger than"):
        parse_node(bytes(MAX_BLOCK + 1))


@pytest.mark.parametrize("vector", NODE["refused_cids"], ids=named)
def test_what_is_no_cid_of_ours_is_refused(
    vector: dict[str, str], store: BlockStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for call in (
        parse_cid,
        store.has,
        lambda cid: store.read(cid, out),
        lambda cid: store.export_car(cid, out),
    ):
        with pytest.raises(InvalidInput):
            call(vector["cid"])
    assert not out.exists()


def test_a_cid_has_36_bytes() -> None:
    cid = cid_of(RAW, b"")
    assert cid_from_bytes(bytes(cid)) == cid
    for wrong in (b"", bytes(cid)[:-1], bytes(cid) + b"\0", b"\x02" + bytes(cid)[1:]):
        with pytest.raises(InvalidInput):
            cid_from_bytes(wrong)


def test_a_varint_has_at_most_nine_bytes() -> None:
    assert parse_varint(b"\xff" * 8 + b"\x7f", 0) == (2**63 - 1, 9)
    for wrong in (b"", b"\x80", b"\xff" * 9 + b"\x01", b"\x80\x00"):
        with pytest.raises(InvalidInput):
            parse_varint(wrong, 0)


# Walking what strangers wrote


def lay(*blocks: tuple[int, bytes]) -> Callable[[Cid], bytes]:
    return {cid_of(codec, block): block for codec, block in blocks}.__getitem__


def test_walk_refuses_a_block_that_is_not_as_long_as_its_node_says() -> None:
    node = format_node([Link(cid_of(RAW, b"abc"), 2, 2)])
    with pytest.raises(InvalidInput, match="holds 3 bytes"):
        list(walk(cid_of(DAG_PB, node), lay((RAW, b"abc"), (DAG_PB, node))))


def test_walk_refuses_a_second_link_that_lies_about_a_block_seen_before() -> None:
    leaf = cid_of(RAW, b"abc")
    node = format_node([Link(leaf, 3, 3), Link(leaf, 2, 2)])
    with pytest.raises(InvalidInput, match="holds 3 bytes"):
        list(walk(cid_of(DAG_PB, node), lay((RAW, b"abc"), (DAG_PB, node)), once=True))


def test_walk_refuses_a_tree_that_is_too_deep() -> None:
    blocks, link = [(RAW, b"abc")], Link(cid_of(RAW, b"abc"), 3, 3)
    for depth in range(MAX_DEPTH + 1):
        if depth == MAX_DEPTH:
            assert [block for cid, block in walk(link.cid, lay(*blocks)) if cid.codec == RAW] == [
                b"abc"
            ]
        node = format_node([link])
        blocks.append((DAG_PB, node))
        link = Link(cid_of(DAG_PB, node), 3, link.total + len(node))
    with pytest.raises(InvalidInput, match="more than 8 nodes above"):
        list(walk(link.cid, lay(*blocks)))


def test_walk_refuses_a_raw_block_beyond_the_limit() -> None:
    block = bytes(MAX_BLOCK + 1)
    with pytest.raises(InvalidInput, match="larger than"):
        list(walk(cid_of(RAW, block), lay((RAW, block))))


# Files in, files out


@pytest.mark.parametrize("vector", STORED, ids=named)
def test_a_file_comes_back_and_its_car_is_kubos(
    vector: dict[str, object], counter: bytes, store: BlockStore, tmp_path: Path
) -> None:
    file, back, car = tmp_path / "in", tmp_path / "out", tmp_path / "out.car"
    file.write_bytes(content_of(vector, counter))
    cid = store.add(file)
    assert cid == vector["cid"]
    assert store.has(cid)
    store.read(cid, back)
    assert back.read_bytes() == file.read_bytes()
    store.export_car(cid, car)
    assert (car.stat().st_size, sha256(car.read_bytes()).hexdigest()) == (
        vector["car_size"],
        vector["car_sha256"],
    )
    assert list(store.check()) == []
    assert not leftovers(tmp_path)


def test_it_is_a_file_store_that_says_that_it_is_local(store: BlockStore) -> None:
    assert FileStore in BlockStore.__mro__
    assert "embedded" in str(BlockStore.notice)
    assert "\n" not in str(BlockStore.notice)


def test_memory_does_not_grow_with_the_file(store: BlockStore, tmp_path: Path) -> None:
    file, back = tmp_path / "in", tmp_path / "out"
    with file.open("wb") as stream:
        for number in range(128):
            stream.write(number.to_bytes(8, "big") * (CHUNK // 8))
    tracemalloc.start()
    try:
        cid = store.add(file)
        store.read(cid, back)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert back.stat().st_size == 128 * CHUNK
    assert peak < 12 * CHUNK


def test_adding_a_file_again_keeps_its_blocks(
    store: BlockStore, small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "ipfs"
    cid = store.add(small)
    before = {path: path.stat().st_ino for path in (folder / "blocks").glob("*/*")}
    assert store.add(small) == cid
    assert {path: path.stat().st_ino for path in (folder / "blocks").glob("*/*")} == before
    assert len(before) == 4


def test_adding_a_file_again_mends_its_blocks(
    store: BlockStore, small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "ipfs"
    cid = store.add(small)
    good = blocks_in(folder)
    for name in good:
        path_of(folder, name).write_bytes(b"rot")
    assert not store.has(cid)
    assert store.add(small) == cid
    assert blocks_in(folder) == good


def test_two_stores_may_add_to_one_folder_at_once(small: Path, tmp_path: Path) -> None:
    folder, cids = tmp_path / "ipfs", []
    small.write_bytes(bytes(range(256)) * 4)
    threads = [
        threading.Thread(target=lambda: cids.append(BlockStore(folder).add(small)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cids) == 4
    assert len(set(cids)) == 1
    assert list(BlockStore(folder).check()) == []
    assert not leftovers(folder)


# Files that cannot be added


def test_a_file_that_is_not_there_is_not_found(store: BlockStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        store.add(tmp_path / "nothing")


def test_a_folder_a_pipe_and_a_name_that_cannot_be_are_refused(
    store: BlockStore, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (
        tmp_path,
        tmp_path / "pipe",
        tmp_path / "loop",
        tmp_path / "nul\0",
        tmp_path / ("x" * 300),
    ):
        with pytest.raises(InvalidInput, match=r"regular file|cannot be read"):
            store.add(path)
    assert not (tmp_path / "home").exists()


def append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


def overwrite(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.write(b"AAAA")
    os.utime(file, ns=(1, 1))


def replace(file: Path) -> None:
    twin = file.with_suffix(".new")
    shutil.copy2(file, twin)
    twin.replace(file)


def cut(file: Path) -> None:
    os.truncate(file, 9)


@pytest.mark.parametrize("change", [append, overwrite, replace, cut, Path.unlink])
def test_a_file_that_changes_while_it_is_read_is_refused(
    change: Callable[[Path], None],
    store: BlockStore,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed: list[Path] = []
    real = BlockStore._put

    def put(self: BlockStore, cid: Cid, block: bytes) -> Path:
        if not changed:
            change(small)
            changed.append(small)
        return real(self, cid, block)

    monkeypatch.setattr(BlockStore, "_put", put)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        store.add(small)
    assert changed
    assert nodes_in(tmp_path / "home" / "ipfs") == []


def test_a_file_that_never_ends_is_refused(
    store: BlockStore, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BlockStore._put

    def put(self: BlockStore, cid: Cid, block: bytes) -> Path:
        append(small)
        return real(self, cid, block)

    monkeypatch.setattr(BlockStore, "_put", put)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        store.add(small)


def test_a_file_with_more_bytes_than_its_size_is_refused(store: BlockStore) -> None:
    version = Path("/proc/version")
    if not version.exists():
        pytest.skip("no /proc here")
    assert version.stat().st_size < len(version.read_bytes())
    with pytest.raises(InvalidInput, match="changed while it was read"):
        store.add(version)


def test_a_file_on_a_broken_disk_is_a_storage_failure(store: BlockStore, tmp_path: Path) -> None:
    mem = Path("/proc/self/mem")
    if not mem.exists():
        pytest.skip("no /proc here")
    # Nothing is mapped at address 0, so the first read fails with EIO, as on a disk that cannot
    # read a sector.
    with pytest.raises(StorageFailure, match="/proc/self/mem cannot be read"):
        store.add(mem)


# Files that cannot be read back


@pytest.fixture
def added(store: BlockStore, small: Path) -> str:
    return store.add(small)


def refuse_to_read(
    store: BlockStore, cid: str, folder: Path, error: type[Exception], match: str
) -> None:
    """Reading and exporting fail alike, and leave what was at `out` as it was."""
    out = folder / "out"
    for call in (store.read, store.export_car):
        out.write_bytes(b"before")
        with pytest.raises(error, match=match):
            call(cid, out)
        assert out.read_bytes() == b"before"
        assert not leftovers(folder)


def test_a_file_that_is_not_here_is_not_found(store: BlockStore, tmp_path: Path) -> None:
    cid = str(cid_of(RAW, b"never seen"))
    assert not store.has(cid)
    refuse_to_read(store, cid, tmp_path, NotFound, cid)
    assert not (tmp_path / "home").exists()


def test_a_file_whose_last_block_is_gone_is_not_found(
    store: BlockStore, added: str, tmp_path: Path
) -> None:
    last = str(cid_of(RAW, b"cc"))
    path_of(tmp_path / "home" / "ipfs", last).unlink()
    assert store.has(added)
    refuse_to_read(store, added, tmp_path, NotFound, last)


@pytest.mark.parametrize(
    "rot",
    [b"", b"c", b"cC", b"ccc", bytes(MAX_BLOCK + 1)],
    ids=["empty", "cut", "flipped", "longer", "huge"],
)
def test_a_damaged_block_is_never_given_out(
    rot: bytes, store: BlockStore, added: str, tmp_path: Path
) -> None:
    last = str(cid_of(RAW, b"cc"))
    path_of(tmp_path / "home" / "ipfs", last).write_bytes(rot)
    assert not store.has(last)
    refuse_to_read(store, added, tmp_path, Damaged, f"{last} is damaged")
    (found,) = store.check()
    assert found.name.endswith(last)
    assert "damaged" in str(found.reason)


def test_every_flipped_bit_of_every_block_is_found(
    store: BlockStore, added: str, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "ipfs"
    for name, block in blocks_in(folder).items():
        path = path_of(folder, name)
        for bit in range(len(block) * 8):
            changed = bytearray(block)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            assert not store.has(name)
        assert [found.name for found in store.check()] == [path.relative_to(folder).as_posix()]
        path.write_bytes(block)
    assert list(store.check()) == []


def test_blocks_that_are_no_file_are_damaged_though_their_names_are_right(
    store: BlockStore, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "ipfs"
    for vector in NODE["refused"]:
        cid = plant(folder, bytes.fromhex(vector["node"]))
        refuse_to_read(store, cid, tmp_path, Damaged, cid)
        assert any(found.name.endswith(cid) for found in store.check()), vector["name"]


def test_a_block_beyond_the_limit_is_damaged_though_its_name_is_right(
    store: BlockStore, tmp_path: Path
) -> None:
    cid = plant(tmp_path / "home" / "ipfs", bytes(MAX_BLOCK + 1), RAW)
    assert not store.has(cid)
    refuse_to_read(store, cid, tmp_path, Damaged, "larger than")
    assert [found.name.rpartition("/")[2] for found in store.check()] == [cid]


def test_a_node_that_lies_about_its_leaf_is_damaged(store: BlockStore, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "ipfs"
    plant(folder, b"abc", RAW)
    cid = plant(folder, format_node([Link(cid_of(RAW, b"abc"), 2, 2)]))
    refuse_to_read(store, cid, tmp_path, Damaged, "holds 3 bytes of the file")


def test_a_place_that_cannot_be_written_is_refused(
    store: BlockStore, added: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for out in (tmp_path / "no" / "out", tmp_path / "home", tmp_path / "file" / "out"):
        for call in (store.read, store.export_car):
            with pytest.raises(InvalidInput, match="name another file"):
                call(added, out)
    assert (tmp_path / "file").read_bytes() == b"x"
    assert not leftovers(tmp_path)


def test_no_outside_answer_is_blamed(store: BlockStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        store.read(str(cid_of(RAW, b"?")), tmp_path / "out")
    assert not isinstance(caught.value, BadAnswer)


# check


def test_check_finds_nothing_where_nothing_is(store: BlockStore) -> None:
    assert list(store.check()) == []


def test_check_names_what_does_not_belong(store: BlockStore, added: str, tmp_path: Path) -> None:
    blocks = tmp_path / "home" / "ipfs" / "blocks"
    leaf = str(cid_of(RAW, b"aaaa"))
    (blocks / "zz").mkdir(exist_ok=True)
    path_of(blocks.parent, leaf).rename(blocks / "zz" / leaf)
    folder_as_block = str(cid_of(RAW, b"folder"))
    (blocks / folder_as_block[-3:-1] / folder_as_block).mkdir(parents=True)
    (blocks / "zz" / "notes.txt").write_text("?")
    (blocks / "stray").write_text("?")
    found = {damage.name: str(damage.reason) for damage in store.check()}
    right = f"blocks/{leaf[-3:-1]}/{leaf}"
    assert found.pop(f"blocks/zz/{leaf}") == f"misplaced: it belongs at {right}"
    assert found.pop(right) == f"missing: {added} links to it"
    assert (
        found.pop(f"blocks/{folder_as_block[-3:-1]}/{folder_as_block}")
        == "this is not a regular file"
    )
    assert found.pop("blocks/zz/notes.txt") == "this is not the name of a block"
    assert found.pop("blocks/stray") == "this is not a folder of blocks"
    assert found == {}


def test_check_follows_no_link_out_of_the_folder(
    store: BlockStore, added: str, tmp_path: Path
) -> None:
    path = path_of(tmp_path / "home" / "ipfs", added)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert [(found.name, str(found.reason)) for found in store.check()] == [
        (path.relative_to(tmp_path / "home" / "ipfs").as_posix(), "this is not a regular file")
    ]


def test_check_goes_on_after_a_block_that_the_disk_refuses(
    store: BlockStore, added: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local._read_limited

    def refuse(path: Path) -> bytes:
        if path.name == added:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(local, "_read_limited", refuse)
    path_of(tmp_path / "home" / "ipfs", str(cid_of(RAW, b"cc"))).write_bytes(b"rot")
    reasons = sorted(found.reason.code for found in store.check())
    assert reasons == ["block-digest-differs", "file-cannot-be-read"]
    with pytest.raises(StorageFailure, match="Input/output error"):
        store.has(added)


# Every durable step, failing before and after it took hold


class Killed(BaseException):
    """What a killed process would have done next never happens."""


class Effects:
    """The durable steps of the store, counted; one of them fails, before or after it took hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, Path]] = []
        self._fail_at, self._after, self._error = -1, False, BaseException()
        real_fsync, real_replace, real_sync = os.fsync, Path.replace, local.sync_folder
        monkeypatch.setattr(
            os,
            "fsync",
            lambda number: self._step("fsync", Path(str(number)), lambda: real_fsync(number)),
        )
        monkeypatch.setattr(
            Path,
            "replace",
            lambda part, path: self._step("rename", path, lambda: real_replace(part, path)),
        )
        monkeypatch.setattr(
            local,
            "sync_folder",
            lambda folder: self._step("settle", folder, lambda: real_sync(folder)),
        )

    def fail(self, at: int, error: BaseException, *, after: bool) -> None:
        self.log.clear()
        self._fail_at, self._after, self._error = at, after, error

    def _step(self, name: str, path: Path, effect: Callable[[], object]) -> None:
        at = len(self.log)
        self.log.append((name, path))
        if at == self._fail_at and not self._after:
            raise self._error
        effect()
        if at == self._fail_at:
            raise self._error


def steps(effects: Effects, error: BaseException, call: Callable[[], object]) -> Iterator[None]:
    """Let each step of `call` fail before and after it took hold; yields after each failure."""
    for after in (False, True):
        at = 0
        while True:
            effects.fail(at, error, after=after)
            try:
                call()
            except (StorageFailure, Killed):
                effects.fail(-1, error, after=False)
                yield
            else:
                assert at >= len(effects.log)
                break
            at += 1
        assert at > 3


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        Killed(),
    ],
)
def test_add_that_fails_at_any_step_leaves_whole_blocks_and_can_be_repeated(
    error: BaseException, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ipfs"
    store = BlockStore(folder)
    cid = store.add(small)
    effects = Effects(monkeypatch)
    shutil.rmtree(folder)
    count = 0
    for _ in steps(effects, error, lambda: store.add(small)):
        count += 1
        assert list(store.check()) == []
        assert not leftovers(folder)
        assert store.add(small) == cid
        store.read(cid, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == small.read_bytes()
        shutil.rmtree(folder)
    assert count > 20


def test_after_a_power_failure_no_node_lacks_a_block(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may be lost until its folder was settled: so when a node takes its name, all below it
    must have been settled."""
    monkeypatch.setattr(local, "CHUNK", 1)
    small.write_bytes(bytes(number % 256 for number in range(500)))
    effects = Effects(monkeypatch)
    cid = BlockStore(tmp_path / "ipfs").add(small)
    unsettled: set[Path] = set()
    nodes = 0
    for name, path in effects.log:
        if name == "rename":
            if parse_cid(path.name).codec == DAG_PB:
                nodes += 1
                below = {str(link.cid) for link in parse_node(path.read_bytes())}
                assert not below & {lost.name for lost in unsettled}
            unsettled.add(path)
        elif name == "settle":
            unsettled = {lost for lost in unsettled if lost.parent != path}
    assert nodes == 4
    assert unsettled == set()
    settled = {path for name, path in effects.log if name == "settle"}
    assert {tmp_path, tmp_path / "ipfs", tmp_path / "ipfs" / "blocks"} <= settled
    assert BlockStore(tmp_path / "ipfs").has(cid)


def test_a_block_is_on_disk_before_it_takes_its_name(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Effects(monkeypatch)
    BlockStore(tmp_path / "ipfs").add(small)
    written = [name for name, _ in effects.log if name in {"fsync", "rename"}]
    renames = [at for at, (name, _) in enumerate(effects.log) if name == "rename"]
    assert len(renames) == 4
    assert all(effects.log[at - 1][0] == "fsync" for at in renames)
    assert written.count("fsync") >= 4


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()])
def test_read_that_fails_leaves_the_old_file_or_the_whole_new_one(
    error: BaseException,
    store: BlockStore,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added, out = store.add(small), tmp_path / "out"
    out.write_bytes(b"before")
    effects = Effects(monkeypatch)
    for _ in steps(effects, error, lambda: store.read(added, out)):
        assert out.read_bytes() in {b"before", small.read_bytes()}
        assert not leftovers(tmp_path)
        out.write_bytes(b"before")
    assert out.read_bytes() == small.read_bytes()
