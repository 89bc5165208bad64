"""The metrics, opened by a token, and read back with Prometheus' own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bulkops import services, tallies
from bulkops.clock import from_now
from bulkops.metrics.collector import HISTOGRAMS
from bulkops.models import Cluster
from bulkops.tallies import Count

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

TOKEN = "0123456789abcdef"


@pytest.fixture
def opened(settings: Any) -> str:
    """The header that lets a scraper in."""
    settings.BULKOPS = {**settings.BULKOPS, "metrics_token": TOKEN}
    return f"Bearer {TOKEN}"


@pytest.fixture
def scrape(client: Client, opened: str) -> Callable[[], dict[str, Any]]:
    """Asks, and gives the families by name."""

    def families() -> dict[str, Any]:
        answer = client.get("/metrics", headers={"Authorization": opened})
        assert answer.status_code == 200, answer.content
        return {family.name: family for family in text_string_to_metric_families(answer.content.decode())}

    return families


@pytest.fixture
def labels(owner: Any, scrape: Callable[[], dict[str, Any]]) -> dict[str, set[str]]:
    """Every sample's name with its labels; each family has a sample."""
    Cluster.objects.create(name="c", alive_until=from_now(60), workers=1, queues=["default"])
    services.submit(user=owner, operation="note", items=["a"])
    for name, (_, _, of, bounds) in HISTOGRAMS.items():
        tallies.add(Count(name, tuple("x" for _ in of), (1,) * (len(bounds) + 1)))
    found: dict[str, set[str]] = {}
    for name, family in scrape().items():
        assert family.samples, f"{name} has no sample here"
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
