"""Certificates, CRLs and OCSP answers that were changed and then signed anew with the right key:
the signature holds, and what it covers is odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

from asn1crypto import core
from make_forest import grow
from make_revocation import (
    ANSWERS,
    CRL_URL,
    DAY,
    HOUR,
    PLACES,
    SIGNS_ALL,
    make_crl,
    make_ocsp,
    wrap,
)
from make_token import NOW, STAMPS, Forge, Issued, attribute, issue, key, sid, sign_ec
from mutations import changed_der

Node = list[Any]
"""A DER value: its tag, and its content as bytes or as further values."""
Change = Callable[[Node, Random], None]

ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
_BOOLEAN, _INTEGER, _OCTETS, _NULL, _OID, _ENUMERATED = 1, 2, 4, 5, 6, 10
_UTC, _GENERALIZED, _SEQUENCE, _SET = 23, 24, 0x30, 0x31


def read(der: bytes) -> Node:
    """Return the one value that `der` is."""
    (found,) = _values(der)
    return found


def _values(der: bytes) -> list[Node]:
    found, at = [], 0
    while at < len(der):
        size = der[at + 1] & 0x7F if der[at + 1] >= 0x80 else 0
        start = at + 2 + size
        end = start + (int.from_bytes(der[at + 2 : start], "big") if size else der[at + 1])
        content = der[start:end]
        found.append([der[at], _values(content) if der[at] & 0x20 else content])
        at = end
    return found


def written(node: Node) -> bytes:
    tag, content = node
    return wrap(tag, content if isinstance(content, bytes) else b"".join(map(written, content)))


def oid(dotted: str) -> bytes:
    return bytes(core.ObjectIdentifier(dotted).contents)


def value(tag: int, *parts: Node | bytes) -> bytes:
    return written(
        [tag, b"".join(each if isinstance(each, bytes) else written(each) for each in parts)]
    )


# What is odd
# --------------------------------------------------------------------------------------------------

TIMES: list[tuple[int, bytes]] = [
    *(
        (_UTC, text)
        for text in (
            b"261123120000Z",
            b"261101000000Z",
            b"261123120001Z",
            b"261123115959Z",
            b"491231235959Z",
            b"500101000000Z",
            b"2611231200Z",
            b"261123120000+0000",
            b"261123120000",
            b"261123120060Z",
            b"261123240000Z",
            b"260230000000Z",
            b"261123120000.5Z",
            b"26112312 000Z",
            b"",
            b"300101000000z",
        )
    ),
    *(
        (_GENERALIZED, text)
        for text in (
            b"20261123120000Z",
            b"20261101000000Z",
            b"20261123120000.0Z",
            b"20261123120000.5Z",
            b"20261123120001.999999Z",
            b"20300101000000Z",
            b"20500101000000Z",
            b"99991231235959Z",
            b"00010101000000Z",
            b"00000101000000Z",
            b"202611231200Z",
            b"20261123120000",
            b"2026112312Z",
            b"20261123120000+0100",
            b"20261123120060Z",
            b"20261123115959,5Z",
            b"18500101000000Z",
            b"20261123120000.1234567890123Z",
            b"20261123120000.Z",
            b"20260229000000Z",
        )
    ),
    (22, b"261123120000Z"),
    (_NULL, b""),
]
"""A time's tag and text, right and wrong."""

SERIALS = (
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x01",
    b"\x00\x01",
    b"\x7f" * 20,
    b"\x7f" * 21,
    b"\x00" + b"\xff" * 20,
    b"\x55" * 64,
    b"",
    b"\x00\x00",
)


def _attribute(kind: str, tag: int, text: bytes) -> bytes:
    return value(_SET, value(_SEQUENCE, value(_OID, oid(kind)), value(tag, text)))


def _name(*attributes: bytes) -> bytes:
    return value(_SEQUENCE, *attributes)


