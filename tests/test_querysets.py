"""Reading adjectives of jobs: active, ended, whose, and found by a text. Who may see what: test_permissions."""

from __future__ import annotations

import pytest

from bulkops import services
from bulkops.models import Job
from bulkops.states import JobState

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(owner):
    return services.submit(
        user=owner,
        operation="note",
        items=["a"],
        name="Spring prices",
        tags=["q2", "100%"],
        input_name="tickets_2026.csv",
    )


@pytest.fixture
def over(stranger):
    job = services.submit(user=stranger, operation="note-outside", items=["a"])
    return services.cancel(job=job, actor=None)


def test_active_and_ended_divide_all_jobs(job, over):
    assert list(Job.objects.active()) == [job]
    assert list(Job.objects.ended()) == [over]


def test_jobs_of_a_state_and_of_an_owner(job, over, owner):
    assert list(Job.objects.in_state(JobState.CANCELLED)) == [over]
    assert list(Job.objects.owned_by(owner)) == [job]


@pytest.mark.parametrize("text", ["spring", "PRICES", "tickets_2026", "q2", "owner", "100%", "g p"])
def test_a_job_is_found_by_any_of_its_texts(job, over, text):
    assert list(Job.objects.found(text)) == [job]


def test_a_job_is_found_by_its_operation(job, over):
    assert list(Job.objects.found("note-out")) == [over]


@pytest.mark.parametrize("shape", [str, lambda key: key.hex, lambda key: str(key).upper(), lambda key: f"{{{key}}}"])
def test_a_job_is_found_by_its_id_in_any_shape(job, over, shape):
    assert list(Job.objects.found(shape(job.pk))) == [job]


@pytest.mark.parametrize("text", ["autumn", "%", "_", "q", "x" * 1000, "'; --", "\N{PILE OF POO}"])
def test_nothing_else_is_found(over, text):
    assert list(Job.objects.found(text)) == []


def test_adjectives_combine(job, over, owner):
    assert list(Job.objects.visible_to(owner).found("note").active()) == [job]
    assert list(Job.objects.visible_to(owner).found("note").ended()) == []
