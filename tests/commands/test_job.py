"""`manage.py job`: shows one job, and controls it through the services."""

from __future__ import annotations

import json

import pytest

from bulkops import services
from bulkops.clock import from_now
from bulkops.models import Cluster, Job
from bulkops.states import JobState

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(owner):
    return services.submit(user=owner, operation="note", items=["a", "b"], name="Spring", input_name="a.csv")


def test_shows_state_figures_and_trail(run, job):
    ran = run("job", job.pk)
    assert ran.code == 0
    for words in (str(job.pk), "Spring", "owner", "0 of 2", "a.csv", "submitted", "No worker is running"):
        assert words in ran.out


def test_json_is_the_status_resource(run, job):
    assert json.loads(run("job", job.pk, "--json").out)["id"] == str(job.pk)


@pytest.mark.django_db(transaction=True)
def test_shows_the_first_failed_items(run, owner, worker):
    job = worker.finish(services.submit(user=owner, operation="habits", items=["fine", "raise", "raise-with-nul"]))
    ran = run("job", job.pk)
    assert "this item is bad" in ran.out
    assert "completed with errors" in ran.out
    assert "\x00" not in ran.out
    assert "and more" not in ran.out


@pytest.mark.django_db(transaction=True)
def test_of_more_failed_items_than_are_shown_says_where_they_are(run, owner, worker):
    job = worker.finish(services.submit(user=owner, operation="habits", items=["raise"] * 6))
    shown = run("job", job.pk).out
    assert shown.count("this item is bad") == 5
    assert f"… and more: manage.py job {job.pk} report --state failed" in shown


def test_never_shows_a_secret(run, person):
    trusted = person("trusted", "sample.change_account")
    job = services.submit(user=trusted, operation="guarded", items=["a"], params={"token": "hush"})
    assert "hush" not in run("job", job.pk).out
    assert "hush" not in run("job", job.pk, "--json").out


def test_a_name_cannot_steer_the_terminal(run, owner):
    job = services.submit(user=owner, operation="note", items=["a"], name="\x1b]0;title\x07")
    assert "\x1b" not in run("job", job.pk).out
    assert "\x1b" not in run("jobs").out


def test_cancel_cancels_and_keeps_the_reason(run, job):
    ran = run("job", job.pk, "cancel", "--reason", "wrong prices")
    assert (ran.code, ran.out) == (0, "Cancelled\n")
    job.refresh_from_db()
    assert (job.state, job.cancel_reason) == (JobState.CANCELLED, "wrong prices")
    assert job.events.filter(kind="cancel_requested", actor=None, detail="wrong prices").exists()


def test_pause_and_resume(run, job):
    assert run("job", job.pk, "pause").out == "Paused\n"
    assert Job.objects.get().state == JobState.PAUSED
    assert run("job", job.pk, "resume", "--reason", "all clear").code == 0
    assert Job.objects.get().state == JobState.QUEUED
    assert job.events.filter(kind="resumed", detail="all clear").exists()


def test_control_with_json_answers_with_the_resource(run, job):
    assert json.loads(run("job", job.pk, "pause", "--json").out)["state"] == "paused"


def test_what_the_state_forbids_is_one_line_and_exit_1(run, job):
    ran = run("job", job.pk, "resume")
    assert (ran.code, ran.out) == (1, "")
    assert ran.complaint == "job: Only a paused job can be resumed."


