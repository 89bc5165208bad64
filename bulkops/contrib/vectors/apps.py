"""Start-up of the app."""

from __future__ import annotations

from django.apps import AppConfig


class VectorsConfig(AppConfig):
    name = "bulkops.contrib.vectors"
    label = "bulkops_vectors"
    verbose_name = "Vectors"
    default_auto_field = "django.db.models.BigAutoField"
