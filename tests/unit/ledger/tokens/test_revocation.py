"""ledger/tokens/revocation.py: which answers count, and what they do to a token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID
from make_anew import read, written
from make_revocation import (
    ANSWERS,
    CRL_URL,
    DAY,
    HOUR,
    ISSUER_URL,
    OCSP_URL,
    SIGNS_ALL,
    access,
    chainless,
    changed_ocsp,
    make_crl,
    make_ocsp,
    middle,
    points,
    signer,
    top,
    wrap,
    wrapped,
)
from make_token import (
    CA,
    IMPRINT_BYTES,
    NOW,
    STAMPS,
    Forge,
    Issued,
    issue,
    key,
    root,
    stamper,
    trust,
    usage,
)

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.der import reading
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.report import Check, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.revocation import (
    MAX_CRL,
    MAX_OCSP,
    MAX_RESPONDERS,
    MAX_SIGNERS,
    MAX_URL,
    MAX_URLS,
    RevocationSource,
    check_crl,
    check_ocsp,
    format_ocsp_request,
    issuer_urls,
    other_keys,
    revocation_sources,
)
from witnesstree.ledger.tokens.token import CHAIN, REVOCATION, TokenJudgement, judge_token
from witnesstree.ledger.trust import Trust

PASSED, FAILED, UNKNOWN = Outcome.PASSED, Outcome.FAILED, Outcome.UNKNOWN
LATER = NOW + HOUR
REASONS = x509.ReasonFlags
STRANGE = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)


def judge(
    *,
    crls: tuple[bytes, ...] = (),
    ocsps: tuple[bytes, ...] = (),
    by: Issued | None = None,
    beside: tuple[Issued, ...] = (),
) -> TokenJudgement:
    """Judge a token that is right in everything else, with these answers and certificates beside
    it."""
    by = by or signer()
    token = Forge(signer=by, certificates=[by.der, middle().der]).make()
    judgement = judge_token(
        Stamp(token, tuple(each.der for each in beside), crls, ocsps),
        IMPRINT_BYTES,
        Trust(tuple(trust(top()))),
    )
    assert all(check.outcome is PASSED for check in judgement.checks[:-1])
    assert judgement.is_proven is (judgement.checks[-1].outcome is not FAILED)
    return judgement


def judged(**answers: Any) -> Check:
    check = judge(**answers).checks[-1]
    assert check.name == REVOCATION
    assert check.required is (check.outcome is not UNKNOWN)
    assert check.reason.endswith(".")
    return check


def middle_is_good() -> bytes:
    return make_crl(top())


@pytest.mark.parametrize("at", ["thisUpdate", "nextUpdate"])
def test_a_crl_of_a_time_that_is_none_is_no_crl(at: str) -> None:
    """ASN.1 has a year 0, the calendar of the verifier has not."""
    listed = read(make_crl(top()))
    fields = listed[1][0][1]
    first = next(number for number, field in enumerate(fields) if field[0] in {0x17, 0x18})
    fields[first + (at == "nextUpdate")] = [0x18, b"00000101000000Z"]
    assert judged(crls=(written(listed),)).outcome is UNKNOWN


def source(issued: Issued | None = None, issuer: Issued | None = None) -> RevocationSource:
    return RevocationSource((issued or signer()).der, (issuer or middle()).der, (), ())


def assert_use(
    kind: str,
    der: bytes,
    words: str | None = None,
    about: RevocationSource | None = None,
    time: datetime = NOW,
) -> None:
    """Assert that a collector would keep the answer; or, for a reason with these `words`, that it
    would not, and that it decides nothing."""
    check = {"crls": check_crl, "ocsps": check_ocsp}[kind]
    if words is None:
        check(der, about or source(), time)
        return
    with pytest.raises(BadAnswer, match=words) as caught:
        check(der, about or source(), time)
    assert "\n" not in str(caught.value)
    if about is None and time == NOW:
        answers: dict[str, Any] = {"crls": (middle_is_good(),), "ocsps": ()}
        answers[kind] += (der,)
        assert judged(**answers).outcome is UNKNOWN


# What is known
# --------------------------------------------------------------------------------------------------


def test_without_answers_nothing_is_known_and_that_is_not_required() -> None:
    check = judged()
    assert check.outcome is UNKNOWN
    assert check.reason.count("there is no CRL and no OCSP answer about it") == 2
    # What names no place to ask says so.
    token = Forge().make()
    *_, check = judge_token(Stamp(token), IMPRINT_BYTES, Trust(tuple(trust(root())))).checks
    assert (check.outcome, check.required) == (UNKNOWN, False)
    assert "names no place to ask" in check.reason


@pytest.mark.parametrize("kinds", ["crl crl", "crl ocsp", "ocsp crl", "ocsp ocsp"])
def test_an_answer_for_each_certificate_below_the_root_is_enough(kinds: str) -> None:
    crls, ocsps = [], []
    for kind, issued, issuer in zip(
        kinds.split(), (signer(), middle()), (middle(), top()), strict=True
    ):
        if kind == "crl":
            crls.append(make_crl(issuer))
        else:
            ocsps.append(make_ocsp(issued, issuer))
    check = judged(crls=tuple(crls), ocsps=tuple(ocsps))
    assert check.outcome is PASSED
    assert "“The signer” was not revoked" in check.reason
    assert "“In between” was not revoked" in check.reason
    assert "The root" not in check.reason


def test_one_answer_is_not_enough_for_two_certificates() -> None:
    for answers in ({"crls": (middle_is_good(),)}, {"ocsps": (make_ocsp(signer(), middle()),)}):
        assert judged(**answers).outcome is UNKNOWN


def test_a_signer_that_is_trusted_itself_has_nobody_to_ask() -> None:
    *_, check = judge_token(
        Stamp(Forge().make(), (), (make_crl(top()),)), IMPRINT_BYTES, Trust(tuple(trust(stamper())))
    ).checks
    assert (check.outcome, check.required) == (UNKNOWN, False)
    assert "itself a trusted root" in check.reason


def test_without_a_chain_nobodys_word_counts() -> None:
    token = Forge(signer=signer(), certificates=[signer().der, middle().der]).make()
    revoked = make_crl(middle(), (signer(), NOW, [(x509.CRLReason(REASONS.key_compromise), False)]))
    judgement = judge_token(Stamp(token, (), (revoked,)), IMPRINT_BYTES, Trust())
    assert [(check.name, check.outcome) for check in judgement.checks[-2:]] == [
        (CHAIN, UNKNOWN),
        (REVOCATION, UNKNOWN),
    ]
    assert not judgement.is_proven


# What was revoked
# --------------------------------------------------------------------------------------------------

HARMLESS = [
    REASONS.unspecified,
    REASONS.affiliation_changed,
    REASONS.superseded,
    REASONS.cessation_of_operation,
]
COMPROMISED = [REASONS.key_compromise, REASONS.ca_compromise]
OTHERS = [REASONS.certificate_hold, REASONS.privilege_withdrawn, REASONS.aa_compromise, None]


def revoked_by(
    kind: str, issued: Issued, issuer: Issued, time: datetime, reason: x509.ReasonFlags | None
) -> dict[str, tuple[bytes, ...]]:
    """Answers of which one says that `issued` was revoked, and, where it is the signer's, another
    that the one above was not."""
    good: tuple[bytes, ...] = (middle_is_good(),) if issued is signer() else (make_crl(middle()),)
    if kind == "ocsp":
        return {
            "crls": good,
            "ocsps": (make_ocsp(issued, issuer, revoked=time, reason=reason, this=max(NOW, time)),),
        }
    about = [(x509.CRLReason(reason), False)] if reason else []
    return {
        "crls": (
            *good,
            make_crl(issuer, (issued, time, about), this=max(NOW, time), until=NOW + 9 * DAY),
        ),
        "ocsps": (),
    }


@pytest.mark.parametrize("kind", ["crl", "ocsp"])
@pytest.mark.parametrize("reason", [*HARMLESS, *COMPROMISED, *OTHERS])
def test_reasons_for_which_a_signer_was_revoked(kind: str, reason: x509.ReasonFlags | None) -> None:
    """RFC 3161, 4, paragraph 1: before the revocation tokens stay valid for four reasons; for any
    other, or for none given, no token is."""
    before = judged(**revoked_by(kind, signer(), middle(), NOW, reason))
    assert before.outcome is FAILED
    after = judged(**revoked_by(kind, signer(), middle(), NOW + timedelta(seconds=1), reason))
    assert after.outcome is (PASSED if reason in HARMLESS else FAILED)
    assert "2026-11-23T12:00:01Z" in after.reason


@pytest.mark.parametrize("kind", ["crl", "ocsp"])
@pytest.mark.parametrize("reason", [*HARMLESS, *COMPROMISED, *OTHERS])
def test_reasons_for_which_an_authority_above_was_revoked(
    kind: str, reason: x509.ReasonFlags | None
) -> None:
    assert judged(**revoked_by(kind, middle(), top(), NOW, reason)).outcome is FAILED
    after = judged(**revoked_by(kind, middle(), top(), NOW + timedelta(seconds=1), reason))
    assert after.outcome is (FAILED if reason in COMPROMISED else PASSED)


def test_a_revocation_counts_even_where_the_answer_is_old_and_another_says_otherwise() -> None:
    about = [(x509.CRLReason(REASONS.key_compromise), False)]
    old = make_crl(
        middle(), (signer(), NOW - 30 * DAY, about), this=NOW - 20 * DAY, until=NOW - 10 * DAY
    )
    good = make_ocsp(signer(), middle())
    assert judged(crls=(old, middle_is_good()), ocsps=(good,)).outcome is FAILED
    assert_use("crls", old)


@pytest.mark.parametrize("is_earlier", [True, False])
def test_the_earlier_of_revocation_and_invalidity_counts(is_earlier: bool) -> None:
    """RFC 5280, 5.3.2: the revocation is when the issuer heard of it, the invalidity when it
    happened."""
    invalid = x509.InvalidityDate(NOW - HOUR if is_earlier else NOW + 2 * HOUR)
    about = [(x509.CRLReason(REASONS.superseded), False), (invalid, False)]
    crl = make_crl(middle(), (signer(), NOW + HOUR, about), this=NOW + 2 * HOUR)
    expected = FAILED if is_earlier else PASSED
    assert judged(crls=(crl, middle_is_good())).outcome is expected

    def add(content: Any) -> None:
        moment = core.GeneralizedTime(invalid.invalidity_date_utc).dump()
        content["responses"][0]["single_extensions"] = [
            {"extn_id": "invalidity_date", "extn_value": core.ParsableOctetString(moment)}
        ]

    answer = changed_ocsp(
        make_ocsp(signer(), middle(), revoked=NOW + HOUR, reason=REASONS.superseded, this=LATER),
        middle().key,
        add,
    )
    assert judged(crls=(middle_is_good(),), ocsps=(answer,)).outcome is expected


@pytest.mark.parametrize(
    ("number", "shown"), [("07", "reason 7"), ("00" * 2000 + "05", "reason 255")]
)
def test_reasons_that_no_standard_names_are_no_excuse(number: str, shown: str) -> None:
    def rename(content: Any) -> bytes:
        single = content["responses"][0]
        body: bytes = single["cert_status"].dump()
        assert body.endswith(bytes.fromhex("a0030a0104"))
        value = wrap(0xA0, wrap(0x0A, bytes.fromhex(number)))
        rest = b"".join(single[name].dump() for name in ("this_update",))
        status = wrap(0xA1, single["cert_status"].chosen["revocation_time"].dump() + value)
        responses = wrap(0x30, wrap(0x30, single["cert_id"].dump() + status + rest))
        return wrap(
            0x30, content["responder_id"].dump() + content["produced_at"].dump() + responses
        )

    answer = changed_ocsp(
        make_ocsp(signer(), middle(), revoked=LATER, reason=REASONS.superseded, this=LATER),
        middle().key,
        rename,
    )
    check = judged(crls=(middle_is_good(),), ocsps=(answer,))
    assert check.outcome is FAILED
    assert shown in check.reason


def test_times_at_the_ends_of_the_calendar() -> None:
    forever = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    lasting = issue("For ever", middle(), key("rsa", 62), STAMPS, end=forever)
    about = source(lasting)
    for time, this, words in (
        (NOW, forever, None),
        (forever, NOW, "too old"),
        (datetime.min.replace(tzinfo=UTC), NOW, None),
    ):
        assert_use("ocsps", make_ocsp(lasting, middle(), this=this), words, about, time)


# When an answer says something of the token's time
# ------------------------------------------------------------------------------------------------

TIMES = {
    "valid at the time": (NOW - DAY, NOW + DAY, None),
    "made at the time": (NOW, None, None),
    "made just before, by another clock": (NOW - SKEW, None, None),
    "made before, and never said to be valid longer": (
        NOW - SKEW - timedelta(seconds=1),
        None,
        "too old",
    ),
    "valid until just before": (NOW - DAY, NOW - timedelta(seconds=1), "too old"),
    "valid until the time": (NOW - DAY, NOW, None),
    "made later": (NOW + HOUR, NOW + 2 * HOUR, None),
    "made on the last day": (NOW + DAY, NOW + 2 * DAY, None),
    "made when the certificate had expired": (
        NOW + DAY + timedelta(seconds=1),
        NOW + 9 * DAY,
        "had expired",
    ),
}


@pytest.mark.parametrize(("this", "until", "words"), TIMES.values(), ids=TIMES)
def test_times_of_an_answer_that_says_not_revoked(
    this: datetime, until: datetime | None, words: str | None
) -> None:
    answer = make_ocsp(signer(), middle(), this=this, until=until)
    assert_use("ocsps", answer, words)
    assert judged(crls=(middle_is_good(),), ocsps=(answer,)).outcome is (
        UNKNOWN if words else PASSED
    )
    if until:
        crl = make_crl(middle(), this=this, until=until)
        assert_use("crls", crl, words)
        assert judged(crls=(middle_is_good(), crl)).outcome is (UNKNOWN if words else PASSED)


# Answers that must not be believed
# --------------------------------------------------------------------------------------------------


def idp(**parts: Any) -> tuple[Any, bool]:
    names = ("full_name", "relative_name", "only_some_reasons")
    flags = (
        "only_contains_user_certs",
        "only_contains_ca_certs",
        "indirect_crl",
        "only_contains_attribute_certs",
    )
    fields = {**dict.fromkeys(names), **dict.fromkeys(flags, False), **parts}
    return x509.IssuingDistributionPoint(**fields), True


def place(url: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(url)]


SCOPES: dict[str, tuple[tuple[Any, bool], str | None]] = {
    "its own place": (idp(full_name=place(CRL_URL)), None),
    "its own place among others": (
        idp(full_name=place("http://other.example/") + place(CRL_URL)),
        None,
    ),
    "another place": (idp(full_name=place("http://crl.example/b.crl")), "one of several"),
    "a place named otherwise": (
        idp(
            relative_name=x509.RelativeDistinguishedName(
                [x509.NameAttribute(x509.NameOID.COMMON_NAME, "b")]
            )
        ),
        "one of several",
    ),
    "end certificates": (idp(only_contains_user_certs=True), None),
    "authorities": (idp(only_contains_ca_certs=True), "other certificates"),
    "attribute certificates": (idp(only_contains_attribute_certs=True), "other certificates"),
    "other issuers' certificates": (idp(indirect_crl=True), "other certificates"),
    "some reasons": (
        idp(only_some_reasons=frozenset({REASONS.key_compromise})),
        "some reasons only",
    ),
    "changes": ((x509.DeltaCRLIndicator(1), True), "lists changes"),
    "changes, said in passing": ((x509.DeltaCRLIndicator(1), False), "lists changes"),
    "something unknown": (STRANGE, "does not know"),
    "something unknown that may be ignored": ((STRANGE[0], False), None),
    "a number": ((x509.CRLNumber(7), False), None),
}


@pytest.mark.parametrize(("extension", "words"), SCOPES.values(), ids=SCOPES)
def test_crls_that_cover_a_part_only(extension: tuple[Any, bool], words: str | None) -> None:
    assert_use("crls", make_crl(middle(), extensions=[extension]), words)


def test_crls_of_authorities_only() -> None:
    above = source(middle(), top())
    assert_use("crls", make_crl(top(), extensions=[idp(only_contains_ca_certs=True)]), None, above)
    assert_use(
        "crls",
        make_crl(top(), extensions=[idp(only_contains_user_certs=True)]),
        "other certificates",
        above,
    )


def test_a_crl_of_one_place_does_not_cover_certificates_that_name_none_or_name_it_in_parts() -> (
    None
):
    crl = make_crl(middle(), extensions=[idp(full_name=place(CRL_URL))])
    part = x509.DistributionPoint(place(CRL_URL), None, frozenset({REASONS.superseded}), None)
    for extensions in (STAMPS, (*STAMPS, (x509.CRLDistributionPoints([part]), False))):
        other = issue("Elsewhere", middle(), key("rsa", 62), extensions)
        assert_use("crls", crl, "one of several", source(other))


def test_crls_by_somebody_else() -> None:
    assert_use("crls", make_crl(top()), "nothing about this certificate")
    assert_use("crls", make_crl(middle(), signer_key=top().key), "signed neither by “In between”")
    below = issue("Below", chainless(), key("rsa", 64), STAMPS)
    assert_use("crls", make_crl(chainless()), "may not sign CRLs", source(below, chainless()))
    free = issue("No usage", None, key("p256", 65), CA[:1])
    assert_use(
        "crls", make_crl(free), None, source(issue("Below", free, key("rsa", 64), STAMPS), free)
    )
    # The name is the issuer's, the key another's: a certificate with this name may stand in the
    # token, and is not in the chain.
    twin = issue("In between", top(), key("p384", 66), SIGNS_ALL)
    assert_use("crls", make_crl(twin), "signed neither by “In between”")


def test_a_list_of_its_own_issuers_certificates_says_nothing_of_others() -> None:
    """A serial number is one issuer's. RFC 5280, 6.3.3, b, asks for an indirect CRL here."""
    lists = issue("Lists", top(), key("p256", 67), SIGNS_ALL)
    points = [
        x509.DistributionPoint(None, None, None, [x509.DirectoryName(lists.certificate.subject)])
    ]
    named = (x509.CRLDistributionPoints(points), False)
    by = issue("The signer", middle(), key("rsa", 62), (*STAMPS, named))
    entry = (by, NOW - HOUR, [(x509.CRLReason(REASONS.key_compromise), False)])
    issuer = (x509.CertificateIssuer([x509.DirectoryName(middle().certificate.subject)]), True)
    other = (by, NOW - HOUR, [*entry[2], issuer])
    direct = make_crl(lists, entry)
    indirect = make_crl(lists, other, extensions=[idp(indirect_crl=True)])
    assert judged(by=by, beside=(lists,), crls=(direct, middle_is_good())).outcome is UNKNOWN
    assert judged(by=by, beside=(lists,), crls=(indirect, middle_is_good())).outcome is FAILED


