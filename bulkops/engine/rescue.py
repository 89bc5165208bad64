"""Brings back what nobody moves any more: work of dead clusters and workers, lost messages, unsettled stops.

Any leader runs it every round. Jobs that somebody has locked are skipped until the next round, and rescuing twice is
harmless, so no lock elects a rescuer: a frozen one would keep it.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error, transaction
from django.db.models import Exists, F, OuterRef, Q, Value

from bulkops import dispatch, holds, transitions
from bulkops.clock import from_now
from bulkops.conf import conf
from bulkops.engine import breaker, sessions
from bulkops.models import Chunk, Cluster, Job, Turn
from bulkops.outage import is_away, is_lock_timeout
from bulkops.states import STOPPING, WORKABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import QuerySet

logger = logging.getLogger("bulkops.engine")

FORGET_SECONDS = 24 * 3600


def rescue(ends_at: float = math.inf, *, cluster: Cluster | None = None, living: Iterable[int] = ()) -> int:
    """One round: take back, send again, settle; return the number of jobs that were moved on. A transaction a job.

    With a cluster, also take back what its own workers held but for the living ones. Where nothing is to be done, all
    of this is one query. Leaves off at `ends_at`, by the monotonic clock, so that a leader with very many to mend still
    renews its row.
    """
    gone = _gone(cluster, living) if cluster is not None else None
    to_do = _to_do(gone)
    moved = _release(gone) if gone is not None and to_do["gone"] else 0
    moved += release_dead() if to_do["dead"] else 0
    for job_id in to_do["mend"]:
        if time.monotonic() >= ends_at:
            break
        with _unless_locked(job_id):
            moved += _mend(job_id)
    return moved


def _to_do(gone: Q | None) -> dict[str, set[UUID]]:
    """Jobs by what is to be done with them; asked in one query, since every leader asks it every round."""
    asked = {
        "gone": _held(gone) if gone is not None else [],
        "dead": _held(holds.held_by_dead()),
        "mend": [_with_lost_turns(), _unsettled()],
    }
    each = [
        query.annotate(what=Value(what)).values_list("what", "found")
        for what, queries in asked.items()
        for query in queries
    ]
    found: dict[str, set[UUID]] = {what: set() for what in asked}
    for what, job_id in each[0].union(*each[1:], all=True):
        found[what].add(job_id)
    return found


@contextmanager
def _unless_locked(job_id: UUID) -> Iterator[None]:
    """A transaction for one job; a row of it that somebody keeps locked leaves it to the next round, and no other.

    So does one that cannot be mended, for whatever reason, as long as it is not the database that is away.
    """
    try:
        with transaction.atomic():
            yield
    except Exception as error:  # not one job may keep the others from being rescued
        if is_lock_timeout(error):
            logger.warning("job=%s event=rescue_waits a row is locked", job_id)
        elif isinstance(error, Error) and is_away(error):
            raise
        else:
            logger.exception("job=%s event=rescue_failed", job_id)


def release_dead() -> int:
    """Take back what clusters hold whose leader has not been heard of in time."""
    dead = holds.held_by_dead()
    for cluster_id in set(_holders(dead)):
        sessions.end_of_cluster(cluster_id)
    return _release(dead)


def forget_long_dead() -> None:
    """Delete the rows of clusters that died long ago; until then an operator may want to see them."""
    Cluster.objects.filter(alive_until__lt=from_now(-FORGET_SECONDS)).delete()


def release_gone(cluster: Cluster, living: Iterable[int]) -> int:
    """Take back at once what a cluster's own workers held that are gone.

    Asked for all but the living ones, each round: what a dying worker committed last may show only after its death.
    """
    return _release(_gone(cluster, living))


def _gone(cluster: Cluster, living: Iterable[int]) -> Q:
    return Q(holder=cluster) & ~Q(worker__in=list(living))


def _held(condition: Q) -> list[QuerySet[Any]]:
    """Turns and chunks, each with its job as `found`."""
    return [model.objects.filter(condition).annotate(found=F("job_id")) for model in (Turn, Chunk)]


def _holding(condition: Q) -> QuerySet[Any, UUID]:
    turns, chunks = (query.values_list("found", flat=True) for query in _held(condition))
    return turns.union(chunks)


def _holders(condition: Q) -> QuerySet[Any, int]:
    turns = Turn.objects.filter(condition).values_list("holder_id", flat=True)
    return turns.union(Chunk.objects.filter(condition).values_list("holder_id", flat=True))


def _release(condition: Q) -> int:
    moved = 0
    for job_id in list(_holding(condition)):
        with _unless_locked(job_id):
            job = transitions.lock_job(job_id, skip_locked=True)
            if job is None or not holds.take_back(job, condition):
                continue
            breaker.look(job)
            if not holds.settle_stop(job) and job.state in WORKABLE | STOPPING:
                holds.send_turns(job)
            moved += 1
    return moved


def _with_lost_turns() -> QuerySet[Any]:
    """Jobs with a turn that has been due for a while although no worker took it and no message waits for one.

    A message that a worker has claimed is locked into the future; if the turn is still not taken, that worker died
    in between.
    """
    waiting = dispatch.waiting_messages().filter(pk=OuterRef("message_id"))
    return (
        Turn.objects.filter(
            Q(job__state__in=WORKABLE) | Q(job__state__in=STOPPING),
            holder__isnull=True,
            due__lt=from_now(-conf().turn_grace_seconds),
        )
        .filter(~Exists(waiting))
        .annotate(found=F("job_id"))
    )


def _unsettled() -> QuerySet[Any]:
    """Active jobs that are to stop or to go on, of which nothing is held and no turn is due."""
    held_turns = Turn.objects.filter(job=OuterRef("pk")).filter(Q(holder__isnull=False) | Q(due__isnull=False))
    held_chunks = Chunk.objects.filter(job=OuterRef("pk"), holder__isnull=False)
    return (
        Job.objects.filter(Q(state__in=STOPPING) | Q(state__in=WORKABLE))
        .filter(~Exists(held_turns), ~Exists(held_chunks))
        .annotate(found=F("pk"))
        .order_by()
    )


def _mend(job_id: UUID) -> bool:
    job = transitions.lock_job(job_id, skip_locked=True)
    if job is None or job.state not in WORKABLE | STOPPING:
        return False
    if holds.settle_stop(job):
        return True
    if job.state in STOPPING and not holds.is_complete(job):
        return False  # somebody has an item in hand, and settles when it is done
    if job.state in WORKABLE:
        holds.forget_nudges(job)
    lost = Turn.objects.filter(job=job, holder__isnull=True).filter(
        Q(due__isnull=True) | Q(due__lt=from_now(-conf().turn_grace_seconds))
    )
    stale = [
        turn.message_id
        for turn in lost
        if turn.message_id is not None and not dispatch.waiting_messages().filter(pk=turn.message_id).exists()
    ]
    dispatch.withdraw(stale)
    lost.filter(Q(message_id=None) | Q(message_id__in=stale)).update(seq=F("seq") + 1, message_id=None)
    holds.send_turns(job)
    logger.info("job=%s event=turns_sent_again", job.pk)
    return True
