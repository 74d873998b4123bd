"""What a tenant may know of itself: how much it submitted."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.api.problems import Problem
from witnesstree.api.routes.common import JSON, PRIVATE, answer, service_of
from witnesstree.api.store.keys import Scope
from witnesstree.api.store.submissions import usage
from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.errors import InvalidInput

router = APIRouter(prefix="/v1", tags=["tenants"])


@router.get(
    "/usage",
    response_class=Response,
    responses={200: {"description": "usage", "content": {JSON: {}}}},
    openapi_extra={
        "security": [{"key": []}],
        "parameters": [
            {
                "name": "month",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
            }
        ],
    },
)
async def used(request: Request) -> Response:
    """Say how many entries the caller's tenant submitted on each day of a month."""
    service = service_of(request)
    caller = service.keys.allowed(request.headers.get("authorization"), Scope.READ)
    month = request.query_params.get("month", f"{service.ledger.now():%Y-%m}")
    first = _first_of(month)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)

    def days() -> dict[str, int]:
        with service.ledger.metadata.read() as transaction:
            return usage(transaction.connection, caller.tenant, first, following)

    found = await run_in_threadpool(days)
    return answer({"month": month, "entries": sum(found.values()), "days": found}, cache=PRIVATE)


def _first_of(month: str) -> datetime:
    try:
        first = parse_time(f"{month}-01T00:00:00Z")
    except InvalidInput:
        first = None
    if first is None or first.year > 9000:
        raise Problem(400, "month-malformed", found=month[:40])
    return first
