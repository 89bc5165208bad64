"""The API while its database is stopped: every call says so as a problem, and goes on when it is back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from bulkops import services, tokens
from bulkops.clock import from_now
from bulkops.models import Cluster, Job
from tests.clusters import wait_for
from tests.sites import RealSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.databases import OwnDatabase

pytestmark = pytest.mark.slow


@pytest.fixture
def site(own_database: OwnDatabase, tmp_path: Path) -> Iterator[RealSite]:
    served = RealSite(tmp_path / "site.log")
    served.start()
    yield served
    served.kill()


def test_a_database_that_is_away_is_503_and_the_same_key_makes_one_job_afterwards(
    own_database: OwnDatabase, site: RealSite
):
    owner = get_user_model().objects.create_user("owner", password="secret")
    Cluster.objects.create(name="here", alive_until=from_now(3600), workers=1, queues=["default"])
    job = services.submit(user=owner, operation="note", items=["a"])
    services.cancel(job=job, actor=None)
    token = f"Token {tokens.make(user=owner, name='a test')[1]}"
    basic = "Basic " + base64.b64encode(b"owner:secret").decode()
    body = {"operation": "note", "items": ["a"]}
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False, timeout=30) as client:

        def submit() -> httpx.Response:
            headers = {"Authorization": token, "Idempotency-Key": "once"}
            return client.post("/api/jobs/", json=body, headers=headers)

        assert client.get("/api/jobs/", headers={"Authorization": token}).status_code == 200
        session = _logged_in(client)
        connection.close()
        own_database.stop()
        try:
            for path in ("", "summary/", f"{job.pk}/", f"{job.pk}/items/", f"{job.pk}/events/", f"{job.pk}/report/"):
                for headers in ({"Authorization": token}, {"Authorization": basic}, {"Cookie": session}, {}):
                    _is_away(client.get(f"/api/jobs/{path}", headers=headers))
            for verb in ("cancel", "pause", "resume", "retry"):
                _is_away(client.post(f"/api/jobs/{job.pk}/{verb}/", json={}, headers={"Authorization": token}))
            _is_away(submit())
        finally:
            own_database.start()
        wait_for(lambda: site.ask("/readyz") == 200, 30, "the site's readiness")
        first, second = submit(), submit()
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["Location"] == second.headers["Location"]
    assert Job.objects.count() == 2


def _logged_in(client: httpx.Client) -> str:
    client.get("/accounts/login/")
    form = {"username": "owner", "password": "secret", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert client.post("/accounts/login/", data=form).status_code == 302
    session = f"sessionid={client.cookies['sessionid']}"
    client.cookies.clear()
    assert client.get("/api/jobs/", headers={"Cookie": session}).status_code == 200
    return session


def _is_away(answer: Any) -> None:
    told = answer.json()
    assert (answer.status_code, told["type"]) == (503, "/problems/database-away"), answer.url
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "connection" not in told["detail"]
