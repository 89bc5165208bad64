"""Vectors: indexed exactly once by a job, found again as their nearest neighbours, by either engine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command, load_command_class
from django.db import connection, transaction
from django.test import Client

import bulkops
from bulkops import dry_run, registry, services
from bulkops.contrib import vectors
from bulkops.contrib.vectors import directory, embedding, pgvector
from bulkops.contrib.vectors.models import ENGINES, Collection, Metric, Vector
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.clusters import environment
from tests.contrib.pictures import DIMENSION, PICTURES, patches
from tests.worker import InProcessWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

RED, GREEN, BLUE = ({"id": name, "vector": v} for name, v in (("r", [1, 0, 0]), ("g", [0, 1, 0]), ("b", [0, 0, 1])))


@pytest.fixture
def indexer(person):
    return person("indexer", "bulkops_vectors.add_vector")


@pytest.fixture
def index(worker, indexer) -> Callable[..., Job]:
    """Runs a job that indexes items; the job as it then is."""

    def run(items: list[Any], collection: str = "c", user: Any = None, **params: Any) -> Job:
        job = bulkops.submit(
            user=user or indexer, operation="index-vectors", params={"collection": collection, **params}, items=items
        )
        return worker.finish(job)

    return run


def ids(found: list[vectors.Neighbour]) -> list[str]:
    return [one.id for one in found]


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


# -- searching


def filled(metric: str, owner: Any, items: list[dict[str, Any]]) -> Collection:
    """A collection with these vectors, without a job."""
    found = directory.make(f"by-{metric}", owner.pk, DIMENSION, metric)
    Vector.objects.bulk_create(
        Vector(
            collection=found,
            key=item["id"],
            embedding=embedding.storable(embedding.read(item["vector"]), metric, DIMENSION).tolist(),
            metadata=item["metadata"],
        )
        for item in items
    )
    return found


@pytest.fixture
def photographs() -> list[dict[str, Any]]:
    """Some 1,900 patches of three pictures."""
    return [item for picture in PICTURES for item in patches(picture, 14)]


@pytest.fixture
def extension(transactional_db) -> Iterator[None]:
    """A database with pgvector, for one test."""
    pgvector.create_extension()
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION vector CASCADE")


def by_hand(items, wanted, metric, k):
    """The k nearest by double precision over everything."""
    every = np.array([item["vector"] for item in items], dtype=float)
    wanted = np.array(wanted, dtype=float)
    if metric == Metric.COSINE:
        distances = 1 - every @ wanted / np.linalg.norm(every, axis=1) / np.linalg.norm(wanted)
    elif metric == Metric.EUCLIDEAN:
        distances = np.linalg.norm(every - wanted, axis=1)
    else:
        distances = -(every @ wanted)
    return np.sort(distances)[:k]


@pytest.mark.parametrize("metric", Metric.values)
def test_both_engines_find_what_double_precision_finds(extension, indexer, photographs, metric):
    collection = filled(metric, indexer, photographs)
    for wanted in (photographs[17], photographs[-5]):
        expected = by_hand(photographs, wanted["vector"], metric, 25)
        for engine in ENGINES:
            found = vectors.nearest(collection.name, wanted["vector"], k=25, exact=True, engine=engine)
            assert [one.distance for one in found] == pytest.approx(expected, rel=1e-4, abs=1e-5), engine
            assert found[0].metadata["picture"] in PICTURES
        where = {"picture": PICTURES[0], "half": "top"}
        filtered = {e: vectors.nearest(collection.name, wanted["vector"], 25, where, engine=e) for e in ENGINES}
        for found in filtered.values():
            assert {(one.metadata["picture"], one.metadata["half"]) for one in found} == {(PICTURES[0], "top")}
        assert [one.distance for one in filtered["numpy"]] == pytest.approx(
            [one.distance for one in filtered["pgvector"]], rel=1e-4, abs=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("metric", Metric.values)
def test_an_index_finds_nine_tenths_of_them_and_is_used(extension, indexer, metric):
    # So many that the planner thinks the index worth it.
    photographs = [item for picture in PICTURES for item in patches(picture, 8)]
    collection = filled(metric, indexer, photographs)
    pgvector.make_index(collection)
    pgvector.make_index(collection)  # there already
    assert pgvector.has_index(collection)
    asked, k, hits = photographs[::300], 20, 0
    for wanted in asked:
        # Equal distances: many patches of a plain background have the same histogram.
        farthest = by_hand(photographs, wanted["vector"], metric, k)[-1]
        found = vectors.nearest(collection.name, wanted["vector"], k)
        assert len(found) == k
        hits += sum(one.distance <= farthest + 1e-4 * max(1, abs(farthest)) for one in found)
    assert hits >= 0.9 * k * len(asked)
    assert scans(collection) == len(asked)
    pgvector.drop_index(collection)
    assert pgvector.has_index(collection) is False


def scans(collection: Collection) -> int:
    """How often the collection's index was used."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    with connection.cursor() as cursor:
        name = pgvector.index_name(collection)
        cursor.execute("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", [name])
        return cursor.fetchone()[0]


