"""Forgets what is old: ended jobs, expired one-time keys, rows of clusters long dead, files that no job took or made.

Jobs go by families: a first ancestor with all its retries, or none of them, since a retry finds what is left by looking
at its siblings. One short transaction, under the jobs' locks, marks a family; from then on it exists for nobody. Then
its rows are deleted, a bounded number in each transaction. Interrupted anywhere, the next run goes on with what is
marked.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connection, models, transaction
from django.db.models import Exists, OuterRef, Q

from bulkops import attempts, batches, dispatch, idempotency, kept_uploads, result_files, totals, transitions
from bulkops.clock import ClockTimestamp, from_now
from bulkops.conf import conf
from bulkops.engine import rescue
from bulkops.models import Chunk, Job, Manifest, Outcome
from bulkops.signals import job_pruned
from bulkops.webhooks import outbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

logger = logging.getLogger("bulkops.retention")

SCHEDULED = f"{__name__}.prune_in_turns"
"""What the daily schedule of django-q2 names; a migration made that row once, and an operator may change it."""

DAY_SECONDS = 24 * 3600
PAGE = 100
"""Jobs looked at in one query."""
EXPIRED_KEYS = 5_000
"""Deleted in one statement."""
RANGES = ((Outcome, "position", 5_000), (Manifest, "number", 50), (Chunk, "number", 1_000))
"""What grows with a job, and how many rows of it one statement deletes; a manifest's row can be a megabyte."""
EVENTS = 5_000

# With retries of retries of any depth, and each generation after its parents.
_FAMILY = """
WITH RECURSIVE family (id, depth) AS (
    SELECT id, 0 FROM bulkops_job WHERE id = %s
    UNION ALL
    SELECT child.id, depth + 1 FROM bulkops_job child JOIN family ON child.parent_id = family.id
)
SELECT id FROM family ORDER BY depth, id
"""

# Not the ORM's delete, which reads every row first as soon as any app listens to deletions. Ranges rather than LIMIT,
# which would walk over all that was deleted before.
_RANGE = "DELETE FROM {table} WHERE job_id = %s AND {column} >= %s AND {column} < %s"
_EVENTS = """
WITH gone AS (
    DELETE FROM bulkops_event WHERE id IN (
        SELECT id FROM bulkops_event WHERE job_id = %s AND id > %s ORDER BY id LIMIT %s)
    RETURNING id
)
SELECT max(id), count(*) FROM gone
"""


@dataclass
class Pruned:
    """What a run deleted, or would delete."""

    jobs: int = 0
    items: int = 0
    """Outcomes of those jobs; in a dry run, their items."""
    keys: int = 0
    uploads: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """Jobs that, or whose remains elsewhere, could not be deleted, and why; they are tried again by the next run."""
    unfinished: bool = False
    """Time was up; the next run goes on."""


class Results:
    """The results of a job's items, read page by page each time one goes through them; None where there is none."""

    def __init__(self, job_id: UUID) -> None:
        self._job_id = job_id

    def __iter__(self) -> Iterator[Any]:
        """In the order of the items."""
        after = -1
        while page := list(
            Outcome.objects.filter(job_id=self._job_id, position__gt=after, result__isnull=False)
            .order_by("position")
            .values_list("position", "result")[:1_000]
        ):
            after = page[-1][0]
            yield from (result for _, result in page)


def prune(older_than_days: float | None = None, *, ends_at: float = math.inf) -> Pruned:
    """Delete what is old: jobs that ended longer ago than that, or than `keep_jobs_days`, and leftovers of other kinds.

    Commits batch by batch, so call it outside any transaction. Locks a job for a batch, and passes by those that
    somebody else has locked. Leaves off at `ends_at`, by the monotonic clock, though never before its first batch.
    """
    done = _Pruner(ends_at).run(conf().keep_jobs_days if older_than_days is None else older_than_days)
    while (expired := idempotency.forget_expired(EXPIRED_KEYS)) and not done.unfinished:
        done.keys += expired
    rescue.forget_long_dead()
    attempts.forget_old()
    outbox.forget_old(conf().keep_jobs_days)
    done.uploads = kept_uploads.sweep() + batches.sweep()
    result_files.sweep()
    return done


def would_prune(older_than_days: float | None = None) -> Pruned:
    """The jobs that `prune` would delete now, and their items; nothing is locked or changed."""
    days = conf().keep_jobs_days if older_than_days is None else older_than_days
    found = Pruned()
    for root in _old_roots(days):
        family = _family(root)
        if _may_go(family, days):
            found.jobs += len(family)
            found.items += Job.objects.filter(pk__in=family).aggregate(items=models.Sum("total"))["items"] or 0
    return found


def prune_in_turns() -> None:
    """What the schedule runs: prune for as long as a slice, then queue up again while there is more.

    So a small job never waits for a year's worth of deleting.
    """
    if prune(ends_at=time.monotonic() + conf().slice_seconds).unfinished:
        dispatch.send_task(SCHEDULED)


