"""The ASN.1 of RFC 4998 as asn1crypto's classes: shapes only. record.py reads and writes them, and
judges what they say.

asn1crypto has an EvidenceRecord of its own, in which the chains are missing. The module of RFC 4998
has IMPLICIT TAGS (appendix A); CertificateValues and RevocationValues are RFC 5126's, whose tags
are EXPLICIT (appendix A.1).
"""

from __future__ import annotations

from typing import Any

from asn1crypto import algos, core

CERTIFICATE_VALUES = "1.2.840.113549.1.9.16.2.23"
REVOCATION_VALUES = "1.2.840.113549.1.9.16.2.24"


class AttributeValues(core.SetOf):  # type: ignore[misc]
    """Values of any kind."""

    _child_spec = core.Any


class Attribute(core.Sequence):  # type: ignore[misc]
    """RFC 5280, 4.1.2.4: a type and its values."""

    _fields = [("type", core.ObjectIdentifier), ("values", AttributeValues)]  # noqa: RUF012


class Attributes(core.SetOf):  # type: ignore[misc]
    """RFC 4998, 4.1."""

    _child_spec = Attribute


class CryptoInfos(core.SequenceOf):  # type: ignore[misc]
    """RFC 4998, 3.1: what helps to verify the timestamps, covered by none of them."""

    _child_spec = Attribute


class EncryptionInfo(core.Sequence):  # type: ignore[misc]
    """RFC 4998, 6.1: how the data were encrypted before they were hashed."""

    _fields = [  # noqa: RUF012
        ("encryption_info_type", core.ObjectIdentifier),
        ("encryption_info_value", core.Any),
    ]


class PartialHashtree(core.SequenceOf):  # type: ignore[misc]
    """RFC 4998, 4.1: one list of hash values."""

    _child_spec = core.OctetString


class ReducedHashtree(core.SequenceOf):  # type: ignore[misc]
    """RFC 4998, 4.1: the lists from one data object, or one group, up."""

    _child_spec = PartialHashtree


class ArchiveTimeStamp(core.Sequence):  # type: ignore[misc]
    """RFC 4998, 4.1. The timestamp stays as it is: token.py reads it."""

    _fields: list[Any] = [  # noqa: RUF012
        ("digest_algorithm", algos.DigestAlgorithm, {"implicit": 0, "optional": True}),
        ("attributes", Attributes, {"implicit": 1, "optional": True}),
        ("reduced_hashtree", ReducedHashtree, {"implicit": 2, "optional": True}),
        ("time_stamp", core.Any),
    ]


class ArchiveTimeStampChain(core.SequenceOf):  # type: ignore[misc]
    """RFC 4998, 5.1: archive timestamps of one hash algorithm, the oldest first."""

    _child_spec = ArchiveTimeStamp


class ArchiveTimeStampSequence(core.SequenceOf):  # type: ignore[misc]
    """RFC 4998, 5.1: chains, the oldest first."""

    _child_spec = ArchiveTimeStampChain


class DigestAlgorithms(core.SequenceOf):  # type: ignore[misc]
    """RFC 4998, 3.1."""

    _child_spec = algos.DigestAlgorithm


class EvidenceRecord(core.Sequence):  # type: ignore[misc]
    """RFC 4998, 3.1."""

    _fields: list[Any] = [  # noqa: RUF012
        ("version", core.Integer),
        ("digest_algorithms", DigestAlgorithms),
        ("crypto_infos", CryptoInfos, {"implicit": 0, "optional": True}),
        ("encryption_info", EncryptionInfo, {"implicit": 1, "optional": True}),
        ("archive_time_stamp_sequence", ArchiveTimeStampSequence),
    ]


class AnyValues(core.SequenceOf):  # type: ignore[misc]
    """Certificates, CRLs or OCSP answers, unread. CertificateValues is one (RFC 5126, 6.3.3)."""

    _child_spec = core.Any


class RevocationValues(core.Sequence):  # type: ignore[misc]
    """RFC 5126, 6.3.4.

    An OCSP answer is here without the status around it: a BasicOCSPResponse.
    """

    _fields: list[Any] = [  # noqa: RUF012
        ("crl_vals", AnyValues, {"explicit": 0, "optional": True}),
        ("ocsp_vals", AnyValues, {"explicit": 1, "optional": True}),
        ("other_rev_vals", core.Any, {"explicit": 2, "optional": True}),
    ]
