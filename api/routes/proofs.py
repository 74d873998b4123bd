"""Proofs, as they stand now."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from witnesstree.api.ingest import LINES, read_body, read_json
from witnesstree.api.problems import Problem, problem_of
from witnesstree.api.routes.common import JSON, PRIVATE, Digest, number_of, service_of, unchanged
from witnesstree.api.service import parse_digest
from witnesstree.ledger.base.errors import WitnesstreeError
from witnesstree.ledger.base.message import to_json
from witnesstree.ledger.log.receipt import MAX_RECEIPT, check_receipt, is_for, parse_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from witnesstree.api.auth import Caller
    from witnesstree.api.service import Service
    from witnesstree.ledger.log.receipt import Place
    from witnesstree.ledger.proof.proof import Proof

router = APIRouter(prefix="/v1", tags=["proofs"])

ERS: Final = "application/vnd.witnesstree.evidence-record"
STAMP: Final = "application/vnd.witnesstree.timestamp-token"
"""Media types of our own: none is registered for a bare evidence record or a bare token."""
FORMS: Final = (JSON, ERS, STAMP)
MAX_WAIT: Final = 60
POLL: Final = 0.5
MAX_MANY: Final = 10_000
_SECURITY: Final[dict[str, Any]] = {"security": [{"key": []}, {}]}
_PROOF: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "proof",
        "content": {form: {} for form in FORMS},
    },
    304: {"description": "unchanged"},
}


@router.get(
    "/proofs/{digest}",
    response_class=Response,
    responses=_PROOF,
    openapi_extra={
        **_SECURITY,
        "parameters": [
            {
                "name": "wait",
                "in": "query",
                "required": False,
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT},
            }
        ],
    },
)
async def proof(request: Request, digest: Digest) -> Response:
    """Give the proof of a digest of the caller's; with `wait`, once it is final, or as far as it is
    after so many seconds.
    """
    service = service_of(request)
    caller = service.reader(request)
    return await _proof(request, service, caller, parse_digest(digest))


@router.post(
    "/proofs/{digest}",
    response_class=Response,
    responses=_PROOF,
    openapi_extra={"requestBody": {"required": True, "content": {JSON: {}, "text/plain": {}}}},
)
async def proof_for_receipt(request: Request, digest: Digest) -> Response:
    """Give the proof of a digest to anybody who shows the receipt for it."""
    service = service_of(request)
    wanted = parse_digest(digest)
    content = await read_body(request, MAX_RECEIPT)
    try:
        receipt = parse_receipt(content)
        promise = check_receipt(receipt, await run_in_threadpool(service.log_keys))
    except WitnesstreeError as error:
        raise Problem(400, error.message) from error
    if promise is None or not is_for(receipt, wanted):
        raise Problem(403, "receipt-not-for-digest")
    return await _proof(request, service, None, wanted, promise.places)


async def _proof(
    request: Request,
    service: Service,
    caller: Caller | None,
    digest: bytes,
    places: Sequence[Place] | None = None,
) -> Response:
    form = _form(request.headers.get("accept", "*/*"))
    until = time.monotonic() + number_of(request, "wait", 0, 0, MAX_WAIT)
    while True:
        # One way into a thread and back: to look, to write and to hash.
        answer, is_final = await run_in_threadpool(
            _answer, request, service, form, partial(service.found, digest, caller, places)
        )
        if is_final or time.monotonic() >= until:
            break
        await asyncio.sleep(min(POLL, max(0.0, until - time.monotonic())))
        if await request.is_disconnected():
            break
    return answer


def _answer(
    request: Request, service: Service, form: str, find: Callable[[], Proof]
) -> tuple[Response, bool]:
    """Return a proof as it stands now, and whether nothing is missing."""
    found = find()
    content = service.write(found) if form == JSON else _exported(found, form)
    return unchanged(request, content, form, PRIVATE), bool(found.tokens and found.anchors)


def _form(accept: str) -> str:
    asked = [each.partition(";")[0].strip() for each in accept[:500].split(",")]
    for each in asked:
        if each in FORMS:
            return each
    if any(each in {"*/*", "application/*", ""} for each in asked):
        return JSON
    raise Problem(406, "form-unknown", known=list(FORMS))


def _exported(found: Proof, form: str) -> bytes:
    from witnesstree.ledger.proof.forms import format_record, format_token

    # What is not there yet is no fault of the request.
    try:
        return (format_record if form == ERS else format_token)(found)
    except WitnesstreeError as error:
        raise Problem(409, error.message, headers={"Retry-After": "5"}) from error


class _Many(msgspec.Struct, forbid_unknown_fields=True):
    digests: list[str]


_MANY: Final = msgspec.json.Decoder(_Many)


@router.post(
    "/proofs",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "proofs",
            "content": {LINES: {}},
        }
    },
    openapi_extra={
        "security": [{"key": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["digests"],
                        "properties": {
                            "digests": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": MAX_MANY,
                                "items": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                            }
                        },
                    }
                }
            },
        },
    },
)
async def proofs(request: Request) -> Response:
    """Give the proofs of many digests, streamed."""
    service = service_of(request)
    caller = service.reader(request)
    asked = (await read_json(request, 2**20, _MANY)).digests
    if not 1 <= len(asked) <= MAX_MANY:
        raise Problem(400, "entries-out-of-range", most=MAX_MANY, found=len(asked))
    digests = [parse_digest(each) for each in asked]

    def lines() -> Iterator[bytes]:
        for digest in digests:
            try:
                line: dict[str, Any] = {"digest": digest.hex()}
                line["proof"] = msgspec.Raw(service.proof(digest, caller).strip())
            except WitnesstreeError as error:
                problem = problem_of(error)
                line = {
                    "digest": digest.hex(),
                    "problem": {"status": problem.status, **to_json(problem.message)},
                }
            yield msgspec.json.encode(line).replace(b"\n", b"") + b"\n"

    return StreamingResponse(lines(), 200, {"Cache-Control": "no-store"}, LINES)
