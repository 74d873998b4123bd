import json
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from witnesstree.ledger.base.errors import Damaged, InvalidInput
from witnesstree.ledger.log import log

VECTORS = Path(__file__).parents[3] / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in vectors(name)["cases"]]


def outcome(check: Callable[[], bool]) -> str:
    try:
        return "verifies" if check() else "refused"
    except InvalidInput:
        return "invalid"


class Kept(dict[tuple[int, int], bytes]):
    """A log's kept hashes in memory; it counts how often it is read."""

    reads = 0

    @property
    def size(self) -> int:
        return sum(1 for level, _ in self if level == 0)

    def read(self, level: int, index: int) -> bytes:
        self.reads += 1
        return self[level, index]

    def add(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        added = log.added_nodes(self.size, leaf, self.read)
        self.update({(level, index): node for level, index, node in added})
        return added


def log_of(size: int) -> Kept:
    kept = Kept()
    for i in range(size):
        kept.add(log.leaf_hash(b"entry %d" % i))
    return kept


def never_read(level: int, index: int) -> bytes:
    pytest.fail(f"read ({level}, {index})")


@pytest.mark.parametrize("case", cases("log/inclusion.json"))
def test_inclusion_vector(case: dict[str, Any]) -> None:
    path = [b64decode(node) for node in case["path"]]
    leaf, root = b64decode(case["leaf"]), b64decode(case["root"])

    assert (
        outcome(lambda: log.check_inclusion(case["index"], case["size"], leaf, path, root))
        == case["expect"]
    )


@pytest.mark.parametrize("case", cases("log/consistency.json"))
def test_consistency_vector(case: dict[str, Any]) -> None:
    path = [b64decode(node) for node in case["path"]]
    old_root, new_root = b64decode(case["old_root"]), b64decode(case["new_root"])

    assert (
        outcome(lambda: log.check_consistency(case["old"], case["new"], old_root, new_root, path))
        == case["expect"]
    )


def test_root_vector_gives_every_root_and_every_kept_hash() -> None:
    vector = vectors("log/root.json")
    kept, added = Kept(), []

    roots = [log.log_root(0, kept.read)]
    for number, entry in enumerate(vector["entries"]):
        added += [(number, *node) for node in kept.add(log.leaf_hash(entry.encode()))]
        roots.append(log.log_root(number + 1, kept.read))

    assert roots == [b64decode(root) for root in vector["roots"]]
    assert added == [
        (node["entry"], node["level"], node["index"], b64decode(node["hash"]))
        for node in vector["added"]
    ]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["desc"]) for case in vectors("merkle/inclusion.json")]
)
def test_public_inclusion_vector(case: dict[str, Any]) -> None:
    path = [b64decode(node) for node in case["proof"]]
    leaf, root = b64decode(case["leafHash"]), b64decode(case["root"])

    judged = outcome(
        lambda: log.check_inclusion(case["leafIdx"], case["treeSize"], leaf, path, root)
    )

    assert (judged != "verifies") is case["wantErr"]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["desc"]) for case in vectors("merkle/consistency.json")]
)
def test_public_consistency_vector(case: dict[str, Any]) -> None:
    path = [b64decode(node) for node in case["proof"]]
    old_root, new_root = b64decode(case["root1"]), b64decode(case["root2"])

    judged = outcome(
        lambda: log.check_consistency(case["size1"], case["size2"], old_root, new_root, path)
    )

    assert (judged != "verifies") is case["wantErr"]


def test_public_roots() -> None:
    kept = Kept()
    for case in vectors("merkle/roots.json"):
        kept.add(log.leaf_hash(b64decode(case["entry"])))

        assert log.log_root(kept.size, kept.read) == b64decode(case["root"])


def test_our_paths_are_those_of_the_public_vectors() -> None:
    kept = Kept()
    for case in vectors("merkle/roots.json"):
        kept.add(log.leaf_hash(b64decode(case["entry"])))
    inclusions = [
        case for case in vectors("merkle/inclusion.json") if case["desc"].endswith("happy path")
    ]
    consistencies = [
        case for case in vectors("merkle/consistency.json") if case["desc"].endswith("happy path")
    ]

    assert len(inclusions) == len(consistencies) == 5
    for case in inclusions:
        path = log.prove_inclusion(case["leafIdx"], case["treeSize"], kept.read)
        assert path == [b64decode(node) for node in case["proof"]]
    for case in consistencies:
        path = log.prove_consistency(case["size1"], case["size2"], kept.read)
        assert path == [b64decode(node) for node in case["proof"]]


def test_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert log.log_root(0, never_read) == log.EMPTY_ROOT == sha256(b"").digest()


