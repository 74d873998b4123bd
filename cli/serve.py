"""`witnesstree serve`: the HTTP service."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

from witnesstree.anchor.extras import SERVE, require_extra
from witnesstree.cli.help import Command
from witnesstree.cli.options import answer, home_option, json_option, note, tell


@click.command("serve", cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True)
@click.option("--no-worker", is_flag=True)
@click.option("--behind-proxy", is_flag=True)
@json_option
@home_option
def serve_command(
    home: Path, host: str, port: int, *, no_worker: bool, behind_proxy: bool, as_json: bool
) -> None:
    """Serve the ledger over HTTP: entries in, receipts and proofs out.

    Example:
        witnesstree serve --port 8080
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.wiring import notice
    from witnesstree.ledger.store.home import open_home

    require_extra(SERVE)

    def ready(address: str) -> None:
        if as_json:
            answer({"address": address})
        else:
            tell("serving-on", address=address)
        sys.stdout.flush()

    settings = read_settings(open_home(home).folder)
    if said := notice(settings):
        note(said)
    import_module("witnesstree.api.serve").serve(
        home,
        host,
        port,
        has_worker=not no_worker,
        proxies=settings.service.proxies,
        behind_proxy=behind_proxy,
        ready=ready,
    )
