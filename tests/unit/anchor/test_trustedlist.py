"""EU trusted lists: what a scheme operator signed counts, and nothing else does."""

import base64
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from make_list import DS, LONG_AGO, NS, QTST, TSA, Listed, make_list, sign_list
from servers.tsa import Issuer, der
from signxml import CanonicalizationMethod

from witnesstree.anchor import trustedlist
from witnesstree.anchor.trustedlist import MAX_LIST, Service, TrustedList, parse_list
from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.errors import InvalidInput

NOW = datetime.now(UTC)
OPERATOR = Issuer.root("Scheme operator").issue("AT scheme operator")
OTHER = Issuer.root("Somebody").issue("Somebody else")
ROOT = Issuer.root("Qualified authority")
SIGNER = ROOT.issue(
    "Qualified signer", "p256", (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
)
OF_2016 = datetime(2016, 7, 1, tzinfo=UTC)
GRANTED = Listed([ROOT.certificate])


def parsed(content: bytes, *signers: Issuer, now: datetime = NOW) -> TrustedList:
    return parse_list(content, [each.certificate for each in signers or [OPERATOR]], now)


def services(*listed: Listed) -> tuple[Service, ...]:
    return parsed(sign_list(make_list(listed), OPERATOR)).services


def refused(content: bytes, *signers: Issuer, now: datetime = NOW) -> str:
    with pytest.raises(InvalidInput) as caught:
        parsed(content, *signers, now=now)
    assert str(caught.value)
    return caught.value.message.code


SIGNED = sign_list(make_list([GRANTED]), OPERATOR)


def test_a_list_says_who_may_stamp() -> None:
    found = parsed(sign_list(make_list([GRANTED, Listed([SIGNER.certificate])]), OPERATOR))
    assert replace(found, signer="") == TrustedList(
        territory="AT",
        issue=7,
        issued=datetime(2026, 10, 1, tzinfo=UTC),
        next_update=datetime(2027, 3, 1, tzinfo=UTC),
        signer="",
        services=(
            Service(der(ROOT.certificate), OF_2016, None),
            Service(der(SIGNER.certificate), OF_2016, None),
        ),
    )
    from hashlib import sha256

    assert found.signer == sha256(der(OPERATOR.certificate)).hexdigest()


@pytest.mark.parametrize("method", ["rsa-sha256", "rsa-sha512", "sha256-rsa-MGF1"])
def test_operators_may_sign_with_rsa(method: str) -> None:
    operator = Issuer.root().issue("RSA operator", "rsa")
    assert parsed(sign_list(make_list([GRANTED]), operator, method=method), operator).services


@pytest.mark.parametrize("version", ["5", "6"])
def test_both_versions_are_read(version: str) -> None:
    signed = sign_list(make_list([GRANTED], version=version), OPERATOR)
    assert len(parsed(signed).services) == 1


def test_several_signers_may_be_given() -> None:
    assert parsed(SIGNED, OTHER, OPERATOR).services


# What counts of a list
# --------------------------------------------------------------------------------------------------


def times(*states: tuple[str, str], kind: str = QTST) -> list[tuple[str, str | None]]:
    found = services(Listed([ROOT.certificate], states, kind))
    return [(f"{each.since:%Y-%m-%d}", each.until and f"{each.until:%Y-%m-%d}") for each in found]


def test_a_status_counts_for_its_time() -> None:
    day = "T00:00:00Z"
    assert times(("withdrawn", f"2020-05-01{day}"), ("granted", LONG_AGO)) == [
        ("2016-07-01", "2020-05-01")
    ]
    assert times(
        ("granted", f"2022-01-01{day}"),
        ("withdrawn", f"2020-05-01{day}"),
        ("granted", LONG_AGO),
        ("accredited", f"2010-05-01{day}"),
    ) == [("2016-07-01", "2020-05-01"), ("2022-01-01", None)]
    assert times(("withdrawn", LONG_AGO)) == []
    # Of two states of one moment, the newer one counts.
    assert times(("withdrawn", LONG_AGO), ("granted", LONG_AGO)) == []
    assert times(("granted", LONG_AGO), ("withdrawn", LONG_AGO)) == [("2016-07-01", None)]


def test_a_time_may_have_any_zone() -> None:
    found = services(Listed([ROOT.certificate], [("granted", "2016-07-01T02:00:00.5+02:00")]))
    assert [each.since for each in found] == [OF_2016]


def test_services_that_are_not_qualified_count_as_their_state_recognises_them() -> None:
    assert times(("recognisedatnationallevel", LONG_AGO), kind=TSA) == [("2016-07-01", None)]
    assert times(("granted", LONG_AGO), kind=TSA) == []
    assert times(("recognisedatnationallevel", LONG_AGO)) == []


@pytest.mark.parametrize("kind", ["CA/QC", "TSA/TSS-QC", "TSA/QTST/x", "Certstatus/OCSP/QC"])
def test_other_services_count_for_nothing(kind: str) -> None:
    assert times(("granted", LONG_AGO), kind=f"http://uri.etsi.org/TrstSvc/Svctype/{kind}") == []


def extension(critical: str, content: str) -> str:
    return (
        "<ServiceInformationExtensions>"
        f'<Extension Critical="{critical}">{content}</Extension></ServiceInformationExtensions>'
    )


@pytest.mark.parametrize(
    ("critical", "content", "count"),
    [
        ("true", "<AdditionalServiceInformation/>", 1),
        ("false", "<Strange/>", 1),
        ("true", "<Strange/>", 0),
        ("1", "<AdditionalServiceInformation/><Strange/>", 0),
    ],
)
def test_a_service_with_an_unknown_critical_extension_is_passed_over(
    critical: str, content: str, count: int
) -> None:
    listed = Listed([ROOT.certificate], extensions=extension(critical, content))
    found = parsed(sign_list(make_list([listed]), OPERATOR))
    assert (len(found.services), found.passed_over) == (count, 1 - count)


def test_certificates_that_cannot_be_used_are_passed_over(tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path / "authority", NOW)
    stand_in = x509.load_pem_x509_certificate((tmp_path / "authority/root.pem").read_bytes())
    large = base64.b64encode(bytes(trustedlist.MAX_CERTIFICATE + 1)).decode()
    listed = Listed(["", "no base64!", "AAAA", large, stand_in, ROOT.certificate])
    found = parsed(sign_list(make_list([listed]), OPERATOR))
    assert [each.certificate for each in found.services] == [der(ROOT.certificate)]
    assert found.passed_over == 5


def test_names_that_are_too_long_make_no_noise() -> None:
    """X.520 allows 64 characters; lists hold certificates with more. Warnings are errors here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        long = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A" * 70, _validate=False)])
        certificate = named(long)
    assert parsed(sign_list(make_list([Listed([certificate])]), OPERATOR)).passed_over == 0


def named(name: x509.Name) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    return (
        x509.CertificateBuilder(name, name, ROOT.key.public_key(), 1, NOW, NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ROOT.key, hashes.SHA256())
    )


def test_a_list_without_time_stamping_is_one() -> None:
    assert services() == ()


def test_a_list_is_outdated_after_its_next_update_or_without_one() -> None:
    found = parsed(SIGNED)
    assert not found.is_outdated(datetime(2027, 2, 28, tzinfo=UTC))
    assert found.is_outdated(datetime(2027, 3, 2, tzinfo=UTC))
    last = parsed(sign_list(make_list([GRANTED], next_update=None), OPERATOR))
    assert last.next_update is None
    assert last.is_outdated(NOW)


# What is refused
# --------------------------------------------------------------------------------------------------


def test_somebody_elses_signature() -> None:
    with pytest.raises(InvalidInput, match=r"in the name of “Somebody else”.* gave AT scheme op"):
        parsed(sign_list(make_list([GRANTED]), OTHER))


def test_a_signature_in_the_name_of_the_operator() -> None:
    """The certificate is the operator's, the key is not."""
    assert refused(sign_list(make_list([GRANTED]), Issuer(OPERATOR.certificate, OTHER.key))) == (
        "list-signature-wrong"
    )


def test_an_operator_of_the_same_name() -> None:
    twin = Issuer.root("Scheme operator").issue("AT scheme operator")
    assert refused(sign_list(make_list([GRANTED]), twin)) == "list-signed-by-others"


def test_a_signature_that_names_nobody() -> None:
    with pytest.raises(InvalidInput, match="by somebody whom it does not name"):
        parsed(without(SIGNED, f"{{{DS}}}KeyInfo"))


def without(content: bytes, tag: str) -> bytes:
    root = etree.fromstring(content)
    for each in list(root.iter(tag)):
        parent = each.getparent()
        assert parent is not None
        parent.remove(each)
    return etree.tostring(root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<TSLSequenceNumber>7<", b"<TSLSequenceNumber>8<"),
        (b">AT<", b">DE<"),
        (b"2016-07-01", b"2010-07-01"),
        (b"/granted<", b"/withdrawn<"),
        (b"</TSPServices>", b"<TSPService/></TSPServices>"),
    ],
)
def test_a_list_that_was_changed(old: bytes, new: bytes) -> None:
    assert old in SIGNED
    assert refused(SIGNED.replace(old, new)) == "list-changed"


