"""The user's trust store: whose certificates may vouch for time-stamping authorities.

No other module reads or writes its folder.

    <folder>/<SHA-256 of the certificate>.pem     one certificate, below what is known of it
    <folder>/list-<territory>.json                what a EU trusted list says of time-stamping
    <folder>/with-certifi                         there if the roots of Mozilla's programme are to
                                                  be trusted, too: they were chosen for web servers

It starts empty. Loading parses neither the roots of Mozilla's programme, which come with the
package certifi, nor the certificates of lists: `verify` starts with it. Anyone who can write into
the folder decides whom its owner trusts.
"""

from __future__ import annotations

import base64
import json
import os
import re
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from witnesstree.anchor.trustedlist import (
    MAX_CERTIFICATE,
    MAX_ISSUE,
    MAX_SERVICES,
    Service,
    TrustedList,
)
from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, NotFound
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.base.strictjson import Reader, load
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.trust import Trust, TrustedRoot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography import x509

TRUST: Final = "WITNESSTREE_TRUST"
"""Names the folder, in the environment."""
CERTIFI: Final = "certifi"
"""What the roots of Mozilla's programme are called where they are switched on or off."""
MAX_FILE: Final = 64 * 1024
"""Bytes in a file of the store: a certificate has 1 to 3 KiB, in PEM a third more."""
MAX_GIVEN: Final = 2**20
"""Bytes in a file of certificates that is given: all the roots that browsers trust take a quarter
of that."""
MAX_CERTIFICATES: Final = 1000
"""Certificates in a store, those of lists left out."""
MAX_LIST_FILE: Final = MAX_SERVICES * 24 * 1024
"""Bytes in a list of the store: a certificate has at most 16 KiB, in base64 a third more."""
MAX_SOURCE: Final = 500
"""Characters that say where a certificate came from."""

_ON: Final = "with-certifi"
_LOCK: Final = ".lock"
_NAME: Final = re.compile(r"[0-9a-f]{64}\.pem")
_LIST: Final = re.compile(r"list-([A-Z]{2})\.json")
_LIST_FORMAT: Final = "witnesstree-trusted-list/1"
_PREFIX: Final = re.compile(r"[0-9a-f]{8,64}")
_PEM: Final = re.compile("-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\\s]+)-----END CERTIFICATE-----")
# RFC 7468, 5.2: what is before a certificate is for people, and programs skip it.
_FORM: Final = re.compile(
    "Kind: (?P<kind>[a-z]+)\nAssurance: (?P<assurance>[a-z]+)\nAdded: (?P<added>[^\n]*)\nSource:"
    " (?P<source>[^\n]*)\n" + _PEM.pattern + "\n"
)


class Kind(Enum):
    """What a certificate is trusted for: to vouch for others, or only to build a chain to one that
    does.
    """

    ROOT = "root"
    INTERMEDIATE = "intermediate"


