"""The operators' dashboard: why nothing moves, for holders of `bulkops.view_job`, at the same price for many jobs."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import scheduling, services
from bulkops.clock import from_now
from bulkops.models import Cluster, Delivery, Endpoint, Job, Turn
from bulkops.states import JobState
from tests.admin.conftest import staff

pytestmark = pytest.mark.django_db

BOARD = "/admin/bulkops/job/dashboard/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def board(operator, admin_of):
    """What the operator sees."""
    return lambda **options: admin_of(operator).get(BOARD, **options).content.decode()


@pytest.fixture
def alive():
    return Cluster.objects.create(name="here", alive_until=from_now(8), workers=2, queues=["default"])


def test_without_a_worker_it_says_so_and_names_the_remedy(board, job):
    page = board()
    assert "Something is wrong" in page
    assert "No worker is running. Start one: manage.py qcluster" in page
    assert "no living cluster serves its queue “default”" in page


def test_with_nothing_to_do_all_is_well(board, alive):
    page = board()
    assert "All is well" in page
    assert "No job is active." in page


def test_it_shows_who_works_what_waits_and_what_runs(board, job, alive):
    Turn.objects.update(due=timezone.now() - timedelta(seconds=5))
    job.chunks.update(cursor=1, succeeded=1)
    page = board()
    assert "here" in page
    assert re.search(r">\d+(\.\d)? s ago</td>", page)
    assert "0 of 2" in page
    assert "Spring prices" in page
    assert 'value="50"' in page
    assert f'href="/admin/bulkops/job/{job.pk}/change/"' in page
    assert f'href="{job.get_absolute_url()}items/"' in page


def test_it_names_last_errors_and_schedules(board, owner, operator, alive, job):
    scheduling.schedule(name="nightly", operation="deposit", user=operator, every=timedelta(hours=1))
    Job.objects.update(state=JobState.FAILED, slot=None, error="<b>no</b> money", finished_at=timezone.now())
    page = board()
    assert "&lt;b&gt;no&lt;/b&gt; money" in page
    assert "nightly" in page
    assert "every 60 min" in page


@pytest.mark.django_db(transaction=True)
def test_items_have_the_number_that_the_jobs_page_gives_them(board, operator, owner, worker, admin_of, alive):
    job = services.submit(user=owner, operation="habits", items=["fine", "raise"])
    worker.finish(job)
    assert "Item 2: " in board()
    assert "Item 1: " not in board()
    page = admin_of(operator).get(f"/admin/bulkops/job/{job.pk}/change/").content.decode()
    assert '>2</td><td data-label="error">ValueError</td>' in page


def test_it_names_endpoints_that_fail(board, owner, alive):
    assert "No delivery waits. No endpoint fails." in board()
    since = timezone.now() - timedelta(minutes=3)
    endpoint = Endpoint.objects.create(owner=owner, url="https://hooks.example.org/secret", failing_since=since)
    for _ in range(2):
        Delivery.objects.create(endpoint=endpoint, event="job.completed", body="{}", due=since)
    page = board()
    assert "2 deliveries wait, the first of them due for 3 min" in page
    assert "hooks.example.org" in page
    assert "secret" not in page


def test_it_asks_again_by_itself_and_without_javascript_too(board, alive):
    page = board()
    assert f'hx-get="{BOARD}" hx-trigger="every 3s"' in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    part = board(headers=HTMX)
    assert f'hx-get="{BOARD}" hx-trigger="every 3s"' in part
    assert "<html" not in part


def test_held_it_stays_as_it_is(board, alive):
    page = board(data={"hold": ""})
    assert 'hx-get="' not in page
    assert "http-equiv" not in page


@pytest.mark.slow
def test_many_jobs_cost_as_many_queries_as_one(board, admin_of, operator, job, person, alive):
    client = admin_of(operator)

    def queries():
        with CaptureQueriesContext(connection) as sent:
            client.get(BOARD, headers=HTMX)
        return len(sent)

    few = queries()
    for number in range(40):
        services.submit(user=person(f"user{number}"), operation="note", items=["a"])
    assert queries() == few <= 30
    assert "and 11 more" in board()


def test_only_holders_of_view_job_may_look(admin_of, owner, colleague, stranger, job):
    for person, status in ((staff(colleague), 200), (staff(stranger), 403), (staff(owner), 403)):
        assert admin_of(person).get(BOARD).status_code == status
    assert "HX-Redirect" in Client().get(BOARD, headers=HTMX)
    assert Client().get(BOARD)["Location"].startswith("/admin/login/")


def test_the_admins_first_page_leads_there(operator, admin_of, stranger):
    assert BOARD in admin_of(operator).get("/admin/").content.decode()
    assert BOARD in admin_of(operator).get("/admin/bulkops/job/").content.decode()
    assert BOARD not in admin_of(staff(stranger)).get("/admin/").content.decode()


def test_nothing_in_it_needs_an_inline_style_or_script(board, job, alive):
    page = board()
    for forbidden in ("style=", "<script>", "<style", "onclick"):
        assert forbidden not in page
