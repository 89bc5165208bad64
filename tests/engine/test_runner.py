"""A slice from press to end: claims, commits, hand-ons, stops."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bulkops import services
from bulkops.models import Outcome
from bulkops.states import JobState
from tests.sample.models import Effect


def test_a_job_runs_to_its_end(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    assert job.state == JobState.QUEUED
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert list(Effect.objects.order_by("pk").values_list("item", flat=True)) == ["a", "b", "c"]
    assert list(Outcome.objects.filter(job=job).values_list("position", "state", "result")) == [
        (0, "succeeded", {"item": "a"}),
        (1, "succeeded", {"item": "b"}),
        (2, "succeeded", {"item": "c"}),
    ]
    assert job.slot is None
    assert job.started_at <= job.finished_at


def no_backend(*_):
    raise ZeroDivisionError


def missing_table(*_):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM gone")


def leaves(*_):
    raise SystemExit


@pytest.mark.parametrize("trouble", [no_backend, missing_table, leaves])
@pytest.mark.parametrize("where", ["permissions.may_submit", "registry.get"])
def test_what_the_project_raises_before_the_first_item_fails_the_job_and_not_the_worker(
    owner, worker, monkeypatch, trouble, where
):
    job = services.submit(user=owner, operation="note", items=["a"])
    monkeypatch.setattr(f"bulkops.{where}", trouble)
    worker.finish(job)
    assert (job.state, job.slot) == (JobState.FAILED, None)
    assert "could not be begun" in job.error


def test_an_item_may_ask_a_thousand_times_whether_to_stop_and_hears_of_it(owner, worker, monkeypatch):
    job = services.submit(user=owner, operation="note-outside", items=["a", "b"])
    asked: list[int] = []

    def asking(self, item, params, context):
        with CaptureQueriesContext(connection) as queries:
            assert not any(context.should_stop() for _ in range(1_000))
        asked.append(len(queries))
        services.cancel(job=job, actor=owner)
        ends = time.monotonic() + 5
        while not context.should_stop():
            assert time.monotonic() < ends

    monkeypatch.setattr("tests.sample.operations.NoteOutside.process", asking)
    worker.finish(job)
    assert asked == [1]
    assert job.state == JobState.CANCELLED
