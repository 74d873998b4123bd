"""The application: routes, and what every request meets on its way to them."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Match

from witnesstree.api.problems import MEDIA_TYPE, Problem, language_of, problem_of, response_of
from witnesstree.api.protocol import new_request_id
from witnesstree.api.routes import batches, entries, health, log, proofs, tenants, verify
from witnesstree.api.routes import time as clock
from witnesstree.ledger.base.errors import WitnesstreeError
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from witnesstree.api.running import Running

_log = logging.getLogger("witnesstree.api")
ROUTES: Final = (entries, proofs, batches, verify, tenants, clock, log, health)


def make_app(running: Running | None = None) -> FastAPI:
    """Return the application over a service; without one, for its description alone."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert running
        async with running.serving() as service:
            app.state.service = service
            app.state.running = running
            yield

    app = FastAPI(
        title="Witnesstree",
        version=version("witnesstree"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
        responses={
            "4XX": {"description": "problem", "content": {MEDIA_TYPE: _PROBLEM}},
            "5XX": {"description": "problem", "content": {MEDIA_TYPE: _PROBLEM}},
        },
    )
    for each in ROUTES:
        app.include_router(each.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(WitnesstreeError, _error)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(_Surroundings)
    return app


_PROBLEM: Final[dict[str, Any]] = {
    "schema": {
        "type": "object",
        "required": ["type", "title", "status", "code", "params"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string"},
            "params": {"type": "object"},
            "request_id": {"type": "string"},
        },
    }
}


def _answer(request: Request, problem: Problem) -> Response:
    request.scope["problem"] = problem.message.code
    return response_of(
        problem,
        language_of(request.headers.get("accept-language", "")),
        request.scope.get("request_id", ""),
    )


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return _answer(request, problem)


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WitnesstreeError)
    return _answer(request, problem_of(error))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "route-unknown", 405: "method-unknown"}
    fields = dict(error.headers or {})
    if error.status_code == 405:
        fields["Allow"] = ", ".join(sorted(_methods(request)))
    code = codes.get(error.status_code, "request-refused")
    return _answer(request, Problem(error.status_code, code, headers=fields))


def _methods(request: Request) -> set[str]:
    """Return the methods that an address takes, of all its routes."""
    found: set[str] = set()
    for router in ROUTES:
        for route in router.router.routes:
            if route.matches(request.scope)[0] is not Match.NONE:
                found |= getattr(route, "methods", None) or set()
    return found


class _Surroundings:
    """Gives each request an id, answers what nobody caught, and writes the log: a line a request,
    with no digest, key, address or text of the caller in it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = new_request_id()
        began, status = time.perf_counter(), 0

        async def noting(event: Message) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                event["headers"] = [
                    *event["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(event)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            # A fault of ours: its traceback is in the log, under the number that the caller has.
            _log.exception(message("request-failed", request=request_id))
            if status:
                raise
            problem = Problem(500, "internal-error", request=request_id)
            await response_of(problem, "en", request_id)(scope, receive, noting)
        finally:
            _note(scope, status, time.perf_counter() - began)


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "")
    if running := getattr(scope["app"].state, "running", None):
        running.metrics.request(scope["method"], route, status, seconds)
    # One that went well is no news; a thousand of them a second would be much.
    _log.log(
        logging.DEBUG if status < 400 else logging.INFO,
        message(
            "request-answered",
            request=scope["request_id"],
            method=scope["method"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            problem=scope.get("problem", ""),
        ),
    )
