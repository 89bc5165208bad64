"""Where users are told of their jobs, and how that goes."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from bulkops.admin.reading import ReadOnlyAdmin, clock, moment
from bulkops.admin.tables import table
from bulkops.models import Endpoint

DELIVERIES_SHOWN = 100


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Where users are told of their jobs, and what was sent there. Their secrets are nobody's here, nor the addresses
    in which there may be one."""

    list_display = ("__str__", "owner", "kind", "is_on", "failing", "created")
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
        "created",
        "disabled",
        "disabled_reason",
        "failing",
        "waits_until",
        "deliveries_shown",
    )

    created = moment("created_at", _("created at"))
    disabled = moment("disabled_at", _("disabled at"))
    failing = moment("failing_since", _("failing since"))
    waits_until = moment("not_before", _("not before"))

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
                clock(one.created_at),
                one.event,
                one.get_state_display(),
                one.tries,
                next((attempt.error for attempt in reversed(one.attempts.all())), ""),
            )
            for one in latest
        ]
        return table(("at", "event", "state", "attempts", "last error"), rows)
