"""`witnesstree seal`: files and digests in, proofs out.

What cannot be sealed stops nothing else: it is named, with the reason, and the exit code tells.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Command
from witnesstree.cli.language import words
from witnesstree.cli.names import (
    DIRECT_ENDING,
    PROOF_ENDING,
    direct_beside,
    proof_beside,
    readable_name,
)
from witnesstree.cli.options import (
    PATH,
    answer,
    home_option,
    json_option,
    note,
    publish_option,
    say,
    tell,
)
from witnesstree.cli.outputs import (
    direct_token_at,
    is_manifest,
    manifest_name,
    media_type,
    proof_at,
    require_room,
    write_direct_token,
    write_manifest,
    write_proof,
)
from witnesstree.cli.progress import progress
from witnesstree.cli.sources import (
    DIGEST,
    Skipped,
    Source,
    find_files,
    opened_digests,
    require_means,
)
from witnesstree.ledger.base.errors import InvalidInput, Unreachable
from witnesstree.ledger.base.message import message, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from witnesstree.cli.sources import DigestFile, Files
    from witnesstree.cli.submission import Submission
    from witnesstree.ledger.base.digest import FileDigest
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.store.database.values import Job
    from witnesstree.ledger.work.lookup import Entry
    from witnesstree.ledger.work.sealing import Ledger, Receipt, Span

SKIPPED = 13
"""The exit code where all is sealed but for what is named."""
MAX_REASONS = 3
"""That are said of what could not be done; `status` says all."""
LOOK_SECONDS = 2.0
"""Between two looks whether a transaction is in a final block."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A file with its digest, and its entry once it has one. `is_new`: this run submitted it;
    `has_direct`: tokens over the file itself were asked for, and there is one at least.
    """

    source: Source
    size: int
    digest: bytes
    hashed: FileDigest | None = None
    entry: Entry | None = None
    is_new: bool = False
    cid: str | None = None
    ciphertext_digest: bytes | None = None
    has_direct: bool = False


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What was asked for beside the files."""

    proofs: Path | None
    name: str | None
    meta: dict[str, str]
    again: bool
    direct: bool
    ipfs: bool
    public: bool
    no_wait: bool
    wait: bool
    as_json: bool


