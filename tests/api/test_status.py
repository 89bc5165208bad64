"""What a job tells over HTTP: its status for little money, lists, outcomes, events, the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bulkops import progress, services, snapshots, transitions
from bulkops.clock import from_now
from bulkops.models import Cluster, Job, Pace
from bulkops.states import JobState
from tests.api.conftest import Program, problem

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS = [
    "id",
    "url",
    "operation",
    "name",
    "tags",
    "metadata",
    "owner",
    "state",
    "message",
    "total",
    "processed",
    "succeeded",
    "failed",
    "skipped",
    "deferred",
    "in_doubt",
    "percent",
    "rate_per_second",
    "eta_seconds",
    "created_at",
    "started_at",
    "finished_at",
    "elapsed_seconds",
    "params",
    "result",
    "error",
    "error_code",
    "cancel_reason",
    "retry_count",
    "parent",
    "cancellable",
    "pausable",
    "resumable",
    "retryable",
    "queue_position",
    "stalled",
]


def address(job: Job, *rest: str) -> str:
    return "/".join(["/api/jobs", str(job.pk), *rest, ""])


def test_the_status_has_every_field_that_was_promised(mine: Any, job: Job):
    answer = mine.get(address(job))
    assert set(FIELDS) <= set(answer.json())
    assert answer["Retry-After"] == "1"
    assert answer["ETag"].startswith('W/"')


def test_the_same_status_is_answered_with_304(mine: Any, job: Job):
    tag = mine.get(address(job))["ETag"]
    again = mine.get(address(job), **{"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again["ETag"], again["Retry-After"]) == (304, b"", tag, "1")
    services.pause(job=job, actor=None)
    news = mine.get(address(job), **{"If-None-Match": tag})
    assert (news.status_code, news.json()["state"], news["Retry-After"]) == (200, "paused", "5")


def test_an_ended_job_says_nothing_of_asking_again(mine: Any, job: Job, worker: Any):
    worker.finish(job)
    first, second = mine.get(address(job)), mine.get(address(job))
    assert "Retry-After" not in first
    assert (first.json(), first["ETag"]) == (second.json(), second["ETag"])


@pytest.mark.parametrize("state", ["queued", "paused", "completed", "preparing"])
def test_a_status_costs_one_query_beyond_the_log_in(mine: Any, job: Job, worker: Any, owner: Any, state: str):
    if state == "paused":
        services.pause(job=job, actor=None)
    if state in {"completed", "preparing"}:
        worker.finish(job)
    if state == "preparing":
        job = services.submit(user=owner, operation="deposit", params={"amount": 1})
    connection.close()  # whose plan may be an old one
    mine.get(address(job))  # which notes the token's use
    with CaptureQueriesContext(connection) as sent:
        assert mine.get(address(job)).json()["state"] == state
    token, status = [one["sql"] for one in sent]
    assert "bulkops_apitoken" in token
    assert status.startswith("EXECUTE bulkops_told")


def test_a_steady_job_tells_when_it_will_have_ended_and_when_to_ask_again(mine: Any, job: Job, owner: Any):
    transitions.move(job, JobState.RUNNING)
    Job.objects.filter(pk=job.pk).update(total=3000)
    steady = {"seconds": [3.0 * n for n in range(20)], "items": [30 * n - 570 for n in range(20)]}
    Pace.objects.filter(job=job).update(sampled_at=from_now(0), **steady)
    answer = mine.get(address(job))
    eta = answer.json()["eta_seconds"]
    assert eta["low"] < 300 < eta["high"]
    assert answer["Retry-After"] == "60"
    assert answer.json()["rate_per_second"] == pytest.approx(10, rel=0.1)
    refused = mine.post("/api/jobs/", {"operation": "note", "items": ["a"]})
    assert problem(refused) == (409, "active-job-exists")
    assert 300 < int(refused["Retry-After"]) <= 3600
    listed = mine.get("/api/jobs/").json()["results"][0]
    assert listed["eta_seconds"]["low"] == pytest.approx(eta["low"], abs=3)


def test_one_query_tells_what_many_tell(owner: Any, worker: Any):
    def same(job: Job) -> None:
        job.refresh_from_db()
        found = snapshots.of(job.pk)
        assert found is not None
        told, figures = found
        assert told == job
        expected = progress.of(job)
        for name in ("processed", "failed", "left", "queue_position", "stalled", "percent"):
            assert getattr(figures, name) == getattr(expected, name), name

    job = services.submit(user=owner, operation="rows", items=[{"number": n} for n in range(1, 4)])
    same(job)
    Cluster.objects.update(alive_until=from_now(-1))
    same(job)
    Cluster.objects.update(alive_until=from_now(3600))
    services.cancel(job=job, actor=None)
    same(job)
    assert progress.of(job).left == {"unprocessed": 3}
    child = services.retry(job=job, actor=None)
    same(job)
    same(child)
    assert worker.finish(child).state == "completed"
    same(job)
    same(child)


def test_whoever_may_see_all_jobs_sees_it_and_others_are_told_of_none(
    job: Job, colleague: Any, stranger: Any, program: Callable[..., Program]
):
    assert program(colleague).get(address(job)).status_code == 200
    for rest in ((), ("items",), ("events",), ("report",)):
        assert problem(program(stranger).get(address(job, *rest))) == (404, "not-found")
    for verb in ("cancel", "pause", "resume", "retry", "rate"):
        assert problem(program(stranger).post(address(job, verb))) == (404, "not-found")
    assert problem(program(colleague).post(address(job, "cancel"))) == (403, "permission-denied")


# -- lists


@pytest.fixture
def three(owner: Any, alive: Any) -> list[Job]:
    made = []
    for name in ("Autumn", "Winter", "Spring"):
        job = services.submit(user=owner, operation="note", items=["a"], name=name, tags=[name.lower()])
        services.cancel(job=job, actor=None)
        made.append(job)
    return made


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Spring", "Winter", "Autumn"]),
        ("ordering=name", ["Autumn", "Spring", "Winter"]),
        ("ordering=-name", ["Winter", "Spring", "Autumn"]),
        ("tag=winter", ["Winter"]),
        ("search=aut", ["Autumn"]),
        ("search=owner", ["Spring", "Winter", "Autumn"]),
        ("state=queued", []),
        ("state=cancelled&state=queued&operation=note", ["Spring", "Winter", "Autumn"]),
        ("operation=rows", []),
        ("owner=owner&page_size=2", ["Spring", "Winter"]),
        ("owner=nobody", []),
        ("created_after=2000-01-01T00:00:00Z", ["Spring", "Winter", "Autumn"]),
        ("created_before=2000-01-01T00:00:00Z", []),
    ],
)
def test_the_list_is_filtered_and_ordered(mine: Any, three: list[Job], query: str, names: list[str]):
    found = mine.get(f"/api/jobs/?{query}").json()
    assert [one["name"] for one in found["results"]] == names


def test_pages_lead_to_one_another(mine: Any, three: list[Job]):
    first = mine.get("/api/jobs/?page_size=2&ordering=created_at").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (3, 2, None)
    second = mine.get(first["next"].removeprefix("http://testserver")).json()
    assert ([one["name"] for one in second["results"]], second["next"]) == (["Spring"], None)
    assert mine.get(second["previous"].removeprefix("http://testserver")).json() == first
    assert problem(mine.get("/api/jobs/?page=2&page_size=3")) == (404, "not-found")


@pytest.mark.parametrize(
    "query",
    [
        "state=x",
        "page=0",
        "page=x",
        "page_size=201",
        "ordering=x",
        "created_after=x",
        "created_before=0001-01-01T00:00:00%2B12:00",
        "created_after=",
        "page=",
        "page_size=",
    ],
)
def test_what_a_list_cannot_be_asked_for_is_named(mine: Any, query: str):
    answer = mine.get(f"/api/jobs/?{query}")
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize("rest", ["jobs/?stat=queued", "jobs/{}/items/?status=failed", "jobs/{}/events/?before=1"])
def test_a_parameter_that_there_is_not_is_refused_rather_than_left_out(mine: Any, job: Job, rest: str):
    answer = mine.get(f"/api/{rest.format(job.pk)}")
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["parameter"] == rest.partition("?")[2].partition("=")[0]
    assert problem(mine.get(f"/api/jobs/{job.pk}/report/?states=failed")) == (422, "validation")


def test_a_moment_can_be_pasted_from_an_answer(mine: Any, three: list[Job]):
    first = mine.get("/api/jobs/?ordering=created_at").json()["results"][0]
    found = mine.get(f"/api/jobs/?created_after={first['created_at']}").json()  # whose + reads as a space
    assert found["count"] == 3


def test_moments_at_the_ends_of_time_are_refused_or_compared(mine: Any, three: list[Job]):
    early, late = "0001-01-01T00:00:00%2B12:00", "9999-12-31T23:59:59-12:00"
    assert problem(mine.get(f"/api/jobs/?created_after={early}")) == (422, "validation")
    assert problem(mine.get(f"/api/jobs/?created_before={late}")) == (422, "validation")
    assert mine.get("/api/jobs/?created_after=0934-10-27T01:51:56-16:27").json()["count"] == 3


def test_a_list_costs_the_same_for_one_job_and_for_many(mine: Any, three: list[Job]):
    mine.get("/api/jobs/")

    def queries(size: int) -> int:
        with CaptureQueriesContext(connection) as sent:
            assert len(mine.get(f"/api/jobs/?page_size={size}").json()["results"]) == size
        return len(sent)

    assert queries(3) == queries(1)


def test_who_may_see_all_lists_and_counts_all(
    three: list[Job], colleague: Any, stranger: Any, program: Callable[..., Program]
):
    assert program(colleague).get("/api/jobs/?owner=owner").json()["count"] == 3
    assert program(stranger).get("/api/jobs/?owner=owner").json()["count"] == 0
    counts = program(colleague).get("/api/jobs/summary/").json()
    assert (counts["cancelled"], counts["queued"], counts["total"]) == (3, 0, 3)
    assert program(stranger).get("/api/jobs/summary/").json()["total"] == 0


# -- what became of the items


@pytest.fixture
def ended(owner: Any, worker: Any) -> Job:
    """Three items, of which the second failed."""
    return worker.finish(services.submit(user=owner, operation="failing", items=["1", "bad", "3"]))


def test_outcomes_come_by_position_with_their_items(mine: Any, ended: Job):
    page = mine.get(address(ended, "items") + "?page_size=2").json()
    assert [(one["position"], one["item"], one["state"]) for one in page["results"]] == [
        (0, "1", "succeeded"),
        (1, "bad", "failed"),
    ]
    assert page["results"][0]["key"] == f"{ended.pk}:0"
    rest = mine.get(page["next"].removeprefix("http://testserver")).json()
    assert ([one["position"] for one in rest["results"]], rest["next"]) == ([2], None)
    failed = mine.get(address(ended, "items") + "?state=failed").json()["results"]
    assert [one["position"] for one in failed] == [1]
    assert problem(mine.get(address(ended, "items") + "?state=x")) == (422, "validation")
    assert problem(mine.get(address(ended, "items") + "?after=x")) == (422, "validation")


def test_events_are_told_the_oldest_first(mine: Any, ended: Job):
    page = mine.get(address(ended, "events") + "?page_size=1").json()
    assert [one["kind"] for one in page["results"]] == ["submitted"]
    assert page["results"][0]["actor"] == "owner"
    rest = mine.get(page["next"].removeprefix("http://testserver")).json()
    assert rest["results"]


def test_the_report_is_the_pages_report(mine: Any, ended: Job):
    answer = mine.get(address(ended, "report") + "?state=failed", Accept="text/csv")
    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("1,bad,failed")
    assert problem(mine.get(address(ended, "report") + "?state=x")) == (422, "validation")


# -- operations


def test_operations_that_i_may_run_are_told_with_their_schemas(mine: Any):
    found = {one["name"]: one for one in mine.get("/api/operations/").json()["results"]}
    assert "guarded" not in found
    assert problem(mine.get("/api/operations/guarded/")) == (404, "not-found")
    deposit = mine.get("/api/operations/deposit/").json()
    assert deposit == found["deposit"]
    assert deposit["params"]["properties"]["amount"]["type"] == "integer"
    assert deposit["params"]["properties"]["amount"]["default"] == 1
    assert deposit["params"]["required"] == []
    rows = found["rows"]["item"]
    assert (rows["properties"]["number"]["minimum"], rows["required"]) == (1, ["number"])
    assert "type" not in found["note"]["item"]
