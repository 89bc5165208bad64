"""Forgetting: old jobs go whole families at a time, in bounded statements, and nothing that is still needed goes."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from bulkops import dispatch, holds, registry, retention, services, transitions
from bulkops.clock import from_now
from bulkops.exceptions import NotAllowedNow
from bulkops.models import Chunk, Cluster, Event, IdempotencyKey, Job, Manifest, Outcome, Turn
from bulkops.signals import job_pruned
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.elsewhere import elsewhere
from tests.sample.models import Bookmark, Receipt

pytestmark = pytest.mark.django_db(transaction=True)

TABLES = (Job, Chunk, Manifest, Outcome, Event, Turn, IdempotencyKey)


def age(*jobs, days=100):
    """Let the jobs have ended so long ago."""
    then = timezone.now() - timedelta(days=days)
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(created_at=then, finished_at=then)
    IdempotencyKey.objects.filter(job__in=jobs).update(created_at=then)


@pytest.fixture
def ended(worker, person):
    """Makes an ended job of another user each time, so many days old."""
    made = []

    def make(days=100, **what):
        made.append(1)
        what = {"operation": "note", "items": ["a", "b"], **what}
        job = worker.finish(services.submit(user=person(f"user{len(made)}"), **what))
        age(job, days=days)
        return job

    return make


def child_of(parent, state=JobState.COMPLETED, days=100):
    """A retry of the job, as a row."""
    then = timezone.now() - timedelta(days=days)
    slot = None if state == JobState.COMPLETED else f"user:{parent.owner_id}"
    return Job.objects.create(
        operation="note", owner=parent.owner, parent=parent, root=parent.root or parent, state=state, slot=slot,
        created_at=then, finished_at=then if slot is None else None,
    )  # fmt: skip


@pytest.fixture
def many(owner):
    """An ended job of 50,000 items, in all its rows."""
    job = services.submit(user=owner, operation="note", items=range(50_000))
    Chunk.objects.update(cursor=1000, succeeded=1000, finished=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bulkops_outcome (job_id, position, state, attempt, finished_at)"
            " SELECT %s, position, 'succeeded', 1, now() FROM generate_series(0, 49999) position",
            [job.pk],
        )
    with transaction.atomic():
        holds.withdraw_turns(job)
        transitions.move(job, JobState.RUNNING)
        transitions.move(job, JobState.COMPLETED)
    age(job)
    return job


def nothing_left():
    return {model.__name__: model._base_manager.count() for model in TABLES if model._base_manager.exists()} == {}


def test_an_old_job_goes_with_all_its_rows_and_a_young_one_stays(ended):
    old = ended(days=91, idempotency_key="k")
    young = ended(days=89)
    before = {model: model.objects.filter(job=young).count() for model in (Chunk, Manifest, Outcome, Event, Turn)}
    done = retention.prune()
    assert (done.jobs, done.items, done.unfinished) == (1, 2, False)
    assert list(Job.with_pruned.all()) == [young]
    assert not IdempotencyKey.objects.exists()
    for model, count in before.items():
        assert count == model.objects.count() > 0
        assert not model.objects.filter(job_id=old.pk).exists()


def test_an_active_job_stays_however_old(owner):
    job = services.submit(user=owner, operation="note", items=["a"])
    Job.objects.update(created_at=timezone.now() - timedelta(days=1000))
    assert retention.prune(0.001).jobs == 0
    assert Job.objects.get() == job


@pytest.mark.parametrize("never", [0, None])
def test_jobs_are_kept_for_ever_where_the_setting_says_so(ended, settings, never):
    settings.BULKOPS = {"keep_jobs_days": never}
    ended(days=5000)
    assert retention.prune().jobs == retention.would_prune().jobs == 0
    assert retention.prune(90).jobs == 1


@pytest.mark.parametrize("youngest", [{"state": JobState.QUEUED}, {"days": 1}])
def test_a_family_goes_whole_or_not_at_all(ended, youngest):
    first = ended()
    second = child_of(first)
    third = child_of(second, **youngest)
    child_of(first)
    assert retention.prune().jobs == retention.would_prune().jobs == 0
    assert Job.objects.count() == 4
    Job.objects.filter(pk=third.pk).delete()
    assert retention.would_prune().jobs == 3
    assert retention.prune().jobs == 3
    assert nothing_left()


def test_a_retry_keeps_its_family_and_comes_too_late_for_a_pruned_one(ended, worker):
    first = ended(operation="habits", items=["raise", "good"])
    second = services.retry(job=first, actor=None)
    age(first)
    assert retention.prune().jobs == 0
    age(worker.finish(second))
    assert retention.prune().jobs == 2
    with pytest.raises(NotAllowedNow, match="no longer exists"):
        services.retry(job=first, actor=None)
    assert nothing_left()


def test_a_retry_that_comes_between_keeps_its_family(ended, monkeypatch):
    first = ended()
    family_of = retention._family

    def seen_before_the_retry(root):
        monkeypatch.setattr(retention, "_family", family_of)
        family = family_of(root)
        child_of(first, state=JobState.QUEUED)
        return family

    monkeypatch.setattr(retention, "_family", seen_before_the_retry)
    assert retention.prune().jobs == 0
    assert Job.objects.count() == 2


def test_a_job_that_somebody_has_locked_is_left_for_the_next_run(ended):
    job = ended()
    with elsewhere() as other:
        other.execute("SELECT 1 FROM bulkops_job WHERE id = %s FOR NO KEY UPDATE", [job.pk])
        assert retention.prune().jobs == 0
    assert Job.objects.exists()
    assert retention.prune().jobs == 1


def test_a_remembered_one_time_key_keeps_its_job(ended):
    job = ended(idempotency_key="k")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=23))
    assert retention.prune().jobs == retention.would_prune().jobs == 0
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert not retention.prune().refused
    assert not Job.with_pruned.filter(pk=job.pk).exists()


@pytest.mark.slow
def test_many_items_go_in_bounded_statements_and_none_is_read(many):
    deleted = []

    def count(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "DELETE" in sql:
            deleted.append(context["cursor"].rowcount)
        else:
            assert "bulkops_outcome" not in sql or "MIN(" in sql
        return result

    with CaptureQueriesContext(connection) as asked, connection.execute_wrapper(count):
        done = retention.prune()
    assert (done.jobs, done.items) == (1, 50_000)
    assert max(deleted) == 5_000
    assert sum(deleted) >= 50_000 + 50 + 50
    assert len(asked) < 150
    assert nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 5, 10, 11, 12, 13, 15])
def test_a_run_interrupted_anywhere_leaves_a_job_that_nobody_sees_and_the_next_ends_it(many, after):
    deletes = []

    def interrupt(execute, sql, params, many, context):
        if "DELETE" in sql:
            deletes.append(sql)
            if len(deletes) > after:
                raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt), pytest.raises(KeyboardInterrupt):
        retention.prune()
    assert not Job.objects.exists()
    assert Job.with_pruned.filter(pk=many.pk).exists()
    with pytest.raises(NotAllowedNow, match="no longer exists"):
        services.cancel(job=many, actor=None)
    assert retention.prune().jobs == 1
    assert nothing_left()


@pytest.mark.slow
def test_a_run_that_is_interrupted_before_its_mark_changes_nothing(many):
    def interrupt(execute, sql, params, many, context):
        if "pruned_at" in sql and "UPDATE" in sql and "FOR NO KEY" not in sql:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt), pytest.raises(KeyboardInterrupt):
        retention.prune()
    assert Job.objects.get() == many
    assert Outcome.objects.count() == 50_000


@pytest.mark.slow
def test_the_schedules_function_works_a_slice_and_queues_up_again(many, worker, settings):
    settings.BULKOPS = {"slice_seconds": 0}
    retention.prune_in_turns()
    turns = 1
    while OrmQ.objects.exists():
        assert turns < 30
        task = worker._inbox._claim()
        assert (task["func"], task["args"]) == ("bulkops.retention.prune_in_turns", ())
        OrmQ.objects.filter(pk=task["ack_id"]).delete()
        retention.prune_in_turns()
        turns += 1
    assert turns >= 10, "ten batches of outcomes alone"
    assert nothing_left()


@pytest.mark.slow
def test_a_real_worker_runs_what_the_schedule_names(many, cluster):
    dispatch.send_task(retention.SCHEDULED)
    wait_for(lambda: not Job.with_pruned.exists() and not OrmQ.objects.exists(), 30)
    assert nothing_left()


# -- what a job left elsewhere


@pytest.fixture
def told():
    """What receivers were told, and what they are to raise."""
    heard: list[dict] = []
    trouble: list[Exception] = []

    def listen(*, job_id, operation, results, **_):
        heard.append({"job": job_id, "operation": operation, "results": list(results), "again": list(results)})
        if trouble:
            raise trouble[0]

    job_pruned.connect(listen)
    yield heard, trouble
    job_pruned.disconnect(listen)


def test_the_project_hears_of_a_job_while_its_results_are_there(ended, told):
    job = ended()
    retention.prune()
    results = [{"item": "a"}, {"item": "b"}]
    assert told[0] == [{"job": job.pk, "operation": "note", "results": results, "again": results}]


@pytest.mark.slow
def test_results_are_read_page_by_page(many):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE bulkops_outcome SET result = to_jsonb(position) WHERE position BETWEEN 1 AND 2099")
    with CaptureQueriesContext(connection) as asked:
        assert list(retention.Results(many.pk)) == list(range(1, 2_100))
    assert len(asked) == 4


def test_the_project_hears_of_a_job_whose_operation_is_gone(ended, told, monkeypatch):
    ended()
    monkeypatch.setattr(registry, "_operations", {})
    assert retention.prune().jobs == 1
    assert told[0][0]["operation"] == "note"


def test_a_receiver_that_raises_keeps_the_job_for_the_next_run(ended, told):
    heard, trouble = told
    job, other = ended(), ended(operation="note-outside")
    trouble.append(OSError("the bucket is away"))
    done = retention.prune()
    assert done.refused == {str(one.pk): "OSError: the bucket is away" for one in (job, other)}
    assert (done.jobs, Outcome.objects.count(), Job.objects.count()) == (0, 4, 0)
    trouble.clear()
    assert retention.prune().jobs == 2
    assert len(heard) == 4
    assert nothing_left()


def test_a_job_that_another_apps_row_protects_stays(ended):
    job = ended()
    receipt = Receipt.objects.create(job=job)
    assert retention.prune().jobs == retention.would_prune().jobs == 0
    receipt.delete()
    assert retention.prune().jobs == 1


def test_a_job_that_a_table_of_nobodys_refers_to_keeps_no_other_from_being_deleted(ended):
    kept, other = ended(), ended()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE written_by_hand (job uuid REFERENCES bulkops_job)")
        cursor.execute("INSERT INTO written_by_hand VALUES (%s)", [kept.pk])
    try:
        for jobs in (1, 0):
            done = retention.prune()
            assert (done.jobs, list(done.refused)) == (jobs, [str(kept.pk)])
        assert not Job.with_pruned.filter(pk=other.pk).exists()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE written_by_hand")
    assert retention.prune().jobs == 1
    assert nothing_left()


def test_a_family_that_is_refused_in_part_is_not_asked_for_ever(ended, settings):
    def refuse(*, job_id, **_):
        if job_id == child.pk:
            raise OSError("the bucket is away")

    settings.BULKOPS = {"slice_seconds": 0}
    child = child_of(ended())
    job_pruned.connect(refuse)
    try:
        retention.prune_in_turns()
        assert not OrmQ.objects.exists()
    finally:
        job_pruned.disconnect(refuse)
    assert retention.prune().jobs == 2
    assert nothing_left()


def test_another_apps_key_does_what_it_declares(ended):
    job = ended()
    note = Bookmark.objects.create(job=job)
    assert retention.prune().jobs == 1
    note.refresh_from_db()
    assert note.job is None


# -- the rest


def test_expired_one_time_keys_and_rows_of_dead_clusters_go(ended):
    job = ended(days=2, idempotency_key="old")
    IdempotencyKey.objects.create(user=job.owner, key="young", fingerprint="", job=job)
    Cluster.objects.create(name="dead", alive_until=from_now(-25 * 3600))
    assert retention.prune().keys == 1
    assert IdempotencyKey.objects.get().key == "young"
    assert not Cluster.objects.filter(name="dead").exists()


def test_an_upload_that_was_never_started_goes(db, settings):
    default_storage.save("bulkops/uploads/new", ContentFile(b"1"))
    path = default_storage.path(default_storage.save("bulkops/uploads/old", ContentFile(b"1")))
    two_days_ago = time.time() - 2 * 86_400
    os.utime(path, (two_days_ago, two_days_ago))
    assert retention.prune().uploads == 1
    assert default_storage.listdir("bulkops/uploads")[1] == ["new"]
