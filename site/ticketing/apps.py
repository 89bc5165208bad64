"""The demo's own app: events, their tickets and orders, as a team that uses bulkops would write it."""

from django.apps import AppConfig


class TicketingConfig(AppConfig):
    name = "ticketing"
    default_auto_field = "django.db.models.BigAutoField"
