"""Cancel, pause and resume by plain forms: who may, and what a stale page is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from bulkops.models import Job
from bulkops.states import JobState
from tests.web.conftest import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

VERBS = ["cancel", "pause", "resume"]


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
    assert as_owner.get(f"{job.get_absolute_url()}{verb}/").status_code == 405


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
