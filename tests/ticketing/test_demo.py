"""The demo's data is the same each time, and its job is one that moves."""

from __future__ import annotations

from typing import Any

import pytest

from bulkops import NotPermitted
from bulkops.models import Job
from ticketing import demo
from ticketing.models import Event, Order, Ticket

pytestmark = pytest.mark.django_db


def content() -> list[tuple[Any, ...]]:
    return list(Ticket.objects.order_by("code").values_list("event__name", "code", "seat", "price"))


def test_loading_makes_thousands_of_tickets_and_orders_in_few_statements(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(60):
        loaded = demo.load()
    models = {"events": Event, "tickets": Ticket, "orders": Order}
    assert loaded == {name: model.objects.count() for name, model in models.items()}
    assert loaded["tickets"] >= 5_000
    assert loaded["orders"] >= 2_000
    assert loaded["events"] >= 3


@pytest.mark.slow
def test_loading_again_adds_nothing_and_changes_nothing() -> None:
    first = demo.load()
    Ticket.objects.filter(code="AUR-00001").update(price=7)
    before = content()
    assert demo.load() == first
    assert content() == before


@pytest.mark.slow
def test_loading_again_brings_back_what_is_missing() -> None:
    demo.load()
    before = content()
    Ticket.objects.filter(code__endswith="7").delete()
    Order.objects.filter(number__endswith="7").delete()
    loaded = demo.load()
    assert content() == before
    assert Order.objects.count() == loaded["orders"]


def test_the_job_draws_every_ticket(person: Any) -> None:
    demo.load()
    job = demo.start_job(person("seller", "ticketing.change_ticket"))
    assert (job.operation, job.total, job.is_active) == ("issue-tickets", Ticket.objects.count(), True)


def test_a_second_start_answers_with_the_first_job(person: Any) -> None:
    demo.load()
    seller = person("seller", "ticketing.change_ticket")
    assert demo.start_job(seller) == demo.start_job(seller)
    assert Job.objects.count() == 1


def test_tickets_that_have_their_image_are_drawn_again(person: Any) -> None:
    demo.load()
    Ticket.objects.update(issued_at="2026-01-01T00:00Z")
    job = demo.start_job(person("seller", "ticketing.change_ticket"))
    assert job.total == Ticket.objects.count()


def test_without_data_the_job_loads_it_first(person: Any) -> None:
    assert demo.start_job(person("seller", "ticketing.change_ticket")).total >= 5_000


def test_who_may_not_change_tickets_cannot_start_it(stranger: Any) -> None:
    with pytest.raises(NotPermitted):
        demo.start_job(stranger)
