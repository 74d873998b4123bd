"""`witnesstree chain`: the EVM chains that a ledger anchors to."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from witnesstree.cli.help import Group
from witnesstree.cli.language import words
from witnesstree.cli.options import (
    answer,
    home_option,
    json_option,
    laid_out,
    note,
    say,
    tell,
)
from witnesstree.cli.targets import add_remove_command, configured, look_at
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


@click.group("chain", cls=Group)
def chain_command() -> None:
    """Choose the EVM chains that each batch is anchored to, and see whether they can be used.

    Example:
        witnesstree chain add sepolia --key keystore:payer.json
        witnesstree chain check
    """


@chain_command.command("add")
@click.argument("name")
@click.option("--preset", metavar="NAME")
@click.option("--chain-id", type=int, metavar="ID")
@click.option("--rpc", "urls", multiple=True, metavar="URL|env:NAME|file:PATH")
@click.option("--agree", type=int, metavar="N")
@click.option("--key", metavar="REFERENCE")
@click.option("--key-password", metavar="env:NAME|file:PATH")
@click.option("--finality", metavar="finalized|N")
@click.option("--fees", type=click.Choice(["eip1559", "legacy"]))
@click.option("--fee-cap", type=float, metavar="GWEI")
@click.option("--tip", type=float, metavar="GWEI")
@click.option("--timeout", type=float, metavar="SECONDS")
@click.option("--contract", metavar="ADDRESS")
@json_option
@home_option
def _add(name: str, preset: str | None, home: Path, *, as_json: bool, **options: Any) -> None:
    """Anchor each batch to one more chain from now on.

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
        raise InvalidInput("too-few-endpoints", agree=members["agree"], count=len(members["urls"]))
    if "key" in members:
        members["key"] = settled(members["key"])
    add_table(opened.folder, TABLE, name, members)
    if "key" not in members:
        say("chain-without-key")
    elif warning := exposure(members["key"]):
        note(warning)
    if known and known.note:
        note(known.note)
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
        tell("chain-added", name=name, chain=chain.title, count=len(members["urls"]))


def _preset(name: str, preset: str | None) -> Preset | None:
    from witnesstree.anchor.evm.presets import PRESETS

    if preset is not None and preset not in PRESETS:
        raise NotFound("no-such-preset", name=repr(preset[:80]), presets=list(PRESETS))
    return PRESETS.get(name if preset is None else preset)


def _members(known: Preset | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings to write: the preset's, and what was given in place of them."""
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    usual = (
        {"chain_id": known.chain_id, "urls": known.urls, "fee_cap": known.fee_cap} if known else {}
    )
    if known and given.get("chain_id", known.chain_id) != known.chain_id:
        raise InvalidInput(
            "other-chain-id", name=known.name, id=known.chain_id, given=given["chain_id"]
        )
    members = {key: value for key, value in {**usual, **given}.items() if value is not None}
    if "chain_id" not in members or "urls" not in members:
        raise InvalidInput("no-known-chain")
    return members


@chain_command.command("list")
@click.option("--presets", is_flag=True)
@json_option
@home_option
def _list(home: Path, *, presets: bool, as_json: bool) -> None:
    """List the chains that each batch is anchored to.

    Example:
        witnesstree chain list --presets
    """
    if presets:
        _list_presets(as_json=as_json)
        return
    from witnesstree.anchor.http import place
    from witnesstree.anchor.keys import described
    from witnesstree.anchor.settings import is_reference
    from witnesstree.ledger.chain.known import known_chain

    listed: list[dict[str, Any]] = [
        {
            "name": name,
            "chain_id": each.chain_id,
            "chain": known_chain(each.chain_id).name,
            "endpoints": [url if is_reference(url) else place(url) for url in each.urls],
            "agree": each.agree,
            "key": words(described(each.key)) if each.key else None,
            "finality": each.finality,
            "fee_cap": each.fee_cap,
        }
        for name, each in configured(home, TABLE).items()
    ]
    if as_json:
        answer(listed)
        return
    for each in listed:
        tell(
            "chain-row",
            name=each["name"],
            chain=known_chain(each["chain_id"]).title,
            id=each["chain_id"],
        )
        tell(
            "chain-endpoints",
            indent=4,
            endpoints=each["endpoints"],
            agree=each["agree"] if each["agree"] > 1 else None,
        )
        tell("chain-key", indent=4, key=each["key"], cap=f"{each['fee_cap']:g}")
        tell("chain-final", indent=4, finality=each["finality"])
    if not listed:
        say("embedded-chain-used")


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
            "finality": words(each.why),
            "state_proofs": known_chain(each.chain_id).has_state_proofs,
            "explorer": known_chain(each.chain_id).explorer,
            "endpoints": list(each.urls),
            "note": words(each.note) if each.note else None,
        }
        for each in PRESETS.values()
    ]
    if as_json:
        answer(listed)
        return
    for each in listed:
        pace = each["block_seconds"]
        tell(
            "chain-preset",
            name=each["name"],
            chain=known_chain(each["chain_id"]).title,
            id=each["chain_id"],
            seconds=f"{pace:g}" if pace else None,
            coin=each["coin"],
        )
        tell("chain-preset-final", indent=4, finality=each["finality"])
        tell("chain-preset-explorer", indent=4, explorer=each["explorer"])
        tell("chain-endpoints", indent=4, endpoints=each["endpoints"], agree=None)
        if each["note"]:
            tell("chain-preset-note", indent=4, note=each["note"])
    say("chain-presets-known", date=KNOWN)