CN, ORG, MAIL = "2.5.4.3", "2.5.4.10", "1.2.840.113549.1.9.1"
TEXTS: tuple[tuple[int, bytes], ...] = (
    *(
        (12, text.encode())
        for text in (
            "Good Trees",
            "good  trees",
            " GOOD\tTREES ",
            "Good\u00a0Trees",
            "Good\u3000Trees",
            "Go\u00adod Trees",
            "Good\u2028Trees",
            "Good\x00Trees",
            "Good\x07 Trees",
            "Good\x85Trees",
            "Good\x1fTrees",
            "Go\x7fod Trees",
            "Good\u200bTrees",
            "Go\u200dod Trees",
            "Good\u1680Trees",
            "Good\u180eTrees",
            "Go\ufeffod Trees",
            "Good\x0bTrees",
            "Good\x1cTrees",
            "\U000e0041Good Trees",
            "Go\U0001d173od Trees",
            "Go\ufffcod Trees",
            "Go\u06ddod Trees",
            "G\u0300ood Trees",
            "Straße",
            "STRASSE",
            "ſtraſſe",
            "Ǆ",
            "ǆ",
            "İ",
            "i̇",
            "ﬁ",
            "FI",
            "Å",
            "Å",
            "ß",
            "ẞ",
            "Ω",
            "ω",
            "ς",
            "Σ",
            "ᾳ",
            "ΑΙ",
            "͵",
            "ͅ",
            "",
            " ",
            "\u200b",
            "\u2060",
            "Ｔrees",
            "\u037a",
            "\u1e9e",
            "\u0149",
            "\u03f4",
            "\u2126",
            "\u10a0",
            "\u2d00",
            "\ua64a",
            "\u1c88",
            "\u13a0",
            "\uab70",
            "\u0130",
            "\u2160",
            "\u24b6",
            "\U00010400",
            "\U00010428",
        )
    ),
    (12, b"\xff"),
    (12, b"\xed\xa0\x80"),
    (12, b"\xc0\x80"),
    (19, b"Good Trees"),
    (19, b"Good_Trees"),
    (19, b"\xe4"),
    (20, b"Good Trees"),
    (20, b"\xe4"),
    (22, b"good trees"),
    (22, b"\x80"),
    (26, b"Good Trees"),
    (18, b"12"),
    (27, b"Good Trees"),
    (28, "Good Trees".encode("utf-32-be")),
    (28, b"\x00\x11\x00\x00"),
    (28, b"\x00\x00\x00"),
    (28, b"\x00\x00\xd8\x00"),
    (30, "Good Trees".encode("utf-16-be")),
    (30, b"\xd8\x00"),
    (30, b"\xd8\x3d\xdc\x00"),
    (30, b"\x00"),
    (30, b"\xdc\x00\xd8\x00"),
    (1, b"\xff"),
    (3, b"\x00A"),
    (4, b"Good Trees"),
    (5, b""),
    (24, b"20261123120000Z"),
)
"""Tags and contents of an attribute's value."""


def odd_name(random: Random) -> bytes:
    first, second = random.choice(TEXTS), random.choice(TEXTS)
    one = _attribute(random.choice([ORG, ORG, CN, MAIL]), *first)
    other = _attribute(random.choice([CN, MAIL, "2.5.4.6"]), *second)
    pair = value(
        _SET,
        value(_SEQUENCE, value(_OID, oid(ORG)), value(*first)),
        value(_SEQUENCE, value(_OID, oid(CN)), value(*second)),
    )
    return random.choice(
        [_name(), _name(one), _name(one, other), _name(other, one), _name(pair), _name(value(_SET))]
    )


HOSTS = (
    "",
    ".",
    "..",
    "a.example",
    "A.Example",
    ".a.example",
    "b.a.example",
    "a.example.",
    ".a.example.",
    "b.a.example.",
    "..a.example",
    "xa.example",
    "example",
    "*.a.example",
    "a",
    "a..example",
    " a.example",
    "a.example ",
    "ä.example",
    "a_b.example",
    "a.example:80",
    "10.1.2.3",
    "1.2",
    "[::1]",
    "a\x00.example",
    "K.example",
    "k.example",
)
MAILS = (
    "",
    "@",
    "m@",
    "@a.example",
    "m",
    "m@a.example",
    "M@A.example",
    "m@b.a.example",
    "m@.a.example",
    "m@a.example.",
    "a@b@a.example",
    '"a@b"@a.example',
    "m@[10.1.2.3]",
    " m@a.example",
    "ä@a.example",
    ".a.example",
    "a.example",
    "m@xa.example",
)
URIS = (
    "",
    "http://a.example/x",
    "HTTP://A.EXAMPLE",
    "http://b.a.example:80/",
    "urn:x:y",
    "http://10.1.2.3/",
    "http://[::1]/",
    "http://u@a.example/",
    "http://u:p@a.example:1/",
    "http://a@b@a.example/",
    "//a.example/",
    "http:///x",
    "http://",
    "http://a.example.",
    "http://a.example?x",
    "http://a.example#x",
    "http:a.example",
    "a.example",
    "http://.a.example/",
    "http://%61.example/",
    "1http://a.example/",
    "+://a.example/",
    "ht tp://a.example/",
    "://a.example/",
    "http://a.example\\@b.example/",
    "http://1.2.3/",
    "http://0x7f.1/",
    "http://a.example:/",
    "http://a:b:c/",
    "http://1.2.3.4.:80/",
    "http://./",
    "ldap://a.example/cn=x",
    "mailto:m@a.example",
    "x-y+z.1://a.example",
    "http://ä.example/",
)
ADDRESSES = (
    "",
    "0a",
    "0a010203",
    "0a0102",
    "0a01020300",
    "0a010203ff000000",
    "00000000000000 00",
    "0a000000ff000000",
    "0a010000ffff0000",
    "0a010203ff00ff00",
    "20010db8000000000000000000000001",
    "20010db8" + "00" * 12 + "ffffffff" + "00" * 12,
    "00" * 32,
    "00" * 24,
    "00" * 33,
)


