"""What is handed in: paths, and files of digests."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.cli import sources
from witnesstree.cli.names import readable_name
from witnesstree.cli.sources import CHUNK, PART, Source, find_files, opened_digests
from witnesstree.ledger.base.errors import InvalidInput

DIGEST = sha256(b"").digest()


def count_digests(path: Path) -> int:
    with opened_digests(path) as digests:
        return digests.count()


def read_digests(path: Path) -> Iterator[bytes]:
    with opened_digests(path) as digests:
        yield from digests.parts()


def test_files_come_once_each_in_the_order_of_names(tmp_path: Path) -> None:
    home = tmp_path / "d/home"
    for name in ("d/b", "d/a", "d/c/x", "d/home/secret", "d/a.proof.json", "e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d/loop").symlink_to(tmp_path / "d")
    (home / "home.json").write_bytes(b"")
    found = find_files(
        [tmp_path / "e", tmp_path / "d", tmp_path / "d/a"], None, home, is_recursive=True
    )
    assert [str(source.path.relative_to(tmp_path)) for source in found.sources] == [
        "e",
        "d/a",
        "d/b",
        "d/c/x",
    ]
    assert all(source.proof == Path(f"{source.path}.proof.json") for source in found.sources)
    assert (found.proofs, found.homes) == (1, [home])
    assert [(each.path, each.reason.code) for each in found.skipped] == [
        (tmp_path / "d/loop", "link-not-followed")
    ]


def test_proofs_keep_the_folders_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d/c").mkdir(parents=True)
    (tmp_path / "d/c/x").write_bytes(b"")
    proofs = tmp_path / "p"
    assert find_files([tmp_path / "d"], proofs, tmp_path / "h", is_recursive=True).sources == [
        Source(tmp_path / "d/c/x", proofs / "c/x.proof.json")
    ]
    assert find_files([tmp_path / "d/c/x"], proofs, tmp_path / "h", is_recursive=False).sources == [
        Source(tmp_path / "d/c/x", proofs / "x.proof.json")
    ]


def test_two_files_never_share_a_proof(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_bytes(b"")
    both = [tmp_path / "a/x", tmp_path / "b/x"]
    assert len(find_files(both, None, tmp_path / "h", is_recursive=False).sources) == 2
    with pytest.raises(InvalidInput, match="would both get the proof"):
        find_files(both, tmp_path / "p", tmp_path / "h", is_recursive=False)


def test_names_become_text() -> None:
    assert readable_name(Path("d/照片.jpg")) == "照片.jpg"
    assert readable_name(Path(os.fsdecode(b"d/\xff.jpg"))) == "\ufffd.jpg"


def test_digests_are_handed_over_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "digests"
    # Of text, as many pieces as make no more than a part.
    lines = PART // (CHUNK // 65) * CHUNK // 65
    for content, parts in (
        (DIGEST * (PART + 2), [PART, 2]),
        ((DIGEST.hex().encode() + b"\n") * (PART + 2), [lines, PART + 2 - lines]),
    ):
        path.write_bytes(content)
        assert [len(part) // 32 for part in read_digests(path)] == parts
        assert count_digests(path) == sum(parts)


@pytest.mark.parametrize("chunk", [8193, 8200, 10_000])
def test_a_fault_is_named_by_its_line_however_the_text_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    path = tmp_path / "digests"
    good = DIGEST.hex().encode() + b"  a name\n"
    lines = [good] * 2000
    path.write_bytes(b"".join(lines))
    assert count_digests(path) == 2000
    for at in (0, 1, 111, 112, 113, 1998, 1999):
        path.write_bytes(
            b"".join([*lines[:at], DIGEST.hex()[:63].encode() + b"\n", *lines[at + 1 :]])
        )
        with pytest.raises(
            InvalidInput,
            match=(
                rf"line {at + 1}: expected 64 hex digits, .*, not '{DIGEST.hex()[:63]}': it begins"
                r" with 63"
            ),
        ):
            count_digests(path)
    # A blank line counts, and the last line may have no end.
    path.write_bytes(b"\n" + b"".join(lines).rstrip() + b"\r\n\n" + good[:-1])
    assert count_digests(path) == 2001


@pytest.mark.parametrize(
    "content",
    [
        b"\n" * 32,
        b"a" * 32,
        b"\xef\xbb\xbf" + DIGEST.hex().encode() + b"\n" * 29,
        b" " + DIGEST.hex().encode() + b"\n" * 31,
        DIGEST.hex().encode() + b" name\n",
        DIGEST.hex().encode() + b"0\n",
        DIGEST.hex().encode() + b"\n" + DIGEST,
    ],
)
def test_text_never_passes_for_raw_digests(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "digests").write_bytes(content)
    with pytest.raises(InvalidInput):
        count_digests(tmp_path / "digests")


def test_a_digest_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "digests"
    path.write_bytes(DIGEST * (PART + 1))
    parts = read_digests(path)
    next(parts)
    with path.open("ab") as file:
        file.write(DIGEST)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        list(parts)


@given(
    digests=st.lists(
        st.binary(min_size=32, max_size=32).filter(lambda digest: not digest.isascii()),
        min_size=1,
        max_size=40,
    )
)
def test_every_form_gives_the_same_digests(digests: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "digests"
    for content in (b"".join(digests), b"\n".join(digest.hex().encode() for digest in digests)):
        path.write_bytes(content)
        assert b"".join(read_digests(path)) == b"".join(digests)


@given(content=st.binary(max_size=400))
def test_any_bytes_give_digests_or_one_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "digests"
    path.write_bytes(content)
    try:
        found = b"".join(read_digests(path))
    except InvalidInput:
        return
    assert len(found) % 32 == 0


@pytest.mark.parametrize("mark", [b"", b"\xff\xfe"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_no_file_of_raw_digests(
    tmp_path: Path, encoding: str, mark: bytes
) -> None:
    path = tmp_path / "digests"
    for lines in range(1, 33):
        path.write_bytes(mark + (DIGEST.hex() + "\n").encode(encoding) * lines)
        with pytest.raises(InvalidInput, match=r"UTF-16|no multiple of 32"):
            count_digests(path)
    # A digest may begin as a byte order mark does, and be all zeros.
    for digests in (b"\xff\xfe" + DIGEST[2:] + DIGEST, bytes(64), bytes(32)):
        path.write_bytes(digests)
        assert b"".join(read_digests(path)) == digests


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            DIGEST.hex().encode() + b"  a\0" + DIGEST.hex().encode() + b"  b\0",
            "line 1: .*: it holds a zero byte, as `sha256sum -z` writes it",
        ),
        (
            b"\xef\xbb\xbf" + DIGEST.hex().encode() + b"\n",
            "line 1: .*: it begins with a byte order mark",
        ),
        (
            (DIGEST.hex().encode() + b"\r") * 2,
            "line 1: .*: lines end with LF or CR LF, not with CR alone",
        ),
    ],
)
def test_lines_of_other_programs_are_refused_with_the_reason(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "digests").write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        count_digests(tmp_path / "digests")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="is not a regular file"):
        count_digests(tmp_path / "pipe")


def test_a_digest_file_that_changes_between_its_two_readings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "digests"
    path.write_bytes(DIGEST * 3)
    with opened_digests(path) as digests:
        assert digests.count() == 3
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(InvalidInput, match="changed while it was read"):
            next(digests.parts())


def test_a_file_that_cannot_be_read_after_all_is_named() -> None:
    # Nothing is mapped at address 0.
    with pytest.raises(InvalidInput, match="cannot read /proc/self/mem: Input/output error"):
        count_digests(Path("/proc/self/mem"))
