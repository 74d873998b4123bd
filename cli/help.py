"""Commands whose help is in the catalogue, and errors of the command line in its words.

Help is found by a command's name, without `witnesstree`, and the name of the option:

    verify              what the command does, in paragraphs
    verify.short        the same in a few words, for lists
    verify --proof      what the option does; `--home` alone is that of every command that has it

Examples are the same in every language: they stand in the docstring of the command.
"""

from __future__ import annotations

from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from witnesstree.anchor.extras import LEDGER, require_extra
from witnesstree.cli.language import LANG_OPTION, language, phrase
from witnesstree.cli.layout import columns, width_of, wrapped
from witnesstree.ledger.base.catalogue import ENGLISH, HELP, choose_language, words_of
from witnesstree.ledger.base.message import AS_TEXT, Message, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.base.message import Value

WIDTH = 100
"""Columns at most: longer lines are hard to read."""
PLAIN = frozenset({"verify", "show", "export", "proof", "trust"})
"""Commands that a plain install runs, if they are asked for nothing that needs a ledger; the others
are the extra's."""


class Misused(click.UsageError):
    """The command line asks for what does not go together."""

    def __init__(self, code: str, /, **params: Value) -> None:
        self.said = message(code, **params)
        super().__init__(str(self.said))


class _Speaking(click.Command):
    """What commands and groups have in common: pages and errors in the language that is spoken."""

    def get_help(self, ctx: click.Context) -> str:
        return "\n".join(_page(self, ctx))

    def get_usage(self, ctx: click.Context) -> str:
        return "\n".join(_usage(self, ctx))

    def get_help_option_names(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return ["-h", "--help"]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        is_first = isinstance(self, click.Group) and ctx.parent is None
        return [*super().get_params(ctx), _language_option(hidden=not is_first)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _at(ctx):
            return super().parse_args(ctx, args)


class Command(_Speaking):
    """A command with help in the language that is spoken."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the command line apart. Raises Misused if something is left of it."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            with _at(ctx):
                raise Misused("extra-arguments", arguments=rest)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises InvalidInput if it needs an extra that is not installed: help
        does not, and nothing is begun that would end half-way.
        """
        if name_of(ctx).partition(" ")[0] not in PLAIN:
            require_extra(LEDGER)
        return super().invoke(ctx)


class Group(_Speaking, click.Group):
    """A command of commands with help in the language that is spoken."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named: `help COMMAND` is `COMMAND --help`."""
        if args == ["help"]:
            click.echo(ctx.get_help())
            ctx.exit()
        if args[0] == "help":
            args = [*args[1:], "--help"]
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """Return the page, with the commands below it."""
        return "\n".join([*_page(self, ctx), "", *_commands(self, ctx)])


@contextmanager
def _at(ctx: click.Context) -> Iterator[None]:
    """Let errors of the command line know at which command they happened: some do not say."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


def _language_option(*, hidden: bool) -> click.Option:
    """Return --lang: every command takes it, the first page shows it. main.py has read it."""
    return click.Option(
        [LANG_OPTION],
        metavar="LANGUAGE",
        expose_value=False,
        hidden=hidden,
        is_eager=True,
        callback=_require_language,
    )


def _require_language(_ctx: click.Context, _option: click.Parameter, value: Any) -> None:
    if value is not None and choose_language(value) is None:
        raise Misused("language-unknown", language=value[:80])


# Pages


def help_text(key: str) -> str:
    """Return one text of the help in the language that is spoken."""
    texts = words_of(language(), HELP)
    return texts.get(key) or words_of(ENGLISH, HELP)[key]


def _page(command: click.Command, ctx: click.Context) -> Iterator[str]:
    width = _width(ctx)
    yield from _usage(command, ctx)
    for paragraph in help_text(name_of(ctx)).split("\n\n"):
        yield ""
        # A paragraph of several lines is a table.
        for line in paragraph.split("\n"):
            yield from wrapped(line, width, "  ", "  ")
    yield ""
    yield f"  {help_text('page.example')}"
    for example in examples_of(command):
        yield from _broken(f"      {example}", width)
    yield ""
    yield help_text("page.options")
    yield from columns(list(_options(command, ctx)), width)


def name_of(ctx: click.Context) -> str:
    """Return the name of a command in the help: `chain add`, and `witnesstree` for the whole."""
    names: list[str] = []
    above: click.Context | None = ctx
    while above:
        names.insert(0, above.command.name or "")
        above = above.parent
    return " ".join(names).removeprefix("witnesstree ")


def examples_of(command: click.Command) -> list[str]:
    """Return the examples in the docstring of a command."""
    _, _, block = (command.help or "").partition("Example:\n")
    return [line.strip() for line in block.splitlines() if line.strip()]


def _broken(example: str, width: int) -> Iterator[str]:
    """Yield an example as a shell takes it: what is wider than a line goes on before an option."""
    if width_of(example) <= width:
        yield example
        return
    line, *options = example.split(" --")
    for option in options:
        if width_of(f"{line} --{option} \\") > width:
            yield f"{line} \\"
            line = " " * 9
        line += f" --{option}"
    yield line


def _usage(command: click.Command, ctx: click.Context) -> list[str]:
    head = help_text("page.usage").replace("{command}", f"{ctx.command_path} ")
    pieces = " ".join(command.collect_usage_pieces(ctx))
    return wrapped(pieces, _width(ctx), head, " " * width_of(head))


def _options(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str]]:
    for option in command.get_params(ctx):
        if not isinstance(option, click.Option) or option.hidden:
            continue
        option.help = option_help(option, ctx)
        record = option.get_help_record(ctx)
        assert record
        default = option.get_help_extra(ctx).get("default")
        said = f"  {phrase('default', value=default)}" if default else ""
        yield record[0], option.help + said


def option_help(option: click.Option, ctx: click.Context) -> str:
    """Return what an option does; what is said of it for all commands, if this one has no own."""
    texts = words_of(ENGLISH, HELP)
    long = max(option.opts, key=len)
    own = f"{name_of(ctx)} {long}"
    return help_text(own if own in texts else long)


def _commands(group: click.Group, ctx: click.Context) -> Iterator[str]:
    yield help_text("page.commands")
    above = f"{name_of(ctx)} ".removeprefix("witnesstree ")
    rows = [(name, help_text(f"{above}{name}.short")) for name in group.list_commands(ctx)]
    yield from columns(rows, _width(ctx))


def _width(ctx: click.Context) -> int:
    return ctx.terminal_width or min(get_terminal_size().columns, WIDTH)


# Errors


def show_misuse(error: click.UsageError) -> None:
    """Print an error of the command line in the language that is spoken: usage, where to look."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    lines = []
    if error.ctx:
        lines = [
            error.ctx.get_usage(),
            phrase("see-help", command=f"{error.ctx.command_path} --help"),
            "",
        ]
    click.echo("\n".join([*lines, phrase("error", error=_misuse(error))]), err=True)


def _misuse(error: click.UsageError) -> Message:
    """Return in our words what click found; what it says in other cases, in its own."""
    if isinstance(error, Misused):
        return error.said
    if isinstance(error, click.exceptions.NoSuchCommand | click.NoSuchOption):
        return _unknown(error)
    if isinstance(error, click.MissingParameter):
        return message("argument-missing", name=_shown(error))
    if isinstance(error, click.BadParameter):
        return _bad_value(error)
    if isinstance(error, click.BadOptionUsage):
        return _bad_option(error)
    return (
        message("command-missing", command=error.ctx.command_path)
        if error.ctx and isinstance(error.ctx.command, click.Group)
        else message(AS_TEXT, text=error.format_message())
    )


def _bad_option(error: click.BadOptionUsage) -> Message:
    params = error.ctx.command.get_params(error.ctx) if error.ctx else []
    named = [param for param in params if error.option_name in param.opts]
    if any(getattr(param, "is_flag", False) for param in named):
        return message("option-takes-no-value", option=error.option_name)
    return message("option-needs-value", option=error.option_name)


def _unknown(error: click.exceptions.NoSuchCommand | click.NoSuchOption) -> Message:
    from difflib import get_close_matches

    ctx = error.ctx
    if isinstance(error, click.NoSuchOption):
        params = ctx.command.get_params(ctx) if ctx else []
        known = [name for param in params for name in param.opts if name.startswith("--")]
        kind, name = "option", error.option_name
        if isinstance(error.ctx and error.ctx.command, Group) and _is_of_commands(name):
            assert ctx
            return message("option-before-command", option=name, command=ctx.command_path)
    else:
        known = ctx.command.list_commands(ctx) if ctx and isinstance(ctx.command, Group) else []
        kind, name = "command", error.command_name
    close = get_close_matches(name, known, 1)
    if close:
        return message("no-such-word-but", kind=kind, name=name[:80], close=close[0])
    return message("no-such-word", kind=kind, name=name[:80])


def _is_of_commands(option: str) -> bool:
    """Whether any command has this option."""
    return any(key.rpartition(" ")[2] == option for key in words_of(ENGLISH, HELP))


def _bad_value(error: click.BadParameter) -> Message:
    kind = error.param.type if error.param else None
    name = _shown(error)
    if isinstance(kind, click.Choice):
        return message("value-no-choice", name=name, choices=[str(each) for each in kind.choices])
    if isinstance(kind, click.IntRange | click.FloatRange):
        return message("value-out-of-range", name=name, least=kind.min, most=kind.max)
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return message("value-no-number", name=name)
    # What else there is comes from click, in its words.
    return message("value-refused", name=name, text=error.message)


def _shown(error: click.BadParameter) -> str:
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    if error.param and error.ctx:
        return error.param.make_metavar(error.ctx)
    return str(error.param_hint or "")
