"""Vectors with metadata, indexed by a job and searched for nearest neighbours: name this app in INSTALLED_APPS.

Its names load late, so that the app can be named before Django's apps are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from bulkops.contrib.vectors.search import Neighbour, UnknownCollection, UnknownVector, nearest, nearest_to

__all__ = ["Neighbour", "UnknownCollection", "UnknownVector", "nearest", "nearest_to"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_string(f"{__name__}.search.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
