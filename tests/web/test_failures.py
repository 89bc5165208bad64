"""What failed, on the pages: groups with samples, live; one group's retry; and the list of items, filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bulkops import fingerprints, services
from bulkops.management import grouping
from bulkops.models import Chunk, Job, Outcome
from bulkops.states import JobState, OutcomeState
from tests.sample.operations import Telling

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

ITEMS = ["no ticket 1", "fine", "no price", *(f"no ticket {n}" for n in range(2, 6))]
TICKET, PRICE = (fingerprints.of("ValueError", words).fingerprint for words in ("no ticket 1", "no price"))


@pytest.fixture
def told(owner: Any, alive: Any, worker: Any) -> Job:
    return worker.finish(services.submit(user=owner, operation="telling", items=ITEMS, name="Autumn"))


def page_of(client: Client, job: Job, path: str = "") -> str:
    return client.get(f"{job.get_absolute_url()}{path}").content.decode()


def test_the_page_shows_each_group_with_its_samples_and_a_button(as_owner: Client, told: Job) -> None:
    page = page_of(as_owner, told)
    assert page.index("<strong>5 ×</strong> no ticket … <code>ValueError</code>") < page.index(
        "<strong>1 ×</strong> no price <code>ValueError</code>"
    )
    shown = '<span class="value">no ticket 1</span>: <span class="says">no ticket 1</span>'
    assert f'items/?item=1">Item 1</a> {shown}' in page
    assert 'items/?item=3">Item 3</a> <span class="value">no price</span></li>' in page, "words are not said twice"
    assert f'items/?fingerprint={TICKET}">All 5</a>' in page
    assert 'aria-label="Retry 5 failed: no ticket …">Retry 5</button>' in page
    assert "Items to look at" not in page


def test_a_single_failure_is_said_as_it_was_with_its_numbers(
    owner: Any, as_owner: Client, alive: Any, worker: Any
) -> None:
    items = ["taken are MP4 videos", "no ticket 1", "no ticket 2"]
    job = worker.finish(services.submit(user=owner, operation="telling", items=items))
    page = page_of(as_owner, job)
    assert "<strong>1 ×</strong> taken are MP4 videos <code>ValueError</code>" in page
    assert '<span class="value">taken are MP4 videos</span></li>' in page, "words are not said twice"
    assert "<strong>2 ×</strong> no ticket … <code>" in page, "two may differ"
    assert "taken are MP4 videos" in grouping.described(job, as_json=False)


def test_a_press_retries_one_group_and_a_second_leads_to_the_same_job(as_owner: Client, told: Job, worker: Any) -> None:
    wanted = {"items": "failed", "fingerprint": TICKET}
    first, second = (as_owner.post(f"{told.get_absolute_url()}retry/", wanted) for _ in range(2))
    child = Job.objects.get(parent=told)
    assert (first["Location"], second["Location"]) == (child.get_absolute_url(),) * 2
    other = as_owner.post(f"{told.get_absolute_url()}retry/", wanted | {"fingerprint": PRICE})
    assert other.status_code == 409
    assert "Nothing was started" in other.content.decode()
    worker.finish(child)
    page = page_of(as_owner, told)
    assert "Taken by a later job" in page
    assert ">Retry 5<" not in page
    assert ">Retry 1</button>" in page
    assert 'Some of its failed items were taken by <a href="' in page
    assert "It takes some of the failed items of <a" in page_of(as_owner, child)
    assert as_owner.post(f"{told.get_absolute_url()}retry/", wanted).status_code == 409
    assert as_owner.post(f"{told.get_absolute_url()}retry/", {"fingerprint": "x"}).status_code == 422


def test_who_may_only_watch_has_no_button(as_colleague: Client, as_stranger: Client, told: Job) -> None:
    page = page_of(as_colleague, told)
    assert "<strong>5 ×</strong>" in page
    assert "Retry" not in page
    assert "Taken by" not in page
    for path in ("failures/", f"items/?fingerprint={TICKET}"):
        assert as_stranger.get(f"{told.get_absolute_url()}{path}").status_code == 404


def test_groups_are_live_and_unchanged_ones_are_not_sent_again(
    as_owner: Client, owner: Any, alive: Any, worker: Any, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.BULKOPS = {"slice_seconds": 0}
    job = services.submit(user=owner, operation="telling", items=["no price", "fine", "no price"])
    url = f"{job.get_absolute_url()}failures/"
    seen = as_owner.get(url).context["failures"].seen
    assert as_owner.get(f"{url}?seen={seen}").status_code == 204
    worker.step()
    news = as_owner.get(f"{url}?seen={seen}")
    page = news.content.decode()
    assert "<strong>1 ×</strong> no price" in page
    assert 'hx-trigger="bulkops:changed from:body, every 5s"' in page
    assert "<button" not in page
    seen = news.context["failures"].seen
    worker.step()
    with django_assert_max_num_queries(5):  # session, user, job, failed items in all, groups
        assert as_owner.get(f"{url}?seen={seen}").status_code == 204
    worker.finish(job)
    ended = as_owner.get(f"{url}?seen={seen}").content.decode()
    assert "<strong>2 ×</strong> no price" in ended
    assert "hx-get" not in ended
    assert ">Retry 2</button>" in ended


def test_the_live_card_asks_nothing_because_of_groups(as_owner: Client, told: Job) -> None:
    with CaptureQueriesContext(connection) as sent:
        assert as_owner.get(f"{told.get_absolute_url()}progress/").status_code == 200
    assert not [one["sql"] for one in sent if "failuregroup" in one["sql"] or "bulkops_outcome" in one["sql"]]


def test_a_job_from_before_shows_its_failed_items(as_owner: Client, put: Callable[..., Job]) -> None:
    page = page_of(as_owner, put(JobState.COMPLETED_WITH_ERRORS, succeeded=2, failed=2))
    assert "What failed" not in page
    assert "Items to look at" in page
    assert page.count("no such letter") == 2


def test_a_job_that_ran_across_the_deploy_says_what_the_groups_leave_out(as_owner: Client, told: Job) -> None:
    Chunk.objects.filter(job=told).update(failed=7, succeeded=0)
    assert "1 more failed before failures were grouped" in page_of(as_owner, told)


def test_items_in_doubt_stay_beside_the_groups(as_owner: Client, told: Job) -> None:
    Outcome.objects.filter(job=told, position=1).update(state="in_doubt", message="no answer", error_code="in-doubt")
    Chunk.objects.filter(job=told).update(succeeded=0, in_doubt=1)
    page = page_of(as_owner, told)
    assert "What failed" in page
    assert "Items to look at" in page
    assert "It was not done" in page
    for path in ("items/?state=in_doubt", "items/?item=2"):
        listed = page_of(as_owner, told, path)
        assert "It was not done" in listed
        assert f"Key <code>{told.pk}:1</code>" in listed
    services.decide(job=told, position=1, decision="done", actor=told.owner, reason="seen in the ledger")
    assert "Decided as done: seen in the ledger. Before: no answer" in page_of(as_owner, told, "items/?item=2")


def test_the_list_shows_one_group_page_by_page(as_owner: Client, owner: Any, alive: Any, worker: Any) -> None:
    job = worker.finish(
        services.submit(user=owner, operation="telling", items=[("no price", "no ticket 1")[n % 2] for n in range(230)])
    )
    first = page_of(as_owner, job, f"items/?fingerprint={TICKET}")
    assert "Only this kind of failure: <strong>115 ×</strong> no ticket … <a" in first
    assert first.count("<tr>") == 101
    assert f'<option value="{TICKET}" selected>115 × no ticket …</option>' in first
    assert f'href="?fingerprint={TICKET}&amp;after=199">Next 100' in first
    second = page_of(as_owner, job, f"items/?fingerprint={TICKET}&after=199")
    assert second.count("<tr>") == 16
    assert f'href="?fingerprint={TICKET}">First page' in second
    assert "Next 100" not in second


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("1", "ValueError: no ticket 1"),
        ("2", 'Item 2, <span class="value">b</span>, was not tried yet.'),
        ("3", "There is no item 3."),
        ("0", "There is no item 0."),
        ("-7", "There is no item -7."),
        ("99999999999999999999", "There is no item"),
    ],
)
def test_one_item_is_found_by_its_number(as_owner: Client, owner: Any, alive: Any, number: str, words: str) -> None:
    job = services.submit(user=owner, operation="telling", items=["a", "b"])
    Outcome.objects.create(
        job=job, position=0, state=OutcomeState.FAILED, message="ValueError: no ticket 1", finished_at=job.created_at
    )
    page = page_of(as_owner, job, f"items/?item={number}")
    assert words in page
    assert page.count("ValueError: no ticket 1") == (number == "1")


@pytest.mark.parametrize("query", ["fingerprint=x", "fingerprint=%00", "item=x", "state=failed%0A"])
def test_wrong_filters_are_not_found(as_owner: Client, told: Job, query: str) -> None:
    assert as_owner.get(f"{told.get_absolute_url()}items/?{query}").status_code == 404


def test_what_items_say_is_escaped(as_owner: Client, owner: Any, alive: Any, worker: Any) -> None:
    evil = "<script>alert(1)</script>"
    job = worker.finish(services.submit(user=owner, operation="telling", items=[evil, f"{evil} {Telling.name}"]))
    for path in ("", "failures/", "items/?state=failed", "items/?item=1"):
        assert evil not in page_of(as_owner, job, path)
