"""`witnesstree verify`: check a file against its proof or its evidence record.

It imports neither web3 nor the metadata store, and opens no connection.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from witnesstree.cli.options import HOME_ENVVAR, PATH, answer, json_option, laid_out, say
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Outcome, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.proof.bundle import Bundle
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.trust import Trust, TrustedBlock, TrustedRoot
    from witnesstree.ledger.verify.verify import Verifier

# 1 and 2 are taken: Python and click exit with them when the question was never put.
EXIT_CODES = {Verdict.VERIFIED: 0, Verdict.FAILED: 3, Verdict.UNDECIDED: 4}
COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.UNKNOWN: "yellow"}
OUTCOME = len(Outcome.UNKNOWN.name)
VERDICT_COLOURS = {Verdict.VERIFIED: "green", Verdict.FAILED: "red", Verdict.UNDECIDED: "yellow"}
WORTH = {
    "LOCAL": "local: it proves nothing to a third party",
    "PRIVATE": "private",
    "PUBLIC": "public",
}

DER = b"\x30"
"""What an evidence record starts with (a SEQUENCE), and no JSON object does."""
WORTH_WATCHING = 100 * 10**6
"""Bytes in a file whose hashing takes long enough for a progress bar."""
MAX_PEM = 2**20
"""Bytes in a file of trusted certificates: all the roots that browsers trust take a quarter of
that."""

_BLOCK = re.compile(r"(?:([0-9]{1,16}):)?(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


@click.command("verify", short_help="Check a file against its proof.")
@click.argument("files", metavar="FILE|FOLDER...", nargs=-1, required=True, type=PATH)
@click.option(
    "--proof",
    "proof_path",
    type=PATH,
    help=(
        "The proof, all proofs of a batch (`witnesstree proof --all`), or an evidence record (RFC"
        " 4998).  [default: FILE.proof.json]"
    ),
)
@click.option(
    "--trust",
    "pem",
    multiple=True,
    type=PATH,
    help="Trust the certificates in this PEM file to vouch for authorities.",
)
@click.option(
    "--block-hash",
    "block_hashes",
    multiple=True,
    metavar="[CHAIN_ID:]HASH",
    help="Trust this block, looked up on an explorer; without its chain it is worth less.",
)
@click.option(
    "--rpc",
    "nodes",
    multiple=True,
    metavar="URL",
    help="Ask this node of the chain which blocks are part of it; your own is worth most.",
)
@click.option(
    "--checkpoint-key",
    "checkpoint_keys",
    multiple=True,
    help="Expect this ledger key: the text, or a file that holds it.",
)
@click.option(
    "--home",
    type=PATH,
    envvar=HOME_ENVVAR,
    help="Trust what this ledger's own folder says.  [env: WITNESSTREE_HOME]",
)
@click.option(
    "--require",
    type=click.Choice(["token", "anchor", "both"]),
    default="both",
    show_default=True,
    help="The witnesses that must be there.",
)
@json_option
@click.pass_context
def verify_command(
    ctx: click.Context,
    files: tuple[Path, ...],
    proof_path: Path | None,
    *,
    pem: tuple[Path, ...],
    block_hashes: tuple[str, ...],
    nodes: tuple[str, ...],
    checkpoint_keys: tuple[str, ...],
    home: Path | None,
    require: str,
    as_json: bool,
) -> None:
    """Check that FILE is what its proof says it is.

    Reads the file, its proof and whom you trust (`witnesstree trust list`), and never the network,
    unless --rpc names a node. Exits with 0 when everything asked for passed, 3 when something
    failed, 4 when nothing failed but something could not be decided.

    Of several files, and of all in a FOLDER, it says which are not verified and why; the worst
    verdict decides. Links to folders are not followed. FILE may also be all proofs of a batch,
    without --proof: then the verdict is for every digest in it.

    An evidence record (.ers) has timestamps only: of anchors and checkpoints nothing is asked then,
    and --require must not ask for them.

    \b
    Example:
        witnesstree verify interview.mp4 --trust authority.pem --block-hash 1:0x9f3c…
        witnesstree verify case-17 --proof batch.proofs
    """
    asked = Asked(pem, block_hashes, checkpoint_keys, nodes, home, require, datetime.now(UTC))
    if len(files) > 1 or os.path.isdir(files[0]):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        from witnesstree.cli.folder import verify_folder

        ctx.exit(EXIT_CODES[verify_folder(files, proof_path, asked, as_json=as_json)])
    file = files[0]
    size = _size(file)
    own = Path(f"{file}.proof.json")
    if proof_path is None and not os.path.lexists(own) and holds_proofs(file):
        ctx.exit(_show_batch(file, asked, as_json=as_json))
    if proof_path is None:
        require_regular(own)
    content = read_limited(proof_path or own)
    if content.startswith(DER):
        trust = given_trust(pem, block_hashes, checkpoint_keys)
        _require_token_only(
            require, is_given=ctx.get_parameter_source("require") is ParameterSource.COMMANDLINE
        )
        report = _judge_record(file, content, trust | home_roots(home) if home else trust)
    else:
        report = _judge_proof(file, size, content, proof_path or own, asked)
    if as_json:
        answer(report_members(report))
    else:
        _print(report)
    ctx.exit(EXIT_CODES[report.verdict])


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked on the command line: whom to trust, what is required, and the time that holds
    for all files of a run.
    """

    pem: tuple[Path, ...]
    block_hashes: tuple[str, ...]
    checkpoint_keys: tuple[str, ...]
    nodes: tuple[str, ...]
    home: Path | None
    require: str
    now: datetime