def test_a_root_with_the_issuers_name_signs_its_lists() -> None:
    """The issuer has the root's name and another key. Nobody carries the root: the verifier has
    it."""
    again = issue("The root", top(), key("p384", 68), SIGNS_ALL)
    by = issue("The signer", again, key("rsa", 62), STAMPS)
    token = Forge(signer=by, certificates=[by.der, again.der]).make()
    about = [(x509.CRLReason(REASONS.key_compromise), False)]
    stamp = Stamp(token, (), (make_crl(top(), (by, NOW, about)),), ())
    check = judge_token(stamp, IMPRINT_BYTES, Trust(tuple(trust(top())))).checks[-1]
    assert check.outcome is FAILED


def test_an_ocsp_answer_is_of_the_type_that_is_known() -> None:
    answer = make_ocsp(signer(), middle())
    basic = bytes.fromhex("2b0601050507300101")
    assert_use("ocsps", answer)
    assert_use("ocsps", answer.replace(basic, basic[:-1] + b"\2", 1), "cannot be read as Basic")


def test_an_entry_that_says_something_critical_and_unknown() -> None:
    assert_use("crls", make_crl(middle(), (signer(), NOW, [STRANGE])), "its entry says")
    assert_use(
        "crls",
        make_crl(
            middle(),
            (signer(), NOW, [(STRANGE[0], False), (x509.CRLReason(REASONS.superseded), True)]),
        ),
    )