@click.command("seal", cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=PATH)
@click.option("-r", "--recursive", is_flag=True)
@click.option("--digests", type=PATH, metavar="FILE")
@click.option("--proofs", type=PATH, metavar="FOLDER")
@click.option("--name")
@click.option("--meta", multiple=True, metavar="KEY=VALUE")
@click.option("--direct", is_flag=True)
@click.option("--ipfs", is_flag=True)
@click.option("--public", is_flag=True)
@click.option("--again", is_flag=True)
@click.option("--no-wait", is_flag=True)
@click.option("--wait", is_flag=True)
@publish_option
@json_option
@home_option
@click.pass_context
def seal_command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    *,
    recursive: bool,
    digests: Path | None,
    proofs: Path | None,
    name: str | None,
    meta: tuple[str, ...],
    direct: bool,
    ipfs: bool,
    public: bool,
    again: bool,
    no_wait: bool,
    wait: bool,
    publishes: bool,
    as_json: bool,
    home: Path,
) -> None:
    """Seal files: timestamp and anchor their digests, and write a proof beside each.

    Example:
        witnesstree seal -r evidence/ --name 张三_借款合同_20261123 --meta place=上海
        witnesstree seal contract.pdf --direct
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.wiring import notice, open_ledger

    wishes = _Wishes(
        proofs, name, _parse_meta(meta), again, direct, ipfs, public, no_wait, wait, as_json
    )
    _require_sense(paths, digests, wishes)
    found = find_files(paths, proofs, home, is_recursive=recursive)
    _say_passed_over(found)
    if paths and not found.sources:
        raise _nothing(found.skipped, paths)
    skipped: list[Skipped] = []
    with open_ledger(home, publishes=publishes) as ledger:
        if said := notice(read_settings(ledger.home.folder)):
            note(said)
        if digests:
            _seal_digests(ledger, digests, wishes)
        elif paths:
            skipped = _seal_files(ledger, found, paths, wishes)
            # Behind a long list what was said at its beginning is out of sight.
            if said and len(found.sources) > 1 and not as_json:
                note(said)
        else:
            _finish(ledger, wishes)
            if as_json:
                answer([])
    ctx.exit(SKIPPED if skipped else 0)


def _say_passed_over(found: Files) -> None:
    if found.proofs:
        say("proofs-passed-over", count=found.proofs)
    for path in found.left_over:
        say("left-over-passed-over", path=path)
    for folder in found.homes:
        say("home-passed-over", folder=folder)


def _say_skipped(skipped: Sequence[Skipped]) -> None:
    for each in skipped:
        say("not-sealed", reason=each.reason)


def _nothing(skipped: Sequence[Skipped], paths: tuple[Path, ...]) -> InvalidInput:
    """Return the error that there is nothing to seal; where one thing alone is why, that one."""
    if len(skipped) == 1:
        return InvalidInput(skipped[0].reason)
    _say_skipped(skipped)
    return InvalidInput("nothing-to-seal", paths=paths[:10])


def _require_sense(paths: tuple[Path, ...], digests: Path | None, wishes: _Wishes) -> None:
    """Refuse wishes that contradict each other, or that nothing would come of."""
    if digests and (
        paths or wishes.name is not None or wishes.meta or wishes.ipfs or wishes.direct
    ):
        raise InvalidInput("digests-alone")
    if wishes.public and not wishes.ipfs:
        raise InvalidInput("public-without-ipfs")
    if wishes.wait and wishes.no_wait:
        raise InvalidInput("wait-and-no-wait")
    if wishes.meta and wishes.name is None:
        raise InvalidInput("meta-without-name")
    if (wishes.name is not None or wishes.ipfs or wishes.direct) and not paths:
        raise InvalidInput("name-without-files")
    if (wishes.proofs or wishes.again or wishes.no_wait) and not (paths or digests):
        raise InvalidInput("options-without-files")
    if wishes.name is not None:
        manifest_name(wishes.name)


def _parse_meta(texts: tuple[str, ...]) -> dict[str, str]:
    meta = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidInput("bad-meta", text=repr(text[:80]))
        if key in meta:
            raise InvalidInput("meta-twice", key=repr(key[:80]))
        meta[key] = value
    return meta


# Digests without files


def _seal_digests(ledger: Ledger, path: Path, wishes: _Wishes) -> None:
    from witnesstree.cli.submission import Submission

    with opened_digests(path) as digests:
        # The whole file is read first: a fault at its end must not leave half of it sealed.
        count = digests.count()
        submission = Submission(ledger, digests.status)
        _submit_rest(submission, digests, count)
    receipt = submission.receipt
    assert receipt
    waiting = None
    if not wishes.no_wait:
        waiting = _close_and_work(ledger, wishes)
        if wishes.proofs:
            _write_digest_proofs(ledger, receipt.spans, wishes.proofs)
    if wishes.as_json:
        answer(
            {
                "count": count,
                "receipt": _receipt_members(receipt, receipt.spans),
                "sealed": not wishes.no_wait,
            }
        )
    else:
        tell(
            "digests-sealed" if not wishes.no_wait else "digests-taken",
            count=count,
            places=[
                message(
                    "span-of-batch",
                    batch=span.batch,
                    first=span.first,
                    last=span.first + span.count - 1,
                )
                for span in receipt.spans
            ],
        )
        if not (wishes.proofs or wishes.no_wait):
            say("digests-next", batch=receipt.spans[0].batch)
    # The receipt was given: from here on the same file is another submission.
    submission.forget()
    if waiting:
        raise Unreachable(waiting)


def _submit_rest(submission: Submission, digests: DigestFile, count: int) -> None:
    """Submit what an earlier run, which was cut off, has not submitted of the file yet."""
    seen = 0
    with progress("submitting", count) as advance:
        for part in digests.parts():
            if not seen:
                submission.require_same(part[:DIGEST])
                if submission.count:
                    say("submission-goes-on", count=submission.count)
            rest = memoryview(part)[max(0, submission.count - seen) * DIGEST :]
            if rest:
                submission.submit(rest)
            seen += len(part) // DIGEST
            advance(len(part) // DIGEST)


def _write_digest_proofs(ledger: Ledger, spans: Sequence[Span], folder: Path) -> None:
    from witnesstree.ledger.work.lookup import Entry

    with progress("writing-proofs", sum(span.count for span in spans)) as advance:
        for span in spans:
            for position in range(span.first, span.first + span.count):
                digest = ledger.files.digest_at(span.batch, position)
                write_proof(
                    folder / (digest.hex() + PROOF_ENDING),
                    ledger.proof_of(digest, Entry(span.batch, position, is_sealed=True)),
                )
                advance(1)


def _receipt_members(receipt: Receipt, spans: Sequence[Span]) -> dict[str, Any]:
    from witnesstree.ledger.base.clock import format_time

    members = [{"batch": span.batch, "first": span.first, "count": span.count} for span in spans]
    return {"origin": receipt.origin, "received": format_time(receipt.received), "spans": members}


# Files


def _seal_files(
    ledger: Ledger, found: Files, paths: tuple[Path, ...], wishes: _Wishes
) -> list[Skipped]:
    """Seal what can be sealed, say so, and return what could not."""
    sources, skipped = _without_direct_tokens(ledger, found.sources), list(found.skipped)
    if wishes.name is not None:
        # A manifest of an earlier run is among the files that it lists, and must not list itself.
        top = _top(sources)
        manifest = (wishes.proofs or _as_named(top, sources)) / manifest_name(wishes.name)
        sources = [source for source in sources if not is_manifest(source.path, manifest)]
        if not sources:
            raise InvalidInput("only-the-manifest", manifest=manifest)
        require_room(Source(manifest, proof_beside(manifest)))
    items = _hash(_with_room(sources, skipped), skipped)
    edited: list[Skipped] = [] if wishes.again else _edited(items)
    others = {each.path for each in edited}
    items = [item for item in items if item.source.path not in others]
    skipped += edited
    if wishes.ipfs and items:
        # Before anything is stored of what could not be sealed.
        ledger.require_newest()
        items = _store(ledger, items, skipped, public=wishes.public)
    if not items:
        if not edited:
            raise _nothing(skipped, paths)
        _print_items([], None, skipped, wishes)
        return skipped
    if wishes.name is not None:
        items.append(_manifest_item(items, top, wishes, wishes.name, manifest))
    # What is here already needs no new entry. Its proof may still be missing: an earlier run may
    # have been cut off before it wrote one.
    entries = {} if wishes.again else ledger.find({item.digest for item in items})
    known = [replace(item, entry=entries.get(item.digest)) for item in items]
    items, receipt = _submit(ledger, known)
    items, left = _work_off(ledger, items, wishes)
    _print_items(items, receipt, skipped, wishes)
    if left:
        raise Unreachable(left)
    return skipped


def _work_off(
    ledger: Ledger, items: list[_Item], wishes: _Wishes
) -> tuple[list[_Item], Message | None]:
    """Have done for the files what was asked for, write their proofs, and return the items with
    their direct tokens, and what could not be done.
    """
    unstamped = waiting = None
    if wishes.direct:
        items, unstamped = _stamp(ledger, items)
    if not wishes.no_wait and not all(_has_proof(item) for item in items):
        waiting = _close_and_work(ledger, wishes)
        with progress("writing-proofs", len(items)) as advance:
            for item in items:
                _write_item_proof(ledger, item)
                advance(1)
    for item in items:
        _add_direct_tokens(ledger, item)
    if unstamped and waiting:
        say("also-left-over", reason=unstamped)
    return items, waiting or unstamped


def _without_direct_tokens(ledger: Ledger, sources: list[Source]) -> list[Source]:
    """Return the files but for those that `seal --direct` wrote: they hold a token that this ledger
    keeps. One that others gave is evidence like any file.
    """
    from witnesstree.ledger.tokens.token import parse_token

    passed_over: set[Source] = set()
    for source in sources:
        if source.path.suffix == DIRECT_ENDING and (token := direct_token_at(source.path)):
            with suppress(InvalidInput):
                imprint = parse_token(token).imprint
                if token in [stamp.token for _, stamp in ledger.direct_tokens(imprint)]:
                    passed_over.add(source)
    if passed_over:
        say("direct-tokens-passed-over", count=len(passed_over))
    return [source for source in sources if source not in passed_over]


def _with_room(sources: list[Source], skipped: list[Skipped]) -> list[Source]:
    """Return the files whose proofs have a place, and note the others in `skipped`."""
    good = []
    known: dict[Path, tuple[int, int]] = {}
    for source in sources:
        try:
            require_room(source, known)
        except InvalidInput as error:
            skipped.append(Skipped(source.path, error.message))
        else:
            good.append(source)
    return good


def _hash(sources: list[Source], skipped: list[Skipped]) -> list[_Item]:
    """Return the files with their digests, and note in `skipped` those that have none."""
    from witnesstree.ledger.base.digest import digest_each

    items = []
    with progress(
        "hashing", sum(_size(source.path) for source in sources), is_bytes=True
    ) as advance:
        found = digest_each([source.path for source in sources], advance)
        for source, digest in zip(sources, found, strict=True):
            if isinstance(digest, InvalidInput):
                require_means(digest)
                skipped.append(Skipped(source.path, digest.message))
            elif source.inode != (digest.status.st_dev, digest.status.st_ino):
                # Another file took its place, and nobody has asked whether it is the home's.
                skipped.append(Skipped(source.path, message("file-changed", path=source.path)))
            else:
                items.append(_Item(source, digest.size, digest.digest, digest))
    return items


def _edited(items: list[_Item]) -> list[Skipped]:
    """Return those files whose proofs are of something else: somebody has changed them since."""
    edited = []
    for item in items:
        older = proof_at(item.source.proof)
        if older and older.digest != item.digest:
            said = message(
                "file-edited", path=item.source.path, proof=item.source.proof, time=_sealed(older)
            )
            edited.append(Skipped(item.source.path, said))
    return edited


def _sealed(proof: Proof) -> datetime | None:
    """Return when a proof says that its digest was sealed, for people: by its token, or else by its
    batch.
    """
    from witnesstree.ledger.log.opening import parse_opening
    from witnesstree.ledger.tokens.token import parse_token

    try:
        if proof.tokens:
            return min(parse_token(stamp.token).gen_time for stamp in proof.tokens)
        return parse_opening(proof.opening.record).opened if proof.opening else None
    except InvalidInput:
        return None


def _size(path: Path) -> int:
    # For the progress bar alone: what is wrong with a file is said when it is hashed.
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _store(
    ledger: Ledger, items: list[_Item], skipped: list[Skipped], *, public: bool
) -> list[_Item]:
    """Store the files, and note in `skipped` those that changed meanwhile."""
    from witnesstree.anchor.ipfs.evidence import store_evidence
    from witnesstree.anchor.ipfs.kubo import KuboStore
    from witnesstree.anchor.ipfs.stores import evidence_folder, open_file_store, recipients_of
    from witnesstree.anchor.settings import read_settings

    settings = read_settings(ledger.home.folder).ipfs
    recipients = () if public else recipients_of(ledger.home, settings)
    stored = []
    with (
        closing(open_file_store(ledger.home, settings)) as store,
        progress("storing", len(items)) as advance,
    ):
        note(store.notice)
        for item in items:
            advance(1)
            # The digest was taken before: digest and CID must be those of the same bytes.
            assert item.hashed
            try:
                item.hashed.require_unchanged()
                kept = store_evidence(
                    store,
                    item.source.path,
                    item.digest,
                    item.size,
                    recipients=recipients,
                    folder=evidence_folder(ledger.home),
                    public=public,
                )
                item.hashed.require_unchanged()
            except InvalidInput as error:
                skipped.append(Skipped(item.source.path, error.message))
                continue
            if isinstance(store, KuboStore):
                store.pin_remotely(kept.cid, settings.pin_services)
            stored.append(replace(item, cid=kept.cid, ciphertext_digest=kept.ciphertext_digest))
    return stored


def _top(sources: Sequence[Source]) -> str:
    """Return the deepest folder that holds all files, links unfollowed."""
    return os.path.commonpath([os.path.abspath(each.top) for each in sources])  # noqa: PTH100 - no link is followed


def _as_named(top: str, sources: Sequence[Source]) -> Path:
    """Return the folder in which the manifest goes: the one that its names begin in, but not the
    root of the file system, and relative where the files were named so.
    """
    first = sources[0].path
    if top == os.path.dirname(top):  # noqa: PTH120 - it is text
        return first.parent
    return Path(top if first.is_absolute() else os.path.relpath(top))


def _manifest_item(items: list[_Item], top: str, wishes: _Wishes, name: str, path: Path) -> _Item:
    """Write the manifest to `path`, and return it as one more file to seal; files are named by
    their paths below `top`.
    """
    from hashlib import sha256

    from witnesstree.ledger.proof.manifest import ManifestFile, escaped_name

    files: dict[str, ManifestFile] = {}
    for item in items:
        place = os.path.relpath(os.path.abspath(item.source.path), top)  # noqa: PTH100 - the same
        file = ManifestFile(
            escaped_name(os.fsencode(place)),
            item.size,
            item.digest,
            media_type(item.source.path),
            item.cid,
            item.ciphertext_digest,
        )
        if files.setdefault(file.name, file) != file:
            raise InvalidInput("manifest-name-twice")
    content = write_manifest(path, name, tuple(files.values()), wishes.meta, again=wishes.again)
    return _Item(
        Source(path, proof_beside(path)),
        len(content),
        sha256(content).digest(),
    )


def _submit(ledger: Ledger, items: list[_Item]) -> tuple[list[_Item], Receipt | None]:
    """Submit what has no entry yet, and return all items with their entries, in the same order."""
    from witnesstree.ledger.work.lookup import Entry

    new = [item.digest for item in items if item.entry is None]
    if not new:
        return items, None
    receipt = ledger.submit(b"".join(new))
    positions = iter(
        [
            (span.batch, position)
            for span in receipt.spans
            for position in range(span.first, span.first + span.count)
        ]
    )
    placed = [
        (
            item
            if item.entry
            else replace(item, entry=Entry(*next(positions), is_sealed=False), is_new=True)
        )
        for item in items
    ]
    return placed, receipt


def _stamp(ledger: Ledger, items: list[_Item]) -> tuple[list[_Item], Message | None]:
    """Have each file's own digest stamped, write a token of it beside its proof, and return the
    items, which say whether they have one, and what must be said of those that have too few.
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.work.direct import stamp_directly

    authorities = list(ledger.outbox.witnesses.authorities)
    digests = {item.digest: None for item in items}
    with progress("stamping-directly", len(digests) * len(authorities)) as advance:
        missing = stamp_directly(ledger, digests, advance=advance)
    stamped, lacking = [], set()
    required = read_settings(ledger.home.folder).required_tokens
    for item in items:
        kept = dict(ledger.direct_tokens(item.digest))
        # Of those that are asked now, the first one named.
        names = [name for name in authorities if name in kept]
        names += [name for name in kept if name not in names]
        if names:
            tokens = [kept[name].token for name in names]
            write_direct_token(direct_beside(item.source.proof), tokens)
        if len(names) < required:
            lacking.add(item.digest)
        stamped.append(replace(item, has_direct=bool(names)))
    spared = {each.authority: each.error for each in missing if each.digest not in lacking}
    for authority, error in spared.items():
        say("done-without", target=authority, error=error)
    if not lacking:
        return stamped, None
    reasons = {each.error.message for each in missing if each.digest in lacking}
    return stamped, message(
        "direct-tokens-missing", count=len(lacking), reasons=sorted(reasons, key=str)[:MAX_REASONS]
    )


