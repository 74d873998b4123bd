"""Write docs/cli.md, docs/settings.md and their Chinese twins: `python docs/reference.py`.

A test compares them with what this writes.
"""

# ruff: noqa: INP001 - a program of its own, in no package

from __future__ import annotations

import json
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
    ServiceSettings,
    Settings,
    setting_message,
)
from witnesstree.anchor.truststore import TRUST
from witnesstree.api.app import make_app
from witnesstree.cli import seal, status
from witnesstree.cli.help import help_text
from witnesstree.cli.language import LANG_ENVVAR, speak
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

CODES = sorted(
    {1, 2, INTERRUPTED, status.ALARM, seal.SKIPPED, *EXIT_CODES.values(), *VERDICTS.values()}
)
"""All exit codes that a command may have."""


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


def settings_reference(language: str) -> str:
    """Return docs/settings.md, or docs/settings.zh.md."""
    speak(language)
    other = "[English](settings.md)" if language == CHINESE else "[中文](settings.zh.md)"
    names = {HOME_ENVVAR: "home", TRUST: "trust", CORE_ENVVAR: "core", LANG_ENVVAR: "lang"}
    lines = [
        f"# {help_text('reference.settings-title')}\n\n{other}\n",
        help_text("reference.settings-intro") + "\n",
        help_text("reference.settings-columns"),
        "|---|---|---|---|",
        *(
            f"| `{name}` | | {help_text(f'reference.settings-{of}')} |"
            for name, of in names.items()
        ),
        *(
            _setting(name, field, language)
            for name, field in Settings.model_fields.items()
            if name not in TABLES
        ),
        "",
        *_tables(language),
    ]
    speak(ENGLISH)
    return "\n".join(lines)


def _words(language: str, name: str, table: str = "") -> str:
    return worded(setting_message(name, table), language)


def _tables(language: str) -> Iterator[str]:
    only_there = help_text("reference.settings-only-there")
    for title, model in {
        "authorities.NAME": AuthoritySettings,
        "chains.NAME": ChainSettings,
        "ipfs": IpfsSettings,
        "service": ServiceSettings,
    }.items():
        name = title.partition(".")[0]
        yield f"## `[{title}]`\n\n{_words(language, name)} {only_there}\n"
        yield f"{help_text('reference.settings-table')}\n|---|---|---|"
        for setting, field in model.model_fields.items():
            yield f"| `{setting}` | {_default(field)} | {_words(language, setting, name)} |"
        yield ""
    methods = ", ".join(f"`{name}`" for name in get_args(Method))
    yield f"## `[ends]`\n\n{_words(language, 'ends')} {only_there}\n"
    yield help_text("reference.settings-ends").replace("{names}", methods) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return help_text("reference.settings-required")
    return "" if field.default in {None, ()} else f"`{_written(field.default)}`"


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


def service_reference() -> str:
    """Return api/openapi.json: the service's routes in OpenAPI 3.1."""
    return json.dumps(make_app().openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write all files."""
    (DOCS.parent / "api" / "openapi.json").write_text(service_reference(), encoding="utf-8")
    (DOCS / "cli.md").write_text(cli_reference(ENGLISH), encoding="utf-8")
    (DOCS / "cli.zh.md").write_text(cli_reference(CHINESE), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_reference(ENGLISH), encoding="utf-8")
    (DOCS / "settings.zh.md").write_text(settings_reference(CHINESE), encoding="utf-8")


if __name__ == "__main__":
    main()
