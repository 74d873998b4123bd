"""All runs of one ledger: which of them count, and how they are merged, checked and made again.

Sealing writes a run for each batch, `N.index`. As they grow in number they are merged into
`merged/FIRST-LAST.index`: under another name first, and the parts are removed only when the whole
is on disk. Which runs count is told by their names: of those that begin with the same batch it is
the one that reaches furthest. A process that has opened the parts goes on reading them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import Conflict, Damaged
from witnesstree.ledger.base.message import AS_TEXT, message
from witnesstree.ledger.store.disk import replacing, storage_errors, sync_folder
from witnesstree.ledger.store.index.check import fault_of
from witnesstree.ledger.store.index.digests import Digests, starts_of
from witnesstree.ledger.store.index.merge import FAN_IN, Span, due_for_merge, merged_rows
from witnesstree.ledger.store.index.run import LostRun, Run, write_run
from witnesstree.ledger.store.index.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.index.digests import Sizes

_NAME = re.compile(r"([0-9]{8,19})-([0-9]{8,19})\.index")


class DigestIndex:
    """The runs of one ledger.

    `sizes` are always its sealed batches with their counts, lowest first; a view of them stays open
    until they change.
    """

    def __init__(self, files: BatchFiles) -> None:
        self._files = files
        self._view: View | None = None

    def view(self, sizes: Sizes, *, with_gaps: bool = False) -> View:
        """Return the runs of `sizes`, open.

        What was merged or made anew since, by whatever process, is opened anew.

        Raises Conflict if the runs are not those of `sizes`: either more was sealed and merged
        meanwhile, and newer sizes find them, or a run is missing; `with_gaps` leaves it out. Raises
        Damaged if one has another length.
        """
        view = self._view
        # The same object, usually: then nothing is compared.
        if (
            view is None
            or (view.sizes is not sizes and view.sizes != sizes)
            or not all(run.is_current() for run in view.runs)
        ):
            self._view = None
            view = self._open(sizes, with_gaps=with_gaps)
            self._view = view
        return view

    def _open(self, sizes: Sizes, *, with_gaps: bool) -> View:
        starts = starts_of(sizes)
        runs = []
        for span in self._spans(sizes):
            try:
                runs.append(Run(span.path, starts[span.first], span.count))
            except FileNotFoundError as error:
                if with_gaps:
                    runs.append(LostRun(span.path, starts[span.first], span.count))
                    continue
                raise Conflict("run-missing", path=span.path) from error
            except OSError as error:
                raise Damaged("run-unreadable", path=span.path, error=error) from error
        for run in runs:
            run.is_current()
        return View(self._files, sizes, starts, tuple(runs))

    def _spans(self, sizes: Sizes) -> list[Span]:
        """Return the runs that count, in the order of their batches.

        Raises Conflict if one reaches beyond `sizes`.
        """
        furthest = self._merged()
        starts = starts_of(sizes)
        spans = []
        first = 0
        while first < len(sizes):
            sequence = sizes[first][0]
            last = furthest.get(sequence, sequence)
            path = (
                self._files.index_path(sequence)
                if last == sequence
                else self._files.merged_path(sequence, last)
            )
            end = bisect_left(sizes, (last + 1, 0))
            if sizes[end - 1][0] != last:
                raise Conflict("run-reaches-too-far", path=path)
            spans.append(Span(path, first, end, starts[end] - starts[first]))
            first = end
        return spans

    def _merged(self) -> dict[int, int]:
        """Return, for each batch that merged runs begin with, the last batch of the one that
        reaches furthest.
        """
        furthest: dict[int, int] = {}
        for name in _names(self._files.merged_folder):
            if found := _NAME.fullmatch(name):
                first, last = int(found[1]), int(found[2])
                furthest[first] = max(last, furthest.get(first, first))
        return furthest

    def merge(self, sizes: Sizes) -> None:
        """Merge what is due, in bounded memory, each result durable before its parts are removed.

        One process may do this at a time.

        Look-ups go on meanwhile, in this process and in others. Raises StorageFailure if the disk
        refuses, Conflict and Damaged as `view` does.
        """
        spans = self._spans(sizes)
        while due := due_for_merge(spans, sizes):
            for part in (due[at : at + FAN_IN] for at in range(0, len(due), FAN_IN)):
                if len(part) > 1:
                    self._merge(part, sizes)
            spans = self._spans(sizes)

    def _merge(self, parts: Sequence[Span], sizes: Sizes) -> None:
        path = self._files.merged_path(sizes[parts[0].first][0], sizes[parts[-1].end - 1][0])
        with storage_errors(path):
            path.parent.mkdir(exist_ok=True)
            sync_folder(path.parent.parent)
        with replacing(path) as file:
            for content in merged_rows(self._files, parts, sizes):
                file.write(content)
        # Whoever lists the runs from here on finds the whole. A crash here leaves parts that no
        # look-up reads, and `fsck --mend-index` removes.
        with storage_errors(path):
            for part in parts:
                part.path.unlink(missing_ok=True)
            for folder in {part.path.parent for part in parts}:
                sync_folder(folder)

    def discard(self, sequence: int) -> None:
        """Remove merged runs that cover batch `sequence`, which is about to be sealed.

        There are some only where the metadata was put back from a backup, and these batches are
        other ones than those that were merged.
        """
        folder = self._files.merged_folder
        with storage_errors(folder):
            for name in _names(folder):
                found = _NAME.fullmatch(name)
                if found and int(found[1]) <= sequence <= int(found[2]):
                    (folder / name).unlink(missing_ok=True)

    def rebuild(self, sizes: Sizes) -> None:
        """Write all runs anew from the digests alone, and remove what else is there.

        Raises StorageFailure, or Damaged if digests of a batch are missing: when all others are
        done.
        """
        faults = []
        for sequence, count in sizes:
            try:
                write_run(
                    self._files.index_path(sequence), self._files.digests_path(sequence), count
                )
            except Damaged as error:
                faults.append(error)
        folder = self._files.merged_folder
        with storage_errors(folder):
            for name in _names(folder):
                (folder / name).unlink()
        if faults:
            raise faults[0]
        self.merge(sizes)

    def check(self, sizes: Sizes) -> Iterator[tuple[Message, Message]]:
        """Yield place and fault of each run that is not what follows from the digests.

        Runs of batches whose digests are missing are left out.
        """
        starts = starts_of(sizes)
        for span in self._spans(sizes):
            whole = Digests(self._files, sizes, starts, starts[span.first])
            if not whole.are_there(span.first, span.end):
                continue
            try:
                fault = fault_of(Run(span.path, starts[span.first], span.count), span, whole)
            except OSError as error:
                fault = (
                    message(AS_TEXT, text=str(span.path)),
                    message("index-unreadable", error=error),
                )
            except Damaged as error:
                fault = (message(AS_TEXT, text=str(span.path)), error.message)
            if fault:
                yield fault


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
