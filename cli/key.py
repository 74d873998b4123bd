"""`witnesstree key`: what programs show to speak for a tenant."""

from __future__ import annotations

from datetime import UTC, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.anchor.extras import SERVE, require_extra
from witnesstree.cli.help import Group
from witnesstree.cli.options import answer, home_option, json_option, say, tell
from witnesstree.ledger.base.clock import format_time

if TYPE_CHECKING:
    from datetime import datetime


@click.group("key", cls=Group)
def key_command() -> None:
    """Give tenants keys for the HTTP service, and take them back.

    Example:
        witnesstree key add acme --scope submit --scope read
        witnesstree key list
    """


@key_command.command("add")
@click.argument("tenant")
@click.option("--scope", "scopes", multiple=True)
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), metavar="DATE")
@json_option
@home_option
def add_command(
    home: Path, tenant: str, scopes: tuple[str, ...], until: datetime | None, *, as_json: bool
) -> None:
    """Make a key, and print it alone, once.

    Example:
        witnesstree key add acme --scope submit --until 2027-12-31
    """
    require_extra(SERVE)
    ends = until.replace(tzinfo=UTC) if until else None
    key, secret = import_module("witnesstree.api.admin").new_key(home, tenant, scopes, ends)
    say("key-added", key=key.id, tenant=tenant, scopes=sorted(key.scopes))
    _print(key, secret, as_json=as_json)


@key_command.command("list")
@json_option
@home_option
def list_command(home: Path, *, as_json: bool) -> None:
    """List the keys, those that have ended too.

    Example:
        witnesstree key list
    """
    require_extra(SERVE)
    keys = import_module("witnesstree.api.admin").all_keys(home)
    if as_json:
        answer([{**_members(key), "tenant": tenant} for key, tenant in keys])
        return
    for key, tenant in keys:
        tell(
            "key-listed",
            key=key.id,
            tenant=tenant,
            scopes=sorted(key.scopes),
            ends=min(filter(None, (key.until, key.revoked)), default=None) or "-",
            used=key.used or "-",
        )


@key_command.command("rotate")
@click.argument("key")
@click.option("--overlap", type=click.IntRange(0), default=24, show_default=True, metavar="HOURS")
@json_option
@home_option
def rotate_command(home: Path, key: str, overlap: int, *, as_json: bool) -> None:
    """Make a key that takes over from another, and print it alone, once; the other one ends after
    the overlap.

    Example:
        witnesstree key rotate 4f9a1c2e --overlap 48
    """
    require_extra(SERVE)
    new, secret = import_module("witnesstree.api.admin").rotate(home, key, timedelta(hours=overlap))
    say("key-rotated", key=key, new=new.id, hours=overlap)
    _print(new, secret, as_json=as_json)


@key_command.command("revoke")
@click.argument("key")
@json_option
@home_option
def revoke_command(home: Path, key: str, *, as_json: bool) -> None:
    """Let a key end now.

    Example:
        witnesstree key revoke 4f9a1c2e
    """
    require_extra(SERVE)
    ended = import_module("witnesstree.api.admin").revoke(home, key)
    if as_json:
        answer(_members(ended))
    else:
        tell("key-revoked", key=ended.id)


def _print(key: Any, secret: str, *, as_json: bool) -> None:
    """Print a new key alone: it goes into a file or a variable."""
    if as_json:
        answer({**_members(key), "key": secret})
    else:
        click.echo(secret)


def _members(key: Any) -> dict[str, Any]:
    return {
        "id": key.id,
        "scopes": sorted(key.scopes),
        "created": format_time(key.created),
        **{
            name: format_time(time) if (time := getattr(key, name)) else None
            for name in ("until", "revoked", "used")
        },
        "replaces": key.replaces,
    }
