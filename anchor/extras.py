"""The extras of pyproject.toml: the packages that a plain install leaves out."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from witnesstree.ledger.base.errors import InvalidInput

CHAINS: Final = "chains"
LEDGER: Final = "ledger"
LISTS: Final = "lists"
SERVE: Final = "serve"
PACKAGES: Final = {
    CHAINS: ("eth_abi", "eth_account", "eth_utils", "httpcore2", "httpx2", "rlp", "web3"),
    LEDGER: (
        "alembic",
        "eth",
        "eth_abi",
        "eth_keys",
        "eth_utils",
        "httpcore2",
        "httpx2",
        "numpy",
        "prometheus_client",
        "psycopg",
        "pydantic",
        "pydantic_settings",
        "pyrage",
        "rlp",
        "sqlalchemy",
        "tomlkit",
        "trie",
    ),
    LISTS: ("lxml", "signxml"),
    SERVE: ("fastapi", "httptools", "limits", "msgspec", "uvicorn", "uvloop"),
}
"""What is looked for of each extra, as it is imported. A ledger with embedded parts needs no web3,
though its extra brings it."""


def require_extra(extra: str) -> None:
    """Raise InvalidInput, with the line to type, unless the extra is installed.

    Nothing is imported for that.
    """
    for package in PACKAGES[extra]:
        try:
            found = find_spec(package)
        except ImportError:
            found = None
        if found is None:
            raise InvalidInput("extra-missing", extra=extra, package=package)
