"""The provider moves money once for a key, says no in words, and records whatever it was asked."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection

from payments.models import Ask, FirstAnswer, Refund
from tests.payments.conftest import ORDER


def asks() -> list[tuple[Any, ...]]:
    return list(Ask.objects.order_by("pk").values_list("key", "order_number", "status", "repeat"))


def test_money_is_given_back_and_recorded(customer, conduct):
    answer = customer.ask()
    refund = Refund.objects.get()
    assert (answer.status_code, answer.json()) == (201, {"id": refund.reference, "order": "A-1", "amount": 1_250})
    assert (refund.key, refund.order_number, refund.amount, refund.reason) == ("k1", "A-1", 1_250, "cancelled")
    assert asks() == [("k1", "A-1", 201, False)]


def test_a_repeated_key_is_answered_as_the_first_time_and_counted(customer, conduct):
    first, second, third = (customer.ask() for _ in range(3))
    assert first.json() == second.json() == third.json()
    assert {first.status_code, second.status_code, third.status_code} == {201}
    assert Refund.objects.count() == 1
    assert asks() == [("k1", "A-1", 201, False), ("k1", "A-1", 201, True), ("k1", "A-1", 201, True)]


def test_a_key_in_quotes_is_the_same_key(customer, conduct):
    customer.ask("k1")
    assert customer.ask('"k1"').status_code == 201
    assert asks()[1] == ("k1", "A-1", 201, True)


@pytest.mark.parametrize("changed", [{"amount": 1}, {"order": "A-2"}, {"reason": "other"}])
def test_a_key_with_another_body_is_refused_and_does_nothing(customer, conduct, changed):
    customer.ask()
    answer = customer.ask(**changed)
    assert (answer.status_code, answer.json()["error"]) == (422, "key-reused")
    assert Refund.objects.count() == 1
    assert customer.ask().status_code == 201


def test_an_order_is_refunded_once_whatever_the_key(customer, conduct):
    customer.ask("k1")
    answer = customer.ask("k2")
    assert (answer.status_code, answer.json()["detail"]) == (409, "This order has been refunded already.")
    assert Refund.objects.count() == 1


def test_a_refusal_is_said_in_words_and_remembered(customer, conduct):
    conduct(refused=1)
    first = customer.ask()
    assert first.status_code in {402, 409, 422}
    assert first.json()["detail"].endswith(".")
    conduct()
    assert customer.ask().json() == first.json()
    assert not Refund.objects.exists()


@pytest.mark.parametrize(("share", "status"), [("busy", 429), ("down", 503)])
def test_not_now_says_when_and_is_not_remembered(customer, conduct, share, status):
    conduct(**{share: 1}, retry_after_seconds=7)
    answer = customer.ask()
    assert (answer.status_code, answer["Retry-After"]) == (status, "7")
    assert not Refund.objects.exists()
    assert not FirstAnswer.objects.exists()
    conduct()
    assert customer.ask().status_code == 201
    assert [status for _, _, status, _ in asks()] == [status, 201]


def test_a_cut_connection_comes_after_the_effect(customer, conduct):
    conduct(cut=1)
    answer = customer.ask()
    with pytest.raises(ConnectionResetError) as caught:
        list(answer.streaming_content)
    assert caught.value.errno == errno.ECONNRESET
    ask = Ask.objects.get()
    assert (Refund.objects.count(), ask.cut, ask.status) == (1, True, 201)
    conduct()
    assert customer.ask().json()["id"] == Refund.objects.get().reference


def test_a_provider_that_ignores_keys_pays_each_time_it_is_asked(customer, conduct):
    first, second = (customer.ask(query="?keys=ignored") for _ in range(2))
    assert first.json()["id"] != second.json()["id"]
    assert Refund.objects.filter(key="k1", keyed=False).count() == 2


@pytest.mark.slow
def test_the_same_seed_makes_the_same_luck(customer, conduct):
    def statuses(seed):
        conduct(seed=seed, busy=0.3, down=0.2, refused=0.3)
        Ask.objects.all().delete()
        FirstAnswer.objects.all().delete()
        return [customer.ask(f"{seed}-{n}", order=f"B-{n % 20}").status_code for n in range(60)]

    first = statuses(4)
    assert {429, 503} < set(first)
    Refund.objects.all().delete()
    assert statuses(4) == first
    Refund.objects.all().delete()
    assert statuses(5) != first


def test_the_shares_are_about_what_was_asked_for(conduct):
    from payments.luck import luck_of

    conducted = conduct(busy=0.1, down=0.2, cut=0.3, refused=0.4)
    lucks = [luck_of(conducted, f"C-{n}", 0) for n in range(2_000)]
    for share, met in (
        (0.1, sum(luck.trouble == 429 for luck in lucks)),
        (0.2, sum(luck.trouble == 503 for luck in lucks)),
        (0.3, sum(luck.cut for luck in lucks)),
        (0.4, sum(luck.refusal is not None for luck in lucks)),
    ):
        assert abs(met / 2_000 - share) < 0.05


@pytest.mark.parametrize(
    "changed",
    [
        {"order": ""},
        {"order": None},
        {"order": "x" * 101},
        {"order": "nul \x00"},
        {"order": "lone \ud800"},
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"amount": True},
        {"amount": 10**12},
        {"reason": 7},
    ],
)
def test_what_makes_no_sense_is_refused(customer, conduct, changed):
    answer = customer.ask(**changed)
    assert (answer.status_code, answer.json()["error"]) == (400, "malformed")
    assert not Ask.objects.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(customer, conduct, body):
    headers = customer.headers | {"Idempotency-Key": "k"}
    answer = customer.client.post("/payments/refunds/", body, content_type="application/json", headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ä"])
def test_a_key_is_needed(customer, conduct, key):
    assert customer.ask(key).status_code == 400


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer wrong", "Basic abc"])
def test_strangers_are_not_served(customer, conduct, authorization):
    answer = customer.ask(headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert not Ask.objects.exists()


def test_it_is_only_posted_to(customer):
    assert customer.client.get("/payments/refunds/", headers=customer.headers).status_code == 405


def test_the_table_itself_refuses_a_second_refund_of_a_key(conduct):
    row = {"key": "k", "order_number": "A-1", "amount": 1}
    Refund.objects.create(reference="rf_1", **row)
    with pytest.raises(IntegrityError):
        Refund.objects.create(reference="rf_2", **row)


@pytest.mark.django_db(transaction=True)
def test_many_requests_of_one_key_at_once_make_one_refund(customer, conduct):
    def ask(_):
        try:
            return customer.ask().json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(24)))) == 1
    assert Refund.objects.count() == 1
    assert Ask.objects.filter(repeat=True).count() == 23


@pytest.mark.django_db(transaction=True)
def test_many_keys_for_one_order_at_once_make_one_refund(customer, conduct):
    def ask(number):
        try:
            return customer.ask(f"k{number}").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(16))) == [201] + [409] * 15
    assert Refund.objects.filter(order_number=ORDER["order"]).count() == 1


@pytest.mark.parametrize("model", ["ask", "refund", "conduct"])
def test_a_person_can_look_at_what_it_was_asked(admin_client, customer, conduct, model):
    customer.ask()
    page = admin_client.get(f"/admin/payments/{model}/").content.decode()
    assert ("A-1" in page) == (model != "conduct")


@pytest.mark.parametrize("model", ["ask", "refund"])
def test_nobody_changes_what_it_recorded(admin_client, customer, conduct, model):
    customer.ask()
    row = (Ask if model == "ask" else Refund).objects.get()
    assert admin_client.get(f"/admin/payments/{model}/add/").status_code == 403
    assert admin_client.post(f"/admin/payments/{model}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"/admin/payments/{model}/{row.pk}/change/", {"amount": 1}).status_code == 403


def test_its_conduct_can_be_changed(admin_client, customer, conduct):
    row = conduct()
    shares = {"seed": 1, "latency_ms": 0, "busy": 0, "down": 1, "refused": 0, "cut": 0, "retry_after_seconds": 3}
    assert admin_client.post(f"/admin/payments/conduct/{row.pk}/change/", shares).status_code == 302
    assert customer.ask().status_code == 503


def test_refusals_on_purpose_do_not_fill_the_log(customer, conduct, caplog):
    conduct(refused=1)
    customer.ask()
    conduct(down=1)
    customer.ask()
    assert caplog.records == []
    assert customer.client.get("/nowhere/").status_code == 404
    assert [record.name for record in caplog.records] == ["django.request"]
