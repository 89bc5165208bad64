"""Which items of an ended job another job may take, and which its children have taken already.

A child job takes the items that failed, that were never processed, or that are in doubt; those kinds never overlap, so
what is left of a kind is its count less the totals of the children that took it. Of the failed items it may take one
group only; how many it took of each group, the child's row says. Each item of a child carries its position in the first
job of the line, its root, which makes the item's key: the same over all generations.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from bulkops import manifests
from bulkops.models import Chunk, Job, Manifest, Outcome
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import QuerySet

FAILED, UNPROCESSED, IN_DOUBT = "failed", "unprocessed", "in_doubt"
KINDS = (FAILED, UNPROCESSED, IN_DOUBT)
ALL = 2**31 - 1
"""Stands for the items of a child that is still collecting."""
_TAKES = Q(total__isnull=False) | Q(slot__isnull=False)
"""Has taken items, or is collecting them."""


def takers() -> QuerySet[Job]:
    """Jobs that took items of their parents, or are collecting them."""
    return Job.objects.filter(_TAKES, parent__isnull=False)


def taken_counts(jobs: Iterable[UUID]) -> dict[UUID, dict[str, int]]:
    """How many items of each kind the children of each job have taken. One query for all.

    A child that is still collecting counts as having taken all: how many will be known in a moment. One that ended
    before it had collected them has taken none.
    """
    rows = takers().filter(parent__in=list(jobs)).order_by()
    counts: dict[Any, dict[str, int]] = {}
    for row in rows.values("parent", "retry_items").annotate(items=Sum(Coalesce("total", ALL))):
        counts.setdefault(row["parent"], {})[row["retry_items"]] = row["items"]
    return counts


def is_doubt_open(job: Job) -> bool:
    """Whether the job's items in doubt wait for a person here; those that a child has taken are that one's matter."""
    return not taken_counts([job.pk]).get(job.pk, {}).get(IN_DOUBT)


def taken_by_group(job: Job) -> Counter[str] | None:
    """How many failed items of each group the job's children have taken; None while that is not known: maybe all."""
    taken: Counter[str] = Counter()
    for took in job.children.filter(_TAKES, retry_items=FAILED).values_list("took", flat=True):
        if took is None:  # it is still collecting, or the code before this collected
            return None
        taken.update(took)
    return taken


def newest_child(job: Job, kind: str, fingerprint: str = "") -> Job | None:
    """The last job that took items of that kind, or of that group of failures, or is about to."""
    children = job.children.filter(_TAKES, retry_items=kind)
    if fingerprint:
        children = children.filter(Q(took__has_key=fingerprint) | Q(took__isnull=True))
    return children.order_by("-created_at").first()


def items_to_take(child: Job) -> Iterator[tuple[int, Any]]:
    """The items that a child is to process, in order, each with its root position.

    Reads one manifest of the parent at a time. The parent has ended and no sibling is active, so nothing moves. Counts
    in the child's `took`, unsaved, of which groups the failed ones are.
    """
    parent = child.parent
    if parent is None:
        return
    took: Counter[str] = Counter()
    child.took = took if child.retry_items == FAILED else None
    taken = _Marks()
    for sibling in parent.children.exclude(pk=child.pk).filter(total__isnull=False):
        taken.add_all(_roots(sibling))
    for chunk in Chunk.objects.filter(job=parent).order_by("number"):
        positions = _positions(chunk, child)
        if not positions:
            continue
        content = _content(parent, chunk.number)
        for position, fingerprint in positions:
            root = content.root(position - chunk.start, chunk.start)
            if root not in taken:
                took[fingerprint] += 1
                yield root, content.items[position - chunk.start]


def key_of(job: Job, root: int) -> str:
    """What other systems know an item by: the same over attempts, crashes and retries."""
    return f"{job.root_id or job.pk}:{root}"


def key_at(job: Job, position: int) -> str:
    """The key of the item at that position; reads its manifest."""
    root = _root_at(job, position)
    return "" if root is None else key_of(job, root)


def is_taken(job: Job, position: int) -> bool:
    """Whether a child has taken the item at that position, which is in doubt; one that is collecting has taken all.

    The caller holds the job's lock, so that no child is made meanwhile.
    """
    children = list(job.children.filter(_TAKES, retry_items=IN_DOUBT))
    if any(child.total is None for child in children):
        return True
    root = _root_at(job, position) if children else None
    return root is not None and any(root in _roots(child) for child in children)


def _root_at(job: Job, position: int) -> int | None:
    """The root position of the item at that position; None where there is no such item."""
    chunk = Chunk.objects.filter(job=job, start__lte=position).order_by("-start").first()
    if chunk is None or position >= chunk.start + chunk.size:
        return None
    return _content(job, chunk.number).root(position - chunk.start, chunk.start)


def _roots(job: Job) -> Iterator[int]:
    for payload in Manifest.objects.filter(job=job).values_list("payload", flat=True).iterator(chunk_size=10):
        yield from manifests.read(payload).roots or ()


def _content(job: Job, number: int) -> manifests.Content:
    return manifests.read(Manifest.objects.values_list("payload", flat=True).get(pk=(job.pk, number)))


def _positions(chunk: Chunk, child: Job) -> list[tuple[int, str]]:
    """Where the items of the wanted kind are, each with its fingerprint, which only failures have."""
    end, kind = chunk.start + chunk.size, child.retry_items
    within = Outcome.objects.filter(job_id=chunk.job_id, position__gte=chunk.start, position__lt=end)
    if child.retry_fingerprint:
        within = within.filter(fingerprint=child.retry_fingerprint)
    state = OutcomeState.DEFERRED if kind == UNPROCESSED else OutcomeState(kind)
    known = list(within.filter(state=state).order_by("position").values_list("position", "fingerprint"))
    untried = range(chunk.start + chunk.cursor, end) if kind == UNPROCESSED else ()
    return [*known, *((position, "") for position in untried)]


class _Marks:
    """A set of positions, a byte each: a million of them as objects would take sixty megabytes."""

    def __init__(self) -> None:
        self._marks = bytearray()

    def add_all(self, positions: Iterable[int]) -> None:
        for position in positions:
            if position >= len(self._marks):
                self._marks.extend(bytes(position + 1 - len(self._marks) + 4096))
            self._marks[position] = 1

    def __contains__(self, position: int) -> bool:
        return position < len(self._marks) and bool(self._marks[position])