@pytest.mark.slow
def test_replaced_vectors_do_not_keep_an_index_from_finding_enough(extension, indexer):
    photograph = patches(PICTURES[0], 7)
    collection = filled("euclidean", indexer, photograph)
    pgvector.make_index(collection)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE bulkops_vectors_vector SET (autovacuum_enabled = off)")
        try:
            for _ in range(2):  # each leaves the version before in the index, near the new one
                cursor.execute("UPDATE bulkops_vectors_vector SET embedding[1] = embedding[1] + random()")
            found = ids(vectors.nearest(collection.name, photograph[0]["vector"], k=100))
        finally:
            cursor.execute("ALTER TABLE bulkops_vectors_vector RESET (autovacuum_enabled)")
    assert scans(collection) == 1
    assert len(set(found)) == 100


def test_a_server_without_the_extension_searches_by_numpy(index):
    assert not pgvector.is_available()
    index([RED, GREEN, BLUE])
    assert ids(vectors.nearest("c", [1, 0.5, 0.1])) == ["r", "g", "b"]
    with pytest.raises(pgvector.IndexRefused, match="lacks the extension"):
        pgvector.make_index(Collection.objects.get())


def test_a_table_called_vector_is_not_taken_for_the_extension(index):
    index([RED, GREEN, BLUE])
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE vector (n integer)")
        try:
            assert ids(vectors.nearest("c", [1, 0.5, 0.1])) == ["r", "g", "b"]
        finally:
            cursor.execute("DROP TABLE vector")


def test_a_search_by_numpy_in_many_blocks_is_the_same(index, indexer, photographs, monkeypatch):
    collection = filled("cosine", indexer, photographs)
    whole = vectors.nearest(collection.name, photographs[3]["vector"], 30)
    monkeypatch.setattr("bulkops.contrib.vectors.scan.BLOCK_BYTES", 50_000)
    blocks = vectors.nearest(collection.name, photographs[3]["vector"], 30)
    assert [one.distance for one in blocks] == pytest.approx([one.distance for one in whole], abs=1e-6)


def test_a_search_leaves_the_callers_transaction_as_it_was(extension, index):
    index([RED, GREEN])
    with transaction.atomic(), connection.cursor() as cursor:
        assert ids(vectors.nearest("c", [1, 0, 0], exact=True)) == ["r", "g"]
        cursor.execute("SHOW enable_indexscan")
        assert cursor.fetchone() == ("on",)


def test_too_many_dimensions_for_an_index_are_searched_all_the_same(extension, indexer):
    collection = directory.make("wide", indexer.pk, 2_001, Metric.EUCLIDEAN)
    Vector.objects.create(collection=collection, key="a", embedding=[1.0] * 2_001)
    with pytest.raises(pgvector.IndexRefused, match="2,000"):
        pgvector.make_index(collection)
    assert [one.distance for one in vectors.nearest("wide", [1] * 2_001)] == [0]