class _Pruner:
    """One run over the jobs."""

    def __init__(self, ends_at: float) -> None:
        self._ends_at = ends_at
        self._batches = 0
        self.done = Pruned()

    def run(self, days: float | None) -> Pruned:
        """First what a former run has marked, then what is old; each family is marked just before it is deleted."""
        for job_id in chain(_marked(), chain.from_iterable(self._mark(root, days) for root in _old_roots(days))):
            if not self._erase(job_id):
                self.done.unfinished = True
                break
        return self.done

    @staticmethod
    def _mark(root: UUID, days: float | None) -> list[UUID]:
        """Take the family away from everybody, in one transaction; return it, the youngest first, or nothing."""
        with transaction.atomic(durable=True):
            family = _family(root)
            if any(transitions.lock_job(job_id, skip_locked=True) is None for job_id in family):
                return []
            # Once more, now that nobody can add to it: a retry locks the job that it retries.
            if _family(root) != family or not _may_go(family, days):
                return []
            Job.objects.filter(pk__in=family).update(pruned_at=ClockTimestamp())
            totals.note_pruned(family)
        logger.info("job=%s event=pruned jobs=%s", root, len(family))
        return family[::-1]

    def _erase(self, job_id: UUID) -> bool:
        """Delete a marked job's remains, batch by batch; False if time was up before.

        One that is refused uses up no time: a run would end at it, and be repeated for ever.
        """
        if Job.with_pruned.filter(parent=job_id).exists() or not self._tell(job_id):
            return True
        for model, column, step in RANGES:
            if not self._erase_ranges(job_id, model, column, step):
                return False
        if not self._erase_events(job_id):
            return False
        try:
            with transaction.atomic(durable=True):
                job = self._lock(job_id)
                # Of the ORM's cascade only a few rows are left; it also does what other apps' keys to the job ask for.
                if job is not None:
                    job.delete()
        except IntegrityError as error:  # another app's row needs it: protected by one that was to go, or by SQL alone
            logger.error("job=%s event=prune_refused %s", job_id, error)
            self.done.refused[str(job_id)] = f"{type(error).__name__}: {error}"
            return True
        self.done.jobs += job is not None
        self._batches += 1
        return not self._over()

    def _tell(self, job_id: UUID) -> bool:
        """Let the project's code delete what the job left elsewhere; False if it could not."""
        job = Job.with_pruned.filter(pk=job_id).first()
        if job is None:
            return False
        answers = job_pruned.send_robust(Job, job_id=job_id, operation=job.operation, results=Results(job_id))
        errors = [(receiver, answer) for receiver, answer in answers if isinstance(answer, Exception)]
        for receiver, error in errors:
            logger.error("job=%s event=prune_refused receiver=%r %s", job_id, receiver, error)
            self.done.refused[str(job_id)] = f"{type(error).__name__}: {error}"
        return not errors

    def _erase_ranges(self, job_id: UUID, model: type[models.Model], column: str, step: int) -> bool:
        ends = model._default_manager.filter(job=job_id).aggregate(first=models.Min(column), last=models.Max(column))
        if ends["first"] is None:
            return True
        statement = _RANGE.format(table=model._meta.db_table, column=column)
        for start in range(ends["first"], ends["last"] + 1, step):
            if self._over():
                return False
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                if self._lock(job_id) is None:
                    return True  # another run is at it
                cursor.execute(statement, [job_id, start, start + step])
                gone = cursor.rowcount
            self._batches += 1
            if model is Outcome:
                self.done.items += gone
        return True

    def _erase_events(self, job_id: UUID) -> bool:
        after, gone = 0, EVENTS
        while gone == EVENTS:
            if self._over():
                return False
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                if self._lock(job_id) is None:
                    return True
                cursor.execute(_EVENTS, [job_id, after, EVENTS])
                after, gone = cursor.fetchone()
            self._batches += bool(gone)
        return True

    @staticmethod
    def _lock(job_id: UUID) -> Job | None:
        marked = Job.with_pruned.filter(pk=job_id, pruned_at__isnull=False)
        return marked.select_for_update(no_key=True, skip_locked=True, of=("self",)).first()

    def _over(self) -> bool:
        """Asked before each batch but a run's first, so that every run gets on, however short."""
        return self._batches > 0 and time.monotonic() >= self._ends_at


def _marked() -> list[UUID]:
    """What former runs left, the youngest of each family first."""
    marked = Job.with_pruned.filter(pruned_at__isnull=False)
    roots = marked.filter(Q(parent=None) | ~Exists(marked.filter(pk=OuterRef("parent"))))
    return [job_id for root in roots.values_list("pk", flat=True) for job_id in reversed(_family(root))]


def _old_roots(days: float | None) -> Iterator[UUID]:
    """Ended jobs without a parent, the oldest first; no job, if jobs are kept for ever."""
    if not days or days < 0:
        return
    old = from_now(-days * DAY_SECONDS)
    # A job was made before it ended; the index is over that.
    roots = Job.objects.ended().filter(parent=None, finished_at__lt=old, created_at__lt=old)
    after = Q()
    while page := list(roots.filter(after).order_by("created_at", "pk").values_list("created_at", "pk")[:PAGE]):
        yield from (job_id for _, job_id in page)
        created_at, job_id = page[-1]
        after = Q(created_at__gt=created_at) | Q(created_at=created_at, pk__gt=job_id)


def _family(root: UUID) -> list[UUID]:
    """The job and all its descendants, parents before their children."""
    with connection.cursor() as cursor:
        cursor.execute(_FAMILY, [root])
        return [job_id for (job_id,) in cursor.fetchall()]


def _may_go(family: list[UUID], days: float | None) -> bool:
    """Whether all of the family is old enough, and neither a one-time key nor another app's row still needs it."""
    if not days or days < 0:
        return False
    old = Job.objects.ended().filter(pk__in=family, finished_at__lt=from_now(-days * DAY_SECONDS))
    if old.count() != len(family) or idempotency.remembered().filter(job__in=family).exists():
        return False
    gives_way = {models.CASCADE, models.SET_NULL, models.SET_DEFAULT}
    return not any(
        # The manager that hides nothing.
        relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": family}).exists()  # noqa: SLF001
        for relation in Job._meta.get_fields(include_hidden=True)
        if isinstance(relation, models.ManyToOneRel)
        and relation.related_model._meta.app_label != "bulkops"
        and relation.on_delete not in gives_way
    )
