"""What a person sees in a real browser while the server or its database is away, and once it is back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.db import OperationalError
from playwright.sync_api import expect

from bulkops import services
from bulkops.clock import from_now
from bulkops.models import Cluster, Job
from tests.screenshots.opening import opened
from tests.screenshots.scenes import SCENES
from tests.screenshots.stage import CURSOR
from tests.sites import RealSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RealSite]:
    site = RealSite(tmp_path / "web.log")
    site.start()
    yield site
    site.kill()


def test_a_form_that_is_sent_while_the_database_is_away_stays_and_is_sent_again(
    browser: Browser, live_server: Any
) -> None:
    with opened(SCENES["form-simple"], browser, live_server.url) as page:
        page.get_by_label("Cents").fill("50")
        page.get_by_label("Name").fill("Typed with care")
        start = page.get_by_role("button", name="Start", exact=True)
        for name in ("Start", "Preview"):
            with mock.patch(CURSOR, side_effect=OperationalError("server closed the connection unexpectedly")):
                page.get_by_role("button", name=name, exact=True).click()
                expect(page.get_by_role("alert").get_by_text("The database does not answer")).to_be_visible()
            expect(page.get_by_label("Name")).to_have_value("Typed with care")
            expect(start).to_be_enabled()
        start.click()
        page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))
        assert Job.objects.get().name == "Typed with care"


def test_a_killed_server_is_told_without_script_and_the_card_goes_on_once_it_is_back(
    browser: Browser, site: RealSite, owner: Any
) -> None:
    Cluster.objects.create(name="here", alive_until=from_now(3600), workers=1, queues=["default"])
    job = services.submit(user=owner, operation="note", items=["a"], name="Autumn")
    context = browser.new_context(base_url=f"http://127.0.0.1:{site.port}")
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(job.get_absolute_url())
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{job.get_absolute_url()}")
    told = page.get_by_text("No news for some seconds, still trying")
    expect(told).to_be_hidden()

    site.kill()
    expect(told).to_be_visible(timeout=15_000)
    site.start()
    expect(told).to_be_hidden(timeout=15_000)
    services.cancel(job=job, actor=owner)
    expect(page.get_by_role("heading", name="Cancelled", exact=True)).to_be_visible(timeout=15_000)
    context.close()
