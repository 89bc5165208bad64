"""The demo's operations as jobs: from the submission to what the owner finds afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkops import services
from bulkops.models import Outcome
from bulkops.states import JobState
from ticketing.models import Ticket

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def seller(transactional_db: None, person: Any) -> Any:
    return person("seller", "ticketing.change_ticket")


def outcomes(job: Any) -> list[tuple[str, str]]:
    return list(Outcome.objects.filter(job=job).order_by("position").values_list("state", "message"))


def test_all_tickets_are_repriced_once(seller: Any, worker: Any, tickets: list[Ticket]) -> None:
    job = worker.finish(services.submit(user=seller, operation="reprice-tickets", params={"cents": 5}))
    assert (job.state, job.total) == (JobState.COMPLETED, 3)
    assert list(Ticket.objects.values_list("price", flat=True)) == [1_005, 2_005, 3_005]


def test_each_item_has_its_outcome_in_words(seller: Any, worker: Any, tickets: list[Ticket]) -> None:
    items = [str(tickets[0].pk), str(tickets[2].pk), "0", "AUR-1"]
    params = {"cents": -1_500}
    job = worker.finish(services.submit(user=seller, operation="reprice-tickets", params=params, items=items))
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert outcomes(job) == [
        ("failed", "ValueError: The price would become negative."),
        ("succeeded", ""),
        ("skipped", "no such ticket"),
        ("failed", "ValueError: 'AUR-1' is no ticket number."),
    ]
    assert list(Ticket.objects.values_list("price", flat=True)) == [1_000, 2_000, 1_500]


def test_the_images_of_a_job_are_where_its_results_say(
    seller: Any, worker: Any, tickets: list[Ticket], client: Client
) -> None:
    job = worker.finish(services.submit(user=seller, operation="issue-tickets"))
    assert (job.state, job.total) == (JobState.COMPLETED, 3)
    client.force_login(seller)
    for outcome in Outcome.objects.filter(job=job):
        response = client.get(outcome.result["address"])
        assert response.status_code == 200
        assert outcome.result["code"] in response["Content-Disposition"]
    assert not Ticket.objects.filter(issued_at=None).exists()


def test_with_every_image_made_the_next_job_has_nothing_to_do(seller: Any, worker: Any, tickets: list[Ticket]) -> None:
    Ticket.objects.update(issued_at="2027-01-01T00:00Z")
    job = worker.finish(services.submit(user=seller, operation="issue-tickets"))
    assert (job.state, job.total) == (JobState.COMPLETED, 0)


@pytest.mark.parametrize("model", ["event", "ticket", "order"])
@pytest.mark.parametrize("page", ["", "?q=AUR", "add/"])
def test_the_admins_pages_open(admin_client: Client, tickets: list[Ticket], model: str, page: str) -> None:
    assert admin_client.get(f"/admin/ticketing/{model}/{page}").status_code == 200
