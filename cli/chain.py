"""`witnesstree chain`: the EVM chains that a ledger anchors to."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from witnesstree.cli.options import (
    answer,
    counted,
    home_option,
    json_option,
    laid_out,
    one_line,
    say,
)
from witnesstree.ledger.base.errors import (
    BadAnswer,
    InvalidInput,
    NotFound,
    Unaffordable,
    WitnesstreeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.anchor.evm.client import Client
    from witnesstree.anchor.evm.presets import Preset
    from witnesstree.anchor.settings import ChainSettings

TABLE = "chains"
"""The settings' name for what this command keeps."""
ANCHOR_GAS: Final = 46_000
"""Gas that one root takes in a transaction of its own (hardhat-config/gas-snapshot.json)."""


@click.group("chain", short_help="Choose the chains that batches are anchored to.")
def chain_command() -> None:
    """Choose the EVM chains that each batch is anchored to, and see whether they can be used.

    Without any, the embedded chain is used, which proves nothing to a third party.

    \b
    Example:
        witnesstree chain add sepolia --key keystore:payer.json
        witnesstree chain check
    """


@chain_command.command("add", short_help="Anchor to one more chain.")
@click.argument("name")
@click.option(
    "--preset",
    metavar="NAME",
    help="Take this well-known chain's settings.  [default: NAME, where it is one]",
)
@click.option("--chain-id", type=int, metavar="ID", help="The chain's id (EIP-155).")
@click.option(
    "--rpc",
    "urls",
    multiple=True,
    metavar="URL",
    help="A JSON-RPC endpoint; several are asked in this order.",
)
@click.option(
    "--agree",
    type=int,
    metavar="N",
    help="So many endpoints must name the same final block.  [default: 1]",
)
@click.option(
    "--key",
    metavar="REFERENCE",
    help="Who pays: keystore:FILE, env:NAME, web3signer+URL#ADDRESS or clef+URL#ADDRESS.",
)
@click.option(
    "--key-password",
    metavar="env:NAME|file:PATH",
    help="Where the keystore's password is; it is never written into the settings.",
)
@click.option(
    "--finality", metavar="finalized|N", help="When a block is final.  [default: finalized]"
)
@click.option(
    "--fees",
    type=click.Choice(["eip1559", "legacy"]),
    help="Kind of transaction.  [default: eip1559]",
)
@click.option(
    "--fee-cap",
    type=float,
    metavar="GWEI",
    help="Never offer more than this for one gas.  [default: 100]",
)
@click.option(
    "--tip",
    type=float,
    metavar="GWEI",
    help="For one gas, to whoever makes the block.  [default: what the node suggests]",
)
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help="Time for one exchange with an endpoint.  [default: 15]",
)
@click.option(
    "--contract", metavar="ADDRESS", help="The contract's address, where it is not the usual one."
)
@json_option
@home_option
def _add(name: str, preset: str | None, home: Path, *, as_json: bool, **options: Any) -> None:
    """Anchor each batch to one more chain from now on.

    A well-known NAME needs no more than a key: `chain list --presets` shows them.

    Public endpoints are shared and limited; a node of your own, or a provider's, is better.

    \b
    Example:
        witnesstree chain add sepolia --key keystore:payer.json --key-password env:PASSWORD
        witnesstree chain add house --chain-id 20261 --rpc http://127.0.0.1:8545 --finality 12
    """
    from witnesstree.anchor.keys import exposure, settled
    from witnesstree.anchor.settings import add_table
    from witnesstree.ledger.chain.known import known_chain
    from witnesstree.ledger.store.home import open_home

    opened, known = open_home(home), _preset(name, preset)
    members = _members(known, options)
    if members.get("agree", 1) > len(members["urls"]):
        raise InvalidInput(
            f"{members['agree']} endpoints are to agree, but there are {len(members['urls'])}: give"
            " more with --rpc"
        )
    if "key" in members:
        members["key"] = settled(members["key"])
    add_table(opened.folder, TABLE, name, members)
    if "key" not in members:
        say(
            "It has no key to pay with yet: set `key` in the settings, or remove the chain and add"
            " it with --key."
        )
    elif warning := exposure(members["key"]):
        say(f"{warning}.")
    for note in [known.note] if known and known.note else []:
        say(note)
    chain = known_chain(members["chain_id"])
    if as_json:
        answer(
            {
                "name": name,
                "chain_id": members["chain_id"],
                "chain": chain.name,
                "endpoints": len(members["urls"]),
            }
        )
    else:
        count = counted(len(members["urls"]), "endpoint")
        click.echo(
            f"Added {name}: {chain.name}, {count}. `witnesstree chain check {name}` tries them."
        )


