"""Cancel and pause by force: everything is taken out of living hands, and nothing that was done is lost."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from bulkops import services
from bulkops.engine import chunks, turns
from bulkops.engine.statements import ItemStatements, Try
from bulkops.exceptions import NotAllowedNow
from bulkops.models import Event, Job
from bulkops.states import EventKind, JobState
from bulkops.verify import verify
from tests.sample.models import Effect
from tests.sample.operations import Note, NoteOutside
from tests.test_services_control import CONTROLS, cluster, hold
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db

FORCED = ["cancel", "pause"]


def forced(job, control, actor, reason="it hangs"):
    getattr(services, control)(job=job, actor=actor, reason=reason, force=True)
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("control", FORCED)
@pytest.mark.parametrize("asked_before", [True, False])
def test_force_takes_everything_out_of_living_hands_and_says_who_and_why(job_in, manager, control, asked_before):
    job = job_in(JobState.RUNNING)
    hold(job, cluster())
    if asked_before:
        CONTROLS[control](job=job, actor=manager)
    epoch, seq = job.chunks.get().epoch, job.turns.get().seq
    forced(job, control, manager)
    assert job.state == {"cancel": JobState.CANCELLED, "pause": JobState.PAUSED}[control]
    told = Event.objects.get(kind=EventKind.FORCED)
    assert (told.actor, told.detail) == (manager, "it hangs")
    assert not Event.objects.filter(kind=EventKind.RESCUED).exists()
    chunk, turn = job.chunks.get(), job.turns.get()
    assert (chunk.holder, turn.holder, turn.due) == (None, None, None)
    assert chunk.epoch > epoch, "what is still in hand can commit nothing"
    assert turn.seq > seq, "and hand nothing on"


@pytest.mark.parametrize("control", FORCED)
def test_force_where_nobody_holds_anything_is_told_as_what_it_is(job_in, owner, control):
    forced(job_in(JobState.RUNNING), control, owner)
    assert not Event.objects.filter(kind=EventKind.FORCED).exists()


def test_a_refused_force_takes_nothing_away(job_in, owner):
    job = job_in(JobState.CANCELLING)
    hold(job, cluster())
    with pytest.raises(NotAllowedNow):
        services.pause(job=job, actor=owner, force=True)
    assert job.chunks.get().holder is not None


def test_force_leaves_a_job_its_finish(job_in, owner):
    job = job_in(JobState.RUNNING)
    job.chunks.update(cursor=2, succeeded=2, finished=True)
    hold(job, cluster())
    assert forced(job, "cancel", owner).state == JobState.CANCELLING
    assert job.turns.get().holder is not None, "whoever has it in hand runs it"


@pytest.mark.django_db(transaction=True)
def test_an_item_that_ended_in_time_keeps_its_outcome_and_one_in_hand_is_unprocessed(owner, worker, monkeypatch):
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    process = Note.process

    def forcing(self, item, params, context):
        if item == "b":
            in_another_thread(lambda: forced(Job.objects.get(pk=job.pk), "pause", owner))
        return process(self, item, params, context)

    monkeypatch.setattr(Note, "process", forcing)
    worker.drain()
    job.refresh_from_db()
    assert (job.state, [one.position for one in job.outcomes.all()]) == (JobState.PAUSED, [0])
    assert list(Effect.objects.values_list("item", flat=True)) == ["a"]
    monkeypatch.setattr(Note, "process", process)
    services.resume(job=job, actor=owner)
    assert worker.finish(job).state == JobState.COMPLETED
    assert verify(job.pk).found["succeeded"] == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("control", FORCED)
def test_an_item_that_must_not_be_begun_twice_is_in_doubt_and_if_it_was_the_last_the_job_ends(
    owner, worker, monkeypatch, settings, control
):
    settings.BULKOPS = {"turn_grace_seconds": 0}
    monkeypatch.setattr(NoteOutside, "in_doubt", "hold")
    job = services.submit(user=owner, operation="note-outside", items=["a"])
    claim = chunks.claim(turns.take(job.pk, 0, 0, worker.holder), worker.holder)
    statements = ItemStatements()
    statements.prepare()
    statements.begin(Try(claim=claim, position=0))
    forced(job, control, owner)
    other = InProcessWorker()
    other.rescue()
    other.finish(job)
    assert (job.state, job.outcomes.get().state) == (JobState.COMPLETED_WITH_ERRORS, "in_doubt")
    assert verify(job.pk).agrees


def in_another_thread(do) -> None:
    """With a connection of its own, as another process has it."""

    def done() -> None:
        do()
        connections.close_all()

    thread = threading.Thread(target=done)
    thread.start()
    thread.join()
