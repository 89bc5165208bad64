"""Fixtures of the API's tests: a living cluster, the owner's job, and programs that act for the actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from bulkops import services, tokens
from bulkops.clock import from_now
from bulkops.models import Cluster, Job

if TYPE_CHECKING:
    from collections.abc import Callable


class Program:
    """Sends JSON with somebody's token."""

    def __init__(self, user: Any, **options: Any) -> None:
        _, text = tokens.make(user=user, name="a test")
        self.client = Client(headers={"Authorization": f"Token {text}"}, **options)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(path, {} if body is None else body, content_type="application/json", headers=headers)


@pytest.fixture
def program() -> Callable[..., Program]:
    return Program


@pytest.fixture
def alive(db: None) -> Cluster:
    """A cluster that lives, so that jobs are taken."""
    return Cluster.objects.create(name="here", alive_until=from_now(3600), workers=1, queues=["default"])


@pytest.fixture
def mine(owner: Any, alive: Cluster) -> Program:
    """The owner's program."""
    return Program(owner)


@pytest.fixture
def job(owner: Any, alive: Cluster) -> Job:
    """The owner's job: four items, none done, queued."""
    return services.submit(user=owner, operation="note", items=["a", "b", "c", "d"], name="Autumn")


def problem(answer: Any) -> tuple[int, str]:
    """Status and type of a refusal, which looks as every refusal does."""
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert body["status"] == answer.status_code
    return answer.status_code, body["type"].removeprefix("/problems/")
