"""Events, tickets and orders in Django's admin."""

from django.contrib import admin

from bulkops.admin_actions import JobActionsMixin
from ticketing.models import Event, Order, Ticket


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):
    list_display = ("name", "venue", "starts_at")
    search_fields = ("name", "venue")


@admin.register(Ticket)
class TicketAdmin(JobActionsMixin, admin.ModelAdmin):
    job_actions = ("reprice-tickets", "issue-tickets")
    list_display = ("code", "event", "seat", "cost", "holder_email", "issued_at")
    list_filter = ("event", ("issued_at", admin.EmptyFieldListFilter))
    list_select_related = ("event",)
    search_fields = ("code", "seat", "holder_email")
    autocomplete_fields = ("event",)
    readonly_fields = ("issued_at",)

    @admin.display(description="price", ordering="price")
    def cost(self, ticket: Ticket) -> str:
        return f"{ticket.price / 100:,.2f}"


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("number", "event", "cost", "buyer_email", "refunded_at", "refund_id", "refusal")
    list_filter = ("event", ("refunded_at", admin.EmptyFieldListFilter), ("refusal", admin.EmptyFieldListFilter))
    list_select_related = ("event",)
    search_fields = ("number", "buyer_email", "refund_id")
    autocomplete_fields = ("event",)
    readonly_fields = ("refunded_at", "refund_id", "refund_key", "refusal")

    @admin.display(description="amount", ordering="amount")
    def cost(self, order: Order) -> str:
        return f"{order.amount / 100:,.2f}"
