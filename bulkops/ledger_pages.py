"""Outcomes page by page, in order: the thousandth page of a million items costs what the first does.

Failed, skipped, deferred and doubtful items have an index, and so have those of a group. For the many that succeeded
an index would cost each item; the chunks' counters tell where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F

from bulkops.models import Chunk, Outcome
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.models import Job


def page(job: Job, *, state: str = "", fingerprint: str = "", after: int = -1, size: int) -> tuple[list[Outcome], bool]:
    """The outcomes behind a position, in one state or of one group of failures; and whether there are more of them."""
    found = _behind(job, state, fingerprint, after, size + 1)
    return found[:size], len(found) > size


def at(job: Job, position: int) -> Outcome | None:
    """What became of one item; None where it was not tried."""
    return Outcome.objects.filter(job_id=job.pk, position=position).first()


def _behind(job: Job, state: str, fingerprint: str, after: int, most: int) -> list[Outcome]:
    if fingerprint and state not in {"", OutcomeState.FAILED}:
        return []  # only failures have one
    if state == OutcomeState.SUCCEEDED:
        return _succeeded(job, after, most)
    outcomes = Outcome.objects.filter(job_id=job.pk, position__gt=after)
    if fingerprint:
        outcomes = outcomes.filter(fingerprint=fingerprint)
    elif state:
        outcomes = outcomes.filter(state=state)
    return list(outcomes.order_by("position")[:most])


def _succeeded(job: Job, after: int, most: int) -> list[Outcome]:
    found: list[Outcome] = []
    for start, end in _where_any_succeeded(job, after):
        within = Outcome.objects.filter(job_id=job.pk, position__gte=max(start, after + 1), position__lt=end)
        found += within.filter(state=OutcomeState.SUCCEEDED).order_by("position")[: most - len(found)]
        if len(found) == most:
            break
    return found


def _where_any_succeeded(job: Job, after: int) -> Iterator[tuple[int, int]]:
    """Ranges of positions in each of whose chunks an item succeeded, those without any between them."""
    chunks = Chunk.objects.filter(job=job, succeeded__gt=0, start__gt=after - F("size")).order_by("number")
    begun: tuple[int, int] | None = None
    for start, size in chunks.values_list("start", "size"):
        if begun is not None and begun[1] != start:
            yield begun
            begun = None
        begun = (start if begun is None else begun[0], start + size)
    if begun is not None:
        yield begun
