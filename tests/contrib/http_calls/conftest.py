"""Fixtures: who may call, and jobs of calls that are run to their end in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import bulkops
from bulkops import registry
from bulkops.models import Outcome
from tests.outbound.conftest import allow, names, peers  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "sk_live-4eC39HqL/yjW+arj=tdp7"
"""With every character that some encoding spells otherwise."""
PERMISSION = "bulkops_http.call_http_api"


@pytest.fixture
def caller(person: Any) -> Any:
    """Holds the permission."""
    return person("caller", PERMISSION)


@pytest.fixture
def check() -> Callable[..., dict[str, Any]]:
    """The cleaned parameters, as submit cleans them."""

    def clean(url: str, **params: Any) -> dict[str, Any]:
        operation = registry.get("call-http-api")
        return operation.clean_params(operation.with_defaults({"url": url} | params))

    return clean


@pytest.fixture
def run(caller: Any, worker: Any, monkeypatch: Any) -> Callable[..., list[Outcome]]:
    """Submits rows, works them off without waits between attempts, and gives the outcomes in order."""

    def submit(rows: list[Any], url: str, *, operation: str = "call-http-api", **params: Any) -> list[Outcome]:
        monkeypatch.setattr(type(registry.get(operation)), "backoff", (0.0, 0.0))
        job = bulkops.submit(user=caller, operation=operation, params={"url": url} | params, items=rows)
        worker.finish(job)
        return list(Outcome.objects.filter(job=job).order_by("position"))

    return submit
