"""Names in certificates: when two are the same (RFC 5280, 7.1), and which of them an authority may
certify (RFC 5280, 4.2.1.10). Pure and offline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias
from unicodedata import normalize

from asn1crypto import core
from asn1crypto import x509 as asn1_x509

from witnesstree.ledger.base.der import (
    encoding_of,
    read_encodings,
    read_extension,
    read_integer,
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
# pkcs-9-at-emailAddress (RFC 5280, 4.1.2.6), as the content of its DER.
_MAIL = bytes.fromhex("2a864886f70d010901")
_OBJECT_IDENTIFIER, _SEQUENCE, _SET = 0x06, 0x30, 0x31

_AUTHORITY = re.compile("[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")

# Universal tags (X.680, 8.4) of texts, and how they are encoded.
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "ascii", 0x16: "ascii", 0x1C: "utf-32-be"}
_ENCODINGS[0x1E] = "utf-16-be"

# RFC 4518, 2.2: what is mapped to nothing, and what to a space.
_NOTHING = (
    *(range(0x09), range(0x0E, 0x20), range(0x7F, 0x85), range(0x86, 0xA0), range(0xAD, 0xAE)),
    *(range(0x34F, 0x350), range(0x6DD, 0x6DE), range(0x70F, 0x710), range(0x1806, 0x1807)),
    *(range(0x180B, 0x180F), range(0x200B, 0x2010), range(0x202A, 0x202F), range(0x2060, 0x2064)),
    *(range(0x206A, 0x2070), range(0xFE00, 0xFE10), range(0xFEFF, 0xFF00), range(0xFFF9, 0xFFFD)),
    *(range(0x1D173, 0x1D17B), range(0xE0001, 0xE0002), range(0xE0020, 0xE0080)),
)
_SPACES = (
    *(range(0x09, 0x0E), range(0x85, 0x86), range(0xA0, 0xA1), range(0x1680, 0x1681)),
    *(range(0x2000, 0x200B), range(0x2028, 0x202A), range(0x202F, 0x2030), range(0x205F, 0x2060)),
    range(0x3000, 0x3001),
)
_MAPPED = dict.fromkeys(chain.from_iterable(_NOTHING)) | dict.fromkeys(
    chain.from_iterable(_SPACES), " "
)


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
        frozenset(_attribute(value) for value in read_encodings(_only(part, _SET)))
        for part in read_encodings(parts)
    )


def _only(value: bytes, expected: int) -> bytes:
    """Return the content of the one value that `value` is, if it has this tag."""
    ((tag, content),) = read_values(value)
    if tag != expected:
        raise InvalidInput("der-unreadable", form="Name (RFC 5280, 4.1.2.4)")
    return content


def _attribute(attribute: bytes) -> tuple[bytes, str | tuple[int, bytes]]:
    kind, tag, value = _parts(attribute)
    text = _text(tag, value)
    return kind, (tag, value) if text is None else _prepared(text)


def _parts(attribute: bytes) -> tuple[bytes, int, bytes]:
    """Return kind, tag and content of an AttributeTypeAndValue."""
    kind, value = read_encodings(_only(attribute, _SEQUENCE))
    ((tag, content),) = read_values(value)
    return _only(kind, _OBJECT_IDENTIFIER), tag, content


def _text(tag: int, value: bytes) -> str | None:
    try:
        return value.decode(_ENCODINGS[tag]) if tag in _ENCODINGS else None
    except UnicodeDecodeError:
        return None


def _prepared(text: str) -> str:
    """Return `text` prepared for comparison as caseIgnoreMatch does it (RFC 4518, 2). Of characters
    that Unicode has had since 3.2, full case folding makes what RFC 3454, B.2 does.
    """
    text = text.translate(_MAPPED)
    folded = (
        text.lower() if text.isascii() else normalize("NFKC", normalize("NFKC", text).casefold())
    )
    return " ".join(filter(None, folded.split(" ")))


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
    forbids, or is none of its form.
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
    if any(
        read_integer(tree["minimum"]) or read_integer(tree["maximum"]) is not None for tree in trees
    ):
        raise InvalidInput("name-constraint-unknown-form", form="minimum, maximum")
    found = _general_names((tree["base"] for tree in trees), {8, 32})
    if any("@" in tree and not _is_mailbox(tree) for tree in found.get("rfc822_name", ())):
        raise InvalidInput("name-constraint-unknown-form", form="rfc822_name")
    return found


def read_alternative_names(extensions: Mapping[str, bytes]) -> GeneralNames | None:
    """Return the names in the SubjectAltName (RFC 5280, 4.2.1.6) of a certificate, None where it
    has none.

    Raises InvalidInput.
    """
    value = read_extension(extensions, "subject_alt_name", asn1_x509.GeneralNames)
    if value is None:
        return None
    with reading("SubjectAltName (RFC 5280, 4.2.1.6)"):
        return _general_names(value, {4, 16})


def names_of(subject: bytes, alternative: GeneralNames | None) -> GeneralNames:
    """Return all names that a certificate with this `subject` (DER) and these in its SubjectAltName
    gives its bearer. What the subject's emailAddress holds, where there is no SubjectAltName, is a
    text, or "".

    Raises InvalidInput if the subject cannot be read.
    """
    names = dict(alternative or {})
    if directory_name := comparable(subject):
        names["directory_name"] = [*names.get("directory_name", ()), directory_name]
    if alternative is None:
        attributes = (
            _parts(value)
            for part in read_encodings(_only(subject, _SEQUENCE))
            for value in read_encodings(_only(part, _SET))
        )
        mails = [_text(tag, value) or "" for kind, tag, value in attributes if kind == _MAIL]
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


def comparisons(names: GeneralNames, constraints: NameConstraints) -> int:
    """Return how many comparisons of a name with a subtree `violated` may need."""
    return sum(
        len(found)
        * (len(constraints.permitted.get(form, ())) + len(constraints.excluded.get(form, ())))
        for form, found in names.items()
    )


def unjudged(names: GeneralNames, constraints: NameConstraints) -> Iterator[str]:
    """Yield the forms of names that are constrained and named, but not known here."""
    for form in names:
        if form not in _WITHIN and (form in constraints.permitted or form in constraints.excluded):
            yield form


def violated(names: GeneralNames, constraints: NameConstraints) -> Iterator[str]:
    """Yield the forms of names of which one is not in the permitted subtrees, or is in an excluded
    one.
    """
    for form, found in names.items():
        permitted, excluded = constraints.permitted.get(form), constraints.excluded.get(form, ())
        if form not in _WITHIN or (permitted is None and not excluded):
            continue
        if not all(_is_allowed(form, name, permitted, excluded) for name in found):
            yield form


def _is_allowed(
    form: str, name: Any, permitted: Sequence[Any] | None, excluded: Sequence[Any]
) -> bool:
    # RFC 5280, 4.2.1.10: where URIs are limited, one without a host is refused. What is no mailbox
    # is so here, too.
    if form in _NEEDED and not _NEEDED[form](name):
        return False
    is_within = _WITHIN[form]
    if any(is_within(name, tree) for tree in excluded):
        return False
    return permitted is None or any(is_within(name, tree) for tree in permitted)


def _is_name_within(name: Comparable, tree: Comparable) -> bool:
    return name[: len(tree)] == tree


def _is_host_within(name: str, tree: str) -> bool:
    """Compare a host: labels may be added on the left; a dot before the tree, which RFC 5280 does
    not know and others write, asks for one at least.
    """
    name, tree = _host(name), _host(tree)
    if not tree or tree == name:
        return True
    return name.endswith(tree if tree.startswith(".") else f".{tree}")


def _is_mailbox(text: str) -> bool:
    user, _, host = text.rpartition("@")
    return text.isascii() and bool(user and host)


def _is_mailbox_within(name: str, tree: str) -> bool:
    (user, _, host), (tree_user, at, tree_host) = name.rpartition("@"), tree.rpartition("@")
    if at:
        return (user, _host(host)) == (tree_user, _host(tree_host))
    return _is_exactly(host, tree)


def _is_uri_within(name: str, tree: str) -> bool:
    return _is_exactly(_host_in(name), tree)


def _is_exactly(host: str, tree: str) -> bool:
    """Compare a host: `tree` is one too, or, with a dot before it, a domain, for all hosts in that;
    an empty one is for all.
    """
    host, tree = _host(host), _host(tree)
    return not tree or (host.endswith(tree) if tree.startswith(".") else host == tree)


def _host(text: str) -> str:
    """Return a host, or what stands for some, as it is compared: a dot at the end says that nothing
    is to be added (RFC 1034, 3.1), and here nothing ever is.
    """
    return text.lower().removesuffix(".")


def _host_in(uri: str) -> str:
    """Return the host name in the authority of `uri` (RFC 3986, 3.2), empty if there is none, or an
    address in its place.
    """
    found = _AUTHORITY.match(uri)
    host = _host(found[1].rpartition("@")[2].partition(":")[0]) if found else ""
    return "" if host.startswith("[") or not host.strip("0123456789.") else host


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
_NEEDED: Mapping[str, Callable[[str], Any]] = {
    "rfc822_name": _is_mailbox,
    "uniform_resource_identifier": _host_in,
}
