"""`witnesstree ipfs`: fetch, export, pin and check what `seal --ipfs` stored."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Group
from witnesstree.cli.options import PATH, answer, home_option, json_option, require_room, say, tell
from witnesstree.ledger.base.errors import Damaged, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.anchor.ipfs.kubo import KuboHealth
    from witnesstree.anchor.ipfs.local import BlockStore
    from witnesstree.anchor.ipfs.stores import EvidenceStore
    from witnesstree.anchor.settings import IpfsSettings
    from witnesstree.ledger.store.home import Home

output_option = click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="FILE",
)


@click.group("ipfs", cls=Group)
def ipfs_command() -> None:
    """Fetch, export, pin and check what `seal --ipfs` stored.

    Example:
        witnesstree ipfs get bafybei… -o photo.jpg --decrypt
    """


@ipfs_command.command("get")
@click.argument("cid")
@output_option
@click.option("--decrypt", "is_encrypted", is_flag=True)
@click.option("--identity", type=PATH, metavar="FILE")
@json_option
@home_option
def get_command(
    cid: str, output: Path, identity: Path | None, home: Path, *, is_encrypted: bool, as_json: bool
) -> None:
    """Fetch the file named CID, and print the SHA-256 of what was written.

    Example:
        witnesstree ipfs get bafybei… -o photo.jpg --decrypt
    """
    from witnesstree.anchor.ipfs.encryption import decrypt, read_identities
    from witnesstree.anchor.ipfs.evidence import scratch
    from witnesstree.anchor.ipfs.stores import evidence_folder, identity_path
    from witnesstree.ledger.base.digest import digest_file

    if identity and not is_encrypted:
        raise InvalidInput("identity-without-decrypt")
    require_room(output)
    with _store(home) as (opened, _, store):
        if is_encrypted:
            # Read first: without a key, nothing need be fetched.
            identities = read_identities(identity or identity_path(opened))
            with scratch(evidence_folder(opened)) as ciphertext:
                store.read(cid, ciphertext)
                content = decrypt(ciphertext, output, identities, called=cid)
            digest, size = content.digest, content.size
        else:
            store.read(cid, output)
            found = digest_file(output)
            digest, size = found.digest, found.size
    if as_json:
        answer(
            {
                "cid": cid,
                "path": str(output),
                "size": size,
                "digest": digest.hex(),
                "decrypted": is_encrypted,
            }
        )
    else:
        tell("ipfs-written", output=output, size=size, digest=digest)


@ipfs_command.command("export")
@click.argument("cid")
@output_option
@json_option
@home_option
def export_command(cid: str, output: Path, home: Path, *, as_json: bool) -> None:
    """Write all blocks of the file named CID into a CAR file, which any IPFS node imports
    (`ipfs dag import`).

    Example:
        witnesstree ipfs export bafybei… -o photo.car
    """
    require_room(output)
    with _store(home) as (_, _, store):
        store.export_car(cid, output)
    if as_json:
        answer({"cid": cid, "path": str(output), "size": output.stat().st_size})
    else:
        tell("written", output=output)


@ipfs_command.command("pin")
@click.argument("cid")
@click.option("--service", "services", multiple=True, metavar="NAME")
@json_option
@home_option
def pin_command(cid: str, services: tuple[str, ...], home: Path, *, as_json: bool) -> None:
    """Ask remote pinning services to keep the file named CID, and print what they say: queued,
    pinning, pinned or failed.

    Example:
        witnesstree ipfs pin bafybei… --service archive
    """
    from witnesstree.anchor.ipfs.kubo import KuboStore

    with _store(home) as (_, settings, store):
        if not isinstance(store, KuboStore):
            raise InvalidInput("no-pinning-in-home")
        asked = services or settings.pin_services
        if not asked:
            raise InvalidInput("no-pinning-service")
        pins = store.pin_remotely(cid, asked)
    if as_json:
        answer([{"service": pin.service, "status": pin.status} for pin in pins])
    else:
        for pin in pins:
            tell("pin-state", service=pin.service, status=pin.status)


@ipfs_command.command("check")
@json_option
@home_option
def check_command(home: Path, *, as_json: bool) -> None:
    """Check the store: every block in the home, or that the Kubo node answers, takes a block,
    gives it back, and knows the pinning services.

    Example:
        witnesstree ipfs check
    """
    from witnesstree.anchor.ipfs.kubo import KuboStore
    from witnesstree.anchor.ipfs.local import BlockStore

    with _store(home) as (_, settings, store):
        if isinstance(store, KuboStore):
            _check_kubo(store.check(), settings, as_json=as_json)
        else:
            assert isinstance(store, BlockStore)
            _check_blocks(store, as_json=as_json)


def _check_kubo(health: KuboHealth, settings: IpfsSettings, *, as_json: bool) -> None:
    members: dict[str, Any] = {
        "store": "kubo",
        "version": health.version,
        "online": health.is_online,
        "stored": health.stored,
        "capacity": health.capacity,
        "services": list(health.services),
    }
    if as_json:
        answer(members)
    else:
        tell("kubo-answers", version=health.version, size=health.stored)
    if not health.is_online:
        say("kubo-offline")
    if unknown := [name for name in settings.pin_services if name not in health.services]:
        raise InvalidInput("pinning-service-unknown", name=repr(unknown[0]))


def _check_blocks(store: BlockStore, *, as_json: bool) -> None:
    damaged = list(store.check())
    if as_json:
        answer(
            {
                "store": "embedded",
                "problems": [
                    {"place": block.name, "fault": str(block.reason)} for block in damaged
                ],
            }
        )
    else:
        for block in damaged:
            tell("fsck-problem", place=block.name, fault=block.reason)
        tell("blocks-checked", problems=len(damaged))
    if damaged:
        raise Damaged("block-store-damaged", block=damaged[0].name)


@contextmanager
def _store(folder: Path) -> Iterator[tuple[Home, IpfsSettings, EvidenceStore]]:
    from witnesstree.anchor.ipfs.stores import open_file_store
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.store.home import open_home

    home = open_home(folder)
    settings = read_settings(home.folder).ipfs
    with closing(open_file_store(home, settings)) as store:
        yield home, settings, store
