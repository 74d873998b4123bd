"""`witnesstree contract`: the contract on a chain, and its source for explorers."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Group
from witnesstree.cli.options import (
    PATH,
    answer,
    home_option,
    json_option,
    laid_out,
    note,
    require_room,
    say,
    tell,
)
from witnesstree.ledger.base.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from witnesstree.anchor.evm.deploy import Deployment
    from witnesstree.anchor.settings import ChainSettings


@click.group("contract", cls=Group)
def contract_command() -> None:
    """Bring the contract EvidenceAnchor to a chain, and publish its source there, so that
    anyone can ask it on an explorer's page.

    Example:
        witnesstree contract deploy sepolia
        witnesstree contract source --chain sepolia -o EvidenceAnchor.json
    """


@contract_command.command("deploy")
@click.argument("chain")
@click.option("--keyless", is_flag=True)
@click.option("--plain", is_flag=True)
@json_option
@home_option
def _deploy(chain: str, home: Path, *, keyless: bool, plain: bool, as_json: bool) -> None:
    """Bring the contract to CHAIN, at the one address that it has everywhere, unless it stands
    there already.

    Example:
        witnesstree contract deploy sepolia
    """
    from witnesstree.anchor.evm.deploy import Deployer, Way
    from witnesstree.anchor.evm.node import NodeChain
    from witnesstree.anchor.keys import open_signer
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.wiring import clock
    from witnesstree.ledger.store.home import open_home

    if keyless and plain:
        raise InvalidInput("keyless-and-plain")
    folder = open_home(home).folder
    settings = read_settings(folder).chains.get(chain)
    if settings is None:
        raise NotFound("no-such-chain-add", name=repr(chain[:80]))
    signer = open_signer(settings.key, settings.key_password) if settings.key else None
    with closing(NodeChain(chain, settings, signer, clock)) as node:
        deployment = Deployer(node, settings, signer, note).deploy(keyless=keyless, plain=plain)
    if deployment.way is Way.PLAIN:
        _keep_address(folder, chain, deployment.address)
    _answer(chain, settings, deployment, as_json=as_json)


def _keep_address(folder: Path, chain: str, address: bytes) -> None:
    """Write the address into the chain's table in the settings, everything else there untouched."""
    from witnesstree.anchor.settings import set_member

    set_member(folder, "chains", chain, "contract", f"0x{address.hex()}")
    say("contract-address-kept", chain=chain)


def _answer(chain: str, settings: ChainSettings, deployment: Deployment, *, as_json: bool) -> None:
    from witnesstree.anchor.keys import checksummed
    from witnesstree.ledger.chain.known import contract_pages

    address = checksummed(deployment.address)
    transaction = f"0x{deployment.transaction.hex()}" if deployment.transaction else None
    pages = contract_pages(settings.chain_id, deployment.address)
    if as_json:
        members = {
            "chain": chain,
            "chain_id": settings.chain_id,
            "address": address,
            "way": deployment.way.value,
        }
        answer(
            {
                **members,
                "transaction": transaction,
                "block": deployment.block_number,
                "pages": pages,
            }
        )
        return
    if transaction is None:
        tell("contract-there", chain=chain, address=address)
    else:
        tell(
            "contract-deployed",
            chain=chain,
            address=address,
            block=deployment.block_number,
            transaction=transaction,
        )
        say("contract-not-final", chain=chain)
    for page in pages:
        click.echo(laid_out(f"  {page}", 4))


FORMATS = ("standard-json", "sourcify", "solidity")


@contract_command.command("source")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="standard-json",
    show_default=True,
)
@click.option("--chain", metavar="NAME|ID")
@click.option("-o", "--output", type=PATH, metavar="FILE")
@json_option
@home_option
def _source(
    form: str, chain: str | None, output: Path | None, home: Path, *, as_json: bool
) -> None:
    """Give the contract's source with the compiler's settings, which explorers need to show
    its functions.

    Example:
        witnesstree contract source --chain sepolia -o EvidenceAnchor.json
    """
    from witnesstree.anchor.evm.source import CONTRACT, compiler, settings
    from witnesstree.ledger.chain.known import publishing_pages
    from witnesstree.ledger.store.disk import write_file

    if output:
        require_room(output)
    content = _content(form)
    chain_id, address = _place(chain, home) if chain else (None, None)
    pages = publishing_pages(chain_id, address) if chain_id and address else []
    form_values = {
        "contract": CONTRACT,
        "compiler": compiler(),
        **settings(),
        "constructor_arguments": None,
        "license": "Apache-2.0",
    }
    if output:
        write_file(output, content.encode())
        say("written", output=output)
    if as_json:
        answer(
            {
                "output": str(output) if output else None,
                **form_values,
                "address": f"0x{address.hex()}" if address else None,
                "publish_at": pages,
            }
        )
        return
    if not output:
        click.echo(content, nl=False)
    for name, value in form_values.items():
        say("form-value", name=name.replace("_", " "), value=value)
    for page in pages:
        say("publish-at", page=page)


def _content(form: str) -> str:
    from witnesstree.anchor.evm.source import source_files, sourcify, standard_json

    if form == "solidity":
        return "\n".join(f"// {name}\n\n{text}" for name, text in source_files().items())
    return (
        json.dumps(
            standard_json() if form == "standard-json" else sourcify(), indent=2, ensure_ascii=False
        )
        + "\n"
    )


def _place(chain: str, home: Path) -> tuple[int, bytes]:
    """Return the chain's id and where the contract stands there: of the home's settings, where
    there is a home, or of what is well known.
    """
    from witnesstree.anchor.evm.presets import PRESETS
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS

    if chain.isascii() and chain.isdigit():
        return int(chain), CONTRACT_ADDRESS
    if found := read_settings(home).chains.get(chain):
        return found.chain_id, (
            bytes.fromhex(found.contract[2:]) if found.contract else CONTRACT_ADDRESS
        )
    if chain not in PRESETS:
        raise NotFound("no-such-chain-or-preset", name=repr(chain[:80]), presets=list(PRESETS))
    return PRESETS[chain].chain_id, CONTRACT_ADDRESS
