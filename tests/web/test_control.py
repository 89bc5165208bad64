"""Cancel, pause and resume by plain forms: who may, and what a stale page is told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from bulkops import services
from bulkops.models import Chunk, Cluster, Job, Outcome
from bulkops.states import JobState
from bulkops.web import cards
from tests.web.conftest import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

VERBS = ["cancel", "pause", "resume", "rate"]


def press(client: Client, job: Job, verb: str, **data: str) -> Any:
    return client.post(f"{job.get_absolute_url()}{verb}/", data)


def test_the_owner_cancels_with_a_reason(as_owner: Client, job: Job) -> None:
    response = press(as_owner, job, "cancel", reason="wrong season")
    assert response["Location"] == job.get_absolute_url()
    job.refresh_from_db()
    assert (job.state, job.cancel_reason) == (JobState.CANCELLED, "wrong season")


def test_the_owner_pauses_and_resumes(as_owner: Client, job: Job) -> None:
    press(as_owner, job, "pause")
    job.refresh_from_db()
    assert job.state == JobState.PAUSED
    press(as_owner, job, "resume")
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


@pytest.mark.parametrize("verb", VERBS)
def test_a_colleague_who_may_only_watch_is_forbidden(as_colleague: Client, job: Job, verb: str) -> None:
    response = press(as_colleague, job, verb)
    assert response.status_code == 403
    assert "may not control" in response.content.decode()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_holders_of_change_job_control_what_they_see(person: Callable[..., Any], job: Job) -> None:
    chief = logged_in(person("chief", "bulkops.change_job"))
    assert "Cancel this job" in chief.get(job.get_absolute_url()).content.decode()
    assert press(chief, job, "cancel").status_code == 302


@pytest.mark.parametrize("verb", VERBS)
def test_for_a_stranger_there_is_no_such_job(as_stranger: Client, job: Job, verb: str) -> None:
    assert press(as_stranger, job, verb).status_code == 404


@pytest.mark.parametrize("verb", VERBS)
def test_anonymous_people_are_sent_to_the_login(client: Client, job: Job, verb: str) -> None:
    response = client.post(
        f"{job.get_absolute_url()}{verb}/", headers={"Referer": f"http://testserver{job.get_absolute_url()}"}
    )
    assert response["Location"] == f"/accounts/login/?next={job.get_absolute_url()}"
    elsewhere = client.post(f"{job.get_absolute_url()}{verb}/", headers={"Referer": "http://evil.example/jobs/"})
    assert elsewhere["Location"] == "/accounts/login/?next=/"


@pytest.mark.parametrize("verb", VERBS)
def test_csrf_is_enforced(owner: Any, job: Job, verb: str) -> None:
    assert press(logged_in(owner, enforce_csrf_checks=True), job, verb).status_code == 403


@pytest.mark.parametrize("verb", VERBS)
def test_looking_changes_nothing(as_owner: Client, job: Job, verb: str) -> None:
    response = as_owner.get(f"{job.get_absolute_url()}{verb}/")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    page = response.content.decode()
    assert "Nothing was done" in page
    assert f'href="{job.get_absolute_url()}"' in page


def test_a_refusal_reloads_as_the_job_not_as_the_button(as_owner: Client, job: Job) -> None:
    page = press(as_owner, job, "rate", rate_per_second="fast").content.decode()
    assert f'<meta http-equiv="refresh" content="2;url={job.get_absolute_url()}">' in page


@pytest.mark.parametrize("verb", VERBS)
def test_a_button_of_a_stale_page_is_told_how_the_job_is_now(
    as_owner: Client, put: Callable[..., Job], verb: str
) -> None:
    job = put(JobState.COMPLETED, succeeded=4)
    response = press(as_owner, job, verb)
    assert response.status_code == 409
    page = response.content.decode()
    assert 'role="alert"' in page
    assert "Completed" in page


def test_cancelling_twice_is_once(as_owner: Client, job: Job) -> None:
    press(as_owner, job, "cancel", reason="first")
    assert press(as_owner, job, "cancel", reason="second").status_code == 302
    job.refresh_from_db()
    assert job.cancel_reason == "first"


@pytest.fixture
def ended(put: Callable[..., Job]) -> Job:
    """A job of four items that ended with one failed and one in doubt."""
    job = put(JobState.COMPLETED_WITH_ERRORS, succeeded=2, failed=2)
    Outcome.objects.filter(job=job, position=3).update(state="in_doubt", message="no answer", error_code="in-doubt")
    Chunk.objects.filter(job=job).update(failed=1, in_doubt=1)
    return job


def test_the_page_offers_what_is_left_and_a_press_takes_it(as_owner: Client, ended: Job) -> None:
    page = as_owner.get(ended.get_absolute_url()).content.decode()
    assert "Retry 1 failed item<" in page
    assert "Try 1 item in doubt again …<" in page
    assert "is done twice" in page
    assert f"Key <code>{ended.pk}:3</code>" in page
    assert 'aria-label="It was not done: item 4">It was not done<' in page
    response = press(as_owner, ended, "retry", items="failed")
    child = Job.objects.get(parent=ended)
    assert response["Location"] == child.get_absolute_url()
    page = as_owner.get(ended.get_absolute_url()).content.decode()
    assert child.get_absolute_url() in page
    assert "Retry 1 failed item<" not in page
    assert ended.get_absolute_url() in as_owner.get(child.get_absolute_url()).content.decode()


def test_retrying_beside_an_active_job_leads_there(as_owner: Client, ended: Job) -> None:
    press(as_owner, ended, "retry", items="failed")
    response = press(as_owner, ended, "retry", items="in_doubt")
    assert response.status_code == 409
    page = response.content.decode()
    assert "your job “<a" in page
    assert "is still active" in page
    assert Job.objects.get(parent=ended).get_absolute_url() in page


def test_the_second_press_of_a_retry_leads_to_the_job_that_the_first_one_made(as_owner: Client, ended: Job) -> None:
    first = press(as_owner, ended, "retry", items="failed")
    second = press(as_owner, ended, "retry", items="failed")
    assert (second.status_code, second["Location"]) == (302, first["Location"])
    assert Job.objects.filter(parent=ended).count() == 1


def test_retrying_what_is_taken_names_who_took_it(as_owner: Client, ended: Job) -> None:
    press(as_owner, ended, "retry", items="failed")
    child = Job.objects.get(parent=ended)
    Job.objects.filter(pk=child.pk).update(state=JobState.CANCELLED, slot=None, total=1)
    response = press(as_owner, ended, "retry", items="failed")
    assert response.status_code == 409
    named = f'Job <a href="{child.get_absolute_url()}">Autumn</a> (cancelled) has taken the failed items'
    assert named in response.content.decode()


@pytest.mark.parametrize("data", [{"items": "succeeded"}, {"items": "\x00"}])
def test_a_forged_kind_is_refused_in_words(as_owner: Client, ended: Job, data: dict[str, str]) -> None:
    response = press(as_owner, ended, "retry", **data)
    assert response.status_code == 422
    assert "can be retried" in response.content.decode()


def test_an_item_in_doubt_is_decided_where_it_is_shown(as_owner: Client, ended: Job) -> None:
    response = press(as_owner, ended, "items/3/decide", decision="done")
    assert response["Location"] == f"{ended.get_absolute_url()}#details-{ended.pk}"
    assert Outcome.objects.get(job=ended, position=3).state == "succeeded"
    told = as_owner.get(ended.get_absolute_url()).content.decode()
    assert "Item 4: done" in told


def test_a_job_that_failed_over_its_items_names_them_as_its_lists_do(as_owner: Client, ended: Job) -> None:
    error = "Preparing failed: 2 invalid items: item 7, number: “item 3”: no. ; item 999, number: Enter one."
    Job.objects.filter(pk=ended.pk).update(state="failed", error=error)
    page = as_owner.get(ended.get_absolute_url()).content.decode()
    assert "2 invalid items: Item 8, number: “item 3”: no. ; Item 1,000, number" in page
    assert "item 7," not in page


def test_the_second_press_of_a_decision_changes_nothing_and_another_one_is_refused(
    as_owner: Client, ended: Job
) -> None:
    first = press(as_owner, ended, "items/3/decide", decision="done")
    second = press(as_owner, ended, "items/3/decide", decision="done")
    assert (second.status_code, second["Location"]) == (302, first["Location"])
    assert ended.events.filter(kind="decided").count() == 1
    other = press(as_owner, ended, "items/3/decide", decision="failed")
    assert other.status_code == 409
    assert "Item 4 is not in doubt" in other.content.decode()
    assert press(as_owner, ended, f"items/{10**20}/decide", decision="done").status_code == 409
    never = press(as_owner, ended, "items/0/decide", decision="done")
    assert never.status_code == 409
    assert "Item 1 is not in doubt" in never.content.decode()


def test_deciding_in_the_list_goes_on_in_the_list(as_owner: Client, ended: Job) -> None:
    listed = as_owner.get(f"{ended.get_absolute_url()}items/?state=in_doubt").content.decode()
    assert 'name="listed"' in listed
    response = press(as_owner, ended, "items/3/decide", decision="failed", listed="1")
    assert response["Location"] == f"{ended.get_absolute_url()}items/?state=in_doubt&after=2"


@pytest.mark.parametrize("decision", ["", "maybe", "\x00"])
def test_another_decision_is_refused(as_owner: Client, ended: Job, decision: str) -> None:
    assert press(as_owner, ended, "items/3/decide", decision=decision).status_code == 422
    assert Outcome.objects.get(job=ended, position=3).state == "in_doubt"


def test_a_doubt_that_another_job_has_taken_is_decided_there(as_owner: Client, ended: Job) -> None:
    press(as_owner, ended, "retry", items="in_doubt")
    child = Job.objects.get(parent=ended)
    Job.objects.filter(pk=child.pk).update(state=JobState.COMPLETED, slot=None, total=1)
    page = as_owner.get(ended.get_absolute_url()).content.decode()
    assert "It was not done" not in page
    assert child.get_absolute_url() in page
    assert "It was not done" not in as_owner.get(f"{ended.get_absolute_url()}items/?state=in_doubt").content.decode()


def test_who_may_only_watch_neither_retries_nor_decides(as_colleague: Client, as_stranger: Client, ended: Job) -> None:
    page = as_colleague.get(ended.get_absolute_url()).content.decode()
    assert "It was not done" not in page
    assert "Retry 1" not in page
    for verb in ("retry", "items/3/decide"):
        assert press(as_colleague, ended, verb, items="failed", decision="done").status_code == 403
        assert press(as_stranger, ended, verb, items="failed", decision="done").status_code == 404
    assert Job.objects.count() == 1


def test_the_owner_limits_the_speed_and_takes_the_limit_away(as_owner: Client, job: Job) -> None:
    assert press(as_owner, job, "rate", rate_per_second="2.5").status_code == 302
    job.refresh_from_db()
    assert job.rate_per_second == 2.5
    assert 'value="2.5"' in as_owner.get(job.get_absolute_url()).content.decode()
    # Since its start it may have been faster than that: the figure says that it is an average.
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, started_at=timezone.now() - timedelta(seconds=1))
    Chunk.objects.filter(job=job).update(succeeded=3, cursor=3)
    assert "<dt>Average rate</dt>" in as_owner.get(job.get_absolute_url()).content.decode()
    press(as_owner, job, "rate", rate_per_second=" ")
    job.refresh_from_db()
    assert job.rate_per_second is None


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "1e9"])
def test_what_is_no_speed_is_told_in_words(as_owner: Client, job: Job, text: str) -> None:
    response = press(as_owner, job, "rate", rate_per_second=text)
    assert response.status_code == 422
    assert "A speed limit is a number of items per second" in response.content.decode()
    job.refresh_from_db()
    assert job.rate_per_second is None


def test_a_speed_that_somebody_else_changed_is_shown_without_a_reload(as_owner: Client, job: Job) -> None:
    seen = cards.controls(job, job.owner).seen
    address = f"{job.get_absolute_url()}controls/"
    assert as_owner.get(address, {"seen": seen}).status_code == 204
    services.set_rate(job=job, rate=7, actor=None)
    assert 'value="7"' in as_owner.get(address, {"seen": seen}).content.decode()


@pytest.mark.parametrize(("verb", "state"), [("cancel", JobState.CANCELLED), ("pause", JobState.PAUSED)])
def test_force_is_offered_only_while_a_worker_keeps_a_stopping_job_waiting(
    as_owner: Client, put: Callable[..., Job], alive: Cluster, verb: str, state: JobState
) -> None:
    job = put(JobState.RUNNING, succeeded=1)
    Chunk.objects.filter(job=job).update(holder=alive, worker=1)
    assert "by force" not in as_owner.get(job.get_absolute_url()).content.decode()
    press(as_owner, job, verb)
    page = as_owner.get(job.get_absolute_url()).content.decode()
    assert f"{verb.capitalize()} by force" in page
    assert press(as_owner, job, verb, force="1", reason="it hangs").status_code == 302
    job.refresh_from_db()
    assert job.state == state
    assert "by force" not in as_owner.get(job.get_absolute_url()).content.decode()
    assert job.events.filter(kind="forced", actor=job.owner, detail="it hangs").exists()
