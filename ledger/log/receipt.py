"""Receipts: what a ledger signs the moment it has taken entries, before they are sealed.

A receipt is a note that a receipt key signed under the ledger's name:

    witnesstree-receipt/1
    ledger.example/court                             origin: the ledger's name
    1024                                             number of the submission in this ledger
    2026-12-01T03:48:55Z                             taken
    2026-12-01T04:48:55Z                             due: sealed by then, or the promise is broken
    3                                                how many entries it is for
    Kx2oT0kPX0X8Yl4yYw1m8Y8dYJ1hQ3bN9mJ0c6xw5rE=     root of the tree over them (RFC 4998, 4.2), in
                                                     the order of the submission; one is its own
    7 1044 3                                         batch, position of the first, and how many
                                                     follow on each other; where known: some lines

One note is enough for a million entries of one submitter. Who sent one of them alone gets its
position among them, counted from 0, and the path from its digest to the root: that is its
submission, too, whose number is the note's and the position together.

The receipt key signs nothing else, and the log's key vouches for it in a note:

    witnesstree-receipt-key/1
    ledger.example/court                             origin
    ledger.example/court+8b1f0c2e+Aeb3…              the receipt key, as C2SP's vkey
    2026-12-01T03:00:00Z                             since

The parsers are total: any text gives a value or InvalidInput. They take exactly what the writers
write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.log.note import (
    VerifierKey,
    format_base64,
    format_verifier_key,
    open_note,
    parse_base64,
    parse_decimal,
    parse_note,
    parse_text,
    parse_verifier_key,
    require_name,
    sign_note,
)
from witnesstree.ledger.tree.tree import (
    MAX_HEIGHT,
    NODE,
    levels_above,
    root_from_path,
    root_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from witnesstree.ledger.base.strictjson import Reader

FORMAT: Final = "witnesstree-receipt/1"
KEY: Final = "witnesstree-receipt-key/1"

MAX_RECEIPT: Final = 64 * 1024
"""Bytes of a receipt; some 1,500 are usual."""
MAX_PLACES: Final = 256
"""Stretches of batches over which one submission may go."""
_FIXED: Final = 7
_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Place:
    """`count` entries that follow on each other in a batch, from position `first` on."""

    batch: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Promise:
    """What a receipt says: these `count` entries, under this 32-byte `root`, were taken, and are
    sealed by `due`. Not signed by itself.

    Raises InvalidInput for values that no receipt can state.
    """

    origin: str
    submission: int
    taken: datetime
    due: datetime
    count: int
    root: bytes
    places: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        require_name(self.origin)
        if self.count < 1 or len(self.root) != NODE or self.due < self.taken:
            raise InvalidInput("receipt-values-wrong", count=self.count)
        counts = [place.count for place in self.places]
        if counts and (min(counts) < 1 or sum(counts) != self.count):
            raise InvalidInput("receipt-places-differ", count=self.count)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a promise: its position among them, and the path from its digest to the root."""

    position: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A promise in a signed `note`, the note in which the log's key vouches for the `key` that
    signed it, and the one `entry` that it was given for, None where that is all.
    """

    promise: Promise
    note: str
    key: str
    entry: Entry | None = None


# Texts


def format_promise(promise: Promise) -> str:
    """Return the text of a receipt's note, not signed. Matches `parse_promise`."""
    lines = (
        FORMAT,
        promise.origin,
        str(promise.submission),
        format_time(promise.taken),
        format_time(promise.due),
        str(promise.count),
        format_base64(promise.root),
        *(f"{place.batch} {place.first} {place.count}" for place in promise.places),
    )
    return "".join(line + "\n" for line in lines)


def parse_promise(text: str) -> Promise:
    """Return what the text of a receipt's note says; whether it is signed is `check_receipt`'s
    question.

    Raises InvalidInput for any text that `format_promise` would not write.
    """
    lines = _lines(text, FORMAT, _FIXED, MAX_PLACES)
    _, origin, submission, taken, due, count, root, *places = lines
    return Promise(
        origin,
        parse_decimal(submission),
        parse_time(taken),
        parse_time(due),
        parse_decimal(count),
        parse_base64(root),
        tuple(_parse_place(line) for line in places),
    )