class Judge:
    """Judges the proofs of one run. What the home and nodes say is asked once a batch."""

    def __init__(self, asked: Asked) -> None:
        from witnesstree.ledger.verify.verify import KEPT

        self._asked = asked
        self._trust = given_trust(asked.pem, asked.block_hashes, asked.checkpoint_keys)
        self._plain = self._verifier(self._trust)
        self._informed = lru_cache(KEPT)(self._ask)

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

        return Verifier(trust, self._asked.now, Require(self._asked.require))

    def _knowing(self, proof: Proof) -> Verifier:
        if not (self._asked.home or self._asked.nodes):
            return self._plain
        from witnesstree.ledger.proof.proof import Hints

        # All that a home and a node are asked about.
        at = proof.inclusion and replace(proof.inclusion, position=0, path=())
        return self._informed(replace(proof, digest=b"", inclusion=at, hints=Hints(), records=()))

    def _ask(self, proof: Proof) -> Verifier:
        trust = self._trust
        if self._asked.home:
            trust |= _trust_of_home(self._asked.home, proof)
        if self._asked.nodes:
            trust |= _trust_of_nodes(self._asked.nodes, proof, self._asked.home)
        return self._verifier(trust)


def _digests_for(proof: Proof, file: Path) -> dict[str, bytes]:
    """Return the file's digests under the other hash algorithms that evidence records in its proof
    ask for.
    """
    if not proof.records:
        return {}
    from witnesstree.ledger.proof.record import parse_record

    asked: set[str] = set()
    for record in proof.records:
        # One that cannot be read is told by the report.
        with suppress(InvalidInput):
            asked.update(parse_record(record).algorithms)
    asked.discard("sha256")
    return file_digests(file, sorted(asked)) if asked else {}


def _judge_proof(file: Path, size: int, content: bytes, proof_path: Path, asked: Asked) -> Report:
    from witnesstree.ledger.base.digest import digest_file
    from witnesstree.ledger.proof.bundle import MAGIC
    from witnesstree.ledger.proof.proof import parse_proof

    judge = Judge(asked)
    with ExitStack() as opened:
        bundle = (
            opened.enter_context(opened_proofs(proof_path)) if content.startswith(MAGIC) else None
        )
        if asked.block_hashes:
            with suppress(InvalidInput):
                _note_strangers(
                    asked.block_hashes, bundle.shared if bundle else parse_proof(content)
                )
        with progress("hashing", size if size > WORTH_WATCHING else 0, is_bytes=True) as advance:
            digest = digest_file(file, advance).digest
        if bundle:
            return judge.judge_in(bundle, digest, bundle.find([digest]).get(digest))
        return judge.judge(digest, content, judge.read(content, file))


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
        raise InvalidInput(
            f"cannot read the proofs {path}: {error.strerror}; check the name"
        ) from error
    with file:
        yield open_bundle(file)


def _show_batch(path: Path, asked: Asked, *, as_json: bool) -> int:
    from witnesstree.ledger.proof.bundle import nodes_in

    with opened_proofs(path) as bundle:
        if asked.block_hashes:
            _note_strangers(asked.block_hashes, bundle.shared)
        with progress("checking the tree", nodes_in(bundle.size)) as advance:
            report = Judge(asked).judge_batch(bundle, advance)
        if as_json:
            answer({**report_members(report), "digests": bundle.size})
        else:
            _print(report)
            click.echo(
                laid_out(
                    f"This is said of each of the {bundle.size:,} digests in it, the opening record"
                    " among them.",
                    0,
                )
            )
    return EXIT_CODES[report.verdict]


