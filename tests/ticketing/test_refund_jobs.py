"""Refunding orders over real HTTP: each answer of the provider ends as an outcome in words, no order is paid twice."""

from __future__ import annotations

import logging
import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from django.utils.html import escape

from bulkops import InvalidParams, registry, services
from bulkops.exceptions import ItemSkipped
from bulkops.models import Outcome
from bulkops.states import JobState
from payments.models import Ask, Conduct
from payments.models import Refund as Made
from tests.sites import RealSite, free_port
from tests.ticketing.rude_servers import RudeServer, http_answer
from ticketing import provider
from ticketing.models import Event, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SMOOTH = {"latency_ms": 0, "busy": 0, "down": 0, "refused": 0, "cut": 0, "retry_after_seconds": 0}
REPEATING, HOLDING = "refund-orders", "refund-orders-held"
PARAMS = {"reason": "cancelled"}


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[RealSite]:
    """gunicorn with the provider, on the test database."""
    site = RealSite(tmp_path_factory.mktemp("site") / "web.log")
    with django_db_blocker.unblock():
        site.start()
    yield site
    site.kill()


@pytest.fixture
def conduct(site: RealSite, settings: Any, transactional_db: None) -> Callable[..., None]:
    """Lets the operations call that site, and tells its provider how to behave; at first without any trouble."""
    settings.PROVIDER_URL = f"http://127.0.0.1:{site.port}/payments/"

    def behave(**shares: Any) -> None:
        Conduct.objects.all().delete()
        Conduct.objects.create(**SMOOTH | shares)

    behave()
    return behave


@pytest.fixture
def rude(settings: Any) -> Iterator[Callable[..., RudeServer]]:
    """Lets the operations call a server that answers with those bytes."""
    started: list[RudeServer] = []

    def start(answer: bytes, *, silent: bool = False) -> RudeServer:
        started.append(RudeServer(answer, silent=silent))
        settings.PROVIDER_URL = started[-1].url
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: Any) -> None:
    """Attempts follow each other at once; how long the waits are is tested with the engine."""
    monkeypatch.setattr(type(registry.get(REPEATING)), "backoff", (0.001, 0.001))
    monkeypatch.setattr(type(registry.get(REPEATING)), "rate_per_second", None)
    monkeypatch.setattr(type(registry.get(REPEATING)), "max_failures", None)


@pytest.fixture
def orders(transactional_db: None) -> list[Order]:
    """Twelve orders of 10 to 120 euros."""
    event = Event.objects.create(name="Aurora Strings", venue="Old Customs House", starts_at=timezone.now())
    return Order.objects.bulk_create(Order(event=event, number=f"A-{n}", amount=1_000 * n) for n in range(1, 13))


@pytest.fixture
def seller(transactional_db: None, person: Any) -> Any:
    return person("seller", "ticketing.change_order")


@pytest.fixture
def run(seller: Any, worker: Any) -> Callable[..., Any]:
    """Runs a job to its end."""

    def run(operation: str = REPEATING, **options: Any) -> Any:
        return worker.finish(services.submit(user=seller, operation=operation, params=PARAMS, **options))

    return run


def outcome_of(job: Any, position: int = 0) -> Outcome:
    return Outcome.objects.get(job=job, position=position)


# -- a provider that answers


def test_every_order_is_refunded_once_and_says_so(conduct, orders, run):
    job = run()
    assert (job.state, job.total) == (JobState.COMPLETED, 12)
    made = {refund.order_number: refund for refund in Made.objects.all()}
    assert {number: refund.amount for number, refund in made.items()} == {one.number: one.amount for one in orders}
    for position, order in enumerate(Order.objects.order_by("pk")):
        assert order.refund_id == made[order.number].reference
        assert order.refund_key == made[order.number].key == f"{job.pk}:{position}"
        assert order.refunded_at is not None
        assert outcome_of(job, position).result == {"refund": order.refund_id}


def test_a_second_job_finds_nothing_to_refund(conduct, orders, run):
    run()
    assert run().total == 0
    job = run(items=["A-1", "A-99", "  A-2 "])
    assert [outcome_of(job, n).message for n in range(3)] == ["refunded before", "no such order", "refunded before"]
    assert Ask.objects.count() == 12


