"""ASiC containers of anybody (ETSI EN 319 162-1), as far as timestamps and evidence records are in
them: which files there are, and what is said to be over which. Nothing is judged, nothing unpacked.

    ASiC-S (4.3)   one file, and META-INF/timestamp.tst or evidencerecord.ers, over its bytes
    ASiC-E (4.4)   files, and manifests in META-INF that list some of them with their digests: a
                   token is over the bytes of a manifest, a record over the files that one lists

Signatures are other programs' business. A container has come from anyone: sizes are bounded before
anything is read, no document type is read in XML, and no entry gets a name outside.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from struct import unpack
from typing import TYPE_CHECKING, BinaryIO
from xml.etree import ElementTree as ET
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from witnesstree.ledger.base.ber import der_of
from witnesstree.ledger.base.der import shown
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.note import parse_base64
from witnesstree.ledger.tokens.signature import HASHES
from witnesstree.ledger.tokens.token import parse_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ASIC = b"application/vnd.etsi.asic"
"""How the media types of containers begin, near the start of the file."""
ASIC_S = "application/vnd.etsi.asic-s+zip"
ASIC_E = "application/vnd.etsi.asic-e+zip"
MAX_ENTRIES = 10_000
"""Entries in a container."""
MAX_META = 4 * 2**20
"""Bytes in an entry of META-INF: as many as in an evidence record."""
MAX_TIMESTAMPS = 32
"""Tokens and records in a container."""
MAX_RATIO = 1032
"""Bytes that one of a container may unpack to: deflate does no better, overlapping entries do."""
MAX_TYPE = 80
"""Bytes in the entry `mimetype`."""
DESCRIPTOR = 24
"""Bytes behind an entry at most: its sizes, where they were not known before (APPNOTE, 4.3.9)."""
CHUNK = 2**20

_ZIP_ERRORS = (BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError, struct.error)
"""What zipfile raises for bytes that are no ZIP file, or one that it does not read."""
_META = "META-INF/"
_TOKEN = re.compile(r"META-INF/[^/]*timestamp[^/]*\.tst", re.IGNORECASE)
_RECORD = re.compile(r"META-INF/[^/]*evidencerecord[^/]*\.ers", re.IGNORECASE)
_MANIFEST = re.compile(r"META-INF/[^/]*asic[^/]*manifest[^/]*\.xml", re.IGNORECASE)
_OWN = re.compile(
    r"META-INF/(?:[^/]*(?:timestamp|evidencerecord|manifest|signature|container)[^/]*"
    r"\.(?:tst|ers|xml|p7s|p7m))",
    re.IGNORECASE,
)
"""Parts of a container itself (ETSI EN 319 162-1, 4.3.3 and 4.4.3)."""
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")
_METHODS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
"""Digests by their URI (RFC 9231, 2.1; XML Encryption 1.1, 5.8)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in a manifest: its digest under `algorithm`, which is a URI where it is not known."""

    name: str
    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A token or a record of a container, as DER: `manifest` is the entry that lists what it is
    over; without one it is over the only file.
    """

    name: str
    content: bytes
    is_record: bool
    manifest: str | None = None
    listed: tuple[Listed, ...] = ()


