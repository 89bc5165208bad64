"""What the guide shows works: its receiver takes what is really sent, once, and its tables say what the code does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from standardwebhooks import WebhookVerificationError

from bulkops.conf import Conf
from bulkops.models import Delivery
from bulkops.webhooks import registering
from bulkops.webhooks.models import CHOSEN

pytestmark = pytest.mark.django_db(transaction=True)

GUIDE = (settings.BASE_DIR / "bulkops/docs/webhooks.md").read_text()


@pytest.mark.slow
def test_the_receiver_shown_takes_each_webhook_once(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    shown: dict[str, Any] = {}
    exec(program, shown)
    to = receiver()
    made = endpoint(to.url)
    ended()
    deliver()
    registering.replay(Delivery.objects.get())
    deliver()
    first, again = to.asked
    assert shown["receive"](made.secret, first.headers, first.body) == ("job.completed", "completed")
    assert shown["receive"](made.secret, again.headers, again.body) is None
    with pytest.raises(WebhookVerificationError):
        shown["receive"](made.secret, first.headers, first.body.replace(b"completed", b"failed"))


def test_the_schedule_shown_is_the_settings():
    shown = re.search(r"come after (.*?), each\s+give or take", GUIDE, re.DOTALL)[1]
    units = {"s": 1, "min": 60, "h": 3600}
    found = [int(n) * units[unit] for n, unit in re.findall(r"(\d+) (s|min|h)\b", shown)]
    assert tuple(found) == Conf.webhook_retry_seconds
    assert set(CHOSEN) <= set(re.findall(r"\| `([a-z.]+)` \|", GUIDE))
