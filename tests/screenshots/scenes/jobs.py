"""A job in each of its states, and its items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkops import services
from bulkops.models import Job
from bulkops.states import JobState
from tests.screenshots.scenes.belongings import FAILURES, LONG, UNBROKEN
from tests.screenshots.scenes.listing import opened_panel, press, scene

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.screenshots.stage import Stage


@scene("job-preparing")
def _(stage: Stage) -> str:
    job = stage.job(JobState.PREPARING, ago=9, collects=True, prepared=31_000, name="Whole season")
    Job.objects.filter(pk=job.pk).update(total=None)
    return job.get_absolute_url()


@scene("job-queued")
def _(stage: Stage) -> str:
    for number in range(3):
        stage.job(JobState.QUEUED, owner=stage.person(f"colleague{number}"), ago=40)
    return stage.job(JobState.QUEUED, ago=12).get_absolute_url()


@scene("job-running")
def _(stage: Stage) -> str:
    counts = {"succeeded": 20_411, "failed": 3, "skipped": 18}
    job = stage.job(JobState.RUNNING, total=48_210, counts=counts, ago=125, message="Row 41, Winter Garden")
    return stage.paced(job).get_absolute_url()


@scene("job-running-large")
def _(stage: Stage) -> str:
    counts = {"succeeded": 7_654_321, "failed": 12_345, "skipped": 234_567, "in_doubt": 1_204, "deferred": 3_210}
    job = stage.job(
        JobState.RUNNING, total=12_345_678, counts=counts, ago=290_000, name=LONG, input_name=UNBROKEN,
        params={"cents": -1_000_000}, rate_per_second=40.0, message=f"Now at {UNBROKEN}", limit=12_345_678,
    )  # fmt: skip
    return stage.paced(job).get_absolute_url()


@scene("job-stalled")
def _(stage: Stage) -> str:
    job = stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}, ago=60)
    stage.no_worker()
    return job.get_absolute_url()


@scene("job-pausing")
def _(stage: Stage) -> str:
    return stage.held(stage.job(JobState.PAUSING, total=480, counts={"succeeded": 120})).get_absolute_url()


@scene("job-paused")
def _(stage: Stage) -> str:
    return stage.job(JobState.PAUSED, total=480, counts={"succeeded": 120, "failed": 2}).get_absolute_url()


@scene("job-cancelling")
def _(stage: Stage) -> str:
    return stage.held(stage.job(JobState.CANCELLING, total=480, counts={"succeeded": 120})).get_absolute_url()


@scene("job-cancelled")
def _(stage: Stage) -> str:
    job = stage.job(
        JobState.CANCELLED, total=480, counts={"succeeded": 120},
        cancel_reason="Wrong season: the prices of spring are changed next week.",
    )  # fmt: skip
    return job.get_absolute_url()


@scene("job-completed")
def _(stage: Stage) -> str:
    result = {"changed": 48_192, "revenue": {"before": "2,314,080.00 €", "after": "2,434,560.00 €"}}
    return stage.job(
        JobState.COMPLETED, total=48_210, counts={"succeeded": 48_192, "skipped": 18}, ago=3_900, took=612,
        result=result, input_name="autumn-prices.csv",
    ).get_absolute_url()  # fmt: skip


@scene("job-completed-no-items")
def _(stage: Stage) -> str:
    return stage.job(JobState.COMPLETED, items=[], started_at=None).get_absolute_url()


@scene("job-with-failures")
def _(stage: Stage) -> str:
    told: dict[str, list[Any]] = {"succeeded": [None] * 29, "failed": FAILURES * 3, "skipped": ["no such ticket"] * 2}
    return stage.job(JobState.COMPLETED_WITH_ERRORS, outcomes=told, name="Whole season").get_absolute_url()


@scene("job-with-doubts")
def _(stage: Stage) -> str:
    words = "The worker was lost while this item was in its hands; whether the money was paid back, nobody knows."
    told: dict[str, list[Any]] = {
        "succeeded": [{"refund": "re_1"}] * 36,
        "in_doubt": [words] * 3,
        "failed": [FAILURES[1]],
    }
    job = stage.job(
        JobState.COMPLETED_WITH_ERRORS, operation="refund-orders", params={"reason": "The event was cancelled."},
        outcomes=told,
    )  # fmt: skip
    return job.get_absolute_url()


@scene("job-with-files")
def _(stage: Stage) -> str:
    job = stage.job(JobState.COMPLETED, operation="issue-tickets", outcomes={"succeeded": [{}] * 40})
    stage.pictures(job, 14)
    return job.get_absolute_url()


@scene("job-failed")
def _(stage: Stage) -> str:
    error = "98 items are not what this operation takes, among them:\n" + "\n".join(
        f"Item {number}: cents: Enter a whole number." for number in range(3, 33)
    )
    job = stage.job(JobState.FAILED, items=100, error=error, error_code="invalid-items", started_at=None)
    return job.get_absolute_url()


@scene("job-retried")
def _(stage: Stage) -> str:
    told: dict[str, list[Any]] = {"succeeded": [None] * 37, "failed": FAILURES}
    first = stage.job(JobState.COMPLETED_WITH_ERRORS, outcomes=told, ago=900)
    child = stage.job(
        JobState.COMPLETED, items=3, counts={"succeeded": 3}, ago=300, parent=first, retry_items="failed", root=first
    )
    return child.get_absolute_url()


@scene("job-of-a-colleague")
def _(stage: Stage) -> str:
    other = stage.person("rosalind.franklin-with-a-long-name@crystallography.example.org")
    job = stage.job(JobState.COMPLETED, owner=other, counts={"succeeded": 40})
    for one in stage.person("unused", rights=("bulkops.view_job",)).user_permissions.all():
        stage.owner.user_permissions.add(one)
    return job.get_absolute_url()


@scene("job-cancel-asked", act=opened_panel("Cancel …"))
def _(stage: Stage) -> str:
    return stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}).get_absolute_url()


@scene("job-speed-asked", act=opened_panel("Speed …"))
def _(stage: Stage) -> str:
    return stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}, rate_per_second=2.5).get_absolute_url()


def _news_stops(page: Page, _stage: Stage) -> None:
    page.route("**/progress/**", lambda route: route.abort())
    # The moment that the notice waits for, without waiting for it.
    page.evaluate("document.querySelector('.silence').getAnimations().forEach((one) => one.finish())")


@scene("job-no-news", act=_news_stops)
def _(stage: Stage) -> str:
    return stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}).get_absolute_url()


def _card_away(page: Page, stage: Stage) -> None:
    stage.database_away()
    page.get_by_text("The database does not answer").first.wait_for()


@scene("job-database-away", act=_card_away)
def _(stage: Stage) -> str:
    return stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}).get_absolute_url()


def _too_late(page: Page, stage: Stage) -> None:
    services.cancel(job=Job.objects.get(), actor=stage.owner, reason="Wrong season")
    press("Resume")(page, stage)


@scene("job-refused-press", act=_too_late)
def _(stage: Stage) -> str:
    return stage.job(JobState.PAUSED, total=480, counts={"succeeded": 120}).get_absolute_url()


@scene("items")
def _(stage: Stage) -> str:
    told: dict[str, list[Any]] = {
        "succeeded": [{"price": 4_850, "seat": "12-7"}] * 8, "skipped": ["no such ticket"] * 2, "failed": FAILURES,
        "deferred": ["The seller answered 503; tried again in 20 s."],
    }  # fmt: skip
    items = [{"ticket": f"AUR-{number:05}", "holder": f"guest{number}@example.org"} for number in range(20)]
    return (
        f"{stage.job(JobState.RUNNING, operation='issue-tickets', items=items, outcomes=told).get_absolute_url()}items/"
    )


@scene("items-of-a-group")
def _(stage: Stage) -> str:
    job = stage.job(JobState.COMPLETED_WITH_ERRORS, outcomes={"succeeded": [None] * 20, "failed": FAILURES * 3})
    fingerprint = job.outcomes.get(position=21).fingerprint
    return f"{job.get_absolute_url()}items/?fingerprint={fingerprint}"


@scene("items-none")
def _(stage: Stage) -> str:
    return f"{stage.job(JobState.COMPLETED, counts={'succeeded': 40}).get_absolute_url()}items/?state=failed"


@scene("items-of-one-kind")
def _(stage: Stage) -> str:
    told: dict[str, list[Any]] = {"succeeded": [None] * 29, "failed": FAILURES * 3, "skipped": ["no such ticket"] * 2}
    job = stage.job(JobState.COMPLETED_WITH_ERRORS, outcomes=told)
    return f"{job.get_absolute_url()}items/?fingerprint={job.outcomes.filter(state='failed')[0].fingerprint}"
