"""Start-up: finds every app's `operations` module and connects the system checks."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.module_loading import module_has_submodule


class BulkopsConfig(AppConfig):
    name = "bulkops"
    verbose_name = "Bulk operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from bulkops import checks, registry  # noqa: F401 - importing `checks` registers them
        from bulkops.metrics import checks as metrics_checks  # noqa: F401
        from bulkops.webhooks import checks as webhook_checks  # noqa: F401

        if apps.is_installed("django_q"):  # else a check says so
            from bulkops import dispatch  # noqa: F401 - importing connects it to django-q2's queue

        for config in apps.get_app_configs():
            if module_has_submodule(config.module, "operations"):
                registry.discover(config.name)
