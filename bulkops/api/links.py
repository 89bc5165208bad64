"""What follows from an answer: OpenAPI links from a job, or a webhook, to the calls that take its id."""

from __future__ import annotations

from typing import Any

_OF_A_JOB = (
    "look_at_a_job",
    "list_a_jobs_outcomes_by_position",
    "list_a_jobs_failures_by_group",
    "list_a_jobs_events",
    "download_a_jobs_report",
    "cancel_a_job",
    "pause_a_job",
    "resume_a_job",
    "retry_items_of_a_job",
    "limit_a_jobs_speed",
)
_OF_A_WEBHOOK = (
    "look_at_a_webhook",
    "change_a_webhook",
    "rotate_a_webhooks_secret",
    "send_a_test_to_a_webhook",
    "list_a_webhooks_deliveries",
    "delete_a_webhook",
)
_FROM_ONE = {call: {"id": "$response.body#/id"} for call in _OF_A_JOB}
_FROM_MANY = {call: {"id": "$response.body#/results/0/id"} for call in _OF_A_JOB}
_FOLLOWING: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("submit_a_job", "202"): _FROM_ONE,
    ("retry_items_of_a_job", "202"): _FROM_ONE,
    ("look_at_a_job", "200"): _FROM_ONE,
    ("list_jobs", "200"): _FROM_MANY,
    ("list_a_jobs_outcomes_by_position", "200"): {
        "decide_an_item_in_doubt": {"id": "$request.path.id", "position": "$response.body#/results/0/position"}
    },
    ("make_a_webhook", "201"): {call: {"id": "$response.body#/id"} for call in _OF_A_WEBHOOK},
    ("list_webhooks", "200"): {call: {"id": "$response.body#/results/0/id"} for call in _OF_A_WEBHOOK},
    ("list_a_webhooks_deliveries", "200"): {
        "replay_a_delivery": {"id": "$request.path.id", "delivery": "$response.body#/results/0/id"}
    },
    ("list_operations", "200"): {"look_at_an_operation": {"name": "$response.body#/results/0/name"}},
}
"""By call and status: which calls can be made next, and where each of their parameters is found."""


def add(result: Any, **_: Any) -> Any:
    """Put them into the schema; a postprocessing hook of drf-spectacular's."""
    calls = {one["operationId"]: one for methods in result["paths"].values() for one in methods.values()}
    for (source, status), targets in _FOLLOWING.items():
        links = calls[source]["responses"][status].setdefault("links", {})
        for target, parameters in targets.items():
            links[target] = {"operationId": calls[target]["operationId"], "parameters": parameters}
    return result
