"""Operations are cards with their description and one's own last use, found by their words, in few queries."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import Operation, registry, services
from bulkops.models import Job
from bulkops.states import JobState
from bulkops.web import operation_list
from tests.web.conftest import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

HTMX = {"HX-Request": "true"}


def card(page: Any, title: str) -> str:
    """What the card of that operation says; empty where there is none."""
    for one in re.findall(r'<li class="tile">(.*?)</li>', page.content.decode(), re.DOTALL):
        words = " ".join(re.sub(r"<[^>]+>", "", one).split())
        if words.startswith(title):
            return words
    return ""


@pytest.fixture
def hundreds() -> Iterator[list[str]]:
    """Three hundred more operations."""
    made = []
    for number in range(300):
        operation = type(
            "Numbered",
            (Operation,),
            {
                "__doc__": f"Do number {number}.",
                "name": f"numbered-{number}",
                "process": lambda self, item, params, context: None,
            },
        )
        registry.register(operation)
        made.append(operation.name)
    yield made
    for name in made:
        registry.unregister(name)


def test_a_card_says_what_it_does_and_how_my_last_use_went(
    as_owner: Client, put: Callable[..., Job], as_stranger: Client
) -> None:
    job = put(JobState.COMPLETED, succeeded=4)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(hours=3))
    mine = as_owner.get("/")
    assert card(mine, "Note") == "Note Write one effect for each item. Used 3 h ago: completed, 4 items"
    assert f'<a href="{job.get_absolute_url()}">' in mine.content.decode()
    assert card(as_stranger.get("/"), "Note") == "Note Write one effect for each item."


@pytest.mark.parametrize(
    ("state", "total", "words"),
    [
        (JobState.PREPARING, None, "just now: preparing"),
        (JobState.RUNNING, 1, "just now: running, 1 item"),
        (JobState.FAILED, 12_000, "just now: failed, 12,000 items"),
    ],
)
def test_every_state_is_told(
    as_owner: Client, put: Callable[..., Job], state: JobState, total: int | None, words: str
) -> None:
    put(state, total=total)
    assert card(as_owner.get("/"), "Note").endswith(f"Used {words}")


def test_the_newest_use_counts_and_a_schedules_is_none(as_owner: Client, owner: Any, put: Callable[..., Job]) -> None:
    put(JobState.COMPLETED, succeeded=4)
    scheduled = services.submit(user=owner, operation="note", items=["a"], schedule="nightly")
    assert "4 items" in card(as_owner.get("/"), "Note")
    Job.objects.filter(pk=scheduled.pk).update(schedule="")
    assert "1 item" in card(as_owner.get("/"), "Note")


def test_only_what_i_may_run_has_a_card(as_owner: Client, person: Callable[..., Any]) -> None:
    assert card(as_owner.get("/"), "Guarded") == ""
    assert card(logged_in(person("guard", "sample.change_account")).get("/"), "Guarded")


def test_what_i_may_not_run_is_not_found_either(as_owner: Client) -> None:
    page = as_owner.get("/", {"find": "needs a permission"})
    assert card(page, "Guarded") == ""
    assert "No operation says “needs a permission”." in page.content.decode()


def test_words_find_operations_by_all_that_their_cards_say(as_owner: Client) -> None:
    page = as_owner.get("/", {"find": "BALANCE every"})
    assert card(page, "Deposit")
    assert card(page, "Note") == ""
    assert 'value="BALANCE every"' in page.content.decode()


def test_htmx_gets_the_cards_alone_and_the_whole_page_on_the_way_back(as_owner: Client) -> None:
    part = as_owner.get("/", {"find": "balance"}, headers=HTMX)
    assert card(part, "Deposit")
    assert b"<html" not in part.content
    whole = as_owner.get("/", {"find": "balance"}, headers=HTMX | {"HX-History-Restore-Request": "true"})
    assert b"<html" in whole.content


def test_few_operations_need_no_search(as_owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b'name="find"' in as_owner.get("/").content
    monkeypatch.setattr(operation_list, "MANY", 10_000)
    assert b'name="find"' not in as_owner.get("/").content


def test_what_was_typed_is_text_on_the_page(as_owner: Client) -> None:
    page = as_owner.get("/", {"find": '"><script>alert(1)</script>'}).content.decode()
    assert "<script>alert" not in page


def test_hundreds_of_operations_and_jobs_ask_no_more_than_one(
    as_owner: Client, owner: Any, hundreds: list[str]
) -> None:
    def asked() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            as_owner.get("/")
        return len(queries)

    def job(name: str) -> Job:
        return Job(operation=name, owner=owner, state=JobState.COMPLETED, total=3)

    Job.objects.bulk_create([job(hundreds[0])])
    few = asked()
    Job.objects.bulk_create([job(name) for name in hundreds for _ in range(2)])
    assert asked() == few
    page = as_owner.get("/")
    assert page.content.decode().count("completed, 3 items") == 300
