"""Submitting: one transaction, one active job per user, one job per form, nothing stored of what is refused."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django_q.models import OrmQ

from bulkops import idempotency, services
from bulkops.exceptions import (
    ActiveJobExists,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
    InvalidItems,
    InvalidParams,
    InvalidSubmission,
    NotPermitted,
    SubmissionBusy,
    UnknownOperation,
)
from bulkops.models import Chunk, Event, IdempotencyKey, Job, Manifest, Turn
from bulkops.services import submitting
from bulkops.states import JobState
from tests.sample.models import Effect

PRESSES = 50


def press_at_once(count: int, press: Any) -> list[Any]:
    """Call `press` from so many threads at one moment, each over a connection of its own; return what each got."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        try:
            barrier.wait()
            results[index] = press()
        except Exception as error:  # the answer under test
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def assert_one_job(results: list[Any]) -> Job:
    job = Job.objects.get()
    assert Counter(type(result).__name__ for result in results) == {"Job": 1, "ActiveJobExists": PRESSES - 1}
    assert {result.job.pk for result in results if isinstance(result, ActiveJobExists)} == {job.pk}
    return job


def nothing_is_stored() -> bool:
    tables = (Job, Turn, Chunk, Manifest, Event, IdempotencyKey, OrmQ)
    return not any(table.objects.exists() for table in tables)


@pytest.mark.django_db(transaction=True)
def test_of_50_parallel_presses_one_makes_a_job_and_49_are_told_which(owner):
    results = press_at_once(PRESSES, lambda: services.submit(user=owner, operation="note", items=["a", "b"]))
    job = assert_one_job(results)
    assert (Chunk.objects.count(), Turn.objects.count(), OrmQ.objects.count()) == (1, 1, 1)
    assert job.slot == f"user:{owner.pk}"


@pytest.mark.django_db(transaction=True)
def test_with_the_lock_taken_away_the_constraint_alone_lets_one_through(owner, monkeypatch):
    monkeypatch.setattr(submitting, "lock_user", lambda user: None)
    results = press_at_once(PRESSES, lambda: services.submit(user=owner, operation="note", items=["a", "b"]))
    assert_one_job(results)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locked", [True, False], ids=["locked", "constraint alone"])
def test_one_rendered_form_makes_one_job_pressed_50_times_at_once_and_50_times_later(
    owner, worker, monkeypatch, locked
):
    if not locked:
        monkeypatch.setattr(submitting, "lock_user", lambda user: None)

    def press() -> Job:
        return services.submit(user=owner, operation="note", items=["a", "b", "c"], idempotency_key="one-form")

    results = press_at_once(PRESSES, press)
    job = Job.objects.get()
    assert {result.pk for result in results} == {job.pk}
    assert sum(not result.replayed for result in results) == 1
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert {press().pk for _ in range(PRESSES)} == {job.pk}
    assert Job.objects.count() == 1
    assert Effect.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_two_users_do_not_wait_for_each_other(owner, stranger):
    with transaction.atomic():
        services.lock_user(owner)
        results = press_at_once(1, lambda: services.submit(user=stranger, operation="note", items=["a"]))
    assert isinstance(results[0], Job)


@pytest.mark.django_db(transaction=True)
def test_a_user_row_locked_for_long_is_answered_within_the_lock_timeout(owner, settings):
    settings.BULKOPS = {"lock_timeout_seconds": 0.2}
    with transaction.atomic():
        services.lock_user(owner)
        results = press_at_once(1, lambda: services.submit(user=owner, operation="note", items=["a"]))
    assert isinstance(results[0], SubmissionBusy)
    assert nothing_is_stored()


@pytest.mark.django_db(transaction=True)
def test_rows_that_refer_to_the_user_can_be_written_while_it_is_locked(owner):
    def log_in() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        Event.objects.create(job=job, kind="submitted", actor=owner)

    job = services.submit(user=owner, operation="note", items=["a"])
    with transaction.atomic():
        services.lock_user(owner)
        assert press_at_once(1, log_in) == [None]


