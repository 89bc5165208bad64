"""Vectors: indexed exactly once by a job, found again as their nearest neighbours, by either engine."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client

import bulkops
from bulkops import dry_run, registry, services
from bulkops.contrib import vectors
from bulkops.contrib.vectors import directory
from bulkops.contrib.vectors.models import Collection, Metric, Vector
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.clusters import environment
from tests.contrib.conftest import GREEN, RED, ids
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)

# -- indexing


def test_vectors_are_stored_normalised_as_float32_and_the_result_counts_them(index):
    job = index([{"id": 7, "vector": [3, 4], "metadata": {"a": 1}}, {"id": "t", "vector": "0.6 0.8"}])
    assert job.result == {
        "collection": "c",
        "processed": 2,
        "indexed": 2,
        "skipped": 0,
        "failed": 0,
        "dimension": 2,
    }
    row = Vector.objects.get(key="7")
    assert row.embedding == [np.float32(0.6), np.float32(0.8)]
    assert row.metadata == {"a": 1}
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT pg_typeof(embedding)::text FROM bulkops_vectors_vector")
        assert cursor.fetchall() == [("real[]",)]


def test_a_later_vector_of_the_same_id_replaces_the_earlier_or_is_skipped(index):
    twice = [{"id": "x", "vector": [1, 0]}, {"id": "x", "vector": [0, 1]}]
    job = index(twice)
    assert (job.result["indexed"], job.result["skipped"]) == (2, 0)
    assert list(Outcome.objects.filter(job=job).order_by("position").values_list("result", flat=True)) == [
        None,
        {"replaced": True},
    ]
    assert Vector.objects.get().embedding == [0, 1]
    again = index(twice[:1], existing="skip")
    assert (again.result["indexed"], again.result["skipped"]) == (0, 1)
    assert Vector.objects.get().embedding == [0, 1]


def test_the_first_good_vector_gives_a_new_collection_its_dimension(index):
    job = index([{"id": "bad", "vector": [0, 0, 0]}, {"id": "a", "vector": [1, 2]}, {"id": "b", "vector": [1, 2, 3]}])
    assert (job.result["dimension"], job.result["indexed"], job.result["failed"]) == (2, 1, 2)


def test_a_dry_run_tells_what_would_become_of_the_vectors_and_makes_nothing(indexer, index):
    items = [{"id": "a", "vector": [1, 2]}, {"id": "b", "vector": [1, 2, 3]}]
    new = {"user": indexer, "operation": "index-vectors", "params": {"collection": "c"}, "items": items}
    assert [one.state for one in dry_run.run(services.check(**new)).tried] == ["succeeded", "failed"]
    assert not Collection.objects.exists()
    index(items[:1])
    assert [one.result for one in dry_run.run(services.check(**new)).tried] == [{"replaced": True}, None]


def test_a_retry_indexes_what_failed_once_the_cause_is_gone(index, worker, indexer):
    job = index([{"id": "a", "vector": [1, 2]}, {"id": "b", "vector": [1, 2, 3]}], dimension=3)
    assert job.result["failed"] == 1
    Collection.objects.all().delete()
    Collection.objects.create(name="c", owner=indexer, dimension=2, metric=Metric.COSINE)
    Job.objects.filter(pk=job.pk).update(params={"collection": "c", "existing": "replace"})
    job.refresh_from_db()
    child = worker.finish(services.retry(job=job, actor=indexer))
    assert (child.state, child.result["indexed"]) == (JobState.COMPLETED, 1)


def test_two_jobs_that_make_the_same_collection_at_once_agree_on_one_dimension(person):
    users = [person(name, "bulkops_vectors.add_vector", "bulkops_vectors.change_collection") for name in "ab"]

    def make(user, dimension):
        found = directory.make("race", user.pk, dimension, Metric.COSINE)
        connection.close()
        return found.pk, found.dimension

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: make(users[n % 2], n % 2 + 2), range(16)))
    assert len(set(made)) == 1


@pytest.mark.slow
def test_workers_side_by_side_index_each_vector_once(transactional_db, indexer, settings):
    settings.BULKOPS = {"chunk_items": 100}
    items = [{"id": str(n), "vector": [n, 1]} for n in range(600)]
    job = bulkops.submit(
        user=indexer, operation="index-vectors", params={"collection": "c"}, items=items, parallelism=2
    )
    both = [InProcessWorker(), InProcessWorker()]
    while job.is_active:
        for one in both:
            one.step()
        job.refresh_from_db()
    assert (job.result["indexed"], Vector.objects.count()) == (600, 600)


def test_a_collection_deleted_while_its_vectors_are_stored_is_made_again(worker, indexer):
    job = bulkops.submit(
        user=indexer,
        operation="index-vectors",
        params={"collection": "c"},
        items=[{"id": "a", "vector": [1, 2]}, {"id": "b", "vector": [1, 2]}],
    )
    operation = registry.get("index-vectors")
    gone = Collection.objects.create(name="c", owner=indexer, dimension=2, metric=Metric.COSINE)
    operation._known = (job.pk, gone)
    Collection.objects.all().delete()
    assert worker.finish(job).result["indexed"] == 2
    assert Collection.objects.get().pk != gone.pk


# -- whose


def test_nobody_writes_into_somebody_elses_collection(index, person, worker):
    index([RED])
    other = person("other", "bulkops_vectors.add_vector")
    with pytest.raises(bulkops.NotPermitted, match="belongs to somebody else"):
        index([GREEN], user=other)
    # Made by somebody else after the job was submitted.
    job = bulkops.submit(user=other, operation="index-vectors", params={"collection": "d"}, items=[GREEN])
    Collection.objects.create(name="d", owner=Collection.objects.get().owner, dimension=3, metric=Metric.COSINE)
    worker.finish(job)
    assert job.state == JobState.PAUSED
    assert "belongs to somebody else" in job.events.filter(kind="pause_requested").get().detail
    assert ids(vectors.nearest("c", [1, 1, 1])) == ["r"]


def test_who_may_change_collections_may_write_into_all(index, person):
    index([RED])
    keeper = person("keeper", "bulkops_vectors.add_vector", "bulkops_vectors.change_collection")
    assert index([GREEN], user=keeper).result["indexed"] == 1


def test_without_the_permission_there_is_no_job(owner):
    with pytest.raises(bulkops.NotPermitted):
        bulkops.submit(user=owner, operation="index-vectors", params={"collection": "c"}, items=[RED])


@pytest.mark.parametrize("params", [{"dimension": 4}, {"metric": "euclidean"}])
def test_what_a_collection_is_not_is_refused_at_the_field(index, params):
    index([RED], metric="cosine")
    with pytest.raises(bulkops.InvalidParams) as refusal:
        index([GREEN], **params)
    assert set(refusal.value.errors) == set(params)


# -- the shell, the pages


def test_a_csv_of_the_page_is_indexed_and_the_admin_counts_it(worker, indexer, admin_client):
    client = Client()
    client.force_login(indexer)
    csv = 'id,vector,metadata\r\na,"[1, 0]","{""n"": 1}"\r\nb,0 1,\r\nc,1 1 1,\r\n'
    answer = client.post(
        "/operations/index-vectors/",
        {
            "collection": "page",
            "existing": "replace",
            "action": "start",
            "file": SimpleUploadedFile("v.csv", csv.encode()),
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    job = worker.finish(Job.objects.get())
    assert (job.result["indexed"], job.result["failed"], job.result["dimension"]) == (2, 1, 2)
    assert vectors.nearest("page", "1 0", 1)[0].metadata == {"n": 1}
    shown = admin_client.get("/admin/bulkops_vectors/collection/").content.decode()
    assert "page" in shown
    assert (
        admin_client.get(f"/admin/bulkops_vectors/collection/{Collection.objects.get().pk}/change/").status_code == 200
    )


@pytest.mark.slow
def test_a_leader_that_knows_the_operations_has_not_loaded_what_few_items_need():
    """The import of numpy starts threads, and a leader forks; the others' takes longer than a short command."""
    few = {"numpy", "pypdf", "av", "httpx"}
    code = "import sys, django; sys.path.insert(0, 'site'); django.setup()"
    known = "from bulkops import registry; list(map(registry.get, ['index-vectors', 'process-files', 'call-http-api']))"
    code = f"{code}; {known}; assert {few} & set(sys.modules) == set(), {few} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), cwd=settings.BASE_DIR)


def test_no_model_has_changed_without_its_migration():
    call_command("makemigrations", "bulkops_vectors", "--check", "--dry-run", verbosity=0)
