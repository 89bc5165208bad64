"""The admin's list of jobs: bars, kin, filters and search for operators, and nothing to change by hand."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bulkops import services
from bulkops.clock import from_now
from bulkops.models import Cluster, Job
from bulkops.states import JobState
from tests.admin.conftest import staff

pytestmark = pytest.mark.django_db

JOBS = "/admin/bulkops/job/"
CLUSTERS = "/admin/bulkops/cluster/"


def test_the_list_shows_each_jobs_bar(operator, admin_of, job):
    job.chunks.update(cursor=1, succeeded=1)
    page = admin_of(operator).get(JOBS).content.decode()
    assert 'max="100" value="50" aria-label="50 %">50 %</progress>' in page
    assert "1 of 2" in page
    assert "Spring prices" in page


def test_the_list_asks_no_more_for_many_jobs_than_for_few(operator, admin_of, person):
    client = admin_of(operator)

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(JOBS).status_code == 200
        return len(asked)

    services.submit(user=person("first"), operation="note", items=["a"])
    few = queries()
    for number in range(20):
        services.submit(user=person(f"user{number}"), operation="note", items=["a"])
    assert queries() == few
    assert few <= 15


def test_a_search_reads_the_jobs_for_their_number_and_for_its_page_alone(operator, admin_of, job):
    client = admin_of(operator)
    with CaptureQueriesContext(connection) as asked:
        client.get(JOBS, {"q": "Spring"})
    assert len([one for one in asked if "Spring" in one["sql"]]) == 2


def test_nothing_in_the_pages_needs_an_inline_style_or_script(operator, admin_of, job):
    client = admin_of(operator)
    for address in (JOBS, f"{JOBS}{job.pk}/change/", "/admin/bulkops/cluster/"):
        page = client.get(address).content.decode()
        assert "style=" not in page
        assert "<script>" not in page
        assert "onclick" not in page


@pytest.mark.parametrize("text", ["Spring", "note", "owner", "spring", "prices.csv"])
def test_search_finds_a_job(operator, admin_of, job, text):
    Job.objects.update(input_name="prices.csv")
    assert "1 job" in admin_of(operator).get(JOBS, {"q": text}).content.decode()


def test_search_finds_a_job_by_its_id(operator, admin_of, job):
    assert "1 job" in admin_of(operator).get(JOBS, {"q": f" {job.pk} "}).content.decode()


def test_search_leaves_others_out(operator, admin_of, job):
    assert "0 jobs" in admin_of(operator).get(JOBS, {"q": "autumn"}).content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"state__exact": "queued"},
        {"operation": "note"},
        {"owner__id__exact": "OWNER"},
        {"created_at__gte": "2020-01-01 00:00:00+00:00"},
    ],
)
def test_filters_narrow_the_list(operator, admin_of, job, query):
    query = {name: str(job.owner_id) if value == "OWNER" else value for name, value in query.items()}
    response = admin_of(operator).get(JOBS, query)
    assert response.status_code == 200
    assert "1 job" in response.content.decode()


@pytest.mark.parametrize("address", [f"{JOBS}?state__exact=%00", f"{JOBS}?name=%00", CLUSTERS + "?name=a%00b"])
def test_a_nul_in_a_filter_is_left_out(operator, admin_of, job, address):
    response = admin_of(operator).get(address)
    assert response.status_code == 302
    assert response["Location"].endswith("?e=1")


def test_a_job_is_shown_with_its_trail_and_without_its_secrets(operator, admin_of, person):
    trusted = person("trusted", "sample.change_account")
    job = services.submit(user=trusted, operation="guarded", items=["a"], params={"token": "hush"})
    page = admin_of(operator).get(f"{JOBS}{job.pk}/change/").content.decode()
    assert "hush" not in page
    assert "•••" in page
    assert '<td data-label="what">submitted</td>' in page, "a phone shows no heads of columns"
    assert "1 in all, 0 finished, 0 in hand" in page


def test_a_job_is_shown_without_what_it_has_not(operator, admin_of, job):
    client = admin_of(operator)
    address = f"{JOBS}{job.pk}/change/"
    assert not {"Cancel reason:", "Error:", "Limit:", "Started at:"} & words(client.get(address))
    Job.objects.filter(pk=job.pk).update(cancel_reason="Wrong season.", limit=7)
    assert words(client.get(address)) >= {"Cancel reason:", "Wrong season.", "Limit:"}


def words(response):
    return {text.strip() for text in re.findall(r">([^<>]+)<", response.content.decode())}


def test_moments_are_told_with_their_zone(operator, admin_of, job, time_zone):
    client = admin_of(operator)
    told = f"{job.created_at.astimezone(time_zone):%Y-%m-%d %H:%M:%S %Z}"
    assert told.endswith(" JST")
    assert told in client.get(JOBS).content.decode()
    assert told in words(client.get(f"{JOBS}{job.pk}/change/"))


@pytest.fixture
def time_zone(settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    return ZoneInfo("Asia/Tokyo")


def test_all_jobs_are_not_said_to_be_a_part(operator, admin_of, job):
    client = admin_of(operator)
    assert not {"1 result ("} & words(client.get(JOBS))
    assert "1 result (" in words(client.get(f"{JOBS}?q={job.pk}"))
    another_year = {"created_at__year": job.created_at.year - 1}
    assert "0 results (" in words(client.get(JOBS, another_year)), "which no filter of the column says"


def test_a_job_leads_to_its_report(operator, admin_of, job):
    client = admin_of(operator)
    address = f"{job.get_absolute_url()}report.csv?bom=1"
    assert f'href="{address}"' in client.get(f"{JOBS}{job.pk}/change/").content.decode()
    assert client.get(address)["Content-Type"].startswith("text/csv")


@pytest.mark.django_db(transaction=True)
def test_failed_items_are_shown_escaped(operator, admin_of, owner, worker):
    job = services.submit(user=owner, operation="habits", items=["raise"], name="<b>bold</b>")
    worker.finish(job)
    page = admin_of(operator).get(f"{JOBS}{job.pk}/change/").content.decode()
    assert "this item is bad" in page
    assert "<b>bold</b>" not in page


def test_kin_lead_to_one_another(operator, admin_of, job):
    services.cancel(job=job, actor=None)
    child = services.retry(job=job, actor=None)
    page = admin_of(operator).get(JOBS).content.decode()
    assert f'<a href="{JOBS}{child.pk}/change/">retried by Spring prices, preparing</a>' in page
    assert f'<a href="{JOBS}{job.pk}/change/">retries Spring prices</a>' in page
    assert "retried by" in admin_of(operator).get(f"{JOBS}{job.pk}/change/").content.decode()


def test_each_row_leads_to_page_items_events_and_report(operator, admin_of, job):
    client = admin_of(operator)
    page = client.get(JOBS).content.decode()
    own = job.get_absolute_url()
    for address in (own, f"{own}items/", f"{JOBS}{job.pk}/change/#events", f"{own}report.csv?bom=1"):
        assert f'href="{address}"' in page
        assert client.get(address).status_code == 200
    assert 'id="events"' in client.get(f"{JOBS}{job.pk}/change/").content.decode()


def test_nobody_adds_changes_or_deletes_a_job(admin_client, job):
    assert admin_client.get(f"{JOBS}add/").status_code == 403
    assert admin_client.get(f"{JOBS}{job.pk}/delete/").status_code == 403
    admin_client.post(f"{JOBS}{job.pk}/change/", {"state": "completed"})
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert "delete_selected" not in admin_client.get(JOBS).content.decode()


def test_staff_without_the_permission_sees_no_job(stranger, admin_of, job):
    client = admin_of(staff(stranger))
    assert client.get(JOBS).status_code == 403
    assert client.get(f"{JOBS}{job.pk}/change/").status_code in {302, 403}


def test_a_viewer_sees_jobs_and_has_no_action(colleague, admin_of, job):
    client = admin_of(staff(colleague))
    assert 'value="cancel"' not in client.get(JOBS).content.decode()
    client.post(JOBS, {"action": "cancel", "_selected_action": [str(job.pk)]})
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_clusters_are_listed_with_who_lives(operator, admin_of):
    Cluster.objects.create(name="alive", alive_until=from_now(10), workers=2, queues=["default"])
    Cluster.objects.create(name="dead", alive_until=from_now(-10), workers=2, queues=["default"])
    page = admin_of(operator).get("/admin/bulkops/cluster/").content.decode()
    assert page.index("icon-yes.svg") < page.index("icon-no.svg")
    assert admin_of(operator).get("/admin/bulkops/cluster/add/").status_code == 403
