"""Finds and makes collections, and says who may write into one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bulkops.contrib.vectors.models import Collection

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
CHANGE = "bulkops_vectors.change_collection"
"""Who holds this may write into everybody's."""


@dataclass(frozen=True)
class Wanted:
    """What a job says about its collection; None: whatever the collection, or its first vector, has."""

    name: str
    dimension: int | None
    metric: str | None

    def contradiction(self, found: Collection) -> str:
        """What the collection says otherwise, in words; empty if nothing."""
        if self.dimension is not None and self.dimension != found.dimension:
            return f"The collection “{self.name}” has dimension {found.dimension:,}, not {self.dimension:,}."
        if self.metric is not None and self.metric != found.metric:
            return f"The collection “{self.name}” is compared by {found.get_metric_display()}."
        return ""


def find(name: str) -> Collection | None:
    """The collection of that name."""
    return Collection.objects.filter(name=name).first()


def make(name: str, owner_id: Any, dimension: int, metric: str) -> Collection:
    """The collection, made now unless somebody is faster; then theirs, whatever its dimension.

    In the caller's transaction; waits for that of somebody else who makes the same one.
    """
    made = Collection(name=name, owner_id=owner_id, dimension=dimension, metric=metric)
    Collection.objects.bulk_create([made], ignore_conflicts=True)
    return Collection.objects.get(name=name)


def may_write(user: Any, collection: Collection) -> bool:
    """Its owner, or a holder of `bulkops_vectors.change_collection`."""
    return collection.owner_id == user.pk or user.has_perm(CHANGE)
