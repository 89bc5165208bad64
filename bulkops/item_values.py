"""A job's items, read from its manifests: all of them, or some with the key that others know them by."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from bulkops import lineage, manifests
from bulkops.models import Chunk, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkops.models import Job


PAGE = 10
"""Manifests read at once; of a million items there are a thousand."""


def every(job: Job) -> Iterator[Any]:
    """All items in their order, without the outcomes. By keyset: outside a transaction a cursor would copy them all."""
    last = -1
    while page := list(Manifest.objects.filter(job=job, number__gt=last).order_by("number")[:PAGE]):
        for manifest in page:
            yield from manifests.decode(manifest.payload)
        last = page[-1].number


def at(job: Job, positions: Sequence[int]) -> dict[int, tuple[Any, str]]:
    """Value and key of the items at these positions. Reads only the manifests they lie in, one at a time."""
    if not positions:
        return {}
    chunks = list(
        Chunk.objects.filter(job=job, start__lte=max(positions)).order_by("start").values_list("start", "number")
    )
    starts = [start for start, _ in chunks]
    wanted: dict[int, list[int]] = {}
    begins: dict[int, int] = {}
    for position in positions:
        place = bisect_right(starts, position) - 1
        if place >= 0:
            start, number = chunks[place]
            wanted.setdefault(number, []).append(position)
            begins[number] = start
    found: dict[int, tuple[Any, str]] = {}
    payloads = Manifest.objects.filter(job=job, number__in=wanted).values_list("number", "payload")
    for number, payload in payloads.iterator(chunk_size=10):
        content = manifests.read(payload)
        for position in wanted[number]:
            offset = position - begins[number]
            if offset < len(content.items):
                key = lineage.key_of(job, content.root(offset, begins[number]))
                found[position] = content.items[offset], key
    return found