def test_signed_properties_that_were_changed() -> None:
    assert refused(SIGNED.replace(b"text/xml", b"text/xmL")) == "list-changed"


def test_a_comment_does_not_cut_a_status_in_two() -> None:
    """Without comments, what is digested is `granted`; read with them, it would be `gran`."""
    cut = SIGNED.replace(b"/granted<", b"/gran<!-- -->ted<")
    assert parsed(cut).services == parsed(SIGNED).services
    made = make_list([GRANTED]).replace(b"/granted<", b"/gran<!-- -->ted<")
    form = CanonicalizationMethod.CANONICAL_XML_1_1_WITH_COMMENTS
    assert parsed(sign_list(made, OPERATOR, form=form)).services == parsed(SIGNED).services


def test_no_signature_and_two() -> None:
    assert refused(make_list([GRANTED])) == "list-signatures-not-one"
    root = etree.fromstring(SIGNED)
    signature = root.find(f"{{{DS}}}Signature")
    assert signature is not None
    root.append(etree.fromstring(etree.tostring(signature)))
    assert refused(etree.tostring(root)) == "list-signatures-not-one"


def wrapped(inner: bytes, territory: str) -> bytes:
    """Move the signature of `inner` into a list of somebody's own, which has the signed one
    inside."""
    forged = etree.fromstring(make_list([Listed([OTHER.certificate])], territory=territory))
    forged.set("Id", "forged")
    signed = etree.fromstring(inner)
    signature = signed.find(f"{{{DS}}}Signature")
    assert signature is not None
    signed.remove(signature)
    forged.append(signed)
    forged.append(signature)
    return etree.tostring(forged)


