"""Ends workers that are still at work on what was taken away from them, as by force: nothing of it can be committed.

Each is given some moments to end its call by itself. Nothing it has in hand is to blame, and none of it is recorded.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bulkops.engine import fences
from bulkops.engine.hand import Doing

if TYPE_CHECKING:
    from bulkops.cluster.slots import Seen
    from bulkops.cluster.workers import Workers

logger = logging.getLogger("bulkops.cluster")

LONG_SECONDS = 1.0
"""Of calls that are shorter, nobody asks: they end by themselves."""
GRACE_SECONDS = 2.0


class Strays:
    """A leader's, asked once a round."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._lost: dict[int, tuple[Seen, float]] = {}

    def look(self) -> None:
        """Kill workers that stay at it. Asks the database only where a call takes long; raises its errors."""
        now = time.monotonic()
        busy = {
            number: seen
            for number, seen in self._workers.in_hand().items()
            if now - seen.since >= LONG_SECONDS and seen.in_hand.doing is not Doing.TASK
        }
        lost = fences.lost(self._workers.cluster.pk, {number: seen.in_hand for number, seen in busy.items()})
        known = {number: self._lost.get(number, (None, now)) for number in lost}
        self._lost = {
            number: (busy[number], since if seen == busy[number] else now) for number, (seen, since) in known.items()
        }
        for number, (seen, since) in self._lost.items():
            if now - since >= GRACE_SECONDS:
                logger.warning(
                    "cluster=%s worker=%s job=%s event=worker_strays its work was taken away, and it is replaced",
                    self._workers.cluster.name,
                    number,
                    seen.in_hand.job_id,
                )
                self._workers.replace(number)