def _parse_place(line: str) -> Place:
    numbers = line.split(" ")
    if len(numbers) != 3:
        raise InvalidInput("receipt-expected", format=FORMAT)
    return Place(*map(parse_decimal, numbers))


def _lines(text: str, form: str, fixed: int, more: int = 0) -> list[str]:
    lines = parse_text(text, MAX_RECEIPT).split("\n")
    if lines.pop() or lines[:1] != [form] or not fixed <= len(lines) <= fixed + more:
        raise InvalidInput("receipt-expected", format=form)
    return lines


# The key that signs them


def vouch_for_key(key: VerifierKey, since: datetime, log_key: Ed25519PrivateKey) -> str:
    """Return the note in which the log's key vouches for a receipt key, from a time on."""
    lines = (KEY, key.name, format_verifier_key(key), format_time(since))
    return sign_note("".join(line + "\n" for line in lines), key.name, log_key)


def vouched_key(note: str, log_keys: Sequence[VerifierKey]) -> VerifierKey | None:
    """Return the receipt key that a note vouches for, None if none of `log_keys` signed it or it is
    for another ledger.

    Raises InvalidInput if it is no such note.
    """
    _, origin, encoded, since = _lines(parse_note(note).text, KEY, 4)
    parse_time(since)
    key = parse_verifier_key(encoded)
    is_signed = open_note(note, log_keys) is not None
    names = {origin, key.name, *(each.name for each in log_keys)}
    return key if is_signed and len(names) == 1 else None


# Receipts


def give_receipt(promise: Promise, receipt_key: Ed25519PrivateKey, vouched: str) -> Receipt:
    """Return the receipt for all entries of a promise; `vouched` is the note that vouches for the
    key.
    """
    note = sign_note(format_promise(promise), promise.origin, receipt_key)
    return Receipt(promise, note, vouched)


