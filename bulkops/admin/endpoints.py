"""Where users are told of their jobs, and how that goes."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from bulkops.admin.reading import ReadOnlyAdmin
from bulkops.admin.tables import table
from bulkops.models import Endpoint

DELIVERIES_SHOWN = 100


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Where users are told of their jobs, and what was sent there. Their secrets are nobody's here, nor the addresses
    in which there may be one."""

    list_display = ("__str__", "owner", "kind", "is_on", "failing_since", "created_at")
    list_filter = ("kind", ("disabled_at", admin.EmptyFieldListFilter), ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("description",)
    fields = readonly_fields = (
        "id",
        "owner",
        "kind",
        "__str__",
        "description",
        "events",
        "created_at",
        "disabled_at",
        "disabled_reason",
        "failing_since",
        "not_before",
        "deliveries_shown",
    )

    @admin.display(description=_("on"), boolean=True)
    def is_on(self, endpoint: Endpoint) -> bool:
        """Whether anything is sent there."""
        return endpoint.disabled_at is None

    @admin.display(description=_("deliveries"))
    def deliveries_shown(self, endpoint: Endpoint) -> str:
        """The latest, with the last attempt at each."""
        latest = endpoint.deliveries.prefetch_related("attempts")[:DELIVERIES_SHOWN]
        rows = [
            (
                f"{timezone.localtime(one.created_at):%Y-%m-%d %H:%M:%S}",
                one.event,
                one.get_state_display(),
                one.tries,
                next((attempt.error for attempt in reversed(one.attempts.all())), ""),
            )
            for one in latest
        ]
        return table(("at", "event", "state", "attempts", "last error"), rows)
