"""Who holds what of a job: taking back what a dead holder held, sending turns, settling a job in which nothing is held.

Everything here runs in a transaction whose caller has locked the job (lock order: user, job, turn, chunk).
Used by the engine, which holds and lets go, and by services, which must not wait for a worker that is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F, Min, Q, QuerySet

from bulkops import dispatch, doubt, events, permits, tallies, transitions
from bulkops.clock import ClockTimestamp, database_now
from bulkops.models import Chunk, Cluster, Job, Turn
from bulkops.states import STOPPING, WORKABLE, EventKind, JobState
from bulkops.tallies import Count

if TYPE_CHECKING:
    from datetime import datetime

RESCUED = "rescue"


def alive_clusters() -> QuerySet[Cluster]:
    """Clusters whose leader gave a sign of life in time, by the database's clock."""
    return Cluster.objects.filter(alive_until__gt=ClockTimestamp())


def held_by_dead() -> Q:
    """Condition on a turn or chunk: its holder is no living cluster."""
    return Q(holder__isnull=False) & ~Q(holder__in=alive_clusters())


def take_back(job: Job, condition: Q) -> bool:
    """Free the turns and chunks of the job that match, and say whether there were any.

    Raises the epoch of each chunk, so that a holder which is only frozen finds its fence lost, and the `seq` of each
    turn, so that it cannot hand on. A chunk's flag to stop says again what the job's state says. An item in hand that
    must not be begun twice is set aside as in doubt.
    """
    turns, chunks = _free(job, condition)
    if turns or chunks:
        events.record(job, EventKind.RESCUED, detail=f"chunks: {chunks}, turns: {turns}")
        tallies.add(Count(RESCUED, (job.operation,), (1,)))
    return bool(turns or chunks)


def force(job: Job, why: str, *, actor: Any) -> None:
    """Take everything of the job out of its workers' hands at once, living ones too; their leaders end them."""
    if any(_free(job, Q(holder__isnull=False))):
        events.record(job, EventKind.FORCED, actor=actor, detail=why)


def _free(job: Job, condition: Q) -> tuple[int, int]:
    turns = Turn.objects.filter(condition, job=job).update(
        seq=F("seq") + 1, holder=None, worker=None, message_id=None, due=ClockTimestamp()
    )
    doubt.set_aside_held(job, condition)
    chunks = Chunk.objects.filter(condition, job=job).update(
        epoch=F("epoch") + 1, holder=None, worker=None, stop=job.state not in WORKABLE
    )
    return turns, chunks


def any_held(job: Job) -> bool:
    """Whether a worker has a turn or a chunk of the job in hand, dead or alive."""
    return (
        Turn.objects.filter(job=job, holder__isnull=False).exists()
        or Chunk.objects.filter(job=job, holder__isnull=False).exists()
    )


def unfinished(job: Job) -> QuerySet[Chunk]:
    """Chunks that still have an item to process or to try again."""
    return Chunk.objects.filter(job=job, finished=False)


def _latest(chunks: QuerySet[Chunk]) -> QuerySet[Chunk]:
    """The one with the highest number, for a look whether there is any.

    It is there until the job nears its end. From the front, while somebody holds a snapshot open, the index leads to
    every old version of the chunks that are done: late in a job of a thousand, 43,000 pages where from the end it is 4.
    """
    return chunks.order_by("-number")[:1]


def next_due(job: Job) -> datetime | None:
    """When the next unheld chunk has work: now where one has untried items, else its first deferred item's time.

    None if every unfinished chunk is in somebody's hand.
    """
    free = unfinished(job).filter(holder__isnull=True, stop=False)
    for (now,) in _latest(free.filter(cursor__lt=F("size"))).values_list(ClockTimestamp()):
        return now
    return free.aggregate(first=Min("due"))["first"]


def send_turns(job: Job, *, first: bool = False) -> None:
    """Queue every turn that nobody holds and that has no message; for a new job, a resumed one, or a rescued one."""
    wanted = 1 if job.state == JobState.PREPARING else job.parallelism
    free = Turn.objects.filter(job=job, number__lt=wanted, holder__isnull=True, message_id__isnull=True)
    for turn in free.order_by("number"):
        dispatch.send(job, turn, first=first)


