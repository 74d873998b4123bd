"""The embedded RFC 3161 authority: a stand-in that shows the mechanics and proves nothing to
anybody else.

Its folder holds root.pem and tsa.pem (certificates), tsa.key (PKCS#8, mode 0600) and serial (how
many serial numbers were reserved, in decimal). The root's private key exists only while `create`
runs, so nobody can issue another certificate under that root. No other module touches this folder.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self

from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typing_extensions import override

from witnesstree.anchor.tsa.standin import CLAIM
from witnesstree.ledger.base.der import demand_der, reading
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, NotFound, StorageFailure
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.ports import Authority
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.base.system import open_regular
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.store.disk import write_file
from witnesstree.ledger.tokens.token import TimeStampResp, check_response, format_request
from witnesstree.ledger.trust import TrustedRoot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Our own, from a random UUID (ITU-T X.667, 7): "runs beside the ledger that asks it, with that
# machine's clock; keeps no rules at all".
POLICY: Final = "2.25.95359260028525615059169722443499192376"
# The clock is read to the second; that somebody keeps it true is not said.
ACCURACY: Final = timedelta(seconds=1)
# Bytes. A request is an imprint, a nonce and a policy: about 100.
MAX_REQUEST: Final = 4 * 1024
# Nothing is left to renew anything with, so all of it has to last.
LIFETIME: Final = timedelta(days=20 * 365 + 5)
# NIST SP 800-57 trusts 2048 bits until 2030 only. RSA, because rfc3161ng and other old clients read
# nothing else.
_KEY_BITS: Final = 3072

_ROOT, _CERTIFICATE, _KEY, _SERIAL = "root.pem", "tsa.pem", "tsa.key", "serial"
# Bytes of the largest file that is read back from the folder.
_MAX_FILE: Final = 16 * 1024
# Bytes of a digest.
_IMPRINTS: Final = {"sha256": 32, "sha384": 48, "sha512": 64}


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that will be granted."""

    algorithm: str
    imprint: bytes
    nonce: int | None
    wants_certificate: bool


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a request is not granted: asn1crypto's name of a PKIFailureInfo bit (RFC 3161, 2.4.2),
    and a reason.
    """

    failure: str
    reason: Message


class LocalAuthority(Authority):
    """An RFC 3161 authority in a folder. Several processes may use one folder at once."""

    def __init__(
        self,
        folder: Path,
        certificate: x509.Certificate,
        key: rsa.RSAPrivateKey,
        clock: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._certificate = certificate
        self._key = key
        self._clock = clock

    @staticmethod
    def create(folder: Path, now: datetime) -> None:
        """Make root, certificate and key in `folder`, valid from `now` for LIFETIME, and throw the
        root's key away.

        root.pem is written last and makes the folder an authority: after a crash before that,
        `create` starts again.

        Raises Conflict if there is an authority already, StorageFailure.
        """
        with _storing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(folder):
                if (folder / _ROOT).exists():
                    raise Conflict("local-authority-there-already", folder=folder)
                root, certificate, key = _issue(now.astimezone(UTC).replace(microsecond=0))
                write_file(folder / _KEY, _format_key(key), mode=0o600)
                write_file(folder / _SERIAL, b"0\n")
                write_file(
                    folder / _CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM)
                )
                write_file(folder / _ROOT, root.public_bytes(serialization.Encoding.PEM))

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime]) -> Self:
        """Open what `create` made.

        Raises NotFound, Damaged if the files do not belong together, StorageFailure.
        """
        root = _parse_certificate(folder, _ROOT)
        certificate = _parse_certificate(folder, _CERTIFICATE)
        try:
            # Whether its numbers are primes takes a tenth of a second to see. Each signature is
            # looked at instead: see `_signature`.
            key = serialization.load_pem_private_key(
                _read(folder, _KEY), password=None, unsafe_skip_rsa_key_validation=True
            )
            certificate.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
            raise Damaged("local-authority-damaged", folder=folder) from error
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise Damaged("local-authority-key-of-another", folder=folder, file=_CERTIFICATE)
        return cls(folder, certificate, key, clock)

    @property
    @override
    def name(self) -> str:
        return "local"

    @property
    def holds_until(self) -> datetime:
        """The end of its certificate: no token of it can be verified for longer."""
        return self._certificate.not_valid_after_utc

    @override
    def stamp(self, root: bytes, algorithm: str = "sha256") -> Stamp:
        """Return a token for `root`, a digest under `algorithm`; its serial number is on disk
        before the token exists.

        Raises InvalidInput if `root` is not such a digest, BadAnswer if the clock is outside the
        certificate's life, Damaged, StorageFailure.
        """
        if len(root) != _IMPRINTS.get(algorithm):
            raise InvalidInput(
                "digest-to-stamp-expected",
                algorithms=list(_IMPRINTS),
                size=len(root),
                algorithm=algorithm,
            )
        nonce = secrets.randbits(64)
        answer = self.answer(format_request(root, nonce, algorithm=algorithm), self._clock())
        return Stamp(check_response(answer, root, nonce, algorithm=algorithm).der)

    def answer(self, request: bytes, now: datetime) -> bytes:
        """Return the TimeStampResp (DER) to any bytes (RFC 3161, 2.4.2), as of `now` cut to the
        second.

        Granted are SHA-256, SHA-384 and SHA-512 imprints, under POLICY, without extensions;
        everything else is a refusal, which is an answer too.

        Raises Damaged, StorageFailure.
        """
        time = now.astimezone(UTC).replace(microsecond=0)
        asked = _judge_request(request)
        if (
            not self._certificate.not_valid_before_utc
            <= time
            <= self._certificate.not_valid_after_utc
        ):
            asked = _Refusal("time_not_available", message("request-out-of-time"))
        if isinstance(asked, _Refusal):
            return _format_refusal(asked)
        stamped = self._format_content(asked, time, _reserve(self._folder))
        token = self._sign(stamped, time, carries_certificate=asked.wants_certificate)
        return bytes(
            TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump()
        )

    def _format_content(self, asked: _Request, time: datetime, serial: int) -> bytes:
        content = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": POLICY,
                "message_imprint": {
                    "hash_algorithm": {"algorithm": asked.algorithm},
                    "hashed_message": asked.imprint,
                },
                "serial_number": serial,
                "gen_time": time,
                "accuracy": {"seconds": int(ACCURACY.total_seconds())},
                "tsa": asn1_x509.GeneralName(name="directory_name", value=self._fields["subject"]),
            }
        )
        if asked.nonce is not None:
            content["nonce"] = asked.nonce
        return bytes(content.dump())

    def _sign(
        self, content: bytes, time: datetime, *, carries_certificate: bool
    ) -> cms.ContentInfo:
        """Return signed data (RFC 5652, 5) with the attributes that RFC 3161, 2.4.2 and RFC 5816,
        2.2.1 demand.
        """
        issued = self._certificate.public_bytes(serialization.Encoding.DER)
        # UTCTime ends in 2049 (RFC 5652, 11.3).
        form = "utc_time" if time.year < 2050 else "generalized_time"
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "signing_time", "values": [cms.Time(name=form, value=time)]},
                {"type": "message_digest", "values": [sha256(content).digest()]},
                {
                    "type": "signing_certificate_v2",
                    "values": [{"certs": [{"cert_hash": sha256(issued).digest()}]}],
                },
            ]
        )
        signer = {
            "version": "v1",
            "sid": {
                "issuer": self._fields["issuer"],
                "serial_number": self._certificate.serial_number,
            },
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": self._signature(attributes.dump()),
        }
        signer["sid"] = cms.SignerIdentifier(name="issuer_and_serial_number", value=signer["sid"])
        signed: dict[str, Any] = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {
                "content_type": "tst_info",
                "content": cms.ParsableOctetString(content),
            },
            "signer_infos": [signer],
        }
        if carries_certificate:
            signed["certificates"] = [asn1_x509.Certificate.load(issued)]
        return cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)})

    def _signature(self, content: bytes) -> bytes:
        """Return the key's signature over `content`, which the certificate's key verifies.

        Raises Damaged if it does not.
        """
        scheme = padding.PKCS1v15(), hashes.SHA256()
        try:
            signature = self._key.sign(content, *scheme)
            self._key.public_key().verify(signature, content, *scheme)
        except (ValueError, InvalidSignature) as error:
            raise Damaged("local-authority-does-not-sign", folder=self._folder) from error
        return signature

    @property
    def _fields(self) -> Any:
        """The certificate's fields as asn1crypto has them: names are copied byte by byte."""
        return asn1_x509.Certificate.load(
            self._certificate.public_bytes(serialization.Encoding.DER)
        )["tbs_certificate"]


