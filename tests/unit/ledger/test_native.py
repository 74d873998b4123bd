"""The native core against the Python one: every way to hash, any number of threads, the same bytes;
and what it refuses by itself."""

from hashlib import sha256
from random import Random

import pytest
from cores import require_native, using
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.tree import core
from witnesstree.ledger.tree.bulk import MAX_LINE, _parse_hex, sort_run
from witnesstree.ledger.tree.tree import NODE, level_above, levels_above

pytestmark = pytest.mark.real("cargo")

HEX_63 = b"0" * 63
KERNELS = ("avx-512", "sha-ni", "portable")
SIZES = sorted({*range(131), *(2**k + d for k in range(8, 18) for d in (-1, 0, 1, 31))})
"""Every small one, and those about where sixteen lanes, a part of 2**13 leaves and a thread's share
end."""


@pytest.fixture
def native() -> core.Native:
    return require_native()


def random_bytes(size: int, seed: int = 6) -> bytes:
    return Random(seed).randbytes(size)


def python_levels(nodes: bytes) -> list[bytes]:
    with using("python"):
        return levels_above(nodes)


def test_it_was_built_and_says_how_it_hashes(native: core.Native) -> None:
    assert native.kernels()[-1] == "portable"
    assert set(native.kernels()) <= set(KERNELS)
    with using("native"):
        assert core.name() == f"native ({native.kernels()[0]})"


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_size_has_the_same_levels(native: core.Native, kernel: str) -> None:
    if kernel not in native.kernels():
        pytest.skip(f"this machine has no {kernel}")
    packed = random_bytes(SIZES[-1] * NODE)
    for number, size in enumerate(SIZES):
        nodes = memoryview(packed)[: size * NODE]
        levels = (
            [bytes(nodes), *python_levels(bytes(nodes))]
            if size <= 130 or kernel == native.kernels()[0]
            else []
        )
        threads = number % 5 + 1
        found = native.levels(nodes, threads, kernel)
        # Where Python would take too long, the levels of the other ways to hash have been compared
        # with it already.
        levels = levels or [bytes(nodes), *native.levels(nodes, 1, native.kernels()[0])]
        assert found == levels[1:], (size, threads)
        for height in {0, 1, 2, 6, 13, 14, number % 18, 48}:
            assert (
                native.above(nodes, height, threads, kernel) == levels[min(height, len(levels) - 1)]
            ), (size, height, threads)


@pytest.mark.parametrize("threads", range(6))
def test_threads_change_nothing(native: core.Native, threads: int) -> None:
    nodes = memoryview(random_bytes(100_003 * NODE + 1))[1:]
    assert native.levels(nodes, threads) == native.levels(nodes, 1)
    assert native.above(nodes, 48, threads) == native.levels(nodes, 1)[-1]
    assert native.sort_run(nodes, threads) == native.sort_run(nodes, 1)


@pytest.mark.parametrize("is_last", [False, True])
def test_threads_read_the_same_lines(native: core.Native, *, is_last: bool) -> None:
    random = Random(7)
    ends = (b"\n", b"\r\n", b"  a name\n", b" *" + b"n" * 2000 + b"\n", b"\n\n\r\n")
    lines = [random.randbytes(NODE).hex().encode() + random.choice(ends) for _ in range(4000)]
    faults = (HEX_63 + b"\n", b"x" * MAX_LINE + b"\n", b"y" * (MAX_LINE + 1))
    for place in (None, 0, 1700, 2222, 3999):
        for fault in faults if place is not None else (b"",):
            text = (
                b"".join(lines if place is None else (*lines[:place], fault, *lines[place:]))
                + HEX_63
                + b"0"
            )
            assert len(text) > 1_500_000
            expected = _parse_hex(text, is_last=is_last)
            for threads in range(6):
                assert native.parse_hex(text, is_last, MAX_LINE, threads) == expected, (
                    place,
                    threads,
                )
    # One line, longer than what a thread gets, leaves the others nothing.
    for text in (b"z" * 2**20, b"z" * 2**20 + b"\n", b"\n" * 2**20):
        assert all(
            native.parse_hex(text, is_last, MAX_LINE, threads) == _parse_hex(text, is_last=is_last)
            for threads in (1, 2, 5)
        )