def _require_token_only(require: str, *, is_given: bool) -> None:
    """Refuse a policy that no evidence record can meet; where the default is left out of account,
    say so.
    """
    if require != "token":
        if is_given:
            raise InvalidInput(
                "an evidence record has no anchor: verify the proof file, or ask for --require"
                " token"
            )
        say("An evidence record holds no anchor: only its timestamps are judged.")


def _judge_record(file: Path, content: bytes, trust: Trust) -> Report:
    from witnesstree.ledger.proof.record import parse_record, verify_record

    try:
        algorithms = parse_record(content).algorithms
    except InvalidInput:
        # The report says it, and needs no digest for that.
        algorithms = ()
    return verify_record(
        content, [file_digests(file, algorithms) if algorithms else {}], trust, datetime.now(UTC)
    )


def file_digests(file: Path, algorithms: Iterable[str]) -> dict[str, bytes]:
    """Return the file's digest under each algorithm that is known here, from one reading.

    Raises InvalidInput if it is no regular file, cannot be read, or changes meanwhile.
    """
    from witnesstree.ledger.base.digest import CHUNK, same_file
    from witnesstree.ledger.tokens.signature import HASHES

    hashes = {name: hashlib.new(name) for name in algorithms if name in HASHES}
    try:
        before = file.stat()
        if not stat.S_ISREG(before.st_mode):
            raise InvalidInput(f"{file} is not a regular file: give a file")
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
        raise InvalidInput(f"cannot read {file}: {error.strerror}") from error
    if not is_same:
        raise InvalidInput(
            f"{file} changed while it was read: close the program that writes it, then run the"
            " command again"
        )
    return {name: hashed.digest() for name, hashed in hashes.items()}


def _size(file: Path) -> int:
    # Asked first: where the file's own name is misspelt, that its proof is missing would mislead.
    try:
        return file.stat().st_size
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}; check the name") from error


def require_regular(proof: Path) -> None:
    """Raise InvalidInput if a proof that nobody named is no regular file: reading a pipe waits for
    whoever writes to it.
    """
    with suppress(OSError):
        if not stat.S_ISREG(proof.stat().st_mode):
            raise InvalidInput(
                f"the proof {proof.name} is not a regular file: put the proof itself there, or name"
                " it with --proof"
            )


