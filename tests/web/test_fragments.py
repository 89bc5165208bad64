"""The live parts of a page: when they go on asking, when they stop, and what they change."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.conf import settings
from django.db import OperationalError
from django.template import Context, Template
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from bulkops import services
from bulkops.models import Cluster, Event, Job, Pace
from bulkops.states import ACTIVE, ENDED, EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
CURSOR = "django.db.backends.base.base.BaseDatabaseWrapper.cursor"


def card_of(client: Client, job: Job, query: str = "") -> Any:
    return client.get(f"{job.get_absolute_url()}progress/{query}", headers=HTMX)


@pytest.mark.parametrize("state", sorted(ACTIVE - {JobState.PAUSED}))
def test_the_card_of_an_active_job_asks_again_each_second(
    as_owner: Client, put: Callable[..., Job], state: JobState
) -> None:
    card = card_of(as_owner, put(state)).content.decode()
    assert 'hx-trigger="every 1s"' in card
    assert "silence-5" in card


def test_the_card_of_a_paused_job_asks_seldom(as_owner: Client, put: Callable[..., Job]) -> None:
    card = card_of(as_owner, put(JobState.PAUSED)).content.decode()
    assert 'hx-trigger="every 5s"' in card
    assert "silence-9" in card


@pytest.mark.parametrize("state", sorted(ENDED))
def test_the_card_of_an_ended_job_asks_no_more(as_owner: Client, put: Callable[..., Job], state: JobState) -> None:
    card = card_of(as_owner, put(state)).content.decode()
    assert "hx-get" not in card
    assert "hx-trigger" not in card
    assert "silence" not in card


def test_our_own_pages_card_carries_the_title_and_a_strangers_page_keeps_its_own(
    as_owner: Client, put: Callable[..., Job]
) -> None:
    job = put(JobState.RUNNING, succeeded=3)
    assert "<title>75 % · Autumn</title>" in card_of(as_owner, job, "?place=job").content.decode()
    assert "<title>" not in card_of(as_owner, job).content.decode()


def test_the_card_tells_the_rest_of_the_page_of_a_new_state_only(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING, succeeded=1)
    assert "HX-Trigger" not in card_of(as_owner, job, "?seen=running.2")
    told = card_of(as_owner, job, "?seen=queued.0")["HX-Trigger"]
    assert "bulkops:changed" in told
    assert "bulkops:over" not in told


def test_the_heading_of_an_active_job_comes_again_once_with_its_end_and_then_offers_another_run(
    as_owner: Client, put: Callable[..., Job]
) -> None:
    job = put(JobState.RUNNING, succeeded=1)
    page = as_owner.get(job.get_absolute_url()).content.decode()
    assert 'hx-trigger="bulkops:over from:body"' in page
    assert "Run again" not in page
    Job.objects.filter(pk=job.pk).update(state=JobState.CANCELLED, slot=None, finished_at=timezone.now())
    assert "bulkops:over" in card_of(as_owner, job, "?seen=running.2")["HX-Trigger"]
    page = as_owner.get(job.get_absolute_url(), headers=HTMX).content.decode()
    assert "bulkops:over" not in page
    assert "Run again" in page


def test_the_card_speaks_each_ten_percent_only(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING, succeeded=1)
    assert "hx-swap-oob" not in card_of(as_owner, job, "?seen=running.2").content.decode()
    spoken = card_of(as_owner, job, "?seen=running.1").content.decode()
    assert 'hx-swap-oob="innerHTML">Autumn: Running, 20 percent<' in spoken


SAMPLES = {"seconds": [3.0 * n for n in range(120)], "items": [7 * n * n for n in range(120)]}


@pytest.mark.parametrize("state", sorted(JobState))
def test_a_poll_costs_one_query_beside_session_and_user_whatever_the_state(
    as_owner: Client, put: Callable[..., Job], django_assert_num_queries: Any, state: JobState
) -> None:
    job = put(state, succeeded=2, failed=1)
    Pace.objects.create(job=job, sampled_at=timezone.now(), **SAMPLES)
    Event.objects.create(job=job, kind=EventKind.PAUSE_REQUESTED, detail="50 items failed.")
    with django_assert_num_queries(3):
        card = card_of(as_owner, job, "?place=job").content.decode()
    assert ("Paused: 50 items failed" in card) == (state == JobState.PAUSED)


@pytest.mark.parametrize("state", sorted(JobState))
def test_a_fragment_is_small_whatever_it_tells(as_owner: Client, put: Callable[..., Job], state: JobState) -> None:
    job = put(state, succeeded=2, failed=1, message="m" * 300, error="e" * 2000)
    Pace.objects.create(job=job, sampled_at=timezone.now(), **SAMPLES)
    card = card_of(as_owner, job, "?place=job").content
    assert b"<svg" in card
    assert len(gzip.compress(card)) < 4096
    svg = card[card.index(b"<svg") : card.index(b"</svg>")]
    assert len(svg) < 1300
    assert b"style=" not in card


def test_the_time_left_stands_on_the_card_of_a_steady_job(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING, succeeded=2)
    assert "Time left" not in card_of(as_owner, job).content.decode()
    Job.objects.filter(pk=job.pk).update(total=3500)
    steady = {"seconds": [3.0 * n for n in range(20)], "items": [n - 17 for n in range(20)]}
    Pace.objects.create(job=job, sampled_at=timezone.now(), **steady)
    card = card_of(as_owner, job).content.decode()
    assert "<dt>Time left</dt><dd>about " in card
    assert "20 a minute" in card


def test_the_graph_stands_on_the_jobs_own_page_alone_and_tells_what_it_shows(
    as_owner: Client, put: Callable[..., Job]
) -> None:
    job = put(JobState.COMPLETED, succeeded=4)
    Pace.objects.create(job=job, sampled_at=timezone.now(), **SAMPLES)
    assert "<svg" not in card_of(as_owner, job).content.decode()
    page = as_owner.get(job.get_absolute_url()).content.decode()
    assert '<title id="graph-title' in page
    assert "a second, over 5 min 57 s of work; " in page


def test_an_ended_card_tells_what_happened_and_what_can_be_done(as_owner: Client, put: Callable[..., Job]) -> None:
    card = card_of(as_owner, put(JobState.COMPLETED_WITH_ERRORS, succeeded=3, failed=1)).content.decode()
    assert "All 4 items were processed" in card
    assert "; 1 failed." in card
    assert "You can retry the failed item." in card


def test_a_strangers_poll_finds_no_job_and_a_colleagues_does(
    as_stranger: Client, as_colleague: Client, job: Job
) -> None:
    assert card_of(as_stranger, job).status_code == 404
    assert card_of(as_colleague, job).status_code == 200


def test_a_database_that_is_away_is_told_with_200_and_the_poll_goes_on(as_owner: Client, job: Job) -> None:
    with mock.patch(CURSOR, side_effect=OperationalError("gone")):
        response = card_of(as_owner, job, "?seen=running.2&place=job")
    assert response.status_code == 200
    card = response.content.decode()
    assert f'id="card-{job.pk}"' in card
    assert "every 1s" in card
    assert "seen=running.2&amp;place=job" in card
    assert "database does not answer" in card


@pytest.mark.parametrize(
    "path", ["/", "{job}", "{job}items/", "/operations/note/", "/accounts/login/", "/admin/bulkops/job/"]
)
def test_a_page_without_its_database_is_503_in_words(as_owner: Client, job: Job, path: str) -> None:
    with mock.patch(CURSOR, side_effect=OperationalError("gone")):
        response = as_owner.get(path.format(job=job.get_absolute_url()), headers={"Accept": "text/html"})
    assert response.status_code == 503
    page = response.content.decode()
    assert "The database does not answer" in page
    assert '<meta http-equiv="refresh"' in page


def test_a_program_is_not_told_that_nothing_was_done(db: None) -> None:
    asked = Client(raise_request_exception=False)
    bearer = {"Authorization": f"Bearer {settings.PROVIDER_KEY}", "Idempotency-Key": "one"}
    with mock.patch(CURSOR, side_effect=OperationalError("gone")):
        response = asked.post(
            "/payments/refunds/", {"order": "1", "amount": 1}, content_type="application/json", headers=bearer
        )
    assert response.status_code == 500


def test_controls_are_left_alone_while_they_are_the_same(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING)
    url = f"{job.get_absolute_url()}controls/"
    assert as_owner.get(f"{url}?seen=cpl").status_code == 204
    shown = as_owner.get(f"{url}?seen=cr").content.decode()
    assert "Pause" in shown
    assert "Resume" not in shown
    put(JobState.PAUSED)
    assert "Resume" in as_owner.get(f"{url}?seen=cpl").content.decode()
    put(JobState.COMPLETED, succeeded=4)
    ended = as_owner.get(f"{url}?seen=cr").content.decode()
    assert "button" not in ended
    assert "hx-get" not in ended


def test_details_come_again_only_when_something_happened(as_owner: Client, put: Callable[..., Job]) -> None:
    job = put(JobState.RUNNING, succeeded=1, failed=1)
    url = f"{job.get_absolute_url()}details/"
    first = as_owner.get(url)
    seen = first.context["details"].seen
    assert as_owner.get(f"{url}?seen={seen}").status_code == 204
    services.pause(job=job, actor=job.owner)
    assert as_owner.get(f"{url}?seen={seen}").status_code == 200


def test_a_form_whose_session_ended_stays_and_says_so(as_owner: Client, client: Client, alive: Cluster) -> None:
    response = client.get("/active/?seen=free", headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "You are logged out" in response.content.decode()
    assert "disabled" in response.content.decode()
    assert client.get("/active/?seen=logged-out").status_code == 204
    # Logged in again, in another tab: the button is back, with the token of the new session.
    again = as_owner.get("/active/?seen=logged-out").content.decode()
    assert "disabled" not in again
    assert "csrfmiddlewaretoken" in again


def test_start_buttons_are_off_while_a_job_is_active_and_come_back(
    as_owner: Client, as_stranger: Client, job: Job, owner: Any
) -> None:
    blocked = as_owner.get("/active/?seen=free").content.decode()
    assert " disabled" in blocked
    assert "Autumn" in blocked
    assert "every 1s" in blocked
    assert as_owner.get(f"/active/?seen={job.pk}").status_code == 204
    assert as_stranger.get("/active/?seen=free").status_code == 204
    services.cancel(job=job, actor=owner)
    free = as_owner.get(f"/active/?seen={job.pk}").content.decode()
    assert " disabled" not in free
    assert "every 5s" in free


def test_a_card_does_not_say_that_the_work_goes_on_where_no_worker_is(
    as_owner: Client, job: Job, alive: Cluster
) -> None:
    assert "the work goes on" in card_of(as_owner, job).content.decode()
    alive.delete()
    card = card_of(as_owner, job).content.decode()
    assert "No worker is running" in card
    assert "the work goes on" not in card
    assert 'class="card tone-mixed"' in card, "an icon that turns would say that somebody works"


def test_start_buttons_are_off_without_a_worker(as_owner: Client, alive: Cluster) -> None:
    assert as_owner.get("/active/?seen=free").status_code == 204
    alive.delete()
    response = as_owner.get("/active/?seen=free")
    assert " disabled" in response.content.decode()
    assert "No worker is running" in response.content.decode()


def test_the_first_page_takes_up_a_job_started_elsewhere(as_owner: Client, job: Job, owner: Any) -> None:
    assert f"card-{job.pk}" in as_owner.get("/now/?seen=none").content.decode()
    assert as_owner.get(f"/now/?seen={job.pk}").status_code == 204
    services.cancel(job=job, actor=owner)
    assert as_owner.get(f"/now/?seen={job.pk}").status_code == 204


def test_history_comes_again_only_when_it_is_new(as_owner: Client, job: Job, owner: Any) -> None:
    seen = as_owner.get("/history/").context["history_seen"]
    assert as_owner.get(f"/history/?seen={seen}").status_code == 204
    services.cancel(job=job, actor=owner)
    assert "Autumn" in as_owner.get(f"/history/?seen={seen}").content.decode()


def test_history_shows_bars(as_owner: Client, put: Callable[..., Job]) -> None:
    put(JobState.COMPLETED_WITH_ERRORS, succeeded=3, failed=1)
    shown = as_owner.get("/history/").content.decode()
    assert 'max="4" value="4"' in shown
    assert "1 failed" in shown


def test_the_tag_puts_the_card_on_any_page_for_those_who_may_see_it(
    owner: Any, stranger: Any, job: Job, rf: RequestFactory
) -> None:
    request = rf.get("/shop/")
    page = Template("{% load bulkops %}{% bulkops_card job %}")
    request.user = owner
    shown = page.render(Context({"request": request, "job": job}))
    assert f'hx-get="/jobs/{job.pk}/progress/' in shown
    assert "<title>" not in shown
    request.user = stranger
    assert str(job.pk) not in page.render(Context({"request": request, "job": job}))


@override_settings(BULKOPS={"poll_seconds": 2.5})
def test_the_poll_interval_is_a_setting(as_owner: Client, job: Job) -> None:
    card = card_of(as_owner, job).content.decode()
    assert "every 2500ms" in card
    assert "silence-9" in card


def test_a_form_sent_while_the_database_is_away_keeps_what_was_entered(as_owner: Client, alive: Cluster) -> None:
    with mock.patch(CURSOR, side_effect=OperationalError("gone")):
        response = as_owner.post("/operations/note/", {"items": "a", "action": "start"}, headers={"HX-Request": "true"})
        plain = as_owner.post("/operations/note/", {"items": "a", "action": "start"})
    assert (response.status_code, response["HX-Reswap"]) == (422, "none")
    assert 'hx-swap-oob="innerHTML"' in response.content.decode()
    assert plain.status_code == 503
