"""Fixtures: who may call, and jobs of calls that are run to their end in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import bulkops
from bulkops import registry
from bulkops.models import Event, Job, Outcome
from tests.outbound.conftest import allow, names, peers  # noqa: F401 - fixtures
from tests.peers import Reply

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


@pytest.fixture
def service(peers, allow):  # noqa: F811
    """A service on the list, told what to answer."""

    def start(reply=None, **options):
        peer = peers(reply or (lambda asked: Reply()), **options)
        secrets = {
            "shop": {"value": SECRET, "hosts": (peer.url,)},
            "other": {"value": "another-secret", "hosts": ("other.example",)},
        }
        allow(peer.url, http_secrets=secrets)
        return peer

    return start


def stored():
    """Everything that the database holds of jobs, as text."""
    rows = [list(model.objects.values()) for model in (Job, Outcome, Event)]
    return json.dumps(rows, default=str)
