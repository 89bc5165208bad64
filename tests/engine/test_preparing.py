"""Collecting an operation's own items, and checking many given ones, in a worker."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from django.db.models import Count

from bulkops import manifests, registry, services
from bulkops.engine import hand, preparing
from bulkops.models import Chunk, Job, Manifest, Outcome
from bulkops.states import JobState
from tests.sample.models import Account, Effect
from tests.sample.operations import Collecting
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


def items_of(job: Job) -> list:
    payloads = Manifest.objects.filter(job=job).order_by("number").values_list("payload", flat=True)
    return [item for payload in payloads for item in manifests.decode(payload)]


def collect(worker, owner, how: str, **what) -> Job:
    job = services.submit(user=owner, operation="collecting", params={"how": how}, **what)
    assert job.state == JobState.PREPARING
    assert job.total is None
    return worker.finish(job)


@pytest.fixture
def accounts(transactional_db):
    Account.objects.bulk_create([Account(number=number, balance=-number) for number in range(2_500)])
    return Account.objects


def test_collected_items_are_processed(owner, worker):
    job = collect(worker, owner, "5")
    assert (job.state, job.total, job.prepared) == (JobState.COMPLETED, 5, 5)
    assert sorted(Effect.objects.values_list("item", flat=True)) == list("01234")


def test_no_items_complete_the_job(owner, worker):
    job = collect(worker, owner, "nothing")
    assert (job.state, job.total) == (JobState.COMPLETED, 0)


def test_an_empty_list_completes_the_job(owner, worker):
    job = services.submit(user=owner, operation="note", items=[])
    assert worker.finish(job).state == JobState.COMPLETED


def test_only_the_first_n_items_are_collected(owner, worker):
    assert collect(worker, owner, "1000000000", limit=3).total == 3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["objects", "pairs", "dicts"])
def test_querysets_of_every_shape_are_read_page_by_page(owner, worker, accounts, monkeypatch, how):
    monkeypatch.setattr("tests.sample.operations.Collecting.process", lambda *_: None)
    job = collect(worker, owner, how)
    assert (job.state, job.total) == (JobState.COMPLETED, 2_500)
    expected = {
        "objects": list(accounts.order_by("pk").values_list("pk", flat=True)),
        "pairs": [[number, -number] for number in range(2_500)],
        "dicts": [{"number": number} for number in range(2_500)],
    }[how]
    assert items_of(job) == expected


def test_dates_decimals_and_uuids_of_a_program_are_stored_as_their_text(owner, worker):
    when, key = date(2027, 1, 31), UUID(int=7)
    job = services.submit(user=owner, operation="note", items=[when, key, Decimal("1.50")])
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert items_of(job) == ["2027-01-31", str(key), "1.50"]


def test_a_failing_source_fails_the_job_in_words_and_frees_the_slot(owner, worker):
    job = collect(worker, owner, "raise")
    assert (job.state, job.slot) == (JobState.FAILED, None)
    assert "the source is gone" in job.error
    assert not Outcome.objects.exists()


def test_a_source_that_fails_half_way_processes_nothing(owner, worker):
    job = collect(worker, owner, "half")
    assert job.state == JobState.FAILED
    assert not Effect.objects.exists()


def test_an_item_that_is_no_json_fails_the_job_and_names_it(owner, worker):
    job = collect(worker, owner, "unstorable")
    assert job.state == JobState.FAILED
    assert "Item 1 cannot be stored" in job.error


def test_many_given_items_are_checked_by_the_worker_and_all_bad_ones_named(owner, worker, settings):
    settings.BULKOPS = {"validated_in_request": 5, "chunk_items": 3}
    rows = [{"number": str(number)} for number in range(1, 12)]
    rows[7]["number"] = "none"
    rows[9]["number"] = "-4"
    job = services.submit(user=owner, operation="rows", items=rows)
    assert job.state == JobState.PREPARING
    worker.finish(job)
    assert job.state == JobState.FAILED
    assert "2 invalid items: item 7, number" in job.error
    assert "item 9, number" in job.error
    assert not Effect.objects.exists()


def test_many_good_items_are_checked_and_then_run(owner, worker, settings):
    settings.BULKOPS = {"validated_in_request": 5, "chunk_items": 3}
    rows = [{"number": str(number)} for number in range(1, 12)]
    job = worker.finish(services.submit(user=owner, operation="rows", items=rows))
    assert (job.state, job.total, Effect.objects.count()) == (JobState.COMPLETED, 11, 11)


def test_a_restart_deletes_what_was_collected_before(owner, worker, monkeypatch, settings):
    settings.BULKOPS = {"chunk_items": 20}  # each item is a commit here
    monkeypatch.setattr(preparing, "COMMIT_SECONDS", 0)
    monkeypatch.setattr("bulkops.engine.preparing.finishing.fail", lambda *_: None)

    def half(_):
        yield from range(30)
        raise ValueError("half-way")

    monkeypatch.setattr(Collecting, "_half", half)
    job = services.submit(user=owner, operation="collecting", params={"how": "half"})
    taken = preparing.turns.take(job.pk, 0, 0, worker.holder)
    preparing.prepare(job, taken, registry.get("collecting"), {"how": "half"}, worker.holder)
    assert Chunk.objects.filter(job=job).count() == 1
    worker.die()
    other = InProcessWorker()
    other.rescue()
    Job.objects.filter(pk=job.pk).update(params={"how": "3"})
    other.finish(job)
    assert (job.state, job.total, items_of(job)) == (JobState.COMPLETED, 3, [0, 1, 2])
    assert job.prepare_epoch == 2


def test_a_cancel_while_collecting_stops_it(owner, worker, monkeypatch, settings):
    settings.BULKOPS = {"chunk_items": 20}  # each item is a commit here
    monkeypatch.setattr(preparing, "COMMIT_SECONDS", 0)
    job = services.submit(user=owner, operation="collecting", params={"how": "100"})
    store = manifests.store

    def cancelled_meanwhile(*given) -> None:
        store(*given)
        Job.objects.filter(pk=job.pk, state=JobState.PREPARING).exists()
        if Chunk.objects.filter(job=job).count() == 2:
            services.cancel(job=job, actor=owner)

    monkeypatch.setattr(manifests, "store", cancelled_meanwhile)
    worker.drain()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert not Effect.objects.exists()


def test_a_worker_that_shuts_down_hands_collecting_on(owner, worker):
    job = services.submit(user=owner, operation="collecting", params={"how": "5"})
    worker.stop = True
    assert worker.step() == "prepared"
    job.refresh_from_db()
    assert job.state == JobState.PREPARING
    worker.stop = False
    assert worker.finish(job).state == JobState.COMPLETED


def test_a_pause_between_the_turn_and_the_first_look_leaves_the_worker_alive(owner, worker, monkeypatch):
    job = services.submit(user=owner, operation="collecting", params={"how": "5"})
    prepare = preparing.prepare

    def paused_first(*given) -> None:
        services.pause(job=job, actor=owner)
        prepare(*given)

    monkeypatch.setattr(preparing, "prepare", paused_first)
    assert worker.finish(job).state == JobState.PAUSED


def test_a_slow_source_shows_its_count_and_is_stopped_before_a_chunk_is_full(owner, worker, monkeypatch):
    monkeypatch.setattr(preparing, "COMMIT_SECONDS", 0.02)
    job = services.submit(user=owner, operation="collecting", params={"how": "5"})
    asked = []

    def slow(self, params):
        for number in range(100):
            asked.append(number)
            if number == 20:
                job.refresh_from_db()
                assert job.prepared > 10
                services.cancel(job=job, actor=owner)
            time.sleep(0.005)
            yield number

    monkeypatch.setattr(Collecting, "items", slow)
    assert worker.finish(job).state == JobState.CANCELLED
    assert len(asked) < 50


@pytest.mark.parametrize("flat", [False, True])
def test_a_grouped_queryset_gives_one_item_a_group(owner, worker, monkeypatch, flat):
    Account.objects.bulk_create([Account(number=number, balance=number % 3) for number in range(10)])
    grouped = Account.objects.values("balance").annotate(count=Count("pk"))
    source = grouped.values_list("balance", flat=True) if flat else grouped
    monkeypatch.setattr(Collecting, "items", lambda *_: source)
    assert collect(worker, owner, "groups").total == 3


def test_an_error_without_words_fails_the_job_all_the_same(owner, worker, monkeypatch):
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def items(*_):
        raise Unprintable

    monkeypatch.setattr(Collecting, "items", items)
    job = collect(worker, owner, "nowhere")
    assert (job.state, job.error_code) == (JobState.FAILED, "Unprintable")


def test_a_prepared_job_goes_ahead_of_further_slices_of_others(owner, stranger, worker, settings):
    settings.BULKOPS = {"slice_seconds": 0}
    running = services.submit(user=stranger, operation="note", items=["a", "b", "c"])
    worker.step()  # one item; its further slices wait in the queue
    prepared = services.submit(user=owner, operation="collecting", params={"how": "1"})
    assert [worker.step(), worker.step()] == ["prepared", "worked"]
    prepared.refresh_from_db()
    running.refresh_from_db()
    assert (prepared.state, running.state) == (JobState.COMPLETED, JobState.RUNNING)


def test_checking_given_items_for_long_gives_signs_of_life_all_along(owner, worker, settings, monkeypatch):
    settings.BULKOPS = {"validated_in_request": 0}
    monkeypatch.setattr(preparing, "COMMIT_SECONDS", 0)
    signs = []
    job = services.submit(user=owner, operation="rows", items=[{"number": "1"}] * 20)
    monkeypatch.setattr(hand, "put_down", lambda: signs.append(1))
    assert worker.step() == "prepared"
    job.refresh_from_db()
    assert job.state == JobState.QUEUED
    assert len(signs) >= 20
