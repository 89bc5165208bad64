"""The tickets' admin: prices changed and images made over what was chosen in the list."""

from __future__ import annotations

import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bulkops import services
from bulkops.clock import from_now
from bulkops.conf import conf
from bulkops.manifests import decode
from bulkops.models import Cluster, Job, Manifest
from bulkops.states import JobState
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/ticketing/ticket/"
REPRICE = "job:reprice-tickets"
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@pytest.fixture
def seller(transactional_db: None, person: Any) -> Any:
    user = person("seller", "ticketing.view_ticket", "ticketing.change_ticket")
    user.is_staff = True
    user.save()
    return user


@pytest.fixture
def client(seller: Any) -> Client:
    """The seller's, logged in."""
    client = Client()
    client.force_login(seller)
    return client


@pytest.fixture
def alive(transactional_db: None) -> Cluster:
    """A cluster that counts as living; nobody works."""
    return Cluster.objects.create(name="alive", alive_until=from_now(600), workers=1, queues=["default"])


@pytest.fixture
def many(event: Event) -> int:
    """As many tickets as the largest hall has seats, and one more of another event."""
    count = 12_345
    rows = (Ticket(event=event, code=f"AUR-{n:05}", seat=f"1-{n}", price=1_000) for n in range(count))
    Ticket.objects.bulk_create(rows, batch_size=1_000)
    other = Event.objects.create(name="Blue Hour Trio", venue="Cellar", starts_at=event.starts_at)
    Ticket.objects.create(event=other, code="BLU-1", seat="1-1", price=1_000)
    return count


def choose(client: Client, keys: Iterable[Any], *, address: str = LIST, across: bool = False, **more: Any) -> Any:
    """What the list sends when the action was chosen and “Go” pressed."""
    chosen = {"action": REPRICE, "index": "0", "select_across": str(int(across)), "_selected_action": list(keys)}
    return client.post(address, chosen | more)


def form_of(page: Any) -> dict[str, Any]:
    """What the page's form carries unseen."""
    form: dict[str, Any] = {"_selected_action": []}
    for name, value in HIDDEN.findall(page.content.decode().split("<form method", 2)[-1]):
        if name == "_selected_action":
            form[name].append(value)
        else:
            form[name] = value
    return form


def press(client: Client, page: Any, *, address: str = LIST, cents: Any = 5, **changed: Any) -> Any:
    """Send the page's form, with other values where they are given."""
    return client.post(address, form_of(page) | {"param-cents": str(cents), "job-limit": ""} | changed)


def items_of(job: Job) -> list[Any]:
    payloads = Manifest.objects.filter(job=job).order_by("number").values_list("payload", flat=True)
    return [item for payload in payloads for item in decode(payload)]


def prices() -> list[int]:
    return list(Ticket.objects.order_by("pk").values_list("price", flat=True))


def words(response: Any) -> str:
    """The text of the page's content, without tags."""
    content = response.content.decode().split('id="content-main"', 1)[1]
    return " ".join(re.sub(r"<[^>]+>", " ", content).split())


def test_the_list_offers_the_jobs(client: Client, tickets: list[Ticket]) -> None:
    page = client.get(LIST).content.decode()
    assert '<option value="job:reprice-tickets">Reprice tickets…</option>' in page
    assert '<option value="job:issue-tickets">Issue tickets…</option>' in page


def test_choosing_shows_what_will_be_changed_and_starts_nothing(
    client: Client, alive: Cluster, tickets: list[Ticket]
) -> None:
    page = choose(client, [tickets[0].pk, tickets[2].pk])
    assert page.status_code == 200
    assert "Change the price of each ticket by some cents." in words(page)
    assert "2 tickets will be changed: AUR-1, AUR-3." in words(page)
    assert 'name="param-cents"' in page.content.decode()
    assert form_of(page)["_selected_action"] == [str(tickets[0].pk), str(tickets[2].pk)]
    assert not Job.objects.exists()