@given(st.data())
def test_pairs_that_differ_late_are_put_in_order(data: st.DataObject) -> None:
    """Random nodes differ in their first word; these have long common beginnings, and bytes above
    and below 0x80."""
    native = require_native()
    word = st.sampled_from(
        [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\x01"]
    )
    nodes = data.draw(
        st.lists(
            st.lists(word, min_size=8, max_size=8).map(b"".join), min_size=2, max_size=70
        ).filter(lambda nodes: len(nodes) % 2 == 0)
    )
    expected = b"".join(
        sha256(min(a, b) + max(a, b)).digest() for a, b in zip(nodes[::2], nodes[1::2], strict=True)
    )
    for kernel in native.kernels():
        assert native.above(b"".join(nodes), 1, 1, kernel) == expected


@given(
    nodes=st.binary(max_size=300 * NODE).map(
        lambda content: content[: len(content) // NODE * NODE]
    ),
    height=st.integers(0, 12),
)
def test_any_nodes_have_the_same_levels(nodes: bytes, height: int) -> None:
    with using("native"):
        found = levels_above(nodes), level_above(nodes, height)
    with using("python"):
        assert (levels_above(nodes), level_above(nodes, height)) == found


def test_equal_nodes_have_a_parent(native: core.Native) -> None:
    for kernel in native.kernels():
        assert (
            native.above(b"same".ljust(NODE) * 64, 1, 1, kernel)
            == sha256(b"same".ljust(NODE) * 2).digest() * 32
        )


@pytest.mark.parametrize("wrong", [bytes(1), bytes(31), bytes(33), memoryview(bytes(128))[::2]])
def test_what_is_no_packed_level_is_refused(native: core.Native, wrong: bytes) -> None:
    for function in (native.levels, native.sort_run, lambda nodes: native.above(nodes, 1)):
        with pytest.raises((ValueError, BufferError)):
            function(wrong)


def test_what_is_no_buffer_is_refused(native: core.Native) -> None:
    for wrong in ("text", 7, None):
        with pytest.raises(TypeError):
            native.levels(wrong)  # type: ignore[arg-type]
    for height in (-1, 2**64):
        with pytest.raises(OverflowError):
            native.above(bytes(64), height)


def test_a_way_to_hash_that_is_not_there_is_refused(native: core.Native) -> None:
    with pytest.raises(ValueError, match="cannot hash in that way"):
        native.levels(bytes(64), 0, "abacus")


# The choice


def test_there_may_be_no_native_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert core.load("witnesstree.ledger.not_built") is None
    monkeypatch.setattr(core, "_built", None)
    monkeypatch.setattr(core, "_used", None)
    with pytest.raises(InvalidInput, match="was not built here: install cargo"):
        core.choose("native")
    core.choose("python")
    assert core.native() is None
    assert core.name() == "python"


def test_there_is_no_third_core() -> None:
    with pytest.raises(InvalidInput, match="native or python, not 'rust'"):
        core.choose("rust")


# Runs


@pytest.mark.parametrize(
    "count", [0, 1, 2, 1000, 2**14, 2**15 - 1, 2**15, 3 * 2**15 + 7, 2**17 + 1]
)
def test_runs_are_the_same(native: core.Native, count: int) -> None:
    digests = random_bytes(count * NODE, count)
    with using("python"):
        expected = sort_run(digests)
    for threads in range(1, 6):
        assert native.sort_run(digests, threads) == expected


@pytest.mark.parametrize("beginnings", [1, 2, 3])
def test_digests_that_begin_alike_are_sorted_too(native: core.Native, beginnings: int) -> None:
    """More records in one bucket than are sorted as numbers, which is no accident."""
    random = Random(7)
    starts = [random.randbytes(8) for _ in range(beginnings)]
    count = 2**20 + 5
    digests = b"".join(start + bytes(NODE - 8) for start in starts) * (count // beginnings)
    with using("python"):
        expected = sort_run(digests)
    assert native.sort_run(digests) == expected


@given(
    st.lists(
        st.binary(min_size=1, max_size=2).map(lambda start: start.ljust(NODE, b"\0")), max_size=200
    )
)
def test_equal_digests_keep_their_order(digests: list[bytes]) -> None:
    expected = sorted((digest[:8], position) for position, digest in enumerate(digests))
    packed = b"".join(key + position.to_bytes(4) for key, position in expected)
    with using("native"):
        assert sort_run(b"".join(digests)) == packed
    with using("python"):
        assert sort_run(b"".join(digests)) == packed
