"""Every address of the API, every actor: who is told what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import get_resolver

from bulkops import services, tokens
from bulkops.models import Delivery, Endpoint
from bulkops.webhooks import registering

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkops.models import Job

ACTORS = ("nobody", "wrong_token", "bare_session", "stranger", "staff", "view_job", "change_job", "owner")
PUBLIC = (200,) * 8
OWN = (401, 401, 200, 200, 200, 200, 200, 200)
"""What everybody who is logged in may look at, in a session too."""
SEEN = (401, 401, 200, 404, 404, 200, 200, 200)
"""The bare session is the owner's: reading needs no CSRF token."""
CONTROL = (401, 401, 403, 404, 404, 403, 422, 422)
"""With a body that is not valid, so that nothing happens; 403 for who sees the job and may not control it."""
ENDPOINT = (401, 401, 200, 404, 404, 404, 404, 200)
"""One's own alone: who sees or changes all jobs does not see where others are told of theirs."""
OF_ENDPOINT = (401, 401, 403, 404, 404, 404, 404, 422)

CALLS: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "jobs"): OWN,
    ("POST", "jobs"): (401, 401, 403, 422, 422, 422, 422, 422),
    ("GET", "summary"): OWN,
    ("GET", "job"): SEEN,
    ("GET", "items"): SEEN,
    ("GET", "failures"): SEEN,
    ("GET", "events"): SEEN,
    ("GET", "report"): SEEN,
    ("POST", "cancel"): CONTROL,
    ("POST", "pause"): CONTROL,
    ("POST", "resume"): CONTROL,
    ("POST", "retry"): CONTROL,
    ("POST", "rate"): CONTROL,
    ("POST", "decide"): CONTROL,
    ("GET", "webhooks"): OWN,
    ("POST", "webhooks"): (401, 401, 403, 422, 422, 422, 422, 422),
    ("GET", "webhook"): ENDPOINT,
    ("PATCH", "webhook"): OF_ENDPOINT,
    ("DELETE", "webhook"): (401, 401, 403, 404, 404, 404, 404, 204),
    ("POST", "webhook-rotate"): OF_ENDPOINT,
    ("POST", "webhook-test"): OF_ENDPOINT,
    ("GET", "deliveries"): ENDPOINT,
    ("POST", "replay"): OF_ENDPOINT,
    ("GET", "operations"): OWN,
    ("GET", "operation"): OWN,
    ("GET", "schema"): (200, 401, *PUBLIC[2:]),
    ("GET", "docs"): PUBLIC,
    ("GET", "redoc"): PUBLIC,
    ("GET", "nowhere"): (404,) * 8,
}


@pytest.fixture
def client_of(person: Callable[..., Any], owner: Any) -> Callable[[str], Client]:
    def make(actor: str) -> Client:
        if actor == "nobody":
            return Client()
        if actor == "wrong_token":
            return Client(headers={"Authorization": "Token bulkops_wrong"})
        if actor == "bare_session":
            client = Client(enforce_csrf_checks=True)
            client.force_login(owner)
            return client
        rights = {"view_job": ["bulkops.view_job"], "change_job": ["bulkops.change_job"]}
        user = owner if actor == "owner" else person(actor, *rights.get(actor, []))
        if actor == "staff":
            user.is_staff = True
            user.save()
        _, text = tokens.make(user=user, name="matrix")
        return Client(headers={"Authorization": f"Token {text}"})

    return make


def address_of(name: str, job: Job) -> str:
    endpoint = Endpoint.objects.filter(owner=job.owner).first()
    if endpoint is not None:
        pk, delivery = endpoint.pk, Delivery.objects.filter(endpoint=endpoint).first()
        below = {"webhook": "", "webhook-rotate": "rotate/", "webhook-test": "test/", "deliveries": "deliveries/"}
        below |= {"replay": f"deliveries/{delivery and delivery.pk}/replay/"}
        if name in below:
            return f"/api/webhooks/{pk}/{below[name]}"
    rest = {"jobs": "jobs/", "summary": "jobs/summary/", "job": f"jobs/{job.pk}/", "operation": "operations/note/"}
    rest |= {"decide": f"jobs/{job.pk}/items/0/decide/", "nowhere": "nowhere/"}
    rest |= {one: f"{one}/" for one in ("webhooks", "operations", "schema", "docs", "redoc")}
    return "/api/" + rest.get(name, f"jobs/{job.pk}/{name}/")


def test_the_matrix_has_every_address():
    api = next(one for one in get_resolver().url_patterns if getattr(one, "namespace", "") == "bulkops-api")
    assert {one.name for one in api.url_patterns} == {name for _, name in CALLS}


@pytest.mark.parametrize(("method", "name"), CALLS)
def test_each_actor_is_told_what_they_may_know(job: Job, client_of: Callable[[str], Client], method: str, name: str):
    registering.send_test(registering.create(owner=job.owner, url="https://example.org/", events=["job.failed"]))
    address = address_of(name, job)
    told = {}
    for actor in ACTORS:
        ask = {"content_type": "application/json", "data": '{"nothing": 1}'} if method in {"POST", "PATCH"} else {}
        told[actor] = client_of(actor).generic(method, address, **ask).status_code
    assert told == dict(zip(ACTORS, CALLS[method, name], strict=True))
    job.refresh_from_db()
    assert job.state == "queued"


def test_who_may_change_all_jobs_controls_another_ones(job: Job, client_of: Callable[[str], Client]):
    answer = client_of("change_job").post(f"/api/jobs/{job.pk}/pause/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["owner"]) == (202, "owner")
    services.resume(job=job, actor=None)
