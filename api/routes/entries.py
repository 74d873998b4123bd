"""Entries: taking them in, and where they stand."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.api import committer
from witnesstree.api.ingest import JSON, LINES, PACKED, read_submission
from witnesstree.api.problems import Problem, TooMany, problem_of
from witnesstree.api.routes.common import PRIVATE, Digest, answer, service_of
from witnesstree.api.service import parse_digest
from witnesstree.api.store.keys import Scope
from witnesstree.ledger.base.errors import NotFound, WitnesstreeError
from witnesstree.ledger.log.receipt import format_text, parse_receipt
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from witnesstree.api.service import Service
    from witnesstree.ledger.work.lookup import Entry

router = APIRouter(prefix="/v1", tags=["entries"])

TEXT: Final = "text/plain"
_KEY: Final = re.compile(r'"?([!#-\[\]-~]{1,255})"?', re.ASCII)
"""An Idempotency-Key: a string as the draft has it, or the same without its quotes."""
_RECEIPT: Final[dict[str, Any]] = {
    "type": "object",
    "required": [
        "format",
        "ledger",
        "submission",
        "taken",
        "due",
        "count",
        "root",
        "places",
        "signature",
        "key",
    ],
    "properties": {
        "format": {"const": "witnesstree-receipt/1"},
        "ledger": {"type": "string"},
        "submission": {"type": "integer"},
        "taken": {"type": "string", "format": "date-time"},
        "due": {"type": "string", "format": "date-time"},
        "count": {"type": "integer"},
        "root": {"type": "string"},
        "places": {"type": "array", "items": {"type": "object"}},
        "signature": {"type": "string"},
        "key": {"type": "string"},
        "entry": {"type": "object"},
    },
}
_SUBMISSION: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["entries"],
                    "properties": {
                        "entries": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 10_000,
                            "items": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["digest"],
                                "properties": {
                                    "digest": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                                    "reference": {"type": "string"},
                                },
                            },
                        }
                    },
                }
            },
            PACKED: {"schema": {"type": "string", "format": "binary"}},
            LINES: {"schema": {"type": "string"}},
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 257},
        }
    ],
    "security": [{"key": []}],
}


@router.post(
    "/entries",
    status_code=201,
    openapi_extra=_SUBMISSION,
    response_class=Response,
    responses={
        201: {
            "description": "receipt",
            "content": {JSON: {"schema": _RECEIPT}, TEXT: {"schema": {"type": "string"}}},
        }
    },
)
async def submit(request: Request) -> Response:
    """Take digests as entries of the ledger: all of them or none."""
    service = service_of(request)
    caller = service.keys.allowed(request.headers.get("authorization"), Scope.SUBMIT)
    key = _idempotency_key(request)
    submitted = await read_submission(request)
    fields = service.limiting.admit(caller.tenant, len(submitted.packed) // NODE)
    receipt = await take(service, caller.tenant, submitted, key)
    service.limiting.accepted(caller.tenant, len(submitted.packed) // NODE)
    if TEXT in request.headers.get("accept", ""):
        return Response(format_text(parse_receipt(receipt)), 201, fields, TEXT)
    return Response(receipt, 201, fields, JSON)


async def take(service: Service, tenant: int, submitted: Any, key: str | None) -> bytes:
    """Return the receipt of a submission, once it is durable. Raises Problem."""
    service.require_room()
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()

    def told(result: bytes | WitnesstreeError) -> None:
        if done.cancelled():
            return
        if isinstance(result, bytes):
            done.set_result(result)
        else:
            done.set_exception(result)

    waiting = committer.Request(
        tenant, submitted.packed, told, submitted.names, key, submitted.body
    )
    if not service.committer.offer(waiting):
        raise TooMany("service-busy", 1)
    return await done


def _idempotency_key(request: Request) -> str | None:
    shown = request.headers.get("idempotency-key")
    if shown is None:
        return None
    found = _KEY.fullmatch(shown)
    if not found:
        raise Problem(400, "idempotency-key-malformed", most=255)
    return found[1]


@router.get(
    "/entries/{digest}",
    response_class=Response,
    responses={200: {"description": "entries", "content": {JSON: {}}}},
    openapi_extra={"security": [{"key": []}, {}]},
)
async def find(request: Request, digest: Digest) -> Response:
    """Say where a digest of the caller's stands, and what its batch has by now."""
    service = service_of(request)
    caller = service.reader(request)
    wanted = parse_digest(digest)
    found = await run_in_threadpool(lambda: _found(service, list(service.entries(wanted, caller))))
    if not found:
        raise problem_of(NotFound("entry-unknown", digest=wanted))
    return answer({"digest": wanted.hex(), "entries": found}, cache=PRIVATE)


def _found(service: Service, entries: list[Entry]) -> list[dict[str, Any]]:
    with service.ledger.metadata.read() as transaction:
        waiting = {(job.sequence, job.kind.value) for job in transaction.unfinished_jobs()}
    return [
        {
            "batch": entry.batch,
            "position": entry.position,
            "state": state_of(entry.batch, waiting) if entry.is_sealed else "accepted",
        }
        for entry in entries
    ]


def state_of(batch: int, waiting: set[tuple[int, str]]) -> str:
    """Return how far a sealed batch is: sealed, stamped, or anchored in a final block, too."""
    if (batch, "stamp") in waiting:
        return "sealed"
    return "stamped" if (batch, "anchor") in waiting else "final"
