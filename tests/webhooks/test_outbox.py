"""What is to be sent is written with what it tells of, or not at all, and says no more than anybody may know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bulkops import registry, retention, services, transitions
from bulkops.clock import from_now
from bulkops.models import Delivery, DeliveryAttempt, Endpoint, Job
from bulkops.states import JobState
from bulkops.webhooks import registering

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://example.org/hook"


def test_a_jobs_end_is_written_once_with_its_figures(endpoint: Any, ended: Any):
    made = endpoint(URL)
    job = ended(["1", "2", "3"], name="Three notes")
    delivery = Delivery.objects.get()
    assert (delivery.endpoint, delivery.job, delivery.event, delivery.state) == (made, job, "job.completed", "pending")
    said = json.loads(delivery.body)
    assert said["type"] == "job.completed"
    assert said["data"] == {
        "id": str(job.pk),
        "url": f"https://bulk.example.org/jobs/{job.pk}/",
        "operation": "note",
        "name": "Three notes",
        "state": "completed",
        "total": 3,
        "processed": 3,
        "succeeded": 3,
        "failed": 0,
        "skipped": 0,
        "in_doubt": 0,
        "deferred": 0,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat(),
        "finished_at": job.finished_at.isoformat(),
    }


def test_what_is_rolled_back_is_not_told(endpoint: Any, owner: Any):
    endpoint(URL)
    job = services.submit(user=owner, operation="note", items=["1"])
    with transaction.atomic():
        transitions.move(transitions.lock_job(job.pk), JobState.CANCELLED)
        assert Delivery.objects.count() == 1
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()


def test_pause_and_cancel_are_told_and_the_way_there_is_not(endpoint: Any, owner: Any):
    endpoint(URL)
    job = services.submit(user=owner, operation="note", items=["1"])
    services.pause(job=job, actor=owner)
    services.resume(job=job, actor=owner)
    services.cancel(job=job, actor=owner)
    said = Delivery.objects.order_by("created_at").values_list("event", flat=True)
    assert list(said) == ["job.paused", "job.cancelled"]


def test_only_chosen_events_of_ones_own_jobs_are_told(endpoint: Any, owner: Any, stranger: Any, ended: Any):
    endpoint(URL, ["job.failed"])
    endpoint(URL, user=stranger)
    endpoint(URL).delete()
    registering.change(endpoint(URL), enabled=False)
    ended()
    assert not Delivery.objects.exists()


def test_a_doubt_that_is_settled_later_is_no_second_end(endpoint: Any, owner: Any, ended: Any):
    endpoint(URL)
    job = ended(["1"])
    with transaction.atomic():
        Job.objects.filter(pk=job.pk).update(state="completed_with_errors")
        transitions.move(transitions.lock_job(job.pk), JobState.COMPLETED)
    assert Delivery.objects.count() == 1


def test_who_has_no_endpoint_pays_one_query_more(owner: Any):
    job = services.submit(user=owner, operation="note", items=["1"])
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        transitions.move(transitions.lock_job(job.pk), JobState.CANCELLED)
    about = [one["sql"] for one in queries if "bulkops_endpoint" in one["sql"] or "bulkops_delivery" in one["sql"]]
    assert len(about) == 1, about


def test_no_parameter_is_told(endpoint: Any, ended: Any):
    endpoint(URL)
    assert "amount" in registry.get("deposit").Params.base_fields
    ended(["1"], operation="deposit", params={"amount": 987654})
    assert "987654" not in Delivery.objects.get().body


def test_deliveries_are_pruned_with_their_job_and_tests_by_age(endpoint: Any, ended: Any):
    made = endpoint(URL)
    job = ended()
    registering.send_test(made)
    for delivery in Delivery.objects.all():
        DeliveryAttempt.objects.create(delivery=delivery, seconds=0.1, error="no")
    Job.objects.filter(pk=job.pk).update(finished_at=from_now(-91 * 86400), created_at=from_now(-91 * 86400))
    retention.prune()
    assert list(Delivery.objects.values_list("event", flat=True)) == ["webhook.test"]
    Delivery.objects.update(created_at=from_now(-91 * 86400))
    retention.prune()
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count(), Endpoint.objects.count()) == (0, 0, 1)
