"""POST /api/jobs/: what is taken, what is refused and where it is wrong, and keys that make one job of many."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections

from bulkops import idempotency, tokens
from bulkops.clock import from_now
from bulkops.models import Cluster, IdempotencyKey, Job, Outcome
from tests.api.conftest import Program, problem
from tests.elsewhere import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = "/api/jobs/"


def pointers(answer: Any) -> list[str]:
    assert problem(answer) == (422, "validation")
    return [one["pointer"] for one in answer.json()["errors"]]


def test_a_job_is_accepted_with_its_address_and_status(mine: Any, worker: Any):
    body = {"operation": "note", "items": ["a", 2, None], "name": "N", "tags": ["x"], "metadata": {"from": "test"}}
    answer = mine.post(JOBS, body | {"params": {}, "parallelism": 2, "limit": 2})
    assert answer.status_code == 202
    job = Job.objects.get()
    assert answer["Location"] == f"http://testserver/api/jobs/{job.pk}/"
    assert answer["Retry-After"] == "1"
    status = answer.json()
    assert (status["id"], status["url"], status["state"]) == (str(job.pk), answer["Location"], "queued")
    assert (status["total"], status["name"], status["tags"], status["metadata"]) == (2, "N", ["x"], {"from": "test"})
    worker.finish(job)
    assert mine.get(answer["Location"]).json()["state"] == "completed"


def test_an_operation_that_collects_needs_no_items(mine: Any, worker: Any):
    answer = mine.post(JOBS, {"operation": "deposit", "params": {"amount": 2}})
    assert (answer.status_code, answer.json()["state"], answer.json()["total"]) == (202, "preparing", None)


def test_a_file_is_read_for_its_items(mine: Any, worker: Any):
    file = SimpleUploadedFile("rows.csv", b"number,note\n1,a\n2,b\n")
    body = {"operation": "rows", "params": "{}", "file": file, "tags": '["x"]', "limit": "1"}
    answer = mine.client.post(JOBS, body)
    assert answer.status_code == 202, answer.content
    job = Job.objects.get()
    assert (job.total, job.input_name, job.tags) == (1, "rows.csv", ["x"])


def test_files_are_items_where_the_operation_takes_files(mine: Any, worker: Any, settings: Any):
    one, two = (SimpleUploadedFile(name, b"hello") for name in ("a.txt", "b.txt"))
    answer = mine.client.post(JOBS, {"operation": "copy-files", "file": [one, two]})
    assert answer.status_code == 202, answer.content
    job = worker.finish(Job.objects.get())
    assert (job.state, Outcome.objects.filter(job=job, state="succeeded").count()) == ("completed", 2)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["#/operation"]),
        ([], ["#"]),
        ({"operation": "nothing"}, ["#/operation"]),
        ({"operation": 7, "colour": 1}, ["#/colour", "#/operation"]),
        ({"operation": "note", "items": {"a": 1}}, ["#/items"]),
        ({"operation": "note"}, ["#/items"]),
        ({"operation": "note", "items": ["a"], "limit": 0}, ["#/limit"]),
        ({"operation": "note", "items": ["a"], "limit": "1"}, ["#/limit"]),
        ({"operation": "note", "items": ["a"], "parallelism": 9}, ["#/parallelism"]),
        ({"operation": "note", "items": ["a"], "rate_per_second": 0}, ["#/rate_per_second"]),
        ({"operation": "note", "items": ["a"], "tags": ["x", 7]}, ["#/tags/1"]),
        ({"operation": "note", "items": ["a"], "params": {"colour": 1}}, ["#/params/colour"]),
        ({"operation": "deposit", "params": {"amount": "x"}}, ["#/params/amount"]),
        (
            {"operation": "rows", "items": [{"number": 1}, {"number": 0}, {}, "x"]},
            ["#/items/1/number", "#/items/2/number", "#/items/3"],
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_place(mine: Any, worker: Any, body: Any, expected: list[str]):
    assert pointers(mine.client.post(JOBS, json.dumps(body), content_type="application/json")) == expected
    assert not Job.objects.exists()


def test_the_first_hundred_bad_items_are_named(mine: Any, worker: Any):
    answer = mine.post(JOBS, {"operation": "rows", "items": [{"number": 0}] * 150})
    assert pointers(answer) == [f"#/items/{position}/number" for position in range(100)]


@pytest.mark.parametrize("text", ["{", "\xff", '{"a": NaN}', '{"a": 1, "a": 2}', '["\\u0000"]', '{"a": "\\ud800"}'])
def test_a_body_that_cannot_be_read_is_malformed(mine: Any, worker: Any, text: str):
    answer = mine.client.post(JOBS, text.encode("latin-1"), content_type="application/json")
    assert problem(answer) == (400, "malformed")


def test_what_is_too_large_is_refused(mine: Any, worker: Any, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "body_bytes": 1_000, "body_items": 5, "file_bytes": 50}
    assert problem(mine.post(JOBS, {"operation": "note", "items": ["x" * 1_000]})) == (413, "too-large")
    assert problem(mine.post(JOBS, {"operation": "note", "items": [1] * 6})) == (413, "too-large")
    file = SimpleUploadedFile("items.txt", b"x" * 51)
    assert problem(mine.client.post(JOBS, {"operation": "note", "file": file})) == (413, "too-large")
    assert not Job.objects.exists()


@pytest.mark.parametrize("tags", [["spring", "sale"], '["spring", "sale"]'])
def test_tags_beside_a_file_are_a_list_as_json_or_parts_of_their_own(mine: Any, worker: Any, tags: Any):
    file = SimpleUploadedFile("items.txt", b"a\nb\n")
    answer = mine.client.post("/api/jobs/", {"operation": "note", "file": file, "tags": tags})
    assert answer.status_code == 202
    assert answer.json()["tags"] == ["spring", "sale"]


def test_one_tag_beside_a_file_needs_no_brackets(mine: Any, worker: Any):
    file = SimpleUploadedFile("items.txt", b"a\n")
    assert mine.client.post("/api/jobs/", {"operation": "note", "file": file, "tags": "sale"}).json()["tags"] == [
        "sale"
    ]


def test_a_file_that_came_as_a_text_is_told_so(mine: Any, worker: Any):
    answer = mine.client.post("/api/jobs/", {"operation": "note", "file": "a,b"})
    assert problem(answer) == (422, "validation")
    assert "file name" in answer.json()["errors"][0]["detail"]


def test_files_that_cannot_be_read_are_named(mine: Any, worker: Any):
    for name, content in (("a.pdf", b"x"), ("a.json", b"{"), ("a.csv", b"")):
        file = SimpleUploadedFile(name, content)
        assert pointers(mine.client.post(JOBS, {"operation": "rows", "file": file})) == ["#/file"]
    files = [SimpleUploadedFile("a.txt", b"x"), SimpleUploadedFile("b.txt", b"x")]
    assert pointers(mine.client.post(JOBS, {"operation": "note", "file": files})) == ["#/file"]
    both = {"operation": "note", "file": SimpleUploadedFile("a.txt", b"x"), "items": "[1]"}
    assert pointers(mine.client.post(JOBS, both)) == ["#/file"]
    wrong = {"operation": "note", "file": SimpleUploadedFile("a.txt", b"x"), "params": "{"}
    assert pointers(mine.client.post(JOBS, wrong)) == ["#/params"]


def test_an_operation_that_one_may_not_run_is_refused(mine: Any, worker: Any):
    answer = mine.post(JOBS, {"operation": "guarded", "params": {}})
    assert problem(answer) == (403, "permission-denied")


# -- one active job, and nobody to do the work


def test_a_second_job_is_answered_with_the_one_that_runs(mine: Any, job: Job):
    answer = mine.post(JOBS, {"operation": "note", "items": ["x"]})
    assert problem(answer) == (409, "active-job-exists")
    assert answer.json()["active_job"]["id"] == str(job.pk)
    assert answer.json()["active_job"]["url"].endswith(f"/api/jobs/{job.pk}/")
    assert int(answer["Retry-After"]) >= 1


def test_without_a_worker_nothing_is_taken(mine: Any):
    Cluster.objects.update(alive_until=from_now(-61))
    answer = mine.post(JOBS, {"operation": "note", "items": ["x"]})
    assert problem(answer) == (503, "no-worker")
    assert "Retry-After" in answer
    assert not Job.objects.exists()


def test_more_submissions_than_the_limit_have_to_wait(mine: Any, worker: Any, settings: Any):
    settings.BULKOPS = {**settings.BULKOPS, "api_submits_per_minute": 2}
    answers = [mine.post(JOBS, {}) for _ in range(3)]
    assert [one.status_code for one in answers] == [422, 422, 429]
    assert problem(answers[2]) == (429, "rate-limited")
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
    assert mine.get(JOBS).status_code == 200


# -- dry runs


def test_a_dry_run_says_what_would_come_of_it_and_stores_nothing(mine: Any, worker: Any):
    answer = mine.post(f"{JOBS}?dry_run=true", {"operation": "rows", "items": [{"number": n} for n in range(1, 9)]})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["total"], len(found["first_items"])) == (8, 5)
    assert [one["state"] for one in found["outcomes"]] == ["succeeded"] * 5
    assert not Job.objects.exists()
    assert pointers(mine.post(f"{JOBS}?dry_run=true", {"operation": "rows", "items": [{}]})) == ["#/items/0/number"]
    assert problem(mine.post(f"{JOBS}?dry_run=perhaps", {})) == (422, "validation")


def test_a_dry_run_that_is_misspelt_starts_nothing(mine: Any, worker: Any):
    answer = mine.post("/api/jobs/?dry-run=true", {"operation": "note", "items": ["a"]})
    assert problem(answer) == (422, "validation")
    assert not Job.objects.exists()


def test_a_body_of_unknown_length_is_not_taken_for_an_empty_one(mine: Any, job: Job):
    sent = {"content_type": "application/json", "headers": {"Transfer-Encoding": "chunked"}}
    answer = mine.client.generic("POST", f"/api/jobs/{job.pk}/cancel/", b"", **sent)
    assert problem(answer) == (411, "length-required")
    job.refresh_from_db()
    assert job.state == "queued"


def test_a_dry_run_keeps_no_files(mine: Any, worker: Any, settings: Any):
    body = {"operation": "copy-files", "file": SimpleUploadedFile("a.txt", b"hello")}
    assert mine.client.post(f"{JOBS}?dry_run=1", body).status_code == 200
    assert [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()] == []


# -- idempotency keys


BODY = {"operation": "note", "items": ["a"]}


def test_the_same_key_and_body_answer_with_the_job_as_it_is_now(mine: Any, worker: Any):
    first = mine.post(JOBS, BODY, **{"Idempotency-Key": '"k1"'})
    worker.finish(Job.objects.get())
    again = mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first["Location"] == again["Location"]
    assert (first.get("Idempotency-Replayed"), again["Idempotency-Replayed"]) == (None, "true")
    assert again.json()["state"] == "completed"
    assert Job.objects.count() == 1


def test_a_key_is_looked_up_before_the_active_job_and_the_workers(mine: Any, worker: Any):
    first = mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"})
    Cluster.objects.update(alive_until=from_now(-61))
    assert mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"})["Location"] == first["Location"]


def test_a_key_with_another_body_is_refused(mine: Any, worker: Any):
    mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"})
    answer = mine.post(JOBS, BODY | {"items": ["b"]}, **{"Idempotency-Key": "k1"})
    assert problem(answer) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "ü"])
def test_a_key_that_is_none_is_refused(mine: Any, worker: Any, key: str):
    answer = mine.client.post(JOBS, BODY, content_type="application/json", headers={"Idempotency-Key": key})
    assert problem(answer) == (400, "invalid-idempotency-key")


def test_refusals_are_not_stored(mine: Any, worker: Any):
    Cluster.objects.update(alive_until=from_now(-61))
    assert mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"}).status_code == 503
    Cluster.objects.update(alive_until=from_now(60))
    assert mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"}).status_code == 202


def test_another_users_key_is_another_key(mine: Any, worker: Any, stranger: Any, program: Callable[..., Program]):
    first = mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"})
    second = program(stranger).post(JOBS, BODY, **{"Idempotency-Key": "k1"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first["Location"] != second["Location"]


def test_a_key_that_is_being_handled_is_told(mine: Any, worker: Any, owner: Any):
    with elsewhere() as other:
        before = connection.connection
        other.execute("SELECT 1")
        digest = _claim_statement(owner)
        other.execute(*digest)
        answer = mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"})
        assert connection.connection is before
    assert problem(answer) == (409, "idempotency-key-in-flight")
    assert mine.post(JOBS, BODY, **{"Idempotency-Key": "k1"}).status_code == 202


def _claim_statement(user: Any) -> tuple[str, list[Any]]:
    """What another process sends for the same key."""
    from django.db import transaction
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as sent, transaction.atomic():
        assert idempotency.claim(user_id=user.pk, key="k1")
    (sql,) = (one["sql"] for one in sent if "advisory" in one["sql"])
    return sql, []


@pytest.mark.slow
def test_a_hundred_identical_sendings_from_twenty_threads_make_one_job(worker: Any, owner: Any):
    _, text = tokens.make(user=owner, name="storm")
    answers: list[Any] = []
    gate = threading.Barrier(20)

    def send() -> None:
        from django.test import Client

        client = Client(headers={"Authorization": f"Token {text}", "Idempotency-Key": "storm"})
        gate.wait()
        try:
            answers.extend(client.post(JOBS, BODY, content_type="application/json") for _ in range(5))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(answers) == 100
    job = Job.objects.get()
    assert IdempotencyKey.objects.count() == 1
    for answer in answers:
        if answer.status_code == 202:
            assert answer.json()["id"] == str(job.pk)
        else:
            assert problem(answer) == (409, "idempotency-key-in-flight")
    assert sum(one.status_code == 202 and "Idempotency-Replayed" not in one for one in answers) == 1