def odd_general_name(random: Random) -> bytes:  # noqa: PLR0911 - a form each
    """A GeneralName (RFC 5280, 4.2.1.6) of any form; the same for names and for subtrees."""
    kind = random.choice("mmmddddduuuiiinnnoxr")
    if kind == "m":
        return value(0x81, random.choice([*MAILS, *HOSTS]).encode())
    if kind == "d":
        return value(0x82, random.choice(HOSTS).encode())
    if kind == "u":
        return value(0x86, random.choice([*URIS, *HOSTS[:9]]).encode())
    if kind == "i":
        return value(0x87, bytes.fromhex(random.choice(ADDRESSES)))
    if kind == "n":
        return value(0xA4, odd_name(random))
    if kind == "o":
        return value(0xA0, value(_OID, oid("1.2.3.4")), value(0xA0, value(12, b"a")))
    if kind == "r":
        return value(0x88, oid("1.2.3.4"))
    return random.choice(
        [
            value(0xA3, b""),
            value(0xA5, value(0xA1, value(12, b"a"))),
            value(0x84, b"a"),
            value(0xA4),
            value(0xA2, value(12, b"a.example")),
            value(0x89, b"a"),
            value(12, b"a.example"),
        ]
    )


def odd_names(random: Random, tag: int = _SEQUENCE) -> bytes:
    return value(tag, *(odd_general_name(random) for _ in range(random.choice([0, 1, 1, 1, 2, 3]))))


def odd_constraints(random: Random) -> bytes:
    def subtrees(tag: int) -> bytes:
        return value(tag, *(subtree() for _ in range(random.choice([0, 1, 1, 1, 2]))))

    def subtree() -> bytes:
        more = random.choice(
            [[]] * 12
            + [
                [value(0x80, b"\x00")],
                [value(0x80, b"\x01")],
                [value(0x80, b"")],
                [value(0x81, b"\x00")],
                [value(0x80, b"\x00"), value(0x81, b"\x05")],
                [value(0x80, b"\xff")],
            ]
        )
        return value(_SEQUENCE, odd_general_name(random), *more)

    return random.choice(
        [
            lambda: value(_SEQUENCE, subtrees(0xA0)),
            lambda: value(_SEQUENCE, subtrees(0xA0)),
            lambda: value(_SEQUENCE, subtrees(0xA1)),
            lambda: value(_SEQUENCE, subtrees(0xA0), subtrees(0xA1)),
            lambda: value(_SEQUENCE, subtrees(0xA1), subtrees(0xA0)),
            lambda: value(_SEQUENCE),
        ]
    )()


def _numbers(tag: int = _INTEGER) -> list[bytes]:
    return [
        value(tag, each)
        for each in (b"\x00", b"\x01", b"\x02", b"\xff", b"\x00\x01", b"\x7f" * 9, b"")
    ]


_POLICIES = ("1.2.3.1", "1.2.3.2", "2.5.29.32.0")
_PURPOSES = (
    "1.3.6.1.5.5.7.3.8",
    "1.3.6.1.5.5.7.3.9",
    "1.3.6.1.5.5.7.3.1",
    "2.5.29.37.0",
    "1.2.3.4",
)


def _some(random: Random, of: Sequence[str], least: int = 0) -> list[str]:
    return random.choices(of, k=random.randrange(least, 4))


