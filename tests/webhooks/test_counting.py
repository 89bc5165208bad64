"""Each attempt at a delivery is counted with what came of it, and so is each delivery that is given up."""

from __future__ import annotations

from typing import Any

import pytest

from bulkops import totals
from bulkops.webhooks import recording

pytestmark = pytest.mark.django_db(transaction=True)


def counted(name: str) -> dict[tuple[str, ...], int]:
    return {one.labels: sum(one.counts) for one in totals.read() if one.name == name}


def test_an_attempt_is_counted_once_as_delivered_or_as_failed(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    endpoint(receiver(200).url)
    endpoint(receiver(500).url)
    ended()
    assert deliver() == 2
    assert counted(recording.ATTEMPT) == {("webhook", "delivered"): 1, ("webhook", "failed"): 1}
    assert counted(recording.GIVEN_UP) == {}, "there are further attempts"


def test_a_delivery_that_is_given_up_is_counted(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    endpoint(receiver(410).url)
    ended()
    deliver()
    assert counted(recording.GIVEN_UP) == {("webhook",): 1}
