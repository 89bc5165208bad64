"""Events and tickets in Django's admin."""

from django.contrib import admin

from ticketing.models import Event, Ticket


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):
    list_display = ("name", "venue", "starts_at")
    search_fields = ("name", "venue")


@admin.register(Ticket)
class TicketAdmin(admin.ModelAdmin):
    list_display = ("code", "event", "seat", "cost", "holder_email", "issued_at")
    list_filter = ("event", ("issued_at", admin.EmptyFieldListFilter))
    list_select_related = ("event",)
    search_fields = ("code", "seat", "holder_email")
    autocomplete_fields = ("event",)
    readonly_fields = ("issued_at",)

    @admin.display(description="price", ordering="price")
    def cost(self, ticket: Ticket) -> str:
        return f"{ticket.price / 100:,.2f}"
