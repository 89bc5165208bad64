"""What an author's code did to its worker: overstayed its time, or ended the process. Recorded by the leader.

An item that overstays fails as timed out. One that ends its process is tried again, and fails as soon as
`max_crashes` workers died with it in hand. One that was begun and must not be begun twice is set aside as in doubt
instead, at the first time. A step of `items` or a `finish` that does either fails its job. Deaths that are nobody's
fault, such as of a lost host, never come here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction

from bulkops import doubt, failure_groups, registry, transitions
from bulkops.engine import breaker, finishing
from bulkops.engine.hand import Doing
from bulkops.engine.statements import Claim, ItemStatements, Result, Try
from bulkops.exceptions import FenceLost, UnknownOperation
from bulkops.models import Chunk, Job
from bulkops.operation import Operation
from bulkops.states import ACTIVE, OutcomeState

if TYPE_CHECKING:
    from bulkops.engine.hand import InHand

logger = logging.getLogger("bulkops.engine")

TIMED_OUT = "timed-out"
_CALLS = {Doing.ITEM: "The item", Doing.ITEMS: "Collecting the items", Doing.FINISH: "Finishing"}


def record(in_hand: InHand, *, timed_out: bool) -> bool:
    """Note that a worker was lost with this in hand; before what it held is taken back, since that raises the fence.

    One transaction, which locks the job and then the chunk; False if somebody else has the job locked, and it is to be
    tried again. Nothing happens where the item was committed after all or somebody else has the chunk.
    """
    statements = ItemStatements(failure_groups.UNDER_THE_JOBS_LOCK)
    statements.prepare()
    with transaction.atomic():
        job = transitions.lock_job(in_hand.job_id, skip_locked=True)
        if job is None:
            return not Job.objects.filter(pk=in_hand.job_id).exists()
        if job.state not in ACTIVE:
            return True
        most = _operation(job).max_crashes
        words, code = _words(in_hand, most, timed_out=timed_out)
        if in_hand.doing is Doing.ITEM:
            _record_item(
                job, in_hand, statements, most, Result(state=OutcomeState.FAILED, error_code=code, message=words)
            )
            breaker.look(job)
        elif _counted(job, most, at_once=timed_out):
            finishing.fail_locked(job, words, code)
    logger.warning(
        "job=%s event=%s doing=%s position=%s",
        in_hand.job_id,
        "timed_out" if timed_out else "killed_its_worker",
        in_hand.doing.name.lower(),
        in_hand.position if in_hand.doing is Doing.ITEM else "-",
    )

    return True


def _operation(job: Job) -> type[Operation] | Operation:
    try:
        return registry.get(job.operation)
    except UnknownOperation:
        return Operation


def _words(in_hand: InHand, most: int, *, timed_out: bool) -> tuple[str, str]:
    call = _CALLS[in_hand.doing]
    if timed_out:
        return f"{call} took longer than {in_hand.limit_seconds:g} s and was stopped.", TIMED_OUT
    return f"{call} killed its worker {'once' if most == 1 else f'{most} times'}.", "killed-its-worker"


def _record_item(job: Job, in_hand: InHand, statements: ItemStatements, most: int, failed: Result) -> None:
    chunk = Chunk.objects.select_for_update(no_key=True).filter(pk=in_hand.chunk_id, epoch=in_hand.epoch).first()
    if chunk is None:
        return
    first_try = in_hand.attempt == 1
    if first_try and chunk.start + chunk.cursor != in_hand.position:
        return  # its commit had gone through
    if chunk.in_hand == in_hand.position:
        if failed.error_code == TIMED_OUT:
            doubt.set_aside(job, chunk, TIMED_OUT, f"{failed.message} The effect may or may not have happened.")
        else:  # after one death nobody knows whether the item is to blame for it
            doubt.set_aside(job, chunk, "in-doubt", doubt.LOST)
        return
    crashes = chunk.crashes + 1 if chunk.crash_position == in_hand.position else 1
    if failed.error_code != TIMED_OUT and crashes < most:
        Chunk.objects.filter(pk=chunk.pk).update(crashes=crashes, crash_position=in_hand.position)
        return
    claim = Claim(
        chunk_id=chunk.pk,
        epoch=in_hand.epoch,
        number=chunk.number,
        start=chunk.start,
        size=chunk.size,
        cursor=chunk.cursor,
        deferred=chunk.deferred,
    )
    try:
        statements.record(Try(claim=claim, position=in_hand.position, attempt=in_hand.attempt), failed)
    except FenceLost:
        return  # a deferred item whose commit had gone through
    Chunk.objects.filter(pk=chunk.pk).update(crashes=0, crash_position=None)


def _counted(job: Job, most: int, *, at_once: bool) -> bool:
    """Count a death against the job itself; say whether that was the last one it may cause."""
    job.crashes += 1
    Job.objects.filter(pk=job.pk).update(crashes=job.crashes)
    return at_once or job.crashes >= most
