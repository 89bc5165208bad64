"""What the queue calls, by dotted path and with small arguments only."""

from __future__ import annotations

import logging
from uuid import UUID

from bulkops.engine import holder, runner

logger = logging.getLogger("bulkops.engine")


def run_slice(job_id: str, number: int, seq: int) -> str:
    """Use one turn of a job as this process's worker.

    An error that is no item's ends the worker process: its cluster takes back at once what it held and starts another,
    which is simpler and surer than mending a process in an unknown condition.
    """
    me = holder.current()
    try:
        return runner.run_slice(UUID(job_id), number, seq, me)
    except Exception:
        logger.exception("job=%s turn=%s event=slice_failed; this worker leaves", job_id, number)
        raise SystemExit(1) from None
