"""Settings: from the environment (WITNESSTREE_…) and from settings.toml in the home.

Built once, at the edge; misspelt names are refused.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
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
from witnesstree.ledger.base.message import Message, message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

    from witnesstree.ledger.base.message import Value

PREFIX = "WITNESSTREE_"
HOME = "WITNESSTREE_HOME"
"""Names the home itself, so it cannot be in a home's settings.toml."""
CORE = "WITNESSTREE_CORE"
"""Names the core that hashes trees; it is chosen before any home is opened."""
LANG = "WITNESSTREE_LANG"
"""In which language the command line speaks: known there alone, before there are settings."""
FILE = "settings.toml"
LOCK = "settings.lock"
"""Held by whoever changes the settings, from reading to writing."""
TABLES: tuple[str, ...] = ("authorities", "chains", "ipfs", "ends", "service")
"""The settings that are tables: they are in settings.toml alone."""
EMBEDDED = "local"
"""The embedded authority and the embedded chain are called so in every ledger, and nothing else may
be."""

MAX_ADDRESS = 2048
"""Characters in a URL."""
MAX_TABLES = 16
"""Authorities, and chains."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEY = re.compile(
    r"keystore:.+|env:[A-Za-z_][A-Za-z0-9_]*|(web3signer|clef)\+https?://[^\s#]+#0x[0-9a-fA-F]{40}"
)
_REFERENCE = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
_PLAIN_ADDRESS = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?"
    r"|postgresql(\+psycopg)?://([A-Za-z0-9_-]+@)?[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9_-]*"
    r"(\?options=-csearch_path%3D[A-Za-z0-9_]+)?"
)
"""An address in which a key has no place: of a server, or of a database with its user's name."""
_SECRET_NAME = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")

Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Wrong(ValueError):
    """What a validator of ours finds: pydantic hands it on in its error's context."""

    def __init__(self, said: Message) -> None:
        super().__init__(said)
        self.message = said


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
    if not usable or len(text) > MAX_ADDRESS:
        raise _Wrong(message("settings-not-an-address", most=MAX_ADDRESS))
    return text


def _require_node(text: str) -> str:
    return text if is_reference(text) else _require_address(text)


def is_reference(text: str) -> bool:
    """Whether this is env:NAME or file:PATH, and no address that somebody put there: then it may be
    repeated.
    """
    return re.fullmatch(_REFERENCE, text) is not None and "://" not in text


def _require_date(value: object) -> object:
    # A bare number would be taken as seconds since 1970, and so would its digits as a text.
    if not isinstance(value, date) and not (
        isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value)
    ):
        raise _Wrong(message("settings-date-expected"))
    return value


def _require_seconds(value: object) -> object:
    # From the environment everything is text.
    is_number = isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value)
    return float(value) if is_number else value  # type: ignore[arg-type]


