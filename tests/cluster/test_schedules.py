"""django-q2's schedules in our cluster: each run once, whatever other schedules, other clusters and their table do."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.conf import Conf as QueueConf
from django_q.models import OrmQ, Schedule
from django_q.tasks import schedule

import bulkops
from bulkops import scheduling, services
from bulkops.cluster import schedules
from bulkops.models import Cluster, Job
from tests.clusters import wait_for
from tests.sample.models import Effect

pytestmark = pytest.mark.django_db(transaction=True)


def due(item: str, **what: object) -> Schedule:
    """A schedule whose time came a minute ago."""
    given = {"schedule_type": Schedule.MINUTES, "minutes": 60, "next_run": timezone.now() - timedelta(minutes=1)}
    return schedule("tests.sample.tasks.write", item, **(given | what))


def queued() -> list[str]:
    return sorted(message.task["args"][0] for message in OrmQ.objects.all())


def test_a_due_schedule_makes_one_task_and_names_its_next_time():
    one = due("hourly")
    schedules.fire_due()
    schedules.fire_due()
    assert queued() == ["hourly"]
    one.refresh_from_db()
    assert one.next_run > timezone.now()


def test_one_that_runs_once_is_gone_and_one_of_the_future_stays():
    due("once", schedule_type=Schedule.ONCE)
    due("later", next_run=timezone.now() + timedelta(minutes=1))
    schedules.fire_due()
    assert queued() == ["once"]
    assert Schedule.objects.get().next_run > timezone.now()


def test_those_of_another_django_q2_cluster_and_those_that_are_used_up_are_left_alone():
    due("elsewhere", cluster="other")
    due("used-up", repeats=0)
    schedules.fire_due()
    assert queued() == []


def test_one_that_cannot_be_read_is_named_and_stops_no_other(caplog):
    for number in range(3):
        due(f"good-{number}")
    Schedule.objects.filter(pk=due("-", name="unreadable").pk).update(args="((")
    Schedule.objects.filter(pk=due("-", name="bad-cron").pk).update(schedule_type=Schedule.CRON, cron="every day")
    schedules.fire_due()
    assert queued() == ["good-0", "good-1", "good-2"]
    named = sorted(line.split()[0] for line in caplog.messages if "event=schedule_failed" in line)
    assert named == ["schedule=bad-cron", "schedule=unreadable"]


def wait_until_gone(passes: schedules.Schedules, seconds: float) -> None:
    """Let the leader look until its process has ended."""

    def look() -> bool:
        passes.look()
        return passes._process is None

    wait_for(look, seconds, "the end of the pass")


def test_a_pass_that_hangs_is_killed_and_the_leader_waits_for_nothing(monkeypatch, settings, caplog):
    settings.BULKOPS = {"schedules_every_seconds": 60}
    monkeypatch.setattr(schedules, "LONGEST_SECONDS", 0.5)
    monkeypatch.setattr(schedules, "fire_due", lambda: time.sleep(60))
    passes = schedules.Schedules("here")
    began = time.monotonic()
    passes.look()
    assert passes._process.is_alive()
    wait_until_gone(passes, 10)
    assert time.monotonic() - began > 0.5
    assert "event=schedules_stopped" in caplog.text


def test_a_stopping_leader_leaves_no_pass_behind(monkeypatch):
    monkeypatch.setattr(schedules, "fire_due", lambda: time.sleep(60))
    passes = schedules.Schedules("here")
    passes.look()
    process = passes._process
    passes.stop()
    assert not process.is_alive()


def test_a_project_that_switches_schedules_off_has_none(monkeypatch):
    monkeypatch.setattr(QueueConf, "SCHEDULER", False)
    passes = schedules.Schedules("here")
    passes.look()
    assert passes._process is None


OFTEN = """
from django.conf import settings
settings.BULKOPS = {"schedules_every_seconds": 0.2, "cluster_renew_seconds": 0.2, "cluster_alive_seconds": 2}
"""


@pytest.mark.slow
def test_two_clusters_run_each_due_schedule_once_though_one_cannot_be_read(clusters):
    both = [clusters(workers=1, prelude=OFTEN) for _ in range(2)]
    Schedule.objects.filter(pk=due("-", name="unreadable").pk).update(args="((")
    with transaction.atomic():
        for number in range(20):
            due(f"{number:02}")
    wait_for(lambda: Effect.objects.count() >= 20, 15, "the tasks")
    time.sleep(1)  # for the second ones, if there were any
    assert sorted(Effect.objects.values_list("item", flat=True)) == [f"{number:02}" for number in range(20)]
    assert any("schedule=unreadable" in cluster.log.read_text() for cluster in both)


@pytest.mark.slow
def test_a_locked_table_of_schedules_does_not_keep_a_leader_from_renewing(clusters):
    cluster = clusters(workers=1, prelude=OFTEN)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE django_q_schedule IN ACCESS EXCLUSIVE MODE")
        wait_for(lambda: "event=schedules_wait" in cluster.log.read_text(), 10, "a pass to meet the lock")
        first = Cluster.objects.get(pk=cluster.row_id).alive_until
        wait_for(lambda: Cluster.objects.get(pk=cluster.row_id).alive_until > first + timedelta(seconds=2), 5)
    due("afterwards")
    wait_for(Effect.objects.exists, 10, "the task")
    assert "database_away" not in cluster.log.read_text()


KILLED_BEFORE_IT_ACKNOWLEDGES = (
    OFTEN
    + """