def test_asking_twice_changes_nothing(run, job):
    run("job", job.pk, "cancel")
    assert run("job", job.pk, "cancel").code == 0
    assert job.events.filter(kind="cancel_requested").count() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "“nonsense” is no job id"),
        (["00000000-0000-0000-0000-000000000000"], "there is no job"),
        (["JOB", "explode"], "invalid choice: 'explode'"),
        (["JOB", "--reason", "why"], "--reason is for"),
        (["JOB", "rate"], "belong together"),
        (["JOB", "pause", "--per-second", "5"], "belong together"),
        (["JOB", "rate", "--per-second", "fast"], "takes a number of items, or none; not “fast”"),
        (["JOB", "rate", "--per-second", "0"], "A speed limit is a number of items per second"),
        (["JOB", "rate", "--per-second", "5", "--reason", "why"], "--reason is for"),
        ([], "required: ID"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(run, job, arguments, words):
    ran = run("job", *[str(job.pk) if argument == "JOB" else argument for argument in arguments])
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint


def test_the_log_does_not_come_between_the_answer_and_its_reader(run, job, caplog):
    caplog.clear()
    run("job", job.pk, "pause")
    assert caplog.records == []
    run("job", job.pk, "resume", "-v", 2)
    assert caplog.records != []


@pytest.fixture
def doubtful(owner, worker):
    """An ended job with an item that failed and one in doubt."""
    job = services.submit(user=owner, operation="habits-outside", items=["fine", "raise", "doubt"])
    return worker.finish(job)


@pytest.mark.django_db(transaction=True)
def test_retry_prints_the_child_and_names_it_when_nothing_is_left(run, doubtful):
    assert "1 failed, 1 in_doubt" in run("job", doubtful.pk).out
    ran = run("job", doubtful.pk, "retry", "--reason", "mended")
    child = Job.objects.get(parent=doubtful)
    assert (ran.code, ran.out) == (0, f"{child.pk}\n")
    again = run("job", doubtful.pk, "retry", "--items", "in_doubt")
    assert (again.code, again.out) == (3, f"{child.pk}\n")
    assert "has an active job, preparing" in again.err
    assert f"the failed items of {doubtful.pk}" in run("job", child.pk).out


@pytest.mark.django_db(transaction=True)
def test_nothing_left_to_retry_is_exit_1_naming_the_child(run, doubtful, worker):
    run("job", doubtful.pk, "retry")
    child = worker.finish(Job.objects.get(parent=doubtful))
    ran = run("job", doubtful.pk, "retry")
    assert ran.code == 1
    assert str(child.pk) in ran.err


@pytest.mark.django_db(transaction=True)
def test_decide_settles_an_item_in_doubt(run, doubtful):
    shown = run("job", doubtful.pk).out
    assert "ITEM IN DOUBT" in shown
    assert f"{doubtful.pk}:2" in shown
    ran = run("job", doubtful.pk, "decide", "--position", 2, "--decision", "done", "--reason", "seen it")
    assert ran.code == 0
    assert doubtful.outcomes.get(position=2).state == "succeeded"
    assert run("job", doubtful.pk, "decide", "--position", 2, "--decision", "done").code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["decide"], "decide needs"),
        (["decide", "--position", 1], "decide needs"),
        (["cancel", "--items", "failed"], "--items is for retry"),
        (["retry", "--position", 1], "are for decide"),
        (["retry", "--force"], "--force is for cancel and pause"),
        (["resume", "--force"], "--force is for cancel and pause"),
        (["retry", "--items", "succeeded"], "invalid choice"),
        (["decide", "--position", 1, "--decision", "maybe"], "invalid choice"),
    ],
)
def test_an_option_of_another_control_is_wrong_use(run, job, arguments, words):
    ran = run("job", job.pk, *arguments)
    assert ran.code == 2
    assert words in ran.err


def test_rate_limits_the_speed_and_none_takes_the_limit_away(run, job):
    assert run("job", job.pk, "rate", "--per-second", "0.5").code == 0
    assert Job.objects.get().rate_per_second == 0.5
    assert "at most 30 items a minute" in run("job", job.pk).out
    assert job.events.filter(kind="rate_changed", detail="at most 30 items a minute; before: no limit").exists()
    assert json.loads(run("job", job.pk, "rate", "--per-second", "none", "--json").out)["rate_limit_per_second"] is None


def test_the_speed_of_an_ended_job_is_exit_1(run, job):
    run("job", job.pk, "cancel")
    ran = run("job", job.pk, "rate", "--per-second", "5")
    assert (ran.code, ran.complaint) == (1, "job: This job has ended already.")


@pytest.mark.parametrize(("control", "said"), [("cancel", "Cancelled"), ("pause", "Paused")])
def test_force_does_not_wait_for_the_worker(run, job, control, said):
    holder = Cluster.objects.create(name="c", alive_until=from_now(60), workers=1, queues=["default"])
    job.chunks.update(holder=holder, worker=1)
    assert "the item in hand is finished first" in run("job", job.pk, control).out
    assert run("job", job.pk, control, "--force", "--reason", "it hangs").out == f"{said}\n"
    assert job.events.filter(kind="forced", actor=None, detail="it hangs").exists()