def _basic(random: Random) -> bytes:
    is_ca = random.choice(
        [b"", value(1, b"\xff"), value(1, b"\x00"), value(1, b"\x01"), value(1, b"")]
    )
    return value(
        _SEQUENCE,
        is_ca,
        random.choice([b"", b"", *_numbers()]),
        random.choice([b""] * 5 + [value(5)]),
    )


def _usage(random: Random) -> bytes:
    bits = random.choice(
        [
            b"\x07\x80",
            b"\x06\xc0",
            b"\x01\x06",
            b"\x02\x04",
            b"\x01\x02",
            b"\x00",
            b"",
            b"\x07",
            b"\x00\x00",
            b"\x09\x80",
            b"\x07\xff",
            b"\x07\x80\x80",
            b"\x00\xff\xff",
            b"\x08\x80",
            b"\x05\xa0",
        ]
    )
    return value(random.choice([3, 3, 3, 3, 4]), bits)


def _place(random: Random, tag: int = 0xA0) -> bytes:
    def full() -> bytes:
        names = [
            value(0x86, CRL_URL.encode()),
            value(0x86, b"http://crl.example/b.crl"),
            odd_general_name(random),
        ]
        return value(0xA0, *random.sample(names, random.choice([0, 1, 1, 2])))

    relative = value(
        0xA1, value(_SEQUENCE, value(_OID, oid(CN)), value(12, random.choice([b"a", b"b"])))
    )
    return value(tag, random.choice([full(), full(), full(), full(), relative, relative, b""]))


def _points(random: Random) -> bytes:
    def point() -> bytes:
        parts = [
            random.choice([_place(random)] * 4 + [b""]),
            random.choice([b""] * 4 + [value(0x81, b"\x01\x02")]),
            random.choice([b""] * 4 + [odd_names(random, 0xA2)]),
        ]
        return value(_SEQUENCE, *parts)

    return value(_SEQUENCE, *(point() for _ in range(random.choice([0, 1, 1, 1, 2]))))


def _scope(random: Random) -> bytes:
    def flag(number: int) -> bytes:
        return random.choice(
            [b""] * 6 + [value(0x80 | number, each) for each in (b"\xff", b"\x00", b"\x01")]
        )

    reasons = random.choice([b""] * 6 + [value(0x83, b"\x01\x02")])
    place = random.choice([b"", _place(random), _place(random)])
    return value(_SEQUENCE, place, flag(1), flag(2), reasons, flag(4), flag(5))


EXTENSIONS: dict[str, Callable[[Random], bytes]] = {
    "2.5.29.14": lambda random: value(_OCTETS, random.choice([b"", b"key", b"x" * 60])),
    "2.5.29.15": _usage,
    "2.5.29.17": odd_names,
    "2.5.29.18": odd_names,
    "2.5.29.19": _basic,
    "2.5.29.30": odd_constraints,
    "2.5.29.31": _points,
    "2.5.29.32": lambda random: value(
        _SEQUENCE, *(value(_SEQUENCE, value(_OID, oid(each))) for each in _some(random, _POLICIES))
    ),
    "2.5.29.33": lambda random: value(
        _SEQUENCE,
        *(
            value(_SEQUENCE, value(_OID, oid(each)), value(_OID, oid(random.choice(_POLICIES))))
            for each in _some(random, _POLICIES)
        ),
    ),
    "2.5.29.35": lambda random: value(
        _SEQUENCE, random.choice([b"", value(0x80, b"key"), value(0x82, b"\x05")])
    ),
    "2.5.29.36": lambda random: value(
        _SEQUENCE,
        random.choice([b"", *_numbers(0x80)]),
        random.choice([b"", *_numbers(0x81)]),
    ),
    "2.5.29.37": lambda random: value(
        _SEQUENCE, *(value(_OID, oid(each)) for each in _some(random, _PURPOSES))
    ),
    "2.5.29.54": lambda random: random.choice([*_numbers(), value(_OCTETS, b"\x00")]),
    "1.3.6.1.5.5.7.1.1": lambda random: value(_SEQUENCE),
    "1.3.6.1.5.5.7.48.1.5": lambda random: value(_NULL),
    "1.2.3.4": lambda random: value(_NULL),
}
"""What may stand in a certificate, by its identifier."""
OF_LISTS: dict[str, Callable[[Random], bytes]] = {
    "2.5.29.20": lambda random: random.choice(_numbers()),
    "2.5.29.27": lambda random: random.choice(_numbers()),
    "2.5.29.28": _scope,
    "2.5.29.35": EXTENSIONS["2.5.29.35"],
    "2.5.29.46": _points,
    "1.2.3.4": lambda random: value(_NULL),
}
OF_ENTRIES: dict[str, Callable[[Random], bytes]] = {
    "2.5.29.21": lambda random: random.choice(
        [*_numbers(_ENUMERATED)]
        + [value(_ENUMERATED, bytes([n])) for n in range(12)]
        + [value(_INTEGER, b"\x01")]
    ),
    "2.5.29.23": lambda random: value(_OID, oid("1.2.3")),
    "2.5.29.24": lambda random: value(*random.choice(TIMES)),
    "2.5.29.29": odd_names,
    "1.2.3.4": lambda random: value(_NULL),
}
OF_ANSWERS: dict[str, Callable[[Random], bytes]] = {
    "1.3.6.1.5.5.7.48.1.2": lambda random: value(_OCTETS, b"nonce"),
    "2.5.29.24": OF_ENTRIES["2.5.29.24"],
    "2.5.29.21": OF_ENTRIES["2.5.29.21"],
    "1.2.3.4": lambda random: value(_NULL),
}