def test_a_signed_list_inside_another_one() -> None:
    by_name = sign_list(make_list([GRANTED], name="list"), OPERATOR)
    assert parsed(by_name).services == parsed(SIGNED).services
    assert refused(wrapped(by_name, "AT")) == "list-not-signed-whole"
    assert refused(wrapped(SIGNED, "AT")) == "list-changed"


def test_a_list_of_which_only_a_part_is_signed() -> None:
    part = make_list([GRANTED]).replace(b"<SchemeInformation>", b'<SchemeInformation Id="part">')
    assert refused(sign_list(part, OPERATOR, "part")) == "list-not-signed-whole"


def test_two_elements_of_the_signed_name() -> None:
    by_name = sign_list(make_list([GRANTED], name="list"), OPERATOR)
    twice = by_name.replace(b"<SchemeInformation>", b'<SchemeInformation Id="list">')
    assert refused(twice) == "list-signature-unreadable"


def test_methods_that_are_not_accepted() -> None:
    weak = SIGNED.replace(b"xmldsig-more#ecdsa-sha256", b"xmldsig-more#ecdsa-sha1")
    assert refused(weak) == "list-signature-unreadable"
    shared = SIGNED.replace(b"xmldsig-more#ecdsa-sha256", b"xmldsig-more#hmac-sha256")
    assert refused(shared) == "list-signature-unreadable"
    digested = sign_list(make_list([GRANTED]), OPERATOR, digest="sha224")
    assert refused(digested) == "list-signature-unreadable"


def test_a_signer_out_of_its_life() -> None:
    with pytest.raises(InvalidInput, match=r"“AT scheme operator”, .* ended on 20"):
        parsed(SIGNED, now=NOW + timedelta(days=11))
    with pytest.raises(InvalidInput, match=r"“AT scheme operator”, .* begins on 20"):
        parsed(SIGNED, now=NOW - timedelta(days=11))


