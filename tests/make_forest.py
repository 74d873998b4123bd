"""Chains of certificates with all that RFC 5280, 6.1 looks at, right and wrong at random: the same
number always grows the same chain, but for keys and serial numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

from asn1crypto import core
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from make_token import NOW, STAMPS, Issued, issue, key, remade, usage

ANY = "2.5.29.32.0"
POLICIES = ("1.2.3.1", "1.2.3.2", "1.2.3.3", ANY)
HOSTS = ("a.example", "b.a.example", "b.example", "xa.example")
UTF8, PRINTABLE, IA5 = _ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.IA5String


@dataclass(frozen=True)
class Tree:
    """A chain, the root first; `marks` says what was done to it."""

    chain: tuple[Issued, ...]
    marks: frozenset[str]


@cache
def _key(depth: int) -> Any:
    return key("p256", 500 + depth)


def dn(*parts: tuple[Any, str], form: Any = UTF8) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(kind, value, IA5 if kind == NameOID.EMAIL_ADDRESS else form)
            for kind, value in parts
        ]
    )


def _spelled(random: Random, name: x509.Name) -> x509.Name:
    """The same name by RFC 5280, 7.1, written otherwise."""
    change: Callable[[str], str] = random.choice(
        [str.upper, str.lower, lambda text: f" {text}  ", lambda text: text.replace(" ", "   ")]
    )
    form = random.choice([UTF8, PRINTABLE])
    return dn(*((each.oid, change(str(each.value))) for each in name), form=form)


def grow(seed: int) -> Tree:
    """Return the chain that grows from `seed`."""
    random, marks = Random(seed), set[str]()

    def maybe(share: float, mark: str) -> bool:
        is_so = random.random() < share
        if is_so:
            marks.add(mark)
        return is_so

    root_name = dn((NameOID.ORGANIZATION_NAME, "Good Trees"), (NameOID.COMMON_NAME, "The root"))
    signs = (x509.BasicConstraints(ca=True, path_length=None), True)
    chain = [issue(root_name, None, _key(0), [signs, (usage(key_cert_sign=True), True)])]
    names = [root_name]
    for depth in range(1, random.choice([1, 2, 2, 3, 3, 4]) + 1):
        name = _name(random, depth)
        if maybe(0.2, "self-issued"):
            name = names[-1]
        extensions = [*_of_authority(random, maybe), *_policies(random, maybe, is_last=False)]
        made = {"issuer_name": names[-1], "name": name, "depth": depth, "extensions": extensions}
        chain.append(_issued(random, maybe, chain[-1], **made))
        names.append(name)
    name = _name(random, 9)
    if maybe(0.04, "self-issued leaf"):
        name = names[-1]
    extensions = [*STAMPS, *_policies(random, maybe, is_last=True)]
    if maybe(0.4, "alternative names"):
        extensions.append((x509.SubjectAlternativeName(_alternatives(random)), False))
    made = {"issuer_name": names[-1], "name": name, "depth": 9, "extensions": extensions}
    chain.append(_issued(random, maybe, chain[-1], **made))
    return Tree(tuple(chain), frozenset(marks))


def _name(random: Random, depth: int) -> x509.Name:
    parts = [(NameOID.ORGANIZATION_NAME, random.choice(["Good Trees"] * 4 + ["Bad Trees"]))]
    if random.random() < 0.1:
        parts.append((NameOID.EMAIL_ADDRESS, random.choice(["m@a.example", "m@b.example"])))
    return dn(*parts, (NameOID.COMMON_NAME, f"Tree {depth}"))


def _issued(
    random: Random,
    maybe: Callable[[float, str], bool],
    issuer: Issued,
    *,
    issuer_name: x509.Name,
    name: x509.Name,
    depth: int,
    extensions: Sequence[tuple[Any, bool]],
) -> Issued:
    start, end = NOW - timedelta(days=9), NOW + timedelta(days=9)
    if maybe(0.02, "out of life"):
        start, end = random.choice(
            [(start, NOW - timedelta(seconds=1)), (NOW + timedelta(seconds=1), end)]
        )
    if maybe(0.02, "critical and unknown"):
        strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        extensions = [*extensions, (strange, True)]
    by = issuer
    if maybe(0.02, "signed by another key"):
        by = Issued(issuer.certificate, _key(20))
    written = _spelled(random, issuer_name) if maybe(0.15, "spelled otherwise") else issuer_name
    made = issue(name, by, _key(depth), extensions, start=start, end=end, issuer_name=written)
    if maybe(0.05, "GeneralizedTime"):
        made = remade(made, by, _generalized)
    return made


def _generalized(fields: Any) -> None:
    """Write the ends of its life as RFC 5280, 4.1.2.5 does from 2050 on."""
    life = fields["validity"]
    for which in ("not_before", "not_after"):
        life[which] = type(life[which])(
            name="general_time", value=core.GeneralizedTime(life[which].native)
        )


def _of_authority(random: Random, maybe: Callable[[float, str], bool]) -> list[tuple[Any, bool]]:
    found: list[tuple[Any, bool]] = []
    if not maybe(0.02, "no basicConstraints"):
        is_ca = not maybe(0.02, "no authority")
        length = random.choice([None, None, None, 0, 1, 2]) if is_ca else None
        if length is not None:
            marks_length = maybe(1, "path length")
            assert marks_length
        found.append((x509.BasicConstraints(is_ca, length), random.random() < 0.9))
    if random.random() < 0.8:
        may = not maybe(0.02, "may not certify")
        found.append((usage(key_cert_sign=may, crl_sign=True), random.random() < 0.9))
    if maybe(0.3, "name constraints"):
        found.append((_name_constraints(random), random.random() < 0.5))
    if maybe(0.2, "mappings"):
        pairs = [
            (random.choice(POLICIES[:3]), random.choice(POLICIES[:3]))
            for _ in range(random.choice([1, 2]))
        ]
        if maybe(0.25, "anyPolicy mapped"):
            pairs.append(random.choice([(ANY, POLICIES[0]), (POLICIES[0], ANY)]))
        found.append((_mappings(pairs), random.random() < 0.5))
    return found


def _mappings(pairs: Sequence[tuple[str, str]]) -> x509.UnrecognizedExtension:
    from asn1crypto import x509 as asn1_x509

    value = asn1_x509.PolicyMappings(
        [{"issuer_domain_policy": a, "subject_domain_policy": b} for a, b in pairs]
    )
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), value.dump())


def _policies(
    random: Random, maybe: Callable[[float, str], bool], *, is_last: bool
) -> list[tuple[Any, bool]]:
    found: list[tuple[Any, bool]] = []
    if random.random() < 0.7:
        chosen = random.sample(POLICIES, random.choice([1, 1, 2, 3]))
        policies = [x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in chosen]
        found.append((x509.CertificatePolicies(policies), maybe(0.3, "critical policies")))
    if maybe(0.1 if is_last else 0.25, "policy constraints"):
        numbers = random.choice([(0, None), (1, None), (2, None), (None, 0), (0, 0), (1, 1)])
        found.append((x509.PolicyConstraints(*numbers), random.random() < 0.5))
    if not is_last and maybe(0.2, "anyPolicy inhibited"):
        found.append((x509.InhibitAnyPolicy(random.choice([0, 0, 1, 2])), random.random() < 0.5))
    return found


def _name_constraints(random: Random) -> x509.NameConstraints:
    permitted = [_subtree(random) for _ in range(random.choice([0, 1, 1, 2]))]
    excluded = [_subtree(random) for _ in range(random.choice([0, 0, 1]) or not permitted)]
    return x509.NameConstraints(permitted or None, excluded or None)


def _subtree(random: Random) -> x509.GeneralName:
    good, bad = (dn((NameOID.ORGANIZATION_NAME, each)) for each in ("Good Trees", "bad  trees"))
    return random.choice(
        [
            x509.DirectoryName(good),
            x509.DirectoryName(good),
            x509.DirectoryName(bad),
            x509.DNSName(random.choice(HOSTS)),
            x509.RFC822Name(random.choice(["m@a.example", "a.example", ".a.example"])),
            x509.UniformResourceIdentifier(random.choice(["a.example", ".a.example"])),
            x509.IPAddress(IPv4Network(random.choice(["10.0.0.0/8", "10.1.0.0/16"]))),
        ]
    )


def _alternatives(random: Random) -> list[x509.GeneralName]:
    every = [
        x509.DNSName(random.choice(HOSTS)),
        x509.RFC822Name(random.choice(["m@a.example", "n@a.example", "m@b.a.example"])),
        x509.UniformResourceIdentifier(
            random.choice(["http://a.example/x", "http://b.a.example:80/", "urn:x:y"])
        ),
        x509.IPAddress(IPv4Address(random.choice(["10.1.2.3", "10.2.3.4", "192.0.2.1"]))),
        x509.DirectoryName(_name(random, 8)),
    ]
    return random.sample(every, random.choice([1, 1, 2, 3]))
