"""The named list of pages and states. A scene writes rows, says which address to open, and what is done there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.views.csrf import csrf_failure

from bulkops import services, tokens
from bulkops.models import Job
from bulkops.states import JobState
from bulkops.webhooks.models import Delivery, DeliveryAttempt, Endpoint
from tests.screenshots.stage import Stage
from ticketing.models import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

LONG = (
    "Autumn price rise for every seat of the Großes Haus, including the wheelchair places and the boxes on both sides"
)
UNBROKEN = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft_2026-11-22_final_v2.csv"
FAILURES = [
    "ValueError: The price would become negative.",
    "The seller answered 429 Too Many Requests three times; the last answer named no time at which to try again.",
    "IntegrityError: duplicate key value violates unique constraint “ticketing_seat_sold_once”",
]


@dataclass(frozen=True)
class Scene:
    """One page in one state."""

    name: str
    arrange: Callable[[Stage], str]
    act: Callable[[Page, Stage], None] | None = None
    """What is done once it is open."""
    status: int = 200
    who: str = "owner"
    """“owner”, “operator” (a superuser) or “” for nobody."""
    ours: bool = True
    """Whether the page is made by this project's own templates, and not by Django's or a packaged script."""


SCENES: dict[str, Scene] = {}


def scene(name: str, **how: Any) -> Callable[[Callable[[Stage], str]], Callable[[Stage], str]]:
    """Puts what it decorates on the list."""

    def listed(arrange: Callable[[Stage], str]) -> Callable[[Stage], str]:
        assert name not in SCENES, name
        SCENES[name] = Scene(name, arrange, **how)
        return arrange

    return listed


def press(name: str) -> Callable[[Page, Stage], None]:
    """Presses a button, once the page is there."""

    def pressed(page: Page, _stage: Stage) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_load_state("networkidle")

    return pressed


# -- coming in, and what goes wrong


@scene("log-in", who="")
def _(stage: Stage) -> str:
    return "/accounts/login/"


def _wrong_password(page: Page, stage: Stage) -> None:
    page.get_by_label("Username").fill("maria.keller")
    page.get_by_label("Password").fill("wrong")
    press("Log in")(page, stage)


@scene("log-in-refused", who="", act=_wrong_password)
def _(stage: Stage) -> str:
    return "/accounts/login/"


@scene("not-found", status=404)
def _(stage: Stage) -> str:
    return "/no/such/page/"


@scene("not-permitted", status=403)
def _(stage: Stage) -> str:
    stage.owner.user_permissions.clear()
    return "/operations/reprice-tickets/"


@scene("broken", status=500)
def _(stage: Stage) -> str:
    stage.patch("bulkops.web.fetch.newest_jobs", side_effect=RuntimeError("on purpose"))
    return "/"


@scene("form-too-old", status=403, who="")
def _(stage: Stage) -> str:
    stage.patch("django.contrib.auth.views.LoginView.dispatch", new=_csrf_failure)
    return "/accounts/login/"


def _csrf_failure(_view: Any, request: Any, *_: Any, **__: Any) -> Any:
    return csrf_failure(request)


@scene("button-opened", status=405)
def _(stage: Stage) -> str:
    return f"{stage.job(JobState.RUNNING).get_absolute_url()}cancel/"


@scene("database-away", status=503)
def _(stage: Stage) -> str:
    stage.database_away()
    return "/"


# -- the first page


@scene("home-empty")
def _(stage: Stage) -> str:
    return "/"


@scene("home-running")
def _(stage: Stage) -> str:
    history(stage)
    stage.job(JobState.RUNNING, total=48_210, counts={"succeeded": 20_411, "failed": 3, "skipped": 18}, ago=125)
    return "/"


@scene("home-history")
def _(stage: Stage) -> str:
    history(stage)
    return "/"


@scene("home-search")
def _(stage: Stage) -> str:
    history(stage)
    return "/?find=ticket+price"


@scene("home-search-none")
def _(stage: Stage) -> str:
    return "/?find=" + UNBROKEN


@scene("home-open-refused", status=404)
def _(stage: Stage) -> str:
    return "/jobs/open/?id=1b4e28ba-2fa1-4d2b-883f-0016d3cca427"


@scene("jobs-none-found")
def _(stage: Stage) -> str:
    history(stage)
    return "/jobs/?search=no+such+name&state=active&since=tomorrow"


def history(stage: Stage) -> None:
    """Jobs of each kind of end, with names long and short."""
    stage.job(JobState.FAILED, ago=700_000, error="The file has no column “number”.", total=1)
    stage.job(JobState.COMPLETED, ago=190_000, total=1_000_000, counts={"succeeded": 1_000_000}, name="Whole season")
    stage.job(JobState.CANCELLED, ago=80_000, total=12_500, counts={"succeeded": 4_120}, name=LONG)
    stage.job(
        JobState.COMPLETED_WITH_ERRORS, ago=9_000, total=480, counts={"succeeded": 441, "failed": 39}, name=UNBROKEN
    )
    stage.job(JobState.COMPLETED, ago=600, counts={"succeeded": 40}, schedule="nightly prices")


# -- a job in each of its states


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


def _open(words: str) -> Callable[[Page, Stage], None]:
    return lambda page, _stage: page.get_by_text(words, exact=True).click()


@scene("job-cancel-asked", act=_open("Cancel …"))
def _(stage: Stage) -> str:
    return stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}).get_absolute_url()


@scene("job-speed-asked", act=_open("Speed …"))
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


# -- forms


@scene("form-simple")
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


@scene("form-long")
def _(stage: Stage) -> str:
    return "/operations/call-http-api/"


@scene("form-last-run")
def _(stage: Stage) -> str:
    stage.job(JobState.COMPLETED, ago=10_800, counts={"succeeded": 40})
    return "/operations/reprice-tickets/"


@scene("form-again")
def _(stage: Stage) -> str:
    job = stage.job(JobState.COMPLETED, ago=10_800, total=1_204, counts={"succeeded": 1_204}, input_name=UNBROKEN)
    return f"/operations/reprice-tickets/?again={job.pk}"


@scene("form-files")
def _(stage: Stage) -> str:
    return "/operations/process-files/"


@scene("form-refused", act=press("Preview"))
def _(stage: Stage) -> str:
    return "/operations/call-http-api/"


@scene("form-while-active")
def _(stage: Stage) -> str:
    stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}, name="Whole season")
    return "/operations/reprice-tickets/"


@scene("form-no-worker")
def _(stage: Stage) -> str:
    stage.no_worker()
    return "/operations/reprice-tickets/"


def _second_press(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("50")
    stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}, name="Whole season")
    press("Start")(page, stage)


@scene("form-second-press", act=_second_press)
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


def _previewed(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("50")
    page.get_by_label("Paste the items").fill("\n".join(f"AUR-{number:05}" for number in range(1, 41)))
    press("Preview")(page, stage)


@scene("preview", act=_previewed)
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


def _counted(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("50")
    press("Preview")(page, stage)


@scene("preview-counted", act=_counted)
def _(stage: Stage) -> str:
    stage.tickets()
    return "/operations/reprice-tickets/"


@scene("preview-nothing-found", act=_counted)
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


def _tried(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("-5000")
    cheap, dear = (Ticket.objects.order_by(order)[0].pk for order in ("price", "-price"))
    page.get_by_label("Paste the items").fill(f"{dear}\n{cheap}\n999999\nx\n{dear}\n{cheap}")
    press("Try it")(page, stage)


@scene("tried", act=_tried)
def _(stage: Stage) -> str:
    stage.tickets()
    return "/operations/reprice-tickets/"


# -- for programs, and for operators


@scene("tokens")
def _(stage: Stage) -> str:
    for name in ("laptop", "import from the shop, every night at three, on the machine in the basement"):
        tokens.make(user=stage.owner, name=name)
    return "/tokens/"


@scene("tokens-revoke-asked", act=_open("Revoke …"))
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


# -- many jobs at once


def crowd(stage: Stage) -> None:
    """Several people's active jobs, and one's history."""
    history(stage)
    told: dict[str, list[Any]] = {"failed": FAILURES}
    counts = {"succeeded": 20_411, "failed": 3}
    stage.held(stage.job(JobState.RUNNING, total=48_210, counts=counts, outcomes=told, name=LONG))
    noor, jonas = stage.person("noor.haddad"), stage.person("jonas.weber")
    stage.job(JobState.PAUSED, owner=noor, counts={"succeeded": 12}, tags=["spring", "north"], input_name=UNBROKEN)
    stage.job(JobState.QUEUED, owner=jonas, ago=20)


@scene("jobs-mine")
def _(stage: Stage) -> str:
    crowd(stage)
    return "/jobs/"


@scene("jobs-none")
def _(stage: Stage) -> str:
    return "/jobs/"


@scene("jobs-everybody", who="operator")
def _(stage: Stage) -> str:
    crowd(stage)
    return "/jobs/?owner=all&since=yesterday"


@scene("wall", who="operator")
def _(stage: Stage) -> str:
    crowd(stage)
    return "/jobs/active/"


@scene("wall-empty", who="operator")
def _(stage: Stage) -> str:
    return "/jobs/active/"
