"""The words for what a job, an item and an event can be, and the table of allowed job moves.

Labels are marked for translation here and translated where people read them: logs and the trail keep one language.
`transitions.py` is the only module that writes a job's state; it takes every edge from `TRANSITIONS`.
"""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_noop as _


class JobState(TextChoices):
    """Where a job is; the active ones hold their owner's slot."""

    PREPARING = "preparing", _("preparing")
    """Items are being collected or checked by a worker."""
    QUEUED = "queued", _("queued")
    """Waits for its first worker."""
    RUNNING = "running", _("running")
    """Items are being processed; between two slices too."""
    PAUSING = "pausing", _("pausing")
    """Asked to pause; a worker still has an item in hand."""
    PAUSED = "paused", _("paused")
    """Stands still, keeps its slot, can go on."""
    CANCELLING = "cancelling", _("cancelling")
    """Asked to cancel; a worker still has an item in hand."""
    COMPLETED = "completed", _("completed")
    """Every item was processed, none failed."""
    COMPLETED_WITH_ERRORS = "completed_with_errors", _("completed with errors")
    """Every item was tried; at least one failed or is in doubt."""
    CANCELLED = "cancelled", _("cancelled")
    """Stopped by a person before its end; what was done stays done."""
    FAILED = "failed", _("failed")
    """The job itself could not run: collecting or finishing failed, or it could not be begun."""


ACTIVE = frozenset(
    {
        JobState.PREPARING,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.PAUSING,
        JobState.PAUSED,
        JobState.CANCELLING,
    }
)
STOPPING = frozenset({JobState.PAUSING, JobState.CANCELLING})
WORKABLE = frozenset({JobState.PREPARING, JobState.QUEUED, JobState.RUNNING})
ENDED = frozenset(JobState) - ACTIVE

TRANSITIONS: dict[tuple[JobState, JobState], str] = {
    (JobState.PREPARING, JobState.QUEUED): "the last item was collected and checked",
    (JobState.PREPARING, JobState.CANCELLING): "cancel was asked while a worker collects",
    (JobState.PREPARING, JobState.CANCELLED): "cancel was asked and no worker holds the job",
    (JobState.PREPARING, JobState.PAUSING): "pause was asked while a worker collects",
    (JobState.PREPARING, JobState.PAUSED): "pause was asked and no worker holds the job",
    (JobState.PREPARING, JobState.FAILED): "collecting or checking the items failed",
    (JobState.QUEUED, JobState.RUNNING): "a worker claimed the first chunk",
    (JobState.QUEUED, JobState.PAUSED): "pause was asked before a worker took it",
    (JobState.QUEUED, JobState.PAUSING): "pause was asked just as a worker took it",
    (JobState.QUEUED, JobState.CANCELLED): "cancel was asked before a worker took it",
    (JobState.QUEUED, JobState.CANCELLING): "cancel was asked just as a worker took it",
    (JobState.QUEUED, JobState.COMPLETED): "there was no item to process",
    (JobState.QUEUED, JobState.FAILED): "finishing failed, or it could not be begun",
    (JobState.RUNNING, JobState.PAUSING): "pause was asked while items are in hand",
    (JobState.RUNNING, JobState.PAUSED): "pause was asked between two slices",
    (JobState.RUNNING, JobState.CANCELLING): "cancel was asked while items are in hand",
    (JobState.RUNNING, JobState.CANCELLED): "cancel was asked between two slices",
    (JobState.RUNNING, JobState.COMPLETED): "the last item was processed and none failed",
    (JobState.RUNNING, JobState.COMPLETED_WITH_ERRORS): "the last item was processed and some failed",
    (JobState.RUNNING, JobState.FAILED): "finishing failed, or it could not be begun",
    (JobState.PAUSING, JobState.PAUSED): "no item is in hand any more",
    (JobState.PAUSING, JobState.CANCELLING): "cancel overtook the pause",
    (JobState.PAUSING, JobState.CANCELLED): "cancel overtook the pause and nothing is in hand",
    (JobState.PAUSING, JobState.COMPLETED): "the item in hand was the last one",
    (JobState.PAUSING, JobState.COMPLETED_WITH_ERRORS): "the item in hand was the last one and some failed",
    (JobState.PAUSING, JobState.FAILED): "the item in hand was the last one and finishing failed",
    (JobState.PAUSED, JobState.PREPARING): "resumed; its items are not all collected",
    (JobState.PAUSED, JobState.QUEUED): "resumed before any item was claimed",
    (JobState.PAUSED, JobState.RUNNING): "resumed",
    (JobState.PAUSED, JobState.CANCELLED): "cancel was asked",
    (JobState.CANCELLING, JobState.CANCELLED): "no item is in hand any more",
    (JobState.CANCELLING, JobState.COMPLETED): "the item in hand was the last one and won the race",
    (JobState.CANCELLING, JobState.COMPLETED_WITH_ERRORS): "the last item won the race and some failed",
    (JobState.CANCELLING, JobState.FAILED): "the last item won the race and finishing failed",
    (JobState.COMPLETED_WITH_ERRORS, JobState.COMPLETED): "the last doubt was settled and nothing had failed",
}


class OutcomeState(TextChoices):
    """What became of an item; no outcome row means unprocessed."""

    SUCCEEDED = "succeeded", _("succeeded")
    SKIPPED = "skipped", _("skipped")
    FAILED = "failed", _("failed")
    IN_DOUBT = "in_doubt", _("in doubt")
    """The effect may have happened; a person decides."""
    DEFERRED = "deferred", _("deferred")
    """Waits for its next attempt; not counted as processed."""


PROCESSED = frozenset({OutcomeState.SUCCEEDED, OutcomeState.SKIPPED, OutcomeState.FAILED, OutcomeState.IN_DOUBT})


class EventKind(TextChoices):
    """What a line of the audit trail tells; in the past tense."""

    SUBMITTED = "submitted", _("submitted")
    STATE_CHANGED = "state_changed", _("state changed")
    CANCEL_REQUESTED = "cancel_requested", _("cancel requested")
    PAUSE_REQUESTED = "pause_requested", _("pause requested")
    RESUMED = "resumed", _("resumed")
    RESCUED = "rescued", _("work of a lost worker taken back")
    LATE_RESULT = "late_result", _("a result arrived after its chunk was taken over")
    HOOK_FAILED = "hook_failed", _("an on-commit hook failed after the item was committed")
    ITEMS_COLLECTED = "items_collected", _("items collected")
    SET_ASIDE = "set_aside", _("an item may have happened and waits for a person")
    DECIDED = "decided", _("an item in doubt was decided")
    FORCED = "forced", _("taken away from its workers")
    RETRIED = "retried", _("items taken by another job")
    RATE_CHANGED = "rate_changed", _("speed limit changed")
    RUN_SKIPPED = "run_skipped", _("a scheduled run was skipped, since this one was still active")
