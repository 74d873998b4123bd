"""`witnesstree authority`: the time-stamping authorities that a ledger asks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Group
from witnesstree.cli.language import words
from witnesstree.cli.options import PATH, answer, home_option, json_option, laid_out, say, tell
from witnesstree.cli.report import check_members, outcome_word
from witnesstree.cli.targets import add_remove_command, configured, look_at
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, WitnesstreeError
from witnesstree.ledger.base.message import Message
from witnesstree.ledger.base.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from witnesstree.anchor.settings import AuthoritySettings
    from witnesstree.anchor.tsa.client import Inspection
    from witnesstree.anchor.tsa.presets import Preset
    from witnesstree.ledger.base.report import Check
    from witnesstree.ledger.trust import Trust

TABLE = "authorities"
"""The settings' name for what this command keeps."""

# Reasons of a verifier who holds a proof and can give --trust, in the words of who asks an
_SPOKEN = {
    "chain-root-unknown": "chain-root-unknown-here",
    "signer-absent": "signer-absent-here",
}
"""Codes that a verifier's checks have, and those with the words for who asks an authority."""

# A secret that stands in the address would be written into the settings file.
_USER_IN_URL = re.compile(r"[a-zA-Z]+://[^/?#]*@")


@click.group("authority", cls=Group)
def authority_command() -> None:
    """Choose the RFC 3161 authorities that stamp each batch, and see what they are worth.

    Example:
        witnesstree authority add digicert
        witnesstree authority check
    """


@authority_command.command("add")
@click.argument("name")
@click.argument("url", required=False)
@click.option("--policy", metavar="OID")
@click.option("--user")
@click.option("--password", metavar="env:NAME|file:PATH")
@click.option("--client-certificate", type=PATH, metavar="FILE")
@click.option("--client-key", type=PATH, metavar="FILE")
@click.option("--tls-ca", type=PATH, metavar="FILE")
@click.option("--timeout", type=float, metavar="SECONDS")
@click.option("--private-addresses", is_flag=True, default=None)
@json_option
@home_option
def _add(name: str, url: str | None, home: Path, *, as_json: bool, **options: Any) -> None:
    """Let the authority at URL stamp each batch from now on.

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
        raise _why_no_address(name, preset)
    if _USER_IN_URL.match(address):
        raise InvalidInput("address-holds-password")
    if options["password"] and not options["user"]:
        raise InvalidInput("password-without-user")
    given = {key: _setting(value) for key, value in options.items() if value is not None}
    add_table(opened.folder, TABLE, name, {"url": address, **given})
    if preset and address == preset.url:
        say(
            "authority-preset",
            operator=preset.operator,
            root=preset.chain,
            limits=preset.limits,
        )
        if preset.known:
            needs_file = all(root.published for root in preset.known.values())
            say("authority-preset-trust", name=name, needs_file="yes" if needs_file else "no")
    if as_json:
        answer({"name": name, "place": place(address)})
    else:
        tell("authority-added", name=name, place=place(address))


def _why_no_address(name: str, preset: Preset | None) -> InvalidInput:
    if preset:
        return InvalidInput(
            "preset-without-address", operator=preset.operator, limits=preset.limits
        )
    return InvalidInput("no-known-authority", name=repr(name[:80]))


def _setting(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    # Settings hold whatever the folder is from which they are used.
    file = value.expanduser().absolute()
    if not file.is_file():
        say("file-not-yet", path=value)
    return str(file)


@authority_command.command("list")
@click.option("--presets", is_flag=True)
@json_option
@home_option
def _list(home: Path, *, presets: bool, as_json: bool) -> None:
    """List the authorities that stamp each batch.

    Example:
        witnesstree authority list --presets
    """
    if presets:
        _list_presets(as_json=as_json)
        return
    from witnesstree.anchor.http import place

    authorities: Mapping[str, AuthoritySettings] = configured(home, TABLE)
    if as_json:
        answer(
            [
                {"name": name, "place": place(each.url), "policy": each.policy, "user": each.user}
                for name, each in authorities.items()
            ]
        )
        return
    for name, each in authorities.items():
        tell(
            "authority-row",
            name=name,
            place=place(each.url),
            policy=each.policy or None,
            user=each.user or None,
        )
    if not authorities:
        say("embedded-authority-used")


def _list_presets(*, as_json: bool) -> None:
    from witnesstree.anchor.tsa.presets import KNOWN, PRESETS

    if as_json:
        answer(
            [
                {
                    "name": each.name,
                    "operator": each.operator,
                    "url": each.url,
                    "root": words(each.chain),
                    "fingerprints": sorted(each.known),
                    "limits": words(each.limits),
                }
                for each in PRESETS.values()
            ]
        )
        return
    for each in PRESETS.values():
        tell("authority-preset-row", name=each.name, operator=each.operator, url=each.url)
        tell("authority-preset-root", indent=4, root=each.chain)
        tell("authority-preset-limits", indent=4, limits=each.limits)
    say("authority-presets-known", date=KNOWN)


@authority_command.command("check")
@click.argument("name", required=False)
@json_option
@home_option
@click.pass_context
def _check(ctx: click.Context, name: str | None, home: Path, *, as_json: bool) -> None:
    """Ask each authority, or the one called NAME, to stamp random bytes, and judge what comes
    by your own trust.

    Example:
        witnesstree authority check digicert
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.truststore import read_trust, trust_folder

    trust, bound = read_trust(trust_folder()), read_settings(home).clock_bound

    def look(each: str, settings: AuthoritySettings) -> dict[str, Any]:
        return _look(each, settings, trust, bound)

    ctx.exit(look_at(home, TABLE, name, look, _print, as_json=as_json))


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
        return found | {"state": "no token", "exit_code": code, "error": words(error.message)}
    state = _state(inspection, bound)
    return (
        found
        | {"state": state, "exit_code": EXIT_CODES[BadAnswer] if state == "wrong" else 0}
        | _members(inspection)
    )


def _state(inspection: Inspection, bound: timedelta) -> str:
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
        "checks": [check_members(_spoken(check)) for check in inspection.judgement.checks],
    }


def _spoken(check: Check) -> Check:
    """Return a check of a token in words for the person who asks an authority.

    A verifier's hold a proof, and are given certificates with --trust.
    """
    said = check.message
    return replace(check, message=Message(_SPOKEN.get(said.code, said.code), said.params))


def _print(found: dict[str, Any]) -> None:
    tell("authority-state", name=found["name"], place=found["place"], state=found["state"])
    if "error" in found:
        click.echo(laid_out(f"  {found['error']}", 4))
        return
    tell(
        "authority-signer",
        indent=4,
        signer=found["signer"],
        expires=found["expires"] and found["expires"][:10],
    )
    tell("authority-policy", indent=4, policy=found["policy"])
    tell(
        "authority-time",
        indent=4,
        seconds=abs(found["ahead"]),
        is_ahead=found["ahead"] >= 0,
        within=found["round_trip"],
    )
    tell("authority-root", indent=4, root=found["root"], assurance=found["assurance"])
    for check in found["checks"]:
        outcome = outcome_word(Outcome(check["outcome"]))
        click.echo(laid_out(f"  {outcome} {check['name']}: {check['reason']}", 4))


add_remove_command(authority_command, TABLE, "stamp", "digicert")