def odd_extension(random: Random, pool: dict[str, Callable[[Random], bytes]]) -> Node:
    name = random.choice([*pool])
    content = pool[name](random)
    if random.random() < 0.15:
        content = random.choice(
            [b"", content + b"\x05\x00", content[:-1], changed_der(content, content, random)]
        )
    critical = random.choice(
        [
            b"",
            b"",
            b"",
            value(1, b"\xff"),
            value(1, b"\xff"),
            value(1, b"\x00"),
            value(1, b"\x01"),
            value(1, b""),
        ]
    )
    after = random.choice([b""] * 12 + [value(_NULL)])
    return [_SEQUENCE, value(_OID, oid(name)) + critical + value(_OCTETS, content) + after]


def change_extensions(
    listed: Node, random: Random, pool: dict[str, Callable[[Random], bytes]]
) -> None:
    """Change the values of an Extensions in place."""
    found: list[Node] = listed[1]
    at = random.randrange(len(found) + 1)
    one = found[at] if at < len(found) else None
    kind = random.choice(
        ["add", "add", "add", "replace", "replace", "drop", "double", "turn", "critical"]
    )
    if one is None or kind == "add":
        found.insert(at, odd_extension(random, pool))
    elif kind == "replace":
        same = [each for each in pool if written([_OID, oid(each)]) in written(one)[:16]]
        found[at] = odd_extension(random, {name: pool[name] for name in same} or pool)
    elif kind == "drop":
        del found[at]
    elif kind == "double":
        found.insert(at, one)
    elif kind == "turn":
        found.reverse()
    elif isinstance(one[1], list) and one[1]:
        has = len(one[1]) == 3
        one[1][1 : 2 if has else 1] = [[_BOOLEAN, random.choice([b"\xff", b"\x00", b"\x01"])]]


# Certificates
# --------------------------------------------------------------------------------------------------


def changed_certificate(whole: bytes, by: Any, random: Random) -> bytes:
    """Return a certificate (DER) with something of it changed, signed anew with the key `by`."""
    outer = read(whole)
    body = outer[1][0]
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        if random.random() < 0.3:
            return signed(changed_der(written(body), whole, random), by, random)
        random.choice(
            [
                _version,
                _serial,
                _life,
                _life,
                _names,
                _names,
                _unique,
                *[_certificate_extensions] * 9,
            ]
        )(body, random)
    return signed(written(body), by, random)


def signed(body: bytes, by: Any, random: Random) -> bytes:
    """Return SIGNED{body}, as X.509 has it."""
    method = random.choice(
        [ECDSA] * 40 + [ECDSA[:-1] + b"\x03", value(_SEQUENCE, ECDSA[2:], value(_NULL))]
    )
    signature = sign_ec("sha256")(by, body)
    return value(_SEQUENCE, body, method, value(3, b"\x00", signature))


def _fields(body: Node) -> int:
    """Return where the fields begin that stand behind a version."""
    return 1 if body[1] and body[1][0][0] == 0xA0 else 0


def _version(body: Node, random: Random) -> None:
    at = _fields(body)
    content = random.choice([*_numbers(), *_numbers()[:3], value(5), b""])
    body[1][:at] = random.choice([[], [[0xA0, content]]])