@pytest.mark.django_db
def test_a_rolled_back_submission_leaves_nothing(owner):
    with transaction.atomic():
        services.submit(user=owner, operation="note", items=["a"])
        transaction.set_rollback(True)
    assert nothing_is_stored()


REFUSED = [
    ({"operation": "no-such"}, UnknownOperation, "no-such"),
    ({"operation": "guarded", "items": ["a"]}, NotPermitted, "may not run"),
    ({"operation": "note"}, InvalidItems, "needs items"),
    ({"operation": "deposit", "params": {"amount": "many"}}, InvalidParams, "amount: Enter a whole number"),
    ({"operation": "deposit", "params": {"amont": 1}}, InvalidParams, "amont"),
    ({"operation": "deposit", "params": {"amount": None}}, InvalidParams, "required"),
    ({"operation": "note", "items": ["a"], "params": {"x": 1}}, InvalidParams, "no such parameter"),
    ({"operation": "note", "items": ["a"], "limit": 0}, InvalidSubmission, "limit"),
    ({"operation": "note", "items": ["a"], "parallelism": 5}, InvalidSubmission, "between 1 and 4"),
    ({"operation": "note", "items": [float("nan")]}, InvalidItems, "Item 0 cannot be stored"),
    ({"operation": "note", "items": ["x" * 70_000]}, InvalidItems, "larger than 65,536 bytes"),
    ({"operation": "rows", "items": [{"number": "1"}, {"number": "none"}]}, InvalidItems, "Item 1, number"),
    ({"operation": "rows", "items": [{"note": "no number"}]}, InvalidItems, "required"),
    ({"operation": "rows", "items": ["bare"]}, InvalidItems, "not an object"),
    ({"operation": "note", "items": ["a"], "metadata": {"a": "\x00"}}, InvalidSubmission, "NUL"),
    ({"operation": "note", "items": ["a"], "metadata": {"a": float("nan")}}, InvalidSubmission, "as JSON"),
    ({"operation": "note", "items": ["a"], "metadata": {"a": object()}}, InvalidSubmission, "as JSON"),
    ({"operation": "note", "items": ["a"], "metadata": {"a": "x" * 70_000}}, InvalidSubmission, "65,536"),
    ({"operation": "note", "items": ["a"], "metadata": ["a"]}, InvalidSubmission, "an object"),
    ({"operation": "note", "items": ["a"], "idempotency_key": ""}, InvalidIdempotencyKey, "1 to 255"),
    ({"operation": "note", "items": ["a"], "idempotency_key": "a b"}, InvalidIdempotencyKey, "visible"),
    ({"operation": "note", "items": ["a"], "idempotency_key": "k" * 256}, InvalidIdempotencyKey, "255"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("what", "error", "words"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_is_refused_is_refused_in_words_and_leaves_nothing(owner, what, error, words):
    with pytest.raises(error, match=words):
        services.submit(user=owner, **what)
    assert nothing_is_stored()


@pytest.mark.django_db
def test_every_bad_item_is_named_with_its_position_and_field(owner):
    items = [{"number": "1"}, {"number": "x"}, {"number": "2"}, {"number": "-1"}]
    with pytest.raises(InvalidItems) as refused:
        services.submit(user=owner, operation="rows", items=items)
    assert [(position, field) for position, field, _ in refused.value.errors] == [(1, "number"), (3, "number")]


@pytest.mark.django_db
def test_an_inactive_user_may_not_submit(owner):
    owner.is_active = False
    with pytest.raises(NotPermitted):
        services.submit(user=owner, operation="note", items=["a"])


@pytest.mark.django_db
def test_a_key_for_another_submission_is_refused_and_another_users_key_is_another_key(owner, stranger):
    job = services.submit(user=owner, operation="note", items=["a"], idempotency_key='"quoted"')
    with pytest.raises(IdempotencyKeyReused):
        services.submit(user=owner, operation="note", items=["b"], idempotency_key="quoted")
    other = services.submit(user=stranger, operation="note", items=["a"], idempotency_key="quoted")
    assert other.pk != job.pk


@pytest.mark.django_db
def test_a_key_is_forgotten_after_a_day(owner, settings):
    job = services.submit(user=owner, operation="note", items=["a"], idempotency_key="k")
    services.cancel(job=job, actor=owner)
    settings.BULKOPS = {"idempotency_hours": 0}
    again = services.submit(user=owner, operation="note", items=["b"], idempotency_key="k")
    assert again.pk != job.pk


@pytest.mark.django_db
def test_a_refusal_spends_no_key(owner):
    active = services.submit(user=owner, operation="note", items=["a"])
    with pytest.raises(ActiveJobExists):
        services.submit(user=owner, operation="note", items=["b"], idempotency_key="k")
    services.cancel(job=active, actor=owner)
    assert not services.submit(user=owner, operation="note", items=["b"], idempotency_key="k").replayed


@pytest.mark.django_db
def test_submitting_takes_a_bounded_number_of_round_trips(owner, django_assert_max_num_queries):
    submission = services.check(user=owner, operation="note", items=range(5_000), parallelism=2)
    # Savepoint in and out (a transaction outside of tests), lock timeout there and back, user, slot, job, event,
    # COPYs, turns, and two statements a message.
    with django_assert_max_num_queries(16):
        services.record(submission)


@pytest.mark.django_db
def test_fingerprints_depend_on_every_part(owner):
    user = get_user_model().objects.get(pk=owner.pk)
    base: dict[str, Any] = {"user": user, "operation": "note", "items": ["a"]}
    same = services.check(**base).fingerprint()
    assert services.check(**base).fingerprint() == same
    for change in ({"items": ["b"]}, {"limit": 1}, {"name": "x"}, {"tags": ["x"]}, {"metadata": {"x": 1}}):
        assert services.check(**(base | change)).fingerprint() != same
    assert idempotency.parse('"k"') == idempotency.parse("k") == "k"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operation", "wanted", "given"),
    [("note", None, None), ("note", 2.5, 2.5), ("refund-orders", None, 25.0), ("refund-orders", 5, 5)],
)
def test_a_speed_limit_is_the_submitters_or_else_the_operations(person, operation, wanted, given):
    payer = person("payer", "ticketing.change_order")
    job = services.submit(user=payer, operation=operation, items=["1"], rate_per_second=wanted)
    job.refresh_from_db()
    assert job.rate_per_second == given


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operation", "wanted", "words"),
    [
        ("refund-orders", 26, "limited to 25 items per second"),
        ("note", 0, "items per second, from 0.001 to 100,000"),
        ("note", -1, "items per second, from 0.001"),
        ("note", 1e6, "items per second, from 0.001"),
        ("note", float("nan"), "items per second, from 0.001"),
        ("note", "5", "items per second, from 0.001"),
        ("note", True, "items per second, from 0.001"),
    ],
)
def test_a_speed_limit_that_cannot_be_is_refused_in_words(person, operation, wanted, words):
    payer = person("payer", "ticketing.change_order")
    with pytest.raises(InvalidSubmission, match=words):
        services.submit(user=payer, operation=operation, items=["1"], rate_per_second=wanted)
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_another_speed_limit_is_another_submission_to_a_key_and_the_operations_own_is_the_same(person):
    what = {"user": person("payer", "ticketing.change_order"), "operation": "refund-orders", "items": ["1"]}
    plain, own, slower = (services.check(rate_per_second=rate, **what).fingerprint() for rate in (None, 25.0, 5.0))
    assert plain == own != slower


@pytest.mark.django_db
def test_the_hosts_own_transaction_gets_its_lock_timeout_back(owner):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '90ms'")
        services.submit(user=owner, operation="note", items=["a"])
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("90ms",)
