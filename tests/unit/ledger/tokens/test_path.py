"""ledger/tokens/path.py and names.py: each rule of RFC 5280, 6.1 by itself, in chains made for it.
tests/interop/test_path_forest.py has many at once, before another program."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.x509.oid import NameOID
from make_forest import ANY, IA5, PRINTABLE, UTF8, dn
from make_revocation import SIGNS_ALL
from make_token import NOW, STAMPS, Issued, issue, key, remade, sign_ec, trust

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.tokens.names import MAX_COMPARISONS, comparable, subject_of
from witnesstree.ledger.tokens.x509 import MAX_PATHS, Chain, find_chain, read_certificate
from witnesstree.ledger.trust import Trust

CN, ORG = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
CA = SIGNS_ALL[0]
Extension = tuple[Any, bool]
BITS = type(UTF8).BitString
GOOD, BAD = dn((ORG, "Good")), dn((ORG, "Bad"))


def unread(oid: str, value: bytes, *, critical: bool = False) -> Extension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical


def policies(*oids: str, critical: bool = False) -> Extension:
    stated = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    return x509.CertificatePolicies(stated), critical


def needed(
    after: int | None = 0, mapping: int | None = None, *, critical: bool = False
) -> Extension:
    return x509.PolicyConstraints(after, mapping), critical


def mapped(*pairs: tuple[str, str]) -> Extension:
    value = [{"issuer_domain_policy": a, "subject_domain_policy": b} for a, b in pairs]
    return unread("2.5.29.33", asn1_x509.PolicyMappings(value).dump(), critical=True)


def limited(
    permitted: list[Any] | None = None, excluded: list[Any] | None = None, *, critical: bool = False
) -> Extension:
    return x509.NameConstraints(permitted, excluded), critical


def path_length(length: int) -> Extension:
    return x509.BasicConstraints(ca=True, path_length=length), True


def chain(
    *links: tuple[str | x509.Name, list[Extension]], root: list[Extension] | None = None
) -> list[Issued]:
    """A chain, the root first; each link has a name and its extensions, but for basicConstraints
    where there are none, and for the last one's purpose."""
    made = [issue("The root", None, key("p256", 400), [CA, *(root or [])])]
    for at, (name, extensions) in enumerate(links):
        is_last = at == len(links) - 1
        if is_last:
            own = [*STAMPS, *extensions]
        else:
            has = any(isinstance(each, x509.BasicConstraints) for each, _ in extensions)
            own = extensions if has else [CA, *extensions]
        made.append(issue(name, made[-1], key("p256", 401 + at), own))
    return made


def judged(made: list[Issued]) -> Chain:
    leaf = read_certificate(made[-1].der)
    assert leaf
    return find_chain(leaf, NOW, [each.der for each in made[1:-1]], Trust(tuple(trust(made[0]))))


def code_of(made: list[Issued]) -> str | None:
    """Return the rule that is broken, with a question mark where it only cannot be judged."""
    found = judged(made)
    if found.path:
        assert [each.der for each in found.path] == [each.der for each in reversed(made)]
        return None
    assert found.refusal
    assert str(found.refusal.message)
    return found.refusal.message.code + "?" * found.refusal.is_beyond


# Names that are the same
# --------------------------------------------------------------------------------------------------

