"""`witnesstree authority`: the time-stamping authorities that a ledger asks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import PATH, answer, home_option, json_option, laid_out, one_line, say
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, NotFound, WitnesstreeError

if TYPE_CHECKING:
    from datetime import timedelta

    from witnesstree.anchor.settings import AuthoritySettings
    from witnesstree.anchor.tsa.client import Inspection
    from witnesstree.anchor.tsa.presets import Preset
    from witnesstree.ledger.trust import Trust

TABLE = "authorities"
"""The settings' name for what this command keeps."""

# Reasons of a verifier who holds a proof and can give --trust, in the words of who asks an
# authority instead.
_SPOKEN = {
    "give it with --trust": "add it with `witnesstree trust add`",
    "of what the proof holds on that": "of what could be had on that",
    "the proof holds no CRL and no OCSP answer about it": (
        "no CRL and no OCSP answer about it could be had"
    ),
}

# A secret that stands in the address would be written into the settings file.
_USER_IN_URL = re.compile(r"[a-zA-Z]+://[^/?#]*@")


@click.group("authority", short_help="Choose the time-stamping authorities.")
def authority_command() -> None:
    """Choose the RFC 3161 authorities that stamp each batch, and see what they are worth.

    Without any, the embedded authority is used, which proves nothing to a third party.

    \b
    Example:
        witnesstree authority add digicert
        witnesstree authority check
    """


@authority_command.command("add", short_help="Ask one more authority.")
@click.argument("name")
@click.argument("url", required=False)
@click.option(
    "--policy", metavar="OID", help="Ask for this policy, and refuse tokens under another one."
)
@click.option("--user", help="User name, where the authority asks for one.")
@click.option(
    "--password",
    metavar="env:NAME|file:PATH",
    help="Where its password is kept; it is never written into the settings.",
)
@click.option(
    "--client-certificate",
    type=PATH,
    metavar="FILE",
    help="Certificate for TLS client authentication, PEM.",
)
@click.option(
    "--client-key",
    type=PATH,
    metavar="FILE",
    help="Its private key, PEM.  [default: in the same file]",
)
@click.option(
    "--tls-ca",
    type=PATH,
    metavar="FILE",
    help="Certificates, PEM, that may vouch for the server's TLS certificate.",
)
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time for one whole exchange.  [default: 20]"
)
@click.option(
    "--private-addresses",
    is_flag=True,
    default=None,
    help=(
        "Fetch CRLs and OCSP answers from private addresses, too; a certificate from outside names"
        " the place."
    ),
)
@json_option
@home_option
def _add(name: str, url: str | None, home: Path, *, as_json: bool, **options: Any) -> None:
    """Let the authority at URL stamp each batch from now on.

    A well-known NAME needs no URL: `authority list --presets` shows them.

    \b
    Example:
        witnesstree authority add digicert
        witnesstree authority add court https://tsa.example --user us --password env:TSA_PASSWORD
    """
    from witnesstree.anchor.http import place
    from witnesstree.anchor.settings import add_table
    from witnesstree.anchor.tsa.presets import PRESETS
    from witnesstree.ledger.store.home import open_home

    opened, preset = open_home(home), PRESETS.get(name)
    address = url or (preset.url if preset else None)
    if address is None:
        raise InvalidInput(_why_no_address(name, preset))
    if _USER_IN_URL.match(address):
        raise InvalidInput(
            "the address holds a user or a password: give them with --user and --password"
        )
    if options["password"] and not options["user"]:
        raise InvalidInput("a password goes with a user: give --user, too")
    given = {key: _setting(value) for key, value in options.items() if value is not None}
    add_table(opened.folder, TABLE, name, {"url": address, **given})
    if preset and address == preset.url:
        say(f"{preset.operator}. Root: {preset.chain}. Limits: {preset.limits}.")
    if as_json:
        answer({"name": name, "place": place(address)})
    else:
        click.echo(
            f"Added {name} at {place(address)}. `witnesstree authority check {name}` tries it."
        )


