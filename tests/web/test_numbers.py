"""Numbers for programs, in attributes and addresses, stay digits, whatever a project's language writes between them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from bulkops import services
from bulkops.models import Chunk, Job, Outcome
from bulkops.states import JobState

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]


@pytest.fixture
def many(owner: Any, settings: Any) -> Job:
    """1,200 items, of which 1,150 were tried and failed, read by Germans."""
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    job = services.submit(user=owner, operation="note", items=[f"number {n}" for n in range(1_200)])
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, started_at=now)
    for chunk, tried in zip(Chunk.objects.filter(job=job).order_by("number"), (1_000, 150), strict=True):
        Chunk.objects.filter(pk=chunk.pk).update(cursor=tried, failed=tried)
    Outcome.objects.bulk_create(
        Outcome(job=job, position=position, state="failed", error_code="ValueError", message="no", finished_at=now)
        for position in range(1_150)
    )
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("path", ["/", "/jobs/", "{job}", "{job}progress/"])
def test_a_bar_is_told_numbers_that_a_browser_can_read(as_owner: Client, many: Job, path: str) -> None:
    page = as_owner.get(path.format(job=many.get_absolute_url())).content.decode()
    assert re.findall(r'<progress [^>]*max="([^"]*)" value="([^"]*)"', page)[0] == ("1200", "1150")


def test_one_turns_the_pages_of_items_beyond_the_thousandth(as_owner: Client, many: Job) -> None:
    items = f"{many.get_absolute_url()}items/"
    page = as_owner.get(f"{items}?after=999").content.decode()
    assert 'rel="next" href="?&amp;after=1099"' in page
    assert 'max="1200"' in page
    page = as_owner.get(f"{items}?item=1150").content.decode()
    assert 'value="1150"' in page
    assert "number 1149" in page


def test_the_walls_bar_too(as_colleague: Client, many: Job) -> None:
    assert 'max="1200" value="1150"' in as_colleague.get("/jobs/active/").content.decode()
