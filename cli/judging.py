"""Whom a verification on the command line trusts, and what is judged: proofs, files of proofs.

It imports neither web3 nor the metadata store, and opens no connection unless a node is named.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.anchor.extras import CHAINS, LEDGER, require_extra
from witnesstree.cli.options import default_home, note, say
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.errors import InvalidInput, OverLimit, WitnesstreeError
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from witnesstree.anchor.evm.finality import Finality
    from witnesstree.ledger.base.report import Report
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.proof.bundle import Bundle
    from witnesstree.ledger.proof.kinds import Brought
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.trust import Trust, TrustedBlock, TrustedRoot
    from witnesstree.ledger.verify.verify import Verifier

WORTH_WATCHING = 100 * 10**6
"""Bytes in a file whose hashing takes long enough for a progress bar."""

_BLOCK = re.compile(r"(?:([0-9]{1,16}):(?:([0-9]{1,16}):)?)?(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked on the command line: whom to trust, what is required, and the time that holds
    for all files of a run. `home` was named; `own` is where the environment says that the user's
    own ledger is.
    """

    pem: tuple[Path, ...]
    block_hashes: tuple[str, ...]
    checkpoint_keys: tuple[str, ...]
    nodes: tuple[str, ...]
    home: Path | None
    require: str
    now: datetime
    own: Path | None = None


class Judge:
    """Judges the proofs of one run. What the home and nodes say is asked once a batch; `trust` is
    what was given, and the user's own. Where no home is named, the user's own ledger is asked about
    its own proofs, and with `says` that is told.
    """

    def __init__(self, asked: Asked, *, says: bool = True) -> None:
        from witnesstree.ledger.verify.verify import KEPT

        if asked.home:
            from witnesstree.ledger.store.disk import require_locks

            # Where the system lacks these, no home is kept, nor read.
            require_locks()
        self.asked, self._says = asked, says
        self.trust = given_trust(asked.pem, asked.block_hashes, asked.checkpoint_keys)
        self._own = None if asked.home else own_home(asked)
        self._plain = self._verifier(self.trust)
        self._informed = lru_cache(KEPT)(self._ask)

    def roots(self) -> Trust:
        """Return whom to trust where a proof does not say whose ledger it is of: what was given,
        and the embedded authority of the home.
        """
        home = self.asked.home or self._own
        if home is None:
            return self.trust
        from witnesstree.cli.homes import home_roots

        try:
            return self.trust | home_roots(home)
        except WitnesstreeError:
            # Nobody asked for the user's own.
            if self.asked.home:
                raise
            return self.trust

    def read(self, content: bytes, file: Path) -> tuple[Proof, dict[str, bytes]] | None:
        """Return the proof in `content`, and the digests of `file` that records in it ask for; None
        if that is no proof.

        Raises InvalidInput if a record asks for a digest, and `file` cannot be read.
        """
        try:
            proof = self._plain.parse(content)
        except InvalidInput:
            return None
        return proof, _digests_for(proof, file)

    def judge(
        self, digest: bytes, content: bytes, read: tuple[Proof, dict[str, bytes]] | None
    ) -> Report:
        """Return what a proof file proves about a file that has this digest; `read` is what `read`
        returned of both.
        """
        if read is None:
            return self._plain.verify(digest, content)
        proof, digests = read
        return self._knowing(proof).verify_proof(digest, proof, digests=digests)

    def judge_in(self, bundle: Bundle, digest: bytes, position: int | None) -> Report:
        """Return what a batch's proofs prove about a file with this digest, which stands at
        `position`, or nowhere.
        """
        return self._knowing(bundle.shared).verify_in(bundle, digest, position)

    def judge_batch(self, bundle: Bundle, advance: Callable[[int], None]) -> Report:
        """Return what a batch's proofs prove about each digest in it."""
        return self._knowing(bundle.shared).verify_batch(bundle.shared, bundle.fault(advance))

    def _verifier(self, trust: Trust) -> Verifier:
        from witnesstree.ledger.verify.verify import Require, Verifier

        return Verifier(trust, self.asked.now, Require(self.asked.require))

    def _knowing(self, proof: Proof) -> Verifier:
        if not (self.asked.home or self.asked.nodes or self._own):
            return self._plain
        from witnesstree.ledger.proof.proof import Hints

        # All that a home and a node are asked about.
        at = proof.inclusion and replace(proof.inclusion, position=0, path=())
        return self._informed(
            replace(
                proof,
                digest=b"",
                inclusion=at,
                hints=Hints(),
                records=(),
                digests=(),
                file_tokens=(),
                extensions=(),
            )
        )

    def _ask(self, proof: Proof) -> Verifier:
        trust = self.trust
        if self.asked.home:
            from witnesstree.cli.homes import trust_of_home

            trust |= trust_of_home(self.asked.home, proof)
        elif self._own:
            from witnesstree.cli.homes import trust_of_own

            if own := trust_of_own(self._own, proof):
                trust |= own
                self._tell_of_own()
        if self.asked.nodes:
            home = self.asked.home or (self._own if self.asked.own else None)
            trust |= _trust_of_nodes(self.asked.nodes, proof, home)
        return self._verifier(trust)

    def _tell_of_own(self) -> None:
        """Say, behind the answer and once, that the user's own ledger was asked."""
        if self._says:
            self._says = False
            said = partial(say, "own-ledger-asked", home=self._own)
            click.get_current_context().call_on_close(said)