def test_what_is_no_crl() -> None:
    good = make_crl(middle())
    for der in (
        b"",
        b"\x30\x00",
        good[:-1],
        good + b"\x00",
        b"-----BEGIN X509 CRL-----",
        make_ocsp(signer(), middle()),
    ):
        assert_use("crls", der, "cannot be read as CertificateList")
    assert_use("crls", bytes(MAX_CRL + 1), "too large")
    twice = [(x509.CRLNumber(1), False), (STRANGE[0], False)]
    doubled = make_crl(middle(), extensions=twice).replace(
        bytes.fromhex("06032a0304"), bytes.fromhex("0603551d14")
    )
    assert_use("crls", doubled, "occurs twice")


def delegate(*extensions: Any, by: Issued | None = None, **times: Any) -> Issued:
    return issue("A responder", by or middle(), key("p256", 70), extensions or (ANSWERS,), **times)


def test_a_responder_whom_the_issuer_has_charged() -> None:
    for responder in (delegate(), delegate(ANSWERS, (usage(digital_signature=True), True))):
        assert_use("ocsps", make_ocsp(signer(), middle(), responder=responder))
    assert_use(
        "ocsps",
        make_ocsp(
            signer(), middle(), responder=delegate(), certificates=[top(), middle(), delegate()]
        ),
    )


