"""Failures over HTTP: their groups, the items of one, and retrying it."""

from __future__ import annotations

from typing import Any

import pytest

from bulkops import fingerprints, services
from tests.api.conftest import problem

TICKET, PRICE = (fingerprints.of("ValueError", words).fingerprint for words in ("no ticket 1", "no price"))


@pytest.fixture
def told(owner: Any, alive: Any, worker: Any) -> Any:
    items = ["no ticket 1", "fine", "no price", "no ticket 2"]
    return worker.finish(services.submit(user=owner, operation="telling", items=items))


def test_groups_have_counts_samples_and_what_is_left(mine: Any, told: Any):
    ticket, price = mine.get(f"/api/jobs/{told.pk}/failures/").json()["results"]
    assert ticket == {
        "fingerprint": TICKET,
        "count": 2,
        "error_code": "ValueError",
        "message": "no ticket …",
        "samples": [
            {"position": 0, "message": "ValueError: no ticket 1"},
            {"position": 3, "message": "ValueError: no ticket 2"},
        ],
        "left": 2,
        "retryable": True,
    }
    assert (price["fingerprint"], price["count"]) == (PRICE, 1)


def test_an_active_job_shows_its_groups_and_lets_none_be_retried(mine: Any, owner: Any, worker: Any, settings: Any):
    settings.BULKOPS = {"slice_seconds": 0}
    running = services.submit(user=owner, operation="telling", items=["no price", "no price"])
    assert mine.get(f"/api/jobs/{running.pk}/failures/").json() == {"ungrouped": 0, "results": []}
    worker.step()
    (group,) = mine.get(f"/api/jobs/{running.pk}/failures/").json()["results"]
    assert (group["count"], group["left"], group["retryable"]) == (1, 0, False)


def test_items_are_filtered_by_group_and_say_theirs(mine: Any, told: Any):
    url = f"/api/jobs/{told.pk}/items/?fingerprint={TICKET}"
    page = mine.get(f"{url}&page_size=1").json()
    assert [(one["position"], one["fingerprint"], one["item"]) for one in page["results"]] == [
        (0, TICKET, "no ticket 1")
    ]
    rest = mine.get(page["next"].removeprefix("http://testserver")).json()
    assert ([one["position"] for one in rest["results"]], rest["next"]) == ([3], None)
    assert mine.get(f"{url}&state=succeeded").json()["results"] == []
    every = mine.get(f"/api/jobs/{told.pk}/items/").json()["results"]
    assert [one["fingerprint"] for one in every] == [TICKET, "", PRICE, TICKET]


@pytest.mark.parametrize("bad", ["x", "%00", "0123456789AB", "0123456789ab0", "0123456789ab%0A"])
def test_what_is_no_fingerprint_is_said(mine: Any, told: Any, bad: str):
    refused = mine.get(f"/api/jobs/{told.pk}/items/?fingerprint={bad}")
    assert problem(refused) == (422, "validation")
    assert refused.json()["errors"][0]["parameter"] == "fingerprint"


def test_one_group_is_retried_once(mine: Any, told: Any, worker: Any):
    answer = mine.post(f"/api/jobs/{told.pk}/retry/", {"items": "failed", "fingerprint": TICKET})
    assert answer.status_code == 202
    child = answer.json()
    assert (child["parent"], answer["Location"]) == (str(told.pk), child["url"])
    worker.drain()
    taken = mine.get(f"/api/jobs/{child['id']}/items/").json()["results"]
    assert [one["item"] for one in taken] == ["no ticket 1", "no ticket 2"]
    refused = mine.post(f"/api/jobs/{told.pk}/retry/", {"fingerprint": TICKET})
    assert problem(refused) == (409, "not-allowed-now")
    assert refused.json()["job"]["id"] == child["id"]
    assert mine.post(f"/api/jobs/{told.pk}/retry/", {"fingerprint": PRICE}).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {"fingerprint": "x"},
        {"fingerprint": 7},
        {"fingerprint": ""},
        {"fingerprint": f"{TICKET}\n"},
        {"items": "unprocessed", "fingerprint": TICKET},
    ],
)
def test_a_retry_of_no_group_is_refused_and_named(mine: Any, told: Any, body: Any):
    refused = mine.post(f"/api/jobs/{told.pk}/retry/", body)
    assert problem(refused) == (422, "validation")
    assert refused.json()["errors"][0]["pointer"] == "#/fingerprint"
