"""Names in certificates: when two are the same (RFC 5280, 7.1), and which of them an authority may
certify (RFC 5280, 4.2.1.10). Pure and offline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from asn1crypto import core
from asn1crypto import x509 as asn1_x509

from witnesstree.ledger.base.der import (
    encoding_of,
    read_encodings,
    read_extension,
    read_values,
    reading,
)
from witnesstree.ledger.base.errors import InvalidInput

Comparable: TypeAlias = "tuple[frozenset[tuple[bytes, str | tuple[int, bytes]]], ...]"
"""A distinguished name in a form that is equal for names that are the same."""
GeneralNames: TypeAlias = "dict[str, list[Any]]"
"""Names by their form, as asn1crypto calls it. Directory names are Comparable, IP addresses bytes,
names of unknown forms DER, all others text."""

# Comparisons of a name with a subtree in one chain. Real chains need some dozens, and each takes
# some microseconds: the rest is there to make us work.
MAX_COMPARISONS = 20_000
_KEPT = 1024
_OBJECT_IDENTIFIER, _SEQUENCE, _SET = 0x06, 0x30, 0x31

# Universal tags (X.680, 8.4) of texts, and how they are encoded.
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "ascii", 0x16: "ascii", 0x1C: "utf-32-be"}
_ENCODINGS[0x1E] = "utf-16-be"


@lru_cache(_KEPT)
def comparable(name: bytes) -> Comparable:
    """Return the distinguished name `name` (DER) in a form that is equal for names that are the
    same: case, white space and the kind of string do not matter (RFC 5280, 7.1; RFC 4518).

    Raises InvalidInput.
    """
    with reading("Name (RFC 5280, 4.1.2.4)"):
        return _comparable(_only(name, _SEQUENCE))


@lru_cache(4 * _KEPT)
def subject_of(certificate: bytes) -> Comparable | None:
    """Return the subject of a certificate (DER) by its place, None if there is no name there.

    A verifier may trust hundreds, and needs few of them: nothing else is looked at.
    """
    try:
        with reading("Certificate (RFC 5280, 4.1)"):
            ((_, outer),) = read_values(certificate)
            (_, to_be_signed), *_ = read_values(outer)
            fields = [content for tag, content in read_values(to_be_signed) if tag != 0xA0]
            return _comparable(fields[4])
    except InvalidInput:
        return None


def _comparable(parts: bytes) -> Comparable:
    return tuple(
        frozenset(
            _attribute(_only(value, _SEQUENCE)) for value in read_encodings(_only(part, _SET))
        )
        for part in read_encodings(parts)
    )


def _only(value: bytes, expected: int) -> bytes:
    """Return the content of the one value that `value` is, if it has this tag."""
    ((tag, content),) = read_values(value)
    if tag != expected:
        raise InvalidInput("der-unreadable", form="Name (RFC 5280, 4.1.2.4)")
    return content


def _attribute(content: bytes) -> tuple[bytes, str | tuple[int, bytes]]:
    kind, value = read_encodings(content)
    ((tag, value),) = read_values(value)
    kind = _only(kind, _OBJECT_IDENTIFIER)
    encoding = _ENCODINGS.get(tag)
    try:
        return kind, _prepared(value.decode(encoding)) if encoding else (tag, value)
    except UnicodeDecodeError:
        return kind, (tag, value)


def _prepared(text: str) -> str:
    """Return `text` prepared for comparison as caseIgnoreMatch does it (RFC 4518, 2)."""
    if not text.isascii():
        # `verify` starts without these tables.
        import stringprep
        import unicodedata

        mapped = (
            stringprep.map_table_b2(each) for each in text if not stringprep.in_table_b1(each)
        )
        text = unicodedata.normalize("NFKC", "".join(mapped))
    return " ".join(text.lower().split())


# Name constraints
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NameConstraints:
    """What an authority may certify: `permitted` and `excluded` subtrees by the form of the name.

    A form that is absent in `permitted` is not limited.
    """

    permitted: Mapping[str, Sequence[Any]]
    excluded: Mapping[str, Sequence[Any]]


def read_constraints(extensions: Mapping[str, bytes]) -> NameConstraints | None:
    """Return the NameConstraints (RFC 5280, 4.2.1.10) of a certificate, None where it has none.

    Raises InvalidInput, also where a subtree is limited by `minimum` or `maximum`, which RFC 5280
    forbids.
    """
    value = read_extension(extensions, "name_constraints", asn1_x509.NameConstraints)
    if value is None:
        return None
    with reading("NameConstraints (RFC 5280, 4.2.1.10)"):
        permitted, excluded = (
            _subtrees(value[name]) for name in ("permitted_subtrees", "excluded_subtrees")
        )
        return NameConstraints(permitted, excluded)


def _subtrees(trees: Any) -> GeneralNames:
    if isinstance(trees, core.Void):
        return {}
    if any(tree["minimum"].native or tree["maximum"].native is not None for tree in trees):
        raise InvalidInput("name-constraint-unknown-form", form="minimum, maximum")
    return _general_names((tree["base"] for tree in trees), {8, 32})


def read_names(subject: bytes, extensions: Mapping[str, bytes]) -> GeneralNames:
    """Return all names that a certificate with this `subject` (DER) gives its bearer, in it and in
    the SubjectAltName (RFC 5280, 4.2.1.6).

    Raises InvalidInput.
    """
    alternative = read_extension(extensions, "subject_alt_name", asn1_x509.GeneralNames)
    with reading("SubjectAltName (RFC 5280, 4.2.1.6)"):
        names = _general_names(alternative or (), {4, 16})
        if comparable(subject):
            names.setdefault("directory_name", []).append(comparable(subject))
        if alternative is None:
            mails = [
                each["value"].native
                for part in asn1_x509.Name.load(subject).chosen
                for each in part
                if each["type"].native == "email_address"
            ]
            names |= {"rfc822_name": mails} if mails else {}
        return names


def _general_names(names: Iterable[Any], address_sizes: set[int]) -> GeneralNames:
    found: GeneralNames = {}
    for name in names:
        found.setdefault(name.name, []).append(_general_name(name, address_sizes))
    return found


def _general_name(name: Any, address_sizes: set[int]) -> Any:
    if name.name == "directory_name":
        return comparable(encoding_of(name))
    if name.name == "ip_address":
        address = bytes(name.chosen.contents)
        if len(address) not in address_sizes:
            raise InvalidInput("name-constraint-unknown-form", form="ip_address")
        return address
    if name.name in _WITHIN:
        return bytes(name.chosen.contents).decode("ascii")
    return encoding_of(name)


def violated(
    names: GeneralNames, constraints: NameConstraints, budget: Iterator[int]
) -> str | None:
    """Return the form of a name that is not in the permitted subtrees, or is in an excluded one;
    None if there is no such name.

    Each comparison takes one from `budget`. Raises InvalidInput when that is used up, and if a form
    is constrained and named that is not known here.
    """
    for form, found in names.items():
        permitted, excluded = constraints.permitted.get(form), constraints.excluded.get(form)
        if permitted is None and excluded is None:
            continue
        for name in found:
            # RFC 5280, 4.2.1.10: where URIs are limited, one without a host is refused.
            if form == "uniform_resource_identifier" and not _host(name):
                return form
            is_excluded = _is_within(form, name, excluded or (), budget)
            if is_excluded or not (permitted is None or _is_within(form, name, permitted, budget)):
                return form
    return None


def _is_within(form: str, name: Any, trees: Sequence[Any], budget: Iterator[int]) -> bool:
    if form not in _WITHIN:
        raise InvalidInput("name-constraint-unknown-form", form=form)
    for tree in trees:
        if next(budget, None) is None:
            raise InvalidInput("name-constraints-too-many", most=MAX_COMPARISONS)
        if _WITHIN[form](name, tree):
            return True
    return False


def _is_name_within(name: Comparable, tree: Comparable) -> bool:
    return name[: len(tree)] == tree


def _is_host_within(name: str, tree: str) -> bool:
    """Compare a host: labels may be added on the left; a dot before the tree, which RFC 5280 does
    not know and others write, asks for one at least.
    """
    name, tree = name.lower().rstrip("."), tree.lower().rstrip(".")
    if not tree or tree == name:
        return True
    return name.endswith(tree if tree.startswith(".") else f".{tree}")


def _is_mailbox_within(name: str, tree: str) -> bool:
    (user, _, host), (tree_user, at, tree_host) = name.rpartition("@"), tree.rpartition("@")
    if at and user != tree_user:
        return False
    return _is_exactly(host, tree_host)


def _is_uri_within(name: str, tree: str) -> bool:
    return _is_exactly(_host(name), tree)


def _is_exactly(host: str, tree: str) -> bool:
    """Compare a host: `tree` is one too, or, with a dot before it, a domain, for all hosts in that;
    an empty one is for all.
    """
    host, tree = host.lower(), tree.lower()
    return not tree or (host.endswith(tree) if tree.startswith(".") else host == tree)


def _host(uri: str) -> str:
    """Return the host name in the authority of `uri`, empty if there is none, or an address in its
    place.
    """
    _, found, rest = uri.partition("://")
    authority = rest.replace("?", "/").replace("#", "/").partition("/")[0] if found else ""
    host = authority.rpartition("@")[2]
    return "" if host.startswith("[") or _is_address(host) else host.partition(":")[0]


def _is_address(host: str) -> bool:
    return host.partition(":")[0].replace(".", "").isdigit()


def _is_address_within(name: bytes, tree: bytes) -> bool:
    size = len(name)
    if len(tree) != 2 * size:
        return False
    address, mask = tree[:size], tree[size:]
    return all(n & m == a & m for n, a, m in zip(name, address, mask, strict=True))


_WITHIN: Mapping[str, Callable[[Any, Any], bool]] = {
    "directory_name": _is_name_within,
    "dns_name": _is_host_within,
    "rfc822_name": _is_mailbox_within,
    "uniform_resource_identifier": _is_uri_within,
    "ip_address": _is_address_within,
}