RESPONDERS: dict[str, Callable[[], Issued]] = {
    "not charged": lambda: delegate(*STAMPS),
    "charged with nothing": lambda: delegate((STRANGE[0], False)),
    "charged by somebody else": lambda: delegate(by=top()),
    "charged by itself": lambda: issue("In between", None, key("p256", 70), (ANSWERS,)),
    "no longer": lambda: delegate(start=NOW - 9 * DAY, end=NOW - DAY),
    "not for signatures": lambda: delegate(ANSWERS, (usage(key_encipherment=True), True)),
}


@pytest.mark.parametrize("responder", RESPONDERS.values(), ids=RESPONDERS)
def test_a_responder_who_may_not_answer(responder: Callable[[], Issued]) -> None:
    assert_use(
        "ocsps",
        make_ocsp(signer(), middle(), responder=responder()),
        "signed neither by “In between”",
    )


def test_a_responder_that_the_answer_does_not_carry() -> None:
    assert_use(
        "ocsps",
        make_ocsp(signer(), middle(), responder=delegate(), certificates=[]),
        "signed neither by “In between”",
    )


def test_too_many_responders() -> None:
    several = [delegate()] * (MAX_RESPONDERS + 1)
    assert_use(
        "ocsps",
        make_ocsp(signer(), middle(), responder=delegate(), certificates=several),
        "more than 4 certificates",
    )


