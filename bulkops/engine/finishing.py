"""The end of a slice and the end of a job: hand the turn on, settle what was asked, or finish.

Finishing locks the user, then the job, frees the slot, and runs the operation's `finish` in the same transaction: its
writes and the job's end commit together or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from bulkops import dispatch, holds, pace, progress, storable, tallies, transitions
from bulkops.conf import conf
from bulkops.engine import chunks, turns
from bulkops.engine.faults import Fault, classify, code_of, describe
from bulkops.engine.hand import Doing, Holding, InHand
from bulkops.engine.item_transaction import ItemTransaction, abandon
from bulkops.exceptions import BulkopsError
from bulkops.states import STOPPING, WORKABLE, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkops.engine.allowance import Allowance
    from bulkops.engine.statements import Claim
    from bulkops.engine.turns import Taken
    from bulkops.models import Job, Turn
    from bulkops.operation import Operation
    from bulkops.tallies import Count

IDLE_SLICE_SECONDS = 0.2


def end_slice(
    taken: Taken,
    claim: Claim | None,
    operation: Operation,
    params: dict[str, Any],
    *,
    idle: bool = False,
    allowance: Allowance | None = None,
    counted: Iterable[Count] = (),
) -> None:
    """Let go of chunk and turn, and see to it that somebody goes on where something is left.

    `idle`: the slice found no chunk. Where one is free all the same, a dying connection still locks its row: wait.
    `counted`: what the slice adds to the running totals, in the same transaction.
    """
    with transaction.atomic():
        tallies.add(*counted)
        complete = _let_go(taken, claim, idle=idle, allowance=allowance)
    if complete:
        finish(taken, operation, params)


def _let_go(taken: Taken, claim: Claim | None, *, idle: bool, allowance: Allowance | None) -> bool:
    """Let go and hand on; return whether the job is complete instead, and to be finished."""
    job = transitions.lock_job(taken.job_id)
    if job is None:
        return False
    turn = turns.lock_own(job, taken)
    if claim is not None:
        chunks.release(job, claim)
    if turn is None:
        return False  # taken back meanwhile: whoever did that has sent the turn again
    if holds.is_complete(job) and (job.state in WORKABLE or job.state in STOPPING):
        return True
    turns.let_go(turn)
    pace.sample(job)
    if not holds.settle_stop(job) and job.state in WORKABLE:
        wanted = 0 if allowance is None else allowance.wanted(job)
        _hand_on(job, turn, at_least=IDLE_SLICE_SECONDS if idle else 0.0, wanted=wanted)
    return False


def _hand_on(job: Job, turn: Turn, *, at_least: float, wanted: int) -> None:
    """Queue the turn again at the back; later where only deferred items are left or the job's speed is limited.

    Not at all where all is in hand: a turn that is let go without a message is sent again by rescue, or by whoever
    takes a dead holder's work back.
    """
    if job.state == JobState.PREPARING:
        dispatch.send(job, turn)
        return
    due = holds.next_due(job)
    if due is not None:
        holds.send_when_due(job, turn, due, at_least=at_least, wanted=wanted)


def finish(taken: Taken, operation: Operation, params: dict[str, Any]) -> None:
    """End a job whose every item was tried. Locks user, job, turn; a crash before the commit repeats it.

    If `finish` raises, what it wrote is rolled back and the job ends as failed; its outcomes are kept.
    """
    was_inside = connection.in_atomic_block
    for attempt in range(1, conf().transient_attempts + 1):
        try:
            with transaction.atomic():
                job = _lock_to_finish(taken)
                if job is not None:
                    _finish(job, operation, params)
            return
        except FinishFailed as failed:
            if connection.in_atomic_block and not was_inside:  # of a block that `finish` left open
                abandon(connection)
            if failed.fault is Fault.TRANSIENT and attempt < conf().transient_attempts:
                continue
            fail(taken, failed.message, failed.code)
            return


class FinishFailed(BulkopsError):
    """The operation's finish failed."""

    def __init__(self, error: BaseException, fault: Fault) -> None:
        super().__init__(f"Finishing failed: {describe(error)}")
        self.code = code_of(error)
        self.fault = fault


def _lock_to_finish(taken: Taken) -> Job | None:
    job = transitions.lock_owner_and_job(taken.job_id)
    if job is None or turns.lock_own(job, taken) is None or not holds.is_complete(job):
        return None
    return job


def _finish(job: Job, operation: Operation, params: dict[str, Any]) -> None:
    figures = progress.counted(job)
    bad = figures.failed or figures.in_doubt
    holds.withdraw_turns(job)
    job.turns.update(holder=None, worker=None, due=None)
    # Whoever recorded a last item may not have let go of its chunk yet, or is dead.
    job.chunks.filter(holder__isnull=False).update(holder=None, worker=None)
    transitions.move(job, JobState.COMPLETED_WITH_ERRORS if bad else JobState.COMPLETED)
    summary = {
        "total": figures.total or 0,
        "succeeded": figures.succeeded,
        "failed": figures.failed,
        "skipped": figures.skipped,
        "in_doubt": figures.in_doubt,
    }
    driver = connection.connection
    try:
        with transaction.atomic():
            watched = ItemTransaction()
            with connection.execute_wrapper(watched.watch), Holding(_in_hand(job, operation)):
                # In here too: what is lazy, or has a text of its own, may ask the database only now.
                result = storable.json_text(operation.finish(params, summary), conf().result_bytes)
            # A connection closed in here would end the transaction without a word, and with it the job's end.
            watched.check()
    except BaseException as error:  # an author's `finish` may raise anything
        fault = classify(error, driver)
        if fault is Fault.CONNECTION:
            raise
        raise FinishFailed(error, fault) from error
    if result is not None:
        transitions.note_result(job, result)


def _in_hand(job: Job, operation: Operation) -> InHand:
    return InHand(doing=Doing.FINISH, job_id=job.pk, limit_seconds=operation.item_timeout_seconds)


def fail(taken: Taken, message: str, code: str) -> None:
    """End the job as failed, with the error in words. Outcomes are kept; nothing happens if the turn is not ours."""
    with transaction.atomic():
        job = transitions.lock_job(taken.job_id)
        if job is not None and turns.lock_own(job, taken) is not None:
            fail_locked(job, message, code)


def fail_locked(job: Job, message: str, code: str) -> None:
    """The same in the transaction of a caller that has locked the job."""
    holds.ask_to_stop(job)  # other workers may have items of it in hand
    holds.withdraw_turns(job)
    job.turns.update(holder=None, worker=None, due=None)
    error = storable.text(message, conf().message_chars)
    transitions.move(job, JobState.FAILED, error=error, error_code=code, detail=error)
