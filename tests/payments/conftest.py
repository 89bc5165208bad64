"""Fixtures: a customer of the provider, and its conduct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from payments.models import Conduct

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = {"order": "A-1", "amount": 1_250, "reason": "cancelled"}


class Customer:
    """Asks for refunds with the right API key."""

    def __init__(self, api_key: str) -> None:
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.client = Client()

    def ask(self, key: str = "k1", *, query: str = "", headers: dict[str, str] | None = None, **changed: Any) -> Any:
        """The provider's answer."""
        headers = self.headers | {"Idempotency-Key": key} | (headers or {})
        body = ORDER | changed
        return self.client.post(f"/payments/refunds/{query}", body, content_type="application/json", headers=headers)


@pytest.fixture
def customer(db: None, settings: Any) -> Customer:
    return Customer(settings.PROVIDER_KEY)


@pytest.fixture
def conduct(db: None) -> Callable[..., Conduct]:
    """Tells the provider how to behave; at first it is without any trouble."""

    def behave(**shares: Any) -> Conduct:
        Conduct.objects.all().delete()
        smooth = {"latency_ms": 0, "busy": 0, "down": 0, "refused": 0, "cut": 0}
        return Conduct.objects.create(**smooth | shares)

    behave()
    return behave