def test_start_changes_the_ticked_rows_and_leads_to_the_job(
    client: Client, seller: Any, worker: Any, tickets: list[Ticket]
) -> None:
    answer = press(client, choose(client, [tickets[0].pk, tickets[2].pk]))
    job = Job.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, job.get_absolute_url())
    assert (job.owner, job.total, job.collects) == (seller, 2, False)
    assert "Started for 2 tickets." in client.get(job.get_absolute_url()).content.decode()
    assert "from tickets chosen in the admin" in client.get(job.get_absolute_url()).content.decode()
    assert worker.finish(job).state == JobState.COMPLETED
    assert prices() == [1_005, 2_000, 3_005]


def test_images_are_made_of_the_ticked_rows(client: Client, worker: Any, tickets: list[Ticket]) -> None:
    page = choose(client, [tickets[1].pk], action="job:issue-tickets")
    assert "1 ticket will be changed: AUR-2." in words(page)
    assert client.post(LIST, form_of(page)).status_code == 302
    assert worker.finish(Job.objects.get()).state == JobState.COMPLETED
    assert list(Ticket.objects.exclude(issued_at=None)) == [tickets[1]]


@pytest.mark.slow
def test_select_all_travels_as_the_query_and_is_read_at_start(
    client: Client, alive: Cluster, event: Event, many: int
) -> None:
    address = f"{LIST}?event__id__exact={event.pk}"
    first = Ticket.objects.first().pk
    page = choose(client, range(first, first + 100), address=address, across=True)
    assert "12,345 tickets will be changed:" in words(page)
    assert "AUR-00004 and 12,340 more" in words(page)
    assert form_of(page)["_selected_action"] == [str(first)]
    assert len(page.content) < 20_000

    Ticket.objects.filter(code="AUR-00007").delete()
    tracemalloc.start()
    with CaptureQueriesContext(connection) as asked:
        answer = press(client, page, address=address)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    job = Job.objects.get()
    assert answer["Location"] == job.get_absolute_url()
    expected = Ticket.objects.filter(event=event).order_by("pk").values_list("pk", flat=True)
    assert items_of(job) == list(expected)
    assert job.total == many - 1
    # A page of keys each, and what any request of the admin asks besides.
    assert len(asked) <= many / conf().chunk_items + 40
    assert peak < 16 * 1024 * 1024
    assert job.metadata == {"model": "ticketing.ticket", "filters": f"event__id__exact={event.pk}"}


def test_a_search_in_the_address_narrows_select_all(client: Client, alive: Cluster, tickets: list[Ticket]) -> None:
    address = f"{LIST}?q=AUR-2"
    page = choose(client, [tickets[1].pk], address=address, across=True)
    press(client, page, address=address)
    assert items_of(Job.objects.get()) == [tickets[1].pk]


def test_only_the_first_are_taken_in_the_order_that_is_shown(
    client: Client, alive: Cluster, tickets: list[Ticket]
) -> None:
    address = f"{LIST}?o=-1"  # the list shows the last code first
    page = choose(client, [tickets[2].pk], address=address, across=True)
    assert "AUR-1, AUR-2, AUR-3" in words(page)
    press(client, page, address=address, **{"job-limit": "2"})
    job = Job.objects.get()
    assert (items_of(job), job.limit) == ([tickets[0].pk, tickets[1].pk], 2)


# -- pressed twice


def test_a_double_press_makes_one_job(client: Client, alive: Cluster, tickets: list[Ticket]) -> None:
    page = choose(client, [tickets[0].pk])
    first, second = press(client, page), press(client, page)
    assert first["Location"] == second["Location"] == Job.objects.get().get_absolute_url()
    assert "This form was sent already" in client.get(second["Location"]).content.decode()


def test_presses_at_the_same_moment_make_one_job(client: Client, alive: Cluster, tickets: list[Ticket]) -> None:
    page = choose(client, [tickets[0].pk])
    together = threading.Barrier(6)

    def once(_: int) -> str:
        own = Client()
        own.cookies = client.cookies
        together.wait(20)
        try:
            return press(own, page)["Location"]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as people:
        locations = set(people.map(once, range(6)))
    assert locations == {Job.objects.get().get_absolute_url()}


