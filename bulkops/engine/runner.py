"""One slice: take the turn, work chunks until time, job or worker say stop, then let go and hand on."""

from __future__ import annotations

import itertools
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from bulkops import events, failure_groups, holds, permissions, registry, transitions
from bulkops.conf import conf
from bulkops.engine import chunks, durability, finishing, late_results, preparing, turns, unknown
from bulkops.engine.allowance import Allowance
from bulkops.engine.breaker import Breaker
from bulkops.engine.faults import Fault, classify, code_of, describe
from bulkops.engine.hand import Doing, Holding, InHand
from bulkops.engine.items import HookFailed, ItemRunner, LateResult
from bulkops.engine.messages import Messages
from bulkops.engine.statements import Try
from bulkops.engine.watch import Watch
from bulkops.exceptions import FenceLost, InvalidParams, ItemsUnreadable, UnknownOperation
from bulkops.models import Job
from bulkops.operation import Context
from bulkops.states import WORKABLE, EventKind, JobState

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.engine.holder import Holder
    from bulkops.engine.statements import Claim
    from bulkops.engine.turns import Taken
    from bulkops.manifests import Content
    from bulkops.operation import Operation

logger = logging.getLogger("bulkops.engine")
slices = logging.getLogger("bulkops.slices")
"""A line each few seconds and worker: for those who collect lines rather than read them."""

ASK_AGAIN_SECONDS = 0.5


def run_slice(job_id: UUID, number: int, seq: int, holder: Holder) -> str:
    """Use one turn; return in a word what came of it: stale, unknown, failed, paused, prepared, idle or worked.

    Commits item by item. Raises DatabaseAway where the connection was lost; the turn then stays held until somebody
    takes it back, which a worker's cluster does as soon as the worker is gone.
    """
    taken = turns.take(job_id, number, seq, holder)
    if taken is None:
        return "stale"
    job = Job.objects.select_related("owner").get(pk=job_id)
    driver = connection.connection
    try:
        operation = registry.get(job.operation)
        params = operation.clean_params(job.params)
        unknown.known_here(job)
        refused = permissions.refusal(job.owner, operation, params)
    except UnknownOperation:
        unknown.leave_to_others(taken)
        return "unknown"
    except InvalidParams as error:
        finishing.fail(taken, f"The parameters are no longer valid: {error.message}", error.code)
        return "failed"
    except BaseException as error:  # an author's code may raise anything
        # The project's own form or log-in backend: left to escape, it would end one worker after another.
        if classify(error, driver) is Fault.CONNECTION:
            raise
        finishing.fail(taken, f"The job could not be begun: {describe(error)}", code_of(error))
        return "failed"
    if refused is not None:
        _pause(taken, f"The owner may no longer run this operation. {refused}".strip())
        finishing.end_slice(taken, None, operation, params)
        return "paused"
    if job.state == JobState.PREPARING:
        preparing.prepare(job, taken, operation, params, holder)
        finishing.end_slice(taken, None, operation, params)
        return "prepared"
    claimed = Slice(job, taken, operation, params, holder).work()
    return "worked" if claimed else "idle"


def _pause(taken: Taken, why: str) -> None:
    with transaction.atomic():
        job = transitions.lock_job(taken.job_id)
        if job is not None and job.state in WORKABLE and turns.lock_own(job, taken) is not None:
            holds.pause(job, why)


class Slice:
    """The work of one turn on one job, up to `slice_seconds` and at least one item."""

    def __init__(self, job: Job, taken: Taken, operation: Operation, params: dict[str, Any], holder: Holder) -> None:
        self.job = job
        self.taken = taken
        self.operation = operation
        self.params = params
        self.holder = holder
        self.runner = ItemRunner(operation, params, holder.draining, taken.number % failure_groups.SHARDS)
        self.messages = Messages(job.pk)
        self.allowance = Allowance(job.pk)
        self.breaker = Breaker(job.pk, operation.max_failures)
        self.watch = Watch(operation.name)
        self.ends_at = time.monotonic() + conf().slice_seconds
        self._told_to_stop = False
        self._ask_again_at = 0.0

    def work(self) -> bool:
        """Work chunk after chunk; say whether there was one. Leaves quietly where a fence is lost."""
        claim: Claim | None = None
        worked = False
        try:
            with durability.of_items(self.operation.durability):
                while (claim := chunks.claim(self.taken, self.holder, self.allowance, claim)) is not None:
                    worked = True
                    if not self._work_chunk(claim):
                        break
        except FenceLost:
            self.watch.fence_lost()
            logger.warning("job=%s turn=%s event=fence_lost", self.job.pk, self.taken.number)
        except ItemsUnreadable as error:
            # Left to escape, it would end one worker after another.
            finishing.fail(self.taken, error.message, error.code)
        self.messages.flush()
        finishing.end_slice(
            self.taken,
            claim,
            self.operation,
            self.params,
            idle=not worked,
            allowance=self.allowance,
            counted=self.watch.counted(),
        )
        if worked:
            slices.info(
                "job=%s operation=%s turn=%s event=slice_ended items=%s seconds=%.3f",
                self.job.pk,
                self.operation.name,
                self.taken.number,
                self.watch.items,
                self.watch.seconds,
            )
        return worked

    def _work_chunk(self, claim: Claim) -> bool:
        """Work the chunk; say whether its end was reached and there is time for another."""
        content = chunks.items_of(claim)
        again = chunks.due_retries(self.taken, claim)
        first = (Try(claim=claim, position=claim.start + offset) for offset in range(claim.cursor, claim.size))
        return not any(self._work_item(one, content) or self._over() for one in itertools.chain(again, first))

    def _over(self) -> bool:
        return self.holder.draining() or time.monotonic() >= self.ends_at or not self.allowance.goes_on()

    def _work_item(self, one: Try, content: Content) -> bool:
        """Process and commit one item; say whether the job asks to stop."""
        item = content.items[one.position - one.claim.start]
        self.allowance.use()
        try:
            with self.watch.item, Holding(self._in_hand(one)):
                stop = self.runner.run(item, self._context(one, content), one)
        except HookFailed as failed:
            events.record(self.job, EventKind.HOOK_FAILED, detail=f"Item {one.position}: {failed.message}")
            stop = failed.stop
        except LateResult as late:
            late_results.settle(self.job.pk, one, late.result)
            raise FenceLost from late
        self.messages.write_if_due()
        return self.breaker.trips(self.runner.statements.recorded) or stop

    def _in_hand(self, one: Try) -> InHand:
        return InHand(
            doing=Doing.ITEM,
            job_id=self.job.pk,
            limit_seconds=self.operation.item_timeout_seconds,
            chunk_id=one.claim.chunk_id,
            epoch=one.claim.epoch,
            position=one.position,
            attempt=one.attempt,
        )

    def _context(self, one: Try, content: Content) -> Context:
        return Context(
            job_id=self.job.pk,
            position=one.position,
            attempt=one.attempt,
            root_job_id=self.job.root_id or self.job.pk,
            root_position=content.root(one.position - one.claim.start, one.claim.start),
            say=self.messages.say,
            stop_asked=partial(self._stop_asked, one.claim),
            upload=self.job.upload,
        )

    def _stop_asked(self, claim: Claim) -> bool:
        """Asked by the author's code, as often as it likes; the database is asked twice a second at most."""
        if time.monotonic() >= self._ask_again_at:
            self._told_to_stop = chunks.stop_asked(claim)
            self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
        return self.holder.draining() or self._told_to_stop
