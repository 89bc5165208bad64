"""*fairness*: what a small job waits for while big ones keep all workers busy, and how even their shares are."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db.models import Sum

from bulkops import services
from bulkops.conf import conf
from bulkops.models import Chunk
from tests.bench import waits
from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.models import Job
    from tests.bench.stage import Stage

WORKERS, BIG_JOBS = 2, 4
ITEMS = 100_000
"""Of 2 ms: none of them ends meanwhile."""
PRESSES = 4
GOES_ROUND, QUICK_GOES_ROUND = 2, 1
"""How often all big jobs have had their turn in a round's window; a window of whole cycles cuts nobody's slice off."""

FIGURES = (
    Figure(
        name="fairness, wait",
        words="a small job's wait beside 4 big ones on 2 workers ÷ a slice, the longest of 4 presses",
        of="busy.longest",
        against="busy.slice",
        at_most=1.1,
    ),
    Figure(
        name="fairness, share",
        words="items of the big job that got least ÷ items of the one that got most, in two turns of each",
        of="busy.least",
        against="busy.most",
        at_least=0.8,
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    if missing := waits.kept():
        yield {"busy": missing}
        return
    with stage.cluster(workers=WORKERS):
        big = [
            services.submit(user=stage.person(), operation="bench-wait", items=range(ITEMS)) for _ in range(BIG_JOBS)
        ]
        time.sleep(BIG_JOBS / WORKERS * conf().slice_seconds)  # each of them begins
        yield {"busy": lambda: _busy(stage, big)}
        for job in big:
            stage.end(job)


def _busy(stage: Stage, big: list[Job]) -> dict[str, float]:
    times = QUICK_GOES_ROUND if stage.quick else GOES_ROUND
    window = times * BIG_JOBS / WORKERS * conf().slice_seconds
    moments = sorted(random.uniform(0, window) for _ in range(PRESSES))
    before, began = _processed(big), time.monotonic()
    small = []
    for moment in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        small.append(services.submit(user=stage.person(), operation="bench-nothing", items=[1]).pk)
    time.sleep(max(0.0, began + window - time.monotonic()))
    shares = [after - earlier for after, earlier in zip(_processed(big), before, strict=True)]
    waits.until_ended(small)
    return {
        "longest": max(waits.milliseconds(small)) / 1000,
        "slice": conf().slice_seconds,
        "least": min(shares),
        "most": max(shares),
    }


def _processed(big: list[Job]) -> list[int]:
    found = dict(Chunk.objects.filter(job__in=big).values_list("job").annotate(Sum("cursor")))
    return [found[job.pk] for job in big]
