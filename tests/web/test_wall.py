"""The wall of all active jobs: for holders of `bulkops.view_job`, at the same price for many as for one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bulkops import services
from bulkops.models import Chunk, Job
from bulkops.web import wall

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

WALL = "/jobs/active/"
HTMX = {"HX-Request": "true"}


def names(page: Any) -> list[str]:
    return re.findall(r'<a id="wall-\w+" href="[^"]+">([^<]*)</a>', page.content.decode())


def asked(page: Any) -> str:
    """The address that the page asks htmx to poll each second."""
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every 1s"', page.content.decode())
    assert found
    return found.group(1)


def test_it_shows_everybodys_active_jobs_with_their_bars(as_colleague: Client, job: Job, stranger: Any) -> None:
    services.submit(user=stranger, operation="note", items=["a"], name="Other")
    Chunk.objects.filter(job=job).update(cursor=1, succeeded=1)
    page = as_colleague.get(WALL)
    assert names(page) == ["Autumn", "Other"]
    text = page.content.decode()
    assert 'max="4" value="1"' in text
    assert "25 %" in text
    assert "1 of 4" in text
    assert "stranger" in text


def test_jobs_come_and_go_by_themselves(as_colleague: Client, job: Job, stranger: Any) -> None:
    address = asked(as_colleague.get(WALL))
    assert as_colleague.get(address, headers=HTMX).status_code == 204
    other = services.submit(user=stranger, operation="note", items=["a"], name="Other")
    news = as_colleague.get(address, headers=HTMX)
    assert names(news) == ["Autumn", "Other"]
    assert "<html" not in news.content.decode()
    services.cancel(job=job, actor=None)
    services.cancel(job=other, actor=None)
    news = as_colleague.get(asked(news), headers=HTMX)
    assert names(news) == []
    assert "No job is active" in news.content.decode()
    assert as_colleague.get(asked(news), headers=HTMX).status_code == 204


def test_many_jobs_cost_as_many_queries_as_one(as_colleague: Client, job: Job, person: Callable[..., Any]) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as sent:
            as_colleague.get(WALL, headers=HTMX)
        return len(sent)

    few = queries()
    for number in range(20):
        services.submit(user=person(f"user{number}"), operation="note", items=["a"])
    assert queries() == few
    assert few <= 9


def test_beyond_its_size_it_says_how_many_more(
    as_colleague: Client, job: Job, stranger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.submit(user=stranger, operation="note", items=["a"], name="Other")
    monkeypatch.setattr(wall, "SHOWN", 1)
    page = as_colleague.get(WALL)
    assert names(page) == ["Autumn"]
    assert "and 1 more" in page.content.decode()


def test_owners_and_strangers_are_refused(as_owner: Client, as_stranger: Client, client: Client, job: Job) -> None:
    for one in (as_owner, as_stranger):
        answer = one.get(WALL)
        assert answer.status_code == 403
        assert "right to view jobs" in answer.content.decode()
        assert "Autumn" not in answer.content.decode()
    assert client.get(WALL)["Location"] == f"/accounts/login/?next={WALL}"


def test_without_javascript_it_loads_itself_again(as_colleague: Client, job: Job) -> None:
    assert '<noscript><meta http-equiv="refresh"' in as_colleague.get(WALL).content.decode()
