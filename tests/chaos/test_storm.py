"""A kill storm over jobs of transactional items: every effect exactly once, and nobody stands still for long.

`pytest tests/chaos/test_storm.py -s --storm-seconds 600 --storm-seed 3` runs it for longer, and prints a report.
It is never skipped: where it cannot run, it fails.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db.models import Count

from tests.chaos.storms import Load, Storm
from tests.sample.models import Account

pytestmark = pytest.mark.slow

JOB_ITEMS = 1_200
PAUSE_SECONDS = 0.004


def make(number: int) -> dict[str, Any]:
    """Accounts of its own for each job; every other job collects them itself, the others are given them."""
    numbers = range(number * JOB_ITEMS, (number + 1) * JOB_ITEMS)
    Account.objects.bulk_create([Account(number=one) for one in numbers], ignore_conflicts=True)
    params = {"amount": 1, "pause": PAUSE_SECONDS, "first": numbers[0], "last": numbers[-1]}
    if number % 2:
        return {"operation": "deposit-range", "params": params}
    keys = Account.objects.filter(number__in=numbers).order_by("number").values_list("pk", flat=True)
    return {"operation": "deposit-range", "params": params, "items": list(keys)}


def effects() -> Counter[int]:
    """Each item raises its account's balance by one."""
    return Counter(dict(Account.objects.values_list("balance").annotate(Count("pk")).order_by()))


def test_a_kill_storm_loses_and_doubles_nothing(own_database, tmp_path, request, caplog):
    caplog.set_level("WARNING", logger="bulkops")
    storm = Storm(
        load=Load(make=make, effects=effects),
        database=own_database,
        folder=tmp_path,
        seconds=request.config.getoption("--storm-seconds"),
        seed=request.config.getoption("--storm-seed"),
    )
    report = storm.run()
    print(f"\n{report}")
    assert report.faults == []
    assert report.items == report.effects[1] > 0
