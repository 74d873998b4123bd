"""Settings: from the environment (WITNESSTREE_…) and from settings.toml in the home.

Built once, at the edge; misspelt names are refused.
"""

from __future__ import annotations

import os
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from witnesstree.anchor.truststore import TRUST
from witnesstree.ledger.base.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "WITNESSTREE_"
HOME = "WITNESSTREE_HOME"
"""Names the home itself, so it cannot stand in a home's settings.toml."""
CORE = "WITNESSTREE_CORE"
"""Names the core that hashes trees; it is chosen before any home is opened."""
FILE = "settings.toml"
TABLES: tuple[str, ...] = ("authorities", "chains", "ipfs", "ends")
"""The settings that are tables, which stand in settings.toml alone."""
EMBEDDED = "local"
"""The embedded authority and the embedded chain are called so in every ledger, and nothing else may
be."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEY = re.compile(
    r"keystore:.+|env:[A-Za-z_][A-Za-z0-9_]*|(web3signer|clef)\+https?://[^\s#]+#0x[0-9a-fA-F]{40}"
)
_SECRET_NAME = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")

Seconds = Annotated[float, Field(gt=0, le=3600)]


def _require_address(text: str) -> str:
    # Says nothing of the text: it may hold a key.
    try:
        parts = urlsplit(text)
        usable = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", text)
        )
    except ValueError:
        usable = False
    if not usable or len(text) > 2048:
        raise ValueError(
            "expected http://… or https://… with a host, without white space, at most 2048"
            " characters"
        )
    return text


def _require_date(value: object) -> object:
    # A bare number would be taken as seconds since 1970, and so would its digits as a text.
    if not isinstance(value, date) and not (
        isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value)
    ):
        raise ValueError("expected a date and a time with a zone, such as 2035-01-01T00:00:00Z")
    return value


HttpUrl = Annotated[str, AfterValidator(_require_address)]
Oid = Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9][0-9]{0,30})){1,30}$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Method = Literal["sha256", "sha384", "sha512", "rsa below 3072 bits"]
Moment = Annotated[AwareDatetime, BeforeValidator(_require_date)]
Secret = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AuthoritySettings(_Table):
    """One RFC 3161 authority: `[authorities.NAME]`."""

    url: HttpUrl = Field(description="Where requests are sent (RFC 3161, 3.4).")
    policy: Oid | None = Field(
        default=None, description="Ask for this policy, and refuse a token under another one."
    )
    user: str | None = Field(default=None, description="User name for HTTP authentication.")
    password: Secret | None = Field(
        default=None, description="Its password, never written here: env:NAME or file:PATH."
    )
    client_certificate: Path | None = Field(
        default=None, description="Certificate for TLS client authentication, PEM."
    )
    client_key: Path | None = Field(
        default=None, description="Its private key, PEM; by default in the same file."
    )
    tls_ca: Path | None = Field(
        default=None,
        description=(
            "Certificates, PEM, that may vouch for the server's TLS certificate, in place of the"
            " usual ones."
        ),
    )
    timeout: Seconds = Field(default=20.0, description="Seconds for one whole exchange.")
    revocation: bool = Field(
        default=True,
        description="Fetch CRLs and OCSP answers for the token's certificates when it is made.",
    )
    private_addresses: bool = Field(
        default=False,
        description=(
            "Fetch these from private and loopback addresses, too: certificates from outside name"
            " the places."
        ),
    )


class ChainSettings(_Table):
    """One EVM chain: `[chains.NAME]`."""

    chain_id: int = Field(
        ge=1,
        lt=2**53,
        description="The chain's id (EIP-155). A node that answers with another one is refused.",
    )
    urls: tuple[HttpUrl, ...] = Field(
        min_length=1,
        max_length=8,
        description="JSON-RPC endpoints, in order: the next is asked when one does not answer.",
    )
    agree: int = Field(
        default=1,
        ge=1,
        le=8,
        description="So many endpoints must name the same final block before it counts.",
    )
    key: str | None = Field(
        default=None,
        max_length=2048,
        description=(
            "Who pays: keystore:FILE, env:NAME, web3signer+URL#ADDRESS or clef+URL#ADDRESS."
        ),
    )
    key_password: Secret | None = Field(
        default=None,
        description="The keystore's password, never written here: env:NAME or file:PATH.",
    )
    finality: Literal["finalized"] | Annotated[int, Field(ge=0, le=100_000)] = Field(
        default="finalized",
        description=(
            "When a block is final: the node's finalized tag, or a number of blocks on top of it."
        ),
    )
    fees: Literal["eip1559", "legacy"] = Field(
        default="eip1559", description="Kind of transaction."
    )
    fee_cap: float = Field(
        default=100.0, gt=0, le=1e9, description="Never offer more than so many gwei for one gas."
    )
    tip: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
        description=(
            "Gwei for one gas to whoever makes the block.  [default: what the node suggests]"
        ),
    )
    timeout: Seconds = Field(
        default=15.0, description="Seconds for one whole exchange with an endpoint."
    )
    contract: Address | None = Field(
        default=None,
        description="The contract's address, where the usual CREATE2 deployer does not exist.",
    )

    @field_validator("key")
    @classmethod
    def _reference(cls, key: str | None) -> str | None:
        if key is not None and not _KEY.fullmatch(key):
            raise ValueError(
                "expected keystore:FILE, env:NAME, web3signer+URL#ADDRESS or clef+URL#ADDRESS"
            )
        return key

    @field_validator("finality", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return (
            int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        )


class IpfsSettings(_Table):
    """Where files go with `seal --ipfs`: `[ipfs]`."""

    url: HttpUrl | None = Field(
        default=None,
        description=(
            "Kubo's RPC address, such as http://127.0.0.1:5001.  [default: the block store in the"
            " home]"
        ),
    )
    recipients: tuple[str, ...] = Field(
        default=(),
        max_length=32,
        description=(
            "age recipients (age1… or ssh-…) that files are encrypted to, beside the home's own"
            " key."
        ),
    )
    pin_services: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description=(
            "Remote pinning services, by the names under which Kubo knows them, that keep a copy."
        ),
    )
    timeout: Seconds = Field(default=60.0, description="Seconds that Kubo may be silent.")


class Settings(BaseSettings):
    """Every setting, with its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    batch_entries: int = Field(
        default=2**23,
        ge=1,
        le=2**31,
        description="A batch with this many entries is closed, and the next one opened.",
    )
    batch_age: timedelta = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description=(
            "A batch this old is closed by the worker, or when the next entry comes (seconds or ISO"
            " 8601)."
        ),
    )
    patience: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Seconds to wait for another process that holds the home.",
    )
    deadline: timedelta = Field(
        default=timedelta(hours=6),
        gt=timedelta(0),
        description=(
            "A closed batch that has not all its witnesses after this time raises an alarm."
        ),
    )
    replace_after: timedelta = Field(
        default=timedelta(minutes=3),
        gt=timedelta(0),
        description="Offer more when a transaction has waited so long for its block.",
    )
    required_tokens: int = Field(
        default=1,
        ge=0,
        le=16,
        description=(
            "So many authorities must have stamped a batch; those beyond may come late without"
            " alarm."
        ),
    )
    clock_bound: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description=(
            "A token whose time differs more than this from the clock here, or from another"
            " authority's, raises an alarm."
        ),
    )
    renew_before: timedelta = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
        description=(
            "The worker renews a batch's evidence record so long before it cannot be verified any"
            " more."
        ),
    )
    publish_batches: bool = Field(
        default=False,
        description=(
            "Put each sealed batch's list of digests into IPFS, so that anyone can rebuild its"
            " tree."
        ),
    )
    database: str | None = Field(
        default=None,
        pattern=r"^postgresql(\+psycopg)?://",
        max_length=2048,
        description="A PostgreSQL database for the metadata.  [default: SQLite in the home]",
    )
    authorities: dict[str, AuthoritySettings] = Field(
        default={},
        description="RFC 3161 authorities, by name. Without any, the embedded one is used.",
    )
    chains: dict[str, ChainSettings] = Field(
        default={}, description="EVM chains, by name. Without any, the embedded one is used."
    )
    ipfs: IpfsSettings = Field(default=IpfsSettings(), description="The file store.")
    ends: dict[Method, Moment] = Field(
        default={},
        description=(
            "When methods stop being safe, by name, beyond what is known here: renewals come"
            " before."
        ),
    )

    @model_validator(mode="after")
    def _attainable(self) -> Settings:
        # Without any authority, the embedded one stamps.
        if self.required_tokens > max(1, len(self.authorities)):
            known = len(self.authorities)
            raise ValueError(
                f"{self.required_tokens} tokens are required, and there are {known} authorities:"
                " add some, or require fewer"
            )
        return self

    @field_validator("authorities", "chains")
    @classmethod
    def _named(cls, tables: dict[str, Any]) -> dict[str, Any]:
        for name in tables:
            if not _NAME.fullmatch(name) or name == EMBEDDED:
                raise ValueError(
                    f"a name has 1 to 32 small letters, digits and hyphens, and is not {EMBEDDED!r}"
                )
        if len(tables) > 16:
            raise ValueError("there are at most 16")
        return tables

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