def _finish(ledger: Ledger, wishes: _Wishes) -> None:
    with ledger.metadata.read() as transaction:
        is_idle = not transaction.open_batches()
    if is_idle and not ledger.outbox.unfinished():
        say("nothing-waited")
    if waiting := _close_and_work(ledger, wishes):
        raise Unreachable(waiting)


def _close_and_work(ledger: Ledger, wishes: _Wishes) -> Message | None:
    """Seal what is open, try every waiting job, and return what could not be done.

    What merely waits for a final block is said, too.
    """
    ledger.close()
    jobs = ledger.outbox.unfinished()
    failures: dict[tuple[int, str, str], Message] = {}

    def keep(job: Job, error: Message | None) -> None:
        failures.pop((job.sequence, job.kind, job.target), None)
        if error:
            failures[job.sequence, job.kind, job.target] = error

    with progress("stamping-and-anchoring", len(jobs)) as advance:
        # What it returns may belong to a batch that another process sealed meanwhile: that process
        # does those jobs.
        mine, done, is_again = {job.sequence for job in jobs}, 0, False
        while True:
            unfinished = [
                job for job in ledger.outbox.work(keep, due_only=is_again) if job.sequence in mine
            ]
            advance(len(jobs) - len(unfinished) - done)
            done = len(jobs) - len(unfinished)
            if not (wishes.wait and ledger.outbox.required(unfinished)):
                break
            sleep(LOOK_SECONDS)
            is_again = True
    needed = {
        (job.sequence, job.kind, job.target)
        for job in ledger.outbox.required(ledger.outbox.unfinished())
    }
    for place in [place for place in failures if place not in needed]:
        say("done-without", target=place[2], error=failures.pop(place))
    if failures:
        reasons = sorted(set(failures.values()), key=str)[:MAX_REASONS]
        return message("jobs-failed", count=len(failures), reasons=reasons)
    if unfinished := [job for job in unfinished if (job.sequence, job.kind, job.target) in needed]:
        say("sent-not-final", targets=sorted({job.target for job in unfinished}))
    return None


