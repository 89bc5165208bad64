"""Trying the first items from the form: what would become of them, and nothing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from bulkops import dry_run, services
from bulkops.models import Cluster, Job
from tests.elsewhere import elsewhere
from tests.sample.models import Effect
from tests.web.conftest import logged_in
from tests.web.test_submitting import DEPOSIT, HTMX, NOTE, ROWS, csv, hidden, nothing_stored
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alive")]


HABITS, OUTSIDE, COLLECTING = "/operations/habits/", "/operations/note-outside/", "/operations/collecting/"


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_trying_shows_what_would_become_of_the_first_items_and_keeps_nothing(
    as_owner: Client, headers: dict[str, str]
) -> None:
    items = "fine\nraise\nskip\npass-by\ndoubt\nfine\nfine"
    response = as_owner.post(HABITS, {"items": items, "action": "try"}, headers=headers)
    page = response.content.decode()
    assert response.status_code == 200
    assert "Tried the first 5 items, and kept nothing" in page
    assert "7 items, ready to start" in page
    for words in (
        "</span>succeeded",
        "</span>failed",
        "ValueError: this item is bad",
        "</span>skipped",
        "not today",
        "</span>would be tried again",
        "</span>in doubt",
    ):
        assert words in page
    assert nothing_stored()
    assert not Effect.objects.exists()


def test_after_trying_the_same_form_starts_the_job_or_tries_again(as_owner: Client) -> None:
    form = hidden(as_owner.get(ROWS))
    tried = as_owner.post(ROWS, form | {"file": csv("number\n1\n2\n"), "limit": "1", "action": "try"})
    assert "Tried the first item, and kept nothing" in tried.content.decode()
    again = as_owner.post(ROWS, hidden(tried) | {"action": "try"})
    token = {"csrfmiddlewaretoken": ""}
    assert hidden(again) | token == hidden(tried) | token
    as_owner.post(ROWS, hidden(again) | {"action": "start"})
    job = Job.objects.get()
    assert (job.total, job.limit, job.input_name) == (1, 1, "rows.csv")


def test_trying_needs_no_worker_and_no_free_slot(as_owner: Client, owner: Any, alive: Cluster) -> None:
    services.submit(user=owner, operation="note", items=["x"])
    alive.delete()
    response = as_owner.post(NOTE, {"items": "a", "action": "try"})
    assert response.status_code == 200
    assert "Tried the first item" in response.content.decode()
    assert Job.objects.count() == 1


def test_trying_what_works_outside_transactions_shows_the_items_and_says_why_they_were_not_run(
    as_owner: Client,
) -> None:
    page = as_owner.post(OUTSIDE, {"items": "alpha\nbeta", "action": "try"}).content.decode()
    assert "works outside transactions" in page
    assert "alpha" in page
    assert "These are the first rows" in page
    assert not Effect.objects.exists()


@pytest.mark.parametrize(("address", "offered"), [(NOTE, True), (OUTSIDE, False)])
def test_trying_is_offered_where_it_can_be_done(as_owner: Client, address: str, offered: bool) -> None:
    for page in (as_owner.get(address), as_owner.post(address, {"items": "alpha", "action": "preview"})):
        assert ('value="try"' in page.content.decode()) == offered


def test_trying_says_why_collecting_would_fail(as_owner: Client) -> None:
    page = as_owner.post(COLLECTING, {"how": "raise", "action": "try"}).content.decode()
    assert "The job would fail before its first item." in page
    assert "ValueError: the source is gone" in page


def test_trying_shows_what_an_operation_outside_transactions_would_find(person: Callable[..., Any]) -> None:
    event = Event.objects.create(name="TRIED", venue="Here", starts_at=timezone.now())
    ticket = Ticket.objects.create(event=event, code="T1", seat="1", price=100)
    client = logged_in(person("issuer", "ticketing.change_ticket"))
    page = client.post("/operations/issue-tickets/", {"action": "try"}).content.decode()
    assert f"The first ones: <code>{ticket.pk}</code>." in page
    ticket.refresh_from_db()
    assert ticket.issued_at is None


def test_trying_with_mistakes_is_the_form_again(as_owner: Client) -> None:
    assert as_owner.post(ROWS, {"items": "number\nmany", "action": "try"}).status_code == 422
    assert as_owner.post(DEPOSIT, {"amount": "much", "action": "try"}).status_code == 422
    assert as_owner.post(NOTE, {"items": "", "action": "try"}).status_code == 422


def test_trying_once_more_while_one_goes_on_is_refused_and_keeps_the_form(as_owner: Client, owner: Any) -> None:
    with elsewhere() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [dry_run._lock_of(owner)])
        response = as_owner.post(ROWS, {"file": csv("number\n1\n"), "action": "try"})
    assert response.status_code == 409
    assert "A dry run of yours is going on" in response.content.decode()
    as_owner.post(ROWS, hidden(response) | {"action": "start"})
    assert Job.objects.get().input_name == "rows.csv"


def test_what_an_item_says_is_text_on_the_page(as_owner: Client) -> None:
    page = as_owner.post(NOTE, {"items": "<script>alert(1)</script>", "action": "try"}).content.decode()
    assert "<script>alert" not in page


def test_who_may_not_submit_may_not_try(as_owner: Client) -> None:
    assert as_owner.post("/operations/guarded/", {"items": "a", "action": "try"}).status_code == 403
    assert not Effect.objects.exists()