def _serial(body: Node, random: Random) -> None:
    body[1][_fields(body)] = [_INTEGER, random.choice(SERIALS)]


def _life(body: Node, random: Random) -> None:
    life = body[1][_fields(body) + 3]
    life[1][random.randrange(2)] = list(random.choice(TIMES))


def _names(body: Node, random: Random) -> None:
    at = _fields(body) + random.choice([2, 4])
    body[1][at] = random.choice([read(odd_name(random)), body[1][_fields(body) + 2]])


def _unique(body: Node, random: Random) -> None:
    at = _fields(body) + 6
    tag = random.choice([0x81, 0x82, 0xA1])
    body[1][at:at] = [[tag, b"\x00a" if tag < 0xA0 else value(3, b"\x00a")]]


def _certificate_extensions(body: Node, random: Random) -> None:
    last = body[1][-1]
    if last[0] != 0xA3 or not last[1] or not isinstance(last[1], list):
        body[1].append([0xA3, [[_SEQUENCE, []]]])
    elif random.random() < 0.02:
        body[1].pop()
    else:
        change_extensions(last[1][0], random, EXTENSIONS)


# CRLs
# --------------------------------------------------------------------------------------------------


def changed_crl(whole: bytes, by: Any, random: Random, serials: Sequence[int]) -> bytes:
    """Return a CRL (DER) with something of it changed, signed anew; `serials` are of certificates
    that it may be about."""
    body = read(whole)[1][0]
    for _ in range(random.choice([1, 1, 2, 3])):
        if random.random() < 0.25:
            return signed(changed_der(written(body), whole, random), by, random)
        random.choice(
            [
                lambda: _crl_version(body, random),
                lambda: _crl_times(body, random),
                lambda: _crl_times(body, random),
                lambda: _crl_issuer(body, random),
                *[lambda: _crl_entries(body, random, serials)] * 3,
                *[lambda: _crl_extensions(body, random)] * 4,
            ]
        )()
    return signed(written(body), by, random)


def _has_version(body: Node) -> int:
    return int(body[1][0][0] == _INTEGER)


def _crl_version(body: Node, random: Random) -> None:
    at = _has_version(body)
    body[1][:at] = random.choice(
        [[], [[_INTEGER, random.choice([b"\x00", b"\x01", b"\x02", b"\x00\x01", b"\xff"])]]]
    )


def _crl_times(body: Node, random: Random) -> None:
    at = _has_version(body) + 2
    has_next = body[1][at + 1][0] in {_UTC, _GENERALIZED} if len(body[1]) > at + 1 else False
    made = list(random.choice(TIMES))
    random.choice(
        [
            lambda: body[1].__setitem__(at, made),
            lambda: body[1].__setitem__(slice(at + 1, at + 1 + has_next), [made]),
            lambda: body[1].__setitem__(slice(at + 1, at + 1 + has_next), []),
        ]
    )()


def _crl_issuer(body: Node, random: Random) -> None:
    body[1][_has_version(body) + 1] = read(odd_name(random))


def _crl_entries(body: Node, random: Random, serials: Sequence[int]) -> None:
    at = next((i for i, each in enumerate(body[1]) if i > 2 and each[0] == _SEQUENCE), None)
    entries = [_crl_entry(random, serials) for _ in range(random.choice([0, 1, 1, 2]))]
    made: Node = [_SEQUENCE, b"".join(entries)]
    if at is None:
        at = len(body[1]) - (body[1][-1][0] == 0xA0)
        body[1].insert(at, made)
    else:
        body[1][at] = random.choice([made, [_SEQUENCE, written(body[1][at])[4:] + made[1]]])


