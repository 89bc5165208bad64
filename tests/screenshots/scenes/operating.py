"""For programs, and for operators."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from bulkops import tokens
from bulkops.states import JobState
from bulkops.webhooks.models import Delivery, DeliveryAttempt, Endpoint
from tests.screenshots.scenes.belongings import FAILURES, LONG, crowd, history
from tests.screenshots.scenes.listing import opened_panel, press, scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.screenshots.stage import Stage


@scene("tokens")
def _(stage: Stage) -> str:
    for name in ("laptop", "import from the shop, every night at three, on the machine in the basement"):
        tokens.make(user=stage.owner, name=name)
    return "/tokens/"


@scene("tokens-revoke-asked", act=opened_panel("Revoke …"))
def _(stage: Stage) -> str:
    tokens.make(user=stage.owner, name="laptop")
    return "/tokens/"


@scene("tokens-none")
def _(stage: Stage) -> str:
    return "/tokens/"


def _make_token(page: Page, stage: Stage) -> None:
    page.get_by_label("Name").fill("laptop")
    press("Make a token")(page, stage)


@scene("tokens-made", act=_make_token)
def _(stage: Stage) -> str:
    return "/tokens/"


@scene("webhooks-none")
def _(stage: Stage) -> str:
    return "/webhooks/"


@scene("webhooks")
def _(stage: Stage) -> str:
    webhook(stage)
    return "/webhooks/"


@scene("webhook")
def _(stage: Stage) -> str:
    return f"/webhooks/{webhook(stage).pk}/"


def webhook(stage: Stage) -> Endpoint:
    """Of two deliveries one arrived; the other is tried again."""
    address = "https://hooks.example.org/bulkops/jobs/ended/for-the-team-that-looks-after-the-prices?key=autumn"
    endpoint = Endpoint.objects.create(
        owner=stage.owner, url=address, description="Prices changed", events=["job.completed"], secret="x",
        failing_since=timezone.now() - timedelta(seconds=20),
    )  # fmt: skip
    job = stage.job(JobState.COMPLETED, counts={"succeeded": 40})
    for state, ago, status, words, answer in (
        ("delivered", 3_600, 200, "", "ok"),
        ("pending", 20, 503, "The answer was 503 Service Unavailable.", "Come back later."),
    ):
        at = timezone.now() - timedelta(seconds=ago)
        delivery = Delivery.objects.create(
            endpoint=endpoint, job=job, event="job.completed", body="{}", state=state, created_at=at, tries=1,
            due=at + timedelta(seconds=30) if state == "pending" else None,
        )  # fmt: skip
        DeliveryAttempt.objects.create(
            delivery=delivery, at=at, seconds=0.21, status=status, error=words, answer=answer
        )
    return endpoint


@scene("problems")
def _(stage: Stage) -> str:
    return "/problems/"


@scene("problem")
def _(stage: Stage) -> str:
    return "/problems/active-job-exists"


def _drawn(selector: str) -> Callable[[Page, Stage], None]:
    """Waits until a packaged script has drawn its page."""
    return lambda page, _stage: page.locator(selector).first.wait_for()


@scene("api-docs", ours=False, act=_drawn(".opblock"))
def _(stage: Stage) -> str:
    return "/api/docs/"


@scene("api-redoc", ours=False, act=_drawn("h1"))
def _(stage: Stage) -> str:
    return "/api/redoc/"


@scene("admin-jobs", who="operator", ours=False)
def _(stage: Stage) -> str:
    history(stage)
    stage.job(JobState.RUNNING, total=48_210, counts={"succeeded": 20_411, "failed": 3})
    return "/admin/bulkops/job/"


@scene("admin-job", who="operator", ours=False)
def _(stage: Stage) -> str:
    told: dict[str, list[Any]] = {"succeeded": [None] * 37, "failed": FAILURES}
    job = stage.job(JobState.COMPLETED_WITH_ERRORS, outcomes=told, name=LONG)
    return f"/admin/bulkops/job/{job.pk}/change/"


@scene("admin-dashboard", who="operator", ours=False)
def _(stage: Stage) -> str:
    crowd(stage)
    return "/admin/bulkops/job/dashboard/"