class Container:
    """An open container: `form` is ASiC-S or ASiC-E, `files` are the names of what it holds,
    `doubled` are names that more than one entry has.
    """

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        infos = archive.infolist()
        self.form = _form(archive)
        names = [info.filename for info in infos if not info.is_dir() or info.file_size]
        counts = Counter(names)
        # What is in META-INF and is none of a container's own parts may be taken for evidence, too.
        self.files = tuple(
            name for name in counts if name != "mimetype" and not _OWN.fullmatch(name)
        )
        self.doubled = tuple(name for name, count in counts.items() if count > 1)
        self._known: dict[tuple[str, str], bytes] = {}
        self.timestamps = tuple(self._timestamps())
        if not self.timestamps:
            raise InvalidInput("container-without-timestamp")

    def digests(self, name: str, algorithms: Iterable[str]) -> dict[str, bytes]:
        """Return the digests of an entry under those of `algorithms` that are accepted, from one
        reading.

        Raises InvalidInput if it is not there, or is damaged.
        """
        wanted = [algorithm for algorithm in algorithms if algorithm in HASHES]
        # A manifest may name one file as often as it likes.
        hashes = {each: HASHES[each]() for each in wanted if (name, each) not in self._known}
        for piece in self._pieces(name) if hashes else ():
            for hashed in hashes.values():
                hashed.update(piece)
        self._known |= {(name, each): hashed.digest() for each, hashed in hashes.items()}
        return {each: self._known[name, each] for each in wanted}

    def _timestamps(self) -> Iterator[Timestamp]:
        names = [name for name in self._archive.namelist() if name.startswith(_META)]
        stamps = [name for name in names if _TOKEN.fullmatch(name) or _RECORD.fullmatch(name)]
        if len(stamps) > MAX_TIMESTAMPS:
            raise InvalidInput(
                "container-timestamps-too-many", found=len(stamps), most=MAX_TIMESTAMPS
            )
        over: dict[str, list[tuple[str, tuple[Listed, ...]]]] = {}
        for name in filter(_MANIFEST.fullmatch, names):
            subject, listed = self._manifest(name)
            # Some count from META-INF.
            subject = subject if subject in names else _META + subject
            over.setdefault(subject, []).append((name, listed))
        for name in stamps:
            content, is_record = self._meta(name), _RECORD.fullmatch(name) is not None
            try:
                content = der_of(content)
            except InvalidInput as error:
                raise InvalidInput("container-entry-damaged", name=name, error=error) from error
            if self.form == ASIC_S:
                yield Timestamp(name, content, is_record)
            elif name in over:
                yield Timestamp(name, content, is_record, *self._subject(content, over[name]))

    def _subject(
        self, content: bytes, manifests: list[tuple[str, tuple[Listed, ...]]]
    ) -> tuple[str, tuple[Listed, ...]]:
        """Return which of the manifests that name a token it is over: anybody may add others."""
        if len(manifests) > 1:
            with suppress(InvalidInput):
                token = parse_token(content)
                for name, listed in manifests:
                    found = self.digests(name, [token.imprint_algorithm])
                    if token.imprint in found.values():
                        return name, listed
        return manifests[0]

    def _manifest(self, name: str) -> tuple[str, tuple[Listed, ...]]:
        """Return the entry that a manifest speaks of, and what it lists."""
        try:
            # In UTF-8, whatever it says: no type is declared in another guise.
            parser = ET.XMLParser(encoding="utf-8")  # noqa: S314 - and none at all is read
            parser.feed(_without_types(self._meta(name)))
            root = parser.close()
            reference = _one(root, "SigReference").attrib["URI"]
            listed = tuple(_listed(each) for each in root if _local(each) == "DataObjectReference")
        except (ET.ParseError, KeyError, ValueError, InvalidInput) as error:
            raise InvalidInput("container-manifest-unreadable", name=name) from error
        return unquoted(reference), listed

    def _meta(self, name: str) -> bytes:
        info = self._info(name)
        if info.file_size > MAX_META:
            raise InvalidInput(
                "container-entry-too-large", name=name, found=info.file_size, most=MAX_META
            )
        return b"".join(self._pieces(name))

    def _info(self, name: str) -> ZipInfo:
        try:
            return self._archive.getinfo(name)
        except KeyError as error:
            raise InvalidInput("container-entry-missing", name=name) from error

    def _pieces(self, name: str) -> Iterator[bytes]:
        info = self._info(name)
        try:
            with self._archive.open(info) as entry:
                while piece := entry.read(CHUNK):
                    yield piece
        except _ZIP_ERRORS as error:
            # What the library says of it helps nobody.
            raise InvalidInput("container-entry-unreadable", name=name) from error


