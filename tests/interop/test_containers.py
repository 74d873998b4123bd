"""The European Commission's DSS opens our ASiC-E containers by itself, as a court does that drops
one on its page, and refuses altered ones."""

from __future__ import annotations

import io
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

import pytest
from commandline import call
from interop.test_evidence_records import Judge, dss_jars, running

pytestmark = pytest.mark.real("mvn")

NAME = "张三 借款合同.txt"
CONTENT = b"The boundary runs to the old oak.\n"
RECORD, MANIFEST = "META-INF/evidencerecord.ers", "META-INF/ASiCEvidenceRecordManifest.xml"
DIGEST = b64encode(sha256(CONTENT).digest())

Change = Callable[[dict[str, bytes]], dict[str, bytes]]
"""What is done to a container's entries."""


@pytest.fixture(scope="module")
def dss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    folder = tmp_path_factory.mktemp("dss")
    with running("DssContainer", dss_jars(), folder) as process:
        yield Judge("DssContainer", process, folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three sealed files: DSS judges certificates at today's time."""
    folder = tmp_path_factory.mktemp("containers")
    files = [folder / name for name in (NAME, "b.txt", "c.txt")]
    for file in files:
        file.write_bytes(CONTENT if file.name == NAME else file.name.encode())
    assert call("init", "--home", folder / "home", "--origin", "ledger.example/court").code == 0
    assert call("seal", "--home", folder / "home", *files).code == 0
    for file in files[:2]:
        out = file.with_name(f"{file.name}.asice")
        assert (
            call(
                "export", f"{file}.proof.json", "--format", "asice", "--file", file, "-o", out
            ).code
            == 0
        )
    return folder / "home"


@pytest.fixture
def container(home: Path) -> bytes:
    return (home.parent / f"{NAME}.asice").read_bytes()


@pytest.fixture
def signer(home: Path) -> bytes:
    """The certificate that the token is signed with.

    Trusted itself, it needs no answer about revocation, and an embedded authority gives none.
    """
    return PEM_cert_to_DER_cert((home / "authority/tsa.pem").read_text())


@pytest.fixture
def root(home: Path) -> bytes:
    return PEM_cert_to_DER_cert((home / "authority/root.pem").read_text())


def entries_of(container: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_dss_validates_the_container(dss: Judge, container: bytes, signer: bytes) -> None:
    assert dss(container, signer) == f"accepted: PASSED ASiC-E {NAME}"


def test_dss_trusts_whom_its_user_trusts(dss: Judge, container: bytes, root: bytes) -> None:
    """Under a root alone it asks for an answer about revocation; without any it trusts nobody.

    Neither is a fault of the container.
    """
    assert dss(container, root) == f"accepted: INDETERMINATE ASiC-E {NAME}"
    assert dss(container) == f"accepted: INDETERMINATE ASiC-E {NAME}"


def test_packing_it_again_changes_nothing(dss: Judge, container: bytes, signer: bytes) -> None:
    """So what the cases below are refused for is what they change."""
    assert dss(packed(entries_of(container)), signer) == f"accepted: PASSED ASiC-E {NAME}"


def changed(name: str, change: Callable[[bytes], bytes]) -> Change:
    return lambda entries: {**entries, name: change(entries[name])}


def renamed(entries: dict[str, bytes]) -> dict[str, bytes]:
    return {("another.txt" if name == NAME else name): content for name, content in entries.items()}


def without(name: str) -> Change:
    return lambda entries: {other: content for other, content in entries.items() if other != name}


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda content: (
        content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        if at >= 0
        else flipped(len(content) + at)(content)
    )


def other_digest(manifest: bytes) -> bytes:
    assert manifest.count(DIGEST) == 1
    return manifest.replace(DIGEST, b64encode(bytes(32)))


ALTERED: dict[str, tuple[Change, str]] = {
    "a byte of the file": (
        changed(NAME, flipped(0)),
        "FAILED a file is not what the record is for",
    ),
    "a byte more in the file": (
        changed(NAME, lambda content: content + b"!"),
        "FAILED a file is not what the record is for",
    ),
    "a byte of the token's signature": (changed(RECORD, flipped(-9)), "FAILED a timestamp"),
    "the record cut short": (changed(RECORD, lambda record: record[:-1]), "0 evidence records"),
    "another digest in the manifest": (
        changed(MANIFEST, other_digest),
        "FAILED a file is not what the record is for",
    ),
    "another name in the manifest": (
        changed(MANIFEST, lambda text: text.replace(b'Reference URI="%', b'Reference URI="x%')),
        "INDETERMINATE no manifest",
    ),
    "another record in the manifest": (
        changed(MANIFEST, lambda text: text.replace(b"evidencerecord.ers", b"evidencerecord1.ers")),
        "INDETERMINATE no manifest",
    ),
    "the file renamed": (renamed, "INDETERMINATE no manifest"),
    "no manifest": (without(MANIFEST), "INDETERMINATE no manifest"),
    "no file": (without(NAME), "INDETERMINATE no manifest"),
    "no record": (without(RECORD), "0 evidence records"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_dss_refuses_an_altered_container(
    dss: Judge, container: bytes, signer: bytes, name: str
) -> None:
    change, reason = ALTERED[name]
    entries = entries_of(container)
    altered = change(entries)
    assert altered != entries
    assert dss(packed(altered), signer).startswith(f"refused: {reason}")


def test_dss_refuses_the_record_of_another_file(
    dss: Judge, container: bytes, signer: bytes, home: Path
) -> None:
    other = entries_of((home.parent / "b.txt.asice").read_bytes())
    swapped = packed({**entries_of(container), RECORD: other[RECORD]})
    assert dss(swapped, signer).startswith("refused: FAILED a file is not what the record is for")