def _digests_for(proof: Proof, file: Path) -> dict[str, bytes]:
    """Return the file's digests under the other hash algorithms that its proof speaks of, and
    evidence records and tokens over the file in it.
    """
    if proof.is_shared:
        return {}
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.tokens.token import parse_token

    asked = {algorithm for algorithm, _ in proof.digests}
    # What cannot be read is told by the report.
    for record in proof.records:
        with suppress(InvalidInput):
            asked.update(parse_record(record).algorithms)
    for stamp in proof.file_tokens:
        with suppress(InvalidInput):
            asked.add(parse_token(stamp.token).imprint_algorithm)
    asked.discard("sha256")
    return file_digests(file, sorted(asked)) if asked else {}


# Files


def holds_proofs(path: Path) -> bool:
    """Whether a file begins as all proofs of a batch do."""
    from witnesstree.ledger.proof.bundle import MAGIC

    try:
        # Asked first: opening a pipe waits for whoever writes to it.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def opened_proofs(path: Path) -> Iterator[Bundle]:
    """Open all proofs of a batch. Raises InvalidInput if they cannot be read."""
    from witnesstree.ledger.proof.bundle import open_bundle

    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise InvalidInput("proofs-unreadable", path=path, error=error) from error
    with file:
        yield open_bundle(file)


def require_regular(proof: Path) -> None:
    """Raise InvalidInput if a proof that nobody named is no regular file: reading a pipe waits for
    whoever writes to it.
    """
    with suppress(OSError):
        if not stat.S_ISREG(proof.stat().st_mode):
            raise InvalidInput("proof-not-regular", name=proof.name)


def read_limited(path: Path, code: str = "proof-file-unreadable") -> bytes:
    """Return the bytes of a proof or an evidence record, and not much more than either may have.

    Raises InvalidInput if it cannot be read.
    """
    from witnesstree.ledger.proof.proof import MAX_PROOF

    try:
        with path.open("rb") as file:
            return file.read(MAX_PROOF + 1)
    except OSError as error:
        raise InvalidInput(code, path=path, error=error) from error


def brought(path: Path) -> Brought:
    """Return what was brought as a proof. Raises InvalidInput if it cannot be read, or is nothing
    that we judge; a token or a record that is damaged is nothing, either. Of a record that has more
    than we judge the report says so.
    """
    from witnesstree.ledger.proof.kinds import Kind, recognise

    content = read_limited(path)
    try:
        found = recognise(content)
        if found.kind is Kind.TOKEN:
            from witnesstree.ledger.tokens.token import parse_token

            parse_token(found.content)
        elif found.kind is Kind.RECORD:
            from witnesstree.ledger.proof.record import parse_record

            with suppress(OverLimit):
                parse_record(found.content)
    except InvalidInput as error:
        raise InvalidInput("not-judged", path=path, error=error) from error
    return found


def file_digests(file: Path, algorithms: Iterable[str]) -> dict[str, bytes]:
    """Return the file's digest under each algorithm that is known here, from one reading.

    Raises InvalidInput if it is no regular file, cannot be read, or changes meanwhile.
    """
    from witnesstree.ledger.base.digest import CHUNK, same_file
    from witnesstree.ledger.tokens.signature import HASHES

    hashes = {name: HASHES[name]() for name in algorithms if name in HASHES}
    try:
        before = file.stat()
        if not stat.S_ISREG(before.st_mode):
            raise InvalidInput("not-a-regular-file", path=file)
        watched = before.st_size if before.st_size > WORTH_WATCHING else 0
        with (
            file.open("rb", buffering=0) as content,
            progress("hashing", watched, is_bytes=True) as advance,
        ):
            while piece := content.read(CHUNK):
                for hashed in hashes.values():
                    hashed.update(piece)
                advance(len(piece))
            is_same = same_file(before, os.fstat(content.fileno())) and same_file(
                before, file.stat()
            )
    except OSError as error:
        raise InvalidInput("file-unreadable", path=file, error=error) from error
    if not is_same:
        raise InvalidInput("file-changed", path=file)
    return {name: hashed.digest() for name, hashed in hashes.items()}


