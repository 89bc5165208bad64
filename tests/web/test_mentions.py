"""A text that names jobs by their ids: those that its reader may see become links, and nothing else of it is HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkops import services
from bulkops.models import Job
from bulkops.states import JobState
from bulkops.web import mentions

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def autumn(owner: Any) -> Job:
    return services.submit(user=owner, operation="note", items=[1], name="Autumn <1>")


def test_an_id_becomes_a_link_with_the_jobs_name_and_state(owner: Any, autumn: Job) -> None:
    text = f"<b>3 items</b>, by {autumn.pk}: why"
    told = mentions.linked(text, mentions.found([text], owner))
    link = f'<a href="/jobs/{autumn.pk}/">Autumn &lt;1&gt;</a> (queued)'
    assert told == f"&lt;b&gt;3 items&lt;/b&gt;, by {link}: why"


def test_the_id_of_somebody_elses_job_stays_an_id(stranger: Any, autumn: Job) -> None:
    text = f"by {autumn.pk}"
    assert mentions.linked(text, mentions.found([text], stranger)) == text


def test_a_text_without_ids_asks_nothing(owner: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert mentions.found(["12,000 items", ""], owner) == {}


def test_the_timelines_of_a_job_and_of_its_retry_lead_to_each_other(
    as_owner: Client, owner: Any, put: Callable[..., Job]
) -> None:
    parent = put(JobState.COMPLETED_WITH_ERRORS, succeeded=2, failed=2)
    child = services.retry(job=parent, actor=owner, items="failed")
    seen = as_owner.get(parent.get_absolute_url()).content.decode()
    assert f'failed items, by <a href="{child.get_absolute_url()}">Autumn</a> (preparing)' in seen
    seen = as_owner.get(child.get_absolute_url()).content.decode()
    assert f'failed items of <a href="{parent.get_absolute_url()}">Autumn</a> (completed with errors)' in seen
