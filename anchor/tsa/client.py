"""RFC 3161 authorities over HTTP (RFC 3161, 3.4): asks for tokens, and for what vouches for their
certificates when they are made.

A token is kept only if it answers this very request, and then as the bytes that came. All around it
is help that may be missing: certificates up to a root, and for each of them an OCSP answer or,
failing that, a revocation list. Certificates from outside name the places where these are
available, so they are fetched from public addresses only, unless the settings say otherwise, and
bounded in number, size and time. No failure there fails a stamp: it is logged as a warning.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from witnesstree.anchor.http import Http, is_of_private_address, place
from witnesstree.anchor.settings import read_secret
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable, WitnesstreeError
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.ports import Authority
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.proof import MAX_CERTIFICATE, MAX_VOUCHERS
from witnesstree.ledger.tokens.revocation import (
    MAX_OCSP,
    RevocationSource,
    check_crl,
    check_ocsp,
    format_ocsp_request,
    issuer_urls,
    other_keys,
    revocation_sources,
)
from witnesstree.ledger.tokens.signature import HASHES
from witnesstree.ledger.tokens.token import (
    MAX_RESPONSE,
    TokenJudgement,
    chain_of,
    check_response,
    format_request,
    judge_new_token,
)
from witnesstree.ledger.tokens.x509 import read_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from witnesstree.anchor.http import Answer
    from witnesstree.anchor.settings import AuthoritySettings
    from witnesstree.ledger.base.message import Value
    from witnesstree.ledger.tokens.token import Token
    from witnesstree.ledger.trust import Trust

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"

MAX_BESIDE: Final = 128 * 1024
"""Bytes that are kept beside one token: some KiB are usual, and as many tokens as a proof may have,
with so much each, still fit into it."""
MAX_FETCHES: Final = 12
"""Requests about the certificates of one token: a chain of four takes three, and addresses that do
not answer take the rest."""
FETCH_TIMEOUT: Final = 5.0
"""Seconds for one of them. All together may take as long as the authority itself."""

# RFC 9110, 15.5.9 and RFC 6585, 4; beside them everything from 500 on.
_TRY_LATER: Final = frozenset({408, 429})
_UNAUTHORIZED: Final = frozenset({401, 403, 407})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an authority did when it was asked to stamp random bytes.

    `judgement` is by the trust at hand. `offset` is how far the token's time is ahead of the clock
    here, half of the exchange left aside, which is `round_trip` long. `expires` is the end of the
    signer's certificate, None where that is not known.
    """

    policy: str
    judgement: TokenJudgement
    offset: timedelta
    round_trip: timedelta
    signer: str | None
    expires: datetime | None


