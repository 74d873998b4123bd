"""Publishes the ledger log as a folder that any static file server can serve (C2SP tlog-tiles), and
reads such a folder, or its address.

    checkpoint-0             the signed checkpoint of the empty log, written first: it says whose
                             folder this is
    tile/…                   tiles of hashes and bundles of entries (ledger/log/tiles.py); none is
                             ever written over
    batch/<N>.json           the record of each batch: the proof of its opening record; written
                             again when it has more witnesses
    keys/<N>                 the note of each change of the log's key (ledger/log/keys.py); none is
                             ever written over
    published.json           for the next run: which records it has to look at again
    checkpoint               the newest signed checkpoint, written last: all that it promises is
                             there, durably

Every file gets its name durably and at once. A crash before the checkpoint leaves files that nobody
was told of; the next run finds them and goes on. A run reads and writes what is new, and what is
still incomplete: not the whole folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from witnesstree.anchor.http import Http, place
from witnesstree.ledger.audit.published import (
    CHECKPOINT,
    FIRST_CHECKPOINT,
    KEYS,
    batch_path,
    key_path,
    read_checkpoint,
)
from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    Unreachable,
)
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.base.way import require_own_way
from witnesstree.ledger.log.cosignature import (
    CosignerKey,
    append_cosignatures,
    check_cosignatures,
    is_cosignature,
    is_timely,
    time_of,
)
from witnesstree.ledger.log.keys import judge_signer
from witnesstree.ledger.log.log import log_root
from witnesstree.ledger.log.note import MAX_NOTE, format_signature, parse_checkpoint, parse_note
from witnesstree.ledger.log.opening import opening_digest
from witnesstree.ledger.log.tiles import (
    ENTRIES,
    WIDTH,
    Fetch,
    Tile,
    added_tiles,
    format_bundle,
    format_tile_path,
    tile_hashes,
)
from witnesstree.ledger.proof.proof import MAX_PROOF, Proof, format_proof, parse_proof
from witnesstree.ledger.store.disk import storage_errors, sync_folder, write_file
from witnesstree.ledger.work.lookup import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from witnesstree.ledger.store.metadata import Transaction
    from witnesstree.ledger.work.sealing import Ledger

TIMEOUT = 30.0
"""Seconds for one exchange with a server of static files."""

PATIENCE = 60.0
"""Seconds to wait for another process that publishes the same ledger."""

STATE = "published.json"
"""What a run tells the next one. Without it, every record of the folder is looked at again."""
STATE_FORMAT = "witnesstree-published/1"
MAX_STATE = 16 * 2**20
"""Bytes in it: 1.5 million batches that wait for witnesses."""

MAX_FETCHED = 2**30
"""Bytes that are fetched from one published log in one run: 30,000 batches with a token and an
anchor each."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a run did: the log's size before and after, and how many files it wrote, the checkpoint
    left out.
    """

    old: int
    new: int
    tiles: int
    records: int


# Writing


def publish(
    ledger: Ledger, folder: Path, advance: Callable[[int], None] = lambda _step: None
) -> Published:
    """Bring `folder` up to the ledger's newest checkpoint.

    On return all of it is durable. `advance` is called with 1 for each batch.

    Raises InvalidInput if the folder holds something else, Conflict if it holds a longer or another
    history of this log, or another process publishes; StorageFailure if the disk refuses.
    """
    with ledger.home.lock("publish", PATIENCE):
        ledger.require_newest()
        take_over_cosignatures(ledger)
        with ledger.metadata.read() as transaction:
            return _publish(ledger, transaction, folder, advance)


def _publish(
    ledger: Ledger, transaction: Transaction, folder: Path, advance: Callable[[int], None]
) -> Published:
    note = transaction.checkpoint()
    new = parse_checkpoint(parse_note(note).text).size
    old = _published_size(ledger, transaction, folder)
    before = _read_state(folder)
    # The last checkpoint promises these full tiles, so nobody needs what they began as.
    for tile in (tile for tile in added_tiles(min(before.swept, old), old) if tile.width == WIDTH):
        _remove_partial(folder / f"{format_tile_path(tile)}.p")
    _write_new(folder / FIRST_CHECKPOINT, transaction.checkpoint(0).encode())
    tiles = sum(
        [
            _write_new(folder / format_tile_path(tile), content)
            for tile, content in _contents(transaction, old, new)
        ]
    )
    # What an earlier run wrote beyond its checkpoint may be another history's, where the ledger was
    # restored from a backup.
    seen = min(before.size, old)
    looked_at = [*(sequence for sequence in before.waiting if sequence < seen), *range(seen, new)]
    advance(new - len(looked_at))
    waiting = sorted({job.sequence for job in transaction.unfinished_jobs()})
    records = 0
    for sequence in looked_at:
        records += _write_record(ledger, transaction, folder / batch_path(sequence), sequence)
        advance(1)
    for number, change in enumerate(transaction.key_notes(), 1):
        _write_new(folder / key_path(number), change.encode())
    # Written before the checkpoint: it speaks of records only, and these are on disk.
    _write_if_other(folder / STATE, _format_state(_State(new, old - old % WIDTH, tuple(waiting))))
    # Remembered before anybody can see it: a crash in between loses nothing.
    ledger.home.note_published(folder)
    # From here on the folder is the log of the new size. Everything that this checkpoint promises
    # is on disk.
    _write_if_other(folder / CHECKPOINT, with_cosignatures(transaction, note).encode())
    return Published(old, new, tiles, records)


def _published_size(ledger: Ledger, transaction: Transaction, folder: Path) -> int:
    """Return the size of the log in `folder`, which is 0 where none was published yet.

    Raises as `publish` does.
    """
    folder = folder.absolute()
    _make_folder(folder)
    with storage_errors(folder):
        names = {path.name for path in folder.iterdir()}
    key, changes, fetch = (
        ledger.home.verifier_key(),
        ledger.key_changes(transaction),
        fetching_from_folder(folder),
    )
    if CHECKPOINT not in names:
        if (
            FIRST_CHECKPOINT in names
            and fetch(FIRST_CHECKPOINT, MAX_NOTE) == transaction.checkpoint(0).encode()
        ):
            return 0
        # What a crash left of the very first file has a name that begins with a dot.
        if not all(name.startswith(f".{FIRST_CHECKPOINT}.") for name in names):
            raise InvalidInput("folder-holds-no-log", folder=folder)
        return 0
    try:
        note = read_checkpoint(fetch)
        signer = judge_signer(note, [key], changes)
    except (InvalidInput, BadAnswer) as error:
        raise InvalidInput("file-no-checkpoint", path=folder / CHECKPOINT, error=error) from error
    found = parse_checkpoint(parse_note(note).text)
    if not signer.is_expected:
        raise InvalidInput("folder-of-another-log", folder=folder, reason=signer.reason)
    size = transaction.batch_count()
    if found.size > size:
        raise Conflict("published-log-longer", folder=folder, published=found.size, size=size)
    if found.root != log_root(found.size, transaction.log_node):
        raise Conflict("published-log-forks", folder=folder, size=found.size)
    return found.size


def _contents(transaction: Transaction, old: int, new: int) -> Iterator[tuple[Tile, bytes]]:
    for tile in added_tiles(old, new):
        if tile.level == ENTRIES:
            first = tile.index * WIDTH
            batches = [transaction.batch(sequence) for sequence in range(first, first + tile.width)]
            yield tile, format_bundle([batch.statement.encode() for batch in batches if batch])
        else:
            yield tile, tile_hashes(tile, transaction.log_node)


def _write_record(ledger: Ledger, transaction: Transaction, path: Path, sequence: int) -> bool:
    """Publish the record of a batch, unless one with as many witnesses is there.

    Return whether it was written.
    """
    witnesses = len(transaction.tokens(sequence)), len(transaction.anchors(sequence))
    there = _record_at(path)
    if there and (len(there.tokens), len(there.anchors)) == witnesses:
        return False
    digest = opening_digest(ledger.batch(sequence).opening)
    proof = ledger.proof_of(digest, Entry(sequence, 0, is_sealed=True))
    assert proof.log
    # Opening records name the SHA-256 of what the ledger signed: without cosignatures, which come
    # later.
    log = replace(proof.log, checkpoint=transaction.checkpoint(proof.log.index + 1))
    _make_folder(path.parent)
    write_file(path, format_proof(replace(proof, log=log)))
    return True


def _record_at(path: Path) -> Proof | None:
    try:
        return parse_proof(path.read_bytes()[: MAX_PROOF + 1])
    except (OSError, InvalidInput):
        # It is written again.
        return None


def _write_new(path: Path, content: bytes) -> bool:
    """Write a file that never changes, unless it is there, and return whether it was written.

    Raises Conflict if it has other bytes.
    """
    if _holds(path, content):
        return False
    if path.exists():
        raise Conflict("published-file-differs", path=path)
    _make_folder(path.parent)
    write_file(path, content)
    return True


def _make_folder(folder: Path) -> None:
    """Make a folder with those above it, durably.

    Raises InvalidInput if one of them is a file, StorageFailure if the disk refuses.
    """
    require_own_way(folder / CHECKPOINT)
    if folder.is_dir():
        return
    if os.path.lexists(folder):
        raise InvalidInput("not-a-folder", path=folder)
    _make_folder(folder.parent)
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _write_if_other(path: Path, content: bytes) -> None:
    if not _holds(path, content):
        write_file(path, content)


def _remove_partial(folder: Path) -> None:
    """Remove the partial tiles that a full one has replaced (C2SP tlog-tiles, "Partial Tiles").

    A crash leaves some, which the next run finds. A link in the folder's place is not followed.
    """
    require_own_way(folder)
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        with storage_errors(folder):
            for name in os.listdir(opened):  # noqa: PTH208 - of a descriptor
                os.unlink(name, dir_fd=opened)
            folder.rmdir()
    finally:
        os.close(opened)


# What a run tells the next one


@dataclass(frozen=True, slots=True)
class _State:
    """The records of all batches below `size` are complete, but for those of `waiting`; no partial
    tiles are left of tiles full at `swept`.
    """

    size: int = 0
    swept: int = 0
    waiting: tuple[int, ...] = ()


def _format_state(state: _State) -> bytes:
    members: dict[str, Any] = {
        "format": STATE_FORMAT,
        "size": state.size,
        "swept": state.swept,
        "waiting": list(state.waiting),
    }
    return rfc8785.dumps(members) + b"\n"


def _read_state(folder: Path) -> _State:
    """Return what the last run told; where it told nothing that can be read, everything is looked
    at.
    """
    try:
        value = load(STATE, fetching_from_folder(folder)(STATE, MAX_STATE))
        value.members("format size swept waiting")
        if value.member("format") != STATE_FORMAT:
            value["format"].wrong(repr(STATE_FORMAT))
        waiting = value["waiting"].list(lambda sequence: sequence.integer(), MAX_STATE)
        return _State(value["size"].integer(), value["swept"].integer(), waiting)
    except (NotFound, BadAnswer, InvalidInput):
        return _State()


# Cosignatures


def take_over_cosignatures(ledger: Ledger) -> None:
    """Take the cosignatures that older versions kept as files, home/log/checkpoint-<size>, into the
    metadata, once; the files stay.

    A file that is no checkpoint of this log counts for nothing. Whether the witnesses' signatures
    verify is for those to find who know their keys.
    """
    folder = ledger.home.folder / "log"
    with ledger.metadata.read() as transaction:
        is_done = not folder.is_dir() or bool(transaction.cosigned_sizes())
    if is_done:
        return
    fetch = fetching_from_folder(folder)
    with ledger.metadata.write() as transaction:
        for path in sorted(folder.glob("checkpoint-*")):
            try:
                note = read_checkpoint(fetch, path.name)
                _add_cosignatures(transaction, note)
            except (InvalidInput, BadAnswer, NotFound, Damaged):
                continue


def _add_cosignatures(
    transaction: Transaction, note: str, keys: Sequence[CosignerKey] = ()
) -> None:
    """Record what has the form of a cosignature under the checkpoint in `note`, and a time that it
    can have.

    Of two by one key, the first is kept, unless it is worth nothing: older versions took any time.

    Raises InvalidInput if it is none of this log, Damaged if what is stored contradicts itself.
    """
    latest = (datetime.now(UTC) + SKEW).timestamp()
    size = parse_checkpoint(parse_note(note).text).size
    own, both = parse_note(transaction.checkpoint(size)), parse_note(note)
    if own.text != both.text:
        raise InvalidInput("checkpoint-not-signed-here")
    for signature in both.signatures:
        line = format_signature(signature)
        if (
            signature in own.signatures
            or not is_cosignature(signature)
            or not is_timely(time_of(line), latest)
        ):
            continue
        place = size, signature.name, signature.key_id
        if not transaction.add_cosignature(*place, line) and not _is_good(
            _kept(transaction, *place), own.text, keys, latest
        ):
            transaction.add_cosignature(*place, line, replaces=True)


def _kept(transaction: Transaction, size: int, name: str, key_id: bytes) -> str:
    """Return the line that is kept of a cosigner, "" where none can be read."""
    for line in transaction.cosignatures(size):
        try:
            (signature,) = parse_note(f"-\n\n{line}").signatures
        except (InvalidInput, ValueError):
            continue
        if (signature.name, signature.key_id) == (name, key_id):
            return line
    return ""


def _is_good(line: str, text: str, keys: Sequence[CosignerKey], latest: float) -> bool:
    """Whether a kept line is worth keeping: it has a time that it can have, and verifies, if its
    key is among `keys`.
    """
    try:
        (signature,) = parse_note(f"{text}\n{line}").signatures
        if not is_timely(time_of(line), latest):
            return False
    except (InvalidInput, ValueError):
        return False
    own = [key for key in keys if (key.name, key.key_id) == (signature.name, signature.key_id)]
    return not own or bool(check_cosignatures(f"{text}\n{line}", own))


def keep_cosignatures(
    ledger: Ledger, note: str, folder: Path | None, keys: Sequence[CosignerKey] = ()
) -> str:
    """Keep the cosignatures of a checkpoint, put it in place of the same one in a published
    `folder`, if there is one, and return it as it is kept.

    Who signed, the caller has seen to. Of two cosignatures by one key, the first is kept, unless it
    tells no time, or one that is not here yet, or is not by that one of `keys`.

    Raises Conflict if the folder holds another checkpoint, StorageFailure if the disk refuses.
    """
    with ledger.metadata.write() as transaction:
        _add_cosignatures(transaction, note, keys)
    with ledger.metadata.read() as transaction:
        kept = with_cosignatures(
            transaction, transaction.checkpoint(parse_checkpoint(parse_note(note).text).size)
        )
    if folder is None:
        return kept
    require_own_way(folder / CHECKPOINT)
    published = fetching_from_folder(folder)(CHECKPOINT, MAX_NOTE)
    if parse_note(published).text != parse_note(kept).text:
        raise Conflict("published-checkpoint-older", folder=folder)
    write_file(folder / CHECKPOINT, kept.encode())
    return kept


def with_cosignatures(transaction: Transaction, note: str) -> str:
    """Return the checkpoint that the ledger signed with the cosignatures that are kept for it, as
    many as a note has room for.
    """
    return append_cosignatures(
        note, transaction.cosignatures(parse_checkpoint(parse_note(note).text).size)
    )


# Reading


def fetching_from_folder(folder: Path) -> Fetch:
    """Return what reads a published log in a folder.

    It raises NotFound for what is not there, BadAnswer for what is too large or unreadable.
    """

    def fetch(path: str, limit: int) -> bytes:
        try:
            with (folder / path).open("rb") as file:
                content = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound("published-file-missing", path=folder / path) from error
        except OSError as error:
            raise BadAnswer("published-file-unreadable", path=folder / path, error=error) from error
        if len(content) > limit:
            raise BadAnswer("published-file-too-large", path=folder / path, most=limit)
        return content

    return fetch


def fetching_from_address(http: Http, url: str) -> Fetch:
    """Return what reads a published log at an address: MAX_FETCHED bytes in all.

    It raises NotFound for what is not there, BadAnswer for what is too large or no answer,
    Unreachable where there is none.
    """
    fetched = 0

    def fetch(path: str, limit: int) -> bytes:
        nonlocal fetched
        answer = http.get(f"{url.rstrip('/')}/{path}", limit=limit)
        if answer.status in {404, 410}:
            raise NotFound("server-lacks-path", place=place(url), path=path)
        if answer.status in {408, 429} or answer.status >= 500:
            raise Unreachable("server-is-busy", place=place(url), status=answer.status)
        if answer.status != 200:
            raise BadAnswer(
                "server-answers-status-for-path",
                place=place(url),
                status=answer.status,
                path=path,
            )
        _require_no_page(answer.body, path, url)
        fetched += len(answer.body)
        if fetched > MAX_FETCHED:
            raise BadAnswer("fetched-too-much", place=place(url), most=MAX_FETCHED)
        return answer.body

    return fetch


def _require_no_page(content: bytes, path: str, url: str) -> None:
    """Raise BadAnswer if a server gave a page for what is not there, as those of web applications
    do: it is no part of any log, and proves nothing of its owner.
    """
    is_page = content.lstrip()[:16].lower().startswith((b"<!doctype", b"<html"))
    if path in {CHECKPOINT, FIRST_CHECKPOINT} or path.startswith(KEYS):
        is_page = not _is_note(content)
    if is_page:
        begins = ascii(content[:40].decode(errors="replace"))
        raise BadAnswer("server-answers-page", place=place(url), path=path, begins=begins)


def _is_note(content: bytes) -> bool:
    try:
        parse_note(content)
    except InvalidInput:
        return False
    return True
