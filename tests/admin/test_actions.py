"""The admin's actions over chosen jobs: done to each by its service, refusals told in words."""

from __future__ import annotations

import pytest

from bulkops import services
from bulkops.admin import actions
from bulkops.models import Event, Job
from bulkops.states import JobState
from tests.admin.conftest import staff

pytestmark = pytest.mark.django_db

JOBS = "/admin/bulkops/job/"


@pytest.fixture
def over(person):
    """Somebody else's, completed."""
    over = services.submit(user=person("other"), operation="note", items=["a"], name="Over")
    Job.objects.filter(pk=over.pk).update(state=JobState.COMPLETED, slot=None)
    over.chunks.update(cursor=1, succeeded=1, finished=True)
    return over


@pytest.fixture
def press(operator, admin_of):
    """Does an action to jobs as the operator and returns what the page says then."""

    def press(action, *jobs, **more):
        chosen = {"action": action, "_selected_action": [str(job.pk) for job in jobs]}
        answer = admin_of(operator).post(JOBS, chosen | more, follow=True)
        return [str(message) for message in answer.context["messages"]]

    return press


def link(job):
    return f'<a href="{JOBS}{job.pk}/change/">{job.name}</a>'


def state_of(job):
    job.refresh_from_db()
    return job.state


def test_cancel_says_which_could_not_be_and_why(press, operator, job, over):
    assert press("cancel", job, over) == [
        "1 job is cancelled or about to be.",
        f"1 refused: This job has ended already. {link(over)}",
    ]
    assert state_of(job) == JobState.CANCELLED
    assert job.cancel_reason == "Cancelled in the admin"
    assert job.events.filter(actor=operator, kind="cancel_requested").exists()


def test_a_reason_is_kept_in_the_trail(press, job):
    press("pause", job, reason="  The shop is closed. ")
    assert state_of(job) == JobState.PAUSED
    assert Event.objects.get(job=job, kind="pause_requested").detail == "The shop is closed."


def test_paused_jobs_go_on(press, job, over):
    services.pause(job=job, actor=None)
    assert press("resume", job, over) == [
        "1 job is going on.",
        f"1 refused: Only a paused job can be resumed. {link(over)}",
    ]
    assert state_of(job) == JobState.QUEUED


def test_retry_names_the_new_job(press, owner, job, over):
    services.cancel(job=job, actor=None)
    said = press("retry", job, over)
    child = Job.objects.get(parent=job)
    assert (child.owner, child.retry_items) == (owner, "unprocessed")
    assert said == [
        f"1 job is retried: see {link(child)}.",
        f"1 refused: This job has no failed items. {link(over)}",
    ]


def test_retry_is_refused_while_the_owner_has_an_active_job(press, owner, job):
    services.cancel(job=job, actor=None)
    running = services.submit(user=owner, operation="note", items=["a"], name="<i>Now</i>")
    (said,) = press("retry", job)
    assert said.startswith("1 refused: Its owner's job ")
    assert f'<a href="{JOBS}{running.pk}/change/">&lt;i&gt;Now&lt;/i&gt;</a> is still active' in said


def test_equal_refusals_are_told_once(press, person):
    jobs = []
    for number in range(3):
        job = services.submit(user=person(f"user{number}"), operation="note", items=["a"], name=f"Job {number}")
        services.cancel(job=job, actor=None)
        jobs.append(job)
    (said,) = press("pause", *jobs)
    assert said == "3 refused: This job cannot be paused any more. " + ", ".join(map(link, jobs))


def test_too_many_are_refused_before_anything_is_done(press, monkeypatch, job, over):
    monkeypatch.setattr(actions, "MOST", 1)
    assert press("cancel", job, over) == ["Nothing was done: at most 1 jobs can be chosen at once."]
    assert state_of(job) == JobState.QUEUED


def test_what_was_not_reached_in_time_is_left_alone(press, monkeypatch, job, over):
    monkeypatch.setattr(actions, "SECONDS", -1.0)
    assert press("cancel", job, over) == [
        "The last 2 jobs were not reached in time and stay as they are. Choose them again."
    ]
    assert state_of(job) == JobState.QUEUED


def test_who_may_only_look_has_no_action(colleague, admin_of, job):
    client = admin_of(staff(colleague))
    page = client.get(JOBS).content.decode()
    for action in ("cancel", "pause", "resume", "retry"):
        assert f'value="{action}"' not in page
        client.post(JOBS, {"action": action, "_selected_action": [str(job.pk)]})
        assert state_of(job) == JobState.QUEUED