def _preset(name: str, preset: str | None) -> Preset | None:
    from witnesstree.anchor.evm.presets import PRESETS

    if preset is not None and preset not in PRESETS:
        raise NotFound(
            f"{preset[:80]!r} is no well-known chain: expected one of {', '.join(PRESETS)}"
        )
    return PRESETS.get(name if preset is None else preset)


def _members(known: Preset | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings to write: the preset's, and what was given in place of them."""
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    usual = (
        {"chain_id": known.chain_id, "urls": known.urls, "fee_cap": known.fee_cap} if known else {}
    )
    if known and given.get("chain_id", known.chain_id) != known.chain_id:
        raise InvalidInput(
            f"{known.name} has the chain id {known.chain_id}, not {given['chain_id']}: take another"
            " name for another chain"
        )
    members = {key: value for key, value in {**usual, **given}.items() if value is not None}
    if "chain_id" not in members or "urls" not in members:
        raise InvalidInput(
            "this is no well-known chain: give its --chain-id and an endpoint with --rpc, or see"
            " `witnesstree chain list --presets`"
        )
    return members


@chain_command.command("list", short_help="List the chains.")
@click.option(
    "--presets", is_flag=True, help="List the well-known ones that can be added by name instead."
)
@json_option
@home_option
def _list(home: Path, *, presets: bool, as_json: bool) -> None:
    """List the chains that each batch is anchored to.

    Of their addresses, only the part is shown that holds no secret.

    \b
    Example:
        witnesstree chain list --presets
    """
    if presets:
        _list_presets(as_json=as_json)
        return
    from witnesstree.anchor.http import place
    from witnesstree.anchor.keys import described
    from witnesstree.ledger.chain.known import known_chain

    listed: list[dict[str, Any]] = [
        {
            "name": name,
            "chain_id": each.chain_id,
            "chain": known_chain(each.chain_id).name,
            "endpoints": [place(url) for url in each.urls],
            "agree": each.agree,
            "key": str(described(each.key)) if each.key else None,
            "finality": each.finality,
            "fee_cap": each.fee_cap,
        }
        for name, each in _configured(home).items()
    ]
    if as_json:
        answer(listed)
        return
    for each in listed:
        click.echo(one_line(f"{each['name']}: {each['chain']} ({each['chain_id']})"))
        agreeing = f", {each['agree']} must agree" if each["agree"] > 1 else ""
        click.echo(laid_out(f"  endpoints: {', '.join(each['endpoints'])}{agreeing}", 4))
        click.echo(
            laid_out(
                f"  key: {each['key'] or 'none'}; at most {each['fee_cap']:g} gwei for one gas", 4
            )
        )
        click.echo(laid_out(f"  final: {_finality(each['finality'])}", 4))
    if not listed:
        say("None: the embedded chain is used, which proves nothing to a third party.")


def _finality(setting: str | int) -> str:
    return (
        "what the node calls finalized"
        if setting == "finalized"
        else f"with {setting} blocks on top"
    )


def _list_presets(*, as_json: bool) -> None:
    from witnesstree.anchor.evm.presets import KNOWN, PRESETS
    from witnesstree.ledger.chain.known import known_chain

    listed: list[dict[str, Any]] = [
        {
            "name": each.name,
            "chain": known_chain(each.chain_id).name,
            "chain_id": each.chain_id,
            "coin": each.coin,
            "block_seconds": each.block_seconds,
            "finality": str(each.why),
            "state_proofs": known_chain(each.chain_id).has_state_proofs,
            "explorer": known_chain(each.chain_id).explorer,
            "endpoints": list(each.urls),
            "note": str(each.note) if each.note else None,
        }
        for each in PRESETS.values()
    ]
    if as_json:
        answer(listed)
        return
    for each in listed:
        pace = f"a block each {each['block_seconds']:g} s, " if each["block_seconds"] else ""
        click.echo(
            f"{each['name']}: {each['chain']} ({each['chain_id']}), {pace}paid in {each['coin']}"
        )
        click.echo(laid_out(f"  final: {each['finality']}", 4))
        click.echo(f"  explorer: {each['explorer']}")
        click.echo(laid_out(f"  endpoints: {', '.join(each['endpoints'])}", 4))
        if each["note"]:
            click.echo(laid_out(f"  note: {each['note']}", 4))
    say(f"As known on {KNOWN}. Endpoints are public, shared and limited.")


@chain_command.command(
    "check", short_help="Ask the chains' endpoints, and look at the account that pays."
)
@click.argument("name", required=False)
@json_option
@home_option
@click.pass_context
def _check(ctx: click.Context, name: str | None, home: Path, *, as_json: bool) -> None:
    """Ask each endpoint of each chain, or of the one called NAME, what it can do, and see how many
    anchors the account can pay for.

    Nothing is signed or sent. Exits with 0 when all is well, 5 when the key cannot be opened, 6
    when the contract is not there yet, 8 when an endpoint could not be reached or the account is
    too poor, 9 when one gave a wrong answer: the worst counts.

    \b
    Example:
        witnesstree chain check sepolia
    """
    chains = _configured(home)
    if name is not None and name not in chains:
        raise NotFound(
            f"there is no chain {name[:80]!r} in the settings: see `witnesstree chain list`"
        )
    if not chains:
        say("None: the embedded chain is used, which proves nothing to a third party.")
    seen = [_look(each, settings) for each, settings in chains.items() if name in {None, each}]
    if as_json:
        answer(seen)
    else:
        for found in seen:
            _print(found)
    ctx.exit(max((found["exit_code"] for found in seen), default=0))


def _look(name: str, settings: ChainSettings) -> dict[str, Any]:
    """Return what was seen of one chain, as it is written in JSON."""
    from witnesstree.anchor.evm.client import Client
    from witnesstree.anchor.evm.presets import preset_of
    from witnesstree.anchor.evm.rpc import Endpoint
    from witnesstree.anchor.keys import described
    from witnesstree.ledger.chain.known import known_chain

    endpoints: list[dict[str, Any]] = []
    account: dict[str, Any] | None = None
    for url in settings.urls:
        with closing(
            Endpoint(url, timeout=settings.timeout, chain_id=settings.chain_id)
        ) as endpoint:
            client = Client(endpoint)
            endpoints.append(_guarded({"place": endpoint.place}, partial(_seen, client, settings)))
            if settings.key and account is None and "error" not in endpoints[-1]:
                account = _guarded({}, partial(_account, client, settings))
    preset = preset_of(settings.chain_id)
    return {
        "name": name,
        "chain": known_chain(settings.chain_id).name,
        "chain_id": settings.chain_id,
        "coin": preset.coin if preset else None,
        "key": str(described(settings.key)) if settings.key else None,
        "endpoints": endpoints,
        "account": account,
        "exit_code": max(each["exit_code"] for each in (*endpoints, account or endpoints[0])),
    }


def _guarded(start: dict[str, Any], look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return `start` with what `look` returns, or with its error and exit code."""
    try:
        return {**start, "exit_code": 0, **look()}
    except WitnesstreeError as error:
        return {**start, "exit_code": _code(type(error)), "error": str(error)}


def _seen(client: Client, settings: ChainSettings) -> dict[str, Any]:
    from witnesstree.anchor.evm.finality import final_block
    from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH, keccak256

    newest = client.newest()
    final = final_block(client, settings.finality)
    contract = bytes.fromhex(settings.contract[2:]) if settings.contract else CONTRACT_ADDRESS
    code = client.code_hash(contract, "latest")
    state = {CONTRACT_CODE_HASH: "ours", keccak256(b""): "absent"}.get(code, "other")
    return {
        "chain_id": client.chain_id(),
        "newest": newest.number,
        "final": final.number if final else None,
        "lag": newest.time - final.time if final else None,
        "state_proofs": (
            client.header(newest) is not None
            and client.proof(contract, bytes(32), newest) is not None
        ),
        "address": f"0x{contract.hex()}",
        "contract": state,
        "exit_code": {"ours": 0, "absent": _code(NotFound), "other": _code(BadAnswer)}[state],
    }


def _account(client: Client, settings: ChainSettings) -> dict[str, Any]:
    from witnesstree.anchor.keys import checksummed, open_signer

    assert settings.key
    address = open_signer(settings.key, settings.key_password).address
    price, balance = client.gas_price(), client.balance(address)
    anchors = balance // (ANCHOR_GAS * price) if price else None
    # Written as text: JSON readers keep no more than 53 bits of a number.
    found = {
        "address": checksummed(address),
        "balance": str(balance),
        "gas_price": str(price),
        "anchors": anchors,
    }
    return found | {"exit_code": _code(Unaffordable) if anchors == 0 else 0}


def _code(kind: type[WitnesstreeError]) -> int:
    from witnesstree.cli.main import EXIT_CODES

    return next(code for each, code in EXIT_CODES.items() if issubclass(kind, each))


def _print(found: dict[str, Any]) -> None:
    # A chain that nobody named is called by its id already.
    number = "" if found["chain"] == f"chain {found['chain_id']}" else f" ({found['chain_id']})"
    click.echo(one_line(f"{found['name']}: {found['chain']}{number}"))
    for each in found["endpoints"]:
        click.echo(laid_out(f"  {_endpoint_words(each)}", 4))
    if found["account"]:
        click.echo(laid_out(f"  {_account_words(found['account'], found['coin'])}", 4))
    elif not found["key"]:
        click.echo("  no key to pay with")


def _endpoint_words(each: dict[str, Any]) -> str:
    if "error" in each:
        return str(each["error"])
    final = (
        "no final block yet"
        if each["final"] is None
        else f"final block {each['final']:,}, {each['lag']:,} s behind"
    )
    proofs = "gives state proofs" if each["state_proofs"] else "gives no state proofs"
    contract = {
        "ours": "the contract is there",
        "absent": (
            f"the contract is not at {each['address']} yet: run `witnesstree contract deploy`"
        ),
        "other": f"at {each['address']} stands other code than ours",
    }[each["contract"]]
    return f"{each['place']}: block {each['newest']:,}, {final}; {proofs}; {contract}"


def _account_words(account: dict[str, Any], coin: str | None) -> str:
    if "error" in account:
        return f"account: {account['error']}"
    balance = Decimal(account["balance"]).scaleb(-18).normalize()
    amount = f"{balance:f} {coin or ('coin' if balance == 1 else 'coins')}"
    if account["anchors"] is None:
        return f"account {account['address']}: {amount}; gas costs nothing"
    return (
        f"account {account['address']}: {amount}, enough for"
        f" {counted(account['anchors'], 'anchor')} at present fees"
    )


@chain_command.command("remove", short_help="Anchor to a chain no more.")
@click.argument("name")
@click.option(
    "--forget", "is_forgotten", is_flag=True, help="Give up what still waits for its anchors."
)
@json_option
@home_option
def _remove(name: str, home: Path, *, is_forgotten: bool, as_json: bool) -> None:
    """Anchor to the chain called NAME no more.

    Anchors there stay; batches that still wait for one of its anchors wait on, unless --forget
    gives them up.

    \b
    Example:
        witnesstree chain remove sepolia
    """
    from witnesstree.cli.targets import remove_target
    from witnesstree.ledger.store.metadata import JobKind

    remove_target(home, TABLE, name, JobKind.ANCHOR, is_forgotten=is_forgotten, as_json=as_json)


def _configured(home: Path) -> dict[str, ChainSettings]:
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.store.home import open_home

    return read_settings(open_home(home).folder).chains