SAME = {
    "case": (dn((CN, "An Authority")), dn((CN, "AN authority"))),
    "white space": (dn((CN, "An Authority")), dn((CN, "  An   Authority "))),
    "the kind of string": (dn((CN, "An Authority")), dn((CN, "An Authority"), form=PRINTABLE)),
    "two bytes a letter": (
        dn((CN, "An Authority")),
        dn((CN, "an authority"), form=type(UTF8).BMPString),
    ),
    "four bytes a letter": (
        dn((CN, "An Authority")),
        dn((CN, "An Authority"), form=type(UTF8).UniversalString),
    ),
    "case of other letters": (dn((CN, "Straße Ω")), dn((CN, "STRASSE ω"))),
    "letters of another width": (dn((CN, "时间戳 ＴＳＡ")), dn((CN, "时间戳 tsa"))),
    "what is not seen": (dn((CN, "A\u00adB")), dn((CN, "ab"))),
}
DIFFERENT = {
    "text": (dn((CN, "A")), dn((CN, "B"))),
    "attribute": (dn((CN, "A")), dn((ORG, "A"))),
    "order": (dn((CN, "A"), (ORG, "B")), dn((ORG, "B"), (CN, "A"))),
    "number": (dn((CN, "A")), dn((CN, "A"), (ORG, "B"))),
    "bits": (
        dn((CN, "A")),
        x509.Name([x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"A", BITS)]),
    ),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_names_that_are_the_same(one: x509.Name, other: x509.Name) -> None:
    """RFC 5280, 7.1: certificates chain by them, and constraints hold for them."""
    assert comparable(one.public_bytes()) == comparable(other.public_bytes())
    root = issue("The root", None, key("p256", 400), [CA])
    between = issue(one, root, key("p256", 401), [CA])
    leaf = issue("T", between, key("p256", 402), STAMPS, issuer_name=other)
    assert code_of([root, between, leaf]) is None
    excluded = issue(one, root, key("p256", 401), [CA, limited(None, [x509.DirectoryName(other)])])
    leaf = issue(one, excluded, key("p256", 402), STAMPS)
    assert code_of([root, excluded, leaf]) == "name-not-permitted"


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_names_that_differ(one: x509.Name, other: x509.Name) -> None:
    assert comparable(one.public_bytes()) != comparable(other.public_bytes())


def test_a_text_that_cannot_be_decoded_is_compared_by_its_bytes() -> None:
    def name(value: bytes) -> bytes:
        kind = bytes.fromhex("0603550403")
        part = b"\x30" + bytes([len(kind) + len(value)]) + kind + value
        outer = b"\x31" + bytes([len(part)]) + part
        return b"\x30" + bytes([len(outer)]) + outer

    assert comparable(name(b"\x0c\x01\xff")) == comparable(name(b"\x0c\x01\xff"))
    assert comparable(name(b"\x0c\x01\xff")) != comparable(name(b"\x0c\x01\xfe"))
    assert comparable(name(b"\x14\x01\xe4")) != comparable(name(b"\x0c\x02\xc3\xa4"))
    for broken in (b"", b"\x30\x02\x31", b"\x30\x02\x31\x00\x05\x00", name(b"\x0c\x05a")):
        with pytest.raises(InvalidInput):
            comparable(broken)


def test_the_subject_of_a_certificate_is_found_by_its_place() -> None:
    made = issue("A name", None, key("p256", 400), [CA])
    assert subject_of(made.der) == comparable(made.certificate.subject.public_bytes())
    for broken in (b"", b"rubbish", made.der[:60], made.der[:-1], b"\x30\x02\x30\x00", b"\x30\x00"):
        assert subject_of(broken) is None


# Lengths
# --------------------------------------------------------------------------------------------------


def test_lengths_of_paths() -> None:
    two = [("A", [path_length(1)]), ("B", []), ("T", [])]
    assert code_of(chain(*two)) is None
    assert code_of(chain(("A", [path_length(0)]), ("T", []))) is None
    assert (
        code_of(chain(("A", [path_length(0)]), ("B", []), ("T", []))) == "path-longer-than-allowed"
    )
    three = [("A", [path_length(1)]), ("B", []), ("C", []), ("T", [])]
    assert code_of(chain(*three)) == "path-longer-than-allowed"
    # A later, greater number allows nothing more.
    three = [("A", [path_length(1)]), ("B", [path_length(9)]), ("C", []), ("T", [])]
    assert code_of(chain(*three)) == "path-longer-than-allowed"


def test_self_issued_certificates_do_not_count() -> None:
    """With them an authority changes its key (RFC 5280, 6.1, and 4.2.1.9)."""
    rolled = [("A", [path_length(0)]), ("A", [path_length(0)]), ("a", []), ("T", [])]
    assert code_of(chain(*rolled)) is None
    assert code_of(chain(("A", [path_length(0)]), ("A", []), ("T", []))) is None
    last = [("A", [path_length(0)]), ("A", [])]
    assert code_of(chain(*last)) is None


