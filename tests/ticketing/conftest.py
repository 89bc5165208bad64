"""Fixtures: an event with a few tickets, and the context that `process` gets."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bulkops import Context
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def event(db: None) -> Event:
    starts_at = datetime(2027, 3, 6, 19, 30, tzinfo=UTC)
    return Event.objects.create(name="Aurora Strings", venue="Old Customs House", starts_at=starts_at)


@pytest.fixture
def tickets(event: Event) -> list[Ticket]:
    """Three tickets, of 10, 20 and 30 euros."""
    rows = [Ticket(event=event, code=f"AUR-{n}", seat=f"1-{n}", price=1_000 * n) for n in (1, 2, 3)]
    return Ticket.objects.bulk_create(rows)


@pytest.fixture
def item_context() -> Callable[..., Context]:
    """Makes the context of a job's item."""

    def make(job_id: uuid.UUID | None = None, position: int = 0, attempt: int = 1) -> Context:
        job_id = job_id or uuid.uuid4()
        said: list[Any] = []
        return Context(
            job_id=job_id,
            position=position,
            attempt=attempt,
            root_job_id=job_id,
            root_position=position,
            say=said.append,
            stop_asked=lambda: False,
        )

    return make
