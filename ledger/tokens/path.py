"""Whether a path of certificates keeps the rules of RFC 5280, 6.1, with the policies of RFC 9618.
Pure and offline.

The initial values are those that any verifier has who asks for no policy: any policy will do
(6.1.1, c), none is required, mapping and anyPolicy are allowed (d to f). The constraints that a
root certificate states itself count as if it were the first of the path (RFC 5937, 3.2).

Signatures are not looked at here: x509.py follows them before there is a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from asn1crypto import core
from asn1crypto import x509 as asn1_x509

from witnesstree.ledger.base.der import read_extension, read_integer, reading, shown
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message, message_of
from witnesstree.ledger.tokens.names import (
    MAX_COMPARISONS,
    GeneralNames,
    NameConstraints,
    comparisons,
    names_of,
    read_alternative_names,
    read_constraints,
    unjudged,
    violated,
)
from witnesstree.ledger.tokens.soundness import ended, hashes_of, methods_of_key

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Message, Value
    from witnesstree.ledger.tokens.x509 import X509Certificate

# Certificates between the signer and the root.
MAX_INTERMEDIATES = 8
# What is accounted for here, and what a chain for time-stamping does not depend on.
_JUDGED_EXTENSIONS = frozenset(
    {
        "basic_constraints",
        "certificate_policies",
        "extended_key_usage",
        "inhibit_any_policy",
        "key_usage",
        "name_constraints",
        "policy_constraints",
        "policy_mappings",
        "subject_alt_name",
    }
)
_ANY_POLICY = "any_policy"
_UNLIMITED = MAX_INTERMEDIATES + 2


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a path does not count. `is_beyond` says that it may count for a verifier that knows
    more: nothing is wrong.
    """

    message: Message
    is_beyond: bool = False


def refusal(path: Sequence[X509Certificate], time: datetime) -> Refusal | None:
    """Return why `path` (the signer's certificate first, the root last, each signed by the next)
    does not count at `time`, or None.

    What is wrong comes before what cannot be judged. Never raises.
    """
    beyond: Refusal | None = None
    for found in _refusals(path, time):
        if not found.is_beyond:
            return found
        beyond = beyond or found
    return beyond


def _refusals(path: Sequence[X509Certificate], time: datetime) -> Iterator[Refusal]:
    for each in path:
        yield from _of_one(each, time, is_root=each is path[-1])
    for each in path[1:]:
        yield from _of_authority(each)
    downwards = path[::-1]
    yield from _lengths(downwards)
    yield from _names(downwards)
    yield from _policies(downwards)


def _beyond(said: Message) -> Refusal:
    return Refusal(said, is_beyond=True)


def _broken(code: str, /, **params: Value) -> Refusal:
    return Refusal(message(code, **params))


def _of_one(certificate: X509Certificate, time: datetime, *, is_root: bool) -> Iterator[Refusal]:
    if not certificate.is_valid_at(time):
        bound = certificate.bound(time)
        yield _broken("certificate-not-valid-then", name=certificate.name, time=time, **bound)
    if found := ended(methods_of(certificate, is_root=is_root), time):
        yield _broken("certificate-unsound", name=certificate.name, method=found[0])
    for name in sorted(certificate.critical - _JUDGED_EXTENSIONS):
        yield _beyond(message("certificate-critical", name=certificate.name, extension=shown(name)))


def methods_of(certificate: X509Certificate, *, is_root: bool) -> tuple[str, ...]:
    """Return what a chain's soundness rests on in `certificate`, by the names of soundness.py: its
    key, and, unless it is trusted itself, the hash that it was signed with.
    """
    hashes = () if is_root else hashes_of(certificate.method)
    return (*methods_of_key(certificate.key), *hashes)


