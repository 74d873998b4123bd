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
from witnesstree.ledger.base.strictjson import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from witnesstree.anchor.http import Answer

MAX_ANSWER = 4 * 2**20
"""Bytes in one answer.

A block's list of 50,000 transaction hashes has 3.5 MB, and nothing else that is asked for comes
near it.
"""
MAX_MESSAGE = 200
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
    """The node understood the question and refuses it: with its `code`, and its `message` in its
    own words.
    """

    def __init__(self, text: str, code: int, message: str) -> None:
        super().__init__(text)
        self.code = code
        self.message = message


class Missing(Refusal):
    """The node does not have the method."""


PAUSE: Final = {Unreachable: 30.0, Refusal: 30.0, BadAnswer: 600.0}
"""Seconds for which an endpoint that failed so is asked last.

One that lags refuses what it does not know yet, and is no liar for that.
"""


# Values in answers


def quantity(value: object, what: str, most: int = MAX_QUANTITY) -> int:
    """Return the number that a node wrote as 0x…. Raises BadAnswer, which calls it `what`."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value) or int(value, 16) > most:
        raise BadAnswer(f"{what}: expected a number in hex up to {most:#x}, not {shown(value)}")
    return int(value, 16)


def octets(value: object, what: str, size: int | None = None, most: int = MAX_ANSWER) -> bytes:
    """Return the bytes that a node wrote as 0x…: `size` of them, or at most `most`.

    Raises BadAnswer, which calls them `what`.
    """
    content = (
        bytes.fromhex(value[2:]) if isinstance(value, str) and _BYTES.fullmatch(value) else None
    )
    if content is None or len(content) > most or (size is not None and len(content) != size):
        raise BadAnswer(
            f"{what}: expected {f'at most {most}' if size is None else size} bytes in hex, not"
            f" {shown(value)}"
        )
    return content


def shown(value: object) -> str:
    """Return the beginning of what came from outside, on one line and in ASCII."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


# One node


class Endpoint:
    """The node at `url`.

    With `chain_id`, it is asked for its own before anything else, and again after each time it
    could not be reached.

    `timeout` bounds each exchange as a whole, in seconds.
    """

    def __init__(self, url: str, *, timeout: float, chain_id: int | None = None) -> None:
        self.place = place(url)
        self._url = url
        self._chain_id = chain_id
        self._is_known = chain_id is None
        self._numbers = count()
        self._http = Http(timeout=timeout)
        # Providers put API keys into the path or the query, and some repeat them in their errors.
        parts = urlsplit(url)
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
        found = quantity(self._exchange("eth_chainId", ()), f"the chain id of {self.place}")
        if found != self._chain_id:
            raise BadAnswer(
                f"{self.place} is a node of chain {found}, not of chain {self._chain_id}: correct"
                " its address or the chain's id"
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
            # Behind the same address may stand another node by then.
            self._is_known = self._chain_id is None
            raise

    def _judge(self, method: str, number: int, answer: Answer) -> Any:
        where = f"the answer of {self.place} to {method}"
        if answer.status == 429 or answer.status >= 500:
            raise Unreachable(
                f"{self.place} answered {method} with status {answer.status}: try again later"
            )
        try:
            members = load("it", answer.body).object()
        except InvalidInput as error:
            if not answer.is_success:
                raise BadAnswer(
                    f"{self.place} answered {method} with status {answer.status}: check its"
                    " address, and the key in it"
                ) from None
            # Not `from error`: some servers repeat the key, and so would a traceback.
            raise BadAnswer(
                f"{where} cannot be read: {self._without_secrets(str(error))}"
            ) from None
        if members.get("error") is not None:
            raise self._refusal(method, members["error"])
        if members.get("id") != number or isinstance(members.get("id"), bool):
            raise BadAnswer(
                f"{where} is an answer to another question: its id is {shown(members.get('id'))},"
                f" not {number}"
            )
        if "result" not in members or not answer.is_success:
            raise BadAnswer(f"{where} is neither a result nor an error")
        return members["result"]

    def _refusal(self, method: str, error: object) -> WitnesstreeError:
        members = error if isinstance(error, dict) else {}
        code, message = members.get("code"), members.get("message")
        if not isinstance(code, int) or not isinstance(message, str):
            return BadAnswer(
                f"the answer of {self.place} to {method} is an error without a code and a reason:"
                f" {self._without_secrets(shown(error))}"
            )
        message = self._without_secrets(
            "".join(
                each if each.isprintable() else "?"
                for each in message[: MAX_MESSAGE + len(self._url)]
            )
        )[:MAX_MESSAGE]
        text = f"{self.place} refuses {method}: {message} (code {code})"
        if code in MISSING:
            return Missing(text, code, message)
        if code in BUSY or any(words in message.lower() for words in _BUSY_WORDS):
            return Unreachable(text)
        return Refusal(text, code, message)

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

    def troubles(self) -> list[str]:
        """Return what is wrong with each endpoint that failed a while ago at most (PAUSE), for an
        alarm.
        """
        now = self._now()
        failed = [
            self._failed[endpoint] for endpoint in self._endpoints if endpoint in self._failed
        ]
        return [str(error) for until, error in failed if until > now]

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
    return kind("no endpoint gave an answer that can be used: " + "; ".join(map(str, failures)))
