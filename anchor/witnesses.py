"""Asks witnesses to cosign checkpoints (C2SP tlog-witness, add-checkpoint).

What they answer is believed only as far as their keys verify.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.anchor.http import Answer, Http, place
from witnesstree.ledger.base.errors import BadAnswer, Conflict, InvalidInput, NotFound, Unreachable
from witnesstree.ledger.log.cosignature import WitnessKey, add_cosignatures, check_cosignatures
from witnesstree.ledger.log.log import prove_consistency
from witnesstree.ledger.log.note import (
    MAX_NOTE,
    format_base64,
    parse_checkpoint,
    parse_decimal,
    parse_note,
)

if TYPE_CHECKING:
    from witnesstree.ledger.log.log import Read

TIMEOUT = 15.0
"""Seconds for one exchange with a witness; one that was asked before takes two exchanges."""

MAX_ATTEMPTS = 3
"""Requests to one witness: the first may have the wrong old size, and somebody else may have been
faster once."""

SIZE_TYPE = "text/x.tlog.size"
"""The media type of an answer that tells which size the witness has seen."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: the address before /add-checkpoint, and the key that it cosigns with."""

    url: str
    key: WitnessKey


def ask_witness(http: Http, witness: Witness, note: str, read: Read) -> str:
    """Return signature lines in which `witness` cosigns the checkpoint in `note`; `read` reads the
    log's hashes.

    Raises Conflict if the witness has seen a longer log, NotFound if it does not know this one,
    Unreachable if it does not answer, and BadAnswer if it refuses or its cosignature does not
    verify; a witness that has seen another history refuses.
    """
    size = parse_checkpoint(parse_note(note).text).size
    old = 0
    for _ in range(MAX_ATTEMPTS):
        path = prove_consistency(old, size, read) if old else []
        lines = [f"old {old}", *(format_base64(node) for node in path), "", note]
        body = "\n".join(lines).encode()
        answer = http.post(
            f"{witness.url.rstrip('/')}/add-checkpoint",
            body,
            content_type="text/plain; charset=utf-8",
            limit=MAX_NOTE,
        )
        seen = _seen_size(witness, answer)
        if seen is None:
            return _cosignatures(witness, note, answer)
        if seen > size:
            raise Conflict(
                f"{_named(witness)} has seen this log with {seen} entries, and this checkpoint has"
                f" {size}: which copy of the ledger is this?"
            )
        if seen == old:
            break
        old = seen
    raise BadAnswer(
        f"{_named(witness)} refuses: at {old} entries it has seen ANOTHER HISTORY of this log; keep"
        " both checkpoints, and find out who signed"
    )


def _seen_size(witness: Witness, answer: Answer) -> int | None:
    """Return the size that the witness has seen, where it says so instead of cosigning; None where
    it cosigned. Raises as `ask_witness` does.
    """
    name = _named(witness)
    if answer.status == 200:
        return None
    if answer.status == 409 and answer.content_type == SIZE_TYPE:
        try:
            return parse_decimal(answer.body.decode("ascii").removesuffix("\n"))
        except (UnicodeDecodeError, InvalidInput) as error:
            raise BadAnswer(f"{name} says no size where it should: {answer.body[:40]!r}") from error
    if answer.status == 404:
        raise NotFound(
            f"{name} does not know this log: ask whoever runs it to add its origin and key"
        )
    if answer.status == 403:
        raise BadAnswer(f"{name} knows this log under another key: ask whoever runs it")
    if answer.status in {409, 422}:
        raise BadAnswer(
            f"{name} refuses: it has seen ANOTHER HISTORY of this log; keep both checkpoints, and"
            " find out who signed"
        )
    if answer.status in {408, 429} or answer.status >= 500:
        raise Unreachable(f"{name} answered with status {answer.status}: try again later")
    raise BadAnswer(
        f"{name} answered with status {answer.status}: it is no witness, or speaks another protocol"
    )


def _cosignatures(witness: Witness, note: str, answer: Answer) -> str:
    try:
        both = add_cosignatures(note, answer.body, [witness.key])
    except InvalidInput as error:
        raise BadAnswer(
            f"{_named(witness)} answered with something else than cosignatures: {error}"
        ) from error
    if not check_cosignatures(both, [witness.key]):
        raise BadAnswer(
            f"{_named(witness)} answered without a cosignature by the expected key: compare its key"
            " with what its owner publishes"
        )
    return both.removeprefix(note)


def _named(witness: Witness) -> str:
    return f"the witness {witness.key.name} at {place(witness.url)}"
