"""A faithful fake per port, with switches that fail an effect before or after it took hold; and
`Steps`, which stops a run at any durable step."""

import errno
import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import pytest
import rlp
from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from trie.hexary import HexaryTrie
from typing_extensions import override

from witnesstree.anchor.ipfs.cid import RAW, Cid, parse_cid
from witnesstree.anchor.ipfs.unixfs import CHUNK, store_chunks, walk
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import Message
from witnesstree.ledger.base.ports import (
    Authority,
    Block,
    Chain,
    FileStore,
    SignedTransaction,
    Standing,
)
from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.base.witness import Anchor, Stamp, StateProof
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    slot_of,
)
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.home import Home, create_home, open_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.store.ports import Place, Stored
from witnesstree.ledger.trust import Trust, TrustedBlock, TrustedRoot
from witnesstree.ledger.work.outbox import Pace, Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits

ORIGIN = "ledger.test/fake"
CHAIN_ID = 31_337_000_001
SUBMITTER = bytes.fromhex("00112233445566778899aabbccddeeff00112233")


class When(Enum):
    """On which side of its effect a call fails."""

    BEFORE = "before it took hold"
    AFTER = "after it took hold"


class Crash(BaseException):
    """The process has ended here: nothing below may catch it, and the test drops what was in
    memory."""


class Switches:
    """The faults that were ordered, by the name of the method they hit. Each hits once."""

    def __init__(self) -> None:
        self._faults: dict[str, list[tuple[When, BaseException]]] = {}

    def fail(
        self,
        method: str,
        when: When = When.BEFORE,
        error: BaseException | None = None,
        times: int = 1,
    ) -> None:
        """Let the next `times` calls of `method` fail."""
        self._faults.setdefault(method, []).extend(
            [(when, error or Unreachable(f"{method} got no answer"))] * times
        )

    @contextmanager
    def effect(self, method: str) -> Iterator[None]:
        """Run a block that has the effect of `method`."""
        ordered = self._faults.get(method)
        when, error = ordered.pop(0) if ordered else (None, None)
        if error and when is When.BEFORE:
            raise error
        yield
        if error:
            raise error


# The authority


class FakeAuthority(Authority):
    """An authority in memory, whose tokens are real: `root` is the certificate that they lead
    to."""

    def __init__(
        self, name: str, clock: Callable[[], datetime], switches: Switches | None = None
    ) -> None:
        self.switches = switches or Switches()
        self.stamped: list[bytes] = []
        self._name = name
        self._clock = clock
        self._root_key, self._key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        now = clock() - timedelta(days=1)
        issuer, subject = _name(f"fake root of {name}"), _name(f"fake authority {name}")
        root = _certificate(
            issuer, issuer, self._root_key.public_key(), self._root_key, now, is_ca=True
        )
        self._certificate = _certificate(
            subject, issuer, self._key.public_key(), self._root_key, now, is_ca=False
        )
        self.root = TrustedRoot(
            root.public_bytes(serialization.Encoding.DER),
            f"fake authority {name}",
            Assurance.PRIVATE,
        )

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def stamp(self, root: bytes, algorithm: str = "sha256") -> Stamp:
        if len(root) != {"sha256": 32, "sha384": 48, "sha512": 64}.get(algorithm):
            raise InvalidInput(f"{len(root)} bytes are no digest under {algorithm}")
        with self.switches.effect("stamp"):
            self.stamped.append(root)
            return Stamp(self._token(root, algorithm, len(self.stamped)))

    def _token(self, root: bytes, algorithm: str, serial: int) -> bytes:
        issued = asn1_x509.Certificate.load(
            self._certificate.public_bytes(serialization.Encoding.DER)
        )
        content = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": "2.25.1",
                "message_imprint": {
                    "hash_algorithm": {"algorithm": algorithm},
                    "hashed_message": root,
                },
                "serial_number": serial,
                "gen_time": self._clock().replace(microsecond=0),
                "accuracy": {"seconds": 1},
            }
        ).dump()
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "message_digest", "values": [sha256(content).digest()]},
                {
                    "type": "signing_certificate_v2",
                    "values": [{"certs": [{"cert_hash": sha256(issued.dump()).digest()}]}],
                },
            ]
        )
        names_issuer = {"issuer": issued.issuer, "serial_number": issued.serial_number}
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier(name="issuer_and_serial_number", value=names_issuer),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": self._key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
        }
        signed = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {
                "content_type": "tst_info",
                "content": cms.ParsableOctetString(content),
            },
            "certificates": [issued],
            "signer_infos": [signer],
        }
        return bytes(
            cms.ContentInfo(
                {"content_type": "signed_data", "content": cms.SignedData(signed)}
            ).dump()
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    is_ca: bool,
) -> x509.Certificate:
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder(
            issuer, subject, key, x509.random_serial_number(), now, now + timedelta(days=3650)
        )
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_ca, key_cert_sign=is_ca, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not is_ca:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
        )
    return builder.sign(signer, hashes.SHA256())