def test_dates_in_generalized_time_before_2050() -> None:
    """RFC 5280, 4.1.2.5 has them otherwise, and they are no less clear."""

    def generalized(fields: Any) -> None:
        life = fields["validity"]
        for which in ("not_before", "not_after"):
            value = core.GeneralizedTime(life[which].native)
            life[which] = asn1_x509.Time(name="general_time", value=value)

    root, leaf = chain(("T", []))
    assert code_of([root, remade(leaf, root, generalized)]) is None
    past = issue("T", root, leaf.key, STAMPS, end=NOW - timedelta(seconds=1))
    assert code_of([root, remade(past, root, generalized)]) == "certificate-not-valid-then"


# Name constraints
# --------------------------------------------------------------------------------------------------

DNS, MAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier


def address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text) if "/" in text else ip_address(text))


WITHIN: list[tuple[Any, Any, bool]] = [
    (DNS("a.example"), DNS("a.example"), True),
    (DNS("a.example"), DNS("b.A.example"), True),
    (DNS("a.example"), DNS("xa.example"), False),
    (DNS("a.example"), DNS("example"), False),
    (DNS(".a.example"), DNS("b.a.example"), True),
    (DNS(".a.example"), DNS("a.example"), False),
    (DNS(""), DNS("a.example"), True),
    (MAIL("m@a.example"), MAIL("m@A.example"), True),
    (MAIL("m@a.example"), MAIL("M@a.example"), False),
    (MAIL("a.example"), MAIL("n@a.example"), True),
    (MAIL("a.example"), MAIL("n@b.a.example"), False),
    (MAIL(".a.example"), MAIL("n@b.a.example"), True),
    (MAIL(".a.example"), MAIL("n@a.example"), False),
    (URI("a.example"), URI("http://u@a.example:80/x"), True),
    (URI("a.example"), URI("http://b.a.example/"), False),
    (URI(".a.example"), URI("http://b.a.example?a.example/"), True),
    (address("10.1.0.0/16"), address("10.1.2.3"), True),
    (address("10.1.0.0/16"), address("10.2.2.3"), False),
    (address("2001:db8::/32"), address("2001:db8::1"), True),
    (address("2001:db8::/32"), address("10.1.2.3"), False),
    (x509.DirectoryName(GOOD), x509.DirectoryName(dn((ORG, "good"), (CN, "x"))), True),
    (x509.DirectoryName(GOOD), x509.DirectoryName(dn((CN, "x"), (ORG, "Good"))), False),
    (x509.DirectoryName(dn()), x509.DirectoryName(BAD), True),
]


@pytest.mark.parametrize(("tree", "name", "is_in"), WITHIN, ids=str)
@pytest.mark.parametrize("critical", [True, False])
def test_forms_of_names(tree: Any, name: Any, is_in: bool, critical: bool) -> None:
    leaf = (dn(), [(x509.SubjectAlternativeName([name]), True)])
    permitted = chain(("A", [limited([tree], critical=critical)]), leaf)
    assert code_of(permitted) == (None if is_in else "name-not-permitted")
    excluded = chain(("A", [limited(None, [tree], critical=critical)]), leaf)
    assert code_of(excluded) == ("name-not-permitted" if is_in else None)


@pytest.mark.parametrize(
    "uri", ["urn:x", "http://10.1.2.3/", "http://[::1]/", "file:///x", "http://"]
)
def test_uris_without_a_host_are_refused_where_uris_are_limited(uri: str) -> None:
    leaf = ("T", [(x509.SubjectAlternativeName([URI(uri)]), False)])
    for limits in (([URI("a.example")], None), (None, [URI("a.example")])):
        assert code_of(chain(("A", [limited(*limits)]), leaf)) == "name-not-permitted"
    assert code_of(chain(("A", [limited([DNS("a.example")])]), leaf)) is None


