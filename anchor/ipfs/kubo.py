"""Kubo, the reference IPFS node, through its RPC API (https://docs.ipfs.tech/reference/kubo/rpc/).
No other module knows that API.

Kubo is not believed. What it says that it stored is compared with a CID computed here, from the
bytes as they were sent; what it hands out is compared, block by block, with the CIDs that were
asked for. So nothing depends on errors that come late, in a trailer behind a status of 200: an
answer is taken for what it holds, never for how it ended.

Two things are Kubo's word alone: that a pinned file stays (its operator may unpin it), and that it
is on disk (its own `sync` setting).
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from typing_extensions import override

from witnesstree.anchor.http import Http, place
from witnesstree.anchor.ipfs.car import format_block, format_header
from witnesstree.anchor.ipfs.cid import RAW, Cid, cid_of, parse_cid
from witnesstree.anchor.ipfs.local import chunks_of, opened, written
from witnesstree.anchor.ipfs.unixfs import CHUNK, MAX_BLOCK, NODE_LINKS, store_chunks, walk
from witnesstree.ledger.base.errors import (
    BadAnswer,
    InvalidInput,
    NotFound,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.ports import FileStore
from witnesstree.ledger.base.strictjson import Reader, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from witnesstree.anchor.http import Answer

MAX_ANSWER = 256 * 1024
"""Bytes of an answer in JSON: the longest lists a node's addresses or its pinning services, some
hundred lines."""
MAX_TEXT = 1024
"""Characters of a name in an answer: a CID, a version, a service."""
MAX_SERVICES = 1000
"""Pinning services that a node may name."""
QUEUED = 8
"""Chunks that may be sent before they are hashed: hashing is the faster of the two."""

# What Kubo's own settings could make otherwise, and the CID with it.
_FORM = {
    "cid-version": "1",
    "hash": "sha2-256",
    "raw-leaves": "true",
    "chunker": f"size-{CHUNK}",
    "max-file-links": f"{NODE_LINKS}",
    "trickle": "false",
    "inline": "false",
    "nocopy": "false",
    "wrap-with-directory": "false",
}
_STATUSES = {"queued", "pinning", "pinned", "failed"}
# Kubo gives every error status 500 and code 0; only its words tell them apart.
_WORDS: dict[str, type[WitnesstreeError]] = {
    "is not pinned": NotFound,
    "not found": NotFound,
    "could not find": NotFound,
    "service not known": InvalidInput,
}


@dataclass(frozen=True, slots=True)
class KuboHealth:
    """How a node is: `version` of Kubo, bytes in its repository and how many it may hold, and the
    pinning services that it knows.

    A node that is not online hands its files to nobody.
    """

    version: str
    is_online: bool
    stored: int
    capacity: int
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemotePin:
    """What a pinning service says of a file: queued, pinning, pinned or failed."""

    service: str
    status: str


class KuboStore(FileStore):
    """Files on a Kubo node, pinned there.

    A file that is read or added takes constant memory. Nothing is encrypted here. Whatever the node
    does, every call ends: an exchange takes `timeout` seconds at most, an upload as long as the
    node is never silent for `timeout` seconds.
    """

    def __init__(self, url: str, timeout: float) -> None:
        """Use the node whose RPC API is at `url`, which may hold user:password@.

        Raises InvalidInput if it is no such address.
        """
        if "?" in url or "#" in url:
            raise InvalidInput("kubo-address-too-long", place=place(url))
        self._url = url.rstrip("/")
        self._place = place(url)
        self._timeout = timeout
        self._http = Http(timeout=timeout)

    def __repr__(self) -> str:
        """Return the place alone: the address may hold a password."""
        return f"KuboStore({self._place})"

    @property
    def notice(self) -> Message:
        """What a person should know before files go there."""
        return message("ipfs-is-a-node", place=self._place)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @override
    def add(self, file: Path) -> str:
        """Store the file, pin it, and return its CIDv1 as text, which was computed here and is
        Kubo's as well.

        Whatever is raised, nothing is claimed to be stored; adding the file again is safe. Blocks
        that a broken-off upload left on the node are pinned by nothing, so its garbage collection
        takes them. That blocks are synced to disk is a matter of the node's settings (its default).

        Raises NotFound if there is no such file, InvalidInput if it cannot be read, is no regular
        file or changed meanwhile, StorageFailure if the disk refuses, Unreachable, and BadAnswer if
        the node names another CID or does not pin the file.
        """
        with opened(file) as stream:
            with _hashing() as (note, found):
                content = self._upload(
                    "add",
                    _noting(chunks_of(file, stream), note),
                    {**_FORM, "pin": "true", "progress": "false"},
                )
            cid = str(found.result())
        last = self._objects(content)[-1]
        with _believable():
            answered = last["Hash"].text(MAX_TEXT)
        if answered != cid:
            raise BadAnswer(
                "kubo-names-another-cid",
                place=self._place,
                path=file,
                found=ascii(answered[:70]),
                cid=str(cid),
            )
        if not self.holds(cid):
            raise BadAnswer("kubo-keeps-it-not", place=self._place, path=file, cid=str(cid))
        return cid

    @override
    def read(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out`, which is replaced; `out` is whole and durable, or
        as it was before.

        A node that is online asks others for what it lacks. Raises InvalidInput if `cid` is no CID
        of ours, names no file of our form, or `out` is not a place to write to; NotFound if a block
        is not on a node that is offline, Unreachable if nobody supplies it in time; BadAnswer if a
        block is not what its name says; StorageFailure if the disk refuses.
        """
        root = parse_cid(cid)
        with written(out) as stream:
            for part, block in walk(root, self._block):
                if part.codec == RAW:
                    stream.write(block)

    def export_car(self, cid: str, out: Path) -> None:
        """Write the file named by `cid` to `out` as a CARv1, as the embedded store does.

        Raises what `read` raises.
        """
        root = parse_cid(cid)
        with written(out) as stream:
            stream.write(format_header(root))
            for part, block in walk(root, self._block, once=True):
                stream.write(format_block(part, block))

    def holds(self, cid: str) -> bool:
        """Tell whether the node says that it keeps the whole file named by `cid`: that it is pinned
        with all below it.

        Raises InvalidInput if `cid` is no CID of ours, Unreachable, BadAnswer.
        """
        try:
            answer = self._ask("pin/ls", {"arg": str(parse_cid(cid)), "type": "recursive"})
        except NotFound:
            return False
        with _believable():
            return answer["Keys"][cid]["Type"].text(MAX_TEXT) == "recursive"

    def check(self) -> KuboHealth:
        """Return how the node is, after a block of 32 random bytes was written there, read back and
        removed.

        Raises InvalidInput if the node does not allow this to us, Unreachable, BadAnswer.
        """
        version, identity, repository = (
            self._ask("version"),
            self._ask("id"),
            self._ask("repo/stat", {"size-only": "true"}),
        )
        services = self._ask("pin/remote/service/ls")
        with _believable():
            health = KuboHealth(
                version=version["Version"].text(MAX_TEXT),
                is_online=bool(identity.member("Addresses")),
                stored=repository["RepoSize"].integer(),
                capacity=repository["StorageMax"].integer(most=2**64),
                services=services["RemoteServices"].list(
                    lambda service: service["Service"].text(MAX_TEXT), MAX_SERVICES
                ),
            )
        self._rehearse()
        return health

    def pin_remotely(self, cid: str, services: Sequence[str]) -> tuple[RemotePin, ...]:
        """Ask each of these pinning services, by the names that Kubo knows, to keep `cid`, and
        return what they say of it.

        A service that has it, or is about to, is not asked again. None is waited for: ask once more
        to see how it went.

        Raises InvalidInput if `cid` is no CID of ours or Kubo knows no such service, Unreachable,
        BadAnswer.
        """
        parse_cid(cid)
        return tuple(self._pin_at(service, cid) for service in services)

    def _pin_at(self, service: str, cid: str) -> RemotePin:
        params = {"service": service, "cid": cid, "status": ["queued", "pinning", "pinned"]}
        known = [
            self._status(answer, cid)
            for answer in self._objects(self._call("pin/remote/ls", params), least=0)
        ]
        if known:
            return RemotePin(service, "pinned" if "pinned" in known else known[0])
        answer = self._ask("pin/remote/add", {"arg": cid, "service": service, "background": "true"})
        return RemotePin(service, self._status(answer, cid))

    def _status(self, answer: Reader, cid: str) -> str:
        """Return the status that a pinning service gives to `cid`.

        Raises BadAnswer if the answer is about another one, or has no such status.
        """
        with _believable():
            if answer.member("Cid") != cid:
                answer["Cid"].wrong(cid)
            status = answer["Status"].text(MAX_TEXT)
            if status not in _STATUSES:
                answer["Status"].wrong(" | ".join(sorted(_STATUSES)))
        return status

    def _rehearse(self) -> None:
        """Write a block, read it and remove it. Raises BadAnswer if it is not the same."""
        block = secrets.token_bytes(32)
        cid = cid_of(RAW, block)
        self._upload(
            "block/put", [block], {"cid-codec": "raw", "mhtype": "sha2-256", "pin": "false"}
        )
        self._block(cid)
        self._call("block/rm", {"arg": str(cid)})

    def _block(self, cid: Cid) -> bytes:
        """Return the bytes of a block, compared with its name."""
        # A node that is online would look for a missing block without end. It is told to give up
        # before we do, so that it can say why.
        params = {"arg": str(cid), "timeout": f"{self._timeout * 0.8:.3f}s"}
        try:
            block = self._call("block/get", params, MAX_BLOCK)
        except NotFound as error:
            raise NotFound("block-not-on-node", place=self._place, cid=str(cid)) from error
        if cid_of(cid.codec, block) != cid:
            raise BadAnswer("kubo-gives-other-bytes", place=self._place, cid=str(cid))
        return block

    def _ask(self, command: str, params: dict[str, str] | None = None) -> Reader:
        """Return the one JSON object that the node answers with."""
        first, *others = self._objects(self._call(command, params))
        if others:
            raise BadAnswer("kubo-answers-twice", place=self._place, command=command)
        return first

    def _call(
        self,
        command: str,
        params: Mapping[str, str | Sequence[str]] | None = None,
        limit: int = MAX_ANSWER,
    ) -> bytes:
        with self._reached():
            answer = self._http.post(
                self._address(command, params or {}),
                b"",
                content_type="application/octet-stream",
                limit=limit,
            )
        return self._accepted(answer)

    def _upload(self, command: str, chunks: Iterable[bytes], params: dict[str, str]) -> bytes:
        boundary = secrets.token_hex(16)
        with self._reached():
            answer = self._http.upload(
                self._address(command, params),
                _multipart(boundary, chunks),
                content_type=f"multipart/form-data; boundary={boundary}",
                limit=MAX_ANSWER,
            )
        return self._accepted(answer)

    def _address(self, command: str, params: Mapping[str, str | Sequence[str]]) -> str:
        return f"{self._url}/api/v0/{command}?{urlencode(params, doseq=True)}"

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            raise Unreachable("kubo-unreachable", error=error) from error

    def _accepted(self, answer: Answer) -> bytes:
        """Return the body of a success. Raises what another status means."""
        if answer.is_success:
            return answer.body
        if answer.status in {401, 403}:
            raise InvalidInput("kubo-forbids", place=self._place, status=answer.status)
        if answer.status == 500:
            self._objects(answer.body)
        if answer.status >= 500 or answer.status in {408, 429}:
            raise Unreachable("server-is-busy", place=self._place, status=answer.status)
        raise BadAnswer("not-kubo", place=self._place, status=answer.status)

    def _objects(self, content: bytes, least: int = 1) -> list[Reader]:
        """Return the JSON objects in an answer, one on each line.

        Raises BadAnswer if it is no such thing, Unreachable if there are less than `least`, and
        what the first error among them means.
        """
        with _believable():
            objects = [load("Kubo", line) for line in content.splitlines() if line.strip()]
            messages = [
                each["Message"].text(MAX_ANSWER)
                for each in objects
                if each.member("Type") == "error"
            ]
        if messages:
            raise self._meaning(messages[0])
        if len(objects) < least:
            raise Unreachable("kubo-broke-off", place=self._place)
        return objects

    def _meaning(self, text: str) -> WitnesstreeError:
        shown = "".join(character if character.isprintable() else " " for character in text[:300])
        kind = next((kind for words, kind in _WORDS.items() if words in text), Unreachable)
        return kind("kubo-says", place=self._place, text=shown)


@contextmanager
def _believable() -> Iterator[None]:
    """Turn InvalidInput about the form of an answer into BadAnswer."""
    try:
        yield
    except InvalidInput as error:
        raise BadAnswer("kubo-answer-wrong", error=error) from error


@contextmanager
def _hashing() -> Iterator[tuple[Callable[[bytes], None], Future[Cid]]]:
    """Give a function that takes a file's chunks, and their CID, which is there once the block has
    ended.

    In a thread, because both `store_chunks` and the connection fetch their chunks themselves.
    """
    chunks: Queue[bytes | None] = Queue(QUEUED)
    with ThreadPoolExecutor(1, thread_name_prefix="cid") as pool:
        cid = pool.submit(store_chunks, iter(chunks.get, None), lambda _cid, _block: None)
        try:
            yield chunks.put, cid
        finally:
            chunks.put(None)


def _noting(chunks: Iterable[bytes], note: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        note(chunk)
        yield chunk


def _multipart(boundary: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a form with one file (RFC 7578), whose name is told to nobody.

    It has no end if `chunks` raises.
    """
    yield (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file";'
        ' filename="file"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()
    )
    yield from chunks
    yield f"\r\n--{boundary}--\r\n".encode()
