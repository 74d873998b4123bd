"""How certificates of embedded authorities are told from all others: by what they call
themselves.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from cryptography import x509

CLAIM: Final = "proves nothing to third parties"
"""Part of the common name of each (X.520 gives that 64 characters)."""


def is_stand_in(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate calls itself that of an embedded authority, so that trusting it by
    hand makes no more of it.
    """
    with warnings.catch_warnings():
        # Of names that are longer than X.520 allows, as some authorities' are.
        warnings.simplefilter("ignore")
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(CLAIM in str(name.value) for name in names)