class HttpAuthority(Authority):
    """One authority as the settings describe it.

    `trust` only helps to find certificates: nothing is refused because it is not trusted, but all
    that no trust could mend is, at once.

    Raises InvalidInput if a password or a file for TLS cannot be read.
    """

    def __init__(
        self,
        name: str,
        settings: AuthoritySettings,
        trust: Trust,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._name = name
        self._settings = settings
        self._trust = trust
        self._clock = clock
        self._place = place(settings.url)
        self._http = Http(
            timeout=settings.timeout,
            auth=(
                (settings.user, read_secret(settings.password) if settings.password else "")
                if settings.user
                else None
            ),
            client_certificate=settings.client_certificate,
            client_key=settings.client_key,
            tls_ca=settings.tls_ca,
        )

    @property
    @override
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @override
    def stamp(self, root: bytes, algorithm: str = "sha256") -> Stamp:
        """Return a token for `root`, a digest under `algorithm` ("sha256", "sha384", "sha512");
        else as the port says.

        Raises InvalidInput if `root` is no such digest; BadAnswer too where the authority does not
        take that algorithm.
        """
        if algorithm not in HASHES or len(root) != HASHES[algorithm]().digest_size:
            raise InvalidInput(
                "digest-to-stamp-expected",
                algorithms=list(HASHES),
                size=len(root),
                algorithm=algorithm,
            )
        stamp = self._vouched(self._token(root, algorithm))
        # A token that fails beside a good one spoils the whole proof, so it is never kept. That its
        # root is not trusted here is no failure; what would fail under any root is.
        failed = next(
            (
                check
                for check in judge_new_token(stamp, root, self._trust, algorithm).checks
                if check.outcome is Outcome.FAILED
            ),
            None,
        )
        if failed:
            raise BadAnswer(
                "token-would-not-verify",
                authority=self._name,
                place=self._place,
                reason=failed.message,
            )
        return stamp

    def check(self) -> Inspection:
        """Ask for a token for random bytes, and say what came.

        Raises Unreachable, BadAnswer as `stamp` does.
        """
        root = secrets.token_bytes(32)
        asked = self._clock()
        token = self._token(root)
        round_trip = self._clock() - asked
        stamp = self._vouched(token)
        chain = chain_of(token, self._trust, stamp.certificates)
        signer = read_certificate(chain[0]) if chain else None
        return Inspection(
            policy=token.policy,
            judgement=judge_new_token(stamp, root, self._trust),
            offset=token.gen_time - (asked + round_trip / 2),
            round_trip=round_trip,
            signer=signer.name if signer else token.tsa,
            expires=signer.not_after if signer else None,
        )

    def _token(self, root: bytes, algorithm: str = "sha256") -> Token:
        nonce = secrets.randbits(64)
        request = format_request(root, nonce, self._settings.policy, algorithm)
        answer = self._http.post(
            self._settings.url, request, content_type=QUERY, accept=REPLY, limit=MAX_RESPONSE
        )
        self._demand_success(answer)
        try:
            return check_response(answer.body, root, nonce, self._settings.policy, algorithm)
        except BadAnswer as error:
            # Some servers give the answer another type or none, so the type counts only where it
            # explains what is wrong.
            raise BadAnswer(
                "token-answer-wrong",
                authority=self._name,
                place=self._place,
                error=error,
                found=None if answer.content_type == REPLY else answer.content_type or '""',
                expected=REPLY,
            ) from error

    def _demand_success(self, answer: Answer) -> None:
        about: dict[str, Value] = {
            "authority": self._name,
            "place": self._place,
            "status": answer.status,
        }
        if answer.status >= 500 or answer.status in _TRY_LATER:
            raise Unreachable("authority-is-busy", **about)
        if answer.status in _UNAUTHORIZED:
            raise BadAnswer("authority-refuses-user", **about)
        # 201 is what older versions of sigstore's server say.
        if not answer.is_success:
            raise BadAnswer("authority-answers-status", **about)

    def _vouched(self, token: Token) -> Stamp:
        if not self._settings.revocation:
            return self._fitted(Stamp(token.der, self._beside(token, chain_of(token, self._trust))))
        fetcher = _Fetcher(self._name, self._settings)
        try:
            chain = self._completed(token, fetcher)
            ocsps, crls = [], []
            others: list[bytes] = []
            known = (*token.certificates, *self._trust.certificates)
            for source in revocation_sources(chain, known)[:MAX_VOUCHERS]:
                if answer := fetcher.ocsp(source, token.gen_time):
                    ocsps.append(answer)
                elif revoked := fetcher.crl(source, token.gen_time):
                    crls.append(revoked)
                else:
                    continue
                others += other_keys(source)
        finally:
            fetcher.close()
        beside = self._beside(token, chain, others)
        return self._fitted(Stamp(token.der, beside, tuple(crls), tuple(ocsps)))

    def _completed(self, token: Token, fetcher: _Fetcher) -> tuple[bytes, ...]:
        """Return the chain of the token's certificates, with issuers fetched from where the
        certificates say, as long as no root is reached.
        """
        fetched: list[bytes] = []
        chain = chain_of(token, self._trust)
        while not self._ends(chain) and (issuer := fetcher.issuer(chain[-1])):
            fetched.append(issuer)
            longer = chain_of(token, self._trust, fetched)
            if len(longer) <= len(chain):
                break
            chain = longer
        return chain

    def _ends(self, chain: tuple[bytes, ...]) -> bool:
        """Whether nothing can come above the chain: it is empty, or has reached a root, trusted or
        not.
        """
        last = read_certificate(chain[-1]) if chain else None
        return (
            last is None
            or last.subject == last.issuer
            or any(chain[-1] == root.certificate for root in self._trust.roots)
        )

    def _beside(
        self, token: Token, chain: tuple[bytes, ...], others: Sequence[bytes] = ()
    ) -> tuple[bytes, ...]:
        """Return what a verifier needs beside the token: all of the chain but its root, which
        everybody has to bring along, and `others`.
        """
        above = chain[1:-1] if self._ends(chain) else chain[1:]
        lacking = (
            each
            for each in dict.fromkeys((*chain[:1], *above, *others))
            if each not in token.certificates and len(each) <= MAX_CERTIFICATE
        )
        return tuple(lacking)[:MAX_VOUCHERS]

    def _fitted(self, stamp: Stamp) -> Stamp:
        """Return the stamp with as much beside its token as MAX_BESIDE allows."""
        room, kept = MAX_BESIDE, []
        for values in (stamp.certificates, stamp.ocsps, stamp.crls):
            fitting = []
            for each in values:
                if len(each) <= room:
                    room -= len(each)
                    fitting.append(each)
                else:
                    _log.warning(
                        "%s", message("vouchers-too-long", authority=self._name, size=len(each))
                    )
            kept.append(tuple(fitting))
        return Stamp(stamp.token, certificates=kept[0], ocsps=kept[1], crls=kept[2])


class _Fetcher:
    """Fetches what certificates name, within bounds. What is not available is logged, and left
    out.
    """

    def __init__(self, name: str, settings: AuthoritySettings) -> None:
        self._name = name
        self._refused: set[Message] = set()
        self._left = MAX_FETCHES
        self._deadline = time.monotonic() + settings.timeout
        self._http = Http(
            timeout=min(FETCH_TIMEOUT, settings.timeout), public_only=not settings.private_addresses
        )

    def close(self) -> None:
        self._http.close()

    def ocsp(self, source: RevocationSource, at: datetime) -> bytes | None:
        """Return an OCSP answer (RFC 6960, A.1) that can be believed."""

        def ask(url: str) -> bytes:
            request = format_ocsp_request(source.certificate, source.issuer)
            answer = self._http.post(
                url,
                request,
                content_type="application/ocsp-request",
                accept="application/ocsp-response",
                limit=MAX_OCSP,
            )
            body = _body(url, answer)
            check_ocsp(body, source, at)
            return body

        return self._first("ocsp", source.ocsp_urls, ask)

    def crl(self, source: RevocationSource, at: datetime) -> bytes | None:
        """Return a revocation list (RFC 5280, 4.2.1.13) that can be believed."""

        def ask(url: str) -> bytes:
            body = _body(url, self._http.get(url, limit=MAX_BESIDE))
            check_crl(body, source, at)
            return body

        return self._first("crl", source.crl_urls, ask)

    def issuer(self, certificate: bytes) -> bytes | None:
        """Return the certificate (DER) of the issuer of `certificate` (RFC 5280, 4.2.2.1).

        Whether it did is for `chain_of`.
        """

        def ask(url: str) -> bytes:
            body = _body(url, self._http.get(url, limit=MAX_CERTIFICATE))
            if read_certificate(body) is None:
                raise BadAnswer("answer-is-no-certificate", place=place(url))
            return body

        return self._first("issuer", issuer_urls(certificate), ask)

    def _first(self, what: str, urls: tuple[str, ...], ask: Callable[[str], bytes]) -> bytes | None:
        for url in self._within_bounds(what, urls):
            try:
                return ask(url)
            except WitnesstreeError as error:
                self._warn(what, error)
        return None

    def _warn(self, what: str, error: WitnesstreeError) -> None:
        about: dict[str, Value] = {"authority": self._name, "error": error}
        if not is_of_private_address(error):
            _log.warning("%s", message("voucher-not-fetched", what=what, **about))
        elif error.message not in self._refused:
            # Once for each place: every certificate in a chain names it, for its list and for OCSP.
            self._refused.add(error.message)
            _log.warning("%s", message("voucher-at-private-address", **about))

    def _within_bounds(self, what: str, urls: tuple[str, ...]) -> Iterator[str]:
        for url in urls:
            if self._left == 0 or time.monotonic() >= self._deadline:
                _log.warning("%s", message("voucher-not-asked", authority=self._name, what=what))
                return
            self._left -= 1
            yield url


def _body(url: str, answer: Answer) -> bytes:
    if answer.status != 200:
        raise BadAnswer("server-answers-status", place=place(url), status=answer.status)
    return answer.body
