"""Health for machines: 200, or 503 with what is missing."""

from __future__ import annotations

from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client

from bulkops import liveness
from bulkops.clock import from_now
from bulkops.models import Cluster
from bulkops.web import health

pytestmark = pytest.mark.django_db


def test_the_process_answers_without_a_database(client: Client, django_assert_num_queries: object) -> None:
    with mock.patch("django.db.backends.base.base.BaseDatabaseWrapper.cursor", side_effect=OperationalError):
        assert client.get("/healthz").json() == {"status": "ok"}


def test_ready_when_the_database_answers_and_is_migrated(client: Client) -> None:
    assert client.get("/readyz").status_code == 200


def test_not_ready_without_a_database(client: Client) -> None:
    with mock.patch("django.db.backends.base.base.BaseDatabaseWrapper.cursor", side_effect=OperationalError):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["missing"] == "the database does not answer"


def test_not_ready_before_migrations(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_migrated", False)
    with mock.patch("bulkops.web.health.MigrationExecutor.migration_plan", return_value=[("one", False)]):
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["missing"] == "migrations are not applied"


def test_a_probes_no_is_an_answer_and_no_line_in_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/healthz/workers").status_code == 503
    assert caplog.records == []
    assert client.get("/nowhere/").status_code == 404
    assert [record.name for record in caplog.records] == ["django.request"]


def test_workers_are_missing_on_a_fresh_install(client: Client) -> None:
    response = client.get("/healthz/workers")
    assert response.status_code == 503
    assert "no worker cluster is alive" in response.json()["missing"]


@pytest.mark.parametrize(
    ("seconds", "healthy", "refused"), [(5, True, False), (-30, False, False), (-59, False, False), (-61, False, True)]
)
def test_a_dead_cluster_is_unhealthy_at_once_and_refuses_jobs_after_a_minute(
    client: Client, seconds: float, *, healthy: bool, refused: bool
) -> None:
    Cluster.objects.create(name="c", alive_until=from_now(seconds), workers=1)
    assert (client.get("/healthz/workers").status_code == 200) is healthy
    assert liveness.workers_missing() is refused


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz/workers"])
def test_probes_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405
