"""A kill storm over jobs that ask another system, judged by what that system recorded of what it was asked and did.

`pytest tests/chaos/test_refund_storm.py --storm-seconds 600 --storm-seed 3 -s` runs it for longer, and prints a report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from bulkops.models import Job, Outcome
from bulkops.states import JobState
from payments.models import Ask, Conduct, Refund
from tests.chaos.storms import Load, Storm
from tests.sites import RealSite
from ticketing.models import Event, Order

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

REPEATING, HOLDING = "refund-orders-stormed", "refund-orders-held"
JOB_ITEMS = 100
ENDS = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS})
CONDUCT = {"latency_ms": 30, "busy": 0.05, "down": 0.05, "refused": 0.03, "cut": 0.05}
NOT_DONE = {429, 503}


@pytest.fixture
def site(own_database: Any, tmp_path: Any) -> Iterator[RealSite]:
    """The provider."""
    site = RealSite(tmp_path / "web.log")
    site.start()
    yield site
    site.kill()


def test_in_a_kill_storm_no_key_pays_twice_and_without_keys_nobody_is_asked_twice(
    own_database: Any, site: RealSite, request: Any, tmp_path: Any, caplog: Any
) -> None:
    caplog.set_level("WARNING", logger="bulkops")
    seed = request.config.getoption("--storm-seed")
    Conduct.objects.create(seed=seed, **CONDUCT)
    port = {"PORT": str(site.port)}
    storm = Storm(
        load=Load(make=make, effects=effects, ends=ENDS, waits=True, environment=port),
        database=own_database,
        folder=tmp_path,
        seconds=request.config.getoption("--storm-seconds"),
        seed=seed,
    )
    report = storm.run()
    print(f"\n{report}")
    judge_keys(list(Job.objects.filter(operation=REPEATING)))
    judge_holding(list(Job.objects.filter(operation=HOLDING)))
    assert report.faults == []


def make(number: int) -> dict[str, Any]:
    """Orders of its own for each job; every other job may not repeat a question."""
    event, _ = Event.objects.get_or_create(
        name="Aurora Strings", venue="Old Customs House", defaults={"starts_at": timezone.now()}
    )
    numbers = [f"{number}-{position}" for position in range(JOB_ITEMS)]
    Order.objects.bulk_create([Order(event=event, number=one, amount=1_000) for one in numbers], ignore_conflicts=True)
    operation = HOLDING if number % 2 else REPEATING
    return {"operation": operation, "name": str(number), "params": {"reason": "storm"}, "items": numbers}


def effects() -> Counter[int]:
    """An order's refunds; one that was refused, or whose refund a person has to look for, has what it should."""
    outcomes = outcomes_of(list(Job.objects.all()))
    paid = Counter(Refund.objects.values_list("order_number", flat=True))
    done = {number for number, outcome in outcomes.items() if outcome.state in {"failed", "in_doubt"}}
    return Counter(paid[one] or int(one in done) for one in Order.objects.values_list("number", flat=True))


def outcomes_of(jobs: list[Job]) -> dict[str, Outcome]:
    """By the order's number."""
    outcomes = Outcome.objects.filter(job__in=jobs).select_related("job")
    return {f"{outcome.job.name}-{outcome.position}": outcome for outcome in outcomes}


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
