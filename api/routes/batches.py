"""Batches: what everybody may know of them, and proofs of all of the caller's entries in one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from witnesstree.api.ingest import LINES, PACKED
from witnesstree.api.problems import Problem, problem_of
from witnesstree.api.routes.common import (
    JSON,
    MOST,
    PRIVATE,
    USUAL,
    Number,
    answer,
    cursor_of,
    cursor_to,
    number_of,
    service_of,
    unchanged,
)
from witnesstree.api.routes.entries import state_of
from witnesstree.api.store.submissions import names_in, ranges
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import NotFound
from witnesstree.ledger.proof.bundle import format_head
from witnesstree.ledger.tree.tree import NODE
from witnesstree.ledger.work.lookup import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.api.auth import Caller
    from witnesstree.api.service import Service
    from witnesstree.ledger.store.database.values import SealedBatch

router = APIRouter(prefix="/v1", tags=["batches"])

_RANGE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.ASCII)
_CHUNK: Final = 2**20
_PAGE: Final[list[dict[str, Any]]] = [
    {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST},
    },
]


@router.get(
    "/batches",
    response_class=Response,
    responses={200: {"description": "batches", "content": {JSON: {}}}},
    openapi_extra={"parameters": _PAGE},
)
async def batches(request: Request) -> Response:
    """List sealed batches, newest first: what the public log says of them."""
    service = service_of(request)
    limit, cursor = number_of(request, "limit", USUAL, 1, MOST), cursor_of(request)

    def page() -> dict[str, Any]:
        with service.ledger.metadata.read() as transaction:
            newest = transaction.log_size()
            first = newest if cursor < 0 else min(cursor, newest)
            numbers = range(first - 1, max(-1, first - 1 - limit), -1)
            waiting = {(job.sequence, job.kind.value) for job in transaction.unfinished_jobs()}
            found = [transaction.batch(number) for number in numbers]
        items = [_members(batch, waiting) for batch in found if batch]
        rest = numbers[-1] if numbers else 0
        return {"batches": items, "next": cursor_to(rest) if rest > 0 else None}

    return answer(await run_in_threadpool(page), cache="no-cache")


@router.get(
    "/batches/{number}",
    response_class=Response,
    responses={
        200: {"description": "batch", "content": {JSON: {}}},
        304: {"description": "unchanged"},
    },
)
async def batch(request: Request, number: Number) -> Response:
    """Say what the public log says of one sealed batch, and what it has by now."""
    service = service_of(request)
    sequence = _number(number)

    def found() -> dict[str, Any]:
        sealed = service.ledger.batch(sequence)
        with service.ledger.metadata.read() as transaction:
            waiting = {(job.sequence, job.kind.value) for job in transaction.unfinished_jobs()}
            told = {
                "authorities": [name for name, _ in transaction.tokens(sequence)],
                "chains": [name for name, _ in transaction.anchors(sequence)],
            }
        return {**_members(sealed, waiting), **told, "statement": sealed.statement}

    content = msgspec.json.encode(await run_in_threadpool(found))
    return unchanged(request, content, JSON, "no-cache")


@router.get(
    "/batches/{number}/proofs",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "proofs",
            "content": {LINES: {}, PACKED: {}},
        },
        206: {"description": "range", "content": {PACKED: {}}},
    },
    openapi_extra={
        "security": [{"key": []}, {}],
        "parameters": [
            _PAGE[0],
            {"name": "Range", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
    },
)
async def proofs(request: Request, number: Number) -> Response:
    """Give the proofs of the caller's entries in a batch, line by line, on from a `cursor`; or, as
    packed bytes (witnesstree-proofs/1), the whole batch to the operator, and to everybody where the
    ledger is public.
    """
    service = service_of(request)
    caller = service.reader(request)
    sequence = _number(number)
    sealed = await run_in_threadpool(service.ledger.batch, sequence)
    if PACKED in request.headers.get("accept", ""):
        if not (service.settings.public or (caller and caller.is_operator)):
            raise Problem(403, "operator-only")
        return await run_in_threadpool(_whole, request, service, sealed)
    return StreamingResponse(
        _lines(service, sealed, caller, cursor_of(request)),
        200,
        {"Cache-Control": PRIVATE},
        LINES,
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise problem_of(NotFound("batch-unsealed", batch=text[:40]))
    return int(text)


def _members(sealed: SealedBatch, waiting: set[tuple[int, str]]) -> dict[str, Any]:
    return {
        "batch": sealed.sequence,
        "leaves": sealed.count,
        "root": sealed.root.hex(),
        "closed": format_time(sealed.closed),
        "state": state_of(sealed.sequence, waiting),
    }


def _lines(
    service: Service, sealed: SealedBatch, caller: Caller | None, behind: int
) -> Iterator[bytes]:
    """Yield the proof of each entry of the caller's that stands behind a position."""
    ledger = service.ledger
    tenant = caller.tenant if caller else None
    with ledger.metadata.read() as transaction:
        own = list(ranges(transaction.connection, sealed.sequence, tenant))
        names = (
            dict(_names(transaction.connection, sealed.sequence, tenant))
            if tenant is not None
            else {}
        )
    for first, count in own:
        for position in range(max(first, behind + 1), first + count):
            digest = ledger.files.digest_at(sealed.sequence, position)
            entry = Entry(sealed.sequence, position, is_sealed=True)
            proof = service.as_known_to(caller, ledger.proof_of(digest, entry))
            line = {
                "cursor": cursor_to(position),
                "position": position,
                "digest": digest.hex(),
                "reference": names.get(position),
                "proof": msgspec.Raw(service.write(proof).strip()),
            }
            yield msgspec.json.encode(line).replace(b"\n", b"") + b"\n"


