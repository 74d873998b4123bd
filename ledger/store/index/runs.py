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
from witnesstree.ledger.store.batches import MERGED
from witnesstree.ledger.store.index.check import fault_of
from witnesstree.ledger.store.index.digests import Digests, starts_of
from witnesstree.ledger.store.index.merge import FAN_IN, Span, due_for_merge, merged_rows, open_run
from witnesstree.ledger.store.index.run import LostRun, write_run
from witnesstree.ledger.store.index.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.store.batches import BatchFiles
    from witnesstree.ledger.store.index.digests import Sizes
    from witnesstree.ledger.store.index.run import Run

_NAME = re.compile(MERGED + r"/([0-9]{8,19})-([0-9]{8,19})\.index")


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

        What any process has merged or made again since is opened again.

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
        runs: list[Run] = []
        for span in self._spans(sizes):
            try:
                runs.append(open_run(self._files, span, starts))
            except FileNotFoundError as error:
                why = self._fault(span, sizes)
                if with_gaps:
                    runs.append(LostRun(why, starts[span.first], span.count))
                    continue
                raise Conflict(why) from error
            except OSError as error:
                raise Damaged("run-unreadable", path=self._path(span), error=error) from error
        for run in runs:
            run.is_current()
        return View(self._files, sizes, starts, tuple(runs))

    def _fault(self, span: Span, sizes: Sizes) -> Message:
        """Return what is missing where a run is: it can be made again, digests cannot."""
        for sequence, _ in sizes[span.first : span.end]:
            try:
                self._files.place.reading(self._files.digests_name(sequence))
            except OSError:
                path = self._files.digests_path(sequence)
                return message("digests-of-batch-missing", path=path, batch=sequence)
        return message("run-missing", path=self._path(span))

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
            name = (
                self._files.index_name(sequence)
                if last == sequence
                else self._files.merged_name(sequence, last)
            )
            end = bisect_left(sizes, (last + 1, 0))
            if sizes[end - 1][0] != last:
                raise Conflict("run-reaches-too-far", path=self._files.place.path(name))
            spans.append(Span(name, first, end, starts[end] - starts[first]))
            first = end
        return spans

    def _merged(self) -> dict[int, int]:
        """Return, for each batch that merged runs begin with, the last batch of the one that
        reaches furthest.
        """
        furthest: dict[int, int] = {}
        for name in self._files.place.names(MERGED):
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
        name = self._files.merged_name(sizes[parts[0].first][0], sizes[parts[-1].end - 1][0])
        with self._files.place.writing(name) as file:
            for content in merged_rows(self._files, parts, sizes):
                file.write(content)
        # Who lists the runs from here on finds the whole. A crash here leaves parts that no look-up
        # reads, and `fsck --mend-index` removes.
        self._files.place.remove(*(part.name for part in parts))

    def _path(self, span: Span) -> Path:
        return self._files.place.path(span.name)

    def discard(self, sequence: int) -> None:
        """Remove merged runs that cover batch `sequence`, which is about to be sealed.

        There are some only where the metadata was put back from a backup, and these batches are
        other ones than those that were merged.
        """
        found = filter(None, map(_NAME.fullmatch, self._files.place.names(MERGED)))
        self._files.place.remove(
            *(name[0] for name in found if int(name[1]) <= sequence <= int(name[2]))
        )

    def rebuild(self, sizes: Sizes) -> None:
        """Write all runs again from the digests alone, and remove what else is there.

        Raises StorageFailure, or Damaged if digests of a batch are missing: when all others are
        done.
        """
        faults = []
        for sequence, count in sizes:
            try:
                write_run(self._files, sequence, count)
            except Damaged as error:
                faults.append(error)
        self._files.place.remove(*self._files.place.names(MERGED))
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
                fault = fault_of(open_run(self._files, span, starts), span, whole)
            except OSError as error:
                fault = (
                    message(AS_TEXT, text=str(self._path(span))),
                    message("index-unreadable", error=error),
                )
            except Damaged as error:
                fault = (message(AS_TEXT, text=str(self._path(span))), error.message)
            if fault:
                yield fault
