"""ASiC containers of anybody: tokens over files and manifests, records, and what can be amiss."""

import io
import zipfile
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256, sha384, sha512
from random import Random
from typing import Any

import pytest
from asn1crypto import tsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_proof import honest
from make_record import START, document, long_chain, trusted, way
from make_token import NOW, Forge, root, stamped, trust
from mutations import changed_bytes, changed_der, rehearsed

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Assurance, Report, Verdict
from witnesstree.ledger.proof.asic import ASIC_E, ASIC_S, MAX_ENTRIES, open_container
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.container import verify_container

A, B = b"The boundary runs to the old oak.", b"The oak fell in 1987."
TRUST = Trust(tuple(trust(root())))
STAMPED = NOW + timedelta(seconds=2)
"""The token's time, and its accuracy of 1.5 seconds, in whole ones."""
LATER = NOW + timedelta(days=1)
SOON = START + timedelta(days=1)
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
MANIFEST, TOKEN = "META-INF/ASiCManifest.xml", "META-INF/timestamp.tst"
RECORD = "META-INF/evidencerecord.ers"

Entries = dict[str, bytes]


def stamp(content: bytes) -> bytes:
    imprint = {
        "hash_algorithm": {"algorithm": "sha256"},
        "hashed_message": sha256(content).digest(),
    }
    return Forge(content=tsp.TSTInfo(stamped(message_imprint=imprint)).dump()).make()


def reference(name: str, content: bytes, method: str = SHA256, hashed: Any = sha256) -> str:
    return (
        f'<DataObjectReference URI="{name}"><ds:DigestMethod Algorithm="{method}"/>'
        f"<ds:DigestValue>\n{b64encode(hashed(content).digest()).decode()}\n</ds:DigestValue>"
        "</DataObjectReference>"
    )


def manifest(*references: str, over: str = TOKEN) -> bytes:
    return (
        '<?xml version="1.0"?><ASiCManifest xmlns="http://uri.etsi.org/02918/v1.2.1#"'
        f' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><SigReference URI="{over}"/>'
        f"{''.join(references)}</ASiCManifest>"
    ).encode()


def packed(entries: Entries, mimetype: str = ASIC_E, **how: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **how) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def extended() -> Entries:
    """Two files under one manifest."""
    listing = manifest(reference("a.txt", A), reference("%E4%B8%AD.txt", B))
    return {"a.txt": A, "中.txt": B, MANIFEST: listing, TOKEN: stamp(listing)}


def judged(content: bytes, trusted: Trust = TRUST, now: datetime = LATER) -> Report:
    return verify_container(open_container(io.BytesIO(content)), trusted, now)


def failures(report: Report) -> set[str]:
    return {check.message.code for check in report.checks if check.outcome.value == "failed"}


def test_one_file_and_its_token() -> None:
    report = judged(packed({"a.txt": A, TOKEN: stamp(A)}, ASIC_S))
    assert report.verdict is Verdict.VERIFIED
    assert report.assurance is Assurance.PRIVATE
    assert report.not_after == STAMPED
    assert [check.name for check in report.checks][-1] == "files"
    assert report.checks[-1].message.members["names"] == ["a.txt"]


@pytest.mark.parametrize("mimetype", [ASIC_E, ""])
@pytest.mark.parametrize("how", [{}, {"compression": zipfile.ZIP_DEFLATED}])
def test_several_files_under_a_manifest(mimetype: str, how: dict[str, Any]) -> None:
    report = judged(packed(extended(), mimetype, **how))
    assert (report.verdict, report.not_after) == (Verdict.VERIFIED, STAMPED)


@pytest.mark.parametrize(
    ("method", "hashed"),
    [
        ("http://www.w3.org/2001/04/xmldsig-more#sha384", sha384),
        ("http://www.w3.org/2001/04/xmlenc#sha512", sha512),
    ],
)
def test_other_digests_in_a_manifest(method: str, hashed: Any) -> None:
    listing = manifest(reference("a.txt", A, method, hashed))
    entries = {"a.txt": A, MANIFEST: listing, TOKEN: stamp(listing)}
    assert judged(packed(entries)).verdict is Verdict.VERIFIED


