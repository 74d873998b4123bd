"""Whether the service lives and is ready, and its metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.anchor.metrics import metrics_text
from witnesstree.api.routes.common import JSON, answer, service_of

router = APIRouter(tags=["health"])


@router.get(
    "/health/live",
    response_class=Response,
    responses={200: {"description": "live", "content": {JSON: {}}}},
)
async def live() -> Response:
    """Say that the process answers."""
    return answer({"status": "live"})


@router.get(
    "/health/ready",
    response_class=Response,
    responses={
        200: {"description": "ready", "content": {JSON: {}}},
        503: {"description": "unready", "content": {JSON: {}}},
    },
    openapi_extra={"security": [{}, {"key": []}]},
)
async def ready(request: Request) -> Response:
    """Say whether the service is ready; to the operator's key, why not."""
    service = service_of(request)
    checks = await run_in_threadpool(request.app.state.running.readiness)
    is_ready = all(check["ok"] for check in checks)
    members: dict[str, Any] = {"status": "ready" if is_ready else "unready"}
    if request.headers.get("authorization"):
        service.keys.operator(request.headers.get("authorization"))
        members["checks"] = checks
    return answer(members, 200 if is_ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "metrics", "content": {"text/plain": {}}}},
    openapi_extra={"security": [{"key": []}]},
)
async def metrics(request: Request) -> Response:
    """Give the metrics, to the operator's key."""
    service = service_of(request)
    service.keys.operator(request.headers.get("authorization"))
    running = request.app.state.running
    content = await run_in_threadpool(
        lambda: running.metrics.text() + metrics_text(service.ledger, running.settings)
    )
    return Response(content, 200, {"Cache-Control": "no-store"}, "text/plain; version=0.0.4")