@pytest.mark.parametrize(
    "algorithm",
    [hashes.SHA1(), hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()],
    ids=lambda each: each.name,
)
def test_ways_to_name_the_certificate(algorithm: hashes.HashAlgorithm) -> None:
    assert_use("ocsps", make_ocsp(signer(), middle(), hash_id=algorithm))


def test_answers_about_other_certificates() -> None:
    twin = issue("In between", top(), key("p384", 66), SIGNS_ALL)
    other = issue("The signer", middle(), key("rsa", 62), STAMPS)

    def rename(content: Any) -> None:
        content["responses"][0]["cert_id"]["hash_algorithm"] = {"algorithm": "md5"}

    for answer in (
        make_ocsp(other, middle()),
        make_ocsp(middle(), top()),
        make_ocsp(signer(), twin),
        changed_ocsp(make_ocsp(signer(), middle()), middle().key, rename),
    ):
        assert_use("ocsps", answer, "nothing about this certificate")


def test_answers_that_say_nothing() -> None:
    assert_use(
        "ocsps", make_ocsp(signer(), middle(), status=ocsp.OCSPCertStatus.UNKNOWN), "does not know"
    )
    refusal = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    from cryptography.hazmat.primitives.serialization import Encoding

    assert_use("ocsps", refusal.public_bytes(Encoding.DER), "try_later")
    basic = asn1_ocsp.OCSPResponse.load(make_ocsp(signer(), middle()))["response_bytes"]
    weak = basic["response"].parsed
    weak["signature_algorithm"] = {"algorithm": "sha1_ecdsa"}
    assert_use("ocsps", wrapped(weak.dump(force=True)), "sha1_ecdsa, is not accepted")
    for der in (
        b"",
        b"\x30\x00",
        make_ocsp(signer(), middle())[:-1],
        wrapped(b"\x30\x00"),
        wrapped(b"\x30\x80\x00\x00"),
        make_crl(middle()),
    ):
        assert_use("ocsps", der, "cannot be read as OCSPResponse|not DER")
    assert_use("ocsps", bytes(MAX_OCSP + 1), "too large")