@chain_command.command("check")
@click.argument("name", required=False)
@json_option
@home_option
@click.pass_context
def _check(ctx: click.Context, name: str | None, home: Path, *, as_json: bool) -> None:
    """Ask each endpoint of each chain, or of the one called NAME, what it can do, and see how
    many anchors the account can pay for.

    Example:
        witnesstree chain check sepolia
    """
    ctx.exit(look_at(home, TABLE, name, _look, _print, as_json=as_json))


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
        "key": words(described(settings.key)) if settings.key else None,
        "endpoints": endpoints,
        "account": account,
        "exit_code": max(each["exit_code"] for each in (*endpoints, account or endpoints[0])),
    }


def _guarded(start: dict[str, Any], look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return `start` with what `look` returns, or with its error and exit code."""
    try:
        return {**start, "exit_code": 0, **look()}
    except WitnesstreeError as error:
        return {**start, "exit_code": _code(type(error)), "error": words(error.message)}


def _seen(client: Client, settings: ChainSettings) -> dict[str, Any]:
    from witnesstree.anchor.evm.finality import final_block
    from witnesstree.ledger.chain.keccak import keccak256
    from witnesstree.ledger.chain.known import known_chain
    from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS, CONTRACT_CODE_HASH

    newest = client.newest()
    most = known_chain(settings.chain_id).max_header
    final = final_block(client, settings.finality, most)
    contract = bytes.fromhex(settings.contract[2:]) if settings.contract else CONTRACT_ADDRESS
    code = client.code_hash(contract, "latest")
    state = {CONTRACT_CODE_HASH: "ours", keccak256(b""): "absent"}.get(code, "other")
    return {
        "chain_id": client.chain_id(),
        "newest": newest.number,
        "final": final.number if final else None,
        "lag": newest.time - final.time if final else None,
        "state_proofs": (
            client.header(newest, most) is not None
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
    from witnesstree.ledger.chain.known import known_chain

    # A chain that nobody named is called by its id already.
    is_named = found["chain"] != f"chain {found['chain_id']}"
    tell(
        "chain-row",
        name=found["name"],
        chain=known_chain(found["chain_id"]).title,
        id=found["chain_id"] if is_named else None,
    )
    for each in found["endpoints"]:
        _print_endpoint(each)
    if found["account"]:
        _print_account(found["account"], found["coin"])
    elif not found["key"]:
        tell("chain-no-key", indent=4)


def _print_endpoint(each: dict[str, Any]) -> None:
    if "error" in each:
        click.echo(laid_out(f"  {each['error']}", 4))
        return
    tell(
        "endpoint-state",
        indent=4,
        place=each["place"],
        newest=each["newest"],
        final=each["final"],
        lag=each["lag"],
        proofs=each["state_proofs"],
        contract=each["contract"],
        address=each["address"],
    )


def _print_account(account: dict[str, Any], coin: str | None) -> None:
    if "error" in account:
        tell("account-error", indent=4, error=account["error"])
        return
    balance = Decimal(account["balance"]).scaleb(-18).normalize()
    tell(
        "account-state",
        indent=4,
        address=account["address"],
        balance=f"{balance:f}",
        coin=coin,
        anchors=account["anchors"],
    )


add_remove_command(chain_command, TABLE, "anchor", "sepolia")