def test_an_address_in_the_subject_is_one_of_mail() -> None:
    """RFC 5280, 4.2.1.10: where there is no SubjectAltName."""
    subject = x509.Name(
        [x509.NameAttribute(NameOID.EMAIL_ADDRESS, "m@b.example", IA5), *dn((CN, "T"))]
    )
    limits = ("A", [limited([MAIL("a.example")])])
    assert code_of(chain(limits, (subject, []))) == "name-not-permitted"
    beside = (x509.SubjectAlternativeName([DNS("x.example")]), False)
    assert code_of(chain(limits, (subject, [beside]))) is None
    assert code_of(chain(limits, ("T", []))) is None


def test_every_authority_above_limits_names_and_self_issued_ones_are_left_out() -> None:
    good, named = limited([x509.DirectoryName(GOOD)]), dn((ORG, "Good"), (CN, "T"))
    assert code_of(chain(("A", [good]), (named, []))) is None
    assert code_of(chain(("A", [good]), ("T", []))) == "name-not-permitted"
    narrower = limited([x509.DirectoryName(dn((ORG, "Good"), (CN, "S")))])
    between = (dn((ORG, "Good"), (CN, "B")), [narrower])
    assert code_of(chain(("A", [good]), between, (named, []))) == "name-not-permitted"
    wider = (dn((ORG, "Good"), (CN, "B")), [limited([x509.DirectoryName(BAD)])])
    assert code_of(chain(("A", [good]), wider, (dn((ORG, "Bad")), []))) == "name-not-permitted"
    assert code_of(chain(("A", [good]), ("A", []), (named, []))) is None
    assert code_of(chain(("A", [good]), ("A", []))) == "name-not-permitted"
    assert code_of(chain(("T", []), root=[good])) == "name-not-permitted"


OTHER = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a")
REGISTERED = x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4"))


@pytest.mark.parametrize("name", [OTHER, REGISTERED], ids=["other name", "registered id"])
def test_a_form_of_name_that_is_not_known_here_is_unknown_where_it_matters(name: Any) -> None:
    leaf = ("T", [(x509.SubjectAlternativeName([name]), False)])
    for limits in (([name], None), (None, [name])):
        assert code_of(chain(("A", [limited(*limits)]), leaf)) == "name-constraint-unknown-form?"
        assert code_of(chain(("A", [limited(*limits)]), ("T", []))) is None
    assert code_of(chain(("A", [limited([DNS("a.example")])]), leaf)) is None


def test_constraints_that_cannot_be_read_are_unknown() -> None:
    def subtrees(**more: Any) -> bytes:
        base = {"base": asn1_x509.GeneralName("dns_name", "a.example")}
        return bytes(asn1_x509.NameConstraints({"permitted_subtrees": [base | more]}).dump())

    for value in (subtrees(minimum=1), subtrees(maximum=1)):
        made = chain(("A", [unread("2.5.29.30", value)]), ("T", []))
        assert code_of(made) == "name-constraint-unknown-form?"
    assert code_of(chain(("A", [unread("2.5.29.30", b"\x05\x00")]), ("T", []))) == "der-unreadable?"
    assert code_of(chain(("A", [unread("2.5.29.36", b"\x30")]), ("T", []))) == "der-malformed?"
    short = bytes.fromhex("300aa0083006870401020304")
    made = chain(("A", [unread("2.5.29.30", short)]), ("T", []))
    assert code_of(made) == "name-constraint-unknown-form?"
    # What is wrong comes before what cannot be judged.
    both = chain(("A", [unread("2.5.29.30", short), path_length(0)]), ("B", []), ("T", []))
    assert code_of(both) == "path-longer-than-allowed"


