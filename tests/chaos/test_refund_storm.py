"""A kill storm over jobs that ask another system, judged by what that system recorded of what it was asked and did.

`pytest tests/chaos/test_refund_storm.py --storm-seconds 600 --storm-seed 3 -s` runs it for longer, and prints a report.
"""

from __future__ import annotations

import io
import random
import time
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from bulkops import services
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from payments.models import Ask, Conduct, Refund
from tests.chaos.test_storm import BETWEEN_BLOWS_SECONDS, SETTLE_SECONDS, Storm, processed
from tests.clusters import wait_for
from tests.sites import RealSite
from ticketing.models import Event, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

REPEATING, HOLDING = "refund-orders", "refund-orders-held"
OPERATIONS = (REPEATING, HOLDING, REPEATING, HOLDING)
"""A job of each, of a user of its own."""
ITEMS_A_SECOND = 7
"""Of each job, about: so many that it outlasts the storm."""
CONDUCT = {"latency_ms": 30, "busy": 0.05, "down": 0.05, "refused": 0.03, "cut": 0.05}
NOT_DONE = {429, 503}


@pytest.fixture
def site(transactional_db: None, tmp_path: Any) -> Iterator[RealSite]:
    """The provider."""
    site = RealSite(tmp_path / "web.log")
    site.start()
    yield site
    site.kill()


def test_in_a_kill_storm_no_key_pays_twice_and_without_keys_nobody_is_asked_twice(
    person: Any, clusters: Any, site: RealSite, request: Any
) -> None:
    seconds, seed = request.config.getoption("--storm-seconds"), request.config.getoption("--storm-seed")
    Conduct.objects.create(seed=seed, **CONDUCT)
    jobs = submitted(person, seconds * ITEMS_A_SECOND)
    storm = Storm(partial(clusters, PORT=str(site.port)), random.Random(seed))
    done_in_storm = blow(storm, seconds)
    for job in jobs:
        job.refresh_from_db()
        assert job.state in {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS}
        call_command("verify_job", str(job.pk), stdout=io.StringIO())
    for cluster in storm.clusters:
        cluster.terminate(30)
    print(f"\nseed {seed}, {seconds} s: {sum(storm.blows.values())} blows {dict(storm.blows)}")
    print(f"{sum(job.total for job in jobs)} orders, {done_in_storm} of them tried during the storm")
    judge_keys([job for job in jobs if job.operation == REPEATING])
    judge_holding([job for job in jobs if job.operation == HOLDING])


def submitted(person: Callable[..., Any], size: int) -> list[Job]:
    """A job of each operation, over so many orders of its own."""
    event = Event.objects.create(name="Aurora Strings", venue="Old Customs House", starts_at=timezone.now())
    jobs = []
    for place, operation in enumerate(OPERATIONS):
        user = person(f"user{place}", "ticketing.change_order")
        numbers = [f"{user.username}-{position}" for position in range(size)]
        Order.objects.bulk_create(Order(event=event, number=number, amount=1_000) for number in numbers)
        params = {"reason": "storm"}
        jobs.append(services.submit(user=user, operation=operation, params=params, items=numbers, parallelism=2))
    return jobs


def blow(storm: Storm, seconds: float) -> int:
    """Strike until the time is over, then wait for the end of every job; how many items the storm had seen."""
    ends, next_blow = time.monotonic() + seconds, 0.0
    while time.monotonic() < ends:
        if time.monotonic() >= next_blow:
            storm.strike()
            next_blow = time.monotonic() + storm.chance.uniform(*BETWEEN_BLOWS_SECONDS)
        storm.thaw()
        time.sleep(0.05)
    done = processed()
    storm.thaw(at_once=True)

    def all_ended() -> bool:
        storm.restart_dead_leaders()
        return not Job.objects.active().exists()

    wait_for(all_ended, seconds * 3 + SETTLE_SECONDS, "the end of every job")
    return done


def outcomes_of(jobs: list[Job]) -> dict[str, Outcome]:
    """By the order's number."""
    outcomes = Outcome.objects.filter(job__in=jobs).select_related("job__owner")
    return {f"{outcome.job.owner.username}-{outcome.position}": outcome for outcome in outcomes}


def judge_keys(jobs: list[Job]) -> None:
    """With keys: every order has its one refund or its refusal, and both sides say the same."""
    outcomes = outcomes_of(jobs)
    asks = Ask.objects.filter(order_number__in=outcomes)
    made = Refund.objects.filter(keyed=True)
    by_order, by_key = (Counter(made.values_list(name, flat=True)) for name in ("order_number", "key"))
    repeats, cut = asks.filter(repeat=True).count(), asks.filter(cut=True).count()
    print(
        f"with keys: {asks.count()} requests for {len(outcomes)} orders, {made.count()} refunds; "
        f"{sum(count - 1 for count in by_key.values())} made twice; "
        f"{repeats} repeats absorbed by their key, {cut} of the answers cut"
    )
    assert set(by_order.values()) == set(by_key.values()) == {1}
    assert repeats > 0
    references = dict(made.values_list("order_number", "reference"))
    for number, outcome in outcomes.items():
        if number in references:
            assert (outcome.state, outcome.result) == ("succeeded", {"refund": references[number]})
        else:
            assert (outcome.state, outcome.error_code) == ("failed", "Refused"), outcome.message
    marked = dict(Order.objects.exclude(refund_id="").values_list("number", "refund_id"))
    assert {number: marked[number] for number in references} == references


def judge_holding(jobs: list[Job]) -> None:
    """Without keys: asked again only after a plain "not now", and what nobody knows is in doubt, not failed."""
    outcomes = outcomes_of(jobs)
    statuses: dict[str, list[int | None]] = defaultdict(list)
    for number, status in Ask.objects.order_by("pk").values_list("order_number", "status"):
        statuses[number].append(status)
    paid = Counter(Refund.objects.filter(keyed=False).values_list("order_number", flat=True))
    states = Counter(outcome.state for outcome in outcomes.values())
    doubtful = [number for number, outcome in outcomes.items() if outcome.state == "in_doubt"]
    print(
        f"without keys: {sum(len(statuses[number]) for number in outcomes)} requests for {len(outcomes)} orders, "
        f"{sum(paid.values())} refunds, {sum(count - 1 for count in paid.values())} made twice; {dict(states)}; "
        f"of those in doubt {sum(paid[number] for number in doubtful)} were paid"
    )
    again = {number: asked for number in outcomes if set((asked := statuses[number])[:-1]) - NOT_DONE}
    assert again == {}
    assert set(paid.values()) == {1}
    assert doubtful
    for number, outcome in outcomes.items():
        assert outcome.state in ({"succeeded", "in_doubt"} if paid[number] else {"failed", "in_doubt"}), number
