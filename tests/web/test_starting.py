"""A start button says what it will do, in the author's words, and keeps saying it while its part is fetched anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from bulkops import Operation, registry, services
from bulkops.web.starting import Promised
from bulkops.wording import counted
from tests.sample.models import Account
from tests.web.conftest import logged_in
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]

NOTE, DEPOSIT, REPRICE = "/operations/note/", "/operations/deposit/", "/operations/reprice-tickets/"


def button(response: Any) -> str:
    """What stands on the start button."""
    found = re.search(r'id="press-start"[^>]*>([^<]+)<', response.content.decode())
    assert found is not None
    return found.group(1)


@pytest.fixture
def seller(person: Callable[..., Any]) -> Client:
    """Who may reprice; there are twelve tickets."""
    event = Event.objects.create(name="Gala", starts_at=timezone.now())
    Ticket.objects.bulk_create(Ticket(event=event, code=f"C{n}", seat=str(n), price=100) for n in range(12))
    return logged_in(person("seller", "ticketing.change_ticket"))


def test_the_button_says_how_many_of_the_authors_items_will_change(seller: Client) -> None:
    page = seller.post(REPRICE, {"cents": "5", "action": "preview"})
    assert button(page) == "Start: 12 tickets will change"
    assert "12 tickets, ready to start" in page.content.decode()
    assert "These are the first rows" in page.content.decode()


def test_only_the_first_are_promised_where_so_many_were_asked_for(seller: Client) -> None:
    page = seller.post(REPRICE, {"cents": "5", "limit": "1", "action": "preview"})
    assert button(page) == "Start: 1 ticket will change"
    assert "and 11 more" not in page.content.decode()


def test_given_items_are_promised_too(as_owner: Client) -> None:
    assert button(as_owner.post(NOTE, {"items": "a\nb", "action": "preview"})) == "Start: 2 items will be processed"
    assert button(as_owner.get(NOTE)) == "Start"


def test_where_nothing_would_be_found_the_preview_says_so(as_owner: Client) -> None:
    page = as_owner.post(DEPOSIT, {"amount": "5", "action": "preview"})
    assert "There is nothing to do" in page.content.decode()
    assert button(page) == "Start"


def test_where_counting_takes_too_long_nothing_is_promised(as_owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(registry.get("deposit")), "count_items", lambda self, params: None)
    Account.objects.create(number=1)
    page = as_owner.post(DEPOSIT, {"amount": "5", "action": "preview"})
    assert "The operation finds its items itself when it starts." in page.content.decode()
    assert button(page) == "Start"


def test_the_promise_outlives_the_job_that_stood_in_the_way(seller: Client, django_user_model: Any) -> None:
    me = django_user_model.objects.get(username="seller")
    job = services.submit(user=me, operation="note", items=["a"])
    page = seller.post(REPRICE, {"cents": "5", "action": "preview"}).content.decode()
    again = re.search(r'hx-get="([^"]+active/[^"]+)"', page)
    assert again is not None
    services.cancel(job=job, actor=me)
    fresh = seller.get(again.group(1).replace("&amp;", "&"))
    assert button(fresh) == "Start: 12 tickets will change"
    assert "disabled" not in fresh.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"operation": "guarded", "count": "5"},  # which the owner may not run
        {"operation": "no-such", "count": "5"},
        {"operation": "note", "count": "-5"},
        {"operation": "note", "count": "five"},
        {"operation": "note", "count": "9" * 5_000},
        {"operation": "note"},
        {},
    ],
)
def test_an_address_that_was_made_up_promises_nothing(owner: Any, query: dict[str, str]) -> None:
    assert Promised.of(query, owner) is None


def test_an_author_names_items_in_both_numbers() -> None:
    class Sorting(Operation):
        item_name, item_name_plural, effect = "entry", "entries", "will be sorted"

    class Selling(Operation):
        item_name = "ticket"

    assert [counted(Sorting(), n) for n in (0, 1, 1_204)] == ["0 entries", "1 entry", "1,204 entries"]
    assert [counted(Selling(), n) for n in (1, 2)] == ["1 ticket", "2 tickets"]
    assert Promised(Sorting(), 2).words == "2 entries will be sorted"


def test_who_is_logged_out_is_promised_nothing(client: Client) -> None:
    assert button(client.get("/active/", {"operation": "note", "count": "5"})) == "Start"