def test_fewer_or_none_are_found_where_there_are_no_more(index, indexer):
    directory.make("empty", indexer.pk, 3, Metric.COSINE)
    assert vectors.nearest("empty", [1, 0, 0]) == []
    index([RED, GREEN])
    assert len(vectors.nearest("c", np.array([1, 0, 0], dtype=np.float32))) == 2
    assert ids(vectors.nearest_to("c", "r")) == ["g"]


@pytest.mark.parametrize(
    "what",
    [
        {"collection": "none"},
        {"collection": "a'; --"},
        {"vector": [1, 2]},
        {"vector": [0, 0, 0]},
        {"vector": [float("nan"), 0, 0]},
        {"vector": None},
        {"k": 0},
        {"k": 1_001},
        {"k": True},
        {"where": [1]},
        {"where": {"a": float("nan")}},
        {"where": {"a": "\x00"}},
        {"engine": "faiss"},
        {"engine": "pgvector"},
    ],
)
def test_a_senseless_search_is_refused_in_words(index, what):
    index([RED])
    with pytest.raises(bulkops.BulkopsError):
        vectors.nearest(**{"collection": "c", "vector": [1, 0, 0]} | what)


# -- the shell, the pages


def shell(name: str, *arguments: str) -> tuple[int, str, str]:
    """A command of the app, run as the shell does: its exit code and both outputs."""
    out, err = io.StringIO(), io.StringIO()
    command = load_command_class("bulkops.contrib.vectors", name)
    command.stdout._out, command.stderr._out = out, err
    command._called_from_command_line = True
    try:
        options = vars(command.create_parser("manage.py", name).parse_args(arguments))
        options.pop("args", None)
        command.execute(**options, stdout=out, stderr=err)
    except SystemExit as left:
        return left.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_the_shell_finds_neighbours_of_a_vector_and_of_an_id(index):
    index([RED | {"metadata": {"warm": True}}, GREEN, BLUE])
    code, out, _ = shell("nearest", "c", "--vector", "[1, 0.5, 0]", "-k", "2", "--json")
    assert (code, [one["id"] for one in json.loads(out)]) == (0, ["r", "g"])
    code, out, _ = shell("nearest", "c", "--id", "r", "--engine", "numpy")
    assert [line.split()[0] for line in out.splitlines()] == ["ID", "b", "g"]
    code, out, _ = shell("nearest", "c", "--vector", "1 1 1", "--where", '{"warm": true}', "--json")
    assert [one["id"] for one in json.loads(out)] == ["r"]
    for wrong in (("c",), ("d", "--id", "r"), ("c", "--id", "x"), ("c", "--vector", "1"), ("c", "--id", "r", "-k0")):
        code, out, err = shell("nearest", *wrong)
        assert (code, out, err.count("\n")) == (2, "", 1), wrong


def test_the_shell_makes_the_extension_and_an_index(index):
    index([RED, GREEN, BLUE])
    code, _, err = shell("vector_index", "c")
    assert code == 2
    assert "--create-extension" in err
    assert shell("vector_index", "misspelt", "--create-extension")[0] == 2
    assert not pgvector.is_available()
    try:
        assert shell("vector_index", "c", "--create-extension") == (0, "c: indexed, 3 dimensions, cosine\n", "")
        assert shell("vector_index", "--create-extension") == (0, "the extension “vector” is there\n", "")
        assert ids(vectors.nearest("c", [1, 0.5, 0.1])) == ["r", "g", "b"]
        assert shell("vector_index", "c", "--drop") == (0, "c: no index\n", "")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION IF EXISTS vector CASCADE")


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


def test_a_leader_that_knows_the_operation_has_not_loaded_numpy():
    """Its import starts threads, and a leader forks."""
    code = "import sys, django; sys.path.insert(0, 'site'); django.setup(); assert 'numpy' not in sys.modules"
    found = "from bulkops import registry; registry.get('index-vectors')"
    subprocess.run([sys.executable, "-c", f"{code}; {found}"], check=True, env=environment(), cwd=settings.BASE_DIR)


def test_no_model_has_changed_without_its_migration():
    call_command("makemigrations", "bulkops_vectors", "--check", "--dry-run", verbosity=0)
