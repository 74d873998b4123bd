"""Problems: what goes wrong, as HTTP answers it (RFC 9457), with the codes of the catalogue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from witnesstree.ledger.base.catalogue import ENGLISH, choose_language, worded
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from witnesstree.ledger.base.message import Message, Value

MEDIA_TYPE: Final = "application/problem+json"
STATUS: Final[dict[type[WitnesstreeError], int]] = {
    InvalidInput: 400,
    NotFound: 404,
    Conflict: 409,
    Unreachable: 503,
    BadAnswer: 502,
    Damaged: 500,
    StorageFailure: 503,
}
"""What each kind of error is over HTTP, unless its problem says otherwise."""


class Problem(Exception):
    """An answer that is none: its status, a code of the catalogue with parameters, and fields of
    the header.
    """

    def __init__(
        self,
        status: int,
        said: str | Message,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        **params: Value,
    ) -> None:
        error = WitnesstreeError(said, **params)
        self.status, self.message, self.headers = status, error.message, dict(headers or {})
        super().__init__(str(error))


class Unauthorized(Problem):
    """Nobody, or nobody whom we know, asks."""

    def __init__(self, code: str) -> None:
        super().__init__(401, code, headers={"WWW-Authenticate": 'Bearer realm="witnesstree"'})


class TooMany(Problem):
    """Later: after so many seconds."""

    def __init__(self, code: str, seconds: int, **params: Value) -> None:
        super().__init__(429, code, headers={"Retry-After": str(max(1, seconds))}, **params)


def problem_of(error: WitnesstreeError) -> Problem:
    """Return an error of the ledger as a problem."""
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return Problem(status, error.message, headers={"Retry-After": "5"} if status == 503 else {})


def content_of(problem: Problem, language: str, request_id: str = "") -> bytes:
    """Return a problem as JSON: its words are in `language`, its code is for programs."""
    members: dict[str, Any] = {
        "type": f"urn:witnesstree:problem:{problem.message.code}",
        "title": worded(problem.message, language),
        "status": problem.status,
        **to_json(problem.message),
    }
    if request_id:
        members["request_id"] = request_id
    return json.dumps(members, ensure_ascii=False).encode()


def language_of(accepted: str) -> str:
    """Return the language of the catalogue that an Accept-Language likes best."""
    for each in accepted[:200].split(","):
        if found := choose_language(each.partition(";")[0].strip()):
            return found
    return ENGLISH


def fields_of(problem: Problem, language: str) -> dict[str, str]:
    """Return the fields of a problem's header, but for its type and length."""
    return {**problem.headers, "cache-control": "no-store", "content-language": language}


def response_of(problem: Problem, language: str, request_id: str = "") -> Response:
    """Return a problem as a response."""
    return Response(
        content_of(problem, language, request_id),
        problem.status,
        fields_of(problem, language),
        MEDIA_TYPE,
    )