def _names(connection: Any, batch: int, tenant: int) -> Iterator[tuple[int, str]]:
    for first, some in names_in(connection, batch, tenant):
        yield from ((first + at, name) for at, name in enumerate(some) if name is not None)


def _whole(request: Request, service: Service, sealed: SealedBatch) -> Response:
    """Return all proofs of a batch, or a range of their bytes (RFC 9110, 14)."""
    ledger, files = service.ledger, service.ledger.files
    first_leaf = Entry(sealed.sequence, 0, is_sealed=True)
    shared = ledger.proof_of(files.digest_at(sealed.sequence, 0), first_leaf)
    head = format_head(replace(shared, file_tokens=()))
    stored = [
        files.place.reading(files.digests_name(sealed.sequence)),
        files.place.reading(files.nodes_name(sealed.sequence)),
    ]
    sizes = [len(head), sealed.count * NODE, stored[1].size()]
    total = sum(sizes)
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    first, last = _bounds(asked, total) if asked else (0, total - 1)

    def content() -> Iterator[bytes]:
        at = first
        while at <= last:
            size = min(_CHUNK, last + 1 - at)
            if at < sizes[0]:
                part = head[at : at + size]
            elif at < sizes[0] + sizes[1]:
                offset = at - sizes[0]
                part = stored[0].read(offset, min(size, sizes[1] - offset))
            else:
                part = stored[1].read(at - sizes[0] - sizes[1], size)
            if not part:
                return
            yield part
            at += len(part)

    fields = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last + 1 - first),
        "Cache-Control": PRIVATE,
        "Content-Disposition": f'attachment; filename="batch-{sealed.sequence}.proofs"',
    }
    if asked:
        fields["Content-Range"] = f"bytes {first}-{last}/{total}"
    return StreamingResponse(content(), 206 if asked else 200, fields, PACKED)


def _bounds(asked: re.Match[str], total: int) -> tuple[int, int]:
    first, last = asked[1], asked[2]
    bounds = (
        (int(first), min(int(last or total - 1), total - 1))
        if first
        else (max(0, total - int(last or 0)), total - 1)
    )
    if not 0 <= bounds[0] <= bounds[1]:
        raise Problem(
            416, "range-not-there", size=total, headers={"Content-Range": f"bytes */{total}"}
        )
    return bounds
