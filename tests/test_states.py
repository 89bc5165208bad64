"""The table of moves: every allowed one is taken and told, every other is refused and leaves no trace."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from django.db import transaction

from bulkops import transitions
from bulkops.exceptions import NotAllowedNow
from bulkops.models import Event, Job
from bulkops.states import ACTIVE, ENDED, PROCESSED, STOPPING, TRANSITIONS, WORKABLE, EventKind, JobState, OutcomeState

PAIRS = list(itertools.product(JobState, JobState))


@pytest.fixture
def job_in(owner):
    """Makes a job that is in a state already."""

    def make(state):
        slot = transitions.user_slot(owner) if state in ACTIVE else None
        finished_at = None if state in ACTIVE else datetime(2026, 1, 1, tzinfo=UTC)
        return Job.objects.create(operation="note", owner=owner, state=state, slot=slot, finished_at=finished_at)

    return make


def pairs(allowed):
    chosen = [pair for pair in PAIRS if (pair in TRANSITIONS) == allowed]
    return pytest.mark.parametrize(("origin", "to"), chosen, ids=[f"{origin} to {to}" for origin, to in chosen])


@pairs(allowed=True)
@pytest.mark.django_db
def test_an_allowed_move_is_taken_and_told(job_in, owner, origin, to):
    job = job_in(origin)
    transitions.move(job, to, actor=owner)
    stored = Job.objects.get()
    assert stored.state == job.state == to
    assert (stored.slot is None) == (to in ENDED)
    assert (stored.finished_at is None) == (to not in ENDED)
    assert origin in ACTIVE or stored.finished_at == job.finished_at, "it ended when it ended"
    assert (stored.started_at is not None) == (to == JobState.RUNNING)
    event = Event.objects.get()
    assert (event.kind, event.from_state, event.to_state, event.actor) == (EventKind.STATE_CHANGED, origin, to, owner)
    assert event.detail == TRANSITIONS[origin, to]


@pairs(allowed=False)
@pytest.mark.django_db
def test_any_other_move_is_refused_and_leaves_no_trace(job_in, origin, to):
    job = job_in(origin)
    with pytest.raises(NotAllowedNow) as refusal:
        transitions.move(job, to)
    assert refusal.value.job == job
    assert Job.objects.get().state == origin
    assert not Event.objects.exists()


@pytest.mark.django_db
def test_a_move_from_a_state_that_is_no_longer_true_is_refused(job_in):
    job = job_in(JobState.QUEUED)
    Job.objects.update(state=JobState.PAUSED)
    with pytest.raises(NotAllowedNow, match="has just changed"):
        transitions.move(job, JobState.RUNNING)
    assert Job.objects.get().state == JobState.PAUSED


@pytest.mark.django_db
def test_a_resumed_job_keeps_the_moment_it_started(job_in):
    job = job_in(JobState.QUEUED)
    transitions.move(job, JobState.RUNNING)
    started = Job.objects.get().started_at
    transitions.move(job, JobState.PAUSED)
    transitions.move(job, JobState.RUNNING)
    assert Job.objects.get().started_at == started


@pytest.mark.django_db
def test_a_move_can_carry_fields_and_a_reason_of_its_own(job_in):
    job = job_in(JobState.RUNNING)
    transitions.move(job, JobState.FAILED, error="gone", error_code="unknown-operation", detail="the operation is gone")
    stored = Job.objects.get()
    assert (stored.error, stored.error_code) == ("gone", "unknown-operation")
    assert (job.error, job.error_code) == ("gone", "unknown-operation")
    assert Event.objects.get().detail == "the operation is gone"


@pytest.mark.django_db(transaction=True)
def test_a_move_that_is_rolled_back_never_happened(job_in):
    job = job_in(JobState.QUEUED)
    with transaction.atomic():
        transitions.move(job, JobState.RUNNING)
        transaction.set_rollback(True)
    assert Job.objects.get().state == JobState.QUEUED
    assert not Event.objects.exists()


def test_no_move_leads_out_of_an_end_but_for_a_doubt_that_was_settled():
    """Which makes of one end a better one, and opens nothing again."""
    assert {edge for edge in TRANSITIONS if edge[0] in ENDED} == {(JobState.COMPLETED_WITH_ERRORS, JobState.COMPLETED)}


def test_every_state_can_be_reached_from_the_two_first_ones():
    reached = {JobState.PREPARING, JobState.QUEUED}
    for _ in JobState:
        reached |= {to for origin, to in TRANSITIONS if origin in reached}
    assert reached == set(JobState)


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_every_active_state_can_be_cancelled(state):
    direct = {to for origin, to in TRANSITIONS if origin == state}
    assert JobState.CANCELLED in direct


def test_the_groups_of_states_fit_together():
    assert WORKABLE | STOPPING | {JobState.PAUSED} == ACTIVE
    assert not WORKABLE & STOPPING
    assert set(JobState) == ACTIVE | ENDED
    assert not ACTIVE & ENDED
    assert set(OutcomeState) - {OutcomeState.DEFERRED} == PROCESSED


def test_every_move_says_why():
    assert all(reason and reason[0].islower() for reason in TRANSITIONS.values())
