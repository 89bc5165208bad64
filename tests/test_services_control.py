"""Cancel, pause, resume, force, speed: from every state, for everybody, with living and with dead holders."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections, transaction
from django_q.models import OrmQ

from bulkops import progress, services, transitions
from bulkops.clock import from_now
from bulkops.exceptions import InvalidRate, NotAllowedNow, NotPermitted
from bulkops.models import Chunk, Cluster, Event, Job, Turn
from bulkops.states import ACTIVE, ENDED, EventKind, JobState
from bulkops.verify import verify

pytestmark = pytest.mark.django_db

CONTROLS = {
    "cancel": services.cancel,
    "pause": services.pause,
    "resume": services.resume,
    "rate": lambda job, actor: services.set_rate(job=job, rate=5, actor=actor),
    "forced cancel": lambda job, actor: services.cancel(job=job, actor=actor, force=True),
    "forced pause": lambda job, actor: services.pause(job=job, actor=actor, force=True),
}
REFUSED = "refused"

# What each control makes of each active state, when nobody holds anything of the job, and when a living worker does.
# A state that stands for itself: asking again changes nothing.
UNHELD = {
    "cancel": dict.fromkeys(ACTIVE, JobState.CANCELLED),
    "pause": {
        **dict.fromkeys(ACTIVE, JobState.PAUSED),
        JobState.CANCELLING: REFUSED,
    },
    "resume": {
        **dict.fromkeys(ACTIVE, REFUSED),
        JobState.PAUSED: JobState.RUNNING,
        JobState.PAUSING: JobState.RUNNING,
    },
    "rate": {state: state for state in ACTIVE},
}
UNHELD |= {f"forced {control}": UNHELD[control] for control in ("cancel", "pause")}
HELD = {
    "cancel": {**dict.fromkeys(ACTIVE, JobState.CANCELLING), JobState.PAUSED: JobState.CANCELLING},
    "pause": {
        **dict.fromkeys(ACTIVE, JobState.PAUSING),
        JobState.CANCELLING: REFUSED,
    },
    "resume": dict.fromkeys(ACTIVE, REFUSED),
    "rate": {state: state for state in ACTIVE},
}
# Force waits for no worker: it makes of each state what there is to make of it when nobody holds anything.
HELD |= {f"forced {control}": UNHELD[control] for control in ("cancel", "pause")}


def cluster(seconds=60):
    return Cluster.objects.create(name="c", alive_until=from_now(seconds), workers=1, queues=["default"])


def hold(job, holder):
    """Put the job's turn and chunk into a worker's hand."""
    OrmQ.objects.all().delete()
    Turn.objects.filter(job=job).update(holder=holder, worker=1, message_id=None)
    Chunk.objects.filter(job=job).update(holder=holder, worker=1)


def apply(control, job, actor):
    """The state after the control, or REFUSED, after which nothing may have changed."""
    before = job.state
    try:
        CONTROLS[control](job=job, actor=actor)
    except NotAllowedNow:
        job.refresh_from_db()
        assert job.state == before
        assert not Event.objects.exists()
        return REFUSED
    job.refresh_from_db()
    return job.state


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_job_that_nobody_holds_settles_at_once(job_in, owner, state, control):
    assert apply(control, job_in(state), owner) == UNHELD[control][JobState(state)]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_a_job_held_by_a_dead_worker_settles_at_once_too(job_in, owner, state, control):
    job = job_in(state)
    hold(job, cluster(seconds=-1))
    assert apply(control, job, owner) == UNHELD[control][JobState(state)]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("state", sorted(ACTIVE - {JobState.PAUSED}))
def test_a_job_in_a_living_workers_hand_waits_for_it(job_in, owner, state, control):
    job = job_in(state)
    hold(job, cluster())
    assert apply(control, job, owner) == HELD[control][JobState(state)]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("state", sorted(ENDED))
def test_an_ended_job_is_left_alone(job_in, owner, state, control):
    expected = state if "cancel" in control and state == JobState.CANCELLED else REFUSED
    assert apply(control, job_in(state), owner) == expected


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("state", sorted(JobState))
def test_whoever_may_change_jobs_may_what_the_owner_may(job_in, manager, state, control):
    expected = UNHELD[control].get(JobState(state), REFUSED)
    if "cancel" in control and state == JobState.CANCELLED:
        expected = state
    assert apply(control, job_in(state), manager) == expected


def refuses(control, job, actor) -> bool:
    try:
        control(job=job, actor=actor)
    except NotPermitted:
        return True
    return False


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("state", sorted(JobState))
def test_nobody_else_may_control_it_in_any_state(job_in, colleague, stranger, person, state, control):
    job = job_in(state)
    staff, gone = person("staff"), User.objects.get(pk=job.owner.pk)
    staff.is_staff, gone.is_active = True, False
    others = {"colleague": colleague, "stranger": stranger, "staff": staff, "gone": gone, "anonymous": AnonymousUser()}
    for who, actor in others.items():
        assert refuses(CONTROLS[control], job, actor), who
        job.refresh_from_db()
        assert job.state == state, who
        assert not Event.objects.exists(), who


@pytest.mark.parametrize("state", sorted(JobState))
def test_what_faces_offer_is_what_services_take(job_in, owner, state):
    for control, offered in (("cancel", "cancellable"), ("pause", "pausable"), ("resume", "resumable")):
        job = job_in(state)
        if progress.allowed(job, progress.of(job))[offered]:
            assert apply(control, job, owner) not in {REFUSED, state}
        Job.objects.all().delete()


def test_the_shell_may_control_every_job(job_in):
    assert apply("cancel", job_in(JobState.RUNNING), None) == JobState.CANCELLED
    assert Event.objects.filter(kind=EventKind.CANCEL_REQUESTED, actor=None).exists()


def test_the_trail_says_who_and_why(job_in, manager):
    job = job_in(JobState.RUNNING)
    services.pause(job=job, actor=manager, reason="  lunch  ")
    services.resume(job=job, actor=manager, reason="fed")
    services.cancel(job=job, actor=manager, reason="wrong\x00 prices")
    told = list(Event.objects.order_by("pk").values_list("kind", "detail", "actor"))
    asked = [(kind, detail) for kind, detail, _ in told if kind != EventKind.STATE_CHANGED]
    assert asked == [
        ("pause_requested", "lunch"),
        ("resumed", "fed"),
        ("cancel_requested", "wrong\N{REPLACEMENT CHARACTER} prices"),
    ]
    assert {actor for _, _, actor in told} == {manager.pk}
    job.refresh_from_db()
    assert job.cancel_reason == "wrong\N{REPLACEMENT CHARACTER} prices"


def test_asking_twice_is_told_once(job_in, owner):
    job = job_in(JobState.RUNNING)
    hold(job, cluster())
    for _ in range(3):
        services.cancel(job=job, actor=owner)
    assert Event.objects.filter(kind=EventKind.CANCEL_REQUESTED).count() == 1


def test_pause_asks_the_worker_to_stop_and_takes_waiting_messages_back(job_in, owner):
    job = job_in(JobState.RUNNING)
    seq = job.turns.get().seq
    services.pause(job=job, actor=owner)
    assert job.chunks.get().stop
    assert not OrmQ.objects.exists()
    assert job.turns.get().due is None
    assert job.turns.get().seq > seq, "a message that was already taken is inert"


def test_resume_puts_one_message_for_each_turn_back(owner):
    job = services.submit(user=owner, operation="note", items=["a", "b"], parallelism=3)
    services.pause(job=job, actor=owner)
    services.resume(job=job, actor=owner)
    assert not job.chunks.get().stop
    assert OrmQ.objects.count() == 3
    assert job.turns.filter(due__isnull=False, holder=None).count() == 3


def test_a_paused_job_keeps_the_slot_and_a_cancelled_one_frees_it(job_in, owner):
    job = job_in(JobState.RUNNING)
    services.pause(job=job, actor=owner)
    job.refresh_from_db()
    assert job.slot == transitions.user_slot(owner)
    services.cancel(job=job, actor=owner)
    assert services.submit(user=owner, operation="note", items=["c"]).is_active


def test_a_job_with_only_its_finish_left_can_be_cancelled_but_not_paused(job_in, owner):
    job = job_in(JobState.RUNNING)
    job.chunks.update(cursor=2, succeeded=2, finished=True)
    with pytest.raises(NotAllowedNow):
        services.pause(job=job, actor=owner)
    services.cancel(job=job, actor=owner)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLING, "a worker runs its finish: the last item won the race"


@pytest.mark.parametrize("state", sorted({JobState.QUEUED, JobState.PREPARING}))
def test_a_job_that_never_started_resumes_where_it_was(job_in, owner, state):
    job = job_in(state)
    services.pause(job=job, actor=owner)
    services.resume(job=job, actor=owner)
    job.refresh_from_db()
    assert job.state == state


def test_a_job_that_is_gone_cannot_be_controlled(job_in, owner):
    job = job_in(JobState.QUEUED)
    Job.objects.all().delete()
    with pytest.raises(NotAllowedNow, match="no longer exists"):
        services.cancel(job=job, actor=owner)


@pytest.mark.django_db(transaction=True)
def test_what_was_done_before_a_cancel_stays_done(owner, worker, settings):
    settings.BULKOPS = {"slice_seconds": 0}
    job = services.submit(user=owner, operation="note", items=list("abc"))
    worker.step()
    services.cancel(job=job, actor=owner)
    assert worker.drain() == []
    job.refresh_from_db()
    figures = progress.of(job)
    assert (job.state, figures.processed, figures.unprocessed) == (JobState.CANCELLED, 1, 2)
    assert verify(job.pk).agrees


@pytest.mark.django_db(transaction=True)
def test_a_paused_job_goes_on_where_it_stood(owner, worker, settings):
    settings.BULKOPS = {"slice_seconds": 0}
    job = services.submit(user=owner, operation="note", items=list("abc"))
    worker.step()
    services.pause(job=job, actor=owner)
    assert worker.drain() == []
    services.resume(job=job, actor=owner)
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert verify(job.pk).found["succeeded"] == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("control", CONTROLS)
def test_a_job_locked_for_long_is_answered_within_the_lock_timeout(job_in, owner, control, settings):
    settings.BULKOPS = {"lock_timeout_seconds": 0.2}
    job, refused = job_in(JobState.RUNNING), []

    def press() -> None:
        try:
            CONTROLS[control](job=job, actor=owner)
        except NotAllowedNow as refusal:
            refused.append(refusal.message)
        finally:
            connections.close_all()

    thread = threading.Thread(target=press)
    with transaction.atomic():
        transitions.lock_job(job.pk)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    assert "being changed" in refused[0]


@pytest.mark.parametrize(("wanted", "expected"), [(4, 4), (5, 5), (None, 5), (6, REFUSED)])
def test_no_change_of_the_speed_exceeds_the_operations_own_as_no_submission_does(owner, monkeypatch, wanted, expected):
    monkeypatch.setattr("tests.sample.operations.Note.rate_per_second", 5)
    asked = {"user": owner, "operation": "note", "items": ["a"]}
    job = services.submit(**asked)
    if expected is REFUSED:
        with pytest.raises(InvalidRate, match="limited to 5 items"):
            services.set_rate(job=job, rate=wanted, actor=owner)
        with pytest.raises(InvalidRate, match="limited to 5 items"):
            services.check(**asked, rate_per_second=wanted)
    else:
        assert services.set_rate(job=job, rate=wanted, actor=owner).rate_per_second == expected
        assert services.check(**asked, rate_per_second=wanted).rate_per_second == expected