def _why_no_address(name: str, preset: Preset | None) -> str:
    if preset:
        return (
            f"{preset.operator} has no public address ({preset.limits}): give the address that it"
            " gave you"
        )
    return (
        f"{name[:80]!r} is no well-known authority: give its address, too, or choose one of"
        " `witnesstree authority list --presets`"
    )


def _setting(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    # Settings hold whatever the folder is from which they are used.
    file = value.expanduser().absolute()
    if not file.is_file():
        say(
            f"There is no file {value} yet: put it there in PEM, or correct its name in the"
            " settings."
        )
    return str(file)


@authority_command.command("list", short_help="List the authorities.")
@click.option(
    "--presets", is_flag=True, help="List the well-known ones that can be added by name instead."
)
@json_option
@home_option
def _list(home: Path, *, presets: bool, as_json: bool) -> None:
    """List the authorities that stamp each batch.

    Of their addresses, only the part is shown that holds no secret.

    \b
    Example:
        witnesstree authority list --presets
    """
    if presets:
        _list_presets(as_json=as_json)
        return
    from witnesstree.anchor.http import place

    authorities = _configured(home)
    if as_json:
        answer(
            [
                {"name": name, "place": place(each.url), "policy": each.policy, "user": each.user}
                for name, each in authorities.items()
            ]
        )
        return
    for name, each in authorities.items():
        extras = [f"policy {each.policy}"] * bool(each.policy) + [f"user {each.user}"] * bool(
            each.user
        )
        click.echo(one_line(", ".join([f"{name}: {place(each.url)}", *extras])))
    if not authorities:
        say("None: the embedded authority is used, which proves nothing to a third party.")


def _list_presets(*, as_json: bool) -> None:
    from witnesstree.anchor.tsa.presets import KNOWN, PRESETS

    if as_json:
        answer(
            [
                {
                    "name": each.name,
                    "operator": each.operator,
                    "url": each.url,
                    "root": str(each.chain),
                    "limits": str(each.limits),
                }
                for each in PRESETS.values()
            ]
        )
        return
    for each in PRESETS.values():
        click.echo(f"{each.name}: {each.operator}, {each.url or 'by contract'}")
        click.echo(laid_out(f"  root: {each.chain}", 4))
        click.echo(laid_out(f"  limits: {each.limits}", 4))
    say(f"As known on {KNOWN}. None of them is trusted for being listed.")


@authority_command.command("check", short_help="Ask the authorities for a token, and judge it.")
@click.argument("name", required=False)
@json_option
@home_option
@click.pass_context
def _check(ctx: click.Context, name: str | None, home: Path, *, as_json: bool) -> None:
    """Ask each authority, or the one called NAME, to stamp random bytes, and judge what comes by
    your own trust.

    Exits with 0 when all answered as they should, 8 when one could not be reached, 9 when one gave
    an answer that must not be believed: the worst counts. A token whose root is not in your trust
    store is no wrong answer; it says so.

    \b
    Example:
        witnesstree authority check digicert
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.truststore import read_trust, trust_folder

    authorities = _configured(home)
    if name is not None and name not in authorities:
        raise NotFound(
            f"there is no authority {name[:80]!r} in the settings: see `witnesstree authority list`"
        )
    if not authorities:
        say("None: the embedded authority is used, which proves nothing to a third party.")
    trust, bound = read_trust(trust_folder()), read_settings(home).clock_bound
    seen = [
        _look(each, settings, trust, bound)
        for each, settings in authorities.items()
        if name in {None, each}
    ]
    if as_json:
        answer(seen)
    else:
        for found in seen:
            _print(found)
    ctx.exit(max((found["exit_code"] for found in seen), default=0))


def _look(name: str, settings: AuthoritySettings, trust: Trust, bound: timedelta) -> dict[str, Any]:
    """Return what one authority did, as it is written in JSON."""
    from witnesstree.anchor.http import place
    from witnesstree.anchor.tsa.client import HttpAuthority
    from witnesstree.cli.main import EXIT_CODES

    found: dict[str, Any] = {"name": name, "place": place(settings.url), "exit_code": 0}
    try:
        authority = HttpAuthority(name, settings, trust)
        try:
            inspection = authority.check()
        finally:
            authority.close()
    except WitnesstreeError as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        return found | {"state": "no token", "exit_code": code, "error": str(error)}
    state = _state(inspection, bound)
    return (
        found
        | {"state": state, "exit_code": EXIT_CODES[BadAnswer] if state == "wrong" else 0}
        | _members(inspection)
    )


def _state(inspection: Inspection, bound: timedelta) -> str:
    from witnesstree.ledger.base.report import Outcome

    judgement = inspection.judgement
    allowed = bound + (judgement.accuracy or bound * 0) + inspection.round_trip / 2
    if abs(inspection.offset) > allowed or any(
        check.outcome is Outcome.FAILED for check in judgement.checks
    ):
        return "wrong"
    required = [check for check in judgement.checks if check.required]
    return "ok" if all(check.outcome is Outcome.PASSED for check in required) else "undecided"


def _members(inspection: Inspection) -> dict[str, Any]:
    root = inspection.judgement.root
    return {
        "signer": inspection.signer,
        "expires": format_time(inspection.expires) if inspection.expires else None,
        "policy": inspection.policy,
        "ahead": round(inspection.offset.total_seconds(), 3),
        "round_trip": round(inspection.round_trip.total_seconds(), 3),
        "root": root.source if root else None,
        "assurance": root.assurance.name.lower() if root else None,
        "checks": [
            {"name": check.name, "outcome": check.outcome.value, "reason": _spoken(check.reason)}
            for check in inspection.judgement.checks
        ],
    }


def _spoken(reason: str) -> str:
    for verifiers, ours in _SPOKEN.items():
        reason = reason.replace(verifiers, ours)
    return reason


def _print(found: dict[str, Any]) -> None:
    click.echo(one_line(f"{found['name']} at {found['place']}: {found['state']}"))
    if "error" in found:
        click.echo(laid_out(f"  {found['error']}", 4))
        return
    expires = f", whose certificate ends on {found['expires'][:10]}" if found["expires"] else ""
    direction = "ahead of" if found["ahead"] >= 0 else "behind"
    root = (
        f"trusted by {found['root']} ({found['assurance']})"
        if found["root"]
        else "no root in your trust store: see `witnesstree trust add`"
    )
    lines = [
        f"  signer: {found['signer'] or 'not named'}{expires}",
        f"  policy: {found['policy']}",
        (
            f"  time: {abs(found['ahead'])} s {direction} the clock here (most give whole seconds);"
            f" it answered within {found['round_trip']} s"
        ),
        f"  root: {root}",
        *(
            f"  {check['outcome'].upper()} {check['name']}: {check['reason']}"
            for check in found["checks"]
        ),
    ]
    for line in lines:
        click.echo(laid_out(line, 4))


@authority_command.command("remove", short_help="Ask an authority no more.")
@click.argument("name")
@click.option(
    "--forget", "is_forgotten", is_flag=True, help="Give up what still waits for its tokens."
)
@json_option
@home_option
def _remove(name: str, home: Path, *, is_forgotten: bool, as_json: bool) -> None:
    """Ask the authority called NAME no more.

    Tokens that it gave stay; batches that still wait for one of its tokens wait on, unless --forget
    gives them up.

    \b
    Example:
        witnesstree authority remove digicert
    """
    from witnesstree.cli.targets import remove_target
    from witnesstree.ledger.store.metadata import JobKind

    remove_target(home, TABLE, name, JobKind.STAMP, is_forgotten=is_forgotten, as_json=as_json)


def _configured(home: Path) -> dict[str, AuthoritySettings]:
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.store.home import open_home

    return read_settings(open_home(home).folder).authorities
