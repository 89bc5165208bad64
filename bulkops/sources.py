"""Reads what an operation's `items` returns, an item at a time; querysets by keyset."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.db.models.query import FlatValuesListIterable, ModelIterable

from bulkops.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def read(source: Iterable[Any]) -> Iterator[Any]:
    """Items of any iterable; a queryset is read by keyset, so that no cursor or snapshot stays open for long."""
    if not isinstance(source, QuerySet):
        yield from source
    elif source.query.is_sliced or source.query.combinator or source.query.distinct or _is_grouped(source):
        yield from source.iterator(chunk_size=conf().chunk_items)
    elif source._iterable_class is FlatValuesListIterable and source._fields == ("pk",):  # type: ignore[attr-defined]  # noqa: SLF001
        yield from _keys(source)
    elif source._iterable_class is ModelIterable:  # noqa: SLF001
        yield from _keys(source.values_list("pk", flat=True))
    else:
        keys = _keys(source.order_by().values_list("pk", flat=True))
        while page := list(itertools.islice(keys, conf().chunk_items)):
            yield from source.filter(pk__in=page).order_by("pk")


def _is_grouped(source: QuerySet[Any]) -> bool:
    """Whether a row stands for a group of rows, and so has no key of its own."""
    return source.query.group_by is not None and source._iterable_class is not ModelIterable  # noqa: SLF001


def _keys(source: QuerySet[Any]) -> Iterator[Any]:
    """Primary keys in order, a page at a time."""
    page = list(source.order_by("pk")[: conf().chunk_items])
    while page:
        yield from page
        page = list(source.filter(pk__gt=page[-1]).order_by("pk")[: conf().chunk_items])