@pytest.mark.parametrize("is_single", [True, False])
def test_answers_that_say_something_critical_and_unknown(is_single: bool) -> None:
    def add(content: Any) -> None:
        extension = [
            {
                "extn_id": "1.2.3.4",
                "critical": True,
                "extn_value": core.ParsableOctetString(b"\x05\x00"),
            }
        ]
        if is_single:
            content["responses"][0]["single_extensions"] = extension
        else:
            content["response_extensions"] = extension

    assert_use(
        "ocsps",
        changed_ocsp(make_ocsp(signer(), middle()), middle().key, add),
        "something critical",
    )


def test_two_states_in_one_answer_both_count() -> None:
    revoked = asn1_ocsp.OCSPResponse.load(
        make_ocsp(signer(), middle(), revoked=NOW, reason=REASONS.superseded)
    )
    other = revoked["response_bytes"]["response"].parsed["tbs_response_data"]["responses"][0]

    def add(content: Any) -> None:
        content["responses"] = [content["responses"][0], other]

    answer = changed_ocsp(make_ocsp(signer(), middle()), middle().key, add)
    assert judged(crls=(middle_is_good(),), ocsps=(answer,)).outcome is FAILED


def test_an_answer_that_is_no_use_does_not_spoil_another() -> None:
    assert (
        judged(
            crls=(b"rubbish", make_crl(middle()), middle_is_good()),
            ocsps=(b"", make_ocsp(signer(), top())),
        ).outcome
        is PASSED
    )
    check = judged(crls=(b"rubbish", middle_is_good()))
    assert check.outcome is UNKNOWN
    assert (
        "at hand counts (these bytes cannot be read as CertificateList (RFC 5280, 5.1))"
        in check.reason
    )


