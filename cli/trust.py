"""`witnesstree trust`: whose certificates may vouch for time-stamping authorities."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Group, Misused
from witnesstree.cli.language import phrase, words
from witnesstree.cli.options import PATH, answer, json_option, note, one_line, say, tell
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import Message, message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from witnesstree.anchor.trustedlist import TrustedList
    from witnesstree.anchor.truststore import Stored
    from witnesstree.anchor.tsa.presets import Preset
    from witnesstree.ledger.trust import TrustedRoot

CERTIFI = "certifi"
"""Stands for all roots of Mozilla's programme."""
_TERRITORY = re.compile("[A-Z]{2}")


@click.group("trust", cls=Group)
def trust_command() -> None:
    """Keep the certificates that may vouch for time-stamping authorities.

    Example:
        witnesstree trust add --preset digicert
        witnesstree trust list
    """


@trust_command.command("add")
@click.argument("file", metavar="[FILE|certifi]", type=PATH, required=False)
@click.option("--preset", "name", metavar="NAME")
@click.option("--public", is_flag=True)
@click.option("--intermediate", is_flag=True)
@click.option("--source")
@json_option
def _add(
    file: Path | None,
    name: str | None,
    source: str | None,
    *,
    public: bool,
    intermediate: bool,
    as_json: bool,
) -> None:
    """Trust the certificate in FILE (PEM or DER), with --preset the root of a known authority, or
    with the word certifi all roots of Mozilla's programme.

    Example:
        witnesstree trust add --preset digicert
        witnesstree trust add cacert.pem --public --source https://tsa.example/cacert.pem
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

    has_options = bool(public or intermediate or source)
    if name is not None:
        if has_options:
            raise Misused("preset-with-options")
        _add_preset(name, file, as_json=as_json)
        return
    if file is None:
        raise Misused("nothing-to-trust")
    if str(file) == CERTIFI:
        if has_options:
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


def _add_preset(name: str, file: Path | None, *, as_json: bool) -> None:
    """Trust the roots of a preset that `file` holds, or else certifi, as public ones: whoever they
    came from, their fingerprints say that they are the authority's.
    """
    from witnesstree.anchor.truststore import (
        Kind,
        Stored,
        add_certificate,
        read_stored,
        trust_folder,
    )
    from witnesstree.anchor.tsa.presets import PRESETS
    from witnesstree.ledger.base.errors import Conflict
    from witnesstree.ledger.base.report import Assurance

    preset = PRESETS.get(name)
    if preset is None:
        raise InvalidInput("no-known-preset", name=repr(name[:80]), known=sorted(PRESETS))
    if not preset.known:
        raise InvalidInput("preset-without-fingerprint", operator=preset.operator)
    folder, now = trust_folder(), datetime.now(UTC)
    source = words(message("root-of-preset", operator=preset.operator))
    found = [
        Stored(der, Kind.ROOT, Assurance.PUBLIC, source, now) for der in _of_preset(preset, file)
    ]
    there = {each.fingerprint for each in read_stored(folder)}
    if new := [each for each in found if each.fingerprint not in there]:
        for each in new:
            add_certificate(folder, each)
    else:
        raise Conflict("trusted-already", path=folder / f"{found[0].fingerprint}.pem")
    if as_json:
        answer([_members(each) for each in new])
        return
    for each in new:
        _print(each)


def _of_preset(preset: Preset, file: Path | None) -> list[bytes]:
    from hashlib import sha256

    from cryptography.hazmat.primitives.serialization import Encoding

    from witnesstree.anchor.truststore import certifi_roots, certificates_of

    ders = (
        [each.public_bytes(Encoding.DER) for each in certificates_of(file)]
        if file
        else [each.certificate for each in certifi_roots()]
    )
    prints = {sha256(der).hexdigest(): der for der in ders}
    if found := [der for each, der in prints.items() if each in preset.known]:
        return found
    if file is None:
        raise InvalidInput("preset-needs-file", name=preset.name, root=preset.chain)
    raise InvalidInput(
        "preset-root-differs", path=file, found=sorted(prints)[:4], expected=sorted(preset.known)
    )


@trust_command.command("import-list")
@click.argument("file", metavar="LIST.xml", type=PATH)
@click.option("--signer", "signers", metavar="CERT.pem", type=PATH, multiple=True, required=True)
@json_option
def _import_list(file: Path, signers: tuple[Path, ...], *, as_json: bool) -> None:
    """Trust the time-stamping services of an EU trusted list (ETSI TS 119 612), in the place of an
    older issue.

    Example:
        witnesstree trust import-list AT.xml --signer at-scheme-operator.pem
    """
    from witnesstree.anchor.trustedlist import parse_list
    from witnesstree.anchor.truststore import certificates_in, keep_list, trust_folder

    now = datetime.now(UTC)
    given = [each for path in signers for each in certificates_in(path)]
    found = parse_list(_read_list(file), given, now)
    keep_list(trust_folder(), found)
    _warn_of_age(found, now)
    if found.passed_over:
        say("list-passed-over", count=found.passed_over)
    if as_json:
        answer(_list_members(found))
    else:
        _print_list(found)


def _read_list(file: Path) -> bytes:
    from witnesstree.anchor.trustedlist import MAX_LIST

    try:
        with file.open("rb") as opened:
            return opened.read(MAX_LIST + 1)
    except OSError as error:
        raise InvalidInput("file-unreadable", path=file, error=error) from error


def _warn_of_age(found: TrustedList, now: datetime) -> None:
    if found.is_outdated(now):
        due = f"{found.next_update:%Y-%m-%d}" if found.next_update else None
        say("list-outdated", territory=found.territory, date=due)


def _list_members(found: TrustedList) -> dict[str, Any]:
    return {
        "territory": found.territory,
        "issue": found.issue,
        "issued": format_time(found.issued),
        "next_update": format_time(found.next_update) if found.next_update else None,
        "signer": found.signer,
        "certificates": len({each.certificate for each in found.services}),
        "passed_over": found.passed_over,
    }


def _print_list(found: TrustedList) -> None:
    from witnesstree.anchor.truststore import source_of

    tell("list-row", source=source_of(found))
    click.echo(f"  {found.signer}")
    tell(
        "list-size",
        indent=4,
        count=len({each.certificate for each in found.services}),
        date=f"{found.next_update:%Y-%m-%d}" if found.next_update else None,
    )


@trust_command.command("list")
@click.option("--all", "with_everything", is_flag=True)
@json_option
def _list(*, with_everything: bool, as_json: bool) -> None:
    """List the certificates and trusted lists that are trusted, each certificate with its
    fingerprint, its life and where it came from.

    Example:
        witnesstree trust list --all
    """
    from witnesstree.anchor.truststore import (
        certifi_roots,
        read_lists,
        read_stored,
        trust_folder,
        trusts_certifi,
    )

    folder, now = trust_folder(), datetime.now(UTC)
    stored, lists = read_stored(folder), read_lists(folder)
    public = certifi_roots() if trusts_certifi(folder) else ()
    shown = [*stored, *(_unstored(lists, public) if with_everything else ())]
    for found in lists:
        _warn_of_age(found, now)
    if as_json:
        answer(
            {
                "folder": str(folder),
                CERTIFI: len(public),
                "lists": [_list_members(each) for each in lists],
                "certificates": [_members(each) for each in shown],
            }
        )
        return
    for each in shown:
        _print(each)
    for found in lists:
        _print_list(found)
    say("trusted", count=len(stored), folder=folder, public=len(public))


def _unstored(lists: Sequence[TrustedList], public: Sequence[TrustedRoot]) -> list[Stored]:
    """Return the certificates of lists and of certifi as if each were stored by itself."""
    from witnesstree.anchor.truststore import Kind, Stored, source_of
    from witnesstree.ledger.base.report import Assurance

    of_lists = {
        each.certificate: words(source_of(found)) for found in lists for each in found.services
    }
    return [
        *(Stored(der, Kind.ROOT, Assurance.PUBLIC, source) for der, source in of_lists.items()),
        *(
            Stored(root.certificate, Kind.ROOT, root.assurance, words(root.source))
            for root in public
            if isinstance(root.source, Message)
        ),
    ]


@trust_command.command("remove")
@click.argument("what", metavar="FINGERPRINT|LIST|certifi")
@json_option
def _remove(what: str, *, as_json: bool) -> None:
    """Trust the certificate no more whose FINGERPRINT begins so, the LIST of a territory such as
    AT, or with the word certifi none of Mozilla's programme.

    Example:
        witnesstree trust remove 2151b61137ffa86bf664691ba67e7da0
    """
    from witnesstree.anchor.truststore import (
        remove_certificate,
        remove_list,
        source_of,
        trust_certifi,
        trust_folder,
    )

    if what == CERTIFI:
        trust_certifi(trust_folder(), trusted=False)
        _said(CERTIFI, message("certifi-untrusted"), as_json=as_json)
        return
    if _TERRITORY.fullmatch(what):
        gone = message(
            "list-no-longer-trusted", source=source_of(remove_list(trust_folder(), what))
        )
        _said(what, gone, as_json=as_json)
        return
    removed = remove_certificate(trust_folder(), what)
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
    elif stored.names[0] != stored.names[1] and not is_intermediate:
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
    return stored.names[0] or phrase("certificate-unnamed")


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
