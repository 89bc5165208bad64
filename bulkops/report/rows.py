"""The rows of a report: every item in input order with what became of it.

Reads one chunk's items and a page of outcomes at a time, each by a short query of its own: no transaction, no cursor
and no snapshot stays open while somebody's slow line takes the file. Of a running job it says what is known at the
moment at which it comes to an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bulkops import manifests
from bulkops.exceptions import ReportBroken
from bulkops.models import Chunk, Job, Manifest
from bulkops.report import ledger
from bulkops.report.folding import Descendants
from bulkops.states import ENDED, OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.report.ledger import Told

PAGE = 250
"""Outcomes read in one query; each may hold a result of 64 KB."""
CHUNKS_AT_ONCE = 100


class Row(NamedTuple):
    """An item and what became of it."""

    position: int
    item: Any
    told: Told


def of(job: Job, *, last: int, states: frozenset[str], folded: bool) -> Iterator[Row]:
    """The items up to a chunk's number, in order; where states are named, only those in one of them.

    Raises ReportBroken where the job is deleted or its items are collected anew meanwhile.
    """
    descendants = Descendants(job) if folded else None
    for chunk in _chunks(job, last):
        # Outcomes of retries stand in no counter here.
        if descendants is None and states and not _may_hold(chunk, states, ended=job.state in ENDED):
            continue
        content = _content(job, chunk.number)
        for offset in range(0, chunk.size, PAGE):
            offsets = range(offset, min(offset + PAGE, chunk.size))
            told = _told(job, chunk, content, offsets, descendants)
            for at, one in zip(offsets, told, strict=True):
                if not states or one.state in states:
                    yield Row(chunk.start + at, content.items[at], one)
    # Outcomes are deleted before anything else of a job is: an item without one would look unprocessed.
    there = Job.objects.filter(pk=job.pk)
    if job.collects and last >= 0:
        there = there.filter(prepare_epoch=job.prepare_epoch)
    if not there.exists():
        raise ReportBroken


def _chunks(job: Job, last: int) -> Iterator[Chunk]:
    for first in range(0, last + 1, CHUNKS_AT_ONCE):
        within = Chunk.objects.filter(job=job, number__gte=first, number__lt=first + CHUNKS_AT_ONCE, number__lte=last)
        yield from within.order_by("number")


def _may_hold(chunk: Chunk, states: frozenset[str], *, ended: bool) -> bool:
    """Whether the chunk's counters leave room for an item in one of the states: most of a long report is not read."""
    untried = chunk.size - chunk.cursor + (chunk.deferred if ended else 0)
    counted = {state: getattr(chunk, state) for state in OutcomeState.values} | {ledger.UNPROCESSED: untried}
    return any(counted[state] for state in states)


def _content(job: Job, number: int) -> manifests.Content:
    payload = Manifest.objects.filter(pk=(job.pk, number)).values_list("payload", flat=True).first()
    if payload is None:
        raise ReportBroken
    return manifests.read(payload)


def _told(
    job: Job, chunk: Chunk, content: manifests.Content, offsets: range, descendants: Descendants | None
) -> list[Told]:
    """What became of the items at these offsets of a chunk, in their order."""
    found = ledger.between(job, chunk.start + offsets[0], chunk.start + offsets[-1] + 1)
    if descendants is None:
        return [found.get(chunk.start + offset, ledger.NOTHING) for offset in offsets]
    roots = [content.root(offset, chunk.start) for offset in offsets]
    by_root = {roots[position - chunk.start - offsets[0]]: told for position, told in found.items()}
    descendants.fold(by_root, up_to=roots[-1])
    return [by_root.get(root, ledger.NOTHING) for root in roots]