def test_leaf_and_node_are_told_apart() -> None:
    left, right = log.leaf_hash(b"left"), log.leaf_hash(b"right")

    assert log.leaf_hash(left + right) != log.node_hash(left, right)


def test_an_entry_adds_a_leaf_and_the_subtrees_it_completes() -> None:
    kept = log_of(7)

    added = kept.add(log.leaf_hash(b"entry 7"))

    assert [(level, index) for level, index, _ in added] == [(0, 7), (1, 3), (2, 1), (3, 0)]
    assert added[-1][2] == log.log_root(8, kept.read)


def test_the_largest_log_adds_few_hashes_and_reads_few() -> None:
    kept = Kept()

    def read(level: int, index: int) -> bytes:
        kept.reads += 1
        return sha256(b"%d %d" % (level, index)).digest()

    assert len(log.added_nodes(log.MAX_SIZE - 1, log.leaf_hash(b""), read)) == 1
    assert len(log.added_nodes(2**52 - 1, log.leaf_hash(b""), read)) == 53
    assert kept.reads == 52
    root = log.log_root(log.MAX_SIZE, read)
    path = log.prove_inclusion(2**52 + 1, log.MAX_SIZE, read)
    assert kept.reads <= 52 + 3 * 53
    assert (
        log.check_inclusion(2**52 + 1, log.MAX_SIZE, read(0, 2**52 + 1), path, root) is False
    )  # these hashes belong to no log
    path = log.prove_consistency(2**52, log.MAX_SIZE, read)
    assert log.check_consistency(2**52, log.MAX_SIZE, log.log_root(2**52, read), root, path) is True


def test_proving_reads_only_what_is_kept_and_few_of_it() -> None:
    kept = log_of(100)  # reading what is not kept raises KeyError
    for size in range(1, 101):
        for index in range(size):
            kept.reads = 0
            log.prove_inclusion(index, size, kept.read)
            assert kept.reads <= 2 * size.bit_length()
            log.prove_consistency(index + 1, size, kept.read)
            assert kept.reads <= 4 * size.bit_length()


def test_a_longer_log_proves_its_own_past() -> None:
    short, long = log_of(11), log_of(50)

    assert log.log_root(11, long.read) == log.log_root(11, short.read)
    assert log.prove_inclusion(6, 11, long.read) == log.prove_inclusion(6, 11, short.read)


def test_a_rewritten_log_is_not_consistent() -> None:
    honest, forged = log_of(20), Kept()
    for i in range(33):
        forged.add(log.leaf_hash(b"another entry" if i == 4 else b"entry %d" % i))

    path = log.prove_consistency(20, 33, forged.read)
    old_root, new_root = log.log_root(20, honest.read), log.log_root(33, forged.read)

    assert log.check_consistency(20, 33, old_root, new_root, path) is False


@pytest.mark.parametrize(
    ("index", "size"), [(-1, 1), (0, 0), (1, 1), (7, 6), (0, log.MAX_SIZE + 1), (0, -1)]
)
def test_no_path_to_an_entry_that_no_log_has(index: int, size: int) -> None:
    with pytest.raises(InvalidInput, match="no entry"):
        log.prove_inclusion(index, size, never_read)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 1), (2, 1), (-1, 1), (1, log.MAX_SIZE + 1)])
def test_no_consistency_between_sizes_that_no_log_has(old: int, new: int) -> None:
    with pytest.raises(InvalidInput, match="the smaller first"):
        log.prove_consistency(old, new, never_read)


@pytest.mark.parametrize("index", [-1, log.MAX_SIZE])
def test_no_entry_beyond_the_largest_log(index: int) -> None:
    with pytest.raises(InvalidInput, match="numbered from 0"):
        log.added_nodes(index, log.leaf_hash(b""), never_read)


@pytest.mark.parametrize("size", [-1, log.MAX_SIZE + 1])
def test_no_root_of_a_size_that_no_log_has(size: int) -> None:
    with pytest.raises(InvalidInput, match="a log has 0 to"):
        log.log_root(size, never_read)


@pytest.mark.parametrize("leaf", [b"", bytes(31), bytes(33)])
def test_a_leaf_that_is_no_hash_is_not_added(leaf: bytes) -> None:
    with pytest.raises(InvalidInput, match="32 bytes"):
        log.added_nodes(0, leaf, never_read)


@pytest.mark.parametrize("stored", [b"", bytes(31), bytes(64)])
def test_a_kept_hash_of_another_length_is_damage(stored: bytes) -> None:
    with pytest.raises(Damaged, match="level 1, index 0"):
        log.log_root(3, lambda level, index: stored if level else bytes(32))
