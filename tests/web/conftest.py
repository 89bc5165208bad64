"""Fixtures of the pages' tests: a living cluster, jobs in each state, and browsers of the three actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from bulkops import services
from bulkops.clock import from_now
from bulkops.models import Chunk, Cluster, Job, Outcome
from bulkops.states import ENDED, JobState

if TYPE_CHECKING:
    from collections.abc import Callable


def logged_in(user: Any, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


@pytest.fixture
def alive(db: None) -> Cluster:
    """A cluster that lives, so that pages take jobs."""
    return Cluster.objects.create(name="here", alive_until=from_now(3600), workers=1, queues=["default"])


@pytest.fixture
def as_owner(owner: Any) -> Client:
    return logged_in(owner)


@pytest.fixture
def as_colleague(colleague: Any) -> Client:
    return logged_in(colleague)


@pytest.fixture
def as_stranger(stranger: Any) -> Client:
    return logged_in(stranger)


@pytest.fixture
def job(owner: Any, alive: Cluster) -> Job:
    """The owner's job: four items, none done, queued."""
    return services.submit(user=owner, operation="note", items=["a", "b", "c", "d"], name="Autumn")


@pytest.fixture
def put(job: Job) -> Callable[..., Job]:
    """Puts the job into a state by hand, with so many items succeeded and failed."""

    def put(state: JobState, *, succeeded: int = 0, failed: int = 0, **fields: Any) -> Job:
        ended = {"slot": None, "finished_at": timezone.now()} if state in ENDED else {}
        Job.objects.filter(pk=job.pk).update(state=state, started_at=timezone.now(), **ended | fields)
        tried = succeeded + failed
        Chunk.objects.filter(job=job).update(succeeded=succeeded, failed=failed, cursor=tried, finished=tried == 4)
        for position in range(tried):
            bad = position >= succeeded
            Outcome.objects.create(
                job=job,
                position=position,
                state="failed" if bad else "succeeded",
                message="ValueError: no such letter" if bad else "",
                error_code="ValueError" if bad else "",
                finished_at=timezone.now(),
            )
        job.refresh_from_db()
        return job

    return put
