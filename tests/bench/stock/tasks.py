"""What the cluster runs."""

from __future__ import annotations

import time

from tests.bench.stock.models import Progress


def save_each(progress_id: int, items: int) -> None:
    """One task for all items: each does nothing, and the progress is saved."""
    progress = Progress.objects.get(pk=progress_id)
    for _ in range(items):
        progress.done += 1
        progress.save()
    progress.ended_at = time.time()
    progress.save()


def nothing(_item: int) -> None:
    """One task for one item."""
