"""A schedule's runs: exactly one job a planned time, though its task may be run twice and several may wait.

A run does nothing where a job of its schedule was begun since it was planned. So many missed times make one run too.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bulkops import dispatch, events, services, transitions
from bulkops.exceptions import ActiveJobExists, BulkopsError, SubmissionBusy
from bulkops.models import Event, Job
from bulkops.scheduling.plans import RUN, RunRefused, failures, plan_of, row_of, rows
from bulkops.services.locking import lock_user
from bulkops.services.submitting import decided_by_the_database
from bulkops.states import EventKind

if TYPE_CHECKING:
    from bulkops.scheduling.plans import Plan

logger = logging.getLogger("bulkops.scheduling")

BUSY_SECONDS = 5.0
"""After this, a run that met its owner's row locked is tried again."""


def run_now(name: str) -> Job:
    """Begin its job at once, also while it is paused; its times stay. Raises as `submit` does, and UnknownSchedule."""
    plan = plan_of(row_of(name))
    job = services.record(plan.submission(name, plan.owner()))
    failures([name]).delete()
    return job


def run(name: str, spec: str = "", planned: str = "") -> str:  # noqa: ARG001 - django-q2 hands the row's arguments over
    """What a worker does at a planned time: record the job, and say in a word what came of it.

    Run twice, it does nothing the second time. Raises RunRefused where the job cannot be begun. `spec` is the row's
    text when the task was made; the row as it is now is what counts.
    """
    row = rows().filter(name=name).order_by("pk").first()
    if row is None:
        return _said(name, "gone", planned)
    failures([name]).delete()
    try:
        plan = plan_of(row)
        if plan.paused:
            return _said(name, "paused", planned)
        job = _begin(name, plan, datetime.fromisoformat(planned))
    except ActiveJobExists as refusal:
        _note_skipped(refusal.job, name, planned)
        return _said(name, "skipped", planned, refusal.job)
    except SubmissionBusy:
        # Its owner's row is locked, as while another of their jobs finishes; the run must not be lost for that.
        dispatch.send_task(RUN, name, "", planned, delay_seconds=BUSY_SECONDS, group=name)
        return _said(name, "busy", planned)
    except BulkopsError as error:
        logger.warning("schedule=%s event=schedule_refused planned=%s %s", name, planned, error.message)
        raise RunRefused(error.message) from None
    return _said(name, "done before" if job.replayed else "begun", planned, job)


def _begin(name: str, plan: Plan, planned: datetime) -> Job:
    """The job of that time; one that was begun since then counts for it (`replayed` is then true)."""
    user = plan.owner()
    submission = plan.submission(name, user)
    moment = planned.astimezone(UTC).isoformat()

    def insert() -> Job:
        lock_user(user)
        since = Job.with_pruned.filter(schedule=name, created_at__gte=planned).first()
        if since is not None:
            since.replayed = True
            return since
        # The key too: the clock of another host may have dated its job before that time.
        return services.record(submission, f"schedule:{name}:{moment}")

    return decided_by_the_database(transitions.slot_of(submission.job()), insert)


def _note_skipped(job: Job, name: str, planned: str) -> None:
    detail = f"the schedule {name}, planned for {planned}"
    # A task that is run twice has skipped one run.
    if not Event.objects.filter(job=job, kind=EventKind.RUN_SKIPPED, detail=detail).exists():
        events.record(job, EventKind.RUN_SKIPPED, detail=detail)


def _said(name: str, what: str, planned: str, job: Job | None = None) -> str:
    log = logger.info if what in {"begun", "done before"} else logger.warning
    event = what.replace(" ", "_")
    log("schedule=%s event=schedule_%s planned=%s job=%s", name, event, planned, "-" if job is None else job.pk)
    return what
