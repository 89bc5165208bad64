"""What is measured: items that do nothing, wait, or change one row."""

from __future__ import annotations

import time
from typing import Any

from django.db.models import F

from bulkops import Operation, register
from tests.bench.sources import Source
from ticketing.models import Ticket


@register
class Nothing(Operation):
    """Do nothing with each item, outside transactions."""

    name = "bench-nothing"
    transactional = False
    parallelism = 16

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        """Nothing."""


@register
class NothingInTransaction(Nothing):
    """Do nothing with each item, in its transaction."""

    name = "bench-nothing-transactional"
    transactional = True


@register
class NothingRelaxed(Nothing):
    """Do nothing with each item, and do not wait for the disk."""

    name = "bench-nothing-relaxed"
    durability = "relaxed"
    queue = "bench-relaxed"


@register
class NothingUnserved(Nothing):
    """A job that no worker takes: its rows are for the references."""

    name = "bench-unserved"
    queue = "nobody"


@register
class FromQuery(Nothing):
    """Do nothing with each of a table's keys."""

    name = "bench-query"

    def items(self, params: dict[str, Any]) -> Any:
        return Source.objects.values_list("pk", flat=True)


@register
class Wait(Nothing):
    """Wait 2 ms with each item, as for another system's answer."""

    name = "bench-wait"

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        time.sleep(0.002)


@register
class ChangeRow(Operation):
    """Change one row with each item."""

    name = "bench-change-row"

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        Ticket.objects.filter(pk=item).update(price=F("price") + 1)


def queue_of(workers: int) -> str:
    """Whose cluster has so many workers and serves no other queue."""
    return f"bench-{workers}"


for _of, _numbers in ((Nothing, (1, 2, 4)), (Wait, (1, 16))):
    for _workers in _numbers:
        _name = f"{_of.name}-{_workers}"
        register(type(_name, (_of,), {"name": _name, "queue": queue_of(_workers), "__doc__": _of.__doc__}))
