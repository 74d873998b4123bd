"""The public log, and what anybody must know to check this ledger."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.anchor.publishing import STATE
from witnesstree.api.problems import Problem
from witnesstree.api.routes.common import FOR_EVER, JSON, answer, service_of, unchanged
from witnesstree.ledger.audit.published import CHECKPOINT

router = APIRouter(tags=["log"])

FOLDER = "published"
MAX_FILE = 16 * 2**20


@router.get(
    "/log/{path:path}",
    response_class=Response,
    responses={
        200: {"description": "file"},
        304: {"description": "unchanged"},
    },
)
async def file(request: Request, path: str) -> Response:
    """Give a file of the public log: `checkpoint`, `tile/…`, `batch/…`, `keys/…`."""
    service = service_of(request)
    folder = service.ledger.home.folder / FOLDER
    content = await run_in_threadpool(_read, folder, path)
    is_changing = path in {CHECKPOINT, STATE} or path.startswith("batch/")
    kind = "application/octet-stream" if path.startswith("tile/") else "text/plain; charset=utf-8"
    kind = JSON if path.endswith(".json") else kind
    return unchanged(request, content, kind, "no-cache" if is_changing else FOR_EVER)


def _read(folder: Path, path: str) -> bytes:
    """Return a file of the published folder, and of no other. Raises Problem (404)."""
    parts = path.split("/")
    try:
        if any(part in {"", ".", ".."} or "\0" in part for part in parts):
            raise ValueError(path)
        found = folder.joinpath(*parts).resolve(strict=True)
        if not found.is_relative_to(folder.resolve()) or not found.is_file():
            raise ValueError(path)
        with found.open("rb") as opened:
            return opened.read(MAX_FILE)
    except (OSError, ValueError) as error:
        raise Problem(404, "log-file-unknown", path=path[:200]) from error


@router.get(
    "/.well-known/witnesstree",
    response_class=Response,
    responses={
        200: {"description": "ledger", "content": {JSON: {}}},
        304: {"description": "unchanged"},
    },
)
async def about(request: Request) -> Response:
    """Say what anybody must know to check this ledger."""
    service = service_of(request)
    members = await run_in_threadpool(service.about)
    return answer(members, cache="public, max-age=300")
