"""What the metrics say is so, in a form that Prometheus takes, and asking costs the same whatever there is."""

from __future__ import annotations

import re
import time

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from bulkops import latencies, services
from bulkops.clock import from_now
from bulkops.models import Cluster, Delivery, Endpoint, Job, Tally
from bulkops.tallies import Count
from bulkops.webhooks.models import Event
from tests.sample.models import Effect

pytestmark = pytest.mark.django_db(transaction=True)


def value(families, sample: str, **labels: str) -> float | None:
    """Of the one sample with these labels."""
    found = [
        one.value
        for family in families.values()
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]
    assert len(found) <= 1, found
    return found[0] if found else None


@pytest.fixture
def busy_site(owner, person, worker):
    """Something of everything: jobs that ended, one that runs, one that waits, durations, a delivery."""
    worker.finish(services.submit(user=owner, operation="note", items=[str(n) for n in range(30)]))
    worker.finish(services.submit(user=owner, operation="telling", items=["fine", "bad", "worse"]))
    services.submit(user=owner, operation="note", items=["a"])
    services.submit(user=person("other"), operation="deposit", params={"amount": 1})
    endpoint = Endpoint.objects.create(owner=owner, url="https://example.org/", events=["job.completed"])
    Delivery.objects.create(endpoint=endpoint, event=Event.TEST, body="{}", due=from_now(0))
    return worker


def test_jobs_items_and_queues_are_told_as_they_are(busy_site, scrape):
    told = scrape()
    assert value(told, "bulkops_items_total", operation="note", outcome="succeeded") == 30
    assert value(told, "bulkops_items_total", operation="telling", outcome="failed") == 2
    assert value(told, "bulkops_items_total", operation="telling", outcome="skipped") == 0
    assert value(told, "bulkops_jobs_ended_total", operation="note", state="completed") == 1
    assert value(told, "bulkops_jobs_ended_total", operation="telling", state="completed_with_errors") == 1
    assert value(told, "bulkops_jobs", operation="note", state="queued") == 1
    assert value(told, "bulkops_jobs", operation="deposit", state="preparing") == 1
    assert value(told, "bulkops_queue_depth", queue="default") == 2
    assert 0 < value(told, "bulkops_queue_oldest_wait_seconds", queue="default") < 60
    assert value(told, "bulkops_webhook_deliveries_pending", kind="webhook") == 1
    assert value(told, "bulkops_jobs_stalled") == 0


def test_each_item_and_slice_is_in_the_histograms(busy_site, scrape):
    told = scrape()
    assert value(told, "bulkops_item_duration_seconds_count", operation="note") == 30
    assert value(told, "bulkops_item_duration_seconds_bucket", operation="note", le="+Inf") == 30
    assert 0 < value(told, "bulkops_item_duration_seconds_sum", operation="note") < 30
    assert value(told, "bulkops_slice_duration_seconds_count", operation="note") == 1
    assert value(told, "bulkops_slice_duration_seconds_bucket", operation="note", le="60.0") == 1


def test_workers_are_counted_while_they_live(busy_site, scrape):
    Cluster.objects.create(name="c", alive_until=from_now(60), workers=3, queues=["default", "slow"])
    assert value(scrape(), "bulkops_workers_alive") == 4
    assert value(scrape(), "bulkops_queue_workers", queue="slow") == 3
    assert value(scrape(), "bulkops_queue_depth", queue="slow") == 0
    Cluster.objects.update(alive_until=from_now(-1))
    told = scrape()
    assert (value(told, "bulkops_workers_alive"), value(told, "bulkops_clusters_alive")) == (0, 0)
    assert value(told, "bulkops_queue_workers", queue="default") == 0
    assert value(told, "bulkops_jobs_stalled") == 2


def test_a_rescue_and_the_fence_that_it_moved_are_counted(owner, worker, scrape):
    job = services.submit(user=owner, operation="holding", items=["a", "b"])

    class Taken(dict):
        def get(self, item, default=None):
            return self.take if item == "a" else default

        @staticmethod
        def take(_context):
            Cluster.objects.filter(pk=worker.cluster.pk).update(alive_until=from_now(-1))
            worker.rescue()
            Cluster.objects.filter(pk=worker.cluster.pk).update(alive_until=from_now(60))

    from tests.sample.operations import Holding

    before, Holding.meanwhile = Holding.meanwhile, Taken()
    try:
        worker.step()
    finally:
        Holding.meanwhile = before
    told = scrape()
    assert value(told, "bulkops_rescues_total", operation="holding") == 1
    assert value(told, "bulkops_fences_lost_total", operation="holding") == 1
    assert Job.objects.get(pk=job.pk).is_active


def test_polls_and_submissions_are_told_of_once_they_were_stored(client, owner, worker, scrape, monkeypatch):
    monkeypatch.setattr(latencies, "STORE_SECONDS", 0.0)
    client.force_login(owner)
    job = services.submit(user=owner, operation="note", items=["a"])
    for _ in range(3):
        assert client.get(f"/jobs/{job.pk}/progress/").status_code == 200
    assert client.get(f"/api/jobs/{job.pk}/").status_code == 200
    assert client.post("/operations/note/", {"items": "x"}).status_code in {200, 409, 422}
    assert client.post("/api/jobs/", {}, content_type="application/json").status_code >= 400
    told = scrape()
    assert value(told, "bulkops_poll_duration_seconds_count", face="page") == 3
    assert value(told, "bulkops_poll_duration_seconds_count", face="api") == 1
    assert value(told, "bulkops_submit_duration_seconds_count", face="page") == 1
    assert value(told, "bulkops_submit_duration_seconds_count", face="api") == 1