def test_a_second_press_finds_the_job_that_has_emptied_the_choice(
    client: Client, worker: Any, tickets: list[Ticket]
) -> None:
    address = f"{LIST}?issued_at__isempty=1"
    page = choose(client, [tickets[0].pk], address=address, across=True, action="job:issue-tickets")
    assert client.post(address, form_of(page)).status_code == 302
    job = worker.finish(Job.objects.get())
    assert not Ticket.objects.filter(issued_at=None).exists()
    assert client.post(address, form_of(page))["Location"] == job.get_absolute_url()
    assert Job.objects.count() == 1


def test_a_spent_form_with_other_values_is_asked_about(client: Client, worker: Any, tickets: list[Ticket]) -> None:
    page = choose(client, [tickets[0].pk])
    press(client, page)
    worker.finish(Job.objects.get())
    again = press(client, page, cents=7)
    assert again.status_code == 422
    assert "sent before with other values" in words(again)
    assert press(client, again, cents=7).status_code == 302
    worker.drain()
    assert prices()[0] == 1_012


# -- refusals


def test_an_active_job_is_named_with_its_link(
    client: Client, seller: Any, alive: Cluster, tickets: list[Ticket]
) -> None:
    page = choose(client, [tickets[0].pk])
    job = services.submit(user=seller, operation="reprice-tickets", params={"cents": 1}, items=[1, 2])
    refused = press(client, page)
    assert refused.status_code == 409
    assert "Not started: Your job “ Reprice tickets ” is still active, at 0 %" in words(refused)
    assert f'href="{job.get_absolute_url()}"' in refused.content.decode()
    assert 'name="param-cents" value="5"' in refused.content.decode()
    assert Job.objects.count() == 1
    services.cancel(job=job, actor=seller)
    assert press(client, refused).status_code == 302


def test_without_a_worker_nothing_is_started(client: Client, tickets: list[Ticket]) -> None:
    page = choose(client, [tickets[0].pk])
    assert "No worker is running" in words(page)
    refused = press(client, page)
    assert refused.status_code == 503
    assert words(refused).count("No worker is running") == 1
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("cents", "limit", "said"),
    [
        ("", "", "This field is required."),
        ("much", "", "Enter a whole number."),
        ("5", "0", "Ensure this value is greater than or equal to 1."),
    ],
)
def test_wrong_values_are_marked_and_kept(
    client: Client, alive: Cluster, tickets: list[Ticket], cents: str, limit: str, said: str
) -> None:
    refused = press(client, choose(client, [tickets[0].pk]), cents=cents, **{"job-limit": limit})
    assert refused.status_code == 422
    assert "Nothing was started: look at what is marked below." in words(refused)
    assert said in words(refused)
    assert cents == "" or f'value="{cents}"' in refused.content.decode()
    assert not Job.objects.exists()


def test_who_has_lost_the_right_is_told_so(
    client: Client, seller: Any, alive: Cluster, tickets: list[Ticket], person: Any
) -> None:
    page = choose(client, [tickets[0].pk])
    seller.user_permissions.remove(Permission.objects.get(codename="change_ticket"))
    refused = press(client, page)
    assert refused.status_code == 403
    assert "You may not change tickets." in words(refused)
    assert "job:" not in client.get(LIST).content.decode()
    assert not Job.objects.exists()


def test_a_choice_that_has_grown_much_is_shown_again(client: Client, alive: Cluster, event: Event) -> None:
    def add(first: int, count: int) -> None:
        Ticket.objects.bulk_create(
            Ticket(event=event, code=f"AUR-{n}", seat=f"1-{n}", price=1) for n in range(first, first + count)
        )

    add(0, 20)
    page = choose(client, [Ticket.objects.first().pk], across=True)
    add(20, 11)
    again = press(client, page)
    assert again.status_code == 409
    assert "The choice has changed: it was 20 tickets." in words(again)
    assert "31 tickets will be changed" in words(again)
    assert not Job.objects.exists()
    add(31, 2)
    assert press(client, again).status_code == 302
    assert Job.objects.get().total == 33