def _has_proof(item: _Item) -> bool:
    """Whether a whole proof of this very file stands where it belongs."""
    proof = proof_at(item.source.proof)
    return (
        not item.is_new and proof is not None and proof.digest == item.digest and not proof.missing
    )


def _write_item_proof(ledger: Ledger, item: _Item) -> None:
    if _has_proof(item):
        return
    assert item.entry
    entry = replace(item.entry, is_sealed=True)
    proof = ledger.proof_of(item.digest, entry)
    hints = replace(proof.hints, name=readable_name(item.source.path), size=item.size, cid=item.cid)
    write_proof(item.source.proof, replace(proof, hints=hints))


def _add_direct_tokens(ledger: Ledger, item: _Item) -> None:
    """Add a file's direct tokens to a proof of it that was written without them."""
    from witnesstree.ledger.proof.proof import MAX_WITNESSES

    proof = proof_at(item.source.proof) if item.has_direct else None
    if proof is None or proof.digest != item.digest:
        return
    kept = (stamp for _, stamp in ledger.direct_tokens(item.digest))
    stamps = tuple(dict.fromkeys((*proof.file_tokens, *kept)))[:MAX_WITNESSES]
    if stamps != proof.file_tokens:
        write_proof(item.source.proof, replace(proof, file_tokens=stamps))


