"""Schedules: one job a planned time, on a slot of their own, and nothing hidden when a run cannot begin."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from django_q.conf import Conf as QueueConf
from django_q.models import OrmQ, Schedule, Task

import bulkops
from bulkops import scheduling, services
from bulkops.clock import from_now
from bulkops.cluster.inbox import Outbox
from bulkops.models import Job
from bulkops.scheduling import running
from bulkops.states import EventKind, JobState
from tests.clusters import wait_for
from tests.elsewhere import elsewhere
from tests.sample.models import Account

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def hourly(owner):
    """A schedule that takes two notes an hour."""
    return bulkops.schedule(name="hourly", operation="note", user=owner, every=HOUR, items=["a", "b"])


def run(name="hourly", ago=timedelta(0)):
    """The task of a planned time, as a worker runs it."""
    return scheduling.run(name, planned=(timezone.now() - ago).isoformat())


def fail(name, error):
    """What becomes of a task that raised."""
    now = timezone.now()
    task = {"id": "x" * 32, "name": "t", "func": scheduling.RUN, "args": (name,), "kwargs": {}, "group": name}
    result = f"{error} : Traceback (most recent call last): …"
    Outbox().put(
        task | {"started": now, "stopped": now, "result": result, "success": False, "ack_id": 0, "ack_failure": True}
    )


def refused(name="hourly"):
    """Why the run could not begin, from its exception to what the faces show."""
    with pytest.raises(scheduling.RunRefused) as refusal:
        run(name)
    fail(name, refusal.value)
    assert scheduling.find(name).last_error == refusal.value.message
    assert any(refusal.value.message in fault for fault in scheduling.faults())
    assert not Job.objects.exists()
    return refusal.value.message


# -- defining


def test_defining_again_changes_the_one_row_and_keeps_its_next_run(owner, hourly):
    again = bulkops.schedule(name="hourly", operation="note", user=owner, every=HOUR, items=["c"])
    assert again.next_run == hourly.next_run
    assert Schedule.objects.count() == 1
    run()
    assert Job.objects.get().total == 1


def test_other_times_move_the_next_run(owner, hourly):
    sooner = bulkops.schedule(name="hourly", operation="note", user=owner, every=timedelta(minutes=5), items=["a"])
    assert sooner.next_run < hourly.next_run - timedelta(minutes=50)
    assert sooner.when == "every 5 min"


def test_two_deploys_that_define_it_at_once_make_one_row(owner):
    def define():
        bulkops.schedule(name="both", operation="note", user=owner, every=HOUR, items=["a"])
        connection.close()

    threads = [threading.Thread(target=define) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Schedule.objects.count() == 1


def test_a_paused_one_stays_paused_when_it_is_defined_again_and_goes_on_with_a_time_to_come(owner, hourly):
    assert scheduling.pause("hourly").paused
    assert bulkops.schedule(name="hourly", operation="note", user=owner, every=HOUR, items=["a"]).paused
    Schedule.objects.update(next_run=timezone.now() - timedelta(hours=5, minutes=20))
    assert run() == "paused"
    resumed = scheduling.resume("hourly")
    assert not resumed.paused
    assert timedelta(minutes=35) < resumed.next_run - timezone.now() < timedelta(minutes=45)


def change(owner, how):
    if how == "define":
        bulkops.schedule(name="hourly", operation="note", user=owner, every=HOUR, items=["c", "d", "e"])
    else:
        getattr(scheduling, how)("hourly")


@pytest.mark.parametrize(
    ("first", "second"),
    [("define", "pause"), ("pause", "define"), ("unschedule", "pause"), ("unschedule", "resume")],
)
def test_of_two_changes_at_once_neither_is_lost(owner, hourly, first, second):
    said = []

    def other():
        try:
            change(owner, second)
        except bulkops.BulkopsError as refusal:
            said.append(refusal)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        change(owner, first)
        thread.start()
        wait_for(somebody_waits_for_a_lock, 5, "the second change to wait for the first")
    thread.join()
    if first == "unschedule":
        assert [type(refusal) for refusal in said] == [scheduling.UnknownSchedule]
    else:
        assert scheduling.find("hourly").paused
        assert scheduling.run_now("hourly").total == 3


def somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"every": None}, "either"),
        ({"cron": "0 3 * * *"}, "either"),
        ({"every": timedelta(seconds=90)}, "whole minutes"),
        ({"every": timedelta(0)}, "whole minutes"),
        ({"every": timedelta(days=23)}, "22 days"),
        ({"every": None, "cron": "every day"}, "five fields"),
        ({"every": None, "cron": "* * * * * *"}, "five fields"),
        ({"every": None, "cron": "61 * * * *"}, "no cron expression"),
        ({"every": None, "cron": "0 0 31 2 *"}, "no cron expression"),
        ({"starts_at": datetime(2030, 1, 1)}, "time zone"),  # noqa: DTZ001 - the naive one is the point
        ({"operation": "gone"}, "no operation"),
        ({"items": None}, "needs items"),
        ({"items": ["x" * 70_000]}, "65,536"),
        ({"params": {"cents": 1}}, "no such parameter"),
        ({"operation": "guarded"}, "may not run"),
        ({"operation": "guarded", "params": {"token": "t0p"}}, "secrets: token"),
    ],
)
def test_what_could_not_run_is_refused_when_it_is_defined(owner, what, words):
    with pytest.raises(bulkops.BulkopsError, match=words):
        bulkops.schedule(**{"name": "n", "operation": "note", "user": owner, "every": HOUR, "items": ["a"]} | what)
    assert not Schedule.objects.exists()


def test_starts_at_says_when_it_begins(owner):
    at = timezone.now() + timedelta(days=3)
    assert (
        bulkops.schedule(name="n", operation="note", user=owner, every=HOUR, items=["a"], starts_at=at).next_run == at
    )


# -- times


def test_cron_times_are_those_of_django_q2s_zone_also_when_clocks_change(owner, monkeypatch):
    """Autumn repeats an hour, and a time in it comes twice; spring leaves one out, and such a time comes at its end."""
    monkeypatch.setattr(QueueConf, "TIME_ZONE", "Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")
    shown = bulkops.schedule(name="night", operation="note", user=owner, cron="30 2 * * *", items=["a"])
    assert shown.when == "30 2 * * * (Europe/Berlin)"
    assert shown.next_run.astimezone(berlin).time().isoformat() == "02:30:00"

    def times(cron, now, number):
        row, found = Schedule(schedule_type=Schedule.CRON, cron=cron), []
        for _ in range(number):
            monkeypatch.setattr("django_q.models.localtime", lambda at=now: at)
            now = row.calculate_next_run()
            found.append(now.astimezone(UTC).strftime("%d %H:%M"))
        return found

    assert times("0 9 * * *", datetime(2027, 10, 30, 12, tzinfo=berlin), 2) == ["31 08:00", "01 08:00"]
    assert times("30 2 * * *", datetime(2027, 10, 30, 12, tzinfo=berlin), 3) == ["31 00:30", "31 01:30", "01 01:30"]
    assert times("30 2 * * *", datetime(2027, 3, 27, 12, tzinfo=berlin), 2) == ["28 01:00", "29 00:30"]


def test_django_q2_makes_a_task_of_a_due_one_with_its_planned_time(hourly):
    from bulkops.cluster import schedules

    planned = timezone.now() - timedelta(hours=5, minutes=20)
    Schedule.objects.update(next_run=planned)
    schedules.fire_due()
    schedules.fire_due()
    task = OrmQ.objects.get().task
    assert (task["func"], task["args"]) == (scheduling.RUN, ("hourly",))
    assert scheduling.run(*task["args"], **task["kwargs"]) == "begun"
    assert Schedule.objects.get().next_run > timezone.now()


# -- runs


def test_a_run_twice_begins_one_job_though_it_has_ended_meanwhile(worker, hourly):
    at = timezone.now().isoformat()
    assert scheduling.run("hourly", planned=at) == "begun"
    job = worker.finish(Job.objects.get())
    assert (job.state, job.schedule, job.slot) == (JobState.COMPLETED, "hourly", None)
    assert job.events.get(kind=EventKind.SUBMITTED).detail == "by the schedule hourly"
    assert scheduling.run("hourly", planned=at) == "done before"
    # Also where the host that began it had a slow clock.
    Job.objects.update(created_at=timezone.now() - HOUR)
    assert scheduling.run("hourly", planned=at) == "done before"
    assert Job.objects.count() == 1


def test_missed_times_make_one_run(worker, hourly):
    assert run(ago=5 * HOUR) == "begun"
    worker.drain()
    assert [run(ago=hours * HOUR) for hours in (4, 3, 2, 1)] == ["done before"] * 4
    assert Job.objects.count() == 1
    assert run() == "begun"


def test_a_run_whose_predecessor_is_active_is_skipped_once_and_the_trail_says_so(worker, hourly):
    run(ago=HOUR)
    job = Job.objects.get()
    at = timezone.now().isoformat()
    assert [scheduling.run("hourly", planned=at) for _ in range(2)] == ["skipped", "skipped"]
    event = job.events.get(kind=EventKind.RUN_SKIPPED)
    assert event.detail == f"the schedule hourly, planned for {at}"
    assert scheduling.find("hourly").skipped == 1
    worker.drain()
    assert run() == "begun"  # the schedule goes on


def test_a_scheduled_job_and_its_owners_do_not_keep_each_other_waiting(worker, owner, hourly):
    mine = services.submit(user=owner, operation="note", items=["x"])
    assert run() == "begun"
    scheduled = Job.objects.get(schedule="hourly")
    assert scheduled.is_active
    with pytest.raises(bulkops.ActiveJobExists) as refusal:
        services.submit(user=owner, operation="note", items=["y"])
    assert refusal.value.job == mine
    assert worker.finish(mine).state == JobState.COMPLETED
    scheduled.refresh_from_db()
    assert scheduled.state == JobState.COMPLETED


def test_a_retry_of_its_items_takes_the_owners_slot(worker, owner):
    bulkops.schedule(name="bad", operation="ending", user=owner, every=HOUR, items=["bad"])
    run("bad")
    job = worker.finish(Job.objects.get())
    mine = services.submit(user=owner, operation="note", items=["x"])
    with pytest.raises(bulkops.ActiveJobExists):
        services.retry(job=job, actor=owner)
    worker.finish(mine)
    child = services.retry(job=job, actor=owner)
    assert (child.slot, child.schedule) == (f"user:{owner.pk}", "")


def test_a_run_that_meets_its_owners_row_locked_is_tried_again(owner, hourly, settings):
    settings.BULKOPS = {"lock_timeout_seconds": 0.1}
    with elsewhere() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM auth_user WHERE id = %s FOR UPDATE", [owner.pk])
        assert run() == "busy"
        other.execute("ROLLBACK")
    message = OrmQ.objects.get()
    assert OrmQ.objects.filter(lock__gt=from_now(running.BUSY_SECONDS - 2)).exists()
    assert scheduling.run(*message.task["args"]) == "begun"


def test_run_now_begins_it_at_once_and_leaves_its_times(hourly):
    scheduling.pause("hourly")
    job = scheduling.run_now("hourly")
    assert job.schedule == "hourly"
    with pytest.raises(bulkops.ActiveJobExists):
        scheduling.run_now("hourly")
    assert scheduling.find("hourly").next_run == hourly.next_run


def test_a_deleted_one_begins_nothing_and_its_job_goes_on(worker, hourly):
    run()
    scheduling.unschedule("hourly")
    assert run() == "gone"
    assert worker.finish(Job.objects.get()).state == JobState.COMPLETED
    with pytest.raises(scheduling.UnknownSchedule):
        scheduling.unschedule("hourly")


# -- runs that cannot begin


def test_a_deactivated_owner_is_named_until_a_run_begins(owner, hourly):
    owner.is_active = False
    owner.save()
    assert "may not run" in refused()
    owner.is_active = True
    owner.save()
    assert run() == "begun"
    assert scheduling.find("hourly").last_error == ""
    assert scheduling.faults() == []


def test_a_permission_that_was_lost_is_named(person):
    keeper = person("keeper", "sample.change_account")
    bulkops.schedule(name="hourly", operation="guarded", user=keeper, every=HOUR, items=["a"])
    keeper.user_permissions.remove(Permission.objects.get(codename="change_account"))
    assert "may not run" in refused()


def test_what_the_code_no_longer_takes_is_named(owner):
    bulkops.schedule(name="hourly", operation="deposit", user=owner, every=HOUR, params={"amount": "5"})
    row = Schedule.objects.get()
    for was, becomes, words in (
        ("deposit", "deposited", "no operation called"),
        ('"amount":"5"', '"amount":"five"', "amount: Enter a whole number"),
        (f'"user":"{owner.pk}"', '"user":"0"', "owner does not exist"),
        ('"operation"', '"operations"', "cannot be read"),
    ):
        assert was in row.kwargs
        Schedule.objects.update(kwargs=row.kwargs.replace(was, becomes))
        with pytest.raises(scheduling.RunRefused, match=words):
            run()
    assert scheduling.find("hourly").last_error == "Its row cannot be read."
    assert not Job.objects.exists()


def test_a_row_renamed_by_hand_is_named(hourly):
    Schedule.objects.update(name="daily")
    assert "cannot be read" in scheduling.faults()[0]
    assert run() == "gone"  # its task still says the old name


def test_only_the_latest_refusal_is_kept(owner, hourly):
    owner.is_active = False
    owner.save()
    for _ in range(3):
        with pytest.raises(scheduling.RunRefused) as refusal:
            run()
        Task.objects.filter(id="x" * 32).update(id="y" * 32)
        fail("hourly", refusal.value)
    assert Task.objects.count() == 1


def test_one_that_nobody_begins_is_a_fault_and_a_paused_one_is_none(hourly):
    Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=10))
    assert "hourly” was due at" in scheduling.faults()[0]
    scheduling.pause("hourly")
    assert scheduling.faults() == []


# -- pages


def test_the_job_says_which_schedule_began_it_and_its_owner_can_start_another(owner, hourly):
    client = Client()
    client.force_login(owner)
    run()
    job = Job.objects.get()
    assert "begun by the schedule <strong>hourly</strong>" in client.get(job.get_absolute_url()).content.decode()
    assert client.get(job.get_absolute_url(), headers={"accept": "application/json"}).json()["schedule"] == "hourly"
    assert "by the schedule “hourly”" in client.get("/").content.decode()
    assert "is still active" not in client.get("/operations/note/").content.decode()


def test_one_defined_in_a_transaction_that_rolls_back_leaves_nothing(owner):
    with transaction.atomic():
        bulkops.schedule(name="n", operation="note", user=owner, every=HOUR, items=["a"])
        transaction.set_rollback(True)
    assert scheduling.every() == []


def test_an_operation_that_collects_its_items_needs_none(worker, owner):
    Account.objects.create(number=1)
    bulkops.schedule(name="pay", operation="deposit", user=owner, every=HOUR, params={"amount": 7})
    run("pay")
    worker.drain()
    assert Account.objects.get().balance == 7
