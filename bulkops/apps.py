"""Start-up: finds every app's `operations` module and connects the system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class BulkopsConfig(AppConfig):
    name = "bulkops"
    verbose_name = "Bulk operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from bulkops import checks  # noqa: F401 - importing registers them

        autodiscover_modules("operations")
