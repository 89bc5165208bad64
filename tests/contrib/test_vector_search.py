"""Nearest neighbours: both engines find the same, by an index or without, and say in words what cannot be searched."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.core.management import load_command_class
from django.db import connection, transaction

import bulkops
from bulkops.contrib import vectors
from bulkops.contrib.vectors import directory, embedding, pgvector
from bulkops.contrib.vectors.models import ENGINES, Collection, Metric, Vector
from tests.contrib.conftest import BLUE, GREEN, RED, ids
from tests.contrib.pictures import DIMENSION, PICTURES, patches

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)


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


BUILT = 3
"""Indexes of the same vectors: each is a graph made at random, and finds between 0.91 and all of them."""


@pytest.mark.slow
@pytest.mark.parametrize("metric", Metric.values)
def test_an_index_finds_nine_tenths_of_them_and_is_used(extension, indexer, metric):
    # So many that the planner thinks the index worth it.
    photographs = [item for picture in PICTURES for item in patches(picture, 8)]
    collection = filled(metric, indexer, photographs)
    asked, k = photographs[::120], 20
    # Equal distances: many patches of a plain background have the same histogram.
    farthest = [by_hand(photographs, wanted["vector"], metric, k)[-1] for wanted in asked]
    hits = 0
    for _ in range(BUILT):
        pgvector.drop_index(collection)
        pgvector.make_index(collection)
        pgvector.make_index(collection)  # there already
        assert pgvector.has_index(collection)
        for wanted, most in zip(asked, farthest, strict=True):
            found = vectors.nearest(collection.name, wanted["vector"], k)
            assert len(found) == k
            hits += sum(one.distance <= most + 1e-4 * max(1, abs(most)) for one in found)
        assert scans(collection) == len(asked)
    assert hits >= 0.9 * k * len(asked) * BUILT
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


@pytest.mark.slow
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