def _crl_entry(random: Random, serials: Sequence[int]) -> bytes:
    number = random.choice([*serials, *serials, 7])
    serial = value(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
    if random.random() < 0.1:
        serial = value(_INTEGER, random.choice(SERIALS))
    since = value(*random.choice([TIMES[0], TIMES[1], TIMES[2], *TIMES]))
    about = b""
    if random.random() < 0.7:
        stated = [odd_extension(random, OF_ENTRIES) for _ in range(random.choice([0, 1, 1, 1, 2]))]
        about = value(_SEQUENCE, *stated)
    return value(_SEQUENCE, serial, since, about)


def _crl_extensions(body: Node, random: Random) -> None:
    if body[1][-1][0] != 0xA0:
        body[1].append([0xA0, [[_SEQUENCE, [odd_extension(random, OF_LISTS)]]]])
    elif isinstance(body[1][-1][1], list) and body[1][-1][1]:
        change_extensions(body[1][-1][1][0], random, OF_LISTS)


# OCSP answers
# --------------------------------------------------------------------------------------------------


def changed_answer(whole: bytes, by: Any, random: Random) -> bytes:
    """Return an OCSP answer (DER) with something of its ResponseData changed, signed anew."""
    basic = read(bytes(read(read(whole)[1][1][1][0][1][1:][0:] and whole)[1][1][1][0][1][1][1]))
    body = basic[1][0]
    others = b"".join(written(each) for each in basic[1][3:])
    made = b""
    for _ in range(random.choice([1, 1, 2, 3])):
        if random.random() < 0.25:
            made = changed_der(written(body), whole, random)
            break
        random.choice([_answer_head, _answer_time, *[_answer_state] * 5, _answer_extensions])(
            body, random
        )
    made = made or written(body)
    signature = value(3, b"\x00", sign_ec("sha256")(by, made))
    answer = value(_SEQUENCE, made, ECDSA, signature, others)
    held = value(_SEQUENCE, value(_OID, oid("1.3.6.1.5.5.7.48.1.1")), value(_OCTETS, answer))
    return value(_SEQUENCE, value(_ENUMERATED, b"\x00"), value(0xA0, held))


def _produced(body: Node) -> int:
    return next((i for i, each in enumerate(body[1]) if each[0] == _GENERALIZED), 1)


def _answer_head(body: Node, random: Random) -> None:
    at = _produced(body)
    version = random.choice([[], *([[0xA0, each]] for each in _numbers())])
    responder: Node = random.choice(
        [
            [0xA1, odd_name(random)],
            [0xA2, value(_OCTETS, b"key")],
            [0xA2, b""],
            [0x82, b"x"],
            [0xA3, b""],
        ]
    )
    body[1][:at] = [*version, responder]


def _answer_time(body: Node, random: Random) -> None:
    body[1][_produced(body)] = list(random.choice(TIMES))


def _answer_extensions(body: Node, random: Random) -> None:
    if body[1][-1][0] != 0xA1:
        body[1].append([0xA1, [[_SEQUENCE, [odd_extension(random, OF_ANSWERS)]]]])
    elif isinstance(body[1][-1][1], list) and body[1][-1][1]:
        change_extensions(body[1][-1][1][0], random, OF_ANSWERS)


def _answer_state(body: Node, random: Random) -> None:
    listed = body[1][_produced(body) + 1] if len(body[1]) > _produced(body) + 1 else None
    if listed is None or listed[0] != _SEQUENCE or not listed[1] or not isinstance(listed[1], list):
        return
    one = listed[1][0]
    if not isinstance(one[1], list) or len(one[1]) < 3:
        return
    revoked = value(*random.choice([TIMES[16], TIMES[17], *TIMES[16:]]))
    reason = random.choice(
        [b""]
        + [value(0xA0, value(_ENUMERATED, bytes([n]))) for n in range(11)]
        + [value(0xA0, value(_ENUMERATED, b"\x00\x01")), value(0x80, b"\x01"), value(0xA0)]
    )
    random.choice(
        [
            lambda: one[1].__setitem__(
                1,
                random.choice(
                    [[0x80, b""], [0x82, b""], [0x80, b"a"], [0xA0, b""], [0x81, b""], [0x83, b""]]
                ),
            ),
            lambda: one[1].__setitem__(1, [0xA1, revoked + reason]),
            lambda: one[1].__setitem__(1, [0xA1, revoked + reason]),
            lambda: one[1].__setitem__(2, list(random.choice(TIMES))),
            lambda: one[1].__setitem__(slice(3, None), [[0xA0, value(*random.choice(TIMES))]]),
            lambda: one[1].append([0xA1, [[_SEQUENCE, [odd_extension(random, OF_ANSWERS)]]]]),
            lambda: listed[1].append([*one]),
            lambda: listed[1].insert(
                0, [_SEQUENCE, written(one)[2:] if len(written(one)) < 130 else b""]
            ),
        ]
    )()


# All of a token
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """A token with what is beside it (DER), and the root that is trusted."""

    token: bytes
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    ocsps: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True)
class _Whole:
    """A chain that holds, with its answers: the root first, then one between, then the signer."""

    chain: tuple[Issued, ...]
    responder: Issued
    crls: tuple[bytes, ...]
    ocsps: tuple[bytes, ...]


