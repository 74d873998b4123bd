"""Asks cosigners to sign the log's checkpoints (C2SP tlog-witness, add-checkpoint).

What they answer is believed only as far as their keys verify. A refusal accuses nobody: it shows no
checkpoint, and may come from a proxy. Only two signed checkpoints that contradict each other do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from witnesstree.anchor.http import Answer, Http, place
from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.errors import BadAnswer, Conflict, InvalidInput, NotFound, Unreachable
from witnesstree.ledger.log.cosignature import (
    CosignerKey,
    add_cosignatures,
    check_cosignatures,
    is_timely,
    time_of,
)
from witnesstree.ledger.log.log import prove_consistency
from witnesstree.ledger.log.note import (
    MAX_NOTE,
    format_base64,
    format_signature,
    parse_checkpoint,
    parse_decimal,
    parse_note,
)

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Value
    from witnesstree.ledger.log.log import Read

TIMEOUT = 15.0
"""Seconds for one exchange with a cosigner; one that was asked before takes two exchanges."""

MAX_ATTEMPTS = 3
"""Requests to one cosigner: the first may have the wrong old size, and somebody else may have been
faster once."""

SIZE_TYPE = "text/x.tlog.size"
"""The media type of an answer that tells which size the cosigner has seen."""


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A cosigner: the address before /add-checkpoint, and the key that it cosigns with."""

    url: str
    key: CosignerKey


def ask_cosigner(http: Http, cosigner: Cosigner, note: str, read: Read) -> str:
    """Return signature lines in which `cosigner` signs the checkpoint in `note`; `read` reads the
    log's hashes.

    Raises Conflict if the cosigner has seen a longer log, or each time another size, NotFound if it
    does not know this one, Unreachable if it does not answer, and BadAnswer if it refuses or its
    cosignature does not verify, or tells no time that it can have; a cosigner that has seen another
    history refuses.
    """
    size = parse_checkpoint(parse_note(note).text).size
    old, told = 0, []
    for _ in range(MAX_ATTEMPTS):
        path = prove_consistency(old, size, read) if old else []
        lines = [f"old {old}", *(format_base64(node) for node in path), "", note]
        body = "\n".join(lines).encode()
        answer = http.post(
            f"{cosigner.url.rstrip('/')}/add-checkpoint",
            body,
            content_type="text/plain; charset=utf-8",
            limit=MAX_NOTE,
        )
        seen = _seen_size(cosigner, answer, old, size)
        if seen is None:
            return _cosignatures(cosigner, note, answer)
        if seen > size:
            raise Conflict("cosigner-has-seen-more", seen=seen, size=size, **_named(cosigner))
        if seen == old == size:
            # It says that the log had this size before, with other entries.
            raise BadAnswer("cosigner-refuses-root", size=size, **_named(cosigner))
        if seen == old:
            raise BadAnswer("cosigner-contradicts-itself", size=old, **_named(cosigner))
        old = seen
        told.append(seen)
    raise Conflict("cosigner-sizes-move", sizes=told, **_named(cosigner))


def _seen_size(cosigner: Cosigner, answer: Answer, old: int, size: int) -> int | None:
    """Return the size that the cosigner has seen, where it says so instead of cosigning; None where
    it cosigned. Raises as `ask_cosigner` does.
    """
    named = _named(cosigner)
    if answer.status == 200:
        return None
    if answer.status == 409 and answer.content_type == SIZE_TYPE:
        try:
            return parse_decimal(answer.body.decode("ascii").removesuffix("\n"))
        except (UnicodeDecodeError, InvalidInput) as error:
            raise BadAnswer(
                "cosigner-says-no-size", found=ascii(answer.body[:40]), **named
            ) from error
    if answer.status == 404:
        raise NotFound("cosigner-knows-no-such-log", **named)
    if answer.status == 403:
        raise BadAnswer("cosigner-knows-another-key", **named)
    if answer.status == 409:
        kind = answer.content_type or None
        raise BadAnswer(
            "cosigner-refuses-without-size", kind=kind, found=ascii(answer.body[:40]), **named
        )
    if answer.status == 422 and old == size:
        raise BadAnswer("cosigner-refuses-root", size=size, **named)
    if answer.status == 422:
        raise BadAnswer("cosigner-refuses-proof", old=old, size=size, **named)
    if answer.status in {408, 429} or answer.status >= 500:
        raise Unreachable("cosigner-is-busy", status=answer.status, **named)
    raise BadAnswer("cosigner-answers-status", status=answer.status, **named)


def _cosignatures(cosigner: Cosigner, note: str, answer: Answer) -> str:
    try:
        both = add_cosignatures(note, answer.body, [cosigner.key])
    except InvalidInput as error:
        raise BadAnswer("cosignatures-expected", error=error, **_named(cosigner)) from error
    now = datetime.now(UTC)
    latest = (now + SKEW).timestamp()
    found = check_cosignatures(both, [cosigner.key], latest)
    if not found:
        raise BadAnswer("cosignature-missing", **_named(cosigner))
    if not found[0].time:
        raise BadAnswer("cosignature-without-time", **_named(cosigner))
    if not is_timely(found[0].time, latest):
        ahead = found[0].time - int(now.timestamp())
        raise BadAnswer("cosignature-ahead", seconds=ahead, **_named(cosigner))
    added = parse_note(both).signatures[len(parse_note(note).signatures) :]
    lines = [format_signature(signature) for signature in added]
    return "".join(line for line in lines if is_timely(time_of(line), latest))


def _named(cosigner: Cosigner) -> dict[str, Value]:
    return {"cosigner": cosigner.key.name, "place": place(cosigner.url)}
