"""`witnesstree tenant`: those who submit over HTTP."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from witnesstree.anchor.extras import SERVE, require_extra
from witnesstree.cli.help import Group
from witnesstree.cli.options import answer, home_option, json_option, tell
from witnesstree.ledger.base.clock import format_time


@click.group("tenant", cls=Group)
def tenant_command() -> None:
    """Say who may submit over HTTP.

    Example:
        witnesstree tenant add acme
        witnesstree key add acme
    """


@tenant_command.command("add")
@click.argument("name")
@click.option("--rate", type=click.IntRange(1))
@click.option("--quota", type=click.IntRange(1))
@json_option
@home_option
def add_command(
    home: Path, name: str, rate: int | None, quota: int | None, *, as_json: bool
) -> None:
    """Add a tenant.

    Example:
        witnesstree tenant add acme --quota 100000000
    """
    require_extra(SERVE)
    tenant = import_module("witnesstree.api.admin").new_tenant(home, name, rate, quota)
    if as_json:
        answer(_members(tenant))
    else:
        tell("tenant-added", name=tenant.name)


@tenant_command.command("list")
@json_option
@home_option
def list_command(home: Path, *, as_json: bool) -> None:
    """List the tenants.

    Example:
        witnesstree tenant list
    """
    require_extra(SERVE)
    tenants = import_module("witnesstree.api.admin").all_tenants(home)
    if as_json:
        answer([_members(tenant) for tenant in tenants])
        return
    for tenant in tenants:
        tell(
            "tenant-listed",
            name=tenant.name,
            created=tenant.created,
            rate=tenant.rate or "-",
            quota=tenant.quota or "-",
        )


def _members(tenant: Any) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "created": format_time(tenant.created),
        "rate": tenant.rate,
        "quota": tenant.quota,
    }
