"""What routes have in common: how the service is found, paging, and answers that never change."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Path
from starlette.responses import Response

from witnesstree.api.problems import Problem
from witnesstree.api.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

JSON: Final = "application/json"
FOR_EVER: Final = "public, max-age=31536000, immutable"
CHANGING: Final = "no-cache"
PRIVATE: Final = "private, no-cache"
Digest = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9a-fA-F]{64}$"})]
"""A digest in an address. Described so; what is none, the route itself refuses in our own words."""
Number = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9]{1,11}$"})]
MOST: Final = 1000
USUAL: Final = 100


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def answer(
    members: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, cache: str = ""
) -> Response:
    """Return an answer in JSON."""
    content = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    fields = {"Cache-Control": cache or "no-store", **(headers or {})}
    return Response(content, status, fields, JSON)


def unchanged(request: Request, content: bytes, media_type: str, cache: str) -> Response:
    """Return content with its ETag, or 304 where the caller has it already (RFC 9110, 13.1.2)."""
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    fields = {"ETag": tag, "Cache-Control": cache, "Vary": "Accept, Authorization"}
    known = request.headers.get("if-none-match", "")
    if known == "*" or tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(None, 304, fields)
    return Response(content, 200, fields, media_type)


def number_of(request: Request, name: str, usual: int, least: int, most: int) -> int:
    """Return a number of the query. Raises Problem (400)."""
    text = request.query_params.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise Problem(400, "query-number-wrong", name=name, least=least, most=most, found=text[:40])
    return int(text)


def cursor_of(request: Request) -> int:
    """Return where a list goes on, -1 for its beginning. Raises Problem (400)."""
    text = request.query_params.get("cursor")
    if text is None:
        return -1
    try:
        number = int(base64.urlsafe_b64decode(text[:40] + "==").decode())
    except ValueError:
        number = -1
    if not 0 <= number < 2**53:
        raise Problem(400, "cursor-malformed", found=text[:40])
    return number


def cursor_to(number: int) -> str:
    """Return the cursor behind an item."""
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")
