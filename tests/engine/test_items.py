"""What becomes of items that behave badly: each ends as an outcome in words, and the job goes on to its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bulkops import services
from bulkops.engine import results
from bulkops.exceptions import RetryAfter
from bulkops.models import Chunk, Event, Outcome
from bulkops.states import EventKind, JobState, OutcomeState
from tests.sample.models import Effect
from tests.sample.operations import Habits

CLOSED = "closed the database connection"
ENDED = "ended the item's transaction by itself"
ABORTED = "went on after a database error"

FAILING = {
    "raise": "ValueError: this item is bad",
    "raise-with-nul": "ValueError: a NUL \N{REPLACEMENT CHARACTER}",
    "raise-unprintable": "could not be stored",
    "exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt",
    "commit-as-text": ENDED,
    "commit-as-text-and-go-on": ENDED,
    "commit-on-driver": ENDED,
    "commit-on-driver-and-go-on": ENDED,
    "rollback-on-driver": ENDED,
    "close": CLOSED,
    "close-on-driver": CLOSED,
    "swallow-database-error": ABORTED,
    "swallow-inner-rollback": ABORTED,
    "never-pass-by": "Passing: still not",
}


def run(worker, owner, items, operation="habits"):
    job = services.submit(user=owner, operation=operation, items=items)
    return worker.finish(job)


def outcome(job, position):
    return Outcome.objects.get(job=job, position=position)


@pytest.mark.parametrize("habit", FAILING)
def test_a_bad_item_fails_in_words_and_the_next_one_is_processed(owner, worker, habit):
    job = run(worker, owner, [habit, "good"])
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    failed = outcome(job, 0)
    assert failed.state == OutcomeState.FAILED
    assert FAILING[habit] in failed.message
    assert outcome(job, 1).state == OutcomeState.SUCCEEDED
    assert Effect.objects.filter(item="good").count() == 1


@pytest.mark.parametrize("habit", [habit for habit in FAILING if "commit" not in habit])
def test_what_a_failing_item_wrote_is_rolled_back(owner, worker, habit):
    run(worker, owner, [habit])
    assert not Effect.objects.exists()


@pytest.mark.parametrize("habit", ["raise", "exit", "raise-unprintable", "close", "close-on-driver"])
def test_outside_a_transaction_too_a_bad_item_ends_as_an_outcome(owner, worker, habit):
    job = run(worker, owner, [habit, "good"], "habits-outside")
    assert job.state in {JobState.COMPLETED_WITH_ERRORS, JobState.COMPLETED}
    assert outcome(job, 1).state == OutcomeState.SUCCEEDED
    assert sum(Chunk.objects.values_list("succeeded", "failed").get(job=job)) == 2


def test_a_transaction_left_open_outside_is_a_failure(owner, worker):
    job = run(worker, owner, ["open-transaction", "good"], "habits-outside")
    assert "left a transaction open" in outcome(job, 0).message
    assert not Effect.objects.filter(item="never committed").exists()


def test_a_skipped_item_says_why_and_is_no_error(owner, worker):
    job = run(worker, owner, ["skip"])
    assert job.state == JobState.COMPLETED
    assert (outcome(job, 0).state, outcome(job, 0).message) == (OutcomeState.SKIPPED, "not today")
    assert not Effect.objects.exists()


def test_an_item_in_doubt_is_an_outcome_of_its_own(owner, worker):
    job = run(worker, owner, ["doubt"])
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert (outcome(job, 0).state, outcome(job, 0).message) == (OutcomeState.IN_DOUBT, "the answer was cut off")


def test_a_passing_failure_is_tried_again_later_and_blocks_nobody(owner, worker):
    job = run(worker, owner, ["pass-by", "good"])
    assert job.state == JobState.COMPLETED
    tried = outcome(job, 0)
    assert (tried.state, tried.attempt, tried.result) == (OutcomeState.SUCCEEDED, 3, "attempt 3")
    assert tried.finished_at > outcome(job, 1).finished_at
    assert list(Effect.objects.filter(item="pass-by").values_list("note", flat=True)) == ["3"]


def test_attempts_are_bounded(owner, worker):
    job = run(worker, owner, ["never-pass-by"])
    assert (outcome(job, 0).state, outcome(job, 0).attempt) == (OutcomeState.FAILED, 3)


def test_a_failing_commit_hook_is_a_success_and_an_event(owner, worker):
    job = run(worker, owner, ["bad-hook", "good"])
    assert job.state == JobState.COMPLETED
    assert outcome(job, 0).result == "hooked"
    assert Effect.objects.count() == 2
    assert "the hook is broken" in Event.objects.get(job=job, kind=EventKind.HOOK_FAILED).detail


def test_deallocated_statements_are_prepared_again(owner, worker):
    # The first run of the item dies with its transaction; the second one finds them prepared anew, and so on: each
    # run deallocates, so the item fails after its attempts, but the next one is none the worse for it.
    job = run(worker, owner, ["good", "deallocate", "good"])
    assert [outcome(job, position).state for position in (0, 2)] == [OutcomeState.SUCCEEDED] * 2
    assert outcome(job, 1).state == OutcomeState.FAILED


def test_a_result_of_20_mb_is_cut_and_says_so(owner, worker):
    job = run(worker, owner, ["huge"])
    assert job.state == JobState.COMPLETED
    result = outcome(job, 0).result
    assert result["bytes"] == 20_000_002
    assert len(json.dumps(result)) < 64 * 1024


def test_nan_and_nul_in_a_result_are_made_storable(owner, worker):
    job = run(worker, owner, ["not-a-number", "nul", "object"])
    assert job.state == JobState.COMPLETED
    assert outcome(job, 0).result == {"value": "nan", "most": "inf"}
    assert outcome(job, 1).result == {
        "te\N{REPLACEMENT CHARACTER}xt": "a\N{REPLACEMENT CHARACTER}b",
        "lone": "\N{REPLACEMENT CHARACTER}",
    }
    assert outcome(job, 2).result.startswith("<object object")


def test_a_failure_that_cannot_be_recorded_is_recorded_as_constants(owner, worker, monkeypatch):
    job = services.submit(user=owner, operation="habits", items=["raise", "good"])
    monkeypatch.setattr(results, "describe", lambda error: "")
    monkeypatch.setattr(results.storable, "text", lambda value, limit: "\x00")
    worker.step()
    assert outcome(job, 0).state == OutcomeState.FAILED
    assert outcome(job, 1).state == OutcomeState.SUCCEEDED


def test_outside_a_transaction_the_operation_gets_a_stable_key(owner, worker):
    job = run(worker, owner, ["a", "b"], "note-outside")
    assert list(Effect.objects.order_by("pk").values_list("note", flat=True)) == [f"{job.pk}:0", f"{job.pk}:1"]


def test_an_item_tried_two_thousand_times_still_has_a_wait():
    assert results.wait_seconds(Habits(), ValueError(), 2_000) <= 0.02 * 1.25


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (30, 30, 37.5),
        ("30", 30, 37.5),
        (timedelta(seconds=3600), 3000, 4500),
        (timedelta(days=-1), 0, 0.02 * 1.25),
        ("soon", 0, 0.02 * 1.25),
        ("nan", 0, 0.02 * 1.25),
        (None, 0, 0.02 * 1.25),
        (-5, 0, 0.02 * 1.25),
        (1e12, 86_400, 86_400 * 1.25),
    ],
)
def test_a_wait_that_the_other_system_asks_for_is_kept(asked, least, most):
    if isinstance(asked, timedelta):
        asked = format_datetime(datetime.now(UTC) + asked, usegmt=True)
    waits = [results.wait_seconds(Habits(), RetryAfter(asked), 1) for _ in range(50)]
    assert least <= min(waits) <= max(waits) <= most


def test_an_item_told_to_come_again_is_deferred_for_that_long(owner, worker):
    job = services.submit(user=owner, operation="habits-outside", items=["retry-after"])
    worker.step()
    waiting = outcome(job, 0)
    assert (waiting.state, waiting.error_code) == (OutcomeState.DEFERRED, "retry-after")
    assert timedelta(minutes=9) < waiting.due - waiting.finished_at < timedelta(minutes=13)


def test_work_done_outside_is_not_done_again_for_a_lost_statement(owner, worker):
    job = run(worker, owner, ["deallocate"], "habits-outside")
    assert (outcome(job, 0).state, outcome(job, 0).result) == (OutcomeState.SUCCEEDED, "deallocated")
    assert Effect.objects.count() == 1
