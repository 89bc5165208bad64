"""What is no vector fails its own item, in words, and leaves nothing behind; what is no input is refused before."""

from __future__ import annotations

import pytest

import bulkops
from bulkops.contrib.vectors.models import Collection, Vector
from bulkops.exceptions import BulkopsError
from bulkops.models import Outcome
from bulkops.states import OutcomeState

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = {
    "one number only": ([1.0], "has 1 number, but"),
    "empty": ([], "is empty"),
    "empty text in brackets": ("[]", "is empty"),
    "negative zero": ([-0.0, 0], "no direction"),
    "true": ([1.0, True], "Number 1 of the vector is true or false"),
    "numbers as texts": (["1", "2"], "Number 0 of the vector is a text"),
    "nested": ([[1.0], [2.0]], "Number 0 of the vector is a list"),
    "null inside": ([1.0, None], "Number 1 of the vector is nothing"),
    "an object": ({"0": 1.0}, "not an object"),
    "a number": (7, "not int"),
    "a flag": (True, "not true or false"),
    "an integer beyond floats": ([1, 10**400], "too large"),
    "words": ("one two", "Number 0 of the vector is “one”"),
    "1e400 in JSON text": ("[1e400, 1]", "is inf"),
    "1e400 as text": ("1e400 1", "is inf"),
    "underscores": ("1_0 2", "“1_0”"),
    "other alphabets' digits": ("\N{ARABIC-INDIC DIGIT ONE} 2", "Number 0"),
    "half a list": ("[1, 2", "not a JSON list"),
    "deeply nested": ("[" * 20_000, "not a JSON list"),
    "an object's text": ("[{}, 1]", "is an object"),
    "SQL": ("1}'; DROP TABLE bulkops_vectors_vector; --", "Number 0"),
    "too many": (" ".join(["1"] * 16_001), "the most is 16,000"),
}


def test_each_hostile_vector_fails_its_own_item_in_words(worker, person):
    user = person("indexer", "bulkops_vectors.add_vector")
    items = [{"id": name, "vector": vector} for name, (vector, _) in HOSTILE.items()]
    job = bulkops.submit(
        user=user,
        operation="index-vectors",
        params={"collection": "hostile", "dimension": 2},
        items=[{"id": "first", "vector": [1, 2]}, *items, {"id": "last", "vector": "[3, 4]"}],
    )
    worker.finish(job)
    said = dict(Outcome.objects.filter(job=job, state=OutcomeState.FAILED).values_list("position", "message"))
    for position, (name, (_, words)) in enumerate(HOSTILE.items(), 1):
        assert words in said.get(position, "it was stored"), name
    assert set(Vector.objects.values_list("key", flat=True)) == {"first", "last"}
    assert job.result == {
        "collection": "hostile",
        "processed": len(HOSTILE) + 2,
        "indexed": 2,
        "skipped": 0,
        "failed": len(HOSTILE),
        "dimension": 2,
    }


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
def test_numbers_that_would_overflow_when_squared_are_refused_where_lengths_count(worker, person, metric):
    user = person("indexer", "bulkops_vectors.add_vector")
    params = {"collection": "large", "metric": metric}
    items = [{"id": "zero", "vector": [0, 0]}, {"id": "large", "vector": [1e16, 0]}]
    job = worker.finish(bulkops.submit(user=user, operation="index-vectors", params=params, items=items))
    assert (job.result["indexed"], job.result["failed"]) == (1, 1)


def test_huge_and_tiny_vectors_have_a_direction_all_the_same(worker, person):
    user = person("indexer", "bulkops_vectors.add_vector")
    items = [{"id": "huge", "vector": [3e300, 4e300]}, {"id": "tiny", "vector": [3e-310, 4e-310]}]
    worker.finish(bulkops.submit(user=user, operation="index-vectors", params={"collection": "c"}, items=items))
    for row in Vector.objects.all():
        assert row.embedding == pytest.approx([0.6, 0.8], abs=1e-6)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"vector": [1, 2]}, "id"),
        ({"id": "", "vector": [1, 2]}, "id"),
        ({"id": True, "vector": [1, 2]}, "id"),
        ({"id": ["a"], "vector": [1, 2]}, "id"),
        ({"id": "x" * 256, "vector": [1, 2]}, "255"),
        ({"id": "a\x00b", "vector": [1, 2]}, "Null characters"),
        ({"id": "a"}, "vector"),
        ({"id": "a", "vector": None}, "vector"),
        ({"id": "a", "vector": [float("nan"), 1]}, "JSON|NaN|nan"),
        ({"id": "a", "vector": [1], "metadata": [1]}, "metadata"),
        ({"id": "a", "vector": [1], "metadata": "{"}, "metadata"),
        ({"id": "a", "vector": [1], "metadata": '{"a": "\\u0000"}'}, "metadata"),
        ({"id": "a", "vector": [1], "metadata": '{"a": NaN}'}, "metadata"),
        ({"id": "a", "vector": [0.123456789] * 16_000}, "65,536|64"),
        ([1, 2], "named fields"),
    ],
)
def test_what_is_no_item_is_refused_with_the_whole_input(person, item, words):
    user = person("indexer", "bulkops_vectors.add_vector")
    with pytest.raises(BulkopsError, match=words):
        bulkops.submit(user=user, operation="index-vectors", params={"collection": "c"}, items=[item])
    assert not Collection.objects.exists()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"collection": ""},
        {"collection": "a b"},
        {"collection": "a\nb"},
        {"collection": "../etc"},
        {"collection": "x" * 101},
        {"collection": "c", "dimension": 0},
        {"collection": "c", "dimension": 16_001},
        {"collection": "c", "metric": "manhattan"},
        {"collection": "c", "existing": "merge"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(person, params):
    user = person("indexer", "bulkops_vectors.add_vector")
    with pytest.raises(bulkops.InvalidParams):
        bulkops.submit(user=user, operation="index-vectors", params=params, items=[{"id": "a", "vector": [1]}])