# Without slots, so that `x509` is read once.
@dataclass(frozen=True)
class Stored:
    """One certificate (DER) of the store.

    `assurance` is PUBLIC or PRIVATE as its owner said; an embedded authority's is LOCAL whatever
    was said.

    `added` is None for one that is not in the store.
    """

    certificate: bytes
    kind: Kind
    assurance: Assurance
    source: str
    added: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hex."""
        return sha256(self.certificate).hexdigest()

    @cached_property
    def x509(self) -> x509.Certificate:
        """The certificate, read. Raises InvalidInput if it cannot be."""
        from cryptography.utils import CryptographyDeprecationWarning
        from cryptography.x509 import InvalidVersion, load_der_x509_certificate

        try:
            with warnings.catch_warnings():
                # Some old roots have the serial number 0. Their owner was told nothing else that
                # would be of use.
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                return load_der_x509_certificate(self.certificate)
        except (ValueError, InvalidVersion) as error:
            raise InvalidInput("x509-expected") from error

    @cached_property
    def names(self) -> tuple[str, str]:
        """Subject and issuer, as RFC 4514 writes them; empty where the certificate has none."""
        with warnings.catch_warnings():
            # Of names that are longer than X.520 allows, as some authorities' are.
            warnings.simplefilter("ignore")
            return self.x509.subject.rfc4514_string(), self.x509.issuer.rfc4514_string()


def trust_folder() -> Path:
    """Return the user's trust store: WITNESSTREE_TRUST, or witnesstree-trust in the user's
    configuration.
    """
    from platformdirs import user_config_path

    named = os.environ.get(TRUST)
    return Path(named) if named else user_config_path("witnesstree-trust", appauthor=False)


def read_trust(folder: Path) -> Trust:
    """Return what the user trusts: the stored certificates, those of the imported lists and, where
    switched on, certifi's.

    A folder that does not exist is an empty store.

    Raises Damaged if a file in it is, InvalidInput if it cannot be read.
    """
    stored = read_stored(folder)
    roots = [
        TrustedRoot(each.certificate, each.source, each.assurance)
        for each in stored
        if each.kind is Kind.ROOT
    ]
    public = certifi_roots() if trusts_certifi(folder) else ()
    return Trust(
        roots=(*roots, *(root for each in read_lists(folder) for root in _roots_of(each)), *public),
        certificates=tuple(each.certificate for each in stored if each.kind is Kind.INTERMEDIATE),
    )


def read_stored(folder: Path) -> tuple[Stored, ...]:
    """Return the stored certificates, in the order of their fingerprints.

    Raises Damaged if a file is, InvalidInput if the folder cannot be read.
    """
    names = _names(folder, _NAME)
    if len(names) > MAX_CERTIFICATES:
        raise InvalidInput(
            "trust-store-too-large", folder=folder, count=len(names), most=MAX_CERTIFICATES
        )
    return tuple(_read(folder / name) for name in names)


def read_lists(folder: Path) -> tuple[TrustedList, ...]:
    """Return the imported lists, in the order of their territories.

    Raises Damaged if a file is, InvalidInput if the folder cannot be read.
    """
    return tuple(_read_list(folder / name) for name in _names(folder, _LIST))


def _names(folder: Path, form: re.Pattern[str]) -> list[str]:
    """Return the names in the store that have this form, sorted; none where there is no store.

    Raises InvalidInput if the folder cannot be read.
    """
    try:
        return sorted(name for name in os.listdir(folder) if form.fullmatch(name))  # noqa: PTH208 - names are all that is needed
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidInput("trust-store-unreadable", folder=folder, error=error) from error


def keep_list(folder: Path, found: TrustedList) -> TrustedList | None:
    """Put an issue of a list into the store, durably, in the place of the one that is there, which
    is returned.

    Raises Conflict if that one is newer, Damaged, StorageFailure.
    """
    from witnesstree.ledger.store.disk import write_file

    file = folder / f"list-{found.territory}.json"
    with _locked(folder):
        former = _read_list(file) if file.exists() else None
        if former and (former.issue, former.issued) > (found.issue, found.issued):
            raise Conflict(
                "list-older", territory=found.territory, found=found.issue, kept=former.issue
            )
        write_file(file, _format_list(found))
    return former


def remove_list(folder: Path, territory: str) -> TrustedList:
    """Take a list out of the store, and return it.

    Raises NotFound if there is none of this territory, Damaged, StorageFailure.
    """
    from witnesstree.ledger.store.disk import storage_errors, sync_folder

    file = folder / f"list-{territory}.json"
    if not file.exists():
        raise NotFound("list-not-imported", folder=folder, territory=territory)
    with _locked(folder):
        removed = _read_list(file)
        with storage_errors(folder):
            file.unlink()
            sync_folder(folder)
    return removed


def _roots_of(found: TrustedList) -> Iterator[TrustedRoot]:
    source = source_of(found)
    for each in found.services:
        yield TrustedRoot(each.certificate, source, Assurance.PUBLIC, each.since, each.until)


def source_of(found: TrustedList) -> Message:
    """Return what a list is called where its certificates are said to come from."""
    return message(
        "root-of-list",
        territory=found.territory,
        issue=found.issue,
        date=f"{found.issued:%Y-%m-%d}",
    )


def add_certificate(folder: Path, stored: Stored) -> None:
    """Put a certificate into the store, durably.

    Raises Conflict if it is there already, InvalidInput if it is none or its source too long,
    StorageFailure.
    """
    from witnesstree.ledger.store.disk import write_file

    _ = stored.x509
    if len(stored.source) > MAX_SOURCE or not stored.source.isprintable():
        raise InvalidInput("trust-source-too-long", most=MAX_SOURCE)
    if len(_format(stored)) > MAX_FILE:
        raise InvalidInput("x509-too-large", size=len(stored.certificate))
    file = folder / f"{stored.fingerprint}.pem"
    with _locked(folder):
        if file.exists():
            raise Conflict("trusted-already", path=file)
        if len(read_stored(folder)) >= MAX_CERTIFICATES:
            raise InvalidInput("trust-store-full", folder=folder, most=MAX_CERTIFICATES)
        write_file(file, _format(stored))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let nobody else change the store, which is made where there is none."""
    from witnesstree.ledger.store.disk import locked, storage_errors

    with storage_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / _LOCK):
        yield


