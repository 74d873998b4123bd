"""`witnesstree ipfs`: fetch, export, pin and check what `seal --ipfs` stored."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import (
    PATH,
    answer,
    counted,
    home_option,
    json_option,
    one_line,
    require_room,
    say,
)
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
    help="Write it here; a file of this name is replaced.",
)


@click.group("ipfs", short_help="Fetch, export, pin and check stored files.")
def ipfs_command() -> None:
    """Fetch, export, pin and check what `seal --ipfs` stored.

    Files are in the home's block store, or on the Kubo node that `[ipfs] url` names.

    \b
    Example:
        witnesstree ipfs get bafybei… -o photo.jpg --decrypt
    """


@ipfs_command.command("get", short_help="Fetch a file by its CID.")
@click.argument("cid")
@output_option
@click.option("--decrypt", "is_encrypted", is_flag=True, help="Decrypt it with age.")
@click.option(
    "--identity",
    type=PATH,
    metavar="FILE",
    help="An age identity, or an SSH private key, to decrypt with.  [default: the home's own]",
)
@json_option
@home_option
def get_command(
    cid: str, output: Path, identity: Path | None, home: Path, *, is_encrypted: bool, as_json: bool
) -> None:
    """Fetch the file named CID, and print the SHA-256 of what was written.

    Every block is compared with its CID. That it is the file of some proof, `witnesstree verify`
    tells.

    \b
    Example:
        witnesstree ipfs get bafybei… -o photo.jpg --decrypt
    """
    from witnesstree.anchor.ipfs.encryption import decrypt, read_identities
    from witnesstree.anchor.ipfs.evidence import scratch
    from witnesstree.anchor.ipfs.stores import evidence_folder, identity_path
    from witnesstree.ledger.base.digest import digest_file

    if identity and not is_encrypted:
        raise InvalidInput("--identity is there to decrypt with: add --decrypt, or leave it out")
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
        click.echo(one_line(f"Wrote {output}: {counted(size, 'byte')}, SHA-256 {digest.hex()}."))


@ipfs_command.command("export", short_help="Write a file's blocks into a CAR file.")
@click.argument("cid")
@output_option
@json_option
@home_option
def export_command(cid: str, output: Path, home: Path, *, as_json: bool) -> None:
    """Write all blocks of the file named CID into a CAR file, which any IPFS node imports (`ipfs
    dag import`).

    \b
    Example:
        witnesstree ipfs export bafybei… -o photo.car
    """
    require_room(output)
    with _store(home) as (_, _, store):
        store.export_car(cid, output)
    if as_json:
        answer({"cid": cid, "path": str(output), "size": output.stat().st_size})
    else:
        click.echo(one_line(f"Wrote {output}."))


@ipfs_command.command("pin", short_help="Ask remote pinning services to keep a file.")
@click.argument("cid")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="As Kubo knows it; may be given often.  [default: the settings' pin_services]",
)
@json_option
@home_option
def pin_command(cid: str, services: tuple[str, ...], home: Path, *, as_json: bool) -> None:
    """Ask remote pinning services to keep the file named CID, and print what they say: queued,
    pinning, pinned or failed.

    It does not wait for them: run it again to see how it went. Kubo is told of a service with `ipfs
    pin remote service add`.

    \b
    Example:
        witnesstree ipfs pin bafybei… --service archive
    """
    from witnesstree.anchor.ipfs.kubo import KuboStore

    with _store(home) as (_, settings, store):
        if not isinstance(store, KuboStore):
            raise InvalidInput(
                "the block store in the home has no pinning services: name a Kubo node as `url` in"
                " the settings' [ipfs]"
            )
        asked = services or settings.pin_services
        if not asked:
            raise InvalidInput(
                "no pinning service is named: give --service, or pin_services in the settings'"
                " [ipfs]"
            )
        pins = store.pin_remotely(cid, asked)
    if as_json:
        answer([{"service": pin.service, "status": pin.status} for pin in pins])
    else:
        click.echo("\n".join(one_line(f"{pin.service}: {pin.status}") for pin in pins))


@ipfs_command.command("check", short_help="Check the store.")
@json_option
@home_option
def check_command(home: Path, *, as_json: bool) -> None:
    """Check the store: every block in the home, or that the Kubo node answers, takes a block, gives
    it back, and knows the pinning services.

    \b
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
        click.echo(
            one_line(
                f"Kubo {health.version} answers, takes blocks and gives them back; it holds"
                f" {counted(health.stored, 'byte')}."
            )
        )
    if not health.is_online:
        say("The node is offline: nobody else can fetch from it.")
    if unknown := [name for name in settings.pin_services if name not in health.services]:
        raise InvalidInput(
            f"Kubo does not know the pinning service {unknown[0]!r}: add it with `ipfs pin remote"
            " service add`, or leave it out"
        )


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
            click.echo(one_line(f"{block.name}: {block.reason}"))
        click.echo(
            "Checked the blocks in the home:"
            f" {counted(len(damaged), 'problem') if damaged else 'no problems'}."
        )
    if damaged:
        raise Damaged(
            f"the block store is damaged ({damaged[0].name}): restore it from a backup, or store"
            " the files again"
        )


@contextmanager
def _store(folder: Path) -> Iterator[tuple[Home, IpfsSettings, EvidenceStore]]:
    from witnesstree.anchor.ipfs.stores import open_file_store
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.store.home import open_home

    home = open_home(folder)
    settings = read_settings(home.folder).ipfs
    with closing(open_file_store(home, settings)) as store:
        yield home, settings, store
