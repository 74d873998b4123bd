"""`witnesstree trust`: whose certificates may vouch for time-stamping authorities."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import PATH, answer, counted, json_option, one_line, say
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography import x509

    from witnesstree.anchor.truststore import Stored

MAX_FILE = 64 * 1024
"""Bytes in a file with one certificate, in PEM or DER: 1 to 4 KiB are usual."""
CERTIFI = "certifi"
"""Stands for all roots of Mozilla's programme."""


@click.group("trust", short_help="Say whose certificates may vouch for authorities.")
def trust_command() -> None:
    """Keep the certificates that may vouch for time-stamping authorities.

    A token counts when its chain of certificates ends in a root that is trusted here. From the
    start these are the roots of Mozilla's programme, as the package certifi has them. They are
    yours alone, not the ledger's: nobody else trusts a root because you do. The folder is
    WITNESSTREE_TRUST, or witnesstree-trust in your configuration.

    \b
    Example:
        witnesstree trust add cacert.pem --public --source https://freetsa.org/files/cacert.pem
        witnesstree trust list
    """


@trust_command.command("add", short_help="Trust a certificate.")
@click.argument("file", metavar="FILE|certifi", type=PATH)
@click.option(
    "--public",
    is_flag=True,
    help="It is an authority that third parties accept, not one of your own.",
)
@click.option(
    "--intermediate",
    is_flag=True,
    help="Use it only to build chains to a root; it vouches for nothing by itself.",
)
@click.option(
    "--source",
    help="Where the certificate came from, in words or as an address.  [default: the file's name]",
)
@json_option
def _add(
    file: Path, source: str | None, *, public: bool, intermediate: bool, as_json: bool
) -> None:
    """Trust the certificate in FILE (PEM or DER), or with the word certifi all roots of Mozilla's
    programme again.

    Compare its fingerprint with one that reached you in another way.

    \b
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
            raise click.UsageError("certifi takes no options: what its roots are worth is known")
        trust_certifi(trust_folder(), trusted=True)
        _said(CERTIFI, "The roots of Mozilla's programme are trusted.", as_json=as_json)
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
        raise InvalidInput(f"{file}: {error}; expected one in PEM or DER") from error
    for notice in _notices(stored, is_intermediate=intermediate):
        say(notice)
    add_certificate(trust_folder(), stored)
    kept = next(
        each for each in read_stored(trust_folder()) if each.certificate == stored.certificate
    )
    if as_json:
        answer(_members(kept))
    else:
        click.echo("\n".join(_lines(kept)))


@trust_command.command("list", short_help="List what is trusted.")
@click.option(
    "--all", "with_certifi", is_flag=True, help="List the roots of Mozilla's programme, too."
)
@json_option
def _list(*, with_certifi: bool, as_json: bool) -> None:
    """List the certificates that are trusted, each with its fingerprint, its life and where it came
    from.

    \b
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
        click.echo("\n".join(_lines(each)))
    roots = (
        f"{counted(len(public), 'root')} of Mozilla's programme are trusted, too"
        if public
        else "Mozilla's programme is not trusted"
    )
    say(f"{counted(len(stored), 'certificate')} in {folder}. {roots}.")


@trust_command.command("remove", short_help="Trust a certificate no more.")
@click.argument("fingerprint", metavar="FINGERPRINT|certifi")
@json_option
def _remove(fingerprint: str, *, as_json: bool) -> None:
    """Trust the certificate no more whose FINGERPRINT begins so, or with the word certifi none of
    Mozilla's programme.

    Proofs stay as they are. What counts when they are verified is the trust of whoever verifies.

    \b
    Example:
        witnesstree trust remove 2151b61137ffa86bf664691ba67e7da0
    """
    from witnesstree.anchor.truststore import remove_certificate, trust_certifi, trust_folder

    if fingerprint == CERTIFI:
        trust_certifi(trust_folder(), trusted=False)
        _said(
            CERTIFI,
            "The roots of Mozilla's programme are trusted no more. `witnesstree trust add certifi`"
            " undoes it.",
            as_json=as_json,
        )
        return
    removed = remove_certificate(trust_folder(), fingerprint)
    _said(
        removed.fingerprint,
        f"Trusted no more: {_name(removed)}, {removed.fingerprint}",
        as_json=as_json,
    )


def _said(what: str, text: str, *, as_json: bool) -> None:
    if as_json:
        answer({"changed": what})
    else:
        click.echo(one_line(text))


def _read_certificate(file: Path) -> bytes:
    """Return the one certificate (DER) in a file."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}") from error
    if len(content) > MAX_FILE:
        raise InvalidInput(
            f"{file} is too large to hold one certificate: the limit is {MAX_FILE} bytes"
        )
    if b"-----BEGIN CERTIFICATE" not in content:
        return content
    try:
        found = load_pem_x509_certificates(content)
    except ValueError as error:
        raise InvalidInput(f"{file} holds no certificate in PEM that can be read") from error
    if len(found) > 1:
        raise InvalidInput(
            f"{file} holds {len(found)} certificates: put each that you want to trust into a file"
            " of its own"
        )
    return found[0].public_bytes(Encoding.DER)


def _notices(stored: Stored, *, is_intermediate: bool) -> list[str]:
    """Return what the owner should know.

    Raises InvalidInput if the certificate cannot vouch for any authority.
    """
    from witnesstree.anchor.tsa.local import is_stand_in

    certificate, notices = stored.x509, []
    if not _is_ca(certificate):
        if not _is_for_time_stamping(certificate):
            raise InvalidInput(
                "the certificate is neither an issuer's nor one for time-stamping, so it cannot"
                " vouch for an authority"
            )
        if not is_intermediate:
            notices.append(
                "This is an authority's own certificate: it is trusted for its own tokens, and for"
                " no others."
            )
    elif certificate.subject != certificate.issuer and not is_intermediate:
        notices.append(
            "This is no root but an intermediate certificate: it is trusted as if it were a root."
            " --intermediate trusts it less."
        )
    if is_stand_in(certificate):
        notices.append(
            "This is an embedded authority's: whatever is said of it, its assurance stays local."
        )
    if certificate.not_valid_after_utc < datetime.now(UTC):
        notices.append(
            f"Its life ended on {certificate.not_valid_after_utc:%Y-%m-%d}: it vouches for older"
            " tokens only."
        )
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
    return stored.x509.subject.rfc4514_string() or "a certificate without a name"


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


def _lines(stored: Stored) -> list[str]:
    life = (
        f"{stored.x509.not_valid_before_utc:%Y-%m-%d} to {stored.x509.not_valid_after_utc:%Y-%m-%d}"
    )
    added = f", added {stored.added:%Y-%m-%d}" if stored.added else ""
    lines = [
        _name(stored),
        f"  {stored.fingerprint}",
        f"  {stored.kind.value}, {stored.assurance.name.lower()}, valid {life}",
    ]
    return [one_line(line) for line in [*lines, f"  from {stored.source}{added}"]]
