"""Deciding an item in doubt: by whom, once, and against whom else wants the item."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from bulkops import lineage, services
from bulkops.exceptions import InvalidSubmission, NotAllowedNow, NotPermitted
from bulkops.models import Event
from bulkops.services import locking
from bulkops.states import EventKind, JobState, OutcomeState
from bulkops.verify import verify
from tests.test_services_retry import items_of, left, lie_in_doubt, small_chunks, submit  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("decision", "state"), [("done", "succeeded"), ("failed", "failed")])
def test_a_person_decides_an_item_in_doubt(owner, worker, failing, decision, state):
    job = worker.finish(submit(owner))
    lie_in_doubt(job, 2, 5)
    outcome = services.decide(job=job, position=5, decision=decision, actor=owner, reason="seen in the ledger")
    assert outcome.state == state
    assert "seen in the ledger" in outcome.message
    assert "lost" in outcome.message
    told = Event.objects.get(kind=EventKind.DECIDED)
    assert (told.actor, told.detail) == (owner, f"Item 5: {decision}, seen in the ledger")
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert verify(job.pk).agrees


def test_no_item_is_decided_that_a_child_is_about_to_take(owner, worker, failing):
    job = worker.finish(submit(owner))
    lie_in_doubt(job, 2, 5)
    child = services.retry(job=job, actor=owner, items="in_doubt")
    taking = lineage.items_to_take(child)
    assert next(taking) == (2, "i2")
    with pytest.raises(NotAllowedNow, match=str(child.pk)):
        services.decide(job=job, position=2, decision="done", actor=owner)
    services.cancel(job=child, actor=owner)
    assert services.decide(job=job, position=2, decision="done", actor=owner).state == OutcomeState.SUCCEEDED


def test_the_last_doubt_decided_as_done_completes_the_job(owner, worker, failing):
    job = worker.finish(submit(owner))
    ended_at = job.finished_at
    lie_in_doubt(job, 2)
    services.decide(job=job, position=2, decision="done", actor=owner)
    job.refresh_from_db()
    assert (job.state, job.finished_at, job.slot) == (JobState.COMPLETED, ended_at, None)
    assert verify(job.pk).agrees


def test_an_item_decided_as_failed_can_be_retried(owner, worker, failing):
    job = worker.finish(submit(owner))
    lie_in_doubt(job, 2)
    services.decide(job=job, position=2, decision="failed", actor=owner)
    assert left(job) == {"failed": 1}
    child = worker.finish(services.retry(job=job, actor=owner))
    assert items_of(child) == ["i2"]


@pytest.mark.parametrize("position", [0, 99, -1, 2**31])
def test_only_an_item_in_doubt_can_be_decided(owner, worker, failing, position):
    job = worker.finish(submit(owner))
    with pytest.raises(NotAllowedNow, match="not in doubt"):
        services.decide(job=job, position=position, decision="done", actor=owner)


def test_it_is_decided_once(owner, worker, failing):
    job = worker.finish(submit(owner))
    lie_in_doubt(job, 2)
    services.decide(job=job, position=2, decision="failed", actor=owner)
    with pytest.raises(NotAllowedNow):
        services.decide(job=job, position=2, decision="done", actor=owner)


def test_who_may_not_control_may_not_decide(owner, worker, failing, stranger, colleague):
    job = worker.finish(submit(owner))
    lie_in_doubt(job, 2)
    for actor in (stranger, colleague):
        with pytest.raises(NotPermitted):
            services.decide(job=job, position=2, decision="done", actor=actor)
    with pytest.raises(InvalidSubmission):
        services.decide(job=job, position=2, decision="perhaps", actor=owner)


def test_an_item_can_be_decided_while_its_job_runs(owner, worker, failing):
    job = submit(owner)
    worker.stop = True
    worker.step()
    worker.stop = False
    lie_in_doubt(job, 0)
    services.decide(job=job, position=0, decision="done", actor=owner)
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert verify(job.pk).agrees


def test_locking_waits_no_longer_than_a_press_may(owner, worker, failing, settings):
    """Both verbs take the lock that `finish` may hold for long."""
    settings.BULKOPS = {"lock_timeout_seconds": 0.2, "chunk_items": 3}
    job = worker.finish(submit(owner))
    lie_in_doubt(job, 2)
    locked, over = threading.Event(), threading.Event()

    def hold() -> None:
        with locking.controlled(job, None):
            locked.set()
            over.wait(10)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait(5)
    try:
        for verb in (
            lambda: services.decide(job=job, position=2, decision="done", actor=owner),
            lambda: services.retry(job=job, actor=owner, items="in_doubt"),
        ):
            with pytest.raises(NotAllowedNow, match="being changed"):
                verb()
    finally:
        over.set()
        thread.join()
