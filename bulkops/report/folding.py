"""Folds the outcomes of retries into the job that they retry, by merging ascending root positions.

A child takes its parent's items in their order, so the root positions of each job in a line ascend, and the items of a
child within a range of its ancestor's lie side by side. Of each descendant one chunk's root positions are in memory.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from bulkops import manifests
from bulkops.exceptions import ReportBroken
from bulkops.models import Chunk, Job, Manifest
from bulkops.report import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.report.ledger import Told


class Descendants:
    """The retries of a job, their retries, and so on, read once from their first item to their last."""

    def __init__(self, job: Job) -> None:
        self._readers = [_Reader(child) for child in _generations(job)]

    def fold(self, told: dict[int, Told], up_to: int) -> None:
        """Replace what is known of items, by root position, by what became of them in the latest job that tried them.

        Covers the root positions behind those of the last call, up to this one. Attempts are added up.
        """
        for reader in self._readers:
            for root, later in reader.read(up_to):
                earlier = told.get(root, ledger.NOTHING)
                told[root] = later._replace(attempts=earlier.attempts + later.attempts)


def _generations(job: Job) -> Iterator[Job]:
    """The descendants that have items, each after its parent."""
    parents = [job.pk]
    while parents:
        children = list(Job.objects.filter(parent__in=parents).order_by("created_at", "pk"))
        yield from (child for child in children if child.total)
        parents = [child.pk for child in children]


class _Reader:
    """One descendant's outcomes, in the order of their root positions."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._number = -1
        self._start = 0
        self._roots: list[int] = []
        self._at = 0

    def read(self, up_to: int) -> Iterator[tuple[int, Told]]:
        """The outcomes of its next items, up to that root position."""
        while self._at < len(self._roots) or self._next_chunk():
            end = bisect_right(self._roots, up_to, lo=self._at)
            if end > self._at:
                found = ledger.between(self._job, self._start + self._at, self._start + end)
                yield from ((self._roots[position - self._start], told) for position, told in found.items())
            self._at = end
            if end < len(self._roots):
                return

    def _next_chunk(self) -> bool:
        chunk = Chunk.objects.filter(job=self._job, number__gt=self._number).order_by("number").first()
        if chunk is None:
            return False
        payload = Manifest.objects.filter(pk=(self._job.pk, chunk.number)).values_list("payload", flat=True).first()
        if payload is None:
            raise ReportBroken
        content = manifests.read(payload)
        self._number, self._start, self._at = chunk.number, chunk.start, 0
        self._roots = [content.root(offset, chunk.start) for offset in range(chunk.size)]
        return True
