"""Servers for tests of authorities: sockets that say what they are told, with or without TLS, and
real RFC 3161 authorities."""

from __future__ import annotations

import base64
import fcntl
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from real import require_real

# Sockets
# --------------------------------------------------------------------------------------------------

Script = Callable[[socket.socket], None]
"""What a server says on one connection; it is closed afterwards."""


@contextmanager
def talking(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve `script` on each connection, whatever the other side says, and give the address."""
    talks: list[_Talk] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, script, tls, talks))
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for talk in talks:
                talk.hang_up()


def _accept(
    listener: socket.socket, script: Script, tls: ssl.SSLContext | None, talks: list[_Talk]
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        talks.append(_Talk(connection, script, tls))
        talks[-1].start()


class _Talk(threading.Thread):
    def __init__(
        self, connection: socket.socket, script: Script, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__()
        self.connection = connection
        self.script = script
        self.tls = tls

    def run(self) -> None:
        try:
            if self.tls:
                self.connection = self.tls.wrap_socket(self.connection, server_side=True)
            self.script(self.connection)
        except OSError:
            # The other side has gone.
            return
        finally:
            self.connection.close()

    def hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.join()


def read_request(connection: socket.socket) -> bytes:
    """Return a request: its head, and as much of a body as that announces.

    Empty where there is none any more.
    """
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def saying(answer: bytes) -> Script:
    """Read a request, say `answer`, and close."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return script


def replying(
    answer: Callable[[bytes], bytes], kind: str = "application/timestamp-reply", status: int = 200
) -> Script:
    """Answer each request with what `answer` makes of its body."""

    def script(connection: socket.socket) -> None:
        while request := read_request(connection):
            body = answer(request.partition(b"\r\n\r\n")[2])
            connection.sendall(
                b"HTTP/1.1 %d Status\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (status, kind.encode(), len(body), body)
            )

    return script


# Certificates
# --------------------------------------------------------------------------------------------------

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
KEYS: dict[str, Callable[[], Key]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
}


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate in DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def key_pem(key: Key, password: bytes | None = None) -> bytes:
    """Return a private key in PEM."""
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


@dataclass
class Issuer:
    """A certificate and its key, which issues others."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def root(cls, name: str = "Test root", kind: str = "p256") -> Issuer:
        """Make a root."""
        key = KEYS[kind]()
        return cls(_issue(name, key, None, ca=True), key)

    def issue(
        self,
        name: str,
        kind: str = "p256",
        *extensions: tuple[x509.ExtensionType, bool],
        ca: bool = False,
        days: int = 10,
    ) -> Issuer:
        """Issue a certificate, valid since yesterday."""
        key = KEYS[kind]()
        return Issuer(_issue(name, key, self, *extensions, ca=ca, days=days), key)


def _issue(
    name: str,
    key: Key,
    issuer: Issuer | None,
    *extensions: tuple[x509.ExtensionType, bool],
    ca: bool = False,
    days: int = 10,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    usage = dict.fromkeys(
        (
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=days),
    )
    public = issuer.certificate.public_key() if issuer else key.public_key()
    for extension, critical in (
        (x509.BasicConstraints(ca=ca, path_length=None), True),
        (
            x509.KeyUsage(
                digital_signature=not ca,
                content_commitment=not ca,
                key_cert_sign=ca,
                crl_sign=ca,
                **usage,
            ),
            True,
        ),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),  # type: ignore[arg-type]
        *extensions,
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


@dataclass
class Tls:
    """A root for TLS, and what it issued, as files."""

    folder: Path
    root: Issuer
    ca: Path

    def server(self, *, asks: bool = False) -> ssl.SSLContext:
        """Return the settings of a server on 127.0.0.1, which asks for a client certificate or
        not."""
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        file = self._write("server", self.root.issue("127.0.0.1", "p256", (names, False)))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        if asks:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(
        self, *, in_one_file: bool, password: bytes | None = None
    ) -> tuple[Path, Path | None]:
        """Return the files of a client's certificate and its key."""
        client = self.root.issue("A client")
        if in_one_file:
            return self._write("client", client), None
        (self.folder / "client.pem").write_bytes(pem(client.certificate))
        (self.folder / "client.key").write_bytes(key_pem(client.key, password))
        return self.folder / "client.pem", self.folder / "client.key"

    def _write(self, name: str, issued: Issuer) -> Path:
        file = self.folder / f"{name}.pem"
        file.write_bytes(pem(issued.certificate) + key_pem(issued.key))
        return file


def make_tls(folder: Path) -> Tls:
    """Make a root for TLS in `folder`."""
    root = Issuer.root("Root for TLS")
    (folder / "tls-root.pem").write_bytes(pem(root.certificate))
    return Tls(folder, root, folder / "tls-root.pem")


# An `openssl ts` authority
# --------------------------------------------------------------------------------------------------

CONFIGURATION = """
[tsa]
default_tsa = stamps
[stamps]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
signer_digest = {digest}
certs = {folder}/chain.pem
default_policy = 1.2.3.4.5
other_policies = 1.2.3.4.6
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@dataclass
class OpenSslAuthority:
    """`openssl ts -reply` behind HTTP on this machine, under a root and an intermediate certificate
    of its own.

    The same server answers for its revocation lists (/crl/…), by OCSP (/ocsp) and with the
    intermediate certificate (/issuer). `revoked` holds reasons by serial number, `asked` the paths
    that were asked for, and `broken` paths that answer with status 500.
    """

    url: str
    root: Issuer
    intermediate: Issuer
    signer: Issuer
    folder: Path
    openssl: str
    auth: tuple[str, str] | None = None
    revoked: dict[int, x509.ReasonFlags] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: bytes) -> bytes:
        """Return what `openssl ts -reply` answers."""
        # It counts serial numbers in a file, with no regard for a second process.
        with self.lock, tempfile.NamedTemporaryFile(dir=self.folder) as query:
            query.write(request)
            query.flush()
            command = [
                self.openssl,
                "ts",
                "-reply",
                "-config",
                str(self.folder / "tsa.cnf"),
                "-queryfile",
                query.name,
            ]
            return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout

    def crl(self, issuer: Issuer) -> bytes:
        """Return the issuer's revocation list (RFC 5280, 5)."""
        now = datetime.now(UTC).replace(microsecond=0)
        builder = x509.CertificateRevocationListBuilder(
            issuer.certificate.subject, now - timedelta(hours=1), now + timedelta(hours=1)
        )
        builder = builder.add_extension(x509.CRLNumber(1), critical=False)
        key = issuer.certificate.public_key()
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key), critical=False
        )  # type: ignore[arg-type]
        for serial, reason in self.revoked.items():
            entry = x509.RevokedCertificateBuilder(
                serial, now - timedelta(minutes=30)
            ).add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def ocsp(self, request: bytes) -> bytes:
        """Return the answer to an OCSP request (RFC 6960, 4.2), signed by the issuer itself."""
        asked = ocsp.load_der_ocsp_request(request)
        subject, issuer = next(
            pair
            for pair in ((self.signer, self.intermediate), (self.intermediate, self.root))
            if pair[0].certificate.serial_number == asked.serial_number
        )
        reason = self.revoked.get(asked.serial_number)
        now = datetime.now(UTC).replace(microsecond=0)
        builder = ocsp.OCSPResponseBuilder().add_response(
            subject.certificate,
            issuer.certificate,
            asked.hash_algorithm,
            ocsp.OCSPCertStatus.REVOKED if reason else ocsp.OCSPCertStatus.GOOD,
            now - timedelta(minutes=1),
            now + timedelta(hours=1),
            now - timedelta(minutes=30) if reason else None,
            reason,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
        return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def respond(self, path: str, body: bytes) -> tuple[str, bytes]:
        """Return the type and the body of the answer to a request for `path`."""
        if path == "/crl/intermediate":
            return "application/pkix-crl", self.crl(self.intermediate)
        if path == "/crl/root":
            return "application/pkix-crl", self.crl(self.root)
        if path == "/ocsp":
            return "application/ocsp-response", self.ocsp(body)
        if path == "/issuer":
            return "application/pkix-cert", der(self.intermediate.certificate)
        return "application/timestamp-reply", self.answer(body)


@contextmanager
def openssl_authority(
    folder: Path,
    *,
    key: str = "rsa",
    digest: str = "sha256",
    revocation: frozenset[str] = frozenset(),
    carries_chain: bool = True,
    auth: tuple[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[OpenSslAuthority]:
    """Start an `openssl ts` authority.

    Its certificates name what `revocation` says of "crl", "ocsp" and "issuer".
    """
    openssl = require_real("openssl")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Requests) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        root = Issuer.root()
        intermediate = root.issue(
            "Test intermediate", "p256", *_pointers(url, "root", revocation - {"issuer"}), ca=True
        )
        purpose = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        signer = intermediate.issue(
            "Test authority", key, purpose, *_pointers(url, "intermediate", revocation)
        )
        (folder / "signer.pem").write_bytes(pem(signer.certificate))
        (folder / "signer.key").write_bytes(key_pem(signer.key))
        (folder / "chain.pem").write_bytes(
            pem(intermediate.certificate) if carries_chain else pem(signer.certificate)
        )
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(CONFIGURATION.format(folder=folder, digest=digest))
        authority = OpenSslAuthority(url, root, intermediate, signer, folder, openssl, auth)
        server.authority = authority  # type: ignore[attr-defined]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield authority
        finally:
            server.shutdown()
            thread.join()


def _pointers(
    url: str, issuer: str, revocation: frozenset[str]
) -> list[tuple[x509.ExtensionType, bool]]:
    access = {
        "ocsp": AuthorityInformationAccessOID.OCSP,
        "issuer": AuthorityInformationAccessOID.CA_ISSUERS,
    }
    named = [
        x509.AccessDescription(oid, x509.UniformResourceIdentifier(f"{url}/{name}"))
        for name, oid in access.items()
        if name in revocation
    ]
    extensions: list[tuple[x509.ExtensionType, bool]] = (
        [(x509.AuthorityInformationAccess(named), False)] if named else []
    )
    if "crl" in revocation:
        place = [x509.UniformResourceIdentifier(f"{url}/crl/{issuer}")]
        extensions.append(
            (x509.CRLDistributionPoints([x509.DistributionPoint(place, None, None, None)]), False)
        )
    return extensions


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        authority: OpenSslAuthority = self.server.authority  # type: ignore[attr-defined]
        authority.asked.append(self.path)
        status, kind, content = 200, "text/plain", b"no"
        if self.path in authority.broken:
            status = 500
        elif (
            authority.auth
            and self.path == "/"
            and self.headers["Authorization"] != _basic(authority.auth)
        ):
            status = 401
        else:
            kind, content = authority.respond(self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        return


def _basic(auth: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(auth).encode()).decode()


# sigstore's timestamp-server
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SigstoreAuthority:
    """sigstore's timestamp-server with a key in memory; `chain` is its signer's certificate, the
    intermediate one and the root, in DER."""

    url: str
    chain: tuple[bytes, ...]


@contextmanager
def sigstore_authority(*options: str) -> Iterator[SigstoreAuthority]:
    """Start timestamp-server.

    One at a time on a machine, because its port for metrics is always 2112.
    """
    program = require_real("timestamp-server")
    with (Path(tempfile.gettempdir()) / "timestamp-server.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        where = [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--timestamp-signer",
            "memory",
            "--disable-ntp-monitoring",
        ]
        with subprocess.Popen(
            [program, "serve", *where, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                chain = x509.load_pem_x509_certificates(
                    _fetch(server, port, "/api/v1/timestamp/certchain")
                )
                yield SigstoreAuthority(
                    f"http://127.0.0.1:{port}/api/v1/timestamp", tuple(der(each) for each in chain)
                )
            finally:
                server.kill()


def _fetch(server: subprocess.Popen[bytes], port: int, path: str) -> bytes:
    """Return a page of a server that may not be up yet."""
    for _ in range(500):
        assert server.poll() is None, "timestamp-server ended by itself"
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    raise AssertionError("timestamp-server did not answer")
