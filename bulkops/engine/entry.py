"""What the queue calls, by dotted path and with small arguments only."""

from __future__ import annotations

import logging
from uuid import UUID

from bulkops.engine import holder, runner
from bulkops.engine.faults import tells_of_a_cut
from bulkops.engine.items import DatabaseAway

logger = logging.getLogger("bulkops.engine")


def run_slice(job_id: str, number: int, seq: int) -> str:
    """Use one turn of a job as this process's worker.

    An error that is no item's ends the worker process: its cluster takes back at once what it held and starts another,
    which is simpler and surer than mending a process in an unknown condition.
    """
    me = holder.current()
    try:
        return runner.run_slice(UUID(job_id), number, seq, me)
    except Exception as error:  # whatever it is, the process ends
        if isinstance(error, DatabaseAway) or tells_of_a_cut(error):
            # Nobody's mistake, so no traceback: an operator who looks for one finds those of real errors.
            logger.warning("job=%s turn=%s event=slice_left database_away; this worker leaves", job_id, number)
        else:
            logger.exception("job=%s turn=%s event=slice_failed; this worker leaves", job_id, number)
        raise SystemExit(1) from None