def test_comparisons_are_counted() -> None:
    names = [DNS(f"{number}.example") for number in range(MAX_COMPARISONS // 100 + 1)]
    trees = [DNS(f"x{number}.example") for number in range(100)]
    made = chain(
        ("A", [limited(None, trees)]), ("T", [(x509.SubjectAlternativeName(names), False)])
    )
    assert code_of(made) == "name-constraints-too-many?"


# Policies
# --------------------------------------------------------------------------------------------------

P, Q, R = "1.2.3.1", "1.2.3.2", "1.2.3.3"
INHIBITED: Extension = (x509.InhibitAnyPolicy(0), True)

POLICIES: dict[str, tuple[list[list[Extension]], str | None]] = {
    "none is required": ([[policies(P)], [policies(Q)]], None),
    "none is there, and none required": ([[], []], None),
    "critical ones": ([[policies(P, critical=True)], [policies(P, critical=True)]], None),
    "required": ([[policies(P), needed(0)], [policies(P)]], None),
    "required, and another": ([[policies(P), needed(0)], [policies(Q)]], "policy-not-allowed"),
    "required, and none": ([[policies(P), needed(0)], []], "policy-not-allowed"),
    "required by what is critical": (
        [[policies(P), needed(0, critical=True)], [policies(Q)]],
        "policy-not-allowed",
    ),
    "required, and none above": ([[needed(0)], [policies(P)]], "policy-not-allowed"),
    "required of those two further": ([[policies(P), needed(2)], [policies(Q)]], None),
    "required of the next but one": (
        [[policies(P), needed(1)], [policies(P)], [policies(Q)]],
        "policy-not-allowed",
    ),
    "required by the last one itself": ([[], [policies(P), needed(0)]], "policy-not-allowed"),
    "required by the last one, later": ([[], [policies(P), needed(1)]], None),
    "any above": ([[policies(ANY), needed(0)], [policies(P)]], None),
    "any below": ([[policies(P), needed(0)], [policies(ANY)]], None),
    "any below, inhibited": (
        [[policies(P), needed(0), INHIBITED], [policies(ANY)]],
        "policy-not-allowed",
    ),
    "any below, inhibited in passing": (
        [[policies(P), needed(0), (INHIBITED[0], False)], [policies(ANY)]],
        "policy-not-allowed",
    ),
    "any below, inhibited later": (
        [[policies(P), needed(0), (x509.InhibitAnyPolicy(1), True)], [policies(ANY)]],
        None,
    ),
    "mapped": ([[policies(P), needed(0), mapped((P, Q))], [policies(Q)]], None),
    "mapped away": (
        [[policies(P), needed(0), mapped((P, Q))], [policies(P)]],
        "policy-not-allowed",
    ),
    "mapped to two": ([[policies(P), needed(0), mapped((P, Q), (P, R))], [policies(R)]], None),
    "mapped, what is not there": (
        [[policies(P), needed(0), mapped((R, Q))], [policies(Q)]],
        "policy-not-allowed",
    ),
    "mapped, out of any": ([[policies(ANY), needed(0), mapped((P, Q))], [policies(Q)]], None),
    "mapped, and any stays": ([[policies(ANY), needed(0), mapped((P, Q))], [policies(R)]], None),
    "mapped, though it is inhibited": (
        [[policies(P), needed(0, 0)], [policies(P), mapped((P, Q))], [policies(Q)]],
        "policy-not-allowed",
    ),
    "mapped, what is not there, though it is inhibited": (
        [[policies(P), needed(0, 0)], [policies(P), mapped((R, Q))], [policies(P)]],
        None,
    ),
    "any mapped": ([[policies(ANY), mapped((ANY, P))], [policies(P)]], "policy-mapping-of-any"),
    "mapped to any": ([[policies(P), mapped((P, ANY))], [policies(P)]], "policy-mapping-of-any"),
}


@pytest.mark.parametrize(("stated", "code"), POLICIES.values(), ids=POLICIES)
def test_policies(stated: list[list[Extension]], code: str | None) -> None:
    assert code_of(chain(*((f"{at}", each) for at, each in enumerate(stated)))) == code


def test_policies_and_self_issued_certificates() -> None:
    """They do not count in what is skipped, and may say anyPolicy (RFC 5280, 6.1.3, d, 2)."""
    first, last = ("A", [policies(P), needed(2)]), ("T", [policies(Q)])
    assert code_of(chain(first, ("A", [policies(P)]), last)) is None
    assert code_of(chain(first, ("B", [policies(P)]), last)) == "policy-not-allowed"
    made = [
        ("A", [policies(P), needed(0), INHIBITED]),
        ("A", [policies(ANY)]),
        ("T", [policies(P)]),
    ]
    assert code_of(chain(*made)) is None
    made = [("A", [policies(P), needed(0), INHIBITED]), ("A", [policies(ANY)])]
    assert code_of(chain(*made)) == "policy-not-allowed"


def test_the_roots_own_constraints_count() -> None:
    assert code_of(chain(("T", [policies(P)]), root=[needed(0)])) is None
    assert code_of(chain(("T", []), root=[needed(0)])) == "policy-not-allowed"
    made = chain(("A", [policies(P)]), ("T", [policies(ANY)]), root=[needed(0), INHIBITED])
    assert code_of(made) == "policy-not-allowed"


def test_policies_that_cannot_be_read_are_unknown() -> None:
    negative = unread("2.5.29.36", bytes.fromhex("30038001ff"))
    assert code_of(chain(("A", [negative]), ("T", []))) == "policy-constraint-negative?"
    for oid in ("2.5.29.32", "2.5.29.33"):
        made = chain(("A", [unread(oid, b"\x04\x00")]), ("T", []))
        assert code_of(made) == "der-unreadable?"


# Ways
# --------------------------------------------------------------------------------------------------


def test_another_way_is_taken_where_one_is_barred() -> None:
    """Two authorities certify each other's keys; one of the ways out has expired."""
    root = issue("The root", None, key("p256", 400), [CA])
    past = {"start": NOW - timedelta(days=9), "end": NOW - timedelta(days=8)}
    barred = issue("A", root, key("p256", 401), [CA], **past)
    other = issue("B", root, key("p256", 402), [CA])
    across = issue("A", other, key("p256", 401), [CA])
    leaf = issue("T", barred, key("p256", 403), STAMPS)
    read = read_certificate(leaf.der)
    assert read
    for between in ([barred, other, across], [across, barred, other]):
        found = find_chain(read, NOW, [each.der for each in between], Trust(tuple(trust(root))))
        assert [each.der for each in found.path] == [
            each.der for each in (leaf, across, other, root)
        ]


def test_a_search_begins_so_many_ways_and_no_more() -> None:
    """Six authorities that have all certified each other, below a root that has ended."""
    past = {"start": NOW - timedelta(days=9), "end": NOW - timedelta(days=8)}
    root = issue("The root", None, key("p256", 400), [CA], **past)
    kinds = [key("p256", 410 + number) for number in range(6)]
    first = [issue(f"{at}", root, own, [CA]) for at, own in enumerate(kinds)]
    crossed = [
        issue(f"{at}", by, own, [CA])
        for at, own in enumerate(kinds)
        for by in first
        if by.certificate.subject != dn((CN, f"{at}"))
    ]
    leaf = issue("T", first[0], key("p256", 403), STAMPS)
    read = read_certificate(leaf.der)
    assert read
    candidates = [each.der for each in (*first, *crossed)]
    found = find_chain(read, NOW, candidates, Trust(tuple(trust(root))))
    assert found.refusal
    assert found.refusal.message.code == "chain-search-ended"
    assert found.refusal.is_beyond
    assert MAX_PATHS < 6 * 5 * 4 * 3 * 2


def test_a_certificate_whose_two_methods_differ_is_issued_by_nobody() -> None:
    """RFC 5280, 4.1.1.2. That of a root matters to nobody: it is trusted as it is."""
    root, leaf = chain(("T", []))
    whole = asn1_x509.Certificate.load(leaf.der)
    whole["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}
    body = whole["tbs_certificate"].dump()
    whole["signature_value"] = sign_ec("sha384")(root.key, body)
    odd = Issued(x509.load_der_x509_certificate(whole.dump(force=True)), leaf.key)
    found = judged([root, odd])
    assert (found.path, found.refusal) == ((), None)
    whole = asn1_x509.Certificate.load(root.der)
    whole["signature_algorithm"] = {"algorithm": "sha1_ecdsa"}
    odd = Issued(x509.load_der_x509_certificate(whole.dump(force=True)), root.key)
    assert code_of([odd, leaf]) is None