def read_settings(home: Path) -> Settings:
    """Return the settings that hold for `home`: the environment's before those of its
    settings.toml.

    Raises InvalidInput if one is misspelt or out of bounds.
    """
    file = home / FILE
    if file.exists() and not file.is_file():
        raise InvalidInput(f"{file} is not a file: put the settings into one, or remove it")
    try:
        from_file = TomlConfigSettingsSource(Settings, file)() if file.exists() else {}
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
    return _checked(file, from_file)


def _checked(file: Path, from_file: dict[str, Any]) -> Settings:
    names = ", ".join(sorted(Settings.model_fields))
    if strangers := sorted(set(from_file) - set(Settings.model_fields)):
        raise InvalidInput(f"{file}: {strangers[0][:60]!r} is no setting: expected {names}")
    # A secret may be kept in a variable under our prefix, too.
    known = {
        HOME,
        TRUST,
        CORE,
        *(PREFIX + name.upper() for name in Settings.model_fields if name not in TABLES),
        *_secret_names(from_file),
    }
    if strangers := sorted(
        name for name in os.environ if name.startswith(PREFIX) and name not in known
    ):
        raise InvalidInput(
            f"{strangers[0]} is no setting: expected one of {', '.join(sorted(known))}"
        )
    try:
        from_environment = Settings().model_dump(exclude_unset=True)
        return Settings(**{**from_file, **from_environment})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "required_tokens"
        # What was given may be a secret that stands where none belongs, so only plain values are
        # repeated.
        given = (
            f", not {str(first['input'])[:60]!r}"
            if first["type"] != "extra_forbidden" and _is_harmless(first["loc"], first["input"])
            else ""
        )
        raise InvalidInput(
            f"setting {place}: {first['msg'].removeprefix('Value error, ')}{given}"
        ) from None


