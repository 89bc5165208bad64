"""The list of worker clusters, and which of them live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.translation import gettext_lazy as _

from bulkops.admin.reading import ReadOnlyAdmin, moment
from bulkops.clock import ClockTimestamp
from bulkops.models import Cluster

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


@admin.register(Cluster)
class ClusterAdmin(ReadOnlyAdmin):
    """Who works, and when it was last heard of."""

    list_display = ("name", "is_alive", "workers", "queues", "started", "alive")
    ordering = ("-alive_until",)
    fields = readonly_fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cluster]:
        """Judged by the database's clock, as everywhere."""
        living = ExpressionWrapper(Q(alive_until__gt=ClockTimestamp()), output_field=BooleanField())
        return super().get_queryset(request).annotate(living=living)

    started = moment("started_at", _("started at"))
    alive = moment("alive_until", _("alive until"))

    @admin.display(description=_("alive"), boolean=True)
    def is_alive(self, cluster: Cluster) -> bool:
        """Whether it gave a sign of life in time."""
        return cluster.living  # type: ignore[attr-defined]