def test_a_refusal_fails_the_item_in_the_providers_words(conduct, orders, run):
    conduct(refused=0.5)
    job = run()
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    failed = Outcome.objects.filter(job=job, state="failed")
    words = set(Ask.objects.filter(status__in=[402, 409, 422]).values_list("words", flat=True))
    assert {outcome.message for outcome in failed} == {f"Refused: {word}" for word in words}
    assert {outcome.attempt for outcome in failed} == {1}
    assert Order.objects.exclude(refusal="").count() == failed.count() == 12 - Made.objects.count()
    assert run().total == 0  # what was refused is asked for again by name only


def test_an_order_that_was_refunded_elsewhere_is_refused_in_words(conduct, orders, run):
    Made.objects.create(reference="rf_1", key="else", order_number="A-1", amount=1)
    assert outcome_of(run(items=["A-1"])).message == "Refused: This order has been refunded already."


@pytest.mark.parametrize("operation", [REPEATING, HOLDING])
@pytest.mark.parametrize("trouble", ["busy", "down"])
def test_not_now_is_asked_again_until_it_works(conduct, orders, run, operation, trouble):
    conduct(**{trouble: 0.4}, seed=3)
    job = run(operation)
    assert job.state == JobState.COMPLETED
    statuses = Counter(Ask.objects.values_list("status", flat=True))
    assert statuses[201] == Made.objects.count() == 12
    assert statuses[429 if trouble == "busy" else 503] == sum(statuses.values()) - 12 > 0


def test_it_waits_as_long_as_the_provider_asks_for(conduct, orders, seller, worker):
    conduct(busy=1, retry_after_seconds=900)
    job = services.submit(user=seller, operation=REPEATING, params=PARAMS, items=["A-1"])
    before = timezone.now()
    worker.step()
    outcome = outcome_of(job)
    assert (outcome.state, outcome.message) == ("deferred", "The payment provider answered 429 Too Many Requests.")
    assert outcome.due >= before + timedelta(seconds=900)


def test_a_lost_answer_is_asked_for_again_with_the_same_key(conduct, orders, run):
    conduct(cut=0.4)
    job = run()
    assert job.state == JobState.COMPLETED
    lost = Ask.objects.filter(cut=True).count()
    assert lost > 0
    assert Ask.objects.filter(repeat=True).count() == Ask.objects.count() - 12 == lost
    assert Made.objects.count() == 12
    assert set(Made.objects.values_list("reference", flat=True)) == set(
        Order.objects.values_list("refund_id", flat=True)
    )


def test_answers_that_stay_lost_leave_the_item_in_doubt(conduct, orders, run, seller, worker):
    conduct(cut=1)
    job = run(items=["A-1"])
    outcome = outcome_of(job)
    assert (outcome.state, outcome.attempt) == ("in_doubt", 6)
    assert outcome.message.startswith("The payment provider was asked, and no answer came back (")
    assert Made.objects.count() == 1
    assert Order.objects.get(number="A-1").refunded_at is None
    conduct()
    child = worker.finish(services.retry(job=job, actor=seller, items="in_doubt"))
    assert outcome_of(child).result == {"refund": Made.objects.get().reference}
    assert Ask.objects.filter(key=f"{job.pk}:0").count() == 7


def test_without_keys_a_lost_answer_is_never_asked_for_again(conduct, orders, run):
    conduct(cut=0.4)
    job = run(HOLDING)
    doubtful = Outcome.objects.filter(job=job, state="in_doubt")
    assert doubtful.count() == Ask.objects.filter(cut=True).count() > 0
    assert Ask.objects.count() == Made.objects.count() == 12


def test_a_crash_before_the_order_was_marked_repeats_the_question_not_the_refund(conduct, orders, item_context):
    operation, context = registry.get(REPEATING), item_context()
    first = operation.process("A-1", PARAMS, context)
    Order.objects.update(refunded_at=None, refund_id="", refund_key="")
    assert operation.process("A-1", PARAMS, context) == first
    assert (Made.objects.count(), Ask.objects.filter(repeat=True).count()) == (1, 1)


def test_a_crash_after_the_order_was_marked_repeats_nothing(conduct, orders, item_context):
    operation, context = registry.get(REPEATING), item_context()
    first = operation.process("A-1", PARAMS, context)
    assert operation.process("A-1", PARAMS, context) == first
    assert Ask.objects.count() == 1
    with pytest.raises(ItemSkipped, match="refunded before"):
        operation.process("A-1", PARAMS, item_context())


@pytest.mark.parametrize("item", [7, None, "", " ", ["A-1"], {"number": "A-1"}])
def test_what_is_no_order_number_fails_in_words(conduct, orders, item_context, item):
    with pytest.raises(ValueError, match="is no order number"):
        registry.get(REPEATING).process(item, PARAMS, item_context())


