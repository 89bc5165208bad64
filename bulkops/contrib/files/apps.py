"""Switched on by its line in INSTALLED_APPS."""

from django.apps import AppConfig


class FilesConfig(AppConfig):
    name = "bulkops.contrib.files"
    label = "bulkops_files"
    verbose_name = "Bulk operations on files"
