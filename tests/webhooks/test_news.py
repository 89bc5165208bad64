"""What operators learn of webhooks: how much waits and for how long, and who does not answer; no address whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from bulkops.webhooks import news
from bulkops.webhooks.models import Delivery, DeliveryState, Endpoint, Event, Kind
from bulkops.webhooks.registering import BY_OWNER

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db

SECRET_URL = "https://hooks.example.org/services/T0/B0/secret"


@pytest.fixture
def minutes_ago() -> Any:
    now = timezone.now()
    return lambda minutes: now - timedelta(minutes=minutes)


def delivery(endpoint: Endpoint, due: datetime, state: str = DeliveryState.PENDING) -> Delivery:
    return Delivery.objects.create(endpoint=endpoint, event=Event.COMPLETED, body="{}", due=due, state=state)


def test_where_nobody_wants_to_be_told_nothing_waits() -> None:
    assert news.now() == news.WebhookNews(waiting=0, late_seconds=None, troubles=[])


def test_what_waits_is_counted_and_what_is_due_has_its_age(owner: Any, minutes_ago: Any) -> None:
    endpoint = Endpoint.objects.create(owner=owner, url=SECRET_URL)
    delivery(endpoint, minutes_ago(-5))
    assert (news.now().waiting, news.now().late_seconds) == (1, None)
    delivery(endpoint, minutes_ago(3))
    delivery(endpoint, minutes_ago(9), DeliveryState.DELIVERED)
    told = news.now()
    assert told.waiting == 2
    assert told.late_seconds == pytest.approx(180, abs=30)


def test_endpoints_that_fail_are_named_by_their_host_alone(owner: Any, stranger: Any, minutes_ago: Any) -> None:
    Endpoint.objects.create(owner=owner, url=SECRET_URL, failing_since=minutes_ago(20))
    off = {"disabled_at": minutes_ago(5), "disabled_reason": "It answered 410 Gone."}
    Endpoint.objects.create(owner=stranger, url=SECRET_URL, failing_since=minutes_ago(10), **off)
    Endpoint.objects.create(owner=owner, kind=Kind.EMAIL, failing_since=minutes_ago(2))
    told = [(one.owner, one.where, one.switched_off) for one in news.now().troubles]
    assert told == [
        ("owner", "hooks.example.org", ""),
        ("stranger", "hooks.example.org", "It answered 410 Gone."),
        ("owner", "e-mail", ""),
    ]
    assert "secret" not in repr(news.now())


def test_what_its_owner_switched_off_or_what_was_long_ago_is_no_news(owner: Any, minutes_ago: Any) -> None:
    Endpoint.objects.create(owner=owner, url=SECRET_URL)
    Endpoint.objects.create(owner=owner, url=SECRET_URL, disabled_at=minutes_ago(1), disabled_reason=BY_OWNER)
    long_ago = {"disabled_at": minutes_ago(60 * 24 * 8), "disabled_reason": "It answered 410 Gone."}
    Endpoint.objects.create(owner=owner, url=SECRET_URL, **long_ago)
    assert news.now().troubles == []