# -- one that answers badly, or not at all

CREATED = "201 Created"
UNREADABLE = "The payment provider answered 201 Created, which does not say what was done."
BAD_ANSWERS = {
    "no JSON": (http_answer(CREATED, b"<html>"), UNREADABLE),
    "half of it": (http_answer(CREATED, b'{"id": "rf', length=99), "no answer came back (peer closed connection"),
    "too deep": (http_answer(CREATED, b"[" * 60_000), UNREADABLE),
    "not UTF-8": (http_answer(CREATED, b'{"id": "\xff"}'), UNREADABLE),
    "a list": (http_answer(CREATED, b"[]"), UNREADABLE),
    "no reference": (http_answer(CREATED, b"{}"), UNREADABLE),
    "a long reference": (http_answer(CREATED, b'{"id": "' + b"x" * 65 + b'"}'), UNREADABLE),
    "NUL in it": (http_answer(CREATED, b'{"id": "a\\u0000"}'), UNREADABLE),
    "nothing": (http_answer("204 No Content"), "The payment provider answered 204 No Content, which does not say"),
    "a huge body": (http_answer(CREATED, b" " * 1_000_000), "answer (201 Created) is too long to be read."),
    "broken inside": (http_answer("500 Internal Server Error"), "The payment provider answered 500 Internal Server"),
    "a gateway": (http_answer("504 Gateway Timeout", b"<html>"), "The payment provider answered 504 Gateway Timeout"),
    "no HTTP": (b"SSH-2.0-nonsense\r\n\r\n", "and no answer came back ("),
    "no word": (b"", "no answer came back (Server disconnected without sending a response"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_that_cannot_be_understood_is_asked_for_again_and_then_in_doubt(rude, orders, run, case):
    answer, words = BAD_ANSWERS[case]
    server = rude(answer)
    outcome = outcome_of(run(items=["A-1"]))
    assert (outcome.state, outcome.attempt, len(server.requests)) == ("in_doubt", 6, 6)
    assert words in outcome.message
    keys = {re.search(rb"idempotency-key: (\S+)", request, re.IGNORECASE)[1] for request in server.requests}
    assert keys == {f"{outcome.job_id}:0".encode()}
    assert Order.objects.get(number="A-1").refunded_at is None


@pytest.mark.parametrize("case", ["no JSON", "half of it", "a huge body", "broken inside", "no word"])
def test_with_hold_it_is_in_doubt_at_once(rude, orders, run, case):
    answer, words = BAD_ANSWERS[case]
    server = rude(answer)
    outcome = outcome_of(run(HOLDING, items=["A-1"]))
    assert (outcome.state, outcome.attempt, len(server.requests)) == ("in_doubt", 1, 1)
    assert words in outcome.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http_answer("409 Conflict", b"<html>"), "Refused: 409 Conflict"),
        (http_answer("402 Payment Required", b'{"detail": 7}'), "Refused: 402 Payment Required"),
        (http_answer("402 Payment Required", b'{"detail": "' + b"x" * 5_000 + b'"}'), f"Refused: {'x' * 500}"),
        (http_answer("402 \r\nX: y"), "Refused: 402"),
    ],
)
def test_a_refusal_of_any_shape_has_words(rude, orders, run, answer, words):
    server = rude(answer)
    outcome = outcome_of(run(items=["A-1"]))
    assert (outcome.state, outcome.message, len(server.requests)) == ("failed", words, 1)
    assert f"Refused: {Order.objects.get(number='A-1').refusal}" == words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http_answer("401 Unauthorized", b'{"detail": "Who are you?"}'), "401 Unauthorized. Who are you?"),
        (http_answer("404 Not Found", b"<html>"), "404 Not Found."),
        (http_answer("499 \r\nX: y"), "499."),
    ],
)
def test_a_request_that_is_not_served_fails_and_says_nothing_of_the_order(rude, orders, run, answer, words):
    server = rude(answer)
    outcome = outcome_of(run(items=["A-1"]))
    assert (outcome.state, outcome.message) == ("failed", f"NotServed: The payment provider answered {words}")
    assert (len(server.requests), Order.objects.get(number="A-1").refusal) == (1, "")


def test_a_redirect_is_not_followed(rude, orders, run):
    elsewhere = rude(http_answer(CREATED, b'{"id": "rf_1"}'))
    for status in ("302 Found", "307 Temporary Redirect"):
        rude(http_answer(status, b"", f"Location: {elsewhere.url}"))
        assert f"answered {status}, which" in outcome_of(run(HOLDING, items=["A-1"])).message
    assert elsewhere.requests == []