MEMBERS = {
    "list-version-unknown": {"version": "4"},
    "list-of-another-kind": {"kind": "http://uri.etsi.org/TrstSvc/TrustedList/TSLType/CClist"},
}


@pytest.mark.parametrize(("code", "members"), MEMBERS.items(), ids=MEMBERS)
def test_lists_of_another_kind(code: str, members: dict[str, str]) -> None:
    assert refused(sign_list(make_list([GRANTED], **members), OPERATOR)) == code


@pytest.mark.parametrize(
    "members",
    [
        {"territory": "at"},
        {"territory": ""},
        {"issue": "-1"},
        {"issue": "٣"},
        {"issue": "1" * 10},
        {"issued": "yesterday"},
        {"issued": "2026-10-01T00:00:00"},
        {"issued": "0001-01-01T00:00:00+23:00"},
        {"next_update": "never"},
    ],
)
def test_members_that_cannot_be_read(members: dict[str, str]) -> None:
    made = make_list([GRANTED], **members)  # type: ignore[arg-type]
    assert refused(sign_list(made, OPERATOR)) == "list-member-unreadable"


def test_a_member_that_is_missing_or_there_twice() -> None:
    territory = b"<SchemeTerritory>AT</SchemeTerritory>"
    for instead in (b"", 2 * territory):
        signed = sign_list(make_list([GRANTED]).replace(territory, instead), OPERATOR)
        assert refused(signed) == "list-member-unreadable"


NOT_XML = {
    "nothing": (b"", "list-not-xml"),
    "text": (b"hello", "list-not-xml"),
    "no UTF-8": (b"<a>\xff</a>", "list-not-xml"),
    "UTF-16": ("<a/>".encode("utf-16"), "list-not-xml"),
    "cut off": (SIGNED[:-9], "list-not-xml"),
    "deep": (b"<a>" * 5000 + b"</a>" * 5000, "list-not-xml"),
    "another document": (b"<html/>", "list-expected"),
    "a document type": (b'<!DOCTYPE a SYSTEM "http://tsa.example/"><a/>', "list-declares-entities"),
    "many laughs": (
        b'<!doctype a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a>&c;</a>',
        "list-declares-entities",
    ),
    "large": (bytes(MAX_LIST + 1), "list-too-large"),
}


@pytest.mark.parametrize(("content", "code"), NOT_XML.values(), ids=NOT_XML)
def test_what_is_no_list(content: bytes, code: str) -> None:
    assert refused(content) == code


def test_a_declared_encoding_means_nothing() -> None:
    """UTF-7 could hide a document type from who looks for it."""
    sly = SIGNED.replace(b"UTF-8", b"UTF-7").replace(b"utf-8", b"UTF-7")
    assert parsed(sly).services == parsed(SIGNED).services


def test_more_services_than_any_list_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trustedlist, "MAX_SERVICES", 1)
    assert len(services(GRANTED)) == 1
    two = sign_list(make_list([GRANTED, Listed([SIGNER.certificate])]), OPERATOR)
    assert refused(two) == "list-services-too-many"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "signxml", None)
    with pytest.raises(InvalidInput, match=r'pip install "witnesstree\[lists\]"'):
        parsed(SIGNED)


def test_a_signature_with_parts_missing() -> None:
    for tag in ("SignedInfo", "SignatureValue", "SignatureMethod", "Reference", "DigestValue"):
        assert refused(without(SIGNED, f"{{{DS}}}{tag}")).startswith("list-signature-"), tag


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_any_mutation_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SIGNED) - 1))
    end = data.draw(st.integers(at, min(at + 40, len(SIGNED))))
    new = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from([b"<", b"&lt;", b"<!---->"])))
    try:
        found = parsed(SIGNED[:at] + new + SIGNED[end:])
    except InvalidInput:
        return
    assert found == parsed(SIGNED)


def test_nothing_outside_the_namespace_is_read() -> None:
    assert NS in SIGNED.decode()
    assert refused(SIGNED.replace(NS.encode(), b"urn:other")) == "list-expected"
