"""Relaxed durability: for items only, and never for anything that comes after them on the same connection."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bulkops import services
from bulkops.models import Outcome
from bulkops.states import JobState
from tests.sample.models import Effect
from tests.sample.operations import Habits, Note

pytestmark = pytest.mark.django_db(transaction=True)


def shown() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        return cursor.fetchone()[0]


@pytest.fixture(params=["relaxed", "strict"])
def durability(request, monkeypatch):
    """An operation whose items and whose end tell how they are committed."""
    monkeypatch.setattr(Note, "durability", request.param)
    monkeypatch.setattr(Note, "process", lambda *_: shown())
    monkeypatch.setattr(Note, "finish", lambda *_: shown())
    return request.param


def test_items_are_committed_as_declared_and_the_end_strictly(owner, worker, durability, settings):
    settings.BULKOPS = {"chunk_items": 2}
    job = worker.finish(services.submit(user=owner, operation="note", items=list("abc")))
    told = set(Outcome.objects.filter(job=job).values_list("result", flat=True))
    assert told == {"off" if durability == "relaxed" else "on"}
    assert job.result == "on"
    assert shown() == "on"


def test_it_is_two_statements_a_slice_and_none_where_commits_are_strict(owner, worker, durability):
    services.submit(user=owner, operation="note", items=list("abc"))
    with CaptureQueriesContext(connection) as asked:
        worker.drain()
    sent = [query["sql"] for query in asked if query["sql"].startswith(("SET synchronous", "RESET synchronous"))]
    assert len(sent) == (2 if durability == "relaxed" else 0)


@pytest.mark.parametrize("trouble", ["close", "close-on-driver", "raise", "commit-as-text", "bad-hook", "deallocate"])
def test_whatever_an_item_does_to_the_connection_the_next_job_is_strict(owner, worker, monkeypatch, trouble):
    monkeypatch.setattr(Habits, "durability", "relaxed")
    monkeypatch.setattr(Habits, "do_tell", lambda *_: shown(), raising=False)
    job = worker.finish(services.submit(user=owner, operation="habits", items=["tell", trouble, "tell"]))
    assert job.state in {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS}
    assert Outcome.objects.get(job=job, position=0).result == "off"
    assert shown() == "on"


def test_a_fence_lost_leaves_the_connection_strict(owner, worker, monkeypatch):
    monkeypatch.setattr(Note, "durability", "relaxed")
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    process = Note.process

    def overtaken(self, item, params, context):
        job.chunks.update(epoch=9)
        return process(self, item, params, context)

    monkeypatch.setattr(Note, "process", overtaken)
    worker.step()
    assert not Effect.objects.exists()
    assert shown() == "on"


def test_a_connection_that_is_cut_in_the_middle_leaves_no_relaxed_one(owner, worker, monkeypatch):
    monkeypatch.setattr(Note, "durability", "relaxed")
    services.submit(user=owner, operation="note", items=["a"])

    def cut(*_):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(Note, "process", cut)
    with pytest.raises(Exception, match="connection was lost"):
        worker.step()
    connection.close()
    assert shown() == "on"
