"""The packages that only real chains need: the extra `witnesstree[chains]`."""

from __future__ import annotations

from importlib.util import find_spec

from witnesstree.ledger.base.errors import InvalidInput

PACKAGES = ("web3", "eth_account")


def require_chains_extra() -> None:
    """Raise InvalidInput, with the line to type, unless the extra is installed.

    Nothing is imported for that.
    """
    for package in PACKAGES:
        try:
            found = find_spec(package)
        except ImportError:
            found = None
        if found is None:
            raise InvalidInput("chains-extra-missing", package=package)