def send_when_due(job: Job, turn: Turn, due: datetime, *, at_least: float = 0.0, wanted: int = 0) -> None:
    """Queue a turn that is free for when there is work and the job's speed limit lets it begin.

    With a limit, each waiting turn has a place of its own, one grant of permits after the other: none wakes in vain.
    `wanted`: how many permits it will draw; 0 where that is not known.
    """
    now = database_now()
    delay = (due - now).total_seconds()
    wait = 0.0
    if job.rate_per_second is not None:
        others = Turn.objects.filter(job=job, holder__isnull=True, message_id__isnull=False, due__isnull=False)
        dues = others.exclude(pk=turn.pk).order_by("due").values_list("due", flat=True)
        wait = (permits.free_place(job, now, [at for at in dues if at], wanted) - now).total_seconds()
    delay = max(delay, wait or at_least)
    # Where no item was begun, as after preparing, it goes ahead like a new job's; its head start would end a wait.
    dispatch.send(job, turn, delay_seconds=delay, first=job.started_at is None and delay <= at_least)


def send_delayed_turns_again(job: Job) -> None:
    """Find a new time for each turn that waits for a later one: the limit it waits for has changed."""
    if job.state not in {JobState.QUEUED, JobState.RUNNING}:
        return
    delayed = Turn.objects.filter(job=job, holder__isnull=True, message_id__isnull=False, due__gt=ClockTimestamp())
    keys = list(delayed.order_by("due").values_list("pk", "message_id"))
    dispatch.withdraw([message for _, message in keys if message is not None])
    Turn.objects.filter(pk__in=[pk for pk, _ in keys]).update(seq=F("seq") + 1, due=None, message_id=None)
    for pk, _ in keys:
        send_when_due(job, Turn.objects.get(pk=pk), next_due(job) or database_now())


def nudge(job: Job) -> None:
    """Have each worker end its slice of the job after the item in hand; its chunk is free to go on at once."""
    unfinished(job).filter(holder__isnull=False).update(stop=True)


def forget_nudges(job: Job) -> None:
    """Let chunks go on that nobody holds although they are still asked to stop; the job is workable."""
    unfinished(job).filter(holder__isnull=True, stop=True).update(stop=False)


def withdraw_turns(job: Job) -> None:
    """Take the job's waiting messages out of the queue; its turns have nothing to do for now."""
    waiting = Turn.objects.filter(job=job, holder__isnull=True)
    dispatch.withdraw([pk for pk in waiting.values_list("message_id", flat=True) if pk is not None])
    waiting.update(seq=F("seq") + 1, due=None, message_id=None)


def ask_to_stop(job: Job, *, stop: bool = True) -> None:
    """Set or clear the flag which each item's commit returns to its worker; no fence is touched."""
    unfinished(job).update(stop=stop)


def pause(job: Job, why: str, *, actor: Any = None) -> None:
    """Let the job, which is workable, stand still for a reason in words: at once where nobody holds anything of it.

    What workers have in hand they finish first; the last of them settles the job.
    """
    events.record(job, EventKind.PAUSE_REQUESTED, actor=actor, detail=why)
    ask_to_stop(job)
    if any_held(job) or is_complete(job):
        transitions.move(job, JobState.PAUSING, actor=actor)
        return
    withdraw_turns(job)
    transitions.move(job, JobState.PAUSED, actor=actor)


def is_complete(job: Job) -> bool:
    """Whether every item of the job was tried; always asked in a statement after the one that locked the job,

    since in one statement the workers of two last chunks can each miss the other's end.
    """
    return job.total is not None and not _latest(unfinished(job))


def settle_stop(job: Job) -> bool:
    """Make a pause or a cancel that was asked come true, if nothing is held and an item is left; say whether it did.

    A complete job is left to a worker, because finishing it runs the author's code: the last item won the race.
    """
    if job.state not in STOPPING or any_held(job) or is_complete(job):
        return False
    withdraw_turns(job)
    transitions.move(job, JobState.CANCELLED if job.state == JobState.CANCELLING else JobState.PAUSED)
    return True
