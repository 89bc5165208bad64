"""The metrics, opened by a token, and read back with Prometheus' own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

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
