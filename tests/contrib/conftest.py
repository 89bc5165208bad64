"""Fixtures: somebody who may index vectors, and jobs that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import bulkops

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkops.contrib import vectors
    from bulkops.models import Job

RED, GREEN, BLUE = ({"id": name, "vector": v} for name, v in (("r", [1, 0, 0]), ("g", [0, 1, 0]), ("b", [0, 0, 1])))


@pytest.fixture
def indexer(person):
    return person("indexer", "bulkops_vectors.add_vector")


@pytest.fixture
def index(worker, indexer) -> Callable[..., Job]:
    """Runs a job that indexes items; the job as it then is."""

    def run(items: list[Any], collection: str = "c", user: Any = None, **params: Any) -> Job:
        job = bulkops.submit(
            user=user or indexer, operation="index-vectors", params={"collection": collection, **params}, items=items
        )
        return worker.finish(job)

    return run


def ids(found: list[vectors.Neighbour]) -> list[str]:
    return [one.id for one in found]
