"""Rows that are read in the admin and changed nowhere in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import Model
    from django.http import HttpRequest


def clock(at: datetime) -> str:
    """A moment with its zone, as on the pages."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"


def moment(field: str, words: Any) -> Callable[[Any, Any], str | None]:
    """A column, or a field of the page, that shows that moment of a row: Django's own names no zone."""

    @admin.display(description=words, ordering=field)
    def shown(_model_admin: Any, row: Any) -> str | None:
        at = getattr(row, field)
        return None if at is None else clock(at)

    return shown


class ReadOnlyChangeList(ChangeList):
    """A list whose address may hold anything."""

    def get_filters(self, request: HttpRequest) -> Any:
        """The filters; a NUL, which PostgreSQL takes in no text, is answered as other senseless ones: without them."""
        if any("\x00" in text for values in self.filter_params.values() for text in values):
            raise IncorrectLookupParameters
        return super().get_filters(request)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows to those who may view them; nobody adds, changes or deletes them here."""

    actions_on_bottom = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """See ReadOnlyChangeList."""
        return ReadOnlyChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs come from submissions, clusters from workers."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A row changed by hand would contradict the audit trail."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """The audit trail outlives its people."""
        return False
