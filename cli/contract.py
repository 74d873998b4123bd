"""`witnesstree contract`: the contract on a chain, and its source for explorers."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.options import (
    PATH,
    answer,
    home_option,
    json_option,
    laid_out,
    one_line,
    require_room,
    say,
)
from witnesstree.ledger.base.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from witnesstree.anchor.evm.deploy import Deployment
    from witnesstree.anchor.settings import ChainSettings


@click.group("contract", short_help="Bring the contract to a chain, and publish its source.")
def contract_command() -> None:
    """Bring the contract EvidenceAnchor to a chain, and publish its source there, so that anyone
    can ask it on an explorer's page.

    \b
    Example:
        witnesstree contract deploy sepolia
        witnesstree contract source --chain sepolia -o EvidenceAnchor.json
    """


@contract_command.command("deploy", short_help="Bring the contract to a chain, or find it there.")
@click.argument("chain")
@click.option(
    "--keyless",
    is_flag=True,
    help="Where the CREATE2 deployer is missing, bring it first: this costs up to 0.01 coins more.",
)
@click.option(
    "--plain",
    is_flag=True,
    help=(
        "Where the CREATE2 deployer is missing, create the contract at another address, which"
        " proves less."
    ),
)
@json_option
@home_option
def _deploy(chain: str, home: Path, *, keyless: bool, plain: bool, as_json: bool) -> None:
    """Bring the contract to CHAIN, at the one address that it has everywhere, unless it stands
    there already.

    The key of that chain's settings pays, within the settings' cap. Other code at the address is
    refused (exit code 9). A plain creation writes its address into the settings; whoever verifies
    then has to trust that address, because equal code does not prove what the storage began with.

    \b
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
        raise InvalidInput("--keyless and --plain are two ways: choose one")
    folder = open_home(home).folder
    settings = read_settings(folder).chains.get(chain)
    if settings is None:
        raise NotFound(
            f"there is no chain {chain[:80]!r} in the settings: see `witnesstree chain add`"
        )
    signer = open_signer(settings.key, settings.key_password) if settings.key else None
    with closing(NodeChain(chain, settings, signer, clock)) as node:
        deployment = Deployer(node, settings, signer, say).deploy(keyless=keyless, plain=plain)
    if deployment.way is Way.PLAIN:
        _keep_address(folder, chain, deployment.address)
    _answer(chain, settings, deployment, as_json=as_json)


def _keep_address(folder: Path, chain: str, address: bytes) -> None:
    """Write the address into the chain's table in the settings, everything else there untouched."""
    from witnesstree.anchor.settings import set_member

    set_member(folder, "chains", chain, "contract", f"0x{address.hex()}")
    say(
        f"The settings of {chain} name this address now. Tell those who verify why it can be"
        " trusted: docs/contract.md says what it cannot prove."
    )


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
        click.echo(
            one_line(f"The contract stands on {chain} already, at {address}. Nothing was sent.")
        )
    else:
        click.echo(
            one_line(
                f"The contract stands on {chain} at {address}, since block"
                f" {deployment.block_number} (transaction {transaction})."
            )
        )
        say(
            "That block is not final yet. Publish the source there: `witnesstree contract source"
            f" --chain {chain}`."
        )
    for page in pages:
        click.echo(laid_out(f"  {page}", 4))


FORMATS = ("standard-json", "sourcify", "solidity")


@contract_command.command("source", short_help="Give the contract's source as explorers want it.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="standard-json",
    show_default=True,
    help="What the explorer takes.",
)
@click.option(
    "--chain",
    metavar="NAME|ID",
    help="Say where it can be published: a chain of the settings, a well-known one, or an id.",
)
@click.option(
    "-o", "--output", type=PATH, metavar="FILE", help="Write it here.  [default: standard output]"
)
@json_option
@home_option
def _source(
    form: str, chain: str | None, output: Path | None, home: Path, *, as_json: bool
) -> None:
    """Give the contract's source with the compiler's settings, which explorers need to show its
    functions.

    standard-json is the compiler's whole input: Etherscan's kind "Standard JSON input", and
    Blockscout's. sourcify is the body of a request to Sourcify's API. solidity is for reading.
    Anyone may publish it; it needs no account and no key.

    \b
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
        say(f"Wrote {output}.")
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
        say(f"{name.replace('_', ' ')}: {'none' if value is None else value}")
    for page in pages:
        say(f"Publish it at {page}")


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
        raise NotFound(
            f"there is no chain {chain[:80]!r}: expected one of the settings, an id, or one of"
            f" {', '.join(PRESETS)}"
        )
    return PRESETS[chain].chain_id, CONTRACT_ADDRESS