@pytest.mark.parametrize("operation", [REPEATING, HOLDING])
def test_a_provider_that_is_not_there_fails_the_items_after_some_attempts(settings, orders, run, operation):
    settings.PROVIDER_URL = f"http://127.0.0.1:{free_port()}/"
    job = run(operation, items=["A-1", "A-2"])
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    for position in (0, 1):
        outcome = outcome_of(job, position)
        assert (outcome.state, outcome.attempt, outcome.error_code) == ("failed", 6, "ProviderAway")
        assert "can't be reached ([Errno 111] Connection refused)" in outcome.message


def test_a_provider_that_stays_away_stops_the_job_before_every_order_has_failed(
    settings, orders, seller, worker, conduct, monkeypatch
):
    url, settings.PROVIDER_URL = settings.PROVIDER_URL, f"http://127.0.0.1:{free_port()}/"
    monkeypatch.setattr(type(registry.get(REPEATING)), "max_failures", 0.25)
    more = [Order(event=orders[0].event, number=f"B-{n}", amount=1) for n in range(28)]
    Order.objects.bulk_create(more)
    job = worker.finish(services.submit(user=seller, operation=REPEATING, params=PARAMS))
    assert (job.state, Outcome.objects.filter(job=job, state="failed").count()) == (JobState.PAUSED, 20)
    settings.PROVIDER_URL = url
    services.resume(job=job, actor=seller)
    assert worker.finish(job).state == JobState.COMPLETED_WITH_ERRORS
    assert Made.objects.count() == 20
    child = services.retry(job=job, actor=seller, items="failed")
    assert worker.finish(child).state == JobState.COMPLETED
    assert Made.objects.count() == 40


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"", "no answer came back ("), (http_answer(CREATED, b"{", length=9), "no answer came back (")],
)
def test_a_provider_that_falls_silent_is_left_after_a_while(rude, orders, run, monkeypatch, answer, words):
    monkeypatch.setattr(provider, "TIMEOUT", dict.fromkeys(provider.TIMEOUT, 0.2))
    rude(answer, silent=True)
    outcome = outcome_of(run(HOLDING, items=["A-1"]))
    assert outcome.state == "in_doubt"
    assert words in outcome.message


def test_the_environments_proxies_are_not_used(conduct, orders, run, monkeypatch):
    provider._client.cache_clear()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert run(items=["A-1"]).state == JobState.COMPLETED


def test_no_log_has_a_key(conduct, orders, run, site, settings, caplog):
    conduct(busy=0.2, down=0.2, cut=0.2, refused=0.2)
    with caplog.at_level(logging.DEBUG):
        job = run()
    logs = caplog.text + site.log.read_text()
    assert "httpx" in logs
    assert settings.PROVIDER_KEY not in logs
    assert not re.search(rf"{job.pk}:\d", logs)


# -- the page


def test_without_a_provider_nothing_is_started(settings, orders, seller, client: Client):
    settings.PROVIDER_URL = ""
    with pytest.raises(InvalidParams, match="BULKOPS_DEMO_PROVIDER_URL"):
        services.submit(user=seller, operation=REPEATING, params=PARAMS)
    client.force_login(seller)
    assert "BULKOPS_DEMO_PROVIDER_URL" in client.post("/operations/refund-orders/", PARAMS).content.decode()


def test_from_the_form_to_the_list_of_refunds(conduct, orders, seller, worker, client: Client):
    conduct(refused=0.3)
    client.force_login(seller)
    address = "/operations/refund-orders/"
    form = client.get(address).content.decode()
    assert "The event was cancelled." in form
    preview = client.post(address, PARAMS | {"items": "A-1\nA-2\nA-3\nA-4\n", "action": "preview"}).content.decode()
    assert "A-4" in preview
    started = client.post(address, PARAMS | {"items": "A-1\nA-2\nA-3\nA-4\n", "action": "start"})
    page = started["Location"]
    assert "<progress" in client.get(page).content.decode()
    worker.drain()
    card, items = client.get(page).content.decode(), client.get(f"{page}items/").content.decode()
    asks = Ask.objects.all()
    assert {ask.status == 201 for ask in asks} == {True, False}
    for ask in asks:  # of a refund, the words are its reference
        assert escape(ask.words) in items
        assert (escape(ask.words) in card) == (ask.status != 201)