# Trust


def given_trust(
    pem: tuple[Path, ...], block_hashes: tuple[str, ...], checkpoint_keys: tuple[str, ...]
) -> Trust:
    """Return what was given on the command line, and what the user's trust store holds."""
    from witnesstree.anchor.truststore import read_trust, trust_folder
    from witnesstree.ledger.trust import Trust

    roots = tuple(root for path in pem for root in _read_roots(path))
    blocks = tuple(_parse_block(text) for text in block_hashes)
    return Trust(roots, blocks, tuple(parse_key(text) for text in checkpoint_keys)) | read_trust(
        trust_folder()
    )


def _read_roots(path: Path) -> list[TrustedRoot]:
    from cryptography.hazmat.primitives.serialization import Encoding

    from witnesstree.anchor.truststore import certificates_in
    from witnesstree.anchor.tsa.standin import is_stand_in
    from witnesstree.ledger.base.report import Assurance
    from witnesstree.ledger.trust import TrustedRoot

    return [
        TrustedRoot(
            certificate.public_bytes(Encoding.DER),
            str(path),
            Assurance.LOCAL if is_stand_in(certificate) else Assurance.PRIVATE,
        )
        for certificate in certificates_in(path)
    ]


def _parse_block(text: str) -> TrustedBlock:
    from witnesstree.ledger.trust import TrustedBlock

    found = _BLOCK.fullmatch(text)
    if not found:
        raise InvalidInput("bad-block-hash", text=repr(text[:90]))
    return TrustedBlock(
        bytes.fromhex(found[3]),
        message("block-given"),
        int(found[1]) if found[1] else None,
        int(found[2]) if found[2] else None,
    )


def note_strangers(block_hashes: tuple[str, ...], proof: Proof) -> None:
    """Tell which of the given blocks the proof does not name: mistyped, or of a proof whose block
    is not the chain's. Where the number was given, the report says that the hash is another.
    """
    from witnesstree.ledger.log.opening import parse_opening

    try:
        opening = parse_opening(proof.opening.record) if proof.opening else None
    except InvalidInput:
        # The report says it.
        return
    named = {(anchor.chain_id, anchor.block_number, anchor.block_hash) for anchor in proof.anchors}
    if opening and opening.block:
        named.add((opening.block.chain_id, opening.block.number, opening.block.hash))
    for text in block_hashes:
        given = _parse_block(text)
        if not any(
            given.chain_id in {None, chain_id}
            and (given.number == number if given.number is not None else given.hash == hash_)
            for chain_id, number, hash_ in named
        ):
            say("block-not-in-proof", block=text)


def parse_key(text: str) -> VerifierKey:
    """Return the ledger key that `text` is, or that the file of this name holds.

    Raises InvalidInput if it is neither.
    """
    from witnesstree.ledger.log.note import parse_verifier_key

    try:
        return parse_verifier_key(text_or_file(text))
    except InvalidInput as error:
        raise InvalidInput("bad-checkpoint-key", error=error) from error


def text_or_file(text: str) -> str:
    """Return `text`, or the content of the file that it names.

    Raises InvalidInput if it is neither.
    """
    try:
        if "+" not in text:
            with Path(text).open(encoding="utf-8-sig") as file:
                return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("neither-key-nor-file", text=text[:100]) from error
    return text.strip()


def own_home(asked: Asked) -> Path | None:
    """Return the home that every other command uses where none is named, if it is there."""
    from witnesstree.ledger.base.system import has_locks

    home = asked.own or default_home()
    # Where the system has no locks, no ledger is kept.
    return home if has_locks() and home.is_dir() else None


def _trust_of_nodes(nodes: tuple[str, ...], proof: Proof, home: Path | None) -> Trust:
    require_extra(CHAINS)
    from witnesstree.anchor.evm.check import ask_nodes

    finality: Mapping[int, Finality] = {}
    if home:
        # Settings are the ledger's.
        require_extra(LEDGER)
        from witnesstree.anchor.trust import finality_in

        finality = finality_in(home)
    testimony = ask_nodes(nodes, proof, finality)
    for said in testimony.notes:
        note(said)
    return testimony.trust