def _of_authority(certificate: X509Certificate) -> Iterator[Refusal]:
    """RFC 5280, 6.1.4, k and n; and of our own, that an authority confined to other purposes, web
    servers say, vouches for no time.
    """
    if not certificate.is_authority:
        yield _broken("certificate-not-of-authority", name=certificate.name)
    if certificate.usage is not None and "key_cert_sign" not in certificate.usage:
        yield _broken("key-may-not-sign-certificates", name=certificate.name)
    if certificate.purposes is not None and {"time_stamping", "any_extended_key_usage"}.isdisjoint(
        certificate.purposes
    ):
        yield _broken("certificate-confined-to-other-purposes", name=certificate.name)


def _is_self_issued(certificate: X509Certificate) -> bool:
    return certificate.subject_name == certificate.issuer_name


def _lengths(downwards: Sequence[X509Certificate]) -> Iterator[Refusal]:
    """RFC 5280, 6.1.4, l and m: self-issued certificates do not count."""
    left = _UNLIMITED
    for at, certificate in enumerate(downwards[:-1]):
        if at and not _is_self_issued(certificate):
            if left <= 0:
                yield _broken("path-longer-than-allowed", name=certificate.name)
            left -= 1
        if certificate.path_length is not None:
            left = min(left, certificate.path_length)


def _names(downwards: Sequence[X509Certificate]) -> Iterator[Refusal]:
    """RFC 5280, 6.1.3, b and c, and 6.1.4, g. What cannot be read is passed over: the names and
    limits that can be are compared all the same.
    """
    above: list[NameConstraints] = []
    left = MAX_COMPARISONS
    for at, certificate in enumerate(downwards):
        is_last = at == len(downwards) - 1
        try:
            alternative = read_alternative_names(certificate.extensions)
        except InvalidInput as error:
            yield _beyond(message_of(error))
            alternative = {}
        if is_last or not _is_self_issued(certificate):
            names = names_of(certificate.subject, alternative)
            left -= sum(comparisons(names, constraints) for constraints in above)
            if left < 0:
                yield _beyond(message("name-constraints-too-many", most=MAX_COMPARISONS))
            else:
                yield from _outside(certificate, names, above)
        try:
            if stated := read_constraints(certificate.extensions):
                above.append(stated)
        except InvalidInput as error:
            yield _beyond(message_of(error))


def _outside(
    certificate: X509Certificate, names: GeneralNames, above: Sequence[NameConstraints]
) -> Iterator[Refusal]:
    for constraints in above:
        for form in violated(names, constraints):
            yield _broken("name-not-permitted", name=certificate.name, form=form)
        for form in unjudged(names, constraints):
            yield _beyond(message("name-constraint-unknown-form", form=form))


