"""`manage.py prune_jobs`: says what it deletes, or what it would."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from bulkops import services
from bulkops.models import Job
from bulkops.signals import job_pruned

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old(owner):
    """A cancelled job of three items, a hundred days old."""
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    services.cancel(job=job, actor=None)
    then = timezone.now() - timedelta(days=100)
    Job.objects.update(created_at=then, finished_at=then)
    return job


def test_deletes_what_is_older_than_the_setting(run, old):
    ran = run("prune_jobs")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "Deleted 1 job with 0 outcomes, 0 one-time keys, 0 uploads.\n"
    assert not Job.with_pruned.exists()


def test_a_dry_run_only_counts(run, old):
    assert run("prune_jobs", "--dry-run").out == "Would delete 1 job with 3 items.\n"
    assert run("prune_jobs", "--dry-run", "--older-than", 101).out == "Would delete 0 jobs with 0 items.\n"
    assert Job.objects.get() == old


def test_json_has_the_figures(run, old):
    figures = {"jobs": 1, "items": 0, "keys": 0, "uploads": 0, "refused": {}, "unfinished": False}
    assert json.loads(run("prune_jobs", "--older-than", "99.5", "--json").out) == figures


def test_it_says_that_jobs_are_kept_for_ever(run, old, settings):
    settings.BULKOPS = {"keep_jobs_days": None}
    ran = run("prune_jobs")
    assert (ran.code, ran.out[:14]) == (0, "Deleted 0 jobs")
    assert "kept for ever" in ran.complaint


def test_what_could_not_be_deleted_elsewhere_is_named_with_exit_1(run, old):
    def refuse(**_):
        raise OSError("the bucket\nis away")

    job_pruned.connect(refuse)
    try:
        ran = run("prune_jobs")
    finally:
        job_pruned.disconnect(refuse)
    assert ran.code == 1
    assert ran.complaint.endswith(
        f"job {old.pk} is left: its remains elsewhere could not be deleted: OSError: the bucket is away"
    )


@pytest.mark.parametrize("days", ["0", "-1", "36501", "nan", "ten"])
def test_wrong_use_is_one_line_and_exit_2(run, old, days):
    ran = run("prune_jobs", f"--older-than={days}")
    assert (ran.code, ran.out) == (2, "")
    assert "--older-than" in ran.complaint
    assert Job.objects.exists()
