"""The app, whose label keeps it apart from others of its name."""

from __future__ import annotations

from django.apps import AppConfig

from bulkops.contrib.http_calls import checks  # noqa: F401 - importing registers it


class HttpCallsConfig(AppConfig):
    name = "bulkops.contrib.http_calls"
    label = "bulkops_http"
    verbose_name = "HTTP calls"
    default_auto_field = "django.db.models.BigAutoField"
