"""What the provider was asked and did, to look at; and its conduct, to change."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from payments.models import Ask, Conduct, Refund


class ReadOnly(admin.ModelAdmin):
    """Nobody changes what was recorded."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Ask)
class AskAdmin(ReadOnly):
    list_display = ("asked_at", "order_number", "amount", "status", "words", "repeat", "cut", "key")
    list_filter = ("status", "repeat", "cut")
    search_fields = ("order_number", "key")


@admin.register(Refund)
class RefundAdmin(ReadOnly):
    list_display = ("reference", "order_number", "amount", "reason", "made_at", "key")
    search_fields = ("reference", "order_number", "key")


@admin.register(Conduct)
class ConductAdmin(admin.ModelAdmin):
    list_display = ("seed", "latency_ms", "busy", "down", "refused", "cut", "retry_after_seconds")
