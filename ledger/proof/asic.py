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
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from xml.etree import ElementTree as ET
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from witnesstree.ledger.base.ber import der_of
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.note import parse_base64
from witnesstree.ledger.tokens.signature import HASHES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
CHUNK = 2**20

_ZIP_ERRORS = (BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError, struct.error)
"""What zipfile raises for bytes that are no ZIP file, or one that it does not read."""
_META = "META-INF/"
_TOKEN = re.compile(r"META-INF/[^/]*timestamp[^/]*\.tst", re.IGNORECASE)
_RECORD = re.compile(r"META-INF/[^/]*evidencerecord[^/]*\.ers", re.IGNORECASE)
_MANIFEST = re.compile(r"META-INF/[^/]*asic[^/]*manifest[^/]*\.xml", re.IGNORECASE)
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
        names = [info.filename for info in infos if not info.is_dir()]
        self.files = tuple(
            dict.fromkeys(
                name for name in names if name != "mimetype" and not name.startswith(_META)
            )
        )
        self.doubled = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
        self.timestamps = tuple(self._timestamps())
        if not self.timestamps:
            raise InvalidInput("container-without-timestamp")

    def digests(self, name: str, algorithms: Iterable[str]) -> dict[str, bytes]:
        """Return the digests of an entry under those of `algorithms` that are accepted, from one
        reading.

        Raises InvalidInput if it is not there, or is damaged.
        """
        hashes = {algorithm: HASHES[algorithm]() for algorithm in algorithms if algorithm in HASHES}
        for piece in self._pieces(name):
            for hashed in hashes.values():
                hashed.update(piece)
        return {algorithm: hashed.digest() for algorithm, hashed in hashes.items()}

    def _timestamps(self) -> Iterator[Timestamp]:
        names = [name for name in self._archive.namelist() if name.startswith(_META)]
        stamps = [name for name in names if _TOKEN.fullmatch(name) or _RECORD.fullmatch(name)]
        if len(stamps) > MAX_TIMESTAMPS:
            raise InvalidInput(
                "container-timestamps-too-many", found=len(stamps), most=MAX_TIMESTAMPS
            )
        over = dict(self._manifest(name) for name in names if _MANIFEST.fullmatch(name))
        for name in stamps:
            content, is_record = self._meta(name), _RECORD.fullmatch(name) is not None
            try:
                content = der_of(content)
            except InvalidInput as error:
                raise InvalidInput("container-entry-damaged", name=name, error=error) from error
            if self.form == ASIC_S:
                yield Timestamp(name, content, is_record)
            elif name in over:
                yield Timestamp(name, content, is_record, *over[name])

    def _manifest(self, name: str) -> tuple[str, tuple[str, tuple[Listed, ...]]]:
        """Return the entry that a manifest speaks of, with the manifest's name and what it
        lists.
        """
        try:
            root = ET.fromstring(_without_types(self._meta(name)))  # noqa: S314 - it has none
            reference = _one(root, "SigReference").attrib["URI"]
            listed = tuple(_listed(each) for each in root if _local(each) == "DataObjectReference")
        except (ET.ParseError, KeyError, ValueError, InvalidInput) as error:
            raise InvalidInput("container-manifest-unreadable", name=name) from error
        return unquoted(reference), (name, listed)

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
            raise InvalidInput("container-entry-damaged", name=name, error=str(error)) from error


def open_container(file: BinaryIO) -> Container:
    """Read what is in a container; the file stays open as long as the container is used.

    Raises InvalidInput if it is none, or no timestamp and no record is in it.
    """
    size = file.seek(0, 2)
    try:
        archive = ZipFile(file)
    except _ZIP_ERRORS as error:
        raise InvalidInput("container-unreadable", error=str(error)) from error
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise InvalidInput("container-entries-too-many", found=len(infos), most=MAX_ENTRIES)
    unpacked = sum(info.file_size for info in infos)
    if unpacked > MAX_RATIO * size:
        raise InvalidInput("container-unpacks-too-large", found=unpacked, most=MAX_RATIO * size)
    for info in infos:
        if info.flag_bits & 1 or info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise InvalidInput("container-entry-packed-otherwise", name=info.filename)
    return Container(archive)


def _form(archive: ZipFile) -> str:
    """Return the media type that the first entry states (ETSI EN 319 162-1, A.1).

    Where there is none, one that has a manifest is ASiC-E.
    """
    try:
        stated = archive.read("mimetype")[:80].strip().decode("ascii", "replace")
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
    return escaped.decode(errors="replace")


def _one(parent: ET.Element, name: str) -> ET.Element:
    (found,) = (each for each in parent if _local(each) == name)
    return found


def _local(element: ET.Element) -> str:
    """Return an element's name without its namespace, of which there are several versions."""
    return element.tag.rpartition("}")[2]