def trusted_root(folder: Path) -> TrustedRoot:
    """Return the root of the authority in `folder`, for a verifier that trusts this home; its
    assurance is LOCAL, whatever is asked.

    Raises NotFound, Damaged, StorageFailure.
    """
    certificate = _parse_certificate(folder, _ROOT)
    return TrustedRoot(
        certificate.public_bytes(serialization.Encoding.DER),
        message("root-of-local-authority", folder=folder),
        Assurance.LOCAL,
    )


def _judge_request(der: bytes) -> _Request | _Refusal:
    """Read a TimeStampReq (RFC 3161, 2.4.1) and decide about it, in the order of its fields."""
    if len(der) > MAX_REQUEST:
        return _Refusal("bad_data_format", message("request-too-long", most=MAX_REQUEST))
    try:
        demand_der(der)
        with reading("a TimeStampReq (RFC 3161, 2.4.1)"):
            return _judge_fields(tsp.TimeStampReq.load(der, strict=True))
    except InvalidInput as error:
        return _Refusal("bad_data_format", message("request-unreadable", error=error))


def _judge_fields(request: Any) -> _Request | _Refusal:
    # asn1crypto reads lazily; this reads everything, also what is not used.
    fields = request.native
    name, imprint = (
        fields["message_imprint"]["hash_algorithm"]["algorithm"],
        fields["message_imprint"]["hashed_message"],
    )
    if fields["version"] != "v1":
        return _Refusal("bad_request", message("request-of-another-version"))
    if name not in _IMPRINTS:
        return _Refusal("bad_alg", message("request-algorithm-unknown"))
    if len(imprint) != _IMPRINTS[name]:
        return _Refusal("bad_data_format", message("request-imprint-length-wrong"))
    if fields["req_policy"] not in {None, POLICY}:
        return _Refusal("unaccepted_policy", message("request-policy-unknown", policy=POLICY))
    if fields["extensions"]:
        return _Refusal("unaccepted_extensions", message("request-extension-unknown"))
    return _Request(name, imprint, fields["nonce"], fields["cert_req"])