def remove_certificate(folder: Path, prefix: str) -> Stored:
    """Take the one certificate whose fingerprint begins with `prefix`, at least 8 hex digits, out
    of the store, and return it.

    Raises InvalidInput if the prefix is none, NotFound, Conflict if several begin with it, Damaged,
    StorageFailure.
    """
    from witnesstree.ledger.store.disk import storage_errors, sync_folder

    wanted = prefix.replace(":", "").lower()
    if not _PREFIX.fullmatch(wanted):
        raise InvalidInput("fingerprint-expected", certifi=CERTIFI, found=ascii(prefix[:80]))
    if not folder.exists():
        raise NotFound("fingerprint-unknown", folder=folder, prefix=wanted)
    with _locked(folder):
        found = [each for each in read_stored(folder) if each.fingerprint.startswith(wanted)]
        if not found:
            raise NotFound("fingerprint-unknown", folder=folder, prefix=wanted)
        if len(found) > 1:
            raise Conflict("fingerprint-ambiguous", count=len(found), prefix=wanted)
        with storage_errors(folder):
            (folder / f"{found[0].fingerprint}.pem").unlink()
            sync_folder(folder)
    return found[0]


def trusts_certifi(folder: Path) -> bool:
    """Whether the roots of Mozilla's programme are trusted."""
    return (folder / _ON).exists()


def trust_certifi(folder: Path, *, trusted: bool) -> None:
    """Switch the roots of Mozilla's programme on or off, durably. Raises StorageFailure."""
    from witnesstree.ledger.store.disk import storage_errors, sync_folder, write_file

    with _locked(folder), storage_errors(folder):
        if trusted:
            write_file(folder / _ON, f"{message('certifi-is-on')}\n".encode())
        else:
            (folder / _ON).unlink(missing_ok=True)
            sync_folder(folder)


