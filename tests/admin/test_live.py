"""The moving cells of the admin's list: only those of active jobs, each alone, until all have ended."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bulkops import services
from tests.admin.conftest import staff

pytestmark = pytest.mark.django_db

JOBS = "/admin/bulkops/job/"
LIVE = f"{JOBS}live/"


def asked(page):
    """The address that the page asks htmx to poll; None where it asks for nothing."""
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s"', page)
    return found and found.group(1)


@pytest.mark.parametrize("path", [JOBS, "{change}"])
def test_a_page_asks_for_its_active_jobs_alone(operator, admin_of, job, person, path):
    over = services.submit(user=person("other"), operation="note", items=["a"])
    services.cancel(job=over, actor=None)
    page = admin_of(operator).get(path.format(change=f"{JOBS}{job.pk}/change/")).content.decode()
    assert asked(page) == f"{LIVE}?jobs={job.pk.hex}"
    assert f'id="bar-{job.pk.hex}"' in page


def test_an_answer_replaces_state_bar_and_counts_and_asks_again(operator, admin_of, job):
    job.chunks.update(cursor=1, succeeded=1)
    answer = admin_of(operator).get(LIVE, {"jobs": job.pk.hex}, headers={"HX-Request": "true"}).content.decode()
    assert asked(answer) == f"{LIVE}?jobs={job.pk.hex}"
    for cell in ("state", "bar", "counts"):
        assert re.search(rf'id="{cell}-{job.pk.hex}" hx-swap-oob="true"', answer)
    assert 'value="50"' in answer
    assert "1 of 2" in answer


def test_a_reason_stands_beside_the_state_and_not_twice(operator, admin_of, job):
    services.pause(job=job, actor=None, reason="The shop is closed.")
    answer = admin_of(operator).get(LIVE, {"jobs": job.pk.hex}).content.decode()
    assert re.search(r"</span>paused</span> <span class=\"job-words\">The shop is closed</span>", answer)


def test_nobody_asks_for_what_has_ended(operator, admin_of, job):
    services.cancel(job=job, actor=None)
    client = admin_of(operator)
    answer = client.get(LIVE, {"jobs": job.pk.hex}).content.decode()
    assert asked(answer) is None
    assert f'id="state-{job.pk.hex}" hx-swap-oob="true"' in answer
    assert asked(client.get(JOBS).content.decode()) is None


@pytest.mark.parametrize("words", ["", "x", "\x00", ",,,", "0" * 32, "a" * 5_000])
def test_senseless_ids_find_nothing(operator, admin_of, job, words):
    answer = admin_of(operator).get(LIVE, {"jobs": words})
    assert (answer.status_code, answer.content.decode().strip()) == (200, '<div id="job-live"></div>')


def test_many_jobs_cost_as_many_queries_as_one(operator, admin_of, job, person):
    client = admin_of(operator)

    def queries(jobs):
        with CaptureQueriesContext(connection) as sent:
            client.get(LIVE, {"jobs": ",".join(one.pk.hex for one in jobs)})
        return len(sent)

    few = queries([job])
    many = [services.submit(user=person(f"user{n}"), operation="note", items=["a"]) for n in range(20)]
    assert queries([job, *many]) == few <= 9


def test_a_tab_whose_session_has_ended_is_led_to_the_log_in(job):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/admin/bulkops/job/?q=a"}
    answer = Client().get(LIVE, {"jobs": job.pk.hex}, headers=headers)
    assert answer["HX-Redirect"] == "/admin/login/?next=%2Fadmin%2Fbulkops%2Fjob%2F%3Fq%3Da"
    answer = Client().get(LIVE, headers=headers | {"HX-Current-URL": "http://["})
    assert answer["HX-Redirect"] == "/admin/login/?next=%2Fadmin%2F"


def test_only_holders_of_view_job_in_the_admin_are_answered(admin_of, owner, colleague, stranger, job):
    for person, status in ((staff(colleague), 200), (staff(stranger), 403), (staff(owner), 403)):
        assert admin_of(person).get(LIVE, {"jobs": job.pk.hex}).status_code == status
