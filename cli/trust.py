"""`witnesstree trust`: whose certificates may vouch for time-stamping authorities."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Group, Misused
from witnesstree.cli.language import phrase, words
from witnesstree.cli.options import PATH, answer, json_option, note, one_line, say, tell
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from cryptography import x509

    from witnesstree.anchor.truststore import Stored
    from witnesstree.ledger.base.message import Message

CERTIFI = "certifi"
"""Stands for all roots of Mozilla's programme."""


@click.group("trust", cls=Group)
def trust_command() -> None:
    """Keep the certificates that may vouch for time-stamping authorities.

    Example:
        witnesstree trust add cacert.pem --public --source https://freetsa.org/files/cacert.pem
        witnesstree trust list
    """


@trust_command.command("add")
@click.argument("file", metavar="FILE|certifi", type=PATH)
@click.option("--public", is_flag=True)
@click.option("--intermediate", is_flag=True)
@click.option("--source")
@json_option
def _add(
    file: Path, source: str | None, *, public: bool, intermediate: bool, as_json: bool
) -> None:
    """Trust the certificate in FILE (PEM or DER), or with the word certifi all roots of
    Mozilla's programme again.

    Example:
        witnesstree trust add cacert.pem --public --source https://freetsa.org/files/cacert.pem
    """
    from witnesstree.anchor.truststore import (
        Kind,
        Stored,
        add_certificate,
        read_stored,
        trust_certifi,
        trust_folder,
    )
    from witnesstree.ledger.base.report import Assurance

    if str(file) == CERTIFI:
        if public or intermediate or source:
            raise Misused("certifi-with-options")
        trust_certifi(trust_folder(), trusted=True)
        _said(CERTIFI, message("certifi-trusted"), as_json=as_json)
        return
    stored = Stored(
        certificate=_read_certificate(file),
        kind=Kind.INTERMEDIATE if intermediate else Kind.ROOT,
        assurance=Assurance.PUBLIC if public else Assurance.PRIVATE,
        source=one_line(source or file.name),
        added=datetime.now(UTC),
    )
    try:
        _ = stored.x509
    except InvalidInput as error:
        raise InvalidInput("bad-certificate-file", path=file, error=error) from error
    for notice in _notices(stored, is_intermediate=intermediate):
        note(notice)
    add_certificate(trust_folder(), stored)
    kept = next(
        each for each in read_stored(trust_folder()) if each.certificate == stored.certificate
    )
    if as_json:
        answer(_members(kept))
    else:
        _print(kept)


@trust_command.command("list")
@click.option("--all", "with_certifi", is_flag=True)
@json_option
def _list(*, with_certifi: bool, as_json: bool) -> None:
    """List the certificates that are trusted, each with its fingerprint, its life and where it
    came from.

    Example:
        witnesstree trust list --all
    """
    from witnesstree.anchor.truststore import (
        Kind,
        Stored,
        certifi_roots,
        read_stored,
        trust_folder,
        trusts_certifi,
    )

    folder = trust_folder()
    stored = read_stored(folder)
    public = certifi_roots() if trusts_certifi(folder) else ()
    shown = [*stored]
    if with_certifi:
        shown.extend(
            Stored(root.certificate, Kind.ROOT, root.assurance, str(root.source), None)
            for root in public
        )
    if as_json:
        answer(
            {
                "folder": str(folder),
                CERTIFI: len(public),
                "certificates": [_members(each) for each in shown],
            }
        )
        return
    for each in shown:
        _print(each)
    say("trusted", count=len(stored), folder=folder, public=len(public))


@trust_command.command("remove")
@click.argument("fingerprint", metavar="FINGERPRINT|certifi")
@json_option
def _remove(fingerprint: str, *, as_json: bool) -> None:
    """Trust the certificate no more whose FINGERPRINT begins so, or with the word certifi none
    of Mozilla's programme.

    Example:
        witnesstree trust remove 2151b61137ffa86bf664691ba67e7da0
    """
    from witnesstree.anchor.truststore import remove_certificate, trust_certifi, trust_folder

    if fingerprint == CERTIFI:
        trust_certifi(trust_folder(), trusted=False)
        _said(CERTIFI, message("certifi-untrusted"), as_json=as_json)
        return
    removed = remove_certificate(trust_folder(), fingerprint)
    said = message("no-longer-trusted", name=_name(removed), fingerprint=removed.fingerprint)
    _said(removed.fingerprint, said, as_json=as_json)


def _said(what: str, said: Message, *, as_json: bool) -> None:
    if as_json:
        answer({"changed": what})
    else:
        click.echo(one_line(words(said)))


def _read_certificate(file: Path) -> bytes:
    """Return the one certificate (DER) in a file."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from witnesstree.anchor.truststore import certificates_of

    found = certificates_of(file)
    if len(found) > 1:
        raise InvalidInput("several-certificates", path=file, count=len(found))
    return found[0].public_bytes(Encoding.DER)


def _notices(stored: Stored, *, is_intermediate: bool) -> list[Message]:
    """Return what the owner should know.

    Raises InvalidInput if the certificate cannot vouch for any authority.
    """
    from witnesstree.anchor.tsa.standin import is_stand_in

    certificate, notices = stored.x509, []
    if not _is_ca(certificate):
        if not _is_for_time_stamping(certificate):
            raise InvalidInput("certificate-vouches-for-none")
        if not is_intermediate:
            notices.append(message("own-certificate"))
    elif certificate.subject != certificate.issuer and not is_intermediate:
        notices.append(message("intermediate-as-root"))
    if is_stand_in(certificate):
        notices.append(message("embedded-root"))
    if certificate.not_valid_after_utc < datetime.now(UTC):
        ended = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        notices.append(message("certificate-ended", date=ended))
    return notices


def _is_ca(certificate: x509.Certificate) -> bool:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (ExtensionNotFound, ValueError):
        return False


def _is_for_time_stamping(certificate: x509.Certificate) -> bool:
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        return (
            ExtendedKeyUsageOID.TIME_STAMPING
            in certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
        )
    except (ExtensionNotFound, ValueError):
        return False


def _name(stored: Stored) -> str:
    return stored.x509.subject.rfc4514_string() or phrase("certificate-unnamed")


def _members(stored: Stored) -> dict[str, Any]:
    return {
        "fingerprint": stored.fingerprint,
        "subject": _name(stored),
        "kind": stored.kind.value,
        "assurance": stored.assurance.name.lower(),
        "not_before": format_time(stored.x509.not_valid_before_utc),
        "not_after": format_time(stored.x509.not_valid_after_utc),
        "source": stored.source,
        "added": format_time(stored.added) if stored.added else None,
    }


def _print(stored: Stored) -> None:
    click.echo(one_line(_name(stored)))
    click.echo(f"  {stored.fingerprint}")
    tell(
        "certificate-life",
        indent=4,
        kind=stored.kind,
        assurance=stored.assurance.name.lower(),
        since=f"{stored.x509.not_valid_before_utc:%Y-%m-%d}",
        until=f"{stored.x509.not_valid_after_utc:%Y-%m-%d}",
    )
    added = f"{stored.added:%Y-%m-%d}" if stored.added else None
    tell("certificate-source", indent=4, source=stored.source, added=added)