@cache
def _whole() -> _Whole:
    kept = {"end": NOW + 9 * DAY}
    root = issue("The root", None, key("p256", 700), SIGNS_ALL, **kept)
    between = issue("In between", root, key("p256", 701), (*SIGNS_ALL, *PLACES), **kept)
    signer = issue("The signer", between, key("p256", 702), (*STAMPS, *PLACES), **kept)
    responder = issue("A responder", between, key("p256", 703), [ANSWERS], **kept)
    crls = tuple(make_crl(each, this=NOW - HOUR) for each in (root, between))
    ocsps = make_ocsp(between, root), make_ocsp(signer, between, responder=responder)
    return _Whole((root, between, signer), responder, crls, ocsps)


def stamp(signer: bytes, issued: Issued) -> bytes:
    """Return a token by the certificate `signer` (DER), which was made of `issued`."""
    named = {"certs": [{"cert_hash": sha256(signer).digest()}]}
    return Forge(
        issued,
        algorithm={"algorithm": "sha256_ecdsa"},
        sign=sign_ec("sha256"),
        sid=sid(issued, by_key=True),
        names=[attribute("signing_certificate_v2", named)],
        certificates=[],
    ).make()


def anew(seed: str) -> Scene:
    """Return a token under three certificates, with two CRLs and two OCSP answers, one or two of
    all these changed and signed anew."""
    random, whole = Random(seed), _whole()
    root, between, signer = whole.chain
    serials = [each.certificate.serial_number for each in whole.chain[1:]]
    found = {
        "root": root.der,
        "between": between.der,
        "signer": signer.der,
        "root crl": whole.crls[0],
        "crl": whole.crls[1],
        "between ocsp": whole.ocsps[0],
        "ocsp": whole.ocsps[1],
    }
    keys = {
        "root": root.key,
        "between": root.key,
        "signer": between.key,
        "root crl": root.key,
        "crl": between.key,
        "between ocsp": root.key,
        "ocsp": whole.responder.key,
    }
    for name in random.sample([*found], random.choice([1, 1, 1, 2])):
        by = keys[name]
        if name.endswith("ocsp"):
            found[name] = changed_answer(found[name], by, random)
        elif name.endswith("crl"):
            found[name] = changed_crl(found[name], by, random, serials)
        else:
            found[name] = changed_certificate(found[name], by, random)
    kept = random.choice(["both", "crls", "ocsps"])
    return Scene(
        stamp(found["signer"], signer),
        (found["signer"], found["between"]),
        (found["root crl"], found["crl"]) if kept != "ocsps" else (),
        (found["between ocsp"], found["ocsp"]) if kept != "crls" else (),
        found["root"],
    )


def grown(seed: int) -> Scene:
    """Return a token under a chain of make_forest.py, most of whose certificates have been changed
    and signed anew, in their names and what limits them above all."""
    random, chain = Random(seed), grow(seed).chain
    ders = [each.der for each in chain]
    for at, _each in enumerate(chain):
        if random.random() < 0.6:
            body = read(ders[at])[1][0]
            for _ in range(random.choice([1, 1, 2])):
                _limit(body, random, is_last=at == len(chain) - 1)
            ders[at] = signed(written(body), chain[max(at - 1, 0)].key, random)
    return Scene(stamp(ders[-1], chain[-1]), tuple(ders[1:]), (), (), ders[0])


_LIMITS = {
    name: EXTENSIONS[name]
    for name in ("2.5.29.30", "2.5.29.30", "2.5.29.32", "2.5.29.33", "2.5.29.36", "2.5.29.54")
}


def _limit(body: Node, random: Random, *, is_last: bool) -> None:
    if is_last and random.random() < 0.3:
        body[1][_fields(body) + 4] = read(odd_name(random))
        return
    pool = {"2.5.29.17": odd_names} if is_last and random.random() < 0.8 else _LIMITS
    if random.random() < 0.4:
        pool = {"2.5.29.30": odd_constraints} if not is_last else pool
    made = odd_extension(random, pool)
    extensions: list[Node] = body[1][-1][1][0][1]
    named = made[1][:5]
    extensions[:] = [each for each in extensions if not written(each)[2:].startswith(named)]
    extensions.append(made)
