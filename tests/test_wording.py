"""Jobs in words: every state has its sentence, spans and ranges are as coarse as what is known, and ends are told."""

from __future__ import annotations

import pytest

from bulkops import wording
from bulkops.estimate import TimeLeft
from bulkops.models import Job
from bulkops.progress import Progress
from bulkops.states import ENDED, JobState


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.25, "0.2 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (18_720, "5 h 12 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_spans_are_told_in_two_units_at_most(seconds, words):
    assert wording.span(seconds) == words


@pytest.mark.parametrize(
    ("per_second", "words"),
    [
        (1234.5, "1,234 a second"),
        (9.97, "10 a second"),
        (8.5, "8.5 a second"),
        (0.5, "30 a minute"),
        (0.02, "1.2 a minute"),
        (0.01, "36 an hour"),
        (0.00001, "0.036 an hour"),
    ],
)
def test_rates_are_told_per_second_minute_or_hour(per_second, words):
    assert wording.rate(per_second) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 1, "up to 1 second"),
        (0, 4.2, "up to 4 seconds"),
        (7, 9, "about 7 to 9 seconds"),
        (38, 42, "about 40 seconds"),
        (33, 47, "about 35 to 45 seconds"),
        (110, 190, "about 2 to 3 minutes"),
        (118, 125, "about 2 minutes"),
        (40, 100, "about 1 to 2 minutes"),
        (6000, 8300, "about 100 to 140 minutes"),
        (4 * 3600, 5.2 * 3600, "about 4 to 5 hours"),
        (3 * 86400, 4 * 86400, "about 3 to 4 days"),
    ],
)
def test_a_range_is_told_in_one_unit_and_as_coarse_as_it_is_far(low, high, words):
    assert wording.left(TimeLeft(low, high)) == words


STAYS = "What was done stays done."


def of(state: JobState, **fields: object) -> Job:
    return Job(operation="note", state=state, **fields)


def told(state: JobState, *, ahead=None, about=None, reason="", retrying=False, **fields) -> str:
    return wording.state(of(state, **fields), ahead=ahead, about=about, reason=reason, retrying=retrying)[0]


def test_every_state_has_words():
    assert all(told(state) for state in JobState)


@pytest.mark.parametrize(
    ("words", "state", "facts"),
    [
        ("Waiting: 2 jobs ahead, about 40 s", JobState.QUEUED, {"ahead": 2, "about": 40}),
        ("Waiting: 1 job ahead", JobState.QUEUED, {"ahead": 1}),
        ("Waiting for a free worker", JobState.QUEUED, {"ahead": 0, "about": 3}),
        (
            "Paused: 50 items failed since it was begun",
            JobState.PAUSED,
            {"reason": "50 items failed since it was begun"},
        ),
        ("Paused", JobState.PAUSED, {}),
        ("Running", JobState.RUNNING, {}),
        ("Running, at most 5 items a second", JobState.RUNNING, {"rate_per_second": 5.0}),
        ("Running; some items wait for another try", JobState.RUNNING, {"retrying": True}),
        ("Collecting the items: 1,500 so far", JobState.PREPARING, {"collects": True, "prepared": 1500}),
        ("Checking the items", JobState.PREPARING, {}),
    ],
)
def test_a_state_is_told_with_what_belongs_to_it(words, state, facts):
    assert told(state, **facts) == words


def test_a_missing_worker_is_told_with_who_can_help():
    job = of(JobState.QUEUED, queue="mail")
    assert wording.stalled(job, any_worker=False)[0] == "No worker is running: tell your administrator"
    assert wording.stalled(job, any_worker=True)[0] == "No worker serves the queue “mail”: tell your administrator"


def figures(**counts: object) -> Progress:
    return Progress(**{"total": 6000, "prepared": 6000, "elapsed_seconds": 200.0, "rate_per_second": 30.0} | counts)


@pytest.mark.parametrize(
    ("state", "counts", "story", "advice"),
    [
        (
            JobState.COMPLETED,
            {"processed": 6000, "succeeded": 6000},
            "All 6,000 items were processed in 3 min 20 s, 30 a second.",
            "",
        ),
        (
            JobState.COMPLETED_WITH_ERRORS,
            {"processed": 6000, "failed": 12, "in_doubt": 1, "left": {"failed": 12, "in_doubt": 1}},
            "All 6,000 items were processed in 3 min 20 s, 30 a second; 12 failed, 1 in doubt.",
            "You can retry the 12 failed items; or say what became of the item in doubt, or try again.",
        ),
        (
            JobState.COMPLETED_WITH_ERRORS,
            {"processed": 6000, "failed": 12},
            "All 6,000 items were processed in 3 min 20 s, 30 a second; 12 failed.",
            "A later job has taken what there was to retry.",
        ),
        (
            JobState.CANCELLED,
            {"processed": 450, "left": {"unprocessed": 5550}},
            "450 of 6,000 items were processed in 3 min 20 s, 30 a second. What was done stays done.",
            "You can go on with the 5,550 items not processed.",
        ),
        (
            JobState.CANCELLED,
            {"elapsed_seconds": None, "left": {"unprocessed": 6000}},
            "It ended before any item was processed.",
            "You can go on with the 6,000 items not processed.",
        ),
        (JobState.COMPLETED, {"total": 0}, "There was no item to process.", ""),
        (
            JobState.COMPLETED,
            {"total": 1, "processed": 1, "elapsed_seconds": 0.25},
            "1 of 1 item was processed in 0.2 s.",
            "",
        ),
        (
            JobState.FAILED,
            {"processed": 1, "left": {"unprocessed": 5999}},
            f"1 of 6,000 items was processed in 3 min 20 s. {STAYS} You can go on with the 5,999 items not processed.",
            "The disk is full.",
        ),
    ],
)
def test_the_end_is_told_and_what_can_be_done(state, counts, story, advice):
    job = of(state, error="The disk is full." if state == JobState.FAILED else "")
    assert wording.ended(job, figures(**counts)) == (story, advice)


@pytest.mark.parametrize(
    ("operation", "noun", "one"), [("reprice-tickets", "tickets", "ticket"), ("gone-since", "items", "item")]
)
def test_the_end_calls_items_what_their_author_calls_them(operation, noun, one):
    job = Job(operation=operation, state=JobState.COMPLETED_WITH_ERRORS)
    story, advice = wording.ended(job, figures(processed=6000, failed=1, left={"failed": 1}))
    assert story == f"All 6,000 {noun} were processed in 3 min 20 s, 30 a second; 1 failed."
    assert advice == f"You can retry the failed {one}."
    empty = Job(operation=operation, state=JobState.COMPLETED)
    assert wording.ended(empty, figures(total=0))[0] == f"There was no {one} to process."


def test_a_job_that_goes_on_has_no_end_to_tell():
    assert all(wording.ended(of(state), figures()) == ("", "") for state in set(JobState) - ENDED)
