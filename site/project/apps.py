"""The project as a Django app, so that its management command and its system checks are found."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Registers the checks; the project has no models."""

    name = "project"

    def ready(self) -> None:
        """Importing the module registers its checks."""
        from project import checks  # noqa: F401