def test_whatever_cryptography_raises_is_translated() -> None:
    """All but what only those meet who ask for an attribute or an extension by its name, which
    nobody does."""
    raised = {
        each
        for each in vars(x509).values()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    for each in raised - {x509.AttributeNotFound, x509.ExtensionNotFound}:
        with pytest.raises(InvalidInput), reading("anything"):
            raise each("no", None)


# Revoked, by lists that would not do to say otherwise
# --------------------------------------------------------------------------------------------------

COMPROMISE = [(x509.CRLReason(REASONS.key_compromise), False)]


def says_revoked(**how: Any) -> bytes:
    return make_crl(middle(), (signer(), NOW - HOUR, COMPROMISE), **how)


PARTIAL = {name: (extension, words) for name, (extension, words) in SCOPES.items() if words}


@pytest.mark.parametrize(("extension", "words"), PARTIAL.values(), ids=PARTIAL)
def test_revoked_counts_in_any_authentic_list(extension: tuple[Any, bool], words: str) -> None:
    """But for one that says something critical and unknown: RFC 5280, 5.2 forbids its use."""
    crl = says_revoked(extensions=[extension])
    check = judged(crls=(crl, middle_is_good()), ocsps=(make_ocsp(signer(), middle()),))
    assert check.outcome is (PASSED if "does not know" in words else FAILED)
    if "does not know" not in words:
        assert_use("crls", crl)
    # Of another certificate it says nothing.
    other = issue("Another", middle(), key("rsa", 62), STAMPS)
    assert judged(by=other, crls=(crl, middle_is_good())).outcome is UNKNOWN
    forged = says_revoked(extensions=[extension], signer_key=top().key)
    assert judged(crls=(forged, middle_is_good())).outcome is UNKNOWN


def test_a_delta_that_takes_an_entry_back_says_nothing() -> None:
    removed = [(x509.CRLReason(REASONS.remove_from_crl), False)]
    delta = (x509.DeltaCRLIndicator(1), True)
    crl = make_crl(middle(), (signer(), NOW - HOUR, removed), extensions=[delta])
    assert judged(crls=(crl, middle_is_good())).outcome is UNKNOWN
    good = make_ocsp(signer(), middle())
    assert judged(crls=(crl, middle_is_good()), ocsps=(good,)).outcome is PASSED


def rolled(by: Issued | None = None, **changes: Any) -> Issued:
    """The issuer of the signer, with another key: the name written otherwise, which is the same."""
    return issue("IN BETWEEN", by or top(), key("p256", 71), SIGNS_ALL, **changes)


ROLLED: dict[str, Callable[[], tuple[Issued, ...]]] = {
    "its root vouches for it": lambda: (rolled(),),
    "the older key vouches for it": lambda: (rolled(middle()),),
    "it is not the only one of its name": lambda: (
        *(issue("In between", top(), key("p256", 80 + at), SIGNS_ALL) for at in range(3)),
        rolled(),
    ),
}


@pytest.mark.parametrize("beside", ROLLED.values(), ids=ROLLED)
def test_an_issuer_may_sign_with_another_of_its_keys(
    beside: Callable[[], tuple[Issued, ...]],
) -> None:
    """RFC 5280, 6.3.3, f: after a change of its key, say."""
    own = beside()[-1]
    revoked = make_crl(own, (signer(), NOW - HOUR, COMPROMISE))
    assert judged(crls=(revoked, middle_is_good()), beside=beside()).outcome is FAILED
    assert judged(crls=(make_crl(own), middle_is_good()), beside=beside()).outcome is PASSED
    assert judged(crls=(revoked, middle_is_good())).outcome is UNKNOWN
    # The collector keeps what a verifier will be able to judge.
    asked = replace(
        source(), root=top().der, beside=tuple(each.der for each in (middle(), *beside()))
    )
    check_crl(make_crl(own), asked, NOW)
    check_ocsp(make_ocsp(signer(), middle(), responder=own, certificates=[]), asked, NOW)
    with pytest.raises(BadAnswer, match="signed neither"):
        check_crl(make_crl(own), source(), NOW)
    for by, carried in ((own, []), (issue("R", own, key("p256", 72), (ANSWERS,)), None)):
        said = make_ocsp(signer(), middle(), revoked=NOW - HOUR, responder=by, certificates=carried)
        answers: dict[str, Any] = {"crls": (middle_is_good(),), "ocsps": (said,)}
        assert judged(**answers, beside=beside()).outcome is FAILED
        assert judged(**answers).outcome is UNKNOWN


NOT_ROLLED: dict[str, Callable[[], tuple[Issued, ...]]] = {
    "nobody vouches for it": lambda: (issue("In between", None, key("p256", 71), SIGNS_ALL),),
    "it is no authority": lambda: (issue("In between", top(), key("p256", 71), STAMPS),),
    "it has ended": lambda: (rolled(start=NOW - 9 * DAY, end=NOW - 8 * DAY),),
    "it may not sign lists": lambda: (issue("In between", top(), key("p256", 71), CA),),
    "others of its name use the search up": lambda: (
        *(issue("In between", top(), key("p256", 80 + at), SIGNS_ALL) for at in range(MAX_SIGNERS)),
        rolled(),
    ),
}


@pytest.mark.parametrize("beside", NOT_ROLLED.values(), ids=NOT_ROLLED)
def test_who_only_bears_the_issuers_name_signs_nothing(
    beside: Callable[[], tuple[Issued, ...]],
) -> None:
    revoked = make_crl(middle(), (signer(), NOW - HOUR, COMPROMISE), signer_key=key("p256", 71))
    assert judged(crls=(revoked, middle_is_good()), beside=beside()).outcome is UNKNOWN


def issuer_of(issued: Issued) -> tuple[Any, bool]:
    return x509.CertificateIssuer([x509.DirectoryName(issued.certificate.subject)]), True


def test_indirect_lists() -> None:
    """RFC 5280, 5.3.3: an entry is of the issuer that it names, or that one before it named; the
    certificate says whose lists it is in, too."""
    lister = issue("A lister", top(), key("p256", 73), SIGNS_ALL)
    name = x509.DirectoryName(lister.certificate.subject)
    also = (x509.DNSName("crl.example"), name)
    points = [x509.DistributionPoint(place(CRL_URL), None, None, also)]
    where = (x509.CRLDistributionPoints(points), False)
    by = issue("The signer", middle(), key("rsa", 62), (*STAMPS, where))
    indirect = idp(indirect_crl=True)
    before = issue("Another", middle(), key("rsa", 62), STAMPS)

    def crl(*entries: tuple[Issued, list[Any]], issuer: Issued = lister) -> bytes:
        listed = [(issued, NOW - HOUR, about) for issued, about in entries]
        return make_crl(issuer, *listed, extensions=[indirect])

    def outcome(der: bytes, by: Issued = by) -> Outcome:
        return judged(by=by, crls=(der, middle_is_good()), beside=(lister,)).outcome

    assert outcome(crl((by, [*COMPROMISE, issuer_of(middle())]))) is FAILED
    assert outcome(crl((before, [issuer_of(middle())]), (by, COMPROMISE))) is FAILED
    # The number is another issuer's.
    assert outcome(crl((by, COMPROMISE))) is UNKNOWN
    assert outcome(crl((by, [*COMPROMISE, issuer_of(top())]))) is UNKNOWN
    # The certificate does not name the lister.
    assert outcome(crl((signer(), [*COMPROMISE, issuer_of(middle())])), signer()) is UNKNOWN
    # What is not in it is not said to be good.
    assert outcome(crl()) is UNKNOWN
    # The issuer's own, too.
    assert outcome(crl((by, COMPROMISE), issuer=middle())) is FAILED
    assert outcome(crl((by, [*COMPROMISE, issuer_of(top())]), issuer=middle())) is UNKNOWN
    critical = [*COMPROMISE, issuer_of(middle()), STRANGE]
    assert outcome(crl((by, critical))) is UNKNOWN
    # An entry that is taken back says nothing.
    removed = (x509.CRLReason(REASONS.remove_from_crl), False)
    assert outcome(crl((by, [removed, issuer_of(middle())]))) is UNKNOWN
    # In a list that is not indirect, such an entry is not understood.
    direct = make_crl(middle(), (by, NOW - HOUR, [*COMPROMISE, issuer_of(middle())]))
    assert outcome(direct) is UNKNOWN


def test_a_responders_method_must_have_been_sound() -> None:
    forever = datetime(2100, 1, 1, tzinfo=UTC)
    for kind, words in (("rsa", None), ("rsa1024", "is not accepted")):
        by = issue("A responder", middle(), key(kind, 74), (ANSWERS,), end=forever)
        answer = make_ocsp(signer(), middle(), responder=by, hash_signature=hashes.SHA256())
        assert_use("ocsps", answer, words)


# Where to ask
# --------------------------------------------------------------------------------------------------


def test_sources_of_a_chain() -> None:
    chain, other = (signer().der, middle().der, top().der), rolled().der
    around = top().der, (*chain, other)
    found = revocation_sources(chain, [other])
    assert found == (
        RevocationSource(signer().der, middle().der, (OCSP_URL,), (CRL_URL,), *around),
        RevocationSource(middle().der, top().der, (OCSP_URL,), (CRL_URL,), *around),
    )
    assert [other_keys(each) for each in found] == [(other,), ()]
    chain = (stamper().der, root().der)
    assert revocation_sources(chain) == (RevocationSource(*chain, (), (), root().der, chain),)
    assert (
        revocation_sources([signer().der])
        == revocation_sources([])
        == revocation_sources([b"", middle().der])
        == ()
    )


def with_places(*extensions: Any) -> Issued:
    return issue(
        "Many places",
        middle(),
        key("rsa", 62),
        (*STAMPS, *((extension, False) for extension in extensions)),
    )


def test_addresses_that_are_left_out() -> None:
    bad = [
        "ldap://directory.example/",
        "file:///etc/passwd",
        "http:/example",
        "http://a b.example/",
        "http://example/\r\nX: y",
        "http://" + "x" * MAX_URL,
    ]
    good = [f"HTTPS://example/{number}" for number in range(MAX_URLS + 1)]
    methods = x509.AuthorityInformationAccess(
        [access(AuthorityInformationAccessOID.OCSP, url) for url in (*bad, good[0], *good)]
    )
    found = revocation_sources([with_places(methods, points(*bad, *good)).der, middle().der])[0]
    assert found.ocsp_urls == found.crl_urls == tuple(good[:MAX_URLS])


def test_places_of_other_kinds_are_left_out() -> None:
    name = x509.DirectoryName(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a directory")])
    )
    named = x509.DistributionPoint([name], None, None, None)
    indirect = x509.DistributionPoint(place(CRL_URL), None, None, [name])
    part = x509.DistributionPoint(place(CRL_URL), None, frozenset({REASONS.superseded}), None)
    relative = x509.DistributionPoint(
        None,
        x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "b")]),
        None,
        None,
    )
    found = revocation_sources(
        [
            with_places(x509.CRLDistributionPoints([named, indirect, part, relative])).der,
            middle().der,
        ]
    )[0]
    assert found.crl_urls == ()


