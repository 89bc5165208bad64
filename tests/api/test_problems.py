"""Each way in which the API refuses has its status, and a page that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client

from bulkops.api import problems
from bulkops.api.pointers import pointer_to
from tests.api.conftest import Program, problem

if TYPE_CHECKING:
    from bulkops.models import Job

PROMISED = {
    "malformed": 400,
    "invalid-idempotency-key": 400,
    "not-authenticated": 401,
    "permission-denied": 403,
    "csrf-failed": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "not-acceptable": 406,
    "active-job-exists": 409,
    "not-allowed-now": 409,
    "idempotency-key-in-flight": 409,
    "length-required": 411,
    "too-large": 413,
    "unsupported-media-type": 415,
    "validation": 422,
    "idempotency-key-reused": 422,
    "rate-limited": 429,
    "internal-error": 500,
    "no-worker": 503,
    "database-away": 503,
}


def test_the_types_are_those_that_were_promised():
    assert {name: kind.status for name, kind in problems.KINDS.items()} == PROMISED


@pytest.mark.parametrize("name", PROMISED)
def test_each_type_is_the_address_of_a_page(db: None, name: str):
    assert problems.KINDS[name].url == f"/problems/{name}"
    for address in (f"/problems/{name}", f"/problems/{name}/"):
        page = Client().get(address)
        assert page.status_code == 200
        assert problems.KINDS[name].title in page.content.decode()


def test_pages_of_problems_are_listed_and_others_do_not_exist(db: None):
    for name in PROMISED:
        assert "&amp;" not in Client().get(f"/problems/{name}").content.decode(), "escaped twice"
    page = Client().get("/problems/").content.decode()
    assert all(f'href="/problems/{name}"' in page for name in PROMISED)
    assert Client().get("/problems/nothing").status_code == 404


def test_addresses_and_methods_that_there_are_not_are_problems(mine: Any):
    assert problem(mine.get("/api/nothing/")) == (404, "not-found")
    assert problem(mine.get("/api/jobs/7c1d7c2e-1c6e-4a3c-8f43-5b3c8c4f7a11/")) == (404, "not-found")
    assert "/api/docs/" in mine.get("/api/").json()["detail"]
    assert mine.post("/api/jobs").json()["detail"] == "Addresses end with a slash: /api/jobs/"
    refused = mine.client.put("/api/jobs/")
    assert problem(refused) == (405, "method-not-allowed")
    assert "POST" in refused["Allow"]
    assert problem(mine.get("/api/jobs/", Accept="text/csv")) == (406, "not-acceptable")
    assert problem(mine.client.post("/api/jobs/", "a=1", content_type="text/plain")) == (
        415,
        "unsupported-media-type",
    )
    forgotten = mine.client.post("/api/jobs/", "{}", content_type="application/x-www-form-urlencoded").json()["detail"]
    assert "application/json" in forgotten


def test_a_host_that_is_not_ours_is_malformed(mine: Any):
    assert problem(mine.get("/api/jobs/", Host="elsewhere.example")) == (400, "malformed")


def test_a_mistake_of_ours_is_logged_and_told_without_its_words(job: Job, owner: Any, caplog: Any):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE bulkops_event RENAME TO bulkops_elsewhere")
    broken = Program(owner, raise_request_exception=False).get(f"/api/jobs/{job.pk}/events/")
    assert problem(broken) == (500, "internal-error")
    assert "bulkops_event" not in broken.content.decode()
    (line,) = [one for one in caplog.records if one.name == "django.request"]
    assert line.exc_info
    assert "bulkops_event" in str(line.exc_info[1])
    assert isinstance(broken.exc_info[1], ProgrammingError)  # whoever listens for errors has heard of it


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/", "/api/redoc/"])
def test_refusals_are_json_where_answers_are_not(db: None, path: str):
    for answer in (Client().put(path), Client().get(path, headers={"Accept": "image/png"})):
        assert problem(answer)[0] in {401, 405, 406}
    assert problem(Client().get("/api/schema/", headers={"Authorization": "Token x"})) == (401, "not-authenticated")


def test_a_database_that_is_away_is_a_problem_and_a_mistake_of_ours_is_none():
    found = problems.of(OperationalError("the server closed the connection"))
    assert found is not None
    assert found.kind.name == "database-away"
    assert problems.of(ZeroDivisionError()) is None


def test_pointers_escape_what_a_name_may_hold():
    assert pointer_to("items", 17, "amount") == "#/items/17/amount"
    assert pointer_to("params", "a/b~c d%\udc80") == "#/params/a~1b~0c%20d%25%3F"
