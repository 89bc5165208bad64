"""The pages that show: who sees which, and what stands on them."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from bulkops import services
from bulkops.models import Chunk, Event, Job, Outcome
from bulkops.states import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

PAGES = ["/", "/operations/note/", "/jobs/open/?id=x", "{job}", "{job}items/"]
FRAGMENTS = ["{job}progress/", "{job}controls/", "{job}details/", "/now/", "/history/"]
INNER_WORDS = re.compile(r"\b(slice|chunk|fence|epoch)s?\b", re.IGNORECASE)


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.mark.parametrize("path", PAGES)
def test_anonymous_people_are_sent_to_the_login_and_come_back(client: Client, job: Job, path: str) -> None:
    url = path.format(job=job.get_absolute_url())
    response = client.get(url)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize("path", FRAGMENTS)
def test_a_logged_out_poll_takes_the_tab_to_the_login_instead_of_the_card(client: Client, job: Job, path: str) -> None:
    url = path.format(job=job.get_absolute_url())
    here = f"http://testserver{job.get_absolute_url()}"
    response = client.get(url, headers={"HX-Request": "true", "HX-Current-URL": here})
    assert response["HX-Redirect"] == f"/accounts/login/?next=%2Fjobs%2F{job.pk}%2F"
    assert response.content == b""


@pytest.mark.urls("tests.web.bare_urls")
def test_a_host_project_needs_neither_a_logout_nor_an_admin(as_owner: Client, owner: Any) -> None:
    owner.is_staff = True
    owner.save()
    response = as_owner.get("/")
    assert response.status_code == 200
    assert "Log out" not in text_of(response)


def test_where_somebody_came_from_may_be_no_address(client: Client, job: Job) -> None:
    url = job.get_absolute_url()
    polled = client.get(f"{url}progress/", headers={"HX-Request": "true", "HX-Current-URL": "http://[::1"})
    assert polled["HX-Redirect"] == "/accounts/login/?next=%2F"
    pressed = client.post(f"{url}cancel/", headers={"Referer": "http://[::1"})
    assert pressed["Location"] == "/accounts/login/?next=/"


def test_the_login_page_logs_in(client: Client, owner: Any) -> None:
    assert client.get("/accounts/login/").status_code == 200
    wrong = client.post("/accounts/login/", {"username": "owner", "password": "no"})
    assert "correct username and password" in text_of(wrong)
    right = client.post("/accounts/login/?next=/jobs/open/", {"username": "owner", "password": "secret"})
    assert right.status_code == 302


@pytest.mark.parametrize("part", ["", "items/", "progress/", "controls/", "details/"])
def test_a_job_is_there_for_owner_and_colleague_and_not_for_strangers(
    as_owner: Client, as_colleague: Client, as_stranger: Client, job: Job, part: str
) -> None:
    url = f"{job.get_absolute_url()}{part}"
    assert as_owner.get(url).status_code == 200
    assert as_colleague.get(url).status_code == 200
    assert as_stranger.get(url).status_code == 404
    assert as_owner.get(f"/jobs/{uuid.uuid4()}/{part}").status_code == 404


def test_a_colleague_watches_without_controls(as_owner: Client, as_colleague: Client, job: Job) -> None:
    assert "Cancel this job" in as_owner.get(job.get_absolute_url()).content.decode()
    page = as_colleague.get(job.get_absolute_url()).content.decode()
    assert "Cancel this job" not in page
    assert "by <strong>owner</strong>" in page


def test_first_page_lists_what_i_may_run_and_my_jobs_only(
    as_owner: Client, as_stranger: Client, as_colleague: Client, job: Job
) -> None:
    mine = text_of(as_owner.get("/"))
    assert "Autumn" in mine
    assert "Deposit" in mine
    assert "Guarded" not in mine
    assert "Autumn" not in text_of(as_stranger.get("/"))
    assert "Autumn" not in text_of(as_colleague.get("/"))


def test_the_permission_brings_the_operation(person: Callable[..., Any]) -> None:
    client = Client()
    client.force_login(person("guard", "sample.change_account"))
    assert "Guarded" in text_of(client.get("/"))


def test_first_page_shows_the_active_job_with_its_percentage_in_the_title(
    as_owner: Client, put: Callable[..., Job]
) -> None:
    put(JobState.RUNNING, succeeded=1, failed=1)
    page = as_owner.get("/").content.decode()
    assert "<title>50 % · Autumn</title>" in page
    assert 'max="4" value="2"' in page


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_a_page_without_inner_words(as_owner: Client, put: Callable[..., Job], state: JobState) -> None:
    ended = {JobState.COMPLETED: (4, 0), JobState.COMPLETED_WITH_ERRORS: (3, 1)}
    succeeded, failed = ended.get(state, (1, 1))
    job = put(state, succeeded=succeeded, failed=failed, error="It broke." if state == JobState.FAILED else "")
    for url in (job.get_absolute_url(), "/", f"{job.get_absolute_url()}progress/"):
        response = as_owner.get(url)
        assert response.status_code == 200
        assert not INNER_WORDS.search(text_of(response))
    page = as_owner.get(job.get_absolute_url()).content.decode()
    assert ('hx-trigger="every' in page) == job.is_active
    assert ('http-equiv="refresh"' in page) == job.is_active
    assert str(job.pk) in text_of(as_owner.get(job.get_absolute_url()))


def test_unknown_totals_have_a_bar_without_an_end(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.PREPARING, total=None)
    page = as_owner.get(job.get_absolute_url()).content.decode()
    assert 'class="open-ended"' in page
    assert "%</span>" not in page


def test_job_page_names_failed_items_with_their_own_value(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.COMPLETED_WITH_ERRORS, succeeded=3, failed=1)
    words = text_of(as_owner.get(job.get_absolute_url()))
    assert "4 d" in words
    assert "ValueError: no such letter" in words


def test_job_page_shows_the_timeline_and_who_did_it(as_owner: Client, job: Job, owner: Any) -> None:
    services.cancel(job=job, actor=owner, reason="wrong season")
    words = text_of(as_owner.get(job.get_absolute_url()))
    assert "Cancel requested by owner wrong season" in words
    assert "Reason for cancelling: wrong season" in words
    assert Event.objects.filter(job=job).count() >= 3


def test_secrets_are_masked(as_owner: Client, owner: Any, alive: Any, django_user_model: Any) -> None:
    admin = django_user_model.objects.create_superuser("root", password="secret")
    job = Job.objects.create(
        operation="guarded",
        owner=admin,
        state=JobState.CANCELLED,
        params={"token": "hush", "size": 3},
    )
    client = Client()
    client.force_login(admin)
    page = client.get(job.get_absolute_url()).content.decode()
    assert "hush" not in page
    assert "•••" in page
    assert "hush" not in client.get(f"/operations/guarded/?again={job.pk}").content.decode()


def test_run_again_fills_the_form_with_the_jobs_parameters(as_owner: Client, owner: Any, alive: Any) -> None:
    job = services.submit(user=owner, operation="deposit", params={"amount": 77}, limit=9)
    services.cancel(job=job, actor=owner)
    page = as_owner.get(job.get_absolute_url()).content.decode()
    again = f"/operations/deposit/?again={job.pk}"
    assert again in page
    form = as_owner.get(again).content.decode()
    assert 'name="amount" value="77"' in form
    assert 'name="limit" value="9"' in form


def test_a_strangers_job_fills_no_form(as_stranger: Client, owner: Any, alive: Any) -> None:
    job = services.submit(user=owner, operation="deposit", params={"amount": 77})
    assert 'value="77"' not in as_stranger.get(f"/operations/deposit/?again={job.pk}").content.decode()


def test_programs_get_the_status_resource(as_owner: Client, job: Job) -> None:
    response = as_owner.get(job.get_absolute_url(), headers={"Accept": "application/json"})
    assert response.json()["id"] == str(job.pk)
    assert response["Retry-After"] == "1"


@pytest.mark.parametrize("written", ["{pk}", "  {pk} ", "{upper}", "http://testserver/jobs/{pk}/", "job={pk} event=x"])
def test_a_job_opens_by_its_id_however_it_was_copied(as_owner: Client, job: Job, written: str) -> None:
    text = written.format(pk=job.pk, upper=str(job.pk).upper())
    response = as_owner.get("/jobs/open/", {"id": text})
    assert response.status_code == 302
    assert response["Location"] == job.get_absolute_url()


@pytest.mark.parametrize(("text", "status"), [("nonsense", 400), ("", 400), (str(uuid.UUID(int=7)), 404)])
def test_what_is_no_job_is_told_next_to_the_field(as_owner: Client, text: str, status: int) -> None:
    response = as_owner.get("/jobs/open/", {"id": text})
    assert response.status_code == status
    assert 'id="open-error"' in response.content.decode()


def test_somebody_elses_job_does_not_open(as_stranger: Client, job: Job) -> None:
    assert as_stranger.get("/jobs/open/", {"id": str(job.pk)}).status_code == 404


def test_items_are_paged_by_position(as_owner: Client, owner: Any, alive: Any) -> None:
    job = services.submit(user=owner, operation="note", items=[f"item-{n}" for n in range(2_500)])
    Chunk.objects.filter(job=job)
    Outcome.objects.bulk_create(
        [
            Outcome(job=job, position=n, state="failed", message="no", finished_at=timezone.now())
            for n in range(0, 2_500, 10)
        ]
    )
    first = as_owner.get(f"{job.get_absolute_url()}items/?state=failed").content.decode()
    assert "item-0<" in first
    assert "item-990<" in first
    assert "item-1000<" not in first
    assert "after=990" in first
    second = as_owner.get(f"{job.get_absolute_url()}items/?state=failed&after=990").content.decode()
    assert "item-1000<" in second
    assert "item-1990<" in second
    last = as_owner.get(f"{job.get_absolute_url()}items/?state=failed&after=1990").content.decode()
    assert "item-2490<" in last
    assert "Next 100" not in last


@pytest.mark.parametrize(
    ("query", "words", "address"),
    [
        ("state=failed", "No item is in this state.", "?"),
        ("fingerprint=0123456789ab", "No item failed in this way.", "?"),
        ("state=failed&fingerprint=0123456789ab", "No item failed in this way.", "?"),
        ("state=failed&after=7", "No such items beyond this point.", "?state=failed"),
        ("", "No item was tried yet.", None),
    ],
)
def test_a_list_without_items_says_so_and_where_there_are_some(
    as_owner: Client, job: Job, query: str, words: str, address: str | None
) -> None:
    page = as_owner.get(f"{job.get_absolute_url()}items/?{query}").content.decode()
    assert f'<p class="empty">{words} <a href="{job.get_absolute_url() if address is None else address}">' in page
    assert ("as a CSV file" in page) == (not query)


def test_a_job_that_found_no_items_offers_no_list_of_them(as_owner: Client, put: Callable[..., Job]) -> None:
    offers = ('id="report-', 'id="items-')
    page = as_owner.get(put(JobState.QUEUED).get_absolute_url()).content.decode()
    assert all(offer in page for offer in offers)
    for state, total in ((JobState.PREPARING, None), (JobState.FAILED, None), (JobState.COMPLETED, 0)):
        page = as_owner.get(put(state, total=total).get_absolute_url()).content.decode()
        assert not any(offer in page for offer in offers)


def test_a_name_that_is_an_address_may_break_behind_its_sign(as_colleague: Client, job: Job, owner: Any) -> None:
    owner.username = "<i>rosalind@example.org"
    owner.save()
    page = as_colleague.get(job.get_absolute_url()).content.decode()
    assert "by <strong>&lt;i&gt;rosalind@<wbr>example.org</strong>" in page


@pytest.mark.parametrize("query", ["state=nonsense", "after=x"])
def test_wrong_filters_of_items_are_not_found(as_owner: Client, job: Job, query: str) -> None:
    assert as_owner.get(f"{job.get_absolute_url()}items/?{query}").status_code == 404


def test_pages_are_under_a_strict_policy(as_owner: Client, job: Job) -> None:
    for url in ("/", job.get_absolute_url(), "/operations/note/", "/accounts/login/"):
        response = as_owner.get(url)
        policy = response["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "style-src 'self'" in policy
        assert "unsafe" not in policy
        page = response.content.decode()
        assert " style=" not in page
        assert "<style" not in page
        assert not re.search(r"\son\w+=", page)


def test_pages_are_never_cached(as_owner: Client, job: Job) -> None:
    for url in ("/", job.get_absolute_url(), f"{job.get_absolute_url()}progress/"):
        assert "no-store" in as_owner.get(url)["Cache-Control"]


def test_what_people_wrote_is_escaped(as_owner: Client, put: Callable[..., Job]) -> None:
    evil = "<script>alert(1)</script>"
    job = put(JobState.FAILED, name=evil, error=evil, result={evil: evil}, message=evil, cancel_reason=evil)
    Event.objects.create(job=job, kind="cancel_requested", detail=evil)
    for url in (job.get_absolute_url(), "/", f"{job.get_absolute_url()}progress/?place=job"):
        assert evil not in as_owner.get(url).content.decode()


def test_a_page_with_many_jobs_asks_no_more_than_one_with_few(
    as_owner: Client, owner: Any, alive: Any, django_assert_max_num_queries: Any
) -> None:
    for _ in range(15):
        services.cancel(job=services.submit(user=owner, operation="note", items=["a"]), actor=owner)
    with django_assert_max_num_queries(10):
        as_owner.get("/")
