"""Replaces a worker that is stuck: it neither works nor takes what is due, for whatever reason.

Two things must be seen at once, by this leader itself and for as long as `wedged_after_seconds`: a message of its
queues waits, and a worker with nothing in hand gives no sign of life. A busy worker has something in hand, and an idle
one that is sound gives signs all the time, so a backlog alone, however long, never costs a worker. Nor does what
happened before the leader looked: an outage, or a backlog at the start.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bulkops import dispatch
from bulkops.conf import conf

if TYPE_CHECKING:
    from bulkops.cluster.workers import Workers

logger = logging.getLogger("bulkops.cluster")

MISSED_SIGNS = 2
"""The database is asked for what waits only once a worker has missed so many signs of an idle one."""
MISSED_ROUNDS = 3
"""After so long without a round, as in an outage, watching begins anew."""


class Watchdog:
    """A leader's, asked once a round."""

    def __init__(self, workers: Workers, queues: list[str]) -> None:
        self._workers = workers
        self._queues = queues
        self._looked_at = 0.0
        self._waits_since: float | None = None

    def look(self, *, stopping: bool = False) -> None:
        """Kill workers that are stuck. Asks the database only where one could be; raises its errors.

        A cluster that is stopping need not see anything wait: it would wait for the stuck one itself, for ever.
        """
        overdue_after = MISSED_SIGNS * conf().listen_fallback_seconds
        silent = {number: seconds for number, seconds in self._workers.silent().items() if seconds > overdue_after}
        if not silent or not (stopping or dispatch.anything_waits(self._queues)):
            self._waits_since = None
            return
        now = time.monotonic()
        if self._waits_since is None or now - self._looked_at > MISSED_ROUNDS * conf().cluster_renew_seconds:
            self._waits_since = now
        self._looked_at = now
        if now - self._waits_since < conf().wedged_after_seconds:
            return
        for number, seconds in silent.items():
            if seconds >= conf().wedged_after_seconds:
                logger.error(
                    "cluster=%s worker=%s event=worker_wedged it took nothing and gave no sign of life for %.0f s"
                    " while work or the cluster's end waited for it, and is killed",
                    self._workers.cluster.name,
                    number,
                    seconds,
                )
                self._workers.replace(number)
