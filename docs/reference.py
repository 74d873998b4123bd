"""Write docs/cli.md, docs/settings.md and their Chinese twins: `python docs/reference.py`.

A test compares them with what this writes.
"""

# ruff: noqa: INP001 - a program of its own, in no package

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from witnesstree.anchor.settings import (
    PREFIX,
    TABLES,
    AuthoritySettings,
    ChainSettings,
    IpfsSettings,
    Method,
    Settings,
    setting_message,
)
from witnesstree.anchor.truststore import TRUST
from witnesstree.cli import status
from witnesstree.cli.help import help_text
from witnesstree.cli.language import speak
from witnesstree.cli.main import COMMANDS, EXIT_CODES, INTERRUPTED, cli
from witnesstree.cli.options import CORE_ENVVAR, HOME_ENVVAR
from witnesstree.cli.report import EXIT_CODES as VERDICTS
from witnesstree.ledger.base.catalogue import CHINESE, ENGLISH, worded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
WIDTH = 100
"""Columns of the help texts."""

CODES = sorted({1, 2, INTERRUPTED, status.ALARM, *EXIT_CODES.values(), *VERDICTS.values()})
"""All exit codes that a command may have."""

SETTINGS_HEAD = """\
# Settings

Written by `python docs/reference.py` from `anchor/settings.py`; `make docs` writes it again.

Each setting can be given in the environment, or under its name in `settings.toml` in the home;
the environment goes first. A misspelt name is refused. `examples/settings.toml` shows every one;
`witnesstree authority add` and `witnesstree chain add` write theirs.

Secrets never stand here: a setting refers to them as `env:NAME` or `file:PATH`.
"""


def cli_reference(language: str) -> str:
    """Return docs/cli.md, or docs/cli.zh.md."""
    speak(language)
    group = click.Context(cli, info_name="witnesstree", terminal_width=WIDTH)
    other = "[English](cli.md)" if language == CHINESE else "[中文](cli.zh.md)"
    parts = [f"# {help_text('reference.title')}\n\n{other}\n\n{help_text('reference.intro')}\n"]
    parts += [_exit_codes(), _section("witnesstree", cli, group)]
    for name in COMMANDS:
        command = cli.get_command(group, name)
        assert command
        context = click.Context(command, group, info_name=name)
        parts.append(_section(f"witnesstree {name}", command, context))
        for below, each in command.commands.items() if isinstance(command, click.Group) else ():
            inner = click.Context(each, context, info_name=below)
            parts.append(_section(f"witnesstree {name} {below}", each, inner))
    speak(ENGLISH)
    return "\n".join(parts)


def settings_reference(language: str = ENGLISH) -> str:
    """Return docs/settings.md, what the settings do in this language."""
    rows = [
        "| in the environment | in settings.toml | default | what it does |",
        "|---|---|---|---|",
        (
            f"| `{HOME_ENVVAR}` | | in the user's data folder | The ledger's folder; `--home` goes"
            " before it. |"
        ),
        (
            f"| `{TRUST}` | | in the user's configuration folder | The folder of trusted"
            " certificates. |"
        ),
        (
            f"| `{CORE_ENVVAR}` | | `native` where it was built | The core that hashes trees:"
            " `native` or `python`. Both give the same bytes. |"
        ),
        *(
            _setting(name, field, language)
            for name, field in Settings.model_fields.items()
            if name not in TABLES
        ),
    ]
    return "\n".join((SETTINGS_HEAD, *rows, "", *_tables(language)))


def _words(language: str, name: str, table: str = "") -> str:
    return worded(setting_message(name, table), language)


def _tables(language: str) -> Iterator[str]:
    for title, model in {
        "authorities.NAME": AuthoritySettings,
        "chains.NAME": ChainSettings,
        "ipfs": IpfsSettings,
    }.items():
        name = title.partition(".")[0]
        yield (f"## `[{title}]`\n\n{_words(language, name)} Only in settings.toml.\n")
        yield "| setting | default | what it does |\n|---|---|---|"
        for setting, field in model.model_fields.items():
            default = (
                "must be given"
                if field.is_required()
                else ""
                if field.default in {None, ()}
                else f"`{_written(field.default)}`"
            )
            yield f"| `{setting}` | {default} | {_words(language, setting, name)} |"
        yield ""
    yield f"## `[ends]`\n\n{_words(language, 'ends')} Only in settings.toml.\n"
    yield (
        f"Names are {', '.join(f'`{name}`' for name in get_args(Method))}; a value is a time with"
        " its zone, such as `2035-01-01T00:00:00Z`.\n"
    )


def _exit_codes() -> str:
    title, code, meaning = (
        help_text(f"reference.{name}") for name in ("exit-codes", "code", "meaning")
    )
    rows = [f"| {each} | {help_text(f'exit.{each}')} |" for each in CODES]
    return "\n".join((f"## {title}", "", f"| {code} | {meaning} |", "|---|---|", *rows, ""))


def _section(title: str, command: click.Command, context: click.Context) -> str:
    return f"## {title}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


def _setting(name: str, field: FieldInfo, language: str) -> str:
    default = "" if field.default is None else f"`{_written(field.default)}`"
    return f"| `{PREFIX}{name.upper()}` | `{name}` | {default} | {_words(language, name)} |"


def _written(default: Any) -> str:
    """Return a default as a person would write it."""
    if isinstance(default, timedelta):
        return f"{default.total_seconds():.10g}"
    return str(default).lower() if isinstance(default, bool) else f"{default}"


def main() -> None:
    """Write all files."""
    (DOCS / "cli.md").write_text(cli_reference(ENGLISH), encoding="utf-8")
    (DOCS / "cli.zh.md").write_text(cli_reference(CHINESE), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