# The chain


class FakeChain(Chain):
    """A chain in memory with one account.

    Its headers and state proofs are real; its transactions are RLP lists of a nonce, an offer and
    roots.

    A block is final once `confirmations` blocks stand on it: `mine` makes an empty one. `anchored`
    counts the transactions that were carried out for each root, those of strangers left out.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], datetime],
        switches: Switches | None = None,
        confirmations: int = 0,
    ) -> None:
        self.switches = switches or Switches()
        self.confirmations = confirmations
        self.anchored: dict[bytes, int] = {}
        self.nonce = 0
        self._name = name
        self._clock = clock
        self._blocks: list[bytes] = []
        self._records: dict[bytes, tuple[int, int, bytes]] = {}
        self._transactions: dict[bytes, int] = {}
        self._spent: dict[int, int] = {}
        self.pool: list[SignedTransaction] = []
        self.noted: list[Message] = []
        self.is_stuck = False
        """Whether transactions are taken and not put into blocks."""
        self.is_dear = False
        """Whether the market asks for more than what was offered."""
        self.mine()

    @property
    @override
    def name(self) -> str:
        return self._name

    def mine(self) -> None:
        """Make a block of what is recorded so far."""
        number = len(self._blocks)
        state_root, _, _ = self._state(number)
        parent = keccak256(self._blocks[-1]) if self._blocks else bytes(32)
        time = int(self._clock().timestamp())
        roots = [parent, bytes(32), bytes(20), state_root, bytes(32), bytes(32)]
        self._blocks.append(
            rlp.encode(
                [*roots, bytes(256), 0, number, 30_000_000, 0, time, b"", bytes(32), bytes(8)]
            )
        )

    def anchor_as_stranger(self, root: bytes) -> None:
        """Let somebody else anchor `root`."""
        self._record(root, bytes(range(20)))
        self.mine()

    @override
    def troubles(self) -> list[Message]:
        return self.noted

    @override
    def recent_block(self) -> Block:
        with self.switches.effect("recent_block"):
            number = self._final()
        return Block(CHAIN_ID, number, keccak256(self._blocks[number]), self._blocks[number])

    @override
    def standing(self, root: bytes, transaction: SignedTransaction | None) -> Standing:
        with self.switches.effect("standing"):
            record, final = self._records.get(root), self._final()
            if record:
                return Standing.FINAL if record[0] <= final else Standing.UNSETTLED
            if transaction is None or transaction.nonce >= self.nonce:
                return Standing.ABSENT
            return Standing.LOST if self._spent[transaction.nonce] <= final else Standing.UNSETTLED

    @override
    def sign(
        self, roots: Sequence[bytes], replaced: SignedTransaction | None = None
    ) -> SignedTransaction | None:
        with self.switches.effect("sign"):
            if replaced and not self.is_dear:
                return None
            nonce, offer = (
                (replaced.nonce, 1 + int(rlp.decode(replaced.raw)[1].hex() or "0", 16))
                if replaced
                else (self.nonce, 0)
            )
            raw = bytes(rlp.encode([nonce, offer, list(roots)]))
            return SignedTransaction(raw, keccak256(raw), SUBMITTER, nonce)

    @override
    def send(self, transaction: SignedTransaction) -> None:
        try:
            sedes = rlp.sedes.List(
                [
                    rlp.sedes.big_endian_int,
                    rlp.sedes.big_endian_int,
                    rlp.sedes.CountableList(rlp.sedes.Binary.fixed_length(32)),
                ]
            )
            nonce, _, roots = rlp.decode(transaction.raw, sedes)
        except rlp.exceptions.RLPException as error:
            raise InvalidInput("this is no transaction") from error
        with self.switches.effect("send"):
            if transaction.hash in self._transactions:
                return
            if nonce != self.nonce:
                raise Conflict(f"the transaction has nonce {nonce}, the account is at {self.nonce}")
            self.pool.append(transaction)
            if not self.is_stuck:
                self._carry_out(transaction, roots)

    def _carry_out(self, transaction: SignedTransaction, roots: Sequence[bytes]) -> None:
        self._spent[self.nonce] = len(self._blocks)
        self.nonce += 1
        self._transactions[transaction.hash] = len(self._blocks)
        for root in roots:
            self.anchored[root] = self.anchored.get(root, 0) + 1
            self._record(root, SUBMITTER)
        self.mine()

    def spend_nonce(self) -> None:
        """Let another transaction of our account be carried out: what was signed and not sent can
        never be."""
        self._spent[self.nonce] = len(self._blocks)
        self.nonce += 1
        self.mine()

    def carry_out_newest(self) -> None:
        """Make a block of the newest transaction that was sent while the chain was stuck."""
        transaction = self.pool[-1]
        self._carry_out(transaction, rlp.decode(transaction.raw)[2])

    def reorganise(self, depth: int) -> None:
        """Take the newest `depth` blocks back, with all that they did."""
        length = len(self._blocks) - depth
        del self._blocks[length:]
        self._records = {
            root: record for root, record in self._records.items() if record[0] < length
        }
        self.anchored = {
            root: 1 for root, record in self._records.items() if record[2] == SUBMITTER
        }
        self._transactions = {
            hash_: block for hash_, block in self._transactions.items() if block < length
        }
        self._spent = {nonce: block for nonce, block in self._spent.items() if block < length}
        self.nonce = len(self._spent)

    @override
    def collect(self, root: bytes, transactions: Sequence[SignedTransaction]) -> Anchor | None:
        with self.switches.effect("collect"):
            number = self._final()
            record = self._records.get(root)
            if record is None or record[0] > number:
                return None
            _, accounts, storage = self._state(number)
            header = self._blocks[number]
            ours = [
                each.hash for each in transactions if self._transactions.get(each.hash) == record[0]
            ]
            return Anchor(
                chain_id=CHAIN_ID,
                contract=CONTRACT_ADDRESS,
                transaction=ours[0] if ours else None,
                block_number=number,
                block_hash=keccak256(header),
                state=StateProof(
                    header,
                    _nodes(accounts, keccak256(CONTRACT_ADDRESS)),
                    _nodes(storage, keccak256(slot_of(root))),
                ),
            )

    def trusted_blocks(self) -> tuple[TrustedBlock, ...]:
        """Return every block of this chain, as one who runs a node of it trusts them."""
        return tuple(
            TrustedBlock(keccak256(header), "the fake chain says so", CHAIN_ID, number)
            for number, header in enumerate(self._blocks)
        )

    def _final(self) -> int:
        return max(0, len(self._blocks) - 1 - self.confirmations)

    def _record(self, root: bytes, submitter: bytes) -> None:
        # As in the contract, the first time stays.
        self._records.setdefault(
            root, (len(self._blocks), int(self._clock().timestamp()), submitter)
        )

    def _state(self, number: int) -> tuple[bytes, Any, Any]:
        storage = HexaryTrie({})
        for root, (block, time, submitter) in self._records.items():
            if block <= number:
                word = int.from_bytes(submitter) << 96 | block << 48 | time
                storage[keccak256(slot_of(root))] = rlp.encode(word)
        accounts = HexaryTrie({})
        accounts[keccak256(CONTRACT_ADDRESS)] = rlp.encode(
            [1, 0, storage.root_hash, CONTRACT_CODE_HASH]
        )
        return accounts.root_hash, accounts, storage


def _nodes(trie: Any, key: bytes) -> tuple[bytes, ...]:
    nodes = [rlp.encode(node) for node in trie.get_proof(key)]
    return tuple(node for depth, node in enumerate(nodes) if depth == 0 or len(node) >= 32)


# The file store


class FakeFileStore(FileStore):
    """A file store in memory."""

    def __init__(self, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.blocks: dict[str, bytes] = {}

    @override
    def add(self, file: Path) -> str:
        try:
            before, content = file.stat(), file.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"there is no file {file}") from None
        except OSError as error:
            raise InvalidInput(f"cannot read {file}") from error
        with self.switches.effect("add"):
            if file.stat().st_mtime_ns != before.st_mtime_ns:
                raise InvalidInput(f"{file} changed while it was read")
            chunks = (content[i : i + CHUNK] for i in range(0, len(content), CHUNK))
            return str(
                store_chunks(chunks, lambda cid, block: self.blocks.__setitem__(str(cid), block))
            )

    @override
    def read(self, cid: str, out: Path) -> None:
        with self.switches.effect("read"):
            out.write_bytes(
                b"".join(
                    block for part, block in walk(parse_cid(cid), self._block) if part.codec == RAW
                )
            )

    def _block(self, cid: Cid) -> bytes:
        block = self.blocks.get(str(cid))
        if block is None:
            raise NotFound(f"block {cid} is not here")
        if sha256(block).digest() != cid.digest:
            raise Damaged(f"block {cid} is damaged")
        return block


# A ledger on fakes


class FakeWorld:
    """A home with a real store, and fakes for all else.

    What is outside (`authority`, `chain`) outlives each `open`.
    """

    @staticmethod
    def new_database() -> str | None:
        """Return the URL of an empty schema for the metadata; None for SQLite.

        Tests on PostgreSQL replace this.
        """
        return None

    def __init__(
        self, folder: Path, clock: Callable[[], datetime], limits: Limits | None = None
    ) -> None:
        self.clock = clock
        self.database = self.new_database()
        self.limits = limits or Limits(entries=1000, age=timedelta(hours=1), patience=5)
        self.pace = Pace(patience=5)
        self.authority = FakeAuthority("fake-authority", clock)
        self.chain = FakeChain("fake-chain", clock)
        self.home: Home = create_home(folder, ORIGIN, lambda _home: None, self.database)

    def copied(self, folder: Path, clock: Callable[[], datetime]) -> "FakeWorld":
        """Return this world as `clock` has it, with a copy of its home in `folder`."""
        assert self.database is None, "a schema in PostgreSQL is not copied"
        shutil.copytree(self.home.folder, folder)
        copy = deepcopy(self, {id(self.clock): clock})
        copy.home = open_home(folder)
        return copy

    @contextmanager
    def open(self, limits: Limits | None = None, **others: Any) -> Iterator[Ledger]:
        """Open the ledger as a new process would."""
        home = open_home(self.home.folder)
        metadata = Metadata.open(self.database or home.database, (limits or self.limits).patience)
        if "key" not in others:
            others["key"] = home.private_key(len(home.key_notes()))
        parts: dict[str, Any] = {
            "metadata": metadata,
            "files": BatchFiles(Folder(home.batches)),
            "witnesses": Witnesses(
                {self.authority.name: self.authority}, {self.chain.name: self.chain}, {}
            ),
            "clock": self.clock,
            "limits": limits or self.limits,
            "pace": self.pace,
        }
        try:
            yield Ledger(home, **{**parts, **others})
        finally:
            metadata.close()

    @property
    def trust(self) -> Trust:
        """What the owner of this world trusts."""
        return Trust(
            (self.authority.root,), self.chain.trusted_blocks(), (self.home.verifier_key(),)
        )


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a child process, which never returns to pytest; return its exit status: minus
    the signal, if one ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Files(dict[str, bytes]):
    """A published log in memory."""

    def fetch(self, path: str, limit: int) -> bytes:
        if path not in self:
            raise NotFound(f"{path} is not there")
        assert len(self[path]) <= limit
        return self[path]

    @classmethod
    def of(cls, folder: Path) -> "Files":
        return cls(
            {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
        )


def digests(label: str, count: int) -> list[bytes]:
    """Return `count` digests that no other label gives."""
    return [sha256(f"{label} {i}".encode()).digest() for i in range(count)]


UNANSWERED: tuple[type[WitnesstreeError], ...] = (Unreachable, BadAnswer)
"""What every method of every port may raise."""

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"a key for tests").digest())


# Durable steps


def strides(few: int) -> list[Any]:
    """Return how many steps, bytes or moments a test goes on at a time: `few` in every run, one in
    the rehearsals."""
    return [few, pytest.param(1, marks=pytest.mark.rehearsal)]


def moments(stride: int, when: When) -> Iterator[int]:
    """Yield the steps at which a test stops, without end.

    The state after one step is that before the next: both sides of one stride are other states.
    """
    return count(stride // 2 if when is When.AFTER else 0, stride)


class Steps:
    """Counts the durable steps of a process, and calls `stop` before or after the step numbered
    `at` (from 0).

    A step is a call of os.fsync, os.fdatasync, os.pwrite, os.ftruncate, os.truncate, os.replace or
    os.rename, or a commit of any SQLite connection, or one by SQLAlchemy that changed something in
    PostgreSQL.
    """

    def __init__(
        self, stop: Callable[[], None], at: int | None = None, when: When = When.BEFORE
    ) -> None:
        self.names: list[str] = []
        self._stop, self._at, self._when = stop, at, when

    def _take(self, name: str, effect: Callable[[], Any]) -> Any:
        is_last = len(self.names) == self._at
        self.names.append(name)
        if is_last and self._when is When.BEFORE:
            self._stop()
        result = effect()
        if is_last and self._when is When.AFTER:
            self._stop()
        return result

    @contextmanager
    def counted(self) -> Iterator["Steps"]:
        """Count while the block runs. Connections that are already open are not counted."""
        with pytest.MonkeyPatch.context() as patch:
            for name in (
                "fsync",
                "fdatasync",
                "pwrite",
                "ftruncate",
                "truncate",
                "replace",
                "rename",
            ):
                patch.setattr(os, name, self._counting(name, getattr(os, name)))
            patch.setattr(sqlite3, "connect", self._connecting(sqlite3.connect))
            patch.setattr(sqlite3.dbapi2, "connect", sqlite3.connect)
            patch.setattr(
                PGDialect_psycopg, "do_commit", self._committing(PGDialect_psycopg.do_commit)
            )
            yield self

    def _committing(self, commit: Callable[..., None]) -> Callable[..., None]:
        def committed(dialect: Any, connection: Any) -> None:
            driver = connection.dbapi_connection
            is_idle = driver.info.transaction_status == TransactionStatus.IDLE
            if is_idle or driver.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (
                None,
            ):
                commit(dialect, connection)
            else:
                self._take("commit", lambda: commit(dialect, connection))

        return committed

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: self._take(name, lambda: call(*args, **options))

    def _connecting(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        take = self._take

        class Connection(sqlite3.Connection):
            committed = 0

            def commit(self) -> None:
                # What only read has nothing to lose.
                if self.total_changes > self.committed:
                    self.committed = self.total_changes
                    take("commit", super().commit)
                else:
                    super().commit()

            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                call = super().execute
                is_step = sql == "COMMIT" or sql.startswith(("CREATE", "PRAGMA user_version ="))
                cursor: sqlite3.Cursor = (
                    take("commit", lambda: call(sql, *values)) if is_step else call(sql, *values)
                )
                return cursor

        return lambda *args, **options: connect(*args, **{**options, "factory": Connection})


# Where batches' files are


class MemoryFile(Stored):
    """A file as it was when it was opened, or was appended to since."""

    def __init__(self, place: "MemoryPlace", name: str) -> None:
        self._place, self._name, self._content = place, name, place.files[name]

    @override
    def size(self) -> int:
        return len(self._content)

    @override
    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._content[offset : offset + size])

    @override
    @contextmanager
    def mapped(self, size: int) -> Iterator[bytes]:
        if size > len(self._content):
            raise ValueError("fewer bytes than were asked for")
        yield bytes(self._content[:size])

    @override
    def is_current(self) -> bool:
        return self._place.files.get(self._name) is self._content


class MemoryPlace(Place):
    """A store of objects in memory: a name leads to whole bytes, new bytes are another."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.switches = Switches()

    @override
    def path(self, name: str) -> Path:
        return Path("memory") / name

    @override
    def create(self, name: str, *pieces: bytes | memoryview) -> None:
        if name in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        with self.switches.effect("create"):
            self.files[name] = bytearray(b"".join(pieces))

    @override
    def overwrite(self, name: str, offset: int, piece: bytes) -> None:
        before = self.files[name]
        assert len(before) >= offset + len(piece), "behind what was never written"
        with self.switches.effect("overwrite"):
            after = before[:offset] + piece + before[offset + len(piece) :]
            self.files[name] = bytearray(after)

    @override
    def set_aside(self, name: str) -> None:
        if name in self.files:
            with self.switches.effect("set_aside"):
                self.files[f"{name}.aside-{len(self.files)}"] = self.files.pop(name)

    @override
    def append(self, name: str, offset: int, *pieces: bytes | memoryview) -> None:
        before = self.files.get(name, bytearray())
        assert len(before) >= offset, "behind what was never written"
        with self.switches.effect("append"):
            self.files[name] = bytearray(before[:offset]) + b"".join(pieces)

    @override
    def cut(self, name: str, size: int) -> None:
        if len(self.files.get(name, b"")) > size:
            with self.switches.effect("cut"):
                self.files[name] = self.files[name][:size]

    @override
    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        file = io.BytesIO()
        yield file
        with self.switches.effect("writing"):
            self.files[name] = bytearray(file.getbuffer())

    @override
    def reading(self, name: str) -> MemoryFile:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return MemoryFile(self, name)

    @override
    def names(self, folder: str) -> list[str]:
        return [name for name in self.files if name.startswith(f"{folder}/")]

    @override
    def remove(self, *names: str) -> None:
        with self.switches.effect("remove"):
            for name in names:
                self.files.pop(name, None)

    @override
    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"
            copy.write_bytes(self.reading(name)._content)
            yield copy
