"""Retrying: a child job takes the items of an ended job that failed, were never processed, or are in doubt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, gettext_noop

from bulkops import (
    events,
    fingerprints,
    holds,
    lineage,
    permissions,
    progress,
    registry,
    storable,
    transitions,
    what_failed,
)
from bulkops.conf import conf
from bulkops.exceptions import ActiveJobExists, InvalidParams, InvalidSubmission, NotAllowedNow, NotPermitted
from bulkops.models import Job, Turn
from bulkops.services.locking import controlled, lock_user
from bulkops.services.submitting import decided_by_the_database
from bulkops.states import ENDED, EventKind, JobState

if TYPE_CHECKING:
    from bulkops.operation import Operation


_KINDS = {
    lineage.FAILED: gettext_noop("failed items"),
    lineage.UNPROCESSED: gettext_noop("unprocessed items"),
    lineage.IN_DOUBT: gettext_noop("in-doubt items"),
}


def retry(*, job: Job, actor: Any, items: str = "", reason: str = "", fingerprint: str = "") -> Job:
    """Record a child of an ended job that takes those of its items which no child has taken yet; return the child.

    `items` is “failed”, “unprocessed” or “in_doubt”; left empty, the first of the former two of which any is left. The
    child belongs to the job's owner, whose slot it needs, and has the same parameters and the same keys for its items.
    With a fingerprint it takes the failed ones of that group only. A worker collects them. One transaction, which locks
    the owner and then the job.

    Raises InvalidSubmission for another word or what is no fingerprint, NotPermitted, UnknownOperation,
    ActiveJobExists, SubmissionBusy, and NotAllowedNow for a job that has not ended, of which a worker still has an item
    in hand, whose parameters the operation no longer takes, or of which nothing is left, naming the child that has
    taken it.
    """
    if items and items not in lineage.KINDS:
        raise InvalidSubmission(
            gettext("Only %(kinds)s or %(last)s items can be retried.")
            % {"kinds": ", ".join(lineage.KINDS[:-1]), "last": lineage.KINDS[-1]}
        )
    if fingerprint and items not in {"", lineage.FAILED}:
        raise InvalidSubmission(gettext("Only failed items have a fingerprint."))
    if fingerprint and not re.fullmatch(fingerprints.PATTERN, fingerprint):
        raise InvalidSubmission(gettext("That is no fingerprint of a group of failures."))
    operation = registry.get(job.operation)
    owner = job.owner
    if actor is not None and not permissions.may_control(actor, job):
        raise NotPermitted(gettext("You may not control this job."))
    refused = permissions.refusal(owner, operation, _params(job, operation))
    if refused is not None:
        words = gettext("The owner may no longer run this operation.")
        raise NotPermitted(f"{words} {refused}".strip())
    wanted = (lineage.FAILED, fingerprint) if fingerprint else (items, "")
    return decided_by_the_database(transitions.user_slot(owner), lambda: _retry(job, owner, actor, wanted, reason))


def _params(job: Job, operation: Operation) -> dict[str, Any]:
    try:
        return operation.clean_params(job.params)
    except InvalidParams as error:
        raise NotAllowedNow(
            gettext("The parameters are no longer valid: %(message)s") % {"message": error.message}, job
        ) from None


def _retry(job: Job, owner: Any, actor: Any, wanted: tuple[str, str], reason: str) -> Job:
    lock_user(owner)
    with controlled(job, actor) as parent:
        if parent.state not in ENDED:
            raise NotAllowedNow(gettext("This job has not ended yet."), parent)
        if holds.any_held(parent):
            # One that failed while others worked on it: what they have in hand, they may still commit.
            raise NotAllowedNow(
                gettext("A worker still has an item of this job in hand; try again in a moment."), parent
            )
        active = Job.objects.filter(slot=transitions.user_slot(owner)).first()
        if active is not None:
            raise ActiveJobExists(active)
        kind, fingerprint = wanted
        kind = _kind(parent, kind, fingerprint)
        child = _child(parent, owner, kind, fingerprint)
        transitions.begin(child, JobState.PREPARING, actor=actor, detail=f"{child.retried_items} of {parent.pk}")
        why = storable.text(reason.strip(), conf().message_chars)
        taken = f"{child.retried_items}, by {child.pk}"
        events.record(parent, EventKind.RETRIED, actor=actor, detail=f"{taken}: {why}" if why else taken)
        Turn.objects.bulk_create([Turn(job=child, number=number) for number in range(child.parallelism)])
        holds.send_turns(child, first=True)
        return child


def _kind(parent: Job, wanted: str, fingerprint: str) -> str:
    """What is to be retried. Raises NotAllowedNow where nothing of it is left."""
    left = progress.of(parent).left
    chosen = wanted or next((kind for kind in (lineage.FAILED, lineage.UNPROCESSED) if left.get(kind)), lineage.FAILED)
    if left.get(chosen) and (not fingerprint or what_failed.of(parent).left.get(fingerprint)):
        return chosen
    items = gettext(_KINDS[chosen])
    if fingerprint:
        items = gettext("%(items)s of group %(group)s") % {"items": items, "group": fingerprint}
    child = lineage.newest_child(parent, chosen, fingerprint)
    if child is not None:
        raise NotAllowedNow(
            gettext("Job %(job)s has taken the %(items)s of this job already: retry that one.")
            % {"job": child.pk, "items": items},
            child,
        )
    if not wanted and left:
        # Only doubts, which are tried again by nobody's default.
        raise NotAllowedNow(
            gettext(
                "This job has no failed or unprocessed items. Those in doubt are taken only when in_doubt is asked for."
            ),
            parent,
        )
    raise NotAllowedNow(gettext("This job has no %(items)s.") % {"items": items}, parent)


def _child(parent: Job, owner: Any, kind: str, fingerprint: str) -> Job:
    return Job(
        operation=parent.operation,
        owner=owner,
        name=parent.name,
        tags=parent.tags,
        metadata=parent.metadata,
        input_name=parent.input_name,
        upload=parent.upload,
        params=parent.params,
        parallelism=parent.parallelism,
        queue=registry.get(parent.operation).queue,
        rate_per_second=parent.rate_per_second,
        collects=True,
        parent=parent,
        root_id=parent.root_id or parent.pk,
        retry_items=kind,
        retry_fingerprint=fingerprint,
        retry_count=parent.retry_count + 1,
        email_at_end=parent.email_at_end,
    )
