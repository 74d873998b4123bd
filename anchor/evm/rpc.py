"""JSON-RPC over HTTP: one node as an `Endpoint`, several as `Endpoints`.

What a node says is bounded and read as strictly as its form allows.

    Unreachable       nothing answered, or the node says that it is busy: the same question may be
                      answered later
    BadAnswer         what came is no answer to this question, or the node is one of another chain
    └── Refusal       the node understood, and refuses: its own code and words say why
        └── Missing   the node does not have this method at all

Nothing here knows what is asked: client.py does.
"""

from __future__ import annotations

import json
import re
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from witnesstree.anchor.http import Http, place
from witnesstree.ledger.base.errors import (
    BadAnswer,
    InvalidInput,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.strictjson import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from witnesstree.anchor.http import Answer
    from witnesstree.ledger.base.message import Plain, Value

MAX_ANSWER = 4 * 2**20
"""Bytes in one answer.

A block's list of 50,000 transaction hashes has 3.5 MB, and nothing else that is asked for comes
near it.
"""
MAX_TEXT = 200
"""Characters of a node's own words that are repeated in an error."""
MAX_QUANTITY = 2**256 - 1
"""The EVM's largest number."""

BUSY: Final = frozenset({-32005, -32002, -32603, -32016, -32029, -32097, 429})
"""Codes of a node that cannot answer now: EIP-1474's "limit exceeded" and "resource unavailable",
JSON-RPC's "internal error", and what large providers say of their rate limits."""
MISSING: Final = frozenset({-32601, -32004})
"""JSON-RPC's "method not found", EIP-1474's "method not supported"."""

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_BUSY_WORDS = ("rate limit", "too many requests", "request limit", "capacity")

_T = TypeVar("_T")


class Refusal(BadAnswer):
    """The node understood the question and refuses it: with its `code`, and its own words in
    `text`.
    """

    def __init__(self, said: Message, code: int, text: str) -> None:
        super().__init__(said)
        self.code = code
        self.text = text


class Missing(Refusal):
    """The node does not have the method."""


PAUSE: Final = {Unreachable: 30.0, Refusal: 30.0, BadAnswer: 600.0}
"""Seconds for which an endpoint that failed so is asked last.

One that lags refuses what it does not know yet, and is no liar for that.
"""


# Values in answers


def quantity(value: object, field: str, place: str, most: int = MAX_QUANTITY) -> int:
    """Return the number that the node at `place` wrote as 0x… for `field`. Raises BadAnswer."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value) or int(value, 16) > most:
        raise BadAnswer(
            "quantity-expected", place=place, field=field, most=hex(most), found=shown(value)
        )
    return int(value, 16)


def octets(
    value: object, field: str, place: str, size: int | None = None, most: int = MAX_ANSWER
) -> bytes:
    """Return the bytes that the node at `place` wrote as 0x… for `field`: `size` of them, or at
    most `most`.

    Raises BadAnswer.
    """
    content = (
        bytes.fromhex(value[2:]) if isinstance(value, str) and _BYTES.fullmatch(value) else None
    )
    if content is None or len(content) > most or (size is not None and len(content) != size):
        raise BadAnswer(
            "octets-expected",
            place=place,
            field=field,
            exactly=size is not None,
            size=most if size is None else size,
            found=shown(value),
        )
    return content


def shown(value: object) -> str:
    """Return the beginning of what came from outside, on one line and in ASCII."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


# One node


def _address(given: str) -> str:
    """Return the address that was given, or that is where env:NAME or file:PATH say."""
    kind, _, where = given.partition(":")
    if kind not in {"env", "file"}:
        return given
    # Somebody may have put the address itself there: then it is not repeated.
    if "://" in where:
        raise InvalidInput("rpc-option-not-an-address")
    # Here, because most are asked at a plain address.
    from witnesstree.anchor.settings import read_secret

    return read_secret(given).strip()


class Endpoint:
    """The node at `url`.

    With `chain_id`, it is asked for its own before anything else, and again after each time it
    could not be reached.

    `timeout` bounds each exchange as a whole, in seconds.
    """

    def __init__(self, url: str, *, timeout: float, chain_id: int | None = None) -> None:
        url = _address(url)
        self.place = place(url)
        self._url = url
        self._chain_id = chain_id
        self._is_known = chain_id is None
        self._numbers = count()
        self._http = Http(timeout=timeout)
        # Providers put API keys into the path or the query, and some repeat them in their errors.
        try:
            parts = urlsplit(url)
        except ValueError:
            # Without the cause, and without the address, which may hold a key.
            raise InvalidInput("rpc-option-not-an-address") from None
        self._secrets = [
            part
            for part in re.split(
                r"[/?&=:@]", f"{parts.path}?{parts.query}?{parts.netloc.rpartition('@')[0]}"
            )
            if len(part) > 3
        ]

    def __repr__(self) -> str:
        return f"Endpoint({self.place})"

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def ask(self, method: str, *params: object) -> Any:
        """Return the node's answer to `method`: any JSON value, null too.

        Raises Unreachable, BadAnswer, Refusal or Missing.
        """
        if not self._is_known:
            self._require_chain()
        return self._exchange(method, params)

    def _require_chain(self) -> None:
        found = quantity(self._exchange("eth_chainId", ()), "eth_chainId", self.place)
        if found != self._chain_id:
            raise BadAnswer(
                "node-of-another-chain", place=self.place, found=found, expected=self._chain_id
            )
        self._is_known = True

    def _exchange(self, method: str, params: Sequence[object]) -> Any:
        number = next(self._numbers)
        question = json.dumps(
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        ).encode()
        try:
            answer = self._http.post(
                self._url,
                question,
                content_type="application/json",
                limit=MAX_ANSWER,
                accept="application/json",
            )
            return self._judge(method, number, answer)
        except Unreachable:
            # Another node may be behind the same address by then.
            self._is_known = self._chain_id is None
            raise

    def _judge(self, method: str, number: int, answer: Answer) -> Any:
        asked: dict[str, Value] = {"place": self.place, "method": method}
        if answer.status == 429 or answer.status >= 500:
            raise Unreachable("node-is-busy", status=answer.status, **asked)
        try:
            # A fee history is the one answer with fractions.
            members = load(self.place, answer.body, fractions=method == "eth_feeHistory").object()
        except InvalidInput as error:
            if not answer.is_success:
                raise BadAnswer("node-answers-status", status=answer.status, **asked) from None
            # Not `from error`: some servers repeat the key, and so would a traceback.
            raise BadAnswer(
                "node-answer-unreadable", error=self._clean(error.message), **asked
            ) from None
        if members.get("error") is not None:
            raise self._refusal(method, members["error"])
        if members.get("id") != number or isinstance(members.get("id"), bool):
            raise BadAnswer(
                "node-answers-another-question",
                found=shown(members.get("id")),
                number=number,
                **asked,
            )
        if "result" not in members or not answer.is_success:
            raise BadAnswer("node-answer-incomplete", **asked)
        return members["result"]

    def _refusal(self, method: str, error: object) -> WitnesstreeError:
        members = error if isinstance(error, dict) else {}
        code, text = members.get("code"), members.get("message")
        if not isinstance(code, int) or not isinstance(text, str):
            return BadAnswer(
                "node-error-without-reason",
                place=self.place,
                method=method,
                found=self._without_secrets(shown(error)),
            )
        text = self._without_secrets(
            "".join(
                each if each.isprintable() else "?" for each in text[: MAX_TEXT + len(self._url)]
            )
        )[:MAX_TEXT]
        said = message("node-refuses", place=self.place, method=method, text=text, number=str(code))
        if code in MISSING:
            return Missing(said, code, text)
        if code in BUSY or any(words in text.lower() for words in _BUSY_WORDS):
            return Unreachable(said)
        return Refusal(said, code, text)

    def _clean(self, said: Message) -> Message:
        """Return a message without secrets: its parameters may repeat what the node wrote."""
        # What is no code is a sentence, and may repeat it as well.
        code = self._without_secrets(said.code) if " " in said.code else said.code
        return Message(code, tuple((name, self._cleaned(value)) for name, value in said.params))

    def _cleaned(self, value: Plain) -> Plain:
        if isinstance(value, Message):
            return self._clean(value)
        return self._without_secrets(value) if isinstance(value, str) else value

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


# Several nodes


class Endpoints:
    """Nodes of one chain, asked in order; the next one where one does not answer, or answers badly.

    `troubles` says which did.

    An endpoint that failed is asked last for a while (PAUSE), and never dropped. `now` is a clock
    in seconds that only goes forward.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._now = now
        self._failed: dict[Endpoint, tuple[float, WitnesstreeError]] = {}

    def __iter__(self) -> Iterator[Endpoint]:
        """Give the endpoints in the order in which they are to be asked now."""
        now = self._now()
        return iter(
            sorted(
                self._endpoints,
                key=lambda endpoint: endpoint in self._failed and self._failed[endpoint][0] > now,
            )
        )

    def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints:
            endpoint.close()

    def troubles(self) -> list[Message]:
        """Return what is wrong with each endpoint that failed a while ago at most (PAUSE), for an
        alarm.
        """
        now = self._now()
        failed = [
            self._failed[endpoint] for endpoint in self._endpoints if endpoint in self._failed
        ]
        return [error.message for until, error in failed if until > now]

    def note(self, endpoint: Endpoint, error: WitnesstreeError | None) -> None:
        """Remember how an endpoint failed, or that it did not: one that lied is not believed sooner
        because it answers something else well.
        """
        if error is not None:
            self._failed[endpoint] = (
                self._now()
                + next(pause for kind, pause in PAUSE.items() if isinstance(error, kind)),
                error,
            )
        elif endpoint in self._failed:
            end, failure = self._failed[endpoint]
            if isinstance(failure, Unreachable | Refusal) or end <= self._now():
                del self._failed[endpoint]

    def attempts(
        self, operation: Callable[[Endpoint], _T], within: float | None = None
    ) -> Iterator[_T | WitnesstreeError]:
        """Give what `operation` returns of one endpoint after the other, or the Unreachable or
        BadAnswer that it raises; all else goes through.

        `within` so many seconds the last one is begun, the first always. Unaffordable goes through
        as well: it is an answer.
        """
        end = None if within is None else self._now() + within
        for tried, endpoint in enumerate(self):
            if end is not None and tried and self._now() >= end:
                return
            try:
                result: _T | WitnesstreeError = operation(endpoint)
                self.note(endpoint, None)
            except Unaffordable:
                raise
            except (Unreachable, BadAnswer) as error:
                self.note(endpoint, error)
                result = error
            yield result

    def first(self, operation: Callable[[Endpoint], _T], within: float | None = None) -> _T:
        """Return what `operation` returns of the first endpoint with which it succeeds: all of it
        is asked of one and the same.

        Raises the failure of the only endpoint; of several, Unreachable if one may answer later,
        else BadAnswer.
        """
        failures = []
        for result in self.attempts(operation, within):
            if not isinstance(result, WitnesstreeError):
                return result
            failures.append(result)
        raise joined(failures)


def joined(failures: Sequence[WitnesstreeError]) -> WitnesstreeError:
    """Return one error for several: Unreachable if one of them is, for then it may be tried again,
    else BadAnswer.
    """
    if len(failures) == 1:
        return failures[0]
    kind = Unreachable if any(isinstance(error, Unreachable) for error in failures) else BadAnswer
    error = kind("no-endpoint-usable", errors=tuple(failures))
    error.__cause__ = ExceptionGroup("", list(failures))
    return error


def refusals(error: BaseException) -> list[Refusal]:
    """Return the refusals that an error is, or is `joined` from."""
    if isinstance(error, Refusal):
        return [error]
    cause = error.__cause__
    inner = cause.exceptions if isinstance(cause, ExceptionGroup) else ()
    return [each for each in inner if isinstance(each, Refusal)]
