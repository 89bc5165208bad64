"""Metrics of a site with several web processes, while workers are killed: one truth, and counters never go back."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bulkops import services
from tests.clusters import wait_for
from tests.sample.models import Account
from tests.sites import Person, RealSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef"
ACCOUNTS = 800
GROWS = ("_total", "_bucket", "_count", "_sum")


class Scraper:
    """Asks as Prometheus does, over whichever web process takes the connection, and remembers what it was told."""

    def __init__(self, port: int) -> None:
        self._at = Person(f"http://127.0.0.1:{port}")
        self.seen: dict[tuple, float] = {}
        self.scrapes = 0

    def text(self) -> str:
        return self._at.get("/metrics", Authorization=f"Bearer {TOKEN}")

    def scrape(self) -> dict[tuple, float]:
        """All samples; nothing that counts is less than it was."""
        told = {
            (one.name, *sorted(one.labels.items())): one.value
            for family in text_string_to_metric_families(self.text())
            for one in family.samples
        }
        growing = {key: value for key, value in told.items() if key[0].endswith(GROWS)}
        for key, value in self.seen.items():
            assert growing.get(key, -1) >= value, key
        self.seen = growing
        self.scrapes += 1
        return told


def total(told: dict[tuple, float], name: str) -> float:
    return sum(value for key, value in told.items() if key[0] == name)


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[RealSite]:
    site = RealSite(tmp_path / "web.log", WEB_CONCURRENCY="3", BULKOPS_METRICS_TOKEN=TOKEN)
    site.start()
    yield site
    site.kill()


def test_counters_never_go_back_and_every_item_is_counted_once_whoever_is_killed(
    site: RealSite, cluster: Any, person: Any
) -> None:
    Account.objects.bulk_create(Account(number=number) for number in range(ACCOUNTS))
    user = person("user")
    job = services.submit(user=user, operation="deposit", params={"amount": 1, "pause": 0.005}, parallelism=2)
    scraper, visitor = Scraper(site.port), Person(f"http://127.0.0.1:{site.port}")
    visitor.log_in("user", "secret")
    server = psutil.Process(site.process.pid)
    web = wait_for(lambda: len(found := server.children()) == 3 and found, 10, "three web processes")

    def look() -> dict[tuple, float]:
        visitor.look(f"/jobs/{job.pk}/progress/")
        return scraper.scrape()

    def has_counted(items: float) -> bool:
        return total(look(), "bulkops_items_total") > items

    for kills in range(1, 4):
        wait_for(partial(has_counted, kills * ACCOUNTS / 8), 30, "items")
        os.kill(cluster.workers()[0], signal.SIGKILL)
        if kills == 2:
            os.kill(web[0].pid, signal.SIGKILL)
    told = wait_for(lambda: (told := look()) and total(told, "bulkops_jobs_ended_total") and told, 60, "the end")
    assert total(told, "bulkops_items_total") == ACCOUNTS
    assert set(Account.objects.values_list("balance", flat=True)) == {1}
    assert total(told, "bulkops_rescues_total") >= 1
    assert 0 < total(told, "bulkops_item_duration_seconds_count") <= ACCOUNTS + 3
    wait_for(lambda: total(look(), "bulkops_poll_duration_seconds_count") > 0, 20, "polls that were stored")
    assert scraper.scrapes > 20
    # Whichever process is asked; but polls that it has still to store, it stores after its answer.
    texts = [[line for line in scraper.text().splitlines() if "bulkops_poll" not in line] for _ in range(12)]
    assert all(text == texts[0] for text in texts)
