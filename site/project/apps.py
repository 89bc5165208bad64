"""The project as a Django app, so that its management command is found."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """It has no models."""

    name = "project"
