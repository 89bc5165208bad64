"""The items at some positions of a job, read from its manifests: each with its value and the key others know it by."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from bulkops import lineage, manifests
from bulkops.models import Chunk, Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkops.models import Job


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