# Policies
# --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _State:
    """The variables of RFC 5280, 6.1.2. `expected` is what the certificates so far leave to the
    next one: the expected policies of the deepest level of RFC 9618's graph, which is all of it
    that where any policy will do decides; empty if there is none.
    """

    expected: frozenset[str] = frozenset({_ANY_POLICY})
    explicit: int = _UNLIMITED
    inhibit_any: int = _UNLIMITED
    mapping: int = _UNLIMITED


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a certificate says of policies, with None where it sets no limit."""

    policies: frozenset[str]
    mappings: dict[str, set[str]]
    explicit: int | None
    mapping: int | None
    inhibit_any: int | None


def _policies(downwards: Sequence[X509Certificate]) -> Iterator[Refusal]:
    """RFC 5280, 6.1.3, d to f, 6.1.4, a, b and h to j, and 6.1.5, a, b and g. What a certificate
    says that cannot be read may change all that is below it, so that nothing of this is judged.
    """
    state = _State()
    for at, certificate in enumerate(downwards):
        is_last = at == len(downwards) - 1
        is_self_issued = _is_self_issued(certificate)
        try:
            stated = _read_stated(certificate)
        except InvalidInput as error:
            yield _beyond(message_of(error))
            return
        valid: dict[str, frozenset[str]] = {_ANY_POLICY: frozenset({_ANY_POLICY})}
        if at:
            any_counts = state.inhibit_any > 0 or (is_self_issued and not is_last)
            valid = _valid(stated.policies, state.expected, any_counts=any_counts)
            if not valid and state.explicit == 0:
                yield _broken("policy-not-allowed", name=certificate.name)
        if at and not is_last:
            mappings = stated.mappings
            if _ANY_POLICY in mappings or any(_ANY_POLICY in each for each in mappings.values()):
                yield _broken("policy-mapping-of-any", name=certificate.name)
            state.expected = _mapped(mappings, valid, may_map=state.mapping > 0)
        if at and (is_last or not is_self_issued):
            state.explicit = max(0, state.explicit - 1)
            state.mapping = max(0, state.mapping - 1)
            state.inhibit_any = max(0, state.inhibit_any - 1)
        state.explicit = _least(state.explicit, stated.explicit)
        state.mapping = _least(state.mapping, stated.mapping)
        state.inhibit_any = _least(state.inhibit_any, stated.inhibit_any)
        if is_last and state.explicit == 0 and not valid:
            yield _broken("policy-not-allowed", name=certificate.name)


def _least(now: int, stated: int | None) -> int:
    return now if stated is None else min(now, stated)


def _valid(
    stated: frozenset[str], expected: frozenset[str], *, any_counts: bool
) -> dict[str, frozenset[str]]:
    """Return the policies that count of those that are `stated`, and what each expects below:
    itself.
    """
    found = stated - {_ANY_POLICY} if _ANY_POLICY in expected else stated & expected
    if any_counts and _ANY_POLICY in stated:
        found |= expected
    return {policy: frozenset({policy}) for policy in found}


def _mapped(
    mappings: dict[str, set[str]], valid: dict[str, frozenset[str]], *, may_map: bool
) -> frozenset[str]:
    """Return what `valid` expects of the next certificate once `mappings` are applied (RFC 5280,
    6.1.4, b).
    """
    for policy, subjects in mappings.items():
        if not may_map:
            valid.pop(policy, None)
        elif policy in valid or _ANY_POLICY in valid:
            valid[policy] = frozenset(subjects)
    return frozenset[str]().union(*valid.values())


def _read_stated(certificate: X509Certificate) -> _Stated:
    """Return what a certificate states. Raises InvalidInput."""
    limits = read_extension(
        certificate.extensions, "policy_constraints", asn1_x509.PolicyConstraints
    )
    inhibits = read_extension(certificate.extensions, "inhibit_any_policy", core.Integer)
    with reading("PolicyConstraints (RFC 5280, 4.2.1.11)"):
        explicit, mapping, inhibit_any = numbers = (
            read_integer(limits["require_explicit_policy"]) if limits is not None else None,
            read_integer(limits["inhibit_policy_mapping"]) if limits is not None else None,
            read_integer(inhibits) if inhibits is not None else None,
        )
    if any(number is not None and number < 0 for number in numbers):
        raise InvalidInput("policy-constraint-negative")
    return _Stated(
        _read_policies(certificate), _read_mappings(certificate), explicit, mapping, inhibit_any
    )


def _read_policies(certificate: X509Certificate) -> frozenset[str]:
    policies = read_extension(
        certificate.extensions, "certificate_policies", asn1_x509.CertificatePolicies
    )
    with reading("CertificatePolicies (RFC 5280, 4.2.1.4)"):
        return frozenset(each["policy_identifier"].native for each in policies or ())


def _read_mappings(certificate: X509Certificate) -> dict[str, set[str]]:
    stated = read_extension(certificate.extensions, "policy_mappings", asn1_x509.PolicyMappings)
    found: dict[str, set[str]] = {}
    with reading("PolicyMappings (RFC 5280, 4.2.1.5)"):
        for each in stated or ():
            issuers, subjects = (
                each[name].native for name in ("issuer_domain_policy", "subject_domain_policy")
            )
            found.setdefault(issuers, set()).add(subjects)
    return found