def test_rows_deleted_meanwhile_are_left_out_and_none_left_is_said(
    client: Client, alive: Cluster, tickets: list[Ticket]
) -> None:
    page = choose(client, [tickets[0].pk, tickets[1].pk])
    tickets[0].delete()
    press(client, page)
    assert items_of(Job.objects.get()) == [tickets[1].pk]
    Ticket.objects.all().delete()
    answer = choose(client, [tickets[1].pk])
    assert answer.status_code == 302
    assert "none of the chosen tickets is there any more" in client.get(LIST).content.decode()


# -- forged


def test_a_get_starts_nothing(client: Client, alive: Cluster, tickets: list[Ticket]) -> None:
    form = form_of(choose(client, [tickets[0].pk])) | {"param-cents": "5"}
    client.get(LIST, form)
    assert not Job.objects.exists()


def test_without_the_token_nothing_is_started(seller: Any, alive: Cluster, tickets: list[Ticket]) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(seller)
    form = {"action": REPRICE, "_selected_action": [tickets[0].pk], "job-start": "1", "param-cents": "5"}
    assert strict.post(LIST, form).status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize("key", ["0", "-1", "abc", "1.5", "9" * 30, "\x00", "1\x00", "' OR 1=1", ""])
def test_ids_that_are_no_rows_start_nothing(client: Client, alive: Cluster, tickets: list[Ticket], key: str) -> None:
    page = choose(client, [tickets[0].pk])
    assert choose(client, [key]).status_code == 302
    assert press(client, page, _selected_action=[key]).status_code == 302
    assert 'class="messagelist"' in client.get(LIST).content.decode()
    assert not Job.objects.exists()


def test_nothing_chosen_is_djangos_own_message(client: Client, alive: Cluster, tickets: list[Ticket]) -> None:
    assert choose(client, []).status_code == 302
    assert "Items must be selected" in client.get(LIST).content.decode()
    page = choose(client, [tickets[0].pk])
    press(client, page, _selected_action=[])
    assert not Job.objects.exists()


@pytest.mark.parametrize("query", ["nonsense=1", "event__id__exact=x", "event__name__foo=1", "event__id__exact=%00"])
def test_tampered_filters_start_nothing(client: Client, alive: Cluster, tickets: list[Ticket], query: str) -> None:
    # A list with nothing to choose between leaves the filter out.
    Event.objects.create(name="Blue Hour Trio", venue="Cellar", starts_at=tickets[0].event.starts_at)
    page = choose(client, [tickets[0].pk], across=True)
    answer = press(client, page, address=f"{LIST}?{query}")
    assert answer.status_code in {302, 400}
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"job-key": ""}, 400), ({"job-key": "a\x00b"}, 400), ({"job-count": "x"}, 409), ({"job-count": ""}, 409)],
)
def test_a_form_that_is_not_whole_is_shown_again(
    client: Client, alive: Cluster, tickets: list[Ticket], changed: dict[str, str], status: int
) -> None:
    again = press(client, choose(client, [tickets[0].pk]), **changed)
    assert again.status_code == status
    assert not Job.objects.exists()
    assert press(client, again).status_code == 302


def test_who_may_only_view_cannot_start(person: Any, alive: Cluster, tickets: list[Ticket]) -> None:
    viewer = person("viewer", "ticketing.view_ticket")
    viewer.is_staff = True
    viewer.save()
    client = Client()
    client.force_login(viewer)
    assert "job:" not in client.get(LIST).content.decode()
    form = {"action": REPRICE, "_selected_action": [tickets[0].pk], "job-start": "1", "param-cents": "5"}
    assert client.post(LIST, form | {"job-key": "k", "job-count": "1"}).status_code == 403
    assert not Job.objects.exists()


def test_text_of_rows_is_escaped(client: Client, alive: Cluster, event: Event) -> None:
    Event.objects.filter(pk=event.pk).update(name="<b>Aurora</b>")
    ticket = Ticket.objects.create(event=event, code="AUR-1", seat="1", price=1)
    page = choose(client, [ticket.pk], address=f"{LIST}?q=%22%3E%3Cscript%3E&event__id__exact={event.pk}", across=True)
    assert page.status_code == 302  # nothing is found
    page = choose(client, [ticket.pk], address=f"{LIST}?o=%22%3E%3Cscript%3Ex", across=True)
    assert "<script>x" not in page.content.decode()