def _print_items(
    items: list[_Item], receipt: Receipt | None, skipped: list[Skipped], wishes: _Wishes
) -> None:
    _say_skipped(skipped)
    if wishes.as_json:
        answer(
            {
                "receipt": _receipt_members(receipt, receipt.spans) if receipt else None,
                "files": [_item_members(item, wishes) for item in items],
                "skipped": [
                    {"path": str(each.path), "reason": words(each.reason), **to_json(each.reason)}
                    for each in skipped
                ],
            }
        )
        return
    for item in items:
        assert item.entry
        is_sealed = item.entry.is_sealed or not wishes.no_wait
        code = "item-sealed" if is_sealed else "item-taken"
        tell(
            code,
            is_new=item.is_new,
            path=item.source.path,
            batch=item.entry.batch,
            position=item.entry.position,
            proof=None if wishes.no_wait else item.source.proof,
            direct=direct_beside(item.source.proof) if item.has_direct else None,
        )
    if len(items) + len(skipped) > 1:
        new = sum(item.is_new for item in items)
        tell("seal-total", new=new, known=len(items) - new, skipped=len(skipped))


def _item_members(item: _Item, wishes: _Wishes) -> dict[str, Any]:
    assert item.entry
    members = {
        "path": str(item.source.path),
        "digest": item.digest.hex(),
        "size": item.size,
        "batch": item.entry.batch,
        "position": item.entry.position,
        "new": item.is_new,
        "proof": None if wishes.no_wait else str(item.source.proof),
        "cid": item.cid,
        "ciphertext_digest": item.ciphertext_digest.hex() if item.ciphertext_digest else None,
    }
    found = {name: value for name, value in members.items() if value is not None or name == "proof"}
    if wishes.direct:
        found["direct"] = str(direct_beside(item.source.proof)) if item.has_direct else None
    return found