def open_container(file: BinaryIO) -> Container:
    """Read what is in a container; the file stays open as long as the container is used.

    Raises InvalidInput if it is none, or no timestamp and no record is in it.
    """
    size = file.seek(0, 2)
    try:
        archive = ZipFile(file)
    except _ZIP_ERRORS as error:
        raise InvalidInput("container-unreadable") from error
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise InvalidInput("container-entries-too-many", found=len(infos), most=MAX_ENTRIES)
    unpacked = sum(info.file_size for info in infos)
    if unpacked > MAX_RATIO * size:
        raise InvalidInput("container-unpacks-too-large", found=unpacked, most=MAX_RATIO * size)
    for info in infos:
        if info.flag_bits & 1 or info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise InvalidInput("container-entry-packed-otherwise", name=info.filename)
        if not _is_plain(info):
            raise InvalidInput("container-entry-name-wrong", name=shown(info.orig_filename))
    try:
        is_whole = _is_whole(file, archive, size)
    except _ZIP_ERRORS as error:
        raise InvalidInput("container-unreadable") from error
    if not is_whole:
        raise InvalidInput("container-holds-more")
    return Container(archive)


def _is_plain(info: ZipInfo) -> bool:
    """Whether an entry has a name that every program reads alike, below the container's top."""
    name = info.orig_filename
    return (
        not _ODD.search(name)
        and not {"", ".", ".."} & set(name.removesuffix("/").split("/"))
        and not (name.endswith("/") and info.file_size)
    )


def _is_whole(file: BinaryIO, archive: ZipFile, size: int) -> bool:
    """Whether a ZIP file is nothing but its entries, one behind the other, their list and its end
    (APPNOTE 6.3.10, 4.3.6): a program that reads from the front and one that reads from the back
    then see the same.
    """
    at = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if not at <= info.header_offset <= at + (DESCRIPTOR if at else 0):
            return False
        file.seek(info.header_offset)
        signature, flags, name, extra = unpack("<4s2xH18xHH", file.read(30))
        content = file.read(name)
        if signature != b"PK\x03\x04" or content.decode(
            "utf-8" if flags & 0x800 else "cp437", "replace"
        ) != info.orig_filename.encode(errors="replace").decode(errors="replace"):
            return False
        at = info.header_offset + 30 + name + extra + info.compress_size
    file.seek(size - 22)
    signature, listed, start, comment = unpack("<4s8xIIH", file.read(22))
    end = size - 22
    file.seek(max(0, end - 20))
    if file.read(4) == b"PK\x06\x07":
        # Of a large one: its list is told of in a record of 56 bytes, which 20 more find.
        end -= 20 + 56
        file.seek(max(0, end))
        signature_64, listed, start = unpack("<4s36xQQ", file.read(56))
        signature = signature if signature_64 == b"PK\x06\x06" else b""
    return (
        signature == b"PK\x05\x06"
        and not comment
        and start + listed == end
        and at <= start <= at + DESCRIPTOR
    )


def _form(archive: ZipFile) -> str:
    """Return the media type that the first entry states (ETSI EN 319 162-1, A.1).

    Where there is none, one that has a manifest is ASiC-E.
    """
    try:
        if archive.getinfo("mimetype").file_size > MAX_TYPE:
            raise InvalidInput("container-type-unknown", found="…")
        stated = archive.read("mimetype").strip().decode("ascii", "replace")
    except (KeyError, *_ZIP_ERRORS):
        stated = ""
    if stated in {ASIC_S, ASIC_E}:
        return stated
    if stated:
        raise InvalidInput("container-type-unknown", found=stated)
    return ASIC_E if any(map(_MANIFEST.fullmatch, archive.namelist())) else ASIC_S


def _without_types(content: bytes) -> bytes:
    """Return XML that declares no document type: entities may grow without end."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        raise InvalidInput("container-xml-with-types")
    return content


def _listed(reference: ET.Element) -> Listed:
    method = _one(reference, "DigestMethod").attrib["Algorithm"]
    value = parse_base64("".join((_one(reference, "DigestValue").text or "").split()))
    return Listed(unquoted(reference.attrib["URI"]), _METHODS.get(method, method), value)


def unquoted(uri: str) -> str:
    """Return the name that a relative reference stands for (RFC 3986, 2.1)."""
    escaped = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes((int(found[1], 16),)), uri.encode())
    # From the container's top, however that is written.
    return escaped.decode(errors="replace").removeprefix("/").removeprefix("./")


def _one(parent: ET.Element, name: str) -> ET.Element:
    (found,) = (each for each in parent if _local(each) == name)
    return found


def _local(element: ET.Element) -> str:
    """Return an element's name without its namespace, of which there are several versions."""
    return element.tag.rpartition("}")[2]
