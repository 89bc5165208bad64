"""A webhook in a real browser: made, tried against a real receiver by a real cluster, and seen to arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from standardwebhooks import Webhook

from tests.outbound.conftest import peers  # noqa: F401 - a fixture
from tests.peers import LOOPBACK, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WORDS = {"BULKOPS_WEBHOOK_PRIVATE_NETWORKS": "127.0.0.1/32", "BULKOPS_WEBHOOK_PLAIN_HTTP": "1"}


@pytest.fixture
def receiver(peers: Any, settings: Any, clusters: Any) -> Any:  # noqa: F811 - the fixture
    settings.BULKOPS = settings.BULKOPS | {"webhook_plain_http": True, "webhook_private_networks": LOOPBACK}
    clusters(workers=1, **WORDS)
    return peers(lambda asked: Reply(200, b"thank you"))


def make_and_try(page: Page, url: str) -> str:
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_label("Address").fill(url)
    page.get_by_label("job.paused").check()
    page.get_by_role("button", name="Make a webhook").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("A test is under way.")).to_be_visible()
    expect(page.locator("#secret")).to_have_count(0)
    return secret


def test_a_webhook_is_made_tried_and_its_delivery_appears_by_itself(tab: Callable[..., Page], receiver: Any):
    page = tab("/")
    secret = make_and_try(page, receiver.url)
    expect(page.locator("#deliveries")).to_contain_text("thank you")
    expect(page.locator("#deliveries")).to_contain_text("Delivered, 200")
    (asked,) = receiver.asked
    assert Webhook(secret).verify(asked.body, dict(asked.headers))["type"] == "webhook.test"
    page.get_by_role("button", name="again").click()
    expect(page.locator("#deliveries")).to_contain_text("Delivered, 200", timeout=10_000)
    expect(page.locator("#deliveries pre")).to_have_count(2)


def test_without_script_a_reload_shows_it(tab_without_script: Page, receiver: Any):
    page = tab_without_script
    make_and_try(page, receiver.url)
    for _ in range(50):
        if "thank you" in page.content():
            break
        page.wait_for_timeout(200)
        page.reload()
    expect(page.locator("#deliveries")).to_contain_text("Delivered, 200")
    page.get_by_text("New secret …").click()
    page.get_by_role("button", name="Make a new secret").click()
    expect(page.locator("#secret")).to_contain_text("whsec_")
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Delete this webhook").click()
    expect(page.get_by_text("You have no webhooks.")).to_be_visible()
