"""Entries: taking them in, and where they stand."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.api import committer
from witnesstree.api.direct import MAX_ENTRIES
from witnesstree.api.ingest import JSON, LINES, PACKED, read_submission
from witnesstree.api.problems import Problem, TooMany, problem_of
from witnesstree.api.routes.common import PRIVATE, Digest, answer, service_of
from witnesstree.api.service import parse_digest
from witnesstree.api.store.keys import Scope
from witnesstree.api.store.submissions import ask_directly
from witnesstree.ledger.base.errors import NotFound, WitnesstreeError
from witnesstree.ledger.base.message import to_json
from witnesstree.ledger.log.receipt import format_text, parse_receipt
from witnesstree.ledger.tokens.token import format_response
from witnesstree.ledger.tree.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from witnesstree.api.ingest import Submitted
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
_STAMPED: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["receipt", "tokens", "missing"],
    "properties": {
        "receipt": _RECEIPT,
        "tokens": {"type": "array", "items": {"type": "object"}},
        "missing": {"type": "array", "items": {"type": "object"}},
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
                        "token": {"const": "direct"},
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
                        },
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
            "content": {
                JSON: {"schema": {"oneOf": [_RECEIPT, _STAMPED]}},
                TEXT: {"schema": {"type": "string"}},
            },
        }
    },
)
async def submit(request: Request) -> Response:
    """Take digests as entries of the ledger: all of them or none."""
    service = service_of(request)
    caller = service.keys.allowed(request.headers.get("authorization"), Scope.SUBMIT)
    key = _idempotency_key(request)
    submitted = await read_submission(request)
    count = len(submitted.packed) // NODE
    if submitted.is_direct:
        if count > MAX_ENTRIES:
            raise Problem(400, "direct-entries-too-many", most=MAX_ENTRIES, found=count)
        service.limiting.admit_direct(caller.tenant, count)
    fields = service.limiting.admit(caller.tenant, count)
    try:
        receipt, is_repeated = await take(service, caller.tenant, submitted, key)
    except (Problem, WitnesstreeError):
        service.limiting.give_back(caller.tenant, count)
        raise
    if is_repeated:
        service.limiting.give_back(caller.tenant, count)
    else:
        request.app.state.running.metrics.accepted(count)
    if submitted.is_direct:
        return await _with_tokens(service, caller.tenant, submitted, receipt, fields)
    if TEXT in request.headers.get("accept", ""):
        return Response(format_text(parse_receipt(receipt)), 201, fields, TEXT)
    return Response(receipt, 201, fields, JSON)


async def _with_tokens(
    service: Service,
    tenant: int,
    submitted: Submitted,
    receipt: bytes,
    fields: Mapping[str, str],
) -> Response:
    """Return the receipt with a token over each digest itself, and why there is none where there
    is none: then the same request, with the same Idempotency-Key, asks again.
    """
    packed = bytes(submitted.packed)
    digests = list(dict.fromkeys(packed[at : at + NODE] for at in range(0, len(packed), NODE)))

    def stamp() -> dict[str, Any]:
        missing = service.direct.stamp(digests)
        with service.ledger.metadata.write() as transaction:
            ask_directly(transaction.connection, tenant, digests)
        return {
            "receipt": msgspec.Raw(receipt),
            "tokens": [
                {
                    "digest": digest.hex(),
                    "authority": authority,
                    "token": base64.b64encode(format_response(stamp.token)).decode(),
                }
                for digest in digests
                for authority, stamp in service.ledger.direct_tokens(digest)
            ],
            "missing": [
                {
                    "digest": each.digest.hex(),
                    "authority": each.authority,
                    "reason": str(each.error),
                    **to_json(each.error.message),
                }
                for each in missing
            ],
        }

    loop = asyncio.get_running_loop()
    members = await loop.run_in_executor(service.direct.threads, stamp)
    return Response(msgspec.json.encode(members), 201, dict(fields), JSON)


async def take(
    service: Service, tenant: int, submitted: Submitted, key: str | None
) -> tuple[bytes, bool]:
    """Return the receipt of a submission, once it is durable, and whether it had been given before.
    Raises Problem, WitnesstreeError.
    """
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
    return await done, waiting.is_repeated


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
