"""Settings: from the environment (WITNESSTREE_…) and from settings.toml in the home. Built once, at the edge; misspelt names are refused."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from typing_extensions import override

from witnesstree.ledger.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "WITNESSTREE_"
HOME = "WITNESSTREE_HOME"
"""Names the home itself, so it cannot stand in a home's settings.toml."""


class Settings(BaseSettings):
    """Every setting, with its default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    batch_entries: int = Field(default=2**23, ge=1, le=2**31, description="A batch with this many entries is closed, and the next one opened.")
    batch_age: timedelta = Field(
        default=timedelta(minutes=10), gt=timedelta(0), description="A batch this old is closed when the next entry comes (seconds or ISO 8601)."
    )
    patience: float = Field(default=60.0, ge=0, le=86_400, description="Seconds to wait for another process that holds the home.")

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
    """Return the settings that hold for `home`: the environment's before those of its settings.toml.

    Raises InvalidInput if one is misspelt or out of bounds.
    """
    known = {HOME, *(PREFIX + name.upper() for name in Settings.model_fields)}
    if strangers := sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        raise InvalidInput(f"{strangers[0]} is no setting: expected one of {', '.join(sorted(known))}")
    file = home / "settings.toml"
    names = ", ".join(sorted(Settings.model_fields))
    try:
        if file.exists() and not file.is_file():
            raise InvalidInput(f"{file} is not a file: put the settings into one, or remove it")
        from_file = TomlConfigSettingsSource(Settings, file)() if file.exists() else {}
        if strangers := sorted(set(from_file) - set(Settings.model_fields)):
            raise InvalidInput(f"{file}: {strangers[0][:60]!r} is no setting: expected {names}")
        from_environment = Settings().model_dump(exclude_unset=True)
        return Settings(**{**from_file, **from_environment})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}, not {str(first['input'])[:60]!r}") from None
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