def test_a_record_and_its_file() -> None:
    made = way()
    entries = {"a": made.content, RECORD: made.initial.der}
    assert judged(packed(entries, ASIC_S), trusted(), SOON).verdict is Verdict.VERIFIED
    other = judged(packed({**entries, "a": A}, ASIC_S), trusted(), SOON)
    assert other.verdict is Verdict.FAILED


def test_a_record_with_more_than_is_read_leaves_its_file_open() -> None:
    report = judged(packed({"a": document(4), RECORD: long_chain(65)}, ASIC_S), trusted(), SOON)
    assert report.verdict is Verdict.UNDECIDED
    assert "this has 65" in " ".join(check.reason for check in report.checks)


def test_no_more_timestamps_are_judged_than_in_a_proof() -> None:
    records = {
        f"META-INF/{i}evidencerecord.ers": long_chain(count) for i, count in enumerate((30, 34, 1))
    }
    content = packed({"a": document(4), **records}, ASIC_S)
    report = judged(content, trusted(), SOON + timedelta(days=4000))
    beyond = [check for check in report.checks if check.message.code == "records-too-many"]
    assert [(check.name, check.outcome.name) for check in beyond] == [("timestamps[2]", "UNKNOWN")]
    assert beyond[0].message.members["left"] == 0


def test_a_record_over_the_file_of_a_manifest() -> None:
    made = way()
    content = made.content
    listing = manifest(reference("a", content), over=RECORD)
    entries = {
        "a": content,
        "META-INF/ASiCEvidenceRecordManifest.xml": listing,
        RECORD: made.initial.der,
    }
    assert judged(packed(entries), trusted(), SOON).verdict is Verdict.VERIFIED
    # No timestamp is over the manifest, but the file that it lists has to be the one.
    assert judged(packed({**entries, "a": A}), trusted(), SOON).verdict is Verdict.FAILED


Change = Callable[[Entries], Entries]


def test_what_a_manifest_does_not_list_is_named() -> None:
    report = judged(packed({**extended(), "added.txt": b"+"}))
    assert report.verdict is Verdict.UNDECIDED
    assert report.checks[-1].message.members["names"] == ["added.txt"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda entries: {**entries, "a.txt": b"changed"}, "container-file-changed"),
        (
            lambda entries: {name: each for name, each in entries.items() if name != "a.txt"},
            "container-file-unreadable",
        ),
        (lambda entries: {**entries, MANIFEST: entries[MANIFEST] + b"\n"}, "imprint-differs"),
        (lambda entries: {**entries, TOKEN: stamp(b"other")}, "imprint-differs"),
        (
            lambda entries: {**entries, TOKEN: b"\x30\x03\x02\x01\x05"},
            "container-timestamp-unreadable",
        ),
    ],
)
def test_what_was_changed_is_named(change: Change, code: str) -> None:
    report = judged(packed(change(extended())))
    assert report.verdict is Verdict.FAILED
    assert code in failures(report)
    assert report.assurance is None


def test_where_a_file_was_changed_no_time_is_said_of_it() -> None:
    report = judged(packed({**extended(), "a.txt": b"changed"}))
    assert not any(check.name.endswith("window") for check in report.checks)


def test_names_that_occur_twice() -> None:
    out = io.BytesIO(packed(extended()))
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.txt", b"another")
    report = judged(out.getvalue())
    assert report.verdict is Verdict.FAILED
    assert "container-names-doubled" in failures(report)


@pytest.mark.parametrize("files", [{}, {"a": A, "b": B}])
def test_a_simple_container_holds_one_file(files: Entries) -> None:
    report = judged(packed({**files, TOKEN: stamp(A)}, ASIC_S))
    assert report.verdict is Verdict.FAILED
    assert "container-files-not-one" in failures(report)


def test_a_manifest_that_lists_nothing_covers_nothing() -> None:
    """Whoever has one stamped could put any file beside it later."""
    listing = manifest()
    report = judged(packed({"lie.txt": A, MANIFEST: listing, TOKEN: stamp(listing)}))
    assert (report.verdict, report.not_after) == (Verdict.UNDECIDED, None)
    assert report.checks[-1].message.members["names"] == ["lie.txt"]


