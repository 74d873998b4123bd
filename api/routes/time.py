"""The time here, and what it was compared with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.anchor.clock import kept
from witnesstree.api.routes.common import JSON, answer, service_of
from witnesstree.ledger.base.clock import format_time

router = APIRouter(prefix="/v1", tags=["time"])


@router.get(
    "/time",
    response_class=Response,
    responses={200: {"description": "time", "content": {JSON: {}}}},
)
async def now(request: Request) -> Response:
    """Say the time here, and how far it is from what time servers said."""
    service = service_of(request)
    last = await run_in_threadpool(kept, service.ledger.home.folder)
    time = datetime.now(UTC)
    members: dict[str, Any] = {
        "time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "compared": bool(last and last.is_valid(time)),
        "offset_seconds": last.offset if last and last.is_valid(time) else None,
        "compared_at": format_time(last.at) if last else None,
        "sources": [
            {
                "source": each.source,
                "offset_seconds": None if each.fault else each.offset,
                "round_trip_seconds": None if each.fault else each.round_trip,
                "fault": str(each.fault) if each.fault else None,
            }
            for each in (last.readings if last else ())
        ],
    }
    return answer(members)