NodeUrl = Annotated[str, AfterValidator(_require_node)]
HttpUrl = Annotated[str, AfterValidator(_require_address)]
Oid = Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9][0-9]{0,30})){1,30}$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Method = Literal["sha256", "sha384", "sha512", "rsa below 3072 bits"]
Duration = Annotated[timedelta, BeforeValidator(_require_seconds)]
Moment = Annotated[AwareDatetime, BeforeValidator(_require_date)]
Secret = Annotated[str, Field(pattern=_REFERENCE)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AuthoritySettings(_Table):
    """One RFC 3161 authority: `[authorities.NAME]`."""

    url: HttpUrl
    policy: Oid | None = None
    user: str | None = None
    password: Secret | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    tls_ca: Path | None = None
    timeout: Seconds = 20.0
    revocation: bool = True
    private_addresses: bool = False


class ChainSettings(_Table):
    """One EVM chain: `[chains.NAME]`."""

    chain_id: int = Field(
        ge=1,
        lt=2**53,
    )
    urls: tuple[NodeUrl, ...] = Field(
        min_length=1,
        max_length=8,
    )
    agree: int = Field(
        default=1,
        ge=1,
        le=8,
    )
    key: str | None = Field(
        default=None,
        max_length=2048,
    )
    key_password: Secret | None = None
    finality: Literal["finalized"] | Annotated[int, Field(ge=0, le=100_000)] = "finalized"
    fees: Literal["eip1559", "legacy"] = "eip1559"
    fee_cap: float = Field(
        default=100.0,
        gt=0,
        le=1e9,
    )
    tip: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
    )
    timeout: Seconds = 15.0
    contract: Address | None = None

    @field_validator("key")
    @classmethod
    def _reference(cls, key: str | None) -> str | None:
        if key is not None and not _KEY.fullmatch(key):
            raise _Wrong(message("settings-not-a-key"))
        return key

    @field_validator("finality", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return (
            int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        )


class IpfsSettings(_Table):
    """Where files go with `seal --ipfs`: `[ipfs]`."""

    url: HttpUrl | None = None
    recipients: tuple[str, ...] = Field(
        default=(),
        max_length=32,
    )
    pin_services: tuple[str, ...] = Field(
        default=(),
        max_length=16,
    )
    timeout: Seconds = 60.0


class ServiceSettings(_Table):
    """The HTTP service: `[service]`."""

    promise: Duration = Field(
        default=timedelta(hours=1),
        ge=timedelta(seconds=1),
        le=timedelta(days=365),
    )
    backlog: int = Field(
        default=2**26,
        ge=1,
        le=2**40,
    )
    public: bool = False
    rate: int | None = Field(
        default=None,
        ge=1,
        le=2**31,
    )
    quota: int | None = Field(
        default=None,
        ge=1,
        le=2**40,
    )
    direct: int = Field(
        default=60,
        ge=0,
        le=100_000,
    )
    proxies: tuple[str, ...] = Field(
        default=(),
        max_length=64,
    )


class Settings(BaseSettings):
    """Every setting, with its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    batch_entries: int = Field(
        default=2**23,
        ge=1,
        le=2**31,
    )
    batch_age: Duration = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
    )
    patience: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
    )
    deadline: Duration = Field(
        default=timedelta(hours=6),
        gt=timedelta(0),
    )
    replace_after: Duration = Field(
        default=timedelta(minutes=3),
        gt=timedelta(0),
    )
    required_tokens: int = Field(
        default=1,
        ge=0,
        le=16,
    )
    clock_bound: Duration = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
    )
    clock_sources: tuple[str, ...] = Field(
        default=(),
        max_length=16,
    )
    renew_before: Duration = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
    )
    publish_batches: bool = False
    database: str | None = Field(
        default=None,
        pattern=r"^postgresql(\+psycopg)?://",
        max_length=2048,
    )
    authorities: dict[str, AuthoritySettings] = {}
    chains: dict[str, ChainSettings] = {}
    ipfs: IpfsSettings = IpfsSettings()
    ends: dict[Method, Moment] = {}
    service: ServiceSettings = ServiceSettings()

    @model_validator(mode="after")
    def _attainable(self) -> Settings:
        # Without any authority, the embedded one stamps.
        if self.required_tokens > max(1, len(self.authorities)):
            raise _Wrong(
                message(
                    "settings-too-few-authorities",
                    needed=self.required_tokens,
                    count=len(self.authorities),
                )
            )
        return self

    @field_validator("authorities", "chains")
    @classmethod
    def _named(cls, tables: dict[str, Any]) -> dict[str, Any]:
        for name in tables:
            if not _NAME.fullmatch(name) or name == EMBEDDED:
                raise _Wrong(message("settings-name-wrong", taken=EMBEDDED))
        if len(tables) > MAX_TABLES:
            raise _Wrong(message("settings-too-many-tables", most=MAX_TABLES))
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


def setting_message(name: str, table: str = "") -> Message:
    """Return what a setting does, in the words of the catalogue's file `settings`."""
    return message("-".join(("setting", *filter(None, (table, name)))).replace("_", "-"))


def read_settings(home: Path) -> Settings:
    """Return the settings that hold for `home`: the environment's before those of its
    settings.toml.

    Raises InvalidInput if one is misspelt or out of bounds.
    """
    file = home / FILE
    if file.exists() and not file.is_file():
        raise InvalidInput("settings-not-a-file", path=file)
    try:
        from_file = TomlConfigSettingsSource(Settings, file)() if file.exists() else {}
    except (ValueError, OSError) as error:
        raise _unreadable(file, error) from error
    return _checked(file, from_file)


# How tomllib and tomlkit end what they say.
_PLACE = re.compile(r"at (?:end of document|line (\d+),? col(?:umn)? (\d+))")


def _unreadable(file: Path, error: Exception) -> InvalidInput:
    """Return the error for settings that are no TOML, with the place where the reader stopped."""
    if place := _PLACE.search(str(error)):
        return InvalidInput("settings-not-toml", path=file, line=place[1], column=place[2])
    return InvalidInput("settings-unreadable", path=file, error=error)


def _checked(file: Path, from_file: dict[str, Any]) -> Settings:
    if strangers := sorted(set(from_file) - set(Settings.model_fields)):
        _require_no_table(file, strangers[0])
        raise InvalidInput(
            "settings-name-unknown",
            path=file,
            name=strangers[0][:60],
            **_meant(strangers[0], Settings.model_fields),
        )
    # A secret may be kept in a variable under our prefix, too.
    known = {
        HOME,
        TRUST,
        CORE,
        LANG,
        *(PREFIX + name.upper() for name in Settings.model_fields if name not in TABLES),
        *_secret_names(from_file),
    }
    if strangers := sorted(
        name for name in os.environ if name.startswith(PREFIX) and name not in known
    ):
        raise InvalidInput(
            "settings-variable-unknown", name=strangers[0][:60], **_meant(strangers[0], known)
        )
    try:
        from_environment = Settings().model_dump(exclude_unset=True)
        return Settings(**{**from_file, **from_environment})
    except ValidationError as error:
        raise _translated(error.errors()[0]) from None


def _require_no_table(file: Path, name: str) -> None:
    """Raise InvalidInput if a setting of this name, or of one like it, belongs into a table."""
    from difflib import get_close_matches

    if get_close_matches(name, Settings.model_fields, 1, 0.75):
        return
    tables: dict[str, type[_Table]] = {
        "authorities.NAME": AuthoritySettings,
        "chains.NAME": ChainSettings,
        "ipfs": IpfsSettings,
    }
    for table, model in tables.items():
        if meant := get_close_matches(name, model.model_fields, 1, 0.75):
            raise InvalidInput(
                "settings-name-of-table", path=file, name=name[:60], meant=meant[0], table=table
            )


def _meant(name: str, known: Iterable[str]) -> dict[str, Value]:
    """Return the name that was probably meant, None where none is like it, and all that are known,
    as parameters of a message.
    """
    from difflib import get_close_matches

    return {
        "meant": next(iter(get_close_matches(name, known, 1, 0.75)), None),
        "expected": sorted(known),
    }


_SIMPLE = {
    "bool": "settings-not-true-or-false",
    "date": "settings-not-a-moment",
    "datetime": "settings-not-a-moment",
    "dict": "settings-not-a-table",
    "float": "settings-not-a-number",
    "finite": "settings-not-a-number",
    "int": "settings-not-whole",
    "model": "settings-not-a-table",
    "path": "settings-not-text",
    "string": "settings-not-text",
    "time": "settings-not-a-duration",
    "timezone": "settings-not-a-moment",
    "tuple": "settings-not-a-list",
}
"""What is said of values of another type, by the first word of pydantic's error."""
_PATTERNS = {
    "policy": "settings-not-an-oid",
    "contract": "settings-not-an-account",
    "database": "settings-not-a-database",
    "password": "settings-not-a-secret",
    "key_password": "settings-not-a-secret",
}
"""What is said of texts of another form, by the setting."""
_BOUNDS = {
    "greater_than_equal": ("settings-too-small", "ge"),
    "greater_than": ("settings-not-above", "gt"),
    "less_than_equal": ("settings-too-large", "le"),
    "less_than": ("settings-not-below", "lt"),
}


def _translated(error: ErrorDetails) -> InvalidInput:
    """Return our own words for what pydantic finds wrong first."""
    place, found = error["loc"], error["input"]
    # What was given may be a secret that is where none belongs, so only plain values are repeated.
    given = ascii(str(found)[:60]) if _is_harmless(place, found) else None
    code, params = _reason(error, place)
    return InvalidInput(
        code, name=".".join(map(str, place)) or "required_tokens", **{"given": given, **params}
    )


def _reason(error: ErrorDetails, place: tuple[int | str, ...]) -> tuple[str, dict[str, Value]]:
    """Return the code of an error, and what its words need beside the setting and its value."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        code, bound = _BOUNDS[kind]
        return code, {"bound": str(context[bound])}
    if kind == "extra_forbidden":
        return "settings-member-unknown", _meant(str(place[-1]), _members_of(place))
    if isinstance(ours := context.get("error"), _Wrong):
        return "settings-wrong", {"reason": ours.message}
    named: dict[str, tuple[str, dict[str, Value]]] = {
        "missing": ("settings-member-missing", {}),
        "literal_error": ("settings-not-one-of", {"expected": context.get("expected")}),
        "too_long": ("settings-too-long", {"most": context.get("max_length")}),
        "string_too_long": ("settings-too-long", {"most": context.get("max_length")}),
        "too_short": ("settings-too-short", {"least": context.get("min_length")}),
    }
    if kind == "string_pattern_mismatch":
        return _PATTERNS[str(place[-1])], {}
    simple = _SIMPLE.get(kind.partition("_")[0])
    other: tuple[str, dict[str, Value]] = (
        (simple, {}) if simple else ("settings-wrong", {"reason": error["msg"]})
    )
    return named.get(kind, other)


def _members_of(place: tuple[int | str, ...]) -> Iterable[str]:
    tables: dict[object, type[BaseModel]] = {
        "authorities": AuthoritySettings,
        "chains": ChainSettings,
        "ipfs": IpfsSettings,
    }
    return tables.get(place[0], Settings).model_fields


def _is_harmless(place: tuple[int | str, ...], value: object) -> bool:
    """Whether a value may be repeated: a plain one, where no secret belongs.

    What is in place of a table may hold anything, keys too.
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
            raise InvalidInput("settings-variable-missing", name=place)
        return os.environ[place]
    try:
        with Path(place).expanduser().open(encoding="utf-8") as file:
            return file.read(64 * 1024).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("settings-secret-unreadable", path=place) from error


def add_table(home: Path, kind: str, name: str, members: Mapping[str, Any]) -> None:
    """Write `[kind.name]` with `members` into the home's settings.toml, everything else there
    untouched, comments too.

    Raises Conflict if there is one of this name, InvalidInput if the settings would not hold.
    """
    import tomlkit

    with _changed(home) as document:
        tables = _tables(home, document, kind)
        if name in tables:
            raise Conflict("settings-table-exists", path=home / FILE, table=f"{kind}.{name}")
        table = tomlkit.table()
        for key, value in members.items():
            table.add(key, list(value) if isinstance(value, tuple) else value)
        tables[name] = table


def set_member(home: Path, kind: str, name: str, member: str, value: object) -> None:
    """Write one member of `[kind.name]`, everything else untouched.

    Raises NotFound if there is no such table, InvalidInput if the settings would not hold.
    """
    with _changed(home) as document:
        if name not in _tables(home, document, kind):
            raise _missing_table(home, kind, name)
        document[kind][name][member] = value


def write_setting(home: Path, name: str, value: str | int | None) -> None:
    """Write one setting into the home's settings.toml, or with None take it out; everything else
    there stays untouched.

    Raises InvalidInput if the settings would not hold.
    """
    with _changed(home) as document:
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value


def may_hold_secret(home: Path) -> bool:
    """Whether the home's settings.toml may hold a key or a password: an address in it, in a comment
    too, is neither known to everybody nor a server's name alone, or a key is behind an address.

    A key that is a part of a server's name cannot be told from one that is not.
    """
    document = _document(home)
    words = re.split(r"[\s\"']+", document.as_string())
    return any(_is_telling(text) for text in (*_texts(document.unwrap()), *words))


def _texts(value: Any) -> Iterator[str]:
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            yield from _texts(each)


def _is_telling(text: str) -> bool:
    """Whether a text holds an address that may be a secret."""
    from witnesstree.anchor.evm import presets as chains
    from witnesstree.anchor.tsa import presets as authorities

    if "://" not in text or _PLAIN_ADDRESS.fullmatch(text):
        return False
    known = {each.url for each in authorities.PRESETS.values()}
    return text not in known.union(*(each.urls for each in chains.PRESETS.values()))


def remove_table(home: Path, kind: str, name: str) -> None:
    """Take `[kind.name]` out of the home's settings.toml. Raises NotFound if there is none."""
    with _changed(home) as document:
        if name not in _tables(home, document, kind):
            raise _missing_table(home, kind, name)
        del document[kind][name]


def _missing_table(home: Path, kind: str, name: str) -> NotFound:
    return NotFound(
        "settings-table-missing",
        path=home / FILE,
        table=f"{kind}.{name}",
        command=_SINGULAR[kind],
    )


_SINGULAR = {"authorities": "authority", "chains": "chain"}


def _tables(home: Path, document: Any, kind: str) -> Any:
    import tomlkit

    tables = document.setdefault(kind, tomlkit.table(is_super_table=True))
    if not isinstance(tables, dict):
        raise InvalidInput("settings-no-table", path=home / FILE, table=kind)
    return tables


@contextmanager
def _changed(home: Path) -> Iterator[Any]:
    """Give the settings to a block that changes them, and write them when it ends well. Nobody else
    changes them meanwhile.
    """
    from witnesstree.ledger.store.disk import locked

    with locked(home / LOCK):
        document = _document(home)
        yield document
        _write(home, document)


def _document(home: Path) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = home / FILE
    try:
        return (
            tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
        )
    except (TOMLKitError, ValueError, OSError) as error:
        raise _unreadable(file, error) from error


def _write(home: Path, document: Any) -> None:
    import tomlkit

    from witnesstree.ledger.store.disk import write_file

    file = home / FILE
    _checked(file, document.unwrap())
    # Addresses of nodes often hold a key.
    write_file(file, tomlkit.dumps(document).encode(), mode=0o600)