@pytest.mark.slow
def test_a_scrape_costs_as_many_queries_with_a_hundred_jobs_as_with_one(owner, person, worker, client, opened):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/metrics", headers={"Authorization": opened}).status_code == 200
        # Never the ledger: it has a row per item.
        assert not [one for one in asked if "bulkops_outcome" in one["sql"]]
        return len(asked)

    services.submit(user=owner, operation="note", items=["a"])
    one = queries()
    for number in range(99):
        operation = ("note", "note-outside", "telling")[number % 3]
        services.submit(user=person(f"p{number}"), operation=operation, items=["a", "b"])
    Tally.objects.bulk_create(Tally(name="item", labels=[f"o{n}"], counts=[1] * 17) for n in range(100))
    assert queries() == one
    assert one <= 12


def test_names_units_and_helps_follow_prometheus_conventions(busy_site, scrape):
    """The rules of `promtool check metrics`."""
    for name, family in scrape().items():
        assert re.fullmatch(r"bulkops_[a-z]+(_[a-z]+)*", name), name
        assert family.documentation, name
        assert not family.documentation.endswith("."), name
        assert not re.search(r"_(counter|gauge|histogram|milliseconds|ms|minutes|percent|bytes_total)$", name), name
        assert (family.type == "counter") == any(one.name.endswith("_total") for one in family.samples) or (
            not family.samples
        ), name
        assert family.type in {"counter", "gauge", "histogram"}, name
        assert (family.type == "histogram") <= name.endswith("_seconds"), name
        for sample in family.samples:
            assert all(re.fullmatch(r"[a-z]+", label) for label in sample.labels), sample
            assert sample.value >= 0, sample


def test_buckets_only_grow_and_the_last_holds_all(busy_site, scrape):
    seen = 0
    for family in scrape().values():
        if family.type != "histogram":
            continue
        rows: dict[tuple, list[tuple[float, float]]] = {}
        counts = {}
        for one in family.samples:
            key = tuple(sorted((label, text) for label, text in one.labels.items() if label != "le"))
            if one.name.endswith("_bucket"):
                rows.setdefault(key, []).append((float(one.labels["le"]), one.value))
            elif one.name.endswith("_count"):
                counts[key] = one.value
        for key, row in rows.items():
            seen += 1
            assert row == sorted(row)
            assert [n for _, n in row] == sorted(n for _, n in row)
            assert row[-1] == (float("inf"), counts[key])
    assert seen >= 4


def test_two_answers_without_work_in_between_differ_in_ages_only(busy_site, client, opened):
    def lines() -> set[str]:
        text = client.get("/metrics", headers={"Authorization": opened}).content.decode()
        return {line for line in text.splitlines() if "oldest_wait" not in line}

    assert lines() == lines()


def test_the_newer_format_is_told_to_whom_it_is_asked_for(busy_site, client, opened):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = client.get("/metrics", headers={"Authorization": opened, "Accept": accept})
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert "no-store" in answer["Cache-Control"]
    names = {family.name for family in text_string_to_metric_families(answer.content.decode())}
    assert {"bulkops_items", "bulkops_item_duration_seconds"} <= names


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/plain;version=x", "application/openmetrics-text;version=a", ";;,="]
)
def test_whatever_is_accepted_there_is_an_answer(client, opened, accept):
    assert client.get("/metrics", headers={"Authorization": opened, "Accept": accept}).status_code == 200


def test_without_a_database_there_is_no_answer_and_one_line_in_the_log(client, opened, monkeypatch, caplog):
    def away(*_args, **_kwargs):
        raise OperationalError("gone")

    monkeypatch.setattr("bulkops.metrics.collector.totals.read", away)
    assert {client.get("/metrics", headers={"Authorization": opened}).status_code for _ in range(3)} == {503}
    assert [record.getMessage() for record in caplog.records] == ["metrics event=database_away OperationalError: gone"]
    monkeypatch.undo()


def test_an_item_that_was_rolled_back_is_in_no_total(owner, worker, scrape):
    Effect.objects.all().delete()
    worker.finish(services.submit(user=owner, operation="telling", items=["bad", "fine"]))
    told = scrape()
    assert value(told, "bulkops_items_total", operation="telling", outcome="succeeded") == 1
    assert value(told, "bulkops_item_duration_seconds_count", operation="telling") == 2


def test_a_doubt_from_before_there_were_totals_never_counts_below_none(scrape):
    from bulkops import tallies

    tallies.add(Count("items_in_doubt", ("note",), (-1,)))
    assert value(scrape(), "bulkops_items_in_doubt", operation="note") == 0


def test_a_scrape_takes_no_longer_than_what_it_reads(busy_site, scrape):
    began = time.monotonic()
    scrape()
    assert time.monotonic() - began < 3
