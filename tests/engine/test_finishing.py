"""The end of a job: finish, its result, and what frees the slot."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils.functional import SimpleLazyObject

from bulkops import manifests, services
from bulkops.models import Chunk, Event, Job, Manifest, Outcome, Turn
from bulkops.states import JobState
from tests.sample.models import Account, Effect
from tests.sample.operations import Ending

pytestmark = pytest.mark.django_db(transaction=True)


def test_finish_writes_and_returns_with_the_jobs_end(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="ending", items=["a", "bad"]))
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert job.result["summary"] == {"total": 2, "succeeded": 1, "failed": 1, "skipped": 0, "in_doubt": 0}
    assert Effect.objects.get(item="finished").note == "2"


def test_a_finish_that_raises_fails_the_job_and_keeps_the_outcomes(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="ending", items=["a"], params={"trouble": "raise"}))
    assert (job.state, job.slot, job.error_code) == (JobState.FAILED, None, "ValueError")
    assert "Finishing failed: ValueError: cannot finish" in job.error
    assert not Effect.objects.exists()
    assert Outcome.objects.filter(job=job, state="succeeded").count() == 1


def test_a_finish_that_breaks_a_constraint_fails_the_job(owner, worker, monkeypatch):
    def twice(self, params, summary):
        Account.objects.create(number=1)
        Account.objects.create(number=1)

    monkeypatch.setattr(Ending, "finish", twice)
    job = worker.finish(services.submit(user=owner, operation="ending", items=["a"]))
    assert job.state == JobState.FAILED
    assert job.error_code == IntegrityError.__name__
    assert not Account.objects.exists()


def test_finish_may_submit_the_owners_next_job(owner, worker, monkeypatch):
    def chain(self, params, summary):
        return str(services.submit(user=owner, operation="note", items=["next"]).pk)

    monkeypatch.setattr(Ending, "finish", chain)
    job = worker.finish(services.submit(user=owner, operation="ending", items=["a"]))
    assert job.state == JobState.COMPLETED
    following = Job.objects.get(pk=job.result)
    assert following.state == JobState.COMPLETED
    assert Effect.objects.filter(item="next").exists()


def test_a_huge_or_odd_result_of_finish_is_made_storable(owner, worker, monkeypatch):
    monkeypatch.setattr(Ending, "finish", lambda *_: {"nul": "\x00", "big": "x" * 1_000_000})
    job = worker.finish(services.submit(user=owner, operation="ending", items=["a"]))
    assert job.state == JobState.COMPLETED
    assert job.result["bytes"] > 1_000_000


def test_a_withdrawn_permission_pauses_the_job_and_resume_goes_on(person, worker):
    user = person("seller", "sample.change_account")
    job = services.submit(user=user, operation="guarded", items=["a"])
    permissions = list(user.user_permissions.all())
    user.user_permissions.clear()
    worker.finish(job)
    assert job.state == JobState.PAUSED
    assert "may no longer run" in " ".join(Event.objects.filter(job=job).values_list("detail", flat=True))
    user.user_permissions.set(permissions)
    services.resume(job=job, actor=None)
    assert worker.finish(job).state == JobState.COMPLETED


def test_a_deactivated_owner_pauses_the_job(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a"])
    owner.is_active = False
    owner.save()
    assert worker.finish(job).state == JobState.PAUSED


def test_pause_stands_still_and_resume_goes_on_where_it_stood(owner, worker, monkeypatch):
    from tests.sample.operations import Note

    process = Note.process
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])

    def pausing(self, item, params, context):
        if item == "b":
            services.pause(job=job, actor=owner)
        return process(self, item, params, context)

    monkeypatch.setattr(Note, "process", pausing)
    worker.finish(job)
    assert job.state == JobState.PAUSED
    assert job.slot is not None
    assert list(Effect.objects.order_by("pk").values_list("item", flat=True)) == ["a", "b"]
    services.resume(job=job, actor=owner)
    assert worker.finish(job).state == JobState.COMPLETED
    assert list(Effect.objects.order_by("pk").values_list("item", flat=True)) == ["a", "b", "c"]


def test_messages_reach_the_job(owner, worker, monkeypatch):
    from tests.sample.operations import Note

    monkeypatch.setattr(Note, "process", lambda self, item, params, context: context.message(f"at {item}\x00"))
    job = worker.finish(services.submit(user=owner, operation="note", items=["a", "b"]))
    assert job.message == "at b\N{REPLACEMENT CHARACTER}"


def closes():
    connection.close()


def commits():
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")


def raises_without_words():
    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    raise Unprintable


def cleans_up_connections():
    close_old_connections()


def leaves_a_block_open():
    transaction.atomic().__enter__()


def returns_what_breaks_the_transaction():
    return SimpleLazyObject(lambda: connection.cursor().execute("SELECT no_such_column"))


@pytest.mark.parametrize(
    "trouble",
    [
        closes,
        commits,
        raises_without_words,
        cleans_up_connections,
        leaves_a_block_open,
        returns_what_breaks_the_transaction,
    ],
)
def test_a_finish_that_misbehaves_ends_the_job_and_leaves_no_turn_in_hand(owner, worker, monkeypatch, trouble):
    monkeypatch.setattr(Ending, "finish", lambda *_: trouble())
    job = worker.finish(services.submit(user=owner, operation="ending", items=["a"]))
    assert job.slot is None
    assert job.state == (JobState.COMPLETED if trouble is commits else JobState.FAILED)
    assert not Turn.objects.filter(job=job, holder__isnull=False).exists()


@pytest.mark.parametrize("damage", ["other bytes", "fewer items", "no row"])
def test_items_that_cannot_be_read_fail_the_job_and_end_no_worker(owner, worker, damage):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    rows = Manifest.objects.filter(job=job)
    match damage:
        case "other bytes":
            rows.update(payload=b"these bytes are no manifest")
        case "fewer items":
            rows.update(payload=next(manifests.pack(["a"])).payload)
        case "no row":
            rows.delete()
    worker.finish(job)
    assert (job.state, job.error_code, job.slot) == (JobState.FAILED, "items-unreadable", None)
    assert "chunk 0 cannot be read" in job.error
    assert not Chunk.objects.filter(holder__isnull=False).exists()


def test_a_job_that_ends_is_held_by_nobody(owner, worker):
    """Another worker may end it before the one that recorded a last item has let go of its chunk, or died."""
    job = services.submit(user=owner, operation="note", items=["a"])
    worker.stop = True
    Chunk.objects.filter(job=job).update(cursor=1, succeeded=1, finished=True, holder=worker.cluster, worker=99)
    Outcome.objects.create(job=job, position=0, state="succeeded", finished_at=job.created_at)
    Job.objects.filter(pk=job.pk).update(started_at=job.created_at)
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert not Chunk.objects.filter(holder__isnull=False).exists()