def tree_of(digests: bytes) -> tuple[bytes, Iterator[Entry]]:
    """Return the root over packed digests, and position and path of each of them."""
    levels = [digests, *levels_above(digests)]
    nodes = [[level[at : at + NODE] for at in range(0, len(level), NODE)] for level in levels[:-1]]

    def path(position: int) -> Iterator[bytes]:
        for level in nodes:
            sibling = position ^ 1
            if sibling < len(level):
                yield level[sibling]
            position >>= 1

    return levels[-1], (
        Entry(position, tuple(path(position))) for position in range(len(digests) // NODE)
    )


def check_receipt(receipt: Receipt, log_keys: Sequence[VerifierKey]) -> Promise | None:
    """Return what a receipt promises, None unless a key for which one of `log_keys` vouches signed
    it.

    `log_keys` are all keys that one log ever had. Whether it is for certain digests is
    `is_for`'s question. Raises InvalidInput if its key note is none.
    """
    key = vouched_key(receipt.key, log_keys)
    if key is None or receipt.promise.origin != key.name or not open_note(receipt.note, [key]):
        return None
    return receipt.promise


def is_for(receipt: Receipt, digests: bytes) -> bool:
    """Whether a receipt is for these packed digests, in this order: all of its entries, or its one
    entry. Raises InvalidInput if they are no whole digests, or none.
    """
    promise, entry = receipt.promise, receipt.entry
    if entry:
        if len(digests) != NODE:
            return False
        try:
            root = root_from_path(digests, entry.position, promise.count, entry.path)
        except InvalidInput:
            return False
    else:
        if len(digests) != promise.count * NODE:
            return False
        root = root_of(digests)
    return root == promise.root


def format_receipt(receipt: Receipt) -> bytes:
    """Return a receipt as JSON (RFC 8785). Matches `parse_receipt`."""
    return format_receipts(receipt, [receipt.entry])[0]


def format_receipts(receipt: Receipt, entries: Sequence[Entry | None]) -> list[bytes]:
    """Return the receipts under one note, one for each of `entries`, as `format_receipt` does."""
    promise = receipt.promise
    places = ",".join(
        f'{{"batch":{place.batch},"count":{place.count},"first":{place.first}}}'
        for place in promise.places
    )
    signature = receipt.note.rpartition("\n\n")[2]
    # Written by hand, because it is done tens of thousands of times a second; the keys are sorted.
    head = f'{{"count":{promise.count},"due":"{format_time(promise.due)}",'.encode()
    tail = (
        f'"format":"{FORMAT}","key":{_quoted(receipt.key)},"ledger":{_quoted(promise.origin)},'
        f'"places":[{places}],"root":"{promise.root.hex()}","signature":{_quoted(signature)},'
        f'"submission":{promise.submission},"taken":"{format_time(promise.taken)}"}}'
    ).encode()
    quoted: dict[bytes, str] = {}
    return [head + _entry(entry, quoted) + tail if entry else head + tail for entry in entries]


def _entry(entry: Entry, quoted: dict[bytes, str]) -> bytes:
    """Return an entry as a member; most hashes of its path are in other paths, too."""
    for node in entry.path:
        if node not in quoted:
            quoted[node] = f'"{format_base64(node)}"'
    path = ",".join([quoted[node] for node in entry.path])
    return f'"entry":{{"path":[{path}],"position":{entry.position}}},'.encode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def parse_receipt(content: bytes) -> Receipt:
    """Return the receipt in `content`, as JSON or as text (`format_text`); whether it is signed is
    `check_receipt`'s question.

    Raises InvalidInput for anything that is none.
    """
    if len(content) > MAX_RECEIPT:
        raise InvalidInput("receipt-too-long", most=MAX_RECEIPT, found=len(content))
    if content.startswith(FORMAT.encode()):
        return _parse_text(content)
    value = load("receipt", content)
    value.demand_format(FORMAT)
    value.members("format ledger submission taken due count root places signature key", "entry")
    promise = Promise(
        value["ledger"].text(255),
        value["submission"].integer(),
        parse_time(value["taken"].text(40)),
        parse_time(value["due"].text(40)),
        value["count"].integer(),
        value["root"].hex(NODE),
        value["places"].list(_place, MAX_PLACES),
    )
    return Receipt(
        promise,
        f"{format_promise(promise)}\n{value['signature'].text(MAX_RECEIPT)}",
        value["key"].text(MAX_RECEIPT),
        value.optional("entry", _read_entry),
    )


def _place(value: Reader) -> Place:
    value.members("batch first count")
    return Place(value["batch"].integer(), value["first"].integer(), value["count"].integer())


def _read_entry(value: Reader) -> Entry:
    value.members("position path")
    return Entry(
        value["position"].integer(),
        value["path"].list(lambda node: _node(node.text(64)), MAX_HEIGHT),
    )


def format_text(receipt: Receipt) -> bytes:
    """Return a receipt as text, for people and for tools that know signed notes: the note; "all" or
    position and path; the key note; with an empty line between them. Matches `parse_receipt`.
    """
    entry = receipt.entry
    which = [str(entry.position), *map(format_base64, entry.path)] if entry else [_ALL]
    return "\n".join((receipt.note, "\n".join(which) + "\n", receipt.key)).encode()


def _parse_text(content: bytes) -> Receipt:
    # A note has an empty line of its own, before its signatures.
    parts = parse_text(content, MAX_RECEIPT).split("\n\n")
    if len(parts) != 5:
        raise InvalidInput("receipt-expected", format=FORMAT)
    text, signatures, which, key_text, key_signatures = parts
    first, *path = which.split("\n")
    if len(path) > MAX_HEIGHT or (first == _ALL and path):
        raise InvalidInput("receipt-expected", format=FORMAT)
    return Receipt(
        parse_promise(text + "\n"),
        f"{text}\n\n{signatures}\n",
        f"{key_text}\n\n{key_signatures}",
        None if first == _ALL else Entry(parse_decimal(first), tuple(map(_node, path))),
    )


def _node(text: str) -> bytes:
    node = parse_base64(text)
    if len(node) != NODE:
        raise InvalidInput("receipt-expected", format=FORMAT)
    return node