def certificates_in(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a file, in PEM, DER or PKCS #7 (RFC 5652, 5.1, certificates
    alone), or in all files of a folder, one that holds none left out.

    Raises InvalidInput if there is none, or one cannot be read.
    """
    if not path.is_dir():
        return certificates_of(path)
    found: list[x509.Certificate] = []
    # Reading a pipe waits for whoever writes to it.
    for file in sorted(each for each in path.iterdir() if each.is_file()):
        with suppress(InvalidInput):
            found += certificates_of(file)
    if not found:
        raise InvalidInput("no-certificates-in-folder", path=path)
    return found


def certificates_of(file: Path) -> list[x509.Certificate]:
    """Return the certificates in a file, as `certificates_in` does."""
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates

    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_GIVEN + 1)
    except OSError as error:
        raise InvalidInput("file-unreadable", path=file, error=error) from error
    if len(content) > MAX_GIVEN:
        raise InvalidInput("certificates-too-large", path=file, most=MAX_GIVEN)
    readers: tuple[Callable[[bytes], list[x509.Certificate]], ...] = (
        load_pem_x509_certificates,
        lambda der: [load_der_x509_certificate(der)],
        _certificates_of_pkcs7,
    )
    for read in readers:
        # What libraries say of bytes that are not in their form helps nobody.
        with suppress(ValueError, UnsupportedAlgorithm, InternalError):
            if found := read(content):
                return found
    raise InvalidInput("no-certificates", path=file)


def _certificates_of_pkcs7(content: bytes) -> list[x509.Certificate]:
    # Few files are in this form, and what reads it takes long to import.
    from cryptography.hazmat.primitives.serialization import pkcs7

    try:
        return pkcs7.load_pem_pkcs7_certificates(content)
    except ValueError:
        return pkcs7.load_der_pkcs7_certificates(content)


def certifi_roots() -> tuple[TrustedRoot, ...]:
    """Return the roots of Mozilla's programme as the installed certifi has them, unread.

    They were chosen for web servers. That each of them may also vouch for time-stamping is for the
    user to say.
    """
    import certifi

    source = message("root-of-certifi", version=certifi.__version__)
    return tuple(
        TrustedRoot(base64.b64decode(found), source, Assurance.PUBLIC)
        for found in _PEM.findall(certifi.contents())
    )


def _format(stored: Stored) -> bytes:
    assert stored.added is not None
    body = base64.encodebytes(stored.certificate).decode()
    head = (
        f"Kind: {stored.kind.value}\nAssurance: {stored.assurance.name.lower()}\nAdded:"
        f" {format_time(stored.added)}\nSource: {stored.source}\n"
    )
    return f"{head}-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n".encode()


def _format_list(found: TrustedList) -> bytes:
    return (
        json.dumps(
            {
                "format": _LIST_FORMAT,
                "territory": found.territory,
                "issue": found.issue,
                "issued": format_time(found.issued),
                **({"next_update": format_time(found.next_update)} if found.next_update else {}),
                "signer": found.signer,
                "passed_over": found.passed_over,
                "services": [
                    {
                        "certificate": base64.b64encode(each.certificate).decode(),
                        "since": format_time(each.since),
                        **({"until": format_time(each.until)} if each.until else {}),
                    }
                    for each in found.services
                ],
            },
            indent=1,
        )
        + "\n"
    ).encode()


def _read_list(file: Path) -> TrustedList:
    try:
        with open_regular(file) as opened:
            content = opened.read(MAX_LIST_FILE + 1)
    except OSError as error:
        raise InvalidInput("trusted-file-unreadable", path=file, error=error) from error
    try:
        value = load(file.name, content[:MAX_LIST_FILE])
        value.demand_format(_LIST_FORMAT)
        value.members("format territory issue issued signer passed_over services", "next_update")
        found = TrustedList(
            territory=value["territory"].text(2),
            issue=value["issue"].integer(most=MAX_ISSUE),
            issued=_time(value["issued"]),
            next_update=value.optional("next_update", _time),
            signer=value["signer"].hex(32).hex(),
            services=value["services"].list(_read_service, MAX_SERVICES),
            passed_over=value["passed_over"].integer(),
        )
    except InvalidInput as error:
        raise Damaged("trusted-file-damaged", path=file) from error
    if file.name != f"list-{found.territory}.json":
        raise Damaged("trusted-file-of-another", path=file)
    return found


def _read_service(value: Reader) -> Service:
    value.members("certificate since", "until")
    return Service(
        value["certificate"].base64(MAX_CERTIFICATE),
        _time(value["since"]),
        value.optional("until", _time),
    )


def _time(value: Reader) -> datetime:
    return parse_time(value.text(20))


def _read(file: Path) -> Stored:
    from witnesstree.anchor.tsa.standin import is_stand_in

    try:
        with open_regular(file) as opened:
            found = _FORM.fullmatch(opened.read(MAX_FILE + 1).decode())
        if found is None:
            raise ValueError(file.name)
        stored = Stored(
            certificate=base64.b64decode(found[5]),
            kind=Kind(found["kind"]),
            assurance=Assurance[found["assurance"].upper()],
            source=found["source"],
            added=parse_time(found["added"]),
        )
        is_local = is_stand_in(stored.x509)
    except OSError as error:
        raise InvalidInput("trusted-file-unreadable", path=file, error=error) from error
    except (ValueError, KeyError, InvalidInput) as error:
        raise Damaged("trusted-file-damaged", path=file) from error
    if f"{stored.fingerprint}.pem" != file.name:
        raise Damaged("trusted-file-of-another", path=file)
    return (
        stored
        if not is_local
        else Stored(stored.certificate, stored.kind, Assurance.LOCAL, stored.source, stored.added)
    )