def read_limited(path: Path, advice: str = "name it with --proof") -> bytes:
    """Return the bytes of a proof or an evidence record, and not much more than either may have.

    Raises InvalidInput if it cannot be read.
    """
    from witnesstree.ledger.proof.proof import MAX_PROOF

    try:
        with path.open("rb") as file:
            return file.read(MAX_PROOF + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read the proof {path}: {error.strerror}; {advice}") from error


def report_members(report: Report) -> dict[str, Any]:
    """Return a report as it is written in JSON."""
    return {
        "verdict": report.verdict.value,
        "assurance": report.assurance.name.lower() if report.assurance else None,
        "not_before": format_time(report.not_before) if report.not_before else None,
        "not_after": format_time(report.not_after) if report.not_after else None,
        "checks": [
            {
                "name": check.name,
                "outcome": check.outcome.value,
                "reason": check.reason,
                "required": check.required,
            }
            for check in report.checks
        ],
    }


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
    from cryptography.x509 import load_pem_x509_certificates

    from witnesstree.anchor.tsa.local import is_stand_in
    from witnesstree.ledger.base.report import Assurance
    from witnesstree.ledger.trust import TrustedRoot

    try:
        with path.open("rb") as file:
            certificates = load_pem_x509_certificates(file.read(MAX_PEM))
        return [
            TrustedRoot(
                certificate.public_bytes(Encoding.DER),
                str(path),
                Assurance.LOCAL if is_stand_in(certificate) else Assurance.PRIVATE,
            )
            for certificate in certificates
        ]
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput(
            f"{path} holds no certificates in PEM: give the authority's root certificate in that"
            " form"
        ) from error


def _parse_block(text: str) -> TrustedBlock:
    from witnesstree.ledger.trust import TrustedBlock

    found = _BLOCK.fullmatch(text)
    if not found:
        raise InvalidInput(
            f"a block hash is 0x and 64 hex digits, or CHAIN_ID:0x…, not {text[:90]!r}"
        )
    return TrustedBlock(
        bytes.fromhex(found[2]),
        "its hash was given with --block-hash",
        int(found[1]) if found[1] else None,
    )


def _note_strangers(block_hashes: tuple[str, ...], proof: Proof) -> None:
    """Tell which of the given blocks the proof does not name: mistyped, or of a proof whose block
    is not the chain's.
    """
    from witnesstree.ledger.log.opening import parse_opening

    try:
        opening = parse_opening(proof.opening.record) if proof.opening else None
    except InvalidInput:
        # The report says it.
        return
    named = {(anchor.chain_id, anchor.block_hash) for anchor in proof.anchors}
    if opening and opening.block:
        named.add((opening.block.chain_id, opening.block.hash))
    for text in block_hashes:
        given = _parse_block(text)
        if not any(
            given.hash == hash_ and given.chain_id in {None, chain_id} for chain_id, hash_ in named
        ):
            say(
                f"The proof names no block {text}: if you typed it rightly, that is another block"
                " than the proof's."
            )


def parse_key(text: str) -> VerifierKey:
    """Return the ledger key that `text` is, or that the file of this name holds.

    Raises InvalidInput if it is neither.
    """
    from witnesstree.ledger.log.note import parse_verifier_key

    try:
        return parse_verifier_key(text_or_file(text))
    except InvalidInput as error:
        raise InvalidInput(
            "--checkpoint-key takes a ledger's key (name+id+base64), or a file that holds it:"
            f" {error}"
        ) from error


def text_or_file(text: str) -> str:
    """Return `text`, or the content of the file that it names.

    Raises InvalidInput if it is neither.
    """
    try:
        if "+" not in text:
            with Path(text).open(encoding="utf-8") as file:
                return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{text[:100]} is neither") from error
    return text.strip()


def home_roots(home: Path) -> Trust:
    """Return trust in the embedded authority of a home: an evidence record does not say whose
    ledger it is of.
    """
    from witnesstree.anchor.tsa.local import trusted_root
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.trust import Trust

    return Trust((trusted_root(open_home(home).authority),))


def _trust_of_home(home: Path, proof: Proof) -> Trust:
    from witnesstree.anchor.trust import home_trust
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.trust import Trust

    trust = home_trust(open_home(home), proof)
    if trust is None:
        say(f"The proof is not of the ledger in {home}, so nothing there is trusted for it.")
    return trust or Trust()


def _trust_of_nodes(nodes: tuple[str, ...], proof: Proof, home: Path | None) -> Trust:
    from witnesstree.anchor.evm.check import ask_nodes
    from witnesstree.anchor.trust import finality_in

    testimony = ask_nodes(nodes, proof, finality_in(home))
    for note in testimony.notes:
        say(note)
    return testimony.trust


def _print(report: Report) -> None:
    width = max(len(check.name) for check in report.checks)
    for check in report.checks:
        line = laid_out(
            f"{check.outcome.name:{OUTCOME}}  {check.name:{width}}  {check.reason}", OUTCOME + 2
        )
        click.echo(click.style(line[:OUTCOME], fg=COLOURS[check.outcome]) + line[OUTCOME:])
    click.echo(verdict_line(report))


def verdict_line(report: Report, subject: str = "") -> str:
    """Return the verdict and what it means, behind what it is about."""
    verdict = report.verdict.name
    line = laid_out(f"{subject}{verdict}{_meaning(report)}", OUTCOME + 2)
    return (
        subject
        + click.style(verdict, fg=VERDICT_COLOURS[report.verdict], bold=True)
        + line[len(subject + verdict) :]
    )


def _meaning(report: Report) -> str:
    if report.verdict is Verdict.FAILED:
        failed = next(check for check in report.checks if check.outcome is Outcome.FAILED)
        return f": {failed.reason}"
    if report.verdict is Verdict.UNDECIDED:
        unknown = next(
            check for check in report.checks if check.outcome is Outcome.UNKNOWN and check.required
        )
        return f": {unknown.reason}"
    since = f"not before {format_time(report.not_before)}, " if report.not_before else ""
    assert report.assurance
    assert report.not_after
    return (
        f" ({WORTH[report.assurance.name]}): sealed {since}not after"
        f" {format_time(report.not_after)}; the file itself may be older."
    )