def _is_harmless(place: tuple[int | str, ...], value: object) -> bool:
    """Whether a value may be repeated: a plain one, where no secret belongs.

    What stands in place of a table may hold anything, keys too.
    """
    depth = {"authorities": 3, "chains": 3, "ipfs": 2}.get(str(place[0]), 1) if place else 1
    secret = {"password", "key", "key_password", "urls", "url", "database", "user", "recipients"}
    return (
        isinstance(value, str | int | float)
        and len(place) >= depth
        and not secret & set(map(str, place))
    )


def _secret_names(value: Any) -> Iterator[str]:
    """Yield the environment variables that settings refer to as env:NAME."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _secret_names(each)
    elif isinstance(value, str) and (found := _SECRET_NAME.fullmatch(value)):
        yield found[1]


def read_secret(reference: str) -> str:
    """Return what env:NAME or file:PATH refers to, without the line end.

    Raises InvalidInput if it is not there; the error never holds it.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        if place not in os.environ:
            raise InvalidInput(
                f"the environment variable {place} is not set, and the settings refer to it"
            )
        return os.environ[place]
    try:
        with Path(place).expanduser().open(encoding="utf-8") as file:
            return file.read(64 * 1024).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{place} cannot be read, and the settings refer to it") from error


def add_table(home: Path, kind: str, name: str, members: Mapping[str, Any]) -> None:
    """Write `[kind.name]` with `members` into the home's settings.toml, everything else there
    untouched, comments too.

    Raises Conflict if there is one of this name, InvalidInput if the settings would not hold.
    """
    import tomlkit

    document = _document(home)
    tables = _tables(home, document, kind)
    if name in tables:
        raise Conflict(
            f"{home / FILE} has [{kind}.{name}] already: change it there, or take another name"
        )
    table = tomlkit.table()
    for key, value in members.items():
        table.add(key, list(value) if isinstance(value, tuple) else value)
    tables[name] = table
    _write(home, document)


def set_member(home: Path, kind: str, name: str, member: str, value: object) -> None:
    """Write one member of `[kind.name]`, everything else untouched.

    Raises NotFound if there is no such table, InvalidInput if the settings would not hold.
    """
    document = _document(home)
    if name not in _tables(home, document, kind):
        raise NotFound(
            f"{home / FILE} has no [{kind}.{name}]: `witnesstree {_SINGULAR[kind]} list` shows what"
            " it has"
        )
    document[kind][name][member] = value
    _write(home, document)


def write_setting(home: Path, name: str, value: str | int) -> None:
    """Write one setting into the home's settings.toml, everything else there untouched.

    Raises InvalidInput if the settings would not hold.
    """
    document = _document(home)
    document[name] = value
    _write(home, document)


def remove_table(home: Path, kind: str, name: str) -> None:
    """Take `[kind.name]` out of the home's settings.toml. Raises NotFound if there is none."""
    document = _document(home)
    if name not in _tables(home, document, kind):
        raise NotFound(
            f"{home / FILE} has no [{kind}.{name}]: `witnesstree {_SINGULAR[kind]} list` shows what"
            " it has"
        )
    del document[kind][name]
    _write(home, document)


_SINGULAR = {"authorities": "authority", "chains": "chain"}


def _tables(home: Path, document: Any, kind: str) -> Any:
    import tomlkit

    tables = document.setdefault(kind, tomlkit.table(is_super_table=True))
    if not isinstance(tables, dict):
        raise InvalidInput(f"{home / FILE}: {kind} is no table: write [{kind}.NAME]")
    return tables


def _document(home: Path) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = home / FILE
    try:
        return (
            tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
        )
    except (TOMLKitError, ValueError, OSError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error


def _write(home: Path, document: Any) -> None:
    import tomlkit

    from witnesstree.ledger.store.disk import write_file

    file = home / FILE
    _checked(file, document.unwrap())
    # Addresses of nodes often hold a key.
    write_file(file, tomlkit.dumps(document).encode(), mode=0o600)