def _format_refusal(refusal: _Refusal) -> bytes:
    status = {
        "status": "rejection",
        "status_string": [str(refusal.reason)],
        "fail_info": {refusal.failure},
    }
    return bytes(TimeStampResp({"status": status}).dump())


def _issue(now: datetime) -> tuple[x509.Certificate, x509.Certificate, rsa.RSAPrivateKey]:
    """Return a new root, the authority's certificate under it, and the authority's key; the root's
    key ends here.
    """
    # P-256 for the root, because it is made in no time and used once. The random number tells homes
    # apart.
    root_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS),
    )
    mark = secrets.token_hex(8)
    issuer, subject = (
        _name(f"LOCAL test root - {CLAIM}", mark),
        _name(f"LOCAL test authority - {CLAIM}", mark),
    )
    root = (
        _builder(issuer, issuer, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    certificate = (
        _builder(subject, issuer, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )
    return root, certificate, key


def _name(common_name: str, mark: str) -> x509.Name:
    parts = {
        NameOID.ORGANIZATION_NAME: "Witnesstree",
        NameOID.COMMON_NAME: common_name,
        NameOID.SERIAL_NUMBER: mark,
    }
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), now, now + LIFETIME
    )
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=not signs_certificates,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _format_key(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# The folder
# --------------------------------------------------------------------------------------------------


def _reserve(folder: Path) -> int:
    """Return a serial number that was never used: a counter, then 64 random bits, at most 160 bits
    in all (RFC 3161, 2.4.2).

    The counter is durable on return. A crash here, or after it, wastes a number. The random bits
    keep numbers apart where a folder was restored from a copy and counts from an old value again.
    """
    with _storing(folder), _locked(folder):
        text = _read(folder, _SERIAL)
        if not text[:-1].isdigit() or not text.endswith(b"\n") or len(text) > 28:
            raise Damaged("local-authority-serial-damaged", path=folder / _SERIAL)
        count = int(text) + 1
        write_file(folder / _SERIAL, b"%d\n" % count)
    return count << 64 | secrets.randbits(64)


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if (folder / _ROOT).exists():
            # A setting that is missing, to those who wait for it: a person can put it back.
            raise InvalidInput("embedded-file-missing", path=str(error.filename)) from error
        raise NotFound("local-authority-missing", folder=folder) from error
    except OSError as error:
        raise StorageFailure("local-authority-not-kept", folder=folder, error=error) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes and threads; the kernel lets go when the process
    ends.
    """
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _read(folder: Path, name: str) -> bytes:
    with _storing(folder), open_regular(folder / name) as file:
        return file.read(_MAX_FILE)


def _parse_certificate(folder: Path, name: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(folder, name))
    except (ValueError, x509.InvalidVersion) as error:
        raise Damaged("local-authority-no-certificate", path=folder / name) from error