@pytest.mark.parametrize("uri", ["./a.txt", "/a.txt", "%61.txt"])
def test_a_name_counts_from_the_container_s_top(uri: str) -> None:
    listing = manifest(reference(uri, A))
    entries = {"a.txt": A, MANIFEST: listing, TOKEN: stamp(listing)}
    assert judged(packed(entries)).verdict is Verdict.VERIFIED


def test_a_token_named_from_its_own_folder() -> None:
    listing = manifest(reference("a.txt", A), over="timestamp.tst")
    entries = {"a.txt": A, MANIFEST: listing, TOKEN: stamp(listing)}
    assert judged(packed(entries)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("is_first", [True, False])
def test_another_manifest_that_names_the_token_changes_nothing(is_first: bool) -> None:
    entries = extended()
    other = {"META-INF/ASiCManifest9.xml": manifest(reference("a.txt", B))}
    both = {**other, **entries} if is_first else {**entries, **other}
    assert judged(packed(both)).verdict is Verdict.VERIFIED
    false = {**both, TOKEN: stamp(b"neither")}
    assert judged(packed(false)).verdict is Verdict.FAILED
    unreadable = {**both, TOKEN: b"\x30\x00"}
    assert judged(packed(unreadable)).verdict is Verdict.FAILED


def test_what_stands_in_meta_inf_is_covered_or_named() -> None:
    report = judged(packed({**extended(), "META-INF/contract.pdf": B}))
    assert report.checks[-1].message.members["names"] == ["META-INF/contract.pdf"]
    parts = dict.fromkeys(["META-INF/manifest.xml", "META-INF/signature001.p7s"], b"")
    assert judged(packed({**extended(), **parts})).verdict is Verdict.VERIFIED


def test_a_file_that_is_listed_again_and_again_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listing = manifest(*[reference("a.txt", A)] * 2000)
    container = open_container(
        io.BytesIO(packed({"a.txt": A, MANIFEST: listing, TOKEN: stamp(listing)}))
    )
    read: list[str] = []
    pieces = container._pieces
    monkeypatch.setattr(container, "_pieces", lambda name: (read.append(name), pieces(name))[1])
    assert verify_container(container, TRUST, LATER).verdict is Verdict.VERIFIED
    assert sorted(read) == ["META-INF/ASiCManifest.xml", "a.txt"]


class Unseekable(io.BytesIO):
    """Where sizes are written behind each entry."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("out", [io.BytesIO, Unseekable])
def test_containers_however_they_were_written(is_large: bool, out: type[io.BytesIO]) -> None:
    made = out()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in {"mimetype": ASIC_E.encode(), **extended()}.items():
            with archive.open(name, "w", force_zip64=is_large) as entry:
                entry.write(content)
    assert judged(made.getvalue()).verdict is Verdict.VERIFIED


def test_a_container_beyond_what_old_ones_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its list is told of in a record of its own."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    made = packed(extended())
    at = made.rindex(b"PK\x05\x06")
    assert made[at - 20 : at - 16] == b"PK\x06\x07"
    assert judged(made).verdict is Verdict.VERIFIED
    large = bytearray(made)
    large[at + 16 : at + 20] = b"\xff" * 4
    assert judged(bytes(large)).verdict is Verdict.VERIFIED
    large[at - 76 : at - 74] = b"XX"
    with pytest.raises(InvalidInput):
        judged(bytes(large))


def evil() -> bytes:
    return packed({"a.txt": b"evil"})


@pytest.mark.parametrize(
    "content",
    [
        b"#!/bin/sh\n" + packed(extended()),
        evil() + packed(extended()),
        packed(extended()) + b"more",
        packed(extended())[:-2] + b"\x04\0more",
    ],
)
def test_a_file_that_others_read_in_another_way_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput) as raised:
        open_container(io.BytesIO(content))
    assert raised.value.message.code in {"container-holds-more", "container-unreadable"}


def test_bytes_between_entries_and_other_local_names_are_refused() -> None:
    content = packed(extended())
    at = content.index(b"a.txt")
    with pytest.raises(InvalidInput, match="holds more"):
        judged(content[:at] + b"b.txt" + content[at + 5 :])
    gap = bytearray(content)
    end = gap.rindex(b"PK\x05\x06")
    gap[end + 16 : end + 20] = (int.from_bytes(gap[end + 16 : end + 20], "little") + 30).to_bytes(
        4, "little"
    )
    start = content.index(b"PK\x01\x02")
    with pytest.raises(InvalidInput, match="holds more"):
        judged(bytes(gap[:start]) + bytes(30) + bytes(gap[start:]))


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a//b", "./a", "a\\b", "a\nb", "a/../b", "\x7f", "d/"]
)
def test_names_that_mean_different_things_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="different ways"):
        judged(packed({**extended(), name: B}))


def test_an_entry_that_begins_beyond_the_file_is_refused() -> None:
    content = bytearray(packed({"a": A, TOKEN: stamp(A)}, ASIC_S))
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 1)
    third = content.index(b"PK\x01\x02", second + 1)
    for at in (first + 20, second + 42, third + 42):
        moved = int.from_bytes(content[at : at + 4], "little") + 10**6
        content[at : at + 4] = moved.to_bytes(4, "little")
    with pytest.raises(InvalidInput) as raised:
        open_container(io.BytesIO(bytes(content)))
    assert raised.value.message.code == "container-unreadable"


def test_names_cut_short_by_a_zero_byte_are_refused() -> None:
    content = packed({**extended(), "b.txt_x.exe": B}).replace(b"b.txt_x.exe", b"b.txt\0x.exe")
    with pytest.raises(InvalidInput, match="different ways"):
        judged(content)
    nameless = packed({**extended(), "b": B}).replace(b"b" + B, b"\0" + B)
    with pytest.raises(InvalidInput):
        judged(nameless)


def test_an_empty_folder_is_no_file() -> None:
    out = io.BytesIO(packed(extended()))
    with zipfile.ZipFile(out, "a") as archive:
        archive.mkdir("folder")
    assert judged(out.getvalue()).verdict is Verdict.VERIFIED


def test_a_digest_that_is_not_accepted() -> None:
    listing = manifest(reference("a.txt", A, "http://www.w3.org/2000/09/xmldsig#sha1"))
    report = judged(packed({"a.txt": A, MANIFEST: listing, TOKEN: stamp(listing)}))
    assert report.verdict is Verdict.UNDECIDED
    assert "container-digest-not-accepted" in {check.message.code for check in report.checks}


def test_beside_one_that_passes_another_may_be_unknown() -> None:
    other = "META-INF/timestamp002.tst"
    listing = manifest(reference("a.txt", A))
    second = manifest(reference("a.txt", A), over=other)
    entries = {
        "a.txt": A,
        MANIFEST: listing,
        TOKEN: stamp(listing),
        "META-INF/ASiCManifest2.xml": second,
        other: honest().proof().tokens[0].token,
        "META-INF/timestamp003.tst": stamp(b"of no manifest"),
    }
    report = judged(packed(entries))
    assert report.verdict is Verdict.FAILED
    entries[other] = Forge(
        content=tsp.TSTInfo(
            stamped(
                message_imprint={
                    "hash_algorithm": {"algorithm": "sha256"},
                    "hashed_message": sha256(second).digest(),
                }
            )
        ).dump(),
        certificates=[],
    ).make()
    report = judged(packed(entries))
    assert (report.verdict, report.not_after) == (Verdict.VERIFIED, STAMPED)


def bomb() -> bytes:
    """One entry whose header claims far more than deflate can give."""
    content = bytearray(packed({"a": A, TOKEN: stamp(A)}, ASIC_S))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(packed({"a": A, TOKEN: stamp(A)}, ASIC_S))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04", "container-unreadable"),
        (packed({"a": A}), "container-without-timestamp"),
        (packed({"a": A, TOKEN: b""}, ASIC_S), "container-entry-damaged"),
        (packed({"a": A, TOKEN: stamp(A)}, "application/epub+zip"), "container-type-unknown"),
        (
            packed({f"META-INF/timestamp{i}.tst": b"" for i in range(33)}),
            "container-timestamps-too-many",
        ),
        (packed({TOKEN: bytes(4 * 2**20 + 1)}), "container-entry-too-large"),
        (
            packed({"a": A, TOKEN: b"x"}, compression=zipfile.ZIP_BZIP2),
            "container-entry-packed-otherwise",
        ),
        (bomb(), "container-unpacks-too-large"),
        (packed({"a": A, TOKEN: stamp(A)}, "x" * 81), "container-type-unknown"),
        (
            packed({MANIFEST: b'<?xml version="1.0" encoding="foo"?><x/>', TOKEN: b""}),
            "container-manifest-unreadable",
        ),
        (encrypted(), "container-entry-packed-otherwise"),
        (packed({MANIFEST: b"<x", TOKEN: b""}), "container-manifest-unreadable"),
        (packed({MANIFEST: b"<x/>", TOKEN: b""}), "container-manifest-unreadable"),
        (
            packed({MANIFEST: b'<!DOCTYPE x [<!ENTITY a "b">]>' + manifest(), TOKEN: b""}),
            "container-manifest-unreadable",
        ),
        (
            packed({MANIFEST: manifest(reference("a", A).replace(SHA256, '"x')), TOKEN: b""}),
            "container-manifest-unreadable",
        ),
    ],
)
def test_what_cannot_be_read_is_no_container(content: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        open_container(io.BytesIO(content))
    assert raised.value.message.code == code


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("witnesstree.ledger.proof.asic.MAX_ENTRIES", 3)
    assert MAX_ENTRIES == 10_000
    with pytest.raises(InvalidInput, match="4 entries"):
        open_container(io.BytesIO(packed(dict.fromkeys("abc", A))))


def test_an_entry_that_is_damaged_is_named() -> None:
    content = packed(extended())
    at = content.index(A)
    report = judged(content[:at] + b"X" + content[at + 1 :])
    assert report.verdict is Verdict.FAILED
    assert "container-file-unreadable" in failures(report)


GOOD = packed(extended())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_believed(at: int, change: int) -> None:
    content = bytearray(GOOD)
    content[at] ^= change
    try:
        report = judged(bytes(content))
    except InvalidInput:
        return
    if report.is_verified:
        # Neither a time of the ZIP file nor a flag of it is evidence.
        with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
            assert [archive.read(name) for name in ("a.txt", "中.txt")] == [A, B]


def files_in(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.startswith("META-INF/")]
        return {name: archive.read(name) for name in names if name != "mimetype"}


@pytest.mark.parametrize("chunk", rehearsed(2, 200))
def test_changed_containers(chunk: int) -> None:
    """Bytes of the archive, or of an entry with its checksums made to fit: whatever is verified
    has the same files."""
    random = Random(chunk)
    single: Entries = {"a.txt": way().content, RECORD: way().initial.der}
    seeds = [
        (packed(extended()), extended(), ASIC_E, TRUST, LATER),
        (packed(single, ASIC_S), single, ASIC_S, trusted(), SOON),
    ]
    for _ in range(500):
        content, entries, kind, trust_, now = random.choice(seeds)
        name = random.choice(list(entries))
        if random.random() < 0.4:
            changed = changed_bytes(content, content, random)
        else:
            change = changed_der if name in (TOKEN, RECORD) else changed_bytes
            other = {**entries, name: change(entries[name], entries[name], random)}
            if random.random() < 0.1:
                other[name[:-1]] = other.pop(name)
            changed = packed(other, kind)
        try:
            report = judged(changed, trust_, now)
        except InvalidInput:
            continue
        if report.verdict is Verdict.VERIFIED:
            found = files_in(changed)
            assert sorted(found.values()) == sorted(files_in(content).values())
            assert kind == ASIC_S or found == files_in(content)
            assert report.not_after == judged(content, trust_, now).not_after