import os, signal
from bulkops.scheduling import running
from tests.sample.models import Effect
said = running._said
def killed_once(*args, **kwargs):
    if not Effect.objects.filter(item="killed").exists():
        Effect.objects.create(item="killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return said(*args, **kwargs)
running._said = killed_once
"""
)


@pytest.mark.slow
def test_a_worker_killed_between_the_job_and_its_acknowledgement_begins_no_second_one(clusters, owner):
    cluster = clusters(workers=2, prelude=KILLED_BEFORE_IT_ACKNOWLEDGES)
    bulkops.schedule(name="hourly", operation="note", user=owner, every=timedelta(hours=1), items=["a", "b"])
    Schedule.objects.update(next_run=timezone.now() - timedelta(hours=3))
    wait_for(lambda: Job.objects.filter(state="completed").exists(), 20, "the job")
    assert Effect.objects.filter(item="killed").exists()
    # What django-q2 does after `retry` seconds.
    OrmQ.objects.update(lock=timezone.now())
    wait_for(lambda: "event=schedule_done_before" in cluster.log.read_text(), 15, "the second run of the task")
    assert sorted(Effect.objects.exclude(item="killed").values_list("item", flat=True)) == ["a", "b"]
    assert Job.objects.get().schedule == "hourly"


@pytest.mark.slow
def test_two_clusters_begin_one_job_and_skip_the_next_run_while_it_lasts(clusters, owner):
    both = [clusters(workers=1, prelude=OFTEN) for _ in range(2)]
    bulkops.schedule(name="slow", operation="slow-note", user=owner, every=timedelta(hours=1), items=["x"] * 400)
    Schedule.objects.update(next_run=timezone.now() - timedelta(hours=3))
    running = wait_for(lambda: Job.objects.filter(state="running").first(), 20, "the job to run")
    Schedule.objects.update(next_run=timezone.now() + timedelta(seconds=1))
    wait_for(lambda: running.events.filter(kind="run_skipped").exists(), 20, "the next run")
    assert Job.objects.count() == 1
    assert sum("event=schedule_skipped" in cluster.log.read_text() for cluster in both) == 1
    owner.is_active = False
    owner.save()
    services.cancel(job=running, actor=None)
    wait_for(lambda: not Job.objects.active().exists(), 10, "the end of the job")
    Schedule.objects.update(next_run=timezone.now() + timedelta(seconds=1))
    fault = wait_for(scheduling.faults, 20, "the refusal to be seen")
    assert "may not run" in fault[0]
