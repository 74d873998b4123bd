"""Verifying for somebody: our word, not a proof. Who wants one verifies himself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.wiring import clock, owner_trust
from witnesstree.api.ingest import read_json
from witnesstree.api.problems import Problem
from witnesstree.api.routes.common import JSON, answer, service_of
from witnesstree.api.service import parse_digest
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message, to_json
from witnesstree.ledger.proof.proof import MAX_PROOF, parse_proof
from witnesstree.ledger.verify.verify import Require, verify

if TYPE_CHECKING:
    from witnesstree.api.service import Service
    from witnesstree.ledger.base.report import Report

router = APIRouter(prefix="/v1", tags=["verify"])

_ROOM: Final = 1024
_REQUIRE: Final = {each.value: each for each in Require}


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    digest: str
    proof: msgspec.Raw
    require: str = Require.BOTH.value


_ASKED: Final = msgspec.json.Decoder(_Asked)


@router.post(
    "/verify",
    response_class=Response,
    responses={200: {"description": "report", "content": {JSON: {}}}},
    openapi_extra={
        "security": [{"key": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["digest", "proof"],
                        "properties": {
                            "digest": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                            "proof": {"type": "object"},
                            "require": {"enum": sorted(_REQUIRE)},
                        },
                    }
                }
            },
        },
    },
)
async def verify_for(request: Request) -> Response:
    """Say what a proof proves about a digest. It is our word alone: verify it yourself, too."""
    service = service_of(request)
    service.reader(request)
    asked = await read_json(request, MAX_PROOF + _ROOM, _ASKED)
    if asked.require not in _REQUIRE:
        raise Problem(400, "require-unknown", found=asked.require[:40], known=sorted(_REQUIRE))
    digest = parse_digest(asked.digest)
    report = await run_in_threadpool(
        _judge, service, digest, bytes(asked.proof), _REQUIRE[asked.require]
    )
    return answer(_members(report))


def _judge(service: Service, digest: bytes, content: bytes, require: Require) -> Report:
    trust = owner_trust(service.ledger.home)
    try:
        own = home_trust(service.ledger.home, parse_proof(content))
    except InvalidInput:
        own = None
    return verify(digest, content, trust | own if own else trust, clock(), require)


def _members(report: Report) -> dict[str, Any]:
    return {
        "verdict": report.verdict.value,
        "assurance": report.assurance.name.lower() if report.assurance else None,
        "not_before": format_time(report.not_before) if report.not_before else None,
        "not_after": format_time(report.not_after) if report.not_after else None,
        "checks": [
            {
                "name": check.name,
                "outcome": check.outcome.value,
                "reason": check.reason,
                **to_json(check.message),
            }
            for check in report.checks
        ],
        "note": str(message("our-word-only")),
    }