def test_extensions_that_cannot_be_read_name_no_place() -> None:
    broken = [
        x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x03\x02\x01\x01")
        for oid in ("1.3.6.1.5.5.7.1.1", "2.5.29.31")
    ]
    der = with_places(*broken).der
    (found,) = revocation_sources([der, middle().der])
    assert (found.ocsp_urls, found.crl_urls) == ((), ())
    assert issuer_urls(der) == ()


def test_places_that_cannot_be_read_are_none_and_disturb_nobody() -> None:
    """Each is read when it is needed: what is wrong deep inside must not be met by then."""
    for inner in ("8101", "a2028900", "a2020500", "a10403020780", "a0020500", "a206a40430020500"):
        raw = bytes.fromhex(inner)
        value = wrap(0x30, wrap(0x30, raw))
        broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), value), False
        by = issue("The signer", middle(), key("rsa", 62), (*STAMPS, broken))
        assert revocation_sources([by.der, middle().der])[0].crl_urls == ()
        for issuer in (middle(), top()):
            crl = make_crl(issuer, extensions=[idp(full_name=place(CRL_URL))])
            assert judged(by=by, crls=(crl,)).outcome is UNKNOWN


def test_where_the_issuers_certificate_can_be_had() -> None:
    assert issuer_urls(signer().der) == (ISSUER_URL,)
    assert issuer_urls(stamper().der) == issuer_urls(b"rubbish") == ()


def test_request_names_the_certificate() -> None:
    der = format_ocsp_request(signer().der, middle().der)
    request = ocsp.load_der_ocsp_request(der)
    expected = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(signer().certificate, middle().certificate, hashes.SHA1())
        .build()
    )
    assert request.serial_number == signer().certificate.serial_number
    assert (request.issuer_name_hash, request.issuer_key_hash) == (
        expected.issuer_name_hash,
        expected.issuer_key_hash,
    )
    assert len(request.extensions) == 0
    for pair in ((b"", middle().der), (signer().der, b"")):
        with pytest.raises(InvalidInput, match="cannot be read"):
            format_ocsp_request(*pair)


def test_certificates_that_cannot_be_read_have_no_answers() -> None:
    for pair in (
        RevocationSource(b"", middle().der, (), ()),
        RevocationSource(signer().der, b"", (), ()),
    ):
        assert_use("ocsps", make_ocsp(signer(), middle()), "cannot be read", pair)
        assert_use("crls", make_crl(middle()), "cannot be read", pair)
