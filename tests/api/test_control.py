"""What can be asked of a job over HTTP: 202 accepted, 200 already so, 409 refused."""

from __future__ import annotations

from typing import Any

import pytest

from bulkops import services
from bulkops.models import Job, Outcome
from tests.api.conftest import problem


def ask(mine: Any, job: Job, verb: str, body: Any = None) -> Any:
    return mine.post(f"/api/jobs/{job.pk}/{verb}/", body)


def test_pausing_and_resuming_answer_with_where_the_job_stands(mine: Any, job: Job):
    states = [ask(mine, job, verb) for verb in ("pause", "pause", "resume", "resume")]
    assert [(one.status_code, one.json()["state"]) for one in states] == [
        (202, "paused"),
        (200, "paused"),
        (202, "queued"),
        (200, "queued"),
    ]


def test_cancelling_takes_a_reason_and_once_is_enough(mine: Any, job: Job):
    first = ask(mine, job, "cancel", {"reason": "wrong file", "force": True})
    assert (first.status_code, first.json()["state"], first.json()["cancel_reason"]) == (202, "cancelled", "wrong file")
    assert ask(mine, job, "cancel").status_code == 200
    refused = ask(mine, job, "pause")
    assert problem(refused) == (409, "not-allowed-now")
    assert refused.json()["job"]["state"] == "cancelled"
    assert problem(ask(mine, job, "resume")) == (409, "not-allowed-now")
    assert problem(ask(mine, job, "rate", {"rate_per_second": 5})) == (409, "not-allowed-now")


def test_an_ended_job_is_not_cancelled(mine: Any, job: Job, worker: Any):
    worker.finish(job)
    assert problem(ask(mine, job, "cancel")) == (409, "not-allowed-now")


def test_a_control_may_come_without_a_body(mine: Any, job: Job):
    assert mine.client.generic("POST", f"/api/jobs/{job.pk}/pause/").status_code == 202


@pytest.mark.parametrize(
    ("verb", "body", "pointer"),
    [
        ("cancel", {"force": "yes"}, "#/force"),
        ("cancel", {"why": "x"}, "#/why"),
        ("pause", {"reason": 7}, "#/reason"),
        ("retry", {"items": "all"}, "#/items"),
        ("rate", {}, "#/rate_per_second"),
        ("rate", {"rate_per_second": -1}, "#/rate_per_second"),
        ("items/0/decide", {"decision": "perhaps"}, "#/decision"),
    ],
)
def test_what_is_wrong_with_a_control_is_named(mine: Any, job: Job, verb: str, body: Any, pointer: str):
    answer = ask(mine, job, verb, body)
    assert problem(answer) == (422, "validation")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


def test_the_speed_limit_is_changed_and_taken_away(mine: Any, job: Job):
    assert ask(mine, job, "rate", {"rate_per_second": 2.5}).json()["rate_limit_per_second"] == 2.5
    assert ask(mine, job, "rate", {"rate_per_second": None}).json()["rate_limit_per_second"] is None


def test_a_retry_is_a_child_job_that_takes_the_items_once(mine: Any, owner: Any, worker: Any):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["a", "bad"]))
    first = ask(mine, job, "retry", {"items": "failed", "reason": "mended"})
    child = Job.objects.get(parent=job)
    assert (first.status_code, first["Location"]) == (202, f"http://testserver/api/jobs/{child.pk}/")
    assert first.json()["parent"] == str(job.pk)
    running = ask(mine, job, "retry", {"items": "failed"})
    assert problem(running) == (409, "active-job-exists")
    assert running.json()["active_job"]["id"] == str(child.pk)
    worker.finish(child)
    taken = ask(mine, job, "retry", {"items": "failed"})
    assert problem(taken) == (409, "not-allowed-now")
    assert taken.json()["job"]["id"] == str(child.pk)


def test_a_doubt_is_decided_once(mine: Any, owner: Any, worker: Any):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["a", "doubt"]))
    tag = mine.get(f"/api/jobs/{job.pk}/")["ETag"]
    decided = ask(mine, job, "items/1/decide", {"decision": "done"})
    assert (decided.status_code, decided.json()["state"], decided.json()["item"]) == (200, "succeeded", "doubt")
    assert ask(mine, job, "items/1/decide", {"decision": "done"}).status_code == 200
    assert problem(ask(mine, job, "items/1/decide", {"decision": "failed"})) == (409, "not-allowed-now")
    assert problem(ask(mine, job, "items/0/decide", {"decision": "done"})) == (409, "not-allowed-now")
    assert problem(ask(mine, job, "items/99999999999/decide", {"decision": "done"})) == (409, "not-allowed-now")
    assert Outcome.objects.filter(job=job, state="in_doubt").count() == 0
    news = mine.get(f"/api/jobs/{job.pk}/", **{"If-None-Match": tag})
    assert (news.status_code, news.json()["state"]) == (200, "completed")
