"""Whatever stands in the extensions of a certificate that is duly signed: a chain is judged, and
nothing is raised."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from cryptography import x509
from make_forest import grow
from make_revocation import PLACES, make_crl
from make_token import NOW, Issued, issue, trust

from witnesstree.ledger.tokens.revocation import judge_revocation
from witnesstree.ledger.tokens.x509 import find_chain, read_certificate
from witnesstree.ledger.trust import Trust


def damaged(random: Random, value: bytes) -> bytes:
    """The bytes with a few of them changed, left out or doubled."""
    for _ in range(random.choice([1, 1, 2, 5])):
        at = random.randrange(len(value) + 1)
        changed = bytes([random.randrange(256)])
        value = value[:at] + random.choice([changed, b"", value[at : at + 1] * 2]) + value[at + 1 :]
    return value


def spoilt(random: Random, whole: Issued, by: Issued) -> Issued:
    """The certificate with some extensions damaged, signed anew."""
    certificate = whole.certificate
    found: list[Any] = [
        (each.oid, each.value.public_bytes(), each.critical)
        for each in certificate.extensions
        if not isinstance(each.value, x509.SubjectKeyIdentifier)
    ]
    found += [(each.oid, each.public_bytes(), critical) for each, critical in PLACES]
    extensions = [
        (
            x509.UnrecognizedExtension(
                oid, damaged(random, value) if random.random() < 0.3 else value
            ),
            critical,
        )
        for oid, value, critical in found
    ]
    name = certificate.issuer
    return issue(certificate.subject, by, whole.key, extensions, issuer_name=name)


@pytest.mark.parametrize("seed", range(8))
def test_any_extensions(seed: int) -> None:
    random, judged = Random(seed), 0
    for number in range(60):
        tree = grow(60 * seed + number)
        below = random.randrange(1, len(tree.chain))
        other = spoilt(random, tree.chain[below], tree.chain[below - 1])
        chain = [*tree.chain[:below], other, *tree.chain[below + 1 :]]
        ders = [each.der for each in chain]
        leaf = read_certificate(ders[-1])
        if leaf is None:
            continue
        found = find_chain(leaf, NOW, ders[1:-1], Trust(tuple(trust(chain[0]))))
        judged += found.refusal is not None
        path = found.path or tuple(filter(None, map(read_certificate, reversed(ders))))
        judge_revocation(path, [make_crl(each) for each in chain[:-1]], [], NOW, ders)
    assert judged > 20
