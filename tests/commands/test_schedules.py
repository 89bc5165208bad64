"""`manage.py schedule` and `manage.py schedules`: what they make, show and refuse, and with which exit code."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule

from bulkops import scheduling, services
from bulkops.models import Job
from tests.test_scheduling import fail

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def nightly(run, owner):
    """A schedule made from the shell."""
    ran = run("schedule", "nightly", "deposit", "--user", "owner", "--cron", "0 3 * * *", "--param", "amount=5")
    assert (ran.code, ran.err) == (0, "")
    return ran


def test_it_is_made_and_shown(run, nightly):
    assert nightly.out.splitlines()[0].split("  ")[0] == "NAME"
    (shown,) = json.loads(run("schedules", "--json").out)
    assert shown["name"] == "nightly"
    assert (shown["operation"], shown["owner"], shown["when"]) == ("deposit", "owner", "0 3 * * * (UTC)")
    assert shown["params"] == {"amount": "5"}
    assert (shown["last_job"], shown["last_error"], shown["paused"]) == (None, None, False)
    assert json.loads(run("schedule", "nightly", "--json").out) == shown
    assert "0 3 * * * (UTC)" in run("schedules").out


@pytest.mark.parametrize(("text", "minutes"), [("15m", 15), ("1h", 60), ("1d", 1440)])
def test_every_reads_minutes_hours_and_days(run, owner, tmp_path, text, minutes):
    items = tmp_path / "two.txt"
    items.write_text("a\nb\n")
    assert run("schedule", "s", "note", "--user", "owner", "--every", text, "--items", items).code == 0
    assert Schedule.objects.get().minutes == minutes
    assert scheduling.run_now("s").total == 2


def test_run_now_prints_the_jobs_id_and_the_active_ones_with_exit_3(run, nightly):
    ran = run("schedule", "nightly", "--run-now")
    job = Job.objects.get()
    assert (ran.code, ran.out) == (0, f"{job.pk}\n")
    again = run("schedule", "nightly", "--run-now")
    assert (again.code, again.out) == (3, f"{job.pk}\n")
    assert "still active" in again.complaint
    assert str(job.pk) in run("schedules").out


def test_pause_resume_and_delete(run, nightly):
    assert "paused" in run("schedule", "nightly", "--pause").out
    assert "paused" not in run("schedule", "nightly", "--resume").out
    assert run("schedule", "nightly", "--delete").code == 0
    assert not Schedule.objects.exists()
    assert "no schedule" in run("schedules").complaint


def test_why_a_run_could_not_begin_is_listed_and_wrong(run, owner, nightly):
    fail("nightly", "You may not run “Deposit”.")
    assert "You may not run “Deposit”." in run("schedules").out.splitlines()[-1]
    ran = run("status")
    assert ran.code == 1
    assert "WRONG: The schedule “nightly” could not begin its job: You may not run “Deposit”." in ran.out


def test_one_that_is_overdue_says_so(run, nightly):
    Schedule.objects.update(next_run=timezone.now() - timedelta(hours=1))
    assert "overdue" in run("schedules").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("s note --every 1h", "--user"),
        ("s note --user owner", "--every or --cron"),
        ("s note --user owner --every 1h --cron @daily", "not allowed with"),
        ("s note --user owner --every hourly", "15m, 1h or 1d"),
        ("s note --user owner --every 0m", "whole minutes"),
        ("s note --user owner --every 1h", "needs items"),
        ("s note --user nobody --every 1h", "no user"),
        ("s gone --user owner --every 1h", "no operation"),
        ("s deposit --user owner --every 1h --param amount=x", "amount"),
        ("s note --user owner --every 1h --delete", "name alone"),
        ("s --every 1h", "which OPERATION"),
        ("s", "no schedule"),
        ("s --pause", "no schedule"),
        ("s --pause --delete", "not allowed with"),
        ("a/b deposit --user owner --every 1h", "name is at most"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(run, owner, arguments, words):
    ran = run("schedule", *arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint
    assert not Schedule.objects.exists()


def test_a_dry_run_is_not_kept_waiting_by_a_scheduled_job(run, nightly):
    run("schedule", "nightly", "--run-now")
    assert run("enqueue", "deposit", "--user", "owner", "--dry-run").err == ""
    services.submit(user=Job.objects.get().owner, operation="deposit")
    assert "But not now" in run("enqueue", "deposit", "--user", "owner", "--dry-run").err
